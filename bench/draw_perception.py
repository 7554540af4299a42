"""Draws what perception sees in held-out apartments: the image, the true categories, those named, the objects.

    python bench/draw_perception.py [--scenes 1000-1005] [--weights FILE] [--furniture PATH] [--out perception.png]

One row for each apartment: of 12 random views the one that is named best in the first half of the rows, the one that
is named worst in the second half. Black is none of the categories. Boxes are those of the objects, with their names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from score_perception import appearances, true_labels, views

from embodied_nav.cli.eval import parse_scenes
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.perception.compact import CompactPerception, CompactPerceptionConfig
from embodied_nav.sim.mesh import SceneDescription

VIEWS, LEAST = 12, 0.25
_PALETTE = np.concatenate([[[0, 0, 0]], np.random.default_rng(5).integers(40, 256, (63, 3))]).astype(np.uint8)


def row(backend: CompactPerception, scene: SceneDescription, seed: int, best: bool) -> np.ndarray:
    """One view's pictures side by side, HxWx3 uint8 RGB."""
    label = true_labels(backend, scene)
    shown: list[tuple[float, np.ndarray]] = []
    for k, frame in enumerate(views(scene, VIEWS, seed)):
        assert frame.color is not None and frame.instance_ids is not None
        truth, (named, _) = label[frame.instance_ids], backend.label_image(frame)
        things = truth > 0
        if things.mean() >= LEAST:
            right = float((named == truth)[things].mean())
            pictures = [frame.color, _PALETTE[truth], _PALETTE[named], _with_objects(backend, frame, k)]
            shown.append((right, np.hstack(pictures)))
    shown.sort(key=lambda pair: pair[0])
    return shown[-1 if best else 0][1]


def _with_objects(backend: CompactPerception, frame: RGBDFrame, number: int) -> np.ndarray:
    image = np.array(frame.color)
    for thing in backend.perceive(None, Keyframe(number, frame, 0.0, 0, "first"), "").objects:
        color = tuple(int(c) for c in _PALETTE[1 + backend.categories.index(thing.label)])
        left, top, right, bottom = thing.box
        cv2.rectangle(image, (left, top), (right, bottom), color, 2)
        at = (left + 2, min(max(top + 12, 12), image.shape[0] - 4))
        for ink, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(image, f"{thing.color} {thing.label}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, width)
    return image


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="1000-1005")
    parser.add_argument("--weights", default="")
    parser.add_argument("--furniture", default="", help="apartments with held-out models of real furniture")
    parser.add_argument("--out", type=Path, default=Path("perception.png"))
    args = parser.parse_args()
    seeds = parse_scenes(args.scenes)
    backend = CompactPerception(CompactPerceptionConfig(weights=args.weights))
    look = list(appearances(args.furniture).values())[-1 if args.furniture else 0]
    rows = [row(backend, look(seed), seed, k < len(seeds) / 2) for k, seed in enumerate(seeds)]
    cv2.imwrite(str(args.out), np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
