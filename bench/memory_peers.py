"""Other ways to fuse RGB-D frames into voxels, each written anew; ``bench_memory.py`` runs each in its own process.

    python bench/memory_peers.py FOLDER PEER [--frames N] [--dim D] [--voxel M]

Prints the median over frames of the best of some passes, ms of CPU time: other processes disturb that least. Where a
peer has features, each frame brings a 30x40 grid of patches, and each voxel takes the patch at its mean pixel, unless
its method says otherwise.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

NEAR, FAR = 0.1, 5.0
GRID = (30, 40)


def read_frames(folder: Path, count: int) -> list[tuple]:
    """(depth uint16 mm, colour RGB, pose 4x4) of ``count`` frames spread over the sequence."""
    from PIL import Image

    paths = sorted(folder.glob("*.depth.png"))
    out = []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        mm = np.array(Image.open(path)).astype(np.uint16)
        mm[mm == 65535] = 0
        color = np.array(Image.open(str(path).replace("depth.png", "color.jpg")).convert("RGB"))
        out.append((mm, color, np.loadtxt(str(path).replace("depth.png", "pose.txt"))))
    return out


def median_ms(step, frames: list, warm: int = 2, passes: int = 3) -> float:
    """Median over frames of the best of ``passes`` runs over the sequence, ms of CPU time."""
    for f in frames[:warm]:
        step(f)
    times = np.full((passes, len(frames)), np.inf)
    for p in range(passes):
        for i, f in enumerate(frames):
            start = time.process_time()
            step(f)
            times[p, i] = time.process_time() - start
    return float(np.median(times.min(0)) * 1e3)


def patches(dim: int) -> np.ndarray:
    """(30, 40, D) float32, the features that every frame brings."""
    return np.random.default_rng(0).normal(size=(*GRID, dim)).astype(np.float32)


def points_of(mm: np.ndarray, color: np.ndarray, K: np.ndarray, T: np.ndarray, stride: int = 1):
    """Points (N x 3, map), colours (N x 3) and pixels (v, u) of a frame."""
    z = mm[::stride, ::stride].astype(np.float64) / 1000
    v, u = np.nonzero((z >= NEAR) & (z <= FAR))
    z = z[v, u]
    v, u = v * stride, u * stride
    p = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], axis=1)
    return p @ T[:3, :3].T + T[:3, 3], color[v, u], v, u


def _patch_numbers(v: np.ndarray, u: np.ndarray, shape: tuple) -> np.ndarray:
    rows, columns = v * GRID[0] // shape[0], u * GRID[1] // shape[1]
    return (rows * GRID[1] + columns).astype(np.int64)


def numpy_dict(K: np.ndarray, voxel: float, dim: int):
    """np.unique per frame, then a Python dictionary of sums and features."""
    table: dict[int, np.ndarray] = {}
    grid = patches(dim).reshape(GRID[0] * GRID[1], dim)

    def step(f: tuple) -> None:
        p, c, v, u = points_of(*f[:2], K, f[2])
        ijk = np.floor(p / voxel).astype(np.int64) + (1 << 20)
        keys, inverse, counts = np.unique(
            (ijk[:, 0] << 42) | (ijk[:, 1] << 21) | ijk[:, 2], return_inverse=True, return_counts=True
        )
        sums = np.zeros((len(keys), 7 + dim), np.float32)
        for k in range(3):
            sums[:, k] = np.bincount(inverse, p[:, k], len(keys))
            sums[:, 3 + k] = np.bincount(inverse, c[:, k], len(keys))
        sums[:, 6] = counts
        if dim:
            mean_v, mean_u = (np.bincount(inverse, x, len(keys)) / counts for x in (v, u))
            sums[:, 7:] = grid[_patch_numbers(mean_v.astype(int), mean_u.astype(int), f[0].shape)]
        for key, row in zip(keys.tolist(), sums, strict=True):
            old = table.get(key)
            table[key] = row if old is None else old + row

    return step


def torch_unique(K: np.ndarray, voxel: float, dim: int):
    """torch.unique per frame, sums by index_add, merged into sorted keys by searchsorted."""
    import torch

    torch.set_num_threads(1)
    grid = torch.from_numpy(patches(dim).reshape(GRID[0] * GRID[1], dim))
    state = {"keys": torch.empty(0, dtype=torch.int64), "rows": torch.empty(0, 7 + dim)}

    def step(f: tuple) -> None:
        p, c, v, u = points_of(*f[:2], K, f[2])
        p, c = torch.from_numpy(p), torch.from_numpy(c).float()
        ijk = torch.floor(p / voxel).long() + (1 << 20)
        keys, inverse, counts = torch.unique(
            (ijk[:, 0] << 42) | (ijk[:, 1] << 21) | ijk[:, 2], return_inverse=True, return_counts=True
        )
        values = torch.cat([p.float(), c, torch.ones(len(p), 1), torch.from_numpy(v)[:, None].float(),
                            torch.from_numpy(u)[:, None].float()], 1)  # fmt: skip
        sums = torch.zeros(len(keys), 9).index_add_(0, inverse, values)
        rows = sums[:, :7]
        if dim:
            v, u = ((sums[:, k] / counts).numpy().astype(int) for k in (7, 8))
            rows = torch.cat([rows, grid[torch.from_numpy(_patch_numbers(v, u, f[0].shape))]], 1)
        known = state["keys"]
        place = torch.searchsorted(known, keys).clamp(max=max(len(known) - 1, 0))
        there = known[place] == keys if len(known) else torch.zeros(len(keys), dtype=torch.bool)
        state["rows"].index_add_(0, place[there], rows[there])
        if not there.all():
            merged, order = torch.sort(torch.cat([known, keys[~there]]))
            state["keys"], state["rows"] = merged, torch.cat([state["rows"], rows[~there]])[order]

    return step


def vlmaps_loop(K: np.ndarray, voxel: float, dim: int):
    """A loop over points in Python: each adds its pixel's feature to its cell's mean; every fourth pixel of every
    fourth row only."""
    index: dict[tuple, int] = {}
    rows = np.zeros((200_000, dim), np.float32)
    weights = np.zeros(200_000, np.float32)
    grid = patches(dim).reshape(GRID[0] * GRID[1], dim)

    def step(f: tuple) -> None:
        p, _, v, u = points_of(*f[:2], K, f[2], 4)
        numbers = _patch_numbers(v, u, f[0].shape)
        for point, n in zip(p, numbers.tolist(), strict=True):
            cell = (int(point[0] // voxel), int(point[1] // voxel), int(point[2] // voxel))
            r = index.setdefault(cell, len(index))
            rows[r] = (rows[r] * weights[r] + grid[n]) / (weights[r] + 1)
            weights[r] += 1

    return step


def tsdf_band(K: np.ndarray, voxel: float, dim: int):
    """A VDBFusion-like TSDF: each ray updates all voxels of its truncation band; numpy."""
    trunc = 3 * voxel
    table: dict[int, np.ndarray] = {}

    def step(f: tuple) -> None:
        p = points_of(*f[:2], K, f[2])[0]
        ray = p - f[2][:3, 3]
        offsets = np.arange(-trunc, trunc + 1e-9, voxel)
        q = p[:, None] + (ray / np.linalg.norm(ray, axis=1, keepdims=True))[:, None] * offsets[None, :, None]
        ijk = np.floor(q.reshape(-1, 3) / voxel).astype(np.int64) + (1 << 20)
        keys, inverse = np.unique((ijk[:, 0] << 42) | (ijk[:, 1] << 21) | ijk[:, 2], return_inverse=True)
        sdf = np.broadcast_to(-offsets, (len(p), len(offsets))).reshape(-1)
        sums = np.stack([np.bincount(inverse, sdf), np.bincount(inverse).astype(float)], axis=1)
        for key, row in zip(keys.tolist(), sums, strict=True):
            old = table.get(key)
            table[key] = row if old is None else old + row

    return step


def open3d_blocks(K: np.ndarray, voxel: float, dim: int):
    """Open3D's VoxelBlockGrid: blocks touched by the frame, then TSDF and colour. It has no features."""
    import open3d as o3d
    import open3d.core as o3c

    grid = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"), (o3c.float32,) * 3, ((1), (1), (3)), voxel, 8, 50000
    )
    k, ready = o3c.Tensor(K), {}

    def step(f: tuple) -> None:
        depth, color, T = ready[id(f)]
        blocks = grid.compute_unique_block_coordinates(depth, k, T, 1000.0, FAR)
        grid.integrate(blocks, depth, color, k, k, T, 1000.0, FAR)

    def prepare(frames: list) -> None:
        for f in frames:
            ready[id(f)] = (o3d.t.geometry.Image(o3c.Tensor(f[0])),
                            o3d.t.geometry.Image(o3c.Tensor(np.ascontiguousarray(f[1]))),
                            o3c.Tensor(np.linalg.inv(f[2])))  # fmt: skip

    step.prepare = prepare
    return step


def open3d_hashmap(K: np.ndarray, voxel: float, dim: int):
    """Open3D's HashMap: the frame's unique voxels by a HashSet, then rows of means in the map's buffers."""
    import open3d.core as o3c

    table = o3c.HashMap(200_000, o3c.int32, (3,), (o3c.float32, o3c.float32), ((7 + dim,), (1,)))
    grid = patches(dim).reshape(GRID[0] * GRID[1], dim)

    def step(f: tuple) -> None:
        p, c, v, u = points_of(*f[:2], K, f[2])
        cells = o3c.Tensor(np.floor(p / voxel).astype(np.int32))
        unique = o3c.HashSet(40_000, o3c.int32, (3,))
        unique.insert(cells)
        number = unique.find(cells)[0].numpy()
        active = unique.active_buf_indices().numpy()
        order = np.full(number.max() + 1, -1)
        order[active] = np.arange(len(active))
        inverse = order[number]
        counts = np.bincount(inverse, minlength=len(active)).astype(np.float32)
        values = np.concatenate([p, c, np.ones((len(p), 1))], 1)
        rows = np.stack([np.bincount(inverse, x, len(active)) for x in values.T], 1).astype(np.float32)
        if dim:
            mean_v, mean_u = (np.bincount(inverse, x, len(active)) / counts for x in (v, u))
            numbers = _patch_numbers(mean_v.astype(int), mean_u.astype(int), f[0].shape)
            rows = np.concatenate([rows, grid[numbers]], 1)
        keys = unique.key_tensor()[o3c.Tensor(active.astype(np.int64))]
        table.activate(keys)
        at = table.find(keys)[0].to(o3c.int64)
        sums, weights = table.value_tensor(0), table.value_tensor(1)
        sums[at] = sums[at] + o3c.Tensor(rows)
        weights[at] = weights[at] + o3c.Tensor(counts[:, None])

    return step


def conceptgraphs(K: np.ndarray, voxel: float, dim: int):
    """The cloud of each frame is appended to the map's, which is then thinned by voxel_down_sample."""
    import open3d as o3d

    cloud = o3d.geometry.PointCloud()

    def step(f: tuple) -> None:
        nonlocal cloud
        p, c, _, _ = points_of(*f[:2], K, f[2])
        new = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(p))
        new.colors = o3d.utility.Vector3dVector(c / 255.0)
        cloud += new
        cloud = cloud.voxel_down_sample(voxel)

    return step


PEERS = {f.__name__: f for f in (numpy_dict, torch_unique, vlmaps_loop, tsdf_band, open3d_blocks, open3d_hashmap,
                                 conceptgraphs)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--dim", type=int, default=0)
    parser.add_argument("--voxel", type=float, default=0.05)
    args = parser.parse_args()
    frames = read_frames(args.folder, args.frames)
    step = PEERS[args.peer](np.loadtxt(args.folder / "camera-intrinsics.txt"), args.voxel, args.dim)
    if hasattr(step, "prepare"):
        step.prepare(frames)
    print(median_ms(step, frames, warm=1, passes=3))


if __name__ == "__main__":
    main()
