"""A corrected map of many keyframes: beside integrating all frames again, and beside a naive replay.

    python bench/bench_loop_closure.py [FOLDER] [--keyframes 1000] [--frames 5] [--width 640] [--dim 0]

Each keyframe holds ``--frames`` real frames of the folder, ``--width`` pixels wide; the sequence is repeated, every
round in a place of its own, so that the map grows as a building does. Measured: all keyframes of a map that drifted
moved to where they belong; the last fifth of them; what frames and questions that come meanwhile wait; the naive way
(every point of every cloud through numpy.unique, all blocks anew); every frame integrated again (measured on one
round). And how alike a map that drifted and was corrected and one of the true poses are (one round), with and without
carving: all voxels, those that are occupied (evidence of ``min_evidence`` at least), and the occupancy grid.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import recorded

ROUND = 8.0  # m between two rounds


def frames_of(folder: Path, count: int, width: int = 640) -> list:
    """Real frames, every n-th pixel of every n-th row."""
    from memory_peers import read_frames

    from embodied_nav.frames import RGBDFrame
    from embodied_nav.geometry import Camera

    K = np.loadtxt(folder / "camera-intrinsics.txt")
    out = []
    for i, (mm, color, T) in enumerate(read_frames(folder, count)):
        n = mm.shape[1] // width
        mm, color = mm[::n, ::n], np.ascontiguousarray(color[::n, ::n])
        depth = np.where(mm == 0, np.float32(np.nan), mm.astype(np.float32) / 1000)
        camera = Camera(mm.shape[1], mm.shape[0], K[0, 0] / n, K[1, 1] / n, K[0, 2] / n, K[1, 2] / n)
        out.append(RGBDFrame(i + 1, camera, T, color, depth))
    return out


def corrections(n: int) -> list[np.ndarray]:
    """A drift taken out: small, different for every keyframe, in all six degrees of freedom."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    out = []
    for _ in range(n):
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = Rotation.from_rotvec(rng.normal(0, 0.05, 3)).as_matrix(), rng.normal(0, 0.2, 3)
        out.append(T)
    return out


def build(frames: list, each: int, moved: list[np.ndarray] | None, config):
    """One round as a memory."""
    from embodied_nav.frames import Keyframe
    from embodied_nav.memory import SpatialMemory

    memory = SpatialMemory(config)
    rng = np.random.default_rng(1)
    start = time.process_time()
    for i, f in enumerate(frames):
        if moved is not None:
            f = dataclasses.replace(f, T_map_camera=moved[i // each] @ f.T_map_camera)
        if i % each == 0:
            memory.add_keyframe(Keyframe(i // each, f, 0.5, 0, "overlap"))
        features = rng.normal(size=(12, 16, config.feature_dim)).astype(np.float32) if config.feature_dim else None
        memory.integrate(f, features if i % each == 0 else None)
    return memory, time.process_time() - start


def repeated(memory, count: int):
    """The same keyframes over and over, each round in a place of its own; arrays are shared between rounds."""
    from embodied_nav.memory.records import KeyframeRecord

    clouds, first = memory.state.local_clouds(), len(memory.keyframes)
    memory.state.close_cloud()
    memory.state.content.clouds = []
    for i in range(count):
        T = np.eye(4)
        T[0, 3] = ROUND * (i // first)
        cloud = clouds[i % first]
        pose = T @ cloud.T_map_cloud
        memory.state.content.clouds.append(dataclasses.replace(cloud, keyframe_id=i, T_map_cloud=pose))
        memory.keyframes[i] = KeyframeRecord(i, cloud.stamp, pose, "overlap", 0.5, 0, b"")
    return memory


def naive(memory, poses: dict[int, np.ndarray]) -> float:
    """Clear, then every cloud's points through numpy.unique into a dictionary; no carving. Seconds of CPU.

    Measured on some clouds, as if all took as long.
    """
    from embodied_nav.memory.submaps.local_clouds import cloud_points

    start = time.process_time()
    table: dict[int, np.ndarray] = {}
    some = memory.state.content.clouds[:: max(len(memory.state.content.clouds) // 40, 1)]
    for cloud in some:
        T = poses[cloud.keyframe_id]
        p = cloud_points(cloud, 0.05) @ T[:3, :3].T + T[:3, 3]
        ijk = np.floor(p / 0.05).astype(np.int64) + (1 << 20)
        keys, inverse = np.unique((ijk[:, 0] << 42) | (ijk[:, 1] << 21) | ijk[:, 2], return_inverse=True)
        sums = np.stack([np.bincount(inverse, p[:, k]) for k in range(3)], 1)
        for key, row in zip(keys.tolist(), sums, strict=True):
            old = table.get(key)
            table[key] = row if old is None else old + row
    return (time.process_time() - start) * len(memory.state.content.clouds) / len(some)


def alike(a, b) -> tuple[float, float, float]:
    """IoU of all voxels, of the occupied ones, of the cells that the grid calls occupied."""
    out = []
    for least in (-np.inf, a.config.min_evidence):
        rows = [m.state.voxels.store.rows for m in (a, b)]
        ka, kb = (r["key"][(r["key"] >= 0) & (r["evidence"] >= least)] for r in rows)
        out.append(len(np.intersect1d(ka, kb)) / len(np.union1d(ka, kb)))
    cells = []
    for grid in (m.occupancy() for m in (a, b)):
        y, x = np.nonzero(grid.data == 100)
        origin = np.rint(np.asarray(grid.origin) / grid.resolution).astype(int)
        cells.append(set(zip((x + origin[0]).tolist(), (y + origin[1]).tolist(), strict=True)))
    return out[0], out[1], len(cells[0] & cells[1]) / max(len(cells[0] | cells[1]), 1)


def beside(memory, poses: dict[int, np.ndarray], frames: list) -> tuple[list[float], list[float]]:
    """Milliseconds that frames and questions take while a correction runs, and while none does."""
    from threading import Thread

    def once(i: int) -> float:
        f = dataclasses.replace(frames[i % len(frames)], stamp=memory.stamp + 1)
        start = time.perf_counter()
        memory.integrate(f)
        memory.voxels((f.T_map_camera[:3, 3] - 1.0, f.T_map_camera[:3, 3] + 1.0))
        return 1e3 * (time.perf_counter() - start)

    quiet = [once(i) for i in range(20)]
    correction = memory.begin_correction(poses)
    thread = Thread(target=correction.run)
    thread.start()
    busy = []
    while thread.is_alive():
        busy.append(once(len(busy)))
        time.sleep(0.05)
    memory.apply(correction)
    return busy, quiet


def main() -> None:
    from embodied_nav.memory import MemoryConfig

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recorded.add_folder(parser)
    parser.add_argument("--keyframes", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=5, help="frames a keyframe")
    parser.add_argument("--width", type=int, default=640, choices=(160, 320, 640))
    parser.add_argument("--dim", type=int, default=0)
    parser.add_argument("--round", type=int, default=20, help="keyframes that differ")
    args = parser.parse_args()
    if not recorded.are_there(args.folder):
        return
    frames = frames_of(args.folder, args.round * args.frames, args.width)
    for carve in (False, True):
        config = MemoryConfig(carve=carve, feature_dim=args.dim)
        moved = corrections(args.round)
        drifted, _ = build(frames, args.frames, moved, config)
        truth, _ = build(frames, args.frames, None, config)
        before = alike(drifted, truth)
        drifted.move_keyframes({i: k.T_map_camera for i, k in truth.keyframes.items()})
        print(f"IoU with a map of the true poses, {'carving' if carve else 'no carving'}: all voxels, occupied, grid")
        for name, values in (("drifted", before), ("corrected", alike(drifted, truth))):
            print(f"  {name:9s} " + " ".join(f"{v:.4f}" for v in values))
    config = MemoryConfig(feature_dim=args.dim)
    memory, seconds = build(frames, args.frames, None, config)
    again = seconds / args.round * args.keyframes
    memory = repeated(memory, args.keyframes)
    memory.rebuild_from_keyframes({})
    hits = np.mean([len(c.hits) for c in memory.state.content.clouds])
    whole = np.mean([sum(v.color is not None for v in c.views) for c in memory.state.content.clouds])
    views = np.mean([len(c.views) for c in memory.state.content.clouds]) - whole
    print(f"{args.keyframes} keyframes of {args.frames} frames, D = {args.dim}: {len(memory)} voxels,")
    print(f"  {whole:.1f} whole frames, {hits:.0f} cells and {views:.1f} views a keyframe")
    right = {i: k.T_map_camera.copy() for i, k in memory.keyframes.items()}
    drift = {i: c @ right[i] for i, c in enumerate(corrections(args.keyframes))}
    for name, least in (("all keyframes", 0.0), ("the last fifth", 0.8)):
        chosen = {i for i in right if i >= least * args.keyframes}
        best = np.full((2, 2), np.inf)  # beside the running map, the exchange; wall, CPU
        for _ in range(3):
            memory.move_keyframes({i: drift[i] for i in chosen})
            times = [(time.perf_counter(), time.process_time())]
            correction = memory.begin_correction({i: right[i] for i in chosen})
            correction.run()
            times.append((time.perf_counter(), time.process_time()))
            memory.apply(correction)
            times.append((time.perf_counter(), time.process_time()))
            best = np.minimum(best, np.diff(times, axis=0))
        print(f"  {name} moved: {best[0, 0]:.2f} s ({best[0, 1]:.2f} s of CPU) beside the running map,")
        print(f"    {best[1, 0] * 1e3:.0f} ms ({best[1, 1] * 1e3:.0f} ms of CPU) to exchange it")
        if name == "all keyframes":
            cost = best[:, 1].sum()
    slow = naive(memory, drift)
    print(f"  naive replay in numpy, no carving: {slow:.1f} s of CPU, {slow / cost:.1f} times ours")
    print(f"  integrating all frames again: {again:.1f} s of CPU, {again / cost:.1f} times ours")
    if args.dim == 0:
        busy, quiet = beside(memory, drift, frames)
        for name, ms in (("while it runs", busy), ("without", quiet)):
            what = f"median {np.median(ms):.1f}, worst {max(ms):.1f} ms" if ms else "none came"
            print(f"  a frame and a question {name}: {what}")


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
    main()
