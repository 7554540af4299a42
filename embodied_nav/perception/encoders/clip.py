"""``clip``: patch features of CLIP, SigLIP and SigLIP2 in the space of their text towers.

These models are trained to match a text with a whole picture. A patch gets into the text's space when the step that
gathers the picture sees that patch alone: in CLIP the last layer, in which then each patch attends only to itself
(MaskCLIP, Zhou et al. 2022), in SigLIP the pooling head over a picture of that one patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .encoder import TextTower
from .images import patch_rows
from .loading import EncoderConfig, ModelSource
from .vision import VisionEncoder, size_of

if TYPE_CHECKING:
    import torch

#: Kinds of models (model_type of config.json). SigLIP2 in a fixed size is a "siglip".
KINDS = ("clip", "siglip", "siglip2")
#: A picture's caption, as these models saw in training, of what is asked for.
CAPTION = "a photo of {}"
#: SigLIP was trained on texts padded to this many tokens.
_TOKENS = 64


class ClipEncoder(VisionEncoder):
    """Patches that can be compared with texts."""

    knows_words = True

    def __init__(self, settings: EncoderConfig | None = None) -> None:
        """
        Raises:
            InputError: see :class:`~.loading.ModelSource`.
        """
        settings = settings or EncoderConfig()
        source = ModelSource(settings, "clip", KINDS)
        vision = source.config.vision_config
        where = (source.config, "projection_dim") if source.kind == "clip" else (vision, "hidden_size")
        super().__init__(source, "clip", size_of(*where, settings.model), size_of(vision, "patch_size", settings.model))

    def text_tower(self) -> TextTower:
        """The model's text part, loaded without its image part."""
        tokenizer, model = self._source.tokenizer(), self._source.model()
        model.vision_model = None
        return TextTower(lambda text: self._embedded(model, tokenizer, text))

    def image_part(self, model: Any) -> Any:
        """The model without its text part."""
        model.text_model = None
        return model

    def patches(self, model: Any, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """(rows * columns) x dim; see :class:`~.vision.VisionEncoder`."""
        vision = model.vision_model
        if self._source.kind == "clip":
            return model.visual_projection(_clip_patches(vision, pixels))
        if self._source.kind == "siglip":
            tokens = vision(pixels, interpolate_pos_encoding=True).last_hidden_state[0]
        else:
            tokens = _naflex_tokens(vision, pixels, rows, columns, self._patch)
        return vision.head(tokens[:, None])

    def _embedded(self, model: Any, tokenizer: Any, text: str) -> np.ndarray:
        """(dim,) float32 of a text."""
        import torch

        clip = self._source.kind == "clip"
        longest = int(self._source.config.text_config.max_position_embeddings)
        size = longest if clip else min(longest, _TOKENS)
        tokens = tokenizer(
            CAPTION.format(text.lower()),
            padding=False if clip else "max_length",
            truncation=True,
            max_length=size,
            return_tensors="pt",
        )
        device = next(model.parameters()).device
        # SigLIP has no attention mask: it was trained to look at the padding, too.
        names = ("input_ids", "attention_mask") if clip else ("input_ids",)
        with torch.inference_mode():
            found = model.get_text_features(**{name: tokens[name].to(device) for name in names})
        return getattr(found, "pooler_output", found)[0].float().cpu().numpy()


def _clip_patches(vision: Any, pixels: torch.Tensor) -> torch.Tensor:
    """N x hidden: patches after a last layer in which each attends only to itself, and the final norm."""
    found = vision(pixels, interpolate_pos_encoding=True, output_hidden_states=True)
    layer, tokens = vision.encoder.layers[-1], found.hidden_states[-2][:, 1:]
    attention = layer.self_attn
    tokens = tokens + attention.out_proj(attention.v_proj(layer.layer_norm1(tokens)))
    tokens = tokens + layer.mlp(layer.layer_norm2(tokens))
    return vision.post_layernorm(tokens)[0]


def _naflex_tokens(vision: Any, pixels: torch.Tensor, rows: int, columns: int, patch: int) -> torch.Tensor:
    """N x hidden of a SigLIP2 that takes pictures of any shape, as rows of patches."""
    import torch

    flat = patch_rows(pixels[0].float().cpu().numpy(), patch)
    given = torch.from_numpy(np.ascontiguousarray(flat))[None].to(pixels.device, pixels.dtype)
    mask = torch.ones(given.shape[:2], dtype=torch.int64, device=pixels.device)
    shape = torch.tensor([[rows, columns]], device=pixels.device)
    return vision(given, mask, shape).last_hidden_state[0]
