"""Adds a perception back end of your own: here one that finds things of one strong colour.

python examples/5_add_a_perception_back_end.py
"""

from dataclasses import dataclass

import cv2
import numpy as np
from apartment import enter, look_around

from embodied_nav.config import param
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import BACKENDS, PerceptionConfig, PerceptionError
from embodied_nav.perception.words import action_words, describe
from embodied_nav.registry import Entry


# 1. Its settings: what all back ends share, and what is its own.
@dataclass(frozen=True)
class VividConfig(PerceptionConfig):
    """Settings of the back end for strong colours."""

    saturation: int = param(150, "least saturation of a strong colour", low=1, high=255)
    tolerance: int = param(12, "hues so near are one colour", low=1, high=90)


# 2. The back end: a pair of keyframes in, a semantic delta out.
class VividPerception:
    """Patches of one strong colour, called by their hue."""

    name = "vivid"
    HUES = (
        (0, "red"),
        (15, "orange"),
        (30, "yellow"),
        (60, "green"),
        (95, "turquoise"),
        (115, "blue"),
        (145, "purple"),
    )

    def __init__(self, config: VividConfig) -> None:
        self.config = config

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        frame = current.frame
        if frame.color is None or frame.depth is None:
            raise PerceptionError("perception 'vivid' needs colour and depth")
        objects, segments = self._patches(frame)
        action = "stay" if previous is None else action_words(previous.frame.T_map_camera, frame.T_map_camera)
        text, relevant = describe(
            action, frame.T_map_camera, objects, objects if previous is None else (), (), (), instruction,
            first=previous is None,
        )  # fmt: skip
        return SemanticDelta(
            current.id, -1 if previous is None else previous.id, frame.stamp, self.name, action, tuple(objects),
            relevant=relevant, text=text, segments=segments,
        )  # fmt: skip

    def _patches(self, frame) -> tuple[list[ObjectObservation], np.ndarray]:
        hsv = cv2.cvtColor(frame.color, cv2.COLOR_RGB2HSV)
        usable = (hsv[..., 1] >= self.config.saturation) & (hsv[..., 2] > 60)
        usable &= np.isfinite(frame.depth) & (frame.depth < self.config.max_depth)
        points = frame.camera.unproject(frame.depth)
        segments, found = np.zeros(frame.depth.shape, np.uint16), []
        for hue, color in self.HUES:
            apart = np.abs(hsv[..., 0].astype(int) - hue)
            mask = usable & (np.minimum(apart, 180 - apart) <= self.config.tolerance) & (segments == 0)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            for k in range(1, count):
                u, v, width, height, pixels = (int(n) for n in stats[k])
                if pixels < 10 * self.config.min_pixels:
                    continue
                place = points[labels == k] @ frame.T_map_camera[:3, :3].T + frame.T_map_camera[:3, 3]
                low, high = np.percentile(place, [5, 95], axis=0)
                box = (u, v, u + width, v + height)
                found.append(ObjectObservation("patch", color, 0.8, (low + high) / 2, high - low, box))
                segments[labels == k] = len(found)
        return found, segments


# 3. A line in the table. In the package it stands in embodied_nav/tables.py; a script may add its own.
BACKENDS.add(Entry("vivid", "patches of one strong colour", VividPerception, VividConfig))
print(f"perception back ends: {', '.join(BACKENDS)}")

# 4. It is found by its name, with its settings by theirs, and feeds a memory like any other.
backend = BACKENDS.create("vivid", settings=BACKENDS["vivid"].settings_from({"vivid.saturation": 120}))
simulator, _ = enter()
memory, gate, previous = SpatialMemory(), KeyframeGate(), None
for frame in look_around(simulator):
    memory.integrate(frame)
    keyframe = gate.process(frame)
    if keyframe is None:
        continue
    delta = backend.perceive(previous, keyframe, "find something red")
    memory.add_keyframe(keyframe)
    memory.add_delta(delta)
    previous = keyframe
    print(f"keyframe {keyframe.id}: {', '.join(o.name for o in delta.objects) or 'nothing vivid'}")
for thing in memory.objects():
    print(f"remembered: {thing.name}, seen in {thing.confirmed} keyframes")
