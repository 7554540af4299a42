"""What SLAM says of one frame. Knows nothing of how it was found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..frames import Tracking


@dataclass(frozen=True, eq=False)
class SlamUpdate:
    """One frame's result.

    Attributes:
        T_map_camera: 4x4.
        T_odom_camera: 4x4, by odometry alone, starting at ``T_map_start``: smooth, with drift.
        corrected: a loop closure moved past poses; read :meth:`Slam.trajectory` again.
        source: origin of the pose: ``depth``, ``features``, ``prior``, ``place`` (relocalised) or ``first``.
        keyframe: number of the keyframe that this frame is registered to, or became; -1 before the first.
        loops: numbers of the keyframes that a keyframe before closed a loop with: what was found by this frame.
        joined: two maps were merged in this frame, by what a keyframe before shows.
        tracking: whether the pose is trusted; if not, it is the last one, extrapolated by wheels if available.
        moved: distance (m) since the last frame by wheels and by the camera; NaN where unknown.
    """

    T_map_camera: np.ndarray
    T_odom_camera: np.ndarray
    corrected: bool
    source: str
    keyframe: int
    loops: tuple[int, ...] = ()
    joined: Joined | None = None
    tracking: Tracking = field(default_factory=Tracking)
    moved: tuple[float, float] = (float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Joined:
    """Two maps were merged: ``joined_map_id`` is now part of ``map_id``.

    Attributes:
        map_id: the map in whose coordinates all poses are given from now on.
        joined_map_id: the map that was merged into it; "" for the session's own, new one.
        T: 4x4, map_id from joined_map_id.
    """

    map_id: str
    joined_map_id: str
    T: np.ndarray
