"""A sentence that perception cannot help with is refused, with the reason; what is remembered can be found."""

import pytest

from embodied_nav.language import parse_instruction
from embodied_nav.reasoner import Sight

BLIND = Sight("geometric", frozenset())
COCO = Sight("detector", frozenset({"chair", "sofa", "bed", "dining table", "tv", "cup", "person", "elephant"}))


def refusal(sight, text, remembered=()):
    return sight.refusal(parse_instruction(text, remembered), remembered)


@pytest.mark.parametrize("text", ["find the sofa", "find the mug beside the lamp", "go to the kitchen"])
def test_who_can_name_anything_refuses_nothing(text):
    assert Sight("simulator", None).refusal(parse_instruction(text), ()) == ""


def test_robot_that_sees_no_categories_says_so():
    said = refusal(BLIND, "find the red sofa")
    assert "'find the red sofa'" in said and "perception 'geometric' sees no categories" in said
    assert "models get detector" in said and "\n" not in said
    assert "told by the things in them" in refusal(BLIND, "go to the kitchen")


def test_what_is_remembered_can_be_found_by_anyone():
    assert refusal(BLIND, "find the red sofa", {"sofa", "object"}) == ""
    assert refusal(BLIND, "find the couch", {"sofa"}) == ""
    assert refusal(BLIND, "go to the kitchen", {"oven"}) == ""
    assert refusal(BLIND, "go to the kitchen", {"object", "surface"}) != ""
    assert refusal(BLIND, "find the red object", {"object"}) == "", "by colour, without a category"
    assert refusal(COCO, "find the lamp", {"lamp"}) == ""


@pytest.mark.parametrize(
    "text",
    ["find the couch", "find the television", "find the table", "find the office chair", "find the mug",
     "go to the kitchen", "find the chair beside the bed", "find the chair in the kitchen",
     "go past the sofa, then stop at the tv"],
)  # fmt: skip
def test_a_detector_is_asked_for_what_it_knows_by_any_word(text):
    """A mug is near enough to a cup to be looked at, an office chair to a chair."""
    assert refusal(COCO, text) == ""


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("find the lamp", "lamp"),
        ("find the bookcase", "bookshelf"),
        ("find the chair beside the lamp", "lamp"),
        ("go past the lamp, then stop at the tv", "lamp"),
    ],
)
def test_a_detector_is_not_asked_for_what_it_does_not_know(text, thing):
    said = refusal(COCO, text)
    assert f"perception 'detector' cannot tell a {thing}; it names bed, chair, dining table, sofa, tv, cup" in said


def test_long_lists_are_cut():
    many = Sight("detector", frozenset({f"thing {k}" for k in range(80)} | {"sofa"}))
    said = refusal(many, "find the lamp")
    assert "it names sofa, thing 0" in said and "and 61 more" in said and len(said) < 500
