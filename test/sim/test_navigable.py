"""The navigable map against scenes worked out by hand, and sight over and past things."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.apartments.shapes import Material, MeshBuilder, Solid
from embodied_nav.sim.mesh import SceneDescription
from embodied_nav.sim.navigable import NavigableMap, box_distance

PLAIN = Material("plain")


def room(*boxes, size=(6.0, 4.0), floor_z=0.0):
    """A floor with four walls and boxes (center, size) in it."""
    w, d = size
    solid = Solid().quad([(0, 0, 0), (w, 0, 0), (w, d, 0), (0, d, 0)], PLAIN)
    for x in (0.0, w):
        solid.quad([(x, 0, 0), (x, d, 0), (x, d, 2.5), (x, 0, 2.5)], PLAIN)
    for y in (0.0, d):
        solid.quad([(0, y, 0), (w, y, 0), (w, y, 2.5), (0, y, 2.5)], PLAIN)
    for center, extent in boxes:
        solid.box(center, extent, PLAIN)
    builder = MeshBuilder()
    builder.add(solid, (0, 0, floor_z))
    return SceneDescription(builder.build(), floor_z=floor_z)


def test_an_empty_room():
    navigable = NavigableMap(room())
    assert navigable.free.sum() * 0.05**2 == pytest.approx((6 - 0.46) * (4 - 0.46), rel=0.05)
    assert navigable.is_free((3, 2)) and not navigable.is_free((0.1, 2)) and not navigable.is_free((-3, 2))
    assert navigable.clearance_at((3, 2)) == pytest.approx(2.0, abs=0.08)
    assert navigable.clearance_at((1, 2)) == pytest.approx(1.0, abs=0.08)
    assert navigable.clearance_at((100, 2)) == 0.0
    row, column = navigable.cell((3, 2))
    assert navigable.grid.data[row, column] == FREE
    assert navigable.grid.data[0, 0] == UNKNOWN
    assert navigable.grid.data[row, navigable.cell((6.0, 2))[1]] == OCCUPIED


def test_the_floors_height_is_taken_off():
    low, high = NavigableMap(room()), NavigableMap(room(floor_z=1.7))
    assert np.array_equal(low.free, high.free)


@pytest.mark.parametrize(
    ("z", "height", "blocked"), [(0.5, 1.0, True), (0.006, 0.012, False), (1.5, 0.6, False), (1.2, 0.6, True)]
)
def test_only_what_a_robot_touches_is_in_its_way(z, height, blocked):
    navigable = NavigableMap(room(((3, 2, z), (0.6, 0.6, height))))
    assert navigable.is_free((3, 2)) is not blocked


def test_a_taller_robot_hits_what_a_low_one_passes_under():
    scene = room(((3, 2, 0.7), (1.5, 1.0, 0.1)))
    assert not NavigableMap(scene).is_free((3, 2))
    assert NavigableMap(scene, RobotProfile(height=0.5)).is_free((3, 2))


def test_inside_of_hollow_things_is_no_floor():
    navigable = NavigableMap(room(((3, 2, 1.0), (2.0, 2.0, 2.0))))
    row, column = navigable.cell((3, 2))
    assert not navigable.free[row, column] and navigable.grid.data[row, column] == UNKNOWN


def test_a_gap_narrower_than_the_robot_closes_a_room():
    def wall(gap):
        return room(
            ((3, (2 - gap / 2) / 2, 0.5), (0.1, 2 - gap / 2, 1.0)), ((3, 3 + gap / 4, 0.5), (0.1, 2 - gap / 2, 1.0))
        )

    narrow, wide = NavigableMap(wall(0.3)), NavigableMap(wall(0.9))
    assert narrow.is_free((1, 2)) != narrow.is_free((5, 2))
    assert wide.is_free((1, 2)) and wide.is_free((5, 2)) and wide.is_free((3, 2))


@settings(max_examples=25, deadline=None)
@given(st.floats(1.2, 4.8), st.floats(1.2, 2.8), st.floats(0.2, 1.2), st.floats(0.2, 1.2))
def test_clearance_agrees_with_geometry(x, y, w, d):
    navigable = NavigableMap(room(((x, y, 0.5), (w, d, 1.0))))
    centers = navigable.grid.centers(navigable.free_cells)
    truth = np.minimum.reduce(
        [box_distance(centers, (x, y), (w, d), 0.0), centers[:, 0], 6 - centers[:, 0], centers[:, 1], 4 - centers[:, 1]]
    )
    measured = navigable.clearance[tuple(navigable.free_cells.T)]
    assert np.abs(measured - truth).max() < 0.085
    assert truth.min() > navigable.robot.footprint_radius - 0.01


def test_geodesic_field_and_nearest_free():
    navigable = NavigableMap(room(((3, 1.5, 0.5), (0.1, 3.0, 1.0))))
    start, goal = navigable.cell((1, 1)), navigable.cell((5, 1))
    field = navigable.geodesic_field(np.array([goal]))
    # Along tangents to circles about the wall's two corners, robot's radius and one cell wide, and around them.
    radius, across, up = 0.23, 1.95, 2.0
    away = np.hypot(across, up)
    turn = np.arctan2(up, across) + np.arcsin(radius / away)
    by_hand = 2 * (np.sqrt(away**2 - radius**2) + radius * turn) + 0.1
    assert by_hand - 0.05 < field[start] < 1.04 * by_hand
    assert navigable.free[navigable.nearest_free((0.0, 0.0))]
    assert navigable.nearest_free((1.03, 1.02)) == navigable.cell((1.03, 1.02))


def test_sight_goes_over_low_things_and_not_over_high_ones():
    low, high = NavigableMap(room(((3, 2, 0.25), (0.2, 4.0, 0.5)))), NavigableMap(room(((3, 2, 1.0), (0.2, 3.8, 2.0))))
    assert low.line_of_sight((1, 2), (5, 2))
    assert low.line_of_sight((1, 2), (5, 2, 0.6))
    assert not low.line_of_sight((1, 2), (3.4, 2, 0.05)), "hidden close behind"
    assert not high.line_of_sight((1, 2), (5, 2))
    assert not high.line_of_sight((1, 2), (5, 2, 2.2))


def test_sees_box_from_its_open_side_only():
    thing = (4.0, 2.0, 0.3), (0.6, 0.6, 0.6), 0.4
    navigable = NavigableMap(room((thing[0], thing[1]), ((3.4, 2, 1.0), (0.1, 3.0, 2.0))))
    cells = np.array([navigable.cell(p) for p in [(5, 2), (4, 3), (2.8, 2.0), (1.0, 2.0)]])
    assert navigable.sees_box(cells, *thing).tolist() == [True, True, False, False]


def test_box_distance_by_hand():
    points = np.array([[3.0, 0.0], [0.0, 2.0], [0.2, 0.1], [2.0, 1.5]])
    np.testing.assert_allclose(box_distance(points, (0, 0), (2.0, 1.0), 0.0), [2.0, 1.5, 0.0, np.hypot(1, 1)])
    np.testing.assert_allclose(box_distance(points[:2], (0, 0), (2.0, 1.0), np.pi / 2), [2.5, 1.0], atol=1e-12)
