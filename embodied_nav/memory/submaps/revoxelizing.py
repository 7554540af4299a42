"""Turns the cells of local clouds into voxels of a map under other poses. Knows the clouds' cells, not the map.

The map's faces cut a cell, an edge of half a voxel long and turned against them, into at most eight pieces, ``side`` 0
to 7: 4 beyond the face across x, plus 2 across y, plus 1 across z. Which of its 64 sub-cells lie beyond a face depends
only on the axis and on how near the face is, so it is looked up: the place of the face, rounded to 1 / LEVELS voxel, is
the row of a table of masks, and three look-ups and a few ``&`` cut a cell for all of its sub-cells at once::

      one layer of a cell                 the face at ``1 - low`` from the cell's lowest octant
                                                        |
      mask, bit (x*4 + y)*4 + z              +----+----+|---+----+      voxel i      |  voxel i + 1
      1: hit   .: not                        | .  | 1  ||1  | .  |      any:    0 0 1 1   an octant lies beyond
                                             | 1  | 1  ||1  | 1  |      middle: 0 0 1 1   the middle lies beyond
                                             +----+----+|---+----+      all:    0 0 0 1   every octant lies beyond
                                              x=0  x=1  | x=2  x=3

      possible = mask & any_x & any_y & any_z     sub-cells that may reach into the voxel (side 7; else ``~all``)
      inside   = mask & middle_x & ...            they count as in the voxel: points, colour, centroid
      sure     = mask & all_x & ...               they were hit there for certain; of ``possible & ~sure`` the eight
                                                  octants are looked up in the same manner

A voxel is made where some octant that was hit lies in it. ``test/memory/plain_revoxelizing.py`` says the same in plain
numpy, one sub-cell at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..voxels.fusion import SUM_COLUMNS, SUM_N, SUM_R, SUM_X, FrameVoxels
from ..voxels.keys import count_bits, hash_key, pack, unpack
from .cells import BRICK_BITS, CELL, FRAME_SHIFT, OCT, OCTANT_MASK, SUB
from .local_clouds import LocalCloud

#: Places of a voxel's face across a cell that are told apart.
LEVELS = 256
#: Columns of a table of faces: the masks of sub-cells whose middle, all of whose octants, any of whose octants lie
#: beyond.
MIDDLE, ALL, ANY = 0, 1, 2
#: Columns of ``often``: frames that hit a voxel once, twice, three times at least, one bit a group of frames.
ONCE, TWICE, MORE = 0, 1, 2
#: Voxels along an axis that a brick of cells can reach into, however it is turned.
_SPAN = int(np.ceil(np.sqrt(3) * CELL * (1 << BRICK_BITS))) + 2
#: The largest float32 below 1.
_UNDER = np.nextafter(np.float32(1), np.float32(0))


class _Cells(NamedTuple):
    """A cloud's N cells as the kernel reads them.

    ``hits`` (N HIT) with ``numbers``, ``colors``, ``frames`` (N x 3 views of its fields cell, rgb, often); ``details``
    (M DETAIL); ``base`` (3 x N int32), ``low`` (3 x N float32) of :func:`_placed`.
    """

    hits: np.ndarray
    numbers: np.ndarray
    colors: np.ndarray
    frames: np.ndarray
    details: np.ndarray
    base: np.ndarray
    low: np.ndarray


class _Faces(NamedTuple):
    """How the faces of voxels cut cells of one orientation, by axis.

    ``sub_cells`` (3 x LEVELS x 4 uint64, three used, see :func:`_beyond`); ``octants`` (3 x (LEVELS + 2) uint8),
    ``shifts`` (3 x 64) and ``scale`` (3,) of :func:`_octants_beyond`; ``numbers`` (3 x 2 uint64) of
    :func:`_number_masks`.
    """

    sub_cells: np.ndarray
    octants: np.ndarray
    shifts: np.ndarray
    scale: np.ndarray
    numbers: np.ndarray


class _Entries(NamedTuple):
    """Voxels found so far: ``slots`` (2^bits int32, entry or -1, open addressing) and one of each an entry: ``keys``
    (int64), ``sums`` (SUM_COLUMNS float64, see ``fusion``; positions in cells, cloud's frame), ``often`` (3 uint8),
    ``stamps`` (int64 ns)."""

    slots: np.ndarray
    keys: np.ndarray
    sums: np.ndarray
    often: np.ndarray
    stamps: np.ndarray


class _Waiting(NamedTuple):
    """Pieces of cells that count only if other cells make their voxel: its ``keys`` (int64), their sub-cells
    ``inside`` (uint64), numbers of their ``cells`` (int64)."""

    keys: np.ndarray
    inside: np.ndarray
    cells: np.ndarray


def revoxelize(
    cloud: LocalCloud, T: np.ndarray, voxel_size: float, near_range: float, full_points: float
) -> tuple[FrameVoxels, np.ndarray, np.ndarray]:
    """A cloud's hits as unique voxels of another frame.

    Args:
        T: 4x4, that frame from the cloud's.
        near_range, full_points: as in :func:`fusion.sighting_weights`, by which sightings are counted.

    Returns:
        N voxels in order of first appearance, their sightings (N float32) and stamps (N int64 ns).
    """
    hits, T = cloud.hits, np.ascontiguousarray(T, np.float64)
    bits = max(10, len(hits).bit_length())
    start = T[:3, 3] / voxel_size + [_lowest(axis) for axis in T[:3, :3]]
    cells = _Cells(hits, hits["cell"], hits["rgb"], hits["often"], cloud.details, *_placed(hits["cell"], T, start))
    while True:
        entries = _empty_entries(bits)
        n = _cells_to_voxels(cells, T, start, entries, bits)
        if n >= 0:
            break
        bits += 1
    keys, sums, often, stamps = entries.keys[:n], entries.sums[:n], entries.often[:n], entries.stamps[:n]
    _into_voxels(keys, sums, T, voxel_size)
    sightings = _sightings(
        keys, sums, often, float(cloud.frames_a_bit), T[:3, 3].copy(), voxel_size, near_range, full_points
    )
    return FrameVoxels(keys, sums, int(sums[:, SUM_N].sum())), sightings, stamps


def _empty_entries(bits: int) -> _Entries:
    """Room for 2^(bits - 1) voxels."""
    room = 1 << (bits - 1)
    return _Entries(
        np.full(1 << bits, -1, np.int32), np.empty(room, np.int64), np.empty((room, SUM_COLUMNS)),
        np.empty((room, 3), np.uint8), np.empty(room, np.int64),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _placed(cells, T, start):
    """Of each cell's lowest octant the voxel it lies in (3 x N int32), how far from its lower faces (3 x N float32).

    Args:
        cells: N x 3 int16 cell numbers. T: 4x4. start: (3,) lowest octant of the cell (0, 0, 0). All in voxels.
    """
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
    """For one axis of voxels, n (3,) in the cells' frame: where the middles of a cell's sub-cells lie: 64, voxels."""
    out = np.empty(SUB**3)
    for b in range(out.size):
        out[b] = (n[0] * (b // 16 + 0.5) + n[1] * (b // 4 % 4 + 0.5) + n[2] * (b % 4 + 0.5)) * (CELL / SUB)
    return out


@njit(cache=True, nogil=True)
def _reach(n):
    """How far the middles of a sub-cell's octants lie from its own, voxels."""
    return 0.25 * (CELL / SUB) * (abs(n[0]) + abs(n[1]) + abs(n[2]))


@njit(cache=True, nogil=True)
def _lowest(n):
    """Middle of a cell's lowest octant, from the cell's corner, voxels."""
    return _offsets(n).min() - _reach(n)


@njit(cache=True, nogil=True)
def _beyond(n, table):
    """For one axis of voxels, across a cell: which sub-cells lie beyond the next face, by how near that is.

    Args:
        n: (3,) the axis in the cell's frame.
        table: LEVELS x 4 masks (uint64), filled: columns MIDDLE, ALL, ANY. Row k is for a cell whose lowest octant lies
            k / LEVELS beyond the last face.
    """
    offsets, reach = _offsets(n), _reach(n)
    lowest = offsets.min() - reach
    order = np.argsort(-offsets)
    for kind in (MIDDLE, ALL, ANY):
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
def _octants_beyond(n, table, shifts):
    """For one axis of voxels, across the sub-cells: which octants lie beyond the next face, by how near that is.

    Args:
        n: (3,) the axis in the cell's frame.
        table: LEVELS + 2 masks of octants (uint8), filled: beyond a face before all of them, .., beyond one after all
        of them.
        shifts: (64,) filled: how much lower down the table a sub-cell's entry is than that of a cell's lowest octant.

    Returns:
        Entries a voxel: that of a cell's lowest octant is so many times its distance from the next face, and one more.
    """
    offsets = np.empty(OCT**3)
    for p in range(OCT**3):
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


@njit(cache=True, nogil=True)
def _make_faces(T):
    """:class:`_Faces` for the rotation of T (4x4, voxels' frame from cells')."""
    sub_cells = np.empty((3, LEVELS, 4), np.uint64)  # a row of three masks is 32 bytes: one cache line holds it
    octants, shifts, scale = np.empty((3, LEVELS + 2), np.uint8), np.empty((3, SUB**3)), np.empty(3)
    for a in range(3):
        _beyond(T[a, :3], sub_cells[a])
        scale[a] = _octants_beyond(T[a, :3], octants[a], shifts[a])
    return _Faces(sub_cells, octants, shifts, scale, _number_masks())


@njit(cache=True, nogil=True, inline="always")
def _on_side(mask, side, beyond, not_before):
    """The sub-cells of a mask on a side: along each axis those of ``beyond`` or those that are not in ``not_before``.

    Args:
        side: bits 4, 2, 1: beyond the face across x, y, z. beyond, not_before: three masks each.
    """
    mask &= beyond[0] if side & 4 else ~not_before[0]
    mask &= beyond[1] if side & 2 else ~not_before[1]
    return mask & (beyond[2] if side & 1 else ~not_before[2])


@njit(cache=True, nogil=True, inline="always")
def _octants_on_side(octants, b, side, rows, faces):
    """Which of the octants of sub-cell ``b`` that were hit (8 bits) lie on a side of the faces.

    Args:
        rows: (3,) rows of ``faces.octants`` for the cell's lowest octant, see :func:`_octants_beyond`.
    """
    for a in range(3):
        k = np.int64(min(max(rows[a] - faces.shifts[a, b], 0.0), LEVELS + 1.0))
        octants &= faces.octants[a, k] if (side >> (2 - a)) & 1 else ~faces.octants[a, k]
    return octants


@njit(cache=True, nogil=True, inline="always")
def _frames_on_side(possible, sure, mask, details, all_frames, side, rows, faces):
    """Which frames (8 bits) hit some sub-cells of a cell once, twice and three times at least, on a side of the faces.

    Args:
        possible, sure: sub-cells, of those that were hit (``mask``), that lie there perhaps and for certain.
        details: from the cell's first on. all_frames: that hit the cell. rows: as in :func:`_octants_on_side`.
    """
    one = np.uint64(1)
    once, twice, more = np.uint16(0), np.uint16(0), np.uint16(0)
    doubtful = possible & ~sure
    while sure and more != all_frames:
        bit = sure & (~sure + one)  # the lowest one
        sure ^= bit
        frames = details[np.int64(count_bits(mask & (bit - one)))] >> np.uint16(FRAME_SHIFT)
        more |= twice & frames
        twice |= once & frames
        once |= frames
    while doubtful and more != all_frames:
        bit = doubtful & (~doubtful + one)
        doubtful ^= bit
        detail = details[np.int64(count_bits(mask & (bit - one)))]
        octants = np.uint8(detail & np.uint16(OCTANT_MASK))
        if _octants_on_side(octants, np.int64(count_bits(bit - one)), side, rows, faces):
            frames = detail >> np.uint16(FRAME_SHIFT)
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
def _new_entry(entries, h, e, key):
    """Makes entry ``e`` of a voxel, empty, in slot ``h``."""
    entries.slots[h], entries.keys[e] = e, key
    entries.stamps[e] = 0
    entries.often[e, ONCE] = entries.often[e, TWICE] = entries.often[e, MORE] = 0
    for k in range(SUM_COLUMNS):
        entries.sums[e, k] = 0.0


@njit(cache=True, nogil=True, inline="always")
def _note_frames(often, e, once, twice, more):
    """Adds the frames that hit a piece of a cell to those of its voxel: counts of 0 to 3 and more, a bit a frame."""
    once_before, twice_before = often[e, ONCE], often[e, TWICE]
    often[e, MORE] |= more | (twice_before & once) | (once_before & twice)
    often[e, TWICE] |= twice | (once_before & once)
    often[e, ONCE] |= once


@njit(cache=True, nogil=True, inline="always")
def _add(cell, color, stamp, inside, share, numbers, e, sums, stamps):
    """Adds the sub-cells ``inside`` of a cell, points ``share`` of them, to an entry; in the cloud's frame."""
    each = share / np.float64(count_bits(inside))
    for a in range(3):
        ones = count_bits(inside & numbers[a, 0]) + np.uint64(2) * count_bits(inside & numbers[a, 1])
        sums[e, SUM_X + a] += cell[a] * share + (np.float64(ones) * each + 0.5 * share) * (1.0 / SUB)
        sums[e, SUM_R + a] += color[a] * share
    sums[e, SUM_N] += share
    stamps[e] = max(stamps[e], stamp)


@njit(cache=True, nogil=True)
def _cells_to_voxels(cells, T, start, entries, bits):
    """Fills :class:`_Entries` with the voxels of :class:`_Cells`; returns how many voxels, -1 for no room.

    Cells come brick by brick: the entry of each voxel that a brick reaches into is looked up once (``near``).
    Longer than other functions: the loop is where loop closures spend their time, and its state (a dozen numbers) would
    have to be passed to every step.

    Args:
        T: 4x4, voxels' frame from cells'. start: (3,) lowest octant of the cell (0, 0, 0), voxels. bits: of the hash.
    """
    faces, often = _make_faces(T), entries.often
    near, corner, rows = np.empty(_SPAN**3, np.int32), np.empty(3, np.int64), np.empty(3)
    zero, last_brick = np.uint64(0), np.int64(-1)
    n, first, waiting, total = 0, np.int64(0), 0, cells.hits.size
    late = _Waiting(np.empty(8 * total, np.int64), np.empty(8 * total, np.uint64), np.empty(8 * total, np.int64))
    for i in range(total):
        hit, cell = cells.hits[i], cells.numbers[i]
        mask, all_frames = hit.mask, np.uint16(cells.frames[i, ONCE])
        brick = pack(cell[0] >> BRICK_BITS, cell[1] >> BRICK_BITS, cell[2] >> BRICK_BITS)
        if brick != last_brick:
            last_brick = brick
            near[:] = -1
            _brick_corner(cell, T, start, corner)
        bx, by, bz = np.int64(cells.base[0, i]), np.int64(cells.base[1, i]), np.int64(cells.base[2, i])
        here = ((bx - corner[0]) * _SPAN + by - corner[1]) * _SPAN + bz - corner[2]
        x = faces.sub_cells[0, np.int64(cells.low[0, i] * LEVELS)]
        y = faces.sub_cells[1, np.int64(cells.low[1, i] * LEVELS)]
        z = faces.sub_cells[2, np.int64(cells.low[2, i] * LEVELS)]
        middle, whole, some = (x[MIDDLE], y[MIDDLE], z[MIDDLE]), (x[ALL], y[ALL], z[ALL]), (x[ANY], y[ANY], z[ANY])
        count = np.int64(count_bits(mask))
        each = hit.weight / np.float64(count)
        for side in range(8):
            possible = _on_side(mask, side, some, whole)
            if possible == zero:
                continue
            inside = _on_side(possible, side, middle, middle)
            at = here + (side >> 2) * _SPAN**2 + ((side >> 1) & 1) * _SPAN + (side & 1)
            e, made = np.int64(near[at]), False
            if e < 0 or often[e, MORE] & all_frames != all_frames:  # else there is nothing new to say of its frames
                sure = _on_side(possible, side, whole, some)
                once, twice, more = all_frames, np.uint16(cells.frames[i, TWICE]), np.uint16(cells.frames[i, MORE])
                if sure != mask:
                    for a in range(3):
                        rows[a] = (1.0 - cells.low[a, i]) * faces.scale[a] + 1.0
                    details = cells.details[first:]
                    once, twice, more = _frames_on_side(possible, sure, mask, details, all_frames, side, rows, faces)
                key = pack(bx + (side >> 2), by + ((side >> 1) & 1), bz + (side & 1))
                if e < 0 and once == 0:
                    if inside != zero:
                        late.keys[waiting], late.inside[waiting], late.cells[waiting] = key, inside, i
                        waiting += 1
                    continue
                if e < 0:
                    h = _find(key, entries.slots, bits, entries.keys)
                    e = np.int64(entries.slots[h])
                    if e < 0:
                        if n == entries.keys.size:
                            return -1
                        e, made = n, True
                        _new_entry(entries, h, e, key)
                        n += 1
                    near[at] = e
                _note_frames(often, e, once, twice, more)
                entries.stamps[e] = max(entries.stamps[e], hit.last_seen) if once else entries.stamps[e]
            if inside != zero:
                share = each * np.float64(count_bits(inside))
                _add(
                    cell, cells.colors[i], hit.last_seen, inside, share, faces.numbers, e, entries.sums, entries.stamps
                )
            elif made:  # a voxel has points, even where only the rim of a sub-cell reaches into it
                share = 0.5 * each
                _add(
                    cell,
                    cells.colors[i],
                    hit.last_seen,
                    possible,
                    share,
                    faces.numbers,
                    e,
                    entries.sums,
                    entries.stamps,
                )
        first += count
    _add_waiting(cells, late, waiting, faces.numbers, entries, bits)
    return n


@njit(cache=True, nogil=True)
def _add_waiting(cells, late, count, numbers, entries, bits):
    """Adds those of the first ``count`` waiting pieces whose voxel some other cell has made."""
    for k in range(count):
        e, i = np.int64(entries.slots[_find(late.keys[k], entries.slots, bits, entries.keys)]), late.cells[k]
        if e >= 0:
            hit, inside = cells.hits[i], late.inside[k]
            share = hit.weight * np.float64(count_bits(inside)) / np.float64(count_bits(hit.mask))
            _add(
                cells.numbers[i],
                cells.colors[i],
                hit.last_seen,
                inside,
                share,
                numbers,
                e,
                entries.sums,
                entries.stamps,
            )


@njit(cache=True, nogil=True)
def _brick_corner(cell, T, start, corner):
    """Fills ``corner`` (3 int64): the lowest voxel that the lowest octants of the cells in a cell's brick can lie
    in."""
    last = (1 << BRICK_BITS) - 1
    for a in range(3):
        at = start[a] - 1e-6
        for k in range(3):
            lowest = (cell[k] >> BRICK_BITS) << BRICK_BITS
            at += CELL * (T[a, k] * lowest + min(T[a, k], 0.0) * last)
        corner[a] = np.int64(np.floor(at))


@njit(cache=True, nogil=True)
def _into_voxels(keys, sums, T, voxel_size):
    """Sums of positions (N x 8, cells, cloud's frame) become sums of positions less the voxel's corner (m), in
    place."""
    for e in range(keys.size):
        corner, n = unpack(keys[e]), sums[e, SUM_N]
        x, y, z = sums[e, 0] * CELL, sums[e, 1] * CELL, sums[e, 2] * CELL
        for a in range(3):
            at = (T[a, 0] * x + T[a, 1] * y + T[a, 2] * z) / n + T[a, 3] / voxel_size - corner[a]
            sums[e, a] = min(max(at, 0.0), 1.0) * voxel_size * n


@njit(cache=True, nogil=True)
def _sightings(keys, sums, often, frames_a_bit, position, cell, near, full_points):
    """How much the frames of a cloud count as seeing each of N voxels (N float32), as they did when they came.

    A frame that hit more than two sub-cells is taken for one of average points.
    """
    out = np.empty(keys.size, np.float32)
    for e in range(keys.size):
        n = sums[e, SUM_N]
        once, twice = (
            np.float64(count_bits(np.uint64(often[e, ONCE]))),
            np.float64(count_bits(np.uint64(often[e, TWICE]))),
        )
        more = np.float64(count_bits(np.uint64(often[e, MORE])))
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
