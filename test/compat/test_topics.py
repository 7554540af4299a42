"""Broadcasters, listener and transform client over real DDS: each node here has a participant of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("tf2_ros", reason="no tf2_ros here: make setup")
import rclpy
import tf2_ros
from rclpy.action import ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.executors import MultiThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error, TFMessage
from tf2_ros import Buffer, BufferClient, StaticTransformBroadcaster, TransformBroadcaster, TransformListener
from tf_messages import at, message

WAIT = Duration(seconds=20)


def wait_until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def matched(broadcaster, count: int = 1) -> bool:
    return wait_until(lambda: broadcaster.pub_tf.get_subscription_count() >= count)


def test_transforms_cross_from_broadcaster_to_listener(new_node, spin):
    listening = new_node("listening")
    buffer = Buffer()
    listener = TransformListener(buffer, listening)
    spin(listening)
    broadcaster = TransformBroadcaster(new_node("sending"))
    assert matched(broadcaster)
    broadcaster.sendTransform(message("map", "odom", at(0), (1.0, 0, 0)))
    broadcaster.sendTransform([message("odom", "base", at(0), (2.0, 0, 0)), message("base", "cam", at(0), (3.0, 0, 0))])
    found = buffer.lookup_transform("map", "cam", at(0), WAIT)
    assert found.transform.translation.x == 6.0
    listener.unregister()
    broadcaster.sendTransform(message("map", "late", at(0)))
    assert not buffer.can_transform("map", "late", at(0), Duration(seconds=0.3))


def test_a_late_listener_gets_all_static_transforms_of_all_broadcasters(new_node, spin):
    first = StaticTransformBroadcaster(new_node("first"))
    second = StaticTransformBroadcaster(new_node("second"))
    first.sendTransform(message("base", "cam", at(0), (0.1, 0, 0)))
    first.sendTransform((message("base", "lidar", at(0), (0.2, 0, 0)), message("cam", "optical", at(0), (0.3, 0, 0))))
    second.sendTransform([message("base", "imu", at(0), (0.4, 0, 0))])
    listening = new_node("late")
    buffer = Buffer()
    TransformListener(buffer, listening)
    spin(listening)
    assert buffer.lookup_transform("base", "optical", at(77), WAIT).transform.translation.x == pytest.approx(0.4)
    assert buffer.lookup_transform("lidar", "imu", Time(), WAIT).transform.translation.x == pytest.approx(0.2)


SENDER = """
import sys, time, rclpy
sys.path.insert(0, sys.argv[1])
from tf_messages import at, message
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster
rclpy.init()
node = rclpy.create_node("sender")
static, moving = StaticTransformBroadcaster(node), TransformBroadcaster(node)
static.sendTransform(message("base", "cam", at(0), (0.5, 0, 0)))
for i in range(100000):
    moving.sendTransform(message("map", "base", at(0.02 * i), (0.02 * i, 0, 0)))
    time.sleep(0.005)
"""


def test_between_processes(new_node, spin):
    """The listener starts after the static transform was sent, and looks up the middle of what it has heard."""
    sender = subprocess.Popen([sys.executable, "-c", SENDER, os.path.dirname(__file__)])
    try:
        listening = new_node("here")
        buffer = Buffer()
        TransformListener(buffer, listening)
        spin(listening)
        newest = Time.from_msg(buffer.lookup_transform("map", "cam", Time(), WAIT).header.stamp)
        wanted = newest + Duration(seconds=0.333)
        found = buffer.lookup_transform("map", "cam", wanted, WAIT)
        assert Time.from_msg(found.header.stamp).nanoseconds == wanted.nanoseconds
        seconds = (wanted.nanoseconds - at(0).nanoseconds) * 1e-9
        assert found.transform.translation.x == pytest.approx(seconds + 0.5, abs=1e-6)
    finally:
        sender.send_signal(signal.SIGKILL)
        sender.wait()


def ends(node, topic: str) -> list:
    """What the graph knows of a topic's publishers and subscriptions."""
    return [*node.get_publishers_info_by_topic(topic), *node.get_subscriptions_info_by_topic(topic)]


def test_quality_of_service(new_node):
    node = new_node("quality")
    kept = (TransformListener(Buffer(), node), TransformBroadcaster(node), StaticTransformBroadcaster(node))
    expected = {"/tf": DurabilityPolicy.VOLATILE, "/tf_static": DurabilityPolicy.TRANSIENT_LOCAL}
    for topic, durability in expected.items():
        assert wait_until(lambda topic=topic: len(ends(node, topic)) == 2)
        for end in ends(node, topic):
            assert end.topic_type == "tf2_msgs/msg/TFMessage"
            assert end.qos_profile.durability == durability
            assert end.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert len(kept) == 3


def test_a_listener_can_spin_by_itself(new_node, ros_domain):
    """The main thread blocks in the look-up; nobody else spins. The listener's thread lives in the default context."""
    rclpy.init(domain_id=ros_domain)
    try:
        buffer, node = Buffer(), rclpy.create_node("spinning")
        listener = TransformListener(buffer, node, spin_thread=True)
        broadcaster = TransformBroadcaster(new_node("sending"))
        assert matched(broadcaster)
        broadcaster.sendTransform(message("map", "base", at(0), (1.0, 0, 0)))
        assert buffer.lookup_transform("map", "base", at(0), WAIT).transform.translation.x == 1.0
        listener.executor.shutdown()
        listener.dedicated_listener_thread.join(5.0)
        assert not listener.dedicated_listener_thread.is_alive()
        node.destroy_node()
    finally:
        rclpy.shutdown()


def test_a_callback_may_wait_while_another_thread_of_the_executor_listens(new_node, spin):
    node = new_node("waiting")
    buffer = Buffer()
    listener = TransformListener(buffer, node)
    results = []
    started = threading.Event()

    def look() -> None:
        timer.cancel()
        started.set()
        results.append(buffer.lookup_transform("map", "base", at(0), WAIT).transform.translation.x)

    timer = node.create_timer(0.01, look, callback_group=ReentrantCallbackGroup())
    broadcaster = TransformBroadcaster(new_node("sending"))
    assert matched(broadcaster)
    spin(node, MultiThreadedExecutor(num_threads=2, context=node.context))
    assert started.wait(10.0)
    broadcaster.sendTransform(message("map", "base", at(0), (4.0, 0, 0)))
    assert wait_until(lambda: results == [4.0])
    assert listener.buffer is buffer


def test_a_static_message_holds_all_transforms_so_far(new_node, spin):
    node = new_node("recording")
    heard: list[TFMessage] = []
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(TFMessage, "/tf_static", heard.append, latched)
    spin(node)
    broadcaster = StaticTransformBroadcaster(new_node("sending"))
    for i, child in enumerate(("cam", "imu", "cam")):
        broadcaster.sendTransform(message("base", child, at(0)))
        # One after the other: the broadcaster keeps only its last message for who is slow.
        assert wait_until(lambda i=i: len(heard) > i)
    assert [[t.child_frame_id for t in each.transforms] for each in heard] == [["cam"], ["cam", "imu"], ["cam", "imu"]]


# --- the client of a transform server ---


class Server:
    """Answers from a buffer; `error` makes it answer with that code instead."""

    def __init__(self, node, name: str) -> None:
        self.buffer, self.error = Buffer(), TF2Error.NO_ERROR
        self.server = ActionServer(node, LookupTransform, name, self.execute)

    def execute(self, handle):
        goal, result = handle.request, LookupTransform.Result()
        result.error = TF2Error(error=self.error, error_string=f"code {self.error}")
        if self.error == TF2Error.NO_ERROR:
            where = goal.target_frame, goal.source_frame, Time.from_msg(goal.source_time)
            if goal.advanced:
                where = where[0], Time.from_msg(goal.target_time), *where[1:], goal.fixed_frame
            lookup = self.buffer.lookup_transform_full if goal.advanced else self.buffer.lookup_transform
            result.transform = lookup(*where)
        handle.succeed()
        return result


@pytest.fixture
def served(new_node, spin):
    """A server on one node and a client on another, connected."""
    serving, asking = new_node("serving"), new_node("asking")
    server = Server(serving, "lookup")
    client = BufferClient(asking, "lookup", timeout_padding=Duration(seconds=5))
    spin(serving)
    spin(asking)
    assert client.action_client.wait_for_server(10.0)
    yield server, client
    client.destroy()
    server.server.destroy()


def test_a_client_asks_a_server(served):
    server, client = served
    server.buffer.set_transform(message("map", "base", at(0), (1.0, 0, 0)), "test")
    server.buffer.set_transform(message("map", "base", at(1), (3.0, 0, 0)), "test")
    assert client.lookup_transform("map", "base", at(0.5)).transform.translation.x == pytest.approx(2.0)
    found = client.lookup_transform_full("base", at(1), "base", at(0), "map")
    assert found.transform.translation.x == pytest.approx(-2.0)
    assert client.can_transform("map", "base", at(0.5))
    assert client.can_transform_full("base", at(1), "base", at(0), "map")
    with pytest.raises(TypeError):
        client.lookup_transform("map", "base", 12)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (TF2Error.LOOKUP_ERROR, tf2_ros.LookupException),
        (TF2Error.CONNECTIVITY_ERROR, tf2_ros.ConnectivityException),
        (TF2Error.EXTRAPOLATION_ERROR, tf2_ros.ExtrapolationException),
        (TF2Error.INVALID_ARGUMENT_ERROR, tf2_ros.InvalidArgumentException),
        (TF2Error.TIMEOUT_ERROR, tf2_ros.TimeoutException),
        (TF2Error.TRANSFORM_ERROR, tf2_ros.TransformException),
    ],
)
def test_a_server_error_becomes_its_exception(served, code, kind):
    server, client = served
    server.error = code
    with pytest.raises(kind, match=f"code {code}") as error:
        client.lookup_transform("map", "base", at(0))
    assert error.type is kind
    assert not client.can_transform("map", "base", at(0))


def test_a_client_without_server_says_so_at_once(new_node):
    client = BufferClient(new_node("alone"), "nobody")
    with pytest.raises(tf2_ros.TimeoutException, match="not ready"):
        client.lookup_transform("map", "base", at(0))
    client.destroy()
