"""Arcball: a ball under the mouse that turns what is shown (Shoemake, 1992). Window coordinates: x right, y down."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._vectors import unit_vector, vector_norm

_ZERO = 4.0 * np.finfo(float).eps


def arcball_map_to_sphere(point: Sequence[float], center: Sequence[float], radius: float) -> np.ndarray:
    """Return the point of the unit sphere, (3,), that lies under a window point; its rim for one outside."""
    x, y = (point[0] - center[0]) / radius, (center[1] - point[1]) / radius
    beside = x * x + y * y
    if beside > 1.0:
        return np.array((x, y, 0.0)) / math.sqrt(beside)
    return np.array((x, y, math.sqrt(1.0 - beside)))


def arcball_constrain_to_axis(point: ArrayLike, axis: ArrayLike) -> np.ndarray:
    """Return the point of the sphere's front half, (3,), nearest to `point` on the circle around a unit axis."""
    point, axis = np.array(point, dtype=np.float64), np.array(axis, dtype=np.float64)
    flat = point - axis * np.dot(axis, point)
    length = vector_norm(flat)
    if length > _ZERO:
        return flat / (-length if flat[2] < 0.0 else length)
    # The point is the axis' end: any point of the circle is as near.
    return np.array((1.0, 0.0, 0.0)) if axis[2] == 1.0 else unit_vector((-axis[1], axis[0], 0.0))


def arcball_nearest_axis(point: ArrayLike, axes: Sequence[ArrayLike]) -> ArrayLike | None:
    """Return the axis whose circle comes nearest to the point; the first of equals, None of none."""
    nearness = [float(np.dot(arcball_constrain_to_axis(point, axis), point)) for axis in axes]
    return axes[int(np.argmax(nearness))] if nearness and max(nearness) > -1.0 else None


class Arcball:
    """Turns drags of the mouse into a rotation.

    Args:
        initial: quaternion (x, y, z, w) or 4x4 rotation to begin with; the identity by default.
    """

    def __init__(self, initial: ArrayLike | None = None) -> None:
        self._center, self._radius = [0.0, 0.0], 1.0
        self._axes: list[np.ndarray] | None = None
        self._axis: np.ndarray | None = None
        self._constrain = False
        self._grip = np.array((0.0, 0.0, 1.0))
        self._before = self._now = self._held = _as_quaternion(initial)

    def place(self, center: Sequence[float], radius: float) -> None:
        """Put the ball's middle and radius somewhere in the window."""
        self._center, self._radius = [center[0], center[1]], float(radius)

    def setaxes(self, *axes: ArrayLike) -> None:
        """Set the axes about which a constrained drag may turn."""
        self._axes = [unit_vector(axis) for axis in axes]

    def setconstrain(self, constrain: bool) -> None:
        """Constrain drags to the axes, or free them."""
        self._constrain = constrain is True

    def getconstrain(self) -> bool:
        """Return whether drags are constrained."""
        return self._constrain

    def down(self, point: Sequence[float]) -> None:
        """Begin a drag at a window point; a constrained one picks its axis there."""
        self._held = self._before = self._now
        self._axis, self._grip = None, arcball_map_to_sphere(point, self._center, self._radius)
        if self._constrain and self._axes:
            self._axis = arcball_nearest_axis(self._grip, self._axes)
            self._grip = arcball_constrain_to_axis(self._grip, self._axis)

    def drag(self, point: Sequence[float]) -> None:
        """Turn the ball so that what was gripped follows to this window point, twice as far about the middle."""
        from . import quaternion_multiply

        here = arcball_map_to_sphere(point, self._center, self._radius)
        if self._axis is not None:
            here = arcball_constrain_to_axis(here, self._axis)
        axis = np.cross(self._grip, here)
        self._before = self._now
        still = np.dot(axis, axis) < _ZERO
        self._now = self._held if still else quaternion_multiply((*axis, np.dot(self._grip, here)), self._held)

    def next(self, acceleration: float = 0.0) -> None:
        """Turn on as the last drag did; `acceleration` is a part of its angle more."""
        from . import quaternion_slerp

        self._before, self._now = self._now, quaternion_slerp(self._before, self._now, 2.0 + acceleration, False)

    def matrix(self) -> np.ndarray:
        """Return the 4x4 rotation."""
        from . import quaternion_matrix

        return quaternion_matrix(self._now)


def _as_quaternion(initial: ArrayLike | None) -> np.ndarray:
    from . import quaternion_from_matrix

    if initial is None:
        return np.array((0.0, 0.0, 0.0, 1.0))
    initial = np.array(initial, dtype=np.float64)
    if initial.shape == (4, 4):
        return np.asarray(quaternion_from_matrix(initial))
    if initial.shape == (4,):
        return unit_vector(initial)
    raise ValueError("initial not a quaternion or matrix.")
