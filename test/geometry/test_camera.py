"""The pinhole camera: projection and unprojection undo each other, pixel centres are integers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera

sizes = st.integers(2, 64)
cameras = st.builds(
    lambda w, h, f, a, x, y: Camera(w, h, f * w, f * a * w, x * (w - 1), y * (h - 1)),
    sizes, sizes, st.floats(0.3, 3), st.floats(0.8, 1.25), st.floats(0.2, 0.8), st.floats(0.2, 0.8),
)  # fmt: skip
KINECT = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)


@given(cameras, st.floats(0.1, 20))
def test_projection_undoes_unprojection(camera, z):
    depth = np.full((camera.height, camera.width), z, np.float32)
    uv, found = camera.project(camera.unproject(depth).reshape(-1, 3))
    v, u = np.mgrid[: camera.height, : camera.width]
    np.testing.assert_allclose(uv, np.stack([u.ravel(), v.ravel()], 1), atol=1e-3)
    np.testing.assert_allclose(found, z, rtol=1e-6)


def test_principal_point_looks_straight_ahead():
    point = KINECT.unproject(np.full((480, 640), 2.0, np.float32))[240, 320]
    np.testing.assert_array_equal(point, [0, 0, 2])


def test_right_and_down_are_positive():
    points = KINECT.unproject(np.ones((480, 640), np.float32))
    assert points[240, 639, 0] > 0 > points[240, 0, 0]
    assert points[479, 320, 1] > 0 > points[0, 320, 1]


def test_depth_is_along_the_axis_not_along_the_ray():
    np.testing.assert_array_equal(KINECT.unproject(np.full((480, 640), 3.0, np.float32))[..., 2], 3.0)


def test_invalid_depth_stays_invalid_and_alone():
    depth = np.ones((480, 640), np.float32)
    depth[10, 20] = np.nan
    missing = np.isnan(KINECT.unproject(depth)).all(-1)
    assert missing[10, 20] and missing.sum() == 1


def test_points_behind_the_camera_have_no_pixel():
    uv, z = KINECT.project(np.array([[0.0, 0, -1], [0, 0, 0], [0, 0, 1]]))
    assert np.isnan(uv[:2]).all() and tuple(uv[2]) == (320, 240)
    assert tuple(z) == (-1, 0, 1)


@given(sizes, sizes, st.floats(0.3, 2.8))
def test_field_of_view_round_trip(width, height, hfov):
    camera = Camera.from_hfov(width, height, hfov)
    assert camera.hfov == pytest.approx(hfov)
    assert (camera.cx, camera.cy) == ((width - 1) / 2, (height - 1) / 2)
    assert camera.fx == camera.fy == pytest.approx(width / (2 * math.tan(hfov / 2)))


@given(cameras)
def test_matrix_round_trip(camera):
    assert Camera.from_matrix(camera.K, camera.width, camera.height) == camera
    assert Camera.from_matrix(camera.K.ravel(), camera.width, camera.height) == camera


@given(cameras, st.integers(1, 4))
def test_resized_camera_sees_the_same_rays(camera, factor):
    """The centre of a block of pixels looks where the pixel of the smaller image does."""
    large = camera.resized(camera.width * factor, camera.height * factor)
    block = large.rays().astype(np.float64)
    block = block.reshape(camera.height, factor, camera.width, factor, 3).mean((1, 3))
    np.testing.assert_allclose(block, camera.rays(), atol=1e-4)


def test_rays_are_shared_and_cannot_be_spoiled():
    assert KINECT.rays() is Camera(640, 480, 585.0, 585.0, 320.0, 240.0).rays()
    with pytest.raises(ValueError, match="read-only"):
        KINECT.rays()[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 480, 585, 585, 320, 240), "size"),
        ((640, 480, 0, 585, 320, 240), "focal length"),
        ((640, 480, math.nan, 585, 320, 240), "focal length"),
        ((640, 480, 585, math.inf, 320, 240), "focal length"),
        ((320, 240, 585, 585, 320, 240), "another image size"),
        ((640, 480, 585, 585, 320, math.nan), "principal point"),
    ],
)
def test_impossible_intrinsics_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Camera(*arguments)


def test_depth_of_another_size_is_refused():
    with pytest.raises(InputError, match="depth is 320x240, its camera 640x480"):
        KINECT.unproject(np.ones((240, 320), np.float32))
