"""One update of the navigator: what it sees, and the record of what comes of it. Decides nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..frames import Decision, MemoryObject, OccupancyGrid
from ..language import Target
from ..planning import Planner, PlanningConfig, frontiers, hidden_area, is_frontier_near
from ..planning.geodesic import fast_marching, line_of_sight
from ..robot import RobotProfile
from ..rooms import Region, Rooms, regions
from .framing import Eye, Framing
from .options import Context, RoomFact, clear_kind
from .prompt import AnswerError, parse_answer
from .stands import NEAR_MARKS, Surface
from .targets import SURE, Candidate, asks_rooms, box_gap, candidates, middle_of
from .which import Progress, chosen_among

#: Up to this distance (m) from a thing the gap to it is measured.
_MEASURED = 1.5
#: m around a thing within which the robot is at it.
_NEAR = 0.8
#: Unknown floor (m^2) within so much (m) of an opening that may hide another thing of the kind that is looked for.
_MUCH, _BEHIND = 1.0, 2.0


@dataclass(frozen=True, eq=False)
class NavigatorOutput:
    """Result of one update.

    Attributes:
        decision: made in this update, else None.
        path: Nx2 float64 (x, y) m in map; one point means "turn on the spot"; 0x2 means "stop".
        heading: rad in map to turn to; only with a path of one point.
        status: ``running``, ``stopped`` (STOP called, believing to have arrived) or ``failed`` (STOP without belief).
        reason: in words.
    """

    decision: Decision | None
    path: np.ndarray
    heading: float | None
    status: str
    reason: str


@dataclass(eq=False)
class View:
    """One update's input, with what is derived from it."""

    stamp: int
    planner: Planner
    xy: tuple[float, float]
    yaw: float
    objects: tuple[MemoryObject, ...]
    target: Target
    split: Callable[[], Rooms]
    eye: Eye
    progress: Progress = field(default_factory=Progress)
    places: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def framing(self) -> Framing:
        return Framing(self.eye, self.planner.grid, self.objects)

    @cached_property
    def rooms(self) -> Rooms:
        return self.split()

    @cached_property
    def found(self) -> dict[int, Region]:
        return regions(self.rooms, self.objects)

    @cached_property
    def candidates(self) -> list[Candidate]:
        asked, start = asks_rooms(self.target), self.progress.start
        fit = candidates(
            self.target,
            self.objects,
            self.found if asked else {},
            self.rooms if asked else None,
            None if start is None else start[:2],
            self.places,
        )
        return chosen_among(self.target, fit, self.progress, self._way_to, self._way_to_unseen)

    @cached_property
    def _way(self) -> np.ndarray:
        """HxW travel field (m) from where the present target is counted."""
        grid, traversal = self.planner.grid, self.planner.map
        origin = self.progress.origin(self.target)
        xy = self.xy if origin is None else origin[:2]
        return fast_marching(traversal.around(xy), grid.cells(np.array([xy])), grid.resolution, traversal.speed)

    def _way_to(self, c: Candidate) -> float:
        """m to drive to a candidate from where it is counted; inf where it cannot be reached."""
        half = 0.5 * c.object.extent[:2] if c.object is not None and c.room is None else np.zeros(2)
        low, high = self.planner.grid.cells(np.array([middle_of(c) - half - _NEAR, middle_of(c) + half + _NEAR]))
        (r0, c0), (r1, c1) = np.maximum(low, 0), np.maximum(high, 0)
        return float(self._way[r0 : r1 + 1, c0 : c1 + 1].min(initial=math.inf))

    def _way_to_unseen(self) -> float:
        """m to drive to the nearest unseen floor from there; inf where none is left."""
        grid, clearance = self.planner.grid, self.planner.map.clearance
        radius = self.planner.map.robot.footprint_radius
        ways = (
            f.distance
            for f in frontiers(grid, self.planner.map.config, self._way)
            if hidden_area(grid, clearance, f.cells, radius, _BEHIND) >= _MUCH
        )
        return min(ways, default=math.inf)

    def candidate(self, key: int) -> Candidate | None:
        return next((c for c in self.candidates if c.key == key), None)

    def gap(self, c: Candidate) -> float:
        """m from the robot to an object or a place, inf if an object is not near; for a room 0 inside, inf outside."""
        if c.room is not None:
            here = self.rooms.at(self.xy)
            return 0.0 if here is not None and here.id == c.room.id else math.inf
        if c.place is not None:
            return math.dist(self.xy, c.place)
        assert c.object is not None  # a candidate is a room, a place or an object
        if box_gap(c.object, self.xy) > _MEASURED:
            return math.inf
        return Surface(c.object, self.planner, self.objects, _MEASURED, self.target.radius).gap(self.xy)

    def is_inside(self, c: Candidate) -> bool:
        """Whether the robot is inside a room by the newest segmentation, and near its marks if it has any."""
        if self.gap(c) > 0.0:
            return False
        return not c.marks or min(math.dist(self.xy, o.position[:2]) for o in c.marks) <= NEAR_MARKS + 0.2

    def bearing(self, place: Sequence[float]) -> float:
        """rad from the robot's heading to a place, left positive."""
        return math.remainder(math.atan2(place[1] - self.xy[1], place[0] - self.xy[0]) - self.yaw, 2.0 * math.pi)


def remaining(path: np.ndarray, xy: tuple[float, float]) -> float:
    """Length (m) from the nearest corner of a path on to its end, plus the way to that corner."""
    if len(path) == 0:
        return 0.0
    gaps = np.linalg.norm(path - np.asarray(xy), axis=1)
    tail = np.concatenate([np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)[::-1])[::-1], [0.0]])
    return float((gaps + tail).min())


def in_sight(view: View, place: tuple[float, float]) -> bool:
    cells = view.planner.grid.cells(np.array([view.xy, place]))
    return line_of_sight(view.planner.grid.data > 0, tuple(cells[0]), tuple(cells[1]))


def room_facts(view: View) -> tuple[RoomFact, ...]:
    """The rooms of the map, nearest first."""
    here = view.rooms.at(view.xy)
    near = sorted(view.found.values(), key=lambda r: (math.dist(r.room.middle, view.xy), r.room.id))
    return tuple(RoomFact(clear_kind(r), r.seen, here is not None and r.room.id == here.id) for r in near)


def hidden_openings(view: View, planning: PlanningConfig, radius: float, field_of_view: float) -> float:
    """Length (m) of openings within a radius (m) and in sight that are outside of the camera's view (rad)."""
    gain = 0.0
    for f in frontiers(view.planner.grid, planning, view.planner.field_from(view.xy)):
        hidden = abs(view.bearing(f.middle)) > 0.5 * field_of_view
        if hidden and math.dist(f.middle, view.xy) < radius and in_sight(view, f.middle):
            gain += f.length
    return gain


def squeezing_planner(
    grid: OccupancyGrid, robot: RobotProfile, planning: PlanningConfig, touched: np.ndarray
) -> Planner:
    """A planner with less clearance, for gaps no wider than the robot."""
    radius = max(robot.footprint_radius - 0.5 * grid.resolution, 0.05)
    return Planner(grid, replace(robot, footprint_radius=radius), replace(planning, clearance_margin=0.0), touched)


def still_fits(context: Context, answer: str, view: View, stage: int, barred: Collection[int]) -> bool:
    """Whether what an answer chooses is still there: it was asked for the map as it was then.

    Args:
        context: what was asked.
        answer: of the policy.
        view: of now.
        stage: the instruction's current one.
        barred: keys of candidates that were given up.
    """
    try:
        chosen = parse_answer(answer, context.options)[0]
    except AnswerError:
        return True
    option, facts = context.options[chosen], context.facts[chosen]
    if context.stage != stage:
        return False
    if option.kind == "object":
        return view.candidate(facts.key) is not None and facts.key not in barred
    if facts.opening is not None:
        return is_frontier_near(view.planner.grid, facts.opening, 0.5)
    # Stopping, and looking around, are about the place where the robot stands, and about what is known.
    near = math.dist(context.position, view.xy) < 0.3
    known = {f.key for f in context.facts if f.match >= SURE}
    sure = {c.key for c in view.candidates if c.score >= SURE} - set(barred)
    return near and (option.kind != "stop" or sure <= known or facts.arrived >= SURE)
