"""Label votes: what perception says of a keyframe's pixels, counted into the voxels they hit.

A class is one thing told apart from others, with the label and colour that it is taken for; class 0 is "nothing". A
voxel gets one vote a keyframe, for the class of most of its pixels, with that observation's confidence. Knows nothing
of objects.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...frames import ObjectObservation, SemanticDelta
from ...geometry import Camera, invert
from ..voxels.fusion import NO_VOXEL, key_of_number, make_caster, row_voxels
from ..voxels.keys import NO_KEY, block_key, hash_key
from ..voxels.store import CLOCK, VoxelStore, centroids, find_block, find_row, table_bits

Class = tuple[str, str]


class ClassTable:
    """Numbers of what is told apart (instances), each with the (label, colour) it is taken for now; 0 is ("", "").

    Attributes:
        names: (label, colour) by number.
        merged: by number, the one that it was merged into; its own where it was not.
    """

    def __init__(self, names: list[Class] | None = None, merged: list[int] | None = None) -> None:
        self.names: list[Class] = list(names or [("", "")])
        self.merged: list[int] = list(range(len(self.names))) if merged is None else list(merged)

    def new(self, label: str, color: str) -> int:
        """Another number; 0 for an empty label or beyond 32,767."""
        if not label or len(self.names) > np.iinfo(np.int16).max:
            return 0
        self.names.append((label, color))
        self.merged.append(len(self.merged))
        return len(self.names) - 1

    def rename(self, number: int, label: str, color: str) -> None:
        """Takes an instance for something else."""
        self.names[number] = (label, color)

    def merge(self, number: int, into: int) -> None:
        """Notes that two instances are one; votes for the first are the second's from then on."""
        self.merged = [into if m == number else m for m in self.merged]

    def roots(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (N int16) with those merged replaced by what they were merged into."""
        return np.array(self.merged, np.int16)[numbers]


def segments_of(delta: SemanticDelta, depth: np.ndarray, camera: Camera, T: np.ndarray) -> np.ndarray:
    """HxW uint16 object numbers (from 1) of a delta: its own segments, or pixels inside the objects' 3D boxes.

    Where boxes overlap the smaller object wins.
    """
    if delta.segments is not None:
        return np.ascontiguousarray(delta.segments, dtype=np.uint16)
    out = np.zeros(depth.shape, np.uint16)
    points = camera.unproject(depth).astype(np.float64) @ T[:3, :3].T + T[:3, 3]
    order = sorted(range(len(delta.objects)), key=lambda i: -float(np.prod(delta.objects[i].extent)))
    for i in order:
        o: ObjectObservation = delta.objects[i]
        out[(np.abs(points - o.position) <= np.asarray(o.extent) / 2).all(-1)] = i + 1
    return out


def count_votes(
    store: VoxelStore,
    depth: np.ndarray,
    segments: np.ndarray,
    camera: Camera,
    T: np.ndarray,
    voxel_size: float,
    near: float,
    far: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per voxel of the store that a labelled image hits: its row, the number of most of its pixels, that share.

    Args:
        segments: HxW uint16. Other arguments as in :meth:`fusion.FrameHasher.__call__`.

    Returns:
        rows (N int64), segment numbers (N int64), shares (N float64).
    """  # fmt: skip
    K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    depth = np.ascontiguousarray(depth, np.float32)
    bits = 16
    while True:
        pairs, counts, n = _count_pairs(
            store.arrays, depth, segments, K, np.ascontiguousarray(T, np.float64), voxel_size, np.float32(near),
            np.float32(far), bits,
        )  # fmt: skip
        if n >= 0:
            break
        bits += 1
    # By row, in the order of their first pixels; the numbers are unique, so that the fastest sort will do.
    order = np.sort((pairs[:n] >> 16) * max(n, 1) + np.arange(n)) % max(n, 1)
    return _most(pairs[order], counts[order])


@njit(cache=True, nogil=True)
def _most(pairs, counts):
    """Of each row's pairs, ordered by row, the one counted most (the last of several): row, number, share."""
    n = 0
    rows, numbers, shares = np.empty(pairs.size, np.int64), np.empty(pairs.size, np.int64), np.empty(pairs.size)
    begin = 0
    while begin < pairs.size:
        row, best, total, end = pairs[begin] >> 16, begin, 0, begin
        while end < pairs.size and pairs[end] >> 16 == row:
            total += counts[end]
            if counts[end] >= counts[best]:
                best = end
            end += 1
        rows[n], numbers[n], shares[n] = row, pairs[best] & 0xFFFF, counts[best] / total
        n, begin = n + 1, end
    return rows[:n], numbers[:n], shares[:n]


@njit(cache=True, nogil=True)
def _count_pairs(store, depth, segments, K, T, voxel_size, near, far, bits):
    """Counts the pixels of an image (HxW float32 m, segments HxW uint16) by row of their voxel and segment number.

    Returns:
        pairs (row << 16 | segment, int64) and their counts (int64), the first n of them; n, -1 where 2^bits slots are
        too few.
    """
    height, width = depth.shape
    caster = make_caster(width, 0, 1, K, T, voxel_size, near, far)
    z, xz, voxels = np.empty(width), np.empty(width), np.empty(width)
    slots = np.full(1 << bits, -1, np.int32)
    pairs, counts = np.empty(1 << (bits - 1), np.int64), np.zeros(1 << (bits - 1), np.int64)
    mask, table = slots.size - 1, table_bits(store)
    n = 0
    last, row = NO_VOXEL, np.int64(-1)
    last_pair, slot = np.int64(-1), np.int64(0)
    # Neighbours mostly share voxels: the pixel before, and the one above.
    above, rows_above = np.full(width, NO_VOXEL), np.full(width, np.int64(-1))
    for v in range(height):
        row_voxels(caster, depth[v], np.float32(1), (v - K[3]) / K[1], z, xz, voxels)
        for u in range(width):
            if voxels[u] == NO_VOXEL:
                continue
            if voxels[u] != last:
                last = voxels[u]
                if last == above[u]:
                    row = rows_above[u]
                else:
                    key = key_of_number(last, caster.base)
                    row = find_row(store, key, table) if key != NO_KEY else np.int64(-1)
            above[u], rows_above[u] = last, row
            if row < 0:
                continue
            pair = (row << 16) | np.int64(segments[v, u])
            if pair == last_pair:
                counts[slot] += 1
                continue
            h = hash_key(pair, bits)
            while slots[h] >= 0 and pairs[slots[h]] != pair:
                h = (h + 1) & mask
            if slots[h] < 0:
                if n == pairs.size:
                    return pairs, counts, -1
                slots[h] = n
                pairs[n] = pair
                n += 1
            last_pair, slot = pair, np.int64(slots[h])
            counts[slot] += 1
    return pairs, counts, n


def cast_votes(store: VoxelStore, rows: np.ndarray, classes: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Adds one vote each to N rows; returns the classes (from 1) that won or lost a voxel.

    Args:
        rows: N int64. classes: N int16. votes: N float32, above 0.
    """
    store.tick()
    largest = max(classes.max(initial=0), store.arrays.labels[: len(store.rows)].max(initial=0))
    touched = np.zeros(int(largest) + 1, np.bool_)
    _cast(store.arrays, rows, classes.astype(np.int16), votes.astype(np.float32), touched)
    touched[0] = False
    return np.flatnonzero(touched)


@njit(cache=True, nogil=True)
def _cast(store, rows, classes, votes, touched):
    """Adds one vote each to N rows (Misra and Gries with two counters), and sets ``touched`` (bool, by class) for the
    classes that won or lost a voxel. classes: N int16. votes: N float32."""
    bits = table_bits(store)
    for i in range(rows.size):
        r, c, v = rows[i], classes[i], votes[i]
        row = store.rows[r]
        row.votes += v
        if row.votes_a > 0 and row.class_a == c:
            row.votes_a += v
        elif row.votes_b > 0 and row.class_b == c:
            row.votes_b += v
        elif row.votes_a <= 0:
            row.class_a, row.votes_a = c, v
        elif row.votes_b <= 0:
            row.class_b, row.votes_b = c, v
        else:
            out = min(v, row.votes_a, row.votes_b)
            row.votes_a -= out
            row.votes_b -= out
            if v > out and row.votes_a <= 0:
                row.class_a, row.votes_a = c, v - out
            elif v > out:
                row.class_b, row.votes_b = c, v - out
        store.block_clock[find_block(store, block_key(row.key), bits)] = store.counts[CLOCK]
        label = row.class_a if row.votes_a >= row.votes_b else row.class_b
        if label != store.labels[r]:
            touched[label] = True
            touched[store.labels[r]] = True
            store.labels[r] = label


def votes_in_frame(store: VoxelStore, rows: np.ndarray, voxel_size: float, T_map_cloud: np.ndarray) -> np.ndarray:
    """Nx3 float32 centroids of rows in a keyframe's frame."""
    p = centroids(store.arrays, rows, voxel_size)
    T = invert(T_map_cloud)
    return (p @ T[:3, :3].T + T[:3, 3]).astype(np.float32)


def move_votes(store: VoxelStore, rows: np.ndarray, old: int, new: int) -> None:
    """Votes of N rows (int64) for one class become another's."""
    store.tick()
    _move(store.arrays, rows, np.int16(old), np.int16(new))


@njit(cache=True, nogil=True)
def _move(store, rows, old, new):
    """Votes of N rows (int64) for class ``old`` become votes for ``new`` (int16); labels follow."""
    bits = table_bits(store)
    for i in range(rows.size):
        r = rows[i]
        row = store.rows[r]
        if row.votes_a > 0 and row.class_a == old:
            row.class_a = new
        if row.votes_b > 0 and row.class_b == old:
            row.class_b = new
        if row.votes_a > 0 and row.votes_b > 0 and row.class_a == row.class_b:
            row.votes_a += row.votes_b
            row.class_b, row.votes_b = 0, 0.0
        store.labels[r] = row.class_a if row.votes_a >= row.votes_b else row.class_b
        store.block_clock[find_block(store, block_key(row.key), bits)] = store.counts[CLOCK]
