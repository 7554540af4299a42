"""Numba kernels of the rasteriser: visibility buffer, depth, light grid. Knows nothing of colour and of files.

A triangle is drawn by edge functions in homogeneous pixel space (Olano and Greer, "Triangle scan conversion using 2D
homogeneous coordinates", 1997): with P = K [R|t] x the function of the edge opposite to corner i is
P_j x P_k . (u, v, 1). So no clipping at the near plane is needed, neighbouring triangles share bit-identical edges, and
the sum of the three, divided by det(P_0 P_1 P_2), is the inverse depth.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: Edge in pixels of the tiles that store their farthest depth (a one-level hierarchical z-buffer).
TILE = 8
_BINS = 128


@njit(cache=True, nogil=True)
def _farthest(tiles, inverse, width, height):
    """Smallest inverse depth of each tile."""
    for ty in range(tiles.shape[0]):
        y1 = min(height, (ty + 1) * TILE)
        for tx in range(tiles.shape[1]):
            x0, x1 = tx * TILE, min(width, (tx + 1) * TILE)
            low = np.float32(np.inf)
            for y in range(ty * TILE, y1):
                for x in range(x0, x1):
                    low = min(low, inverse[y, x])
            tiles[ty, tx] = low


@njit(cache=True, nogil=True)
def _hidden(tiles, u0, u1, v0, v1, z):
    """Whether a box of pixels [u0, u1] x [v0, v1] whose nearest depth is z is behind everything drawn there so far."""
    nearest = np.float32(1.0 / z)
    for ty in range(int(v0) // TILE, int(v1) // TILE + 1):
        for tx in range(int(u0) // TILE, int(u1) // TILE + 1):
            if nearest >= tiles[ty, tx]:
                return False
    return True


@njit(cache=True, nogil=True)
def _near_box(P, i, j, k, near, box):
    """Pixel bounds of the part of a triangle beyond the near plane; False where there is none."""
    box[0], box[1], box[2], box[3] = np.inf, -np.inf, np.inf, -np.inf
    found = False
    for a, b in ((i, j), (j, k), (k, i)):
        za, zb = P[a, 2], P[b, 2]
        if za >= near:
            u, v = P[a, 0] / za, P[a, 1] / za
            box[0], box[1], box[2], box[3] = min(box[0], u), max(box[1], u), min(box[2], v), max(box[3], v)
            found = True
        if (za >= near) != (zb >= near):
            t = (near - za) / (zb - za)
            u, v = (P[a, 0] + t * (P[b, 0] - P[a, 0])) / near, (P[a, 1] + t * (P[b, 1] - P[a, 1])) / near
            box[0], box[1], box[2], box[3] = min(box[0], u), max(box[1], u), min(box[2], v), max(box[3], v)
            found = True
    return found


@njit(cache=True, nogil=True)
def _fill(inverse, ids, face, P, i, j, k, x0, x1, y0, y1, largest):
    """Draws one triangle into the pixels [x0, x1] x [y0, y1]."""
    a0 = P[j, 1] * P[k, 2] - P[j, 2] * P[k, 1]
    b0 = P[j, 2] * P[k, 0] - P[j, 0] * P[k, 2]
    c0 = P[j, 0] * P[k, 1] - P[j, 1] * P[k, 0]
    a1 = P[k, 1] * P[i, 2] - P[k, 2] * P[i, 1]
    b1 = P[k, 2] * P[i, 0] - P[k, 0] * P[i, 2]
    c1 = P[k, 0] * P[i, 1] - P[k, 1] * P[i, 0]
    a2 = P[i, 1] * P[j, 2] - P[i, 2] * P[j, 1]
    b2 = P[i, 2] * P[j, 0] - P[i, 0] * P[j, 2]
    c2 = P[i, 0] * P[j, 1] - P[i, 1] * P[j, 0]
    det = P[i, 0] * a0 + P[i, 1] * b0 + P[i, 2] * c0
    if det == 0.0:
        return
    if det < 0.0:  # back face: flip the edge functions, so that inside is positive
        a0, b0, c0, a1, b1, c1, a2, b2, c2, det = -a0, -b0, -c0, -a1, -b1, -c1, -a2, -b2, -c2, -det
    scale = 1.0 / det
    du, dv, d1 = (a0 + a1 + a2) * scale, (b0 + b1 + b2) * scale, (c0 + c1 + c2) * scale
    r0 = -1.0 / a0 if a0 != 0.0 else 0.0
    r1 = -1.0 / a1 if a1 != 0.0 else 0.0
    r2 = -1.0 / a2 if a2 != 0.0 else 0.0
    step = np.float32(du)
    for y in range(y0, y1 + 1):
        low, high = float(x0), float(x1)
        e0, e1, e2 = b0 * y + c0, b1 * y + c1, b2 * y + c2
        if a0 > 0.0:
            low = max(low, e0 * r0)
        elif a0 < 0.0:
            high = min(high, e0 * r0)
        elif e0 < 0.0:
            continue
        if a1 > 0.0:
            low = max(low, e1 * r1)
        elif a1 < 0.0:
            high = min(high, e1 * r1)
        elif e1 < 0.0:
            continue
        if a2 > 0.0:
            low = max(low, e2 * r2)
        elif a2 < 0.0:
            high = min(high, e2 * r2)
        elif e2 < 0.0:
            continue
        if low > high:
            continue
        first = math.ceil(low)
        count = math.floor(high) - first + 1
        start = np.float32(du * first + dv * y + d1)
        row, row_ids = inverse[y, first : first + count], ids[y, first : first + count]
        for x in range(count):
            value = start + np.float32(x) * step
            if value > row[x] and value <= largest:
                row[x] = value
                row_ids[x] = face


@njit(cache=True, nogil=True)
def _draw_cluster(inverse, ids, tiles, P, M, vertices, triangles, v0, v1, f0, f1, near, box):
    """Projects a cluster's vertices [v0, v1) and draws its faces [f0, f1)."""
    height, width = inverse.shape
    largest = np.float32(1.0 / near)
    for n in range(v0, v1):
        x, y, z = vertices[n, 0], vertices[n, 1], vertices[n, 2]
        Z = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
        X = M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3]
        Y = M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3]
        P[n - v0, 0], P[n - v0, 1], P[n - v0, 2] = X, Y, Z
        if near <= Z:
            P[n - v0, 3], P[n - v0, 4] = X / Z, Y / Z
    for f in range(f0, f1):
        i, j, k = triangles[f, 0] - v0, triangles[f, 1] - v0, triangles[f, 2] - v0
        zmin = min(P[i, 2], P[j, 2], P[k, 2])
        if zmin >= near:
            u0, u1 = min(P[i, 3], P[j, 3], P[k, 3]), max(P[i, 3], P[j, 3], P[k, 3])
            w0, w1 = min(P[i, 4], P[j, 4], P[k, 4]), max(P[i, 4], P[j, 4], P[k, 4])
        elif _near_box(P, i, j, k, near, box):
            u0, u1, w0, w1 = box[0], box[1], box[2], box[3]
            zmin = near
        else:
            continue
        x0, x1 = math.ceil(max(u0, 0.0)), math.floor(min(u1, width - 1.0))
        y0, y1 = math.ceil(max(w0, 0.0)), math.floor(min(w1, height - 1.0))
        if x0 > x1 or y0 > y1 or _hidden(tiles, x0, x1, y0, y1, zmin):
            continue
        _fill(inverse, ids, f, P, i, j, k, x0, x1, y0, y1, largest)


@njit(cache=True, nogil=True)
def _seen_clusters(M, boxes, width, height, near, far, order, rectangles):
    """Frustum culling: clusters in the view, near ones first.

    Fills ``order`` with their numbers and ``rectangles`` (Cx5, by cluster) with pixel bounds and nearest depth.
    """
    nearest = np.empty(len(boxes), dtype=np.float64)
    starts = np.zeros(_BINS + 1, dtype=np.int64)
    for c in range(len(boxes)):
        nearest[c] = np.nan
        x, y, z = boxes[c, 0], boxes[c, 1], boxes[c, 2]
        hx, hy, hz = boxes[c, 3], boxes[c, 4], boxes[c, 5]
        Z = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
        hZ = abs(M[2, 0]) * hx + abs(M[2, 1]) * hy + abs(M[2, 2]) * hz
        if Z + hZ < near or Z - hZ > far:
            continue
        outside = False
        for axis, last in ((0, width - 1.0), (1, height - 1.0)):
            m0, m1, m2 = M[axis, 0], M[axis, 1], M[axis, 2]
            X = m0 * x + m1 * y + m2 * z + M[axis, 3]
            if X + abs(m0) * hx + abs(m1) * hy + abs(m2) * hz < 0.0:
                outside = True
            m0, m1, m2 = last * M[2, 0] - m0, last * M[2, 1] - m1, last * M[2, 2] - m2
            if last * Z - X + abs(m0) * hx + abs(m1) * hy + abs(m2) * hz < 0.0:
                outside = True
        if outside:
            continue
        z0, z1 = max(Z - hZ, near), Z + hZ
        nearest[c] = z0
        rectangles[c, 4] = z0
        rectangles[c, 0], rectangles[c, 1], rectangles[c, 2], rectangles[c, 3] = 0.0, width - 1.0, 0.0, height - 1.0
        if z0 > near:
            for axis, last in ((0, width - 1.0), (1, height - 1.0)):
                m0, m1, m2 = M[axis, 0], M[axis, 1], M[axis, 2]
                X = m0 * x + m1 * y + m2 * z + M[axis, 3]
                h = abs(m0) * hx + abs(m1) * hy + abs(m2) * hz
                rectangles[c, 2 * axis] = max(0.0, min((X - h) / z0, (X - h) / z1))
                rectangles[c, 2 * axis + 1] = min(last, max((X + h) / z0, (X + h) / z1))
            if rectangles[c, 0] > rectangles[c, 1] or rectangles[c, 2] > rectangles[c, 3]:
                nearest[c] = np.nan
                continue
        starts[min(_BINS - 1, int(z0 / far * _BINS)) + 1] += 1
    for n in range(_BINS):
        starts[n + 1] += starts[n]
    count = starts[_BINS]
    for c in range(len(boxes)):
        if nearest[c] == nearest[c]:
            slot = min(_BINS - 1, int(nearest[c] / far * _BINS))
            order[starts[slot]] = c
            starts[slot] += 1
    return count


@njit(cache=True, nogil=True)
def draw_visibility(
    inverse, ids, M, near, far, boxes, cluster_faces, cluster_vertices, vertices, triangles, order, rectangles, P
):
    """Draws the visibility buffer: which face is visible at each pixel.

    Args:
        inverse: HxW float32, out: inverse depth, 1 / far where nothing is.
        ids: HxW int32, out: face in cluster order, -1 where nothing is.
        M: 3x4 float64, homogeneous pixels from scene positions: K [R|t].
        near, far: m along the optical axis.
        boxes: Cx6 float64, centre and half size of each cluster.
        cluster_faces, cluster_vertices: C + 1 int32 starts.
        vertices, triangles: Vx3 float64, Fx3 int32.
        order, rectangles, P: scratch, C int32, Cx5 float64, (most vertices of a cluster)x5 float64.

    Returns:
        How many clusters were drawn.
    """
    height, width = inverse.shape
    inverse[:] = np.float32(1.0 / far)
    ids[:] = np.int32(-1)
    tiles = np.full(((height + TILE - 1) // TILE, (width + TILE - 1) // TILE), np.float32(1.0 / far), dtype=np.float32)
    box = np.empty(4)
    count = _seen_clusters(M, boxes, width, height, near, far, order, rectangles)
    drawn, refresh = 0, 12
    for n in range(count):
        c = order[n]
        r = rectangles[c]
        if _hidden(tiles, r[0], r[1], r[2], r[3], r[4]):
            continue
        _draw_cluster(
            inverse, ids, tiles, P, M, vertices, triangles,
            cluster_vertices[c], cluster_vertices[c + 1], cluster_faces[c], cluster_faces[c + 1], near, box,
        )  # fmt: skip
        drawn += 1
        if drawn == refresh:
            _farthest(tiles, inverse, width, height)
            refresh = refresh + max(12, refresh // 2)
    return drawn


@njit(cache=True, nogil=True)
def _depth(planes, f, inverse, cx, cy, cz, dx, dy, dz):
    """Depth of a pixel's ray (d, of length 1 along the optical axis) on its face's plane."""
    slope = planes[f, 0] * dx + planes[f, 1] * dy + planes[f, 2] * dz
    if abs(slope) < 1e-7:
        return 1.0 / inverse
    return (planes[f, 3] - planes[f, 0] * cx - planes[f, 1] * cy - planes[f, 2] * cz) / slope


@njit(cache=True, nogil=True)
def resolve_depth(inverse, ids, T, intrinsics, planes, instance, depth, instances):
    """Depth (HxW float32, m, NaN none) and instance ids (HxW int32, 0 none) of a visibility buffer.

    Args:
        T: 4x4 float64, scene from camera. intrinsics: (fx, fy, cx, cy) float64.
    """
    height, width = ids.shape
    fx, fy, px, py = intrinsics
    for v in range(height):
        for u in range(width):
            f = ids[v, u]
            if f < 0:
                depth[v, u] = np.float32(np.nan)
                instances[v, u] = 0
                continue
            x, y = (u - px) / fx, (v - py) / fy
            dx = T[0, 0] * x + T[0, 1] * y + T[0, 2]
            dy = T[1, 0] * x + T[1, 1] * y + T[1, 2]
            dz = T[2, 0] * x + T[2, 1] * y + T[2, 2]
            depth[v, u] = _depth(planes, f, inverse[v, u], T[0, 3], T[1, 3], T[2, 3], dx, dy, dz)
            instances[v, u] = instance[f]


@njit(cache=True, nogil=True)
def splat_area(grid, origin, cell, corners, area):
    """Adds each face's area (m^2) to the eight cells around sample points spaced at most a cell apart.

    Args:
        grid: XxYxZ float32, in and out; cell (i, j, k) is centred at origin + (i, j, k) cell.
        corners: Fx3x3 float64; area: F float64.
    """
    for f in range(len(corners)):
        a, b, c = corners[f, 0], corners[f, 1], corners[f, 2]
        longest = 0.0
        for p, q in ((a, b), (b, c), (c, a)):
            longest = max(longest, math.sqrt((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2))
        n = max(1, math.ceil(longest / cell))
        weight = area[f] / (n * n)
        for i in range(n):
            for j in range(2 * (n - i) - 1):  # the n^2 small triangles: upright for even j, turned for odd
                s = (i + (1.0 if j % 2 == 0 else 2.0) / 3.0) / n
                t = (j // 2 + (1.0 if j % 2 == 0 else 2.0) / 3.0) / n
                x = (a[0] + s * (b[0] - a[0]) + t * (c[0] - a[0]) - origin[0]) / cell
                y = (a[1] + s * (b[1] - a[1]) + t * (c[1] - a[1]) - origin[1]) / cell
                z = (a[2] + s * (b[2] - a[2]) + t * (c[2] - a[2]) - origin[2]) / cell
                x0, y0, z0 = int(x), int(y), int(z)
                for k in range(8):
                    dx, dy, dz = k & 1, (k >> 1) & 1, k >> 2
                    share = (x - x0 if dx else 1.0 - x + x0) * (y - y0 if dy else 1.0 - y + y0)
                    share *= z - z0 if dz else 1.0 - z + z0
                    grid[x0 + dx, y0 + dy, z0 + dz] += np.float32(weight * share)
