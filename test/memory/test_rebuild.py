"""The map is a cache: made again from the keyframes it is the same, and it follows corrected poses."""

import dataclasses

import numpy as np
import pytest
from box_rooms import Box, camera_pose, render, two_rooms

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.memory import MemoryConfig, SpatialMemory


def build(frames, every=10, corrections=None, config=None):
    """A memory of frames, a keyframe every so many, each keyframe's frames moved by its correction (4x4)."""
    memory = SpatialMemory(config)
    for i, f in enumerate(frames):
        if corrections is not None:
            f = dataclasses.replace(f, T_map_camera=corrections[i // every] @ f.T_map_camera)
        if i % every == 0:
            memory.add_keyframe(Keyframe(i // every, f, 0.5, 0, "overlap"))
        memory.integrate(f)
    return memory


def overlap(a, b, min_weight=0.0):
    ka, kb = (
        m.state.voxels.store.rows["key"][
            (m.state.voxels.store.rows["key"] >= 0) & (m.state.voxels.store.rows["weight"] >= min_weight)
        ]
        for m in (a, b)
    )
    return len(np.intersect1d(ka, kb)) / len(np.union1d(ka, kb))


def poses(frames, corrections, every=10):
    return {k: c @ frames[k * every].T_map_camera for k, c in enumerate(corrections)}


def test_under_the_same_poses_the_same_map_comes_back(walk_frames):
    for carve, least in ((False, 0.98), (True, 0.98)):
        memory = build(walk_frames, config=MemoryConfig(carve=carve))
        again = build(walk_frames, config=MemoryConfig(carve=carve))
        again.rebuild_from_keyframes({})
        assert overlap(memory, again) > least
        a, b = memory.occupancy(), again.occupancy()
        assert a.data.shape == b.data.shape and (a.data == b.data).mean() > 0.98


def test_keyframes_shifted_by_whole_voxels_give_the_map_of_the_shifted_poses(walk_frames):
    corrections = []
    for k in range(6):
        c = np.eye(4)
        c[:3, 3] = np.array([k, -2 * k, k % 2]) * 0.05
        corrections.append(c)
    config = MemoryConfig(carve=False)
    moved = build(walk_frames, config=config)
    moved.rebuild_from_keyframes(poses(walk_frames, corrections))
    truth = build(walk_frames, corrections=corrections, config=config)
    assert overlap(moved, truth) > 0.98
    assert overlap(build(walk_frames, config=config), truth) < 0.5


def test_a_drift_taken_out_brings_the_walls_back(walk_frames):
    drift = [pose2d(0.02 * k, -0.015 * k, 0.012 * k) for k in range(6)]
    back = [np.linalg.inv(d) for d in drift]
    truth, bent = build(walk_frames), build(walk_frames, corrections=drift)
    before = overlap(bent, truth, 20)
    targets = {k: walk_frames[10 * k].T_map_camera for k in range(6)}
    assert np.allclose(back[3] @ bent.keyframes[3].T_map_camera, targets[3])
    bent.rebuild_from_keyframes(targets)
    assert overlap(bent, truth, 20) > max(0.7, before + 0.2)
    a, b = truth.occupancy(), bent.occupancy()
    walls_a, walls_b = ({tuple(np.round(g.centers(c), 2)) for c in np.argwhere(g.data == 100)} for g in (a, b))
    near = sum(any((x + dx, y + dy) in walls_a for dx in (-0.05, 0, 0.05) for dy in (-0.05, 0, 0.05))
               for x, y in (tuple(w) for w in walls_b))  # fmt: skip
    assert near / len(walls_b) > 0.9


def test_what_was_carved_stays_carved():
    chair = Box((1.8, 1.3, 0.0), (2.2, 1.7, 0.9), (20, 20, 200), 9)
    pose, memory = camera_pose(0.5, 1.5, 0.0), SpatialMemory()
    for t in range(24):
        f = render([*two_rooms(), chair] if t < 12 else two_rooms(), pose, t + 1)
        if t % 12 == 0:
            memory.add_keyframe(Keyframe(t // 12, f, 0.9, 0, "moved"))
        memory.integrate(f)
    box = (np.array([1.75, 1.25, 0.15]), np.array([2.25, 1.75, 1.0]))
    assert len(memory.voxels(box)) == 0
    shift = np.eye(4)
    shift[0, 3] = 0.1
    memory.rebuild_from_keyframes({k: shift @ r.T_map_camera for k, r in memory.keyframes.items()})
    assert len(memory) > 1000
    assert len(memory.voxels((box[0] + [0.1, 0, 0], box[1] + [0.1, 0, 0]))) <= 2


def test_objects_move_with_their_keyframes():
    memory, sofa = SpatialMemory(), Box((1.6, 0.9, 0.0), (2.4, 1.5, 0.6), (200, 30, 30), 1)
    room = [b for b in two_rooms() if b.id == 0]
    f = render([*room, sofa], camera_pose(0.3, 1.5, 0.0), 7, Camera.from_hfov(320, 240, np.pi / 2))
    memory.add_keyframe(Keyframe(0, f, float("nan"), 0, "first"))
    memory.integrate(f)
    seen = ObjectObservation("sofa", "red", 0.9, np.array([2.0, 1.2, 0.3]), np.array([0.8, 0.6, 0.6]))
    memory.add_delta(SemanticDelta(0, -1, 7, "test", "", (seen,), segments=(f.instance_ids == 1).astype(np.uint16)))
    (before,) = memory.objects()
    c = pose2d(1.0, 0.5, 0.0)
    memory.rebuild_from_keyframes({0: c @ f.T_map_camera})
    (after,) = memory.objects()
    assert after.label == "sofa" and after.keyframe_id == 0
    assert np.allclose(after.position - before.position, [1.0, 0.5, 0.0], atol=0.06)
    f2 = dataclasses.replace(f, stamp=8, T_map_camera=c @ f.T_map_camera)
    memory.integrate(f2)  # and goes on: the cloud that grows hangs on the moved keyframe
    assert len(memory.state.local_clouds()) == 2


def test_frames_before_the_first_keyframe_move_with_it(walk_frames):
    memory = SpatialMemory(MemoryConfig(carve=False))
    memory.integrate(walk_frames[0])
    memory.add_keyframe(Keyframe(0, walk_frames[1], 1.0, 0, "first"))
    memory.integrate(walk_frames[1])
    n, low = len(memory), memory.voxels().positions.min(0)
    c = np.eye(4)
    c[:3, 3] = [1.0, 2.0, 0.0]
    memory.rebuild_from_keyframes({0: c @ walk_frames[1].T_map_camera})
    assert abs(len(memory) - n) < 0.01 * n
    assert np.allclose(memory.voxels().positions.min(0), low + np.array([1, 2, 0]), atol=0.03)


def test_a_listener_is_told_that_everything_changed(walk_frames):
    memory = build(walk_frames[:20])
    token = memory.changed_blocks().token
    memory.rebuild_from_keyframes({})
    assert memory.changed_blocks(token).counts.sum() == len(memory)


def test_bad_poses_are_refused_before_anything_moves(walk_frames):
    memory = build(walk_frames[:10])
    n = len(memory)
    for bad in ({5: np.eye(4)}, {0: np.full((4, 4), np.nan)}):
        with pytest.raises(InputError):
            memory.rebuild_from_keyframes(bad)
    assert len(memory) == n
