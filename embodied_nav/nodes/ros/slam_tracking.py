"""Messages of slam/tracking (whether SLAM's pose can be trusted), and a subscriber to them. Knows no SLAM.

A diagnostic_msgs/DiagnosticArray of one status, latched, for every frame on which tracking failed and for the first one
on which it works again. The header's stamp is the frame's. Level: OK tracking, WARN while wheel odometry alone carries
the pose (not too far yet), ERROR lost. Values: ``state`` (tracking, wheels or lost), ``seconds`` without tracking,
``reason``. Only our slam node publishes it; with poses from elsewhere there are no messages, and every frame passes.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ...frames import Tracking
from . import qos
from .conversions import BadMessage, header, stamp_ns
from .lifecycle import AgentNode

TOPIC = "slam/tracking"
#: Messages that late subscribers get, and number of untracked frames that are remembered.
_KEPT, _REMEMBERED = 50, 1000
_LEVELS = dict(zip(Tracking.STATES, (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR), strict=True))


def profile():
    """The QoS of the topic."""
    return qos.latched(_KEPT)


def tracking_msg(stamp: int, tracking: Tracking, map_frame: str) -> DiagnosticArray:
    """The tracking state after the frame of a stamp (ns), as a message."""
    status = DiagnosticStatus(level=_LEVELS[tracking.state], name="slam", message=str(tracking))
    values = {"state": tracking.state, "seconds": f"{tracking.seconds:.3f}", "reason": tracking.reason}
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticArray(header=header(stamp, map_frame), status=[status])


def tracking_from_msg(message: DiagnosticArray) -> Tracking:
    """From a message.

    Raises:
        BadMessage: ``slam_tracking``: not in the format of :func:`tracking_msg`.
    """
    values = {pair.key: pair.value for status in message.status for pair in status.values}
    try:
        state, seconds, reason = values["state"], float(values["seconds"]), values["reason"]
        since = stamp_ns(message.header.stamp) - int(seconds * 1e9)
    except (KeyError, ValueError, OverflowError):
        state = ""
    if state not in _LEVELS:
        raise BadMessage("slam_tracking", f"{TOPIC} lacks state, seconds or reason")
    return Tracking(state, since, seconds, reason)


def write_summary(path: str | Path, summary: dict[str, object]) -> None:
    """Writes when SLAM was not tracking (:meth:`..slam.Slam.lost_summary`), atomically."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(summary), encoding="utf-8")
    os.replace(temporary, path)


class TrackingWatch:
    """Subscribes to slam/tracking.

    Attributes:
        now: the newest state; "tracking" before any message.
    """

    def __init__(self, node: AgentNode) -> None:
        self.now = Tracking()
        self._node = node
        self._untracked: OrderedDict[int, Tracking] = OrderedDict()
        node.create_subscription(DiagnosticArray, TOPIC, node.shared.listen(TOPIC, node, self._arrived), profile())

    @property
    def lost(self) -> str:
        """Why SLAM's pose must not be used to drive; "" if it may."""
        return f"SLAM is {self.now}" if self.now.lost else ""

    def by_wheels(self, stamp: int) -> bool:
        """Whether wheel odometry alone carried the pose of the frame of a stamp (ns)."""
        return self._untracked.get(stamp, Tracking()).by_wheels

    def doubt(self, stamp: int) -> str:
        """Why the frame of a stamp (ns) has no trusted pose; "" if it was not reported."""
        tracking = self._untracked.get(stamp)
        return "" if tracking is None else f"SLAM is {tracking}"

    def _arrived(self, message: DiagnosticArray) -> None:
        try:
            tracking = tracking_from_msg(message)
        except BadMessage as error:
            self._node.diagnostics.refuse(error.fault, str(error))
            return
        self.now, stamp = tracking, stamp_ns(message.header.stamp)
        if tracking.placed:
            self._untracked.pop(stamp, None)  # the clock was set back, and the same stamp came again
            return
        self._untracked[stamp] = tracking
        while len(self._untracked) > _REMEMBERED:
            self._untracked.popitem(last=False)
