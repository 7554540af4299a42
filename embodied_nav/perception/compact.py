"""Perception by our own small network: categories, single objects in 3D, changes. Knows no simulator and no memory.

The network (``models/compact``) was trained on rendered apartments alone. On real images its labels mean little:
``detector`` and ``server`` are for real robots. It runs in onnxruntime on one thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..config import param
from ..errors import InputError
from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from ..geometry import Camera, transform_points
from ..models.compact import (
    entropy,
    level_rotation,
    make_inputs,
    nearest,
    network_camera,
    resized,
    shipped_weights,
)
from .backend import PerceptionConfig, PerceptionError
from .color_names import color_in_full_light, exposure_gain
from .deltas import make_delta
from .extent import center_and_size
from .ground import Ground
from .history import History
from .instances import separate
from .surfaces import make_grid

#: Depth of a pixel and of its cell differ by less than this share of it, or they show different things.
_SAME_SURFACE = 0.04


@dataclass(frozen=True)
class CompactPerceptionConfig(PerceptionConfig):
    """Settings of ``compact``."""

    weights: str = param("", "exported ONNX file, its safetensors file beside it; empty: the package's", path=True)
    least_confidence: float = param(0.75, "mean probability from which an object is reported", low=0.0, high=1.0)
    history: int = param(512, "objects remembered for what is new, gone and moved", low=1, high=100000)


@dataclass(frozen=True, eq=False)
class _Labels:
    """The network's answer on a view's cells (h x w): label, probability, vote for the centre in map, point in map."""

    label: np.ndarray
    probability: np.ndarray
    votes: np.ndarray
    points: np.ndarray


class CompactPerception:
    """Named objects of a view and their changes, from a network that is part of the package.

    A previous keyframe of None starts a new history.

    Attributes:
        categories: names of the categories that the network knows.
    """

    name = "compact"

    def __init__(self, config: CompactPerceptionConfig | None = None) -> None:
        self.config = config or CompactPerceptionConfig()
        weights = self.config.weights or shipped_weights()
        if weights is None:
            raise InputError(
                "perception 'compact' has no weights here: make them by 'embodied-nav train perception' and give "
                "--set compact.weights=FILE.onnx"
            )
        self._session, self._about = load_session(str(weights))
        self.categories = self._about.categories
        self._unknown = 0.0
        self._ground = Ground()
        self._history = History(self.config.history, self.config.gone_margin, self.config.moved_distance)

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Objects of the current keyframe and the changes.

        Raises:
            PerceptionError: the frame has no depth, or of another size than its camera.
        """
        frame = current.frame
        if previous is None:  # also where this keyframe cannot be used: the next one is of the same, new map
            self._history.clear()
            self._ground.reset(frame.T_map_camera)
        if frame.color is None or frame.depth is None or frame.depth.shape != frame.color.shape[:2]:
            raise PerceptionError("perception 'compact' needs depth of the colour image's size with every keyframe")
        observations, surfaces, segments = self._objects(frame)
        changes = self._history.update(observations, surfaces, frame)
        up = self._ground.up
        return make_delta(self.name, previous, current, instruction, observations, changes, segments, up)

    def facts(self) -> dict[str, str]:
        """How much of the last view is unknown."""
        known = f"{100 * self._unknown:.0f}% of the last view"
        return {"unknown": f"{known}; trained on rendered apartments: on real images its names mean little"}

    def label_image(self, frame: RGBDFrame) -> tuple[np.ndarray, np.ndarray]:
        """The most probable category of each pixel (HxW int64: 1 + its index in ``categories``, 0 none), and whether
        it is unknown (HxW bool): objects are made of what is known alone."""
        import cv2

        logits, _ = self._answer(frame)[0]
        size = (frame.camera.width, frame.camera.height)
        best, label = np.full(size[::-1], -np.inf, dtype=np.float32), np.zeros(size[::-1], dtype=np.int64)
        for k, channel in enumerate(logits):  # one at a time: all at full size would be large
            value = cv2.resize(channel, size, interpolation=cv2.INTER_LINEAR)
            label[value > best] = k
            np.maximum(best, value, out=best)
        unknown = nearest((entropy(logits) > self._about.unknown_from).astype(np.uint8), *size)
        return label, unknown.astype(bool)

    def _objects(self, frame: RGBDFrame) -> tuple[list[ObjectObservation], list[np.ndarray], np.ndarray]:
        """Observations, their surface points (Nx3, map), and the segments image."""
        cells = self._labels(frame)
        chosen = np.flatnonzero((cells.label > 0).ravel() & np.isfinite(cells.votes[..., 0]).ravel())
        width = frame.camera.width
        scale = width / cells.label.shape[1]
        least = max(4, round(self.config.min_pixels * (width / 320.0) ** 2 / scale**2))
        votes, spacing = cells.votes.reshape(-1, 3)[chosen], dict(enumerate(self._about.spacing, start=1))
        groups = separate(cells.label.ravel()[chosen], votes, least, spacing)
        gain = exposure_gain(np.asarray(frame.color))
        observations: list[ObjectObservation] = []
        surfaces: list[np.ndarray] = []
        owner = np.zeros(cells.label.size, dtype=np.uint16)
        for group in groups:
            own = chosen[group]
            confidence = float(cells.probability.ravel()[own].mean())
            if confidence < self.config.least_confidence:
                continue
            points = cells.points.reshape(-1, 3)[own]
            owner[own] = len(observations) + 1
            observations.append(self._observation(frame, gain, cells, own, points, confidence))
            surfaces.append(points)
        return observations, surfaces, _segments(owner.reshape(cells.label.shape), frame)

    def _observation(
        self, frame: RGBDFrame, gain: float, cells: _Labels, own: np.ndarray, points: np.ndarray, confidence: float
    ) -> ObjectObservation:
        assert frame.color is not None
        position, extent = center_and_size(points)
        h, w = cells.label.shape
        v, u = np.divmod(own, w)
        sv, su = frame.color.shape[0] / h, frame.color.shape[1] / w
        middle = frame.color[((v + 0.5) * sv).astype(int), ((u + 0.5) * su).astype(int)]
        return ObjectObservation(
            label=self.categories[int(cells.label.ravel()[own[0]]) - 1],
            color=color_in_full_light(middle, gain),
            confidence=confidence,
            position=position,
            extent=extent,
            box=(int(u.min() * su), int(v.min() * sv), int((u.max() + 1) * su), int((v.max() + 1) * sv)),
        )

    def _answer(self, frame: RGBDFrame) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, Camera, np.ndarray]:
        """The network's logits and offsets, the depth and camera that it got, and the level frame from the camera."""
        assert frame.color is not None and frame.depth is not None
        camera = network_camera(frame.camera, self._about.width)
        near = np.where(frame.depth <= self.config.max_depth * 2.0, frame.depth, np.nan)
        color, depth = resized(frame.color, near, camera.width, camera.height)
        assert depth is not None
        T = np.asarray(frame.T_map_camera, dtype=np.float64)
        height = self._ground.update(make_grid(frame, self.config.min_depth, self.config.max_depth), T)
        R = level_rotation(T, self._ground.up)
        inputs = make_inputs(color, depth, camera, R, height - (self._ground.floor or 0.0))
        logits, offsets = self._session.run(None, {"inputs": inputs[None]})
        return (logits[0], offsets[0]), depth, camera, R

    def _labels(self, frame: RGBDFrame) -> _Labels:
        """What the network sees in a view."""
        (logits, offsets), depth, camera, R = self._answer(frame)
        T = np.asarray(frame.T_map_camera, dtype=np.float64)
        probability = np.exp(logits - logits.max(axis=0))
        probability /= probability.sum(axis=0)
        label, best = probability.argmax(axis=0), probability.max(axis=0)
        unknown = entropy(logits) > self._about.unknown_from
        self._unknown = float(unknown.mean())
        label[unknown] = 0
        points = _points(depth[1::2, 1::2], camera, T)
        votes = points + offsets.transpose(1, 2, 0) @ (T[:3, :3] @ R.T).T.astype(np.float32)
        z = depth[1::2, 1::2]
        votes[~((z >= self.config.min_depth) & (z <= self.config.max_depth))] = np.nan
        return _Labels(label, best, votes, points)


def _points(depth: np.ndarray, camera: Camera, T_map_camera: np.ndarray) -> np.ndarray:
    """hxwx3 float32, map: surface points of every second pixel of the network's image."""
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32) * 2.0 + 1.0
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    return transform_points(T_map_camera, (rays * depth[..., None]).astype(np.float32))


def _segments(owner: np.ndarray, frame: RGBDFrame) -> np.ndarray:
    """HxW uint16: the cell's object for each pixel whose depth is that of the cell."""
    height, width = frame.camera.height, frame.camera.width
    depth = np.asarray(frame.depth, dtype=np.float32)
    full = nearest(owner, width, height)
    cell = nearest(nearest(depth, owner.shape[1], owner.shape[0]), width, height)
    full[~(np.abs(depth - cell) < _SAME_SURFACE * depth + 0.02)] = 0
    return full


@dataclass(frozen=True)
class _About:
    """What weights say of themselves.

    Attributes:
        categories: in the order of the output's channels, the first of which is none of them.
        width: of the network's images, px. unknown_from: entropy (nat) from which a cell is unknown.
        spacing: of each category, distance (m) between the centres of two of it that stand close.
    """

    categories: tuple[str, ...]
    width: int
    unknown_from: float
    spacing: tuple[float, ...]


@lru_cache(maxsize=4)
def load_session(path: str) -> tuple[Any, _About]:
    """The session of an ONNX file, and what it says of itself.

    Raises:
        InputError: the file cannot be read, or is no compact network.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file; give weights made by 'embodied-nav train perception'")
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        properties = session.get_modelmeta().custom_metadata_map
        network = json.loads(properties["network"])
        categories = tuple(network["categories"])
        spacing = json.loads(properties["spacing"])
        about = _About(
            categories, int(network["width"]), float(properties["unknown_from"]), tuple(spacing[c] for c in categories)
        )
    except Exception as error:  # onnxruntime's own exceptions have no common base
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: is no compact network ({reason}); give weights of 'train perception'") from None
    return session, about
