"""The buffer that waits: timeouts, futures, jumps of simulated time, registered types."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("tf2_ros", reason="no tf2_ros here: make setup")
import tf2_ros
from geometry_msgs.msg import PointStamped
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from tf2_msgs.srv import FrameGraph
from tf2_ros import Buffer
from tf_messages import at, message

SHORT, LONG = Duration(seconds=0.15), Duration(seconds=20)


def later(seconds: float, action) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_without_timeout_the_answer_is_immediate():
    buffer = Buffer()
    begin = time.monotonic()
    with pytest.raises(tf2_ros.LookupException):
        buffer.lookup_transform("map", "base", at(0))
    assert not buffer.can_transform("map", "base", at(0))
    assert time.monotonic() - begin < 0.1


def test_a_timeout_is_kept_and_then_the_reason_is_raised():
    buffer = Buffer()
    buffer.set_transform(message("map", "base", at(0)), "test")
    begin = time.monotonic()
    with pytest.raises(tf2_ros.ExtrapolationException, match="only time 1700000000"):
        buffer.lookup_transform("map", "base", at(1), SHORT)
    assert 0.14 < time.monotonic() - begin < 1.0
    found, why = buffer.can_transform("map", "base", at(1), SHORT, True)
    assert not found
    assert "only time" in why


def test_a_wait_ends_when_the_transform_comes():
    buffer = Buffer()
    later(0.1, lambda: buffer.set_transform(message("map", "base", at(1), (7.0, 0, 0)), "test"))
    begin = time.monotonic()
    assert buffer.lookup_transform("map", "base", at(1), LONG).transform.translation.x == 7.0
    assert time.monotonic() - begin < 2.0


def test_a_wait_goes_on_past_transforms_that_do_not_help():
    buffer = Buffer()

    def send() -> None:
        for second in range(4):
            buffer.set_transform(message("map", "base", at(second), (second, 0, 0)), "test")
            buffer.set_transform(message("map", "other", at(second)), "test")
            time.sleep(0.02)

    threading.Thread(target=send).start()
    assert buffer.lookup_transform("map", "base", at(2.5), LONG).transform.translation.x == pytest.approx(2.5)


def test_the_full_form_waits_as_well():
    buffer = Buffer()
    buffer.set_transform(message("map", "base", at(0)), "test")
    later(0.1, lambda: buffer.set_transform(message("map", "base", at(1), (1.0, 0, 0)), "test"))
    found = buffer.lookup_transform_full("base", at(1), "base", at(0), "map", LONG)
    assert found.transform.translation.x == -1.0
    assert buffer.can_transform_full("base", at(1), "base", at(0), "map", SHORT)


def test_many_waiters_are_all_served():
    buffer = Buffer()
    results: list[float] = []

    def wait() -> None:
        results.append(buffer.lookup_transform("map", "base", at(0), LONG).transform.translation.x)

    waiters = [threading.Thread(target=wait) for _ in range(8)]
    for waiter in waiters:
        waiter.start()
    buffer.set_transform(message("map", "base", at(0), (1.0, 0, 0)), "test")
    for waiter in waiters:
        waiter.join(5.0)
    assert results == [1.0] * 8


# --- futures ---


def test_a_future_is_done_at_once_where_the_transform_is_there():
    buffer = Buffer()
    buffer.set_transform_static(message("base", "cam", at(0), (2.0, 0, 0)), "test")
    assert buffer.wait_for_transform_async("base", "cam", at(0)).done()
    assert buffer.wait_for_transform_full_async("base", at(0), "cam", at(1), "base").done()


def test_a_future_is_done_by_the_transform_that_completes_the_path():
    buffer = Buffer()
    future = buffer.wait_for_transform_async("map", "cam", at(0))
    called = []
    future.add_done_callback(called.append)
    buffer.set_transform(message("map", "base", at(0)), "test")
    assert not future.done()
    buffer.set_transform_static(message("base", "cam", at(0)), "test")
    assert future.done()
    assert called == [future]
    buffer.set_transform(message("map", "base", at(1)), "test")
    assert called == [future]


def test_a_cancelled_future_does_not_disturb_what_follows():
    buffer = Buffer()
    buffer.wait_for_transform_async("map", "base", at(0)).cancel()
    other = buffer.wait_for_transform_async("map", "base", at(0))
    buffer.set_transform(message("map", "base", at(0)), "test")
    assert other.done()


def test_a_coroutine_gets_the_transform():
    buffer = Buffer()
    coroutine = buffer.lookup_transform_async("map", "base", at(0))
    assert coroutine.send(None) is None
    buffer.set_transform(message("map", "base", at(0), (5.0, 0, 0)), "test")
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert end.value.value.transform.translation.x == 5.0


# --- with a node ---


def test_time_that_jumps_back_empties_the_buffer_but_for_static_transforms(new_node, spin):
    node = new_node("listener", parameter_overrides=[Parameter("use_sim_time", value=True)])
    buffer = Buffer(node=node)
    clock = new_node("clock").create_publisher(Clock, "/clock", 10)
    spin(node)

    def tick(seconds: int) -> None:
        end = time.monotonic() + 10.0
        while node.get_clock().now() != Time(seconds=seconds, clock_type=node.get_clock().clock_type):
            assert time.monotonic() < end, "no /clock"
            clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            time.sleep(0.02)

    tick(100)
    tick(101)
    buffer.set_transform(message("map", "base", Time(seconds=100)), "test")
    buffer.set_transform_static(message("base", "cam", Time(seconds=100)), "test")
    tick(102)
    assert buffer.can_transform("map", "cam", Time())
    tick(50)
    end = time.monotonic() + 5.0
    while buffer.can_transform("map", "cam", Time()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not buffer.can_transform("map", "cam", Time())
    assert buffer.can_transform("base", "cam", Time())


def test_a_node_serves_its_tree(new_node, spin):
    node = new_node("tree")
    buffer = Buffer(node=node)
    buffer.set_transform_static(message("base", "cam", at(0)), "test")
    spin(node)
    asking = new_node("asking")
    client = asking.create_client(FrameGraph, "/tf2_frames")
    assert client.wait_for_service(10.0)
    spin(asking)
    answered = threading.Event()
    future = client.call_async(FrameGraph.Request())
    future.add_done_callback(lambda _: answered.set())
    assert answered.wait(10.0)
    assert "parent: 'base'" in future.result().frame_yaml


# --- registered types ---


class Marker:
    """A type of our own with a header."""

    def __init__(self, header, x: float) -> None:
        self.header, self.x = header, x


def test_registered_types_are_transformed_and_converted():
    tf2_ros.TransformRegistration().add(
        Marker, lambda marker, moved: Marker(moved.header, marker.x + moved.transform.translation.x)
    )
    convert = tf2_ros.ConvertRegistration()
    convert.add_to_msg(Marker, lambda marker: PointStamped(header=marker.header))
    convert.add_from_msg(PointStamped, lambda point: point)
    convert.add_convert((Marker, float), lambda marker: marker.x)
    buffer = Buffer()
    buffer.set_transform(message("map", "base", at(0), (2.0, 0, 0)), "test")
    header = message("base", "", at(0)).header
    moved = buffer.transform(Marker(header, 1.0), "map")
    assert (moved.header.frame_id, moved.x) == ("map", 3.0)
    assert buffer.transform_full(Marker(header, 1.0), "map", at(0), "map").x == 3.0
    assert buffer.transform(Marker(header, 1.0), "map", new_type=float) == 3.0
    assert buffer.transform(Marker(header, 1.0), "map", new_type=PointStamped).header.frame_id == "map"
    copy = tf2_ros.convert(moved, Marker)
    assert copy is not moved
    assert copy.x == 3.0


def test_unknown_types_are_refused():
    with pytest.raises(tf2_ros.TypeException):
        Buffer().transform(PointStamped(), "map")
    with pytest.raises(tf2_ros.TypeException):
        tf2_ros.convert(1, str)


def test_an_interface_without_lookups_says_so():
    bare = tf2_ros.BufferInterface()
    for call in (bare.lookup_transform, bare.can_transform):
        with pytest.raises(tf2_ros.NotImplementedException):
            call("map", "base", at(0))
