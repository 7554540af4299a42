"""Fusion against brute force, voxel by voxel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera, matrix_from_quaternion
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.voxels.fusion import FrameHasher, FrameVoxels, sighting_weights
from embodied_nav.memory.voxels.keys import pack_array, unpack_array


def brute_force(frames, voxel_size=0.05, near=0.1, far=5.0):
    """(voxel of each point Nx3 int64, point Nx3, colour Nx3) of all frames."""
    voxels, points, colors = [], [], []
    for f in frames:
        v, u = np.nonzero((f.depth >= near) & (f.depth <= far))
        z = f.depth[v, u].astype(np.float64)
        c, T = f.camera, f.T_map_camera
        p = np.stack([(u - c.cx) / c.fx * z, (v - c.cy) / c.fy * z, z], axis=1) @ T[:3, :3].T + T[:3, 3]
        voxels.append(np.floor(p / voxel_size).astype(np.int64))
        points.append(p)
        colors.append(f.color[v, u])
    return np.concatenate(voxels), np.concatenate(points), np.concatenate(colors)


@st.composite
def small_frames(draw):
    camera = Camera(24, 16, draw(st.floats(10, 60)), draw(st.floats(10, 60)), 11.3, 8.1)
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    T = matrix_from_quaternion(rng.normal(size=4))
    T[:3, 3] = rng.uniform(-20, 20, 3)
    depth = rng.uniform(0, 6, (16, 24)).astype(np.float32)
    if draw(st.booleans()):
        depth = np.round(depth * 1000).astype(np.float32) / np.float32(1000)
    for bad in (np.nan, 0.0, -1.0, np.inf):
        depth[rng.random(depth.shape) < 0.05] = bad
    return RGBDFrame(1, camera, T, rng.integers(0, 256, (16, 24, 3), dtype=np.uint8), depth)


@settings(max_examples=60, deadline=None)
@given(small_frames(), st.sampled_from([0.02, 0.05, 0.1]))
def test_voxels_counts_means_and_colours_equal_brute_force(frame, size):
    got = FrameHasher(8)(frame.depth, frame.color, frame.camera, frame.T_map_camera, size, 0.1, 5.0)
    voxels, points, colors = brute_force([frame], size)
    keys, inverse, counts = np.unique(pack_array(voxels), return_inverse=True, return_counts=True)
    order = np.argsort(got.keys)
    assert np.array_equal(got.keys[order], keys)
    assert np.array_equal(got.sums[order, 6], counts)
    assert got.points == len(voxels)
    for k in range(3):
        mean = np.bincount(inverse, points[:, k]) / counts - unpack_array(keys)[:, k] * size
        assert np.allclose(got.sums[order, k] / counts, mean, atol=1e-9)
        assert np.allclose(got.sums[order, 3 + k], np.bincount(inverse, colors[:, k]))


def test_a_depth_on_a_voxels_face_goes_where_division_puts_it():
    """Millimetres at the identity pose: every multiple of 5 cm lies on a face, where 1 / 0.05 would round wrong."""
    mm = np.arange(100, 5001, 1)
    depth = (mm.astype(np.float32) / np.float32(1000)).reshape(1, -1)
    camera = Camera(depth.shape[1], 1, 500.0, 500.0, 0.0, 0.0)
    frame = RGBDFrame(1, camera, np.eye(4), np.zeros((1, depth.shape[1], 3), np.uint8), depth)
    got = FrameHasher()(depth, None, camera, np.eye(4), 0.05, 0.1, 5.0)
    voxels, _, _ = brute_force([frame])
    assert set(got.keys.tolist()) == set(pack_array(voxels).tolist())


@pytest.mark.parametrize(("stride", "phase"), [(2, (0, 0)), (2, (1, 1)), (3, (2, 0))])
def test_stride_and_phase_choose_pixels(stride, phase):
    rng = np.random.default_rng(3)
    depth = rng.uniform(1, 4, (30, 40)).astype(np.float32)
    camera = Camera(40, 30, 30.0, 30.0, 20.0, 15.0)
    got = FrameHasher()(depth, None, camera, np.eye(4), 0.05, 0.1, 5.0, stride, phase)
    masked = np.full_like(depth, np.nan)
    masked[phase[0] :: stride, phase[1] :: stride] = depth[phase[0] :: stride, phase[1] :: stride]
    want = FrameHasher()(masked, None, camera, np.eye(4), 0.05, 0.1, 5.0)
    assert sorted(got.keys) == sorted(want.keys) and got.points == want.points


def test_the_map_of_real_frames_equals_brute_force(kitchen_frames):
    memory = SpatialMemory(MemoryConfig(carve=False))
    for frame in kitchen_frames:
        memory.integrate(frame)
    voxels, points, _ = brute_force(kitchen_frames)
    keys, inverse, counts = np.unique(pack_array(voxels), return_inverse=True, return_counts=True)
    rows = np.sort(memory.state.voxels.store.rows, order="key")
    assert len(memory) == len(keys)
    assert np.array_equal(rows["key"], keys)
    assert np.array_equal(rows["weight"], counts.astype(np.float32))
    mean = np.stack([np.bincount(inverse, points[:, k]) / counts for k in range(3)], axis=1)
    offsets = np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    assert np.allclose(unpack_array(keys) * 0.05 + offsets, mean, atol=2e-5)


def test_points_beyond_the_key_range_are_left_out():
    T = np.eye(4)
    T[0, 3] = 1e6
    memory = SpatialMemory()
    camera = Camera(8, 8, 8.0, 8.0, 4.0, 4.0)
    stats = memory.integrate(RGBDFrame(1, camera, T, None, np.full((8, 8), 2.0, np.float32)))
    assert stats.points == 0 and len(memory) == 0


def test_sightings_count_less_from_afar_and_with_few_points():
    keys = pack_array(np.array([[20, 0, 0], [80, 0, 0], [20, 0, 0]]))
    sums = np.zeros((3, 8))
    sums[:, 6] = [10, 10, 1]
    w = sighting_weights(FrameVoxels(keys, sums, 21), np.zeros(3), 0.05, 2.0, 4)
    assert w == pytest.approx([1.0, 0.25, 0.25])
