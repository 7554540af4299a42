"""Wishes of any controller, within what the robot may be told; a base that does not do it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.frames import Velocity
from embodied_nav.geometry import pose2d
from embodied_nav.planning.command import within_limits
from embodied_nav.planning.stall import Stall, StallConfig
from embodied_nav.robot import RobotProfile

ROBOT = RobotProfile()
any_number = st.floats(allow_nan=True, allow_infinity=True)
last_v, last_w = st.floats(-ROBOT.max_reverse, ROBOT.max_linear), st.floats(-ROBOT.max_angular, ROBOT.max_angular)


@given(any_number, any_number, last_v, last_w, st.floats(0.0, 0.5))
def test_no_wish_passes_a_limit(v, w, v0, w0, dt):
    got = within_limits(Velocity(v, w), Velocity(v0, w0), dt, ROBOT)
    assert -ROBOT.max_reverse - 1e-9 <= got.linear <= ROBOT.max_linear + 1e-9
    assert abs(got.angular) <= ROBOT.max_angular + 1e-9
    assert abs(got.linear) <= abs(v0) + ROBOT.linear_acceleration * dt + 1e-9
    assert abs(got.angular) <= abs(w0) + ROBOT.angular_acceleration * dt + 1e-9
    if not (math.isfinite(v) and math.isfinite(w)):
        assert got == Velocity()


def test_a_stop_is_never_held_back_and_turning_round_begins_at_zero():
    assert within_limits(Velocity(), Velocity(0.5, 1.5), 0.001, ROBOT) == Velocity()
    back = within_limits(Velocity(-1.0, 0.0), Velocity(0.5, 0.0), 0.05, ROBOT)
    assert back.linear == pytest.approx(-0.05)


def test_what_is_too_fast_keeps_its_curvature_and_what_is_not_passes():
    got = within_limits(Velocity(3.0, 3.0), Velocity(0.5, 0.5), 0.05, ROBOT)
    assert got.linear == pytest.approx(0.5) and got.angular == pytest.approx(0.5)
    got = within_limits(Velocity(0.2, 20.0), Velocity(0.2, 1.5), 0.05, ROBOT)
    assert got.angular == pytest.approx(1.5) and got.linear == pytest.approx(0.2 * 1.5 / 20.0)
    wish = Velocity(0.31, -0.7)
    assert within_limits(wish, wish, 0.05, ROBOT) == wish


def drive(stall, seconds, told, moves=False, start=0.0, rate=20.0, noise=0.0):
    """What it says in the end."""
    said, rng = "", np.random.default_rng(0)
    for k in range(int(seconds * rate)):
        t = k / rate
        v, w = told(t)
        x = v * t if moves else 0.0
        said = stall.update(int((start + t) * 1e9), pose2d(x + noise * rng.standard_normal(), 0, 0), Velocity(v, w))
    return said


def test_a_dead_base_is_told_with_the_numbers():
    stall = Stall()
    assert drive(stall, 14.0, lambda t: (0.2, 0.0), noise=0.005) == "" and stall.suspects
    said = drive(stall, 2.0, lambda t: (0.2, 0.0), start=14.0, noise=0.005)
    assert "commanded 3.2 m in 16 s" in said and "moved 0.0" in said and "cmd_vel" in said
    # Nobody tells it any more: the next goal gets its chance.
    assert drive(stall, 2.0, lambda t: (0.0, 0.0), start=16.0) == "" and not stall.suspects


def test_a_base_that_only_will_not_turn_is_dead_too():
    assert "rad" in drive(Stall(), 16.0, lambda t: (0.0, 0.6))


def test_pushes_with_pauses_add_up():
    """The planner lets it stand in between, because contact was felt all around."""
    stall = Stall()
    assert drive(stall, 16.0, lambda t: (0.15, 0.0) if t % 4.0 < 1.5 else (0.0, 0.0))


@pytest.mark.parametrize(
    "told", [lambda t: (0.0, 0.0), lambda t: (0.1, 0.0) if t < 0.5 else (0.0, 0.0)], ids=["idle", "once"]
)
def test_who_is_not_told_to_move_is_not_dead(told):
    stall = Stall()
    assert drive(stall, 60.0, told) == "" and not stall.suspects


def test_who_moves_is_not_dead():
    stall = Stall(StallConfig(patience=2.0))
    assert drive(stall, 20.0, lambda t: (0.1, 0.0), moves=True) == ""
