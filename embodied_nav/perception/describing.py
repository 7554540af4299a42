"""What vision-language back ends share: prompt, strict reading, boxes lifted to 3D, changes. Knows no model or server.

Sequential, as in Embodied-R (sec. 3.2): the first keyframe is described as a scene; each later one together with the
last one that the model has seen, and with the measured motion between the two. Keyframes that it was not asked about
are merged into that motion.
"""

from __future__ import annotations

import abc
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import param
from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from ..geometry import transform_points
from .backend import PerceptionConfig, PerceptionError
from .color_names import dominant_color
from .deltas import Changes
from .extent import center_and_size
from .foreground import foreground
from .ground import Ground
from .history import History
from .prompting import load_prompts
from .vlm_answers import AnswerError, NamedBox, VlmAnswer, parse, schema
from .words import action_words, motion_words

#: Keyframes between two pictures whose poses are kept for the motion in words.
_MOST_SKIPPED = 12
#: Things that depth says are gone or moved that the text names.
_MOST_NAMED = 12
#: What ``boxes`` means to the model, in the prompt.
_UNITS = {"thousandths": "in thousandths of its width and height (0 to 1000)", "pixels": "in its pixels"}


@dataclass(frozen=True)
class DescribingConfig(PerceptionConfig):
    """Settings shared by the back ends ``server`` and ``vlm``."""

    prompts: str = param(
        "", "folder with prompts of your own (first.v2.txt, pair.v2.txt, ...); empty: the shipped ones"
    )
    image_width: int = param(
        640, "pictures wider than this are made smaller for the model", unit="px", low=64, high=4096
    )
    boxes: str = param("thousandths", "unit of the boxes that the model gives", choices=tuple(_UNITS))
    most_objects: int = param(24, "objects that the model may name in a picture", low=1, high=200)
    max_tokens: int = param(1024, "tokens of an answer at most", low=32, high=32768)
    confidence: float = param(0.7, "confidence given to what the model names", low=0.01, high=1.0)
    history: int = param(512, "objects remembered for what is new, gone and moved", low=1, high=100000)


@dataclass(frozen=True, eq=False)
class Request:
    """What a model is asked.

    Attributes:
        system: the fixed part, the same in every request.
        text: the part that changes.
        images: one or two HxWx3 uint8 RGB, the earlier view first.
        schema: JSON schema of the answer.
    """

    system: str
    text: str
    images: tuple[np.ndarray, ...]
    schema: dict[str, Any]


class DescribingPerception(abc.ABC):
    """A back end that asks a vision-language model about each keyframe; a subclass says how it is asked.

    A previous keyframe of None starts a new history.
    """

    name: str

    def __init__(self, config: DescribingConfig) -> None:
        """
        Raises:
            InputError: the prompts cannot be used.
        """
        self.config = config
        self._prompts = load_prompts(config.prompts)
        self._versions = dict(self._prompts.versions)
        self.system = self._prompts.fill("system", units=_UNITS[config.boxes], most=str(config.most_objects))
        self._ground = Ground()
        self._history = History(config.history, config.gone_margin, config.moved_distance)
        self._seen: Keyframe | None = None
        self._skipped: deque[np.ndarray] = deque(maxlen=_MOST_SKIPPED)
        self._lock = threading.Lock()

    @abc.abstractmethod
    def ask(self, request: Request) -> str:
        """The model's answer, as it comes.

        Raises:
            PerceptionError: there is none.
        """

    def facts(self) -> dict[str, str]:
        """Versions of the prompts in use."""
        return {"prompts": ", ".join(f"{name} {version}" for name, version in self._versions.items())}

    def skip(self, keyframe: Keyframe) -> None:
        """Notes a keyframe that it will not be asked about; the next pair's motion goes through it. From any thread."""
        with self._lock:
            self._skipped.append(keyframe.frame.T_map_camera)

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """What the model says of the current keyframe against the last one of which it has said something.

        Args:
            previous: None starts a new history; else which one it is does not matter.
            current: with colour, and depth of the same size.
            instruction: the sentence that the robot follows.

        Raises:
            PerceptionError: no picture or depth, no answer, or one that is not as asked for. The keyframe then counts
                as skipped.
        """
        if previous is None:  # also where this keyframe cannot be used: the next one is of the same, new map
            self._forget(current.frame)
        try:
            return self._described(current, instruction)
        except PerceptionError:
            self.skip(current)
            raise

    def name_in_color(self, color: np.ndarray, instruction: str) -> list[tuple[str, str, float, np.ndarray]]:
        """Names things without depth, each view by itself, see ``color_only.NamesInColor``."""
        text = self._prompts.fill("first", instruction=instruction)
        answer = self._answer(Request(self.system, text, (self._smaller(color),), schema(self.config.most_objects)))
        height, width = color.shape[:2]
        size = np.array([width, height, width, height], dtype=np.float64)
        return [(o.label, o.color, self.config.confidence, np.array(o.box) * size) for o in answer.objects]

    def _described(self, current: Keyframe, instruction: str) -> SemanticDelta:
        frame = current.frame
        if frame.color is None or frame.depth is None or frame.depth.shape != frame.color.shape[:2]:
            raise PerceptionError(f"perception '{self.name}' needs colour, and depth of the same size")
        self._ground.look(frame, self.config.min_depth, self.config.max_depth)
        request, way = self._request(current, instruction)
        return self._delta(self._answer(request), current, way)

    def _forget(self, frame: RGBDFrame) -> None:
        self._ground.reset(frame.T_map_camera)
        self._history.clear()
        self._seen = None
        with self._lock:
            self._skipped.clear()

    def _request(self, current: Keyframe, instruction: str) -> tuple[Request, list[np.ndarray]]:
        """The request, and the poses on the way from the last picture to this one; none for the first."""
        form = schema(self.config.most_objects)
        picture = self._picture(current.frame)
        if self._seen is None:
            with self._lock:  # no way leads from them to the first picture
                self._skipped.clear()
            text = self._prompts.fill("first", instruction=instruction)
            return Request(self.system, text, (picture,), form), []
        with self._lock:
            between = list(self._skipped)
        way = [self._seen.frame.T_map_camera, *between, current.frame.T_map_camera]
        skipped = f"On the way it passed {len(between)} views that are not shown." if between else ""
        motion = motion_words(way, self._ground.up)
        text = self._prompts.fill("pair", instruction=instruction, motion=motion, skipped=skipped)
        return Request(self.system, text, (self._picture(self._seen.frame), picture), form), way

    def _picture(self, frame: RGBDFrame) -> np.ndarray:
        assert frame.color is not None
        return self._smaller(frame.color)

    def _smaller(self, color: np.ndarray) -> np.ndarray:
        """HxWx3 uint8, no wider than wanted."""
        import cv2

        share = self.config.image_width / color.shape[1]
        return color if share >= 1.0 else cv2.resize(color, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)

    def _answer(self, request: Request) -> VlmAnswer:
        text = self.ask(request)
        height, width = request.images[-1].shape[:2]
        scale = (1000.0, 1000.0) if self.config.boxes == "thousandths" else (float(width), float(height))
        try:
            return parse(text, self.config.most_objects, scale)
        except AnswerError as error:
            raise PerceptionError(f"the model's answer is not as asked for: {error}") from None

    def _delta(self, answer: VlmAnswer, current: Keyframe, way: list[np.ndarray]) -> SemanticDelta:
        observations, surfaces, segments = self._lifted(answer.objects, current.frame)
        changes = self._history.update(observations, surfaces, current.frame)
        seen, self._seen = self._seen, current
        action = action_words(way[0], way[-1], self._ground.up) if way else "stay"
        with self._lock:  # others may have come meanwhile
            later = [T for T in self._skipped if not any(T is passed for passed in way)]
            self._skipped = deque(later, maxlen=_MOST_SKIPPED)
        return SemanticDelta(
            keyframe_id=current.id,
            previous_id=-1 if seen is None else seen.id,
            stamp=current.frame.stamp,
            source=self.name,
            action=action,
            objects=tuple(observations),
            new=changes.new,
            gone=changes.gone,
            moved=changes.moved,
            relevant=answer.relevant,
            text=_text(answer, changes, "" if seen is None else action),
            segments=segments,
        )

    def _lifted(
        self, things: tuple[NamedBox, ...], frame: RGBDFrame
    ) -> tuple[list[ObjectObservation], list[np.ndarray], np.ndarray]:
        """Observations, their surface points (Nx3, map), and the HxW segments; a box without depth gives none."""
        c, depth = self.config, np.asarray(frame.depth, np.float32)
        of_pixels = frame.camera.unproject(depth).reshape(-1, 3)
        owner = np.zeros(depth.size, np.uint16)
        observations: list[ObjectObservation] = []
        surfaces: list[np.ndarray] = []
        least = max(4, round(c.min_pixels * (depth.shape[1] / 320.0) ** 2))
        # Small boxes last: what lies in front of something large keeps its pixels.
        for thing in sorted(things, key=lambda t: -(t.box[2] - t.box[0]) * (t.box[3] - t.box[1])):
            box = _pixels(thing.box, depth.shape)
            own = foreground(depth, np.asarray(box), frame.camera, None, c.min_depth, c.max_depth)
            pixels = np.flatnonzero(own)
            if len(pixels) < least:
                continue
            points = transform_points(frame.T_map_camera, of_pixels[pixels]).astype(np.float32)
            observations.append(self._observation(thing, box, pixels, points, frame))
            surfaces.append(points)
            owner[pixels] = len(observations)
        return observations, surfaces, owner.reshape(depth.shape)

    def _observation(
        self, thing: NamedBox, box: tuple[int, int, int, int], pixels: np.ndarray, points: np.ndarray, frame: RGBDFrame
    ) -> ObjectObservation:
        assert frame.color is not None
        position, extent = center_and_size(points)
        return ObjectObservation(
            label=thing.label,
            color=thing.color or dominant_color(frame.color.reshape(-1, 3)[pixels]),
            confidence=self.config.confidence,
            position=position,
            extent=extent,
            box=box,
        )


def _pixels(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Shares of the picture -> (u0, v0, u1, v1) px, end exclusive, at least one pixel."""
    height, width = shape
    u0, v0 = min(int(box[0] * width), width - 1), min(int(box[1] * height), height - 1)
    return u0, v0, max(u0 + 1, round(box[2] * width)), max(v0 + 1, round(box[3] * height))


def _text(answer: VlmAnswer, changes: Changes, action: str) -> str:
    """The delta in words, in Embodied-R's form: what the model says, and what depth confirms as gone or moved.

    ``action`` as measured stands where the model names none; "" for the first keyframe.
    """
    measured = [
        f"{word} {', '.join(o.name for o in things[:_MOST_NAMED])}"
        for word, things in (("gone", changes.gone), ("moved", changes.moved))
        if things
    ]
    start = f"After {answer.action or action}" if action else "At the start"
    said = "; ".join([answer.changes or "nothing new", *measured])
    return f"{start}, Observe: {said}; {answer.relevant or 'nothing that the instruction names'}"
