"""Connected voxels of one class, out of the store. Knows no objects."""

from __future__ import annotations

import itertools

import numpy as np
from numba import njit

from ..voxels.keys import NO_KEY, block_key, pack, slot_in_block, unpack
from ..voxels.store import VoxelStore, centroids, find_block, table_bits

#: Rows (N int64) and positions (N x 3 float64, m) of the voxels of one cluster.
Cluster = tuple[np.ndarray, np.ndarray]


def clusters(store: VoxelStore, classes: set[int], voxel_size: float) -> list[tuple[int, list[Cluster]]]:
    """(class, its clusters), largest first, of those of some classes that have voxels; 26 neighbours connect."""
    wanted = np.zeros(max(classes) + 1, np.bool_)
    wanted[list(classes)] = True
    rows = _rows_of_classes(store.arrays.labels[: len(store.rows)], wanted)
    if not len(rows):
        return []
    parents = _connect(store.arrays, rows, np.full(len(store.rows), -1, np.int32))
    rows = rows[np.argsort(parents, kind="stable")]
    counts = np.unique(parents, return_counts=True)[1]
    points = centroids(store.arrays, rows, voxel_size)
    edges = np.concatenate([[0], np.cumsum(counts)])
    by_class: dict[int, list[Cluster]] = {}
    for a, b in itertools.pairwise(edges):
        by_class.setdefault(int(store.arrays.labels[rows[a]]), []).append((rows[a:b], points[a:b]))
    for parts in by_class.values():
        parts.sort(key=lambda c: (-len(c[0]), int(c[0][0])))
    return sorted(by_class.items())


@njit(cache=True, nogil=True)
def _rows_of_classes(labels, wanted):
    """Rows whose label (from 1) is wanted, ascending."""
    n = 0
    out = np.empty(labels.size, np.int64)
    for r in range(labels.size):
        out[n] = r  # overwritten by the next one unless it counts: no branch to be guessed wrong
        label = labels[r]
        n += label > 0 and label < wanted.size and wanted[label]
    return out[:n].copy()


@njit(cache=True, nogil=True, inline="always")
def _root(parents, i):
    """Root of index ``i`` in a forest (N int64, parent by index); shortens the way to it."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _connect(store, rows, place):
    """Root (index into rows) of each row's cluster: 26 neighbours, same label.

    ``place`` is scratch, -1 for every row. Only 13 of the 26 neighbours are looked up: each pair is met once.
    """
    bits = table_bits(store)
    parents = np.arange(rows.size)
    for i in range(rows.size):
        place[rows[i]] = i
    last_key, last_block = np.int64(NO_KEY), np.int64(-1)
    for i in range(rows.size):
        x, y, z = unpack(store.rows[rows[i]].key)
        label = store.labels[rows[i]]
        for k in range(14, 27):
            key = pack(x + k // 9 - 1, y + (k // 3) % 3 - 1, z + k % 3 - 1)
            bk = block_key(key)
            if bk != last_key:
                last_key, last_block = bk, find_block(store, bk, bits)
            if last_block < 0:
                continue
            r = np.int64(store.slot_rows[last_block, slot_in_block(key)]) - 1
            if r >= 0 and place[r] >= 0 and store.labels[r] == label:
                a, b = _root(parents, i), _root(parents, np.int64(place[r]))
                if a != b:
                    parents[max(a, b)] = min(a, b)
    for i in range(rows.size):
        parents[i] = _root(parents, i)
    return parents
