"""The protocol of perception back ends, their shared settings and their error. Knows nothing of any back end.

A back end gets the previous and the current keyframe and the instruction, and returns a ``SemanticDelta`` with the
changes in words and fields (Embodied-R, sec. 3.2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..config import Config, param
from ..frames import Keyframe, SemanticDelta
from ..language.vocabulary import canonical


class PerceptionError(RuntimeError):
    """A back end cannot process this keyframe (no depth, model down, invalid answer); the next one may succeed."""


@dataclass(frozen=True)
class PerceptionConfig(Config):
    """Settings of reading depth and detecting changes, shared by all back ends that do so."""

    min_pixels: int = param(60, "pixels an object must have in an image 320 wide", unit="px", low=1, high=100000)
    min_depth: float = param(0.1, "nearest depth that is used", unit="m", low=0.0, high=5.0)
    max_depth: float = param(5.0, "farthest depth that is used", unit="m", low=0.5, high=50.0)
    moved_distance: float = param(0.3, "shift from which an object counts as moved", unit="m", low=0.05, high=5.0)
    gone_margin: float = param(0.15, "how far behind an object's place depth must lie", unit="m", low=0.02, high=2.0)


@runtime_checkable
class KnowsInstances(Protocol):
    """A back end that reads the simulator's instance image and needs the meaning of its ids."""

    def set_instances(self, instances: Mapping[int, tuple[str, str]]) -> None:
        """Sets the meaning of the ids: ``{id: (category, colour)}``."""


@dataclass
class Usage:
    """What a back end that asks a model has used since the start.

    Attributes:
        calls: requests sent, retries included.
        prompt_tokens, answer_tokens: as the model counts them.
        cost: by the prices in its settings.
    """

    calls: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return self.prompt_tokens + self.answer_tokens


@runtime_checkable
class CountsUsage(Protocol):
    """A back end that counts what it uses."""

    @property
    def usage(self) -> Usage:
        """Since the start."""


@runtime_checkable
class NamesCategories(Protocol):
    """A back end that can name some categories only."""

    @property
    def categories(self) -> Collection[str] | None:
        """Their names; empty: none; None: any."""


def categories_of(backend: object) -> frozenset[str] | None:
    """What a back end can name, in the vocabulary's words; None for anything, as with one that does not say."""
    names = backend.categories if isinstance(backend, NamesCategories) else None
    return None if names is None else frozenset(canonical(name) for name in names if name)


@runtime_checkable
class TellsFacts(Protocol):
    """A back end with something to say in diagnostics."""

    def facts(self) -> dict[str, str]:
        """Name -> what is so now."""


@runtime_checkable
class MergesSkipped(Protocol):
    """A back end that compares a keyframe with the last one it was asked about, whatever was in between."""

    def skip(self, keyframe: Keyframe) -> None:
        """Notes a keyframe that it will not be asked about. May be called from any thread."""


@runtime_checkable
class PerceptionBackend(Protocol):
    """A back end: a pair of keyframes in, the changes out."""

    @property
    def name(self) -> str:
        """Name of the back end in reports."""

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Describes the current keyframe and its changes since the previous one (None for the first).

        Raises:
            PerceptionError: this keyframe cannot be processed.
        """
