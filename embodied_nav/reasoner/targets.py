"""Which remembered things fit a target. Knows nothing of maps, paths and policies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..frames import MemoryObject, OccupancyGrid
from .instruction import SYNONYMS, Target
from .places import together
from .priors import KINDS, TYPICAL, room_posterior, rooms_of

#: Colours that cameras and people take for one another.
_ALIKE = (
    {"red", "orange"}, {"orange", "brown"}, {"red", "brown"}, {"red", "pink"}, {"pink", "purple"}, {"purple", "blue"},
    {"blue", "turquoise"}, {"green", "turquoise"}, {"black", "gray"}, {"white", "gray"}, {"yellow", "orange"},
)  # fmt: skip

#: From this score on a thing counts as what was asked for.
SURE = 0.5
#: The same for the probability of a room.
_ROOM_SURE = 0.6
#: How typical of a room a thing must be to mark it.
_TYPICAL = 0.6
#: How typical of a room a thing must be to tell where it is.
_SUPPORTS = 0.3
#: Things farther apart (m) say nothing of each other's rooms.
_ROOM_REACH = 4.5
#: Gap (m) up to which one thing is beside another.
_BESIDE = 1.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A remembered object that may be the target (or stand in the room that is).

    Attributes:
        object: as remembered.
        score: 0 to 1, how well it fits; at least :data:`SURE` counts as found.
        note: why, in words ("in what seems to be the kitchen").
    """

    object: MemoryObject
    score: float
    note: str = ""


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


def candidates(target: Target, objects: Sequence[MemoryObject], grid: OccupancyGrid) -> list[Candidate]:
    """Remembered objects that may be the target, best first; the map tells what stands in one room."""
    present = [o for o in objects if o.status == "present"]
    if target.is_room:
        found = _room_candidates(target.label, present, grid)
    else:
        found = _object_candidates(target, present, grid)
    return sorted(found, key=lambda c: (-c.score, c.object.id))


def room_middle(mark: MemoryObject, kind: str, objects: Sequence[MemoryObject], grid: OccupancyGrid) -> MemoryObject:
    """The middle of all that marks one room, as a small object; the mark itself where it is the only one."""
    present = [o for o in objects if o.status == "present"]
    row = next((k for k, o in enumerate(present) if o.id == mark.id), None)
    if row is None:
        return mark
    same = together(present, grid, _ROOM_REACH)[row]
    marks = [o for k, o in enumerate(present) if same[k] and rooms_of(o.label).get(kind, 0.0) >= _SUPPORTS]
    if len(marks) < 2:
        return mark
    middle = np.mean([o.position for o in marks], axis=0)
    return replace(mark, position=middle, extent=np.full(3, 0.2))


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


def _object_candidates(target: Target, objects: list[MemoryObject], grid: OccupancyGrid) -> list[Candidate]:
    found = []
    for o in objects:
        score = label_score(o.label, target.label) * color_score(o.color, target.color)
        if score <= 0.0:
            continue
        note = ""
        if target.anchor_label:
            factor, note = _anchor_factor(target, o, objects, grid)
            score *= factor
        found.append(Candidate(o, score, note))
    return found


def _anchor_factor(
    target: Target, o: MemoryObject, objects: list[MemoryObject], grid: OccupancyGrid
) -> tuple[float, str]:
    """How well an object stands in its relation: 1 right beside the anchor, below :data:`SURE` far from any."""
    if target.anchor_is_room:
        p = _room_probabilities([o], target.anchor_label, objects, grid)[0]
        return 0.4 + 0.6 * p, f"in what may be the {target.anchor_label}" if p >= 0.5 else ""
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


def _room_candidates(kind: str, objects: list[MemoryObject], grid: OccupancyGrid) -> list[Candidate]:
    """Objects that mark a room of this kind; the score is the room's probability given all that stands in it."""
    marks = [o for o in objects if rooms_of(o.label).get(kind, 0.0) >= _TYPICAL]
    found = []
    for o, p in zip(marks, _room_probabilities(marks, kind, objects, grid), strict=True):
        # Rooms are guessed: a bare majority does not make one sure.
        score = p if p >= _ROOM_SURE else min(p, SURE - 0.01)
        found.append(Candidate(o, score, f"marks a {kind}" if score >= SURE else f"may mark a {kind}"))
    return found


def _room_probabilities(
    marks: list[MemoryObject], kind: str, objects: list[MemoryObject], grid: OccupancyGrid
) -> list[float]:
    """Probability of each object's room being of a kind, from all that stands in the same room, the near ones most."""
    if not marks:
        return []
    row = {o.id: k for k, o in enumerate(objects)}
    same = together(objects, grid, _ROOM_REACH)
    out = []
    for o in marks:
        around = [
            (other.label, 1.0 if other.id == o.id else math.exp(-objects_gap(o, other) / 4.0))
            for k, other in enumerate(objects)
            if same[row[o.id], k]
        ]
        out.append(room_posterior(around, KINDS).get(kind, 0.0))
    return out
