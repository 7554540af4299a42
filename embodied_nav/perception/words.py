"""Describes motion, places and changes in words, and selects what concerns an instruction. Knows nothing of pixels.

The form is Embodied-R's: ``After {action}, Observe: {new spatial information}; {what concerns the instruction}``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ..frames import ObjectObservation
from ..language.matching import colors_in, names_thing

#: Embodied-R's ten actions, and ``stay``.
ACTIONS = (
    "move forward", "move backward", "move left", "move right", "move up", "move down",
    "rotate left", "rotate right", "tilt up", "tilt down", "stay",
)  # fmt: skip

#: Labels of objects without a category.
NAMELESS = ("object", "surface")

#: Up in a map that follows REP-103.
UP = np.array([0.0, 0.0, 1.0])
#: Motion (m, rad) below which the action is ``stay``.
_STAY = (0.03, 0.03)


def action_words(T_map_previous: np.ndarray, T_map_current: np.ndarray, up: np.ndarray = UP) -> str:
    """The dominant one of :data:`ACTIONS` in the camera's motion; ``up`` is a direction in map."""
    # One radian counts as much as one metre: both change about half of the view.
    amount, positive, negative, least = max(_moves(T_map_previous, T_map_current, up), key=lambda m: abs(m[0]))
    if not abs(amount) > least:
        return "stay"
    return positive if amount > 0 else negative


def motion_words(poses: Sequence[np.ndarray], up: np.ndarray = UP) -> str:
    """The camera's way through some poses with its measures: "rotate left 31 degrees, then move forward 0.60 m".

    Args:
        poses: at least two 4x4, map from optical frame, in order.
        up: direction in map.
    """
    steps = [_step_words(a, b, up) for a, b in pairwise(poses)]
    return ", then ".join(step for step in steps if step) or "stay"


def _step_words(T_map_previous: np.ndarray, T_map_current: np.ndarray, up: np.ndarray) -> str:
    """All motions between two poses, the largest first; "" for none."""
    moves = sorted(_moves(T_map_previous, T_map_current, up), key=lambda m: -abs(m[0]))
    return " and ".join(
        f"{positive if amount > 0 else negative} {_measure(abs(amount), positive)}"
        for amount, positive, negative, least in moves
        if abs(amount) > least
    )


def _measure(amount: float, action: str) -> str:
    return f"{amount:.2f} m" if action.startswith("move") else f"{math.degrees(amount):.0f} degrees"


def _moves(
    T_map_previous: np.ndarray, T_map_current: np.ndarray, up: np.ndarray
) -> tuple[tuple[float, str, str, float], ...]:
    """(amount in m or rad, action if positive, action if negative, least amount that counts) of each kind of motion."""
    level = _levelling(up)
    T_map_previous, T_map_current = level @ T_map_previous, level @ T_map_current
    heading = _heading(T_map_previous)
    left = np.array([-heading[1], heading[0]])
    shift = T_map_current[:3, 3] - T_map_previous[:3, 3]
    turn = _heading(T_map_current)
    yaw = math.atan2(heading[0] * turn[1] - heading[1] * turn[0], float(heading @ turn))
    tilt = _elevation(T_map_current) - _elevation(T_map_previous)
    return (
        (float(heading @ shift[:2]), "move forward", "move backward", _STAY[0]),
        (float(left @ shift[:2]), "move left", "move right", _STAY[0]),
        (float(shift[2]), "move up", "move down", _STAY[0]),
        (yaw, "rotate left", "rotate right", _STAY[1]),
        (tilt, "tilt up", "tilt down", _STAY[1]),
    )


def place_words(T_map_camera: np.ndarray, position: np.ndarray, up: np.ndarray = UP) -> str:
    """Direction and distance of a map position from the camera: ``ahead left at 2.1 m``."""
    level = _levelling(up)
    T_map_camera, position = level @ T_map_camera, level[:3, :3] @ np.asarray(position, dtype=np.float64)
    offset = position - T_map_camera[:3, 3]
    distance = float(np.linalg.norm(offset))
    heading = _heading(T_map_camera)
    bearing = math.atan2(heading[0] * offset[1] - heading[1] * offset[0], float(heading @ offset[:2]))
    side = "left" if bearing > 0 else "right"
    angle = abs(math.degrees(bearing))
    if angle < 10:
        where = "ahead"
    elif angle < 45:
        where = f"ahead {side}"
    elif angle < 120:
        where = f"{side}"
    else:
        where = "behind"
    return f"{where} at {distance:.1f} m"


def thing_words(observation: ObjectObservation) -> str:
    """What an object is called: its name, and its size too if it has no category."""
    if observation.label not in NAMELESS:
        return observation.name
    edge = float(np.max(observation.extent))
    size = "small" if edge < 0.35 else "large" if edge >= 1.0 else ""
    return f"{size} {observation.name}".strip()


def describe(
    action: str,
    T_map_camera: np.ndarray,
    objects: Sequence[ObjectObservation],
    new: Sequence[ObjectObservation],
    gone: Sequence[ObjectObservation],
    moved: Sequence[ObjectObservation],
    instruction: str,
    *,
    first: bool = False,
    up: np.ndarray = UP,
    limit: int = 6,
) -> tuple[str, str]:
    """The whole delta in words, and the part that concerns the instruction.

    Args:
        action: one of :data:`ACTIONS`.
        T_map_camera: 4x4 of the current keyframe.
        objects, new, gone, moved: as in ``SemanticDelta``.
        instruction: the sentence the robot follows.
        first: there is no previous keyframe.
        up: direction in map.
        limit: largest number of objects named in each part, nearest first.
    """
    here = np.asarray(T_map_camera)[:3, 3]

    def listed(observations: Iterable[ObjectObservation]) -> str:
        ranked = sorted(observations, key=lambda o: float(np.linalg.norm(o.position - here)))
        words = [f"{thing_words(o)} {place_words(T_map_camera, o.position, up)}" for o in ranked[:limit]]
        return ", ".join(words) + (f" and {len(ranked) - limit} more" if len(ranked) > limit else "")

    parts = [
        f"{word} {listed(observations)}"
        for word, observations in (("new", new), ("moved", moved), ("gone", gone))
        if observations
    ]
    concern = relevant_objects(instruction, objects)
    relevant = listed(concern)
    lost = relevant_objects(instruction, gone)
    if lost:
        relevant = "; ".join(p for p in (relevant, f"no longer there: {listed(lost)}") if p)
    start = "At the start" if first else f"After {action}"
    text = f"{start}, Observe: {'; '.join(parts) or 'nothing new'}; {relevant or 'nothing that the instruction names'}"
    return text, relevant


def relevant_objects(instruction: str, objects: Iterable[ObjectObservation]) -> list[ObjectObservation]:
    """Objects that an instruction names, best match first.

    A label matches by itself, by a synonym or by its last word ("table" for "dining table"). If the instruction gives
    the label a colour, objects of another colour are excluded. An object without a category matches by its colour.
    """
    scored = [(_relevance(instruction, o.label, o.color), o) for o in objects]
    return [o for score, o in sorted(scored, key=lambda s: -s[0]) if score > 0]


def _relevance(instruction: str, label: str, color: str) -> int:
    if label in NAMELESS:
        return int(color in colors_in(instruction))
    return names_thing(instruction, label, color)


def _levelling(up: np.ndarray) -> np.ndarray:
    """4x4 smallest rotation that turns ``up`` (unit) into z (Rodrigues)."""
    T = np.eye(4)
    axis, c = np.cross(up, UP), float(up[2])
    if c < -0.9999:
        T[1, 1] = T[2, 2] = -1.0
        return T
    K = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    T[:3, :3] += K + K @ K / (1.0 + c)
    return T


def _heading(T_map_camera: np.ndarray) -> np.ndarray:
    """Unit (x, y) of the viewing direction; looking straight up or down, of the image's top edge."""
    T = np.asarray(T_map_camera, dtype=np.float64)
    forward = T[:2, 2]
    if np.linalg.norm(forward) < 0.1:
        forward = -T[:2, 1] * (1.0 if T[2, 2] < 0 else -1.0)
    return forward / max(float(np.linalg.norm(forward)), 1e-9)


def _elevation(T_map_camera: np.ndarray) -> float:
    return math.asin(min(1.0, max(-1.0, float(np.asarray(T_map_camera)[2, 2]))))
