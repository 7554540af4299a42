"""The map from above against the rooms it was made from."""

import numpy as np
import pytest
from box_rooms import Box, camera_pose, render, two_rooms

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, Keyframe, OccupancyGrid
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.voxels.column_grid import ColumnGrid
from embodied_nav.memory.voxels.keys import pack_array


@pytest.fixture(scope="module")
def mapped(walk_frames):
    memory = SpatialMemory()
    for f in walk_frames:
        memory.integrate(f)
    return memory


def at(grid, x, y):
    return grid.data[tuple(grid.cells(np.array([x, y])))]


def share(grid, x0, x1, y0, y1, value):
    a, b = grid.cells(np.array([x0, y0])), grid.cells(np.array([x1, y1]))
    part = grid.data[a[0] : b[0] + 1, a[1] : b[1] + 1]
    return float((part == value).mean())


def test_walls_floor_and_furniture(mapped):
    g = mapped.occupancy()
    for y in (0.5, 1.2, 2.8, 3.5):
        assert share(g, 2.9, 3.1, y, y, OCCUPIED) > 0
    assert share(g, 0.3, 1.0, 0.5, 2.5, FREE) > 0.98
    assert share(g, 3.4, 4.4, 1.0, 3.0, FREE) > 0.98
    assert share(g, 4.75, 5.65, 0.75, 0.8, OCCUPIED) > 0.9
    assert share(g, 1.25, 2.15, 3.0, 3.0, OCCUPIED) > 0.9  # the table's edge, 10 cm under the camera
    assert share(g, -0.9, -0.3, 0, 4, FREE) == 0


def test_noise_neither_blocks_the_door_nor_leaves_specks(mapped):
    g = mapped.occupancy()
    assert share(g, 2.6, 3.4, 1.72, 2.28, FREE) == 1.0
    free_area = [(0.2, 1.0, 0.2, 3.8), (1.0, 2.7, 0.2, 2.8), (3.3, 4.4, 0.2, 3.7), (4.4, 5.6, 1.0, 3.7)]
    for area in free_area:
        assert share(g, *area, OCCUPIED) == 0.0


def test_heights_choose_obstacles(mapped):
    low = mapped.occupancy(robot_height=0.5)
    assert share(low, 1.25, 2.15, 3.0, 3.0, OCCUPIED) == 0.0  # under the table top
    assert share(low, 4.75, 5.65, 0.75, 0.8, OCCUPIED) > 0.9  # the sofa's front
    again = mapped.occupancy()
    assert share(again, 1.25, 2.15, 3.0, 3.0, OCCUPIED) > 0.9


def test_incremental_counts_equal_a_recount(mapped):
    before = mapped.occupancy().data.copy()
    mapped.state.voxels.recount_obstacles()
    assert np.array_equal(mapped.occupancy().data, before)


def test_one_frame_shows_the_near_and_leaves_the_rest_unknown():
    memory = SpatialMemory()
    memory.integrate(render(two_rooms(), camera_pose(1.5, 2.0, np.pi), 1))
    g = memory.occupancy()
    assert at(g, 1.5, 2.0) == FREE  # where it stands
    assert at(g, 0.5, 2.0) == FREE  # floor ahead
    assert OCCUPIED in (at(g, -0.02, 2.0), at(g, 0.02, 2.0), at(g, -0.06, 2.0))  # the wall 1.5 m ahead
    assert at(g, 2.2, 2.0) == UNKNOWN  # behind


def test_an_empty_map_is_an_empty_grid():
    assert SpatialMemory().occupancy().data.size == 0


def test_a_lone_voxel_is_a_speck_and_a_pole_is_not():
    grid = ColumnGrid(0.05, 0.0, 0.1, 1.0, 0.15, 0.0, 5.0)
    grid.apply(pack_array(np.array([[5, 5, 6], [20, 20, 6], [20, 20, 7], [40, 3, 9], [41, 3, 9]])), 1)
    data = grid.grid(0)
    cells = [tuple(data.cells((np.array(c) + 0.5) * 0.05)) for c in ((5, 5), (20, 20), (40, 3), (41, 3))]
    assert [data.data[c] for c in cells] == [UNKNOWN, OCCUPIED, OCCUPIED, OCCUPIED]
    grid.apply(pack_array(np.array([[20, 20, 6], [20, 20, 7]])), -1)
    assert grid.grid(0).data[cells[1]] == UNKNOWN


@pytest.mark.parametrize("far", [1e9, 1e17, -1e17, 1e18, 1e30, float("inf")])
def test_places_beyond_all_columns_stay_outside(far):
    grid = ColumnGrid(0.05, 0.0, 0.1, 1.0, 0.15, 0.0, 5.0)
    points = np.array([[1.0, far], [0.5, far], [0.2, 0.3]], np.float32)
    for position in (np.array([0.0, 0.0, 0.85]), np.array([far, far, 0.85])):
        with np.errstate(invalid="ignore"):
            grid.observe(points, position)
    assert max(grid.free_space()[1].shape) < 10_000


def test_floor_is_no_obstacle_and_the_band_ends_at_the_robots_height():
    grid = ColumnGrid(0.05, 0.0, 0.1, 1.0, 0.15, 0.0, 5.0)
    for z in (-1, 0, 1, 20, 30):
        grid.apply(pack_array(np.array([[9, 9, z], [9, 10, z]])), 1)
    assert not (grid.grid(0).data == OCCUPIED).any()
    grid.apply(pack_array(np.array([[9, 9, 2], [9, 10, 19]])), 1)
    assert (grid.grid(0).data == OCCUPIED).sum() == 2


def test_a_far_outlier_does_not_blow_the_grid_up():
    grid = ColumnGrid(0.05, 0.0, 0.1, 1.0, 0.15, 0.0, 5.0)
    grid.apply(pack_array(np.array([[5, 5, 6], [5, 5, 7]])), 1)
    grid.apply(pack_array(np.array([[900_000, 5, 6], [900_000, 5, 7]])), 1)
    assert grid.grid(0).data.size < 1_000_000


def ray_ends(position, floors, n=40_000, reach=5.0, seed=0):
    """Where rays from a camera end on floors (x0, x1, z), as points (3, N); those that meet none are left out."""
    rng = np.random.default_rng(seed)
    yaw, down = rng.uniform(-0.7, 0.7, n), rng.uniform(-0.1, 0.9, n)
    rays = np.stack([np.cos(yaw) * np.cos(down), np.sin(yaw) * np.cos(down), -np.sin(down)])
    best = np.full(n, np.inf)
    for x0, x1, z in floors:
        with np.errstate(divide="ignore"):
            t = (z - position[2]) / rays[2]
        x = position[0] + t * rays[0]
        best = np.where((t > 0) & (x >= x0) & (x < x1), np.minimum(best, t), best)
    good = best < reach
    return (np.asarray(position)[:, None] + rays[:, good] * best[good]).astype(np.float32)


FLAT = [(-9, 9, 0.0)]
STAIRS = [(-9, 1.5, 0.0), *((1.5 + 0.28 * i, 1.78 + 0.28 * i, -0.17 * (i + 1)) for i in range(12))]


@pytest.mark.parametrize(
    ("floors", "beyond"),
    [
        (FLAT, FREE),
        ([(-9, 1.5, 0.0), (1.5, 9, -1.0)], OCCUPIED),
        (STAIRS, OCCUPIED),
        ([(-9, 1.5, 0.0)], UNKNOWN),
        ([(-9, 1.5, 0.0), (1.5, 9, -0.03)], FREE),
        ([(-9, 1.5, 0.0), *((1.5 + 0.1 * i, 1.6 + 0.1 * i, -0.0105 * i) for i in range(60))], FREE),
    ],
    ids=["floor", "storey below", "stairs down", "nothing", "sill", "ramp of 6 degrees"],
)
def test_a_column_seen_through_without_a_floor_is_never_free(floors, beyond):
    grid = ColumnGrid(0.05, 0.0, 0.1, 1.0, 0.15, 0.3, 5.0)
    for k in range(6):
        position = np.array([0.1 * k, 0.0, 0.85])
        wall = np.stack([np.full(400, 4.5), np.linspace(-2, 2, 400), np.full(400, 0.6)]).astype(np.float32)
        grid.observe(np.hstack([ray_ends(position, floors, seed=k), wall]), position)
    g = grid.grid(0)
    assert at(g, 1.2, 0.0) == FREE
    if beyond == FREE:
        assert share(g, 1.5, 2.2, -0.3, 0.3, FREE) > 0.95
        assert share(g, 1.2, 2.2, -0.3, 0.3, OCCUPIED) == 0.0
    else:
        assert share(g, 1.7, 2.5, -0.3, 0.3, FREE) == 0.0
        if beyond == OCCUPIED:
            strip = g.data[g.cells(np.array([1.4, -0.3]))[0] : g.cells(np.array([1.4, 0.3]))[0] + 1]
            ahead = strip[:, g.cells(np.array([1.45, 0.0]))[1] : g.cells(np.array([2.2, 0.0]))[1]]
            assert (ahead == OCCUPIED).any(axis=1).mean() > 0.9, "no way across the edge"


def test_floor_seen_later_takes_a_drop_back():
    grid, position = ColumnGrid(0.05, 0.0, 0.1, 1.0, 0.15, 0.0, 5.0), np.array([0.0, 0.0, 0.85])
    mirror = [(-9, 1.0, 0.0), (1.6, 9, 0.0), (-9, 9, -1.2)]  # a polished floor shows what is above it
    for k in range(5):
        grid.observe(ray_ends(position, mirror, seed=k), position)
    assert (grid.grid(0).data == OCCUPIED).any()
    for k in range(3):
        grid.observe(ray_ends(position, FLAT, seed=k), position)
    assert not (grid.grid(0).data == OCCUPIED).any()


PERSON = Box((4.0, 1.85, 0.0), (4.3, 2.15, 1.7), (60, 60, 160))
SECOND = 1_000_000_000


def watched_door(person_s: float, free_s: float = 4.0, **settings) -> tuple[SpatialMemory, int]:
    """A memory that looked through a door for a while, then saw a person behind it until the robot turned away."""
    memory, stamp = SpatialMemory(MemoryConfig(**settings)), SECOND
    for seconds, boxes in ((free_s, two_rooms()), (person_s, [*two_rooms(), PERSON])):
        for _ in range(round(5 * seconds)):
            memory.integrate(render(boxes, camera_pose(1.0, 2.0, 0.0), stamp))
            stamp += SECOND // 5
    return memory, stamp


def turned_away(memory: SpatialMemory, stamp: int, seconds: float) -> OccupancyGrid:
    """The map after the robot has looked the other way for so long."""
    for k in range(round(5 * seconds)):
        memory.integrate(render(two_rooms(), camera_pose(1.0, 2.0, np.pi), stamp + k * SECOND // 5))
    return memory.occupancy()


def blocked(grid: OccupancyGrid) -> float:
    return share(grid, 3.95, 4.35, 1.85, 2.1, OCCUPIED)


def test_somebody_who_passed_while_the_robot_turned_away_closes_no_door():
    memory, stamp = watched_door(person_s=1.0)
    assert blocked(memory.occupancy()) > 0.05
    assert blocked(turned_away(memory, stamp, 3.0)) > 0.05, "seen a moment ago"
    grid = turned_away(memory, stamp, 8.0)
    assert blocked(grid) == 0.0 and share(grid, 3.95, 4.35, 1.85, 2.1, FREE) == 1.0


def test_what_stands_there_for_long_or_stood_there_before_stays_an_obstacle():
    for person_s, free_s, after in ((12.0, 4.0, 10.0), (1.0, 0.4, 30.0)):
        memory, stamp = watched_door(person_s, free_s, standing_after=after)
        assert blocked(turned_away(memory, stamp, 20.0)) > 0.05
    memory, stamp = watched_door(1.0, standing_after=0.0)
    assert blocked(turned_away(memory, stamp, 20.0)) > 0.05


@pytest.mark.parametrize("times, stands", [(1, False), (4, True)])
def test_time_out_of_view_does_not_count_and_all_that_in_view_does(times, stands):
    memory, stamp = watched_door(person_s=1.0, standing_after=10.0)
    for _ in range(times):
        stamp += 30 * SECOND
        for k in range(18):
            frame = render([*two_rooms(), PERSON], camera_pose(1.0, 2.0, 0.0), stamp + k * SECOND // 5)
            memory.integrate(frame)
        stamp += 4 * SECOND
    assert (blocked(turned_away(memory, stamp, 8.0)) > 0.05) == stands


def test_times_are_kept_where_the_map_is_corrected():
    memory, stamp = watched_door(person_s=1.0)
    frame = render(two_rooms(), camera_pose(1.0, 2.0, np.pi), stamp)
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    T = frame.T_map_camera.copy()
    T[0, 3] += 0.04
    memory.move_keyframes({0: T})
    assert blocked(memory.occupancy()) > 0.05
    assert blocked(turned_away(memory, stamp, 8.0)) == 0.0


def test_what_stood_when_it_was_saved_stands(tmp_path):
    memory, stamp = watched_door(person_s=1.0)
    memory.save(tmp_path / "memory.db")
    again = SpatialMemory.load(tmp_path / "memory.db")
    assert blocked(turned_away(again, stamp, 8.0)) > 0.05
