"""Contact by odometry: a base that is held by something unseen does not push on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.agent import PathFollower
from embodied_nav.frames import Velocity
from embodied_nav.geometry import pose2d
from embodied_nav.planning import Contact
from embodied_nav.robot import RobotProfile

PERIOD = 50_000_000


def drive(contact: Contact, speeds, told) -> list[bool]:
    """Feeds commands and the motion that came of them, 20 a second."""
    x, out = 0.0, []
    for k, (speed, command) in enumerate(zip(speeds, told, strict=True)):
        out.append(contact.update(k * PERIOD, pose2d(x, 0.0, 0.0), Velocity(command)))
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


def test_standing_on_command_is_not_contact():
    assert not any(drive(Contact(), [0.0] * 40, [0.0] * 40))


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
