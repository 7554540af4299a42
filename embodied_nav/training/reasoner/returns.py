"""What every option of a state is worth: rolled out in hidden worlds with a follow-up policy. Knows no networks.

The observable state explains little of the variance of an option's return, so returns are averaged over worlds that
agree with what was seen, and compared with those of the state's other options in the same worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...reasoner import Context, Policy
from ...reasoner.prompt import format_answer
from .explorer import TIME_LIMIT, Explorer, State, World


@dataclass(frozen=True, eq=False)
class OptionReturns:
    """Returns of a state's K options in W worlds, each K x W float64, counted from the state on.

    Attributes:
        success: 0 or 1. spl: success weighted by path length, 0 to 1, against the shortest path from the state.
        soft_spl: the same with the share of the way that was covered instead of success.
        progress: m that the robot came nearer to the goal. time: s until the end. path: m driven.
    """

    success: np.ndarray
    spl: np.ndarray
    soft_spl: np.ndarray
    progress: np.ndarray
    time: np.ndarray
    path: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """K, mean SPL over the worlds."""
        return np.asarray(self.spl.mean(axis=1))

    @property
    def advantage(self) -> np.ndarray:
        """K, the values minus their mean."""
        return self.value - float(self.value.mean())

    @property
    def spread(self) -> float:
        """Greatest value minus least: 0 where the choice does not matter."""
        return float(np.ptp(self.value))


def option_returns(
    state: State, worlds: Sequence[World], follow_up: Policy, time_limit: float = TIME_LIMIT
) -> OptionReturns:
    """Takes each option in each world and goes on with a policy until STOP or the time limit.

    Args:
        state: of :meth:`Explorer.states`.
        worlds: that agree with what was seen, as :meth:`HiddenWorlds.draw` gives them.
        follow_up: makes all further decisions.
        time_limit: s since the start of the episode.
    """
    count = len(state.context.options)
    names = ("success", "spl", "soft_spl", "progress", "time", "path")
    table = {name: np.zeros((count, len(worlds))) for name in names}
    for k in range(count):
        chosen = state.before.fork()
        chosen.navigator.policy = _Chosen(state.context.options[k].letter, follow_up)
        chosen.decide()
        for w, world in enumerate(worlds):
            result = _rolled_out(chosen, world, follow_up, time_limit)
            for name, value in zip(names, result, strict=True):
                table[name][k, w] = value
    return OptionReturns(**table)


def _rolled_out(start: Explorer, world: World, follow_up: Policy, time_limit: float) -> tuple[float, ...]:
    """Success, SPL, SoftSPL, progress, time and path of going on from a state."""
    x, y = (float(v) for v in start.pose[:2])
    length = world.region.distance(x, y, start.passed)
    explorer = start.fork(world)
    began, driven = explorer.stamp, explorer.driven
    explorer.move()
    row = explorer.run(follow_up, time_limit)
    path = explorer.driven - driven
    left = row.distance_to_goal if np.isfinite(row.distance_to_goal) else length
    # At the goal already, any way is too long.
    ratio = length / max(length, path) if length > 0.0 else float(path <= 0.0)
    covered = max(0.0, 1.0 - left / length) if length > 0.0 else float(left <= 0.0)
    success = float(row.success)
    return success, success * ratio, covered * ratio, length - left, (explorer.stamp - began) * 1e-9, path


@dataclass
class _Chosen:
    """Gives one letter once, then asks another policy."""

    letter: str
    policy: Policy

    def __post_init__(self) -> None:
        self.name, self.reads = self.policy.name, self.policy.reads

    def answer(self, context: Context) -> str:
        if self.letter:
            letter, self.letter = self.letter, ""
            return format_answer("", letter)
        return self.policy.answer(context)
