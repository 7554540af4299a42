"""What a memory holds at one moment that a file does not hold yet. Knows the memory, not the file.

:func:`take_cut` runs on the thread that owns the memory and only copies what would change under the reader's hands:
cells of the growing cloud, voxels of changed blocks, the grid. All else is never written to once it stands in the
memory, so references do, and "the same object" means "written already".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..frames import MemoryObject, SemanticDelta
from .cells import detail_edges
from .local_clouds import CloudBuilder, LocalCloud, View
from .records import KeyframeRecord, MapRecord
from .store import CLOCK

if TYPE_CHECKING:
    from .objects import Sighting
    from .scratch import Page
    from .spatial_memory import SpatialMemory

#: Cells of a growing cloud that are written together.
PART = 4096


class CloudState(NamedTuple):
    """What the file holds of a cloud; arrays compare by identity."""

    T: np.ndarray | None = None
    frames: int = -1
    closed: bool = False
    votes: np.ndarray | None = None
    features: int = 0
    views: int = 0

    def __eq__(self, other: object) -> bool:
        return all(a is b or (type(a) is not np.ndarray and a == b) for a, b in zip(self, other, strict=True))

    def __ne__(self, other: object) -> bool:
        return not self == other


@dataclass
class BlockState:
    """Clock, key and feature weight with which each block was written; -1 for never."""

    clock: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    features: np.ndarray = field(default_factory=lambda: np.empty(0, np.float64))

    def covering(self, n: int) -> BlockState:
        """A copy with room for n blocks."""
        clock, keys, features = np.full(n, -1, np.int64), np.full(n, -1, np.int64), np.zeros(n)
        k = min(n, len(self.clock))
        clock[:k], keys[:k], features[:k] = self.clock[:k], self.keys[:k], self.features[:k]
        return BlockState(clock, keys, features)


@dataclass
class Ledger:
    """What a file holds of a memory; the newest cut's takes its place once that cut is written."""

    file: str = ""
    map: str = ""
    generation: int = -1
    restarted: int = -1
    maps: tuple[MapRecord, ...] = ()
    sessions: list[dict] = field(default_factory=list)
    classes: list = field(default_factory=list)
    keyframes: dict[int, KeyframeRecord] = field(default_factory=dict)
    looks: dict[int, dict] = field(default_factory=dict)
    clouds: dict[int, CloudState] = field(default_factory=dict)
    deltas: int = 0
    sightings: list = field(default_factory=list)
    objects: dict[int, MemoryObject] = field(default_factory=dict)
    blocks: BlockState = field(default_factory=BlockState)
    seen: np.ndarray | None = None
    corner: tuple[float, float] = (0.0, 0.0)
    frames: int = -1
    paged: int = 0
    whole: bool = False
    commits: int = 0
    path: str = ""

    def of_map(self) -> Ledger:
        """A copy of what belongs to the file and not to one map of it, keyframes and clouds included."""
        return Ledger(self.file, maps=self.maps, sessions=self.sessions, classes=self.classes,
                      keyframes=self.keyframes, looks=self.looks, clouds=self.clouds)  # fmt: skip


@dataclass
class CloudCut:
    """New parts of one cloud: (kind, part, array) and views with their places; and cells of one that still grows, by
    the part that they become.
    """

    cloud: LocalCloud
    T: np.ndarray
    frames: int
    parts: list[tuple[str, int, np.ndarray]] = field(default_factory=list)
    cells: list[tuple[int, np.ndarray]] = field(default_factory=list)
    views: list[tuple[int, View]] = field(default_factory=list)


@dataclass
class BlockCut:
    """Changed blocks: keys, voxels each, all their voxels as rows of the store with place and owner.

    Features of the blocks (numbered as ``keys``) in which they changed, so many records each.
    """

    keys: np.ndarray
    counts: np.ndarray
    slots: np.ndarray
    rows: np.ndarray
    owners: np.ndarray
    with_features: list[int]
    feature_counts: np.ndarray
    features: np.ndarray | None


@dataclass
class Cut:
    """One consistent moment of a memory, less what ``before`` says is written."""

    before: Ledger
    after: Ledger
    uuid: str
    created: float
    config: dict[str, Any]
    voxel_size: float
    stamp: int
    frames: int
    voxels: int
    state: dict[str, Any]
    restart: bool
    restart_blocks: bool
    sessions: list[tuple[int, dict]]
    classes: list[tuple[int, str, str, int]]
    keyframes: list[KeyframeRecord]
    looks: list[tuple[int, dict[str, np.ndarray]]]
    clouds: list[CloudCut]
    deltas: list[tuple[int, SemanticDelta]]
    sightings: list[tuple[int, Sighting]]
    objects: list[tuple[MemoryObject, int]]
    blocks: BlockCut | None
    pages: list[Page]
    seconds: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether the file holds all of it already."""
        lists = (self.sessions, self.keyframes, self.looks, self.clouds, self.deltas, self.sightings, self.objects)
        return not (self.restart or self.restart_blocks or self.blocks or self.pages or any(lists)) and (
            self.before.frames, self.before.whole, self.before.classes, self.before.maps) == (
            self.after.frames, self.after.whole, self.after.classes, self.after.maps)  # fmt: skip


def take_cut(memory: SpatialMemory, ledger: Ledger, voxel_budget: int | None = None) -> Cut:
    """Everything that a file lacks.

    Args:
        ledger: what it holds. voxel_budget: voxels copied at most, 0 for none now, None for all that changed.
    """
    start = time.perf_counter()
    restart = (ledger.file, ledger.map, ledger.generation) != (memory.file_uuid, memory.uuid, memory.generation)
    before = Ledger() if ledger.file != memory.file_uuid else ledger.of_map() if restart else ledger
    restart_blocks = restart or before.restarted != memory.restarted_at
    index, classes = memory.object_index, memory.classes
    after = Ledger(
        memory.file_uuid, memory.uuid, memory.generation, memory.restarted_at, memory.maps, list(memory.sessions),
        [(i, *names, m) for i, (names, m) in enumerate(zip(classes.names, classes.merged, strict=True))],
        {**before.keyframes, **memory.keyframes}, dict(memory.looks), deltas=len(memory.deltas),
        sightings=[(s, s.class_number) for s in index.sightings], objects=dict(index.known), frames=memory.frames,
    )  # fmt: skip
    keyframes = _changed(memory.keyframes, before.keyframes)
    moved = any(k.id in before.keyframes for k in keyframes)
    after.corner, after.seen = before.corner, before.seen
    if memory.frames != before.frames or restart_blocks or moved:
        after.corner, seen = memory.grid.free_space()
        after.seen = seen.copy()
    cut = Cut(
        before, after, memory.uuid, memory.created, memory.config.to_mapping(), memory.config.voxel_size,
        memory.stamp, memory.frames, memory.all_voxels, {"relabelled": sorted(index.dirty)}, restart, restart_blocks,
        sessions=_other_entries(memory.sessions, memory.sessions, before.sessions),
        classes=after.classes if after.classes != before.classes else [],
        keyframes=keyframes,
        looks=[(i, look) for i, look in memory.looks.items() if before.looks.get(i) is not look],
        clouds=_clouds(memory, before, after),
        deltas=list(enumerate(memory.deltas))[before.deltas :],
        sightings=_other_entries(index.sightings, after.sightings, [] if moved else before.sightings),
        objects=[(o, index.classes[o.id]) for o in _changed(index.known, before.objects)],
        blocks=_blocks(memory, BlockState() if restart_blocks else before.blocks, after, voxel_budget),
        pages=_pages(memory, 0 if restart_blocks else before.paged, after, voxel_budget),
    )  # fmt: skip
    cut.seconds = time.perf_counter() - start
    return cut


def _changed(now: dict[int, Any], before: dict[int, Any]) -> list:
    return [v for i, v in now.items() if before.get(i) is not v]


def _other_entries(values: list, now: list, before: list) -> list[tuple[int, Any]]:
    """Places and values where two lists of marks differ, and all beyond the second's end."""
    same = [a == b for a, b in zip(now, before, strict=False)]
    return [(i, v) for i, v in enumerate(values) if i >= len(same) or not same[i]]


def _clouds(memory: SpatialMemory, before: Ledger, after: Ledger) -> list[CloudCut]:
    growing = memory.growing
    after.clouds = dict(before.clouds)
    out = []
    for cloud in memory.clouds if growing is None else [*memory.clouds, growing.cloud]:
        if cloud.number < 0:
            cloud.number = memory.next_cloud
            memory.next_cloud += 1
        closed = growing is None or cloud is not growing.cloud
        state = before.clouds.get(cloud.number, CloudState())
        now = CloudState(cloud.T_map_cloud, cloud.frames, closed, cloud.votes, len(cloud.features), len(cloud.views))
        if now != state:
            out.append(_cloud(cloud, state, None if closed else growing))
            after.clouds[cloud.number] = now
    return out


def _cloud(cloud: LocalCloud, state: CloudState, growing: CloudBuilder | None) -> CloudCut:
    cut = CloudCut(cloud, cloud.T_map_cloud, cloud.frames)
    if growing is not None:
        cut.cells = growing.changed(PART, max(state.frames, 0))
    elif not state.closed:
        edges = detail_edges(cloud.hits)[::PART]
        for part, first in enumerate(edges):
            hits = cloud.hits[part * PART : (part + 1) * PART]
            last = edges[part + 1] if part + 1 < len(edges) else len(cloud.details)
            cut.parts += [("hits", part, hits), ("details", part, cloud.details[first:last])] if len(hits) else []
    if not state.closed:
        # The last one may have grown since, unless it is a whole frame.
        cut.views = [
            (i, replace(v))
            for i, v in enumerate(cloud.views)
            if i >= state.views or (i == state.views - 1 and v.color is None)
        ]
        cut.parts += [("view_rgb", i, v.color) for i, v in cut.views if v.color is not None]
    if state.votes is not cloud.votes and (len(cloud.votes) or state.votes is not None):
        cut.parts.append(("votes", 0, cloud.votes))
    for i, hits in enumerate(cloud.features[state.features :], state.features):
        cut.parts += [(f"feature_{name}", i, array) for name, array in hits._asdict().items()]
    return cut


def _blocks(memory: SpatialMemory, before: BlockState, after: Ledger, budget: int | None) -> BlockCut | None:
    store, n = memory.store, memory.store.blocks
    a = store.arrays
    state = before.covering(n)
    moved_in = a.block_keys[:n] != state.keys
    changed = np.flatnonzero(((a.block_clock[:n] != state.clock) | moved_in) & (a.block_keys[:n] >= 0))
    wanted = changed
    if budget is not None:
        wanted = changed[np.cumsum(a.block_live[changed]) <= budget] if budget else changed[:0]
        if budget and not len(wanted):
            wanted = changed[:1]
    after.blocks, after.whole = state, len(wanted) == len(changed)
    if not len(wanted):
        return None
    state.clock[wanted], state.keys[wanted] = a.block_clock[wanted], a.block_keys[wanted]
    pages = a.pages[wanted]
    place, slots = np.nonzero(pages)
    rows = pages[place, slots].astype(np.int64) - 1
    counts = np.bincount(place, minlength=len(wanted))
    cut = BlockCut(
        a.block_keys[wanted], counts, slots.astype(np.uint16), np.take(a.rows, rows), a.owner[rows], [],
        np.zeros(0, np.int64), None,
    )  # fmt: skip
    if store.feature_dim:
        weights = a.feature_weight[rows]
        sums = np.bincount(place, weights, len(wanted))
        fresh = (sums != state.features[wanted]) | moved_in[wanted]  # a number is used again for another block
        state.features[wanted] = sums
        mine = fresh[place] & (weights > 0)
        table = store.feature_table
        cut.features = np.empty(np.count_nonzero(mine), feature_type(table))
        cut.features["slot"], cut.features["weight"] = slots[mine], weights[mine]
        cut.features["feature"] = table[rows[mine]]
        cut.with_features = np.flatnonzero(fresh).tolist()
        cut.feature_counts = np.bincount(place[mine], minlength=len(wanted))
    return cut


def _pages(memory: SpatialMemory, token: int, after: Ledger, budget: int | None) -> list[Page]:
    """Blocks that changed and have left for the disk since."""
    after.paged = token
    if memory.pager is None or budget == 0:
        return []
    a, n = memory.store.arrays, memory.store.blocks
    state = after.blocks
    late = ((a.block_clock[:n] != state.clock) | (a.block_keys[:n] != state.keys)) & (a.block_keys[:n] >= 0)
    # One that was too much for the budget may leave before its turn comes: it is asked for among those on disk then.
    after.paged = int(min(a.counts[CLOCK], a.block_clock[:n][late].min(initial=a.counts[CLOCK] + 1) - 1))
    return list(memory.pager.pages(token))


def feature_type(table: np.ndarray) -> np.dtype:
    """A voxel's feature as a file holds it; ``table`` has one feature a row."""
    return np.dtype([("slot", "<u2"), ("weight", "<f4"), ("feature", table.dtype, table.shape[1])])
