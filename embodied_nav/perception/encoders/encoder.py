"""The protocol of image encoders, how one is chosen, and the text tower of those that have one. Knows no encoder."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from ...config import Config, param
from ...frames import RGBDFrame
from ...tables import ENCODERS
from ..backend import PerceptionError

#: Texts whose embeddings are kept.
_KEPT_TEXTS = 256


@dataclass(frozen=True)
class EncoderChoice(Config):
    """Which image encoder gives the memory its features."""

    encoder: str = param("none", "makes image features for the memory's voxels, beside any back end; or none")

    def __post_init__(self) -> None:
        """Checks the name against the table, to which encoders may be added at any time."""
        super().__post_init__()
        if self.encoder != "none":
            ENCODERS.check(self.encoder, "perception.encoder")


class TextTower:
    """Embeddings of texts in the space of an encoder's image features; threads may share one.

    Args:
        embed: text -> (D,) float32; may be slow.
    """

    def __init__(self, embed: Callable[[str], np.ndarray]) -> None:
        self._embed = embed
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> np.ndarray:
        """(D,) float32 of unit length; that of a text asked for before is kept."""
        with self._lock:
            found = self._kept.get(text)
            if found is None:
                found = self._kept[text] = unit(np.asarray(self._embed(text), np.float32).reshape(-1))
                if len(self._kept) > _KEPT_TEXTS:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(text)
            return found

    def prepare(self, texts: Iterable[str]) -> None:
        """Makes embeddings ahead, for whoever may not wait when asking."""
        for text in texts:
            self(text)


@runtime_checkable
class Encoder(Protocol):
    """An image encoder. Making one reads its settings and its model's config; weights are loaded by :meth:`load`."""

    #: Whether it has a text tower.
    knows_words: ClassVar[bool]

    @property
    def name(self) -> str:
        """What made the features, as the memory file says: the table's name and the model's, ``dino:some/folder``."""

    @property
    def dim(self) -> int:
        """Components of a feature."""

    def load(self) -> None:
        """Loads the image part's weights; again is no work.

        Raises:
            InputError: they cannot be loaded.
        """

    def encode(self, frame: RGBDFrame) -> np.ndarray:
        """(h, w, dim) float32, a grid of features over the whole image, each of unit length.

        Raises:
            PerceptionError: this frame cannot be encoded (no colour, memory).
        """

    def text_tower(self) -> TextTower | None:
        """Embeds texts in the space of the features; loads the text part's weights. None where the model has none.

        Raises:
            InputError: they cannot be loaded.
        """


def unit(values: np.ndarray) -> np.ndarray:
    """Float32 vectors (...xD) of unit length; zeros stay zeros."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return (values / np.maximum(length, 1e-12)).astype(np.float32)


def check_grid(grid: object, dim: int) -> np.ndarray:
    """An encoder's answer as (h, w, dim) float32.

    Raises:
        PerceptionError: it is of another shape, empty, or not finite.
    """
    array = np.asarray(grid, np.float32)
    if array.ndim != 3 or array.shape[2] != dim or not array.size:
        raise PerceptionError(f"the encoder gave features of shape {array.shape} instead of (rows, columns, {dim})")
    if not np.isfinite(array).all():
        raise PerceptionError("the encoder gave features that are not finite")
    return array


def color_of(frame: RGBDFrame) -> np.ndarray:
    """A frame's HxWx3 uint8 colour.

    Raises:
        PerceptionError: it has none.
    """
    if frame.color is None:
        raise PerceptionError(f"the frame at {frame.stamp} ns has no colour to encode")
    return frame.color
