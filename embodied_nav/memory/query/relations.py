"""How things stand to one another, in words and in numbers. Knows boxes, not pixels and not sentences.

Left, right, before and behind need somebody who looks: a viewer given, or the side from which a thing is used (away
from the wall it stands at), or the keyframe that shows it best. Everything else is the same for everyone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...frames import FREE, MemoryObject, OccupancyGrid
from ...rooms import Rooms

#: Relations of one thing to another; "between" needs two others, "in" a room.
DIRECTED = ("left of", "right of", "in front of", "behind")
RELATIONS = (*DIRECTED, "on", "under", "above", "beside", "near")
#: m: gap up to which one thing is beside another; near; gap at which both have faded to nothing.
BESIDE, NEAR, FAR = 0.6, 1.5, 3.0
#: m that a thing may float over or sink into what it stands on.
_RESTS = 0.15
#: Share of a thing's base that what it stands on, or under, must hold.
_HELD = 0.5
#: Directions count to 60 degrees from their axis.
_LEAST_COSINE = 0.5
#: Share of a strip beside a thing that is free on its back at most, and so much more on its front.
_BACK, _FRONT_MORE = 0.3, 0.35
#: Score from which a relation is worth telling.
TELLS = 0.5


@dataclass(frozen=True)
class Relation:
    """One fact.

    Attributes:
        kind: of :data:`RELATIONS`, or ``between`` or ``in``.
        subject, object: ids; of a room for ``in``. other: the second id of ``between``, else -1.
        gap: m between the boxes on the floor plan, 0 where they overlap or for ``in``.
        score: 0 to 1, how well it holds.
        text: in words and numbers: "beside the brown desk (0.2 m)".
    """

    kind: str
    subject: int
    object: int
    gap: float
    score: float
    text: str
    other: int = -1


def floor_gap(a: MemoryObject, b: MemoryObject) -> float:
    """m between two boxes on the floor plan, 0 where they overlap."""
    d = np.maximum(np.abs(a.position[:2] - b.position[:2]) - (a.extent[:2] + b.extent[:2]) / 2, 0.0)
    return float(np.hypot(*d))


def holds(kind: str, a: MemoryObject, b: MemoryObject, viewer: np.ndarray | None = None) -> float:
    """How well "a is <kind> b" holds, 0 to 1.

    Args:
        viewer: (x, y, ...) m, who looks; 0 for relations that need one and have none.

    Raises:
        KeyError: unknown relation.
    """
    if kind in DIRECTED:
        return _directed(kind, a, b, viewer)
    return {"on": _on, "under": _under, "above": _above, "beside": _beside, "near": _near}[kind](a, b)


def between(a: MemoryObject, b: MemoryObject, c: MemoryObject) -> float:
    """How well "a is between b and c" holds, 0 to 1: in the middle part of the line, not far off it."""
    line, way = c.position[:2] - b.position[:2], a.position[:2] - b.position[:2]
    length = float(np.hypot(*line))
    if length < 0.3 or length > 2.5 * FAR or a.id in (b.id, c.id):
        return 0.0
    along = float(way @ line) / length
    off = abs(float(way[0] * line[1] - way[1] * line[0])) / length
    room = max(0.5, 0.25 * length)
    if not 0.1 * length <= along <= 0.9 * length or off >= room:
        return 0.0
    return 1.0 - 0.5 * off / room - 0.5 * abs(2 * along / length - 1.0)


def front_of(o: MemoryObject, grid: OccupancyGrid) -> np.ndarray | None:
    """Unit (x, y) of the side from which a thing is used; None where it stands free or nothing is known.

    A thing has a front if one side is open floor and the opposite one is not.
    """
    sides = [np.array(d, dtype=np.float64) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    free = [_free_share(o, side, grid) for side in sides]
    best, found = 0.0, None
    for k, side in enumerate(sides):
        contrast = free[k] - free[k ^ 1]
        if free[k ^ 1] <= _BACK and contrast > max(best, _FRONT_MORE):
            # What is longer one way is used from its long side.
            along, across = o.extent[k // 2], o.extent[1 - k // 2]
            best, found = (contrast, side) if along <= 1.3 * across else (best, found)
    return found


def viewpoint(
    landmark: MemoryObject, grid: OccupancyGrid | None = None, T_map_camera: np.ndarray | None = None
) -> np.ndarray | None:
    """(x, y) from which a thing is looked at where nobody says: from its front, else from its best keyframe."""
    front = None if grid is None else front_of(landmark, grid)
    if front is not None:
        return landmark.position[:2] + front * (2.0 + float(np.abs(front) @ landmark.extent[:2]) / 2)
    return None if T_map_camera is None else np.asarray(T_map_camera)[:2, 3]


def relations_of(
    o: MemoryObject,
    objects: Sequence[MemoryObject],
    rooms: Rooms | None = None,
    viewer: np.ndarray | None = None,
    least: float = TELLS,
) -> list[Relation]:
    """What holds of one object, the most telling first: what it stands on, its room, what is beside it, between, sides.

    Args:
        viewer: (x, y, ...) m, for left, right, before and behind; without one they are left out.
        least: score from which a relation is given.
    """
    others = [b for b in objects if b.id != o.id and b.status == "present" and floor_gap(o, b) <= FAR]
    room = rooms.of_object(o) if rooms is not None else None
    if rooms is not None and room is not None:  # what stands on the other side of a wall is not beside it
        others = [b for b in others if (there := rooms.of_object(b)) is None or there.id == room.id]
    out: list[Relation] = []
    for kind in ("on", "under", "above"):
        out += _told(kind, o, others, least, viewer)
    if room is not None:
        out.append(Relation("in", o.id, room.id, 0.0, 1.0, f"in room {room.id}"))
    held = {r.object for r in out if r.kind != "in"}
    beside = _told("beside", o, [b for b in others if b.id not in held], least, viewer)
    out += beside
    close = held | {r.object for r in beside}
    out += _told("near", o, [b for b in others if b.id not in close], least, viewer)[:3]
    out += _between_others(o, others, least)[:1]
    for kind in DIRECTED:
        out += _told(kind, o, [b for b in others if b.id not in held], least, viewer)[:2]
    return out


def _told(kind, o, others, least, viewer) -> list[Relation]:
    out = []
    for b in others:
        score, gap = holds(kind, o, b, viewer), floor_gap(o, b)
        if score >= least:
            metres = "" if kind in ("on", "under", "above") else f" ({gap:.1f} m)"
            out.append(Relation(kind, o.id, b.id, gap, score, f"{kind} the {b.name}{metres}"))
    return sorted(out, key=lambda r: (-round(r.score, 6), r.gap, r.object))


def _between_others(o: MemoryObject, others: Sequence[MemoryObject], least: float) -> list[Relation]:
    near = sorted(others, key=lambda b: (floor_gap(o, b), b.id))[:8]
    out = []
    for i, b in enumerate(near):
        for c in near[i + 1 :]:
            score = between(o, b, c)
            if score >= least:
                text = f"between the {b.name} and the {c.name}"
                out.append(Relation("between", o.id, b.id, floor_gap(o, b), score, text, c.id))
    return sorted(out, key=lambda r: (-r.score, r.object, r.other))


def _directed(kind: str, a: MemoryObject, b: MemoryObject, viewer: np.ndarray | None) -> float:
    if viewer is None or a.id == b.id:
        return 0.0
    forward = b.position[:2] - np.asarray(viewer, dtype=np.float64)[:2]
    way = a.position[:2] - b.position[:2]
    far, length = float(np.hypot(*forward)), float(np.hypot(*way))
    if far < 1e-6 or length < 1e-6 or _on(a, b) or _on(b, a):
        return 0.0
    forward = forward / far
    left = np.array([-forward[1], forward[0]])
    axis = {"left of": left, "right of": -left, "in front of": -forward, "behind": forward}[kind]
    cosine = float(way @ axis) / length
    if cosine < _LEAST_COSINE:
        return 0.0
    return cosine * _fading(floor_gap(a, b), NEAR)


def _fading(gap: float, full: float) -> float:
    """1 up to a gap, then down to 0 at :data:`FAR` (m)."""
    return max(0.0, min(1.0, (FAR - gap) / (FAR - full)))


def _bottom(o: MemoryObject) -> float:
    return float(o.position[2] - o.extent[2] / 2)


def _top(o: MemoryObject) -> float:
    return float(o.position[2] + o.extent[2] / 2)


def _held_share(a: MemoryObject, b: MemoryObject) -> float:
    """Share of a's base that lies over b's."""
    low = np.maximum(a.position[:2] - a.extent[:2] / 2, b.position[:2] - b.extent[:2] / 2)
    high = np.minimum(a.position[:2] + a.extent[:2] / 2, b.position[:2] + b.extent[:2] / 2)
    area = float(np.prod(np.maximum(high - low, 0.0)))
    return area / max(float(np.prod(a.extent[:2])), 1e-6)


def _on(a: MemoryObject, b: MemoryObject) -> float:
    """A's base rests at b's top, or lower inside b's box where b has a back or an edge (a bed, a desk with things)."""
    held, step = _held_share(a, b), _bottom(a) - _top(b)
    if a.id == b.id or held < _HELD or step > _RESTS or _top(a) < _top(b) + 0.02:
        return 0.0
    sunk = step < -_RESTS and _bottom(a) < _bottom(b) + 0.35 * float(b.extent[2])
    return 0.0 if sunk else held


def _under(a: MemoryObject, b: MemoryObject) -> float:
    held = _held_share(a, b)
    if a.id == b.id or held < _HELD or _top(a) > _top(b) - 0.2 or _bottom(a) > _bottom(b) + 0.2:
        return 0.0
    return held


def _above(a: MemoryObject, b: MemoryObject) -> float:
    gap = floor_gap(a, b)
    if a.id == b.id or _bottom(a) < _top(b) + _RESTS / 2 or _on(a, b) or gap > _RESTS:
        return 0.0
    return 1.0 - 0.5 * gap / _RESTS


def _beside(a: MemoryObject, b: MemoryObject) -> float:
    over = min(_top(a), _top(b)) - max(_bottom(a), _bottom(b))
    if a.id == b.id or over < 0.05 or _on(a, b) or _on(b, a) or _under(a, b) or _under(b, a):
        return 0.0
    gap = floor_gap(a, b)
    return 1.0 if gap <= BESIDE else max(0.0, 1.0 - (gap - BESIDE) / BESIDE)


def _near(a: MemoryObject, b: MemoryObject) -> float:
    return 0.0 if a.id == b.id else _fading(floor_gap(a, b), NEAR)


def _free_share(o: MemoryObject, side: np.ndarray, grid: OccupancyGrid) -> float:
    """Share of free cells in a strip 0.15 to 0.5 m off one side of a box."""
    axis = int(np.abs(side).argmax())
    half = o.extent[:2] / 2
    out = np.arange(0.15, 0.5, grid.resolution)
    along = np.arange(-0.8 * half[1 - axis], 0.8 * half[1 - axis] + 1e-9, grid.resolution)
    a, b = np.meshgrid(out, along)
    points = np.empty((*a.shape, 2))
    points[..., axis] = o.position[axis] + side[axis] * (half[axis] + a)
    points[..., 1 - axis] = o.position[1 - axis] + b
    cells = grid.cells(points)
    inside = grid.inside(cells)
    values = np.full(inside.shape, -1, np.int8)
    values[inside] = grid.data[cells[inside][:, 0], cells[inside][:, 1]]
    return float((values == FREE).mean()) if values.size else math.nan
