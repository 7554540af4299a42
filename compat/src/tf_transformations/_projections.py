"""Projections onto planes and the view frustum, as 4x4 matrices on homogeneous points."""

import numpy as np
from numpy.typing import ArrayLike

from ._vectors import unit_vector

_ZERO = 1e-8


def _vector(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)[:3]


def projection_matrix(
    point: ArrayLike,
    normal: ArrayLike,
    direction: ArrayLike | None = None,
    perspective: ArrayLike | None = None,
    pseudo: bool = False,
) -> np.ndarray:
    """Return the projection onto the plane of point and normal.

    Orthogonal, or parallel along `direction`, or central from the point `perspective`; with pseudo the central one
    keeps depth: orthogonal @ pseudo = central.
    """
    point, normal = _vector(point), unit_vector(_vector(normal))
    matrix = np.identity(4)
    height = point @ normal
    if perspective is None:
        along = normal if direction is None else _vector(direction) / (_vector(direction) @ normal)
        # x' = x - along (n . (x - p))
        matrix[:3, :3] -= np.outer(along, normal)
        matrix[:3, 3] = height * along
        return matrix
    centre = _vector(perspective)
    # x' = c + (x - c) (n . (c - p)) / (n . (c - x)), with the divisor as the fourth coordinate.
    matrix[:3, :3] *= (centre - point) @ normal
    matrix[:3, :3] -= np.outer(centre, normal)
    matrix[:3, 3] = height * centre
    if pseudo:
        matrix[:3, :3] -= np.outer(normal, normal)
        matrix[:3, 3] += height * normal
    matrix[3, :3] = -normal
    matrix[3, 3] = centre @ normal
    return matrix


def _eigenvector(matrix: np.ndarray, eigenvalue: float) -> np.ndarray | None:
    """Return the real eigenvector to the eigenvalue with the largest last component, None without one."""
    values, vectors = np.linalg.eig(matrix)
    found = np.real(vectors[:, np.abs(np.real(values) - eigenvalue) < _ZERO * max(1.0, abs(eigenvalue))])
    return found[:, np.argmax(np.abs(found[-1]))] if found.size else None


def projection_from_matrix(matrix: ArrayLike, pseudo: bool = False) -> tuple:
    """Return point, normal, direction, perspective and pseudo as projection_matrix takes them.

    Raises:
        ValueError: the matrix is no projection.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    fixed = None if pseudo else _eigenvector(matrix, 1.0)
    if fixed is not None:
        direction, normal = _eigenvector(matrix[:3, :3], 0.0), _eigenvector(matrix[:3, :3].T, 0.0)
        if direction is None or normal is None:
            raise ValueError("no eigenvector corresponding to eigenvalue 0")
        return fixed / fixed[3], unit_vector(normal), unit_vector(direction), None, False
    # The points of the plane have one eigenvalue, three times; the fourth lies below or above it.
    point = _eigenvector(matrix, np.sort(np.real(np.linalg.eigvals(matrix)))[1])
    if point is None or abs(point[3]) < _ZERO:
        raise ValueError("no plane of fixed points")
    point = point / point[3]
    normal = -matrix[3, :3]
    perspective = matrix[:3, 3] / (point[:3] @ normal)
    if pseudo:
        perspective = perspective - normal
    return point, normal, None, perspective, pseudo


def clip_matrix(
    left: float, right: float, bottom: float, top: float, near: float, far: float, perspective: bool = False
) -> np.ndarray:
    """Return the matrix from a view frustum to the cube [-1, 1]^3.

    The frustum is the box of the bounds, or with perspective the pyramid from the origin along z whose near face they
    bound (its results are homogeneous: divide by the fourth coordinate).

    Raises:
        ValueError: a bound is not below its opposite, or near <= 0 with perspective.
    """
    low, high = np.array((left, bottom, near), dtype=np.float64), np.array((right, top, far), dtype=np.float64)
    if np.any(low >= high):
        raise ValueError("invalid frustum: bounds out of order")
    size = high - low
    middle = (low + high) / size
    matrix = np.zeros((4, 4))
    if not perspective:
        matrix[:3, :3] = np.diag(2.0 / size)
        matrix[:3, 3] = -middle
        matrix[3, 3] = 1.0
        return matrix
    if near <= 4.0 * np.finfo(float).eps:
        raise ValueError("invalid frustum: near <= 0")
    matrix[0, 0], matrix[1, 1] = -2.0 * near / size[:2]
    matrix[:3, 2] = middle[0], middle[1], -middle[2]
    matrix[2, 3] = 2.0 * near * far / size[2]
    matrix[3, 2] = -1.0
    return matrix
