"""Walkable surfaces of a triangle mesh on several floors, shortest paths and steps on them. Knows no agents' goals.

As Recast makes a navmesh, on a grid: the triangles of each column of cells become solid spans; the top of a span is
walkable where it is flat and has head room; neighbours are linked where the step between them is low enough; what is
nearer than the agent's radius to an edge is cut off; islands are dropped, as roofs and table tops are. Axes are ROS's
(z up), m. A node is one walkable cell of one floor; links go to the neighbours at +x, -x, +y, -y.
"""

from __future__ import annotations

import math

import numpy as np

from ..mesh import SceneMesh
from . import navmesh_kernels as kernels

#: Edge of a cell, m: that of Habitat's navmeshes.
RESOLUTION = 0.05
#: Islands smaller than this (m^2) are dropped.
LEAST_ISLAND = 3.0
#: A point farther than this (m) from every node lies off the navmesh.
SNAP_RADIUS = 2.0
#: Targets up to this far (m) are looked at for a straight way.
_NEAR = 1.0
_PADDING = 2


class Navmesh:
    """The walkable surfaces of a mesh, for an agent of one size.

    Args:
        mesh: in ROS axes.
        radius, height: of the agent, m. climb: highest step, m. slope: steepest floor, rad.
        least_island: m^2.

    Attributes:
        cells: Nx2 int64 (row, column) of the nodes. z: N float64, their heights.
        links: Nx4 int32 nodes at +x, -x, +y, -y; -1 none.
        island: N int64, which island a node is of; the largest is 0.
        origin: (x, y) of the grid's corner, m.
    """

    def __init__(
        self, mesh: SceneMesh, radius: float, height: float, climb: float, slope: float,
        least_island: float = LEAST_ISLAND,
    ) -> None:  # fmt: skip
        low, high = (np.asarray(b, dtype=np.float64) for b in mesh.bounds)
        self.origin = np.floor(low[:2] / RESOLUTION) * RESOLUTION - _PADDING * RESOLUTION
        self.shape = tuple(int(n) for n in np.ceil((high[:2] - self.origin) / RESOLUTION)[::-1] + _PADDING)
        vertices = mesh.vertices.astype(np.float64)
        vertices[:, :2] = (vertices[:, :2] - self.origin) / RESOLUTION
        flat = np.abs(mesh.normals[:, 2]) >= math.cos(slope)
        rows, columns = self.shape
        columns_of = kernels.spans(vertices, np.ascontiguousarray(mesh.faces), flat, rows, columns)
        start, low_z, high_z, walkable = columns_of
        start, cell, z, ceiling = kernels.floors(start, low_z, high_z, walkable, height, climb)
        links = kernels.link(start, cell, z, ceiling, rows, columns, height, climb)
        self._keep(cell, z, links, kernels.clear(links, radius / RESOLUTION))
        self._drop_islands(least_island)

    @property
    def area(self) -> float:
        """m^2 of all nodes."""
        return len(self.z) * RESOLUTION**2

    def snap(self, point) -> tuple[int, np.ndarray] | None:
        """The nearest node, and the nearest place (x, y, z) on it, of a point (3, m); None where there is none near."""
        point = np.asarray(point, dtype=np.float64)
        if not len(self.z):
            return None
        low = self.origin + self.cells[:, ::-1] * RESOLUTION
        inset = 1e-6
        places = np.clip(point[:2], low + inset, low + RESOLUTION - inset)
        distance = ((places - point[:2]) ** 2).sum(axis=1) + (self.z - point[2]) ** 2
        node = int(np.argmin(distance))
        if distance[node] > SNAP_RADIUS**2:
            return None
        return node, np.array([*places[node], self.z[node]])

    def step(self, node: int, xy, way, sliding: bool) -> tuple[int, np.ndarray]:
        """Goes a way (dx, dy, m) from a place (x, y) on a node: up to contact; sliding: its rest along the obstacle.

        Returns:
            The node and the place (x, y, z) that it ends at.
        """
        at, left = self._in_cells(xy), np.asarray(way, dtype=np.float64) / RESOLUTION
        for _ in range(4 if sliding else 1):
            node, x, y, share, axis = kernels.walk(self.links, self._columns, node, at[0], at[1], left[0], left[1])
            at, left = np.array([x, y]), left * (1.0 - share)
            if axis < 0:
                break
            left[axis] = 0.0
        return node, np.array([*(at * RESOLUTION + self.origin), self.z[node]])

    def field(self, targets: np.ndarray) -> GoalField:
        """Distances to the nearest of some points (Nx3, m)."""
        return GoalField(self, targets)

    def sees(self, node: int, xy, other: int, place) -> bool:
        """Whether the straight way from a place on a node to a place on another one is walkable."""
        a, b = self._in_cells(xy), self._in_cells(place)
        found, *_, axis = kernels.walk(self.links, self._columns, node, a[0], a[1], *(b - a))
        return axis < 0 and found == other

    def center(self, node: int) -> np.ndarray:
        """(x, y, z) of a node's middle."""
        return np.array([*(self.origin + (self.cells[node, ::-1] + 0.5) * RESOLUTION), self.z[node]])

    def _in_cells(self, xy) -> np.ndarray:
        return (np.asarray(xy, dtype=np.float64)[:2] - self.origin) / RESOLUTION

    def _keep(self, cell: np.ndarray, z: np.ndarray, links: np.ndarray, kept: np.ndarray) -> None:
        """Takes some of the nodes, with the links among them."""
        number = np.full(len(kept) + 1, -1, dtype=np.int32)  # the last entry is for links to nowhere
        number[np.flatnonzero(kept)] = np.arange(kept.sum(), dtype=np.int32)
        self._flat, self.z = cell[kept], z[kept]
        self.links = np.ascontiguousarray(number[links[kept]])
        width = self.shape[1]
        self.cells = np.column_stack([self._flat // width, self._flat % width])
        self._columns = np.ascontiguousarray(self.cells[:, ::-1])

    def _drop_islands(self, least: float) -> None:
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        n = len(self.z)
        node, side = np.nonzero(self.links >= 0)
        graph = sparse.csr_matrix((np.ones(len(node), bool), (node, self.links[node, side])), shape=(n, n))
        _, label = connected_components(graph, directed=False)
        size = np.bincount(label, minlength=1)
        # Of a scene that has nothing larger, the largest one stays.
        large = size * RESOLUTION**2 >= min(least, size.max() * RESOLUTION**2)
        rank = np.argsort(np.argsort(-size, kind="stable"))
        kept = large[label] if n else np.zeros(0, dtype=bool)
        self.island = rank[label[kept]]
        self._keep(self._flat, self.z, self.links, kept)


class GoalField:
    """Distances on a navmesh to the nearest of some targets: exact along straight ways, else of the pulled path."""

    def __init__(self, navmesh: Navmesh, targets: np.ndarray) -> None:
        self._navmesh = navmesh
        snapped = [navmesh.snap(target) for target in np.asarray(targets, dtype=np.float64).reshape(-1, 3)]
        self._nodes = np.array([s[0] for s in snapped if s is not None], dtype=np.int64)
        self._places = np.array([s[1] for s in snapped if s is not None]).reshape(-1, 3)
        middles = np.array([navmesh.center(k) for k in self._nodes]).reshape(-1, 3)
        start = np.linalg.norm(middles - self._places, axis=1)
        self._cost = kernels.march(navmesh.links, RESOLUTION, self._nodes, start)

    def path(self, node: int, place) -> np.ndarray:
        """Nx3, the shortest path from a place on a node to the nearest target, corners only; 0x3 where none leads."""
        place = np.asarray(place, dtype=np.float64)
        direct = self._straight(node, place)
        if direct is not None:
            return np.array([place, direct])
        if not math.isfinite(self._cost[node]):
            return np.empty((0, 3))
        nodes = kernels.descend(self._navmesh.links, RESOLUTION, self._cost, node)
        last = int(nodes[-1])
        here = np.flatnonzero(self._nodes == last)
        end = self._places[here[0]] if len(here) else self._navmesh.center(last)
        points = [(node, place), *((int(k), self._navmesh.center(int(k))) for k in nodes[1:-1]), (last, end)]
        return np.array([p for _, p in self._pulled(self._pulled(points)[::-1])[::-1]])

    def distance(self, node: int, place) -> float:
        """m; inf where there is no way."""
        path = self.path(node, place)
        return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) if len(path) else math.inf

    def _straight(self, node: int, place: np.ndarray) -> np.ndarray | None:
        """The nearest target near enough that can be walked to along a straight line."""
        if not len(self._places):
            return None
        distance = np.linalg.norm(self._places - place, axis=1)
        for k in np.argsort(distance, kind="stable"):
            if distance[k] > _NEAR:
                break
            if self._navmesh.sees(node, place, int(self._nodes[k]), self._places[k]):
                return self._places[k]
        return None

    def _pulled(self, points: list[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
        """The corners that a path keeps where it is pulled taut: the farthest that is in sight, by halving."""
        kept, k, last = [points[0]], 0, len(points) - 1
        while k < last:
            low, high = k + 1, last
            while low < high:  # sight along a shortest path is lost once
                middle = (low + high + 1) // 2
                if self._navmesh.sees(*points[k], *points[middle]):
                    low = middle
                else:
                    high = middle - 1
            kept.append(points[low])
            k = low
        return kept
