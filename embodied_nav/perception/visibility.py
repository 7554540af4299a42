"""Whether map points are visible, occluded or free space in a depth image. Knows nothing of objects."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..frames import RGBDFrame
from ..geometry import invert

#: Verdicts of :func:`visibility`.
OUTSIDE, HERE, HIDDEN, THROUGH = 0, 1, 2, 3


def visibility(points: np.ndarray, frame: RGBDFrame, margin: float = 0.15, radius: int = 1) -> np.ndarray:
    """Classifies each point against a frame's depth.

    Args:
        points: Nx3 float, map.
        frame: with depth.
        margin: m (at least 5% of the depth) by which depths of different surfaces differ.
        radius: neighbourhood (px) in which a matching surface is searched, so that rounding does not make thin objects
            count as free space.

    Returns:
        N int8: ``OUTSIDE`` (out of view or without depth), ``HERE`` (a surface is at the point), ``HIDDEN`` (occluded),
        ``THROUGH`` (all depth around is clearly behind the point).
    """
    camera = frame.camera
    k = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    return _visibility(
        np.ascontiguousarray(points, dtype=np.float32),
        np.ascontiguousarray(frame.depth, dtype=np.float32),
        k,
        invert(np.asarray(frame.T_map_camera, dtype=np.float64)),
        float(margin),
        int(radius),
    )


@njit(cache=True, nogil=True)
def _visibility(points, depth, k, T, margin, radius):
    """Kernel of :func:`visibility`: ``T`` camera from map, ``k`` fx, fy, cx, cy; N int8 verdicts."""
    height, width = depth.shape
    verdict = np.zeros(len(points), np.int8)
    for i in range(len(points)):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        zc = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        if not zc > 0.05:
            continue
        uf = np.floor((T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / zc * k[0] + k[2] + 0.5)
        vf = np.floor((T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / zc * k[1] + k[3] + 0.5)
        if not (0 <= uf < width and 0 <= vf < height):
            continue
        u, v = int(uf), int(vf)
        if not depth[v, u] > 0.0:
            continue
        tolerance = max(margin, 0.05 * zc)
        nearer = here = False
        for vv in range(max(0, v - radius), min(height, v + radius + 1)):
            for uu in range(max(0, u - radius), min(width, u + radius + 1)):
                d = depth[vv, uu]
                if d > 0.0:
                    if abs(d - zc) <= tolerance:
                        here = True
                    elif d < zc:
                        nearer = True
        verdict[i] = 1 if here else (2 if nearer else 3)
    return verdict
