"""What an instruction asks for: which object or room, beside what, past what. Knows nothing of maps and of models."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from ..errors import InputError

#: Kinds of rooms and other words for them.
ROOM_WORDS = {
    "living room": ("living room", "lounge", "sitting room", "family room"),
    "kitchen": ("kitchen", "kitchenette"),
    "bedroom": ("bedroom", "sleeping room"),
    "bathroom": ("bathroom", "bath room", "washroom", "restroom", "toilet room"),
    "office": ("office", "study", "home office", "workroom"),
    "dining room": ("dining room", "eating room"),
    "hallway": ("hallway", "corridor", "hall", "entrance hall", "entrance", "entryway"),
    "nursery": ("nursery", "children's room", "childrens room", "kids room", "kid's room", "playroom", "child's room"),
    "laundry room": ("laundry room", "laundry", "utility room"),
    "storage room": ("storage room", "storage", "storeroom", "store room", "pantry"),
    "library": ("library", "reading room"),
    "gym": ("gym", "fitness room", "exercise room"),
}

#: Routes lead from point to point: standing near a thing means near its middle, less this (m).
ROUTE_RADIUS = 0.7

#: Other words for categories of objects.
SYNONYMS = {
    "couch": "sofa",
    "settee": "sofa",
    "fridge": "refrigerator",
    "freezer": "refrigerator",
    "television": "tv",
    "tv set": "tv",
    "telly": "tv",
    "stove": "oven",
    "cooker": "oven",
    "potted plant": "plant",
    "houseplant": "plant",
    "flower": "plant",
    "bath": "bathtub",
    "bath tub": "bathtub",
    "tub": "bathtub",
    "wash basin": "washbasin",
    "basin": "washbasin",
    "hand basin": "washbasin",
    "bookcase": "bookshelf",
    "book shelf": "bookshelf",
    "closet": "wardrobe",
    "cupboard": "cabinet",
    "night stand": "nightstand",
    "bedside table": "nightstand",
    "seat": "chair",
    "carpet": "rug",
    "washer": "washing machine",
    "bin": "trash can",
    "waste bin": "trash can",
    "garbage can": "trash can",
    "desk chair": "office chair",
}

COLORS = (
    "red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "gray", "turquoise",
)  # fmt: skip
_COLOR_SYNONYMS = {"grey": "gray", "violet": "purple", "teal": "turquoise", "cyan": "turquoise", "beige": "brown"}

#: Relations between two objects, longest first so that "next to" is not read as "to".
_RELATIONS = (
    "on the left of", "on the right of", "to the left of", "to the right of", "at the foot of", "in front of",
    "left of", "right of", "across from", "close to", "next to", "opposite", "adjacent to", "beside", "besides",
    "behind", "under", "below", "above", "near", "against", "inside", "by", "on", "at", "in", "with",
)  # fmt: skip
_VERBS = (
    r"(?:please|now|then|and|first|finally|you|should|can|could|robot|"
    r"find|go|goto|get|walk|drive|move|head|navigate|come|proceed|turn|look|search|seek|locate|reach|visit|show|bring|take|approach|"
    r"stop|halt|stand|wait|end|arrive|on|onto|to|towards|toward|for|at|by|in|into|inside|near|beside|next|over|me|us|up|out|there|here)"
)
_PASS = re.compile(
    r"^(?:then |and |first )*(?:walk |go |drive |move |head )?(?:pass|past|passing|pass by|via|by way of)\b"
)
_LEAVE = re.compile(r"^(?:then |and |first )*(?:leave|exit|get out of|go out of|walk out of|come out of)\b")


@dataclass(frozen=True)
class Target:
    """One thing to go to.

    Attributes:
        label: category of the object, or kind of the room.
        color: of the object, "" where not said.
        is_room: whether the label is a kind of room.
        relation: word between the target and its anchor ("beside"), "" without one.
        anchor_label, anchor_color: the object (or, for "in", the room) that it stands in relation to.
        radius: m; being near means near its middle by this much, too: for the points of a route.
    """

    label: str
    color: str = ""
    is_room: bool = False
    relation: str = ""
    anchor_label: str = ""
    anchor_color: str = ""
    radius: float = math.inf

    @property
    def is_point(self) -> bool:
        """Whether it is a point of a route."""
        return math.isfinite(self.radius)

    @property
    def name(self) -> str:
        """In words: "red sofa beside the bed"."""
        own = f"{self.color} {self.label}".strip()
        anchor = f"{self.anchor_color} {self.anchor_label}".strip()
        return f"{own} {self.relation} the {anchor}" if anchor else own

    @property
    def anchor_is_room(self) -> bool:
        """Whether it stands in relation to a room ("the lamp in the bedroom")."""
        return self.anchor_label in ROOM_WORDS


@dataclass(frozen=True)
class Instruction:
    """A parsed sentence.

    Attributes:
        text: as it was given.
        kind: ``object``, ``relation``, ``room`` or ``route``.
        target: where to stop.
        waypoints: what to pass before, in order.
    """

    text: str
    kind: str
    target: Target
    waypoints: tuple[Target, ...] = ()

    @property
    def stages(self) -> tuple[Target, ...]:
        """Way points, then the target."""
        return (*self.waypoints, self.target)


def parse_instruction(text: str) -> Instruction:
    """Reads an English instruction.

    Raises:
        InputError: empty, or nothing in it names a thing or a room.
    """
    cleaned = re.sub(r"\s+", " ", re.sub(r"[.!?;:\"()]", " ", text.lower())).strip()
    clauses = [c.strip() for c in re.split(r",|\bthen\b|\band (?=stop|go|find|pass|walk|leave)", cleaned) if c.strip()]
    waypoints: list[Target] = []
    target = None
    for clause in clauses:
        clause = re.sub(r"^(?:and|then|finally|first)\s+", "", clause)
        if _LEAVE.match(clause):
            continue
        passing = _PASS.match(clause)
        if passing:
            things = (_target(part) for part in re.split(r"\band\b", clause[passing.end() :]))
            waypoints.extend(thing for thing in things if thing is not None)
            continue
        found = _target(clause)
        if found is not None:
            if target is not None:
                # "go to the red sofa, stop beside it" names one target; two named ones are passed in order.
                waypoints.append(target)
            target = found
    if target is None and waypoints:
        target = waypoints.pop()
    if target is None:
        raise InputError(f"instruction '{text}' names no object and no room; say for example 'find the red sofa'")
    kind = "route" if waypoints or (len(clauses) > 1 and any(_LEAVE.match(c) for c in clauses)) else "object"
    if kind == "object" and target.is_room:
        kind = "room"
    elif kind == "object" and target.anchor_label:
        kind = "relation"
    if kind == "route":
        target = replace(target, radius=ROUTE_RADIUS)
        waypoints = [replace(w, radius=ROUTE_RADIUS) for w in waypoints]
    return Instruction(text, kind, target, tuple(waypoints))


def _target(clause: str) -> Target | None:
    """The thing a clause names, with its anchor."""
    rest = re.sub(rf"^(?:{_VERBS}\s+)+", "", clause + " ").strip()
    rest = re.sub(r"^(?:the|a|an|some|any|this|that|my|your|our)\s+", "", rest)
    if not rest or rest in ("it", "them", "room", "this room", "one"):
        return None
    for relation in _RELATIONS:
        parts = re.split(
            rf"\s(?:(?:that|which) (?:is|stands) )?{relation}\s(?:the |a |an |my |your )?", f"{rest} ", maxsplit=1
        )
        if len(parts) == 2 and parts[0].strip() and parts[1].strip() and parts[1].strip() not in ("it", "them"):
            own, anchor = _noun(parts[0]), _noun(parts[1])
            if own is None:
                return None
            label, color = anchor or ("", "")
            return Target(own[0], own[1], own[0] in ROOM_WORDS, relation, label, color)
    own = _noun(re.split(r"\s(?:and|that|which|with|so)\s", rest)[0])
    return None if own is None else Target(own[0], own[1], own[0] in ROOM_WORDS)


def _noun(words: str) -> tuple[str, str] | None:
    """(label, colour) of a noun phrase, synonyms resolved."""
    color, kept = "", []
    for word in words.strip().split():
        word = _COLOR_SYNONYMS.get(word, word)
        if word in COLORS:
            color = word
        elif word not in (
            "the",
            "a",
            "an",
            "nearest",
            "closest",
            "this",
            "that",
            "next",
            "of",
            "light",
            "dark",
            "it",
            "first",
            "there",
            "again",
        ):
            kept.append(word)
    name = " ".join(kept)
    if not name:
        return None
    for kind, names in ROOM_WORDS.items():
        if not color and name in names:
            return kind, ""
    return SYNONYMS.get(name, name), color
