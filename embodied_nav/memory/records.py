"""Frozen records that the memory returns: statistics, voxels, keyframes, maps, blocks. Knows no algorithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class IntegrationStats:
    """What one frame did: valid points, voxels made, voxels carved away, voxels now, voxels refused (store full)."""

    points: int
    new_voxels: int
    carved: int
    voxels: int
    refused: int = 0


@dataclass(frozen=True, eq=False)
class VoxelView:
    """A copy of voxels.

    Attributes:
        positions: (N, 3) float32, true centroids, m. colors: (N, 3) uint8 RGB. weights: (N,) float32, points.
        labels: (N,) int32 into class_names, 0 none. last_seen: (N,) int64 ns.
        class_names: (label, colour) pairs; the first is ("", "").
    """

    positions: np.ndarray
    colors: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    last_seen: np.ndarray
    class_names: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, eq=False)
class KeyframeRecord:
    """A keyframe as the memory keeps it: pose when taken (4x4), stamp ns, why, overlap, inliers, JPEG thumbnail."""

    id: int
    stamp: int
    T_map_camera: np.ndarray
    reason: str
    overlap: float
    inliers: int
    thumbnail: bytes


@dataclass(frozen=True, eq=False)
class Event:
    """Something that happened to an object between two looks at its place.

    Attributes:
        kind: ``came`` (its place was seen empty before), ``went`` or ``moved``.
        object: its id. label, color: as it was called then.
        since, stamp: ns; it happened in between: the last look before, and when it was noticed.
        source, target: (3,) m in map, where it was and where it is; None for what came and what went.
        keyframe_id: the newest keyframe when it was noticed, -1 for none.
    """

    kind: str
    object: int
    label: str
    color: str
    since: int
    stamp: int
    source: np.ndarray | None = None
    target: np.ndarray | None = None
    keyframe_id: int = -1

    @property
    def name(self) -> str:
        """Colour and label: "red cup"."""
        return f"{self.color} {self.label}".strip()


@dataclass(frozen=True, eq=False)
class Place:
    """A place that somebody gave a name: where the robot stood, in the frame of a keyframe.

    Attributes:
        name: as it is called. keyframe_id: whose frame. T_keyframe_base: 4x4. stamp: ns, when it was named.
    """

    name: str
    keyframe_id: int
    T_keyframe_base: np.ndarray
    stamp: int


@dataclass(frozen=True, eq=False)
class MapRecord:
    """A map, which is a coordinate frame: uuid, created (s since 1970), and the map that it became part of if it was
    merged.

    Attributes:
        merged_into: uuid of that map, "" for none. T_into: 4x4, its points from this map's, or None.
    """

    uuid: str
    created: float
    merged_into: str = ""
    T_into: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ChangedBlocks:
    """Blocks (8x8x8 voxels) changed since a token.

    Attributes:
        token: for the next call. corners: (N, 3) float64 lower corners, m; emptied blocks are among them.
        counts: (N,) int64 voxels now. side: m. voxels: the voxels of these blocks, block by block.
    """

    token: int
    corners: np.ndarray
    counts: np.ndarray
    side: float
    voxels: VoxelView
