"""Places furniture in rooms as people do: against walls, around tables, clear of doors. Knows nothing of episodes.

A room's doors stay connected for a robot: a piece that would divide the free floor is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..interface import SceneObject
from . import fixtures, furniture
from .catalog import CATEGORIES, drawn_size, tinted
from .layout import Plan
from .shapes import Material, MeshBuilder

_CELL = 0.08
#: Passages are kept free for a circle of this radius (m): a 0.18 m robot with some clearance.
_PASSAGE = 0.30
#: Yaw of a piece whose back stands against the west, south, east, north side.
SIDE_YAW = (-math.pi / 2, 0.0, math.pi / 2, math.pi)


@dataclass
class Floor:
    """One room's floor while it is being furnished; all in the scene's frame (m)."""

    index: int
    kind: str
    rectangle: tuple[float, float, float, float]
    doors: list[tuple[float, float, int, float]]  # x, y, side, width
    windows: list[tuple[int, float, float, float]]  # side, low, high, sill
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    tall: list[tuple[int, float, float]] = field(default_factory=list)  # side, low, high that hangings must avoid
    pieces: list[SceneObject] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Width and depth (m)."""
        return self.rectangle[2] - self.rectangle[0], self.rectangle[3] - self.rectangle[1]

    def length(self, side: int) -> float:
        """Length of a side (m)."""
        return self.size[1 - side % 2]


class Furnisher:
    """Places pieces in a plan and adds their triangles to a builder; ``objects`` lists what was placed where."""

    def __init__(self, plan: Plan, builder: MeshBuilder, rng: np.random.Generator) -> None:
        self.plan, self.builder, self.rng = plan, builder, rng
        self.objects: list[SceneObject] = []
        self.floors: list[Floor] = []
        self.accent = Material("wood-2", tinted("brown", rng), 0.8)

    def floor(self, index: int) -> Floor:
        """The empty floor of a room, with the areas around its doors kept clear."""
        room = self.plan.rooms[index]
        floor = Floor(index, self.plan.kinds[index], room, [], [])
        for opening in self.plan.openings:
            if index not in opening.rooms:
                continue
            side = opening.axis + (2 if opening.rooms[0] == index else 0)
            floor.doors.append((*opening.middle, side, opening.high - opening.low))
        for window in self.plan.windows:
            if window.room == index:
                floor.windows.append((window.side, window.low, window.high, window.sill))
        self.floors.append(floor)
        return floor

    def look(self, category: str, color: str) -> furniture.Look:
        """Materials of one specimen of a category in a named colour."""
        textures = CATEGORIES[category].textures
        name = textures[int(self.rng.integers(len(textures)))]
        return furniture.Look(Material(name, tinted(color, self.rng), 0.7), self.accent, self.rng)

    def color(self, category: str) -> str:
        """A colour of the category, preferably one that no specimen here has yet."""
        colors = CATEGORIES[category].colors
        used = {o.color for o in self.objects if o.category == category}
        fresh = [c for c in colors if c not in used]
        choice = fresh if fresh and self.rng.random() < 0.8 else colors
        return str(choice[int(self.rng.integers(len(choice)))])

    def put(
        self,
        floor: Floor,
        category: str,
        x: float,
        y: float,
        yaw: float,
        size=None,
        color="",
        z=0.0,
        solid=None,
        look=None,
    ) -> SceneObject:
        """Places a piece without any checks; its category's maker shapes it unless ``solid`` is given."""
        size = drawn_size(category, self.rng) if size is None else size
        color = color or self.color(category)
        if solid is None:
            solid = maker(category)(size, self.look(category, color) if look is None else look)
        instance = len(self.objects) + 1
        self.builder.add(solid, (x, y, z), yaw, instance, self.rng.uniform(0.0, 1.0, 2))
        low, high = solid.bounds
        middle = (low + high) / 2.0
        c, s = math.cos(yaw), math.sin(yaw)
        center = (x + c * middle[0] - s * middle[1], y + s * middle[0] + c * middle[1], z + middle[2])
        piece = SceneObject(
            instance,
            category,
            color,
            floor.index,
            (float(center[0]), float(center[1]), float(center[2])),
            (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2] - low[2])),
            float(yaw),
        )
        self.objects.append(piece)
        floor.pieces.append(piece)
        return piece

    def stand(
        self, floor: Floor, category: str, x, y, yaw, size=None, color="", gap=0.02, front=0.0, turn=0.0
    ) -> SceneObject | None:
        """Places a piece on the floor if it fits and keeps passages open; else returns None.

        ``front`` is the space (m) that must be clear in front of it when it is placed, so that it can be used; ``turn``
        (rad) rotates it a little in its place, as people leave a chair.
        """
        size = drawn_size(category, self.rng) if size is None else size
        box = footprint(x, y, yaw, size[0], size[1])
        if not self.fits(floor, grown(box, gap), grown(reach(x, y, yaw, size[0], size[1], front), 0.0)):
            return None
        if not self.passable(floor, box):
            return None
        floor.boxes.append(box)
        self._note_tall(floor, box, size[2])
        return self.put(floor, category, x, y, yaw + turn, size, color)

    def fits(self, floor: Floor, box, reach_box=None) -> bool:
        """Whether a box is inside the room and clear of other pieces and doors."""
        x0, y0, x1, y1 = floor.rectangle
        tolerance = 0.03
        for candidate, slack in ((box, tolerance), (reach_box, tolerance)):
            if candidate is None:
                continue
            a, b, c, d = candidate
            if a < x0 - slack or b < y0 - slack or c > x1 + slack or d > y1 + slack:
                return False
        if any(overlap(box, other) for other in floor.boxes):
            return False
        if reach_box is not None and any(overlap(grown(reach_box, -0.02), other) for other in floor.boxes):
            return False
        return not any(overlap(box, door_zone(door)) for door in floor.doors)

    def passable(self, floor: Floor, box) -> bool:
        """Whether the room's doors and nearly all of its free floor stay connected once ``box`` is occupied."""
        return connected(floor.rectangle, [*floor.boxes, box], [(d[0], d[1], d[2]) for d in floor.doors])

    def against(self, floor: Floor, category: str, size=None, color="", sides=None, front=0.6, tries=14, corner=False):
        """Places a piece with its back to a wall, at a random free place; None if there is none."""
        size = drawn_size(category, self.rng) if size is None else size
        for _ in range(tries):
            side = int(self.rng.choice(sides)) if sides is not None else int(self.rng.integers(4))
            spare = floor.length(side) - size[0] - 0.06
            if spare < 0:
                continue
            share = float(self.rng.choice([0.0, 1.0])) if corner else float(self.rng.random())
            along = floor.rectangle[1 - side % 2] + 0.03 + share * spare + size[0] / 2
            if size[2] > 1.0 and before_window(floor, side, along - size[0] / 2, along + size[0] / 2):
                continue
            x, y, yaw = at_wall(floor, side, along, size[1])
            piece = self.stand(floor, category, x, y, yaw, size, color, front=front)
            if piece is not None:
                return piece
        return None

    def beside(
        self, floor: Floor, piece: SceneObject, category: str, sign: int, size=None, color="", gap=0.06, back=True
    ):
        """Places a piece next to another, to its right (+1) or left (-1), backs aligned."""
        size = drawn_size(category, self.rng) if size is None else size
        dx = sign * (piece.extent[0] / 2 + size[0] / 2 + gap)
        dy = (size[1] - piece.extent[1]) / 2 if back else 0.0
        x, y = from_piece(piece, dx, dy)
        return self.stand(floor, category, x, y, piece.yaw, size, color, gap=0.0)

    def on_top(self, floor: Floor, piece: SceneObject, category: str, size=None, color="", dx=0.0, dy=0.0):
        """Puts a piece on another."""
        size = drawn_size(category, self.rng) if size is None else size
        x, y = from_piece(piece, dx, dy)
        return self.put(floor, category, x, y, piece.yaw, size, color, z=piece.center[2] + piece.extent[2] / 2)

    def hang(self, floor: Floor, category: str, middle: float, size=None, tries=10):
        """Hangs something on a wall with its middle at a height (m), clear of doors, windows and tall pieces."""
        size = drawn_size(category, self.rng) if size is None else size
        for _ in range(tries):
            side = int(self.rng.integers(4))
            spare = floor.length(side) - size[0] - 0.3
            if spare < 0:
                continue
            low = floor.rectangle[1 - side % 2] + 0.15 + float(self.rng.random()) * spare
            if self.wall_taken(floor, side, low - 0.06, low + size[0] + 0.06):
                continue
            floor.tall.append((side, low, low + size[0]))
            x, y, yaw = at_wall(floor, side, low + size[0] / 2, size[1], gap=0.0)
            return self.put(floor, category, x, y, yaw, size, z=middle - size[2] / 2)
        return None

    def wall_taken(self, floor: Floor, side: int, low: float, high: float) -> bool:
        """Whether a door, a window, something tall or something hung occupies a stretch of wall."""
        if before_window(floor, side, low - 0.1, high + 0.1):
            return True
        if any(s == side and low < b and a < high for s, a, b in floor.tall):
            return True
        for x, y, door_side, width in floor.doors:
            along = y if side % 2 == 0 else x
            if door_side == side and low < along + width / 2 + 0.1 and along - width / 2 - 0.1 < high:
                return True
        return False

    def _note_tall(self, floor: Floor, box, height: float) -> None:
        if height < 1.15:
            return
        for side in range(4):
            distance = abs(box[side] - floor.rectangle[side])
            if distance < 0.3:
                along = 1 - side % 2
                floor.tall.append((side, box[along], box[along + 2]))


def maker(category: str):
    """The function that shapes a category."""
    name = category.replace(" ", "_")
    return getattr(furniture, name, None) or getattr(fixtures, name)


def footprint(x: float, y: float, yaw: float, width: float, depth: float) -> tuple[float, float, float, float]:
    """The axis-aligned box around a turned rectangle."""
    c, s = abs(math.cos(yaw)), abs(math.sin(yaw))
    hx, hy = (c * width + s * depth) / 2, (s * width + c * depth) / 2
    return (x - hx, y - hy, x + hx, y + hy)


def reach(x, y, yaw, width, depth, front):
    """The box of a piece together with the floor before it."""
    cx, cy = x - math.sin(yaw) * front / 2, y + math.cos(yaw) * front / 2
    return footprint(cx, cy, yaw, width, depth + front)


def grown(box, margin: float):
    """A box with ``margin`` added on all sides."""
    return (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)


def overlap(a, b) -> bool:
    """Whether two boxes share more than their borders."""
    return a[0] < b[2] - 1e-9 and b[0] < a[2] - 1e-9 and a[1] < b[3] - 1e-9 and b[1] < a[3] - 1e-9


def door_zone(door):
    """The floor around a door that stays clear."""
    x, y, side, width = door
    along, across = width / 2 + 0.05, 0.75
    return (
        (x - across, y - along, x + across, y + along)
        if side % 2 == 0
        else (x - along, y - across, x + along, y + across)
    )


def before_window(floor: Floor, side: int, low: float, high: float) -> bool:
    """Whether a stretch of wall has a window."""
    return any(s == side and low < b and a < high for s, a, b, _ in floor.windows)


def at_wall(floor: Floor, side: int, along: float, depth: float, gap: float = 0.025) -> tuple[float, float, float]:
    """(x, y, yaw) of a piece of some depth whose back stands at ``along`` on a side."""
    across = floor.rectangle[side] + (1 if side < 2 else -1) * (depth / 2 + gap)
    x, y = (across, along) if side % 2 == 0 else (along, across)
    return x, y, SIDE_YAW[side]


def from_piece(piece: SceneObject, dx: float, dy: float) -> tuple[float, float]:
    """A place relative to a piece: dx along its width, dy towards its front."""
    c, s = math.cos(piece.yaw), math.sin(piece.yaw)
    return piece.center[0] + c * dx - s * dy, piece.center[1] + s * dx + c * dy


def connected(rectangle, boxes, doors) -> bool:
    """Whether the doors of a room lie in one free area that holds at least 93% of the free floor."""
    from scipy import ndimage

    x0, y0, x1, y1 = rectangle
    rows, columns = max(1, round((y1 - y0) / _CELL)), max(1, round((x1 - x0) / _CELL))
    x = x0 + (np.arange(columns) + 0.5) * (x1 - x0) / columns
    y = y0 + (np.arange(rows) + 0.5) * (y1 - y0) / rows
    free = np.ones((rows, columns), dtype=bool)
    for a, b, c, d in boxes:
        free[np.ix_((y > b - _PASSAGE) & (y < d + _PASSAGE), (x > a - _PASSAGE) & (x < c + _PASSAGE))] = False
    wall = _PASSAGE - 0.06
    free &= ((y > y0 + wall) & (y < y1 - wall))[:, None] & ((x > x0 + wall) & (x < x1 - wall))[None, :]
    labels, count = ndimage.label(free)
    if count == 0:
        return False
    areas = np.bincount(labels.ravel())[1:]
    best = int(np.argmax(areas)) + 1
    if areas[best - 1] < 0.93 * areas.sum():
        return False
    for px, py, side in doors:
        step = 0.42 if side < 2 else -0.42
        qx, qy = (px + step, py) if side % 2 == 0 else (px, py + step)
        near = labels[np.ix_(np.abs(y - qy) < 0.15, np.abs(x - qx) < 0.15)]
        if not (near == best).any():
            return False
    return True
