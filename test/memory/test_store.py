"""The voxel store against a dictionary, its growth, its reuse of rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.memory.voxels.fusion import FrameVoxels, upsert
from embodied_nav.memory.voxels.keys import block_key, pack_array
from embodied_nav.memory.voxels.store import REFUSED, VoxelStore, add_row, find_block, remove_row, reserve, table_bits

voxel = st.tuples(*[st.integers(-40, 40)] * 3)


def put(store, voxels, count=1.0):
    k = pack_array(np.array(voxels, np.int64).reshape(-1, 3))
    sums = np.zeros((len(k), 8))
    sums[:, 6] = count
    return upsert(store, FrameVoxels(k, sums, len(k)), np.ones(len(k), np.float32), np.array([5]), 6.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), voxel), max_size=120))
def test_it_behaves_like_a_dictionary(operations):
    store, truth = VoxelStore(1 << 14), {}
    for insert, v in operations:
        key = int(pack_array(np.array([v]))[0])
        if insert:
            put(store, [v])
            truth[key] = truth.get(key, 0) + 1
        elif key in truth:
            row = store.find(np.array([key]))[0]
            block = find_block(store.arrays, block_key(key), table_bits(store.arrays))
            remove_row(store.arrays, block, row)
            del truth[key]
    rows = store.rows[store.rows["key"] >= 0]
    assert dict(zip(rows["key"].tolist(), rows["weight"].tolist(), strict=True)) == truth
    assert len(store) == len(truth)
    assert (store.find(np.array(list(truth), np.int64)) >= 0).all()


def test_growth_never_moves_what_is_there():
    store = VoxelStore(1 << 20)
    put(store, [(0, 0, 0)])
    before = [a.ctypes.data for a in (store.arrays.rows, store.arrays.slot_rows, store.arrays.block_keys)]
    grid = np.stack(np.meshgrid(*[np.arange(60)] * 3), -1).reshape(-1, 3)
    put(store, grid)
    assert [a.ctypes.data for a in (store.arrays.rows, store.arrays.slot_rows, store.arrays.block_keys)] == before
    assert len(store) == 60**3
    assert store.arrays.table_keys.size >= 2 * store.blocks
    assert store.nbytes < 160 * len(store)


def test_reserved_memory_is_not_taken():
    import psutil

    before = psutil.Process().memory_info().rss
    array = reserve((1 << 24,), np.dtype("V64"))
    assert array.nbytes == 1 << 30
    assert psutil.Process().memory_info().rss - before < 1 << 26


def test_a_full_store_refuses_and_counts():
    store = VoxelStore(1 << 16)
    side = np.arange(50)
    put(store, np.stack(np.meshgrid(side, side, side), -1).reshape(-1, 3))
    assert len(store) == 1 << 16
    assert store.arrays.counts[REFUSED] == 50**3 - (1 << 16)


def test_rows_are_reused_and_come_back_clean():
    store = VoxelStore(1 << 14)
    put(store, [(1, 2, 3)], count=9.0)
    key = int(pack_array(np.array([[1, 2, 3]]))[0])
    block = find_block(store.arrays, block_key(key), table_bits(store.arrays))
    store.arrays.labels[0], store.arrays.owner[0] = 4, 7
    remove_row(store.arrays, block, 0)
    assert len(store) == 0 and store.arrays.labels[0] == 0 and store.arrays.owner[0] == 0
    assert add_row(store.arrays, block, key) == 0
    assert store.rows[0]["weight"] == 0 and len(store.rows) == 1


def test_a_voxel_cannot_be_inserted_twice():
    from embodied_nav.memory.voxels.record import VOXEL

    with pytest.raises(ValueError, match="twice"):
        VoxelStore(1 << 14).insert(np.array([5, 5]), np.zeros(2, VOXEL))
