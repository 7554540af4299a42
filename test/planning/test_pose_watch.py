"""Odom topic and TF as two witnesses: what agrees is never stopped, what jumps or parts is, with the numbers."""

import math

import numpy as np
import pytest

from embodied_nav.geometry import invert, pose2d
from embodied_nav.planning.pose_watch import PoseWatch

S = 1_000_000_000


def on_circle(t, v=0.5, w=1.0):
    """Exact pose at t seconds of a drive at v m/s and w rad/s."""
    if w == 0.0:
        return pose2d(v * t, 0.0, 0.0)
    return pose2d(v / w * math.sin(w * t), v / w * (1.0 - math.cos(w * t)), w * t)


def tf_at(t, rate, pose):
    """What TF's interpolation between samples at a rate gives: a chord of the true way."""
    a = math.floor(t * rate) / rate
    share = (t - a) * rate
    A, B = pose(a), pose(a + 1.0 / rate)
    turn = math.remainder(math.atan2(B[1, 0], B[0, 0]) - math.atan2(A[1, 0], A[0, 0]), 2 * math.pi)
    x, y = A[:2, 3] + share * (B[:2, 3] - A[:2, 3])
    return pose2d(x, y, math.atan2(A[1, 0], A[0, 0]) + share * turn)


def run(watch, topic, tf, seconds=3.0, odom_rate=10.0, tf_rate=50.0, start=0.0):
    """Feeds both; the words of every trouble that came up, in order."""
    said = []
    for k in range(int(seconds * odom_rate)):
        t = start + k / odom_rate
        watch.hear(int(t * S), topic(t))
        if watch.unpaired and tf is not None:
            watch.pair(watch.unpaired[0], tf_at(t, tf_rate, tf))
        if watch.trouble and (not said or said[-1] != watch.trouble):
            said.append(watch.trouble)
    return said


@pytest.mark.parametrize(("odom_rate", "tf_rate"), [(10.0, 50.0), (50.0, 10.0), (20.0, 20.0), (5.0, 100.0)])
@pytest.mark.parametrize("w", [0.0, 1.0, -1.5])
def test_what_agrees_is_believed_at_any_rates(odom_rate, tf_rate, w):
    watch = PoseWatch()
    assert run(watch, lambda t: on_circle(t, w=w), lambda t: on_circle(t, w=w), 4.0, odom_rate, tf_rate) == []
    stamp, T = watch.pose
    assert np.allclose(T, on_circle(stamp / S, w=w), atol=0.02)
    # An image between two messages fits too; a little ahead of the newest as well.
    for t in (stamp / S - 0.33, stamp / S + 0.08):
        assert watch.doubt(int(t * S), tf_at(t, tf_rate, lambda t: on_circle(t, w=w))) == ""


def test_stamps_that_lie_a_little_apart_do_not_stop_a_turning_robot():
    watch = PoseWatch()
    assert run(watch, lambda t: on_circle(t - 0.06, w=1.4), lambda t: on_circle(t, w=1.4), 4.0) == []


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (pose2d(-1.5, 0.0, 0.0), "1.50 m apart"),
        (pose2d(0.0, 0.3, 0.0), "0.30 m apart"),
        (pose2d(0.0, 0.0, 0.8), "0.80 rad apart"),
        (pose2d(2.0, 0.0, -0.5), "2.00 m and 0.50 rad apart"),
    ],
)
def test_a_step_between_topic_and_tf_names_both_numbers(offset, words):
    watch = PoseWatch()
    still = pose2d(0.0, 0.0, 0.0)
    said = run(watch, lambda t: offset @ still, lambda t: still)
    assert said and said[0].startswith("odom topic and TF odom->base_link are") and words in said[0]
    assert watch.trouble and watch.disagreements == 1
    # It goes on by itself, half a second after they agree again.
    assert not run(watch, lambda t: still, lambda t: still, 3.0, start=3.0)[2:]
    assert watch.trouble == ""


def test_slow_divergence_is_noticed_and_never_moves_what_was_placed():
    """The topic runs 5 cm/s ahead of TF: the pose of now follows TF all the while."""
    watch = PoseWatch()
    said = run(watch, lambda t: pose2d(0.35 * t, 0, 0), lambda t: pose2d(0.3 * t, 0, 0), 3.0)
    stamp, T = watch.pose
    assert said == [] and abs(T[0, 3] - 0.3 * stamp / S) < 0.02
    said = run(watch, lambda t: pose2d(0.35 * t, 0, 0), lambda t: pose2d(0.3 * t, 0, 0), 3.0, start=3.0)
    assert "apart" in said[0] and watch.trouble


@pytest.mark.parametrize("rates", [(20.0, 20.0), (10.0, 50.0), (50.0, 10.0)])
@pytest.mark.parametrize("step", [pose2d(-3.0, 1.0, 0.5), pose2d(0.3, 0.0, 0.0), pose2d(0.0, 0.0, 0.6)])
def test_where_both_jump_obstacles_know_where_they_have_gone(step, rates):
    watch = PoseWatch()

    def pose(t):
        return on_circle(t, 0.4, 0.2)

    def jumped(t):
        return step @ pose(t) if t >= 1.0 else pose(t)

    said = run(watch, jumped, jumped, 1.2, *rates)
    assert any("jumped" in words for words in said) and watch.trouble, "it stands for a while"
    assert watch.doubt(int(0.9 * S), pose(0.9)), "what was seen before is not placed"
    assert watch.take_moved() is None
    run(watch, jumped, jumped, 1.5, *rates, start=1.3)
    assert watch.trouble == "" and np.allclose(watch.pose[1], jumped(watch.pose[0] / S), atol=0.03)
    assert watch.good_from is not None and watch.doubt(int(0.9 * S), pose(0.9)), "nor is it afterwards"
    moved = watch.take_moved()
    assert watch.take_moved() is None
    place = np.array([2.0, 0.5, 0.0, 1.0])
    gap = np.linalg.norm((moved @ place - step @ place)[:2])
    assert gap < 0.06, f"obstacles end {gap:.2f} m from where they are"


@pytest.mark.parametrize("spiked", ["topic", "tf", "both"])
def test_a_single_wild_pose_stops_it_and_is_over_soon(spiked):
    watch = PoseWatch()
    still = pose2d(1.0, 0.0, 0.0)

    def wild(t):
        return pose2d(4.0, 1.0, 0.5) if abs(t - 1.0) < 0.04 else still

    said = run(
        watch,
        wild if spiked != "tf" else lambda t: still,
        wild if spiked != "topic" else lambda t: still,
        1.3,
        20.0,
        20.0,
    )
    assert said and watch.trouble
    run(watch, lambda t: still, lambda t: still, 1.0, 20.0, 20.0, start=1.4)
    assert watch.trouble == "" and watch.take_moved() is None, "what jumps there and back stays"


def test_tf_alone_jumps():
    watch = PoseWatch()
    still, away = pose2d(1.0, 0.0, 0.0), pose2d(1.0, -1.2, 0.0)
    run(watch, lambda t: still, lambda t: away if t >= 1.0 else still, 2.0)
    assert "apart" in watch.trouble
    run(watch, lambda t: away, lambda t: away, 2.0, start=2.0)
    assert watch.trouble == "" and np.allclose(watch.take_moved(), away @ invert(still)), "the topic has followed"
    assert watch.doubt(int(1.9 * S), still), "an image at the old place"


def test_an_image_at_a_stamp_at_which_tf_spikes_is_not_placed():
    """Between two messages of the topic nothing compares them but the image itself."""
    watch = PoseWatch()
    run(watch, lambda t: pose2d(0.3 * t, 0, 0), lambda t: pose2d(0.3 * t, 0, 0), 2.0)
    assert watch.doubt(int(1.55 * S), pose2d(0.3 * 1.55, 0.0, 0.0)) == ""
    assert "0.50 m" in watch.doubt(int(1.55 * S), pose2d(0.3 * 1.55, 0.5, 0.0))


def test_pushes_and_gaps_are_no_jumps():
    watch = PoseWatch()
    assert run(watch, lambda t: pose2d(0.9 * t, 0, 0), lambda t: pose2d(0.9 * t, 0, 0), 2.0, 20.0) == [], "pushed"
    for t in (2.0, 2.6, 3.4):  # messages lost while driving at top speed
        watch.hear(int(t * S), pose2d(1.71 + 0.5 * (t - 1.95), 0, 0))
    assert watch.jumps == 0


@pytest.mark.parametrize("silent", [0.0, 0.25, 0.4])
def test_a_robot_goes_on_while_odometry_jumps(silent):
    """Obstacles are moved by the jump alone: what it drives meanwhile, or in a gap before it, is no part of it."""
    watch = PoseWatch()
    pose = lambda t: pose2d(0.5 * t - (1.5 if t >= 1.0 else 0.0), 0, 0)  # noqa: E731
    run(watch, pose, pose, 1.0, 20.0)
    assert run(watch, pose, pose, 2.0, 20.0, start=1.0 + silent)
    assert watch.take_moved()[0, 3] == pytest.approx(-1.5, abs=0.002)


def test_messages_in_a_burst_tell_no_speed():
    watch = PoseWatch()
    pose = lambda t: pose2d(0.5 * t - (0.9 if t >= 1.0 else 0.0), 0, 0)  # noqa: E731
    run(watch, pose, pose, 0.98, 20.0)
    watch.hear(int(0.952 * S), pose2d(0.5, 0, 0))  # 25 mm in 2 ms
    run(watch, pose, pose, 2.0, 20.0, start=1.0)
    assert watch.take_moved()[0, 3] == pytest.approx(-0.9, abs=0.06)


def test_a_jump_in_a_gap_of_any_length_is_one():
    """The robot stands when odometry is silent: it cannot have driven so far, however long the gap was."""
    for gap in (0.6, 1.0, 5.0):
        watch = PoseWatch()
        run(watch, lambda t: pose2d(0.4 * t, 0, 0), lambda t: pose2d(0.4 * t, 0, 0), 2.0, 20.0)
        watch.hear(int((1.95 + gap) * S), pose2d(0.78 - 0.9, 0, 0))
        assert watch.jumps == 1, gap


def test_a_clock_that_is_set_back_is_gone_on_with():
    watch = PoseWatch()
    run(watch, lambda t: pose2d(t * 0.1, 0, 0), lambda t: pose2d(t * 0.1, 0, 0), 2.0, start=100.0)
    assert watch.hear(int(20.0 * S), pose2d(10.2, 0, 0)) and watch.clocks == 1 and watch.pose is None
    assert run(watch, lambda t: pose2d(8.2 + t * 0.1, 0, 0), lambda t: pose2d(8.2 + t * 0.1, 0, 0), start=20.1) == []
    assert watch.pose is not None and watch.good_from is None
    assert watch.hear(int(1.0 * S), pose2d(0.0, 0, 0)), "a looped bag"
    assert "clock was set back" in watch.trouble and watch.good_from == 1 * S
    # A late message is none of that.
    watch.hear(int(1.5 * S), pose2d(0.0, 0, 0))
    assert not watch.hear(int(1.2 * S), pose2d(0.0, 0, 0)) and watch.clocks == 2
