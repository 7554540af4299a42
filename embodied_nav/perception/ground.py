"""Which way is up in a map and where the floor is, kept between keyframes. Knows nothing of objects."""

from __future__ import annotations

import numpy as np

from ..frames import RGBDFrame
from . import surfaces
from .words import UP

#: Weight of a keyframe's own up direction against that of the ones before.
_WEIGHT = 0.3
#: A level that is higher than the floor by more than this (m) is a table top in a view without floor.
_HIGHER = 0.2
#: Cosine of the angle (10 degrees) up to which two up directions agree, and how many views in a row that agree with
#: each other, but not with what is known, change it: a single view may take a slanted back rest for level.
_AGREES, _VIEWS = 0.985, 4


class Ground:
    """The up direction and the floor's height, from the level surfaces of each keyframe.

    Attributes:
        up: unit direction (3,) in map.
        floor: height (m) of the floor along ``up``; None until it has been seen.
    """

    def __init__(self) -> None:
        self.up: np.ndarray = UP
        self.floor: float | None = None
        self._other, self._others = UP, 0

    def reset(self, T_map_camera: np.ndarray) -> None:
        """Starts anew: up is the map's z, or the image's top if the map starts at any pose (handheld)."""
        top = -np.asarray(T_map_camera, dtype=np.float64)[:3, 1]
        self.up, self.floor = (UP if top[2] > 0.3 else top), None
        self._others = 0

    def look(self, frame: RGBDFrame, near: float, far: float) -> None:
        """Takes in a frame's depth between two limits (m)."""
        self.update(surfaces.make_grid(frame, near, far), frame.T_map_camera)

    def update(self, grid: surfaces.Grid, T_map_camera: np.ndarray) -> float:
        """Takes in a keyframe's grid; returns the camera's height along ``up`` (not above the floor)."""
        up = surfaces.estimate_up(grid, self.up)
        if up is not None:
            self._take(up)
        height = float(np.asarray(T_map_camera)[:3, 3] @ self.up)
        floor = surfaces.find_floor(grid, self.up, height)
        if floor is not None and (self.floor is None or floor < self.floor + _HIGHER):
            self.floor = floor
        return height

    def _take(self, up: np.ndarray) -> None:
        """Blends a view's up direction with what is known, or replaces that once several views contradict it."""
        if self.floor is None:
            self.up, self._others = up, 0
        elif float(up @ self.up) >= _AGREES:
            blended = (1.0 - _WEIGHT) * self.up + _WEIGHT * up
            self.up, self._others = blended / np.linalg.norm(blended), 0
        else:
            self._others = self._others + 1 if self._others and float(up @ self._other) >= _AGREES else 1
            self._other = up
            if self._others >= _VIEWS:
                self.up, self.floor, self._others = up, None, 0
