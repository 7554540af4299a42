"""Builds the options for the next move: frontiers, objects, rooms, look around, stop. Knows nothing of policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..config import Config, param
from ..frames import MemoryObject, OccupancyGrid, Option, SemanticDelta
from ..language import Instruction, Target
from ..planning import Frontier, Planner, frontiers, hidden_area, path_length
from ..rooms import Region, Rooms, chance_beyond, chance_in
from .framing import Framing
from .prompt import LETTERS, direction_words
from .stands import Stand, Surface, stand_beside, stand_in_room, stand_in_view
from .targets import SURE, Candidate, box_gap


@dataclass(frozen=True)
class OptionConfig(Config):
    """Settings of the options offered."""

    max_objects: int = param(3, "remembered objects or rooms offered at most", low=1, high=5)
    stand_distance: float = param(0.55, "gap to an object's surface at which to stand", unit="m", low=0.3, high=2.0)
    farthest_stand: float = param(
        0.85, "the same where the object is not seen well from nearer: what is high is above the picture", unit="m",
        low=0.3, high=2.0,
    )  # fmt: skip
    point_distance: float = param(0.35, "the same for the points of a route", unit="m", low=0.2, high=2.0)
    room_depth: float = param(0.45, "how far inside a room's door to stand", unit="m", low=0.0, high=3.0)
    seen_radius: float = param(3.0, "things within this distance describe a frontier", unit="m", low=0.5, high=10.0)
    gain_radius: float = param(
        2.0, "unknown floor behind a frontier is counted up to here", unit="m", low=0.5, high=5.0
    )
    least_gain: float = param(0.3, "frontiers with less unknown behind are not offered", unit="m^2", low=0.0, high=10.0)


@dataclass(frozen=True)
class Facts:
    """The numbers behind an option, for policies that compute with them.

    Attributes:
        cost: m at full speed to get there, longer over tight or unknown ground.
        gain: m^2 of unknown floor behind a frontier; m of hidden openings for ``look_around``.
        affinity: 0 to 1, how likely the room that a frontier is in, or leads to, holds the target.
        match: 0 to 1, how well an object or a room fits the target.
        arrived: 0 to 1 (``stop``), confidence that the robot is at the target.
        opening: (x, y) m, middle of a frontier.
        current: whether it is the present destination.
        key: of the candidate (``object``), see :class:`Candidate`; else -1.
        name, note: of the candidate, and why it fits, in words; object: as remembered, None for a room.
        room: likeliest kind of the room that a frontier is in, "" where nothing tells.
        door: whether a frontier seems to be a door.
        near: names of things near a frontier, nearest first.
    """

    cost: float = 0.0
    gain: float = 0.0
    affinity: float = 0.0
    match: float = 0.0
    arrived: float = 0.0
    opening: tuple[float, float] | None = None
    current: bool = False
    key: int = -1
    name: str = ""
    note: str = ""
    object: MemoryObject | None = None
    room: str = ""
    door: bool = False
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class RoomFact:
    """A room of the map: its likeliest kind ("" if unclear), how much of it was seen (0 to 1), whether it is here."""

    kind: str
    seen: float
    here: bool = False


@dataclass(frozen=True, eq=False)
class Context:
    """Everything that a policy may use for a decision.

    Attributes:
        instruction, target: the sentence and the target of its current stage.
        options, facts: the options to choose from and their facts; same length.
        position, heading: of the robot in map, m and rad.
        objects: as remembered.
        grid: the map.
        seed: differs between decisions, for random policies.
        stage: index of the instruction's current stage.
        rooms: of the map, nearest first.
        deltas: the newest semantic deltas, oldest first.
        before: what was chosen in the decisions before, in words, oldest first.
    """

    instruction: Instruction
    target: Target
    options: tuple[Option, ...]
    facts: tuple[Facts, ...]
    position: tuple[float, float]
    heading: float
    objects: tuple[MemoryObject, ...]
    grid: OccupancyGrid
    seed: int = 0
    stage: int = 0
    rooms: tuple[RoomFact, ...] = ()
    deltas: tuple[SemanticDelta, ...] = ()
    before: tuple[str, ...] = ()


class World(Protocol):
    """The map as known when options are built; rooms may be segmented lazily."""

    @property
    def objects(self) -> Sequence[MemoryObject]:
        """As remembered."""

    @property
    def planner(self) -> Planner:
        """A planner for the present map."""

    @property
    def framing(self) -> Framing:
        """What the camera will see on the present map."""

    @property
    def rooms(self) -> Rooms:
        """Of the present map."""

    @property
    def found(self) -> Mapping[int, Region]:
        """The estimate of each room's kind, by its id."""


@dataclass
class Surroundings:
    """The navigator's state that options depend on, besides the map.

    Attributes:
        position, heading: of the robot, m and rad.
        arrived: 0 to 1, confidence of being at the target; ``arrived_note`` says why.
        look: m of openings that turning on the spot would reveal; 0 offers no look around.
        heading_for: (x, y) m of the frontier that is the present destination, or None.
        barred: (x, y) of openings that could not be reached or revealed nothing.
        barred_keys: keys of candidates that could not be reached.
        thorough: whether small gaps are offered as frontiers, too, since nothing else is left.
        at: key of the candidate that the robot has just come to, or None; if it is doubtful it is not offered there.
    """

    position: tuple[float, float]
    heading: float
    arrived: float = 0.0
    arrived_note: str = ""
    look: float = 0.0
    heading_for: tuple[float, float] | None = None
    barred: list[tuple[float, float]] = field(default_factory=list)
    barred_keys: set[int] = field(default_factory=set)
    thorough: bool = False
    at: int | None = None


def build_options(
    target: Target, fit: Sequence[Candidate], world: World, here: Surroundings, config: OptionConfig
) -> tuple[tuple[Option, ...], tuple[Facts, ...]]:
    """At most eight options with their facts: objects and rooms, frontiers, look around, stop, in this order."""
    planner = world.planner
    travel = planner.field_from(here.position)
    rows: list[tuple[str, tuple[float, float] | None, Facts, str, int, float]] = []
    for candidate, stand in _object_options(target, fit, world, travel, here, config):
        words = candidate.name + (f" ({candidate.note})" if candidate.note else "")
        own = None if candidate.room is not None else candidate.object
        facts = Facts(
            cost=stand.cost,
            match=candidate.score,
            key=candidate.key,
            name=candidate.name,
            note=candidate.note,
            object=own,
        )
        rows.append(("object", stand.position, facts, words, max(candidate.key, -1), 0.0))
    left = len(LETTERS) - 1 - (here.look > 0) - len(rows)
    for frontier, facts, words in _frontier_options(target, world, travel, here, config)[:left]:
        rows.append(("frontier", frontier.position, facts, words, -1, frontier.length))
    if here.look > 0:
        words = "look around: turn on the spot to see what is hidden from view"
        rows.append(("look_around", None, Facts(gain=here.look), words, -1, 0.0))
    words = "stop here" + (f": {here.arrived_note}" if here.arrived_note else ": the target is not here")
    rows.append(("stop", None, Facts(arrived=here.arrived), words, -1, 0.0))
    options = tuple(_option(k, row, planner, here) for k, row in enumerate(rows))
    return options, tuple(row[2] for row in rows)


#: m from a place within which a cell stands for it.
_AT_PLACE = 0.6


def find_stand(
    candidate: Candidate, target: Target, world: World, travel: np.ndarray, config: OptionConfig
) -> Stand | None:
    """The goal place for a candidate: beside an object, inside a room, at a place; None if it cannot be reached."""
    if candidate.place is not None:
        cell = world.planner.nearest_reachable(travel, candidate.place, _AT_PLACE)
        if cell is None:
            return None
        x, y = world.planner.grid.centers(np.array(cell))
        return Stand((float(x), float(y)), math.dist(candidate.place, (x, y)), float(travel[cell]))
    if candidate.room is not None:
        room = candidate.room
        return stand_in_room(world.rooms, room, world.planner, travel, config.room_depth, candidate.marks)
    assert candidate.object is not None  # a candidate is a room or an object
    surface = Surface(candidate.object, world.planner, world.objects, 1.5, target.radius)
    if target.is_point:
        return stand_beside(surface, travel, config.point_distance)
    seen = stand_in_view(candidate.object, surface, travel, config.stand_distance, config.farthest_stand, world.framing)
    return seen or stand_beside(surface, travel, config.stand_distance)


def _option(k: int, row: tuple, planner: Planner, here: Surroundings) -> Option:
    kind, position, _, words, object_id, size = row
    if position is None:
        return Option(LETTERS[k], kind, None, 0.0, 0.0, words)
    path = planner.plan(here.position, position)
    distance = math.inf if path is None else path_length(path)
    bearing = math.atan2(position[1] - here.position[1], position[0] - here.position[0]) - here.heading
    bearing = math.remainder(bearing, 2.0 * math.pi)
    place = f"{distance:.1f} m, {direction_words(bearing)}"
    if kind == "object":
        text = f"go to the {words}: {place}"
    else:
        text = f"explore: {place}, opening {size:.1f} m wide; {words}"
    return Option(LETTERS[k], kind, position, distance, bearing, text, object_id, size)


def _object_options(
    target: Target,
    fit: Sequence[Candidate],
    world: World,
    travel: np.ndarray,
    here: Surroundings,
    config: OptionConfig,
) -> list[tuple[Candidate, Stand]]:
    offered = []
    for candidate in fit[: 4 * config.max_objects]:
        if candidate.key in here.barred_keys or candidate.score < _HOPELESS:
            continue
        if candidate.key == here.at and candidate.score < SURE:
            continue
        stand = find_stand(candidate, target, world, travel, config)
        if stand is not None:
            offered.append((candidate, stand))
    # Sure candidates by distance; doubtful ones after them.
    offered.sort(
        key=lambda cs: (
            cs[0].score < SURE,
            cs[1].cost * (1.5 - 0.5 * cs[0].score) if cs[0].score >= SURE else -cs[0].score,
        )
    )
    return offered[: config.max_objects]


#: Least match score of a candidate to be offered.
_HOPELESS = 0.25
#: Clearance (m) up to which a frontier counts as a door.
_DOOR = 0.58
#: Least unknown floor (m^2) behind a frontier that tells a door from a corner.
_ROOMY = 1.5
#: Share of the next room's chance to hold the target that a frontier without a visible door gets.
_DOORLESS = 0.35
#: Least probability at which the kind of a room is told.
_CLEAR = 0.5


def _frontier_options(
    target: Target, world: World, travel: np.ndarray, here: Surroundings, config: OptionConfig
) -> list[tuple[Frontier, Facts, str]]:
    """Frontiers worth offering: the two nearest, then by gain, relevance and distance."""
    rows = []
    planner = world.planner
    grid, clearance = planner.grid, planner.map.clearance
    beyond = chance_beyond(world.found, target)
    for frontier in frontiers(grid, planner.map.config, travel):
        if any(math.dist(frontier.middle, p) < 0.4 for p in here.barred):
            continue
        gain = hidden_area(grid, clearance, frontier.cells, planner.map.robot.footprint_radius, config.gain_radius)
        if gain < config.least_gain and not here.thorough:
            continue
        current = here.heading_for is not None and math.dist(frontier.middle, here.heading_for) < 0.6
        near = _things_near(frontier.middle, world.objects, config.seen_radius)
        names = tuple(dict.fromkeys(o.name for o, _ in near[:4]))
        room = world.rooms.at(frontier.middle, 0.4)
        region = None if room is None else world.found[room.id]
        door = gain >= _ROOMY and float(clearance[tuple(frontier.cells.T)].max()) <= _DOOR
        relevance = beyond if region is None else _relevance(region, chance_in(region, target), beyond, door)
        words = "near it: " + ", ".join(names) if near else "nothing seen near it"
        facts = Facts(
            frontier.distance, gain, relevance, opening=frontier.middle, current=current,
            room=clear_kind(region), door=door, near=names,
        )  # fmt: skip
        rows.append((frontier, facts, words + "; on the way there" * current))
    rows.sort(key=lambda r: r[1].cost)
    rest = sorted(rows[2:], key=lambda r: -(0.1 + r[1].affinity) * r[1].gain / (r[1].cost + 2.0))
    return rows[:2] + rest


def _things_near(
    xy: tuple[float, float], objects: Sequence[MemoryObject], radius: float
) -> list[tuple[MemoryObject, float]]:
    near = [(o, box_gap(o, xy)) for o in objects if o.status == "present"]
    return sorted(((o, gap) for o, gap in near if gap < radius), key=lambda og: (og[1], og[0].id))


def clear_kind(region: Region | None) -> str:
    """The kind of a room where one is likelier than all others together, else ""."""
    return region.kind if region is not None and region.kinds[region.kind] >= _CLEAR else ""


def _relevance(region: Region, own: float, beyond: float, door: bool) -> float:
    """How likely the target is behind a frontier: in the unseen part of its room, or in the room it leads to.

    Args:
        region: the frontier's room. own: chance that it holds the target. beyond: that an undiscovered room does.
        door: whether the frontier seems to be a door.
    """
    if door:
        return max(beyond, 0.5 * own)
    # A room that was hardly seen may be of any kind.
    rest = region.seen * own + (1.0 - region.seen) * max(own, beyond)
    return max(rest, _DOORLESS * beyond)
