"""Pose graph of keyframes, optimised by GTSAM, with the relative uncertainty between keyframes. Knows no images."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import rotation_angle
from ..resources import how_to_install

#: Least standard deviations of an edge (rad, m): unmodelled errors of calibration and time.
_FLOOR = np.array([0.002] * 3 + [0.004] * 3)
#: Error of an edge for gating loops, since formal covariances hold only for a registration in the right minimum: per
#: edge (m, rad), per distance and per turn.
_DOUBT_T, _DOUBT_R, _DOUBT_DISTANCE, _DOUBT_TURN = 0.008, 0.003, 0.015, 0.01
#: Lever arm (m) that converts heading error to position error when paths are compared.
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
    """Keyframe poses with odometry and loop edges; a robust (Cauchy) loss on loops makes one wrong loop harmless.

    Unconnected keyframes may be in different frames, until :meth:`move` brings them into one.

    Raises:
        InputError: GTSAM is not installed.
    """

    def __init__(self) -> None:
        try:
            import gtsam
        except ImportError:
            raise InputError(f"SLAM needs gtsam; {how_to_install('slam')}") from None
        self._gtsam = gtsam
        self._graph = gtsam.NonlinearFactorGraph()
        self._values = gtsam.Values()
        self._poses = np.zeros((0, 4, 4))
        self._held: dict[int, tuple[np.ndarray, tuple[float, float]]] = {}
        self._level: dict[int, tuple[np.ndarray, float, float]] = {}
        #: Keyframe or hub -> (neighbour, variance of position, of heading). A hub (number below 0) is an existing map.
        self._neighbours: dict[int, list[tuple[int, float, float]]] = {}
        self._hubs: dict[str, int] = {}
        self.edges: list[Edge] = []

    def __len__(self) -> int:
        return len(self._poses)

    def add(self, T: np.ndarray) -> int:
        """Adds a keyframe at an initial guess (4x4, map from optical frame); the first one is fixed there."""
        number = len(self)
        self._values.insert(number, self._gtsam.Pose3(T))
        self._poses = np.concatenate([self._poses, T[None]])
        self._neighbours[number] = []
        if number == 0:
            self.hold(0, T)
        return number

    def hold(self, number: int, T: np.ndarray, sigma: tuple[float, float] = (1e-6, 1e-6)) -> None:
        """Adds a prior on a keyframe's pose (4x4), with standard deviations (m, rad)."""
        self._held[number] = (T, sigma)
        self._graph.add(self._hold_factor(number))

    def belongs(self, number: int, name: str, sigma: tuple[float, float]) -> None:
        """Ties a keyframe to an existing map with standard deviations (m, rad), which bound the relative uncertainty of
        two such keyframes without an edge between them."""
        hub = self._hubs.setdefault(name, -1 - len(self._hubs))
        self._neighbours[number].append((hub, sigma[0] ** 2, sigma[1] ** 2))
        self._neighbours.setdefault(hub, []).append((number, sigma[0] ** 2, 0.0))

    def connect(self, first: int, second: int, T: np.ndarray, information: np.ndarray, loop: bool = False) -> None:
        """Adds an edge; see :class:`Edge`."""
        edge = Edge(first, second, T, information, loop)
        self.edges.append(edge)
        self._graph.add(self._edge_factor(edge))
        covariance = np.linalg.inv(information + 1e-6 * np.eye(6))
        formal_t = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
        formal_r = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
        doubt_t = _DOUBT_T + _DOUBT_DISTANCE * float(np.linalg.norm(T[:3, 3]))
        sigma_t, sigma_r = max(formal_t, doubt_t), max(formal_r, _DOUBT_R + _DOUBT_TURN * rotation_angle(T))
        self._neighbours[first].append((second, sigma_t**2, sigma_r**2))
        self._neighbours[second].append((first, sigma_t**2, sigma_r**2))

    def hold_level(self, number: int, T: np.ndarray, height: float, tilt: float) -> None:
        """Adds a prior on a keyframe's height and tilt only, those of T, with standard deviations (m, rad)."""
        self._level[number] = (T, height, tilt)
        self._graph.add(self._level_factor(number))

    def move(self, numbers: np.ndarray, T: np.ndarray, release: int | None = None) -> None:
        """Moves keyframes (K int) into another frame (4x4, new from old) together with their priors.

        Args:
            release: a keyframe whose prior is removed.
        """
        for number in map(int, numbers):
            self._poses[number] = T @ self._poses[number]
            if number in self._held:
                held, sigma = self._held[number]
                self._held[number] = (T @ held, sigma)
            if number in self._level:
                level, height, tilt = self._level[number]
                self._level[number] = (T @ level, height, tilt)
        if release is not None:
            self._held.pop(release, None)
        self._assemble()

    def _assemble(self) -> None:
        """Rebuilds the factor graph; in GTSAM a factor's measurement cannot be changed."""
        gtsam = self._gtsam
        self._graph, self._values = gtsam.NonlinearFactorGraph(), gtsam.Values()
        for number, T in enumerate(self._poses):
            self._values.insert(number, gtsam.Pose3(T))
        for number in self._held:
            self._graph.add(self._hold_factor(number))
        for number in self._level:
            self._graph.add(self._level_factor(number))
        for edge in self.edges:
            self._graph.add(self._edge_factor(edge))

    def _hold_factor(self, number: int):
        gtsam, (T, sigma) = self._gtsam, self._held[number]
        noise = gtsam.noiseModel.Diagonal.Sigmas(np.array([sigma[1]] * 3 + [sigma[0]] * 3))
        return gtsam.PriorFactorPose3(number, gtsam.Pose3(T), noise)

    def _level_factor(self, number: int):
        gtsam, (T, height, tilt) = self._gtsam, self._level[number]
        up, free = T[2, :3], 1e3
        level = np.outer(up, up)
        C = np.zeros((6, 6))
        C[:3, :3] = tilt**2 * (np.eye(3) - level) + free**2 * level
        C[3:, 3:] = free**2 * (np.eye(3) - level) + height**2 * level
        return gtsam.PriorFactorPose3(number, gtsam.Pose3(T), gtsam.noiseModel.Gaussian.Covariance(C))

    def _edge_factor(self, edge: Edge):
        gtsam, covariance = self._gtsam, np.linalg.inv(edge.information + 1e-6 * np.eye(6))
        noise = gtsam.noiseModel.Gaussian.Covariance(_covariance(edge.T, covariance))
        if edge.loop:
            noise = gtsam.noiseModel.Robust.Create(gtsam.noiseModel.mEstimator.Cauchy.Create(3.0), noise)
        return gtsam.BetweenFactorPose3(edge.first, edge.second, gtsam.Pose3(edge.T), noise)

    def optimise(self) -> np.ndarray:
        """Optimises all poses; returns Nx4x4, map from optical frame."""
        parameters = self._gtsam.LevenbergMarquardtParams()
        parameters.setMaxIterations(20)
        parameters.setRelativeErrorTol(1e-4)
        self._values = self._gtsam.LevenbergMarquardtOptimizer(self._graph, self._values, parameters).optimize()
        self._poses = np.array([self._values.atPose3(i).matrix() for i in range(len(self))])
        return self.poses()

    def poses(self) -> np.ndarray:
        """Nx4x4 float64, map from optical frame, the current estimates."""
        return self._poses.copy()

    def uncertainty(self, source: int) -> np.ndarray:
        """Standard deviations (Nx2: m, rad) of all keyframes' poses relative to ``source``.

        Errors accumulate along the most certain path through the graph, heading errors with their lever arm. An upper
        bound, since other paths only add information. Infinite where there is no path.
        """
        # Hubs come last, so that their negative numbers are valid indices; without heading error they need no position.
        count = len(self) + len(self._hubs)
        positions = np.zeros((count, 3))
        positions[: len(self)] = self._poses[:, :3, 3] - self._poses[source, :3, 3]
        cost = np.full(count, np.inf)
        # Along a path: sum of position variances, and of heading variances times 1, edge position, its square.
        sums = np.zeros((count, 6))
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
        return sigma[: len(self)]


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
