"""What perception finds in held-out apartments, against the simulator's truth, with sensor noise.

    python bench/score_perception.py [--weights compact.onnx] [--scenes 1000-1049] [--views 12] [--tours 10]
                                     [--furniture PATH] [--recording FOLDER]
    python bench/score_perception.py --perception geometric|simulator|detector [--weights detector.onnx] [--tours 10]

1. Pixels (``compact`` alone): mIoU over categories at the camera's resolution, of views from random places; again with
   textures and tints that training never saw; with --furniture, again with models of real furniture, those for
   training and those held out. Of the right pixels, how many are unknown; of a recording's, how many.
2. Objects in the memory after the first 60 keyframes of a tour: a hit has the right category and its centre within
   0.5 m of the true one, one to one; duplicates count as false. True are the things once seen with 400 pixels within
   4 m.
3. CPU ms of the whole stage a keyframe.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from recorded import DEFAULT, are_there, recorded_frames

from embodied_nav.cli.eval import parse_scenes
from embodied_nav.errors import InputError
from embodied_nav.evaluation.object_score import ObjectScore, score_objects
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import BACKENDS, KnowsInstances, create
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.apartments import ApartmentConfig, generate
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.mesh import SceneDescription
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour
from embodied_nav.training.perception.scores import Confusion
from embodied_nav.training.perception.views import ViewConfig, retextured

CAMERA = Camera.from_hfov(320, 240, math.pi / 2)
KEYFRAMES, PIXELS, DISTANCE = 60, 400, 4.0
#: Back end -> the setting that names its weights.
WEIGHTS = {"compact": "compact.weights", "detector": "detector.file"}
#: Textures that are not among those of training.
HELD_OUT = ViewConfig(retextured=1.0, recolored=1.0, first_variant=2000, variants=40)


def views(scene: SceneDescription, count: int, seed: int) -> list[RGBDFrame]:
    """Frames from random free places in random directions."""
    rng, navigable = np.random.default_rng(seed), NavigableMap(scene)
    places = navigable.grid.centers(navigable.free_cells[rng.integers(len(navigable.free_cells), size=count)])
    poses = [(float(x), float(y), float(rng.uniform(-math.pi, math.pi))) for x, y in places]
    return list(frames(scene, poses, RobotProfile(), CAMERA, noise_seed=seed))


def appearances(furniture: str) -> dict[str, Callable[[int], SceneDescription]]:
    """What the same apartments may look like: name -> the scene of a seed."""

    def other_textures(seed: int) -> SceneDescription:
        scene = describe(str(seed))
        return replace(scene, mesh=retextured(scene, HELD_OUT, np.random.default_rng(seed)))

    looks: dict[str, Callable[[int], SceneDescription]] = {
        "own textures": lambda seed: describe(str(seed)),
        "other textures": other_textures,
    }
    if furniture:
        for name, split in (("models for training", "train"), ("held-out models", "held_out")):
            config = ApartmentConfig(furniture=furniture, furniture_share=1.0, furniture_split=split)
            looks[name] = partial(generate, config=config)
    return looks


def true_labels(backend, scene: SceneDescription) -> np.ndarray:
    """Label of each instance: 1 + the index of its category, 0 none."""
    label = np.zeros(max(o.instance for o in scene.objects) + 1, dtype=np.int64)
    for thing in scene.objects:
        label[thing.instance] = 1 + backend.categories.index(thing.category)
    return label


def score_pixels(backend, scene: SceneDescription, count: int, seed: int, confusion: Confusion) -> tuple[int, int]:
    """Counts the pixels of views; returns how many are rightly of a category, and how many of these are unknown."""
    label, right, lost = true_labels(backend, scene), 0, 0
    for frame in views(scene, count, seed):
        assert frame.instance_ids is not None
        truth = label[frame.instance_ids]
        named, unknown = backend.label_image(frame)
        confusion.add(truth, named)
        good = (truth > 0) & (named == truth)
        right, lost = right + int(good.sum()), lost + int((good & unknown).sum())
    return right, lost


def unknown_share(backend, folder: Path, every: int = 5) -> tuple[float, float]:
    """Of a recording's pixels with depth: the share that is unknown, and the share that is known as a category."""
    unknown, named, count = 0, 0, 0
    for k, frame in enumerate(list(recorded_frames(folder))[::every]):
        if k == 0:
            backend.perceive(None, Keyframe(0, frame, 0.0, 0, "first"), "")  # finds which way is up in this map
        label, strange = backend.label_image(frame)
        seen = np.isfinite(frame.depth)
        count += int(seen.sum())
        unknown += int((seen & strange).sum())
        named += int((seen & ~strange & (label > 0)).sum())
    return unknown / count, named / count


def score_tour(backend, scene: SceneDescription, seed: int) -> tuple[ObjectScore, float, list, list]:
    """Objects after a tour, CPU seconds a keyframe, remembered and true objects."""
    robot = RobotProfile()
    if isinstance(backend, KnowsInstances):
        backend.set_instances({o.instance: (o.category, o.color) for o in scene.objects})
    memory, gate, seen = SpatialMemory(), KeyframeGate(), Counter()
    previous, cost, count = None, 0.0, 0
    for frame in frames(scene, tour(NavigableMap(scene, robot)), robot, CAMERA, noise_seed=seed):
        memory.integrate(frame)
        keyframe = gate.process(frame)
        if keyframe is None:
            continue
        memory.add_keyframe(keyframe)
        near = np.where(frame.depth < DISTANCE, frame.instance_ids, 0)
        seen.update(np.flatnonzero(np.bincount(near.ravel()) >= PIXELS).tolist())
        started = time.process_time()
        delta = backend.perceive(previous, keyframe, "")
        cost += time.process_time() - started
        memory.add_delta(delta)
        previous, count = keyframe, count + 1
        if count == KEYFRAMES:
            break
    truth = [o for o in scene.objects if seen[o.instance]]
    found = [o for o in memory.objects() if o.status == "present"]
    return score_objects(found, truth, pose2d(0.0, 0.0, 0.0)), cost / count, found, truth


def print_pixels(name: str, confusion: Confusion, categories: tuple[str, ...]) -> None:
    """mIoU, and the categories in order."""
    iou = confusion.iou()[1:]
    print(f"{name}: mIoU {confusion.mean_iou():.3f}, {int((iou > 0.4).sum())} of {len(iou)} categories above 0.4")
    ranked = sorted((value, category) for value, category in zip(iou, categories, strict=True) if value == value)
    print("   " + ", ".join(f"{category} {value:.2f}" for value, category in ranked))


def main() -> None:
    """Prints all scores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", default="1000-1049")
    parser.add_argument("--perception", default="compact")
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--weights", metavar="FILE", help="ONNX file of compact's network or of a detector")
    parser.add_argument("--tours", type=int, default=10, help="apartments with a tour, the first ones")
    parser.add_argument(
        "--furniture", default="", help="also with models of real furniture: .sh3f files or a saved .npz"
    )
    parser.add_argument("--recording", type=Path, default=DEFAULT, help="real frames; left out where they are not")
    args = parser.parse_args()
    if args.weights and args.perception not in WEIGHTS:
        parser.error(f"--weights {args.weights}: {args.perception} takes none; give --perception compact or detector")
    given = {WEIGHTS[args.perception]: args.weights} if args.weights else {}
    try:
        seeds = parse_scenes(args.scenes)
        backend = create(args.perception, BACKENDS[args.perception].settings_from(given))
    except InputError as error:
        parser.error(str(error))
    if hasattr(backend, "label_image"):
        for name, look in appearances(args.furniture).items():
            confusion, right, lost = Confusion(len(backend.categories) + 1), 0, 0
            for seed in seeds:
                try:
                    scene = look(seed)
                except InputError as error:  # models of furniture may close a room
                    print(f"left out: {error}")
                    continue
                counted = score_pixels(backend, scene, args.views, seed, confusion)
                right, lost = right + counted[0], lost + counted[1]
            print_pixels(name, confusion, backend.categories)
            print(f"   of the right pixels of a category {100 * lost / max(right, 1):.1f}% are unknown", flush=True)
        if args.recording and are_there(args.recording):
            unknown, named = unknown_share(backend, args.recording)
            print(f"{args.recording.name}: {100 * unknown:.0f}% unknown, {100 * named:.0f}% named a category")
    scores, costs, extra, missing = [], [], Counter(), Counter()
    for seed in seeds[: args.tours]:
        score, cost, found, truth = score_tour(backend, describe(str(seed)), seed)
        scores.append(score)
        costs.append(cost)
        labels = Counter(o.label for o in found)
        labels.subtract(o.category for o in truth)
        extra.update({k: n for k, n in labels.items() if n > 0})
        missing.update({k: -n for k, n in labels.items() if n < 0})
        print(f"{seed}: {score.hits} of {score.true} found, {score.found} remembered", flush=True)
    total = ObjectScore(sum(s.hits for s in scores), sum(s.found for s in scores), sum(s.true for s in scores), {})
    cost = 1e3 * float(np.mean(costs))
    print(f"objects: recall {total.recall:.3f}, precision {total.precision:.3f}; {cost:.0f} CPU ms a keyframe")
    print(f"   too many: {dict(extra.most_common(12))}\n   too few: {dict(missing.most_common(12))}")


if __name__ == "__main__":
    main()
