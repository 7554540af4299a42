"""The embedded simulator: a robot with an RGB-D camera in a triangle scene. Knows nothing of ROS and of agents."""

from __future__ import annotations

import math
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import Config, param
from ..errors import InputError
from ..frames import ACTIONS, Episode, Goal
from ..geometry import Camera, pose2d
from ..robot import RobotProfile
from .dynamics import DifferentialDrive
from .interface import Observation, StepResult
from .mesh import SceneDescription, SceneMesh, load_scene
from .navigable import NavigableMap
from .noise import DepthNoise, OdometryNoise
from .privileged import EmbeddedPrivileged, LoadedScene
from .raster_scene import RasterScene
from .rasterizer import Rasterizer

#: Stamp of the first observation, ns: above 0, since 0 means "no time" in ROS.
FIRST_STAMP = 50_000_000
#: Height (m) above the floor at which the view from above cuts off walls and ceilings.
CUT_HEIGHT = 2.0


@dataclass(frozen=True)
class SimulatorConfig(Config):
    """Camera, noise and motion of the embedded simulator."""

    width: int = param(320, "image width", unit="px", low=16, high=4096)
    height: int = param(240, "image height", unit="px", low=16, high=4096)
    hfov: float = param(math.pi / 2, "horizontal field of view", unit="rad", low=0.2, high=2.8)
    near: float = param(0.05, "nearest surface that is drawn", unit="m", low=0.001, high=1.0)
    far: float = param(20.0, "farthest surface that is drawn", unit="m", low=1.0, high=200.0)
    depth_noise: bool = param(True, "structured-light noise on depth (Redwood's model)")
    depth_far: float = param(10.0, "farthest depth that the noisy sensor gives", unit="m", low=0.5, high=50.0)
    odometry_noise: bool = param(True, "odometry drifts")
    odometry_drift: float = param(0.02, "standard deviation of odometry's error a metre", unit="m/m", low=0.0, high=0.5)
    rotation_drift: float = param(
        math.radians(0.5), "standard deviation of heading's error a metre", unit="rad/m", low=0.0, high=0.5
    )
    turn_drift: float = param(
        0.01, "standard deviation of heading's error a radian turned", unit="rad/rad", low=0.0, high=0.5
    )
    sliding: bool = param(True, "slide along obstacles (as Habitat's allow_sliding) instead of stopping at them")
    forward_step: float = param(0.25, "length of the action 'forward'", unit="m", low=0.01, high=2.0)
    turn_angle: float = param(math.radians(15.0), "angle of 'left' and 'right'", unit="rad", low=0.01, high=math.pi)
    scene_cache: int = param(4, "scenes kept ready", low=1, high=64)


class SceneCache:
    """LRU cache of scenes by name: an apartment's ("1003", "large-1003") or the path of a .glb or .ply file."""

    def __init__(self, robot: RobotProfile, capacity: int = 4) -> None:
        self._robot, self._capacity = robot, capacity
        self._scenes: OrderedDict[str, LoadedScene] = OrderedDict()

    def get(self, name: str) -> LoadedScene:
        """The scene, made on first use.

        Raises:
            InputError: neither a seed nor a readable mesh.
        """
        if name not in self._scenes:
            self._scenes[name] = self.make(describe(name))
            if len(self._scenes) > self._capacity:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(name)
        return self._scenes[name]

    def make(self, description: SceneDescription) -> LoadedScene:
        """Prepares a scene without caching it."""
        return LoadedScene(description, RasterScene(description.mesh), NavigableMap(description, self._robot))

    def clear(self) -> None:
        """Forgets all scenes."""
        self._scenes.clear()


def warm_up(progress: Callable[[str], None] | None = None) -> float:
    """JIT warm-up: compiles, or loads from the cache on disk, all kernels of the simulator.

    Args:
        progress: called with a status line before each part.

    Returns:
        Seconds that it took.
    """
    say = progress or (lambda line: None)
    started = time.perf_counter()
    say("simulator: compiling the renderer, the base and the noise (once; kept on disk)")
    simulator = EmbeddedSimulator(SceneDescription(_corner()), config=SimulatorConfig(width=32, height=24))
    goal = Goal("point", (2.0, 0.0, 0.0))
    simulator.reset(Episode("warm-up", "0", "route", "go", (0.0, 0.0, 0.0), (goal,), 2.0))
    simulator.step(0.1, 0.1, 0.05)
    simulator.step_action("forward")
    simulator._rasterizer.render_depth_ids(simulator._T_base_camera)
    say("simulator: compiling shortest paths")
    simulator.privileged().geodesic()
    simulator.privileged().shortest_path()
    return time.perf_counter() - started


def _corner() -> SceneMesh:
    """The smallest scene: a floor and a wall."""
    vertices = np.array([[-4, -4, 0], [9, -4, 0], [-4, 9, 0], [-4, -4, 3]])
    faces = np.array([[0, 1, 2], [0, 1, 3]])
    texture = np.full((2, 2, 3), 200, dtype=np.uint8)
    zeros = np.zeros(2, dtype=np.int32)
    return SceneMesh(vertices, faces, np.zeros((2, 3, 2)), zeros, (texture,), zeros, np.full((2, 3), 255))


def describe(name: str) -> SceneDescription:
    """The scene of an episode's ``scene``: an apartment by its seed or a mesh file.

    Raises:
        InputError: neither.
    """
    if Path(name).suffix:
        return load_scene(name)
    from .apartments import generate, named

    try:
        return generate(*named(name))
    except InputError as error:
        raise InputError(f"{error}; or a .glb or .ply file") from None


class EmbeddedSimulator:
    """See :class:`~.interface.Simulator`.

    Args:
        scene: used for every episode; None takes each episode's own.
        robot: shape, limits, camera mount.
        config: camera, noise, motion.
    """

    def __init__(
        self,
        scene: SceneDescription | None = None,
        robot: RobotProfile | None = None,
        config: SimulatorConfig | None = None,
    ) -> None:
        self.robot, self.config = robot or RobotProfile(), config or SimulatorConfig()
        self._camera = Camera.from_hfov(self.config.width, self.config.height, self.config.hfov)
        self._T_base_camera = self.robot.T_base_camera()
        self._cache = SceneCache(self.robot, self.config.scene_cache)
        self._fixed = None if scene is None else self._cache.make(scene)
        self._drive = DifferentialDrive(self.robot, None, self.config.sliding)
        self.episode: Episode | None = None
        self.scene: LoadedScene | None = None

    def reset(self, episode: Episode, seed: int = 0) -> Observation:
        """Places the robot at the episode's start and returns the first observation.

        Args:
            episode: its scene is loaded unless the simulator has a fixed one.
            seed: with the episode's id, drives all noise.

        Raises:
            InputError: the scene cannot be loaded or the start does not lie in free space.
        """
        scene = self._fixed or self._cache.get(episode.scene)
        x, y, yaw = (float(value) for value in episode.start)
        if not scene.navigable.is_free((x, y)):
            raise InputError(
                f"episode {episode.id}: its start ({x:.2f}, {y:.2f}) lies in an obstacle or outside of scene "
                f"{episode.scene}; was it made for another scene or robot?"
            )
        if scene is not self.scene:
            self.scene = scene
            self._rasterizer = Rasterizer(scene.raster, self._camera, self.config.near, self.config.far)
            self._drive.set_map(scene.navigable)
        self.episode = episode
        self._drive.reset(x, y, yaw)
        self._stamp = FIRST_STAMP
        motion, sensor = np.random.SeedSequence([seed, zlib.crc32(episode.id.encode())]).spawn(2)
        on, c = float(self.config.odometry_noise), self.config
        self._odometry = OdometryNoise(
            on * c.odometry_drift, on * c.rotation_drift, np.random.default_rng(motion), on * c.turn_drift
        )
        self._depth_noise = None
        if self.config.depth_noise:
            self._depth_noise = DepthNoise(int(sensor.generate_state(1, np.uint64)[0]), self.config.depth_far)
        self._privileged = EmbeddedPrivileged(
            scene, episode, self._drive, self._odometry, self._rasterizer, self._T_base_camera
        )
        return self.observe()

    def step(self, v: float, w: float, dt: float) -> StepResult:
        """Drives with the commanded velocity (m/s, rad/s) for dt seconds under the robot's limits."""
        if not dt > 0.0:
            raise ValueError(f"dt = {dt} s must be positive")
        before = self._drive.state[:3].copy()
        collided = self._drive.step(v, w, dt)
        return self._advance(before, dt, collided)

    def step_action(self, action: str) -> StepResult:
        """Habitat's discrete actions; they end at rest and take as long as at top speed.

        Raises:
            InputError: the action is not one of stop, forward, left, right.
        """
        step, turn = self.config.forward_step, self.config.turn_angle
        moves = {"stop": (0.0, 0.0), "forward": (step, 0.0), "left": (0.0, turn), "right": (0.0, -turn)}
        if action not in moves:
            raise InputError(f"action '{action}': must be one of {', '.join(ACTIONS)}")
        distance, angle = moves[action]
        before = self._drive.state[:3].copy()
        collided = self._drive.move(distance, angle)
        seconds = max(distance / self.robot.max_linear, abs(angle) / self.robot.max_angular, 0.05)
        return self._advance(before, seconds, collided, distance / seconds, angle / seconds)

    def observe(self) -> Observation:
        """Renders the sensors at the robot's present pose; noise differs from call to call."""
        color, depth, instances = self._rasterizer.render(pose2d(*self._drive.pose) @ self._T_base_camera)
        if self._depth_noise is not None:
            depth = self._depth_noise(depth)
        return Observation(self._stamp, color, depth, instances, self._odometry.T_odom_base, self._T_base_camera.copy())

    def render(self, T_scene_camera: np.ndarray, camera: Camera, near: float | None = None) -> np.ndarray:
        """HxWx3 uint8 image of the scene by any other camera, for display; a large ``near`` (m) cuts off ceilings."""
        far = None if near is None else near + self.config.far
        return self._rasterizer.with_camera(camera, near, far).render(T_scene_camera)[0]

    def render_top(self, height: int = 720) -> np.ndarray:
        """Image (height x W x 3 uint8) of the whole scene from above without ceiling, x to the right and y up."""
        assert self.scene is not None, "reset comes first"
        low, high = self.scene.description.mesh.bounds
        (dx, dy, _), pixels = high - low, height / float(high[1] - low[1])
        distance = 4.0 * float(max(dx, dy))  # from far away walls occlude little of the floor behind them
        width = max(1, math.ceil(dx * pixels))
        floor = distance + float(high[2]) - self.scene.description.floor_z
        focal = pixels * (floor - CUT_HEIGHT)
        camera = Camera(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)
        T = np.diag([1.0, -1.0, -1.0, 1.0])
        T[:3, 3] = (low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, floor + self.scene.description.floor_z
        return self._rasterizer.with_camera(camera, floor - CUT_HEIGHT, floor + 1.0).render(T)[0]

    def camera(self) -> Camera:
        """Intrinsics of the observations' images."""
        return self._camera

    def privileged(self) -> EmbeddedPrivileged:
        """The ground truth of the running episode; never given to an agent."""
        return self._privileged

    def close(self) -> None:
        """Frees the scenes; the simulator must be reset before further use."""
        self._cache.clear()
        self.scene = self.episode = None

    def _advance(
        self,
        before: np.ndarray,
        seconds: float,
        collided: bool,
        linear: float | None = None,
        angular: float | None = None,
    ) -> StepResult:
        x0, y0, yaw0 = before
        x1, y1, yaw1 = self._drive.state[:3]
        c, s = math.cos(yaw0), math.sin(yaw0)
        forward, left = c * (x1 - x0) + s * (y1 - y0), c * (y1 - y0) - s * (x1 - x0)
        self._odometry.update(forward, left, yaw1 - yaw0)
        self._stamp += round(seconds * 1e9)
        self._privileged.moved()
        v, w = self._drive.velocity if linear is None or angular is None else (linear, angular)
        if collided:  # wheels may slip: use the base's actual displacement
            v = forward / seconds
        return StepResult(self._stamp, self._odometry.T_odom_base, v, w, collided)
