"""The bound in MB: kept at all times, what leaves and what stays, what comes back."""

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.submaps.correction import records
from embodied_nav.memory.voxels import eviction
from embodied_nav.memory.voxels.eviction import Swapper, restore
from embodied_nav.memory.voxels.fusion import FrameVoxels, upsert
from embodied_nav.memory.voxels.keys import block_key, pack_array, unpack_array
from embodied_nav.memory.voxels.record import VOXEL
from embodied_nav.memory.voxels.store import BLOCK_BYTES, ROW_BYTES, VoxelStore, find_block, table_bits
from embodied_nav.memory.voxels.swap_file import voxel_keys

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)


def put(store, voxels, stamp=5, weight=1.0):
    k = pack_array(np.array(voxels, np.int64).reshape(-1, 3))
    sums = np.zeros((len(k), 8))
    sums[:, 6] = weight
    return upsert(store, FrameVoxels(k, sums, len(k)), np.ones(len(k), np.float32), np.array([stamp]), 6.0, 1.0)


def cube(x, y, z, side=8):
    return np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3) + 8 * np.array([x, y, z])


def looking(x, stamp, yaw=1.0):
    """A frame at x that looks along +-y at a wall 2 m away, its texture and relief fixed in the world."""
    T = np.eye(4)
    T[:3, :3] = np.array([[yaw, 0, 0], [0, 0, yaw], [0, -1, 0]])
    T[0, 3] = x
    u, _ = CAMERA.width, CAMERA.height
    along = x + yaw * (np.arange(u) - CAMERA.cx) / CAMERA.fx * 2
    depth = np.repeat((2.0 + 0.3 * np.sin(3 * along))[None], CAMERA.height, 0).astype(np.float32)
    color = np.repeat((127 + 120 * np.sin(along))[None, :, None], CAMERA.height, 0).repeat(3, 2).astype(np.uint8)
    return RGBDFrame(stamp, CAMERA, T, color, depth)


def in_memory(store):
    """Of the voxels in a store: keys, VOXEL records, features, their weights, labels."""
    rows = np.flatnonzero(store.rows["key"] >= 0)
    r, voxels = store.rows[rows], np.zeros(len(rows), VOXEL)
    voxels["slot"] = (unpack_array(r["key"]) % 8) @ [64, 8, 1]
    voxels["p"] = np.stack([r[k] for k in "xyz"], 1)
    voxels["rgb"] = np.stack([r[k] for k in "rgb"], 1)
    for name in set(VOXEL.names) - {"slot", "p", "rgb", "object"}:
        voxels[name] = r[name]
    voxels["object"] = store.arrays.owner[rows]
    dim = store.feature_dim
    weights = store.arrays.feature_weight[rows] if dim else np.zeros(len(rows), np.float32)
    features = store.feature_table[rows] if dim else np.zeros((len(rows), 0), np.uint16)
    return r["key"], voxels, features, weights, store.arrays.labels[rows]


def content(memory):
    """{key: all fields} of the voxels in memory and on disk."""
    parts = [in_memory(memory.state.voxels.store)[:4]]
    if memory.state.voxels.swapper is not None:
        parts += [(voxel_keys(p), p.voxels, p.features, p.weights) for p in memory.state.voxels.swapper.swapped()]
    out = {}
    for part in parts:
        for key, voxel, feature, weight in zip(*part, strict=True):
            assert int(key) not in out
            out[int(key)] = (voxel.tobytes(), feature.tobytes(), float(weight))
    return out


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.tuples(*[st.integers(-3, 3)] * 3)), max_size=60))
def test_the_table_finds_what_is_there_however_blocks_come_and_go(operations):
    store, truth = VoxelStore(1 << 14, table_bits=3), set()
    for kind, b in operations:
        keys = pack_array(cube(*b, side=2))
        block = find_block(store.arrays, block_key(int(keys[0])), table_bits(store.arrays))
        if kind:
            put(store, cube(*b, side=2))
            truth.add(b)
        elif block >= 0:
            store.remove_blocks(np.array([block]))
            truth.discard(b)
    want = np.sort(pack_array(np.concatenate([np.zeros((0, 3), int)] + [cube(*b, side=2) for b in truth])))
    assert np.array_equal(np.sort(store.rows["key"][store.rows["key"] >= 0]), want)
    assert (store.find(want) >= 0).all() and len(store) == len(want)
    assert (store.probe_lengths() < 16).all() and len(store.probe_lengths()) == len(truth)


def test_memory_a_voxel_is_what_the_documentation_says():
    assert ROW_BYTES == 74 and BLOCK_BYTES == 2136
    for dim, kind, size in ((0, "bf16", 74), (64, "bf16", 206), (384, "bf16", 846), (384, "f32", 1614)):
        store = VoxelStore(1 << 16, feature_dim=dim, feature_type=kind)
        assert store.row_bytes == size
        empty = store.nbytes
        put(store, cube(0, 0, 0))
        assert store.nbytes == empty + 512 * size + BLOCK_BYTES


def test_the_process_takes_what_the_store_says():
    import psutil

    before = psutil.Process().memory_info().rss
    store = VoxelStore(1 << 20, feature_dim=64)
    for x in range(100):
        put(store, cube(x, 0, 0))
    store.features[:] = 1
    taken = psutil.Process().memory_info().rss - before
    assert taken < store.nbytes * 1.1 + (4 << 20)


def test_far_old_and_light_blocks_leave_first_and_labelled_ones_last():
    store = VoxelStore(1 << 16, max_bytes=1 << 22)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    minute = 60 * 10**9
    places = {"near": (0, 0, 0), "old": (20, 0, 0), "fresh": (20, 4, 0), "heavy": (20, 8, 0), "far": (60, 0, 0),
              "labelled": (60, 8, 0)}  # fmt: skip
    for name, place in places.items():
        put(store, cube(*place), minute if name == "old" else 2 * minute, 100.0 if name == "heavy" else 1.0)
    labelled = store.find(pack_array(cube(*places["labelled"])[:1]))
    store.arrays.labels[labelled] = 3
    key_of = {name: block_key(int(pack_array(cube(*p)[:1])[0])) for name, p in places.items()}
    left = []
    while len(left) < 5:
        before = swapper.voxels
        room = eviction._Room(0, int(store.arrays.counts[6]) + 10**4, np.zeros(3), 2 * minute)
        swapper._evict(room, 1.5, most=1)
        there = {p.key for p in swapper.swapped()}
        left += [n for n in places if n not in left and key_of[n] in there]
        assert swapper.voxels == before + 512
    assert left == ["far", "old", "fresh", "heavy", "labelled"]
    swapper._evict(room, 1.5)
    assert swapper.voxels == 5 * 512 and (store.find(pack_array(cube(*places["near"]))) >= 0).all()


@pytest.mark.parametrize("dim", [0, 16])
def test_the_bound_holds_on_a_long_drive_and_everything_is_the_same_after_the_return(dim):
    """There and back along a wall of 60 m, under a bound that a third of it fills; against a memory without a bound."""
    settings = {"feature_dim": dim, "max_depth": 3.0, "carve": False}
    bounded = SpatialMemory(MemoryConfig(max_mb=3.0 if dim else 2.0, **settings))
    free = SpatialMemory(MemoryConfig(**settings))
    drive = np.concatenate([np.arange(0, 60, 0.4), np.arange(60, 0, -0.4)])
    most_on_disk = 0
    for i, x in enumerate(drive):
        frame = looking(x, i + 1)
        grid = np.random.default_rng(i).normal(size=(3, 4, dim)).astype(np.float32) if dim else None
        bounded.integrate(frame, grid)
        free.integrate(frame, grid)
        assert bounded.state.voxels.store.nbytes <= bounded.config.max_mb * 1e6
        most_on_disk = max(most_on_disk, bounded.state.voxels.swapper.voxels)
    assert free.state.voxels.store.nbytes > 2 * bounded.state.voxels.store.nbytes and most_on_disk > len(free) // 3
    assert bounded.state.voxels.store.arrays.counts[5] == 0  # refused
    assert content(bounded) == content(free)
    bounded.state.voxels.recount_obstacles()
    free.state.voxels.recount_obstacles()
    assert np.array_equal(bounded.occupancy().data, free.occupancy().data)
    start = free.voxels((np.array([-1.0, 1, -1]), np.array([1.0, 3, 1])))
    back = bounded.voxels((np.array([-1.0, 1, -1]), np.array([1.0, 3, 1])))
    assert len(start) > 500 and len(back) == len(start)


def test_blocks_ahead_come_back_before_a_frame_touches_them():
    memory = SpatialMemory(MemoryConfig(max_mb=2.0, max_depth=3.0, carve=False))
    drive = np.concatenate([np.arange(0, 60, 0.4), np.arange(60, 0, -0.4)])
    bring, at_once, ahead = memory.state.voxels.swapper.bring, [], []

    def watched(*given):
        before = memory.state.voxels.swapper.voxels
        back = bring(*given)
        at_once.append(before - memory.state.voxels.swapper.voxels)
        return back

    memory.state.voxels.swapper.bring = watched
    for i, x in enumerate(drive):
        before = memory.state.voxels.swapper.voxels
        memory.integrate(looking(x, i + 1))
        ahead.append(before - memory.state.voxels.swapper.voxels)
    assert max(ahead) > 100 and memory.state.voxels.swapper.voxels > 0
    assert not any(at_once)


@pytest.mark.parametrize(("dim", "megabytes"), [(0, 2.0), (16, 3.0)])
def test_no_frame_of_a_steady_drive_moves_much(dim, megabytes, monkeypatch):
    """What comes and leaves is spread over the frames, and each finds its room there already."""
    step = 60_000
    monkeypatch.setattr(eviction, "_STEP", step)
    memory = SpatialMemory(MemoryConfig(max_mb=megabytes, max_depth=3.0, carve=False, feature_dim=dim))
    moved, waits = {"pop": [], "put": []}, []
    for name in moved:
        real = getattr(memory.state.voxels.swapper._file, name)

        def counted(given, name=name, real=real):
            out = real(given)
            records = out if name == "pop" else given.records
            moved[name][-1] += len(records) * memory.state.voxels.store.row_bytes
            return out

        monkeypatch.setattr(memory.state.voxels.swapper._file, name, counted)
    make_room = memory.state.voxels.swapper._make_room

    def waited(room):
        waits.append(not memory.state.voxels.store.room_for(room.rows, room.blocks))
        return make_room(room)

    monkeypatch.setattr(memory.state.voxels.swapper, "_make_room", waited)
    grid = np.ones((3, 4, dim), np.float32) if dim else None
    new = []
    for i, x in enumerate(np.concatenate([np.arange(0, 60, 0.2), np.arange(60, 0, -0.2)])):
        for counts in moved.values():
            counts.append(0)
        stats = memory.integrate(looking(x, i + 1), grid)
        assert stats.refused == 0
        new.append(stats.new_voxels * memory.state.voxels.store.row_bytes)
    block = 512 * memory.state.voxels.store.row_bytes
    assert sum(moved["put"]) > 20 * step and sum(moved["pop"]) > 20 * step
    assert max(moved["pop"]) <= step + block
    assert max(moved["put"]) <= 2 * step + 2 * block + max(new[1:])
    assert sum(waits) < len(new) // 20


@pytest.mark.parametrize(("dim", "kind"), [(0, "bf16"), (3, "bf16"), (5, "f32")])
@settings(max_examples=15)
@given(data=st.data())
def test_blocks_come_back_bit_by_bit_however_often_they_leave(dim, kind, data):
    store = VoxelStore(1 << 14, feature_dim=dim, feature_type=kind, max_bytes=1 << 22)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    places = np.unique(rng.integers(-12, 12, (400, 3)), axis=0)
    keys = pack_array(places)
    voxels = np.frombuffer(rng.integers(0, 255, len(keys) * VOXEL.itemsize, np.uint8).tobytes(), VOXEL).copy()
    voxels["slot"] = (places % 8) @ [64, 8, 1]
    features = np.frombuffer(rng.bytes(len(keys) * dim * store.feature_table.itemsize), store.feature_table.dtype)
    store.insert(keys, voxels, features.reshape(len(keys), dim), rng.random(len(keys)).astype(np.float32))

    def everything():
        key, *rest = in_memory(store)
        order = np.argsort(key)
        return [a[order].tobytes() for a in (key, *rest)]

    want = everything()
    for _ in range(data.draw(st.integers(1, 4))):
        live = np.flatnonzero(store.arrays.block_live[: store.blocks])
        chosen = data.draw(st.lists(st.sampled_from(live.tolist()), unique=True)) if len(live) else []
        gone = int(store.arrays.block_live[chosen].sum())
        assert swapper._swap_out(np.array(chosen, np.int64)) and len(store) + swapper.voxels == len(keys)
        assert swapper.voxels >= gone
        back = keys[rng.random(len(keys)) < 0.02]
        swapper.bring(back)
        assert (store.find(back) >= 0).all()
    swapper.bring(keys)
    assert swapper.voxels == 0 and not swapper.away and not swapper._file.regions
    assert everything() == want


def test_of_what_is_near_as_much_comes_back_as_there_is_room_for():
    store = VoxelStore(1 << 16, max_bytes=250_000)
    swapper = Swapper(store, 0.05, 10.0, lambda n: n)
    for x in range(3):
        put(store, cube(x, 0, 0))
    swapper._swap_out(np.arange(3))
    here, x = np.zeros(3), 3
    while store.room_for(1024, 2):
        put(store, cube(x, 0, 0))
        x += 1
    assert store.room_for(512, 1)
    swapper.prepare(np.zeros(0, np.int64), here, 2)
    assert swapper.voxels == 1024 and not store.room_for(512, 1)


def test_what_a_frame_touches_does_not_leave_for_it():
    """Not even where it is farther than frames reach."""
    store = VoxelStore(1 << 16, max_bytes=250_000)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    for x in range(0, 60, 6):
        keys = pack_array(cube(x, 0, 0))
        swapper.prepare(keys, np.array([1e3, 0, 0]), 1)
        put(store, cube(x, 0, 0))
    assert swapper.voxels > 4 * 512
    for x in range(0, 60, 12):
        touched = pack_array(np.concatenate([cube(x, 0, 0), cube((x + 30) % 60, 0, 0), cube(x, 1, 0)]))
        swapper.prepare(touched, np.array([1e3, 0, 0]), 2)
        there = store.find(touched) >= 0
        assert there[:1024].all() and store.room_for(512, 1)


def test_room_is_made_ahead_in_steps_while_nothing_needs_it(monkeypatch):
    step = 60_000
    monkeypatch.setattr(eviction, "_STEP", step)
    store = VoxelStore(1 << 16, max_bytes=4_000_000)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    x, size = 0, 512 * store.row_bytes + BLOCK_BYTES
    while store.room_for(512, 1):
        put(store, cube(x, 0, 0))
        x += 1
    left = []
    while not left or left[-1]:
        before = swapper.voxels
        swapper.prepare(np.zeros(0, np.int64), np.array([1e3, 0, 0]), 2)
        left.append((swapper.voxels - before) // 512 * size)
    assert len(left) > 3 and max(left) <= step + size
    assert 4_000_000 / 16 - size <= sum(left) <= 4_000_000 / 16 + size


def test_regions_around_are_the_same_whether_few_or_many_are_on_disk():
    store = VoxelStore(1 << 10, max_bytes=1 << 20)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    corners = np.stack(np.meshgrid(*[np.arange(-8, 8) * 32] * 3, indexing="ij"), -1).reshape(-1, 3)
    regions = eviction.regions_of_blocks(eviction.blocks_of_keys(pack_array(corners)))
    assert len(np.unique(regions)) == 16**3
    for position in np.random.default_rng(1).uniform(-11, 11, (10, 3)):
        swapper._file.regions = dict.fromkeys(regions.tolist(), 1)
        many = swapper._regions_around(position)
        gaps = np.linalg.norm(
            np.maximum(np.maximum(corners * 0.05 - position, position - corners * 0.05 - 1.6), 0), axis=1
        )
        assert sorted(r for _, r in many) == sorted(regions[gaps <= 1.5].tolist())
        assert np.allclose(sorted(gaps[gaps <= 1.5]), [d for d, _ in many])
        swapper._file.regions = {r: 1 for _, r in many[::2]}
        assert swapper._regions_around(position) == many[::2]


def test_objects_whose_voxels_are_on_disk_stay_known():
    from embodied_nav.frames import Keyframe, ObjectObservation, SemanticDelta

    memory = SpatialMemory(MemoryConfig(max_mb=1.0, max_depth=3.0, carve=False))
    memory.integrate(looking(0.0, 1))
    memory.add_keyframe(Keyframe(0, looking(0.0, 1), 1.0, 0, "first"))
    seen = (ObjectObservation("shelf", "red", 1.0, np.array([0.0, 2.0, 0.0]), np.array([1.0, 1.0, 1.0])),)
    memory.add_delta(SemanticDelta(0, -1, 1, "test", "", seen, segments=np.ones((48, 64), np.uint16)))
    before = memory.objects()
    assert len(before) == 1
    for i in range(150):
        memory.integrate(looking(10 + 0.4 * i, i + 2))
        memory.state.objects.touch(np.array([1]))
        assert [o.id for o in memory.objects()] == [before[0].id]
    assert memory.state.voxels.swapper.away
    for i in range(40):
        memory.integrate(looking(10 - 0.25 * i, 200 + i))
    assert not memory.state.voxels.swapper.away
    after = memory.objects()
    assert [o.id for o in after] == [before[0].id] and after[0].voxels >= before[0].voxels


def test_a_frame_too_large_for_the_bound_is_refused_in_part_and_counted():
    memory = SpatialMemory(MemoryConfig(max_mb=1.0, feature_dim=1024, feature_type="f32"))
    stats = memory.integrate(looking(0.0, 1))
    assert stats.refused > 0 and stats.new_voxels > 0
    assert memory.state.voxels.store.nbytes <= 1e6


def test_a_block_seen_anew_while_it_is_on_disk_becomes_one_again():
    store = VoxelStore(1 << 16, max_bytes=1 << 20)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    keys = pack_array(cube(0, 0, 0))
    put(store, cube(0, 0, 0), weight=1.0)
    swapper._swap_out(np.array([0]))
    put(store, cube(0, 0, 0)[:100], weight=5.0)
    swapper._swap_out(np.flatnonzero(store.arrays.block_live[: store.blocks]))
    assert swapper.voxels == 512 and len(store) == 0
    put(store, cube(0, 0, 0)[:50], weight=9.0)
    swapper.bring(keys)
    assert swapper.voxels == 0 and len(store) == 512
    assert store.rows["weight"][store.find(keys)].tolist() == [9.0] * 50 + [5.0] * 50 + [1.0] * 412


def test_a_block_seen_anew_that_a_full_disk_does_not_take_loses_nothing():
    store = VoxelStore(1 << 16, max_bytes=1 << 20)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n)
    put(store, cube(0, 0, 0), weight=1.0)
    assert swapper._swap_out(np.array([0]))
    put(store, cube(0, 0, 0)[:100], weight=5.0)
    real = swapper._file._db

    class Full:
        def __getattr__(self, name):
            return getattr(real, name)

        def executemany(self, text, values):
            if text.startswith("REPLACE"):
                raise sqlite3.OperationalError("database or disk is full")
            return real.executemany(text, values)

    swapper._file._db = Full()
    live = np.flatnonzero(store.arrays.block_live[: store.blocks])
    assert not swapper._swap_out(live) and "full" in swapper.problem
    assert swapper.voxels == 512 and len(store) == 100
    swapper._file._db = real
    assert swapper._swap_out(live) and swapper.voxels == 512 and not swapper.problem
    swapper.bring(pack_array(cube(0, 0, 0)))
    rows = store.find(pack_array(cube(0, 0, 0)))
    assert store.rows["weight"][rows].tolist() == [5.0] * 100 + [1.0] * 412


def test_a_disk_that_takes_nothing_more_refuses_voxels_and_says_why():
    memory = SpatialMemory(MemoryConfig(max_mb=1.0, max_depth=3.0, carve=False))
    for i in range(10):
        memory.integrate(looking(0.4 * i, i + 1))
    real = memory.state.voxels.swapper._file._db

    class Full:
        in_transaction = False

        def execute(self, text, *values):
            return real.execute(text, *values) if text.startswith("SELECT") else None

        def executemany(self, *_):
            raise sqlite3.OperationalError("database or disk is full")

    memory.state.voxels.swapper._file._db = Full()
    before, refused = content(memory), 0
    for i in range(60):
        refused += memory.integrate(looking(4 + 0.4 * i, i + 20)).refused
        assert memory.state.voxels.store.nbytes <= 1e6
    assert refused > 0 and "full" in memory.state.voxels.swapper.problem and before.keys() <= content(memory).keys()
    memory.state.voxels.swapper._file._db = real
    assert memory.integrate(looking(40.0, 100)).refused == 0 and not memory.state.voxels.swapper.problem


def test_a_memory_larger_than_the_bound_is_restored_partly_to_disk():
    voxels = np.concatenate([cube(x, 0, 0) for x in range(60)])
    records = np.zeros(len(voxels), VOXEL)
    keys = pack_array(voxels)
    records["slot"] = (voxels % 8) @ [64, 8, 1]
    records["weight"] = 1 + np.arange(len(voxels))
    order = np.random.default_rng(0).permutation(len(voxels))
    store = VoxelStore(1 << 16, max_bytes=1 << 20)
    swapper = Swapper(store, 0.05, 2.0, lambda n: n)
    restore(swapper, keys[order], records[order])
    assert store.nbytes <= 1 << 20 and len(store) + swapper.voxels == len(keys) and swapper.voxels > 10000
    weights = {
        int(k): float(v["weight"]) for p in swapper.swapped() for k, v in zip(voxel_keys(p), p.voxels, strict=True)
    }
    rows = store.rows[store.rows["key"] >= 0]
    weights.update(zip(rows["key"].tolist(), rows["weight"].tolist(), strict=True))
    assert weights == dict(zip(keys.tolist(), records["weight"].tolist(), strict=True))
    assert (unpack_array(rows["key"])[:, 1:] < 8).all()


def test_the_scratch_file_leaves_nothing_behind_however_the_process_ends(tmp_path):
    store = VoxelStore(1 << 16, max_bytes=1 << 20)
    swapper = Swapper(store, 0.05, 1.0, lambda n: n, tmp_path)
    put(store, np.concatenate([cube(x, 0, 0) for x in range(15)]))
    swapper._swap_out(np.arange(15))
    assert len(store) == 0 and swapper.voxels == 15 * 512
    opened = [str(Path(f"/proc/self/fd/{n}").resolve()) for n in os.listdir("/proc/self/fd")]
    assert any(str(tmp_path) in name for name in opened) and not any(tmp_path.iterdir())
    swapper.bring(pack_array(cube(0, 0, 0)))
    assert (store.find(pack_array(cube(0, 0, 0))) >= 0).all()
    swapper.close()


def test_what_leaves_before_its_turn_to_be_written_is_written_from_the_disk():
    from embodied_nav.memory.file.snapshot import Written, take_snapshot

    memory, there, written = SpatialMemory(MemoryConfig(max_mb=2.0, max_depth=3.0, carve=False)), Written(), {}
    for i in range(150):
        memory.integrate(looking(0.4 * i, i + 1))
        # Far less than what comes in, and at last everything.
        snapshot = take_snapshot(memory.state, there, 200 if i < 149 else None)
        there = snapshot.after
        if snapshot.blocks is not None:
            written.update(zip(snapshot.blocks.keys.tolist(), snapshot.blocks.counts.tolist(), strict=True))
        written.update((page.key, len(page.voxels)) for page in snapshot.swapped)
    keys, counts = np.unique([block_key(k) for k in content(memory)], return_counts=True)
    assert memory.state.voxels.swapper.voxels > len(memory) and there.whole
    assert written == dict(zip(keys.tolist(), counts.tolist(), strict=True))


def test_a_corrected_map_with_features_comes_back_from_its_file(walk_frames, tmp_path):
    """Of a bounded memory: what was put on disk in a correction is written and read voxel by voxel."""
    config = MemoryConfig(max_mb=1.0, feature_dim=4)
    memory, rng = SpatialMemory(config), np.random.default_rng(0)
    for k, f in enumerate(walk_frames):
        if k % 10 == 0:
            memory.add_keyframe(Keyframe(k // 10, f, 0.5, 0, "overlap"))
        memory.integrate(f, rng.normal(size=(6, 8, 4)).astype(np.float32))
    memory.rebuild_from_keyframes({})
    assert memory.state.voxels.swapper.voxels > 0
    memory.save(tmp_path / "memory.db")
    again = SpatialMemory.load(tmp_path / "memory.db", config)

    def content(m):
        parts = [(voxel_keys(p), p.voxels, p.features, p.weights) for p in m.state.voxels.swapper.swapped()]
        rows = np.flatnonzero(m.state.voxels.store.rows["key"] >= 0)
        keys, _, features, weights = records(m.state.voxels.store)
        parts.append((keys, m.state.voxels.store.rows[rows], features, weights))
        return {
            int(k): (f.tobytes(), float(w)) for key, _, fs, ws in parts for k, f, w in zip(key, fs, ws, strict=True)
        }

    assert content(memory) == content(again)


def test_a_disk_that_is_full_in_a_correction_leaves_a_map_that_goes_on(walk_frames, monkeypatch):
    memory = SpatialMemory(MemoryConfig(max_mb=1.0))
    for k, f in enumerate(walk_frames):
        if k % 10 == 0:
            memory.add_keyframe(Keyframe(k // 10, f, 0.5, 0, "overlap"))
        memory.integrate(f)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory.state.voxels.swapper), "put", full)
        memory.rebuild_from_keyframes({})
    assert "full" in memory.state.voxels.swapper.problem and len(memory) > 0 and memory.corrections == 1
    memory.rebuild_from_keyframes({})
    assert len(memory.state.voxels) > len(memory)
