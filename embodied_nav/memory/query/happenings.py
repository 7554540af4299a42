"""What happened, and when: sentences from events and from where things stood. Knows no voxels and no ROS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...frames import MemoryObject
from ...language import match_text
from ...language.question import Question
from ...language.times import Window, clock
from ..records import Event
from .answering import Knowledge, in_room
from .relations import DIRECTED, TELLS, between, holds

#: m: what is found this near to where it was did not move.
_SAME_PLACE = 0.5
#: Things that a sentence names of each kind of change.
_NAMED = 6
_CAME = re.compile(r"\b(?:came|come|arrived?|appear(?:ed)?|brought|put|placed|new)\b")
_WENT = re.compile(r"\b(?:go|went|leave|left|vanish(?:ed)?|disappear(?:ed)?|taken?)\b")


@dataclass(frozen=True, eq=False)
class Stay:
    """Where an object stood: position (3,) m, from when until when it is known to have been there (ns).

    ``lasts``: it is there now, as far as is known.
    """

    position: np.ndarray
    since: int
    until: int
    lasts: bool = False


def stays(o: MemoryObject, events: Sequence[Event]) -> list[Stay]:
    """Where an object stood, oldest first, from its events."""
    found: list[Stay] = []
    place, since = o.position, o.first_seen
    mine = [e for e in events if e.object == o.id]
    for k, e in enumerate(mine):
        if e.source is not None:
            found.append(Stay(e.source, since, e.since))
        place = next((later.source for later in mine[k + 1 :] if later.source is not None), o.position)
        since = e.stamp
    if o.status == "present":
        found.append(Stay(place, since, o.last_seen, lasts=True))
    elif not mine or mine[-1].kind != "went":
        found.append(Stay(place, since, o.last_seen))
    return found


def changes(window: Window, known: Knowledge, gone: bool, moved: bool) -> tuple[str, tuple[int, ...]]:
    """What is different after a span of time, in a sentence, and the ids of the objects.

    Args:
        gone, moved: only what went, only what moved; neither for everything.
    """
    told: dict[str, list[str]] = {"gone": [], "new": [], "found elsewhere": [], "there only for a while": []}
    ids: list[int] = []
    for events in _by_object(e for e in known.events if e.stamp >= window.since and e.since <= window.until):
        kind, text = _difference(events, known)
        if kind and (kind == "gone" or not gone) and (kind == "found elsewhere" or not moved):
            told[kind].append(text)
            ids.append(events[-1].object)
    begin = window.told[:1].upper() + window.told[1:]
    parts = [
        f"{kind}: {listed(texts[:_NAMED])}{' and more' * (len(texts) > _NAMED)}"
        for kind, texts in told.items()
        if texts
    ]
    return f"{begin}: {'; '.join(parts) or 'nothing that I noticed'}.", tuple(i for i in ids if i)


def when(words: str, question: Question, found: Sequence[MemoryObject], known: Knowledge) -> str:
    """When something happened to a thing, or where it stood then, in a sentence.

    Args:
        words: of the question, for what happened. question: the thing and where. found: what fits the thing.
    """
    if question.relations:
        return _when_there(question, found, known)
    events = [e for e in known.events if e.object in {o.id for o in found}]
    for kind, wanted in (("moved", question.moved), ("went", question.gone or _WENT.search(words)),
                         ("came", _CAME.search(words))):  # fmt: skip
        if wanted:
            last = [e for e in events if e.kind == kind]
            return _told(last[-1], known) if last else f"That the {found[0].name} {kind} I did not notice."
    stay, o = max(((stays(o, known.events)[-1], o) for o in found), key=lambda seen: seen[0].until)
    return f"I last saw the {o.name} {_at(o, stay.position, known)}, {_time(stay.until, known)}."


def listed(texts: Sequence[str]) -> str:
    """ "a, b and c" """
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))


def _by_object(events: Iterable[Event]) -> list[list[Event]]:
    """Events of each object, oldest first; one whose object has no id any more stands alone."""
    found: dict[tuple[int, int], list[Event]] = {}
    for k, e in enumerate(events):
        found.setdefault((e.object, 0 if e.object else k), []).append(e)
    return list(found.values())


def _difference(events: list[Event], known: Knowledge) -> tuple[str, str]:
    """("gone", "new", ... or "" for none; in words) of what one object's events changed."""
    first, last, now = events[0], events[-1], known.stamp
    o = next((o for o in known.objects if o.id == last.object), None)
    time, name = clock(last.stamp, now), last.name
    source, target = first.source, last.target
    if source is not None and target is not None:
        if np.linalg.norm(source - target) < _SAME_PLACE:
            return "", ""
        return "found elsewhere", f"the {name}, {_at(o, target, known)}, before {_at(o, source, known)} ({time})"
    if source is not None:
        return "gone", f"the {name} {_at(o, source, known)} ({time})"
    if target is not None:
        return "new", f"the {name} {_at(o, target, known)} ({time})"
    return "there only for a while", f"the {name} ({time})"


def _told(e: Event, known: Knowledge) -> str:
    """One event with its two times."""
    o = next((o for o in known.objects if o.id == e.object), None)
    span = f"between {clock(e.since, known.stamp)} and {clock(e.stamp, known.stamp)}"
    was, is_now = _at(o, e.source, known), _at(o, e.target, known)
    if e.kind == "moved":
        return f"The {e.name} moved {span}: it was {was} and is {is_now}."
    return f"The {e.name} came {span}; it is {is_now}." if was == "" else f"The {e.name} went {span}; it was {was}."


def _when_there(question: Question, found: Sequence[MemoryObject], known: Knowledge) -> str:
    where = " and ".join(f"{kind} the {' and the '.join(things)}" for kind, things in question.relations)
    fitting = [
        (stay, o)
        for o in found
        for stay in stays(o, known.events)
        if all(
            _stood(replace(o, position=stay.position), stay, kind, things, known) for kind, things in question.relations
        )
    ]
    if not fitting:
        places = [
            f"{_at(o, s.position, known)} ({_time(s.until, known)})" for o in found for s in stays(o, known.events)
        ]
        seen = f"; I saw it {listed(places[-3:])}" if places else ""
        return f"I never saw the {found[0].name} {where}{seen}."
    stay, o = max(fitting, key=lambda f: (f[0].lasts, f[0].until))
    if stay.lasts:
        return f"The {o.name} is {where} as far as I know; I last saw it there {_time(stay.until, known)}."
    later = [s for s in stays(o, known.events) if s.since > stay.until]
    now = (
        f"; since {clock(later[-1].since, known.stamp)} it is {_at(o, later[-1].position, known)}"
        if later
        else "; now it is gone"
    )
    return f"The {o.name} was last seen {where} {_time(stay.until, known)}{now}."


def _stood(o: MemoryObject, stay: Stay, kind: str, things: tuple[str, ...], known: Knowledge) -> bool:
    """Whether an object at a place of its past stood in a relation to what was there then."""
    if kind == "in":
        return in_room(o, things[0], known)[0] > 0
    others = [b for b in known.objects if b.id != o.id]
    rivals = [
        [_then(b, stay, known) for b in others if match_text(words, b.label, b.color) >= TELLS] for words in things
    ]
    if kind == "between":
        return any(between(o, b, c) >= TELLS for b in rivals[0] for c in rivals[1] if b.id != c.id)
    return kind not in DIRECTED and any(holds(kind, o, b) >= TELLS for b in rivals[0])


def _then(b: MemoryObject, stay: Stay, known: Knowledge) -> MemoryObject:
    """A thing where it stood at the end of another's stay."""
    then = [s for s in stays(b, known.events) if s.since <= stay.until] or stays(b, known.events)[:1]
    return replace(b, position=then[-1].position) if then else b


def _time(stamp: int, known: Knowledge) -> str:
    told = clock(stamp, known.stamp)
    return told if told.endswith("ago") or "at " in told else f"at {told}"


def _at(o: MemoryObject | None, position: np.ndarray | None, known: Knowledge) -> str:
    """A place in words: what it is on, its room, else its coordinates."""
    if position is None:
        return ""
    words = []
    if o is not None:
        there = replace(o, position=position)
        under = [b for b in known.objects if b.id != o.id and b.status == "present" and holds("on", there, b) >= TELLS]
        words = [f"on the {under[0].name}"] if under else []
        room = _room(there, known)
        words += [f"in the {room}"] if room and not room.startswith("room") else [f"in {room}"] if room else []
    x, y, _ = (float(v) for v in position)
    return " ".join(words) or f"at ({x:.1f}, {y:.1f}) m"


def _room(o: MemoryObject, known: Knowledge) -> str:
    room = known.rooms.of_object(o) if known.rooms is not None else None
    return "" if room is None else known.room_names.get(room.id, f"room {room.id}")
