"""The whole of SLAM: tours with revisits, rooms that look alike, real frames, and finding itself again."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.geometry import invert, pose2d, rotation_angle
from embodied_nav.geometry.registration import Registration, RegistrationConfig
from embodied_nav.recordings import SevenScenes
from embodied_nav.slam import SlamConfig, ate_rmse
from embodied_nav.slam.places import Places

from .conftest import CAMERA

ROUND = [(1.4, 1.2), (3.2, 1.3), (3.2, 3.6), (1.4, 3.6), (1.4, 1.2)]


def _tour(slam, studio, waypoints, seed):
    """Drives; returns stamps, true poses, odometry, and the true pose of each of SLAM's keyframes."""
    stamps, truth, odometry, keyframes = [], [], [], {}
    for shot in studio.drive(waypoints, seed):
        update = slam.process(shot.stamp, shot.depth, CAMERA, shot.color, shot.T_odom_camera)
        stamps.append(shot.stamp)
        truth.append(shot.T_true_camera)
        odometry.append(shot.T_odom_camera)
        keyframes.setdefault(update.keyframe, shot.T_true_camera)
    return np.array(stamps), np.array(truth), np.array(odometry), keyframes


@pytest.fixture(scope="module")
def toured(slam_of, room):
    slam = slam_of()
    return slam, *_tour(slam, room, ROUND * 2, seed=5)


def test_a_tour_with_revisits_beats_odometry_four_times(toured):
    slam, stamps, truth, odometry, _ = toured
    own = ate_rmse(*slam.trajectory(), stamps, truth)
    assert slam.loops
    assert own < ate_rmse(stamps, odometry, stamps, truth) / 4
    assert own < 0.03


def test_the_trajectory_holds_every_frame_under_the_newest_correction(toured):
    slam, stamps, truth, _, _ = toured
    found, poses = slam.trajectory()
    np.testing.assert_array_equal(found, stamps)
    off = np.linalg.norm((poses - truth)[:, :3, 3], axis=1)
    assert off.max() < 0.08  # without any alignment: the map is odometry's frame at the start
    assert np.abs(poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1) - np.eye(3)).max() < 1e-6


def test_it_finds_itself_and_refuses_what_it_never_saw(toured, room, blank_wall):
    slam = toured[0]
    T = pose2d(2.9, 2.2, 1.7)
    color, depth = room.shoot(T)
    found = slam.relocalise(depth, CAMERA, color)
    error = invert(T @ room.T_base_camera) @ found.T_map_camera
    assert np.linalg.norm(error[:3, 3]) < 0.06 and rotation_angle(error) < 0.03
    color, depth = blank_wall.shoot(pose2d(0.0, 0.0, 0.0))
    assert slam.relocalise(depth, CAMERA, color) is None


def test_rooms_that_look_alike_are_never_taken_for_one(slam_of, twin_rooms):
    first, passage = [(1.4, 1.2), (3.2, 1.3), (3.0, 3.4), (1.4, 3.0), (3.0, 2.5)], [(4.5, 2.5)]
    second = [(x + 5, y) for x, y in [(1.0, 2.5), (1.4, 1.2), (3.2, 1.3), (3.0, 3.4), (1.4, 3.0), (1.0, 2.5)]]
    slam = slam_of()
    stamps, truth, odometry, keyframes = _tour(slam, twin_rooms, first + passage + second + passage + first, seed=1)
    for earlier, later in slam.loops:
        assert np.linalg.norm(keyframes[earlier][:3, 3] - keyframes[later][:3, 3]) < 2.5
    assert slam.loops
    assert ate_rmse(*slam.trajectory(), stamps, truth) < max(0.05, ate_rmse(stamps, odometry, stamps, truth) / 4)
    # One view of them cannot say which it is.
    color, depth = twin_rooms.shoot(pose2d(2.0, 1.2, 1.8))
    assert slam.relocalise(depth, CAMERA, color) is None


def test_twins_do_propose_each_other(slam_of, twin_rooms):
    """The guard of the test above: without the graph's word the rooms would be taken for one."""
    slam = slam_of()
    color, depth = twin_rooms.shoot(pose2d(2.0, 1.2, 1.8))
    slam.process(0, depth, CAMERA, color)
    slam.finish()
    color, depth = twin_rooms.shoot(pose2d(7.0, 1.2, 1.8))
    assert slam.relocalise(depth, CAMERA, color) is not None


def test_a_search_is_spread_over_the_frames_after_its_keyframe(slam_of, twin_rooms, monkeypatch):
    """No frame compares more views than there are searches under way."""
    compared, confirm = [0], Places.confirm
    monkeypatch.setattr(Places, "confirm", lambda *given: (compared.append(compared.pop() + 1), confirm(*given))[1])
    slam = slam_of(SlamConfig(loop_uncertainty=0.001, loops_per_keyframe=50))
    there = [(0.8, 2.5), (3.2, 2.5), (3.2, 1.5), (0.8, 1.5)]
    for shot in twin_rooms.drive([*there, *there], step=0.1):
        under_way = len(slam._searches)
        slam.process(shot.stamp, shot.depth, CAMERA, shot.color, shot.T_odom_camera)
        assert compared[-1] <= under_way
        compared.append(0)
    assert sum(compared) > 20 and max(compared) < 6
    assert slam.loops


@pytest.mark.parametrize("focal", [525.0, 0.0], ids=["colour registered", "as recorded"])
def test_real_frames_stay_within_five_centimetres(slam_of, kitchen, focal):
    recording = SevenScenes(kitchen)
    intrinsics = (focal, focal, 320.0, 240.0) if focal else (0.0,) * 4
    registration = Registration(RegistrationConfig(color_intrinsics=intrinsics))
    camera = registration.color_camera(recording.camera)
    slam = slam_of(SlamConfig())
    for index in range(0, len(recording), 2):
        frame = recording.read(index)
        depth = frame.depth.astype(np.float32) / 1000
        depth[frame.depth == 0] = np.nan
        depth = registration.apply(depth, camera, recording.camera) if focal else depth
        slam.process(frame.stamp, depth, camera, frame.color)
    assert ate_rmse(*slam.trajectory(), np.array(recording.stamps), np.array(recording.poses)) < 0.05


def test_rounds_over_the_same_ground_keep_the_keyframes_of_the_first_and_the_map_as_good(slam_of, room):
    """What later rounds add is taken out again; nothing of the past is lost, and places are still recognised."""
    slam, kept, off = slam_of(), [], []
    for shot in room.drive(ROUND * 4, seed=5):
        update = slam.process(shot.stamp, shot.depth, CAMERA, shot.color, shot.T_odom_camera)
        kept.append(len(slam.keyframe_poses()))
        off.append(float(np.linalg.norm((update.T_map_camera - shot.T_true_camera)[:3, 3])))
    first, n = kept[len(kept) // 4], len(kept)
    assert kept[-1] <= 1.5 * first and slam.keyframes > 2.5 * first
    assert len(slam.graph()[1]) < 6 * kept[-1]
    assert max(off[-n // 4 :]) < 0.08
    assert len(slam.trajectory()[0]) == n
    color, depth = room.shoot(pose2d(2.9, 2.2, 1.7))
    assert slam.relocalise(depth, CAMERA, color) is not None


def test_the_trajectory_forgets_old_frames_of_a_place_that_was_seen_since(slam_of, room):
    slam, stamps = slam_of(SlamConfig(frames_kept=10)), []
    for shot in room.drive(ROUND * 2, seed=5):
        slam.process(shot.stamp, shot.depth, CAMERA, shot.color, shot.T_odom_camera)
        stamps.append(shot.stamp)
    found, poses = slam.trajectory()
    assert len(found) == len(poses) < len(stamps) and (np.diff(found) > 0).all()
    assert found[-1] == stamps[-1] and set(found.tolist()) <= set(stamps)
    assert len(found) <= 10 * len(slam.keyframe_poses())


def test_no_frames_no_trajectory(slam_of):
    stamps, poses = slam_of().trajectory()
    assert stamps.shape == (0,) and poses.shape == (0, 4, 4)


def test_keyframes_that_no_loop_ties_do_not_pile_up_at_a_place(slam_of, room, monkeypatch):
    """As in the dark: nothing is recognised, and each lap would leave its keyframes beside those of the one before."""
    for name in ("confirm", "fit"):
        monkeypatch.setattr(Places, name, lambda *_: None)
    kept = {}
    for most in (1, 1000):
        slam = slam_of(SlamConfig(looks_per_place=most, loop_uncertainty=0.001))
        shots = list(room.drive(ROUND * 3, seed=5))
        for shot in shots:
            slam.process(shot.stamp, shot.depth, CAMERA, shot.color, shot.T_odom_camera)
        found, poses = slam.trajectory()
        truth = np.array([shot.T_true_camera for shot in shots])
        assert len(found) == len(shots) and np.linalg.norm((poses - truth)[:, :3, 3], axis=1).max() < 0.2
        kept[most] = len(slam.keyframe_poses())
    assert kept[1] < 0.7 * kept[1000], kept
