"""Answers a question in words from a memory, or from deltas where there is no map: one way for command and service.

Knows no files, no cameras and no ROS. Number, direction, order and change are solved over the memory's digest; the
other questions ("is there a tv?", "what is in the kitchen?") go to ``memory.query.replies``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..frames import ELSEWHERE, SemanticDelta
from ..language.asking import EXAMPLES, KINDS, Asked, ask_about
from ..language.vocabulary import known_label
from ..memory import SpatialMemory
from ..memory.objects.named_places import START
from ..memory.query.answering import Answer, Knowledge, Query, ask
from ..memory.query.replies import answer_in_words
from .answering import solve
from .digest import DigestFacts, facts_of, facts_of_deltas

#: Kinds that the memory's own replies know better: they take relations and times, too.
_REPLIES = ("count", "where")
_WHERE = re.compile(r"^(?:please )?(?:where is|where's|how do i get to) (?:the |my |our |a )?(?P<name>.+?)[ ?.!]*$")


@dataclass(frozen=True, eq=False)
class Told:
    """An answer.

    Attributes:
        text: a sentence; where there is no answer, why, and what was understood.
        kind: one of ``language.asking.KINDS`` or of ``memory.query.replies``; "" where it was not understood.
        value: the answer as a number (m, cm, m^2, count) or as words; None where the sentence is all there is.
        answered: whether it is answered. evidence: what it rests on, best first; empty without a map.
        things: ids in the digest of what it rests on.
    """

    text: str
    kind: str = ""
    value: float | str | None = None
    answered: bool = False
    evidence: tuple[Answer, ...] = ()
    things: tuple[int, ...] = ()


def answer_from_memory(memory: SpatialMemory, known: Knowledge, text: str, near: np.ndarray | None = None) -> Told:
    """Answers from everything that a memory holds.

    Args:
        known: the memory's, at this moment. near: (2 or 3,) m in map, where whoever asks stands; None: where the newest
            keyframe was taken.
    """
    if (told := _place_told(memory, known, text)) is not None:
        return told
    try:
        asked = ask_about(text, {o.label for o in known.objects})
    except InputError as error:
        return _in_other_words(text, known, near, str(error))
    if asked.kind in _REPLIES or (asked.kind == "gone" and not asked.choices):
        return _in_other_words(text, known, near, "")
    facts = facts_of(memory)
    if near is not None:
        yaw = 0.0 if facts.here is None else facts.here[2]
        room = None if known.rooms is None else known.rooms.at(near[:2], 0.5)
        facts = replace(facts, here=(float(near[0]), float(near[1]), yaw), room=room.id if room else 0)
    told = _solved(asked, facts)
    found = {a.object.id: a for a in ask(Query(include_gone=True, max_results=max(len(known.objects), 1)), known)}
    return replace(told, evidence=tuple(found[i] for i in told.things if i in found))


def answer_from_deltas(deltas: Sequence[SemanticDelta], text: str) -> Told:
    """Answers from what perception said of a video without depth: numbers in one view, order, actions."""
    facts = facts_of_deltas(deltas)
    try:
        asked = ask_about(text, {t.label for t in facts.things})
    except InputError as error:
        return Told(f"I did not understand: {error}")
    told = _solved(asked, facts)
    if told.answered and asked.kind == "count":
        more = "So many one view showed at most: without depth, views are not told apart."
        told = replace(told, text=f"{told.text} {more}")
    return told


def understood_as(asked: Asked) -> str:
    """What a question was understood to ask, in words."""
    names = [f"{n.color} {n.label}".strip() for n in (*asked.things, *asked.choices) if n is not None]
    about = f" ({', '.join([*names, *filter(None, [asked.room])])})" if names or asked.room else ""
    return f"{KINDS[asked.kind]}{about}"


def _place_told(memory: SpatialMemory, known: Knowledge, text: str) -> Told | None:
    """Where a place is that was given a name; None where it is not asked for."""
    found = _WHERE.match(" ".join(text.lower().split()))
    if found is None:
        return None
    name = known_label(found["name"]) or found["name"]
    for place in memory.place_objects():
        if place.label != name or name == START:
            continue
        if place.status == ELSEWHERE:
            return Told(f"The {name} is a place that was named in another map: where it is in this one is not known.")
        x, y = float(place.position[0]), float(place.position[1])
        room = None if known.rooms is None else known.rooms.at((x, y), 0.5)
        kind = "" if room is None else memory.room_names().get(room.id, "")
        where = f" in the {kind}" if kind else ""
        return Told(f"The {name} is a place that I was told{where}, at ({x:.1f}, {y:.1f}) m.", "where", None, True)
    return None


def _solved(asked: Asked, facts: DigestFacts) -> Told:
    try:
        solution = solve(asked, facts)
    except InputError as error:
        return Told(f"I understand that you ask {understood_as(asked)}, but {error}", asked.kind)
    value = solution.value
    if isinstance(value, float) and not math.isfinite(value):
        return Told(f"I understand that you ask {understood_as(asked)}, but cannot tell", asked.kind)
    return Told(solution.text, asked.kind, value, True, things=solution.things)


def _in_other_words(text: str, known: Knowledge, near: np.ndarray | None, why: str) -> Told:
    """The memory's own reply; of a question that it does not know either, both reasons."""
    reply = answer_in_words(text, known, near)
    ids = tuple(a.object.id for a in reply.answers)
    if reply.understood:
        value = len(reply.answers) if reply.kind == "count" else None
        return Told(reply.text, reply.kind, value, True, reply.answers, ids)
    more = f"; {why}" if why and EXAMPLES not in why else f"; or {EXAMPLES}"
    return Told(f"{reply.text}{more}")
