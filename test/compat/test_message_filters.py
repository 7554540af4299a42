"""Filters that join messages by time stamp: rules, limits, threads, and real topics."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("message_filters", reason="no message_filters here: make setup")
from message_filters import ApproximateTimeSynchronizer, Cache, SimpleFilter, Subscriber, TimeSynchronizer
from rclpy.clock import ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

MS = 1_000_000


def stamped(milliseconds: int, name: str = "") -> SimpleNamespace:
    """A message with a header."""
    stamp = Time(nanoseconds=milliseconds * MS).to_msg()
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), milliseconds=milliseconds, name=name)


def collect(synchronizer) -> list[tuple]:
    """The list that all sets of a synchronizer go to, as tuples of ms."""
    sets: list[tuple] = []
    synchronizer.registerCallback(lambda *messages: sets.append(tuple(m.milliseconds for m in messages)))
    return sets


def exact(inputs: int, queue_size: int):
    filters = [SimpleFilter() for _ in range(inputs)]
    return filters, collect(TimeSynchronizer(filters, queue_size))


def approximate(inputs: int, queue_size: int, slop: float, **options):
    filters = [SimpleFilter() for _ in range(inputs)]
    synchronizer = ApproximateTimeSynchronizer(filters, queue_size, slop, **options)
    return filters, collect(synchronizer)


# --- the output side ---


def test_callbacks_run_in_order_with_their_own_arguments():
    source, calls = SimpleFilter(), []
    source.registerCallback(lambda *args: calls.append(("first", *args)), "extra", 1)
    source.registerCallback(lambda *args: calls.append(("second", *args)))
    source.signalMessage("a", "b")
    assert calls == [("first", "a", "b", "extra", 1), ("second", "a", "b")]


# --- exact ---


def test_exact_output_comes_with_the_last_of_a_set_in_the_order_of_the_inputs():
    (a, b, c), sets = exact(3, 5)
    messages = [stamped(100, name) for name in "abc"]
    c.signalMessage(messages[2])
    a.signalMessage(messages[0])
    assert sets == []
    b.signalMessage(messages[1])
    assert sets == [(100, 100, 100)]


def test_exact_does_not_join_neighbours():
    (a, b), sets = exact(2, 5)
    a.signalMessage(stamped(100))
    b.signalMessage(stamped(101))
    assert sets == []


def test_exact_keeps_the_newest_stamps_of_a_full_queue():
    (a, b), sets = exact(2, 2)
    for milliseconds in (30, 10, 20):
        a.signalMessage(stamped(milliseconds))
    for milliseconds in (10, 20, 30):
        b.signalMessage(stamped(milliseconds))
    assert sets == [(20, 20), (30, 30)]


@given(st.lists(st.integers(0, 2), max_size=60), st.lists(st.integers(1, 3), min_size=60, max_size=60))
@settings(max_examples=100, deadline=None)
def test_exact_with_room_outputs_every_complete_stamp(turns, steps):
    """With ordered inputs and queues that never overflow: each stamp that came on every input, as soon as it did."""
    filters, sets = exact(3, 1000)
    clocks, seen, expected = [0, 0, 0], [set(), set(), set()], []
    for index, step in zip(turns, steps, strict=False):
        clocks[index] += step
        filters[index].signalMessage(stamped(clocks[index]))
        seen[index].add(clocks[index])
        if all(clocks[index] in stamps for stamps in seen):
            expected.append((clocks[index],) * 3)
    assert sets == expected


# --- approximate ---


@pytest.mark.parametrize(("apart", "joined"), [(0, True), (49, True), (50, False), (51, False)])
def test_slop_is_an_open_bound(apart, joined):
    (a, b), sets = approximate(2, 5, 0.05)
    a.signalMessage(stamped(1000))
    b.signalMessage(stamped(1000 + apart))
    assert sets == ([(1000, 1000 + apart)] if joined else [])


def test_slop_bounds_the_whole_set_not_the_pairs_with_the_last():
    (a, b, c), sets = approximate(3, 5, 0.05)
    a.signalMessage(stamped(960))
    b.signalMessage(stamped(1040))
    c.signalMessage(stamped(1000))
    assert sets == []


def test_the_nearest_stamp_is_taken():
    (a, b), sets = approximate(2, 10, 0.1)
    for milliseconds in (940, 985, 1010, 1050):
        a.signalMessage(stamped(milliseconds))
    b.signalMessage(stamped(1000))
    assert sets == [(1010, 1000)]
    b.signalMessage(stamped(990))
    assert sets == [(1010, 1000), (985, 990)]


def test_approximate_keeps_the_newest_stamps_of_a_full_queue():
    (a, b), sets = approximate(2, 1, 0.05)
    a.signalMessage(stamped(1000))
    a.signalMessage(stamped(1100))
    b.signalMessage(stamped(1000))
    assert sets == []
    b.signalMessage(stamped(1100))
    assert sets == [(1100, 1100)]


def test_a_message_too_old_for_a_full_queue_is_dropped():
    (a, b), sets = approximate(2, 1, 0.05)
    a.signalMessage(stamped(2000))
    b.signalMessage(stamped(1000))
    a.signalMessage(stamped(1000))
    assert sets == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400)), max_size=80),
    st.integers(1, 6),
    st.sampled_from([0.005, 0.02, 0.08]),
)
@settings(max_examples=100, deadline=None)
def test_every_set_is_tight_and_no_message_serves_twice(arrivals, queue_size, slop):
    (a, b, c), sets = approximate(3, queue_size, slop)
    sent: list[list[int]] = [[], [], []]
    used: list[list[int]] = [[], [], []]
    for index, milliseconds in arrivals:
        before = len(sets)
        (a, b, c)[index].signalMessage(stamped(milliseconds))
        sent[index].append(milliseconds)
        assert len(sets) - before <= 1
        for found in sets[before:]:
            assert max(found) - min(found) < slop * 1000
            assert found[index] == milliseconds
            for i, stamp in enumerate(found):
                used[i].append(stamp)
    for i in range(3):
        assert all(used[i].count(stamp) <= sent[i].count(stamp) for stamp in used[i])


def test_frames_of_two_rates_and_some_jitter_all_find_their_partner():
    """Colour at 30 Hz, depth at 15 Hz with up to 4 ms of jitter: each depth image gets the colour beside it."""
    (color, depth), sets = approximate(2, 10, 0.015)
    for i in range(60):
        color.signalMessage(stamped(round(i * 100 / 3)))
        if i % 2 == 0:
            depth.signalMessage(stamped(round(i * 100 / 3) + (i * 7) % 5))
    assert len(sets) == 30
    assert all(abs(c - d) <= 4 for c, d in sets)


def test_headerless_messages_are_refused_or_get_the_time_of_their_arrival():
    for allowed in (False, True):
        (a, b), calls = [SimpleFilter(), SimpleFilter()], []
        synchronizer = ApproximateTimeSynchronizer([a, b], 5, 2.0, allow_headerless=allowed)
        synchronizer.registerCallback(lambda *messages, calls=calls: calls.append(messages))
        now = Time(nanoseconds=time.time_ns(), clock_type=ClockType.ROS_TIME).to_msg()
        first, second = SimpleNamespace(header=SimpleNamespace(stamp=now)), String(data="no header")
        a.signalMessage(first)
        b.signalMessage(second)
        assert calls == ([(first, second)] if allowed else [])


def test_inputs_from_several_threads_lose_nothing_and_outputs_do_not_overlap():
    filters = [SimpleFilter() for _ in range(3)]
    synchronizer = ApproximateTimeSynchronizer(filters, 500, 0.004)
    running, overlaps, sets = [0], [0], []

    def output(*messages) -> None:
        running[0] += 1
        overlaps[0] += running[0] > 1
        time.sleep(0.0005)
        sets.append({m.milliseconds for m in messages})
        running[0] -= 1

    synchronizer.registerCallback(output)
    threads = [
        threading.Thread(target=lambda f=f: [f.signalMessage(stamped(10 * i)) for i in range(200)]) for f in filters
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(min(each) for each in sets) == [10 * i for i in range(200)]
    assert all(len(each) == 1 for each in sets)
    assert overlaps[0] == 0


# --- cache ---


def test_a_cache_keeps_the_last_messages_and_passes_them_on():
    source, passed = SimpleFilter(), []
    cache = Cache(source, 3)
    cache.registerCallback(passed.append)
    messages = [stamped(100 * i) for i in range(1, 6)]
    for message in messages:
        source.signalMessage(message)
    assert passed == messages
    assert (cache.getOldestTime(), cache.getLastestTime()) == (ros_time(300), ros_time(500))
    assert cache.getInterval(ros_time(250), ros_time(400)) == messages[2:4]
    assert cache.getElemAfterTime(ros_time(301)) is messages[3]
    assert cache.getElemBeforeTime(ros_time(399)) is messages[2]
    assert cache.getElemBeforeTime(ros_time(299)) is None
    assert cache.getElemAfterTime(ros_time(501)) is None
    assert cache.getLast() is messages[4]


def ros_time(milliseconds: int) -> Time:
    return Time(nanoseconds=milliseconds * MS, clock_type=ClockType.ROS_TIME)


def test_an_empty_cache():
    cache = Cache(SimpleFilter())
    assert cache.getLast() is None
    assert cache.getLastestTime() is None
    assert cache.getOldestTime() is None


def test_a_cache_takes_headerless_messages_only_when_told():
    assert _cached(False) is None
    assert _cached(True) == String(data="x")


def _cached(allowed: bool):
    source = SimpleFilter()
    cache = Cache(source, 2, allow_headerless=allowed)
    source.signalMessage(String(data="x"))
    return cache.getLast()


# --- topics ---


def wait_until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_colour_depth_and_camera_info_from_topics(new_node, spin):
    """As the keyframe node uses it: sensor QoS, three topics, depth a few ms after colour."""
    node = new_node("camera_user")
    topics = (("color", Image), ("depth", Image), ("info", CameraInfo))
    inputs = [Subscriber(node, kind, name, qos_profile=qos_profile_sensor_data) for name, kind in topics]
    sets: list[tuple] = []
    synchronizer = ApproximateTimeSynchronizer(inputs, 5, 0.02)
    synchronizer.registerCallback(lambda *messages: sets.append(messages))
    spin(node)
    camera = new_node("camera")
    publishers = [camera.create_publisher(kind, name, QoSProfile(depth=10)) for name, kind in topics]
    assert wait_until(lambda: all(p.get_subscription_count() for p in publishers))
    for i in range(5):
        for publisher, (_, kind), late in zip(publishers, topics, (0, 3, 0), strict=True):
            message = kind()
            message.header.stamp = Time(nanoseconds=(1000 + 66 * i + late) * MS).to_msg()
            publisher.publish(message)
        assert wait_until(lambda i=i: len(sets) > i)
    stamps = [[Time.from_msg(m.header.stamp).nanoseconds // MS for m in found] for found in sets]
    assert stamps == [[1000 + 66 * i, 1003 + 66 * i, 1000 + 66 * i] for i in range(5)]
    assert [type(m) for m in sets[0]] == [Image, Image, CameraInfo]


def test_a_subscriber_is_the_subscription_too(new_node):
    node = new_node("subscribing")
    subscriber = Subscriber(node, String, "chatter", qos_profile=qos_profile_sensor_data)
    assert subscriber.getTopic() == "chatter"
    assert subscriber.topic_name == "/chatter"
    assert subscriber.msg_type is String
    assert subscriber.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert Subscriber(node, String, "other").qos_profile.depth == 10
    with pytest.raises(AttributeError):
        subscriber.no_such_attribute


def test_a_subscriber_takes_type_and_topic_by_position_only(new_node):
    node = new_node("subscribing")
    with pytest.raises(IndexError):
        Subscriber(node, msg_type=String, topic="chatter")
    with pytest.raises(IndexError):
        Subscriber(node, String, topic="chatter")
    with pytest.raises(TypeError):
        Subscriber(node, String, "chatter", 10)
