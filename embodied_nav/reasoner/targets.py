"""Scores remembered objects and rooms as candidates for a target. Knows nothing of paths and policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..frames import MemoryObject
from ..language import Target, color_score, label_score
from ..rooms import Region, Room, Rooms
from ..rooms.priors import KINDS, room_posterior, rooms_of

#: Least score at which an object counts as the target.
SURE = 0.5
#: Least probability at which a room counts as the target.
_ROOM_SURE = 0.6
#: Typicality from which a thing marks a room's kind; the same for a room that was hardly seen.
_TYPICAL, _PROOF = 0.6, 0.85
#: Share of a room that must be seen to accept weaker marks; least probability of a room without any mark.
_SEEN, _UNMARKED_SURE = 0.5, 0.8
#: Floor area (m^2) that is enough to tell a corridor by its shape, even if its open doors were not looked into.
_LARGE = 5.0
#: Once everything is explored, the best room is accepted from this score and this share of all rooms' odds.
_PERHAPS, _BY_FAR = 0.3, 0.6
#: Gap (m) up to which one thing is beside another.
_BESIDE = 1.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A possible target: a remembered object, or a room.

    Attributes:
        key: the object's id; for a room -2 - its id.
        name: in words.
        score: 0 to 1, how well it fits; at least :data:`SURE` counts as found.
        note: why, in words ("in what seems to be the kitchen").
        object: as remembered; for a room the thing that marks it best, or None.
        room: None for an object.
        marks: things of a room near which to stop, if it is not separated from another room; else empty.
    """

    key: int
    name: str
    score: float
    note: str = ""
    object: MemoryObject | None = None
    room: Room | None = None
    marks: tuple[MemoryObject, ...] = ()


def candidates(
    target: Target, objects: Sequence[MemoryObject], found: Mapping[int, Region], rooms: Rooms | None
) -> list[Candidate]:
    """Candidates for the target, best first.

    Args:
        target: of the current stage.
        objects: as remembered.
        found: the estimate of each room's kind.
        rooms: of the map; None if the target has nothing to do with rooms.
    """
    present = [o for o in objects if o.status == "present"]
    if target.is_room:
        fit = [_room_candidate(region, target.label) for region in found.values()]
        fit = [c for c in fit if c.score > 0.0]
    else:
        fit = _object_candidates(target, present, found, rooms)
    return sorted(fit, key=lambda c: (-c.score, c.key))


def likeliest_room(fit: Sequence[Candidate]) -> Candidate | None:
    """The room that is by far the likeliest of the wanted kind; None if there is none, or no room is asked for.

    Valid only once everything is explored.
    """
    rooms = [c for c in fit if c.room is not None]
    if not rooms or rooms[0].score < _PERHAPS:
        return None
    odds = [c.score / (1.0 - c.score + 1e-6) for c in rooms]
    return rooms[0] if odds[0] >= _BY_FAR * sum(odds) else None


def not_found(target: Target, fit: Sequence[Candidate]) -> str:
    """Why a search ends, with the best candidate: a doubtful one is named, but never accepted as the target."""
    if not fit:
        return f"not found: {target.name}; nothing known comes near it"
    best = fit[0]
    if best.room is not None:
        return f"not found: {target.name}; no room is likely enough to be one (the best: {best.score:.0%})"
    note = f" ({best.note})" if best.note else ""
    return f"not found: {target.name}; nearest match: {best.name}{note}"


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
    """How well an object fulfils the relation to its anchor: 1 right beside it, below :data:`SURE` far from any."""
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
    """A region as a candidate room; it counts as found only with evidence from its marks or its shape."""
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
    # Room kinds are estimates: a bare majority is not enough.
    score = p if sure else min(max(p, near), SURE - 0.01)
    by_marks = mixed or (not sure and near > p)
    return Candidate(-2 - region.room.id, kind, score, note, best, region.room, tuple(marks) if by_marks else ())


def _around_marks(region: Region, kind: str, marks: Sequence[MemoryObject]) -> float:
    """Probability of a kind from the things around its marks only, since a region may be two rooms."""
    best = 0.0
    for mark in marks:
        around = [(o.label, math.exp(-objects_gap(mark, o) / 2.0)) for o in region.things if o.id != mark.id]
        best = max(best, room_posterior([(mark.label, 1.0), *around], KINDS, region.seen).get(kind, 0.0))
    return best
