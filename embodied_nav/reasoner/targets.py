"""Scores remembered objects, rooms and places as candidates for a target. Knows nothing of paths and policies."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..frames import MemoryObject
from ..language import Target, color_score, label_score
from ..language.vocabulary import KIN, PASSAGES
from ..rooms import Region, Room, Rooms, room_names
from ..rooms.priors import KINDS, room_posterior, rooms_of

#: Least score at which an object counts as the target.
SURE = 0.5
#: Least probability at which a room counts as the target.
_ROOM_SURE = 0.6
#: Typicality from which a thing marks a room's kind; the same for a room that was hardly seen.
_TYPICAL, _PROOF = 0.6, 0.85
#: Share of a room that must be seen to accept weaker marks; least probability of a room without any mark.
_SEEN, _UNMARKED_SURE = 0.5, 0.8
#: Floor area (m^2) that is enough to tell a corridor by its shape, even if its open doors were not looked into.
_LARGE = 5.0
#: Once everything is explored, the best room is accepted from this score and this share of all rooms' odds.
_PERHAPS, _BY_FAR = 0.3, 0.6
#: Gap (m) up to which one thing is beside another.
BESIDE = 1.0
#: Score of what may be excluded: it is looked at, never taken for the target as it is.
_DOUBT = SURE - 0.05
#: Probability from which a thing counts as in a room that is excluded.
_IN_ROOM = 0.5
#: m; passages nearer to each other are one. Cell (m) by which a passage is known again.
_SAME_DOOR, _DOOR_CELL = 1.0, 0.5
#: Keys of places, below those of rooms.
START_KEY, _DOOR_KEY, _NAMED_KEY = -1_000_000, -2_000_000, -1_000_000_000


@dataclass(frozen=True, eq=False)
class Candidate:
    """A possible target: a remembered object, or a room.

    Attributes:
        key: the object's id; for a room -2 - its id; of places less than those.
        name: in words.
        score: 0 to 1, how well it fits; at least :data:`SURE` counts as found.
        note: why, in words ("in what seems to be the kitchen").
        object: as remembered; for a room the thing that marks it best, or None.
        room: None for an object.
        marks: things of a room near which to stop, if it is not separated from another room; else empty.
        place: (x, y) m in map of a place that is neither: where the robot started, or a passage.
    """

    key: int
    name: str
    score: float
    note: str = ""
    object: MemoryObject | None = None
    room: Room | None = None
    marks: tuple[MemoryObject, ...] = ()
    place: tuple[float, float] | None = None


def middle_of(c: Candidate) -> tuple[float, float]:
    """(x, y) m in map, the middle of a candidate."""
    if c.place is not None:
        return c.place
    if c.room is not None:
        return c.room.middle
    assert c.object is not None
    return float(c.object.position[0]), float(c.object.position[1])


def asks_rooms(target: Target) -> bool:
    """Whether the rooms of the map decide what fits a target."""
    excluded = any(e.is_room or e.in_room for e in target.excludes)
    return bool(target.is_room or target.in_room or target.label in PASSAGES or excluded)


def candidates(
    target: Target,
    objects: Sequence[MemoryObject],
    found: Mapping[int, Region],
    rooms: Rooms | None,
    start: tuple[float, float] | None = None,
    places: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> list[Candidate]:
    """Candidates for the target, best first.

    Args:
        target: of the current stage.
        objects: as remembered.
        found: the estimate of each room's kind.
        rooms: of the map; None if the target has nothing to do with rooms.
        start: (x, y) m in map, where the instruction began.
        places: (x, y) m in map of what people gave a name.
    """
    present = [o for o in objects if o.status == "present"]
    if target.named:
        place = places.get(target.label)
        fit = [] if place is None else [Candidate(_key_of(target.label), target.label, 1.0, "as named", place=place)]
    elif target.is_room:
        fit = [_with(target, region, _room_candidate(region, target.label)) for region in found.values()]
        fit = [c for c in fit if c.score > 0.0 and not any(_holds(region_of(c, found), e) for e in target.excludes)]
    elif target.is_place and target.label not in PASSAGES:
        fit = [] if start is None else [Candidate(START_KEY, "place where I started", 1.0, place=start)]
    elif target.is_place:
        doors = _object_candidates(target, present, found, rooms)
        fit = [*doors, *_passages(target, present, found, rooms, [middle_of(c) for c in doors])]
    else:
        fit = _object_candidates(target, present, found, rooms)
    return sorted(fit, key=lambda c: (-c.score, c.key))


def _key_of(name: str) -> int:
    """Key of a named place: the same as long as it is called so."""
    return _NAMED_KEY - zlib.crc32(name.encode()) % 1_000_000_000


def likeliest_room(fit: Sequence[Candidate]) -> Candidate | None:
    """The room that is by far the likeliest of the wanted kind; None if there is none, or no room is asked for.

    Valid only once everything is explored.
    """
    rooms = [c for c in fit if c.room is not None]
    if not rooms or rooms[0].score < _PERHAPS:
        return None
    odds = [c.score / (1.0 - c.score + 1e-6) for c in rooms]
    return rooms[0] if odds[0] >= _BY_FAR * sum(odds) else None


def not_found(
    target: Target, fit: Sequence[Candidate], objects: Sequence[MemoryObject], rooms: Rooms, *, explored: bool,
    blocked: Candidate | None = None,
) -> str:  # fmt: skip
    """Why a search ends, with what comes nearest to the target: it is named, but never accepted as the target.

    Args:
        target: of the present goal.
        fit: its candidates, best first.
        objects: as remembered.
        rooms: of the map, which tell how much was looked at, and where the nearest match is.
        explored: whether nothing was left to explore.
        blocked: a candidate that surely fits, to which no way was free.
    """
    count = f"{len(rooms.rooms)} room{'s' * (len(rooms.rooms) != 1)}"
    said = f"looked everywhere reachable ({count})" if explored else f"gave up with more to explore ({count} seen)"
    if blocked is not None:
        where = _place_of(blocked.object, objects, rooms) if blocked.object is not None else ""
        return f"{said}, but no way to the {blocked.name}{where} is free"
    said += f", no {target.name}"
    if target.ordinal > 1 and 0 < (many := sum(c.score > 0.0 for c in fit)) < target.ordinal:
        return f"{said}: found only {many} of them"
    if fit and fit[0].room is not None:
        return f"{said}: no room is likely enough to be one (the best: {fit[0].score:.0%})"
    near = fit[0].object if fit else _kin(target, objects)
    if near is None:
        return f"{said}; nothing known comes near it"
    note = f" ({fit[0].note})" if fit and fit[0].note else ""
    return f"{said}; nearest match: {near.name}{_place_of(near, objects, rooms)}{note}"


def _kin(target: Target, objects: Sequence[MemoryObject]) -> MemoryObject | None:
    """The thing most like a target that nothing fits: of the same family, best of its colour."""
    family = next((family for family in KIN if target.label in family), frozenset())
    present = [o for o in objects if o.status == "present" and o.label in family]
    return max(present, key=lambda o: (color_score(o.color, target.color), o.confidence, -o.id), default=None)


def _place_of(o: MemoryObject, objects: Sequence[MemoryObject], rooms: Rooms) -> str:
    """ " in the office", "" where that is not known."""
    room = rooms.of_object(o)
    name = "" if room is None else room_names(rooms, objects).get(room.id, "")
    return f" in the {name}" if name else ""


def box_gap(o: MemoryObject, xy: tuple[float, float]) -> float:
    """Horizontal distance (m) from a place to an object's box."""
    dx = max(abs(xy[0] - o.position[0]) - 0.5 * o.extent[0], 0.0)
    dy = max(abs(xy[1] - o.position[1]) - 0.5 * o.extent[1], 0.0)
    return math.hypot(dx, dy)


def objects_gap(a: MemoryObject, b: MemoryObject) -> float:
    """Horizontal distance (m) between two objects' boxes."""
    dx = max(abs(a.position[0] - b.position[0]) - 0.5 * (a.extent[0] + b.extent[0]), 0.0)
    dy = max(abs(a.position[1] - b.position[1]) - 0.5 * (a.extent[1] + b.extent[1]), 0.0)
    return math.hypot(dx, dy)


def _object_candidates(
    target: Target, objects: list[MemoryObject], found: Mapping[int, Region], rooms: Rooms | None
) -> list[Candidate]:
    fit = []
    for o in objects:
        score = label_score(o.label, target.label) * color_score(o.color, target.color)
        if score <= 0.0:
            continue
        note = ""
        if target.in_room:
            p = _chance_in_room(o, target.in_room, found, rooms)
            score *= 0.4 + 0.6 * p
            note = f"in what may be the {target.in_room}" if p >= 0.5 else ""
        if target.anchor_label and not target.anchor_is_room:
            factor, note = _anchor_factor(target, o, objects)
            score *= factor
        most = min((_allowed(o, e, objects, found, rooms) for e in target.excludes), default=1.0)
        if most > 0.0:
            fit.append(Candidate(o.id, o.name, min(score, most), note, o))
    return fit


def _chance_in_room(o: MemoryObject, kind: str, found: Mapping[int, Region], rooms: Rooms | None) -> float:
    room = None if rooms is None else rooms.of_object(o)
    return 0.0 if room is None else _room_candidate(found[room.id], kind).score


def _allowed(
    o: MemoryObject,
    excluded: Target,
    objects: list[MemoryObject],
    found: Mapping[int, Region],
    rooms: Rooms | None,
) -> float:
    """Highest score that an exclusion leaves an object: 0 if it is excluded, :data:`_DOUBT` if it may be, else 1."""
    doubts = []
    room = excluded.label if excluded.is_room else excluded.in_room
    if room:
        placed = rooms is not None and rooms.of_object(o) is not None
        doubts.append(_chance_in_room(o, room, found, rooms) if placed else 0.3)
    if excluded.label and not excluded.is_room:
        doubts.append(1.0 if label_score(o.label, excluded.label) >= 1.0 else 0.0)
    if excluded.color:
        doubts.append(0.3 if not o.color else float(o.color == excluded.color))
    if excluded.anchor_label and not excluded.anchor_is_room:
        doubts.append(1.0 if _anchor_factor(excluded, o, objects)[0] >= 1.0 else 0.0)
    sure = min(doubts, default=1.0)  # all that it says must be true of the object
    return 0.0 if sure >= _IN_ROOM else _DOUBT if sure >= 0.2 else 1.0


def _passages(
    target: Target,
    objects: list[MemoryObject],
    found: Mapping[int, Region],
    rooms: Rooms | None,
    known: list[tuple[float, float]],
) -> list[Candidate]:
    """Passages between the rooms of the map, but those that perception names as doors already."""
    fit: list[Candidate] = []
    taken = list(known)
    for room in sorted(rooms.rooms if rooms is not None else (), key=lambda r: r.id):
        for door in room.doors:
            if any(math.dist(door.position, other) < _SAME_DOOR for other in taken):
                continue
            taken.append(door.position)
            sides = [found[i] for i in (room.id, door.neighbor) if i in found]
            score = 1.0
            if target.in_room:
                score = max((_room_candidate(side, target.in_room).score for side in sides), default=0.0)
            elif target.anchor_label:
                gaps = [box_gap(o, door.position) for o in objects if _is_anchor(target, o)]
                score = 1.0 if min(gaps, default=math.inf) <= BESIDE else 0.3
            barred = {e.label for e in target.excludes if e.is_room}
            if any(_room_candidate(side, kind).score >= _IN_ROOM for side in sides for kind in barred):
                continue
            row, column = (round(v / _DOOR_CELL) for v in door.position)
            key = _DOOR_KEY - (row % 1000) * 1000 - column % 1000
            fit.append(Candidate(key, "door", score, place=door.position))
    return fit


def _is_anchor(target: Target, o: MemoryObject) -> bool:
    return label_score(o.label, target.anchor_label) * color_score(o.color, target.anchor_color) >= SURE


def region_of(c: Candidate, found: Mapping[int, Region]) -> Region:
    """The region of a candidate that is a room."""
    assert c.room is not None
    return found[c.room.id]


def _with(target: Target, region: Region, c: Candidate) -> Candidate:
    """A room as a candidate for "the kitchen with the plant": only one in which such a thing was seen is sure."""
    if not target.anchor_label or any(_is_anchor(target, o) for o in region.things):
        return c
    return replace(c, score=min(c.score, _DOUBT), note=f"no {target.anchor_label} seen in it")


def _holds(region: Region, excluded: Target) -> bool:
    """Whether a room is excluded: by what stands in it."""
    return bool(excluded.anchor_label) and any(_is_anchor(excluded, o) for o in region.things)


def _anchor_factor(target: Target, o: MemoryObject, objects: list[MemoryObject]) -> tuple[float, str]:
    """How well an object fulfils the relation to its anchor: 1 right beside it, below :data:`SURE` far from any."""
    gaps = [objects_gap(o, a) for a in objects if a.id != o.id and _is_anchor(target, a)]
    if not gaps:
        return 0.4, f"no {target.anchor_label} known beside it"
    gap = min(gaps)
    near = f"{gap:.1f} m from the {target.anchor_label}"
    return (1.0, near) if gap <= BESIDE else (max(0.2, 0.6 - 0.15 * gap), near)


def _room_candidate(region: Region, kind: str) -> Candidate:
    """A region as a candidate room; it counts as found only with evidence from its marks or its shape."""
    marks = region.marks(kind, _TYPICAL)
    best = max(marks, key=lambda o: (rooms_of(o.label)[kind], -o.id), default=None)
    mixed = region.is_mixed(kind)
    p, near = region.kinds.get(kind, 0.0), _around_marks(region, kind, marks)
    if mixed:
        p = max(p, near)
    proven = best is not None and rooms_of(best.label)[kind] >= _PROOF
    looked = region.seen >= _SEEN or (not marks and region.room.area >= _LARGE)
    sure = p >= _ROOM_SURE and (proven or (looked and (bool(marks) or p >= _UNMARKED_SURE)))
    note = (f"with the {best.name}" if best else "by its shape") if sure else "perhaps"
    # Room kinds are estimates: a bare majority is not enough.
    score = p if sure else min(max(p, near), SURE - 0.01)
    by_marks = mixed or (not sure and near > p)
    return Candidate(-2 - region.room.id, kind, score, note, best, region.room, tuple(marks) if by_marks else ())


def _around_marks(region: Region, kind: str, marks: Sequence[MemoryObject]) -> float:
    """Probability of a kind from the things around its marks only, since a region may be two rooms."""
    best = 0.0
    for mark in marks:
        around = [(o.label, math.exp(-objects_gap(mark, o) / 2.0)) for o in region.things if o.id != mark.id]
        best = max(best, room_posterior([(mark.label, 1.0), *around], KINDS, region.seen).get(kind, 0.0))
    return best
