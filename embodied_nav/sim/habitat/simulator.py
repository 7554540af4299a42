"""The package's Simulator on a world of Habitat: velocities and actions, frames, odometry. Knows nothing of agents.

Velocities are integrated over the time that is simulated, never over the time that passes: step(v, w, dt) accelerates
within the robot's limits and drives small arcs on the navmesh, each as long as a control step's share of dt. The map is
level with the floor under the start, and base_link lies on the floor: the camera is ``camera_height`` above the agent's
position, which floats above the floor with the navmesh, so T_base_camera is higher by that.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...config import Config, param
from ...errors import InputError
from ...frames import ACTIONS, Episode
from ...geometry import Camera, habitat_from_ros, invert, pose2d, ros_from_habitat
from ...robot import RobotProfile
from ..dynamics import accelerated
from ..interface import Observation, Room, SceneObject, StepResult, TargetView
from ..noise import OdometryNoise
from .datasets import DatasetEpisode
from .meshes import MeshWorld
from .remote import DEFAULT_SERVER, RemoteWorld
from .world import NAVMESH, Placed, SceneSetup, World

#: Stamp of the first observation, ns: above 0, since 0 means "no time" in ROS.
FIRST_STAMP = 50_000_000
#: Longest arc of a step, s: as long as the embedded simulator's.
_ARC = 0.02


@dataclass(frozen=True)
class HabitatConfig(Config):
    """Camera, actions and navmesh of a Habitat world; a protocol sets most of them."""

    server: str = param(DEFAULT_SERVER, "HOST:PORT of habitat/server.py; with commas between, one for each process")
    token_file: str = param("", "file of its token; empty: where a server on this machine puts it", path=True)
    timeout: float = param(120.0, "longest wait for a reply: loading a scene is one", unit="s", low=1.0, high=3600.0)
    width: int = param(640, "image width", unit="px", low=16, high=4096)
    height: int = param(480, "image height", unit="px", low=16, high=4096)
    hfov: float = param(math.radians(79.0), "horizontal field of view", unit="rad", low=0.2, high=2.8)
    min_depth: float = param(0.0, "nearer depth is not known", unit="m", low=0.0, high=5.0)
    max_depth: float = param(10.0, "farther depth is not known", unit="m", low=0.5, high=1000.0)
    forward_step: float = param(0.25, "length of the action 'forward'", unit="m", low=0.01, high=2.0)
    turn_angle: float = param(math.radians(30.0), "angle of 'left' and 'right'", unit="rad", low=0.01, high=math.pi)
    sliding: bool = param(True, "slide along obstacles (allow_sliding) instead of stopping at them")
    navmesh: str = param(
        "auto",
        "the scene's own (shipped), built (build), or built where its own is for another agent (auto, as habitat-lab); "
        "without habitat-sim it is always built",
        choices=NAVMESH,
    )
    navmesh_float: float = param(
        0.10, "how high the navmesh, and so the agent's position, lies above the floor", unit="m", low=0.0, high=0.5
    )
    climb: float = param(0.2, "highest step that the agent takes", unit="m", low=0.0, high=1.0)
    slope: float = param(math.radians(45.0), "steepest floor", unit="rad", low=0.0, high=1.5)
    odometry_noise: bool = param(False, "odometry drifts; in Habitat it does not")
    odometry_drift: float = param(0.02, "standard deviation of odometry's error a metre", unit="m/m", low=0.0, high=0.5)
    rotation_drift: float = param(
        math.radians(0.5), "standard deviation of heading's error a metre", unit="rad/m", low=0.0, high=0.5
    )
    turn_drift: float = param(
        0.01, "standard deviation of heading's error a radian turned", unit="rad/rad", low=0.0, high=0.5
    )
    gpu: int = param(0, "number of the graphics card that habitat-sim uses", low=0, high=63)
    scene_dataset: str = param("", "scene_dataset_config.json of habitat-sim, for its semantics", path=True)


class WorldSimulator:
    """A robot in a world of Habitat; see :class:`~..interface.Simulator`. It runs episodes of a data set only.

    Args:
        world: where it is. robot: footprint, limits, camera mount. config: camera, actions, navmesh.
    """

    def __init__(self, world: World, robot: RobotProfile | None = None, config: HabitatConfig | None = None) -> None:
        self.world, self.robot, self.config = world, robot or RobotProfile(), config or HabitatConfig()
        self._camera = Camera.from_hfov(self.config.width, self.config.height, self.config.hfov)
        self._T_base_camera = self.robot.T_base_camera()
        self._T_base_camera[2, 3] += world.navmesh_float
        self._stamp, self._velocity = FIRST_STAMP, (0.0, 0.0)
        self._placed = Placed(np.zeros(3, dtype=np.float32), np.array([0.0, 0.0, 0.0, 1.0]))

    def reset(self, episode: Episode, seed: int = 0) -> Observation:
        """Loads the episode's scene, places the robot exactly at its start and returns the first observation.

        Raises:
            InputError: an episode that is not of a data set, a scene that cannot be loaded.
        """
        if not isinstance(episode, DatasetEpisode):
            raise InputError(
                f"episode {episode.id}: runs in Habitat are of a data set; give --dataset and --scenes-dir"
            )
        self.world.load(self._setup(episode.scene))
        self.world.set_goals(np.array(episode.targets))
        self._placed = self.world.place(episode.position, episode.rotation)
        self.episode = episode
        self._stamp, self._velocity = FIRST_STAMP, (0.0, 0.0)
        on = float(self.config.odometry_noise)
        rng = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(episode.id.encode())]))
        drifts = (on * self.config.odometry_drift, on * self.config.rotation_drift)
        self._odometry = OdometryNoise(*drifts, rng, on * self.config.turn_drift)
        self._truth = WorldPrivileged(self)
        return self.observe()

    def step(self, v: float, w: float, dt: float) -> StepResult:
        """Drives with the commanded velocity (m/s, rad/s) for dt simulated seconds under the robot's limits."""
        if not dt > 0.0:
            raise ValueError(f"dt = {dt} s must be positive")
        arcs, self._velocity = accelerated(self.robot, self._velocity, (v, w), dt, max(1, math.ceil(dt / _ARC - 1e-9)))
        before = self.pose
        self._placed = self.world.move(arcs)
        if self._placed.collided and not self.config.sliding:
            self._velocity = (0.0, self._velocity[1])
        return self._advance(before, dt, *self._velocity)

    def step_action(self, action: str) -> StepResult:
        """Habitat's discrete actions, as habitat-sim itself carries them out; they take as long as at top speed.

        Raises:
            InputError: the action is not one of stop, forward, left, right.
        """
        if action not in ACTIONS:
            raise InputError(f"action '{action}': must be one of {', '.join(ACTIONS)}")
        before, self._velocity, seconds = self.pose, (0.0, 0.0), 0.05
        if action == "forward":
            seconds = self.config.forward_step / self.robot.max_linear
        elif action != "stop":
            seconds = self.config.turn_angle / self.robot.max_angular
        if action != "stop":
            self._placed = self.world.act(action)
        forward = self.config.forward_step / seconds if action == "forward" else 0.0
        turn = {"left": 1.0, "right": -1.0}.get(action, 0.0) * self.config.turn_angle / seconds
        return self._advance(before, seconds, forward, turn, stopped=action == "stop")

    def observe(self) -> Observation:
        """The cameras' pictures: RGB, depth in m with NaN where nothing is known; no instance ids."""
        color, depth = self.world.observe()
        known = (depth > 0.0) & (depth >= self.config.min_depth) & (depth < self.config.max_depth)
        depth = np.where(known, depth, np.float32(np.nan)).astype(np.float32)
        ids = np.zeros(depth.shape, dtype=np.int32)
        return Observation(self._stamp, color, depth, ids, self._T_odom_base(), self._T_base_camera.copy())

    def camera(self) -> Camera:
        """Intrinsics of the observations' images, by Habitat's convention."""
        return self._camera

    def privileged(self) -> WorldPrivileged:
        """The ground truth of the running episode; never given to an agent."""
        return self._truth

    def close(self) -> None:
        """Ends the world."""
        self.world.close()

    @property
    def position(self) -> np.ndarray:
        """3 float32, the agent's position as the world has it, in Habitat's axes."""
        return self._placed.position

    @property
    def pose(self) -> tuple[float, float, float]:
        """True (x, y, yaw) in the scene's frame with ROS axes."""
        x, y, _ = ros_from_habitat(self._placed.position.astype(np.float64))
        _, qy, _, qw = self._placed.rotation
        return float(x), float(y), math.remainder(2.0 * math.atan2(qy, qw), 2.0 * math.pi)

    @property
    def base_height(self) -> float:
        """z of base_link in the scene, m: the agent's position less the navmesh's float."""
        return float(self._placed.position[1]) - self.world.navmesh_float

    def _T_odom_base(self) -> np.ndarray:
        """Odometry; its height is the true one, since stairs are no drift."""
        T = self._odometry.T_odom_base.copy()
        T[2, 3] = self.base_height - self._truth.floor
        return T

    def _advance(
        self, before: Sequence[float], seconds: float, linear: float, angular: float, stopped: bool = False
    ) -> StepResult:
        (x0, y0, yaw0), (x1, y1, yaw1) = before, self.pose
        c, s = math.cos(yaw0), math.sin(yaw0)
        forward, left = c * (x1 - x0) + s * (y1 - y0), c * (y1 - y0) - s * (x1 - x0)
        self._odometry.update(forward, left, math.remainder(yaw1 - yaw0, 2.0 * math.pi))
        self._stamp += round(seconds * 1e9)
        collided = self._placed.collided and not stopped
        # Wheels may slip where something holds the robot up: what counts is how far it came.
        return StepResult(
            self._stamp, self._T_odom_base(), forward / seconds if collided else linear, angular, collided
        )

    def _setup(self, scene: str) -> SceneSetup:
        c, robot = self.config, self.robot
        return SceneSetup(
            scene, c.width, c.height, c.hfov, robot.camera_height, robot.camera_forward, robot.camera_pitch,
            robot.footprint_radius, robot.height, c.climb, c.slope, c.forward_step, c.turn_angle, c.sliding, c.navmesh,
            c.gpu, c.scene_dataset,
        )  # fmt: skip


class HabitatSimulator(WorldSimulator):
    """habitat-sim behind a socket. Entry "habitat" of the table of simulators.

    Args:
        scene: must be None; scenes are those of the episodes.
        server: HOST:PORT instead of the settings' one.

    Raises:
        InputError: no server there, or one that refuses.
    """

    def __init__(
        self, scene: None = None, robot: RobotProfile | None = None, config: HabitatConfig | None = None,
        server: str = "",
    ) -> None:  # fmt: skip
        config = config or HabitatConfig()
        first = server or config.server.split(",")[0].strip()
        super().__init__(RemoteWorld(first, config.token_file, config.timeout, config.navmesh_float), robot, config)


class MeshSimulator(WorldSimulator):
    """The same episodes without habitat-sim: scenes' files drawn by our own rasteriser, a navmesh of our own."""

    def __init__(
        self, scene: None = None, robot: RobotProfile | None = None, config: HabitatConfig | None = None
    ) -> None:
        config = config or HabitatConfig()
        super().__init__(MeshWorld(config.navmesh_float), robot, config)


def dataset_simulator(name: str, robot: RobotProfile, parameters: Mapping[str, Any], number: int = 0) -> WorldSimulator:
    """What runs a Habitat data set: ``habitat`` is habitat-sim, ``embedded`` our own rasteriser and navmesh.

    Args:
        parameters: by dotted name. number: of the process, for which of several servers it is.

    Raises:
        InputError: another name; no server.
    """
    return world_simulator(name, robot, HabitatConfig.from_parameters(parameters, "habitat"), number)


def world_simulator(name: str, robot: RobotProfile, config: HabitatConfig, number: int = 0) -> WorldSimulator:
    """As :func:`dataset_simulator`, with its settings made already."""
    if name == "embedded":
        return MeshSimulator(None, robot, config)
    if name != "habitat":
        raise InputError(f"simulator '{name}': runs no Habitat data set; give habitat or embedded")
    servers = [server.strip() for server in config.server.split(",")]
    return HabitatSimulator(None, robot, config, servers[number % len(servers)])


class WorldPrivileged:
    """See :class:`~..interface.Privileged`: of the running episode; objects and rooms are not known."""

    def __init__(self, simulator: WorldSimulator) -> None:
        self._simulator, self._episode = simulator, simulator.episode
        snapped = simulator.world.snap(simulator.position.tolist())
        #: z of the floor under the start, in the scene: where the map's z is 0.
        self.floor = simulator.base_height if snapped is None else float(snapped[1]) - simulator.world.navmesh_float
        self._T_scene_map = pose2d(*simulator.pose, z=self.floor)

    def pose(self) -> tuple[float, float, float]:
        """True (x, y, yaw) in the scene's frame."""
        return self._simulator.pose

    def position(self) -> np.ndarray:
        """3 float32, the agent's position in Habitat's axes, as its measures take it."""
        return self._simulator.position

    def T_map_odom(self) -> np.ndarray:
        """4x4 that corrects odometry's drift: truth = T_map_odom @ T_odom_base."""
        T_scene_base = pose2d(*self._simulator.pose, z=self._simulator.base_height)
        return invert(self._T_scene_map) @ T_scene_base @ invert(self._simulator._T_odom_base())

    def T_scene_map(self) -> np.ndarray:
        """4x4, scene from map: the true pose at reset, on the floor."""
        return self._T_scene_map.copy()

    def objects(self) -> tuple[SceneObject, ...]:
        """None: Habitat's files name goals, not things."""
        return ()

    def rooms(self) -> tuple[Room, ...]:
        """None."""
        return ()

    def geodesic(self, position: tuple[float, float] | None = None) -> float:
        """Shortest distance (m) from a scene position, at the robot's height, or from the robot to the targets."""
        if position is None:
            return self._simulator.world.distance()
        height = float(self._simulator.position[1])
        return self._simulator.world.distance(habitat_from_ros(np.array([*position[:2], height])).tolist())

    def shortest_path(self) -> np.ndarray:
        """Nx2 scene positions from the robot to the nearest target."""
        return np.asarray(ros_from_habitat(self._simulator.world.path())[:, :2], dtype=np.float64)

    def goal_reached(self) -> bool:
        """Whether STOP here would be a success."""
        return self.geodesic() < self._episode.radius

    def goal_within(self, distance: float) -> bool | None:
        """None: what a thing's surface is, the data set does not say."""
        return None

    def target_view(self) -> TargetView | None:
        """None, as above."""
        return None
