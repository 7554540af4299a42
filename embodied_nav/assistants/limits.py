"""How often an assistant may call: per minute, and at one time. A stop is never limited. Knows nothing of the tools."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import InputError

_MINUTE = 60.0
#: The tool that is never limited, and the one that has a limit of its own besides.
FREE, GOAL = "stop", "navigate"


class Limits:
    """Counts calls over the last minute, and those that run.

    Args:
        calls: of all tools but ``stop``, a minute. goals: of ``navigate``, a minute. at_once: calls that run at one
            time; ``stop`` is no part of them.
        clock: seconds, monotonic.

    Raises:
        InputError: a limit is not positive.
    """

    def __init__(
        self, calls: int = 30, goals: int = 6, at_once: int = 8, clock: Callable[[], float] = time.monotonic
    ) -> None:
        for name, value in (("calls", calls), ("goals", goals), ("at once", at_once)):
            if value < 1:
                raise InputError(f"{value} {name}: give a limit of at least 1")
        self._calls, self._goals, self._at_once, self._clock = calls, goals, at_once, clock
        self._called: deque[float] = deque()
        self._sent: deque[float] = deque()
        self._running = 0

    def refusal(self, tool: str) -> str:
        """Why a call is refused, "" where it is not. A call that is not refused counts."""
        if tool == FREE:
            return ""
        now = self._clock()
        if self._running >= self._at_once:
            return f"{self._running} calls are running: wait for their answers; stop is always answered"
        limited = [(self._called, self._calls, "calls")]
        limited += [(self._sent, self._goals, "goals")] * (tool == GOAL)
        for times, most, what in limited:
            while times and times[0] <= now - _MINUTE:
                times.popleft()
            if len(times) >= most:
                seconds = math.ceil(times[0] + _MINUTE - now)
                return f"too many {what}: at most {most} a minute, again in {seconds} s; stop is always answered"
        for times, _, _ in limited:
            times.append(now)
        return ""

    @contextmanager
    def running(self, tool: str) -> Iterator[None]:
        """For the time that a call runs."""
        self._running += tool != FREE
        try:
            yield
        finally:
            self._running -= tool != FREE
