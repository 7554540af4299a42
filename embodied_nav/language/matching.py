"""Finds what a text names, and scores how well a (label, colour) matches it. Knows no maps and no grammar.

The reasoner (where to drive), the memory (what to answer) and perception (what is relevant to an instruction) all use
these functions, so that the same words find the same things.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .vocabulary import FILLERS, FURNISHINGS, SHADES, canonical, known_color, known_label, known_room

#: Length of the longest name in words.
LONGEST = 4
#: Score of a label that is only related to the requested one.
AKIN = 0.4
#: Categories that people and detectors confuse.
_AKIN = (
    {"sink", "washbasin"}, {"cup", "mug"}, {"book", "magazine"}, {"screen", "tv"}, {"screen", "monitor"},
)  # fmt: skip
#: Colours that cameras and people confuse.
_ALIKE = (
    {"red", "orange"}, {"orange", "brown"}, {"red", "brown"}, {"red", "pink"}, {"pink", "purple"}, {"purple", "blue"},
    {"blue", "turquoise"}, {"green", "turquoise"}, {"black", "gray"}, {"white", "gray"}, {"yellow", "orange"},
)  # fmt: skip
#: Weights of label and colour in the match score.
LABEL_SHARE, COLOR_SHARE = 0.6, 0.3
#: Words that name no category.
_ANYTHING = FILLERS | {
    ",",
    "nearest",
    "closest",
    "thing",
    "things",
    "object",
    "objects",
    "something",
    "anything",
    "everything",
}
#: Words that name a category and colour no closer: "some red thing".
_UNSAYING = frozenset("""
    a an the my your our his her their its any some this that these those of please there thing things object objects
    something anything everything is are was were
""".split())  # fmt: skip  # noqa: SIM905
#: A colour belongs to a noun that follows within this many words ("red leather sofa").
_REACH = 2


@dataclass(frozen=True)
class Noun:
    """A thing or a room that a text names.

    Attributes:
        label: its category, by the vocabulary; a room's kind.
        color: the colour given to it, or "".
        is_room: whether the label is a kind of room.
    """

    label: str
    color: str = ""
    is_room: bool = False


def longest_noun(words: Sequence[str], labels: Collection[str] = ()) -> tuple[Noun | None, int]:
    """The longest name of a thing or room that words (lower case) begin with, and its number of words; else (None, 0).

    ``labels`` are known in addition to the vocabulary.
    """
    for length in range(min(LONGEST, len(words)), 0, -1):
        phrase = " ".join(words[:length])
        if room := known_room(phrase):
            return Noun(room, "", True), length
        if label := known_label(phrase, labels):
            return Noun(label), length
    return None, 0


def label_score(label: str, wanted: str) -> float:
    """How well a label matches the requested one, 0 to 1, by the vocabulary.

    1 for the same category and for a subtype of a general one (a dining table is a table), :data:`AKIN` where one is a
    subtype of the other but both are categories in their own right (an office chair is not what "chair" means), else 0.
    """
    label, wanted = canonical(label), canonical(wanted)
    if label == wanted:
        return 1.0
    if label.endswith(" " + wanted):
        return AKIN if wanted in FURNISHINGS else 1.0
    return AKIN if wanted.endswith(" " + label) or {label, wanted} in _AKIN else 0.0


def color_score(color: str, wanted: str) -> float:
    """1 if no colour is requested or it is the same, 0.6 if it is unknown, 0.3 for a similar one, else 0."""
    if not wanted or color == wanted:
        return 1.0
    if not color:
        return 0.6
    return 0.3 if {color, wanted} in _ALIKE else 0.0


def match_text(text: str, label: str, color: str) -> float:
    """How well a (label, colour) matches a text, 0 to 1; 0 if the text names another label, or no label and no colour.

    A wrong colour lowers the score but does not exclude: without a red sofa, the blue one is reported.
    """
    nouns, colors = understood(text, _names(label))
    if not nouns:
        return float(color in colors)
    return max(label_score(label, noun.label) * _color_share(color, noun.color) for noun in nouns)


def understood(text: str, labels: Collection[str] = ()) -> tuple[tuple[Noun, ...], frozenset[str]]:
    """The things that a text names; if it consists of colours and filler words only, the colours.

    Unlike an instruction, a text may contain unknown words. ``labels`` are known in addition to the vocabulary.
    """
    return _understood(text, frozenset(labels))


def names_thing(text: str, label: str, color: str) -> int:
    """How clearly a sentence names a (label, colour): 0 not at all, 5 by category and colour.

    If the sentence gives the label a colour, things of another colour are not meant.
    """
    best = 0
    for noun in understood(text, _names(label))[0]:
        score = label_score(label, noun.label)
        if score > 0 and (not noun.color or not color or noun.color == color):
            exact = canonical(label) == noun.label
            best = max(best, (3 if exact else 1) + 2 * bool(color and noun.color))
    return best


def colors_in(text: str) -> frozenset[str]:
    """All colours that a text names."""
    return frozenset(filter(None, map(known_color, _words(text))))


def color_fit(text: str, color: str) -> float:
    """1 for a thing of a colour that a text names anywhere, or if it names none; else what a wrong colour leaves."""
    return max((_color_share(color, wanted) for wanted in colors_in(text)), default=1.0)


def describes(text: str, labels: Collection[str] = ()) -> bool:
    """Whether a text says more than names, colours and articles: "somewhere to sit" does, "the red sofa" does not.

    ``labels`` are known in addition to the vocabulary.
    """
    words, k = _words(text), 0
    while k < len(words):
        length = longest_noun(words[k:], labels)[1]
        if not length and not (known_color(words[k]) or words[k] in _UNSAYING or words[k] in SHADES):
            return True
        k += max(length, 1)
    return False


def _names(label: str) -> frozenset[str]:
    """A label and its head noun, which are recognised in a text even if the vocabulary lacks them.

    A head noun that is a filler word, too, is none: "where can I sit" names no trash can.
    """
    label = canonical(label)
    return frozenset((label, *(word for word in label.split()[-1:] if word not in FILLERS)))


def _color_share(color: str, wanted: str) -> float:
    if not wanted:
        return 1.0
    return (LABEL_SHARE + COLOR_SHARE * (color == wanted)) / (LABEL_SHARE + COLOR_SHARE)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+|,", text.lower())


@lru_cache(maxsize=4096)
def _understood(text: str, labels: frozenset[str]) -> tuple[tuple[Noun, ...], frozenset[str]]:
    words, nouns, others = _words(text), [], 0
    color, color_at, k, ended = "", 0, 0, -1
    while k < len(words):
        noun, length = longest_noun(words[k:], labels)
        if words[k] in SHADES and k + 1 < len(words) and known_color(words[k + 1]):
            length = 1
        elif noun is not None:
            color = color if k - color_at <= _REACH else ""
            nouns.append((noun, color, ended == k))
            color, ended = "", k + length
        else:
            length = 1
            if known_color(words[k]):
                color, color_at = known_color(words[k]), k
            else:
                others += words[k] not in _ANYTHING
        k += length
    things = _joined(nouns)
    if things and color and not things[-1].color:
        things[-1] = Noun(things[-1].label, color)  # "the sofa that is red"
    return tuple(things), frozenset() if others or things else colors_in(text)


def _joined(nouns: Sequence[tuple[Noun, str, bool]]) -> list[Noun]:
    """Joins nouns in a row: the first specifies the second ("sofa table"); a room tells its place ("kitchen table")."""
    things: list[Noun] = []
    kept = False  # whether the noun before was a thing
    for noun, color, follows in nouns:
        if not noun.is_room:
            if follows and kept:
                last = things.pop()
                noun, color = Noun(f"{last.label} {noun.label}"), color or last.color
            things.append(Noun(noun.label, color))
        kept = not noun.is_room
    return things
