"""What a frontier is worth per metre, by weights tuned on the training apartments and frozen. Knows no policy.

``rules`` chooses by it, and every policy that reads text reads it beside the numbers it is made of: a small model need
not learn to multiply, and what it learns is when to decide otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, param
from .options import Context, Facts


@dataclass(frozen=True)
class RulesConfig(Config):
    """Weights of the rules policy, tuned on apartments 0 to 899."""

    base_interest: float = param(0.08, "interest of a frontier behind which nothing telling is", low=0.0, high=1.0)
    distance_offset: float = param(
        1.5, "added to distances, so that near ones do not win by a hair", unit="m", low=0.1, high=20.0
    )
    gain_power: float = param(1.0, "exponent of the unknown area behind a frontier", low=0.0, high=2.0)
    persistence: float = param(1.3, "worth of the frontier that it is on its way to is multiplied", low=1.0, high=5.0)
    look_gain: float = param(0.5, "least opening that is worth a look around", unit="m", low=0.0, high=10.0)
    doubtful: float = param(
        0.25, "least match that is worth a visit once nothing is left to explore", low=0.0, high=1.0
    )


def worth(facts: Facts, config: RulesConfig) -> float:
    """A frontier's worth: (base + affinity of what is near it to the target) x (unknown area)^p / (distance + offset),
    more for the one that the robot is on its way to."""
    value = (config.base_interest + facts.affinity) * max(facts.gain, 0.05) ** config.gain_power
    return value * (config.persistence if facts.current else 1.0) / (facts.cost + config.distance_offset)


def shares(context: Context) -> tuple[float, ...]:
    """Every option's worth as a share of the best frontier's, 0 to 1; 0 for what is no frontier."""
    frozen = RulesConfig()
    pairs = zip(context.options, context.facts, strict=True)
    worths = [worth(f, frozen) if o.kind == "frontier" else 0.0 for o, f in pairs]
    best = max(worths, default=0.0)
    return tuple(w / best if best > 0.0 else 0.0 for w in worths)
