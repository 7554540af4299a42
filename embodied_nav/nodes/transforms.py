"""Looks up TF at a stamp, as 4x4 matrices. Knows nothing of images and of what the frames mean."""

from __future__ import annotations

import numpy as np
import tf2_ros
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from .conversions import BadMessage, matrix_from_transform


class Transforms:
    """A TF buffer that is asked for exact stamps.

    A look-up that waits must not run in the executor's thread: that is the one which fills the buffer.
    """

    def __init__(self, node: Node) -> None:
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=30))
        # What a buffer of its own clock does: a bag that begins anew must not meet the future of its last run.
        jump = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=False)
        self._jump = node.get_clock().create_jump_callback(jump, post_callback=lambda _: self._buffer.clear())
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def at(self, target: str, source: str, stamp: int, timeout: float = 0.0) -> np.ndarray:
        """4x4 float64, target from source, at a stamp (ns); waits up to ``timeout`` seconds for it.

        Raises:
            BadMessage: ``no_transform``, TF does not connect the frames at that stamp.
        """
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp), Duration(seconds=timeout))
        except tf2_ros.TransformException as error:
            raise BadMessage("no_transform", f"{target} from {source} at {stamp * 1e-9:.3f} s: {error}") from None
        return matrix_from_transform(found.transform)
