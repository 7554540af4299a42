"""The spatial memory: frames in, voxels, objects and an occupancy grid out. Knows nothing of ROS and of models.

A facade: what it does is in the packages beside it, on one :class:`MapState`. The global voxel map is a cache: what it
was made from is attached to the keyframes (``submaps``) and moves with them. One thread owns a memory. The heavy calls
release the interpreter lock, so other threads run meanwhile, but they must not call into the same memory; only the long
part of a correction (``Correction.run``) is made to run beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..frames import Keyframe, MemoryObject, OccupancyGrid, RGBDFrame, SemanticDelta
from ..rooms import Rooms
from .config import MemoryConfig, RetentionConfig
from .file import memory_file, salvage
from .file.memory_file import FileLink
from .objects import named_places
from .output.surface import SurfacePoints, surface_points
from .query.answering import Answer, Frustum, Knowledge, Query
from .query.questions import Questions
from .query.retrieval import Found
from .query.tokens import Tokens
from .records import ChangedBlocks, IntegrationStats, KeyframeRecord, MapRecord, VoxelView
from .submaps import intake, joining, moving
from .submaps.bound import Usage, usage
from .submaps.correction import Correction
from .submaps.covisibility import KeyframeGraph
from .submaps.joining import Joining
from .submaps.map_state import MapState
from .submaps.retiring import retire_all

Box = tuple[np.ndarray, np.ndarray]


def merge(a: SpatialMemory, b: SpatialMemory, T_a_b: np.ndarray) -> SpatialMemory:
    """A memory of what two memories know, in the first one's coordinates and with its identity.

    The second map's identity stays in ``maps`` with the transform, so that coordinates given out under it can still be
    understood. Its keyframes keep their ids where the first memory has none of them (always where both come from one
    file); else they are counted on from the first one's. Neither memory is changed.

    Args:
        T_a_b: 4x4, points of a's map from b's.

    Raises:
        InputError: the transform is not rigid, both are the same map, or voxels or features differ.
    """
    out = SpatialMemory(a.config, a.state.retention)
    joining.exchange(out.state, joining.joined(a.state, b.state, T_a_b))
    return out


#: Frames for which it is told that there was no room for what one showed.
_TOLD_FOR = 50


class SpatialMemory:
    """A sparse voxel map with labels, objects, keyframes and an occupancy grid.

    Args:
        config, retention: see :class:`MemoryConfig`, :class:`RetentionConfig`.

    Attributes:
        state: everything it holds, for the rooms beside it. link: how it and its file know of each other.
    """

    def __init__(self, config: MemoryConfig | None = None, retention: RetentionConfig | None = None) -> None:
        self._hold(MapState(config or MemoryConfig(), retention), FileLink())

    def _hold(self, state: MapState, link: FileLink) -> None:
        self.state, self.link = state, link
        self._questions = Questions(state)

    @classmethod
    def _of(cls, state: MapState, link: FileLink) -> SpatialMemory:
        memory = cls.__new__(cls)
        memory._hold(state, link)
        return memory

    # ---- files ----

    def save(self, path: str | Path) -> None:
        """Writes the memory as it is now into one SQLite file, at once or not at all; see ``memory_file.save``."""
        memory_file.save(self.state, path)

    @classmethod
    def load(
        cls, path: str | Path, config: MemoryConfig | None = None, map: str | None = None,
        retention: RetentionConfig | None = None,
    ) -> SpatialMemory:  # fmt: skip
        """Reads the map that a file was written with last, or the one with a UUID; see ``memory_file.load``."""
        memory = cls._of(*memory_file.load(path, config, map))
        memory.state.retain(retention or RetentionConfig())
        return memory

    @classmethod
    def recover(cls, path: str | Path, new: str | Path) -> tuple[SpatialMemory, list[str]]:
        """Writes what is good in a damaged file into a new one: the memory in that, and what was lost, line by line.

        Raises:
            InputError: as ``salvage.recover``.
        """
        state, lost = salvage.recover(path, new)
        return cls._of(state, FileLink(Path(new))), lost

    @property
    def file(self) -> Path | None:
        """Where its file is, if it has one."""
        return self.link.path

    @property
    def interrupted(self) -> float:
        """s since the file that it was read from was written last, where its writer never closed it; else infinite."""
        return self.link.interrupted

    # ---- what it is ----

    def __len__(self) -> int:
        return len(self.state.voxels.store)

    @property
    def config(self) -> MemoryConfig:
        """Its settings."""
        return self.state.config

    @property
    def uuid(self) -> str:
        """The map's name; coordinates are of this map."""
        return self.state.content.uuid

    @property
    def maps(self) -> tuple[MapRecord, ...]:
        """All maps that a file of this memory holds, this one first."""
        return self.state.maps

    @property
    def unmerged(self) -> set[str]:
        """Ids of the maps that have not been merged into another."""
        return {m.uuid for m in self.maps if not m.merged_into}

    @property
    def sessions(self) -> list[dict]:
        """Who began when: id, map, started (s since 1970), first_keyframe; oldest first, the running one last."""
        return self.state.content.sessions

    @property
    def keyframes(self) -> dict[int, KeyframeRecord]:
        """Keyframes by id."""
        return self.state.content.keyframes

    @property
    def looks(self) -> dict[int, dict[str, np.ndarray]]:
        """Arrays by name that belong to keyframes, see :meth:`add_look`."""
        return self.state.content.looks

    @property
    def deltas(self) -> list[SemanticDelta]:
        """What perception told, without segments."""
        return list(self.state.content.deltas.values())

    @property
    def stamp(self) -> int:
        """ns, of the newest frame."""
        return self.state.content.stamp

    @property
    def frames(self) -> int:
        """How many frames were fused."""
        return self.state.content.frames

    @property
    def usage(self) -> Usage:
        """Bytes that it takes in memory, by what they are for; what is on disk does not count."""
        return usage(self.state)

    @property
    def trouble(self) -> str:
        """Why it does not hold what it should (``max_mb``, ``max_voxels``), in one line, or ""."""
        state, swapper = self.state, self.state.voxels.swapper
        why = state.problem or ("" if swapper is None else swapper.problem)
        if why:
            return f"what exceeds max_mb cannot be put on disk ({why}); make room there"
        if state.left_out and state.content.frames - state.left_out < _TOLD_FOR:
            return "what the camera sees does not fit into max_mb or max_voxels and is missing in the map; give more"
        return ""

    @property
    def corrections(self) -> int:
        """How often keyframes were moved."""
        return self.state.corrections

    # ---- in ----

    def integrate(self, frame: RGBDFrame, features: np.ndarray | None = None) -> IntegrationStats:
        """Fuses one frame; call it with every frame, keyframe or not.

        Args:
            features: (h, w, D) float32, a grid of patches over the whole image, with D the configured feature_dim.

        Raises:
            InputError: images or features that do not fit, a pose that is not rigid or not finite.
        """
        stats = intake.integrate(self.state, frame, features)
        self.link.after_change()
        return stats

    def add_keyframe(self, keyframe: Keyframe) -> int:
        """Keeps a keyframe and starts its local cloud; frames integrated from now on belong to it.

        Returns:
            Its id in this memory, which counts over all sessions.

        Raises:
            InputError: as :meth:`integrate`, or a keyframe of this id is there.
        """
        number = intake.add_keyframe(self.state, keyframe)
        self.link.after_change()
        return number

    def add_look(self, keyframe_id: int, **arrays: np.ndarray) -> None:
        """Keeps arrays by name with a keyframe of this memory, such as what its place is recognised by.

        Raises:
            InputError: an unknown keyframe.
        """
        intake.add_look(self.state, keyframe_id, arrays)
        self.link.after_change()

    def add_delta(self, delta: SemanticDelta) -> None:
        """Counts what perception saw in a keyframe as label votes; a stale delta is only kept, and another may follow.

        The keyframe's images wait for it for ``keyframe_images`` keyframes; a delta later than that is only kept too.

        Raises:
            InputError: an unknown keyframe, or segments that do not fit its depth.
        """
        intake.add_delta(self.state, delta)
        self.link.after_change()

    def add_features(self, keyframe_id: int, features: np.ndarray) -> int:
        """Gives a keyframe's features to those of its voxels that are there by now; they may come long after its frame.

        Each voxel takes the patch under its mean point; what it has already is pooled with it by ``feature_pooling``.
        The keyframe's depth waits for them for ``keyframe_images`` keyframes; what comes later, or again, is left out.

        Args:
            keyframe_id: as :meth:`add_keyframe` got it. features: (h, w, D) float32, a grid of patches over the whole
                image, with D the configured feature_dim.

        Returns:
            How many voxels got a feature.

        Raises:
            InputError: an unknown keyframe, features that do not fit, or a memory that holds none.
        """
        given = intake.add_features(self.state, keyframe_id, features)
        self.link.after_change()
        return given

    # ---- places ----

    def name_place(self, name: str, T_map_base: np.ndarray, stamp: int | None = None) -> None:
        """Keeps where the robot stands by a name; it moves with corrections and is known in this map alone.

        Args:
            name: as it is called from now on, instead of what was called so before.
            T_map_base: 4x4, the robot. stamp: ns, by default of the newest frame.

        Raises:
            InputError: nothing is remembered yet, the pose is not rigid, or there are too many places.
        """
        if not self.keyframes:
            raise InputError(
                f"'{name}' cannot be kept: nothing is remembered here yet; let the robot look around first"
            )
        newest = max(self.keyframes)
        waiting = {} if self.state.postponed is None else self.state.postponed.poses
        T = waiting.get(newest, self.expected_pose(newest))
        stamp = self.stamp if stamp is None else stamp
        named_places.name_place(self.state.content.places, name, newest, T, T_map_base, stamp)
        self.link.after_change()

    def places(self) -> dict[str, np.ndarray]:
        """Name -> 4x4 pose of the robot there, in this map; ``start`` is where the running session began."""
        return named_places.poses(self.state.content.places, self.keyframes)

    def place_objects(self) -> tuple[MemoryObject, ...]:
        """Named places as objects, of status ``place`` or, where another map of the file holds them, ``elsewhere``."""
        content = self.state.content
        return named_places.as_objects(content.places, content.keyframes, content.places_elsewhere)

    # ---- corrected poses ----

    def begin_correction(
        self, poses: Mapping[int, np.ndarray], stamp: int | None = None, everything: bool = False
    ) -> Correction:
        """Begins to move keyframes: ``correction.run()`` on any thread, then :meth:`apply`; frames may come meanwhile.

        The keyframe that grows counts as moved from now on: later frames are expected to come with corrected poses.
        One that was begun before and not applied becomes part of this one, and so do poses that were postponed.

        Args:
            poses: keyframe id -> 4x4 map from optical frame; keyframes not named keep theirs.
            stamp: ns; frames that come later and are older than this still have poses from before the correction.
            everything: makes all of the map again, not only what belongs to moved keyframes.

        Raises:
            InputError: an unknown keyframe, or a pose that is not rigid.
        """
        return moving.begin_correction(self.state, poses, stamp, everything)

    def follow(self, poses: Mapping[int, np.ndarray], stamp: int | None = None) -> Correction | None:
        """As :meth:`begin_correction`; None where one is under way: then the poses wait, see :meth:`next_correction`.

        So every correction that was begun is applied: where the newest took in all before, a robot that closes loops
        faster than maps are made would never get one. Frames that come with these poses are put where the map is.

        Raises:
            InputError: an unknown keyframe, or a pose that is not rigid.
        """
        if not self.state.is_correcting:
            return self.begin_correction(poses, stamp)
        moving.postpone(self.state, poses, stamp)
        return None

    def next_correction(self) -> Correction | None:
        """Begins the correction that waited for the one before, if any. Call it after :meth:`apply`."""
        return None if self.state.postponed is None else self.begin_correction({})

    def apply(self, correction: Correction) -> None:
        """Exchanges the map with the corrected one at once; a correction that was not run is run now.

        Raises:
            InputError: another correction was begun since.
        """
        moving.apply(self.state, correction)
        self.link.after_change()

    def move_keyframes(self, poses: Mapping[int, np.ndarray], stamp: int | None = None) -> None:
        """Moves keyframes and what belongs to them, and returns when that is done; see :meth:`begin_correction`."""
        self.apply(self.begin_correction(poses, stamp))

    def rebuild_from_keyframes(self, poses: Mapping[int, np.ndarray]) -> None:
        """Makes all of the map anew from the local clouds, keyframes moved or not; see :meth:`begin_correction`."""
        self.apply(self.begin_correction(poses, everything=True))

    def expected_pose(self, keyframe_id: int) -> np.ndarray:
        """4x4 pose of a keyframe, after a correction that is under way."""
        return moving.expected_pose(self.state, keyframe_id)

    def is_pending(self, correction: Correction) -> bool:
        """Whether this is the correction that is to be applied."""
        return correction is self.state.correction

    # ---- maps ----

    def compact(self) -> int:
        """Drops every keyframe that newer ones make redundant, see :class:`RetentionConfig`; returns how many.

        A memory does so by itself as keyframes come; this is for one of a file from before that.
        """
        gone = retire_all(self.state)
        self.link.after_change()
        return len(gone)

    def clear(self) -> None:
        """Forgets everything; the map and the file get a new identity."""
        self.state.reset()
        self.link.forget()
        self.link.after_change()

    def begin_map(self) -> str:
        """Goes on in a new, empty map: for a robot that does not know where it is in this one. Returns the new UUID.

        Keyframe ids go on. What was remembered so far stays in the file that is written continuously, or that this
        memory was loaded from; what is in no file is forgotten.
        """
        self.link.before_exchange()
        self.state.begin_map()
        self.link.after_change()
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
        if other.state.content.file_uuid != self.state.content.file_uuid:
            raise InputError("the two maps are not of one file; merge the files")
        first, second = (other, self) if into else (self, other)
        made = joining.joined(first.state, second.state, T)
        return Joining(self.state, made, np.array(T) if into else None)

    def finish_join(self, joining: Joining, stamp: int | None = None) -> None:
        """Becomes what two maps make, at once; one that was not run is run now.

        Args:
            stamp: ns; frames that come later and are older than this still have poses from before.

        Raises:
            InputError: something was put into this memory since.
        """
        joining.finish(self.state, stamp)
        self.link.after_change()

    def _other_map(self, uuid: str) -> SpatialMemory:
        self.link.before_exchange()
        if self.file is None:
            raise InputError("this memory is in no file, so there is no other map; load it from one or write it to one")
        return SpatialMemory.load(self.file, self.config, uuid, self.state.retention)

    # ---- out ----

    @property
    def text_encoder(self) -> Callable[[str], np.ndarray] | None:
        """text -> (feature_dim,) embedding in the features' space, for questions in words; or None."""
        return self._questions.text_encoder

    @text_encoder.setter
    def text_encoder(self, encoder: Callable[[str], np.ndarray] | None) -> None:
        self._questions.text_encoder = encoder

    @property
    def meaning(self) -> Callable[[str, Sequence[str]], np.ndarray] | None:
        """text, N labels -> N cosines of their meanings (``language.Meaning.scores``), for descriptions; or None."""
        return self._questions.meaning

    @meaning.setter
    def meaning(self, meaning: Callable[[str, Sequence[str]], np.ndarray] | None) -> None:
        self._questions.meaning = meaning

    def objects(self, include_gone: bool = False) -> tuple[MemoryObject, ...]:
        """Objects by id; computed anew only where labels or voxels changed."""
        return self._questions.objects(include_gone)

    def evident_objects(self) -> tuple[MemoryObject, ...]:
        """Present objects, by id, that enough viewpoints showed; a detector's errors are seldom among them."""
        return self._questions.evident_objects()

    def occupancy(self, robot_height: float | None = None, min_height: float | None = None) -> OccupancyGrid:
        """The map from above: -1 unknown, 0 free, 100 occupied between min_height and robot_height over the floor.

        Heights other than those of the configuration cost a pass over all voxels once, as long as they stay the same.
        """
        return self._questions.occupancy(robot_height, min_height)

    def rooms(self, max_age: float = 0.0, grid: OccupancyGrid | None = None) -> Rooms:
        """Rooms of the map from above, made anew only after something came in: the same for all who ask this memory.

        Args:
            max_age: s; rooms that old will do.
            grid: :meth:`occupancy` with what whoever asks knows besides (the floor too near to be seen); its ids and
                what is answered from then on are those of the one map of rooms all the same.
        """
        return self._questions.rooms(max_age, grid)

    def room_names(self) -> dict[int, str]:
        """Id of a room of :meth:`rooms` -> its kind ("kitchen"), of rooms of which that is likely enough."""
        return self._questions.room_names()

    def graph(self) -> KeyframeGraph:
        """The keyframe graph as of now; it is the same object next time, brought up to date."""
        return self._questions.graph()

    def voxels(self, box: Box | None = None) -> VoxelView:
        """All voxels, or those with their centroid within (low, high), m."""
        return self._questions.voxels(box)

    def surface(self) -> SurfacePoints:
        """Points of all surfaces that are still there, at half a voxel, each with a place that it was seen from."""
        return surface_points(self.state.local_clouds(), self.voxels(), self.config.voxel_size)

    def changed_blocks(self, since_token: int = 0) -> ChangedBlocks:
        """Blocks that got, lost or changed voxels since a token; 0, or a token from before a clear, asks for all."""
        return self._questions.changed_blocks(since_token)

    def search(self, feature: np.ndarray, k: int = 50, box: Box | None = None, frustum: Frustum | None = None) -> Found:
        """The k voxels whose features are most like one, best first, with the keyframes to look at.

        Args:
            feature: (feature_dim,). box: (low, high), m; frustum: with their middle in view; all voxels by default.

        Raises:
            InputError: this memory holds no features, or the feature does not fit, is not finite or zero.
        """
        return self._questions.search(feature, k, box, frustum)

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
        return self._questions.tokens(k, frustum, around, radius, code_dim)

    def features(self, positions: np.ndarray) -> np.ndarray:
        """N x feature_dim float32, the features of the voxels that N x 3 positions (m) lie in; zeros where none is."""
        return self._questions.features(positions)

    def query(
        self,
        text: str = "",
        box: Box | None = None,
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

    def ask(self, query: Query) -> list[Answer]:
        """Answers with score, pose, age and the keyframe to look at, best first.

        Raises:
            InputError: a feature is given to a memory that holds none; a box that is none; a sentence that names too
                little.
        """
        return self._questions.ask(query)

    def knowledge(self, features: bool = False) -> Knowledge:
        """What questions are answered from, at this moment; with the objects' features if asked for."""
        return self._questions.knowledge(features)

    def object_feature(self, object_id: int) -> np.ndarray | None:
        """(feature_dim,) float32 of unit length, the mean of an object's voxels' features; None where it has none."""
        return self._questions.object_feature(object_id)
