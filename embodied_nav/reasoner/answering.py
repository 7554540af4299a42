"""Answers questions about space, order and change from a digest. Knows no memory, no pixels and no grammar.

:class:`Answerer` is the one interface of everything that answers: this solver, a language model, a baseline. What each
gets is the digest's text, the question's, and the options'; what it gives is a letter, or a number.

Directions, distances and sizes are meant as in VSI-Bench (Yang et al. 2024, arXiv 2412.14171): distances between
nearest points, the longest of three dimensions, sides in the plane of who stands at one thing and faces another.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import InputError
from ..language.asking import Asked, ask_about, thing_named
from ..language.matching import Noun, label_score
from .digest import DigestFacts, Thing, read

#: What may be the answer to how one sets off, by the bearing's quadrant.
SET_OFF = ("go straight ahead", "turn left", "turn around", "turn right")
#: What may stand between two legs of a route.
TURNS = ("turn left", "turn right", "turn back")
#: From this angle on something is behind, and a turn is one back (VSI-Bench: at least 135 degrees).
BACK = math.radians(135.0)


@runtime_checkable
class Answerer(Protocol):
    """Answers questions over a digest."""

    #: Names it in reports.
    name: str

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """The letter of an option, or a number where there are none; "" for no answer.

        Args:
            digest: as :func:`digest.write` gave it, before the question was known.
            options: "A. left", "B. right", ...; empty where a number is asked for.
        """


@dataclass(frozen=True)
class Solution:
    """An answer with what it rests on.

    Attributes:
        value: a number (m, cm, m^2 or a count), or words, as in the question's options.
        text: a sentence.
        things: ids of the objects that it rests on.
    """

    value: float | str
    text: str
    things: tuple[int, ...] = ()


class Solver:
    """Looks the answer up in the digest's facts."""

    name = "solver"

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """As :meth:`Answerer.answer`; "" where the question is not understood, or the digest does not tell."""
        facts = read(digest)
        try:
            asked = ask_about(question, {t.label for t in facts.things})
            solution = solve(asked, facts, [without_letter(o) for o in options])
        except InputError:
            return ""
        if not options:
            return "" if isinstance(solution.value, str) else f"{solution.value:g}"
        return letter_of(str(solution.value), options)


def without_letter(option: str) -> str:
    """An option's text: "left" of "A. left"."""
    return re.sub(r"^[A-Z][.):]\s*", "", option.strip())


def letter_of(value: str, options: Sequence[str]) -> str:
    """The letter of the option with this text, "" where none has it."""
    wanted = value.lower()
    return next((o.strip()[0] for o in options if without_letter(o).lower() == wanted), "")


def solve(asked: Asked, facts: DigestFacts, options: Sequence[str] = ()) -> Solution:
    """Answers a question from a digest's facts.

    Args:
        options: texts without letters, where the question itself does not list them.

    Raises:
        InputError: something that is asked about is not known, or without depth, or there are several; in one line.
    """
    choices = asked.choices
    if not choices and options and asked.kind in ("nearest", "gone"):
        choices = tuple(thing_named(o, {t.label for t in facts.things}) for o in options)
    return _SOLVERS[asked.kind](asked, facts, choices)


# ---- finding things ----


def _called(noun: Noun) -> str:
    return f"{noun.color} {noun.label}".strip()


def _fits(thing: Thing, noun: Noun) -> bool:
    return label_score(thing.label, noun.label) == 1.0 and noun.color in ("", thing.color)


def _all(noun: Noun, facts: DigestFacts, gone: bool = False) -> list[Thing]:
    return [t for t in facts.things if _fits(t, noun) and (gone or t.status != "gone")]


def _some(noun: Noun, facts: DigestFacts, placed: bool = True) -> list[Thing]:
    """Things that fit, at least one; those of exactly this category where there are any."""
    found = _all(noun, facts)
    found = [t for t in found if t.label == noun.label] or found
    if not found:
        raise InputError(f"I know no {_called(noun)}{_that_is_gone(noun, facts)}")
    if placed and any(t.position is None for t in found):
        raise InputError(f"I know the {_called(noun)}, but not where: without depth there are no places and sizes")
    return found


def _that_is_gone(noun: Noun, facts: DigestFacts) -> str:
    return " any more: it is gone" if _all(noun, facts, gone=True) else ""


def _the(noun: Noun, facts: DigestFacts) -> Thing:
    """The only thing that fits.

    Raises:
        InputError: none, or several.
    """
    found = _some(noun, facts)
    if len(found) > 1:
        names = ", ".join(f"the {t.name} in {_room_name(t.room, facts)} (#{t.id})" for t in found[:4])
        raise InputError(f"I know {len(found)} things called {_called(noun)}: {names}; say which, by its colour")
    return found[0]


def _room_name(room: int, facts: DigestFacts) -> str:
    kind = next((p.kind for p in facts.places if p.id == room), "")
    return f"the {kind}" if kind else f"room {room}" if room else "no known room"


def _here(facts: DigestFacts) -> tuple[float, float, float]:
    if facts.here is None:
        raise InputError("I do not know where the robot is; ask from a thing: 'how far is the bed from the door?'")
    return facts.here


def box_gap(a: Thing, b: Thing) -> float:
    """m between the nearest points of two boxes."""
    assert a.position and a.size and b.position and b.size
    half = (np.array(a.size) + np.array(b.size)) / 2.0
    return float(np.linalg.norm(np.maximum(np.abs(np.array(a.position) - np.array(b.position)) - half, 0.0)))


def _gap(thing: Thing, other: Thing | None, facts: DigestFacts) -> float:
    """m from a thing to another, or along the floor to the robot."""
    if other is not None:
        return box_gap(thing, other)
    assert thing.position and thing.size
    away = np.abs(np.array(thing.position[:2]) - np.array(_here(facts)[:2])) - np.array(thing.size[:2]) / 2.0
    return float(np.linalg.norm(np.maximum(away, 0.0)))


# ---- each kind ----


def _count(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    noun = asked.things[0]
    assert noun is not None
    rooms = {p.id for p in facts.places if p.kind == asked.room}
    if asked.room and not rooms:
        raise InputError(
            f"I know no {asked.room}; rooms: {', '.join(p.kind for p in facts.places if p.kind) or 'none'}"
        )
    found = [t for t in _all(noun, facts) if not asked.room or t.room in rooms]
    exact = [t for t in found if t.label == noun.label]
    found = exact or found
    missing = 0 if asked.room else facts.left_out.get(noun.label, 0)
    where = f" in the {asked.room}" if asked.room else ""
    count = len(found) + missing
    return Solution(count, f"I know {count} {_called(noun)}{'s' * (count != 1)}{where}.", tuple(t.id for t in found))


def _distance(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    first, second = asked.things
    if first is None:
        first, second = second, first
    if first is None:
        raise InputError("a distance needs a thing: 'how far is the bed from the door?'")
    a = _some(first, facts)
    b: Sequence[Thing | None] = [None] if second is None else _some(second, facts)
    pairs = [(_gap(x, y, facts), x, y) for x, y in product(a, b) if y is None or x.id != y.id]
    if not pairs:
        raise InputError(f"I know one {_called(first)} only: name two things")
    gap, x, y = min(pairs, key=lambda p: p[0])
    other = "the robot" if y is None else f"the {y.name}"
    several = "; of several the nearest" if len(pairs) > 1 else ""
    ids = (x.id,) if y is None else (x.id, y.id)
    return Solution(round(gap, 2), f"The {x.name} is {gap:.1f} m from {other}, between nearest points{several}.", ids)


def _nearest(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    target = asked.things[0]
    ends: Sequence[Thing | None] = [None] if target is None else _some(target, facts)
    rivals: dict[str, list[Thing]] = {_called(n): _some(n, facts) for n in choices}
    if not choices:
        excluded = {t.id for t in ends if t is not None}
        rivals = {f"{t.name}#{t.id}": [t] for t in facts.things if t.status != "gone" and t.id not in excluded}
    gaps = [(_gap(t, e, facts), name, t) for name, ts in rivals.items() for t, e in product(ts, ends)]
    if not gaps:
        raise InputError("nothing else is known")
    gap, name, best = min(gaps, key=lambda g: g[0])
    to = "the robot" if target is None else f"the {_called(target)}"
    told = f"The {best.name} is nearest to {to}, {gap:.1f} m."
    return Solution(name.partition("#")[0], told, tuple(dict.fromkeys((best.id, *(e.id for e in ends if e)))))


def side(forward: np.ndarray, way: np.ndarray, level: str) -> str:
    """On which side ``way`` leads for who looks along ``forward`` ((2,) each), as VSI-Bench's three levels say it."""
    angle = math.atan2(forward[0] * way[1] - forward[1] * way[0], float(forward @ way))
    lateral = "left" if angle > 0 else "right"
    if level == "hard":
        return f"{'front' if abs(angle) < math.pi / 2 else 'back'}-{lateral}"
    return "back" if level == "medium" and abs(angle) >= BACK else lateral


def _direction(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    stand, face, sought = asked.things
    assert face is not None and sought is not None
    b, c = _the(face, facts), _the(sought, facts)
    start = None if stand is None else _the(stand, facts)
    origin = np.array(_here(facts)[:2] if start is None else _xy(start))
    forward, way = np.array(_xy(b)) - origin, np.array(_xy(c)) - origin
    if min(np.hypot(*forward), np.hypot(*way)) < 0.1:
        raise InputError("who stands there and what is looked for are in one place: there is no left and right")
    who = f"From {'where the robot is' if start is None else f'the {start.name}'}, facing the {b.name}, "
    ids = tuple(t.id for t in (start, b, c) if t is not None)
    if asked.detail in ("behind", "in front"):
        nearer = float(forward @ way) < float(forward @ forward)
        yes = nearer == (asked.detail == "in front")
        told = f"{'in front of' if nearer else 'behind'} it"
    else:
        level = "easy" if asked.detail in ("left", "right") else asked.detail
        found = side(forward, way, level)
        if level == asked.detail:
            return Solution(found, f"{who}the {c.name} is to the {found}.", ids)
        yes, told = found == asked.detail, f"{found} of it"
    return Solution("yes" if yes else "no", f"{'Yes' if yes else 'No'}: {who.lower()}the {c.name} is {told}.", ids)


def _xy(thing: Thing) -> tuple[float, float]:
    assert thing.position is not None
    return thing.position[:2]


def _size(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    assert asked.things[0] is not None
    thing = _the(asked.things[0], facts)
    assert thing.size is not None
    w, d, h = thing.size
    metres = {"width": max(w, d), "height": h}.get(asked.detail, max(w, d, h))
    what = {"width": "wide", "height": "high", "longest": "long in its longest dimension"}.get(asked.detail, "")
    told = f"{metres:.2f} m {what}" if what else f"{max(w, d):.2f} x {min(w, d):.2f} m on the floor and {h:.2f} m high"
    return Solution(round(100.0 * metres), f"The {thing.name} is {told}.", (thing.id,))


def _room_size(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    places = [p for p in facts.places if not asked.room or p.kind == asked.room]
    if not places:
        known = ", ".join(p.kind for p in facts.places if p.kind) or "none"
        raise InputError(f"I know no {asked.room or 'room'}; rooms: {known}")
    area = sum(p.area for p in places)
    what = f"The {asked.room} has" if asked.room else f"The {len(places)} rooms have"
    more = f" ({len(places)} such rooms together)" if asked.room and len(places) > 1 else ""
    return Solution(round(area, 1), f"{what} {area:.1f} square metres of floor{more}.")


def turn(before: np.ndarray, after: np.ndarray) -> str:
    """Which of :data:`TURNS` leads from one heading to another ((2,) each)."""
    angle = math.atan2(before[0] * after[1] - before[1] * after[0], float(before @ after))
    return TURNS[2] if abs(angle) >= BACK else TURNS[0] if angle > 0 else TURNS[1]


def _route(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    things = [_the(noun, facts) for noun in asked.things if noun is not None]
    if things[1].id == things[2].id:  # the first leg goes on to what is faced
        things.pop(1)
        asked_turns = 0
    else:
        asked_turns = 1
    points = np.array([_xy(t) for t in things])
    if asked_turns:  # faces the second, and turns on the spot before the first leg
        ways = [points[1] - points[0], points[2] - points[0], *np.diff(points[2:], axis=0)]
    else:
        ways = list(np.diff(points, axis=0))
    value = ", ".join(turn(a, b) for a, b in zip(ways[:-1], ways[1:], strict=True))
    return Solution(value, f"{value.capitalize()}.", tuple(dict.fromkeys(t.id for t in things)))


def _order(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    firsts: list[tuple[int, str, int]] = []
    for noun in choices:
        found = _all(noun, facts, gone=True)
        if not found:
            raise InputError(f"I never saw a {_called(noun)}")
        first = min(found, key=lambda t: t.first)
        firsts.append((first.first, _called(noun), first.id))
    ordered = sorted(firsts, key=lambda f: f[0])
    names = ", ".join(name for _, name, _ in ordered)
    together = len({rank for rank, _, _ in ordered}) < len(ordered)
    more = " (some in the same view)" if together else ""
    return Solution(names, f"First seen in this order: {names}{more}.", tuple(i for _, _, i in ordered))


def _gone(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    gone = [t for t in facts.things if t.status == "gone"]
    if not choices:
        told = ", ".join(f"the {t.name} of {_room_name(t.room, facts)}" for t in gone[:8])
        text = f"Gone: {told}{' and more' if len(gone) > 8 else ''}." if gone else "Nothing that I know of is gone."
        return Solution(", ".join(t.name for t in gone), text, tuple(t.id for t in gone))
    found = [(n, [t for t in gone if _fits(t, n)]) for n in choices]
    named = [(n, ts) for n, ts in found if ts]
    # Where two may be meant, one of which none is left is the likelier.
    named.sort(key=lambda f: len(_all(f[0], facts)))
    if not named:
        raise InputError("of these nothing is gone, as far as I know")
    noun, things = named[0]
    return Solution(_called(noun), f"The {_called(noun)} is gone.", tuple(t.id for t in things))


def _action(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    back = int(asked.detail) if asked.detail.isdigit() else 0
    if back >= len(facts.steps):
        raise InputError(f"I know the last {len(facts.steps)} keyframes only")
    step = facts.steps[-1 - back]
    return Solution(step.action, f"Before keyframe {step.keyframe}: {step.action}.")


def _where_am_i(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    _here(facts)
    if not facts.room:
        raise InputError("the robot is in no room that I know")
    kind = next((p.kind for p in facts.places if p.id == facts.room), "")
    name = kind or f"room {facts.room}"
    return Solution(name, f"The robot is in {_room_name(facts.room, facts)}.")


def _where(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    assert asked.things[0] is not None
    found = _some(asked.things[0], facts, placed=False)
    rooms = list(dict.fromkeys(t.room for t in found))
    names = [_room_name(r, facts) for r in rooms]
    told = "; ".join(f"the {t.name} is in {_room_name(t.room, facts)}" for t in found[:6])
    return Solution(names[0].removeprefix("the "), f"{told[:1].upper()}{told[1:]}.", tuple(t.id for t in found))


def quadrant(bearing: float) -> str:
    """Which of :data:`SET_OFF` a bearing (rad, left positive) is."""
    return SET_OFF[round(bearing / (math.pi / 2)) % 4]


def _next(asked: Asked, facts: DigestFacts, choices: Sequence[Noun]) -> Solution:
    assert asked.things[1] is not None
    x, y, yaw = _here(facts)
    goal = _the(asked.things[1], facts)
    way = _doors_to(facts, goal)
    aim = way[0] if way else _xy(goal)
    bearing = math.atan2(aim[1] - y, aim[0] - x) - yaw
    by = f"through the door at ({aim[0]:.1f}, {aim[1]:.1f})" if way else "in this room"
    value = quadrant(bearing)
    return Solution(value, f"{value.capitalize()}: the {goal.name} is reached {by}.", (goal.id,))


def _doors_to(facts: DigestFacts, goal: Thing) -> list[tuple[float, float]]:
    """Doors on the shortest way from the robot to a thing, straight from door to door; none within one room, or where
    no way is known."""
    doors = {p.id: p.doors for p in facts.places}
    ends = _xy(goal)
    queue: list[tuple[float, int, list[tuple[float, float]]]] = [(0.0, facts.room, [])]
    seen: set[tuple[int, tuple[float, float]]] = set()
    best: list[tuple[float, float]] = []
    shortest = math.inf
    while queue:
        length, room, way = heapq.heappop(queue)
        at = way[-1] if way else _here(facts)[:2]
        if length >= shortest or (room, at) in seen:
            continue
        seen.add((room, at))
        if room == goal.room and (whole := length + math.dist(at, ends)) < shortest:
            shortest, best = whole, way
        for neighbor, x, y in doors.get(room, ()):
            heapq.heappush(queue, (length + math.dist(at, (x, y)), neighbor, [*way, (x, y)]))
    return best


_SOLVERS: Mapping[str, Callable[[Asked, DigestFacts, Sequence[Noun]], Solution]] = {
    "count": _count, "distance": _distance, "nearest": _nearest, "direction": _direction, "size": _size,
    "room_size": _room_size, "route": _route, "order": _order, "gone": _gone, "action": _action, "here": _where_am_i,
    "next": _next, "where": _where,
}  # fmt: skip
