"""Every question that a toured apartment allows, with its true answer. Knows the truth, and nothing of digests.

The kinds and their definitions are VSI-Bench's (Yang et al. 2024, arXiv 2412.14171, sec. 3 and appendix: object count,
absolute and relative distance, relative direction in three levels, object size, room size, route plan, appearance
order); ``action``, ``here`` and ``next`` are in the manner of UrbanVideo-Bench (arXiv 2503.06157: action generation,
start and end position, high-level planning); ``gone`` is change. A question is asked only about what was seen well, and
only where its answer is not a near thing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np

from ...perception.words import action_words
from ...planning.geodesic import descend
from ...reasoner.answering import BACK, SET_OFF, TURNS, quadrant, side, turn
from ...sim.goals import object_region
from ...sim.interface import SceneObject
from .worlds import DISTANCE, MOVABLE, World

#: Points on a thing's surface between which distances are measured.
_POINTS = 150
#: Nearest rivals (m) and angles (rad) from a border that are too near to call.
_GAP, _ANGLE = 0.3, math.radians(20.0)
#: Most candidates of a kind in an apartment.
_MOST = 30
_ACTIONS = ("move forward", "move backward", "rotate left", "rotate right")
_ROOM_KINDS = ("living room", "kitchen", "bedroom", "bathroom", "office", "hallway", "nursery", "dining room")


@dataclass(frozen=True)
class Candidate:
    """One question that may be asked.

    Attributes:
        kind: as VSI-Bench calls it, or action, here, next, gone.
        category: the category that it is about, for balance and for the majority baseline.
        text: the question. answer: one of the options, or a number in digits.
        options: in no meaningful order; empty where a number is asked for.
    """

    kind: str
    category: str
    text: str
    answer: str
    options: tuple[str, ...] = ()


class Truth:
    """What is true of a world, and was seen."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.objects = {o.instance: o for o in world.second.objects if not world.seen.never(o.instance)}
        self.well = {i: o for i, o in self.objects.items() if world.seen.well(i)}
        self._trees: dict[int, Any] = {}
        self._distances: dict[tuple[int, int], float] = {}

    def _kin(self, o: SceneObject) -> list[SceneObject]:
        return [p for p in self.objects.values() if p.category == o.category]

    @cached_property
    def names(self) -> dict[int, str]:
        """Instance -> the name that only it has among what was seen: its category, else with its colour."""
        found = {}
        for i, o in self.well.items():
            kin = self._kin(o)
            if len(kin) == 1:
                found[i] = o.category
            elif sum(p.color == o.color for p in kin) == 1:
                found[i] = f"{o.color} {o.category}"
        return found

    @cached_property
    def groups(self) -> dict[str, list[SceneObject]]:
        """Category -> all of its things, of categories of which each was seen well."""
        groups = defaultdict(list)
        for o in self.objects.values():
            groups[o.category].append(o)
        return {c: things for c, things in groups.items() if all(o.instance in self.well for o in things)}

    def _surface(self, instance: int):
        """A k-d tree of points spread over a thing's triangles, some of their corners among them."""
        from scipy.spatial import cKDTree

        if instance not in self._trees:
            mesh = self.world.second.mesh
            corners = mesh.triangles[mesh.instance == instance].astype(np.float64)
            area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
            rng = np.random.default_rng(instance)
            chosen = rng.choice(len(corners), _POINTS, p=area / area.sum())
            u, v = rng.random((2, _POINTS))
            u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
            a, b, c = corners[chosen].transpose(1, 0, 2)
            points = a + u[:, None] * (b - a) + v[:, None] * (c - a)
            ends = corners.reshape(-1, 3)
            ends = ends[rng.permutation(len(ends))[:_POINTS]]
            self._trees[instance] = cKDTree(np.concatenate([points, ends]))
        return self._trees[instance]

    def distance(self, a: SceneObject, b: SceneObject) -> float:
        """m between the nearest points of two things."""
        pair = (min(a.instance, b.instance), max(a.instance, b.instance))
        if pair not in self._distances:
            tree = self._surface(pair[0])
            self._distances[pair] = float(tree.query(self._surface(pair[1]).data)[0].min())
        return self._distances[pair]


def candidates(world: World) -> list[Candidate]:
    """All of a world, at most :data:`_MOST` of a kind; the same world gives the same ones."""
    truth = Truth(world)
    found: list[Candidate] = []
    for k, make in enumerate(_MAKERS):
        rng = np.random.default_rng([world.seed, 12, k])
        found += make(truth, rng)
    return found


def _some(found: list[Candidate], rng: np.random.Generator) -> list[Candidate]:
    """At most :data:`_MOST`, drawn."""
    if len(found) <= _MOST:
        return found
    return [found[k] for k in sorted(rng.choice(len(found), _MOST, replace=False))]


def _pairs(items: Sequence, rng: np.random.Generator, size: int, tries: int) -> list[tuple]:
    """Different draws of ``size`` different items each."""
    if len(items) < size:
        return []
    drawn = {tuple(rng.choice(len(items), size, replace=False).tolist()) for _ in range(tries)}
    return [tuple(items[k] for k in ks) for ks in sorted(drawn)]


def _named(truth: Truth) -> list[SceneObject]:
    return [truth.well[i] for i in sorted(truth.names)]


# ---- numbers ----


def _counting(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    return [
        Candidate("object_counting", c, f"How many {c}(s) are in this apartment?", str(len(things)))
        for c, things in sorted(truth.groups.items())
    ]


def _absolute(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    found = []
    for a, b in _pairs(_named(truth), rng, 2, 2 * _MOST):
        away = truth.distance(a, b)
        if away > _GAP:
            text = (
                "Measuring from the closest point of each object, what is the distance between the "
                f"{truth.names[a.instance]} and the {truth.names[b.instance]} (in meters)?"
            )
            found.append(Candidate("object_abs_distance", a.category, text, f"{away:.1f}"))
    return _some(found, rng)


def _object_size(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    return [
        Candidate(
            "object_size_estimation",
            o.category,
            f"What is the length of the longest dimension (length, width, or height) of the {truth.names[o.instance]}, "
            "measured in centimeters?",
            f"{100 * max(o.extent):.0f}",
        )
        for o in _named(truth)
    ]


def _room_size(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    rooms = truth.world.second.rooms
    areas = {r.id: sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in r.rectangles) for r in rooms}
    kinds = Counter(r.kind for r in rooms)
    found = [
        Candidate(
            "room_size_estimation",
            r.kind,
            f"What is the size of the {r.kind} (in square meters)?",
            f"{areas[r.id]:.1f}",
        )
        for r in rooms
        if kinds[r.kind] == 1
    ]
    text = (
        "What is the size of this apartment (in square meters)? If multiple rooms are shown, estimate the size of the "
        "combined space."
    )
    return [*found, Candidate("room_size_estimation", "apartment", text, f"{sum(areas.values()):.1f}")]


# ---- choices ----


def _relative_distance(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    found = []
    categories = sorted(truth.groups)
    for o in _named(truth):
        others = [c for c in categories if c != o.category]
        away = {c: min(truth.distance(o, p) for p in truth.groups[c]) for c in others}
        for four in _pairs(others, rng, 4, 12):
            ranked = sorted(four, key=lambda c: away[c])
            if away[ranked[1]] - away[ranked[0]] >= _GAP:
                text = (
                    "Measuring from the closest point of each object, which of these objects "
                    f"({', '.join(four)}) is the closest to the {truth.names[o.instance]}?"
                )
                found.append(Candidate("object_rel_distance", o.category, text, ranked[0], four))
    return _some(found, rng)


_LEVELS = {
    "easy": ("is the {c} to the left or the right of the {b}?", ("left", "right")),
    "medium": (
        "is the {c} to my left, right, or back? An object is to my back if I would have to turn at least 135 degrees "
        "in order to face it.",
        ("left", "right", "back"),
    ),
    "hard": (
        "is the {c} to my front-left, front-right, back-left, or back-right? The directions refer to the quadrants of "
        "a Cartesian plane (if I am standing at the origin and facing along the positive y-axis).",
        ("front-left", "front-right", "back-left", "back-right"),
    ),
}


def _direction(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    found: dict[str, list[Candidate]] = {level: [] for level in _LEVELS}
    for three in _pairs(_named(truth), rng, 3, 4 * _MOST):
        a, b, c = (np.array(o.center[:2]) for o in three)
        if min(np.hypot(*(b - a)), np.hypot(*(c - a)), np.hypot(*(c - b))) < 0.8:
            continue
        f, w = b - a, c - a
        angle = abs(math.atan2(f[0] * w[1] - f[1] * w[0], float(f @ w)))
        clear = {
            "easy": _ANGLE < angle < math.pi - _ANGLE,
            "medium": _ANGLE < angle < BACK - _ANGLE or angle > BACK + _ANGLE / 2,
            "hard": _ANGLE < angle < math.pi - _ANGLE and abs(angle - math.pi / 2) > _ANGLE / 2,
        }
        names = dict(zip("abc", (truth.names[o.instance] for o in three), strict=True))
        for level, (wording, sides) in _LEVELS.items():
            if clear[level]:
                text = f"If I am standing by the {names['a']} and facing the {names['b']}, {wording.format(**names)}"
                kind = f"object_rel_direction_{level}"
                found[level].append(Candidate(kind, three[2].category, text, side(f, w, level), sides))
    return [c for level in _LEVELS for c in _some(found[level], rng)]


def _walkable(truth: Truth, a: SceneObject, b: SceneObject) -> bool:
    """Whether one gets straight from beside one thing to beside the other, without another between."""
    m = truth.world.navigable
    p, q = np.array(a.center[:2]), np.array(b.center[:2])
    length = float(np.hypot(*(q - p)))
    if length < 1.2 or length > 7.0:
        return False
    line = p + np.linspace(0.0, 1.0, max(2, round(length / 0.05)))[:, None] * (q - p)
    cells = m.grid.cells(line)
    free = m.grid.data[cells[:, 0], cells[:, 1]] == 0
    ends = np.array([max(a.extent[:2]), max(b.extent[:2])]) / 2 + 0.3
    along = np.linspace(0.0, length, len(line))
    return bool(free[(along > ends[0]) & (along < length - ends[1])].all())


def _route(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    things = [o for o in _named(truth) if o.category not in ("picture", "mirror", "curtain", "rug")]
    legs = {(a.instance, b.instance) for a, b in permutations(things, 2) if _walkable(truth, a, b)}
    found = []
    for way in _pairs(things, rng, 4, 30 * _MOST) + _pairs(things, rng, 3, 10 * _MOST):
        if not all((a.instance, b.instance) in legs for a, b in zip(way[:-1], way[1:], strict=True)):
            continue
        steps = np.diff(np.array([o.center[:2] for o in way]), axis=0)
        if all(_clear_turn(a, b) for a, b in zip(steps[:-1], steps[1:], strict=True)):
            found.append(_route_question(truth, way, steps, rng))
    return _some(found, rng)


def _clear_turn(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a turn is one, and which one it is no near thing."""
    angle = abs(math.atan2(before[0] * after[1] - before[1] * after[0], float(before @ after)))
    return 2 * _ANGLE < angle < BACK - _ANGLE / 2 or angle > BACK + _ANGLE / 2


def _route_question(truth: Truth, way: Sequence[SceneObject], steps: np.ndarray, rng) -> Candidate:
    names = [truth.names[o.instance] for o in way]
    turns = [turn(a, b) for a, b in zip(steps[:-1], steps[1:], strict=True)]
    parts = [f"Go forward until the {names[1]}."]
    for name in names[2:]:
        parts += ["[please fill in].", f"Go forward until the {name}."]
    told = " ".join(f"{k}. {part}" for k, part in enumerate(parts, start=1))
    text = (
        f"You are a robot beginning at the {names[0]} facing the {names[1]}. You want to navigate to the {names[-1]}. "
        "You will perform the following actions (Note: for each [please fill in], choose either 'turn back,' 'turn "
        f"left,' or 'turn right.'): {told} You have reached the final destination."
    )
    every = [", ".join(p) for p in _turns(len(turns))]
    answer = ", ".join(turns)
    others = [e for e in every if e != answer]
    chosen = rng.choice(len(others), min(3, len(others)), replace=False)
    return Candidate("route_planning", way[-1].category, text, answer, (answer, *(others[k] for k in chosen)))


def _turns(count: int) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for _ in range(count):
        found = [(*f, t) for f in found for t in TURNS]
    return found


_ORDER = "What will be the first-time appearance order of the following categories in the video:"


def _appearance(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    seen = truth.world.seen
    of_category: dict[str, int] = {}
    for o in truth.world.first.objects:
        if o.instance in seen.first:
            of_category[o.category] = min(seen.first[o.instance], of_category.get(o.category, 10**9))
    found = []
    for four in _pairs(sorted(of_category), rng, 4, 3 * _MOST):
        ranked = sorted(four, key=lambda c: of_category[c])
        frames = [of_category[c] for c in ranked]
        if min(b - a for a, b in zip(frames[:-1], frames[1:], strict=True)) < 3:
            continue
        others = [", ".join(p) for p in permutations(four) if list(p) != ranked]
        chosen = rng.choice(len(others), 3, replace=False)
        text = (
            f"What will be the first-time appearance order of the following categories in the video: {', '.join(four)}?"
        )
        answer = ", ".join(ranked)
        options = (answer, *(others[k] for k in chosen))
        found.append(Candidate("obj_appearance_order", ranked[0], text, answer, options))
    return _some(found, rng)


def _action(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    poses, found = truth.world.keyframes, []
    for back in range(min(7, len(poses) - 1)):
        action = action_words(poses[-2 - back], poses[-1 - back])
        if action in _ACTIONS:
            text = (
                "What did the robot do in its last step?"
                if back == 0
                else f"What action did the robot take {back} keyframe{'s' * (back > 1)} before the end?"
            )
            found.append(Candidate("action", "robot", text, action, _ACTIONS))
    return found


def _here(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    x, y, _ = truth.world.here
    rooms = truth.world.second.rooms
    inside = [r for r in rooms for x0, y0, x1, y1 in r.rectangles if x0 < x < x1 and y0 < y < y1]
    if not inside:
        return []
    here, known = inside[0].kind, sorted({r.kind for r in rooms} - {inside[0].kind})
    others = known + [k for k in _ROOM_KINDS if k not in (here, *known)]
    first = rng.permutation(len(known)).tolist() + list(range(len(known), len(others)))
    options = (here, *(others[k] for k in first[:3]))
    return [Candidate("here", "robot", "In which room is the robot now?", here, options)]


def _next(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    world, found = truth.world, []
    m, (x, y, yaw) = world.navigable, world.here
    field = m.geodesic_field(np.array([m.nearest_free((x, y))]))
    for o in _named(truth):
        cells = np.argwhere(object_region(m, o, 0.6))
        if not len(cells):
            continue
        row, column = cells[int(np.argmin(field[tuple(cells.T)]))]
        way = m.grid.centers(descend(field, (int(row), int(column)), m.free)[::-1])
        away = np.hypot(*(way - (x, y)).T)
        if not len(way) or away[-1] < 1.0:
            continue
        ahead = _along(way, 1.2) - (x, y)
        bearing = math.atan2(ahead[1], ahead[0]) - yaw
        border = abs((bearing - math.pi / 4 + math.pi / 4) % (math.pi / 2) - math.pi / 4)
        if border > _ANGLE / 2:
            text = f"To reach the {truth.names[o.instance]} from here, what should the robot do first?"
            found.append(Candidate("next", o.category, text, quadrant(bearing), SET_OFF))
    return _some(found, rng)


def _along(way: np.ndarray, metres: float) -> np.ndarray:
    """The (2,) point so far along a polyline (Nx2 m), or its end."""
    gone = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    return np.array([np.interp(metres, gone, way[:, k]) for k in range(2)])


def _gone(truth: Truth, rng: np.random.Generator) -> list[Candidate]:
    world, found = truth.world, []
    once = [o for o in world.first.objects if not world.seen.never(o.instance)]
    names = Counter(f"{o.color} {o.category}" for o in once)
    unique = [o for o in once if names[f"{o.color} {o.category}"] == 1 and o.category in MOVABLE]
    present = [o for o in unique if o.instance not in world.removed and world.again.well(o.instance)]
    for o in unique:
        if o.instance not in world.removed or not world.seen.well(o.instance) or not _looked_at(world, o):
            continue
        for three in _pairs(present, rng, 3, 4):
            options = tuple(f"{p.color} {p.category}" for p in (o, *three))
            text = "Which of these is gone since the first visit?"
            found.append(Candidate("gone", o.category, text, options[0], options))
    return _some(found, rng)


def _looked_at(world: World, o: SceneObject) -> bool:
    """Whether the second visit had the place of a thing in view, near and with nothing before it."""
    poses = np.array(world.poses)
    way = np.array(o.center[:2]) - poses[:, :2]
    bearing = np.arctan2(way[:, 1], way[:, 0]) - poses[:, 2]
    ahead = np.abs(np.arctan2(np.sin(bearing), np.cos(bearing))) < math.radians(35.0)
    near = (np.hypot(*way.T) < DISTANCE) & (np.hypot(*way.T) > 1.0) & ahead
    if not near.any():
        return False
    cells = world.navigable.grid.cells(poses[near, :2])
    return bool(world.navigable.sees_box(cells, o.center, o.extent, o.yaw).any())


_MAKERS: Sequence[Callable[[Truth, np.random.Generator], list[Candidate]]] = (
    _counting, _absolute, _relative_distance, _direction, _object_size, _room_size, _route, _appearance, _action, _here,
    _next, _gone,
)  # fmt: skip
#: All kinds, in the order of reports.
KINDS: Mapping[str, bool] = {
    "object_counting": True, "object_abs_distance": True, "object_rel_distance": False,
    "object_rel_direction_easy": False, "object_rel_direction_medium": False, "object_rel_direction_hard": False,
    "object_size_estimation": True, "room_size_estimation": True, "route_planning": False,
    "obj_appearance_order": False, "action": False, "here": False, "next": False, "gone": False,
}  # fmt: skip
