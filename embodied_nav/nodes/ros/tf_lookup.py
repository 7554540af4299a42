"""Looks up TF at a stamp, as 4x4 matrices. Knows nothing of images and of what the frames mean."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from .conversions import BadMessage, matrix_from_transform, stamp_ns
from .lifecycle import AgentNode
from .living import SilenceClock

#: In simulated time a look-up waits at least this long (s), however old the stamp is.
_AT_LEAST = 0.1
#: Simulated time may stand still for so long (s) before steady time counts.
_STANDS = 5.0
#: A stamp this far (ns) behind the newest of its transform means that the clock was set back.
CLOCK_BACK = 1_000_000_000
#: What tf2 says of a stamp before the first transform that it knows.
_BEGINS_AFTER = "extrapolation into the past"
#: A wait is done in steps of this length (s); between them it is checked whether it is in vain.
_STEP = 0.02
#: Transforms with a period up to this (ns) are frequent: one missing at a stamp may still arrive.
_OFTEN = 1_000_000_000


@dataclass
class _Link:
    """The newest stamp (ns) of a transform, and the time (ns) since the one before it; None for the first."""

    stamp: int
    period: int | None = None


class _Buffer(tf2_ros.Buffer):
    """A buffer that records the newest stamp of each transform, and is cleared when their clock is set back."""

    def __init__(self, node: Node) -> None:
        super().__init__(cache_time=Duration(seconds=30))
        self._node = node
        self._watching = threading.Lock()
        self.links: dict[str, _Link] = {}  # by child frame
        self._taken: deque[tuple[str, int]] = deque(maxlen=200)  # child frame and stamp of those inserted before DDS
        self.clocks = 0

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Inserts a transform."""
        stamp, child = stamp_ns(transform.header.stamp), transform.child_frame_id.lstrip("/")
        if (child, stamp) in self._taken:
            self._taken.remove((child, stamp))
            return  # inserted directly before
        with self._watching:
            known = self.links.get(child)
            if known is not None and stamp < known.stamp - CLOCK_BACK:
                self._begin_anew(transform, (known.stamp - stamp) * 1e-9)
                known = None
            if known is None:
                self.links[child] = _Link(stamp)
            elif stamp > known.stamp:
                self.links[child] = _Link(stamp, stamp - known.stamp)
        super().set_transform(transform, authority)

    def take(self, transform: TransformStamped, authority: str) -> None:
        """Inserts a transform of this process directly; its copy by DDS will be ignored."""
        self.set_transform(transform, authority)
        self._taken.append((transform.child_frame_id.lstrip("/"), stamp_ns(transform.header.stamp)))

    def clear(self) -> None:
        """Forgets everything but static transforms."""
        self.links.clear()
        super().clear()

    def _begin_anew(self, transform: TransformStamped, seconds: float) -> None:
        """Clears the buffer after the clock was set back: old entries lie in the future of the new clock."""
        self.clocks += 1
        link = f"{transform.header.frame_id}->{transform.child_frame_id}"
        self._node.get_logger().warning(f"the clock of TF {link} was set back by {seconds:.1f} s: TF begins anew")
        self.clear()


def _listening(node: Node) -> tuple[_Buffer, tf2_ros.TransformListener]:
    buffer = _Buffer(node)
    return buffer, tf2_ros.TransformListener(buffer, node)


class Transforms:
    """TF look-ups at exact stamps.

    A look-up that waits must not run in the executor's thread, which fills the buffer.

    Attributes:
        of_map: whether :meth:`in_map` answers from TF, so that its result can be shared between nodes.
    """

    of_map = True

    def __init__(self, node: AgentNode) -> None:
        self._node = node
        self._buffer, self._listener = node.shared.once("tf", node, _listening)
        # Clear when ROS time jumps back, as tf2 does: a restarted bag must not see transforms of its last run.
        jump = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=False)
        # rclpy's clock keeps no reference to the handle, and goes on calling it until it is unregistered.
        self._jump = node.get_clock().create_jump_callback(jump, post_callback=lambda _: self._buffer.clear())
        node.on_release(self._jump.unregister)
        self._clock, self._silence = node.get_clock(), SilenceClock(node, _STANDS)

    @property
    def clocks(self) -> int:
        """How often the clock of transforms was set back."""
        return self._buffer.clocks

    def clear(self) -> None:
        """Forgets everything but static transforms: the clock was set back."""
        self._buffer.clear()

    def take(self, transforms: Sequence[TransformStamped]) -> None:
        """Inserts transforms that this process is about to publish: its other nodes need not wait for DDS."""
        for transform in transforms:
            self._buffer.take(transform, self._node.get_name())

    def at(
        self, target: str, source: str, stamp: int, timeout: float = 0.0, vain: Callable[[], object] | None = None
    ) -> np.ndarray:
        """4x4 float64, target from source, at a stamp (ns); waits up to ``timeout`` seconds for it.

        With simulated time the time-out is in simulated seconds since the stamp: a slow simulation delays TF, too.

        Args:
            vain: says during the wait whether the transform will not come: simulated time may stand still for as long
                as somebody waits for it.

        Raises:
            BadMessage: ``no_transform``, TF does not connect the frames at that stamp.
        """
        if stamp < 0:  # rclpy's Time cannot be negative; it would raise another exception
            raise BadMessage("no_transform", f"{target} from {source} at {stamp * 1e-9:.3f} s: no time is below zero")
        begun, end, wait = time.monotonic(), None, Duration()
        while True:
            try:
                found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp), wait)
                return matrix_from_transform(found.transform)
            except tf2_ros.TransformException as error:
                # What TF begins after never comes: a node that hears TF late would else wait for every frame before.
                outside = isinstance(error, tf2_ros.ExtrapolationException)
                late = outside and _BEGINS_AFTER in str(error)
                now, wait = self._silence.now(), Duration(seconds=min(timeout, _STEP))
                if end is None:
                    # A stamp ahead of the clock is from before it was set back: it is not waited for until it comes.
                    passed = max((self._clock.now().nanoseconds - stamp) * 1e-9, 0.0)
                    end = now + max(timeout - passed, _AT_LEAST)
                comes = outside and self._silence.simulated
                over = now >= end if comes else time.monotonic() >= begun + timeout
                if late or timeout <= 0.0 or over or (vain is not None and vain()):
                    text = f"{target} from {source} at {stamp * 1e-9:.3f} s: {error}"
                    raise BadMessage("no_transform", text) from None

    def newest(self, target: str, source: str) -> tuple[int, np.ndarray]:
        """Stamp (ns; 0 for a static transform) and 4x4 of the newest transform, target from source.

        Raises:
            BadMessage: ``no_transform``, TF does not connect the frames.
        """
        try:
            found = self._buffer.lookup_transform(target, source, Time())
        except tf2_ros.TransformException as error:
            raise BadMessage("no_transform", f"{target} from {source}: {error}") from None
        return stamp_ns(found.header.stamp), matrix_from_transform(found.transform)

    def near(self, target: str, source: str, stamp: int, within: float, timeout: float = 0.0) -> np.ndarray:
        """As :meth:`at`; if TF has nothing at the stamp, the newest transform within ``within`` seconds of it.

        For a transform that drifts slowly and may be published rarely, above all map->odom. It waits only if the newest
        one is recent, so that the next may be about to arrive.

        Raises:
            BadMessage: ``no_transform``, TF does not connect the frames that near to the stamp.
        """
        try:
            newest, T = self.newest(target, source)
        except BadMessage:
            return self.at(target, source, stamp, timeout)
        wait = timeout if 0 < newest < stamp <= newest + _OFTEN else 0.0
        try:
            return self.at(target, source, stamp, wait)
        except BadMessage as error:
            if abs(stamp - newest) > within * 1e9:
                age = (stamp - newest) * 1e-9
                text = f"the newest {target} from {source} is {age:.1f} s older than what needs it"
                raise BadMessage(error.fault, text) from None
            return T

    def in_map(self, source: str, stamp: int, vain: Callable[[], object] | None = None) -> np.ndarray:
        """4x4 float64, map from source, at a stamp (ns); waits up to the node's ``tf_timeout``.

        If map->odom is published rarely, its newest transform within the node's ``map_timeout`` is combined with
        odometry at the stamp. If it is frequent and missing at the stamp, SLAM has no pose for it, and this fails.

        Args:
            vain: as in :meth:`at`.

        Raises:
            BadMessage: ``no_transform``.
        """
        robot, settings = self._node.robot, self._node.settings
        link = self._buffer.links.get(robot.odom_frame)
        seldom = link is not None and (link.period is None or link.period > _OFTEN)
        if settings.lockstep or not seldom:
            return self.at(robot.map_frame, source, stamp, settings.tf_timeout, vain)
        T_odom_source = self.at(robot.odom_frame, source, stamp, settings.tf_timeout, vain)
        wait = settings.tf_timeout
        return self.near(robot.map_frame, robot.odom_frame, stamp, settings.map_timeout, wait) @ T_odom_source
