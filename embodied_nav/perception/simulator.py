"""Perception from the simulator's instance ids: named objects without a model, for development. Knows no simulator.

It uses only the frame's instance image and depth, and a table of ids for labels and colours. It can be set to err like
a detector: per keyframe (``wrong_labels``, ``missed``), or per viewpoint and with things of like shape (``error_rate``,
see :mod:`.mistakes`); the same in every run. Reports name it ``simulator``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import param
from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from .backend import PerceptionConfig, PerceptionError
from .deltas import Changes, make_delta
from .extent import center_and_size
from .mistakes import as_detected, viewpoint
from .visibility import HERE, OUTSIDE, THROUGH, visibility

#: Surface points kept per object, to test whether later depth passes through them.
_KEPT_POINTS = 96
#: Largest number of an object's points used for its percentiles.
_MOST_POINTS = 2048


@dataclass(frozen=True)
class SimulatorPerceptionConfig(PerceptionConfig):
    """Settings of ``simulator``; by default it makes no errors."""

    history: int = param(512, "objects remembered for what is new, gone and moved", low=1, high=100000)
    wrong_labels: float = param(
        0.0, "share of the detections of 'simulator' that get another label of the scene", low=0.0, high=1.0
    )
    missed: float = param(0.0, "share of the detections that 'simulator' leaves out", low=0.0, high=1.0)
    error_rate: float = param(
        0.0, "share of an object's viewpoints from which 'simulator' misses it or misnames it or its colour", low=0.0,
        high=1.0,
    )  # fmt: skip
    noise_seed: int = param(0, "what wrong and missed detections are drawn from", low=0, high=2**31 - 1)


@dataclass(frozen=True, eq=False)
class _Remembered:
    observation: ObjectObservation
    surface: np.ndarray  # Nx3 float32, map


class SimulatorPerception:
    """Turns instance ids into objects, and finds those new, gone and moved against all earlier keyframes.

    A previous keyframe of None starts a new history.
    """

    name = "simulator"

    def __init__(self, config: SimulatorPerceptionConfig | None = None) -> None:
        self.config = config or SimulatorPerceptionConfig()
        self._names: dict[int, tuple[str, str]] = {}
        self._labels: list[str] = []
        self._history: OrderedDict[int, _Remembered] = OrderedDict()

    def set_instances(self, instances: Mapping[int, tuple[str, str]]) -> None:
        """Sets the meaning of each instance id: ``{id: (category, colour)}``; other ids are not reported."""
        self._names = {int(i): (str(label), str(color)) for i, (label, color) in instances.items() if int(i) > 0}
        self._labels = sorted({label for label, _ in self._names.values()})
        self._history.clear()

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Objects of the current keyframe and the changes.

        Raises:
            PerceptionError: the frame has no instance ids or no depth, or their sizes differ.
        """
        frame = current.frame
        if previous is None:
            self._history.clear()
        seen, segments = self._observe(frame)
        new = tuple(o for i, (o, _) in seen.items() if i not in self._history)
        moved = tuple(o for i, (o, _) in seen.items() if i in self._history and self._has_moved(i, o, frame))
        gone = tuple(self._gone(seen, frame))
        self._remember(seen)
        objects = [o for o, _ in seen.values()]
        return make_delta(self.name, previous, current, instruction, objects, Changes(new, gone, moved), segments)

    def _observe(self, frame: RGBDFrame) -> tuple[dict[int, tuple[ObjectObservation, np.ndarray]], np.ndarray]:
        """Named instances with enough pixels (id -> observation, its points), and the segments image."""
        if frame.instance_ids is None or frame.depth is None:
            raise PerceptionError("perception 'simulator' needs instance ids and depth with every frame")
        if frame.instance_ids.shape != frame.depth.shape:
            raise PerceptionError(f"instance ids are {frame.instance_ids.shape}, depth {frame.depth.shape}")
        config, camera = self.config, frame.camera
        known = np.array(sorted(self._names), dtype=np.int64)
        slots = np.full(int(known[-1]) + 1 if len(known) else 1, -1, np.int32)
        slots[known] = np.arange(len(known), dtype=np.int32)
        pixels, boxes, offsets, points = _gather(
            np.ascontiguousarray(frame.instance_ids, dtype=np.int32),
            np.ascontiguousarray(frame.depth, dtype=np.float32),
            np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            np.ascontiguousarray(frame.T_map_camera, dtype=np.float64),
            slots,
            len(known),
            config.min_depth,
            config.max_depth,
        )
        least = config.min_pixels * (camera.width / 320.0) ** 2
        lut = np.zeros(len(slots) + 1, np.uint16)
        seen: dict[int, tuple[ObjectObservation, np.ndarray]] = {}
        for slot, instance in enumerate(known.tolist()):
            own = points[offsets[slot] : offsets[slot + 1]]
            if pixels[slot] < least or len(own) < 0.5 * least:
                continue
            name = self._detected_as(instance, frame, own)
            if name is None:
                continue
            observation = self._observation(name, own, int(pixels[slot]), least, boxes[slot])
            seen[instance] = (observation, own)
            lut[instance] = len(seen)
        ids = frame.instance_ids
        segments = lut[np.where((ids >= 0) & (ids < len(slots)), ids, len(slots))]
        return seen, segments

    def _detected_as(self, instance: int, frame: RGBDFrame, points: np.ndarray) -> tuple[str, str] | None:
        """(label, colour) of this detection; None if it is missed."""
        label, color = self._names[instance]
        if self.config.error_rate > 0.0:
            seen_from = viewpoint(frame.T_map_camera[:2, 3], points[:, :2].mean(axis=0))
            name = as_detected(label, color, self.config.error_rate, (self.config.noise_seed, instance, *seen_from))
            if name is None:
                return None
            label, color = name
        if not (self.config.missed or self.config.wrong_labels):
            return label, color
        rng = np.random.default_rng([self.config.noise_seed, instance, frame.stamp])
        missed, wrong, which = rng.random(3)
        if missed < self.config.missed:
            return None
        others = [other for other in self._labels if other != label]
        if wrong < self.config.wrong_labels and others:
            label = others[int(which * len(others))]
        return label, color

    def _observation(
        self, name: tuple[str, str], points: np.ndarray, pixels: int, least: float, box
    ) -> ObjectObservation:
        sample = points[:: max(1, len(points) // _MOST_POINTS)]
        position, extent = center_and_size(sample)
        return ObjectObservation(
            label=name[0],
            color=name[1],
            confidence=float(pixels / (pixels + 2.0 * least)),
            position=position,
            extent=extent,
            box=(int(box[0]), int(box[1]), int(box[2]) + 1, int(box[3]) + 1),
        )

    def _has_moved(self, instance: int, observation: ObjectObservation, frame: RGBDFrame) -> bool:
        """Whether it is seen elsewhere and depth passes through its old place (not just another part of it in view)."""
        before = self._history[instance]
        shift = float(np.linalg.norm(observation.position - before.observation.position))
        return shift > self.config.moved_distance and self._left_its_place(before, frame)

    def _gone(self, seen: Mapping[int, object], frame: RGBDFrame) -> list[ObjectObservation]:
        assert frame.instance_ids is not None
        visible = set(np.unique(frame.instance_ids[::2, ::2]).tolist())
        gone = []
        for instance, before in list(self._history.items()):
            if instance in seen or instance in visible or not self._left_its_place(before, frame):
                continue
            gone.append(before.observation)
            del self._history[instance]
        return gone

    def _left_its_place(self, before: _Remembered, frame: RGBDFrame) -> bool:
        """Whether most of its stored surface is in view, and depth passes through nearly all of that."""
        verdict = visibility(before.surface, frame, self.config.gone_margin)
        through, judged = (verdict == THROUGH).sum(), ((verdict == THROUGH) | (verdict == HERE)).sum()
        return bool((verdict != OUTSIDE).mean() >= 0.6 and judged >= 0.4 * len(verdict) and through >= 0.8 * judged)

    def _remember(self, seen: Mapping[int, tuple[ObjectObservation, np.ndarray]]) -> None:
        for instance, (observation, points) in seen.items():
            surface = points[:: max(1, len(points) // _KEPT_POINTS)][: 2 * _KEPT_POINTS].copy()
            self._history[instance] = _Remembered(observation, surface)
            self._history.move_to_end(instance)
        while len(self._history) > self.config.history:
            self._history.popitem(last=False)


@njit(cache=True, nogil=True)
def _gather(ids, depth, k, T, slots, count, min_depth, max_depth):
    """Pixel count and box of each slot, and its points in map, concatenated slot by slot with offsets."""
    height, width = ids.shape
    pixels = np.zeros(count, np.int64)
    offsets = np.zeros(count + 1, np.int64)
    boxes = np.empty((count, 4), np.int32)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = width, height, -1, -1
    for v in range(height):
        for u in range(width):
            i = ids[v, u]
            if i <= 0 or i >= len(slots) or slots[i] < 0:
                continue
            s = slots[i]
            pixels[s] += 1
            boxes[s, 0] = min(boxes[s, 0], u)
            boxes[s, 1] = min(boxes[s, 1], v)
            boxes[s, 2] = max(boxes[s, 2], u)
            boxes[s, 3] = max(boxes[s, 3], v)
            if min_depth <= depth[v, u] <= max_depth:
                offsets[s + 1] += 1
    for s in range(count):
        offsets[s + 1] += offsets[s]
    cursor = offsets[:count].copy()
    points = np.empty((offsets[count], 3), np.float32)
    for v in range(height):
        y = (v - k[3]) / k[1]
        for u in range(width):
            i = ids[v, u]
            if i <= 0 or i >= len(slots) or slots[i] < 0:
                continue
            z = np.float64(depth[v, u])
            if not (min_depth <= z <= max_depth):
                continue
            s = slots[i]
            x = (u - k[2]) / k[0]
            for r in range(3):
                points[cursor[s], r] = (T[r, 0] * x + T[r, 1] * y + T[r, 2]) * z + T[r, 3]
            cursor[s] += 1
    return pixels, boxes, offsets, points
