"""Parses a question: what is asked for, its spatial relations, place and time. Knows words, no objects."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError
from .vocabulary import RELATIONS, known_label

#: Phrases that queries do not support ("opposite"), or that are part of a thing's name ("with").
_LEFT_OUT = ("opposite", "across from", "with")
#: Phrase -> relation; longer phrases are tried first.
_RELATIONS = {phrase: relation for phrase, relation in RELATIONS.items() if phrase not in _LEFT_OUT}
_UNITS = {"second": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "h": 3600.0, "day": 86400.0}
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10, "twenty": 20, "thirty": 30,
    "few": 3, "couple": 2, "half": 0.5,
}  # fmt: skip
_TIME = re.compile(
    r"\b(?:in|within|during|over|from|since)?\s*(?:the\s+)?(?:last|past|previous)\s+"
    r"(?:(\d+(?:\.\d+)?|" + "|".join(_NUMBERS) + r")\s+)?(?:of\s+)?(?:an?\s+)?(" + "|".join(_UNITS) + r")s?\b"
)
_JUST = re.compile(r"\b(?:just now|right now|a moment ago|recently)\b")
_ASKING = re.compile(
    r"^(?:please|(?:can|could) you|tell me|show me|show|give me|find me|find|list|look for|search for|locate|"
    r"where (?:is|are|was|were|did you (?:last )?see)|what (?:is|are|was|were|stands?|lies|did you see|have you seen|"
    r"do you (?:see|know|remember))|which|is there|are there|do you (?:see|know|remember)|did you see|have you seen|"
    r"how many|who|what|has|have|everything|anything|things?|objects?|all|any|some|the|an?|that|is|are|was|were|"
    r"you saw)\b\s*"
)
_IS = re.compile(r"\b(where|what|who|how|there|that|it)'s\b")
_SUPERLATIVE = re.compile(r"\b(?:nearest|closest)\b(?:\s+to me)?\s*")
_GONE = re.compile(r"\b(?:gone|missing|carried away|taken away|removed|disappeared|not there any ?more)\b")
_MOVED = re.compile(r"\b(?:moved|displaced|somewhere else)\b")
#: A moment ago, s.
_RECENT = 30.0


@dataclass(frozen=True)
class Question:
    """A parsed question.

    Attributes:
        subject: words for what is asked for; "" for anything.
        relations: (kind, landmarks in words) pairs; two landmarks for ``between``, a room's words for ``in``.
        seconds: only things seen within so many seconds, or None. nearest: sort by distance. gone, moved: only such.
    """

    subject: str
    relations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    seconds: float | None = None
    nearest: bool = False
    gone: bool = False
    moved: bool = False


def words_of(text: str) -> str:
    """The words of a question in lower case, one space between them; "where's" as two, "children's" as it is."""
    text = _IS.sub(r"\1 is", text.lower().replace("\u2019", "'"))
    return " ".join(word.strip("'") for word in re.findall(r"[a-z0-9.']+", text)).strip(" .")


def wording(text: str) -> str:
    """A question's words without those of asking and without a parse: "where is the thing I sit on" -> "i sit on"."""
    return _stripped(words_of(text))


def take_apart(text: str) -> Question:
    """Parses a sentence; words that are not understood remain in the subject.

    Raises:
        InputError: "between" without two things.
    """
    words = words_of(text)
    seconds, words = seconds_in(words)
    nearest, words = _cut(_SUPERLATIVE, words)
    gone, words = _cut(_GONE, words)
    moved, words = _cut(_MOVED, words)
    subject, relations = _relations(words)
    return Question(_stripped(subject), relations, seconds, nearest, gone, moved)


def seconds_in(words: str) -> tuple[float | None, str]:
    """The span (s) that "in the last ten minutes" and the like name (None for none), and the words without it."""
    found = _TIME.search(words)
    if found:
        count = found.group(1)
        number = 1.0 if count is None else float(_NUMBERS[count]) if count in _NUMBERS else float(count)
        return number * _UNITS[found.group(2)], without(found, words)
    found = _JUST.search(words)
    return (_RECENT, without(found, words)) if found else (None, words)


def without(found: re.Match[str], words: str) -> str:
    """Words without what a pattern found in them."""
    return " ".join((words[: found.start()] + " " + words[found.end() :]).split())


def _cut(pattern: re.Pattern[str], words: str) -> tuple[bool, str]:
    found = pattern.search(words)
    return (True, without(found, words)) if found else (False, words)


def _relations(words: str) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    phrases = "|".join(re.escape(p) for p in sorted(_RELATIONS, key=len, reverse=True))
    found = list(re.finditer(rf"(?:^|(?<=\s))(?:{phrases})(?=\s)", words))
    if not found:
        return words, ()
    out = []
    for k, match in enumerate(found):
        end = found[k + 1].start() if k + 1 < len(found) else len(words)
        kind, rest = _RELATIONS[match.group(0)], words[match.end() : end].strip()
        things = tuple(_stripped(t.strip()) for t in (rest.split(" and ") if kind == "between" else (rest,)))
        if kind == "between" and (len(things) != 2 or not all(things)):
            raise InputError(f"'between {rest}': name two things, such as 'between the sofa and the tv'")
        if all(things):
            out.append((kind, things))
    return words[: found[0].start()].strip(), tuple(out)


def _stripped(words: str) -> str:
    """Removes the words of asking ("where is")."""
    while found := _ASKING.match(words):
        words = words[found.end() :]
    words = words.strip()
    if known_label(" ".join(words.split()[-2:])):  # "tv stands" are things, too
        return words
    return re.sub(r"\s+(?:is|are|was|were|stands?|lies|that)$", "", words)
