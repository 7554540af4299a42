"""Keyframes that newer ones made redundant leave: memory, file and questions stay right, and nothing else is lost."""

import json
import sqlite3

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms
from scipy import ndimage

from embodied_nav.cli.main import main
from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.memory import MemoryConfig, RetentionConfig, SpatialMemory
from embodied_nav.memory.file import writer as writer_module
from embodied_nav.memory.file.inspection import find_faults
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.submaps.redundancy import Redundancy

ROUND = [(1.0, 1.5, a) for a in np.linspace(0, 5.5, 8)]
OTHER = [(4.2, 2.0, a) for a in np.linspace(0, 5.5, 8)]
WAITING = 4
SETTINGS = MemoryConfig(keyframe_images=WAITING)


def drive(memory, poses, first=0, shift=0.0, session=0):
    """Keyframes of one frame each; every one shows a chair in the middle of the picture. ``session``: its first id."""
    for k, (x, y, yaw) in enumerate(poses, first):
        frame = render(two_rooms(), camera_pose(x + shift, y, yaw + 0.5 * shift), (k + 1) * 1_000_000_000)
        memory.add_keyframe(Keyframe(k, frame, 0.5, 10, "overlap"))
        memory.integrate(frame)
        memory.add_look(session + k, descriptors=np.full((3, 2), k, np.uint8))
        memory.add_delta(delta(k, frame))
    return first + len(poses)


def delta(k, frame):
    h, w = frame.depth.shape
    segments = np.zeros((h, w), np.int16)
    segments[h // 2 - 20 : h // 2 + 20, w // 2 - 20 : w // 2 + 20] = 1
    z = float(frame.depth[h // 2, w // 2])
    place = frame.T_map_camera[:3, 3] + z * frame.T_map_camera[:3, 2]
    seen = ObjectObservation("chair", "red", 0.9, place, np.full(3, 0.5))
    return SemanticDelta(k, k - 1, frame.stamp, "test", "turn", objects=(seen,), segments=segments)


def rounds(count, retention=None):
    memory, k = SpatialMemory(SETTINGS, retention), 0
    for n in range(count):
        k = drive(memory, ROUND, k, 0.02 * n)
    return memory


def test_rounds_over_the_same_ground_keep_the_keyframes_of_one_and_of_those_that_wait():
    kept = [len(rounds(n).keyframes) for n in (1, 3, 6)]
    assert kept[2] <= len(ROUND) + WAITING + 2
    assert kept[2] <= kept[1] + 1
    assert len(rounds(6, RetentionConfig(covered=1.0)).keyframes) == 6 * len(ROUND)


def test_the_newest_stay_and_what_was_seen_once_stays():
    memory = SpatialMemory(SETTINGS)
    k = drive(memory, OTHER)
    for n in range(4):
        k = drive(memory, ROUND, k, 0.02 * n)
    assert set(range(len(OTHER))) <= set(memory.keyframes), "the other room was not seen again"
    assert set(range(k - WAITING, k)) <= set(memory.keyframes)
    assert {c.keyframe_id for c in memory.state.local_clouds()} == set(memory.keyframes)
    assert set(memory.looks) == set(memory.keyframes)


def test_obstacles_stay_in_the_map_made_from_what_is_left():
    memory = rounds(5)
    before = memory.occupancy().data.copy()
    memory.rebuild_from_keyframes({})
    after = memory.occupancy().data
    free_now = (after == 0) & (before == 100)
    walls = ndimage.binary_dilation(after == 100, iterations=2)  # a wall may lose one of its layers
    assert (free_now & ~walls).sum() <= 0.005 * (before == 100).sum()
    assert (after == 100).sum() > 0.95 * (before == 100).sum()
    known = before >= 0
    assert (after[known] == before[known]).mean() > 0.95


def test_objects_keep_their_names_and_counts_and_point_to_keyframes_that_are_there():
    memory, all_kept = rounds(5), rounds(5, RetentionConfig(covered=1.0))
    found, wanted = memory.objects(), all_kept.objects()
    assert [(o.id, o.label, o.confirmed) for o in found] == [(o.id, o.label, o.confirmed) for o in wanted]
    assert all(o.keyframe_id in memory.keyframes for o in found)
    assert max(o.confirmed for o in found) > len(ROUND) // 2


def test_what_comes_late_of_a_dropped_keyframe_is_no_error_and_of_an_unknown_one_is():
    memory = rounds(4)
    gone = next(i for i in range(8) if i not in memory.keyframes)
    frame = render(two_rooms(), camera_pose(*ROUND[0]), 1)
    before = len(memory.deltas)
    memory.add_delta(delta(gone, frame))
    memory.add_look(gone, descriptors=np.zeros((1, 2), np.uint8))
    assert len(memory.deltas) == before + 1 and gone not in memory.looks
    with pytest.raises(InputError, match="keyframe 999, which"):
        memory.add_delta(delta(999, frame))


def test_a_file_holds_what_the_memory_holds_however_it_was_written(tmp_path):
    path = tmp_path / "memory.db"
    memory = SpatialMemory(SETTINGS)
    writer, k = MemoryWriter(memory, path, period=0.0), 0
    for n in range(5):
        k = drive(memory, ROUND, k, 0.02 * n)
        if n == 3:
            memory.save(tmp_path / "saved.db")
    writer.close()
    read = SpatialMemory.load(path)
    assert set(read.keyframes) == set(memory.keyframes) and set(read.looks) == set(memory.looks)
    assert [(o.id, o.label, o.confirmed) for o in read.objects()] == [
        (o.id, o.label, o.confirmed) for o in memory.objects()
    ]
    mine = sorted((s.keyframe_id, s.class_number, s.pixels) for s in memory.state.objects.sightings)
    assert sorted((s.keyframe_id, s.class_number, s.pixels) for s in read.state.objects.sightings) == mine
    assert find_faults(path) == []
    with sqlite3.connect(path) as db:
        clouds = {n for (n,) in db.execute("SELECT number FROM clouds")}
        for table in ("parts", "views"):
            assert {n for (n,) in db.execute(f"SELECT DISTINCT cloud FROM {table}")} <= clouds
        assert {n for (n,) in db.execute("SELECT DISTINCT keyframe FROM looks")} == set(memory.keyframes)
    drive(read, ROUND, 0, 0.1, read.sessions[-1]["first_keyframe"])
    assert len(read.keyframes) <= len(memory.keyframes) + 3, "what was read is known to be redundant, too"


def test_a_file_that_was_saved_before_keyframes_left_loses_them_too(tmp_path):
    memory, path = SpatialMemory(SETTINGS), tmp_path / "memory.db"
    k = drive(memory, ROUND)
    k = drive(memory, ROUND, k, 0.02)
    memory.save(path)
    writer = MemoryWriter(memory, tmp_path / "other.db", period=0.0)  # it writes and forgets what was dropped
    drive(memory, ROUND, k, 0.04)
    writer.close()
    memory.save(path)
    assert set(SpatialMemory.load(path).keyframes) == set(memory.keyframes)
    assert find_faults(path) == []


def test_a_file_from_before_is_compacted_and_says_what_uses_it(tmp_path, capsys):
    path = tmp_path / "old.db"
    old = rounds(5, RetentionConfig(covered=1.0))
    old.save(path)
    assert main(["memory", "compact", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dropped"] > 2 * len(ROUND) and told["after"] < 0.7 * told["before"] and told["file"] == str(path)
    read = SpatialMemory.load(path)
    assert len(read.keyframes) == told["keyframes"] == len(old.keyframes) - told["dropped"]
    assert [(o.id, o.label, o.confirmed) for o in read.objects()] == [
        (o.id, o.label, o.confirmed) for o in old.objects()
    ]
    assert find_faults(path) == []
    assert main(["memory", "compact", str(path)]) == 0
    assert "0 keyframes dropped" in capsys.readouterr().out
    main(["memory", "info", str(path), "--json"])
    uses = json.loads(capsys.readouterr().out)["bytes_of"]
    assert list(uses.values()) == sorted(uses.values(), reverse=True)
    assert {"depth", "view_jpeg", "voxels", "looks"} <= set(uses) and sum(uses.values()) < path.stat().st_size


def test_room_is_given_back_while_the_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_WAITING_PAGES", 16)
    path = tmp_path / "memory.db"
    memory = rounds(5, RetentionConfig(covered=1.0))
    writer = MemoryWriter(memory, path, period=0.0)
    full = pages(path)
    memory.state.retain(RetentionConfig())
    assert memory.compact() > len(ROUND)
    k = 5 * len(ROUND)
    for _ in range(8):
        k = drive(memory, ROUND[:1], k)
        writer.flush()
    now = pages(path)
    assert now[0] < 0.8 * full[0] and now[1] <= 16
    writer.close()


def pages(path):
    """Of a file: all, and those that wait for new content."""
    with sqlite3.connect(path) as db:
        return tuple(db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count"))


def test_nothing_leaves_while_a_correction_is_under_way():
    memory = rounds(2)
    before = set(memory.keyframes)
    correction = memory.begin_correction({i: memory.keyframes[i].T_map_camera for i in list(before)[:2]})
    drive(memory, ROUND, 2 * len(ROUND), 0.04)
    assert before <= set(memory.keyframes)
    memory.apply(correction)
    drive(memory, ROUND, 3 * len(ROUND), 0.06)
    assert not before <= set(memory.keyframes)


def test_a_view_from_the_other_side_makes_nothing_redundant():
    found = Redundancy(0.05, 0.9, (1.0, 0.6))
    memory = SpatialMemory(None, RetentionConfig(covered=1.0))
    drive(memory, [(1.0, 1.5, 0.0), (1.0, 1.5, 0.02), (1.0, 1.5, 3.1), (1.0, 1.5, 3.12)])
    for k, cloud in enumerate(memory.state.local_clouds()):
        found.put(k, [cloud])
    assert found.retire(3, 3) == {2: [3]}
    assert 0 in found and 1 in found
    assert found.retire(1, 2) == {0: [1]}
