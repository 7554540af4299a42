"""Frames by keyframe: what is kept, handed over and forgotten."""

import numpy as np

from embodied_nav.geometry import pose2d
from embodied_nav.slam.trajectory import Trajectory


def test_the_newest_frames_of_each_keyframe_in_the_order_of_time():
    told = Trajectory(3)
    for k in range(5):
        told.add(10 * k, 7, pose2d(k, 0.0, 0.1))
        told.add(10 * k + 5, 2, pose2d(0.0, k, 0.0))
    stamps, keyframes, poses = told.frames()
    assert stamps.tolist() == [20, 25, 30, 35, 40, 45] and keyframes.tolist() == [7, 2] * 3
    np.testing.assert_array_equal(poses[2], pose2d(3, 0.0, 0.1))


def test_frames_of_a_keyframe_that_goes_are_its_heirs():
    told = Trajectory(10)
    told.add(1, 0, pose2d(1.0, 0.0, 0.0))
    told.add(2, 1, pose2d(0.5, 0.0, 0.0))
    told.hand_over(1, 0, pose2d(2.0, 1.0, np.pi / 2))
    told.hand_over(5, 0, np.eye(4))
    stamps, keyframes, poses = told.frames()
    assert stamps.tolist() == [1, 2] and keyframes.tolist() == [0, 0]
    np.testing.assert_allclose(poses[1], pose2d(2.0, 1.5, np.pi / 2), atol=1e-12)


def test_a_clock_that_was_set_back_drops_what_comes_later():
    told = Trajectory(10)
    assert [len(part) for part in told.frames()] == [0, 0, 0]
    for k in range(4):
        told.add(k, k % 2, np.eye(4))
    told.forget_from(1)
    assert told.frames()[0].tolist() == [0]
