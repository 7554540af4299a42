"""What the compact network gets: colour and geometry of one RGB-D image, eight channels. Knows nothing of torch.

Geometry is given relative to gravity and the floor, so that the network needs to learn neither the camera's tilt nor
its height: a table top is level and 0.75 m high from everywhere.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...geometry import Camera

#: Red, green, blue (-1 to 1); inverse depth (1/m); height over the floor (2 m); normal (right, forward, up). The last
#: five are 0 where there is no depth.
CHANNELS = 8
#: Nearest depth (m) that inverse depth can express.
_NEAREST = 0.25
#: Distance (pixels) of the neighbours from which a normal is computed, and the largest step in depth between them,
#: relative to depth.
_REACH, _STEP = 2, 0.15


def network_camera(camera: Camera, width: int) -> Camera:
    """The camera of the network's images: ``camera`` with its image resized to ``width``, of the same aspect ratio.

    The height is even, since the network answers for every second row and column.
    """
    height = max(16, 2 * round(camera.height * width / camera.width / 2))
    sx, sy = width / camera.width, height / camera.height
    return Camera(
        width, height, camera.fx * sx, camera.fy * sy, (camera.cx + 0.5) * sx - 0.5, (camera.cy + 0.5) * sy - 0.5
    )


def resized(
    color: np.ndarray, depth: np.ndarray | None, width: int, height: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour (HxWx3 uint8) averaged and depth (HxW float32) picked, not mixed across edges, at the network's size."""
    import cv2

    size = (width, height)
    smaller = width <= color.shape[1] and height <= color.shape[0]
    color = cv2.resize(color, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return color, None if depth is None else nearest(depth.astype(np.float32), width, height)


def nearest(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image at another size without mixing pixels: the one at each new pixel's centre."""
    import cv2

    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def level_rotation(T_map_camera: np.ndarray, up: np.ndarray) -> np.ndarray:
    """3x3 float64, level frame from camera: x to the camera's right, y forward, z up, x and y level.

    Args:
        T_map_camera: 4x4.
        up: unit direction (3,) in map.
    """
    R = np.asarray(T_map_camera, dtype=np.float64)[:3, :3]
    right = np.cross(R[:, 2], up)
    if np.linalg.norm(right) < 0.05:  # it looks straight up or down: the image's right is level then
        right = R[:, 0] - (R[:, 0] @ up) * up
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up]) @ R


def make_inputs(
    color: np.ndarray, depth: np.ndarray | None, camera: Camera, R_level_camera: np.ndarray, camera_height: float
) -> np.ndarray:
    """The network's input.

    Args:
        color: HxWx3 uint8 RGB, of the network's size.
        depth: HxW float32 m along the optical axis, NaN or 0 invalid; None: there is none.
        camera: of these images (:func:`network_camera`).
        R_level_camera: 3x3 (:func:`level_rotation`).
        camera_height: m above the floor.

    Returns:
        8xHxW float32, see :data:`CHANNELS`.
    """
    inputs = np.zeros((CHANNELS, *color.shape[:2]), dtype=np.float32)
    inputs[:3] = color.transpose(2, 0, 1) * np.float32(2.0 / 255.0) - np.float32(1.0)
    if depth is not None:
        k = (camera.fx, camera.fy, camera.cx, camera.cy)
        _geometry(np.ascontiguousarray(depth, np.float32), k, np.asarray(R_level_camera), float(camera_height), inputs)
    return inputs


def entropy(logits: np.ndarray) -> np.ndarray:
    """hxw float32, nat: how undecided the probabilities of each cell are; logits: Cxhxw."""
    shifted = logits - logits.max(axis=0)
    weight = np.exp(shifted)
    total = weight.sum(axis=0)
    return np.log(total) - (weight * shifted).sum(axis=0) / total


@njit(cache=True, nogil=True, error_model="numpy")
def _geometry(depth, k, R, camera_height, out):
    """Fills channels 3 to 7 of ``out`` (8xHxW float32) from depth (HxW float32)."""
    height, width = depth.shape
    fx, fy, cx, cy = k
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if not z > 0.0:
                continue
            x, y = (u - cx) / fx * z, (v - cy) / fy * z
            up = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z
            out[3, v, u] = 1.0 / max(z, _NEAREST)
            out[4, v, u] = min(max(camera_height + up, -1.0), 3.0) * 0.5
            u0, u1 = max(u - _REACH, 0), min(u + _REACH, width - 1)
            v0, v1 = max(v - _REACH, 0), min(v + _REACH, height - 1)
            za, zb, zc, zd = depth[v, u0], depth[v, u1], depth[v0, u], depth[v1, u]
            if not (abs(za - zb) < _STEP * z and abs(zc - zd) < _STEP * z):  # NaN is refused, too
                continue
            ax = (u1 - cx) / fx * zb - (u0 - cx) / fx * za
            ay, az = (v - cy) / fy * (zb - za), zb - za
            bx, bz = (u - cx) / fx * (zd - zc), zd - zc
            by = (v1 - cy) / fy * zd - (v0 - cy) / fy * zc
            nx, ny, nz = by * az - bz * ay, bz * ax - bx * az, bx * ay - by * ax  # towards the camera
            norm = np.sqrt(nx * nx + ny * ny + nz * nz)
            if norm > 0.0:
                for r in range(3):
                    out[5 + r, v, u] = (R[r, 0] * nx + R[r, 1] * ny + R[r, 2] * nz) / norm
