"""Collision guard: slows or stops every velocity command that would hit an obstacle or enter unmeasured ground.

It is the last stage before the motors. Knows nothing of goals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..frames import Velocity
from ..geometry import Camera, yaw_of
from ..robot import RobotProfile
from .coverage import Coverage, CoverageConfig
from .mount import DOUBTFUL, WRONG, MountCheck, MountConfig
from .obstacles import LocalObstacles, ObstacleConfig, scan_points
from .scan_evidence import sees_behind

#: Free distance (m) below which the robot must stop: creeping closer would end in contact, given depth's error. Also
#: the step of :func:`_free_distance`.
_NO_WAY = 0.02
#: Validity (ns) of a scan that covers the space behind the robot.
_SCAN_HOLDS = 1_000_000_000


@dataclass(frozen=True)
class GuardConfig(Config):
    """Settings of the collision guard."""

    margin: float = param(0.015, "gap kept between footprint and obstacles", unit="m", low=0.0, high=0.5)
    reaction_time: float = param(0.20, "time before braking takes effect", unit="s", low=0.0, high=2.0)
    slow_time: float = param(0.9, "time to a collision below which speed is lowered", unit="s", low=0.1, high=5.0)
    blind_reverse: float = param(
        0.30, "how far it may back over ground it neither saw nor drove", unit="m", low=0.0, high=2.0
    )
    blind_speed: float = param(0.10, "top speed backward", unit="m/s", low=0.0, high=0.5)


class CollisionGuard:
    """Scales commands down to what the obstacles around the robot allow.

    Feed it every depth image (and laser scan, where there is one), then let every command pass :meth:`filter`.
    A round robot turning in place sweeps no new area, so rotation passes. The robot has no sensor behind it: it may
    reverse slowly along the path it came by and :attr:`GuardConfig.blind_reverse` beyond, unless blind ahead, too.

    Attributes:
        clearance: m from the footprint to the nearest obstacle or drop at the last command.
        passed: the last velocity that :meth:`filter` returned.
        obstacles, coverage, mount: the obstacle map, the map of measured ground, the check of the camera's mount.
    """

    def __init__(
        self,
        config: GuardConfig | None = None,
        robot: RobotProfile | None = None,
        obstacles: ObstacleConfig | None = None,
        coverage: CoverageConfig | None = None,
        mount: MountConfig | None = None,
    ) -> None:
        self.config = config or GuardConfig()
        self.robot = robot or RobotProfile()
        self.obstacles = LocalObstacles(obstacles, self.robot)
        self.coverage = Coverage(coverage, self.robot)
        self.mount = MountCheck(mount, self.robot)
        self.clearance = math.inf
        self.reset()

    def reset(self) -> None:
        """Forgets obstacles, measured ground and the driven path."""
        self.obstacles.clear()
        self.coverage.clear()
        self.mount.reset()
        self.clearance = math.inf
        self.passed = Velocity()
        self._previous: np.ndarray | None = None
        self._backed = 0.0
        self._saw_behind_at: int | None = None

    def observe_depth(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        T_base_camera: np.ndarray,
        T_odom_base: np.ndarray,
    ) -> None:
        """Adds a depth image (HxW float32 m, NaN invalid); ``T_odom_base`` is the pose at its exposure."""
        self.obstacles.add_depth(stamp, depth, camera, T_base_camera, T_odom_base)
        self.coverage.add_depth(stamp, depth, camera, T_base_camera, T_odom_base)
        self.mount.add_depth(stamp, depth, camera, T_base_camera, T_odom_base)

    def observe_scan(
        self,
        stamp: int,
        ranges: np.ndarray,
        angle_min: float,
        angle_increment: float,
        T_base_laser: np.ndarray,
        T_odom_base: np.ndarray,
        range_min: float = 0.05,
        range_max: float = 10.0,
    ) -> None:
        """Adds a laser scan; recent scans that cover the space behind lift the limit on reversing."""
        points = scan_points(ranges, angle_min, angle_increment, T_odom_base @ T_base_laser, range_min, range_max)
        near = np.hypot(points[:, 0] - T_odom_base[0, 3], points[:, 1] - T_odom_base[1, 3]) <= self.obstacles.reach
        self.obstacles.add_points(stamp, points[near])
        angles = angle_min + angle_increment * np.arange(len(ranges))
        own = self.robot.footprint_radius
        if sees_behind(ranges, angles, T_base_laser, own, range_min, range_max):
            self._saw_behind_at = stamp
        else:
            self._saw_behind_at = None

    def touched(self, stamp: int, T_odom_base: np.ndarray, bearing: float = 0.0, held: bool = True) -> np.ndarray:
        """Adds an obstacle at the footprint, where something unseen stopped the base or the base slid along it.

        Args:
            stamp: ns.
            T_odom_base: 4x4 odometry now.
            bearing: rad from the robot's heading to the obstacle.
            held: the base was stopped: add an arc around the footprint, so that a slight turn does not lead past it.
                Else add a short wall perpendicular to ``bearing``: the robot may drive along it, but not into it.

        Returns:
            Nx2 (x, y) m in odom, the points added.
        """
        radius, yaw = self.robot.footprint_radius, yaw_of(T_odom_base) + bearing
        ahead, aside = np.array([math.cos(yaw), math.sin(yaw)]), np.array([-math.sin(yaw), math.cos(yaw)])
        if held:
            angles = np.linspace(-0.6, 0.6, 9)[:, None]
            points = (radius + 0.04) * (np.cos(angles) * ahead + np.sin(angles) * aside)
        else:
            offsets = np.array([[-0.06], [0.06], [-0.03], [0.03], [0.0]])  # of points in one cell the last is kept
            points = (radius + self.config.margin + 0.008) * ahead + offsets * aside
        points += T_odom_base[:2, 3]
        self.obstacles.add_points(stamp, points)
        return points

    def filter(self, velocity: Velocity, T_odom_base: np.ndarray) -> tuple[Velocity, str]:
        """Limits a velocity command to what is safe now.

        Args:
            velocity: the controller's command.
            T_odom_base: 4x4, the current pose; obstacles are stored in odom.

        Returns:
            The velocity (same curvature, lower speed) and the reason for the change: "" if unchanged, else
            ``obstacle_ahead``, ``obstacle_behind``, ``drop_ahead``, ``drop_behind``, ``blind_behind``, ``not_finite``,
            ``mount``, or ``unmeasured``; :meth:`explain` gives details of the last two.
        """
        self._track(T_odom_base)
        self.passed, reason = self._filtered(velocity, T_odom_base)
        return self.passed, reason

    def explain(self, reason: str) -> str:
        """A reason from :meth:`filter` with the measured numbers."""
        if reason == "mount":
            return self.mount.text
        if reason == "unmeasured":
            return f"depth: {100.0 * self.coverage.valid:.0f}% valid ahead (the way was not measured)"
        return reason

    def _filtered(self, velocity: Velocity, T_odom_base: np.ndarray) -> tuple[Velocity, str]:
        v, w = float(velocity.linear), float(velocity.angular)
        if not (math.isfinite(v) and math.isfinite(w)):
            return Velocity(), "not_finite"
        points, drops = self.obstacles.points(T_odom_base, 1.5), self.obstacles.drops(T_odom_base, 1.5)
        radius = self.robot.footprint_radius
        self.clearance = min(_clearance(points, radius), _clearance(drops, radius))
        if self.mount.verdict == WRONG:
            return Velocity(), "mount"
        if self.mount.verdict == DOUBTFUL and abs(v) >= 1e-3:
            return Velocity(0.0, w), "mount"
        if abs(v) < 1e-3:
            return velocity, ""
        reason = ""
        if v < 0.0 and not self._sees_behind():
            may = not self.coverage.blind and self._backed < self.config.blind_reverse
            limit = self.config.blind_speed if may else 0.0
            if -v > limit:
                w, v, reason = (w * limit / -v if limit else w), -limit, "blind_behind"
            if v == 0.0:
                return Velocity(0.0, w), reason
        limits = [(self._allowed_speed(points, v, w), "obstacle"), (self._allowed_speed(drops, v, w), "drop")]
        if v > 0.0:
            limits.append((self._measured_speed(T_odom_base, v, w), "unmeasured"))
        allowed, what = min(limits, key=lambda limit: limit[0])
        if allowed < abs(v):
            scale = allowed / abs(v)
            reason = what if what == "unmeasured" else what + ("_ahead" if v > 0 else "_behind")
            # When fully blocked it may still turn, to get away from the obstacle in front of it.
            return Velocity(v * scale, w * scale if scale > 0.0 else w), reason
        return Velocity(v, w), reason

    def _sees_behind(self) -> bool:
        at = self._saw_behind_at
        return at is not None and self.obstacles.newest - at <= _SCAN_HOLDS

    def _measured_speed(self, T_odom_base: np.ndarray, v: float, w: float) -> float:
        """The highest speed (m/s) along this arc from which the robot can stop before unmeasured ground."""
        horizon = v * self.config.slow_time + 2.0 * (self.robot.footprint_radius + self.config.margin)
        unmeasured = self.coverage.unmeasured(T_odom_base, horizon)
        return min(self._allowed_speed(unmeasured, v, w), v * self.coverage.speed_share)

    def _allowed_speed(self, points: np.ndarray, v: float, w: float) -> float:
        """The highest speed (m/s) along this arc from which the robot can stop before the first of these points."""
        radius = self.robot.footprint_radius + self.config.margin
        speed, braking = abs(v), self.robot.linear_deceleration
        horizon = speed * self.config.slow_time + radius
        free = _free_distance(points, v, w / speed, radius, horizon)
        if not math.isfinite(free):
            return speed
        if free <= _NO_WAY:
            return 0.0
        t = self.config.reaction_time
        # speed * t + speed^2 / (2 braking) <= free, and at most free / slow_time (+ 0.05) farther out.
        stops = braking * (math.sqrt(t * t + 2.0 * free / braking) - t)
        return min(speed, stops, free / self.config.slow_time + 0.05)

    def _track(self, T_odom_base: np.ndarray) -> None:
        """Tracks the distance reversed beyond known ground; ground just driven over is known until the robot turns."""
        T = np.array(T_odom_base)
        if self._previous is not None:
            ahead = float((T[:2, 3] - self._previous[:2, 3]) @ self._previous[:2, 0])
            turn = abs(math.remainder(yaw_of(T) - yaw_of(self._previous), 2.0 * math.pi))
            self._backed = max(self._backed - ahead, -1.0)
            if turn > 2.0 * abs(ahead):
                self._backed = max(self._backed, 0.0)
        self._previous = T


def _clearance(points: np.ndarray, radius: float) -> float:
    if len(points) == 0:
        return math.inf
    return float(np.sqrt((points**2).sum(axis=1).min())) - radius


@njit(cache=True, nogil=True)
def _free_distance(points, v, curvature, radius, horizon):
    """Distance (m) along the arc until the footprint touches a point; inf where none is touched within ``horizon``.

    Points already inside the footprint count only if the motion goes deeper into them.
    """
    step = _NO_WAY
    sign = 1.0 if v > 0 else -1.0
    best = np.inf
    steps = int(horizon / step) + 1
    # Curvature is turning rate over speed: heading after s metres is curvature * s, backward motion along -x.
    for k in range(points.shape[0]):
        px, py = points[k, 0], points[k, 1]
        x, y = 0.0, 0.0
        d2 = px * px + py * py
        if d2 > (horizon + radius) ** 2:
            continue
        if d2 < radius * radius:
            # Inside the footprint already: only motion away from it, or past it, is free.
            heading = 0.5 * curvature * step
            dx, dy = px - sign * step * np.cos(heading), py - sign * step * np.sin(heading)
            if dx * dx + dy * dy < d2:
                return 0.0
            continue
        for i in range(1, steps + 1):
            s = i * step
            if s >= best:
                break
            heading = curvature * (s - 0.5 * step)
            x += sign * step * np.cos(heading)
            y += sign * step * np.sin(heading)
            if (px - x) ** 2 + (py - y) ** 2 < radius * radius:
                best = s - step
                break
    return best
