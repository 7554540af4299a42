"""What can be evaluated: the agent with a reasoner, the oracle, a blind random walk. Knows no files and metrics."""

from __future__ import annotations

import random
from typing import Protocol

import numpy as np

from ..agent import Agent
from ..errors import InputError
from ..frames import Episode, RGBDFrame, Velocity
from ..geometry import invert, transform_points
from ..perception import create as create_perception
from ..planning import PursuitConfig, RegulatedPurePursuit
from ..reasoner import policies
from ..robot import RobotProfile
from ..sim.interface import Observation, Simulator
from .localization import Correction


class Driver(Protocol):
    """Drives a robot through one episode.

    Attributes:
        needs_camera: whether :meth:`see` must be called; without it nothing is rendered.
        stopped: whether it called STOP.
    """

    needs_camera: bool
    stopped: bool

    def reset(self, episode: Episode, simulator: Simulator, seed: int) -> None:
        """Starts an episode; the simulator was reset before."""

    def correct(self, correction: Correction) -> None:
        """Moves what it remembers: SLAM has moved past poses. Comes before the frame that showed it is seen."""

    def see(self, observation: Observation, T_map_odom: np.ndarray) -> None:
        """Takes in a camera frame."""

    def command(self, stamp: int, T_odom_base: np.ndarray, T_map_odom: np.ndarray) -> Velocity:
        """The next velocity (20 Hz)."""


#: Names that :func:`create_driver` knows.
NAMES = (*(name for name in policies.NAMES if name != "random"), "random", "oracle")


def create_driver(agent: str, perception: str, robot: RobotProfile) -> Driver:
    """A driver by the agent's name.

    Raises:
        InputError: unknown agent or perception.
    """
    if agent not in NAMES:
        raise InputError(f"unknown agent '{agent}'; known: {', '.join(NAMES)}")
    backend = create_perception(perception)
    if agent == "random":
        return RandomWalk(robot)
    if agent == "oracle":
        return Oracle(robot)
    return AgentDriver(Agent(robot, backend, policies.create(agent)))


class AgentDriver:
    """The agent as it is, fed with the simulator's camera."""

    needs_camera = True

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    @property
    def stopped(self) -> bool:
        """Whether the agent called STOP."""
        return self.agent.status != "running"

    def reset(self, episode: Episode, simulator: Simulator, seed: int) -> None:
        """Hands over the instruction; ``simulator`` perception also gets the instances' names."""
        self._camera = simulator.camera()
        if self.agent.perception.name == "simulator":
            objects = simulator.privileged().objects()
            self.agent.perception.set_instances({o.instance: (o.category, o.color) for o in objects})
        self.agent.reset(episode.instruction)

    def correct(self, correction: Correction) -> None:
        """Moves the agent's keyframes, into another map where two became one."""
        joined = correction.joined
        if joined is not None:
            self.agent.join(joined.map_id, joined.joined_map_id, joined.T)
        self.agent.correct(correction.stamps, correction.poses)

    def see(self, observation: Observation, T_map_odom: np.ndarray) -> None:
        """Passes the observation on as a frame in map."""
        T_map_base = T_map_odom @ observation.T_odom_base
        frame = RGBDFrame(
            observation.stamp,
            self._camera,
            T_map_base @ observation.T_base_camera,
            observation.color,
            observation.depth,
            observation.instance_ids,
        )
        self.agent.observe(frame, T_map_base, observation.T_odom_base, observation.T_base_camera)

    def command(self, stamp: int, T_odom_base: np.ndarray, T_map_odom: np.ndarray) -> Velocity:
        """The agent's velocity."""
        return self.agent.control(stamp, T_odom_base)


class Oracle:
    """Follows the shortest path that only the simulator knows: what is the best that this robot could do."""

    needs_camera = False
    #: The shortest path touches every corner: follow it closely, and ask anew so as not to be pushed off it.
    _CLOSELY = PursuitConfig(
        goal_tolerance=0.02, lookahead_min=0.1, lookahead_max=0.15, turn_above=0.35, drive_below=0.05
    )
    _ASK_EVERY = 10  # commands

    def __init__(self, robot: RobotProfile) -> None:
        self._pursuit = RegulatedPurePursuit(self._CLOSELY, robot)
        self.stopped = False

    def reset(self, episode: Episode, simulator: Simulator, seed: int) -> None:
        """Asks for the way."""
        self._privileged = simulator.privileged()
        self._pursuit.reset()
        self._path, self._count = self._way(), 0
        self.stopped = False

    def correct(self, correction: Correction) -> None:
        """It remembers nothing."""

    def see(self, observation: Observation, T_map_odom: np.ndarray) -> None:
        """It needs no eyes."""

    def command(self, stamp: int, T_odom_base: np.ndarray, T_map_odom: np.ndarray) -> Velocity:
        """Along the path; STOP where that is a success."""
        self.stopped = self._privileged.goal_reached()
        self._count += 1
        if self._count % self._ASK_EVERY == 0:
            self._path = self._way()
        return self._pursuit.command(self._privileged.T_map_odom() @ T_odom_base, self._path, 0.05)

    def _way(self) -> np.ndarray | None:
        """Nx2 path in map, or None."""
        path = np.asarray(self._privileged.shortest_path(), dtype=np.float64)
        if len(path) == 0:
            return None
        legs = np.diff(path[:, :2], axis=0)
        back = np.flatnonzero((legs[1:] * legs[:-1]).sum(axis=1) < 0.0)
        if len(back):
            # At a way point the path turns back: a follower that looks ahead would turn before it is reached.
            path = path[: back[0] + 2]
        flat = np.column_stack([path[:, :2], np.zeros(len(path))])
        return transform_points(invert(self._privileged.T_scene_map()), flat)[:, :2]


class RandomWalk:
    """Walks and turns by chance and stops by chance, without looking: the floor of every table."""

    needs_camera = False
    _STOP_RATE = 1.0 / 40.0  # 1/s: 40 s a walk on average

    def __init__(self, robot: RobotProfile) -> None:
        self._robot = robot
        self.stopped = False

    def reset(self, episode: Episode, simulator: Simulator, seed: int) -> None:
        """Draws anew, by the episode."""
        self._random = random.Random(f"{seed}/{episode.id}")
        self.stopped = False
        self._until = 0
        self._velocity = Velocity()

    def correct(self, correction: Correction) -> None:
        """It remembers nothing."""

    def see(self, observation: Observation, T_map_odom: np.ndarray) -> None:
        """It does not look."""

    def command(self, stamp: int, T_odom_base: np.ndarray, T_map_odom: np.ndarray) -> Velocity:
        """Straight on for a while, then a turn."""
        if self._random.random() < self._STOP_RATE * 0.05:
            self.stopped = True
            return Velocity()
        if stamp >= self._until:
            if self._velocity.linear > 0:
                self._velocity = Velocity(0.0, self._random.choice((-1.0, 1.0)) * self._robot.max_angular)
                self._until = stamp + int(self._random.uniform(0.3, 2.0) * 1e9)
            else:
                self._velocity = Velocity(self._robot.max_linear, 0.0)
                self._until = stamp + int(self._random.uniform(1.0, 6.0) * 1e9)
        return self._velocity
