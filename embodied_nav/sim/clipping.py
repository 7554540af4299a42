"""Clips polygons at planes across an axis, compiled. Knows no mesh and no grid."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def clip(polygon, n, axis, level, above, out):
    """Clips a polygon of n corners (nx3) at a plane across an axis into ``out``; returns its number of corners."""
    m = 0
    for i in range(n):
        j = (i + 1) % n
        a, b = polygon[i, axis] - level, polygon[j, axis] - level
        if not above:
            a, b = -a, -b
        if a >= 0.0:
            out[m] = polygon[i]
            m += 1
        if (a > 0.0 and b < 0.0) or (a < 0.0 and b > 0.0):
            t = a / (a - b)
            for k in range(3):
                out[m, k] = polygon[i, k] + t * (polygon[j, k] - polygon[i, k])
            m += 1
    return m
