"""Goal places beside an object or inside a room, and distances from an object's surface. Knows nothing of language.

Only an object's axis-aligned box is known, which is larger than an object at an angle. So its surface is taken to be
the occupied cells within the ellipse inscribed in the box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..frames import OCCUPIED, MemoryObject
from ..planning import Planner
from ..planning.geodesic import fast_marching
from ..rooms import Room, Rooms
from .framing import Framing

#: Objects lower than this (m) do not block the view; walls and wardrobes do.
_LOW = 1.15
#: Passages wider than this (m) are not doors: the border between rooms is less certain there.
_WIDE = 1.2
#: Clearance (m) beyond the footprint at a place inside a room.
_AMPLE = 0.1
#: Distance (m) from a room's marks within which a place counts as inside the room.
NEAR_MARKS = 1.6
#: Share of the picture that a thing must be expected to fill to be well seen: three times what counts as in view.
_WELL = 0.03
#: Less than this of the picture is not worth driving for.
_HARDLY = 0.005
#: Places around a thing that are compared at most.
_MOST_PLACES = 150
#: Horizontal size (m) up to which a box is taken for the surface itself.
_SMALL = 0.7


@dataclass(frozen=True, eq=False)
class Stand:
    """A goal place for an object.

    Attributes:
        position: (x, y) m.
        gap: m from there to the object, see :class:`Surface`.
        cost: travel field's value there.
        share: 0 to 1, of the picture that the object is expected to fill from there; 0 where it was not asked for.
    """

    position: tuple[float, float]
    gap: float
    cost: float
    share: float = 0.0


class Surface:
    """Distances from one object's surface, over floor and low furniture but not through walls.

    Args:
        thing: the object.
        planner: of the present grid.
        objects: all remembered objects, to know which are low.
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
        # For a small object use the whole ellipse, not occupied cells: of a lamp only the pole is occupied.
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
        """Crops a HxW image of the grid to the window that :attr:`gaps` covers."""
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
    """The cheapest reachable place within ``distance`` (m) of a surface; failing that, the reachable one nearest to it.

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


def stand_in_view(
    thing: MemoryObject, surface: Surface, travel: np.ndarray, distance: float, farthest: float, framing: Framing
) -> Stand | None:
    """The cheapest reachable place within ``distance`` (m) of a thing from which the camera will see it well.

    Where it is seen well from no such place, the nearest one up to ``farthest`` (m) from which it is: what stands high
    is above the picture of a camera right before it.

    Args:
        thing: the object.
        surface: its surface.
        travel: HxW travel field from the robot.
        framing: of the present map.

    Returns:
        None where no reachable place is within ``farthest``, or it is hardly seen from any: no detour is worth that.
    """
    cost = surface.cut(travel)
    cells = np.argwhere(np.isfinite(cost) & (surface.gaps <= farthest))
    if len(cells) == 0:
        return None
    cells = cells[:: 1 + len(cells) // _MOST_PLACES]
    places = surface.grid.centers(cells + surface.corner)
    shares = framing.look(thing, places)[1]
    if shares.max() < _HARDLY:
        return None
    gaps, costs = surface.gaps[tuple(cells.T)], cost[tuple(cells.T)]
    well = shares >= well_seen(float(shares.max()))
    close = well & (gaps <= distance)
    best = int(
        np.argmin(np.where(close, costs, np.inf) if close.any() else np.where(well, gaps + 0.01 * costs, np.inf))
    )
    x, y = places[best]
    return Stand((float(x), float(y)), float(gaps[best]), float(costs[best]), float(shares[best]))


def well_seen(most: float) -> float:
    """Share of the picture that counts as well seen, if ``most`` is the largest that can be had."""
    return min(_WELL, 0.7 * most)


def stand_in_room(
    rooms: Rooms, room: Room, planner: Planner, travel: np.ndarray, depth: float, near: Sequence[MemoryObject] = ()
) -> Stand | None:
    """The cheapest reachable place safely inside a room: just past the door.

    Args:
        rooms: of the planner's grid.
        room: one of them.
        planner: of the present grid.
        travel: HxW travel field from the robot.
        depth: least distance (m) from the floor of other rooms; twice that from a passage wider than a door.
        near: marks, at least one of which must be near, if the region holds two rooms.
    """
    import cv2

    inside = rooms.mask(room.id) & np.isfinite(travel)
    if near:
        places = np.array([o.position[:2] for o in near])
        cells = np.argwhere(inside)
        gaps = np.linalg.norm(planner.grid.centers(cells)[:, None] - places, axis=-1).min(axis=1, initial=np.inf)
        inside[tuple(cells[gaps > NEAR_MARKS].T)] = False
    if not inside.any():
        return None
    others = (rooms.labels > 0) & (rooms.labels != room.id)
    away = cv2.distanceTransform((~others).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away = away * np.float32(planner.grid.resolution)
    if not others.any():
        away = np.full(inside.shape, np.inf, dtype=np.float32)
    wide = any(d.width > _WIDE for d in room.doors)
    ample = planner.map.clearance >= planner.map.robot.footprint_radius + _AMPLE
    for margin in (2.0 * depth if wide else depth, depth, 0.5 * depth, 0.0):
        fit = inside & (away >= margin) & (ample if margin else True)
        if fit.any():
            row, column = np.unravel_index(int(np.argmin(np.where(fit, travel, np.inf))), fit.shape)
            x, y = planner.grid.centers(np.array([row, column]))
            return Stand((float(x), float(y)), 0.0, float(travel[row, column]))
    return None


def _stand(surface: Surface, cost: np.ndarray, value: np.ndarray) -> Stand:
    row, column = (int(i) for i in np.unravel_index(int(np.argmin(value)), value.shape))
    return Stand(surface.place(row, column), float(surface.gaps[row, column]), float(cost[row, column]))


def _ellipse(centers: np.ndarray, thing: MemoryObject) -> np.ndarray:
    """Squared distance of positions (...x2) from an object's middle, 1 on the ellipse in its box."""
    half = np.maximum(0.5 * np.asarray(thing.extent[:2]), 0.05)
    return (((centers - thing.position[:2]) / half) ** 2).sum(axis=-1)
