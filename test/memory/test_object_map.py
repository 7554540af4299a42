"""The picture of the object map: what is in it, and that it can be written."""

import cv2
import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import MemoryObject, OccupancyGrid
from embodied_nav.memory.output.object_map import draw_object_map, drawn_relations
from embodied_nav.memory.output.render import room_color
from embodied_nav.memory.query.relations import relations_of
from embodied_nav.rooms.segmentation import segment_rooms


def thing(i, label, x, y, size=(0.5, 0.5, 0.8), z=0.0, status="present", color="red"):
    extent = np.array(size, float)
    return MemoryObject(i, label, color, np.array([x, y, z + extent[2] / 2]), extent, 0.9, 50, 1, 2, 0, status)


def two_rooms():
    """4 x 3 m each, a wall between with a door at its end."""
    data = np.full((80, 180), -1, np.int8)
    data[8:72, 8:172] = 100
    data[10:70, 10:170] = 0
    data[10:70, 89:91] = 100
    data[12:28, 89:91] = 0
    return OccupancyGrid(data, 0.05, (-0.5, -0.5))


def test_the_picture_shows_rooms_objects_and_what_is_gone(tmp_path):
    grid = two_rooms()
    objects = [thing(1, "sofa", 1.0, 2.0), thing(2, "lamp", 1.7, 2.0), thing(3, "bed", 6.0, 2.0, color="blue"),
               thing(4, "chair", 5.0, 1.0, status="gone")]  # fmt: skip
    rooms = segment_rooms(grid, objects=objects)
    assert len(rooms.rooms) == 2
    path = tmp_path / "map.png"
    draw_object_map(path, grid, objects, rooms, {1: "den"}, np.array([[0.5, 0.5], [3.0, 0.5]]), "home")
    picture = cv2.imread(str(path))[..., ::-1].reshape(-1, 3).astype(int)
    assert len(picture) > 300_000

    def share(color, tolerance=6):
        return float((np.abs(picture - np.array(color)).max(1) <= tolerance).mean())

    for room in rooms.rooms:
        assert share(0.72 * np.array((250, 249, 245)) + 0.28 * 255 * np.array(room_color(room.id))) > 0.05
    assert share((38, 50, 66)) > 0.01
    # Red things' boxes, a blue one's, and a grey dotted outline for the one that is gone.
    assert share((214, 39, 40), 40) > 1e-4 and share((31, 119, 180), 40) > 1e-4


def test_nothing_is_beside_what_stands_behind_a_wall():
    grid = two_rooms()
    objects = [thing(1, "sofa", 3.6, 2.4), thing(2, "lamp", 4.4, 2.4), thing(3, "bed", 3.0, 2.4)]
    assert any(r.object == 2 for r in relations_of(objects[0], objects))
    rooms = segment_rooms(grid, objects=objects)
    told = relations_of(objects[0], objects, rooms)
    assert {r.object for r in told if r.kind == "beside"} == {3}
    assert {(r.subject, r.object) for r in drawn_relations(objects, rooms)} == {(1, 3)}


def test_a_place_that_cannot_be_written(tmp_path):
    grid = two_rooms()
    with pytest.raises(InputError, match="cannot be written"):
        draw_object_map(tmp_path / "no" / "map.png", grid, [], segment_rooms(grid))
