"""What a policy knows when it decides, as one bounded text: for training and for running alike. Knows no model.

The same function writes the prompt of every policy that reads text, so that a model meets on the robot what it was
trained on. Its words come from the vocabulary and from this file; numbers are rounded to a small set; what comes from
the sentence or from a camera is cut and stripped of tags. So its length has a bound whatever the size of the map.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..frames import MemoryObject, Option, SemanticDelta
from ..language import color_score, label_score
from .options import Context, Facts, RoomFact
from .prompt import direction_words
from .worth import shares

#: Changes whenever the text of some situation changes. Weights that were trained on another version are refused.
VERSION = 2
#: Most words of the sentence, and most entries of each line.
_WORDS, _ROOMS, _THINGS, _NEAR, _DELTAS, _BEFORE = 30, 6, 8, 3, 3, 3
#: Distances (m) from here on are all alike.
_FAR = 30.0


def situation(context: Context) -> str:
    """The state and its options in words, one fact a line, options last.

    Args:
        context: as the navigator builds it.
    """
    lines = [f"Task: {quoted(context.instruction.text)}", _goal(context), _here(context)]
    lines += [_changes(delta) for delta in context.deltas[-_DELTAS:]]
    lines.append(f"Known: {_known(context)}")
    if context.before:
        lines.append("Before: " + ", ".join(context.before[-_BEFORE:]))
    lines.append("Options:")
    options = zip(context.options, context.facts, shares(context), strict=True)
    lines += [f"{o.letter}. {describe(o, f, worth)}" for o, f, worth in options]
    return "\n".join(lines)


def describe(option: Option, facts: Facts, worth: float) -> str:
    """An option in words: :func:`name_of` it, then what speaks for and against it, its :func:`.worth.shares` first."""
    return "; ".join([name_of(option, facts), *details(option, facts, worth)])


def name_of(option: Option, facts: Facts) -> str:
    """What an option is, so that it can be told from the others without its letter: "explore 3.5 m ahead left"."""
    if option.kind == "stop":
        return "stop here"
    if option.kind == "look_around":
        return "look around"
    place = f"{metres(option.distance)} {direction_words(option.direction)}"
    return f"go to the {quoted(facts.name)} {place}" if option.kind == "object" else f"explore {place}"


def details(option: Option, facts: Facts, worth: float) -> list[str]:
    """What is known of an option, one fact an entry."""
    if option.kind == "stop":
        return [f"at the goal {percent(facts.arrived)}"] if facts.arrived > 0.0 else ["the goal is not here"]
    if option.kind == "look_around":
        return [f"openings out of view {metres(min(facts.gain, _FAR))}"]
    if option.kind == "object":
        return _evidence(facts)
    found = [f"worth {part(worth)}", f"unknown floor {area(facts.gain)}", f"fits {percent(facts.affinity)}"]
    if facts.room:
        found.append(f"{'through a door from' if facts.door else 'part of'} the {facts.room}")
    elif facts.door:
        found.append("through a door")
    if facts.near:
        found.append("near " + ", ".join(quoted(name) for name in facts.near[:_NEAR]))
    return [*found, "on the way there"] if facts.current else found


def metres(value: float) -> str:
    """A distance in steps of half a metre, from 5 m on of a metre: "3.5 m"."""
    if not math.isfinite(value):
        return "far"
    value = min(max(value, 0.0), _FAR)
    return f"{round(2.0 * value) / 2.0:.1f} m" if value < 5.0 else f"{round(value)} m"


def percent(share: float) -> str:
    """A share in steps of ten percent."""
    return f"{10 * round(10.0 * min(max(share, 0.0), 1.0))}%"


def part(share: float) -> str:
    """A share in steps of ten percent, rounded down: 100% is the whole alone."""
    return f"{10 * int(10.0 * min(max(share, 0.0), 1.0))}%"


def area(value: float) -> str:
    """An area in whole square metres."""
    return f"{round(min(max(value, 0.0), _FAR))} m2"


@lru_cache(maxsize=4096)
def quoted(text: str) -> str:
    """The words of a sentence, without what a model could take for a tag or for a line of its own, cut to a bound."""
    words = re.sub(r"[^\w\s',.%-]|_", " ", text.lower()).split()
    return " ".join(word[:24] for word in words[:_WORDS])


def _goal(context: Context) -> str:
    stages = context.instruction.stages
    part = f" {context.stage + 1} of {len(stages)}" if len(stages) > 1 else ""
    return f"Goal{part}: {quoted(context.target.name)}"


def _here(context: Context) -> str:
    rooms = [_room(room) for room in context.rooms if not room.here][:_ROOMS]
    here = next((_room(room) for room in context.rooms if room.here), "unclear room")
    return f"In: {here}. Rooms: {', '.join(rooms) if rooms else 'no other'}"


def _room(room: RoomFact) -> str:
    return f"{room.kind or 'unclear room'} {percent(room.seen)} seen"


def _known(context: Context) -> str:
    """What is remembered that concerns the goal, then the rest by category, in numbers."""
    present = [o for o in context.objects if o.status == "present"]
    wanted = [o for o in present if _concerns(o, context)]
    rest = Counter(quoted(o.label) for o in present if o not in wanted)
    names = [_once(o) for o in sorted(wanted, key=lambda o: (-o.confirmed, o.id))]
    names += [f"{n} {label}" for label, n in sorted(rest.items(), key=lambda kv: (-kv[1], kv[0]))]
    return ", ".join(names[:_THINGS]) if names else "nothing"


def _once(o: MemoryObject) -> str:
    return f"{quoted(o.name)} seen {min(o.confirmed, 9)}"


def _concerns(o: MemoryObject, context: Context) -> bool:
    target = context.target
    wanted = [(target.label, target.color)] * (not target.is_room)
    wanted += [(target.anchor_label, target.anchor_color)] * bool(target.anchor_label and not target.anchor_is_room)
    return any(label_score(o.label, label) * color_score(o.color, color) > 0.0 for label, color in wanted)


def _evidence(facts: Facts) -> list[str]:
    """What speaks for a remembered object or a room."""
    found = [f"match {percent(facts.match)}"]
    if facts.note:
        found.append(quoted(facts.note))
    o = facts.object
    if o is None:
        return found
    found.append(f"seen {min(o.confirmed, 9)}, missed {min(o.missed, 9)}")
    others = [f"{quoted(label)} {percent(share)}" for label, share in o.label_distribution[:3] if label != o.label]
    return [*found, f"or {others[0]}"] if others else found


def _changes(delta: SemanticDelta) -> str:
    """What a keyframe changed: the camera's motion, and what is new, gone or moved."""
    parts = [quoted(delta.action) or "start"]
    for word, things in (("new", delta.new), ("gone", delta.gone), ("moved", delta.moved)):
        if things:
            parts.append(f"{word} {_names(o.name for o in things)}")
    return f"After {'; '.join(parts)}" + (" (not described)" if delta.stale else "")


def _names(names: Iterable[str]) -> str:
    counted: Sequence[str] = list(dict.fromkeys(quoted(name) for name in names))
    return ", ".join(counted[:_NEAR])
