"""Ground-truth traversability of a scene for a robot, with clearance and line of sight. Knows nothing of tasks.

The scene's triangles are clipped at the robot's height and rasterised onto a grid conservatively: every cell that an
obstacle touches is blocked.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numba import njit

from ..frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from ..planning.geodesic import fast_marching
from ..robot import RobotProfile
from .clipping import clip
from .mesh import SceneDescription

#: Things up to this height (m) above the floor (rugs, thresholds) can be driven over.
STEP_HEIGHT = 0.03
#: Things of at least this height (m) block the robot's line of sight completely.
SIGHT_HEIGHT = 1.2
_FLOOR_DEPTH = -0.3
_PADDING = 3


class NavigableMap:
    """The floor of a scene for one robot.

    Args:
        description: the scene.
        robot: its height clips the scene, its radius inflates obstacles, its camera height is that of the eye.
        resolution: m a cell.

    Attributes:
        grid: 0 floor connected to the largest area, 100 obstacle, -1 neither (outside, inside of furniture).
        clearance: HxW float32, m from a cell's centre to the nearest obstacle's cell, 0 off the floor.
        free: HxW bool, cells where the robot's centre may be: clearance of its radius, all connected.
        tops: HxW float32, m above the floor up to which the view is blocked; 0 open, inf at SIGHT_HEIGHT.
    """

    def __init__(
        self, description: SceneDescription, robot: RobotProfile | None = None, resolution: float = 0.05
    ) -> None:
        robot = robot or RobotProfile()
        mesh, floor_z = description.mesh, description.floor_z
        low, high = (np.asarray(b, dtype=np.float64) for b in mesh.bounds)
        origin = np.floor(low[:2] / resolution) * resolution - _PADDING * resolution
        shape = tuple(int(n) for n in np.ceil((high[:2] - origin) / resolution)[::-1] + _PADDING)
        vertices = np.ascontiguousarray(mesh.vertices - np.array([*origin, floor_z]), dtype=np.float64)
        floor, obstacle = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        tops = np.zeros(shape, dtype=np.float32)
        _draw(vertices, mesh.faces, _FLOOR_DEPTH, STEP_HEIGHT, 1.0 / resolution, floor)
        _draw(vertices, mesh.faces, STEP_HEIGHT, robot.height, 1.0 / resolution, obstacle)
        _draw(vertices, mesh.faces, STEP_HEIGHT, SIGHT_HEIGHT, 1.0 / resolution, tops)
        tops[tops >= SIGHT_HEIGHT - 1e-6] = np.inf
        self.robot, self.tops = robot, tops
        open_floor = (floor > 0) & (obstacle == 0)
        self.clearance = _clearance(open_floor, resolution)
        self.free = _largest(self.clearance >= robot.footprint_radius)
        data = np.full(shape, UNKNOWN, dtype=np.int8)
        data[_touching(open_floor, self.free)] = FREE
        data[obstacle > 0] = OCCUPIED
        self.grid = OccupancyGrid(data, resolution, (float(origin[0]), float(origin[1])))
        for array in (self.clearance, self.free, self.tops, data):
            array.setflags(write=False)

    @property
    def resolution(self) -> float:
        """m a cell."""
        return self.grid.resolution

    @cached_property
    def free_cells(self) -> np.ndarray:
        """Nx2 int64 (row, column) of all free cells."""
        return np.argwhere(self.free)

    def cell(self, xy) -> tuple[int, int]:
        """(row, column) of a position (m); may lie outside the grid."""
        row, column = self.grid.cells(np.asarray(xy, dtype=np.float64)[:2])
        return int(row), int(column)

    def is_free(self, xy) -> bool:
        """Whether the robot's centre may be at (x, y), m."""
        row, column = self.cell(xy)
        inside = 0 <= row < self.free.shape[0] and 0 <= column < self.free.shape[1]
        return inside and bool(self.free[row, column])

    def clearance_at(self, xy) -> float:
        """m to the nearest obstacle from (x, y), between cells' centres by bilinear interpolation; 0 off the grid."""
        column, row = (np.asarray(xy, dtype=np.float64)[:2] - self.grid.origin) / self.resolution - 0.5
        r, c = int(np.floor(row)), int(np.floor(column))
        if not (0 <= r < self.free.shape[0] - 1 and 0 <= c < self.free.shape[1] - 1):
            return 0.0
        t, s = row - r, column - c
        around = self.clearance[r : r + 2, c : c + 2].astype(np.float64)
        return float(np.array([1.0 - t, t]) @ around @ np.array([1.0 - s, s]))

    def nearest_free(self, xy) -> tuple[int, int]:
        """(row, column) of the free cell nearest to (x, y)."""
        distance = ((self.grid.centers(self.free_cells) - np.asarray(xy, dtype=np.float64)[:2]) ** 2).sum(axis=1)
        row, column = self.free_cells[int(np.argmin(distance))]
        return int(row), int(column)

    def geodesic_field(self, goal_cells: np.ndarray) -> np.ndarray:
        """HxW float32 shortest drivable distance (m) to any of the goal cells (Nx2), inf where there is none."""
        return fast_marching(self.free, goal_cells, self.resolution)

    def line_of_sight(self, xy, target) -> bool:
        """Whether the robot's camera at (x, y) has line of sight to a point (x, y, z), m.

        A target without z is taken at the camera's height.
        """
        target = np.asarray(target, dtype=np.float64)
        z = float(target[2]) if len(target) > 2 else self.robot.camera_height
        a, b = self._in_cells(xy), self._in_cells(target)
        return bool(_sees(self.tops, a[0], a[1], self.robot.camera_height, b[0], b[1], z, 0.5))

    def sees_box(self, cells: np.ndarray, center, extent, yaw: float) -> np.ndarray:
        """From which cells the robot's camera sees an upright box (an object).

        Args:
            cells: Nx2 (row, column).
            center, extent: (x, y, z), m; extent along the box's own axes.
            yaw: rad.

        Returns:
            N bool: there is line of sight to some point of its near side, its middle or its corners.
        """
        points = _box_points(np.asarray(center, dtype=np.float64), np.asarray(extent, dtype=np.float64), yaw)
        points[:, :2] = (points[:, :2] - self.grid.origin) / self.resolution
        half = np.asarray(extent, dtype=np.float64)[:2] / 2.0 / self.resolution
        middle = (np.asarray(center, dtype=np.float64)[:2] - self.grid.origin) / self.resolution
        pose = np.array([middle[0], middle[1], np.cos(yaw), np.sin(yaw), half[0], half[1]])
        heights = np.unique(points[:, 2])
        cells = np.ascontiguousarray(cells, dtype=np.int64)
        return _sees_box(self.tops, cells, self.robot.camera_height, points, pose, heights)

    def _in_cells(self, xy) -> tuple[float, float]:
        x, y = np.asarray(xy, dtype=np.float64)[:2]
        return (x - self.grid.origin[0]) / self.resolution, (y - self.grid.origin[1]) / self.resolution


def box_distance(points: np.ndarray, center, extent, yaw: float) -> np.ndarray:
    """Horizontal distance (N float64, m) of points (Nx2) to an upright box's side; 0 within it."""
    d = np.asarray(points, dtype=np.float64) - np.asarray(center, dtype=np.float64)[:2]
    c, s = np.cos(yaw), np.sin(yaw)
    local = np.abs(np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0]], axis=1))
    return np.linalg.norm(np.maximum(local - np.asarray(extent, dtype=np.float64)[:2] / 2.0, 0.0), axis=1)


def _box_points(center: np.ndarray, extent: np.ndarray, yaw: float) -> np.ndarray:
    """Middle and corners of a box's outline at half height and near the top (10x3, m)."""
    c, s = np.cos(yaw), np.sin(yaw)
    corners = np.array([[0, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]]) * extent[:2] / 2.0
    flat = corners @ np.array([[c, s], [-s, c]]) + center[:2]
    heights = (center[2], center[2] + 0.45 * extent[2])
    return np.concatenate([np.column_stack([flat, np.full(5, z)]) for z in heights])


def _clearance(open_floor: np.ndarray, resolution: float) -> np.ndarray:
    from scipy import ndimage

    padded = np.pad(open_floor, 1)
    distance = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    return (np.maximum(distance - 0.5, 0.0) * resolution).astype(np.float32)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest 4-connected area of a mask."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros_like(mask)
    return labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1


def _touching(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The 4-connected areas of a mask that hold a cell of ``seed``."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    return np.isin(labels, np.unique(labels[seed & mask])) & mask


@njit(cache=True, nogil=True)
def _apart(polygon, n, nx, ny, x0, y0):
    """Whether the axis (nx, ny) separates a flat polygon from the unit cell at (x0, y0)."""
    low, high = np.inf, -np.inf
    for i in range(n):
        d = nx * polygon[i, 0] + ny * polygon[i, 1]
        low, high = min(low, d), max(high, d)
    a = nx * x0 + ny * y0
    cell_low = a + min(nx, 0.0) + min(ny, 0.0)
    cell_high = a + max(nx, 0.0) + max(ny, 0.0)
    # A wall exactly on the border of two cells counts for both.
    slack = 1e-6 * (abs(nx) + abs(ny))
    return high < cell_low - slack or low > cell_high + slack


@njit(cache=True, nogil=True)
def _draw(vertices, faces, low, high, scale, out):
    """Sets ``out`` to the maximum height (m) of the triangles' parts between two heights, in every touched cell."""
    height, width = out.shape
    first = np.empty((8, 3))
    second = np.empty((8, 3))
    for f in range(faces.shape[0]):
        bottom, top = np.inf, -np.inf
        for k in range(3):
            z = vertices[faces[f, k], 2]
            bottom, top = min(bottom, z), max(top, z)
        if top <= low or bottom >= high:
            continue
        for k in range(3):
            first[k] = vertices[faces[f, k]]
        n = clip(first, 3, 2, low, True, second)
        n = clip(second, n, 2, high, False, first)
        if n < 3:
            continue
        x0, y0, x1, y1 = np.inf, np.inf, -np.inf, -np.inf
        for i in range(n):
            first[i, 0] *= scale
            first[i, 1] *= scale
            x0, x1 = min(x0, first[i, 0]), max(x1, first[i, 0])
            y0, y1 = min(y0, first[i, 1]), max(y1, first[i, 1])
        value = np.float32(max(min(top, high), 1e-6))
        r0, r1 = max(0, int(np.floor(y0 - 1e-6))), min(height - 1, int(np.floor(y1 + 1e-6)))
        c0, c1 = max(0, int(np.floor(x0 - 1e-6))), min(width - 1, int(np.floor(x1 + 1e-6)))
        single = r1 - r0 <= 0 or c1 - c0 <= 0
        for r in range(r0, r1 + 1):
            for c in range(c0, c1 + 1):
                if out[r, c] >= value:
                    continue
                hit = True
                if not single:
                    for i in range(n):
                        j = (i + 1) % n
                        nx, ny = first[j, 1] - first[i, 1], first[i, 0] - first[j, 0]
                        if nx * nx + ny * ny > 1e-18 and _apart(first, n, nx, ny, c, r):
                            hit = False
                            break
                if hit:
                    out[r, c] = value


@njit(cache=True, nogil=True)
def _sees(tops, x0, y0, z0, x1, y1, z1, stop):
    """Whether the line between two points (cells, cells, m) is above ``tops`` until ``stop`` cells before its end."""
    length = np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
    n = int(length * 3.0) + 1
    for k in range(n):
        s = (k + 0.5) / n
        if (1.0 - s) * length < stop:
            return True
        r, c = int(np.floor(y0 + s * (y1 - y0))), int(np.floor(x0 + s * (x1 - x0)))
        if r < 0 or c < 0 or r >= tops.shape[0] or c >= tops.shape[1]:
            return False
        if tops[r, c] > z0 + s * (z1 - z0):
            return False
    return True


@njit(cache=True, nogil=True)
def _sees_box(tops, cells, eye, points, pose, heights):
    out = np.zeros(cells.shape[0], dtype=np.bool_)
    for i in range(cells.shape[0]):
        x, y = cells[i, 1] + 0.5, cells[i, 0] + 0.5
        dx, dy = x - pose[0], y - pose[1]
        u, v = pose[2] * dx + pose[3] * dy, pose[2] * dy - pose[3] * dx
        u, v = min(max(u, -pose[4]), pose[4]), min(max(v, -pose[5]), pose[5])
        near_x, near_y = pose[0] + pose[2] * u - pose[3] * v, pose[1] + pose[3] * u + pose[2] * v
        # The last cell and a half before a point belong to the box itself, or to the wall behind it.
        seen = False
        for k in range(heights.shape[0]):
            seen = seen or _sees(tops, x, y, eye, near_x, near_y, heights[k], 1.5)
        for k in range(points.shape[0]):
            seen = seen or _sees(tops, x, y, eye, points[k, 0], points[k, 1], points[k, 2], 1.5)
        out[i] = seen
    return out
