"""Things are carried off, brought and put elsewhere between a robot's rounds: which of it the memory notes.

    python bench/bench_happenings.py --scenes 1000-1003 --rounds 6
    python bench/bench_happenings.py --scenes 1000-1003 --rounds 6 --depth-alone   # what is gone is told by depth only

Every round drives through the whole apartment with depth noise and true poses; before each, some pieces of furniture
are put elsewhere on free floor, carried off, or brought back: things left places and appeared at places. Noted is what
an event of this round or of the next tells, by category and place (0.6 m); a thing counts that the robot had seen.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_all_day import _CAMERA, Robot
from changing_scene import NEAR, Change, Furniture, parts

from embodied_nav.cli.eval import parse_scenes
from embodied_nav.memory import SpatialMemory
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour


@dataclass
class Score:
    """Changes of each kind, those noted, parts of events and those that tell of no change."""

    changes: Counter[str]
    noted: Counter[str]
    told: int = 0
    false: int = 0

    def add(self, late: list[Change], new: list[Change], told: list[Change]) -> tuple[list[Change], list[Change]]:
        """Counts a round's; gives the changes that were not noted and the parts of events that tell of none."""
        self.changes.update(c.kind for c in new)
        left, false = [*late, *new], []
        for part in told:
            change = next((c for c in left if c.same(part)), None)
            if change is None:
                false.append(part)
            else:
                left.remove(change)
                self.noted[change.kind] += 1
        self.told += len(told)
        self.false += len(false)
        return left, false

    def __str__(self) -> str:
        kinds = ", ".join(f"{k} {self.noted[k]} of {n}" for k, n in sorted(self.changes.items()))
        total, right = self.changes.total(), self.noted.total()
        return (
            f"noted {right} of {total} ({right / max(total, 1):.2f}): {kinds}; "
            f"{self.false} of {self.told} told are none ({self.false / max(self.told, 1):.2f})"
        )


def by_depth_alone(memory: SpatialMemory) -> None:
    """From now on what perception does not find where depth passes counts no more than depth itself."""
    carve, nothing = memory.state.voxels.carve, (0, np.zeros(0, np.int64))
    memory.state.voxels.carve = lambda frame, T, frames=1, rows=None: carve(frame, T) if rows is None else nothing


def watch(scene: int, rounds: int, count: int, score: Score, explain: bool, depth_alone: bool) -> None:
    """Drives the rounds in one apartment, adding to the score."""
    furniture, profile, stamp = Furniture(describe(str(scene)), scene), RobotProfile(), 200_000_000
    with tempfile.TemporaryDirectory() as folder:
        robot = Robot(scene, _CAMERA, Path(folder) / "memory.db", keep_all=False)
        if depth_alone:
            by_depth_alone(robot.memory)
        known: set[int] = set()
        late: list[Change] = []
        before: list[Change] = []
        for number in range(rounds):
            done = furniture.change(count, robot.seen) if number else []
            now = furniture.scene()
            poses = tour(NavigableMap(now, profile), rng=np.random.default_rng(number))
            for frame in frames(now, poses, profile, _CAMERA, noise_seed=number, first_stamp=stamp):
                robot.remember(frame)
            robot.memory.objects()
            stamp = frame.stamp + 600 * 10**9
            events = robot.memory.state.content.events
            told = [c for n, e in events.items() if n not in known for c in parts(e.label, e.source, e.target)]
            # That a thing left is replaced by that it moved, once it is found elsewhere: the same part, told before.
            told = [c for c in told if not any(c.same(t) for t in before)]
            missed, false = score.add(late, done, told)
            known, before = known | set(events), [*told, *before]
            before = [
                t
                for t in before
                if not any(c.kind != t.kind and np.linalg.norm(c.place - t.place) < NEAR for c in told)
            ]
            late = [c for c in done if c in missed]
            for c in missed if explain else ():
                print(f"   {scene}, round {number}: not noted: {c.kind} {c.label} {c.place}")
            for c in false if explain else ():
                print(f"   {scene}, round {number}: no such change: {c.kind} {c.label} {c.place}")
        robot.writer.close()


def main() -> None:
    """Prints what was noted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--scenes", default="1000-1003", help="apartments (default: 1000-1003)")
    parser.add_argument("--rounds", type=int, default=8, help="through each apartment (default: 8)")
    parser.add_argument("--changes", type=int, default=3, help="things changed before each round (default: 3)")
    parser.add_argument("--explain", action="store_true", help="a line for each mistake")
    parser.add_argument("--depth-alone", action="store_true", help="what perception does not find says nothing")
    args = parser.parse_args()
    score = Score(Counter(), Counter())
    for scene in parse_scenes(args.scenes):
        watch(scene, args.rounds, args.changes, score, args.explain, args.depth_alone)
        print(f"{scene}: so far {score}", flush=True)


if __name__ == "__main__":
    main()
