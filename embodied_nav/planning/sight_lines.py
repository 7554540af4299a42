"""Lines of sight over a map of heights. Knows nothing of cameras and of objects."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def clear_lines(tops, eyes, points, own):
    """Whether nothing on a map is in the way between eyes and points.

    Args:
        tops: HxW float32, m above the floor up to which a cell blocks the view; 0 is open.
        eyes: Nx3 float64, points: Mx3 float64; x and y in cells from the map's corner, z in m.
        own: 2x2 float64, the lower and the upper corner (x, y) in cells of a rectangle in which nothing blocks.

    Returns:
        NxM bool. What lies outside of the map blocks nothing.
    """
    height, width = tops.shape
    out = np.ones((eyes.shape[0], points.shape[0]), dtype=np.bool_)
    for i in range(eyes.shape[0]):
        for k in range(points.shape[0]):
            dx, dy, dz = points[k, 0] - eyes[i, 0], points[k, 1] - eyes[i, 1], points[k, 2] - eyes[i, 2]
            n = int(1.5 * np.sqrt(dx * dx + dy * dy)) + 1
            for j in range(n):
                t = (j + 0.5) / n
                x, y = eyes[i, 0] + t * dx, eyes[i, 1] + t * dy
                if own[0, 0] <= x <= own[1, 0] and own[0, 1] <= y <= own[1, 1]:
                    continue
                c, r = int(np.floor(x)), int(np.floor(y))
                if 0 <= r < height and 0 <= c < width and tops[r, c] > eyes[i, 2] + t * dz:
                    out[i, k] = False
                    break
    return out
