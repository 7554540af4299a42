"""Synthetic frames that JIT-compile the kernels and load libraries before real data arrives. Knows no components.

Without this warm-up the second frame of a run waits half a second for imports, and on a new machine minutes for the
compiler.
"""

from __future__ import annotations

import numpy as np

from .frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from .geometry import Camera, pose2d
from .robot import RobotProfile


def frames(robot: RobotProfile, size: tuple[int, int] = (320, 240)) -> list[RGBDFrame]:
    """Two views of a textured wall from 0.6 m apart, colour and depth, with one instance in them."""
    width, height = size
    camera = Camera.from_hfov(width, height, 1.4)
    noise = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    color = np.repeat(np.repeat(noise, 8, axis=0), 8, axis=1)
    depth = np.full((height, width), 2.0, np.float32)
    depth[height // 3 : height // 2, width // 3 : width // 2] = 1.2
    depth[0, 0] = np.nan
    ids = (depth < 1.5).astype(np.int32)
    T = robot.T_base_camera()
    poses = (pose2d(0.0, 0.0, 0.0) @ T, pose2d(0.0, 0.6, 0.3) @ T)
    shifted = np.roll(color, width // 4, axis=1)
    return [
        RGBDFrame(1_000_000_000 * (i + 1), camera, pose, image, depth, ids)
        for i, (pose, image) in enumerate(zip(poses, (color, shifted), strict=True))
    ]


def keyframes(robot: RobotProfile) -> list[Keyframe]:
    """The two views as keyframes."""
    return [Keyframe(i, frame, 1.0, 0, "warm-up") for i, frame in enumerate(frames(robot))]


def delta(keyframe: Keyframe) -> SemanticDelta:
    """A delta with the keyframe's one object and its pixels."""
    thing = ObjectObservation("box", "red", 0.9, np.array([1.2, 0.0, 0.8]), np.array([0.1, 0.3, 0.3]))
    assert keyframe.frame.instance_ids is not None
    segments = keyframe.frame.instance_ids.astype(np.uint16)
    return SemanticDelta(keyframe.id, -1, keyframe.frame.stamp, "warm-up", "", (thing,), segments=segments)
