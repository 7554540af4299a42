"""Velocities become Habitat's actions: the nearest one, and never the same step against a wall for ever."""

import math

import numpy as np
import pytest

from embodied_nav.evaluation.discrete import DiscreteActions
from embodied_nav.frames import Velocity
from embodied_nav.geometry import pose2d
from embodied_nav.robot import RobotProfile

TURN = math.radians(30.0)


class Commands:
    """A driver that always gives one command."""

    status = "running"

    def __init__(self, *command) -> None:
        self.command, self.asked = command, []

    def control(self, stamp, T_odom_base):
        self.asked.append((stamp, T_odom_base[:2, 3].copy()))
        return self.command[0] if isinstance(self.command[0], str) else Velocity(*self.command)


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ((0.5, 0.0), "forward"),
        ((0.5, 0.3), "forward"),
        ((0.2, 1.5), "left"),
        ((0.2, -1.5), "right"),
        ((0.0, 0.8), "left"),
        ((0.0, -0.8), "right"),
        ((-0.1, 0.0), "left"),
        ((0.0, 0.0), "left"),
        (("stop",), "stop"),
        (("right",), "right"),
    ],
)
def test_the_nearest_action(command, action):
    driver = Commands(*command)
    assert DiscreteActions(RobotProfile(), 0.25, TURN).choose(driver, 10**9, np.eye(4)) == action
    stamps = [stamp for stamp, _ in driver.asked]
    assert stamps[0] == 10**9 and all(b - a == 50_000_000 for a, b in zip(stamps, stamps[1:], strict=False))


def test_the_driver_sees_the_odometry_that_its_velocities_would_give():
    driver, here = Commands(0.5, 0.0), pose2d(1.0, 2.0, math.pi / 2)
    DiscreteActions(RobotProfile(), 0.25, TURN).choose(driver, 0, here)
    places = np.array([place for _, place in driver.asked])
    assert np.allclose(places[0], (1.0, 2.0)) and np.allclose(places[:, 0], 1.0)
    assert 2.1 < places[-1, 1] < 2.26 and (np.diff(places[:, 1]) > 0).all()


def test_a_step_that_was_held_up_is_turned_aside_once():
    actions, driver = DiscreteActions(RobotProfile(), 0.25, TURN), Commands(0.5, -0.1)
    assert actions.choose(driver, 0, np.eye(4)) == "forward"
    assert actions.choose(driver, 0, np.eye(4)) == "right", "to the side of the way"
    assert actions.choose(driver, 0, pose2d(0.0, 0.0, -TURN)) == "forward"
    assert actions.choose(driver, 0, pose2d(0.2, 0.0, -TURN)) == "forward", "it moved"


def test_a_driver_that_ends_stops():
    driver = Commands(0.5, 0.0)
    driver.status = "failed"
    assert DiscreteActions(RobotProfile(), 0.25, TURN).choose(driver, 0, np.eye(4)) == "stop"
