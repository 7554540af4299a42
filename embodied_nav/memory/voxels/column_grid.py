"""The map from above, kept up to date by what changed. Knows nothing of images and of the voxels' storage.

Per column of voxels it counts the confirmed ones in the robot's height band, whether the floor was seen there or seen
to be missing, and how many frames looked through the band over it. Occupied: a confirmed voxel, with a second one in
the column or a neighbour (a lone one is a speckle); or a drop, where rays pass through the floor's height to what lies
well below. Free: seen floor, or seen through between seen floor (rays fall apart with distance). Anything else is
unknown, what was seen through without a floor too.

People pass: what appears in a column that many frames had looked through, and was not seen there for long in all, is
forgotten once it is out of view. Otherwise a person who walked through a door while the robot turned away would close
it, and one who stood before the robot, nearer than the camera sees the floor, would shut it in. What lies beside the
robot is the guard's (``planning/obstacles.py``). What stood when a grid was restored stands.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ...frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from .fusion import SUM_N, SUM_X, SUM_Y
from .keys import unpack

#: The grid grows by so many cells, to at most MAX_SIDE a side.
GROWTH, MAX_SIDE = 64, 8192
#: Half a degree, so that rays reach every 5 cm cell up to 5.7 m.
AZIMUTHS = 720
#: Frames that must see through a column whose floor was never seen until it is free.
RAYS_FOR_FREE = 2
#: Cells from it within which floor must have been seen for that.
FLOOR_NEAR = 2
#: What a column's first byte says: its floor was seen; above, one more for each frame that looked through its place,
#: and from the second on it is a drop. Floor that is seen later takes it back.
FLOOR, DROP, DROP_SURE = 1, 3, 9
#: How much lower than the floor (m a m from the camera) a drop is: a ramp of 7 degrees is none.
DROP_SLOPE = 0.123
#: Count of rays through a column where the robot itself stood.
STOOD = 255
#: The two bytes of a column: the floor's state, frames that saw through (STOOD where the robot was).
SEEN_FLOOR, SEEN_THROUGH = 0, 1
#: The two times of a column (s, counted from 1; 0: stands): since when something passes there, when it was last seen.
#: Time out of view, longer than ABSENT (s), is taken out: SINCE moves on by it.
SINCE, LAST = 0, 1
ABSENT = 2
#: Frames that must have looked through a column before something appeared there for it to be somebody who passes.
LOOKED_THROUGH = 10


class Passing(NamedTuple):
    """When something that appeared in free space stands for good (s after it appeared), and after what time out of view
    (s) it has passed on otherwise."""

    standing_after: float = 0.0
    passed_after: float = 0.0


class Band(NamedTuple):
    """Numbers of the first voxels (z) of the floor, of the robot's height band, and above it."""

    floor: int
    low: int
    high: int


class ColumnGrid:
    """Obstacle, floor and see-through evidence per column.

    Args:
        cell: m. floor: z of the floor, m. low, high: height band of obstacles above it, m. below: floor depth, m.
        clear: radius around the camera that is free, m. reach: longest ray, m. passing: see there; by default all
            stands.
    """

    def __init__(
        self, cell: float, floor: float, low: float, high: float, below: float, clear: float, reach: float,
        passing: Passing | None = None,
    ) -> None:  # fmt: skip
        self.cell, self.clear_radius, self.reach = cell, clear, reach
        self.passing = passing or Passing()
        self.floor, self.below = floor, below
        self.set_band(low, high)
        self.reset()

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return self._obstacles.nbytes + self._seen.nbytes + self._marks.nbytes + self._times.nbytes

    def set_band(self, low: float, high: float) -> None:
        """Changes the height band; the obstacle counts must then be made anew."""
        self.low, self.high = low, high
        edges = (self.floor - self.below, self.floor + low, self.floor + high)
        # Whole voxels: below the band's first one is floor, however thick its noise.
        down, bottom, top = (math.ceil(round(e / self.cell, 6)) for e in edges)
        self._band = Band(down, bottom, max(top, bottom + 1))

    def reset(self) -> None:
        """Forgets everything."""
        self._corner = np.zeros(2, np.int64)
        self._obstacles = np.zeros((0, 0), np.int16)
        self._seen = np.zeros((0, 0, 2), np.uint8)
        self._marks = np.zeros((0, 0), np.int32)
        self._times = np.zeros((0, 0, 2), np.uint32)
        self._frames = 0

    def blank(self) -> ColumnGrid:
        """Another grid of the same place and size that has seen nothing yet."""
        out = copy.copy(self)
        out._obstacles, out._seen = np.zeros_like(self._obstacles), np.zeros_like(self._seen)
        out._marks, out._frames = np.zeros_like(self._marks), 0
        out._times = np.zeros_like(self._times)
        return out

    def take_times(self, old: ColumnGrid) -> None:
        """Takes over since when things pass, from a grid of the same place; call it when obstacles are counted.

        What lies in a column beside that where it was before, since poses were corrected, is what it was there.
        """
        if not old._obstacles.size:
            return
        rows, columns = old._obstacles.shape
        self._grow(old._corner, old._corner + np.array([columns, rows]) - 1)
        x, y = old._corner - self._corner
        before = np.zeros(self._obstacles.shape, np.bool_)
        before[y : y + rows, x : x + columns] = old._obstacles > 0
        times = np.zeros_like(self._times)
        times[y : y + rows, x : x + columns] = old._times
        times[~before] = 0
        self._times = times.copy()
        new = np.argwhere((self._obstacles > 0) & ~before)
        for dy, dx in np.ndindex(3, 3):
            at = np.clip(new + np.array([dy - 1, dx - 1]), 0, np.array(before.shape) - 1)
            mine, theirs = self._times[new[:, 0], new[:, 1]], times[at[:, 0], at[:, 1]]
            self._times[new[:, 0], new[:, 1]] = np.maximum(mine, theirs)

    def reset_obstacles(self) -> None:
        """Forgets the obstacles, keeps the free space."""
        self._obstacles[:] = 0

    def apply(self, keys: np.ndarray, change: int, stamp: int | None = None) -> None:
        """Counts confirmed voxels in (+1) or out (-1) of their columns; ``stamp``: ns, of the frame that shows them."""
        if len(keys):
            self._grow(*_column_bounds(keys))
            if stamp is not None:
                _appear(keys, _second(stamp), self._band, self._corner, self._obstacles, self._seen, self._times)
            _apply(keys, change, self._band, self._corner, self._obstacles)

    def observe(self, points: np.ndarray, position: np.ndarray, frames: int = 1, stamp: int | None = None) -> None:
        """Free space that one frame shows, and what passes there.

        Args:
            points: (3, N) float32, what the frame hit, at least one in each of its voxels, in map, m.
            position: (3,) of the camera in map, m. frames: equal ones that it stands for. stamp: ns; None for what is
                put together anew, which says nothing of when.
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
            self._marks, self._frames, frames, (self.floor, self.below),
        )  # fmt: skip
        if stamp is not None and points.shape[1]:
            _seen_again(points, _second(stamp), self.cell, self._band, self._corner, self._times)

    def grid(self, stamp: int) -> OccupancyGrid:
        """The occupancy at a time (ns)."""
        data = _compose(self._obstacles, self._seen, self._times, _second(stamp), self.passing)
        return OccupancyGrid(data, self.cell, (self._corner[0] * self.cell, self._corner[1] * self.cell), stamp)

    def free_space(self) -> tuple[tuple[float, float], np.ndarray]:
        """Lower left corner (m) and HxWx2 uint8: floor (see FLOOR and DROP), frames that saw through (at most 254;
        a view of a corrected map counts two at most; STOOD where the robot was)."""
        return (self._corner[0] * self.cell, self._corner[1] * self.cell), self._seen

    def restore(self, corner: tuple[float, float], seen: np.ndarray) -> None:
        """Takes what :meth:`free_space` gave; the obstacle counts must then be made anew."""
        self.reset()
        if seen.size:
            self._corner = np.rint(np.asarray(corner) / self.cell).astype(np.int64)
            self._seen = np.array(seen, np.uint8)
            self._obstacles = np.zeros(seen.shape[:2], np.int16)
            self._marks = np.zeros(seen.shape[:2], np.int32)
            self._times = np.zeros((*seen.shape[:2], 2), np.uint32)

    def _grow(self, low: np.ndarray, high: np.ndarray) -> None:
        """Makes the arrays hold columns ``low`` to ``high``; what lies beyond MAX_SIDE stays outside."""
        rows, columns = self._obstacles.shape
        old_low = self._corner if rows else np.asarray(low, np.int64)
        old_high = old_low + np.array([columns, rows])
        new_low = np.minimum(old_low, np.floor_divide(low, GROWTH) * GROWTH)
        new_high = np.maximum(old_high, (np.floor_divide(high, GROWTH) + 1) * GROWTH)
        if rows and (new_low == old_low).all() and (new_high == old_high).all():
            return
        size = new_high - new_low  # negative where a place is so far away that its column has no number
        if ((size > MAX_SIDE) | (size <= 0)).any():
            return
        width, height = new_high - new_low
        x, y = old_low - new_low
        obstacles, seen = np.zeros((height, width), np.int16), np.zeros((height, width, 2), np.uint8)
        obstacles[y : y + rows, x : x + columns] = self._obstacles
        seen[y : y + rows, x : x + columns] = self._seen
        times = np.zeros((height, width, 2), np.uint32)
        times[y : y + rows, x : x + columns] = self._times
        self._corner, self._obstacles, self._seen = np.asarray(new_low, np.int64), obstacles, seen
        self._times = times
        self._marks = np.zeros((height, width), np.int32)


def _second(stamp: int) -> int:
    """A time of a column: whole seconds of a stamp (ns), counted from 1."""
    return min(max(int(stamp) // 1_000_000_000, 0) + 1, 2**32 - 1)


@njit(cache=True, nogil=True)
def voxel_points(keys, sums, cell):
    """A frame's N unique voxels (keys, N x 8 sums) as :meth:`ColumnGrid.observe` needs them: mean x and y of their
    points, middle z: 3 x N float32, m."""
    out = np.empty((3, keys.size), np.float32)
    for e in range(keys.size):
        x, y, z = unpack(keys[e])
        n = sums[e, SUM_N]
        out[0, e], out[1, e] = x * cell + sums[e, SUM_X] / n, y * cell + sums[e, SUM_Y] / n
        out[2, e] = (z + 0.5) * cell
    return out


@njit(cache=True, nogil=True)
def _column_bounds(keys):
    """Lowest and highest column (x, y; 2 int64 each) of N voxels by their keys."""
    x, y, _ = unpack(keys[0])
    low, high = np.array([x, y]), np.array([x, y])
    for k in keys:
        x, y, _ = unpack(k)
        low[0], low[1] = min(low[0], x), min(low[1], y)
        high[0], high[1] = max(high[0], x), max(high[1], y)
    return low, high


@njit(cache=True, nogil=True)
def _bounds(points):
    """Lowest and highest x, y of points (3 x N): 2 x 2."""
    out = np.empty((2, 2))
    for a in range(2):
        low = high = points[a, 0]
        for v in points[a]:
            low, high = min(low, v), max(high, v)
        out[0, a], out[1, a] = low, high
    return out


@njit(cache=True, nogil=True)
def _apply(keys, change, band, corner, obstacles):
    """Adds ``change`` to the columns (HxW int16, the first at ``corner``) of those of N voxels that lie in the band."""
    for k in keys:
        x, y, z = unpack(k)
        x -= corner[0]
        y -= corner[1]
        inside = x >= 0 and y >= 0 and y < obstacles.shape[0] and x < obstacles.shape[1]
        if inside and z >= band.low and z < band.high:
            obstacles[y, x] += change


@njit(cache=True, nogil=True)
def _appear(keys, now, band, corner, obstacles, seen, times):
    """Notes when something appears in columns of confirmed voxels (N keys) that held nothing yet: now where many frames
    had looked through, otherwise it stands."""
    for k in keys:
        x, y, z = unpack(k)
        x -= corner[0]
        y -= corner[1]
        inside = x >= 0 and y >= 0 and y < obstacles.shape[0] and x < obstacles.shape[1]
        if inside and z >= band.low and z < band.high and obstacles[y, x] <= 0:
            times[y, x, SINCE] = now if seen[y, x, SEEN_THROUGH] >= LOOKED_THROUGH else 0
            times[y, x, LAST] = now


@njit(cache=True, nogil=True)
def _seen_again(points, now, cell, band, corner, times):
    """Notes that a frame showed something ``now`` (s) in the columns of those of its points (3, N) that lie in the
    band."""
    low, high = band.low * cell, band.high * cell
    for i in range(points.shape[1]):
        if low <= points[2, i] < high:
            x = np.int64(np.floor(points[0, i] / cell)) - corner[0]
            y = np.int64(np.floor(points[1, i] / cell)) - corner[1]
            if x >= 0 and y >= 0 and x < times.shape[1] and y < times.shape[0]:
                away = np.int64(now) - np.int64(times[y, x, LAST])
                if away > ABSENT and times[y, x, SINCE] > 0:
                    times[y, x, SINCE] += away
                times[y, x, LAST] = now


@njit(cache=True, nogil=True)
def _directions(points, position, distances, bins):
    """Of N points (3 x N) how far each lies from a place on the floor, and in which of the AZIMUTHS bins (with its
    fraction); fills ``distances`` and ``bins`` (N float32).

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
def _observe(points, position, cell, band, reach, clear, corner, seen, marks, frame, frames, ground):
    """Marks seen and missing floor, and by a polar scan the columns before each direction's nearest thing in the band.

    Args:
        points: (3, N) float32, m. position: (3,) of the camera. seen: HxWx2 uint8, changed; marks: HxW int32, changed:
            number of the ``frame`` that a column was last counted in. ground: z of the floor, how deep it may lie, m.
    """
    height, width = seen.shape[:2]
    nearest = np.full(AZIMUTHS, np.float32(np.inf))
    farthest = np.zeros(AZIMUTHS, np.float32)
    n = points.shape[1]
    distances, bins = np.empty(n, np.float32), np.empty(n, np.float32)
    _directions(points, position, distances, bins)
    floor, low, high = band.floor * cell, band.low * cell, band.high * cell
    half_cell = np.float32(0.5 * cell * AZIMUTHS / (2.0 * np.pi))
    for i in range(n):
        z, distance = points[2, i], distances[i]
        if floor <= z < low:
            x = np.int64(np.floor(points[0, i] / cell)) - corner[0]
            y = np.int64(np.floor(points[1, i] / cell)) - corner[1]
            if x >= 0 and y >= 0 and x < width and y < height:
                seen[y, x, SEEN_FLOOR] = FLOOR
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
    _sink(points, position, cell, ground, corner, seen, marks, frame)


@njit(cache=True, nogil=True)
def _cast(nearest, farthest, position, cell, reach, corner, seen, marks, frame, frames):
    """Counts this frame as seeing through the columns along each direction, each column once.

    Args:
        nearest, farthest: (AZIMUTHS,) float32, m: nearest thing in the band, farthest point of any height.
    """
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
                if seen[y, x, SEEN_THROUGH] != STOOD:
                    seen[y, x, SEEN_THROUGH] = min(seen[y, x, SEEN_THROUGH] + frames, STOOD - 1)


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
    """Marks the columns within ``clear`` (m) of a position as such where the robot stood."""
    height, width = seen.shape[:2]
    n = int(clear / cell) + 1
    cx, cy = int(np.floor(position[0] / cell)) - corner[0], int(np.floor(position[1] / cell)) - corner[1]
    for y in range(max(cy - n, 0), min(cy + n + 1, height)):
        for x in range(max(cx - n, 0), min(cx + n + 1, width)):
            if (x - cx) ** 2 + (y - cy) ** 2 <= (clear / cell) ** 2:
                seen[y, x, SEEN_THROUGH] = STOOD


@njit(cache=True, nogil=True)
def _sink(points, position, cell, ground, corner, seen, marks, frame):
    """Marks the columns where rays to points (3, N) below the floor pass its height, each once a frame."""
    floor, below = ground
    height = position[2] - floor
    if height <= 0.0:
        return
    for i in range(points.shape[1]):
        depth = floor - points[2, i]
        if depth < below:
            continue
        dx, dy = points[0, i] - position[0], points[1, i] - position[1]
        if depth < below + DROP_SLOPE * np.sqrt(dx * dx + dy * dy):
            continue
        f = height / (height + depth)
        x = np.int64(np.floor((position[0] + f * dx) / cell)) - corner[0]
        y = np.int64(np.floor((position[1] + f * dy) / cell)) - corner[1]
        if x < 0 or y < 0 or x >= seen.shape[1] or y >= seen.shape[0] or marks[y, x] == -frame:
            continue
        marks[y, x] = -frame  # the mark of seeing through is of no use any more in this frame
        seen[y, x, SEEN_FLOOR] = min(max(seen[y, x, SEEN_FLOOR], FLOOR) + 1, DROP_SURE)


@njit(cache=True, nogil=True)
def _is_floor_near(seen, y, x):
    """Whether floor was seen within FLOOR_NEAR columns of one."""
    height, width = seen.shape[:2]
    for j in range(max(y - FLOOR_NEAR, 0), min(y + FLOOR_NEAR + 1, height)):
        for i in range(max(x - FLOOR_NEAR, 0), min(x + FLOOR_NEAR + 1, width)):
            if seen[j, i, SEEN_FLOOR] == FLOOR:
                return True
    return False


@njit(cache=True, nogil=True)
def _has_passed(times, now, passing):
    """Whether something that was seen in a column (its 2 times) has passed on by now."""
    since, last = np.int64(times[SINCE]), np.int64(times[LAST])
    return since > 0 and last - since < passing.standing_after and now - last > passing.passed_after


@njit(cache=True, nogil=True)
def _compose(obstacles, seen, times, now, passing):
    """The occupancy (HxW int8) that obstacle counts (HxW int16), what was seen (HxWx2 uint8) and times (HxWx2 uint32)
    amount to ``now`` (s)."""
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
            if n > 1 and _has_passed(times[y, x], now, passing):
                n = 0
            rays, floor = seen[y, x, SEEN_THROUGH], seen[y, x, SEEN_FLOOR]
            if n > 1 or (floor >= DROP and rays != STOOD):
                data[y, x] = OCCUPIED
            elif floor == FLOOR or rays == STOOD or (rays >= RAYS_FOR_FREE and _is_floor_near(seen, y, x)):
                data[y, x] = FREE
    return data
