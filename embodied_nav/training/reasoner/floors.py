"""The world of the explorer: a furnished floor plan from above. Knows no robot's state and no map."""

from __future__ import annotations

import numpy as np

from ...frames import FREE, OCCUPIED
from ...sim.mesh import SceneDescription
from ...sim.navigable import NavigableMap
from .sensing import box_samples


class Floor:
    """One world as arrays for :mod:`.sensing`.

    Args:
        description: its objects and rooms. navigable: of the default robot.

    Attributes:
        objects: things with an instance id, in the order of the arrays.
        tops, open_floor, occupied: HxW, see ``sensing.see_cells``.
        samples, middles, boxes: see ``sensing.see_objects``.
    """

    def __init__(self, description: SceneDescription, navigable: NavigableMap) -> None:
        self.description, self.navigable = description, navigable
        self.objects = description.objects
        grid = navigable.grid
        self.resolution = grid.resolution
        self.corner = np.array(grid.origin, dtype=np.float64)
        self.tops = np.array(navigable.tops, dtype=np.float32)
        self.open_floor = grid.data == FREE
        self.occupied = grid.data == OCCUPIED
        samples = [box_samples(o.center, o.extent, o.yaw) for o in self.objects]
        self.samples = np.array(samples, dtype=np.float64).reshape(len(samples), -1, 3)
        self.middles = np.array([o.center for o in self.objects], dtype=np.float64).reshape(-1, 3)
        self.boxes = np.array([(*o.extent, o.yaw) for o in self.objects], dtype=np.float64).reshape(-1, 4)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.tops.shape[0], self.tops.shape[1]
