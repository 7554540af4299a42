"""The map from above, kept up to date by what changed. Knows nothing of images and of the voxels' storage.

Per column of voxels it counts the confirmed ones in the robot's height band, whether the floor was seen there, and
how many frames looked through the band over it. Occupied: a confirmed voxel, with a second one in the column or a
neighbour (a lone one is a speckle). Free: seen floor, or seen through. Anything else is unknown.
"""

from __future__ import annotations

import copy
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

    def blank(self) -> ColumnGrid:
        """Another grid of the same place and size that has seen nothing yet."""
        out = copy.copy(self)
        out._obstacles, out._seen = np.zeros_like(self._obstacles), np.zeros_like(self._seen)
        out._marks, out._frames = np.zeros_like(self._marks), 0
        return out

    def reset_obstacles(self) -> None:
        """Forgets the obstacles, keeps the free space."""
        self._obstacles[:] = 0

    def apply(self, keys: np.ndarray, change: int) -> None:
        """Counts confirmed voxels in (+1) or out (-1) of their columns."""
        if len(keys):
            self._grow(*_column_bounds(keys))
            _apply(keys, change, self._band, self._corner, self._obstacles)

    def observe(self, points: np.ndarray, position: np.ndarray, frames: int = 1) -> None:
        """Free space that one frame shows.

        Args:
            points: (3, N) float32, what the frame hit, at least one in each of its voxels, in map, m.
            position: (3,) of the camera in map, m. frames: equal ones that it stands for.
        """
        position = np.asarray(position, np.float64)
        here = np.floor(position[:2] / self.cell).astype(np.int64)
        around = int(self.clear_radius / self.cell) + 1
        self._grow(here - around, here + around)
        if points.shape[1]:
            self._grow(*np.floor(_bounds(points) / self.cell).astype(np.int64))
        self._frames += 1
        _observe(
            points, position, self.cell, self._band, self.reach, self.clear_radius, self._corner, self._seen,
            self._marks, self._frames, frames,
        )  # fmt: skip

    def grid(self, stamp: int) -> OccupancyGrid:
        """The occupancy now."""
        data = _compose(self._obstacles, self._seen)
        return OccupancyGrid(data, self.cell, (self._corner[0] * self.cell, self._corner[1] * self.cell), stamp)

    def free_space(self) -> tuple[tuple[float, float], np.ndarray]:
        """Lower left corner (m) and HxWx2 uint8: floor seen (0 or 1), frames that saw through (at most 255;
        a view of a corrected map counts two at most)."""
        return (self._corner[0] * self.cell, self._corner[1] * self.cell), self._seen

    def restore(self, corner: tuple[float, float], seen: np.ndarray) -> None:
        """Takes what :meth:`free_space` gave; the obstacle counts must then be made anew."""
        self.reset()
        if seen.size:
            self._corner = np.rint(np.asarray(corner) / self.cell).astype(np.int64)
            self._seen = np.array(seen, np.uint8)
            self._obstacles = np.zeros(seen.shape[:2], np.int16)
            self._marks = np.zeros(seen.shape[:2], np.int32)

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
def voxel_points(keys, sums, cell):
    """A frame's unique voxels as :meth:`ColumnGrid.observe` takes them: mean x and y of their points, middle z."""
    out = np.empty((3, keys.size), np.float32)
    for e in range(keys.size):
        x, y, z = unpack(keys[e])
        n = sums[e, 6]
        out[0, e], out[1, e] = x * cell + sums[e, 0] / n, y * cell + sums[e, 1] / n
        out[2, e] = (z + 0.5) * cell
    return out


@njit(cache=True, nogil=True)
def _column_bounds(keys):
    """Lowest and highest column (x, y) of voxels."""
    x, y, _ = unpack(keys[0])
    low, high = np.array([x, y]), np.array([x, y])
    for k in keys:
        x, y, _ = unpack(k)
        low[0], low[1] = min(low[0], x), min(low[1], y)
        high[0], high[1] = max(high[0], x), max(high[1], y)
    return low, high


@njit(cache=True, nogil=True)
def _bounds(points):
    """Lowest and highest x, y of points: 2 x 2."""
    out = np.empty((2, 2))
    for a in range(2):
        low = high = points[a, 0]
        for v in points[a]:
            low, high = min(low, v), max(high, v)
        out[0, a], out[1, a] = low, high
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
def _directions(points, position, distances, bins):
    """Of each point how far it lies from a place on the floor, and in which of the AZIMUTHS bins (not a whole one).

    The arc tangent is a polynomial (2e-6 rad off at most), so that the compiler makes vector code of it.
    """
    px, py = np.float32(position[0]), np.float32(position[1])
    half_pi, pi = np.float32(0.5 * np.pi), np.float32(np.pi)
    per_bin = np.float32(AZIMUTHS / (2.0 * np.pi))
    for i in range(distances.size):
        x, y = points[0, i] - px, points[1, i] - py
        distances[i] = np.sqrt(x * x + y * y)
        ax, ay = abs(x), abs(y)
        t = min(ax, ay) / max(max(ax, ay), np.float32(1e-20))
        q = t * t
        r = np.float32(0.05265332) - np.float32(0.01172120) * q
        r = np.float32(0.19354346) + q * (np.float32(-0.11643287) + q * r)
        r = t * (np.float32(0.99997726) + q * (np.float32(-0.33262347) + q * r))
        r = half_pi - r if ay > ax else r
        r = pi - r if x < 0 else r
        r = -r if y < 0 else r
        bins[i] = (r + pi) * per_bin


@njit(cache=True, nogil=True)
def _observe(points, position, cell, band, reach, clear, corner, seen, marks, frame, frames):
    """Marks seen floor, and by a polar scan the cells before each direction's nearest thing in the band."""
    height, width = seen.shape[:2]
    nearest = np.full(AZIMUTHS, np.float32(np.inf))
    farthest = np.zeros(AZIMUTHS, np.float32)
    n = points.shape[1]
    distances, bins = np.empty(n, np.float32), np.empty(n, np.float32)
    _directions(points, position, distances, bins)
    floor, low, high = band[0] * cell, band[1] * cell, band[2] * cell
    half_cell = np.float32(0.5 * cell * AZIMUTHS / (2.0 * np.pi))
    for i in range(n):
        z, distance = points[2, i], distances[i]
        if floor <= z < low:
            x = np.int64(np.floor(points[0, i] / cell)) - corner[0]
            y = np.int64(np.floor(points[1, i] / cell)) - corner[1]
            if x >= 0 and y >= 0 and x < width and y < height:
                seen[y, x, 0] = 1
        if distance < cell:
            continue
        bin_ = min(np.int64(bins[i]), AZIMUTHS - 1)
        farthest[bin_] = max(farthest[bin_], distance)
        if low <= z < high:
            half = half_cell / distance  # the tangent of so small an angle is the angle
            for k in range(np.int64(np.floor(bins[i] - half)), np.int64(bins[i] + half) + 1):
                k += AZIMUTHS if k < 0 else 0
                k -= AZIMUTHS if k >= AZIMUTHS else 0
                nearest[k] = min(nearest[k], distance)
    _cast(nearest, farthest, position, cell, reach, corner, seen, marks, frame, frames)
    _clear(position, cell, clear, corner, seen)


@njit(cache=True, nogil=True)
def _cast(nearest, farthest, position, cell, reach, corner, seen, marks, frame, frames):
    """Counts this frame as seeing through the cells along each direction, each cell once."""
    step = 2.0 * np.pi / AZIMUTHS
    x0, y0 = position[0] / cell - corner[0], position[1] / cell - corner[1]
    for k in range(AZIMUTHS):
        end = min(min(nearest[k] - cell, farthest[k]), reach)
        if end <= 0:
            continue
        # Bins begin at -x.
        c, s = -0.5 * np.cos((k + 0.5) * step), -0.5 * np.sin((k + 0.5) * step)
        n = min(end / (0.5 * cell), min(_steps_inside(x0, c, seen.shape[1]), _steps_inside(y0, s, seen.shape[0])))
        for i in range(np.int64(n)):
            x, y = np.uint64(np.int64(x0 + c * i)), np.uint64(np.int64(y0 + s * i))
            if marks[y, x] != frame:
                marks[y, x] = frame
                seen[y, x, 1] = min(seen[y, x, 1] + frames, 255)


@njit(cache=True, nogil=True, inline="always")
def _steps_inside(start, step, size):
    """How many steps stay within [0, size)."""
    if start < 0 or start >= size:
        return 0.0
    if step > 0:
        return (size - start) / step
    return start / -step + 1.0 if step < 0 else np.inf


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
