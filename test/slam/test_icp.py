"""Registration of depth: motions come back, priors hold what geometry does not, free space contradicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from embodied_nav.geometry import Camera, invert, is_rigid, pose2d, rotation_angle
from embodied_nav.slam.icp import DepthView, agreement, exponential, grey_levels, in_picture, logarithm, register
from embodied_nav.slam.odometry import RGBDOdometry

from .conftest import CAMERA

SMALL = st.floats(-1.2, 1.2)


@given(st.lists(SMALL, min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_exponential_and_logarithm_are_inverse(values):
    x = np.array(values)
    T = exponential(x)
    assert is_rigid(T, 1e-9)
    np.testing.assert_allclose(logarithm(T), x, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 3.0])
def test_logarithm_near_its_ends(angle):
    x = np.array([1.0, 2.0, 3.0, 0.0, angle, 0.0])
    np.testing.assert_allclose(logarithm(exponential(x)), x, atol=1e-12)


@pytest.mark.parametrize("motion", [(0.05, 0.0, 0.0), (0.0, 0.04, 0.05), (0.1, 0.02, -0.1), (-0.08, 0.0, 0.08)])
@pytest.mark.parametrize("start", [(2.0, 2.0, 2.3), (2.2, 2.8, -2.2)])
def test_register_finds_known_motions(room, start, motion):
    T0, T1 = pose2d(*start), pose2d(*start) @ pose2d(*motion)
    reference = DepthView.of(room.shoot(T0)[1], CAMERA)
    truth = invert(T0 @ room.T_base_camera) @ T1 @ room.T_base_camera
    result = register(room.shoot(T1)[1], CAMERA, reference, np.eye(4))
    error = result.T @ invert(truth)
    assert np.linalg.norm(error[:3, 3]) < 0.005
    assert rotation_angle(error) < 0.003
    assert result.weakest < 0.005 and result.share > 0.6


def test_prior_holds_what_a_wall_does_not(blank_wall):
    T0 = pose2d(0.0, 0.0, 0.0)
    T1 = T0 @ pose2d(0.10, 0.0, 0.0)
    reference = DepthView.of(blank_wall.shoot(T0)[1], CAMERA)
    truth = invert(T0 @ blank_wall.T_base_camera) @ T1 @ blank_wall.T_base_camera
    guess = truth.copy()
    guess[:3, 3] += (0.03, 0.0, -0.04)  # to the side, where the wall says nothing, and ahead, where it does
    prior = np.diag([0.05**-2.0] * 3 + [0.01**-2.0] * 3)
    result = register(blank_wall.shoot(T1)[1], CAMERA, reference, guess, prior)
    assert result.weakest > 0.5
    assert abs(result.T[0, 3] - guess[0, 3]) < 0.002
    assert abs(result.T[2, 3] - truth[2, 3]) < 0.002


def test_noise_of_depth_does_not_hold_a_wall_but_its_picture_does(papered_wall):
    T0, T1 = pose2d(0.0, 0.0, 0.0), pose2d(0.0, 0.06, 0.0)
    (color0, depth0), (color1, depth1) = papered_wall.shoot(T0), papered_wall.shoot(T1)
    truth = invert(T0 @ papered_wall.T_base_camera) @ T1 @ papered_wall.T_base_camera
    reference = DepthView.of(depth0, CAMERA, grey_levels(color0, CAMERA))
    prior = np.diag([0.2**-2.0] * 3 + [0.3**-2.0] * 3)
    blind = register(depth1, CAMERA, reference, np.eye(4), prior)
    assert blind.weakest > 0.05, "it knows that it does not know"
    for exposure in (1.0, 0.9):  # a camera adapts, too
        darker = (color1 * exposure).astype(np.uint8)
        seen = register(depth1, CAMERA, reference, np.eye(4), prior, greys=grey_levels(darker, CAMERA))
        assert np.linalg.norm((seen.T - truth)[:3, 3]) < 0.006 and rotation_angle(invert(truth) @ seen.T) < 0.006
        assert seen.weakest < 0.005


def test_grey_levels_lie_on_the_pixels_of_a_thinned_image(papered_wall):
    color, _ = papered_wall.shoot(pose2d(0.0, 0.0, 0.0))
    twice = np.repeat(np.repeat(color, 2, 0), 2, 1)
    for small, big in zip(grey_levels(color, CAMERA), grey_levels(twice, CAMERA), strict=True):
        assert small.shape == big.shape == (CAMERA.height, CAMERA.width) and small.dtype == np.float32
        np.testing.assert_allclose(small, big, atol=0.03)  # half a pixel of the larger image apart


def test_register_gives_the_guess_back_where_nothing_meets(room):
    depth = room.shoot(pose2d(2.0, 2.0, 2.3))[1]
    empty = DepthView.of(np.full_like(depth, np.nan), CAMERA)
    result = register(depth, CAMERA, empty, pose2d(1.0, 2.0, 3.0))
    assert result.pairs == 0 and result.weakest == math.inf
    np.testing.assert_array_equal(result.T, pose2d(1.0, 2.0, 3.0))


def test_free_space_contradicts_a_wrong_pose(room):
    T0, T1 = pose2d(2.0, 2.0, 2.3), pose2d(2.1, 2.1, 2.0)
    a, b = room.shoot(T0)[1], room.shoot(T1)[1]
    truth = invert(T0 @ room.T_base_camera) @ T1 @ room.T_base_camera
    assert agreement(b, CAMERA, a, CAMERA, truth) > 0.95
    wrong = truth.copy()
    wrong[:3, 3] += (0.4, 0.0, 0.3)
    assert agreement(b, CAMERA, a, CAMERA, wrong) < 0.8
    assert agreement(b, CAMERA, np.full_like(a, np.nan), CAMERA, truth) == 0.0


def test_rotations_stay_rotations_over_thousands_of_frames(room):
    shots = [room.shoot(pose2d(2.0, 2.0, 2.3) @ pose2d(x, 0.0, 3 * x)) for x in (0.0, 0.03, 0.06, 0.03)]
    small = [(np.ascontiguousarray(depth[::4, ::4]), CAMERA.resized(80, 60)) for _, depth in shots]
    odometry = RGBDOdometry()
    for k in range(2000):
        step = odometry.step(*small[k % 4])
    assert is_rigid(step.T_keyframe_camera, 1e-12)
    assert np.linalg.norm(step.T_keyframe_camera[:3, 3]) < 0.2


def test_the_share_in_the_field_of_view_asks_for_geometry_alone():
    """What a person hides is in the field of view still; what the camera has turned away from is not."""
    depth, camera = np.full((120, 160), 2.0, np.float32), Camera.from_hfov(160, 120, np.pi / 2)
    depth[:, 80:] = np.nan
    turned, aside = np.eye(4), np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec([0.0, np.pi, 0.0]).as_matrix()
    aside[0, 3] = -1.0  # everything lies 1 m farther to the left, half of what is seen at 2 m
    assert in_picture(depth, camera, camera, np.eye(4)) == 1.0
    assert in_picture(depth, camera, camera, turned) == 0.0
    assert in_picture(depth, camera, camera, aside) == pytest.approx(0.5, abs=0.03)
    assert in_picture(np.full_like(depth, np.nan), camera, camera, np.eye(4)) == 0.0
