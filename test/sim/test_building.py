"""Apartments joined to one building: every room is behind a door, walls stand where walls were."""

import itertools

import numpy as np
import pytest

from embodied_nav.sim.apartments import CLASSES, ApartmentConfig, generate
from embodied_nav.sim.apartments.building import make_building
from embodied_nav.sim.apartments.structure import wall_pieces
from embodied_nav.sim.navigable import NavigableMap


@pytest.fixture(scope="module", params=range(3))
def plan(request):
    config = CLASSES["building"]
    return make_building(np.random.default_rng(request.param), config.apartments, config.rooms_min, config.rooms_max)


def test_rooms_of_six_apartments_do_not_overlap_and_all_are_connected(plan):
    assert 6 * 8 < len(plan.rooms) <= 6 * 12 + 1 and plan.kinds[-1] == "hallway"
    for a, b in itertools.combinations(plan.rooms, 2):
        apart = a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
        assert apart, (a, b)
    x0, y0, x1, y1 = plan.outline
    assert all(x0 < r[0] and y0 < r[1] and r[2] < x1 and r[3] < y1 for r in plan.rooms)
    reached, waiting = set(), [0]
    while waiting:
        room = waiting.pop()
        reached.add(room)
        through = [r for o in plan.openings if room in o.rooms for r in o.rooms]
        waiting += [r for r in through if r not in reached]
    assert reached == set(range(len(plan.rooms)))


def test_every_door_is_in_the_wall_that_its_two_rooms_share(plan):
    for o in plan.openings:
        lower, upper = (plan.rooms[i] for i in o.rooms)
        assert lower[o.axis + 2] < o.at < upper[o.axis], "between the two"
        assert upper[o.axis] - lower[o.axis + 2] == pytest.approx(0.12, abs=1e-4)
        along = 1 - o.axis
        assert max(lower[along], upper[along]) < o.low < o.high < min(lower[along + 2], upper[along + 2])
        for index, side in ((o.rooms[0], o.axis + 2), (o.rooms[1], o.axis)):
            holes = [p for p in plan.openings if p.axis == o.axis and p.rooms[side < 2] == index]
            holes.sort(key=lambda p: p.low)
            room = plan.rooms[index]
            assert len(wall_pieces(room[along], room[along + 2], holes)) == len(holes) + 1, "doors do not overlap"


def test_no_window_looks_into_the_corridor(plan):
    corridor = plan.rooms[-1]
    for w in plan.windows:
        x0, y0, x1, y1 = plan.rooms[w.room]
        assert (x0, y0)[1 - w.side % 2] <= w.low < w.high <= (x1, y1)[1 - w.side % 2]
        beside = w.side % 2 and abs((x0, y0, x1, y1)[w.side] - corridor[4 - w.side]) < 0.2
        assert not beside


def test_a_building_is_furnished_and_every_room_can_be_driven_to():
    scene = generate(2, ApartmentConfig(rooms_min=3, rooms_max=4, apartments=2))
    free = NavigableMap(scene)
    assert 7 <= len(scene.rooms) <= 9
    for room in scene.rooms:
        x0, y0, x1, y1 = room.rectangles[0]
        (r0, c0), (r1, c1) = free.cell((x0, y0)), free.cell((x1, y1))
        assert free.free[r0 : r1 + 1, c0 : c1 + 1].sum() * free.resolution**2 >= 1.0
