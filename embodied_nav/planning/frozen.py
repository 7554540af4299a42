"""Detects a hung camera driver: identical images while the robot moves. Knows nothing of what images show."""

from __future__ import annotations

import math
import zlib

import numpy as np

from ..geometry import Camera, yaw_of

_SAMPLES = 8192  # bytes compared: sensor noise changes some of them in every image


class FrozenPicture:
    """Compares each image with the one before.

    An image that stays identical while odometry moves more than ``distance`` (m) or ``turn`` (rad) is frozen; the first
    one that differs clears this. Identical images of a standing robot mean nothing: a noise-free simulator sends them.
    """

    def __init__(self, distance: float = 0.05, turn: float = 0.06) -> None:
        self.distance, self.turn = distance, turn
        self.reset()

    def reset(self) -> None:
        """Forgets the last image."""
        self._digest: int | None = None
        self._since: np.ndarray | None = None
        self.moved = (0.0, 0.0)
        self.frozen = False

    def update(self, data: np.ndarray, T_odom_base: np.ndarray) -> bool:
        """Whether the image is frozen.

        Args:
            data: the image's bytes, uint8, any shape. A uniform image (a covered lens) is not judged.
            T_odom_base: 4x4 at its exposure.
        """
        flat = np.asarray(data, np.uint8).reshape(-1)
        step = max(1, len(flat) // _SAMPLES) | 1  # odd, so that all bytes of a pixel are sampled
        sample = np.ascontiguousarray(flat[::step])
        digest = zlib.crc32(sample.data)
        if self._since is None or digest != self._digest or not len(sample) or sample.min() == sample.max():
            self._digest, self._since = digest, np.array(T_odom_base)
            self.moved, self.frozen = (0.0, 0.0), False
            return False
        dx, dy = T_odom_base[0, 3] - self._since[0, 3], T_odom_base[1, 3] - self._since[1, 3]
        turn = abs(math.remainder(yaw_of(T_odom_base) - yaw_of(self._since), 2.0 * math.pi))
        self.moved = (math.hypot(dx, dy), turn)
        # Latched until a different image arrives, wherever odometry drifts.
        self.frozen = self.frozen or self.moved[0] > self.distance or turn > self.turn
        return self.frozen


def shows_things(depth: np.ndarray, camera: Camera, T_base_camera: np.ndarray) -> bool:
    """Whether a depth image (HxW m) shows more than a level floor, which looks the same from everywhere."""
    step = max(1, depth.shape[1] // 40)
    z = depth[::step, ::step]
    v, u = np.mgrid[0 : depth.shape[0] : step, 0 : depth.shape[1] : step]
    a, b = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    R = T_base_camera[2]
    with np.errstate(invalid="ignore"):
        height = z * (R[0] * a + R[1] * b + R[2]) + R[3]
        return bool(np.mean((z > 0.05) & (np.abs(height) > 0.1)) > 0.01)
