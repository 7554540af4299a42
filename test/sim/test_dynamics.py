"""The driven base: limits, exact arcs, obstacles, sliding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embodied_nav.robot import RobotProfile
from embodied_nav.sim.dynamics import DifferentialDrive, clearance_at

ROBOT = RobotProfile()


def yard(scenes, extra=()):
    """An empty yard of 5 m x 5 m within walls, with blocked rectangles (row0, row1, column0, column1) of 5 cm cells."""
    blocked = np.zeros((100, 100), dtype=bool)
    blocked[[0, -1]] = blocked[:, [0, -1]] = True
    for r0, r1, c0, c1 in extra:
        blocked[r0:r1, c0:c1] = True
    return scenes.clearance_map(blocked)


def test_it_speeds_up_and_brakes_within_its_limits():
    drive = DifferentialDrive(ROBOT, None)
    speeds, turns = [0.0], [0.0]
    for k in range(60):
        drive.step(9.0 if k < 30 else 0.0, 9.0 if k < 30 else 0.0, 0.05)
        speeds.append(drive.velocity[0])
        turns.append(drive.velocity[1])
    changes = np.diff(speeds)
    assert max(speeds) == ROBOT.max_linear and max(turns) == ROBOT.max_angular
    assert changes.max() == pytest.approx(ROBOT.linear_acceleration * 0.05)
    assert changes.min() == pytest.approx(-ROBOT.linear_deceleration * 0.05)
    assert np.abs(np.diff(turns)).max() == pytest.approx(ROBOT.angular_acceleration * 0.05)
    assert speeds[-1] == 0.0 and turns[-1] == 0.0


def test_reverse_is_slower_and_needs_a_stop_first():
    drive = DifferentialDrive(ROBOT, None)
    for _ in range(40):
        drive.step(0.5, 0.0, 0.05)
    forward = drive.velocity[0]
    drive.step(-0.5, 0.0, 0.05)
    assert drive.velocity[0] == pytest.approx(forward - ROBOT.linear_deceleration * 0.05)
    for _ in range(40):
        drive.step(-0.5, 0.0, 0.05)
    assert drive.velocity[0] == -ROBOT.max_reverse


@settings(deadline=None, max_examples=50)
@given(st.floats(0.05, 0.5), st.floats(-1.5, 1.5), st.floats(0.01, 3.0))
@example(0.5, 1e-6, 1.0)  # 1 - cos(angle) of a short piece of this arc has no correct digit
@example(0.5, 5e-324, 1.0)
def test_constant_velocity_drives_the_exact_arc(v, w, seconds):
    drive = DifferentialDrive(ROBOT, None)
    drive.state[3:5] = v, w
    drive.step(v, w, seconds)
    half = 0.5 * w * seconds
    chord = v * seconds * (math.sin(half) / half if half else 1.0)
    np.testing.assert_allclose(drive.pose[:2], (chord * math.cos(half), chord * math.sin(half)), rtol=1e-9, atol=1e-12)
    assert math.remainder(drive.pose[2] - w * seconds, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)
    assert drive.path_length == pytest.approx(v * seconds)


def test_one_long_step_equals_many_short_ones():
    once, often = DifferentialDrive(ROBOT, None), DifferentialDrive(ROBOT, None)
    once.step(0.5, 0.7, 1.0)
    for _ in range(50):
        often.step(0.5, 0.7, 0.02)
    np.testing.assert_allclose(once.state, often.state, atol=1e-12)


def test_a_command_that_is_no_number_brakes():
    drive = DifferentialDrive(ROBOT, None)
    for _ in range(20):
        drive.step(0.5, 0.0, 0.05)
    for command in ((math.nan, 0.0), (0.0, math.inf)):
        before = drive.velocity[0]
        drive.step(*command, 0.05)
        assert drive.velocity[0] == pytest.approx(before - ROBOT.linear_deceleration * 0.05)
    assert np.isfinite(drive.state).all()


@pytest.mark.parametrize("sliding", [True, False])
def test_it_stops_at_a_wall_ahead(scenes, sliding):
    drive = DifferentialDrive(ROBOT, yard(scenes), sliding)
    drive.reset(4.0, 2.5, 0.0)
    touched = [drive.step(0.5, 0.0, 0.05) for _ in range(60)]
    x, y, _ = drive.pose
    assert touched[-1] and not touched[0]
    assert 4.95 - ROBOT.footprint_radius - 0.035 < x <= 4.95 - ROBOT.footprint_radius + 0.026  # cells are 5 cm
    assert y == pytest.approx(2.5, abs=1e-6)
    assert drive.velocity[0] == pytest.approx(0.0, abs=1e-6)


def test_sliding_follows_a_wall_and_not_sliding_stays(scenes):
    ends = {}
    for sliding in (True, False):
        drive = DifferentialDrive(ROBOT, yard(scenes), sliding)
        drive.reset(4.5, 1.0, math.radians(50))
        for _ in range(80):
            drive.step(0.4, 0.0, 0.05)
        ends[sliding] = drive.pose
    assert ends[True][1] - ends[False][1] > 0.5
    assert ends[True][1] - 1.0 > 0.7 * 80 * 0.05 * 0.4 * math.sin(math.radians(50))
    assert abs(ends[True][0] - ends[False][0]) < 0.05


def test_turning_in_place_never_collides(scenes):
    drive = DifferentialDrive(ROBOT, yard(scenes), False)
    drive.reset(0.05 + ROBOT.footprint_radius, 2.5, 0.0)
    assert not any(drive.step(0.0, 1.0, 0.05) for _ in range(100))


def test_it_can_leave_where_it_should_not_be(scenes):
    """A robot that starts too near to a wall may drive away from it, not further in."""
    drive = DifferentialDrive(ROBOT, yard(scenes), True)
    drive.reset(0.13, 2.5, 0.0)
    for _ in range(40):
        drive.step(0.5, 0.0, 0.05)
    assert drive.pose[0] > 0.8
    drive.reset(0.13, 2.5, math.pi)
    for _ in range(40):
        drive.step(0.5, 0.0, 0.05)
    assert drive.pose[0] > 0.12


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-2, 2), st.floats(0.02, 0.5)), min_size=1, max_size=40),
    st.booleans(),
)
def test_the_footprint_never_enters_an_obstacle(scenes, commands, sliding):
    world = yard(scenes, [(40, 44, 20, 70), (60, 90, 58, 60)])
    drive = DifferentialDrive(ROBOT, world, sliding)
    drive.reset(2.5, 1.2, 0.3)
    for v, w, dt in commands:
        drive.step(v, w, dt)
        x, y, _ = drive.pose
        assert clearance_at(world.clearance, np.array([0.0, 0.0, 0.05]), x, y) >= ROBOT.footprint_radius


def test_moves_of_discrete_actions_are_exact_and_collide(scenes):
    drive = DifferentialDrive(ROBOT, yard(scenes), False)
    drive.reset(2.0, 2.0, math.pi / 2)
    assert not drive.move(0.25, 0.0)
    assert not drive.move(0.0, math.radians(15))
    np.testing.assert_allclose(drive.pose, (2.0, 2.25, math.radians(105)), atol=1e-12)
    assert drive.velocity == (0.0, 0.0)
    drive.reset(4.5, 2.0, 0.0)
    assert not drive.move(0.25, 0.0) and drive.move(0.25, 0.0)
    assert drive.pose[0] <= 4.95 - ROBOT.footprint_radius + 0.026


def test_outside_of_the_map_is_an_obstacle(scenes):
    world = scenes.clearance_map(np.pad(np.zeros((40, 40), bool), 0))
    world.clearance[:] = 1.0
    drive = DifferentialDrive(ROBOT, world, False)
    drive.reset(1.0, 1.0, 0.0)
    for _ in range(200):
        drive.step(0.5, 0.0, 0.05)
    assert drive.pose[0] < 2.0
