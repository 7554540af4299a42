"""The rigid or similarity transform that best lays one point set upon another."""

import numpy as np
from numpy.typing import ArrayLike
from transforms3d.quaternions import quat2mat


def _rotation_by_svd(covariance: np.ndarray) -> np.ndarray:
    """Kabsch, 1976: nearest proper rotation to the cross covariance."""
    u, _, vt = np.linalg.svd(covariance)
    proper = np.diag((1.0, 1.0, np.sign(np.linalg.det(u @ vt))))
    return u @ proper @ vt


def _rotation_by_quaternion(covariance: np.ndarray) -> np.ndarray:
    """Horn, 1987: the quaternion is the leading eigenvector of a symmetric 4x4 matrix."""
    s = covariance.T
    antisymmetric = np.array((s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]))
    matrix = np.empty((4, 4))
    matrix[0, 0] = np.trace(s)
    matrix[0, 1:] = matrix[1:, 0] = antisymmetric
    matrix[1:, 1:] = s + s.T - np.trace(s) * np.identity(3)
    return quat2mat(np.linalg.eigh(matrix)[1][:, -1])


def superimposition_matrix(v0: ArrayLike, v1: ArrayLike, scaling: bool = False, usesvd: bool = True) -> np.ndarray:
    """Return the 4x4 matrix that moves the points v0 onto v1 with the least sum of squared distances.

    Args:
        v0, v1: (3, N) or (4, N) points as columns, N >= 3.
        scaling: allow one common scale.
        usesvd: Kabsch's method, else Horn's; the results are the same.

    Raises:
        ValueError: shapes that do not fit.
    """
    first, second = (np.asarray(v, dtype=np.float64)[:3] for v in (v0, v1))
    if first.shape != second.shape or first.shape[1] < 3:
        raise ValueError("Vector sets are of wrong shape or type.")
    mean0, mean1 = first.mean(axis=1), second.mean(axis=1)
    first, second = first - mean0[:, None], second - mean1[:, None]
    covariance = second @ first.T
    rotation = _rotation_by_svd(covariance) if usesvd else _rotation_by_quaternion(covariance)
    if scaling:
        rotation = rotation * np.sqrt(np.sum(second * second) / np.sum(first * first))
    matrix = np.identity(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = mean1 - rotation @ mean0
    return matrix
