"""Answers as text, matching and priors, and what the policies choose."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, MemoryObject, OccupancyGrid, Option
from embodied_nav.language import color_score, label_score, parse_instruction
from embodied_nav.reasoner import (
    POLICIES,
    AnswerError,
    Context,
    Facts,
    create,
    format_answer,
    parse_answer,
)
from embodied_nav.reasoner.prompt import direction_words
from embodied_nav.reasoner.targets import SURE, candidates
from embodied_nav.rooms.kinds import chance_beyond, chance_in, regions
from embodied_nav.rooms.priors import KINDS, room_posterior, shape_scores
from embodied_nav.rooms.segmentation import segment_rooms


def option(letter, kind="frontier", distance=1.0):
    position = None if kind in ("stop", "look_around") else (distance, 0.0)
    return Option(letter, kind, position, distance, 0.0, f"{kind} {letter}")


def thing(i, label, color, x, y, size=0.5, z=0.4):
    extent = np.array([size, size, 2 * z])
    return MemoryObject(i, label, color, np.array([x, y, z]), extent, 1.0, 100, 1, 1, 0)


OPEN = OccupancyGrid(np.full((200, 200), FREE, np.int8), 0.05, (-5.0, -5.0))


def floor_plan(*rooms, doors=()):
    """Rectangles (x0, y0, x1, y1) of floor with walls around them, joined by doors; the rest is unknown."""
    data = np.full((200, 240), UNKNOWN, np.int8)
    for rooms_, grow, value in ((rooms, 1, OCCUPIED), ((*rooms, *doors), 0, FREE)):
        for x0, y0, x1, y1 in rooms_:
            r0, r1, c0, c1 = (int(round(v / 0.05)) for v in (y0, y1, x0, x1))
            data[r0 - grow : r1 + grow, c0 - grow : c1 + grow] = value
    return OccupancyGrid(data, 0.05, (0.0, 0.0))


#: Two rooms with a corridor below them.
FLAT = floor_plan(
    (1.0, 3.0, 4.5, 6.5), (4.65, 3.0, 8.5, 6.5), (1.0, 1.0, 8.5, 2.8), doors=[(2, 2.8, 2.9, 3), (6, 2.8, 6.9, 3)]
)


def guess(objects, grid=FLAT):
    """(rooms, what is believed of each) of a map."""
    rooms = segment_rooms(grid, objects=objects)
    return rooms, regions(rooms, objects)


def found_rooms(text, objects, grid=FLAT):
    """(candidates, rooms) for an instruction."""
    rooms, found = guess(objects, grid)
    return candidates(parse_instruction(text).target, objects, found, rooms), rooms


def context(facts, kinds, text="find the red sofa", seed=1):
    options = tuple(option("ABCDEFGH"[k], kind, facts[k].cost) for k, kind in enumerate(kinds))
    instruction = parse_instruction(text)
    return Context(instruction, instruction.target, options, tuple(facts), (0, 0), 0.0, (), OPEN, seed)


def choice(policy, c):
    return parse_answer(create(policy).answer(c), c.options)[0]


def test_letters_in_the_reasoning_choose_nothing():
    options = (option("A"), option("B"), option("C"))
    assert parse_answer("<think>Option A is near, C is far</think><answer>B</answer>", options) == (
        1,
        "Option A is near, C is far",
    )
    assert parse_answer("<think>x</think>\n<answer> C </answer>", options)[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        "B", "<think>B</think>", "<answer></answer>", "<answer>Z</answer>", "<answer>A B</answer>",
        "<answer>b</answer>", "<answer>option B</answer>", "<answer>A</answer><answer>B</answer>",
        "<answer>A</answer><answer>",
        "<think><answer>A</answer></think><answer>A</answer>",
    ],
)  # fmt: skip
def test_answers_without_exactly_one_known_letter_are_refused(text):
    with pytest.raises(AnswerError):
        parse_answer(text, (option("A"), option("B")))


@given(st.text(alphabet=st.characters(exclude_characters="<>"), max_size=60), st.integers(0, 7))
def test_what_is_formatted_is_read_back(think, k):
    options = tuple(option(letter) for letter in "ABCDEFGH")
    assert parse_answer(format_answer(think, options[k].letter), options) == (k, think.strip())


@pytest.mark.parametrize(
    "bearing, words",
    [(0.1, "ahead"), (math.pi / 2, "left"), (-math.pi / 4, "ahead right"), (math.pi, "behind"), (-3.1, "behind")],
)
def test_directions(bearing, words):
    assert direction_words(bearing) == words


def test_unknown_policy_names_the_known_ones():
    with pytest.raises(InputError, match="rules"):
        create("oracle-of-delphi")
    assert set(POLICIES) == {"rules", "frontier", "random", "compact", "causal_lm"}


def test_labels_and_colours_match_by_category_not_by_letters():
    assert label_score("couch", "sofa") == 1.0
    assert label_score("dining table", "table") >= SURE
    assert label_score("office chair", "chair") < SURE
    assert label_score("tv stand", "tv") < SURE
    assert color_score("red", "red") == 1.0
    assert color_score("blue", "red") == 0.0
    assert SURE <= color_score("", "red") < 1.0
    assert 0 < color_score("orange", "red") < SURE


def test_colour_decides_between_two_sofas():
    objects = [thing(1, "sofa", "blue", 1, 0), thing(2, "sofa", "red", 3, 0)]
    found = candidates(parse_instruction("find the red sofa").target, objects, {}, None)
    assert [c.object.id for c in found] == [2]


def test_gone_objects_are_no_candidates():
    o = thing(1, "sofa", "red", 1, 0)
    gone = MemoryObject(**{**o.__dict__, "status": "gone"})
    assert candidates(parse_instruction("find the red sofa").target, [gone], {}, None) == []


def test_relation_prefers_the_one_beside_the_anchor():
    objects = [thing(1, "lamp", "white", 4, 4), thing(2, "lamp", "white", 0.8, 0), thing(3, "bed", "blue", 0, 0)]
    found = candidates(parse_instruction("go to the lamp beside the bed").target, objects, {}, None)
    assert found[0].object.id == 2
    assert found[0].score >= SURE
    assert found[1].score < SURE


def test_room_is_told_by_what_stands_in_it_and_the_next_one_is_not():
    objects = [thing(1, "oven", "black", 2, 6), thing(2, "refrigerator", "white", 3, 6), thing(3, "bed", "red", 6, 5)]
    kitchen, rooms = found_rooms("go to the kitchen", objects)
    assert kitchen[0].score > 0.9
    assert kitchen[0].room is rooms.at((2.0, 4.0))
    assert all(c.score < SURE for c in kitchen[1:])
    bedroom, _ = found_rooms("go to the bedroom", objects)
    assert bedroom[0].room is not None
    assert bedroom[0].room.id == rooms.at((6.0, 4.0)).id
    assert all(c.score < SURE for c in found_rooms("go to the bathroom", objects)[0])


def test_a_corridor_is_told_by_its_shape():
    objects = [thing(1, "oven", "black", 2, 6), thing(3, "bed", "red", 6, 5), thing(4, "plant", "green", 1.3, 1.3)]
    hallway, rooms = found_rooms("go into the hallway", objects)
    assert hallway[0].score >= SURE
    assert hallway[0].room.id == rooms.at((5.0, 2.0)).id
    assert all(c.score < SURE for c in hallway[1:])


def test_a_room_hardly_seen_is_not_taken_for_one_without_things():
    """What was not looked into may hold anything: nothing in it proves nothing."""
    data = FLAT.data.copy()
    data[:, 40:] = UNKNOWN
    glimpse = OccupancyGrid(data, 0.05, (0.0, 0.0))
    assert all(c.score < SURE for c in found_rooms("go into the hallway", [], glimpse)[0])
    _, found = guess([], glimpse)
    assert all(max(r.kinds.values()) < 0.5 for r in found.values() if r.room.area < 3.0)


def test_two_rooms_in_one_region_are_told_by_what_stands_near():
    hall = floor_plan((1.0, 1.0, 9.0, 5.0))
    living = [thing(k, label, "", 1.6 + 0.2 * k, 4.5) for k, label in enumerate(("sofa", "coffee table", "tv"))]
    objects = [*living, thing(7, "oven", "black", 8.5, 4.5), thing(8, "refrigerator", "white", 8.5, 3.5)]
    kitchen, _ = found_rooms("go to the kitchen", objects, hall)
    lounge, _ = found_rooms("go to the living room", objects, hall)
    assert kitchen[0].score >= SURE
    assert lounge[0].score >= SURE
    marks = [o.id for c in (kitchen[0], lounge[0]) for o in c.marks]
    assert marks in ([7, 8], [0, 1, 2])


def test_chances_follow_the_kinds_of_rooms():
    objects = [thing(1, "oven", "black", 2, 6), thing(2, "refrigerator", "white", 3, 6), thing(3, "bed", "red", 6, 5)]
    rooms, found = guess(objects)
    kitchen, bedroom = found[rooms.at((2.0, 4.0)).id], found[rooms.at((6.0, 4.0)).id]
    microwave = parse_instruction("find the microwave").target
    assert chance_in(kitchen, microwave) > 0.8 > 0.1 > chance_in(bedroom, microwave)
    assert chance_beyond({}, microwave) > chance_beyond(found, microwave)
    wardrobe = parse_instruction("find the wardrobe").target
    assert chance_in(bedroom, wardrobe) > chance_in(kitchen, wardrobe)


def test_posterior_sums_to_one_and_follows_the_evidence():
    kinds = ("kitchen", "bathroom", "bedroom")
    p = room_posterior([("toilet", 1.0), ("washing machine", 1.0)], kinds)
    assert sum(p.values()) == pytest.approx(1.0)
    assert max(p, key=p.get) == "bathroom"


def test_missing_things_count_as_far_as_a_room_was_seen():
    unseen = room_posterior([("chair", 1.0)], KINDS, seen=0.0)
    seen = room_posterior([("chair", 1.0)], KINDS, seen=1.0)
    assert seen["dining room"] < unseen["dining room"]
    assert seen["hallway"] > unseen["hallway"]


def test_shape_speaks_for_corridors_only_where_it_is_one():
    corridor = shape_scores(area=12.0, depth=1.7, doors=4, seen=1.0)["hallway"]
    assert corridor > 2.0
    assert shape_scores(16.0, 3.9, 2, 1.0)["hallway"] < -2.0
    assert shape_scores(5.5, 1.9, 1, 1.0)["hallway"] < 0.0
    assert abs(shape_scores(1.0, 1.0, 0, 0.1)["hallway"]) < 0.2


def test_rules_stop_where_they_arrived():
    c = context([Facts(cost=1, gain=9), Facts(arrived=0.9)], ["frontier", "stop"])
    assert choice("rules", c) == 1
    assert choice("frontier", c) == 1


def test_known_target_comes_before_exploring():
    c = context([Facts(cost=9, match=1.0), Facts(cost=1, gain=9), Facts()], ["object", "frontier", "stop"])
    assert choice("rules", c) == 0
    assert choice("frontier", c) == 0


def test_rules_weigh_priors_gain_and_distance_where_frontier_takes_the_nearest():
    facts = [Facts(cost=2, gain=3), Facts(cost=3, gain=3, affinity=0.9), Facts()]
    c = context(facts, ["frontier", "frontier", "stop"])
    assert choice("rules", c) == 1
    assert choice("frontier", c) == 0
    far = context([Facts(cost=2, gain=3), Facts(cost=12, gain=3), Facts()], ["frontier", "frontier", "stop"])
    assert choice("rules", far) == 0


def test_rules_stay_on_their_way():
    facts = [Facts(cost=2.0, gain=3), Facts(cost=2.2, gain=3, current=True), Facts()]
    assert choice("rules", context(facts, ["frontier", "frontier", "stop"])) == 1


def test_doubtful_match_is_the_last_resort():
    facts = [Facts(cost=2, match=0.4), Facts(cost=5, gain=0.3), Facts()]
    assert choice("rules", context(facts, ["object", "frontier", "stop"])) == 1
    assert choice("rules", context([facts[0], facts[2]], ["object", "stop"])) == 0
    assert choice("rules", context([Facts(cost=2, match=0.1), Facts()], ["object", "stop"])) == 1


def test_random_is_repeatable_and_varies():
    kinds = ["frontier"] * 6 + ["stop"]
    draws = [choice("random", context([Facts(cost=1, gain=1)] * 7, kinds, seed=k)) for k in range(40)]
    assert draws == [choice("random", context([Facts(cost=1, gain=1)] * 7, kinds, seed=k)) for k in range(40)]
    assert len(set(draws)) > 3


def test_the_rules_fingerprint_changes_with_weights_and_priors(monkeypatch):
    from embodied_nav.reasoner import RulesConfig, RulesPolicy
    from embodied_nav.rooms import priors

    plain = RulesPolicy().fingerprint()
    assert plain == RulesPolicy(RulesConfig()).fingerprint() and len(plain) == 12
    assert RulesPolicy(RulesConfig(persistence=1.4)).fingerprint() != plain
    monkeypatch.setitem(priors.TYPICAL, "sofa", {"living room": 0.8})
    assert RulesPolicy().fingerprint() != plain
