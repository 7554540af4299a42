"""The truth of a running episode: for metrics, teachers and localisation by truth. Knows nothing of sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..frames import Episode
from ..geometry import invert, pose2d
from .dynamics import DifferentialDrive
from .interface import Room, SceneObject
from .mesh import SceneDescription
from .navigable import NavigableMap
from .noise import OdometryNoise
from .raster_scene import RasterScene

#: A way point of a route is passed within this distance, m.
WAYPOINT_RADIUS = 1.5


@dataclass(frozen=True, eq=False)
class LoadedScene:
    """A scene made ready: its meaning, its drawing and where the robot may stand."""

    description: SceneDescription
    raster: RasterScene
    navigable: NavigableMap


class EmbeddedPrivileged:
    """See :class:`~.interface.Privileged`. It follows the running episode and is void after the next reset."""

    def __init__(self, scene: LoadedScene, episode: Episode, drive: DifferentialDrive, odometry: OdometryNoise) -> None:
        self._scene, self._episode, self._drive, self._odometry = scene, episode, drive, odometry
        self._T_scene_map = pose2d(*drive.pose)
        self.waypoints_passed = 0
        self.moved()

    def moved(self) -> None:
        """The simulator tells that the robot moved: way points count in their order."""
        x, y, _ = self._drive.pose
        waypoints = self._episode.waypoints
        while self.waypoints_passed < len(waypoints):
            wx, wy = waypoints[self.waypoints_passed][:2]
            if math.hypot(wx - x, wy - y) > WAYPOINT_RADIUS:
                return
            self.waypoints_passed += 1

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
        """Where the robot may stand."""
        return self._scene.navigable

    @property
    def path_length(self) -> float:
        """m driven since reset."""
        return self._drive.path_length

    @cached_property
    def region(self) -> np.ndarray:
        """HxW bool, the cells of the navigable map where STOP succeeds."""
        from .episodes import goal_region

        return goal_region(self._scene.description, self._scene.navigable, self._episode)

    @cached_property
    def distance_field(self) -> np.ndarray:
        """HxW float32, shortest drivable distance (m) of each cell to the goal region, inf where there is none."""
        from ..planning.geodesic import fast_marching

        navigable = self._scene.navigable
        return fast_marching(navigable.free, np.argwhere(self.region), navigable.grid.resolution)

    def geodesic(self, position: tuple[float, float] | None = None) -> float:
        """Shortest drivable distance (m) from a scene position (default: the robot) to the episode's goal region."""
        xy = np.asarray(self._drive.pose[:2] if position is None else position, dtype=np.float64)
        return interpolated(self.distance_field, self._scene.navigable.grid, xy)

    def shortest_path(self) -> np.ndarray:
        """Nx2 float64 scene positions from the robot to the goal region; 0x2 where it cannot be reached."""
        from ..planning.geodesic import descend

        navigable = self._scene.navigable
        xy = np.array(self._drive.pose[:2])
        cell = _nearest_finite(self.distance_field, navigable.grid.cells(xy))
        if cell is None:
            return np.empty((0, 2))
        cells = descend(self.distance_field, cell, navigable.free)
        path = navigable.grid.centers(cells)
        return np.vstack([xy[None], path[1:]]) if len(path) > 1 else np.vstack([xy[None], path])

    def goal_reached(self) -> bool:
        """Whether STOP here would be a success: in the goal region, after all way points."""
        if self.waypoints_passed < len(self._episode.waypoints):
            return False
        grid = self._scene.navigable.grid
        cell = grid.cells(np.array(self._drive.pose[:2]))
        return bool(grid.inside(cell) and self.region[tuple(cell)])


def interpolated(field: np.ndarray, grid, xy: np.ndarray) -> float:
    """A distance field (HxW, m) between its cells' centres; beside obstacles from the nearest cell that has a value.

    Within a goal's own cell the distance is 0: goal regions are made of cells.
    """
    cell = grid.cells(xy)
    if grid.inside(cell) and field[tuple(cell)] == 0.0:
        return 0.0
    column, row = (xy - np.asarray(grid.origin)) / grid.resolution - 0.5
    r, c = math.floor(row), math.floor(column)
    s, t = column - c, row - r
    if 0 <= r < field.shape[0] - 1 and 0 <= c < field.shape[1] - 1:
        around = field[r : r + 2, c : c + 2].astype(np.float64)
        if np.isfinite(around).all():
            return float(np.array([1.0 - t, t]) @ around @ np.array([1.0 - s, s]))
    nearest = _nearest_finite(field, cell)
    if nearest is None:
        return math.inf
    return float(field[nearest]) + float(np.linalg.norm(grid.centers(np.array(nearest)) - xy))


def _nearest_finite(field: np.ndarray, cell: np.ndarray, reach: int = 4) -> tuple[int, int] | None:
    """The nearest cell with a finite value at most ``reach`` cells away."""
    r, c = int(cell[0]), int(cell[1])
    r0, c0 = max(0, r - reach), max(0, c - reach)
    window = field[r0 : max(0, r + reach + 1), c0 : max(0, c + reach + 1)]
    found = np.argwhere(np.isfinite(window))
    if not len(found):
        return None
    found += np.array([r0, c0])
    best = found[np.argmin(((found - (r, c)) ** 2).sum(axis=1))]
    return int(best[0]), int(best[1])
