"""Runs the real navigator over a floor plan without rendering: states for training, at a fraction of the cost.

The navigator, its options and rooms are those of the agent. What differs from the agent: the map and the objects come
from :mod:`.sensing` instead of pixels and voxels, the robot follows its path without dynamics and slip, the map's axes
are the building's, and nothing is lost or corrected. Knows nothing of how many episodes are run, and of no network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...config import Config, param
from ...frames import UNKNOWN, Decision, Episode, MemoryObject, OccupancyGrid
from ...geometry import pose2d
from ...reasoner import Context, Navigator, NavigatorConfig, Policy
from ...sim.episodes import GoalRegion, apartment
from .detections import Detections
from .floors import Floor
from .sensing import drive, see_cells, see_objects, stand_on

#: Rows and columns by which the window of the map grows, as in the memory's grid.
_GROWTH = 64
#: Frames a second of the camera for which the explorer's stand.
_FRAME_RATE = 5.0
#: s; as in evaluation.
TIME_LIMIT = 180.0
_FIRST_STAMP = 50_000_000  # ns


@dataclass(frozen=True)
class ExplorerConfig(Config):
    """Sensor, motion and errors of the explorer."""

    period: float = param(0.4, "time between two frames and updates", unit="s", low=0.05, high=2.0)
    replan_every: float = param(3.0, "longest time between new paths to the same place", unit="s", low=0.1, high=60.0)
    # Seldom splits find a room late: room episodes lose a tenth of their SPL at 3 s.
    rooms_every: float = param(1.0, "least time between two splits of the map into rooms", unit="s", low=0.0, high=60.0)
    rays: int = param(150, "rays a frame", low=16, high=2000)
    hfov: float = param(math.pi / 2, "horizontal field of view", unit="rad", low=0.2, high=2.8)
    width: int = param(320, "image width", unit="px", low=16, high=4096)
    height: int = param(240, "image height", unit="px", low=16, high=4096)
    max_depth: float = param(5.0, "greatest depth that is mapped", unit="m", low=0.5, high=50.0)
    min_pixels: float = param(60.0, "pixels an object must have in an image 320 wide", unit="px", low=1.0)
    error_rate: float = param(
        0.0, "share of an object's viewpoints from which it is missed or misnamed", low=0.0, high=1.0
    )
    noise_seed: int = param(0, "what the errors are drawn from", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class EpisodeRow:
    """Result of an episode, as in the results of an evaluation.

    Attributes:
        path_length: m. time: s. decisions: how many. distance_to_goal: m, geodesic, at the end.
    """

    id: str
    scene: str
    kind: str
    success: bool
    spl: float
    path_length: float
    time: float
    decisions: int
    distance_to_goal: float
    stopped: bool


@dataclass(frozen=True, eq=False)
class State:
    """A decision that was asked for.

    Attributes:
        context: what the policy got. answer: what it said.
        before: the explorer just before the update in which it was asked; ``before.fork().run(...)`` asks again.
    """

    context: Context
    answer: str
    before: Explorer


@dataclass(frozen=True, eq=False)
class World:
    """A world in which an episode may go on.

    Attributes:
        floor: its plan. region: the goal in it.
        origin: of each of its objects the index in the world of before, -1 for one that was not there.
    """

    floor: Floor
    region: GoalRegion
    origin: np.ndarray


@dataclass(eq=False)
class _Map:
    """What was seen; copied by :meth:`fork`."""

    data: np.ndarray
    evidence: np.ndarray
    marks: np.ndarray
    known: np.ndarray
    detections: Detections
    frame: int = 0

    def fork(self) -> _Map:
        return _Map(
            self.data.copy(), self.evidence.copy(), self.marks.copy(), self.known.copy(), self.detections.fork(),
            self.frame,
        )  # fmt: skip


class Explorer:
    """One episode in one world.

    Args:
        episode: what to do. config: sensor, motion, errors.
        floor: the world; None is the episode's own.
        region: the goal in it; None is the episode's.
        navigator: None is one with the agent's defaults that replans more seldom.

    Attributes:
        pose: (x, y, yaw), m and rad, in the scene's frame, which is the map's.
        driven: m. stamp: ns. decisions: so far. status: as the navigator says.
    """

    def __init__(
        self,
        episode: Episode,
        config: ExplorerConfig | None = None,
        floor: Floor | None = None,
        region: GoalRegion | None = None,
        navigator: Navigator | None = None,
    ) -> None:
        self.episode, self.config = episode, config or ExplorerConfig()
        if floor is None:
            floor = Floor(*apartment(episode.scene))
        self.floor = floor
        self.region = region or GoalRegion(floor.description, floor.navigable, episode)
        every = {"replan_every": self.config.replan_every, "rooms_every": self.config.rooms_every}
        self.navigator = navigator or Navigator(NavigatorConfig(**every))
        self.navigator.reset(episode.instruction)
        shape, c = floor.shape, self.config
        self._map = _Map(
            np.full(shape, UNKNOWN, np.int8), np.zeros(shape, np.float32), np.zeros(shape, np.int32),
            np.array([shape[0], shape[1], 0, 0], np.int64),
            Detections(len(floor.objects), c.error_rate, c.noise_seed),
        )  # fmt: skip
        robot = self.navigator.robot
        across = math.tan(c.hfov / 2.0)
        up = across * c.height / c.width
        self._camera = np.array(
            [robot.camera_forward, robot.camera_height, robot.camera_pitch, across, up, c.max_depth]
        )
        self._T_base_camera = robot.T_base_camera()
        self._focal = c.width / 2.0 / across
        self.pose = np.array(episode.start, dtype=np.float64)
        self.stamp, self.driven, self._speed = _FIRST_STAMP, 0.0, 0.0
        self.passed = self.region.passed(self.pose[0], self.pose[1], 0)
        self.decisions: list[Decision] = []
        self.status = "running"

    def fork(self, world: World | None = None) -> Explorer:
        """An explorer that goes on from here, independently.

        Args:
            world: to go on in, instead of this one; it agrees with all that was seen.
        """
        other = copy.copy(self)
        other._map, other.navigator = self._map.fork(), self.navigator.fork()
        other.pose, other.decisions = self.pose.copy(), self.decisions[:]
        if world is not None:
            other.floor, other.region = world.floor, world.region
            other._map.detections = self._map.detections.in_world(world.origin)
        return other

    def run(self, policy: Policy, time_limit: float = TIME_LIMIT) -> EpisodeRow:
        """Goes on until STOP or the time limit."""
        self.navigator.policy = policy
        while self.status == "running" and self.stamp * 1e-9 < time_limit:
            self.step()
        return self.row()

    def states(self, policy: Policy, time_limit: float = TIME_LIMIT) -> list[State]:
        """Runs as :meth:`run` does and gives every decision asked for on the way."""
        recorder = _Recorder(policy)
        self.navigator.policy = recorder
        found: list[State] = []
        while self.status == "running" and self.stamp * 1e-9 < time_limit:
            self.sense()
            before = self.fork()
            before.navigator.policy = policy
            self.decide()
            if recorder.context is not None:
                found.append(State(recorder.context, recorder.text, before))
                recorder.context = None
            self.move()
        self.navigator.policy = policy
        return found

    def step(self) -> None:
        """One frame, one update of the navigator, the motion until the next frame."""
        self.sense()
        self.decide()
        self.move()

    def sense(self) -> None:
        """Adds what the camera sees to the map."""
        floor, m, c = self.floor, self._map, self.config
        m.frame += 1
        see_cells(
            floor.tops, floor.open_floor, floor.occupied, floor.corner, floor.resolution, self.pose, self._camera,
            c.rays, c.period * _FRAME_RATE, m.marks, m.frame, m.evidence, m.data, m.known,
        )  # fmt: skip
        stand_on(floor.open_floor, floor.corner, floor.resolution, self.pose[:2], 0.3, m.data, m.known)
        see_objects(
            floor.tops, floor.corner, floor.resolution, self.pose, self._camera, floor.samples, floor.middles,
            floor.boxes, self._focal, m.detections.samples, m.detections.pixels,
        )  # fmt: skip
        least = c.min_pixels * (c.width / 320.0) ** 2
        delta = m.detections.update(floor, self.stamp, self.pose, least, self._T_base_camera)
        if delta is not None:
            self.navigator.hear(delta)

    def decide(self) -> None:
        """One update of the navigator with the map as it is."""
        grid = self.grid()
        output = self.navigator.update(self.stamp, pose2d(*self.pose), grid, self.objects())
        if output.decision is not None:
            self.decisions.append(output.decision)
        self.status = output.status
        self._path, self._heading = output.path, output.heading

    def move(self) -> None:
        """Drives until the next frame."""
        if self.status != "running":
            return
        robot = self.navigator.robot
        heading = math.nan if self._heading is None else self._heading
        limits = np.array([robot.max_linear, robot.max_angular, robot.linear_acceleration, heading])
        path = np.ascontiguousarray(self._path, dtype=np.float64)
        self._speed, driven = drive(path, self.pose, self._speed, self.config.period, limits)
        self.driven += driven
        self.stamp += round(self.config.period * 1e9)
        self.passed = self.region.passed(self.pose[0], self.pose[1], self.passed)

    def grid(self) -> OccupancyGrid:
        """The map as known, cut to what is known; it is changed by the next frame."""
        r0, c0, r1, c1 = (int(v) for v in self._map.known)
        rows, columns = self.floor.shape
        r0, c0 = max(r0 - 2, 0) // _GROWTH * _GROWTH, max(c0 - 2, 0) // _GROWTH * _GROWTH
        r1, c1 = min(_upper(r1), rows), min(_upper(c1), columns)
        x, y = self.floor.corner + np.array([c0, r0]) * self.floor.resolution
        return OccupancyGrid(self._map.data[r0:r1, c0:c1], self.floor.resolution, (float(x), float(y)), self.stamp)

    def objects(self) -> Sequence[MemoryObject]:
        """The objects as remembered."""
        return self._map.detections.objects()

    @property
    def seen(self) -> np.ndarray:
        """HxW int8, all that is known of the world's cells; changed by the next frame."""
        return self._map.data

    @property
    def touched(self) -> np.ndarray:
        """Indices of the objects of which anything was seen."""
        return self._map.detections.touched()

    def row(self) -> EpisodeRow:
        """The result so far."""
        e, (x, y) = self.episode, (float(v) for v in self.pose[:2])
        success = self.status == "stopped" and self.region.reached(x, y, self.passed)
        spl = success * e.geodesic_distance / max(e.geodesic_distance, self.driven)
        return EpisodeRow(
            e.id, e.scene, e.kind, bool(success), float(spl), self.driven, (self.stamp - _FIRST_STAMP) * 1e-9,
            len(self.decisions), self.region.distance(x, y, self.passed), self.status == "stopped",
        )  # fmt: skip


def _upper(cell: int) -> int:
    """The end of the map's window for its last known row or column."""
    return (cell + 3) // _GROWTH * _GROWTH + _GROWTH


@dataclass
class _Recorder:
    """A policy that asks another one and keeps what it was asked."""

    policy: Policy
    context: Context | None = field(default=None)
    text: str = ""

    def __post_init__(self) -> None:
        self.name, self.reads = self.policy.name, self.policy.reads

    def answer(self, context: Context) -> str:
        self.context, self.text = context, self.policy.answer(context)
        return self.text
