"""Voxels by feature, box or view. Knows nothing of objects and of what features mean.

Searching by feature looks at 8-bit copies of the features first and compares the best few times as many as asked for by
the features themselves: memory bandwidth is what such a search costs. Boxes and views are found block by block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from ...errors import InputError
from ...geometry import invert, transform_points
from ..submaps.local_clouds import LocalCloud
from ..voxels.carving import block_in_view, view_planes
from ..voxels.keys import BLOCK_BITS, BLOCK_SIDE, BLOCK_VOXELS, first_voxel
from ..voxels.store import BLOCKS, VoxelStore, reserve
from ..voxels.voxel_features import widen
from .answering import Frustum

#: Candidates by 8-bit features for each voxel asked for, and the least.
_CANDIDATES, _LEAST_CANDIDATES = 4, 64
#: m, and m per m^2 of depth, that a point may lie behind or before what a view shows there.
_VISIBLE, _VISIBLE_FAR = 0.1, 0.02


class Found(NamedTuple):
    """Voxels by feature, best first: positions (k x 3 float32, m), cosines (k float32), the keyframe to look at each
    (k int64, -1 for none)."""

    positions: np.ndarray
    scores: np.ndarray
    keyframes: np.ndarray


class SearchIndex:
    """8-bit copies of a store's features; what changed since the last search is copied by the next one.

    Memory: feature_dim + 4 bytes a voxel.
    """

    def __init__(self) -> None:
        self._rows: np.ndarray | None = None

    def candidates(self, store: VoxelStore, feature: np.ndarray, count: int, rows: np.ndarray | None) -> np.ndarray:
        """Rows (int64) of about ``count`` voxels whose features are most like ``feature``, of all or of ``rows``."""
        self._refresh(store)
        query = np.rint(feature * (2047 / np.abs(feature).max())).astype(np.int16)
        heap, numbers = np.full(count, -np.inf, np.float32), np.full(count, -1, np.int64)
        weights = store.arrays.feature_weight
        if rows is None:
            _scan_all(self._codes, self._scales, weights, len(store.rows), query, heap, numbers)
        else:
            _scan(self._codes, self._scales, weights, rows, query, heap, numbers)
        return np.sort(numbers[numbers >= 0])

    def _refresh(self, store: VoxelStore) -> None:
        a = store.arrays
        if self._rows is not a.rows:  # another store, or one that was cleared
            self._rows, self._clock = a.rows, 0
            self._codes, self._scales = (
                reserve((len(a.rows), store.feature_dim), np.int8),
                reserve((len(a.rows),), "f4"),
            )
        clock = store.clock
        if clock != self._clock:
            changed = np.flatnonzero(a.block_clock[: store.blocks] > self._clock)
            _copy(store.feature_table, a.feature_weight, a.slot_rows, changed, self._codes, self._scales)
            self._clock = clock


def search(
    store: VoxelStore, feature: np.ndarray, k: int, index: SearchIndex | None, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (int64) and cosines (float32) of the k voxels whose features are most like one, best first.

    Args:
        feature: (D,). index: without one all features are compared, which takes some ten times the time and no memory.
        rows: (N,) int64, the voxels to look among; all by default.

    Raises:
        InputError: the store holds no features, or the feature does not fit, is not finite or zero.
    """
    feature = _checked(store, feature)
    if rows is not None:
        rows = rows[store.arrays.feature_weight[rows] > 0]
    if index is not None:
        rows = index.candidates(store, feature, max(_CANDIDATES * k, _LEAST_CANDIDATES), rows)
    elif rows is None:
        rows = np.flatnonzero(store.feature_weights > 0)
    scores = _cosines(store.feature_table, rows, feature)
    order = np.lexsort((store.rows["key"][rows], -scores))[:k]
    return rows[order], scores[order]


def _checked(store: VoxelStore, feature: np.ndarray) -> np.ndarray:
    feature = np.asarray(feature, np.float32).reshape(-1)
    if not store.feature_dim:
        raise InputError("this memory holds no features; ask by text or box")
    if len(feature) != store.feature_dim:
        raise InputError(f"the feature has {len(feature)} components, this memory's have {store.feature_dim}")
    length = float(np.linalg.norm(feature.astype(np.float64)))
    if not 0 < length < np.inf:
        raise InputError("the feature is zero or not finite; give a direction")
    return (feature / length).astype(np.float32)


def rows_in_box(store: VoxelStore, low: np.ndarray, high: np.ndarray, voxel_size: float) -> np.ndarray:
    """Rows (int64, ascending) of voxels with their centroid within [low, high] (3 each, m)."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return np.sort(_rows_in_box(store.arrays, low, high, voxel_size))


def rows_in_view(store: VoxelStore, frustum: Frustum, voxel_size: float, near: float = 0.0) -> np.ndarray:
    """Rows (int64, block by block) of voxels with their middle in view."""
    c = frustum.camera
    K = np.array([c.fx, c.fy, c.cx, c.cy])
    R = invert(np.asarray(frustum.T_map_camera, np.float64))
    return _rows_in_view(store.arrays, R, K, c.width, c.height, voxel_size, near, float(frustum.far))


def keyframes_showing(points: np.ndarray, clouds: Sequence[LocalCloud], reach: float) -> np.ndarray:
    """For each of N x 3 points (m) the keyframe that shows it from nearest, -1 where none does; (N,) int64.

    Args:
        reach: m, farther cameras are not asked.
    """
    points = np.asarray(points, np.float64)
    best, nearest = np.full(len(points), -1, np.int64), np.full(len(points), np.inf)
    for cloud in clouds:
        if cloud.keyframe_id < 0 or not cloud.views:
            continue
        view = cloud.views[0]
        T = cloud.T_map_cloud @ view.T
        if np.abs(points - T[:3, 3]).max(1).min(initial=np.inf) > reach:
            continue
        p, c = transform_points(invert(T), points), view.camera
        z = np.maximum(p[:, 2], 1e-6)
        u = np.floor(c.fx * p[:, 0] / z + c.cx + 0.5).astype(np.int64)
        v = np.floor(c.fy * p[:, 1] / z + c.cy + 0.5).astype(np.int64)
        inside = (p[:, 2] > 0) & (u >= 0) & (v >= 0) & (u < c.width) & (v < c.height)
        surface = view.depth[np.where(inside, v, 0), np.where(inside, u, 0)] / 1000.0
        seen = inside & (np.abs(surface - z) < _VISIBLE + _VISIBLE_FAR * z * z) & (z < nearest)
        best[seen], nearest[seen] = cloud.keyframe_id, z[seen]
    return best


@njit(cache=True, nogil=True)
def _copy(table, weights, slot_rows, blocks, codes, scales):
    """Fills ``codes`` (rows x D int8) and ``scales`` (rows float32) of the voxels of some blocks (N int64): 8-bit
    copies of their features, and what turns a product of codes into a cosine."""
    for b in blocks:
        for s in range(BLOCK_VOXELS):
            if slot_rows[b, s] == 0:
                continue
            r = np.uint64(slot_rows[b, s]) - np.uint64(1)
            scales[r] = 0.0
            if weights[r] > 0:
                largest = _largest(table[r])
                if largest > 0:
                    _encode(table[r], np.float32(127.0) / largest, codes[r])
                    scales[r] = largest / (np.float32(127.0) * np.sqrt(_square(table[r])))


# Loops of their own, each as the compiler makes vector code of it.


@njit(cache=True, nogil=True)
def _largest(feature):
    """Largest absolute value (float32) of a stored feature (D): floats without their sign are ordered like the integers
    of their bits."""
    out = np.int32(0)
    for j in range(np.uint64(feature.size)):
        bits = np.int32(np.float32(widen(feature[j])).view(np.int32) & np.int32(0x7FFFFFFF))
        out = np.int32(max(out, bits))
    return np.int32(out).view(np.float32)


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _square(feature):
    """Squared length (float32) of a stored feature (D)."""
    out = np.float32(0.0)
    for j in range(np.uint64(feature.size)):
        value = widen(feature[j])
        out += value * value
    return out


@njit(cache=True, nogil=True)
def _encode(feature, factor, code):
    """Fills ``code`` (D int8) with a stored feature (D) times a factor, rounded."""
    for j in range(np.uint64(feature.size)):
        code[j] = np.int8(np.rint(widen(feature[j]) * factor))


@njit(cache=True, nogil=True)
def _product(code, query):
    """Scalar product of D int8 and D int16 as int32; the compiler has an instruction for that as long as all sums are
    32-bit."""
    total = np.int32(0)
    for j in range(np.int32(query.size)):
        total += np.int32(np.int32(code[np.uint32(j)]) * np.int32(query[np.uint32(j)]))
    return np.int32(total)


@njit(cache=True, nogil=True)
def _keep(heap, numbers, score, r):
    """Puts a row's score in the place of the least in a heap (K float32, rows K int64) and moves it to where it
    belongs."""
    i, n = 0, heap.size
    while True:
        child = 2 * i + 1
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if child >= n or heap[child] >= score:
            break
        heap[i], numbers[i] = heap[child], numbers[child]
        i = child
    heap[i], numbers[i] = score, r


@njit(cache=True, nogil=True)
def _scan_all(codes, scales, weights, count, query, heap, numbers):
    """Keeps the best scores of the first ``count`` rows in a heap (K float32, K int64 rows). query: D int16."""
    for r in range(np.uint64(count)):
        score = np.float32(_product(codes[r], query)) * scales[r]
        if score > heap[0] and weights[r] > 0:
            _keep(heap, numbers, score, np.int64(r))


@njit(cache=True, nogil=True)
def _scan(codes, scales, weights, rows, query, heap, numbers):
    """As :func:`_scan_all`, of N rows (int64)."""
    for r in rows:
        score = np.float32(_product(codes[np.uint64(r)], query)) * scales[r]
        if score > heap[0] and weights[r] > 0:
            _keep(heap, numbers, score, r)


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _cosines(table, rows, feature):
    """Cosines (float32) with a feature of length 1; 0 for a feature of zeros."""
    out = np.zeros(rows.size, np.float32)
    for i in range(rows.size):
        product, square = 0.0, 0.0
        for j in range(feature.size):
            value = np.float64(widen(table[rows[i], j]))
            product += value * feature[j]
            square += value * value
        if square > 0:
            out[i] = product / np.sqrt(square)
    return out


@njit(cache=True, nogil=True)
def _rows_in_box(store, low, high, voxel_size):
    """Rows (int64, block by block) of the voxels with their centroid within [low, high] (3 float64 each, m)."""
    side = BLOCK_SIDE * voxel_size
    out = np.empty(1024, np.int64)
    n = 0
    for b in range(store.counts[BLOCKS]):
        if store.block_live[b] == 0:
            continue
        x, y, z = _block_corner(store.block_keys[b], voxel_size)
        apart = x > high[0] or y > high[1] or z > high[2]
        if apart or x + side < low[0] or y + side < low[1] or z + side < low[2]:
            continue
        while n + BLOCK_VOXELS > out.size:
            out = np.concatenate((out, np.empty_like(out)))
        for s in range(BLOCK_VOXELS):
            r = np.int64(store.slot_rows[b, s]) - 1
            if r >= 0:
                row = store.rows[r]
                # To float32 first: what is given out is compared.
                px = np.float32(x + (s >> (2 * BLOCK_BITS)) * voxel_size + row.x)
                py = np.float32(y + ((s >> BLOCK_BITS) & (BLOCK_SIDE - 1)) * voxel_size + row.y)
                pz = np.float32(z + (s & (BLOCK_SIDE - 1)) * voxel_size + row.z)
                inside = low[0] <= px <= high[0] and low[1] <= py <= high[1] and low[2] <= pz <= high[2]
                out[n] = r
                n += inside
    return out[:n]


@njit(cache=True, nogil=True, inline="always")
def _block_corner(key, voxel_size):
    """Lower corner of a block, m."""
    x, y, z = first_voxel(key)
    return x * voxel_size, y * voxel_size, z * voxel_size


@njit(cache=True, nogil=True)
def _rows_in_view(store, R, K, width, height, voxel_size, near, far):
    """Rows (int64, block by block) of the voxels with their middle in an image and in range (near, far: m).

    R: 4x4 optical frame from map. K: fx, fy, cx, cy.
    """
    planes = view_planes(K, width, height)
    seen, total = np.empty(store.counts[BLOCKS], np.int64), 0
    blocks = 0
    for b in range(store.counts[BLOCKS]):
        if store.block_live[b] > 0 and block_in_view(store.block_keys[b], R, planes, voxel_size, near, far):
            seen[blocks] = b
            blocks += 1
            total += store.block_live[b]
    out, n = np.empty(total + 1, np.int64), 0
    half = 0.5 * voxel_size
    for b in seen[:blocks]:
        x0, y0, z0 = _block_corner(store.block_keys[b], voxel_size)
        left = store.block_live[b]
        for s in range(BLOCK_VOXELS):
            r = np.int64(store.slot_rows[b, s]) - 1
            if r < 0:
                continue
            gx = x0 + half + (s >> (2 * BLOCK_BITS)) * voxel_size
            gy = y0 + half + ((s >> BLOCK_BITS) & (BLOCK_SIDE - 1)) * voxel_size
            gz = z0 + half + (s & (BLOCK_SIDE - 1)) * voxel_size
            x = R[0, 0] * gx + R[0, 1] * gy + R[0, 2] * gz + R[0, 3]
            y = R[1, 0] * gx + R[1, 1] * gy + R[1, 2] * gz + R[1, 3]
            z = R[2, 0] * gx + R[2, 1] * gy + R[2, 2] * gz + R[2, 3]
            out[n] = r
            n += _in_view(x, y, z, K, width, height, near, far)
            left -= 1
            if left == 0:
                break
    return out[:n]


@njit(cache=True, nogil=True, inline="always")
def _in_view(x, y, z, K, width, height, near, far):
    """Whether a point of the optical frame lies in the image and in range, without a division."""
    u, v = K[0] * x + (K[2] + 0.5) * z, K[1] * y + (K[3] + 0.5) * z
    return (z > near) & (z <= far) & (u >= 0) & (v >= 0) & (u < width * z) & (v < height * z)
