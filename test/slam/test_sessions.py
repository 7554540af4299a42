"""A later session finds itself in an earlier one's map, from what a memory file can keep; elsewhere it does not."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import invert, pose2d, rotation_angle
from embodied_nav.slam import Landmark, landmark, look_of

from .conftest import CAMERA

ROUND = [(1.4, 1.2), (3.2, 1.3), (3.2, 3.6), (1.4, 3.6), (1.4, 1.2)]
LATER = [(3.0, 3.2), (3.0, 1.6), (2.0, 1.5)]
#: Where the second session's odometry begins to count.
OTHER_ORIGIN = pose2d(-3.0, 5.0, 2.0)


@pytest.fixture(scope="module")
def landmarks(room) -> list[Landmark]:
    """Looks of a first session whose poses were right, every fifth frame a keyframe."""
    found = []
    for k, shot in enumerate(room.drive(ROUND, seed=2)):
        if k % 5 == 0:
            frame = RGBDFrame(shot.stamp, CAMERA, shot.T_true_camera, shot.color, shot.depth)
            found.append(landmark("first", shot.T_true_camera, look_of(frame)))
    return found


def _session(slam, studio, waypoints, frames, seed=4):
    """Runs a session with another odometry origin; updates and true poses."""
    updates, truth = [], []
    for shot in studio.drive(waypoints, seed):
        T_odom_camera = OTHER_ORIGIN @ shot.T_odom_camera
        updates.append(slam.process(shot.stamp, shot.depth, CAMERA, shot.color, T_odom_camera))
        truth.append(shot.T_true_camera)
        if len(updates) == frames:
            break
    return updates, truth


def test_a_second_session_finds_itself_in_the_first_ones_map(slam_of, room, landmarks):
    slam = slam_of(landmarks=landmarks)
    assert not slam.located and slam.map_id == ""
    updates, truth = _session(slam, room, LATER, 30)
    joins = [k for k, update in enumerate(updates) if update.joined is not None]
    assert len(joins) == 1 and joins[0] < 25
    joined = updates[joins[0]].joined
    assert (joined.map_id, joined.joined_map_id) == ("first", "") and updates[joins[0]].corrected
    expected = truth[0] @ invert(updates[0].T_map_camera)
    assert np.linalg.norm((joined.T - expected)[:3, 3]) < 0.15
    error = invert(truth[-1]) @ updates[-1].T_map_camera
    assert np.linalg.norm(error[:3, 3]) < 0.05 and rotation_angle(error) < 0.03
    _, poses = slam.trajectory()  # what came before it found itself stands right, too
    assert np.linalg.norm((poses - np.array(truth))[:, :3, 3], axis=1).max() < 0.10
    assert slam.located and slam.keyframes < len(updates)
    positions, edges = slam.graph()
    assert len(positions) == slam.keyframes + len(landmarks) and any(loop for *_, loop in edges)


def test_maps_of_two_earlier_sessions_become_one_where_a_third_closes_the_loop(slam_of, room, landmarks):
    T_other_first = pose2d(4.0, -1.0, 1.1)
    mixed = [k if i % 2 else Landmark("other", T_other_first @ k.T_map_camera, k.look) for i, k in enumerate(landmarks)]
    slam = slam_of(landmarks=mixed)
    updates, truth = _session(slam, room, [*LATER, *ROUND[1:]], 100)
    joins = [u.joined for u in updates if u.joined is not None]
    assert len(joins) == 2
    survivor = joins[0].map_id
    gone, T = ("other", invert(T_other_first)) if survivor == "first" else ("first", T_other_first)
    assert joins[0].joined_map_id == "" and (joins[1].map_id, joins[1].joined_map_id) == (survivor, gone)
    off = invert(T) @ joins[1].T
    assert np.linalg.norm(off[:3, 3]) < 0.15 and rotation_angle(off) < 0.05
    expected = truth[-1] if survivor == "first" else T_other_first @ truth[-1]
    assert np.linalg.norm((invert(expected) @ updates[-1].T_map_camera)[:3, 3]) < 0.08


def test_it_does_not_find_itself_where_it_never_was(slam_of, blank_wall, landmarks):
    slam = slam_of(landmarks=landmarks)
    color, depth = blank_wall.shoot(pose2d(0.0, 0.0, 0.0))
    for k in range(3):
        update = slam.process(k, depth, CAMERA, color, OTHER_ORIGIN @ pose2d(0.5 * k, 0.0, 0.0))
        assert update.joined is None
    slam.finish()
    assert not slam.located


def test_a_given_pose_is_believed_and_refined(slam_of, room, landmarks):
    slam = slam_of(landmarks=landmarks)
    with pytest.raises(InputError, match="nowhere"):
        slam.place(np.eye(4), "nowhere")
    first = next(room.drive(LATER, 4))
    slam.place(pose2d(0.1, -0.05, 0.03) @ first.T_true_camera, "first")
    updates, truth = _session(slam, room, LATER, 12)
    assert [u.joined is not None for u in updates[:2]] == [False, True] and slam.located
    assert np.linalg.norm((invert(truth[-1]) @ updates[-1].T_map_camera)[:3, 3]) < 0.16
    with pytest.raises(InputError, match="does not know"):
        slam.place(np.eye(4), "first")


def test_a_look_of_another_kind_is_refused(room):
    color, depth = room.shoot(pose2d(2.0, 2.0, 0.0))
    look = look_of(RGBDFrame(0, CAMERA, np.eye(4), color, depth))
    assert sum(a.nbytes for a in look.values()) < 80_000
    for broken in (
        {name: a for name, a in look.items() if name != "points"},
        look | {"descriptors": look["descriptors"].astype(np.int16)},
        look | {"depth_png": look["depth_png"][: len(look["depth_png"]) // 3]},
        look | {"points": look["points"][:-1]},
    ):
        with pytest.raises(InputError, match="look"):
            landmark("m", np.eye(4), broken)
    assert look_of(RGBDFrame(0, CAMERA, np.eye(4), None, depth)) == {}
