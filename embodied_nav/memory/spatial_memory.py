"""The spatial memory: frames in, voxels, objects and an occupancy grid out. Knows nothing of ROS and of models.

The global voxel map is a cache: what it was made from hangs on the keyframes (``local_clouds``) and moves with them.
One thread owns a memory. The heavy calls release the interpreter lock, so other threads run meanwhile, but they must
not call into the same memory; only the long part of a correction (``Correction.run``) is made to run beside it.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..frames import Keyframe, RGBDFrame, SemanticDelta
from ..geometry import is_rigid
from .asking import Asking
from .config import MemoryConfig
from .correction import Correction, carver
from .eviction import Pager, restore
from .features import check_grid, fuse_frame
from .fusion import FrameHasher, sighting_weights, upsert
from .graph import KeyframeGraph
from .grid import ColumnGrid, voxel_points
from .keys import pack_array
from .local_clouds import VOTE, CloudBuilder, LocalCloud
from .moving import Moving
from .objects import ObjectIndex
from .packing import columns
from .records import IntegrationStats, KeyframeRecord, MapRecord, VoxelView
from .retrieval import SearchIndex
from .rooms import Rooms
from .scratch import page_keys
from .sight import empty_places
from .store import REFUSED, VoxelStore
from .votes import ClassTable, cast_votes, count_votes, move_votes, segments_of, votes_in_frame

if TYPE_CHECKING:
    from .cuts import Ledger
    from .merging import Joining

THUMBNAIL_WIDTH = 160


class SpatialMemory(Asking, Moving):
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
        self.finish_join(self.begin_join(self._other_map(uuid), T_here_there))

    def become(self, uuid: str, T_there_here: np.ndarray) -> None:
        """Goes on as part of another map of the same file: coordinates and identity are that map's from now on.

        Args:
            T_there_here: 4x4, points of the other map from this one's.

        Raises:
            InputError: as :meth:`absorb`.
        """
        self.finish_join(self.begin_join(self._other_map(uuid), T_there_here, into=True))

    def begin_join(self, other: SpatialMemory, T: np.ndarray, into: bool = False) -> Joining:
        """Begins to join another map of the same file: ``run()`` on any thread, then :meth:`finish_join`.

        Until then this memory only answers: what is put in meanwhile makes it void.

        Args:
            other: the map, as loaded from the file. into: it survives, and this one becomes part of it.
            T: 4x4, points of the surviving map from the other one's.

        Raises:
            InputError: as :meth:`absorb`.
        """
        from .merging import Joining, joined

        if other.file_uuid != self.file_uuid:
            raise InputError("the two maps are not of one file; merge the files")
        return Joining(self, joined(*((other, self) if into else (self, other)), T), np.array(T) if into else None)

    def finish_join(self, joining: Joining, stamp: int | None = None) -> None:
        """Becomes what two maps make, at once; one that was not run is run now.

        Args:
            stamp: ns; frames that come later and are older than this still have poses from before.

        Raises:
            InputError: something was put into this memory since.
        """
        if joining.made_of != (self.generation, self.frames, len(self.keyframes)):
            raise InputError("the memory has changed since the maps began to be joined; begin anew")
        if not joining.correction.done:
            joining.run()
        session = self.sessions[-1]
        rest = [s for s in joining.state["sessions"] if s["id"] != session["id"]]
        self.exchange({**joining.state, "sessions": [*rest, session]}, joining.correction)
        if stamp is not None and joining.T is not None:
            self._late = (int(stamp), joining.T)

    def _other_map(self, uuid: str) -> SpatialMemory:
        self.before_exchange()
        if self.file is None:
            raise InputError("this memory is in no file, so there is no other map; load it from one or write it to one")
        return SpatialMemory.load(self.file, self.config, uuid)

    def exchange(self, state: dict[str, Any], made: Correction | None = None) -> None:
        """Becomes what ``merging.joined`` made; voxels, objects and free space are made anew, unless they are given."""
        # Images whose delta is still to come have poses of their map.
        growing, images = self._builder.cloud, self._images if state["uuid"] == self.uuid else OrderedDict()
        objects, sightings = state.pop("objects"), state.pop("sightings")
        self._clear_voxels()
        self._forget_map()
        for name, value in state.items():
            setattr(self, name, value)
        self.object_index.restore(objects, sightings)
        self._images = images
        if made is None:
            self.rebuild_from_keyframes({})
        else:
            self._correction = made
            self.apply(made)
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
        self.grid.observe(voxel_points(voxels.keys, voxels.sums, c.voxel_size), position)
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

    def add_keyframe(self, keyframe: Keyframe) -> int:
        """Keeps a keyframe and starts its local cloud; frames integrated from now on hang on it.

        Returns:
            Its id in this memory, which counts over all sessions.

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
        return number

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
