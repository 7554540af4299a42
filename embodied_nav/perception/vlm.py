"""Perception by a vision-language model in this process. Knows nothing of the model itself."""

from __future__ import annotations

from .backend import PerceptionError, Usage
from .describing import DescribingPerception, Request
from .local_vlm import LocalVlm, VlmConfig, look_at
from .prompting import load_prompts


class VlmPerception(DescribingPerception):
    """Asks a model of transformers about each keyframe; see :class:`DescribingPerception`."""

    name = "vlm"

    def __init__(self, config: VlmConfig | None = None) -> None:
        """
        Raises:
            InputError: the model cannot be loaded, or a prompt cannot be used.
        """
        config = config or VlmConfig()
        super().__init__(config)
        self._model = LocalVlm(config)

    @staticmethod
    def check(config: VlmConfig | None) -> None:
        """Looks at all that the model needs but its weights, in seconds.

        Raises:
            InputError: torch or transformers are missing, or there is no model, or it is of another kind.
        """
        look_at(config or VlmConfig())
        load_prompts((config or VlmConfig()).prompts)

    @property
    def usage(self) -> Usage:
        """Calls and tokens since the start."""
        return self._model.usage

    def ask(self, request: Request) -> str:
        """The model's answer; see :meth:`LocalVlm.ask`.

        Raises:
            PerceptionError: there is none, or only a part of one.
        """
        text = self._model.ask(request)
        if self._model.is_cut:
            config = self._model.config
            raise PerceptionError(
                f"vlm {config.model}: its answer was cut after {config.max_tokens} tokens; raise vlm.max_tokens"
            )
        return text
