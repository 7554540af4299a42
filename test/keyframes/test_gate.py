"""The gate on blank, noisy and dark views, turns, drives, wrong poses and real frames."""

import math
from dataclasses import replace

import numpy as np
import pytest
from box_room import camera_pose, room_frame

from embodied_nav.errors import InputError
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.keyframes import KeyframeConfig, KeyframeGate

CAMERA = Camera.from_hfov(640, 480, math.radians(70))
SMALL = Camera.from_hfov(320, 240, math.radians(90))


def take(frames, config=None):
    gate = KeyframeGate(config)
    return [k for k in map(gate.process, frames) if k is not None]


def still_frames(kind, depth, count=30):
    """The same view over and over; sensor noise is drawn anew for each frame."""
    rng = np.random.default_rng(3)
    shape = (CAMERA.height, CAMERA.width)
    for i in range(count):
        if kind == "blank":
            color = np.full((*shape, 3), 180, np.uint8)
        elif kind == "noisy":
            color = np.clip(rng.normal(150, 25, (*shape, 3)), 0, 255).astype(np.uint8)
        else:
            color = np.clip(rng.normal(2, 3, (*shape, 3)), 0, 255).astype(np.uint8)
        z = None
        if depth == "depth":
            z = rng.normal(2.0, 0.03, shape).astype(np.float32)
        elif depth == "invalid":
            z = np.full(shape, np.nan, np.float32)
        yield RGBDFrame(1 + i * 200_000_000, CAMERA, camera_pose(), color, z)


@pytest.mark.parametrize("depth", ["depth", "none", "invalid"])
@pytest.mark.parametrize("kind", ["blank", "noisy", "dark"])
def test_thirty_frames_of_nothing_are_one_keyframe(kind, depth):
    keyframes = take(still_frames(kind, depth))
    assert [k.reason for k in keyframes] == ["first"]
    assert math.isnan(keyframes[0].overlap)


def test_noise_is_one_keyframe_even_without_a_pose():
    frames = [replace(f, T_map_camera=np.full((4, 4), np.nan)) for f in still_frames("noisy", "none")]
    assert len(take(frames)) == 1


@pytest.mark.parametrize("camera", [CAMERA, SMALL], ids=["640x480", "320x240"])
@pytest.mark.parametrize("textured, depth", [(True, True), (True, False), (False, True), (False, False)])
def test_a_quarter_turn_gives_two_to_six(camera, textured, depth):
    frames = [
        room_frame(1 + i * 100_000_000, camera, camera_pose(yaw=math.radians(3 * i)), textured, depth)
        for i in range(31)
    ]
    keyframes = take(frames)
    assert 2 <= len(keyframes) <= 6
    expected = {"overlap", "moved"} if textured or depth else {"moved"}
    assert {k.reason for k in keyframes[1:]} <= expected
    assert [k.id for k in keyframes] == list(range(len(keyframes)))


def test_a_quarter_turn_without_pose_and_depth_goes_by_features():
    frames = [
        replace(room_frame(1 + i * 100_000_000, CAMERA, camera_pose(yaw=math.radians(3 * i)), depth=False),
                T_map_camera=np.full((4, 4), np.nan))
        for i in range(31)
    ]  # fmt: skip
    keyframes = take(frames)
    assert 2 <= len(keyframes) <= 6
    assert keyframes[1].reason == "overlap"
    assert keyframes[1].inliers >= 15 and 0.3 < keyframes[1].overlap < 0.6


@pytest.mark.parametrize("depth", [True, False])
def test_driving_ahead_takes_a_keyframe_before_the_view_is_spent(depth):
    frames = [room_frame(1 + i, SMALL, camera_pose(x=-2.0 + 0.1 * i), depth=depth) for i in range(41)]
    keyframes = take(frames)
    assert 3 <= len(keyframes) <= 9
    assert {k.reason for k in keyframes[1:]} <= {"closer", "moved", "overlap"}


def test_a_thing_that_appears_while_the_camera_stands_is_a_change():
    first = room_frame(1, SMALL, camera_pose())
    depth = first.depth.copy()
    depth[40:220, 20:260] = 1.0
    color = first.color.copy()
    color[40:220, 20:260] = np.random.default_rng(0).integers(0, 255, (180, 240, 3), np.uint8)
    second = replace(first, stamp=2, depth=depth, color=color)
    assert [k.reason for k in take([first, second])] == ["first", "changed"]


@pytest.mark.parametrize("depth", [True, False])
def test_a_pose_that_jumps_while_the_view_stays_is_said_and_not_repeated(depth):
    view = room_frame(1, CAMERA, camera_pose(), depth=depth)

    def frame(i, yaw):
        return replace(view, stamp=1 + i * 1_000_000_000, T_map_camera=camera_pose(yaw=yaw))

    frames = [frame(i, 0.0 if i < 5 else 0.7) for i in range(12)]
    assert [k.reason for k in take(frames)] == ["first", "pose_jump"]


def test_a_pose_that_is_stuck_is_found_by_the_features():
    frames = [
        replace(room_frame(1 + i * 200_000_000, CAMERA, camera_pose(yaw=math.radians(3 * i)), depth=False),
                T_map_camera=camera_pose())
        for i in range(20)
    ]  # fmt: skip
    assert "pose_jump" in [k.reason for k in take(frames)]


def test_a_pose_that_shakes_makes_no_flood_of_keyframes():
    rng = np.random.default_rng(0)
    view = room_frame(1, CAMERA, camera_pose())
    frames = [
        replace(view, stamp=1 + i * 33_000_000, T_map_camera=camera_pose(yaw=rng.uniform(-1, 1))) for i in range(60)
    ]
    assert len(take(frames)) <= 6


def test_lights_out_without_depth_is_one_keyframe_more():
    lit = [room_frame(1 + i * 200_000_000, CAMERA, camera_pose(), depth=False) for i in range(5)]
    dark = [replace(f, stamp=f.stamp + 10**9 + 1) for f in still_frames("dark", "none", 20)]
    assert [k.reason for k in take(lit + dark)] == ["first", "lost"]


def test_intervals():
    frames = [room_frame(1 + i * 10**9, SMALL, camera_pose()) for i in range(11)]
    assert [k.reason for k in take(frames, KeyframeConfig(max_interval=5.0))] == ["first", "interval", "interval"]
    turning = [room_frame(1 + i * 10**8, SMALL, camera_pose(yaw=0.3 * i)) for i in range(11)]
    stamps = [k.frame.stamp for k in take(turning, KeyframeConfig(min_interval=0.45))]
    assert len(stamps) >= 2 and min(np.diff(stamps)) >= 0.45e9


def test_reset_starts_anew_and_keeps_counting_ids():
    gate = KeyframeGate()
    frame = room_frame(1, SMALL, camera_pose())
    assert gate.process(frame).id == 0
    assert gate.process(frame) is None and gate.last_overlap > 0.95
    gate.reset()
    again = gate.process(frame)
    assert (again.id, again.reason) == (1, "first")
    assert gate.counts == {"first": 2}


def test_the_same_frames_give_the_same_keyframes():
    frames = [room_frame(1 + i, SMALL, camera_pose(yaw=0.05 * i), depth=False) for i in range(31)]
    runs = [[(k.id, k.reason, k.overlap, k.inliers) for k in take(frames)] for _ in range(2)]
    assert repr(runs[0]) == repr(runs[1])


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="min_overlap"):
        KeyframeConfig(min_overlap=1.5)


def test_creeping_up_to_a_near_wall_makes_no_flood():
    frames = [room_frame(1 + i * 200_000_000, SMALL, camera_pose(x=2.0 + 0.02 * i)) for i in range(40)]
    assert len(take(frames)) <= 3
