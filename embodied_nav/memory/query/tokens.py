"""The memory as a sequence for models: the most useful voxels of a view as features with position codes.

Knows no models. The code is the absolute 3D sinusoidal one that learned 3D maps concatenate to their cells' features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ..voxels.keys import unpack_array
from ..voxels.packing import columns
from ..voxels.store import VoxelStore
from ..voxels.voxel_features import decode

#: Longest wave of a position code, in voxels over 2 pi, as in the transformer's.
_LONGEST = 10000.0


class Tokens(NamedTuple):
    """N voxels, most useful first: ``features`` (N x D float32), ``codes`` (N x C float32), ``positions`` (N x 3
    float32, m, map)."""

    features: np.ndarray
    codes: np.ndarray
    positions: np.ndarray

    def sequence(self) -> np.ndarray:
        """N x (D + C) float32, each feature followed by its code."""
        return np.concatenate([self.features, self.codes], axis=1)


def position_code(positions: np.ndarray, dim: int, voxel_size: float) -> np.ndarray:
    """Sines and cosines of N x 3 positions (m): N x dim float32.

    Each axis has a third of the components, first sines, then cosines, of p / voxel_size * w with w from 1 down to
    nearly 1 / 10,000 in equal ratios.

    Raises:
        InputError: ``dim`` is no multiple of 6 above 0.
    """
    if dim <= 0 or dim % 6:
        raise InputError(f"a position code of {dim} components: give a multiple of 6")
    count = dim // 6
    waves = _LONGEST ** (-np.arange(count) / count)
    angles = np.asarray(positions, np.float64)[:, :, None] / voxel_size * waves
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=2).reshape(len(positions), dim).astype(np.float32)


def select_tokens(store: VoxelStore, rows: np.ndarray, k: int, voxel_size: float, code_dim: int) -> Tokens:
    """The k most useful of some voxels that have features; fewer where there are not so many.

    Useful is what is well known and says something of its own: w / (1 + w) of a feature's weight w, times its cosine
    distance from the mean of all. Space is shared out first: of each cell of a grid as fine as k cells allow the most
    useful voxel, then the most useful of the rest.

    Args:
        rows: (N,) int64.

    Raises:
        InputError: the store holds no features.
    """
    if not store.feature_dim:
        raise InputError("this memory holds no features: no tokens; set feature_dim")
    weights = store.arrays.feature_weight[rows]
    rows, weights = rows[weights > 0], weights[weights > 0]
    features = decode(store.feature_table[rows])
    score = weights / (1 + weights) * _distinctness(features)
    # Equal ones in order of place: rows are given out in order of time.
    order = np.lexsort((store.rows["key"][rows], -score))
    chosen = _spread(unpack_array(store.rows["key"][rows[order]]), k)
    best = order[chosen]
    positions = columns(store, rows[best], voxel_size)[0]
    return Tokens(features[best], position_code(positions, code_dim, voxel_size), positions)


def _distinctness(features: np.ndarray) -> np.ndarray:
    """1 less the cosine with the mean direction, N float32."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    mean = unit.mean(0) if len(unit) else np.zeros(features.shape[1], np.float32)
    return 1 - unit @ (mean / max(float(np.linalg.norm(mean)), 1e-12))


def _spread(voxels: np.ndarray, k: int) -> np.ndarray:
    """Indices of at most k of N x 3 voxels, best first as they are given: first one of each cube, then the rest."""
    if len(voxels) <= k or k <= 0:
        return np.arange(min(len(voxels), max(k, 0)))
    voxels, side = voxels - voxels.min(0), 1
    while True:
        side *= 2
        first = np.sort(np.unique(voxels // side, axis=0, return_index=True)[1])
        if len(first) <= k:
            break
    rest = np.setdiff1d(np.arange(len(voxels)), first)[: k - len(first)]
    return np.sort(np.concatenate([first, rest]))
