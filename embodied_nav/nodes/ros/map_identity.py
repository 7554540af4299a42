"""Messages of slam/map (embodied_nav/MapIdentity): which map coordinates belong to. Knows neither SLAM nor the memory.

Latched with its history: a late subscriber gets in order that SLAM began a new map, and in which map it relocalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embodied_nav.msg import MapIdentity

from ...geometry import is_rigid
from . import qos
from .conversions import BadMessage, header, matrix_from_pose, pose_msg, stamp_ns

TOPIC = "slam/map"
#: Messages that late subscribers get.
_KEPT = 20


@dataclass(frozen=True, eq=False)
class Identity:
    """Announces that from a stamp on map->odom is in the coordinates of this map.

    Attributes:
        stamp: ns.
        map_id: UUID of a map of the memory's file; "" for a new one that is not in it.
        joined_map_id: map of the file that becomes part of ``map_id``; "" for the running one.
        T: 4x4, map_id from the joined map; None where nothing was joined.
    """

    stamp: int
    map_id: str = ""
    joined_map_id: str = ""
    T: np.ndarray | None = None

    @property
    def moves(self) -> bool:
        """Whether the running map's coordinates change with it."""
        return self.T is not None and not self.joined_map_id


def profile():
    """The QoS of the topic."""
    return qos.latched(_KEPT)


def identity_msg(identity: Identity, map_frame: str) -> MapIdentity:
    """As a message."""
    message = MapIdentity(header=header(identity.stamp, map_frame), map_id=identity.map_id)
    if identity.T is not None:
        message.joined, message.joined_map_id = True, identity.joined_map_id
        message.pose = pose_msg(identity.T)
    return message


def identity_from_msg(message: MapIdentity) -> Identity:
    """From a message.

    Raises:
        BadMessage: ``map``: a transform that is not finite, or a join with no map.
    """
    T = None
    if message.joined:
        T = matrix_from_pose(message.pose)
        if not is_rigid(T) or not message.map_id:
            raise BadMessage("map", f"{TOPIC} joins maps by no map or no rigid transform")
    return Identity(stamp_ns(message.header.stamp), message.map_id, message.joined_map_id, T)
