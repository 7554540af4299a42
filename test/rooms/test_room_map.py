"""Whoever asks for rooms gets the same ones under the same ids, and no more of them are made than are needed."""

import numpy as np
import pytest

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, MemoryObject, OccupancyGrid
from embodied_nav.rooms import RoomMap, room_map, room_names

SECOND = 1_000_000_000


def two_rooms(stamp, open_columns=120):
    """Two rooms with a door between them, of which so many columns are known."""
    data = np.full((80, 120), OCCUPIED, np.int8)
    data[4:76, 4:58] = data[4:76, 62:116] = FREE
    data[30:48, 58:62] = FREE
    data[:, open_columns:] = UNKNOWN
    return OccupancyGrid(data, 0.05, (0.0, 0.0), stamp)


@pytest.fixture
def splits(monkeypatch):
    """The stamps of all maps that were split."""
    stamps, split = [], room_map.segment_rooms
    monkeypatch.setattr(room_map, "segment_rooms", lambda grid, *more: stamps.append(grid.stamp) or split(grid, *more))
    return stamps


def test_rooms_of_a_moment_ago_will_do_where_one_says_so(splits):
    rooms = RoomMap()
    first = rooms.update(two_rooms(1 * SECOND), ())
    assert rooms.update(two_rooms(int(1.9 * SECOND)), (), max_age=1.0) is first
    assert rooms.update(two_rooms(int(1.9 * SECOND)), ()) is not first
    rooms.update(two_rooms(3 * SECOND), (), max_age=1.0)
    rooms.update(two_rooms(2 * SECOND), (), max_age=1.0)  # the clock was set back
    assert splits == [1 * SECOND, int(1.9 * SECOND), 3 * SECOND, 2 * SECOND]


def test_a_map_that_has_not_changed_is_not_split_again(splits):
    rooms = RoomMap()
    first = rooms.update(two_rooms(1 * SECOND), (), version=7)
    assert rooms.update(two_rooms(9 * SECOND), (), version=7) is first
    assert rooms.update(two_rooms(9 * SECOND), (), version=8) is not first
    assert len(splits) == 2


def test_labels_lie_on_the_grid_that_is_given_at_any_age(splits):
    rooms = RoomMap()
    first = rooms.update(two_rooms(1 * SECOND), ())
    grown = two_rooms(1 * SECOND)
    grown = OccupancyGrid(np.pad(grown.data, 5, constant_values=UNKNOWN), 0.05, (-0.25, -0.25), grown.stamp)
    then = rooms.update(grown, (), max_age=60.0)
    assert then.labels.shape == grown.data.shape
    assert {room.id for room in then.rooms} == {room.id for room in first.rooms}
    assert then.at((1.0, 1.0)).id == first.at((1.0, 1.0)).id


def test_ids_outlive_splits_and_end_with_the_map():
    rooms = RoomMap()
    left = rooms.update(two_rooms(1, open_columns=60), ()).at((1.0, 1.0)).id
    both = rooms.update(two_rooms(2), ())
    assert both.at((1.0, 1.0)).id == left and both.at((5.0, 1.0)).id != left
    oven = MemoryObject(1, "cooker", "", np.array([5.0, 1.0, 0.4]), np.full(3, 0.6), 1.0, 9, 1, 1, 0)
    assert room_names(both, (oven,)) == {both.at((5.0, 1.0)).id: "kitchen"}
    rooms.clear()
    assert {room.id for room in rooms.update(two_rooms(3), ()).rooms} == {1, 2}
