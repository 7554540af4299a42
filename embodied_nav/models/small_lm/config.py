"""Shape of the small language model. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ...config import Config, param
from ...errors import InputError

#: Words by which a place in the text is found again to copy what follows there: as many as an option's name has.
COPIED_AFTER = 6


@dataclass(frozen=True)
class SmallLMConfig(Config):
    """Shape of the network; the size of the vocabulary comes from the tokenizer."""

    width: int = param(128, "width of the residual stream", low=8, high=4096)
    layers: int = param(6, "transformer blocks", low=1, high=64)
    heads: int = param(4, "query heads; all share one head of keys and values", low=1, high=64)
    hidden: int = param(384, "width inside of the feed-forward parts", low=8, high=16384)
    local: int = param(3, "words before each word that its embedding takes in", low=0, high=16)
    copies: bool = param(True, "whether a word that followed the same words before is likelier to follow them again")
    context: int = param(768, "most tokens of a prompt and its answer together", low=16, high=8192)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (2 * self.heads):
            raise InputError(f"width {self.width} is no multiple of twice the {self.heads} heads")

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @property
    def before(self) -> int:
        """Words before a word that its own part of the network reads."""
        return max(self.local, COPIED_AFTER if self.copies else 0)

    @property
    def kept(self) -> int:
        """Layers of keys and values that are kept of every word: those of the blocks, and what copying needs."""
        return self.layers + (self.heads if self.copies else 0)
