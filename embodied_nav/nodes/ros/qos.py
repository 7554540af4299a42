"""The QoS profiles of all topics. Knows nothing of the nodes that use them.

A new profile is made for each use, since rclpy writes ``qos_overrides`` into the object that it is given.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from ...errors import InputError


def sensor(depth: int = 5) -> QoSProfile:
    """Best effort, as camera drivers publish; a reliable subscription would not match them."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def camera(lockstep: bool, depth: int = 5) -> QoSProfile:
    """For subscriptions to a camera: best effort; reliable in lock-step, where every image is waited for."""
    return reliable(depth) if lockstep else sensor(depth)


def reliable(depth: int = 10) -> QoSProfile:
    """Reliable and volatile."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def latched(depth: int = 1) -> QoSProfile:
    """Reliable and transient local: late subscribers get the last message."""
    profile = reliable(depth)
    profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return profile


def handover(lockstep: bool, depth: int = 10) -> QoSProfile:
    """Between nodes: reliable; in lock-step also latched, so that late discovery does not lose the first message."""
    return latched(max(depth, 100)) if lockstep else reliable(depth)


class Overridable:
    """A node that lets parameters override the QoS of all its subscriptions, those of TF and message_filters included.

    The parameters are ``qos_overrides./topic.subscription.reliability`` (and durability, history, depth).
    """

    def create_subscription(self, msg_type, topic, callback, qos_profile, **options):
        """As rclpy's, but overridable unless the caller says otherwise.

        Raises:
            InputError: the overrides are no QoS.
        """
        if options.get("qos_overriding_options") is None and topic != "/clock":  # subscribed before parameters exist
            options["qos_overriding_options"] = _overridable()
        try:
            return super().create_subscription(msg_type, topic, callback, qos_profile, **options)
        except RuntimeError as error:  # of rclpy, for overrides that are no QoS: it has no error of their own
            if not any(name.startswith("qos_overrides.") for name in self._parameter_overrides):
                raise
            reason = str(error).partition(", at /")[0]
            raise InputError(f"{topic}: {reason}; mend its qos_overrides, or its name") from None


def fixed() -> QoSOverridingOptions:
    """Not overridable: for several subscriptions to one topic with different QoS."""
    return QoSOverridingOptions(())


def _overridable() -> QoSOverridingOptions:
    return QoSOverridingOptions(
        (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
    )
