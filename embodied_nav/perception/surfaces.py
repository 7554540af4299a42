"""Segments depth into floor, ceiling, walls, level tops and connected objects. Knows nothing of colours and words.

The up direction is estimated from the level surfaces in view, starting from a guess, so that maps that are not
gravity-aligned (a handheld recording) work, too. All work is done on a grid of cells, which are blocks of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..frames import RGBDFrame

#: Cells per image width.
GRID_WIDTH = 160
#: Classes of cells; tops (level surfaces above the floor) are numbered from TOP.
INVALID, THING, FLOOR, CEILING, WALL, TOP = 0, 1, 2, 3, 4, 5
#: Angle (degrees) around the guess in which up is searched.
_LARGEST_TILT = 45.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of one depth image.

    Attributes:
        stride: edge of a cell in pixels.
        depth: hxw float32 m, NaN invalid, mean depth of the nearest surface in each block.
        points: hxwx3 float32, map.
        normals: hxwx3 float32, map, towards the camera; NaN at depth discontinuities.
        area: hxw float32, m^2 that a cell covers on a surface perpendicular to the ray.
    """

    stride: int
    depth: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    area: np.ndarray


def make_grid(frame: RGBDFrame, min_depth: float, max_depth: float) -> Grid:
    """Cells of a frame's depth between the two limits (m)."""
    camera = frame.camera
    stride = max(1, round(camera.width / GRID_WIDTH))
    depth = _block_depth(np.ascontiguousarray(frame.depth, dtype=np.float32), stride, min_depth, max_depth)
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32) * stride + (stride - 1) / 2.0
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    T = frame.T_map_camera
    points = ((rays * depth[..., None]) @ T[:3, :3].T + T[:3, 3]).astype(np.float32)
    normals = _normals(points, depth, T[:3, 3].astype(np.float32))
    area = (depth**2 * (stride**2 / (camera.fx * camera.fy))).astype(np.float32)
    return Grid(stride, depth, points, normals, area)


def estimate_up(grid: Grid, prior: np.ndarray) -> np.ndarray | None:
    """Unit up direction (3,) in map: the densest cluster of normals within 45 degrees of ``prior``; None if too few."""
    normals = grid.normals.reshape(-1, 3)
    weight = grid.area.ravel()
    near = normals @ prior.astype(np.float32) > np.cos(np.radians(_LARGEST_TILT))
    normals, weight = normals[near], weight[near]
    if len(normals) < 100:
        return None
    step = max(1, len(normals) // 1500)
    seeds = normals[:: max(1, len(normals) // 48)]
    density = (np.einsum("ik,jk->ij", seeds, normals[::step]) > np.cos(np.radians(8.0))) @ (weight[::step] * step)
    up = seeds[int(density.argmax())].astype(np.float64)
    for _ in range(5):
        mine = normals @ up.astype(np.float32) > np.cos(np.radians(8.0))
        up = (normals[mine] * weight[mine, None]).sum(axis=0, dtype=np.float64)
        up /= np.linalg.norm(up)
    return up if density.max() > 0.1 else None


def find_floor(grid: Grid, up: np.ndarray, camera_height: float) -> float | None:
    """Height (m along up) of the lowest level surface, or None if none can be the floor.

    The floor has at least 0.1 m^2, is 0.3 m or more below the camera, and almost nothing is visible below it (in many
    views the lowest level surface is a table top).
    """
    height, level = _heights(grid, up)
    chosen = level & (height < camera_height - 0.3)
    peaks = _height_peaks(height[chosen], grid.area[chosen], 0.1)
    if not peaks:
        return None
    floor = min(peaks)
    below = (height < floor - 0.10 - 0.02 * grid.depth).sum()
    return floor if below < 0.02 * np.isfinite(grid.depth).sum() else None


def classify(grid: Grid, up: np.ndarray, floor: float | None, camera_height: float) -> np.ndarray:
    """Class of each cell: hxw int32, see the module's constants."""
    height, level = _heights(grid, up)
    classes = np.where(np.isfinite(grid.depth), THING, INVALID).astype(np.int32)
    slack = 0.03 + 0.012 * np.nan_to_num(grid.depth)
    tops = level if floor is None else level & (height > floor + 0.15)
    for k, peak in enumerate(_height_peaks(height[tops], grid.area[tops], 0.3)):
        classes[tops & (np.abs(height - peak) < slack)] = TOP + k
    down = grid.normals @ up.astype(np.float32) < -0.85
    over = down & (height > camera_height + 0.4)
    if over.sum() > 50:
        ceiling = float(np.median(height[over]))
        classes[(over | (height > ceiling - slack - 0.03)) & (classes != INVALID)] = CEILING
    _mark_walls(grid, up, floor, height, classes)
    if floor is not None:
        classes[(classes == THING) & (height < floor + slack + 0.02)] = FLOOR
    return classes


def components(grid: Grid, classes: np.ndarray, up: np.ndarray, min_cells: int) -> tuple[np.ndarray, int]:
    """Connected cells of one class (objects and tops) without a depth discontinuity; a top is merged with its support.

    So a table with its legs is one object, and what stands on it another.

    Returns:
        hxw int32, 0 is background, 1..n (some may have no cell); and n.
    """
    labels, count = _components(grid.depth, classes, int(min_cells))
    is_top = np.zeros(count + 1, bool)
    is_top[labels[classes >= TOP]] = True
    is_top[0] = False
    if not is_top.any():
        return labels, count
    height = grid.points @ up.astype(np.float32)
    for top, thing in _contacts(grid.depth, labels, is_top):
        upper = float(np.percentile(height[labels == thing], 90)) if (labels == thing).any() else np.inf
        if upper < float(np.median(height[labels == top])) + 0.04:
            labels[labels == thing] = top
    return labels, count


def _heights(grid: Grid, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height of each cell, and whether it is level and faces up."""
    return grid.points @ up.astype(np.float32), grid.normals @ up.astype(np.float32) > 0.9


def _height_peaks(height: np.ndarray, area: np.ndarray, least: float) -> list[float]:
    """Heights (m) with at least ``least`` m^2 of surface within some centimetres, largest area first."""
    if len(height) < 10:
        return []
    low = float(height.min())
    histogram = np.bincount(((height - low) / 0.02).astype(np.int64), weights=area)
    smooth = np.convolve(histogram, np.ones(3), mode="same")
    peaks = []
    while smooth.max() >= least:
        k = int(smooth.argmax())
        peaks.append(low + (k + 0.5) * 0.02)
        smooth[max(0, k - 4) : k + 5] = 0
    return peaks


def _mark_walls(grid: Grid, up: np.ndarray, floor: float | None, height: np.ndarray, classes: np.ndarray) -> None:
    """Marks vertical planes that are walls, judged by height, width and what is visible behind them."""
    open_cells = classes == THING
    for _ in range(6):
        upright = open_cells & (np.abs(grid.normals @ up.astype(np.float32)) < 0.25)
        plane = _upright_plane(grid, up, upright)
        if plane is None:
            return
        normal, offset = plane
        distance = grid.points @ normal.astype(np.float32) - np.float32(offset)
        slack = 0.04 + 0.015 * np.nan_to_num(grid.depth)
        near = (np.abs(distance) < slack) & open_cells
        mine = near & upright & (grid.normals @ normal.astype(np.float32) > 0.85)
        if mine.sum() < 50:
            return
        wall = _is_wall(grid, up, normal, distance, height, mine, floor)
        if wall:
            classes[near] = WALL
        # Do not find the same cells again; what is not a wall stays an object.
        open_cells &= ~(near if wall else mine)


def _is_wall(grid, up, normal, distance, height, mine, floor) -> bool:
    along = grid.points[mine] @ np.cross(up, normal).astype(np.float32)
    low, high = np.percentile(height[mine], (5, 95))
    width = float(np.subtract(*np.percentile(along, (95, 5))))
    behind = float((distance < -0.15).sum()) / max(1.0, float(np.isfinite(distance).sum()))
    top = high - floor if floor is not None else high - low
    if high - low < 0.3:
        return False
    if top > 2.1:  # only walls and their door frames are this high
        return True
    # A partition has rooms behind it, visible through its doors; its upper edge is out of view.
    if width > 1.2 and top > 1.25 and mine[:3].any():
        return True
    # Looking down, no wall's upper edge is visible: then only a wide plane with nothing behind it is a wall.
    return bool((width > 0.8 and top > 1.25 and behind < 0.06) or (width > 1.2 and behind < 0.005))


def _upright_plane(grid: Grid, up: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The largest vertical plane (unit normal, offset) by voting over bearing (5 degrees) and offset (5 cm)."""
    if chosen.sum() < 100:
        return None
    east = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [0.0, 1.0, 0.0])
    east /= np.linalg.norm(east)
    north = np.cross(up, east)
    normals, points, area = grid.normals[chosen], grid.points[chosen], grid.area[chosen]
    bearing = np.arctan2(normals @ north, normals @ east)
    offset = np.einsum("ij,ij->i", normals, points)
    turn = np.floor((bearing + np.pi) / np.radians(10.0)).astype(np.int64)
    low = float(offset.min())
    votes = np.bincount(turn * 1024 + np.clip((offset - low) / 0.10, 0, 1023).astype(np.int64), weights=area)
    best = int(votes.argmax())
    mine = (turn == best // 1024) & (np.abs(offset - low - (best % 1024 + 0.5) * 0.10) < 0.10)
    for _ in range(3):
        normal = (normals[mine] * area[mine, None]).sum(axis=0, dtype=np.float64)
        normal -= up * (normal @ up)
        normal /= np.linalg.norm(normal)
        along = points @ normal
        at = float(np.median(along[mine]))
        mine = (np.abs(along - at) < 0.08) & (normals @ normal > 0.9)
        if mine.sum() < 50:
            return None
    return normal, at


@njit(cache=True, nogil=True)
def _block_depth(depth, stride, low, high):
    """Mean depth of each block's nearest surface (within 4% + 1 cm of the minimum); NaN if under half are valid."""
    h, w = depth.shape[0] // stride, depth.shape[1] // stride
    out = np.full((h, w), np.nan, np.float32)
    for i in range(h):
        for j in range(w):
            count = 0
            nearest = np.inf
            for v in range(i * stride, (i + 1) * stride):
                for u in range(j * stride, (j + 1) * stride):
                    d = depth[v, u]
                    if low <= d <= high:
                        count += 1
                        nearest = min(nearest, d)
            if 2 * count < stride * stride:
                continue
            total = 0.0
            n = 0
            for v in range(i * stride, (i + 1) * stride):
                for u in range(j * stride, (j + 1) * stride):
                    d = depth[v, u]
                    if low <= d <= high and d <= nearest * 1.04 + 0.01:
                        total += d
                        n += 1
            out[i, j] = total / n
    return out


@njit(cache=True, nogil=True)
def _joined(a, b, c):
    """Whether three depths in a row are one surface: close, or linear in inverse depth as on a slanted plane."""
    if abs(c - a) < 0.05 * a + 0.02:
        return True
    return abs(c - a) < 0.3 * a and abs(1.0 / a - 2.0 / b + 1.0 / c) < 0.01 / b


@njit(cache=True, nogil=True)
def _continues(depth, i, j, di, dj):
    """Whether the surface at (i, j) continues to the neighbour at (i + di, j + dj)."""
    h, w = depth.shape
    a, b = depth[i, j], depth[i + di, j + dj]
    gap = abs(b - a)
    if gap <= 0.03 + 0.025 * a:
        return True
    if not gap < 0.2 * a:
        return False
    # A slanted plane: inverse depth is linear with the cell before the step or with the cell after it.
    i0, j0, i1, j1 = i - di, j - dj, i + 2 * di, j + 2 * dj
    line = 0 <= i0 < h and 0 <= j0 < w and abs(1.0 / depth[i0, j0] - 2.0 / a + 1.0 / b) < 0.01 / a
    return line or (0 <= i1 < h and 0 <= j1 < w and abs(1.0 / a - 2.0 / b + 1.0 / depth[i1, j1]) < 0.01 / b)


@njit(cache=True, nogil=True)
def _normals(points, depth, eye):
    """Normals from differences over two cells to each side, facing ``eye``; NaN at depth discontinuities."""
    h, w = depth.shape
    out = np.full((h, w, 3), np.nan, np.float32)
    a = np.empty(3, np.float64)
    b = np.empty(3, np.float64)
    for i in range(h):
        for j in range(w):
            z = depth[i, j]
            if not z > 0.0:
                continue
            i0, i1, j0, j1 = max(0, i - 2), min(h - 1, i + 2), max(0, j - 2), min(w - 1, j + 2)
            left = _joined(z, depth[i, (j + j0) // 2], depth[i, j0])
            right = _joined(z, depth[i, (j + j1 + 1) // 2], depth[i, j1])
            above = _joined(z, depth[(i + i0) // 2, j], depth[i0, j])
            below = _joined(z, depth[(i + i1 + 1) // 2, j], depth[i1, j])
            if not (left or right) or not (above or below):
                continue
            for c in range(3):
                a[c] = (points[i, j1, c] if right else points[i, j, c]) - (
                    points[i, j0, c] if left else points[i, j, c]
                )
                b[c] = (points[i1, j, c] if below else points[i, j, c]) - (
                    points[i0, j, c] if above else points[i, j, c]
                )
            n0 = a[1] * b[2] - a[2] * b[1]
            n1 = a[2] * b[0] - a[0] * b[2]
            n2 = a[0] * b[1] - a[1] * b[0]
            length = np.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
            if length < 1e-12:
                continue
            away = n0 * (points[i, j, 0] - eye[0]) + n1 * (points[i, j, 1] - eye[1]) + n2 * (points[i, j, 2] - eye[2])
            if away > 0:
                length = -length
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = n0 / length, n1 / length, n2 / length
    return out


def _contacts(depth: np.ndarray, labels: np.ndarray, is_top: np.ndarray) -> list[tuple[int, int]]:
    """(top, object) labels that touch in at least three cells without a depth discontinuity."""
    pairs = []
    for a, b, za, zb in (
        (labels[1:], labels[:-1], depth[1:], depth[:-1]),
        (labels[:, 1:], labels[:, :-1], depth[:, 1:], depth[:, :-1]),
    ):
        close = (a > 0) & (b > 0) & (np.abs(za - zb) < 0.03 + 0.06 * za) & (is_top[a] != is_top[b])
        first, second = a[close], b[close]
        top = is_top[first]
        pairs.append(np.column_stack([np.where(top, first, second), np.where(top, second, first)]))
    unique, counts = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    return [(int(t), int(k)) for (t, k), n in zip(unique, counts, strict=True) if n >= 3]


@njit(cache=True, nogil=True)
def _components(depth, classes, min_cells):
    """Kernel of :func:`components`: labels hxw int32 and their count, without merging tops and supports.

    ``depth``: hxw float32. ``classes``: hxw int32. Components smaller than ``min_cells`` become 0.
    """
    h, w = depth.shape
    labels = np.zeros((h, w), np.int32)
    stack = np.empty((h * w, 2), np.int32)
    members = np.empty((h * w, 2), np.int32)
    count = 0
    for si in range(h):
        for sj in range(w):
            kind = classes[si, sj]
            if labels[si, sj] != 0 or not (kind == 1 or kind >= 5):
                continue
            size, n = 1, 1
            stack[0, 0], stack[0, 1] = si, sj
            members[0, 0], members[0, 1] = si, sj
            labels[si, sj] = -1
            while size > 0:
                size -= 1
                i, j = stack[size, 0], stack[size, 1]
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        a, b = i + di, j + dj
                        if a < 0 or b < 0 or a >= h or b >= w or labels[a, b] != 0 or classes[a, b] != kind:
                            continue
                        if not _continues(depth, i, j, di, dj):
                            continue
                        labels[a, b] = -1
                        stack[size, 0], stack[size, 1] = a, b
                        members[n, 0], members[n, 1] = a, b
                        size += 1
                        n += 1
            keep = -2
            if n >= min_cells:
                count += 1
                keep = count
            for m in range(n):
                labels[members[m, 0], members[m, 1]] = keep
    for i in range(h):
        for j in range(w):
            if labels[i, j] < 0:
                labels[i, j] = 0
    return labels, count
