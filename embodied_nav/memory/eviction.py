"""Which blocks of voxels leave memory for the disk when it is full, and how they come back. Knows nothing of images.

What lies far from the camera, has not been seen for long and was seen by few points leaves first; what carries labels
leaves last. Blocks leave one by one and come back region by region (4x4x4 blocks), some way before the camera could see
them, so that no frame waits for more than a few of them. A block on disk is no emptied block: nothing reports it as
changed, and it comes back bit by bit as it left.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from ..errors import InputError
from .keys import BITS, BLOCK_BITS, BLOCK_SIDE, BLOCK_VOXELS, MASK, OFFSET, pack_array
from .schema import VOXEL
from .store import BLOCK_BYTES, BUDGET, CLOCK, FREE_BLOCKS, FREE_ROWS, USED, VoxelStore

#: Blocks along a region's edge, as a power of two.
_REGION_BITS = 2
#: Blocks that are compared before some of them leave.
_WINDOW = 8192
#: So much leaves at a time, and comes back ahead of need per frame, bytes.
_BATCH = 1 << 20
_TABLE = """
CREATE TABLE pages (key INTEGER PRIMARY KEY, region INTEGER NOT NULL, clock INTEGER NOT NULL, voxels BLOB NOT NULL,
    weights BLOB NOT NULL, features BLOB NOT NULL);
CREATE INDEX pages_by_region ON pages (region);
"""


class Page(NamedTuple):
    """A block on disk: packed block key, clock of its last change, voxels (N VOXEL), features (N x D as the store keeps
    them) and their weights (N float32)."""

    key: int
    clock: int
    voxels: np.ndarray
    features: np.ndarray
    weights: np.ndarray


class Pager:
    """Keeps a bounded store within its bound, with a scratch file for what does not fit.

    Args:
        store: the bounded store. voxel_size: m.
        reach: as far as a frame may touch blocks, m; half as far beyond, nothing leaves without need.
        roots: what class numbers (N int16) have become while their voxels were away.
        folder: where the scratch file takes its room, by default the system's place for such files.

    Attributes:
        voxels: how many are on disk. away: how many of them there are of each class (from 1).
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
        self.store, self._size, self._roots = store, voxel_size, roots
        self._reach, self._keep = reach, 1.5 * reach
        with tempfile.TemporaryDirectory(prefix="embodied_nav-", dir=folder) as place:
            # One thread at a time owns a memory, but not always the same one.
            self._db = sqlite3.connect(Path(place) / "blocks.db", check_same_thread=False, isolation_level=None)
            # Nobody reads a scratch file after a crash.
            self._db.execute("PRAGMA journal_mode = MEMORY")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_TABLE)
        # It has no name any more: its room is free again when the process ends, however that comes about.
        self._reset()

    def _reset(self) -> None:
        self.voxels, self.problem = 0, ""
        self.away: Counter[int] = Counter()
        self._regions: Counter[int] = Counter()
        self._blocks: Counter[int] = Counter()
        self._cursor = 0

    def clear(self) -> None:
        """Forgets what is on disk."""
        self._db.execute("DELETE FROM pages")
        self._reset()

    def close(self) -> None:
        """Gives the scratch file's room back."""
        self._db.close()

    def pages(self, since_token: int = 0) -> Iterator[Page]:
        """The blocks on disk whose last change came after a token, by key."""
        yield from self._read("clock > ?", since_token)

    # ---- coming back ----

    def prepare(self, keys: np.ndarray, position: np.ndarray, stamp: int) -> np.ndarray:
        """Makes a frame possible: what it touches is in memory, and there is room for what it adds.

        Args:
            keys: (N,) int64 of the frame's voxels. position: (3,) of the camera, m. stamp: ns, now.

        Returns:
            Classes (from 1) whose voxels came back.
        """
        position = np.asarray(position, np.float64)
        back = [self.bring(keys, position, stamp)]
        if self._regions:
            back.append(self._bring_around(position, stamp))
        self._make_room(*self.store.needed(keys), position, stamp)
        return np.unique(np.concatenate(back))

    def bring(self, keys: np.ndarray, position: np.ndarray | None = None, stamp: int = 0) -> np.ndarray:
        """Brings back the blocks of voxels (N int64 keys), whatever must leave for it; returns their classes (from 1).

        Args:
            position: (3,) of the camera, m, near which nothing leaves. stamp: ns, now.
        """
        if not self._regions:
            return np.zeros(0, np.int64)
        wanted = sorted(set(_regions_of_keys(keys).tolist()) & self._regions.keys())
        return self._bring_regions(wanted, position, stamp)

    def _bring_around(self, position: np.ndarray, stamp: int) -> np.ndarray:
        """What the camera may see now, and some of what it may see soon, nearest first."""
        regions = np.fromiter(self._regions, np.int64)
        distances = _distances(regions, position, self._size)
        order = np.argsort(distances, kind="stable")
        now = [int(r) for r in regions[order[distances[order] <= self._reach]]]
        back, left = [self._bring_regions(now, position, stamp)], _BATCH
        for i in order[(distances[order] > self._reach) & (distances[order] <= self._keep)]:
            region = int(regions[i])
            count, blocks = self._regions[region], self._blocks[region]
            left -= count * self.store.row_bytes
            if left < 0:
                break
            # What lies ahead comes only where nothing near has to leave for it.
            self._evict(count, blocks, position, stamp, self._keep)
            if self.store.room_for(count, blocks):
                back.append(self._bring_regions([region], position, stamp))
        return np.concatenate(back)

    def _bring_regions(self, regions: list[int], position: np.ndarray | None, stamp: int) -> np.ndarray:
        classes = [np.zeros(0, np.int64)]
        for region in regions:
            pages = list(self._read("region = ?", region))
            self._make_room(sum(len(p.voxels) for p in pages), len(pages), position, stamp)
            # What does not fit stays on disk.
            rows = np.cumsum([len(p.voxels) for p in pages])
            fitting = [p for i, p in enumerate(pages) if self.store.room_for(int(rows[i]), i + 1)]
            if fitting:
                voxels = np.concatenate([p.voxels for p in fitting])
                keys = np.concatenate([page_keys(p) for p in fitting])
                # Where there was no room to bring a block back before, its voxels may have been seen anew since.
                new = self.store.find(keys) < 0
                features, weights = (np.concatenate([getattr(p, k) for p in fitting]) for k in ("features", "weights"))
                self.store.insert(keys[new], self._renumbered(voxels[new]), features[new], weights[new])
                self._db.executemany("DELETE FROM pages WHERE key = ?", [(p.key,) for p in fitting])
                self._count([p.key for p in fitting], [len(p.voxels) for p in fitting], voxels, -1)
                classes.append(np.unique(self._roots(_winners(voxels))).astype(np.int64))
        classes = np.unique(np.concatenate(classes))
        return classes[classes > 0]

    def _renumbered(self, voxels: np.ndarray) -> np.ndarray:
        out = voxels.copy()
        out["class_a"], out["class_b"] = self._roots(voxels["class_a"]), self._roots(voxels["class_b"])
        merged = (out["votes_a"] > 0) & (out["votes_b"] > 0) & (out["class_a"] == out["class_b"])
        out["votes_a"][merged] += out["votes_b"][merged]
        out["class_b"][merged], out["votes_b"][merged] = 0, 0
        return out

    def _read(self, condition: str, value: int) -> Iterator[Page]:
        query = f"SELECT key, clock, voxels, features, weights FROM pages WHERE {condition} ORDER BY key"
        for key, clock, voxels, features, weights in self._db.execute(query, (value,)).fetchall():
            voxels = np.frombuffer(voxels, VOXEL)
            features = np.frombuffer(features, self.store.feature_table.dtype)
            features = features.reshape(len(voxels), self.store.feature_dim)
            yield Page(key, clock, voxels, features, np.frombuffer(weights, "<f4"))

    # ---- leaving ----

    def put(self, pages: list[Page]) -> None:
        """Takes blocks that are not in memory.

        Raises:
            sqlite3.Error: the disk does not take them; then it took none.
        """
        if not pages:
            return
        pages = [self._with_what_is_there(p) for p in pages]
        regions = _regions_of_blocks(np.array([p.key for p in pages], np.int64)).tolist()
        values = [
            (p.key, region, p.clock, p.voxels.tobytes(), np.asarray(p.weights, "<f4").tobytes(), p.features.tobytes())
            for p, region in zip(pages, regions, strict=True)
        ]
        self._db.execute("BEGIN")
        try:
            self._db.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", values)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            # A full disk has rolled back by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._count(
            [p.key for p in pages], [len(p.voxels) for p in pages], np.concatenate([p.voxels for p in pages]), 1
        )

    def _with_what_is_there(self, page: Page) -> Page:
        """A page joined by voxels of its block that never came back for want of room; these leave the disk."""
        if int(_regions_of_blocks(np.array([page.key]))[0]) not in self._regions:
            return page
        for old in self._read("key = ?", page.key):
            self._db.execute("DELETE FROM pages WHERE key = ?", (page.key,))
            self._count([old.key], [len(old.voxels)], old.voxels, -1)
            more = ~np.isin(old.voxels["slot"], page.voxels["slot"])
            joined = (np.concatenate([getattr(page, k), getattr(old, k)[more]]) for k in Page._fields[2:])
            return Page(page.key, page.clock, *joined)
        return page

    def _count(self, keys: list[int], lengths: list[int], voxels: np.ndarray, sign: int) -> None:
        self.voxels += sign * len(voxels)
        for region, n in zip(_regions_of_blocks(np.array(keys, np.int64)).tolist(), lengths, strict=True):
            self._regions[region] += sign * n
            self._blocks[region] += sign
            if self._regions[region] == 0:
                del self._regions[region], self._blocks[region]
        for number, n in zip(*np.unique(_winners(voxels), return_counts=True), strict=True):
            if number > 0:
                self.away[int(number)] += sign * int(n)
        self.away = +self.away

    def _make_room(self, rows: int, blocks: int, position: np.ndarray | None, stamp: int) -> None:
        """Room for so many voxels and blocks: from afar first, from what the camera may see soon only where it must."""
        for keep in (self._keep, self._reach):
            self._evict(rows, blocks, position, stamp, keep)

    def _evict(self, rows: int, blocks: int, position: np.ndarray | None, stamp: int, keep: float) -> None:
        """Puts blocks farther than ``keep`` on disk until there is room, or there are none such."""
        looked, total = 0, self.store.blocks
        while looked < total and not self.store.room_for(rows, blocks):
            first = self._cursor if self._cursor < total else 0
            window = np.arange(first, min(first + _WINDOW, total))
            self._cursor, looked = first + len(window), looked + len(window)
            leaving = self._first_to_leave(window, rows, blocks, position, stamp, keep)
            if len(leaving) and not self._page_out(leaving):
                return

    def _first_to_leave(self, window, rows, blocks, position, stamp, keep) -> np.ndarray:
        """Of these blocks those that leave: as many as make room, and a batch of them at least."""
        store, c = self.store, self.store.arrays.counts
        here = np.full(3, np.nan) if position is None else position
        scores = _scores(store.arrays, window, here, self._size, self._reach, keep, stamp)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= 0]
        freed = np.cumsum(store.arrays.block_live[window[order]], dtype=np.int64)
        count = np.arange(1, len(order) + 1)
        short = np.maximum(rows - int(c[FREE_ROWS]) - freed, 0) * store.row_bytes
        short += np.maximum(blocks - int(c[FREE_BLOCKS]) - count, 0) * BLOCK_BYTES
        enough = (short <= int(c[BUDGET] - c[USED])) & (freed * store.row_bytes >= _BATCH)
        return window[order[: int(np.argmax(enough)) + 1 if enough.any() else len(order)]]

    def _page_out(self, blocks: np.ndarray) -> bool:
        """Whether the disk took the blocks."""
        try:
            self.put([p for p in block_pages(self.store, blocks) if len(p.voxels)])
        except sqlite3.Error as error:
            self.problem = str(error)
            return False
        self.problem = ""
        self.store.remove_blocks(blocks)
        return True


def block_pages(store: VoxelStore, blocks: np.ndarray) -> Iterator[Page]:
    """Blocks of a store (N int) as they are put on disk, voxels by their place in the block."""
    a = store.arrays
    slots, rows, edges = _rows_of_blocks(a, np.asarray(blocks, np.int64))
    voxels = voxel_records(store, rows, slots)
    dim = store.feature_dim
    features = store.feature_table[rows] if dim else np.zeros((len(rows), 0), store.feature_table.dtype)
    weights = a.feature_weight[rows] if dim else np.zeros(len(rows), np.float32)
    for i, b in enumerate(blocks):
        part = slice(edges[i], edges[i + 1])
        yield Page(int(a.block_keys[b]), int(a.block_clock[b]), voxels[part], features[part], weights[part])


def voxel_records(store: VoxelStore, rows: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """N VOXEL of rows and their places in their blocks."""
    r, out = store.rows[rows], np.empty(len(rows), VOXEL)
    out["slot"], out["object"] = slots, store.arrays.owner[rows]
    for k, name in enumerate("xyz"):
        out["p"][:, k] = r[name]
    for k, name in enumerate("rgb"):
        out["rgb"][:, k] = r[name]
    for name in ("weight", "evidence", "class_a", "class_b", "votes_a", "votes_b", "votes", "last_seen"):
        out[name] = r[name]
    return out


def page_keys(page: Page) -> np.ndarray:
    """(N,) int64 voxel keys of a page's voxels."""
    slot = page.voxels["slot"].astype(np.int64)
    corner = _block_numbers(np.array([page.key]))[0] * BLOCK_SIDE - OFFSET
    return pack_array(corner + np.stack([slot >> 6, (slot >> 3) & 7, slot & 7], axis=1))


def restore(
    pager: Pager,
    keys: np.ndarray,
    voxels: np.ndarray,
    features: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> None:
    """Puts N new voxels with all their fields into a pager's store, whole blocks of those beyond the bound on disk.

    Args:
        keys, voxels, features, weights: as :meth:`VoxelStore.insert` takes them.

    Raises:
        ValueError: a voxel is there already.
        InputError: the disk does not take them.
    """
    store = pager.store
    if features is None:
        features, weights = np.zeros((len(keys), store.feature_dim), store.feature_table.dtype), np.zeros(len(keys))
    blocks = _blocks_of_keys(keys)
    order = np.argsort(blocks, kind="stable")
    starts = np.flatnonzero(np.diff(blocks[order], prepend=-1))
    # Nearly full and not full: the next frame needs some room at once.
    free = 0.9 * int(store.arrays.counts[BUDGET]) - int(store.arrays.counts[USED])
    costs = np.diff(starts, append=len(keys)) * store.row_bytes + BLOCK_BYTES
    fitting = int(np.searchsorted(np.cumsum(costs), free, side="right"))
    inside = order[: starts[fitting]] if fitting < len(starts) else order
    store.insert(keys[inside], voxels[inside], features[inside], weights[inside])
    pages = [
        Page(int(blocks[part[0]]), int(store.arrays.counts[CLOCK]), voxels[part], features[part], weights[part])
        for part in np.split(order[len(inside) :], starts[fitting + 1 :] - len(inside))
        if len(part)
    ]
    try:
        pager.put(pages)
    except sqlite3.Error as error:
        raise InputError(f"voxels beyond max_megabytes cannot be put on disk ({error}); make room there") from None


def _blocks_of_keys(keys: np.ndarray) -> np.ndarray:
    v = _block_numbers(keys) >> BLOCK_BITS
    return (v[:, 0] << (2 * BITS)) | (v[:, 1] << BITS) | v[:, 2]


def _winners(voxels: np.ndarray) -> np.ndarray:
    return np.where(voxels["votes_a"] >= voxels["votes_b"], voxels["class_a"], voxels["class_b"])


def _block_numbers(keys: np.ndarray) -> np.ndarray:
    """N x 3 int64, 0 or more."""
    keys = np.asarray(keys, np.int64)
    return np.stack([keys >> (2 * BITS), (keys >> BITS) & MASK, keys & MASK], axis=-1)


def _regions_of_blocks(keys: np.ndarray) -> np.ndarray:
    b = _block_numbers(keys) >> _REGION_BITS
    return (b[:, 0] << (2 * BITS)) | (b[:, 1] << BITS) | b[:, 2]


def _regions_of_keys(keys: np.ndarray) -> np.ndarray:
    v = _block_numbers(keys) >> (BLOCK_BITS + _REGION_BITS)
    return np.unique((v[:, 0] << (2 * BITS)) | (v[:, 1] << BITS) | v[:, 2])


def _distances(regions: np.ndarray, position: np.ndarray, voxel_size: float) -> np.ndarray:
    """From a point to the boxes of regions, m."""
    side = (BLOCK_SIDE << _REGION_BITS) * voxel_size
    low = _block_numbers(regions) * side - OFFSET * voxel_size
    return np.linalg.norm(np.maximum(np.maximum(low - position, position - low - side), 0), axis=1)


@njit(cache=True, nogil=True)
def _rows_of_blocks(store, blocks):
    """(places, rows) of the voxels of blocks, and where each block's begin."""
    total = 0
    for b in blocks:
        total += store.block_live[b]
    slots, rows = np.empty(total, np.uint16), np.empty(total, np.int64)
    edges = np.zeros(blocks.size + 1, np.int64)
    n = 0
    for i in range(blocks.size):
        for s in range(BLOCK_VOXELS):
            r = np.int64(store.pages[blocks[i], s]) - 1
            if r >= 0:
                slots[n], rows[n] = s, r
                n += 1
        edges[i + 1] = n
    return slots, rows, edges


@njit(cache=True, nogil=True)
def _gap(block, position, voxel_size):
    """From a coordinate to the region of a block along one axis, m."""
    side = (BLOCK_SIDE << _REGION_BITS) * voxel_size
    low = (block >> _REGION_BITS) * side - OFFSET * voxel_size
    return max(max(low - position, position - low - side), 0.0)


@njit(cache=True, nogil=True)
def _scores(store, blocks, position, voxel_size, reach, keep, stamp):
    """How much each block should leave, above 0; -1 for those that must stay.

    Far, old and light multiply: (1 + distance / reach) (1 + minutes since last seen) / (1 + log2(1 + points a voxel)).
    A labelled block leaves after all that are not.
    """
    out = np.full(blocks.size, -1.0)
    for i in range(blocks.size):
        b = blocks[i]
        key = store.block_keys[b]
        if key < 0:
            continue
        # As far as the block's region: one that leaves must not be called back at once.
        distance = 2.0 * keep
        if not np.isnan(position[0]):
            x = _gap((key >> (2 * BITS)), position[0], voxel_size)
            y = _gap((key >> BITS) & MASK, position[1], voxel_size)
            z = _gap(key & MASK, position[2], voxel_size)
            distance = np.sqrt(x * x + y * y + z * z)
        if distance <= keep:
            continue
        newest, weight, labelled = np.int64(0), 0.0, False
        live = store.block_live[b]
        left = live
        for s in range(BLOCK_VOXELS):
            if left == 0:
                break
            r = np.int64(store.pages[b, s]) - 1
            if r >= 0:
                left -= 1
                newest = max(newest, store.rows[r].last_seen)
                weight += store.rows[r].weight
                labelled |= store.labels[r] > 0
        minutes = max(stamp - newest, 0) / 60e9
        out[i] = (1.0 + distance / reach) * (1.0 + minutes) / (1.0 + np.log2(1.0 + weight / max(live, 1)))
        if labelled:
            out[i] *= 1e-6
    return out
