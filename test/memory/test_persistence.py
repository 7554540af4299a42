"""The memory file: exact round trip, and every way in which a file can be wrong."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.geometry import is_rigid, pose2d
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.file.codec import pose, pose_blob
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.memory.file.memory_file import create_empty
from embodied_nav.memory.submaps.local_clouds import CloudBuilder


@pytest.fixture(scope="module")
def memory(walk_frames):
    m = SpatialMemory()
    m.state.builder = CloudBuilder(0.05, 0.1, 5.0, whole=4 * 160 * 120)  # so that there are whole frames and cells
    for i, f in enumerate(walk_frames[:30]):
        m.integrate(f)
        if i % 10 == 3:
            k = i // 10
            m.add_keyframe(Keyframe(k, f, float("nan") if k == 0 else 0.5, 4 * k, "overlap"))
            seen = ObjectObservation("table", "yellow", 0.8, np.array([1.7, 3.4, 0.7]), np.ones(3), (1, 2, 3, 4))
            segments = (f.instance_ids == 1).astype(np.uint16)
            m.add_delta(SemanticDelta(k, k - 1, f.stamp, "test", "rotate left", (seen,), (seen,), text="ä table",
                                      relevant="yes", segments=segments))  # fmt: skip
    return m


@pytest.fixture
def saved(memory, tmp_path):
    memory.save(tmp_path / "memory.db")
    return tmp_path / "memory.db"


def rows(m):
    return np.sort(m.state.voxels.store.rows[m.state.voxels.store.rows["key"] >= 0], order="key")


def test_frames_without_colour_come_back(tmp_path, walk_frames):
    m = SpatialMemory()
    for i, f in enumerate(replace(f, color=None) for f in walk_frames[:2]):
        m.add_keyframe(Keyframe(i, f, 0.5, 4, "overlap"))
        m.integrate(f)
    m.save(tmp_path / "memory.db")
    other = SpatialMemory.load(tmp_path / "memory.db")
    assert np.array_equal(rows(other), rows(m)) and len(other) > 100
    other.rebuild_from_keyframes({})
    assert len(np.intersect1d(rows(other)["key"], rows(m)["key"])) > 0.99 * len(m)


def test_everything_comes_back_exactly(memory, saved):
    other = SpatialMemory.load(saved)
    assert np.array_equal(rows(other), rows(memory)) and len(other) == len(memory)
    assert np.array_equal(other.occupancy().data, memory.occupancy().data)
    assert other.occupancy().origin == memory.occupancy().origin
    assert (other.uuid, other.state.content.created, other.stamp, other.frames) == (
        memory.uuid, memory.state.content.created, memory.stamp, memory.frames,
    )  # fmt: skip
    assert other.config == memory.config and other.state.content.classes.names == memory.state.content.classes.names
    for a, b in zip(memory.objects(), other.objects(), strict=True):
        assert (a.id, a.name, a.voxels, a.first_seen, a.last_seen, a.keyframe_id, a.confidence) == (
            b.id, b.name, b.voxels, b.first_seen, b.last_seen, b.keyframe_id, b.confidence,
        )  # fmt: skip
        assert np.array_equal(a.position, b.position) and np.array_equal(a.extent, b.extent)
    assert len(memory.objects()) > 0
    for i, k in memory.keyframes.items():
        o = other.keyframes[i]
        assert np.array_equal(k.T_map_camera, o.T_map_camera) and k.thumbnail == o.thumbnail
        assert (k.stamp, k.reason, k.inliers) == (o.stamp, o.reason, o.inliers)
        assert k.overlap == o.overlap or (np.isnan(k.overlap) and np.isnan(o.overlap))
    for a, b in zip(memory.state.local_clouds(), other.state.local_clouds(), strict=True):
        assert np.array_equal(a.hits, b.hits) and np.array_equal(a.details, b.details)
        assert np.array_equal(a.votes, b.votes)
        assert np.array_equal(a.T_map_cloud, b.T_map_cloud) and a.keyframe_id == b.keyframe_id
        for v, w in zip(a.views, b.views, strict=True):
            assert np.array_equal(v.depth, w.depth) and np.array_equal(v.T, w.T) and v.camera == w.camera
            assert (v.first, v.stamp, v.frames) == (w.first, w.stamp, w.frames)
            assert (v.color is None and w.color is None) or np.array_equal(v.color, w.color)
    for a, b in zip(memory.deltas, other.deltas, strict=True):
        assert (a.keyframe_id, a.action, a.text, a.relevant, a.stale) == (
            b.keyframe_id, b.action, b.text, b.relevant, b.stale,
        )  # fmt: skip
        assert a.objects[0].box == b.objects[0].box == (1, 2, 3, 4) and b.new[0].label == "table" and not b.gone


def test_a_loaded_memory_goes_on_as_the_one_that_was_saved(memory, saved, walk_frames):
    other, same = SpatialMemory.load(saved), SpatialMemory.load(saved)
    for m in (other, same):
        for f in walk_frames[30:36]:
            m.integrate(f)
    assert np.array_equal(rows(other), rows(same))
    assert len(other) > len(memory)
    other.rebuild_from_keyframes({})
    assert [o.label for o in other.objects()] == [o.label for o in memory.objects()]


def test_a_second_sessions_keyframes_get_ids_of_their_own(saved, walk_frames):
    m = SpatialMemory.load(saved)
    assert len(m.sessions) == 2 and m.sessions[1]["first_keyframe"] == 3
    m.integrate(walk_frames[40])
    m.add_keyframe(Keyframe(0, walk_frames[40], float("nan"), 0, "first"))
    m.add_delta(SemanticDelta(0, -1, walk_frames[40].stamp, "test", ""))
    assert sorted(m.keyframes) == [0, 1, 2, 3] and m.deltas[-1].keyframe_id == 3
    m.save(saved)
    assert len(SpatialMemory.load(saved).sessions) == 3


def test_an_empty_file_is_a_memory(tmp_path):
    create_empty(tmp_path / "memory.db")
    assert len(SpatialMemory.load(tmp_path / "memory.db")) == 0
    assert find_faults(tmp_path / "memory.db") == [] and describe(tmp_path / "memory.db")["voxels"] == 0


def test_saving_replaces_an_older_memory_whole(memory, tmp_path):
    path = tmp_path / "memory.db"
    create_empty(path)
    memory.save(path)
    assert len(SpatialMemory.load(path)) == len(memory)
    assert [p.name for p in tmp_path.iterdir()] == ["memory.db"]


@pytest.mark.parametrize("content", [b"hello, I am a text file", b"SQLite format 3\0" + b"x" * 5000])
def test_foreign_files_are_neither_read_nor_overwritten(memory, tmp_path, content):
    path = tmp_path / "memory.db"
    path.write_bytes(content)
    for action in (lambda: SpatialMemory.load(path), lambda: memory.save(path), lambda: create_empty(path)):
        with pytest.raises(InputError) as error:
            action()
        assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert path.read_bytes() == content


def test_another_programs_database_is_foreign(memory, tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program"):
        SpatialMemory.load(path)
    with pytest.raises(InputError, match="another program"):
        memory.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused_in_one_line(saved, part):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError) as error:
        SpatialMemory.load(saved)
    assert "\n" not in str(error.value)


def test_a_newer_file_is_refused_with_the_versions(saved):
    with sqlite3.connect(saved) as db:
        db.execute("UPDATE meta SET value = '3' WHERE key = 'schema_version'")
    with pytest.raises(InputError, match="schema version 3"):
        SpatialMemory.load(saved)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE blocks SET count = count + 1",
        "UPDATE blocks SET data = x'00'",
        "DELETE FROM keyframes WHERE id = 1",
        "DELETE FROM clouds WHERE number = 1",
        "UPDATE clouds SET pose = x'00' WHERE number = 1",
        "UPDATE parts SET data = x'01789c' WHERE kind = 'view_jpeg'",
        "DELETE FROM parts WHERE kind = 'view_jpeg' AND cloud = 1 AND part = 0",
        "UPDATE parts SET data = x'01789c' WHERE kind = 'hits'",
        "DELETE FROM parts WHERE kind = 'hits' AND cloud = 1 AND part = 0",
        "DELETE FROM parts WHERE kind = 'details'",
        "UPDATE layouts SET layout = 'x' WHERE number = 1",
        "DELETE FROM layouts",
        "UPDATE sessions SET map = 'x'",
        "UPDATE grid SET count = 1",
        "UPDATE views SET width = width + 1",
        "UPDATE maps SET voxels = 7",
    ],
)
def test_check_finds_damage(saved, damage):
    with sqlite3.connect(saved) as db:
        db.execute(damage)
    assert find_faults(saved)


def test_check_finds_nothing_in_a_good_file(saved):
    assert find_faults(saved) == []


def _barely_rigid(T):
    """A pose that is just accepted: its axes are off by 4.4e-4, R R^T by 9e-4."""
    out = T.copy()
    out[:3, :3] = (np.eye(3) + 4.4e-4 * np.ones((3, 3))) @ T[:3, :3]
    assert is_rigid(out) and not is_rigid(out, 8e-4)
    return out


def test_poses_that_were_just_accepted_are_read_again(walk_frames, tmp_path):
    """What is stored are products of them: views in a cloud, frames that come later than a correction."""
    m, frames = SpatialMemory(), [replace(f, T_map_camera=_barely_rigid(f.T_map_camera)) for f in walk_frames[:6]]
    for i, f in enumerate(frames[:4]):
        m.integrate(f)
        if i == 1:
            m.add_keyframe(Keyframe(0, f, 0.5, 4, "overlap"))
    m.move_keyframes({0: pose2d(0.1, 0.0, 0.0) @ frames[1].T_map_camera}, frames[5].stamp)
    m.add_keyframe(Keyframe(1, frames[4], 0.5, 4, "overlap"))
    m.integrate(frames[4])
    views = [v.T for c in m.state.local_clouds() for v in c.views]
    assert not all(is_rigid(T, 3e-3) for T in views)
    m.save(tmp_path / "memory.db")
    assert find_faults(tmp_path / "memory.db") == []
    other = SpatialMemory.load(tmp_path / "memory.db")
    assert np.array_equal([v.T for c in other.state.local_clouds() for v in c.views], views)
    for i, k in m.keyframes.items():
        assert np.array_equal(other.keyframes[i].T_map_camera, k.T_map_camera)


def test_a_stored_pose_that_is_not_rigid_is_refused():
    assert np.array_equal(pose(pose_blob(np.diag([1.005, 1.0, 1.0, 1.0]))), np.diag([1.005, 1.0, 1.0, 1.0]))
    for scale in ([1.02, 1.0, 1.0], [1.0, 1.0, -1.0]):
        with pytest.raises(ValueError, match="no rigid transform"):
            pose(pose_blob(np.diag([*scale, 1.0])))


def test_places_that_cannot_be_written(memory, tmp_path):
    for path in (tmp_path / "nowhere" / "memory.db", tmp_path, Path("/dev/null/memory.db")):
        with pytest.raises(InputError) as error:
            memory.save(path)
        assert "\n" not in str(error.value)


def test_a_failure_while_writing_leaves_the_old_file(memory, tmp_path, monkeypatch):
    path = tmp_path / "memory.db"
    create_empty(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        memory.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_another_voxel_size_is_refused(saved):
    with pytest.raises(InputError, match="voxel_size"):
        SpatialMemory.load(saved, MemoryConfig(voxel_size=0.1))


def test_no_key_is_written(memory, saved):
    """Positions in the file are metric: the block corners are those of the voxels, in metres."""
    with sqlite3.connect(saved) as db:
        low = db.execute("SELECT min(x), min(y), min(z) FROM blocks").fetchone()
    assert (np.array(low) <= memory.voxels().positions.min(0) + 1e-6).all()
    assert (np.array(low) > memory.voxels().positions.min(0) - 0.4 - 1e-6).all()


def test_one_frame_alone_round_trips(tmp_path):
    m = SpatialMemory()
    m.integrate(render(two_rooms(), camera_pose(1, 1, 0), 5))
    m.save(tmp_path / "m.db")
    assert np.array_equal(rows(SpatialMemory.load(tmp_path / "m.db")), rows(m))
