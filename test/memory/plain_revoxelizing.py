"""What ``submaps.revoxelizing`` computes, one sub-cell at a time in plain numpy: no tables, no bit tricks, no hash."""

from __future__ import annotations

from itertools import product

import numpy as np

from embodied_nav.memory.submaps.revoxelizing import LEVELS

#: Numbers (x, y, z) of a cell's 64 sub-cells and of a sub-cell's 8 octants, in the order of their bits.
SUB_CELLS = np.array(list(product(range(4), repeat=3)))
OCTANTS = np.array(list(product(range(2), repeat=3)))
#: Edges, voxels.
CELL, SUB_CELL, OCTANT = 0.5, 0.125, 0.0625
MIDDLES = (SUB_CELLS + 0.5) * SUB_CELL
OCTANT_MIDDLES = (OCTANTS - 0.5) * OCTANT


class Voxel:
    """Points, their position (cells, cloud's frame) and colour; how many times each group of frames hit it; stamp."""

    def __init__(self):
        self.sums, self.often, self.stamp = np.zeros(7), np.zeros(8, int), 0


def plain(cloud, T, voxel_size):
    """{voxel (x, y, z): Voxel} of a cloud's hits at T (4x4, voxels' frame from the cloud's)."""
    voxels, waiting, edges = {}, [], np.concatenate([[0], np.cumsum(bits(cloud.hits["mask"]).sum(1))])
    for i, hit in enumerate(cloud.hits):
        sub_cells = np.flatnonzero(bits(hit["mask"]))
        details = cloud.details[edges[i] : edges[i + 1]]
        octants, frames = bits(details & 255)[:, :8], bits(details >> 8)[:, :8]
        base, faces = faces_of(hit["cell"], T, voxel_size)
        for side in product((0, 1), repeat=3):
            middle, hit_octants = lies_on(side, faces, sub_cells, octants, T[:3, :3])
            possible = reach(side, faces, sub_cells, T[:3, :3])
            if possible.any():
                put(voxels, waiting, tuple(base + side), hit, sub_cells, middle, possible, frames[hit_octants.any(1)])
    for voxel, *piece in waiting:
        if voxel in voxels:
            add(voxels[voxel], *piece)
    return voxels


def bits(numbers):
    """N x 64 bool, lowest bit first."""
    return (np.atleast_1d(numbers).astype(np.uint64)[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1) > 0


def faces_of(cell, T, voxel_size):
    """The voxel that a cell's lowest octant lies in, and how far from that octant the next face is along each axis."""
    base, faces = np.zeros(3, int), np.zeros(3)
    for a in range(3):
        n = T[a, :3]
        at = cell @ n * CELL + T[a, 3] / voxel_size + (MIDDLES @ n).min() + (OCTANT_MIDDLES @ n).min()
        base[a] = np.floor(at)
        faces[a] = 1.0 - min(np.float32(at - base[a]), np.nextafter(np.float32(1), np.float32(0)))
    return base, faces


def rounded(face, step):
    """The middle of the step that a face's place falls into."""
    return (np.floor(face / step) + 0.5) * step


def lies_on(side, faces, sub_cells, octants, R):
    """Which sub-cells (n) have their middle on a side of the faces, which of their octants that were hit (n x 8) lie
    there."""
    middle, inside = np.ones(len(sub_cells), bool), octants.copy()
    for a in range(3):
        n = R[a]
        places, small = MIDDLES @ n, OCTANT_MIDDLES @ n
        lowest = places.min() + small.min()
        face = 1.0 - (np.floor((1.0 - faces[a]) * LEVELS) + 0.5) / LEVELS
        middle &= (places[sub_cells] - lowest >= face) == side[a]
        # Within a sub-cell the face's place counts from its own lowest octant, in steps of the octants' spread.
        step = (small.max() - small.min()) / LEVELS
        face = rounded(faces[a] - (places[sub_cells] - places.min()), step)[:, None]
        inside &= (small - small.min() >= face) == side[a]
    return middle, inside


def reach(side, faces, sub_cells, R):
    """Which sub-cells (n) have some octant on a side of the faces, hit or not."""
    out = np.ones(len(sub_cells), bool)
    for a in range(3):
        places, spread = MIDDLES @ R[a], np.abs(R[a]).sum() * OCTANT / 2
        face = 1.0 - (np.floor((1.0 - faces[a]) * LEVELS) + 0.5) / LEVELS
        from_lowest = places[sub_cells] - places.min() + spread
        out &= from_lowest + spread >= face if side[a] else ~(from_lowest - spread >= face)
    return out


def put(voxels, waiting, voxel, hit, sub_cells, middle, possible, frames):
    """One piece of a cell; ``frames``: groups of frames (k x 8 bool) of the k sub-cells that hit the voxel."""
    each = hit["weight"] / len(sub_cells)
    piece = (hit, sub_cells[middle], each * middle.sum())
    if voxel not in voxels and not frames.any():
        waiting.append((voxel, *piece))
        return
    made = voxel not in voxels
    v = voxels.setdefault(voxel, Voxel())
    v.often = np.minimum(v.often + frames.sum(0), 3)
    v.stamp = max(v.stamp, hit["last_seen"]) if frames.any() else v.stamp
    if middle.any():
        add(v, *piece)
    elif made:
        add(v, hit, sub_cells[possible], 0.5 * each)


def add(voxel, hit, sub_cells, share):
    """Some sub-cells, ``share`` points of them."""
    if len(sub_cells):
        voxel.sums[:3] += (hit["cell"] + (SUB_CELLS[sub_cells].mean(0) + 0.5) / 4) * share
        voxel.sums[3:6] += hit["rgb"].astype(float) * share
        voxel.sums[6] += share
        voxel.stamp = max(voxel.stamp, hit["last_seen"])


def sightings(voxels, T, voxel_size, frames_a_bit, near_range, full_points):
    """{voxel: how much it counts as seen}: each frame for itself, by the sub-cells that it hit, less from afar."""
    out = {}
    for key, v in voxels.items():
        n, once = v.sums[6], (v.often > 0).sum()
        many = max(3.0, n / (once * frames_a_bit))
        seen = sum(min(1.0, (k if k < 3 else many) / full_points) for k in v.often if k)
        mean = T[:3, :3] @ (v.sums[:3] / n * CELL * voxel_size) + T[:3, 3]
        mean = np.clip(mean, np.array(key) * voxel_size, (np.array(key) + 1) * voxel_size)
        far = max(1.0, ((mean - T[:3, 3]) ** 2).sum() / near_range**2)
        out[key] = min(seen * frames_a_bit, max(n, 1.0) / full_points) / far
    return out
