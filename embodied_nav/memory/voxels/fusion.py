"""From a depth image to voxels: a frame-local hash finds the unique voxels, then each is upserted once.

Knows nothing of keyframes, labels or grids. Row by row, positions are computed in float64 (the compiler makes vector
code of it), then runs of neighbouring pixels in the same voxel are found and summed without a branch: at 5 cm a run is
some seven pixels long, and only runs are hashed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ...geometry import Camera
from .keys import NO_KEY, OFFSET, block_key, pack, slot_in_block, unpack
from .store import CLOCK, REFUSED, Arrays, VoxelStore, add_row, find_or_add_block, table_bits

#: Columns of ``sums``: sums over a voxel's points of position less the voxel's corner (m), colour, and their number.
SUM_X, SUM_Y, SUM_Z, SUM_R, SUM_G, SUM_B, SUM_N = range(7)
#: With one unused, so that a row is a cache line.
SUM_COLUMNS = 8

#: A frame counts voxels from the camera's: each number within +-65,535, three of them packed in one float64 without
#: rounding, (x * _SIDE + y) * _SIDE + z. This is a frame's voxel number.
_SIDE = 1 << 17
_REACH = _SIDE // 2 - 1
#: The voxel number of a pixel that is not used, and the one after a row's last.
NO_VOXEL, _END = 1e16, -1e16
#: A sum of 8-bit colours over a run of pixels fits.
_COLOR_BITS = 21
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Dedupe(NamedTuple):
    """Frame-local hash: ``slots`` (2^bits int32, entry, -1 empty); one of each an entry: ``numbers`` (float64, the
    frame's voxel numbers), ``keys`` (int64), ``sums`` (N x SUM_COLUMNS float64)."""

    slots: np.ndarray
    numbers: np.ndarray
    keys: np.ndarray
    sums: np.ndarray


def make_dedupe(bits: int) -> Dedupe:
    """A hash of 2^bits slots for half as many entries."""
    n = 1 << bits
    return Dedupe(
        np.empty(n, np.int32), np.empty(n // 2), np.empty(n // 2, np.int64), np.empty((n // 2, SUM_COLUMNS))
    )  # fmt: skip


class FrameVoxels(NamedTuple):
    """The unique voxels of one frame: N int64 keys, N x SUM_COLUMNS float64 sums, and how many pixels were valid."""

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
        voxel_size: float,
        near: float,
        far: float,
        stride: int = 1,
        phase: tuple[int, int] = (0, 0),
    ) -> FrameVoxels:
        """Unique voxels of the pixels with depth in [near, far] and within 65,535 voxels of the camera.

        Args:
            depth: HxW float32 m, or uint16 mm (0 invalid). color: HxWx3 uint8, or of every second pixel of every
                second row, or None (black).
            T: 4x4 float64, map from optical frame. voxel_size, near, far: m.
            stride, phase: pixels (phase[0] + i * stride, phase[1] + j * stride) of (row, column) are used.

        Returns:
            Views into buffers that the next call overwrites.
        """
        depth = np.ascontiguousarray(depth)
        color = _NO_COLOR if color is None else np.ascontiguousarray(color)
        T = np.ascontiguousarray(T, dtype=np.float64)
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        while True:
            entries, points = _unique(
                depth, depth_scale(depth), color, K, T, voxel_size, np.float32(near), np.float32(far), stride, phase[0],
                phase[1], self._dedupe, self._bits,
            )  # fmt: skip
            if entries >= 0:
                return FrameVoxels(self._dedupe.keys[:entries], self._dedupe.sums[:entries], points)
            self._bits += 1
            self._dedupe = make_dedupe(self._bits)


_NO_COLOR = np.zeros((0, 0, 3), np.uint8)


def depth_scale(depth: np.ndarray) -> np.float32:
    """By what a depth image's values are divided for metres: uint16 holds millimetres."""
    return np.float32(1000 if depth.dtype == np.uint16 else 1)


class Caster(NamedTuple):
    """What turns the pixels of an image's used columns (n of them) into voxels.

    ``rays`` (n, (u - cx) / fx); ``slopes`` (3 x n: voxels a metre of depth along each axis, without the row's part);
    ``base`` (3 int64: the camera's voxel); ``start`` (3: the camera in its voxel, less half a voxel); ``T`` (4x4),
    ``size`` (of a voxel, m), ``K`` (fx, fy, cx, cy); ``near``, ``far`` (m).
    """

    rays: np.ndarray
    slopes: np.ndarray
    base: np.ndarray
    start: np.ndarray
    T: np.ndarray
    size: float
    K: np.ndarray
    near: np.float32
    far: np.float32


@njit(cache=True, nogil=True)
def make_caster(width, u_first, stride, K, T, size, near, far):
    """A :class:`Caster`; ``far`` (float32, m) is brought within what a frame can count."""
    n = (width - u_first + stride - 1) // stride
    rays = (u_first + stride * np.arange(n) - K[2]) / K[0]
    slopes, base, start = np.empty((3, n)), np.empty(3, np.int64), np.empty(3)
    for k in range(3):
        slopes[k] = T[k, 0] / size * rays
        # A camera beyond the keys' range stays beyond it.
        here = min(max(T[k, 3] / size, -1e12), 1e12)
        base[k] = np.int64(np.floor(here))
        start[k] = here - base[k] - 0.5
    return Caster(rays, slopes, base, start, T, size, K, near, far)


@njit(cache=True, nogil=True)
def row_voxels(caster, depth, scale, y, z, xz, numbers):
    """Fills ``numbers`` (n float64) with the voxel numbers of one image row, NO_VOXEL where a pixel is not used, and
    ``z``, ``xz`` (n float64) with depth and ray * depth for its sums.

    A voxel is what T[:3, :3] @ p + T[:3, 3], with p unprojected in float64, divided by the voxel's size and floored,
    gives. That is computed literally only for a row in which a coordinate comes so near to a voxel's face that a
    shorter way could end on its other side.

    Args:
        depth: (n,) of the row's used pixels. scale: see :func:`depth_scale`. y: (v - cy) / fy.
    """
    if _numbers(caster, depth, scale, y, z, xz, numbers):
        _numbers_by_division(caster, y, z, numbers)


@njit(cache=True, nogil=True)
def _numbers(caster, depth, scale, y, z, xz, numbers):
    """The short way of :func:`row_voxels`; returns whether a coordinate was too near to a face for that."""
    slopes, rays, near, far, T = caster.slopes, caster.rays, caster.near, caster.far, caster.T
    bx, by, bz = (
        (T[0, 1] * y + T[0, 2]) / caster.size,
        (T[1, 1] * y + T[1, 2]) / caster.size,
        (T[2, 1] * y + T[2, 2]) / caster.size,
    )
    sx, sy, sz = caster.start[0], caster.start[1], caster.start[2]
    doubt = False
    for i in range(z.size):
        d = depth[i] / scale
        used = (d >= near) & (d <= far) & (d > 0)
        zi = np.float64(d) if used else 0.0
        qx = (slopes[0, i] + bx) * zi + sx
        qy = (slopes[1, i] + by) * zi + sy
        qz = (slopes[2, i] + bz) * zi + sz
        # Half a voxel was taken off: rounding is flooring.
        ix, iy, iz = np.rint(qx), np.rint(qy), np.rint(qz)
        used &= max(abs(ix), max(abs(iy), abs(iz))) <= _REACH
        zi = zi if used else 0.0
        z[i] = zi
        xz[i] = rays[i] * zi
        doubt |= used & (max(abs(qx - ix), max(abs(qy - iy), abs(qz - iz))) > 0.5 - 1e-8)
        numbers[i] = (ix * _SIDE + iy) * _SIDE + iz if used else NO_VOXEL
    return doubt


@njit(cache=True, nogil=True)
def _numbers_by_division(caster, y, z, numbers):
    """The literal way of :func:`row_voxels`: overwrites the numbers (n) of the pixels that are used."""
    T, size, base, rays = caster.T, caster.size, caster.base, caster.rays
    for i in range(z.size):
        if numbers[i] != NO_VOXEL:
            x = rays[i] * z[i]
            gx = T[0, 0] * x + T[0, 1] * (y * z[i]) + T[0, 2] * z[i] + T[0, 3]
            gy = T[1, 0] * x + T[1, 1] * (y * z[i]) + T[1, 2] * z[i] + T[1, 3]
            gz = T[2, 0] * x + T[2, 1] * (y * z[i]) + T[2, 2] * z[i] + T[2, 3]
            ix, iy, iz = np.floor(gx / size) - base[0], np.floor(gy / size) - base[1], np.floor(gz / size) - base[2]
            numbers[i] = (ix * _SIDE + iy) * _SIDE + iz


@njit(cache=True, nogil=True)
def key_of_number(number, base):
    """Voxel key of a frame's voxel number; NO_KEY beyond the keys' range. ``base``: (3,) the camera's voxel."""
    packed = _packed(number)
    x = (packed // (_SIDE * _SIDE)) - _SIDE // 2 + base[0]
    y = (packed // _SIDE) % _SIDE - _SIDE // 2 + base[1]
    z = packed % _SIDE - _SIDE // 2 + base[2]
    if max(abs(x), abs(y), abs(z)) >= OFFSET - 1:
        return np.int64(NO_KEY)
    return pack(x, y, z)


@njit(cache=True, nogil=True, inline="always")
def _packed(number):
    """A voxel number as an integer, 0 or more."""
    return np.int64(number) + (_SIDE // 2 * _SIDE + _SIDE // 2) * _SIDE + _SIDE // 2


@njit(cache=True, nogil=True)
def _unique(depth, scale, color, K, T, size, near, far, stride, v_first, u_first, dedupe, bits):
    """Fills :class:`Dedupe` with the unique voxels of an image (HxW; colour HxWx3, of every second pixel, or empty);
    returns (entries, points), entries -1 where it is too small. Arguments as in :meth:`FrameHasher.__call__`."""
    height, width = depth.shape
    caster = make_caster(width, u_first, stride, K, T, size, near, far)
    n = caster.rays.size
    line, z, xz, rgb = np.empty(n, depth.dtype), np.empty(n), np.empty(n), np.zeros(n, np.int64)
    whole, halved = stride == 1 and u_first == 0, color.shape[0] < height
    paint, packed = np.zeros((n, 3), np.uint8), np.zeros(color.shape[1], np.int64)
    numbers = np.empty(n + 1)
    numbers[n] = _END
    # One run of pixels in the same voxel ends at ``ends[j]``, where the sums over the row have come to ``totals[:,
    # j]``.
    ends, totals, colors = np.empty(n + 1, np.int64), np.empty((2, n + 1)), np.empty(n + 1, np.int64)
    dedupe.slots[:] = -1
    entries, painted = 0, -1
    for v in range(v_first, height, stride):
        if not whole:
            line[:] = depth[v, u_first::stride]
        y = (v - K[3]) / K[1]
        row_voxels(caster, depth[v] if whole else line, scale, y, z, xz, numbers[:n])
        if color.size and halved:
            if v // 2 != painted:  # two rows share one of colours
                painted = v // 2
                _pack_colors(color[painted], packed)
                for i in range(n):
                    rgb[i] = packed[(u_first + i * stride) >> 1]
        elif color.size:
            if not whole:
                paint[:] = color[v, u_first::stride]
            _pack_colors(color[v] if whole else paint, rgb)
        runs = _ends(numbers, z, xz, rgb, ends, totals[0], totals[1], colors)
        entries = _sum_runs(dedupe, bits, entries, numbers, y, runs, ends, totals[0], totals[1], colors)
        if entries < 0:
            return -1, 0
    return _finish(dedupe, entries, caster)


@njit(cache=True, nogil=True)
def _pack_colors(colors, rgb):
    """Packs colours (n x 3 uint8) into one int64 each, _COLOR_BITS a component, so that a run's sums are one sum."""
    for i in range(rgb.size):
        r, g, b = np.int64(colors[i, 0]), np.int64(colors[i, 1]), np.int64(colors[i, 2])
        rgb[i] = r | (g << _COLOR_BITS) | (b << (2 * _COLOR_BITS))


@njit(cache=True, nogil=True)
def _ends(numbers, z, xz, rgb, ends, total_z, total_xz, total_rgb):
    """Ends of the runs of equal voxel numbers (n + 1) in a row and the sums of z, xz, rgb (n) up to there, without a
    branch; returns how many runs.

    The indices are unsigned: signed ones would be checked for counting from the end.
    """
    m = np.uint64(0)
    sum_z, sum_xz, sum_rgb = 0.0, 0.0, np.int64(0)
    for i in range(np.uint64(z.size)):
        sum_z += z[i]
        sum_xz += xz[i]
        sum_rgb += rgb[i]
        total_z[m], total_xz[m], total_rgb[m] = sum_z, sum_xz, sum_rgb
        ends[m] = i
        m += np.uint64(numbers[i] != numbers[i + np.uint64(1)])
    return m


@njit(cache=True, nogil=True)
def _sum_runs(dedupe, bits, entries, numbers, y, runs, ends, total_z, total_xz, total_rgb):
    """Adds a row's runs (see :func:`_ends`) to their entries, as sums in the optical frame; returns how many entries
    there are, -1 where there is no room."""
    slots, known, sums = dedupe.slots, dedupe.numbers, dedupe.sums
    mask, shift = np.uint64(slots.size - 1), np.uint64(64 - bits)
    room = known.size
    color_mask = np.int64((1 << _COLOR_BITS) - 1)
    was_z, was_xz, was_rgb, was_end = 0.0, 0.0, np.int64(0), np.int64(-1)
    for j in range(np.uint64(runs)):
        number = numbers[np.uint64(ends[j])]
        if number != NO_VOXEL:
            h = (np.uint64(_packed(number)) * _MULTIPLIER) >> shift
            e = slots[h]
            while e >= 0 and known[np.uint64(e)] != number:
                h = (h + np.uint64(1)) & mask
                e = slots[h]
            if e < 0:
                if entries + 1 >= room:
                    return -1
                e = np.int32(entries)
                slots[h] = e
                known[e] = number
                sums[e, :] = 0.0
                entries += 1
            k = np.uint64(e)
            sum_z, sum_rgb = total_z[j] - was_z, total_rgb[j] - was_rgb
            sums[k, SUM_X] += total_xz[j] - was_xz
            sums[k, SUM_Y] += y * sum_z
            sums[k, SUM_Z] += sum_z
            sums[k, SUM_R] += np.float64(sum_rgb & color_mask)
            sums[k, SUM_G] += np.float64((sum_rgb >> _COLOR_BITS) & color_mask)
            sums[k, SUM_B] += np.float64((sum_rgb >> (2 * _COLOR_BITS)) & color_mask)
            sums[k, SUM_N] += np.float64(ends[j] - was_end)
        was_z, was_xz, was_rgb, was_end = total_z[j], total_xz[j], total_rgb[j], ends[j]
    return entries


@njit(cache=True, nogil=True)
def _finish(dedupe, entries, caster):
    """Fills in the keys, drops entries beyond the keys' range, moves the sums into map; returns (entries, points)."""
    kept, points = 0, 0.0
    for e in range(entries):
        key = key_of_number(dedupe.numbers[e], caster.base)
        if key != NO_KEY:
            dedupe.keys[kept] = key
            if kept != e:
                dedupe.sums[kept, :] = dedupe.sums[e]
            points += dedupe.sums[kept, SUM_N]
            kept += 1
    _to_offsets(dedupe, kept, caster.T, caster.size)
    return kept, int(points)


@njit(cache=True, nogil=True)
def _to_offsets(dedupe, entries, T, size):
    """Sums of positions in the optical frame become sums of positions in map less the voxel's corner (m), in place."""
    for e in range(entries):
        voxel = unpack(dedupe.keys[e])
        s = dedupe.sums[e]
        x, y, z = s[SUM_X], s[SUM_Y], s[SUM_Z]
        for k in range(3):
            s[SUM_X + k] = T[k, 0] * x + T[k, 1] * y + T[k, 2] * z + s[SUM_N] * (T[k, 3] - voxel[k] * size)


def sighting_weights(
    voxels: FrameVoxels, position: np.ndarray, voxel_size: float, near: float, full_points: float
) -> np.ndarray:
    """How much each of a frame's N voxels counts as seen, 0 to 1 (N float32): less from afar and with few points.

    Args:
        position: (3,) of the camera, m. near: m. full_points: number of points that count fully.
    """
    position = np.asarray(position, np.float64)
    return _sighting_weights(voxels.keys, voxels.sums, position, voxel_size, near, float(full_points))


@njit(cache=True, nogil=True)
def _sighting_weights(keys, sums, position, size, near, full_points):
    """See :func:`sighting_weights`: N float32 of N keys and N x 8 sums."""
    out = np.empty(keys.size, np.float32)
    for e in range(keys.size):
        ix, iy, iz = unpack(keys[e])
        n = sums[e, SUM_N]
        dx = ix * size + sums[e, SUM_X] / n - position[0]
        dy = iy * size + sums[e, SUM_Y] / n - position[1]
        dz = iz * size + sums[e, SUM_Z] / n - position[2]
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
    """Fills ``rows`` (N int64) with the rows of N keys, made where there are none, -1 where the store is full; returns
    how many are new.

    A pass of its own: the processor waits for many blocks at once here, and for many rows at once in the next.
    """
    bits = table_bits(store)
    clock = store.counts[CLOCK]
    last_block_key, block = np.int64(NO_KEY), np.int64(-1)
    new, slot_rows, block_clock = 0, store.slot_rows, store.block_clock
    for e in range(keys.size):
        key = keys[e]
        bk = block_key(key)
        if bk != last_block_key:
            block = find_or_add_block(store, bk, bits)
            last_block_key = bk
        r = np.int64(-1)
        if block >= 0:
            r = np.int64(slot_rows[block, slot_in_block(key)]) - 1
            if r < 0:
                r = add_row(store, block, key)
                new += r >= 0
        if r < 0:
            store.counts[REFUSED] += 1
        else:
            block_clock[block] = clock
        rows[e] = r
    return new


@njit(cache=True, nogil=True)
def _fuse(store: Arrays, rows, keys, sums, sightings, stamps, max_evidence, min_evidence, raised):
    """Adds N voxels (sums N x 8, sightings N float32, stamps N or 1 int64 ns) to their rows; returns how many keys it
    put into ``raised`` (N int64): those whose evidence reached ``min_evidence``."""
    n_raised, all_rows = 0, store.rows
    for e in range(rows.size):
        if rows[e] < 0:
            continue
        row = all_rows[rows[e]]
        n = sums[e, SUM_N]
        total = row.weight + n
        share = n / total
        row.x += (sums[e, SUM_X] / n - row.x) * share
        row.y += (sums[e, SUM_Y] / n - row.y) * share
        row.z += (sums[e, SUM_Z] / n - row.z) * share
        row.r += (sums[e, SUM_R] / n - row.r) * share
        row.g += (sums[e, SUM_G] / n - row.g) * share
        row.b += (sums[e, SUM_B] / n - row.b) * share
        row.weight = total
        row.last_seen = max(row.last_seen, stamps[e if stamps.size > 1 else 0])
        before = row.evidence
        row.evidence = min(max_evidence, before + sightings[e])
        if before < min_evidence <= row.evidence:
            raised[n_raised] = keys[e]
            n_raised += 1
    return n_raised
