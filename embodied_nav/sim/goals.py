"""Goal regions of episodes on the navigable map, distances and paths to them. Knows nothing of how episodes are made.

Object and relation goals: cells at most 1.0 m from the object's side with line of sight to it; room goals: cells
inside; point goals and way points of routes: cells within 1.5 m with line of sight to the point.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from ..frames import Episode, Goal
from ..planning.geodesic import descend, fast_marching
from .interface import Room, SceneObject
from .mesh import SceneDescription
from .navigable import NavigableMap, box_distance

OBJECT_DISTANCE = 1.0
WAYPOINT_DISTANCE = 1.5
_POINT_HEIGHT = 0.85


class GoalRegion:
    """The goal of one episode as masks and distance fields, used by a simulator's privileged interface.

        region = GoalRegion(description, navigable, episode)
        passed = region.passed(x, y, passed)                # call whenever the robot moved; starts at 0
        region.reached(x, y, passed)                        # would STOP succeed here?
        region.distance(x, y, passed)                       # m still to drive, by the way points not yet passed

    Attributes:
        mask: HxW bool, cells where STOP succeeds once all way points are passed.
        waypoints: HxW bool for each way point, then for each of the episode's stages, cells where it counts as passed.
    """

    def __init__(self, description: SceneDescription, navigable: NavigableMap, episode: Episode) -> None:
        self.navigable, self.episode, self._description = navigable, episode, description
        self.mask = goal_region(description, navigable, episode)
        points = [point_region(navigable, point) for point in episode.waypoints]
        self.waypoints = (*points, *(_any_region(description, navigable, stage) for stage in episode.stages))

    @cached_property
    def fields(self) -> tuple[np.ndarray, ...]:
        """HxW float32 distances (m); entry k is for k way points passed, the last one is the distance to the goal."""
        free, resolution = self.navigable.free, self.navigable.resolution
        fields = [fast_marching(free, np.argwhere(self.mask), resolution)]
        for waypoint in reversed(self.waypoints):
            cells = np.argwhere(waypoint)
            cells = cells[np.isfinite(fields[0][tuple(cells.T)])]
            fields.insert(0, fast_marching(free, cells, resolution, offsets=fields[0][tuple(cells.T)]))
        return tuple(fields)

    def within(self, x: float, y: float, distance: float) -> bool | None:
        """Whether STOP at (x, y) succeeds if things must be at most ``distance`` (m) away; None: no goal is a thing."""
        goals = [goal for goal in self.episode.goals if goal.kind == "object"]
        cell = self._cell(x, y)
        regions = (one_goal_region(self._description, self.navigable, goal, distance) for goal in goals)
        return any(bool(region[cell]) for region in regions) if goals else None

    @property
    def distance_field(self) -> np.ndarray:
        """HxW float32, m to the goal's region, ignoring way points."""
        return self.fields[-1]

    def passed(self, x: float, y: float, passed: int = 0) -> int:
        """Number of way points passed after the robot was at (x, y), if ``passed`` were passed before."""
        row, column = self._cell(x, y)
        while passed < len(self.waypoints) and self.waypoints[passed][row, column]:
            passed += 1
        return passed

    def reached(self, x: float, y: float, passed_waypoints: int | None = None) -> bool:
        """Whether STOP at (x, y) succeeds; ``passed_waypoints`` None means all of them."""
        row, column = self._cell(x, y)
        all_passed = passed_waypoints is None or passed_waypoints >= len(self.waypoints)
        return all_passed and bool(self.mask[row, column])

    def distance(self, x: float, y: float, passed_waypoints: int | None = None) -> float:
        """m along the shortest path to the goal from (x, y), by the way points from number ``passed_waypoints`` on."""
        k = len(self.waypoints) if passed_waypoints is None else passed_waypoints
        field = self.fields[k]
        cell = self._cell(x, y)
        if not np.isfinite(field[cell]):
            cell = self.navigable.nearest_free((x, y))
        return float(field[cell])

    def path(self, x: float, y: float, passed_waypoints: int | None = None) -> np.ndarray:
        """Nx2 float64 positions (m) of that path, corners only, beginning with (x, y)."""
        k = len(self.waypoints) if passed_waypoints is None else passed_waypoints
        cell = self._cell(x, y)
        corners: list[np.ndarray] = []
        if not self.navigable.free[cell]:
            cell = self.navigable.nearest_free((x, y))
        for field in self.fields[k:]:
            piece = descend(field, cell, self.navigable.free)
            if not len(piece):
                return np.empty((0, 2))
            corners.append(piece if not corners else piece[1:])
            cell = (int(piece[-1, 0]), int(piece[-1, 1]))
        path = self.navigable.grid.centers(np.concatenate(corners))
        path[0] = x, y
        return path

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        row, column = self.navigable.cell((x, y))
        height, width = self.mask.shape
        return min(max(row, 0), height - 1), min(max(column, 0), width - 1)


def goal_region(description: SceneDescription, navigable: NavigableMap, episode: Episode) -> np.ndarray:
    """HxW bool: free cells where STOP succeeds (any goal of the episode, ignoring way points)."""
    return _any_region(description, navigable, episode.goals)


def _any_region(description: SceneDescription, navigable: NavigableMap, goals: Iterable[Goal]) -> np.ndarray:
    """HxW bool: free cells in the region of any of the goals."""
    region = np.zeros_like(navigable.free)
    for goal in goals:
        region |= one_goal_region(description, navigable, goal)
    return region


def one_goal_region(
    description: SceneDescription, navigable: NavigableMap, goal: Goal, distance: float = OBJECT_DISTANCE
) -> np.ndarray:
    """HxW bool of a single goal; ``distance`` (m) is for objects only.

    For an object or room that the scene does not have, its position is the goal.
    """
    if goal.kind == "object":
        for thing in description.objects:
            if thing.instance == goal.instance:
                return object_region(navigable, thing, distance)
    if goal.kind == "room":
        for room in description.rooms:
            if room.id == goal.room:
                return room_region(navigable, room)
    return point_region(navigable, goal.position)


def object_region(navigable: NavigableMap, thing: SceneObject, distance: float = OBJECT_DISTANCE) -> np.ndarray:
    """HxW bool: free cells at most ``distance`` (m) from an object's side from which it is in sight."""
    reach = distance + float(np.hypot(*thing.extent[:2])) / 2.0
    cells = _cells_around(navigable, thing.center, reach)
    near = box_distance(navigable.grid.centers(cells), thing.center, thing.extent, thing.yaw) <= distance
    cells = cells[near]
    return _mask(navigable, cells[navigable.sees_box(cells, thing.center, thing.extent, thing.yaw)])


def room_region(navigable: NavigableMap, room: Room) -> np.ndarray:
    """HxW bool: free cells whose centre lies in the room."""
    region = np.zeros_like(navigable.free)
    for x0, y0, x1, y1 in room.rectangles:
        cells = _cells_around(navigable, ((x0 + x1) / 2, (y0 + y1) / 2), max(x1 - x0, y1 - y0) / 2)
        x, y = navigable.grid.centers(cells).T
        region |= _mask(navigable, cells[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)])
    return region


def point_region(navigable: NavigableMap, point, distance: float = WAYPOINT_DISTANCE) -> np.ndarray:
    """HxW bool: free cells within ``distance`` (m) of a point, no wall between."""
    cells = _cells_around(navigable, point, distance)
    offset = navigable.grid.centers(cells) - np.asarray(point, dtype=np.float64)[:2]
    cells = cells[np.hypot(offset[:, 0], offset[:, 1]) <= distance]
    box = (float(point[0]), float(point[1]), _POINT_HEIGHT), (0.1, 0.1, 0.2)
    seen = navigable.sees_box(cells, *box, 0.0)
    # A point inside something tall (a wardrobe) is visible from nowhere: then use the distance alone.
    return _mask(navigable, cells[seen] if seen.any() else cells)


def _cells_around(navigable: NavigableMap, point, reach: float) -> np.ndarray:
    """Nx2 free cells in the square of ``reach`` (m) around a point."""
    row, column = navigable.cell(point)
    n = int(np.ceil(reach / navigable.resolution)) + 1
    r, c = max(row - n, 0), max(column - n, 0)
    window = navigable.free[r : max(row + n + 1, 0), c : max(column + n + 1, 0)]
    return np.argwhere(window) + np.array([r, c])


def _mask(navigable: NavigableMap, cells: np.ndarray) -> np.ndarray:
    mask = np.zeros_like(navigable.free)
    mask[tuple(cells.T)] = True
    return mask
