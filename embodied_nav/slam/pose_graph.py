"""The pose graph of keyframes, optimised by GTSAM, and how sure it is of one keyframe against another.

Knows nothing of images.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import rotation_angle

#: No edge is believed beyond this (rad, m): unmodelled error of calibration and time.
_FLOOR = np.array([0.002] * 3 + [0.004] * 3)
#: What an edge may be wrong by when loops are judged: formal errors are those of a registration that found the right
#: minimum. Per edge (m, rad), per distance and per turn.
_DOUBT_T, _DOUBT_R, _DOUBT_DISTANCE, _DOUBT_TURN = 0.008, 0.003, 0.015, 0.01
#: Distance (m) at which an error of heading counts like one of position, where paths are compared.
_LEVER = 2.0


@dataclass(frozen=True, eq=False)
class Edge:
    """T is 4x4, ``first`` from ``second``; information 6x6 of (translation, rotation), perturbed on the left."""

    first: int
    second: int
    T: np.ndarray
    information: np.ndarray
    loop: bool


class PoseGraph:
    """Keyframe poses with odometry and loop edges; loops are robust (Cauchy), so that one wrong loop bends nothing.

    Raises:
        InputError: GTSAM is not installed.
    """

    def __init__(self) -> None:
        try:
            import gtsam
        except ImportError:
            raise InputError("SLAM needs gtsam; install it with: pip install 'embodied_nav[slam]'") from None
        self._gtsam = gtsam
        self._graph = gtsam.NonlinearFactorGraph()
        self._values = gtsam.Values()
        self._poses = np.zeros((0, 4, 4))
        self._neighbours: list[list[tuple[int, float, float]]] = []
        self.edges: list[Edge] = []

    def __len__(self) -> int:
        return len(self._poses)

    def add(self, T: np.ndarray) -> int:
        """Adds a keyframe at a first guess (4x4, map from optical frame); the first one is held there."""
        number = len(self)
        self._values.insert(number, self._gtsam.Pose3(T))
        self._poses = np.concatenate([self._poses, T[None]])
        self._neighbours.append([])
        if number == 0:
            noise = self._gtsam.noiseModel.Isotropic.Sigma(6, 1e-6)
            self._graph.add(self._gtsam.PriorFactorPose3(0, self._gtsam.Pose3(T), noise))
        return number

    def connect(self, first: int, second: int, T: np.ndarray, information: np.ndarray, loop: bool = False) -> None:
        """Adds an edge; see :class:`Edge`."""
        gtsam, covariance = self._gtsam, np.linalg.inv(information + 1e-6 * np.eye(6))
        noise = gtsam.noiseModel.Gaussian.Covariance(_covariance(T, covariance))
        if loop:
            noise = gtsam.noiseModel.Robust.Create(gtsam.noiseModel.mEstimator.Cauchy.Create(3.0), noise)
        self._graph.add(gtsam.BetweenFactorPose3(first, second, gtsam.Pose3(T), noise))
        self.edges.append(Edge(first, second, T, information, loop))
        formal_t = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
        formal_r = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
        doubt_t = _DOUBT_T + _DOUBT_DISTANCE * float(np.linalg.norm(T[:3, 3]))
        sigma_t, sigma_r = max(formal_t, doubt_t), max(formal_r, _DOUBT_R + _DOUBT_TURN * rotation_angle(T))
        self._neighbours[first].append((second, sigma_t**2, sigma_r**2))
        self._neighbours[second].append((first, sigma_t**2, sigma_r**2))

    def hold_level(self, number: int, T: np.ndarray, height: float, tilt: float) -> None:
        """Holds a keyframe at T's height and tilt, within standard deviations (m, rad); all else is free."""
        gtsam, up = self._gtsam, T[2, :3]
        free = 1e3
        level = np.outer(up, up)
        C = np.zeros((6, 6))
        C[:3, :3] = tilt**2 * (np.eye(3) - level) + free**2 * level
        C[3:, 3:] = free**2 * (np.eye(3) - level) + height**2 * level
        self._graph.add(gtsam.PriorFactorPose3(number, gtsam.Pose3(T), gtsam.noiseModel.Gaussian.Covariance(C)))

    def optimise(self) -> np.ndarray:
        """Optimises all poses; returns Nx4x4, map from optical frame."""
        parameters = self._gtsam.LevenbergMarquardtParams()
        parameters.setMaxIterations(20)
        parameters.setRelativeErrorTol(1e-4)
        self._values = self._gtsam.LevenbergMarquardtOptimizer(self._graph, self._values, parameters).optimize()
        self._poses = np.array([self._values.atPose3(i).matrix() for i in range(len(self))])
        return self.poses()

    def poses(self) -> np.ndarray:
        """Nx4x4 float64, map from optical frame, as they are."""
        return self._poses.copy()

    def uncertainty(self, source: int) -> np.ndarray:
        """Standard deviations (Nx2: m, rad) of where all keyframes stand seen from ``source``.

        Errors add up along the surest path through the graph, those of heading by their lever; a bound from above,
        since other paths only add knowledge. Infinite where no path leads.
        """
        positions = self._poses[:, :3, 3] - self._poses[source, :3, 3]
        cost = np.full(len(self), np.inf)
        # Along a path: sum of position variances, and of heading variances times 1, edge position, its square.
        sums = np.zeros((len(self), 6))
        cost[source] = 0.0
        queue = [(0.0, source)]
        while queue:
            so_far, number = heapq.heappop(queue)
            if so_far > cost[number]:
                continue
            for other, var_t, var_r in self._neighbours[number]:
                total = so_far + var_t + var_r * _LEVER**2
                if total < cost[other]:
                    cost[other] = total
                    p = positions[number]
                    sums[other] = sums[number]
                    sums[other] += (var_t, var_r, var_r * p[0], var_r * p[1], var_r * p[2], var_r * (p @ p))
                    heapq.heappush(queue, (total, other))
        lever = sums[:, 1] * (positions**2).sum(1) - 2.0 * (positions * sums[:, 2:5]).sum(1) + sums[:, 5]
        sigma = np.sqrt(np.stack([sums[:, 0] + np.maximum(lever, 0.0), sums[:, 1]], axis=1))
        sigma[~np.isfinite(cost)] = np.inf
        return sigma


def _covariance(T: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Covariance in GTSAM's order (rotation, translation) and perturbation (right) from ours (translation, rotation;
    left, uncoupled)."""
    R, t = T[:3, :3], T[:3, 3]
    skew = np.array([[0.0, -t[2], t[1]], [t[2], 0.0, -t[0]], [-t[1], t[0], 0.0]])
    M = np.zeros((6, 6))
    M[:3, 3:] = R.T
    M[3:, :3] = R.T
    M[3:, 3:] = -R.T @ skew
    C = M @ C @ M.T
    return (C + C.T) / 2.0 + np.diag(_FLOOR**2)
