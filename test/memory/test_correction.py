"""Keyframes move while the memory goes on: against maps built from the corrected poses from the start."""

import dataclasses
import threading

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_rebuild import build, overlap, poses

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.keys import pack_array, unpack_array
from embodied_nav.memory.local_clouds import HIT, CloudBuilder, hit_points
from embodied_nav.memory.regrouping import regroup


def drift(k, scale=1.0):
    return pose2d(0.05 * k * scale, -0.04 * k * scale, 0.03 * k * scale)


def same_voxels(a, b):
    rows = [np.sort(m.store.rows["key"][m.store.rows["key"] >= 0]) for m in (a, b)]
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


def rigid(seed):
    """Any pose; none along the depth image's quantised planes, of which all of one falls on one side of a face."""
    T, rng = np.eye(4), np.random.default_rng(seed)
    T[:3, :3], T[:3, 3] = Rotation.random(random_state=rng).as_matrix(), rng.uniform(-50, 50, 3)
    return T


@pytest.fixture(scope="module")
def look():
    """A dense frame, its points in the camera's frame, and the hits of a cloud that holds it alone.

    With a depth camera's noise: of a perfect wall that lies on voxels' faces, all of it falls on one side or the other.
    """
    camera, noise = Camera.from_hfov(320, 240, np.pi / 2), np.random.default_rng(3)
    frame = render(two_rooms(), camera_pose(1.0, 1.5, 0.3), camera=camera, noise=noise)
    builder = CloudBuilder(0.05, 0.1, 5.0, whole=0)
    builder.start(0, frame.T_map_camera, 1)
    builder.add(frame, frame.T_map_camera)
    points = frame.camera.unproject(frame.depth).reshape(-1, 3).astype(np.float64)
    return points[(points[:, 2] >= 0.1) & (points[:, 2] <= 5.0)], builder.close().hits


def test_hits_are_the_half_voxels_that_pixels_fall_into(look):
    points, hits = look
    assert hits.dtype == HIT and hits["weight"].sum() == len(points) and (hits["last_seen"] == 1).all()
    mine, theirs = (np.unique(pack_array(c)) for c in (np.floor(points / 0.025), hits["cell"]))
    # Points on a face of a cell may fall on either side: the depth is float32.
    assert len(np.setxor1d(mine, theirs)) <= 0.01 * len(mine)
    bits = np.unpackbits(np.ascontiguousarray(hits["mask"]).view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    assert np.array_equal(bits > 0, hits["details"] > 0)
    assert np.allclose(hit_points(hits, 0.05), (hits["cell"] + 0.5) * 0.025)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32).map(rigid))
def test_a_cloud_gives_the_voxels_that_its_pixels_fall_into(look, T):
    points, hits = look
    voxels, sightings, stamps = regroup(hits, T, 0.05, 2.0, 3.0)
    truth = np.unique(pack_array(np.floor((points @ T[:3, :3].T + T[:3, 3]) / 0.05)))
    assert len(np.intersect1d(truth, voxels.keys)) / len(np.union1d(truth, voxels.keys)) > 0.93
    assert voxels.sums[:, 6].sum() == pytest.approx(len(points), rel=0.03)
    means = unpack_array(voxels.keys) * 0.05 + voxels.sums[:, :3] / voxels.sums[:, 6:7]
    # Middles of sub-cells stand for what is in them, and some 2% of the weight is left out at faces.
    true_mean = (points @ T[:3, :3].T + T[:3, 3]).mean(0)
    assert np.allclose(np.average(means, axis=0, weights=voxels.sums[:, 6]), true_mean, atol=0.01)
    assert (stamps == 1).all() and (sightings > 0).all()


def test_a_bounded_memory_moves_what_it_has_on_disk(walk_frames):
    config = MemoryConfig(max_megabytes=4.0)
    bounded, free = build(walk_frames, config=config), build(walk_frames)
    targets = poses(walk_frames, [drift(k) for k in range(6)])
    bounded.move_keyframes(targets)
    free.move_keyframes(targets)
    assert bounded.all_voxels == len(free)
    assert isinstance(bounded, SpatialMemory)
