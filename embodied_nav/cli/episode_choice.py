"""Chooses the episode of a demo: the apartment's own, or one for the user's sentence. Knows no ROS."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InputError
from ..frames import Episode, Goal

#: Least distance to the goal, as in all episodes (m).
_LEAST_DISTANCE = 3.0


def choose(seed: int, instruction: str | None) -> Episode:
    """The episode of an apartment.

    Args:
        seed: the apartment's.
        instruction: the user's sentence; None takes the apartment's first object episode.

    Raises:
        InputError: the sentence names no target, none that this apartment has, or none that is far enough away.
    """
    from ..sim.episodes import apartment, make_episode

    if instruction is None:
        return make_episode(seed, "object", 0)
    from ..language import parse_instruction

    parsed = parse_instruction(instruction)
    description, navigable = apartment(seed)
    goals = _goals(parsed.target, description)
    if not goals:
        raise InputError(f"'{parsed.target.name}' is not in apartment {seed}; it has: {_content(description)}")
    kind = "room" if parsed.target.is_room else "object"
    draft = Episode(f"{seed}-{kind}-given", str(seed), kind, instruction, (0.0, 0.0, 0.0), goals, 0.0)
    return _placed(draft, seed, description, navigable)


def _goals(target, description) -> tuple[Goal, ...]:
    """All goals that the sentence may mean. An anchor ("beside the bed") is used if it narrows them down."""
    if target.is_room:
        rooms = [r for r in description.rooms if r.kind == target.label]
        return tuple(Goal("room", (*_middle(r.rectangles[0]), 0.0), room=r.id) for r in rooms)
    things = [o for o in description.objects if o.category == target.label and target.color in ("", o.color)]
    things = [o for o in things if not any(_is_excluded(o, excluded, description) for excluded in target.excludes)]
    if target.anchor_label:
        anchored = [o for o in things if _is_anchored(o, target, description)]
        things = anchored or things
    return tuple(Goal("object", o.center, instance=o.instance, room=o.room) for o in things)


def _is_excluded(thing, excluded, description) -> bool:
    """Whether all that an exclusion says is true of a thing."""
    if excluded.is_room:
        return any(r.id == thing.room and r.kind == excluded.label for r in description.rooms)
    named = excluded.label in ("", thing.category) and excluded.color in ("", thing.color)
    return named and (not excluded.anchor_label or _is_anchored(thing, excluded, description))


def _is_anchored(thing, target, description) -> bool:
    if target.anchor_is_room:
        return any(r.id == thing.room and r.kind == target.anchor_label for r in description.rooms)
    anchors = [
        o
        for o in description.objects
        if o.category == target.anchor_label and target.anchor_color in ("", o.color) and o is not thing
    ]
    reach = 0.5 * math.hypot(*thing.extent[:2]) + 0.6
    return any(math.dist(thing.center[:2], o.center[:2]) < reach + 0.5 * math.hypot(*o.extent[:2]) for o in anchors)


def _placed(draft: Episode, seed: int, description, navigable) -> Episode:
    """The episode with a start, drawn by the seed from the places far enough from every goal."""
    from ..sim.episodes import GoalRegion

    region = GoalRegion(description, navigable, draft)
    field = region.distance_field
    if not region.mask.any():
        raise InputError(f"'{draft.instruction}': the robot cannot get near it in apartment {seed}; name another thing")
    fit = np.isfinite(field) & (field >= _LEAST_DISTANCE)
    fit &= navigable.clearance >= navigable.robot.footprint_radius + 0.05
    cells = np.argwhere(fit)
    if not len(cells):
        raise InputError(f"'{draft.instruction}': nowhere in apartment {seed} is {_LEAST_DISTANCE:g} m away from it")
    rng = np.random.default_rng([seed, 11])
    cell = cells[int(rng.integers(len(cells)))]
    x, y = (float(v) for v in navigable.grid.centers(cell))
    start = (x, y, float(rng.uniform(-math.pi, math.pi)))
    return Episode(draft.id, draft.scene, draft.kind, draft.instruction, start, draft.goals, float(field[tuple(cell)]))


def _middle(rectangle) -> tuple[float, float]:
    x0, y0, x1, y1 = rectangle
    return (x0 + x1) / 2, (y0 + y1) / 2


def _content(description) -> str:
    things = sorted({f"{o.color} {o.category}".strip() for o in description.objects})
    rooms = sorted({r.kind for r in description.rooms})
    shown = ", ".join(things[:12]) + (", ..." if len(things) > 12 else "")
    return f"{shown}; rooms: {', '.join(rooms)}"
