"""Whether a place was seen empty before something stood there, by the depth that clouds keep. Knows no objects."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...geometry import invert
from .local_clouds import LocalCloud, View

#: A place was empty if at least so many of its points were in view and this share of those was seen through.
_POINTS, _THROUGH = 8, 0.7
#: Points looked at of one thing, at most.
_SAMPLE = 64


def seen_through(clouds: Iterable[LocalCloud], points: np.ndarray, before: int, margin: float, reach: float) -> int:
    """When (ns) a place was last seen empty, by the newest frames that views stand for; 0 where it never was.

    Args:
        points: (N, 3) m in map, of what stands there now. before: ns; later views do not count.
        margin: m that depth must pass a point by. reach: m, the farthest depth.
    """
    points = points[:: -(-len(points) // _SAMPLE)] if len(points) else points
    if len(points) < _POINTS:
        return 0
    middle, newest = points.mean(0), 0
    for cloud in clouds:
        if np.linalg.norm(cloud.T_map_cloud[:3, 3] - middle) > 2 * reach:
            continue
        for view in cloud.views:
            if newest < view.stamp < before and _through(view, cloud.T_map_cloud @ view.T, points, margin, reach):
                newest = view.stamp
    return newest


def _through(view: View, T: np.ndarray, points: np.ndarray, margin: float, reach: float) -> bool:
    R, c, (h, w) = invert(T), view.camera, view.depth.shape
    x, y, z = R[:3, :3] @ points.T + R[:3, 3:]
    ahead = (z > margin) & (z < reach)
    u = np.floor(c.fx * x[ahead] / z[ahead] + c.cx + 0.5).astype(np.int64)
    v = np.floor(c.fy * y[ahead] / z[ahead] + c.cy + 0.5).astype(np.int64)
    inside = (u >= 0) & (u < w) & (v >= 0) & (v < h)
    depth = view.depth[v[inside], u[inside]] / 1000.0
    seen, z = depth > 0, z[ahead][inside]
    return int(seen.sum()) >= _POINTS and float((depth > z + margin)[seen].mean()) >= _THROUGH
