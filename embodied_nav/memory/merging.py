"""Makes one memory of two whose maps turned out to be of one place. Knows memories, not files.

What is joined are keyframes, local clouds with their votes, and deltas; voxels, objects and free space are made of them
anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..frames import ObjectObservation, SemanticDelta
from ..geometry import invert, is_rigid, rotation_angle
from .correction import Correction, Placed
from .local_clouds import LocalCloud
from .records import KeyframeRecord, MapRecord
from .votes import ClassTable

if TYPE_CHECKING:
    from .objects import Sighting
    from .spatial_memory import SpatialMemory


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
    from .spatial_memory import SpatialMemory

    out = SpatialMemory(a.config)
    out.exchange(joined(a, b, T_a_b))
    return out


def transform_between(a: SpatialMemory, b: SpatialMemory) -> np.ndarray:
    """4x4, points of a's map from b's, by keyframes that both hold (same stamp and camera image).

    Raises:
        InputError: there are none, or they do not agree within 0.1 m and 0.1 rad.
    """
    by_image = {(k.stamp, k.thumbnail): k for k in a.keyframes.values()}
    pairs = [(by_image[k.stamp, k.thumbnail], k) for k in b.keyframes.values() if (k.stamp, k.thumbnail) in by_image]
    if not pairs:
        raise InputError("the two maps have no keyframe in common; give the transform")
    found = [one.T_map_camera @ invert(other.T_map_camera) for one, other in pairs]
    middle = found[len(found) // 2]
    for T in found:
        difference = invert(middle) @ T
        if np.linalg.norm(difference[:3, 3]) > 0.1 or rotation_angle(difference) > 0.1:
            raise InputError("the keyframes that both maps hold do not agree on one transform; give it")
    return middle


class Joining:
    """Two maps on their way into one; made by ``SpatialMemory.begin_join``."""

    def __init__(self, memory: SpatialMemory, state: dict[str, Any], T: np.ndarray | None) -> None:
        #: What it was made of; how the running map's coordinates change (4x4), None where they stay.
        self.made_of, self.T = (memory.generation, memory.frames, len(memory.keyframes)), T
        self.state = state
        placed = [Placed(c, c.votes, c.T_map_cloud, c.T_map_cloud) for c in state["clouds"]]
        nothing = np.zeros(0, np.int64)
        self.correction = Correction(memory.config, placed, {}, state["classes"], memory.grid, nothing, everything=True)

    def run(self) -> None:
        """Makes the voxels of both; may be done on any thread, while the memory answers."""
        self.correction.run()


def joined(a: SpatialMemory, b: SpatialMemory, T_a_b: np.ndarray) -> dict[str, Any]:
    """What :func:`merge` makes, as attributes for ``SpatialMemory.exchange``.

    Raises:
        InputError: as :func:`merge`.
    """
    _check(a, b, T_a_b)
    return _Joining(a, b, np.asarray(T_a_b, np.float64)).state()


def _check(a: SpatialMemory, b: SpatialMemory, T: np.ndarray) -> None:
    if not is_rigid(T):
        raise InputError("the transform between the maps is not a finite rigid one")
    if a.uuid == b.uuid:
        raise InputError(f"both are map {a.uuid}; give two different ones")
    for name in ("voxel_size", "feature_dim", "feature_type"):
        one, other = getattr(a.config, name), getattr(b.config, name)
        if one != other:
            raise InputError(f"{name} is {one} in one map and {other} in the other; only maps of equal {name} merge")


class _Joining:
    """The second memory's things under the first one's coordinates, ids and classes."""

    def __init__(self, a: SpatialMemory, b: SpatialMemory, T: np.ndarray) -> None:
        self._a, self._b, self._T = a, b, T
        self._one_file = a.file_uuid == b.file_uuid
        clash = not self._one_file and bool(set(a.keyframes) & set(b.keyframes))
        self._shift = max(a.keyframes) + 1 if clash else 0
        self._classes, self._numbers = self._joined_classes()

    def state(self) -> dict[str, Any]:
        a, b = self._a, self._b
        moved = {i: self._keyframe(k) for i, k in b.keyframes.items()}
        clouds = [*a.local_clouds(), *(self._cloud(c) for c in b.local_clouds())]
        index = a.object_index
        return {
            "file_uuid": a.file_uuid, "uuid": a.uuid, "created": a.created, "classes": self._classes,
            "keyframes": dict(sorted({**a.keyframes, **{k.id: k for k in moved.values()}}.items())),
            "looks": {**a.looks, **{self._id(i): look for i, look in b.looks.items()}},
            "clouds": sorted(clouds, key=lambda c: c.number) if self._one_file else clouds,
            "deltas": [*a.deltas, *(self._delta(d) for d in b.deltas)],
            "other_maps": self._maps(), "sessions": self._sessions(),
            "stamp": max(a.stamp, b.stamp), "frames": a.frames + b.frames,
            "next_cloud": max(a.next_cloud, b.next_cloud),
            "first_free_keyframe": max(a.first_free_keyframe, b.first_free_keyframe),
            "objects": [(o, index.classes[o.id]) for o in a.objects(include_gone=True)],
            "sightings": [*index.sightings, *(self._sighting(s) for s in b.object_index.sightings)],
        }  # fmt: skip

    def _joined_classes(self) -> tuple[ClassTable, np.ndarray]:
        """The classes, and the numbers that the second memory's have in them: one file has one table."""
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
        """Of the upright box around a turned one."""
        return np.abs(self._T[:3, :3]) @ np.asarray(extent, np.float64)

    def _delta(self, d: SemanticDelta) -> SemanticDelta:
        def moved(o: ObjectObservation) -> ObjectObservation:
            return replace(o, position=self._point(o.position), extent=self._extent(o.extent))

        lists = {k: tuple(moved(o) for o in getattr(d, k)) for k in ("objects", "new", "gone", "moved")}
        return replace(d, keyframe_id=self._id(d.keyframe_id), previous_id=self._id(d.previous_id), **lists)

    def _sighting(self, s: Sighting) -> Sighting:
        return replace(
            s, keyframe_id=self._id(s.keyframe_id), class_number=int(self._numbers[s.class_number]),
            position=self._point(s.position), extent=self._extent(s.extent),
        )  # fmt: skip

    def _maps(self) -> tuple[MapRecord, ...]:
        """The maps beside the first; what had become part of the second is part of the first now."""
        a, b = self._a, self._b
        records = {m.uuid: m for m in (*b.maps, *a.other_maps) if m.uuid != a.uuid}
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
