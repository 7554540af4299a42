"""The JSON form of goals: written for people and programs, read from a language model. Knows no grammar of sentences.

    {"goals": [{"kind": "relation", "label": "lamp", "color": "red", "room": "", "relation": "beside the bed",
                "ordinal": 2, "rank": "", "exclude": ["blue"], "side": "left", "unless": "person", "passing": false}]}

``ordinal`` is null, a number or a rank ("nearest"); ``rank`` is the rank, also beside a number. What is read is
data of unknown origin: unknown keys, types and words are refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import InputError
from .lexing import lex
from .phrases import PhraseReader
from .target import ROUTE_RADIUS, Instruction, Target
from .vocabulary import RANK_WORDS, RELATIONS, known_color, known_label, known_place, known_room

_KINDS = ("object", "room", "relation", "route", "place")
_KEYS = {"kind", "label", "color", "room", "relation", "ordinal", "rank", "exclude", "side", "unless", "passing"}
_TEXTS = ("kind", "label", "color", "room", "relation", "rank", "side", "unless")
_LONGEST = 20_000


def as_json(instruction: Instruction) -> dict[str, Any]:
    """An instruction as ``embodied-nav parse --json`` shows it."""
    form = {"refused": "", "goals": [_goal(stage) for stage in instruction.stages], "notes": list(instruction.notes)}
    return {**form, "names": instruction.names} if instruction.names else form


def refused_json(why: str) -> dict[str, Any]:
    """The same of a sentence that was refused."""
    return {"refused": why, "goals": [], "notes": []}


def _goal(target: Target) -> dict[str, Any]:
    ordinal: int | str | None = target.ordinal or target.rank or None
    in_words = target.anchor_label and target.in_room != target.anchor_label
    anchor = f"{target.anchor_color} {target.anchor_label}".strip()
    return {
        "kind": target.kind,
        "label": target.label,
        "color": target.color,
        "room": target.in_room,
        "relation": f"{RELATIONS.get(target.relation, target.relation)} the {anchor}" if in_words else "",
        "ordinal": ordinal,
        "rank": target.rank,
        "exclude": [excluded.name for excluded in target.excludes],
        "side": target.side,
        "unless": target.unless,
        "passing": target.passing,
    }


def from_json(text: str, labels: Collection[str] = ()) -> list[Target]:
    """The goals in a language model's answer; not yet checked against the vocabulary as a whole.

    Args:
        text: JSON, as a whole or within other text.
        labels: categories known in addition to the vocabulary.

    Raises:
        InputError: no such JSON, a wrong type, or words that are not understood.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        if start < 0 or len(text) > _LONGEST:
            raise ValueError
        answer = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        raise InputError("its answer is no JSON object") from None
    if not isinstance(answer, Mapping) or not isinstance(answer.get("goals"), Sequence):
        raise InputError("its answer has no list 'goals'")
    if answer.get("refused"):
        raise InputError(f"it refuses the sentence: {str(answer['refused'])[:100]}")
    return [_target(goal, labels) for goal in answer["goals"]]


def _target(goal: Any, labels: Collection[str]) -> Target:
    if not isinstance(goal, Mapping) or not set(goal) <= _KEYS:
        raise InputError(f"a goal of it has keys other than {', '.join(sorted(_KEYS))}")
    words = {key: _text(goal, key) for key in _TEXTS}
    if words["kind"] not in ("", *_KINDS):
        raise InputError(f"its kind '{words['kind'][:40]}' is none of {', '.join(_KINDS)}")
    target = _labelled(words, labels)
    if words["relation"]:
        target = _related(target, words["relation"], labels)
    if words["room"]:
        room = _known("room", words["room"], known_room(words["room"]))
        inside = target.anchor_label == ""
        target = replace(target, relation="in", anchor_label=room) if inside else replace(target, room=room)
    ordinal, rank = _which(goal.get("ordinal"))
    unless = words["unless"] and _known("thing", words["unless"], known_label(words["unless"], labels))
    excludes = tuple(_excluded(text, labels) for text in _texts(goal.get("exclude", [])))
    target = replace(
        target, ordinal=ordinal, rank=rank or words["rank"], side=words["side"], unless=unless, excludes=excludes
    )
    if words["kind"] == "route":
        target = replace(target, radius=ROUTE_RADIUS, passing=goal.get("passing") is True)
    return target


def _labelled(words: Mapping[str, str], labels: Collection[str]) -> Target:
    label = words["label"]
    color = words["color"] and _known("colour", words["color"], known_color(words["color"]))
    if room := known_room(label):
        return Target(room, color, is_room=True)
    return Target(_known("thing", label, known_place(label) or known_label(label, labels)), color)


def _known(what: str, word: str, found: str) -> str:
    if not found:
        raise InputError(f"its {what} '{word[:40]}' is not known")
    return found


def _related(target: Target, words: str, labels: Collection[str]) -> Target:
    """A target with a relation in words: "beside the bed"."""
    read = _read(f"{target.label} {words}", labels)
    return replace(
        target, relation=read.relation, anchor_label=read.anchor_label, anchor_color=read.anchor_color, room=read.room
    )


def _excluded(words: str, labels: Collection[str]) -> Target:
    return _read(f"not the {words}", labels)


def _read(words: str, labels: Collection[str]) -> Target:
    def refusal(why: str) -> InputError:
        return InputError(f"its words '{words[:60]}': {why}")

    phrases = PhraseReader(refusal).read(lex(words.lower().split(), labels, refusal))
    if len(phrases) != 1:
        raise refusal("they name not exactly one thing")
    return phrases[0].target


def _which(ordinal: Any) -> tuple[int, str]:
    if ordinal is None or ordinal == "":
        return 0, ""
    if isinstance(ordinal, int) and not isinstance(ordinal, bool):
        return ordinal, ""
    if isinstance(ordinal, str) and ordinal in RANK_WORDS:
        return 0, ordinal
    raise InputError(f"its ordinal {str(ordinal)[:40]!r} is neither a number nor one of {', '.join(RANK_WORDS)}")


def _text(goal: Mapping[str, Any], key: str) -> str:
    value = goal.get(key) or ""
    if not isinstance(value, str) or len(value) > 200:
        raise InputError(f"its {key} is no text")
    return value.strip().lower()


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) and len(v) <= 200 for v in value):
        raise InputError("its exclude is no list of texts")
    return value
