"""The policy ``compact``: our own small language model over a closed vocabulary, in onnxruntime on one core.

It reads the same text as every policy that reads, reasons in the closed form of :mod:`.thought`, and answers in text.
Knows nothing of how the model was trained; imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..config import Config, param
from ..errors import InputError
from ..models.small_lm import SmallLM, State, shipped_weights
from .options import Context
from .prompt import format_answer
from .situation import VERSION, situation


@dataclass(frozen=True)
class CompactPolicyConfig(Config):
    """Settings of the policy ``compact``."""

    weights: str = param("", "exported ONNX file, its safetensors file beside it; empty: the package's", path=True)
    thinking: str = param(
        "auto", "always reasons before it answers; never; auto: where the answer without is less sure than certain",
        choices=("auto", "always", "never"),
    )  # fmt: skip
    certain: float = param(0.9, "probability of an answer from which auto does not reason", low=0.0, high=1.0)
    limit: int = param(64, "most words of a reasoning", low=4, high=512)


class CompactPolicy:
    """Decides by the small language model.

    Args:
        config: settings.

    Raises:
        InputError: there are no weights, or they are of another version of the situation's text.
    """

    name, reads = "compact", True

    def __init__(self, config: CompactPolicyConfig | None = None) -> None:
        self.config = config or CompactPolicyConfig()
        weights = self.config.weights or shipped_weights()
        if weights is None:
            raise InputError(
                "reasoner 'compact' has no weights here: make them by 'embodied-nav train reasoner' and give "
                "--set small_lm.weights=FILE.onnx, or take --agent rules"
            )
        self._model = _load(str(weights))
        version = self._model.about.get("situation")
        if version != str(VERSION):
            raise InputError(
                f"{weights}: was trained on version {version} of the situation's text, this is version {VERSION}; "
                "train it anew by 'embodied-nav train reasoner'"
            )

    def answer(self, context: Context) -> str:
        """The model's answer; "" where the situation is longer than it can read."""
        tokenizer, config = self._model.tokenizer, self.config
        ids = tokenizer.encode(situation(context) + "\n")
        if len(ids) + config.limit > self._model.config.context:
            return ""
        state = self._model.start(ids)
        letters = [tokenizer.number(option.letter) for option in context.options]
        if config.thinking != "always":
            text, sure = self._answered(state, "<think></think><answer>", letters)
            if config.thinking == "never" or sure >= config.certain:
                return text
        begun = tokenizer.encode("<think>")
        stop = tokenizer.number("</think>")
        thought, state = self._model.generate(state.after(begun), config.limit, stop=stop)
        words = [number for number in thought.ids if number != stop]
        return self._answered(state, "<answer>" if stop in thought.ids else "</think><answer>", letters, words)[0]

    def _answered(
        self, state: State, begun: str, letters: list[int], words: list[int] | None = None
    ) -> tuple[str, float]:
        """The whole answer's text and the probability of its letter among all words."""
        tokenizer = self._model.tokenizer
        found, _ = self._model.generate(state.after(tokenizer.encode(begun)), 1, allowed=letters)
        think = tokenizer.decode(words or [])
        letter, sure = tokenizer.words[found.ids[0]], math.exp(found.log_probabilities[0])
        return format_answer(think, letter), sure


@lru_cache(maxsize=2)
def _load(path: str) -> SmallLM:
    return SmallLM(Path(path))
