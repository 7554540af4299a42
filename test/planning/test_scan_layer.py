"""Scans on the grid: walls where the beams end, free ground where they pass, nothing taken back from the camera."""

import numpy as np

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from embodied_nav.geometry import pose2d
from embodied_nav.planning.scan_layer import ScanLayer

ANGLES = np.linspace(-np.pi, np.pi, 720, endpoint=False)


def square_room(half, x=0.0, y=0.0):
    """Ranges from (x, y) to the walls of a square room around the origin."""
    c, s = np.cos(ANGLES), np.sin(ANGLES)
    with np.errstate(divide="ignore"):
        tx = np.where(c > 0, (half - x) / c, (-half - x) / c)
        ty = np.where(s > 0, (half - y) / s, (-half - y) / s)
    return np.minimum(tx, ty)


def empty_grid():
    return OccupancyGrid(np.full((4, 4), UNKNOWN, np.int8), 0.05, (-0.1, -0.1), 7)


def test_a_room_appears():
    layer = ScanLayer(0.05)
    for x, y, yaw in ((0.0, 0.0, 0.0), (0.5, -0.4, 1.0)):
        turned = np.interp(
            (ANGLES + yaw + np.pi) % (2 * np.pi) - np.pi, ANGLES, square_room(2.02, x, y), period=2 * np.pi
        )
        layer.add(turned, ANGLES, pose2d(x, y, yaw, 0.2))
    grid = layer.over(empty_grid())

    def value(x, y):
        return grid.data[tuple(grid.cells(np.array([x, y])))]

    assert value(0, 0) == value(1.5, -1.5) == value(-1.9, 0.3) == FREE
    assert value(2.03, 0.5) == value(-0.7, -2.03) == OCCUPIED
    assert value(2.4, 0.0) == UNKNOWN and grid.stamp == 7


def test_obstacles_of_the_camera_stay_and_moved_things_go():
    layer = ScanLayer(0.05)
    assert layer.over(empty_grid()).data.shape == (4, 4), "nothing scanned, nothing changed"
    near = np.where(np.abs(ANGLES) < 0.1, 1.0, square_room(2.02))
    layer.add(near, ANGLES, np.eye(4))
    grid = layer.over(empty_grid())
    assert grid.data[tuple(grid.cells(np.array([1.0, 0.0])))] == OCCUPIED
    for _ in range(10):
        layer.add(square_room(2.02), ANGLES, np.eye(4))
    table = np.full((10, 10), UNKNOWN, np.int8)
    table[5, 5] = OCCUPIED
    grid = layer.over(OccupancyGrid(table, 0.05, (0.75, -0.25), 7))
    assert grid.data[tuple(grid.cells(np.array([1.0, 0.0])))] == OCCUPIED, "the camera's table top, above the beam"
    assert grid.data[tuple(grid.cells(np.array([1.0, -0.2])))] == FREE
    grid = layer.over(empty_grid())
    assert grid.data[tuple(grid.cells(np.array([1.0, 0.0])))] == FREE, "what stood there went away"


def test_rays_into_the_open_clear_but_do_not_hit():
    layer = ScanLayer(0.05)
    layer.add(np.full(720, 30.0), ANGLES, np.eye(4))
    layer.add(np.full(720, np.nan), ANGLES, np.eye(4))
    layer.add(np.full(720, np.inf), ANGLES, np.eye(4))
    grid = layer.over(empty_grid())
    assert (grid.data != OCCUPIED).all() and (grid.data == FREE).sum() * 0.05**2 > 0.9 * np.pi * 5.9**2
