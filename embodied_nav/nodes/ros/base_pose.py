"""The base's pose from the odom topic and TF, checked against each other. Knows nothing of obstacles and plans.

TF at an image's stamp places what is seen, and is checked against the topic there. The present pose is TF's newest,
extrapolated by the topic's motion since. In lock-step the topic alone is used: nothing can arrive late there.
"""

from __future__ import annotations

import threading

import numpy as np
from nav_msgs.msg import Odometry

from ...planning.pose_watch import PoseWatch, PoseWatchConfig
from .conversions import BadMessage, matrix_from_pose, stamp_ns
from .lifecycle import AgentNode
from .tf_lookup import Transforms


class BasePose:
    """Pairs the topic's poses with TF's; gives the base's pose, and what is wrong with it.

    Attributes:
        watch: detects jumps and disagreement.
        stamp: ns of the topic's newest message.
    """

    def __init__(self, node: AgentNode, transforms: Transforms, config: PoseWatchConfig) -> None:
        self.watch = PoseWatch(config, node.robot)
        self.stamp = 0
        self._lock = threading.Lock()  # images are checked in another thread
        self._node, self._transforms, self._robot = node, transforms, node.robot
        self._topic: np.ndarray | None = None
        self._paired_at = node.diagnostics.silence.now()
        self._tf_stamp: int | None = None
        self._input, self._tf = node.diagnostics.input("odom"), node.diagnostics.input("tf")
        self._tf.required = not node.settings.lockstep  # in lock-step the topic alone is used

    def hear(self, message: Odometry) -> bool:
        """Takes in a message of the odom topic; returns True if the clock was set back before it.

        Raises:
            BadMessage: ``nan_odometry``.
        """
        self._input.came()
        T = matrix_from_pose(message.pose.pose)
        if not np.isfinite(T).all():
            self._input.refused("it is not finite")
            raise BadMessage("nan_odometry", "odom is not finite")
        self._input.used(self._node.message_age(message))
        self.stamp = stamp_ns(message.header.stamp)
        self._topic = T if self._node.settings.lockstep else self._of_base(message, T)
        with self._lock:
            back = self.watch.hear(self.stamp, self._topic)
        if back:
            self._transforms.clear()
            self._tf_stamp = None
        return back

    def look(self) -> None:
        """Compares topic and TF at the newest stamp that both have."""
        odom, base = self._robot.odom_frame, self._robot.base_frame
        try:
            newest, T = self._transforms.newest(odom, base)
        except BadMessage as error:
            self._tf.refused(str(error))
            return
        if not np.isfinite(T).all():
            self._tf.refused(f"{odom} from {base} is not finite")
            return
        if newest == 0 or newest != self._tf_stamp:
            self._tf_stamp = newest
            self._tf.arrived(self._node.stamp_age(newest) if newest else 0.0)
        with self._lock:
            stamp = next((s for s in self.watch.unpaired if s <= newest or newest == 0), None)
        if stamp is None:
            return
        try:
            T = T if stamp == newest else self._transforms.at(odom, base, stamp)
        except BadMessage:
            return  # TF starts later than the topic
        if np.isfinite(T).all():
            with self._lock:
                self.watch.pair(stamp, T)
            self._paired_at = self._node.diagnostics.silence.now()

    def checked(self, stamp: int, T_odom_base: np.ndarray) -> np.ndarray:
        """TF's pose at a stamp, if it agrees with the topic.

        Raises:
            BadMessage: ``base_pose``.
        """
        if self._node.settings.lockstep:
            return T_odom_base
        with self._lock:
            doubt = self.watch.doubt(stamp, T_odom_base)
        if doubt:
            raise BadMessage("base_pose", doubt)
        return T_odom_base

    @property
    def now(self) -> tuple[int, np.ndarray] | None:
        """Stamp (ns) and 4x4, odom from base_link; None where it is not known."""
        if self._node.settings.lockstep:
            return None if self._topic is None else (self.stamp, self._topic)
        with self._lock:
            return self.watch.pose

    @property
    def trouble(self) -> str:
        """Why the robot must stop, "" where the pose is trusted."""
        if self._node.settings.lockstep:
            return ""
        if self.now is None:
            return "where the base is has not been told yet"
        silent = self._node.diagnostics.silence.now() - self._paired_at
        if not self.watch.trouble and silent > self._node.settings.input_timeout:
            behind = (self.stamp - (self._tf_stamp or 0)) * 1e-9
            link = f"{self._robot.odom_frame}->{self._robot.base_frame}"
            return f"odom topic and TF {link} have no stamp in common: TF's newest is {behind:.2f} s behind the topic's"
        return self.watch.trouble

    def _of_base(self, message: Odometry, T: np.ndarray) -> np.ndarray:
        """Pose of base_link in odom, from a message that may use other frames (connected by TF)."""
        robot, unknown = self._robot, []
        parent, child = message.header.frame_id.lstrip("/"), message.child_frame_id.lstrip("/")
        if child not in ("", robot.base_frame):
            try:
                T = T @ self._transforms.newest(child, robot.base_frame)[1]
            except BadMessage:
                unknown.append(f"child frame '{child}'")
        if parent not in ("", robot.odom_frame):
            try:
                T = self._transforms.newest(robot.odom_frame, parent)[1] @ T
            except BadMessage:
                unknown.append(f"frame '{parent}'")
        taken = f"{' and '.join(unknown)}, which TF does not know, taken for {robot.odom_frame}->{robot.base_frame}"
        self._node.diagnostics.facts["odom frames"] = taken if unknown else f"{parent or '(none)'}->{child or '(none)'}"
        return T
