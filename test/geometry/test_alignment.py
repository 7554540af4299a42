"""Depth that lies off the colour image is found, by how much, and drawn; registered depth is left in peace."""

import numpy as np
import pytest

from embodied_nav.geometry.alignment import alignment, depth_edges, edge_distance, edge_picture

HEIGHT, WIDTH = 240, 320


def scene(seed: int, right: float = 0.0, down: float = 0.0, scale: float = 1.0):
    """Boxes before a textured wall; the colour image sees them moved and scaled against the depth image."""
    rng = np.random.default_rng(seed)
    wall = np.repeat(np.repeat(rng.integers(90, 130, (HEIGHT // 20, WIDTH // 20, 3)), 20, 0), 20, 1)
    color, depth = wall.astype(np.uint8), np.full((HEIGHT, WIDTH), 4.0, np.float32)
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    for _ in range(5):
        low = rng.uniform((20, 20), (WIDTH - 90, HEIGHT - 80))
        high = low + rng.uniform(30, 60, 2)
        z, shade = rng.uniform(1.0, 2.5), rng.integers(0, 256, 3)
        inside = (u >= low[0]) & (u < high[0]) & (v >= low[1]) & (v < high[1]) & (depth > z)
        depth[inside] = z
        a = (low - centre) * scale + centre + (right, down)
        b = (high - centre) * scale + centre + (right, down)
        color[(u >= a[0]) & (u < b[0]) & (v >= a[1]) & (v < b[1])] = shade
    return color, depth


def test_silhouette_is_drawn_on_the_near_side_and_thin():
    depth = np.full((100, 100), 3.0, np.float32)
    depth[30:70, 40:60] = 1.0
    expected = np.zeros((100, 100), bool)
    expected[30:70, 40:60] = True
    expected[31:69, 41:59] = False
    np.testing.assert_array_equal(depth_edges(depth), expected)
    color = np.zeros((100, 100, 3), np.uint8)
    np.testing.assert_array_equal((edge_picture(color, depth) == (255, 0, 255)).all(-1), expected)


def test_gap_beside_a_silhouette_does_not_hide_it_and_holes_are_none():
    depth = np.full((100, 100), 3.0, np.float32)
    depth[:, :50] = 1.0
    depth[:, 50:53] = np.nan
    depth[10:15, 80:85] = np.nan
    edges = depth_edges(depth)
    assert edges[:, 49].all() and edges.sum() == 100


def test_slanted_floor_has_no_silhouette():
    depth = np.repeat(np.linspace(5.0, 1.0, 240, dtype=np.float32)[:, None], 320, 1)
    assert not depth_edges(depth).any()


def test_registered_images_are_left_in_peace():
    found = alignment([scene(seed) for seed in range(6)])
    assert found.displacement < 2.0


@pytest.mark.parametrize(("right", "down", "scale"), [(-6, 4, 1.0), (5, -8, 1.0), (0, 0, 0.92), (-4, 2, 1.08)])
def test_offset_and_scale_are_found(right, down, scale):
    found = alignment([scene(seed, right, down, scale) for seed in range(6)])
    assert found.right == pytest.approx(right, abs=1.5)
    assert found.down == pytest.approx(down, abs=1.5)
    assert found.scale == pytest.approx(scale, abs=0.015)
    assert found.gain > 1.5


def test_edge_distance_is_as_far_as_depth_lies_off():
    assert edge_distance([scene(seed) for seed in range(6)]) <= 1.5
    # Half of a box's outline runs along the shift and stays near.
    off = [edge_distance([scene(seed, d, d) for seed in range(6)]) for d in (3.0, 6.0)]
    assert off[0] == pytest.approx(3.0, abs=1.2) and off[1] == pytest.approx(6.0, abs=1.5)
    assert edge_distance([]) is None


def test_blank_wall_says_nothing():
    wall = [(np.full((240, 320, 3), 99, np.uint8), np.full((240, 320), 2.0, np.float32))]
    assert alignment(wall) is None and edge_distance(wall) is None


def test_real_camera_without_registration_is_found(kitchen):
    """7-Scenes' colour has a focal length of 525 to 540 px where its depth has 585."""
    from embodied_nav.recordings import SevenScenes

    recording = SevenScenes(kitchen)
    frames = []
    for i in range(0, len(recording), 40):
        frame = recording.read(i)
        depth = frame.depth.astype(np.float32) / 1000
        depth[(frame.depth == 0) | (frame.depth == 65535)] = np.nan
        frames.append((frame.color, depth))
    found = alignment(frames)
    assert 525 / 585 - 0.02 < found.scale < 540 / 585 + 0.02
    assert found.gain > 1.5 and found.displacement > 10
