"""Merges two maps of one place into one. Knows no files.

What is joined are keyframes, local clouds with their votes, and deltas; voxels, objects and free space are made of them
anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError
from ...frames import ObjectObservation, SemanticDelta
from ...geometry import invert, is_rigid, nearest_rigid, rotation_angle
from ..objects.index import Sighting
from ..objects.votes import ClassTable
from ..records import Event, KeyframeRecord, MapRecord, Place
from . import moving
from .correction import Correction, Placed
from .local_clouds import LocalCloud
from .map_state import MapContent, MapState, StoredMap


def transform_between(a: Mapping[int, KeyframeRecord], b: Mapping[int, KeyframeRecord]) -> np.ndarray:
    """4x4, points of a's map from b's, by keyframes that both hold (same stamp and camera image).

    Raises:
        InputError: there are none, or they do not agree within 0.1 m and 0.1 rad.
    """
    by_image = {(k.stamp, k.thumbnail): k for k in a.values()}
    pairs = [(by_image[k.stamp, k.thumbnail], k) for k in b.values() if (k.stamp, k.thumbnail) in by_image]
    if not pairs:
        raise InputError("the two maps have no keyframe in common; give the transform")
    found = [one.T_map_camera @ invert(other.T_map_camera) for one, other in pairs]
    middle = found[len(found) // 2]
    for T in found:
        difference = invert(middle) @ T
        if np.linalg.norm(difference[:3, 3]) > 0.1 or rotation_angle(difference) > 0.1:
            raise InputError("the keyframes that both maps hold do not agree on one transform; give it")
    return nearest_rigid(middle)


class Joining:
    """A merge of two maps beside the running one; made by ``SpatialMemory.begin_join``.

    Args:
        running: the map that the robot is in. joined: what the two make, of :func:`joined`.
        T: how the running map's coordinates change (4x4), None where they stay.
    """

    def __init__(self, running: MapState, joined: StoredMap, T: np.ndarray | None) -> None:
        self.T, self._made_of = T, _moment(running)
        self.joined = joined
        placed = [Placed.now(c) for c in joined.content.clouds]
        nothing = np.zeros(0, np.int64)
        self.correction = Correction(
            running.config, placed, {}, joined.content.classes, running.voxels.grid, nothing, everything=True
        )

    def run(self) -> None:
        """Makes the voxels of both; may be done on any thread, while the memory answers."""
        self.correction.run()

    def finish(self, running: MapState, stamp: int | None) -> None:
        """The running map becomes what the two make, at once; one that was not run is run now.

        Args:
            stamp: ns; frames that come later and are older than this still have poses from before.

        Raises:
            InputError: something was put into the running map since.
        """
        if self._made_of != _moment(running):
            raise InputError("the memory has changed since the maps began to be joined; begin anew")
        if not self.correction.done:
            self.run()
        session = running.content.sessions[-1]
        rest = [s for s in self.joined.content.sessions if s["id"] != session["id"]]
        self.joined.content.sessions = [*rest, session]
        exchange(running, self.joined, self.correction)
        if stamp is not None and self.T is not None:
            running.late = (int(stamp), self.T)


def _moment(state: MapState) -> tuple[int, int, int, list[int]]:
    """A mark that changes whenever something is put into a map."""
    content = state.content
    return state.generation, content.frames, len(content.keyframes), [id(p) for p in content.places.values()]


def exchange(state: MapState, joined: StoredMap, made: Correction | None = None) -> None:
    """A map becomes what :func:`joined` made; voxels, objects and free space are made anew, unless they are given."""
    growing = state.builder.cloud
    state.become(joined)
    if made is None:
        moving.rebuild(state)
    else:
        state.correction = made
        moving.apply(state, made)
    if growing is not None and growing.keyframe_id in state.content.keyframes:
        pose = state.content.keyframes[growing.keyframe_id].T_map_camera
        state.builder.start(growing.keyframe_id, pose, growing.stamp)


def joined(a: MapState, b: MapState, T_a_b: np.ndarray) -> StoredMap:
    """What two maps make, in the first one's coordinates and with its names; neither is changed.

    Raises:
        InputError: the transform is not rigid, both are the same map, or voxels or features differ.
    """
    _check(a, b, T_a_b)
    return _Joiner(a, b, np.asarray(T_a_b, np.float64)).joined()


def _check(a: MapState, b: MapState, T: np.ndarray) -> None:
    if not is_rigid(T):
        raise InputError("the transform between the maps is not a finite rigid one")
    if a.content.uuid == b.content.uuid:
        raise InputError(f"both are map {a.content.uuid}; give two different ones")
    for name in ("voxel_size", "feature_dim", "feature_type"):
        one, other = getattr(a.config, name), getattr(b.config, name)
        if one != other:
            raise InputError(f"{name} is {one} in one map and {other} in the other; only maps of equal {name} merge")
    one, other = a.config.feature_source, b.config.feature_source
    if one and other and one != other:
        raise InputError(f"the features of one map are {one}'s, those of the other {other}'s: they do not mix")


def _stamp_of(e: Event) -> int:
    return e.stamp


class _Joiner:
    """The second map's things under the first one's coordinates, ids and classes."""

    def __init__(self, first: MapState, second: MapState, T: np.ndarray) -> None:
        self._first, self._second, self._T = first, second, T
        self._a, self._b = a, b = first.content, second.content
        self._one_file = a.file_uuid == b.file_uuid
        clash = not self._one_file and bool(set(a.keyframes) & set(b.keyframes))
        self._shift = max(a.keyframes) + 1 if clash else 0
        self._classes, self._numbers = self._joined_classes()

    def joined(self) -> StoredMap:
        self._first.refresh_objects()  # before its events are taken
        a, b, index = self._a, self._b, self._first.objects
        moved = {i: self._keyframe(k) for i, k in b.keyframes.items()}
        clouds = [*self._first.local_clouds(), *(self._cloud(c) for c in self._second.local_clouds())]
        content = MapContent(
            file_uuid=a.file_uuid,
            other_maps=self._maps(),
            sessions=self._sessions(),
            classes=self._classes,
            next_cloud=max(a.next_cloud, b.next_cloud),
            first_free_keyframe=max(a.first_free_keyframe, b.first_free_keyframe),
            uuid=a.uuid,
            created=a.created,
            keyframes=dict(sorted({**a.keyframes, **{k.id: k for k in moved.values()}}.items())),
            looks={**a.looks, **{self._id(i): look for i, look in b.looks.items()}},
            clouds=sorted(clouds, key=lambda c: c.number) if self._one_file else clouds,
            deltas=dict(enumerate([*a.deltas.values(), *map(self._delta, b.deltas.values())])),
            events=dict(enumerate(sorted((*a.events.values(), *map(self._event, b.events.values())), key=_stamp_of))),
            stamp=max(a.stamp, b.stamp),
            frames=a.frames + b.frames,
            places=self._places(),
            places_elsewhere={n: m for n, m in {**b.places_elsewhere, **a.places_elsewhere}.items()
                              if m not in (a.uuid, b.uuid)},
        )  # fmt: skip
        return StoredMap(
            content,
            [(o, index.classes[o.id]) for o in index.all()],
            [*(replace(s, number=-1) for s in index.sightings), *map(self._sighting, self._second.objects.sightings)],
        )

    def _joined_classes(self) -> tuple[ClassTable, np.ndarray]:
        """The classes, and the numbers that the second map's have in them: one file has one table."""
        a, b = self._a.classes, self._b.classes
        if self._one_file:
            longer = a if len(a.names) >= len(b.names) else b
            return ClassTable(longer.names, longer.merged), np.arange(len(longer.names))
        offset = len(a.names) - 1
        merged = [*a.merged, *(m + offset if m else 0 for m in b.merged[1:])]
        numbers = np.arange(len(b.names)) + offset
        numbers[0] = 0
        return ClassTable([*a.names, *b.names[1:]], merged), numbers

    def _id(self, keyframe: int) -> int:
        return keyframe + self._shift if keyframe >= 0 else -1

    def _keyframe(self, k: KeyframeRecord) -> KeyframeRecord:
        return replace(k, id=self._id(k.id), T_map_camera=self._T @ k.T_map_camera)

    def _cloud(self, c: LocalCloud) -> LocalCloud:
        moved = replace(c, keyframe_id=self._id(c.keyframe_id), T_map_cloud=self._T @ c.T_map_cloud)
        if not self._one_file:
            moved.number, moved.votes = -1, c.votes.copy()
            moved.votes["class"] = self._numbers[c.votes["class"]]
        return moved

    def _point(self, p: np.ndarray) -> np.ndarray:
        return self._T[:3, :3] @ np.asarray(p, np.float64) + self._T[:3, 3]

    def _extent(self, extent: np.ndarray) -> np.ndarray:
        """Extent of the upright box around one turned by T, m."""
        return np.abs(self._T[:3, :3]) @ np.asarray(extent, np.float64)

    def _delta(self, d: SemanticDelta) -> SemanticDelta:
        def moved(o: ObjectObservation) -> ObjectObservation:
            return replace(o, position=self._point(o.position), extent=self._extent(o.extent))

        lists: dict[str, Any] = {k: tuple(moved(o) for o in getattr(d, k)) for k in ("objects", "new", "gone", "moved")}
        return replace(d, keyframe_id=self._id(d.keyframe_id), previous_id=self._id(d.previous_id), **lists)

    def _event(self, e: Event) -> Event:
        """Its object gets another id when the objects are made anew: it is known by its name alone."""
        source, target = (None if p is None else self._point(p) for p in (e.source, e.target))
        return replace(e, object=0, source=source, target=target, keyframe_id=self._id(e.keyframe_id))

    def _places(self) -> dict[str, Place]:
        """Of a name that both gave, the newer place."""
        theirs = {n: replace(p, keyframe_id=self._id(p.keyframe_id)) for n, p in self._b.places.items()}
        both = sorted((*self._a.places.items(), *theirs.items()), key=lambda item: item[1].stamp)
        return dict(both)

    def _sighting(self, s: Sighting) -> Sighting:
        return replace(
            s, keyframe_id=self._id(s.keyframe_id), class_number=int(self._numbers[s.class_number]),
            position=self._point(s.position), extent=self._extent(s.extent), number=-1,
        )  # fmt: skip

    def _maps(self) -> tuple[MapRecord, ...]:
        """The maps beside the first; what had become part of the second is part of the first now."""
        a, b = self._a, self._b
        records = {m.uuid: m for m in (*self._second.maps, *a.other_maps) if m.uuid != a.uuid}
        for m in records.values():
            if b.uuid in (m.uuid, m.merged_into):
                T = self._T if m.T_into is None else self._T @ m.T_into
                records[m.uuid] = replace(m, merged_into=a.uuid, T_into=T)
        return tuple(records.values())

    def _sessions(self) -> list[dict]:
        """Both memories' sessions, each once and in order, without those in which no keyframe came."""
        mine = [dict(s) for s in self._a.sessions if s["first_keyframe"] <= max(self._a.keyframes, default=-1)]
        known = {s["id"] for s in mine}
        theirs = [
            {**s, "first_keyframe": s["first_keyframe"] + self._shift}
            for s in self._b.sessions
            if s["id"] not in known and s["first_keyframe"] <= max(self._b.keyframes, default=-1)
        ]
        return sorted([*mine, *theirs], key=lambda s: s["first_keyframe"])
