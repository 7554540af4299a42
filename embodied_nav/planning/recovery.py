"""Detects contact from odometry and frees a robot that is stuck. Knows nothing of goals and of maps."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Velocity
from ..geometry import yaw_of

#: Longest time (s) between two control steps; after a longer one the robot was not driven meanwhile.
_LONGEST_STEP = 0.5


@dataclass(frozen=True)
class RecoveryConfig(Config):
    """Settings of the recovery behaviour."""

    patience: float = param(2.5, "time without motion before it acts", unit="s", low=0.2, high=60.0)
    min_motion: float = param(0.05, "motion within that time that counts as moving", unit="m", low=0.005, high=1.0)
    min_turn: float = param(0.15, "turn within that time that counts as moving", unit="rad", low=0.01, high=3.0)
    back_time: float = param(1.5, "time spent backing off", unit="s", low=0.0, high=10.0)
    back_speed: float = param(0.10, "speed of backing off", unit="m/s", low=0.01, high=0.5)
    turn_time: float = param(1.0, "time spent turning", unit="s", low=0.0, high=10.0)
    turn_speed: float = param(0.8, "turning rate", unit="rad/s", low=0.05, high=3.0)


@dataclass(frozen=True)
class ContactConfig(Config):
    """Settings of contact by odometry."""

    window: float = param(0.4, "time over which command and odometry are compared", unit="s", low=0.1, high=5.0)
    min_speed: float = param(0.08, "slower commands tell nothing", unit="m/s", low=0.01, high=1.0)
    progress: float = param(0.25, "share of the commanded way below which something is in the way", low=0.0, high=0.9)
    slip: float = param(0.25, "motion aside, as share of that ahead, that means sliding along something", low=0.05)
    min_slip: float = param(0.015, "less motion aside is noise of odometry", unit="m", low=0.001, high=0.2)


@dataclass(frozen=True)
class Touch:
    """A detected contact.

    Attributes:
        bearing: rad in base_link, from the heading to the obstacle.
        held: the base is stopped; else it slides along the obstacle.
    """

    bearing: float
    held: bool


class Contact:
    """Detects from commands and odometry that the base pushes against an obstacle or slides along it.

    A held base covers less distance than commanded. A sliding base moves sideways, which a differential drive cannot;
    wheel odometry does not show this, but visual or laser odometry does.
    """

    def __init__(self, config: ContactConfig | None = None) -> None:
        self.config = config or ContactConfig()
        self.reset()

    def reset(self) -> None:
        """Forgets the motion so far."""
        self._ahead = True
        self._motion: deque[_Moment] = deque()

    def update(self, stamp: int, T_odom_base: np.ndarray, driven: Velocity) -> Touch | None:
        """The contact, None while the base moves as commanded.

        Args:
            stamp: ns.
            T_odom_base: 4x4 odometry now.
            driven: the last command sent to the base.
        """
        ahead = driven.linear > 0.0
        if abs(driven.linear) < self.config.min_speed or ahead != self._ahead:
            self._motion.clear()
            self._ahead = ahead
            if abs(driven.linear) < self.config.min_speed:
                return None
        x, y, yaw = float(T_odom_base[0, 3]), float(T_odom_base[1, 3]), yaw_of(T_odom_base)
        motion = self._motion
        if motion and not 0 <= (stamp - motion[-1].stamp) * 1e-9 <= self.config.window:
            motion.clear()  # it may have stood still in the gap
        if not motion:
            motion.append(_Moment(stamp, x, y, yaw))
            return None
        motion.append(motion[-1].next(stamp, x, y, yaw, abs(driven.linear)))
        while (stamp - motion[1].stamp) * 1e-9 >= self.config.window - 1e-6:
            motion.popleft()
        touch = self._slid() or self._held()
        if touch is not None:
            motion.clear()
        return touch

    def _held(self) -> Touch | None:
        first, last = self._motion[0], self._motion[-1]
        if (last.stamp - first.stamp) * 1e-9 < self.config.window - 1e-6:
            return None
        if math.hypot(last.x - first.x, last.y - first.y) >= self.config.progress * (last.told - first.told):
            return None
        return Touch(0.0 if self._ahead else math.pi, held=True)

    def _slid(self) -> Touch | None:
        last = self._motion[-1]
        for first in self._motion:  # the start of the slide is unknown
            along, aside = last.along - first.along, last.aside - first.aside
            if abs(aside) >= max(self.config.min_slip, self.config.slip * abs(along)):
                break
        else:
            return None
        # The base moves along the surface; the obstacle is perpendicular to that, on the commanded side.
        bearing = math.atan2(aside, along) + math.copysign(0.5 * math.pi, -aside if self._ahead else aside)
        return Touch(math.remainder(bearing, 2.0 * math.pi), held=False)


@dataclass(frozen=True)
class _Moment:
    """Odometry, and sums since the first one (m): distance commanded, distance along the heading and to its left."""

    stamp: int
    x: float
    y: float
    yaw: float
    told: float = 0.0
    along: float = 0.0
    aside: float = 0.0

    def next(self, stamp: int, x: float, y: float, yaw: float, speed: float) -> _Moment:
        # The chord of an arc is parallel to the heading at its middle.
        heading = self.yaw + 0.5 * math.remainder(yaw - self.yaw, 2.0 * math.pi)
        dx, dy, c, s = x - self.x, y - self.y, math.cos(heading), math.sin(heading)
        told = self.told + speed * (stamp - self.stamp) * 1e-9
        return _Moment(stamp, x, y, yaw, told, self.along + c * dx + s * dy, self.aside + c * dy - s * dx)


class Recovery:
    """Takes over when the robot is commanded to move and does not. Its commands pass the guard like all others.

    Attributes:
        count: how often it took over since :meth:`reset`.
    """

    def __init__(self, config: RecoveryConfig | None = None) -> None:
        self.config = config or RecoveryConfig()
        self.reset()

    def reset(self) -> None:
        """Forgets the motion and the count."""
        self.count = 0
        self._mark: tuple[int, float, float, float] | None = None
        self._asked: int | None = None
        self._since: int | None = None
        self._turns_at = self.config.back_time  # s after it took over

    @property
    def active(self) -> bool:
        """Whether it is driving."""
        return self._since is not None

    def update(self, stamp: int, T_odom_base: np.ndarray, wanted: Velocity, held: bool = False) -> Velocity | None:
        """The recovery command while it recovers, else None.

        Args:
            stamp: ns.
            T_odom_base: 4x4.
            wanted: the controller's command before the guard: a blocked robot has one and does not move.
            held: the base is in contact: starts at once; while backing off, switches to turning.
        """
        if self._since is not None:
            elapsed = (stamp - self._since) * 1e-9
            if held:
                self._turns_at = min(self._turns_at, elapsed)
            command = self._recover(elapsed)
            if command is None:
                self._since, self._mark = None, None
            return command
        x, y, yaw = float(T_odom_base[0, 3]), float(T_odom_base[1, 3]), yaw_of(T_odom_base)
        asked, self._asked = self._asked, stamp
        if held:
            return self._begin(stamp)
        if asked is not None and (stamp - asked) * 1e-9 > _LONGEST_STEP:
            self._mark = None  # it stood for another reason meanwhile: stopped, or without input
        idle = abs(wanted.linear) < 0.01 and abs(wanted.angular) < 0.05
        if idle or self._mark is None or self._moved(x, y, yaw):
            self._mark = (stamp, x, y, yaw)
            return None
        if (stamp - self._mark[0]) * 1e-9 < self.config.patience:
            return None
        return self._begin(stamp)

    def _begin(self, stamp: int) -> Velocity | None:
        self.count += 1
        self._since, self._turns_at = stamp, self.config.back_time
        return self._recover(0.0)

    def _moved(self, x: float, y: float, yaw: float) -> bool:
        assert self._mark is not None
        _, x0, y0, yaw0 = self._mark
        turn = abs(math.remainder(yaw - yaw0, 2.0 * math.pi))
        return math.hypot(x - x0, y - y0) > self.config.min_motion or turn > self.config.min_turn

    def _recover(self, elapsed: float) -> Velocity | None:
        if elapsed < self._turns_at:
            return Velocity(-self.config.back_speed, 0.0)
        if elapsed < self._turns_at + self.config.turn_time:
            # Alternates the side, so that two recoveries in a row try both.
            return Velocity(0.0, self.config.turn_speed if self.count % 2 else -self.config.turn_speed)
        return None
