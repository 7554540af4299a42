"""Turns a driver's velocities into Habitat's discrete actions. Knows nothing of simulators and of particular drivers.

The driver is asked as on a robot, at 20 Hz, with the odometry that its own velocities would give, until it would have
gone one step or turned one turn. The action is the one that comes nearest to that: a turn where the place that it would
come to lies beside the heading by more than half a turn, else a step. The robot itself moves by that action only. Where
a step was held up, the next one is turned aside once and gone then: with coarse turns and no sliding the same step
would be tried for ever.
"""

from __future__ import annotations

import math

import numpy as np

from ..drivers import Driver
from ..frames import Action, Velocity
from ..geometry import pose2d
from ..robot import RobotProfile
from ..sim.dynamics import accelerated

#: s between two commands, and how many are asked for at most before an action is chosen.
PERIOD, MOST_ASKED = 0.05, 60
#: Less way (m) than this is none.
_STANDING = 0.03
#: A step that came less far than this share was held up.
_HELD_UP = 0.5


class DiscreteActions:
    """Chooses the actions of one episode.

    Args:
        robot: its limits. forward: m a step. turn: rad a turn.
    """

    def __init__(self, robot: RobotProfile, forward: float, turn: float) -> None:
        self._robot, self._forward, self._turn = robot, forward, turn
        self._stepped_from: np.ndarray | None = None
        self._aside = False

    def choose(self, driver: Driver, stamp: int, T_odom_base: np.ndarray) -> Action:
        """The driver's next action; ``stop`` once it is no longer running.

        Args:
            stamp: ns, now. T_odom_base: 4x4, now.
        """
        here = T_odom_base[:2, 3].copy()
        velocity, x, y, yaw, way = (0.0, 0.0), 0.0, 0.0, 0.0, 0.0
        for _ in range(MOST_ASKED):
            command = driver.control(stamp, T_odom_base @ pose2d(x, y, yaw))
            if driver.status != "running":
                return "stop"
            if not isinstance(command, Velocity):
                return command
            wanted = (command.linear, command.angular)
            ((distance, angle),), velocity = accelerated(self._robot, velocity, wanted, PERIOD, 1)
            x, y = x + math.cos(yaw + 0.5 * angle) * distance, y + math.sin(yaw + 0.5 * angle) * distance
            yaw, way, stamp = yaw + angle, way + distance, stamp + round(PERIOD * 1e9)
            if way >= self._forward or (abs(yaw) >= self._turn and way < _STANDING):
                break
        action = self._around(self._nearest(x, y, yaw, way), y, here)
        self._stepped_from = here if action == "forward" else None
        return action

    def _around(self, action: Action, y: float, here: np.ndarray) -> Action:
        """The action, or where the last step was held up a turn to the side of the way, and a step after that."""
        if self._aside:
            self._aside = False
            return "forward"
        before = self._stepped_from
        held_up = before is not None and float(np.hypot(*(here[:2] - before[:2]))) < _HELD_UP * self._forward
        if not held_up or action != "forward":
            return action
        self._aside = True
        return self._side(y)

    def _nearest(self, x: float, y: float, yaw: float, way: float) -> Action:
        """The action that comes nearest to a motion from the origin to (x, y, yaw), m and rad."""
        # Who stays where it is looks around; so does who would go back, for which Habitat has no action.
        if way < _STANDING or x <= -abs(y):
            return self._side(yaw)
        bearing = math.atan2(y, x)
        return self._side(bearing) if abs(bearing) > 0.5 * self._turn else "forward"

    @staticmethod
    def _side(angle: float) -> Action:
        return "left" if angle >= 0.0 else "right"
