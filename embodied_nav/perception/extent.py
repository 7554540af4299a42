"""Centre and size of a thing, from points on its surface. Knows nothing of how it was recognised."""

from __future__ import annotations

import numpy as np

#: Percent of the points that are left out at either end of each axis: at a silhouette depth may be the background's.
_TRIM = 3.0


def center_and_size(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box around a thing's points, along the axes of their frame.

    Args:
        points: Nx3 float, m, at least one.

    Returns:
        (3,) float64 centre and (3,) float64 edges, m.
    """
    low, high = np.percentile(points, (_TRIM, 100.0 - _TRIM), axis=0).astype(np.float64)
    return (low + high) / 2.0, high - low
