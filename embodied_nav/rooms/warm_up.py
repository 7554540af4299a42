"""JIT warm-up of room segmentation on a synthetic map. Knows the segmentation's interface only."""

from __future__ import annotations

import numpy as np

from ..frames import MemoryObject, OccupancyGrid
from .segmentation import segment_rooms


def warm_up() -> None:
    """Segments two rooms with a table, without and with earlier rooms."""
    data = np.full((80, 120), 100, np.int8)
    data[4:76, 4:58] = data[4:76, 62:116] = 0
    data[30:48, 58:62] = 0
    table = MemoryObject(1, "table", "", np.array([1.0, 1.0, 0.4]), np.array([0.8, 0.8, 0.7]), 1.0, 9, 1, 1, 0)
    rooms = segment_rooms(OccupancyGrid(data, 0.05, (0.0, 0.0)), None, (table,))
    segment_rooms(OccupancyGrid(data, 0.05, (0.0, 0.0)), rooms, (table,))
