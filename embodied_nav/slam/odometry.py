"""Frame-to-keyframe RGB-D odometry: depth; grey levels and features where depth is weak. Knows no loops, no ROS.

Drift grows with keyframes, not with frames. Wheel odometry, if available, is a prior on every frame's motion; where
wheels slip, the camera overrules them, unless its motion is impossible for a robot or the wheels stand still.

A frame whose pose cannot be found does not become a keyframe: the last good one stays the reference for the frames that
follow. Meanwhile wheel odometry extrapolates the pose and, once the robot has driven on or turned so far that the
reference is out of its view, starts a new keyframe from it; but not after the view has contradicted wheel odometry. A
person who passes and hides the reference is no reason for one: nothing would fit it once the person has gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..geometry import Camera, invert, rotation_angle
from ..keyframes import Features, extract
from .away import Away, Picture
from .icp import DepthView, Registration, agreement, grey_levels, in_picture, logarithm, register, seen_through
from .places import View, locate
from .tracking import LOST, TRACKING, WHEELS

#: Largest distance (m) of point pairs, with and without wheels: with wheels the guess is good and far pairs are wrong.
_WHEELS_REACH, _BLIND_REACH = 0.10, 0.30
#: Depth alone is trusted with this share of pairs and this standard deviation (m) in the weakest direction.
_GOOD_SHARE, _GOOD_WEAKEST = 0.5, 0.02
#: A motion that differs from the expected one by more standard deviations is doubted; always allowed (m, rad).
_MOST_SIGMAS, _ALWAYS = 4.0, (0.01, 0.005)
#: The same without wheels: a sudden motion is as likely as a wrong minimum, so features are used early.
_BLIND_SIGMAS = 1.0
#: Standard deviations (m, rad) of the motion in a frame without wheels, depth and features.
_LOST_SIGMA = (0.2, 0.3)
#: Largest normalised residual of a trusted registration from the wheels' guess, and the ratio of scores below which one
#: without wheels overrules it. Of two motions by the camera alone, the likelier wins unless the other is that much
#: better.
_GOOD_RESIDUAL, _CLEARLY = 1.3, 0.7
#: Two results closer than this (m, rad) are the same.
_SAME = (0.05, 0.03)
#: Least fit when the whole scene moves rigidly; less means that something moves in front of it.
_ONE_WORLD = 0.75
#: Below the first fit something occludes the reference, and the frame is no better one; below the second, no match.
_COVERED, _LEAST_FIT = 0.5, 0.45
#: With less overlap than this the reference is out of view and neither confirms nor contradicts a pose.
_OUT_OF_SIGHT = 0.25
#: To recover after frames without a pose: least fit, and largest share of the reference that depth passes through.
_RETURN_FIT, _RETURN_THROUGH = 0.5, 0.3
#: To recover without wheels: least agreement in both directions, and time (s) after which features must confirm.
_AGREEMENT, _LONG = 0.88, 0.5
#: Frames are missing if the interval is this many times the usual one.
_GAP = 3.0
#: Slack on the limits of motion (m, rad), without and with wheels.
_SLACK, _WHEELS_SLACK = (0.15, 0.15), (0.05, 0.05)
#: Wheels stand still if they move less than this per frame (m, rad).
_STANDS = 1e-5


@dataclass(frozen=True)
class OdometryConfig(Config):
    """Settings of :class:`RGBDOdometry`."""

    width: int = param(320, "columns to which depth is thinned", unit="px", low=80, high=1280)
    max_depth: float = param(4.5, "farther depth is not used", unit="m", low=0.5, high=50.0)
    min_depth: float = param(
        0.3,
        "nearer depth is not used: a hand, or a part of the robot, moves with the camera",
        unit="m",
        low=0.0,
        high=5.0,
    )
    min_valid: float = param(0.1, "a frame with less valid depth says nothing of the pose", low=0.01, high=0.9)
    keyframe_share: float = param(0.5, "a new keyframe when less of the view meets the last one", low=0.1, high=0.95)
    keyframe_translation: float = param(0.4, "or after this distance", unit="m", low=0.05, high=5.0)
    keyframe_rotation: float = param(0.5, "or after this turn", unit="rad", low=0.05, high=3.0)
    min_share: float = param(0.25, "a registration with less is not believed", low=0.05, high=0.9)
    wheel_translation: float = param(0.02, "error of wheel odometry per distance", low=1e-4, high=0.5)
    wheel_rotation: float = param(0.009, "its error of heading per distance", unit="rad/m", low=1e-5, high=0.5)
    wheel_turn: float = param(0.02, "its error of heading per turn", low=1e-4, high=0.5)
    max_linear: float = param(3.0, "a camera without wheels is not faster", unit="m/s", low=0.1, high=100.0)
    max_angular: float = param(6.0, "and does not turn faster", unit="rad/s", low=0.1, high=100.0)
    slip_linear: float = param(
        0.5, "a camera on wheels is not faster than they say by more", unit="m/s", low=0.0, high=100.0
    )
    slip_angular: float = param(1.0, "and does not turn faster by more", unit="rad/s", low=0.0, high=100.0)
    blind_distance: float = param(
        2.0, "wheels alone carry the pose so far; beyond it SLAM is lost", unit="m", low=0.0, high=100.0
    )
    blind_time: float = param(10.0, "or for so long in motion", unit="s", low=0.0, high=3600.0)


@dataclass(frozen=True, eq=False)
class OdometryStep:
    """One frame's result.

    Attributes:
        T_keyframe_camera: 4x4, the keyframe that this frame was registered to from this camera.
        keyframe: that keyframe's index; -1 before the first.
        information: 6x6 of T_keyframe_camera, as in :class:`.icp.Registration`, the prior included.
        source: ``depth``, ``features``, ``prior`` or ``first``.
        view: the new keyframe's view if this frame became one; else None.
        state: of :mod:`.tracking`.
        doubt: why the frame's pose was not found; "" if it was.
        usable: whether it shows enough for place recognition.
        moved: distance (m) since the last frame by wheels and by the camera; NaN where unknown.
    """

    T_keyframe_camera: np.ndarray
    keyframe: int
    information: np.ndarray
    source: str
    view: View | None = None
    state: str = TRACKING
    doubt: str = ""
    usable: bool = True
    moved: tuple[float, float] = (float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class _Expected:
    """The predicted pose, its standard deviations (m, rad), whether it is by wheels, and whether these stood still."""

    T: np.ndarray
    sigma: tuple[float, float]
    wheels: bool
    still: bool


@dataclass(frozen=True, eq=False)
class _Placed:
    """A registration, its source, the prior's standard deviations (m, rad) and features if they were computed; and the
    reason for not trusting it if its source is ``prior``."""

    result: Registration
    source: str
    sigma: tuple[float, float]
    features: Features | None = None
    doubt: str = ""


class RGBDOdometry:
    """Processes registered frames in order.

    Attributes:
        lost: consecutive frames whose pose was not found.
    """

    def __init__(self, config: OdometryConfig | None = None) -> None:
        self.config = config or OdometryConfig()
        self.lost = 0
        self._view: View | None = None
        self._count = 0
        self._T = np.eye(4)
        self._T_placed = np.eye(4)
        self._predicted = np.eye(4)
        self._velocity, self._interval = np.eye(4), 0.0
        self._away = Away()
        self._picture = Picture()
        self._newest: tuple | None = None
        self._due = False

    def renew(self) -> None:
        """Makes the next frame whose pose is found a keyframe, however little is new in it."""
        self._due = True

    def step(
        self,
        depth: np.ndarray,
        camera: Camera,
        color: np.ndarray | None = None,
        wheels: np.ndarray | None = None,
        seconds: float | None = None,
    ) -> OdometryStep:
        """Registers one frame.

        Args:
            depth: HxW float32 m, NaN invalid.
            color: HxWx3 uint8 RGB, or None.
            wheels: 4x4, last optical frame from this one by wheel odometry, or None.
            seconds: since the last frame; None if unknown: then motion is not limited.
        """
        depth, camera = thinned(depth, camera, self.config.width, self.config.max_depth, self.config.min_depth)
        self._newest = (depth, camera, color, None)
        doubt = self._unusable(depth, wheels)
        if self._view is None:
            return self._begin(doubt)
        if wheels is not None and not self._within(wheels, seconds, self.config.max_linear, self.config.max_angular):
            wheels = None
        expected = self._expect(wheels, seconds)
        placed = _unplaced(expected, doubt) if doubt else self._register(depth, camera, color, expected)
        return self._settle(placed, expected, wheels, seconds, bool(doubt))

    def adopt(self) -> View:
        """Makes the newest frame the reference keyframe, after place recognition has found its pose."""
        self._new_keyframe(*self._frame)
        self.lost, self._velocity = 0, np.eye(4)
        self._away = Away()
        return self._reference

    def look(self) -> View:
        """The newest frame's view, for place recognition."""
        depth, camera, color, features = self._frame
        if features is None and color is not None:
            features = extract(color)
            self._newest = (depth, camera, color, features)
        return View.of(depth, camera, features)

    @property
    def _frame(self) -> tuple:
        """The newest frame: depth, camera, colour, features if computed."""
        assert self._newest is not None, "a step comes first"
        return self._newest

    @property
    def _reference(self) -> View:
        """The last keyframe's view."""
        assert self._view is not None, "a first keyframe comes first"
        return self._view

    @property
    def _depth_view(self) -> DepthView:
        """The last keyframe's depth with normals."""
        assert self._reference.depth_view is not None
        return self._reference.depth_view

    @property
    def strayed(self) -> bool:
        """Whether the camera may be anywhere: no wheel odometry, or the view contradicted it."""
        return self._away.strayed

    @property
    def T(self) -> np.ndarray:
        """4x4, the reference keyframe from the camera, the best estimate."""
        return self._T

    @property
    def reach(self) -> float:
        """Standard deviation (m) of that estimate's position."""
        return self._away.reach

    def _begin(self, doubt: str) -> OdometryStep:
        if doubt:
            self.lost += 1
            return OdometryStep(np.eye(4), -1, np.zeros((6, 6)), "prior", None, LOST, doubt, False)
        self._new_keyframe(*self._frame)
        self.lost = 0
        return OdometryStep(np.eye(4), 0, np.zeros((6, 6)), "first", self._view)

    def _unusable(self, depth: np.ndarray, wheels: np.ndarray | None) -> str:
        """Why a frame cannot be used for the pose at all; "" if it can."""
        same = self._picture.same(depth, wheels)
        valid = float(np.isfinite(depth).mean())
        if valid < self.config.min_valid:
            return f"{valid:.0%} of depth valid"
        return same

    def _expect(self, wheels: np.ndarray | None, seconds: float | None) -> _Expected:
        """Predicts the frame's pose by wheels, or by constant velocity over the elapsed time."""
        if wheels is None:
            ratio = seconds / self._interval if seconds and self._interval else 1.0
            self._away.gap |= ratio > _GAP
            motion = self._velocity if 0.5 < ratio < 2.0 else np.eye(4)
            sigma = min(_LOST_SIGMA[0], 0.03 * max(1.0, ratio)), min(_LOST_SIGMA[1], 0.03 * max(1.0, ratio))
        else:
            motion, sigma = wheels, self._sigma(wheels)
        still = wheels is not None and max(_size(wheels)) < _STANDS
        self._away.add(wheels, seconds, sigma, still)
        self._predicted = self._T @ motion
        return _Expected(self._predicted, self._away.sigma(sigma), wheels is not None, still)

    def _settle(self, placed: _Placed, expected: _Expected, wheels, seconds, unusable: bool) -> OdometryStep:
        """Updates pose, tracking state and keyframe from a frame's result."""
        depth, camera, color, _ = self._frame
        if placed.features is not None:
            self._newest = (depth, camera, color, placed.features)
        result, source, state = placed.result, placed.source, TRACKING
        moved = (_size(wheels)[0] if wheels is not None else float("nan"), float("nan"))
        information = result.information + _information(placed.sigma)
        if source == "prior":
            self.lost += 1
            if not unusable:
                self._away.contradicted(self._speaks_against(depth, camera, expected, result.overlap))
            # Without a view, do not extrapolate the last velocity.
            self._velocity = np.eye(4)
            self._T = result.T if expected.wheels else self._T
            state = WHEELS if self._away.within(self.config.blind_distance, self.config.blind_time) else LOST
        else:
            moved = (moved[0], _apart(result.T, self._T))
            self._velocity = np.eye(4) if self.lost else invert(self._T) @ result.T
            self._interval = seconds or self._interval
            self.lost, self._away = 0, Away()
            self._T = self._T_placed = result.T
        step = OdometryStep(
            self._T, self._count - 1, information, source, None, state, placed.doubt, not unusable, moved
        )
        carried = state == WHEELS and not unusable and result.overlap < _OUT_OF_SIGHT
        carried = carried and not expected.still and self._left_behind(expected.T)
        if not carried and (source == "prior" or not self._keyframe_due(result, source)):
            return step
        self._new_keyframe(*self._frame)
        return OdometryStep(
            step.T_keyframe_camera, step.keyframe, information, source, self._view, state, placed.doubt, True, moved
        )

    def _register(self, depth, camera, color, expected: _Expected) -> _Placed:
        """Registers depth from the guess; if the result is weak or unlikely, uses grey levels and features, too."""
        guess, sigma, wheels = expected.T, expected.sigma, expected.wheels
        reach = _WHEELS_REACH if wheels and sigma[0] < _WHEELS_REACH / 4 else _BLIND_REACH
        result = register(depth, camera, self._depth_view, guess, _information(sigma), reach)
        likely = _innovation(result, guess, sigma) < (_MOST_SIGMAS if wheels else _BLIND_SIGMAS)
        if expected.still:
            return self._stand(depth, camera, expected, result, likely)
        returns = self._returns(depth, camera, result)
        if likely and result.share >= _GOOD_SHARE and result.weakest < _GOOD_WEAKEST and returns:
            return _Placed(result, "depth", sigma)
        greys = () if color is None else grey_levels(color, camera)
        if wheels:
            # From a good guess, grey levels constrain what depth does not.
            result = register(depth, camera, self._depth_view, guess, _information(sigma), reach, greys)
            likely = _innovation(result, guess, sigma) < _MOST_SIGMAS
            returns = self._returns(depth, camera, result)
            if likely and result.share >= _GOOD_SHARE and result.residual < _GOOD_RESIDUAL and returns:
                return _Placed(result, "depth", sigma)
        features = None if color is None else extract(color)
        free, doubt = self._search(depth, camera, greys, expected, features)
        held = wheels and likely and self._enough(result) and returns
        if held and (free is None or _score(free.result) > _CLEARLY * _score(result)):
            return _Placed(result, "depth", sigma, features)
        if free is not None:
            return free
        doubt = doubt or f"{result.fit:.0%} of the view fits where it should"
        return _unplaced(expected, doubt, result.overlap, features)

    def _stand(self, depth, camera, expected: _Expected, result: Registration, likely: bool) -> _Placed:
        """Wheels at rest: the camera has not moved, even if something large passes by. The view only decides whether
        the frame shows the expected scene."""
        there = Registration(
            expected.T, result.pairs, result.share, result.residual, result.information, result.overlap
        )
        if likely and self._enough(result) and self._returns(depth, camera, there):
            return _Placed(there, "depth", expected.sigma)
        doubt = f"{result.fit:.0%} of the view fits while wheels stand"
        if result.fit >= _COVERED:
            doubt = f"wheels say 0.00 m, the camera {_apart(result.T, expected.T):.2f} m"
        return _unplaced(expected, doubt, result.overlap)

    def _search(self, depth, camera, greys, expected: _Expected, features) -> tuple[_Placed | None, str]:
        """The pose by depth, grey levels and features without the prediction; or None and, if a pose was found but
        rejected, the reason.

        To overrule wheels, grey levels are always used. Without wheels, a well constrained depth registration is not
        changed by grey levels, whose calibration may be worse.
        """
        found = self._candidates(depth, camera, greys, expected, features)
        moving = [p for p in found if self._can_move_to(p.result.T)]
        if found and not moving:
            distance, turn = _size(invert(self._T_placed) @ found[0].result.T)
            return None, f"the camera says {distance:.2f} m, {turn:.2f} rad in {self._away.seconds:.2f} s: too fast"
        moving = [p for p in moving if self._returns(depth, camera, p.result, p.source)]
        if not moving:
            return None, ""
        best = min(moving, key=lambda p: _score(p.result))
        likeliest = min(moving, key=lambda p: _innovation(p.result, expected.T, _LOST_SIGMA))
        if not _are_same(best.result.T, likeliest.result.T):
            if _score(best.result) > _CLEARLY * _score(likeliest.result):
                best = likeliest
            elif not expected.wheels and best.result.fit < _ONE_WORLD:
                return None, f"two motions in the view: {likeliest.result.fit:.0%} and {best.result.fit:.0%} of it"
        if expected.wheels and best.result.fit < _ONE_WORLD:
            far = _innovation(best.result, expected.T, expected.sigma) > _MOST_SIGMAS
            by_wheels, by_camera = (_apart(T, self._T_placed) for T in (expected.T, best.result.T))
            if far:
                said = f"wheels say {by_wheels:.2f} m, the camera {by_camera:.2f} m"
                return None, f"{said} by {best.result.fit:.0%} of the view"
        return best, ""

    def _candidates(self, depth, camera, greys, expected: _Expected, features) -> list[_Placed]:
        """All poses for which a registration is well constrained."""
        starts = [(expected.T, "depth"), (self._T, "depth")]
        if features is not None and self._reference.features is not None:
            seen = locate(View.of(depth, camera, features), self._reference)
            if seen is not None:
                starts.append((seen.T, "features"))
        found = []
        for T, source in starts:
            prior, reach = _information(_LOST_SIGMA), _WHEELS_REACH if source == "features" else _BLIND_REACH
            result = None if expected.wheels and greys else register(
                depth, camera, self._depth_view, T, prior, reach
            )  # fmt: skip
            if greys and (result is None or result.weakest > _GOOD_WEAKEST):
                result = register(depth, camera, self._depth_view, T, prior, reach, greys)
            if result is not None and self._enough(result) and result.weakest < 2.0 * _GOOD_WEAKEST:
                found.append(_Placed(result, source, _LOST_SIGMA, features))
        return found

    def _returns(self, depth, camera, result: Registration, source: str = "depth") -> bool:
        """After frames without a pose, or missing frames: whether the view really shows the reference.

        Without wheels, depth alone finds a minimum anywhere; after a while the guess must come from features.
        """
        if not (self.lost or self._away.gap):
            return True
        if result.fit < _RETURN_FIT:
            return False
        reference = self._reference
        if not self._away.strayed:
            return seen_through(depth, camera, reference.depth, reference.camera, result.T) < _RETURN_THROUGH
        # By wheels it may have driven on before the view was hidden and it stood for long.
        distance, turn = _size(invert(self._predicted) @ result.T)
        there = distance < _SAME[0] and turn < _SAME[1]
        led = there or source == "features" or (self._away.seconds or _LONG) < _LONG
        return led and agreement(depth, camera, reference.depth, reference.camera, result.T) > _AGREEMENT

    def _enough(self, result: Registration) -> bool:
        """Whether enough of the view matches the reference to be the same place."""
        return result.share >= self.config.min_share and result.fit >= _LEAST_FIT

    def _speaks_against(self, depth, camera, expected: _Expected, overlap: float) -> float:
        """Share (0 to 1) of the surfaces expected at the predicted pose that depth passes through."""
        if overlap < _OUT_OF_SIGHT:
            return 0.0
        return seen_through(depth, camera, self._reference.depth, self._reference.camera, expected.T)

    def _left_behind(self, T: np.ndarray) -> bool:
        """Whether the reference is out of the field of view of a camera at T, not only hidden."""
        reference, (_, camera, _, _) = self._reference, self._frame
        return in_picture(reference.depth, reference.camera, camera, invert(T)) < _OUT_OF_SIGHT

    def _can_move_to(self, T: np.ndarray) -> bool:
        """Whether a robot, or a hand, can have moved the camera there since its pose was last found."""
        config, away = self.config, self._away
        motion = invert(self._T_placed) @ T
        if away.strayed or away.seconds is None:
            return self._within(motion, away.seconds, config.max_linear, config.max_angular)
        distance, turn = _size(motion)
        linear = away.distance + config.slip_linear * away.seconds + _WHEELS_SLACK[0]
        return distance < linear and turn < away.turn + config.slip_angular * away.seconds + _WHEELS_SLACK[1]

    @staticmethod
    def _within(motion: np.ndarray, seconds: float | None, linear: float, angular: float) -> bool:
        if seconds is None:
            return True
        distance, turn = _size(motion)
        return distance < _SLACK[0] + linear * seconds and turn < _SLACK[1] + angular * seconds

    def _sigma(self, wheels: np.ndarray) -> tuple[float, float]:
        """Standard deviations (m, rad) of a frame's motion by wheel odometry."""
        distance, turn = _size(wheels)
        sigma_t = 0.002 + self.config.wheel_translation * distance
        return sigma_t, 0.001 + self.config.wheel_rotation * distance + self.config.wheel_turn * turn

    def _keyframe_due(self, result: Registration, source: str) -> bool:
        config = self.config
        far = (
            (source == "depth" and result.share < config.keyframe_share)
            or float(np.linalg.norm(result.T[:3, 3])) > config.keyframe_translation
            or rotation_angle(result.T) > config.keyframe_rotation
        )
        # Something that occludes the reference may be gone in the next frame, so keep the reference, unless it
        # is itself going out of view.
        covered = result.fit < _COVERED and result.overlap > 2.0 * _OUT_OF_SIGHT
        return self._due or (far and not covered)

    def _new_keyframe(self, depth, camera, color, features) -> None:
        if features is None and color is not None:
            features = extract(color)
        greys = () if color is None else grey_levels(color, camera)
        self._view = View.of(depth, camera, features, normals=True, greys=greys)
        self._T = self._T_placed = np.eye(4)
        self._due = False
        self._count += 1


def _unplaced(expected: _Expected, doubt: str, overlap: float = 1.0, features: Features | None = None) -> _Placed:
    """A result from the prior alone."""
    nothing = Registration(expected.T, 0, 0.0, float("inf"), np.zeros((6, 6)), overlap)
    return _Placed(nothing, "prior", expected.sigma if expected.wheels else _LOST_SIGMA, features, doubt)


def _information(sigma: tuple[float, float]) -> np.ndarray:
    return np.diag([sigma[0] ** -2] * 3 + [sigma[1] ** -2] * 3)


def _innovation(result: Registration, guess: np.ndarray, sigma: tuple[float, float]) -> float:
    """Distance of a result from the guess in standard deviations."""
    x = logarithm(result.T @ invert(guess))
    off_t = max(0.0, _apart(result.T, guess) - _ALWAYS[0])
    off_r = max(0.0, float(np.linalg.norm(x[3:])) - _ALWAYS[1])
    return max(off_t / sigma[0], off_r / sigma[1])


def _score(result: Registration) -> float:
    """Score of a registration; lower is better."""
    return result.residual / max(result.share, 0.05)


def _are_same(T: np.ndarray, other: np.ndarray) -> bool:
    distance, turn = _size(invert(T) @ other)
    return distance < _SAME[0] and turn < _SAME[1]


def _size(motion: np.ndarray) -> tuple[float, float]:
    """Distance (m) and turn (rad) of a motion; turns below 1e-4 from the sine, since the cosine is too coarse there."""
    R = motion[:3, :3]
    sine = float(np.sqrt((R[2, 1] - R[1, 2]) ** 2 + (R[0, 2] - R[2, 0]) ** 2 + (R[1, 0] - R[0, 1]) ** 2)) / 2.0
    return float(np.linalg.norm(motion[:3, 3])), sine if sine < 1e-4 and np.trace(R) > 1.0 else rotation_angle(motion)


def _apart(T: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(T[:3, 3] - other[:3, 3]))


def thinned(
    depth: np.ndarray, camera: Camera, width: int, max_depth: float, min_depth: float = 0.0
) -> tuple[np.ndarray, Camera]:
    """Every n-th pixel of a depth image (no averaging across edges) and the camera that fits; far and near depth is
    NaN."""
    step = max(1, round(camera.width / width))
    depth = np.ascontiguousarray(depth[::step, ::step], dtype=np.float32)
    with np.errstate(invalid="ignore"):
        depth = np.where((depth <= max_depth) & (depth >= min_depth), depth, np.float32(np.nan))
    height, columns = depth.shape
    return depth, Camera(columns, height, camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step)
