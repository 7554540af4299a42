"""Places that people gave names to, each fixed to a keyframe, so that it moves as that does. Knows no sentences.

A loop closure, a join of two maps, a keyframe that is dropped for a newer one: the pose of a place in its keyframe's
frame stays, or is reckoned anew from another keyframe nearby. A place belongs to the map in which it was named.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...frames import ELSEWHERE, NAMED, MemoryObject
from ...geometry import invert, is_rigid, pose2d
from ..records import KeyframeRecord, Place

#: Name of the place where the running session began; it is given again in every session.
START = "start"
#: Places as objects have ids from here on.
FIRST_ID = 4_000_000_000
#: Places of one map, at most.
MOST = 200
_EXTENT = np.full(3, 0.1)

Places = dict[str, Place]
Keyframes = Mapping[int, KeyframeRecord]


def name_place(
    places: Places, name: str, keyframe: int, T_map_keyframe: np.ndarray, T_map_base: np.ndarray, stamp: int
) -> None:
    """Gives a place a name, or a name another place.

    Args:
        places: by name; takes it. keyframe: id of the one that it is fixed to, with its pose (4x4).
        T_map_base: 4x4, the robot there, in the same coordinates as the keyframe's pose. stamp: ns.

    Raises:
        InputError: a pose that is not rigid, or too many places.
    """
    if not is_rigid(T_map_base):
        raise InputError(f"'{name}' cannot be kept: the robot's pose is not a finite rigid transform")
    if name not in places and len(places) >= MOST:
        raise InputError(f"'{name}' cannot be kept: {MOST} places have names already")
    places[name] = Place(name, keyframe, invert(T_map_keyframe) @ np.asarray(T_map_base, np.float64), int(stamp))


def begin_at(places: Places, keyframe: KeyframeRecord) -> None:
    """Keeps where a session began: on the floor below its first keyframe's camera, heading where that looks."""
    T = keyframe.T_map_camera
    here = pose2d(float(T[0, 3]), float(T[1, 3]), math.atan2(T[1, 2], T[0, 2]))
    name_place(places, START, keyframe.id, T, here, keyframe.stamp)


def poses(places: Mapping[str, Place], keyframes: Keyframes) -> dict[str, np.ndarray]:
    """Name -> 4x4 in the map."""
    return {name: keyframes[p.keyframe_id].T_map_camera @ p.T_keyframe_base for name, p in places.items()}


def as_objects(places: Mapping[str, Place], keyframes: Keyframes, elsewhere: Iterable[str]) -> tuple[MemoryObject, ...]:
    """Places as objects of status ``place``, or ``elsewhere`` (the position says nothing), for who plans by objects.

    Args:
        elsewhere: names that another map of the file holds.
    """
    at = poses(places, keyframes)
    found = [(n, at[n][:3, 3], p.stamp, p.keyframe_id, NAMED) for n, p in sorted(places.items())]
    found += [(name, np.zeros(3), 0, 0, ELSEWHERE) for name in sorted(elsewhere) if name not in places]
    return tuple(
        MemoryObject(FIRST_ID + k, name, "", position, _EXTENT, 1.0, 0, stamp, stamp, keyframe, status)
        for k, (name, position, stamp, keyframe, status) in enumerate(found)
    )


def fix_to_others(places: Places, keyframes: Keyframes, leaving: Collection[int]) -> None:
    """Fixes places of keyframes that are about to be dropped to the nearest ones that stay, where they are."""
    at = poses(places, keyframes)
    staying = [k for k in keyframes.values() if k.id not in leaving]
    for name, place in list(places.items()):
        if place.keyframe_id in leaving and staying:
            T = at[name]
            nearest = min(staying, key=lambda k: float(np.linalg.norm(k.T_map_camera[:3, 3] - T[:3, 3])))
            there = invert(nearest.T_map_camera) @ T
            places[name] = replace(place, keyframe_id=nearest.id, T_keyframe_base=there)
