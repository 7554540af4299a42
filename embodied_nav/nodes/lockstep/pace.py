"""Limits how far simulated time may run ahead of the nodes. Knows no messages but Progress.

On a machine too slow for the whole graph, simulated time slows down to the pace of the slowest node, so that the robot
sees, plans and drives the same as on a fast machine.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from embodied_nav.msg import Progress

from ..ros.conversions import stamp_ns

#: Allowed lag (s, simulated) behind the newest frame. SLAM's is shortest: all others wait for its camera poses.
_BEHIND = {"slam": 0.15, "control": 0.25, "keyframe": 0.4, "memory": 0.4}
#: Allowed lag (s) of the reasoner behind the memory, and of perception's current keyframe behind the newest frame.
_REASONER, _PERCEPTION = 1.0, 1.0
#: Time-out (s, steady): a live node without progress for so long may have dropped the frame or been deactivated;
#: it is not waited for until it reports progress again.
_LOST = 15.0


class Pace:
    """Tracks how far each node is, and waits for those that lag. Thread-safe.

    Args:
        lives: whether the process of a node, by its name, is alive; dead nodes are not waited for.
    """

    def __init__(self, lives: Callable[[str], bool]) -> None:
        self._lives = lives
        self._news = threading.Condition()
        self._frame = self._map = -1
        self._keyframes: deque[int] = deque(maxlen=1000)
        self._through: dict[str, int] = {}
        self._word: dict[str, float] = {}

    def published(self, stamp: int) -> None:
        """Records that a frame (stamp in ns) was published."""
        with self._news:
            self._frame = max(self._frame, stamp)

    def progress(self, message: Progress) -> None:
        """Takes in a node's progress message."""
        name, stage, stamp = message.node, message.stage, stamp_ns(message.header.stamp)
        with self._news:
            if stage != {"reasoner": "map", "perception": "keyframe"}.get(name, "frame"):
                return
            self._through[name] = max(self._through.get(name, -1), stamp)
            self._word[name] = time.monotonic()
            if name == "memory" and message.taken:
                self._map = max(self._map, stamp)
            elif name == "keyframe" and message.taken:
                self._keyframes.append(stamp)
            self._news.notify_all()

    def late(self) -> str:
        """The node that simulated time waits for now, or ""."""
        with self._news:
            return self._late()

    def wait(self, seconds: float) -> str:
        """Waits until no node is late, at most so many seconds; returns the node that still is, or ""."""
        end = time.monotonic() + seconds
        with self._news:
            # The death of a process sends no notification, so poll.
            while (name := self._late()) and (left := end - time.monotonic()) > 0:
                self._news.wait(min(left, 0.05))
            return name

    def _late(self) -> str:
        worst, name = 0.0, ""
        for node in tuple(self._through):
            beyond = self._beyond(node)
            if beyond > worst and self._waits_for(node):
                worst, name = beyond, node
        return name

    def _beyond(self, node: str) -> float:
        """By how much (s) a node's lag exceeds what is allowed."""
        through = self._through[node]
        if node == "reasoner":
            return (self._map - through) * 1e-9 - _REASONER
        if node == "perception":
            while self._keyframes and self._keyframes[0] <= through:
                self._keyframes.popleft()
            # Simulated time may run on for so long after the keyframe that perception is working on.
            return (self._frame - self._keyframes[0]) * 1e-9 - _PERCEPTION if self._keyframes else 0.0
        return (self._frame - through) * 1e-9 - _BEHIND.get(node, float("inf"))

    def _waits_for(self, node: str) -> bool:
        if not self._lives(node):
            return False
        if time.monotonic() - self._word[node] > _LOST:
            del self._through[node]
            return False
        return True
