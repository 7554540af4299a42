"""Odometry doubts what wheels contradict, and wheels that slip."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.geometry import invert, pose2d
from embodied_nav.slam.odometry import RGBDOdometry, thinned

from .conftest import CAMERA


def _run(studio, bases, wheels_of):
    """Error (m) of the last frame; ``wheels_of`` turns a true motion of the camera into what wheels say."""
    odometry, anchor, keyframes = RGBDOdometry(), None, []
    last = None
    for base in bases:
        truth = base @ studio.T_base_camera
        color, depth = studio.shoot(base)
        wheels = None if last is None else wheels_of(invert(last) @ truth)
        step = odometry.step(depth, CAMERA, color, wheels)
        anchor = truth if last is None else keyframes[step.keyframe] @ step.T_keyframe_camera
        if step.view is not None:
            keyframes.append(anchor)
        last = truth
    return float(np.linalg.norm((invert(last) @ anchor)[:3, 3])), step.source


@pytest.mark.parametrize("factor", [3.0, 0.2])
@pytest.mark.parametrize("place", ["room", "papered_wall"])
def test_a_slip_of_the_wheels_is_seen(request, place, factor):
    start, heading = {"room": ((2.0, 1.0), 1.2), "papered_wall": ((0.0, 0.0), 0.3)}[place]
    bases = [pose2d(*start, heading) @ pose2d(0.03 * k, 0.0, 0.0) for k in range(12)]

    def slipping(motion):
        more = motion.copy()
        more[:3, 3] *= factor
        return more

    error, source = _run(request.getfixturevalue(place), bases, slipping)
    assert error < 0.03 and source in ("depth", "features")


def test_a_camera_alone_stands_where_it_stands_and_goes_where_it_goes(papered_wall):
    """Nothing but a picture on a wall: no velocity may be made up, and none lost."""
    still, moving = (
        [pose2d(0.0, 0.0, 0.0)] * 10,
        [pose2d(0.0, 0.0, 0.0) @ pose2d(0.0, 0.05 * k, 0.0) for k in range(10)],
    )
    for bases in (still, moving):
        error, source = _run(papered_wall, bases, lambda motion: None)
        assert error < 0.04 and source != "prior"


def test_wheels_carry_over_a_wall_without_any_feature(blank_wall):
    bases = [pose2d(0.0, 0.05 * k, 0.0) for k in range(12)]
    error, _ = _run(blank_wall, bases, lambda motion: motion)
    assert error < 0.01


def test_blindness_is_said(room):
    odometry = RGBDOdometry()
    color, depth = room.shoot(pose2d(2.0, 2.0, 2.3))
    odometry.step(depth, CAMERA, color)
    dark, nothing = np.zeros_like(color), np.full_like(depth, np.nan)
    for k in range(3):
        step = odometry.step(nothing, CAMERA, dark)
        assert step.source == "prior" and odometry.lost == k + 1
    # Without wheels a lost stretch may hide any motion; loops over it must be allowed to correct much.
    assert np.sqrt(1.0 / step.information[0, 0]) > 0.1


def test_thinned_depth_fits_its_camera(room):
    _, depth = room.shoot(pose2d(2.0, 2.0, 2.3))
    big = np.repeat(np.repeat(depth, 2, 0), 2, 1)
    small, camera = thinned(big, CAMERA.resized(640, 480), 320, 4.5)
    assert small.shape == (240, 320) and camera.width == 320
    np.testing.assert_array_equal(small[np.isfinite(small)], depth[np.isfinite(small)])
    assert not (small > 4.5).any()
