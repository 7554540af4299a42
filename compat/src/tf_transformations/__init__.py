"""Stand-in for tf_transformations: rotations, Euler angles, quaternions (x, y, z, w) and 4x4 matrices.

Matrices are (4, 4) float64 acting on column vectors, angles are in radians. Axis sequences are 'sxyz' and its 23
sisters (s: static, r: rotating axes) or their four-number codes. Built on transforms3d, whose quaternions begin with w.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from transforms3d import affines, axangles, euler, quaternions, reflections, shears, zooms

from ._arcball import Arcball, arcball_constrain_to_axis, arcball_map_to_sphere, arcball_nearest_axis
from ._projections import clip_matrix, projection_from_matrix, projection_matrix
from ._registration import superimposition_matrix
from ._vectors import is_same_transform, random_vector, unit_vector, vector_norm

__all__ = [
    "ROTATION_IDENTITY",
    "SHEAR_IDENTITY",
    "TRANSLATION_IDENTITY",
    "ZOOM_IDENTITY",
    "Arcball",
    "arcball_constrain_to_axis",
    "arcball_map_to_sphere",
    "arcball_nearest_axis",
    "clip_matrix",
    "compose_matrix",
    "concatenate_matrices",
    "decompose_matrix",
    "euler_from_matrix",
    "euler_from_quaternion",
    "euler_matrix",
    "identity_matrix",
    "inverse_matrix",
    "is_same_transform",
    "orthogonalization_matrix",
    "projection_from_matrix",
    "projection_matrix",
    "quaternion_about_axis",
    "quaternion_conjugate",
    "quaternion_from_euler",
    "quaternion_from_matrix",
    "quaternion_inverse",
    "quaternion_matrix",
    "quaternion_multiply",
    "quaternion_slerp",
    "random_quaternion",
    "random_rotation_matrix",
    "random_vector",
    "reflection_from_matrix",
    "reflection_matrix",
    "rotation_from_matrix",
    "rotation_matrix",
    "scale_from_matrix",
    "scale_matrix",
    "shear_from_matrix",
    "shear_matrix",
    "superimposition_matrix",
    "translation_from_matrix",
    "translation_matrix",
    "unit_vector",
    "vector_norm",
]

TRANSLATION_IDENTITY = [0.0, 0.0, 0.0]
ROTATION_IDENTITY = np.identity(3)
ZOOM_IDENTITY = [1.0, 1.0, 1.0]
SHEAR_IDENTITY = TRANSLATION_IDENTITY

_AXES2TUPLE = dict(euler._AXES2TUPLE)
_TUPLE2AXES = {code: name for name, code in _AXES2TUPLE.items()}
_SAME_ROTATION = 4.0 * np.finfo(float).eps

Axes = str | tuple[int, int, int, int]


def _w_first(quaternion: ArrayLike) -> np.ndarray:
    x, y, z, w = quaternion
    return np.array((w, x, y, z), dtype=np.float64)


def _w_last(quaternion: ArrayLike) -> tuple[float, float, float, float]:
    w, x, y, z = quaternion
    return x, y, z, w


def _homogeneous(rotation: np.ndarray) -> np.ndarray:
    matrix = np.identity(4)
    matrix[:3, :3] = rotation
    return matrix


def identity_matrix() -> np.ndarray:
    """Return the 4x4 identity."""
    return np.identity(4)


def translation_matrix(direction: ArrayLike) -> np.ndarray:
    """Return the matrix that moves by the vector."""
    matrix = np.identity(4)
    matrix[:3, 3] = direction[:3]
    return matrix


def translation_from_matrix(matrix: ArrayLike) -> np.ndarray:
    """Return the translation part, shape (3,)."""
    return np.array(matrix, dtype=np.float64)[:3, 3]


def reflection_matrix(point: ArrayLike, normal: ArrayLike) -> np.ndarray:
    """Return the mirror at the plane through the point."""
    return reflections.rfnorm2aff(normal, point[:3])


def reflection_from_matrix(matrix: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return point and normal of the plane that the matrix mirrors at."""
    normal, point = reflections.aff2rfnorm(matrix)
    return point, normal


def rotation_matrix(angle: float, direction: ArrayLike, point: ArrayLike | None = None) -> np.ndarray:
    """Return the rotation by the angle about the axis along direction through the point (default the origin)."""
    return axangles.axangle2aff(direction, angle, point=point)


def rotation_from_matrix(matrix: ArrayLike) -> tuple[float, np.ndarray, np.ndarray]:
    """Return angle, axis and a point on the axis."""
    direction, angle, point = axangles.aff2axangle(np.asarray(matrix, dtype=np.float64))
    return angle, direction, point


def scale_matrix(factor: float, origin: ArrayLike | None = None, direction: ArrayLike | None = None) -> np.ndarray:
    """Return the scaling about the origin, along one direction where given; factor -1 is the point reflection."""
    return zooms.zfdir2aff(factor, direction=direction, origin=origin)


def scale_from_matrix(matrix: ArrayLike) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Return factor, origin and direction (None: uniform)."""
    factor, direction, origin = zooms.aff2zfdir(matrix)
    return factor, origin, direction


def shear_matrix(angle: float, direction: ArrayLike, point: ArrayLike, normal: ArrayLike) -> np.ndarray:
    """Return the shear by the angle along direction, which lies in the plane of point and normal."""
    return shears.sadn2aff(angle, direction, normal, point)


def shear_from_matrix(matrix: ArrayLike) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return angle, direction, point and normal of a shear."""
    angle, direction, normal, point = shears.aff2sadn(matrix)
    return angle, direction, point, normal


def decompose_matrix(matrix: ArrayLike) -> tuple:
    """Return scale (3,), shear (3,), angles about static x, y, z, translation (3,), and None for perspective."""
    translation, rotation, scale, shear = affines.decompose(matrix)
    return scale, shear, euler_from_matrix(rotation), translation, None


def compose_matrix(scale=None, shear=None, angles=None, translate=None, perspective=None) -> np.ndarray:
    """Return the matrix of the parts that decompose_matrix names; `perspective` has no effect."""
    rotation = np.identity(3) if angles is None else euler.euler2mat(*angles)
    return affines.compose(
        np.zeros(3) if translate is None else translate,
        rotation,
        np.ones(3) if scale is None else scale,
        np.zeros(3) if shear is None else shear,
    )


def orthogonalization_matrix(lengths: Sequence[float], angles: Sequence[float]) -> np.ndarray:
    """Return the matrix from fractional to Cartesian coordinates of a crystal cell.

    Args:
        lengths: a, b, c, the cell's edges.
        angles: alpha, beta, gamma, the angles between (b, c), (a, c), (a, b), in degrees.

    c lies along z and b in the plane of y and z.
    """
    a, b, c = lengths
    alpha, beta, gamma = np.radians(angles)
    # a's component along y follows from a . b = |a| |b| cos(gamma), its component along x from its length.
    along_y = (math.cos(gamma) - math.cos(alpha) * math.cos(beta)) / math.sin(alpha)
    along_x = math.sqrt(math.sin(beta) ** 2 - along_y**2)
    matrix = np.identity(4)
    matrix[:3, 0] = a * along_x, a * along_y, a * math.cos(beta)
    matrix[:3, 1] = 0.0, b * math.sin(alpha), b * math.cos(alpha)
    matrix[:3, 2] = 0.0, 0.0, c
    return matrix


def euler_matrix(ai: float, aj: float, ak: float, axes: Axes = "sxyz") -> np.ndarray:
    """Return the rotation by three angles about the axes of the sequence."""
    return _homogeneous(euler.euler2mat(ai, aj, ak, axes=axes))


def euler_from_matrix(matrix: ArrayLike, axes: Axes = "sxyz") -> tuple[float, float, float]:
    """Return three angles that make the rotation part of the matrix, (3, 3) or (4, 4)."""
    return euler.mat2euler(matrix, axes=axes)


def euler_from_quaternion(quaternion: ArrayLike, axes: Axes = "sxyz") -> tuple[float, float, float]:
    """Return three angles that make the quaternion's rotation."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: Axes = "sxyz") -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w) of three angles about the axes of the sequence."""
    return _w_last(euler.euler2quat(ai, aj, ak, axes=axes))


def quaternion_about_axis(angle: float, axis: ArrayLike) -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w) of the rotation about the axis."""
    return _w_last(quaternions.axangle2quat(axis, angle))


def quaternion_matrix(quaternion: ArrayLike) -> np.ndarray:
    """Return the 4x4 rotation of the quaternion, whose length does not matter."""
    return _homogeneous(quaternions.quat2mat(_w_first(quaternion)))


def quaternion_from_matrix(matrix: ArrayLike) -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w) of the rotation in a 4x4 matrix; scale and shear are taken out first."""
    return _w_last(quaternions.mat2quat(affines.decompose(np.asarray(matrix, dtype=np.float64))[1]))


def quaternion_multiply(quaternion1: ArrayLike, quaternion0: ArrayLike) -> tuple[float, float, float, float]:
    """Return quaternion1 * quaternion0: first turn by quaternion0."""
    return _w_last(quaternions.qmult(_w_first(quaternion1), _w_first(quaternion0)))


def quaternion_conjugate(quaternion: ArrayLike) -> np.ndarray:
    """Return (-x, -y, -z, w)."""
    return np.array(quaternion, dtype=np.float64) * (-1.0, -1.0, -1.0, 1.0)


def quaternion_inverse(quaternion: ArrayLike) -> np.ndarray:
    """Return the quaternion whose product with this one is (0, 0, 0, 1)."""
    return quaternion_conjugate(quaternion) / np.dot(quaternion, quaternion)


def quaternion_slerp(
    quat0: ArrayLike, quat1: ArrayLike, fraction: float, spin: int = 0, shortestpath: bool = True
) -> np.ndarray:
    """Return the rotation at `fraction` of the way from quat0 to quat1 at constant angular speed.

    `spin` adds half turns on the way; shortestpath goes by -quat1 where that is nearer.
    """
    start, end = unit_vector(quat0[:4]), unit_vector(quat1[:4])
    if fraction in (0.0, 1.0):
        return end if fraction else start
    cosine = float(np.dot(start, end))
    if abs(abs(cosine) - 1.0) < _SAME_ROTATION:
        return start
    if shortestpath and cosine < 0.0:
        cosine, end = -cosine, -end
    angle = math.acos(cosine) + spin * math.pi
    if abs(angle) < _SAME_ROTATION:
        return start
    return (math.sin((1.0 - fraction) * angle) * start + math.sin(fraction * angle) * end) / math.sin(angle)


def random_quaternion(rand: ArrayLike | None = None) -> np.ndarray:
    """Return a unit quaternion, uniform over all rotations.

    `rand`: three numbers, uniform in [0, 1), instead of numpy's. Shoemake, Uniform random rotations, 1992.
    """
    # numpy's global generator: programs seed it with np.random.seed.
    u, v, w = np.random.random(3) if rand is None else rand  # noqa: NPY002
    outer, inner = math.sqrt(1.0 - u), math.sqrt(u)
    a, b = 2.0 * math.pi * v, 2.0 * math.pi * w
    return np.array((outer * math.sin(a), outer * math.cos(a), inner * math.sin(b), inner * math.cos(b)))


def random_rotation_matrix(rand: ArrayLike | None = None) -> np.ndarray:
    """Return a 4x4 rotation, uniform over all rotations; `rand` as in random_quaternion."""
    return quaternion_matrix(random_quaternion(rand))


def inverse_matrix(matrix: ArrayLike) -> np.ndarray:
    """Return the inverse of a square matrix."""
    return np.linalg.inv(matrix)


def concatenate_matrices(*matrices: ArrayLike) -> np.ndarray:
    """Return the product of 4x4 matrices from left to right."""
    product = np.identity(4)
    for matrix in matrices:
        product = product @ np.asarray(matrix)
    return product
