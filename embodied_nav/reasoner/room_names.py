"""What the rooms of a map are called, for people and for questions. Knows no instruction."""

from __future__ import annotations

from collections.abc import Sequence

from ..frames import MemoryObject
from ..memory.rooms import Rooms
from .regions import regions

#: Probability from which a room is called by its kind.
LEAST = 0.5


def room_names(rooms: Rooms, objects: Sequence[MemoryObject], least: float = LEAST) -> dict[int, str]:
    """Room id -> kind ("kitchen"), of rooms of which that is likely enough."""
    found = regions(rooms, objects)
    return {i: region.kind for i, region in found.items() if region.kinds[region.kind] >= least}
