"""Objects: clusters of voxels with the same winning label, with ids that last. Knows nothing of images or queries.

Only classes that won or lost voxels are clustered anew. A cluster keeps the id of the object that owned most of its
voxels; failing that, of a lost object of the same label close by.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..frames import MemoryObject
from .keys import NO_KEY, block_key, pack, slot_in_block, unpack, unpack_array
from .store import CLOCK, ROWS, VoxelStore, find_block, table_bits
from .votes import ClassTable

#: A cluster smaller than this share of another of its class joins it when their boxes are this near (voxels).
FRAGMENT_SHARE, FRAGMENT_GAP = 0.3, 4.0
#: A lost object's id goes to a new cluster of the same label this near, m.
REVIVAL_DISTANCE = 0.5
#: What is left of an object with less than this share of the voxels it had is the trace of one carried away: the layer
#: at its feet, too near to the floor to be seen through.
RESIDUE_SHARE = 0.15
#: Extents leave out this share of the voxels on either side, where there are enough of them.
TRIM, TRIM_FROM = 0.01, 50


@dataclass(eq=False)
class Sighting:
    """One object as one keyframe showed it: class, where, and how many pixels."""

    keyframe_id: int
    class_number: int
    position: np.ndarray
    pixels: int


class ObjectIndex:
    """The objects of a voxel store.

    Args:
        min_voxels: smaller clusters are no objects. voxel_size: m.
    """

    def __init__(self, voxel_size: float, min_voxels: int) -> None:
        self._size, self._min_voxels = voxel_size, min_voxels
        self.reset()

    def reset(self) -> None:
        """Forgets all objects."""
        self.known: dict[int, MemoryObject] = {}
        self.classes: dict[int, int] = {}
        self.sightings: list[Sighting] = []
        self._peaks: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._next_id = 1
        self._current: tuple[MemoryObject, ...] = ()
        self._clock = -1

    def restore(self, known: list[tuple[MemoryObject, int]], sightings: list[Sighting]) -> None:
        """Takes objects with their classes, and sightings, from a file."""
        self.reset()
        self.known = {o.id: o for o, _ in known}
        self.classes = {o.id: c for o, c in known}
        self.sightings = list(sightings)
        self._peaks = {o.id: o.voxels for o, _ in known}
        self._next_id = max(self.known, default=0) + 1
        self._current = tuple(o for o in self.known.values() if o.status == "present")

    def touch(self, classes: np.ndarray) -> None:
        """Classes that won or lost voxels."""
        self._dirty.update(int(c) for c in classes if c > 0)

    def touch_all(self, store: VoxelStore) -> None:
        """After the store was made anew."""
        self.touch(np.unique(store.arrays.labels[: len(store.rows)]))
        self._dirty.update(self.classes[i] for i, o in self.known.items() if o.status == "present")

    def refresh(self, store: VoxelStore, table: ClassTable, stamp: int) -> tuple[MemoryObject, ...]:
        """Present objects by id, with last-seen stamps of now."""
        if self._dirty:
            self._recompute(store, table, stamp)
            self._dirty.clear()
        clock = int(store.arrays.counts[CLOCK])
        if clock != self._clock:
            self._clock = clock
            newest = _newest(store.arrays, np.zeros(self._next_id, np.int64))
            for o in [o for o in self.known.values() if newest[o.id] > o.last_seen]:
                self.known[o.id] = dataclasses.replace(o, last_seen=int(newest[o.id]))
            present = (o for o in self.known.values() if o.status == "present")
            self._current = tuple(sorted(present, key=lambda o: o.id))
        return self._current

    def _recompute(self, store: VoxelStore, table: ClassTable, stamp: int) -> None:
        clusters = self._clusters(store)
        previous = {i for i, o in self.known.items() if o.status == "present" and self.classes[i] in self._dirty}
        ids = self._match(store, table, clusters, previous)
        whole = [len(c[1]) >= RESIDUE_SHARE * self._peaks.get(i, 0) for i, c in zip(ids, clusters, strict=True)]
        ids = list(itertools.compress(ids, whole))
        clusters = list(itertools.compress(clusters, whole))
        for i in previous - set(ids):
            store.arrays.owner[: len(store.rows)][store.arrays.owner[: len(store.rows)] == i] = 0
            self.known[i] = dataclasses.replace(self.known[i], status="gone")
        for i, (number, rows, points) in zip(ids, clusters, strict=True):
            store.arrays.owner[rows] = i
            self.classes[i] = number
            self._peaks[i] = max(self._peaks.get(i, 0), len(rows))
            self.known[i] = self._object(i, number, store, table, rows, points, stamp)
        self._clock = -1

    def _clusters(self, store: VoxelStore) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """(class, rows, Nx3 float64 positions) of each cluster of the dirty classes, largest first."""
        wanted = np.zeros(max(self._dirty) + 1, np.bool_)
        wanted[list(self._dirty)] = True
        rows = _rows_of_classes(store.arrays, wanted)
        if not len(rows):
            return []
        parents = _connect(store.arrays, rows, np.full(len(store.rows), -1, np.int32))
        rows = rows[np.argsort(parents, kind="stable")]
        counts = np.unique(parents, return_counts=True)[1]
        records = store.rows[rows]
        offsets = np.stack([records["x"], records["y"], records["z"]], axis=1)
        points = unpack_array(records["key"]) * self._size + offsets
        edges = np.concatenate([[0], np.cumsum(counts)])
        labels = store.arrays.labels
        parts = [(int(labels[rows[a]]), rows[a:b], points[a:b]) for a, b in itertools.pairwise(edges)]
        parts.sort(key=lambda c: (-len(c[1]), int(c[1][0])))
        count = len(parts) + 1
        while len(parts) < count:  # what grew by one fragment may now reach the next
            count = len(parts)
            parts = self._join_fragments(parts)
        return [c for c in parts if len(c[1]) >= self._min_voxels]

    def _join_fragments(self, parts: list) -> list:
        """Small clusters join a larger one of their class next to them; largest first."""
        out: list = []
        boxes: list = []
        gap = FRAGMENT_GAP * self._size
        for number, rows, points in parts:
            low, high = points.min(0), points.max(0)
            for k, (n, r, p) in enumerate(out):
                near = n == number and (low <= boxes[k][1] + gap).all() and (high >= boxes[k][0] - gap).all()
                if near and len(rows) < FRAGMENT_SHARE * len(r):
                    out[k] = (n, np.concatenate([r, rows]), np.concatenate([p, points]))
                    boxes[k] = (np.minimum(low, boxes[k][0]), np.maximum(high, boxes[k][1]))
                    break
            else:
                out.append((number, rows, points))
                boxes.append((low, high))
        return sorted(out, key=lambda c: (-len(c[1]), int(c[1][0])))

    def _match(self, store: VoxelStore, table: ClassTable, clusters: list, previous: set[int]) -> list[int]:
        """An id for each cluster: most shared voxels first, then lost objects nearby, then new ones."""
        ids = [0] * len(clusters)
        claims = []
        for k, (number, rows, _) in enumerate(clusters):
            owners, counts = np.unique(store.arrays.owner[rows], return_counts=True)
            for i, n in zip(owners.tolist(), counts.tolist(), strict=True):
                if i in previous and self.known[i].label == table.names[number][0]:
                    claims.append((-n, i, k))
        taken: set[int] = set()
        for _, i, k in sorted(claims):
            if ids[k] == 0 and i not in taken:
                ids[k] = i
                taken.add(i)
        for k, (number, _, points) in enumerate(clusters):
            if ids[k] == 0:
                ids[k] = self._lost_near(table.names[number][0], points.mean(0), taken, previous) or self._new_id()
                taken.add(ids[k])
        return ids

    def _lost_near(self, label: str, position: np.ndarray, taken: set[int], previous: set[int]) -> int:
        best, best_distance = 0, REVIVAL_DISTANCE
        for i, o in self.known.items():
            if o.label != label or i in taken or (o.status == "present" and i not in previous):
                continue
            distance = float(np.linalg.norm(o.position - position))
            if distance < best_distance:
                best, best_distance = i, distance
        return best

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _object(self, i, number, store, table, rows, points, stamp) -> MemoryObject:
        low, high = _trimmed_box(points)
        low, high = low - self._size / 2, high + self._size / 2
        records = store.rows[rows]
        won = np.where(records["class_a"] == number, records["votes_a"], records["votes_b"]).astype(np.float64)
        label, color = table.names[number]
        old = self.known.get(i)
        return MemoryObject(
            id=i,
            label=label,
            color=color,
            position=(low + high) / 2,
            extent=high - low,
            confidence=float(np.clip(won.sum() / max(float(records["votes"].sum()), 1e-9), 0.0, 1.0)),
            voxels=len(rows),
            first_seen=old.first_seen if old else stamp,
            last_seen=int(records["last_seen"].max()),
            keyframe_id=self._best_keyframe(number, low, high),
        )

    def _best_keyframe(self, number: int, low: np.ndarray, high: np.ndarray) -> int:
        """The keyframe that showed most pixels of this class with their middle in the box; -1 where none did."""
        best, pixels = -1, 0
        for s in self.sightings:
            inside = s.class_number == number and (s.position >= low - 0.3).all() and (s.position <= high + 0.3).all()
            if inside and s.pixels > pixels:
                best, pixels = s.keyframe_id, s.pixels
        return best


def _trimmed_box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(points)
    k = int(n * TRIM) if n >= TRIM_FROM else 0
    ordered = np.sort(points, axis=0)
    return ordered[k], ordered[n - 1 - k]


@njit(cache=True, nogil=True)
def _newest(store, out):
    """Newest last_seen (ns) by object id."""
    for r in range(store.counts[ROWS]):
        i = store.owner[r]
        if i > 0 and store.labels[r] > 0 and i < out.size:
            out[i] = max(out[i], store.rows[r].last_seen)
    return out


@njit(cache=True, nogil=True)
def _rows_of_classes(store, wanted):
    """Rows whose label is wanted, ascending."""
    total = store.counts[ROWS]
    n = 0
    for r in range(total):
        label = store.labels[r]
        n += label > 0 and label < wanted.size and wanted[label]
    out = np.empty(n, np.int64)
    n = 0
    for r in range(total):
        label = store.labels[r]
        if label > 0 and label < wanted.size and wanted[label]:
            out[n] = r
            n += 1
    return out


@njit(cache=True, nogil=True, inline="always")
def _root(parents, i):
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _connect(store, rows, place):
    """Root (index into rows) of each row's cluster: 26 neighbours, same label.

    ``place`` is scratch, -1 for every row. Only 13 of the 26 neighbours are looked up: each pair is met once.
    """
    bits = table_bits(store)
    parents = np.arange(rows.size)
    for i in range(rows.size):
        place[rows[i]] = i
    last_key, last_block = np.int64(NO_KEY), np.int64(-1)
    for i in range(rows.size):
        x, y, z = unpack(store.rows[rows[i]].key)
        label = store.labels[rows[i]]
        for k in range(14, 27):
            key = pack(x + k // 9 - 1, y + (k // 3) % 3 - 1, z + k % 3 - 1)
            bk = block_key(key)
            if bk != last_key:
                last_key, last_block = bk, find_block(store, bk, bits)
            if last_block < 0:
                continue
            r = np.int64(store.pages[last_block, slot_in_block(key)]) - 1
            if r >= 0 and place[r] >= 0 and store.labels[r] == label:
                a, b = _root(parents, i), _root(parents, np.int64(place[r]))
                if a != b:
                    parents[max(a, b)] = min(a, b)
    for i in range(rows.size):
        parents[i] = _root(parents, i)
    return parents
