"""Contact by odometry: a base that is held by something unseen does not push on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import Velocity
from embodied_nav.geometry import pose2d
from embodied_nav.planning import Contact, PathFollower, Recovery, RecoveryConfig
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.noise import OdometryNoise

PERIOD = 50_000_000


def drive(contact: Contact, speeds, told) -> list[bool]:
    """Feeds commands and the motion that came of them, 20 a second."""
    x, out = 0.0, []
    for k, (speed, command) in enumerate(zip(speeds, told, strict=True)):
        touch = contact.update(k * PERIOD, pose2d(x, 0.0, 0.0), Velocity(command))
        out.append(touch is not None and touch.held)
        x += speed * PERIOD * 1e-9
    return out


def test_a_held_base_is_noticed_within_half_a_second():
    held = drive(Contact(), [0.0] * 20, [0.3] * 20)
    assert held.index(True) * PERIOD <= 500_000_000


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 0.5), st.floats(0.5, 1.0))
def test_a_base_that_moves_is_not_held(command, share):
    assert not any(drive(Contact(), [command * share] * 60, [command] * 60))


def test_speeding_up_from_rest_is_not_contact():
    speeds = np.minimum(0.05 * np.arange(40), 0.5)
    assert not any(drive(Contact(), speeds, [0.5] * 40))


@pytest.mark.parametrize("pause", [0.5, 1.0, 5.0])
def test_a_pause_in_which_nobody_asked_is_not_contact(pause):
    """It was told to stand by another: what it had been told last does not count for the pause."""
    contact = Contact()
    assert all(contact.update(k * PERIOD, pose2d(0.02 * k, 0.0, 0.0), Velocity(0.4)) is None for k in range(20))
    later = 20 * PERIOD + int(pause * 1e9)
    touches = [
        contact.update(later + k * PERIOD, pose2d(0.4 + 0.02 * max(k - 3, 0), 0.0, 0.0), Velocity(0.1))
        for k in range(9)
    ]
    assert touches == [None] * 9


def test_standing_on_command_is_not_contact():
    assert not any(drive(Contact(), [0.0] * 40, [0.0] * 40))


def test_a_base_that_is_held_behind_is_noticed_too():
    contact = Contact()
    touches = [contact.update(k * PERIOD, np.eye(4), Velocity(-0.1)) for k in range(12)]
    touch = next(t for t in touches if t is not None)
    assert touch.held
    assert abs(touch.bearing) == pytest.approx(math.pi)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.45, 1.1), st.sampled_from([-1, 1]), st.sampled_from([-0.1, 0.15, 0.3, 0.5]), st.floats(-3.0, 3.0))
def test_sliding_along_a_wall_is_felt_on_the_side_of_the_wall(angle, side, speed, yaw):
    # The robot drives into the wall at this angle (backwards, too); of its motion the part along the wall is left.
    towards = yaw + (math.pi if speed < 0 else 0.0)
    along = towards + side * angle
    step = abs(speed) * math.cos(angle) * PERIOD * 1e-9
    contact, touches = Contact(), []
    for k in range(9):
        T = pose2d(k * step * math.cos(along), k * step * math.sin(along), yaw)
        touches.append(contact.update(k * PERIOD, T, Velocity(speed)))
    touch = next(t for t in touches if t is not None)
    assert not touch.held
    wall = along - side * 0.5 * math.pi
    assert abs(math.remainder(touch.bearing + yaw - wall, 2.0 * math.pi)) < 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_drift_of_odometry_in_curves_is_no_slip(seed):
    rng = np.random.default_rng(seed)
    odometry, contact = OdometryNoise(0.02, math.radians(0.5), rng), Contact()
    for k in range(1500):
        if k % 40 == 0:
            v, w = rng.uniform(0.08, 0.5) * rng.choice([1.0, -0.25]), rng.uniform(-1.5, 1.5)
        angle = w * 0.05
        chord = v * 0.05 * math.sin(angle / 2) / (angle / 2)
        odometry.update(chord * math.cos(angle / 2), chord * math.sin(angle / 2), angle)
        assert contact.update((k + 1) * PERIOD, odometry.T_odom_base, Velocity(v, w)) is None


def test_backing_off_ends_where_something_holds_the_robot_behind():
    recovery = Recovery(RecoveryConfig(back_time=1.5, turn_time=1.0))
    wanted = Velocity(0.3)
    commands = [recovery.update(k * PERIOD, np.eye(4), wanted, held=k in (0, 8)) for k in range(29)]
    assert [c.linear for c in commands[:8]] == [-0.1] * 8
    assert all(c.linear == 0.0 and abs(c.angular) > 0.0 for c in commands[8:28])
    assert commands[28] is None
    again = [recovery.update(k * PERIOD, np.eye(4), wanted, held=k == 40) for k in range(40, 69)]
    assert [c.linear for c in again] == [-0.1] * 29, "the next time it backs off all the way"


@pytest.mark.parametrize("angle", [0.5, 0.8, 1.1])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_robot_does_not_slide_on_along_an_unseen_wall(angle, side):
    """A straight path leads into a wall at an angle; the base slides along it, as in the simulator."""
    robot = RobotProfile()
    follower = PathFollower(robot)
    follower.follow(np.array([[0.0, 0.0], [4.0, 0.0]]), None, np.eye(4))
    wall = np.array([math.sin(angle), side * math.cos(angle)])  # its normal; the path meets it 0.8 m ahead
    base, touching = np.zeros(3), 0
    for k in range(100):
        v = follower.command(k * PERIOD, pose2d(*base))
        base[:2] += v.linear * 0.05 * np.array([math.cos(base[2]), math.sin(base[2])])
        base[2] += v.angular * 0.05
        deep = base[:2] @ wall + robot.footprint_radius - 0.8 * wall[0]
        if deep > 0.0:
            base[:2] -= deep * wall
            touching += 1
    assert 0 < touching <= 12
    assert base[0] > 0.2, "it never came to the wall"


@pytest.mark.parametrize("wall", [0.6])
def test_an_unseen_wall_is_touched_briefly_and_then_remembered(wall):
    robot = RobotProfile()
    follower = PathFollower(robot)
    follower.follow(np.array([[0.0, 0.0], [3.0, 0.0]]), None, np.eye(4))
    x, yaw, pushing, farthest = 0.0, 0.0, 0, 0.0
    for k in range(120):
        v = follower.command(k * PERIOD, pose2d(x, 0.0, yaw))
        step = v.linear * 0.05
        if step > 0.0 and x + step + robot.footprint_radius > wall and abs(yaw) < 1.0:
            step, pushing = 0.0, pushing + 1
        x, yaw = x + step, yaw + v.angular * 0.05
        farthest = max(farthest, x)
    assert farthest > 0.2, "it never set out"
    assert 0 < pushing <= 20, "it must notice the contact and back off"
    assert follower.recovery.count >= 1


@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_what_was_touched_is_told_once_where_it_is(yaw):
    """A base that is held half a metre off the origin of odom touches something at its front, at its footprint."""
    robot, T = RobotProfile(), pose2d(0.5, -0.2, yaw)
    follower, told = PathFollower(robot), []
    ahead = np.array([math.cos(yaw), math.sin(yaw)])
    follower.follow(np.array([T[:2, 3], T[:2, 3] + 2.0 * ahead]), None, np.eye(4))
    for k in range(12):
        follower.command(k * PERIOD, T)
        told.append(follower.touched)
    felt = [t for t in told if len(t)]
    assert len(felt) == 1
    off = felt[0] - T[:2, 3]
    gaps = np.linalg.norm(off, axis=1)
    assert (gaps > robot.footprint_radius).all() and (gaps < robot.footprint_radius + 0.06).all()
    assert (off @ ahead > 0.7 * gaps).all()
    follower.reset()
    assert len(follower.touched) == 0
