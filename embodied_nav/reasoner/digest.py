"""The memory digest: what a map holds, as text of bounded length, and the facts behind it. Knows no question.

It is written before any question is seen, so it favours none. The facts are read back from the text alone, so a solver
and a language model get the same; what did not fit is missing to both, and counted.

    text = write(facts_of(memory, here=(x, y, yaw)))
    facts = read(text)
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from ..frames import MemoryObject, SemanticDelta
from ..memory import SpatialMemory
from ..memory.query.relations import floor_gap, holds
from ..rooms import Rooms

#: Version of the text's form; a model learns one, and refuses another.
VERSION = 1
#: Characters of a digest by default; at least MIN_LENGTH.
LENGTH, MIN_LENGTH = 6000, 400
#: Keyframes whose deltas are told.
STEPS = 8
#: Shares of the length that rooms and steps may take, and things; relations get what is left.
_ROOMS, _STEPS, _THINGS = 0.2, 0.15, 0.9
#: Names in one step, and characters of a name.
_NAMED, _NAME = 4, 32
#: Relations that are told; those with a viewer are left to who knows where one stands.
_TOLD = ("on", "under", "above", "beside")


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        id: in the memory. label, color: category, colour name or "".
        room: id of its room, 0 unknown.
        position, size: centre and size along the map's axes, m; None where there is no depth.
        first: its place in the order of first sights, from 1; things first seen in the same frame share one.
        status: ``present``, ``moved`` (found elsewhere than before) or ``gone``.
    """

    id: int
    label: str
    color: str
    room: int
    position: tuple[float, float, float] | None
    size: tuple[float, float, float] | None
    first: int
    status: str = "present"

    @property
    def name(self) -> str:
        """Colour and label."""
        return f"{self.color} {self.label}".strip()


@dataclass(frozen=True)
class Place:
    """A room: kind ("kitchen" or ""), floor area (m^2), middle (m), (neighbour's id, x, y) of each door."""

    id: int
    kind: str
    area: float
    middle: tuple[float, float]
    doors: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True)
class Step:
    """What one keyframe brought: the camera's motion before it, names of what was new and of what was gone."""

    keyframe: int
    action: str
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A relation between two things, by their ids."""

    subject: int
    relation: str
    object: int


@dataclass(frozen=True)
class DigestFacts:
    """What a digest says.

    Attributes:
        things: by id. places: rooms by id. steps: the most recent ones, oldest first. links: relations.
        here: the robot's (x, y, yaw) in map, m and rad, or None. room: id of the room it is in, 0 unknown.
        left_out: category -> how many things did not fit into the text, gone ones too; "things": all of rarer kinds.
        total: how many things the memory holds, gone ones too.
    """

    things: tuple[Thing, ...] = ()
    places: tuple[Place, ...] = ()
    steps: tuple[Step, ...] = ()
    links: tuple[Link, ...] = ()
    here: tuple[float, float, float] | None = None
    room: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


# ---- from a memory ----


def facts_of(memory: SpatialMemory, here: tuple[float, float, float] | None = None) -> DigestFacts:
    """Everything that a memory knows, things with the most evidence first.

    Args:
        here: the robot's (x, y, yaw) in map; None: of the camera in the newest keyframe, on the floor.
    """
    rooms, names = memory.rooms(), memory.room_names()
    objects = sorted(memory.objects(include_gone=True), key=lambda o: (-o.confirmed, -o.voxels, o.id))
    ranks = {stamp: k + 1 for k, stamp in enumerate(sorted({o.first_seen for o in objects}))}
    things = tuple(_thing(o, rooms, ranks[o.first_seen]) for o in objects)
    if here is None and memory.keyframes:
        T = memory.keyframes[max(memory.keyframes)].T_map_camera
        here = (float(T[0, 3]), float(T[1, 3]), math.atan2(float(T[1, 2]), float(T[0, 2])))
    inside = None if here is None else rooms.at(here[:2], 0.5)
    return DigestFacts(
        things,
        tuple(_place(room, names) for room in rooms.rooms),
        steps_of(memory.deltas),
        _links(objects, {t.id: t.room for t in things}),
        here,
        0 if inside is None else inside.id,
        total=len(things),
    )


def facts_of_deltas(deltas: Sequence[SemanticDelta]) -> DigestFacts:
    """What a sequence of deltas says where there is no map: categories in the order of their appearance.

    Of a category there are as many things as a single view showed at most: views are not told apart without depth.
    """
    order: dict[tuple[str, str], tuple[int, int]] = {}
    for rank, delta in enumerate(deltas, start=1):
        counts = Counter((o.label, o.color) for o in delta.objects)
        for name, count in counts.items():
            first, most = order.get(name, (rank, 0))
            order[name] = (first, max(most, count))
    names = [name for name, (_, most) in sorted(order.items(), key=lambda i: (i[1][0], i[0])) for _ in range(most)]
    things = tuple(
        Thing(k + 1, _clean(label), _clean(color), 0, None, None, order[(label, color)][0])
        for k, (label, color) in enumerate(names)
    )
    return DigestFacts(things, steps=steps_of(deltas), total=len(things))


def steps_of(deltas: Sequence[SemanticDelta], most: int = STEPS) -> tuple[Step, ...]:
    """The newest deltas as steps, oldest first; of two of one keyframe the later."""
    newest = {d.keyframe_id: d for d in deltas}
    chosen = [newest[k] for k in sorted(newest)[-most:]]
    return tuple(
        Step(
            d.keyframe_id,
            _clean(d.action) or "stay",
            tuple(_clean(o.name) for o in d.new[:_NAMED]),
            tuple(_clean(o.name) for o in d.gone[:_NAMED]),
        )
        for d in chosen
    )


def _thing(o: MemoryObject, rooms: Rooms, first: int) -> Thing:
    room = rooms.of_object(o)
    status = o.status if o.status == "gone" else "moved" if o.moves else "present"
    x, y, z = (float(v) for v in o.position)
    w, d, h = (float(v) for v in o.extent)
    return Thing(o.id, _clean(o.label), _clean(o.color), room.id if room else 0, (x, y, z), (w, d, h), first, status)


def _place(room, names: Mapping[int, str]) -> Place:
    doors = tuple((d.neighbor, float(d.position[0]), float(d.position[1])) for d in room.doors)
    return Place(
        room.id, names.get(room.id, ""), float(room.area), (float(room.middle[0]), float(room.middle[1])), doors
    )


def _links(objects: Sequence[MemoryObject], rooms: Mapping[int, int]) -> tuple[Link, ...]:
    """Relations of things that touch or nearly so, in one room (a wall parts those of two)."""
    present = [o for o in objects if o.status == "present"]
    found = []
    for a in present:
        for b in present:
            if a.id != b.id and rooms[a.id] == rooms[b.id] and floor_gap(a, b) <= 0.6:
                kind = next((k for k in _TOLD if holds(k, a, b) >= 0.6), "")
                if kind and (kind != "beside" or a.id < b.id):
                    found.append(Link(a.id, kind, b.id))
    return tuple(sorted(found, key=lambda k: (_TOLD.index(k.relation), k.subject, k.object)))


def _clean(text: str) -> str:
    """A name that cannot break the form: letters, digits, blanks and hyphens, cut at :data:`_NAME`."""
    return " ".join(re.sub(r"[^\w' -]", " ", str(text).lower()).split())[:_NAME].strip()


# ---- as text ----


def write(facts: DigestFacts, length: int = LENGTH) -> str:
    """The digest, at most ``length`` characters; what does not fit is left out from the end of the lists, and counted.

    Raises:
        InputError: a length below :data:`MIN_LENGTH`.
    """
    if length < MIN_LENGTH:
        raise InputError(f"a digest of {length} characters says nothing; give at least {MIN_LENGTH}")
    x = "unknown" if facts.here is None else "{:.2f} {:.2f} yaw {:.0f}".format(*facts.here[:2], _degrees(facts.here[2]))
    head = [f"DIGEST {VERSION}", f"HERE {x}, room {facts.room}"]
    rooms = _fitting((_place_line(p) for p in facts.places), int(_ROOMS * length))
    steps = _fitting((_step_line(s) for s in facts.steps[::-1]), int(_STEPS * length))[::-1]
    used = sum(map(_cost, (*head, *rooms, *steps)))
    things = _fitting((_thing_line(t) for t in facts.things), int(_THINGS * length) - used - 150)
    left = _left_out(facts, len(things))
    kept = sorted(facts.things[: len(things)], key=lambda t: t.id)
    body = [*head, "ROOMS", *rooms, "THINGS", *(_thing_line(t) for t in kept), left]
    ids = {t.id for t in kept}
    links = (f"#{k.subject} {k.relation} #{k.object}" for k in facts.links if {k.subject, k.object} <= ids)
    tail = ["STEPS", *steps]
    room = length - sum(map(_cost, (*body, *tail))) - _cost("RELATIONS")
    body += ["RELATIONS", *_fitting(links, room)] if room > 0 else []
    return "\n".join([*body, *tail])


def _cost(line: str) -> int:
    return len(line) + 1


def _fitting(lines: Iterable[str], room: int) -> list[str]:
    """The first lines that fit into so many characters."""
    kept: list[str] = []
    for line in lines:
        room -= _cost(line)
        if room < 0:
            break
        kept.append(line)
    return kept


def _left_out(facts: DigestFacts, kept: int) -> str:
    """The line that counts what is left out, at most 150 characters."""
    counts = Counter(t.label for t in facts.things[kept:]) + Counter(dict(facts.left_out))
    rest, told = sum(counts.values()), list[str]()
    for label, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])):
        if len(", ".join(told)) + len(label) > 80:
            break
        told.append(f"{count} {label}")
        rest -= count
    told += [f"{rest} things"] if rest else []
    return f"LEFT OUT {', '.join(told) or 'nothing'} of {facts.total}"


def _degrees(yaw: float) -> float:
    return math.degrees(math.atan2(math.sin(yaw), math.cos(yaw)))


def _place_line(p: Place) -> str:
    doors = " ".join(f"{n} at {x:.1f} {y:.1f}" for n, x, y in p.doors) or "none"
    return (
        f"room {p.id} {p.kind or 'unknown'}, {p.area:.1f} m2, middle {p.middle[0]:.1f} {p.middle[1]:.1f}, doors {doors}"
    )


def _thing_line(t: Thing) -> str:
    color = f" ({t.color})" if t.color else ""
    at = "" if t.position is None else ", at {:.2f} {:.2f} {:.2f}".format(*t.position)
    size = "" if t.size is None else ", size {:.2f} {:.2f} {:.2f}".format(*t.size)
    status = "" if t.status == "present" else f", {t.status}"
    return f"#{t.id} {t.label}{color}, room {t.room}{at}{size}, seen {t.first}{status}"


def _step_line(s: Step) -> str:
    new = f", new {' / '.join(s.new)}" if s.new else ""
    gone = f", gone {' / '.join(s.gone)}" if s.gone else ""
    return f"keyframe {s.keyframe} {s.action}{new}{gone}"


# ---- read back ----

_N = r"-?\d+(?:\.\d+)?"
_HERE = re.compile(rf"HERE (?:unknown|({_N}) ({_N}) yaw ({_N})), room (\d+)")
_PLACE = re.compile(rf"room (\d+) ([\w' -]+), ({_N}) m2, middle ({_N}) ({_N}), doors (.+)")
_DOOR = re.compile(rf"(\d+) at ({_N}) ({_N})")
_THING = re.compile(
    rf"#(\d+) ([\w' -]*?)(?: \(([\w' -]+)\))?, room (\d+)(?:, at ({_N}) ({_N}) ({_N}))?(?:, size ({_N}) ({_N}) ({_N}))?"
    r", seen (\d+)(?:, (moved|gone))?"
)
_LINK = re.compile(r"#(\d+) ([a-z ]+) #(\d+)")
_STEP = re.compile(r"keyframe (\d+) ([\w' -]+?)(?:, new ([\w' /-]+))?(?:, gone ([\w' /-]+))?")
_LEFT = re.compile(r"LEFT OUT (.+) of (\d+)")


def read(text: str) -> DigestFacts:
    """The facts of a digest, to the digits that it gives.

    Raises:
        InputError: no digest, or one of another version.
    """
    lines = text.split("\n")
    if lines[0] != f"DIGEST {VERSION}":
        raise InputError(
            f"no digest of version {VERSION}: it begins with '{lines[0][:40]}'; write it anew from its memory"
        )
    here, room, left, total = None, 0, {}, 0
    things, places, steps, links = [], [], [], []
    for line in lines[1:]:
        if m := _THING.fullmatch(line):
            things.append(_read_thing(m))
        elif m := _LINK.fullmatch(line):
            links.append(Link(int(m[1]), m[2], int(m[3])))
        elif m := _PLACE.fullmatch(line):
            doors = tuple((int(n), float(x), float(y)) for n, x, y in _DOOR.findall(m[6]))
            kind = "" if m[2] == "unknown" else m[2]
            places.append(Place(int(m[1]), kind, float(m[3]), (float(m[4]), float(m[5])), doors))
        elif m := _STEP.fullmatch(line):
            steps.append(Step(int(m[1]), m[2], *(tuple(g.split(" / ")) if g else () for g in (m[3], m[4]))))
        elif m := _HERE.fullmatch(line):
            here = None if m[1] is None else (float(m[1]), float(m[2]), math.radians(float(m[3])))
            room = int(m[4])
        elif m := _LEFT.fullmatch(line):
            left, total = _read_left(m[1]), int(m[2])
        elif line not in ("ROOMS", "THINGS", "RELATIONS", "STEPS"):
            raise InputError(f"no digest of version {VERSION}: '{line[:60]}' is none of its lines; write it anew")
    return DigestFacts(tuple(things), tuple(places), tuple(steps), tuple(links), here, room, left, total)


def _read_thing(m: re.Match[str]) -> Thing:
    position = None if m[5] is None else (float(m[5]), float(m[6]), float(m[7]))
    size = None if m[8] is None else (float(m[8]), float(m[9]), float(m[10]))
    return Thing(int(m[1]), m[2], m[3] or "", int(m[4]), position, size, int(m[11]), m[12] or "present")


def _read_left(text: str) -> dict[str, int]:
    pairs = [part.split(" ", 1) for part in text.split(", ") if part != "nothing"]
    return {label: int(count) for count, label in pairs}
