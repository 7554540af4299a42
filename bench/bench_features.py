"""Image features into voxels: what a keyframe's grid costs, against doing the same pixel by pixel in numpy and scipy.

    python bench/bench_features.py [FOLDER] [--frames N]

Each keyframe's frame is fused first; then its grid of patches goes into the voxels it hits, pooled with what they have.
The peers get the same depth, grid and order: every pixel's point gives its patch to the voxel that it lies in,
``numpy`` by ``np.add.at`` over pixels, ``scipy`` by a sparse matrix of counts (voxels x patches) times the grid. Both
keep sums in one table, by voxel key. CPU ms of one thread, median over keyframes; and the mean cosine of a voxel
in the memory with that of the peer: the memory takes one patch a voxel a frame, the peers average.
"""

from __future__ import annotations

import abc
import argparse
import time

import numpy as np
import recorded

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.memory import MemoryConfig, SpatialMemory, warm_up
from embodied_nav.memory.voxels.keys import pack_array
from embodied_nav.recordings import SevenScenes

#: (what, components, rows and columns of patches): as of DINOv2-S, SigLIP2-B and VGGT at their default sizes.
GRIDS = (("DINOv2-S", 384, 12, 16), ("SigLIP2-B", 768, 10, 14), ("VGGT", 2048, 16, 21))
#: How often slower the better peer should be, at least.
LEAST = 2.0


class Peer(abc.ABC):
    """Sums and counts of features by voxel key; ``pixels`` says how a frame's pixels get into them."""

    def __init__(self, dim: int, config: MemoryConfig) -> None:
        self.config, self.rows = config, {}
        self.sums, self.counts = np.zeros((1 << 16, dim), np.float32), np.zeros(1 << 16, np.float32)

    def add(self, frame: RGBDFrame, grid: np.ndarray) -> None:
        """Takes one frame."""
        keys, patches = pixels(frame, grid, self.config)
        unique, inverse = np.unique(keys, return_inverse=True)
        rows = np.array([self.rows.setdefault(key, len(self.rows)) for key in unique.tolist()])
        while rows.max() >= len(self.counts):
            self.sums, self.counts = (np.concatenate([a, np.zeros_like(a)]) for a in (self.sums, self.counts))
        self.pool(rows, inverse, patches, grid.reshape(-1, grid.shape[2]))

    @abc.abstractmethod
    def pool(self, rows: np.ndarray, inverse: np.ndarray, patches: np.ndarray, flat: np.ndarray) -> None:
        """Adds ``flat[patches[i]]`` to row ``rows[inverse[i]]``."""

    def features(self, keys: np.ndarray) -> np.ndarray:
        """N x D means of N keys, zeros where none is."""
        rows = np.array([self.rows.get(key, -1) for key in keys.tolist()])
        found = self.sums[rows] / np.maximum(self.counts[rows], 1)[:, None]
        found[rows < 0] = 0
        return found


class Numpy(Peer):
    """Each pixel adds its patch."""

    def pool(self, rows, inverse, patches, flat):
        """See :class:`Peer`."""
        for i in range(0, len(patches), 20_000):  # all at once would take gigabytes
            part = slice(i, i + 20_000)
            np.add.at(self.sums, rows[inverse[part]], flat[patches[part]])
        np.add.at(self.counts, rows[inverse], 1)


class Scipy(Peer):
    """How many pixels of each patch a voxel got, times the patches."""

    def pool(self, rows, inverse, patches, flat):
        """See :class:`Peer`."""
        from scipy.sparse import coo_array

        ones = np.ones(len(patches), np.float32)
        counts = coo_array((ones, (inverse, patches)), shape=(len(rows), len(flat))).tocsr()
        self.sums[rows] += counts @ flat
        self.counts[rows] += counts.sum(1)


def pixels(frame: RGBDFrame, grid: np.ndarray, config: MemoryConfig) -> tuple[np.ndarray, np.ndarray]:
    """Voxel key and patch number of every pixel with depth."""
    depth, T = frame.depth, frame.T_map_camera
    v, u = np.nonzero((depth >= config.min_depth) & (depth <= config.max_depth))
    points = frame.camera.unproject(depth)[v, u] @ T[:3, :3].T.astype(np.float32) + T[:3, 3].astype(np.float32)
    rows = (v + 0.5) * grid.shape[0] // depth.shape[0]
    columns = (u + 0.5) * grid.shape[1] // depth.shape[1]
    return pack_array(np.floor(points / config.voxel_size)), (rows * grid.shape[1] + columns).astype(np.int64)


def measure(frames: list[RGBDFrame], dim: int, rows: int, columns: int) -> dict[str, tuple[float, float]]:
    """{who: (median CPU ms a keyframe, mean cosine with the memory's features)}."""
    config = MemoryConfig(feature_dim=dim)
    memory, peers = SpatialMemory(config), {"numpy": Numpy(dim, config), "scipy": Scipy(dim, config)}
    rng, times = np.random.default_rng(0), {name: [] for name in ("memory", *peers)}
    for i, frame in enumerate(frames):
        grid = rng.normal(size=(rows, columns, dim)).astype(np.float32)
        memory.add_keyframe(Keyframe(i, frame, 0.0, 0, "bench"))
        memory.integrate(frame)
        times["memory"].append(timed(lambda i=i, grid=grid: memory.add_features(i, grid)))
        for name, peer in peers.items():
            times[name].append(timed(lambda peer=peer, frame=frame, grid=grid: peer.add(frame, grid)))
    positions = memory.voxels().positions
    ours = memory.features(positions)
    given = np.linalg.norm(ours, axis=1) > 0
    keys = pack_array(np.floor(positions[given].astype(np.float64) / config.voxel_size))
    out = {"memory": (1e3 * float(np.median(times["memory"])), 1.0)}
    for name, peer in peers.items():
        out[name] = (1e3 * float(np.median(times[name])), cosine(ours[given], peer.features(keys)))
    return out


def frame_of(sequence: SevenScenes, index: int) -> RGBDFrame:
    """A recorded frame with its given pose."""
    raw = sequence.read(index)
    depth = raw.depth.astype(np.float32) / 1000.0
    depth[raw.depth == 0] = np.nan
    return RGBDFrame(raw.stamp, sequence.camera, raw.T_map_camera, raw.color, depth)


def timed(do) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    do()
    return time.process_time() - start


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine of rows, of those that are not zero in either."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    some = lengths > 0
    return float(((a * b).sum(1)[some] / lengths[some]).mean())


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    recorded.add_folder(parser)
    parser.add_argument("--frames", type=int, default=6, help="keyframes, spread over the recording (default: 6)")
    args = parser.parse_args()
    if not recorded.are_there(args.folder):
        return
    sequence = SevenScenes(args.folder)
    chosen = np.linspace(0, len(sequence) - 1, args.frames).round().astype(int)
    frames = [frame_of(sequence, int(i)) for i in chosen]
    warm_up(MemoryConfig(feature_dim=2))
    height, width = frames[0].depth.shape
    print(f"{len(frames)} keyframes of {width}x{height}, CPU ms a keyframe, median")
    for what, dim, rows, columns in GRIDS:
        found = measure(frames, dim, rows, columns)
        best = min(found[name][0] for name in ("numpy", "scipy"))
        told = ", ".join(
            f"{name} {ms:.1f}" + f" (cosine {alike:.2f})" * (name != "memory") for name, (ms, alike) in found.items()
        )
        ratio = best / found["memory"][0]
        verdict = "" if ratio >= LEAST else f", below {LEAST:g}"
        print(f"{what:10} {rows}x{columns}x{dim}: {told}; the better peer takes {ratio:.1f} times as long{verdict}")


if __name__ == "__main__":
    main()
