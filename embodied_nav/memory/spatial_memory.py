"""The spatial memory: frames in, voxels, objects and an occupancy grid out. Knows nothing of ROS and of models.

The global voxel map is a cache: what it was made from hangs on the keyframes (``local_clouds``) and moves with them.
One thread owns a memory. The heavy calls release the interpreter lock, so other threads run meanwhile, but they must
not call into the same memory; only the long part of a correction (``Correction.run``) is made to run beside it.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..frames import Keyframe, MemoryObject, OccupancyGrid, RGBDFrame, SemanticDelta
from ..geometry import invert, is_rigid
from .config import MemoryConfig
from .correction import Correction, Placed, anchors, carver, records
from .eviction import Pager, page_keys, restore
from .features import check_grid, decode, fuse_frame
from .fusion import FrameHasher, sighting_weights, upsert
from .graph import KeyframeGraph
from .grid import ColumnGrid
from .keys import block_corners, pack_array
from .local_clouds import VOTE, CloudBuilder, LocalCloud
from .objects import ObjectIndex
from .packing import columns
from .query import Answer, Frustum, Knowledge, Query, ask
from .records import ChangedBlocks, IntegrationStats, KeyframeRecord, MapRecord, VoxelView
from .retrieval import Found, SearchIndex, keyframes_showing, rows_in_box, rows_in_view, search
from .rooms import Rooms, segment_rooms
from .sight import empty_places
from .store import CLOCK, REFUSED, VoxelStore
from .tokens import Tokens, select_tokens
from .votes import ClassTable, cast_votes, count_votes, move_votes, segments_of, votes_in_frame

if TYPE_CHECKING:
    from .cuts import Ledger

THUMBNAIL_WIDTH = 160
#: A frame may come this long after a correction that it does not know of yet, ns.
_LATE = 5_000_000_000


class SpatialMemory:
    """A sparse voxel map with labels, objects, keyframes and an occupancy grid.

    Args:
        config: see :class:`MemoryConfig`.

    Attributes:
        text_encoder: text -> (feature_dim,) embedding in the features' space, for questions in words; or None.
    """

    def __init__(self, config: MemoryConfig | None = None) -> None:
        self.config = c = config or MemoryConfig()
        if c.min_depth >= c.max_depth:
            raise InputError(f"min_depth = {c.min_depth}: must be below max_depth = {c.max_depth}")
        if c.min_height >= c.robot_height:
            raise InputError(f"min_height = {c.min_height}: must be below robot_height = {c.robot_height}")
        bound = int(c.max_megabytes * 1e6)
        self.store = VoxelStore(
            c.max_voxels, feature_dim=c.feature_dim, feature_type=c.feature_type, max_bytes=bound
        )  # fmt: skip
        self.pager = Pager(self.store, c.voxel_size, c.max_depth, self._roots) if bound else None
        # Its copies of the features are memory too: a bounded memory does without.
        self._search_index = None if bound else SearchIndex()
        self._hasher = FrameHasher()
        self._carver = carver(c)
        self.grid = ColumnGrid(
            c.voxel_size, c.floor_height, c.min_height, c.robot_height, c.floor_band, c.clear_radius, c.max_depth
        )
        self.object_index = ObjectIndex(c.voxel_size, c.min_object_voxels, self._relabel)
        self._builder = CloudBuilder(c.voxel_size, c.min_depth, c.max_depth, c.stride)
        self.text_encoder: Callable[[str], np.ndarray] | None = None
        #: Called after every change, and before a whole map is exchanged, by the thread that does it: this is how a
        #: file that is written continuously hears of it.
        self.after_change: Callable[[], None] = lambda: None
        self.before_exchange: Callable[[], None] = lambda: None
        #: Where its file is, if it has one.
        self.file: Path | None = None
        #: Grows when everything was exchanged at once.
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        self.file_uuid = str(uuid.uuid4())
        self.other_maps: tuple[MapRecord, ...] = ()
        #: What the file that it was read from holds of it.
        self.origin: Ledger | None = None
        #: s since the file that it was read from was written last, where its writer never closed it.
        self.interrupted = float("inf")
        self.next_cloud = self.first_free_keyframe = 0
        self.classes = ClassTable()
        self._forget_map()
        self.begin_session([])

    def _forget_map(self) -> None:
        """An empty map with a name of its own."""
        self.generation += 1
        self.uuid = str(uuid.uuid4())
        self.created = time.time()
        self.keyframes: dict[int, KeyframeRecord] = {}
        #: Arrays by name that belong to keyframes, see :meth:`add_look`.
        self.looks: dict[int, dict[str, np.ndarray]] = {}
        self.clouds: list[LocalCloud] = []
        self.deltas: list[SemanticDelta] = []
        self.stamp = 0
        self.frames = 0
        self._builder.cloud = None
        self._images: OrderedDict[int, RGBDFrame] = OrderedDict()
        self._restarted_at = 0
        #: How often keyframes were moved.
        self.corrections = 0
        self._correction: Correction | None = None
        self._late: tuple[int, np.ndarray] | None = None
        self._rooms: tuple[int, Rooms] | None = None
        self._graph = KeyframeGraph(self.config.voxel_size)

    def __len__(self) -> int:
        return len(self.store)

    def clear(self) -> None:
        """Forgets everything; the map and the file get a new identity."""
        self._clear_voxels()
        self._reset()
        self.after_change()

    def _clear_voxels(self) -> None:
        self.store.clear()
        if self.pager is not None:
            self.pager.clear()
            self._paged(np.zeros(0, np.int64))
        self.grid.reset()
        self.object_index.reset()

    @property
    def maps(self) -> tuple[MapRecord, ...]:
        """All maps that a file of this memory holds, this one first."""
        return (MapRecord(self.uuid, self.created), *self.other_maps)

    @property
    def all_voxels(self) -> int:
        """Voxels in memory and, where it is bounded, on disk."""
        return len(self) + (0 if self.pager is None else self.pager.voxels)

    @property
    def restarted_at(self) -> int:
        """Clock at which all voxels were made anew."""
        return self._restarted_at

    @property
    def growing(self) -> CloudBuilder | None:
        """Who grows the newest local cloud; None before the first frame."""
        return None if self._builder.cloud is None else self._builder

    def begin_session(self, earlier: list[dict]) -> None:
        """A new session after those of a loaded file; its keyframes get ids after theirs."""
        first = max(self.first_free_keyframe, max(self.keyframes, default=-1) + 1)
        session = {"id": str(uuid.uuid4()), "map": self.uuid, "started": time.time(), "first_keyframe": first}
        self.sessions = [*earlier, session]

    def begin_map(self) -> str:
        """Goes on in a new, empty map: for a robot that does not know where it is in this one. Returns the new UUID.

        Keyframe ids go on. What was remembered so far stays in the file that is written continuously, or that this
        memory was loaded from; what is in no file is forgotten.
        """
        self.before_exchange()
        self.other_maps = (*self.other_maps, MapRecord(self.uuid, self.created))
        self.first_free_keyframe = max(self.first_free_keyframe, max(self.keyframes, default=-1) + 1)
        begun = self.sessions if self.first_free_keyframe > self.sessions[-1]["first_keyframe"] else self.sessions[:-1]
        self._clear_voxels()
        self._forget_map()
        self.begin_session(begun)
        self.after_change()
        return self.uuid

    def absorb(self, uuid: str, T_here_there: np.ndarray) -> None:
        """Takes another map of the same file into this one, in this one's coordinates.

        Args:
            T_here_there: 4x4, points of this map from the other's.

        Raises:
            InputError: this memory is in no file, the file holds no such map, or the transform is not rigid.
        """
        from .merging import joined

        self._join(joined(self, self._other_map(uuid), T_here_there))

    def become(self, uuid: str, T_there_here: np.ndarray) -> None:
        """Goes on as part of another map of the same file: coordinates and identity are that map's from now on.

        Args:
            T_there_here: 4x4, points of the other map from this one's.

        Raises:
            InputError: as :meth:`absorb`.
        """
        from .merging import joined

        self._join(joined(self._other_map(uuid), self, T_there_here))

    def _other_map(self, uuid: str) -> SpatialMemory:
        self.before_exchange()
        if self.file is None:
            raise InputError("this memory is in no file, so there is no other map; load it from one or write it to one")
        return SpatialMemory.load(self.file, self.config, uuid)

    def _join(self, state: dict[str, Any]) -> None:
        """The running session goes on in what two maps became."""
        session = self.sessions[-1]
        rest = [s for s in state["sessions"] if s["id"] != session["id"]]
        self.exchange({**state, "sessions": [*rest, session]})

    def exchange(self, state: dict[str, Any]) -> None:
        """Becomes what ``merging.joined`` made; voxels, objects and free space are made anew."""
        # Images whose delta is still to come have poses of their map.
        growing, images = self._builder.cloud, self._images if state["uuid"] == self.uuid else OrderedDict()
        objects, sightings = state.pop("objects"), state.pop("sightings")
        self._clear_voxels()
        self._forget_map()
        for name, value in state.items():
            setattr(self, name, value)
        self.object_index.restore(objects, sightings)
        self._images = images
        self.rebuild_from_keyframes({})
        if growing is not None and growing.keyframe_id in self.keyframes:
            pose = self.keyframes[growing.keyframe_id].T_map_camera
            self._builder.start(growing.keyframe_id, pose, growing.stamp)
        self.after_change()

    # ---- in ----

    def integrate(self, frame: RGBDFrame, features: np.ndarray | None = None) -> IntegrationStats:
        """Fuses one frame; call it with every frame, keyframe or not.

        Args:
            features: (h, w, D) float32, a grid of patches over the whole image, with D the configured feature_dim.

        Raises:
            InputError: images or features that do not fit, a pose that is not rigid or not finite.
        """
        _check(frame)
        features = None if features is None else check_grid(features, self.config.feature_dim)
        if frame.depth is None:
            return IntegrationStats(0, 0, 0, len(self))
        c, T = self.config, self._corrected(frame)
        position = T[:3, 3]
        voxels = self._hasher(
            frame.depth, frame.color, frame.camera, T, c.voxel_size, c.min_depth, c.max_depth, c.stride
        )
        sightings = sighting_weights(voxels, position, c.voxel_size, c.near_range, c.full_points / c.stride**2)
        if self.pager is not None:
            self._paged(self.pager.prepare(voxels.keys, position, int(frame.stamp)))
        refused = int(self.store.arrays.counts[REFUSED])
        done = upsert(self.store, voxels, sightings, np.array([frame.stamp], np.int64), c.max_evidence, c.min_evidence)
        given = None
        if features is not None:
            given = fuse_frame(
                self.store, voxels, done.rows, sightings, features, frame.camera, T, c.voxel_size, c.feature_pooling
            )
        self.grid.apply(done.raised, 1)
        self.grid.observe(voxels.keys, voxels.sums, position)
        carved = self._carve(frame.depth, frame.camera, T, frame.stamp) if c.carve else 0
        if self._builder.cloud is None:
            self._builder.start(-1, T, frame.stamp)
        self._builder.add(frame, T)
        if given is not None:
            self._builder.add_features(given)
        self.stamp = max(self.stamp, int(frame.stamp))
        self.frames += 1
        refused = int(self.store.arrays.counts[REFUSED]) - refused
        self.after_change()
        return IntegrationStats(voxels.points, int(done.new), carved, len(self), refused)

    def make_resident(self, keys: np.ndarray) -> None:
        """Brings the blocks of voxels (N int64 keys) back from disk, where a bounded memory has put them."""
        if self.pager is not None:
            self._paged(self.pager.bring(keys, None, self.stamp))

    def restore_voxels(
        self,
        keys: np.ndarray,
        voxels: np.ndarray,
        features: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Takes N new voxels as a file holds them (see :meth:`VoxelStore.insert`); those beyond the bound go to disk.

        Raises:
            ValueError: a voxel is there already, or there is no room.
            InputError: the disk does not take them.
        """
        if self.pager is None:
            self.store.insert(keys, voxels, features, weights)
        else:
            restore(self.pager, keys, voxels, features, weights)
            self._paged(np.zeros(0, np.int64))

    def _paged(self, back: np.ndarray) -> None:
        """Objects with voxels on disk are left alone until these are back."""
        self.object_index.away = set(self.pager.away)
        self.object_index.touch(np.array([c for c in back if c not in self.object_index.away], np.int64))

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        return self.classes.roots(numbers)

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Keeps a keyframe and starts its local cloud; frames integrated from now on hang on it.

        Raises:
            InputError: as :meth:`integrate`, or a keyframe of this id is there.
        """
        _check(keyframe.frame)
        number = self._memory_id(keyframe.id)
        if number in self.keyframes:
            raise InputError(f"keyframe {keyframe.id} is already in the memory")
        self._close_cloud()
        f = keyframe.frame
        T = self._corrected(f)
        self.keyframes[number] = KeyframeRecord(
            number, int(f.stamp), T, keyframe.reason, float(keyframe.overlap), int(keyframe.inliers),
            _thumbnail(f.color),
        )  # fmt: skip
        self._builder.start(number, T, int(f.stamp))
        self._images[number] = f
        while len(self._images) > self.config.keyframe_images:
            self._images.popitem(last=False)
        self.after_change()

    def add_look(self, keyframe_id: int, **arrays: np.ndarray) -> None:
        """Keeps arrays by name with a keyframe of this memory, such as what its place is recognised by.

        Raises:
            InputError: an unknown keyframe.
        """
        if keyframe_id not in self.keyframes:
            raise InputError(f"keyframe {keyframe_id} is not in the memory")
        self.looks[keyframe_id] = {**self.looks.get(keyframe_id, {}), **arrays}
        self.after_change()

    def add_delta(self, delta: SemanticDelta) -> None:
        """Counts what perception saw in a keyframe as label votes; a stale delta is only kept.

        The keyframe's images wait for it for ``keyframe_images`` keyframes; a delta later than that is only kept too.

        Raises:
            InputError: an unknown keyframe, or segments that do not fit its depth.
        """
        number = self._memory_id(delta.keyframe_id)
        if number not in self.keyframes:
            raise InputError(f"delta of keyframe {delta.keyframe_id}, which is not in the memory")
        previous = self._memory_id(delta.previous_id) if delta.previous_id >= 0 else -1
        delta = replace(delta, keyframe_id=number, previous_id=previous)
        frame = self._images.pop(delta.keyframe_id, None)
        if frame is not None and frame.depth is not None and not delta.stale:
            self._vote(delta, frame)
        self.deltas.append(replace(delta, segments=None))
        self.after_change()

    # ---- out ----

    def objects(self, include_gone: bool = False) -> tuple[MemoryObject, ...]:
        """Objects by id; computed anew only where labels or voxels changed."""
        present = self.object_index.refresh(self.store, self.classes, self.stamp)
        if not include_gone:
            return present
        return tuple(sorted(self.object_index.known.values(), key=lambda o: o.id))

    def occupancy(self, robot_height: float | None = None, min_height: float | None = None) -> OccupancyGrid:
        """The map from above: -1 unknown, 0 free, 100 occupied between min_height and robot_height over the floor.

        Heights other than those of the configuration cost a pass over all voxels once, as long as they stay the same.
        """
        low = self.config.min_height if min_height is None else min_height
        high = self.config.robot_height if robot_height is None else robot_height
        if (low, high) != (self.grid.low, self.grid.high):
            self.grid.set_band(low, high)
            self.recount_obstacles()
        return self.grid.grid(self.stamp)

    def voxels(self, box: tuple[np.ndarray, np.ndarray] | None = None) -> VoxelView:
        """All voxels, or those with their centroid within (low, high), m."""
        rows = self._rows(box)
        return self._view(np.flatnonzero(self.store.rows["key"] >= 0) if rows is None else rows)

    def search(
        self,
        feature: np.ndarray,
        k: int = 50,
        box: tuple[np.ndarray, np.ndarray] | None = None,
        frustum: Frustum | None = None,
    ) -> Found:
        """The k voxels whose features are most like one, best first, with the keyframes to look at.

        Args:
            feature: (feature_dim,). box: (low, high), m; frustum: with their middle in view; all voxels by default.

        Raises:
            InputError: this memory holds no features, or the feature does not fit, is not finite or zero.
        """
        rows, scores = search(self.store, feature, k, self._search_index, self._rows(box, frustum))
        positions = columns(self.store, rows, self.config.voxel_size)[0]
        return Found(positions, scores, keyframes_showing(positions, self.clouds, 1.5 * self.config.max_depth))

    def tokens(
        self,
        k: int,
        frustum: Frustum | None = None,
        around: np.ndarray | None = None,
        radius: float = 5.0,
        code_dim: int = 96,
    ) -> Tokens:
        """The k most useful voxels with features as input of a model; see :func:`tokens.select_tokens`.

        Args:
            frustum: those with their middle in view; or around: (3,) m, those within ``radius``; all by default.
            code_dim: components of the position codes, a multiple of 6.

        Raises:
            InputError: this memory holds no features, or code_dim is no multiple of 6.
        """
        box = None if around is None else (np.asarray(around) - radius, np.asarray(around) + radius)
        rows = self._rows(box, frustum)
        if rows is None:
            rows = np.flatnonzero(self.store.rows["key"] >= 0)
        if around is not None:
            positions = columns(self.store, rows, self.config.voxel_size)[0]
            rows = rows[np.linalg.norm(positions - np.asarray(around), axis=1) <= radius]
        return select_tokens(self.store, rows, k, self.config.voxel_size, code_dim)

    def _rows(
        self, box: tuple[np.ndarray, np.ndarray] | None = None, frustum: Frustum | None = None
    ) -> np.ndarray | None:
        """Rows in a box and in view, ascending; None for all."""
        rows = None if box is None else rows_in_box(self.store, *box, self.config.voxel_size)
        if frustum is not None:
            seen = np.sort(rows_in_view(self.store, frustum, self.config.voxel_size))
            rows = seen if rows is None else np.intersect1d(rows, seen, assume_unique=True)
        return rows

    def features(self, positions: np.ndarray) -> np.ndarray:
        """N x feature_dim float32, the features of the voxels that N x 3 positions (m) lie in; zeros where none is."""
        if not self.config.feature_dim:
            return np.zeros((len(positions), 0), np.float32)
        rows = self.store.find(pack_array(np.floor(np.asarray(positions, np.float64) / self.config.voxel_size)))
        found = decode(self.store.feature_table[np.maximum(rows, 0)])
        found[rows < 0] = 0
        return found

    def changed_blocks(self, since_token: int = 0) -> ChangedBlocks:
        """Blocks that got, lost or changed voxels since a token; 0, or a token from before a clear, asks for all."""
        a, n = self.store.arrays, self.store.blocks
        token = int(a.counts[CLOCK])
        if since_token > token or since_token < self._restarted_at:
            since_token = 0
        blocks = np.flatnonzero(a.block_clock[:n] > since_token)
        pages = a.pages[blocks]
        rows = pages[pages > 0].astype(np.int64) - 1
        size = self.config.voxel_size
        return ChangedBlocks(
            token, block_corners(a.block_keys[blocks], size), a.block_live[blocks].astype(np.int64), 8 * size,
            self._view(rows),
        )  # fmt: skip

    def query(
        self,
        text: str = "",
        box: tuple[np.ndarray, np.ndarray] | None = None,
        feature: np.ndarray | None = None,
        max_results: int = 10,
        near: np.ndarray | None = None,
    ) -> list[tuple[MemoryObject, float]]:
        """Objects that fit with their scores (0 to 1), best first; see :meth:`ask` for more.

        Args:
            text: label, colour, or both, with relations; "" for anything. box: (low, high), m. near: (3,) m, nearer
                ones first.

        Raises:
            InputError: a feature is given to a memory that holds none; or a box that is none.
        """
        asked = Query(text=text, box=box, feature=feature, near=near, max_results=max_results)
        return [(a.object, a.score) for a in self.ask(asked)]

    def ask(self, query: Query, room_names: Mapping[int, str] | None = None) -> list[Answer]:
        """Answers with score, pose, age and the keyframe to look at, best first.

        Args:
            room_names: what the rooms of :meth:`rooms` are called, for "in the kitchen".

        Raises:
            InputError: a feature is given to a memory that holds none; a box that is none; a sentence that names too
                little.
        """
        wants_feature = query.feature is not None and np.size(query.feature) > 0
        if wants_feature and not self.config.feature_dim:
            raise InputError("this memory holds no features; ask by text or box")
        return ask(query, self.knowledge(room_names, wants_feature or self.text_encoder is not None))

    def knowledge(self, room_names: Mapping[int, str] | None = None, features: bool = False) -> Knowledge:
        """What questions are answered from, at this moment; with the objects' features if asked for."""
        objects = self.objects(include_gone=True)
        if features and self.config.feature_dim:
            objects = tuple(replace(o, feature=self.object_feature(o.id)) for o in objects)
        return Knowledge(
            objects, self.keyframes, self.stamp, self.object_index.keyframes_of, self.grid.grid(self.stamp),
            self.rooms(),
            room_names or {}, self.text_encoder,
        )  # fmt: skip

    def object_feature(self, object_id: int) -> np.ndarray | None:
        """(feature_dim,) float32 of unit length, the mean of an object's voxels' features; None where it has none."""
        n = len(self.store.rows)
        rows = np.flatnonzero(self.store.arrays.owner[:n] == object_id)
        rows = rows[self.store.feature_weights[rows] > 0] if self.config.feature_dim else rows[:0]
        if not len(rows):
            return None
        mean = decode(self.store.feature_table[rows]).mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def graph(self) -> KeyframeGraph:
        """The keyframe graph as of now; it is the same object next time, brought up to date."""
        self._graph.update(self.keyframes, self.local_clouds())
        return self._graph

    def rooms(self) -> Rooms:
        """Rooms of the map from above; made anew only after something came in."""
        if self._rooms is None or self._rooms[0] != self.store.arrays.counts[CLOCK]:
            previous = None if self._rooms is None else self._rooms[1]
            rooms = segment_rooms(self.grid.grid(self.stamp), previous, self.objects())
            self._rooms = (int(self.store.arrays.counts[CLOCK]), rooms)
        return self._rooms[1]

    # ---- keyframes move ----

    def local_clouds(self) -> list[LocalCloud]:
        """All local clouds, oldest first, the growing one included."""
        self._close_cloud(keep=True)
        return list(self.clouds) + ([self._builder.cloud] if self._builder.cloud is not None else [])

    def begin_correction(
        self, poses: Mapping[int, np.ndarray], stamp: int | None = None, everything: bool = False
    ) -> Correction:
        """Begins to move keyframes: ``correction.run()`` on any thread, then :meth:`apply`; frames may come meanwhile.

        The keyframe that grows counts as moved from now on: later frames are expected to come with corrected poses.
        Another one that was begun and not applied goes on in this one.

        Args:
            poses: keyframe id -> 4x4 map from optical frame; keyframes not named keep theirs.
            stamp: ns; frames that come later and are older than this still have poses from before the correction.
            everything: makes all of the map again, not only what hangs on moved keyframes.

        Raises:
            InputError: an unknown keyframe, or a pose that is not rigid.
        """
        for i, T in poses.items():
            if i not in self.keyframes:
                raise InputError(f"keyframe {i} is not in the memory")
            if not is_rigid(T):
                raise InputError(f"pose of keyframe {i} is not a finite rigid transform")
        everything = everything or self.pager is not None
        if self._correction is not None:
            poses, everything = {**self._correction.poses, **poses}, everything or self._correction.everything
        poses = {i: np.array(T, np.float64) for i, T in poses.items()}
        growing = self._builder.cloud
        self._close_part()
        placed = [Placed(c, c.votes, c.T_map_cloud, self._place(c, i, poses)) for c, i in
                  zip(self.clouds, anchors(self.clouds), strict=True)]  # fmt: skip
        if growing is not None:
            T = growing.T_map_cloud
            here = self._place(growing, anchors([*self.clouds, growing])[-1], poses)
            if stamp is not None:
                self._late = (int(stamp), here @ invert(T))
            self._builder.start(growing.keyframe_id, here, growing.stamp)
        a, n = self.store.arrays, self.store.blocks
        known = a.block_keys[:n][a.block_keys[:n] >= 0]
        self._correction = Correction(self.config, placed, poses, self.classes, self.grid, known, everything)
        return self._correction

    def apply(self, correction: Correction) -> None:
        """Exchanges the map with the corrected one at once; a correction that was not run is run now.

        Raises:
            InputError: another correction was begun since.
        """
        if correction is not self._correction:
            raise InputError("another correction was begun since: apply that one")
        if not correction.done:
            correction.run()
        growing = self._builder.cloud
        self._close_part()
        correction.catch_up(self.clouds[len(correction.clouds) :])
        if growing is not None:
            self._builder.start(growing.keyframe_id, growing.T_map_cloud, growing.stamp)
        self._move(correction)
        if self.pager is not None:
            self._refill(correction)
        elif correction.exchange(self.store):
            self._restarted_at = int(self.store.arrays.counts[CLOCK])
        band = self.grid.low, self.grid.high
        self.grid = correction.grid
        self.grid.set_band(*band)
        self.recount_obstacles()
        self.object_index.touch_all(self.store)
        self._correction = None
        self.corrections += 1
        self.after_change()

    def expected_pose(self, keyframe_id: int) -> np.ndarray:
        """4x4 pose of a keyframe, after a correction that is under way."""
        poses = {} if self._correction is None else self._correction.poses
        return poses.get(keyframe_id, self.keyframes[keyframe_id].T_map_camera)

    def is_pending(self, correction: Correction) -> bool:
        """Whether this is the correction that is to be applied."""
        return correction is self._correction

    def move_keyframes(self, poses: Mapping[int, np.ndarray], stamp: int | None = None) -> None:
        """Moves keyframes and what hangs on them, and returns when that is done; see :meth:`begin_correction`."""
        self.apply(self.begin_correction(poses, stamp))

    def rebuild_from_keyframes(self, poses: Mapping[int, np.ndarray]) -> None:
        """Makes all of the map anew from the local clouds, keyframes moved or not; see :meth:`begin_correction`."""
        self.apply(self.begin_correction(poses, everything=True))

    def _close_part(self) -> None:
        """Closes the growing cloud, which goes on as another one of the same keyframe; an empty one just ends."""
        cloud = self._builder.cloud
        empty = cloud is not None and not cloud.frames and not len(cloud.votes)
        if empty and any(c.keyframe_id == cloud.keyframe_id for c in self.clouds):
            self._builder.cloud = None
        self._close_cloud()

    def _refill(self, correction: Correction) -> None:
        """A bounded memory takes all voxels anew, and puts on disk what does not fit."""
        clock = int(self.store.arrays.counts[CLOCK])
        self.store.clear()
        self.pager.clear()
        self.store.arrays.counts[CLOCK] = self._restarted_at = clock + 1
        self.restore_voxels(*records(correction.store))

    def _corrected(self, frame: RGBDFrame) -> np.ndarray:
        """4x4 pose of a frame; one from before a correction that is under way or done moves with it."""
        T = np.array(frame.T_map_camera, np.float64)
        late = self._late is not None and self._late[0] - _LATE <= frame.stamp < self._late[0]
        return self._late[1] @ T if late else T

    def _place(self, cloud: LocalCloud, anchor: int, poses: Mapping[int, np.ndarray]) -> np.ndarray:
        """Where a cloud belongs (4x4): with its keyframe; one from before the first keyframe moves as that does."""
        if anchor not in poses:
            return cloud.T_map_cloud
        T = poses[anchor]
        if cloud.keyframe_id < 0:
            T = T @ invert(self.keyframes[anchor].T_map_camera) @ cloud.T_map_cloud
        return cloud.T_map_cloud if np.array_equal(T, cloud.T_map_cloud) else T

    def _move(self, correction: Correction) -> None:
        for p in correction.clouds:
            if p.moved:
                p.cloud.T_map_cloud = p.after
        poses = correction.poses
        for s in (s for s in self.object_index.sightings if s.keyframe_id in poses):
            T = poses[s.keyframe_id] @ invert(self.keyframes[s.keyframe_id].T_map_camera)
            s.position = T[:3, :3] @ s.position + T[:3, 3]
        for i, T in poses.items():
            self.keyframes[i] = replace(self.keyframes[i], T_map_camera=T)

    # ---- inside ----

    def _carve(self, depth, camera, T, stamp, frames: int = 1) -> int:
        carved = self._carver(self.store, depth, camera, T, int(stamp), self.config.voxel_size, frames)
        self.grid.apply(carved.lowered, -1)
        self.object_index.touch(carved.classes)
        return carved.removed

    def _vote(self, delta: SemanticDelta, frame: RGBDFrame) -> None:
        c, T = self.config, np.asarray(frame.T_map_camera, np.float64)
        segments = segments_of(delta, frame.depth, frame.camera, T)
        if segments.shape != frame.depth.shape:
            raise InputError(
                f"segments are {segments.shape[1]}x{segments.shape[0]}, the keyframe's depth "
                f"{frame.depth.shape[1]}x{frame.depth.shape[0]}"
            )
        if segments.max(initial=0) > len(delta.objects):
            raise InputError(f"segments name object {segments.max()}, the delta holds {len(delta.objects)}")
        values = np.array([c.background_vote] + [max(float(o.confidence), 1e-3) for o in delta.objects], np.float32)
        rows, numbers, shares = count_votes(
            self.store, frame.depth, segments, frame.camera, T, c.voxel_size, c.min_depth, c.max_depth
        )
        self.objects()  # what was removed since must not be taken for what is there
        pixels = np.bincount(segments.ravel(), minlength=len(values))
        classes = self.object_index.see(
            self.store, self.classes, delta.keyframe_id, delta.objects, pixels, rows, numbers,
            lambda middles, sizes: empty_places(
                middles, sizes, frame.depth, frame.camera, T, c.voxel_size, c.depth_noise
            ),
        )  # fmt: skip
        votes = (values[numbers] * shares).astype(np.float32)
        keep = votes > 0
        rows, numbers, votes = rows[keep], numbers[keep], votes[keep]
        self.object_index.touch(cast_votes(self.store, rows, classes[numbers], votes))
        # A voxel with only "nothing" votes is what a rebuilt map has anyway, but they outvote errors: keep them all.
        cloud = self._cloud_of(delta.keyframe_id)
        kept = np.empty(len(rows), VOTE)
        kept["p"] = votes_in_frame(self.store, rows, c.voxel_size, cloud.T_map_cloud)
        kept["class"], kept["votes"] = classes[numbers], votes
        cloud.votes = np.concatenate([cloud.votes, kept])

    def _relabel(self, keyframe_ids: set[int], old: int, new: int, only: np.ndarray | None) -> None:
        """Votes of some keyframes for one instance become another's; only those in rows ``only`` unless it is None."""
        growing = [] if self._builder.cloud is None else [self._builder.cloud]
        for cloud in (c for c in (*self.clouds, *growing) if c.keyframe_id in keyframe_ids):
            mine = np.flatnonzero(cloud.votes["class"] == old)
            p = cloud.votes["p"][mine].astype(np.float64) @ cloud.T_map_cloud[:3, :3].T + cloud.T_map_cloud[:3, 3]
            rows = self.store.find(pack_array(np.floor(p / self.config.voxel_size)))
            if only is not None:
                chosen = np.isin(rows, only)
                mine, rows = mine[chosen], rows[chosen]
            cloud.votes = cloud.votes.copy()
            cloud.votes["class"][mine] = new
            move_votes(self.store, rows[rows >= 0], old, new)

    def _memory_id(self, keyframe_id: int) -> int:
        """A session counts its keyframes from 0, a memory over all its sessions."""
        return self.sessions[-1]["first_keyframe"] + keyframe_id

    def _cloud_of(self, keyframe_id: int) -> LocalCloud:
        if self._builder.cloud is not None and self._builder.cloud.keyframe_id == keyframe_id:
            return self._builder.cloud
        return next(c for c in reversed(self.clouds) if c.keyframe_id == keyframe_id)

    def _close_cloud(self, keep: bool = False) -> None:
        cloud = self._builder.cloud
        if cloud is None:
            return
        self._builder.close()
        if not keep:
            self.clouds.append(cloud)
            self._builder.cloud = None

    def recount_obstacles(self) -> None:
        self.grid.reset_obstacles()
        rows = self.store.rows
        confirmed = (rows["key"] >= 0) & (rows["evidence"] >= np.float32(self.config.min_evidence))
        self.grid.apply(np.ascontiguousarray(rows["key"][confirmed]), 1)
        for page in self.pager.pages() if self.pager is not None else ():
            self.grid.apply(page_keys(page)[page.voxels["evidence"] >= np.float32(self.config.min_evidence)], 1)

    def _view(self, rows: np.ndarray) -> VoxelView:
        positions, colors, weights, labels, last_seen = columns(self.store, rows, self.config.voxel_size)
        return VoxelView(positions, colors, weights, labels, last_seen, tuple(self.classes.names))

    def save(self, path: str | Path) -> None:
        """Writes the memory as it is now into one SQLite file; see ``persistence``."""
        from .persistence import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path, config: MemoryConfig | None = None, map: str | None = None) -> SpatialMemory:
        """Reads a memory from a file: the map that was written last, or the one with a UUID; see ``persistence``."""
        from .persistence import load

        return load(path, config, map)


def _check(frame: RGBDFrame) -> None:
    size = (frame.camera.height, frame.camera.width)
    if frame.depth is not None and frame.depth.shape != size:
        raise InputError(f"depth is {frame.depth.shape[1]}x{frame.depth.shape[0]}, its camera {size[1]}x{size[0]}")
    if frame.color is not None and (frame.color.shape != (*size, 3) or frame.color.dtype != np.uint8):
        raise InputError(f"color is {frame.color.shape} {frame.color.dtype}, expected ({size[0]}, {size[1]}, 3) uint8")
    if not is_rigid(frame.T_map_camera):
        raise InputError(f"pose of the frame at {frame.stamp} ns is not a finite rigid transform")


def _thumbnail(color: np.ndarray | None) -> bytes:
    if color is None:
        return b""
    import cv2

    height = max(1, round(color.shape[0] * THUMBNAIL_WIDTH / color.shape[1]))
    small = cv2.resize(color, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
