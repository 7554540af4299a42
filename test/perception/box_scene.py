"""Coloured boxes on a floor in a walled room, ray-cast in numpy: colour, depth and instance ids with known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import T_LINK_OPTICAL, Camera, invert, pose2d
from embodied_nav.robot import RobotProfile

CAMERA = Camera.from_hfov(320, 240, np.radians(80))
ROOM = (np.array([-1.0, -3.0, 0.0]), np.array([6.0, 3.0, 2.6]))

#: id -> (low corner, high corner, RGB)
BOXES = {
    1: ((2.0, 0.3, 0.0), (2.8, 1.3, 0.7), (200, 30, 30)),
    2: ((3.0, -1.2, 0.0), (3.5, -0.6, 0.5), (30, 60, 200)),
    7: ((4.0, 0.0, 0.0), (4.6, 0.5, 1.2), (40, 150, 50)),
}
NAMES = {1: ("sofa", "red"), 2: ("chair", "blue"), 7: ("plant", "green"), 9: ("lamp", "yellow")}


def camera_pose(x=0.0, y=0.0, yaw=0.0, pitch=0.15) -> np.ndarray:
    robot = RobotProfile(camera_pitch=pitch, camera_height=1.0)
    return pose2d(x, y, yaw) @ robot.T_base_camera()


def level_pose(x=0.0, y=0.0, yaw=0.0, z=1.0) -> np.ndarray:
    return pose2d(x, y, yaw, z) @ T_LINK_OPTICAL


def render(T, boxes=None, camera=CAMERA, stamp=1, noise=0.0, seed=0) -> RGBDFrame:
    """Slab test of every pixel's ray against the room from inside and each box from outside."""
    boxes = BOXES if boxes is None else boxes
    rays = camera.rays().astype(np.float64) @ T[:3, :3].T
    rays[rays == 0] = 1e-12
    origin = T[:3, 3]
    far = np.maximum((ROOM[0] - origin) / rays, (ROOM[1] - origin) / rays)
    axis = far.argmin(-1)
    depth = far.min(-1)
    ids = np.zeros(depth.shape, np.int32)
    color = np.array([[180, 170, 160], [170, 170, 175], [110, 90, 70]], np.uint8)[axis]
    for instance, (low, high, rgb) in boxes.items():
        a, b = (np.array(low) - origin) / rays, (np.array(high) - origin) / rays
        enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
        hit = (enter > 0.05) & (enter < leave) & (enter < depth)
        depth[hit], ids[hit] = enter[hit], instance
        shade = np.array([1.0, 0.85, 0.95])[np.minimum(a, b).argmax(-1)[hit]]
        color[hit] = (np.array(rgb) * shade[:, None]).astype(np.uint8)
    if noise:
        depth = depth + np.random.default_rng(seed).normal(0, noise, depth.shape) * depth**2
    return RGBDFrame(stamp, camera, T, color, depth.astype(np.float32), ids)


def keyframe(k, *args, **kwargs) -> Keyframe:
    return Keyframe(k, render(*args, stamp=1 + k * 10**9, **kwargs), float("nan"), 0, "first")


def without_depth(key: Keyframe) -> Keyframe:
    """The same picture, of a camera without depth."""
    return replace(key, frame=replace(key.frame, depth=None))


def in_map_of(first: Keyframe, key: Keyframe) -> Keyframe:
    """The same view in a map that is the first view's optical frame, as handheld recordings give it: y points down."""
    return replace(
        key, frame=replace(key.frame, T_map_camera=invert(first.frame.T_map_camera) @ key.frame.T_map_camera)
    )
