"""Parses an instruction: which object or room to go to, beside what, past what. Knows nothing of maps and of models."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from .matching import Noun, longest_noun
from .vocabulary import FILLERS, RELATIONS, ROOM_WORDS, SHADES, alike, known_color, negation

#: In routes the distance to a thing is at least the distance to its middle minus this (m): routes lead to points.
ROUTE_RADIUS = 0.7

#: Phrases excluded because they are ambiguous in an instruction to drive: "before" may be temporal.
_NOT_YET = ("before", "over", "around", "between")
#: Relations between two objects, longest first so that "next to" is not read as "to".
_RELATIONS = tuple(sorted((phrase for phrase in RELATIONS if phrase not in _NOT_YET), key=lambda p: (-len(p), p)))
#: Relations that, without an object before them ("stop beside it"), are satisfied by stopping near a thing; others
#: ask for more.
_NEAR = (
    "in front of", "close to", "near to", "next to", "adjacent to", "beside", "besides", "alongside", "near", "inside",
    "within", "by", "on", "at", "in",
)  # fmt: skip
_AND = "and"
#: Verbs that ask for more than driving if applied to a thing ("move the chair").
_DOING = ("get", "move", "take", "bring", "walk", "drive", "push", "stop", "turn")
_DONE_TO = (
    "the", "a", "an", "my", "your", "our", "his", "her", "their", "its", "this", "that", "some", "any", "it", "them",
)  # fmt: skip
_CARRYING = re.compile(r"\b(bring|take|get) (?:me|us) (?!(?:to|into|towards?|over|near|back|up|down|there|inside)\b)")
_PASS = re.compile(
    r"^(?:then |and |first )*(?:walk |go |drive |move |head )?(?:pass|past|passing|pass by|via|by way of)\b"
)
_LEAVE = re.compile(r"^(?:then |and |first )*(?:leave|exit|get out of|go out of|walk out of|come out of)\b")


@dataclass(frozen=True)
class Target:
    """One thing to go to.

    Attributes:
        label: category of the object, or kind of the room.
        color: of the object, "" if not given.
        is_room: whether the label is a kind of room.
        relation: word between the target and its anchor ("beside"), "" without one.
        anchor_label, anchor_color: the object (or, for "in", the room) that it stands in relation to.
        radius: m; the distance to it is at least that to its middle minus this: finite for the points of a route.
    """

    label: str
    color: str = ""
    is_room: bool = False
    relation: str = ""
    anchor_label: str = ""
    anchor_color: str = ""
    radius: float = math.inf

    @property
    def is_point(self) -> bool:
        """Whether it is a way point of a route."""
        return math.isfinite(self.radius)

    @property
    def name(self) -> str:
        """Description in words: "red sofa beside the bed"."""
        own = f"{self.color} {self.label}".strip()
        anchor = f"{self.anchor_color} {self.anchor_label}".strip()
        return f"{own} {self.relation} the {anchor}" if anchor else own

    @property
    def anchor_is_room(self) -> bool:
        """Whether the anchor is a room ("the lamp in the bedroom")."""
        return self.anchor_label in ROOM_WORDS


@dataclass(frozen=True)
class Instruction:
    """A parsed sentence.

    Attributes:
        text: the original sentence.
        kind: ``object``, ``relation``, ``room`` or ``route``.
        target: where to stop.
        waypoints: what to pass on the way, in order.
    """

    text: str
    kind: str
    target: Target
    waypoints: tuple[Target, ...] = ()

    @property
    def stages(self) -> tuple[Target, ...]:
        """Way points, then the target."""
        return (*self.waypoints, self.target)


def parse_instruction(text: str, labels: Collection[str] = ()) -> Instruction:
    """Parses an English instruction. Every word must be understood, since a robot acts on it.

    Args:
        text: the sentence.
        labels: categories known in addition to the vocabulary, such as those in the memory.

    Raises:
        InputError: it is empty, has an unknown word or a negation, or names no thing and no room.
    """
    clauses = [c.split() for c in re.split(r",|\bthen\b|\band (?=stop|go|find|pass|walk|leave)", _clean(text))]
    clauses = [words for words in clauses if words]
    excluded = negation(word for words in clauses for word in words)
    if excluded:
        raise _refusal(text, f"'{excluded}' excludes something, which is not understood yet")
    carrying = _CARRYING.search(" ".join(word for words in clauses for word in words) + " ")
    if carrying:
        raise _refusal(text, f"'{carrying[1]}' asks for more than driving somewhere")
    waypoints: list[Target] = []
    target, leaves = None, False
    for words in clauses:
        clause = re.sub(r"^(?:(?:and|finally|first|please|now) )+", "", " ".join(words))
        leaving, passing = _LEAVE.match(clause), _PASS.match(clause)
        begun = leaving or passing
        rest = clause[begun.end() :] if begun else clause
        found = _targets(text, rest.split(), labels)
        if leaving:
            if any(not t.is_room for t in found):
                raise _refusal(text, f"'{clause}': only a room can be left")
            leaves = True
            continue
        if passing:
            waypoints.extend(found)
            continue
        # "Go to the red sofa, stop beside it" names one target; of several, all but the last are way points.
        named = [target, *found] if target is not None else found
        waypoints.extend(named[:-1])
        target = named[-1] if named else None
    if target is None and waypoints:
        target = waypoints.pop()
    if target is None:
        raise _refusal(text, "names no object and no room")
    return _instruction(text, target, waypoints, bool(waypoints) or (leaves and len(clauses) > 1))


def _instruction(text: str, target: Target, waypoints: list[Target], is_route: bool) -> Instruction:
    if is_route:
        target = replace(target, radius=ROUTE_RADIUS)
        return Instruction(text, "route", target, tuple(replace(w, radius=ROUTE_RADIUS) for w in waypoints))
    kind = "room" if target.is_room else "relation" if target.anchor_label else "object"
    return Instruction(text, kind, target)


def _clean(text: str) -> str:
    """Words and commas in lower case, separated by one space; other punctuation is dropped."""
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'").replace("\u2018", "'")
    text = re.sub(r"[^\w',]|_|(?<!\w)'|'(?!\w)", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def _refusal(text: str, why: str) -> InputError:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return InputError(f"instruction '{shown}': {why}; say for example 'find the red sofa'")


def _targets(text: str, words: Sequence[str], labels: Collection[str]) -> list[Target]:
    """The things that a clause names, each with its anchor.

    Raises:
        InputError: an unknown word, or two things without a clear relation.
    """
    found: list[Target] = []
    nouns: list[Noun] = []
    relation = ""
    for element in [*_elements(text, words, labels), _AND]:
        if isinstance(element, Noun):
            # Of two nouns in a row the first specifies the second ("sofa table") or its room ("kitchen table").
            if nouns and len(nouns) == 1 + bool(relation):
                last = nouns[-1]
                if last.is_room and not relation:
                    nouns, relation = [element, last], "in"
                else:
                    color = element.color or last.color
                    nouns[-1] = Noun(f"{last.label} {element.label}", color, element.is_room)
            else:
                nouns.append(element)
        elif element == _AND:
            if relation and len(nouns) < 2:
                raise _refusal(text, f"what it is '{relation}' is not understood")
            if nouns:
                found.append(_target(nouns, relation))
            nouns, relation = [], ""
        elif nouns and relation:
            raise _refusal(text, f"two relations of one thing are not understood yet: '{relation}', '{element}'")
        elif nouns:
            relation = element
        elif element not in _NEAR:
            raise _refusal(text, f"to stand '{element}' a thing is not understood yet")
    return found


def _target(nouns: Sequence[Noun], relation: str) -> Target:
    own = nouns[0]
    if len(nouns) == 1:
        return Target(own.label, own.color, own.is_room)
    anchor = nouns[1]
    return Target(own.label, own.color, own.is_room, relation, anchor.label, anchor.color)


def _elements(text: str, words: Sequence[str], labels: Collection[str]) -> list[Noun | str]:
    """Nouns, relations and "and" of a clause, in order. A relation without a noun before it tells where to stop.

    Raises:
        InputError: unknown words.
    """
    elements: list[Noun | str] = []
    color, unknown, k = "", [], 0
    while k < len(words):
        word, following = words[k], words[k + 1] if k + 1 < len(words) else ""
        noun, length = longest_noun(words[k:], labels)
        if word in SHADES and known_color(following):
            length = 1
        elif noun is not None:
            elements.append(replace(noun, color=color))
            color = ""
        elif known_color(word):
            color, length = known_color(word), 1
        elif relation := _longest_relation(words[k:]):
            elements.append(relation)
            length = len(relation.split())
        elif word == _AND and not color:
            elements.append(_AND)
            length = 1
        else:
            length = 1
            if word not in FILLERS or (word in _DOING and following in _DONE_TO):
                unknown.append(word)
        k += length
    if unknown:
        shown = list(dict.fromkeys(unknown))[:5]
        raise _refusal(text, f"not understood: {', '.join(_with_hint(w) for w in shown)}")
    if color:
        _color_the_last(text, elements, color)
    return elements


def _color_the_last(text: str, elements: list[Noun | str], color: str) -> None:
    """Assigns a colour that follows its noun: "the sofa that is red"."""
    last = elements[-1] if elements else None
    if not isinstance(last, Noun) or last.color:
        raise _refusal(text, f"what is {color} is not understood")
    elements[-1] = replace(last, color=color)


def _with_hint(word: str) -> str:
    meant = alike(word)
    return f"'{word}' (did you mean '{meant}'?)" if meant else f"'{word}'"


def _longest_relation(words: Sequence[str]) -> str:
    """The longest relation that the words begin with, "" if none."""
    rest = " ".join(words) + " "
    return next((r for r in _RELATIONS if rest.startswith(r + " ")), "")
