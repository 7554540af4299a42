"""Kernels of the navmesh: spans of triangles in columns, links between floors, distances, ways. Knows no agents.

Positions are in cells (x along columns, y along rows), heights in m.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..clipping import clip

#: Solid spans nearer than this (m) to each other are one.
_GAP = 0.01


@njit(cache=True, nogil=True)
def _range(polygon, n, axis):
    """(lowest, highest) coordinate of a polygon's corners along an axis."""
    low, high = polygon[0, axis], polygon[0, axis]
    for i in range(1, n):
        low, high = min(low, polygon[i, axis]), max(high, polygon[i, axis])
    return low, high


@njit(cache=True, nogil=True)
def _last(low, high):
    """The last cell that an interval reaches into: not one that it only touches."""
    return int(np.ceil(high)) - 1 if high > low else int(np.floor(high))


@njit(cache=True, nogil=True)
def _columns_of(vertices, faces, flat, rows, columns, at, low, high, walkable):
    """One pass over all triangles and the cells that each touches: ``at`` (cells) is counted up; where ``low`` is not
    empty, the part of the triangle inside of the cell is written at that place, as (lowest, highest, flat)."""
    triangle, strip, rest, inside = np.empty((10, 3)), np.empty((10, 3)), np.empty((10, 3)), np.empty((10, 3))
    for f in range(faces.shape[0]):
        for k in range(3):
            triangle[k] = vertices[faces[f, k]]
        y0, y1 = _range(triangle, 3, 1)
        for row in range(max(0, int(np.floor(y0))), min(rows - 1, _last(y0, y1)) + 1):
            n = clip(triangle, 3, 1, float(row), True, rest)
            n = clip(rest, n, 1, float(row + 1), False, strip)
            if n == 0:
                continue
            x0, x1 = _range(strip, n, 0)
            for column in range(max(0, int(np.floor(x0))), min(columns - 1, _last(x0, x1)) + 1):
                m = clip(strip, n, 0, float(column), True, rest)
                m = clip(rest, m, 0, float(column + 1), False, inside)
                if m == 0:
                    continue
                cell = row * columns + column
                if low.shape[0]:
                    z0, z1 = _range(inside, m, 2)
                    low[at[cell]], high[at[cell]], walkable[at[cell]] = z0, z1, flat[f]
                at[cell] += 1


@njit(cache=True, nogil=True)
def spans(vertices, faces, flat, rows, columns):
    """What stands in each column of cells.

    Args:
        vertices: Vx3 float64 (cells, cells, m). faces: Fx3 int32. flat: F bool.

    Returns:
        (cells + 1) int64 starts, and by these the spans' lowest and highest z (float64, m) and whether they are flat.
    """
    cells = rows * columns
    count, nothing = np.zeros(cells, np.int64), np.empty(0)
    _columns_of(vertices, faces, flat, rows, columns, count, nothing, nothing, np.empty(0, np.bool_))
    start = np.zeros(cells + 1, np.int64)
    for k in range(cells):
        start[k + 1] = start[k] + count[k]
    total = start[cells]
    low, high, walkable = np.empty(total), np.empty(total), np.empty(total, np.bool_)
    _columns_of(vertices, faces, flat, rows, columns, start[:-1].copy(), low, high, walkable)
    return start, low, high, walkable


@njit(cache=True, nogil=True)
def floors(start, low, high, walkable, height, climb):
    """The walkable tops of the solid spans of all columns, as :func:`spans` gives these.

    Returns:
        (cells + 1) int64 starts, and by these N int64 cells, N float64 heights of floors and of what is above (m).
    """
    cells = start.shape[0] - 1
    first, cell = np.zeros(cells + 1, np.int64), np.empty(low.shape[0], np.int64)
    floor, ceiling, n = np.empty(low.shape[0]), np.empty(low.shape[0]), 0
    for k in range(cells):
        a, b = start[k], start[k + 1]
        order = np.argsort(low[a:b]) + a
        bottom, top, flat = np.empty(b - a), np.empty(b - a), np.zeros(b - a, np.bool_)
        m = 0
        for i in order:  # merge what touches; the flag is that of the top, of two tops within a step either's
            if m and low[i] <= top[m - 1] + _GAP:
                if abs(high[i] - top[m - 1]) <= climb:
                    flat[m - 1] |= walkable[i]
                elif high[i] > top[m - 1]:
                    flat[m - 1] = walkable[i]
                top[m - 1] = max(top[m - 1], high[i])
            else:
                bottom[m], top[m], flat[m] = low[i], high[i], walkable[i]
                m += 1
        below = False
        for i in range(m):
            walked = flat[i] or (below and top[i] - top[i - 1] <= climb)  # something low that lies on the floor
            below = flat[i]
            above = bottom[i + 1] if i + 1 < m else np.inf
            if walked and above - top[i] >= height:
                cell[n], floor[n], ceiling[n] = k, top[i], above
                n += 1
        first[k + 1] = n
    return first, cell[:n], floor[:n], ceiling[:n]


@njit(cache=True, nogil=True)
def link(start, cell, floor, ceiling, rows, columns, height, climb):
    """Nx4 int32: the node at +x, -x, +y, -y of each node that the agent can step to; -1 none."""
    links = np.full((cell.shape[0], 4), -1, np.int32)
    for k in range(cell.shape[0]):
        row, column = cell[k] // columns, cell[k] % columns
        for side in range(4):
            r = row + (1 if side == 2 else -1 if side == 3 else 0)
            c = column + (1 if side == 0 else -1 if side == 1 else 0)
            if r < 0 or c < 0 or r >= rows or c >= columns:
                continue
            nearest = climb + 1e-9
            for other in range(start[r * columns + c], start[r * columns + c + 1]):
                step = abs(floor[other] - floor[k])
                room = min(ceiling[other], ceiling[k]) - max(floor[other], floor[k])
                if step <= nearest and room >= height:
                    nearest, links[k, side] = step, other
    return links


@njit(cache=True, nogil=True)
def _reaches(links, node, across, along, first):
    """Whether a node's links lead so many cells along x and along y; ``first``: the axis that is gone first."""
    for turn in range(2):
        axis = (first + turn) % 2
        count = across if axis == 0 else along
        side = 2 * axis + (0 if count > 0 else 1)
        for _ in range(abs(count)):
            node = links[node, side]
            if node < 0:
                return False
    return True


@njit(cache=True, nogil=True)
def clear(links, radius):
    """N bool: around which nodes all within a radius (cells) of their middle is walkable."""
    n, reach = links.shape[0], int(np.ceil(radius + 0.5))
    free = np.ones(n, np.bool_)
    for node in range(n):
        for across in range(-reach, reach + 1):
            for along in range(-reach, reach + 1):
                gap = np.hypot(max(abs(across) - 0.5, 0.0), max(abs(along) - 0.5, 0.0))
                if gap < radius and not (
                    _reaches(links, node, across, along, 0) or _reaches(links, node, across, along, 1)
                ):
                    free[node] = False
                    break
            if not free[node]:
                break
    return free


@njit(cache=True, nogil=True)
def _push(keys, nodes, size, key, node):
    """Adds to a binary heap; returns its new size."""
    i = size
    while i > 0 and keys[(i - 1) >> 1] > key:
        keys[i], nodes[i] = keys[(i - 1) >> 1], nodes[(i - 1) >> 1]
        i = (i - 1) >> 1
    keys[i], nodes[i] = key, node
    return size + 1


@njit(cache=True, nogil=True)
def _pop(keys, nodes, size):
    """Takes the least off a binary heap, to its end; returns its new size."""
    key, node = keys[0], nodes[0]
    size -= 1
    last, moved, i = keys[size], nodes[size], 0
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= last:
            break
        keys[i], nodes[i] = keys[child], nodes[child]
        i = child
    keys[i], nodes[i] = last, moved
    keys[size], nodes[size] = key, node
    return size


@njit(cache=True, nogil=True)
def _arrival(links, resolution, cost, node):
    """First-order upwind solution of |grad cost| = 1 at a node, from its neighbours along x and along y."""
    a, b = np.inf, np.inf
    for side in range(4):
        other = links[node, side]
        if other >= 0 and side < 2:
            a = min(a, cost[other])
        elif other >= 0:
            b = min(b, cost[other])
    if abs(a - b) < resolution:  # (t - a)^2 + (t - b)^2 = resolution^2
        return 0.5 * (a + b + np.sqrt(2.0 * resolution**2 - (a - b) ** 2))
    return min(a, b) + resolution


@njit(cache=True, nogil=True)
def march(links, resolution, sources, offsets):
    """Fast marching over the nodes, along the floor: heights do not count, or the sides of steps would.

    Args:
        links: Nx4 int32. resolution: m. sources: M int64 nodes. offsets: M float64, m there.

    Returns:
        N float64, m to the nearest source; inf where there is no way.
    """
    n = links.shape[0]
    cost, done = np.full(n, np.inf), np.zeros(n, np.bool_)
    keys, nodes, size = np.empty(5 * n + len(sources) + 1), np.empty(5 * n + len(sources) + 1, np.int64), 0
    for k in range(len(sources)):
        if offsets[k] < cost[sources[k]]:
            cost[sources[k]] = offsets[k]
            size = _push(keys, nodes, size, offsets[k], sources[k])
    while size:
        size = _pop(keys, nodes, size)
        node = nodes[size]
        if done[node]:
            continue
        done[node] = True
        for side in range(4):
            other = links[node, side]
            if other >= 0 and not done[other]:
                t = _arrival(links, resolution, cost, other)
                if t < cost[other] - 1e-12:
                    cost[other] = t
                    size = _push(keys, nodes, size, t, other)
    return cost


@njit(cache=True, nogil=True)
def descend(links, resolution, cost, node):
    """Nodes from one down to a source: to the neighbour, diagonal ones included, with the steepest descent."""
    path = np.empty(links.shape[0] + 1, np.int64)
    path[0], n = node, 1
    while n < path.shape[0]:
        steepest, best = 0.0, -1
        for side in range(4):
            straight = links[node, side]
            if straight < 0:
                continue
            slope = (cost[node] - cost[straight]) / resolution
            if slope > steepest:
                steepest, best = slope, straight
            for turn in range(2):
                across = 2 - 2 * (side // 2) + turn
                corner, other = links[straight, across], links[node, across]
                # Diagonally only where both ways around the corner lead to the same floor.
                if corner >= 0 and other >= 0 and links[other, side] == corner:
                    slope = (cost[node] - cost[corner]) / (resolution * np.sqrt(2.0))
                    if slope > steepest:
                        steepest, best = slope, corner
        if best < 0:
            break
        node = best
        path[n] = node
        n += 1
    return path[:n]


@njit(cache=True, nogil=True)
def walk(links, columns, node, x, y, dx, dy):
    """Goes straight over the nodes' cells until a side without a link.

    Args:
        columns: Nx2 int64 (column, row) of the nodes. x, y, dx, dy: cells.

    Returns:
        (node, x, y, share of the way that was gone, axis across which it was held up or -1).
    """
    gone = 0.0
    for _ in range(100_000):
        column, row = columns[node, 0], columns[node, 1]
        to_x, to_y = np.inf, np.inf
        if dx > 0.0:
            to_x = (column + 1.0 - x) / dx
        elif dx < 0.0:
            to_x = (column - x) / dx
        if dy > 0.0:
            to_y = (row + 1.0 - y) / dy
        elif dy < 0.0:
            to_y = (row - y) / dy
        t = max(min(to_x, to_y), gone)
        if t >= 1.0:
            return node, x + dx, y + dy, 1.0, -1
        axis = 0 if to_x <= to_y else 1
        side = (0 if dx > 0.0 else 1) if axis == 0 else (2 if dy > 0.0 else 3)
        other = links[node, side]
        if other < 0:
            inset = 1e-6
            at_x = min(max(x + t * dx, column + inset), column + 1.0 - inset)
            at_y = min(max(y + t * dy, row + inset), row + 1.0 - inset)
            return node, at_x, at_y, t, axis
        node, gone = other, t
    return node, x + gone * dx, y + gone * dy, gone, 0
