"""Local clouds (submaps): what each keyframe and the frames after it saw, in the keyframe's frame, so that it moves
along.

A local cloud holds hits (cells of half a voxel: which octants of them pixels fell into, how often and when, colour),
views (depth images with their poses: the evidence of free space), label votes and features. From clouds and poses the
whole map can be made again, carving included. Knows nothing of the map.

Where pixels lie so far apart that few of them share a cell, cells only cost: there a cloud's first frames are kept as
they are, each as a view of full size that also stands for its pixels' hits. That takes a tenth of the time when frames
come and half of the memory, and loses nothing. Of dense pixels too a cloud's only frame is kept whole; the second one
sorts both into cells.

Where a robot stands for long, people pass. Cells that enough later frames from the same place looked through leave the
cloud when it is closed: carving would remove them from every map that is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numba import njit

from ...frames import RGBDFrame
from ...geometry import Camera, invert, rotation_angle
from ..voxels.fusion import depth_scale
from ..voxels.voxel_features import FeatureHits
from .cells import CELL, DETAIL, HIT, CellTable, compact, frames_a_bit, middle_of_key, middles

#: Label votes: position in the keyframe's frame (m), class, votes.
VOTE = np.dtype([("p", "<f4", 3), ("class", "<i2"), ("votes", "<f4")])
#: A view is at most so many pixels wide, and each stands for this many squared at least, as many as carving looks at
#: around one; another view is kept when the camera moved or turned so far since the last.
VIEW_WIDTH, VIEW_FACTOR, VIEW_DISTANCE, VIEW_ANGLE = 240, 3, 0.08, 0.12
#: A frame is kept whole whose pixels lie farther apart than this (cells), up to so many pixels a cloud.
WHOLE_FROM, WHOLE_PIXELS = 0.2, 8 * 320 * 240
#: Quality of JPEG images, of 100.
_QUALITY = 85
#: A cloud stands for so many at most: what is far away counts little once, and fully by then.
STANDS_FOR_MOST = 8


@dataclass(eq=False)
class View:
    """Evidence of free space: what one camera pose saw, at low resolution; or a frame as a whole.

    Attributes:
        T: 4x4, cloud's frame from optical frame. camera: of the depth image.
        depth: hxw uint16 mm, nearest of the pixels under it; 0 unknown.
        first, stamp: ns of the first and the newest frame it stands for. frames: how many.
        color: of a whole frame every second pixel of every second row, as a JPEG image ((B,) uint8; black where it had
            no colour), None where this is evidence of free space alone. A voxel's colour is the mean of many pixels.
    """

    T: np.ndarray
    camera: Camera
    depth: np.ndarray
    first: int
    stamp: int
    frames: int = 1
    color: np.ndarray | None = None

    def pixels(self) -> np.ndarray:
        """A whole frame's colours, h/2 x w/2 x 3 uint8 RGB."""
        import cv2

        assert self.color is not None, "only whole frames have colours"
        found = cv2.imdecode(self.color, cv2.IMREAD_COLOR)
        return np.zeros((*self.depth[::2, ::2].shape, 3), np.uint8) if found is None else found[..., ::-1]


@dataclass(eq=False)
class LocalCloud:
    """Everything seen from one keyframe on until the next.

    Attributes:
        keyframe_id: -1 for what came before the first keyframe.
        T_map_cloud: 4x4, the keyframe's pose as it was then.
        stamp: ns. hits, details: (N,) HIT, (M,) DETAIL of the frames after the whole ones.
        views: whole frames, then evidence of free space.
        votes: (M,) VOTE.
        features: of the frames that brought some, points in the cloud's frame.
        stands_for: how many clouds, itself included, its hits count for: those of dropped keyframes that saw the same.
        frames: how many went in. number: the cloud's name in a memory file, -1 before it is written.

    An array in it is never written to, only replaced: snapshots tell by its identity whether it changed.
    """

    keyframe_id: int
    T_map_cloud: np.ndarray
    stamp: int
    hits: np.ndarray = field(default_factory=lambda: np.empty(0, HIT))
    details: np.ndarray = field(default_factory=lambda: np.empty(0, DETAIL))
    views: list[View] = field(default_factory=list)
    votes: np.ndarray = field(default_factory=lambda: np.empty(0, VOTE))
    frames: int = 0
    number: int = -1
    features: list[FeatureHits] = field(default_factory=list)
    stands_for: int = 1

    @property
    def frames_a_bit(self) -> int:
        """How many successive frames share a bit of the hits."""
        return frames_a_bit(self.frames - sum(v.color is not None for v in self.views))


class Clearing(NamedTuple):
    """When a cell is gone: so many frames (``frames``) from one place must see ``margin`` (m) and ``noise`` (m per m^2
    of depth) beyond it, as in carving."""

    margin: float
    noise: float
    frames: int


class CloudBuilder:
    """Grows the current local cloud frame by frame.

    Args:
        voxel_size: m, of the map. near, far: depth that is kept, m. stride: every n-th pixel of every n-th row.
        whole: pixels of the frames that a cloud keeps whole, at most. clearing: None keeps what was looked through.
    """

    def __init__(
        self, voxel_size: float, near: float, far: float, stride: int = 1, whole: int = WHOLE_PIXELS,
        clearing: Clearing | None = None,
    ) -> None:  # fmt: skip
        self._whole, self._clearing = whole, clearing
        self._cell, self._stride = CELL * voxel_size, stride
        self._near, self._far = near, far
        self._table = CellTable(self._cell, near, far, stride)
        self.cloud: LocalCloud | None = None

    @property
    def nbytes(self) -> int:
        """Memory of what grows, bytes."""
        return self._table.nbytes

    def start(self, keyframe_id: int, T_map_cloud: np.ndarray, stamp: int) -> None:
        """Begins a new cloud; the one before must have been taken by :meth:`close`."""
        self.cloud = LocalCloud(keyframe_id, np.array(T_map_cloud, np.float64), stamp)
        self._T_cloud_map = invert(self.cloud.T_map_cloud)
        self._kept = self._changed_at = 0
        self._only: tuple[RGBDFrame, np.ndarray] | None = None
        self._stamps: list[int] = []
        self._table.clear()

    def add(self, frame: RGBDFrame, T_map_camera: np.ndarray) -> None:
        """Adds one frame, taken from T_map_camera: whole, or its pixels as hits and its depth as a view."""
        T = self._T_cloud_map @ T_map_camera
        self.cloud.frames += 1
        self._stamps.append(int(frame.stamp))
        if self._keeps_whole(frame.depth, frame.camera):
            self._keep(frame, T)
            self._only = None
        elif not self.cloud.views and frame.depth.size <= self._whole:
            self._keep(frame, T)
            self._only = (frame, T)
        else:
            if self._only is not None:
                self.cloud.views.clear()
                self._sort(*self._only)
                self._only, self._changed_at = None, len(self._stamps)
            self._sort(frame, T)

    def _keep(self, frame: RGBDFrame, T: np.ndarray) -> None:
        self._kept += frame.depth.size
        depth, stamp = np.ascontiguousarray(frame.depth, np.float32), int(frame.stamp)
        half = np.zeros((*depth[::2, ::2].shape, 3), np.uint8)
        if frame.color is not None:
            half[:] = frame.color[::2, ::2]
        self.cloud.views.append(View(T, frame.camera, _millimetres(depth), stamp, stamp, color=packed_colors(half)))

    def _sort(self, frame: RGBDFrame, T: np.ndarray) -> None:
        """A frame's pixels into cells, its depth as evidence of free space."""
        depth = np.ascontiguousarray(frame.depth, np.float32)
        if self._table.add(depth, frame.color, frame.camera, T, int(frame.stamp)):
            self._changed_at = len(self._stamps)
        self._add_view(depth, frame.camera, T, int(frame.stamp))

    def add_features(self, given: FeatureHits) -> None:
        """Adds what a frame gave, points in map."""
        R, t = self._T_cloud_map[:3, :3], self._T_cloud_map[:3, 3]
        points = (given.points.astype(np.float64) @ R.T + t).astype(np.float32)
        self.cloud.features.append(given._replace(points=points))

    def close(self) -> LocalCloud:
        """The cloud so far, compact and without what was looked through; adding may go on."""
        self.cloud.hits, self.cloud.details = compact(self._standing(self._table.cells))
        return self.cloud

    def _standing(self, cells: np.ndarray) -> np.ndarray:
        """The growing cells that no later frames from one place looked through."""
        clear = self._clearing
        if clear is None or not len(cells):
            return cells
        through = np.zeros(len(cells))
        for v in self.cloud.views:
            if v.color is None and v.frames >= clear.frames:
                K = np.array([v.camera.fx, v.camera.fy, v.camera.cx, v.camera.cy])
                _count_through(
                    cells["key"], cells["last_seen"], self._cell, invert(v.T), K, v.depth, (v.first, v.stamp),
                    v.frames, (clear.margin, clear.noise), (self._near, self._far), through,
                )  # fmt: skip
        return cells[through < clear.frames] if (through >= clear.frames).any() else cells

    def changed(self, size: int, frames: int) -> list[tuple[int, np.ndarray]]:
        """Copies of the cells (for :func:`cells.compact`) that changed after the cloud's first ``frames`` frames.

        Cells come ``size`` together; returned are the (number, cells) of those among which one changed.
        """
        if frames >= len(self._stamps):
            return []
        # Cells of a frame that was written whole are new when it is sorted.
        newest = min(self._stamps[0 if frames < self._changed_at else frames :])
        cells = [(k // size, self._table.cells[k : k + size]) for k in range(0, len(self._table), size)]
        return [(i, part.copy()) for i, part in cells if part["last_seen"].max() >= newest]

    def _keeps_whole(self, depth: np.ndarray, camera: Camera) -> bool:
        if len(self._table) or self._kept + depth.size > self._whole:
            return False
        some = depth[8::16, 8::16]
        some = some[(some >= self._near) & (some <= self._far)]
        return bool(len(some)) and float(some.mean()) * self._stride > WHOLE_FROM * self._cell * camera.fx

    def _add_view(self, depth: np.ndarray, camera: Camera, T: np.ndarray, stamp: int) -> None:
        small, small_camera = shrink_depth(depth, camera, VIEW_WIDTH, VIEW_FACTOR)
        views = self.cloud.views
        if views and views[-1].color is None and views[-1].depth.shape == small.shape:
            last = views[-1]
            moved = invert(last.T) @ T
            if np.linalg.norm(moved[:3, 3]) < VIEW_DISTANCE and rotation_angle(moved) < VIEW_ANGLE:
                last.T, last.camera, last.depth, last.stamp = T, small_camera, small, stamp
                last.frames += 1
                return
        views.append(View(T, small_camera, small, stamp, stamp))


def packed_colors(pixels: np.ndarray) -> np.ndarray:
    """(B,) uint8, the JPEG image of hxwx3 uint8 RGB: an eighth of what packing without loss takes."""
    import cv2

    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].ravel()


def cloud_points(cloud: LocalCloud, voxel_size: float, width: int = 1 << 16) -> np.ndarray:
    """(N, 3) float64 points (m, cloud's frame) of all that a cloud hit: middles of cells, pixels of whole frames, at
    most ``width`` a row.
    """
    parts = [middles(cloud.hits, voxel_size)]
    for view in (v for v in cloud.views if v.color is not None):
        c, step = view.camera, -(-view.camera.width // width)
        depth = view.depth[::step, ::step] / 1000.0
        v, u = (step * np.indices(depth.shape))[:, depth > 0]
        z = depth[depth > 0]
        p = np.stack([(u - c.cx) / c.fx * z, (v - c.cy) / c.fy * z, z], axis=1)
        parts.append(p @ view.T[:3, :3].T + view.T[:3, 3])
    return np.concatenate(parts)


def shrink_depth(depth: np.ndarray, camera: Camera, width: int, least: int = 1) -> tuple[np.ndarray, Camera]:
    """Depth (HxW float32 m or uint16 mm) as hxw uint16 mm, each the nearest of the pixels under it, with its camera.

    A pixel more than half of whose source is invalid is 0.

    Args:
        width: pixels, at most. least: pixels along either axis that one stands for.
    """
    factor = max(least, -(-depth.shape[1] // width))
    h, w = depth.shape[0] // factor, depth.shape[1] // factor
    small = _shrink(np.ascontiguousarray(depth), depth_scale(depth), factor, h, w)
    half = (factor - 1) / 2
    K = (camera.fx / factor, camera.fy / factor, (camera.cx - half) / factor, (camera.cy - half) / factor)
    return small, Camera(w, h, *K)


def view_points(depth: np.ndarray, camera: Camera, T: np.ndarray, near: float, far: float) -> np.ndarray:
    """(3, N) float32 points (m) of a depth image's (uint16 mm) pixels from near to far (m), moved by T (4x4)."""
    K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    return _view_points(depth, K, np.asarray(T, np.float64).astype(np.float32), np.float32(near), np.float32(far))


@njit(cache=True, nogil=True)
def _view_points(depth, K, T, near, far):
    """See :func:`view_points`; depth: HxW uint16 mm, K: fx, fy, cx, cy, T: 4x4 float32."""
    out = np.empty((3, depth.size), np.float32)
    n = 0
    for v in range(depth.shape[0]):
        b = np.float32((v - K[3]) / K[1])
        for u in range(depth.shape[1]):
            z = depth[v, u] / np.float32(1000)  # rounded as where these pixels become voxels
            if z > 0 and near <= z <= far:
                x, y = np.float32((u - K[2]) / K[0]) * z, b * z
                for a in range(3):
                    out[a, n] = T[a, 0] * x + T[a, 1] * y + T[a, 2] * z + T[a, 3]
                n += 1
    return out[:, :n].copy()


@njit(cache=True, nogil=True)
def _count_through(keys, last_seen, size, T, K, depth, times, frames, beyond, reach, through):
    """Adds to ``through`` (N) how many of a view's frames looked through each of N growing cells since it was seen.

    Args:
        keys, last_seen: N int64, of the cells. size: of a cell, m. T: 4x4, optical frame from the cells'. K: fx, fy,
            cx, cy of ``depth`` (HxW uint16 mm). times: ns, of the first and the last of the ``frames``.
        beyond: margin (m), noise (m per m^2). reach: nearest and farthest optical depth, m.
    """
    height, width = depth.shape
    for i in range(keys.size):
        if last_seen[i] >= times[1]:
            continue
        x, y, z = middle_of_key(keys[i], size)
        px = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
        py = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
        pz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        if not reach[0] <= pz <= reach[1]:
            continue
        u, v = np.int64(np.floor(K[0] * px / pz + K[2] + 0.5)), np.int64(np.floor(K[1] * py / pz + K[3] + 0.5))
        if u < 1 or v < 1 or u >= width - 1 or v >= height - 1:
            continue
        nearest = 65535
        for b in range(v - 1, v + 2):
            for a in range(u - 1, u + 2):
                nearest = min(nearest, np.int64(depth[b, a]))  # 0, unknown, hides all
        d = nearest * 0.001
        if pz < d - beyond[0] - beyond[1] * d * d:
            since = max(last_seen[i], times[0])
            through[i] += frames * (times[1] - since) / max(times[1] - times[0], 1)


@njit(cache=True, nogil=True)
def _millimetres(depth):
    """HxW uint16 mm of HxW float32 m, 0 for what is no depth."""
    out = np.empty(depth.shape, np.uint16)
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            d = depth[v, u]
            mm = np.rint((d if d > 0 else np.float32(0)) * np.float32(1000))
            out[v, u] = np.uint16(min(mm, np.float32(65535)))
    return out


@njit(cache=True, nogil=True)
def _shrink(depth, scale, factor, h, w):
    """h x w uint16 mm: the nearest valid of factor x factor pixels of depth (HxW, ``scale`` a metre), 0 where half or
    more of them are invalid."""
    out = np.zeros((h, w), np.uint16)
    limit = np.float32(65.535) * scale
    for v in range(h):
        for u in range(w):
            nearest, valid = limit, 0
            for j in range(v * factor, (v + 1) * factor):
                for i in range(u * factor, (u + 1) * factor):
                    d = depth[j, i]
                    if d > 0:
                        nearest = min(nearest, np.float32(d))
                        valid += 1
            if 2 * valid > factor * factor:
                out[v, u] = np.uint16(nearest * (np.float32(1000) / scale))
    return out
