"""How sure the memory is that an object is there: by the viewpoints that showed it. Knows no voxels and no images.

Detectors err again and again in the same way from one viewpoint, seldom from several. So each viewpoint counts once, by
its surest sighting; and what was mostly not found where it should have been seen does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ...frames import MemoryObject
from ...geometry import invert, rotation_angle
from .index import Sighting

#: Poses that differ by less than this (m, rad) are one viewpoint.
APART = (0.1, 0.1)
#: Sum of confidences over viewpoints above which an object counts: one viewpoint is never enough.
ENOUGH = 1.0
#: An object was found in at least this share of the keyframes in which it was found or missed.
FOUND_SHARE = 0.25


def evidence(sightings: Iterable[Sighting], poses: Mapping[int, np.ndarray]) -> float:
    """Sum of the confidences of an object's sightings, one a viewpoint.

    Args:
        poses: 4x4 T_map_camera by keyframe id; sightings of other keyframes do not count.
    """
    counted: list[np.ndarray] = []
    total = 0.0
    for s in sorted(sightings, key=lambda s: (-s.confidence, s.keyframe_id)):
        pose = poses.get(s.keyframe_id)
        if pose is not None and all(_apart(pose, other) for other in counted):
            counted.append(pose)
            total += s.confidence
    return total


def is_evident(o: MemoryObject, of: float) -> bool:
    """Whether an object with some evidence counts as being there."""
    return o.status == "present" and of > ENOUGH and o.confirmed >= FOUND_SHARE * (o.confirmed + o.missed)


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.linalg.norm(a[:3, 3] - b[:3, 3]) >= APART[0] or rotation_angle(invert(a) @ b) >= APART[1])
