"""How the camera sat on the base when keyframes were taken: TF forgets that. Knows nothing of the memory."""

from __future__ import annotations

import contextlib

import numpy as np

from embodied_nav.msg import Keyframe as KeyframeMsg

from ..geometry import invert, is_rigid
from ..robot import RobotProfile
from .conversions import BadMessage, matrix_from_pose, stamp_ns
from .transforms import Transforms


class Mounts:
    """The camera's mounts by keyframe stamps.

    Args:
        timeout: how long TF is waited for, s: calls may take so long.

    Attributes:
        by_stamp: stamp (ns) -> 4x4 base_link from optical frame.
        newest: the one noted last, None before the first.
    """

    def __init__(self, transforms: Transforms, robot: RobotProfile, timeout: float) -> None:
        self._transforms, self._robot, self._timeout = transforms, robot, timeout
        self._unknown: KeyframeMsg | None = None
        self.by_stamp: dict[int, np.ndarray] = {}
        self.newest: np.ndarray | None = None

    def note(self, message: KeyframeMsg) -> None:
        """Remembers the mount of a keyframe that has just come."""
        stamp, robot, at = stamp_ns(message.header.stamp), self._robot, self._transforms.at
        with contextlib.suppress(BadMessage):
            try:
                T_map_base = at(robot.map_frame, robot.base_frame, stamp, self._timeout)
                T_base_camera = invert(T_map_base) @ matrix_from_pose(message.pose)
            except BadMessage:  # taken before this node heard of TF: a camera that is fixed has sat there then, too
                T_base_camera = at(robot.base_frame, message.header.frame_id, stamp)
            if is_rigid(T_base_camera):
                self.by_stamp[stamp] = self.newest = T_base_camera
        self._unknown = message if self.newest is None else None

    def ask_again(self) -> None:
        """Looks again for the mount of a keyframe that came ahead of static TF, where none is known yet."""
        if self._unknown is not None:
            self.note(self._unknown)
