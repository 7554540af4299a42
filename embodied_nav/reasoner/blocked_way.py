"""Waits for a way to a known target: people stand in a door, or have passed through and were not looked at again.

While it waits the robot turns around, since obstacles are only taken out of the map where the camera looks. Knows no
policy and no path.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import numpy as np

from .navigator_config import NavigatorConfig
from .options import Context
from .targets import SURE, Candidate
from .view import NavigatorOutput, View

#: After so long (s) the ways are tried again; by so much (rad) the robot turns meanwhile: all around in three tries.
_AGAIN, _TURN = 4.0, 2.0 * math.pi / 3.0


class BlockedWay:
    """Says when to wait for a way instead of giving a known target up."""

    def __init__(self, config: NavigatorConfig) -> None:
        self._patience = config.way_patience
        self.clear()

    def clear(self) -> None:
        """Forgets all, as for a new goal."""
        self._reached: set[int] = set()
        self._until = 0  # ns
        self._heading = self._waited = 0.0

    def fork(self) -> BlockedWay:
        """A copy that goes on independently."""
        other = copy.copy(self)
        other._reached = set(self._reached)
        return other

    def reached(self, key: int) -> None:
        """The robot was at a candidate: that it is none has nothing to do with a way."""
        self._reached.add(key)

    def shift(self, nanoseconds: int) -> None:
        """The robot was halted for so long, or the clock was set."""
        self._until += nanoseconds

    def behind(self, candidates: Iterable[Candidate]) -> Candidate | None:
        """The best known target that was not reached, None where there is none."""
        return next((c for c in candidates if c.score >= SURE and c.key not in self._reached), None)

    def begins(self, context: Context, view: View) -> NavigatorOutput | None:
        """Begins to wait where nothing is left to do, a target is known, and patience lasts; else None."""
        over = all(o.kind == "stop" for o in context.options) and context.facts[-1].arrived <= 0.0
        if not over or self._waited >= self._patience or self.behind(view.candidates) is None:
            return None
        self._waited += _AGAIN
        self._until, self._heading = view.stamp + round(_AGAIN * 1e9), math.remainder(view.yaw + _TURN, 2.0 * math.pi)
        return self.output(view)

    def output(self, view: View) -> NavigatorOutput | None:
        """What to do while it waits; None when it does not."""
        if view.stamp >= self._until:
            return None
        reason = f"the way to the {view.target.name} is blocked: looking around"
        return NavigatorOutput(None, np.array([view.xy]), self._heading, "running", reason)
