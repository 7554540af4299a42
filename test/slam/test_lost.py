"""Frames that show nothing, something else, or another place: what SLAM says of them, and what is left of the run."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.frames import Tracking
from embodied_nav.geometry import pose2d
from embodied_nav.slam.odometry import OdometryConfig
from embodied_nav.slam.tracking import TrackingLog

from .conftest import CAMERA

PERIOD = 100_000_000
RAY_U, RAY_V = np.meshgrid((np.arange(320) - CAMERA.cx) / CAMERA.fx, (np.arange(240) - CAMERA.cy) / CAMERA.fy)


def _drive(count=36, speed=0.03, turn=0.02):
    """Poses of the base: an arc through the room, 10 frames a second."""
    poses = [pose2d(1.2, 1.0, 0.5)]
    while len(poses) < count:
        poses.append(poses[-1] @ pose2d(speed, 0.0, turn))
    return poses


def _blind(color, depth, _):
    return np.zeros_like(color), np.full_like(depth, np.nan)


def _no_depth(color, depth, _):
    return color, np.full_like(depth, np.nan)


def _hand(color, depth, _):
    return np.full_like(color, 180), np.full_like(depth, 0.45)


def _half_covered(color, depth, _):
    color, depth = color.copy(), depth.copy()
    color[:, :160], depth[:, :160] = 180, 0.25
    return color, depth


def _dark(color, depth, _):
    return (0.3 * color).astype(np.uint8), depth


def _bright(color, depth, _):
    return (2.0 * color).clip(0, 255).astype(np.uint8), depth


def _passing(speed, share=1.0):
    """A flat thing 0.8 m ahead, full of corners, that goes by at so many m/s; covers a share of the columns."""
    rng = np.random.default_rng(0)
    pattern = np.repeat(np.repeat(rng.integers(0, 255, (40, 400, 3), dtype=np.uint8), 6, 0), 6, 1)

    def put(color, depth, k):
        columns = slice(round(160 * (1 - share)), round(160 * (1 + share)))
        shift = round(0.1 * k * speed * CAMERA.fx / 0.8)
        ahead = (0.8 + 0.05 * np.sin(9.0 * (0.8 * RAY_U - 0.1 * k * speed))).astype(np.float32)[:, columns]
        nearer = ~(depth[:, columns] < ahead)
        color, depth = color.copy(), depth.copy()
        color[:, columns][nearer] = pattern[:240, 400 + shift :][:, columns][nearer]
        depth[:, columns][nearer] = (ahead + rng.normal(0, 0.002, ahead.shape).astype(np.float32))[nearer]
        return color, depth

    return put


class Run:
    """A drive through a studio with some frames disturbed."""

    def __init__(self, slam, studio, bases, wheels=True, bad=(), how=None, missing=(), odom=None):
        self.updates, self.errors, self.stamps = [], [], []
        for k, base in enumerate(bases):
            if k in missing:
                continue
            truth = base @ studio.T_base_camera
            color, depth = studio.shoot(base)
            if k in bad:
                color, depth = how(color, depth, k - bad[0])
            said = (bases if odom is None else odom)[k] @ studio.T_base_camera if wheels else None
            self.updates.append(slam.process(k * PERIOD, depth, CAMERA, color, said))
            first = bases[0] @ studio.T_base_camera if not wheels else np.eye(4)
            estimate = first @ self.updates[-1].T_map_camera
            self.errors.append(float(np.linalg.norm(estimate[:3, 3] - truth[:3, 3])))
            self.stamps.append(k)

    @property
    def states(self):
        return {k: u.tracking.state for k, u in zip(self.stamps, self.updates, strict=True)}

    @property
    def worst(self):
        """Of the frames whose pose may be believed, m."""
        return max(e for e, u in zip(self.errors, self.updates, strict=True) if u.tracking.placed)


@pytest.mark.parametrize("wheels", [True, False], ids=["wheels", "camera alone"])
@pytest.mark.parametrize(
    "how, count", [(_no_depth, 1), (_blind, 1), (_blind, 5), (_hand, 5), (_passing(0.6), 5)],
    ids=["1 without depth", "1 blind", "5 blind", "hand", "a thing that fills the view"],
)  # fmt: skip
def test_what_shows_nothing_never_replaces_the_reference(slam_of, room, how, count, wheels):
    bad = range(12, 12 + count)
    slam = slam_of()
    run = Run(slam, room, _drive(26), wheels, bad, how)
    assert all(run.states[k] == ("wheels" if wheels else "lost") for k in bad if how is not _passing)
    assert all(run.states[k] == "tracking" for k in range(26) if k not in bad)
    assert run.worst < 0.03 and run.errors[-1] < 0.03
    stamps, _ = slam.trajectory()
    assert {int(s) // PERIOD for s in stamps} == set(range(26)) - (set() if wheels else set(bad))
    ((start, end, reason),) = slam.lost_summary()["slam_lost_times"]
    assert (start, end) == pytest.approx((1.2, 1.2 + 0.1 * count)) and ("valid" in reason or "view" in reason)


@pytest.mark.parametrize("how", [_dark, _bright, _half_covered], ids=["dark", "bright", "half covered"])
@pytest.mark.parametrize("wheels", [True, False], ids=["wheels", "camera alone"])
def test_it_goes_on_through_light_that_jumps_and_half_a_view(slam_of, room, how, wheels):
    run = Run(slam_of(), room, _drive(26), wheels, range(12, 18), how)
    assert set(run.states.values()) == {"tracking"} and run.worst < 0.04


def test_missing_frames_are_bridged_or_told(slam_of, room):
    for wheels in (True, False):
        run = Run(slam_of(), room, _drive(30), wheels, missing=range(12, 22))
        assert run.worst < 0.04 and run.states[29] == "tracking"


def test_wheels_carry_round_a_corner_and_within_a_bound_only(slam_of, room):
    """Blind while it turns to where the reference shows nothing any more."""
    bases = _drive(30, speed=0.0, turn=0.12)
    run = Run(slam_of(), room, bases, True, range(5, 22), _blind)
    assert {run.states[k] for k in range(5, 22)} == {"wheels"}
    assert run.states[29] == "tracking" and run.worst < 0.04
    short = slam_of(odometry=OdometryConfig(blind_time=0.8))
    run = Run(short, room, bases, True, range(5, 22), _blind)
    assert run.states[12] == "wheels" and run.states[14] == "lost" and run.states[29] == "lost"
    assert "valid" in short.lost_summary()["slam_lost_times"][0][2]


@pytest.mark.parametrize("wheels", [True, False], ids=["wheels", "camera alone"])
def test_it_finds_itself_again_after_it_was_carried(slam_of, room, wheels):
    """Covered, carried to where it has been before, and uncovered: wheels have stood all the time."""
    there = _drive(32, 0.03, 0.08)
    bases = [*there, *[there[-1]] * 6, *[there[3]] * 14]
    odom = [*there, *[there[-1]] * 20]
    run = Run(slam_of(), room, bases, wheels, range(32, 38), _blind, odom=odom)
    assert not run.updates[38].tracking.placed and run.states[51] == "tracking"
    assert run.worst < 0.05 and any(u.source == "place" for u in run.updates)


def test_it_never_takes_a_place_for_one_that_it_has_seen(slam_of, room, blank_wall):
    """Covered and carried to where it never was: lost, with nothing believed, however long it looks."""
    bases = _drive(14)
    for wheels in (True, False):
        slam = slam_of()
        Run(slam, room, bases, wheels)
        for k in range(14, 32):
            color, depth = room.shoot(pose2d(3.6, 4.6, -2.2))
            if k < 18:
                color, depth = _blind(color, depth, 0)
            odom = bases[-1] @ room.T_base_camera if wheels else None
            update = slam.process(k * PERIOD, depth, CAMERA, color, odom)
            assert not update.tracking.placed
        assert update.tracking.lost and update.tracking.seconds == pytest.approx(1.7)
        assert slam.keyframes == 1


@pytest.mark.parametrize("speed, share", [(0.7, 1.0), (0.1, 1.0), (0.7, 0.7)])
def test_wheels_at_rest_are_believed_over_what_passes_by(slam_of, room, speed, share):
    bases = [*_drive(8), *[_drive(8)[-1]] * 30]
    run = Run(slam_of(), room, bases, True, range(12, 30), _passing(speed, share))
    assert max(run.errors) < 0.02 and run.states[37] == "tracking"
    assert share < 1.0 or any(run.states[k] != "tracking" for k in range(12, 30))


def test_a_picture_that_repeats_while_wheels_move_is_not_a_new_one(slam_of, room):
    kept = []

    def frozen(color, depth, k):
        kept[:] = kept or [(color, depth)]
        return kept[0]

    run = Run(slam_of(), room, _drive(30), True, range(12, 20), frozen)
    assert all(run.states[k] == "wheels" for k in range(13, 20))
    assert "same picture" in run.updates[16].tracking.reason
    assert run.worst < 0.03 and run.states[20] == "tracking"


@pytest.mark.parametrize("wheels", [True, False], ids=["wheels", "camera alone"])
def test_a_step_that_nobody_makes_is_not_believed_at_once(slam_of, room, wheels):
    """0.7 m in 0.1 s, plain to see: too fast. A hand may make it in a while; else several frames say it was carried."""
    start = _drive(8)
    bases, odom = [*start, *[start[-1] @ pose2d(0.7, 0.0, 0.0)] * 16], [*start, *[start[-1]] * 16]
    run = Run(slam_of(), room, bases, wheels, odom=odom)
    assert not any(run.updates[k].tracking.placed for k in ((8, 9) if wheels else (8,)))
    assert wheels or "too fast" in run.updates[8].tracking.reason
    assert run.worst < 0.05 and run.states[23] == "tracking"


def _papered(shift):
    """Wallpaper that repeats every 0.4 m, square to the camera at 1.2 m, seen from ``shift`` m further along it."""
    y = 1.2 * RAY_U + shift
    z = 1.2 * RAY_V
    rng = np.random.default_rng(5)
    tile = np.repeat(np.repeat(rng.integers(0, 255, (16, 16), dtype=np.uint8), 4, 0), 4, 1)
    grey = tile[(z / 0.4 * 64).astype(int) % 64, np.floor(y / 0.4 * 64).astype(int) % 64]
    depth = np.full(y.shape, 1.2) * (1.0 + 0.002 * rng.standard_normal(y.shape))
    return np.repeat(grey[..., None], 3, axis=2), depth.astype(np.float32)


@pytest.mark.parametrize("wheels", [True, False], ids=["wheels", "camera alone"])
@pytest.mark.parametrize("period", [1, 5], ids=["10 Hz", "2 Hz"])
def test_wallpaper_that_repeats_makes_no_step(slam_of, wheels, period):
    """Sideways along it at 0.3 m/s: the view looks the same again and again, wherever the camera is."""
    slam, states = slam_of(), []
    for k in range(0, 60, period):
        T = np.eye(4)
        T[0, 3] = shift = 0.03 * k
        color, depth = _papered(shift)
        update = slam.process(k * PERIOD, depth, CAMERA, color, T if wheels else None)
        states.append(update.tracking.state)
        if states[-1] != "lost":
            moved = float(np.linalg.norm(update.T_map_camera[:3, 3]))
            assert abs(moved - shift) < (0.05 if wheels else 0.15), (k, update.tracking)
    # The camera alone places every frame, the wheels carry the pose past a view that they contradict: none is lost.
    assert states[0] == "tracking" and states.count("lost") <= len(states) // 5, states


def test_it_begins_only_when_it_sees_something(slam_of, room):
    slam = slam_of()
    run = Run(slam, room, _drive(8), False, range(3), _blind)
    assert [run.states[k] for k in range(5)] == ["lost", "lost", "lost", "tracking", "tracking"]
    assert slam.keyframes == 1 and len(slam.trajectory()[0]) == 5
    assert slam.lost_summary()["slam_lost_s"] == pytest.approx(0.3)


def test_a_clock_that_steps_back_costs_no_frame(slam_of, room):
    slam = slam_of()
    for k, base in enumerate(_drive(12)):
        color, depth = room.shoot(base)
        stamp = (k if k < 6 else k - 4) * PERIOD
        update = slam.process(stamp, depth, CAMERA, color, base @ room.T_base_camera)
        assert update.tracking.placed
    stamps, poses = slam.trajectory()
    assert (np.diff(stamps) > 0).all() and len(stamps) == len(poses) == 8
    assert np.linalg.norm(poses[-1][:3, 3] - (base @ room.T_base_camera)[:3, 3]) < 0.03


def test_the_log_counts_each_time_once():
    log = TrackingLog()
    for second, state in enumerate(["tracking", "lost", "lost", "tracking", "wheels", "lost", "tracking", "wheels"]):
        now = log.update(second * 10**9, state, state)
    assert now == Tracking("wheels", 7 * 10**9, 0.0, "wheels") and str(now) == "by wheels alone for 0.0 s: wheels"
    summary = log.summary(9 * 10**9)
    assert summary == {"slam_lost_s": 6.0, "slam_lost_times": [[1, 3, "lost"], [4, 6, "wheels"], [7, 9, "wheels"]]}
    assert [(s.start, s.end) for s in log.stretches] == [(10**9, 3 * 10**9), (4 * 10**9, 6 * 10**9)]
    assert log.update(10 * 10**9, "lost", "x").seconds == 3.0


@pytest.mark.parametrize("carried", [False, True], ids=["stays", "carried"])
def test_what_somebody_hid_is_known_again_where_wheels_say(slam_of, blank_wall, carried):
    """Before a wall without features, hidden while it drives on and then stands: lost, until the view is free again."""
    bases = [pose2d(1.5 + 0.02 * min(k, 20), 0.0, 0.1) for k in range(60)]
    odom = list(bases)
    if carried:
        bases[40:] = [pose2d(1.6, 0.3, 0.4)] * 20
    run = Run(slam_of(), blank_wall, bases, True, range(12, 45), _passing(0.3), odom=odom)
    assert run.states[15] == "wheels" and run.states[44] == "lost"
    assert run.states[59] == ("lost" if carried else "tracking") and run.worst < 0.05
