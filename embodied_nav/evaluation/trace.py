"""What a row tells of an episode beside its scores: task, way driven, and how it ended. Knows no scores and no files.

It is there for reports: how far away the goal was, how many rooms there are, and a picture of a failure.
"""

from __future__ import annotations

import math
from typing import Any

from ..frames import Episode
from ..sim.interface import Privileged

#: A place is kept where the robot has moved so far (m) from the last one kept, or after so long (s).
STEP, PAUSE = 0.25, 10.0
#: Driver's status at the end -> ``ending``.
_ENDINGS = {"stopped": "stop", "failed": "gave_up", "running": "time"}
#: Longest reason that is kept, in letters.
_LONGEST_REASON = 200


class Trace:
    """Keeps the true way of a robot through an episode.

    Args:
        episode: that runs.
        truth: of the episode, at its start.
        start_distance: m, d0 of SPL.
        stamp: ns, of the start.
    """

    def __init__(self, episode: Episode, truth: Privileged, start_distance: float, stamp: int) -> None:
        self._episode, self._truth, self._distance, self._start = episode, truth, start_distance, stamp
        self._rooms = len(truth.rooms())
        self._places = [self._place(stamp)]

    def note(self, stamp: int) -> None:
        """Called after every step, with its stamp (ns)."""
        x, y, t = self._places[-1]
        now = self._place(stamp)
        if math.dist((x, y), now[:2]) >= STEP or now[2] - t >= PAUSE:
            self._places.append(now)

    def result(self, status: str, reason: str, stamp: int) -> dict[str, Any]:
        """Columns of the results file.

        Args:
            status: the driver's, at the end; ``running`` where the time ran out.
            reason: the driver's, at the end.
            stamp: ns, of the end.

        Returns:
            instruction; start_distance (m, d0); rooms (how many the scene has, None where it names none); ending
            (``stop``, ``gave_up``, ``time``) and reason; track ([x m, y m, s since the start] each, scene's frame, the
            first is the start and the last the end) and end_yaw (rad); goals and waypoints ([x m, y m] each).
        """
        end = self._place(stamp)
        places = self._places if self._places[-1] == end else [*self._places, end]
        return {
            "instruction": self._episode.instruction,
            "start_distance": round(float(self._distance), 3),
            "rooms": self._rooms or None,
            "ending": _ENDINGS.get(status, status),
            "reason": " ".join(reason.split())[:_LONGEST_REASON],
            "track": [[round(x, 2), round(y, 2), round(t, 1)] for x, y, t in places],
            "end_yaw": round(self._truth.pose()[2], 3),
            "goals": [[round(float(v), 2) for v in goal.position[:2]] for goal in self._episode.goals],
            "waypoints": [[round(float(v), 2) for v in place[:2]] for place in self._between()],
        }

    def _between(self) -> list[tuple[float, ...]]:
        """Places on the way: way points, and of each earlier stage the goals."""
        return [*self._episode.waypoints, *(goal.position for stage in self._episode.stages for goal in stage)]

    def _place(self, stamp: int) -> tuple[float, float, float]:
        x, y, _ = self._truth.pose()
        return x, y, (stamp - self._start) / 1e9
