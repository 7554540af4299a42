"""Logs the tracking state of SLAM: since when tracking is lost and why. Knows nothing of images and of poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..frames import Tracking

#: The states of :class:`..frames.Tracking`, best first.
TRACKING, WHEELS, LOST = Tracking.STATES


@dataclass(frozen=True)
class Stretch:
    """A period without tracking: stamps (ns) of its first frame and of the first one after it, and why it began."""

    start: int
    end: int
    reason: str


class TrackingLog:
    """Follows the tracking state frame by frame.

    Attributes:
        now: the state after the newest frame.
        stretches: all finished periods without tracking.
    """

    def __init__(self) -> None:
        self.now = Tracking()
        self.stretches: list[Stretch] = []
        self._first_reason = ""

    def update(self, stamp: int, state: str, reason: str = "") -> Tracking:
        """Adds the frame of a stamp (ns) and returns the state; if the clock went back, the period restarts."""
        before = self.now
        if state == TRACKING:
            if before.state != TRACKING:
                self.stretches.append(Stretch(before.since, max(stamp, before.since), self._first_reason))
            self.now = Tracking(since=stamp if before.state != TRACKING else before.since)
            return self.now
        if before.state == TRACKING:
            since, self._first_reason = stamp, reason
        else:
            since = min(before.since, stamp)
        self.now = Tracking(state, since, (stamp - since) * 1e-9, reason)
        return self.now

    def summary(self, stamp: int) -> dict[str, Any]:
        """Report entries up to a stamp (ns): ``slam_lost_s``, the total time without tracking, and ``slam_lost_times``,
        a list of (start s, end s, reason) of these periods."""
        all_of_them = list(self.stretches)
        if self.now.state != TRACKING:
            all_of_them.append(Stretch(self.now.since, max(stamp, self.now.since), self._first_reason))
        times: list[list[Any]] = [[round(s.start * 1e-9, 3), round(s.end * 1e-9, 3), s.reason] for s in all_of_them]
        return {"slam_lost_s": round(sum(end - start for start, end, _ in times), 3), "slam_lost_times": times}
