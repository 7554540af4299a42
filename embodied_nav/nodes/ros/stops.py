"""The topics e_stop and enable: received with any publisher QoS, latched across a crash. Knows nothing of control.

A stop is written to a small file at once, so that a process killed (-9) and restarted stays stopped, even if the
publisher of the stop is gone. After an orderly shutdown the file counts only for processes of the same run
(EMBODIED_NAV_RUN, which the supervisor sets).
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

from ...start_up import GRAPH, RUN
from . import qos

#: Longest time (s) for a latched message to reach a process that has just started.
_DISCOVERY = 2.0
#: Period (s) of the search for publishers.
_LOOK = 0.2


class Latest:
    """Receives one topic from any publisher, best effort or reliable, volatile or transient local, each message once.

    A best-effort subscription matches all publishers. For a publisher that offers more, another subscription is added:
    reliable, to lose nothing; transient local, to get earlier messages.

    Attributes:
        name: of the topic. heard: number of messages received.
    """

    def __init__(self, node: Node, name: str, callback: Callable[[bool], None]) -> None:
        self.name, self.heard = name, 0
        self._node, self._callback = node, callback
        self._known: deque[tuple[int, bool]] = deque(maxlen=64)
        self._asked: set[bool] = set()
        self._subscribe(qos.sensor(10))
        node.create_timer(_LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _subscribe(self, profile: QoSProfile) -> None:
        self._node.create_subscription(Bool, self.name, self._take, profile, qos_overriding_options=qos.fixed())

    def _look(self) -> None:
        """Adds subscriptions for the QoS that the present publishers offer."""
        for publisher in self._node.get_publishers_info_by_topic(self.name):
            offered = publisher.qos_profile
            latched = offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
            if offered.reliability == ReliabilityPolicy.RELIABLE and latched not in self._asked:
                self._asked.add(latched)
                self._subscribe(qos.latched(10) if latched else qos.reliable(10))

    @property
    def has_publisher(self) -> bool:
        """Whether the topic has a publisher."""
        return self._node.count_publishers(self.name) > 0

    def _take(self, message: Bool, info: dict) -> None:
        sample = (info["source_timestamp"], message.data)
        if sample[0] and sample in self._known:
            return  # the same message through another subscription
        self._known.append(sample)
        self.heard += 1
        self._callback(message.data)


class Stops:
    """Whether e_stop or enable stops the robot.

    Args:
        enabled: whether driving is allowed before any message on ``enable``.
        required: whether driving requires that this process itself has received true on ``enable``.
        stopped: called with the reason, in the executor's thread, as soon as the robot must stop.
    """

    def __init__(self, node: Node, enabled: bool, required: bool, stopped: Callable[[str], None]) -> None:
        self._node, self._required, self._stopped = node, required, stopped
        self._begun = time.monotonic()
        self._file = _state_file(node)
        self._e_stop, self._enabled, self._kept = False, enabled, ""
        self._restore()
        self._topics = (Latest(node, "e_stop", self._hear_e_stop), Latest(node, "enable", self._hear_enable))

    @property
    def pressed(self) -> bool:
        """Whether e_stop is on: then zeros are published on cmd_vel all the time."""
        return self._e_stop

    @property
    def why(self) -> str:
        """Why the robot must stop, "" if nothing stops it."""
        e_stop, enable = self._topics
        if self._e_stop:
            return "e_stop" if e_stop.heard else f"e_stop ({self._kept}: publish false on e_stop to go on)"
        if not self._enabled:
            return "not enabled" + ("" if enable.heard or not self._kept else f" ({self._kept})")
        if self._required and not enable.heard:
            return "not enabled: require_enable is set, and nothing came on 'enable' yet"
        if time.monotonic() - self._begun < _DISCOVERY:
            for topic in (t for t in self._topics if not t.heard and t.has_publisher):
                return f"waiting for what {topic.name} says"
        return ""

    def close(self) -> None:
        """Marks an orderly shutdown: a stop in force then persists within this run only."""
        self._write(ended=True)

    def _hear_e_stop(self, pressed: bool) -> None:
        changed, self._e_stop = pressed != self._e_stop, pressed
        if pressed:
            self._stopped("e_stop")
        if changed:
            self._write()

    def _hear_enable(self, enabled: bool) -> None:
        changed, self._enabled = enabled != self._enabled, enabled
        if not enabled:
            self._stopped("not enabled")
        if changed:
            self._write()

    def _restore(self) -> None:
        """Restores the stop in force when the last process of this name and domain ended."""
        try:
            state = json.loads(self._file.read_text(encoding="utf-8"))
            of_this_run = bool(state["run"]) and state["run"] == os.environ.get(RUN, "")
            if state["ended"] and not of_this_run:
                return
            if bool(state["e_stop"]) or not state["enabled"]:
                self._e_stop, self._kept = bool(state["e_stop"]), "kept from before this process was started"
                self._enabled = self._enabled and bool(state["enabled"])
                self._node.get_logger().warning(f"stands: {'e_stop' if self._e_stop else 'enable: false'} {self._kept}")
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            # An unreadable file may have been a stop: fail safe.
            self._e_stop, self._kept = True, f"{self._file} cannot be read"
            self._node.get_logger().error(f"{self._file} cannot be read ({error}): stands until e_stop says false")

    def _write(self, ended: bool = False) -> None:
        state = {"e_stop": self._e_stop, "enabled": self._enabled, "ended": ended, "run": os.environ.get(RUN, "")}
        part = self._file.with_suffix(f".{os.getpid()}")
        try:
            if not self._e_stop and self._enabled:
                self._file.unlink(missing_ok=True)
                return
            part.write_text(json.dumps(state), encoding="utf-8")
            part.replace(self._file)
        except OSError as error:
            self._node.get_logger().error(f"{self._file}: {error}: a stop will not outlast this process", once=True)


def _state_file(node: Node) -> Path:
    """The file of a node's stop: one per domain and full name, in a folder that only this user can access.

    An isolated graph (a demo) has its own files: it must not inherit a stop from another robot's graph in its domain.
    """
    folder = Path(tempfile.gettempdir(), f"embodied_nav-{os.getuid()}", "stops")
    with contextlib.suppress(OSError):  # reported when the file is written
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    graph = os.environ.get(GRAPH) or os.environ.get("ROS_DOMAIN_ID") or "0"
    return folder / f"{graph}{node.get_fully_qualified_name().replace('/', '.')}.json"
