"""Corrected camera poses of keyframes from slam/path. Knows nothing of the memory.

The path holds base_link in map at stamps of past images, strictly ascending, not of every image. A keyframe between two
of its poses is placed by interpolation, unless they are too far apart in time; one outside of the path keeps its pose.
TF alone (map->odom jumps, but no path) does not tell which past poses moved: then all keyframes keep their poses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nav_msgs.msg import Path
from scipy.spatial.transform import Rotation, Slerp

from ...geometry import invert, rotation_angle
from .conversions import BadMessage, stamp_ns

#: Without interpolation, a keyframe takes the pose of a path stamp this near to its own: half a frame at 30 Hz, ns.
SAME = 16_000_000
#: Longest gap between poses that is interpolated, ns.
GAP = 2_000_000_000
#: A quaternion shorter than this has no direction.
_DIRECTION = 1e-6
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
    if (np.diff(stamps) <= 0).any():
        raise BadMessage("path", "slam/path: stamps do not ascend")
    at = np.array([(p.x, p.y, p.z) for p in (q.pose.position for q in message.poses)], np.float64).reshape(-1, 3)
    turned = [(o.x, o.y, o.z, o.w) for o in (q.pose.orientation for q in message.poses)]
    quaternions = np.array(turned, np.float64).reshape(-1, 4)
    lengths = np.linalg.norm(quaternions, axis=1)
    if not (np.isfinite(at).all() and np.isfinite(lengths).all() and (lengths > _DIRECTION).all()):
        raise BadMessage("path", "slam/path: a pose is not a finite rigid transform")
    poses = np.tile(np.eye(4), (len(stamps), 1, 1))
    poses[:, :3, 3] = at
    if len(stamps):
        poses[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    return stamps, poses


def pose_at(stamps: np.ndarray, poses: np.ndarray, stamp: int) -> np.ndarray | None:
    """The 4x4 pose at a stamp (ns), or None where the path does not cover it."""
    if not len(stamps):
        return None
    i = int(np.searchsorted(stamps, stamp))
    if not 0 < i < len(stamps) or stamps[i] - stamps[i - 1] > GAP:
        nearest = min((k for k in (i - 1, i) if 0 <= k < len(stamps)), key=lambda k: abs(int(stamps[k]) - stamp))
        return poses[nearest] if abs(int(stamps[nearest]) - stamp) <= SAME else None
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
