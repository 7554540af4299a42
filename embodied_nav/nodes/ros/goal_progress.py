"""Whether the robot makes progress on a goal, and whether control halts it. Knows nothing of topics and of plans."""

from __future__ import annotations

import math

import numpy as np

from .standing import State

#: Motion (m) that counts as progress.
_STEP = 0.3
#: Shorter halts (ns) do not suspend decisions.
_BRIEF = 1_000_000_000


class GoalProgress:
    """Tracks the robot's motion and control's state for the current goal.

    Attributes:
        state: control's last state.
    """

    def __init__(self) -> None:
        self.state = State()
        self._halted_at: int | None = None
        self._newest = 0
        self.begin()

    def begin(self) -> None:
        """Starts a new goal: its time without progress begins at 0."""
        self._from: tuple[int, np.ndarray | None] | None = None
        if self._halted_at is not None:
            self._halted_at = self._newest

    def hear(self, state: State, now: int) -> int:
        """Takes in control's state at a time (ns).

        Returns:
            Duration (ns) of the halt that has just ended; else 0.
        """
        self.state, self._newest = state, now
        if state.halted:
            self._halted_at = now if self._halted_at is None else min(self._halted_at, now)
            return 0
        since, self._halted_at = self._halted_at, None
        return max(now - since, 0) if since is not None else 0

    @property
    def halted(self) -> bool:
        """Whether control has halted the robot for longer than a moment."""
        return self._halted_at is not None and self._newest - self._halted_at >= _BRIEF

    def waits(self, now: int, xy: np.ndarray | None) -> float:
        """Seconds since the last progress, or since the goal began; ``xy`` (m, in odom) is None where unknown."""
        begun, place = self._from or (now, xy)
        moved = place is not None and xy is not None and math.dist(place, xy) > _STEP
        if moved or now < begun or (place is None and xy is not None):
            begun, place = now, xy
        self._from = (begun, place)
        return (now - begun) * 1e-9
