"""Objects that the memory holds after a tour of simulated apartments against the truth, with a detector that errs.

    python bench/score_objects.py [--seeds 3 4 5 17 42] [--wrong 0.1] [--missed 0.1] [--drift 0.5]

Perception is ``simulator``; a share of its detections gets another label, a share is left out. True are the things
that an unerring detector would have reported in one keyframe at least. A hit is an object of the right category with
its centre at most 0.5 m (3D) from the true one. With ``--drift`` poses drift on the tour (at random, 2% of the way and
so many degrees after a metre), and the memory is scored before and after its keyframes are moved to the true ones.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from dataclasses import replace

import numpy as np

from embodied_nav.evaluation.object_score import ObjectScore, score_objects
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import create
from embodied_nav.perception.simulator import SimulatorPerceptionConfig
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour


def run(
    seed: int, config: SimulatorPerceptionConfig, degrees: float
) -> tuple[SpatialMemory, list, float, dict[int, np.ndarray]]:
    """The memory after a tour, the things that were there to be seen, seconds of CPU for their objects, and the true
    poses of keyframes."""
    robot, camera = RobotProfile(), Camera.from_hfov(320, 240, math.pi / 2)
    scene = describe(str(seed))
    poses = tour(NavigableMap(scene, robot))
    memory, gate = SpatialMemory(), KeyframeGate()
    names = {o.instance: (o.category, o.color) for o in scene.objects}
    erring, unerring = create("simulator", config), create("simulator")
    erring.set_instances(names)
    seen: Counter[int] = Counter()
    previous, cost = None, 0.0
    drift, true_poses, rng, last = np.eye(4), {}, np.random.default_rng(seed), None
    for frame in frames(scene, poses, robot, camera, noise_seed=seed):
        true = frame.T_map_camera
        if degrees:
            drift = drift if last is None else drift @ _step(last, true, degrees, rng)
            last, frame = true, replace(frame, T_map_camera=drift @ true)
        memory.integrate(frame)
        keyframe = gate.process(frame)
        if keyframe is not None:
            memory.add_keyframe(keyframe)
            true_poses[keyframe.id] = true
            unerring.set_instances(names)
            truly = unerring.perceive(None, keyframe, "")
            for k in range(1, len(truly.objects) + 1):
                ids = frame.instance_ids[truly.segments == k]
                seen[int(ids[0])] += 1
            started = time.process_time()
            memory.add_delta(erring.perceive(previous, keyframe, ""))
            previous = keyframe
        else:
            started = time.process_time()
        memory.objects()
        cost += time.process_time() - started
    return memory, [o for o in scene.objects if seen[o.instance]], cost, true_poses


def _step(last: np.ndarray, true: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """What drift adds between two poses of the camera: a turn about where it is, and a shift."""
    way = true[:2, 3] - last[:2, 3]
    turn = pose2d(0.0, 0.0, rng.normal(0.0, math.radians(degrees)) * math.sqrt(float(np.hypot(*way))))
    turn[:3, 3] = true[:3, 3] - turn[:3, :3] @ true[:3, 3]
    turn[:2, 3] += rng.normal(0.0, 0.02) * way / math.sqrt(max(float(np.hypot(*way)), 1e-3))
    return turn


def main() -> None:
    """Prints one line an apartment and the sums."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 17, 42])
    parser.add_argument("--wrong", type=float, default=0.1)
    parser.add_argument("--missed", type=float, default=0.1)
    parser.add_argument("--drift", type=float, default=0.0)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    scores = []
    print("seed  keyframes  true  found  precision  recall  F1     counts off by one  by more        CPU s")
    for seed in args.seeds:
        config = SimulatorPerceptionConfig(wrong_labels=args.wrong, missed=args.missed, noise_seed=seed)
        memory, truth, cost, poses = run(seed, config, args.drift)
        if args.drift:
            drifted = score_objects(memory.objects(), truth, pose2d(0.0, 0.0, 0.0))
            print(f"      drifted: F1 {drifted.f1:.3f}")
            memory.move_keyframes(poses)
        score = score_objects(memory.objects(), truth, pose2d(0.0, 0.0, 0.0))
        scores.append(score)
        worse = {k: n for k, n in score.off.items() if abs(n) > 1}
        print(
            f"{seed:4d}  {len(memory.keyframes):9d}  {score.true:4d}  {score.found:5d}  {score.precision:9.3f}  "
            f"{score.recall:6.3f}  {score.f1:.3f}  {len(score.off) - len(worse):17d}  {worse!s:13s}  {cost:5.2f}",
            flush=True,
        )
        if args.verbose:
            explain(memory, truth)
    total = ObjectScore(sum(s.hits for s in scores), sum(s.found for s in scores), sum(s.true for s in scores), {})
    off = sum(abs(n) > 1 for s in scores for n in s.off.values())
    print(
        f"all: precision {total.precision:.3f}, recall {total.recall:.3f}, F1 {total.f1:.3f}; {off} counts off by more"
    )


def explain(memory: SpatialMemory, truth: list) -> None:
    """What has no partner."""
    objects = memory.objects()
    for t in truth:
        near = [o for o in objects if o.label == t.category and np.linalg.norm(o.position - t.center) <= 0.5]
        if not near:
            around = sorted(objects, key=lambda o: float(np.linalg.norm(o.position - t.center)))[:2]
            what = ", ".join(f"{o.name} #{o.id} {np.linalg.norm(o.position - t.center):.2f} m" for o in around)
            print(f"      no {t.color} {t.category} at {np.round(t.center, 2)} {np.round(t.extent, 2)}: nearest {what}")
    for o in objects:
        if not any(o.label == t.category and np.linalg.norm(o.position - t.center) <= 0.5 for t in truth):
            print(
                f"      false {o.name} #{o.id} at {np.round(o.position, 2)} {np.round(o.extent, 2)}, {o.voxels} voxels"
            )


if __name__ == "__main__":
    main()
