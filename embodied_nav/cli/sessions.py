"""Reads the sessions of a memory file, and finds its map of a simulated apartment. Knows no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import invert, pose2d

if TYPE_CHECKING:
    from ..memory import SpatialMemory

#: Number of keyframes compared with an apartment, and the agreement that at least half of them must reach.
_COMPARED, _ALIKE = 12, 0.85
#: Pause between two simulated sessions (s).
_PAUSE = 10


def sessions_of(path: str | Path) -> dict[str, Any]:
    """For a report: the map written last, the number of maps, and all sessions, oldest first.

    A session's map is the one that it belongs to now, after merges.

    Raises:
        InputError: the file cannot be read.
    """
    from ..memory.file.inspection import describe

    facts = describe(path)
    into = {m["uuid"]: m["merged_into"] for m in facts["maps"]}

    def survivor(uuid: str) -> str:
        while into.get(uuid):
            uuid = into[uuid]
        return uuid

    sessions = [{**s, "map": survivor(s["map"])} for s in facts["session_list"]]
    return {"map_id": facts["map"], "maps": sum(not m for m in into.values()), "sessions": sessions}


def next_start(path: str | Path) -> float:
    """Start time (s) of another simulated session, later than all stamps in the memory.

    Raises:
        InputError: the file cannot be read.
    """
    from ..memory.file.inspection import describe

    return float(max((m["stamp"] for m in describe(path)["maps"]), default=0) // 1_000_000_000 + _PAUSE)


def map_of_apartment(path: str | Path, seed: int) -> str | None:
    """UUID of a file's map in the coordinates of an apartment, verified by comparing keyframes' depth with renderings
    of the apartment.

    Returns:
        None if the file does not exist, or none of its maps is of this apartment.

    Raises:
        InputError: the file cannot be read.
    """
    from ..sim.episodes import apartment
    from ..sim.rasterizer import Rasterizer
    from ..slam import landmarks_of
    from ..slam.icp import agreement

    by_map: dict[str, list] = {}
    for known in landmarks_of(path) if Path(path).exists() else ():
        by_map.setdefault(known.map_id, []).append(known)
    drawn = None
    for uuid, keyframes in sorted(by_map.items(), key=lambda pair: -len(pair[1])):
        alike = []
        for known in keyframes[:: -(-len(keyframes) // _COMPARED)]:
            view = known.look.view()
            drawn = drawn or Rasterizer(apartment(seed)[0].mesh, view.camera)
            depth, _ = drawn.with_camera(view.camera).render_depth_ids(known.T_map_camera)
            alike.append(agreement(view.depth, view.camera, depth, view.camera, np.eye(4)))
        if np.median(alike) > _ALIKE:
            return uuid
    return None


def between(memory: SpatialMemory, trajectory: np.ndarray, T_base_camera: np.ndarray) -> np.ndarray:
    """4x4, the memory's map from the true one, by the newest session's keyframes.

    Args:
        trajectory: Nx4: x, y (m), yaw (rad) of the robot in the true map, and stamp (ns), ascending.
        T_base_camera: 4x4.
    """
    from ..slam.metrics import align

    first = memory.sessions[-2]["first_keyframe"] if len(memory.sessions) > 1 else 0
    points, true_points = [], []
    for k in (k for k in memory.keyframes.values() if k.id >= first):
        x, y, yaw, stamp = trajectory[np.argmin(np.abs(trajectory[:, 3] - k.stamp))]
        if abs(stamp - k.stamp) > 2e7:
            continue
        # Also a point ahead and one aside: they determine the rotation even if the robot did not move.
        for ahead in ([0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]):
            points.append((pose2d(x, y, yaw) @ ahead)[:3])
            true_points.append((k.T_map_camera @ invert(T_base_camera) @ ahead)[:3])
    return align(np.array(points), np.array(true_points)) if points else np.eye(4)
