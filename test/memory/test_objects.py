"""Objects from label votes: number, place, size, and ids that last."""

import dataclasses
import time

import numpy as np
import pytest
from box_rooms import Box, camera_pose, render, two_rooms

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.objects.votes import count_votes
from embodied_nav.memory.voxels.keys import pack_array

SOFA = Box((1.6, 0.3, 0.0), (2.4, 0.9, 0.6), (200, 30, 30), 1)
CHAIR_A = Box((1.6, 1.6, 0.0), (1.9, 1.9, 0.8), (30, 30, 200), 2)
CHAIR_B = Box((1.6, 2.6, 0.0), (1.9, 2.9, 0.8), (30, 30, 200), 3)
NAMES = {1: ("sofa", "red"), 2: ("chair", "blue"), 3: ("chair", "blue")}
ROOM = [b for b in two_rooms() if b.id == 0]
POSE = camera_pose(0.3, 1.5, 0.0)


def observe(boxes, ids, names=NAMES):
    out = []
    for i in ids:
        low = np.min([b.low for b in boxes if b.id == i], axis=0)
        high = np.max([b.high for b in boxes if b.id == i], axis=0)
        out.append(ObjectObservation(*names[i], 0.9, (low + high) / 2, high - low))
    return tuple(out)


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
        ids = sorted({b.id for b in boxes if b.id in names and (frame.instance_ids == b.id).any()})
        segments = np.zeros(frame.depth.shape, np.uint16)
        for n, i in enumerate(ids):
            segments[frame.instance_ids == i] = n + 1
        if wrong is not None:
            segments[wrong] = 1
        delta = SemanticDelta(self.k, self.k - 1, self.t, "test", "none", observe(boxes, ids, names), segments=segments)
        self.memory.add_delta(delta)
        self.k += 1
        return self.memory.objects()


def test_votes_are_what_counting_pixel_by_pixel_gives():
    """Scattered segments, so that hardly two neighbours agree; ties go to the number that came up later."""
    memory, frame = SpatialMemory(), render([*ROOM, SOFA, CHAIR_A], POSE, 100_000_000)
    memory.integrate(frame)
    size, depth = memory.config.voxel_size, frame.depth
    segments = np.random.default_rng(0).integers(0, 4, depth.shape).astype(np.uint16)
    rows, numbers, shares = count_votes(
        memory.state.voxels.store, depth, segments, frame.camera, frame.T_map_camera, size, memory.config.min_depth, 2.5
    )
    seen = (depth >= memory.config.min_depth) & (depth <= np.float32(2.5))
    v, u = np.nonzero(seen)
    z, c = depth[seen].astype(np.float64), frame.camera
    points = np.stack([(u - c.cx) / c.fx * z, (v - c.cy) / c.fy * z, z], axis=1)
    cells = np.floor((points @ frame.T_map_camera[:3, :3].T + frame.T_map_camera[:3, 3]) / size).astype(np.int64)
    counts: dict[int, dict[int, int]] = {}
    for row, number in zip(
        memory.state.voxels.store.find(pack_array(cells)).tolist(), segments[seen].tolist(), strict=True
    ):
        if row >= 0:
            of_row = counts.setdefault(row, {})
            of_row[number] = of_row.get(number, 0) + 1
    assert len(counts) > 500 and rows.tolist() == sorted(counts)
    for row, number, share in zip(rows.tolist(), numbers.tolist(), shares.tolist(), strict=True):
        of_row = counts[row]
        assert number == max(reversed(of_row), key=lambda k: of_row[k])
        assert share == of_row[number] / sum(of_row.values())


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


CHAIR_C = Box((2.2, 2.6, 0.0), (2.5, 2.9, 0.8), (30, 30, 200), 4)
ALL = {**NAMES, 4: ("chair", "blue")}


def test_a_chair_carried_elsewhere_is_the_same_chair_whichever_place_is_seen_first():
    for order in ("left first", "found first"):
        world = World()
        before = {o.label: o.id for o in world.look([SOFA, CHAIR_A])}
        if order == "left first":
            world.look([SOFA], frames=12)
            assert [o.status for o in world.memory.objects(include_gone=True)].count("gone") == 1
            objects = world.look([SOFA, CHAIR_C], names=ALL)
        else:
            world.t += 1
            # The old place is hidden while the chair is already seen at the new one.
            screen = Box((1.45, 1.5, 0.0), (1.5, 2.0, 1.2), (90, 90, 90), 0)
            objects = world.look([SOFA, CHAIR_C, screen], names=ALL)
            assert len(objects) == 3
            objects = world.look([SOFA, CHAIR_C], frames=12, names=ALL)
        chair = next(o for o in objects if o.label == "chair")
        assert {o.label: o.id for o in objects} == before, order
        assert chair.moves == 1 and abs(chair.position[1] - 2.75) < 0.2
        assert all(o.status == "present" for o in world.memory.objects(include_gone=True))


def test_another_chair_elsewhere_is_another_chair():
    world = World()
    before = {o.label: o.id for o in world.look([SOFA, CHAIR_A])}
    world.look([SOFA], frames=12)
    objects = world.look([SOFA, CHAIR_C], names={**ALL, 4: ("chair", "green")})
    assert next(o.id for o in objects if o.label == "chair") != before["chair"]


def test_times_found_and_times_looked_for_in_vain():
    world = World()
    world.look([SOFA, CHAIR_A])
    world.look([SOFA, CHAIR_A], names={1: NAMES[1]})
    objects = {o.label: o for o in world.look([SOFA, CHAIR_A])}
    assert (objects["sofa"].confirmed, objects["sofa"].missed) == (3, 0)
    assert (objects["chair"].confirmed, objects["chair"].missed) == (2, 1)
    # Out of view is not looked for.
    objects = {o.label: o for o in world.look([SOFA, CHAIR_A], camera_pose(0.3, 1.5, np.pi))}
    assert (objects["chair"].confirmed, objects["chair"].missed) == (2, 1)
    for _ in range(4):
        world.look([SOFA], frames=3)
    gone = next(o for o in world.memory.objects(include_gone=True) if o.label == "chair")
    assert gone.status == "gone" and gone.missed >= 4


def test_labels_are_a_distribution_over_sightings():
    world = World()
    wrong = {**NAMES, 1: ("bed", "red")}
    for names in (NAMES, wrong, NAMES, NAMES):
        (sofa,) = world.look([SOFA], names=names)
    assert sofa.name == "red sofa"
    assert [label for label, _ in sofa.label_distribution] == ["sofa", "bed"]
    assert sofa.label_distribution[0][1] == pytest.approx(0.75)


def test_a_thing_first_misnamed_gets_its_name_and_keeps_its_id():
    world = World()
    (first,) = world.look([SOFA], names={1: ("bed", "red")})
    world.look([SOFA])
    (sofa,) = world.look([SOFA])
    assert sofa.id == first.id and sofa.label == "sofa"


def test_two_that_were_taken_for_one_are_split_and_one_taken_for_two_is_merged():
    a, b = (Box((1.6, y, 0.0), (1.9, y + 0.4, 0.8), (30, 30, 200), i) for y, i in ((1.2, 2), (1.62, 3)))
    world = World()
    as_one = [Box(box.low, box.high, box.color, 2) for box in (a, b)]
    (both,) = world.look(as_one)
    assert both.extent[1] > 0.7
    for _ in range(3):
        objects = world.look([a, b])
    assert len(objects) == 2 and all(o.extent[1] < 0.6 for o in objects)
    world = World()
    assert len(world.look([a, b])) == 2
    for _ in range(3):
        objects = world.look(as_one)
    assert len(objects) == 1 and objects[0].extent[1] > 0.7 and objects[0].id == 1
