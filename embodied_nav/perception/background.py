"""Asks a slow back end in a thread of its own, while geometry is there at once. Knows nothing of the back end.

The latest keyframe wins: one that comes while an answer is awaited takes the place of the one that waits, and the back
end is told of the one that was dropped (``MergesSkipped``), so that its next comparison spans it.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable

from ..frames import Keyframe, SemanticDelta
from .resilient import ResilientPerception


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    """A keyframe that waits. ``session`` counts the keyframes without a previous one."""

    previous: Keyframe | None
    current: Keyframe
    instruction: str
    session: int


class BackgroundPerception:
    """Gives the fallback's delta, marked stale, at once; the slow back end's own goes to ``on_answer`` later.

    Attributes:
        asked: the slow back end with its counts and its last error.
    """

    def __init__(self, asked: ResilientPerception, on_answer: Callable[[SemanticDelta], None]) -> None:
        """
        Args:
            asked: the slow back end; its fallback answers here.
            on_answer: called in the thread with each valid delta, of the newest keyframe or of one before; must not
                raise.
        """
        self.asked = asked
        self._on_answer = on_answer
        self._news = threading.Condition()
        self._waiting: _Job | None = None
        self._session = 0
        self._answered: int | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="slow perception", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The slow back end's name."""
        return self.asked.name

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """The fallback's delta, marked stale. A previous keyframe of None starts anew; older answers are dropped."""
        with self._news:
            dropped = self._waiting
            if previous is None:
                self._session += 1
                self._answered = dropped = None
            start = previous is None or (
                dropped is not None and dropped.previous is None
            )  # a dropped start is made up for
            self._waiting = _Job(None if start else previous, current, instruction, self._session)
            if dropped is not None:  # told before the thread can take the new keyframe, whose comparison spans it
                self.asked.skip(dropped.current)
            self._news.notify_all()
        delta = self.asked.fallback.perceive(previous, current, instruction)
        return dataclasses.replace(delta, stale=True)

    def behind(self, stamp: int) -> float:
        """Seconds from the newest keyframe that the slow back end has described to a stamp (ns); inf without one."""
        answered = self._answered
        return float("inf") if answered is None else max(0.0, (stamp - answered) * 1e-9)

    def progress(self, stamp: int) -> str:
        """:meth:`behind` in words: "2.5 s ago", or "nothing yet"."""
        behind = self.behind(stamp)
        return f"{behind:.1f} s ago" if math.isfinite(behind) else "nothing yet"

    def close(self, timeout: float = 1.0) -> None:
        """Ends the thread after the call that is out, waiting for it at most ``timeout`` seconds."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            delta = self.asked.ask(job.previous, job.current, job.instruction)
            with self._news:
                wanted = delta is not None and job.session == self._session and not self._closing
                if wanted:
                    self._answered = job.current.frame.stamp
            if wanted and delta is not None:
                self._on_answer(delta)

    def _next(self) -> _Job | None:
        """The latest keyframe, when there is one; None when closed."""
        with self._news:
            self._news.wait_for(lambda: self._waiting is not None or self._closing)
            job, self._waiting = self._waiting, None
            return None if self._closing else job
