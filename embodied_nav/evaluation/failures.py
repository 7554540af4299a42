"""Sorts failed episodes by what went wrong, out of their rows alone. Knows nothing of simulators, pictures and files.

Rows of earlier versions have no ending and no way: what cannot be told from their scores is then one kind less exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: Kinds of failure: name -> what it means, in the order in which reports show them.
KINDS: Mapping[str, str] = {
    "left the goal": "it was where STOP would have been a success, and did not stop there",
    "stopped short": "STOP less than 1 m of way from where it would have been a success",
    "stopped past a way point": "STOP at the end of a route, with a way point or an earlier goal left out",
    "stopped elsewhere": "STOP at another place: the wrong thing, the wrong room",
    "gave up": "the agent ended without STOP: it says that the goal is not there, or that there is no way",
    "lost its place": "the time ran out, and for much of it localization was lost",
    "stuck": "the time ran out, and for the last minute the robot hardly moved",
    "still searching": "the time ran out on the way",
    "ended elsewhere": "STOP or giving up at another place; this file does not say which",
}
#: m of way to the goal up to which a stop is short, not elsewhere.
_SHORT = 1.0
#: m from the end of a route (in a straight line) at which it was reached, see ``sim.goals``.
_ROUTE_END = 1.5
#: Share of the episode without localization from which it is the reason.
_LOST_SHARE = 0.25
#: The robot is stuck that stays within so far (m) for so long (s) at the end.
_STUCK_WITHIN, _STUCK_FOR = 0.5, 60.0
#: s, as ``runner.TIME_LIMIT`` and ``CONTROL_PERIOD``: rows without an ending tell it by their steps.
_TIME_LIMIT, _PERIOD = 180.0, 0.05


def kind_of(row: Mapping[str, Any]) -> str:
    """The kind of a failed episode, one of :data:`KINDS`."""
    ending = row.get("ending") or ("time" if float(row.get("steps") or 0) * _PERIOD >= _TIME_LIMIT - 1.0 else "")
    if row.get("oracle_success") and ending != "gave_up":
        return "left the goal"
    if ending == "gave_up":
        return "gave up"
    if ending == "time":
        return _out_of_time(row)
    distance = row.get("distance_to_goal")
    if distance is not None and 0.0 <= distance < _SHORT:
        return "stopped short"
    if ending != "stop":
        return "ended elsewhere"
    return "stopped past a way point" if _at_the_end(row) else "stopped elsewhere"


def sort(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Failed episodes by kind, in the order of :data:`KINDS`; kinds without any are left out."""
    found: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in KINDS}
    for row in rows:
        if not row["success"]:
            found[kind_of(row)].append(row)
    return {kind: rows for kind, rows in found.items() if rows}


def some(failures: Mapping[str, Sequence[Mapping[str, Any]]], most: int) -> list[Mapping[str, Any]]:
    """At most ``most`` failures, every kind in turn, so that a frequent kind does not hide the others."""
    chosen: list[Mapping[str, Any]] = []
    for turn in range(max((len(rows) for rows in failures.values()), default=0)):
        chosen += [rows[turn] for rows in failures.values() if turn < len(rows)]
    return chosen[: max(most, 0)]


def _out_of_time(row: Mapping[str, Any]) -> str:
    track = row.get("track") or []
    if not track:
        return "still searching"
    seconds = track[-1][2]
    if float(row.get("slam_lost_s") or 0.0) > _LOST_SHARE * seconds:
        return "lost its place"
    # The robot was at a place until it was somewhere else: the last one before the window counts, too.
    early = [place for place in track if place[2] <= seconds - _STUCK_FOR]
    late = [*early[-1:], *(place for place in track if place[2] > seconds - _STUCK_FOR)]
    stays = all(math.dist(place[:2], track[-1][:2]) <= _STUCK_WITHIN for place in late)
    return "stuck" if early and stays else "still searching"


def _at_the_end(row: Mapping[str, Any]) -> bool:
    """Whether a route, or the last of several goals, ended near a goal all the same."""
    track, goals = row.get("track") or [], row.get("goals") or []
    if not (track and row.get("waypoints")):
        return False
    return any(math.dist(track[-1][:2], goal) <= _ROUTE_END for goal in goals)
