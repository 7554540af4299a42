"""What a scenario is, what is recorded of it, and how one is run. Knows nothing of processes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

import numpy as np

from embodied_nav.robot import RobotProfile

from .robot import Robot, Sensors
from .starvation import Starvation
from .world import World, room

#: Nearer to the plan's end than this the robot has arrived (m, rad).
_ARRIVED = 0.12
#: Waits for the control node this long at most (s): on a loaded machine it takes its time.
_START_TIMEOUT = 60.0
#: What time counts while the machine keeps the rig or the node from running.
_STARVED = 0.3
#: Such a pause excuses standing for so long after it (s): inputs were late, and it was not the node's fault.
_EXCUSED = 1.2
#: What a float32 and a control period may add to a limit.
ROUNDING = 1e-3
#: A run in which more standing than this was excused (s) tells nothing where it fails: pauses have after-effects.
_CALM = 0.5
#: What the node says before has to do with its start (s).
_STARTED = 1.5

When = Callable[["Moment"], bool]


@dataclass(frozen=True)
class Event:
    """What happens when: ``do`` is called once ``when`` holds, after all earlier events of the scenario."""

    when: When
    do: Callable[[Moment], None]


@dataclass
class Moment:
    """What conditions and events look at.

    Attributes:
        robot: the robot. restart: kills the control node (SIGKILL) and starts it anew.
        since: s since the last event. driven: m driven since then.
    """

    robot: Robot
    restart: Callable[[], None]
    since: float = 0.0
    driven: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """A world, what is wrong in it, and what must hold.

    Attributes:
        name: of the test. world: made anew for each run. sensors: what the robot has.
        start: x, y, yaw. plan: ((x, y), ...) in map, None: another controller drives, or nobody.
        before: called once before anything is published. events: faults, in order.
        parameters: of the control node.
        seconds: how long it goes on after the last event, or until the robot arrives; what the machine takes away
            counts less.
        arrives: True: it must reach the plan's end (or ``goal``), None: it may.
        goal: (x, y) where there is no plan. says: regular expression that something said after the first event must
            match. stands: from ``settles`` seconds after the last event on the base may move no more than
            ``creeps`` m. stood: most seconds that a safe scenario may stand on its way.
    """

    name: str
    world: Callable[[], World] = room
    sensors: Callable[[], Sensors] = Sensors
    start: tuple[float, float, float] = (0.0, 0.0, 0.0)
    plan: tuple[tuple[float, float], ...] | None = ((0.0, 0.0), (6.0, 0.0))
    goal: tuple[float, float] | None = None
    before: Callable[[Robot], None] | None = None
    events: tuple[Event, ...] = ()
    parameters: dict[str, object] = field(default_factory=dict)
    seconds: float = 6.5
    arrives: bool | None = None
    says: str = ""
    stands: bool = False
    settles: float = 1.5
    creeps: float = 0.03
    stood: float = math.inf


@dataclass
class Record:
    """What a run showed.

    Attributes:
        ready: the control node came up. began: it drove at all. happened: how many events came.
        gap: least gap to anything, m; negative: touched, or over an edge. linear, angular, other: most that was
            commanded. moved: m driven after ``settles``. stood: s of standing between the first motion and the end or
            arrival; ``excused``: s of it while the machine kept the rig from running. first_move: s from ready to the
            first motion.
        arrived: reached the end; took: s from ready to there. said: after the first event; without events, after the
            start.
    """

    name: str
    ready: bool = False
    began: bool = False
    happened: int = 0
    arrived: bool = False
    gap: float = math.inf
    linear: float = 0.0
    angular: float = 0.0
    other: float = 0.0
    moved: float = 0.0
    stood: float = 0.0
    excused: float = 0.0
    first_move: float = math.inf
    took: float = math.inf
    end: tuple[float, float, float] = (0.0, 0.0, 0.0)
    said: tuple[str, ...] = ()

    def is_unsafe(self, scenario: Scenario) -> bool:
        """Whether it touched, passed a limit or moved where it had to stand: no load of the machine excuses that."""
        robot = RobotProfile()
        fast = self.linear > robot.max_linear + ROUNDING or self.angular > robot.max_angular + ROUNDING
        return self.gap < 0.0 or fast or self.other != 0.0 or (scenario.stands and self.moved > scenario.creeps)

    def tells_nothing(self, scenario: Scenario) -> bool:
        """Whether it fails to arrive, to arrive in time or to say what it must, and the machine may be the reason."""
        late = scenario.arrives is True and (not self.arrived or self.stood - self.excused > scenario.stood)
        unsaid = bool(scenario.says) and not any(re.search(scenario.says, text) for text in self.said)
        return (late or unsaid) and not self.is_unsafe(scenario) and self.excused > _CALM

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


class Run:
    """One run of a scenario with a robot and a control node that is there already, or comes.

    Args:
        robot: in its world, not yet publishing. restart: see :class:`Moment`. pids: of the processes that need a core.
    """

    def __init__(
        self, scenario: Scenario, robot: Robot, restart: Callable[[], None], pids: Callable[[], Iterable[int]]
    ) -> None:
        self.scenario, self.robot = scenario, robot
        self.record = Record(scenario.name)
        self._moment = Moment(robot, restart)
        self._starvation = Starvation(pids)
        if scenario.before is not None:
            scenario.before(robot)

    def run(self) -> Record:
        """Until it is over."""
        scenario, robot, record = self.scenario, self.robot, self.record
        end = time.monotonic() + _START_TIMEOUT
        while not robot.alive and time.monotonic() < end:
            robot.step()
        record.ready = robot.alive
        if record.ready:
            if scenario.plan is not None:
                robot.plan = np.array(scenario.plan)
            self._live()
        record.gap = robot.least_gap
        record.linear, record.angular, record.other = (robot.fastest[k] for k in ("linear", "angular", "other"))
        record.end = tuple(round(v, 3) for v in robot.pose)
        return record

    def _live(self) -> None:
        scenario, robot, record, moment = self.scenario, self.robot, self.record, self._moment
        begin = event_at = last = time.monotonic()
        event_driven, waiting, heard = robot.driven, list(scenario.events), None
        settled_at: float | None = None
        # An event that does not come is the scenario's failure, seen from what it demands.
        counted = 0.0
        while counted < scenario.seconds + (12.0 if waiting else 0.0):
            robot.step()
            self._starvation.look()
            robot.late_at = max(robot.late_at, self._starvation.last)
            now = time.monotonic()
            counted += (now - last) * (1.0 if now - robot.late_at > _EXCUSED else _STARVED)
            moment.since, moment.driven = now - event_at, robot.driven - event_driven
            if waiting and waiting[0].when(moment):
                heard = len(robot.said) if heard is None else heard
                waiting.pop(0).do(moment)
                record.happened += 1
                event_at, event_driven, counted = time.monotonic(), robot.driven, 0.0
            if heard is None and not scenario.events and now - begin > _STARTED:
                heard = max(len(robot.said) - 1, 0)
            self._count(now, now - last, begin)
            last = now
            if not waiting and settled_at is None and counted > scenario.settles:
                settled_at = robot.driven
            if not waiting and self._has_arrived():
                record.arrived, record.took = True, now - begin
                break
        record.moved = robot.driven - settled_at if settled_at is not None else 0.0
        record.said = tuple(robot.said[heard or 0 :])

    def _count(self, now: float, dt: float, begin: float) -> None:
        record, robot = self.record, self.robot
        if not record.began and not robot.stands:
            record.began, record.first_move = True, now - begin
        if record.began and robot.stands:
            record.stood += dt
            if now - robot.late_at < _EXCUSED:
                record.excused += dt

    def _has_arrived(self) -> bool:
        goal = self.scenario.goal or (self.scenario.plan[-1] if self.scenario.plan else None)
        if goal is None or self.scenario.arrives is not True:
            return False
        return math.hypot(self.robot.pose[0] - goal[0], self.robot.pose[1] - goal[1]) < _ARRIVED


# -- conditions ------------------------------------------------------------------------------------------------------


def driven(metres: float) -> When:
    """After so many metres since the last event."""
    return lambda moment: moment.driven >= metres


def after(seconds: float) -> When:
    """After so many seconds since the last event."""
    return lambda moment: moment.since >= seconds


def standing(seconds: float = 0.5) -> When:
    """When the base is at rest, no earlier than so many seconds after the last event."""
    return lambda moment: moment.since >= seconds and moment.robot.stands
