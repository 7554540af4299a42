"""One apartment driven through for hours: what a frame costs, and how keyframes, memory and file grow.

    python bench/bench_all_day.py --metres 600                 # the default, and with every keyframe kept, side by side
    python bench/bench_all_day.py --laps 4                     # the same rooms again and again with true poses
    python bench/bench_all_day.py --laps 2 --max-mb 25 --alone # the same with a bound for all memory of the map
    python bench/bench_all_day.py --recording FOLDER --laps 5  # a recording five times over, with true poses
    python bench/bench_all_day.py --hours 24 --out day.jsonl --plot day.png       # a day of patrol, see patrol.py

Random drives with the simulator's drift and depth noise at 5 frames a simulated second, 320x240, our SLAM, the
simulator's perception, one file written continuously. A line for every ``--every`` metres. Times are CPU time of this
process (rendering left out, the writer's thread included).

A day of patrol: 5 frames a simulated second at 240x180, SLAM, drift and noise; rounds, goals by name, waiting at the
charger; each hour furniture is carried off, brought or put elsewhere, people pass, lights change. The program is ended
and started again after each quarter of the hours, and killed (-9) after seven eighths of them.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from bench_keyframes import load
from bench_slam import tour
from patrol import hours, resident, size

from embodied_nav.evaluation.localization import SlamLocalization
from embodied_nav.evaluation.object_score import score_objects
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import MemoryConfig, RetentionConfig, SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.perception.simulator import SimulatorPerception
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames
from embodied_nav.sim.tours import tour as lap_around
from embodied_nav.slam import look_of

#: Pixels of the camera on patrol.
_SIZE = (240, 180)
_CAMERA = Camera(320, 240, 277.0, 277.0, 159.5, 119.5)
#: Things count as seen when so many pixels of them were nearer than this (m).
_PIXELS, _NEAR = 200, 3.0


class Robot:
    """SLAM and memory of one robot on its way.

    Args:
        path: of the memory file. keep_all: no keyframe is ever dropped. max_mb: bound of the memory.
    """

    def __init__(self, scene: int, camera: Camera, path: Path, keep_all: bool, max_mb: float = 0.0) -> None:
        self.things = {o.instance: o for o in describe(str(scene)).objects}
        parameters = {"slam.refresh_distance": 0.0} if keep_all else {}
        self.where = SlamLocalization(camera, parameters=parameters)
        self.memory = SpatialMemory(MemoryConfig(max_mb=max_mb), RetentionConfig(covered=1.0) if keep_all else None)
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


def lap_after_lap(scene: int, count: int, path: Path, keep_all: bool, max_mb: float) -> Iterator[str]:
    """A line for each lap with a look around at places 1.8 m apart, in another order each time."""
    robot, stamp = Robot(scene, _CAMERA, path, keep_all, max_mb), 200_000_000
    description, profile = describe(str(scene)), RobotProfile()
    navigable = NavigableMap(description, profile)
    for lap in range(count):
        poses, costs, most = lap_around(navigable, rng=np.random.default_rng(lap)), [], 0
        for frame in frames(description, poses, profile, _CAMERA, noise_seed=lap, first_stamp=stamp):
            begun = time.thread_time()
            robot.remember(frame)
            costs.append(1e3 * (time.thread_time() - begun))
            most = max(most, robot.memory.usage.total)
        stamp = frame.stamp + 200_000_000
        robot.writer.flush()
        kept, objects = len(robot.memory.keyframes), len(robot.memory.objects())
        yield (
            f"{lap + 1:4d} {kept:6d} {most / 1e6:6.1f} {size(path):6.1f} {objects:6d} {np.mean(costs):6.1f} "
            f"{max(costs):7.0f}"
        )
    robot.writer.close()
    yield f"file closed: {size(path):.1f} MB"


def again_and_again(folder: Path, count: int, path: Path) -> Iterator[str]:
    """A line for each time that a recording (7-Scenes) is remembered once more, as if the camera went round again."""
    memory, gate, stamp = SpatialMemory(), KeyframeGate(), 0
    writer, seen = MemoryWriter(memory, path), load(folder, 1_000_000)
    for lap in range(count):
        for frame in seen:
            stamp += 200_000_000
            here = replace(frame, stamp=stamp)
            memory.integrate(here)
            keyframe = gate.process(here)
            if keyframe is not None:
                memory.add_look(memory.add_keyframe(keyframe), **look_of(here))
        writer.flush()
        yield f"{lap + 1:4d} {len(memory.keyframes):6d} {memory.usage.total / 1e6:6.1f} {size(path):6.1f}"
    writer.close()
    yield f"file closed: {size(path):.1f} MB"


def patrol(building: str, last: int, out: Path) -> None:
    """A day of patrol, each shift a process of its own; adds a line of JSON an hour to ``out``."""
    if out.exists():
        raise SystemExit(f"{out} is there already; give another file")
    quarter, killed_after = max(last // 4, 1), max(last * 7 // 8, 1)
    ends = [*range(quarter, last, quarter), last]
    with tempfile.TemporaryDirectory() as folder:
        path, first = Path(folder) / "memory.db", 0
        while first < last:
            end = next(e for e in ends if e > first)
            shift = [building, str(first), str(end), str(path), str(out)]
            with subprocess.Popen([sys.executable, __file__, "--shift", *shift]) as process:
                killed = killed_after in range(first + 1, end) and _wait_for_hour(out, killed_after, process)
                if killed:
                    time.sleep(20.0)
                    process.kill()
            if process.returncode and not killed:
                raise SystemExit(f"the shift from hour {first} on failed")
            first = killed_after if killed else end


def _wait_for_hour(out: Path, hour: int, process: subprocess.Popen) -> bool:
    """Whether an hour was told before a process ended."""
    while process.poll() is None:
        if out.exists() and any(json.loads(line)["hour"] == hour for line in out.read_text().splitlines()):
            return True
        time.sleep(1.0)
    return False


def shift(building: str, first: str, last: str, path: str, out: str) -> None:
    """One shift of :func:`patrol`."""
    cv2.setNumThreads(1)
    for told in hours(building, Camera.from_hfov(*_SIZE, math.pi / 2), Path(path), int(first), int(last)):
        with Path(out).open("a") as file:
            file.write(json.dumps(told) + "\n")
        done = [g["success"] for g in told["goals"]]
        print(
            f"{told['hour']:4d} {told['keyframes']:6d} {told['slam_keyframes']:6d} {told['ms_driving']:8.1f} "
            f"{told['ms_standing'] or 0:8.1f} {told['p99_ms']:6.0f} {told['longest_ms']:7.0f} {told['ram_mb']:6.0f} "
            f"{told['file_mb']:6.1f} {told['ate_m'] if told['ate_m'] is not None else math.nan:6.3f} {told['f1']:6.3f} "
            f"{told['stale']:5d} {told['changes_right']:2d} of {told['changes']:2d} {sum(done)} of {len(done)}",
            flush=True,
        )


def plot(told: Path, picture: Path) -> None:
    """Draws the curves of a day."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [json.loads(line) for line in told.read_text().splitlines()]
    hour = [r["hour"] for r in rows]
    spl = [float(np.mean([g["spl"] for g in r["goals"]])) if r["goals"] else math.nan for r in rows]
    right = [r["changes_right"] / r["changes"] if r["changes"] else math.nan for r in rows]
    curves = [
        ("MB in RAM, of the process", [("", [r["ram_mb"] for r in rows])]),
        ("MB of file", [("", [r["file_mb"] for r in rows])]),
        ("keyframes", [("memory", [r["keyframes"] for r in rows]), ("SLAM", [r["slam_keyframes"] for r in rows])]),
        (
            "CPU ms a frame",
            [("driving", [r["ms_driving"] for r in rows]), ("standing", [r["ms_standing"] for r in rows])],
        ),
        ("ATE, m", [("", [r["ate_m"] for r in rows])]),
        ("objects", [("F1", [r["f1"] for r in rows]), ("changes right", right)]),
        ("stale objects", [("", [r["stale"] for r in rows])]),
        ("goals, SPL", [("", spl)]),
    ]
    figure, axes = pyplot.subplots(2, 4, figsize=(15, 6), constrained_layout=True)
    for axis, (title, lines) in zip(axes.flat, curves, strict=True):
        for name, values in lines:
            axis.plot(hour, [math.nan if v is None else v for v in values], marker=".", label=name or None)
        axis.set(title=title, xlabel="hour", ylim=(0, None))
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend()
    figure.savefig(picture, dpi=90)


def main() -> None:
    """Prints a line a stretch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--metres", type=float, default=600.0, help="of the whole drive (default: 600)")
    parser.add_argument("--every", type=float, default=100.0, help="metres of a line (default: 100)")
    parser.add_argument("--scene", type=int, default=1000, help="apartment (default: 1000)")
    parser.add_argument("--laps", type=int, help="so many laps with true poses instead")
    parser.add_argument("--alone", action="store_true", help="without the run that keeps every keyframe")
    parser.add_argument("--hours", type=int, help="so many hours of patrol instead")
    parser.add_argument("--building", default="1000", help="scene of the patrol (default: 1000)")
    parser.add_argument("--out", type=Path, default=Path("all_day.jsonl"), help="file for a line of JSON an hour")
    parser.add_argument("--plot", type=Path, help="picture of the curves of --out, of this patrol or of an earlier one")
    parser.add_argument("--shift", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--max-mb", type=float, default=0.0, help="bound of the memory on laps (default: none)")
    parser.add_argument("--recording", type=Path, help="a 7-Scenes folder, remembered --laps times over")
    args = parser.parse_args()
    if args.shift:
        return shift(*args.shift)
    if args.recording:
        print(" lap   kept     MB   file")
        with tempfile.TemporaryDirectory() as folder:
            for line in again_and_again(args.recording, args.laps or 5, Path(folder) / "memory.db"):
                print(line, flush=True)
        return None
    if args.hours:
        print("hour memory   SLAM ms drive ms stand    p99 longest     MB   file  ATE m     F1 stale  changes  goals")
        patrol(args.building, args.hours, args.out)
    if args.plot:
        plot(args.out, args.plot)
    if args.hours or args.plot:
        return None
    for keep_all in (False,) if args.alone else (False, True):
        print("every keyframe kept" if keep_all else "keyframes dropped where newer ones hold what they saw")
        laps = " lap   kept     MB   file things     ms longest"
        stretches = "metres frames   SLAM memory ms SLAM ms rest    p99 longest     MB file MB error m     F1"
        print(laps if args.laps else stretches, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "memory.db"
            driven = drive(args.scene, args.metres, args.every, path, keep_all)
            for line in lap_after_lap(args.scene, args.laps, path, keep_all, args.max_mb) if args.laps else driven:
                print(line, flush=True)


if __name__ == "__main__":
    main()
