"""Search by feature, box and view, packing: each against brute force."""

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera, invert, matrix_from_quaternion
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.query.answering import Frustum
from embodied_nav.memory.query.retrieval import SearchIndex, keyframes_showing, rows_in_box, rows_in_view, search
from embodied_nav.memory.voxels import voxel_features as F
from embodied_nav.memory.voxels.packing import POINT, columns, pack_points
from embodied_nav.memory.voxels.store import VoxelStore

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)


def filled(voxels, dim, seed=0, **options):
    """A store of N x 3 voxels with random features, every tenth without one."""
    from embodied_nav.memory.voxels.keys import pack_array
    from embodied_nav.memory.voxels.record import VOXEL

    rng, store = np.random.default_rng(seed), VoxelStore(1 << 16, feature_dim=dim, **options)
    records = np.zeros(len(voxels), VOXEL)
    records["p"] = rng.uniform(0, 0.05, (len(voxels), 3))
    records["rgb"], records["weight"] = rng.uniform(0, 255, (len(voxels), 3)), rng.integers(1, 99, len(voxels))
    records["class_a"] = records["votes_a"] = records["votes"] = rng.integers(0, 5, len(voxels))
    features = rng.normal(size=(len(voxels), dim)).astype(np.float32)
    weights = np.where(np.arange(len(voxels)) % 10 == 9, 0, 1).astype(np.float32)
    features[weights == 0] = 0
    stored = features if options.get("feature_type") == "f32" else F.encode(features)
    store.insert(pack_array(voxels), records, stored, weights)
    return store


def random_voxels(n, seed=0):
    return np.unique(np.random.default_rng(seed).integers(-60, 60, (n, 3)), axis=0)


def centroids(store):
    from embodied_nav.memory.voxels.keys import unpack_array

    r = store.rows
    return unpack_array(r["key"]) * 0.05 + np.stack([r["x"], r["y"], r["z"]], axis=1)


def exact(store, feature):
    f = F.decode(store.features).astype(np.float64)
    length = np.linalg.norm(f, axis=1)
    return np.where(length > 0, f @ feature / np.maximum(length, 1e-30) / np.linalg.norm(feature), -np.inf)


@pytest.mark.parametrize("kind", ["bf16", "f32"])
@pytest.mark.parametrize("dim", [7, 64, 384])
def test_search_finds_what_brute_force_finds(kind, dim):
    store = filled(random_voxels(20_000), dim, feature_type=kind)
    rng, index, found = np.random.default_rng(1), SearchIndex(), 0
    for _ in range(10):
        feature = rng.normal(size=dim).astype(np.float32)
        scores = exact(store, feature)
        want = np.argsort(-scores, kind="stable")[:50]
        rows, cosines = search(store, feature, 50, index)
        assert np.allclose(cosines, scores[rows], atol=1e-5) and (np.diff(cosines) <= 0).all()
        found += len(np.intersect1d(rows, want))
        rows, cosines = search(store, feature, 50, None)
        assert np.allclose(cosines, scores[want], atol=1e-5)
    assert found >= 0.99 * 500


def test_search_among_some_rows_gives_the_best_of_these():
    store = filled(random_voxels(5000), 32)
    feature = np.random.default_rng(2).normal(size=32)
    some = np.arange(0, 4000, 3)
    rows, _ = search(store, feature, 10, SearchIndex(), some)
    among = some[np.argsort(-exact(store, feature)[some])][:10]
    assert set(rows) == set(among)


def test_the_index_follows_what_changes_and_forgets_what_is_gone():
    rng = np.random.default_rng(3)
    memory = SpatialMemory(MemoryConfig(feature_dim=16, carve_frames=1, max_evidence=1.0))
    index = SearchIndex()
    depth = np.full((48, 64), 1.5, np.float32)
    for i in range(6):
        if i == 4:
            depth[:, :40] = 3.0  # what stood there is carved
        memory.integrate(RGBDFrame(i + 1, CAMERA, np.eye(4), None, depth), rng.normal(size=(6, 8, 16)).astype("f4"))
        feature = rng.normal(size=16)
        scores = np.where(
            memory.state.voxels.store.feature_weights > 0, exact(memory.state.voxels.store, feature), -np.inf
        )
        rows, cosines = search(memory.state.voxels.store, feature, 20, index)
        assert np.allclose(cosines, np.sort(scores)[::-1][:20], atol=1e-5)
        assert (memory.state.voxels.store.rows["key"][rows] >= 0).all()
    memory.clear()
    assert len(memory.search(feature, 5).scores) == 0


def test_search_gives_positions_scores_and_the_keyframe_to_look_at():
    memory = SpatialMemory(MemoryConfig(feature_dim=8))
    rng = np.random.default_rng(0)
    target = rng.normal(size=8).astype(np.float32)
    for i, yaw in enumerate((0.0, np.pi)):
        T = np.eye(4)
        T[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        frame = RGBDFrame(i + 1, CAMERA, T, None, np.full((48, 64), 2.0, np.float32))
        grid = rng.normal(size=(6, 8, 8)).astype(np.float32)
        if i == 1:
            grid[2, 3] = target
        memory.add_keyframe(Keyframe(i, frame, 1.0, 0, "first"))
        memory.integrate(frame, grid)
    memory.add_keyframe(Keyframe(2, frame, 1.0, 0, "overlap"))
    found = memory.search(target, 3)
    assert (found.scores > 0.99).all() and (found.positions[:, 2] < -1.5).all() and (found.keyframes == 1).all()
    ahead = memory.search(target, 3, box=(np.array([-2, -2, 1.0]), np.array([2, 2, 3.0])))
    assert (ahead.positions[:, 2] > 1.5).all() and (ahead.keyframes == 0).all() and (ahead.scores < 0.99).all()
    seen = memory.search(target, 3, frustum=Frustum(CAMERA, np.eye(4)))
    assert np.array_equal(seen.positions, ahead.positions)
    behind = keyframes_showing(np.array([[0, 0, 2.5], [0, 0, -2.0], [9.0, 0, 2]]), memory.state.content.clouds, 7.5)
    assert behind.tolist() == [-1, 1, -1]


@pytest.mark.parametrize(
    ("feature", "match"), [(np.ones(5), "components"), (np.zeros(8), "zero"), (np.full(8, np.nan), "finite")]
)
def test_a_feature_that_does_not_fit_is_refused(feature, match):
    with pytest.raises(InputError, match=match):
        SpatialMemory(MemoryConfig(feature_dim=8)).search(feature)
    with pytest.raises(InputError, match="holds no features"):
        SpatialMemory().search(feature)


def test_rows_in_a_box_are_those_with_their_centroid_inside():
    store, rng = filled(random_voxels(20_000), 0), np.random.default_rng(4)
    points = centroids(store).astype(np.float32)
    for _ in range(20):
        low = rng.uniform(-3, 2, 3)
        high = low + rng.uniform(0, 2, 3)
        want = np.flatnonzero(((points >= low) & (points <= high)).all(1))
        assert np.array_equal(rows_in_box(store, low, high, 0.05), want)
    assert len(rows_in_box(store, np.full(3, -9), np.full(3, 9), 0.05)) == len(store)


def test_rows_in_view_are_those_whose_middle_projects_into_the_image():
    from embodied_nav.memory.voxels.keys import unpack_array

    store, rng = filled(random_voxels(20_000), 0), np.random.default_rng(5)
    middles = (unpack_array(store.rows["key"]) + 0.5) * 0.05
    for _ in range(20):
        T = matrix_from_quaternion(rng.normal(size=4))
        T[:3, 3] = rng.uniform(-2, 2, 3)
        p = middles @ invert(T)[:3, :3].T + invert(T)[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = p[:, 0] / p[:, 2] * 50 + 31.5, p[:, 1] / p[:, 2] * 50 + 23.5
        want = (p[:, 2] > 0) & (p[:, 2] <= 2.5) & (u >= -0.5) & (u < 63.5) & (v >= -0.5) & (v < 47.5)
        got = rows_in_view(store, Frustum(CAMERA, T, 2.5), 0.05)
        assert want.sum() > 50 and np.array_equal(np.sort(got), np.flatnonzero(want))


def test_columns_give_what_the_rows_hold():
    store = filled(random_voxels(3000), 0)
    rows = np.random.default_rng(0).permutation(len(store))[:1000]
    positions, colors, weights, labels, last_seen = columns(store, rows, 0.05)
    r = store.rows[rows]
    assert np.allclose(positions, centroids(store)[rows], atol=1e-6) and positions.dtype == np.float32
    assert np.array_equal(colors, np.rint(np.stack([r["r"], r["g"], r["b"]], 1)))
    assert np.array_equal(weights, r["weight"]) and np.array_equal(last_seen, r["last_seen"])
    assert np.array_equal(labels, store.arrays.labels[rows])


def test_points_are_packed_as_they_are_given():
    rng = np.random.default_rng(0)
    positions, colors = rng.normal(size=(9, 3)), rng.integers(0, 256, (9, 3), dtype=np.uint8)
    points = pack_points(positions, colors, np.arange(9), np.arange(9) / 2)
    assert np.array_equal(points["y"], positions[:, 1].astype(np.float32))
    assert (
        pack_points(positions, colors, np.arange(9), np.arange(9) / 2, np.zeros(9, POINT)).tobytes() == points.tobytes()
    )
    bgr = points["rgb"].copy().view(np.uint8).reshape(9, 4)
    assert np.array_equal(bgr[:, 2::-1], colors) and not bgr[:, 3].any()
    assert points["label"].tolist() == list(range(9)) and points["weight"].tolist() == [i / 2 for i in range(9)]
