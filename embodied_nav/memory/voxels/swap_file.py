"""Blocks of voxels in a swap file: how they get there and back. Knows nothing of what leaves memory and why.

A block is one blob, a record a voxel: its row as it lies in memory, its owner, its feature's weight and the feature.
Nothing is converted, so a block comes back bit by bit, and many blocks are one array.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from .keys import (
    BLOCK_SIDE,
    BLOCK_VOXELS,
    OFFSET,
    block_key,
    block_numbers,
    blocks_of_keys,
    keys_in_blocks,
    pack_numbers,
    slot_in_block,
)
from .mapped_arrays import disk_folder
from .record import ROW, fill_rows, voxels_of_rows, winning_classes
from .store import CLOCK, VoxelStore, add_row, find_or_add_block, table_bits

#: Blocks along a region's edge, as a power of two.
REGION_BITS = 2
#: 16-bit numbers of a record: row, owner, weight of the feature; the feature follows.
_ROW, _OWNER, _WEIGHT = ROW.itemsize // 2, ROW.itemsize // 2 + 2, ROW.itemsize // 2 + 4
_TABLE = """
CREATE TABLE blocks (key INTEGER PRIMARY KEY, region INTEGER NOT NULL, voxels INTEGER NOT NULL, clock INTEGER NOT NULL,
    records BLOB NOT NULL);
CREATE INDEX blocks_by_region ON blocks (region, voxels);
"""


class SwappedBlock(NamedTuple):
    """A block on disk: packed block key, clock of its last change, voxels (N VOXEL), features (N x D as the store keeps
    them) and their weights (N float32)."""

    key: int
    clock: int
    voxels: np.ndarray
    features: np.ndarray
    weights: np.ndarray


class Blocks(NamedTuple):
    """Some blocks as they go to disk: keys and clocks (B int64), where each one's records begin and where the last end
    (B + 1 int64), records (N x C uint16)."""

    keys: np.ndarray
    clocks: np.ndarray
    edges: np.ndarray
    records: np.ndarray


class SwapFile:
    """A file of blocks without a name: its room is free again when the process ends, however that comes about.

    Args:
        store: where the blocks are from.
        folder: where the file takes its room, by default :func:`.mapped_arrays.disk_folder`.

    Attributes:
        voxels: how many are there. away: how many of them there are of each class (from 1).
        regions: how many blocks there are of each region (4x4x4 blocks) that has some.
    """

    def __init__(self, store: VoxelStore, folder: str | Path | None = None) -> None:
        self._store = store
        with tempfile.TemporaryDirectory(prefix="embodied_nav-", dir=folder or disk_folder()) as place:
            # One thread at a time owns a memory, but not always the same one.
            self._db = sqlite3.connect(Path(place) / "blocks.db", check_same_thread=False, isolation_level=None)
            # A block with features takes a few large pages instead of many small ones.
            self._db.execute("PRAGMA page_size = 16384")
            # No other process reads it, and none at all after a crash.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = MEMORY")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_TABLE)
        self._reset()

    def _reset(self) -> None:
        self.voxels = 0
        self.away: Counter[int] = Counter()
        self.regions: Counter[int] = Counter()

    def clear(self) -> None:
        """Forgets everything."""
        self._db.execute("DELETE FROM blocks")
        self._reset()

    def close(self) -> None:
        """Gives the file's room back."""
        self._db.close()

    def changed(self, since_token: int = 0) -> Iterator[SwappedBlock]:
        """The blocks whose last change came after a token, by key."""
        query = "SELECT key, clock FROM blocks WHERE clock > ? ORDER BY key"
        for key, clock in self._db.execute(query, (since_token,)).fetchall():
            yield _swapped_block(key, clock, self._read([key]), self._store)

    def within(self, region: int) -> list[tuple[int, int]]:
        """Keys of a region's blocks and how many voxels each has."""
        return self._db.execute("SELECT key, voxels FROM blocks WHERE region = ?", (region,)).fetchall()

    # ---- to the disk ----

    def put(self, blocks: Blocks) -> None:
        """Takes blocks with at least one voxel each. One that is there already keeps what the new one has not.

        Raises:
            sqlite3.Error: the disk does not take them; then it took none.
        """
        if not len(blocks.keys):
            return
        try:
            self._insert(blocks)
        except sqlite3.IntegrityError:
            # Some never came back for want of room, and have been seen anew since.
            there = [key for key in blocks.keys.tolist() if self._holds(key)]
            old = self._read(there)
            blocks = _joined(blocks, old)
            self._insert(blocks, "REPLACE")
            self._count(np.array(there, np.int64), old, -1)
        self._count(blocks.keys, blocks.records, 1)

    def _holds(self, key: int) -> bool:
        return self._db.execute("SELECT 1 FROM blocks WHERE key = ?", (key,)).fetchone() is not None

    def _insert(self, blocks: Blocks, verb: str = "INSERT") -> None:
        counts, regions = np.diff(blocks.edges), regions_of_blocks(blocks.keys)
        parts = (blocks.records[i:j].data for i, j in zip(blocks.edges[:-1], blocks.edges[1:], strict=True))
        numbers = (a.tolist() for a in (blocks.keys, regions, counts, blocks.clocks))
        with self._change():
            self._db.executemany(f"{verb} INTO blocks VALUES (?, ?, ?, ?, ?)", zip(*numbers, parts, strict=True))

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A transaction; one that fails changes nothing."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error:
            # A full disk has rolled back by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # ---- and back ----

    def pop(self, keys: list[int]) -> np.ndarray:
        """Records (N x C uint16) of blocks that are there, which they leave."""
        records = self._read(keys)
        with self._change():
            self._db.executemany("DELETE FROM blocks WHERE key = ?", [(key,) for key in keys])
        self._count(np.array(keys, np.int64), records, -1)
        return records

    def _read(self, keys: list[int]) -> np.ndarray:
        query = "SELECT records FROM blocks WHERE key = ?"
        # Not bytes: kernels are compiled for arrays that can be written to.
        joined = bytearray().join([self._db.execute(query, (key,)).fetchone()[0] for key in keys])
        return np.frombuffer(joined, np.uint16).reshape(-1, _width(self._store))

    def _count(self, keys: np.ndarray, records: np.ndarray, sign: int) -> None:
        self.voxels += sign * len(records)
        _add(self.regions, regions_of_blocks(keys), sign)
        winners = winners_of(records)
        _add(self.away, winners[winners > 0], sign)


def _add(counter: Counter[int], numbers: np.ndarray, sign: int) -> None:
    for number, n in zip(*(a.tolist() for a in np.unique(numbers, return_counts=True)), strict=True):
        counter[number] += sign * n
        if not counter[number]:
            del counter[number]


# ---- records ----


def _width(store: VoxelStore) -> int:
    return _WEIGHT + store.arrays.feature_bits.shape[1]


def _halves(array: np.ndarray) -> np.ndarray:
    """N records as N rows of 16-bit numbers; a view."""
    return array.view(np.uint16).reshape(len(array), array.itemsize // 2)


def _rows(records: np.ndarray) -> np.ndarray:
    """(N,) ROW of records; a view."""
    return records[:, :_ROW].view(ROW)[:, 0]


def keys_of(records: np.ndarray) -> np.ndarray:
    """(N,) int64 voxel keys of records."""
    return np.ascontiguousarray(_rows(records)["key"])


def winners_of(records: np.ndarray) -> np.ndarray:
    """(N,) int16 winning classes of records, 0 for none."""
    return winning_classes(_rows(records))


def blocks_of(store: VoxelStore, blocks: np.ndarray) -> Blocks:
    """Blocks of a store (N int64 numbers) as they are put on disk, those without voxels left out."""
    a = store.arrays
    blocks = blocks[a.block_live[blocks] > 0]
    edges = np.concatenate([[0], np.cumsum(a.block_live[blocks], dtype=np.int64)])
    records = np.empty((edges[-1], _width(store)), np.uint16)
    weights = _halves(a.feature_weight)
    _gather(a.slot_rows, blocks, _halves(a.rows), _halves(a.owner), weights, a.feature_bits, records)
    return Blocks(a.block_keys[blocks], a.block_clock[blocks], edges, records)


def records_of(
    store: VoxelStore, keys: np.ndarray, voxels: np.ndarray, features: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Records (N x C uint16) of voxels as :meth:`VoxelStore.insert` takes them."""
    records = np.zeros((len(keys), _width(store)), np.uint16)
    rows = _rows(records)
    rows["key"] = keys
    fill_rows(rows, voxels)
    records[:, _ROW:_OWNER] = _halves(np.ascontiguousarray(voxels["object"], np.int32))
    if store.feature_dim:
        records[:, _OWNER:_WEIGHT] = _halves(np.ascontiguousarray(weights, np.float32))
        table = np.ascontiguousarray(features, store.feature_table.dtype)
        records[:, _WEIGHT:] = table.view(np.uint16).reshape(len(table), -1)
    return records


def _swapped_block(key: int, clock: int, records: np.ndarray, store: VoxelStore) -> SwappedBlock:
    owners = np.ascontiguousarray(records[:, _ROW:_OWNER]).view(np.int32)[:, 0]
    voxels = voxels_of_rows(_rows(records), owners)
    weights = np.ascontiguousarray(records[:, _OWNER:_WEIGHT]).view(np.float32)[:, 0]
    features = np.ascontiguousarray(records[:, _WEIGHT:]).view(store.feature_table.dtype)
    return SwappedBlock(key, clock, voxels, features, weights)


def voxel_keys(block: SwappedBlock) -> np.ndarray:
    """(N,) int64 keys of a block's voxels."""
    return keys_in_blocks(block.key, block.voxels["slot"])


def _joined(blocks: Blocks, old: np.ndarray) -> Blocks:
    """Blocks with those records of theirs that they have not themselves."""
    old = old[~np.isin(keys_of(old), keys_of(blocks.records))]
    of_new, of_old = (blocks_of_keys(keys_of(r)) for r in (blocks.records, old))
    # By block, in the order of ``blocks``; within one as places in it ascend.
    place = {key: i for i, key in enumerate(blocks.keys.tolist())}
    places = np.array([place[key] for key in (*of_new.tolist(), *of_old.tolist())], np.int64)
    order = np.lexsort((np.concatenate([keys_of(blocks.records), keys_of(old)]), places))
    edges = np.searchsorted(places[order], np.arange(len(blocks.keys) + 1))
    return Blocks(blocks.keys, blocks.clocks, edges, np.concatenate([blocks.records, old])[order])


def renumber(records: np.ndarray, roots: Callable[[np.ndarray], np.ndarray]) -> None:
    """Gives records the classes that theirs have become (N int16 -> N), in place."""
    rows = _rows(records)
    a, b = roots(rows["class_a"]), roots(rows["class_b"])
    if np.array_equal(a, rows["class_a"]) and np.array_equal(b, rows["class_b"]):
        return
    rows["class_a"], rows["class_b"] = a, b
    merged = (rows["votes_a"] > 0) & (rows["votes_b"] > 0) & (a == b)
    rows["votes_a"] += np.where(merged, rows["votes_b"], 0)
    rows["class_b"][merged], rows["votes_b"][merged] = 0, 0


def put_back(store: VoxelStore, records: np.ndarray) -> None:
    """Puts records into a store that has room for them; a voxel that is there already stays as it is."""
    a = store.arrays
    weights = _halves(a.feature_weight)
    store.tick()
    _scatter(a, keys_of(records), winners_of(records), records, _halves(a.rows), _halves(a.owner), weights)


# ---- regions ----


def regions_of_blocks(keys: np.ndarray) -> np.ndarray:
    """(N,) packed region keys of N block keys."""
    return pack_numbers(block_numbers(keys) >> REGION_BITS)


def distances(regions: np.ndarray, position: np.ndarray, voxel_size: float) -> np.ndarray:
    """(N,) from a point to the boxes of regions, m."""
    side = (BLOCK_SIDE << REGION_BITS) * voxel_size
    low = block_numbers(regions) * side - OFFSET * voxel_size
    return np.linalg.norm(np.maximum(np.maximum(low - position, position - low - side), 0), axis=1)


@njit(cache=True, nogil=True, inline="always")
def _copy(source, begin, target, place, count):
    """Some of one row into another; the compiler makes vector code of it where no number could be below 0."""
    begin, place = np.uint64(begin), np.uint64(place)
    for j in range(np.uint64(count)):
        target[place + j] = source[begin + j]


@njit(cache=True, nogil=True)
def _gather(slot_rows, blocks, rows, owner, weights, features, records):
    """Fills ``records`` (N x C uint16) with the voxels of blocks (B int64), in the order of their places.

    Args:
        slot_rows: as in ``store.Arrays``. rows, owner, weights: its arrays as 16-bit numbers, of one voxel a row.
    """
    n = 0
    for b in blocks:
        for s in range(BLOCK_VOXELS):
            r = np.int64(slot_rows[b, s]) - 1
            if r < 0:
                continue
            _copy(rows[r], 0, records[n], 0, _ROW)
            _copy(owner[r], 0, records[n], _ROW, 2)
            if weights.size > 0:
                _copy(weights[r], 0, records[n], _OWNER, 2)
                _copy(features[r], 0, records[n], _WEIGHT, features.shape[1])
            else:
                records[n, _OWNER:_WEIGHT] = 0
            n += 1


@njit(cache=True, nogil=True)
def _scatter(store, keys, winners, records, rows, owner, weights):
    """Puts records (N x C uint16) with N keys (int64) and winning classes (int16) into a store; a voxel that is there
    stays as it is. Other arguments as in :func:`_gather`."""
    bits = table_bits(store)
    for i in range(keys.size):
        key = keys[i]
        b = find_or_add_block(store, block_key(key), bits)
        if b < 0 or store.slot_rows[b, slot_in_block(key)] > 0:
            continue
        r = add_row(store, b, key)
        if r < 0:
            continue
        _copy(records[i], 0, rows[r], 0, _ROW)
        _copy(records[i], _ROW, owner[r], 0, 2)
        store.labels[r] = winners[i]
        if weights.size > 0:
            _copy(records[i], _OWNER, weights[r], 0, 2)
            _copy(records[i], _WEIGHT, store.feature_bits[r], 0, store.feature_bits.shape[1])
        store.block_clock[b] = store.counts[CLOCK]
