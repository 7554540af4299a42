"""Conditions that skip a goal: "skip the bed if somebody is in it", "unless a dog is there". Knows no goals.

Only the presence of a thing at the goal can be a condition: that is what a robot that arrives can see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from .lexing import Refusal
from .matching import longest_noun
from .vocabulary import ANYBODY

_ITS = r"(?:it|them|there|here|that|this|that one|nearby|around|close by|(?:the |my |that )?(?P<place>[\w' ]+?))"
_AT = (
    r"(?:(?:sitting|lying|sleeping|standing|resting|already|still|currently) )*"
    r"(?:in |on |at |by |near |beside |next to |inside |in front of )?"
)
_WHO = r"(?P<who>[\w' ]+?)"
_PRESENT = rf"{_WHO}(?: is| are|'s| sits| lies| sleeps| stands) {_AT}{_ITS}"
_THERE = rf"there(?: is|'s| are) (?P<who2>[\w' ]+?)(?: {_AT}{_ITS.replace('place', 'place2')})?"
_FULL = r"it(?: is|'s) (?:already )?(?P<full>occupied|taken|in use)"
_FREE = r"it(?: is|'s) (?:still )?(?P<free>free|empty|unoccupied|not occupied|not taken|not in use)"
_IF = rf"(?:{_THERE}|{_FULL}|{_PRESENT})"
_NOBODY = re.compile(r"^(?:nobody|no one|noone|no (?P<thing>.+))$")
_SKIP = r"(?:skip|leave out|ignore|omit|don'?t go to|do not go to|don'?t visit|do not visit)"
#: Whole conditions, each the end of a clause or a clause of its own.
_FORMS = (
    re.compile(rf"(?:and |but |or )*(?:please )?{_SKIP} (?P<what>[\w' ]+?) (?:if|when|in case) {_IF}$"),
    re.compile(rf"(?:and |but |or )*unless {_IF}$"),
    re.compile(rf"(?:and |but )*(?:only )?(?P<wanted>if|when|as long as) (?:{_FREE}|{_THERE}|{_PRESENT})$"),
)
#: "If somebody is in it, skip it": the consequence follows the condition.
_TURNED = re.compile(rf"\b(?:if|when|in case) (?P<condition>[^,]+?) ?, (?:then )?(?P<skip>{_SKIP} [\w' ]+)")


@dataclass(frozen=True)
class Condition:
    """A goal is skipped where something is at it.

    Attributes:
        what: words for the goal, "" or "it" for the last one.
        label: of the thing whose presence counts.
        place: words for where it is, "" for at the goal.
    """

    what: str
    label: str
    place: str


def turned(text: str) -> str:
    """A sentence with its conditions before their consequences put behind them."""
    return _TURNED.sub(lambda found: f"{found['skip']} if {found['condition']}", text)


def split_condition(clause: str, labels: Collection[str], refusal: Refusal) -> tuple[str, Condition | None]:
    """A clause without the condition at its end, and that condition; None where it has none.

    Raises:
        InputError: it has a condition that is not understood.
    """
    for form in _FORMS:
        for start in _beginnings(clause):
            found = form.match(clause, start)
            if found:
                condition = _condition(found.groupdict().get, labels)
                if condition is not None:
                    return clause[:start].strip(), condition
    if re.search(r"\b(?:if|unless|in case|as long as|until)\b", clause):
        raise refusal(f"the condition '{clause}' is not understood; a goal can be skipped if a thing is at it")
    return clause, None


def _beginnings(clause: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer(r" ", clause))]


def _condition(group: Callable[[str], str | None], labels: Collection[str]) -> Condition | None:
    what = (group("what") or "").strip()
    place = (group("place") or group("place2") or "").strip()
    if group("full") or group("free"):
        return Condition(what, "person", "")
    who = re.sub(r"^(?:a|an|any|some|the) ", "", (group("who") or group("who2") or "").strip())
    nobody = _NOBODY.match(who)
    if (group("wanted") is not None) != bool(nobody):
        return None  # "if somebody is there" alone asks for somebody
    if nobody:
        who = nobody["thing"] or "person"
    if who in ANYBODY:
        return Condition(what, "person", place)
    words = who.split()
    noun, length = longest_noun(words, labels)
    return Condition(what, noun.label, place) if noun and not noun.is_room and length == len(words) else None
