"""Keeps the rooms of a growing map, with persistent ids. Knows nothing of its users and of kinds of rooms.

Two instances may give one room two ids, and no file keeps them. The memory holds one instance for its map; whoever has
the memory in the same process asks it. The reasoner node, which only receives the grid, has one of its own and
publishes none of its ids.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ..frames import MemoryObject, OccupancyGrid
from .segmentation import RoomConfig, Rooms, segment_rooms


class RoomMap:
    """Segments a map again when it has changed, but no more often than requested."""

    def __init__(self, config: RoomConfig | None = None) -> None:
        self.config = config or RoomConfig()
        self.clear()

    def clear(self) -> None:
        """Forgets all rooms, when the map is replaced by another one."""
        self._rooms: Rooms | None = None
        self._stamp = 0
        self._version: Hashable = None

    def update(
        self, grid: OccupancyGrid, objects: Sequence[MemoryObject], max_age: float = 0.0, version: Hashable = None
    ) -> Rooms:
        """The rooms of a map; a room keeps the id of the earlier one with which it shares most floor.

        Args:
            grid: the occupancy grid with unknown cells; its stamp (ns) is the current time.
            objects: as remembered; those present count as furniture, not as walls.
            max_age: s; cached rooms up to this age are returned, if the grid covers the same area.
            version: of map and objects, if known: cached rooms of the same version are returned at any age.

        Returns:
            Rooms whose labels lie on the grid's cells.
        """
        rooms, age = self._rooms, (grid.stamp - self._stamp) * 1e-9
        if rooms is not None and rooms.labels.shape == grid.data.shape and rooms.origin == grid.origin:
            if version is not None and version == self._version:
                return rooms
            if 0.0 <= age < max_age:
                return rooms
        self._rooms = segment_rooms(grid, rooms, objects, self.config)
        self._stamp, self._version = grid.stamp, version
        return self._rooms
