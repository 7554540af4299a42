"""RGB-D odometry, frame to keyframe: depth; grey levels and features where depth is weak. Knows no loops, no ROS.

Drift grows with keyframes, not with frames. Wheel odometry, where there is any, is a prior on every frame's motion;
where wheels slip, what the camera sees overrules them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..geometry import Camera, invert, rotation_angle
from ..keyframes import Features, extract
from .icp import Registration, grey_levels, logarithm, register
from .places import View, locate

#: Largest distance (m) of point pairs at the start: with wheels the guess is good, and far pairs are wrong pairs.
_WHEELS_REACH, _BLIND_REACH = 0.10, 0.30
#: Depth alone is believed with this share of the view and this certainty (m) in its weakest direction.
_GOOD_SHARE, _GOOD_WEAKEST = 0.5, 0.02
#: A motion farther from the expected one than this is doubted; what it may always differ (m, rad).
_MOST_SIGMAS, _ALWAYS = 4.0, (0.01, 0.005)
#: Without wheels a sudden motion is as likely as a wrong minimum: features are asked soon.
_BLIND_SIGMAS = 1.0
#: Motion (m, rad) that a frame without wheels, depth and features may hide.
_LOST_SIGMA = (0.2, 0.3)
#: Normalised residual up to which a registration from the wheels' guess is believed, and how much better one without
#: them must be to overrule them.
_GOOD_RESIDUAL, _CLEARLY = 1.3, 0.7


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


@dataclass(frozen=True, eq=False)
class _Placed:
    """A registration, what it rests on, how sure the motion was beside it (m, rad), features where they were made."""

    result: Registration
    source: str
    sigma: tuple[float, float]
    features: Features | None = None


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
        self._due = False

    def renew(self) -> None:
        """The next frame becomes a keyframe, whatever it shows."""
        self._due = True

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
        sigma = self._sigma(motion, wheels is not None)
        placed = self._register(depth, camera, color, guess, sigma, wheels is not None)
        result, source = placed.result, placed.source
        self.lost = self.lost + 1 if source == "prior" else 0
        blind = source == "prior" and wheels is None
        # Who sees nothing does not go on turning; and knows next to nothing of where it came.
        self._velocity, self._T = np.eye(4) if blind else invert(self._T) @ result.T, result.T
        information = result.information + _information(placed.sigma)
        step = OdometryStep(result.T, self._count - 1, information, source)
        if not self._keyframe_due(result, source):
            return step
        self._new_keyframe(depth, camera, color, placed.features)
        return OdometryStep(step.T_keyframe_camera, step.keyframe, step.information, source, self._view)

    def _register(self, depth, camera, color, guess, sigma, wheels) -> _Placed:
        """Depth from the guess; where that is weak or unlikely, grey levels and features are asked too."""
        reach = _WHEELS_REACH if wheels else _BLIND_REACH
        result = register(depth, camera, self._view.depth_view, guess, _information(sigma), reach)
        likely = _innovation(result, guess, sigma) < (_MOST_SIGMAS if wheels else _BLIND_SIGMAS)
        if likely and result.share >= _GOOD_SHARE and result.weakest < _GOOD_WEAKEST:
            return _Placed(result, "depth", sigma)
        greys = () if color is None else grey_levels(color, camera)
        if wheels:
            # From a good guess on grey levels hold what depth does not.
            result = register(depth, camera, self._view.depth_view, guess, _information(sigma), reach, greys)
            likely = _innovation(result, guess, sigma) < _MOST_SIGMAS
            if likely and result.share >= _GOOD_SHARE and result.residual < _GOOD_RESIDUAL:
                return _Placed(result, "depth", sigma)
        features = None if color is None else extract(color)
        free = self._search(depth, camera, greys, guess, features, wheels)
        held = wheels and likely and result.share >= self.config.min_share
        if held and (free is None or _score(free.result) > _CLEARLY * _score(result)):
            return _Placed(result, "depth", sigma, features)
        if free is not None:
            return free
        nothing = Registration(guess, 0, 0.0, float("inf"), np.zeros((6, 6)))
        return _Placed(nothing, "prior", sigma if wheels else _LOST_SIGMA, features)

    def _search(self, depth, camera, greys, guess, features, wheels) -> _Placed | None:
        """Where depth, grey levels and features put the camera, whatever was expected; None where they do not know.

        Against wheels grey levels always have their say. Without any, depth that is sure is not bent by a calibration
        that is not.
        """
        starts = [(guess, "depth"), (self._T, "depth")]
        if features is not None and self._view.features is not None:
            found = locate(View.of(depth, camera, features), self._view)
            if found is not None:
                starts.append((found.T, "features"))
        best = None
        for T, source in starts:
            prior, reach = _information(_LOST_SIGMA), _WHEELS_REACH if source == "features" else _BLIND_REACH
            result = None if wheels and greys else register(depth, camera, self._view.depth_view, T, prior, reach)
            if greys and (result is None or result.weakest > _GOOD_WEAKEST):
                result = register(depth, camera, self._view.depth_view, T, prior, reach, greys)
            certain = result.share >= self.config.min_share and result.weakest < 2.0 * _GOOD_WEAKEST
            if certain and (best is None or _score(result) < _score(best.result)):
                best = _Placed(result, source, _LOST_SIGMA, features)
        return best

    def _sigma(self, motion: np.ndarray, wheels: bool) -> tuple[float, float]:
        """Standard deviations (m, rad) of a frame's motion: small for wheels, large for constant velocity."""
        if not wheels:
            return 0.03, 0.03
        distance, turn = float(np.linalg.norm(motion[:3, 3])), rotation_angle(motion)
        sigma_t = 0.002 + self.config.wheel_translation * distance
        return sigma_t, 0.001 + self.config.wheel_rotation * distance + self.config.wheel_turn * turn

    def _keyframe_due(self, result: Registration, source: str) -> bool:
        config = self.config
        return (
            self._due
            or (source == "depth" and result.share < config.keyframe_share)
            or (source == "prior" and self.lost == 1)
            or float(np.linalg.norm(result.T[:3, 3])) > config.keyframe_translation
            or rotation_angle(result.T) > config.keyframe_rotation
        )

    def _new_keyframe(self, depth, camera, color, features) -> None:
        if features is None and color is not None:
            features = extract(color)
        greys = () if color is None else grey_levels(color, camera)
        self._view = View.of(depth, camera, features, normals=True, greys=greys)
        self._T = np.eye(4)
        self._due = False
        self._count += 1


def _information(sigma: tuple[float, float]) -> np.ndarray:
    return np.diag([sigma[0] ** -2] * 3 + [sigma[1] ** -2] * 3)


def _innovation(result: Registration, guess: np.ndarray, sigma: tuple[float, float]) -> float:
    """How many standard deviations a result lies from the guess."""
    x = logarithm(result.T @ invert(guess))
    off_t = max(0.0, _apart(result.T, guess) - _ALWAYS[0])
    off_r = max(0.0, float(np.linalg.norm(x[3:])) - _ALWAYS[1])
    return max(off_t / sigma[0], off_r / sigma[1])


def _score(result: Registration) -> float:
    """The lower, the better two views fit."""
    return result.residual / max(result.share, 0.05)


def _apart(T: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(T[:3, 3] - other[:3, 3]))


def thinned(depth: np.ndarray, camera: Camera, width: int, max_depth: float) -> tuple[np.ndarray, Camera]:
    """Every n-th pixel of a depth image (no averaging across edges) and the camera that fits; far depth is NaN."""
    step = max(1, round(camera.width / width))
    depth = np.ascontiguousarray(depth[::step, ::step], dtype=np.float32)
    with np.errstate(invalid="ignore"):
        depth = np.where(depth <= max_depth, depth, np.float32(np.nan))
    height, columns = depth.shape
    return depth, Camera(columns, height, camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step)
