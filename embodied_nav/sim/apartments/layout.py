"""Floor plans: named rooms as rectangles, doors, wide openings, windows. Knows nothing of furniture or triangles.

A plan is either a recursive split of a rectangle into rooms (after squarified treemaps, Bruls et al. 2000), or two rows
of rooms along a corridor. Walls are centred on the cells' borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import InputError

WALL = 0.12
OUTER_WALL = 0.20
DOOR_HEIGHT = 2.05

#: kind -> (least area, greatest area in m2, least side in m).
ROOM_SIZES = {
    "living room": (17.0, 26.0, 3.4),
    "kitchen": (9.0, 13.5, 2.6),
    "bedroom": (11.5, 16.0, 2.9),
    "bathroom": (5.2, 7.5, 1.9),
    "office": (8.5, 12.0, 2.5),
    "dining room": (11.0, 15.0, 3.0),
    "hallway": (5.0, 9.0, 1.5),
    "laundry room": (5.0, 7.0, 1.9),
    "library": (8.5, 12.0, 2.5),
    "nursery": (9.5, 13.0, 2.7),
}
_SOCIAL = ("living room", "hallway", "dining room")
_EXTRA = ("bedroom", "office", "dining room", "bathroom", "library", "nursery", "laundry room")
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Opening:
    """A door or a wide passage in the wall between two rooms.

    Attributes:
        axis: 0 for a wall at x = ``at`` that runs along y, 1 for a wall at y = ``at`` that runs along x.
        at, low, high: m.
        rooms: indices of the room on the lower and on the upper side.
        wide: an open passage, not a door.
    """

    axis: int
    at: float
    low: float
    high: float
    rooms: tuple[int, int]
    wide: bool = False

    @property
    def top(self) -> float:
        """Height of the lintel, m."""
        return 2.3 if self.wide else DOOR_HEIGHT

    @property
    def middle(self) -> tuple[float, float]:
        """(x, y), m."""
        along = (self.low + self.high) / 2.0
        return (self.at, along) if self.axis == 0 else (along, self.at)


@dataclass(frozen=True)
class Window:
    """A window in a room's outer wall: ``side`` is west, south, east or north (0 to 3)."""

    room: int
    side: int
    low: float
    high: float
    sill: float
    top: float


@dataclass(frozen=True)
class Plan:
    """Rooms by kind with the rectangles between their walls' faces, and the openings in the walls; m."""

    kinds: tuple[str, ...]
    rooms: tuple[Rectangle, ...]
    openings: tuple[Opening, ...]
    windows: tuple[Window, ...]
    outline: Rectangle
    height: float


def make_plan(rng: np.random.Generator, rooms_min: int, rooms_max: int) -> Plan:
    """A floor plan with ``rooms_min`` to ``rooms_max`` rooms, all of them connected."""
    count = int(rng.integers(rooms_min, rooms_max + 1))
    for _ in range(2000):
        kinds = _program(rng, count)
        cells = _corridor(rng, kinds) if "hallway" in kinds else _split_plan(rng, kinds)
        if cells is None or not all(_fits(kind, cell) for kind, cell in zip(kinds, cells, strict=True)):
            continue
        openings = _openings(rng, kinds, cells)
        if openings is not None:
            return _finished(rng, kinds, cells, openings)
    raise InputError(f"no floor plan with {count} rooms came out; ask for fewer rooms")


def inner(cell: Rectangle) -> Rectangle:
    """The rectangle between the wall faces of a cell."""
    h = WALL / 2.0
    return (cell[0] + h, cell[1] + h, cell[2] - h, cell[3] - h)


def _rounded(rectangle: Rectangle) -> Rectangle:
    x0, y0, x1, y1 = (round(float(v), 6) for v in rectangle)
    return x0, y0, x1, y1


def _finished(rng, kinds, cells, openings) -> Plan:
    corners = np.array(cells)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    (x0, y0), (x1, y1) = low.tolist(), high.tolist()
    outline = (x0 - OUTER_WALL, y0 - OUTER_WALL, x1 + OUTER_WALL, y1 + OUTER_WALL)
    return Plan(
        kinds=tuple(kinds),
        rooms=tuple(_rounded(inner(cell)) for cell in cells),
        openings=tuple(openings),
        windows=tuple(_windows(rng, kinds, cells, low, high)),
        outline=outline,
        height=float(rng.choice([2.5, 2.6, 2.7])),
    )


def _program(rng, count: int) -> list[str]:
    """Kinds of rooms; a corridor comes last."""
    kinds = ["living room", "kitchen", "bedroom", "bathroom"][: max(3, min(count, 4))]
    if count == 3 and rng.random() < 0.4:
        kinds[1] = "bathroom"
    hallway = count >= 5 and rng.random() < 0.2 + 0.05 * count
    limits = {"bedroom": 1 + count // 4, "bathroom": 1 + count // 6}
    while len(kinds) < count - hallway:
        kind = str(rng.choice(_EXTRA))
        if kinds.count(kind) < limits.get(kind, 1 + count // 9):
            kinds.append(kind)
    return kinds + ["hallway"] * hallway


def _areas(rng, kinds) -> np.ndarray:
    return np.array([rng.uniform(*ROOM_SIZES[kind][:2]) for kind in kinds])


def _fits(kind: str, cell: Rectangle) -> bool:
    width, depth = cell[2] - cell[0] - WALL, cell[3] - cell[1] - WALL
    short, long = min(width, depth), max(width, depth)
    least, _, side = ROOM_SIZES[kind]
    if kind == "hallway":
        return short >= side - WALL
    return short >= side - WALL and long / short <= 2.0 and width * depth >= 0.8 * least


def _split_plan(rng, kinds) -> list[Rectangle]:
    """Splits a rectangle recursively in two, each side getting rooms by area."""
    areas = _areas(rng, kinds)
    aspect = rng.uniform(1.0, 1.5)
    width = math.sqrt(areas.sum() * aspect)
    cells: list[Rectangle] = [(0.0, 0.0, 0.0, 0.0)] * len(kinds)
    _split(rng, list(rng.permutation(len(kinds))), areas, (0.0, 0.0, width, areas.sum() / width), cells)
    return cells


def _split(rng, rooms: list[int], areas: np.ndarray, box: Rectangle, cells: list[Rectangle]) -> None:
    if len(rooms) == 1:
        cells[rooms[0]] = box
        return
    # The best balanced split gives the squarest rooms; some randomness makes plans differ.
    sums = np.cumsum(areas[rooms])
    balance = np.abs(sums[:-1] / sums[-1] - 0.5) + rng.uniform(0.0, 0.15, len(rooms) - 1)
    cut = int(np.argmin(balance)) + 1
    share = float(sums[cut - 1] / sums[-1])
    x0, y0, x1, y1 = box
    if x1 - x0 >= y1 - y0:
        x = x0 + share * (x1 - x0)
        halves = (x0, y0, x, y1), (x, y0, x1, y1)
    else:
        y = y0 + share * (y1 - y0)
        halves = (x0, y0, x1, y), (x0, y, x1, y1)
    _split(rng, rooms[:cut], areas, halves[0], cells)
    _split(rng, rooms[cut:], areas, halves[1], cells)


def _corridor(rng, kinds) -> list[Rectangle] | None:
    """Rooms on both sides of a corridor; often living room and kitchen close its end over the whole depth."""
    rooms = list(rng.permutation(len(kinds) - 1))
    areas = _areas(rng, kinds)
    width = rng.uniform(1.55, 1.9)
    cells: list[Rectangle] = [(0.0, 0.0, 0.0, 0.0)] * len(kinds)
    head = [kinds.index("living room"), kinds.index("kitchen")] if len(rooms) >= 5 and rng.random() < 0.6 else []
    rooms = [room for room in rooms if room not in head]
    half = len(rooms) // 2
    rows = rooms[:half], rooms[half:]
    length = float(sum(areas[rooms]) / rng.uniform(6.6, 8.0))
    depths = [float(areas[row].sum()) / length for row in rows]
    for row, depth, y in zip(rows, depths, (0.0, depths[0] + width), strict=True):
        x = 0.0
        for room in row:
            step = areas[room] / depth
            cells[room] = (x, y, x + step, y + depth)
            x += step
        if row:
            cells[row[-1]] = (*cells[row[-1]][:2], length, y + depth)
    cells[-1] = (0.0, depths[0], length, depths[0] + width)
    if head:
        living, kitchen = head
        total = depths[0] + width + depths[1]
        end = length + float(areas[head].sum()) / total
        cut = total * float(areas[living] / areas[head].sum())
        # The corridor opens into the living room, so that side of the split must extend past it.
        if cut >= depths[0] + width:
            cells[living], cells[kitchen] = (length, 0.0, end, cut), (length, cut, end, total)
        elif total - cut <= depths[0]:
            cells[kitchen], cells[living] = (length, 0.0, end, total - cut), (length, total - cut, end, total)
        else:
            return None
    if rng.random() < 0.5:
        cells = [(y0, x0, y1, x1) for x0, y0, x1, y1 in cells]
    return cells


def _shared(a: Rectangle, b: Rectangle) -> tuple[int, float, float, float, bool] | None:
    """(axis, at, low, high, whether a is the lower one) of the border between two cells."""
    for axis in (0, 1):
        other = 1 - axis
        low, high = max(a[other], b[other]), min(a[other + 2], b[other + 2])
        if high - low < 0.5:
            continue
        if abs(a[axis + 2] - b[axis]) < 1e-9:
            return axis, a[axis + 2], low, high, True
        if abs(b[axis + 2] - a[axis]) < 1e-9:
            return axis, b[axis + 2], low, high, False
    return None


def _cost(a: str, b: str) -> float:
    """Cost of a door between two kinds of rooms: how unusual it would be."""
    pair = {a, b}
    if "hallway" in pair:
        return 0.5
    if "bathroom" in pair or "laundry room" in pair:
        if pair & {"living room"}:
            return 3.0
        return 4.0 if "bedroom" in pair else 6.0
    if pair <= {"living room", "kitchen", "dining room"}:
        return 1.0
    if "living room" in pair or "dining room" in pair:
        return 2.0
    return 5.0 if "kitchen" not in pair else 6.0


def _openings(rng, kinds, cells) -> list[Opening] | None:
    """Doors along a minimum spanning tree, wide passages between living rooms, a few more doors for loops."""
    edges = []
    for i in range(len(cells)):
        for j in range(i + 1, len(cells)):
            border = _shared(cells[i], cells[j])
            if border is not None and border[3] - border[2] >= 1.35:
                edges.append((_cost(kinds[i], kinds[j]) + rng.uniform(0.0, 1.0), i, j, border))
    edges.sort(key=lambda edge: edge[:3])
    group = list(range(len(cells)))
    openings: list[Opening] = []
    for cost, i, j, border in edges:
        joins = group[i] != group[j]
        loop = cost < 3.0 and rng.random() < 0.25 and "hallway" not in (kinds[i], kinds[j])
        if not joins and not loop:
            continue
        openings.append(_opening(rng, kinds, i, j, border))
        old, new = group[j], group[i]
        group = [new if g == old else g for g in group]
    return openings if len(set(group)) == 1 else None


def _opening(rng, kinds, i: int, j: int, border) -> Opening:
    axis, at, low, high, i_is_lower = border
    rooms = (i, j) if i_is_lower else (j, i)
    room = high - low
    social = {kinds[i], kinds[j]} <= {"living room", "kitchen", "dining room", "hallway"} and kinds[i] != kinds[j]
    if social and room >= 2.6 and rng.random() < 0.5 and "hallway" not in (kinds[i], kinds[j]):
        width = min(room - 0.7, float(rng.uniform(1.8, 3.4)))
        start = low + 0.35 + rng.random() * (room - 0.7 - width)
        return Opening(axis, float(at), float(start), float(start + width), rooms, wide=True)
    width = min(float(rng.uniform(0.88, 1.0)), room - 0.4)
    spare = room - 0.36 - width
    # Doors are near a corner, as in real homes, so that walls stay free for furniture.
    share = rng.choice([0.0, 1.0]) + rng.choice([-1.0, 1.0]) * rng.uniform(0.0, 0.15)
    start = low + 0.18 + min(max(share, 0.0), 1.0) * spare
    return Opening(axis, float(at), float(start), float(start + width), rooms)


def opening_between(rng, kinds: list[str], rooms: list[Rectangle], i: int, j: int, cell: Rectangle) -> Opening:
    """A door between room ``i`` and room ``j``, whose cell is given and lies right above or below."""
    h = WALL / 2.0
    x0, _, x1, y1 = rooms[i]
    lower = y1 < cell[1]
    at = cell[1] if lower else cell[3]
    low, high = max(x0 - h, cell[0]), min(x1 + h, cell[2])
    return _opening(rng, kinds, i, j, (1, at, low, high, lower))


def _windows(rng, kinds, cells, low, high) -> list[Window]:
    windows = []
    for index, (kind, cell) in enumerate(zip(kinds, cells, strict=True)):
        for side in range(4):
            bound = (low[0], low[1], high[0], high[1])[side]
            if kind == "hallway" or abs(cell[side] - bound) > 1e-9:
                continue
            along = 1 - side % 2
            length = cell[along + 2] - cell[along]
            if length < 1.9 or rng.random() < 0.3:
                continue
            width = min(float(rng.uniform(0.9, 1.7)), length - 1.0)
            middle = (cell[along] + cell[along + 2]) / 2.0 + float(rng.uniform(-0.2, 0.2))
            sill = 1.25 if kind == "bathroom" else 0.95
            windows.append(Window(index, side, middle - width / 2.0, middle + width / 2.0, sill, 2.1))
    return windows
