"""Questions about space, order and change: VSI-Bench's wordings, everyday ones, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.language.asking import KINDS, LONGEST, ask_about, thing_named
from embodied_nav.language.matching import Noun

CASES = [
    # VSI-Bench's own templates
    ("How many chair(s) are in this room?", "count", ["chair"], [], ""),
    ("Measuring from the closest point of each object, what is the distance between the red chair and the bed (in "
     "meters)?", "distance", ["red chair", "bed"], [], ""),
    ("Measuring from the closest point of each object, which of these objects (lamp, bed, green chair, toilet) is the "
     "closest to the sofa?", "nearest", ["sofa"], ["lamp", "bed", "green chair", "toilet"], ""),
    ("If I am standing by the stove and facing the tv, is the sofa to the left or the right of the tv?", "direction",
     ["oven", "tv", "sofa"], [], "easy"),
    ("If I am standing by the stove and facing the tv, is the sofa to my left, right, or back? An object is to my back "
     "if I would have to turn at least 135 degrees in order to face it.", "direction", ["oven", "tv", "sofa"], [],
     "medium"),
    ("If I am standing by the stove and facing the tv, is the sofa to my front-left, front-right, back-left, or "
     "back-right? The directions refer to the quadrants of a Cartesian plane.", "direction", ["oven", "tv", "sofa"],
     [], "hard"),
    ("What is the length of the longest dimension (length, width, or height) of the sofa, measured in centimeters?",
     "size", ["sofa"], [], "longest"),
    ("What is the size of this room (in square meters)? If multiple rooms are shown, estimate the size of the combined "
     "space.", "room_size", [], [], ""),
    ("What will be the first-time appearance order of the following categories in the video: bed, sofa, tv, oven?",
     "order", [], ["bed", "sofa", "tv", "oven"], ""),
    ("You are a robot beginning at the bed facing the lamp. You want to navigate to the sofa. You will perform the "
     "following actions (Note: for each [please fill in], choose either 'turn back,' 'turn left,' or 'turn right.'): "
     "1. Go forward until the lamp. 2. [please fill in]. 3. Go forward until the sofa. You have reached the final "
     "destination.", "route", ["bed", "lamp", "lamp", "sofa"], [], ""),
    # in one's own words
    ("how many chairs?", "count", ["chair"], [], ""),
    ("how far is the sofa from the telly", "distance", ["sofa", "tv"], [], ""),
    ("How far away is the bed?", "distance", ["bed", None], [], ""),
    ("which is nearer to the bed, the lamp or the desk?", "nearest", ["bed"], ["lamp", "desk"], ""),
    ("Which is closer, the lamp or the desk?", "nearest", [None], ["lamp", "desk"], ""),
    ("what's the nearest thing to me?", "nearest", [None], [], ""),
    ("is the lamp left of the bed when you face it?", "direction", [None, "bed", "lamp"], [], "left"),
    ("Is the lamp to the left or right of the bed?", "direction", [None, "bed", "lamp"], [], "easy"),
    ("is the lamp left of the bed when you stand at the door and face the bed", "direction", ["door", "bed", "lamp"],
     [], "left"),
    ("please tell me, how tall is the wardrobe?", "size", ["wardrobe"], [], "height"),
    ("which did you see first, the oven or the bed?", "order", [], ["oven", "bed"], ""),
    ("what is gone?", "gone", [], [], ""),
    ("What did the robot do in its last step?", "action", [], [], "0"),
    ("What action did the robot take three keyframes before the end?", "action", [], [], "3"),
    ("in which room am I?", "here", [], [], ""),
    ("Where is the oven?", "where", ["oven"], [], ""),
    ("To reach the sofa from here, what should the robot do first?", "next", [None, "sofa"], [], ""),
]  # fmt: skip


def called(noun):
    return noun and f"{noun.color} {noun.label}".strip()


@pytest.mark.parametrize(("text", "kind", "things", "choices", "detail"), CASES, ids=[c[0][:40] for c in CASES])
def test_what_is_asked(text, kind, things, choices, detail):
    asked = ask_about(text)
    assert (asked.kind, [called(t) for t in asked.things], [called(c) for c in asked.choices], asked.detail) == (
        kind, things, choices, detail,
    )  # fmt: skip


def test_a_room_limits_a_count_and_has_a_size():
    asked = ask_about("how many red chairs are there in the kitchen?")
    assert asked.room == "kitchen" and asked.things == (Noun("chair", "red"),)
    assert ask_about("how big is the kitchen?").room == "kitchen"
    assert ask_about("what is the size of the lounge (in square meters)?").room == "living room"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("who is the president?", "no question that I know"),
        ("how many unicorns are there?", "'unicorns'"),
        ("how many chairs are red and old?", "'red and old'"),
        ("how many chairs are in the oven?", "no room"),
        ("is the lamp left of the bed when you face the oven?", "face the same thing"),
        ("in what order did you see the bed?", "two or more"),
        ("", "no question"),
        ("x" * (LONGEST + 1), "at most"),
    ],
)
def test_what_is_refused_says_why_in_one_line(text, says):
    with pytest.raises(InputError, match=says) as error:
        ask_about(text)
    assert "\n" not in str(error.value)


def test_words_that_mean_nothing_are_not_passed_over():
    assert thing_named("the red office chair") == Noun("office chair", "red")
    for phrase in ("the broken chair", "chair bed", "red", ""):
        with pytest.raises(InputError):
            thing_named(phrase)
    assert thing_named("the gizmo", {"gizmo"}) == Noun("gizmo")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_question_or_refused(text):
    try:
        assert ask_about(text).kind in KINDS
    except InputError as error:
        assert "\n" not in str(error)
