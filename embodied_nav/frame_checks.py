"""Rejects frames that would corrupt the map and counts the reasons. Knows nothing of keyframes, memory and ROS.

A single bad frame is rejected. Some faults are accepted if they persist over several frames that agree with each
other: a pose that stays at its new place is a map correction (SLAM closed a loop, the robot was relocated), and stamps
that continue from an earlier time are a restarted clock. A changed image size or encoding is never accepted: frames are
rejected until the old one is back or :meth:`FrameChecker.reset` is called.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from .config import Config, param
from .frames import RGBDFrame
from .geometry import invert, is_rigid, rotation_angle


@dataclass(frozen=True)
class FrameCheckConfig(Config):
    """Settings of :class:`FrameChecker`."""

    max_linear: float = param(3.0, "camera speed above which a pose is a jump", unit="m/s", low=0.1, high=100.0)
    max_angular: float = param(6.0, "turning rate above which a pose is a jump", unit="rad/s", low=0.1, high=100.0)
    slack_linear: float = param(0.15, "shift that is never a jump", unit="m", low=0.0, high=10.0)
    slack_angular: float = param(0.15, "turn that is never a jump", unit="rad", low=0.0, high=3.2)
    longest_gap: float = param(2.0, "longest time that widens these bounds", unit="s", low=0.1, high=60.0)
    persist: int = param(5, "frames that must agree before a new pose or clock is believed", low=1, high=1000)
    clock_back: float = param(1.0, "stamps that fall back less are late frames", unit="s", low=0.0, high=3600.0)


class FrameChecker:
    """Checks frames in order of arrival.

    Reasons: ``encoding`` (colour not HxWx3 uint8, depth not HxW float32, or both absent), ``size_mismatch``
    (image size differs from its camera's), ``size_changed`` (against the first good frame), ``nan_pose``,
    ``not_rigid``, ``duplicate`` (stamp), ``out_of_order`` (stamp), ``pose_jump``.

    Attributes:
        counts: number of rejected frames by reason.
        corrections: how many times a new pose or clock was accepted.
    """

    def __init__(self, config: FrameCheckConfig | None = None) -> None:
        self.config = config or FrameCheckConfig()
        self.counts: Counter[str] = Counter()
        self.corrections = 0
        self.reset()

    def reset(self) -> None:
        """Forgets earlier frames (the next one sets size, pose and clock); keeps the counts."""
        self._size: tuple[int, int] | None = None
        self._last: RGBDFrame | None = None
        self._doubted: RGBDFrame | None = None
        self._agreeing = 0

    def check(self, frame: RGBDFrame) -> str | None:
        """None for a good frame, else the reason for rejecting it."""
        reason = _image_fault(frame, self._size) or _pose_fault(frame.T_map_camera) or self._sequence_fault(frame)
        if reason:
            self.counts[reason] += 1
            return reason
        self._size = (frame.camera.width, frame.camera.height)
        self._last, self._doubted, self._agreeing = frame, None, 0
        return None

    def _sequence_fault(self, frame: RGBDFrame) -> str | None:
        """Checks stamp and pose against the last good frame; a fault that persists is accepted as the new truth."""
        reason = self._against(self._last, frame)
        if reason not in ("out_of_order", "pose_jump"):
            return reason
        assert self._last is not None  # a frame out of order has a predecessor
        if reason == "out_of_order" and (self._last.stamp - frame.stamp) * 1e-9 < self.config.clock_back:
            return reason
        agrees = self._doubted is not None and self._against(self._doubted, frame) is None
        self._agreeing = self._agreeing + 1 if agrees else 1
        self._doubted = frame
        if self._agreeing < self.config.persist:
            return reason
        self.corrections += 1
        return None

    def _against(self, last: RGBDFrame | None, frame: RGBDFrame) -> str | None:
        if last is None:
            return None
        dt = (frame.stamp - last.stamp) * 1e-9
        if dt == 0:
            return "duplicate"
        if dt < 0:
            return "out_of_order"
        config = self.config
        dt = min(dt, config.longest_gap)
        T = invert(last.T_map_camera) @ frame.T_map_camera
        jump = (
            np.linalg.norm(T[:3, 3]) > config.slack_linear + config.max_linear * dt
            or rotation_angle(T) > config.slack_angular + config.max_angular * dt
        )
        return "pose_jump" if jump else None


def _image_fault(frame: RGBDFrame, size: tuple[int, int] | None) -> str | None:
    color, depth, camera = frame.color, frame.depth, frame.camera
    if color is None and depth is None:
        return "encoding"
    if color is not None and (color.dtype != np.uint8 or color.ndim != 3 or color.shape[2] != 3):
        return "encoding"
    if depth is not None and (depth.dtype != np.float32 or depth.ndim != 2):
        return "encoding"
    shape = (camera.height, camera.width)
    if any(image is not None and image.shape[:2] != shape for image in (color, depth)):
        return "size_mismatch"
    if size is not None and size != (camera.width, camera.height):
        return "size_changed"
    return None


def _pose_fault(T: np.ndarray) -> str | None:
    T = np.asarray(T)
    if T.shape != (4, 4) or T.dtype.kind != "f":
        return "not_rigid"
    if not np.isfinite(T).all():
        return "nan_pose"
    return None if is_rigid(T) else "not_rigid"
