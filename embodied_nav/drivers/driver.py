"""The interface of drivers. Knows no particular driver, nothing of ROS and of simulators.

A driver gets camera frames with poses, at the camera's rate, and is asked for a command, at the control rate: a
velocity or a discrete action. Frames and poses are all that it learns about the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..frames import Action, RGBDFrame, Velocity


class Driver(Protocol):
    """Drives a robot after an instruction.

    Attributes:
        needs_camera: whether :meth:`observe` must be called; if False, nothing is rendered or localised.
    """

    needs_camera: bool

    @property
    def status(self) -> str:
        """``running``, ``stopped`` (STOP called, believing to have arrived: only that can be a success) or ``failed``
        (ended without that belief)."""

    @property
    def reason(self) -> str:
        """The reason for the present action, or for the end, in words."""

    def reset(self, instruction: str, *, seed: str = "") -> None:
        """Starts on an instruction in an unknown place.

        Args:
            seed: for drivers that use randomness.

        Raises:
            InputError: the sentence is not understood.
        """

    def set_instances(self, names: Mapping[int, tuple[str, str]]) -> None:
        """Sets id -> (label, colour), for perception back ends that read a simulator's instance ids."""

    def observe(
        self,
        frame: RGBDFrame,
        T_map_base: np.ndarray,
        T_odom_base: np.ndarray | None = None,
        T_base_camera: np.ndarray | None = None,
    ) -> object:
        """Processes one camera frame.

        Args:
            frame: with its pose in map.
            T_map_base: 4x4, the robot at the frame's stamp.
            T_odom_base: 4x4, the same by odometry; default: the pose in map.
            T_base_camera: 4x4, camera mount; default: from the two poses.
        """

    def join(self, map_id: str, joined_map_id: str, T: np.ndarray) -> None:
        """SLAM merged two maps, see ``slam.Joined``. Called before the frame that caused it."""

    def correct(self, stamps: np.ndarray, poses: np.ndarray) -> object:
        """SLAM corrected past poses. Called before the frame that caused it.

        Args:
            stamps: N int64 ns, ascending. poses: Nx4x4 T_map_camera of the frames of these stamps.
        """

    def control(self, stamp: int, T_odom_base: np.ndarray) -> Velocity | Action:
        """The command: a velocity until the next call, or one discrete action, after which a new frame comes.

        Not called while localization is lost: the robot stands then.

        Args:
            stamp: ns, now. T_odom_base: 4x4, now.
        """


class Blind:
    """Base of drivers that use no camera: ignores frames, corrections and maps."""

    needs_camera = False
    reason = ""

    def set_instances(self, names: Mapping[int, tuple[str, str]]) -> None:
        """Reads no instance ids."""

    def observe(
        self,
        frame: RGBDFrame,
        T_map_base: np.ndarray,
        T_odom_base: np.ndarray | None = None,
        T_base_camera: np.ndarray | None = None,
    ) -> None:
        """Ignores the frame."""

    def join(self, map_id: str, joined_map_id: str, T: np.ndarray) -> None:
        """Ignores the merge: it has no map."""

    def correct(self, stamps: np.ndarray, poses: np.ndarray) -> None:
        """Ignores the correction: it keeps no poses."""
