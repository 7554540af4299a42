"""``dino``: patch features of DINOv2 and DINOv3, which tell things apart but know no words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .loading import EncoderConfig, ModelSource
from .vision import VisionEncoder, size_of

if TYPE_CHECKING:
    import torch

#: Kinds of models (model_type of config.json).
KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit")


class DinoEncoder(VisionEncoder):
    """The last layer's patch tokens; class and register tokens, which stand before them, are left out."""

    def __init__(self, settings: EncoderConfig | None = None) -> None:
        """
        Raises:
            InputError: see :class:`~.loading.ModelSource`.
        """
        settings = settings or EncoderConfig()
        source = ModelSource(settings, "dino", KINDS)
        dim, patch = (size_of(source.config, name, settings.model) for name in ("hidden_size", "patch_size"))
        super().__init__(source, "dino", dim, patch)

    def patches(self, model: Any, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """(rows * columns) x dim; see :class:`~.vision.VisionEncoder`."""
        return model(pixel_values=pixels).last_hidden_state[0, -rows * columns :]
