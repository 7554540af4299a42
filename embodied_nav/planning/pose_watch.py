"""Compares the base's pose on the odom topic with that in TF: do they agree, and does either jump?

Obstacles and plans are kept in TF's frame; the topic gives the motion since TF's newest pose. Knows nothing of ROS, of
obstacles and of plans.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..geometry import invert, pose2d, rotation_angle, yaw_of
from ..robot import RobotProfile

#: Stamps that go back by more than this (s) mean that the clock was set back; less is a late message.
CLOCK_BACK = 1.0
#: Longest time (s) over which the bounds on motion grow: without odometry for longer, the robot is told to stand.
_LONGEST_GAP = 0.5
#: Shortest time (s) over which a speed is taken: stamps that come in bursts lie milliseconds apart.
_SPEED_TIME = 0.045
_HISTORY = 400
#: Jumps smaller than this (m, rad) in the end do not move obstacles and plan.
_STAYS = 0.05
#: Poses may already be wrong this long (ns) before a fault is detected.
_UNSURE = 250_000_000


@dataclass(frozen=True)
class PoseWatchConfig(Config):
    """When the odom topic and TF disagree, and what is a jump."""

    apart: float = param(0.15, "odom topic and TF further apart than this disagree", unit="m", low=0.01, high=5.0)
    turned_apart: float = param(
        0.15, "odom topic and TF further turned apart than this disagree", unit="rad", low=0.01, high=3.2
    )
    lag: float = param(
        0.10, "their stamps may lie this far off: the bounds grow by the speed times this", unit="s", low=0.0, high=1.0
    )
    jump: float = param(0.12, "a step, beyond what the robot can drive, that is no jump", unit="m", low=0.01, high=5.0)
    jump_turn: float = param(
        0.20, "a turn, beyond what the robot can turn, that is no jump", unit="rad", low=0.01, high=3.2
    )
    beyond_limits: float = param(
        2.0, "times the robot's top speeds that a base may move, pushed or slipping", low=1.0, high=10.0
    )
    settle: float = param(
        0.5, "after a jump or a disagreement all must be well for so long", unit="s", low=0.0, high=60.0
    )


class PoseWatch:
    """Compares the pose of the odom topic with TF's at equal stamps, and both with what the robot can drive.

    Attributes:
        jumps, disagreements: how often each began.
        clocks: how often the clock was set back.
    """

    def __init__(self, config: PoseWatchConfig | None = None, robot: RobotProfile | None = None) -> None:
        self.config = config or PoseWatchConfig()
        self.robot = robot or RobotProfile()
        self.jumps = self.disagreements = self.clocks = 0
        self._moved: np.ndarray | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._samples: deque[tuple[int, np.ndarray]] = deque(maxlen=_HISTORY)
        self._pair: tuple[int, np.ndarray, np.ndarray] | None = None  # stamp, pose on the topic, pose in TF
        self._leapt = False  # whether the topic has jumped since that pair
        # Recent pairs without a fault. During a fault (_upset), relative to one of them: TF's pose there (_from), the
        # motion until the topic's last jump (_driven), and the topic's first pose after it (_since). Obstacles are
        # moved once the fault is over.
        self._well: deque[tuple[int, np.ndarray, np.ndarray]] = deque(maxlen=100)
        self._upset, self._from, self._driven, self._since = False, np.eye(4), np.eye(4), np.eye(4)
        self._good_from: int | None = None  # poses with earlier stamps are from before a jump
        self._bad: tuple[int, str, bool] | None = None  # stamp and text of the newest fault; whether it is a jump

    # -- input --------------------------------------------------------------------------------------------------------

    def hear(self, stamp: int, T: np.ndarray) -> bool:
        """Adds a pose of the odom topic (stamp in ns, 4x4 finite); True if the clock was set back before it."""
        back = False
        if self._samples:
            before, T_before = self._samples[-1]
            dt = (stamp - before) * 1e-9
            back = dt < -CLOCK_BACK
            if back:
                self._note_clock(stamp, T_before, T)
            elif dt < 0.0:
                return False
            elif self._is_beyond(invert(T_before) @ T, dt):
                self._note_leap(stamp, T_before, T, dt)
            elif dt == 0.0:
                return False
        self._samples.append((stamp, T))
        return back

    @property
    def unpaired(self) -> list[int]:
        """Stamps (ns) of the topic newer than the last one paired with TF, newest first."""
        last = self._pair[0] if self._pair else -(2**62)
        return [stamp for stamp, _ in reversed(self._samples) if stamp > last]

    def pair(self, stamp: int, T_tf: np.ndarray) -> None:
        """Adds TF's pose (4x4, finite) at one of the :attr:`unpaired` stamps."""
        T_topic = next(T for s, T in self._samples if s == stamp)
        if self._pair is not None and not self._leapt:
            self._note_step(stamp, T_topic, T_tf)
        self._pair, self._leapt = (stamp, T_topic, T_tf), False
        self._compare(stamp, T_topic, T_tf)
        if not self._bad:
            self._settle(stamp, T_topic, T_tf)

    def _compare(self, stamp: int, T_topic: np.ndarray, T_tf: np.ndarray) -> None:
        gap, turn = _apart(T_topic, T_tf)
        v, w = self._speed(stamp)
        if gap > self.config.apart + v * self.config.lag or turn > self.config.turned_apart + w * self.config.lag:
            if self._bad is None or self._bad[2]:
                self.disagreements += 1
            self._mark((stamp, self._words(T_topic, T_tf, gap, turn), False))
        elif self._bad is not None and (stamp - self._bad[0]) * 1e-9 >= self.config.settle:
            self._bad = None

    # -- output -------------------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """Why the robot must not move now, "" if it may."""
        return self._bad[1] if self._bad else ""

    @property
    def good_from(self) -> int | None:
        """Stamp (ns) of the first pose after the newest jump; earlier poses are in a displaced frame."""
        return self._good_from

    @property
    def pose(self) -> tuple[int, np.ndarray] | None:
        """Newest stamp (ns) and pose (4x4, odom from base): TF's plus the topic's motion since; None before both."""
        if self._pair is None or not self._samples:
            return None
        _, T_topic, T_tf = self._pair
        stamp, T = self._samples[-1]
        return (self._pair[0], T_tf) if self._leapt else (stamp, T_tf @ invert(T_topic) @ T)

    def doubt(self, stamp: int, T_tf: np.ndarray) -> str:
        """Why TF's pose at a stamp (e.g. an image's) must not be used; "" if it agrees with the topic."""
        if self._bad:
            return "where the base is is not sure"
        if self._good_from is not None and stamp < self._good_from:
            return "it is from before the base's pose jumped"
        if self._pair is None or self._leapt:
            return "the base's pose has jumped, or is not known yet"
        _, T_topic, T_paired = self._pair
        T_here, slack = self._near(stamp)
        gap, turn = _apart(T_paired @ invert(T_topic) @ T_here, T_tf)
        v, w = self._speed(stamp)
        config, robot = self.config, self.robot
        v = v * config.lag + config.beyond_limits * robot.max_linear * slack
        w = w * config.lag + config.beyond_limits * robot.max_angular * slack
        if gap > config.jump + v or turn > config.jump_turn + w:
            return f"TF puts the base {gap:.2f} m and {turn:.2f} rad from where the odom topic has it"
        return ""

    def take_moved(self) -> np.ndarray | None:
        """Transform (4x4) of points in odom from before a jump to after it, returned once; None without a jump."""
        moved, self._moved = self._moved, None
        return moved

    def _mark(self, bad: tuple[int, str, bool]) -> None:
        if not self._upset and self._well:
            # Go back a little: TF may have interpolated between its poses before and after the jump.
            good = [pair for pair in self._well if pair[0] < bad[0] - _UNSURE] or [self._well[0]]
            _, self._since, self._from = good[-1]
            self._driven, self._upset = np.eye(4), True
        self._bad = bad

    # -- checks -------------------------------------------------------------------------------------------------------

    def _is_beyond(self, motion: np.ndarray, dt: float) -> bool:
        """Whether a motion exceeds what the base can do within dt (s)."""
        config, robot = self.config, self.robot
        seconds = config.beyond_limits * min(max(dt, 0.0), _LONGEST_GAP)
        far = float(np.linalg.norm(motion[:3, 3])) > config.jump + robot.max_linear * seconds
        return far or rotation_angle(motion) > config.jump_turn + robot.max_angular * seconds

    def _note_leap(self, stamp: int, T_before: np.ndarray, T: np.ndarray, dt: float) -> None:
        """Records a jump of the topic between two messages; the next pair shows whether TF jumped, too."""
        gap, turn = _apart(T_before, T)
        self.jumps += 1
        self._mark((stamp, f"odom jumped {gap:.2f} m and {turn:.2f} rad in {dt:.2f} s", True))
        self._driven = self._driven @ invert(self._since) @ T_before @ self._going_on(dt)
        self._since = T
        self._samples.clear()
        self._leapt = True

    def _going_on(self, dt: float) -> np.ndarray:
        """4x4, the motion of dt seconds at the last messages' speed: until odometry is stale the base drives on."""
        newest, T = self._samples[-1]
        earlier = next((k for k in reversed(self._samples) if (newest - k[0]) * 1e-9 >= _SPEED_TIME), None)
        if earlier is None or (passed := (newest - earlier[0]) * 1e-9) > _LONGEST_GAP:
            return np.eye(4)
        motion = _between(np.eye(4), invert(earlier[1]) @ T, min(dt, _LONGEST_GAP) / passed)
        return np.eye(4) if self._is_beyond(motion, dt) else motion

    def _note_clock(self, stamp: int, T_before: np.ndarray, T: np.ndarray) -> None:
        """The clock was set back: forgets everything with a stamp. The pose may continue or have jumped as well."""
        self._begin_anew()
        self.clocks += 1
        if self._is_beyond(invert(T_before) @ T, _LONGEST_GAP):
            gap, turn = _apart(T_before, T)
            self.jumps += 1
            self._mark((stamp, f"odom jumped {gap:.2f} m and {turn:.2f} rad as its clock was set back", True))
            self._good_from = stamp

    def _note_step(self, stamp: int, T_topic: np.ndarray, T_tf: np.ndarray) -> None:
        """Records a jump of TF since the last pair that the topic did not make."""
        assert self._pair is not None
        before, T_topic_before, T_tf_before = self._pair
        expected = T_tf_before @ invert(T_topic_before) @ T_topic
        if self._is_beyond(invert(expected) @ T_tf, 0.0):
            gap, turn = _apart(expected, T_tf)
            self.jumps += 1
            dt = (stamp - before) * 1e-9
            self._mark((stamp, f"TF {self._link} jumped {gap:.2f} m and {turn:.2f} rad in {dt:.2f} s", True))

    def _settle(self, stamp: int, T_topic: np.ndarray, T_tf: np.ndarray) -> None:
        """A pair without a fault: after a fault, computes by how much TF jumped since the last good pair."""
        if self._upset:
            expected = self._from @ self._driven @ invert(self._since) @ T_topic
            gap, turn = _apart(expected, T_tf)
            if gap > _STAYS or turn > _STAYS:
                self._moved, self._good_from = T_tf @ invert(expected), stamp
            self._well.clear()
        self._upset = False
        self._well.append((stamp, T_topic, T_tf))

    def _near(self, stamp: int) -> tuple[np.ndarray, float]:
        """The topic's interpolated pose at a stamp, and the time (s) by which the stamp is outside the stored range."""
        samples = self._samples
        after = next((k for k, (s, _) in enumerate(samples) if s >= stamp), len(samples))
        if after == len(samples):
            return samples[-1][1], (stamp - samples[-1][0]) * 1e-9
        if after == 0:
            return samples[0][1], (samples[0][0] - stamp) * 1e-9
        (s0, T0), (s1, T1) = samples[after - 1], samples[after]
        return _between(T0, T1, (stamp - s0) / (s1 - s0)), 0.0

    def _speed(self, stamp: int) -> tuple[float, float]:
        """Speed (m/s, rad/s) on the topic around a stamp, clamped to what the base can do."""
        samples = self._samples
        k = next((k for k, (s, _) in enumerate(samples) if s >= stamp), len(samples) - 1)
        v = w = 0.0
        for a, b in ((k - 1, k), (k, k + 1)):
            if a >= 0 and b < len(samples):
                dt = max((samples[b][0] - samples[a][0]) * 1e-9, 1e-3)
                gap, turn = _apart(samples[a][1], samples[b][1])
                v, w = max(v, gap / dt), max(w, turn / dt)
        most = self.config.beyond_limits
        return min(v, most * self.robot.max_linear), min(w, most * self.robot.max_angular)

    @property
    def _link(self) -> str:
        return f"{self.robot.odom_frame}->{self.robot.base_frame}"

    def _words(self, T_topic: np.ndarray, T_tf: np.ndarray, gap: float, turn: float) -> str:
        config = self.config
        far = [f"{gap:.2f} m"] if gap > config.apart or turn <= config.turned_apart else []
        far += [f"{turn:.2f} rad"] if turn > config.turned_apart else []
        poses = " and ".join(f"({T[0, 3]:.2f} {T[1, 3]:.2f} {yaw_of(T):.2f})" for T in (T_topic, T_tf))
        return f"odom topic and TF {self._link} are {' and '.join(far)} apart: {poses} as x y yaw"


def _apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Distance (m) and turn (rad) between two planar poses."""
    gap = math.hypot(a[0, 3] - b[0, 3], a[1, 3] - b[1, 3])
    return gap, abs(math.remainder(yaw_of(a) - yaw_of(b), 2.0 * math.pi))


def _between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The planar pose at a share of the way from a to b; above 1 it goes on beyond b."""
    x, y = (float(a[i, 3] + share * (b[i, 3] - a[i, 3])) for i in (0, 1))
    turn = math.remainder(yaw_of(b) - yaw_of(a), 2.0 * math.pi)
    return pose2d(x, y, yaw_of(a) + share * turn)
