"""Which remembered things and which rooms fit a target. Knows nothing of paths and policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..frames import MemoryObject
from ..memory.rooms import Room, Rooms
from .instruction import SYNONYMS, Target
from .priors import KINDS, TYPICAL, room_posterior, rooms_of
from .regions import Region

#: Colours that cameras and people take for one another.
_ALIKE = (
    {"red", "orange"}, {"orange", "brown"}, {"red", "brown"}, {"red", "pink"}, {"pink", "purple"}, {"purple", "blue"},
    {"blue", "turquoise"}, {"green", "turquoise"}, {"black", "gray"}, {"white", "gray"}, {"yellow", "orange"},
)  # fmt: skip

#: From this score on a thing counts as what was asked for.
SURE = 0.5
#: The same for the probability of a room.
_ROOM_SURE = 0.6
#: How typical of a room a thing must be to mark it; to mark one that was hardly seen.
_TYPICAL, _PROOF = 0.6, 0.85
#: How much of a room must be seen to go by other marks; how probable one must be that nothing marks.
_SEEN, _UNMARKED_SURE = 0.5, 0.8
#: So much floor (m^2) shows a corridor's shape, even where doors along it are not looked into.
_LARGE = 5.0
#: Gap (m) up to which one thing is beside another.
_BESIDE = 1.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """What may be the target: a remembered object, or a room.

    Attributes:
        key: the object's id; for a room -2 - its id.
        name: in words.
        score: 0 to 1, how well it fits; at least :data:`SURE` counts as found.
        note: why, in words ("in what seems to be the kitchen").
        object: as remembered; of a room what marks it best, or None.
        room: None for an object.
        marks: things of a room near which to stand, since it is not parted from another room; empty elsewhere.
    """

    key: int
    name: str
    score: float
    note: str = ""
    object: MemoryObject | None = None
    room: Room | None = None
    marks: tuple[MemoryObject, ...] = ()


def label_score(label: str, wanted: str) -> float:
    """1 for the same category (synonyms resolved), 0 for another, between them for a kind of it.

    "Table" is met by a dining table (0.7). "Chair" is a category of its own, so an office chair is only doubtful (0.4).
    """
    label, wanted = SYNONYMS.get(label, label), SYNONYMS.get(wanted, wanted)
    if label == wanted:
        return 1.0
    if label.endswith(" " + wanted):
        return 0.4 if wanted in TYPICAL else 0.7
    return 0.4 if wanted.endswith(" " + label) else 0.0


def color_score(color: str, wanted: str) -> float:
    """1 where no colour is asked or it is the same, 0.6 where it is not known, 0.3 for an alike one, else 0."""
    if not wanted or color == wanted:
        return 1.0
    if not color:
        return 0.6
    return 0.3 if {color, wanted} in _ALIKE else 0.0


def candidates(
    target: Target, objects: Sequence[MemoryObject], found: Mapping[int, Region], rooms: Rooms | None
) -> list[Candidate]:
    """What may be the target, best first.

    Args:
        target: of the present stage.
        objects: as remembered.
        found: what is believed of each room.
        rooms: of the map; None where no room is asked for.
    """
    present = [o for o in objects if o.status == "present"]
    if target.is_room:
        fit = [_room_candidate(region, target.label) for region in found.values()]
        fit = [c for c in fit if c.score > 0.0]
    else:
        fit = _object_candidates(target, present, found, rooms)
    return sorted(fit, key=lambda c: (-c.score, c.key))


def box_gap(o: MemoryObject, xy: tuple[float, float]) -> float:
    """Horizontal distance (m) from a place to an object's box."""
    dx = max(abs(xy[0] - o.position[0]) - 0.5 * o.extent[0], 0.0)
    dy = max(abs(xy[1] - o.position[1]) - 0.5 * o.extent[1], 0.0)
    return math.hypot(dx, dy)


def objects_gap(a: MemoryObject, b: MemoryObject) -> float:
    """Horizontal distance (m) between two objects' boxes."""
    dx = max(abs(a.position[0] - b.position[0]) - 0.5 * (a.extent[0] + b.extent[0]), 0.0)
    dy = max(abs(a.position[1] - b.position[1]) - 0.5 * (a.extent[1] + b.extent[1]), 0.0)
    return math.hypot(dx, dy)


def _object_candidates(
    target: Target, objects: list[MemoryObject], found: Mapping[int, Region], rooms: Rooms | None
) -> list[Candidate]:
    fit = []
    for o in objects:
        score = label_score(o.label, target.label) * color_score(o.color, target.color)
        if score <= 0.0:
            continue
        note = ""
        if target.anchor_is_room:
            room = None if rooms is None else rooms.of_object(o)
            p = 0.0 if room is None else _room_candidate(found[room.id], target.anchor_label).score
            score *= 0.4 + 0.6 * p
            note = f"in what may be the {target.anchor_label}" if p >= 0.5 else ""
        elif target.anchor_label:
            factor, note = _anchor_factor(target, o, objects)
            score *= factor
        fit.append(Candidate(o.id, o.name, score, note, o))
    return fit


def _anchor_factor(target: Target, o: MemoryObject, objects: list[MemoryObject]) -> tuple[float, str]:
    """How well an object stands in its relation: 1 right beside the anchor, below :data:`SURE` far from any."""
    gaps = [
        objects_gap(o, a)
        for a in objects
        if a.id != o.id
        and label_score(a.label, target.anchor_label) * color_score(a.color, target.anchor_color) >= SURE
    ]
    if not gaps:
        return 0.4, f"no {target.anchor_label} known beside it"
    gap = min(gaps)
    near = f"{gap:.1f} m from the {target.anchor_label}"
    return (1.0, near) if gap <= _BESIDE else (max(0.2, 0.6 - 0.15 * gap), near)


def _room_candidate(region: Region, kind: str) -> Candidate:
    """A region as the wanted room; what marks it, or its shape, must speak for it before it counts as found."""
    marks = region.marks(kind, _TYPICAL)
    best = max(marks, key=lambda o: (rooms_of(o.label)[kind], -o.id), default=None)
    mixed = region.is_mixed(kind)
    p, near = region.kinds.get(kind, 0.0), _around_marks(region, kind, marks)
    if mixed:
        p = max(p, near)
    proven = best is not None and rooms_of(best.label)[kind] >= _PROOF
    looked = region.seen >= _SEEN or (not marks and region.room.area >= _LARGE)
    sure = p >= _ROOM_SURE and (proven or (looked and (bool(marks) or p >= _UNMARKED_SURE)))
    note = (f"with the {best.name}" if best else "by its shape") if sure else "perhaps"
    # Rooms are guessed: a bare majority does not make one sure.
    score = p if sure else min(max(p, near), SURE - 0.01)
    by_marks = mixed or (not sure and near > p)
    return Candidate(-2 - region.room.id, kind, score, note, best, region.room, tuple(marks) if by_marks else ())


def _around_marks(region: Region, kind: str, marks: Sequence[MemoryObject]) -> float:
    """Probability of a kind by what stands around its marks: a region may be two rooms."""
    best = 0.0
    for mark in marks:
        around = [(o.label, math.exp(-objects_gap(mark, o) / 2.0)) for o in region.things if o.id != mark.id]
        best = max(best, room_posterior([(mark.label, 1.0), *around], KINDS, region.seen).get(kind, 0.0))
    return best
