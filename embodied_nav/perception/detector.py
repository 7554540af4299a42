"""Perception by a 2D detector: real categories on real images. Knows no kind of model, no simulator and no memory.

Each detection becomes an object in 3D by the depth in its box or mask (``foreground``). Detectors err: that a thing is
there and what it is, is decided by the memory, over all views.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import param
from ..errors import InputError
from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from ..geometry import transform_points
from ..language.matching import understood
from ..model_store import kept
from .backend import PerceptionConfig, PerceptionError
from .color_names import dominant_color
from .deltas import make_delta
from .detectors import (
    Detection,
    Detector,
    OnnxDetector,
    OnnxOptions,
    OpenVocabulary,
    TransformersDetector,
    TransformersOptions,
    is_transformers_model,
)
from .detectors.onnx_detector import PROVIDERS
from .extent import center_and_size
from .foreground import foreground
from .ground import Ground
from .history import History

#: Two detections that share this part of the smaller one's pixels show one thing: the surer one stays.
_SAME_THING = 0.7
#: Sizes of two detections on one thing differ by less than this factor; a cup lies in a table's box.
_SAME_SIZE = 3.0
#: No single view is surer than this.
_SUREST = 0.95
#: How a file is run unless the settings say otherwise.
_DEFAULT = OnnxOptions()


@dataclass(frozen=True)
class DetectorConfig(PerceptionConfig):
    """Settings of ``detector``."""

    file: str = param(
        "",
        "ONNX file, or folder or id of a Hugging Face detector; empty: the one that 'models get detector' brought",
        path=True,
    )
    classes: str = param(
        "", "text file with the model's class names, one a line; empty: the file's own, else COCO's", path=True
    )
    threshold: float = param(
        _DEFAULT.threshold, "score from which a detection counts; views decide what is true", low=0.0, high=1.0
    )
    overlap: float = param(
        _DEFAULT.overlap, "two boxes of one class that share more than this are one", low=0.0, high=1.0
    )
    provider: str = param(_DEFAULT.provider, "what it is computed on; tensorrt: ONNX files only", choices=PROVIDERS)
    threads: int = param(_DEFAULT.threads, "threads of the CPU", low=1, high=256)
    words: tuple[str, ...] = param(
        (), "what a detector of open vocabulary looks for beside what the instruction names; empty: furnishings"
    )
    download: bool = param(False, "fetch a Hugging Face detector that is given by its id")
    history: int = param(512, "objects remembered for what is new, gone and moved", low=1, high=100000)


@dataclass(frozen=True, eq=False)
class _Thing:
    """A detection with its pixels (HxW bool)."""

    detection: Detection
    pixels: np.ndarray
    count: int


class DetectorPerception:
    """Named objects of a view and their changes, from any 2D detector.

    A previous keyframe of None starts a new history.

    Args:
        detector: in the place of the one that the settings name.

    Attributes:
        categories: that the detector can name; None: any.

    Raises:
        InputError: the settings name no detector, or one that cannot be used.
    """

    name = "detector"

    def __init__(self, config: DetectorConfig | None = None, detector: Detector | None = None) -> None:
        self.config = config or DetectorConfig()
        self.detector = detector or open_detector(self.config)
        names = getattr(self.detector, "names", None)
        self.categories = None if names is None else frozenset(name for name in names if name)
        self._ground = Ground()
        self._history = History(self.config.history, self.config.gone_margin, self.config.moved_distance)

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Objects of the current keyframe and the changes.

        Raises:
            PerceptionError: the detector fails; the frame has no colour, no depth, or depth of another size.
        """
        frame = current.frame
        color, depth = frame.color, frame.depth
        if previous is None:  # also where this keyframe cannot be used: the next one is of the same, new map
            self._history.clear()
            self._ground.reset(frame.T_map_camera)
        if color is None or depth is None or depth.shape != color.shape[:2]:
            raise PerceptionError("perception 'detector' needs colour and depth of one size with every keyframe")
        self._ground.look(frame, self.config.min_depth, self.config.max_depth)
        if isinstance(self.detector, OpenVocabulary):
            self.detector.look_for([noun.label for noun in understood(instruction)[0]])
        things = self._things(frame, color, depth)
        owner = _owners(things, depth.shape)
        observations, surfaces, segments = self._observations(frame, things, owner)
        changes = self._history.update(observations, surfaces, frame)
        up = self._ground.up
        return make_delta(self.name, previous, current, instruction, observations, changes, segments, up)

    def name_in_color(self, color: np.ndarray, instruction: str) -> list[tuple[str, str, float, np.ndarray]]:
        """Names things without depth, see ``color_only.NamesInColor``."""
        if isinstance(self.detector, OpenVocabulary):
            self.detector.look_for([noun.label for noun in understood(instruction)[0]])
        return [(d.label, "", d.score, d.box) for d in self.detector.detect(color)]

    def _things(self, frame: RGBDFrame, color: np.ndarray, depth: np.ndarray) -> list[_Thing]:
        """What was detected, with the pixels that depth gives it; of detections on one thing the surest."""
        c, least = self.config, self._least_pixels(frame)
        things: list[_Thing] = []
        for detection in self.detector.detect(color):
            pixels = foreground(depth, detection.box, frame.camera, detection.mask, c.min_depth, c.max_depth)
            thing = _Thing(detection, pixels, int(pixels.sum()))
            if thing.count >= least and not any(_is_same(thing, other) for other in things):
                things.append(thing)
        return things

    def _least_pixels(self, frame: RGBDFrame) -> float:
        return self.config.min_pixels * (frame.camera.width / 320.0) ** 2

    def _observations(
        self, frame: RGBDFrame, things: list[_Thing], owner: np.ndarray
    ) -> tuple[list[ObjectObservation], list[np.ndarray], np.ndarray]:
        """Observations, their surface points (Nx3 float32, map), and the segments image."""
        points = frame.camera.unproject(np.asarray(frame.depth, np.float32))
        observations: list[ObjectObservation] = []
        surfaces: list[np.ndarray] = []
        segments = np.zeros(owner.shape, np.uint16)
        for k, thing in enumerate(things, start=1):
            own = owner == k
            if own.sum() < self._least_pixels(frame):
                continue
            surface = transform_points(frame.T_map_camera, points[own]).astype(np.float32)
            observations.append(_observation(frame, thing.detection, own, surface))
            surfaces.append(surface)
            segments[own] = len(observations)
        return observations, surfaces, segments


def open_detector(config: DetectorConfig) -> Detector:
    """The detector that the settings name.

    Raises:
        InputError: they name none and none was fetched, or one that cannot be used.
    """
    file = config.file or str(kept("detector") or "")
    if not file:
        raise InputError(
            "perception 'detector' needs a model: 'embodied-nav models get detector' brings a small one; or give an "
            "ONNX file by --detector or detector.file"
        )
    c = config
    if is_transformers_model(file):
        return TransformersDetector(
            file,
            TransformersOptions(c.classes, c.words, c.threshold, c.overlap, c.provider, c.threads, c.download),
        )
    return OnnxDetector(file, OnnxOptions(c.classes, c.threshold, c.overlap, c.provider, c.threads))


def _is_same(a: _Thing, b: _Thing) -> bool:
    if max(a.count, b.count) > _SAME_SIZE * min(a.count, b.count):
        return False
    return int((a.pixels & b.pixels).sum()) >= _SAME_THING * min(a.count, b.count)


def _owners(things: list[_Thing], shape: tuple[int, ...]) -> np.ndarray:
    """HxW int32: number (from 1) of the thing that a pixel is of; of several the smallest, which stands on others."""
    owner = np.zeros(shape, np.int32)
    for k in sorted(range(len(things)), key=lambda k: -things[k].count):
        owner[things[k].pixels] = k + 1
    return owner


def _observation(frame: RGBDFrame, detection: Detection, own: np.ndarray, surface: np.ndarray) -> ObjectObservation:
    position, extent = center_and_size(surface)
    u0, v0, u1, v1 = (int(round(float(x))) for x in detection.box)
    return ObjectObservation(
        label=detection.label,
        color=dominant_color(np.asarray(frame.color)[_inner(own)]),
        confidence=_confidence(detection.score),
        position=position,
        extent=extent,
        box=(u0, v0, u1, v1),
    )


def _confidence(score: float) -> float:
    """Probability that a detection is right: detectors of this kind are right far more often than their scores say."""
    return min(1.0 - (1.0 - score) ** 2, _SUREST)


def _inner(own: np.ndarray) -> np.ndarray:
    """HxW bool: pixels away from the edge, whose colour is the thing's own; all of them where few are."""
    import cv2

    inner = cv2.erode(own.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return inner if inner.sum() >= 0.25 * own.sum() else own
