"""A small causal language model over a closed vocabulary: decides in text, with reasoning, on one core.

Importing this package does not import torch; :mod:`.network` does. Source of the parts: README.md.
"""

from .config import SmallLMConfig
from .generation import Generation, SmallLM, State, shipped_weights
from .tokenizer import END, PAD, UNKNOWN, Tokenizer

__all__ = ["END", "PAD", "UNKNOWN", "Generation", "SmallLM", "SmallLMConfig", "State", "Tokenizer", "shipped_weights"]
