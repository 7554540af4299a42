"""Every subscription of every node can be brought to any publisher's QoS, and the doctor's advice works literally."""

import importlib
import pkgutil

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.node import Node

from embodied_nav import nodes
from embodied_nav.errors import InputError
from embodied_nav.nodes.ros import qos

pytestmark = pytest.mark.ros


def node_classes():
    for module in pkgutil.iter_modules(nodes.__path__):
        for found in vars(importlib.import_module(f"embodied_nav.nodes.{module.name}")).values():
            if isinstance(found, type) and issubclass(found, Node) and found.__module__.startswith("embodied_nav"):
                yield found


def test_all_nodes_are_overridable_but_who_adapts_by_itself():
    found = set(node_classes())
    assert len(found) >= 9
    assert {c.__name__ for c in found if not issubclass(c, qos.Overridable)} <= {"Examiner"}


def started(module, name, *words):
    args = [word for value in words for word in ("-p", value)]
    rclpy.init(args=["--ros-args", *args])
    node = getattr(importlib.import_module(f"embodied_nav.nodes.{module}"), name)()
    node.start()
    return node


@pytest.mark.parametrize(
    ("module", "name"), [("control", "ControlNode"), ("reasoner", "ReasonerNode"), ("keyframe", "KeyframeNode")]
)
def test_every_subscription_has_its_parameters(ros_domain, module, name):
    """All topics: also those of TF and of message filters. Those that stop are heard with any QoS, see test_stops."""
    node = started(module, name)
    try:
        topics = {s.topic_name for s in node.subscriptions}
        assert {"/tf", "/tf_static", "/camera/depth/image_raw" if name == "KeyframeNode" else "/odom"} <= topics
        for topic in topics - {"/clock", "/e_stop", "/enable"}:
            for policy in ("reliability", "durability", "history", "depth"):
                assert node.has_parameter(f"qos_overrides.{topic}.subscription.{policy}"), topic
    finally:
        node.stop()
        node.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.parametrize("value", ["reliability:=nonsense", "durability:=''", "reliability:=unknown", "depth:=-1"])
def test_what_is_no_qos_is_one_line(ros_domain, value):
    try:
        with pytest.raises(InputError, match=r"camera/depth/image_raw: .*mend its qos_overrides"):
            started("keyframe", "KeyframeNode", f"qos_overrides./camera/depth/image_raw.subscription.{value}")
    finally:
        rclpy.try_shutdown()


def test_the_doctors_advice_is_followed_literally(ros_domain):
    """A best-effort, volatile publisher of what is asked for reliably and latched: advice, and the node that obeys."""
    import re

    from rclpy.qos import QoSCompatibility, qos_check_compatible

    from embodied_nav.nodes.ros.doctor_odometry import mismatch

    offered, topic = qos.sensor(), "/memory/occupancy"
    found = mismatch(topic, offered, qos.latched(), "map_server", "reasoner", ours=True)
    parameters = re.findall(r"(qos_overrides\.[^ ]+): (\w+)", found.mend)
    assert len(parameters) == 2 and found.mend.endswith("of reasoner")
    assert mismatch(topic, offered, qos.sensor(), "a", "b", ours=True) is None
    assert "qos_overrides" not in mismatch(topic, offered, qos.reliable(), "a", "rviz", ours=False).mend
    node = started("reasoner", "ReasonerNode", *(f"{name}:={value}" for name, value in parameters))
    try:
        (asked,) = [s.qos_profile for s in node.subscriptions if s.topic_name == topic]
        assert qos_check_compatible(offered, asked)[0] != QoSCompatibility.ERROR
    finally:
        node.stop()
        node.destroy_node()
        rclpy.try_shutdown()
