"""Turns keyframe clouds into voxels of a map under other poses. Knows the clouds' cells, not the map."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from .fusion import SUM_COLUMNS, FrameVoxels
from .keys import hash_key, pack, unpack
from .local_clouds import CELL, LEVELS, SUB


@intrinsic
def _ones(typingctx, value):
    """How many bits of a uint64 are set."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def regroup(
    hits: np.ndarray, T: np.ndarray, voxel_size: float, near_range: float, full_points: float
) -> tuple[FrameVoxels, np.ndarray, np.ndarray]:
    """A cloud's hits as unique voxels of another frame.

    Args:
        hits: (N,) HIT of a cloud. T: 4x4, that frame from the cloud's.
        near_range, full_points: as in :func:`fusion.sighting_weights`, by which sightings are counted.

    Returns:
        Voxels in order of first appearance, their sightings (float32) and stamps.
    """
    T = np.ascontiguousarray(T, np.float64)
    bits = max(10, len(hits).bit_length())
    while True:
        slots, room = np.full(1 << bits, -1, np.int32), 1 << (bits - 1)
        keys, sums = np.empty(room, np.int64), np.empty((room, SUM_COLUMNS))
        frames, stamps = np.empty(room, np.uint8), np.empty(room, np.int64)
        n = _regroup(hits, hits["details"], T, voxel_size, slots, bits, keys, sums, frames, stamps)
        if n >= 0:
            break
        bits += 1
    sightings = _sightings(keys[:n], sums[:n], frames[:n], T[:3, 3].copy(), voxel_size, near_range, full_points)
    return FrameVoxels(keys[:n], sums[:n], int(sums[:n, 6].sum())), sightings, stamps[:n]


@njit(cache=True, nogil=True)
def _beyond(n, size, table):
    """For one axis of voxels, across a cell: which sub-cells lie beyond the next face, by how near that is.

    Args:
        n: (3,) the axis in the cell's frame. size: of a sub-cell, voxels.
        table: LEVELS x 4 masks, filled: sub-cells beyond the face with their middle; with all parts' middles; with
            any. Entry k is for a cell whose lowest part lies k / LEVELS beyond the last face.

    Returns:
        That lowest part's middle from the cell's corner, voxels.
    """
    reach = 0.25 * size * (abs(n[0]) + abs(n[1]) + abs(n[2]))
    offsets = np.empty(SUB**3)
    for b in range(offsets.size):
        offsets[b] = (n[0] * (b // 16 + 0.5) + n[1] * (b // 4 % 4 + 0.5) + n[2] * (b % 4 + 0.5)) * size
    lowest = offsets.min() - reach
    order = np.argsort(-offsets)
    for kind in range(3):
        shift = (0.0, -reach, reach)[kind] - lowest
        done, mask = 0, np.uint64(0)
        for k in range(LEVELS):
            face = 1.0 - (k + 0.5) / LEVELS
            while done < order.size and offsets[order[done]] + shift >= face:
                mask |= np.uint64(1) << np.uint64(order[done])
                done += 1
            table[k, kind] = mask
    return lowest


@njit(cache=True, nogil=True)
def _number_masks():
    """Masks of the sub-cells whose number along x, y, z has its lower, its higher bit set: 3 x 2."""
    out = np.zeros((3, 2), np.uint64)
    for b in range(SUB**3):
        for axis in range(3):
            number = (b >> (4 - 2 * axis)) & 3
            for bit in range(2):
                if (number >> bit) & 1:
                    out[axis, bit] |= np.uint64(1) << np.uint64(b)
    return out


@njit(cache=True, nogil=True)
def _parts_beyond(n, size, table):
    """As :func:`_beyond`, for the parts of a sub-cell of ``size`` voxels.

    Returns:
        How far the lowest part's middle lies from the highest's.
    """
    offsets = np.empty(8)
    for p in range(8):
        offsets[p] = (n[0] * (p >> 2) + n[1] * ((p >> 1) & 1) + n[2] * (p & 1)) * 0.5 * size
    offsets -= offsets.min()
    reach = offsets.max()
    for k in range(table.size):
        table[k] = 0
        for p in range(8):
            if offsets[p] >= (k + 0.5) / table.size * reach:
                table[k] |= np.uint8(1 << p)
    return reach


@njit(cache=True, nogil=True)
def _part_inside(possible, details, i, side, low, offsets, reach, tables):
    """Whether a part of one of some sub-cells was hit that lies in the voxel on a side of the faces.

    Args:
        possible: of those that were hit in cell ``i``. side: as in :func:`_regroup`.
        low: (3,) of the cell's lowest part from the voxels' lower faces, voxels.
        offsets: 3 x 64, of each sub-cell's lowest part from that. reach, tables: of :func:`_parts_beyond`, by axis.
    """
    one = np.uint64(1)
    while possible:
        lowest = possible & (~possible + one)
        possible ^= lowest
        b = _ones(lowest - one)
        inside = np.int64(details[i, b])
        for a in range(3):
            left = 1.0 - low[a] - offsets[a, b]
            beyond = np.int64(255)
            if left > 0:
                k = np.int64(left / reach[a] * LEVELS) if left < reach[a] else LEVELS
                beyond = np.int64(tables[a, k]) if k < LEVELS else 0
            inside &= beyond if (side >> (2 - a)) & 1 else ~beyond
        if inside:
            return True
    return False


@njit(cache=True, nogil=True, inline="always")
def _find(key, slots, bits, keys):
    """The slot that holds a voxel's entry, or the empty one where it belongs."""
    mask, one = np.uint64(slots.size - 1), np.uint64(1)
    h = np.uint64(hash_key(key, bits))
    e = np.int64(slots[h])
    while e >= 0 and keys[np.uint64(e)] != key:
        h = (h + one) & mask
        e = np.int64(slots[h])
    return h


@njit(cache=True, nogil=True, inline="always")
def _add(hit, inside, share, numbers, e, sums, frames, stamps):
    """Adds the sub-cells ``inside`` of a cell, points ``share`` of them, to an entry; in the cloud's frame."""
    each = share / np.float64(_ones(inside))
    for a in range(3):
        ones = _ones(inside & numbers[a, 0]) + np.uint64(2) * _ones(inside & numbers[a, 1])
        sums[e, a] += hit.cell[a] * share + (np.float64(ones) * each + 0.5 * share) * (1.0 / SUB)
        sums[e, 3 + a] += hit.rgb[a] * share
    sums[e, 6] += share
    frames[e] = max(frames[e], hit.frames)
    stamps[e] = max(stamps[e], hit.last_seen)


@njit(cache=True, nogil=True)
def _regroup(hits, details, T, voxel_size, slots, bits, keys, sums, frames, stamps):
    """Fills keys, sums, frames and stamps; returns how many voxels there are, -1 for no room.

    First all that is certain; then what only the parts of sub-cells can tell is asked where it would be a voxel's only
    sign, a few of a hundred.
    """
    cell, size = CELL, CELL / SUB
    tables = np.empty((3, LEVELS, 4), np.uint64)
    part_tables, offsets = np.empty((3, LEVELS), np.uint8), np.empty((3, SUB**3))
    lowest, reach, low = np.empty(3), np.empty(3), np.empty(3)
    for a in range(3):
        lowest[a] = _beyond(T[a, :3], size, tables[a])
        reach[a] = max(_parts_beyond(T[a, :3], size, part_tables[a]), 1e-9)
        for b in range(SUB**3):
            offsets[a, b] = (T[a, 0] * (b >> 4) + T[a, 1] * ((b >> 2) & 3) + T[a, 2] * (b & 3)) * size
        offsets[a] -= offsets[a].min()
    numbers = _number_masks()
    base, row, last = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3, np.int64)
    known = np.empty(8, np.int64)
    last[:] = np.iinfo(np.int64).min
    n, waiting = 0, 0
    doubts, doubt_keys, lows = np.empty((4096, 3), np.uint64), np.empty(4096, np.int64), np.empty((4096, 4))
    zero = np.uint64(0)
    for i in range(hits.size):
        hit = hits[i]
        mask = np.uint64(hit.mask)
        cx, cy, cz = hit.cell[0] * cell, hit.cell[1] * cell, hit.cell[2] * cell
        for a in range(3):
            first = T[a, 0] * cx + T[a, 1] * cy + T[a, 2] * cz + T[a, 3] / voxel_size + lowest[a]
            base[a] = np.int64(np.floor(first))
            low[a] = first - base[a]
            row[a] = min(np.int64(low[a] * LEVELS), LEVELS - 1)
        if base[0] != last[0] or base[1] != last[1] or base[2] != last[2]:
            last[:] = base
            known[:] = -1
        i0, i1, i2 = row[0], row[1], row[2]
        mx, my, mz = tables[0, i0, 0], tables[1, i1, 0], tables[2, i2, 0]
        ax, ay, az = tables[0, i0, 1], tables[1, i1, 1], tables[2, i2, 1]
        px, py, pz = tables[0, i0, 2], tables[1, i1, 2], tables[2, i2, 2]
        each = hit.weight / np.float64(_ones(mask))
        for side in range(8):
            # Of three faces many cut no cell: whole sides are left out early.
            possible = mask & (px if side & 4 else ~ax)
            if possible == zero:
                continue
            possible &= py if side & 2 else ~ay
            if possible == zero:
                continue
            possible &= pz if side & 1 else ~az
            if possible == zero:
                continue
            sure = possible & (ax if side & 4 else ~px) & (ay if side & 2 else ~py) & (az if side & 1 else ~pz)
            inside = possible & (mx if side & 4 else ~mx) & (my if side & 2 else ~my) & (mz if side & 1 else ~mz)
            e = known[side]
            if e < 0:
                key = pack(base[0] + (side >> 2), base[1] + ((side >> 1) & 1), base[2] + (side & 1))
                h = _find(key, slots, bits, keys)
                e = np.int64(slots[h])
                if e < 0 and sure == zero:
                    if waiting == doubt_keys.size:
                        doubts, doubt_keys, lows = _doubled(doubts), _doubled(doubt_keys), _doubled(lows)
                    doubts[waiting, 0], doubts[waiting, 1] = np.uint64(i * 8 + side), possible
                    doubts[waiting, 2] = inside
                    doubt_keys[waiting] = key
                    lows[waiting, :3] = low
                    waiting += 1
                    continue
                if e < 0:
                    if n == keys.size:
                        return -1
                    e = n
                    slots[h] = e
                    _start(e, key, keys, sums, frames, stamps)
                    n += 1
                known[side] = e
            if inside != zero:
                _add(hit, inside, each * np.float64(_ones(inside)), numbers, e, sums, frames, stamps)
    for k in range(waiting):
        key, possible, inside = doubt_keys[k], doubts[k, 1], doubts[k, 2]
        i, side = np.int64(doubts[k, 0] >> np.uint64(3)), np.int64(doubts[k, 0] & np.uint64(7))
        h = _find(key, slots, bits, keys)
        e = np.int64(slots[h])
        alone = e < 0
        if alone:
            if not _part_inside(possible, details, i, side, lows[k], offsets, reach, part_tables):
                continue
            if n == keys.size:
                return -1
            e = n
            slots[h] = e
            _start(e, key, keys, sums, frames, stamps)
            n += 1
        each = hits[i].weight / np.float64(_ones(np.uint64(hits[i].mask)))
        if inside != zero:
            _add(hits[i], inside, each * np.float64(_ones(inside)), numbers, e, sums, frames, stamps)
        elif alone:
            _add(hits[i], possible, 0.5 * each, numbers, e, sums, frames, stamps)
    _into_voxels(keys[:n], sums, T, voxel_size)
    return n


@njit(cache=True, nogil=True)
def _doubled(array):
    out = np.empty((2 * array.shape[0], *array.shape[1:]), array.dtype)
    out[: array.shape[0]] = array
    return out


@njit(cache=True, nogil=True, inline="always")
def _start(e, key, keys, sums, frames, stamps):
    keys[e] = key
    sums[e, :] = 0.0
    frames[e] = 0
    stamps[e] = 0


@njit(cache=True, nogil=True)
def _into_voxels(keys, sums, T, voxel_size):
    """Sums of positions (cells, cloud's frame) become sums of positions less the voxel's corner (m)."""
    for e in range(keys.size):
        corner, n = unpack(keys[e]), sums[e, 6]
        x, y, z = sums[e, 0] * CELL, sums[e, 1] * CELL, sums[e, 2] * CELL
        for a in range(3):
            at = (T[a, 0] * x + T[a, 1] * y + T[a, 2] * z) / n + T[a, 3] / voxel_size - corner[a]
            sums[e, a] = min(max(at, 0.0), 1.0) * voxel_size * n


@njit(cache=True, nogil=True)
def _sightings(keys, sums, frames, position, cell, near, full_points):
    """How much the frames of a cloud count as seeing each voxel: what they would have, one by one, on average."""
    out = np.empty(keys.size, np.float32)
    for e in range(keys.size):
        n = sums[e, 6]
        ix, iy, iz = unpack(keys[e])
        dx = ix * cell + sums[e, 0] / n - position[0]
        dy = iy * cell + sums[e, 1] / n - position[1]
        dz = iz * cell + sums[e, 2] / n - position[2]
        far = max(1.0, (dx * dx + dy * dy + dz * dz) / (near * near))
        out[e] = min(np.float64(frames[e]), n / full_points) / far
    return out
