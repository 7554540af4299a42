"""Which of several things is meant: the nearest, the biggest, the second on the left, the other one. Knows no paths.

Decided is only what was looked at enough: the nearest once no unseen floor is nearer, all others once all that can be
reached is explored. Until then candidates are held back; once decided, one stays chosen as long as it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..language import Target
from .targets import SURE, Candidate, middle_of

#: Score of a candidate that is held back: too low to be offered.
HELD = 0.2
#: m; unseen floor counts as nearer than a thing only if it is by so much.
_MARGIN = 0.5


@dataclass
class Progress:
    """What happened so far that decides which thing is meant.

    Attributes:
        start: (x, y) m in map and heading (rad) where the instruction began; None before the first update.
        begin, now: the same where the present goal began, and now.
        explored: whether nothing reachable is left to explore.
        visited: keys of the candidates that earlier goals stopped at or passed.
        chosen: key of the candidate that was decided on, None before.
        at: key of the candidate that the robot arrived at.
        skipped: what was skipped, and why.
    """

    start: tuple[float, float, float] | None = None
    begin: tuple[float, float, float] | None = None
    now: tuple[float, float, float] | None = None
    explored: bool = False
    visited: set[int] = field(default_factory=set)
    chosen: int | None = None
    at: int | None = None
    skipped: list[str] = field(default_factory=list)

    def here(self, xy: tuple[float, float], yaw: float) -> None:
        """Takes the robot's present pose."""
        self.now = (*xy, yaw)
        self.start = self.start or self.now
        self.begin = self.begin or self.now

    def origin(self, target: Target) -> tuple[float, float, float] | None:
        """From where a target is counted: numbers and sides from where the instruction began, else from here on."""
        return self.start if target.ordinal or target.side else self.begin

    def fork(self) -> Progress:
        """The same, to go on from independently."""
        return replace(self, visited=set(self.visited), skipped=list(self.skipped))

    def next_goal(self) -> None:
        """The present goal is done; the next one begins here."""
        if self.at is not None:
            self.visited.add(self.at)
        self.begin, self.chosen, self.at, self.explored = self.now, None, None, False


def chosen_among(
    target: Target,
    fit: Sequence[Candidate],
    progress: Progress,
    distance: Callable[[Candidate], float],
    unseen: Callable[[], float],
) -> list[Candidate]:
    """The candidates of which one is meant, the others held back.

    Args:
        target: of the present goal.
        fit: its candidates, best first.
        progress: where the goal began and what was visited; takes what is decided.
        distance: m to drive from :meth:`Progress.origin`.
        unseen: m to drive from there to the nearest unseen floor, inf where there is none.
    """
    if target.rank == "other":
        fit = [c for c in fit if c.key not in progress.visited]
    if target.side in ("left", "right"):
        fit = [c for c in fit if _is_on(target.side, _bearing(target, c, progress))]
    ranked = target.rank if target.rank != "other" else ""
    if not (ranked or target.ordinal or target.side):
        return list(fit)
    sure = [c for c in fit if c.score >= SURE]
    if progress.chosen is not None and any(c.key == progress.chosen for c in sure):
        return [c if c.key == progress.chosen else _held(c) for c in fit]
    progress.chosen = None
    rank = max(target.ordinal, 1)
    if len(sure) >= rank:
        order, by_distance = _order(target, sure, progress, distance)
        best = order[rank - 1]
        reach = distance(best) - _MARGIN
        if progress.explored or (by_distance and math.isfinite(reach) and unseen() >= reach):
            progress.chosen = best.key
            why = f"the {target.name} of {len(sure)} found" if len(sure) > 1 else "the only one found"
            note = f"{best.note}, {why}" if best.note else why
            return [replace(best, note=note), *(_held(c) for c in fit if c.key != best.key)]
    return [_held(c) for c in fit]


def _held(c: Candidate) -> Candidate:
    return replace(c, score=min(c.score, HELD))


def _order(
    target: Target, sure: Sequence[Candidate], progress: Progress, distance: Callable[[Candidate], float]
) -> tuple[list[Candidate], bool]:
    """Candidates in the order that is asked for, and whether that is the order of their distance."""
    if target.rank in ("biggest", "smallest"):
        sign = -1.0 if target.rank == "biggest" else 1.0
        return sorted(sure, key=lambda c: (sign * _size(c), c.key)), False
    if target.side.startswith("from "):
        sign = -1.0 if target.side == "from left" else 1.0
        return sorted(sure, key=lambda c: (sign * _bearing(target, c, progress), c.key)), False
    away = target.rank in ("farthest", "last")
    sign = -1.0 if away else 1.0
    return sorted(sure, key=lambda c: (sign * distance(c), c.key)), not away


def _size(c: Candidate) -> float:
    """m^2 of a room, m^3 of a thing's box, 0 of a place."""
    if c.room is not None:
        return c.room.area
    return 0.0 if c.object is None else float(np.prod(c.object.extent))


def _bearing(target: Target, c: Candidate, progress: Progress) -> float:
    """rad, left positive, from where the target is counted."""
    origin = progress.origin(target)
    assert origin is not None  # the robot's pose comes first
    x, y, yaw = origin
    middle = middle_of(c)
    return math.remainder(math.atan2(middle[1] - y, middle[0] - x) - yaw, 2.0 * math.pi)


def _is_on(side: str, bearing: float) -> bool:
    return bearing > 0.0 if side == "left" else bearing < 0.0
