"""What the camera is expected to show of a thing, against geometry and against rendered pictures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import FREE, OCCUPIED, MemoryObject, OccupancyGrid
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.planning import Planner
from embodied_nav.reasoner.framing import Eye, Framing
from embodied_nav.reasoner.stands import Surface, stand_beside, stand_in_view
from embodied_nav.robot import RobotProfile

CAMERA = Camera.from_hfov(320, 240, math.pi / 2)
ROBOT = RobotProfile()
EYE = Eye(CAMERA, ROBOT.T_base_camera())


def grid(occupied=()):
    """6 x 6 m of free floor; boxes (x0, y0, x1, y1) in m are occupied."""
    data = np.full((120, 120), FREE, np.int8)
    for x0, y0, x1, y1 in occupied:
        data[round(y0 * 20) : round(y1 * 20), round(x0 * 20) : round(x1 * 20)] = OCCUPIED
    return OccupancyGrid(data, 0.05, (0.0, 0.0))


def thing(x, y, z, size=(0.4, 0.4, 0.4), i=1):
    return MemoryObject(i, "box", "red", np.array([x, y, z]), np.array(size), 1.0, 100, 1, 1, 0)


def look(target, places, occupied=(), others=()):
    return Framing(EYE, grid(occupied), (target, *others)).look(target, np.atleast_2d(np.asarray(places, dtype=float)))


@settings(max_examples=60, deadline=None)
@given(st.floats(-math.pi, math.pi), st.floats(0.7, 2.0))
def test_a_round_thing_looks_alike_from_all_sides_and_is_faced(angle, distance):
    target = thing(3.0, 3.0, 0.5)
    place = np.array([3.0 + distance * math.cos(angle), 3.0 + distance * math.sin(angle)])
    (heading,), (share,) = look(target, place)
    assert abs(math.remainder(heading - (angle + math.pi), 2.0 * math.pi)) < 0.02
    (_, (other,)) = look(target, (3.0 - distance, 3.0))
    assert share == pytest.approx(other, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.9, 2.4), st.floats(0.05, 0.3))
def test_what_lies_further_away_or_is_smaller_fills_less(distance, shrink):
    share = look(thing(3.0, 3.0, 0.6), (3.0 - distance, 3.0))[1][0]
    assert look(thing(3.0, 3.0, 0.6), (3.0 - distance - shrink, 3.0))[1][0] < share
    smaller = thing(3.0, 3.0, 0.6, (0.4 - shrink, 0.4 - shrink, 0.4 - shrink))
    assert look(smaller, (3.0 - distance, 3.0))[1][0] < share


def test_what_is_high_is_above_the_picture_from_near_and_in_it_from_further_away():
    high = thing(3.0, 3.0, 1.7)
    near, far = look(high, [(2.5, 3.0), (1.2, 3.0)])[1]
    assert near == 0.0 and far > 0.01


def test_what_is_low_is_below_the_picture_from_near():
    low = thing(3.0, 3.0, 0.05, (0.3, 0.3, 0.1))
    near, far = look(low, [(2.6, 3.0), (2.0, 3.0)])[1]
    assert near == 0.0 and far > 0.005


def test_a_wall_hides_and_a_low_table_does_not():
    target, between = thing(3.0, 3.0, 0.7, (0.3, 0.3, 0.3)), (2.2, 2.0, 2.4, 4.0)
    table = thing(2.3, 3.0, 0.2, (0.2, 2.0, 0.4), 2)
    assert look(target, (1.5, 3.0), [between])[1][0] == 0.0
    assert look(target, (1.5, 3.0), [between], [table])[1][0] > 0.01


def test_only_what_is_not_hidden_is_faced():
    """Half of a long sofa is behind a wall: the middle of the other half is faced."""
    sofa = thing(3.0, 3.0, 0.4, (0.6, 2.0, 0.8))
    (open_,), _ = look(sofa, (1.8, 3.0))
    (heading,), _ = look(sofa, (1.8, 3.0), [(2.0, 3.1, 2.2, 6.0)])
    assert abs(open_) < 0.05 and heading < -0.15


def test_a_stand_is_where_the_thing_is_in_the_picture():
    """A cabinet above a counter: right before it the camera sees the counter only."""
    counter, high = thing(3.0, 3.0, 0.45, (0.6, 0.6, 0.9), 2), thing(3.0, 3.0, 1.5, (0.4, 0.4, 0.4))
    planner = Planner(grid([(2.7, 2.7, 3.3, 3.3)]), ROBOT)
    travel = planner.field_from((1.0, 3.0))
    surface, framing = Surface(high, planner, (counter, high), 1.5), Framing(EYE, planner.grid, (counter, high))
    plain = stand_beside(surface, travel, 0.45)
    stand = stand_in_view(high, surface, travel, 0.45, 1.2, framing)
    assert plain.gap <= 0.45 < stand.gap <= 1.2
    shares = framing.look(high, np.array([plain.position, stand.position]))[1]
    assert shares[0] < 0.005 < 0.01 < shares[1] == pytest.approx(stand.share)
    assert stand_in_view(high, surface, np.full_like(travel, np.inf), 0.45, 1.2, framing) is None


def test_what_is_expected_to_be_seen_in_an_apartment_is_seen():
    """Against rendered pictures, from places within 1 m of all things: true boxes, as seen from eight places each."""
    from embodied_nav.sim.episodes import apartment
    from embodied_nav.sim.goals import object_region
    from embodied_nav.sim.raster_scene import RasterScene
    from embodied_nav.sim.rasterizer import Rasterizer

    description, navigable = apartment(901)
    remembered = [_remembered(o) for o in description.objects]
    framing, rng = Framing(EYE, navigable.grid, remembered), np.random.default_rng(0)
    rasterizer, rows = Rasterizer(RasterScene(description.mesh), CAMERA), []
    for o, memory in zip(description.objects, remembered, strict=True):
        cells = np.argwhere(object_region(navigable, o))
        if len(cells) == 0 or o.category == "rug":  # things stand on rugs
            continue
        places = navigable.grid.centers(cells[rng.choice(len(cells), min(4, len(cells)), replace=False)])
        for (x, y), heading, share in zip(places, *framing.look(memory, places), strict=True):
            _, ids = rasterizer.render_depth_ids(pose2d(x, y, heading) @ EYE.T_base_camera)
            rows.append((share, float((ids == o.instance).mean())))
    expected, shown = np.array(rows).T
    assert len(rows) > 60
    assert (shown[expected >= 0.03] >= 0.01).mean() >= 0.96, "what counts as well seen is in view"
    assert (expected >= 0.03).mean() > 0.6, "and it is not expected too rarely to be of use"
    assert np.corrcoef(expected, shown)[0, 1] > 0.7


def _remembered(o):
    c, s = abs(math.cos(o.yaw)), abs(math.sin(o.yaw))
    extent = np.array([c * o.extent[0] + s * o.extent[1], s * o.extent[0] + c * o.extent[1], o.extent[2]])
    return MemoryObject(o.instance, o.category, o.color, np.array(o.center), extent, 1.0, 100, 1, 1, 0)
