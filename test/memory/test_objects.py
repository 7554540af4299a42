"""Objects from label votes: number, place, size, and ids that last."""

import dataclasses
import time

import numpy as np
import pytest
from box_rooms import Box, camera_pose, render, two_rooms

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.memory import SpatialMemory

SOFA = Box((1.6, 0.3, 0.0), (2.4, 0.9, 0.6), (200, 30, 30), 1)
CHAIR_A = Box((1.6, 1.6, 0.0), (1.9, 1.9, 0.8), (30, 30, 200), 2)
CHAIR_B = Box((1.6, 2.6, 0.0), (1.9, 2.9, 0.8), (30, 30, 200), 3)
NAMES = {1: ("sofa", "red"), 2: ("chair", "blue"), 3: ("chair", "blue")}
ROOM = [b for b in two_rooms() if b.id == 0]
POSE = camera_pose(0.3, 1.5, 0.0)


def observe(boxes, ids, names=NAMES):
    return tuple(
        ObjectObservation(*names[i], 0.9, (np.array(b.low) + b.high) / 2, np.array(b.high) - np.array(b.low))
        for i in ids
        for b in boxes
        if b.id == i
    )


class World:
    """A memory that sees boxes and is told what they are."""

    def __init__(self):
        self.memory, self.t, self.k = SpatialMemory(), 0, 0

    def look(self, boxes, pose=POSE, frames=3, names=NAMES, wrong=None):
        for _ in range(frames):
            self.t += 100_000_000
            frame = render([*ROOM, *boxes], pose, self.t)
            self.memory.integrate(frame)
        self.memory.add_keyframe(Keyframe(self.k, frame, 0.5, 10, "overlap"))
        ids = sorted({b.id for b in boxes if (frame.instance_ids == b.id).any()})
        segments = np.zeros(frame.depth.shape, np.uint16)
        for n, i in enumerate(ids):
            segments[frame.instance_ids == i] = n + 1
        if wrong is not None:
            segments[wrong] = 1
        delta = SemanticDelta(self.k, self.k - 1, self.t, "test", "none", observe(boxes, ids, names), segments=segments)
        self.memory.add_delta(delta)
        self.k += 1
        return self.memory.objects()


def test_two_chairs_and_a_sofa_are_three_objects():
    objects = World().look([SOFA, CHAIR_A, CHAIR_B])
    assert sorted(o.name for o in objects) == ["blue chair", "blue chair", "red sofa"]
    for o, box in zip(sorted(objects, key=lambda o: o.position[1]), (SOFA, CHAIR_A, CHAIR_B), strict=True):
        low, high = o.position - o.extent / 2, o.position + o.extent / 2
        assert (low > np.array(box.low) - 0.11).all() and (high < np.array(box.high) + 0.11).all()
        assert o.confidence > 0.5 and o.status == "present" and o.keyframe_id == 0 and o.voxels > 10


def test_ids_last_while_objects_grow_and_others_come():
    world = World()
    first = {o.position[1] > 1: o.id for o in world.look([SOFA, CHAIR_A])}
    for pose in (camera_pose(0.8, 2.5, -0.5), camera_pose(2.6, 3.4, -2.0), camera_pose(0.3, 1.5, 0.0)):
        objects = world.look([SOFA, CHAIR_A, CHAIR_B], pose)
    by_id = {o.id: o for o in objects}
    assert len(objects) == 3 and len(by_id) == 3
    assert by_id[first[False]].label == "sofa" and by_id[first[True]].label == "chair"
    assert by_id[first[True]].position[1] < 2.2
    assert all(o.first_seen <= o.last_seen == world.t for o in objects if o.label == "sofa")


def test_an_object_carried_away_is_gone_and_gets_its_id_back():
    world = World()
    before = {o.label: o.id for o in world.look([SOFA, CHAIR_A])}
    objects = world.look([SOFA], frames=12)
    assert [o.label for o in objects] == ["sofa"]
    gone = [o for o in world.memory.objects(include_gone=True) if o.status == "gone"]
    assert [o.id for o in gone] == [before["chair"]]
    assert {o.label: o.id for o in world.look([SOFA, CHAIR_A])} == before


def test_stray_labels_neither_make_objects_nor_stretch_them():
    world = World()
    strays = np.zeros((120, 160), bool)
    strays[5:8, 70:72] = True
    (sofa,) = world.look([SOFA], wrong=strays)
    assert sofa.extent[2] < 0.75 and sofa.position[2] < 0.45


def test_a_wrong_label_is_outvoted():
    world = World()
    wrong = {**NAMES, 1: ("bed", "red")}
    world.look([SOFA])
    world.look([SOFA], names=wrong)
    (sofa,) = world.look([SOFA])
    assert sofa.label == "sofa" and 0.5 < sofa.confidence < 0.9


def test_background_votes_take_a_false_object_back():
    world = World()
    wrong = np.zeros((120, 160), bool)
    wrong[20:60, 100:140] = True
    world.look([SOFA], wrong=wrong)
    for _ in range(3):
        objects = world.look([SOFA])
    assert len(objects) == 1


def test_without_segments_boxes_in_space_label_the_points():
    memory = SpatialMemory()
    frame = render([*ROOM, SOFA], POSE, 5)
    memory.integrate(frame)
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    memory.add_delta(SemanticDelta(0, -1, 5, "test", "", observe([SOFA], [1])))
    (sofa,) = memory.objects()
    assert sofa.name == "red sofa" and abs(sofa.position[0] - 1.9) < 0.4


def test_a_stale_or_late_delta_casts_no_votes():
    memory = SpatialMemory()
    frame = render([*ROOM, SOFA], POSE, 5)
    memory.integrate(frame)
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    memory.add_delta(SemanticDelta(0, -1, 5, "test", "", observe([SOFA], [1]), stale=True))
    assert memory.objects() == () and len(memory.deltas) == 1


@pytest.mark.parametrize("case", ["unknown keyframe", "shape", "number"])
def test_a_delta_that_does_not_fit_is_refused(case):
    memory = SpatialMemory()
    frame = render([*ROOM, SOFA], POSE, 5)
    memory.integrate(frame)
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    delta = SemanticDelta(0, -1, 5, "test", "", observe([SOFA], [1]), segments=np.ones((120, 160), np.uint16))
    bad = {
        "unknown keyframe": {"keyframe_id": 4},
        "shape": {"segments": np.ones((10, 10), np.uint16)},
        "number": {"segments": np.full((120, 160), 3, np.uint16)},
    }[case]
    with pytest.raises(InputError):
        memory.add_delta(dataclasses.replace(delta, **bad))
    assert memory.objects() == ()


def test_objects_are_cached_until_something_changes():
    world = World()
    world.look([SOFA, CHAIR_A, CHAIR_B])
    start = time.process_time()
    for _ in range(100):
        world.memory.objects()
    assert (time.process_time() - start) / 100 < 1e-3
    assert world.memory.objects() is world.memory.objects()
