"""What the compact network gets: heights and normals relative to gravity and the floor."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.models.compact import level_rotation, make_inputs, network_camera
from embodied_nav.robot import RobotProfile

UP = np.array([0.0, 0.0, 1.0])
CAMERA = Camera.from_hfov(160, 120, math.pi / 2)


def of_floor(T, camera):
    """Depth of an endless floor at z = 0 in front of a wall-less world; NaN above the horizon and beyond 9 m."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    down = rays @ T[2, :3]
    with np.errstate(divide="ignore"):
        depth = -T[2, 3] / down
    return np.where((down < 0) & (depth < 9.0), depth, np.nan).astype(np.float32)


@given(st.floats(-3, 3), st.floats(0.0, 0.5), st.floats(0.3, 1.5))
def test_the_floor_is_level_and_at_zero_from_everywhere(yaw, pitch, height):
    T = pose2d(1.0, 2.0, yaw) @ RobotProfile(camera_height=height, camera_pitch=pitch).T_base_camera()
    depth = of_floor(T, CAMERA)
    inputs = make_inputs(np.zeros((120, 160, 3), np.uint8), depth, CAMERA, level_rotation(T, UP), height)
    known = inputs[3] > 0
    assert known.sum() > 500
    np.testing.assert_allclose(inputs[4][known], 0.0, atol=1e-3)
    flat = known & (np.abs(inputs[5:8]).sum(axis=0) > 0)
    assert flat.sum() > 0.5 * known.sum()
    np.testing.assert_allclose(inputs[5:8][:, flat], np.array([[0.0], [0.0], [1.0]]) * np.ones(flat.sum()), atol=2e-3)


@given(st.floats(-3, 3), st.floats(-0.5, 0.5))
def test_the_level_frame_is_the_cameras_heading(yaw, pitch):
    T = pose2d(0.0, 0.0, yaw) @ RobotProfile(camera_pitch=pitch).T_base_camera()
    R = level_rotation(T, UP)
    np.testing.assert_allclose(R @ [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], atol=1e-9)  # the image's right
    np.testing.assert_allclose(R @ [0.0, 0.0, 1.0], [0.0, math.cos(pitch), -math.sin(pitch)], atol=1e-9)


def test_looking_straight_down_has_a_level_frame_too():
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    assert np.linalg.det(level_rotation(T, UP)) == pytest.approx(1.0)


def test_without_depth_geometry_is_zero_and_colour_is_there():
    color = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    inputs = make_inputs(color, None, CAMERA, np.eye(3), 1.0)
    assert not inputs[3:].any()
    np.testing.assert_allclose((inputs[:3].transpose(1, 2, 0) + 1.0) * 127.5, color, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 360), (1280, 720), (160, 120), (848, 480)])
def test_a_pixel_keeps_its_ray(width, height):
    camera = Camera.from_hfov(width, height, 1.2)
    small = network_camera(camera, 160)
    assert small.width == 160 and small.height % 2 == 0 and abs(small.height - 160 * height / width) <= 1
    for edge, other in ((-0.5, -0.5), (width - 0.5, 159.5)):
        assert (edge - camera.cx) / camera.fx == pytest.approx((other - small.cx) / small.fx)
    assert (height - 0.5 - camera.cy) / camera.fy == pytest.approx((small.height - 0.5 - small.cy) / small.fy)
