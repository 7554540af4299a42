"""Rooms against floor plans that are known: hand-made ones, and the simulator's apartments."""

import math

import numpy as np
import pytest

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, MemoryObject, OccupancyGrid
from embodied_nav.rooms.segmentation import main_direction, segment_rooms

RES = 0.05


def plan(*rooms, doors=(), size=(12.0, 8.0)):
    """Rectangles (x0, y0, x1, y1) of floor with walls around them, joined by door rectangles; the rest is unknown."""
    data = np.full((int(size[1] / RES), int(size[0] / RES)), UNKNOWN, np.int8)
    for x0, y0, x1, y1 in rooms:
        data[_cells(y0 - RES, y1 + RES), _cells(x0 - RES, x1 + RES)] = OCCUPIED
    for x0, y0, x1, y1 in (*rooms, *doors):
        data[_cells(y0, y1), _cells(x0, x1)] = FREE
    return OccupancyGrid(data, RES, (0.0, 0.0))


def _cells(low, high):
    return slice(int(round(low / RES)), int(round(high / RES)))


def turned(grid, angle):
    """The same place in a map whose axes are turned by an angle about the middle."""
    height, width = grid.data.shape
    side = int(math.hypot(height, width)) + 4
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1) + 0.5 - side / 2
    c, s = math.cos(angle), math.sin(angle)
    x = c * cells[..., 0] - s * cells[..., 1] + width / 2
    y = s * cells[..., 0] + c * cells[..., 1] + height / 2
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    data = np.full((side, side), UNKNOWN, np.int8)
    data[inside] = grid.data[y[inside].astype(int), x[inside].astype(int)]
    return OccupancyGrid(data, RES, (0.0, 0.0))


def thing(x0, y0, x1, y1, height=0.7):
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2, height / 2])
    return MemoryObject(1, "bed", "", middle, np.array([x1 - x0, y1 - y0, height]), 1.0, 100, 1, 1, 0)


TWO = ((1.0, 1.0, 5.0, 5.0), (5.15, 1.0, 9.0, 5.0))
DOOR = (5.0, 2.0, 5.15, 2.9)


def test_two_rooms_part_at_their_door():
    rooms = segment_rooms(plan(*TWO, doors=[DOOR]))
    assert len(rooms.rooms) == 2
    left, right = rooms.at((2.0, 4.0)), rooms.at((8.0, 4.0))
    assert left.area == pytest.approx(16.0, rel=0.03)
    assert right.area == pytest.approx(15.4, rel=0.03)
    assert (left.length, left.width) == pytest.approx((4.0, 4.0), abs=0.2)
    assert [(d.neighbor, d.width) for d in left.doors] == [(right.id, pytest.approx(0.9, abs=0.15))]
    assert left.doors[0].position == pytest.approx((5.07, 2.45), abs=0.3)
    assert left.open_share < 0.02
    assert rooms.at((5.0, 7.0)) is None
    assert rooms.at((5.07, 4.5), reach=0.3) in (left, right)


def test_a_room_without_a_door_in_it_is_one_however_long():
    rooms = segment_rooms(plan((1.0, 1.0, 11.0, 2.7)))
    assert len(rooms.rooms) == 1
    assert rooms.rooms[0].elongation == pytest.approx(10.0 / 1.7, rel=0.1)
    assert rooms.rooms[0].depth == pytest.approx(1.7, abs=0.15)


def test_corridor_with_four_rooms():
    corridor = (1.0, 3.0, 9.0, 4.7)
    below, above = [(1.0, 0.5, 4.9, 2.85), (5.05, 0.5, 9.0, 2.85)], [(1.0, 4.85, 4.9, 7.5), (5.05, 4.85, 9.0, 7.5)]
    doors = [(2.0, 2.85, 2.9, 3.0), (6.0, 2.85, 6.9, 3.0), (2.0, 4.7, 2.9, 4.85), (6.0, 4.7, 6.9, 4.85)]
    rooms = segment_rooms(plan(corridor, *below, *above, doors=doors))
    assert len(rooms.rooms) == 5
    middle = rooms.at((4.0, 3.8))
    assert middle.elongation > 4.0
    assert sorted(d.neighbor for d in middle.doors) == sorted(r.id for r in rooms.rooms if r is not middle)


def test_a_wide_passage_parts_rooms_and_a_bay_does_not():
    wide = segment_rooms(plan(*TWO, doors=[(5.0, 2.0, 5.15, 4.2)]))
    assert len(wide.rooms) == 2
    bay = segment_rooms(plan((1.0, 1.0, 5.0, 5.0), doors=[(5.0, 1.2, 5.4, 4.8)]))
    assert len(bay.rooms) == 1


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4, -0.7])
def test_furniture_is_no_wall_in_any_direction_of_the_map(angle):
    """A bed leaves a narrow way at its foot: without knowing it the room would fall in two."""
    grid = plan((1.0, 1.0, 5.0, 4.0))
    data = grid.data.copy()
    bed = (2.2, 1.0, 3.8, 3.2)
    data[_cells(bed[1], bed[3]), _cells(bed[0], bed[2])] = OCCUPIED
    seen = turned(OccupancyGrid(data, RES, (0.0, 0.0)), angle)
    height, width = grid.data.shape
    c, s = math.cos(-angle), math.sin(-angle)
    corners = np.array([(x / RES - width / 2, y / RES - height / 2) for x in bed[::2] for y in bed[1::2]])
    corners = (corners @ np.array([[c, s], [-s, c]]) + seen.data.shape[0] / 2) * RES
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    assert len(segment_rooms(seen).rooms) == 2
    rooms = segment_rooms(seen, objects=[thing(x0, y0, x1, y1)])
    assert len(rooms.rooms) == 1
    assert rooms.rooms[0].area == pytest.approx(12.0, rel=0.06)
    assert rooms.of_object(thing(x0, y0, x1, y1)) is rooms.rooms[0]


def test_a_table_in_the_middle_needs_no_name():
    data = plan((1.0, 1.0, 4.0, 4.0)).data.copy()
    data[_cells(2.0, 3.0), _cells(2.0, 3.0)] = OCCUPIED
    assert len(segment_rooms(OccupancyGrid(data, RES, (0.0, 0.0))).rooms) == 1


def test_ids_stay_while_the_map_grows_and_moves():
    full = plan(*TWO, doors=[DOOR])
    data = full.data.copy()
    data[:, _cells(5.15, 12.0)] = UNKNOWN
    first = segment_rooms(OccupancyGrid(data, RES, (0.0, 0.0)))
    left = first.at((2.0, 3.0))
    shifted = OccupancyGrid(np.pad(full.data, ((7, 0), (40, 3)), constant_values=UNKNOWN), RES, (-2.0, -0.35))
    then = segment_rooms(shifted, first)
    assert then.at((2.0, 3.0)).id == left.id
    assert then.at((8.0, 3.0)).id not in (0, left.id)
    again = segment_rooms(shifted, then)
    assert (again.labels == then.labels).all()


def test_the_unknown_opens_a_room_and_makes_no_door():
    """Half of a room seen through its door: what is not seen is neither wall nor neck."""
    data = plan(*TWO, doors=[DOOR]).data.copy()
    rr, cc = np.mgrid[: data.shape[0], : data.shape[1]]
    hidden = (cc * RES > 5.6) & (abs(rr * RES - 2.45) > 0.45 + 0.6 * (cc * RES - 5.6))
    data[hidden] = UNKNOWN
    rooms = segment_rooms(OccupancyGrid(data, RES, (0.0, 0.0)))
    assert len(rooms.rooms) == 2
    assert rooms.at((8.0, 2.5)).open_share > 0.3
    assert rooms.at((2.0, 2.5)).open_share < 0.05


def test_nothing_known_has_no_rooms():
    rooms = segment_rooms(OccupancyGrid(np.full((40, 40), UNKNOWN, np.int8), RES, (0.0, 0.0)))
    assert rooms.rooms == ()
    assert not rooms.labels.any()
    with pytest.raises(KeyError):
        rooms.room(1)


def test_main_direction_of_a_turned_plan():
    for angle in (0.0, 0.2, -0.5):
        found = main_direction(turned(plan(*TWO, doors=[DOOR]), angle).data == OCCUPIED)
        assert math.remainder(found + angle, math.pi / 2) == pytest.approx(0.0, abs=0.03)


def test_apartments_fall_into_their_rooms():
    """Most free cells of a region lie in one room, most free cells of a room in one region."""
    shares = np.array([agreement(seed) for seed in (3, 8, 12, 21, 30)])
    assert (shares > 0.7).all()
    assert (shares.mean(axis=0) > 0.9).all()


def agreement(seed):
    """Share of an apartment's free cells in their region's main room, and in their room's main region."""
    from embodied_nav.sim.episodes import apartment

    description, navigable = apartment(seed)
    objects = []
    for k, o in enumerate(description.objects):
        c, s = abs(math.cos(o.yaw)), abs(math.sin(o.yaw))
        extent = np.array([c * o.extent[0] + s * o.extent[1], s * o.extent[0] + c * o.extent[1], o.extent[2]])
        objects.append(MemoryObject(k, o.category, o.color, np.array(o.center), extent, 1.0, 100, 1, 1, 0))
    grid = navigable.grid
    rooms = segment_rooms(grid, objects=objects)
    cells = np.argwhere((grid.data == FREE) & (rooms.labels > 0))
    x, y = grid.centers(cells).T
    truth = np.zeros(len(cells), int)
    for k, room in enumerate(description.rooms):
        for x0, y0, x1, y1 in room.rectangles:
            truth[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)] = k + 1
    inside = truth > 0
    table = np.zeros((len(description.rooms) + 1, rooms.labels.max() + 1), int)
    np.add.at(table, (truth[inside], rooms.labels[tuple(cells[inside].T)]), 1)
    return table.max(axis=0).sum() / table.sum(), table.max(axis=1).sum() / table.sum()
