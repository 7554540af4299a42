"""Checks goals against the vocabulary and against each other, whoever read them. Knows no grammar."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ..errors import InputError
from .matching import label_score
from .target import Target
from .vocabulary import COLORS, LABELS, PLACE_WORDS, RANK_WORDS, RELATIONS, ROOM_WORDS, known_label

#: Goals and way points of one sentence, at most; the highest ordinal.
MOST_GOALS, MOST_ORDINAL = 12, 20
_SIDES = ("", "left", "right", "from left", "from right")


def checked(
    goals: Sequence[Target], labels: Collection[str], refusal: Callable[[str], InputError] = InputError
) -> tuple[Target, ...]:
    """The goals, if all that they name is known and none contradicts itself.

    Args:
        goals: in order.
        labels: categories known in addition to the vocabulary.
        refusal: makes the error.

    Raises:
        InputError: an unknown label, colour, room, relation, rank or side, or a goal that excludes itself.
    """
    if not 1 <= len(goals) <= MOST_GOALS:
        raise refusal(f"{len(goals)} goals; give 1 to {MOST_GOALS}")
    for k, goal in enumerate(goals):
        if not goal.label:
            raise refusal("a goal has no label")
        for part in (goal, *goal.excludes):
            _check_words(part, labels, refusal)
        _check_which(goal, goals[:k], refusal)
        if any(_covers(excluded, goal) for excluded in goal.excludes):
            raise refusal(f"'{goal.name}' excludes itself")
    return tuple(goals)


def _check_words(target: Target, labels: Collection[str], refusal: Callable[[str], InputError]) -> None:
    known = {*LABELS, *labels, *PLACE_WORDS}
    if target.is_room and target.label not in ROOM_WORDS:
        raise refusal(f"'{target.label}' is no kind of room that is known")
    if target.label and not target.is_room and not _is_thing(target.label, known, labels):
        raise refusal(f"'{target.label}' is not known")
    anchor = target.anchor_label
    if anchor and anchor not in ROOM_WORDS and not _is_thing(anchor, known, labels):
        raise refusal(f"'{anchor}' is not known")
    if bool(target.relation) != bool(anchor) or (target.relation and target.relation not in RELATIONS):
        raise refusal(f"'{target.relation}' is no relation that is known")
    for color in (target.color, target.anchor_color):
        if color and color not in COLORS:
            raise refusal(f"'{color}' is no colour that is known")
    if target.room and target.room not in ROOM_WORDS:
        raise refusal(f"'{target.room}' is no kind of room that is known")
    if target.unless and not _is_thing(target.unless, known, labels):
        raise refusal(f"'{target.unless}' is not known")


def _is_thing(label: str, known: Collection[str], labels: Collection[str]) -> bool:
    """Whether a label is a category, or a subtype by another one ("sofa table")."""
    words = label.split()
    splits = range(1, len(words))
    return label in known or any(
        known_label(" ".join(words[:k]), labels) and known_label(" ".join(words[k:]), labels) for k in splits
    )


def _check_which(goal: Target, before: Sequence[Target], refusal: Callable[[str], InputError]) -> None:
    if goal.rank and goal.rank not in RANK_WORDS:
        raise refusal(f"'{goal.rank}' says nothing about which one")
    if not 0 <= goal.ordinal <= MOST_ORDINAL:
        raise refusal(f"the {goal.ordinal}th of something: count from 1 to {MOST_ORDINAL}")
    if goal.ordinal and goal.rank not in ("", "nearest", "biggest", "smallest", "farthest"):
        raise refusal(f"'{goal.name}' is not understood")
    if goal.side not in _SIDES:
        raise refusal(f"'{goal.side}' is no side")
    if goal.label in PLACE_WORDS and (goal.rank or goal.ordinal or goal.color or goal.anchor_label or goal.side):
        raise refusal(f"there is one {goal.label} only")
    if goal.rank == "other" and not goal.excludes and all(b.label != goal.label for b in before):
        raise refusal(f"other than which {goal.label} is not said")


def _covers(excluded: Target, goal: Target) -> bool:
    """Whether everything that a goal asks for is excluded."""
    if excluded.is_room and not goal.is_room:
        return excluded.label == goal.in_room
    label = not excluded.label or (excluded.is_room == goal.is_room and label_score(goal.label, excluded.label) >= 1.0)
    color = not excluded.color or excluded.color == goal.color
    anchor = not excluded.anchor_label or (
        (excluded.relation, excluded.anchor_label) == (goal.relation, goal.anchor_label)
        and excluded.anchor_color in ("", goal.anchor_color)
    )
    return label and color and anchor
