"""The map from above against the rooms it was made from."""

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.grid import ColumnGrid
from embodied_nav.memory.keys import pack_array


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
    mapped.recount_obstacles()
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
