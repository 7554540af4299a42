"""What each keyframe and the frames after it saw, kept in the keyframe's own frame so that it moves with it.

A local cloud holds hits (true centroids of fine cells, how often seen, colour), views (small depth images with their
poses: the evidence of free space) and label votes. From clouds and poses the whole map can be made again, carving
included. Knows nothing of the map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numba import njit

from ..frames import RGBDFrame
from ..geometry import Camera, invert, rotation_angle
from .features import FeatureHits
from .fusion import SUM_COLUMNS, FrameVoxels
from .keys import hash_key, pack, pack_array, unpack, unpack_array

#: Hits of a closed cloud: position in the keyframe's frame (m), colour, points, sightings, last seen (ns).
HIT = np.dtype([("p", "<f4", 3), ("rgb", "u1", 3), ("weight", "<f4"), ("sightings", "<f4"), ("last_seen", "<i8")])
#: Label votes: position in the keyframe's frame (m), class, votes.
VOTE = np.dtype([("p", "<f4", 3), ("class", "<i2"), ("votes", "<f4")])
#: A view is at most so many pixels wide; one more is kept when the camera moved or turned so far since the last.
VIEW_WIDTH, VIEW_DISTANCE, VIEW_ANGLE = 80, 0.15, 0.25
_FIRST_BITS = 12
#: A cell of a growing cloud: sums of its points less its lower corner (m) and of their colours; points;
#: sightings.
_CELL = np.dtype(
    {
        "names": ["key", "last_seen", "x", "y", "z", "r", "g", "b", "weight", "sightings"],
        "formats": ["<i8", "<i8", *["<f4"] * 8],
        "offsets": [0, 8, 16, 20, 24, 28, 32, 36, 40, 44],
        "itemsize": 48,
    }
)


@dataclass(eq=False)
class View:
    """Evidence of free space: what one camera pose saw, at low resolution.

    Attributes:
        T: 4x4, cloud's frame from optical frame. camera: of the small image.
        depth: hxw uint16 mm, nearest of the pixels under it; 0 unknown.
        first, stamp: ns of the first and the newest frame it stands for. frames: how many.
    """

    T: np.ndarray
    camera: Camera
    depth: np.ndarray
    first: int
    stamp: int
    frames: int = 1


@dataclass(eq=False)
class LocalCloud:
    """Everything seen from one keyframe on until the next.

    Attributes:
        keyframe_id: -1 for what came before the first keyframe.
        T_map_cloud: 4x4, the keyframe's pose as it was then.
        stamp: ns. hits: (N,) HIT. views: evidence of free space. votes: (M,) VOTE.
        frames: how many went in. number: the cloud's name in a memory file, -1 before it is written.
        features: of the frames that had some, points in the cloud's frame.

    An array in it is never written to, only replaced: who saved it tells by its identity what changed.
    """

    keyframe_id: int
    T_map_cloud: np.ndarray
    stamp: int
    hits: np.ndarray = field(default_factory=lambda: np.empty(0, HIT))
    views: list[View] = field(default_factory=list)
    votes: np.ndarray = field(default_factory=lambda: np.empty(0, VOTE))
    frames: int = 0
    number: int = -1
    features: list[FeatureHits] = field(default_factory=list)


class CloudBuilder:
    """Grows the current local cloud frame by frame.

    Args:
        voxel_size: m, of the map. cell: m, finer than a voxel.

    Each frame gives the centroid of each voxel that it sees, sorted into finer cells: so a map made again under
    unchanged poses has the same voxels, and one under other poses finds several points in most of them.
    """

    def __init__(self, voxel_size: float, cell: float):
        self.voxel_size, self.cell = voxel_size, cell
        self._bits = _FIRST_BITS
        self.cloud: LocalCloud | None = None

    def start(self, keyframe_id: int, T_map_cloud: np.ndarray, stamp: int) -> None:
        """Begins a new cloud; the one before must have been taken by :meth:`close`."""
        self.cloud = LocalCloud(keyframe_id, np.array(T_map_cloud, np.float64), stamp)
        self._T_cloud_map = invert(self.cloud.T_map_cloud)
        # What the cloud before needed, this one will need too.
        self._count = 0
        self._stamps: list[int] = []
        self._resize(self._bits)

    def add(self, voxels: FrameVoxels, sightings: np.ndarray, frame: RGBDFrame) -> None:
        """Adds one frame: its unique voxels of the map with their sightings, and its depth as a view."""
        cloud = self.cloud
        while 2 * (self._count + len(voxels.keys)) > self._slots.size:
            self._resize(self._bits + 1)
        self._count = _merge(
            self._slots, self._bits, self._cells, self._count, voxels.keys, voxels.sums, sightings, int(frame.stamp),
            self.voxel_size, self.cell,
        )  # fmt: skip
        cloud.frames += 1
        self._stamps.append(int(frame.stamp))
        self._look(frame.depth, frame.camera, self._T_cloud_map @ frame.T_map_camera, int(frame.stamp))

    def close(self) -> LocalCloud:
        """The cloud so far, compact; adding may go on."""
        self.cloud.hits = self.converter()(self._cells[: self._count])
        return self.cloud

    @property
    def count(self) -> int:
        """Cells so far; hits come in their order."""
        return self._count

    def changed(self, size: int, frames: int) -> list[tuple[int, np.ndarray]]:
        """Copies of the cells (for :meth:`converter`) that changed after the cloud's first ``frames`` frames.

        Cells come ``size`` together; returned are the (number, cells) of those among which one changed.
        """
        newest = min(self._stamps[frames:], default=None)
        if newest is None:
            return []
        cells = [(k // size, self._cells[k : min(k + size, self._count)]) for k in range(0, self._count, size)]
        return [(i, part.copy()) for i, part in cells if part["last_seen"].max() >= newest]

    def converter(self) -> Callable[[np.ndarray], np.ndarray]:
        """What makes HIT records of the current cloud's cells, then and on any thread."""
        return partial(hits_of, size=self.cell, T_cloud_map=self._T_cloud_map)

    def _resize(self, bits: int) -> None:
        """Takes a hash of 2^bits; one keyframe's cloud is small, so copying it costs well under a millisecond."""
        cells = np.empty(1 << (bits - 1), _CELL)
        slots = np.full(1 << bits, -1, np.int32)
        if self._count:
            cells[: self._count] = self._cells[: self._count]
            _rehash(slots, bits, cells, self._count)
        self._bits, self._slots, self._cells = bits, slots, cells

    def _look(self, depth: np.ndarray, camera: Camera, T: np.ndarray, stamp: int) -> None:
        small, small_camera = shrink_depth(depth, camera)
        views = self.cloud.views
        if views and views[-1].depth.shape == small.shape:
            last = views[-1]
            moved = invert(last.T) @ T
            if np.linalg.norm(moved[:3, 3]) < VIEW_DISTANCE and rotation_angle(moved) < VIEW_ANGLE:
                last.T, last.camera, last.depth, last.stamp = T, small_camera, small, stamp
                last.frames += 1
                return
        views.append(View(T, small_camera, small, stamp, stamp))


def hits_of(cells: np.ndarray, size: float, T_cloud_map: np.ndarray) -> np.ndarray:
    """Cells of a growing cloud, ``size`` wide (m), as HIT records in the cloud's frame."""
    hits = np.empty(len(cells), HIT)
    corners = unpack_array(cells["key"]) * size
    means = np.stack([cells[k] for k in "xyz"], axis=1) / cells["weight"][:, None]
    hits["p"] = (corners + means) @ T_cloud_map[:3, :3].T + T_cloud_map[:3, 3]
    for k in range(3):
        hits["rgb"][:, k] = np.rint(cells["rgb"[k]] / cells["weight"])
    for name in ("weight", "sightings", "last_seen"):
        hits[name] = cells[name]
    return hits


def shrink_depth(depth: np.ndarray, camera: Camera) -> tuple[np.ndarray, Camera]:
    """Depth (HxW float32 m) as hxw uint16 mm, each the nearest of the pixels under it, with its camera.

    A pixel more than half of whose source is invalid is 0.
    """
    factor = max(1, -(-depth.shape[1] // VIEW_WIDTH))
    h, w = depth.shape[0] // factor, depth.shape[1] // factor
    small = _shrink(np.ascontiguousarray(depth, np.float32), factor, h, w)
    half = (factor - 1) / 2
    K = (camera.fx / factor, camera.fy / factor, (camera.cx - half) / factor, (camera.cy - half) / factor)
    return small, Camera(w, h, *K)


@njit(cache=True, nogil=True)
def _shrink(depth, factor, h, w):
    out = np.zeros((h, w), np.uint16)
    for v in range(h):
        for u in range(w):
            nearest, valid = np.float32(65.535), 0
            for j in range(v * factor, (v + 1) * factor):
                for i in range(u * factor, (u + 1) * factor):
                    d = depth[j, i]
                    if d > 0:
                        nearest = min(nearest, d)
                        valid += 1
            if 2 * valid > factor * factor:
                out[v, u] = np.uint16(nearest * 1000)
    return out


@njit(cache=True, nogil=True)
def _merge(slots, bits, cells, count, keys, sums, sightings, stamp, voxel_size, size):
    mask = slots.size - 1
    for e in range(keys.size):
        ix, iy, iz = unpack(keys[e])
        n = sums[e, 6]
        x, y, z = ix * voxel_size + sums[e, 0] / n, iy * voxel_size + sums[e, 1] / n, iz * voxel_size + sums[e, 2] / n
        jx, jy, jz = np.int64(np.floor(x / size)), np.int64(np.floor(y / size)), np.int64(np.floor(z / size))
        key = pack(jx, jy, jz)
        h = hash_key(key, bits)
        while slots[h] >= 0 and cells[slots[h]].key != key:
            h = (h + 1) & mask
        if slots[h] < 0:
            slots[h] = count
            cell = cells[count]
            cell.key = key
            cell.x = cell.y = cell.z = cell.r = cell.g = cell.b = 0.0
            cell.weight = cell.sightings = 0.0
            count += 1
        cell = cells[slots[h]]
        cell.x += n * (x - jx * size)
        cell.y += n * (y - jy * size)
        cell.z += n * (z - jz * size)
        cell.r += sums[e, 3]
        cell.g += sums[e, 4]
        cell.b += sums[e, 5]
        cell.weight += n
        cell.sightings += sightings[e]
        cell.last_seen = stamp
    return count


@njit(cache=True, nogil=True)
def _rehash(slots, bits, cells, count):
    mask = slots.size - 1
    for c in range(count):
        h = hash_key(cells[c].key, bits)
        while slots[h] >= 0:
            h = (h + 1) & mask
        slots[h] = c


def regroup(hits: np.ndarray, T: np.ndarray, cell: float) -> tuple[FrameVoxels, np.ndarray, np.ndarray]:
    """A closed cloud's hits as unique voxels of another frame.

    Args:
        hits: (N,) HIT. T: 4x4, that frame from the cloud's.

    Returns:
        Voxels in order of first appearance, their sightings (float32) and stamps.
    """

    p = hits["p"].astype(np.float64) @ T[:3, :3].T + T[:3, 3]
    voxels = np.floor(p / cell).astype(np.int64)
    keys, inverse = np.unique(pack_array(voxels), return_inverse=True)
    sums = np.zeros((len(keys), SUM_COLUMNS))
    weight = hits["weight"].astype(np.float64)
    for k in range(3):
        sums[:, k] = np.bincount(inverse, (p[:, k] - voxels[:, k] * cell) * weight, len(keys))
        sums[:, 3 + k] = np.bincount(inverse, hits["rgb"][:, k] * weight, len(keys))
    sums[:, 6] = np.bincount(inverse, weight, len(keys))
    sightings = np.bincount(inverse, hits["sightings"], len(keys)).astype(np.float32)
    stamps = np.zeros(len(keys), np.int64)
    np.maximum.at(stamps, inverse, hits["last_seen"])
    return FrameVoxels(keys, sums, int(sums[:, 6].sum())), sightings, stamps
