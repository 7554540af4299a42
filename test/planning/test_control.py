"""Pure pursuit, the local obstacle map, the guard and recovery, driven on an ideal base."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.frames import Velocity
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.planning import (
    CollisionGuard,
    GuardConfig,
    LocalObstacles,
    Recovery,
    RecoveryConfig,
    RegulatedPurePursuit,
    scan_points,
)
from embodied_nav.robot import RobotProfile

ROBOT = RobotProfile()
CAMERA = Camera.from_hfov(320, 240, math.pi / 2)
DT = 0.05


class Base:
    """A robot that does what it is told."""

    def __init__(self, x=0.0, y=0.0, yaw=0.0):
        self.x, self.y, self.yaw = x, y, yaw

    @property
    def T(self):
        return pose2d(self.x, self.y, self.yaw)

    def drive(self, velocity, dt=DT):
        self.x += velocity.linear * math.cos(self.yaw + velocity.angular * dt / 2) * dt
        self.y += velocity.linear * math.sin(self.yaw + velocity.angular * dt / 2) * dt
        self.yaw += velocity.angular * dt


def wall_depth(distance: float, pose=None) -> np.ndarray:
    """Depth of a floor and a wall ``distance`` ahead of base_link, from the robot's camera."""
    T = ROBOT.T_base_camera()
    d = CAMERA.rays().astype(np.float64) @ T[:3, :3].T
    o = T[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        wall = np.where(d[..., 0] > 0, (distance - o[0]) / d[..., 0], np.inf)
        floor = np.where(d[..., 2] < 0, -o[2] / d[..., 2], np.inf)
    return np.minimum(wall, floor).astype(np.float32)


def follow(base, path, heading=None, seconds=60.0):
    pursuit, path = RegulatedPurePursuit(robot=ROBOT), np.asarray(path, float)
    trace, last = [], Velocity()
    for _ in range(int(seconds / DT)):
        v = pursuit.command(base.T, path, DT, heading)
        assert abs(v.linear) <= ROBOT.max_linear + 1e-9
        assert abs(v.angular) <= ROBOT.max_angular + 1e-9
        assert v.linear - last.linear <= ROBOT.linear_acceleration * DT + 1e-9
        assert last.linear - v.linear <= ROBOT.linear_deceleration * DT + 1e-9
        assert abs(v.angular - last.angular) <= ROBOT.angular_acceleration * DT + 1e-9
        last = v
        base.drive(v)
        trace.append((base.x, base.y))
        if pursuit.arrived(base.T, path) and pursuit.turned(base.T, heading) and v.linear == 0:
            break
    return np.array(trace)


@pytest.mark.parametrize("yaw", [0.0, 1.0, math.pi, -2.0])
def test_reaches_the_end_and_stays_near_the_path(yaw):
    base = Base(yaw=yaw)
    trace = follow(base, [[0, 0], [2, 0], [2, 2], [0, 2.5]])
    assert math.dist((base.x, base.y), (0, 2.5)) < 0.15
    corners = np.array([[0, 0], [2, 0], [2, 2], [0, 2.5]], float)
    a, b = corners[:-1], corners[1:]
    for p in trace:
        s = np.clip(((p - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1), 0, 1)
        assert np.linalg.norm(a + (b - a) * s[:, None] - p, axis=1).min() < 0.25


def test_turns_on_the_spot_before_driving_back():
    base = Base()
    trace = follow(base, [[0, 0], [-2, 0]])
    assert np.abs(trace[:, 1]).max() < 0.05
    assert trace[:, 0].max() < 0.02


def test_turns_to_a_heading_and_stops_there():
    base = Base()
    follow(base, [[0, 0]], heading=2.5)
    assert base.yaw == pytest.approx(2.5, abs=0.07)
    assert (base.x, base.y) == (0.0, 0.0)


def test_slows_in_curves_near_obstacles_and_at_the_end():
    straight, curve, near = (RegulatedPurePursuit(robot=ROBOT) for _ in range(3))
    line = np.array([[0, 0], [3.0, 0]])
    bend = np.array([[0, 0], [0.2, 0.0], [0.35, 0.15], [0.4, 0.4]])
    for _ in range(40):
        v = [
            straight.command(pose2d(0, 0, 0), line, DT),
            curve.command(pose2d(0, 0, 0), bend, DT),
            near.command(pose2d(0, 0, 0), line, DT, clearance=0.05),
        ]
    assert v[0].linear == pytest.approx(ROBOT.max_linear)
    assert v[1].linear < 0.45
    assert v[2].linear < 0.2


def test_a_path_that_passes_near_itself_is_not_cut_short():
    base = Base()
    trace = follow(base, [[0, 0], [2, 0], [2, 0.4], [0, 0.4]])
    assert trace[:, 0].max() > 1.7


def test_no_path_brakes_within_limits():
    pursuit = RegulatedPurePursuit(robot=ROBOT)
    line = np.array([[0, 0], [3.0, 0]])
    for _ in range(30):
        v = pursuit.command(pose2d(0, 0, 0), line, DT)
    speeds = [v.linear, *(pursuit.command(pose2d(0, 0, 0), None, DT).linear for _ in range(20))]
    assert speeds[-1] == 0.0
    assert min(np.diff(speeds)) >= -ROBOT.linear_deceleration * DT - 1e-9


def test_depth_becomes_obstacle_points_at_the_wall():
    obstacles = LocalObstacles(robot=ROBOT)
    obstacles.add_depth(10**9, wall_depth(1.2), CAMERA, ROBOT.T_base_camera(), pose2d(5, -3, 0.7))
    points = obstacles.points(pose2d(5, -3, 0.7))
    assert len(points) > 20
    assert points[:, 0].min() > 1.1
    assert points[:, 0].max() < 1.3


def test_floor_is_no_obstacle_and_nan_neither():
    obstacles = LocalObstacles(robot=ROBOT)
    obstacles.add_depth(1, wall_depth(50.0), CAMERA, ROBOT.T_base_camera(), np.eye(4))
    obstacles.add_depth(2, np.full((240, 320), np.nan, np.float32), CAMERA, ROBOT.T_base_camera(), np.eye(4))
    assert len(obstacles.points(np.eye(4))) == 0


def test_obstacle_out_of_sight_is_kept_until_old_and_moves_with_odometry():
    obstacles = LocalObstacles(robot=ROBOT)
    obstacles.add_points(10**9, np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(obstacles.points(pose2d(0.6, 0, math.pi / 2)), [[0.0, -0.4]], atol=0.05)
    obstacles.add_points(int(30e9), np.array([[0.0, 1.0]]))
    assert len(obstacles.points(np.eye(4))) == 1


def test_seen_floor_clears_an_obstacle_that_left():
    obstacles = LocalObstacles(robot=ROBOT)
    obstacles.add_points(1, np.array([[1.5, 0.0]]))
    obstacles.add_depth(2, wall_depth(50.0), CAMERA, ROBOT.T_base_camera(), np.eye(4))
    assert len(obstacles.points(np.eye(4))) == 0


def test_guard_lets_free_motion_pass_unchanged():
    guard = CollisionGuard(robot=ROBOT)
    guard.observe_depth(1, wall_depth(50.0), CAMERA, ROBOT.T_base_camera(), np.eye(4))
    assert guard.filter(Velocity(0.5, 0.3), np.eye(4)) == (Velocity(0.5, 0.3), "")


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 2.0), st.floats(-1.2, 1.2), st.floats(0.05, 0.5))
def test_guard_never_drives_into_a_wall(distance, turn, speed):
    guard, base = CollisionGuard(robot=ROBOT), Base()
    points = np.column_stack([np.full(200, distance), np.linspace(-4, 4, 200)])
    for k in range(160):
        if k % 4 == 0:
            near = points[np.hypot(points[:, 0] - base.x, points[:, 1] - base.y) < 1.8]
            guard.obstacles.add_points(int(k * 5e7), near)
        v, _ = guard.filter(Velocity(speed, turn * (k < 20)), base.T)
        base.drive(v)
        assert np.hypot(points[:, 0] - base.x, points[:, 1] - base.y).min() > ROBOT.footprint_radius - 0.01


def test_guard_stops_ahead_of_a_near_obstacle_but_lets_it_turn_and_back_off():
    guard = CollisionGuard(robot=ROBOT)
    guard.obstacles.add_points(1, np.array([[0.17, 0.0]]))
    assert guard.filter(Velocity(0.3, 0.0), np.eye(4)) == (Velocity(0.0, 0.0), "obstacle_ahead")
    assert guard.filter(Velocity(0.0, 1.0), np.eye(4)) == (Velocity(0.0, 1.0), "")
    back, reason = guard.filter(Velocity(-0.1, 0.0), np.eye(4))
    assert back.linear == -0.1
    assert reason == ""


@pytest.mark.parametrize("speed", [0.1, 0.3, 0.5])
def test_guard_does_not_creep_towards_what_its_side_all_but_touches(speed):
    """Depth shows what stands at the side 2 cm farther off than it is: creeping on would push against it."""
    guard, bearing = CollisionGuard(robot=ROBOT), 0.9
    gap = ROBOT.footprint_radius + guard.config.margin + 0.02
    guard.obstacles.add_points(1, gap * np.array([[math.cos(bearing), math.sin(bearing)]]))
    assert guard.filter(Velocity(speed, 0.0), np.eye(4)) == (Velocity(), "obstacle_ahead")
    assert guard.filter(Velocity(speed, -1.2 * speed / 0.1), np.eye(4))[0].angular < 0.0, "it may turn away"


def test_guard_lets_the_robot_drive_on_beside_what_it_slid_along_but_not_into_it():
    guard = CollisionGuard(robot=ROBOT)
    guard.touched(1, pose2d(0.0, 0.0, 0.5), 1.0, held=False)
    beside = 0.5 + 1.0 - 0.5 * math.pi
    assert guard.filter(Velocity(0.2), pose2d(0.0, 0.0, beside)) == (Velocity(0.2), "")
    assert guard.filter(Velocity(0.2), pose2d(0.0, 0.0, beside + 0.6)) == (Velocity(), "obstacle_ahead")
    assert guard.filter(Velocity(0.2), pose2d(0.0, 0.0, 1.5)) == (Velocity(), "obstacle_ahead")


def test_guard_knows_that_it_is_blind_behind():
    guard, base = CollisionGuard(GuardConfig(blind_reverse=0.2), ROBOT), Base()
    v, reason = guard.filter(Velocity(-0.15, 0.0), base.T)
    assert v.linear == pytest.approx(-0.10)
    assert reason == "blind_behind"
    for _ in range(200):
        base.drive(guard.filter(Velocity(-0.15, 0.0), base.T)[0])
    assert base.x == pytest.approx(-0.2, abs=0.02)


def test_guard_may_go_back_where_it_came_from():
    guard, base = CollisionGuard(GuardConfig(blind_reverse=0.0), ROBOT), Base()
    guard.filter(Velocity(), base.T)
    for _ in range(20):
        base.drive(guard.filter(Velocity(0.5, 0.0), base.T)[0])
    for _ in range(200):
        base.drive(guard.filter(Velocity(-0.1, 0.0), base.T)[0])
    assert base.x == pytest.approx(0.0, abs=0.03)


def test_a_scan_all_round_lifts_the_limit_behind_and_sees_obstacles_there():
    guard = CollisionGuard(robot=ROBOT)
    guard.observe_scan(1, np.full(360, 5.0), -math.pi, math.radians(1), np.eye(4), np.eye(4))
    assert guard.filter(Velocity(-0.15, 0.0), np.eye(4))[0].linear == -0.15
    guard.observe_scan(2, np.full(360, 0.23), -math.pi, math.radians(1), np.eye(4), np.eye(4))
    velocity, reason = guard.filter(Velocity(-0.15, 0.0), np.eye(4))
    assert reason == "obstacle_behind"
    assert velocity.linear > -0.06


def test_scan_points_leave_out_what_is_no_return():
    points = scan_points([1.0, np.inf, np.nan, 0.01, 2.0], 0.0, math.pi / 2, pose2d(1, 0, 0))
    np.testing.assert_allclose(points, [[2, 0], [3, 0]], atol=1e-12)


def test_guard_refuses_commands_that_are_not_finite():
    assert CollisionGuard().filter(Velocity(math.nan, 0.0), np.eye(4)) == (Velocity(), "not_finite")


def test_recovery_acts_only_when_wanted_motion_does_not_come():
    recovery = Recovery(RecoveryConfig(patience=1.0, back_time=0.5, turn_time=0.5))
    base, stamps = Base(), iter(range(0, 10**11, int(DT * 1e9)))
    for _ in range(60):
        base.drive(Velocity(0.3, 0.0))
        assert recovery.update(next(stamps), base.T, Velocity(0.3, 0.0)) is None
    for _ in range(60):
        assert recovery.update(next(stamps), base.T, Velocity()) is None
    commands = [recovery.update(next(stamps), base.T, Velocity(0.3, 0.0)) for _ in range(41)]
    acted = [c for c in commands if c is not None]
    assert commands[:19] == [None] * 19
    assert acted[0].linear < 0
    assert acted[-1].angular != 0
    assert recovery.count == 1


def test_recovery_does_not_count_the_time_in_which_nobody_drove():
    """Stopped, or without input: for so long the robot stood for that reason, and is not stuck."""
    recovery = Recovery(RecoveryConfig(patience=1.0, back_time=0.5, turn_time=0.5))
    stamps = [*range(0, 10**9, int(DT * 1e9)), *range(10**10, 10**10 + 9 * 10**8, int(DT * 1e9))]
    assert [recovery.update(stamp, np.eye(4), Velocity(0.3, 0.0)) for stamp in stamps] == [None] * len(stamps)
    assert recovery.update(10**10 + 10**9, np.eye(4), Velocity(0.3, 0.0)) is not None
