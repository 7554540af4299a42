"""What comes out of a large memory and how fast: search by feature, views, changed blocks, packing, tokens. CPU ms.

    python bench/bench_retrieval.py [--voxels 1000000] [--dim 384]

One thread: OPENBLAS_NUM_THREADS=1 is set for numpy, the peer of the search. The best of some runs each.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # reads the variable when it is imported

SIZE = 0.05


def best_ms(call, runs: int = 12) -> float:
    """The shortest of some runs, ms of CPU time."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def hilly_ground(count: int) -> np.ndarray:
    """count x 3 int64 voxels of a surface, place after place as a robot would see them."""
    side = int(np.ceil(count**0.5))
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    z = 10 * np.sin(x / 40) + 10 * np.cos(y / 30)
    voxels = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.int64)[:count]
    return voxels[np.argsort(voxels[:, 0] // 50 * 1000 + voxels[:, 1] // 50, kind="stable")]


def filled(count: int, dim: int):
    """A memory with ``count`` voxels and random features."""
    from embodied_nav.memory import MemoryConfig, SpatialMemory
    from embodied_nav.memory.voxels import voxel_features as F
    from embodied_nav.memory.voxels.fusion import FrameVoxels, upsert
    from embodied_nav.memory.voxels.keys import pack_array

    memory, rng = SpatialMemory(MemoryConfig(feature_dim=dim)), np.random.default_rng(0)
    for part in np.array_split(hilly_ground(count), max(1, count // 5000)):
        sums = np.tile([0.1, 0.1, 0.1, 500, 600, 700, 5, 0], (len(part), 1))
        ones = np.ones(len(part), np.float32)
        done = upsert(memory.state.voxels.store, FrameVoxels(pack_array(part), sums, 1), ones, np.array([1]), 6.0, 1.0)
        grid = F.encode(rng.standard_normal((len(part), dim), np.float32))
        F.add(memory.state.voxels.store, done.rows, np.arange(len(part), dtype=np.int32), ones, grid, "mean")
    return memory


def searching(memory, dim: int) -> dict[str, float]:
    """Ours against numpy: float32 features, one product, argpartition."""
    from embodied_nav.memory.query.retrieval import SearchIndex, search
    from embodied_nav.memory.voxels.voxel_features import decode

    store, index, rng = memory.state.voxels.store, SearchIndex(), np.random.default_rng(1)
    questions = rng.standard_normal((5, dim), np.float32)
    first = best_ms(lambda: search(store, questions[0], 50, index), 1)
    ours = best_ms(lambda: search(store, questions[0], 50, index))
    features = decode(store.features)
    lengths = np.linalg.norm(features, axis=1)

    def brute(question: np.ndarray) -> np.ndarray:
        cosines = features @ (question / np.linalg.norm(question)) / lengths
        top = np.argpartition(-cosines, 50)[:50]
        return top[np.argsort(-cosines[top])]

    numpy = best_ms(lambda: brute(questions[0]), 6)
    found = [len(np.intersect1d(search(store, q, 50, index)[0], brute(q))) for q in questions]
    return {
        "cosine top 50, first search (copies all features)": first,
        "cosine top 50": ours,
        "the same, numpy float32": numpy,
        "ours / numpy (at most 0.5)": ours / numpy,
        "recall at 50 (at least 0.99)": float(np.mean(found)) / 50,
    }


def looking(memory) -> dict[str, float]:
    """A view, changed blocks by share changed, the whole map, tokens."""
    from embodied_nav.geometry import Camera
    from embodied_nav.memory.query.answering import Frustum
    from embodied_nav.memory.query.retrieval import rows_in_view
    from embodied_nav.memory.voxels.packing import POINT, pack_points

    store = memory.state.voxels.store
    T = np.eye(4)
    T[:3, :3] = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    T[:3, 3] = [10.0, 25.0, 1.0]
    frustum = Frustum(Camera(640, 480, 525.0, 525.0, 319.5, 239.5), T, 5.0)
    out = {f"view of {len(rows_in_view(store, frustum, SIZE))} voxels (at most 1)": best_ms(
        lambda: rows_in_view(store, frustum, SIZE))}  # fmt: skip

    def update(token: int) -> None:
        v = memory.changed_blocks(token).voxels
        pack_points(v.positions, v.colors, v.labels, v.weights)

    clock = store.arrays.block_clock
    for share in (0.001, 0.01, 0.1, 1.0):
        token = store.clock
        store.tick()
        clock[: int(share * store.blocks)] = store.clock
        n = len(memory.changed_blocks(token).voxels)
        out[f"cloud of changed blocks, {n} voxels"] = best_ms(lambda token=token: update(token))
    v = memory.voxels()
    buffer = np.empty(len(v), POINT)
    out[f"pack {len(v)} voxels (at most 3)"] = best_ms(
        lambda: pack_points(v.positions, v.colors, v.labels, v.weights, buffer)
    )
    out["256 tokens of the view"] = best_ms(lambda: memory.tokens(256, frustum), 3)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    args = parser.parse_args()
    memory = filled(args.voxels, args.dim)
    for name, value in (looking(memory) | searching(memory, args.dim)).items():
        print(f"  {name:62} {value:9.3f}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
