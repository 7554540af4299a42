"""The whole agent in one process: frames in, velocities out. Knows nothing of ROS and of simulators.

It connects the same components as the ROS nodes, in the same order: keyframe gate, perception, memory, navigator; path
follower, recovery, collision guard.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..frames import Decision, Keyframe, RGBDFrame, SemanticDelta, Velocity
from ..geometry import invert
from ..keyframes import KeyframeConfig, KeyframeGate
from ..memory import MemoryConfig, RetentionConfig, SpatialMemory
from ..perception import KnowsInstances, PerceptionBackend, PerceptionError, categories_of
from ..perception.encoders import Encoder, check_grid
from ..planning import PathFollower
from ..planning.stall import Stall
from ..reasoner import Navigator, NavigatorOutput, Policy, Sight
from ..robot import RobotProfile

if TYPE_CHECKING:
    from ..memory.submaps.correction import Correction

#: Smaller corrections by SLAM (m, rad) do not move a keyframe: a fifth of a voxel.
_MOVED = (0.01, 0.004)


class Agent:
    """Everything between a camera frame and a velocity.

    Args:
        looks: stores the keyframes' appearance, by which SLAM relocalises in a later session.
        beside: where given, the map that SLAM corrects is made again on its thread while frames come, and exchanged
            before the frame that finds it done; else at once, the same in every run.
        encoder: gives the memory the keyframes' image features; the memory's settings must have room for them
            (``encoders.with_features``). It is waited for, as perception is.

    Attributes:
        memory, gate, navigator, follower: the components, for reports and maps.
        decisions: all decisions since reset.
        keyframes, perception_calls: counts since reset; stale_keyframes: those that only the fallback has described;
            without_features: those that the encoder could not encode.
        seconds: stage -> list of wall seconds, one entry a call.
    """

    needs_camera = True

    def __init__(
        self,
        robot: RobotProfile,
        perception: PerceptionBackend,
        policy: Policy,
        *,
        memory: MemoryConfig | None = None,
        retention: RetentionConfig | None = None,
        keyframes: KeyframeConfig | None = None,
        navigator: Navigator | None = None,
        follower: PathFollower | None = None,
        looks: bool = False,
        encoder: Encoder | None = None,
        beside: Executor | None = None,
    ) -> None:
        self._encoder, self._beside = encoder, beside
        self._correcting: tuple[Correction, Future[None]] | None = None
        self.robot, self.perception = robot, perception
        self._looks = looks
        self.memory = SpatialMemory(memory or MemoryConfig(), retention)
        self.gate = KeyframeGate(keyframes or KeyframeConfig())
        self.navigator = navigator or Navigator(robot=robot, policy=policy)
        self.follower = follower or PathFollower(robot)
        self.stall = Stall()
        self.instruction = ""
        self.decisions: list[Decision] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._previous: Keyframe | None = None
        self._output: NavigatorOutput | None = None
        self._T_map_odom = np.eye(4)
        self._dead = ""
        self._late: deque[SemanticDelta] = deque()
        self.keyframes = self.perception_calls = self.stale_keyframes = self.without_features = 0

    def reset(self, instruction: str, memory: SpatialMemory | None = None, *, seed: str = "") -> None:
        """Starts on a new instruction in an unknown place.

        What perception cannot name, and the memory does not hold, is not searched for: ``status`` is ``failed`` then.

        Args:
            memory: of an earlier session, as loaded from its file; poses must be in its map. If the robot is not
                localised in that map yet, call ``begin_map`` first, and :meth:`join` once SLAM has relocalised.
            seed: not used: random policies have a seed of their own.

        Raises:
            InputError: the sentence names no target, or the memory has no room for the encoder's features.
        """
        dim = None if self._encoder is None else self._encoder.dim
        if memory is not None and dim not in (None, memory.config.feature_dim):
            raise InputError(f"the memory holds features of {memory.config.feature_dim} components, not of {dim}")
        known = () if memory is None else (*memory.objects(), *memory.place_objects())
        labels = {o.label for o in known}
        self.navigator.reset(instruction, labels, known)
        self.instruction = instruction
        if memory is None:
            self.memory.clear()
        else:
            self.memory = memory
        self.gate.reset()
        self.follower.reset()
        self.decisions.clear()
        self._late.clear()
        self.seconds.clear()
        self.stall.reset()
        assert self.navigator.instruction is not None
        sight = Sight(self.perception.name, categories_of(self.perception))
        self._dead = sight.refusal(self.navigator.instruction, labels)
        self._previous, self._output = None, None
        self.keyframes = self.perception_calls = self.stale_keyframes = self.without_features = 0

    @property
    def status(self) -> str:
        """``running``, ``stopped`` or ``failed``."""
        return "failed" if self._dead else self._output.status if self._output else "running"

    @property
    def reason(self) -> str:
        """The navigator's last reason, or that the base does not move."""
        unmoved = self._dead or (self.stall.reason if self.status == "failed" and self.stall.suspects else "")
        return unmoved or (self._output.reason if self._output else "")

    @property
    def decisions_without_answer(self) -> int:
        """Decisions since reset in which the rules decided, since the policy gave no answer."""
        return self.navigator.malformed

    def set_instances(self, names: Mapping[int, tuple[str, str]]) -> None:
        """Sets the names of instance ids, for perception back ends that read them; see :class:`~.driver.Driver`."""
        if isinstance(self.perception, KnowsInstances):
            self.perception.set_instances(dict(names))

    def observe(
        self,
        frame: RGBDFrame,
        T_map_base: np.ndarray,
        T_odom_base: np.ndarray | None = None,
        T_base_camera: np.ndarray | None = None,
    ) -> NavigatorOutput:
        """Processes one camera frame, and decides or replans if that is due.

        Args:
            frame: with its pose in map.
            T_map_base: 4x4, the robot at the frame's stamp.
            T_odom_base: the same by odometry; default: the pose in map.
            T_base_camera: camera mount; default: from the two poses.
        """
        T_odom_base = T_map_base if T_odom_base is None else T_odom_base
        if T_base_camera is None:
            T_base_camera = invert(T_map_base) @ frame.T_map_camera
        with _Clock(self.seconds["guard"]):
            self._T_map_odom = T_map_base @ invert(T_odom_base)
            if frame.depth is not None:
                guard = self.follower.guard
                guard.observe_depth(frame.stamp, frame.depth, frame.camera, T_base_camera, T_odom_base)
        self.remember(frame)
        with _Clock(self.seconds["objects"]):
            objects = (*self.memory.objects(), *self.memory.place_objects())
        with _Clock(self.seconds["occupancy"]):
            grid = self.memory.occupancy(self.robot.height)
        with _Clock(self.seconds["navigator"]):
            self.navigator.facing.look_through(frame.camera)
            output = self.navigator.update(frame.stamp, T_map_base, grid, objects, self.memory.rooms)
        if output.decision is not None:
            self.decisions.append(output.decision)
        self.follower.follow(output.path, output.heading, T_odom_base @ invert(T_map_base))
        self._output = output
        return output

    def remember(self, frame: RGBDFrame) -> None:
        """Takes a frame, with its pose in map, into the memory; decides nothing."""
        self._finish_correction()
        with _Clock(self.seconds["memory"]):
            self.memory.integrate(frame)
        with _Clock(self.seconds["keyframe"]):
            keyframe = self.gate.process(frame)
        if keyframe is not None:
            self._perceive(keyframe)
        with _Clock(self.seconds["memory"]):
            while self._late:
                self.navigator.hear(self._late[0])
                self.memory.add_delta(self._late.popleft())

    def add_delta(self, delta: SemanticDelta) -> None:
        """Takes what a slow back end says later of a keyframe of this run; the next frame uses it. From any thread."""
        self._late.append(delta)

    def correct(self, stamps: np.ndarray, poses: np.ndarray) -> int:
        """Applies SLAM's correction of past poses: the map moves with its keyframes. Call it before the next frame.

        Args:
            stamps: N int64 ns, ascending. poses: Nx4x4 T_map_camera of the frames of these stamps.

        Returns:
            How many keyframes moved.
        """
        with _Clock(self.seconds["correction"]):
            first = self.memory.sessions[-1]["first_keyframe"]
            known = [k for k in self.memory.keyframes.values() if k.id >= first]
            if not known or not len(stamps):
                return 0
            told = np.array([k.stamp for k in known], np.int64)
            at = np.minimum(np.searchsorted(stamps, told), len(stamps) - 1)
            here = np.array([self.memory.expected_pose(k.id) for k in known])
            elsewhere = (stamps[at] == told) & _are_moved(here, poses[at])
            moved = {known[k].id: poses[at[k]] for k in np.flatnonzero(elsewhere).tolist()}
            if moved and self._beside is None:
                self.memory.move_keyframes(moved)
                self.navigator.replan()
            elif moved:
                self._make_beside(self.memory.follow(moved))
        return len(moved)

    def _make_beside(self, correction: Correction | None) -> None:
        if correction is not None and self._beside is not None:
            self._correcting = correction, self._beside.submit(correction.run)

    def _finish_correction(self) -> None:
        """Exchanges the map with the corrected one once that is made beside; the next one is begun where one waits."""
        if self._correcting is None or not self._correcting[1].done():
            return
        with _Clock(self.seconds["correction"]):
            (correction, made), self._correcting = self._correcting, None
            made.result()
            if self.memory.is_pending(correction):
                self.memory.apply(correction)
                self.navigator.replan()
                self._make_beside(self.memory.next_correction())

    def join(self, map_id: str, joined_map_id: str, T: np.ndarray) -> None:
        """Merges two maps of the memory's file after SLAM has relocalised, see ``slam.Joined``. Call before next frame.

        Raises:
            InputError: the memory has no file, or the file has no such map.
        """
        with _Clock(self.seconds["correction"]):
            if joined_map_id:
                self.memory.absorb(joined_map_id, T)
                self.navigator.replan()
            else:
                self.memory.become(map_id, T)
                # Visited and given-up places are in coordinates of the other map.
                self.navigator.restart()

    def control(self, stamp: int, T_odom_base: np.ndarray) -> Velocity:
        """The velocity to drive now (20 Hz)."""
        with _Clock(self.seconds["control"]):
            self._dead = self._dead or self.stall.update(stamp, T_odom_base, self.follower.guard.passed)
            velocity = self.follower.command(stamp, T_odom_base)
            if len(self.follower.touched):
                self.navigator.touch(self.follower.touched, self._T_map_odom)
            return velocity

    def step(self, frame: RGBDFrame, T_map_base: np.ndarray, T_odom_base: np.ndarray | None = None) -> Velocity:
        """Observes and commands in one call, for camera and control at the same rate."""
        self.observe(frame, T_map_base, T_odom_base)
        return self.control(frame.stamp, T_map_base if T_odom_base is None else T_odom_base)

    def _perceive(self, keyframe: Keyframe) -> None:
        with _Clock(self.seconds["perception"]):
            delta = self.perception.perceive(self._previous, keyframe, self.instruction)
        with _Clock(self.seconds["memory"]):
            number = self.memory.add_keyframe(keyframe)
            if self._looks:
                from ..slam import look_of

                self.memory.add_look(number, **look_of(keyframe.frame))
            self.memory.add_delta(delta)
        self.navigator.hear(delta)
        if self._encoder is not None:
            self._give_features(self._encoder, keyframe)
        self._previous = keyframe
        self.keyframes += 1
        self.perception_calls += 1
        self.stale_keyframes += delta.stale

    def _give_features(self, encoder: Encoder, keyframe: Keyframe) -> None:
        with _Clock(self.seconds["encoder"]):
            try:
                grid = check_grid(encoder.encode(keyframe.frame), encoder.dim)
            except PerceptionError:
                self.without_features += 1
                return
        with _Clock(self.seconds["memory"]):
            self.memory.add_features(keyframe.id, grid)


def _are_moved(T: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which corrections of N poses (N x 4 x 4) are large enough to move a keyframe."""
    turned = np.arccos(np.clip((np.einsum("nij,nij->n", T[:, :3, :3], others[:, :3, :3]) - 1.0) / 2.0, -1.0, 1.0))
    return (np.linalg.norm(T[:, :3, 3] - others[:, :3, 3], axis=1) > _MOVED[0]) | (turned > _MOVED[1])


class _Clock:
    """Appends the seconds spent inside to a list."""

    def __init__(self, seconds: list[float]) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds.append(time.perf_counter() - self._start)
