"""Voxels out of the store in one pass: as columns, and as the points of a cloud message. Knows nothing of messages."""

from __future__ import annotations

import numpy as np
from numba import njit

from .keys import unpack
from .store import VoxelStore

#: A point as RViz and PCL read it: centroid in m, 0x00rrggbb, winning class, points.
POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<i4"), ("weight", "<f4")])


def columns(store: VoxelStore, rows: np.ndarray, voxel_size: float) -> tuple[np.ndarray, ...]:
    """Positions (N x 3 float32, m), colours (N x 3 uint8), weights (float32), labels (int32), last_seen (int64 ns).

    Args:
        rows: (N,) int64 of voxels that are there.
    """
    n = len(rows)
    out = (np.empty((n, 3), np.float32), np.empty((n, 3), np.uint8), np.empty(n, np.float32), np.empty(n, np.int32),
           np.empty(n, np.int64))  # fmt: skip
    _columns(store.arrays, np.asarray(rows, np.int64), voxel_size, *out)
    return out


def pack_points(
    positions: np.ndarray, colors: np.ndarray, labels: np.ndarray, weights: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """POINT of N x 3 float32 positions, N x 3 uint8 colours, N labels and N weights.

    Args:
        out: (N,) POINT to write into, instead of a new array.
    """
    out = np.empty(len(positions), POINT) if out is None else out
    _pack_points(
        np.ascontiguousarray(positions, np.float32), np.ascontiguousarray(colors, np.uint8),
        np.ascontiguousarray(labels, np.int32), np.ascontiguousarray(weights, np.float32), out,
    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _columns(store, rows, voxel_size, positions, colors, weights, labels, last_seen):
    """Fills the columns that :func:`columns` returns, N rows (int64)."""
    for i in range(rows.size):
        row = store.rows[rows[i]]
        x, y, z = unpack(row.key)
        positions[i, 0] = x * voxel_size + row.x
        positions[i, 1] = y * voxel_size + row.y
        positions[i, 2] = z * voxel_size + row.z
        colors[i, 0], colors[i, 1], colors[i, 2] = np.rint(row.r), np.rint(row.g), np.rint(row.b)
        weights[i], labels[i], last_seen[i] = row.weight, store.labels[rows[i]], row.last_seen


@njit(cache=True, nogil=True)
def _pack_points(positions, colors, labels, weights, out):
    """Fills ``out`` (N POINT) as :func:`pack_points` says."""
    for i in range(out.size):
        point = out[i]
        point.x, point.y, point.z = positions[i, 0], positions[i, 1], positions[i, 2]
        r, g, b = np.uint32(colors[i, 0]), np.uint32(colors[i, 1]), np.uint32(colors[i, 2])
        point.rgb = (r << np.uint32(16)) | (g << np.uint32(8)) | b
        point.label, point.weight = labels[i], weights[i]
