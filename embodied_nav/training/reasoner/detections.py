"""What a perception back end and the memory would make of the objects in view. Knows no map cells and no policy.

One detection a keyframe, a label by majority of them, position and extent of what was seen so far: as the memory's
objects behave, without voxels.
"""

from __future__ import annotations

import copy
import math
from collections import Counter

import numpy as np

from ...frames import MemoryObject, ObjectObservation, SemanticDelta
from ...geometry import pose2d
from ...perception.mistakes import as_detected, viewpoint
from ...perception.words import action_words
from .floors import Floor
from .sensing import SAMPLES

#: A frame this far (m, rad) from the last keyframe is a keyframe.
_KEYFRAME = (0.6, 0.6)
#: Voxels counted for each sample seen.
_VOXELS = 4
#: Seen samples from which on a thing has an extent worth reporting, m.
_LEAST_EXTENT = 0.05


class Detections:
    """The objects seen so far.

    Args:
        count: objects in the world. error_rate, seed: see ``perception.mistakes``.

    Attributes:
        samples: count x SAMPLES bool, seen so far. pixels: count, in the newest frame.
    """

    def __init__(self, count: int, error_rate: float = 0.0, seed: int = 0) -> None:
        self.samples: np.ndarray = np.zeros((count, SAMPLES), np.bool_)
        self.pixels: np.ndarray = np.zeros(count, np.float64)
        self._error_rate, self._seed = error_rate, seed
        self._counts: np.ndarray = np.zeros(count, np.int64)
        self._votes: dict[int, Counter[tuple[str, str]]] = {}
        self._found: Counter[int] = Counter()
        self._missed: Counter[int] = Counter()
        self._known: dict[int, MemoryObject] = {}
        self._keyframe: np.ndarray | None = None  # (x, y, yaw) of the robot at the last keyframe
        self._view: np.ndarray | None = None  # 4x4, the camera's pose there
        self._keyframes = 0

    def fork(self) -> Detections:
        """Others that go on from the same state, independently."""
        other = copy.copy(self)
        other.samples, other.pixels = self.samples.copy(), self.pixels.copy()
        other._counts = self._counts.copy()
        other._votes = {k: v.copy() for k, v in self._votes.items()}
        other._found, other._missed = self._found.copy(), self._missed.copy()
        other._known = dict(self._known)
        return other

    def in_world(self, origin: np.ndarray) -> Detections:
        """The same in another world.

        Args:
            origin: of each of its objects the index in this world, -1 for one that this world does not have. What was
                seen must be among them.
        """
        other = self.fork()
        kept = np.flatnonzero(origin >= 0)
        other.samples = np.zeros((len(origin), SAMPLES), np.bool_)
        other.pixels, other._counts = np.zeros(len(origin)), np.zeros(len(origin), np.int64)
        other.samples[kept], other._counts[kept] = self.samples[origin[kept]], self._counts[origin[kept]]
        to = {int(origin[k]): int(k) for k in kept}
        other._votes = {to[k]: v for k, v in other._votes.items()}
        other._found = Counter({to[k]: n for k, n in self._found.items()})
        other._missed = Counter({to[k]: n for k, n in self._missed.items()})
        other._known = {to[k]: o for k, o in self._known.items()}
        return other

    def objects(self) -> tuple[MemoryObject, ...]:
        """By id."""
        return tuple(sorted(self._known.values(), key=lambda o: o.id))

    def touched(self) -> np.ndarray:
        """Indices of the objects of which anything was seen, recognised or not."""
        named = np.zeros(len(self.pixels), np.bool_)
        named[[*self._found, *self._missed]] = True
        return np.flatnonzero(self.samples.any(axis=1) | named)

    def update(
        self, floor: Floor, stamp: int, pose: np.ndarray, least: float, T_base_camera: np.ndarray
    ) -> SemanticDelta | None:
        """Takes the newest frame in; gives what it tells if it is a keyframe.

        Args:
            stamp: ns. pose: (x, y, yaw) of the robot. least: pixels from which on an object is detected.
            T_base_camera: 4x4, the camera's mount.
        """
        visible = np.flatnonzero(self.pixels > 0.0)
        delta = None
        if self._is_keyframe(pose):
            T_map_camera = pose2d(*pose) @ T_base_camera
            action = "stay" if self._view is None else action_words(self._view, T_map_camera)
            self._keyframe, self._view = pose.copy(), T_map_camera
            seen = [(int(k), self._detect(floor, int(k), pose, least)) for k in np.flatnonzero(self.pixels >= least)]
            named = [(k, observed(floor, k, name)) for k, name in seen if name is not None]
            new = tuple(o for k, o in named if k not in self._known)
            objects = tuple(o for _, o in named)
            delta = SemanticDelta(
                self._keyframes, self._keyframes - 1, stamp, "explorer", action, objects=objects, new=new
            )
            self._keyframes += 1
        totals = self.samples[visible].sum(axis=1)
        for k, total in zip(visible.tolist(), totals.tolist(), strict=True):
            if k in self._votes:
                self._remember(floor, k, stamp, total)
        return delta

    def _is_keyframe(self, pose: np.ndarray) -> bool:
        last = self._keyframe
        if last is None:
            return True
        turned = abs(math.remainder(pose[2] - last[2], 2.0 * math.pi))
        return turned > _KEYFRAME[1] or math.hypot(pose[0] - last[0], pose[1] - last[1]) > _KEYFRAME[0]

    def _detect(self, floor: Floor, k: int, pose: np.ndarray, least: float) -> tuple[str, str] | None:
        """(label, colour) that a thing is taken for now, which counts as a vote; None if it is missed."""
        thing = floor.objects[k]
        name: tuple[str, str] | None = (thing.category, thing.color)
        if self._error_rate > 0.0:
            key = (self._seed, thing.instance, *viewpoint(pose[:2], thing.center[:2]))
            name = as_detected(thing.category, thing.color, self._error_rate, key)
        if name is None:
            self._missed[k] += 1
            return None
        self._found[k] += 1
        weight = self.pixels[k] / (self.pixels[k] + 2.0 * least)
        self._votes.setdefault(k, Counter())[name] += weight
        self._counts[k] = 0  # its record is made anew
        return name

    def _remember(self, floor: Floor, k: int, stamp: int, total: int) -> None:
        old = self._known.get(k)
        if old is not None and self._counts[k] == total:
            self._known[k] = _seen_again(old, stamp)
            return
        self._counts[k] = total
        votes = self._votes[k]
        labels: Counter[str] = Counter()
        for (label, _), weight in votes.items():
            labels[label] += weight
        whole = sum(labels.values())
        shares = tuple((label, weight / whole) for label, weight in labels.most_common())
        label = shares[0][0]
        colors: Counter[str] = Counter()
        for (name, color), weight in votes.items():
            colors[color] += weight * (1.0 if name == label else 0.5)  # type: ignore[assignment]
        points = floor.samples[k][self.samples[k]]
        low, high = points.min(axis=0), points.max(axis=0)
        self._known[k] = MemoryObject(
            id=floor.objects[k].instance,
            label=label,
            color=colors.most_common(1)[0][0],
            position=(low + high) / 2.0,
            extent=np.maximum(high - low, _LEAST_EXTENT),
            confidence=shares[0][1],
            voxels=_VOXELS * total,
            first_seen=stamp if old is None else old.first_seen,
            last_seen=stamp,
            keyframe_id=self._keyframes - 1,
            label_distribution=shares,
            confirmed=self._found[k],
            missed=self._missed[k],
        )


def observed(floor: Floor, k: int, name: tuple[str, str]) -> ObjectObservation:
    """A thing as one keyframe shows it."""
    thing = floor.objects[k]
    return ObjectObservation(name[0], name[1], 1.0, np.array(thing.center), np.array(thing.extent))


def _seen_again(o: MemoryObject, stamp: int) -> MemoryObject:
    """The object with a newer stamp; quicker than ``dataclasses.replace``."""
    other = object.__new__(MemoryObject)
    other.__dict__.update(o.__dict__)
    other.__dict__["last_seen"] = stamp
    return other
