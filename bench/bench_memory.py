"""Voxel memory against its peers on the same frames in the same run: CPU ms a frame, median, and ratios.

    python bench/bench_memory.py [FOLDER] [--open3d-python /path/to/python] [--torch-python /path/to/python]
                                 [--frames 60] [--rounds 2] [--quick]

Peers (``memory_peers.py``, each written anew) run in processes of their own, in turns with ours, in an interpreter that
has what they need; those for which there is none are skipped with the reason. One thread each. CPU time, because other
processes disturb it least; what they still do to caches and memory, they do to all.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import recorded
from memory_peers import FAR, NEAR, median_ms, patches, read_frames

VOXEL = 0.05
#: (peer, what it needs, components of features, how often slower than ours with these it should be at least)
PEERS = (
    ("open3d_blocks", "open3d", 0, 1.4), ("open3d_blocks", "open3d", 64, 1.0), ("torch_unique", "torch", 384, 8.0),
    ("numpy_dict", "", 384, 15.0), ("open3d_hashmap", "open3d", 384, None), ("conceptgraphs", "open3d", 0, None),
    ("vlmaps_loop", "", 384, None), ("tsdf_band", "", 0, None),
)  # fmt: skip


def ours(frames: list, K: np.ndarray, dim: int, size: float = VOXEL, stride: int = 1, kind: str = "bf16") -> float:
    """Fusion alone: a frame's voxels into the store, with features where ``dim`` is above 0."""
    from embodied_nav.geometry import Camera
    from embodied_nav.memory.voxels.fusion import FrameHasher, sighting_weights, upsert
    from embodied_nav.memory.voxels.store import VoxelStore
    from embodied_nav.memory.voxels.voxel_features import check_grid, fuse_frame

    h, w = frames[0][0].shape
    camera = Camera(w, h, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    ready = [(_metres(mm), color, T, i) for i, (mm, color, T) in enumerate(frames)]
    store, hasher = VoxelStore(1 << 22, feature_dim=dim, feature_type=kind), FrameHasher()
    grid = patches(dim)

    def step(f: tuple) -> None:
        voxels = hasher(f[0], f[1], camera, f[2], size, NEAR, FAR, stride)
        weights = sighting_weights(voxels, f[2][:3, 3], size, 2.0, 3)
        done = upsert(store, voxels, weights, np.array([f[3]]), 6.0, 1.0)
        if dim:
            fuse_frame(store, voxels, done.rows, weights, check_grid(grid, dim), camera, f[2], size, "mean")

    return median_ms(step, ready, passes=4)


def everything(frames: list, K: np.ndarray, width: int, stride: int, dim: int = 0) -> float:
    """All of a frame: fusion, carving, grid, local cloud, occupancy; a keyframe every twenty frames."""
    from embodied_nav.frames import Keyframe, RGBDFrame
    from embodied_nav.geometry import Camera
    from embodied_nav.memory import MemoryConfig, SpatialMemory

    h, w = frames[0][0].shape
    k = w // width
    camera = Camera(width, h // k, K[0, 0] / k, K[1, 1] / k, K[0, 2] / k, K[1, 2] / k)
    memory = SpatialMemory(MemoryConfig(stride=stride, feature_dim=dim))
    counter, grid = [0], patches(dim) if dim else None

    def step(f: tuple) -> None:
        counter[0] += 1
        frame = RGBDFrame(counter[0], camera, f[2], f[1][::k, ::k], f[0][::k, ::k])
        if counter[0] % 20 == 1:
            memory.add_keyframe(Keyframe(counter[0], frame, 0.5, 0, "overlap"))
        memory.integrate(frame, grid)
        memory.occupancy()

    return median_ms(step, [(_metres(mm), color, T) for mm, color, T in frames])


def _metres(mm: np.ndarray) -> np.ndarray:
    depth = mm.astype(np.float32) / np.float32(1000)
    depth[mm == 0] = np.nan
    return depth


def growth(frames: list, K: np.ndarray, dim: int, millions: float) -> dict[str, float]:
    """Integration of real frames into a small and into a large store, and the longest upsert on the way there."""
    from embodied_nav.geometry import Camera
    from embodied_nav.memory.voxels import voxel_features as F
    from embodied_nav.memory.voxels.fusion import FrameHasher, FrameVoxels, sighting_weights, upsert
    from embodied_nav.memory.voxels.keys import pack_array
    from embodied_nav.memory.voxels.store import VoxelStore

    h, w = frames[0][0].shape
    camera = Camera(w, h, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    ready, hasher = [(_metres(mm), color, T) for mm, color, T in frames], FrameHasher()
    store, grid = VoxelStore(1 << 24, feature_dim=dim), patches(dim)
    side = np.stack(np.meshgrid(np.arange(50), np.arange(50), [0, 1], indexing="ij"), -1).reshape(-1, 3)
    sums, numbers = (
        np.full((len(side), 8), 10.0),
        np.arange(len(side), dtype=np.int32) % (grid.shape[0] * grid.shape[1]),
    )
    ones, bits = np.ones(len(side), np.float32), F.encode(grid.reshape(1200, dim))

    def fill(origin: np.ndarray) -> float:
        voxels = FrameVoxels(pack_array(side + origin), sums, 10 * len(side))
        start = time.thread_time()
        done = upsert(store, voxels, ones, np.array([1]), 6.0, 1.0)
        if dim:
            F.add(store, done.rows, numbers, ones, bits, "mean")
        return (time.thread_time() - start) * 1e3

    def integrate(f: tuple) -> None:
        voxels = hasher(f[0], f[1], camera, f[2], VOXEL, NEAR, FAR)
        weights = sighting_weights(voxels, f[2][:3, 3], VOXEL, 2.0, 3)
        done = upsert(store, voxels, weights, np.array([1]), 6.0, 1.0)
        if dim:
            F.fuse_frame(store, voxels, done.rows, weights, grid, camera, f[2], VOXEL, "mean")

    integrate(ready[0])
    fill(np.array([5000, 0, 0]))
    small = median_ms(integrate, ready)
    resident = len(store)
    cells = [(50 * x + 1000, 50 * y, 4 * z) for x in range(48) for y in range(48) for z in range(220)]
    slowest = max(fill(np.array(c)) for c in cells[: int(millions * 1e6 / len(side))])
    large = median_ms(integrate, ready)
    return {
        f"D = {dim}: frames into {resident / 1e3:.0f} thousand voxels": small,
        f"D = {dim}: frames into {len(store) / 1e6:.1f} million voxels": large,
        f"D = {dim}: large / small (at most 1.5)": large / small,
        f"D = {dim}: longest upsert of 5,000 on the way (at most 30)": slowest,
        f"D = {dim}: bytes a voxel": store.nbytes / len(store),
    }


def bounded_drive(frames: list, K: np.ndarray, dim: int, megabytes: float, count: int = 240) -> dict[str, float]:
    """A drive of 15 cm a frame, there and back, under a bound: the longest that making room took for one frame.

    Then jumps from one end to the other, each of which needs all that its frame sees at once.
    """
    from embodied_nav.frames import RGBDFrame
    from embodied_nav.geometry import Camera
    from embodied_nav.memory import MemoryConfig, SpatialMemory, warm_up

    h, w = frames[0][0].shape
    camera = Camera(w, h, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    warm_up()
    memory = SpatialMemory(MemoryConfig(feature_dim=dim, max_mb=megabytes, max_depth=4.0, carve=False))
    ready, grid = [(_metres(mm), color, T) for mm, color, T in frames[:1]], patches(dim) if dim else None
    prepare, times = memory.state.voxels.swapper.prepare, []
    # What another memory leaves behind, a hundred MB of a file among it, is not this one's to clear away.
    gc.collect()

    def timed(*given) -> np.ndarray:
        start = time.thread_time()
        back = prepare(*given)
        times.append((time.thread_time() - start) * 1e3)
        return back

    memory.state.voxels.swapper.prepare = timed
    most, end = 0, 0.15 * (count // 2)
    there_and_back = [0.15 * min(i, count - i) for i in range(count)]
    for i, x in enumerate((*there_and_back, end, 0.0, end, 0.0)):
        depth, color, T = ready[0]
        T = T.copy()
        T[0, 3] += x
        memory.integrate(RGBDFrame(i + 1, camera, T, color, depth), grid)
        most = max(most, memory.state.voxels.swapper.voxels)
    name = f"D = {dim}, {megabytes:g} MB:"
    return {
        f"{name} longest to make room for a frame (at most 30)": max(times[:count]),
        f"{name} median": float(np.median(times[:count])),
        f"{name} longest after a jump of {end:g} m": max(times[count:]),
        f"{name} thousand voxels on disk at most": most / 1e3,
        f"{name} MB at the end": memory.state.voxels.store.nbytes / 1e6,
    }


# ---- peers ----


def run_peer(python: str, folder: Path, peer: str, frames: int, dim: int) -> float | str:
    """The peer's figure from an interpreter that has what it needs, or the reason why there is none."""
    script = Path(__file__).with_name("memory_peers.py")
    count = {"vlmaps_loop": 3, "tsdf_band": 4, "numpy_dict": 10}.get(peer, frames)
    dim = 0 if peer == "open3d_blocks" else dim
    command = [python, str(script), str(folder), peer, "--frames", str(count), "--dim", str(dim)]
    one = {k: "1" for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **one}, check=False)
    except OSError as error:
        return f"{python}: {error.strerror}"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    return float(done.stdout.splitlines()[-1])


def compare(args: argparse.Namespace, frames: list, K: np.ndarray) -> None:
    """Each peer in turns with ours; the best of the rounds of either."""
    pythons = {"open3d": args.open3d_python, "torch": args.torch_python, "": sys.executable}
    for peer, need, dim, wanted in PEERS:
        mine, theirs = [], []
        for _ in range(args.rounds):
            mine.append(ours(frames, K, dim))
            theirs.append(run_peer(pythons[need], args.folder, peer, args.frames, dim))
        if isinstance(theirs[0], str):
            print(f"  {peer}, D = {dim}: skipped ({theirs[0]})")
            continue
        ratio = min(theirs) / min(mine)
        goal = f" (goal: {wanted:g})" if wanted else ""
        print(
            f"  {peer:16} ours with D = {dim:<4} {min(mine):8.2f}   peer {min(theirs):9.2f}   {ratio:7.2f} times{goal}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recorded.add_folder(parser)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--open3d-python", default=sys.executable)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--quick", action="store_true", help="without growth to 10 million voxels")
    args = parser.parse_args()
    if not recorded.are_there(args.folder):
        return
    frames = read_frames(args.folder, args.frames)
    K = np.loadtxt(args.folder / "camera-intrinsics.txt")
    shape = frames[0][0].shape
    print(f"{len(frames)} frames of {shape[1]}x{shape[0]}, 5 cm, stride 1, one thread, median CPU ms a frame")
    compare(args, frames, K)
    rows = {f"ours, {size * 100:g} cm, stride {s}": ours(frames, K, 0, size, s) for size, s in
            ((0.05, 2), (0.05, 4), (0.02, 1))}  # fmt: skip
    rows["ours, D = 384 in float32"] = ours(frames, K, 384, kind="f32")
    rows["ours, all of a frame (carving, grid, local cloud), 640x480"] = everything(frames, K, shape[1], 1)
    rows["ours, all of a frame, 640x480, D = 64 with every frame"] = everything(frames, K, shape[1], 1, 64)
    rows["ours, all of a frame, 320x240"] = everything(frames, K, shape[1] // 2, 1)
    if not args.quick:
        rows |= growth(frames, K, 0, 10.0) | growth(frames, K, 64, 10.0)
        rows |= bounded_drive(frames, K, 0, 12.0) | bounded_drive(frames, K, 384, 120.0)
    for name, value in rows.items():
        print(f"  {name:62} {value:9.2f}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
