"""Cells of half a voxel: what they keep of pixels, and the voxels that they become under other poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import plain_revoxelizing
import pytest
from box_rooms import Box, camera_pose, render, two_rooms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.submaps.cells import HIT, SUB, detail_edges, frames_a_bit, hits_of_dense, middles
from embodied_nav.memory.submaps.local_clouds import CloudBuilder
from embodied_nav.memory.submaps.revoxelizing import revoxelize
from embodied_nav.memory.voxels.keys import pack_array, unpack_array


def rigid(seed):
    """Any pose; none along the depth image's quantised planes, of which all of one falls on one side of a face."""
    T, rng = np.eye(4), np.random.default_rng(seed)
    T[:3, :3], T[:3, 3] = Rotation.random(random_state=rng).as_matrix(), rng.uniform(-50, 50, 3)
    return T


@pytest.fixture(scope="module")
def look():
    """A dense frame's points in the camera's frame, and a cloud that holds it alone.

    With a depth camera's noise: of a perfect wall that lies on voxels' faces, all of it falls on one side or the other.
    """
    camera, noise = Camera.from_hfov(320, 240, np.pi / 2), np.random.default_rng(3)
    frame = render(two_rooms(), camera_pose(1.0, 1.5, 0.3), camera=camera, noise=noise)
    builder = CloudBuilder(0.05, 0.1, 5.0, whole=0)
    builder.start(0, frame.T_map_camera, 1)
    builder.add(frame, frame.T_map_camera)
    points = frame.camera.unproject(frame.depth).reshape(-1, 3).astype(np.float64)
    return points[(points[:, 2] >= 0.1) & (points[:, 2] <= 5.0)], builder.close()


def test_hits_are_the_half_voxels_that_pixels_fall_into(look):
    points, cloud = look
    hits = cloud.hits
    assert hits.dtype == HIT and hits["weight"].sum() == len(points) and (hits["last_seen"] == 1).all()
    mine, theirs = (np.unique(pack_array(c)) for c in (np.floor(points / 0.025), hits["cell"]))
    # Points on a face of a cell may fall on either side: the depth is float32.
    assert len(np.setxor1d(mine, theirs)) <= 0.01 * len(mine)
    assert len(cloud.details) == mask_bits(hits).sum() == detail_edges(hits)[-1]
    # One frame: every sub-cell was hit in some part by it, and by no other.
    assert (cloud.details >> 8 == 1).all() and (cloud.details & 255 > 0).all() and (hits["often"] <= 1).all()
    assert np.array_equal(hits["often"], mask_bits(hits).sum(1)[:, None] > np.arange(3))
    assert np.allclose(middles(hits, 0.05), (hits["cell"] + 0.5) * 0.025)


def mask_bits(hits):
    """N x 64, which sub-cells were hit."""
    return np.unpackbits(np.ascontiguousarray(hits["mask"]).view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32).map(rigid))
def test_a_cloud_gives_the_voxels_that_its_pixels_fall_into(look, T):
    points, cloud = look
    voxels, sightings, stamps = revoxelize(cloud, T, 0.05, 2.0, 3.0)
    truth = np.unique(pack_array(np.floor((points @ T[:3, :3].T + T[:3, 3]) / 0.05)))
    assert len(np.intersect1d(truth, voxels.keys)) / len(np.union1d(truth, voxels.keys)) > 0.93
    assert voxels.sums[:, 6].sum() == pytest.approx(len(points), rel=0.03)
    means = unpack_array(voxels.keys) * 0.05 + voxels.sums[:, :3] / voxels.sums[:, 6:7]
    # Middles of sub-cells stand for what is in them, and some 2% of the weight is left out at faces.
    true_mean = (points @ T[:3, :3].T + T[:3, 3]).mean(0)
    assert np.allclose(np.average(means, axis=0, weights=voxels.sums[:, 6]), true_mean, atol=0.01)
    assert (stamps == 1).all() and (sightings > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_voxels_are_those_of_plain_numpy(small, seed):
    T = rigid(seed)
    voxels, sightings, stamps = revoxelize(small, T, 0.05, 2.0, 3.0)
    plain = plain_revoxelizing.plain(small, T, 0.05)
    keys = pack_array(np.array(list(plain)))
    # A face that by rounding falls between two levels may differ: hardly any does.
    assert len(np.setxor1d(keys, voxels.keys)) <= 1 + 0.002 * len(keys)
    both, ours, theirs = np.intersect1d(voxels.keys, keys, return_indices=True)
    assert len(both) > 100 and (np.diff(ours[np.argsort(theirs)]) > 0).mean() > 0.99, "in order of first appearance"
    truth = [list(plain.values())[k] for k in theirs]
    sums = np.array([v.sums for v in truth])
    at = sums[:, :3] / sums[:, 6:] * 0.025 @ T[:3, :3].T + T[:3, 3] - unpack_array(both) * 0.05
    mine = voxels.sums[ours]
    same = np.isclose(mine[:, 6], sums[:, 6], rtol=1e-5)
    assert same.mean() > 0.99
    assert np.allclose(mine[same, :3] / mine[same, 6:7], np.clip(at[same], 0, 0.05), atol=1e-5)
    assert np.allclose(mine[same, 3:6], sums[same, 3:6], rtol=1e-5)
    assert (stamps[ours] == [v.stamp for v in truth]).mean() > 0.99
    seen = plain_revoxelizing.sightings(plain, T, 0.05, small.frames_a_bit, 2.0, 3.0)
    seen = np.array(list(seen.values()))[theirs]
    assert np.isclose(sightings[ours], seen, rtol=1e-4).mean() > 0.99


@pytest.fixture(scope="module")
def small(walk):
    """Some bricks of cells of five frames."""
    cloud = cloud_of(walk[:5])
    edges, (first, last) = detail_edges(cloud.hits), (20_000, 20_800)
    return dataclasses.replace(cloud, hits=cloud.hits[first:last], details=cloud.details[edges[first] : edges[last]])


@pytest.fixture(scope="module")
def walk():
    """Some noisy frames of a slow walk."""
    camera, noise = Camera.from_hfov(320, 240, np.pi / 3), np.random.default_rng(5)
    return [render(two_rooms(), camera_pose(1.0 + 0.03 * i, 1.5, 0.3), camera=camera, noise=noise) for i in range(10)]


def cloud_of(frames):
    builder = CloudBuilder(0.05, 0.1, 5.0, whole=0)
    builder.start(0, frames[0].T_map_camera, 1)
    for f in frames:
        builder.add(f, f.T_map_camera)
    return builder.close()


def evidence(frames, T):
    """Voxel -> what the frames one by one count as seeing it, poses moved by T."""
    out = {}
    for f in frames:
        p = f.camera.unproject(f.depth).reshape(-1, 3).astype(np.float64)
        p = p[(p[:, 2] >= 0.1) & (p[:, 2] <= 5.0)]
        M = T @ f.T_map_camera
        w = p @ M[:3, :3].T + M[:3, 3]
        keys, back, n = np.unique(pack_array(np.floor(w / 0.05)), return_inverse=True, return_counts=True)
        mean = np.stack([np.bincount(back, w[:, k]) / n for k in range(3)], 1)
        far = np.maximum(1.0, ((mean - M[:3, 3]) ** 2).sum(1) / 4.0)
        for key, seen in zip(keys.tolist(), np.minimum(1.0, n / 3.0) / far, strict=True):
            out[key] = out.get(key, 0.0) + seen
    return out


@pytest.mark.parametrize("count", [2, 5])
def test_voxels_are_seen_as_often_as_by_the_frames_one_by_one(walk, count):
    frames, T = walk[:count], rigid(7)
    truth = evidence(frames, T)
    cloud = cloud_of(frames)
    voxels, sightings, _ = revoxelize(cloud, T @ cloud.T_map_cloud, 0.05, 2.0, 3.0)
    ours = dict(zip(voxels.keys.tolist(), sightings.tolist(), strict=True))
    both = sorted(truth.keys() & ours.keys())
    a, b = np.array([truth[k] for k in both]), np.array([ours[k] for k in both])
    assert abs((b - a).mean()) < 0.05 * a.mean() and np.abs(b - a).mean() < 0.1 * a.mean()
    occupied = {k for k, v in truth.items() if v >= 1.0}, {k for k, v in ours.items() if v >= 1.0}
    assert len(occupied[0] & occupied[1]) > 0.94 * len(occupied[0] | occupied[1])


def test_many_frames_share_bits(walk):
    assert [frames_a_bit(n) for n in (0, 1, 8, 9, 16, 17, 33)] == [1, 1, 1, 2, 2, 4, 8]
    cloud = cloud_of(walk)
    assert cloud.frames_a_bit == 2 and cloud.hits["often"].max() == 31  # ten frames, five bits
    still = cloud_of([walk[0]] * 20)
    assert still.frames_a_bit == 4
    T = np.eye(4)
    once, seen, _ = revoxelize(cloud_of(walk[:1]), T, 0.05, 2.0, 3.0)
    voxels, sightings, _ = revoxelize(still, T, 0.05, 2.0, 3.0)
    assert np.array_equal(once.keys, voxels.keys) and np.allclose(20 * seen, sightings, rtol=1e-4, atol=1e-5)


def test_a_cell_that_grew_later_has_the_frames_of_then(walk):
    cloud = cloud_of(walk[:3])
    first, last = cloud_of(walk[:1]), cloud_of(walk[2:3])
    cells = {tuple(c): o for c, o in zip(cloud.hits["cell"].tolist(), cloud.hits["often"][:, 0], strict=True)}
    assert all(cells[tuple(c)] & 1 for c in first.hits["cell"].tolist())
    assert len(last.hits) and set(cells.values()) == {1, 2, 3, 4, 5, 6, 7}


def test_hits_of_older_files_keep_their_parts(look):
    _, cloud = look
    hits, bits = cloud.hits, mask_bits(cloud.hits) > 0
    old = np.zeros(len(hits), [("cell", "<i2", 3), ("mask", "<u8"), ("details", "u1", SUB**3), ("rgb", "u1", 3),
                               ("frames", "u1"), ("weight", "<f4"), ("last_seen", "<i8")])  # fmt: skip
    for name in ("cell", "mask", "rgb", "weight", "last_seen"):
        old[name] = hits[name]
    old["details"][bits], old["frames"] = cloud.details & 255, 1
    again, details = hits_of_dense(old, 1)
    assert np.array_equal(again, hits) and np.array_equal(details, cloud.details)
    old["frames"] = 5
    assert (hits_of_dense(old, 4)[0]["often"][:, 0] == 3).all(), "five frames, four a bit"


def people_pass(frames: int) -> Iterator[RGBDFrame]:
    """A robot stands; for two seconds somebody walks across its view, then there is nobody."""
    T, camera = camera_pose(1.0, 1.5, 0.3), Camera.from_hfov(160, 120, np.pi / 2)
    noise = np.random.default_rng(4)
    for k in range(frames):
        y = 0.5 + 0.2 * k
        person = [Box((2.0, y, 0.0), (2.3, y + 0.4, 1.7), (60, 60, 160))] if k < 10 else []
        yield render([*two_rooms(), *person], T, 200_000_000 * (k + 1), camera, noise)


def in_the_way(memory: SpatialMemory) -> int:
    """Cells of all clouds where the people walked, above the floor."""
    count = 0
    for cloud in memory.state.local_clouds():
        p = middles(cloud.hits, 0.05) @ cloud.T_map_cloud[:3, :3].T + cloud.T_map_cloud[:3, 3]
        count += int(((p[:, 0] > 1.95) & (p[:, 0] < 2.35) & (p[:, 1] > 0.6) & (p[:, 1] < 2.6) & (p[:, 2] > 0.1)).sum())
    return count


def test_people_who_passed_leave_the_cloud_and_the_file(tmp_path):
    memory, frames = SpatialMemory(), list(people_pass(24))
    memory.state.builder._whole = 0
    writer = MemoryWriter(memory, tmp_path / "memory.db")
    memory.integrate(frames[0])
    memory.add_keyframe(Keyframe(0, frames[0], float("nan"), 0, "first"))
    for frame in frames[:10]:
        memory.integrate(frame)
    writer.flush()
    assert in_the_way(memory) > 500
    standing = None
    for frame in frames[10:]:
        memory.integrate(frame)
        standing = standing or in_the_way(memory)
    memory.add_keyframe(Keyframe(1, frames[-1], float("nan"), 0, "turned"))
    left = in_the_way(memory)
    assert standing > 500 and left < 0.2 * standing
    writer.close()
    again = SpatialMemory.load(tmp_path / "memory.db")
    assert in_the_way(again) == left
    clouds = zip(memory.state.local_clouds(), again.state.local_clouds(), strict=True)
    assert all(np.array_equal(a.hits, b.hits) and np.array_equal(a.details, b.details) for a, b in clouds)


def test_without_carving_all_that_was_seen_stays():
    memory = SpatialMemory(MemoryConfig(carve=False))
    memory.state.builder._whole = 0
    for frame in people_pass(24):
        memory.integrate(frame)
    assert in_the_way(memory) > 500
