"""Compound goals, exclusions, ranks and places, driven in the hand-made flat of the navigator's tests."""

import math

import pytest
from test_navigator import Flat, thing, things

from embodied_nav.reasoner import Navigator


def drive(sentence, more=(), seconds=240.0):
    """Drives a sentence; returns the last output, the flat, the navigator, and (x, y) where each goal was done."""
    flat, navigator = Flat([*things(), *more]), Navigator()
    navigator.reset(sentence)
    done, move, stage = [], flat.drive, [0]

    def watched(out):
        if navigator.stage != stage[0]:
            stage[0] = navigator.stage
            done.append((flat.x, flat.y))
        move(out)

    flat.drive = watched
    out, decisions = flat.run(navigator, seconds)
    return out, flat, navigator, [*done, (flat.x, flat.y)], decisions


def test_compound_goals_are_arrived_at_in_order():
    out, _, navigator, (first, last), _ = drive("go to the refrigerator, then to the blue sofa")
    assert out.status == "stopped" and navigator.stage == 1
    assert math.dist(first, (7.3, 1.5)) < 1.0, "stopped at, not passed in the distance"
    assert abs(last[0] - 2.0) < 1.6 and last[1] > 1.9, "beside the sofa"


@pytest.mark.parametrize("sentence", ["find a sofa, not the blue one", "find a sofa that isn't blue"])
def test_what_is_excluded_is_never_approached(sentence):
    red = thing(5, "sofa", "red", 7.0, 3.4, (1.0, 0.6))
    out, flat, _, _, decisions = drive(sentence, [red])
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (7.0, 3.1)) < 1.3
    assert not any("blue sofa" in o.text for d in decisions for o in d.options if o.kind == "object")


def test_only_what_is_excluded_is_there():
    out, *_ = drive("find a sofa, not the blue one")
    assert out.status == "failed"
    reason = "looked everywhere reachable (2 rooms), no sofa, not blue; nearest match: blue sofa in the living room"
    assert out.reason == reason


def test_the_biggest_is_told_after_all_was_seen():
    big = thing(5, "plant", "green", 7.5, 3.3, (0.7, 0.7))
    out, flat, _, _, decisions = drive(
        "go to the biggest plant", [big, thing(6, "plant", "green", 0.5, 0.6, (0.3, 0.3))]
    )
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (7.5, 3.3)) < 1.4
    assert "of 3 found" in next(d for d in reversed(decisions) if d.option.kind == "object").option.text


def test_a_goal_is_skipped_where_somebody_is_at_it():
    somebody = thing(5, "person", "", 6.95, 1.5, (0.3, 0.3))
    sentence = "go to the refrigerator, then the sofa; skip the refrigerator if somebody is at it"
    out, flat, _, _, _ = drive(sentence, [somebody])
    assert out.status == "stopped" and "refrigerator is skipped: a person is there" in out.reason
    assert abs(flat.x - 2.0) < 1.6 and flat.y > 1.9
    out, _, _, (first, _), _ = drive(sentence)
    assert out.status == "stopped" and math.dist(first, (7.3, 1.5)) < 1.0, "nobody is there"


def test_back_to_where_it_started():
    out, flat, *_ = drive("go to the oven, then go back to where you started")
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (1.0, 2.0)) < 0.3


def test_the_door_between_two_rooms_is_a_place():
    out, flat, *_ = drive("go to the door")
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (4.05, 1.95)) < 0.6


def test_fewer_than_asked_for_end_with_their_number():
    out, *_ = drive("go to the second sofa")
    assert out.status == "failed"
    assert out.reason == "looked everywhere reachable (2 rooms), no second sofa: found only 1 of them"
