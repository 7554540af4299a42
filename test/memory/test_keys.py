"""Packed keys and their hash."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.memory.voxels import keys
from embodied_nav.memory.voxels.fusion import FrameVoxels, upsert
from embodied_nav.memory.voxels.store import VoxelStore

coordinate = st.integers(-(2**20) + 1, 2**20 - 1)


@settings(deadline=None)
@given(coordinate, coordinate, coordinate)
def test_a_key_holds_its_voxel(x, y, z):
    key = keys.pack(x, y, z)
    assert key >= 0
    assert keys.unpack(key) == (x, y, z)
    assert keys.pack_array(np.array([[x, y, z]]))[0] == key
    assert keys.unpack_array(np.array([key])).tolist() == [[x, y, z]]


@settings(deadline=None)
@given(coordinate, coordinate, coordinate)
def test_a_voxel_lies_in_its_block(x, y, z):
    key = keys.pack(x, y, z)
    corner = keys.block_corners(np.array([keys.block_key(key)]), 1.0)[0]
    inside = np.array([x, y, z]) - corner
    assert (inside >= 0).all() and (inside < 8).all()
    assert keys.slot_in_block(key) == inside @ [64, 8, 1]


@pytest.mark.parametrize(
    "blocks",
    [
        np.stack([np.arange(4000), np.zeros(4000), np.zeros(4000)], 1),
        np.stack([np.zeros(4000), np.arange(4000), np.zeros(4000)], 1),
        np.stack([np.zeros(4000), np.zeros(4000), np.arange(4000)], 1),
        np.stack(np.meshgrid(*[np.arange(-8, 8)] * 3), -1).reshape(-1, 3),
        np.stack([*np.meshgrid(np.arange(64), np.arange(64)), np.zeros((64, 64))], -1).reshape(-1, 3),
    ],
    ids=["x line", "y line", "z line", "cube", "plane"],
)
def test_probes_stay_short_on_regular_patterns(blocks):
    store = VoxelStore(1 << 17)
    k = keys.pack_array(blocks.astype(np.int64) * 8)
    sums = np.ones((len(k), 8))
    upsert(store, FrameVoxels(k, sums, len(k)), np.ones(len(k), np.float32), np.array([1]), 6.0, 1.0)
    probes = store.probe_lengths()
    assert len(probes) == len(blocks)
    assert probes.mean() < 1.6
    assert probes.max() <= 24
