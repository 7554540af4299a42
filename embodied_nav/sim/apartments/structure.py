"""Floors, walls, ceilings, door frames and windows of a plan as triangles. Knows nothing of furniture."""

from __future__ import annotations

import itertools

import numpy as np

from .layout import Opening, Plan, Rectangle, Window
from .shapes import Material, MeshBuilder, Solid

_WALL_TINTS = [
    (244, 238, 226),
    (232, 238, 240),
    (240, 230, 214),
    (226, 236, 226),
    (238, 228, 232),
    (246, 240, 208),
    (220, 230, 240),
    (236, 220, 204),
]
_WHITE = (246, 244, 238)
_FLOOR_TINTS = {"planks": [(214, 168, 118), (186, 140, 98), (226, 194, 150)], "parquet": [(206, 160, 112)]}
_FLOOR_TINTS |= {"tiles": [(226, 222, 212), (206, 212, 216), (216, 202, 184)], "carpet": [(196, 190, 178)]}
_WET = ("bathroom", "laundry room", "kitchen")


def build_structure(builder: MeshBuilder, plan: Plan, rng: np.random.Generator) -> None:
    """Adds the building's structure (instance 0)."""
    solid = Solid()
    dry = str(rng.choice(["planks-1", "planks-2", "planks-3", "parquet-1"]))
    board = Material("wood-1", (236, 230, 218) if rng.random() < 0.6 else (150, 104, 70), 0.8)
    for index, (kind, room) in enumerate(zip(plan.kinds, plan.rooms, strict=True)):
        wall, floor = _materials(kind, dry, rng)
        _floor(solid, room, floor)
        _ceiling(solid, room, plan.height)
        for side in range(4):
            _wall(solid, room, side, _holes(plan, index, side), plan.height, wall, board)
    frame = Material("wood-2", (240, 236, 228) if rng.random() < 0.5 else (164, 118, 80), 0.8)
    sill = Material("planks-1", (196, 150, 104), 1.6)
    for opening in plan.openings:
        _reveal(solid, opening, frame, sill)
    for k, window in enumerate(plan.windows):
        _window(solid, plan, window, Material(f"view-{k % 5}"), Material("wood-2", (240, 236, 228), 0.8))
    _tops(solid, plan)
    builder.add(solid)


def _materials(kind: str, dry: str, rng) -> tuple[Material, Material]:
    tint = _WALL_TINTS[int(rng.integers(len(_WALL_TINTS)))]
    if kind in ("bathroom", "laundry room"):
        wall = Material(f"tiles-{rng.integers(3)}", (228, 236, 238), 1.2)
    elif kind == "kitchen":
        wall = Material(str(rng.choice(["plaster-1", "plaster-2", "tiles-1"])), tint, 1.4)
    else:
        names = ["plaster-1", "plaster-2", "plaster-3", "wallpaper-1", "wallpaper-2", "wallpaper-3", "stripes-1"]
        wall = Material(str(rng.choice(names)), tint, 1.5)
    name = f"tiles-{rng.integers(3, 6)}" if kind in _WET else dry
    if kind in ("bedroom", "nursery") and rng.random() < 0.3:
        name = f"carpet-{rng.integers(2)}"
    tints = _FLOOR_TINTS[name.partition("-")[0]]
    return wall, Material(name, tints[int(rng.integers(len(tints)))], 1.6)


def _floor(solid: Solid, room: Rectangle, material: Material) -> None:
    x0, y0, x1, y1 = room
    solid.quad([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)], material)


def _ceiling(solid: Solid, room: Rectangle, height: float) -> None:
    x0, y0, x1, y1 = room
    material = Material("ceiling", _WHITE, 1.5)
    solid.quad([(x0, y0, height), (x0, y1, height), (x1, y1, height), (x1, y0, height)], material)


def _holes(plan: Plan, index: int, side: int) -> list[Opening]:
    """Openings in one side (west, south, east, north) of a room, in order."""
    axis, upper = side % 2, side >= 2
    holes = [o for o in plan.openings if o.axis == axis and o.rooms[0 if upper else 1] == index]
    return sorted(holes, key=lambda o: o.low)


def wall_pieces(low: float, high: float, holes: list[Opening]) -> list[tuple[float, float]]:
    """Stretches of a wall from ``low`` to ``high`` that stand on the floor."""
    ends = [low] + [v for hole in holes for v in (hole.low, hole.high)] + [high]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if b - a > 1e-6]


def _wall(solid, room, side, holes, height, material, board) -> None:
    """The inner face of one side of a room, with its openings and skirting board."""
    along = 1 - side % 2
    low, high = room[along], room[along + 2]
    for a, b in wall_pieces(low, high, holes):
        _panel(solid, room, side, a, b, 0.0, height, material)
        _skirting(solid, room, side, a, b, board)
    for hole in holes:
        _panel(solid, room, side, hole.low, hole.high, hole.top, height, material)


def side_point(room: Rectangle, side: int, along: float, out: float, z: float) -> tuple[float, float, float]:
    """A point at ``along`` on a side of a room, ``out`` metres away from its wall into the room."""
    inward = 1.0 if side < 2 else -1.0
    across = room[side] + inward * out
    return (across, along, z) if side % 2 == 0 else (along, across, z)


def _panel(solid, room, side, a, b, z0, z1, material, out=0.0, whole=False) -> None:
    """An upright rectangle that faces into the room, its first corner at its lower left as seen from there."""
    left, right = (a, b) if side in (0, 3) else (b, a)
    corners = [
        side_point(room, side, left, out, z0),
        side_point(room, side, right, out, z0),
        side_point(room, side, right, out, z1),
        side_point(room, side, left, out, z1),
    ]
    solid.quad(corners, material, whole)


def _skirting(solid, room, side, a, b, material) -> None:
    p, q = side_point(room, side, a, 0.0, 0.0), side_point(room, side, b, 0.015, 0.08)
    low, high = np.minimum(p, q), np.maximum(p, q)
    solid.box((low + high) / 2.0, high - low, material)


def _reveal(solid: Solid, opening: Opening, frame: Material, sill: Material) -> None:
    """The inside of a hole in a wall: jambs, lintel, threshold; a casing around doors."""
    half = 0.06

    def point(along, across, z):
        return (opening.at + across, along, z) if opening.axis == 0 else (along, opening.at + across, z)

    lo, hi, top = opening.low, opening.high, opening.top
    for along in (lo, hi):
        corners = [point(along, -half, 0), point(along, half, 0), point(along, half, top), point(along, -half, top)]
        solid.quad(corners, frame)
    for z, material in ((top, frame), (0.0, sill)):
        solid.quad([point(lo, -half, z), point(hi, -half, z), point(hi, half, z), point(lo, half, z)], material)
    if opening.wide:
        return
    for across in (-half - 0.01, half + 0.01):
        for a, b, z0, z1 in ((lo - 0.07, lo, 0, top), (hi, hi + 0.07, 0, top), (lo - 0.07, hi + 0.07, top, top + 0.07)):
            p, q = point(a, across - 0.012, z0), point(b, across + 0.012, z1)
            low, high = np.minimum(p, q), np.maximum(p, q)
            solid.box((low + high) / 2.0, high - low, frame)


def _window(solid: Solid, plan: Plan, window: Window, view: Material, frame: Material) -> None:
    room = plan.rooms[window.room]
    lo, hi, z0, z1 = window.low, window.high, window.sill, window.top
    _panel(solid, room, window.side, lo, hi, z0, z1, view, out=0.012, whole=True)
    bars = [(lo - 0.06, lo, z0, z1), (hi, hi + 0.06, z0, z1), (lo - 0.06, hi + 0.06, z1, z1 + 0.06)]
    for a, b, bottom, top in bars:
        _bar(solid, room, window.side, a, b, bottom, top, 0.03, frame)
    _bar(solid, room, window.side, lo - 0.1, hi + 0.1, z0 - 0.05, z0, 0.10, frame)


def _bar(solid, room, side, a, b, z0, z1, depth, material) -> None:
    p, q = side_point(room, side, a, 0.0, z0), side_point(room, side, b, depth, z1)
    low, high = np.minimum(p, q), np.maximum(p, q)
    solid.box((low + high) / 2.0, high - low, material)


def _tops(solid: Solid, plan: Plan) -> None:
    """The walls' tops and outer faces, visible only from above or outside."""
    x0, y0, x1, y1 = plan.outline
    z = plan.height
    material = Material("plaster-1", (120, 116, 110), 1.5)
    for (ax, ay), (bx, by) in itertools.pairwise([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]):
        solid.quad([(ax, ay, 0), (bx, by, 0), (bx, by, z), (ax, ay, z)], material)
    xs = sorted({x0, x1, *(r[0] for r in plan.rooms), *(r[2] for r in plan.rooms)})
    ys = sorted({y0, y1, *(r[1] for r in plan.rooms), *(r[3] for r in plan.rooms)})
    for (xa, xb), (ya, yb) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys)):
        x, y = (xa + xb) / 2.0, (ya + yb) / 2.0
        if not any(r[0] < x < r[2] and r[1] < y < r[3] for r in plan.rooms):
            solid.quad([(xa, ya, z - 0.01), (xb, ya, z - 0.01), (xb, yb, z - 0.01), (xa, yb, z - 0.01)], material)
