"""Gives memory that was freed back to the system. Knows nothing of who uses it.

glibc keeps most of what a program frees: over hours of pictures and maps whose sizes keep changing a process grows
by a tenth an hour although what it holds does not.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

_started = threading.Lock()


def keep_small(period: float = 60.0) -> None:
    """Gives freed memory back every so many seconds, in a thread of its own; does nothing without glibc.

    Other threads that ask for memory may wait meanwhile, for milliseconds: not for a process that drives.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None and _started.acquire(blocking=False):
        threading.Thread(target=_work, args=(trim, period), name="heap", daemon=True).start()


def _work(trim: Callable[[int], int], period: float) -> None:
    while True:
        time.sleep(period)
        trim(0)
