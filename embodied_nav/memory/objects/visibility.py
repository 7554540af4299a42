"""What a depth image says of places: in view, hidden, seen to be empty. Knows nothing of voxels and objects.

Whether an object is gone is decided in ``index``, by its voxels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...geometry import Camera, invert

#: A place is empty if this share of it is in view and this share of that is seen through.
IN_VIEW, THROUGH = 0.6, 0.8
#: Where a thing's own points are known: so many of them must be in view, and this share of those be seen through.
_LEAST, _MOST = 8, 0.7
#: Points of a box along each side, within this part of it.
_POINTS, _INNER = 3, 0.6


def empty_places(
    middles: np.ndarray,
    extents: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    T: np.ndarray,
    margin: float,
    noise: float,
) -> np.ndarray:
    """Which boxes a frame sees through (N bool).

    Args:
        middles, extents: (N, 3) m, along the map's axes. depth: HxW float32 m, NaN invalid.
        T: 4x4, map from optical frame. margin: m. noise: m of further margin a squared metre of depth.
    """  # fmt: skip
    steps = np.linspace(-0.5, 0.5, _POINTS) * _INNER
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    points = np.asarray(middles)[:, None] + grid * np.maximum(extents, margin)[:, None]
    R = invert(T)
    points = points @ R[:3, :3].T + R[:3, 3]
    z = np.where(points[..., 2] > margin, points[..., 2], np.nan)
    with np.errstate(invalid="ignore"):
        u = np.floor(camera.fx * points[..., 0] / z + camera.cx + 0.5)
        v = np.floor(camera.fy * points[..., 1] / z + camera.cy + 0.5)
        inside = (u >= 0) & (u < depth.shape[1]) & (v >= 0) & (v < depth.shape[0])
        d = np.full(z.shape, np.nan)
        d[inside] = depth[v[inside].astype(np.int64), u[inside].astype(np.int64)]
        seen = (d > 0).sum(1)
        through = (d > z + 2 * margin + noise * d**2).sum(1)
    return (seen >= IN_VIEW * z.shape[1]) & (through >= THROUGH * seen)


def seen_through(points: np.ndarray, depth: np.ndarray, camera: Camera, T: np.ndarray, margin: float) -> bool:
    """Whether a frame sees through most of the points in its view.

    Args:
        points: (N, 3) float64 m in map. depth: hxw uint16 mm, 0 invalid. T: 4x4, map from optical frame. margin: m.
    """
    K = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float64)
    seen, through = _through(np.ascontiguousarray(points), depth, K, invert(T), margin)
    return seen >= _LEAST and through >= _MOST * seen


@njit(cache=True, nogil=True)
def _through(points, depth, K, R, margin):
    """How many points are in view where depth is known, and how many of these are seen through."""
    seen = through = 0
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        ahead = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z + R[2, 3]
        if ahead <= margin:
            continue
        u = np.floor(K[0] * (R[0, 0] * x + R[0, 1] * y + R[0, 2] * z + R[0, 3]) / ahead + K[2] + 0.5)
        v = np.floor(K[1] * (R[1, 0] * x + R[1, 1] * y + R[1, 2] * z + R[1, 3]) / ahead + K[3] + 0.5)
        if 0 <= u < depth.shape[1] and 0 <= v < depth.shape[0]:
            d = depth[int(v), int(u)] / 1000.0
            seen += d > 0
            through += d > ahead + margin
    return seen, through
