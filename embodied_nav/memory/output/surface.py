"""Points of the seen surfaces, out of the keyframes' local clouds: where they are, their colour, and who saw them.

Finer than voxels (half a voxel) and with the direction that they were seen from, which is what a mesh is made of. Knows
nothing of meshes and files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import VoxelView
from ..submaps.cells import CELL, middles
from ..submaps.local_clouds import LocalCloud, View
from ..voxels.keys import pack_array

#: Part of a voxel: walls stand on voxels' faces as often as not, and depth is kept in whole millimetres.
_NEARLY = 0.2


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points of surfaces, at most one in each cell of ``spacing`` (m).

    Attributes:
        positions: (N, 3) float64, m in map. colors: (N, 3) uint8 RGB. eyes: (N, 3) float64, m in map, where the camera
            was that saw the point.
    """

    positions: np.ndarray
    colors: np.ndarray
    eyes: np.ndarray
    spacing: float

    def __len__(self) -> int:
        return len(self.positions)


def surface_points(clouds: Sequence[LocalCloud], voxels: VoxelView, voxel_size: float) -> SurfacePoints:
    """Points of all clouds under their present poses that lie in a voxel that is still there, merged by cell.

    What was carved away since (a person, a chair that moved) is in clouds and not in voxels. The newest cloud's point
    of a cell gives its place and eye; colours are means.

    Args:
        clouds: oldest first. voxels: of the same map. voxel_size: m.
    """
    parts = [part for cloud in clouds for part in _of_cloud(cloud, voxel_size)]
    if not parts or not len(voxels):
        return SurfacePoints(np.empty((0, 3)), np.empty((0, 3), np.uint8), np.empty((0, 3)), CELL * voxel_size)
    positions, colors, eyes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    there = _is_there(positions, np.unique(_keys(voxels.positions.astype(np.float64), voxel_size)), voxel_size)
    positions, colors, eyes = positions[there], colors[there], eyes[there]
    spacing = CELL * voxel_size
    _, newest, group = np.unique(_keys(positions, spacing)[::-1], return_index=True, return_inverse=True)
    group = group.ravel()[::-1]
    counts = np.bincount(group, minlength=len(newest))[:, None]
    mean = np.stack([np.bincount(group, colors[:, k], len(newest)) for k in range(3)], axis=1) / np.maximum(counts, 1)
    chosen = len(positions) - 1 - newest
    return SurfacePoints(positions[chosen], np.rint(mean).astype(np.uint8), eyes[chosen], spacing)


def _is_there(positions: np.ndarray, known: np.ndarray, voxel_size: float) -> np.ndarray:
    """Which of N x 3 positions lie in a voxel of ``known`` (sorted keys), or so close to one that rounding decides."""
    there = np.isin(_keys(positions, voxel_size), known)
    for step in _NEARLY * voxel_size * np.concatenate([np.eye(3), -np.eye(3)]):
        there[~there] = np.isin(_keys(positions[~there] + step, voxel_size), known)
    return there


def _of_cloud(cloud: LocalCloud, voxel_size: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(positions, colours, eyes) of a cloud's cells, and of each frame that it keeps whole."""
    R, t = cloud.T_map_cloud[:3, :3], cloud.T_map_cloud[:3, 3]
    found = []
    if len(cloud.hits):
        positions = middles(cloud.hits, voxel_size) @ R.T + t
        found.append((positions, cloud.hits["rgb"], np.broadcast_to(t, positions.shape)))
    for view in (v for v in cloud.views if v.color is not None):
        points, colors = _pixels(view)
        T = cloud.T_map_cloud @ view.T
        positions = points @ T[:3, :3].T + T[:3, 3]
        found.append((positions, colors, np.broadcast_to(T[:3, 3], positions.shape)))
    return found


def _pixels(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Points (N x 3 float64, m, optical frame) and colours of the pixels of a whole frame that have a colour."""
    depth = view.depth[::2, ::2].astype(np.float64) * 1e-3
    rays = view.camera.rays()[::2, ::2]
    valid = depth > 0.0
    return rays[valid] * depth[valid][:, None], view.pixels()[valid]


def _keys(positions: np.ndarray, size: float) -> np.ndarray:
    """Packed keys of the cells of a size (m) that N x 3 positions lie in."""
    return pack_array(np.floor(positions / size).astype(np.int64))
