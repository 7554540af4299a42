"""2D detectors behind one interface: an image in, labelled boxes or masks out. Know nothing of depth and of the map."""

from __future__ import annotations

from .detection import Detection, Detector
from .onnx_detector import OnnxDetector, OnnxOptions

__all__ = ["Detection", "Detector", "OnnxDetector", "OnnxOptions"]
