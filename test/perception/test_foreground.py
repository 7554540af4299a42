"""Pixels of a thing in a box, on depth images with known truth."""

import numpy as np
import pytest

from embodied_nav.geometry import Camera
from embodied_nav.perception.foreground import foreground

CAMERA = Camera.from_hfov(320, 240, np.radians(60))
V, U = np.mgrid[:240, :320]


def quality(found, truth):
    """(share of the found pixels that are right, share of the true ones that are found)."""
    return (found & truth).sum() / max(found.sum(), 1), (found & truth).sum() / truth.sum()


def floor_and_wall(height=1.0, wall=4.0):
    """Depth of a floor so far below a level camera, up to a wall."""
    with np.errstate(divide="ignore"):
        floor = np.where(V - CAMERA.cy > 0, height * CAMERA.fy / np.maximum(V - CAMERA.cy, 1e-9), np.inf)
    return np.minimum(floor, wall).astype(np.float32)


def test_a_thing_before_a_wall():
    depth = np.full((240, 320), 3.0, np.float32)
    truth = (U >= 100) & (U < 160) & (V >= 80) & (V < 140)
    depth[truth] = 2.0
    found = foreground(depth, np.array([95, 76, 166, 144]), CAMERA)
    assert min(quality(found, truth)) > 0.97


def test_a_box_off_by_some_pixels_and_holes_at_the_edges_do_not_matter():
    depth = floor_and_wall()
    truth = (U >= 120) & (U < 180) & (V >= 110) & (V < 190)
    depth[truth] = 1.4
    rim = truth & ~((U >= 123) & (U < 177) & (V >= 113) & (V < 187))
    depth[rim] = np.nan
    depth += np.random.default_rng(0).normal(0, 0.004, depth.shape).astype(np.float32) * depth**2
    found = foreground(depth, np.array([113, 104, 173, 184]), CAMERA)
    right, whole = quality(found, truth & ~rim)
    assert right > 0.97 and whole > 0.8


def test_a_cup_is_told_from_the_table_it_stands_on():
    depth = floor_and_wall(0.4, 2.5)  # a table top is a plane like a floor
    truth = (U >= 150) & (U < 190) & (V >= 150) & (V < 200)
    depth[truth] = 0.4 * CAMERA.fy / (200 - CAMERA.cy)  # it stands where the top is as far as it
    found = foreground(depth, np.array([146, 146, 194, 204]), CAMERA)
    assert min(quality(found, truth)) > 0.85


def chair_before_table():
    """Depth, chair, table: a slatted back and legs at 1.1 m before a table top at 1.5 to 2.4 m with one leg."""
    depth = floor_and_wall()
    top = (V >= 160) & (V < 185) & (U >= 60) & (U < 260)
    depth[top] = (0.35 * CAMERA.fy / np.maximum(V - CAMERA.cy, 1.0)).astype(np.float32)[top]
    leg = (V >= 185) & (V < 212) & (U >= 230) & (U < 240)
    depth[leg] = 1.5
    frame = (U >= 120) & (U < 190) & (V >= 120) & (V < 235)
    post, slat = (U < 128) | (U >= 182), (V - 120) % 20 < 9
    chair = frame & (post | (slat & (V < 200)))
    depth[chair] = 1.1
    return depth, chair, (top | leg) & ~chair


def test_a_chair_is_told_from_the_table_seen_through_it():
    depth, chair, _ = chair_before_table()
    found = foreground(depth, np.array([118, 118, 192, 237]), CAMERA)
    right, whole = quality(found, chair)
    assert right > 0.95 and whole > 0.9


def test_a_table_behind_a_chair_is_one_table_without_the_chair():
    depth, chair, table = chair_before_table()
    found = foreground(depth, np.array([57, 157, 263, 214]), CAMERA)
    assert not (found & chair).any()
    assert (found & table)[:, :118].any() and (found & table)[:, 195:].any(), "both sides of the chair"
    assert quality(found, table)[0] > 0.9


def test_a_flat_thing_on_a_wall_is_all_of_its_box():
    depth = np.full((240, 320), 3.0, np.float32)
    found = foreground(depth, np.array([100, 60, 200, 120]), CAMERA)
    assert found.sum() > 0.9 * 100 * 60 and not found[:50].any()


def test_a_mask_is_taken_as_it_is_but_for_pixels_that_lie_far_behind():
    depth = floor_and_wall(0.4, 3.0)
    truth = (U - 160) ** 2 + (V - 180) ** 2 < 30**2
    depth[truth] = 1.0
    mask = (U - 160) ** 2 + (V - 180) ** 2 < 34**2
    found = foreground(depth, np.array([126, 146, 195, 215]), CAMERA, mask)
    right, whole = quality(found, truth)
    assert right > 0.9 and whole > 0.98 and not (found & ~mask).any()


@pytest.mark.parametrize("box", [[10, 10, 60, 60], [-50, -50, -10, -10], [319, 239, 400, 300]])
def test_nothing_without_depth_or_outside_of_the_image(box):
    depth = np.full((240, 320), np.nan, np.float32)
    assert not foreground(depth, np.array(box, float), CAMERA).any()
    depth[:] = 9.0
    assert not foreground(depth, np.array(box, float), CAMERA).any(), "beyond the farthest depth"
