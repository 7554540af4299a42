"""Success, SPL, SoftSPL, nDTW, sDTW and other scores of one episode, in float64. Knows nothing of simulators.

It gets positions and distances. Definitions exactly as in habitat-lab: Anderson et al. 2018 (SPL), Datta et al. 2020
(SoftSPL), Ilharco et al. 2019 (nDTW, sDTW).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

#: The distance (m) at which nDTW counts a point as missed: R2R's success radius.
DTW_RADIUS = 3.0


@dataclass(frozen=True)
class EpisodeResult:
    """Scores of one episode.

    Attributes:
        success: STOP was called where the goal is reached.
        spl: success weighted by path length, 0 to 1.
        soft_spl: the same with progress in place of success.
        distance_to_goal: m at the end, geodesic.
        oracle_success: the goal was reached at some step, the start included.
        path_length: m, sum of the steps' lengths.
        steps, collisions: counts; a collision is a step in which the robot touched something.
        ndtw, sdtw: 0 to 1, NaN without a reference path.
    """

    success: bool
    spl: float
    soft_spl: float
    distance_to_goal: float
    oracle_success: bool
    path_length: float
    steps: int
    collisions: int
    ndtw: float
    sdtw: float

    def to_mapping(self) -> dict[str, float | int | bool]:
        """Names and values."""
        return asdict(self)


class EpisodeMetrics:
    """Computes the scores of one episode, updated step by step.

    Args:
        position: (x, y) or (x, y, z) at the start, m.
        distance: geodesic distance to the goal there, m.
        reached: whether STOP would succeed there; None decides by ``radius``.
        radius: m; with ``reached`` None a STOP succeeds strictly nearer than this.
        shortest: d0, m, if it is not the distance at the start (for a route: the path by its way points).
        reference_path: Nx2 or Nx3 positions for nDTW, or None.
        dtw_radius: m.

    Raises:
        ValueError: d0 that is not positive and finite, or neither ``reached`` nor ``radius``.
    """

    def __init__(
        self,
        position,
        distance: float,
        reached: bool | None = None,
        *,
        radius: float | None = None,
        shortest: float | None = None,
        reference_path: np.ndarray | None = None,
        dtw_radius: float = DTW_RADIUS,
    ) -> None:
        self._d0 = float(distance if shortest is None else shortest)
        if not (self._d0 > 0.0 and math.isfinite(self._d0)):
            raise ValueError(f"shortest distance {self._d0} m must be positive and finite")
        self._radius, self._dtw_radius = radius, float(dtw_radius)
        self._reference = None if reference_path is None else np.asarray(reference_path, dtype=np.float64)
        self._positions = [np.array(position, dtype=np.float64)]
        self._last = self._positions[0]
        self._path_length, self._steps, self._collisions = 0.0, 0, 0
        self._oracle = False
        self._note(distance, reached)

    @property
    def path_length(self) -> float:
        """m so far."""
        return self._path_length

    def update(self, position, distance: float, reached: bool | None = None, collided: bool = False) -> None:
        """Adds a step: the robot's position, its distance to the goal, whether it touched something in this step."""
        position = np.array(position, dtype=np.float64)
        self._path_length += math.sqrt(float(((position - self._last) ** 2).sum()))
        if not np.array_equal(position, self._last):
            self._positions.append(position)
        self._last = position
        self._steps += 1
        self._collisions += bool(collided)
        self._note(distance, reached)

    def result(self, stopped: bool) -> EpisodeResult:
        """The scores if the episode ends here; ``stopped``: whether by STOP."""
        success = bool(stopped and self._reached)
        efficiency = self._d0 / max(self._d0, self._path_length)
        progress = max(0.0, 1.0 - self._distance / self._d0)
        ndtw = math.nan
        if self._reference is not None:
            ndtw = normalized_dtw(np.array(self._positions), self._reference, self._dtw_radius)
        return EpisodeResult(
            success=success,
            spl=success * efficiency,
            soft_spl=progress * efficiency,
            distance_to_goal=self._distance,
            oracle_success=self._oracle,
            path_length=self._path_length,
            steps=self._steps,
            collisions=self._collisions,
            ndtw=ndtw,
            sdtw=success * ndtw,
        )

    def _note(self, distance: float, reached: bool | None) -> None:
        if reached is None:
            if self._radius is None:
                raise ValueError("give either whether the goal is reached or a radius")
            reached = distance < self._radius
        self._distance, self._reached = float(distance), bool(reached)
        self._oracle = self._oracle or self._reached


def normalized_dtw(path: np.ndarray, reference: np.ndarray, radius: float = DTW_RADIUS) -> float:
    """exp(-DTW / (len(reference) * radius)) of two paths (NxD, MxD, m)."""
    return math.exp(-dynamic_time_warping(path, reference) / (len(reference) * radius))


def dynamic_time_warping(a: np.ndarray, b: np.ndarray) -> float:
    """Least sum of Euclidean distances over all monotone alignments of two paths (NxD, MxD), in m; exact, not windowed.

    Raises:
        ValueError: an empty path or different dimensions.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(a) == 0 or len(b) == 0 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"paths of shapes {a.shape} and {b.shape} cannot be compared")
    previous = np.full(len(b) + 1, np.inf)
    previous[0] = 0.0
    for point in a:
        cost = np.sqrt(((b - point) ** 2).sum(axis=1))
        best = np.minimum(previous[1:], previous[:-1])
        # row[j] = cost[j] + min(best[j], row[j - 1]), unrolled by prefix sums over the stretch since the last turn.
        total = np.cumsum(cost)
        row = total + np.minimum.accumulate(best - (total - cost))
        previous = np.concatenate([[np.inf], row])
    return float(previous[-1])
