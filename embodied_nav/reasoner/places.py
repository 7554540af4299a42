"""Where to stand for a thing or inside a room, and how near a place is to a thing. Knows nothing of language.

All that is known of a thing is its box along the map's axes, so its surface is taken to be what is occupied within
the ellipse in that box: a box holds more than a thing that stands at an angle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..frames import OCCUPIED, MemoryObject, OccupancyGrid
from ..planning import Planner
from ..planning.geodesic import fast_marching

#: Things that end below this height (m) are looked over; walls and wardrobes are not.
_LOW = 1.15
#: Clearance (m) that doors do not have and rooms do.
_ROOMY = 0.52
#: Horizontal size (m) up to which a box is taken for the surface itself.
_SMALL = 0.7
#: Where the object has no such ground this near (m), its room is too narrow for that: stand beside the object.
_BESIDE = 0.8


@dataclass(frozen=True, eq=False)
class Stand:
    """Where to stand for an object.

    Attributes:
        position: (x, y) m.
        gap: m from there to the object, see :class:`Surface`.
        cost: travel field's value there.
    """

    position: tuple[float, float]
    gap: float
    cost: float


class Surface:
    """Distances from one object's surface, over floor and low furniture but not through walls.

    Args:
        thing: the object.
        planner: of the present grid.
        objects: all that is remembered, to know what is low.
        reach: m around the object.
        radius: m; a distance also counts as no less than the distance to the object's middle minus this. For goals
            that are points: the middle of a long sofa is far from its ends.
    """

    def __init__(
        self,
        thing: MemoryObject,
        planner: Planner,
        objects: Sequence[MemoryObject],
        reach: float,
        radius: float = math.inf,
    ) -> None:
        self.grid = planner.grid
        half = 0.5 * np.asarray(thing.extent[:2])
        rows, columns = self.grid.data.shape
        r0, c0 = (int(v) for v in self.grid.cells(thing.position[:2] - half - reach))
        r1, c1 = (int(v) + 1 for v in self.grid.cells(thing.position[:2] + half + reach))
        self.corner = (min(max(r0, 0), rows), min(max(c0, 0), columns))
        self._window = (slice(self.corner[0], max(r1, 0)), slice(self.corner[1], max(c1, 0)))
        occupied = self.cut(self.grid.data) == OCCUPIED
        if occupied.size == 0:
            self.gaps = np.full(occupied.shape, np.inf, dtype=np.float32)
            return
        rr, cc = np.mgrid[: occupied.shape[0], : occupied.shape[1]]
        centers = self.grid.centers(np.stack([rr + self.corner[0], cc + self.corner[1]], axis=-1))
        inside = _ellipse(centers, thing)
        # A small thing's box is its surface: of a lamp only the pole stands in the way.
        surface = inside <= 1.0 if max(thing.extent[:2]) < _SMALL else (inside <= 1.1) & occupied
        if not surface.any():
            surface = inside <= max(1.0, float(inside.min()))
        open_ground = ~occupied | (inside <= 1.1)
        for other in objects:
            if other.id != thing.id and other.position[2] + 0.5 * other.extent[2] < _LOW:
                open_ground |= _ellipse(centers, other) <= 1.0
        self.gaps = fast_marching(open_ground, np.argwhere(surface), self.grid.resolution)
        if math.isfinite(radius):
            middle = np.linalg.norm(centers - thing.position[:2], axis=-1) - radius
            self.gaps = np.maximum(self.gaps, middle.astype(np.float32))

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The part of a HxW image of the grid that :attr:`gaps` covers."""
        return image[self._window]

    def gap(self, xy: tuple[float, float]) -> float:
        """m from a place to the surface; inf out of reach."""
        row, column = (int(v) for v in self.grid.cells(np.asarray(xy)))
        row, column = row - self.corner[0], column - self.corner[1]
        inside = 0 <= row < self.gaps.shape[0] and 0 <= column < self.gaps.shape[1]
        return float(self.gaps[row, column]) if inside else math.inf

    def place(self, row: int, column: int) -> tuple[float, float]:
        """(x, y) of a cell of :attr:`gaps`."""
        x, y = self.grid.centers(np.array([row + self.corner[0], column + self.corner[1]]))
        return float(x), float(y)


def stand_beside(surface: Surface, travel: np.ndarray, distance: float) -> Stand | None:
    """The cheapest reachable place within ``distance`` (m) of a surface; failing that the nearest to it.

    Args:
        surface: of the object.
        travel: HxW travel field from the robot.
        distance: m.

    Returns:
        None where no reachable place is in reach.
    """
    cost = surface.cut(travel)
    usable = np.isfinite(cost) & np.isfinite(surface.gaps)
    if not usable.any():
        return None
    close = usable & (surface.gaps <= distance)
    value = np.where(close, cost, np.inf) if close.any() else np.where(usable, surface.gaps + 0.01 * cost, np.inf)
    return _stand(surface, cost, value)


def stand_inside(surface: Surface, travel: np.ndarray, clearance: np.ndarray, depth: float) -> Stand | None:
    """A place well inside the room of an object, not at its door.

    Ground with more clearance than any door has falls into pieces at doors. Of the piece nearest to the object the
    robot goes ``depth`` beyond where it enters.

    Args:
        surface: of an object that marks the room.
        travel: HxW travel field from the robot.
        clearance: HxW m.
        depth: m.
    """
    import cv2

    cost = surface.cut(travel)
    usable = np.isfinite(cost) & np.isfinite(surface.gaps)
    roomy = usable & (surface.cut(clearance) >= _ROOMY)
    if not roomy.any() or float(surface.gaps[roomy].min()) > _BESIDE:
        return stand_beside(surface, travel, depth)
    _, pieces = cv2.connectedComponents(roomy.astype(np.uint8), connectivity=4)
    nearest = np.unravel_index(int(np.argmin(np.where(roomy, surface.gaps, np.inf))), roomy.shape)
    piece = pieces == pieces[nearest]
    entered = float(cost[piece].min()) if float(cost[piece].min()) > depth else -math.inf
    within = piece & (cost >= entered + depth) & (surface.gaps <= 1.5)
    if not within.any():
        within = piece
    return _stand(surface, cost, np.where(within, cost + 0.5 * surface.gaps, np.inf))


def together(objects: Sequence[MemoryObject], grid: OccupancyGrid, reach: float) -> np.ndarray:
    """Which objects stand in one room, as far as the map tells.

    Two do if the line between their middles crosses nothing but floor and remembered furniture: no wall, and nothing
    unknown, as the inside of a wall is.

    Args:
        objects: N remembered objects.
        grid: map with unknown.
        reach: m; farther apart they do not count as together.

    Returns:
        NxN bool, symmetric.
    """
    count = len(objects)
    if count == 0:
        return np.zeros((0, 0), dtype=np.bool_)
    middles = np.array([o.position[:2] for o in objects], dtype=np.float64)
    halves = np.array([0.5 * np.asarray(o.extent[:2]) for o in objects], dtype=np.float64) + grid.resolution
    middles = (middles - np.asarray(grid.origin)) / grid.resolution
    return _together(grid.data, middles, halves / grid.resolution, reach / grid.resolution)


def _stand(surface: Surface, cost: np.ndarray, value: np.ndarray) -> Stand:
    row, column = np.unravel_index(int(np.argmin(value)), value.shape)
    return Stand(surface.place(row, column), float(surface.gaps[row, column]), float(cost[row, column]))


def _ellipse(centers: np.ndarray, thing: MemoryObject) -> np.ndarray:
    """Squared distance of positions (...x2) from an object's middle, 1 on the ellipse in its box."""
    half = np.maximum(0.5 * np.asarray(thing.extent[:2]), 0.05)
    return (((centers - thing.position[:2]) / half) ** 2).sum(axis=-1)


@njit(cache=True, nogil=True)
def _together(data, middles, halves, reach):
    """See :func:`together`; ``middles`` and ``halves`` (Nx2, x y) and ``reach`` in cells."""
    height, width = data.shape
    count = middles.shape[0]
    furniture = np.zeros((height, width), dtype=np.bool_)
    for k in range(count):
        for r in range(max(0, int(middles[k, 1] - halves[k, 1])), min(height, int(middles[k, 1] + halves[k, 1]) + 1)):
            for c in range(
                max(0, int(middles[k, 0] - halves[k, 0])), min(width, int(middles[k, 0] + halves[k, 0]) + 1)
            ):
                dx = (c + 0.5 - middles[k, 0]) / halves[k, 0]
                dy = (r + 0.5 - middles[k, 1]) / halves[k, 1]
                if dx * dx + dy * dy <= 1.0:
                    furniture[r, c] = True
    out = np.zeros((count, count), dtype=np.bool_)
    for a in range(count):
        out[a, a] = True
        for b in range(a):
            dx, dy = middles[b, 0] - middles[a, 0], middles[b, 1] - middles[a, 1]
            length = np.sqrt(dx * dx + dy * dy)
            if length > reach:
                continue
            n = int(2.0 * length) + 1
            clear = True
            for i in range(n + 1):
                c, r = int(middles[a, 0] + dx * i / n), int(middles[a, 1] + dy * i / n)
                inside = 0 <= r < height and 0 <= c < width
                if not inside or (data[r, c] != 0 and not furniture[r, c]):
                    clear = False
                    break
            out[a, b] = out[b, a] = clear
    return out
