"""One update of the navigator: what it sees, and the record of what comes of it. Decides nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..frames import Decision, MemoryObject
from ..language import Target
from ..planning import Planner
from ..planning.geodesic import line_of_sight
from ..rooms import Region, Rooms, regions
from .framing import Eye, Framing
from .options import RoomFact, clear_kind
from .targets import Candidate, candidates


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
        asked = self.target.is_room or self.target.anchor_is_room
        return candidates(self.target, self.objects, self.found if asked else {}, self.rooms if asked else None)

    def candidate(self, key: int) -> Candidate | None:
        return next((c for c in self.candidates if c.key == key), None)

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
