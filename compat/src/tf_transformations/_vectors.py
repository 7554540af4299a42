"""Vector lengths, unit vectors and the comparison of transforms."""

import numpy as np
from numpy.typing import ArrayLike


def vector_norm(data: ArrayLike, axis: int | None = None, out: np.ndarray | None = None) -> np.ndarray | float | None:
    """Return the Euclidean length along the axis (all of it: None), or None after writing it to `out`."""
    data = np.asarray(data, dtype=np.float64)
    length = np.sqrt(np.sum(data * data, axis=axis))
    if out is None:
        return length
    out[...] = length
    return None


def unit_vector(data: ArrayLike, axis: int | None = None, out: np.ndarray | None = None) -> np.ndarray | None:
    """Return data divided by its length along the axis, or None after writing it to `out`."""
    data = np.asarray(data, dtype=np.float64)
    length = vector_norm(data, axis)
    unit = data / (length if axis is None else np.expand_dims(length, axis))
    if out is None:
        return unit
    out[...] = unit
    return None


def random_vector(size) -> np.ndarray:
    """Return numbers uniform in [0, 1) in an array of the given shape."""
    return np.random.random(size)  # noqa: NPY002 (programs seed it with np.random.seed)


def is_same_transform(matrix0: ArrayLike, matrix1: ArrayLike) -> bool:
    """Return whether two 4x4 matrices map points alike (a common factor does not matter)."""
    first, second = (np.array(matrix, dtype=np.float64) for matrix in (matrix0, matrix1))
    return bool(np.allclose(first / first[3, 3], second / second[3, 3]))
