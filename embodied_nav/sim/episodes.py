"""Generates episodes by apartment seed: four kinds of instruction, all solvable and unambiguous. Knows nothing of
robots' sensors; :mod:`.habitat_format` saves and loads them, :mod:`.goals` says where they succeed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from ..errors import InputError
from ..frames import Episode, Goal
from .goals import GoalRegion, goal_region, object_region, point_region, room_region
from .habitat_format import load_episodes, save_episodes
from .interface import SceneObject
from .mesh import SceneDescription
from .navigable import NavigableMap, box_distance

KINDS = ("object", "relation", "room", "route")
#: Least geodesic distance from the start to the goal, m.
LEAST_DISTANCE = 3.0
#: Gaps (m) between two things: up to the first they are beside each other, from the second on they are not.
_BESIDE, _NOT_BESIDE = 0.5, 0.9
_TRIES = 200

_FIND = ("find {0}", "go to {0}", "look for {0}", "walk to {0} and stop there", "find {0} and stop beside it")
_ROOM = ("go to {0}", "find {0}", "drive into {0} and stop", "go into {0}", "look for {0} and stop inside")
_ROUTE_ONE = (
    "leave this room, pass {0}, stop at {1}",
    "leave {2}, go past {0} and stop at {1}",
    "walk past {0}, then go to {1}",
    "go to {0} first, then on to {1}",
)
_ROUTE_TWO = (
    "leave this room, pass {0} and {3}, stop at {1}",
    "go past {0}, then past {3}, and stop at {1}",
)


def episode_at(i: int, scenes: Sequence[int]) -> Episode:
    """Episode ``i`` of an evaluation over some apartment seeds: it cycles through the kinds, and scenes within a kind.

    Raises:
        InputError: a negative number or no scenes.
    """
    scene, kind, index = place_in_suite(i, scenes)
    return make_episode(scene, kind, index)


def place_in_suite(i: int, scenes: Sequence[int]) -> tuple[int, str, int]:
    """(scene, kind, index among these) of episode ``i``; raises as :func:`episode_at`."""
    if i < 0 or len(scenes) == 0:
        raise InputError(f"episode {i} of {len(scenes)} scenes does not exist; count from 0 over at least one scene")
    turn = i // len(KINDS)
    return int(scenes[turn % len(scenes)]), KINDS[i % len(KINDS)], turn // len(scenes)


def make_episode(scene_seed: int, kind: str, index: int) -> Episode:
    """The episode "<scene>-<kind>-<index>", the same for everyone.

    Args:
        scene_seed: the apartment's.
        kind: object, relation, room or route.
        index: counts from 0.

    Raises:
        InputError: an unknown kind, or an apartment in which no episode of this kind is possible.
    """
    if kind not in KINDS:
        raise InputError(f"kind '{kind}': must be one of {', '.join(KINDS)}")
    description, navigable = apartment(scene_seed)
    rng = np.random.default_rng([int(scene_seed), KINDS.index(kind), int(index), 7])
    for task in _TASKS[kind](description, navigable, rng):
        episode = placed(f"{scene_seed}-{kind}-{index}", str(scene_seed), kind, task, description, navigable, rng)
        if episode is not None:
            return episode
    raise InputError(f"scene {scene_seed} offers no {kind} episode; take another scene or kind")


@lru_cache(maxsize=8)
def apartment(name: int | str) -> tuple[SceneDescription, NavigableMap]:
    """An apartment and its navigable map for the default robot (cached), by its seed or name ("large-1003")."""
    from .apartments import generate, named

    description = generate(*named(str(name)))
    return description, NavigableMap(description)


class Task:
    """An instruction with its goals before a start is chosen; ``rooms`` are those in which it must not start."""

    def __init__(self, instruction: str, goals, mask, waypoints=(), rooms=(), start_room: int = -1, stages=()) -> None:
        self.instruction, self.goals, self.mask = instruction, tuple(goals), mask
        self.waypoints, self.rooms, self.start_room = tuple(waypoints), tuple(rooms), start_room
        self.stages = tuple(stages)


def placed(name, scene, kind, task, description, navigable, rng) -> Episode | None:
    """A task with a start: at least 3 m away, outside of the goal, with space to turn; None if there is none."""
    draft = Episode(name, scene, kind, task.instruction, (0.0, 0.0, 0.0), task.goals, 0.0, task.waypoints, task.stages)
    region = GoalRegion(description, navigable, draft)
    field = region.fields[0]
    fit = np.isfinite(field) & (field >= LEAST_DISTANCE) & (region.distance_field >= LEAST_DISTANCE)
    fit &= navigable.clearance >= navigable.robot.footprint_radius + 0.05
    for waypoint in region.waypoints:
        fit &= ~waypoint
    for room in description.rooms:
        wrong = room.id in task.rooms or (task.start_room >= 0 and room.id != task.start_room)
        if wrong:
            fit &= ~room_region(navigable, room)
    inside = np.zeros_like(fit)
    for room in description.rooms:
        inside |= room_region(navigable, room)
    cells = np.argwhere(fit & inside)
    if len(cells) == 0:
        return None
    cell = cells[int(rng.integers(len(cells)))]
    x, y = (float(v) for v in navigable.grid.centers(cell))
    start = (x, y, float(rng.uniform(-math.pi, math.pi)))
    distance = float(field[tuple(cell)])
    return Episode(name, scene, kind, task.instruction, start, task.goals, distance, task.waypoints, task.stages)


def _object_tasks(description, navigable, rng) -> Iterator[Task]:
    """Instructions like "the red sofa": every thing of that colour and category is a goal."""
    found = groups(description)
    colors = Counter(category for category, _ in found)
    names = sorted(found)
    # Prefer categories that occur in several colours, so that the colour matters.
    weights = np.array([4.0 if colors[category] > 1 else 1.0 for category, _ in names])
    for k in rng.choice(len(names), size=len(names), replace=False, p=weights / weights.sum()):
        category, color = names[k]
        things = found[names[k]]
        mask = visible(navigable, things)
        if mask is not None:
            text = pick(rng, _FIND).format(noun(f"{color} {category}", len(things)))
            yield Task(text, [object_goal(o) for o in things], mask)


def _relation_tasks(description, navigable, rng) -> Iterator[Task]:
    """Instructions like "the lamp beside the bed": every thing of the category in that relation is a goal."""
    options = []
    for (category, anchor), (word, things) in relations(description).items():
        others = sum(o.category == category for o in description.objects) - len(things)
        options.append((category, anchor, word, things, 5.0 if others else 1.0))
    if not options:
        return
    weights = np.array([option[4] for option in options])
    for k in rng.choice(len(options), size=len(options), replace=False, p=weights / weights.sum()):
        category, anchor, word, things, _ = options[k]
        mask = visible(navigable, things)
        if mask is None:
            continue
        word = pick(rng, ("beside", "next to", "near")) if word == "beside" else word
        anchors = sum(o.category == anchor for o in description.objects)
        text = pick(rng, _FIND[:4]).format(f"{noun(category, len(things))} {word} {noun(anchor, anchors)}")
        yield Task(text, [object_goal(o) for o in things], mask)


def _room_tasks(description, navigable, rng) -> Iterator[Task]:
    """Instructions like "the kitchen": every room of the kind is a goal."""
    kinds = sorted({room.kind for room in description.rooms})
    for k in rng.permutation(len(kinds)):
        yield room_task(description, navigable, kinds[k], rng)


def room_task(description, navigable, kind: str, rng) -> Task:
    """An instruction to go into a room of a kind."""
    rooms = [room for room in description.rooms if room.kind == kind]
    masks = [room_region(navigable, room) for room in rooms]
    goals = []
    for room in rooms:
        x0, y0, x1, y1 = room.rectangles[0]
        goals.append(Goal("room", ((x0 + x1) / 2, (y0 + y1) / 2, 0.0), room=room.id))
    text = pick(rng, _ROOM).format(noun(kind, len(rooms)))
    return Task(text, goals, np.logical_or.reduce(masks), rooms=[room.id for room in rooms])


def route_tasks(description, navigable, rng) -> Iterator[Task]:
    """Routes like "leave this room, pass the plant, stop at the oven", by unique things outside of the start room."""
    landmarks = _landmarks(description)
    rooms = {room.id: room.kind for room in description.rooms}
    kinds = Counter(rooms.values())
    for attempt in range(_TRIES):
        start_room = int(rng.choice(list(rooms)))
        away = [item for item in landmarks if item[1].room != start_room]
        count = 2 if rng.random() < 0.25 else 1
        if len(away) < count + 1:
            continue
        picks = [away[k] for k in rng.choice(len(away), size=count + 1, replace=False)]
        (end_name, end), passed = picks[0], picks[1:]
        if any(gap(end, thing) < 2.0 for _, thing in passed):
            continue
        room = f"the {rooms[start_room]}" if kinds[rooms[start_room]] == 1 else "this room"
        form = pick(rng, _ROUTE_ONE if count == 1 else _ROUTE_TWO)
        text = form.format(passed[0][0], end_name, room, passed[-1][0])
        goal = Goal("point", goal_point(navigable, end), instance=end.instance, room=end.room)
        waypoints = [goal_point(navigable, thing) for _, thing in passed]
        # A way point far off the direct path makes no sensible route; later attempts accept longer detours.
        if not _on_the_way(navigable, start_room, description, waypoints, goal, 1.5 + 0.01 * attempt):
            continue
        yield Task(text, [goal], point_region(navigable, goal.position), waypoints, start_room=start_room)


_TASKS = {"object": _object_tasks, "relation": _relation_tasks, "room": _room_tasks, "route": route_tasks}


def _on_the_way(navigable, start_room: int, description, waypoints, goal: Goal, longest: float) -> bool:
    """Whether the path by the way points is at most ``longest`` times the direct one, from the start room."""
    room = next(r for r in description.rooms if r.id == start_room)
    x0, y0, x1, y1 = room.rectangles[0]
    stops = [navigable.nearest_free(p) for p in [((x0 + x1) / 2, (y0 + y1) / 2), *waypoints, goal.position]]
    field = navigable.geodesic_field(np.array([stops[-1]]))
    direct, total, here = float(field[stops[0]]), 0.0, stops[0]
    for stop in stops[1:-1]:
        total += float(navigable.geodesic_field(np.array([stop]))[here])
        here = stop
    return total + float(field[here]) <= max(longest * direct, direct + 1.0)


def groups(description) -> dict[tuple[str, str], list[SceneObject]]:
    """(category, colour) -> things, for categories that an instruction may ask for."""
    found: dict[tuple[str, str], list[SceneObject]] = {}
    for thing in description.objects:
        if may_ask(thing.category):
            found.setdefault((thing.category, thing.color), []).append(thing)
    return found


def may_ask(category: str) -> bool:
    from .apartments import CATEGORIES

    return category not in CATEGORIES or CATEGORIES[category].goal


def relations(description) -> dict[tuple[str, str], tuple[str, list[SceneObject]]]:
    """(category, anchor's category) -> (relation, things in it): only pairs where no thing is a borderline case."""
    things = [o for o in description.objects if may_ask(o.category)]
    found: dict[tuple[str, str], dict[int, str]] = {}
    doubtful: set[tuple[str, str, int]] = set()
    for a in things:
        for b in things:
            if a.category == b.category or a.room != b.room:
                continue
            away, pair = gap(a, b), (a.category, b.category)
            resting = away == 0.0 and a.center[2] - a.extent[2] / 2 > b.center[2] + b.extent[2] / 2 - 0.15
            if resting:
                found.setdefault(pair, {})[a.instance] = "on"
            elif away <= _BESIDE and not (away == 0.0 and b.center[2] > a.center[2] + a.extent[2] / 2):
                found.setdefault(pair, {}).setdefault(a.instance, "beside")
            elif _BESIDE < away < _NOT_BESIDE:
                doubtful.add((*pair, a.instance))
    kept = {}
    for pair, members in sorted(found.items()):
        unclear = any(key[:2] == pair and key[2] not in members for key in doubtful)
        if len(set(members.values())) == 1 and not unclear:
            word = next(iter(members.values()))
            kept[pair] = (word, [o for o in things if o.instance in members])
    return kept


def related_things(description: SceneDescription, category: str, anchor: str) -> list[SceneObject]:
    """Things of a category beside (or on) one of the anchor's category; none where some pair is a borderline case."""
    return relations(description).get((category, anchor), ("", []))[1]


def gap(a: SceneObject, b: SceneObject) -> float:
    """Horizontal gap (m) between two things' outlines, from a's corners, middles and centre; 0 where they overlap."""
    c, s = math.cos(a.yaw), math.sin(a.yaw)
    grid = np.array([[u, v] for u in (-1.0, -0.5, 0.0, 0.5, 1.0) for v in (-1.0, -0.5, 0.0, 0.5, 1.0)])
    points = (grid * np.array(a.extent[:2]) / 2.0) @ np.array([[c, s], [-s, c]]) + np.array(a.center[:2])
    return float(box_distance(points, b.center, b.extent, b.yaw).min())


def _landmarks(description) -> list[tuple[str, SceneObject]]:
    """Things on the floor that are unique by category, or by colour and category."""
    found = groups(description)
    categories = Counter(category for category, _ in found)
    landmarks = []
    for (category, color), things in sorted(found.items()):
        thing = things[0]
        if len(things) == 1 and thing.center[2] - thing.extent[2] / 2 < 0.1:
            name = f"the {category}" if categories[category] == 1 else f"the {color} {category}"
            landmarks.append((name, thing))
    return landmarks


def goal_point(navigable, thing: SceneObject) -> tuple[float, float, float]:
    """The free place nearest to a thing with line of sight to it, on the floor."""
    region = object_region(navigable, thing)
    cells = np.argwhere(region) if region.any() else navigable.free_cells
    distance = box_distance(navigable.grid.centers(cells), thing.center, thing.extent, thing.yaw)
    x, y = navigable.grid.centers(cells[int(np.argmin(distance))])
    return float(x), float(y), 0.0


def visible(navigable, things) -> np.ndarray | None:
    """Union of the things' goal regions; None if any of them is empty."""
    masks = [object_region(navigable, thing) for thing in things]
    return np.logical_or.reduce(masks) if all(mask.any() for mask in masks) else None


def object_goal(thing: SceneObject) -> Goal:
    return Goal("object", thing.center, instance=thing.instance, room=thing.room)


def noun(name: str, count: int) -> str:
    """The noun with its article: "the" for a single thing, else "a" or "an"."""
    if count == 1:
        return f"the {name}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def pick(rng, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


__all__ = [
    "KINDS",
    "GoalRegion",
    "Task",
    "apartment",
    "episode_at",
    "goal_point",
    "goal_region",
    "load_episodes",
    "make_episode",
    "placed",
    "related_things",
    "route_tasks",
    "save_episodes",
]
