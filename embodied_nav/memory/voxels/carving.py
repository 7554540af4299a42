"""Voxels that the camera sees through lose their evidence and vanish. Knows nothing of grids and labels.

Stored voxels are projected into the depth image, not rays walked through the map: 0.3 ms where a ray walk at full
density takes 50. Whole blocks that no pixel around them sees behind are left out first. A voxel is seen through where
the nearest depth of the 3x3 pixels around its centroid lies clearly behind it, so that depth edges and surfaces
at a grazing angle carve nothing that stands on them. The centroid decides alone, wherever the voxel's middle lies: what
was fused from a pixel at the image's border or beside a silhouette can be carved by that pixel again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ...geometry import Camera, invert
from ..config import MemoryConfig
from .fusion import depth_scale
from .keys import BLOCK_BITS, BLOCK_SIDE, BLOCK_VOXELS, OFFSET, block_number, first_voxel, lowest_bit, unpack
from .store import BLOCKS, CLOCK, Arrays, VoxelStore, remove_row

#: Pixels along a side of a coarse pixel: whole blocks are tested against the farthest depth in these.
COARSE = 16

_SQRT3 = 1.7320508075688772


class Carved(NamedTuple):
    """What carving did: keys of voxels that fell below the obstacle threshold, label classes that lost voxels, and
    the number of voxels removed."""

    lowered: np.ndarray
    classes: np.ndarray
    removed: int


class CarveSettings(NamedTuple):
    """When a voxel is seen through: margin (m) and noise (m per m^2 of depth) that the surface must lie behind it; what
    a frame takes off its evidence (loss); optical depths between which it is asked (near, far, m); evidence of an
    obstacle."""

    margin: float
    noise: float
    loss: float
    near: float
    far: float
    min_evidence: float


class Carver:
    """Carves a store by depth images; keeps its buffers between frames.

    Args:
        margin: m before the surface. noise: m of further margin per squared metre of depth.
        loss: evidence that a voxel loses per frame that sees through it.
    """

    def __init__(self, margin: float, noise: float, loss: float, near: float, far: float, min_evidence: float) -> None:
        values = (margin, noise, loss, near, far, min_evidence)
        self._settings = CarveSettings(*map(float, values))
        self._lowered = np.empty(1024, np.int64)
        self._touched = np.zeros(1 << 15, np.bool_)

    def __call__(
        self,
        store: VoxelStore,
        depth: np.ndarray,
        camera: Camera,
        T: np.ndarray,
        stamp: int,
        voxel_size: float,
        frames: int = 1,
        first: int | None = None,
        around: int = 1,
        blocks: np.ndarray | None = None,
    ) -> Carved:
        """Carves what was last seen before ``stamp``.

        Args:
            depth: HxW float32 m, NaN or 0 invalid, or uint16 mm, 0 invalid. T: 4x4, map from optical frame.
            frames: how many equal frames this one stands for, evenly from ``first`` (ns) to ``stamp``.
            around: pixels on each side of a voxel's that must lie behind it too.
            blocks: numbers of the blocks that can be in view where they are known, see :meth:`near`.
        """
        if self._lowered.size < len(store):
            self._lowered = np.empty(2 * len(store), np.int64)
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        if blocks is None:
            blocks = self.near(store, camera, T, voxel_size)
        n, removed = _carve(
            store.arrays, np.ascontiguousarray(depth), depth_scale(depth), K, invert(np.asarray(T, np.float64)), stamp,
            voxel_size, float(frames), stamp if first is None else first, self._settings, self._lowered, self._touched,
            around, blocks,
        )  # fmt: skip
        classes = np.zeros(0, np.int64)
        if removed:
            classes = np.flatnonzero(self._touched)
            self._touched[classes] = False
        return Carved(self._lowered[:n], classes, removed)

    def near(
        self, store: VoxelStore, camera: Camera, T: np.ndarray, voxel_size: float, spare: float = 0.0
    ) -> np.ndarray:
        """Numbers (int32) of the blocks that a camera within ``spare`` (m) of T (4x4), however turned, can see."""
        reach = self._settings.far * longest_ray(camera) + spare
        return _blocks_near(store.arrays, np.asarray(T, np.float64)[:3, 3].copy(), reach, voxel_size)

    def reaches(
        self, blocks: np.ndarray, depth: np.ndarray, camera: Camera, T: np.ndarray, voxel_size: float
    ) -> np.ndarray:
        """Which blocks (B keys) a depth image could carve voxels of: B bool. Arguments as above."""
        K = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        R = invert(np.asarray(T, np.float64))
        return _reaches(
            blocks, np.ascontiguousarray(depth), depth_scale(depth), K, R, voxel_size, self._settings
        )  # fmt: skip


def carver(config: MemoryConfig) -> Carver:
    """What carves a map of these settings."""
    c = config
    return Carver(
        c.carve_margin * c.voxel_size, c.depth_noise, c.max_evidence / c.carve_frames, c.min_depth, c.max_depth,
        c.min_evidence,
    )  # fmt: skip


def longest_ray(camera: Camera) -> float:
    """Distance from the camera of what lies at an optical depth of 1, in the image's farthest corner."""
    x = max(camera.cx + 0.5, camera.width - 0.5 - camera.cx) / camera.fx
    y = max(camera.cy + 0.5, camera.height - 0.5 - camera.cy) / camera.fy
    return math.sqrt(1.0 + x * x + y * y)


@njit(cache=True, nogil=True)
def _reaches(blocks, depth, scale, K, R, voxel_size, settings):
    """Which of B block keys a depth image (HxW) could carve voxels of: B bool. R: 4x4 optical frame from map."""
    planes, farthest = view_planes(K, depth.shape[1], depth.shape[0]), _farthest(depth)
    out = np.zeros(blocks.size, np.bool_)
    for i in range(blocks.size):
        if block_in_view(blocks[i], R, planes, voxel_size, settings.near, settings.far):
            out[i] = _limit(blocks[i], farthest, np.float32(1) / scale, K, R, voxel_size, settings) != 0.0
    return out


@njit(cache=True, nogil=True)
def _blocks_near(store, position, reach, voxel_size):
    """Numbers (int32) of the non-empty blocks some part of which lies within ``reach`` (m) along each axis."""
    n = store.counts[BLOCKS]
    out = np.empty(n, np.int32)
    side = BLOCK_SIDE * voxel_size
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for a in range(3):
        low[a] = np.int64(np.floor((position[a] - reach) / side)) + OFFSET // BLOCK_SIDE
        high[a] = np.int64(np.floor((position[a] + reach) / side)) + OFFSET // BLOCK_SIDE
    m = 0
    for b in range(n):
        key = store.block_keys[b]
        x, y, z = block_number(key)
        inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]) & (z >= low[2]) & (z <= high[2])
        out[m] = b
        m += inside & (store.block_live[b] > 0)
    return out[:m]


@njit(cache=True, nogil=True, inline="always")
def view_planes(K, width, height):
    """Inward unit normals (4x3, optical frame) of the left, right, top and bottom side of the view."""
    planes = np.zeros((4, 3))
    planes[0, 0], planes[0, 2] = 1.0, (K[2] + 0.5) / K[0]
    planes[1, 0], planes[1, 2] = -1.0, (width - 0.5 - K[2]) / K[0]
    planes[2, 1], planes[2, 2] = 1.0, (K[3] + 0.5) / K[1]
    planes[3, 1], planes[3, 2] = -1.0, (height - 0.5 - K[3]) / K[1]
    for i in range(4):
        planes[i] /= np.sqrt(planes[i, 0] ** 2 + planes[i, 1] ** 2 + planes[i, 2] ** 2)
    return planes


@njit(cache=True, nogil=True, inline="always")
def _surface(depth, u, v, around):
    """Nearest valid depth (of the image's unit) of (u, v) and the pixels around, 0 where the pixel is invalid."""
    d = depth[v, u]
    if not d > 0:
        return np.float32(0.0)
    for j in range(max(v - around, 0), min(v + around + 1, depth.shape[0])):
        for i in range(max(u - around, 0), min(u + around + 1, depth.shape[1])):
            e = depth[j, i]
            if e > 0 and e < d:
                d = e
    return np.float32(d)


@njit(cache=True, nogil=True)
def block_in_view(key, R, planes, voxel_size, near, far):
    """Whether the bounding sphere of a block (by its key) reaches into the view. R: 4x4 optical frame from map;
    planes: of :func:`view_planes`; near, far: m."""
    side = BLOCK_SIDE * voxel_size
    half = 0.5 * side
    ix, iy, iz = first_voxel(key)
    bx, by, bz = ix * voxel_size + half, iy * voxel_size + half, iz * voxel_size + half
    radius = half * _SQRT3
    z = R[2, 0] * bx + R[2, 1] * by + R[2, 2] * bz + R[2, 3]
    if z < near - radius or z > far + radius:
        return False
    x = R[0, 0] * bx + R[0, 1] * by + R[0, 2] * bz + R[0, 3]
    y = R[1, 0] * bx + R[1, 1] * by + R[1, 2] * bz + R[1, 3]
    inside = True
    for i in range(4):
        inside &= planes[i, 0] * x + planes[i, 1] * y + planes[i, 2] * z >= -radius
    return inside


@njit(cache=True, nogil=True)
def blocks_in_view(store, blocks, R, K, width, height, voxel_size, near, far):
    """Those of some blocks (numbers) that are not empty and reach into a view; R is the 4x4 optical frame from map."""
    planes = view_planes(K, width, height)
    out = np.empty(blocks.size, np.int32)
    m = 0
    for b in blocks:
        if store.block_live[b] > 0 and block_in_view(store.block_keys[b], R, planes, voxel_size, near, far):
            out[m] = b
            m += 1
    return out[:m]


@njit(cache=True, nogil=True, inline="always")
def _pixel(depth, K, x, y, z):
    """Pixel (u, v) of a point and whether it lies in the image."""
    u = np.int64(np.floor(K[0] * x / z + K[2] + 0.5))
    v = np.int64(np.floor(K[1] * y / z + K[3] + 0.5))
    return u, v, (u >= 0) & (v >= 0) & (u < depth.shape[1]) & (v < depth.shape[0])


@njit(cache=True, nogil=True)
def _farthest(depth):
    """Largest depth of each COARSE x COARSE pixels (h x w float32), of the image's unit, 0 where all are invalid."""
    height, width = depth.shape
    rows, columns = (height + COARSE - 1) // COARSE, (width + COARSE - 1) // COARSE
    line, out = np.zeros(columns * COARSE, depth.dtype), np.zeros((rows, columns), np.float32)
    for j in range(rows):
        line[:] = 0
        for v in range(j * COARSE, min((j + 1) * COARSE, height)):
            for u in range(width):
                d = depth[v, u]
                line[u] = d if d > line[u] else line[u]
        for i in range(columns):
            out[j, i] = line[i * COARSE : (i + 1) * COARSE].max()
    return out


@njit(cache=True, nogil=True)
def _limit(key, coarse, unit, K, R, voxel_size, settings):
    """Optical depth (m) from which on no voxel of a block can lie before what the pixels around it see; 0 for none.

    Args:
        coarse: of :func:`_farthest`. unit: m a unit of it. K: fx, fy, cx, cy. R: 4x4 optical frame from map.
    """
    half = 0.5 * BLOCK_SIDE * voxel_size
    ix, iy, iz = first_voxel(key)
    bx, by, bz = ix * voxel_size + half, iy * voxel_size + half, iz * voxel_size + half
    z = R[2, 0] * bx + R[2, 1] * by + R[2, 2] * bz + R[2, 3]
    radius = _SQRT3 * half
    nearest = z - half * (abs(R[2, 0]) + abs(R[2, 1]) + abs(R[2, 2]))
    if nearest <= 0.1 * radius:
        return np.inf
    x = R[0, 0] * bx + R[0, 1] * by + R[0, 2] * bz + R[0, 3]
    y = R[1, 0] * bx + R[1, 1] * by + R[1, 2] * bz + R[1, 3]
    # A point of the block lies within radius of its middle, sideways too, and no nearer than ``nearest``.
    u0 = K[2] + K[0] * min((x - radius) / nearest, (x - radius) / (z + radius))
    u1 = K[2] + K[0] * max((x + radius) / nearest, (x + radius) / (z + radius))
    v0 = K[3] + K[1] * min((y - radius) / nearest, (y - radius) / (z + radius))
    v1 = K[3] + K[1] * max((y + radius) / nearest, (y + radius) / (z + radius))
    rows, columns = coarse.shape
    farthest = np.float32(0)
    for j in range(max(int(v0 - 1) // COARSE, 0), min(int(v1 + 1) // COARSE + 1, rows)):
        for i in range(max(int(u0 - 1) // COARSE, 0), min(int(u1 + 1) // COARSE + 1, columns)):
            farthest = max(farthest, coarse[j, i])
    # Beyond this depth the margin grows faster than the depth.
    d = min(np.float64(farthest) * unit, 0.5 / max(settings.noise, 1e-9))
    limit = d - settings.margin - settings.noise * d * d
    return limit if nearest - 0.5 * _SQRT3 * voxel_size < limit else 0.0


@njit(cache=True, nogil=True)
def _seen_beside(depth, unit, u, v, r, z, margin, noise):
    """Whether a pixel on the sides or in the corners of a square of 2 r around (u, v), within the image, sees behind z
    (m): where a voxel's middle is hidden, unmeasured or outside, its centroid need not be."""
    height, width = depth.shape
    if u + r < 0 or v + r < 0 or u - r >= width or v - r >= height:
        return False
    for j in range(-1, 2):
        y = min(max(np.int64(v + j * r), 0), height - 1)
        for i in range(-1, 2):
            d = depth[y, min(max(np.int64(u + i * r), 0), width - 1)] * unit
            if z < d - margin - noise * d * d:
                return True
    return False


@njit(cache=True, nogil=True)
def _candidates(store, b, depth, unit, K, R, stamp, voxel_size, settings, limit, out):
    """Fills ``out`` (int64) with the rows of block ``b``, last seen before ``stamp``, some point of whose voxel may lie
    before the surface; returns how many.

    Works on the block's own arrays alone: rows, most of them in no cache, are fetched only for voxels that may be seen
    through.
    """
    margin, noise, near, far = settings.margin, settings.noise, settings.near, settings.far
    ix, iy, iz = first_voxel(store.block_keys[b])
    bx, by, bz = (ix + 0.5) * voxel_size, (iy + 0.5) * voxel_size, (iz + 0.5) * voxel_size
    slack = 0.5 * _SQRT3 * voxel_size
    far = min(far, limit + slack)
    soonest, wide = max(near - slack, 0.01), slack * max(K[0], K[1])
    n = 0
    for i in range(BLOCK_SIDE):  # a mask is a slice of the block across x
        left = store.masks[b, i]
        gx = bx + i * voxel_size
        while left:
            s = lowest_bit(left)
            left &= left - np.uint64(1)
            gy, gz = by + (s >> BLOCK_BITS) * voxel_size, bz + (s & (BLOCK_SIDE - 1)) * voxel_size
            z = R[2, 0] * gx + R[2, 1] * gy + R[2, 2] * gz + R[2, 3]
            if z <= soonest or z >= far:
                continue
            x = R[0, 0] * gx + R[0, 1] * gy + R[0, 2] * gz + R[0, 3]
            y = R[1, 0] * gx + R[1, 1] * gy + R[1, 2] * gz + R[1, 3]
            u, v, inside = _pixel(depth, K, x, y, z)
            d, z = depth[v, u] * unit if inside else np.float32(0.0), z - slack
            through = z < d - margin - noise * d * d
            if not through and not d > z:
                through = _seen_beside(depth, unit, u, v, wide / (z + slack), z, margin, noise)
            if through:
                r = np.int64(store.slot_rows[b, i * BLOCK_SIDE**2 + s]) - 1
                if store.rows[r].last_seen < stamp:
                    out[n] = r
                    n += 1
    return n


@njit(cache=True, nogil=True)
def _seen_through(row, depth, scale, K, R, voxel_size, settings, around):
    """Whether the surface lies clearly behind a voxel's centroid."""
    ix, iy, iz = unpack(row.key)
    gx, gy, gz = ix * voxel_size + row.x, iy * voxel_size + row.y, iz * voxel_size + row.z
    z = R[2, 0] * gx + R[2, 1] * gy + R[2, 2] * gz + R[2, 3]
    if z <= settings.near or z >= settings.far:
        return False
    x = R[0, 0] * gx + R[0, 1] * gy + R[0, 2] * gz + R[0, 3]
    y = R[1, 0] * gx + R[1, 1] * gy + R[1, 2] * gz + R[1, 3]
    u, v, inside = _pixel(depth, K, x, y, z)
    if not inside:
        return False
    d = _surface(depth, u, v, around) / scale
    return z < d - settings.margin - settings.noise * d * d


@njit(cache=True, nogil=True)
def _carve(
    store: Arrays, depth, scale, K, R, stamp, voxel_size, frames, first, settings, lowered, touched, around, blocks
):
    """Carves a store by one image; arguments as in :meth:`Carver.__call__`, blocks: B int32 numbers.

    Fills ``lowered`` (int64 keys) and sets ``touched`` (bool, by class); returns how many it put there, voxels removed.
    """
    loss, near, far, threshold = settings.loss, settings.near, settings.far, settings.min_evidence
    n, removed = 0, 0
    rows, coarse, unit = np.empty(BLOCK_VOXELS, np.int64), _farthest(depth), np.float32(1) / scale
    for b in blocks_in_view(store, blocks, R, K, depth.shape[1], depth.shape[0], voxel_size, near, far):
        limit = _limit(store.block_keys[b], coarse, unit, K, R, voxel_size, settings)
        if limit == 0.0:
            continue
        for i in range(_candidates(store, b, depth, unit, K, R, stamp, voxel_size, settings, limit, rows)):
            r = rows[i]
            row = store.rows[r]
            if not _seen_through(row, depth, scale, K, R, voxel_size, settings, around):
                continue
            before = row.evidence
            after = frames
            if row.last_seen >= first and stamp > first:  # only the frames after the voxel was last seen count
                after = max(1.0, np.rint(frames * ((stamp - row.last_seen) / (stamp - first))))
            row.evidence = before - loss * after
            store.block_clock[b] = store.counts[CLOCK]
            if before >= threshold and row.evidence < threshold:
                lowered[n] = row.key
                n += 1
            if row.evidence <= 0.0:
                touched[store.labels[r]] = True
                remove_row(store, b, r)
                removed += 1
    return n, removed
