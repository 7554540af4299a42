"""Corrected camera poses of keyframes from slam/path. Knows nothing of the memory.

The path holds base_link in map at stamps of past images, strictly ascending, not of every image. A keyframe between two
of its poses is placed by interpolation, unless they are too far apart in time; one outside of the path keeps its pose.
TF alone (map->odom jumps, but no path) does not tell which past poses moved: then all keyframes keep their poses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nav_msgs.msg import Path

from ...geometry import invert, is_rigid, rotation_angle
from .conversions import BadMessage, matrix_from_pose, stamp_ns

#: Without interpolation, a keyframe takes the pose of a path stamp this near to its own: half a frame at 30 Hz, ns.
SAME = 16_000_000
#: Longest gap between poses that is interpolated, ns.
GAP = 2_000_000_000
#: Least change of pose (m, rad) for which a keyframe counts as moved.
MOVED, TURNED = 0.01, 0.005


def path_poses(message: Path, map_frame: str) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (N int64 ns) and poses (N x 4 x 4, base_link in map) of a path.

    Raises:
        BadMessage: ``path``: another frame than the map's, stamps that do not ascend, or a pose that is not finite.
    """
    if message.header.frame_id != map_frame:
        raise BadMessage("path", f"slam/path is in frame '{message.header.frame_id}', expected '{map_frame}'")
    stamps = np.array([stamp_ns(p.header.stamp) for p in message.poses], np.int64)
    poses = np.array([matrix_from_pose(p.pose) for p in message.poses], np.float64).reshape(-1, 4, 4)
    if (np.diff(stamps) <= 0).any():
        raise BadMessage("path", "slam/path: stamps do not ascend")
    if not all(is_rigid(T) for T in poses):
        raise BadMessage("path", "slam/path: a pose is not a finite rigid transform")
    return stamps, poses


def pose_at(stamps: np.ndarray, poses: np.ndarray, stamp: int) -> np.ndarray | None:
    """The 4x4 pose at a stamp (ns), or None where the path does not cover it."""
    if not len(stamps):
        return None
    i = int(np.searchsorted(stamps, stamp))
    if not 0 < i < len(stamps) or stamps[i] - stamps[i - 1] > GAP:
        nearest = min((k for k in (i - 1, i) if 0 <= k < len(stamps)), key=lambda k: abs(int(stamps[k]) - stamp))
        return poses[nearest] if abs(int(stamps[nearest]) - stamp) <= SAME else None
    from scipy.spatial.transform import Rotation, Slerp

    share = (stamp - int(stamps[i - 1])) / int(stamps[i] - stamps[i - 1])
    T = np.eye(4)
    T[:3, :3] = Slerp([0.0, 1.0], Rotation.from_matrix(poses[i - 1 : i + 1, :3, :3]))(share).as_matrix()
    T[:3, 3] = poses[i - 1, :3, 3] + share * (poses[i, :3, 3] - poses[i - 1, :3, 3])
    return T


def moved_keyframes(
    stamps: np.ndarray,
    poses: np.ndarray,
    keyframes: Mapping[int, tuple[int, np.ndarray]],
    mounts: Mapping[int, np.ndarray],
    mount: np.ndarray,
) -> tuple[dict[int, np.ndarray], int]:
    """Which keyframes a path moves.

    Args:
        stamps, poses: of :func:`path_poses`. keyframes: id -> (stamp, 4x4 map from optical frame).
        mounts: stamp -> base_link from optical frame, where known; mount: used for all other stamps.

    Returns:
        Id -> 4x4 new pose of those that move, and how many within the path's time span it does not cover.
    """
    moved, unknown = {}, 0
    for i, (stamp, T) in keyframes.items():
        base = pose_at(stamps, poses, stamp)
        if base is None:
            unknown += bool(len(stamps)) and bool(stamps[0] <= stamp <= stamps[-1])
            continue
        now = base @ mounts.get(stamp, mount)
        way = invert(T) @ now
        if np.linalg.norm(way[:3, 3]) > MOVED or rotation_angle(way) > TURNED:
            moved[i] = now
    return moved, unknown
