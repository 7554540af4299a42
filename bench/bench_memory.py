"""Voxel memory against its peers on the same frames in the same run: ms a frame, median, and ratios.

    python bench/bench_memory.py ../shared/data/7scenes-kitchen [--open3d-python /path/to/python] [--frames 60]

Peers, each written anew here except Open3D: Open3D's tensor VoxelBlockGrid (TSDF + colour; run in another interpreter
where it is not importable in this one), numpy unique + dict, a VDBFusion-like TSDF (every voxel of the truncation band
along every ray, vectorised numpy). Single thread each: OMP_NUM_THREADS=1 is set for Open3D's child; --threads 2 gives
Open3D two while ours keeps one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

VOXEL, NEAR, FAR = 0.05, 0.1, 5.0


def read_frames(folder: Path, count: int) -> list[tuple]:
    """(depth uint16 mm, colour RGB, pose 4x4) of ``count`` frames spread over the sequence."""
    import cv2

    paths = sorted(folder.glob("*.depth.png"))
    out = []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        mm = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mm[mm == 65535] = 0
        color = cv2.cvtColor(cv2.imread(str(path).replace("depth.png", "color.jpg")), cv2.COLOR_BGR2RGB)
        out.append((mm, color, np.loadtxt(str(path).replace("depth.png", "pose.txt"))))
    return out


def median_ms(step, frames: list, warm: int = 2, passes: int = 3) -> float:
    """Median over frames of the best of ``passes`` runs over the sequence, ms; other processes make the rest slower."""
    for f in frames[:warm]:
        step(f)
    times = np.full((passes, len(frames)), np.inf)
    for p in range(passes):
        for i, f in enumerate(frames):
            start = time.perf_counter()
            step(f)
            times[p, i] = time.perf_counter() - start
    return float(np.median(times.min(0)) * 1e3)


# ---- ours ----


def ours(frames: list, K: np.ndarray) -> dict[str, float]:
    from embodied_nav.frames import Keyframe, RGBDFrame
    from embodied_nav.geometry import Camera
    from embodied_nav.memory import MemoryConfig, SpatialMemory
    from embodied_nav.memory.fusion import FrameHasher, sighting_weights, upsert
    from embodied_nav.memory.store import VoxelStore

    h, w = frames[0][0].shape
    camera = Camera(w, h, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    ready = [(_metres(mm), color, T, i) for i, (mm, color, T) in enumerate(frames)]

    def integrate(size: float, stride: int) -> float:
        store, hasher = VoxelStore(1 << 22), FrameHasher()

        def step(f: tuple) -> None:
            voxels = hasher(f[0], f[1], camera, f[2], size, NEAR, FAR, stride)
            weights = sighting_weights(voxels, f[2][:3, 3], size, 2.0, 3)
            upsert(store, voxels, weights, np.array([f[3]]), 6.0, 1.0)

        return median_ms(step, ready)

    def everything(width: int, stride: int) -> float:
        memory, k = SpatialMemory(MemoryConfig(stride=stride)), w // width
        small = camera if k == 1 else Camera(width, h // k, camera.fx / k, camera.fy / k, camera.cx / k, camera.cy / k)
        counter = [0]

        def step(f: tuple) -> None:
            counter[0] += 1
            frame = RGBDFrame(counter[0], small, f[2], f[1][::k, ::k], f[0][::k, ::k])
            if counter[0] % 20 == 1:
                memory.add_keyframe(Keyframe(counter[0], frame, 0.5, 0, "overlap"))
            memory.integrate(frame)
            memory.occupancy()

        return median_ms(step, ready)

    out = {f"ours, {size * 100:g} cm, stride {s}": integrate(size, s) for size, s in
           ((0.05, 1), (0.05, 2), (0.05, 4), (0.02, 1))}  # fmt: skip
    out["ours, all of a frame (carving, grid, local cloud), 640x480"] = everything(w, 1)
    out["ours, all of a frame, 320x240"] = everything(w // 2, 1)
    out["ours, all of a frame, 320x240, stride 2"] = everything(w // 2, 2)
    return out


def growth() -> dict[str, float]:
    """Integration into 24 thousand and into 10 million resident voxels, and the longest single upsert while growing."""
    from embodied_nav.memory.fusion import FrameVoxels, upsert
    from embodied_nav.memory.keys import pack_array
    from embodied_nav.memory.store import VoxelStore

    store, rng = VoxelStore(1 << 24), np.random.default_rng(0)
    side = np.stack(np.meshgrid(np.arange(50), np.arange(50), [0, 1], indexing="ij"), -1).reshape(-1, 3)

    def patch(origin: np.ndarray) -> FrameVoxels:
        keys = pack_array(side + origin)
        sums = np.zeros((len(keys), 8))
        sums[:, 6] = 10
        return FrameVoxels(keys, sums, 10 * len(keys))

    ones, stamp = np.ones(len(side), np.float32), np.array([1])

    def add(origin: np.ndarray) -> float:
        voxels = patch(origin)
        start = time.perf_counter()
        upsert(store, voxels, ones, stamp, 6.0, 1.0)
        return (time.perf_counter() - start) * 1e3

    for i in range(5):
        add(np.array([50 * i, 0, 0]))
    small = np.median([add(np.array([50 * (i % 5), 0, 0])) for i in range(50)])
    cells = np.array([(x, y, z) for x in range(48) for y in range(48) for z in range(0, 4 * 220, 4)])[:2000]
    slowest = max(add(c * [50, 50, 1]) for c in cells)
    picks = rng.integers(0, len(cells), 50)
    large = np.median([add(cells[i] * [50, 50, 1]) for i in picks])
    return {
        "upsert of 5,000 voxels into 24 thousand": float(small),
        f"upsert of 5,000 voxels into {len(store) / 1e6:.1f} million (cold)": float(large),
        "longest single upsert on the way there": float(slowest),
        "bytes a voxel": store.nbytes / len(store),
    }


# ---- peers ----


def _metres(mm: np.ndarray) -> np.ndarray:
    depth = mm.astype(np.float32) / np.float32(1000)
    depth[mm == 0] = np.nan
    return depth


def _points(mm: np.ndarray, color: np.ndarray, K: np.ndarray, T: np.ndarray, stride: int):
    z = mm[::stride, ::stride].astype(np.float64) / 1000
    v, u = np.nonzero((z >= NEAR) & (z <= FAR))
    z = z[v, u]
    p = np.stack([(u * stride - K[0, 2]) / K[0, 0] * z, (v * stride - K[1, 2]) / K[1, 1] * z, z], axis=1)
    return p @ T[:3, :3].T + T[:3, 3], color[::stride, ::stride][v, u]


def numpy_dict(frames: list, K: np.ndarray) -> float:
    """np.unique per frame, then a Python dictionary of sums."""
    table: dict[int, np.ndarray] = {}

    def step(f: tuple) -> None:
        p, c = _points(*f[:2], K, f[2], 1)
        ijk = np.floor(p / VOXEL).astype(np.int64) + (1 << 20)
        keys, inverse, counts = np.unique(
            (ijk[:, 0] << 42) | (ijk[:, 1] << 21) | ijk[:, 2], return_inverse=True, return_counts=True
        )
        sums = np.zeros((len(keys), 7))
        for k in range(3):
            sums[:, k] = np.bincount(inverse, p[:, k], len(keys))
            sums[:, 3 + k] = np.bincount(inverse, c[:, k], len(keys))
        sums[:, 6] = counts
        for key, row in zip(keys.tolist(), sums, strict=True):
            old = table.get(key)
            table[key] = row if old is None else old + row

    return median_ms(step, frames, warm=1, passes=2)


def tsdf_band(frames: list, K: np.ndarray) -> float:
    """A VDBFusion-like TSDF: each ray updates all voxels of its truncation band; numpy, stride 1."""
    trunc = 3 * VOXEL
    table: dict[int, np.ndarray] = {}

    def step(f: tuple) -> None:
        p, _ = _points(*f[:2], K, f[2], 1)
        origin = f[2][:3, 3]
        ray = p - origin
        length = np.linalg.norm(ray, axis=1, keepdims=True)
        offsets = np.arange(-trunc, trunc + 1e-9, VOXEL)
        q = p[:, None] + (ray / length)[:, None] * offsets[None, :, None]
        ijk = np.floor(q.reshape(-1, 3) / VOXEL).astype(np.int64) + (1 << 20)
        keys, inverse = np.unique((ijk[:, 0] << 42) | (ijk[:, 1] << 21) | ijk[:, 2], return_inverse=True)
        sdf = np.broadcast_to(-offsets, (len(p), len(offsets))).reshape(-1)
        sums = np.stack([np.bincount(inverse, sdf), np.bincount(inverse).astype(float)], axis=1)
        for key, row in zip(keys.tolist(), sums, strict=True):
            old = table.get(key)
            table[key] = row if old is None else old + row

    return median_ms(step, frames[:4], warm=0, passes=1)


def open3d_blocks(frames: list, K: np.ndarray) -> dict[str, float]:
    """Open3D's VoxelBlockGrid: blocks touched by the frame, then TSDF and colour."""
    import open3d as o3d
    import open3d.core as o3c

    def run(size: float) -> float:
        grid = o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"), (o3c.float32,) * 3, ((1), (1), (3)), size, 8, 50000
        )
        k = o3c.Tensor(K)
        ready = [
            (o3d.t.geometry.Image(o3c.Tensor(mm)), o3d.t.geometry.Image(o3c.Tensor(np.ascontiguousarray(color))),
             o3c.Tensor(np.linalg.inv(T))) for mm, color, T in frames
        ]  # fmt: skip

        def step(f: tuple) -> None:
            blocks = grid.compute_unique_block_coordinates(f[0], k, f[2], 1000.0, FAR)
            grid.integrate(blocks, f[0], f[1], k, k, f[2], 1000.0, FAR)

        return median_ms(step, ready)

    return {"5 cm": run(0.05), "2 cm": run(0.02)}


def run_open3d(python: str, folder: Path, count: int, threads: int) -> dict[str, float] | str:
    """The peer's figures from an interpreter that has it, or the reason why there are none."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [python, __file__, str(folder), "--frames", str(count), "--only-open3d"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        return f"{python}: {error.strerror}"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1, help="Open3D's; ours always has one")
    parser.add_argument("--open3d-python", default=sys.executable)
    parser.add_argument("--only-open3d", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    frames = read_frames(args.folder, args.frames)
    K = np.eye(3)
    K[:] = np.loadtxt(args.folder / "camera-intrinsics.txt")
    if args.only_open3d:
        print(json.dumps(open3d_blocks(frames, K)))
        return
    table = ours(frames, K)
    peer = run_open3d(args.open3d_python, args.folder, args.frames, args.threads)
    table["numpy unique + dict, 5 cm, stride 1"] = numpy_dict(frames[:10], K)
    table["VDBFusion-like TSDF in numpy, 5 cm, stride 1"] = tsdf_band(frames, K)
    print(f"{len(frames)} frames of {frames[0][0].shape[1]}x{frames[0][0].shape[0]}, one thread, median ms a frame")
    for name, ms in table.items():
        print(f"  {name:62} {ms:9.2f}")
    if isinstance(peer, str):
        print(f"  Open3D VoxelBlockGrid: skipped ({peer})")
    else:
        for size, ms in peer.items():
            ratio = ms / table[f"ours, {size}, stride 1"]
            print(f"  Open3D VoxelBlockGrid, {size}, {args.threads} thread(s) {ms:31.2f}   {ratio:.2f} times ours")
    base = table["ours, 5 cm, stride 1"]
    for name in ("numpy unique + dict, 5 cm, stride 1", "VDBFusion-like TSDF in numpy, 5 cm, stride 1"):
        print(f"  {name}: {table[name] / base:.0f} times ours")
    for name, value in growth().items():
        print(f"  {name:62} {value:9.2f}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
