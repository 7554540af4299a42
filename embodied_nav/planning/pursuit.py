"""Follows a path with a differential drive: regulated pure pursuit (Macenski et al. 2023). Knows nothing of maps.

Uses plain floats and small numpy arrays, since it runs at 20 Hz beside everything else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Velocity
from ..geometry import yaw_of
from ..robot import RobotProfile


@dataclass(frozen=True)
class PursuitConfig(Config):
    """Settings of the path follower."""

    lookahead_time: float = param(0.8, "lookahead as time at the present speed", unit="s", low=0.1, high=5.0)
    lookahead_min: float = param(0.25, "least lookahead", unit="m", low=0.05, high=2.0)
    lookahead_max: float = param(0.55, "greatest lookahead", unit="m", low=0.1, high=5.0)
    goal_tolerance: float = param(0.06, "distance at which the end counts as reached", unit="m", low=0.01, high=1.0)
    heading_tolerance: float = param(0.06, "error at which a turn counts as done", unit="rad", low=0.01, high=0.5)
    turn_above: float = param(0.70, "heading error that is turned away on the spot", unit="rad", low=0.1, high=3.2)
    drive_below: float = param(
        0.25, "heading error at which driving starts after such a turn", unit="rad", low=0.02, high=1.5
    )
    slow_radius: float = param(0.60, "curve radius below which speed is lowered", unit="m", low=0.1, high=5.0)
    slow_clearance: float = param(
        0.15, "distance to obstacles below which speed is lowered", unit="m", low=0.05, high=2.0
    )
    least_speed: float = param(0.15, "speed that slowing down keeps", unit="m/s", low=0.01, high=0.5)
    turn_gain: float = param(3.0, "turning rate per heading error", unit="1/s", low=0.1, high=10.0)


class RegulatedPurePursuit:
    """Drives towards a lookahead point on the path; slower in curves, near obstacles and towards the end."""

    def __init__(self, config: PursuitConfig | None = None, robot: RobotProfile | None = None) -> None:
        self.config = config or PursuitConfig()
        self.robot = robot or RobotProfile()
        self._path: np.ndarray | None = None
        self._along = 0.0
        self._turning = False
        self._last = Velocity()

    def reset(self) -> None:
        """Forgets the path and the last command (e.g. after an external stop)."""
        self._path, self._along, self._turning, self._last = None, 0.0, False, Velocity()

    def command(
        self,
        T_odom_base: np.ndarray,
        path: np.ndarray | None,
        dt: float,
        heading: float | None = None,
        clearance: float = math.inf,
    ) -> Velocity:
        """The next velocity, within the robot's speed and acceleration limits.

        Args:
            T_odom_base: 4x4, where the robot is.
            path: Nx2 (x, y) m in odom; pass the same array object while the path is unchanged. None stops.
            dt: s since the last command.
            heading: rad in odom, to turn to on the spot at the end of the path (or at once, without a path).
            clearance: m from the footprint to the nearest obstacle; a small one lowers the speed.
        """
        if path is not self._path:
            self._path, self._along, self._turning = path, 0.0, False
        x, y, yaw = float(T_odom_base[0, 3]), float(T_odom_base[1, 3]), yaw_of(T_odom_base)
        v = w = 0.0
        if path is not None and len(path) >= 2 and not self.arrived(T_odom_base, path):
            v, w = self._follow(x, y, yaw, path, clearance)
        elif heading is not None:
            w = self._turn(_wrap(heading - yaw))
        self._last = self._limited(v, w, dt)
        return self._last

    def arrived(self, T_odom_base: np.ndarray, path: np.ndarray | None) -> bool:
        """Whether the end of the path is within the goal tolerance."""
        if path is None or len(path) == 0:
            return True
        gap = math.hypot(float(path[-1][0]) - T_odom_base[0, 3], float(path[-1][1]) - T_odom_base[1, 3])
        return gap <= self.config.goal_tolerance

    def turned(self, T_odom_base: np.ndarray, heading: float | None) -> bool:
        """Whether the robot has the wanted heading."""
        return heading is None or abs(_wrap(heading - yaw_of(T_odom_base))) <= self.config.heading_tolerance

    def _follow(self, x: float, y: float, yaw: float, path: np.ndarray, clearance: float) -> tuple[float, float]:
        c = self.config
        lookahead = min(max(self._last.linear * c.lookahead_time, c.lookahead_min), c.lookahead_max)
        target, remaining = self._target(x, y, path, lookahead)
        dx, dy = target[0] - x, target[1] - y
        error = _wrap(math.atan2(dy, dx) - yaw)
        if self._turning or abs(error) > c.turn_above:
            self._turning = abs(error) > c.drive_below
            if self._turning:
                return 0.0, self._turn(error)
        distance = max(math.hypot(dx, dy), 1e-6)
        curvature = 2.0 * math.sin(error) / distance
        v = self.robot.max_linear
        if abs(curvature) > 1.0 / c.slow_radius:
            v *= 1.0 / (c.slow_radius * abs(curvature))
        if clearance < c.slow_clearance:
            v *= max(clearance, 0.0) / c.slow_clearance
        v = max(v, min(c.least_speed, self.robot.max_linear))
        v = min(v, math.sqrt(2.0 * 0.7 * self.robot.linear_deceleration * max(remaining, 0.02)))
        w = v * curvature
        if abs(w) > self.robot.max_angular:
            v *= self.robot.max_angular / abs(w)
            w = math.copysign(self.robot.max_angular, w)
        return v, w

    def _turn(self, error: float) -> float:
        """Turning rate from which it can brake to stop at zero error."""
        if abs(error) <= 0.3 * self.config.heading_tolerance:
            return 0.0
        rate = min(self.config.turn_gain * abs(error), math.sqrt(1.4 * self.robot.angular_acceleration * abs(error)))
        return math.copysign(min(rate, self.robot.max_angular), error)

    def _target(self, x: float, y: float, path: np.ndarray, lookahead: float) -> tuple[tuple[float, float], float]:
        """The point ``lookahead`` (m) ahead of the robot along the path, and the length (m) left from the robot on.

        Progress never goes back and advances at most 1 m at a time, so that a path that passes near itself is not cut
        short.
        """
        best_gap, best_along, along, lengths = math.inf, self._along, 0.0, []
        for k in range(len(path) - 1):
            ax, ay = float(path[k][0]), float(path[k][1])
            ux, uy = float(path[k + 1][0]) - ax, float(path[k + 1][1]) - ay
            length = math.hypot(ux, uy)
            lengths.append(length)
            low, high = max(self._along - along, 0.0), min(self._along + 1.0 - along, length)
            if length > 0 and low <= high:
                s = min(max(((x - ax) * ux + (y - ay) * uy) / length, low), high)
                gap = math.hypot(ax + ux * s / length - x, ay + uy * s / length - y)
                if gap < best_gap:
                    best_gap, best_along = gap, along + s
            along += length
        self._along = best_along
        wanted, walked = best_along + lookahead, 0.0
        for k, length in enumerate(lengths):
            if walked + length >= wanted and length > 0:
                s = (wanted - walked) / length
                a, b = path[k], path[k + 1]
                return (float(a[0] + (b[0] - a[0]) * s), float(a[1] + (b[1] - a[1]) * s)), along - best_along
            walked += length
        return (float(path[-1][0]), float(path[-1][1])), along - best_along

    def _limited(self, v: float, w: float, dt: float) -> Velocity:
        """Clamps to the speed limits and to what acceleration allows within dt of the last command."""
        r, last = self.robot, self._last
        v = min(max(v, -r.max_reverse), r.max_linear)
        w = min(max(w, -r.max_angular), r.max_angular)
        up, down = r.linear_acceleration * dt, r.linear_deceleration * dt
        if last.linear >= 0:
            v = min(max(v, last.linear - down), last.linear + up)
        else:
            v = min(max(v, last.linear - up), last.linear + down)
        turn = r.angular_acceleration * dt
        return Velocity(v, min(max(w, last.angular - turn), last.angular + turn))


def _wrap(angle: float) -> float:
    """The angle in (-pi, pi]."""
    return math.pi - (math.pi - angle) % (2.0 * math.pi)
