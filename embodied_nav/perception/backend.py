"""What every perception back end is, its settings and its failure. Knows nothing of any back end.

A back end looks at the previous and the current keyframe with the instruction and gives a ``SemanticDelta`` in words
and fields (Embodied-R, sec. 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..config import Config, param
from ..frames import Keyframe, SemanticDelta


class PerceptionError(RuntimeError):
    """A back end cannot judge this keyframe (no depth, model down, nonsense); the next one may go well."""


@dataclass(frozen=True)
class PerceptionConfig(Config):
    """Settings that the back ends share."""

    min_pixels: int = param(60, "pixels an object must have in an image 320 wide", unit="px", low=1, high=100000)
    min_depth: float = param(0.1, "nearest depth that is used", unit="m", low=0.0, high=5.0)
    max_depth: float = param(5.0, "farthest depth that is used", unit="m", low=0.5, high=50.0)
    moved_distance: float = param(0.3, "shift from which an object counts as moved", unit="m", low=0.05, high=5.0)
    gone_margin: float = param(0.15, "how far behind an object's place depth must lie", unit="m", low=0.02, high=2.0)
    history: int = param(512, "objects remembered for what is new, gone and moved", low=1, high=100000)
    timeout: float = param(10.0, "time after which an answer is late", unit="s", low=0.05, high=600.0)
    retry_first: float = param(1.0, "wait after the first failure; doubles with each", unit="s", low=0.0, high=600.0)
    retry_longest: float = param(60.0, "longest wait between retries", unit="s", low=0.0, high=3600.0)
    wrong_labels: float = param(
        0.0, "share of the detections of 'simulator' that get another label of the scene", low=0.0, high=1.0
    )
    missed: float = param(0.0, "share of the detections that 'simulator' leaves out", low=0.0, high=1.0)
    noise_seed: int = param(0, "what wrong and missed detections are drawn from", low=0, high=2**31 - 1)


@runtime_checkable
class PerceptionBackend(Protocol):
    """Image pair -> what changed."""

    #: Names the back end in reports.
    name: str

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """The current keyframe against the previous one (None for the first).

        Raises:
            PerceptionError: this keyframe cannot be judged.
        """
