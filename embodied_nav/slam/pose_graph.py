"""Pose graph of keyframes, optimised by GTSAM, with the relative uncertainty between keyframes. Knows no images.

Keyframes are numbered as they come, and numbers are never used again: a keyframe that is taken out leaves what it said
of its neighbours, so the graph is as large as the area.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numba import njit

from ..errors import InputError
from ..geometry import invert, rotation_angle
from ..resources import how_to_install

#: Least standard deviations of an edge (rad, m): unmodelled errors of calibration and time.
_FLOOR = np.array([0.002] * 3 + [0.004] * 3)
#: Error of an edge for gating loops, since formal covariances hold only for a registration in the right minimum: per
#: edge (m, rad), per distance and per turn.
_DOUBT_T, _DOUBT_R, _DOUBT_DISTANCE, _DOUBT_TURN = 0.008, 0.003, 0.015, 0.01
#: Lever arm (m) that converts heading error to position error when paths are compared.
_LEVER = 2.0
#: Places for factors of which so many times more are there than factors are made anew.
_SPARE = 1.5


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
        self._poses: dict[int, np.ndarray] = {}
        self._next = 0
        self._held: dict[int, tuple[np.ndarray, tuple[float, float]]] = {}
        self._level: dict[int, tuple[np.ndarray, float, float]] = {}
        #: Keyframe or hub -> (neighbour, variance of position, of heading). A hub (number below 0) is an existing map.
        self._neighbours: dict[int, list[tuple[int, float, float]]] = {}
        self._hubs: dict[str, int] = {}
        #: Of each keyframe the edges it is in, and the place of every edge and level prior among GTSAM's factors.
        self._edges: dict[int, list[Edge]] = {}
        self._places: dict[Edge | int, int] = {}

    def __len__(self) -> int:
        return len(self._poses)

    def __contains__(self, number: int) -> bool:
        return number in self._poses

    @property
    def numbers(self) -> np.ndarray:
        """N int64, of all keyframes, ascending."""
        return np.fromiter(self._poses, np.int64, len(self._poses))

    @property
    def edges(self) -> list[Edge]:
        """All edges, those of the earliest keyframes first."""
        return [e for number, edges in self._edges.items() for e in edges if e.first == number]

    def add(self, T: np.ndarray) -> int:
        """Adds a keyframe at an initial guess (4x4, map from optical frame); the first one is fixed there."""
        number, self._next = self._next, self._next + 1
        self._values.insert(number, self._gtsam.Pose3(T))
        self._poses[number] = np.array(T, np.float64)
        self._neighbours[number], self._edges[number] = [], []
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
        self._edges[first].append(edge)
        self._edges[second].append(edge)
        self._put(edge, self._edge_factor(edge))
        covariance = _inverse(information)
        formal_t = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
        formal_r = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
        doubt_t = _DOUBT_T + _DOUBT_DISTANCE * float(np.linalg.norm(T[:3, 3]))
        sigma_t, sigma_r = max(formal_t, doubt_t), max(formal_r, _DOUBT_R + _DOUBT_TURN * rotation_angle(T))
        self._neighbours[first].append((second, sigma_t**2, sigma_r**2))
        self._neighbours[second].append((first, sigma_t**2, sigma_r**2))

    def hold_level(self, number: int, T: np.ndarray, height: float, tilt: float) -> None:
        """Adds a prior on a keyframe's height and tilt only, those of T, with standard deviations (m, rad)."""
        self._level[number] = (T, height, tilt)
        self._put(number, self._level_factor(number))

    def _put(self, key: Edge | int, factor) -> None:
        self._places[key] = self._graph.size()
        self._graph.push_back(factor)

    def is_held(self, number: int) -> bool:
        """Whether a keyframe has a prior of its own: such a one cannot be taken out."""
        return number in self._held

    def edges_of(self, number: int) -> list[Edge]:
        """The edges that a keyframe is in."""
        return list(self._edges[number])

    def retire(self, number: int) -> tuple[int, np.ndarray]:
        """Takes a keyframe out; its edges lead through the neighbour that it is tied to most closely from then on.

        An edge between two keyframes that have one already is left out if it says less. That is the marginal of the
        graph but for one thing: edges that shared the taken-out tie count as independent.

        Returns:
            That neighbour, and its 4x4 pose from the keyframe's.

        Raises:
            ValueError: a keyframe with a prior, or without an edge.
        """
        edges = self._edges[number]
        if number in self._held or not edges:
            raise ValueError(f"keyframe {number} holds the graph")
        tie = _toward(max(edges, key=_weight), number)
        heir = tie.first
        for edge in edges:
            led = _chained(tie, _turned(_toward(edge, number)))
            if led.second != heir:
                self._tie_up(led)
        for edge in edges:
            self._drop_edge(edge, number)
        self._neighbours.pop(number)
        del self._edges[number], self._poses[number]
        if self._level.pop(number, None) is not None:
            self._graph.remove(self._places.pop(number))
        self._values.erase(number)
        return heir, tie.T

    def _tie_up(self, edge: Edge) -> None:
        """Adds an edge unless there is one between the two that says more; one that says less goes."""
        ends = {edge.first, edge.second}
        for other in [e for e in self._edges[edge.first] if {e.first, e.second} == ends]:
            if _weight(other) >= _weight(edge):
                return
            self._drop_edge(other)
        self.connect(edge.first, edge.second, edge.T, edge.information, edge.loop)

    def _drop_edge(self, edge: Edge, leaving: int | None = None) -> None:
        """Takes an edge out; the keyframe that is ``leaving`` is forgotten anyway."""
        for here, there in ((edge.first, edge.second), (edge.second, edge.first)):
            if here != leaving:
                self._edges[here].remove(edge)
                k = next(k for k, (n, _, _) in enumerate(self._neighbours[here]) if n == there)
                del self._neighbours[here][k]
        self._graph.remove(self._places.pop(edge))

    def move(self, numbers: Iterable[int], T: np.ndarray, release: int | None = None) -> None:
        """Moves keyframes into another frame (4x4, new from old) together with their priors.

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
        self._places.clear()
        for number, T in self._poses.items():
            self._values.insert(number, gtsam.Pose3(T))
        for number in self._held:
            self._graph.add(self._hold_factor(number))
        for number in self._level:
            self._put(number, self._level_factor(number))
        for edge in self.edges:
            self._put(edge, self._edge_factor(edge))

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
        gtsam, covariance = self._gtsam, _inverse(edge.information)
        noise = gtsam.noiseModel.Gaussian.Covariance(_covariance(edge.T, covariance))
        if edge.loop:
            noise = gtsam.noiseModel.Robust.Create(gtsam.noiseModel.mEstimator.Cauchy.Create(3.0), noise)
        return gtsam.BetweenFactorPose3(edge.first, edge.second, gtsam.Pose3(edge.T), noise)

    def optimise(self) -> None:
        """Optimises all poses."""
        if self._graph.size() > _SPARE * max(self._graph.nrFactors(), 1):
            self._assemble()  # without the empty places that keyframes left
        parameters = self._gtsam.LevenbergMarquardtParams()
        parameters.setMaxIterations(20)
        parameters.setRelativeErrorTol(1e-4)
        self._values = self._gtsam.LevenbergMarquardtOptimizer(self._graph, self._values, parameters).optimize()
        self._poses = {i: self._values.atPose3(i).matrix() for i in self._poses}

    def pose(self, number: int) -> np.ndarray:
        """4x4, map from optical frame, the current estimate."""
        return self._poses[number]

    def poses(self) -> np.ndarray:
        """Nx4x4 float64, map from optical frame, the current estimates of :attr:`numbers`."""
        return np.array(list(self._poses.values())).reshape(-1, 4, 4)

    def uncertainty(self, source: int) -> np.ndarray:
        """Standard deviations (Nx2: m, rad) of the poses of :attr:`numbers` relative to ``source``.

        Errors accumulate along the most certain path through the graph, heading errors with their lever arm. An upper
        bound, since other paths only add information. Infinite where there is no path.
        """
        nodes = [*self._poses, *sorted(self._hubs.values(), reverse=True)]
        n, lists = len(self), [self._neighbours[number] for number in nodes]
        first = np.cumsum([0, *map(len, lists)])
        flat = chain.from_iterable(chain.from_iterable(lists))
        edges = np.fromiter(flat, np.float64, 3 * int(first[-1])).reshape(-1, 3)
        others = edges[:, 0].astype(np.int64)
        ends = np.where(others < 0, n - 1 - others, np.searchsorted(self.numbers, others))
        positions = np.zeros((len(nodes), 3))
        positions[:n] = self.poses()[:, :3, 3] - self._poses[source][:3, 3]
        start = int(np.searchsorted(self.numbers, source))
        cost, sums = along_paths(start, first, ends, edges[:, 1].copy(), edges[:, 2].copy(), positions)
        lever = sums[:, 1] * (positions**2).sum(1) - 2.0 * (positions * sums[:, 2:5]).sum(1) + sums[:, 5]
        sigma = np.sqrt(np.stack([sums[:, 0] + np.maximum(lever, 0.0), sums[:, 1]], axis=1))
        sigma[~np.isfinite(cost)] = np.inf
        return sigma[: len(self)]


@njit(cache=True, nogil=True)
def along_paths(start, first, ends, var_t, var_r, positions):
    """Costs (N) of the most certain paths from a node to all others, and sums (N x 6) along these.

    The sums are of position variances, and of heading variances times 1, edge position, its square. The edges of node i
    are those from ``first[i]`` to ``first[i + 1]``, with the nodes that they lead to, and both variances.
    """
    n = positions.shape[0]
    cost, sums = np.full(n, np.inf), np.zeros((n, 6))
    cost[start] = 0.0
    queue = [(0.0, start)]
    while len(queue):
        so_far, here = heapq.heappop(queue)
        if so_far > cost[here]:
            continue
        p = positions[here]
        for k in range(first[here], first[here + 1]):
            there, total = ends[k], so_far + var_t[k] + var_r[k] * _LEVER**2
            if total < cost[there]:
                cost[there] = total
                sums[there] = sums[here]
                sums[there, 0] += var_t[k]
                sums[there, 1] += var_r[k]
                for a in range(3):
                    sums[there, 2 + a] += var_r[k] * p[a]
                    sums[there, 5] += var_r[k] * p[a] * p[a]
                heapq.heappush(queue, (total, there))
    return cost, sums


def _weight(edge: Edge) -> float:
    """How much an edge says of position, 1/m^2."""
    return float(np.trace(edge.information[:3, :3]))


def _toward(edge: Edge, number: int) -> Edge:
    """The edge with ``number`` as its second keyframe."""
    return edge if edge.second == number else _turned(edge)


def _turned(edge: Edge) -> Edge:
    """The edge from its other end."""
    T = invert(edge.T)
    back = np.linalg.inv(_adjoint(T))
    return Edge(edge.second, edge.first, T, back.T @ edge.information @ back, edge.loop)


def _chained(edge: Edge, next_edge: Edge) -> Edge:
    """One edge for two that follow each other; a loop if one of them is."""
    A = _adjoint(edge.T)
    covariance = _inverse(edge.information) + A @ _inverse(next_edge.information) @ A.T
    T, loop = edge.T @ next_edge.T, edge.loop or next_edge.loop
    return Edge(edge.first, next_edge.second, T, np.linalg.inv(covariance), loop)


def _inverse(information: np.ndarray) -> np.ndarray:
    return np.linalg.inv(information + 1e-6 * np.eye(6))


def _adjoint(T: np.ndarray) -> np.ndarray:
    """6x6 on (translation, rotation): what a perturbation on the right of T is on its left."""
    R, t = T[:3, :3], T[:3, 3]
    A = np.zeros((6, 6))
    A[:3, :3] = A[3:, 3:] = R
    A[:3, 3:] = np.array([[0.0, -t[2], t[1]], [t[2], 0.0, -t[0]], [-t[1], t[0], 0.0]]) @ R
    return A


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
