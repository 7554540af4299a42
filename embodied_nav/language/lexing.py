"""Takes the words of a clause for what they are: names, colours, relations, order, exclusion. Knows no sentences.

Every word must be one of these or a filler: a word that is not understood refuses the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .matching import Noun, longest_noun
from .spelling import suggestion
from .vocabulary import (
    COURTESY,
    FILLERS,
    ORDINALS,
    RANKS,
    RELATIONS,
    SHADES,
    is_negation,
    known_color,
    known_place,
)

#: Phrases excluded because they are ambiguous in an instruction to drive: "before" may be temporal.
_NOT_YET = ("before", "over", "around", "between")
#: Relations between two objects, longest first so that "next to" is not read as "to".
_RELATIONS = tuple(sorted((phrase for phrase in RELATIONS if phrase not in _NOT_YET), key=lambda p: (-len(p), p)))
#: Verbs that ask for more than driving if applied to a thing ("move the chair").
_DOING = (
    "get", "move", "take", "bring", "walk", "drive", "push", "stop", "turn", "make", "check", "park",
)  # fmt: skip
_DETERMINERS = (
    "the", "a", "an", "my", "your", "our", "his", "her", "their", "its", "this", "that", "some", "any", "it", "them",
)  # fmt: skip
_SIDE = re.compile(
    r"(?:(?P<there>on|to|at) (?:the|your|my|our|its) (?P<on>left|right)(?: ?hand)?(?: side)?"
    r"|(?:counted |counting |as seen )?from (?:the |your |my )?(?P<counted>left|right)(?: ?hand)?(?: side)?)(?! of\b)\b"
)
_SIDE_BEFORE = re.compile(r"(?:the )?(left|right)(?: ?hand)?(?: side)?(?= )")
_TO_US = re.compile(r"(?:away )?(?:to|from) (?:me|you|us|here)\b|away\b")
_MOST = {"leftmost": "from left", "rightmost": "from right"}

_NO = r"(?:do not|don'?t|never|not|must not|mustn'?t|should not|shouldn'?t|may not|cannot|can'?t|won'?t)"
_NOT_TO = (
    r"(?:ever |just |please |you |want |wish |(?:you )?to )*"
    r"(?:(?:go|drive|walk|move|navigate|head|travel|come|get|run)(?: over)?(?: to| towards?)"
    r"|stop (?:at|by|beside|near|next to|in front of)|visit|choose|pick|select|use|approach|want|mean|take|look for"
    r"|find|search for|seek|bring (?:me|us) to|take (?:me|us) to)"
)
_NOT_BY = (
    r"(?:ever |please |you |to )*(?:enter|cross|touch|pass|hit|block"
    r"|(?:go|drive|walk|move|come|get|run|look|stay)"
    r" (?:into|in|inside|through|past|by|near|over|across|close to|around|on|onto))"
)
#: Beginnings of what is not meant, longest first; and of what is not to be driven through or near.
_EXCLUDING = re.compile(
    rf"(?:but |and )*{_NO} {_NOT_TO}\b"
    r"|(?:but |and |just |only |definitely |certainly |please )*"
    r"(?:(?:that|which|who) (?:is|are) not|(?:that|which) (?:isn'?t|aren'?t)|that's not|is not|isn'?t|are not|aren'?t"
    r"|not(?: to)?(?= )|except(?: for)?|excluding|excepting|other than|apart from|aside from|rather than|instead of"
    r"|skip|skipping|ignore|ignoring|leave out|omit)\b(?! that\b)"
)
_OFF = re.compile(
    rf"(?:but |and )*(?:{_NO} {_NOT_BY}|without (?:passing|entering|crossing|touching"
    r"|going (?:through|into|past|near|by|over))"
    r"|(?:stay|keep|keeping|staying)(?: well| far)? (?:away from|out of|off|clear of)|avoid(?:ing)?"
    r"|not (?:through|past|via|into|over|across))\b"
)
_ANY_BUT = re.compile(r"(?:any|anything|anywhere|everything|everywhere|anybody|all|every)\b")


#: Makes the error from what is wrong.
Refusal = Callable[[str], InputError]


@dataclass(frozen=True)
class Token:
    """A meaningful part of a clause.

    Attributes:
        kind: noun, place, color, relation, rank, ordinal, side, one, and, or, but, not, off.
        value: the colour, relation and so on; the words as they stand for "not" and "off".
        start, end: indices of its words.
        noun: only of a noun.
    """

    kind: str
    value: str
    start: int
    end: int
    noun: Noun | None = None


def lex(words: Sequence[str], labels: Collection[str], refusal: Refusal) -> list[Token]:
    """The tokens of a clause.

    Args:
        words: lower case.
        labels: categories known in addition to the vocabulary.
        refusal: makes the error.

    Raises:
        InputError: a word is not understood, or excludes something in a way that is not.
    """
    tokens: list[Token] = []
    unknown: list[str] = []
    any_but = False
    k = 0
    while k < len(words):
        token = _token(words, k, labels, any_but)
        if token is not None:
            tokens.append(token)
            k = token.end
            continue
        word, following = words[k], words[k + 1] if k + 1 < len(words) else ""
        any_but = any_but or bool(_ANY_BUT.match(word))
        if is_negation(word):
            raise refusal(f"'{word}' excludes something, which is not understood")
        if not _is_idle(word, following):
            unknown.append(word)
        k += 1
    if unknown:
        raise refusal(f"not understood: {', '.join(_with_hint(w) for w in list(dict.fromkeys(unknown))[:5])}")
    return tokens


def names_kept_off(words: Sequence[str]) -> bool:
    """Whether words begin with what limits the way ("without passing")."""
    return bool(_OFF.match(" ".join(words) + " "))


def _is_idle(word: str, following: str) -> bool:
    """Whether a word changes nothing."""
    if word in _DOING and following in _DETERMINERS:
        return False
    if word in SHADES:
        return bool(known_color(following))
    return word in FILLERS or word in COURTESY or word in ("anywhere", "anything")


def _token(words: Sequence[str], k: int, labels: Collection[str], any_but: bool) -> Token | None:
    """The token that begins at a word, None for a word without one."""
    rest = " ".join(words[k:]) + " "
    word, following = words[k], words[k + 1] if k + 1 < len(words) else ""
    before = words[k - 1] if k else ""

    def token(kind: str, value: str, phrase: str = "", noun: Noun | None = None) -> Token:
        return Token(kind, value, k, k + len((phrase or word).split()), noun)

    if word in SHADES and known_color(following):
        return None
    if off := _OFF.match(rest):
        return token("off", off[0].strip(), off[0])
    if excluding := _EXCLUDING.match(rest):
        return token("not", excluding[0].strip(), excluding[0])
    if side := _SIDE.match(rest):
        return token("side", side["on"] or f"from {side['counted']}", side[0])
    if word in _MOST:
        return token("side", _MOST[word])
    if (which := _which(words, k, before, labels)) is not None:
        return which
    place = _longest_place(words[k:])
    noun, length = longest_noun(words[k:], labels)
    if place and len(place.split()) >= length:
        return token("place", known_place(place), place)
    if noun is not None:
        return Token("noun", noun.label, k, k + length, noun)
    if color := known_color(word):
        return token("color", color)
    if relation := _longest_relation(words[k:]):
        return token("relation", relation, relation)
    if word == "of" and _names_room(words, k + 1):
        return token("relation", "in")
    if word in ("one", "ones") and not _names(words, k + 1, labels) and following != "of":
        return token("one", word)
    if word == "but":
        return token("not" if any_but else "but", word)
    return token(word, word) if word in ("and", "or", "nor") else None


def _which(words: Sequence[str], k: int, before: str, labels: Collection[str]) -> Token | None:
    """Which one of several: "second", "nearest", "other"; and "left" before a name."""
    word, following = words[k], words[k + 1] if k + 1 < len(words) else ""
    side = _SIDE_BEFORE.match(" ".join(words[k:]) + " ")
    if side and _names(words, k + len(side[0].split()), labels):
        return Token("side", side[1], k, k + len(side[0].split()))
    if word not in ORDINALS and word not in RANKS:
        return None
    to_us = _TO_US.match(" ".join(words[k + 1 :]))
    alone = (following in ("of", "") and before in _DETERMINERS) or (following == "" and before in ("is", "are"))
    named = _names(words, k + 1, labels) or alone or to_us is not None
    if word in ("first", "last") and not (named and before in _DETERMINERS):
        return None  # "first the sofa": an order of goals
    if not named:
        return None
    if word in ORDINALS:
        return Token("ordinal", str(ORDINALS[word]), k, k + 1)
    return Token("rank", RANKS[word], k, k + 1 + (len(to_us[0].split()) if to_us else 0))


def _names_room(words: Sequence[str], k: int) -> bool:
    """Whether a room's name begins at a word, after an article ("the door of the kitchen")."""
    k += words[k : k + 1] == ["the"]
    noun = longest_noun(words[k:])[0]
    return noun is not None and noun.is_room


def _names(words: Sequence[str], k: int, labels: Collection[str]) -> bool:
    """Whether a name begins at a word, after colours, an order and the like."""
    skipped = (*SHADES, *ORDINALS, *RANKS, "left", "right", "hand")
    while k < len(words) and (known_color(words[k]) or words[k] in skipped):
        if words[k] in ("left", "right") and k + 1 < len(words) and words[k + 1] == "of":
            return False
        k += 1
    return k < len(words) and (words[k] in ("one", "ones") or longest_noun(words[k:], labels)[0] is not None)


def _with_hint(word: str) -> str:
    meant = suggestion(word)
    return f"'{word}' (did you mean '{meant}'?)" if meant else f"'{word}'"


def _longest_relation(words: Sequence[str]) -> str:
    """The longest relation that the words begin with, "" if none."""
    rest = " ".join(words) + " "
    return next((r for r in _RELATIONS if rest.startswith(r + " ")), "")


def _longest_place(words: Sequence[str]) -> str:
    """The longest name of a place that the words begin with, "" if none."""
    return next((p for n in range(5, 0, -1) if known_place(p := " ".join(words[:n])) and len(words) >= n), "")
