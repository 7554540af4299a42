"""The doctor's findings on odometry and on incompatible QoS. Subscribes to nothing; knows no other checks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tf2_ros
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.time import Time

from ...findings import OK, WARNING, Finding
from ...geometry import yaw_of
from ...planning.pose_watch import PoseWatchConfig
from ...robot import RobotProfile
from .conversions import matrix_from_pose, matrix_from_transform, stamp_ns


def odometry_findings(odom: Odometry, tf: tf2_ros.Buffer) -> Iterator[Finding]:
    """Whether the odom topic and TF agree on the base: its frames, and its pose at the message's stamp."""
    robot, limits = RobotProfile(), PoseWatchConfig()
    frames = (odom.header.frame_id, odom.child_frame_id)
    wanted = (robot.odom_frame, robot.base_frame)
    if any(frame not in ("", expected) for frame, expected in zip(frames, wanted, strict=True)):
        text = f"is of {frames[1] or '(none)'} in {frames[0] or '(none)'}, TF is asked for {wanted[1]} in {wanted[0]}"
        yield Finding("odometry", "frames", WARNING, text, "set robot.odom_frame and robot.base_frame, or the driver's")
    try:
        found = tf.lookup_transform(*wanted, Time(nanoseconds=stamp_ns(odom.header.stamp)))
    except tf2_ros.TransformException:
        return  # reported by the check of TF
    topic, there = matrix_from_pose(odom.pose.pose), matrix_from_transform(found.transform)
    if not (np.isfinite(topic).all() and np.isfinite(there).all()):
        yield Finding("odometry", "pose", WARNING, "is not finite", "restart the base's odometry: control refuses it")
        return
    gap = math.dist(topic[:2, 3], there[:2, 3])
    turn = abs(math.remainder(yaw_of(topic) - yaw_of(there), 2.0 * math.pi))
    good = gap <= limits.apart and turn <= limits.turned_apart
    mend = "" if good else "remap odom to the odometry whose pose is in TF: control stands while they disagree"
    text = f"{gap:.2f} m and {turn:.2f} rad from TF {wanted[0]}->{wanted[1]}"
    yield Finding("odometry", "odom and TF", OK if good else WARNING, text, mend)


def mismatch(
    topic: str, offered: QoSProfile, asked: QoSProfile, publisher: str, subscriber: str, ours: bool
) -> Finding | None:
    """Why a publisher and a subscriber have incompatible QoS, and the parameter that fixes it; None if compatible.

    Args:
        topic: full name. offered, asked: the QoS of the publisher's and of the subscriber's side.
        publisher, subscriber: names of their nodes. ours: whether the subscriber is a node of the agent.
    """
    verdict, reason = qos_check_compatible(offered, asked)
    if verdict != QoSCompatibility.ERROR:
        return None
    weaker = []
    if offered.reliability == ReliabilityPolicy.BEST_EFFORT and asked.reliability == ReliabilityPolicy.RELIABLE:
        weaker.append(("reliability", "best_effort"))
    if offered.durability == DurabilityPolicy.VOLATILE and asked.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        weaker.append(("durability", "volatile"))
    if ours and weaker:
        names = " and ".join(f"qos_overrides.{topic}.subscription.{policy}: {value}" for policy, value in weaker)
        mend = f"set {names} of {subscriber}"
    elif weaker:
        mend = f"let {subscriber} ask for {' and '.join(value for _, value in weaker)}, or {publisher} offer more"
    else:
        mend = f"let {subscriber} ask for what {publisher} offers"
    return Finding("QoS", topic, WARNING, f"{publisher} -> {subscriber}: {reason.strip()}", mend)
