"""The map under corrected keyframe poses (a loop closure), made beside the running one and exchanged with it at once.

Only what belongs to moved keyframes is removed and put back: the blocks (8x8x8 voxels) that their clouds touch or see
through, at the old place and at the new one, are made again from all clouds, in the order in which these came; all
other blocks stay. Meanwhile the memory answers and takes in frames as before; what came since is put on top before the
exchange. Knows nothing of images and of where poses come from.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from ..config import MemoryConfig
from ..objects.votes import ClassTable, cast_votes
from ..voxels.carving import carver, longest_ray
from ..voxels.column_grid import ColumnGrid, voxel_points
from ..voxels.fusion import FrameHasher, FrameVoxels, sighting_weights, upsert
from ..voxels.keys import BLOCK_VOXELS, blocks_of_keys, pack
from ..voxels.record import voxels_of_rows
from ..voxels.store import (
    CLOCK,
    Arrays,
    VoxelStore,
    add_row,
    find_block,
    find_or_add_block,
    find_row,
    remove_row,
    table_bits,
)
from ..voxels.voxel_features import FeatureHits
from ..voxels.voxel_features import add as add_features
from .extent import blocks_seen_through, cloud_blocks, cloud_box, in_box
from .local_clouds import LocalCloud, View, shrink_depth, view_points
from .revoxelizing import revoxelize

#: Clouds that are brought into voxels ahead of the one that is put into the map, and threads for it.
_AHEAD, _THREADS = 6, min(max((os.cpu_count() or 1) - 1, 2), 4)
#: Clouds that may come while a map is made and be put on top in the exchange, and how often more are put beside.
_FEW, _FOLLOWED = 2, 3
#: Pixels of a row that show enough of free space.
_VIEW_WIDTH = 80
#: A vote whose voxel is not there goes to one within this (voxels): what lies on voxels' faces falls to either side.
_NEAR = 0.1
#: Where this share of the clouds moves, all blocks are made again. With less, only blocks that changed are reported as
#: changed, though finding out which may stay can take as long as making all again.
MOST = 0.7


@dataclass(frozen=True)
class Placed:
    """A cloud with its votes and its features as they were, where it was (4x4, map from cloud) and where it belongs."""

    cloud: LocalCloud
    votes: np.ndarray
    features: tuple[FeatureHits, ...]
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def now(cls, cloud: LocalCloud, after: np.ndarray | None = None) -> Placed:
        """A cloud as it is now; ``after``: where it belongs, None for where it is."""
        here = cloud.T_map_cloud
        return cls(cloud, cloud.votes, tuple(cloud.features), here, here if after is None else after)

    @property
    def moved(self) -> bool:
        return self.before is not self.after


_Hits = tuple[FrameVoxels, np.ndarray, np.ndarray]


class _Step(NamedTuple):
    """One step of a replay: voxels to put (with sightings and stamps), features, a view (at T, with points on
    what it saw)."""

    hits: _Hits | None = None
    features: Sequence[FeatureHits] = ()
    view: View | None = None
    T: np.ndarray | None = None
    seen: np.ndarray | None = None


class Replay:
    """Puts local clouds into a store and a grid, as the frames that they were made from would have been.

    Args:
        blocks: sorted keys of the blocks that are made again; None for all.
    """

    def __init__(self, config: MemoryConfig, store: VoxelStore, grid: ColumnGrid, blocks: np.ndarray | None) -> None:
        self._config, self._store, self._grid, self._blocks = config, store, grid, blocks
        self._carver = carver(config)

    def clouds(self, placed: Sequence[Placed], touching: np.ndarray, urgent: bool = False) -> None:
        """Hits, features, free space and carving of clouds in their order; only views of those not ``touching``."""
        with ThreadPoolExecutor(_THREADS, initializer=None if urgent else _lower_priority) as pool:
            for p, steps in zip(placed, self._ahead(pool, placed, touching), strict=True):
                self._put(p, steps)

    def cloud(self, p: Placed) -> None:
        """All of one cloud, on this thread: the caller must not wait for threads of low priority."""
        self._put(p, self._steps(p, True))

    def votes(self, votes: np.ndarray, T: np.ndarray, classes: ClassTable) -> None:
        """Label votes of a cloud at T (4x4)."""
        if not len(votes):
            return
        rows = self._rows(votes["p"], T, _NEAR)
        hit = rows >= 0
        if hit.any():
            cast_votes(self._store, rows[hit], classes.roots(votes["class"][hit]), votes["votes"][hit])

    def _ahead(self, pool: ThreadPoolExecutor, placed: Sequence[Placed], touching: np.ndarray) -> Iterator[list[_Step]]:
        waiting: list = []
        for p, wanted in zip(placed, touching.tolist(), strict=True):
            waiting.append(pool.submit(self._steps, p, wanted))
            if len(waiting) > _AHEAD:
                yield waiting.pop(0).result()
        for first in waiting:
            yield first.result()

    def _steps(self, p: Placed, wanted: bool) -> list[_Step]:
        """A cloud's hits, features and views as steps, in the order of its frames; no hits unless ``wanted``."""
        steps = [self._view(v, p.after @ v.T, wanted, p.cloud.stands_for) for v in p.cloud.views]
        if wanted:
            last = sum(s.hits is not None for s in steps)  # whole frames come first
            hits = [self._hits(p)] if len(p.cloud.hits) else []
            features = [_Step(features=p.features)] if p.features else []
            steps = [*steps[:last], *hits, *features, *steps[last:]]
        return steps

    def _hits(self, p: Placed) -> _Step:
        c = self._config
        voxels, sightings, stamps = revoxelize(
            p.cloud, p.after, c.voxel_size, c.near_range, c.full_points / c.stride**2
        )
        return _Step(self._mine(voxels, p.cloud.stands_for * sightings, stamps))

    def _view(self, view: View, T: np.ndarray, wanted: bool, times: int) -> _Step:
        """A view as a step; hits of a whole frame count so many times."""
        c = self._config
        if view.color is None or not wanted:
            depth, camera = shrink_depth(view.depth, view.camera, _VIEW_WIDTH)
            return _Step(view=view, T=T, seen=view_points(depth, camera, T, c.min_depth, c.max_depth))
        seen = FrameHasher()(
            view.depth, view.pixels(), view.camera, T, c.voxel_size, c.min_depth, c.max_depth, c.stride
        )  # fmt: skip
        sightings = times * sighting_weights(seen, T[:3, 3], c.voxel_size, c.near_range, c.full_points / c.stride**2)
        hits = self._mine(seen, sightings, np.full(len(sightings), view.stamp))
        return _Step(hits, view=view, T=T, seen=voxel_points(seen.keys, seen.sums, c.voxel_size))

    def _mine(self, voxels: FrameVoxels, sightings: np.ndarray, stamps: np.ndarray) -> _Hits:
        """Those of N voxels that lie in the blocks that are made again."""
        if self._blocks is None:
            return voxels, sightings, stamps
        mine = _among(blocks_of_keys(voxels.keys), self._blocks)
        return FrameVoxels(voxels.keys[mine], voxels.sums[mine], voxels.points), sightings[mine], stamps[mine]

    def _put(self, p: Placed, steps: Sequence[_Step]) -> None:
        c, near = self._config, None
        for step in steps:
            if step.hits is not None and len(step.hits[1]):
                upsert(self._store, *step.hits, c.max_evidence, c.min_evidence)
                near = None
            for given in step.features:
                self.features(given, p.after)
            if (view := step.view) is not None:
                self._grid.observe(step.seen, step.T[:3, 3], min(view.frames, 2))
                if c.carve:
                    near = self._near(p) if near is None else near
                    self._carver(
                        self._store, view.depth, view.camera, step.T, view.stamp, c.voxel_size, view.frames, view.first,
                        int(view.color is not None), near,
                    )  # fmt: skip

    def _near(self, p: Placed) -> np.ndarray:
        """Numbers of the blocks that some view of a cloud can see now."""
        away = max(float(np.linalg.norm(v.T[:3, 3])) for v in p.cloud.views)
        camera = max((v.camera for v in p.cloud.views), key=longest_ray)
        return self._carver.near(self._store, camera, p.after, self._config.voxel_size, away)

    def features(self, given: FeatureHits, T: np.ndarray) -> None:
        """Features that a frame of a cloud at T (4x4) gave."""
        rows = self._rows(given.points, T)
        add_features(self._store, rows, given.patches, given.weights, given.grid, self._config.feature_pooling)

    def _rows(self, points: np.ndarray, T: np.ndarray, near: float = 0.0) -> np.ndarray:
        """Rows of the voxels that points at T lie in, else of one that they lie so ``near`` to (voxels); -1."""
        T = np.ascontiguousarray(T, np.float64)
        return _rows_of_points(self._store.arrays, np.ascontiguousarray(points), T, self._config.voxel_size, near)


@njit(cache=True, nogil=True)
def _rows_of_points(store, points, T, voxel_size, near):
    """See :meth:`Replay._rows`: N int64 rows of N x 3 points (m) at T (4x4)."""
    out, p, bits = np.empty(points.shape[0], np.int64), np.empty(3), table_bits(store)
    for i in range(points.shape[0]):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        for a in range(3):
            p[a] = (T[a, 0] * x + T[a, 1] * y + T[a, 2] * z + T[a, 3]) / voxel_size
        out[i] = find_row(store, pack(np.floor(p[0]), np.floor(p[1]), np.floor(p[2])), bits)
        for k in range(6 if near > 0 else 0):
            if out[i] < 0:
                p[k % 3] += near if k < 3 else -near
                out[i] = find_row(store, pack(np.floor(p[0]), np.floor(p[1]), np.floor(p[2])), bits)
                p[k % 3] -= near if k < 3 else -near
    return out


class Correction:
    """Corrected keyframe poses and the map that is made from them; made by ``SpatialMemory.begin_correction``.

    Args:
        clouds: all that were there, in their order. poses: keyframe id -> 4x4, as given.
        known: (B,) int64 keys of all blocks that the map ever had. everything: makes all blocks again.
        later: all clouds that were closed since.
    """

    def __init__(
        self,
        config: MemoryConfig,
        clouds: Sequence[Placed],
        poses: dict[int, np.ndarray],
        classes: ClassTable,
        grid: ColumnGrid,
        known: np.ndarray,
        everything: bool = False,
        later: Callable[[], Sequence[LocalCloud]] = tuple,
    ) -> None:
        self.poses, self.clouds, self._begun_with, self._later = poses, list(clouds), len(clouds), later
        self._config, self._classes, self._known = config, classes, known
        self.grid = grid.blank()
        self.everything = everything
        self.done = self.failed = False

    def run(self, urgent: bool = False) -> None:
        """Makes the corrected content; may be done on any thread, while frames are fused. Again: anew.

        Args:
            urgent: the robot waits for it: its threads are not of lower priority than others.
        """
        try:
            self._make(urgent)
        except BaseException:
            self.failed = True  # the next one takes it in
            raise
        self.done = True

    def _make(self, urgent: bool) -> None:
        c, self.grid = self._config, self.grid.blank()
        self.store = VoxelStore(c.max_voxels, feature_dim=c.feature_dim, feature_type=c.feature_type)
        self.blocks, touching = None, np.ones(len(self.clouds), np.bool_)
        if not self.everything and sum(p.moved for p in self.clouds) < MOST * len(self.clouds):
            self.blocks = self._touched([p for p in self.clouds if p.moved])
            touching = np.array([self._touching(p) for p in self.clouds], np.bool_)
        self._replay = Replay(c, self.store, self.grid, self.blocks)
        self._replay.clouds(self.clouds, touching, urgent)
        for p in self.clouds:
            self._replay.votes(p.votes, p.after, self._classes)
        for _ in range(_FOLLOWED):
            later = [Placed.now(c) for c in self._later()[len(self.clouds) - self._begun_with :]]
            if len(later) <= _FEW:
                break
            self._replay.clouds(later, np.ones(len(later), np.bool_))
            for p in later:
                self._replay.votes(p.votes, p.after, self._classes)
            self.clouds += later

    def catch_up(self, later: Sequence[LocalCloud]) -> None:
        """Puts on top what came since :meth:`run`: clouds of new frames, features that came late, and votes."""
        here = [Placed.now(c) for c in later]
        for p in here:
            self._replay.cloud(p)
        for p in self.clouds:
            for given in p.cloud.features[len(p.features) :]:
                self._replay.features(given, p.after)
        now = [(p.cloud.votes, p) for p in self.clouds]
        if all(len(v) >= len(p.votes) and (v is p.votes or (v[: len(p.votes)] == p.votes).all()) for v, p in now):
            fresh = [(v[len(p.votes) :], p.after) for v, p in now]
        else:  # votes were given to other instances
            forget_votes(self.store)
            fresh = [(v, p.after) for v, p in now]
        for votes, T in [*fresh, *((p.votes, p.after) for p in here)]:
            self._replay.votes(votes, T, self._classes)

    def exchange(self, store: VoxelStore) -> bool:
        """Puts what was made into the map's store, in one go; returns whether it replaced all of it."""
        clock = int(store.arrays.counts[CLOCK])
        if self.blocks is None:
            self.store.arrays.counts[CLOCK] = max(clock, int(self.store.arrays.counts[CLOCK])) + 1
            self.store.arrays.block_clock[: self.store.blocks] = self.store.arrays.counts[CLOCK]
            store.adopt(self.store)
            return True
        store.make_room(len(self.blocks))
        store.tick()
        _exchange(store.arrays, self.store.arrays, self.blocks)
        return False

    def _touched(self, moved: Sequence[Placed]) -> np.ndarray:
        """Sorted keys of the blocks that moved clouds lie in or see through, where they were and where they belong."""
        c, carve = self._config, carver(self._config)
        with ThreadPoolExecutor(_THREADS, initializer=_lower_priority) as pool:
            places = [(p.cloud, T) for p in moved for T in (p.before, p.after)]
            parts = list(pool.map(lambda place: cloud_blocks(*place, c), places))
            if c.carve:
                known = np.unique(np.concatenate([self._known, *parts]))
                through = pool.map(lambda place: blocks_seen_through(*place, known, carve, c), places)
                parts += [blocks for view in through for blocks in view]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def _touching(self, p: Placed) -> bool:
        """Whether a cloud can have hit one of the blocks that are made again."""
        return p.moved or bool(
            in_box(self.blocks, *cloud_box(p.cloud, p.after, self._config), self._config.voxel_size).any()
        )


def _lower_priority() -> None:
    """Lowers this thread's OS priority, so that frame fusion is never delayed by a map correction."""
    if sys.platform == "linux":
        me = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, me, max(10, os.getpriority(os.PRIO_PROCESS, me)))


def anchors(clouds: Sequence[LocalCloud]) -> list[int]:
    """The keyframe that each cloud moves with: its own, else the next one's, else the one's before; -1 for none."""
    ids = [c.keyframe_id for c in clouds]
    for i in reversed(range(len(ids) - 1)):
        if ids[i] < 0:
            ids[i] = ids[i + 1]
    for i in range(1, len(ids)):
        if ids[i] < 0:
            ids[i] = ids[i - 1]
    return ids


def _among(keys: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which keys are among the sorted chosen ones."""
    if not len(chosen):
        return np.zeros(len(keys), np.bool_)
    return chosen[np.minimum(np.searchsorted(chosen, keys), len(chosen) - 1)] == keys


def records(store: VoxelStore) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """All voxels of a store as :meth:`VoxelStore.insert` takes them: keys, VOXEL, features and weights or None."""
    rows = np.flatnonzero(store.rows["key"] >= 0)
    r = store.rows[rows]
    out = voxels_of_rows(r, 0)
    if not store.feature_dim:
        return r["key"].copy(), out, None, None
    return r["key"].copy(), out, store.feature_table[rows], store.feature_weights[rows]


def forget_votes(store: VoxelStore) -> None:
    """No voxel has a label any more."""
    rows = store.rows
    for name in ("class_a", "class_b", "votes_a", "votes_b", "votes"):
        rows[name] = 0
    store.arrays.labels[: len(rows)] = 0


@njit(cache=True, nogil=True)
def _exchange(store: Arrays, made: Arrays, blocks):
    """Gives blocks (N int64 keys) of a store the voxels that they have in the store ``made``."""
    bits, other_bits = table_bits(store), table_bits(made)
    clock = store.counts[CLOCK]
    for key in blocks:
        b, o = find_block(store, key, bits), find_block(made, key, other_bits)
        if b < 0 and (o < 0 or made.block_live[o] == 0):
            continue
        if b < 0:
            b = find_or_add_block(store, key, bits)
            if b < 0:
                continue
        store.block_clock[b] = clock
        for s in range(BLOCK_VOXELS):
            if store.slot_rows[b, s] > 0:
                remove_row(store, b, np.int64(store.slot_rows[b, s]) - 1)
        if o < 0:
            continue
        for s in range(BLOCK_VOXELS):
            q = np.int64(made.slot_rows[o, s]) - 1
            if q < 0:
                continue
            r = add_row(store, b, made.rows[q].key)
            if r < 0:
                continue
            store.rows[r] = made.rows[q]
            store.labels[r] = made.labels[q]
            if made.feature_weight.size > 0:
                store.feature_bits[r, :] = made.feature_bits[q]
                store.feature_weight[r] = made.feature_weight[q]
