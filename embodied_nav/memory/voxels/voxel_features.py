"""Feature rows: one a voxel, in bf16 or float32, pooled over frames. Knows nothing of what the features mean.

A frame brings its features as a grid of patches. Each voxel of the frame takes one patch, the one under its mean point:
nothing is scattered pixel by pixel, so that a frame costs a few thousand rows and not a few hundred thousand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload

from ...errors import InputError
from ...geometry import Camera, invert
from .fusion import SUM_N, SUM_X, SUM_Y, SUM_Z, FrameVoxels
from .keys import block_key, unpack
from .store import CLOCK, VoxelStore, find_block, table_bits


class PatchGrid(NamedTuple):
    """A grid of patches over an image: the image's width and height, pixels; columns and rows of patches."""

    width: int
    height: int
    columns: int
    rows: int


class FeatureHits(NamedTuple):
    """The features that one frame gave, kept in local clouds so that a map that is made again gets them.

    Attributes:
        points: (N, 3) float32 m, mean points of the voxels. patches: (N,) int32, rows of ``grid``.
        weights: (N,) float32, above 0. grid: (P, D) of the store's type, bf16 as uint16.
    """

    points: np.ndarray
    patches: np.ndarray
    weights: np.ndarray
    grid: np.ndarray


def encode(values: np.ndarray) -> np.ndarray:
    """bf16 bits (uint16) of float32 values, rounded to nearest, ties to even; NaN stays NaN."""
    values = np.ascontiguousarray(values, np.float32)
    bits = np.empty(values.shape, np.uint16)
    _encode(values.reshape(-1).view(np.uint32), bits.reshape(-1))
    return bits


def decode(bits: np.ndarray) -> np.ndarray:
    """float32 values of bf16 bits (uint16); float32 stays as it is."""
    if bits.dtype == np.float32:
        return bits
    return (np.asarray(bits, np.uint32) << np.uint32(16)).view(np.float32)


def check_grid(grid: np.ndarray, dim: int) -> np.ndarray:
    """A frame's features as contiguous float32.

    Raises:
        InputError: not (h, w, D) of the memory's D, empty, or not finite.
    """
    grid = np.ascontiguousarray(grid, np.float32)
    if dim == 0:
        raise InputError("this memory holds no features; set feature_dim to their number of components")
    if grid.ndim != 3 or grid.shape[2] != dim or not grid.size:
        raise InputError(f"features are {grid.shape}, expected (rows, columns, {dim}); set feature_dim to their size")
    if not np.isfinite(grid).all():
        raise InputError("features are not finite; leave the frame's features out")
    return grid


def fuse_frame(
    store: VoxelStore,
    voxels: FrameVoxels,
    rows: np.ndarray,
    weights: np.ndarray,
    grid: np.ndarray,
    camera: Camera,
    T: np.ndarray,
    voxel_size: float,
    pooling: str,
) -> FeatureHits:
    """Gives the voxels of a frame its features.

    Args:
        voxels: of the frame. rows: (N,) int64, theirs in the store, -1 for none. weights: (N,) float32, above 0.
        grid: (h, w, D) float32 over the whole image, as :func:`check_grid` returns it. T: 4x4, map from optical frame.

    Returns:
        What was given, points in map.
    """
    K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    size = PatchGrid(camera.width, camera.height, grid.shape[1], grid.shape[0])
    points, patches = _patches(voxels.keys, voxels.sums, invert(np.asarray(T, np.float64)), voxel_size, K, size)
    flat = grid.reshape(-1, grid.shape[2])
    stored = flat if store.feature_type == "f32" else encode(flat)
    add(store, rows, patches, weights, stored, pooling)
    given = rows >= 0
    return FeatureHits(points[given], patches[given], weights[given], stored)


def add(
    store: VoxelStore, rows: np.ndarray, patches: np.ndarray, weights: np.ndarray, grid: np.ndarray, pooling: str
) -> None:
    """Pools row ``patches[i]`` of ``grid`` into the feature of row ``rows[i]`` of the store; -1 is left out.

    Args:
        weights: (N,) float32, above 0. grid: (P, D) of the store's type. pooling: "mean" (weighted) or "max".
    """
    _add(store.feature_table, store.arrays.feature_weight, rows, patches, weights, grid, pooling == "max")


def subtract(store: VoxelStore, rows: np.ndarray, patches: np.ndarray, weights: np.ndarray, grid: np.ndarray) -> None:
    """Undoes :func:`add` of a mean, up to rounding; a row whose weight is used up is cleared."""
    _subtract(store.feature_table, store.arrays.feature_weight, rows, patches, weights, grid)


def clear(store: VoxelStore, rows: np.ndarray) -> None:
    """Makes rows have no feature."""
    store.feature_table[rows] = 0
    store.arrays.feature_weight[rows] = 0


def touch(store: VoxelStore, rows: np.ndarray) -> None:
    """Marks the blocks of rows (N int64, -1 for none) as changed now: what only gives features changes no voxel."""
    store.tick()
    _touch(store.arrays, rows)


def widen(bits):
    """float32 of a stored component."""
    return bits


def _narrow(value, like):
    """A float32 as the component type of ``like``."""
    return value


@overload(widen, inline="always")
def _compiled_widen(bits):
    """What :func:`widen` is in a kernel, by the stored type."""
    if bits == types.uint16:
        return lambda bits: np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)
    return lambda bits: bits


@overload(_narrow, inline="always")
def _compiled_narrow(value, like):
    """What :func:`_narrow` is in a kernel, by the stored type."""
    if like == types.uint16:
        return lambda value, like: _to_bf16(value)
    return lambda value, like: value


@njit(cache=True, nogil=True, inline="always")
def _rounded(bits):
    """bf16 bits of a float32's bits, not of a NaN's: to nearest, ties to even."""
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(cache=True, nogil=True, inline="always")
def _to_bf16(value):
    """bf16 bits (uint16) of a finite float32."""
    return _rounded(np.float32(value).view(np.uint32))


@njit(cache=True, nogil=True)
def _encode(floats, out):
    """bf16 bits (N uint16) of the bits of N float32 (N uint32)."""
    for i in range(out.size):
        magnitude = floats[i] & np.uint32(0x7FFFFFFF)
        out[i] = np.uint16(0x7FC0) if magnitude > np.uint32(0x7F800000) else _rounded(floats[i])


@njit(cache=True, nogil=True)
def _patches(keys, sums, R, cell, K, size):
    """Mean points (N x 3 float32, map) and patch numbers (N int32) of a frame's N voxels (keys, N x 8 sums).

    Args:
        R: 4x4 optical frame from map. K: fx, fy, cx, cy. size: a :class:`PatchGrid`.
    """
    points, patches = np.empty((keys.size, 3), np.float32), np.empty(keys.size, np.int32)
    for e in range(keys.size):
        ix, iy, iz = unpack(keys[e])
        n = sums[e, SUM_N]
        gx, gy, gz = ix * cell + sums[e, SUM_X] / n, iy * cell + sums[e, SUM_Y] / n, iz * cell + sums[e, SUM_Z] / n
        points[e, 0], points[e, 1], points[e, 2] = gx, gy, gz
        x = R[0, 0] * gx + R[0, 1] * gy + R[0, 2] * gz + R[0, 3]
        y = R[1, 0] * gx + R[1, 1] * gy + R[1, 2] * gz + R[1, 3]
        z = R[2, 0] * gx + R[2, 1] * gy + R[2, 2] * gz + R[2, 3]
        column = int(np.floor((K[0] * x / z + K[2] + 0.5) * size.columns / size.width))
        row = int(np.floor((K[1] * y / z + K[3] + 0.5) * size.rows / size.height))
        patches[e] = min(max(row, 0), size.rows - 1) * size.columns + min(max(column, 0), size.columns - 1)
    return points, patches


@njit(cache=True, nogil=True)
def _add(table, total, rows, patches, weights, grid, take_max):
    """See :func:`add`; table: rows x D features, total: their weights, both changed."""
    for i in range(rows.size):
        r = rows[i]
        if r < 0:
            continue
        old, new = table[r], grid[patches[i]]
        if total[r] == 0:
            old[:] = new
        elif take_max:
            for j in range(old.size):
                old[j] = _narrow(max(widen(old[j]), widen(new[j])), old[j])
        else:
            share = np.float32(weights[i] / (total[r] + weights[i]))
            for j in range(old.size):
                was = widen(old[j])
                old[j] = _narrow(was + (widen(new[j]) - was) * share, old[j])
        total[r] += weights[i]


@njit(cache=True, nogil=True)
def _touch(store, rows):
    """See :func:`touch`; rows: N int64."""
    bits = table_bits(store)
    for i in range(rows.size):
        if rows[i] >= 0:
            block = find_block(store, block_key(store.rows[rows[i]].key), bits)
            store.block_clock[block] = store.counts[CLOCK]


@njit(cache=True, nogil=True)
def _subtract(table, total, rows, patches, weights, grid):
    """See :func:`subtract`; table: rows x D features, total: their weights, both changed."""
    for i in range(rows.size):
        r = rows[i]
        if r < 0 or total[r] == 0:
            continue
        left = total[r] - weights[i]
        old, gone = table[r], grid[patches[i]]
        # What rounding leaves of a weight that was taken out in full is no observation.
        if left <= 1e-4 * total[r]:
            old[:] = 0
            total[r] = 0
            continue
        share = np.float32(weights[i] / left)
        for j in range(old.size):
            was = widen(old[j])
            old[j] = _narrow(was + (was - widen(gone[j])) * share, old[j])
        total[r] = left
