"""The last word before the motors: no commanded velocity may drive into what was just seen. Knows nothing of goals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..frames import Velocity
from ..geometry import Camera, yaw_of
from ..robot import RobotProfile
from .obstacles import LocalObstacles, ObstacleConfig, scan_points

#: Free way (m) that is none: creeping on against what depth shows a little too far away is contact. It is also how
#: finely :func:`_free_distance` looks.
_NO_WAY = 0.02


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
    Rotation of a round robot in place sweeps nothing new and always passes. Behind it the robot is blind: it may
    back along where it came from, or :attr:`GuardConfig.blind_reverse` beyond that, slowly.

    Attributes:
        clearance: m from the footprint to the nearest obstacle, at the last command.
        passed: the velocity that :meth:`filter` let through last.
    """

    def __init__(
        self,
        config: GuardConfig | None = None,
        robot: RobotProfile | None = None,
        obstacles: ObstacleConfig | None = None,
    ) -> None:
        self.config = config or GuardConfig()
        self.robot = robot or RobotProfile()
        self.obstacles = LocalObstacles(obstacles, self.robot)
        self.clearance = math.inf
        self.reset()

    def reset(self) -> None:
        """Forgets obstacles and the way driven."""
        self.obstacles.clear()
        self.clearance = math.inf
        self.passed = Velocity()
        self._previous: np.ndarray | None = None
        self._backed = 0.0
        self._has_seen_behind = False

    def observe_depth(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        T_base_camera: np.ndarray,
        T_odom_base: np.ndarray,
    ) -> None:
        """Takes in a depth image (HxW float32 m, NaN invalid); ``T_odom_base`` is the pose at its exposure."""
        self.obstacles.add_depth(stamp, depth, camera, T_base_camera, T_odom_base)

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
        """Takes in a laser scan; one over more than 270 degrees sees behind and lifts the limit there."""
        points = scan_points(ranges, angle_min, angle_increment, T_odom_base @ T_base_laser, range_min, range_max)
        near = np.hypot(points[:, 0] - T_odom_base[0, 3], points[:, 1] - T_odom_base[1, 3]) <= self.obstacles.reach
        self.obstacles.add_points(stamp, points[near])
        self._has_seen_behind = abs(angle_increment) * len(ranges) > 1.5 * math.pi

    def touched(self, stamp: int, T_odom_base: np.ndarray, bearing: float = 0.0, held: bool = True) -> np.ndarray:
        """Remembers an obstacle at the footprint: the base was held there, or slid along it, and no sensor saw why.

        Args:
            stamp: ns.
            T_odom_base: 4x4 odometry now.
            bearing: rad from the heading on; where the obstacle is.
            held: it reaches around the footprint, so that a slight turn does not lead past it; else it is a piece of
                wall square to ``bearing``: the robot may drive on beside it, but not into it.

        Returns:
            Nx2 (x, y) m in odom, of what it remembers.
        """
        radius, yaw = self.robot.footprint_radius, yaw_of(T_odom_base) + bearing
        ahead, aside = np.array([math.cos(yaw), math.sin(yaw)]), np.array([-math.sin(yaw), math.cos(yaw)])
        if held:
            angles = np.linspace(-0.6, 0.6, 9)[:, None]
            points = (radius + 0.04) * (np.cos(angles) * ahead + np.sin(angles) * aside)
        else:
            offsets = np.array([[-0.06], [0.06], [-0.03], [0.03], [0.0]])  # of points that share a cell the last stays
            points = (radius + self.config.margin + 0.008) * ahead + offsets * aside
        points += T_odom_base[:2, 3]
        self.obstacles.add_points(stamp, points)
        return points

    def filter(self, velocity: Velocity, T_odom_base: np.ndarray) -> tuple[Velocity, str]:
        """The velocity that may be driven now.

        Args:
            velocity: what the controller wants.
            T_odom_base: 4x4, the pose now; obstacles are moved along with odometry since they were seen.

        Returns:
            The velocity (same curvature, lower speed) and why it was changed: "" where it was not, else
            ``obstacle_ahead``, ``obstacle_behind``, ``blind_behind`` or ``not_finite``.
        """
        self._track(T_odom_base)
        self.passed, reason = self._filtered(velocity, T_odom_base)
        return self.passed, reason

    def _filtered(self, velocity: Velocity, T_odom_base: np.ndarray) -> tuple[Velocity, str]:
        v, w = float(velocity.linear), float(velocity.angular)
        if not (math.isfinite(v) and math.isfinite(w)):
            return Velocity(), "not_finite"
        points = self.obstacles.points(T_odom_base, 1.5)
        self.clearance = _clearance(points, self.robot.footprint_radius)
        if abs(v) < 1e-3:
            return velocity, ""
        reason = ""
        if v < 0.0 and not self._has_seen_behind:
            limit = self.config.blind_speed if self._backed < self.config.blind_reverse else 0.0
            if -v > limit:
                w, v, reason = (w * limit / -v if limit else w), -limit, "blind_behind"
            if v == 0.0:
                return Velocity(0.0, w), reason
        allowed = self._allowed_speed(points, v, w)
        if allowed < abs(v):
            scale = allowed / abs(v)
            reason = "obstacle_ahead" if v > 0 else "obstacle_behind"
            # Fully blocked, it may still turn: that frees a robot that stands in front of something.
            return Velocity(v * scale, w * scale if scale > 0.0 else w), reason
        return Velocity(v, w), reason

    def _allowed_speed(self, points: np.ndarray, v: float, w: float) -> float:
        """The highest speed (m/s) along this arc that still stops ahead of the first obstacle on it."""
        radius = self.robot.footprint_radius + self.config.margin
        speed, braking = abs(v), self.robot.linear_deceleration
        horizon = speed * self.config.slow_time + radius
        free = _free_distance(points, v, w / speed, radius, horizon)
        if not math.isfinite(free):
            return speed
        if free <= _NO_WAY:
            return 0.0
        t = self.config.reaction_time
        # speed * t + speed^2 / (2 braking) <= free, and free / slow_time further out.
        stops = braking * (math.sqrt(t * t + 2.0 * free / braking) - t)
        return min(speed, stops, free / self.config.slow_time + 0.05)

    def _track(self, T_odom_base: np.ndarray) -> None:
        """Counts ground backed over; what was just driven forward is known until the robot turns away."""
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

    Points that the footprint touches already count only where the motion goes deeper into them.
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
            # Touched already: only motion away from it, or past it, is free.
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
