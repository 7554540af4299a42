"""Semantic deltas of colour images alone: names by a detector or a vision-language model, motion by ORB.

Knows no depth and no poses: observations have no place (NaN), and what is new is so by name and number alone, as in
Embodied-R (sec. 3.2), where a video is all there is.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import InputError
from ..frames import Keyframe, ObjectObservation, SemanticDelta
from ..keyframes.features import Features, extract, match
from .backend import PerceptionError
from .color_names import dominant_color

#: Image motion between keyframes, in image widths, from which it is told; growth of distances likewise.
_SHIFT, _GROWTH = 0.04, 0.06
_NOWHERE = np.full(3, np.nan)


@runtime_checkable
class NamesInColor(Protocol):
    """A back end that can name things in a colour image without depth."""

    name: str

    def name_in_color(self, color: np.ndarray, instruction: str) -> list[tuple[str, str, float, np.ndarray]]:
        """(label, colour name or "", confidence, (4,) u0, v0, u1, v1 px) of each thing in an HxWx3 uint8 RGB image.

        Raises:
            PerceptionError: this image cannot be processed.
        """


class ColorOnlyPerception:
    """Describes keyframes without depth, by a back end that names things in colour images.

    Raises:
        InputError: the back end cannot; the message says which can.
    """

    def __init__(self, backend: object) -> None:
        if not isinstance(backend, NamesInColor):
            name = getattr(backend, "name", type(backend).__name__)
            raise InputError(
                f"perception '{name}' needs depth, which a plain video has not; give --perception detector, server or "
                "vlm ('embodied-nav models get detector' brings a detector)"
            )
        self._backend, self.name = backend, backend.name
        self._seen: Counter[tuple[str, str]] = Counter()
        self._features: Features | None = None

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Objects of the current keyframe, how the camera moved, and what had not been named so often before.

        Raises:
            PerceptionError: the keyframe has no colour, or the back end fails.
        """
        color = current.frame.color
        if color is None:
            raise PerceptionError("a keyframe without colour and depth shows nothing")
        if previous is None:
            self._seen.clear()
            self._features = None
        objects = [_observation(*thing, color) for thing in self._backend.name_in_color(color, instruction)]
        features, before = extract(color), self._features
        self._features = features
        action = "stay" if before is None else image_motion(features, before)
        new = self._new(objects)
        told = ", ".join(o.name for o in new) or "nothing new"
        return SemanticDelta(
            keyframe_id=current.id,
            previous_id=-1 if previous is None else previous.id,
            stamp=current.frame.stamp,
            source=self.name,
            action=action,
            objects=tuple(objects),
            new=tuple(new),
            text=f"{'At the start' if before is None else f'After {action}'}, Observe: {told}",
        )

    def _new(self, objects: list[ObjectObservation]) -> list[ObjectObservation]:
        """Of each name, as many as are more than any view showed before."""
        new, here = [], Counter[tuple[str, str]]()
        for o in objects:
            here[o.label, o.color] += 1
            if here[o.label, o.color] > self._seen[o.label, o.color]:
                new.append(o)
        self._seen |= here
        return new


def _observation(label: str, color: str, confidence: float, box: np.ndarray, image: np.ndarray) -> ObjectObservation:
    height, width = image.shape[:2]
    u0, v0 = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    u1, v1 = min(max(int(box[2]), u0 + 1), width), min(max(int(box[3]), v0 + 1), height)
    # The middle of the box: at its edges is what stands behind.
    du, dv = (u1 - u0) // 4, (v1 - v0) // 4
    middle = image[v0 + dv : v1 - dv, u0 + du : u1 - du].reshape(-1, 3)
    name = color or (dominant_color(middle) if len(middle) else "")
    return ObjectObservation(label, name, confidence, _NOWHERE, _NOWHERE, (u0, v0, u1, v1))


def image_motion(view: Features, before: Features) -> str:
    """The camera's motion between two views by their matches: one of Embodied-R's actions.

    A turn shifts all of the image to one side; a drive lets it grow about a point, or shrink.
    """
    matched = match(view, before)
    if not matched.inliers:
        return "stay"
    now, then = matched.points.astype(np.float64), matched.other_points.astype(np.float64)
    right, down = np.median(now - then, axis=0)
    spread = [np.linalg.norm(p - p.mean(axis=0), axis=1).mean() for p in (now, then)]
    growth = spread[0] / max(spread[1], 1e-9) - 1.0
    moves = (
        (right / _SHIFT, "rotate left", "rotate right"),
        (down / _SHIFT, "tilt up", "tilt down"),
        (growth / _GROWTH, "move forward", "move backward"),
    )
    amount, positive, negative = max(moves, key=lambda m: abs(m[0]))
    if abs(amount) < 1.0:
        return "stay"
    return positive if amount > 0 else negative
