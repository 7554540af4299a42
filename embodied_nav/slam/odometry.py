"""RGB-D odometry, frame to keyframe: depth registration, features where geometry is weak. Knows nothing of loops and ROS.

Drift grows with keyframes, not with frames. Wheel odometry, where there is any, is a prior on every frame's motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..geometry import Camera, invert, rotation_angle
from ..keyframes import Features, extract
from .icp import DepthView, Registration, register
from .places import View, locate


@dataclass(frozen=True)
class OdometryConfig(Config):
    """Settings of :class:`RGBDOdometry`."""

    width: int = param(320, "columns to which depth is thinned", unit="px", low=80, high=1280)
    max_depth: float = param(4.5, "farther depth is not used", unit="m", low=0.5, high=50.0)
    keyframe_share: float = param(0.5, "a new keyframe when less of the view meets the last one", low=0.1, high=0.95)
    keyframe_translation: float = param(0.4, "or after this distance", unit="m", low=0.05, high=5.0)
    keyframe_rotation: float = param(0.5, "or after this turn", unit="rad", low=0.05, high=3.0)
    min_share: float = param(0.25, "a registration with less is not believed", low=0.05, high=0.9)
    wheel_translation: float = param(0.02, "error of wheel odometry per distance", low=1e-4, high=0.5)
    wheel_rotation: float = param(0.009, "its error of heading per distance", unit="rad/m", low=1e-5, high=0.5)
    wheel_turn: float = param(0.02, "its error of heading per turn", low=1e-4, high=0.5)


@dataclass(frozen=True, eq=False)
class OdometryStep:
    """One frame's result.

    Attributes:
        T_keyframe_camera: 4x4, from the keyframe that this frame was registered to.
        keyframe: that keyframe's index.
        information: 6x6 of T_keyframe_camera, as in :class:`.icp.Registration`, the prior included.
        source: ``depth``, ``features``, ``prior`` or ``first``.
        view: what a new keyframe shows, where this frame became one; else None.
    """

    T_keyframe_camera: np.ndarray
    keyframe: int
    information: np.ndarray
    source: str
    view: View | None = None


class RGBDOdometry:
    """Takes registered frames in order.

    Attributes:
        lost: frames in a row for which nothing but the prior spoke.
    """

    def __init__(self, config: OdometryConfig | None = None) -> None:
        self.config = config or OdometryConfig()
        self.lost = 0
        self._view: View | None = None
        self._count = 0
        self._T = np.eye(4)
        self._velocity = np.eye(4)

    def step(
        self, depth: np.ndarray, camera: Camera, color: np.ndarray | None = None, wheels: np.ndarray | None = None
    ) -> OdometryStep:
        """Registers one frame.

        Args:
            depth: HxW float32 m, NaN invalid.
            color: HxWx3 uint8 RGB, or None.
            wheels: 4x4, last optical frame from this one by wheel odometry, or None.
        """
        depth, camera = thinned(depth, camera, self.config.width, self.config.max_depth)
        if self._view is None:
            self._new_keyframe(depth, camera, color, None)
            return OdometryStep(np.eye(4), 0, np.zeros((6, 6)), "first", self._view)
        motion = self._velocity if wheels is None else wheels
        guess = self._T @ motion
        prior = self._prior(motion, wheels is not None)
        result, source, features = self._register(depth, camera, color, guess, prior)
        self.lost = self.lost + 1 if source == "prior" else 0
        self._velocity, self._T = invert(self._T) @ result.T, result.T
        step = OdometryStep(result.T, self._count - 1, result.information + prior, source)
        if not self._keyframe_due(result, source):
            return step
        self._new_keyframe(depth, camera, color, features)
        return OdometryStep(step.T_keyframe_camera, step.keyframe, step.information, source, self._view)

    def _register(self, depth, camera, color, guess, prior) -> tuple[Registration, str, Features | None]:
        """Depth from the guess; where that is weak, from where the features put the camera."""
        result = register(depth, camera, self._view.depth_view, guess, prior)
        if result.share >= 0.5 and result.weakest < 0.02:
            return result, "depth", None
        features = None if color is None else extract(color)
        if features is not None and self._view.features is not None:
            found = locate(View.of(depth, camera, features), self._view)
            if found is not None:
                again = register(depth, camera, self._view.depth_view, found.T, prior=found.information)
                if again.share > max(result.share, self.config.min_share) and again.residual < 1.3 * result.residual:
                    return again, "features", features
                if result.share < self.config.min_share:
                    return Registration(found.T, found.inliers, 0.0, 1.0, found.information), "features", features
        if result.share >= self.config.min_share:
            return result, "depth", features
        return Registration(guess, 0, 0.0, float("inf"), np.zeros((6, 6))), "prior", features

    def _prior(self, motion: np.ndarray, wheels: bool) -> np.ndarray:
        """6x6 information of a frame's motion: tight for wheels, loose for constant velocity."""
        if wheels:
            distance, turn = float(np.linalg.norm(motion[:3, 3])), rotation_angle(motion)
            sigma_t = 0.002 + self.config.wheel_translation * distance
            sigma_r = 0.001 + self.config.wheel_rotation * distance + self.config.wheel_turn * turn
        else:
            sigma_t, sigma_r = 0.03, 0.03
        return np.diag([sigma_t**-2] * 3 + [sigma_r**-2] * 3)

    def _keyframe_due(self, result: Registration, source: str) -> bool:
        config = self.config
        return (
            (source == "depth" and result.share < config.keyframe_share)
            or (source == "prior" and self.lost == 1)
            or float(np.linalg.norm(result.T[:3, 3])) > config.keyframe_translation
            or rotation_angle(result.T) > config.keyframe_rotation
        )

    def _new_keyframe(self, depth, camera, color, features) -> None:
        if features is None and color is not None:
            features = extract(color)
        self._view = View.of(depth, camera, features, normals=True)
        self._T = np.eye(4)
        self._count += 1


def thinned(depth: np.ndarray, camera: Camera, width: int, max_depth: float) -> tuple[np.ndarray, Camera]:
    """Every n-th pixel of a depth image (no averaging across edges) and the camera that fits; far depth is NaN."""
    step = max(1, round(camera.width / width))
    depth = np.ascontiguousarray(depth[::step, ::step], dtype=np.float32)
    with np.errstate(invalid="ignore"):
        depth = np.where(depth <= max_depth, depth, np.float32(np.nan))
    height, columns = depth.shape
    return depth, Camera(columns, height, camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step)
