"""Depth overlap against plain geometry."""

import math

import numpy as np
import pytest
from box_room import camera_pose, room_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.geometry import Camera, invert
from embodied_nav.keyframes import depth_overlap

CAMERA = Camera.from_hfov(320, 240, math.radians(80))


def brute_overlap(depth, other_depth, T, tolerance):
    """Every pixel, in numpy, with the same rule."""
    points = (CAMERA.rays() * depth[..., None]).reshape(-1, 3).astype(np.float64)
    points = points[np.isfinite(points[:, 2])] @ T[:3, :3].T + T[:3, 3]
    uv, z = CAMERA.project(points)
    uv = np.nan_to_num(np.floor(uv + 0.5), nan=-1).astype(int)
    inside = (z > 0.05) & (uv >= 0).all(1) & (uv < (CAMERA.width, CAMERA.height)).all(1)
    d = np.full(len(z), np.inf)
    d[inside] = other_depth[uv[inside, 1], uv[inside, 0]]
    known = ~np.isnan(d)
    return (np.abs(d[known] - z[known]) <= np.maximum(0.05, tolerance * z[known])).sum() / known.sum()


@settings(max_examples=25, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-0.7, 0.7))
def test_agrees_with_every_pixel_in_numpy(x, y, yaw):
    a, b = room_frame(1, CAMERA, camera_pose()), room_frame(2, CAMERA, camera_pose(x, y, yaw))
    T = invert(a.T_map_camera) @ b.T_map_camera
    value = depth_overlap(b.depth, CAMERA, a.depth, CAMERA, T)
    assert value == pytest.approx(brute_overlap(b.depth, a.depth, T, 0.08), abs=0.05)


def test_a_turn_in_front_of_a_far_sphere_keeps_the_shared_field_of_view():
    depth = (5.0 / np.linalg.norm(CAMERA.rays(), axis=-1)).astype(np.float32)
    T = camera_pose()
    turned = camera_pose(yaw=math.radians(20))
    value = depth_overlap(depth, CAMERA, depth, CAMERA, invert(T) @ turned)
    # Columns that stay in view: those within tan(40 deg) after the turn.
    expected = (math.tan(math.radians(40)) + math.tan(math.radians(20))) / (2 * math.tan(math.radians(40)))
    assert value == pytest.approx(expected, abs=0.06)


def test_holes_have_no_verdict():
    depth = np.full((240, 320), 2.0, np.float32)
    holed = depth.copy()
    holed[:, :160] = np.nan
    assert depth_overlap(depth, CAMERA, holed, CAMERA, np.eye(4)) == 1.0
    assert math.isnan(depth_overlap(depth, CAMERA, np.full_like(depth, np.nan), CAMERA, np.eye(4)))
    assert math.isnan(depth_overlap(np.full_like(depth, np.nan), CAMERA, depth, CAMERA, np.eye(4)))


def test_views_of_different_size_compare():
    large = Camera.from_hfov(640, 480, CAMERA.hfov)
    a, b = room_frame(1, CAMERA, camera_pose()), room_frame(2, large, camera_pose())
    assert depth_overlap(b.depth, large, a.depth, CAMERA, np.eye(4)) > 0.97
    assert depth_overlap(a.depth, CAMERA, b.depth, large, np.eye(4)) > 0.97
