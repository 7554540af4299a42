"""Questions in words, answers in sentences that say what holds, and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.frames import MemoryObject
from embodied_nav.memory.query.answering import Knowledge
from embodied_nav.memory.query.replies import answer_in_words
from embodied_nav.rooms import Room, Rooms

SECOND = 10**9


def thing(i, label, color, xy, status="present", **more):
    return MemoryObject(
        i, label, color, np.array([*xy, 0.4]), np.full(3, 0.4), 0.9, 50, SECOND, 90 * SECOND, i, status, **more
    )


def room(i, middle):
    return Room(i, 16.0, middle, 4.0, 4.0, 4.0, (), 0.0)


def a_flat():
    """A kitchen (x from 0 to 4 m) and a room without a name (x from 4 to 8 m)."""
    labels = np.zeros((40, 80), np.int32)
    labels[:, :40], labels[:, 40:] = 1, 2
    objects = (
        thing(1, "chair", "red", (1.0, 1.0)),
        thing(2, "chair", "blue", (3.0, 3.0)),
        thing(3, "chair", "blue", (6.0, 1.0)),
        thing(4, "refrigerator", "white", (0.5, 3.5)),
        thing(5, "sofa", "green", (6.0, 3.0), moves=1),
        thing(6, "plant", "green", (7.0, 2.0), status="gone"),
    )
    rooms = Rooms(labels, (room(1, (2.0, 2.0)), room(2, (6.0, 2.0))), 0.1, (0.0, 0.0))
    return Knowledge(objects, stamp=100 * SECOND, rooms=rooms, room_names={1: "kitchen"})


@pytest.fixture
def known():
    return a_flat()


@pytest.mark.parametrize(
    ("text", "kind", "ids", "told"),
    [
        ("Where is the red chair?", "where", [1], "The red chair is in the kitchen, at (1.0, 1.0, 0.4) m"),
        ("where's the fridge", "where", [4], "white refrigerator is in the kitchen"),
        ("Can you tell me where the sofa is, please?", "where", [5], "The green sofa is in room 2"),
        ("where is the yellow chair", "where", [], "I know no yellow chair; I know a red chair in the kitchen"),
        ("where is the xylophone?", "where", [], "I know no xylophone."),
        ("where is the kitchen?", "where", [1, 2, 4], "The middle of the kitchen is at (2.0, 2.0) m"),
        ("How many chairs are there?", "count", [1, 2, 3], "two blue chairs and a red chair: two in the kitchen"),
        ("how many blue chairs are in the kitchen?", "count", [2], "I know a blue chair, in the kitchen."),
        ("how many things do you know?", "count", [1, 2, 3, 4, 5], "two blue chairs, a red chair"),
        ("how many televisions", "count", [], "I know no televisions."),
        ("Is there a chair in room 2?", "exists", [3], "Yes: I know a blue chair in room 2."),
        ("are there any green chairs?", "exists", [], "No: I know no green chairs; I know a red chair"),
        ("do you see a plant", "exists", [], "No: I know no plant."),
        ("is the plant gone?", "exists", [6], "Yes: the green plant is gone (seen 10 s ago)."),
        ("is the red chair gone?", "exists", [1], "No, not that I know; I know a red chair in the kitchen."),
        ("What is in the kitchen?", "what", [1, 2, 4], "I know a red chair, a blue chair and a white refrigerator"),
        ("what did you see in the last 20 seconds", "what", [1, 2, 3, 4, 5], "within the last 20 s."),
        ("What has changed?", "changed", [6, 5], "Gone: the green plant (seen 10 s ago); found elsewhere than before"),
        ("what is gone", "changed", [6], "Gone: the green plant"),
        ("which things have moved?", "changed", [5], "Found elsewhere than before: the green sofa."),
    ],
)  # fmt: skip
def test_answers_say_what_holds_and_rest_on_it(known, text, kind, ids, told):
    reply = answer_in_words(text, known)
    assert (reply.kind, sorted(a.object.id for a in reply.answers)) == (kind, sorted(ids)), reply.text
    assert told in reply.text and reply.understood


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no question that I know"),
        ("How are you?", "it is no question that I know"),
        ("drive to the red chair", "it is no question that I know"),
        ("where is it?", "it names nothing"),
        ("what is the capital of France?", "I do not know what 'capital' and 'france' means in it"),
        ("what time is it?", "I do not know what 'time' means in it"),
        ("where is the red chair that my uncle bought?", "I do not know what 'uncle' and 'bought' means in it"),
        ("how many chairs are in the garage?", "I know no room called 'garage'; I know kitchen and room 2"),
        ("is there a lamp between the sofa?", "name two things"),
        ("what has changed in the kitchen?", "ask without a place"),
    ],
)
def test_what_is_not_understood_is_said_so(known, text, why):
    reply = answer_in_words(text, known)
    assert not reply.understood and not reply.answers
    assert reply.text.startswith("I did not understand") and why in reply.text and "\n" not in reply.text


def test_the_nearest_comes_first_with_its_distance(known):
    reply = answer_in_words("where is the nearest blue chair?", known, near=np.array([7.0, 1.0]))
    assert reply.answers[0].object.id == 3 and "1.0 m from there" in reply.text


def test_an_empty_memory_answers_plainly():
    empty = Knowledge(())
    assert answer_in_words("what has changed?", empty).text == "Nothing that I know of, out of no remembered."
    assert answer_in_words("how many chairs are there?", empty).text == "I know no chairs."
    assert "I know none yet" in answer_in_words("what is in the kitchen?", empty).text


_SAID = (
    "where how many is are what the red chair chairs kitchen in between and on gone changed last 5 two minutes nearest "
    "room sofa ? ' é"
)
_WORDS = st.sampled_from([*_SAID.split(), "\n", "\x00"])


@given(st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=9).map(" ".join)))
def test_any_text_is_answered_or_refused_in_one_line(text):
    reply = answer_in_words(text, a_flat())
    assert reply.text and "\n" not in reply.text and reply.understood == bool(reply.kind)
