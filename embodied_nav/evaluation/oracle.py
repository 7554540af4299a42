"""Follows the simulator's shortest path: the upper bound for this robot. Knows no images; not an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..drivers import Blind
from ..frames import Velocity
from ..geometry import invert, transform_points
from ..planning import PursuitConfig, RegulatedPurePursuit
from ..robot import RobotProfile
from ..sim.interface import Privileged


class Oracle(Blind):
    """A driver with access to the ground truth, see :meth:`tell`; agents never have that.

    Args:
        robot: its limits. perception, parameters: not used; all drivers have the same constructor.
    """

    #: The shortest path touches every corner: follow it closely, and replan often in case the robot is pushed off it.
    _CLOSELY = PursuitConfig(
        goal_tolerance=0.02, lookahead_min=0.1, lookahead_max=0.15, turn_above=0.35, drive_below=0.05
    )
    _ASK_EVERY = 10  # commands

    def __init__(self, robot: RobotProfile, perception: str = "", parameters: Mapping[str, Any] | None = None) -> None:
        self._pursuit = RegulatedPurePursuit(self._CLOSELY, robot)
        self.status = "running"

    def reset(self, instruction: str, *, seed: str = "") -> None:
        """Resets; the goal comes from the ground truth, not from the sentence."""
        self._pursuit.reset()
        self.status = "running"

    def tell(self, truth: Privileged) -> None:
        """Sets the ground truth of the episode; called after :meth:`reset`."""
        self._truth = truth
        self._path, self._count = self._way(), 0

    def control(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """Follows the path; STOP where that is a success."""
        self.status = "stopped" if self._truth.goal_reached() else "running"
        self._count += 1
        if self._count % self._ASK_EVERY == 0:
            self._path = self._way()
        return self._pursuit.command(self._truth.T_map_odom() @ T_odom_base, self._path, 0.05)

    def _way(self) -> np.ndarray | None:
        """Nx2 path in map, or None."""
        path = np.asarray(self._truth.shortest_path(), dtype=np.float64)
        if len(path) == 0:
            return None
        legs = np.diff(path[:, :2], axis=0)
        back = np.flatnonzero((legs[1:] * legs[:-1]).sum(axis=1) < 0.0)
        if len(back):
            # The path turns back at a way point: cut it there, since pursuit's lookahead would turn too early.
            path = path[: back[0] + 2]
        flat = np.column_stack([path[:, :2], np.zeros(len(path))])
        return transform_points(invert(self._truth.T_scene_map()), flat)[:, :2]
