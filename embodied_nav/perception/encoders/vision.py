"""What the encoders of transformers share: a picture into the model, patches out of it. Knows no kind of model."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...frames import RGBDFrame
from ..backend import PerceptionError
from .encoder import TextTower, color_of, unit
from .images import grid_shape, normalised
from .loading import ModelSource

if TYPE_CHECKING:
    import torch


class VisionEncoder(abc.ABC):
    """An encoder over a model of transformers; a subclass says how patches come out of it.

    Attributes:
        name, dim: see :class:`~.encoder.Encoder`.
    """

    knows_words = False

    def __init__(self, source: ModelSource, entry: str, dim: int, patch: int) -> None:
        self.name = f"{entry}:{source.settings.model}"
        self.dim = dim
        self._source, self._patch = source, patch
        self._model: Any = None

    def load(self) -> None:
        """Loads the image part's weights."""
        if self._model is None:
            self._mean, self._std = self._source.normalisation()
            self._model = self.image_part(self._source.model())

    def encode(self, frame: RGBDFrame) -> np.ndarray:
        """(h, w, dim) float32 over the whole image, each of unit length; see :class:`~.encoder.Encoder`."""
        import torch

        self.load()
        color, patch = color_of(frame), self._patch
        rows, columns = grid_shape(color.shape[1], color.shape[0], patch, self._source.settings.image_size)
        image = normalised(color, rows, columns, patch, self._mean, self._std)
        some = next(self._model.parameters())
        try:
            with torch.inference_mode():
                pixels = torch.from_numpy(image)[None].to(some.device, some.dtype)
                found = self.patches(self._model, pixels, rows, columns)
                array = found.float().cpu().numpy()
        except (RuntimeError, ValueError) as error:  # torch.OutOfMemoryError is a RuntimeError, too
            raise PerceptionError(f"encoder {self.name}: {' '.join(str(error).split())[:200]}") from None
        return unit(array.reshape(rows, columns, self.dim))

    def text_tower(self) -> TextTower | None:
        """None: a model for images alone."""
        return None

    def image_part(self, model: Any) -> Any:
        """What of a whole model is needed for images."""
        return model

    @abc.abstractmethod
    def patches(self, model: Any, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """(rows * columns) x dim features of 1x3xHxW normalised pixels."""


def size_of(config: Any, name: str, model: str) -> int:
    """A whole number above 0 of a model's config.

    Raises:
        InputError: the config has none.
    """
    value = getattr(config, name, None)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"encoder.model = {model}: its config.json has no {name}; get the folder again")
    return value
