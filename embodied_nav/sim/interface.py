"""The interface of simulators (the embedded one, Habitat). Knows nothing of their implementations or of agents.

The scene's frame follows ROS (x, y on the floor, z up, floor at 0). Odometry starts at the identity at reset; the map
frame that agents see is odometry's start, so poses do not reveal the scene's frame. What a real robot could not know is
on :class:`Privileged`, which agents never get.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..frames import Episode
from ..geometry import Camera

#: Least share of the picture's pixels that show the target for it to be "in view".
IN_VIEW = 0.01


@dataclass(frozen=True, eq=False)
class Observation:
    """The robot's sensor data of one instant.

    Attributes:
        stamp: ns of simulated time since reset, starting above 0.
        color: HxWx3 uint8 RGB.
        depth: HxW float32, m along the optical axis, NaN invalid.
        instance_ids: HxW int32, 0 is structure or nothing.
        T_odom_base: 4x4 float64, wheel odometry (drifts by configuration).
        T_base_camera: 4x4 float64, base_link from optical frame.
    """

    stamp: int
    color: np.ndarray
    depth: np.ndarray
    instance_ids: np.ndarray
    T_odom_base: np.ndarray
    T_base_camera: np.ndarray


@dataclass(frozen=True, eq=False)
class StepResult:
    """Result of one control step: pose by odometry, measured twist, whether the footprint touched something."""

    stamp: int
    T_odom_base: np.ndarray
    linear: float
    angular: float
    collided: bool


@dataclass(frozen=True)
class SceneObject:
    """A thing in the scene. ``extent`` is its size along its own axes, ``yaw`` turns them about z (m, rad)."""

    instance: int
    category: str
    color: str
    room: int
    center: tuple[float, float, float]
    extent: tuple[float, float, float]
    yaw: float = 0.0


@dataclass(frozen=True)
class Room:
    """A named room: ``kind`` ("kitchen") and its axis-aligned rectangles (x0, y0, x1, y1), m."""

    id: int
    kind: str
    rectangles: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class TargetView:
    """What a picture shows of a thing.

    Attributes:
        picture_share: 0 to 1, share of the picture's pixels that show it: unoccluded, counted by instance ids.
        view_share: 0 to 1, of what can be seen of it from the camera's place, turning to any side (its unoccluded
            part, by solid angle), the share that lies inside the picture. 0 where nothing of it can be seen from here.
    """

    picture_share: float
    view_share: float

    @property
    def in_view(self) -> bool:
        """Whether at least :data:`IN_VIEW` of the picture shows it."""
        return self.picture_share >= IN_VIEW


class Simulator(Protocol):
    """A scene with a robot in it."""

    def reset(self, episode: Episode, seed: int = 0) -> Observation:
        """Places the robot at the episode's start; ``seed`` determines all noise, bit for bit."""

    def step(self, v: float, w: float, dt: float) -> StepResult:
        """Drives with the commanded velocity (m/s, rad/s) for dt seconds under the robot's limits."""

    def step_action(self, action: str) -> StepResult:
        """Habitat's discrete actions: ``stop``, ``forward`` (0.25 m), ``left``, ``right`` (configured angle)."""

    def observe(self) -> Observation:
        """Renders the sensors at the robot's present pose."""

    def camera(self) -> Camera:
        """Intrinsics of the rendered images."""

    def privileged(self) -> Privileged:
        """The ground truth, for metrics, teachers and ground-truth localisation; never given to an agent."""

    def close(self) -> None:
        """Frees the simulator's resources."""


class Privileged(Protocol):
    """The ground truth that only the simulator knows."""

    def pose(self) -> tuple[float, float, float]:
        """True (x, y, yaw) in the scene's frame."""

    def T_map_odom(self) -> np.ndarray:
        """4x4 that corrects odometry's drift: truth = T_map_odom @ T_odom_base, map = the pose at reset."""

    def T_scene_map(self) -> np.ndarray:
        """4x4, scene from map (the true pose at reset)."""

    def objects(self) -> tuple[SceneObject, ...]:
        """Everything with an instance id."""

    def rooms(self) -> tuple[Room, ...]:
        """All rooms."""

    def geodesic(self, position: tuple[float, float] | None = None) -> float:
        """Shortest drivable distance (m) from a scene position (default: the robot) to the episode's goal region."""

    def shortest_path(self) -> np.ndarray:
        """Nx2 scene positions from the robot to the goal region."""

    def goal_reached(self) -> bool:
        """Whether STOP here would be a success."""

    def goal_within(self, distance: float) -> bool | None:
        """The same if things must be at most ``distance`` (m) away; None where no goal is a thing."""

    def target_view(self) -> TargetView | None:
        """What the camera's picture, without noise, shows of the target; None where no goal is a thing."""
