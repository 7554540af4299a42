"""JIT warm-up of this layer's kernels before the first map arrives. Knows its public functions only."""

from __future__ import annotations

import numpy as np

from .. import trial
from ..frames import OccupancyGrid, Velocity
from ..robot import RobotProfile
from .frontiers import frontiers, hidden_area, is_frontier_near
from .geodesic import descend, fast_marching, line_of_sight
from .guard import CollisionGuard
from .planner import Planner
from .sight_lines import clear_lines
from .traversal import NearGround, PlanningConfig


def warm_up(robot: RobotProfile | None = None) -> None:
    """Plans on a small half-known map, then passes a few commands through the guard."""
    robot = robot or RobotProfile()
    warm_up_planner(robot)
    warm_up_guard(robot)


def warm_up_planner(robot: RobotProfile) -> None:
    """Runs traversal maps, frontiers, distances and paths."""
    data = np.full((80, 80), -1, np.int8)
    data[20:60, 20:60] = 0
    data[30:34, 40] = 100
    config = PlanningConfig()
    grid = OccupancyGrid(data, 0.05, (-2.0, -2.0))
    for seen in (grid, NearGround(config.near_radius).fill(grid, (0.0, 0.0))):
        planner = Planner(seen, robot, config)
        path = planner.plan((-0.5, 0.0), (0.5, 0.2))
        planner.is_clear(path if path is not None else np.array([[0.0, 0.0], [0.1, 0.0]]))
        is_frontier_near(seen, (0.0, 1.0), 0.5)
        for frontier in frontiers(seen, config, planner.field_from((-0.5, 0.0))):
            hidden_area(seen, planner.map.clearance, frontier.cells, robot.footprint_radius, 1.0)
    free = data == 0
    field = fast_marching(free, np.array([[40, 40]]), 0.05, offsets=np.zeros(1))
    descend(field, (22, 22), free)
    descend(field, (22, 22))
    line_of_sight(data > 0, (22, 22), (50, 50))
    clear_lines(np.zeros(data.shape, np.float32), np.ones((1, 3)), np.full((1, 3), 9.0), np.zeros((2, 2)))


def warm_up_guard(robot: RobotProfile) -> None:
    """Runs the collision guard on a depth image and a scan, driving forward and backward."""
    guard, frame, T = CollisionGuard(robot=robot), trial.frames(robot)[0], np.eye(4)
    assert frame.depth is not None
    for later in (0, 100_000_000):  # the second image tests the obstacles of the first
        guard.observe_depth(frame.stamp + later, frame.depth, frame.camera, robot.T_base_camera(), T)
    guard.observe_scan(frame.stamp, np.full(36, 0.6), -3.0, 0.17, T, T)
    for velocity in (Velocity(0.2, 0.1), Velocity(0.2, 0.0), Velocity(-0.1, 0.0)):
        guard.filter(velocity, T)
    guard.touched(frame.stamp, T)
