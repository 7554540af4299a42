"""Segments the occupancy grid into rooms; room kinds and what is likely in them. Knows nothing of pixels and of ROS."""

from .kinds import Region, chance_beyond, chance_in, regions
from .names import room_names
from .room_map import RoomMap
from .segmentation import Door, Room, RoomConfig, Rooms, segment_rooms

__all__ = [
    "Door",
    "Region",
    "Room",
    "RoomConfig",
    "RoomMap",
    "Rooms",
    "chance_beyond",
    "chance_in",
    "regions",
    "room_names",
    "segment_rooms",
]
