"""Shape of the small language model. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ...config import Config, param
from ...errors import InputError


@dataclass(frozen=True)
class SmallLMConfig(Config):
    """Shape of the network; the size of the vocabulary comes from the tokenizer."""

    width: int = param(128, "width of the residual stream", low=8, high=4096)
    layers: int = param(6, "transformer blocks", low=1, high=64)
    heads: int = param(4, "query heads; all share one head of keys and values", low=1, high=64)
    hidden: int = param(384, "width inside of the feed-forward parts", low=8, high=16384)
    local: int = param(3, "words before each word that its embedding takes in", low=0, high=16)
    context: int = param(768, "most tokens of a prompt and its answer together", low=16, high=8192)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (2 * self.heads):
            raise InputError(f"width {self.width} is no multiple of twice the {self.heads} heads")

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.width // self.heads
