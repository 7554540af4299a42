"""States as JSON-able dictionaries, and all back that a policy reads but the grid. Knows no files.

Of the grid only the rooms are kept, with their kinds, sizes and doors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...frames import Decision, MemoryObject, ObjectObservation, OccupancyGrid, Option, SemanticDelta
from ...language import parse_instruction
from ...reasoner import Context
from ...reasoner.options import Facts, RoomFact
from ...rooms import regions, segment_rooms

#: Of a row; rows of another version are refused.
VERSION = 1
#: Decisions of before that are kept.
_LAST = 5
_NO_GRID = OccupancyGrid(np.full((1, 1), -1, np.int8), 0.05, (0.0, 0.0))


@dataclass(frozen=True)
class RoomShape:
    """A room as segmented.

    Attributes:
        id: as in ``doors`` of others. middle: (x, y) m. area: m^2 known so far. seen: 0 to 1, how much was seen.
        kinds: probability of each kind, the likeliest first, those below 0.02 left out.
        doors: (x, y, width, id of the room behind), m.
        objects: ids of the objects in it.
    """

    id: int
    middle: tuple[float, float]
    area: float
    seen: float
    kinds: tuple[tuple[str, float], ...]
    doors: tuple[tuple[float, float, float, int], ...]
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Past:
    """An earlier decision: what kind of option, its text, its place (m in map) and when (s)."""

    kind: str
    text: str
    position: tuple[float, float] | None
    time: float


@dataclass(frozen=True, eq=False)
class Recorded:
    """A state as read back.

    Attributes:
        context: as the policy got it, but without the map (its grid is one unknown cell).
        rooms: of the map. past: the last decisions, oldest first. time: s since the start. driven: m.
    """

    context: Context
    rooms: tuple[RoomShape, ...]
    past: tuple[Past, ...]
    time: float
    driven: float


def record_of(context: Context, decisions: Sequence[Decision], time: float, driven: float) -> Recorded:
    """The state of a context while its grid is at hand.

    Args:
        decisions: of before. time: s since the start. driven: m.
    """
    rooms = segment_rooms(context.grid, None, context.objects)
    found = regions(rooms, context.objects)
    facts = []
    for room in rooms.rooms:
        region = found[room.id]
        kinds = sorted(((k, float(p)) for k, p in region.kinds.items() if p >= 0.02), key=lambda kp: (-kp[1], kp[0]))
        doors = tuple((float(d.position[0]), float(d.position[1]), float(d.width), int(d.neighbor)) for d in room.doors)
        middle = (float(room.middle[0]), float(room.middle[1]))
        things = tuple(o.id for o in region.things)
        facts.append(RoomShape(room.id, middle, float(room.area), float(region.seen), tuple(kinds), doors, things))
    past = tuple(
        Past(d.option.kind, d.option.text, d.option.position, d.stamp * 1e-9) for d in list(decisions)[-_LAST:]
    )
    return Recorded(context, tuple(facts), past, time, driven)


def to_dict(recorded: Recorded) -> dict[str, Any]:
    """A state as lists, numbers and strings; infinite numbers become null."""
    c = recorded.context
    return {
        "version": VERSION,
        "instruction": c.instruction.text,
        "stage": c.stage,
        "before": list(c.before),
        "near_rooms": [[r.kind, _plain(r.seen), r.here] for r in c.rooms],
        "deltas": [_delta(d) for d in c.deltas],
        "position": _plain(c.position),
        "heading": _plain(c.heading),
        "number": c.seed,
        "time": _plain(recorded.time),
        "driven": _plain(recorded.driven),
        "options": [_plain(asdict(o)) | {"facts": _facts(f)} for o, f in zip(c.options, c.facts, strict=True)],
        "objects": [_object(o) for o in c.objects],
        "rooms": [_plain(asdict(r)) for r in recorded.rooms],
        "past": [_plain(asdict(p)) for p in recorded.past],
    }


def from_dict(row: Mapping[str, Any], labels: Sequence[str] = ()) -> Recorded:
    """The state of :func:`to_dict`.

    Args:
        labels: categories that the instruction may name besides those of the vocabulary.

    Raises:
        InputError: another version, or something is missing.
    """
    if row.get("version") != VERSION:
        raise InputError(f"a state of version {row.get('version')}, this is {VERSION}; collect the states anew")
    try:
        instruction = parse_instruction(str(row["instruction"]), labels)
        objects = tuple(_memory_object(o) for o in row["objects"])
        by_id = {o.id: o for o in objects}
        options, facts = zip(*(_option(o, by_id) for o in row["options"]), strict=True)
        context = Context(
            instruction, instruction.stages[int(row["stage"])], options, facts,
            _pair(row["position"]), float(row["heading"]), objects, _NO_GRID, int(row["number"]), int(row["stage"]),
            tuple(RoomFact(kind, seen, here) for kind, seen, here in row["near_rooms"]),
            tuple(_semantic_delta(d) for d in row["deltas"]), tuple(row["before"]),
        )  # fmt: skip
        rooms = tuple(
            RoomShape(
                r["id"], _pair(r["middle"]), r["area"], r["seen"], tuple((k, p) for k, p in r["kinds"]),
                tuple((x, y, w, n) for x, y, w, n in r["doors"]), tuple(r["objects"]),
            )
            for r in row["rooms"]
        )  # fmt: skip
        past = tuple(
            Past(p["kind"], p["text"], None if p["position"] is None else _pair(p["position"]), p["time"])
            for p in row["past"]
        )
        return Recorded(context, rooms, past, float(row["time"]), float(row["driven"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"a state cannot be read ({type(error).__name__}: {error}); collect the states anew") from None


def _facts(f: Facts) -> dict[str, Any]:
    values = {name: getattr(f, name) for name in Facts.__dataclass_fields__}
    return _plain(values | {"object": None if f.object is None else f.object.id})


def _delta(d: SemanticDelta) -> dict[str, Any]:
    changed = {name: [[o.label, o.color] for o in getattr(d, name)] for name in ("new", "gone", "moved")}
    return {"action": d.action, "stamp": int(d.stamp), "stale": bool(d.stale), **changed}


def _semantic_delta(row: Mapping[str, Any]) -> SemanticDelta:
    """A delta with names only."""
    nowhere = np.zeros(3)
    new, gone, moved = (
        tuple(ObjectObservation(label, color, 1.0, nowhere, nowhere) for label, color in row[name])
        for name in ("new", "gone", "moved")
    )
    return SemanticDelta(-1, -1, row["stamp"], "", row["action"], new=new, gone=gone, moved=moved, stale=row["stale"])


def _option(row: Mapping[str, Any], objects: Mapping[int, MemoryObject]) -> tuple[Option, Facts]:
    values = {name: value for name, value in row.items() if name != "facts"}
    values["position"] = None if values["position"] is None else _pair(values["position"])
    values["distance"] = math.inf if values["distance"] is None else values["distance"]
    facts = dict(row["facts"])
    facts["opening"] = None if facts["opening"] is None else _pair(facts["opening"])
    facts["cost"] = math.inf if facts["cost"] is None else facts["cost"]
    facts["object"] = None if facts["object"] is None else objects[facts["object"]]
    facts["near"] = tuple(facts["near"])
    return Option(**values), Facts(**facts)


def _object(o: MemoryObject) -> dict[str, Any]:
    return {
        "id": o.id,
        "label": o.label,
        "color": o.color,
        "position": _plain(o.position),
        "extent": _plain(o.extent),
        "confidence": _plain(o.confidence),
        "voxels": int(o.voxels),
        "first_seen": int(o.first_seen),
        "last_seen": int(o.last_seen),
        "keyframe_id": int(o.keyframe_id),
        "status": o.status,
        "label_distribution": [[label, _plain(share)] for label, share in o.label_distribution],
        "confirmed": int(o.confirmed),
        "missed": int(o.missed),
    }


def _memory_object(row: Mapping[str, Any]) -> MemoryObject:
    values = dict(row)
    values["position"], values["extent"] = (np.array(row[k], dtype=np.float64) for k in ("position", "extent"))
    values["label_distribution"] = tuple((label, share) for label, share in row["label_distribution"])
    return MemoryObject(**values)


def _pair(values: Sequence[float]) -> tuple[float, float]:
    x, y = values
    return float(x), float(y)


def _plain(value: Any) -> Any:
    """Numbers rounded to a tenth of a millimetre, arrays and tuples as lists, infinity as None."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 4) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
