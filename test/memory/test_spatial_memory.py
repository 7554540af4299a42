"""The facade: what it refuses, what changed, what it forgets."""

import dataclasses

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.query.answering import Query
from embodied_nav.memory.voxels.column_grid import ColumnGrid
from embodied_nav.rooms import RoomMap


@pytest.fixture
def frame():
    return render(two_rooms(), camera_pose(1.5, 1.5, 0.3), 1000)


def test_bad_frames_are_refused_and_change_nothing(frame):
    memory = SpatialMemory()
    bad = [
        {"depth": frame.depth[:-1]},
        {"color": frame.color[:, :-1]},
        {"color": frame.color.astype(np.float32)},
        {"T_map_camera": np.full((4, 4), np.nan)},
        {"T_map_camera": np.diag([2.0, 1, 1, 1])},
    ]
    for change in bad:
        with pytest.raises(InputError):
            memory.integrate(dataclasses.replace(frame, **change))
    assert len(memory) == 0 and memory.frames == 0 and memory.occupancy().data.size == 0


def test_a_frame_without_depth_or_colour_is_no_error(frame):
    memory = SpatialMemory()
    assert memory.integrate(dataclasses.replace(frame, depth=None)).points == 0
    assert memory.integrate(dataclasses.replace(frame, color=None)).new_voxels > 0
    assert not memory.voxels().colors.any()


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="min_depth"):
        SpatialMemory(MemoryConfig(min_depth=6.0))
    with pytest.raises(InputError, match="min_height"):
        SpatialMemory(MemoryConfig(min_height=0.5, robot_height=0.4))


def test_voxels_have_true_centroids_and_a_box_selects(frame):
    memory = SpatialMemory()
    memory.integrate(frame)
    v = memory.voxels()
    assert len(v) == len(memory) and v.positions.dtype == np.float32 and v.colors.dtype == np.uint8
    floor = np.abs(v.positions[:, 2]) < 0.01
    assert floor.sum() > 100  # exactly on the surface, not at voxel centres (2.5 cm off)
    low, high = np.array([1.0, 0.5, -1]), np.array([3.0, 2.0, 0.4])
    part = memory.voxels((low, high))
    inside = ((v.positions >= low) & (v.positions <= high)).all(1)
    assert len(part) == inside.sum() > 0
    assert (v.last_seen == 1000).all() and v.class_names == (("", ""),)


def test_changed_blocks_are_those_that_changed(frame):
    memory = SpatialMemory()
    memory.integrate(frame)
    first = memory.changed_blocks()
    assert first.counts.sum() == len(memory) == len(first.voxels)
    assert len(memory.changed_blocks(first.token).corners) == 0
    memory.integrate(render(two_rooms(), camera_pose(1.5, 1.5, np.pi), 2000))
    second = memory.changed_blocks(first.token)
    everything = memory.changed_blocks()
    assert 0 < len(second.corners) < len(everything.corners)
    start = np.repeat(second.corners, second.counts, axis=0)
    inside = second.voxels.positions - start
    assert (inside > -1e-4).all() and (inside < second.side + 1e-4).all()


def test_a_copy_kept_up_by_changed_blocks_equals_the_map(walk_frames):
    memory, copy, token = SpatialMemory(), {}, 0
    for i, f in enumerate(walk_frames):
        memory.integrate(f)
        if i % 7 == 0 or i == len(walk_frames) - 1:
            changes = memory.changed_blocks(token)
            token = changes.token
            parts = np.split(changes.voxels.positions, np.cumsum(changes.counts)[:-1])
            for corner, part in zip(changes.corners, parts, strict=True):
                copy[tuple(corner)] = part
    got = np.concatenate(list(copy.values()))
    assert np.array_equal(np.unique(got, axis=0), np.unique(memory.voxels().positions, axis=0))


def test_clear_forgets_and_gives_a_new_identity(frame):
    memory = SpatialMemory()
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    memory.integrate(frame)
    token, identity = memory.changed_blocks().token, memory.uuid
    memory.clear()
    assert len(memory) == 0 and memory.uuid != identity and not memory.keyframes and not memory.state.local_clouds()
    memory.integrate(frame)
    assert memory.changed_blocks(token + 1000).counts.sum() == len(memory)
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    with pytest.raises(InputError, match="already"):
        memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))


def test_keyframes_have_thumbnails_that_show_them(frame):
    import cv2

    memory = SpatialMemory()
    memory.add_keyframe(Keyframe(3, frame, 0.4, 12, "overlap"))
    record = memory.keyframes[3]
    image = cv2.imdecode(np.frombuffer(record.thumbnail, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert image.shape == (120, 160, 3)
    assert np.abs(image.astype(int) - frame.color).mean() < 6
    assert (record.reason, record.overlap, record.inliers, record.stamp) == ("overlap", 0.4, 12, 1000)


def test_a_query_by_feature_says_that_there_are_none():
    with pytest.raises(InputError, match="features"):
        SpatialMemory().query(feature=np.ones(4, np.float32))


def test_knowledge_is_of_one_grid_and_one_division_into_rooms(walk_frames, monkeypatch):
    """Made once, not for each of its parts, and the same as what is told singly."""
    memory, made = SpatialMemory(), []
    for f in walk_frames[:20]:
        memory.integrate(f)
    oven = ObjectObservation("oven", "yellow", 0.9, np.array([1.7, 3.4, 0.7]), np.ones(3))
    shown = max(walk_frames[:20], key=lambda f: (f.instance_ids == 1).sum())
    memory.add_keyframe(Keyframe(0, shown, float("nan"), 0, "first"))
    segments = np.uint16(shown.instance_ids == 1)
    memory.add_delta(SemanticDelta(0, -1, shown.stamp, "test", "", (oven,), segments=segments))

    def count(owner, name):
        work = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: made.append(name) or work(*a, **k))

    count(ColumnGrid, "grid")
    count(RoomMap, "update")
    known = memory.knowledge()
    assert sorted(made) == ["grid", "update"]
    assert np.array_equal(known.grid.data, memory.occupancy().data)
    assert np.array_equal(known.rooms.labels, memory.rooms().labels)
    assert known.room_names == memory.room_names() and "kitchen" in known.room_names.values()


def test_other_threads_run_while_a_frame_is_fused(kitchen_frames):
    """The kernels release the interpreter lock: a counting thread gets on during fusion."""
    import threading

    memory, stop, count = SpatialMemory(), threading.Event(), [0]
    memory.integrate(kitchen_frames[0])

    def spin():
        while not stop.is_set():
            count[0] += 1

    thread = threading.Thread(target=spin)
    thread.start()
    before = count[0]
    for f in kitchen_frames:
        memory.integrate(f)
    during = count[0] - before
    stop.set()
    thread.join()
    assert during > 1000


def test_warming_up_leaves_nothing_to_compile(frame):
    from embodied_nav import kernels
    from embodied_nav.memory import warm_up

    warm_up()
    ready, compiled = kernels.signatures(), []
    with kernels.watched(compiled.append):
        memory = SpatialMemory()
        memory.integrate(frame)
        memory.occupancy()
        memory.ask(Query("the thing"))
    assert not compiled
    assert kernels.signatures() == ready, "what is only loaded takes time, too"
