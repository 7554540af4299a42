"""From an instruction, a map and a pose to the next path: decides, replans, decides again. Knows no pixels and no ROS.

Deterministic: the same sequence of updates gives the same decisions.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..frames import Decision, MemoryObject, OccupancyGrid, Option, SemanticDelta
from ..geometry import transform_points, yaw_of
from ..language import Instruction, Target, parse_instruction
from ..planning import NearGround, Planner, PlanningConfig, is_frontier_near
from ..robot import RobotProfile
from ..rooms import RoomMap, Rooms
from .beside import Beside
from .blocked_way import BlockedWay
from .facing import Facing
from .navigator_config import NavigatorConfig
from .options import Context, Facts, OptionConfig, Surroundings, build_options, find_stand
from .places import in_places, not_here, without_places
from .policies import Policy, RulesPolicy
from .prompt import AnswerError, parse_answer
from .situation import name_of
from .targets import SURE, Candidate, likeliest_room, not_found
from .unless import hindrance
from .view import NavigatorOutput, View, hidden_openings, remaining, room_facts, squeezing_planner, still_fits
from .which import Progress

_NO_PATH = np.empty((0, 2), dtype=np.float64)
_NO_PATH.setflags(write=False)

_LONG_AGO = -(10**18)  # ns
#: Semantic deltas and decisions that are kept for the policies that read.
_TOLD = 4
#: A map's stamp that goes back by more (ns) means that the clock was set back.
_CLOCK_BACK = 1_000_000_000


class Navigator:
    """Follows one instruction: options -> policy -> decision -> path, updated as the map grows.

    Attributes:
        stage: index of the instruction's current stage.
        malformed: number of the policy's answers since reset that could not be parsed, or were none in time; the rules
            decided then.
        dropped: number of its answers that came when the state they were about had passed.
    """

    def __init__(
        self,
        config: NavigatorConfig | None = None,
        robot: RobotProfile | None = None,
        policy: Policy | None = None,
        planning: PlanningConfig | None = None,
        options: OptionConfig | None = None,
        *,
        beside: bool = False,
    ) -> None:
        """``beside``: the policy is slow: it thinks in a thread of its own, and the robot goes on along its path."""
        self.config = config or NavigatorConfig()
        self.robot = robot or RobotProfile()
        self.policy = policy or RulesPolicy()
        self.planning = planning or PlanningConfig()
        self.options = options or OptionConfig()
        self._rules = RulesPolicy()
        self._beside = Beside(self.policy) if beside else None
        self.facing = Facing(self.config, self.robot)
        self._way = BlockedWay(self.config)
        self._near = NearGround(self.planning.near_radius)
        self._room_map = RoomMap()
        self.instruction: Instruction | None = None
        self._clear()

    def _clear(self) -> None:
        self._near.clear()
        self._touched = np.empty((0, 2))  # (x, y) m in map
        self.stage = 0
        self.malformed = self.dropped = 0
        if self._beside is not None:
            self._beside.forget()
        self._count = 0
        self._decision: Decision | None = None
        self._decided_at = self._planned_at = self._stamp = 0
        self._final: tuple[str, str] | None = None
        self._path = _NO_PATH
        self._turns: list[float] = []  # headings (rad) still to turn to
        self._opening: tuple[float, float] | None = None  # of the frontier that is the present destination
        self._arrival: tuple[float, str] = (0.0, "")  # confidence of having arrived, and why
        self._found = ""  # why the place where it stops is taken to be the target
        self._thorough = self._squeezes = False
        self._driven = 0.0
        self._looked_at = -math.inf  # m driven when it last looked around
        self._last_xy: tuple[float, float] | None = None
        self._nearest: tuple[int, float] = (0, math.inf)  # time (ns) and distance (m) of the closest approach so far
        self._barred: list[tuple[float, float]] = []
        self._barred_keys: set[int] = set()
        self._sure: frozenset[int] = frozenset()  # candidates that fitted when the decision was made
        self._key = -1  # of the candidate that is the present destination
        self._progress = Progress()
        self.facing.clear()
        self._way.clear()
        self._room_map.clear()
        self._deltas: deque[SemanticDelta] = deque(maxlen=_TOLD)
        self._before: deque[str] = deque(maxlen=_TOLD)

    def hear(self, delta: SemanticDelta) -> None:
        """Takes a semantic delta, for the policies that read it; the newest few are kept. From any thread."""
        self._deltas.append(delta)

    def reset(self, instruction: str, labels: Collection[str] = (), objects: Sequence[MemoryObject] = ()) -> None:
        """Starts on a new instruction.

        Args:
            instruction: the sentence.
            labels: categories in the memory, which are understood even if the vocabulary lacks them.
            objects: those of them that are places with a name are gone to by it.

        Raises:
            InputError: the sentence names no target, contains an unknown word, or names a place that is not here.
        """
        self.instruction = in_places(parse_instruction(instruction, labels), objects)
        self._clear()

    def close(self) -> None:
        """Ends the thread of a policy that thinks beside the driving."""
        if self._beside is not None:
            self._beside.close()

    def fork(self) -> Navigator:
        """A navigator that goes on from the same state, independently; settings and policy are shared."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (list, set, deque)):
                setattr(other, name, copy.copy(value))
        other._near, other._room_map = self._near.fork(), copy.copy(self._room_map)
        other.facing, other._progress, other._way = copy.copy(self.facing), self._progress.fork(), self._way.fork()
        return other

    def restart(self) -> None:
        """Restarts the current instruction, when the map is replaced: visited and given-up places are void."""
        self._clear()

    def replan(self) -> None:
        """The map was corrected: the next update plans a new path, however recent the last one is."""
        self._planned_at = _LONG_AGO

    def waited(self, nanoseconds: int) -> None:
        """The robot was halted for so long, or the clock was set (back, if negative): no place is given up for it."""
        self._nearest = (self._nearest[0] + nanoseconds, self._nearest[1])
        self._decided_at += nanoseconds
        self._planned_at += nanoseconds
        self.facing.waited(nanoseconds)
        self._way.shift(nanoseconds)

    def touch(self, points: np.ndarray, T_map_odom: np.ndarray) -> None:
        """The base touched something that the map does not show: it is an obstacle for the rest of this goal.

        Args:
            points: Nx2 (x, y) m in odom. T_map_odom: 4x4.
        """
        points = transform_points(T_map_odom, np.column_stack([points, np.zeros(len(points))]))[:, :2]
        self._touched = np.vstack([self._touched, points])
        self.replan()

    @property
    def target(self) -> Target:
        """The target of the instruction's current stage."""
        return self._asked.stages[self.stage]

    @property
    def _decided(self) -> Option:
        """The option that is being carried out."""
        assert self._decision is not None
        return self._decision.option

    @property
    def _asked(self) -> Instruction:
        if self.instruction is None:
            raise RuntimeError("reset() with an instruction comes first")
        return self.instruction

    def update(
        self,
        stamp: int,
        T_map_base: np.ndarray,
        grid: OccupancyGrid,
        objects: Sequence[MemoryObject],
        rooms: Callable[[float, OccupancyGrid], Rooms] | None = None,
    ) -> NavigatorOutput:
        """One update with the newest map.

        Args:
            stamp: ns, of the map.
            T_map_base: 4x4, the robot.
            grid: occupancy with unknown.
            objects: as remembered.
            rooms: (max_age in s, grid) -> rooms, from the owner of the map (:meth:`SpatialMemory.rooms`), so that both
                call a room by the same id. None, as in the reasoner node: the grid is segmented here, with own ids.
        """
        if self.instruction is None:
            raise RuntimeError("reset() with an instruction comes first")
        if self._final is not None:
            return NavigatorOutput(None, _NO_PATH, None, *self._final)
        if self._stamp - stamp > _CLOCK_BACK:
            self.waited(stamp - self._stamp)
        self._stamp = stamp
        xy, yaw = (float(T_map_base[0, 3]), float(T_map_base[1, 3])), yaw_of(T_map_base)
        planner = self._planner(self._near.fill(grid, xy))
        objects, places = without_places(objects)
        if why := not_here(self.target, places):
            self._final = ("failed", why)
            return NavigatorOutput(None, _NO_PATH, None, *self._final)
        rooms = rooms or (lambda age, grid: self._room_map.update(grid, objects, age))
        split = partial(rooms, self.config.rooms_every, replace(planner.grid, stamp=stamp))
        self._progress.here(xy, yaw)
        view = View(
            stamp, planner, xy, yaw, objects, self.target, split, self.facing.eye, self._progress, places
        )  # fmt: skip
        self._driven += 0.0 if self._last_xy is None else math.dist(xy, self._last_xy)
        self._last_xy = xy
        if self._pass_waypoint(view):
            self._decision, view = None, replace(view, target=self.target)
        if self.target.unless and (why := hindrance(self.target, view, self._key, self.config.confirm_age)):
            return self._skip(why)
        if self._beside is not None and self._beside.context is not None:
            return self._await(self._beside, view)
        if (waiting := self._way.output(view)) is not None:
            return waiting
        if self._turns and self.facing.is_over(view, self._turns[0]):
            self._turns = []
            self._plan(view)
        why = self._needs_decision(view)
        if why == "arrived" and self._is_on_the_way:
            # As near as possible to a way point, or to a doubtful candidate.
            if self._arrival[0] >= SURE:
                self._next_stage()
            elif self._decision is not None:
                self._bar(self._decision.option)
            self._decision, view = None, replace(view, target=self.target)
        self._path = np.array([view.xy]) if why == "arrived" else self._path  # it stays while the policy thinks
        if not why:
            return self._go_on(view)
        context, view = self._context(view)
        if (waiting := self._way.begins(context, view)) is not None:
            self._decision, self._thorough, self._squeezes = None, False, False
            return waiting
        if self._beside is not None:
            self._beside.ask(context)
            return self._meanwhile(view)
        return self._act(self._settle(context, self.policy.answer(context), self.policy.name, view), view, why)

    # -- state -----------------------------------------------------------------------------------------------------

    def _planner(self, grid: OccupancyGrid) -> Planner:
        """A planner for the map. When squeezing, allows for cells that an obstacle covers only in part."""
        if self._squeezes:
            return squeezing_planner(grid, self.robot, self.planning, self._touched)
        return Planner(grid, self.robot, self.planning, self._touched)

    def _bar(self, option: Option, reached: bool = False) -> None:
        """Gives a place up."""
        if option.kind == "object":
            self._barred_keys.add(self._key)
            self._way.reached(self._key if reached else -1)
        elif self._opening is not None:
            self._barred.append(self._opening)

    def _sure_now(self, view: View) -> frozenset[int]:
        return frozenset(c.key for c in view.candidates if c.score >= SURE) - self._barred_keys

    def _pass_waypoint(self, view: View) -> bool:
        """Advances to the next stage of a route if its way point is passed."""
        if not self._is_on_the_way:
            return False
        sure = [c for c in view.candidates if c.score >= SURE]
        passed = next((c for c in sure if view.gap(c) <= self.config.pass_gap), None)
        if passed is None:
            return False
        self._progress.at = passed.key
        self._next_stage()
        return True

    @property
    def _is_on_the_way(self) -> bool:
        """Whether the current stage is a way point."""
        return self.target.passing and not self._is_last

    @property
    def _is_last(self) -> bool:
        """Whether no other goal comes after this one."""
        return self.stage == len(self._asked.stages) - 1

    def _next_stage(self) -> None:
        self.stage, self._arrival = self.stage + 1, (0.0, "")
        self._barred_keys.clear()
        self._way.clear()
        self._key, self._sure = -1, frozenset()
        self._progress.next_goal()

    def _skip(self, why: str) -> NavigatorOutput:
        """Leaves a goal out, as its condition asks; after the last one the instruction is done."""
        self._progress.skipped.append(f"the {self.target.name} is skipped: {why}")
        self._decision, self._path, self._turns = None, _NO_PATH, []
        if self._is_last:
            self._final = ("stopped", "; ".join(self._progress.skipped))
            return NavigatorOutput(None, _NO_PATH, None, *self._final)
        self._next_stage()
        return NavigatorOutput(None, _NO_PATH, None, "running", self._progress.skipped[-1])

    # -- deciding --------------------------------------------------------------------------------------------------

    def _needs_decision(self, view: View) -> str:
        """Why a new decision is due, "" if none is."""
        if self._decision is None:
            return "start"
        option = self._decision.option
        sure = self._sure_now(view)
        if sure - self._sure and (option.kind != "object" or self._key not in sure):
            return "evidence"
        if self._turns:
            return ""
        if option.kind == "look_around":
            return "looked"
        return self._object_done(view, option) if option.kind == "object" else self._frontier_done(view, option)

    def _object_done(self, view: View, option: Option) -> str:
        c = view.candidate(self._key)
        if c is None:
            return "gone"
        if self._key in self._sure - self._sure_now(view):
            return "refuted"
        reached = self._is_reached(view, self.config.reached)
        if self._is_at(c, view, reached):
            self._progress.at = c.key
            return "arrived"
        if self._turns:
            return ""
        if reached and c.room is not None and not self._is_late(view):
            # Looking around showed that the room's extent differs from what was assumed.
            return "moved"
        if reached or self._is_late(view):
            self._bar(option, reached)
            return "reached" if reached else "stuck"
        return ""

    def _frontier_done(self, view: View, option: Option) -> str:
        elapsed = (view.stamp - self._decided_at) * 1e-9
        assert self._opening is not None  # the destination is a frontier
        if elapsed > 0.5 and not is_frontier_near(view.planner.grid, self._opening, 0.5):
            return "seen"
        if self._is_reached(view, self.config.frontier_reached):
            if self._turn_to(self._opening, view):
                return ""
            self._bar(option)
            return "reached"
        if self._is_late(view):
            self._bar(option)
            return "stuck"
        return "time" if elapsed > self.config.decide_every else ""

    def _is_reached(self, view: View, distance: float) -> bool:
        end = self._path[-1] if len(self._path) else self._decided.position or view.xy
        return math.dist(view.xy, (float(end[0]), float(end[1]))) < distance

    def _is_late(self, view: View) -> bool:
        """Whether the robot has not come nearer to its destination for long."""
        left = remaining(self._path, view.xy)
        if left < self._nearest[1] - 0.1:
            self._nearest = (view.stamp, left)
        return (view.stamp - self._nearest[0]) * 1e-9 > self.config.patience

    def _is_at(self, c: Candidate, view: View, reached: bool) -> bool:
        """Whether the robot is at a candidate's goal place and has just seen it; if not seen, starts turning to it."""
        if c.room is not None:
            if not reached:
                return False
            if self._driven - self._looked_at > 2.0 * self.config.reached:
                # Look at the whole room first: it may be of another kind than it seemed from the door.
                self._look_around(view)
                return False
            if not view.is_inside(c):
                return False
            note = f"this is the {c.name}, {c.note}"
        elif c.place is not None:
            if not reached and view.gap(c) > 2.0 * self.config.reached:
                return False
            note = f"the {c.name} is {view.gap(c):.1f} m away"
        else:
            gap = view.gap(c)
            # At the planned place, accept a slightly larger gap: nothing nearer can be reached.
            there = reached or self._is_late(view)
            if gap > (self.config.last_gap if there else self._near_enough):
                return False
            assert c.object is not None
            if not (self._is_on_the_way or self.target.is_point or self._faces(c.object, view, there)):
                return False
            if (view.stamp - c.object.last_seen) * 1e-9 > self.config.confirm_age:
                # Near, but not in view: turn to it; if it does not appear then, it is behind a wall.
                self._turn_to(c.object.position.tolist(), view)
                return False
            note = f"the {c.name} is {gap:.1f} m away"
        self._arrival = (c.score, note)
        return c.score > 0.0

    @property
    def _near_enough(self) -> float:
        """Gap (m) that is near enough."""
        if self._is_on_the_way:
            return self.config.pass_gap
        return self.config.point_gap if self.target.is_point else max(self.config.stop_gap, self.facing.gap)

    def _faces(self, thing: MemoryObject, view: View, there: bool) -> bool:
        """Whether the target is in the picture as well as it can be; if not, drives on or starts turning to it."""
        faced, heading = self.facing.check(thing, view, there)
        if heading is not None:
            self._turns, self._path = [heading], np.array([view.xy])
        return faced

    def _turn_to(self, place: Sequence[float], view: View) -> bool:
        """Starts turning to a place outside of the camera's view; False if it is in view."""
        bearing = view.bearing(place)
        if abs(bearing) < 0.3 * self.config.field_of_view:
            return False
        self._turns, self._path = [view.yaw + bearing], np.array([view.xy])
        return True

    def _context(self, view: View) -> tuple[Context, View]:
        """What the policy is asked, and the view that it is based on."""
        (arrived, note), self._arrival = self._arrival, (0.0, "")
        if self._is_on_the_way:
            arrived, note = 0.0, ""
        self._found = note if arrived >= SURE else ""
        options, facts = self._options(view, arrived, note)
        if not self._progress.explored and all(o.kind in ("object", "stop") for o in options):
            # What had to be compared with all others can be decided now.
            self._progress.explored, view = True, replace(view)
            options, facts = self._options(view, arrived, note)
        while arrived <= 0.0 and all(o.kind == "stop" for o in options) and not self._squeezes:
            # Nothing is left to explore: offer every small gap, also those given up before; if even these are
            # exhausted, plan with less clearance.
            self._squeezes, self._thorough = self._thorough, True
            self._barred.clear()
            self._barred_keys.clear()
            if self._squeezes:
                view = replace(view, planner=self._planner(view.planner.grid))
            options, facts = self._options(view, arrived, note)
        explored = all(o.kind != "frontier" for o in options)
        likeliest = likeliest_room(view.candidates) if arrived > 0.0 and explored else None
        if not self._found and likeliest is not None and view.gap(likeliest) == 0.0:
            self._found = f"all is explored, and of all rooms this is most likely the {self.target.name}"
        context = Context(
            self._asked, self.target, options, facts, view.xy, view.yaw, view.objects, view.planner.grid,
            self._count, self.stage, room_facts(view), tuple(self._deltas), tuple(self._before),
        )  # fmt: skip
        return context, view

    def _settle(self, context: Context, answer: str, name: str, view: View) -> Decision:
        """Takes an answer for decided; where it is none, the rules' answer."""
        options, facts = context.options, context.facts
        try:
            chosen, think = parse_answer(answer, options)
        except AnswerError as error:
            self.malformed += 1
            answer, why = self._rules.answer(context), error
            chosen, think = parse_answer(answer, options)
            think, name = f"(no answer by {name}: {why}) {think}", self._rules.name
        if not self._is_same_place(facts[chosen]):
            self._nearest = (view.stamp, math.inf)
        self._opening, self._key = facts[chosen].opening, facts[chosen].key
        self._sure = self._sure_now(view)
        self._count += 1
        self._before.append(name_of(options[chosen], facts[chosen]))
        return Decision(self._count - 1, view.stamp, options, chosen, think, answer, name)

    def _await(self, beside: Beside, view: View) -> NavigatorOutput:
        """One update while the policy thinks: takes its answer if it still fits; the rules decide if it is late."""
        late = beside.waited > self.config.think_limit
        answered, name = beside.answer(), self.policy.name
        if answered is None and late and beside.context is not None:
            self.malformed += 1
            answered, name = (beside.context, self._rules.answer(beside.context)), self._rules.name
            beside.forget()
        if answered is None:
            return self._meanwhile(view)
        if still_fits(*answered, view, self.stage, self._barred_keys):
            return self._act(self._settle(*answered, name, view), view, "late" if late else "thought")
        self.dropped += 1
        self._decision = None  # the next update asks anew
        return self._meanwhile(view)

    def _meanwhile(self, view: View) -> NavigatorOutput:
        """Goes on along the present path while the policy thinks; stands where it has come to its end."""
        on_its_way = self._decision is not None and len(self._path) > 1 and not self._turns
        if on_its_way and not self._is_reached(view, self.config.reached) and view.planner.is_clear(self._path):
            return NavigatorOutput(None, self._path, None, "running", "thinking on the way")
        return NavigatorOutput(None, np.array([view.xy]), view.yaw, "running", "thinking")

    def _is_same_place(self, facts: Facts) -> bool:
        """Whether a new decision has the same destination as the last: then its time-out goes on."""
        if facts.opening is not None and self._opening is not None:
            return math.dist(facts.opening, self._opening) < 0.6
        return facts.key != -1 and facts.key == self._key

    def _options(self, view: View, arrived: float, note: str) -> tuple[tuple[Option, ...], tuple[Facts, ...]]:
        here = Surroundings(
            view.xy, view.yaw, arrived, note, self._look_gain(view), self._opening, self._barred, self._barred_keys,
            self._thorough, self._progress.at if arrived > 0.0 else None,
        )  # fmt: skip
        return build_options(self.target, view.candidates, view, here, self.options)

    def _look_gain(self, view: View) -> float:
        """Length (m) of nearby openings outside of the camera's view; 0 if the robot has just looked around."""
        if self._driven - self._looked_at < self.config.look_again:
            return 0.0
        if self._count == 0:
            return 2.0 * math.pi
        return hidden_openings(view, self.planning, self.config.look_radius, self.config.field_of_view)

    # -- acting ----------------------------------------------------------------------------------------------------

    def _act(self, decision: Decision, view: View, why: str) -> NavigatorOutput:
        """Starts carrying out a decision."""
        self._decision, self._decided_at, self._turns = decision, view.stamp, []
        self.facing.since = None
        option = decision.option
        if option.kind == "stop" and self._found and not self._is_last:
            self._next_stage()
            self._decision, self._path = None, _NO_PATH
            return NavigatorOutput(decision, _NO_PATH, None, "running", f"{self._found}; on to the {self.target.name}")
        if option.kind == "stop":
            self._final = self._end(decision, view)
            return NavigatorOutput(decision, _NO_PATH, None, *self._final)
        if option.kind == "look_around":
            self._look_around(view)
        else:
            self._plan(view)
        return self._output(decision, f"{why}: {option.text}")

    def _end(self, decision: Decision, view: View) -> tuple[str, str]:
        """Status and reason of stopping here."""
        if self._found:
            return "stopped", "; ".join((*self._progress.skipped, self._found))
        explored = all(o.kind != "frontier" for o in decision.options)
        blocked = self._way.behind(view.candidates) if explored else None
        found = view.candidates, view.objects, view.rooms
        return "failed", not_found(self.target, *found, explored=explored, blocked=blocked)

    def _look_around(self, view: View) -> None:
        """Starts a full turn on the spot."""
        self._looked_at = self._driven
        self._turns = [math.remainder(view.yaw + k * 2.0 * math.pi / 3.0, 2.0 * math.pi) for k in (1, 2, 3)]
        self._path = np.array([view.xy])

    def _go_on(self, view: View) -> NavigatorOutput:
        """Updates the path of the decision in progress."""
        if self._turns:
            # Between headings, continue without braking.
            tolerance = 0.6 if len(self._turns) > 1 else 0.15
            if abs(math.remainder(self._turns[0] - view.yaw, 2.0 * math.pi)) < tolerance:
                self._turns.pop(0)
        elif self._decided.kind != "look_around":
            age = (view.stamp - self._planned_at) * 1e-9
            if age >= self.config.replan_every or len(self._path) < 2 or not view.planner.is_clear(self._path):
                self._plan(view)
        return self._output(None, self._decision.option.text if self._decision else "")

    def _plan(self, view: View) -> None:
        """Plans a new path to the decision's place; if it cannot be reached, the next decision deals with that."""
        option = self._decided
        goal = option.position
        if option.kind == "object":
            c = view.candidate(self._key)
            travel = view.planner.field_from(view.xy)
            self.facing.stand = stand = find_stand(c, self.target, view, travel, self.options) if c else None
            goal = stand.position if stand else None
        path = None if goal is None else view.planner.plan(view.xy, goal, tolerance=0.6)
        if path is None:
            if goal is not None:
                self._bar(option)
            self._decision, self._path = None, _NO_PATH
            return
        self._path, self._planned_at = path, view.stamp

    def _output(self, decision: Decision | None, reason: str) -> NavigatorOutput:
        if self._decision is None:
            return NavigatorOutput(decision, _NO_PATH, None, "running", "no way there; deciding anew")
        if self._turns:
            return NavigatorOutput(decision, self._path, self._turns[0], "running", reason)
        path = self._path if len(self._path) > 1 else _NO_PATH
        return NavigatorOutput(decision, path, None, "running", reason)
