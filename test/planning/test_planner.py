"""Inflation, frontiers and paths on small maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from embodied_nav.planning import (
    NearGround,
    Planner,
    PlanningConfig,
    TraversalMap,
    clearance_of,
    densify,
    frontiers,
    hidden_area,
    is_frontier_near,
    path_length,
)
from embodied_nav.robot import RobotProfile

ROBOT = RobotProfile()


def room(rows: int = 80, columns: int = 120) -> np.ndarray:
    """A walled room, 5 cm cells, all floor inside."""
    data = np.full((rows, columns), FREE, np.int8)
    data[[0, -1]] = OCCUPIED
    data[:, [0, -1]] = OCCUPIED
    return data


def grid(data: np.ndarray, origin=(0.0, 0.0)) -> OccupancyGrid:
    return OccupancyGrid(data, 0.05, origin)


def two_rooms(door: tuple[int, int] | None) -> OccupancyGrid:
    data = room()
    data[:, 60:62] = OCCUPIED
    if door:
        data[door[0] : door[1], 60:62] = FREE
    return grid(data)


def test_clearance_is_distance_to_the_nearest_occupied_border():
    g = grid(room())
    clearance = clearance_of(g)
    assert clearance[40, 1] == pytest.approx(0.025, abs=1e-5)
    assert clearance[40, 10] == pytest.approx(0.475, abs=1e-5)
    assert (clearance[g.data == OCCUPIED] == 0).all()


def test_ways_lead_past_what_was_touched_where_there_are_others():
    data = room()
    data[:, 60:62] = OCCUPIED
    data[18:34, 60:62] = data[58:74, 60:62] = FREE
    touched = np.array([[3.0, y] for y in np.linspace(1.1, 1.5, 9)] + [[-3.0, 1.0], [1.0, 99.0]])
    start, goal, before = (1.0, 1.5), (5.0, 1.5), data.copy()
    through = {}
    for name, felt in (("none", None), ("felt", touched)):
        path = Planner(grid(data), ROBOT, touched=felt).plan(start, goal)
        through[name] = np.interp(3.05, path[:, 0], path[:, 1])
    assert through["none"] < 1.8 and through["felt"] > 2.8
    np.testing.assert_array_equal(data, before)

    data[58:74, 60:62] = OCCUPIED  # what was touched may have been the frame of the only door
    path = Planner(grid(data), ROBOT, touched=touched).plan(start, goal)
    assert path is not None and np.interp(3.05, path[:, 0], path[:, 1]) < 1.8


def test_clearance_of_an_empty_map_is_large():
    assert clearance_of(grid(np.full((5, 5), FREE, np.int8))).min() > 100


def test_path_keeps_the_footprint_off_everything():
    g = two_rooms((20, 38))
    path = Planner(g, ROBOT).plan((1.0, 3.0), (5.0, 3.0))
    cells = g.cells(densify(path, 0.02))
    assert clearance_of(g)[cells[:, 0], cells[:, 1]].min() >= ROBOT.footprint_radius
    np.testing.assert_allclose(path[0], (1.0, 3.0))
    np.testing.assert_allclose(path[-1], (5.0, 3.0), atol=0.05)


def test_open_floor_gives_a_straight_path():
    path = Planner(grid(room()), ROBOT).plan((1.0, 1.0), (5.0, 3.0))
    assert path_length(path) == pytest.approx(np.hypot(4.0, 2.0), rel=0.02)


def test_no_path_through_a_gap_narrower_than_the_robot():
    assert Planner(two_rooms((30, 36)), ROBOT).plan((1.0, 2.0), (5.0, 2.0)) is None
    assert Planner(two_rooms(None), ROBOT).plan((1.0, 2.0), (5.0, 2.0)) is None


def test_goal_inside_furniture_is_replaced_by_the_place_beside_it():
    data = room()
    data[30:40, 80:100] = OCCUPIED
    planner = Planner(grid(data), ROBOT)
    path = planner.plan((1.0, 1.75), (4.2, 1.75), tolerance=0.6)
    assert path is not None
    assert path[-1][0] < 4.0
    assert planner.plan((1.0, 1.75), (4.2, 1.75), tolerance=0.05) is None


def test_robot_that_stands_too_near_to_a_wall_gets_away():
    path = Planner(grid(room()), ROBOT).plan((0.12, 2.0), (3.0, 2.0))
    assert path is not None
    assert path_length(path) < 3.2


@pytest.mark.parametrize("before", [0.25, 0.35, 0.6])
def test_a_robot_before_a_gap_narrower_than_itself_plans_no_way_through(before):
    assert Planner(two_rooms((37, 44)), ROBOT).plan((3.0 - before, 2.03), (5.0, 2.0)) is None


def test_a_robot_in_a_gap_narrower_than_itself_gets_out_on_either_side():
    planner = Planner(two_rooms((37, 44)), ROBOT)
    for goal in ((1.0, 2.0), (5.0, 2.0)):
        path = planner.plan((3.05, 2.03), goal)
        assert path is not None
        assert np.hypot(*(path[-1] - goal)) < 0.1


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 5.9), st.floats(0.1, 3.9), st.integers(0, 10**6))
def test_ground_opened_around_the_robot_never_leads_nearer_to_obstacles(x, y, seed):
    data = room()
    data[np.random.default_rng(seed).random(data.shape) < 0.01] = OCCUPIED
    g = grid(data)
    row, column = g.cells(np.array([x, y]))
    traversal = TraversalMap(g, ROBOT)
    opened = traversal.around((x, y)) & ~traversal.passable
    assert opened[row, column] or traversal.passable[row, column]
    opened[row, column] = False
    assert (traversal.clearance[opened] >= traversal.clearance[row, column]).all()


def test_start_and_goal_off_the_map():
    planner = Planner(grid(room()), ROBOT)
    assert planner.plan((1.0, 1.0), (50.0, 50.0)) is None
    assert planner.plan((1.0, 1.0), (-50.0, 1.0)) is None


def test_unknown_is_passed_only_in_short_hops():
    data = room()
    data[:, 55:60] = UNKNOWN
    data[40, 55:60] = UNKNOWN
    assert Planner(grid(data), ROBOT).plan((1.0, 2.0), (5.0, 2.0)) is not None
    data[:, 40:80] = UNKNOWN
    assert Planner(grid(data), ROBOT).plan((1.0, 2.0), (5.0, 2.0)) is None


def test_known_ground_is_preferred_to_a_shorter_unknown_one():
    data = room()
    data[20:60, 55:65] = UNKNOWN
    path = Planner(grid(data), ROBOT, PlanningConfig(unknown_hop=2.0, unknown_speed=0.1)).plan((2.0, 2.0), (4.0, 2.0))
    g = grid(data)
    cells = g.cells(densify(path, 0.02))
    assert (data[cells[:, 0], cells[:, 1]] == FREE).all()


def test_is_clear_sees_a_new_obstacle_on_the_path():
    data = room()
    planner = Planner(grid(data), ROBOT)
    path = planner.plan((1.0, 2.0), (5.0, 2.0))
    assert planner.is_clear(path)
    blocked = data.copy()
    blocked[36:44, 60:64] = OCCUPIED
    assert not Planner(grid(blocked), ROBOT).is_clear(path)


def test_is_clear_where_the_clearance_along_the_path_is_wide_enough():
    rng = np.random.default_rng(3)
    said = []
    for _ in range(60):
        data = np.where(rng.random((60, 80)) < 0.001, OCCUPIED, FREE).astype(np.int8)
        planner = Planner(grid(data), ROBOT)
        path, margin = rng.uniform(-0.3, 3.5, (3, 2)), rng.uniform(0.0, 0.15)
        points = densify(path, planner.grid.resolution)
        cells = planner.grid.cells(points[np.linalg.norm(points - points[0], axis=1) > planner.map.config.start_radius])
        row, column = cells[planner.grid.inside(cells)].T
        said.append(planner.is_clear(path, margin))
        assert said[-1] == (planner.map.clearance[row, column] >= ROBOT.footprint_radius + margin).all()
    assert 5 < sum(said) < 55


def half_known() -> OccupancyGrid:
    data = room()
    data[:, 60:] = UNKNOWN
    return grid(data)


def test_frontier_lies_between_floor_and_unknown():
    g = half_known()
    planner = Planner(g, ROBOT)
    found = frontiers(g, PlanningConfig(frontier_split=10.0), planner.field_from((1.0, 2.0)))
    assert len(found) == 1
    assert found[0].length == pytest.approx(78 * 0.05, abs=0.1)
    assert found[0].middle[0] == pytest.approx(59.5 * 0.05)
    assert np.isfinite(found[0].distance)


def test_long_frontiers_are_split_and_short_ones_left_out():
    g = half_known()
    assert len(frontiers(g, PlanningConfig(frontier_split=2.0))) == 2
    assert frontiers(g, PlanningConfig(frontier_length=2.0, frontier_split=0.5)) == []


def test_unreachable_frontier_is_left_out():
    g = two_rooms(None)
    data = g.data.copy()
    data[:, 100:] = UNKNOWN
    g = grid(data)
    assert frontiers(g, PlanningConfig())
    assert frontiers(g, PlanningConfig(), Planner(g, ROBOT).field_from((1.0, 2.0))) == []


def test_small_enclosed_unknown_spot_is_no_frontier():
    data = room()
    data[30:38, 50:58] = UNKNOWN
    assert frontiers(grid(data), PlanningConfig(hole_area=0.5)) == []
    assert frontiers(grid(data), PlanningConfig(hole_area=0.0))


def test_frontier_goes_once_seen():
    g = half_known()
    at = (59.5 * 0.05, 2.0)
    assert is_frontier_near(g, at, 0.4)
    assert not is_frontier_near(grid(room()), at, 0.4)
    assert not is_frontier_near(g, (1.0, 2.0), 0.4)


def test_hidden_area_is_large_behind_a_door_and_nothing_behind_a_gap_too_narrow_for_the_robot():
    areas = {}
    for door in ((30, 48), (30, 36)):
        g = two_rooms(door)
        data = g.data.copy()
        data[:, 62:] = UNKNOWN
        g = grid(data)
        cells = np.array([[r, 61] for r in range(*door)])
        areas[door] = hidden_area(g, clearance_of(g), cells, ROBOT.footprint_radius, 1.5)
    assert areas[(30, 48)] > 2.0
    assert areas[(30, 36)] == 0.0


def test_hidden_area_goes_on_beyond_the_map_but_not_beyond_the_radius():
    data = np.full((40, 40), FREE, np.int8)
    g = grid(data)
    cells = np.array([[r, 39] for r in range(10, 30)])
    assert hidden_area(g, clearance_of(g), cells, 0.18, 1.0) == pytest.approx(np.pi / 2, rel=0.06)


def test_near_ground_is_filled_but_not_through_walls():
    data = np.full((80, 80), UNKNOWN, np.int8)
    data[:, 50] = OCCUPIED
    filled = NearGround(1.0).fill(grid(data), (2.0, 2.0)).data
    assert filled[40, 40] == FREE
    assert filled[40, 25] == FREE
    assert filled[40, 15] == UNKNOWN
    assert (filled[:, 51:] == UNKNOWN).all()
    assert (filled[:, 50] == OCCUPIED).all()


def test_near_ground_stays_when_the_window_moves():
    near = NearGround(0.5)
    data = np.full((60, 60), UNKNOWN, np.int8)
    near.fill(grid(data), (1.5, 1.5))
    bigger = near.fill(grid(np.full((100, 100), UNKNOWN, np.int8), (-1.0, -0.5)), (3.0, 3.0))
    row, column = bigger.cells(np.array([1.5, 1.5]))
    assert bigger.data[row, column] == FREE


def test_speed_is_lower_near_obstacles_and_over_unknown():
    g = half_known()
    t = TraversalMap(g, ROBOT)
    assert t.speed[40, 30] == 1.0
    assert t.speed[6, 30] < 0.6
    assert t.speed[40, 62] < 0.4
