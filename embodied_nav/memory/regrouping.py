"""Turns keyframe clouds into voxels of a map under other poses. Knows the clouds' cells, not the map."""

from __future__ import annotations

import numpy as np
from numba import njit

from .cells import CELL, SUB, TILE_BITS
from .fusion import SUM_COLUMNS, FrameVoxels
from .keys import count_bits, hash_key, pack, unpack
from .local_clouds import LocalCloud

#: Places of a voxel's face across a cell that are told apart.
LEVELS = 256
#: Voxels along an axis that a tile of cells can reach into, however it is turned.
_SPAN = int(np.ceil(np.sqrt(3) * CELL * (1 << TILE_BITS))) + 2
#: The largest float32 below 1.
_UNDER = np.nextafter(np.float32(1), np.float32(0))


def regroup(
    cloud: LocalCloud, T: np.ndarray, voxel_size: float, near_range: float, full_points: float
) -> tuple[FrameVoxels, np.ndarray, np.ndarray]:
    """A cloud's hits as unique voxels of another frame.

    Args:
        T: 4x4, that frame from the cloud's.
        near_range, full_points: as in :func:`fusion.sighting_weights`, by which sightings are counted.

    Returns:
        Voxels in order of first appearance, their sightings (float32) and stamps.
    """
    hits, T = cloud.hits, np.ascontiguousarray(T, np.float64)
    bits = max(10, len(hits).bit_length())
    start = T[:3, 3] / voxel_size + [_lowest(axis) for axis in T[:3, :3]]
    base, low = _placed(hits["cell"], T, start)
    while True:
        slots, room = np.full(1 << bits, -1, np.int32), 1 << (bits - 1)
        keys, sums = np.empty(room, np.int64), np.empty((room, SUM_COLUMNS))
        often, stamps = np.empty((room, 3), np.uint8), np.empty(room, np.int64)
        n = _regroup(
            hits, cloud.details, hits["cell"], hits["rgb"], hits["often"], base, low, T, start, slots, bits, keys, sums,
            often, stamps,
        )  # fmt: skip
        if n >= 0:
            break
        bits += 1
    _into_voxels(keys[:n], sums, T, voxel_size)
    sightings = _sightings(
        keys[:n], sums[:n], often[:n], float(cloud.frames_a_bit), T[:3, 3].copy(), voxel_size, near_range, full_points
    )
    return FrameVoxels(keys[:n], sums[:n], int(sums[:n, 6].sum())), sightings, stamps[:n]


@njit(cache=True, nogil=True)
def _placed(cells, T, start):
    """Of each cell's lowest part the voxel it lies in (3 x N int32), how far from its lower faces (3 x N, voxels)."""
    base, low = np.empty((3, cells.shape[0]), np.int32), np.empty((3, cells.shape[0]), np.float32)
    for a in range(3):
        x, y, z, t = CELL * T[a, 0], CELL * T[a, 1], CELL * T[a, 2], start[a]
        for i in range(cells.shape[0]):
            at = x * cells[i, 0] + y * cells[i, 1] + z * cells[i, 2] + t
            whole = np.floor(at)
            base[a, i], low[a, i] = np.int32(whole), min(np.float32(at - whole), _UNDER)
    return base, low


@njit(cache=True, nogil=True)
def _offsets(n):
    """For one axis of voxels, n (3,) in the cells' frame: where the middles of a cell's sub-cells lie, voxels."""
    out = np.empty(SUB**3)
    for b in range(out.size):
        out[b] = (n[0] * (b // 16 + 0.5) + n[1] * (b // 4 % 4 + 0.5) + n[2] * (b % 4 + 0.5)) * (CELL / SUB)
    return out


@njit(cache=True, nogil=True)
def _reach(n):
    """How far the middles of a sub-cell's parts lie from its own, voxels."""
    return 0.25 * (CELL / SUB) * (abs(n[0]) + abs(n[1]) + abs(n[2]))


@njit(cache=True, nogil=True)
def _lowest(n):
    """Middle of a cell's lowest part, from the cell's corner, voxels."""
    return _offsets(n).min() - _reach(n)


@njit(cache=True, nogil=True)
def _beyond(n, table):
    """For one axis of voxels, across a cell: which sub-cells lie beyond the next face, by how near that is.

    Args:
        n: (3,) the axis in the cell's frame.
        table: LEVELS x 4 masks, filled: sub-cells beyond the face with their middle; with all parts' middles; with
            any. Entry k is for a cell whose lowest part lies k / LEVELS beyond the last face.
    """
    offsets, reach = _offsets(n), _reach(n)
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
def _parts_beyond(n, table, shifts):
    """For one axis of voxels, across the sub-cells: which parts lie beyond the next face, by how near that is.

    Args:
        n: (3,) the axis in the cell's frame.
        table: LEVELS + 2 masks of parts, filled: beyond a face before all of them, .., beyond one after all of them.
        shifts: (64,) filled: how much lower down the table a sub-cell's entry is than that of a cell's lowest part.

    Returns:
        Entries a voxel: that of a cell's lowest part is so many times its distance from the next face, and one more.
    """
    offsets = np.empty(8)
    for p in range(8):
        offsets[p] = (n[0] * (p >> 2) + n[1] * ((p >> 1) & 1) + n[2] * (p & 1)) * 0.5 * (CELL / SUB)
    offsets -= offsets.min()
    reach = max(offsets.max(), 1e-9)
    table[0], table[LEVELS + 1] = 255, 0
    for k in range(LEVELS):
        table[k + 1] = 0
        for p in range(8):
            if offsets[p] >= (k + 0.5) / LEVELS * reach:
                table[k + 1] |= np.uint8(1 << p)
    shifts[:] = (_offsets(n) - _offsets(n).min()) * LEVELS / reach
    return LEVELS / reach


@njit(cache=True, nogil=True, inline="always")
def _parts_inside(parts, b, side, entries, shifts, tables):
    """Which of the parts of sub-cell ``b`` that were hit lie in the voxel on a side of the faces.

    Args:
        side: as in :func:`_regroup`. entries: (3,) of the cell's lowest part. shifts, tables: by axis; see
            :func:`_parts_beyond`.
    """
    for a in range(3):
        k = np.int64(min(max(entries[a] - shifts[a, b], 0.0), LEVELS + 1.0))
        parts &= tables[a, k] if (side >> (2 - a)) & 1 else ~tables[a, k]
    return parts


@njit(cache=True, nogil=True, inline="always")
def _often(possible, sure, mask, details, all_frames, side, entries, shifts, tables):
    """Which frames hit some sub-cells of a cell once, twice and three times at least, on a side of the faces.

    Args:
        possible, sure: sub-cells, of those that were hit (``mask``), that lie there perhaps and for certain.
        details: from the cell's first on. all_frames: that hit the cell.
    """
    one = np.uint64(1)
    once, twice, more = np.uint16(0), np.uint16(0), np.uint16(0)
    doubtful = possible & ~sure
    while sure and more != all_frames:
        bit = sure & (~sure + one)
        sure ^= bit
        frames = details[np.int64(count_bits(mask & (bit - one)))] >> np.uint16(8)
        more |= twice & frames
        twice |= once & frames
        once |= frames
    while doubtful and more != all_frames:
        bit = doubtful & (~doubtful + one)
        doubtful ^= bit
        detail = details[np.int64(count_bits(mask & (bit - one)))]
        if _parts_inside(
            np.uint8(detail & np.uint16(255)), np.int64(count_bits(bit - one)), side, entries, shifts, tables
        ):
            frames = detail >> np.uint16(8)
            more |= twice & frames
            twice |= once & frames
            once |= frames
    return once, twice, more


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
def _add(cell, color, stamp, inside, share, numbers, e, sums, stamps):
    """Adds the sub-cells ``inside`` of a cell, points ``share`` of them, to an entry; in the cloud's frame."""
    each = share / np.float64(count_bits(inside))
    for a in range(3):
        ones = count_bits(inside & numbers[a, 0]) + np.uint64(2) * count_bits(inside & numbers[a, 1])
        sums[e, a] += cell[a] * share + (np.float64(ones) * each + 0.5 * share) * (1.0 / SUB)
        sums[e, 3 + a] += color[a] * share
    sums[e, 6] += share
    stamps[e] = max(stamps[e], stamp)


@njit(cache=True, nogil=True)
def _regroup(hits, details, cells, colors, frames, bases, lows, T, start, slots, bits, keys, sums, often, stamps):
    """Fills keys, sums (positions in cells, cloud's frame), often and stamps; returns how many voxels, -1 for no room.

    A cell reaches into up to eight voxels: ``side`` counts them, 4 beyond the face across x, 2 across y, 1 across z.
    Of each voxel the frames that hit it once, twice and three times are kept as bits. Cells come tile by tile: what
    voxels a tile reaches into is looked up once.

    Args:
        bases, lows: of :func:`_placed`. start: (3,) lowest part of the cell (0, 0, 0), voxels.
    """
    tables, numbers = np.empty((3, LEVELS, 4), np.uint64), _number_masks()
    part_tables, shifts = np.empty((3, LEVELS + 2), np.uint8), np.empty((3, SUB**3))
    scale, entries = np.empty(3), np.empty(3)
    for a in range(3):
        _beyond(T[a, :3], tables[a])
        scale[a] = _parts_beyond(T[a, :3], part_tables[a], shifts[a])
    near, corner = np.empty(_SPAN**3, np.int32), np.empty(3, np.int64)
    zero, last_tile = np.uint64(0), np.int64(-1)
    n, first, late = 0, np.int64(0), 0
    room = 8 * hits.size
    late_keys, late_inside, late_cell = np.empty(room, np.int64), np.empty(room, np.uint64), np.empty(room, np.int64)
    for i in range(hits.size):
        hit = hits[i]
        mask, all_frames = hit.mask, np.uint16(frames[i, 0])
        tile = pack(cells[i, 0] >> TILE_BITS, cells[i, 1] >> TILE_BITS, cells[i, 2] >> TILE_BITS)
        if tile != last_tile:
            last_tile = tile
            near[:] = -1
            _tile_corner(cells[i], T, start, corner)
        bx, by, bz = np.int64(bases[0, i]), np.int64(bases[1, i]), np.int64(bases[2, i])
        here = ((bx - corner[0]) * _SPAN + by - corner[1]) * _SPAN + bz - corner[2]
        row = tables[0, np.int64(lows[0, i] * LEVELS)]
        mx, ax, px = row[0], row[1], row[2]
        row = tables[1, np.int64(lows[1, i] * LEVELS)]
        my, ay, py = row[0], row[1], row[2]
        row = tables[2, np.int64(lows[2, i] * LEVELS)]
        mz, az, pz = row[0], row[1], row[2]
        count = np.int64(count_bits(mask))
        each = hit.weight / np.float64(count)
        for side in range(8):
            possible = mask & (px if side & 4 else ~ax) & (py if side & 2 else ~ay) & (pz if side & 1 else ~az)
            if possible == zero:
                continue
            inside = possible & (mx if side & 4 else ~mx) & (my if side & 2 else ~my) & (mz if side & 1 else ~mz)
            at = here + (side >> 2) * _SPAN**2 + ((side >> 1) & 1) * _SPAN + (side & 1)
            e, added = np.int64(near[at]), False
            if e < 0 or often[e, 2] & all_frames != all_frames:
                sure = possible & (ax if side & 4 else ~px) & (ay if side & 2 else ~py) & (az if side & 1 else ~pz)
                once, twice, more = all_frames, np.uint16(frames[i, 1]), np.uint16(frames[i, 2])
                if sure != mask:
                    for a in range(3):
                        entries[a] = (1.0 - lows[a, i]) * scale[a] + 1.0
                    once, twice, more = _often(
                        possible, sure, mask, details[first:], all_frames, side, entries, shifts, part_tables
                    )
                if e < 0 and once == 0:
                    if inside != zero:  # counts where others make the voxel
                        late_keys[late] = pack(bx + (side >> 2), by + ((side >> 1) & 1), bz + (side & 1))
                        late_inside[late], late_cell[late] = inside, i
                        late += 1
                    continue
                if e < 0:
                    key = pack(bx + (side >> 2), by + ((side >> 1) & 1), bz + (side & 1))
                    h = _find(key, slots, bits, keys)
                    e = np.int64(slots[h])
                    if e < 0:
                        if n == keys.size:
                            return -1
                        e, added = n, True
                        slots[h], keys[e] = e, key
                        stamps[e] = 0
                        often[e, 0] = often[e, 1] = often[e, 2] = 0
                        for k in range(SUM_COLUMNS):
                            sums[e, k] = 0.0
                        n += 1
                    near[at] = e
                once_before, twice_before = often[e, 0], often[e, 1]
                often[e, 2] |= more | (twice_before & once) | (once_before & twice)
                often[e, 1] |= twice | (once_before & once)
                often[e, 0] |= once
                stamps[e] = max(stamps[e], hit.last_seen) if once else stamps[e]
            if inside != zero:
                share = each * np.float64(count_bits(inside))
                _add(cells[i], colors[i], hit.last_seen, inside, share, numbers, e, sums, stamps)
            elif added:
                _add(cells[i], colors[i], hit.last_seen, possible, 0.5 * each, numbers, e, sums, stamps)
        first += count
    for k in range(late):
        e, i = np.int64(slots[_find(late_keys[k], slots, bits, keys)]), late_cell[k]
        if e >= 0:
            share = hits[i].weight * np.float64(count_bits(late_inside[k])) / np.float64(count_bits(hits[i].mask))
            _add(cells[i], colors[i], hits[i].last_seen, late_inside[k], share, numbers, e, sums, stamps)
    return n


@njit(cache=True, nogil=True)
def _tile_corner(cell, T, start, corner):
    """Lowest voxel that the lowest parts of the cells in a cell's tile can lie in."""
    last = (1 << TILE_BITS) - 1
    for a in range(3):
        at = start[a] - 1e-6
        for k in range(3):
            lowest = (cell[k] >> TILE_BITS) << TILE_BITS
            at += CELL * (T[a, k] * lowest + min(T[a, k], 0.0) * last)
        corner[a] = np.int64(np.floor(at))


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
def _sightings(keys, sums, often, frames_a_bit, position, cell, near, full_points):
    """How much the frames of a cloud count as seeing each voxel, each for itself: what they did when they came.

    A frame that hit more than two sub-cells is taken for one of average points.
    """
    out = np.empty(keys.size, np.float32)
    for e in range(keys.size):
        n = sums[e, 6]
        once, twice = np.float64(count_bits(np.uint64(often[e, 0]))), np.float64(count_bits(np.uint64(often[e, 1])))
        more = np.float64(count_bits(np.uint64(often[e, 2])))
        many = max(3.0, n / (once * frames_a_bit))
        seen = (once - twice) * min(1.0, 1.0 / full_points) + (twice - more) * min(1.0, 2.0 / full_points)
        seen += more * min(1.0, many / full_points)
        ix, iy, iz = unpack(keys[e])
        dx = ix * cell + sums[e, 0] / n - position[0]
        dy = iy * cell + sums[e, 1] / n - position[1]
        dz = iz * cell + sums[e, 2] / n - position[2]
        far = max(1.0, (dx * dx + dy * dy + dz * dz) / (near * near))
        out[e] = min(seen * frames_a_bit, max(n, 1.0) / full_points) / far
    return out
