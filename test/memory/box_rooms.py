"""Rooms made of boxes, seen by exact ray casting: the truth that the memory's tests compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import T_LINK_OPTICAL, Camera, pose2d

CAMERA = Camera.from_hfov(160, 120, np.pi / 2)
HEIGHT, PITCH = 0.85, 0.15


@dataclass(frozen=True)
class Box:
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    color: tuple[int, int, int] = (128, 128, 128)
    id: int = 0


def two_rooms(door: float = 0.9) -> list[Box]:
    """A room 6 x 4 m, a wall across at x = 3 with a door, a table in the first half and a sofa in the second."""
    wall, t = 2.5, 0.1
    gap = (2.0 - door / 2, 2.0 + door / 2)
    return [
        Box((-1, -1, -0.1), (7, 5, 0.0), (150, 120, 90)),
        Box((-1, -1, wall), (7, 5, wall + 0.1), (240, 240, 240)),
        Box((-t, -t, 0), (0, 4 + t, wall)), Box((6, -t, 0), (6 + t, 4 + t, wall)),
        Box((-t, -t, 0), (6 + t, 0, wall)), Box((-t, 4, 0), (6 + t, 4 + t, wall)),
        Box((3 - t / 2, 0, 0), (3 + t / 2, gap[0], wall)), Box((3 - t / 2, gap[1], 0), (3 + t / 2, 4, wall)),
        Box((1.2, 3.0, 0.65), (2.2, 3.8, 0.75), (200, 150, 60), 1),
        Box((4.6, 0.1, 0.0), (5.8, 0.8, 0.7), (200, 30, 30), 2),
    ]  # fmt: skip


def camera_pose(x: float, y: float, yaw: float) -> np.ndarray:
    """4x4, map from optical frame, of a camera on a robot at (x, y, yaw)."""
    c, s = np.cos(PITCH), np.sin(PITCH)
    tilt = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, HEIGHT], [0, 0, 0, 1.0]])
    return pose2d(x, y, yaw) @ tilt @ T_LINK_OPTICAL


def render(boxes: list[Box], T: np.ndarray, stamp: int = 1, camera: Camera = CAMERA, noise=None) -> RGBDFrame:
    """The frame that a camera at T sees; ``noise`` is a random generator for range noise like a depth camera's."""
    rays = camera.rays().astype(np.float64) @ T[:3, :3].T
    depth = np.full(rays.shape[:2], np.inf)
    color, ids = np.zeros((*depth.shape, 3), np.uint8), np.zeros(depth.shape, np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for b in boxes:
            t = np.stack([(np.array(b.low) - T[:3, 3]) / rays, (np.array(b.high) - T[:3, 3]) / rays])
            enter, leave = t.min(0).max(-1), t.max(0).min(-1)
            hit = (enter < leave) & (enter > 0) & (enter < depth)
            depth[hit], color[hit], ids[hit] = enter[hit], b.color, b.id
    depth[~np.isfinite(depth)] = np.nan
    if noise is not None:
        disparity = np.round(8 * 35.13 / depth + noise.normal(0, 0.5, depth.shape))
        depth = 8 * 35.13 / disparity
    return RGBDFrame(stamp, camera, T, color, depth.astype(np.float32), ids)


def walk(n: int = 40) -> list[tuple[float, float, float]]:
    """Poses through both rooms: around in the first, through the door, around in the second."""
    turn = [(1.0, 1.5, a) for a in np.linspace(0, 2 * np.pi, n // 3)]
    cross = [(x, 2.0, 0.0) for x in np.linspace(1.2, 4.0, n // 3)]
    return turn + cross + [(4.2, 2.0, a) for a in np.linspace(0, 2 * np.pi, n // 3)]
