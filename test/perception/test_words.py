"""Actions, places and relevance in words."""

import numpy as np
import pytest
from box_scene import camera_pose, level_pose
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.frames import ObjectObservation
from embodied_nav.perception.words import ACTIONS, action_words, describe, place_words, relevant_objects, thing_words


def thing(label, color="", position=(2.0, 0.0, 0.5), edge=0.5):
    return ObjectObservation(label, color, 0.9, np.array(position, float), np.full(3, edge))


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
@pytest.mark.parametrize(
    "move, action",
    [
        ({"x": 0.5}, "move forward"), ({"x": -0.5}, "move backward"), ({"y": 0.4}, "move left"),
        ({"y": -0.4}, "move right"), ({"z": 1.3}, "move up"), ({"z": 0.7}, "move down"),
        ({"yaw": 0.4}, "rotate left"), ({"yaw": -0.4}, "rotate right"), ({"x": 0.01, "yaw": 0.01}, "stay"),
        ({"x": 0.1, "yaw": 0.5}, "rotate left"), ({"x": 0.5, "yaw": 0.1}, "move forward"),
    ],
)  # fmt: skip
def test_actions(yaw, move, action):
    def at(x=0.0, y=0.0, yaw_=0.0, z=1.0):
        c, s = np.cos(yaw), np.sin(yaw)
        return level_pose(c * x - s * y, s * x + c * y, yaw + yaw_, z)

    move = dict(move)
    turned = move.pop("yaw", 0.0)
    assert action_words(at(), at(**move, yaw_=turned)) == action


def test_tilt():
    assert action_words(camera_pose(pitch=0.0), camera_pose(pitch=0.4)) == "tilt down"
    assert action_words(camera_pose(pitch=0.4), camera_pose(pitch=0.0)) == "tilt up"


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8))
def test_every_motion_is_one_of_the_actions(v):
    a, b = camera_pose(*v[:3], pitch=v[3] / 3), camera_pose(*v[4:7], pitch=v[7] / 3)
    assert action_words(a, b) in ACTIONS


@pytest.mark.parametrize(
    "position, words",
    [((2, 0, 1), "ahead at 2.0 m"), ((2, 1, 1), "ahead left at 2.2 m"), ((2, -1, 1), "ahead right at 2.2 m"),
     ((0, 3, 1), "left at 3.0 m"), ((-0.5, -3, 1), "right at 3.0 m"), ((-2, 0.1, 1), "behind at 2.0 m")],
)  # fmt: skip
def test_places(position, words):
    assert place_words(level_pose(), np.array(position, float)) == words


def test_words_follow_the_up_direction_of_the_map():
    a, b = level_pose(), level_pose(x=0.1, yaw=0.5)
    position = np.array([2.0, 1.0, 1.0])
    for tilt in (np.diag([1.0, -1.0, -1.0, 1.0]), np.linalg.inv(level_pose(0.3, 0.2, 0.4)), camera_pose(pitch=0.7)):
        up = tilt[:3, 2]
        assert action_words(tilt @ a, tilt @ b, up) == "rotate left"
        moved = tilt[:3, :3] @ position + tilt[:3, 3]
        assert place_words(tilt @ a, moved, up) == "ahead left at 2.2 m"


@pytest.mark.parametrize(
    "instruction, label, color, relevant",
    [
        ("find the red sofa", "sofa", "red", True),
        ("find the red sofa", "sofa", "blue", False),
        ("find the sofa", "sofa", "blue", True),
        ("go to the big grey couch.", "sofa", "gray", True),
        ("bring me to the fridge", "refrigerator", "white", True),
        ("stop at the table", "dining table", "brown", True),
        ("stop at the dining table", "dining table", "brown", True),
        ("count the chairs", "chair", "black", True),
        ("go to the chairman", "chair", "black", False),
        ("go to the lamp beside the red bed", "lamp", "white", True),
        ("go to the lamp beside the red bed", "bed", "blue", False),
        ("find the red sofa", "object", "red", True),
        ("find the red sofa", "object", "green", False),
        ("find the sofa", "object", "red", False),
        ("", "sofa", "red", False),
    ],
)
def test_relevance(instruction, label, color, relevant):
    assert bool(relevant_objects(instruction, [thing(label, color)])) is relevant


def test_the_right_colour_comes_first():
    things = [thing("chair", ""), thing("chair", "red")]
    assert relevant_objects("find the red chair", things)[0].color == "red"


def test_names_of_things_without_a_category_tell_their_size():
    assert thing_words(thing("object", "brown", edge=1.4)) == "large brown object"
    assert thing_words(thing("object", "brown", edge=0.2)) == "small brown object"
    assert thing_words(thing("surface", "gray", edge=0.6)) == "gray surface"
    assert thing_words(thing("sofa", "red", edge=2.0)) == "red sofa"


def test_the_whole_delta():
    near, far = thing("sofa", "red"), thing("chair", "blue", (3.0, 3.0, 0.5))
    text, relevant = describe("rotate left", level_pose(), [near, far], [near], [far], [], "find the blue chair")
    assert text == (
        "After rotate left, Observe: new red sofa ahead at 2.1 m; gone blue chair left at 4.3 m; "
        "blue chair left at 4.3 m; no longer there: blue chair left at 4.3 m"
    )
    assert relevant in text
    crowd = [thing("chair", "red", (2.0 + i, 0, 0)) for i in range(9)]
    text, _ = describe("stay", level_pose(), crowd, crowd, [], [], "")
    assert "and 3 more" in text and "ahead at 2.2 m" in text and "ahead at 10" not in text
