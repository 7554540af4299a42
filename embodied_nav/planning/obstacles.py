"""Rolling local map of obstacles and drops around the robot in odom, from depth and scans. Knows nothing of goals.

A camera on a mast loses sight of low obstacles before the robot reaches them. An obstacle is therefore kept until floor
is seen in its place, it expires, or the robot moves away. It only ages while depth passes through the place where it
was, and soon where depth passes through all that is in view of it, as when a person has walked on. An obstacle that is
out of view, or without valid depth, stays for as long as the robot is near.

A drop is where a ray passes below the floor's height: points well below the floor, or the next point beyond the floor
is lower by a step. Reflections in a polished floor look the same and count as drops, too. So does a floor that ends
with no depth up to something much farther away: a pit, or an object that returns no light.

A ramp counts as floor: ground that rises from the floor, without a gap in an image column, no steeper than
:attr:`ObstacleConfig.max_slope`. Its height is stored per cell, for when the floor before it is out of view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..geometry import Camera, invert
from ..robot import RobotProfile
from .scan_evidence import returns

_SIZE = 128  # cells along an edge; a ring buffer in x and y, so that the window follows the robot without copying
_NEVER = -(2**62)
_HEIGHTS = 9  # heights at which a stored obstacle's cell is tested for depth beyond it
_LONGEST = 1_000_000_000  # ns; longest time between two images by which unobserved cells are kept from ageing
#: Of an obstacle's heights as many must be in view, and depth must pass through all of these, until it is taken to have
#: gone, as people do; it is then kept for this share of the usual time, for what depth may have missed.
_ENOUGH_HEIGHTS, _GONE = 3, 0.25
_OBSTACLE, _DROP = np.int8(1), np.int8(2)
#: Points lower than the floor by more than this (m, plus m per m of distance) are a drop; 7 degrees of ramp are not.
_SUNK, _SUNK_SLOPE = 0.08, 0.123
#: A step down: lower than the floor before it by more than this (m; m per m of range; m per m between the two).
_STEP, _STEP_NOISE, _STEP_SLOPE = 0.06, 0.015, 0.11
#: The floor ends where depth is missing beyond it over this many pixels and metres.
_GAP_ROWS, _GAP = 8, 0.75
#: A drop is marked this much (m) nearer than where floor is missing, since its edge lies between two pixels.
_EDGE = 0.07
#: Shortest distances (m) over which a slope is measured: the short one shows steps, the long one steep smooth ground.
_RISE_RUNS = (0.06, 0.25)
#: Largest height of a ramp above the base (m); rise tolerated as depth noise (m); most sampled rows from one
#: point of a slope to the next; tolerance (m) for the stored height of a ramp's cell.
_RISE_TOP, _RISE_NOISE, _RISE_ROWS, _SAME_RISE = 0.5, 0.02, 2, 0.03


@dataclass(frozen=True)
class ObstacleConfig(Config):
    """Settings of the local obstacle map."""

    resolution: float = param(0.04, "edge of a cell", unit="m", low=0.01, high=0.2)
    range: float = param(2.0, "how far from the robot obstacles are kept", unit="m", low=0.3, high=2.4)
    min_height: float = param(0.07, "lower things are floor", unit="m", low=0.01, high=0.5)
    max_slope: float = param(0.12, "a ramp no steeper is floor", unit="rad", low=0.0, high=0.4)
    memory: float = param(
        12.0, "how long an obstacle is kept that is looked through, or out of range", unit="s", low=0.1, high=600.0
    )
    min_hits: int = param(2, "depth pixels that make a cell an obstacle", low=1, high=50)
    columns: int = param(160, "image columns looked at", low=20, high=640)


class LocalObstacles:
    """A rolling grid of obstacles and drops around the robot, with the time of their last observation."""

    def __init__(self, config: ObstacleConfig | None = None, robot: RobotProfile | None = None) -> None:
        self.config = config or ObstacleConfig()
        self.robot = robot or RobotProfile()
        self._seen = np.full((_SIZE, _SIZE), _NEVER, dtype=np.int64)
        self._place = np.zeros((_SIZE, _SIZE, 2), dtype=np.float64)
        self._kind = np.zeros((_SIZE, _SIZE), dtype=np.int8)
        self._top = np.zeros((_SIZE, _SIZE), dtype=np.float32)  # m; NaN: seen through since, or from a scan
        self._floor = np.full((_SIZE, _SIZE), _NEVER, dtype=np.int64)
        self._rise = np.zeros((_SIZE, _SIZE), dtype=np.float32)  # m, height of a ramp above the base
        self._rise_of = np.full((_SIZE, _SIZE, 2), _NEVER, dtype=np.int64)  # the cell that the stored height belongs to
        self._stamp = _NEVER

    @property
    def reach(self) -> float:
        """m from the robot within which obstacles are kept: the configured range, or what the map can hold."""
        return min(self.config.range, 0.5 * _SIZE * self.config.resolution - 0.1)

    def clear(self) -> None:
        """Forgets everything, the newest stamp too: the clock may have been set back."""
        self._seen.fill(_NEVER)
        self._floor.fill(_NEVER)
        self._rise_of.fill(_NEVER)
        self._stamp = _NEVER

    def add_depth(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        T_base_camera: np.ndarray,
        T_odom_base: np.ndarray,
    ) -> None:
        """Adds a depth image (HxW float32 m, NaN invalid) taken at ``stamp`` (ns) from the pose ``T_odom_base``."""
        stride, config = max(1, camera.width // self.config.columns), self.config
        image = np.ascontiguousarray(depth, dtype=np.float32)
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        T = np.ascontiguousarray(T_odom_base @ T_base_camera, dtype=np.float64)
        base = np.ascontiguousarray(T_odom_base[:3, 3], dtype=np.float64)
        limits = np.array(
            [
                config.min_height,
                self.robot.height,
                self.reach,
                config.resolution,
                self.robot.footprint_radius,
                math.tan(config.max_slope),
            ]
        )
        passed = min(stamp - self._stamp, _LONGEST) if self._stamp != _NEVER else 0
        if passed > 0:
            oldest = self._stamp - int(config.memory * 1e9)
            soon = int((1.0 - _GONE) * config.memory * 1e9)
            cells = (self._seen, self._place, self._kind, self._top)
            _keep_hidden(image, K, np.ascontiguousarray(invert(T)), base, limits, passed, oldest, soon, *cells)
        _add_depth(
            image,
            stride,
            K,
            T,
            base,
            limits,
            self.config.min_hits,
            stamp,
            self._seen,
            self._place,
            self._kind,
            self._top,
            self._floor,
            self._rise,
            self._rise_of,
            stamp - int(self.config.memory * 1e9),
        )
        self._stamp = max(self._stamp, stamp)

    def add_points(self, stamp: int, points: np.ndarray, drop: bool = False, stays: bool = False) -> None:
        """Adds obstacle points (Nx2, x y in odom, m), e.g. of a laser scan; or drops.

        Args:
            stays: treat them like depth obstacles, which do not age while out of the camera's view.
        """
        if len(points) == 0:
            return
        places = np.asarray(points, dtype=np.float64)[:, :2]
        slots = np.floor(places / self.config.resolution).astype(np.int64) % _SIZE
        self._seen[slots[:, 0], slots[:, 1]] = stamp
        self._place[slots[:, 0], slots[:, 1]] = places
        self._kind[slots[:, 0], slots[:, 1]] = _DROP if drop else _OBSTACLE
        self._top[slots[:, 0], slots[:, 1]] = self.config.min_height if stays else np.nan
        self._stamp = max(self._stamp, stamp)

    def points(self, T_odom_base: np.ndarray, radius: float | None = None) -> np.ndarray:
        """Nx2 float64 obstacle points, one per cell, within ``radius`` (m) of the robot, as (x, y) in base_link."""
        return self._within(T_odom_base, radius, _OBSTACLE)

    def drops(self, T_odom_base: np.ndarray, radius: float | None = None) -> np.ndarray:
        """Nx2 float64, where the floor ends, as :meth:`points`."""
        return self._within(T_odom_base, radius, _DROP)

    def _within(self, T_odom_base: np.ndarray, radius: float | None, kind: np.int8) -> np.ndarray:
        pose = np.array([T_odom_base[0, 3], T_odom_base[1, 3], T_odom_base[0, 0], T_odom_base[1, 0]])
        oldest = self._stamp - int(self.config.memory * 1e9)
        reach = self.reach if radius is None else min(radius, self.reach)
        return _nearby(self._seen, self._place, self._kind, kind, pose, oldest, reach)

    @property
    def newest(self) -> int:
        """Stamp (ns) of the newest image or scan."""
        return self._stamp


def scan_points(
    ranges: np.ndarray,
    angle_min: float,
    angle_increment: float,
    T_odom_laser: np.ndarray,
    range_min: float = 0.05,
    range_max: float = 10.0,
) -> np.ndarray:
    """Nx2 (x, y) in odom of a laser scan's valid returns (sensor_msgs/LaserScan's meaning of all numbers)."""
    ranges = np.asarray(ranges, dtype=np.float64)
    angles = angle_min + angle_increment * np.arange(len(ranges))
    good = returns(ranges, range_min, range_max)
    local = np.stack([ranges[good] * np.cos(angles[good]), ranges[good] * np.sin(angles[good])], axis=1)
    return local @ T_odom_laser[:2, :2].T + T_odom_laser[:2, 3]


@njit(cache=True, nogil=True)
def _mark(x, y, robot, reach, resolution, marks):
    """Adds one to the mark count of the cell of (x, y), if within reach (m) of the robot."""
    if (x - robot[0]) ** 2 + (y - robot[1]) ** 2 <= reach * reach:
        n = marks.shape[0]
        marks[int(np.floor(x / resolution)) % n, int(np.floor(y / resolution)) % n] += 1


@njit(cache=True, nogil=True)
def _mark_drop(x, y, h, last, eye, robot, limits, drops, known, oldest):
    """Counts the cell where floor must be missing for a ray to reach (x, y) at height ``h``, if any.

    ``last``: x, y, h of the previous floor point in the same image column; h is inf if there was none.
    """
    away = np.sqrt((x - robot[0]) ** 2 + (y - robot[1]) ** 2)
    if h >= eye[2]:
        return  # a camera at or below that height sees it from below
    if h < -(_SUNK + _SUNK_SLOPE * away):
        # The point where the ray crosses the floor's height.
        f = eye[2] / (eye[2] - h)
        px, py = eye[0] + f * (x - eye[0]), eye[1] + f * (y - eye[1])
        if last[2] == np.inf:
            _mark_unseen(px, py, robot, limits, drops, known, oldest)
    elif last[2] < np.inf:
        gap = np.sqrt((x - last[0]) ** 2 + (y - last[1]) ** 2)
        if h >= last[2] - (_STEP + _STEP_NOISE * away + _STEP_SLOPE * gap):
            return
        px, py = last[0], last[1]
    else:
        return
    ex, ey = px - eye[0], py - eye[1]
    back = max(1.0 - _EDGE / max(np.sqrt(ex * ex + ey * ey), _EDGE), 0.0)
    _mark(eye[0] + back * ex, eye[1] + back * ey, robot, limits[2], limits[3], drops)


@njit(cache=True, nogil=True)
def _mark_end(x, y, last, eye, robot, limits, drops):
    """Counts the cell where the floor ends, if the next point in the image column, (x, y), is far beyond it."""
    ex, ey = last[0] - eye[0], last[1] - eye[1]
    if np.sqrt((x - eye[0]) ** 2 + (y - eye[1]) ** 2) - np.sqrt(ex * ex + ey * ey) > _GAP:
        _mark(last[0], last[1], robot, limits[2], limits[3], drops)


@njit(cache=True, nogil=True)
def _mark_unseen(px, py, robot, limits, drops, known, oldest):
    """Floor is missing at (px, py), the first point in view: counts all cells from there back to known floor."""
    resolution, n = limits[3], known.shape[0]
    dx, dy = px - robot[0], py - robot[1]
    away = np.sqrt(dx * dx + dy * dy)
    s = min(away, limits[2])
    while s > limits[4] + 0.05:
        x, y = robot[0] + dx * s / away, robot[1] + dy * s / away
        i, j = int(np.floor(x / resolution)) % n, int(np.floor(y / resolution)) % n
        if known[i, j] >= oldest:
            return
        drops[i, j] += 1
        s -= resolution


@njit(cache=True, nogil=True)
def _is_gentle(x, y, h, anchors, slope):
    """Whether the slope to (x, y, h) from every known anchor (see :func:`_note_ground`) is gentle enough for a ramp."""
    for k in range(len(_RISE_RUNS)):
        before = anchors[k, 0]
        run = np.sqrt((x - before[0]) ** 2 + (y - before[1]) ** 2)
        if before[2] < np.inf and h - before[2] > slope * run + _RISE_NOISE:
            return False
    return True


@njit(cache=True, nogil=True)
def _known_rise(x, y, h, limits, rise, rise_of, known, oldest):
    """Whether a ramp was recently seen at (x, y) at height ``h``."""
    n, ci, cj = rise.shape[0], int(np.floor(x / limits[3])), int(np.floor(y / limits[3]))
    i, j = ci % n, cj % n
    if h > _RISE_TOP or known[i, j] < oldest or rise_of[i, j, 0] != ci or rise_of[i, j, 1] != cj:
        return False
    return abs(h - rise[i, j]) <= _SAME_RISE


@njit(cache=True, nogil=True)
def _note_ground(x, y, h, anchors):
    """Records (x, y, h) as ground, for measuring the slope to later points in the image column.

    ``anchors``: (runs, 2, 3) x, y, h of ground points; for each run length the first is at least that far back, and
    the second replaces it once it is. inf: none yet.
    """
    for k in range(len(_RISE_RUNS)):
        last = anchors[k, 1]
        if last[2] == np.inf or (x - last[0]) ** 2 + (y - last[1]) ** 2 >= _RISE_RUNS[k] ** 2:
            anchors[k, 0] = last
            last[0], last[1], last[2] = x, y, h


@njit(cache=True, nogil=True)
def _note_rise(x, y, h, resolution, rise, rise_of, lowest, rises):
    """Stores how high (m) a ramp is at (x, y): at once where it was seen to rise (``rises``).

    Where only known height was met again the lowest of one image counts, and only for the next one: height that
    replaced itself pixel by pixel would climb the front of whatever stands there.
    """
    n, ci, cj = rise.shape[0], int(np.floor(x / resolution)), int(np.floor(y / resolution))
    i, j = ci % n, cj % n
    if rises:
        rise[i, j], lowest[i, j] = h, -np.inf
        rise_of[i, j, 0], rise_of[i, j, 1] = ci, cj
    else:
        lowest[i, j] = min(lowest[i, j], h)


@njit(cache=True, nogil=True)
def _update_known(rise, lowest):
    """Takes over, after an image, the heights at which known ramps were met again."""
    for i in range(rise.shape[0]):
        for j in range(rise.shape[1]):
            if np.isfinite(lowest[i, j]):
                rise[i, j] = lowest[i, j]


@njit(cache=True, nogil=True)
def _add_depth(
    depth, stride, K, T, robot, limits, min_hits, stamp, seen, place, kind, top, known, rise, rise_of, oldest
):
    """Sorts the pixels of one image into floor, ramp, obstacles and drops; see :class:`LocalObstacles`.

    ``depth``: HxW float32 m. ``limits``: lowest and greatest height of an obstacle, reach, cell (m), footprint radius
    (m), tangent of the greatest slope. The maps are (n, n). Long, because one pass carries each image column's state.
    """
    low, high, reach, resolution = limits[0], limits[1], limits[2], limits[3]
    n = seen.shape[0]
    hits = np.zeros((n, n), dtype=np.int32)
    floor = np.zeros((n, n), dtype=np.int32)
    drops = np.zeros((n, n), dtype=np.int32)
    height, width = depth.shape
    last = np.full((width, 3), np.inf)
    anchors = np.full((width, len(_RISE_RUNS), 2, 3), np.inf)
    lowest = np.full((n, n), np.inf, dtype=np.float32)  # where a known height was met again
    before = np.full(width, -1)  # row of the previous pixel if that was floor
    eye = np.array([T[0, 3], T[1, 3], T[2, 3] - robot[2]])
    rows = (height - 1) // stride
    for k in range(rows + 1):
        # From near floor to far, whether or not the camera is mounted upside down.
        v = k * stride if T[2, 1] > 0.0 else (rows - k) * stride
        b = (v - K[3]) / K[1]
        for u in range(0, width, stride):
            z = depth[v, u]
            # The test is False for NaN too.
            if not (z > 0.05 and z < 30.0):
                continue
            a = (u - K[2]) / K[0]
            h = z * (T[2, 0] * a + T[2, 1] * b + T[2, 2]) + eye[2]
            if before[u] >= 0 and (k - before[u]) * stride >= _GAP_ROWS:
                x = z * (T[0, 0] * a + T[0, 1] * b + T[0, 2]) + T[0, 3]
                y = z * (T[1, 0] * a + T[1, 1] * b + T[1, 2]) + T[1, 3]
                _mark_end(x, y, last[u], eye, robot, limits, drops)
            follows = before[u] >= 0 and k - before[u] <= _RISE_ROWS
            before[u] = k if h < low else -1
            # Slant distance exceeds z, so farther pixels are out of reach, except those below the floor.
            if z >= reach + 0.5 and h > -_SUNK:
                continue
            x = z * (T[0, 0] * a + T[0, 1] * b + T[0, 2]) + T[0, 3]
            y = z * (T[1, 0] * a + T[1, 1] * b + T[1, 2]) + T[1, 3]
            if h <= -_STEP:
                _mark_drop(x, y, h, last[u], eye, robot, limits, drops, known, oldest)
            gentle = follows and _is_gentle(x, y, h, anchors[u], limits[5])
            ramp = gentle and h <= _RISE_TOP and anchors[u, -1, 0, 2] < np.inf
            again = not ramp and _known_rise(x, y, h, limits, rise, rise_of, known, oldest)
            if h < low or ramp or again:
                before[u] = k
                if not gentle:
                    anchors[u] = np.inf  # no ramp starts behind a step, however low
                last[u, 0], last[u, 1], last[u, 2] = x, y, h
                _note_ground(x, y, h, anchors[u])
                if (ramp or again) and h >= 0.7 * low:  # from another pose it may exceed the floor's height limit
                    _note_rise(x, y, h, resolution, rise, rise_of, lowest, ramp)
                if h > -_SUNK:
                    _mark(x, y, robot, reach, resolution, floor)
            elif h <= high and (x - robot[0]) ** 2 + (y - robot[1]) ** 2 <= reach * reach:
                i, j = int(np.floor(x / resolution)) % n, int(np.floor(y / resolution)) % n
                hits[i, j] += 1
                if hits[i, j] >= min_hits:
                    if seen[i, j] < oldest or kind[i, j] != _OBSTACLE or not top[i, j] >= h:
                        top[i, j] = h
                    seen[i, j], kind[i, j] = stamp, _OBSTACLE
                    place[i, j, 0], place[i, j, 1] = x, y
    _update_known(rise, lowest)
    _settle(hits, floor, drops, min_hits, robot, resolution, stamp, seen, place, kind, top, known)


@njit(cache=True, nogil=True)
def _settle(hits, floor, drops, min_hits, robot, resolution, stamp, seen, place, kind, top, known):
    """Turns the counts of one image into map cells: marks drops, clears obstacles where floor is seen now."""
    n = seen.shape[0]
    for i in range(n):
        for j in range(n):
            if floor[i, j] > 0:
                known[i, j] = stamp
            if hits[i, j] >= min_hits:
                continue
            if drops[i, j] >= min_hits:
                seen[i, j], kind[i, j], top[i, j] = stamp, _DROP, 0.0
                # Centre of the cell near the robot that this slot of the ring buffer stands for.
                ci, cj = int(np.floor(robot[0] / resolution)), int(np.floor(robot[1] / resolution))
                place[i, j, 0] = (ci + (i - ci + n // 2) % n - n // 2 + 0.5) * resolution
                place[i, j, 1] = (cj + (j - cj + n // 2) % n - n // 2 + 0.5) * resolution
            elif floor[i, j] > 0 and hits[i, j] == 0:
                seen[i, j] = _NEVER


@njit(cache=True, nogil=True)
def _looked_through(x, y, h, depth, K, T):
    """1 where depth reaches beyond (x, y) at height h in odom, -1 where it does not, 0 out of view; ``T``: camera from
    odom."""
    z = T[2, 0] * x + T[2, 1] * y + T[2, 2] * h + T[2, 3]
    if z < 0.05:
        return 0
    u = K[0] * (T[0, 0] * x + T[0, 1] * y + T[0, 2] * h + T[0, 3]) / z + K[2]
    v = K[1] * (T[1, 0] * x + T[1, 1] * y + T[1, 2] * h + T[1, 3]) / z + K[3]
    if not (u >= 0.0 and v >= 0.0 and u <= depth.shape[1] - 1 and v <= depth.shape[0] - 1):
        return 0
    return 1 if depth[int(v + 0.5), int(u + 0.5)] > z + 0.1 + 0.03 * z else -1  # NaN says nothing for it


@njit(cache=True, nogil=True)
def _keep_hidden(depth, K, T, robot, limits, passed, oldest, soon, seen, place, kind, top):
    """Adds ``passed`` (ns) to the stamps of cells within reach that depth did not pass through: they do not age.

    What depth passed through at all heights in view ages by ``soon`` (ns) at once.
    """
    low, reach = limits[0], limits[2]
    n = seen.shape[0]
    for i in range(n):
        for j in range(n):
            if seen[i, j] == _NEVER or seen[i, j] < oldest or np.isnan(top[i, j]):
                continue
            x, y = place[i, j, 0], place[i, j, 1]
            if (x - robot[0]) ** 2 + (y - robot[1]) ** 2 > reach * reach:
                continue
            # Test several heights, since close by the camera sees only part of an obstacle's height. Drops are not
            # tested: rays always pass through them, and only floor in their place clears them.
            through, met = 0, 0
            for k in range(_HEIGHTS if kind[i, j] != _DROP else 0):
                h = robot[2] + low + max(0.9 * top[i, j] - low, 0.0) * k / (_HEIGHTS - 1)
                found = _looked_through(x, y, h, depth, K, T)
                through += found > 0
                met += found < 0
            if through > 0:
                top[i, j] = np.nan  # gone, unless it is seen again
                if met == 0 and through >= _ENOUGH_HEIGHTS:
                    seen[i, j] -= soon
            else:
                seen[i, j] += passed


@njit(cache=True, nogil=True)
def _nearby(seen, place, kind, wanted, pose, oldest, reach):
    """Nx2 (x, y) m in base_link of cells of kind ``wanted``, seen since ``oldest`` (ns) and within ``reach`` (m)."""
    n = seen.shape[0]
    out = np.empty((n * n, 2), dtype=np.float64)
    count = 0
    for i in range(n):
        for j in range(n):
            if seen[i, j] < oldest or seen[i, j] == _NEVER or kind[i, j] != wanted:
                continue
            dx = place[i, j, 0] - pose[0]
            dy = place[i, j, 1] - pose[1]
            if dx * dx + dy * dy > reach * reach:
                continue
            out[count, 0] = pose[2] * dx + pose[3] * dy
            out[count, 1] = -pose[3] * dx + pose[2] * dy
            count += 1
    return out[:count].copy()
