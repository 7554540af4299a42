"""Perception without a model: things that stand out by depth, with size, place and colour. Knows nothing of categories.

Floor, ceiling and walls are taken away, level tops kept as ``surface``; what is connected in depth is an ``object``.
New is what the previous keyframe did not see at that place, gone what the current one sees through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from . import surfaces
from .backend import PerceptionConfig, PerceptionError
from .color_names import dominant_color
from .visibility import HERE, HIDDEN, OUTSIDE, THROUGH, visibility
from .words import UP, action_words, describe

#: Smallest largest edge (m) of a thing that is reported.
_SMALLEST = 0.08
#: Height over the floor (m) up to which a thing is a thing and not part of the building.
_HIGHEST = 2.05
#: Points kept of a thing to judge whether it is new or gone.
_KEPT_POINTS = 256


@dataclass(frozen=True, eq=False)
class _Seen:
    """Things of one keyframe: observations and their surface points (Nx3 float32, map)."""

    keyframe_id: int
    observations: tuple[ObjectObservation, ...]
    points: tuple[np.ndarray, ...]
    segments: np.ndarray


class GeometricPerception:
    """New and gone things between keyframes from depth and colour alone."""

    name = "geometric"

    def __init__(self, config: PerceptionConfig | None = None) -> None:
        self.config = config or PerceptionConfig()
        self._up = UP
        self._floor: float | None = None
        self._seen: _Seen | None = None

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Things of the current keyframe and what changed against the previous one.

        Without depth only the action is known, and the delta says so.
        """
        if previous is None:
            self._seen, self._floor, self._up = None, None, _first_up(current.frame.T_map_camera)
        before = self._things(previous) if previous is not None else None
        now = self._things(current)
        new, gone, moved = self._changes(before, now, previous, current)
        T = current.frame.T_map_camera
        action = "stay" if previous is None else action_words(previous.frame.T_map_camera, T, self._up)
        text, relevant = describe(
            action, T, now.observations, new, gone, moved, instruction, first=previous is None, up=self._up
        )
        return SemanticDelta(
            keyframe_id=current.id,
            previous_id=-1 if previous is None else previous.id,
            stamp=current.frame.stamp,
            source=self.name,
            action=action,
            objects=now.observations,
            new=new,
            gone=gone,
            moved=moved,
            relevant=relevant,
            text=text,
            segments=now.segments if current.frame.depth is not None else None,
        )

    def _things(self, keyframe: Keyframe) -> _Seen:
        if self._seen is not None and self._seen.keyframe_id == keyframe.id:
            return self._seen
        frame = keyframe.frame
        if frame.depth is None:
            return _Seen(keyframe.id, (), (), np.zeros((frame.camera.height, frame.camera.width), np.uint16))
        if frame.depth.shape != (frame.camera.height, frame.camera.width):
            raise PerceptionError(
                f"depth is {frame.depth.shape}, its camera {frame.camera.width}x{frame.camera.height}"
            )
        grid = surfaces.make_grid(frame, self.config.min_depth, self.config.max_depth)
        classes = self._classes(grid, frame)
        least = self.config.min_pixels * (frame.camera.width / 320.0) ** 2 / grid.stride**2
        labels, count = surfaces.components(grid, classes, self._up, max(4, round(least)))
        colors = None if frame.color is None else _cell_colors(frame.color, grid.stride, labels.shape)
        observations, points, lut = [], [], np.zeros(count + 1, np.uint16)
        for k, cells in _cells_of(labels, count):
            observation = self._observation(grid, colors, labels, k, cells, classes)
            if observation is None:
                continue
            observations.append(observation)
            own = grid.points.reshape(-1, 3)[cells]
            points.append(own[:: max(1, len(own) // _KEPT_POINTS)])
            lut[k] = len(observations)
        self._seen = _Seen(keyframe.id, tuple(observations), tuple(points), _upsampled(lut[labels], frame, grid.stride))
        return self._seen

    def _classes(self, grid: surfaces.Grid, frame: RGBDFrame) -> np.ndarray:
        """Class of each cell; up and floor are learnt along the way and kept between keyframes."""
        up = surfaces.estimate_up(grid, self._up)
        if up is not None:
            blended = up if self._floor is None else 0.7 * self._up + 0.3 * up
            self._up = blended / np.linalg.norm(blended)
        camera_height = float(frame.T_map_camera[:3, 3] @ self._up)
        floor = surfaces.find_floor(grid, self._up, camera_height)
        if floor is not None and (self._floor is None or floor < self._floor + 0.2):
            # A much higher level is a table top in a view without floor; a lower one is the floor seen at last.
            self._floor = floor
        return surfaces.classify(grid, self._up, self._floor, camera_height)

    def _observation(self, grid, colors, labels, k, cells, classes) -> ObjectObservation | None:
        points = grid.points.reshape(-1, 3)[cells]
        low, high = np.percentile(points, (3.0, 97.0), axis=0).astype(np.float64)
        extent = high - low
        if extent.max() < _SMALLEST or self._is_structure(points):
            return None
        flat = (classes.ravel()[cells] >= surfaces.TOP).mean() > 0.8
        v, u = np.divmod(cells, labels.shape[1])
        s = grid.stride
        return ObjectObservation(
            label="surface" if flat else "object",
            color="" if colors is None else dominant_color(colors[_inner(labels, k, v, u)]),
            confidence=float(min(0.5, len(cells) / (len(cells) + 100.0))),
            position=(low + high) / 2.0,
            extent=extent,
            box=(int(u.min() * s), int(v.min() * s), int((u.max() + 1) * s), int((v.max() + 1) * s)),
        )

    def _is_structure(self, points: np.ndarray) -> bool:
        """Whether something reaches as high as only walls, door frames and hanging things do."""
        return self._floor is not None and float(np.percentile(points @ self._up, 95)) - self._floor > _HIGHEST

    def _changes(self, before: _Seen | None, now: _Seen, previous: Keyframe | None, current: Keyframe):
        """What is new, gone and moved (a gone thing that appears elsewhere in its size and colour)."""
        if before is None or previous.frame.depth is None or current.frame.depth is None:
            return now.observations, (), ()
        margin = self.config.gone_margin
        new, appeared = [], []
        for observation, points in zip(now.observations, now.points, strict=True):
            verdict = visibility(points, previous.frame, margin)
            if (verdict == HERE).mean() < 0.4:
                new.append(observation)
                if (verdict == THROUGH).mean() > 0.5:
                    appeared.append(observation)
        gone = []
        for observation, points in zip(before.observations, before.points, strict=True):
            verdict = visibility(points, current.frame, margin)
            inside = (verdict != OUTSIDE).mean()
            if inside > 0.6 and (verdict == THROUGH).mean() > 0.6 and (verdict == HIDDEN).mean() < 0.2:
                gone.append(observation)
        moved = []
        for old in list(gone):
            match = next((o for o in appeared if _alike(old, o, self.config.moved_distance)), None)
            if match is not None:
                for pile in (new, appeared):
                    pile.remove(match)
                gone.remove(old)
                moved.append(match)
        return tuple(new), tuple(gone), tuple(moved)


def _first_up(T_map_camera: np.ndarray) -> np.ndarray:
    """Where to look for up: the map's z, or in a map that starts anywhere (a handheld recording) the image's top."""
    top = -np.asarray(T_map_camera, dtype=np.float64)[:3, 1]
    return UP if top[2] > 0.3 else top


def _alike(a: ObjectObservation, b: ObjectObservation, distance: float) -> bool:
    size_a, size_b = np.sort(a.extent), np.sort(b.extent)
    similar = np.abs(size_a - size_b).max() < 0.1 + 0.3 * size_a.max()
    return bool(a.name == b.name and similar and np.linalg.norm(a.position - b.position) > distance)


def _cells_of(labels: np.ndarray, count: int):
    """(label, flat indices of its cells) for labels 1..count that have any."""
    order = np.argsort(labels, axis=None, kind="stable")
    bounds = np.searchsorted(labels.ravel()[order], np.arange(1, count + 2))
    for k in range(1, count + 1):
        if bounds[k] > bounds[k - 1]:
            yield k, order[bounds[k - 1] : bounds[k]]


def _inner(labels: np.ndarray, k: int, v: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells whose neighbours belong to the same thing: colour there is not mixed with what is behind."""
    h, w = labels.shape
    same = np.ones(len(v), bool)
    for dv, du in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        same &= labels[np.clip(v + dv, 0, h - 1), np.clip(u + du, 0, w - 1)] == k
    return (v[same], u[same]) if same.sum() >= 8 else (v, u)


def _cell_colors(color: np.ndarray, stride: int, shape: tuple[int, int]) -> np.ndarray:
    """Mean colour of each cell, hxwx3 uint8."""
    import cv2

    h, w = shape
    return cv2.resize(color[: h * stride, : w * stride], (w, h), interpolation=cv2.INTER_AREA)


def _upsampled(labels: np.ndarray, frame: RGBDFrame, stride: int) -> np.ndarray:
    """Cell labels at full size, only where depth is valid."""
    full = np.zeros((frame.camera.height, frame.camera.width), np.uint16)
    h, w = labels.shape[0] * stride, labels.shape[1] * stride
    full[:h, :w] = np.repeat(np.repeat(labels, stride, axis=0), stride, axis=1)
    full[~(frame.depth > 0)] = 0
    return full
