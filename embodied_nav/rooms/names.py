"""Names the rooms of a map by their kind, for display and for questions. Knows no instructions."""

from __future__ import annotations

from collections.abc import Sequence

from ..frames import MemoryObject
from .kinds import regions
from .segmentation import Rooms

#: Probability from which a room is called by its kind.
LEAST = 0.5


def room_names(rooms: Rooms, objects: Sequence[MemoryObject], least: float = LEAST) -> dict[int, str]:
    """Room id -> kind ("kitchen"), for rooms whose kind has at least the probability ``least``."""
    found = regions(rooms, objects)
    return {i: region.kind for i, region in found.items() if region.kinds[region.kind] >= least}
