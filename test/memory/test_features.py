"""Feature rows: the codec bit by bit, pooling against numpy, what becomes of a freed voxel's row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera, matrix_from_quaternion
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.voxels import voxel_features as F
from embodied_nav.memory.voxels.keys import pack_array, unpack_array
from embodied_nav.memory.voxels.store import VoxelStore

CAMERA = Camera(48, 32, 40.0, 42.0, 23.1, 16.4)


def frame(seed, stamp=1):
    rng = np.random.default_rng(seed)
    depth = (1.5 + 0.5 * np.sin(np.arange(48) / 9)[None] * np.ones((32, 1))).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = np.nan
    T = matrix_from_quaternion([*(0.05 * rng.normal(size=3)), 1.0])
    T[:3, 3] = 0.1 * rng.normal(size=3)
    return RGBDFrame(stamp, CAMERA, T, rng.integers(0, 256, (32, 48, 3), dtype=np.uint8), depth)


def observed(f, grid, size=0.05):
    """{key: (feature, points)} of one frame by brute force: the patch under the pixel of the mean point."""
    v, u = np.nonzero((f.depth >= 0.1) & (f.depth <= 5.0))
    z = f.depth[v, u].astype(np.float64)
    p = np.stack([(u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z, z], axis=1)
    keys = pack_array(np.floor((p @ f.T_map_camera[:3, :3].T + f.T_map_camera[:3, 3]) / size))
    out = {}
    for key in np.unique(keys):
        mean = p[keys == key].mean(0)
        column = (CAMERA.fx * mean[0] / mean[2] + CAMERA.cx + 0.5) / 48 * grid.shape[1]
        row = (CAMERA.fy * mean[1] / mean[2] + CAMERA.cy + 0.5) / 32 * grid.shape[0]
        out[int(key)] = (grid[int(row), int(column)], int((keys == key).sum()), float(np.linalg.norm(mean)))
    return out


def to_bf16(x):
    """The nearest bf16 by arithmetic: 8 bits of mantissa, ties to even."""
    exponent = max(int(np.frexp(np.float64(x))[1]), -125)
    step = 2.0 ** (exponent - 8)
    value = np.rint(np.float64(x) / step) * step
    return np.inf * np.sign(x) if abs(value) >= 2.0**128 else value


@settings(max_examples=300)
@given(st.floats(width=32, allow_nan=False))
def test_the_codec_rounds_to_the_nearest_ties_to_even(x):
    with np.errstate(over="ignore"):
        bits = F.encode(np.array([x], np.float32))
    assert F.decode(bits)[0] == to_bf16(x)
    assert F._to_bf16(np.float32(x)) == bits[0]


def test_the_codec_keeps_nan_and_gives_back_every_bf16():
    assert np.isnan(F.decode(F.encode(np.array([np.nan, -np.nan], np.float32)))).all()
    bits = np.arange(1 << 16, dtype=np.uint16)
    numbers = bits[~np.isnan(F.decode(bits))]
    assert np.array_equal(F.encode(F.decode(numbers)), numbers)


@pytest.mark.parametrize(("kind", "tolerance"), [("f32", 1e-5), ("bf16", 0.03)])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_over_frames_equals_brute_force(kind, tolerance, pooling):
    config = MemoryConfig(feature_dim=12, feature_type=kind, feature_pooling=pooling, carve=False)
    memory, seen = SpatialMemory(config), {}
    rng = np.random.default_rng(5)
    for i in range(4):
        f, grid = frame(i), rng.normal(size=(5, 7, 12)).astype(np.float32)
        memory.integrate(f, grid)
        for key, (value, points, distance) in observed(f, grid).items():
            weight = min(1.0, points / 3) / max(1.0, (distance / 2.0) ** 2)
            seen.setdefault(key, []).append((value, weight))
    assert any(len(v) > 1 for v in seen.values())
    keys = np.array(sorted(seen))
    want = np.array([
        np.max([v for v, _ in seen[k]], axis=0) if pooling == "max"
        else np.average([v for v, _ in seen[k]], axis=0, weights=[w for _, w in seen[k]]) for k in keys
    ])  # fmt: skip
    got = memory.features((unpack_array(keys) + 0.5) * 0.05)
    # A mean on a patch's edge may fall to either side of it by rounding: hardly any does.
    off = np.abs(got - want).max(1) > tolerance * np.maximum(1, np.abs(want).max(1))
    assert off.mean() < 0.01
    weights = memory.state.voxels.store.feature_weights[memory.state.voxels.store.find(keys)]
    assert np.allclose(weights, [sum(w for _, w in seen[k]) for k in keys], rtol=1e-5)


def test_frames_without_features_leave_them_alone_and_voxels_without_have_none():
    memory = SpatialMemory(MemoryConfig(feature_dim=4, carve=False))
    memory.integrate(frame(1), np.ones((2, 2, 4), np.float32))
    before = memory.state.voxels.store.features.copy()
    memory.integrate(frame(2))
    assert np.array_equal(memory.state.voxels.store.features[: len(before)], before)
    assert len(memory) > len(before) and not memory.state.voxels.store.features[len(before) :].any()
    assert not memory.features(np.array([[9.0, 9.0, 9.0]])).any()


def test_the_voxels_are_the_same_with_and_without_features():
    plain, rich = SpatialMemory(), SpatialMemory(MemoryConfig(feature_dim=4))
    for i in range(3):
        plain.integrate(frame(i))
        rich.integrate(frame(i), np.ones((2, 3, 4), np.float32))
    assert np.array_equal(plain.state.voxels.store.rows, rich.state.voxels.store.rows)


def test_a_mean_can_be_taken_out_again():
    store = VoxelStore(1 << 14, feature_dim=8, feature_type="f32")
    rng = np.random.default_rng(0)
    rows = np.arange(5)
    first, second = rng.normal(size=(2, 5, 8)).astype(np.float32)
    weights = rng.uniform(0.2, 1, (2, 5)).astype(np.float32)
    patches = np.arange(5, dtype=np.int32)
    F.add(store, rows, patches, weights[0], first, "mean")
    F.add(store, rows, patches, weights[1], second, "mean")
    F.subtract(store, rows, patches, weights[0], first)
    assert np.allclose(store.feature_table[:5], second, atol=1e-5)
    F.subtract(store, rows, patches, weights[1], second)
    assert not store.feature_table[:5].any() and not store.arrays.feature_weight[:5].any()


@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_a_freed_row_comes_back_without_a_feature(kind):
    memory = SpatialMemory(MemoryConfig(feature_dim=4, feature_type=kind, carve_frames=1, max_evidence=1.0))
    near = RGBDFrame(1, CAMERA, np.eye(4), None, np.full((32, 48), 1.0, np.float32))
    depth = np.full((32, 48), 1.0, np.float32)
    depth[:, :24] = 3.0
    far = RGBDFrame(2, CAMERA, np.eye(4), None, depth)
    memory.integrate(near, np.ones((2, 2, 4), np.float32))
    made = len(memory.state.voxels.store.rows)
    stats = memory.integrate(far)
    assert stats.carved > 0
    weights = memory.state.voxels.store.feature_weights
    freed = memory.state.voxels.store.rows["key"] < 0
    assert not memory.state.voxels.store.features[freed].any() and not weights[freed].any()
    assert (weights[~freed] > 0).sum() == made - stats.carved


def test_features_that_do_not_fit_are_refused_before_anything_is_fused():
    memory = SpatialMemory(MemoryConfig(feature_dim=4))
    for bad in (np.ones((2, 2, 5)), np.ones((2, 4)), np.ones((0, 2, 4)), np.full((2, 2, 4), np.nan)):
        with pytest.raises(InputError, match="features are"):
            memory.integrate(frame(0), bad.astype(np.float32))
    with pytest.raises(InputError, match="feature_dim"):
        SpatialMemory().integrate(frame(0), np.ones((2, 2, 4), np.float32))
    assert len(memory) == 0 and memory.frames == 0
    assert SpatialMemory().features(np.zeros((2, 3))).shape == (2, 0)


def test_the_store_gives_and_takes_features_as_they_are():
    store = VoxelStore(1 << 14, feature_dim=3)
    from embodied_nav.memory.voxels.record import VOXEL

    keys = pack_array(np.array([[1, 2, 3], [4, 5, 6]]))
    bits = np.array([[1, 2, 3], [4, 5, 6]], np.uint16)
    store.insert(keys, np.zeros(2, VOXEL), bits, np.array([0.5, 2.0], np.float32))
    rows = store.find(keys)
    assert np.array_equal(store.features[rows], bits) and store.feature_weights[rows].tolist() == [0.5, 2.0]


# ---- features that come after their frames ----


def later(config=None, frames=3):
    """A memory of keyframes without features yet, their grids, and the same with the features given at once."""
    config = config or MemoryConfig(feature_dim=6, feature_type="f32", carve=False)
    late, at_once = SpatialMemory(config), SpatialMemory(config)
    grids = np.random.default_rng(3).normal(size=(frames, 4, 5, 6)).astype(np.float32)
    for i in range(frames):
        f = frame(i, stamp=1 + i)
        for memory, grid in ((late, None), (at_once, grids[i])):
            memory.add_keyframe(Keyframe(i, f, 1.0, 0, "test"))
            memory.integrate(f, grid)
    return late, at_once, grids


def features_of(memory):
    positions = memory.voxels().positions
    return memory.features(positions), positions


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_late_features_give_what_they_would_have_given_at_once(pooling):
    config = MemoryConfig(feature_dim=6, feature_type="f32", feature_pooling=pooling, carve=False)
    late, at_once, grids = later(config)
    given = [late.add_features(i, grids[i]) for i in (2, 0, 1)]
    assert min(given) > 100
    (got, places), (want, same_places) = features_of(late), features_of(at_once)
    assert np.array_equal(places, same_places) and np.abs(want).max() > 1
    assert np.allclose(got, want, atol=1e-5)


def test_late_features_are_taken_once_and_not_after_too_many_keyframes():
    config = MemoryConfig(feature_dim=6, keyframe_images=2, carve=False)
    late, _, grids = later(config)
    assert late.add_features(0, grids[0]) == 0 and late.add_features(1, grids[1]) > 0
    assert late.add_features(1, grids[1]) == 0


def test_late_features_do_not_take_the_images_that_wait_for_a_delta():
    late, _, grids = later()
    late.add_features(0, grids[0])
    assert set(late.state.images) == {0, 1, 2} and set(late.state.featureless) == {1, 2}


@pytest.mark.parametrize("when", ["before", "begun", "run", "after"])
def test_late_features_move_with_their_keyframe(when):
    """A loop closure moves a keyframe before, while or after its features come: they end where its voxels do."""
    late, at_once, grids = later(frames=2)
    T = late.keyframes[1].T_map_camera.copy()
    T[:3, 3] += [3.0, 0.0, 0.0]
    for i in (0, 1):
        if when == "before":
            late.add_features(i, grids[i])
    correction = late.begin_correction({1: T})
    if when == "begun":
        late.add_features(1, grids[1]), late.add_features(0, grids[0])
    correction.run()
    if when == "run":
        late.add_features(1, grids[1]), late.add_features(0, grids[0])
    late.apply(correction)
    if when == "after":
        late.add_features(1, grids[1]), late.add_features(0, grids[0])
    at_once.move_keyframes({1: T})
    at_once.rebuild_from_keyframes({}), late.rebuild_from_keyframes({})
    (got, places), (want, same_places) = features_of(late), features_of(at_once)
    assert np.array_equal(places, same_places)
    # The mean point of a voxel's pixels may fall into another one after the move: hardly any does.
    assert (np.abs(got - want).max(1) > 1e-3).mean() < 0.02 and np.abs(want).max() > 1


def test_a_file_that_is_being_written_gets_late_features_too(tmp_path):
    late, at_once, grids = later()
    writer = MemoryWriter(late, tmp_path / "m.db", 0.01)
    writer.flush()
    for i in range(3):
        late.add_features(i, grids[i])
    writer.close()
    again = SpatialMemory.load(tmp_path / "m.db")
    want, places = features_of(at_once)
    assert np.allclose(again.features(places), want, atol=1e-5) and np.abs(want).max() > 1
    again.rebuild_from_keyframes({})
    assert (np.abs(features_of(again)[0]).max(1) > 0).mean() > 0.95


def test_features_of_another_encoder_are_refused_by_a_file(tmp_path):
    one = MemoryConfig(feature_dim=6, feature_source="clip:a")
    memory = SpatialMemory(one)
    memory.integrate(frame(1), np.ones((2, 2, 6), np.float32))
    memory.save(tmp_path / "m.db")
    with pytest.raises(InputError, match="clip:a's, but dino:b is set"):
        SpatialMemory.load(tmp_path / "m.db", MemoryConfig(feature_dim=6, feature_source="dino:b"))
    with pytest.raises(InputError, match="feature_dim = 6, but feature_dim = 7"):
        SpatialMemory.load(tmp_path / "m.db", MemoryConfig(feature_dim=7))
    assert SpatialMemory.load(tmp_path / "m.db", MemoryConfig(feature_dim=6)).config.feature_source == "clip:a"


def test_features_that_fit_nothing_are_refused():
    late, _, grids = later()
    with pytest.raises(InputError, match="keyframe 9, which is not in the memory"):
        late.add_features(9, grids[0])
    with pytest.raises(InputError, match=r"expected \(rows, columns, 6\)"):
        late.add_features(0, grids[0][..., :3])
    with pytest.raises(InputError, match="holds no features"):
        memory = SpatialMemory()
        memory.add_keyframe(Keyframe(0, frame(0), 1.0, 0, "test"))
        memory.add_features(0, grids[0])
    assert late.add_features(0, grids[0]) > 0
