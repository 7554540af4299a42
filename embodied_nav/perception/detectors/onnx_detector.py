"""A detector out of an ONNX file, run by onnxruntime. Knows nothing of depth and of the map.

What the file needs is found in it: the size of its input, the layout of its outputs (``layouts``), the names of its
classes (``class_names``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..backend import PerceptionError
from .class_names import class_names
from .detection import Detection
from .layouts import Candidates, Layout, find_layout
from .suppression import suppress

#: Providers of onnxruntime by our names; each falls back to the next.
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
PROVIDERS = tuple(_PROVIDERS)
#: Edge of the input (px) where the file leaves it open.
_EDGE = 640
#: Grey of the margin of an image that keeps its aspect ratio.
_MARGIN = 114
#: (factor, offset) that make a byte what the network takes.
_RANGES = {"unit": (1.0 / 255.0, 0.0), "signed": (1.0 / 127.5, -1.0), "byte": (1.0, 0.0)}


@dataclass(frozen=True)
class OnnxOptions:
    """How a file is run.

    Attributes:
        classes: text file with the names of its classes; empty: the file's own, else COCO's.
        threshold: lowest score. overlap: intersection over union above which the less sure of two boxes goes.
        provider: one of :data:`PROVIDERS`. threads: of the CPU.
    """

    classes: str = ""
    threshold: float = 0.3
    overlap: float = 0.5
    provider: str = "cpu"
    threads: int = 1


class OnnxDetector:
    """Runs the model of one file.

    Attributes:
        layout: of its outputs. names: label of each class.

    Raises:
        InputError: no onnxruntime, no such file or provider, an unknown layout, class names that do not fit.
    """

    def __init__(self, path: str, options: OnnxOptions | None = None) -> None:
        self._options = options or OnnxOptions()
        self._session = _session(path, self._options)
        self._input, self._orig_size = _inputs(self._session, path)
        self._channels_last, self._size = _image_size(self._input.shape, path)
        outputs = {o.name: o.shape for o in self._session.get_outputs()}
        layout = find_layout(outputs, self._size[0])
        if layout is None:
            listed = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in outputs.items())
            raise InputError(f"{path}: outputs of no known detector ({listed}); give a YOLO, RT-DETR, D-FINE or SSD")
        self.layout: Layout = layout
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.names: tuple[str, ...] | None = _names(self._options.classes, metadata, layout, path)

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """What an HxWx3 uint8 RGB image shows, the surest first.

        Raises:
            PerceptionError: the model fails, or gives a class without a name.
        """
        feed, scale = self._feed(rgb)
        parts = list(self.layout.outputs)
        try:
            values = self._session.run([self.layout.outputs[part] for part in parts], feed)
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise PerceptionError(f"the detector fails: {' '.join(str(error).split())[:200]}") from None
        size = (rgb.shape[1], rgb.shape[0]) if self._orig_size else self._size
        outputs = dict(zip(parts, values, strict=True))
        found = self.layout.decode(outputs, size, self._options.threshold)
        return self._detections(found, rgb.shape[:2], np.ones(2) if self._orig_size else scale)

    def _feed(self, rgb: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Inputs by name, and the share of the network's input that the image fills (width, height)."""
        import cv2

        width, height = self._size
        scale, inner = np.ones(2), self._size
        if self.layout.letterbox:
            ratio = min(width / rgb.shape[1], height / rgb.shape[0])
            inner = max(1, round(rgb.shape[1] * ratio)), max(1, round(rgb.shape[0] * ratio))
            scale = np.array(inner) / np.array(self._size)
        image = np.full((height, width, 3), _MARGIN, np.uint8)
        image[: inner[1], : inner[0]] = cv2.resize(rgb, inner, interpolation=cv2.INTER_LINEAR)
        pixels: np.ndarray = image if self._channels_last else image.transpose(2, 0, 1)
        kind = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16}.get(self._input.type, np.float32)
        if kind is not np.uint8:
            factor, offset = _RANGES[self.layout.input_range]
            pixels = (pixels.astype(np.float32) * np.float32(factor) + np.float32(offset)).astype(kind)
        feed = {self._input.name: np.ascontiguousarray(pixels[None])}
        if self._orig_size:
            feed[self._orig_size] = np.array([[rgb.shape[1], rgb.shape[0]]], dtype=np.int64)
        return feed, scale

    def _detections(self, found: Candidates, shape: tuple[int, int], scale: np.ndarray) -> list[Detection]:
        height, width = shape
        boxes = found.boxes / np.tile(scale, 2) * np.array([width, height, width, height])
        boxes = np.clip(boxes, 0.0, np.array([width, height, width, height], dtype=np.float64))
        good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] - boxes[:, :2] >= 1.0).all(axis=1)
        order = np.flatnonzero(good)[np.argsort(-found.scores[good], kind="stable")]
        if not self.layout.suppressed:
            order = order[suppress(boxes[order], found.scores[order], found.classes[order], self._options.overlap)]
        detections = []
        for k in order:
            if label := self._label(int(found.classes[k])):
                mask = _mask(found, int(k), boxes[k], scale, shape)
                detections.append(Detection(label, float(np.clip(found.scores[k], 0.0, 1.0)), boxes[k], mask))
        return detections

    def _label(self, number: int) -> str:
        k, names = number - self.layout.first, self.names or ()
        if not 0 <= k < len(names):
            raise PerceptionError(f"the detector gives class {number}, of {len(names)} names; give detector.classes")
        return names[k]


def _names(classes: str, metadata: dict[str, str], layout: Layout, path: str) -> tuple[str, ...]:
    count = layout.classes
    if count is None and layout.first and not classes and "names" not in metadata:
        count = 90  # TensorFlow's models count COCO's ids
    return class_names(classes, metadata, count, path)


def _session(path: str, options: OnnxOptions) -> Any:
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file; give an ONNX file of a detector")
    try:
        import onnxruntime as ort
    except ImportError:
        raise InputError("perception 'detector' needs onnxruntime: pip install 'onnxruntime>=1.17,<2'") from None
    wanted = _PROVIDERS[options.provider]
    if wanted[0] not in ort.get_available_providers():
        raise InputError(
            f"detector.provider = {options.provider}: this onnxruntime has no {wanted[0]}; "
            "install onnxruntime-gpu, or give cpu"
        )
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = options.threads, 1
    settings.log_severity_level = 3
    try:
        return ort.InferenceSession(path, settings, providers=list(wanted))
    except Exception as error:  # onnxruntime's own exceptions have no common base
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: is no ONNX file that onnxruntime can run ({reason}); export it again") from None


def _inputs(session: Any, path: str) -> tuple[Any, str]:
    """The input for the image, and the name of the one for the image's size; "" without one."""
    inputs = session.get_inputs()
    images = [i for i in inputs if len(i.shape) == 4]
    sizes = [i.name for i in inputs if "size" in i.name.lower() and len(i.shape) == 2]
    if len(images) != 1 or len(inputs) != 1 + len(sizes) or len(sizes) > 1:
        listed = ", ".join(f"{i.name} {'x'.join(map(str, i.shape))}" for i in inputs)
        raise InputError(f"{path}: takes {listed}; give a detector that takes one image")
    return images[0], next(iter(sizes), "")


def _image_size(shape: list[Any], path: str) -> tuple[bool, tuple[int, int]]:
    """Whether channels come last, and width and height of the input (px)."""
    last = shape[3] == 3
    if not last and shape[1] not in (3, "3") and isinstance(shape[1], int):
        raise InputError(f"{path}: takes images of {shape[1]} channels; give a detector for RGB")
    height, width = shape[1:3] if last else shape[2:4]
    return last, tuple(d if isinstance(d, int) and d > 0 else _EDGE for d in (width, height))  # type: ignore[return-value]


def _mask(found: Candidates, k: int, box: np.ndarray, scale: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """HxW bool of a candidate: its mix of the prototypes, inside its box; None without masks."""
    import cv2

    if found.coefficients is None or found.prototypes is None:
        return None
    logits = np.tensordot(found.coefficients[k], found.prototypes, axes=1).astype(np.float32)
    h, w = (max(1, round(n * float(s))) for n, s in zip(logits.shape, scale[::-1], strict=True))
    full = cv2.resize(logits[:h, :w], (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) > 0.0
    inside = np.zeros(shape, bool)
    u0, v0, u1, v1 = np.round(box).astype(int)
    inside[v0:v1, u0:u1] = True
    return full & inside
