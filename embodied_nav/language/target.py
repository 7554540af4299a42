"""What a sentence asks for: goals in order, each with what it must and must not be. Knows no grammar and no maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .vocabulary import PASSAGES, PLACE_WORDS, ROOM_WORDS

#: In routes the distance to a thing is at least the distance to its middle minus this (m): routes lead to points.
ROUTE_RADIUS = 0.7


@dataclass(frozen=True)
class Target:
    """One thing to go to, or a description of what must not be gone to (:attr:`excludes`).

    Attributes:
        label: category of the object, kind of the room, or a place ("start", "door"); "" only in an exclusion.
        color: of the object, "" if not given.
        is_room: whether the label is a kind of room.
        relation: word between the target and its anchor ("beside"), "" without one.
        anchor_label, anchor_color: the object (or, for "in", the room) that it stands in relation to.
        room: kind of the room that it is in, besides an anchor that is an object.
        radius: m; the distance to it is at least that to its middle minus this: finite for the points of a route.
        passing: whether it is a way point: to be passed, not stopped at.
        ordinal: which one in order, from 1; 0: any.
        rank: "nearest", "farthest", "biggest", "smallest", "last", "other" (than those visited before), or "".
        side: "left" or "right" as seen where the instruction begins; "from left", "from right": counted from there.
        excludes: what it must not be; each holds a label, a colour, a room or a relation.
        unless: label; the goal is skipped where such a thing is at it.
        named: whether the label is the name of a place that somebody gave one.
    """

    label: str
    color: str = ""
    is_room: bool = False
    relation: str = ""
    anchor_label: str = ""
    anchor_color: str = ""
    room: str = ""
    radius: float = math.inf
    passing: bool = False
    ordinal: int = 0
    rank: str = ""
    side: str = ""
    excludes: tuple[Target, ...] = ()
    unless: str = ""
    named: bool = False

    @property
    def is_point(self) -> bool:
        """Whether it is a way point or the end of a route."""
        return math.isfinite(self.radius)

    @property
    def is_place(self) -> bool:
        """Whether it is a place of the map: named by somebody, where the robot started, or a passage between rooms."""
        return self.named or self.label in PLACE_WORDS or (self.label in PASSAGES and not self.color)

    @property
    def kind(self) -> str:
        """``object``, ``room``, ``relation``, ``route`` or ``place``."""
        if self.is_point:
            return "route"
        if self.is_place:
            return "place"
        return "room" if self.is_room else "relation" if self.anchor_label else "object"

    @property
    def name(self) -> str:
        """Description in words: "second red sofa beside the bed", "chair, not brown"."""
        ordinal = _ORDINAL_NAMES.get(self.ordinal, f"{self.ordinal}th") if self.ordinal else ""
        words = [ordinal, self.rank, self.color, self.label]
        if self.anchor_label:
            words += [self.relation, "the", self.anchor_color, self.anchor_label]
        if self.side:
            words += self.side.replace("from ", "from the ").split() if " " in self.side else ["on the", self.side]
        if self.room:
            words += ["in the", self.room]
        own = " ".join(word for word in words if word)
        return ", ".join((own, *(f"not {excluded.name}" for excluded in self.excludes)))

    @property
    def anchor_is_room(self) -> bool:
        """Whether the anchor is a room ("the lamp in the bedroom")."""
        return self.anchor_label in ROOM_WORDS

    @property
    def in_room(self) -> str:
        """Kind of the room that it must be in, "" for any."""
        return self.anchor_label if self.anchor_is_room and not self.is_room else self.room


_ORDINAL_NAMES = {1: "first", 2: "second", 3: "third"}


@dataclass(frozen=True)
class Instruction:
    """A parsed sentence.

    Attributes:
        text: the original sentence.
        stages: its goals, and the way points before them, in order; at least one.
        notes: what was read otherwise than it stands there, such as "'soffa' read as 'sofa'".
        names: the name that it gives to where the robot stands; then it asks for no way. "" for all others.
    """

    text: str
    stages: tuple[Target, ...]
    notes: tuple[str, ...] = ()
    names: str = ""

    @property
    def target(self) -> Target:
        """Where to stop last."""
        return self.stages[-1]

    @property
    def waypoints(self) -> tuple[Target, ...]:
        """All goals and way points before the last goal."""
        return self.stages[:-1]

    @property
    def kind(self) -> str:
        """Of its goals, where all are of one kind or it has one; else ``compound``."""
        kinds = {stage.kind for stage in self.stages}
        return kinds.pop() if kinds == {"route"} or len(self.stages) == 1 else "compound"
