"""Does training on real furniture models help? Two networks of equal steps, one of which never sees any.

    python bench/compare_furniture.py --furniture PATH [--views 45000] [--steps 1200] [--out runs/compare-furniture]

A third of the views shows apartments with models of Sweet Home 3D (their training split), two thirds our own shapes.
"with" learns from the third and from half of the rest, "without" from the two thirds: equally many views and steps.
Prints mIoU on held-out apartments: as made, with other textures, with held-out models. Needs torch; takes two minutes
on a GPU with 16 cores. ``score_detector.py --compact`` says what each finds in a real room.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

from embodied_nav.models.compact import CompactConfig
from embodied_nav.training.perception.pool import Pool, fresh_views
from embodied_nav.training.perception.train import PerceptionTraining, Run
from embodied_nav.training.perception.views import NAMES, ViewConfig


def main() -> None:
    """Prints both networks' scores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--furniture", required=True)
    parser.add_argument("--views", type=int, default=45000)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--out", default="runs/compare-furniture")
    args = parser.parse_args()
    config = PerceptionTraining(steps=args.steps, batch=args.batch, warm_up=max(1, args.steps // 10), seed=7)
    views = ViewConfig(furniture=args.furniture, furnished=1 / 3, seed=7)
    runs = {
        name: Run(Path(args.out) / name, config, CompactConfig(categories=NAMES), False) for name in ("with", "without")
    }
    pool = Pool(args.views, next(iter(runs.values())).device, config.seed)
    begun = time.monotonic()
    series = fresh_views(views, 0, 32, config.processes)
    for k in range(math.ceil(args.views / 32)):
        pool.add(next(series), 32 * k)
    del series
    seconds = time.monotonic() - begun
    print(f"{args.views} views in {seconds:.0f} s: {args.views / seconds:.0f} a second", flush=True)
    own, real = pool.where_real(False), pool.where_real(True)
    among = {"with": torch.cat([own[: len(own) // 2], real]), "without": own}
    for name, run in runs.items():
        begun = time.monotonic()
        for step in range(args.steps):
            parts = run.advance(pool.draw(args.batch, step, among[name]))
            if step % 200 == 0:
                print(f"{name}: step {step}, {parts.tolist()}", flush=True)
        print(f"{name}: {args.steps / (time.monotonic() - begun):.1f} steps a second", flush=True)
    for name, run in runs.items():
        run.validation = next(iter(runs.values())).validation  # made once
        scores = run.validate(views)
        print(f"{name} ({len(among[name])} views): " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()), flush=True)


if __name__ == "__main__":
    main()
