"""Ground truth of a running episode, for metrics, teachers and ground-truth localisation. Knows nothing of sensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..frames import Episode
from ..geometry import invert, pose2d
from .dynamics import DifferentialDrive
from .goals import GoalRegion
from .interface import Room, SceneObject, TargetView
from .last_metres import view_of
from .mesh import SceneDescription
from .navigable import NavigableMap
from .noise import OdometryNoise
from .raster_scene import RasterScene
from .rasterizer import Rasterizer


@dataclass(frozen=True, eq=False)
class LoadedScene:
    """A prepared scene: description, rasteriser arrays and navigable map."""

    description: SceneDescription
    raster: RasterScene
    navigable: NavigableMap


class EmbeddedPrivileged:
    """See :class:`~.interface.Privileged`. It follows the running episode and is invalid after the next reset."""

    def __init__(
        self,
        scene: LoadedScene,
        episode: Episode,
        drive: DifferentialDrive,
        odometry: OdometryNoise,
        rasterizer: Rasterizer,
        T_base_camera: np.ndarray,
    ) -> None:
        self._scene, self._episode, self._drive, self._odometry = scene, episode, drive, odometry
        self._rasterizer, self._T_base_camera = rasterizer, T_base_camera
        self._T_scene_map = pose2d(*drive.pose)
        self.waypoints_passed = 0
        self.moved()

    def moved(self) -> None:
        """Called by the simulator when the robot has moved, to count passed way points in order."""
        if self._episode.waypoints or self._episode.stages:
            self.waypoints_passed = self.region.passed(*self._drive.pose[:2], self.waypoints_passed)

    def pose(self) -> tuple[float, float, float]:
        """True (x, y, yaw) in the scene's frame."""
        return self._drive.pose

    def T_map_odom(self) -> np.ndarray:
        """4x4 that corrects odometry's drift: truth = T_map_odom @ T_odom_base, map = the pose at reset."""
        return invert(self._T_scene_map) @ pose2d(*self._drive.pose) @ invert(self._odometry.T_odom_base)

    def T_scene_map(self) -> np.ndarray:
        """4x4, scene from map (the true pose at reset)."""
        return self._T_scene_map.copy()

    def objects(self) -> tuple[SceneObject, ...]:
        """Everything with an instance id."""
        return self._scene.description.objects

    def rooms(self) -> tuple[Room, ...]:
        """All rooms."""
        return self._scene.description.rooms

    @property
    def navigable(self) -> NavigableMap:
        """The navigable map."""
        return self._scene.navigable

    @property
    def path_length(self) -> float:
        """m driven since reset."""
        return self._drive.path_length

    @cached_property
    def region(self) -> GoalRegion:
        """The goal region and distances to it; made on first use."""
        return GoalRegion(self._scene.description, self._scene.navigable, self._episode)

    def geodesic(self, position: tuple[float, float] | None = None) -> float:
        """Shortest drivable distance (m) from a scene position (default: the robot) to the episode's goal region.

        For a route, the path leads by the way points that are not passed yet.
        """
        x, y = self._drive.pose[:2] if position is None else position
        return self.region.distance(x, y, self.waypoints_passed)

    def shortest_path(self) -> np.ndarray:
        """Nx2 float64 scene positions from the robot to the goal region; 0x2 where it cannot be reached."""
        return self.region.path(*self._drive.pose[:2], self.waypoints_passed)

    def goal_reached(self) -> bool:
        """Whether STOP here would be a success: in the goal region, after all way points."""
        return self.region.reached(*self._drive.pose[:2], self.waypoints_passed)

    def goal_within(self, distance: float) -> bool | None:
        """The same if things must be at most ``distance`` (m) away; None where no goal is a thing."""
        return self.region.within(*self._drive.pose[:2], distance)

    def target_view(self) -> TargetView | None:
        """What the camera's picture, without noise, shows of the target; None where no goal is a thing."""
        known = {thing.instance for thing in self.objects()}
        targets = {goal.instance for goal in self._episode.goals if goal.kind == "object"} & known
        if not targets:
            return None
        return view_of(self._rasterizer, pose2d(*self._drive.pose) @ self._T_base_camera, targets)
