"""Plans paths on an occupancy grid by fast marching. Knows nothing of goals' meaning and of velocities."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..frames import OCCUPIED, OccupancyGrid
from ..robot import RobotProfile
from .geodesic import descend, fast_marching
from .traversal import PlanningConfig, TraversalMap


class Planner:
    """Plans on one grid; caches the travel field of the last start, so that many goals from one place cost one field.

    Args:
        touched: Nx2 (x, y) m, where contact with something unseen was detected; see :class:`TraversalMap`.
    """

    def __init__(
        self,
        grid: OccupancyGrid,
        robot: RobotProfile,
        config: PlanningConfig | None = None,
        touched: np.ndarray | None = None,
    ) -> None:
        self.map = TraversalMap(grid, robot, config, touched)
        self._start: tuple[int, int] | None = None
        self._field = np.empty((0, 0), dtype=np.float32)
        self._open = np.empty((0, 0), dtype=np.bool_)

    @property
    def grid(self) -> OccupancyGrid:
        """The occupancy grid."""
        return self.map.grid

    def field_from(self, xy: tuple[float, float]) -> np.ndarray:
        """HxW float32 cost (m at full speed, longer near obstacles and over unknown) from ``xy``, inf unreachable."""
        row, column = (int(v) for v in self.grid.cells(np.asarray(xy, dtype=np.float64)))
        cell = (row, column)
        if cell != self._start:
            self._open = self.map.around(xy)
            self._field = fast_marching(self._open, np.array([cell]), self.grid.resolution, self.map.speed)
            self._start = cell
        return self._field

    def plan(
        self, start_xy: tuple[float, float], goal_xy: tuple[float, float], tolerance: float = 0.3
    ) -> np.ndarray | None:
        """The path from start to goal.

        Args:
            start_xy, goal_xy: (x, y) m in the grid's frame.
            tolerance: m; an unreachable goal is replaced by the nearest reachable cell within this distance.

        Returns:
            Nx2 float64 (x, y) corners, the start first; None where no path exists.
        """
        field = self.field_from(start_xy)
        goal = self.nearest_reachable(field, goal_xy, tolerance)
        if goal is None:
            return None
        corners = descend(field, goal, self.map.comfortable)
        if len(corners) == 0:
            return None
        path = self.grid.centers(corners[::-1])
        path[0] = start_xy
        if len(path) == 1:
            path = np.vstack([path, self.grid.centers(np.asarray(goal))])
        return path

    def nearest_reachable(self, field: np.ndarray, xy: tuple[float, float], tolerance: float) -> tuple[int, int] | None:
        """The cell of finite cost nearest to a position, within ``tolerance`` (m); None where there is none."""
        row, column = (int(v) for v in self.grid.cells(np.asarray(xy, dtype=np.float64)))
        inside = 0 <= row < field.shape[0] and 0 <= column < field.shape[1]
        if inside and np.isfinite(field[row, column]):
            return row, column
        n = int(np.ceil(tolerance / self.grid.resolution))
        r0, c0 = max(0, row - n), max(0, column - n)
        if row + n < 0 or column + n < 0:
            return None
        rows, columns = np.nonzero(np.isfinite(field[r0 : row + n + 1, c0 : column + n + 1]))
        if len(rows) == 0:
            return None
        gap = (rows + r0 - row) ** 2 + (columns + c0 - column) ** 2
        best = int(np.argmin(gap))
        if gap[best] > n * n:
            return None
        return int(rows[best] + r0), int(columns[best] + c0)

    def is_clear(self, path: np.ndarray, margin: float = 0.0) -> bool:
        """Whether a path (Nx2, m) keeps the footprint plus ``margin`` (m) clear of all known obstacles.

        The surroundings of the first point are not checked: the robot stands there.
        """
        points = densify(path, self.grid.resolution)
        away = np.linalg.norm(points - points[0], axis=1) > self.map.config.start_radius
        least = self.map.robot.footprint_radius + margin
        return _keeps_off(self.grid.data, self.grid.cells(points[away]), self.grid.resolution, least)


def path_length(path: np.ndarray) -> float:
    """Length (m) of a polyline Nx2."""
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def densify(path: np.ndarray, step: float) -> np.ndarray:
    """Points (Mx2) along a polyline (Nx2), at most ``step`` (m) apart, corners included."""
    path = np.asarray(path, dtype=np.float64)
    if len(path) < 2:
        return path.copy()
    pieces = []
    for a, b in zip(path[:-1], path[1:], strict=True):
        n = max(1, int(np.ceil(np.linalg.norm(b - a) / step)))
        pieces.append(a + (b - a) * (np.arange(n) / n)[:, None])
    return np.vstack([*pieces, path[-1:]])


@njit(cache=True, nogil=True)
def _keeps_off(data, cells, resolution, least):
    """Whether all cells (Nx2; those outside are ignored) have at least ``least`` m of clearance (see ``clearance_of``).

    A path has few cells, so searching around each is much cheaper than a distance transform of the whole map.
    """
    height, width = data.shape
    half = np.float32(0.5 * resolution)
    reach = int(np.ceil(least / resolution)) + 2
    for i in range(cells.shape[0]):
        row, column = cells[i]
        if not (0 <= row < height and 0 <= column < width):
            continue
        for r in range(max(0, row - reach), min(height, row + reach + 1)):
            for c in range(max(0, column - reach), min(width, column + reach + 1)):
                if data[r, c] != OCCUPIED:
                    continue
                centers = np.float32(np.sqrt(np.float32((r - row) ** 2 + (c - column) ** 2))) * np.float32(resolution)
                if max(centers - half, np.float32(0.0)) < np.float32(least):
                    return False
    return True
