"""Dead reckoning while the image does not constrain the pose; detects repeated depth images. Knows no views."""

from __future__ import annotations

import numpy as np

from ..geometry import rotation_angle

#: The camera is elsewhere if depth passes through more than this share of the expected surfaces in this many frames in
#: a row.
_THROUGH, _FRAMES = 0.2, 3
#: A robot whose wheels stand this long (s) while its view contradicts the pose may be being carried.
_CARRIED = 1.0
#: Longest time (s) over which the limits on motion grow.
_LONGEST = 1.0
#: Pixel stride of the comparison of depth images, and least valid depths among these pixels.
_STRIDE, _ENOUGH = 8, 20
#: A repeated image is stale once wheels have moved this much (m, rad) since it first arrived.
_STALE = (0.01, 0.01)


class Away:
    """Motion since the last frame whose pose was found.

    Attributes:
        distance, turn: m and rad, path length and turn by wheel odometry. seconds: elapsed time; None if unknown.
        gap: frames are missing in between.
        strayed: the camera's place is unknown: no wheel odometry, or the view contradicted it.
    """

    def __init__(self) -> None:
        self.distance = self.turn = 0.0
        self.seconds: float | None = 0.0
        self.gap = self.strayed = False
        self._before = self._variance = np.zeros(2)
        self._standing, self._moving, self._through = 0.0, 0.0, 0

    def add(self, wheels: np.ndarray | None, seconds: float | None, sigma: tuple[float, float], still: bool) -> None:
        """Adds a frame: its motion (4x4) by wheel odometry or None, and that motion's standard deviations (m, rad)."""
        self.seconds = None if seconds is None or self.seconds is None else min(self.seconds + seconds, _LONGEST)
        self._before = self._variance
        self._variance = self._variance + np.square(sigma)
        if wheels is None:
            self.strayed = True
            return
        self.distance += float(np.linalg.norm(wheels[:3, 3]))
        self.turn += rotation_angle(wheels)
        self._moving += 0.0 if still else seconds or 0.0
        self._standing = self._standing + (seconds or 0.0) if still else 0.0

    def sigma(self, own: tuple[float, float]) -> tuple[float, float]:
        """Standard deviations (m, rad) of the camera's pose, with ``own`` those of the newest frame's motion."""
        total = np.sqrt(self._before + np.square(own))
        return float(total[0]), float(total[1])

    @property
    def reach(self) -> float:
        """Standard deviation (m) of the camera's position by wheel odometry."""
        return float(np.sqrt(self._variance[0])) + float(np.sqrt(self._variance[1])) * self.distance

    def contradicted(self, through: float) -> None:
        """Records a usable frame that did not fit: depth passes through this share of the surfaces expected in view."""
        self._through = self._through + 1 if through > _THROUGH else 0
        if self._through >= _FRAMES or self._standing > _CARRIED:
            self.strayed = True

    def within(self, distance: float, seconds: float) -> bool:
        """Whether wheel odometry may still be followed: limits on distance (m) and time in motion (s)."""
        return not self.strayed and self.distance <= distance and self._moving <= seconds


class Picture:
    """Detects a depth image that a hung driver sends again. This needs wheel odometry: a camera at rest may produce
    identical images."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._distance = self._turn = 0.0

    def same(self, depth: np.ndarray, wheels: np.ndarray | None) -> str:
        """Why a depth image (HxW) with a new stamp is a repeated one; "" if it is not."""
        sample = depth[::_STRIDE, ::_STRIDE]
        repeats = self._last is not None and np.array_equal(sample, self._last, equal_nan=True)
        if not repeats or np.isfinite(sample).sum() < _ENOUGH:
            self._last = sample.copy()
            self._distance = self._turn = 0.0
            return ""
        if wheels is not None:
            self._distance += float(np.linalg.norm(wheels[:3, 3]))
            self._turn += rotation_angle(wheels)
        if self._distance > _STALE[0] or self._turn > _STALE[1]:
            return f"the same picture while wheels say {self._distance:.2f} m, {self._turn:.2f} rad"
        return ""
