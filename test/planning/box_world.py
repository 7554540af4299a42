"""Depth of simple worlds by ray casting, and a base that drives through them behind the guard."""

import math
from dataclasses import dataclass, field

import numpy as np

from embodied_nav.frames import Velocity
from embodied_nav.geometry import T_LINK_OPTICAL, Camera, pose2d
from embodied_nav.planning import CollisionGuard
from embodied_nav.robot import RobotProfile

ROBOT = RobotProfile()
CAMERA = Camera.from_hfov(160, 120, math.pi / 2)
NARROW = Camera(160, 120, 140.0, 140.0, 79.5, 59.5)  # sees the floor from 1.5 m on only


@dataclass
class World:
    """Boxes (x0, y0, z0, x1, y1, z1) on floors (x0, x1, z at x0, slope); where there is no floor there is nothing."""

    boxes: list = field(default_factory=list)
    floors: list = field(default_factory=lambda: [(-50.0, 50.0, 0.0, 0.0)])
    far: float = 10.0

    def depth(self, T_world_camera, camera=CAMERA):
        """HxW float32, m along the optical axis; NaN where nothing is in reach."""
        rays = camera.rays().astype(np.float64) @ T_world_camera[:3, :3].T
        o = T_world_camera[:3, 3]
        best = np.full(rays.shape[:2], np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            for x0, x1, z0, slope in self.floors:
                t = (z0 + slope * (o[0] - x0) - o[2]) / (rays[..., 2] - slope * rays[..., 0])
                x = o[0] + t * rays[..., 0]
                best = np.where((t > 0) & (x >= x0) & (x < x1), np.minimum(best, t), best)
            for box in self.boxes:
                a, b = (np.array(box[:3]) - o) / rays, (np.array(box[3:]) - o) / rays
                near, far = np.nanmax(np.minimum(a, b), axis=-1), np.nanmin(np.maximum(a, b), axis=-1)
                best = np.where((near <= far) & (near > 0.01), np.minimum(best, near), best)
        best[best > self.far] = np.nan
        return best.astype(np.float32)

    def gap(self, x, y, radius=ROBOT.footprint_radius):
        """m between the footprint and the nearest box."""
        gaps = [math.inf]
        for x0, y0, _, x1, y1, _ in self.boxes:
            gaps.append(math.hypot(max(x0 - x, 0.0, x - x1), max(y0 - y, 0.0, y - y1)) - radius)
        return min(gaps)


def mount(height=0.85, pitch=0.15, forward=0.10):
    """T_base_camera of a camera on a mast."""
    return RobotProfile(camera_height=height, camera_pitch=pitch, camera_forward=forward).T_base_camera()


def level_mount(height=0.85, forward=0.1):
    """The same frame as a link's: x ahead, z up."""
    T = mount(height, 0.0, forward) @ np.linalg.inv(T_LINK_OPTICAL)
    return T


@dataclass
class Drive:
    """What became of a drive.

    Attributes:
        x, y: where it ended. least_gap: m to the nearest box. standing: s that it stood. reasons: all the guard gave.
    """

    x: float
    y: float
    least_gap: float
    standing: float
    reasons: set
    speeds: list
    guard: CollisionGuard


def drive(
    world,
    spoil=None,
    wish=(0.5, 0.0),
    seconds=8.0,
    goal=math.inf,
    T=None,
    T_told=None,
    camera=CAMERA,
    start=(0.0, 0.0, 0.0),
    seed=0,
):
    """Drives with a constant wish until ``goal`` (x), depth at 10 Hz and commands at 20 Hz.

    Args:
        spoil: (depth, s since the start, pose, rng) -> depth as the sensor gives it.
        T: the true mount. T_told: what TF says of it.
    """
    T = ROBOT.T_base_camera() if T is None else T
    guard, rng = CollisionGuard(robot=ROBOT), np.random.default_rng(seed)
    x, y, yaw = start
    gap, standing, reasons, speeds = math.inf, 0.0, set(), []
    for k in range(int(seconds * 20)):
        pose = pose2d(x, y, yaw)
        if k % 2 == 0:
            depth = world.depth(pose @ T, camera)
            if spoil is not None:
                depth = spoil(depth, k / 20, (x, y, yaw), rng).astype(np.float32)
            guard.observe_depth(int((k + 1) * 5e7), depth, camera, T if T_told is None else T_told, pose)
        v, reason = guard.filter(Velocity(*wish), pose)
        reasons.add(reason)
        speeds.append(v.linear)
        standing += 0.05 * (abs(v.linear) < 0.01)
        x += v.linear * math.cos(yaw + v.angular * 0.025) * 0.05
        y += v.linear * math.sin(yaw + v.angular * 0.025) * 0.05
        yaw += v.angular * 0.05
        gap = min(gap, world.gap(x, y))
        if x >= goal:
            break
    return Drive(x, y, gap, standing, reasons - {""}, speeds, guard)
