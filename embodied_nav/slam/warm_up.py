"""JIT warm-up of this layer's kernels before the first frame arrives. Knows its public functions only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import trial
from ..robot import RobotProfile
from .icp import DepthView, agreement, grey_levels, register, seen_through
from .looks import landmark, look_of
from .odometry import OdometryConfig, thinned
from .pose_graph import along_paths


def warm_up(robot: RobotProfile | None = None) -> None:
    """Registers two synthetic frames with and without grey levels and compares them; weighs paths of a graph."""
    first, second = trial.frames(robot or RobotProfile())
    settings = OdometryConfig()
    along_paths(0, np.array([0, 1, 2]), np.array([1, 0]), np.ones(2), np.ones(2), np.zeros((2, 3)))
    for frame in (first, replace(second, depth=first.depth)):
        assert frame.depth is not None and frame.color is not None
        depth, camera = thinned(frame.depth, frame.camera, settings.width, settings.max_depth)
        greys = grey_levels(frame.color, camera)
        reference = DepthView.of(depth, camera, greys)
        for levels in ((), greys):
            register(depth, camera, reference, np.eye(4), np.eye(6), greys=levels)
        # Loops register against stored views, of this session or an earlier one.
        kept = landmark("", np.eye(4), look_of(frame)).look.view()
        assert kept.depth_view is not None
        register(depth, camera, kept.depth_view, np.eye(4), np.eye(6))
        agreement(depth, camera, kept.depth, kept.camera, np.eye(4))
        seen_through(depth, camera, depth, camera, np.eye(4))
