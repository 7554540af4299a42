"""Keyframes move while the memory goes on: against maps built from the corrected poses from the start."""

import dataclasses
import threading

import numpy as np
import pytest
from test_rebuild import build, overlap, poses

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe
from embodied_nav.geometry import pose2d
from embodied_nav.memory import MemoryConfig
from embodied_nav.memory.submaps.correction import Correction, Placed, Replay, carver
from embodied_nav.memory.submaps.extent import blocks_seen_through, cloud_blocks, cloud_box, in_box
from embodied_nav.memory.submaps.local_clouds import CloudBuilder
from embodied_nav.memory.voxels.keys import block_key
from embodied_nav.memory.voxels.store import VoxelStore


def drift(k, scale=1.0):
    return pose2d(0.05 * k * scale, -0.04 * k * scale, 0.03 * k * scale)


def same_voxels(a, b):
    rows = [np.sort(m.state.voxels.store.rows["key"][m.state.voxels.store.rows["key"] >= 0]) for m in (a, b)]
    return np.array_equal(*rows)


def test_only_what_hangs_on_moved_keyframes_changes(walk_frames):
    corrections = [np.eye(4)] * 4 + [drift(4), drift(5)]
    memory = build(walk_frames)
    token = memory.changed_blocks().token
    whole = len(memory.changed_blocks().corners)
    moved = poses(walk_frames, corrections)
    memory.move_keyframes({k: moved[k] for k in (4, 5)})
    assert overlap(memory, build(walk_frames, corrections=corrections)) > 0.96
    assert 0 < len(memory.changed_blocks(token).corners) < whole
    assert memory.corrections == 1


def test_frames_and_keyframes_that_come_meanwhile_stand_right(walk_frames):
    corrections = [drift(k) for k in range(6)]
    memory = build(walk_frames[:35])
    here = corrections[3]
    correction = memory.begin_correction({k: T for k, T in poses(walk_frames, corrections).items() if k < 4}, stamp=0)
    for i, f in enumerate(walk_frames[35:], start=35):
        f = dataclasses.replace(f, T_map_camera=corrections[max(i // 10, 3)] @ f.T_map_camera)
        if i % 10 == 0:
            memory.add_keyframe(Keyframe(i // 10, f, 0.5, 0, "overlap"))
        memory.integrate(f)
    assert here is corrections[3]
    memory.apply(correction)
    assert overlap(memory, build(walk_frames, corrections=corrections)) > 0.96
    assert [k.T_map_camera[0, 3] for k in memory.keyframes.values()] == pytest.approx(
        [(corrections[k] @ walk_frames[10 * k].T_map_camera)[0, 3] for k in range(6)]
    )


def test_keyframes_that_come_while_the_map_is_made_are_put_there_beside(walk_frames, monkeypatch):
    left, whole = [], Correction.catch_up
    monkeypatch.setattr(Correction, "catch_up", lambda c, later: (left.append(len(later)), whole(c, later))[1])
    memory = build(walk_frames[:15])
    correction = memory.begin_correction({0: drift(1) @ walk_frames[0].T_map_camera, 1: walk_frames[10].T_map_camera})
    for i, f in enumerate(walk_frames[15:], start=15):
        if i % 5 == 0:
            memory.add_keyframe(Keyframe(i // 5, f, 0.5, 0, "overlap"))
        memory.integrate(f)
    correction.run()
    memory.apply(correction)
    assert left[0] <= 2
    expected = build(walk_frames, corrections=[drift(1)] + [np.eye(4)] * 5)
    assert overlap(memory, expected) > 0.96


def test_poses_that_come_while_a_correction_is_made_wait_for_the_next_one(walk_frames):
    """Each correction that was begun is applied, and what came meanwhile stands where the last one says."""
    corrections = [drift(k) for k in range(6)]
    memory = build(walk_frames[:25])
    now = poses(walk_frames, corrections)
    first = memory.follow({k: drift(k, 0.5) @ walk_frames[10 * k].T_map_camera for k in range(3)})
    assert memory.follow({k: now[k] for k in range(3)}) is None
    for i, f in enumerate(walk_frames[25:], start=25):
        f = dataclasses.replace(f, T_map_camera=corrections[max(i // 10, 2)] @ f.T_map_camera)
        if i % 10 == 0:
            memory.add_keyframe(Keyframe(i // 10, f, 0.5, 0, "overlap"))
            assert memory.follow({k: now[k] for k in range(i // 10)}) is None
        memory.integrate(f)
    first.run()
    memory.apply(first)
    assert memory.corrections == 1
    memory.apply(memory.next_correction())
    assert memory.corrections == 2 and memory.next_correction() is None
    assert overlap(memory, build(walk_frames, corrections=corrections)) > 0.96
    for k, record in memory.keyframes.items():
        np.testing.assert_allclose(record.T_map_camera, now[k], atol=1e-9)


def test_a_correction_that_failed_holds_up_none(walk_frames, monkeypatch):
    memory = build(walk_frames[:35])
    first = memory.follow({0: drift(1) @ walk_frames[0].T_map_camera})
    with monkeypatch.context() as broken:
        broken.setattr(Replay, "clouds", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            first.run()
    memory.apply(memory.follow({1: drift(2) @ walk_frames[10].T_map_camera}))
    expected = build(walk_frames[:35], corrections=[drift(1), drift(2), np.eye(4), np.eye(4)])
    assert overlap(memory, expected) > 0.96


def test_a_late_frame_from_before_the_correction_moves_with_it(walk_frames):
    memory, c = build(walk_frames[:5]), pose2d(1.0, 2.0, 0.5)
    late, known = walk_frames[5], c @ walk_frames[6].T_map_camera
    correction = memory.begin_correction({0: c @ walk_frames[0].T_map_camera}, stamp=walk_frames[6].stamp)
    memory.integrate(late)
    memory.integrate(dataclasses.replace(walk_frames[6], T_map_camera=known))
    memory.apply(correction)
    assert overlap(memory, build(walk_frames[:7], corrections=[c])) > 0.94


def test_threads_query_and_fuse_while_a_correction_is_made(walk_frames):
    memory, lock = build(walk_frames), threading.Lock()
    n = len(memory)
    moved = poses(walk_frames, [drift(k) for k in range(6)])
    with lock:
        correction = memory.begin_correction(moved)
    worker = threading.Thread(target=correction.run)
    worker.start()
    asked = 0
    while worker.is_alive() or asked == 0:
        with lock:
            assert len(memory.voxels()) == len(memory) > 0.9 * n
            memory.integrate(dataclasses.replace(walk_frames[59], stamp=walk_frames[59].stamp + 1 + asked))
            memory.occupancy()
        asked += 1
    worker.join()
    with lock:
        memory.apply(correction)
    assert asked > 0 and memory.frames == 60 + asked
    assert len(memory.voxels()) == len(memory) and len(memory) > 0.9 * n


def test_a_second_correction_takes_the_first_one_in(walk_frames):
    memory = build(walk_frames)
    targets = poses(walk_frames, [drift(k) for k in range(6)])
    first = memory.begin_correction({1: targets[1], 2: poses(walk_frames, [drift(9)] * 6)[2]})
    second = memory.begin_correction({k: targets[k] for k in (0, 2, 3, 4, 5)})
    with pytest.raises(InputError):
        memory.apply(first)
    memory.apply(second)
    once = build(walk_frames)
    once.move_keyframes(targets)
    assert same_voxels(memory, once)


def test_what_moves_there_and_back_is_where_it_was(walk_frames):
    memory = build(walk_frames)
    memory.rebuild_from_keyframes({})
    before = {k: r.T_map_camera.copy() for k, r in memory.keyframes.items()}
    rebuilt = build(walk_frames)
    rebuilt.rebuild_from_keyframes({})
    memory.move_keyframes(poses(walk_frames, [drift(k) for k in range(6)]))
    memory.move_keyframes(before)
    assert same_voxels(memory, rebuilt)


def test_a_bounded_memory_moves_what_it_has_on_disk(walk_frames):
    config = MemoryConfig(max_mb=4.0)
    bounded, free = build(walk_frames, config=config), build(walk_frames)
    targets = poses(walk_frames, [drift(k) for k in range(6)])
    bounded.move_keyframes(targets)
    free.move_keyframes(targets)
    assert len(bounded.state.voxels) == len(free)


def test_what_a_cloud_can_touch_holds_what_it_does_touch(walk_frames):
    """Of whole frames and of cells: blocks of its voxels, and blocks that its views carve."""
    config = MemoryConfig()
    for seed, whole in ((9, 0), (-12, 10**7)):
        builder = CloudBuilder(0.05, 0.1, 5.0, whole=whole)
        builder.start(0, walk_frames[0].T_map_camera, 1)
        for f in walk_frames[:3]:
            builder.add(f, f.T_map_camera)
        cloud, T = builder.close(), drift(seed) @ walk_frames[0].T_map_camera
        memory = build(walk_frames)
        before = dict(
            zip(
                memory.state.voxels.store.rows["key"].tolist(),
                memory.state.voxels.store.rows["evidence"].tolist(),
                strict=True,
            )
        )
        known = np.unique(memory.state.voxels.store.arrays.block_keys[: memory.state.voxels.store.blocks])
        replay = Replay(config, VoxelStore(1 << 20), memory.state.voxels.grid.blank(), None)
        replay.clouds([Placed(cloud, cloud.votes, (), T, T)], np.ones(1, np.bool_))
        touched = replay._store.arrays.block_keys[: replay._store.blocks]
        assert len(touched) > 50 and np.isin(touched, cloud_blocks(cloud, T, config)).all()
        assert in_box(touched, *cloud_box(cloud, T, config), 0.05).all()
        looked = np.unique(np.concatenate(blocks_seen_through(cloud, T, known, carver(config), config)))
        for v in cloud.views:
            carver(config)(memory.state.voxels.store, v.depth, v.camera, T @ v.T, 10**18, 0.05)
        rows = memory.state.voxels.store.rows
        kept = dict(zip(rows["key"].tolist(), rows["evidence"].tolist(), strict=True))
        carved = [k for k, e in before.items() if k >= 0 and kept.get(k) != e]
        assert len(carved) > 10 and np.isin([block_key(k) for k in carved], looked).all()
