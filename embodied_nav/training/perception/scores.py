"""Scores of labelled pixels. Knows nothing of networks."""

from __future__ import annotations

import numpy as np


class Confusion:
    """Counts of (true, predicted) labels.

    Args:
        count: labels are 0 to ``count`` - 1; 0 is none of the categories.
    """

    def __init__(self, count: int) -> None:
        self.counts = np.zeros((count, count), dtype=np.int64)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        """Counts two arrays of labels of one shape; true labels below 0 are left out."""
        known = true >= 0
        pairs = true[known].astype(np.int64) * len(self.counts) + predicted[known]
        self.counts += np.bincount(pairs.ravel(), minlength=self.counts.size).reshape(self.counts.shape)

    def iou(self) -> np.ndarray:
        """(count,) float64, intersection over union; NaN for labels that never came."""
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hit
        present = self.counts.sum(axis=1) > 0
        return np.where(present, hit / np.maximum(union, 1), np.nan)

    def mean_iou(self) -> float:
        """Mean over the categories that came, without label 0."""
        return float(np.nanmean(self.iou()[1:]))
