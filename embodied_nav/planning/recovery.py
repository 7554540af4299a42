"""Notices contact by odometry; frees a robot that is told to move and does not. Knows nothing of goals and of maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Velocity
from ..geometry import yaw_of


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


class Contact:
    """Tells from commands and odometry that the base pushes against something that no sensor saw."""

    def __init__(self, config: ContactConfig | None = None) -> None:
        self.config = config or ContactConfig()
        self.reset()

    def reset(self) -> None:
        """Forgets the motion so far."""
        self._since: int | None = None
        self._start = np.zeros(2)
        self._told = 0.0
        self._last = 0

    def update(self, stamp: int, T_odom_base: np.ndarray, driven: Velocity) -> bool:
        """Whether the robot is held.

        Args:
            stamp: ns.
            T_odom_base: 4x4 odometry now.
            driven: what was sent to the base last.
        """
        if driven.linear < self.config.min_speed:
            self._since = None
            return False
        position = T_odom_base[:2, 3]
        if self._since is None:
            self._since, self._start, self._told, self._last = stamp, position.copy(), 0.0, stamp
            return False
        self._told += driven.linear * (stamp - self._last) * 1e-9
        self._last = stamp
        if (stamp - self._since) * 1e-9 < self.config.window - 1e-6:
            return False
        held = float(np.linalg.norm(position - self._start)) < self.config.progress * self._told
        self._since = None
        return held


class Recovery:
    """Watches commands and odometry; takes over when nothing moves. Its commands pass the guard like all others.

    Attributes:
        count: how often it took over since :meth:`reset`.
    """

    def __init__(self, config: RecoveryConfig | None = None) -> None:
        self.config = config or RecoveryConfig()
        self.reset()

    def reset(self) -> None:
        """Starts afresh."""
        self.count = 0
        self._mark: tuple[int, float, float, float] | None = None
        self._since: int | None = None

    @property
    def active(self) -> bool:
        """Whether it is driving."""
        return self._since is not None

    def update(self, stamp: int, T_odom_base: np.ndarray, wanted: Velocity, held: bool = False) -> Velocity | None:
        """Its own command while it recovers, else None.

        Args:
            stamp: ns.
            T_odom_base: 4x4.
            wanted: what the controller wants, before the guard: a robot that is blocked wants to move and does not.
            held: it pushes against something; then there is no patience.
        """
        if self._since is not None:
            command = self._recover((stamp - self._since) * 1e-9)
            if command is None:
                self._since, self._mark = None, None
            return command
        x, y, yaw = float(T_odom_base[0, 3]), float(T_odom_base[1, 3]), yaw_of(T_odom_base)
        if held:
            self.count += 1
            self._since = stamp
            return self._recover(0.0)
        idle = abs(wanted.linear) < 0.01 and abs(wanted.angular) < 0.05
        if idle or self._mark is None or self._moved(x, y, yaw):
            self._mark = (stamp, x, y, yaw)
            return None
        if (stamp - self._mark[0]) * 1e-9 < self.config.patience:
            return None
        self.count += 1
        self._since = stamp
        return self._recover(0.0)

    def _moved(self, x: float, y: float, yaw: float) -> bool:
        _, x0, y0, yaw0 = self._mark
        turn = abs(math.remainder(yaw - yaw0, 2.0 * math.pi))
        return math.hypot(x - x0, y - y0) > self.config.min_motion or turn > self.config.min_turn

    def _recover(self, elapsed: float) -> Velocity | None:
        if elapsed < self.config.back_time:
            return Velocity(-self.config.back_speed, 0.0)
        if elapsed < self.config.back_time + self.config.turn_time:
            # Alternates its side, so that two failures in a row try both.
            return Velocity(0.0, self.config.turn_speed if self.count % 2 else -self.config.turn_speed)
        return None
