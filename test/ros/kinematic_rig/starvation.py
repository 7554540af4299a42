"""Tells when the machine kept a process from running: then late inputs are no fault of the nodes. Linux only.

The kernel counts for each thread how long it was ready and had no core. Where it does not say, nothing is excused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

#: How often it looks (s), and the share of that time without a core that counts.
_PERIOD, _SHARE = 0.25, 0.3


class Starvation:
    """Watches processes.

    Args:
        pids: which, asked for again each time.

    Attributes:
        last: steady time at which one of them was last found starved; -inf: never.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids, self._waited, self._looked = pids, {}, 0.0
        self.last = -float("inf")

    def look(self) -> None:
        """Looks, if it is time."""
        now = time.monotonic()
        passed = now - self._looked
        if passed < _PERIOD:
            return
        before, self._waited, self._looked = self._waited, {}, now
        for pid in self._pids():
            for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    self._waited[file] = int(file.read_text().split()[1])
                except (OSError, ValueError, IndexError):  # the thread has ended, or the kernel does not count
                    continue
        longest = max((n - before[f] for f, n in self._waited.items() if f in before), default=0) * 1e-9
        if longest > _SHARE * passed:
            self.last = now
