"""Non-maximum suppression: of boxes of one class that overlap, only the surest stays. Knows nothing of models."""

from __future__ import annotations

import numpy as np


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (Nx4), u0, v0, u1, v1 each; N float64."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)
    return shared / np.maximum(np.prod(np.clip(box[2:] - box[:2], 0.0, None)) + areas - shared, 1e-12)


def suppress(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, most: float) -> np.ndarray:
    """Indices of the boxes that stay, the surest first.

    Args:
        boxes: Nx4, u0, v0, u1, v1. scores: N. classes: N int; boxes of different ones never suppress each other.
        most: intersection over union above which the less sure of two goes.
    """
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        first, left = int(left[0]), left[1:]
        kept.append(first)
        doubles = (classes[left] == classes[first]) & (overlaps(boxes[first], boxes[left]) > most)
        left = left[~doubles]
    return np.array(kept, dtype=np.int64)
