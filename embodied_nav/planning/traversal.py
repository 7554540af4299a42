"""Where the robot fits, and at what cost: occupancy inflated by the footprint. Knows nothing of goals and paths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from ..config import Config, param
from ..frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ..robot import RobotProfile


@dataclass(frozen=True)
class PlanningConfig(Config):
    """Settings of inflation, frontiers and paths."""

    clearance_margin: float = param(0.02, "distance kept beyond the footprint", unit="m", low=0.0, high=0.5)
    comfort_clearance: float = param(
        0.55, "clearance from which driving costs nothing extra", unit="m", low=0.1, high=2.0
    )
    tight_speed: float = param(0.25, "relative speed assumed at the least clearance", low=0.05, high=1.0)
    unknown_hop: float = param(0.30, "how far from known floor a path may leave it", unit="m", low=0.0, high=5.0)
    unknown_speed: float = param(0.3, "relative speed assumed over unknown floor", low=0.05, high=1.0)
    touched_speed: float = param(0.1, "relative speed assumed where the base has touched something", low=0.01, high=1.0)
    start_radius: float = param(
        0.30,
        "how far around the robot ground opens that is no nearer to obstacles than it",
        unit="m",
        low=0.1,
        high=1.0,
    )
    near_radius: float = param(
        1.0, "blind ground near the robot that counts as free where in sight", unit="m", low=0.0, high=2.0
    )
    frontier_length: float = param(0.40, "shortest frontier worth a visit", unit="m", low=0.05, high=2.0)
    frontier_split: float = param(3.0, "longer frontiers are split", unit="m", low=0.5, high=20.0)
    hole_area: float = param(0.6, "smaller enclosed unknown spots are no frontier", unit="m^2", low=0.0, high=10.0)


class TraversalMap:
    """Traversability of one occupancy grid for the robot's size.

    Args:
        touched: Nx2 (x, y) m in the grid's frame, where the base had contact with something that no sensor saw. Paths
            avoid these places where the detour is short; they are not blocked, since the obstacle's extent is unknown.
    """

    def __init__(
        self,
        grid: OccupancyGrid,
        robot: RobotProfile,
        config: PlanningConfig | None = None,
        touched: np.ndarray | None = None,
    ) -> None:
        self.grid, self.robot, self.config = grid, robot, config or PlanningConfig()
        self._touched = np.empty((0, 2)) if touched is None else touched
        self._radius = robot.footprint_radius + self.config.clearance_margin
        self._known = grid.data == FREE

    # Computed on first use: most map updates only check a path against the clearance.

    @cached_property
    def clearance(self) -> np.ndarray:
        """HxW float32, m to the nearest occupied cell's border."""
        return clearance_of(self.grid)

    @cached_property
    def passable(self) -> np.ndarray:
        """HxW bool, where the robot's centre may be: known floor, or unknown within a short hop of it."""
        import cv2

        hop = int(self.config.unknown_hop / self.grid.resolution)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * hop + 1, 2 * hop + 1))
        near_known = cv2.dilate(self._known.view(np.uint8), disc).view(np.bool_)
        return near_known & (self.grid.data != OCCUPIED) & (self.clearance >= self._radius)

    @cached_property
    def speed(self) -> np.ndarray:
        """HxW float32, relative speed in (0, 1]: slow near obstacles, over unknown cells, where contact occurred."""
        c = self.config
        comfort = np.clip((self.clearance - self._radius) / max(c.comfort_clearance - self._radius, 1e-3), 0.0, 1.0)
        speed = (c.tight_speed + (1.0 - c.tight_speed) * comfort).astype(np.float32)
        speed[~self._known] *= c.unknown_speed
        speed[self.doubtful] *= c.touched_speed
        return speed

    @cached_property
    def doubtful(self) -> np.ndarray:
        """HxW bool, where the footprint would be close to a contact point."""
        cells = self.grid.cells(self._touched)
        cells = cells[((cells >= 0) & (cells < self.grid.data.shape)).all(axis=1)]
        touched = np.zeros(self.grid.data.shape, dtype=np.bool_)
        touched[tuple(cells.T)] = True
        return _distance_to(touched, self.grid.resolution) < self._radius + 2.0 * self.grid.resolution

    @cached_property
    def comfortable(self) -> np.ndarray:
        """HxW bool, passable known floor with ample clearance; path shortcuts stay within it."""
        ample = min(self.config.comfort_clearance, self._radius + 0.15)
        return self.passable & self._known & (self.clearance >= ample) & ~self.doubtful

    def around(self, xy: tuple[float, float]) -> np.ndarray:
        """``passable`` (copy) with a way out for a robot at ``xy`` that stands too close to an obstacle.

        Cells around it become passable if their clearance is at least the robot's: it may leave, not get closer.
        """
        passable = self.passable.copy()
        row, column = (int(v) for v in self.grid.cells(np.asarray(xy)))
        reach = int(np.ceil(self.config.start_radius / self.grid.resolution))
        rows, columns = passable.shape
        r0, r1 = max(0, row - reach), min(rows, row + reach + 1)
        c0, c1 = max(0, column - reach), min(columns, column + reach + 1)
        if r0 >= r1 or c0 >= c1:
            return passable
        rr, cc = np.mgrid[r0:r1, c0:c1]
        disc = (rr - row) ** 2 + (cc - column) ** 2 <= reach**2
        inside = 0 <= row < rows and 0 <= column < columns
        room = min(float(self.clearance[row, column]), self._radius) if inside else 0.0
        fits = (self.grid.data[r0:r1, c0:c1] != OCCUPIED) & (self.clearance[r0:r1, c0:c1] >= room)
        passable[r0:r1, c0:c1] |= disc & fits
        passable[row, column] = True
        return passable


def clearance_of(grid: OccupancyGrid) -> np.ndarray:
    """HxW float32, m from each cell's centre to the border of the nearest occupied cell; 0 on occupied cells."""
    distance = _distance_to(grid.data == OCCUPIED, grid.resolution)
    return np.maximum(distance - np.float32(0.5 * grid.resolution), 0.0)


def _distance_to(mask: np.ndarray, resolution: float) -> np.ndarray:
    """HxW float32, m between centres to the nearest cell in the mask; 1e3 if the mask is empty."""
    import cv2

    if not mask.any():
        return np.full(mask.shape, 1e3, dtype=np.float32)
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * np.float32(resolution)


class NearGround:
    """Floor too near for the camera to see, treated as free where it is in line of sight of the robot.

    A camera on a mast does not see the floor under and just around the robot. Cells within ``radius`` of where the
    robot stood, in line of sight over unoccupied cells, were either seen from farther away or are assumed free.
    """

    def __init__(self, radius: float) -> None:
        self.radius = radius
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._mask: np.ndarray = np.zeros((0, 0), dtype=np.bool_)
        self._corner = (0, 0)

    def fork(self) -> NearGround:
        """Another one that remembers the same ground."""
        other = NearGround(self.radius)
        other._mask, other._corner = self._mask.copy(), self._corner
        return other

    def fill(self, grid: OccupancyGrid, xy: tuple[float, float]) -> OccupancyGrid:
        """The grid with unknown near cells set free; adds the cells around ``xy`` (robot, map frame) to the mask."""
        if self.radius <= 0:
            return grid
        self._fit(grid)
        row, column = (int(v) for v in grid.cells(np.asarray(xy)))
        reach = int(round(self.radius / grid.resolution))
        _mark_in_sight(grid.data, row, column, reach, self._mask)
        data = np.where(self._mask & (grid.data == UNKNOWN), np.int8(FREE), grid.data)
        return OccupancyGrid(data, grid.resolution, grid.origin, grid.stamp)

    def _fit(self, grid: OccupancyGrid) -> None:
        """Shifts the stored mask to the grid's window, which may have grown or moved by whole cells."""
        corner = (int(round(grid.origin[0] / grid.resolution)), int(round(grid.origin[1] / grid.resolution)))
        if self._mask.shape == grid.data.shape and corner == self._corner:
            return
        moved: np.ndarray = np.zeros(grid.data.shape, dtype=np.bool_)
        dx, dy = self._corner[0] - corner[0], self._corner[1] - corner[1]
        old: np.ndarray = self._mask
        r0, r1 = max(0, dy), min(moved.shape[0], dy + old.shape[0])
        c0, c1 = max(0, dx), min(moved.shape[1], dx + old.shape[1])
        if r0 < r1 and c0 < c1:
            moved[r0:r1, c0:c1] = old[r0 - dy : r1 - dy, c0 - dx : c1 - dx]
        self._mask, self._corner = moved, corner


@njit(cache=True, nogil=True)
def _mark_in_sight(data, row, column, reach, mask):
    """Sets ``mask`` (HxW bool) for cells within ``reach`` (cells) of (row, column) that no occupied cell hides."""
    height, width = data.shape
    for r in range(max(0, row - reach), min(height, row + reach + 1)):
        for c in range(max(0, column - reach), min(width, column + reach + 1)):
            if (r - row) ** 2 + (c - column) ** 2 > reach * reach or mask[r, c]:
                continue
            n = 2 * max(abs(r - row), abs(c - column), 1)
            clear = True
            for k in range(n + 1):
                rr = int(np.floor(row + (r - row) * k / n + 0.5))
                cc = int(np.floor(column + (c - column) * k / n + 0.5))
                if not (0 <= rr < height and 0 <= cc < width) or data[rr, cc] > 0:
                    clear = False
                    break
            mask[r, c] = clear
