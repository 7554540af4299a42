"""What RViz is shown of objects and rooms."""

import numpy as np
from visualization_msgs.msg import Marker

from embodied_nav.frames import MemoryObject, OccupancyGrid
from embodied_nav.nodes.ros import markers
from embodied_nav.nodes.ros.conversions import header, object_from_msg, object_msg
from embodied_nav.rooms.segmentation import segment_rooms


def thing(i, status, **more):
    return MemoryObject(i, "chair", "red", np.array([1.0, 2.0, 0.4]), np.full(3, 0.5), 0.5, 50, 1, 2, 0, status, **more)


def test_gone_objects_are_grey_and_say_so():
    array = markers.objects([thing(1, "present"), thing(2, "gone")], header(1, "map"))
    boxes = {m.id: m for m in array.markers if m.ns == "boxes"}
    names = {m.id: m for m in array.markers if m.ns == "names"}
    assert array.markers[0].action == Marker.DELETEALL
    color = boxes[1].color
    assert max(color.r, color.g, color.b) - min(color.r, color.g, color.b) > 0.3
    color = boxes[2].color
    assert color.r == color.g == color.b and color.a < boxes[1].color.a
    assert names[1].text == "red chair #1" and names[2].text == "red chair #2 (gone)"


def test_rooms_have_floors_of_their_own_colour_and_names():
    data = np.full((80, 180), 100, np.int8)
    data[10:70, 10:170] = 0
    data[10:70, 89:91] = 100
    data[12:28, 89:91] = 0
    rooms = segment_rooms(OccupancyGrid(data, 0.05, (-0.5, -0.5)))
    array = markers.rooms(rooms, {rooms.rooms[0].id: "kitchen"}, header(1, "map"))
    floors = [m for m in array.markers if m.ns == "floors"]
    names = [m.text for m in array.markers if m.ns == "rooms"]
    assert len(floors) == 2 and sorted(names) == sorted(["kitchen", f"room {rooms.rooms[1].id}"])
    assert len({(m.color.r, m.color.g, m.color.b) for m in floors}) == 2
    for floor in floors:
        area = len(floor.points) * floor.scale.x * floor.scale.y
        assert abs(area - rooms.room(floor.id).area) < 0.1 * area
        assert all(rooms.at((p.x, p.y), 0.1).id == floor.id for p in floor.points[::50])


def test_what_is_known_of_an_object_comes_through_a_message():
    o = thing(3, "gone", label_distribution=(("chair", 0.75), ("stool", 0.25)), confirmed=7, missed=2, moves=1)
    back = object_from_msg(object_msg(o))
    assert back.label_distribution == o.label_distribution
    assert (back.confirmed, back.missed, back.moves, back.status) == (7, 2, 1, "gone")
