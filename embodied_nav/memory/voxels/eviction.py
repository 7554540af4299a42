"""Which blocks of voxels leave memory for the disk when it is full, and when they come back. Knows nothing of images.

Blocks that lie far from the camera, were not seen for long and hold few points are swapped out first, labelled ones
last. A reserve of memory is kept free: a few blocks are swapped out with each frame, ahead of need. A few are swapped
in with each frame too, nearest first, before the camera can see them; only those that a frame touches come at once.
A block on disk is no emptied block: nothing reports it as changed, and it comes back bit by bit as it left.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from ...errors import InputError
from .keys import (
    BLOCK_SIDE,
    BLOCK_VOXELS,
    NO_KEY,
    OFFSET,
    block_key,
    block_number,
    blocks_of_keys,
    pack_numbers,
)
from .store import (
    BLOCK_BYTES,
    BLOCKS,
    BUDGET,
    CLOCK,
    FREE_BLOCKS,
    FREE_ROWS,
    USED,
    VoxelStore,
    find_block,
    reserve,
    table_bits,
)
from .swap_file import (
    REGION_BITS,
    Blocks,
    SwapFile,
    SwappedBlock,
    blocks_of,
    distances,
    keys_of,
    put_back,
    records_of,
    regions_of_blocks,
    renumber,
    winners_of,
)

#: Bytes that come back ahead of need with a frame, and bytes that leave ahead of need.
_STEP = 1 << 20
#: What is kept free for the next frame: a share of the bound, and bytes at most.
_SPARE, _MOST_SPARE = 1 / 16, 2 << 20
#: Blocks that are compared before some of them leave.
_WINDOW = 1024
#: In reaches: nothing nearer leaves, as long as what is farther is enough; then nothing nearer than the next.
_KEEP = (1.5, 1.25, 1.0)
#: In reaches: so much farther than what comes back ahead of need is what may leave for it.
_APART = 0.25
#: What is remembered of a block: its clock when its voxels were looked at, ``last_seen`` of the newest, how lightly
#: they leave (see ``_summarize``), and the last frame that it must not leave in.
_SEEN = np.dtype([("clock", "<i8"), ("newest", "<i8"), ("light", "<f4"), ("frame", "<i4")])


class _Room(NamedTuple):
    """Room that is needed for so many voxels and blocks; where the camera is ((3,) m or None) and when (ns)."""

    rows: int
    blocks: int
    position: np.ndarray | None
    stamp: int


class Swapper:
    """Keeps a bounded store within its bound, with a swap file for what does not fit.

    Args:
        store: the bounded store. voxel_size: m.
        reach: optical depth up to which a frame touches blocks, m (what a wide image's corners touch farther off comes
            when they do); half as far beyond, nothing leaves without need.
        roots: what class numbers (N int16) have become while their voxels were away.
        folder: where the swap file takes its room, by default the system's place for such files.

    Attributes:
        problem: why blocks cannot be put on disk now, or "". What does not fit into memory then is refused.
    """

    def __init__(
        self,
        store: VoxelStore,
        voxel_size: float,
        reach: float,
        roots: Callable[[np.ndarray], np.ndarray],
        folder: str | Path | None = None,
    ) -> None:
        self.store, self._size, self._reach, self._roots = store, voxel_size, reach, roots
        self._file = SwapFile(store, folder)
        self._reset()

    def _reset(self) -> None:
        self.problem = ""
        self._cursor, self._frame = 0, 1
        self._seen = reserve((len(self.store.arrays.block_keys),), _SEEN)

    @property
    def voxels(self) -> int:
        """How many are on disk."""
        return self._file.voxels

    @property
    def away(self) -> Counter[int]:
        """How many of those on disk there are of each class (from 1)."""
        return self._file.away

    def clear(self) -> None:
        """Forgets what is on disk."""
        self._file.clear()
        self._reset()

    def close(self) -> None:
        """Gives the swap file's room back."""
        self._file.close()

    def swapped(self, since_token: int = 0) -> Iterator[SwappedBlock]:
        """The blocks on disk whose last change came after a token, by key."""
        return self._file.changed(since_token)

    def put(self, blocks: Blocks) -> None:
        """Takes blocks that are not in memory.

        Raises:
            sqlite3.Error: the disk does not take them; then it took none.
        """
        self._file.put(blocks)

    # ---- coming back ----

    def prepare(self, keys: np.ndarray, position: np.ndarray, stamp: int) -> np.ndarray:
        """Makes a frame possible: what it touches is in memory, and there is room for what it adds.

        Args:
            keys: (N,) int64 of the frame's voxels. position: (3,) of the camera, m. stamp: ns, now.

        Returns:
            Classes (from 1) whose voxels came back.
        """
        position, before = np.ascontiguousarray(position, np.float64), self.voxels
        back = [self.bring(keys, position, stamp)]
        left = _STEP - (before - self.voxels) * self.store.row_bytes
        if self._file.regions and left > 0:
            back.append(self._bring_around(position, stamp, left))
        self._make_room(_Room(*self.store.needed(keys), position, stamp))
        self._keep_spare(position, stamp)
        return np.unique(np.concatenate(back))

    def bring(self, keys: np.ndarray, position: np.ndarray | None = None, stamp: int = 0) -> np.ndarray:
        """Brings back the blocks of voxels (N int64 keys), whatever must leave for it; returns their classes (from 1).

        Args:
            position: (3,) of the camera, m, near which nothing leaves. stamp: ns, now.
        """
        self._frame += 1
        touched = _mark(self.store.arrays, np.ascontiguousarray(keys, np.int64), self._seen, self._frame)
        if not self._file.regions:
            return np.zeros(0, np.int64)
        wanted = set(touched.tolist())
        regions = set(regions_of_blocks(touched).tolist()) & self._file.regions.keys()
        found = [block for region in sorted(regions) for block in self._file.within(region) if block[0] in wanted]
        self._make_room(_Room(*_extent(found), position, stamp))
        return self._bring_in(found)

    def _bring_around(self, position: np.ndarray, stamp: int, left: int) -> np.ndarray:
        """About so many bytes of what the camera may see now or soon, nearest first; returns their classes."""
        back = [np.zeros(0, np.int64)]
        for distance, region in self._regions_around(position):
            found = self._first_of(region, left)
            if not self._room_around(distance, *_extent(found), position, stamp):
                break
            before = self.voxels
            back.append(self._bring_in(found))
            left -= sum(map(self._bytes, found))
            if left <= 0 or before - self.voxels < _extent(found)[0]:
                break
        return np.concatenate(back)

    def _regions_around(self, position: np.ndarray) -> list[tuple[float, int]]:
        """Regions with blocks on disk that should come back, and how far they are (m), nearest first."""
        there, far = self._file.regions, _KEEP[0] * self._reach
        blocks = BLOCK_SIDE << REGION_BITS
        count = int(2 * far / (blocks * self._size)) + 2
        if len(there) <= count**3:
            regions = np.fromiter(there, np.int64, len(there))
        else:
            first = np.floor((position - far) / (blocks * self._size)).astype(np.int64) + OFFSET // blocks
            around = pack_numbers(np.maximum(first + np.indices((count,) * 3).reshape(3, -1).T, 0)).tolist()
            regions = np.array([r for r in around if r in there], np.int64)
        away = distances(regions, position, self._size)
        order = np.argsort(away, kind="stable")
        order = order[away[order] <= far]
        return list(zip(away[order].tolist(), regions[order].tolist(), strict=True))

    def _first_of(self, region: int, most: int) -> list[tuple[int, int]]:
        """Some blocks of a region: as many as have so many bytes, one at least."""
        found = self._file.within(region)
        sizes = np.cumsum([self._bytes(block) for block in found])
        return found[: max(int(np.searchsorted(sizes, most, side="right")), 1)]

    def _bytes(self, block: tuple[int, int]) -> int:
        return block[1] * self.store.row_bytes + BLOCK_BYTES

    def _room_around(self, distance: float, rows: int, blocks: int, position: np.ndarray, stamp: int) -> bool:
        """Makes room for what is so far away (m), and tells whether it may come."""
        if distance <= self._reach:
            self._make_room(_Room(rows, blocks, position, stamp))
            return True
        # What lies ahead comes only where nothing as near has to leave for it, and leaves the frame its room.
        spare = self._spare()
        rows, blocks = rows + spare[0], blocks + spare[1]
        self._evict(_Room(rows, blocks, position, stamp), distance + _APART * self._reach)
        return self.store.room_for(rows, blocks)

    def _bring_in(self, found: list[tuple[int, int]]) -> np.ndarray:
        """Brings those blocks back for which there is room; the others stay on disk."""
        back = [np.zeros(0, np.int64)]
        for part in _batches(found, [self._bytes(block) for block in found]):
            rows = np.cumsum([n for _, n in part]).tolist()
            keys = [key for i, (key, _) in enumerate(part) if self.store.room_for(rows[i], i + 1)]
            if not keys:
                break
            records = self._file.pop(keys)
            renumber(records, self._roots)
            put_back(self.store, records)
            # What came back for a frame must not leave for it.
            _mark(self.store.arrays, keys_of(records), self._seen, self._frame)
            back.append(np.unique(winners_of(records)))
        classes = np.concatenate(back)
        return classes[classes > 0]

    # ---- leaving ----

    def _spare(self) -> tuple[int, int]:
        """Voxels and blocks that are to fit into what is kept free."""
        store, c = self.store, self.store.arrays.counts
        each = len(store) / max(store.blocks - int(c[FREE_BLOCKS]), 1)
        blocks = min(_SPARE * int(c[BUDGET]), _MOST_SPARE) / (each * store.row_bytes + BLOCK_BYTES)
        return int(blocks * each), int(blocks)

    def _keep_spare(self, position: np.ndarray, stamp: int) -> None:
        """Some blocks leave where there is less room than should be."""
        room, left = _Room(*self._spare(), position, stamp), _STEP
        for keep in _KEEP:
            left -= self._evict(room, keep * self._reach, left)

    def _make_room(self, room: _Room) -> None:
        """From afar first, from what the camera may see soon only where it must."""
        for keep in _KEEP:
            self._evict(room, keep * self._reach)

    def _evict(self, room: _Room, keep: float, most: float = np.inf) -> int:
        """Puts blocks farther than ``keep`` (m) on disk until there is room, ``most`` bytes left, or there are none.

        Returns:
            The bytes that left.
        """
        gone, looked, total = 0, 0, self.store.blocks
        while looked < total and gone < most and not self.store.room_for(room.rows, room.blocks):
            blocks, scores, n = self._candidates(total - looked, room, keep)
            self._cursor, looked = (self._cursor + n) % total, looked + n
            blocks = self._first_to_leave(blocks, scores, room, most - gone)
            sizes = self.store.arrays.block_live[blocks] * self.store.row_bytes + BLOCK_BYTES
            if not all(self._swap_out(np.array(part)) for part in _batches(blocks.tolist(), sizes)):
                break
            gone += int(sizes.sum())
        return gone

    def _candidates(self, count: int, room: _Room, keep: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Some blocks that may leave, how much each should, and how many of the next ``count`` were looked at."""
        here = np.full(3, np.nan) if room.position is None else room.position
        return _candidates(
            self.store.arrays, self._seen, self._cursor, count, here, self._size, self._reach, keep, room.stamp,
            self._frame,
        )  # fmt: skip

    def _first_to_leave(self, blocks: np.ndarray, scores: np.ndarray, room: _Room, most: float) -> np.ndarray:
        """Of these blocks those that leave: as many as make room, but no more than have ``most`` bytes."""
        store, c = self.store, self.store.arrays.counts
        blocks = blocks[np.argsort(-scores, kind="stable")]
        rows, count = np.cumsum(store.arrays.block_live[blocks], dtype=np.int64), np.arange(1, len(blocks) + 1)
        short = np.maximum(room.rows - int(c[FREE_ROWS]) - rows, 0) * store.row_bytes
        short += np.maximum(room.blocks - int(c[FREE_BLOCKS]) - count, 0) * BLOCK_BYTES
        enough = (short <= int(c[BUDGET] - c[USED])) | (rows * store.row_bytes + count * BLOCK_BYTES >= most)
        return blocks[: int(np.argmax(enough)) + 1] if enough.any() else blocks

    def _swap_out(self, blocks: np.ndarray) -> bool:
        """Whether the disk took the blocks."""
        try:
            self.put(blocks_of(self.store, blocks))
        except sqlite3.Error as error:
            self.problem = str(error)
            return False
        self.problem = ""
        self.store.remove_blocks(blocks)
        return True


def restore(
    swapper: Swapper,
    keys: np.ndarray,
    voxels: np.ndarray,
    features: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> None:
    """Puts N new voxels with all their fields into a swapper's store, whole blocks of those beyond the bound on disk.

    Args:
        keys, voxels, features, weights: as :meth:`VoxelStore.insert` takes them.

    Raises:
        ValueError: a voxel is there already.
        InputError: the disk does not take them.
    """
    store = swapper.store
    if features is None:
        features, weights = np.zeros((len(keys), store.feature_dim), store.feature_table.dtype), np.zeros(len(keys))
    if not len(keys):
        return
    of_block = blocks_of_keys(keys)
    order = np.lexsort((keys, of_block))  # within a block as places in it ascend
    edges = np.flatnonzero(np.diff(of_block[order], prepend=-1, append=-1))
    # Nearly full and not full: the next frame needs some room at once.
    free = 0.9 * int(store.arrays.counts[BUDGET]) - int(store.arrays.counts[USED])
    sizes = np.cumsum(np.diff(edges) * store.row_bytes + BLOCK_BYTES)
    fitting = int(np.searchsorted(sizes, free, side="right"))
    inside = order[: edges[fitting]]
    store.insert(keys[inside], voxels[inside], features[inside], weights[inside])
    clock = int(store.arrays.counts[CLOCK])
    try:
        while fitting < len(sizes):
            until = max(int(np.searchsorted(sizes, sizes[fitting] + _STEP)), fitting + 1)
            part = order[edges[fitting] : edges[until]]
            records = records_of(store, keys[part], voxels[part], features[part], weights[part])
            numbers = of_block[order[edges[fitting:until]]]
            begins = edges[fitting : until + 1] - edges[fitting]
            swapper.put(Blocks(numbers, np.full(len(numbers), clock), begins, records))
            fitting = until
    except sqlite3.Error as error:
        raise InputError(f"voxels beyond max_mb cannot be put on disk ({error}); make room there") from None


def _batches(items: list, sizes: Sequence[int]) -> Iterator[list]:
    """Items in turn, about _STEP bytes at a time: what is copied is to fit into the processor's cache."""
    begin = gone = 0
    for i, size in enumerate(sizes, 1):
        gone += size
        if gone >= _STEP or i == len(items):
            yield items[begin:i]
            begin, gone = i, 0


def _extent(found: list[tuple[int, int]]) -> tuple[int, int]:
    """Voxels and blocks of (key, voxels) of blocks."""
    return sum(n for _, n in found), len(found)


@njit(cache=True, nogil=True)
def _mark(store, keys, seen, frame):
    """Notes that a frame needs the blocks of N voxels (int64 keys); returns these blocks' keys, some more than once."""
    bits = table_bits(store)
    out, n, last = np.empty(keys.size, np.int64), 0, np.int64(NO_KEY)
    for key in keys:
        if block_key(key) != last:
            last = block_key(key)
            out[n] = last
            n += 1
            b = find_block(store, last, bits)
            if b >= 0:
                seen[b].frame = frame
    return out[:n]


@njit(cache=True, nogil=True)
def _gap(block, position, voxel_size):
    """From a coordinate to the region of a block along one axis, m."""
    side = (BLOCK_SIDE << REGION_BITS) * voxel_size
    low = (block >> REGION_BITS) * side - OFFSET * voxel_size
    return max(max(low - position, position - low - side), 0.0)


@njit(cache=True, nogil=True)
def _distance(key, position, voxel_size):
    """From a point to the region of a block, m: one that leaves must not be called back at once."""
    bx, by, bz = block_number(key)
    x, y = _gap(bx, position[0], voxel_size), _gap(by, position[1], voxel_size)
    z = _gap(bz, position[2], voxel_size)
    return np.sqrt(x * x + y * y + z * z)


@njit(cache=True, nogil=True)
def _summarize(store, seen, b):
    """Notes in ``seen[b]`` what the voxels of a block say about when it should leave.

    Lightly, in (0, 1], leave those of few points: 1 / (1 + log2(1 + points a voxel)). A labelled block leaves after all
    that are not.
    """
    newest, weight, labelled = np.int64(0), 0.0, False
    live = store.block_live[b]
    left = live
    for s in range(BLOCK_VOXELS):
        if left == 0:
            break
        r = np.int64(store.slot_rows[b, s]) - 1
        if r >= 0:
            left -= 1
            newest = max(newest, store.rows[r].last_seen)
            weight += store.rows[r].weight
            labelled |= store.labels[r] > 0
    seen[b].clock = store.block_clock[b]
    seen[b].newest = newest
    seen[b].light = (1e-6 if labelled else 1.0) / (1.0 + np.log2(1.0 + weight / max(live, 1)))


@njit(cache=True, nogil=True)
def _candidates(store, seen, first, count, position, voxel_size, reach, keep, stamp, frame):
    """Blocks farther than ``keep`` that ``frame`` does not need, how much each should leave, how many were looked at.

    From block ``first`` on, round about. Far, old and light multiply: (1 + distance / reach) (1 + minutes since last
    seen) times what ``_summarize`` says.
    """
    blocks, scores = np.empty(_WINDOW, np.int64), np.empty(_WINDOW)
    n, looked, total = 0, 0, store.counts[BLOCKS]
    while looked < count and n < _WINDOW:
        b = (first + looked) % total
        looked += 1
        key = store.block_keys[b]
        if key == NO_KEY or seen[b].frame == frame:
            continue
        distance = 2.0 * keep
        if not np.isnan(position[0]):
            distance = _distance(key, position, voxel_size)
        if distance <= keep:
            continue
        if seen[b].clock != store.block_clock[b]:
            _summarize(store, seen, b)
        minutes = max(stamp - seen[b].newest, 0) / 60e9
        blocks[n] = b
        scores[n] = (1.0 + distance / reach) * (1.0 + minutes) * seen[b].light
        n += 1
    return blocks[:n], scores[:n], looked
