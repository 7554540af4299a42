"""Incremental snapshots: what a memory holds at one moment that its file lacks. Knows the memory, not the file.

:func:`take_snapshot` runs on the thread that owns the memory and only copies what would change while another thread
writes it: cells of the growing cloud, voxels of changed blocks, the grid. All else is never written to once it stands
in the memory, so references do, and "the same object" means "written already".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ...frames import MemoryObject, SemanticDelta
from ..objects.index import Sighting
from ..records import Event, KeyframeRecord, MapRecord, Place
from ..submaps.cells import detail_edges
from ..submaps.local_clouds import CloudBuilder, LocalCloud, View
from ..submaps.map_state import MapState
from ..voxels.swap_file import SwappedBlock

#: Cells of a growing cloud that are written together.
PART = 4096


class WrittenCloud(NamedTuple):
    """What the file holds of a cloud; arrays compare by identity."""

    T: np.ndarray | None = None
    frames: int = -1
    closed: bool = False
    votes: np.ndarray | None = None
    features: int = 0
    views: int = 0
    stands_for: int = 1

    def holds(self, cloud: LocalCloud, closed: bool) -> bool:
        """Whether all of a cloud is written. Asked of every cloud in every snapshot."""
        return (
            self.T is cloud.T_map_cloud
            and self.votes is cloud.votes
            and self.frames == cloud.frames
            and self.closed == closed
            and self.features == len(cloud.features)
            and self.views == len(cloud.views)
            and self.stands_for == cloud.stands_for
        )


_UNWRITTEN = WrittenCloud()


@dataclass
class WrittenBlocks:
    """Clock, key and feature weight with which each block was written; -1 for never."""

    clock: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    features: np.ndarray = field(default_factory=lambda: np.empty(0, np.float64))

    def covering(self, n: int) -> WrittenBlocks:
        """A copy with room for n blocks."""
        clock, keys, features = np.full(n, -1, np.int64), np.full(n, -1, np.int64), np.zeros(n)
        k = min(n, len(self.clock))
        clock[:k], keys[:k], features[:k] = self.clock[:k], self.keys[:k], self.features[:k]
        return WrittenBlocks(clock, keys, features)


@dataclass
class Written:
    """What a file holds of a memory; the newest snapshot's takes its place once that snapshot is written."""

    file: str = ""
    map: str = ""
    generation: int = -1
    restarted: int = -1
    maps: tuple[MapRecord, ...] = ()
    sessions: list[dict] = field(default_factory=list)
    classes: list = field(default_factory=list)
    keyframes: dict[int, KeyframeRecord] = field(default_factory=dict)
    looks: dict[int, dict] = field(default_factory=dict)
    clouds: dict[int, WrittenCloud] = field(default_factory=dict)
    forgotten: int = 0
    deltas: dict[int, SemanticDelta] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    sightings: dict[int, Sighting] = field(default_factory=dict)
    objects: dict[int, MemoryObject] = field(default_factory=dict)
    blocks: WrittenBlocks = field(default_factory=WrittenBlocks)
    seen: np.ndarray | None = None
    corner: tuple[float, float] = (0.0, 0.0)
    frames: int = -1
    swapped: int = 0
    whole: bool = False
    commits: int = 0
    path: str = ""

    def of_map(self) -> Written:
        """A copy of what belongs to the file and not to one map of it, keyframes and clouds included."""
        return Written(self.file, maps=self.maps, sessions=self.sessions, classes=self.classes,
                       keyframes=self.keyframes, looks=self.looks, clouds=self.clouds,
                       forgotten=self.forgotten)  # fmt: skip


@dataclass
class CloudSnapshot:
    """New parts of one cloud: (kind, part, array) and views with their places; and cells of one that still grows, by
    the part that they become. ``closing``: how many parts of hits it has at its end; None while it grows.
    """

    cloud: LocalCloud
    T: np.ndarray
    frames: int
    parts: list[tuple[str, int, np.ndarray]] = field(default_factory=list)
    cells: list[tuple[int, np.ndarray]] = field(default_factory=list)
    views: list[tuple[int, View]] = field(default_factory=list)
    closing: int | None = None


@dataclass
class BlockSnapshot:
    """Changed blocks: keys, voxels each, all their voxels as rows of the store, with owners.

    Features of the blocks (numbered as ``keys``) in which they changed, so many records each.
    """

    keys: np.ndarray
    counts: np.ndarray
    rows: np.ndarray
    owners: np.ndarray
    with_features: list[int]
    feature_counts: np.ndarray
    features: np.ndarray | None


@dataclass
class Snapshot:
    """One consistent moment of a memory, less what ``before`` says is written.

    Attributes:
        forgotten: (keyframe, number of its cloud) of those that were dropped since.
    """

    before: Written
    after: Written
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
    clouds: list[CloudSnapshot]
    forgotten: list[tuple[int, int]]
    deltas: list[tuple[int, SemanticDelta]]
    events: list[tuple[int, Event]]
    places: list[Place]
    sightings: list[Sighting]
    objects: list[tuple[MemoryObject, int]]
    blocks: BlockSnapshot | None
    swapped: list[SwappedBlock]
    seconds: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether the file holds all of it already."""
        lists = (self.sessions, self.keyframes, self.looks, self.clouds, self.forgotten, self.deltas, self.events,
                 self.sightings, self.objects, self.places)  # fmt: skip
        return not (self.restart or self.restart_blocks or self.blocks or self.swapped or any(lists)) and (
            self.before.frames, self.before.whole, self.before.classes, self.before.maps, {*self.before.places}) == (
            self.after.frames, self.after.whole, self.after.classes, self.after.maps, {*self.after.places})  # fmt: skip


def take_snapshot(state: MapState, written: Written, voxel_budget: int | None = None) -> Snapshot:
    """Everything that a file lacks.

    Args:
        written: what it holds. voxel_budget: voxels copied at most, 0 for none now, None for all that changed.
    """
    start = time.perf_counter()
    c, index = state.content, state.objects
    restart = (written.file, written.map, written.generation) != (c.file_uuid, c.uuid, state.generation)
    before = Written() if written.file != c.file_uuid else written.of_map() if restart else written
    restart_blocks = restart or before.restarted != state.voxels.restarted_at
    after = _present(state, before)
    keyframes = _changed(c.keyframes, before.keyframes)
    moved = any(k.id in before.keyframes for k in keyframes)
    after.corner, after.seen = before.corner, before.seen
    if c.frames != before.frames or restart_blocks or moved:
        after.corner, seen = state.voxels.grid.free_space()
        after.seen = seen.copy()
    snapshot = Snapshot(
        before, after, c.uuid, c.created, state.config.to_mapping(), state.config.voxel_size, c.stamp, c.frames,
        len(state.voxels), {"relabelled": sorted(index.dirty)}, restart, restart_blocks,
        sessions=_other_entries(c.sessions, c.sessions, before.sessions),
        classes=after.classes if after.classes != before.classes else [],
        keyframes=keyframes,
        looks=[(i, look) for i, look in c.looks.items() if before.looks.get(i) is not look],
        clouds=_clouds(state, before, after),
        forgotten=_forgotten(state, before, after),
        deltas=[(i, d) for i, d in c.deltas.items() if before.deltas.get(i) is not d],
        events=[(i, e) for i, e in c.events.items() if before.events.get(i) is not e],
        places=[p for name, p in c.places.items() if before.places.get(name) is not p],
        sightings=[s for s in index.sightings if moved or before.sightings.get(s.number) is not s],
        objects=[(o, index.classes[o.id]) for o in _changed(index.known, before.objects)],
        blocks=_blocks(state, WrittenBlocks() if restart_blocks else before.blocks, after, voxel_budget),
        swapped=_swapped(state, 0 if restart_blocks else before.swapped, after, voxel_budget),
    )  # fmt: skip
    snapshot.seconds = time.perf_counter() - start
    return snapshot


def _present(state: MapState, before: Written) -> Written:
    """What a file holds once all but clouds, grid and blocks is written."""
    c, classes = state.content, state.content.classes
    return Written(
        c.file_uuid, c.uuid, state.generation, state.voxels.restarted_at, state.maps, list(c.sessions),
        [(i, *names, m) for i, (names, m) in enumerate(zip(classes.names, classes.merged, strict=True))],
        {**before.keyframes, **c.keyframes}, dict(c.looks), deltas=dict(c.deltas), events=dict(c.events),
        places=dict(c.places),
        sightings={s.number: s for s in state.objects.sightings}, objects=dict(state.objects.known),
        frames=c.frames,
    )  # fmt: skip


def _changed(now: dict[int, Any], before: dict[int, Any]) -> list:
    return [v for i, v in now.items() if before.get(i) is not v]


def _other_entries(values: list, now: list, before: list) -> list[tuple[int, Any]]:
    """Places and values where two lists of marks differ, and all beyond the second's end."""
    same = [a == b for a, b in zip(now, before, strict=False)]
    return [(i, v) for i, v in enumerate(values) if i >= len(same) or not same[i]]


def _clouds(state: MapState, before: Written, after: Written) -> list[CloudSnapshot]:
    growing, content = state.growing, state.content
    after.clouds = dict(before.clouds)
    out = []
    for cloud in content.clouds if growing is None else [*content.clouds, growing.cloud]:
        if cloud.number < 0:
            cloud.number = content.next_cloud
            content.next_cloud += 1
        closed = growing is None or cloud is not growing.cloud
        was = before.clouds.get(cloud.number, _UNWRITTEN)
        if not was.holds(cloud, closed):
            out.append(_cloud(cloud, was, None if closed else growing))
            after.clouds[cloud.number] = WrittenCloud(
                cloud.T_map_cloud, cloud.frames, closed, cloud.votes, len(cloud.features), len(cloud.views),
                cloud.stands_for,
            )  # fmt: skip
    return out


def _forgotten(state: MapState, before: Written, after: Written) -> list[tuple[int, int]]:
    """Keyframes and clouds that were dropped since; what the file has done with is no longer remembered."""
    content = state.content
    done = before.forgotten - content.forgotten_before
    if done > 0:
        del content.forgotten[:done]
        content.forgotten_before += done
    after.forgotten = content.forgotten_before + len(content.forgotten)
    for keyframe, number in content.forgotten:
        after.keyframes.pop(keyframe, None)
        after.clouds.pop(number, None)
    return list(content.forgotten)


def _cloud(cloud: LocalCloud, was: WrittenCloud, growing: CloudBuilder | None) -> CloudSnapshot:
    out = CloudSnapshot(cloud, cloud.T_map_cloud, cloud.frames)
    if growing is not None:
        out.cells = growing.changed(PART, max(was.frames, 0))
    elif not was.closed:
        edges = detail_edges(cloud.hits)[::PART]
        out.closing = -(-len(cloud.hits) // PART)
        for part, first in enumerate(edges):
            hits = cloud.hits[part * PART : (part + 1) * PART]
            last = edges[part + 1] if part + 1 < len(edges) else len(cloud.details)
            out.parts += [("hits", part, hits), ("details", part, cloud.details[first:last])] if len(hits) else []
    if not was.closed:
        # The last one may have grown since, unless it is a whole frame.
        out.views = [
            (i, replace(v))
            for i, v in enumerate(cloud.views)
            if i >= was.views or (i == was.views - 1 and v.color is None)
        ]
        out.parts += [("view_jpeg", i, v.color) for i, v in out.views if v.color is not None]
    if was.votes is not cloud.votes and (len(cloud.votes) or was.votes is not None):
        out.parts.append(("votes", 0, cloud.votes))
    if was.stands_for != cloud.stands_for:
        out.parts.append(("stands_for", 0, np.array([cloud.stands_for], np.int32)))
    for i, hits in enumerate(cloud.features[was.features :], was.features):
        out.parts += [(f"feature_{name}", i, array) for name, array in hits._asdict().items()]
    return out


def _blocks(state: MapState, before: WrittenBlocks, after: Written, budget: int | None) -> BlockSnapshot | None:
    """Blocks in memory that changed, within the budget; notes in ``after`` what of them is written then."""
    store, n = state.voxels.store, state.voxels.store.blocks
    a, now = store.arrays, before.covering(n)
    moved_in = a.block_keys[:n] != now.keys
    changed = np.flatnonzero(((a.block_clock[:n] != now.clock) | moved_in) & (a.block_keys[:n] >= 0))
    wanted = changed
    if budget is not None:
        wanted = changed[np.cumsum(a.block_live[changed]) <= budget] if budget else changed[:0]
        if budget and not len(wanted):
            wanted = changed[:1]
    after.blocks, after.whole = now, len(wanted) == len(changed)
    if not len(wanted):
        return None
    now.clock[wanted], now.keys[wanted] = a.block_clock[wanted], a.block_keys[wanted]
    slot_rows = a.slot_rows[wanted]
    place, slots = np.nonzero(slot_rows)
    rows = slot_rows[place, slots].astype(np.int64) - 1
    counts = np.bincount(place, minlength=len(wanted))
    out = BlockSnapshot(
        a.block_keys[wanted], counts, np.take(a.rows, rows), a.owner[rows], [], np.zeros(0, np.int64), None
    )
    if store.feature_dim:
        weights = a.feature_weight[rows]
        sums = np.bincount(place, weights, len(wanted))
        fresh = (sums != now.features[wanted]) | moved_in[wanted]  # a number is used again for another block
        now.features[wanted] = sums
        mine = fresh[place] & (weights > 0)
        out.features = feature_records(slots[mine], weights[mine], store.feature_table[rows[mine]])
        out.with_features = np.flatnonzero(fresh).tolist()
        out.feature_counts = np.bincount(place[mine], minlength=len(wanted))
    return out


def _swapped(state: MapState, token: int, after: Written, budget: int | None) -> list[SwappedBlock]:
    """Blocks that changed and were swapped out since."""
    after.swapped = token
    swapper, store = state.voxels.swapper, state.voxels.store
    if swapper is None or budget == 0:
        return []
    a, n, now = store.arrays, store.blocks, after.blocks
    late = ((a.block_clock[:n] != now.clock) | (a.block_keys[:n] != now.keys)) & (a.block_keys[:n] >= 0)
    # A block beyond the budget may be swapped out before it is written: it is then found among those on disk.
    after.swapped = int(min(store.clock, a.block_clock[:n][late].min(initial=store.clock + 1) - 1))
    return list(swapper.swapped(token))


def feature_records(slots: np.ndarray, weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """N voxels' features as a file holds them: places in the block, weights, features (N x D as the store has them)."""
    kind = np.dtype([("slot", "<u2"), ("weight", "<f4"), ("feature", features.dtype, features.shape[1])])
    out = np.empty(len(slots), kind)
    out["slot"], out["weight"], out["feature"] = slots, weights, features
    return out
