"""Hidden worlds: buildings that agree with all that was seen so far and differ in the rest. Knows no policy.

Walls and doors are those of the true building. What was seen of its things stays; where nothing was seen, other things
stand: rooms that were hardly seen get another kind (the kinds of such rooms are permuted), and all unseen places other
furniture, drawn as the apartments' is. The target of the instruction is somewhere in every one of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...frames import UNKNOWN, Episode, Goal
from ...language import Instruction, Target, parse_instruction
from ...sim.apartments import floor_plan, named, with_furniture
from ...sim.apartments.layout import ROOM_SIZES
from ...sim.episodes import GoalRegion, goal_point, related_things
from ...sim.interface import Room, SceneObject
from ...sim.mesh import SceneDescription, SceneMesh
from ...sim.navigable import NavigableMap
from .explorer import Explorer, World
from .floors import Floor

#: A room of which less was seen, and nothing that stands in it, may be of any kind.
_HARDLY = 0.15
#: Rooms take kinds whose area (m^2, least and greatest) they have within these factors.
_SMALLER, _LARGER = 0.7, 1.6
_TRIES = 6


class HiddenWorlds:
    """Draws worlds for the states of one episode.

    Args:
        seed: of the draws.
        pool: furnishings drawn for a building; each world takes one of them, room by room.
    """

    def __init__(self, episode: Episode, seed: int = 0, pool: int = 8) -> None:
        self._episode, self._seed, self._size = episode, seed, pool
        self._building = named(episode.scene)
        self._plan = floor_plan(*self._building)
        self._instruction = parse_instruction(episode.instruction)
        self._pool: dict[tuple[tuple[str, ...], int], SceneDescription] = {}

    def draw(self, explorer: Explorer, count: int, number: int) -> list[World]:
        """The true world and up to ``count - 1`` others; fewer where none with the target came out.

        Args:
            explorer: at the state. number: of the state in the episode; the draws depend on it and on the seed.
        """
        floor = explorer.floor
        worlds = [World(floor, explorer.region, np.arange(len(floor.objects)))]
        for k in range(1, count):
            rng = np.random.default_rng([self._seed, self._building[0], number, k])
            for _ in range(_TRIES):
                world = self._other(explorer, rng)
                if world is not None:
                    worlds.append(world)
                    break
        return worlds

    def _other(self, explorer: Explorer, rng: np.random.Generator) -> World | None:
        floor = explorer.floor
        kept = _stays(explorer)
        kinds = self._kinds(explorer, kept, rng)
        other = self._furnished(kinds, int(rng.integers(self._size)))
        new = [o for o in _unseen(other.objects, explorer) if not _collides(o, floor, kept)]
        new = _standing(new, other.objects)
        new = self._with_target(new, floor, kept, kinds, rng)
        description, origin = _joined(floor.description, kept, other, new, kinds)
        navigable = NavigableMap(description)
        if navigable.grid.data.shape != floor.shape or not navigable.is_free(explorer.pose[:2]):
            return None
        there = episode_in(self._episode, self._instruction, description, navigable)
        if there is None:
            return None
        region = GoalRegion(description, navigable, there)
        x, y = (float(v) for v in explorer.pose[:2])
        if not np.isfinite(region.distance(x, y, explorer.passed)):
            return None
        return World(Floor(description, navigable), region, origin)

    def _kinds(self, explorer: Explorer, kept: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
        """Kinds of the rooms, those of hardly seen rooms permuted."""
        floor, plan = explorer.floor, self._plan
        occupied = {floor.objects[k].room for k in np.flatnonzero(kept)}
        free = [
            i
            for i in range(len(plan.rooms))
            if i not in occupied and plan.kinds[i] != "hallway" and _seen_share(explorer, plan.rooms[i]) < _HARDLY
        ]
        kinds = list(plan.kinds)
        for _ in range(20):
            order = rng.permutation(free)
            drawn = [plan.kinds[int(j)] for j in order]
            if all(_takes(plan.rooms[i], kind) or kind == plan.kinds[i] for i, kind in zip(free, drawn, strict=True)):
                for i, kind in zip(free, drawn, strict=True):
                    kinds[i] = kind
                break
        return tuple(kinds)

    def _furnished(self, kinds: tuple[str, ...], number: int) -> SceneDescription:
        key = (kinds, number)
        if key not in self._pool:
            if len(self._pool) >= 4 * self._size:
                self._pool.clear()
            rng = np.random.default_rng([self._seed, self._building[0], number, 77])
            self._pool[key] = with_furniture(replace(self._plan, kinds=kinds), rng)
        return self._pool[key]

    def _with_target(
        self, new: list[SceneObject], floor: Floor, kept: np.ndarray, kinds: tuple[str, ...], rng: np.random.Generator
    ) -> list[SceneObject]:
        """Gives one of the new things the colour that the instruction asks for, where no thing has it."""
        for target in self._instruction.stages:
            if target.is_room or not target.color:
                continue
            old = [floor.objects[k] for k in np.flatnonzero(kept)]
            if any(_is(o, target.label, target.color) for o in [*old, *new]):
                continue
            alike = [k for k, o in enumerate(new) if o.category == target.label]
            if alike:
                k = alike[int(rng.integers(len(alike)))]
                new[k] = replace(new[k], color=target.color)
        return new


def episode_in(
    episode: Episode, instruction: Instruction, description: SceneDescription, navigable: NavigableMap
) -> Episode | None:
    """The episode with what its instruction means in another world; None where it means nothing, or two things."""
    goals: list[tuple[Goal, ...]] = []
    for target in instruction.stages:
        found = goals_of(target, description, navigable)
        if not found or (found[0].kind == "point" and len(found) != 1):
            return None
        goals.append(found)
    before = goals[:-1]
    # A way point is a place; what the episode wants to be reached on the way is a thing, whatever the sentence says.
    if episode.stages:
        before = [tuple(replace(g, kind="object") for g in stage) for stage in before]
        goals[-1] = tuple(replace(g, kind="object") for g in goals[-1])
    points = tuple(g[0].position for g in before if g[0].kind == "point")
    stages = tuple(g for g in before if g[0].kind != "point")
    there = replace(episode, goals=goals[-1], waypoints=points, stages=stages)
    return there if GoalRegion(description, navigable, there).mask.any() else None


def goals_of(target: Target, description: SceneDescription, navigable: NavigableMap) -> tuple[Goal, ...]:
    """What a target of an instruction means in a world."""
    if target.is_room:
        rooms = [r for r in description.rooms if r.kind == target.label]
        return tuple(Goal("room", (*_middle(r), 0.0), room=r.id) for r in rooms)
    if target.anchor_label and not target.anchor_is_room:
        things = related_things(description, target.label, target.anchor_label)
    else:
        things = [o for o in description.objects if o.category == target.label]
    kinds = {r.id: r.kind for r in description.rooms}
    if target.in_room:
        things = [o for o in things if kinds.get(o.room) == target.in_room]
    things = [o for o in things if target.color in ("", o.color) and not _is_excluded(o, target, description)]
    if target.is_point:
        return tuple(Goal("point", goal_point(navigable, o), instance=o.instance, room=o.room) for o in things)
    return tuple(Goal("object", o.center, instance=o.instance, room=o.room) for o in things)


def _is_excluded(thing: SceneObject, target: Target, description: SceneDescription) -> bool:
    kinds = {r.id: r.kind for r in description.rooms}
    for no in target.excludes:
        fits = kinds.get(thing.room) == no.label if no.is_room else _is(thing, no.label or thing.category, no.color)
        if fits and no.in_room and not no.is_room:
            fits = kinds.get(thing.room) == no.in_room
        if fits and no.anchor_label and not no.anchor_is_room:
            fits = thing in related_things(description, thing.category, no.anchor_label)
        if fits:
            return True
    return False


def _is(thing: SceneObject, label: str, color: str) -> bool:
    return thing.category == label and color in ("", thing.color)


def _middle(room: Room) -> tuple[float, float]:
    x0, y0, x1, y1 = room.rectangles[0]
    return (x0 + x1) / 2, (y0 + y1) / 2


def _takes(room: tuple[float, float, float, float], kind: str) -> bool:
    """Whether a room may be of a kind by its size."""
    least, most, side = ROOM_SIZES[kind]
    width, depth = room[2] - room[0], room[3] - room[1]
    return _SMALLER * least <= width * depth <= _LARGER * most and min(width, depth) >= 0.85 * side


def _seen_share(explorer: Explorer, room: tuple[float, float, float, float]) -> float:
    floor = explorer.floor
    (r0, c0), (r1, c1) = floor.navigable.cell(room[:2]), floor.navigable.cell(room[2:])
    return float((explorer.seen[r0 : r1 + 1, c0 : c1 + 1] != UNKNOWN).mean())


def _stays(explorer: Explorer) -> np.ndarray:
    """Of each object whether it stays: it, or a cell under it, was seen, or it stands on one that was."""
    floor = explorer.floor
    kept = np.zeros(len(floor.objects), np.bool_)
    kept[explorer.touched] = True
    known = explorer.seen != UNKNOWN
    for k, thing in enumerate(floor.objects):
        kept[k] |= bool(known[_window(thing, floor, 0.0)].any())
    return kept


def _unseen(objects: tuple[SceneObject, ...], explorer: Explorer) -> list[SceneObject]:
    """Things of which no cell was seen."""
    known = explorer.seen != UNKNOWN
    return [o for o in objects if not known[_window(o, explorer.floor, 0.05)].any()]


def _collides(thing: SceneObject, floor: Floor, kept: np.ndarray) -> bool:
    """Whether a thing would stand in one that stays."""
    low, high = _box(thing)
    for k in np.flatnonzero(kept):
        other_low, other_high = _box(floor.objects[k])
        if (low < other_high - 0.02).all() and (other_low < high - 0.02).all():
            return True
    return False


def _standing(new: list[SceneObject], all_: tuple[SceneObject, ...]) -> list[SceneObject]:
    """Without things that stood on one that was left out."""
    there = {o.instance for o in new}
    result = []
    for o in new:
        bottom = o.center[2] - o.extent[2] / 2.0
        under = [
            p
            for p in all_
            if p is not o
            and abs(p.center[2] + p.extent[2] / 2.0 - bottom) < 0.12
            and abs(p.center[0] - o.center[0]) < p.extent[0] / 2.0 + p.extent[1] / 2.0
            and abs(p.center[1] - o.center[1]) < p.extent[0] / 2.0 + p.extent[1] / 2.0
        ]
        if bottom < 0.15 or not under or any(p.instance in there for p in under):
            result.append(o)
    return result


def _box(thing: SceneObject) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of a thing's box along the axes, m."""
    c, s = abs(np.cos(thing.yaw)), abs(np.sin(thing.yaw))
    half = np.array(
        [c * thing.extent[0] + s * thing.extent[1], s * thing.extent[0] + c * thing.extent[1], thing.extent[2]]
    )
    return np.array(thing.center) - half / 2.0, np.array(thing.center) + half / 2.0


def _window(thing: SceneObject, floor: Floor, margin: float) -> tuple[slice, slice]:
    """Rows and columns under a thing."""
    low, high = _box(thing)
    (r0, c0), (r1, c1) = floor.navigable.cell(low[:2] - margin), floor.navigable.cell(high[:2] + margin)
    return slice(max(r0, 0), r1 + 1), slice(max(c0, 0), c1 + 1)


def _joined(
    base: SceneDescription, kept: np.ndarray, other: SceneDescription, new: list[SceneObject], kinds: tuple[str, ...]
) -> tuple[SceneDescription, np.ndarray]:
    """The base's structure and kept things with new things of another scene, and the origin of each thing."""
    stays = [o for o, k in zip(base.objects, kept, strict=True) if k]
    next_id = max((o.instance for o in base.objects), default=0) + 1
    numbered = [replace(o, instance=next_id + k) for k, o in enumerate(new)]
    first = np.isin(base.mesh.instance, [0, *(o.instance for o in stays)])
    second = np.isin(other.mesh.instance, [o.instance for o in new])
    vertices = np.concatenate([base.mesh.vertices, other.mesh.vertices])
    faces = np.concatenate([base.mesh.faces[first], other.mesh.faces[second] + len(base.mesh.vertices)])
    mesh = _bare(vertices, faces)
    rooms = tuple(replace(room, kind=kind) for room, kind in zip(base.rooms, kinds, strict=True))
    origin = np.concatenate([np.flatnonzero(kept), np.full(len(new), -1)]).astype(np.int64)
    return SceneDescription(mesh, (*stays, *numbered), rooms), origin


def _bare(vertices: np.ndarray, faces: np.ndarray) -> SceneMesh:
    """A mesh without looks: only its shape counts here."""
    count = len(faces)
    zeros = np.zeros(count, dtype=np.int32)
    texture = np.zeros((2, 2, 3), dtype=np.uint8)
    return SceneMesh(
        vertices, faces, np.zeros((count, 3, 2)), zeros, (texture,), zeros, np.full((count, 3), 255, np.uint8)
    )
