"""Driving to places that have a name, in the hand-made flat; what is not in this map is refused."""

import math

import numpy as np
import pytest
from test_navigator import Flat, things

from embodied_nav.errors import InputError
from embodied_nav.frames import ELSEWHERE, NAMED, MemoryObject
from embodied_nav.reasoner import Navigator


def place(number, name, x, y, status=NAMED):
    return MemoryObject(
        4_000_000_000 + number, name, "", np.array([x, y, 0.0]), np.full(3, 0.1), 1.0, 0, 1, 1, 0, status
    )


CHARGER, CORNER, BEGUN = place(0, "charger", 7.0, 3.0), place(1, "north corner", 1.0, 0.7), place(2, "start", 5.5, 1.0)


def drive(sentence, places, seconds=240.0):
    """The last output, the flat, and (x, y) where each goal was done."""
    flat, navigator = Flat(things()), Navigator()
    navigator.reset(sentence, {p.label for p in places}, places)
    flat.seen.update({p.id: p for p in places})
    done, move, stage = [], flat.drive, [0]

    def watched(out):
        if navigator.stage != stage[0]:
            stage[0] = navigator.stage
            done.append((flat.x, flat.y))
        move(out)

    flat.drive = watched
    out, _ = flat.run(navigator, seconds)
    return out, flat, [*done, (flat.x, flat.y)]


@pytest.mark.parametrize("sentence", ["go to the charger", "drive back to the charger please"])
def test_a_place_is_gone_to_though_it_was_not_seen_today(sentence):
    out, flat, _ = drive(sentence, [CHARGER, CORNER])
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (7.0, 3.0)) < 0.4


def test_back_to_where_the_session_began():
    out, flat, _ = drive("go back to where you started", [BEGUN])
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (5.5, 1.0)) < 0.4
    assert flat.path_length > 3.0, "and not where it stood when it was told"


def test_a_patrol_visits_places_and_things_in_order():
    out, _, (first, second, last) = drive(
        "patrol the north corner, the refrigerator and the charger", [CHARGER, CORNER]
    )
    assert out.status == "stopped"
    assert math.dist(first, (1.0, 0.7)) < 0.4 and math.dist(second, (7.3, 1.5)) < 1.0
    assert math.dist(last, (7.0, 3.0)) < 0.4


def test_a_place_of_another_map_is_refused():
    away = place(0, "charger", 0.0, 0.0, ELSEWHERE)
    navigator = Navigator()
    for sentence in ("go to the charger", "find the sofa, then go to the charger"):
        with pytest.raises(InputError, match="'charger' was named in another map"):
            navigator.reset(sentence, {"charger"}, [away])
    navigator.reset("go to the red charger", {"charger"}, [away])  # a thing of the kind may be searched
    navigator.reset("go to the charger", {"charger"}, [CHARGER, place(1, "charger", 0.0, 0.0, ELSEWHERE)])


def test_a_map_that_is_exchanged_on_the_way_ends_the_goal():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("go to the charger", {"charger"}, [CHARGER])
    flat.seen[CHARGER.id] = CHARGER
    flat.run(navigator, 2.0)
    flat.seen[CHARGER.id] = place(0, "charger", 0.0, 0.0, ELSEWHERE)
    out, _ = flat.run(navigator, 2.0)
    assert out.status == "failed" and "named in another map" in out.reason and len(out.path) == 0


def test_a_place_is_moved_with_the_map_on_the_way():
    flat, navigator = Flat(things()), Navigator()
    navigator.reset("go to the charger", {"charger"}, [CHARGER])
    flat.seen[CHARGER.id] = CHARGER
    flat.run(navigator, 4.0)
    flat.seen[CHARGER.id] = place(0, "charger", 6.0, 2.5)
    navigator.replan()
    out, _ = flat.run(navigator)
    assert out.status == "stopped" and math.dist((flat.x, flat.y), (6.0, 2.5)) < 0.4


def test_to_give_a_name_is_no_way_to_drive():
    with pytest.raises(InputError, match="gives a place a name"):
        Navigator().reset("this is the charger")
