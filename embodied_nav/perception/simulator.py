"""Perception by the simulator's instance ids: named things without a model, for development. Knows no simulator.

It sees only what the frame's instance image and depth show; labels and colours come from a table of ids. By
configuration it errs like a detector does: other labels, detections left out, drawn anew for every keyframe and
the same in every run. Reports name it as what it is: ``simulator``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from .backend import PerceptionConfig, PerceptionError
from .visibility import HERE, OUTSIDE, THROUGH, visibility
from .words import action_words, describe

#: Surface points kept of each remembered object, for the test of what was seen through.
_KEPT_POINTS = 96
#: Points of an object used for its percentiles.
_MOST_POINTS = 2048


@dataclass(frozen=True, eq=False)
class _Remembered:
    observation: ObjectObservation
    surface: np.ndarray  # Nx3 float32, map


class SimulatorPerception:
    """Instance ids to objects, with what is new, gone and moved against all earlier keyframes.

    A previous keyframe of None starts a new history.
    """

    name = "simulator"

    def __init__(self, config: PerceptionConfig | None = None) -> None:
        self.config = config or PerceptionConfig()
        self._names: dict[int, tuple[str, str]] = {}
        self._labels: list[str] = []
        self._history: OrderedDict[int, _Remembered] = OrderedDict()

    def set_instances(self, instances: Mapping[int, tuple[str, str]]) -> None:
        """Sets what each instance id is: ``{id: (category, colour)}``; ids that are not in it are not reported."""
        self._names = {int(i): (str(label), str(color)) for i, (label, color) in instances.items() if int(i) > 0}
        self._labels = sorted({label for label, _ in self._names.values()})
        self._history.clear()

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Objects of the current keyframe and what changed.

        Raises:
            PerceptionError: the frame has no instance ids or no depth, or their sizes differ.
        """
        frame = current.frame
        if previous is None:
            self._history.clear()
        seen, segments = self._observe(frame)
        new = [o for i, (o, _) in seen.items() if i not in self._history]
        moved = [o for i, (o, _) in seen.items() if i in self._history and self._has_moved(i, o, frame)]
        gone = self._gone(seen, frame)
        self._remember(seen)
        objects = tuple(o for o, _ in seen.values())
        action = "stay" if previous is None else action_words(previous.frame.T_map_camera, frame.T_map_camera)
        text, relevant = describe(
            action, frame.T_map_camera, objects, new, gone, moved, instruction, first=previous is None
        )
        return SemanticDelta(
            keyframe_id=current.id,
            previous_id=-1 if previous is None else previous.id,
            stamp=frame.stamp,
            source=self.name,
            action=action,
            objects=objects,
            new=tuple(new),
            gone=tuple(gone),
            moved=tuple(moved),
            relevant=relevant,
            text=text,
            segments=segments,
        )

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
            name = self._detected_as(instance, frame.stamp)
            if name is None:
                continue
            observation = self._observation(name, own, int(pixels[slot]), least, boxes[slot])
            seen[instance] = (observation, own)
            lut[instance] = len(seen)
        ids = frame.instance_ids
        segments = lut[np.where((ids >= 0) & (ids < len(slots)), ids, len(slots))]
        return seen, segments

    def _detected_as(self, instance: int, stamp: int) -> tuple[str, str] | None:
        """(label, colour) that this detection gets; None where it is missed."""
        label, color = self._names[instance]
        if not (self.config.missed or self.config.wrong_labels):
            return label, color
        rng = np.random.default_rng([self.config.noise_seed, instance, stamp])
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
        # Pixels at the silhouette carry depth of what is behind: the outer 3% on each side are left out.
        low, high = np.percentile(sample, (3.0, 97.0), axis=0).astype(np.float64)
        return ObjectObservation(
            label=name[0],
            color=name[1],
            confidence=float(pixels / (pixels + 2.0 * least)),
            position=(low + high) / 2.0,
            extent=high - low,
            box=(int(box[0]), int(box[1]), int(box[2]) + 1, int(box[3]) + 1),
        )

    def _has_moved(self, instance: int, observation: ObjectObservation, frame: RGBDFrame) -> bool:
        """Seen elsewhere, and its old place is seen through: another part of a large thing has not moved."""
        before = self._history[instance]
        shift = float(np.linalg.norm(observation.position - before.observation.position))
        return shift > self.config.moved_distance and self._left_its_place(before, frame)

    def _gone(self, seen: Mapping[int, object], frame: RGBDFrame) -> list[ObjectObservation]:
        visible = set(np.unique(frame.instance_ids[::2, ::2]).tolist())
        gone = []
        for instance, before in list(self._history.items()):
            if instance in seen or instance in visible or not self._left_its_place(before, frame):
                continue
            gone.append(before.observation)
            del self._history[instance]
        return gone

    def _left_its_place(self, before: _Remembered, frame: RGBDFrame) -> bool:
        """Most of the surface that was seen is in view, and nearly all of that is seen through."""
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
    """Pixels and boxes of each slot, and its points in map one slot after the other (offsets tell where)."""
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
