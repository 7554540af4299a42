"""Anchors of TensorFlow's SSD on MobileNet, and the boxes that are coded by them. Knows nothing of networks.

Six grids of cells over the image, the finest first (Liu et al., "SSD: single shot multibox detector", ECCV 2016, sec.
2.2). The finest has three small anchors a cell, the others six: five aspect ratios at the grid's scale, and a square
between its scale and the next grid's.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

#: Cells along an edge are the image's edge by these strides, rounded up.
_STRIDES = (16, 32, 64, 128, 256, 512)
#: Scale of the finest and of the coarsest grid, as a share of the image.
_SMALLEST, _LARGEST = 0.2, 0.95
#: (aspect ratio, scale) of the finest grid's anchors.
_FINEST = ((1.0, 0.1), (2.0, 0.2), (0.5, 0.2))
_ASPECTS = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)
#: Box codes are multiplied by this: centre, size.
_CENTER, _SIZE = 10.0, 5.0


@lru_cache(maxsize=4)
def anchors(edge: int) -> np.ndarray:
    """Nx4 float64: centre y, centre x, height, width of each anchor, as shares of a square image (``edge``: px)."""
    steps = len(_STRIDES) - 1
    scales = [_SMALLEST + (_LARGEST - _SMALLEST) * k / steps for k in range(len(_STRIDES))] + [1.0]
    found = []
    for k, stride in enumerate(_STRIDES):
        between = math.sqrt(scales[k] * scales[k + 1])
        shapes = _FINEST if k == 0 else (*((a, scales[k]) for a in _ASPECTS), (1.0, between))
        sizes = np.array([(s / math.sqrt(a), s * math.sqrt(a)) for a, s in shapes])
        cells = math.ceil(edge / stride)
        middles = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(middles, middles, indexing="ij")
        centers = np.repeat(np.stack([y.ravel(), x.ravel()], axis=1), len(sizes), axis=0)
        found.append(np.hstack([centers, np.tile(sizes, (cells * cells, 1))]))
    made = np.concatenate(found)
    made.setflags(write=False)
    return made


def decode(codes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Boxes (Nx4: u0, v0, u1, v1 as shares of the image) from codes (Nx4: y, x, height, width) of anchors (Nx4)."""
    center = codes[:, :2] / _CENTER * of[:, 2:] + of[:, :2]
    half = of[:, 2:] * np.exp(codes[:, 2:] / _SIZE) / 2.0
    return np.hstack([(center - half)[:, ::-1], (center + half)[:, ::-1]])
