"""What each object was at its fullest, and when what is left of it is none any more. Knows no voxels and no labels.

What stood somewhere and was carried off leaves voxels that depth never sees through: the layer at its foot, too near to
the floor to be carved, or the one below a thing that stands on it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...frames import MemoryObject

#: Less than this share of the voxels that an object had is a remnant.
_SHARE = 0.15
#: Less than half of its voxels, and no higher than this share of its height, is one too.
_HALF, _HEIGHT = 0.5, 1 / 3


class Fullest:
    """Most voxels that each object had, and its greatest height (m), by its id."""

    def __init__(self, known: Iterable[MemoryObject] = ()) -> None:
        self._voxels = {o.id: o.voxels for o in known}
        self._heights = {o.id: float(o.extent[2]) for o in known}

    def note(self, i: int, points: np.ndarray) -> None:
        """An object as it is now: points (N, 3) m, one a voxel."""
        self._voxels[i] = max(self._voxels.get(i, 0), len(points))
        self._heights[i] = max(self._heights.get(i, 0.0), float(np.ptp(points[:, 2])))

    def is_remnant(self, i: int, points: np.ndarray) -> bool:
        """Whether points (N, 3) m are too little of an object to be it."""
        if len(points) < _SHARE * self._voxels.get(i, 0):
            return True
        return self.lost_half(i, len(points)) and float(np.ptp(points[:, 2])) < _HEIGHT * self._heights.get(i, 0.0)

    def lost_half(self, i: int, voxels: int) -> bool:
        """Whether so few are less than half of what it had."""
        return voxels < _HALF * self._voxels.get(i, 0)

    def take(self, i: int, other: int) -> None:
        """An object becomes the other one, too, which is forgotten."""
        self._voxels[i] = max(self._voxels.get(i, 0), self._voxels.get(other, 0))
        self._heights[i] = max(self._heights.get(i, 0.0), self._heights.get(other, 0.0))
        self.drop(other)

    def drop(self, i: int) -> None:
        """Forgets an object, or what it was so far."""
        self._voxels.pop(i, None)
        self._heights.pop(i, None)
