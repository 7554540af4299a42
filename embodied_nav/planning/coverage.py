"""Which ground around the robot depth has measured recently: unmeasured ground is not free. Knows no obstacles.

A cell counts as measured when depth reached its floor, or passed above it low enough that nothing taller than
:attr:`CoverageConfig.hidden_height` can stand there. Two other states are distinguished: *blank* (in view, but the
sensor returned no depth) and *never seen*. A camera on a mast does not see the ground just in front of the base:
measurements from the approach still count there, and the nearest ground, which the camera never sees, is left to the
obstacle map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..geometry import Camera, invert
from ..robot import RobotProfile

_SIZE = 128  # cells along an edge; a ring buffer in x and y, so that the window follows the robot without copying
_CELL = 0.08  # m; twice the obstacle map's, because evidence of free space needs area
_REACH = 4.0  # m; rays over a blind patch of floor are flatter farther away, so a shorter obstacle could hide there
_NEVER = -(2**62)
_LEVELS = 4  # heights from the floor to hidden_height at which each cell is tested
#: Measured ground stays measured while depth passes over it below this many times hidden_height: close to the robot,
#: rays over a blind patch of floor are steeper.
_WEAKLY = 2.0
#: Unmeasured cells needed among the 3x3 around a cell (itself included); fewer are noise.
_TOGETHER = 5
#: Bounds (m) of the distance up to which ground is left to the obstacle map.
_NEAREST, _FARTHEST = 0.6, 1.5
_AHEAD = 2.0  # m; length of the corridor ahead in which the share of valid depth is computed
_SETTLES = 0.3  # s; time constant of that share's average
_FEW = 12  # samples; with fewer no share is computed
#: An image with a smaller share of valid depth is dark and updates no cells.
_DARK = 0.01


@dataclass(frozen=True)
class CoverageConfig(Config):
    """Settings of what must have been measured before it is driven over."""

    hidden_height: float = param(
        0.35, "ground counts as seen though depth misses what is lower", unit="m", low=0.05, high=1.0
    )
    lost_after: float = param(
        0.6, "time in view without depth after which ground counts as unmeasured", unit="s", low=0.1, high=10.0
    )
    memory: float = param(12.0, "how long ground out of view counts as measured", unit="s", low=0.5, high=600.0)
    least_valid: float = param(0.10, "share of valid depth ahead below which it stands", low=0.0, high=0.9)
    ample_valid: float = param(0.25, "share of valid depth ahead from which speed is not lowered", low=0.01, high=1.0)


class Coverage:
    """A rolling grid in odom with the time at which each cell was last measured.

    Attributes:
        valid: recent share of samples in the corridor ahead that have valid depth; 1 before the first image.
        dense: the same over measured cells only; small where depth is sparse.
        dark: no image with valid depth for longer than :attr:`CoverageConfig.lost_after`.
    """

    def __init__(self, config: CoverageConfig | None = None, robot: RobotProfile | None = None) -> None:
        self.config = config or CoverageConfig()
        self.robot = robot or RobotProfile()
        self._measured = np.empty((_SIZE, _SIZE), np.int64)
        self._blank_at = np.empty((_SIZE, _SIZE), np.int64)
        self._blank_top = np.empty((_SIZE, _SIZE), np.float32)
        self._owner = np.empty((_SIZE, _SIZE, 2), np.int64)
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._measured.fill(_NEVER)
        self._blank_at.fill(_NEVER)
        self._blank_top.fill(0.0)
        self._owner.fill(_NEVER)
        self._stamp = _NEVER
        self._near = _NEAREST
        self._lit: int | None = None
        self.dark = False
        self.valid = self.dense = 1.0

    def add_depth(
        self, stamp: int, depth: np.ndarray, camera: Camera, T_base_camera: np.ndarray, T_odom_base: np.ndarray
    ) -> None:
        """Adds a depth image (HxW float32 m, NaN invalid) taken at ``stamp`` (ns) from the pose ``T_odom_base``."""
        step = max(1, camera.width // 160)
        if np.mean(depth[::step, ::step] > 0.05) < _DARK:
            self._gone_dark(stamp)
            return
        self._lit, self.dark = stamp, False
        T_odom_camera = T_odom_base @ T_base_camera
        counts = np.zeros(4, np.int64)
        self._near = _look(
            np.ascontiguousarray(depth, dtype=np.float32),
            step,
            np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            np.ascontiguousarray(invert(T_odom_camera), dtype=np.float64),
            np.array([T_odom_base[0, 3], T_odom_base[1, 3], T_odom_base[2, 3], T_odom_base[0, 0], T_odom_base[1, 0]]),
            np.array([self.config.hidden_height, self.robot.height, self.robot.footprint_radius]),
            stamp,
            int(self.config.lost_after * 1e9),
            int(self.config.memory * 1e9),
            self._measured,
            self._blank_at,
            self._blank_top,
            self._owner,
            counts,
        )
        gain = self._passed(stamp)
        self.valid += gain * (counts[0] / max(counts[1], 1) - self.valid)
        if counts[3] >= _FEW:
            self.dense += gain * (counts[2] / counts[3] - self.dense)

    def _passed(self, stamp: int) -> float:
        """Stores an image's stamp; returns the image's weight in the running averages."""
        first, before = self._stamp == _NEVER, self._stamp
        self._stamp = max(self._stamp, stamp)
        return 1.0 if first else 1.0 - math.exp(-max(stamp - before, 0) * 1e-9 / _SETTLES)

    def _gone_dark(self, stamp: int) -> None:
        self.valid -= self._passed(stamp) * self.valid
        self.dark = self._lit is None or stamp - self._lit > int(self.config.lost_after * 1e9)

    def unmeasured(self, T_odom_base: np.ndarray, radius: float) -> np.ndarray:
        """Nx2 float64 (x, y) in base_link (m), centres of the unmeasured cells within ``radius`` (m) of the robot.

        Ground under the footprint counts as measured, since the robot stands on it.
        """
        pose = np.array([T_odom_base[0, 3], T_odom_base[1, 3], T_odom_base[0, 0], T_odom_base[1, 0]])
        rings = np.array([self.robot.footprint_radius, self._near, min(radius, _REACH - 2.0 * _CELL)])
        oldest = _NEVER + 1 if self._stamp == _NEVER else self._stamp - int(self.config.memory * 1e9)
        return _unmeasured(self._measured, self._blank_at, self._owner, pose, rings, oldest)

    @property
    def speed_share(self) -> float:
        """Factor on the speed for the current density of valid depth, 0 to 1."""
        if self.dark:
            return 0.0
        low, ample = self.config.least_valid, max(self.config.ample_valid, self.config.least_valid + 1e-3)
        return min(max((self.dense - low) / (ample - low), 0.0), 1.0)

    @property
    def blind(self) -> bool:
        """Whether almost nothing ahead has valid depth."""
        return self.dark or self.valid < self.config.least_valid or self.dense < self.config.least_valid


@njit(cache=True, nogil=True)
def _valid_depth(depth, u, v, step):
    """Depth (m) at a pixel, else at one ``step`` px away, 0 if none is valid; and whether it is the pixel's own."""
    height, width = depth.shape
    z = depth[v, u]
    if z > 0.05 and z < 1e4:
        return z, True
    for j in range(-1, 2):
        for i in range(-1, 2):
            y, x = v + j * step, u + i * step
            if y < 0 or x < 0 or y >= height or x >= width:
                continue
            z = depth[y, x]
            if z > 0.05 and z < 1e4:
                return z, False
    return np.float32(0.0), False


@njit(cache=True, nogil=True)
def _look(
    depth, step, K, T, base, robot, stamp, lost, memory, measured, blank_at, blank_top, owner, counts
):  # fmt: skip
    """Projects the column above each cell in reach into a depth image and updates the cells' state in place.

    ``T`` (4x4) maps odom to the camera. ``counts`` (4, added to): valid and all samples in the corridor ahead, and the
    same over cells that were seen. Returns the distance (m) up to which the camera cannot see the ground ahead.
    """
    n = measured.shape[0]
    hidden, tall, half = robot[0], robot[1], robot[2] + 0.5 * _CELL
    x0, y0, c, s = base[0], base[1], base[3], base[4]
    cells = int(_REACH / _CELL)
    ci, cj = int(np.floor(x0 / _CELL)), int(np.floor(y0 / _CELL))
    near, level = _FARTHEST, hidden / _LEVELS
    for i in range(ci - cells, ci + cells + 1):
        for j in range(cj - cells, cj + cells + 1):
            x, y = (i + 0.5) * _CELL, (j + 0.5) * _CELL
            distance = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
            # Skip columns behind the camera: they project into no image.
            if distance > _REACH or T[2, 0] * x + T[2, 1] * y + T[2, 2] * (base[2] + 0.5 * tall) + T[2, 3] < -tall:
                continue
            a, b = i % n, j % n
            if owner[a, b, 0] != i or owner[a, b, 1] != j:
                owner[a, b, 0], owner[a, b, 1] = i, j
                measured[a, b] = _NEVER
                blank_at[a, b] = _NEVER
            lowest, top, looks, valid = -1.0, 0.0, 0, 0
            seen, hides, weakly = False, False, False
            for k in range(int(tall / level) + 1):
                h = k * level
                beyond = looks >= 2 and h > hidden + 1e-6
                if beyond and (seen or weakly or hides or measured[a, b] == _NEVER or h > _WEAKLY * hidden):
                    break
                z = T[2, 0] * x + T[2, 1] * y + T[2, 2] * (base[2] + h) + T[2, 3]
                if z < 0.05:
                    continue
                u = K[0] * (T[0, 0] * x + T[0, 1] * y + T[0, 2] * (base[2] + h) + T[0, 3]) / z + K[2]
                v = K[1] * (T[1, 0] * x + T[1, 1] * y + T[1, 2] * (base[2] + h) + T[1, 3]) / z + K[3]
                if not (u >= 0.0 and v >= 0.0 and u <= depth.shape[1] - 1 and v <= depth.shape[0] - 1):
                    continue
                found, own = _valid_depth(depth, int(u + 0.5), int(v + 0.5), step)
                if beyond:
                    weakly = found >= z
                    continue
                if lowest < 0.0:
                    lowest = h
                looks += 1
                valid += own
                if found == 0.0:
                    top = h
                elif found >= z - (0.06 + 0.02 * z):
                    seen = True
                else:
                    hides = True
            if looks == 0:
                continue
            ahead, aside = c * (x - x0) + s * (y - y0), -s * (x - x0) + c * (y - y0)
            if ahead > 0.0 and abs(aside) <= half:
                near = min(near, distance + _CELL)
                if ahead < _AHEAD:
                    counts[0] += valid
                    counts[1] += looks
                    if seen:
                        counts[2] += valid
                        counts[3] += looks
            if blank_at[a, b] != _NEVER and stamp - blank_at[a, b] > memory:
                blank_at[a, b] = _NEVER
            if seen:
                # A ray above the blank part of the column says nothing about that part.
                if blank_at[a, b] == _NEVER or lowest <= blank_top[a, b] + 1.01 * level:
                    measured[a, b] = stamp
                    blank_at[a, b] = _NEVER
            elif weakly and blank_at[a, b] == _NEVER:
                measured[a, b] = stamp
            elif not hides and (measured[a, b] == _NEVER or stamp - measured[a, b] > lost):
                blank_top[a, b] = top if blank_at[a, b] == _NEVER else min(top, blank_top[a, b])
                blank_at[a, b] = stamp
    return max(near, _NEAREST)


@njit(cache=True, nogil=True)
def _is_unmeasured(i, j, measured, blank_at, owner, distance, near, oldest):
    """Whether cell (i, j), ``distance`` (m) from the robot, is blank or not measured since ``oldest`` (ns).

    Within ``near`` (m) only blank cells count: the camera cannot see the ground there.
    """
    n = measured.shape[0]
    a, b = i % n, j % n
    if owner[a, b, 0] != i or owner[a, b, 1] != j:
        return distance > near
    if blank_at[a, b] >= oldest:
        return True
    return distance > near and measured[a, b] < oldest


@njit(cache=True, nogil=True)
def _unmeasured(measured, blank_at, owner, pose, rings, oldest):
    """Nx2 (x, y) m in base_link, centres of unmeasured cells outside the footprint with enough unmeasured neighbours.

    ``pose``: x, y, cos and sin of yaw in odom. ``rings``: m, footprint, nearest ground left out, radius.
    """
    footprint, near, radius = rings[0], rings[1], rings[2]
    cells = int(radius / _CELL) + 1
    ci, cj = int(np.floor(pose[0] / _CELL)), int(np.floor(pose[1] / _CELL))
    out = np.empty(((2 * cells + 1) ** 2, 2), np.float64)
    count = 0
    for i in range(ci - cells, ci + cells + 1):
        for j in range(cj - cells, cj + cells + 1):
            dx, dy = (i + 0.5) * _CELL - pose[0], (j + 0.5) * _CELL - pose[1]
            distance = np.sqrt(dx * dx + dy * dy)
            if distance > radius or distance <= footprint:
                continue
            if not _is_unmeasured(i, j, measured, blank_at, owner, distance, near, oldest):
                continue
            together = 0
            for k in range(i - 1, i + 2):
                for m in range(j - 1, j + 2):
                    ex, ey = (k + 0.5) * _CELL - pose[0], (m + 0.5) * _CELL - pose[1]
                    gap = np.sqrt(ex * ex + ey * ey)
                    if gap > footprint and _is_unmeasured(k, m, measured, blank_at, owner, gap, near, oldest):
                        together += 1
            if together < _TOGETHER:
                continue
            out[count, 0] = pose[2] * dx + pose[3] * dy
            out[count, 1] = -pose[3] * dx + pose[2] * dy
            count += 1
    return out[:count].copy()
