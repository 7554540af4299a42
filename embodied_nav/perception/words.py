"""Motion, places and changes in words, and what of them concerns an instruction. Knows nothing of pixels.

The form is Embodied-R's: ``After {action}, Observe: {new spatial information}; {what concerns the instruction}``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from ..frames import ObjectObservation
from .color_names import COLOR_NAMES

#: Embodied-R's ten actions, and ``stay``.
ACTIONS = (
    "move forward", "move backward", "move left", "move right", "move up", "move down",
    "rotate left", "rotate right", "tilt up", "tilt down", "stay",
)  # fmt: skip

#: Other words for a label.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "sofa": ("couch", "settee", "loveseat"),
    "armchair": ("easy chair", "recliner"),
    "tv": ("television", "tv set", "telly"),
    "refrigerator": ("fridge", "freezer"),
    "oven": ("stove", "cooker", "range"),
    "plant": ("potted plant", "houseplant", "flower"),
    "bookshelf": ("bookcase", "book shelf"),
    "wardrobe": ("closet",),
    "nightstand": ("bedside table", "night table"),
    "dresser": ("chest of drawers",),
    "toilet": ("wc", "lavatory"),
    "sink": ("washbasin", "basin"),
    "bathtub": ("bath", "tub"),
    "lamp": ("light", "floor lamp"),
    "rug": ("carpet", "mat"),
    "trash can": ("bin", "garbage can", "waste basket"),
    "washing machine": ("washer",),
    "desk": ("writing table",),
    "picture": ("painting",),
    "gray": ("grey",),
    "turquoise": ("teal", "cyan", "aqua"),
    "purple": ("violet", "lilac"),
    "brown": ("tan", "beige"),
}

#: Labels of things without a category.
NAMELESS = ("object", "surface")

#: Up in a map that follows REP-103.
UP = np.array([0.0, 0.0, 1.0])
#: Motion (m, rad) below which the camera stayed.
_STAY = (0.03, 0.03)


def action_words(T_map_previous: np.ndarray, T_map_current: np.ndarray, up: np.ndarray = UP) -> str:
    """The camera's motion as the one of :data:`ACTIONS` that says most of it; ``up`` is a direction in map."""
    level = _levelling(up)
    T_map_previous, T_map_current = level @ T_map_previous, level @ T_map_current
    heading = _heading(T_map_previous)
    left = np.array([-heading[1], heading[0]])
    shift = T_map_current[:3, 3] - T_map_previous[:3, 3]
    turn = _heading(T_map_current)
    yaw = math.atan2(heading[0] * turn[1] - heading[1] * turn[0], float(heading @ turn))
    tilt = _elevation(T_map_current) - _elevation(T_map_previous)
    moves = (
        (float(heading @ shift[:2]), "move forward", "move backward", _STAY[0]),
        (float(left @ shift[:2]), "move left", "move right", _STAY[0]),
        (float(shift[2]), "move up", "move down", _STAY[0]),
        (yaw, "rotate left", "rotate right", _STAY[1]),
        (tilt, "tilt up", "tilt down", _STAY[1]),
    )
    # One radian weighs as much as one metre: both change about half of what a camera sees.
    amount, positive, negative, least = max(moves, key=lambda m: abs(m[0]))
    if not abs(amount) > least:
        return "stay"
    return positive if amount > 0 else negative


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
    """What a thing is called: its name, and its size where the label says no more than that it is a thing."""
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
    """The whole delta in words, and what of it concerns the instruction.

    Args:
        action: one of :data:`ACTIONS`.
        T_map_camera: 4x4 of the current keyframe.
        objects, new, gone, moved: as in ``SemanticDelta``.
        instruction: the sentence the robot follows.
        first: there is no previous keyframe.
        up: direction in map.
        limit: at most so many objects are named in each part, nearest first.
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

    A label counts by itself, by a synonym or by its last word ("table" for "dining table"). Where the instruction gives
    the label a colour, objects of another colour stay out. A thing without a category counts by its colour.
    """
    sentence = " " + " ".join(re.findall(r"[a-z]+", instruction.lower())) + " "
    scored = [(_relevance(sentence, o.label, o.color), o) for o in objects]
    return [o for score, o in sorted(scored, key=lambda s: -s[0]) if score > 0]


def _relevance(sentence: str, label: str, color: str) -> int:
    if label in NAMELESS:
        return int(bool(color) and any(_found(sentence, word) for word in _words(color)))
    phrases = [(word, 3) for word in _words(label)]
    if " " in label:
        phrases.append((label.rsplit(" ", 1)[-1], 1))
    for word, score in phrases:
        for found in re.finditer(rf"(?<= ){re.escape(word)}(?:s|es)? ", sentence):
            asked = _color_before(sentence[: found.start()])
            if not asked or not color:
                return score
            if asked == color:
                return score + 2
    return 0


def _found(sentence: str, word: str) -> bool:
    return f" {word} " in sentence


def _color_before(text: str) -> str:
    """The colour among the two words before a noun, by its contract name."""
    for word in reversed(text.split()[-2:]):
        if word in _color_of_word():
            return _color_of_word()[word]
    return ""


def _words(name: str) -> tuple[str, ...]:
    return (name, *SYNONYMS.get(name, ()))


@lru_cache(maxsize=1)
def _color_of_word() -> dict[str, str]:
    return {word: color for color in COLOR_NAMES for word in _words(color)}


def _levelling(up: np.ndarray) -> np.ndarray:
    """4x4 rotation that turns ``up`` (unit) into z the shortest way (Rodrigues)."""
    T = np.eye(4)
    axis, c = np.cross(up, UP), float(up[2])
    if c < -0.9999:
        T[1, 1] = T[2, 2] = -1.0
        return T
    K = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    T[:3, :3] += K + K @ K / (1.0 + c)
    return T


def _heading(T_map_camera: np.ndarray) -> np.ndarray:
    """Unit (x, y) of where the camera looks; looking straight up or down, of the image's top edge."""
    T = np.asarray(T_map_camera, dtype=np.float64)
    forward = T[:2, 2]
    if np.linalg.norm(forward) < 0.1:
        forward = -T[:2, 1] * (1.0 if T[2, 2] < 0 else -1.0)
    return forward / max(float(np.linalg.norm(forward)), 1e-9)


def _elevation(T_map_camera: np.ndarray) -> float:
    return math.asin(min(1.0, max(-1.0, float(np.asarray(T_map_camera)[2, 2]))))
