"""Walkable surfaces against what is known of boxes: clearance, steps, stairs, floors above each other, islands."""

import math

import numpy as np
import pytest

from embodied_nav.sim.habitat import warm_up
from embodied_nav.sim.habitat.navmesh import RESOLUTION, Navmesh
from embodied_nav.sim.mesh import SceneMesh

QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def boxes(*corners) -> SceneMesh:
    """A mesh of boxes (low, high), z up."""
    vertices, faces = [], []
    for low, high in corners:
        base = 8 * (len(vertices) // 8)
        pair = np.array([low, high], dtype=np.float32)
        vertices += [pair[[i, j, k], [0, 1, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        faces += [[base + q[i] for i in t] for q in QUADS for t in ((0, 1, 2), (0, 2, 3))]
    count = len(faces)
    zeros, texture = np.zeros(count, np.int32), np.full((2, 2, 3), 200, np.uint8)
    return SceneMesh(
        np.array(vertices), np.array(faces), np.zeros((count, 3, 2)), zeros, (texture,), zeros,
        np.full((count, 3), 255, np.uint8),
    )  # fmt: skip


def navmesh(mesh: SceneMesh, radius=0.18, height=0.9, climb=0.2, **more) -> Navmesh:
    return Navmesh(mesh, radius, height, climb, math.radians(45.0), **more)


FLOOR = ((-3.0, -3.0, -0.1), (3.0, 3.0, 0.0))


def distance(mesh: Navmesh, a, b) -> float:
    node, place = mesh.snap(a)
    return mesh.field(np.array([b])).distance(node, place)


@pytest.mark.parametrize("radius", [0.1, 0.18, 0.3])
def test_edges_and_walls_keep_the_agents_radius(radius):
    found = navmesh(boxes(FLOOR, ((-0.5, -0.5, 0.0), (0.5, 0.5, 1.5))), radius)
    floor = found.cells[found.z < 0.5]
    middles = found.origin + (floor[:, ::-1] + 0.5) * RESOLUTION
    to_edge = 3.0 - np.abs(middles).max(axis=1)
    outside = np.maximum(np.abs(middles) - 0.5, 0.0)
    clearance = np.minimum(to_edge, np.hypot(*outside.T))
    assert radius <= clearance.min() < radius + 0.075, "as Recast rounds up: .19 to .24 m of .18"


def test_distances_are_those_of_a_taut_string():
    found = navmesh(boxes(FLOOR, ((-0.5, -3.0, 0.0), (0.5, 1.0, 1.5))))
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b = rng.uniform(-2.7, -0.8), rng.uniform(0.8, 2.7)
        ya, yb = rng.uniform(-2.5, 1.0, 2)
        corners = [(-0.7, 1.2), (0.7, 1.2)]  # of the block, grown by the radius
        wanted = sum(math.dist(p, q) for p, q in zip([(a, ya), *corners], [*corners, (b, yb)], strict=True))
        assert distance(found, (a, ya, 0.0), (b, yb, 0.0)) == pytest.approx(wanted, abs=0.12)
        straight = math.dist((a, ya), (a, 2.5))
        assert distance(found, (a, ya, 0.0), (a, 2.5, 0.0)) == pytest.approx(straight, abs=2e-3)


def test_low_things_are_climbed_high_ones_and_low_ceilings_are_not():
    low, high = ((1.0, -1.0, 0.0), (2.0, 1.0, 0.15)), ((-2.0, -1.0, 0.0), (-1.0, 1.0, 0.3))
    shelf = ((-0.5, 1.5, 0.6), (0.5, 2.5, 0.7))
    found = navmesh(boxes(FLOOR, low, high, shelf), least_island=0.3)
    node, place = found.snap((1.5, 0.0, 0.15))
    assert place[2] == pytest.approx(0.15, abs=1e-6) and found.island[node] == 0
    node, place = found.snap((-1.5, 0.0, 0.3))
    assert place[2] == pytest.approx(0.3, abs=1e-6) and found.island[node] != 0
    assert math.isinf(distance(found, (-1.5, 0.0, 0.3), (0.0, 0.0, 0.0)))
    _, place = found.snap((0.0, 2.0, 0.0))
    assert place[2] == pytest.approx(0.7, abs=1e-6), "no room for the agent below the shelf"
    tall = navmesh(boxes(FLOOR, low, high, shelf), height=0.5)
    assert np.allclose(tall.snap((0.0, 2.0, 0.0))[1], (0.0, 2.0, 0.0), atol=1e-5), "a lower one has"


def test_islands_are_dropped_but_the_largest():
    table = ((1.0, 1.0, 0.0), (2.0, 2.0, 0.8))
    assert set(np.unique(navmesh(boxes(FLOOR, table)).z.round(2))) == {0.0}
    assert set(np.unique(navmesh(boxes(FLOOR, table), least_island=0.1).z.round(2))) == {0.0, 0.8}
    small = navmesh(boxes(((0.0, 0.0, 0.0), (1.0, 1.0, 0.1))))
    assert len(small.z) > 100 and small.area < 1.0, "a scene that is small as a whole stays"


def test_stairs_lead_to_the_floor_above_the_floor():
    upper = ((-3.0, -3.0, 1.6), (3.0, 0.0, 1.7))
    stairs = [((-1.5 + 0.3 * k, 1.0, 0.0), (-1.2 + 0.3 * k, 2.5, 0.17 * (k + 1))) for k in range(10)]
    landing = ((1.5, -0.2, 1.6), (3.0, 2.5, 1.7))
    found = navmesh(boxes(FLOOR, upper, landing, *stairs), height=1.2)
    below, above = (1.0, -2.0, 0.0), (1.0, -2.0, 1.7)
    (low, _), (high, _) = found.snap(below), found.snap(above)
    assert found.z[low] == pytest.approx(0.0, abs=1e-6) and found.z[high] == pytest.approx(1.7, abs=1e-6)
    assert found.island[low] == found.island[high], "one way leads to both"
    way = distance(found, below, above)
    assert 8.0 < way < 15.0
    node, place = found.snap((-1.9, 1.75, 0.0))
    for _ in range(40):
        node, place = found.step(node, place[:2], (0.1, 0.0), False)
    assert place[2] == pytest.approx(1.7, abs=1e-6), "steps climb them"


def test_a_way_straight_through_corners_is_exact_and_blocked_ones_end_at_contact():
    found = navmesh(boxes(FLOOR))
    node, place = found.snap((0.0, 0.0, 0.0))
    _, reached = found.step(node, place[:2], (1.0, 1.0), False)
    assert np.allclose(reached[:2], place[:2] + 1.0)
    _, reached = found.step(node, place[:2], (9.0, 3.0), False)
    assert 2.75 < reached[0] < 2.85 and reached[1] == pytest.approx(place[1] + reached[0] / 3.0, abs=1e-5)
    _, reached = found.step(node, place[:2], (9.0, 2.0), True)
    assert 2.75 < reached[0] < 2.85 and reached[1] == pytest.approx(place[1] + 2.0, abs=1e-5)


def test_off_the_navmesh_is_said():
    found = navmesh(boxes(FLOOR))
    assert found.snap((20.0, 0.0, 0.0)) is None
    node, place = found.snap((0.0, 0.0, 0.0))
    assert math.isinf(found.field(np.array([[20.0, 0.0, 0.0]])).distance(node, place))
    assert len(found.field(np.array([[20.0, 0.0, 0.0]])).path(node, place)) == 0


def test_warm_up_runs():
    warm_up.warm_up()
