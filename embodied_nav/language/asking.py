"""Parses questions about space, order and change: VSI-Bench's wordings and everyday ones. Knows words, no maps.

    ask_about("How far is the red chair from the bed?")   # Asked("distance", (chair red, bed), ...)

Where :mod:`question` asks which things fit, here a number, a direction, a room or an order is asked for. The wordings
of VSI-Bench (Yang et al. 2024, arXiv 2412.14171, its question templates) are among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .matching import Noun, longest_noun
from .vocabulary import known_color

#: The kinds of questions, with what each asks for.
KINDS = {
    "count": "how many there are of a category",
    "distance": "metres between the nearest points of two things",
    "nearest": "which thing is nearest to another, or to where the robot is",
    "direction": "on which side something is for who stands at one thing and faces another",
    "size": "how large a thing is",
    "room_size": "square metres of a room, or of all rooms",
    "route": "the turns on a way from thing to thing",
    "order": "which was seen first",
    "gone": "what is not there any more",
    "action": "what the robot did a few keyframes ago",
    "here": "in which room the robot is",
    "next": "how to set off to a thing",
    "where": "in which room a thing is",
}
#: What can be asked, in one sentence, for whoever asked something else.
EXAMPLES = (
    '"how many chairs are in the kitchen?", "how far is the sofa from the tv?", "which is nearer to the bed, the lamp '
    'or the desk?", "is the lamp left of the bed when you face it?", "how long is the table?", "how big is the '
    'kitchen?", "which did you see first, the oven or the bed?", "what is gone?", "in which room am I?", "where is the '
    'oven?"'
)
#: Texts longer than this are not read.
LONGEST = 2000

_UNSAID = {"the", "a", "an", "my", "your", "our", "this", "that", "these", "those", "any", "some", "one"}
_EVERYWHERE = re.compile(
    r"^(?:there|here|all|total|in all|(?:this|the|whole|entire) (?:room|space|apartment|flat|house|building|home|map))$"
)
_ME = {"me", "you", "robot", "here", "myself", "yourself"}
_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "a": 1, "an": 1,
}  # fmt: skip
_POLITE = re.compile(r"^(?:please|hey|hello|tell me|(?:can|could|would) you (?:please )?tell me|do you know)[, ]+")


@dataclass(frozen=True)
class Asked:
    """A question that was understood.

    Attributes:
        kind: one of :data:`KINDS`.
        things: what it is about, in the order of the kind: the counted; the two ends; the thing that others are near
            to; who stands where, faces what, and looks for what; the start, what it faces, then the legs of a route.
            Of ``nearest``, ``direction`` and ``next``, None stands for the robot itself.
        choices: the things that it offers for an answer, as in "the lamp or the desk"; may be empty.
        room: kind of room that it is limited to, or "".
        detail: ``direction``: the sides to choose from, "left" for a yes-or-no question; ``size``: longest, width,
            height or all; ``action``: how many keyframes before the last, in digits.
    """

    kind: str
    things: tuple[Noun | None, ...] = ()
    choices: tuple[Noun, ...] = ()
    room: str = ""
    detail: str = ""


def ask_about(text: str, labels: Collection[str] = ()) -> Asked:
    """Parses one question.

    Args:
        labels: categories known beside the vocabulary's, such as those in the memory.

    Raises:
        InputError: none of the forms, or it names something unknown; the message says what was understood.
    """
    words = _normal(text)
    for pattern, build in _FORMS:
        if found := pattern.search(words):
            return build(found, labels)
    raise InputError(f'"{_short(text)}" is no question that I know: ask {EXAMPLES}')


def thing_named(phrase: str, labels: Collection[str] = ()) -> Noun:
    """The thing or room that a phrase names, as in "the red office chair".

    Raises:
        InputError: it names none, or holds words that mean nothing here.
    """
    words = [w for w in re.findall(r"[a-z0-9'-]+", phrase.lower().replace("(s)", "")) if w not in _UNSAID]
    color, noun, k = "", None, 0
    while k < len(words):
        found, length = longest_noun(words[k:], labels)
        if found is not None and noun is None:
            noun = found
        elif known_color(words[k]) and not color:
            color, length = known_color(words[k]), 1
        else:
            raise InputError(f"'{_short(phrase)}' is no thing that I know: '{words[k]}' means nothing here")
        k += length
    if noun is None:
        raise InputError(f"'{_short(phrase)}' names no thing that I know")
    return Noun(noun.label, color, noun.is_room)


# ---- forms ----


def _normal(text: str) -> str:
    if len(text) > LONGEST:
        raise InputError(f"the question has {len(text)} characters: ask in at most {LONGEST}")
    words = " ".join(text.lower().replace("\u2019", "'").split()).strip(" ?.!\"'")
    words = re.sub(r"\b(what|where|which|how)'s\b", r"\1 is", words)
    while found := _POLITE.match(words):
        words = words[found.end() :]
    return words


def _short(text: str) -> str:
    return " ".join(text.split())[:120]


def _listed(phrase: str, labels: Collection[str]) -> tuple[Noun, ...]:
    """Things in a list: "a, b and c"."""
    return tuple(thing_named(p, labels) for p in re.split(r",\s*(?:and |or )?| and | or ", phrase) if p.strip())


def _thing_or_robot(phrase: str | None, labels: Collection[str]) -> Noun | None:
    words = [w for w in (phrase or "").split() if w not in _UNSAID]
    return None if not words or set(words) <= _ME else thing_named(" ".join(words), labels)


def _room_named(phrase: str | None, labels: Collection[str]) -> str:
    """Kind of the room that a phrase names; "" for everywhere."""
    phrase = (phrase or "").strip()
    if not phrase or _EVERYWHERE.match(phrase):
        return ""
    noun = thing_named(phrase, labels)
    if not noun.is_room:
        raise InputError(f"'{_short(phrase)}' is no room: give a kind of room, such as kitchen")
    return noun.label


def _count(m: re.Match[str], labels: Collection[str]) -> Asked:
    rest = re.sub(r"^(?:there|here)\b ?", "", (m["rest"] or "").strip())
    rest = re.sub(r"^(?:do |did |can |have )?(?:you |i )?(?:see|seen|know of|know|remember|have)?\s*", "", rest)
    room = re.match(r"(?:in|inside) (.+)$", rest)
    if rest and room is None and not _EVERYWHERE.match(rest):
        raise InputError(
            f"in a question for a number '{_short(rest)}' is not understood: ask for things, or those in a room"
        )
    return Asked("count", (thing_named(m["a"], labels),), room=_room_named(room[1] if room else "", labels))


def _distance(m: re.Match[str], labels: Collection[str]) -> Asked:
    return Asked("distance", (_thing_or_robot(m["a"], labels), _thing_or_robot(m["b"], labels)))


def _nearest(m: re.Match[str], labels: Collection[str]) -> Asked:
    groups = m.groupdict()
    return Asked("nearest", (_thing_or_robot(groups.get("x"), labels),), _listed(groups.get("list") or "", labels))


def _direction(m: re.Match[str], labels: Collection[str]) -> Asked:
    sides = m["sides"]
    level = "hard" if "front-left" in sides else "medium" if "back" in sides else "easy"
    things = (thing_named(m["a"], labels), thing_named(m["b"], labels), thing_named(m["c"], labels))
    return Asked("direction", things, detail=level)


def _side_of(m: re.Match[str], labels: Collection[str]) -> Asked:
    groups = m.groupdict()
    face = thing_named(m["b"], labels)
    seen = groups.get("faced")
    if seen and not set(seen.split()) <= {"it", "that", "this"} and thing_named(seen, labels) != face:
        raise InputError(f"left and right of the {m['b']} are asked for, facing the {seen}: face the same thing")
    stand = _thing_or_robot(groups.get("stand"), labels)
    return Asked("direction", (stand, face, thing_named(m["c"], labels)), detail=groups.get("side") or "easy")


def _size(m: re.Match[str], labels: Collection[str]) -> Asked:
    noun, word = thing_named(m["a"], labels), m.groupdict().get("how") or "longest"
    if noun.is_room:
        return Asked("room_size", room=noun.label)
    ways = {"longest": "longest", "long": "longest", "wide": "width", "tall": "height", "high": "height"}
    return Asked("size", (noun,), detail=ways.get(word, "all"))


def _room_size(m: re.Match[str], labels: Collection[str]) -> Asked:
    return Asked("room_size", room=_room_named(m["a"], labels))


def _order(m: re.Match[str], labels: Collection[str]) -> Asked:
    choices = _listed(m["list"], labels)
    if len(choices) < 2:
        raise InputError("an order is asked for, of one thing only: name two or more")
    return Asked("order", choices=choices)


def _gone(m: re.Match[str], labels: Collection[str]) -> Asked:
    return Asked("gone", choices=_listed(m.groupdict().get("list") or "", labels))


def _action(m: re.Match[str], labels: Collection[str]) -> Asked:
    back = m.groupdict().get("back") or "0"
    return Asked("action", detail=str(_NUMBERS.get(back, back)))


def _route(m: re.Match[str], labels: Collection[str]) -> Asked:
    legs = re.findall(r"go forward until the ([a-z -]+?)(?=[.,;:]| \d|$)", m["rest"])
    if len(legs) < 2:
        raise InputError(
            "a route needs two legs or more: '1. Go forward until the ... 2. [please fill in] 3. Go forward ...'"
        )
    names = [m["a"], m["b"], *legs]
    return Asked("route", tuple(thing_named(name, labels) for name in names))


def _next(m: re.Match[str], labels: Collection[str]) -> Asked:
    return Asked("next", (None, thing_named(m["x"], labels)))


def _where(m: re.Match[str], labels: Collection[str]) -> Asked:
    noun = _thing_or_robot(m["x"], labels)
    return Asked("here") if noun is None else Asked("where", (noun,))


def _here(m: re.Match[str], labels: Collection[str]) -> Asked:
    return Asked("here")


Build = Callable[[re.Match[str], Collection[str]], Asked]
_NEAR = r"(?:nearest|closest|nearer|closer)"
_SAW = r"(?:did (?:you|i|the robot|the camera) (?:see|pass|meet|find)|(?:was|were) seen|appeared?|came)"
_FORM_TEXTS: Sequence[tuple[str, Build]] = (
    (r"^you are a robot beginning at (?P<a>.+?) (?:and )?facing (?:to )?(?P<b>[^.]+)\. (?P<rest>.*go forward.*)$",
     _route),
    (r"^(?:if i am|i am|if you are|when) standing (?:by|at|beside|next to) (?P<a>.+?) and facing (?P<b>.+?),? "
     r"(?:and )?is (?P<c>.+?) to (?P<sides>(?:the|my|your) .+)$", _direction),
    (r"^is (?P<c>.+?) (?:to the |on the )?left or (?:to the )?right of (?P<b>.+?)"
     r"(?:,? (?:when|if) (?:you|i|we) (?:stand (?:at|by|beside) (?P<stand>.+?) and )?(?:face|look at) (?P<faced>.+))?$",
     _side_of),
    (r"^is (?P<c>.+?) (?:to the |on the )?(?P<side>left|right|behind|in front)(?: of)? (?P<b>.+?)"
     r"(?:,? (?:when|if) (?:you|i|we) (?:stand (?:at|by|beside) (?P<stand>.+?) and )?(?:face|look at) (?P<faced>.+))?$",
     _side_of),
    (r"^how many (?P<a>.+?) (?:are|is|do|did|can|have|were) (?P<rest>.*)$", _count),
    (r"^how many (?P<a>[a-z ]+?)(?P<rest> in .+)?$", _count),
    (r"what is the distance between (?P<a>.+?) and (?P<b>.+?)(?: \(?in met(?:er|re)s\)?)?$", _distance),
    (r"^how far (?:apart |away )?(?:are|is) (?P<a>.+?) (?:and|from|to) (?P<b>.+?)$", _distance),
    (r"^how far (?:away )?is (?P<a>.+?)(?P<b>)$", _distance),
    (rf"which of these objects \((?P<list>.+?)\) is the {_NEAR} to (?P<x>.+)$", _nearest),
    (rf"^which (?:one |thing |object )?is {_NEAR}(?: to (?P<x>.+?))?[,:] (?P<list>.+? or .+)$", _nearest),
    (rf"^(?:what|which)(?: thing| object| one)? is (?:the )?{_NEAR}(?: thing| object)? to (?P<x>.+)$", _nearest),
    (r"what is the length of the longest dimension \(.*?\) of (?P<a>.+?)(?:,? measured)? in centimeters$", _size),
    (r"what is the size of (?P<a>.+?)(?: \(?in square met(?:er|re)s\)?)?(?:[.?] if multiple rooms .*)?$", _room_size),
    (r"^how (?P<how>long|wide|tall|high|big|large|deep) is (?P<a>.+)$", _size),
    (r"first-time appearance order of the following categories in the video: (?P<list>.+)$", _order),
    (rf"^in (?:what|which) order {_SAW} (?P<list>.+)$", _order),
    (rf"^which (?:one |thing )?{_SAW} first[,:] (?P<list>.+)$", _order),
    (r"^which of these (?:objects |things |)(?:\((?P<list>.+?)\) )?is (?:gone|missing)\b.*$", _gone),
    (r"^what (?:thing |else )?(?:is|was|has been|went) (?:gone|missing|removed|taken away|carried away)\b.*$", _gone),
    (r"^what (?:action )?did the robot (?:do|take) (?:in its last step|last)$", _action),
    (r"^what (?:action )?did the robot (?:do|take) (?P<back>\w+) (?:keyframes?|steps?) before (?:the end|its last)$",
     _action),
    (r"^to (?:reach|get to|go to) (?P<x>.+?) from here, what (?:should|must|do) .+$", _next),
    (r"^(?:where|(?:in )?(?:what|which) room) (?:am i|are you|is the robot)(?: now)?(?: in)?$", _here),
    (r"^(?:where|(?:in )?(?:what|which) room) (?:is|are|was) (?P<x>.+?)(?: in| now)?$", _where),
)  # fmt: skip
_FORMS = tuple((re.compile(text), build) for text, build in _FORM_TEXTS)
