"""The solver on a small digest whose answers are plain to see."""

import math

import pytest

from embodied_nav.errors import InputError
from embodied_nav.language.asking import ask_about
from embodied_nav.reasoner.answering import Answerer, Solver, letter_of, solve
from embodied_nav.reasoner.digest import DigestFacts, Place, Step, Thing, write


def thing(i, label, color, room, x, y, first=1, status="present", size=(0.4, 0.4, 1.0)):
    return Thing(i, label, color, room, (x, y, 0.5), size, first, status)


#: Two rooms side by side, a door between them at (4, 1); the robot stands in the first one and looks along +x.
FACTS = DigestFacts(
    (
        thing(1, "bed", "blue", 1, 1.0, 3.0, 1, size=(2.0, 1.5, 0.5)),
        thing(2, "lamp", "red", 1, 3.0, 3.0, 2),
        thing(3, "chair", "red", 1, 1.0, 0.5, 3),
        thing(4, "chair", "green", 2, 5.0, 3.0, 5),
        thing(5, "oven", "white", 2, 7.0, 3.0, 4),
        thing(6, "plant", "green", 1, 2.0, 1.0, 2, "gone"),
    ),
    (
        Place(1, "bedroom", 16.0, (2.0, 2.0), ((2, 4.0, 1.0),)),
        Place(2, "kitchen", 12.5, (6.0, 2.0), ((1, 4.0, 1.0),)),
    ),
    (Step(4, "move forward"), Step(5, "rotate left"), Step(6, "rotate right")),
    (),
    (2.0, 1.0, 0.0),
    1,
    total=6,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("how many chairs are there?", 2),
        ("how many chairs are in the kitchen?", 1),
        ("how many plants are there?", 0),
        ("how far is the bed from the lamp?", 0.8),
        ("how far is the oven from the chair?", 1.6),
        ("how far is the red chair?", pytest.approx(math.hypot(0.8, 0.3), abs=0.01)),
        ("which is nearer to the bed, the lamp or the oven?", "lamp"),
        ("which is nearer, the bed or the oven?", "bed"),
        ("what is nearest to the oven?", "green chair"),
        ("If I am standing by the red chair and facing the bed, is the lamp to the left or the right of the bed?",
         "right"),
        ("If I am standing by the red chair and facing the bed, is the oven to my left, right, or back?", "right"),
        ("If I am standing by the lamp and facing the bed, is the red chair to my front-left, front-right, back-left, "
         "or back-right?", "front-left"),
        ("If I am standing by the lamp and facing the bed, is the oven to my left, right, or back?", "back"),
        ("is the lamp left of the bed when you face it?", "no"),
        ("is the lamp right of the bed when you face it?", "yes"),
        ("how tall is the lamp?", 100),
        ("what is the length of the longest dimension (length, width, or height) of the bed, measured in centimeters?",
         200),
        ("how big is the kitchen?", 12.5),
        ("what is the size of this apartment (in square meters)?", 28.5),
        ("which did you see first, the oven or the green chair?", "oven, green chair"),
        ("in what order did you see the oven, the plant and the bed?", "bed, plant, oven"),
        ("what is gone?", "green plant"),
        ("which of these things (bed, plant, lamp) is gone?", "plant"),
        ("what did the robot do in its last step?", "rotate right"),
        ("what action did the robot take 2 keyframes before the end?", "move forward"),
        ("in which room am I?", "bedroom"),
        ("where is the oven?", "kitchen"),
        ("to reach the oven from here, what should the robot do first?", "go straight ahead"),
        ("to reach the lamp from here, what should the robot do first?", "turn left"),
        ("You are a robot beginning at the bed facing the oven. You want to navigate to the lamp. 1. Go forward until "
         "the oven. 2. [please fill in]. 3. Go forward until the lamp.", "turn back"),
        ("You are a robot beginning at the red chair facing the bed. You want to navigate to the lamp. 1. Go forward "
         "until the bed. 2. [please fill in]. 3. Go forward until the lamp.", "turn right"),
    ],
)  # fmt: skip
def test_answers(text, value):
    assert solve(ask_about(text), FACTS).value == value


def test_an_answer_names_what_it_rests_on():
    solution = solve(ask_about("how far is the bed from the lamp?"), FACTS)
    assert set(solution.things) == {1, 2} and "0.8 m" in solution.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("how tall is the chair?", "2 things called chair.*red chair.*green chair"),
        ("how far is the sofa from the bed?", "no sofa"),
        ("how tall is the plant?", "gone"),
        ("how many beds are in the office?", "no office; rooms: bedroom, kitchen"),
        ("what action did the robot take 7 keyframes before the end?", "last 3 keyframes"),
        ("which of these (bed, lamp) is gone?", "nothing is gone"),
        ("which did you see first, the piano or the bed?", "never saw a piano"),
    ],
)
def test_what_is_not_known_is_no_guess(text, says):
    with pytest.raises(InputError, match=says):
        solve(ask_about(text), FACTS)


def test_without_depth_there_are_no_distances():
    flat = DigestFacts((Thing(1, "bed", "", 0, None, None, 1), Thing(2, "lamp", "", 0, None, None, 2)), total=2)
    assert solve(ask_about("which did you see first, the lamp or the bed?"), flat).value == "bed, lamp"
    with pytest.raises(InputError, match="without depth"):
        solve(ask_about("how far is the bed from the lamp?"), flat)


def test_the_solver_answers_in_letters_and_numbers_from_the_text_alone():
    solver, digest = Solver(), write(FACTS)
    assert isinstance(solver, Answerer)
    order = "What will be the first-time appearance order of the following categories in the video: oven, bed, lamp?"
    assert solver.answer(digest, order, ["A. oven, bed, lamp", "B. bed, lamp, oven"]) == "B"
    assert solver.answer(digest, "Which of these is gone since the first visit?", ["A. bed", "B. green plant"]) == "B"
    assert float(solver.answer(digest, "how far is the bed from the lamp?", [])) == 0.8
    assert solver.answer(digest, "how many unicorns are there?", []) == ""
    assert solver.answer(digest, "where is the oven?", []) == ""  # a number is wanted
    assert letter_of("left", ["A. right", "B. Left"]) == "B" and letter_of("up", ["A. right"]) == ""
