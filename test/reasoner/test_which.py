"""Which of several things is meant, what must not be gone to, and when a goal is skipped: without driving."""

import math

import numpy as np
import pytest

from embodied_nav.frames import MemoryObject
from embodied_nav.language import parse_instruction
from embodied_nav.reasoner.targets import SURE, candidates
from embodied_nav.reasoner.which import HELD, Progress, chosen_among


def thing(i, label, color, x, y, size=0.6):
    return MemoryObject(i, label, color, np.array([x, y, 0.4]), np.full(3, size), 1.0, 100, 1, 1, 0)


CHAIRS = [
    thing(1, "chair", "red", 1.0, 2.0),
    thing(2, "chair", "blue", 3.0, -1.0, 0.9),
    thing(3, "chair", "green", 6.0, 1.0, 0.3),
    thing(4, "chair", "red", 8.0, -3.0),
]


def progress(**more):
    made = Progress(**more)
    made.here((0.0, 0.0), 0.0)
    return made


def meant(text, objects=CHAIRS, unseen=math.inf, **more):
    """Keys of the candidates that may be driven to, for the sentence's last goal."""
    target, state = parse_instruction(text).target, progress(**more)
    fit = candidates(target, objects, {}, None)
    chosen = chosen_among(target, fit, state, lambda c: math.hypot(*c.object.position[:2]), lambda: unseen)
    assert {c.key for c in chosen} <= {c.key for c in fit}
    return sorted(c.key for c in chosen if c.score >= SURE)


@pytest.mark.parametrize(
    "text, key",
    [("the nearest chair", 1), ("the farthest chair", 4), ("the biggest chair", 2), ("the smallest chair", 3),
     ("the second chair", 2), ("the third chair", 3), ("the last chair", 4), ("the second red chair", 4),
     ("the nearest chair on the right", 2), ("the second chair on the left", 3), ("the last chair on the left", 3),
     ("the second chair from the left", 3), ("the leftmost chair", 1), ("the rightmost chair", 4),
     ("the second biggest chair", 1), ("the nearest chair, not the red one", 2),
     ("the biggest chair that isn't blue", 1)],
)  # fmt: skip
def test_one_is_meant_once_all_is_explored(text, key):
    assert meant(text, explored=True) == [key]


@pytest.mark.parametrize("text", ["the farthest chair", "the biggest chair", "the last chair", "the leftmost chair"])
def test_what_only_the_whole_decides_is_held_back_before(text):
    assert meant(text) == [], "even where no opening is known"


def test_the_nearest_is_decided_once_no_unseen_floor_is_nearer():
    assert meant("the nearest chair", unseen=1.0) == []
    assert meant("the nearest chair", unseen=2.0) == [1]
    assert meant("the second chair", unseen=2.0) == []
    assert meant("the second chair", unseen=3.1) == [2]


def test_what_is_decided_stays_so():
    state, target = progress(explored=True), parse_instruction("the biggest chair").target
    fit = candidates(target, CHAIRS, {}, None)
    near = (lambda c: 1.0, lambda: math.inf)
    assert max(chosen_among(target, fit, state, *near), key=lambda c: c.score).key == 2
    bigger = candidates(target, [*CHAIRS, thing(5, "chair", "", 1.0, 0.0, 2.0)], {}, None)
    assert max(chosen_among(target, bigger, state, *near), key=lambda c: c.score).key == 2


def test_fewer_than_asked_for_are_none():
    assert meant("the fifth chair", explored=True) == []


def test_the_other_one_is_none_of_those_visited():
    text = "go to the red chair, then to the other chair"
    assert meant(text, visited={1}) == [2, 3, 4]
    state = progress()
    state.at = 3
    state.next_goal()
    assert state.visited == {3} and state.begin == (0.0, 0.0, 0.0)


def test_numbers_are_counted_from_the_start_and_nearness_from_the_last_goal():
    state = progress()
    state.here((6.0, 0.0), math.pi)
    state.next_goal()
    for text, origin in (("the second chair", 0.0), ("the chair on the left", 0.0), ("the nearest chair", 6.0)):
        assert state.origin(parse_instruction(text).target)[0] == origin


def test_held_back_is_too_little_to_be_offered():
    target, state = parse_instruction("the biggest chair").target, progress()
    fit = candidates(target, CHAIRS, {}, None)
    assert all(c.score <= HELD for c in chosen_among(target, fit, state, lambda c: 1.0, lambda: 0.0))


@pytest.mark.parametrize(
    "text, keys",
    [("find a chair, not the red one", [2, 3]), ("find a chair, not the red one or the blue one", [3]),
     ("find a chair that isn't green", [1, 2, 4]), ("find a chair, not the one beside the lamp", [1, 2, 4])],
)  # fmt: skip
def test_what_is_excluded_is_no_candidate(text, keys):
    things = [*CHAIRS, thing(9, "lamp", "", 6.5, 1.5, 0.3)]
    found = candidates(parse_instruction(text).target, things, {}, None)
    assert sorted(c.key for c in found if c.score >= SURE) == keys
    assert sorted(c.key for c in found) == keys, "not even a doubtful one"


def test_a_colour_that_was_not_seen_may_be_the_excluded_one():
    unclear = thing(5, "chair", "", 1.0, 0.0)
    target = parse_instruction("find a chair, not the red one").target
    (found,) = candidates(target, [unclear], {}, None)
    assert 0.25 < found.score < SURE, "looked at, and not taken for the target before its colour is known"
    (found,) = candidates(target, [thing(5, "chair", "blue", 1.0, 0.0)], {}, None)
    assert found.score >= SURE


def test_a_general_word_may_exclude_one_of_its_kind():
    tables = [thing(1, "dining table", "", 1.0, 0.0), thing(2, "coffee table", "", 2.0, 0.0)]
    found = candidates(parse_instruction("find a table, not the coffee table").target, tables, {}, None)
    assert [c.key for c in found] == [1]


def test_where_the_robot_started_is_a_place():
    target = parse_instruction("go back to where you started").target
    (found,) = candidates(target, CHAIRS, {}, None, (1.5, 2.5))
    assert found.place == (1.5, 2.5) and found.score == 1.0
    assert candidates(target, CHAIRS, {}, None) == []
