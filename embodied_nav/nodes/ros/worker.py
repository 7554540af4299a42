"""One thread for a node's heavy work, so that its executor stays responsive. Knows nothing of ROS."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any


class Worker:
    """Handles items in order in a thread of its own; when it falls behind, the *oldest* waiting item is dropped.

    Args:
        handle: called with each item.
        capacity: items that wait at most.
        on_error: called with an exception that ``handle`` raised; the worker goes on.
        on_drop: called with each dropped item, in the thread that put the new one.

    Attributes:
        dropped, done: counts since the start.
    """

    def __init__(
        self,
        handle: Callable[[Any], None],
        capacity: int,
        on_error: Callable[[Exception], None],
        on_drop: Callable[[Any], None] | None = None,
        name: str = "worker",
    ) -> None:
        self.dropped = 0
        self.done = 0
        self._handle, self._capacity = handle, capacity
        self._on_error, self._on_drop = on_error, on_drop
        self._items: deque[Any] = deque()
        self._ready = threading.Condition()
        self._busy = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Any) -> None:
        """Queues an item; drops the oldest waiting one where the queue is full."""
        oldest = None
        with self._ready:
            if self._closing:
                return
            if len(self._items) >= self._capacity:
                oldest = self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._ready.notify_all()
        if oldest is not None and self._on_drop is not None:
            self._on_drop(oldest)

    def drain(self, timeout: float) -> bool:
        """Waits until nothing is queued or handled; False after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        with self._ready:
            while self._items or self._busy:
                left = end - time.monotonic()
                if left <= 0 or not self._ready.wait(left):
                    return not (self._items or self._busy)
        return True

    def close(self, timeout: float = 1.0) -> None:
        """Drops queued items and ends the thread after the current item."""
        with self._ready:
            self._closing = True
            self._items.clear()
            self._ready.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._busy = False
                self._ready.notify_all()
                while not self._items and not self._closing:
                    self._ready.wait()
                if self._closing:
                    return
                item = self._items.popleft()
                self._busy = True
            try:
                self._handle(item)
            except Exception as error:
                self._on_error(error)
            self.done += 1
