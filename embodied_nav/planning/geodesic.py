"""Shortest paths on a grid: fast marching, descent and line of sight. Knows nothing of maps and robots.

Distances solve the eikonal equation |grad D| = 1 / speed by fast marching (Sethian 1996) with second-order upwind
differences (Sethian 1999, "Level Set Methods and Fast Marching Methods", ch. 8), which stays within 1% of the true
distance in open space, where an 8-connected search is 3 to 5% too long. Around sources, and around obstacle corners
where shortest paths bend, distances are first set along straight lines, accurate to a third of a cell. Paths bend at
the centres of cells beside a corner, not at the corner itself: behind several corners distances are up to a cell longer
than along lines of sight, and the two directions of one path may differ by a quarter of a cell per bend.
Cells are (row, column).
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Radius (cells) around a source in which distances are set along straight lines: upwind differences are worst there.
_SEED_RADIUS = 5
#: Disagreement (in cells) of first and second order above which :func:`_solve` uses first order.
_KINK = 0.12
_NO_SPEED = np.ones((1, 1), dtype=np.float32)
_NO_OFFSETS = np.zeros(0)


def fast_marching(
    free: np.ndarray,
    sources: np.ndarray,
    resolution: float,
    speed: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
) -> np.ndarray:
    """Geodesic distance of every free cell to the nearest source.

    Args:
        free: HxW bool, traversable cells; paths never pass diagonally between two blocked cells.
        sources: Nx2 int (row, column); those outside the grid or on blocked cells are ignored.
        resolution: m per cell.
        speed: HxW positive, relative speed; cells of 0.5 cost twice their length. None is 1 everywhere.
        offsets: N float, m: the initial distance at each source, unless another path is shorter.
            None is 0 for all.

    Returns:
        HxW float32: m (divided by speed), 0 at sources, inf where blocked or unreachable.

    Raises:
        ValueError: speed or offsets of another size.
    """
    free = np.ascontiguousarray(free, dtype=np.bool_)
    sources = np.ascontiguousarray(np.asarray(sources, dtype=np.int64).reshape(-1, 2))
    field = _NO_SPEED if speed is None else np.ascontiguousarray(speed, dtype=np.float32)
    if speed is not None and field.shape != free.shape:
        raise ValueError(f"speed is {field.shape}, free {free.shape}")
    behind = _NO_OFFSETS if offsets is None else np.ascontiguousarray(offsets, dtype=np.float64) / resolution
    if offsets is not None and behind.shape != (len(sources),):
        raise ValueError(f"{len(sources)} sources, offsets are {behind.shape}")
    return _march(free, sources, field, behind, float(resolution))


def descend(distance: np.ndarray, start: tuple[int, int], free: np.ndarray | None = None) -> np.ndarray:
    """The shortest path from a cell down a distance field, shortened by line of sight.

    Args:
        distance: HxW float32 of :func:`fast_marching`.
        start: (row, column); no path if its distance is infinite.
        free: HxW bool that lines of sight must keep to; None is where the distance is finite.

    Returns:
        Mx2 float64 (row, column) from the start to a source, corners only; 0x2 without a path.
    """
    distance = np.ascontiguousarray(distance, dtype=np.float32)
    row, column = int(start[0]), int(start[1])
    inside = 0 <= row < distance.shape[0] and 0 <= column < distance.shape[1]
    if not inside or not np.isfinite(distance[row, column]):
        return np.empty((0, 2), dtype=np.float64)
    blocked = ~np.isfinite(distance) if free is None else ~np.asarray(free, dtype=np.bool_)
    steps = _steepest(distance, row, column)
    forward = _pull(blocked, steps)
    # Greedy shortcutting places corners too late along the path; a second pass from the other end corrects this.
    back = _pull(blocked, _densify(forward)[::-1].copy())
    return back[::-1].astype(np.float64)


def line_of_sight(blocked: np.ndarray, a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether the straight line between two cells' centres crosses no blocked cell and stays in the grid.

    A line through a grid corner needs all four cells around it to be free, so visibility is symmetric and never passes
    diagonally between two blocked cells.

    Args:
        blocked: HxW bool.
        a, b: (row, column).
    """
    blocked = np.ascontiguousarray(blocked, dtype=np.bool_)
    return bool(_visible(blocked, int(a[0]), int(a[1]), int(b[0]), int(b[1])))


@njit(cache=True, nogil=True)
def _visible(blocked, r0, c0, r1, c1):
    """Kernel of :func:`line_of_sight`: ``blocked`` HxW bool, from cell (r0, c0) to (r1, c1)."""
    height, width = blocked.shape
    if not (0 <= r0 < height and 0 <= r1 < height and 0 <= c0 < width and 0 <= c1 < width):
        return False
    n_r, n_c = abs(r1 - r0), abs(c1 - c0)
    step_r = 1 if r1 > r0 else -1
    step_c = 1 if c1 > c0 else -1
    r, c, i_r, i_c = r0, c0, 0, 0
    if blocked[r, c]:
        return False
    while i_r < n_r or i_c < n_c:
        # Which cell border the line crosses first: compares (i_r + 1/2) / n_r with (i_c + 1/2) / n_c in integers.
        side = (2 * i_r + 1) * n_c - (2 * i_c + 1) * n_r
        if side == 0:
            if blocked[r + step_r, c] or blocked[r, c + step_c]:
                return False
            r, c, i_r, i_c = r + step_r, c + step_c, i_r + 1, i_c + 1
        elif side < 0:
            r, i_r = r + step_r, i_r + 1
        else:
            c, i_c = c + step_c, i_c + 1
        if blocked[r, c]:
            return False
    return True


@njit(cache=True, nogil=True)
def _push(keys, cells, size, key, cell):
    """Adds an entry to the binary min-heap ``keys``, ``cells`` of ``size`` entries; returns the new size."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] <= key:
            break
        keys[i] = keys[parent]
        cells[i] = cells[parent]
        i = parent
    keys[i] = key
    cells[i] = cell
    return size + 1


@njit(cache=True, nogil=True)
def _pop(keys, cells, size):
    """Removes the smallest entry of the heap (read by the caller at index 0 before); returns the new size."""
    size -= 1
    key, cell = keys[size], cells[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[i] = keys[child]
        cells[i] = cells[child]
        i = child
    keys[i] = key
    cells[i] = cell
    return size


@njit(cache=True, nogil=True)
def _upwind(T, done, cell, stride):
    """Values of the smaller accepted neighbour along an axis and of the cell behind it; inf where there is none."""
    best, sign = np.inf, 0
    if done[cell - stride] == 1:
        best, sign = T[cell - stride], -stride
    if done[cell + stride] == 1 and T[cell + stride] < best:
        best, sign = T[cell + stride], stride
    if sign == 0:
        return np.inf, np.inf
    # The padding is two cells wide, so the second neighbour always exists.
    second = cell + 2 * sign
    if done[second] == 1 and T[second] <= best:
        return best, T[second]
    return best, np.inf


@njit(cache=True, nogil=True)
def _quadratic(a0, v0, a1, v1, slowness):
    """Least t above v0 and v1 with a0 (t - v0)^2 + a1 (t - v1)^2 = slowness^2; from one term alone if both fail."""
    one = min(v0 + slowness / np.sqrt(a0), v1 + slowness / np.sqrt(a1))
    if v0 == np.inf or v1 == np.inf:
        return one
    a, b, c = a0 + a1, a0 * v0 + a1 * v1, a0 * v0 * v0 + a1 * v1 * v1 - slowness * slowness
    discriminant = b * b - a * c
    if discriminant < 0.0:
        return one
    t = (b + np.sqrt(discriminant)) / a
    return t if t >= max(v0, v1) else one


@njit(cache=True, nogil=True)
def _solve(T, done, cell, stride, slowness):
    """Arrival time at a cell from its accepted neighbours by second-order upwind differences, first-order at kinks.

    ``T``, ``done``: flat padded grids with rows of ``stride`` cells. ``slowness``: 1 / speed.
    """
    x1, x2 = _upwind(T, done, cell, 1)
    y1, y2 = _upwind(T, done, cell, stride)
    first = _quadratic(1.0, x1, 1.0, y1, slowness)
    if x2 == np.inf and y2 == np.inf:
        return first
    ax, vx, ay, vy = 1.0, x1, 1.0, y1
    if x2 < np.inf:
        ax, vx = 2.25, (4.0 * x1 - x2) / 3.0
    if y2 < np.inf:
        ay, vy = 2.25, (4.0 * y1 - y2) / 3.0
    t = _quadratic(ax, vx, ay, vy, slowness)
    # Where first and second order disagree this much, the front has a kink and second order undershoots.
    return t if abs(t - first) < _KINK * slowness else first


@njit(cache=True, nogil=True)
def _line_cost(speed, uniform, r0, c0, r1, c1):
    """Length (cells) of the line between two cells, weighted with 1 / ``speed`` unless ``uniform``."""
    length = np.sqrt(float((r1 - r0) ** 2 + (c1 - c0) ** 2))
    if uniform:
        return length
    n = 2 * max(abs(r1 - r0), abs(c1 - c0))
    total = 0.0
    for k in range(n):
        s = (k + 0.5) / n
        total += 1.0 / speed[int(r0 + s * (r1 - r0) + 0.5), int(c0 + s * (c1 - c0) + 0.5)]
    return length * total / n


@njit(cache=True, nogil=True)
def _seed(free, sources, speed, uniform, T, done):
    """Sets straight-line distances around the sources; exact ones (nearest source in sight) are marked 3."""
    height, width = free.shape
    stride = width + 4
    blocked = ~free
    nearest = np.full(T.shape[0], np.inf)
    for k in range(sources.shape[0]):
        r, c = sources[k]
        if not (0 <= r < height and 0 <= c < width) or not free[r, c]:
            continue
        source = (r + 2) * stride + c + 2
        inner = True
        for d in (-1, 1, -stride, stride):
            inner = inner and (done[source + d] != 0 or T[source + d] == 0.0)
        if inner:
            continue
        for rr in range(max(0, r - _SEED_RADIUS), min(height, r + _SEED_RADIUS + 1)):
            for cc in range(max(0, c - _SEED_RADIUS), min(width, c + _SEED_RADIUS + 1)):
                cell = (rr + 2) * stride + cc + 2
                if (rr - r) ** 2 + (cc - c) ** 2 > _SEED_RADIUS**2 or T[cell] == 0.0 or done[cell] != 0:
                    continue
                cost = _line_cost(speed, uniform, r, c, rr, cc)
                nearest[cell] = min(nearest[cell], cost)
                if cost < T[cell] and _visible(blocked, r, c, rr, cc):
                    T[cell] = cost
    for cell in range(T.shape[0]):
        if T[cell] == nearest[cell] and T[cell] < np.inf:
            done[cell] = 3


@njit(cache=True, nogil=True)
def _corners(free):
    """Free cells at an obstacle's convex corner: blocked diagonally, open on both sides of that diagonal."""
    height, width = free.shape
    out = np.zeros((height, width), dtype=np.bool_)
    for r in range(height):
        for c in range(width):
            if not free[r, c]:
                continue
            for dr in (-1, 1):
                for dc in (-1, 1):
                    rr, cc = r + dr, c + dc
                    if 0 <= rr < height and 0 <= cc < width and not free[rr, cc] and free[r, cc] and free[rr, c]:
                        out[r, c] = True
    return out


@njit(cache=True, nogil=True)
def _bend(blocked, speed, uniform, T, done, keys, cells, size, cell):
    """Sets straight-line distances around a corner, where paths bend, as at a source; returns the heap's size."""
    height, width = blocked.shape
    stride = width + 4
    r, c = cell // stride - 2, cell % stride - 2
    for rr in range(max(0, r - _SEED_RADIUS), min(height, r + _SEED_RADIUS + 1)):
        for cc in range(max(0, c - _SEED_RADIUS), min(width, c + _SEED_RADIUS + 1)):
            n = (rr + 2) * stride + cc + 2
            if done[n] != 0 or (rr - r) ** 2 + (cc - c) ** 2 > _SEED_RADIUS**2:
                continue
            t = T[cell] + _line_cost(speed, uniform, r, c, rr, cc)
            if t < T[n] and _visible(blocked, r, c, rr, cc):
                T[n] = t
                size = _push(keys, cells, size, t, n)
    return size


@njit(cache=True, nogil=True)
def _march(free, sources, speed, offsets, resolution):
    """Kernel of :func:`fast_marching`: HxW float32; an empty ``speed`` is 1 everywhere, empty ``offsets`` are 0."""
    height, width = free.shape
    uniform = speed.shape[0] != height or speed.shape[1] != width
    stride = width + 4
    T = np.full((height + 4) * stride, np.inf)
    done = np.full((height + 4) * stride, 2, dtype=np.uint8)  # 0 open, 1 accepted, 2 blocked, 3 exact from seeding
    for r in range(height):
        for c in range(width):
            if free[r, c]:
                done[(r + 2) * stride + c + 2] = 0
    for k in range(sources.shape[0]):
        r, c = sources[k]
        if 0 <= r < height and 0 <= c < width and free[r, c]:
            cell = (r + 2) * stride + c + 2
            T[cell] = 0.0 if offsets.shape[0] == 0 else min(T[cell], offsets[k])
    if offsets.shape[0] == 0:
        _seed(free, sources, speed, uniform, T, done)
    corner = _corners(free)
    # Each accepted cell pushes at most its four neighbours, a corner the square around it as well.
    capacity = 4 * height * width + int(corner.sum()) * (2 * _SEED_RADIUS + 1) ** 2 + 16
    keys = np.empty(capacity, dtype=np.float64)
    cells = np.empty(capacity, dtype=np.int32)
    blocked = ~free
    size = 0
    for cell in range(2 * stride, (height + 2) * stride):
        if T[cell] == 0.0 and offsets.shape[0] == 0:
            done[cell] = 1
        elif T[cell] < np.inf:
            size = _push(keys, cells, size, T[cell], cell)
    while size > 0:
        cell = cells[0]
        size = _pop(keys, cells, size)
        if done[cell] != 0 and done[cell] != 3:
            continue
        done[cell] = 1
        for d in (-1, 1, -stride, stride):
            n = cell + d
            if done[n] != 0:
                continue
            slowness = 1.0
            if not uniform:
                slowness = 1.0 / speed[n // stride - 2, n % stride - 2]
            t = _solve(T, done, n, stride, slowness)
            if t < T[n]:
                T[n] = t
                size = _push(keys, cells, size, t, n)
        if corner[cell // stride - 2, cell % stride - 2]:
            size = _bend(blocked, speed, uniform, T, done, keys, cells, size, cell)
    out = np.empty((height, width), dtype=np.float32)
    for r in range(height):
        for c in range(width):
            out[r, c] = T[(r + 2) * stride + c + 2] * resolution
    return out


@njit(cache=True, nogil=True)
def _steepest(distance, r, c):
    """Mx2 cells of the steepest descent over 8 neighbours, never diagonally past a blocked cell."""
    height, width = distance.shape
    path = np.empty((height * width, 2), dtype=np.int64)
    n = 0
    while True:
        path[n, 0], path[n, 1] = r, c
        n += 1
        best, next_r, next_c = 0.0, -1, -1
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                rr, cc = r + dr, c + dc
                if (dr == 0 and dc == 0) or rr < 0 or cc < 0 or rr >= height or cc >= width:
                    continue
                drop = distance[r, c] - distance[rr, cc]
                if dr != 0 and dc != 0:
                    if np.isinf(distance[r, cc]) or np.isinf(distance[rr, c]):
                        continue
                    drop *= 0.70710678
                if drop > best:
                    best, next_r, next_c = drop, rr, cc
        if next_r < 0:
            return path[:n].copy()
        r, c = next_r, next_c


@njit(cache=True, nogil=True)
def _pull(blocked, path):
    """Greedy shortcut of a path: from each corner to the last cell before line of sight is lost."""
    corners = np.empty_like(path)
    corners[0] = path[0]
    n, i, last = 1, 0, path.shape[0] - 1
    while i < last:
        j = i + 1
        while j < last and _visible(blocked, path[i, 0], path[i, 1], path[j + 1, 0], path[j + 1, 1]):
            j += 1
        corners[n] = path[j]
        n += 1
        i = j
    return corners[:n].copy()


@njit(cache=True, nogil=True)
def _densify(corners):
    """Every cell that the lines between corners cross, in order, the corners included."""
    total = 1
    for k in range(corners.shape[0] - 1):
        total += abs(corners[k + 1, 0] - corners[k, 0]) + abs(corners[k + 1, 1] - corners[k, 1])
    out = np.empty((total, 2), dtype=np.int64)
    out[0] = corners[0]
    n = 1
    for k in range(corners.shape[0] - 1):
        r, c = corners[k]
        n_r, n_c = abs(corners[k + 1, 0] - r), abs(corners[k + 1, 1] - c)
        step_r = 1 if corners[k + 1, 0] > r else -1
        step_c = 1 if corners[k + 1, 1] > c else -1
        i_r, i_c = 0, 0
        while i_r < n_r or i_c < n_c:
            side = (2 * i_r + 1) * n_c - (2 * i_c + 1) * n_r
            if side <= 0:
                r, i_r = r + step_r, i_r + 1
            if side >= 0:
                c, i_c = c + step_c, i_c + 1
            out[n, 0], out[n, 1] = r, c
            n += 1
    return out[:n].copy()
