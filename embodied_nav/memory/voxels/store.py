"""Where voxels live: a hash of 8x8x8 blocks, a table of row numbers per block, 64-byte rows. Knows nothing of images.

Two levels instead of one flat hash, because neighbours in an image are neighbours in a block (one table look-up serves
many voxels), because the block is also the unit of frustum culling and of change reports, and because the table that
has to be rehashed when it grows is some sixty times smaller than the map: at ten million voxels that takes two or three
milliseconds. Rows and blocks grow without ever being copied: their address space is reserved once and the system
gives memory piece by piece as it is first written.

An emptied block keeps its table of 2 KiB, so that it can still be reported as changed; only a block that is taken out
as a whole (``eviction``) is freed. Freed rows and blocks are reused.
"""

from __future__ import annotations

import mmap
import sys
from typing import NamedTuple

import numpy as np
from numba import njit

from .keys import BLOCK_VOXELS, NO_KEY, block_key, hash_key, slot_in_block, unpack
from .record import ROW, fill_rows, winning_classes

#: Memory of a voxel without a feature: its row, label, owner and place among the freed ones, bytes.
ROW_BYTES = ROW.itemsize + 2 + 4 + 4

# mmap names it from Python 3.14 on; the value is Linux's on x86 and arm.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)

# Places in ``counts``.
ROWS, FREE_ROWS, LIVE, BLOCKS, CLOCK, REFUSED, FREE_BLOCKS, USED, BUDGET = range(9)
#: Memory of a block: its rows' numbers, mask, key, count, clock and place among the freed ones, bytes.
BLOCK_BYTES = BLOCK_VOXELS * 4 + BLOCK_VOXELS // 8 + 8 + 4 + 8 + 4


class Arrays(NamedTuple):
    """What the kernels see of a store.

    ``rows`` (N ROW); ``labels`` (N int16, winning class, 0 none); ``owner`` (N int32, object id, 0 none);
    ``free`` (N int32 stack of freed rows); ``slot_rows`` (B x 512 int32: by place in the
    block its row + 1, 0 empty); ``masks`` (B x 8 uint64, which places are not empty); ``block_keys``, ``block_live``
    (voxels), ``block_clock`` (clock of the last change), ``free_blocks`` (B int32 stack of freed blocks);
    ``table_keys``, ``table_blocks`` (open addressing, -1 empty); ``counts`` (int64, see the constants above);
    ``feature_bits`` (N x uint16, a row's feature as bf16, or as float32 in twice as many columns; 0 x 0 without
    features), ``feature_weight`` (N float32, 0 none).
    """

    rows: np.ndarray
    labels: np.ndarray
    owner: np.ndarray
    free: np.ndarray
    slot_rows: np.ndarray
    masks: np.ndarray
    block_keys: np.ndarray
    block_live: np.ndarray
    block_clock: np.ndarray
    free_blocks: np.ndarray
    table_keys: np.ndarray
    table_blocks: np.ndarray
    counts: np.ndarray
    feature_bits: np.ndarray
    feature_weight: np.ndarray


def reserve(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Zeros whose memory is only taken when written to.

    Raises:
        MemoryError: the address space is limited below that.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    try:
        buffer = mmap.mmap(-1, size, flags=flags)
    except (OSError, OverflowError):
        raise MemoryError(f"cannot reserve {size} bytes of address space") from None
    return np.frombuffer(buffer, dtype=dtype).reshape(shape)


class VoxelStore:
    """Voxels by packed key.

    Args:
        max_voxels: rows reserved; where the system limits address space, fewer, halved until it fits.
        feature_dim: components of a voxel's feature, 0 for none. feature_type: "bf16" or "f32".
        max_bytes: memory taken at most, 0 for no bound; a voxel for which there is none is refused.
    """

    def __init__(
        self,
        max_voxels: int = 1 << 24,
        table_bits: int = 12,
        feature_dim: int = 0,
        feature_type: str = "bf16",
        max_bytes: int = 0,
    ) -> None:
        self.max_voxels, self.max_bytes = max_voxels, max_bytes
        self._bound = max_bytes or np.iinfo(np.int64).max
        self.feature_dim, self.feature_type = feature_dim, feature_type
        # A bounded store's table never grows: growing needs the old one and the new one at once.
        self._most_blocks = max_bytes // (BLOCK_BYTES + ROW_BYTES) if max_bytes else max_voxels
        self._first_bits = max(table_bits, (2 * self._most_blocks).bit_length()) if max_bytes else table_bits
        self.clear()

    def clear(self) -> None:
        """Forgets all voxels and gives their memory back."""
        n = self.max_voxels
        while True:
            blocks = max(n // 16, 1024)
            try:
                rows, free = reserve((n,), ROW), reserve((n,), np.int32)
                labels, owner = reserve((n,), np.int16), reserve((n,), np.int32)
                slot_rows = reserve((blocks, BLOCK_VOXELS), np.int32)
                masks = reserve((blocks, BLOCK_VOXELS // 64), np.uint64)
                bits, weight = self._reserve_features(n)
                break
            except MemoryError:
                if n <= 1 << 16:
                    raise
                n //= 2
        keys, live, clock, freed = (reserve((blocks,), t) for t in (np.int64, np.int32, np.int64, np.int32))
        self.arrays = Arrays(
            rows, labels, owner, free, slot_rows, masks, keys, live, clock, freed, *_empty_table(self._first_bits),
            np.zeros(16, np.int64), bits, weight,
        )  # fmt: skip
        self.arrays.counts[BUDGET] = self._bound
        self._count_used()

    def set_bound(self, nbytes: int) -> None:
        """What a bounded store takes at most from now on, up to ``max_bytes``; never less than it has taken."""
        self._bound = self.arrays.counts[BUDGET] = min(max(nbytes, self.nbytes), self.max_bytes)

    def _reserve_features(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        if not self.feature_dim:
            return np.zeros((0, 0), np.uint16), np.zeros(0, np.float32)
        columns = self.feature_dim * (2 if self.feature_type == "f32" else 1)
        return reserve((n, columns), np.uint16), reserve((n,), np.float32)

    def __len__(self) -> int:
        return int(self.arrays.counts[LIVE])

    @property
    def rows(self) -> np.ndarray:
        """All rows ever used, freed ones (key -1) among them; a view."""
        return self.arrays.rows[: self.arrays.counts[ROWS]]

    @property
    def feature_table(self) -> np.ndarray:
        """Features of all rows reserved, N x D: uint16 (bf16) or float32; a view."""
        bits = self.arrays.feature_bits
        return bits.view(np.float32) if self.feature_type == "f32" and self.feature_dim else bits

    @property
    def features(self) -> np.ndarray:
        """Features of all rows ever used, N x D: uint16 (bf16) or float32, zeros for none; a view."""
        return self.feature_table[: self.arrays.counts[ROWS]]

    @property
    def feature_weights(self) -> np.ndarray:
        """Weights of all rows' features, N float32, 0 for none; a view."""
        return self.arrays.feature_weight[: self.arrays.counts[ROWS]]

    @property
    def blocks(self) -> int:
        """Blocks in use."""
        return int(self.arrays.counts[BLOCKS])

    def used_blocks(self) -> np.ndarray:
        """(B,) int64 keys of all blocks that are there, emptied ones too; a copy."""
        keys = self.arrays.block_keys[: self.blocks]
        return keys[keys != NO_KEY]

    @property
    def row_bytes(self) -> int:
        """Memory of a row with all that belongs to it, its share of the block table left out, bytes."""
        feature = self.arrays.feature_bits.shape[1] * 2 + 4 if self.feature_dim else 0
        return ROW_BYTES + feature

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return int(self.arrays.counts[USED])

    def _count_used(self) -> None:
        a = self.arrays
        table = a.table_keys.nbytes + a.table_blocks.nbytes
        a.counts[USED] = table + a.counts[ROWS] * self.row_bytes + a.counts[BLOCKS] * BLOCK_BYTES

    @property
    def clock(self) -> int:
        """The clock that stamps changed blocks, now."""
        return int(self.arrays.counts[CLOCK])

    def tick(self) -> int:
        """Advances the clock that stamps changed blocks; returns it."""
        self.arrays.counts[CLOCK] += 1
        return int(self.arrays.counts[CLOCK])

    def advance_clock(self, beyond: int) -> None:
        """Sets the clock later than one of before, so that everything counts as changed since."""
        self.arrays.counts[CLOCK] = max(self.clock, beyond) + 1

    def make_room(self, blocks: int) -> None:
        """Grows the block table so that ``blocks`` more keep it at most half full."""
        need = 2 * min(self.blocks + blocks, self._most_blocks)
        bits = self.arrays.table_keys.size.bit_length() - 1
        if need <= 1 << bits:
            return
        while need > 1 << bits:
            bits += 1
        keys, values = _empty_table(bits)
        _rehash(self.arrays.block_keys, self.blocks, keys, values, bits)
        self.arrays = self.arrays._replace(table_keys=keys, table_blocks=values)
        self._count_used()

    def needed(self, keys: np.ndarray) -> tuple[int, int]:
        """How many of N int64 keys have no voxel, and how many blocks these need that are not there."""
        return _needed(self.arrays, keys)

    def room_for(self, rows: int, blocks: int) -> bool:
        """Whether so many more voxels and blocks fit into ``max_bytes``."""
        c = self.arrays.counts
        rows, blocks = max(rows - int(c[FREE_ROWS]), 0), max(blocks - int(c[FREE_BLOCKS]), 0)
        return int(c[USED]) + rows * self.row_bytes + blocks * BLOCK_BYTES <= int(c[BUDGET])

    def takes(self, nbytes: int) -> bool:
        """Whether so many more bytes fit into its bound."""
        return int(self.arrays.counts[USED]) + nbytes <= int(self.arrays.counts[BUDGET])

    def remove_blocks(self, blocks: np.ndarray) -> None:
        """Frees whole blocks (N int) with their voxels; nothing reports them as changed."""
        _remove_blocks(self.arrays, np.asarray(blocks, np.int64), table_bits(self.arrays))

    def adopt(self, other: VoxelStore) -> None:
        """Has from now on what another unbounded store has; that one must not be used any more."""
        self.arrays = other.arrays

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Row numbers of N int64 keys, -1 where there is none."""
        return _find_many(self.arrays, np.ascontiguousarray(keys, dtype=np.int64))

    def insert(
        self,
        keys: np.ndarray,
        voxels: np.ndarray,
        features: np.ndarray | None = None,
        feature_weights: np.ndarray | None = None,
    ) -> None:
        """Puts N new voxels with all their fields (``record.VOXEL``) into the store, as a file holds them.

        Args:
            features, feature_weights: N x D of the store's type and N float32, where the store holds features.

        Raises:
            ValueError: a voxel is there already, or there is no room.
        """
        self.make_room(len(keys))
        self.tick()
        rows = _insert(self.arrays, np.ascontiguousarray(keys, np.int64))
        if (rows < 0).any():
            raise ValueError("a voxel is there twice, or there is no room for all")
        fill_rows(self.arrays.rows, voxels, rows)
        self.arrays.labels[rows], self.arrays.owner[rows] = winning_classes(voxels), voxels["object"]
        if features is not None and self.feature_dim:
            self.feature_table[rows], self.arrays.feature_weight[rows] = features, feature_weights

    def probe_lengths(self) -> np.ndarray:
        """Slots looked at to find each block; 1 is ideal. For tests of the hash."""
        a = self.arrays
        keys = a.block_keys[: self.blocks]
        return _probe_lengths(keys[keys != NO_KEY], a.table_keys)


def _empty_table(bits: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(1 << bits, NO_KEY, np.int64), np.full(1 << bits, -1, np.int32)


@njit(cache=True, nogil=True)
def _rehash(block_keys, n, table_keys, table_blocks, bits):
    """Enters the first n blocks (keys, int64) into an empty table of 2^bits keys (int64) and block numbers (int32)."""
    mask = table_keys.size - 1
    for b in range(n):
        if block_keys[b] == NO_KEY:
            continue
        h = hash_key(block_keys[b], bits)
        while table_keys[h] != NO_KEY:
            h = (h + 1) & mask
        table_keys[h] = block_keys[b]
        table_blocks[h] = b


@njit(cache=True, nogil=True)
def _probe_lengths(block_keys, table_keys):
    """How many slots of a table of keys are looked at to find each of B blocks: B int64."""
    out = np.empty(block_keys.size, np.int64)
    mask = table_keys.size - 1
    bits = 0
    while (1 << bits) < table_keys.size:
        bits += 1
    for b in range(block_keys.size):
        h = hash_key(block_keys[b], bits)
        out[b] = 1
        while table_keys[h] != block_keys[b]:
            h = (h + 1) & mask
            out[b] += 1
    return out


# What is called once a voxel is put into its caller: to hand over all of ``Arrays`` takes ten times what it does.


@njit(cache=True, nogil=True)
def table_bits(store):
    """Bits of the block table's size."""
    bits = 0
    while (1 << bits) < store.table_keys.size:
        bits += 1
    return bits


@njit(cache=True, nogil=True, inline="always")
def _slot(store, key, bits):
    """Where the block table holds a block key, or the empty slot where it belongs."""
    mask = store.table_keys.size - 1
    h = hash_key(key, bits)
    while store.table_keys[h] != key and store.table_keys[h] != NO_KEY:
        h = (h + 1) & mask
    return h


@njit(cache=True, nogil=True, inline="always")
def find_block(store, key, bits):
    """Block number of a block key, or -1."""
    h = _slot(store, key, bits)
    return np.int64(store.table_blocks[h]) if store.table_keys[h] == key else np.int64(-1)


@njit(cache=True, nogil=True, inline="always")
def find_or_add_block(store, key, bits):
    """Block number of a block key, made where there is none; -1 where the store is full."""
    h = _slot(store, key, bits)
    if store.table_keys[h] == key:
        return np.int64(store.table_blocks[h])
    if store.counts[FREE_BLOCKS] > 0:
        store.counts[FREE_BLOCKS] -= 1
        b = np.int64(store.free_blocks[store.counts[FREE_BLOCKS]])
    else:
        b = store.counts[BLOCKS]
        if b >= store.block_keys.size or store.counts[USED] + BLOCK_BYTES > store.counts[BUDGET]:
            return np.int64(-1)
        store.counts[BLOCKS] = b + 1
        store.counts[USED] += BLOCK_BYTES
    store.block_keys[b] = key
    store.table_keys[h] = key
    store.table_blocks[h] = b
    return b


@njit(cache=True, nogil=True, inline="always")
def add_row(store, block, key):
    """A zeroed row for a voxel that is not there yet; -1 where the store is full."""
    if store.counts[FREE_ROWS] > 0:
        store.counts[FREE_ROWS] -= 1
        r = np.int64(store.free[store.counts[FREE_ROWS]])
    else:
        r = store.counts[ROWS]
        size = ROW_BYTES + (2 * store.feature_bits.shape[1] + 4 if store.feature_weight.size > 0 else 0)
        if r >= store.rows.size or store.counts[USED] + size > store.counts[BUDGET]:
            return np.int64(-1)
        store.counts[ROWS] = r + 1
        store.counts[USED] += size
    row = store.rows[r]
    row.key = key
    row.last_seen = 0
    row.x = row.y = row.z = 0.0
    row.r = row.g = row.b = 0.0
    row.weight = row.evidence = 0.0
    row.class_a = row.class_b = 0
    row.votes_a = row.votes_b = row.votes = 0.0
    s = slot_in_block(key)
    store.slot_rows[block, s] = r + 1
    store.masks[block, s >> 6] |= np.uint64(1) << np.uint64(s & 63)
    store.block_live[block] += 1
    store.counts[LIVE] += 1
    return r


@njit(cache=True, nogil=True, inline="always")
def remove_row(store, block, r):
    """Frees the row of a voxel."""
    s = slot_in_block(store.rows[r].key)
    store.slot_rows[block, s] = 0
    store.masks[block, s >> 6] &= ~(np.uint64(1) << np.uint64(s & 63))
    store.rows[r].key = NO_KEY
    store.labels[r] = 0
    store.owner[r] = 0
    if store.feature_weight.size > 0:
        store.feature_bits[r, :] = 0
        store.feature_weight[r] = 0
    store.free[store.counts[FREE_ROWS]] = r
    store.counts[FREE_ROWS] += 1
    store.block_live[block] -= 1
    store.counts[LIVE] -= 1


@njit(cache=True, nogil=True)
def _remove_blocks(store, blocks, bits):
    """Frees blocks (N int64 numbers) with their rows, and their slots in the table of 2^bits."""
    for b in blocks:
        for s in range(BLOCK_VOXELS):
            if store.slot_rows[b, s] > 0:
                remove_row(store, b, np.int64(store.slot_rows[b, s]) - 1)
        _close_gap(store, _slot(store, store.block_keys[b], bits), bits)
        store.block_keys[b] = NO_KEY
        store.block_clock[b] = 0
        store.free_blocks[store.counts[FREE_BLOCKS]] = b
        store.counts[FREE_BLOCKS] += 1


@njit(cache=True, nogil=True)
def _close_gap(store, gap, bits):
    """Empties a slot of the block table; what was put behind it because it was full moves up."""
    mask = store.table_keys.size - 1
    h = (gap + 1) & mask
    while store.table_keys[h] != NO_KEY:
        home = hash_key(store.table_keys[h], bits)
        if ((h - home) & mask) >= ((h - gap) & mask):
            store.table_keys[gap], store.table_blocks[gap] = store.table_keys[h], store.table_blocks[h]
            gap = h
        h = (h + 1) & mask
    store.table_keys[gap] = NO_KEY
    store.table_blocks[gap] = -1


@njit(cache=True, nogil=True)
def _needed(store, keys):
    """Of N voxel keys (int64): how many have no row, and how many blocks these need that are not there."""
    bits = table_bits(store)
    rows, n = 0, 0
    missing = np.empty(keys.size, np.int64)
    for key in keys:
        b = find_block(store, block_key(key), bits)
        if b >= 0:
            rows += store.slot_rows[b, slot_in_block(key)] == 0
        else:
            rows += 1
            missing[n] = block_key(key)
            n += 1
    return rows, np.unique(missing[:n]).size


@njit(cache=True, nogil=True, inline="always")
def find_row(store, key, bits):
    """Row number of a voxel, or -1."""
    b = find_block(store, block_key(key), bits)
    if b < 0:
        return np.int64(-1)
    return np.int64(store.slot_rows[b, slot_in_block(key)]) - 1


@njit(cache=True, nogil=True)
def _find_many(store, keys):
    """Rows (N int64) of N voxel keys (int64), -1 where there is none."""
    out = np.empty(keys.size, np.int64)
    bits = table_bits(store)
    for i in range(keys.size):
        out[i] = find_row(store, keys[i], bits)
    return out


@njit(cache=True, nogil=True)
def _insert(store, keys):
    """Makes zeroed rows for N voxel keys (int64): their numbers (N int64), -1 where there is one already or no room."""
    out = np.full(keys.size, -1, np.int64)
    bits = table_bits(store)
    for i in range(keys.size):
        b = find_or_add_block(store, block_key(keys[i]), bits)
        if b >= 0 and store.slot_rows[b, slot_in_block(keys[i])] == 0:
            out[i] = add_row(store, b, keys[i])
            store.block_clock[b] = store.counts[CLOCK]
    return out


@njit(cache=True, nogil=True)
def centroids(store, rows, voxel_size):
    """Nx3 float64 (m) means of the points in N voxels by their rows."""
    out = np.empty((rows.size, 3))
    for i in range(rows.size):
        row = store.rows[rows[i]]
        x, y, z = unpack(row.key)
        out[i, 0], out[i, 1], out[i, 2] = x * voxel_size + row.x, y * voxel_size + row.y, z * voxel_size + row.z
    return out
