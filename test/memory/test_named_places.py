"""Named places: they move with their keyframes, belong to one map, and outlast file, join and dropped keyframes."""

import sqlite3

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe
from embodied_nav.geometry import pose2d
from embodied_nav.memory import MemoryConfig, SpatialMemory, merge
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.memory.file.writer import MemoryWriter

SETTINGS = MemoryConfig(keyframe_images=4)
POSES = [(1.0, 1.5, 0.0), (1.5, 1.5, 0.7), (2.0, 1.5, 1.4)]
CHARGER = pose2d(2.1, 1.4, 0.5)
SECOND = 1_000_000_000


def drive(memory, poses=POSES, first=0):
    for k, (x, y, yaw) in enumerate(poses, first):
        frame = render(two_rooms(), camera_pose(x, y, yaw), (k + 1) * SECOND)
        memory.add_keyframe(Keyframe(k, frame, 0.5, 10, "overlap"))
        memory.integrate(frame)
    return memory


@pytest.fixture
def memory():
    memory = drive(SpatialMemory(SETTINGS))
    memory.name_place("charger", CHARGER)
    return memory


def test_a_place_stays_where_it_was_named(memory):
    assert set(memory.places()) == {"charger", "start"}
    np.testing.assert_allclose(memory.places()["charger"], CHARGER, atol=1e-9)
    drive(memory, [(2.5, 2.0, 2.0), (1.0, 2.0, 3.0)], 3)
    np.testing.assert_allclose(memory.places()["charger"], CHARGER, atol=1e-9)
    memory.name_place("charger", pose2d(0.5, 0.5, 0.0))
    np.testing.assert_allclose(memory.places()["charger"][:2, 3], [0.5, 0.5])
    assert [o.label for o in memory.objects()] == [], "a place is no thing"


def test_where_the_session_began_is_a_place_on_the_floor(memory):
    T = memory.places()["start"]
    np.testing.assert_allclose(T, pose2d(1.0, 1.5, 0.0), atol=1e-6)


def test_a_loop_closure_moves_it_with_its_keyframe(memory):
    shift = pose2d(0.4, -0.2, 0.3)
    moved = {2: shift @ memory.keyframes[2].T_map_camera}
    memory.move_keyframes(moved)
    np.testing.assert_allclose(memory.places()["charger"], shift @ CHARGER, atol=1e-9)
    np.testing.assert_allclose(memory.places()["start"], pose2d(1.0, 1.5, 0.0), atol=1e-6)


def test_what_is_named_during_a_correction_is_named_in_the_corrected_map(memory):
    """The robot's pose is SLAM's, which is ahead of the map until the correction is applied."""
    shift = pose2d(1.0, 0.0, 0.0)
    correction = memory.begin_correction({k: shift @ r.T_map_camera for k, r in memory.keyframes.items()})
    waiting = {k: shift @ shift @ r.T_map_camera for k, r in memory.keyframes.items()}
    memory.name_place("desk", shift @ CHARGER)
    memory.follow(waiting)
    memory.name_place("bench", shift @ shift @ CHARGER)
    memory.apply(correction)
    np.testing.assert_allclose(memory.places()["desk"], shift @ CHARGER, atol=1e-9)
    memory.apply(memory.next_correction())
    for name in ("charger", "desk", "bench"):
        np.testing.assert_allclose(memory.places()[name], shift @ shift @ CHARGER, atol=1e-9)


def test_a_file_keeps_it_and_takes_back_what_is_renamed(memory, tmp_path):
    path = tmp_path / "memory.db"
    writer = MemoryWriter(memory, path)
    writer.flush()
    memory.name_place("desk", pose2d(1.0, 1.0, 0.0))
    writer.flush()
    memory.name_place("desk", pose2d(1.1, 1.0, 0.0))
    memory.move_keyframes({2: pose2d(0.5, 0.0, 0.0) @ memory.keyframes[2].T_map_camera})
    writer.close()
    again = SpatialMemory.load(path)
    assert set(again.places()) == {"charger", "desk", "start"}
    for name, T in memory.places().items():
        np.testing.assert_allclose(again.places()[name], T, atol=1e-9)
    assert find_faults(path) == [] and describe(path)["places"] == 3


def test_a_file_from_before_there_were_places_is_read_and_written(memory, tmp_path):
    path = tmp_path / "memory.db"
    memory.save(path)
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE places")
    db.close()
    assert describe(path)["places"] == 0 and find_faults(path) == []
    old = SpatialMemory.load(path)
    assert old.places() == {}
    writer = MemoryWriter(old, path)
    old.name_place("charger", CHARGER)
    writer.close()
    np.testing.assert_allclose(SpatialMemory.load(path).places()["charger"], CHARGER, atol=1e-9)


def test_it_is_known_by_its_map_alone(memory, tmp_path):
    path = tmp_path / "memory.db"
    writer = MemoryWriter(memory, path)
    home = memory.uuid
    memory.begin_map()
    drive(memory, [(1.0, 1.5, 0.0)], 0)
    writer.flush()
    for found in (memory, SpatialMemory.load(path)):
        assert set(found.places()) == {"start"}
        assert {(o.label, o.status) for o in found.place_objects()} == {("start", "place"), ("charger", "elsewhere")}
    there = SpatialMemory.load(path, map=home)
    assert set(there.places()) == {"charger", "start"}

    T = pose2d(0.5, 0.3, 0.1)
    memory.absorb(home, T)
    np.testing.assert_allclose(memory.places()["charger"], T @ CHARGER, atol=1e-6)
    assert all(o.status == "place" for o in memory.place_objects())
    writer.close()
    joined = SpatialMemory.load(path)
    np.testing.assert_allclose(joined.places()["charger"], T @ CHARGER, atol=1e-6)
    assert find_faults(path) == []


def test_two_files_become_one_with_the_places_of_both(memory):
    other = drive(SpatialMemory(SETTINGS))
    other.name_place("desk", pose2d(1.2, 1.2, 0.0))
    T = pose2d(0.3, 0.0, 0.2)
    both = merge(memory, other, T)
    np.testing.assert_allclose(both.places()["charger"], CHARGER, atol=1e-9)
    np.testing.assert_allclose(both.places()["desk"], T @ pose2d(1.2, 1.2, 0.0), atol=1e-6)


def test_a_keyframe_that_is_dropped_hands_its_places_on():
    memory, k = SpatialMemory(SETTINGS), 0
    around = [(1.0, 1.5, a) for a in np.linspace(0, 5.5, 8)]
    drive(memory, around[:3])
    memory.name_place("charger", CHARGER)
    named_at = max(memory.keyframes)
    for _ in range(4):
        k += 8
        drive(memory, around, k)
    assert named_at not in memory.keyframes, "the round makes its first keyframes redundant"
    np.testing.assert_allclose(memory.places()["charger"], CHARGER, atol=1e-9)
    np.testing.assert_allclose(memory.places()["start"], pose2d(1.0, 1.5, 0.0), atol=1e-6)


def test_what_cannot_be_kept_is_refused(memory):
    with pytest.raises(InputError, match="nothing is remembered here yet"):
        SpatialMemory().name_place("charger", CHARGER)
    with pytest.raises(InputError, match="not a finite rigid"):
        memory.name_place("charger", np.full((4, 4), np.nan))
    np.testing.assert_allclose(memory.places()["charger"], CHARGER, atol=1e-9)
    for k in range(198):
        memory.name_place(f"spot {k}", CHARGER)
    with pytest.raises(InputError, match="200 places have names already"):
        memory.name_place("one more", CHARGER)
