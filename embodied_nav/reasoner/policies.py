"""Policies that choose among options: rules, nearest frontier, random. Knows no pixels, paths and velocities.

Every policy answers in text, ``<think>...</think><answer>B</answer>``; the navigator parses the answer with
:func:`prompt.parse_answer` and so treats all of them alike.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..config import Config, param
from ..registry import Registry
from ..rooms.priors import fingerprint
from ..tables import REASONERS
from .options import Context
from .prompt import format_answer
from .targets import SURE
from .worth import RulesConfig, worth


@runtime_checkable
class Policy(Protocol):
    """Chooses the next move."""

    #: Names the policy in decisions and reports.
    name: str
    #: Whether it reads the semantic deltas.
    reads: bool

    def answer(self, context: Context) -> str:
        """The answer as text; if it is none, that is counted and the rules decide."""


class RulesPolicy:
    """Goes to the target once it is known, else to where it is most likely per metre driven (:mod:`.worth`)."""

    name, reads = "rules", False

    def __init__(self, config: RulesConfig | None = None) -> None:
        self.config = config or RulesConfig()

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with the weights and with the priors of rooms: frozen rules keep it."""
        numbers = [self.config.to_mapping(), fingerprint()]
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:12]

    def answer(self, context: Context) -> str:
        """The rules' choice with its reason."""
        chosen, why = _certain(context) or self._explore(context) or _last_resort(context, self.config.doubtful)
        return format_answer(why, context.options[chosen].letter)

    def _explore(self, context: Context) -> tuple[int, str] | None:
        look = _first(context, "look_around")
        if look is not None and context.facts[look].gain >= self.config.look_gain:
            return look, "Part of the surroundings is hidden from view; turning costs no way."
        frontiers = [k for k, o in enumerate(context.options) if o.kind == "frontier"]
        if not frontiers:
            return (look, "Nothing is left to explore from here; I look once more.") if look is not None else None
        best = max(frontiers, key=lambda k: (worth(context.facts[k], self.config), -k))
        fact, option = context.facts[best], context.options[best]
        hint = "what was seen there fits the goal" if fact.affinity >= 0.3 else "most unknown floor for the way"
        return best, f"The {context.target.name} is not found yet. Option at {option.distance:.1f} m: {hint}."


class FrontierPolicy:
    """The baseline: goes to the nearest frontier until the target is seen; stops as the rules do."""

    name, reads = "frontier", False

    def answer(self, context: Context) -> str:
        """The target if known, else the nearest frontier."""
        chosen, why = _certain(context) or self._nearest(context) or _last_resort(context, 0.25)
        return format_answer(why, context.options[chosen].letter)

    def _nearest(self, context: Context) -> tuple[int, str] | None:
        look = _first(context, "look_around")
        if look is not None and context.seed == 0:
            return look, "I look around first."
        frontiers = [k for k, o in enumerate(context.options) if o.kind == "frontier"]
        if not frontiers:
            return None
        return min(frontiers, key=lambda k: (context.facts[k].cost, k)), "The nearest frontier."


@dataclass(frozen=True)
class RandomConfig(Config):
    """Settings of the random policy."""

    seed: int = param(0, "what the choices are drawn from", low=0, high=2**31 - 1)


class RandomPolicy:
    """Any option with equal probability; the same state and seed give the same choice."""

    name, reads = "random", False

    def __init__(self, config: RandomConfig | None = None) -> None:
        self._seed = (config or RandomConfig()).seed

    def answer(self, context: Context) -> str:
        """An option drawn by the decision's number."""
        draw = random.Random(f"{self._seed}/{context.instruction.text}/{context.seed}")
        return format_answer("By chance.", draw.choice(context.options).letter)


#: The table of policies. A new one is a line in ``tables.py``.
POLICIES: Registry[Policy] = REASONERS


def create(name: str, settings: Config | None = None) -> Policy:
    """The policy of a name.

    Args:
        settings: of the class that :data:`POLICIES` names for it; None takes the defaults.

    Raises:
        InputError: unknown name, or settings of another policy.
    """
    return POLICIES.create(name, settings=settings)


def _first(context: Context, kind: str) -> int | None:
    return next((k for k, o in enumerate(context.options) if o.kind == kind), None)


def _certain(context: Context) -> tuple[int, str] | None:
    """Stops at the target, or goes to it if it is known; else None."""
    stop = len(context.options) - 1
    if context.facts[stop].arrived >= SURE:
        return stop, f"I am at the {context.target.name}: {context.options[stop].text}."
    sure = [k for k, o in enumerate(context.options) if o.kind == "object" and context.facts[k].match >= SURE]
    if sure:
        # Cost over squared match: a better match outweighs a longer way.
        best = min(sure, key=lambda k: ((context.facts[k].cost + 1.0) / context.facts[k].match ** 2, k))
        return best, f"I remember what I look for: {context.options[best].text}."
    return None


def _last_resort(context: Context, doubtful: float) -> tuple[int, str]:
    """The best doubtful match, else STOP."""
    stop = len(context.options) - 1
    if context.facts[stop].arrived >= doubtful:
        return stop, f"Nothing better is left: {context.options[stop].text}."
    weak = [k for k, o in enumerate(context.options) if o.kind == "object" and context.facts[k].match >= doubtful]
    if weak:
        best = max(weak, key=lambda k: (context.facts[k].match, -k))
        return best, f"Nothing is left to explore; the best guess: {context.options[best].text}."
    return stop, "Nothing is left to explore and nothing known fits; I stop."
