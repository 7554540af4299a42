"""Messages of control/state: why the robot is stopped or slowed. Knows nothing of how the reasons are found.

A diagnostic_msgs/DiagnosticStatus, latched, on every change and once a second. Level: OK while driving or idle, WARN
while something slows or stops the robot, ERROR if the base does not move although commanded. The message is the reason.
Values: ``halted`` (true: it must not move at all), ``unmoved`` (the reason of an ERROR as soon as it is suspected; else
empty).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ...planning.stall import Stall
from . import qos
from .lifecycle import AgentNode

TOPIC = "control/state"
#: Period of repetition (s).
_REPEAT = 1.0


class StateTeller:
    """Publishes control/state."""

    def __init__(self, node: AgentNode) -> None:
        self._node = node
        self._publisher = node.create_lifecycle_publisher(DiagnosticStatus, TOPIC, qos.latched())
        self._told, self._told_at = None, -1e9

    def tell(self, why: str, halted: bool, stall: Stall) -> None:
        """Publishes why the robot is stopped or slowed ("": it is not), on change or when the repetition is due."""
        level = DiagnosticStatus.ERROR if stall.dead else DiagnosticStatus.WARN if why else DiagnosticStatus.OK
        # Numbers in a reason change all the time: compare only its kind.
        kind = (level, halted, stall.suspects, why.partition("(")[0])
        now = time.monotonic()
        if kind == self._told and now - self._told_at < _REPEAT:
            return
        self._told, self._told_at = kind, now
        status = DiagnosticStatus(level=level, name=self._node.get_name())
        status.message = stall.reason if stall.dead else why or "ok"
        unmoved = stall.reason if stall.suspects else ""
        status.values = [KeyValue(key="halted", value=str(halted).lower()), KeyValue(key="unmoved", value=unmoved)]
        self._publisher.publish(status)


@dataclass(frozen=True)
class State:
    """A received state.

    Attributes:
        why: why the robot is stopped or slowed, "" if it is neither.
        halted: whether it must not move.
        dead: why the base counts as dead, "" if it does not.
        unmoved: the same, already when it is suspected.
    """

    why: str = ""
    halted: bool = False
    dead: str = ""
    unmoved: str = ""


def state_of(status: DiagnosticStatus) -> State:
    """From a message."""
    values = {pair.key: pair.value for pair in status.values}
    why = "" if status.level == DiagnosticStatus.OK else status.message
    dead = status.message if status.level == DiagnosticStatus.ERROR else ""
    return State(why, values.get("halted") == "true", dead, values.get("unmoved", ""))
