"""Which pixels of a box or mask are the thing it is about, by depth. Knows nothing of categories and of detectors.

A box also holds what lies before, behind and under a thing. In the box and a margin around it,

1. planes that fill more of the margin than of the box are background: the floor, the table that a cup stands on;
2. what is left falls apart into surfaces without a jump in depth;
3. the surface with most of the box's middle that ends within the box is the thing, or one nearly as good before it;
4. pieces that end within the box and lie in line with the thing belong to it: a table behind a chair is one table.

With a mask the first step is left out: the mask tells the thing from its support.
"""

from __future__ import annotations

import numpy as np

from ..geometry import Camera

#: Largest number of samples along an edge of the box.
_SAMPLES = 72
#: Margin around a box: this share of its edge, but at least so many pixels.
_MARGIN, _LEAST_MARGIN = 0.25, 8
#: Depths of neighbouring samples (m at depth z) of one surface differ by less than _JUMP + _JUMP_SLOPE z.
_JUMP, _JUMP_SLOPE = 0.03, 0.025
#: On a slanted plane inverse depth is linear: three samples in a row are on one if it deviates by less than this share;
#: neighbours on one differ by less than that share of their depth.
_BENT, _STEEP = 0.01, 0.2
#: Points of a plane lie within _FLAT + _FLAT_SLOPE z^2 (m).
_FLAT, _FLAT_SLOPE = 0.015, 0.004
#: A plane in the margin is looked for while it has this share of the margin's samples; at most so many, by so many
#: random triples each.
_PLANE_SHARE, _PLANES, _TRIPLES = 0.15, 3, 60
#: A plane is background if its share of the box is less than this times its share of the margin.
_LESS = 0.85
#: Less of the box's samples than this says nothing.
_LEAST = 0.08
#: Boxes are tight: a surface's weight falls with this power of its share in the box.
_TIGHT = 3
#: Of surfaces with this share of the best one's weight, the nearest is the thing.
_NEARLY = 0.6
#: A piece with this share of its samples in the box and, along the thing's thinnest axis, within its bounds grown by
#: this (m) is of it.
_PIECE_SHARE, _PIECE = 0.8, 0.04


def foreground(
    depth: np.ndarray,
    box: np.ndarray,
    camera: Camera,
    mask: np.ndarray | None = None,
    near: float = 0.1,
    far: float = 5.0,
) -> np.ndarray:
    """Pixels of the thing in a box.

    Args:
        depth: HxW float32 m, NaN invalid. box: (4,) u0, v0, u1, v1 in pixels. camera: of the depth.
        mask: HxW bool of the thing's pixels, if known. near, far: m, of depths that count.

    Returns:
        HxW bool; empty where depth shows too little of the box.
    """
    window, step, inside = _window(box, depth.shape)
    out = np.zeros(depth.shape, bool)
    if not inside.any():
        return out
    z = depth[window].astype(np.float64)[::step, ::step]
    z = np.where((z >= near) & (z <= far), z, np.nan)
    valid = np.isfinite(z)
    if mask is not None:
        inside = inside & mask[window][::step, ::step]
    if (valid & inside).sum() < max(4, _LEAST * inside.sum()):
        return out
    points = _points(z, window, step, camera)
    chosen = valid & inside if mask is not None else valid
    if mask is None:
        background = _background(points, z, inside)
        if (valid & inside & ~background).sum() >= _LEAST * inside.sum():
            chosen &= ~background
    thing = _main_surface(points, chosen, inside)
    if not thing.any():
        return out
    pixels = _upsampled(thing, z, depth[window], step)
    out[window] = pixels if mask is None else pixels & mask[window]
    return out


def _window(box: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], int, np.ndarray]:
    """The box with its margin as slices, the distance of samples (px), and which samples the box itself holds."""
    height, width = shape
    u0, v0, u1, v1 = (float(x) for x in box)
    du, dv = (max(_LEAST_MARGIN, _MARGIN * edge) for edge in (u1 - u0, v1 - v0))
    left, right = max(0, int(u0 - du)), min(width, int(np.ceil(u1 + du)))
    top, bottom = max(0, int(v0 - dv)), min(height, int(np.ceil(v1 + dv)))
    step = max(1, round(max(u1 - u0, v1 - v0) / _SAMPLES))
    v, u = np.mgrid[top:bottom:step, left:right:step]
    return (slice(top, bottom), slice(left, right)), step, (u >= u0) & (u < u1) & (v >= v0) & (v < v1)


def _points(z: np.ndarray, window: tuple[slice, slice], step: int, camera: Camera) -> np.ndarray:
    """hxwx3 float64, m, optical frame: points of the samples."""
    v, u = np.mgrid[: z.shape[0], : z.shape[1]] * step
    x = (u + window[1].start - camera.cx) / camera.fx
    y = (v + window[0].start - camera.cy) / camera.fy
    return np.stack([x * z, y * z, z], axis=-1)


def _background(points: np.ndarray, z: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """hxw bool: samples on planes of which there is more in the margin than in the box."""
    found = np.zeros(z.shape, bool)
    valid = np.isfinite(z)
    tolerance = _FLAT + _FLAT_SLOPE * np.nan_to_num(z) ** 2
    left = valid & ~inside
    around, within = int(left.sum()), int((valid & inside).sum())
    rng = np.random.default_rng(0)
    for _ in range(_PLANES):
        plane = _plane(points[left], tolerance[left], rng)
        if plane is None:
            break
        on = _reached(z, valid & (np.abs(points @ plane[:3] + plane[3]) < tolerance), left)
        if (on & left).sum() < _PLANE_SHARE * around:
            break
        plane = _fitted(points[on])  # what is in the box helps to tell where the plane lies
        on = _reached(z, valid & (np.abs(points @ plane[:3] + plane[3]) < tolerance), left)
        if (on & inside).sum() / max(within, 1) < _LESS * (on & ~inside).sum() / around:
            found |= on
        left &= ~on
    return found


def _reached(z: np.ndarray, on: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """hxw bool: the samples of ``on`` that are connected to some outside without a jump in depth."""
    labels, count = _surfaces(z, on)
    begins = np.bincount(labels[on & outside], minlength=count + 1) > 0
    return on & begins[labels]


def _plane(points: np.ndarray, tolerance: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """(4,) unit normal and offset of the plane with most of N points (m) within their tolerance; None for too few."""
    if len(points) < 12:
        return None
    some = points[:: max(1, len(points) // 400)]
    slack = tolerance[:: max(1, len(points) // 400)]
    a, b, c = some[rng.integers(0, len(some), (3, _TRIPLES))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    good = lengths > 1e-6
    if not good.any():
        return None
    normals, a = normals[good] / lengths[good, None], a[good]
    offsets = -np.einsum("ij,ij->i", normals, a)
    hits = np.abs(normals @ some.T + offsets[:, None]) < slack
    return _fitted(some[hits[int(hits.sum(axis=1).argmax())]])


def _fitted(points: np.ndarray) -> np.ndarray:
    """(4,) unit normal and offset of the plane through Nx3 points, by least squares."""
    middle = points.mean(axis=0)
    normal = np.linalg.eigh((points - middle).T @ (points - middle))[1][:, 0]
    return np.append(normal, -normal @ middle)


def _main_surface(points: np.ndarray, chosen: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """hxw bool: the samples of the thing among those chosen, in the box and around it."""
    z = points[..., 2]
    labels, count = _surfaces(z, chosen)
    of_box = np.bincount(labels[inside], minlength=count + 1)
    share = of_box / np.maximum(np.bincount(labels.ravel(), minlength=count + 1), 1)
    weight = np.bincount(labels.ravel(), _centrality(inside).ravel(), count + 1) * share**_TIGHT
    weight[0] = 0.0
    if not weight.any():
        return np.zeros(z.shape, bool)
    good = np.flatnonzero(weight >= _NEARLY * weight.max())
    thing = (labels == min(good, key=lambda k: float(np.median(z[labels == k])))) & inside
    within = _in_line(points, thing) & chosen & inside
    pieces = np.bincount(labels[within], minlength=count + 1) >= _PIECE_SHARE * np.maximum(of_box, 1)
    pieces &= share >= _PIECE_SHARE
    return thing | (pieces[labels] & (labels > 0) & within)


def _in_line(points: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """hxw bool: samples within the thing's bounds along its thinnest axis."""
    own = points[thing]
    middle = own.mean(axis=0)
    axis = np.linalg.eigh((own - middle).T @ (own - middle))[1][:, 0]
    low, high = np.percentile((own - middle) @ axis, (1.0, 99.0))
    along = (points - middle) @ axis
    with np.errstate(invalid="ignore"):
        return (along >= low - _PIECE) & (along <= high + _PIECE)


def _centrality(inside: np.ndarray) -> np.ndarray:
    """hxw weights: 1 in the middle of the box, a fifth at its edges, 0 outside."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    v, u = np.mgrid[: inside.shape[0], : inside.shape[1]].astype(np.float64)
    half = max(len(rows), 2) / 2.0, max(len(columns), 2) / 2.0
    dv, du = (v - rows.mean()) / half[0], (u - columns.mean()) / half[1]
    return np.where(inside, np.exp(-0.8 * (dv**2 + du**2)), 0.0)


def _surfaces(z: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, int]:
    """Surface (from 1) of each chosen sample, 0 of others, hxw int, and their number; no jump in depth parts one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    index = np.arange(z.size).reshape(z.shape)
    first, second = [], []
    for a, b, straight in ((np.s_[1:], np.s_[:-1], _straight(z.T).T), (np.s_[:, 1:], np.s_[:, :-1], _straight(z))):
        near = np.minimum(z[a], z[b])
        with np.errstate(invalid="ignore"):
            gap = np.abs(z[a] - z[b])
            close = (gap < _JUMP + _JUMP_SLOPE * near) | ((straight[a] | straight[b]) & (gap < _STEEP * near))
        joined = chosen[a] & chosen[b] & close
        first.append(index[a][joined])
        second.append(index[b][joined])
    rows, columns = np.concatenate(first), np.concatenate(second)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), (z.size, z.size))
    count, labels = connected_components(graph, directed=False)
    return np.where(chosen, labels.reshape(z.shape) + 1, 0), count


def _straight(z: np.ndarray) -> np.ndarray:
    """hxw bool: samples whose depth (m) and that of both neighbours in the row are of one plane."""
    out = np.zeros(z.shape, bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = 1.0 / z
        bend = np.abs(inverse[:, :-2] - 2.0 * inverse[:, 1:-1] + inverse[:, 2:])
        out[:, 1:-1] = bend < _BENT * inverse[:, 1:-1]
    return out


def _upsampled(thing: np.ndarray, z: np.ndarray, depth: np.ndarray, step: int) -> np.ndarray:
    """HxW bool: pixels of a window whose depth (m) is that of the sample they belong to, where that is of the thing."""
    rows, columns = np.arange(depth.shape[0])[:, None] // step, np.arange(depth.shape[1])[None] // step
    sample = z[rows, columns]
    with np.errstate(invalid="ignore"):
        return thing[rows, columns] & (np.abs(depth - sample) < _JUMP + _JUMP_SLOPE * sample)
