"""The same apartment driven through again and again: what a frame costs, and how memory, file and keyframes grow.

python bench/bench_all_day.py --laps 12                 # keyframes retired (the default) and all kept, side by side
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embodied_nav.geometry import Camera
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import RetentionConfig, SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.perception.simulator import SimulatorPerception
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour

CAMERA = Camera(320, 240, 277.0, 277.0, 159.5, 119.5)


@dataclass
class Lap:
    """What one lap left behind: frames in it, keyframes and voxels kept, CPU ms a frame (mean, longest), MB."""

    frames: int
    keyframes: int
    voxels: int
    mean: float
    longest: float
    rss: float
    file: float
    objects: int


def laps(count: int, covered: float, scene_seed: int, folder: Path):
    """Drives laps, each by another way; yields a :class:`Lap` after each."""
    scene, robot = describe(str(scene_seed)), RobotProfile()
    navigable = NavigableMap(scene, robot)
    backend = SimulatorPerception()
    backend.set_instances({o.instance: (o.category, o.color) for o in scene.objects})
    memory, gate, previous = SpatialMemory(None, RetentionConfig(covered=covered)), KeyframeGate(), None
    path, stamp = folder / f"memory-{covered}.db", 200_000_000
    writer = MemoryWriter(memory, path)
    for lap in range(count):
        poses = tour(navigable, rng=np.random.default_rng(lap))
        costs = []
        for frame in frames(scene, poses, robot, CAMERA, noise_seed=lap, first_stamp=stamp):
            begun = time.process_time()
            memory.integrate(frame)
            keyframe = gate.process(frame)
            if keyframe is not None:
                memory.add_keyframe(keyframe)
                memory.add_delta(backend.perceive(previous, keyframe, ""))
                previous = keyframe
            costs.append(1000 * (time.process_time() - begun))
            stamp = frame.stamp
        stamp += 200_000_000
        writer.flush()
        yield Lap(
            len(costs), len(memory.keyframes), len(memory), float(np.mean(costs)), max(costs), resident(),
            os.path.getsize(path) / 1e6, len(memory.objects()),
        )  # fmt: skip
    writer.close()


def resident() -> float:
    """MB that this process holds in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Prints a line a lap."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--laps", type=int, default=6)
    parser.add_argument("--scene", type=int, default=1000)
    parser.add_argument("--covered", type=float, nargs="+", default=[RetentionConfig().covered, 1.0])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for covered in args.covered:
            print(
                f"covered {covered}: lap, frames, keyframes, voxels, CPU ms a frame (longest), RAM MB, file MB, objects"
            )
            for number, lap in enumerate(laps(args.laps, covered, args.scene, Path(folder)), 1):
                print(
                    f"{number:3d} {lap.frames:5d} {lap.keyframes:5d} {lap.voxels:7d} {lap.mean:6.1f} "
                    f"({lap.longest:5.1f}) {lap.rss:6.0f} {lap.file:6.1f} {lap.objects:3d}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
