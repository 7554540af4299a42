"""Questions answered in sentences: where, how many, is there, what is there, what changed. Knows no voxels and no ROS.

    reply = answer_in_words("how many chairs are in the kitchen?", memory.knowledge())
    reply.text, reply.answers

The finding is done by :func:`answering.ask`; here the kind of question is told apart, and the finding put into words.
What is not understood is said so, with what can be asked: no answer is made up. What is guessed by meaning says so.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...language import Question, known_room, match_text, take_apart, words_of
from ...language.languages import other_words
from ...language.times import window_in
from ...language.vocabulary import every_word
from .answering import (
    CONFIDENCE_SHARE,
    Answer,
    Knowledge,
    Query,
    ask,
    describe,
    is_room_described,
    room_meant,
    rooms_by_name,
)
from .happenings import changes, listed, when
from .relations import DIRECTED, TELLS

#: An object of another colour fits by two thirds, one without the relation asked for by a quarter: neither counts.
FITS = 0.7
#: What can be asked, for whoever asked something else.
CAN_BE_ASKED = (
    'ask "where is the red chair?", "how many chairs are there?", "is there a tv?", "what is in the kitchen?", '
    '"what has changed since this morning?" or "when was the cup last on the table?"'
)
#: How a question for a room itself begins: "the place where we cook" may be a thing.
_ROOM = re.compile(r"(?:the )?room\b")
#: Objects that a sentence names one by one.
_NAMED = 6

_POLITE = re.compile(
    r"^(?:please|hey|hello|(?:can|could|would) you(?: please)? (?:tell|show) me|tell me|do you know|i want to know)"
    r"\b\s*"
)
_CHANGED = re.compile(
    r"^(?:what|which things?|has anything|have any things?|did anything|is anything|anything)\b.*"
    r"\b(?:changed?|different|gone|missing|moved|disappeared|removed|new|came|appeared|(?:taken|carried) away)\b"
)
_WHEN = re.compile(
    r"^(?:since )?(?:when|how long ago)(?: (?:was|were|is|are|did|does|has|have)(?: (?:you|i|anyone|somebody))?)?"
    r"(?: been)?(?: last)?(?: (?:see|seen))? ?"
)
#: Words of what happened, and of the last time.
_HAPPENED = re.compile(
    r"last|go|went|leave|left|vanish(?:ed)?|disappear|come|came|arrived?|appear(?:ed)?|brought|put|placed|move|taken?|away|been"
)
#: The kinds of questions by how they begin, the first that fits.
_KINDS = (
    ("count", re.compile(r"^(?:how many|count|number of)\b")),
    ("changed", _CHANGED),
    ("when", re.compile(r"^(?:since when|when|how long ago)\b")),
    ("where", re.compile(r"^(?:where|find|locate|(?:in )?(?:which|what) room)\b")),
    ("exists", re.compile(r"^(?:is|are|was|were|has|have|do you (?:see|know|remember|have)|did you see|any)\b")),
    ("what", re.compile(r"^(?:what|which|list|show|name)\b")),
)
#: Words of asking that say nothing of what is asked for.
_ASKING = frozenset(
    """a about all an and any anything are been can count did do does everything find for get got has have hey how i in
    is it its just list locate many me my name nearest closest now number of on one only other s see seen show some
    somewhere standing still tell that the them there these they thing things this those to us was we were what where
    which with you your please know remember room here object objects something near""".split()  # noqa: SIM905
)


@dataclass(frozen=True, eq=False)
class Reply:
    """An answer in words.

    Attributes:
        text: a sentence; where the question was not understood, why, and what can be asked.
        kind: ``where``, ``when``, ``count``, ``exists``, ``what`` or ``changed``; "" where it was not understood.
        answers: the objects that it rests on, best first; those found by meaning are guesses and say so.
    """

    text: str
    kind: str = ""
    answers: tuple[Answer, ...] = ()

    @property
    def understood(self) -> bool:
        """Whether the question was one that can be answered."""
        return bool(self.kind)


def answer_in_words(text: str, known: Knowledge, near: np.ndarray | None = None) -> Reply:
    """Answers a question from what is remembered.

    Args:
        text: one question in English.
        known: objects, rooms and keyframes at this moment.
        near: (2 or 3,) m in map, from where distances and "the nearest" are meant.
    """
    words = _without_politeness(words_of(text))
    kind = next((kind for kind, pattern in _KINDS if pattern.search(words)), "")
    if not kind:
        return _not_understood(text, "it is no question that I know")
    if kind in ("changed", "when"):
        return (_changed if kind == "changed" else _when)(text, words, known)
    try:
        question = take_apart(words)
    except InputError as error:
        return _not_understood(text, str(error))
    if guess := _room_guessed(kind, words, question, known):
        return _with_room_guessed(words, *guess, known, near)
    if kind == "where" and (room := _room_called(question.subject, known)) is not None:
        return _where_is_room(room, known, near)
    subject = " ".join(word for word in question.subject.split() if word not in _ASKING)
    question = dataclasses.replace(question, subject=subject)
    trouble = _trouble(kind, question, words, known)
    if trouble:
        return _not_understood(text, trouble)
    fitting, akin, guesses = _find(words, question, known, near)
    if guesses:
        return _by_meaning(kind, guesses, known, near)
    if trouble := _foreign_words(kind, question, words, known):
        return _not_understood(text, trouble)
    return {"where": _where, "count": _count, "exists": _exists, "what": _what}[kind](
        question, fitting, akin, known, near
    )


def _room_guessed(kind: str, words: str, question: Question, known: Knowledge) -> tuple[str, str] | None:
    """(words, name) of a room that a question only describes; None where it describes none."""
    taken = rooms_by_name(question, known)[1]
    subject = question.subject
    if kind == "where" and _ROOM.match(subject) and is_room_described(subject) and _room_called(subject, known) is None:
        taken[subject] = room_meant(subject, known)
    return next(((described, name) for described, name in taken.items() if name and described in words), None)


def _with_room_guessed(words: str, described: str, name: str, known: Knowledge, near) -> Reply:
    """The answer with a room's name in the place of its description, as a guess."""
    reply = answer_in_words(words.replace(described, name), known, near)
    answers = tuple(dataclasses.replace(a, by_meaning=True) for a in reply.answers)
    return dataclasses.replace(reply, text=f"By meaning '{described}' is the {name}. {reply.text}", answers=answers)


# ---- finding ----


def _find(words: str, question: Question, known: Knowledge, near) -> tuple[list[Answer], list[Answer], list[Answer]]:
    """(objects that fit, those that are only akin: of another colour or elsewhere, guesses by meaning), best first."""
    found = ask(Query(words, near=near, max_results=max(len(known.objects), 1)), known)
    guesses = [a for a in found if a.by_meaning]
    fitting = [a for a in found if _fit(a) >= FITS and not a.by_meaning]
    subject_alone = dataclasses.replace(known, encoder=None, meaning=None)
    akin = [a for a in ask(Query(question.subject, max_results=5), subject_alone) if question.subject]
    held = {a.object.id for a in fitting}
    return fitting, [a for a in akin if a.object.id not in held], guesses


def _fit(answer: Answer) -> float:
    """How well an object fits, without the share that its confidence has in the score."""
    return answer.score / (1.0 - CONFIDENCE_SHARE + CONFIDENCE_SHARE * answer.object.confidence)


def _trouble(kind: str, question: Question, words: str, known: Knowledge) -> str:
    """What of a question cannot be understood, in words; "" where all can."""
    anything = kind == "count" and bool(re.search(r"\b(?:things?|objects?)\b", words))
    if kind != "what" and not (question.subject or question.relations or anything):
        return "it names nothing"
    if kind == "what" and not (question.subject or question.relations or question.seconds is not None):
        return "it names no place, thing or time"
    for relation, landmarks in question.relations:
        if relation == "in" and _room_called(landmarks[0], known) is None:
            names = [known.room_names.get(r.id, f"room {r.id}") for r in (known.rooms.rooms if known.rooms else ())]
            there = f"; I know {listed(names)}" if names else ": I know none yet"
            return f"I know no room called '{landmarks[0]}'{there}"
    return ""


def _foreign_words(kind: str, question: Question, words: str, known: Knowledge) -> str:
    """That words of a question are unknown, where they may change what it asks for; "" else."""
    known_words = _known_words(known)
    foreign = [w for w in re.findall(r"[a-z]+", words) if not _stems(w) & known_words]
    labels = {word for o in known.objects for word in o.label.split()}
    if foreign and (kind == "what" or any(_stems(w) & labels for w in question.subject.split())):
        return "I do not know what " + listed([f"'{word}'" for word in foreign]) + " means in it"
    return ""


def _known_words(known: Knowledge) -> set[str]:
    """Words that mean something here: of asking, colours, synonyms, relations, times, labels and rooms."""
    texts = (
        *(o.label for o in known.objects), *known.room_names.values(),
        "left right front back behind top lying standing last past previous second sec minute min hour day recently "
        "moment ago right now just gone missing carried taken away removed disappeared not more moved displaced else "
        "few couple half two three four five ten twenty thirty during from since stand lie",
    )  # fmt: skip
    return {*_ASKING, *every_word(), *other_words()} | {word for text in texts for word in text.split()}


def _stems(word: str) -> set[str]:
    """A word and what it may be the plural of."""
    return {word, word.removesuffix("s"), word.removesuffix("es"), re.sub(r"ves$", "f", word)}


def _room_called(words: str, known: Knowledge) -> int | None:
    """The id of the room that words name: "kitchen", "room 3"; None where they name none."""
    wanted = re.sub(r"^(?:the|a|an|my|our)\s+", "", words.strip())
    for room in known.rooms.rooms if known.rooms is not None else ():
        name = known.room_names.get(room.id, "")
        if wanted and (wanted in (name, f"room {room.id}") or (name and known_room(wanted) == name)):
            return room.id
    return None


# ---- words ----


def _not_understood(text: str, why: str) -> Reply:
    said = " ".join(text.split())[:120]
    return Reply(f'I did not understand "{said}": {why}; {CAN_BE_ASKED}')


def _where(question: Question, fitting: list[Answer], akin: list[Answer], known: Knowledge, near) -> Reply:
    if not fitting:
        return Reply(_none(question, akin, known), "where")
    best, o = fitting[0], fitting[0].object
    state = "was" if o.status == "gone" else "is"
    sentence = f"The {o.name} {state} {_place(best, known, near)}{_age(best)}."
    if len(fitting) > 1:
        others = [f"the {a.object.name} {_place(a, known, near)}" for a in fitting[1:_NAMED]]
        sentence += f" {_number(len(fitting) - 1).capitalize()} more fit{'s' * (len(fitting) == 2)}: {listed(others)}"
        sentence += " and more." if len(fitting) > _NAMED else "."
    return Reply(sentence, "where", tuple(fitting))


def _by_meaning(kind: str, guesses: Sequence[Answer], known: Knowledge, near) -> Reply:
    """That nothing is named, and what is meant perhaps."""
    way = "by its looks" if guesses[0].why.startswith("by its looks") else "by meaning"
    told = [f"the {a.object.name} ({a.score:.2f}), {_place(a, known, near)}" for a in guesses[:3]]
    least = f"; less near: {'; '.join(told[1:])}" if told[1:] else ""
    return Reply(f"I know nothing by these words; {way} the nearest is {told[0]}{least}.", kind, tuple(guesses))


def _where_is_room(room: int, known: Knowledge, near) -> Reply:
    assert known.rooms is not None
    x, y = known.rooms.room(room).middle
    inside = [a for a in ask(Query(max_results=max(len(known.objects), 1)), known) if a.room == room]
    away = f", {float(np.hypot(x - near[0], y - near[1])):.1f} m from there" if near is not None else ""
    name = known.room_names.get(room, f"room {room}")
    things = f"; I know {_things(inside)} in it" if inside else "; I know nothing in it"
    return Reply(f"The middle of the {name} is at ({x:.1f}, {y:.1f}) m{away}{things}.", "where", tuple(inside))


def _count(question: Question, fitting: list[Answer], akin: list[Answer], known: Knowledge, near) -> Reply:
    if not fitting:
        return Reply(_none(question, akin, known), "count")
    by_room = Counter(_room(a, known) for a in fitting)
    where = [f"{_number(n)} {room}" for room, n in by_room.most_common() if room]
    told = f": {listed(where)}" if where and len(by_room) > 1 else f", {where[0].split(' ', 1)[1]}" if where else ""
    return Reply(f"I know {_things(fitting)}{told}.", "count", tuple(fitting))


def _exists(question: Question, fitting: list[Answer], akin: list[Answer], known: Knowledge, near) -> Reply:
    if question.gone or question.moved:
        what = "is gone" if question.gone else "was found elsewhere than before"
        akin = [a for a in akin if _fit(a) >= FITS]
        if not fitting:
            there = f"; {_there(akin, known)}" if akin else f"; I never saw {_thing(question)}"
            return Reply(f"No, not that I know{there}.", "exists", tuple(akin))
        told = listed([f"the {a.object.name} {what}{_age(a)}" for a in fitting[:_NAMED]])
        return Reply(f"Yes: {told}.", "exists", tuple(fitting))
    if not fitting:
        return Reply(f"No: {_lower_first(_none(question, akin, known))}", "exists")
    return Reply(f"Yes: {_there(fitting, known)}.", "exists", tuple(fitting))


def _what(question: Question, fitting: list[Answer], akin: list[Answer], known: Knowledge, near) -> Reply:
    if not fitting:
        return Reply(_none(question, (), known), "what")
    place = "".join(f" {kind} the {' and the '.join(things)}" for kind, things in question.relations)
    place += f" within the last {question.seconds:.0f} s" if question.seconds is not None else ""
    return Reply(f"I know {_things(fitting)}{place}.", "what", tuple(fitting))


def _changed(text: str, words: str, known: Knowledge) -> Reply:
    """What is gone and what was found elsewhere: in a span of time, or over all that is remembered."""
    try:
        window, words = window_in(words, known.stamp)
    except InputError as error:
        return _not_understood(text, str(error))
    question = take_apart(re.sub(r"\b(?:and|or)\b", " ", words))
    if window is not None and not question.relations:
        told, ids = changes(window, known, question.gone and not question.moved, question.moved and not question.gone)
        return Reply(told, "changed", _answers(ids, known))
    if question.relations:
        return _not_understood(text, "I know what changed in the whole map; ask without a place")
    found = ask(Query(include_gone=True, max_results=max(len(known.objects), 1)), known)
    only_gone, only_moved = question.gone and not question.moved, question.moved and not question.gone
    gone = [a for a in found if a.object.status == "gone" and not only_moved]
    moved = [a for a in found if a.object.status == "present" and a.object.moves and not only_gone]
    parts = [f"gone: {listed([f'the {a.object.name}{_age(a)}' for a in gone[:_NAMED]])}"] if gone else []
    if moved:
        parts.append(f"found elsewhere than before: {listed([f'the {a.object.name}' for a in moved[:_NAMED]])}")
    told = "; ".join(parts)
    told = told[:1].upper() + told[1:] if told else f"Nothing that I know of, out of {_number(len(found))} remembered"
    return Reply(f"{told}.", "changed", (*gone, *moved))


def _when(text: str, words: str, known: Knowledge) -> Reply:
    """When something happened to a thing, or when it was somewhere."""
    question = take_apart(_WHEN.sub("", words))
    subject = " ".join(w for w in question.subject.split() if w not in _ASKING and not _HAPPENED.fullmatch(w))
    found = ask(Query(subject, include_gone=True, max_results=max(len(known.objects), 1)), known) if subject else []
    fitting = tuple(a for a in found if _fit(a) >= FITS and not a.by_meaning)
    trouble = (_trouble("where", question, words, known) if subject else "it names nothing") or _of_the_past(
        question, known
    )
    if trouble:
        return _not_understood(text, trouble)
    if not fitting:
        return Reply(_none(dataclasses.replace(question, subject=subject, relations=()), found[:3], known), "when")
    return Reply(when(words, question, [a.object for a in fitting], known), "when", fitting)


def _of_the_past(question: Question, known: Knowledge) -> str:
    """Why where something stood cannot be told; "" where it can."""
    for kind, landmarks in question.relations:
        if kind in DIRECTED:
            return f"what was {kind} something depends on who looked: ask for on, in, beside or near"
        for words in landmarks if kind != "in" else ():
            if not any(match_text(words, o.label, o.color) >= TELLS for o in known.objects):
                return f"I know no {words}"
    return ""


def _answers(ids: Sequence[int], known: Knowledge) -> tuple[Answer, ...]:
    """Everything known of objects, gone ones too."""
    found = {a.object.id: a for a in ask(Query(include_gone=True, max_results=max(len(known.objects), 1)), known)}
    return tuple(found[i] for i in ids if i in found)


def _none(question: Question, akin: Sequence[Answer], known: Knowledge) -> str:
    """That nothing fits, and what comes nearest."""
    place = "".join(f" {kind} the {' and the '.join(things)}" for kind, things in question.relations)
    place += f" within the last {question.seconds:.0f} s" if question.seconds is not None else ""
    near = f"; I know {listed([_a(a.object.name) + _in(a, known) for a in akin[:3]])}" if akin else ""
    return f"I know {_thing(question, 'no')}{place}{near}."


def _thing(question: Question, article: str = "a") -> str:
    name = question.subject or "thing"
    return f"no {name}" if article == "no" else _a(name)


def _there(answers: Sequence[Answer], known: Knowledge) -> str:
    """ "a red chair in the kitchen and a blue chair" """
    told = [_a(a.object.name) + _in(a, known) for a in answers[:_NAMED]]
    return f"I know {listed(told)}" + (f", {_number(len(answers))} in all" if len(answers) > _NAMED else "")


def _things(answers: Sequence[Answer]) -> str:
    """ "two red chairs and a table" """
    counts = Counter(a.object.name for a in answers)
    return listed([_a(n) if k == 1 else f"{_number(k)} {_plural(n)}" for n, k in counts.most_common()])


def _place(answer: Answer, known: Knowledge, near) -> str:
    """Where an object is: its relations, its position, how far from there."""
    x, y, z = (float(v) for v in answer.object.position)
    relations = describe(answer, known)
    away = "" if near is None else f", {float(np.hypot(x - near[0], y - near[1])):.1f} m from there"
    return f"{relations + ', ' if relations else ''}at ({x:.1f}, {y:.1f}, {z:.1f}) m{away}"


def _room(answer: Answer, known: Knowledge) -> str:
    if answer.room <= 0:
        return ""
    name = known.room_names.get(answer.room, "")
    return f"in the {name}" if name else f"in room {answer.room}"


def _in(answer: Answer, known: Knowledge) -> str:
    room = _room(answer, known)
    return f" {room}" if room else ""


def _age(answer: Answer) -> str:
    return f" (seen {answer.age:.0f} s ago)" if answer.age < 120 else f" (seen {answer.age / 60:.0f} min ago)"


def _a(name: str) -> str:
    return f"an {name}" if name[:1] in "aeiou" else f"a {name}"


def _plural(name: str) -> str:
    if name.endswith("shelf"):
        return f"{name[:-1]}ves"
    return f"{name}es" if name.endswith(("s", "sh", "ch", "x")) else f"{name}s"


def _number(n: int) -> str:
    return ("no", "one", "two", "three", "four", "five", "six")[n] if n < 7 else str(n)


def _lower_first(text: str) -> str:
    return text if text.startswith("I ") else text[:1].lower() + text[1:]


def _without_politeness(words: str) -> str:
    while found := _POLITE.match(words):
        words = words[found.end() :]
    return words
