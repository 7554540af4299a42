"""Tracks which published frames each node has finished processing. Knows no messages but Progress."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from embodied_nav.msg import Progress

from ..ros.conversions import stamp_ns
from ..ros.diagnostics import percentiles_ms


class FramesInFlight:
    """Tracks published frames and the progress messages about them. Thread-safe.

    Args:
        nodes: names of the nodes whose progress counts.

    Attributes:
        frames: how many frames each node has finished. latencies: node -> seconds from publishing to its progress.
        keyframes: frames taken as keyframes. last_progress: steady time of the last progress message, s.
    """

    def __init__(self, nodes: tuple[str, ...]) -> None:
        self._nodes = nodes
        self._news = threading.Condition()
        self._published: dict[int, float] = {}
        self._waiting: dict[str, set[int]] = {node: set() for node in nodes}
        self._open_keyframes = 0
        self.latencies: dict[str, list[float]] = {node: [] for node in nodes}
        self.frames: Counter[str] = Counter()
        self.last_progress = 0.0
        self.keyframes = 0

    def published(self, stamp: int) -> None:
        """Records that a frame (stamp in ns) is published now."""
        with self._news:
            self._published[stamp] = time.monotonic()
            for waiting in self._waiting.values():
                waiting.add(stamp)
            if len(self._published) > 5000:
                self._forget(next(iter(self._published)))

    def progress(self, message: Progress) -> None:
        """Takes in a node's progress message."""
        stamp = stamp_ns(message.header.stamp)
        with self._news:
            if message.stage == "frame" and message.node in self._waiting and stamp in self._waiting[message.node]:
                self._waiting[message.node].discard(stamp)
                self.frames[message.node] += 1
                self.latencies[message.node].append(time.monotonic() - self._published[stamp])
            if message.node == "keyframe" and message.stage == "frame" and message.taken:
                self.keyframes += 1
                self._open_keyframes += 1
            elif (message.node, message.stage) == ("memory", "delta") or (
                (message.node, message.stage) == ("perception", "keyframe") and not message.taken
            ):
                self._open_keyframes -= 1
            self.last_progress = time.monotonic()
            self._news.notify_all()

    def wait_frame(self, stamp: int, timeout: float) -> bool:
        """Waits until all nodes have finished a frame."""
        return self._wait(lambda: not any(stamp in w for w in self._waiting.values()), timeout)

    def waiting_for(self, stamp: int) -> tuple[str, ...]:
        """The nodes that have not finished a frame."""
        with self._news:
            return tuple(node for node, waiting in self._waiting.items() if stamp in waiting)

    def wait_all(self, quiet: float) -> bool:
        """Waits until every published frame is finished, or no progress came for ``quiet`` seconds."""
        while True:
            before = sum(self.frames.values()), self._open_keyframes
            if self._wait(lambda: not any(self._waiting.values()) and self._open_keyframes <= 0, quiet):
                return True
            if before == (sum(self.frames.values()), self._open_keyframes):
                return False

    def _forget(self, stamp: int) -> None:
        """Stops tracking the oldest frame; a node evidently dropped it."""
        del self._published[stamp]
        for waiting in self._waiting.values():
            waiting.discard(stamp)

    def _wait(self, done: Callable[[], bool], timeout: float) -> bool:
        with self._news:
            return self._news.wait_for(done, timeout)

    def latencies_ms(self) -> dict[str, dict[str, float]]:
        """Percentiles of the time from publishing an image to a node's progress message about it."""
        found = {f"image_to_{node}": percentiles_ms(values) for node, values in self.latencies.items()}
        return {name: values for name, values in found.items() if values}
