"""The pose graph of keyframes, optimised by GTSAM. Knows nothing of images."""

from __future__ import annotations

import numpy as np

from ..errors import InputError

#: No edge is believed beyond this (rad, m): unmodelled error of calibration and time.
_FLOOR = np.array([0.002] * 3 + [0.004] * 3)


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

    def __len__(self) -> int:
        return self._values.size()

    def add(self, T: np.ndarray, T_previous: np.ndarray | None, information: np.ndarray | None) -> int:
        """Adds a keyframe.

        Args:
            T: 4x4 first guess of its pose in map.
            T_previous: 4x4, the previous keyframe from this one, or None for the first, which is held.
            information: 6x6 of T_previous, (translation, rotation), perturbed on the left.
        """
        gtsam, number = self._gtsam, len(self)
        self._values.insert(number, gtsam.Pose3(T))
        if T_previous is None:
            noise = gtsam.noiseModel.Isotropic.Sigma(6, 1e-6)
            self._graph.add(gtsam.PriorFactorPose3(number, gtsam.Pose3(T), noise))
        else:
            noise = gtsam.noiseModel.Gaussian.Covariance(_covariance(T_previous, information))
            self._graph.add(gtsam.BetweenFactorPose3(number - 1, number, gtsam.Pose3(T_previous), noise))
        return number

    def add_loop(self, first: int, second: int, T: np.ndarray, information: np.ndarray) -> None:
        """Adds a loop: T is 4x4, ``first`` from ``second``; information as in :meth:`add`."""
        gtsam = self._gtsam
        noise = gtsam.noiseModel.Robust.Create(
            gtsam.noiseModel.mEstimator.Cauchy.Create(3.0),
            gtsam.noiseModel.Gaussian.Covariance(_covariance(T, information)),
        )
        self._graph.add(gtsam.BetweenFactorPose3(first, second, gtsam.Pose3(T), noise))

    def optimise(self) -> np.ndarray:
        """Optimises all poses; returns Nx4x4, map from optical frame."""
        parameters = self._gtsam.LevenbergMarquardtParams()
        parameters.setMaxIterations(30)
        self._values = self._gtsam.LevenbergMarquardtOptimizer(self._graph, self._values, parameters).optimize()
        return self.poses()

    def poses(self) -> np.ndarray:
        """Nx4x4 float64, map from optical frame, as they are."""
        return np.array([self._values.atPose3(i).matrix() for i in range(len(self))]).reshape(-1, 4, 4)


def _covariance(T: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Covariance in GTSAM's order (rotation, translation) and perturbation (right) from ours (translation, rotation;
    left, uncoupled)."""
    C = np.linalg.inv(information + 1e-6 * np.eye(6))
    R, t = T[:3, :3], T[:3, 3]
    skew = np.array([[0.0, -t[2], t[1]], [t[2], 0.0, -t[0]], [-t[1], t[0], 0.0]])
    M = np.zeros((6, 6))
    M[:3, 3:] = R.T
    M[3:, :3] = R.T
    M[3:, 3:] = -R.T @ skew
    C = M @ C @ M.T
    return (C + C.T) / 2.0 + np.diag(_FLOOR**2)
