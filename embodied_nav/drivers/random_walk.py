"""Drives, turns and stops at random, without a camera: the lower bound in comparisons. Knows nothing of maps."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..frames import Velocity
from ..robot import RobotProfile
from .driver import Blind


class RandomWalk(Blind):
    """Drives straight for a while, then turns on the spot; stops with a fixed probability at every command.

    Args:
        robot: its limits. perception, parameters: not used; all drivers have the same constructor.
    """

    _STOP_RATE = 1.0 / 40.0  # 1/s: 40 s a walk on average
    _PERIOD = 0.05  # s between commands

    def __init__(self, robot: RobotProfile, perception: str = "", parameters: Mapping[str, Any] | None = None) -> None:
        self._robot = robot
        self.status = "running"

    def reset(self, instruction: str, *, seed: str = "") -> None:
        """Restarts the random generator from the seed."""
        self._random = random.Random(seed)
        self.status = "running"
        self._until = 0
        self._velocity = Velocity()

    def control(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity of the present leg, straight or turning."""
        if self._random.random() < self._STOP_RATE * self._PERIOD:
            self.status = "stopped"
            return Velocity()
        if stamp >= self._until:
            if self._velocity.linear > 0:
                self._velocity = Velocity(0.0, self._random.choice((-1.0, 1.0)) * self._robot.max_angular)
                self._until = stamp + int(self._random.uniform(0.3, 2.0) * 1e9)
            else:
                self._velocity = Velocity(self._robot.max_linear, 0.0)
                self._until = stamp + int(self._random.uniform(1.0, 6.0) * 1e9)
        return self._velocity
