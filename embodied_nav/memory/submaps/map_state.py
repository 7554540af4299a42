"""The state of a memory: what a file holds of it, and what is made from that. Knows no questions and no files.

Keyframes, their local clouds, deltas and sightings are the original; voxels, the grid from above and the objects'
voxels are made of them and can be made again. Files read and write a state through its public parts alone.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError
from ...frames import MemoryObject, RGBDFrame, SemanticDelta
from ..config import MemoryConfig, RetentionConfig
from ..objects import history
from ..objects.index import ObjectIndex, Sighting
from ..objects.named_places import START
from ..objects.visibility import seen_through
from ..objects.votes import ClassTable, move_votes
from ..records import Event, KeyframeRecord, MapRecord, Place
from ..voxels.keys import pack_array
from ..voxels.packing import columns
from ..voxels.voxel_map import VoxelMap
from .correction import Correction
from .local_clouds import Clearing, CloudBuilder, LocalCloud
from .redundancy import Redundancy

#: So many dropped keyframes are known to have been there, for what comes late of them.
_RETIRED = 4096
#: Looks at a place that are older than a thing's first sight by this (ns) tell whether it was there; depth that passes
#: its voxels by so many of their edges saw through them.
_EARLIER, _PASSED = 2_000_000_000, 4.0
#: Voxels of a thing that are looked through, about.
_SAMPLE = 64
_HOUR = 3_600_000_000_000


def _new_uuid() -> str:
    return str(uuid.uuid4())


@dataclass(eq=False)
class MapContent:
    """What a file holds of one map, without objects and voxels; and what it holds once for all of its maps.

    Attributes:
        file_uuid, other_maps, sessions, classes, next_cloud, first_free_keyframe: of the file: its name, maps beside
            this one, who began when (dicts: id, map, started in s since 1970, first_keyframe), label classes, numbers
            that no cloud and no keyframe of it has yet.
        uuid, created: the map's name; s since 1970.
        keyframes, looks: by keyframe id: records; arrays by name, see ``SpatialMemory.add_look``.
        clouds: closed local clouds, oldest first.
        deltas: by number, oldest first, as perception told them, without segments; old ones put together, see
            :mod:`..objects.thinning`.
        events: by number, oldest first: what came, went and moved, see :mod:`..objects.history`.
        forgotten: (keyframe, number of its cloud) of those that were dropped and that a file may still hold;
            forgotten_before: how many there were before these.
        stamp: ns, of the newest frame. frames: how many were fused.
        places, places_elsewhere: by name: what people named in this map; UUID of another map of the file that holds it.
    """

    file_uuid: str = field(default_factory=_new_uuid)
    other_maps: tuple[MapRecord, ...] = ()
    sessions: list[dict] = field(default_factory=list)
    classes: ClassTable = field(default_factory=ClassTable)
    next_cloud: int = 0
    first_free_keyframe: int = 0
    uuid: str = field(default_factory=_new_uuid)
    created: float = field(default_factory=time.time)
    keyframes: dict[int, KeyframeRecord] = field(default_factory=dict)
    looks: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    clouds: list[LocalCloud] = field(default_factory=list)
    forgotten: list[tuple[int, int]] = field(default_factory=list)
    forgotten_before: int = 0
    deltas: dict[int, SemanticDelta] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    stamp: int = 0
    frames: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    places_elsewhere: dict[str, str] = field(default_factory=dict)

    def beside(self) -> MapContent:
        """An empty map of the same file, with a name of its own."""
        return MapContent(
            self.file_uuid, self.other_maps, self.sessions, self.classes, self.next_cloud, self.first_free_keyframe,
            places_elsewhere={**self.places_elsewhere, **{n: self.uuid for n in self.places if n != START}},
        )  # fmt: skip


@dataclass(eq=False)
class StoredMap:
    """A map outside of a memory: read from a file, or merged from two.

    Attributes:
        objects: (object, number of its instance), gone ones too. sightings: of all keyframes.
    """

    content: MapContent
    objects: list[tuple[MemoryObject, int]]
    sightings: list[Sighting]


@dataclass(eq=False)
class Postponed:
    """Corrected poses that wait until the correction before them is applied.

    Attributes:
        poses: keyframe id -> 4x4. stamp: ns; frames from then on come with them, None: all that come.
        T: 4x4, brings such frames to where the map is.
    """

    poses: dict[int, np.ndarray]
    stamp: int | None
    T: np.ndarray


class MapState:
    """A map with everything that is made of it.

    Args:
        config, retention: see :class:`MemoryConfig`, :class:`RetentionConfig`.

    Attributes:
        content: what a file holds. objects: the index of objects, with their sightings.
        voxels: the voxel map. builder: grows the newest local cloud, if there is one.
        images: frames of the newest keyframes, which wait for their semantic delta.
        featureless: the same without colour, which wait for their features, where the map holds any.
        redundancy: of the keyframes, None where all are kept. retired: ids of the newest that were dropped.
        correction: begun and not applied yet, or None. corrections: how often keyframes were moved.
        postponed: corrected poses that wait until ``correction`` is applied, or None.
        late: (stamp, T) once a correction has begun: frames that are older (ns) have poses that T (4x4) corrects.
        generation: grows whenever everything is exchanged at once.
        read_from_disk: arrays that wait on disk may have been read since. problem: why what exceeds the bound cannot
            be put on disk now, or "". left_out: number of the newest frame of which voxels found no room, 0 for none.

    Raises:
        InputError: settings that do not go together.
    """

    def __init__(self, config: MemoryConfig, retention: RetentionConfig | None = None) -> None:
        self.config = c = config
        self.retention = retention or RetentionConfig()
        if c.min_depth >= c.max_depth:
            raise InputError(f"min_depth = {c.min_depth}: must be below max_depth = {c.max_depth}")
        if c.min_height >= c.robot_height:
            raise InputError(f"min_height = {c.min_height}: must be below robot_height = {c.robot_height}")
        self.content = MapContent()
        self.objects = ObjectIndex(c.voxel_size, c.min_object_voxels, self._relabel)
        self.voxels = VoxelMap(c, self._roots, self._swapped)
        clearing = Clearing(c.carve_margin * c.voxel_size, c.depth_noise, c.carve_frames) if c.carve else None
        self.builder = CloudBuilder(c.voxel_size, c.min_depth, c.max_depth, c.stride, clearing=clearing)
        self.generation = 0
        self._replace(self.content)
        self.begin_session([])

    def reset(self) -> None:
        """Forgets everything; the map and the file get new names."""
        self._replace(MapContent())
        self.begin_session([])

    def begin_map(self) -> None:
        """Goes on in a new, empty map of the same file, in a new session; keyframe ids go on."""
        c = self.content
        c.other_maps = (*c.other_maps, MapRecord(c.uuid, c.created))
        c.first_free_keyframe = self._next_keyframe()
        begun = c.sessions if c.first_free_keyframe > c.sessions[-1]["first_keyframe"] else c.sessions[:-1]
        self._replace(c.beside())
        self.begin_session(begun)

    def become(self, stored: StoredMap) -> None:
        """Takes the content and objects of another map; the caller restores or makes its voxels and free space."""
        same = stored.content.uuid == self.content.uuid
        images, featureless = (self.images, self.featureless) if same else (OrderedDict(), OrderedDict())
        self._replace(stored.content)
        # Images whose delta is still to come have poses of their map.
        self.images, self.featureless = images, featureless
        self.objects.restore(stored.objects, stored.sightings)
        self._history.restart(self.objects.known)

    def _replace(self, content: MapContent) -> None:
        """Takes another content; voxels, grid and objects are empty then."""
        self.content = content
        self.generation += 1
        self.objects.reset()
        self._history = history.History()
        self.voxels.clear()
        self.builder.cloud = None
        self.images: OrderedDict[int, RGBDFrame] = OrderedDict()
        self.featureless: OrderedDict[int, RGBDFrame] = OrderedDict()
        self.correction: Correction | None = None
        self.postponed: Postponed | None = None
        self.retain(self.retention)
        self.retired: deque[int] = deque(maxlen=_RETIRED)
        self.corrections = 0
        self.late: tuple[int, np.ndarray] | None = None
        self.read_from_disk, self.problem, self.left_out = True, "", 0

    @property
    def is_correcting(self) -> bool:
        """Whether a correction is under way: begun, not applied, and not failed."""
        return self.correction is not None and not self.correction.failed

    def retain(self, retention: RetentionConfig) -> None:
        """Keeps what is remembered as long as these settings say from now on."""
        self.retention = r = retention
        size, near = self.config.voxel_size, (r.distance, r.angle)
        self.redundancy = Redundancy(size, r.covered, near) if r.covered < 1.0 else None

    # ---- sessions, maps, keyframes ----

    @property
    def maps(self) -> tuple[MapRecord, ...]:
        """All maps that a file of this memory holds, this one first."""
        return (MapRecord(self.content.uuid, self.content.created), *self.content.other_maps)

    def begin_session(self, earlier: list[dict]) -> None:
        """A new session after some that were; its keyframes get ids after theirs."""
        session = {
            "id": _new_uuid(), "map": self.content.uuid, "started": time.time(), "first_keyframe": self._next_keyframe()
        }  # fmt: skip
        self.content.sessions = [*earlier, session]

    def _next_keyframe(self) -> int:
        return max(self.content.first_free_keyframe, max(self.content.keyframes, default=-1) + 1)

    def keyframe_number(self, keyframe_id: int) -> int:
        """A keyframe's id in the memory: a session counts its keyframes from 0, a memory over all its sessions."""
        return self.content.sessions[-1]["first_keyframe"] + keyframe_id

    # ---- objects ----

    def refresh_objects(self) -> tuple[MemoryObject, ...]:
        """Present objects by id, as of now; notes what happened to them."""
        content, anew = self.content, self.objects.made_anew
        present = self.objects.refresh(self.voxels.store, content.classes, content.stamp)
        newest = max(content.keyframes, default=-1)
        empty = (lambda _: 0) if anew else self._seen_empty
        self._history.note(content.events, self.objects.known, content.stamp, newest, self._sighted, empty)
        return present

    def forget_events(self) -> None:
        """Drops events, and objects that are gone, that are older than is kept."""
        before = self.content.stamp - int(self.retention.events * _HOUR)
        if self.content.events and next(iter(self.content.events.values())).stamp < before:
            for i in history.forget(self.content.events, self.objects.known, before):
                number = self.objects.classes[i]
                self.objects.drop(i)
                # What is left of it at its foot, too near to the floor to be carved, must not become an object now.
                self._relabel({-1, *self.content.keyframes}, number, 0, None)
            self._history.restart(self.objects.known)

    def _sighted(self, i: int) -> int:
        keyframes = [k for k in self.objects.keyframes_of(i) if k in self.content.keyframes]
        return self.content.keyframes[keyframes[-1]].stamp if keyframes else 0

    def _seen_empty(self, o: MemoryObject) -> int:
        """When (ns) depth last went through where a thing stands, before it was seen; 0 where it never did."""
        store, size, reach = self.voxels.store, self.config.voxel_size, self.config.max_depth
        rows = np.flatnonzero(store.arrays.owner[: len(store.rows)] == o.id)
        points = columns(store, rows[:: 1 + len(rows) // _SAMPLE], size)[0].astype(np.float64)
        before = o.first_seen - _EARLIER
        growing = [] if self.growing is None else [self.builder.cloud]
        clouds = [*self.content.clouds, *growing]
        away = np.array([c.T_map_cloud[:3, 3] for c in clouds]).reshape(-1, 3) - o.position
        near = [clouds[k] for k in np.flatnonzero(np.linalg.norm(away, axis=1) <= 2 * reach).tolist()]
        views = [(v, c) for c in near for v in c.views if v.stamp < before]
        if not views:
            return 0
        poses = np.array([c.T_map_cloud for _, c in views]) @ np.array([v.T for v, _ in views])
        there = np.einsum("nij,ni->nj", poses[:, :3, :3], o.position - poses[:, :3, 3])
        aside = 0.5 * float(np.linalg.norm(o.extent)) + size
        wide = np.array([max(v.camera.cx, v.camera.width - v.camera.cx) / v.camera.fx for v, _ in views])
        in_view = (there[:, 2] > -aside) & (np.abs(there[:, 0]) < np.maximum(there[:, 2], 0.0) * wide + 2.0 * aside)
        for k in sorted(np.flatnonzero(in_view).tolist(), key=lambda k: -views[k][0].stamp):
            view = views[k][0]
            if seen_through(points, view.depth, view.camera, poses[k], _PASSED * size):
                return view.stamp
        return 0

    # ---- local clouds ----

    @property
    def growing(self) -> CloudBuilder | None:
        """What grows the newest local cloud; None before the first frame."""
        return None if self.builder.cloud is None else self.builder

    def local_clouds(self) -> list[LocalCloud]:
        """All local clouds, oldest first, the growing one as far as it is."""
        return [*self.content.clouds, *([] if self.growing is None else [self.builder.close()])]

    def cloud_of(self, keyframe_id: int) -> LocalCloud:
        """The newest local cloud of a keyframe."""
        if self.growing is not None and self.builder.cloud.keyframe_id == keyframe_id:
            return self.builder.cloud
        return next(c for c in reversed(self.content.clouds) if c.keyframe_id == keyframe_id)

    def close_cloud(self) -> None:
        """Ends the growing cloud."""
        if self.growing is not None:
            self.content.clouds.append(self.builder.close())
            self.builder.cloud = None

    def split_cloud(self) -> LocalCloud | None:
        """Ends the growing cloud, which is to go on as another one of the same keyframe; an empty one is dropped."""
        cloud = self.builder.cloud
        empty = cloud is not None and not (cloud.frames or len(cloud.votes) or cloud.features)
        if empty and any(c.keyframe_id == cloud.keyframe_id for c in self.content.clouds):
            self.builder.cloud = None
        self.close_cloud()
        return cloud

    # ---- what the parts ask of one another ----

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        return self.content.classes.roots(numbers)

    def _swapped(self, back: np.ndarray) -> None:
        """Objects with voxels on disk are left alone until these are back."""
        self.objects.away = set(self.voxels.swapper.away)
        self.objects.touch(np.array([c for c in back if c not in self.objects.away], np.int64))

    def _relabel(self, keyframe_ids: set[int], old: int, new: int, only: np.ndarray | None) -> None:
        """Votes of some keyframes for one instance become another's; only those in rows ``only`` unless it is None."""
        growing = [] if self.growing is None else [self.builder.cloud]
        store, size = self.voxels.store, self.config.voxel_size
        for cloud in (c for c in (*self.content.clouds, *growing) if c.keyframe_id in keyframe_ids):
            mine = np.flatnonzero(cloud.votes["class"] == old)
            p = cloud.votes["p"][mine].astype(np.float64) @ cloud.T_map_cloud[:3, :3].T + cloud.T_map_cloud[:3, 3]
            rows = store.find(pack_array(np.floor(p / size)))
            if only is not None:
                chosen = np.isin(rows, only)
                mine, rows = mine[chosen], rows[chosen]
            cloud.votes = cloud.votes.copy()
            cloud.votes["class"][mine] = new
            move_votes(store, rows[rows >= 0], old, new)
        if not new:  # votes of keyframes that were dropped, too
            move_votes(store, np.flatnonzero(store.arrays.labels[: len(store.rows)] == old), old, new)
