"""2D detectors behind one interface: an image in, labelled boxes or masks out. Know nothing of depth and of the map."""

from __future__ import annotations

from .detection import Detection, Detector, OpenVocabulary
from .onnx_detector import OnnxDetector, OnnxOptions
from .transformers_detector import TransformersDetector, TransformersOptions, is_transformers_model

__all__ = [
    "Detection",
    "Detector",
    "OnnxDetector",
    "OnnxOptions",
    "OpenVocabulary",
    "TransformersDetector",
    "TransformersOptions",
    "is_transformers_model",
]
