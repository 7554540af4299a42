"""What sentences are read as."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.reasoner import parse_instruction


@pytest.mark.parametrize(
    "text, kind, stages",
    [
        ("find the red sofa", "object", ["red sofa"]),
        ("Go to the grey couch!", "object", ["gray sofa"]),
        ("look for a washing machine", "object", ["washing machine"]),
        ("find the red sofa and stop beside it", "object", ["red sofa"]),
        ("walk to the yellow coffee table and stop there", "object", ["yellow coffee table"]),
        ("go to the lamp beside the bed", "relation", ["lamp beside the bed"]),
        ("find the lamp on the nightstand", "relation", ["lamp on the nightstand"]),
        ("take me to the red chair in front of the blue desk", "relation", ["red chair in front of the blue desk"]),
        ("find the couch in the lounge", "relation", ["sofa in the living room"]),
        ("go to the kitchen", "room", ["kitchen"]),
        ("drive into the dining room and stop", "room", ["dining room"]),
        ("look for the study and stop inside", "room", ["office"]),
        ("leave this room, pass the plant, stop at the oven", "route", ["plant", "oven"]),
        ("leave the laundry room, go past the green armchair and stop at the wardrobe", "route",
         ["green armchair", "wardrobe"]),
        ("walk past the fridge and stop at the washing machine", "route", ["refrigerator", "washing machine"]),
        ("go to the sofa first, then on to the purple lamp", "route", ["sofa", "purple lamp"]),
        ("leave this room, pass the bathtub and the laundry basket, stop at the white lamp", "route",
         ["bathtub", "laundry basket", "white lamp"]),
        ("go past the bed, then past the desk, and stop at the tv stand", "route", ["bed", "desk", "tv stand"]),
    ],
)  # fmt: skip
def test_reads(text, kind, stages):
    parsed = parse_instruction(text)
    assert parsed.kind == kind
    assert [s.name for s in parsed.stages] == stages
    assert parsed.text == text


@pytest.mark.parametrize("text", ["", "   ", "!!!", "go to the", "stop"])
def test_sentence_that_names_nothing_is_refused_in_one_line(text):
    with pytest.raises(InputError) as error:
        parse_instruction(text)
    assert "\n" not in str(error.value)


def test_routes_ask_for_nearness_to_the_middle_of_things():
    assert all(s.radius < 1.0 for s in parse_instruction("pass the bed, stop at the sofa").stages)
    assert parse_instruction("find the sofa").target.radius == float("inf")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        parsed = parse_instruction(text)
    except InputError:
        return
    assert parsed.target.label
    assert parsed.kind in ("object", "relation", "room", "route")
