"""From a depth image to voxels: a frame-local hash finds the unique voxels, then each is upserted once.

Knows nothing of keyframes, labels or grids. One pass over the pixels computes positions in float64 row by row (the
compiler makes vector code of it) and joins runs of neighbouring pixels in the same voxel before any hashing: at 5 cm a
run is some ten pixels long.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..geometry import Camera
from .keys import NO_KEY, OFFSET, block_key, hash_key, pack, slot_in_block, unpack
from .store import CLOCK, REFUSED, Arrays, VoxelStore, add_row, find_or_add_block, table_bits

# Columns of ``sums``: sums over a voxel's points of position less the voxel's corner (m), colour, and their number.
SUM_X, SUM_R, SUM_N, SUM_COLUMNS = 0, 3, 6, 8


class Dedupe(NamedTuple):
    """Frame-local hash: ``slots`` (entry number, -1 empty), ``keys`` and ``sums`` (one an entry)."""

    slots: np.ndarray
    keys: np.ndarray
    sums: np.ndarray


def make_dedupe(bits: int) -> Dedupe:
    """A hash of 2^bits slots for half as many entries."""
    n = 1 << bits
    return Dedupe(np.empty(n, np.int32), np.empty(n // 2, np.int64), np.empty((n // 2, SUM_COLUMNS), np.float64))


class FrameVoxels(NamedTuple):
    """The unique voxels of one frame: N keys, N x 8 sums (see ``SUM_*``), and how many pixels were valid."""

    keys: np.ndarray
    sums: np.ndarray
    points: int


class FrameHasher:
    """Finds the unique voxels of depth images; keeps its buffers between frames."""

    def __init__(self, bits: int = 14) -> None:
        self._bits = bits
        self._dedupe = make_dedupe(bits)

    def __call__(
        self,
        depth: np.ndarray,
        color: np.ndarray | None,
        camera: Camera,
        T: np.ndarray,
        cell: float,
        near: float,
        far: float,
        stride: int = 1,
        phase: tuple[int, int] = (0, 0),
    ) -> FrameVoxels:
        """Unique cells of the pixels with depth in [near, far].

        Args:
            depth: HxW float32 m. color: HxWx3 uint8, or None (black).
            T: 4x4 float64, cells' frame from optical frame.
            cell: m. stride, phase: pixels (phase[0] + i * stride, phase[1] + j * stride) of (row, column) are used.

        Returns:
            Views into buffers that the next call overwrites.
        """
        depth = np.ascontiguousarray(depth, dtype=np.float32)
        color = _NO_COLOR if color is None else np.ascontiguousarray(color)
        T = np.ascontiguousarray(T, dtype=np.float64)
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        while True:
            entries, points = _unique(
                depth, color, K, T, cell, np.float32(near), np.float32(far), stride, phase[0], phase[1], self._dedupe,
                self._bits,
            )  # fmt: skip
            if entries >= 0:
                return FrameVoxels(self._dedupe.keys[:entries], self._dedupe.sums[:entries], points)
            self._bits += 1
            self._dedupe = make_dedupe(self._bits)


_NO_COLOR = np.zeros((0, 0, 3), np.uint8)


@njit(cache=True, nogil=True)
def column_rays(width, u_first, stride, K):
    """(u - cx) / fx of the used columns."""
    n = (width - u_first + stride - 1) // stride
    return (u_first + stride * np.arange(n) - K[2]) / K[0]


@njit(cache=True, nogil=True)
def row_keys(depth_row, u_first, stride, near, far, rays, y, T, cell, z, xz, keys):
    """Voxel keys of one image row, -1 where a pixel is not used, with z and ray * z in float64 for its sums.

    ``y`` is (v - cy) / fy. The operations and their order are those of T[:3, :3] @ p + T[:3, 3] with p unprojected in
    float64, divided by the cell and floored; the division is a multiplication, unless a quotient of this row comes so
    near to an integer that the two could differ.
    """
    for i in range(z.size):
        d = depth_row[u_first + i * stride]
        z[i] = np.float64(d) if (d >= near) & (d <= far) & (d > 0) else 0.0
    if _keys(z, rays, y, T, 1.0 / cell, xz, keys):
        _keys_by_division(z, rays, y, T, cell, keys)


@njit(cache=True, nogil=True)
def _keys(z, rays, y, T, scale, xz, keys):
    """Keys by multiplication; returns whether a quotient was too near to an integer for that."""
    limit = np.float64(OFFSET - 1)
    doubt = False
    for i in range(z.size):
        x = rays[i] * z[i]
        xz[i] = x
        qx = (T[0, 0] * x + T[0, 1] * (y * z[i]) + T[0, 2] * z[i] + T[0, 3]) * scale
        qy = (T[1, 0] * x + T[1, 1] * (y * z[i]) + T[1, 2] * z[i] + T[1, 3]) * scale
        qz = (T[2, 0] * x + T[2, 1] * (y * z[i]) + T[2, 2] * z[i] + T[2, 3]) * scale
        ix, iy, iz = np.floor(qx), np.floor(qy), np.floor(qz)
        inside = (z[i] > 0) & (abs(ix) < limit) & (abs(iy) < limit) & (abs(iz) < limit)
        edge = max(abs(qx - ix - 0.5), abs(qy - iy - 0.5), abs(qz - iz - 0.5))
        doubt |= inside & (edge > 0.5 - 1e-8)
        key = pack(np.int32(ix), np.int32(iy), np.int32(iz))
        keys[i] = key if inside else NO_KEY
    return doubt


@njit(cache=True, nogil=True)
def _keys_by_division(z, rays, y, T, cell, keys):
    for i in range(z.size):
        if keys[i] != NO_KEY:
            x = rays[i] * z[i]
            gx = T[0, 0] * x + T[0, 1] * (y * z[i]) + T[0, 2] * z[i] + T[0, 3]
            gy = T[1, 0] * x + T[1, 1] * (y * z[i]) + T[1, 2] * z[i] + T[1, 3]
            gz = T[2, 0] * x + T[2, 1] * (y * z[i]) + T[2, 2] * z[i] + T[2, 3]
            keys[i] = pack(np.int64(np.floor(gx / cell)), np.int64(np.floor(gy / cell)), np.int64(np.floor(gz / cell)))


@njit(cache=True, nogil=True, inline="always")
def _entry(dedupe, key, count, bits):
    """Entry number of a key, made where there is none (then equal to ``count``)."""
    mask = dedupe.slots.size - 1
    h = hash_key(key, bits)
    while True:
        e = dedupe.slots[h]
        if e < 0:
            dedupe.slots[h] = count
            return np.int64(count)
        if dedupe.keys[e] == key:
            return np.int64(e)
        h = (h + 1) & mask


@njit(cache=True, nogil=True)
def _unique(depth, color, K, T, cell, near, far, stride, v_first, u_first, dedupe, bits):
    """Fills ``dedupe``; returns (entries, points), entries -1 where it is too small."""
    height, width = depth.shape
    rays = column_rays(width, u_first, stride, K)
    n = rays.size
    z, xz = np.empty(n), np.empty(n)
    keys = np.empty(n, np.int64)
    colored = color.shape[0] == height
    dedupe.slots[:] = -1
    entries, points = 0, 0
    for v in range(v_first, height, stride):
        y = (v - K[3]) / K[1]
        row_keys(depth[v], u_first, stride, near, far, rays, y, T, cell, z, xz, keys)
        i = 0
        while i < n:
            key = keys[i]
            if key == NO_KEY:
                i += 1
                continue
            first = i
            sz, sxz = 0.0, 0.0
            r, g, b = 0, 0, 0
            while i < n and keys[i] == key:
                sz += z[i]
                sxz += xz[i]
                if colored:
                    c = color[v, u_first + i * stride]
                    r += c[0]
                    g += c[1]
                    b += c[2]
                i += 1
            count = i - first
            points += count
            e = _entry(dedupe, key, entries, bits)
            if e == entries:
                if entries + 1 >= dedupe.keys.size:
                    return -1, 0
                dedupe.keys[e] = key
                dedupe.sums[e, :] = 0.0
                entries += 1
            s = dedupe.sums[e]
            s[0] += sxz
            s[1] += y * sz
            s[2] += sz
            s[3] += r
            s[4] += g
            s[5] += b
            s[6] += count
    _to_offsets(dedupe, entries, T, cell)
    return entries, points


@njit(cache=True, nogil=True)
def _to_offsets(dedupe, entries, T, cell):
    """Sums of optical positions become sums of positions less the voxel's corner."""
    for e in range(entries):
        voxel = unpack(dedupe.keys[e])
        s = dedupe.sums[e]
        x, y, z = s[0], s[1], s[2]
        for k in range(3):
            s[k] = T[k, 0] * x + T[k, 1] * y + T[k, 2] * z + s[6] * (T[k, 3] - voxel[k] * cell)


def sighting_weights(voxels: FrameVoxels, position: np.ndarray, cell: float, near: float, full_points: float):
    """How much each voxel of a frame counts as seen, 0 to 1: less from afar and with few points.

    Args:
        position: (3,) of the camera, m. near: m. full_points: number of points that count fully.
    """
    return _sighting_weights(voxels.keys, voxels.sums, np.asarray(position, np.float64), cell, near, float(full_points))


@njit(cache=True, nogil=True)
def _sighting_weights(keys, sums, position, cell, near, full_points):
    out = np.empty(keys.size, np.float32)
    for e in range(keys.size):
        ix, iy, iz = unpack(keys[e])
        n = sums[e, 6]
        dx = ix * cell + sums[e, 0] / n - position[0]
        dy = iy * cell + sums[e, 1] / n - position[1]
        dz = iz * cell + sums[e, 2] / n - position[2]
        far = max(1.0, (dx * dx + dy * dy + dz * dz) / (near * near))
        out[e] = min(1.0, n / full_points) / far
    return out


class Upserted(NamedTuple):
    """What an upsert did: ``new`` voxels, keys of those whose evidence rose over the obstacle threshold, rows of all.

    Rows are int64, -1 for a voxel that was refused.
    """

    new: int
    raised: np.ndarray
    rows: np.ndarray


def upsert(
    store: VoxelStore,
    voxels: FrameVoxels,
    sightings: np.ndarray,
    stamps: np.ndarray,
    max_evidence: float,
    min_evidence: float,
) -> Upserted:
    """Adds one frame's voxels to the store.

    Args:
        sightings: N float32, added to the evidence. stamps: N int64 ns, or one for all.
    """
    store.make_room(len(voxels.keys))
    store.tick()
    raised, rows = np.empty(len(voxels.keys), np.int64), np.empty(len(voxels.keys), np.int64)
    new = _find_or_add(store.arrays, voxels.keys, rows)
    n = _fuse(
        store.arrays, rows, voxels.keys, voxels.sums, sightings, stamps, np.float32(max_evidence),
        np.float32(min_evidence), raised,
    )  # fmt: skip
    return Upserted(new, raised[:n], rows)


@njit(cache=True, nogil=True)
def _find_or_add(store: Arrays, keys, rows):
    """Rows of the keys, made where there are none, -1 where the store is full; returns how many are new.

    A pass of its own: the processor waits for many pages at once here, and for many rows at once in the next.
    """
    bits = table_bits(store)
    clock = store.counts[CLOCK]
    last_block_key, block = np.int64(NO_KEY), np.int64(-1)
    new = 0
    for e in range(keys.size):
        key = keys[e]
        bk = block_key(key)
        if bk != last_block_key:
            block = find_or_add_block(store, bk, bits)
            last_block_key = bk
        r = np.int64(-1)
        if block >= 0:
            r = np.int64(store.pages[block, slot_in_block(key)]) - 1
            if r < 0:
                r = add_row(store, block, key)
                new += r >= 0
        if r < 0:
            store.counts[REFUSED] += 1
        else:
            store.block_clock[block] = clock
        rows[e] = r
    return new


@njit(cache=True, nogil=True)
def _fuse(store: Arrays, rows, keys, sums, sightings, stamps, max_evidence, min_evidence, raised):
    """Adds the voxels to their rows; returns how many keys it put into ``raised``."""
    n_raised = 0
    for e in range(rows.size):
        if rows[e] < 0:
            continue
        row = store.rows[rows[e]]
        n = sums[e, 6]
        total = row.weight + n
        share = n / total
        row.x += (sums[e, 0] / n - row.x) * share
        row.y += (sums[e, 1] / n - row.y) * share
        row.z += (sums[e, 2] / n - row.z) * share
        row.r += (sums[e, 3] / n - row.r) * share
        row.g += (sums[e, 4] / n - row.g) * share
        row.b += (sums[e, 5] / n - row.b) * share
        row.weight = total
        row.last_seen = max(row.last_seen, stamps[e if stamps.size > 1 else 0])
        before = row.evidence
        row.evidence = min(max_evidence, before + sightings[e])
        if before < min_evidence <= row.evidence:
            raised[n_raised] = keys[e]
            n_raised += 1
    return n_raised
