"""Several apartments on both sides of one corridor, as one plan. Knows nothing of furniture or triangles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import InputError
from .layout import OUTER_WALL, WALL, Opening, Plan, Rectangle, Window, inner, make_plan, opening_between

#: Width of the corridor (m), and space between neighbouring apartments for their outer walls.
_WIDTH, _GAP = 2.2, 2 * OUTER_WALL
#: Kinds of rooms that an apartment is entered by, the likeliest first, and the shortest wall (m) for a door.
_ENTRANCES, _DOOR_WALL = ("hallway", "living room", "dining room", "kitchen"), 1.35
#: Walls this near to each other (m) are the same wall.
_TOUCHING = 1e-5


def make_building(rng: np.random.Generator, apartments: int, rooms_min: int, rooms_max: int) -> Plan:
    """A plan of so many apartments, each with ``rooms_min`` to ``rooms_max`` rooms and one door to the corridor.

    Raises:
        InputError: no plan came out.
    """
    ends, parts = [0.0, 0.0], []
    for k in range(apartments):
        side = k % 2  # above the corridor, below it
        plan, entrance = _with_entrance(rng, rooms_min, rooms_max)
        plan = _moved(plan, ends[side] - _left(plan), _WIDTH - _low(plan))
        if side:
            plan = _moved(_mirrored(plan), 0.0, _WIDTH)
        parts.append((plan, entrance, side))
        ends[side] = max(_cell(r)[2] for r in plan.rooms) + _GAP
    return _joined(rng, parts, max(ends) - _GAP)


def _with_entrance(rng, rooms_min: int, rooms_max: int) -> tuple[Plan, int]:
    """A plan with a room at its lower side that it can be entered by, and that room."""
    for _ in range(200):
        plan = make_plan(rng, rooms_min, rooms_max)
        for way in (plan, _mirrored(plan)):
            low = _low(way)
            front = [i for i, r in enumerate(way.rooms) if _cell(r)[1] - low < _TOUCHING and r[2] - r[0] >= _DOOR_WALL]
            entrances = [i for kind in _ENTRANCES for i in front if way.kinds[i] == kind]
            if entrances:
                return way, entrances[0]
    raise InputError(f"no apartment with {rooms_min} to {rooms_max} rooms has an entrance; ask for fewer rooms")


def _joined(rng, parts: list[tuple[Plan, int, int]], length: float) -> Plan:
    """One plan of apartments that lie along a corridor from x = 0 and y = 0; the corridor is its last room."""
    kinds = [kind for plan, _, _ in parts for kind in plan.kinds] + ["hallway"]
    rooms = [room for plan, _, _ in parts for room in plan.rooms]
    corridor, number, first = (0.0, 0.0, length, _WIDTH), len(rooms), 0
    openings: list[Opening] = []
    windows: list[Window] = []
    for plan, entrance, side in parts:
        openings += [replace(o, rooms=(o.rooms[0] + first, o.rooms[1] + first)) for o in plan.openings]
        door = opening_between(rng, kinds, rooms, first + entrance, number, corridor)
        openings.append(door)
        front = 3 if side else 1
        facing = [i for i, r in enumerate(plan.rooms) if _touches(_cell(r), corridor)]
        kept = [w for w in plan.windows if not (w.side == front and w.room in facing)]
        windows += [replace(w, room=w.room + first) for w in kept]
        first += len(plan.rooms)
    rooms.append(inner(corridor))
    corners = np.array([_cell(r) for r in rooms])
    (x0, y0), (x1, y1) = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
    outline = (x0 - OUTER_WALL, y0 - OUTER_WALL, x1 + OUTER_WALL, y1 + OUTER_WALL)
    return Plan(tuple(kinds), tuple(rooms), tuple(openings), tuple(windows), outline, parts[0][0].height)


def _cell(room: Rectangle) -> Rectangle:
    """The cell whose inner rectangle is a room's."""
    h = WALL / 2.0
    return (room[0] - h, room[1] - h, room[2] + h, room[3] + h)


def _touches(cell: Rectangle, corridor: Rectangle) -> bool:
    return abs(cell[1] - corridor[3]) < _TOUCHING or abs(cell[3] - corridor[1]) < _TOUCHING


def _left(plan: Plan) -> float:
    return min(_cell(r)[0] for r in plan.rooms)


def _low(plan: Plan) -> float:
    return min(_cell(r)[1] for r in plan.rooms)


def _moved(plan: Plan, x: float, y: float) -> Plan:
    """A plan (x, y) m farther; its outline is not kept."""
    along = (y, x)  # an opening of axis 0 runs along y
    return replace(
        plan,
        rooms=tuple((r[0] + x, r[1] + y, r[2] + x, r[3] + y) for r in plan.rooms),
        openings=tuple(
            replace(o, at=o.at + along[1 - o.axis], low=o.low + along[o.axis], high=o.high + along[o.axis])
            for o in plan.openings
        ),
        windows=tuple(replace(w, low=w.low + along[w.side % 2], high=w.high + along[w.side % 2]) for w in plan.windows),
    )


def _mirrored(plan: Plan) -> Plan:
    """A plan mirrored at y = 0; its outline is not kept."""
    return replace(
        plan,
        rooms=tuple((r[0], -r[3], r[2], -r[1]) for r in plan.rooms),
        openings=tuple(
            replace(o, low=-o.high, high=-o.low) if o.axis == 0 else replace(o, at=-o.at, rooms=o.rooms[::-1])
            for o in plan.openings
        ),
        windows=tuple(
            replace(w, side=4 - w.side) if w.side % 2 else replace(w, low=-w.high, high=-w.low) for w in plan.windows
        ),
    )
