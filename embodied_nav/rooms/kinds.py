"""Classifies rooms by kind, and rates how likely they hold a target. Knows nothing of paths and policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..frames import MemoryObject
from ..language import Target
from .priors import KINDS, OFTEN_TWICE, room_posterior, rooms_of, shape_scores
from .segmentation import Room, Rooms

#: Least floor area (m^2) of a region that counts as fully seen.
_WHOLE = 6.0
#: Factor on a region's open border share: with half of its border open a room counts as not seen at all.
_OPEN = 2.0
#: Weight of each further thing of the same category.
_AGAIN = 0.3
#: Least probability at which the kind of a seen region counts as found.
_FOUND = 0.7
#: Typicality from which a thing proves a kind, and up to which it is out of place in another kind.
_PROOF, _FOREIGN = 0.85, 0.05


@dataclass(frozen=True, eq=False)
class Region:
    """A room of the map with the estimate of its kind.

    Attributes:
        room: its geometry.
        things: remembered objects in it.
        kinds: probability of each kind of room.
        seen: 0 to 1, how much of it was probably seen.
    """

    room: Room
    things: tuple[MemoryObject, ...]
    kinds: Mapping[str, float]
    seen: float

    @property
    def kind(self) -> str:
        """The likeliest kind."""
        return max(self.kinds, key=lambda k: (self.kinds[k], k))

    def marks(self, kind: str, typical: float) -> list[MemoryObject]:
        """Things at least that typical of a kind."""
        return [o for o in self.things if rooms_of(o.label).get(kind, 0.0) >= typical]

    def is_mixed(self, kind: str) -> bool:
        """Whether it holds proof of this kind as well as of another: two rooms that segmentation did not separate."""
        other = self.kind
        return other != kind and any(rooms_of(o.label).get(other, 0.0) <= _FOREIGN for o in self.marks(kind, _PROOF))


def regions(rooms: Rooms, objects: Sequence[MemoryObject]) -> dict[int, Region]:
    """All regions by their rooms' ids."""
    things: dict[int, list[MemoryObject]] = {room.id: [] for room in rooms.rooms}
    for o in objects:
        room = rooms.of_object(o) if o.status == "present" else None
        if room is not None:
            things[room.id].append(o)
    return {room.id: _region(room, things[room.id]) for room in rooms.rooms}


def _region(room: Room, things: Sequence[MemoryObject]) -> Region:
    seen = min(1.0, room.area / _WHOLE) * max(0.0, 1.0 - _OPEN * room.open_share)
    # A second bookshelf is weaker evidence than the first: it may be its other half, and like things stand together.
    counts = Counter(o.label for o in things)
    labels = tuple((label, min(1.0 + _AGAIN * (n - 1), 2.0)) for label, n in sorted(counts.items()))
    shape = shape_scores(room.area, room.depth, len(room.doors), seen)
    return Region(room, tuple(things), room_posterior(labels, KINDS, seen, shape), seen)


def chance_in(region: Region, target: Target) -> float:
    """0 to 1, how likely such a region holds the target (or its anchor, if it has one)."""
    return max(_chance(region.kinds, target.label, target.is_room), _anchor_chance(region.kinds, target)) * _admitted(
        region.kinds, target
    )


def chance_beyond(found: Mapping[int, Region], target: Target) -> float:
    """0 to 1, how likely an undiscovered room holds the target: kinds already found are less likely."""
    known = {r.kind for r in found.values() if r.seen >= 0.5 and max(r.kinds.values()) >= _FOUND}
    weights = {kind: (0.5 if kind in OFTEN_TWICE else 0.2) if kind in known else 1.0 for kind in KINDS}
    total = sum(weights.values())
    kinds = {kind: weight / total for kind, weight in weights.items()}
    return max(_chance(kinds, target.label, target.is_room), _anchor_chance(kinds, target)) * _admitted(kinds, target)


def _admitted(kinds: Mapping[str, float], target: Target) -> float:
    """Probability that a room is of none of the kinds that a target excludes, and of the one that it must be in."""
    excluded = {e.label for e in target.excludes if e.is_room}
    own = kinds.get(target.room, 0.0) if target.room else 1.0
    return own * (1.0 - sum(kinds.get(kind, 0.0) for kind in excluded))


def _chance(kinds: Mapping[str, float], label: str, is_room: bool) -> float:
    if is_room:
        return kinds.get(label, 0.0)
    typical = rooms_of(label)
    return sum(p * typical.get(kind, 0.0) for kind, p in kinds.items())


def _anchor_chance(kinds: Mapping[str, float], target: Target) -> float:
    return _chance(kinds, target.anchor_label, target.anchor_is_room) if target.anchor_label else 0.0
