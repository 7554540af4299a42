"""Sends transforms that never change, latched, on /tf_static. Knows nothing of buffers."""

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from .transform_broadcaster import as_list


class StaticTransformBroadcaster:
    """Publishes all its transforms so far as one latched message: a late listener gets them all."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        """Publish on /tf_static through the node; `qos` is a profile or a depth (1, transient local)."""
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)
        self._latest: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Add transforms, or replace those of the same child frames, and publish."""
        self._latest.update((added.child_frame_id, added) for added in as_list(transform))
        self.pub_tf.publish(TFMessage(transforms=list(self._latest.values())))
