"""Whether a node's process is alive, and a clock to measure its silence by. Knows nothing of what nodes do.

On a busy machine a healthy node may be silent for many seconds, while a killed one is gone at once. So on this machine
the process is looked up by the PID that its node publishes in its diagnostics; on others silence is all there is.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from . import qos

#: The key in a node's diagnostics that identifies its process.
FACT = "process"
#: Diagnostics come every second: a node on another machine that is silent for this long (s) counts as dead.
_SILENT = 5.0


def this_process() -> str:
    """Identifies this process: PID, start time, machine."""
    return f"{os.getpid()} {_began(os.getpid())} {socket.gethostname()}"


@dataclass
class _Heard:
    process: str
    at: float


class Living:
    """Tracks which nodes are alive.

    Args:
        node: subscribes to /diagnostics.
    """

    def __init__(self, node: Node) -> None:
        self._heard: dict[str, _Heard] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._arrived, qos.reliable(50))

    def process(self, name: str) -> str:
        """The process that last published a node's diagnostics (by its name without namespace); "" before that."""
        heard = self._heard.get(name)
        return "" if heard is None else heard.process

    def lives(self, name: str, process: str = "") -> bool:
        """Whether a node is alive: in the given process, or in the one heard from last."""
        heard = self._heard.get(name)
        if heard is None or (process and heard.process != process):
            return False
        number, _, rest = heard.process.partition(" ")
        began, _, host = rest.partition(" ")
        if host != socket.gethostname() or not began:
            return time.monotonic() - heard.at < _SILENT
        return _began(int(number)) == began

    def _arrived(self, message: DiagnosticArray) -> None:
        for status in message.status:
            told = next((pair.value for pair in status.values if pair.key == FACT), "")
            if told:
                self._heard[status.name.rsplit("/", 1)[-1]] = _Heard(told, time.monotonic())


def _began(number: int) -> str:
    """Start time of a process in kernel ticks; "" if there is none, or it has exited."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class SilenceClock:
    """Clock for time-outs: steady time, or simulated time where time is simulated.

    A slow or paused simulation must not make inputs stale: nothing moves in it meanwhile. When simulated time stands
    still for long, steady time counts, since the publisher of /clock may be gone.

    Args:
        stands: s (steady) for which simulated time may stand still.
    """

    def __init__(self, node: Node, stands: float = 5.0) -> None:
        self._clock, self._stands = node.get_clock(), stands
        self._lock = threading.Lock()
        self._ros = self._clock.now().nanoseconds
        self._seconds = self._steady = self._moved = time.monotonic()

    def now(self) -> float:
        """Seconds since an arbitrary instant; monotonic."""
        with self._lock:
            steady, ros = time.monotonic(), self._clock.now().nanoseconds
            if not self._clock.ros_time_is_active:
                self._seconds += steady - self._steady
            elif ros != self._ros:
                self._seconds += max(ros - self._ros, 0) * 1e-9
                self._moved = steady
            elif steady - self._moved > self._stands:
                self._seconds += steady - self._steady
            self._steady, self._ros = steady, ros
            return self._seconds

    @property
    def simulated(self) -> bool:
        """Whether time is simulated and /clock has been received."""
        return self._clock.ros_time_is_active and self._ros > 0
