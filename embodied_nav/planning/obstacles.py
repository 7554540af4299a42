"""A small rolling map of obstacles around the robot in odom, from fresh depth and scans. Knows nothing of goals.

A camera on a mast loses low things from sight before the robot reaches them, so what it saw is kept until floor is
seen in its place, it grows old, or the robot leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..geometry import Camera
from ..robot import RobotProfile

_SIZE = 128  # cells along an edge; a torus, so the window moves with the robot without copying
_NEVER = -(2**62)


@dataclass(frozen=True)
class ObstacleConfig(Config):
    """Settings of the local obstacle map."""

    resolution: float = param(0.04, "edge of a cell", unit="m", low=0.01, high=0.2)
    range: float = param(2.0, "how far from the robot obstacles are kept", unit="m", low=0.3, high=2.4)
    min_height: float = param(0.07, "lower things are floor", unit="m", low=0.01, high=0.5)
    memory: float = param(12.0, "how long an obstacle out of sight is kept", unit="s", low=0.1, high=600.0)
    min_hits: int = param(2, "depth pixels that make a cell an obstacle", low=1, high=50)
    columns: int = param(160, "image columns looked at", low=20, high=640)


class LocalObstacles:
    """Cells with obstacles around the robot, by their last sighting."""

    def __init__(self, config: ObstacleConfig | None = None, robot: RobotProfile | None = None) -> None:
        self.config = config or ObstacleConfig()
        self.robot = robot or RobotProfile()
        self._seen = np.full((_SIZE, _SIZE), _NEVER, dtype=np.int64)
        self._place = np.zeros((_SIZE, _SIZE, 2), dtype=np.float64)
        self._stamp = _NEVER

    @property
    def reach(self) -> float:
        """m from the robot within which obstacles are kept: the configured range, or what the map can hold."""
        return min(self.config.range, 0.5 * _SIZE * self.config.resolution - 0.1)

    def clear(self) -> None:
        """Forgets everything."""
        self._seen.fill(_NEVER)

    def add_depth(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        T_base_camera: np.ndarray,
        T_odom_base: np.ndarray,
    ) -> None:
        """Takes in a depth image (HxW float32 m, NaN invalid) taken at ``stamp`` (ns) from the pose ``T_odom_base``."""
        stride = max(1, camera.width // self.config.columns)
        _add_depth(
            np.ascontiguousarray(depth, dtype=np.float32),
            stride,
            np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            np.ascontiguousarray(T_odom_base @ T_base_camera, dtype=np.float64),
            np.ascontiguousarray(T_odom_base[:3, 3], dtype=np.float64),
            np.array([self.config.min_height, self.robot.height, self.reach, self.config.resolution]),
            self.config.min_hits,
            stamp,
            self._seen,
            self._place,
        )
        self._stamp = max(self._stamp, stamp)

    def add_points(self, stamp: int, points: np.ndarray) -> None:
        """Takes in obstacle points (Nx2, x y in odom, m), of a laser scan say."""
        if len(points) == 0:
            return
        places = np.asarray(points, dtype=np.float64)[:, :2]
        slots = np.floor(places / self.config.resolution).astype(np.int64) % _SIZE
        self._seen[slots[:, 0], slots[:, 1]] = stamp
        self._place[slots[:, 0], slots[:, 1]] = places
        self._stamp = max(self._stamp, stamp)

    def points(self, T_odom_base: np.ndarray, radius: float | None = None) -> np.ndarray:
        """Nx2 float64 obstacle points, one a cell, within ``radius`` (m) of the robot, as (x, y) in base_link."""
        pose = np.array([T_odom_base[0, 3], T_odom_base[1, 3], T_odom_base[0, 0], T_odom_base[1, 0]])
        oldest = self._stamp - int(self.config.memory * 1e9)
        reach = self.reach if radius is None else min(radius, self.reach)
        return _nearby(self._seen, self._place, pose, oldest, reach)


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
    good = np.isfinite(ranges) & (ranges >= range_min) & (ranges <= range_max)
    local = np.stack([ranges[good] * np.cos(angles[good]), ranges[good] * np.sin(angles[good])], axis=1)
    return local @ T_odom_laser[:2, :2].T + T_odom_laser[:2, 3]


@njit(cache=True, nogil=True)
def _add_depth(depth, stride, K, T, robot, limits, min_hits, stamp, seen, place):
    low, high, reach, resolution = limits[0], limits[1], limits[2], limits[3]
    n = seen.shape[0]
    hits = np.zeros((n, n), dtype=np.int32)
    floor = np.zeros((n, n), dtype=np.int32)
    height, width = depth.shape
    for v in range(0, height, stride):
        b = (v - K[3]) / K[1]
        for u in range(0, width, stride):
            z = depth[v, u]
            # The test is False for NaN too. Slant distance exceeds z, so farther pixels cannot matter.
            if not (z > 0.05 and z < reach + 0.5):
                continue
            a = (u - K[2]) / K[0]
            x = z * (T[0, 0] * a + T[0, 1] * b + T[0, 2]) + T[0, 3]
            y = z * (T[1, 0] * a + T[1, 1] * b + T[1, 2]) + T[1, 3]
            if (x - robot[0]) ** 2 + (y - robot[1]) ** 2 > reach * reach:
                continue
            h = z * (T[2, 0] * a + T[2, 1] * b + T[2, 2]) + T[2, 3] - robot[2]
            i, j = int(np.floor(x / resolution)), int(np.floor(y / resolution))
            if h < low:
                floor[i % n, j % n] += 1
            elif h <= high:
                hits[i % n, j % n] += 1
                if hits[i % n, j % n] >= min_hits:
                    seen[i % n, j % n] = stamp
                    place[i % n, j % n, 0] = x
                    place[i % n, j % n, 1] = y
    for i in range(n):
        for j in range(n):
            if floor[i, j] > 0 and hits[i, j] == 0:
                seen[i, j] = _NEVER


@njit(cache=True, nogil=True)
def _nearby(seen, place, pose, oldest, reach):
    n = seen.shape[0]
    out = np.empty((n * n, 2), dtype=np.float64)
    count = 0
    for i in range(n):
        for j in range(n):
            if seen[i, j] < oldest or seen[i, j] == _NEVER:
                continue
            dx = place[i, j, 0] - pose[0]
            dy = place[i, j, 1] - pose[1]
            if dx * dx + dy * dy > reach * reach:
                continue
            out[count, 0] = pose[2] * dx + pose[3] * dy
            out[count, 1] = -pose[3] * dx + pose[2] * dy
            count += 1
    return out[:count].copy()
