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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from bench_all_day import _CAMERA, Robot

from embodied_nav.cli.eval import parse_scenes
from embodied_nav.memory import SpatialMemory
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.mesh import SceneDescription, SceneMesh
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour

#: m: an event's place may be off by this; space around a thing that is put down; how far at least it is carried.
_NEAR, _AROUND, _FAR = 0.6, 0.45, 1.2
#: What nobody carries.
_FIXED = {"bathtub", "cabinet", "kitchen counter", "oven", "refrigerator", "shower", "sink", "stove", "toilet"}
#: Longest side of what is carried, m, and its smallest height.
_LONGEST, _TALL = 1.3, 0.35


@dataclass(frozen=True, eq=False)
class Change:
    """A thing of some category left a place, or appeared at one ((2,) m): two of equal looks cannot be told apart."""

    kind: str
    label: str
    place: np.ndarray

    def same(self, other: Change) -> bool:
        """Whether both tell of one."""
        return (self.kind, self.label) == (other.kind, other.label) and bool(
            np.linalg.norm(self.place - other.place) < _NEAR
        )


def parts(kind_of_thing: str, source: np.ndarray | None, target: np.ndarray | None) -> list[Change]:
    """What left and what appeared."""
    places = (("left", source), ("appeared", target))
    return [Change(kind, kind_of_thing, np.asarray(p)[:2]) for kind, p in places if p is not None]


class Furniture:
    """A scene whose movable things are put elsewhere, carried off and brought back."""

    def __init__(self, scene: SceneDescription, seed: int) -> None:
        self._empty, self._rng = scene, np.random.default_rng(seed)
        self._offsets: dict[int, np.ndarray | None] = {
            o.instance: np.zeros(2)
            for o in scene.objects
            if o.category not in _FIXED
            and max(o.extent) < _LONGEST
            and o.extent[2] > _TALL
            and o.center[2] - o.extent[2] / 2 < 0.05
        }
        self._objects = {o.instance: o for o in scene.objects}

    def scene(self) -> SceneDescription:
        """As it is now."""
        m, gone = self._empty.mesh, [i for i, offset in self._offsets.items() if offset is None]
        keep = ~np.isin(m.instance, gone)
        # A vertex may belong to several things: each face gets its own.
        vertices = m.triangles[keep].reshape(-1, 3).copy()
        of = np.repeat(m.instance[keep], 3)
        for i, offset in self._offsets.items():
            if offset is not None:
                vertices[of == i, :2] += offset.astype(np.float32)
        faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
        mesh = SceneMesh(vertices, faces, m.uvs[keep], m.texture[keep], m.textures, m.instance[keep], m.tint[keep])
        objects = tuple(
            replace(o, center=(*self._place(o.instance), o.center[2]))
            for o in self._empty.objects
            if o.instance not in gone
        )
        return replace(self._empty, mesh=mesh, objects=objects)

    def change(self, count: int, seen: set[int]) -> list[Change]:
        """Changes some things, of those that were seen."""
        chosen = self._rng.permutation([i for i in self._offsets if i in seen])[:count]
        return [c for i in chosen.tolist() for c in self._change(i)]

    def _change(self, i: int) -> list[Change]:
        label, source = self._objects[i].category, self._place(i)
        there = self._offsets[i] is not None
        if there and self._rng.random() < 0.4:
            self._offsets[i] = None
            return parts(label, source, None)
        place = self._free_place(i, source)
        if place is None:
            return []
        self._offsets[i] = place - np.array(self._objects[i].center[:2])
        return parts(label, source if there else None, place)

    def _place(self, i: int) -> np.ndarray:
        offset = self._offsets.get(i)
        return np.array(self._objects[i].center[:2]) + (0.0 if offset is None else offset)

    def _free_place(self, i: int, away_from: np.ndarray) -> np.ndarray | None:
        navigable = NavigableMap(self.scene(), RobotProfile())
        cells = navigable.free_cells
        places = navigable.grid.centers(cells)
        room = np.hypot(*self._objects[i].extent[:2]) / 2 + _AROUND
        fits = (navigable.clearance[tuple(cells.T)] > room) & (np.linalg.norm(places - away_from, axis=1) > _FAR)
        return self._rng.choice(places[fits]) if fits.any() else None


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
                if not any(c.kind != t.kind and np.linalg.norm(c.place - t.place) < _NEAR for c in told)
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
