"""The whole agent in one process: frames in, velocities out. Knows nothing of ROS and of simulators.

It wires the same components as the ROS nodes do, in the same order: keyframe gate, perception, memory, navigator;
path follower, recovery, collision guard.
"""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np

from .frames import Decision, RGBDFrame, Velocity
from .geometry import invert, rotation_angle, transform_points, yaw_of
from .keyframes import KeyframeConfig, KeyframeGate
from .memory import MemoryConfig, SpatialMemory
from .perception import PerceptionBackend
from .planning import CollisionGuard, Contact, PursuitConfig, Recovery, RegulatedPurePursuit
from .reasoner import Navigator, NavigatorOutput, Policy
from .robot import RobotProfile

#: A keyframe that SLAM moves less (m, rad) stays: a fifth of a voxel.
_MOVED = (0.01, 0.004)
_NOWHERE = np.zeros((0, 2))


class PathFollower:
    """Follows the navigator's newest plan in odom: pure pursuit, recovery when stuck, the guard as the last word.

    The plan is moved into odom once, when it comes: a later correction of the map never jerks the robot.

    Attributes:
        touched: Nx2 (x, y) m in odom, where the last command was found to push against, or slide along, something.
    """

    def __init__(
        self,
        robot: RobotProfile,
        pursuit: PursuitConfig | None = None,
        guard: CollisionGuard | None = None,
        recovery: Recovery | None = None,
        contact: Contact | None = None,
    ) -> None:
        self.pursuit = RegulatedPurePursuit(pursuit, robot)
        self.guard = guard or CollisionGuard(robot=robot)
        self.recovery = recovery or Recovery()
        self._contact = contact or Contact()
        self.reset()

    def reset(self) -> None:
        """Forgets plan, obstacles and motion."""
        self.pursuit.reset()
        self.guard.reset()
        self.recovery.reset()
        self._contact.reset()
        self.reason = ""
        self.touched = _NOWHERE
        self._plan: tuple[np.ndarray, float | None] | None = None
        self._path: np.ndarray | None = None
        self._heading: float | None = None
        self._last: int | None = None

    def follow(self, path: np.ndarray, heading: float | None, T_odom_map: np.ndarray) -> None:
        """Takes a plan in map (see :class:`NavigatorOutput`); an empty one stops, the same one changes nothing."""
        if self._plan is not None and heading == self._plan[1] and np.array_equal(path, self._plan[0]):
            return
        if len(path) == 0:
            self._plan, self._path, self._heading = None, None, None
            return
        points = np.column_stack([path, np.zeros(len(path))])
        self._plan = (path, heading)
        self._path = transform_points(T_odom_map, points)[:, :2]
        self._heading = None if heading is None else heading + yaw_of(T_odom_map)

    def command(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity to drive now; call it at 20 Hz with odometry at ``stamp`` (ns)."""
        velocity, self.reason = self.guard.filter(self.want(stamp, T_odom_base), T_odom_base)
        if self.recovery.active:
            self.reason = self.reason or "recovery"
        return velocity

    def want(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity that would be driven if nothing were in the way; :meth:`command` lets the guard look at it."""
        dt = 0.05 if self._last is None else min(max((stamp - self._last) * 1e-9, 0.0), 0.5)
        self._last = stamp
        wanted = self.pursuit.command(T_odom_base, self._path, dt, self._heading, self.guard.clearance)
        touch = self._contact.update(stamp, T_odom_base, self.guard.passed)
        self.touched = _NOWHERE
        if touch is not None:
            self.touched = self.guard.touched(stamp, T_odom_base, touch.bearing, touch.held)
        return self.recovery.update(stamp, T_odom_base, wanted, touch is not None and touch.held) or wanted

    @property
    def idle(self) -> bool:
        """Whether there is no plan to follow."""
        return self._path is None


class Agent:
    """Everything between a camera frame and a velocity.

    Args:
        looks: keeps what keyframes look like, by which SLAM finds itself in a later session.

    Attributes:
        memory, gate, navigator, follower: the components, for reports and maps.
        decisions: all decisions since reset.
        keyframes, perception_calls: counts since reset.
        seconds: stage -> list of wall seconds, one entry a call.
    """

    def __init__(
        self,
        robot: RobotProfile,
        perception: PerceptionBackend,
        policy: Policy,
        *,
        memory: MemoryConfig | None = None,
        keyframes: KeyframeConfig | None = None,
        navigator: Navigator | None = None,
        follower: PathFollower | None = None,
        looks: bool = False,
    ) -> None:
        self.robot, self.perception = robot, perception
        self._looks = looks
        self.memory = SpatialMemory(memory or MemoryConfig())
        self.gate = KeyframeGate(keyframes or KeyframeConfig())
        self.navigator = navigator or Navigator(robot=robot, policy=policy)
        self.follower = follower or PathFollower(robot)
        self.instruction = ""
        self.decisions: list[Decision] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._previous = None
        self._output: NavigatorOutput | None = None
        self._T_map_odom = np.eye(4)
        self.keyframes = self.perception_calls = 0

    def reset(self, instruction: str, memory: SpatialMemory | None = None) -> None:
        """Starts on a new instruction in an unknown place.

        Args:
            memory: of an earlier session, as loaded from its file; poses must be of its map. Where the robot does not
                know where it is in that, call its ``begin_map`` before, and :meth:`join` once SLAM knows.

        Raises:
            InputError: the sentence names nothing.
        """
        self.navigator.reset(instruction)
        self.instruction = instruction
        if memory is None:
            self.memory.clear()
        else:
            self.memory = memory
        self.gate.reset()
        self.follower.reset()
        self.decisions.clear()
        self.seconds.clear()
        self._previous, self._output = None, None
        self.keyframes = self.perception_calls = 0

    @property
    def status(self) -> str:
        """``running``, ``stopped`` or ``failed``."""
        return self._output.status if self._output else "running"

    @property
    def reason(self) -> str:
        """The navigator's last word."""
        return self._output.reason if self._output else ""

    def observe(
        self,
        frame: RGBDFrame,
        T_map_base: np.ndarray,
        T_odom_base: np.ndarray | None = None,
        T_base_camera: np.ndarray | None = None,
    ) -> NavigatorOutput:
        """Takes in one camera frame and makes up its mind.

        Args:
            frame: with its pose in map.
            T_map_base: 4x4, the robot at the frame's stamp.
            T_odom_base: the same by odometry; the map's pose where left out.
            T_base_camera: camera mount; from the two poses where left out.
        """
        T_odom_base = T_map_base if T_odom_base is None else T_odom_base
        if T_base_camera is None:
            T_base_camera = invert(T_map_base) @ frame.T_map_camera
        with _Clock(self.seconds["guard"]):
            self._T_map_odom = T_map_base @ invert(T_odom_base)
            if frame.depth is not None:
                guard = self.follower.guard
                guard.observe_depth(frame.stamp, frame.depth, frame.camera, T_base_camera, T_odom_base)
        with _Clock(self.seconds["memory"]):
            self.memory.integrate(frame)
        with _Clock(self.seconds["keyframe"]):
            keyframe = self.gate.process(frame)
        if keyframe is not None:
            self._perceive(keyframe)
        with _Clock(self.seconds["objects"]):
            objects = self.memory.objects()
        with _Clock(self.seconds["occupancy"]):
            grid = self.memory.occupancy(self.robot.height)
        with _Clock(self.seconds["navigator"]):
            output = self.navigator.update(frame.stamp, T_map_base, grid, objects)
        if output.decision is not None:
            self.decisions.append(output.decision)
        if self._output is None or output.path is not self._output.path or output.heading != self._output.heading:
            self.follower.follow(output.path, output.heading, T_odom_base @ invert(T_map_base))
        self._output = output
        return output

    def correct(self, stamps: np.ndarray, poses: np.ndarray) -> int:
        """SLAM has moved past poses: what hangs on moved keyframes moves with them. Call it before the next frame.

        Args:
            stamps: N int64 ns, ascending. poses: Nx4x4 T_map_camera of the frames of these stamps.

        Returns:
            How many keyframes moved.
        """
        with _Clock(self.seconds["correction"]):
            moved, first = {}, self.memory.sessions[-1]["first_keyframe"]
            for keyframe in (k for k in self.memory.keyframes.values() if k.id >= first):
                i = int(np.searchsorted(stamps, keyframe.stamp))
                if i < len(stamps) and stamps[i] == keyframe.stamp and _is_moved(keyframe.T_map_camera, poses[i]):
                    moved[keyframe.id] = poses[i]
            if moved:
                self.memory.move_keyframes(moved)
                self.navigator.replan()
        return len(moved)

    def join(self, map_id: str, joined_map_id: str, T: np.ndarray) -> None:
        """SLAM has found that two maps of the memory's file are one, see ``slam.Joined``. Comes before the next frame.

        Raises:
            InputError: the memory is in no file, or the file holds no such map.
        """
        with _Clock(self.seconds["correction"]):
            if joined_map_id:
                self.memory.absorb(joined_map_id, T)
                self.navigator.replan()
            else:
                self.memory.become(map_id, T)
                # Places that it has been to or given up are of the other map.
                self.navigator.reset(self.instruction)

    def control(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity to drive now (20 Hz)."""
        with _Clock(self.seconds["control"]):
            velocity = self.follower.command(stamp, T_odom_base)
            if len(self.follower.touched):
                self.navigator.touch(self.follower.touched, self._T_map_odom)
            return velocity

    def step(self, frame: RGBDFrame, T_map_base: np.ndarray, T_odom_base: np.ndarray | None = None) -> Velocity:
        """Observes and commands at once, where camera and control run at one rate."""
        self.observe(frame, T_map_base, T_odom_base)
        return self.control(frame.stamp, T_map_base if T_odom_base is None else T_odom_base)

    def _perceive(self, keyframe) -> None:
        with _Clock(self.seconds["perception"]):
            delta = self.perception.perceive(self._previous, keyframe, self.instruction)
        with _Clock(self.seconds["memory"]):
            number = self.memory.add_keyframe(keyframe)
            if self._looks:
                from .slam import look_of

                self.memory.add_look(number, **look_of(keyframe.frame))
            self.memory.add_delta(delta)
        self._previous = keyframe
        self.keyframes += 1
        self.perception_calls += 1


def _is_moved(T: np.ndarray, other: np.ndarray) -> bool:
    """Whether a correction is worth moving a keyframe for."""
    return bool(np.linalg.norm(T[:3, 3] - other[:3, 3]) > _MOVED[0] or rotation_angle(invert(T) @ other) > _MOVED[1])


class _Clock:
    """Appends the seconds spent inside to a list."""

    def __init__(self, seconds: list[float]) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds.append(time.perf_counter() - self._start)
