"""Writing, reading and asking a memory digest, against JSON of the same facts by Python's json (ms on one core).

    python bench/bench_questions.py [--things 60 1000 5000]

Printed are medians, the ratio to json, and the length of each text: json grows with the map, the digest does not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from embodied_nav.language.asking import ask_about
from embodied_nav.reasoner.answering import solve
from embodied_nav.reasoner.digest import DigestFacts, Link, Place, Step, Thing, read, write

QUESTION = "which of these objects (sofa, bed, oven, desk) is the closest to the red lamp?"
LABELS = ("chair", "sofa", "bed", "oven", "desk", "plant", "lamp")


def facts(count: int, seed: int = 0) -> DigestFacts:
    """Facts of a map with so many things in a room for every ten; one lamp is red."""
    rng = np.random.default_rng(seed)
    things = []
    for k in range(count):
        x, y, z, w, d, h = (float(v) for v in rng.uniform(0.1, 30.0, 6))
        color = "red" if k == len(LABELS) - 1 else "blue"
        label = LABELS[k % len(LABELS)]
        things.append(Thing(k + 1, label, color, k // 10 + 1, (x, y, z), (w / 15, d / 15, h / 15), k + 1))
    places = tuple(Place(k + 1, "kitchen", 12.0, (1.0, 2.0), ((k + 2, 3.0, 4.0),)) for k in range(count // 10))
    links = tuple(Link(k, "beside", k + 1) for k in range(1, count))
    return DigestFacts(tuple(things), places, (Step(1, "rotate left"),), links, (0.0, 0.0, 0.0), 1, total=count)


def median_ms(work: Callable[[], object], times: int = 15) -> float:
    """Median CPU ms of a call."""
    work()
    spent = []
    for _ in range(times):
        started = time.process_time()
        work()
        spent.append(1e3 * (time.process_time() - started))
    return statistics.median(spent)


def main() -> None:
    """Prints a row for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--things", type=int, nargs="+", default=[60, 1000, 5000])
    args = parser.parse_args()
    print(
        f"{'things':>7}{'write':>9}{'json':>9}{'ratio':>7}{'read':>9}{'json':>9}{'ratio':>7}{'ask':>8}{'characters':>20}"
    )
    for count in args.things:
        known = facts(count)
        text, plain = write(known), json.dumps(asdict(known))
        asked, seen = ask_about(QUESTION), read(text)
        ms = [
            median_ms(work)
            for work in (
                lambda known=known: write(known),
                lambda known=known: json.dumps(asdict(known)),
                lambda text=text: read(text),
                lambda plain=plain: json.loads(plain),
                lambda asked=asked, seen=seen: (ask_about(QUESTION), solve(asked, seen)),
            )
        ]
        print(
            f"{count:7}{ms[0]:9.2f}{ms[1]:9.2f}{ms[0] / ms[1]:7.2f}{ms[2]:9.2f}{ms[3]:9.2f}{ms[2] / ms[3]:7.2f}"
            f"{ms[4]:8.2f}{f'{len(text)} / {len(plain)}':>20}"
        )


if __name__ == "__main__":
    main()
