"""SLAM against the odometry that it gets, and its cost: real frames, tours of simulated apartments, long graphs.

    python bench/bench_slam.py [FOLDER] [--seeds 3 4 5 17 42] [--metres 100]

Tours drive to random places with the simulator's default drift (2% of distance, 0.5 degrees a metre) and depth noise, 5
frames a simulated second at 320x240. Errors are ATE RMSE after rigid alignment; where evo is installed, evo computes
them too and must agree. Times are CPU time of one thread, rendering and decoding left out.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import recorded

from embodied_nav.frames import Episode, Goal
from embodied_nav.geometry import invert, pose2d
from embodied_nav.geometry.registration import Registration, RegistrationConfig
from embodied_nav.planning.geodesic import descend
from embodied_nav.recordings import SevenScenes
from embodied_nav.sim.embedded import EmbeddedSimulator, describe
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.slam import OdometryConfig, Slam, ate_rmse
from embodied_nav.slam.pose_graph import PoseGraph

#: A tour takes another goal where it came no farther than this (m) in this many control steps of 0.05 s.
_STUCK = (0.3, 100)


def tour(seed: int, metres: float) -> Iterator[tuple]:
    """(observation, true pose of the optical frame, camera, T_scene_map) along random drives through apartment
    ``seed``."""
    simulator, rng = EmbeddedSimulator(), np.random.default_rng(seed)
    navigable = NavigableMap(describe(str(seed)), simulator.robot)
    cells = np.asarray(navigable.free_cells)

    def xy_of(cell):
        return navigable.grid.centers(np.asarray(cell))

    start = xy_of(cells[rng.integers(len(cells))])
    episode = Episode("tour", str(seed), "room", "", (*map(float, start), 0.0), (Goal("point", (0, 0, 0)),), 1.0)
    simulator.reset(episode, seed)
    truth, path, gone, marked, tick = simulator.privileged(), [], 0.0, 0.0, 0
    T_map_scene = invert(truth.T_scene_map())
    while gone < metres:
        x, y, yaw = truth.pose()
        if tick % 4 == 0:
            seen = simulator.observe()
            yield seen, T_map_scene @ pose2d(x, y, yaw) @ seen.T_base_camera, simulator.camera(), truth.T_scene_map()
        tick += 1
        if tick % _STUCK[1] == 0:
            path, marked = ([] if gone - marked < _STUCK[0] else path), gone
        while path and math.dist(path[0], (x, y)) < 0.3:
            path = path[1:]
        if not path:
            field = navigable.geodesic_field(cells[[rng.integers(len(cells))]])
            here = tuple(navigable.nearest_free((x, y)))
            if np.isfinite(field[here]):
                cells_on = descend(field, here)
                path = [tuple(xy_of(c)) for c in (*cells_on[::6], cells_on[-1])]
            continue
        turn = math.remainder(math.atan2(path[0][1] - y, path[0][0] - x) - yaw, 2 * math.pi)
        forward = 0.5 * max(0.0, math.cos(turn)) ** 3 if abs(turn) < 1.0 else 0.0
        simulator.step(forward, max(-1.2, min(1.2, 2.0 * turn)), 0.05)
        gone += math.dist(truth.pose()[:2], (x, y))


def evo_agrees(slam: Slam, stamps: np.ndarray, truth: np.ndarray, ate: float) -> str:
    """``=`` where evo finds the same error, ``-`` where it is not installed."""
    try:
        from evo.core.metrics import APE, PoseRelation, StatisticsType
        from evo.core.trajectory import PoseTrajectory3D
    except ImportError:
        return "-"
    estimate = PoseTrajectory3D(poses_se3=list(slam.trajectory()[1]), timestamps=stamps / 1e9)
    reference = PoseTrajectory3D(poses_se3=list(truth), timestamps=stamps / 1e9)
    estimate.align(reference)
    ape = APE(PoseRelation.translation_part)
    ape.process_data((reference, estimate))
    return "=" if abs(ape.get_statistic(StatisticsType.rmse) - ate) < 1e-6 else "DIFFERS"


class Slip:
    """Wheels that lie: every 8 s on average, for 1.6 s, they count 0.2, 2 or 3 times the way and 0.6 or 1.5 times the
    turn."""

    def __init__(self, seed: int) -> None:
        self._rng, self._left, self._factors = np.random.default_rng(seed), 0, (1.0, 1.0)
        self._last = self._T = None

    def __call__(self, T_odom_camera: np.ndarray) -> np.ndarray:
        """What the wheels say (4x4) where they would say T_odom_camera if they did not slip."""
        if self._last is None:
            self._last = self._T = T_odom_camera
            return self._T
        motion, self._last = invert(self._last) @ T_odom_camera, T_odom_camera
        if not self._left and self._rng.random() < 1 / 40:
            self._left, self._factors = 8, (self._rng.choice([0.2, 2.0, 3.0]), self._rng.choice([0.6, 1.5]))
        if self._left:
            self._left -= 1
            motion[:3, 3] *= self._factors[0]
            motion[:3, :3] = cv2.Rodrigues(cv2.Rodrigues(motion[:3, :3])[0] * self._factors[1])[0]
        self._T = self._T @ motion
        return self._T


def bench_tours(seeds: list[int], metres: float, wheels: str) -> None:
    """One line an apartment."""
    print(f"tours of {metres:g} m, wheels {wheels}: ATE m")
    print("seed  frames  keyframes  loops  slam   live   odometry  ratio  evo  ms mean  ms p95")
    for seed in seeds:
        slam, stamps, truth, odometry, live, cost = Slam(), [], [], [], [], []
        slip = Slip(seed)
        for seen, T_true, camera, _ in tour(seed, metres):
            T_odom_camera = seen.T_odom_base @ seen.T_base_camera
            T_odom_camera = slip(T_odom_camera) if wheels == "slip" else T_odom_camera
            told = None if wheels == "none" else T_odom_camera
            started = time.process_time()
            update = slam.process(seen.stamp, seen.depth, camera, seen.color, told)
            cost.append(time.process_time() - started)
            stamps.append(seen.stamp)
            truth.append(T_true)
            odometry.append(T_odom_camera)
            live.append(update.T_map_camera)
        slam.finish()
        stamps, truth = np.array(stamps), np.array(truth)
        errors = [ate_rmse(stamps, np.array(p), stamps, truth) for p in (slam.trajectory()[1], live, odometry)]
        ms = 1e3 * np.array(cost)
        print(
            f"{seed:4d}  {len(ms):6d}  {len(slam.keyframe_poses()):9d}  {len(slam.loops):5d}  "
            + "  ".join(f"{e:.3f}" for e in errors)
            + f"  {errors[2] / errors[0]:7.1f}  {evo_agrees(slam, stamps, truth, errors[0])}"
            + f"  {ms.mean():7.1f}  {np.percentile(ms, 95):6.1f}",
            flush=True,
        )


def bench_kitchen(folder: Path) -> None:
    """One line a calibration of the colour camera and a setting."""
    recording = SevenScenes(folder)
    truth = np.array(recording.poses)
    print("kitchen: ATE cm\ncolour focal length  every  keyframe m  loops  ATE   evo  ms mean")
    for focal, every, distance in (
        (525, 1, 0.4), (540, 1, 0.4), (525, 2, 0.4), (525, 1, 0.2), (525, 1, 0.6), (0, 1, 0.4),
    ):  # fmt: skip
        intrinsics = (float(focal), float(focal), 320.0, 240.0) if focal else (0.0,) * 4
        registration = Registration(RegistrationConfig(color_intrinsics=intrinsics))
        camera = registration.color_camera(recording.camera)
        slam, spent = Slam(odometry=OdometryConfig(keyframe_translation=distance)), 0.0
        for index in range(0, len(recording), every):
            frame = recording.read(index)
            depth = np.where(frame.depth > 0, frame.depth.astype(np.float32) / 1000, np.float32(np.nan))
            depth = registration.apply(depth, camera, recording.camera) if focal else depth
            started = time.process_time()
            slam.process(frame.stamp, depth, camera, frame.color)
            spent += time.process_time() - started
        slam.finish()
        stamps, count = np.array(recording.stamps)[::every], len(slam.trajectory()[0])
        ate = ate_rmse(*slam.trajectory(), stamps, truth[::every])
        evo = evo_agrees(slam, stamps, truth[::every], ate)
        print(
            f"{focal or 'as recorded':>19}  {every:5d}  {distance:10.1f}  {len(slam.loops):5d}  {100 * ate:.2f}"
            f"  {evo:>3}  {1e3 * spent / count:7.1f}",
            flush=True,
        )


def bench_graph() -> None:
    """Cost of one keyframe's share of the graph as it grows: rounds of 60 keyframes, every second one closes a loop."""
    print("graph: ms\nkeyframes  uncertainty  optimise")
    rng = np.random.default_rng(0)
    information = np.diag([1e4] * 3 + [1e5] * 3)
    for count in (100, 300, 1000, 3000):
        graph, truth, T = PoseGraph(), [], None
        for i in range(count):
            angle = i * 2 * math.pi / 60
            truth.append(pose2d(4 * math.cos(angle), 4 * math.sin(angle), angle + math.pi / 2))
            wobble = pose2d(*rng.normal(0.0, (0.01, 0.01, 0.003)))
            motion = np.eye(4) if i == 0 else invert(truth[-2]) @ truth[-1] @ wobble
            T = truth[0] if i == 0 else T @ motion
            graph.add(T)
            if i:
                graph.connect(i - 1, i, motion, information)
            if i >= 60 and i % 2 == 0:
                graph.connect(i - 60, i, invert(truth[i - 60]) @ truth[i] @ wobble, information, loop=True)
        graph.optimise()
        started = time.process_time()
        graph.uncertainty(count - 1)
        middle = time.process_time()
        graph.optimise()
        print(f"{count:9d}  {1e3 * (middle - started):11.1f}  {1e3 * (time.process_time() - middle):8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    recorded.add_folder(parser)
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 4, 5, 17, 42])
    parser.add_argument("--metres", type=float, default=100.0)
    parser.add_argument(
        "--wheels", choices=("drift", "slip", "none"), default="drift", help="what SLAM hears of wheels"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    bench_graph()
    if recorded.are_there(arguments.folder):
        bench_kitchen(arguments.folder)
    bench_tours(arguments.seeds, arguments.metres, arguments.wheels)


if __name__ == "__main__":
    main()
