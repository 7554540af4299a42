"""The keyframe graph: who saw the same places, which keyframes are near a place, which look alike. Knows no SLAM.

Two keyframes are co-visible by the blocks of space that both hit. Appearance is compared by a short vector made from
the thumbnail (edge directions and colours by region), so it needs no vocabulary and nothing more in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ...geometry import invert, rotation_angle
from ..records import KeyframeRecord
from ..voxels.keys import BLOCK_SIDE, pack_array
from .local_clouds import LocalCloud, cloud_points

#: Regions of a thumbnail (rows, columns), directions of edges, bins of hue and of grey.
_REGIONS, _DIRECTIONS, _HUES, _GREYS = (3, 4), 8, 8, 4
#: m that a radian of turn counts when places are compared.
_TURN = 1.0
#: Of frames that a cloud keeps whole so many pixels a row count.
_WIDTH = 160
#: Co-visibility from which two keyframes are neighbours.
NEIGHBOURS = 0.1


class KeyframeGraph:
    """Relations between a memory's keyframes; results are cached until a keyframe is added or moves.

    Args:
        voxel_size: m; co-visibility counts blocks of 8 voxels a side.
    """

    def __init__(self, voxel_size: float = 0.05) -> None:
        self._voxel_size, self._side = voxel_size, BLOCK_SIDE * voxel_size
        self._poses: dict[int, np.ndarray] = {}
        self._blocks: dict[int, np.ndarray] = {}
        self._sizes: dict[int, int] = {}
        self._holders: dict[int, set[int]] = {}
        self._descriptors: dict[int, tuple[bytes, np.ndarray | None]] = {}
        self._keyframes: Mapping[int, KeyframeRecord] = {}

    def update(self, keyframes: Mapping[int, KeyframeRecord], clouds: Iterable[LocalCloud]) -> None:
        """Brings the graph up to date with keyframes that were added, grew, moved or were removed."""
        self._keyframes = keyframes
        present = {c.keyframe_id: c for c in clouds if c.keyframe_id in keyframes}
        for i in [i for i in self._blocks if i not in present]:
            self._forget(i)
        for i, cloud in present.items():
            same = i in self._poses and np.array_equal(self._poses[i], cloud.T_map_cloud)
            if not same or self._sizes[i] != cloud.frames:
                self._forget(i)
                self._add(i, cloud)
        self._descriptors = {i: d for i, d in self._descriptors.items() if i in keyframes}

    def covisible(self, keyframe_id: int, least: float = NEIGHBOURS) -> list[tuple[int, float]]:
        """(id, share) of keyframes that hit the same space, most first; share of the smaller one's blocks."""
        if keyframe_id not in self._blocks:
            return []
        mine = self._blocks[keyframe_id]
        counts = Counter(i for block in mine.tolist() for i in self._holders[block])
        del counts[keyframe_id]
        shares = [(i, n / min(len(mine), len(self._blocks[i]))) for i, n in counts.items()]
        return sorted(((i, s) for i, s in shares if s >= least), key=lambda e: (-e[1], e[0]))

    def edges(self, least: float = NEIGHBOURS) -> list[tuple[int, int, float]]:
        """All co-visible pairs (a < b) with their share."""
        return [(a, b, share) for a in sorted(self._blocks) for b, share in sorted(self.covisible(a, least)) if a < b]

    def near(self, T_map_camera: np.ndarray, count: int = 5) -> list[tuple[int, float]]:
        """(id, distance) of the keyframes nearest to a pose (4x4) or to a position (3,); a radian counts as a metre."""
        place = np.asarray(T_map_camera, np.float64)
        out = []
        for i, k in self._keyframes.items():
            if place.shape == (4, 4):
                way = invert(k.T_map_camera) @ place
                out.append((i, float(np.linalg.norm(way[:3, 3])) + _TURN * rotation_angle(way)))
            else:
                out.append((i, float(np.linalg.norm(k.T_map_camera[:3, 3] - place))))
        return sorted(out, key=lambda e: (e[1], e[0]))[:count]

    def alike(self, image: np.ndarray | int, count: int = 5) -> list[tuple[int, float]]:
        """(id, similarity up to 1) of the keyframes that look most like an image (HxWx3 uint8 RGB) or a keyframe's."""
        own = image if isinstance(image, int) else None
        vector = self._descriptor_of(image) if own is not None else describe(np.asarray(image))
        if vector is None:
            return []
        others = {i: self._descriptor_of(i) for i in sorted(self._keyframes) if i != own}
        ids = [i for i, v in others.items() if v is not None]
        if not ids:
            return []
        similar = np.stack([others[i] for i in ids]) @ vector
        order = np.lexsort((ids, -similar))[:count]
        return [(ids[k], float(similar[k])) for k in order]

    def _descriptor_of(self, i: int) -> np.ndarray | None:
        thumbnail = self._keyframes[i].thumbnail
        if i not in self._descriptors or self._descriptors[i][0] is not thumbnail:
            self._descriptors[i] = (thumbnail, _describe_jpeg(thumbnail))
        return self._descriptors[i][1]

    def _add(self, i: int, cloud: LocalCloud) -> None:
        p = cloud_points(cloud, self._voxel_size, _WIDTH) @ cloud.T_map_cloud[:3, :3].T + cloud.T_map_cloud[:3, 3]
        blocks = np.unique(pack_array(np.floor(p / self._side).astype(np.int64)))
        self._poses[i], self._blocks[i], self._sizes[i] = cloud.T_map_cloud.copy(), blocks, cloud.frames
        for block in blocks.tolist():
            self._holders.setdefault(block, set()).add(i)

    def _forget(self, i: int) -> None:
        for block in self._blocks.pop(i, np.empty(0)).tolist():
            self._holders[block].discard(i)
            if not self._holders[block]:
                del self._holders[block]
        self._poses.pop(i, None)
        self._sizes.pop(i, None)


def describe(image: np.ndarray) -> np.ndarray:
    """An image's appearance as a unit vector (float32): edge directions and colours in 3 x 4 regions of an HxWx3 uint8
    RGB image."""
    import cv2

    small = cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi
    direction = np.minimum((angle / np.pi * _DIRECTIONS).astype(np.int64), _DIRECTIONS - 1)
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    color = np.minimum(hue.astype(np.int64) * _HUES // 180, _HUES - 1)
    vivid = saturation.astype(np.float32) / 255 * value / 255
    shade = np.minimum(value.astype(np.int64) * _GREYS // 256, _GREYS - 1)
    region = _regions(grey.shape)
    parts = (
        _histogram(region, direction, _DIRECTIONS, strength),
        _histogram(region, color, _HUES, vivid),
        _histogram(region, shade, _GREYS, 1 - vivid),
    )
    return (np.concatenate(parts) / np.sqrt(len(parts))).astype(np.float32)


def _regions(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return rows * _REGIONS[0] // shape[0] * _REGIONS[1] + columns * _REGIONS[1] // shape[1]


def _histogram(region: np.ndarray, bins: np.ndarray, count: int, weight: np.ndarray) -> np.ndarray:
    """Roots of the weights by region and bin, of unit length."""
    size = _REGIONS[0] * _REGIONS[1] * count
    sums = np.sqrt(np.bincount((region * count + bins).ravel(), weight.ravel(), size))
    return sums / max(float(np.linalg.norm(sums)), 1e-9)


def _describe_jpeg(thumbnail: bytes) -> np.ndarray | None:
    import cv2

    if not thumbnail:
        return None
    image = cv2.imdecode(np.frombuffer(thumbnail, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else describe(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
