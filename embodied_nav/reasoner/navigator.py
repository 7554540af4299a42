"""From a sentence, a map and a pose to the next path: decides, follows up, decides anew. Knows nothing of pixels and ROS.

Deterministic: the same sequence of updates gives the same decisions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Decision, MemoryObject, OccupancyGrid, Option
from ..geometry import yaw_of
from ..planning import NearGround, Planner, PlanningConfig, frontiers, is_frontier_near
from ..robot import RobotProfile
from .instruction import Instruction, Target, parse_instruction
from .options import Context, OptionConfig, Surroundings, build_options
from .policies import Policy
from .prompt import AnswerError, parse_answer
from .targets import SURE, candidates, gap_from, stand_for


@dataclass(frozen=True)
class NavigatorConfig(Config):
    """Settings of deciding and following up."""

    stop_gap: float = param(0.80, "gap to the target's surface at which it stops", unit="m", low=0.2, high=3.0)
    last_gap: float = param(1.1, "gap that will do where it cannot get nearer", unit="m", low=0.2, high=3.0)
    pass_gap: float = param(
        1.2, "gap to a way point's surface at which it counts as passed", unit="m", low=0.3, high=5.0
    )
    reached: float = param(0.15, "distance to a place at which it counts as reached", unit="m", low=0.05, high=1.0)
    frontier_reached: float = param(
        0.35, "distance to a frontier at which it counts as reached", unit="m", low=0.05, high=2.0
    )
    decide_every: float = param(
        6.0, "longest time between decisions on the way to a frontier", unit="s", low=0.5, high=120.0
    )
    replan_every: float = param(1.0, "longest time between new paths to the same place", unit="s", low=0.1, high=60.0)
    patience: float = param(
        12.0, "time without coming nearer after which a place is given up", unit="s", low=2.0, high=300.0
    )
    look_radius: float = param(
        3.5, "unseen openings within this distance ask for a look around", unit="m", low=0.5, high=10.0
    )
    look_again: float = param(1.5, "distance driven before another look around", unit="m", low=0.2, high=20.0)
    field_of_view: float = param(1.5, "what the camera sees at once", unit="rad", low=0.3, high=6.3)


@dataclass(frozen=True, eq=False)
class NavigatorOutput:
    """What one update says.

    Attributes:
        decision: made in this update, else None.
        path: Nx2 float64 (x, y) m in map; one point is "turn here"; 0x2 is "stand".
        heading: rad in map that the robot shall turn to; only with a path of one point.
        status: ``running``, ``stopped`` (STOP called, believing to have arrived) or ``failed`` (STOP without belief).
        reason: in words.
    """

    decision: Decision | None
    path: np.ndarray
    heading: float | None
    status: str
    reason: str


_NO_PATH = np.empty((0, 2), dtype=np.float64)
_NO_PATH.setflags(write=False)


class Navigator:
    """Follows one instruction: options -> policy -> decision -> path, kept up as the map grows."""

    def __init__(
        self,
        config: NavigatorConfig | None = None,
        robot: RobotProfile | None = None,
        policy: Policy | None = None,
        planning: PlanningConfig | None = None,
        options: OptionConfig | None = None,
    ) -> None:
        from .policies import RulesPolicy

        self.config = config or NavigatorConfig()
        self.robot = robot or RobotProfile()
        self.policy = policy or RulesPolicy()
        self.planning = planning or PlanningConfig()
        self.options = options or OptionConfig()
        self._near = NearGround(self.planning.near_radius)
        self.instruction: Instruction | None = None
        self._clear()

    def reset(self, instruction: str) -> None:
        """Starts on a new instruction.

        Raises:
            InputError: the sentence names nothing.
        """
        self.instruction = parse_instruction(instruction)
        self._clear()

    @property
    def target(self) -> Target:
        """The present stage of the instruction."""
        return self.instruction.stages[min(self.stage, len(self.instruction.stages) - 1)]

    def update(
        self, stamp: int, T_map_base: np.ndarray, grid: OccupancyGrid, objects: Sequence[MemoryObject]
    ) -> NavigatorOutput:
        """One look at the newest map.

        Args:
            stamp: ns, of the map.
            T_map_base: 4x4, the robot.
            grid: occupancy with unknown.
            objects: as remembered.
        """
        if self.instruction is None:
            raise RuntimeError("reset() with an instruction comes first")
        if self._final is not None:
            return NavigatorOutput(None, _NO_PATH, None, self._final[0], self._final[1])
        xy, yaw = (float(T_map_base[0, 3]), float(T_map_base[1, 3])), yaw_of(T_map_base)
        objects = tuple(objects)
        planner = Planner(self._near.fill(grid, xy), self.robot, self.planning)
        self._driven += 0.0 if self._last_xy is None else math.dist(xy, self._last_xy)
        self._last_xy = xy
        if self._pass_waypoint(planner, xy, objects):
            self._decision = None
        why = self._needs_decision(stamp, planner, xy, yaw, objects)
        if why:
            decision = self._decide(stamp, planner, xy, yaw, objects)
            return self._act(decision, stamp, planner, xy, yaw, objects, why)
        return self._go_on(stamp, planner, xy, yaw, objects)

    # -- state -----------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._near.clear()
        self.stage = 0
        self.malformed = 0
        self._decision: Decision | None = None
        self._decided_at = 0
        self._count = 0
        self._final: tuple[str, str] | None = None
        self._path = _NO_PATH
        self._planned_at = 0
        self._turns: list[float] = []
        self._opening: tuple[float, float] | None = None
        self._gap_limit = self.config.stop_gap
        self._driven = 0.0
        self._looked_at = -math.inf
        self._last_xy: tuple[float, float] | None = None
        self._best: tuple[int, float] = (0, math.inf)
        self._barred: list[tuple[float, float]] = []
        self._barred_objects: set[int] = set()
        self._sure: frozenset[int] = frozenset()

    def _pass_waypoint(self, planner: Planner, xy: tuple[float, float], objects: tuple[MemoryObject, ...]) -> bool:
        """Goes on to the next stage of a route where its way point is passed."""
        if self.stage >= len(self.instruction.stages) - 1:
            return False
        if self._arrived(planner, xy, objects, self.config.pass_gap)[0] < SURE:
            return False
        self.stage += 1
        self._barred_objects.clear()
        return True

    # -- deciding --------------------------------------------------------------------------------------------------

    def _needs_decision(
        self,
        stamp: int,
        planner: Planner,
        xy: tuple[float, float],
        yaw: float,
        objects: tuple[MemoryObject, ...],
    ) -> str:
        """Why a new decision is due, "" where none is."""
        if self._decision is None:
            return "start"
        option = self._decision.option
        sure = frozenset(
            c.object.id
            for c in candidates(self.target, objects)
            if c.score >= SURE and c.object.id not in self._barred_objects
        )
        if sure != self._sure and (option.kind != "object" or option.object_id not in sure):
            return "evidence"
        if option.kind == "look_around":
            return "" if self._turns else "looked"
        if self._turns:
            return ""
        near = self.config.reached if option.kind == "object" else self.config.frontier_reached
        reached = math.dist(xy, self._goal()) < near
        if option.kind == "object":
            if not any(o.id == option.object_id and o.status == "present" for o in objects):
                return "gone"
            # At the place itself a gap that is a little too wide must do: nothing nearer can be reached.
            self._gap_limit = self.config.last_gap if reached else self.config.stop_gap
            if self._arrived(planner, xy, objects, self._gap_limit)[0] > 0.0:
                return "arrived"
        elapsed = (stamp - self._decided_at) * 1e-9
        if option.kind == "frontier":
            if elapsed > 0.5 and not is_frontier_near(planner.grid, self._opening, 0.5):
                return "seen"
            if elapsed > self.config.decide_every:
                return "time"
        if reached:
            if option.kind == "frontier" and self._turn_to(self._opening, xy, yaw):
                return ""
            self._bar(option)
            return "reached"
        return self._stuck(stamp, planner, xy, objects)

    def _stuck(self, stamp: int, planner: Planner, xy: tuple[float, float], objects: tuple[MemoryObject, ...]) -> str:
        """Gives up a place that has not come nearer for long; "" while there is hope."""
        option = self._decision.option
        if option.position is None:
            return ""
        gap = _remaining(self._path, xy)
        if gap < self._best[1] - 0.1:
            self._best = (stamp, gap)
        if (stamp - self._best[0]) * 1e-9 < self.config.patience:
            return ""
        self._gap_limit = self.config.last_gap
        if option.kind == "object" and self._arrived(planner, xy, objects, self._gap_limit)[0] > 0.0:
            return "arrived"
        self._bar(option)
        return "stuck"

    def _turn_to(self, place: tuple[float, float], xy: tuple[float, float], yaw: float) -> bool:
        """Starts turning to a place that the camera does not look at; False where it does."""
        bearing = math.atan2(place[1] - xy[1], place[0] - xy[0])
        if abs(math.remainder(bearing - yaw, 2.0 * math.pi)) < 0.3 * self.config.field_of_view:
            return False
        self._turns, self._path = [bearing], np.array([xy])
        return True

    def _bar(self, option: Option) -> None:
        if option.kind == "object":
            self._barred_objects.add(option.object_id)
        elif self._opening is not None:
            self._barred.append(self._opening)

    def _goal(self) -> tuple[float, float]:
        """Where the path ends."""
        if len(self._path):
            return float(self._path[-1][0]), float(self._path[-1][1])
        return self._decision.option.position

    def _decide(
        self,
        stamp: int,
        planner: Planner,
        xy: tuple[float, float],
        yaw: float,
        objects: tuple[MemoryObject, ...],
    ) -> Decision:
        """Asks the policy."""
        arrived, note = self._arrived(planner, xy, objects, self._gap_limit)
        if self.stage < len(self.instruction.stages) - 1:
            arrived, note = 0.0, ""
        look = self._look_gain(planner, xy, yaw)
        here = Surroundings(xy, yaw, arrived, note, look, self._opening, self._barred, self._barred_objects)
        options, facts = build_options(self.target, objects, planner, here, self.options)
        context = Context(
            self.instruction, self.target, options, facts, self._notes(), xy, yaw, objects, planner.grid, self._count
        )
        answer = self.policy.answer(context)
        try:
            chosen, think = parse_answer(answer, options)
        except AnswerError as error:
            self.malformed += 1
            chosen, think = 0, f"(unreadable answer: {error})"
        self._opening = facts[chosen].opening
        decision = Decision(self._count, stamp, options, chosen, think, answer, self.policy.name)
        self._count += 1
        self._sure = frozenset(
            c.object.id
            for c in candidates(self.target, objects)
            if c.score >= SURE and c.object.id not in self._barred_objects
        )
        return decision

    def _notes(self) -> tuple[str, ...]:
        stages = self.instruction.stages
        if len(stages) == 1:
            return ()
        return (f"Stage {self.stage + 1} of {len(stages)}: {self.target.name}.",)

    def _arrived(
        self, planner: Planner, xy: tuple[float, float], objects: tuple[MemoryObject, ...], gap_limit: float
    ) -> tuple[float, str]:
        """How sure the robot may be (0 to 1) to stand at the target, and why in words."""
        best, note = 0.0, ""
        for candidate in candidates(self.target, objects):
            if candidate.object.id in self._barred_objects:
                continue
            gap = gap_from(candidate.object, planner, xy)
            if gap <= gap_limit and candidate.score > best:
                best, note = candidate.score, f"the {candidate.object.name} is {gap:.1f} m away"
                if self.target.is_room:
                    note = f"this is the {self.target.label}: {note}"
        return best, note

    def _look_gain(self, planner: Planner, xy: tuple[float, float], yaw: float) -> float:
        """Openings (m) near by that the camera does not look at now; 0 where it just looked around."""
        if self._driven - self._looked_at < self.config.look_again:
            return 0.0
        if self._count == 0:
            return 2.0 * math.pi
        travel = planner.field_from(xy)
        gain = 0.0
        for f in frontiers(planner.grid, self.planning, travel):
            bearing = math.atan2(f.middle[1] - xy[1], f.middle[0] - xy[0]) - yaw
            hidden = abs(math.remainder(bearing, 2.0 * math.pi)) > 0.5 * self.config.field_of_view
            if hidden and math.dist(f.middle, xy) < self.config.look_radius and _in_sight(planner, xy, f.middle):
                gain += f.length
        return gain

    # -- acting ----------------------------------------------------------------------------------------------------

    def _act(
        self,
        decision: Decision,
        stamp: int,
        planner: Planner,
        xy: tuple[float, float],
        yaw: float,
        objects: tuple[MemoryObject, ...],
        why: str,
    ) -> NavigatorOutput:
        """Starts what was decided."""
        self._decision, self._decided_at, self._turns = decision, stamp, []
        self._best = (stamp, math.inf)
        option = decision.option
        if option.kind == "stop":
            believed = self._arrived(planner, xy, objects, self._gap_limit)[0] > 0.0
            self._final = ("stopped" if believed else "failed", decision.think)
            return NavigatorOutput(decision, _NO_PATH, None, *self._final)
        if option.kind == "look_around":
            self._looked_at = self._driven
            self._turns = [math.remainder(yaw + k * 2.0 * math.pi / 3.0, 2.0 * math.pi) for k in (1, 2, 3)]
            self._path = np.array([xy])
        else:
            self._plan(stamp, planner, xy, objects)
        return self._output(decision, xy, yaw, f"{why}: {option.text}")

    def _go_on(
        self,
        stamp: int,
        planner: Planner,
        xy: tuple[float, float],
        yaw: float,
        objects: tuple[MemoryObject, ...],
    ) -> NavigatorOutput:
        """Keeps the path up to date."""
        option = self._decision.option
        if self._turns:
            if abs(math.remainder(self._turns[0] - yaw, 2.0 * math.pi)) < (0.6 if len(self._turns) > 1 else 0.15):
                self._turns.pop(0)
        elif option.kind != "look_around":
            age = (stamp - self._planned_at) * 1e-9
            if age >= self.config.replan_every or not len(self._path) or not planner.is_clear(self._path):
                self._plan(stamp, planner, xy, objects)
        return self._output(None, xy, yaw, option.text)

    def _plan(self, stamp: int, planner: Planner, xy: tuple[float, float], objects: tuple[MemoryObject, ...]) -> None:
        """A new path to the decision's place; an unreachable one is barred and left to the next decision."""
        option = self._decision.option
        goal = option.position
        if option.kind == "object":
            o = next((o for o in objects if o.id == option.object_id), None)
            travel = planner.field_from(xy)
            stand = None if o is None else stand_for(o, planner, travel, self.options.stand_distance)
            goal = stand.position if stand else None
        path = None if goal is None else planner.plan(xy, goal, tolerance=0.6)
        if path is None:
            self._bar(option)
            self._decision, self._path = None, _NO_PATH
            return
        self._path, self._planned_at = path, stamp

    def _output(self, decision: Decision | None, xy: tuple[float, float], yaw: float, reason: str) -> NavigatorOutput:
        if self._decision is None:
            return NavigatorOutput(decision, _NO_PATH, None, "running", "no way there; deciding anew")
        if self._turns:
            return NavigatorOutput(decision, self._path, self._turns[0], "running", reason)
        if len(self._path) < 2:
            return NavigatorOutput(decision, _NO_PATH, None, "running", reason)
        return NavigatorOutput(decision, self._path, None, "running", reason)


def _remaining(path: np.ndarray, xy: tuple[float, float]) -> float:
    """Length (m) from the nearest corner of a path on to its end, plus the way to that corner."""
    if len(path) == 0:
        return 0.0
    gaps = np.linalg.norm(path - np.asarray(xy), axis=1)
    tail = np.concatenate([np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)[::-1])[::-1], [0.0]])
    return float((gaps + tail).min())


def _in_sight(planner: Planner, a: tuple[float, float], b: tuple[float, float]) -> bool:
    from ..planning.geodesic import line_of_sight

    cells = planner.grid.cells(np.array([a, b]))
    return line_of_sight(planner.grid.data > 0, tuple(cells[0]), tuple(cells[1]))
