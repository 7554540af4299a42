"""Free space: what moved away vanishes, what stands stays."""

import numpy as np
import pytest
from box_rooms import Box, camera_pose, render, two_rooms

from embodied_nav.memory import MemoryConfig, SpatialMemory

CHAIR = Box((1.8, 1.3, 0.0), (2.2, 1.7, 0.9), (20, 20, 200), 9)
POSE = camera_pose(0.5, 1.5, 0.0)


def inside(memory, box, margin=0.04):
    """Voxels well within a box's surroundings, floor excluded."""
    low, high = np.array(box.low) - margin, np.array(box.high) + margin
    low[2] = 0.15
    return len(memory.voxels((low, high)))


@pytest.mark.parametrize("noise", [None, np.random.default_rng(1)])
def test_a_chair_carried_away_is_gone_within_ten_frames(noise):
    memory = SpatialMemory()
    for t in range(20):
        memory.integrate(render([*two_rooms(), CHAIR], POSE, t + 1, noise=noise))
    assert inside(memory, CHAIR) > 30
    columns = memory.occupancy()
    cell = tuple(columns.cells(np.array([1.82, 1.5])))
    assert columns.data[cell] == 100
    for t in range(10):
        memory.integrate(render(two_rooms(), POSE, t + 21, noise=noise))
    assert inside(memory, CHAIR) == 0
    assert memory.occupancy().data[cell] == 0


def test_what_stands_stays(walk_frames):
    carved, kept = SpatialMemory(), SpatialMemory(MemoryConfig(carve=False))
    for f in walk_frames:
        carved.integrate(f)
        kept.integrate(f)
    strong = kept.store.rows["key"][kept.store.rows["evidence"] >= 3]
    assert len(strong) > 5000
    assert (carved.store.find(strong) >= 0).mean() > 0.97


def test_what_is_hidden_or_unseen_is_not_carved():
    memory = SpatialMemory()
    memory.integrate(render([*two_rooms(), CHAIR], POSE, 1))
    before = inside(memory, CHAIR)
    screen = Box((1.0, 0.0, 0.0), (1.1, 3.0, 2.5))
    blind = render(two_rooms(), POSE, 2)
    for t in range(12):
        memory.integrate(render([*two_rooms(), screen], POSE, t + 2))
    assert inside(memory, CHAIR) == before
    for t in range(12):
        f = type(blind)(t + 20, blind.camera, POSE, blind.color, np.full_like(blind.depth, np.nan))
        memory.integrate(f)
    assert inside(memory, CHAIR) == before


def test_carving_can_be_switched_off():
    memory = SpatialMemory(MemoryConfig(carve=False))
    memory.integrate(render([*two_rooms(), CHAIR], POSE, 1))
    before = inside(memory, CHAIR)
    stats = [memory.integrate(render(two_rooms(), POSE, t + 2)) for t in range(12)]
    assert inside(memory, CHAIR) == before
    assert not any(s.carved for s in stats)


def test_stats_account_for_every_voxel(walk_frames):
    memory, total = SpatialMemory(), 0
    for f in walk_frames[:20]:
        s = memory.integrate(f)
        total += s.new_voxels - s.carved
        assert total == s.voxels == len(memory)
        assert s.points == np.count_nonzero((f.depth >= 0.1) & (f.depth <= 5.0))
