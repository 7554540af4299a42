"""What a depth image says of places: in view, hidden, seen to be empty. Knows nothing of voxels.

Frusta are those of pinhole cameras; a point is in view inside the image, before the far limit.
"""

from __future__ import annotations

import numpy as np

from ..frames import MemoryObject
from ..geometry import Camera, invert

#: A place is empty if this share of it is in view and this share of that is seen through.
IN_VIEW, THROUGH = 0.6, 0.8
#: Points of a box along each side, within this part of it.
_POINTS, _INNER = 3, 0.6


def is_empty(o: MemoryObject, depth: np.ndarray, camera: Camera, T: np.ndarray, margin: float, noise: float) -> bool:
    """Whether a frame looks through the place of an object.

    Args:
        depth: HxW float32 m, NaN invalid. T: 4x4, map from optical frame. margin: m. noise: m a squared metre of depth.
    """
    steps = np.linspace(-0.5, 0.5, _POINTS) * _INNER
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    points = (o.position + grid * np.maximum(o.extent, margin)) @ invert(T)[:3, :3].T + invert(T)[:3, 3]
    z = points[:, 2]
    if (z > margin).sum() < IN_VIEW * len(z):
        return False
    z = np.where(z > margin, z, np.nan)
    with np.errstate(invalid="ignore"):
        u = np.floor(camera.fx * points[:, 0] / z + camera.cx + 0.5)
        v = np.floor(camera.fy * points[:, 1] / z + camera.cy + 0.5)
        inside = (u >= 0) & (u < depth.shape[1]) & (v >= 0) & (v < depth.shape[0])
    d = depth[v[inside].astype(np.int64), u[inside].astype(np.int64)]
    seen = d > 0
    through = d[seen] > z[inside][seen] + 2 * margin + noise * d[seen] ** 2
    return bool(seen.sum() >= IN_VIEW * len(z) and through.mean() >= THROUGH)
