"""One apartment driven through for hours: what a frame costs, and how keyframes, memory and file grow.

    python bench/bench_all_day.py --metres 600                 # the default, and with every keyframe kept, side by side
    python bench/bench_all_day.py --laps 4                     # the same rooms again and again with true poses

Random drives with the simulator's drift and depth noise at 5 frames a simulated second, 320x240, our SLAM, the
simulator's perception, one file written continuously. A line for every ``--every`` metres. Times are CPU time of this
process (rendering left out, the writer's thread included).
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_slam import tour

from embodied_nav.evaluation.localization import SlamLocalization
from embodied_nav.evaluation.object_score import score_objects
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import RetentionConfig, SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.perception.simulator import SimulatorPerception
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames
from embodied_nav.sim.tours import tour as lap_around

_CAMERA = Camera(320, 240, 277.0, 277.0, 159.5, 119.5)
#: Things count as seen when so many pixels of them were nearer than this (m).
_PIXELS, _NEAR = 200, 3.0


class Robot:
    """SLAM and memory of one robot on its way.

    Args:
        path: of the memory file. keep_all: no keyframe is ever dropped.
    """

    def __init__(self, scene: int, camera: Camera, path: Path, keep_all: bool) -> None:
        self.things = {o.instance: o for o in describe(str(scene)).objects}
        parameters = {"slam.refresh_distance": 0.0} if keep_all else {}
        self.where = SlamLocalization(camera, parameters=parameters)
        self.memory = SpatialMemory(None, RetentionConfig(covered=1.0) if keep_all else None)
        self.gate, self.previous, self.camera = KeyframeGate(), None, camera
        self.eyes = SimulatorPerception()
        self.eyes.set_instances({i: (o.category, o.color) for i, o in self.things.items()})
        self.writer = MemoryWriter(self.memory, path)
        self.seen: set[int] = set()

    def see(self, observation) -> tuple[float, float]:
        """CPU seconds of SLAM and of all else for one frame."""
        begun = time.process_time()
        correction = self.where.see(observation)
        middle = time.process_time()
        if correction is not None:
            self._correct(correction.stamps, correction.poses)
        if self.where.tracking.placed:
            T = self.where.T_map_odom @ observation.T_odom_base @ observation.T_base_camera
            self.remember(RGBDFrame(
                observation.stamp, self.camera, T, observation.color, observation.depth, observation.instance_ids
            ))  # fmt: skip
        return middle - begun, time.process_time() - middle

    def _correct(self, stamps: np.ndarray, poses: np.ndarray) -> None:
        moved = {}
        for keyframe in self.memory.keyframes.values():
            i = int(np.searchsorted(stamps, keyframe.stamp))
            if i < len(stamps) and stamps[i] == keyframe.stamp:
                moved[keyframe.id] = poses[i]
        self.memory.move_keyframes(moved)

    def remember(self, frame: RGBDFrame) -> None:
        """Takes in a frame with its pose."""
        self.memory.integrate(frame)
        keyframe = self.gate.process(frame)
        if keyframe is None:
            return
        self.memory.add_keyframe(keyframe)
        self.memory.add_delta(self.eyes.perceive(self.previous, keyframe, ""))
        self.previous = keyframe
        near = np.where(frame.depth < _NEAR, frame.instance_ids, 0)
        self.seen.update(np.flatnonzero(np.bincount(near.ravel()) >= _PIXELS).tolist())

    def f1(self, T_scene_map: np.ndarray) -> float:
        """Of the present objects against those that were in view."""
        truth = [o for i, o in self.things.items() if i in self.seen]
        return score_objects(self.memory.objects(), truth, T_scene_map).f1


@dataclass
class Stretch:
    """What a stretch of the way left behind."""

    metres: float
    frames: int
    slam_keyframes: int
    keyframes: int
    slam_ms: float
    rest_ms: float
    p99_ms: float
    longest_ms: float
    ram: float
    file: float
    error: float
    f1: float

    def __str__(self) -> str:
        return (
            f"{self.metres:6.0f} {self.frames:6d} {self.slam_keyframes:6d} {self.keyframes:6d} {self.slam_ms:7.1f} "
            f"{self.rest_ms:7.1f} {self.p99_ms:6.0f} {self.longest_ms:7.0f} {self.ram:6.0f} {self.file:6.1f} "
            f"{self.error:7.3f} {self.f1:6.3f}"
        )


def drive(scene: int, metres: float, every: float, path: Path, keep_all: bool) -> Iterator[Stretch]:
    """A stretch for every so many metres of a random drive."""
    robot, costs, errors, gone, told, last = None, [], [], 0.0, every, None
    for observation, T_true, camera, T_scene_map in tour(scene, metres):
        robot = robot or Robot(scene, camera, path, keep_all)
        costs.append(robot.see(observation))
        T = robot.where.T_map_odom @ observation.T_odom_base @ observation.T_base_camera
        errors.append(float(np.linalg.norm((T - T_true)[:3, 3])))
        gone += 0.0 if last is None else float(np.linalg.norm((T_true - last)[:3, 3]))
        last = T_true
        if gone < told:
            continue
        told += every
        robot.writer.flush()
        ms = 1000.0 * np.array(costs)
        yield Stretch(
            gone, len(ms), len(robot.where.slam.keyframe_poses()), len(robot.memory.keyframes), *ms.mean(axis=0),
            float(np.percentile(ms.sum(axis=1), 99)), float(ms.sum(axis=1).max()), resident(), size(path),
            float(np.sqrt(np.mean(np.square(errors)))), robot.f1(T_scene_map),
        )  # fmt: skip
        costs, errors = [], []
    if robot is not None:
        robot.writer.close()


def lap_after_lap(scene: int, count: int, path: Path, keep_all: bool) -> Iterator[str]:
    """A line for each lap with a look around at places 1.8 m apart, in another order each time."""
    robot, stamp = Robot(scene, _CAMERA, path, keep_all), 200_000_000
    description, profile = describe(str(scene)), RobotProfile()
    navigable = NavigableMap(description, profile)
    for lap in range(count):
        poses = lap_around(navigable, rng=np.random.default_rng(lap))
        for frame in frames(description, poses, profile, _CAMERA, noise_seed=lap, first_stamp=stamp):
            robot.remember(frame)
        stamp = frame.stamp + 200_000_000
        robot.writer.flush()
        kept, objects = len(robot.memory.keyframes), len(robot.memory.objects())
        yield f"{lap + 1:4d} {kept:6d} {resident():6.0f} {size(path):6.1f} {objects:4d}"
    robot.writer.close()
    yield f"file closed: {size(path):.1f} MB"


def resident() -> float:
    """MB that this process holds in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def size(path: Path) -> float:
    """MB of the file with what is still beside it."""
    return sum(os.path.getsize(f) for f in path.parent.glob(path.name + "*")) / 1e6


def main() -> None:
    """Prints a line a stretch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--metres", type=float, default=600.0, help="of the whole drive (default: 600)")
    parser.add_argument("--every", type=float, default=100.0, help="metres of a line (default: 100)")
    parser.add_argument("--scene", type=int, default=1000, help="apartment (default: 1000)")
    parser.add_argument("--laps", type=int, help="so many laps with true poses instead")
    parser.add_argument("--alone", action="store_true", help="without the run that keeps every keyframe")
    args = parser.parse_args()
    for keep_all in (False,) if args.alone else (False, True):
        print("every keyframe kept" if keep_all else "keyframes dropped where newer ones hold what they saw")
        laps = " lap   kept     MB   file things"
        stretches = "metres frames   SLAM memory ms SLAM ms rest    p99 longest     MB file MB error m     F1"
        print(laps if args.laps else stretches, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "memory.db"
            driven = drive(args.scene, args.metres, args.every, path, keep_all)
            for line in lap_after_lap(args.scene, args.laps, path, keep_all) if args.laps else driven:
                print(line, flush=True)


if __name__ == "__main__":
    main()
