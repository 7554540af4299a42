"""What each keyframe and the frames after it saw, kept in the keyframe's own frame so that it moves with it.

A local cloud holds hits (cells of half a voxel: which parts of them pixels fell into, how often and when, colour),
views (depth images with their poses: the evidence of free space), label votes and features. From clouds and poses the
whole map can be made again, carving included. Knows nothing of the map.

Where pixels lie so far apart that few of them share a cell, cells only cost: there a cloud's first frames are kept as
they are, each as a view of full size that also stands for its pixels' hits. That takes a tenth of the time and of the
memory, and loses nothing. Of dense pixels too a cloud's only frame is kept whole; the second one sorts both into cells.

Points of a cell (its centroid, say) would not do: a voxel that only the rim of a surface reaches into is missed, and at
half a voxel every sixth is one of these. So each cell has a mask of its 4x4x4 sub-cells, and each sub-cell that was hit
a mask of its 2x2x2 parts. The first is cut along the faces of other voxels by looking up which sub-cells lie beyond a
plane; the second is asked only where it decides whether a voxel was hit at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from ..frames import RGBDFrame
from ..geometry import Camera, invert, rotation_angle
from .features import FeatureHits
from .fusion import depth_scale
from .keys import hash_key

#: Edge of a cell, voxels.
CELL = 0.5
#: Sub-cells along a cell's edge, and parts along a sub-cell's; sub-cell (x, y, z) is bit (x * 4 + y) * 4 + z of a
#: cell's mask, part (x, y, z) of it bit (x * 2 + y) * 2 + z of its detail.
SUB, PARTS = 4, 2
#: Hits of a cloud: cell number in the keyframe's frame, its mask and the details of its 64 sub-cells (0 for those that
#: were not hit), colour, frames that saw it (at most 255), points, last seen (ns).
HIT = np.dtype(
    [("cell", "<i2", 3), ("mask", "<u8"), ("details", "u1", SUB**3), ("rgb", "u1", 3), ("frames", "u1"),
     ("weight", "<f4"), ("last_seen", "<i8")]
)  # fmt: skip
#: Label votes: position in the keyframe's frame (m), class, votes.
VOTE = np.dtype([("p", "<f4", 3), ("class", "<i2"), ("votes", "<f4")])
#: A view is at most so many pixels wide, and each stands for this many squared at least, as many as carving looks at
#: around one; another view is kept when the camera moved or turned so far since the last.
VIEW_WIDTH, VIEW_FACTOR, VIEW_DISTANCE, VIEW_ANGLE = 240, 3, 0.08, 0.12
#: A frame is kept whole whose pixels lie farther apart than this (cells), up to so many pixels a cloud.
WHOLE_FROM, WHOLE_PIXELS = 0.25, 12 * 320 * 240
_FIRST_BITS = 12
#: Cells along an axis; three cell numbers fit into one float64 without rounding.
_SIDE = 1 << 16
_MIDDLE = _SIDE // 2
#: The cell of a pixel that is not used, and the one after a row's last.
_NO_CELL, _END = 1e16, -1e16
#: A cell of a growing cloud: its number along x, y and z in one integer; details of all sub-cells; sums of its points'
#: colours; points; frames.
_CELL = np.dtype(
    [("key", "<i8"), ("last_seen", "<i8"), ("details", "u1", SUB**3), ("r", "<f4"), ("g", "<f4"), ("b", "<f4"),
     ("weight", "<f4"), ("frames", "<i8")]
)  # fmt: skip
#: Places of a voxel's face across a cell that are told apart.
LEVELS = 256


@dataclass(eq=False)
class View:
    """Evidence of free space: what one camera pose saw, at low resolution; or a frame as a whole.

    Attributes:
        T: 4x4, cloud's frame from optical frame. camera: of the depth image.
        depth: hxw uint16 mm, nearest of the pixels under it; 0 unknown.
        first, stamp: ns of the first and the newest frame it stands for. frames: how many.
        color: of a whole frame every second pixel of every second row (uint8, three a pixel; black where it had no
            colour), None where this is evidence of free space alone.
    """

    T: np.ndarray
    camera: Camera
    depth: np.ndarray
    first: int
    stamp: int
    frames: int = 1
    color: np.ndarray | None = None


@dataclass(eq=False)
class LocalCloud:
    """Everything seen from one keyframe on until the next.

    Attributes:
        keyframe_id: -1 for what came before the first keyframe.
        T_map_cloud: 4x4, the keyframe's pose as it was then.
        stamp: ns. hits: (N,) HIT, of the frames after the whole ones. views: whole frames, then evidence of free space.
        votes: (M,) VOTE.
        features: of the frames that brought some, points in the cloud's frame.
        frames: how many went in. number: the cloud's name in a memory file, -1 before it is written.
        blocks: (a pose, the blocks of the map that the closed cloud touches there), where somebody has asked.

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
    blocks: tuple[np.ndarray, np.ndarray] | None = None


class CloudBuilder:
    """Grows the current local cloud frame by frame.

    Args:
        voxel_size: m, of the map. near, far: depth that is kept, m. stride: every n-th pixel of every n-th row.
        whole: pixels of the frames that a cloud keeps whole, at most.
    """

    def __init__(self, voxel_size: float, near: float, far: float, stride: int = 1, whole: int = WHOLE_PIXELS):
        self._whole = whole
        self._cell = CELL * voxel_size
        self._near, self._far, self._stride = near, far, stride
        self._bits = _FIRST_BITS
        self.cloud: LocalCloud | None = None

    def start(self, keyframe_id: int, T_map_cloud: np.ndarray, stamp: int) -> None:
        """Begins a new cloud; the one before must have been taken by :meth:`close`."""
        self.cloud = LocalCloud(keyframe_id, np.array(T_map_cloud, np.float64), stamp)
        self._T_cloud_map = invert(self.cloud.T_map_cloud)
        self._count = self._kept = self._sorted_at = 0
        self._only: tuple[RGBDFrame, np.ndarray] | None = None
        self._stamps: list[int] = []
        self._cells = np.empty(0, _CELL)

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
                self._only, self._sorted_at = None, len(self._stamps)
            self._sort(frame, T)

    def _keep(self, frame: RGBDFrame, T: np.ndarray) -> None:
        self._kept += frame.depth.size
        depth, stamp = np.ascontiguousarray(frame.depth, np.float32), int(frame.stamp)
        half = np.zeros((*depth[::2, ::2].shape, 3), np.uint8)
        if frame.color is not None:
            half[:] = frame.color[::2, ::2]
        self.cloud.views.append(View(T, frame.camera, _millimetres(depth), stamp, stamp, color=half))

    def _sort(self, frame: RGBDFrame, T: np.ndarray) -> None:
        """A frame's pixels into cells, its depth as evidence of free space."""
        camera, depth = frame.camera, np.ascontiguousarray(frame.depth, np.float32)
        color = _NO_COLOR if frame.color is None else np.ascontiguousarray(frame.color)
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        row = 0
        if not self._cells.size:  # what the cloud before needed, this one will need too
            self._resize(self._bits)
        while True:
            self._count, row = _collect(
                depth, color, K, T, self._cell, np.float32(self._near), np.float32(self._far), self._stride, row,
                int(frame.stamp), self._slots, self._bits, self._cells, self._cells["details"], self._count,
            )  # fmt: skip
            if row >= depth.shape[0]:
                break
            self._resize(self._bits + 1)
        self._look(depth, camera, T, int(frame.stamp))

    def add_features(self, given: FeatureHits) -> None:
        """Adds what a frame gave, points in map."""
        R, t = self._T_cloud_map[:3, :3], self._T_cloud_map[:3, 3]
        points = (given.points.astype(np.float64) @ R.T + t).astype(np.float32)
        self.cloud.features.append(given._replace(points=points))

    def close(self) -> LocalCloud:
        """The cloud so far, compact; adding may go on."""
        self.cloud.hits = hits_of(self._cells[: self._count])
        return self.cloud

    @property
    def count(self) -> int:
        """Cells so far; hits come in their order."""
        return self._count

    def changed(self, size: int, frames: int) -> list[tuple[int, np.ndarray]]:
        """Copies of the cells (for :meth:`converter`) that changed after the cloud's first ``frames`` frames.

        Cells come ``size`` together; returned are the (number, cells) of those among which one changed.
        """
        if frames >= len(self._stamps):
            return []
        # Cells of a frame that was written whole are new when it is sorted.
        newest = min(self._stamps[0 if frames < self._sorted_at else frames :])
        cells = [(k // size, self._cells[k : min(k + size, self._count)]) for k in range(0, self._count, size)]
        return [(i, part.copy()) for i, part in cells if part["last_seen"].max() >= newest]

    def converter(self) -> Callable[[np.ndarray], np.ndarray]:
        """What makes HIT records of the cloud's cells, on any thread."""
        return hits_of

    def _keeps_whole(self, depth: np.ndarray, camera: Camera) -> bool:
        if self._count or self._kept + depth.size > self._whole:
            return False
        some = depth[8::16, 8::16]
        some = some[(some >= self._near) & (some <= self._far)]
        return bool(len(some)) and float(some.mean()) * self._stride > WHOLE_FROM * self._cell * camera.fx

    def _resize(self, bits: int) -> None:
        """Takes a hash of 2^bits; one keyframe's cloud is small, so copying it costs well under a millisecond."""
        cells = np.empty(1 << (bits - 1), _CELL)
        slots = np.full(1 << bits, -1, np.int32)
        if self._count:
            cells[: self._count] = self._cells[: self._count]
            _rehash(slots, bits, cells["key"], self._count)
        self._bits, self._slots, self._cells = bits, slots, cells

    def _look(self, depth: np.ndarray, camera: Camera, T: np.ndarray, stamp: int) -> None:
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


_NO_COLOR = np.zeros((0, 0, 3), np.uint8)


def hits_of(cells: np.ndarray) -> np.ndarray:
    """Cells of a growing cloud as HIT records."""
    hits = np.empty(len(cells), HIT)
    _close(cells, cells["details"], hits, hits["cell"], hits["rgb"], hits["details"])
    return hits


def hit_points(hits: np.ndarray, voxel_size: float) -> np.ndarray:
    """(N, 3) float64 middles (m) of hits' cells in their cloud's frame."""
    return (hits["cell"] + 0.5) * (CELL * voxel_size)


def cloud_points(cloud: LocalCloud, voxel_size: float, width: int = 1 << 16) -> np.ndarray:
    """(N, 3) float64 points (m, cloud's frame) of all that a cloud hit: middles of cells, pixels of whole frames, at
    most ``width`` a row.
    """
    parts = [hit_points(cloud.hits, voxel_size)]
    for view in (v for v in cloud.views if v.color is not None):
        c, step = view.camera, -(-view.camera.width // width)
        depth = view.depth[::step, ::step] / 1000.0
        v, u = (step * np.indices(depth.shape))[:, depth > 0]
        z = depth[depth > 0]
        p = np.stack([(u - c.cx) / c.fx * z, (v - c.cy) / c.fy * z, z], axis=1)
        parts.append(p @ view.T[:3, :3].T + view.T[:3, 3])
    return np.concatenate(parts)


def hits_of_points(old: np.ndarray, voxel_size: float) -> np.ndarray:
    """HIT records of what files of before held: records with ``p`` (m, cloud's frame) instead of cell and mask."""
    parts = np.floor(old["p"].astype(np.float64) / (CELL * voxel_size) * (SUB * PARTS)).astype(np.int64)
    cell, within = parts // (SUB * PARTS), parts % (SUB * PARTS)
    sub, part = within // PARTS, within % PARTS
    place = (sub[:, 0] * SUB + sub[:, 1]) * SUB + sub[:, 2]
    hits = np.zeros(len(old), HIT)
    hits["cell"], hits["mask"] = np.clip(cell, -_MIDDLE, _MIDDLE - 1), np.uint64(1) << place.astype(np.uint64)
    hits["details"][np.arange(len(old)), place] = 1 << ((part[:, 0] * PARTS + part[:, 1]) * PARTS + part[:, 2])
    hits["frames"] = np.clip(np.ceil(old["sightings"]), 1, 255)
    for name in ("rgb", "weight", "last_seen"):
        hits[name] = old[name]
    return hits


@njit(cache=True, nogil=True)
def _close(cells, details, hits, numbers, colors, out):
    for i in range(cells.size):
        c, hit = cells[i], hits[i]
        key = c.key
        numbers[i, 0] = key // (_SIDE * _SIDE) - _MIDDLE
        numbers[i, 1] = (key // _SIDE) % _SIDE - _MIDDLE
        numbers[i, 2] = key % _SIDE - _MIDDLE
        colors[i, 0] = np.uint8(np.rint(c.r / c.weight))
        colors[i, 1] = np.uint8(np.rint(c.g / c.weight))
        colors[i, 2] = np.uint8(np.rint(c.b / c.weight))
        mask = np.uint64(0)
        for k in range(SUB**3):
            mask |= np.uint64(details[i, k] > 0) << np.uint64(k)
            out[i, k] = details[i, k]
        hit.mask, hit.weight, hit.last_seen, hit.frames = mask, c.weight, c.last_seen, min(c.frames, 255)


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
    out = np.empty((3, depth.size), np.float32)
    n = 0
    for v in range(depth.shape[0]):
        b = np.float32((v - K[3]) / K[1])
        for u in range(depth.shape[1]):
            z = depth[v, u] * np.float32(0.001)
            if near <= z <= far:
                x, y = np.float32((u - K[2]) / K[0]) * z, b * z
                for a in range(3):
                    out[a, n] = T[a, 0] * x + T[a, 1] * y + T[a, 2] * z + T[a, 3]
                n += 1
    return out[:, :n].copy()


@njit(cache=True, nogil=True)
def _millimetres(depth):
    out = np.empty(depth.shape, np.uint16)
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            d = depth[v, u]
            mm = np.rint((d if d > 0 else np.float32(0)) * np.float32(1000))
            out[v, u] = np.uint16(min(mm, np.float32(65535)))
    return out


@njit(cache=True, nogil=True)
def _shrink(depth, scale, factor, h, w):
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


# ---- pixels into cells ----


@njit(cache=True, nogil=True)
def _row(depth, near, far, slopes, bx, by, bz, start, cells, places):
    """Of each pixel of a row its cell in one number (_NO_CELL for none), and which of the cell's 8x8x8 parts it is.

    Coordinates are in parts. All is floating point, so that the compiler makes vector code of it.
    """
    sx, sy, sz = start[0], start[1], start[2]
    eighth, eight, reach = np.float32(0.125), np.float32(8), np.float32(_MIDDLE - 1)
    for i in range(places.size):
        d = depth[i]
        used = (d >= near) & (d <= far) & (d > 0)
        z = d if used else np.float32(0)
        jx = np.floor((slopes[0, i] + bx) * z + sx)
        jy = np.floor((slopes[1, i] + by) * z + sy)
        jz = np.floor((slopes[2, i] + bz) * z + sz)
        x, y, w = np.floor(jx * eighth), np.floor(jy * eighth), np.floor(jz * eighth)
        used &= max(abs(x), max(abs(y), abs(w))) <= reach
        value = (np.float64(x) * _SIDE + np.float64(y)) * _SIDE + np.float64(w)
        cells[i] = value if used else _NO_CELL
        place = ((jx - x * eight) * eight + (jy - y * eight)) * eight + (jz - w * eight)
        places[i] = place if used else np.float32(0)


@njit(cache=True, nogil=True)
def _paint(color, stride, rgb):
    for i in range(rgb.size):
        p = color[i * stride]
        rgb[i] = np.int64(p[0]) | (np.int64(p[1]) << 21) | (np.int64(p[2]) << 42)


@njit(cache=True, nogil=True)
def _collect(depth, color, K, T, size, near, far, stride, first_row, stamp, slots, bits, cells, details, count):
    """Adds an image from a row on; returns (cells, next row), which is in the image where room ran out."""
    height, width = depth.shape
    n = (width + stride - 1) // stride
    scale = SUB * PARTS / size
    rays = (stride * np.arange(n) - K[2]) / K[0]
    slopes, start = np.empty((3, n), np.float32), np.empty(3, np.float32)
    for k in range(3):
        slopes[k] = (T[k, 0] * scale * rays).astype(np.float32)
        start[k] = T[k, 3] * scale
    line = np.empty(n, np.float32)
    values, places, rgb = np.empty(n + 1), np.empty(n, np.float32), np.zeros(n, np.int64)
    values[n] = _END
    parts = _part_numbers()
    colored = color.shape[0] == height
    for v in range(first_row, height, stride):
        if 2 * (count + n) > slots.size:
            return count, v
        line[:] = depth[v, ::stride]
        y = (v - K[3]) / K[1]
        bx = np.float32((T[0, 1] * y + T[0, 2]) * scale)
        by = np.float32((T[1, 1] * y + T[1, 2]) * scale)
        bz = np.float32((T[2, 1] * y + T[2, 2]) * scale)
        _row(line, near, far, slopes, bx, by, bz, start, values[:n], places)
        if colored:
            _paint(color[v], stride, rgb)
        count = _take_row(values, places, parts, rgb, stamp, slots, bits, cells, details, count)
    return count, height


@njit(cache=True, nogil=True)
def _part_numbers():
    """Of each of 8x8x8 parts the sub-cell << 8 | the part's bit in its detail."""
    out = np.empty(512, np.int16)
    for k in range(512):
        x, y, z = k >> 6, (k >> 3) & 7, k & 7
        out[k] = (
            ((x >> 1) << 12) | ((y >> 1) << 10) | ((z >> 1) << 8) | (1 << (((x & 1) << 2) | ((y & 1) << 1) | (z & 1)))
        )
    return out


@njit(cache=True, nogil=True)
def _take_row(values, places, parts, rgb, stamp, slots, bits, cells, details, count):
    mask = np.uint64(slots.size - 1)
    n = np.uint64(places.size)
    one = np.uint64(1)
    i = np.uint64(0)
    while i < n:
        value = values[i]
        if value == _NO_CELL:
            i += one
            continue
        key = np.int64(value) + (_MIDDLE * _SIDE + _MIDDLE) * _SIDE + _MIDDLE
        h = np.uint64(hash_key(key, bits))
        c = slots[h]
        while c >= 0 and cells[np.uint64(c)].key != key:
            h = (h + one) & mask
            c = slots[h]
        if c < 0:
            c = np.int32(count)
            slots[h] = c
            new = cells[c]
            new.key, new.last_seen, new.frames = key, stamp, 1
            new.r = new.g = new.b = new.weight = np.float32(0)
            details[c, :] = 0
            count += 1
        e = np.uint64(c)
        cell = cells[e]
        if cell.last_seen != stamp:
            cell.last_seen = stamp
            cell.frames += 1
        first, total = i, np.int64(0)
        while values[i] == value:
            p = parts[np.uint64(places[i])]
            details[e, np.uint64(p >> 8)] |= np.uint8(p & 255)
            total += rgb[i]
            i += one
        cell.weight += np.float32(i - first)
        cell.r += np.float32(total & 0x1FFFFF)
        cell.g += np.float32((total >> 21) & 0x1FFFFF)
        cell.b += np.float32(total >> 42)
    return count


@njit(cache=True, nogil=True)
def _rehash(slots, bits, keys, count):
    mask = slots.size - 1
    for c in range(count):
        h = hash_key(keys[c], bits)
        while slots[h] >= 0:
            h = (h + 1) & mask
        slots[h] = c
