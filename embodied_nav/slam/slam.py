"""SLAM for a registered RGB-D camera: odometry, loops, pose graph. Knows nothing of ROS, memory and language.

The map frame is the camera's (or, with wheels, odometry's) frame at the start. :meth:`Slam.trajectory` gives every past
frame by stamp under the newest correction; memory moves its keyframes by it.

A false loop is worse than a missed one: a loop must look right (features), fit (depth, free space), and lie where the
graph says that it can lie. Between places that the graph already holds tightly no loop is sought, so that the work of
a keyframe does not grow with the number of visits.

A session that does not know where it is begins a map of its own. Landmarks, keyframes of earlier sessions, are looked
for in every keyframe; where two views from different places find the same way from one map to the other, the maps are
one from then on. So finding oneself again and merging two maps are the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..errors import InputError
from ..geometry import Camera, invert, rotation_angle
from ..keyframes import extract
from .looks import Landmark
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
#: Landmarks stand so surely in their map (m, rad): as well as its session knew.
_LANDMARK_SIGMA = (0.03, 0.015)
#: Two views that find the same way between two maps (m, rad) make them one; votes older than so many keyframes do not
#: count, for the session has drifted since.
_SAME_WAY, _VOTES_KEPT = (0.15, 0.08), 30
#: The floors of two maps are one floor: what their heights (m) and tilts (rad) may be off.
_SAME_FLOOR = (0.10, 0.04)
#: How sure a pose is that somebody gives (m, rad).
_GIVEN_SIGMA = (0.3, 0.2)


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
        joined: two maps became one in this frame.
    """

    T_map_camera: np.ndarray
    T_odom_camera: np.ndarray
    corrected: bool
    source: str
    keyframe: int
    loops: tuple[int, ...] = ()
    joined: Joined | None = None


@dataclass(frozen=True, eq=False)
class Joined:
    """Two maps became one: what stood in ``joined_map_id`` stands in ``map_id`` now.

    Attributes:
        map_id: whose coordinates all poses are given in from now on.
        joined_map_id: the map that is no more; "" for the session's own, new one.
        T: 4x4, map_id from joined_map_id.
    """

    map_id: str
    joined_map_id: str
    T: np.ndarray


@dataclass(frozen=True, eq=False)
class _Vote:
    """One view's word for the way from the running map to another: T is 4x4, the other from the running one."""

    number: int
    landmark: int
    found: Location
    T: np.ndarray


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
        landmarks: keyframes of earlier sessions; with any, the session begins without knowing where it is.

    Attributes:
        loops: (earlier, later) keyframe numbers of all loops; landmarks are numbered first.
        map_id: the map in whose coordinates poses are given; "" for the session's own, new one.

    Raises:
        InputError: GTSAM is not installed.
    """

    def __init__(
        self,
        config: SlamConfig | None = None,
        odometry: OdometryConfig | None = None,
        T_map_start: np.ndarray | None = None,
        landmarks: Sequence[Landmark] = (),
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
        self._votes: list[_Vote] = []
        self._given: tuple[np.ndarray, str] | None = None
        self.loops: list[tuple[int, int]] = []
        self.map_id = ""
        self._map_of: list[str] = []
        for known in landmarks:
            number = self._graph.add(known.T_map_camera)
            self._graph.hold(number, known.T_map_camera, _LANDMARK_SIGMA)
            self._graph.belongs(number, known.map_id, _LANDMARK_SIGMA)
            self._places.add(known.look)
            self._map_of.append(known.map_id)
        self._poses = self._graph.poses()
        self._first = len(self._map_of)

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
        keyframe, T, loops, corrected = self._first + step.keyframe, step.T_keyframe_camera, (), False
        joined = None
        T_odom = self._T_start if step.source == "first" else self._T_odom_keyframe @ T
        if step.view is not None:
            self._T_odom_keyframe = T_odom
            keyframe, T = self._new_keyframe(step, T_odom_camera), np.eye(4)
            joined = self._find_itself(step.view, keyframe)
            loops, corrected = self._close_loops(step.view, keyframe, joined is not None)
            self._places.add(step.view)
        self._stamps.append(stamp)
        self._anchors.append(keyframe)
        self._motions.append(T)
        return SlamUpdate(self._poses[keyframe] @ T, T_odom, corrected, step.source, keyframe, loops, joined)

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
    def located(self) -> bool:
        """Whether the session stands in a map of earlier ones, or there is none."""
        return bool(self.map_id) or self._first == 0

    @property
    def keyframes(self) -> int:
        """How many keyframes this session has made."""
        return len(self._poses) - self._first

    def graph(self) -> tuple[np.ndarray, list[tuple[int, int, bool]]]:
        """Positions (Nx3 m) of all keyframes and landmarks of the running map; edges (first, second, is a loop)."""
        here = np.flatnonzero([name == self.map_id for name in self._map_of])
        index = {int(number): i for i, number in enumerate(here)}
        edges = [(index[e.first], index[e.second], e.loop) for e in self._graph.edges if e.first in index]
        return self._poses[here, :3, 3], edges

    def keyframe_poses(self) -> np.ndarray:
        """Nx4x4, map from optical frame, of the keyframes of this session."""
        return self._poses[self._first :].copy()

    def place(self, T_map_camera: np.ndarray, map_id: str) -> None:
        """Somebody says where the camera is in a map of earlier sessions; the next keyframe believes it roughly.

        Raises:
            InputError: the session knows where it is, or there is no such map.
        """
        if self.located:
            raise InputError("a pose is taken only while SLAM does not know where it is")
        if map_id not in self._map_of:
            raise InputError(f"no keyframe of map '{map_id}' is known")
        self._given = (np.asarray(T_map_camera, np.float64), map_id)
        self._odometry.renew()

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

    def _find_itself(self, view: View, number: int) -> Joined | None:
        """Looks for landmarks of other maps in a new keyframe; joins maps where two views say the same."""
        if self._given is not None:
            (T_given, name), self._given = self._given, None
            return self._join(name, T_given @ invert(self._poses[number]), ())
        strange = np.array([name != self.map_id for name in self._map_of], bool)[: len(self._places.views)]
        if not strange.any():
            return None
        votes = []
        for candidate in self._places.candidates(view, strange, self.config.loop_candidates):
            found = self._places.confirm(view, candidate)
            if found is not None:
                T = self._poses[candidate] @ found.T @ invert(self._poses[number])
                votes.append(_Vote(number, candidate, found, T))
        votes = [v for v in votes if self._is_level(v.T)]
        if any(not self._agree(a, b) for a in votes for b in votes):
            return None  # two places look like this one
        self._votes = [v for v in self._votes if v.number > number - _VOTES_KEPT]
        for vote in sorted(votes, key=lambda v: -v.found.inliers):
            others = [v for v in self._votes if self._map_of[v.landmark] == self._map_of[vote.landmark]]
            agreeing = [v for v in others if self._agree(v, vote)]
            if agreeing and 2 * len(agreeing) >= len(others):
                self._votes = []
                return self._join(self._map_of[vote.landmark], vote.T, (vote, *agreeing))
        self._votes += votes
        return None

    def _agree(self, vote: _Vote, other: _Vote) -> bool:
        difference = invert(vote.T) @ other.T
        centre = self._poses[other.number, :3, 3]
        off = float(np.linalg.norm(difference[:3, :3] @ centre + difference[:3, 3] - centre))
        return off < _SAME_WAY[0] and rotation_angle(difference) < _SAME_WAY[1]

    def _is_level(self, T: np.ndarray) -> bool:
        """With wheels all maps stand on one floor: what would lift or tilt them is none."""
        if not (self.config.planar and self._last_wheels is not None):
            return True
        return abs(T[2, 3]) < _SAME_FLOOR[0] and float(np.arccos(np.clip(T[2, 2], -1.0, 1.0))) < _SAME_FLOOR[1]

    def _join(self, name: str, T: np.ndarray, votes: tuple[_Vote, ...]) -> Joined:
        """Makes the running map and another one: the older, earlier sessions' frame survives."""
        own = np.flatnonzero([other == self.map_id for other in self._map_of])
        if self.map_id == "":
            self._graph.move(own, T, release=self._first)
            joined = Joined(name, "", T)
        else:
            moved = np.flatnonzero([other == name for other in self._map_of])
            self._graph.move(moved, invert(T))
            joined = Joined(self.map_id, name, invert(T))
        for i, other in enumerate(self._map_of):
            if other == joined.joined_map_id:
                self._map_of[i] = joined.map_id
        self.map_id = joined.map_id
        self._poses = self._graph.poses()
        newest = len(self._poses) - 1
        for vote in votes:
            self._graph.connect(vote.landmark, vote.number, vote.found.T, vote.found.information, loop=True)
            self.loops.append((vote.landmark, vote.number))
        if not votes:
            nearest = min(
                (i for i, other in enumerate(self._map_of[: self._first]) if other == name),
                key=lambda i: float(np.linalg.norm(self._poses[i, :3, 3] - self._poses[newest, :3, 3])),
            )
            information = np.diag([_GIVEN_SIGMA[0] ** -2] * 3 + [_GIVEN_SIGMA[1] ** -2] * 3)
            self._graph.connect(nearest, newest, invert(self._poses[nearest]) @ self._poses[newest], information)
        return joined

    def _new_keyframe(self, step: OdometryStep, T_odom_camera: np.ndarray | None) -> int:
        if step.source == "first":
            T = self._T_start if T_odom_camera is None else T_odom_camera
        else:
            T = self._poses[-1] @ step.T_keyframe_camera
        number = self._graph.add(T)
        self._map_of.append(self.map_id)
        self._poses = self._graph.poses()
        if number == self._first:
            self._graph.hold(number, T)
        else:
            self._graph.connect(number - 1, number, step.T_keyframe_camera, step.information)
        if T_odom_camera is not None and self.config.planar:
            self._graph.hold_level(number, T_odom_camera, self.config.level_height, self.config.level_tilt)
        return number

    def _close_loops(self, view: View, number: int, joined: bool) -> tuple[tuple[int, ...], bool]:
        """Numbers of the keyframes that this one was tied to, and whether that, or a join before, moved anything."""
        loops = tuple(self._loops_of(view, number)) if number > 0 else ()
        if not loops and not joined:
            return (), False
        self.loops += [(earlier, number) for earlier in loops]
        before, self._poses = self._poses, self._graph.optimise()
        shift = np.linalg.norm(self._poses[:, :3, 3] - before[:, :3, 3], axis=1).max()
        return loops, bool(shift > self.config.correction) or joined

    def _loops_of(self, view: View, number: int) -> list[int]:
        sigma = self._graph.uncertainty(number)[:number]
        relative = invert(self._poses[number]) @ self._poses[:number]
        distance = np.linalg.norm(relative[:, :3, 3], axis=1)
        angle = np.arccos(np.clip(relative[:, 2, 2], -1.0, 1.0))
        loose = sigma[:, 0] > self.config.loop_uncertainty
        reach = self.config.loop_gate * sigma
        known = np.isfinite(sigma[:, 0])  # of what stands in another map nothing is known
        visible = known & loose & (distance < _VIEW_DISTANCE + reach[:, 0]) & (angle < _VIEW_ANGLE + reach[:, 1])
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
