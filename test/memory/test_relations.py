"""Relations between boxes against what anyone would say of them."""

import numpy as np
import pytest

from embodied_nav.frames import MemoryObject, OccupancyGrid
from embodied_nav.memory.query import relations
from embodied_nav.memory.query.relations import between, front_of, holds, relations_of, viewpoint
from embodied_nav.rooms.segmentation import segment_rooms


def thing(i, label, x, y, size, z=0.0, color="", status="present"):
    extent = np.array(size, float)
    position = np.array([x, y, z + extent[2] / 2])
    return MemoryObject(i, label, color, position, extent, 0.9, 50, 1, 2, 0, status)


DESK = thing(1, "desk", 2.0, 0.4, (1.4, 0.7, 0.75), color="brown")
COMPUTER = thing(2, "computer", 2.1, 0.4, (0.5, 0.2, 0.45), z=0.75)
CHAIR = thing(3, "chair", 2.0, 1.2, (0.5, 0.5, 0.9), color="black")
LAMP = thing(4, "lamp", 3.2, 0.4, (0.4, 0.4, 1.6))
RUG = thing(5, "rug", 2.0, 1.5, (2.0, 1.5, 0.02))
PICTURE = thing(6, "picture", 2.0, 0.05, (0.8, 0.05, 0.5), z=1.3)
SOFA = thing(7, "sofa", 8.0, 6.0, (2.0, 0.9, 0.8))
ALL = [DESK, COMPUTER, CHAIR, LAMP, RUG, PICTURE, SOFA]
VIEWER = np.array([2.0, 3.0])


@pytest.mark.parametrize(
    ("kind", "a", "b"),
    [
        ("on", COMPUTER, DESK), ("on", CHAIR, RUG), ("above", PICTURE, DESK), ("beside", LAMP, DESK),
        ("beside", CHAIR, DESK), ("near", LAMP, CHAIR), ("under", thing(9, "box", 2.0, 0.4, (0.3, 0.3, 0.3)), DESK),
        ("on", thing(9, "pillow", 8.0, 6.0, (0.4, 0.4, 0.2), z=0.65), SOFA),
    ],
)  # fmt: skip
def test_what_holds(kind, a, b):
    assert holds(kind, a, b) > 0.5


@pytest.mark.parametrize(
    ("kind", "a", "b"),
    [
        ("on", DESK, COMPUTER), ("on", CHAIR, DESK), ("on", LAMP, DESK), ("beside", COMPUTER, DESK),
        ("near", SOFA, DESK), ("beside", SOFA, DESK), ("under", COMPUTER, DESK), ("above", COMPUTER, DESK),
        ("on", PICTURE, DESK), ("on", DESK, DESK), ("near", DESK, DESK),
    ],
)  # fmt: skip
def test_what_does_not_hold(kind, a, b):
    assert holds(kind, a, b) < 0.5


def test_sides_are_the_viewers():
    # Who looks at the desk from y = 3 towards -y has +x at his left.
    assert holds("left of", LAMP, DESK, VIEWER) > 0.8 and holds("right of", LAMP, DESK, VIEWER) == 0
    assert holds("in front of", CHAIR, DESK, VIEWER) > 0.8 and holds("behind", DESK, CHAIR, VIEWER) > 0.8
    other_side = np.array([2.0, -3.0])
    assert holds("right of", LAMP, DESK, other_side) > 0.8 and holds("behind", CHAIR, DESK, other_side) > 0.8
    assert holds("left of", LAMP, DESK) == 0.0


@pytest.mark.parametrize("angle", np.linspace(0.1, 6.2, 7))
def test_sides_do_not_depend_on_how_the_map_is_turned(angle):
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, -s], [s, c]])

    def turned(o, size=(0.4, 0.4, 0.8)):
        x, y = R @ o.position[:2]
        return thing(o.id, o.label, x, y, size)

    kinds = {kind: holds(kind, turned(LAMP), turned(CHAIR), R @ VIEWER) > 0 for kind in relations.DIRECTED}
    assert kinds == {kind: holds(kind, thing(4, "", 3.2, 0.4, (0.4,) * 3), thing(3, "", 2.0, 1.2, (0.4,) * 3), VIEWER)
                     > 0 for kind in relations.DIRECTED}  # fmt: skip


def test_between():
    left, right = thing(1, "bed", 0, 0, (1, 1, 1)), thing(2, "wardrobe", 4, 0, (1, 1, 1))
    middle, end, off = (thing(3, "plant", *xy, (0.4, 0.4, 1)) for xy in ((2.0, 0.1), (3.9, 0.0), (2.0, 2.0)))
    assert between(middle, left, right) > 0.8 and between(middle, right, left) > 0.8
    assert between(end, left, right) == between(off, left, right) == 0.0
    assert between(left, left, right) == 0.0


def grid_of_a_room():
    data = np.full((80, 120), -1, np.int8)
    data[2:78, 2:118] = 100
    data[4:76, 4:116] = 0
    cells = OccupancyGrid(data, 0.05, (-0.2, -0.2))
    for o in (DESK, CHAIR, LAMP):
        (r0, c0), (r1, c1) = (
            cells.cells(o.position[:2] - o.extent[:2] / 2),
            cells.cells(o.position[:2] + o.extent[:2] / 2),
        )
        data[r0 : r1 + 1, c0 : c1 + 1] = 100
    return cells


def test_the_front_of_what_stands_at_a_wall_is_away_from_it():
    grid = grid_of_a_room()
    assert np.array_equal(front_of(DESK, grid), (0, 1))
    free = thing(8, "table", 4.5, 2.0, (0.8, 0.8, 0.7))
    assert front_of(free, grid) is None
    place = viewpoint(DESK, grid)
    assert abs(place[0] - 2.0) < 1e-9 and place[1] > 2.0
    T = np.eye(4)
    T[:2, 3] = 5.0, 1.0
    assert np.array_equal(viewpoint(free, grid, T), (5.0, 1.0)) and viewpoint(free) is None


def test_what_is_told_of_a_thing():
    rooms = segment_rooms(grid_of_a_room(), objects=ALL)
    told = relations_of(COMPUTER, ALL, rooms)
    assert told[0].text == "on the brown desk" and told[0].object == DESK.id and told[1].kind == "in"
    texts = [r.text for r in relations_of(CHAIR, ALL, rooms, viewer=VIEWER)]
    assert texts[0] == "on the rug" and "beside the brown desk (0.2 m)" in texts
    assert "in front of the brown desk (0.2 m)" in texts
    assert relations_of(SOFA, ALL) == []
    away = [*ALL[1:], thing(1, "desk", 2.0, 0.4, (1.4, 0.7, 0.75), status="gone")]
    assert all(r.object != 1 for r in relations_of(COMPUTER, away))
