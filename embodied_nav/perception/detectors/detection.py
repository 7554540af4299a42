"""What a detector gives, and the interface of all detectors. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, eq=False)
class Detection:
    """One thing that a detector found in an image.

    Attributes:
        label: category, in the vocabulary's words where it has one.
        score: 0 to 1.
        box: (4,) float64, u0, v0, u1, v1 in pixels, inside the image.
        mask: HxW bool of the image's size, or None where the model gives no masks.
    """

    label: str
    score: float
    box: np.ndarray
    mask: np.ndarray | None = None


@runtime_checkable
class Detector(Protocol):
    """An image in, detections out, the surest first.

    Attributes:
        names: what it can name, "" for a class that never counts; None with open vocabulary.
    """

    names: tuple[str, ...] | None

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """What an HxWx3 uint8 RGB image shows.

        Raises:
            PerceptionError: this image cannot be processed.
        """


@runtime_checkable
class OpenVocabulary(Protocol):
    """A detector that finds what it is told to look for."""

    def look_for(self, words: Collection[str]) -> None:
        """Looks for these things, too, from now on."""
