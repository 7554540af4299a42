"""SLAM for a registered RGB-D camera: odometry, loops, pose graph. Knows nothing of ROS, memory and language.

The map frame is the camera's (or, with wheels, odometry's) frame at the start. :meth:`Slam.trajectory` gives every past
frame by stamp under the newest correction; memory moves its keyframes by it.

A false loop is worse than a missed one: a loop must look right (features), fit (depth, free space), and lie where the
graph says that it can lie. Between places that the graph already holds tightly no loop is sought, so that the work of
a keyframe does not grow with the number of visits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..geometry import Camera, invert, rotation_angle
from ..keyframes import extract
from .odometry import OdometryConfig, OdometryStep, RGBDOdometry, thinned
from .places import Location, Places, View
from .pose_graph import PoseGraph

#: Views whose cameras stand farther apart (m) or look more apart (rad) than this show nothing in common.
_VIEW_DISTANCE, _VIEW_ANGLE = 3.5, 1.2
#: Views so near (m, rad), where the graph is so sure (m), are registered by depth without features.
_NEAR_DISTANCE, _NEAR_ANGLE, _NEAR_SIGMA = 0.8, 0.6, 0.15
#: Geometry must hold the weakest direction of such a registration so well (m).
_NEAR_WEAKEST = 0.01
#: What a loop may always differ from the graph (m, rad): the views' own errors.
_GATE = (0.05, 0.03)
#: Poses of a view that differ more (m, rad) put it into two places.
_SAME_PLACE = (0.3, 0.2)


@dataclass(frozen=True)
class SlamConfig(Config):
    """Settings of :class:`Slam` beside those of its odometry."""

    loop_candidates: int = param(4, "views that are checked for each keyframe", low=0, high=50)
    loops_per_keyframe: int = param(2, "loops after which a keyframe is held well enough", low=1, high=50)
    loop_inliers: int = param(25, "feature matches that a loop needs", low=8, high=500)
    loop_uncertainty: float = param(0.04, "places held more tightly need no loop", unit="m", low=0.001, high=10.0)
    loop_gate: float = param(3.0, "standard deviations of the graph that a loop may be off", low=1.0, high=10.0)
    correction: float = param(0.02, "shift of a keyframe that counts as a correction", unit="m", low=0.0, high=10.0)
    planar: bool = param(True, "the floor is level: height and tilt of wheel odometry hold")
    level_height: float = param(0.02, "unevenness of the floor", unit="m", low=1e-4, high=10.0)
    level_tilt: float = param(0.01, "tilt of the base on it", unit="rad", low=1e-4, high=1.0)


@dataclass(frozen=True, eq=False)
class SlamUpdate:
    """One frame's result.

    Attributes:
        T_map_camera: 4x4.
        T_odom_camera: 4x4, by odometry alone, from ``T_map_start`` on: smooth, and it drifts.
        corrected: a loop moved past poses; read :meth:`Slam.trajectory` again.
        source: what the pose rests on: ``depth``, ``features``, ``prior`` or ``first``.
        keyframe: number of the keyframe that this frame is registered to, or became.
        loops: numbers of the keyframes that this frame closed a loop with.
    """

    T_map_camera: np.ndarray
    T_odom_camera: np.ndarray
    corrected: bool
    source: str
    keyframe: int
    loops: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Relocation:
    """Where a view was recognised: T_map_camera 4x4, the keyframe that shows the place, feature matches."""

    T_map_camera: np.ndarray
    keyframe: int
    inliers: int


class Slam:
    """Takes frames in order; see the module.

    Args:
        T_map_start: 4x4, where the first frame stands in map where no wheels say it; default the identity.

    Attributes:
        loops: (earlier, later) keyframe numbers of all loops.

    Raises:
        InputError: GTSAM is not installed.
    """

    def __init__(
        self,
        config: SlamConfig | None = None,
        odometry: OdometryConfig | None = None,
        T_map_start: np.ndarray | None = None,
    ) -> None:
        self.config = config or SlamConfig()
        self._odometry = RGBDOdometry(odometry)
        self._places = Places(self.config.loop_inliers)
        self._graph = PoseGraph()
        self._poses = np.zeros((0, 4, 4))
        self._stamps: list[int] = []
        self._anchors: list[int] = []
        self._motions: list[np.ndarray] = []
        self._last_wheels: np.ndarray | None = None
        self._T_start = np.eye(4) if T_map_start is None else np.asarray(T_map_start, np.float64)
        self._T_odom_keyframe = np.eye(4)
        self.loops: list[tuple[int, int]] = []

    def process(
        self,
        stamp: int,
        depth: np.ndarray,
        camera: Camera,
        color: np.ndarray | None = None,
        T_odom_camera: np.ndarray | None = None,
    ) -> SlamUpdate:
        """Registers one frame.

        Args:
            stamp: ns.
            depth: HxW float32 m, NaN invalid, registered to ``color``.
            color: HxWx3 uint8 RGB, or None (then loops come from depth alone).
            T_odom_camera: 4x4 wheel odometry of the optical frame, or None.
        """
        wheels = None
        if T_odom_camera is not None and self._last_wheels is not None:
            wheels = invert(self._last_wheels) @ T_odom_camera
        self._last_wheels = T_odom_camera
        step = self._odometry.step(depth, camera, color, wheels)
        keyframe, T, loops, corrected = step.keyframe, step.T_keyframe_camera, (), False
        T_odom = self._T_start if step.source == "first" else self._T_odom_keyframe @ T
        if step.view is not None:
            self._T_odom_keyframe = T_odom
            keyframe, T = self._new_keyframe(step, T_odom_camera), np.eye(4)
            loops, corrected = self._close_loops(step.view, keyframe)
            self._places.add(step.view)
        self._stamps.append(stamp)
        self._anchors.append(keyframe)
        self._motions.append(T)
        return SlamUpdate(self._poses[keyframe] @ T, T_odom, corrected, step.source, keyframe, loops)

    def trajectory(self) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (N int64 ns) and poses (Nx4x4, map from optical frame) of all frames, newest correction applied."""
        if not self._stamps:
            return np.zeros(0, np.int64), np.zeros((0, 4, 4))
        poses = self._poses[np.array(self._anchors)] @ np.array(self._motions)
        return np.array(self._stamps, dtype=np.int64), poses

    @property
    def lost(self) -> int:
        """Frames in a row for which neither depth nor features spoke, only the prior."""
        return self._odometry.lost

    @property
    def keyframes(self) -> int:
        """How many keyframes there are."""
        return len(self._poses)

    def edges(self) -> list[tuple[int, int, bool]]:
        """(first, second, whether it is a loop) of all edges between keyframes."""
        return [(edge.first, edge.second, edge.loop) for edge in self._graph.edges]

    def keyframe_poses(self) -> np.ndarray:
        """Nx4x4, map from optical frame, of SLAM's own keyframes."""
        return self._poses.copy()

    def relocalise(self, depth: np.ndarray, camera: Camera, color: np.ndarray) -> Relocation | None:
        """Finds a view among the keyframes without any idea of where it might be; changes nothing.

        Look-alike places cannot be told apart by one view: ask again from the next, and believe two that agree.

        Returns:
            None where no keyframe shows the place, or keyframes at different places do.
        """
        settings = self._odometry.config
        depth, camera = thinned(depth, camera, settings.width, settings.max_depth)
        view = View.of(depth, camera, extract(color))
        found = []
        for number in self._places.candidates(view, most=max(10, self.config.loop_candidates)):
            location = self._places.confirm(view, number)
            if location is not None:
                found.append(Relocation(self._poses[number] @ location.T, number, location.inliers))
        if not found:
            return None
        best = max(found, key=lambda relocation: relocation.inliers)
        apart = [invert(best.T_map_camera) @ other.T_map_camera for other in found]
        ambiguous = any(np.linalg.norm(T[:3, 3]) > _SAME_PLACE[0] or rotation_angle(T) > _SAME_PLACE[1] for T in apart)
        return None if ambiguous else best

    def _new_keyframe(self, step: OdometryStep, T_odom_camera: np.ndarray | None) -> int:
        if step.source == "first":
            T = self._T_start if T_odom_camera is None else T_odom_camera
        else:
            T = self._poses[-1] @ step.T_keyframe_camera
        number = self._graph.add(T)
        self._poses = self._graph.poses()
        if number > 0:
            self._graph.connect(number - 1, number, step.T_keyframe_camera, step.information)
        if T_odom_camera is not None and self.config.planar:
            self._graph.hold_level(number, T_odom_camera, self.config.level_height, self.config.level_tilt)
        return number

    def _close_loops(self, view: View, number: int) -> tuple[tuple[int, ...], bool]:
        """Numbers of the keyframes that this one was tied to, and whether that moved anything."""
        loops = tuple(self._loops_of(view, number)) if number > 0 else ()
        if not loops:
            return (), False
        self.loops += [(earlier, number) for earlier in loops]
        before, self._poses = self._poses, self._graph.optimise()
        shift = np.linalg.norm(self._poses[:, :3, 3] - before[:, :3, 3], axis=1).max()
        return loops, bool(shift > self.config.correction)

    def _loops_of(self, view: View, number: int) -> list[int]:
        sigma = self._graph.uncertainty(number)[:number]
        relative = invert(self._poses[number]) @ self._poses[:number]
        distance = np.linalg.norm(relative[:, :3, 3], axis=1)
        angle = np.arccos(np.clip(relative[:, 2, 2], -1.0, 1.0))
        loose = sigma[:, 0] > self.config.loop_uncertainty
        reach = self.config.loop_gate * sigma
        visible = loose & (distance < _VIEW_DISTANCE + reach[:, 0]) & (angle < _VIEW_ANGLE + reach[:, 1])
        closed: list[int] = []
        if visible.any():
            for candidate in self._places.candidates(view, visible, self.config.loop_candidates):
                found = self._places.confirm(view, candidate)
                if found is not None and self._tie(candidate, number, found, sigma[candidate]):
                    closed.append(candidate)
                if len(closed) == self.config.loops_per_keyframe:
                    return closed
        near = loose & (sigma[:, 0] < _NEAR_SIGMA) & (distance < _NEAR_DISTANCE) & (angle < _NEAR_ANGLE)
        if not closed and near.any():
            candidate = int(np.flatnonzero(near)[np.argmin(distance[near] + angle[near])])
            guess = Location(invert(relative[candidate]), 0, np.diag(np.repeat(sigma[candidate] ** -2.0, 3)))
            found = self._places.fit(view, candidate, guess)
            certain = found is not None and found.weakest < _NEAR_WEAKEST
            if certain and self._tie(candidate, number, found, sigma[candidate]):
                closed.append(candidate)
        return closed

    def _tie(self, earlier: int, number: int, found: Location, sigma: np.ndarray) -> bool:
        """Adds a loop if it lies where the graph says that it can lie."""
        difference = invert(self._poses[earlier] @ found.T) @ self._poses[number]
        off_t, off_r = float(np.linalg.norm(difference[:3, 3])), rotation_angle(difference)
        allowed_t, allowed_r = self.config.loop_gate * sigma + _GATE
        if off_t > allowed_t or off_r > allowed_r:
            return False
        self._graph.connect(earlier, number, found.T, found.information, loop=True)
        return True
