"""Keeps the camera's mount on the base for each keyframe, since TF's buffer forgets it. Knows nothing of the memory."""

from __future__ import annotations

import contextlib

import numpy as np

from embodied_nav.msg import Keyframe as KeyframeMsg

from ...geometry import invert, is_rigid
from ...robot import RobotProfile
from .conversions import BadMessage, matrix_from_pose, stamp_ns
from .tf_lookup import Transforms


class Mounts:
    """The camera's mounts by keyframe stamps.

    Args:
        timeout: longest wait for TF, s; calls may block that long.

    Attributes:
        by_stamp: stamp (ns) -> 4x4 base_link from optical frame.
        newest: the last one recorded, None before the first.
    """

    def __init__(self, transforms: Transforms, robot: RobotProfile, timeout: float) -> None:
        self._transforms, self._robot, self._timeout = transforms, robot, timeout
        self._unknown: KeyframeMsg | None = None
        self.by_stamp: dict[int, np.ndarray] = {}
        self.newest: np.ndarray | None = None

    def note(self, message: KeyframeMsg) -> None:
        """Records the mount of a keyframe that has just arrived."""
        stamp, robot, at = stamp_ns(message.header.stamp), self._robot, self._transforms.at
        with contextlib.suppress(BadMessage):
            try:
                T_map_base = at(robot.map_frame, robot.base_frame, stamp, self._timeout)
                T_base_camera = invert(T_map_base) @ matrix_from_pose(message.pose)
            except BadMessage:  # taken before this node received TF: a fixed camera had the same mount then
                T_base_camera = at(robot.base_frame, message.header.frame_id, stamp)
            if is_rigid(T_base_camera):
                self.by_stamp[stamp] = self.newest = T_base_camera
        self._unknown = message if self.newest is None else None

    def ask_again(self) -> None:
        """If no mount is known yet, retries for a keyframe that arrived before static TF."""
        if self._unknown is not None:
            self.note(self._unknown)
