"""The robot profile that planner, controller, collision guard and simulator share. Knows nothing of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .config import Config, param
from .geometry import T_LINK_OPTICAL


@dataclass(frozen=True)
class RobotProfile(Config):
    """Shape, limits, camera mount and frames of a differential-drive robot."""

    footprint_radius: float = param(0.18, "radius of the circle around the robot", unit="m", low=0.05, high=1.0)
    height: float = param(1.0, "height that must stay clear above the floor", unit="m", low=0.1, high=2.5)
    max_linear: float = param(0.5, "top speed forward", unit="m/s", low=0.05, high=2.0)
    max_reverse: float = param(0.15, "top speed backward", unit="m/s", low=0.0, high=1.0)
    max_angular: float = param(1.5, "top turning rate", unit="rad/s", low=0.1, high=4.0)
    linear_acceleration: float = param(1.0, "speeding up", unit="m/s^2", low=0.1, high=5.0)
    linear_deceleration: float = param(1.5, "braking", unit="m/s^2", low=0.1, high=5.0)
    angular_acceleration: float = param(4.0, "turning rate's change", unit="rad/s^2", low=0.1, high=20.0)
    camera_height: float = param(0.85, "camera above the floor", unit="m", low=0.05, high=2.5)
    camera_forward: float = param(0.10, "camera ahead of base_link", unit="m", low=-1.0, high=1.0)
    camera_pitch: float = param(0.15, "camera tilt, positive looks down", unit="rad", low=-1.2, high=1.2)
    map_frame: str = param("map", "frame of the map")
    odom_frame: str = param("odom", "frame of odometry")
    base_frame: str = param("base_link", "frame of the robot, on the floor between its wheels")
    camera_frame: str = param("camera_color_optical_frame", "optical frame of the colour camera")

    def T_base_camera(self) -> np.ndarray:
        """4x4, base_link from the camera's optical frame."""
        c, s = np.cos(self.camera_pitch), np.sin(self.camera_pitch)
        T = np.array([[c, 0, s, self.camera_forward], [0, 1, 0, 0], [-s, 0, c, self.camera_height], [0, 0, 0, 1.0]])
        return T @ T_LINK_OPTICAL


#: (settings class, prefix) that a parameter file may give to every node, though not every node declares them.
SHARED_SETTINGS: tuple[tuple[type[Config], str], ...] = ((RobotProfile, "robot"),)
