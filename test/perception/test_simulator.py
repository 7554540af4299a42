"""The simulator back end against the truth of the box scene."""

import time
from dataclasses import replace

import numpy as np
import pytest
from box_scene import BOXES, CAMERA, NAMES, camera_pose, keyframe

from embodied_nav import perception
from embodied_nav.errors import InputError
from embodied_nav.perception import PerceptionBackend, PerceptionError
from embodied_nav.perception.simulator import SimulatorPerceptionConfig


@pytest.fixture
def backend():
    backend = perception.create("simulator")
    backend.set_instances(NAMES)
    return backend


def names(observations):
    return sorted(o.name for o in observations)


def without(*ids):
    return {i: box for i, box in BOXES.items() if i not in ids}


def test_create_knows_its_back_ends():
    for name in ("simulator", "geometric"):
        backend = perception.create(name)
        assert isinstance(backend, PerceptionBackend) and backend.name == name
    with pytest.raises(InputError, match=r"oracle.*simulator, .*geometric"):
        perception.create("oracle")


def test_objects_have_their_names_places_boxes_and_segments(backend):
    key = keyframe(4, camera_pose())
    delta = backend.perceive(None, key, "find the red sofa")
    assert (delta.keyframe_id, delta.previous_id, delta.stamp, delta.source) == (4, -1, key.frame.stamp, "simulator")
    assert names(delta.objects) == ["blue chair", "green plant", "red sofa"] == names(delta.new)
    ids = key.frame.instance_ids
    assert delta.segments.dtype == np.uint16 and delta.segments.shape == ids.shape
    instance_of = {name: i for i, name in NAMES.items()}
    for k, o in enumerate(delta.objects, start=1):
        instance = instance_of[o.label, o.color]
        low, high = np.array(BOXES[instance][0]), np.array(BOXES[instance][1])
        assert np.array_equal(delta.segments == k, ids == instance)
        v, u = np.nonzero(ids == instance)
        assert o.box == (u.min(), v.min(), u.max() + 1, v.max() + 1)
        assert ((o.position > low - 0.02) & (o.position < high + 0.02)).all()
        assert (o.extent < high - low + 0.05).all() and o.extent[1] > 0.8 * (high - low)[1]
        assert 0.3 < o.confidence <= 1.0
    assert (delta.segments[ids == 0] == 0).all()


def test_words(backend):
    first = keyframe(0, camera_pose())
    delta = backend.perceive(None, first, "find the red couch")
    assert delta.text.startswith("At the start, Observe: new red sofa ahead left at 2.")
    assert delta.relevant.startswith("red sofa ahead left at 2.")
    second = backend.perceive(first, keyframe(1, camera_pose(yaw=-0.3)), "find the yellow bed")
    assert second.action == "rotate right"
    assert second.text == "After rotate right, Observe: nothing new; nothing that the instruction names"
    assert second.relevant == "" and second.previous_id == 0


def test_what_stands_outside_the_view_or_hidden_is_not_gone(backend):
    a = keyframe(0, camera_pose())
    b = keyframe(1, camera_pose(yaw=np.pi))
    c = keyframe(2, camera_pose(), boxes={**BOXES, 9: ((0.9, -1.0, 0.0), (1.0, 1.0, 2.0), (230, 220, 30))})
    d = keyframe(3, camera_pose())
    backend.perceive(None, a, "")
    assert not backend.perceive(a, b, "").gone
    hidden = backend.perceive(b, c, "")
    assert not hidden.gone and names(hidden.new) == ["yellow lamp"]
    back = backend.perceive(c, d, "")
    assert names(back.gone) == ["yellow lamp"] and not back.new and not back.moved


def test_what_was_taken_away_is_gone_once(backend):
    a = keyframe(0, camera_pose())
    b = keyframe(1, camera_pose(y=0.2), boxes=without(2))
    c = keyframe(2, camera_pose(y=0.3), boxes=without(2))
    backend.perceive(None, a, "")
    delta = backend.perceive(a, b, "go to the chair")
    assert names(delta.gone) == ["blue chair"]
    assert "no longer there: blue chair" in delta.relevant
    assert not backend.perceive(b, c, "").gone


def test_moved_needs_the_distance_and_the_empty_place(backend):
    a = keyframe(0, camera_pose())
    shifted = {**BOXES, 2: ((3.0, -2.2, 0.0), (3.5, -1.6, 0.5), (30, 60, 200))}
    nudged = {**BOXES, 2: ((3.0, -1.35, 0.0), (3.5, -0.75, 0.5), (30, 60, 200))}
    backend.perceive(None, a, "")
    assert names(backend.perceive(a, keyframe(1, camera_pose(), boxes=nudged), "").moved) == []
    backend.perceive(None, a, "")
    delta = backend.perceive(a, keyframe(1, camera_pose(), boxes=shifted), "")
    assert names(delta.moved) == ["blue chair"] and not delta.gone and not delta.new


def test_more_of_a_large_thing_is_no_motion(backend):
    long = {1: ((1.5, -0.2, 0.0), (2.0, 2.8, 0.8), (200, 30, 30))}
    a, b = keyframe(0, camera_pose(yaw=-0.7), boxes=long), keyframe(1, camera_pose(yaw=0.6), boxes=long)
    first = backend.perceive(None, a, "")
    second = backend.perceive(a, b, "")
    assert np.linalg.norm(first.objects[0].position - second.objects[0].position) > 0.3
    assert not second.moved and not second.gone


def test_depth_noise_makes_no_changes(backend):
    frames = [keyframe(i, camera_pose(x=0.1 * i, yaw=0.1 * i), noise=0.004, seed=i) for i in range(6)]
    previous = None
    for key in frames:
        delta = backend.perceive(previous, key, "")
        assert not delta.gone and not delta.moved
        previous = key


def test_too_few_pixels_and_unnamed_ids_are_not_reported():
    backend = perception.create("simulator", SimulatorPerceptionConfig(min_pixels=3000))
    backend.set_instances({1: ("sofa", "red"), 2: ("chair", "blue")})
    key = keyframe(0, camera_pose())
    assert (key.frame.instance_ids == 2).sum() < 3000 < (key.frame.instance_ids == 1).sum()
    delta = backend.perceive(None, key, "")
    assert names(delta.objects) == ["red sofa"] and delta.segments.max() == 1


def test_missing_inputs_are_said(backend):
    key = keyframe(0, camera_pose())
    for missing in ("instance_ids", "depth"):
        with pytest.raises(PerceptionError, match="needs instance ids and depth"):
            backend.perceive(None, replace(key, frame=replace(key.frame, **{missing: None})), "")
    blind = replace(key, frame=replace(key.frame, depth=np.full_like(key.frame.depth, np.nan)))
    assert backend.perceive(None, blind, "").objects == ()
    strange = replace(key, frame=replace(key.frame, instance_ids=key.frame.instance_ids + 10**6))
    assert backend.perceive(None, strange, "").objects == ()


def test_fast_enough(backend):
    boxes = {
        i: ((2 + 0.05 * i, 0.2 * i - 2, 0), (2.3 + 0.05 * i, 0.2 * i - 1.85, 0.8), (9, 9, 9)) for i in range(1, 21)
    }
    backend.set_instances({i: ("chair", "black") for i in boxes})
    keys = [keyframe(i, camera_pose(yaw=0.05 * i), boxes=boxes, camera=CAMERA) for i in range(4)]
    backend.perceive(None, keys[0], "")
    times = []
    for i in range(20):
        start = time.process_time()
        backend.perceive(keys[i % 4], keys[(i + 1) % 4], "find the chair")
        times.append(time.process_time() - start)
    assert np.median(times) < 0.010


def _errs(seed, wrong=0.0, missed=0.0, count=150):
    """Names that the three things of the scene get in many keyframes."""
    backend = perception.create(
        "simulator", SimulatorPerceptionConfig(wrong_labels=wrong, missed=missed, noise_seed=seed)
    )
    backend.set_instances(NAMES)
    first = keyframe(0, camera_pose())
    keyframes = (replace(first, id=k, frame=replace(first.frame, stamp=k + 1)) for k in range(count))
    return [backend.perceive(None, k, "") for k in keyframes]


def test_wrong_and_missed_detections_come_as_often_as_asked_and_the_same_in_every_run():
    deltas = _errs(3, wrong=0.2, missed=0.1)
    shown = [o.name for d in deltas for o in d.objects]
    right = sum(name in ("blue chair", "green plant", "red sofa") for name in shown)
    assert 0.06 < 1 - len(shown) / 450 < 0.14
    assert 0.15 < 1 - right / len(shown) < 0.25
    assert {o.label for d in deltas for o in d.objects} == {label for label, _ in NAMES.values()}
    assert [names(d.objects) for d in _errs(3, wrong=0.2, missed=0.1)] == [names(d.objects) for d in deltas]
    assert [names(d.objects) for d in _errs(4, wrong=0.2, missed=0.1)] != [names(d.objects) for d in deltas]


def test_a_missed_thing_has_no_segment_and_a_wrong_one_keeps_its_colour():
    for delta in _errs(1, missed=0.5, count=20):
        assert set(np.unique(delta.segments)) - {0} == set(range(1, len(delta.objects) + 1))
    assert not any(d.objects for d in _errs(1, missed=1.0, count=5))
    for delta in _errs(1, wrong=1.0, count=5):
        assert not {o.name for o in delta.objects} & {"blue chair", "green plant", "red sofa"}
        assert {o.color for o in delta.objects} == {"blue", "green", "red"}
