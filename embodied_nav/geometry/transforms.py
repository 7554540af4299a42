"""Rigid transforms as 4x4 float64 matrices, planar poses, quaternions, Habitat's axes. Knows nothing of cameras."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

#: Camera link (x forward, y left, z up) from camera optical (x right, y down, z forward), REP-103.
T_LINK_OPTICAL = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
T_LINK_OPTICAL.setflags(write=False)


def invert(T: np.ndarray) -> np.ndarray:
    """Inverse of a rigid 4x4 transform (transpose, not a general inverse)."""
    out = np.eye(4)
    R = T[:3, :3]
    out[:3, :3] = R.T
    out[:3, 3] = -R.T @ T[:3, 3]
    return out


def is_rigid(T: np.ndarray, tolerance: float = 1e-3) -> bool:
    """Whether T is a finite 4x4 rigid transform: rotation orthonormal within ``tolerance``, determinant +1."""
    T = np.asarray(T)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        return False
    R = T[:3, :3]
    return bool(
        np.abs(R @ R.T - np.eye(3)).max() < tolerance
        and np.linalg.det(R) > 0
        and np.allclose(T[3], [0.0, 0.0, 0.0, 1.0], atol=1e-9)
    )


def nearest_rigid(T: np.ndarray) -> np.ndarray:
    """The rigid 4x4 transform whose rotation is nearest to that of T, for what was rounded or multiplied often."""
    U, _, V = np.linalg.svd(np.asarray(T, dtype=np.float64)[:3, :3])
    out = np.eye(4)
    out[:3, :3] = U @ np.diag([1.0, 1.0, np.linalg.det(U @ V)]) @ V
    out[:3, 3] = T[:3, 3]
    return out


def pose2d(x: float, y: float, yaw: float, z: float = 0.0) -> np.ndarray:
    """4x4 transform of a planar pose (m, m, rad)."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]])


def yaw_of(T: np.ndarray) -> float:
    """Heading (rad) of the x axis of T about the vertical."""
    return math.atan2(T[1, 0], T[0, 0])


def rotation_angle(T: np.ndarray) -> float:
    """Angle (rad, 0 to pi) of the rotation of a 4x4 or 3x3 transform."""
    return math.acos(min(1.0, max(-1.0, (float(np.trace(T[:3, :3])) - 1.0) / 2.0)))


def transform_points(T: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies a 4x4 transform to ...x3 points, in the points' dtype."""
    R = T[:3, :3].astype(points.dtype, copy=False)
    return points @ R.T + T[:3, 3].astype(points.dtype, copy=False)


def matrix_from_quaternion(q: ArrayLike, translation: ArrayLike = (0.0, 0.0, 0.0)) -> np.ndarray:
    """4x4 transform of a quaternion (4: x, y, z, w), normalised here, and a translation (3, m).

    Raises:
        ValueError: a quaternion of zero length or with a NaN.
    """
    x, y, z, w = (float(v) for v in np.asarray(q, np.float64))
    n = x * x + y * y + z * z + w * w
    if not n > 1e-12 or not math.isfinite(n):
        raise ValueError(f"quaternion {(x, y, z, w)} has no direction")
    s = 2.0 / n
    T = np.eye(4)
    T[:3, :3] = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    T[:3, 3] = translation
    return T


def quaternion_from_matrix(T: np.ndarray) -> np.ndarray:
    """Unit quaternion (x, y, z, w), w >= 0, of the rotation of a 4x4 or 3x3 transform (Shepperd's method)."""
    R = np.asarray(T)[:3, :3]
    candidates = np.array([R[0, 0], R[1, 1], R[2, 2], R[0, 0] + R[1, 1] + R[2, 2]])
    k = int(np.argmax(candidates))
    q = np.empty(4)
    if k == 3:
        q[:] = [R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1], 1.0 + candidates[3]]
    else:
        i, j, m = k, (k + 1) % 3, (k + 2) % 3
        q[i] = 1.0 - candidates[3] + 2.0 * R[i, i]
        q[j] = R[j, i] + R[i, j]
        q[m] = R[m, i] + R[i, m]
        q[3] = R[m, j] - R[j, m]
    q /= np.linalg.norm(q)
    return -q if q[3] < 0 else q


def ros_from_habitat(p: np.ndarray) -> np.ndarray:
    """Points (...x3) from Habitat's axes (x right, y up, -z forward) to ROS (x forward, y left, z up)."""
    p = np.asarray(p)
    return np.stack([-p[..., 2], -p[..., 0], p[..., 1]], axis=-1)


def habitat_from_ros(p: np.ndarray) -> np.ndarray:
    """Points (...x3) from ROS axes to Habitat's: (x, y, z) = ROS (-y, z, -x)."""
    p = np.asarray(p)
    return np.stack([-p[..., 1], p[..., 2], -p[..., 0]], axis=-1)
