"""Detects a base that does not move although commanded to. Knows nothing of goals, obstacles and ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Velocity
from ..geometry import yaw_of


@dataclass(frozen=True)
class StallConfig(Config):
    """When a base is considered dead."""

    patience: float = param(
        15.0, "a base that was told to move and has not for so long is dead", unit="s", low=1.0, high=600.0
    )
    min_motion: float = param(0.05, "way that counts as moving", unit="m", low=0.005, high=1.0)
    min_turn: float = param(0.10, "turn that counts as moving", unit="rad", low=0.01, high=3.0)
    forget: float = param(10.0, "after so long without a command it begins anew", unit="s", low=0.5, high=600.0)


#: After a dead base was reported, this long (s) without a motion command resets the verdict.
_OVER = 1.0
#: Least commanded motion before a stall: time as a share of the patience, and distance (m) or turn (rad).
_SHARE, _WAY, _TURN = 0.2, 0.15, 0.5


class Stall:
    """Compares the commands sent to the base with odometry, since the base last moved.

    Attributes:
        told_way, told_turn, told_time: commanded distance (m), turn (rad) and time (s) since then.
    """

    def __init__(self, config: StallConfig | None = None) -> None:
        self.config = config or StallConfig()
        self.reset()

    def reset(self) -> None:
        """Starts again with the next motion command."""
        self._mark: tuple[float, float, float] | None = None
        self._stamp: int | None = None
        self._since: int | None = None
        self._told_at = 0
        self._said_at: int | None = None
        self._moved = self.told_way = self.told_turn = self.told_time = 0.0

    def update(self, stamp: int, T_odom_base: np.ndarray, driven: Velocity) -> str:
        """Why the base is considered dead, "" if it is not.

        Args:
            stamp: ns, of the odometry. T_odom_base: 4x4. driven: the last command sent to the base.
        """
        x, y, yaw = float(T_odom_base[0, 3]), float(T_odom_base[1, 3]), yaw_of(T_odom_base)
        if self._stamp is None or not 0 <= (stamp - self._stamp) * 1e-9 <= 1.0:
            self.reset()
        dt = 0.0 if self._stamp is None else (stamp - self._stamp) * 1e-9
        self._stamp = stamp
        if self._mark is None:
            self._mark = (x, y, yaw)
        self._moved = math.hypot(x - self._mark[0], y - self._mark[1])
        turned = abs(math.remainder(yaw - self._mark[2], 2.0 * math.pi))
        silent = 0.0 if self._since is None else (stamp - self._told_at) * 1e-9
        if self._said_at is not None and (stamp - self._said_at) * 1e-9 > _OVER:
            idle = silent > _OVER
        else:
            idle = silent > self.config.forget
        if self._moved > self.config.min_motion or turned > self.config.min_turn or idle:
            self.reset()
            self._mark, self._stamp = (x, y, yaw), stamp
            return ""
        if abs(driven.linear) > 1e-3 or abs(driven.angular) > 1e-3:
            self._since = stamp if self._since is None else self._since
            self._told_at = stamp
            self.told_way += abs(driven.linear) * dt
            self.told_turn += abs(driven.angular) * dt
            self.told_time += dt
        if not self.dead:
            return ""
        self._said_at = stamp if self._said_at is None else self._said_at
        return self.reason

    @property
    def suspects(self) -> bool:
        """Whether enough motion was commanded without movement to suspect a stall; :attr:`dead` confirms it."""
        enough = self.told_way >= _WAY or self.told_turn >= _TURN
        return enough and self.told_time >= _SHARE * self.config.patience

    def _seconds(self) -> float:
        """Time (s) from the first to the newest command without movement."""
        return 0.0 if self._since is None or self._stamp is None else (self._stamp - self._since) * 1e-9

    @property
    def dead(self) -> bool:
        """Whether a suspected stall has lasted longer than the patience."""
        return self.suspects and self._since is not None and self._seconds() >= self.config.patience

    @property
    def reason(self) -> str:
        """The stall in words, with the numbers."""
        seconds = self._seconds()
        turn = f" and {self.told_turn:.1f} rad" if self.told_turn > 0.1 else ""
        return (
            f"the base does not move although told to (commanded {self.told_way:.1f} m{turn} in {seconds:.0f} s, moved "
            f"{self._moved:.2f} m): is its e-stop pressed, or cmd_vel remapped?"
        )
