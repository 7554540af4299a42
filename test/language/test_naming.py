"""Sentences that give a place a name, and goals that are such a place."""

import pytest

from embodied_nav.errors import InputError
from embodied_nav.language import as_json, named_place, parse_instruction, with_places


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("this is the charger", "charger"),
        ("This is my charger.", "charger"),
        ("OK robot, this is the charger now", "charger"),
        ("call this place north corner", "north corner"),
        ("remember this spot as base camp, please", "base camp"),
        ("here is Anna\u2019s corner", "anna's corner"),
        ("this place is called depot 7", "depot 7"),
        ("you are at the loading bay", "loading bay"),
        ("this is the couch", "sofa"),
        ("go to the charger", ""),
        ("where is the charger?", ""),
        ("is this the charger?", ""),
        ("this is the charger?", ""),
    ],
)
def test_names(text, name):
    assert named_place(text) == name
    if name:
        form = as_json(parse_instruction(text))
        assert form["refused"] == "" and form["names"] == name
        assert [(goal["kind"], goal["label"]) for goal in form["goals"]] == [("place", name)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("this is the kitchen", "'kitchen' means kitchen already"),
        ("this is home", "'home' means start already"),
        ("this is red", "'red' means red already"),
        ("this is the charger, go to the kitchen", "one to 4 words"),
        ("this is the table by the window", "is no name of a place"),
        ("this is not the charger", "is no name of a place"),
        ("this is a", "is no name of a place"),
        (f"this is {'x' * 30}", "is no name of a place"),
    ],
)
def test_what_is_no_name(text, says):
    with pytest.raises(InputError, match=says) as caught:
        parse_instruction(text)
    assert "\n" not in str(caught.value)


def kinds(text, places=()):
    instruction = with_places(parse_instruction(text, set(places)), places)
    return [(stage.kind, stage.label) for stage in instruction.stages]


def test_a_goal_with_a_name_is_that_place_and_no_thing_of_the_kind():
    assert kinds("go to the charger") == [("object", "charger")]
    assert kinds("go to the charger", ["charger"]) == [("place", "charger")]
    assert kinds("go to the red charger", ["charger"]) == [("object", "charger")]
    assert kinds("drive to the north corner", ["north corner"]) == [("place", "north corner")]


def test_a_patrol_is_its_goals_in_order():
    text = "patrol the charger, the north corner, the kitchen and the red sofa"
    assert kinds(text, ["charger", "north corner"]) == [
        ("place", "charger"), ("place", "north corner"), ("room", "kitchen"), ("object", "sofa"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="'moon'"):
        parse_instruction("patrol the charger, the moon, the kitchen")


def test_where_you_started_is_where_the_session_began_unless_goals_come_before():
    assert kinds("go back to where you started", ["start"]) == [("place", "start")]
    alone = with_places(parse_instruction("go back to where you started"), ["start"])
    assert alone.stages[0].named
    after = with_places(parse_instruction("find the sofa, then go back to where you started"), ["start"])
    assert [stage.named for stage in after.stages] == [False, False]
