"""Perception without a model: segments depth into objects with size, place and colour. Knows nothing of categories.

Removes floor, ceiling and walls; level tops become ``surface``, other connected regions of depth ``object``. An object
is new if the previous keyframe did not see it at that place, and gone if the current depth passes through its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from . import surfaces
from .backend import PerceptionConfig, PerceptionError
from .color_names import dominant_color
from .deltas import Changes, make_delta
from .extent import center_and_size
from .ground import Ground
from .visibility import HERE, HIDDEN, OUTSIDE, THROUGH, visibility

#: Least size (m, longest edge) of a reported object.
_SMALLEST = 0.08
#: Objects that reach higher above the floor (m) are part of the building.
_HIGHEST = 2.05
#: Points kept per object to decide whether it is new or gone.
_KEPT_POINTS = 256


@dataclass(frozen=True, eq=False)
class _Seen:
    """Objects of one keyframe: observations and their surface points (Nx3 float32, map)."""

    keyframe_id: int
    observations: tuple[ObjectObservation, ...]
    points: tuple[np.ndarray, ...]
    segments: np.ndarray


class GeometricPerception:
    """Objects, and which are new and gone between keyframes, from depth and colour alone."""

    name = "geometric"
    categories = ()

    def __init__(self, config: PerceptionConfig | None = None) -> None:
        self.config = config or PerceptionConfig()
        self._ground = Ground()
        self._seen: _Seen | None = None

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Objects of the current keyframe and the changes since the previous one.

        Without depth only the action is known, and the delta says so.
        """
        if previous is None:
            self._seen = None
            self._ground.reset(current.frame.T_map_camera)
        before = self._things(previous) if previous is not None else None
        now = self._things(current)
        changes = self._changes(before, now, previous, current)
        segments = now.segments if current.frame.depth is not None else None
        return make_delta(
            self.name, previous, current, instruction, now.observations, changes, segments, self._ground.up
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
        labels, count = surfaces.components(grid, classes, self._ground.up, max(4, round(least)))
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
        """Class of each cell."""
        camera_height = self._ground.update(grid, frame.T_map_camera)
        return surfaces.classify(grid, self._ground.up, self._ground.floor, camera_height)

    def _observation(self, grid, colors, labels, k, cells, classes) -> ObjectObservation | None:
        points = grid.points.reshape(-1, 3)[cells]
        position, extent = center_and_size(points)
        if extent.max() < _SMALLEST or self._is_structure(points):
            return None
        flat = (classes.ravel()[cells] >= surfaces.TOP).mean() > 0.8
        v, u = np.divmod(cells, labels.shape[1])
        s = grid.stride
        return ObjectObservation(
            label="surface" if flat else "object",
            color="" if colors is None else dominant_color(colors[_inner(labels, k, v, u)]),
            confidence=float(min(0.5, len(cells) / (len(cells) + 100.0))),
            position=position,
            extent=extent,
            box=(int(u.min() * s), int(v.min() * s), int((u.max() + 1) * s), int((v.max() + 1) * s)),
        )

    def _is_structure(self, points: np.ndarray) -> bool:
        """Whether something reaches as high as only walls, door frames and hanging objects do."""
        return (
            self._ground.floor is not None
            and float(np.percentile(points @ self._ground.up, 95)) - self._ground.floor > _HIGHEST
        )

    def _changes(self, before: _Seen | None, now: _Seen, previous: Keyframe | None, current: Keyframe) -> Changes:
        """New, gone and moved objects (moved: a gone object that appears elsewhere with the same size and colour)."""
        if before is None or previous is None or previous.frame.depth is None or current.frame.depth is None:
            return Changes(now.observations, (), ())
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
        return Changes(tuple(new), tuple(gone), tuple(moved))


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
    """Cells (v, u) whose neighbours belong to the same object: their colour is not mixed with the background's."""
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
    """Cell labels at full image size, only where depth is valid."""
    full = np.zeros((frame.camera.height, frame.camera.width), np.uint16)
    h, w = labels.shape[0] * stride, labels.shape[1] * stride
    full[:h, :w] = np.repeat(np.repeat(labels, stride, axis=0), stride, axis=1)
    if frame.depth is not None:
        full[~(frame.depth > 0)] = 0
    return full
