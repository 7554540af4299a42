"""Finding objects by words."""

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import MemoryObject
from embodied_nav.geometry import Camera
from embodied_nav.language import Question, match_text, take_apart
from embodied_nav.memory.query.answering import Answer, Frustum, Knowledge, Query, ask
from embodied_nav.memory.records import KeyframeRecord


def thing(i, label, color="", position=(0, 0, 0), confidence=0.9, seen=1, status="present", **more):
    return MemoryObject(
        i, label, color, np.array(position, float), np.full(3, 0.4), confidence, 50, 0, seen, i, status, **more
    )


def rank(objects, text="", box=None, near=None):
    return [(a.object, a.score) for a in ask(Query(text, box, near=near), Knowledge(objects))]


@pytest.mark.parametrize(
    ("text", "label", "color", "fits"),
    [
        ("red sofa", "sofa", "red", 1.0),
        ("the red couch", "sofa", "red", 1.0),
        ("Sofas", "sofa", "blue", 1.0),
        ("grey chairs", "chair", "gray", 1.0),
        ("fridge", "refrigerator", "white", 1.0),
        ("bookshelves", "bookshelf", "", 1.0),
        ("table", "dining table", "brown", 1.0),
        ("dining table", "coffee table", "brown", 0.0),
        ("coffee table", "coffee table", "brown", 1.0),
        ("red", "lamp", "red", 1.0),
        ("something red", "lamp", "red", 1.0),
        ("red", "lamp", "blue", 0.0),
        ("lamp", "sofa", "red", 0.0),
        ("chair", "armchair", "red", 0.0),
        ("xyzzy", "sofa", "red", 0.0),
    ],
)
def test_words(text, label, color, fits):
    assert match_text(text, label, color) == pytest.approx(fits)


def test_the_wrong_colour_counts_less_and_another_label_nothing():
    objects = (thing(1, "sofa", "blue"), thing(2, "sofa", "red"), thing(3, "chair", "red"))
    found = rank(objects, "red sofa")
    assert [o.id for o, _ in found] == [2, 1]
    assert 0 < found[1][1] < found[0][1] <= 1


def test_nearest_among_equals_and_a_box():
    objects = (thing(1, "chair", position=(5, 0, 0)), thing(2, "chair", position=(1, 0, 0)), thing(3, "bed"))
    assert [o.id for o, _ in rank(objects, "chair", near=np.zeros(3))] == [2, 1]
    box = (np.array([0.7, -1, -1]), np.array([2, 1, 1]))
    assert [o.id for o, _ in rank(objects, "", box)] == [2]
    assert len(rank(objects)) == 3


@pytest.mark.parametrize(
    ("text", "subject", "relations"),
    [
        ("red chair near the window", "red chair", (("near", ("window",)),)),
        ("where is the lamp to the left of the brown desk?", "lamp", (("left of", ("brown desk",)),)),
        ("What is on the table?", "", (("on", ("table",)),)),
        ("the plant between the sofa and the tv", "plant", (("between", ("sofa", "tv")),)),
        ("show me all chairs in the kitchen", "chairs", (("in", ("kitchen",)),)),
        ("chair next to the table in room 2", "chair", (("beside", ("table",)), ("in", ("room 2",)))),
        ("find a couch", "couch", ()),
        ("", "", ()),
    ],
)
def test_sentences_are_taken_apart(text, subject, relations):
    assert take_apart(text) == Question(subject, relations)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("what did you see in the last minute", 60), ("chairs seen in the past 2 minutes", 120),
        ("what did you see during the last 30 seconds?", 30), ("sofa in the last half hour", 1800),
        ("what have you seen in the last two hours", 7200), ("red chair", None),
    ],
)  # fmt: skip
def test_times_in_sentences(text, seconds):
    question = take_apart(text)
    assert question.seconds == seconds and not question.relations
    assert question.subject in ("", "chairs seen", "sofa", "red chair")


def test_between_needs_two():
    with pytest.raises(InputError, match="name two things"):
        take_apart("chair between the sofas")


HOME = (
    thing(1, "chair", "red", (1, 0, 0)), thing(2, "chair", "red", (8, 0, 0)), thing(3, "window", "", (8, 0.7, 0)),
    thing(4, "chair", "blue", (8, -0.7, 0)), thing(5, "sofa", "gray", (2, 2, 0)), thing(6, "tv", "black", (6, 2, 0)),
    thing(7, "plant", "green", (4, 2, 0)), thing(8, "plant", "green", (4, 6, 0)),
)  # fmt: skip


def answers(text, objects=HOME, **more):
    return ask(Query(text, **{k: v for k, v in more.items() if k in Query.__dataclass_fields__}), Knowledge(
        objects, **{k: v for k, v in more.items() if k in Knowledge.__dataclass_fields__}))  # fmt: skip


def test_a_relation_picks_among_those_that_fit():
    found = answers("red chair near the window")
    assert [a.object.id for a in found[:2]] in ([2, 4], [2, 1]) and found[0].why == "near the window (0.3 m)"
    assert found[0].score > 2 * next(a.score for a in found if a.object.id == 1)
    assert [a.object.id for a in answers("plant between the sofa and the tv")] == [7, 8]
    assert answers("plant between the sofa and the tv")[0].why == "between the gray sofa and the black tv"


def test_an_unknown_landmark_is_told():
    found = answers("red chair near the piano")
    assert {a.object.id for a in found[:2]} == {1, 2} and all(a.why == "no piano known" for a in found)
    assert found[0].score < 0.5


def test_left_and_right_of_a_viewer():
    things = (thing(1, "lamp", "", (0, 1, 0)), thing(2, "lamp", "", (0, -1, 0)), thing(3, "desk"))
    for x, first in ((-3.0, 1), (3.0, 2)):
        found = answers("lamp left of the desk", things, viewer=np.array([x, 0.0]))
        assert found[0].object.id == first and found[0].score > 2 * found[1].score


def keyframe(i, stamp):
    return KeyframeRecord(i, stamp, np.eye(4), "first", 0.5, 0, b"")


def test_what_was_seen_lately():
    second = 1_000_000_000
    objects = (
        thing(1, "chair", seen=10 * second),
        thing(2, "sofa", seen=100 * second),
        thing(3, "bed", seen=95 * second),
    )
    keyframes = {1: keyframe(1, 10 * second), 2: keyframe(2, 99 * second), 3: keyframe(3, 20 * second)}
    found = answers("what did you see in the last minute", objects, stamp=120 * second, keyframes=keyframes)
    assert [a.object.id for a in found] == [2, 3]
    assert [a.age for a in found] == [20.0, 25.0]
    found = answers("", objects, since=5 * second, until=30 * second, stamp=120 * second, keyframes=keyframes,
                    seen_in=lambda i: {1: [1], 2: [3, 2], 3: []}[i])  # fmt: skip
    assert [(a.object.id, a.keyframe_id) for a in found] == [(1, 1), (2, 3)]


def test_gone_and_moved_things_are_told_only_when_asked_for():
    objects = (thing(1, "chair"), thing(2, "chair", status="gone"), thing(3, "sofa", moves=1))
    assert [a.object.id for a in answers("chair", objects)] == [1]
    assert [a.object.id for a in answers("chair", objects, include_gone=True)] == [1, 2]
    assert [a.object.id for a in answers("what is gone?", objects)] == [2]
    assert [a.object.id for a in answers("what has moved", objects)] == [3]


def test_what_a_camera_would_see():
    camera = Camera.from_hfov(160, 120, np.pi / 2)
    objects = (thing(1, "chair", position=(0, 0, 2)), thing(2, "chair", position=(0, 0, -2)),
               thing(3, "chair", position=(3, 0, 2)), thing(4, "chair", position=(0, 0, 7)))  # fmt: skip
    found = ask(Query(frustum=Frustum(camera, np.eye(4), 5.0)), Knowledge(objects))
    assert [a.object.id for a in found] == [1]


def test_the_nearest():
    found = answers("the nearest chair", viewer=np.array([7.0, -1.0]))
    assert found[0].object.id == 4
    found = answers("nearest red chair", near=np.array([0.0, 0, 0]))
    assert [a.object.id for a in found[:2]] == [1, 2]


def test_features_and_an_encoder():
    space = {"something to sit on": (1.0, 0.0), "greenery": (0.0, 1.0)}
    objects = (thing(1, "chair", feature=np.array([0.9, 0.1])), thing(2, "plant", feature=np.array([0.1, 0.9])),
               thing(3, "wall"))  # fmt: skip
    found = answers("something to sit on", objects, encoder=lambda text: np.array(space[text]), neutral=())
    assert found[0].object.id == 1 and found[0].score > 0.9 and 3 not in [a.object.id for a in found]
    found = answers("", objects, feature=np.array([0.0, 2.0]))
    assert [a.object.id for a in found] == [2, 1] and found[0].score > 0.9 > found[1].score
    with pytest.raises(InputError, match="3 components"):
        answers("", objects, feature=np.ones(3))


def test_answers_say_where_to_look():
    record = keyframe(1, 5)
    (a,) = answers("chair", (thing(1, "chair", seen=10),), keyframes={1: record}, stamp=1_000_000_010)
    assert isinstance(a, Answer) and a.keyframe_id == 1 and a.T_map_camera is record.T_map_camera and a.age == 1.0
