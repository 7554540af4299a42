"""Whether a goal is to be skipped: "skip the bed if somebody is in it". Knows no paths and no words but labels."""

from __future__ import annotations

from ..language import Target, label_score
from .targets import BESIDE, SURE, box_gap, objects_gap
from .view import View


def hindrance(target: Target, view: View, key: int, age: float) -> str:
    """What the robot sees at the candidate that it drives to, and that makes it skip the goal; "" for nothing.

    Args:
        target: of the present goal, with a label in ``unless``.
        view: of this update.
        key: of the candidate.
        age: s; only what was seen so recently is there. What was there before may have gone.
    """
    candidate = view.candidate(key)
    if candidate is None or candidate.score < SURE:
        return ""
    for o in view.objects:
        fresh = o.status == "present" and (view.stamp - o.last_seen) * 1e-9 <= age
        if not fresh or label_score(o.label, target.unless) < SURE:
            continue
        if candidate.room is not None:
            room = view.rooms.of_object(o)
            there = room is not None and room.id == candidate.room.id
        elif candidate.place is not None:
            there = box_gap(o, candidate.place) <= BESIDE
        else:
            assert candidate.object is not None
            there = o.id != candidate.object.id and objects_gap(o, candidate.object) <= BESIDE
        if there:
            return f"a {o.name} is there"
    return ""
