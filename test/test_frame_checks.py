"""Faulty frames are refused and counted; what persists as a new truth is believed."""

from dataclasses import replace

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frame_checks import FrameCheckConfig, FrameChecker
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera, pose2d

CAMERA = Camera.from_hfov(32, 24, 1.4)
SMALL = Camera.from_hfov(16, 12, 1.4)


def frame(i, x=0.0, yaw=0.0, camera=CAMERA):
    shape = (camera.height, camera.width)
    color, depth = np.zeros((*shape, 3), np.uint8), np.ones(shape, np.float32)
    return RGBDFrame(10**9 + i * 100_000_000, camera, pose2d(x, 0.0, yaw), color, depth)


def broken_pose(kind):
    T = pose2d(0.1, 0.0, 0.0)
    if kind == "nan":
        T[0, 3] = np.nan
    elif kind == "inf":
        T[2, 2] = np.inf
    elif kind == "scaled":
        T[:3, :3] *= 1.1
    elif kind == "mirrored":
        T[0, 0] = -1
    elif kind == "projective":
        T[3, 0] = 0.5
    elif kind == "3x4":
        T = T[:3]
    return T


def test_a_plain_drive_is_good():
    checker = FrameChecker()
    assert all(checker.check(frame(i, x=0.05 * i, yaw=0.1 * i)) is None for i in range(50))
    assert not checker.counts and checker.corrections == 0


@pytest.mark.parametrize(
    "kind, reason",
    [("nan", "nan_pose"), ("inf", "nan_pose"), ("scaled", "not_rigid"), ("mirrored", "not_rigid"),
     ("projective", "not_rigid"), ("3x4", "not_rigid")],
)  # fmt: skip
def test_poses_that_are_none(kind, reason):
    checker = FrameChecker()
    assert checker.check(replace(frame(0), T_map_camera=broken_pose(kind))) == reason
    assert checker.check(frame(1)) is None
    assert checker.check(replace(frame(2), T_map_camera=broken_pose(kind))) == reason
    assert checker.check(frame(3)) is None
    assert checker.counts == {reason: 2}


def images(color="good", depth="good"):
    f = frame(1)
    made = {"good": f.color, "none": None, "grey": f.color[..., 0], "float": f.color.astype(np.float32),
            "rgba": np.zeros((24, 32, 4), np.uint8), "small": np.zeros((12, 16, 3), np.uint8)}[color]  # fmt: skip
    deep = {"good": f.depth, "none": None, "mm": np.ones((24, 32), np.uint16), "double": np.ones((24, 32)),
            "channels": f.depth[..., None], "small": np.ones((12, 16), np.float32)}[depth]  # fmt: skip
    return replace(f, color=made, depth=deep)


@pytest.mark.parametrize(
    "bad, reason",
    [(images(color=c), "encoding") for c in ("grey", "float", "rgba")]
    + [(images(depth=d), "encoding") for d in ("mm", "double", "channels")]
    + [(images("none", "none"), "encoding"), (images(color="small"), "size_mismatch")]
    + [(images(depth="small"), "size_mismatch"), (frame(1, camera=SMALL), "size_changed")],
)
def test_images_that_changed(bad, reason):
    checker = FrameChecker()
    assert checker.check(frame(0)) is None
    for _ in range(20):
        assert checker.check(bad) == reason
    assert checker.check(frame(2)) is None
    assert checker.counts == {reason: 20}


def test_depth_may_be_missing_or_all_invalid():
    checker = FrameChecker()
    assert checker.check(replace(frame(0), depth=None)) is None
    assert checker.check(replace(frame(1), depth=np.full((24, 32), np.nan, np.float32))) is None
    assert checker.check(replace(frame(2), color=None)) is None


def test_stamps():
    checker = FrameChecker()
    assert [checker.check(frame(i)) for i in (5, 5, 4, 6, 3, 6, 7)] == [
        None, "duplicate", "out_of_order", None, "out_of_order", "duplicate", None]  # fmt: skip
    assert checker.counts == {"duplicate": 2, "out_of_order": 2}


def test_a_restarted_clock_is_believed_after_some_frames():
    checker = FrameChecker(FrameCheckConfig(persist=3))
    checker.check(frame(1000))
    assert [checker.check(frame(i)) for i in range(4)] == ["out_of_order", "out_of_order", None, None]
    assert checker.corrections == 1


def test_late_frames_never_turn_the_clock_back():
    checker = FrameChecker(FrameCheckConfig(persist=2))
    checker.check(frame(9))
    assert [checker.check(frame(i)) for i in range(1, 9)] == ["out_of_order"] * 8


@pytest.mark.parametrize("jump", [{"x": 2.0}, {"yaw": 1.5}])
def test_a_jump_is_refused_and_the_way_back_is_free(jump):
    checker = FrameChecker()
    assert checker.check(frame(0)) is None
    assert checker.check(frame(1, **jump)) == "pose_jump"
    assert checker.check(frame(2)) is None
    assert checker.counts == {"pose_jump": 1} and checker.corrections == 0


def test_a_map_correction_is_believed_after_some_frames_that_agree():
    checker = FrameChecker()
    checker.check(frame(0))
    results = [checker.check(frame(i, x=5.0 + 0.02 * i)) for i in range(1, 8)]
    assert results == ["pose_jump"] * 4 + [None] * 3
    assert checker.corrections == 1
    assert checker.check(frame(8)) == "pose_jump"


def test_a_pose_that_jumps_about_is_never_believed():
    checker = FrameChecker()
    checker.check(frame(0))
    assert {checker.check(frame(i, x=5.0 * (i % 7) + 10)) for i in range(1, 60)} == {"pose_jump"}


def test_speed_counts_per_second_and_not_per_frame():
    checker = FrameChecker(FrameCheckConfig(max_linear=1.0))
    assert checker.check(frame(0)) is None
    assert checker.check(frame(15, x=1.4)) is None
    assert checker.check(frame(16, x=2.4)) == "pose_jump"


def test_reset_takes_the_next_frame_as_the_first():
    checker = FrameChecker()
    checker.check(frame(100))
    checker.reset()
    assert checker.check(frame(0, x=9.0, camera=SMALL)) is None


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="persist"):
        FrameCheckConfig(persist=0)
