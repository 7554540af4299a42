"""Suites of episodes by number: ``plain``, and ``hard``, whose decisions simple rules get wrong. Knows no sensors.

The hard suite: buildings of 8 to 15 rooms; of several things of one category only one is meant, by its colour, its
room, or by what it is not; two goals in one sentence; perception that errs (``perception.mistakes``). Kinds alternate
as in the plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..frames import Episode
from . import episodes as plain
from .episodes import KINDS, Task
from .interface import SceneObject

SUITES = ("plain", "hard")
#: Parameters that a suite sets, where they are not given.
SETTINGS: Mapping[str, Mapping[str, Any]] = {"plain": {}, "hard": {"perception.error_rate": 0.25}}
#: Size class of the hard suite's buildings.
_LARGE = "large"

_FIND = ("find {0}", "go to {0}", "look for {0}", "please find {0}")
_NOT = ("{0}, but not {1}", "{0}, anything but {1}", "{0}, not {1}")
_BOTH = ("go to {0}, then {1}", "find {0}, then {1}", "first go to {0}, then go to {1}")


def suite_episode(suite: str, i: int, scenes: Sequence[int]) -> Episode:
    """Episode ``i`` of a suite over some seeds.

    Raises:
        InputError: an unknown suite, a negative number, no scenes, or no such episode in the building.
    """
    if suite == "plain":
        return plain.episode_at(i, scenes)
    if suite != "hard":
        raise InputError(f"suite '{suite}': must be one of {', '.join(SUITES)}")
    return make_hard_episode(*plain.place_in_suite(i, scenes))


def make_hard_episode(seed: int, kind: str, index: int) -> Episode:
    """The episode "large-<seed>-<kind>-<index>" of the hard suite, the same for everyone.

    Raises:
        InputError: an unknown kind, or a building in which no episode of this kind is possible.
    """
    if kind not in KINDS:
        raise InputError(f"kind '{kind}': must be one of {', '.join(KINDS)}")
    scene = f"{_LARGE}-{seed}"
    description, navigable = plain.apartment(scene)
    rng = np.random.default_rng([int(seed), KINDS.index(kind), int(index), 13])
    for task in _TASKS[kind](description, navigable, rng):
        episode = plain.placed(f"{scene}-{kind}-{index}", scene, kind, task, description, navigable, rng)
        if episode is not None:
            return episode
    raise InputError(f"scene {scene} offers no {kind} episode of the hard suite; take another scene or kind")


def _object_tasks(description, navigable, rng) -> Iterator[Task]:
    """One of several things of a category: by its colour, or by the colour or the room that it is not."""
    for category, things in _alike(description, rng):
        colors = sorted({o.color for o in things})
        if len(colors) < 2:
            continue
        color = colors[int(rng.integers(len(colors)))]
        own = [o for o in things if o.color == color]
        others = [o for o in things if o.color != color]
        if rng.random() < 0.5:
            goals, text = own, plain.noun(f"{color} {category}", len(own))
        else:
            goals = others
            text = plain.pick(rng, _NOT).format(
                plain.noun(category, 2), f"the {color} one" if len(own) == 1 else f"a {color} one"
            )
        yield from _one(text, goals, navigable, rng)


def _relation_tasks(description, navigable, rng) -> Iterator[Task]:
    """One of several things of a category: by what it stands at, the room it is in, or the room it is not in."""
    kinds = {room.id: room.kind for room in description.rooms}
    beside = plain.relations(description)
    for category, things in _alike(description, rng):
        form = int(rng.integers(3))
        pairs = [(pair, found) for pair, found in sorted(beside.items()) if pair[0] == category]
        pairs = [(pair, found) for pair, found in pairs if len(found[1]) < len(things)]
        if form == 0 and pairs:
            (_, anchor), (word, goals) = pairs[int(rng.integers(len(pairs)))]
            anchors = sum(o.category == anchor for o in description.objects)
            text = f"{plain.noun(category, len(goals))} {word} {plain.noun(anchor, anchors)}"
            yield from _one(text, goals, navigable, rng)
            continue
        inside = sorted({kinds[o.room] for o in things})
        if len(inside) < 2:
            continue
        room = inside[int(rng.integers(len(inside)))]
        there = [o for o in things if kinds[o.room] == room]
        elsewhere = [o for o in things if kinds[o.room] != room]
        count = sum(kind == room for kind in kinds.values())
        if form == 1:
            yield from _one(f"{plain.noun(category, len(there))} in {plain.noun(room, count)}", there, navigable, rng)
        else:
            text = f"{plain.noun(category, 2)}, anything but the one in {plain.noun(room, count)}"
            yield from _one(text, elsewhere, navigable, rng)


def _room_tasks(description, navigable, rng) -> Iterator[Task]:
    """A kind of room, in a building where much must be left aside to find it quickly."""
    kinds = sorted({room.kind for room in description.rooms})
    for k in rng.permutation(len(kinds)):
        yield plain.room_task(description, navigable, kinds[k], rng)


def _route_tasks(description, navigable, rng) -> Iterator[Task]:
    """A route past one or two things, or two goals in one sentence."""
    if rng.random() < 0.5:
        yield from plain.route_tasks(description, navigable, rng)
    names = sorted(plain.groups(description))
    found = plain.groups(description)
    for _ in range(60):
        a, b = (names[int(k)] for k in rng.choice(len(names), size=2, replace=False))
        if a[0] == b[0] or {o.room for o in found[a]} & {o.room for o in found[b]}:
            continue
        if plain.visible(navigable, found[a]) is None:
            continue
        mask = plain.visible(navigable, found[b])
        if mask is None:
            continue
        texts = [plain.noun(" ".join(reversed(name)), len(found[name])) for name in (a, b)]
        stages = [tuple(plain.object_goal(o) for o in found[a])]
        yield Task(plain.pick(rng, _BOTH).format(*texts), [plain.object_goal(o) for o in found[b]], mask, stages=stages)


_TASKS = {"object": _object_tasks, "relation": _relation_tasks, "room": _room_tasks, "route": _route_tasks}


def _alike(description, rng) -> Iterator[tuple[str, list[SceneObject]]]:
    """(category, things) of those that occur more than once, in random order, again and again."""
    things: dict[str, list[SceneObject]] = {}
    for (category, _), found in plain.groups(description).items():
        things.setdefault(category, []).extend(found)
    several = sorted(category for category, found in things.items() if len(found) > 1)
    for _ in range(4):
        for k in rng.permutation(len(several)):
            yield several[k], things[several[k]]


def _one(text: str, goals: Sequence[SceneObject], navigable, rng) -> Iterator[Task]:
    mask = plain.visible(navigable, goals)
    if goals and mask is not None:
        yield Task(plain.pick(rng, _FIND).format(text), [plain.object_goal(o) for o in goals], mask)
