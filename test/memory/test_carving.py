"""Free space: what moved away vanishes, what stands stays."""

import numpy as np
import pytest
from box_rooms import Box, camera_pose, render, two_rooms

from embodied_nav.geometry import T_LINK_OPTICAL, Camera, pose2d
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
    strong = kept.state.voxels.store.rows["key"][kept.state.voxels.store.rows["evidence"] >= 3]
    assert len(strong) > 5000
    assert (carved.state.voxels.store.find(strong) >= 0).mean() > 0.97


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


ROOM = [*two_rooms()[:6], Box((2.0, 2.9, 0.0), (2.6, 3.6, 0.7))]


def standing(height: float, pitch: float) -> np.ndarray:
    """4x4, map from optical frame, of a camera that looks along x from (1, 2)."""
    c, s = np.cos(pitch), np.sin(pitch)
    tilt = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, height], [0, 0, 0, 1.0]])
    return pose2d(1.0, 2.0, 0.0) @ tilt @ T_LINK_OPTICAL


def person(x: float, y: float) -> list[Box]:
    """Body and head of somebody at (x, y)."""
    return [Box((x - 0.14, y - 0.25, 0.0), (x + 0.14, y + 0.25, 1.45)),
            Box((x - 0.1, y - 0.1, 1.45), (x + 0.1, y + 0.1, 1.72))]  # fmt: skip


def occupied_in_the_open(memory) -> int:
    """Occupied cells away from the walls, which noise makes thick, and from the box."""
    grid = memory.occupancy()
    xy = grid.centers(np.argwhere(grid.data == 100))
    x, y = xy[:, 0], xy[:, 1]
    box = (x > 1.9) & (x < 2.7) & (y > 2.8) & (y < 3.7)
    return int(((x > 0.1) & (x < 5.6) & (y > 0.1) & (y < 3.9) & ~box).sum())


@pytest.mark.parametrize(
    ("height", "pitch", "distance", "band"),
    [(0.3, 0.0, 1.2, 0), (0.3, -0.2, 1.0, 0), (0.6, 0.1, 1.4, 9), (1.2, 0.3, 1.0, 0), (1.4, 0.4, 1.2, 9)],
)  # fmt: skip
def test_somebody_who_has_passed_is_gone_wherever_in_the_image_they_were(height, pitch, distance, band):
    """Borders of the image and of the box's silhouette; ``band``: a stereo camera's columns that never measure."""
    camera, T, noise = Camera.from_hfov(160, 120, 1.2), standing(height, pitch), np.random.default_rng(3)
    memory, stamp = SpatialMemory(), 0

    def see(*more):
        nonlocal stamp
        stamp += 200_000_000
        frame = render([*ROOM, *more], T, stamp, camera, noise)
        frame.depth[:, :band] = np.nan
        memory.integrate(frame)

    for _ in range(5):
        see()
    assert occupied_in_the_open(memory) == 0
    for y in np.linspace(1.0, 3.0, 6).repeat(4):
        see(*person(1.0 + distance, y))
    assert occupied_in_the_open(memory) > 5
    for _ in range(40):  # 8 s
        see()
    assert occupied_in_the_open(memory) <= 1
    memory.rebuild_from_keyframes({})
    assert occupied_in_the_open(memory) <= 5, "nor does a correction bring them back"
