"""Pixels sorted into cells of half a voxel in a keyframe's frame, and these as compact records. Knows no map.

Why cells: a local cloud must give the same voxels as its pixels would under whatever pose its keyframe turns out to
have, at a few per cent of the pixels' memory. Points of a cell (its centroid, say) would not do: a voxel that only the
rim of a surface reaches into is missed, and at half a voxel every sixth is one of these. So each cell keeps which of
its 4x4x4 sub-cells were hit, and each of these which of its eight octants were hit and by which frames.
``revoxelizing`` cuts the first along the faces of other voxels; it asks the second where that decides whether a voxel
was hit, and by how many frames: with the frames of whole cells every twentieth voxel became an obstacle that was none,
or the other way round.
::

    along one axis:
      voxel        |                               5 cm                                |
      cell         |               0                |               1                  |   numbers in HIT.cell
      sub-cell     |   0   |   1   |   2   |   3    |   0   |   1   |   2   |   3      |   4 a cell
      octant       | 0 | 1 | 0 | 1 | 0 | 1 | 0 | 1  | 0 | 1 | 0 | 1 | 0 | 1 | 0 | 1    |   2 a sub-cell

    HIT.mask, 64 bits: sub-cell (x, y, z) is bit (x * 4 + y) * 4 + z

       bit 63          48 47          32 31          16 15           0
          |    x = 3     |    x = 2     |    x = 1     |    x = 0     |
                                                       | y=3|y=2|y=1|y=0 |   four bits each: z = 3 2 1 0

    DETAIL, 16 bits, one for each bit set in the mask, lowest bit first

       bit 15 14 13 12 11 10  9  8   7  6  5  4  3  2  1  0
          |  groups of frames that  | octants that were hit |
          |  hit the sub-cell       | (x * 2 + y) * 2 + z   |
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...geometry import Camera
from ..voxels.keys import count_bits, hash_key

#: Edge of a cell, voxels.
CELL = 0.5
#: Sub-cells along a cell's edge, and octants along a sub-cell's.
SUB, OCT = 4, 2
#: Hits: mask of the sub-cells that were hit, last seen (ns), points, cell number, colour, and which frames (bits as in
#: a detail) hit one, two and three of its sub-cells at least.
HIT = np.dtype(
    [("mask", "<u8"), ("last_seen", "<i8"), ("weight", "<f4"), ("cell", "<i2", 3), ("rgb", "u1", 3), ("often", "u1", 3)]
)
#: Of a sub-cell that was hit: mask of its octants, and eight bits above it for the groups of frames that hit it.
DETAIL = np.dtype("<u2")
FRAME_BITS, FRAME_SHIFT = 8, 8
OCTANT_MASK = (1 << OCT**3) - 1
#: Compact cells come brick by brick, 2^3 of them along a brick's edge.
BRICK_BITS = 3
_FIRST_BITS = 12
#: Cells along an axis; three cell numbers fit into one float64 without rounding.
_SIDE = 1 << 16
_MIDDLE = _SIDE // 2
#: The cell of a pixel that is not used, and the one after a row's last.
_NO_CELL, _END = 1e16, -1e16
#: A growing cell: its number along x, y and z in one integer; details of all sub-cells; sums of its points' colours.
_CELL = np.dtype(
    [("key", "<i8"), ("last_seen", "<i8"), ("details", DETAIL, SUB**3), ("r", "<f4"), ("g", "<f4"), ("b", "<f4"),
     ("weight", "<f4")]
)  # fmt: skip
_NO_COLOR = np.zeros((0, 0, 3), np.uint8)


def frames_a_bit(frames: int) -> int:
    """How many successive frames share a bit of the details where so many were sorted: a power of two."""
    out = 1
    while frames > FRAME_BITS * out:
        out *= 2
    return out


class CellTable:
    """Cells that grow frame by frame.

    Args:
        size: of a cell, m. near, far: depth that is used, m. stride: every n-th pixel of every n-th row.
        bits: of the hash at first.
    """

    def __init__(self, size: float, near: float, far: float, stride: int, bits: int = _FIRST_BITS) -> None:
        self._size, self._near, self._far, self._stride = size, np.float32(near), np.float32(far), stride
        self._bits = bits
        self.clear()

    def clear(self) -> None:
        """Forgets all."""
        self._count = self._frames = 0
        self._cells = np.empty(0, _CELL)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return self._cells.nbytes

    @property
    def cells(self) -> np.ndarray:
        """The growing cells, in order of their coming; a view. :func:`compact` makes records of them."""
        return self._cells[: self._count]

    def add(self, depth: np.ndarray, color: np.ndarray | None, camera: Camera, T: np.ndarray, stamp: int) -> bool:
        """Sorts a frame in; returns whether cells that it does not hit changed too.

        Args:
            depth: HxW float32 m. color: HxWx3 uint8. T: 4x4, cells' frame from optical frame. stamp: ns.
        """
        color = _NO_COLOR if color is None else np.ascontiguousarray(color)
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        row, folded = 0, frames_a_bit(self._frames + 1) > frames_a_bit(self._frames)
        if folded:
            _fold(self.cells["details"])
        bit = np.uint16(1 << (FRAME_SHIFT + self._frames // frames_a_bit(self._frames + 1)))
        self._frames += 1
        if not self._cells.size:  # what was needed before clearing will be needed again
            self._resize(self._bits)
        while True:
            self._count, row = _collect(
                depth, color, K, T, self._size, self._near, self._far, self._stride, row, stamp, bit, self._slots,
                self._bits, self._cells, self._cells["details"], self._count,
            )  # fmt: skip
            if row >= depth.shape[0]:
                return folded
            self._resize(self._bits + 1)

    def _resize(self, bits: int) -> None:
        """Takes a hash of 2^bits; one keyframe's cells are few, so copying them costs well under a millisecond."""
        cells = np.empty(1 << (bits - 1), _CELL)
        slots = np.full(1 << bits, -1, np.int32)
        if self._count:
            cells[: self._count] = self._cells[: self._count]
            _rehash(slots, bits, cells["key"], self._count)
        self._bits, self._slots, self._cells = bits, slots, cells


def compact(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Growing cells as HIT records, brick by brick, and the DETAILs of their sub-cells in the order of cells and
    bits."""
    key = cells["key"]
    order = np.argsort(_places(key // (_SIDE * _SIDE), (key // _SIDE) % _SIDE, key % _SIDE))
    hits = np.empty(len(cells), HIT)
    details = np.empty(_close(cells, cells["details"], order, hits, hits["cell"], hits["rgb"], hits["often"]), DETAIL)
    _gather(cells["details"], order, details)
    return hits, details


def in_order(hits: np.ndarray, details: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hits that were made compact part by part as if they had been all together."""
    places = _places(*(hits["cell"].astype(np.int64) + _MIDDLE).T)
    order = np.argsort(places)
    if (places[1:] > places[:-1]).all():
        return hits, details
    return hits[order], _details_of(details, detail_edges(hits), order)


@njit(cache=True, nogil=True)
def _details_of(details, edges, order):
    """Details (M uint16) of N hits in another order (N int64); ``edges``: of :func:`detail_edges`."""
    out, n = np.empty_like(details), 0
    for i in order:
        for k in range(edges[i], edges[i + 1]):
            out[n] = details[k]
            n += 1
    return out


def middles(hits: np.ndarray, voxel_size: float) -> np.ndarray:
    """(N, 3) float64 middles (m) of hits' cells."""
    return (hits["cell"] + 0.5) * (CELL * voxel_size)


@njit(cache=True, nogil=True)
def detail_edges(hits):
    """Where the details of each of N hits begin, and where the last one's end: N + 1 int64."""
    out = np.zeros(hits.size + 1, np.int64)
    for i in range(hits.size):
        out[i + 1] = out[i] + np.int64(count_bits(hits[i].mask))
    return out


def hits_of_points(old: np.ndarray, voxel_size: float, a_bit: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits and details of what files held once: records with ``p`` (m) instead of cell and mask."""
    octants = np.floor(old["p"].astype(np.float64) / (CELL * voxel_size) * (SUB * OCT)).astype(np.int64)
    cell, within = octants // (SUB * OCT), octants % (SUB * OCT)
    sub, octant = within // OCT, within % OCT
    dense = np.zeros((len(old), SUB**3), np.uint8)
    place = (sub[:, 0] * SUB + sub[:, 1]) * SUB + sub[:, 2]
    dense[np.arange(len(old)), place] = 1 << ((octant[:, 0] * OCT + octant[:, 1]) * OCT + octant[:, 2])
    cell = np.clip(cell, -_MIDDLE, _MIDDLE - 1)
    return _hits_of_dense(old, cell, dense, np.ceil(old["sightings"]), a_bit)


def hits_of_dense(old: np.ndarray, a_bit: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits and details of what files held once: records with the octants of all 64 sub-cells, and a count of frames."""
    return _hits_of_dense(old, old["cell"], old["details"], old["frames"], a_bit)


def _hits_of_dense(
    old: np.ndarray, cell: np.ndarray, dense: np.ndarray, frames: np.ndarray, a_bit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Old records do not say which frames hit a cell, only how many: each of its sub-cells is taken as hit by all."""
    hit = dense > 0
    bits = ((1 << np.clip(np.ceil(frames / a_bit), 1, FRAME_BITS).astype(np.int64)) - 1).astype(np.uint16)
    hits = np.zeros(len(old), HIT)
    hits["cell"], hits["rgb"], hits["weight"], hits["last_seen"] = cell, old["rgb"], old["weight"], old["last_seen"]
    hits["mask"] = (hit.astype(np.uint64) << np.arange(SUB**3, dtype=np.uint64)).sum(1, dtype=np.uint64)
    for k in range(3):
        hits["often"][:, k] = np.where(hit.sum(1) > k, bits, 0)
    return hits, (dense.astype(np.uint16) | (bits[:, None] << FRAME_SHIFT))[hit]


@njit(cache=True, nogil=True, inline="always")
def middle_of_key(key, size):
    """Middle (x, y, z; m) of a growing cell by its key."""
    x, y, z = key // (_SIDE * _SIDE) - _MIDDLE, (key // _SIDE) % _SIDE - _MIDDLE, key % _SIDE - _MIDDLE
    return (x + 0.5) * size, (y + 0.5) * size, (z + 0.5) * size


def _places(x, y, z):
    """Numbers by which cells (of numbers from 0) sort brick by brick."""
    low = (1 << BRICK_BITS) - 1
    brick = ((x >> BRICK_BITS) << 26) | ((y >> BRICK_BITS) << 13) | (z >> BRICK_BITS)
    return (((brick << BRICK_BITS | (x & low)) << BRICK_BITS | (y & low)) << BRICK_BITS) | (z & low)


@njit(cache=True, nogil=True)
def _close(cells, details, order, hits, numbers, colors, often):
    """Fills ``hits`` (N HIT) and its fields ``numbers``, ``colors``, ``often`` (N x 3) with growing cells (_CELL),
    taken in ``order`` (N int64); returns how many sub-cells were hit."""
    total = 0
    for i in range(order.size):
        at = order[i]
        c, hit, key = cells[at], hits[i], cells[at].key
        numbers[i, 0] = key // (_SIDE * _SIDE) - _MIDDLE
        numbers[i, 1] = (key // _SIDE) % _SIDE - _MIDDLE
        numbers[i, 2] = key % _SIDE - _MIDDLE
        colors[i, 0] = np.uint8(np.rint(c.r / c.weight))
        colors[i, 1] = np.uint8(np.rint(c.g / c.weight))
        colors[i, 2] = np.uint8(np.rint(c.b / c.weight))
        mask = np.uint64(0)
        once, twice, more = np.uint16(0), np.uint16(0), np.uint16(0)
        for k in range(SUB**3):
            detail = details[at, k]
            frames = detail >> np.uint16(FRAME_SHIFT)
            more |= twice & frames
            twice |= once & frames
            once |= frames
            mask |= np.uint64(detail > 0) << np.uint64(k)
        often[i, 0], often[i, 1], often[i, 2] = once, twice, more
        hit.mask, hit.weight, hit.last_seen = mask, c.weight, c.last_seen
        total += np.int64(count_bits(mask))
    return total


@njit(cache=True, nogil=True)
def _gather(details, order, out):
    """Fills ``out`` (M uint16) with the details of the sub-cells that were hit, cell by cell in ``order`` (N int64)."""
    n = 0
    for at in order:
        for k in range(SUB**3):
            if details[at, k] > 0:
                out[n] = details[at, k]
                n += 1


@njit(cache=True, nogil=True)
def _fold(details):
    """Two successive frame bits of all details (N x 64 uint16) become one, in place."""
    halves = np.empty(256, np.uint16)
    for f in range(256):
        halves[f] = 0
        for k in range(4):
            if (f >> (2 * k)) & 3:
                halves[f] |= np.uint16(1 << (FRAME_SHIFT + k))
    for i in range(details.shape[0]):
        for k in range(SUB**3):
            d = details[i, k]
            details[i, k] = (d & np.uint16(OCTANT_MASK)) | halves[d >> FRAME_SHIFT]


# ---- pixels into cells ----


@njit(cache=True, nogil=True)
def _row(depth, near, far, slopes, bx, by, bz, start, cells, places):
    """Fills in each of a row's n pixels its cell in one number (n float64, _NO_CELL for none), and which of the cell's
    8x8x8 octants it is in (n float32).

    Coordinates are in octants. All is floating point, so that the compiler makes vector code of it.

    Args:
        depth: (n,) float32 m. slopes: 3 x n float32, octants a metre of depth without the row's part, which is bx, by,
            bz. start: (3,) float32, the camera.
    """
    sx, sy, sz = start[0], start[1], start[2]
    eighth, eight, reach = np.float32(0.125), np.float32(8), np.float32(_MIDDLE - 1)
    for i in range(places.size):
        d = depth[i]
        used = (d >= near) & (d <= far) & (d > 0)
        z = d if used else np.float32(0)
        jx = np.floor((slopes[0, i] + bx) * z + sx)
        jy = np.floor((slopes[1, i] + by) * z + sy)
        jz = np.floor((slopes[2, i] + bz) * z + sz)
        x, y, w = np.floor(jx * eighth), np.floor(jy * eighth), np.floor(jz * eighth)
        used &= max(abs(x), max(abs(y), abs(w))) <= reach
        value = (np.float64(x) * _SIDE + np.float64(y)) * _SIDE + np.float64(w)
        cells[i] = value if used else _NO_CELL
        place = ((jx - x * eight) * eight + (jy - y * eight)) * eight + (jz - w * eight)
        places[i] = place if used else np.float32(0)


@njit(cache=True, nogil=True)
def _pack_colors(color, stride, rgb):
    """Packs the colours of a row's used pixels (W x 3 uint8) into one int64 each (n), 21 bits a component."""
    for i in range(rgb.size):
        p = color[i * stride]
        rgb[i] = np.int64(p[0]) | (np.int64(p[1]) << 21) | (np.int64(p[2]) << 42)


@njit(cache=True, nogil=True)
def _collect(depth, color, K, T, size, near, far, stride, first_row, stamp, frame, slots, bits, cells, details, count):
    """Sorts an image (HxW float32 m, HxWx3 uint8 or empty) into cells from ``first_row`` on.

    Args:
        K: fx, fy, cx, cy. T: 4x4, cells' frame from optical frame. size: of a cell, m. frame: its bit in a detail.
        slots: 2^bits int32, number of a cell or -1; cells (N _CELL) with their ``details`` (N x 64 uint16), of which
            ``count`` are in use; all three are changed.

    Returns:
        How many cells are in use now, and the next row, which is in the image where room ran out.
    """
    height, width = depth.shape
    n = (width + stride - 1) // stride
    scale = SUB * OCT / size
    rays = (stride * np.arange(n) - K[2]) / K[0]
    slopes, start = np.empty((3, n), np.float32), np.empty(3, np.float32)
    for k in range(3):
        slopes[k] = (T[k, 0] * scale * rays).astype(np.float32)
        start[k] = T[k, 3] * scale
    line = np.empty(n, np.float32)
    values, places, rgb = np.empty(n + 1), np.empty(n, np.float32), np.zeros(n, np.int64)
    values[n] = _END
    octants = _octant_numbers()
    colored = color.shape[0] == height
    for v in range(first_row, height, stride):
        if 2 * (count + n) > slots.size:
            return count, v
        line[:] = depth[v, ::stride]
        y = (v - K[3]) / K[1]
        bx = np.float32((T[0, 1] * y + T[0, 2]) * scale)
        by = np.float32((T[1, 1] * y + T[1, 2]) * scale)
        bz = np.float32((T[2, 1] * y + T[2, 2]) * scale)
        _row(line, near, far, slopes, bx, by, bz, start, values[:n], places)
        if colored:
            _pack_colors(color[v], stride, rgb)
        count = _sort_row(values, places, octants, rgb, stamp, frame, slots, bits, cells, details, count)
    return count, height


@njit(cache=True, nogil=True)
def _octant_numbers():
    """Of each of a cell's 8x8x8 octants the sub-cell << 8 | the octant's bit in its detail: 512 int16."""
    out = np.empty(512, np.int16)
    for k in range(512):
        x, y, z = k >> 6, (k >> 3) & 7, k & 7
        out[k] = (
            ((x >> 1) << 12) | ((y >> 1) << 10) | ((z >> 1) << 8) | (1 << (((x & 1) << 2) | ((y & 1) << 1) | (z & 1)))
        )
    return out


@njit(cache=True, nogil=True)
def _sort_row(values, places, octants, rgb, stamp, frame, slots, bits, cells, details, count):
    """Sorts a row's n pixels into cells; returns how many cells are in use.

    Args:
        values (n + 1), places (n): of :func:`_row`. octants: of :func:`_octant_numbers`. rgb: of :func:`_pack_colors`.
        Others as in :func:`_collect`.
    """
    mask = np.uint64(slots.size - 1)
    n = np.uint64(places.size)
    one = np.uint64(1)
    i = np.uint64(0)
    while i < n:
        value = values[i]
        if value == _NO_CELL:
            i += one
            continue
        key = np.int64(value) + (_MIDDLE * _SIDE + _MIDDLE) * _SIDE + _MIDDLE
        h = np.uint64(hash_key(key, bits))
        c = slots[h]
        while c >= 0 and cells[np.uint64(c)].key != key:
            h = (h + one) & mask
            c = slots[h]
        if c < 0:
            c = np.int32(count)
            slots[h] = c
            new = cells[c]
            new.key = key
            new.r = new.g = new.b = new.weight = np.float32(0)
            details[c, :] = 0
            count += 1
        e = np.uint64(c)
        cell = cells[e]
        cell.last_seen = stamp
        first, total = i, np.int64(0)
        while values[i] == value:
            p = octants[np.uint64(places[i])]
            details[e, np.uint64(p >> 8)] |= np.uint16(p & OCTANT_MASK) | frame
            total += rgb[i]
            i += one
        cell.weight += np.float32(i - first)
        cell.r += np.float32(total & 0x1FFFFF)
        cell.g += np.float32((total >> 21) & 0x1FFFFF)
        cell.b += np.float32(total >> 42)
    return count


@njit(cache=True, nogil=True)
def _rehash(slots, bits, keys, count):
    """Enters the first ``count`` cells (keys, int64) into an empty hash (2^bits int32)."""
    mask = slots.size - 1
    for c in range(count):
        h = hash_key(keys[c], bits)
        while slots[h] >= 0:
            h = (h + 1) & mask
        slots[h] = c
