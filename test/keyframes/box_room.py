"""A box room with textured walls, ray-cast in numpy: colour, depth and true poses for tests without a simulator."""

import numpy as np

from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import T_LINK_OPTICAL, Camera, pose2d

HALF = np.array([3.0, 4.0, 1.25])  # half size of the room, m; the camera stands at its middle height


def texture(seed: int = 0, size: int = 256) -> np.ndarray:
    """Random blocks at three scales: corners for ORB at any distance."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size, 3))
    for block in (4, 16, 64):
        image += np.kron(rng.uniform(0, 85, (size // block, size // block, 3)), np.ones((block, block, 1)))
    return image


TEXTURES = [texture(seed) for seed in range(6)]


def camera_pose(x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    return pose2d(x, y, yaw) @ T_LINK_OPTICAL


def room_frame(stamp: int, camera: Camera, T: np.ndarray, textured: bool = True, depth: bool = True) -> RGBDFrame:
    """The room as a camera at pose T sees it."""
    rays = camera.rays().astype(np.float64) @ T[:3, :3].T
    origin = T[:3, 3]
    with np.errstate(divide="ignore"):
        t = (np.sign(rays) * HALF - origin) / rays
    axis = t.argmin(-1)
    z = t.min(-1)
    hit = origin + rays * z[..., None]
    color = np.full((camera.height, camera.width, 3), 128, np.uint8)
    if textured:
        for k in range(3):
            for side in (0, 1):
                mask = (axis == k) & ((hit[..., k] > 0) == bool(side))
                uv = np.delete(hit[mask], k, axis=1)
                u, v = (np.floor(uv * 60).astype(int) % 256).T
                color[mask] = TEXTURES[2 * k + side][u, v].astype(np.uint8)
    return RGBDFrame(stamp, camera, T, color, z.astype(np.float32) if depth else None)
