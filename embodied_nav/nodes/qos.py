"""The QoS profiles of all topics. Knows nothing of the nodes that use them.

A new profile is made for each use: rclpy writes ``qos_overrides`` parameters into the object that it is given.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def sensor(depth: int = 5) -> QoSProfile:
    """Best effort: what camera drivers offer; a reliable subscriber would never match them."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def camera(lockstep: bool, depth: int = 5) -> QoSProfile:
    """For who listens to a camera: best effort; in lock-step, where everybody waits for every image, reliable."""
    return reliable(depth) if lockstep else sensor(depth)


def reliable(depth: int = 10) -> QoSProfile:
    """Reliable and volatile."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def latched(depth: int = 1) -> QoSProfile:
    """Reliable, and late subscribers get the last message."""
    profile = reliable(depth)
    profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return profile


def handover(lockstep: bool, depth: int = 10) -> QoSProfile:
    """From node to node: reliable; in lock-step latched too, so that the first message waits for a late discovery."""
    return latched(max(depth, 100)) if lockstep else reliable(depth)


def overridable() -> QoSOverridingOptions:
    """Lets ``qos_overrides./topic.subscription.reliability`` (and history, depth) change a profile at start."""
    return QoSOverridingOptions.with_default_policies()
