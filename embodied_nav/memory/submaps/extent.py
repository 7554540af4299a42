"""Which blocks of the map a local cloud lies in, sees through, or could lie in. Knows clouds and poses, no map."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ...geometry import Camera
from ..config import MemoryConfig
from ..voxels.carving import Carver
from ..voxels.keys import BLOCK_BITS, OFFSET, block_key, block_numbers, pack
from .cells import CELL, middles
from .local_clouds import LocalCloud, view_points

#: Points of cells stand for all in a cell, pixels for themselves, up to rounding: voxels.
_CELL_SPARE, _PIXEL_SPARE = 0.5 * math.sqrt(3) * CELL, 0.01


def cloud_blocks(cloud: LocalCloud, T: np.ndarray, config: MemoryConfig) -> np.ndarray:
    """Sorted keys of the blocks that a cloud at T (4x4) touches, and few others."""
    size, parts = config.voxel_size, [np.zeros(0, np.int64)]
    if len(cloud.hits):
        p = middles(cloud.hits, size) @ T[:3, :3].T + T[:3, 3]
        parts.append(_blocks_of_points(np.ascontiguousarray(p.T), size, _CELL_SPARE))
    for view in (v for v in cloud.views if v.color is not None):
        points = view_points(view.depth, view.camera, T @ view.T, config.min_depth, config.max_depth)
        parts.append(_blocks_of_points(points, size, _PIXEL_SPARE))
    return np.unique(np.concatenate(parts))


@njit(cache=True, nogil=True)
def _blocks_of_points(points, voxel_size, spare):
    """Block keys, some of them repeated, of (3, N) points (m) and what lies within ``spare`` voxels along each axis."""
    out, p = np.empty(1024, np.int64), np.empty(3)
    n, last = 0, np.int64(-1)
    for i in range(points.shape[1]):
        for a in range(3):
            p[a] = points[a, i] / voxel_size
        low = block_key(pack(np.floor(p[0] - spare), np.floor(p[1] - spare), np.floor(p[2] - spare)))
        high = block_key(pack(np.floor(p[0] + spare), np.floor(p[1] + spare), np.floor(p[2] + spare)))
        if low == high == last:
            continue
        last = low if low == high else np.int64(-1)
        if n + 8 > out.size:
            out = np.concatenate((out, np.empty_like(out)))
        for k in range(8 if low != high else 1):
            a, b, c = ((k >> 2) * 2 - 1) * spare, (((k >> 1) & 1) * 2 - 1) * spare, ((k & 1) * 2 - 1) * spare
            out[n] = block_key(pack(np.floor(p[0] + a), np.floor(p[1] + b), np.floor(p[2] + c)))
            n += 1
    return out[:n]


def blocks_seen_through(
    cloud: LocalCloud, T: np.ndarray, known: np.ndarray, carver: Carver, config: MemoryConfig
) -> list[np.ndarray]:
    """Those of the ``known`` block keys in which the views of a cloud at T (4x4) could carve, view by view."""
    near = known[in_box(known, *cloud_box(cloud, T, config), config.voxel_size)]
    return [near[carver.reaches(near, v.depth, v.camera, T @ v.T, config.voxel_size)] for v in cloud.views]


def cloud_box(cloud: LocalCloud, T: np.ndarray, config: MemoryConfig) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (m, 3 float64 each) of all that a cloud at T (4x4) can have hit or seen through."""
    corners = [_frustum(v.camera, config.max_depth) @ v.T[:3, :3].T + v.T[:3, 3] for v in cloud.views]
    if len(cloud.hits):
        numbers = cloud.hits["cell"]
        low, high = numbers.min(0) * CELL * config.voxel_size, (numbers.max(0) + 1) * CELL * config.voxel_size
        corners.append(np.stack(np.meshgrid(*zip(low, high, strict=True)), -1).reshape(-1, 3))
    if not corners:
        return T[:3, 3].copy(), T[:3, 3].copy()
    p = np.concatenate(corners) @ T[:3, :3].T + T[:3, 3]
    return p.min(0) - config.voxel_size, p.max(0) + config.voxel_size


def _frustum(camera: Camera, far: float) -> np.ndarray:
    """5x3 corners (m, optical frame) of what a camera sees up to an optical depth."""
    u, v = np.array([-0.5, camera.width - 0.5]), np.array([-0.5, camera.height - 0.5])
    x, y = (u - camera.cx) / camera.fx * far, (v - camera.cy) / camera.fy * far
    return np.array([(0.0, 0.0, 0.0), *((a, b, far) for a in x for b in y)])


def in_box(blocks: np.ndarray, low: np.ndarray, high: np.ndarray, voxel_size: float) -> np.ndarray:
    """Which blocks (B keys) reach into a box (m)."""
    side = voxel_size * (1 << BLOCK_BITS)
    first, last = (np.floor(corner / side).astype(np.int64) + (OFFSET >> BLOCK_BITS) for corner in (low, high))
    at = block_numbers(blocks)
    return ((at >= first) & (at <= last)).all(1)
