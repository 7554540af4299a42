"""The store of transforms: geometry against scipy, time, trees, refusals, threads."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

pytest.importorskip("rclpy", reason="no ROS 2 here")
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_py import (
    BufferCore,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)
from tf_messages import START, at, matrix, message, poses, yaw

LATEST = Time()


def filled(*messages: TransformStamped, static: bool = False) -> BufferCore:
    core = BufferCore()
    for each in messages:
        (core.set_transform_static if static else core.set_transform)(each, "test")
    return core


# --- geometry ---


@given(poses, poses, poses)
@settings(max_examples=60, deadline=None)
def test_a_chain_is_the_product_of_its_links_both_ways(a, b, c):
    links = [
        message(p, n, at(0), *pose) for p, n, pose in (("map", "odom", a), ("odom", "base", b), ("base", "cam", c))
    ]
    core = filled(*links)
    expected = np.linalg.multi_dot([matrix(link) for link in links])
    found = matrix(core.lookup_transform_core("map", "cam", at(0)))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    back = matrix(core.lookup_transform_core("cam", "map", at(0)))
    np.testing.assert_allclose(back @ expected, np.identity(4), atol=1e-9)


@given(poses, poses, poses)
@settings(max_examples=60, deadline=None)
def test_siblings_meet_in_their_common_parent(stem, left, right):
    core = filled(
        message("world", "base", at(0), *stem), message("base", "l", at(0), *left), message("base", "r", at(0), *right)
    )
    found = matrix(core.lookup_transform_core("l", "r", at(0)))
    left, right = (matrix(message("", "", at(0), *pose)) for pose in (left, right))
    np.testing.assert_allclose(found, np.linalg.inv(left) @ right, atol=1e-9)


@given(poses, poses, st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_between_two_stamps_position_is_linear_and_rotation_is_slerp(first, last, ratio):
    core = filled(message("map", "base", at(0), *first), message("map", "base", at(2), *last))
    moment = at(2 * ratio)
    exact = (moment.nanoseconds - START) / 2e9
    found = matrix(core.lookup_transform_core("map", "base", moment))
    position = (1 - exact) * np.array(first[0]) + exact * np.array(last[0])
    np.testing.assert_allclose(found[:3, 3], position, atol=1e-9)
    turn = (first[1].inv() * last[1]).magnitude()
    if turn < math.pi - 1e-4:  # at a half turn both ways are as short
        rotation = Slerp([0, 1], Rotation.concatenate([first[1], last[1]]))(exact)
        np.testing.assert_allclose(found[:3, :3], rotation.as_matrix(), atol=1e-7)


def test_the_sign_of_a_quaternion_does_not_matter():
    quaternion = yaw(0.4).as_quat()
    core = filled(message("map", "base", at(0), rotation=yaw(0.2)), message("map", "base", at(1), rotation=-quaternion))
    found = core.lookup_transform_core("map", "base", at(0.5)).transform.rotation
    np.testing.assert_allclose((found.x, found.y, found.z, found.w), yaw(0.3).as_quat(), atol=1e-12)


def test_a_quaternion_of_another_length_is_normalised():
    core = filled(message("map", "base", at(0), rotation=2.5 * yaw(1.0).as_quat()))
    found = core.lookup_transform_core("map", "base", at(0)).transform.rotation
    np.testing.assert_allclose((found.x, found.y, found.z, found.w), yaw(1.0).as_quat(), atol=1e-12)


def test_a_frame_in_itself_is_the_identity_even_when_unknown():
    found = BufferCore().lookup_transform_core("nowhere", "nowhere", at(3))
    np.testing.assert_array_equal(matrix(found), np.identity(4))
    assert Time.from_msg(found.header.stamp).nanoseconds == at(3).nanoseconds


# --- time ---


def test_the_message_names_frames_and_time():
    core = filled(message("map", "base", at(0)), message("map", "base", at(1)))
    found = core.lookup_transform_core("base", "map", at(0.25))
    assert (found.header.frame_id, found.child_frame_id) == ("base", "map")
    assert Time.from_msg(found.header.stamp).nanoseconds == at(0.25).nanoseconds


def test_time_may_be_a_message_too():
    core = filled(message("map", "base", at(0), (1.0, 0, 0)))
    assert core.lookup_transform_core("map", "base", at(0).to_msg()).transform.translation.x == 1.0
    with pytest.raises(TypeError):
        core.lookup_transform_core("map", "base", 12.5)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (at(-1), "extrapolation into the past.  Requested time 1699999999.000000 but the earliest data is at time"),
        (at(3), "extrapolation into the future.  Requested time 1700000003.000000 but the latest data is at time"),
    ],
)
def test_outside_the_stored_time_is_an_extrapolation_that_says_how_far(moment, words):
    core = filled(message("map", "base", at(0)), message("map", "base", at(2)))
    with pytest.raises(ExtrapolationException) as error:
        core.lookup_transform_core("map", "base", moment)
    assert words in str(error.value)
    assert "when looking up transform from frame [base] to frame [map]" in str(error.value)
    assert core.can_transform_core("map", "base", moment) == (0, str(error.value))


def test_the_ends_of_the_stored_time_are_inside():
    core = filled(message("map", "base", at(0), (1.0, 0, 0)), message("map", "base", at(2), (3.0, 0, 0)))
    for moment, x in ((at(0), 1.0), (at(2), 3.0)):
        assert core.lookup_transform_core("map", "base", moment).transform.translation.x == x


def test_one_transform_serves_its_own_time_and_the_latest_only():
    core = filled(message("map", "base", at(1)))
    assert core.can_transform_core("map", "base", at(1))[0]
    assert core.can_transform_core("map", "base", LATEST)[0]
    found, why = core.can_transform_core("map", "base", at(1.001))
    assert not found
    assert "but only time 1700000001.000000 is in the buffer" in why


def test_time_zero_is_the_latest_time_common_to_the_path():
    core = filled(
        message("map", "odom", at(1), (1.0, 0, 0)),
        message("map", "odom", at(3), (3.0, 0, 0)),
        message("odom", "base", at(0)),
        message("odom", "base", at(2)),
    )
    core.set_transform_static(message("base", "cam", at(0)), "test")
    found = core.lookup_transform_core("map", "cam", LATEST)
    assert Time.from_msg(found.header.stamp).nanoseconds == at(2).nanoseconds
    assert found.transform.translation.x == pytest.approx(2.0)
    assert core.get_latest_common_time("cam", "map").nanoseconds == at(2).nanoseconds
    assert core.get_latest_common_time("base", "cam").nanoseconds == 0


def test_late_transforms_find_their_place_in_time():
    order = [0, 4, 2, 1, 3]
    core = filled(*[message("map", "base", at(s), (float(s) ** 2, 0, 0)) for s in order])
    for second in order:
        assert core.lookup_transform_core("map", "base", at(second)).transform.translation.x == second**2
    assert core.lookup_transform_core("map", "base", at(2.5)).transform.translation.x == pytest.approx(6.5)


def test_of_several_transforms_with_one_stamp_the_last_counts():
    core = filled(*[message("map", "base", at(1), (x, 0, 0)) for x in (1.0, 2.0, 3.0)])
    assert core.lookup_transform_core("map", "base", at(1)).transform.translation.x == 3.0


@pytest.mark.parametrize(("core", "window"), [(BufferCore(), 10), (BufferCore(Duration(seconds=2)), 2)])
def test_the_window_forgets_what_is_old_and_refuses_what_is_older(core, window, capfd):
    for second in range(25):
        core.set_transform(message("map", "base", at(second)), "driver")
    assert core.can_transform_core("map", "base", at(24 - window))[0]
    assert not core.can_transform_core("map", "base", at(24 - window - 1.5))[0]
    capfd.readouterr()
    core.set_transform(message("map", "base", at(24 - window - 0.5)), "driver")
    log = "".join(capfd.readouterr())
    assert "TF_OLD_DATA ignoring data from the past for frame base" in log
    assert "driver" in log


def test_a_static_transform_holds_at_every_time_and_survives_clear():
    core = filled(message("base", "cam", at(5), (0.1, 0, 0)), static=True)
    core.set_transform(message("map", "base", at(0)), "test")
    for moment in (LATEST, at(-100), at(100)):
        assert core.lookup_transform_core("base", "cam", moment).transform.translation.x == 0.1
    core.clear()
    assert core.can_transform_core("base", "cam", at(1))[0]
    assert not core.can_transform_core("map", "base", at(0))[0]
    assert not core.can_transform_core("map", "base", LATEST)[0]


def test_a_static_transform_is_replaced_by_the_next():
    core = filled(message("base", "cam", at(0), (0.1, 0, 0)), message("base", "cam", at(0), (0.2, 0, 0)), static=True)
    assert core.lookup_transform_core("base", "cam", at(9)).transform.translation.x == 0.2


def test_full_lookup_carries_over_time_by_the_fixed_frame():
    core = filled(*[message("map", "base", at(s), (2.0 * s, 0, 0), yaw(0.5 * s)) for s in range(4)])
    found = core.lookup_transform_full_core("base", at(3), "base", at(1), "map")
    then, now = (matrix(core.lookup_transform_core("map", "base", at(s))) for s in (1, 3))
    np.testing.assert_allclose(matrix(found), np.linalg.inv(now) @ then, atol=1e-9)
    assert core.can_transform_full_core("base", at(3), "base", at(1), "map") == (1, "")
    assert not core.can_transform_full_core("base", at(3), "base", at(9), "map")[0]


def test_velocity_of_a_steady_motion():
    core = filled(*[message("map", "base", at(s), (3.0 * s, 0, 0)) for s in range(5)])
    linear, angular = core.lookupVelocityCore("base", "map", at(2), Duration(seconds=1))
    np.testing.assert_allclose(linear, (3.0, 0.0, 0.0), atol=1e-5)
    np.testing.assert_allclose(angular, 0.0, atol=1e-5)


def test_velocity_of_a_turn_on_the_spot():
    core = filled(*[message("map", "base", at(s), (0, 0, 0), yaw(0.2 * s)) for s in range(5)])
    _, angular = core.lookupVelocityCore("base", "map", at(2), Duration(seconds=1))
    np.testing.assert_allclose(angular, (0.0, 0.0, 0.2), atol=1e-5)


# --- trees ---


def test_a_frame_may_change_its_parent():
    core = filled(
        message("floor", "box", at(0), (1.0, 0, 0)),
        message("floor", "box", at(1), (1.0, 0, 0)),
        message("hand", "box", at(2), (0.1, 0, 0)),
        message("hand", "box", at(3), (0.1, 0, 0)),
    )
    core.set_transform_static(message("floor", "hand", at(0), (5.0, 0, 0)), "test")
    assert core.lookup_transform_core("floor", "box", at(0.5)).transform.translation.x == 1.0
    # On the way from one parent to the other the older one holds: poses in two frames cannot be mixed.
    assert core.lookup_transform_core("floor", "box", at(1.9)).transform.translation.x == 1.0
    assert core.lookup_transform_core("floor", "box", at(2.5)).transform.translation.x == pytest.approx(5.1)


def test_unconnected_trees():
    core = filled(message("a", "b", at(0)), message("x", "y", at(0)))
    for moment in (at(0), LATEST):
        with pytest.raises(ConnectivityException, match="Could not find a connection between 'a' and 'y'"):
            core.lookup_transform_core("a", "y", moment)


def test_a_gap_above_the_common_parent_does_not_matter():
    core = filled(message("earth", "map", at(50)), message("map", "a", at(0), (1.0, 0, 0)), message("map", "b", at(0)))
    assert core.lookup_transform_core("b", "a", at(0)).transform.translation.x == 1.0


def test_a_loop_is_told_from_an_endless_walk():
    core = filled(
        message("a", "b", at(0)), message("b", "c", at(0)), message("c", "a", at(0)), message("x", "y", at(0))
    )
    with pytest.raises(LookupException, match="contains a loop"):
        core.lookup_transform_core("x", "a", at(0))


@pytest.mark.parametrize(
    ("frame", "error"), [("", InvalidArgumentException), ("/map", InvalidArgumentException), ("moon", LookupException)]
)
def test_frames_that_cannot_be_looked_up(frame, error):
    core = filled(message("map", "base", at(0)))
    with pytest.raises(error):
        core.lookup_transform_core("base", frame, at(0))
    with pytest.raises(error):
        core.lookup_transform_full_core("base", at(0), "map", at(0), frame)
    with pytest.raises(error):
        core.get_latest_common_time(frame, "map")
    found, why = core.can_transform_core(frame, "base", at(0))
    assert not found
    assert why.startswith(f'Invalid frame ID "{frame}" passed to canTransform argument target_frame')


def test_a_leading_slash_is_dropped_on_the_way_in():
    core = filled(message("/map", "/base", at(0)))
    assert core.can_transform_core("map", "base", at(0)) == (1, "")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (message("map", "map", at(0)), "TF_SELF_TRANSFORM"),
        (message("map", "", at(0)), "TF_NO_CHILD_FRAME_ID"),
        (message("", "base", at(0)), "TF_NO_FRAME_ID"),
        (message("map", "base", at(0), (math.nan, 0, 0)), "TF_NAN_INPUT"),
        (message("map", "base", at(0), (0, 0, 0), (0.0, 0.0, 0.0, 0.0)), "TF_DENORMALIZED_QUATERNION"),
    ],
)
def test_bad_transforms_are_logged_and_ignored(bad, words, capfd):
    core = filled(bad)
    assert words in "".join(capfd.readouterr())
    assert core.all_frames_as_string() == ""


def test_the_exceptions_have_one_base():
    kinds = (
        ConnectivityException,
        ExtrapolationException,
        InvalidArgumentException,
        LookupException,
        TimeoutException,
    )
    for kind in kinds:
        assert issubclass(kind, TransformException)
        assert not any(issubclass(kind, other) for other in kinds if other is not kind)


def test_the_tree_as_yaml_and_text():
    core = filled(*[message("map", "base", at(0.1 * i)) for i in range(11)])
    core.set_transform_static(message("base", "cam", at(0)), "urdf")
    frames = yaml.safe_load(core.all_frames_as_yaml())
    assert frames["base"] == {
        "parent": "map",
        "broadcaster": "test",
        "rate": 11.0,
        "most_recent_transform": 1700000001.0,
        "oldest_transform": 1700000000.0,
        "buffer_length": 1.0,
    }
    assert (frames["cam"]["parent"], frames["cam"]["broadcaster"]) == ("base", "urdf")
    assert "Frame cam exists with parent base.\n" in core.all_frames_as_string()
    assert yaml.safe_load(BufferCore().all_frames_as_yaml()) == []


# --- load ---


def test_threads_never_see_half_a_transform():
    """Position and yaw of both links encode the stamp; every answer must agree with its own time."""
    core = BufferCore()
    stop, failures, lookups = threading.Event(), [], [0]

    def write(parent: str, child: str, step: float) -> None:
        for i in range(150):
            core.set_transform(message(parent, child, at(i * step), (i * step, 0, 0)), "test")
            time.sleep(0.001)
        stop.set()

    def read() -> None:
        while not stop.is_set():
            time.sleep(0.0002)
            try:
                found = core.lookup_transform_core("map", "base", LATEST)
            except TransformException:
                continue
            seconds = (Time.from_msg(found.header.stamp).nanoseconds - START) * 1e-9
            lookups[0] += 1
            if abs(found.transform.translation.x - 2 * seconds) > 1e-6:
                failures.append((seconds, found.transform.translation.x))

    threads = [threading.Thread(target=write, args=("map", "odom", 0.01))]
    threads += [threading.Thread(target=write, args=("odom", "base", 0.013))]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lookups[0] > 50
    assert failures == []


def test_a_lookup_is_cheap():
    """Three links in a full buffer: a small multiple of building its message, and below 100 us of CPU."""
    core = filled(*[message("map", "odom", at(0.01 * i), (i, 0, 0), yaw(0.001 * i)) for i in range(900)])
    for i in range(900):
        core.set_transform(message("odom", "base", at(0.01 * i), (i, 0, 0), yaw(0.002 * i)), "test")
    core.set_transform_static(message("base", "cam", at(0)), "test")
    moments = [at(0.005 + 0.004 * i) for i in range(2000)]

    def cost() -> float:
        begin = time.process_time()
        for moment in moments:
            core.lookup_transform_core("map", "cam", moment)
        return (time.process_time() - begin) / len(moments)

    assert min(cost() for _ in range(3)) < 100e-6
