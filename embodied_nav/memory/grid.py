"""The map from above, kept up to date by what changed. Knows nothing of images and of the voxels' storage.

Per column of voxels it counts the confirmed ones in the robot's height band, whether the floor was seen there, and
how many frames looked through the band over it. Occupied: a confirmed voxel, with a second one in the column or a
neighbour (a lone one is a speckle). Free: seen floor, or seen through. Anything else is unknown.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from .keys import unpack

#: The grid grows by so many cells, to at most MAX_SIDE a side.
GROWTH, MAX_SIDE = 64, 8192
#: Half a degree, so that rays reach every 5 cm cell up to 5.7 m.
AZIMUTHS = 720
#: Frames that must see through a column whose floor was never seen until it is free.
RAYS_FOR_FREE = 2


class ColumnGrid:
    """Obstacle, floor and see-through evidence per column.

    Args:
        cell: m. floor: z of the floor, m. low, high: height band of obstacles above it, m. below: floor depth, m.
        clear: radius around the camera that is free, m. reach: longest ray, m.
    """

    def __init__(self, cell: float, floor: float, low: float, high: float, below: float, clear: float, reach: float):
        self.cell, self.clear_radius, self.reach = cell, clear, reach
        self.floor, self.below = floor, below
        self.set_band(low, high)
        self.reset()

    def set_band(self, low: float, high: float) -> None:
        """Changes the height band; the obstacle counts must then be made anew."""
        self.low, self.high = low, high
        edges = (self.floor - self.below, self.floor + low, self.floor + high)
        # Whole voxels: below the band's first one is floor, however thick its noise.
        down, bottom, top = (math.ceil(round(e / self.cell, 6)) for e in edges)
        self._band = np.array([down, bottom, max(top, bottom + 1)], np.int64)

    def reset(self) -> None:
        """Forgets everything."""
        self._corner = np.zeros(2, np.int64)
        self._obstacles = np.zeros((0, 0), np.int16)
        self._seen = np.zeros((0, 0, 2), np.uint8)
        self._marks = np.zeros((0, 0), np.int32)
        self._frames = 0

    def reset_obstacles(self) -> None:
        """Forgets the obstacles, keeps the free space."""
        self._obstacles[:] = 0

    def apply(self, keys: np.ndarray, change: int) -> None:
        """Counts confirmed voxels in (+1) or out (-1) of their columns."""
        if len(keys):
            self._cover(keys)
            _apply(keys, change, self._band, self._corner, self._obstacles)

    def observe(self, keys: np.ndarray, sums: np.ndarray, position: np.ndarray, frames: int = 1) -> None:
        """Free space that one frame shows.

        Args:
            keys, sums: the frame's unique voxels. position: (3,) of the camera in map, m.
            frames: equal ones that it stands for.
        """
        here = np.floor(np.asarray(position[:2], np.float64) / self.cell).astype(np.int64)
        around = int(self.clear_radius / self.cell) + 1
        self._grow(here - around, here + around)
        self._cover(keys)
        self._frames += 1
        _observe(
            keys, sums, np.asarray(position, np.float64), self.cell, self._band, self.reach, self.clear_radius,
            self._corner, self._seen, self._marks, self._frames, frames,
        )  # fmt: skip

    def grid(self, stamp: int) -> OccupancyGrid:
        """The occupancy now."""
        data = _compose(self._obstacles, self._seen)
        return OccupancyGrid(data, self.cell, (self._corner[0] * self.cell, self._corner[1] * self.cell), stamp)

    def free_space(self) -> tuple[tuple[float, float], np.ndarray]:
        """Lower left corner (m) and HxWx2 uint8: floor seen (0 or 1), frames that saw through (at most 255)."""
        return (self._corner[0] * self.cell, self._corner[1] * self.cell), self._seen

    def restore(self, corner: tuple[float, float], seen: np.ndarray) -> None:
        """Takes what :meth:`free_space` gave; the obstacle counts must then be made anew."""
        self.reset()
        if seen.size:
            self._corner = np.rint(np.asarray(corner) / self.cell).astype(np.int64)
            self._seen = np.array(seen, np.uint8)
            self._obstacles = np.zeros(seen.shape[:2], np.int16)
            self._marks = np.zeros(seen.shape[:2], np.int32)

    def _cover(self, keys: np.ndarray) -> None:
        if len(keys):
            bounds = _bounds(keys)
            self._grow(bounds[:2], bounds[2:])

    def _grow(self, low: np.ndarray, high: np.ndarray) -> None:
        """Makes the arrays hold columns ``low`` to ``high``; what lies beyond MAX_SIDE stays outside."""
        rows, columns = self._obstacles.shape
        old_low = self._corner if rows else np.asarray(low, np.int64)
        old_high = old_low + np.array([columns, rows])
        new_low = np.minimum(old_low, np.floor_divide(low, GROWTH) * GROWTH)
        new_high = np.maximum(old_high, (np.floor_divide(high, GROWTH) + 1) * GROWTH)
        if rows and (new_low == old_low).all() and (new_high == old_high).all():
            return
        if ((new_high - new_low) > MAX_SIDE).any():
            return
        width, height = new_high - new_low
        x, y = old_low - new_low
        obstacles, seen = np.zeros((height, width), np.int16), np.zeros((height, width, 2), np.uint8)
        obstacles[y : y + rows, x : x + columns] = self._obstacles
        seen[y : y + rows, x : x + columns] = self._seen
        self._corner, self._obstacles, self._seen = np.asarray(new_low, np.int64), obstacles, seen
        self._marks = np.zeros((height, width), np.int32)


@njit(cache=True, nogil=True)
def _bounds(keys):
    x, y, _ = unpack(keys[0])
    out = np.array([x, y, x, y])
    for k in keys:
        x, y, _ = unpack(k)
        out[0], out[1] = min(out[0], x), min(out[1], y)
        out[2], out[3] = max(out[2], x), max(out[3], y)
    return out


@njit(cache=True, nogil=True)
def _apply(keys, change, band, corner, obstacles):
    for k in keys:
        x, y, z = unpack(k)
        x -= corner[0]
        y -= corner[1]
        inside = x >= 0 and y >= 0 and y < obstacles.shape[0] and x < obstacles.shape[1]
        if inside and z >= band[1] and z < band[2]:
            obstacles[y, x] += change


@njit(cache=True, nogil=True)
def _observe(keys, sums, position, cell, band, reach, clear, corner, seen, marks, frame, frames):
    """Marks seen floor, and by a polar scan the cells before each direction's nearest thing in the band."""
    height, width = seen.shape[:2]
    nearest = np.full(AZIMUTHS, np.inf)
    farthest = np.zeros(AZIMUTHS)
    step = 2.0 * np.pi / AZIMUTHS
    for e in range(keys.size):
        ix, iy, iz = unpack(keys[e])
        if band[0] <= iz < band[1]:
            x, y = ix - corner[0], iy - corner[1]
            if x >= 0 and y >= 0 and x < width and y < height:
                seen[y, x, 0] = 1
        n = sums[e, 6]
        dx = ix * cell + sums[e, 0] / n - position[0]
        dy = iy * cell + sums[e, 1] / n - position[1]
        distance = np.sqrt(dx * dx + dy * dy)
        if distance < cell:
            continue
        middle = np.arctan2(dy, dx) / step
        bin_ = int(np.floor(middle)) % AZIMUTHS
        farthest[bin_] = max(farthest[bin_], distance)
        if band[1] <= iz < band[2]:
            near = 0.5 * cell / distance  # 0.5 at most: of its arc tangent three terms do
            half = near * (1.0 - near * near * (1.0 / 3.0 - 0.2 * near * near)) / step
            for k in range(int(np.floor(middle - half)), int(np.floor(middle + half)) + 1):
                nearest[k % AZIMUTHS] = min(nearest[k % AZIMUTHS], distance)
    _cast(nearest, farthest, position, cell, reach, corner, seen, marks, frame, frames)
    _clear(position, cell, clear, corner, seen)


@njit(cache=True, nogil=True)
def _cast(nearest, farthest, position, cell, reach, corner, seen, marks, frame, frames):
    """Counts this frame as seeing through the cells along each direction, each cell once."""
    height, width = seen.shape[:2]
    step = 2.0 * np.pi / AZIMUTHS
    x0, y0 = position[0] / cell, position[1] / cell
    for k in range(AZIMUTHS):
        end = min(min(nearest[k] - cell, farthest[k]), reach)
        c, s = 0.5 * np.cos((k + 0.5) * step), 0.5 * np.sin((k + 0.5) * step)
        for i in range(int(end / (0.5 * cell)) if end > 0 else 0):
            x = int(np.floor(x0 + c * i)) - corner[0]
            y = int(np.floor(y0 + s * i)) - corner[1]
            if x >= 0 and y >= 0 and x < width and y < height and marks[y, x] != frame:
                marks[y, x] = frame
                seen[y, x, 1] = min(seen[y, x, 1] + frames, 255)


@njit(cache=True, nogil=True)
def _clear(position, cell, clear, corner, seen):
    height, width = seen.shape[:2]
    n = int(clear / cell) + 1
    cx, cy = int(np.floor(position[0] / cell)) - corner[0], int(np.floor(position[1] / cell)) - corner[1]
    for y in range(max(cy - n, 0), min(cy + n + 1, height)):
        for x in range(max(cx - n, 0), min(cx + n + 1, width)):
            if (x - cx) ** 2 + (y - cy) ** 2 <= (clear / cell) ** 2:
                seen[y, x, 1] = 255


@njit(cache=True, nogil=True)
def _compose(obstacles, seen):
    height, width = obstacles.shape
    data = np.full((height, width), UNKNOWN, np.int8)
    for y in range(height):
        for x in range(width):
            n = obstacles[y, x]
            if n == 1:
                for j in range(max(y - 1, 0), min(y + 2, height)):
                    for i in range(max(x - 1, 0), min(x + 2, width)):
                        n += obstacles[j, i] > 0
                n -= 1
            if n > 1:
                data[y, x] = OCCUPIED
            elif seen[y, x, 0] > 0 or seen[y, x, 1] >= RAYS_FOR_FREE:
                data[y, x] = FREE
    return data
