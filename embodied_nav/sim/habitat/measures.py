"""SR, SPL, SoftSPL, OSR, nDTW, sDTW and distance to goal as habitat-lab and VLN-CE compute them, to the last digit.

Knows nothing of simulators: it gets positions, and asks for distances. What must be done alike to get the same digits:
positions are single precision, so are the lengths of steps, their sum is double; the distance is asked for again only
where the agent has moved by more than 0.1 mm; d0 is the distance at reset, not the one of the episode file; STOP is a
step. VLN-CE's nDTW uses FastDTW (Salvador and Chan 2007) with radius 1, which finds a way that is somewhat too long:
``ndtw`` is that, ``ndtw_exact`` the exact one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..metrics import dynamic_time_warping

#: Movement (m) below which habitat-lab keeps the distance to the goal.
_STILL = 1e-4
#: Cells around the coarser path that FastDTW looks at.
_DTW_RADIUS = 1
Cell = tuple[int, int]


class HabitatMeasures:
    """The measures of one episode, updated step by step.

    Args:
        position: of the agent at its start, 3 float32, Habitat's axes, m.
        distance: gives the geodesic distance from where the agent is to its goals, m.
        radius: m; STOP strictly nearer than this is a success.
        reference: Nx3 positions that nDTW compares with, or None.
        dtw_radius: m, the distance at which nDTW counts a point as missed.
    """

    def __init__(
        self,
        position: np.ndarray,
        distance: Callable[[], float],
        radius: float,
        reference: np.ndarray | None = None,
        dtw_radius: float = 3.0,
    ) -> None:
        self._ask, self._radius, self._dtw_radius = distance, float(radius), float(dtw_radius)
        self._reference = None if reference is None else np.asarray(reference, dtype=np.float64).reshape(-1, 3)
        self._last = self._measured = np.array(position, dtype=np.float32)
        self._way = [self._last.tolist()]
        self._distance = self._d0 = float(distance())
        self._oracle = self._distance < self._radius
        self._path_length, self.steps, self.collisions = 0.0, 0, 0

    @property
    def distance(self) -> float:
        """m to the goal, geodesic, as of the last update."""
        return self._distance

    @property
    def d0(self) -> float:
        """m to the goal at the start."""
        return self._d0

    def update(self, position: np.ndarray, collided: bool = False) -> None:
        """Adds a step, STOP included: where the agent is after it (3 float32), whether it was held up."""
        position = np.array(position, dtype=np.float32)
        self._path_length += float(np.linalg.norm(position - self._last, ord=2))
        self._last = position
        if position.tolist() != self._way[-1]:
            self._way.append(position.tolist())
        if not np.allclose(self._measured, position, atol=_STILL):
            self._distance, self._measured = float(self._ask()), position
        self._oracle = self._oracle or self._distance < self._radius
        self.steps += 1
        self.collisions += bool(collided)

    def result(self, stopped: bool) -> dict[str, Any]:
        """The measures if the episode ends here; ``stopped``: whether by STOP. NaN where there is nothing to say."""
        success = float(stopped and self._distance < self._radius)
        if math.isfinite(self._d0) and max(self._d0, self._path_length) > 0.0:
            efficiency = self._d0 / max(self._d0, self._path_length)
            progress = max(0.0, 1.0 - self._distance / self._d0) if self._d0 > 0.0 else math.nan
        else:
            efficiency = progress = math.nan
        fast = exact = math.nan
        if self._reference is not None:
            way, scale = np.array(self._way), len(self._reference) * self._dtw_radius
            fast = float(np.exp(-fast_dtw(way, self._reference)[0] / scale))
            exact = math.exp(-dynamic_time_warping(way, self._reference) / scale)
        return {
            "success": bool(success),
            "spl": success * efficiency if success else 0.0,
            "soft_spl": progress * efficiency,
            "distance_to_goal": self._distance,
            "oracle_success": bool(self._oracle),
            "path_length": self._path_length,
            "steps": self.steps,
            "collisions": self.collisions,
            "ndtw": fast,
            "sdtw": success * fast,
            "ndtw_exact": exact,
        }


def fast_dtw(a: np.ndarray, b: np.ndarray) -> tuple[float, list[Cell]]:
    """Approximate dynamic time warping of two paths (NxD, MxD): their cost, and the alignment as (i, j) pairs.

    Both paths are halved until one has two points; from there each finer alignment is sought only near the coarser one.
    """
    if min(len(a), len(b)) < _DTW_RADIUS + 2:
        return _within(a, b, [(0, len(b))] * len(a))
    _, coarse = fast_dtw(_halved(a), _halved(b))
    return _within(a, b, _window(coarse, len(a), len(b)))


def _halved(path: np.ndarray) -> np.ndarray:
    """The means of two points each; an odd last one is left out."""
    even = len(path) - len(path) % 2
    return (path[0:even:2] + path[1:even:2]) / 2.0


def _window(coarse: Sequence[Cell], rows: int, columns: int) -> list[tuple[int, int]]:
    """[first, end) columns of each row that lie within the radius of a coarser alignment.

    What FastDTW's implementation does: in each row the first unbroken stretch at or after the last row's first column.
    """
    reach = range(-_DTW_RADIUS, _DTW_RADIUS + 1)
    near = {(i + p, j + q) for i, j in coarse for p in reach for q in reach}
    found, start = [], 0
    for i in range(rows):
        j = start
        while j < columns and (i // 2, j // 2) not in near:
            j += 1
        start = j
        while j < columns and (i // 2, j // 2) in near:
            j += 1
        found.append((start, j))
    return found


def _within(a: np.ndarray, b: np.ndarray, window: Sequence[tuple[int, int]]) -> tuple[float, list[Cell]]:
    """The best alignment inside a window: its cost and (i, j) pairs."""
    cost: dict[Cell, float] = {(-1, -1): 0.0}
    before: dict[Cell, Cell] = {}
    for i, (first, end) in enumerate(window):
        for j in range(first, end):
            step = b[j] - a[i]
            length = float(np.sqrt(step.dot(step)))
            ways = [(cost.get(cell, math.inf) + length, cell) for cell in ((i - 1, j), (i, j - 1), (i - 1, j - 1))]
            cost[i, j], before[i, j] = min(ways, key=lambda way: way[0])
    cell, path = (len(a) - 1, len(b) - 1), []
    total = cost[cell]
    while cell != (-1, -1):
        path.append(cell)
        cell = before[cell]
    return total, path[::-1]
