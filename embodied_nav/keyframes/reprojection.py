"""Overlap of two depth images by reprojection. Knows nothing of colour and of keyframes."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..geometry import Camera

#: Samples per image width: stride 16 at 640 columns.
_SAMPLES_PER_ROW = 40


def depth_overlap(
    depth: np.ndarray,
    camera: Camera,
    other_depth: np.ndarray,
    other_camera: Camera,
    T_other_camera: np.ndarray,
    tolerance: float = 0.08,
    min_share: float = 0.05,
) -> float:
    """Share of this view's surface that the other view saw.

    Samples a grid of about 40 columns. A point counts as seen if it projects into the other image and the depth there
    agrees; it is undecided if the other image has no depth there.

    Args:
        depth: HxW float32 m, NaN invalid.
        camera: of ``depth``.
        other_depth, other_camera: the other view, sizes may differ.
        T_other_camera: 4x4, the other optical frame from this one.
        tolerance: relative depth difference (at least 5 cm) up to which two depths are the same surface.
        min_share: least share of decided samples.

    Returns:
        0 to 1, or NaN if too few samples are decided (no depth, a lens cap).
    """
    stride = max(1, round(camera.width / _SAMPLES_PER_ROW))
    known, seen, samples = _seen(
        np.ascontiguousarray(depth, dtype=np.float32),
        _intrinsics(camera),
        np.ascontiguousarray(other_depth, dtype=np.float32),
        _intrinsics(other_camera),
        np.ascontiguousarray(T_other_camera, dtype=np.float64),
        stride,
        tolerance,
    )
    return seen / known if known >= max(1.0, min_share * samples) else float("nan")


def _intrinsics(camera: Camera) -> np.ndarray:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@njit(cache=True, nogil=True)
def _seen(depth, k, other, ko, T, stride, tolerance):
    """Counts decided samples (every ``stride``-th pixel), those seen in ``other``, and all. ``T``: other from this."""
    height, width = other.shape
    known = seen = samples = 0
    for v in range(stride // 2, depth.shape[0], stride):
        y = (v - k[3]) / k[1]
        for u in range(stride // 2, depth.shape[1], stride):
            samples += 1
            z = np.float64(depth[v, u])
            if not (z > 0.0 and z < np.inf):
                continue
            x = (u - k[2]) / k[0]
            zo = (T[2, 0] * x + T[2, 1] * y + T[2, 2]) * z + T[2, 3]
            if zo < 0.05:
                known += 1
                continue
            uo = np.floor(((T[0, 0] * x + T[0, 1] * y + T[0, 2]) * z + T[0, 3]) / zo * ko[0] + ko[2] + 0.5)
            vo = np.floor(((T[1, 0] * x + T[1, 1] * y + T[1, 2]) * z + T[1, 3]) / zo * ko[1] + ko[3] + 0.5)
            if uo < 0 or vo < 0 or uo >= width or vo >= height:
                known += 1
                continue
            d = np.float64(other[int(vo), int(uo)])
            if not (d > 0.0 and d < np.inf):
                continue
            known += 1
            if abs(d - zo) <= max(0.05, tolerance * zo):
                seen += 1
    return known, seen, samples
