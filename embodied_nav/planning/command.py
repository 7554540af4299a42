"""Limits a velocity command to the robot's speeds and accelerations. Knows nothing of its sender and of obstacles."""

from __future__ import annotations

import math

from ..frames import Velocity
from ..robot import RobotProfile


def within_limits(wish: Velocity, last: Velocity, dt: float, robot: RobotProfile) -> Velocity:
    """The command clamped to the robot's speed and acceleration limits; NaN or inf gives zero velocity.

    Clamping the speed keeps the curvature. Deceleration is never limited, so a stop takes effect at once.

    Args:
        last: the previous command sent to the base. dt: s since then.
    """
    v, w = float(wish.linear), float(wish.angular)
    if not (math.isfinite(v) and math.isfinite(w)):
        return Velocity()
    most = robot.max_linear if v > 0.0 else robot.max_reverse
    scale = min(_share(v, most), _share(w, robot.max_angular))
    v, w = v * scale, w * scale
    return Velocity(
        _sped_up(v, last.linear, robot.linear_acceleration * dt),
        _sped_up(w, last.angular, robot.angular_acceleration * dt),
    )


def _share(value: float, most: float) -> float:
    """Factor that brings ``value`` within the limit ``most``, at most 1."""
    return most / abs(value) if abs(value) > most else 1.0


def _sped_up(wanted: float, last: float, step: float) -> float:
    """``wanted``, but at most ``step`` faster than ``last``, or than zero if the sign changes."""
    start = max(last, 0.0) if wanted > 0.0 else max(-last, 0.0)
    return math.copysign(min(abs(wanted), start + step), wanted)
