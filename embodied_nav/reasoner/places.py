"""Where to stand for a thing or inside a room, and how near a place is to a thing. Knows nothing of language.

All that is known of a thing is its box along the map's axes, so its surface is taken to be what is occupied within
the ellipse in that box: a box holds more than a thing that stands at an angle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..frames import OCCUPIED, MemoryObject
from ..planning import Planner
from ..planning.geodesic import fast_marching

#: Things that end below this height (m) are looked over; walls and wardrobes are not.
_LOW = 1.15
#: Clearance (m) that doors do not have and rooms do.
_ROOMY = 0.47
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
        surface = (inside <= 1.1) & occupied
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


def _stand(surface: Surface, cost: np.ndarray, value: np.ndarray) -> Stand:
    row, column = np.unravel_index(int(np.argmin(value)), value.shape)
    return Stand(surface.place(row, column), float(surface.gaps[row, column]), float(cost[row, column]))


def _ellipse(centers: np.ndarray, thing: MemoryObject) -> np.ndarray:
    """Squared distance of positions (...x2) from an object's middle, 1 on the ellipse in its box."""
    half = np.maximum(0.5 * np.asarray(thing.extent[:2]), 0.05)
    return (((centers - thing.position[:2]) / half) ** 2).sum(axis=-1)
