"""Decides when enough consecutive frames were recognised at consistent poses. Knows nothing of images and graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import invert, rotation_angle

#: Consecutive frames that must agree.
_NEEDED = 3
#: Allowed difference of two of them (m, rad) after the motion between them, and the largest speed (m/s, rad/s) of a
#: camera without wheel odometry.
_SAME, _SPEED = (0.10, 0.08), (1.5, 3.0)
#: Frames farther apart (s) are not consecutive.
_LONGEST = 1.0


@dataclass(frozen=True, eq=False)
class Sighting:
    """Where one frame was recognised: stamp (ns), 4x4 map from optical frame, 4x4 by wheels or None."""

    stamp: int
    T_map_camera: np.ndarray
    T_odom_camera: np.ndarray | None


class Sightings:
    """Counts consecutive sightings that agree. Look-alike places and wrong matches change from frame to frame."""

    def __init__(self) -> None:
        self._last: Sighting | None = None
        self._count = 0

    def clear(self) -> None:
        """Forgets all sightings."""
        self._last, self._count = None, 0

    def add(self, sighting: Sighting | None) -> bool:
        """Adds the next frame's sighting, None if it was not recognised; returns whether enough agree now."""
        if sighting is None:
            self.clear()
            return False
        agrees = self._last is not None and _agree(self._last, sighting)
        self._last, self._count = sighting, self._count + 1 if agrees else 1
        return self._count >= _NEEDED


def _agree(last: Sighting, sighting: Sighting) -> bool:
    seconds = (sighting.stamp - last.stamp) * 1e-9
    if not 0.0 < seconds < _LONGEST:
        return False
    motion = invert(last.T_map_camera) @ sighting.T_map_camera
    allowed_t, allowed_r = _SAME
    if last.T_odom_camera is not None and sighting.T_odom_camera is not None:
        motion = invert(invert(last.T_odom_camera) @ sighting.T_odom_camera) @ motion
    else:
        allowed_t, allowed_r = allowed_t + _SPEED[0] * seconds, allowed_r + _SPEED[1] * seconds
    return float(np.linalg.norm(motion[:3, 3])) < allowed_t and rotation_angle(motion) < allowed_r
