"""Sentences that give the place where the robot stands a name ("this is the charger"). Knows no grammar of goals.

named_place("this is the charger")                              # "charger"
with_places(parse_instruction("go to the charger"), {"charger"})  # its goal is that place, not a thing of the kind
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from ..errors import InputError
from .target import Instruction, Target
from .vocabulary import (
    COURTESY,
    FILLERS,
    PLACE_WORDS,
    RELATIONS,
    is_negation,
    known_color,
    known_label,
    known_place,
    known_room,
)

#: Longest name, in words and in characters of one of them.
_WORDS, _LETTERS = 4, 24
_THIS = r"(?:this|that|the|my|your|our)"
_PLACE = rf"(?:{_THIS} (?:place|spot|position|point|location)|here)"
_NAMING = re.compile(
    r"^(?:(?:ok|okay|hey|please|robot|now|remember|note|that|and|so),? )*"
    rf"(?:this is|(?:this|that) (?:place|spot|position) is|here is|you are (?:now )?(?:at|on)"
    rf"|(?:call|name) {_PLACE}|(?:remember|save|store|mark) {_PLACE} as|this (?:place|spot) is called) (?P<name>.+)$"
)
_ARTICLE = re.compile(rf"^(?:{_THIS}|a|an|called|named) ")


def named_place(text: str) -> str:
    """The name that a sentence gives to where the robot stands, "" where it is no such sentence.

    Raises:
        InputError: it is one, with a name that cannot be: too long, a room, a colour, or a word with a meaning.
    """
    words = " ".join(re.sub(r"[^\w' -]|_", " ", text.lower().replace("\u2019", "'")).split())
    found = _NAMING.match(words)
    if found is None or text.rstrip().endswith("?"):
        return ""
    name = found["name"].removesuffix(" please").removesuffix(" now")
    while article := _ARTICLE.match(name + " "):
        name = name[article.end() :].strip()
    name = known_label(name) or name
    parts = name.split()
    if not name or len(parts) > _WORDS or any(len(part) > _LETTERS for part in parts):
        raise InputError(
            f"'{name[:80]}' is no name of a place: give one to {_WORDS} words, as in 'this is the charger'"
        )
    if taken := known_room(name) or known_place(name) or known_color(name):
        raise InputError(f"'{name}' means {taken} already: give this place another name, as in 'this is the charger'")
    bare = not any(part in RELATIONS or is_negation(part) or part in ("and", "then") for part in parts)
    if not bare or all(part in FILLERS or part in COURTESY for part in parts):
        raise InputError(f"'{name}' is no name of a place: say for example 'this is the charger'")
    return name


def naming(text: str, name: str) -> Instruction:
    """The instruction that :func:`named_place` found."""
    return Instruction(text, (Target(name, named=True),), (f"this place is called '{name}'",), names=name)


def with_places(instruction: Instruction, places: Collection[str]) -> Instruction:
    """The same, with goals that name a place with nothing added to it as that place."""

    def named(k: int, stage: Target) -> bool:
        # After other goals "where you started" is where this instruction began.
        return is_plain(stage) and stage.label in places and (stage.label not in PLACE_WORDS or k == 0)

    stages = tuple(replace(s, named=True) if named(k, s) else s for k, s in enumerate(instruction.stages))
    return replace(instruction, stages=stages)


def is_plain(target: Target) -> bool:
    """Whether a target is a bare name: no colour, relation, order, side or exclusion."""
    bare = Target(target.label, radius=target.radius, passing=target.passing, unless=target.unless)
    return replace(target, named=False) == bare
