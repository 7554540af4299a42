"""A robot that patrols a building for hours: rounds, goals, waiting at its charger, while furniture moves, people pass
and lights change; what a stretch of it cost and left behind. Used by bench_all_day.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from changing_scene import NEAR, Change, Furniture, People

from embodied_nav import kernels
from embodied_nav.drivers import Agent
from embodied_nav.evaluation.localization import SlamLocalization
from embodied_nav.evaluation.object_score import score_objects
from embodied_nav.evaluation.runner import show
from embodied_nav.frames import Episode, Goal, RGBDFrame
from embodied_nav.geometry import Camera, invert, pose2d
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.perception.simulator import SimulatorPerception
from embodied_nav.planning.geodesic import descend
from embodied_nav.reasoner import create
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.dynamics import DifferentialDrive
from embodied_nav.sim.embedded import SceneCache, describe
from embodied_nav.sim.goals import GoalRegion
from embodied_nav.sim.interface import Observation
from embodied_nav.sim.metrics import EpisodeMetrics
from embodied_nav.sim.noise import DepthNoise, OdometryNoise
from embodied_nav.sim.rasterizer import Rasterizer
from embodied_nav.sim.tours import _places
from embodied_nav.slam import landmarks_of

#: Camera period and control period, s; frames of an hour.
PERIOD, STEP = 0.2, 0.05
HOUR = round(3600 / PERIOD)
#: Changes of furniture an hour, rounds and goals an hour, m between the places of a round.
CHANGES, ROUNDS, GOALS, SPACING = 9, 3, 4, 2.5
#: ns after which a robot that does not get on backs off.
_STUCK = 4_000_000_000
#: s, longest time of a goal; ns that an hour's goals and the way home may take.
_LIMIT = 180.0
_GOALS_TAKE = round(1e9 * (GOALS * _LIMIT + 120.0))
#: Things count as seen when so great a share of the picture showed them nearer than this (m).
_SHARE, _CLOSE = 200 / (320 * 240), 3.0
#: Red, green, blue of daylight, evening and night, and what a lamp that is switched off takes away.
_DAY, _EVENING, _NIGHT, _LAMP = (1.0, 1.0, 1.0), (0.8, 0.7, 0.55), (0.5, 0.45, 0.4), 0.75
_ROBOT = RobotProfile()


class World:
    """A building with a robot in it, its noise, furniture that moves, people and lights.

    Args:
        name: of the scene. seed: of all chance. camera: the robot's.
    """

    def __init__(self, name: str, camera: Camera, seed: int = 0) -> None:
        self._description, self.camera, self._seed = describe(name), camera, seed
        self._cache, self.people = SceneCache(_ROBOT), People(0, camera, seed)
        self.drive = DifferentialDrive(_ROBOT, None)
        navigable = self._cache.make(self._description).navigable
        row, column = _places(navigable, SPACING)[0]
        x, y = navigable.grid.centers(np.array((row, column)))
        self.start = (float(x), float(y), 0.0)
        self.furniture = Furniture(self._description, seed, np.array(self.start[:2]))
        self._noise, self._T_base_camera = DepthNoise(seed, 10.0), _ROBOT.T_base_camera()
        self.gain, self._lamp = np.ones(3), 1.0
        self.stamp, self.hour = 50_000_000, 0
        self.begin(0)

    def begin(self, hour: int) -> None:
        """At its charger at the beginning of an hour, wheels counted from zero; furniture as it is then."""
        while self.hour < hour:
            self.hour += 1
            self.furniture.change(CHANGES)
        self._show()
        self.drive.reset(*self.start)
        rng = np.random.default_rng([self._seed, hour])
        self.odometry = OdometryNoise(0.02, math.radians(0.5), rng, 0.01)
        self.stamp = 50_000_000 + round(hour * 3600e9)

    def change(self) -> list[Change]:
        """The next hour begins: furniture has moved."""
        self.hour += 1
        done = self.furniture.change(CHANGES)
        self._show()
        return done

    def _show(self) -> None:
        self.scene = self.furniture.scene()
        loaded = self._cache.make(self.scene)
        self.navigable, self._raster = loaded.navigable, Rasterizer(loaded.raster, self.camera)
        self.drive.set_map(self.navigable)
        of_day = self.hour % 24
        self.gain = np.array(_DAY if 8 <= of_day < 17 else _EVENING if 17 <= of_day < 22 else _NIGHT)
        self.people = People(2 if 7 <= of_day < 20 else 0, self.camera, self.hour)
        self._kept: tuple | None = None

    def switch_lamp(self) -> None:
        """Somebody switches a lamp on or off."""
        self._lamp = _LAMP if self._lamp == 1.0 else 1.0
        self._kept = None

    @property
    def T_scene_base(self) -> np.ndarray:
        """4x4, the true pose."""
        return pose2d(*self.drive.pose)

    def observe(self) -> Observation:
        """What the robot sees now. Where nothing moved in its sight only the noise of depth is new."""
        moved = self.people.walk(self.navigable, np.array(self.drive.pose[:2]), PERIOD)
        if moved or self._kept is None or not np.array_equal(self._kept[0], self.drive.state[:3]):
            T = self.T_scene_base @ self._T_base_camera
            color, depth, ids = self._raster.render(T)
            self.people.draw(T, color, depth, ids)
            color = (color * (self.gain * self._lamp)).astype(np.uint8)
            self._kept = self.drive.state[:3].copy(), color, depth, ids
        _, color, depth, ids = self._kept
        return Observation(
            self.stamp, color, self._noise(depth), ids, self.odometry.T_odom_base, self._T_base_camera.copy()
        )

    def step(self, v: float, w: float) -> None:
        """Drives for a control period."""
        x0, y0, yaw0 = self.drive.state[:3]
        self.drive.step(v, w, STEP)
        x1, y1, yaw1 = self.drive.state[:3]
        c, s = math.cos(yaw0), math.sin(yaw0)
        self.odometry.update(c * (x1 - x0) + s * (y1 - y0), c * (y1 - y0) - s * (x1 - x0), yaw1 - yaw0)
        self.stamp += round(STEP * 1e9)


class Patrolling(Agent):
    """The agent on its rounds: it remembers all the time and decides only while it has a goal."""

    has_goal = False

    def observe(self, frame: RGBDFrame, *args: np.ndarray) -> None:  # type: ignore[override]
        """Takes a frame."""
        super().observe(frame, *args) if self.has_goal else self.remember(frame)


class Shift:
    """One run of the robot's program over a memory file, from one start to the next.

    Args:
        world: where it is. path: the file, there or not. T_scene_map: 4x4, of the first shift's map.
    """

    def __init__(self, world: World, path: Path, T_scene_map: np.ndarray) -> None:
        self.world, self.path, self.T_scene_map = world, path, T_scene_map
        self._beside = ThreadPoolExecutor(1)
        self.agent = Patrolling(_ROBOT, SimulatorPerception(), create("rules"), looks=True, beside=self._beside)
        self.first_map = ""
        landmarks = landmarks_of(path) if path.exists() else []
        memory = SpatialMemory.load(path) if path.exists() else SpatialMemory()
        if path.exists():
            self.first_map = memory.uuid
            memory.begin_map()
        self.writer = MemoryWriter(memory, path)
        self.agent.reset("find the door", memory)
        self.where = SlamLocalization(world.camera, landmarks)
        self.seen: set[int] = set()
        self.was: dict[str, list[np.ndarray]] = {}
        self._names()
        self.clear()

    def _names(self) -> None:
        self.things = {o.instance: o for o in self.world.scene.objects}
        self.agent.set_instances({i: (o.category, o.color) for i, o in self.things.items()})

    def clear(self) -> None:
        """Begins to count anew."""
        self.costs: list[tuple[float, float, bool]] = []
        self.errors: list[float] = []
        self.unplaced, self.goals = 0, []
        self._begun = time.process_time(), time.thread_time()
        self._world_s = 0.0

    # -- driving ----------------------------------------------------------------------------------------------------

    def frame(self, standing: bool = False) -> None:
        """Sees one picture."""
        begun = time.thread_time()
        seen = self.world.observe()
        self._world_s += time.thread_time() - begun
        begun = time.thread_time()
        show(self.agent, self.where, seen, self.world.camera)
        self.costs.append((time.thread_time() - begun, self.world.stamp, standing))
        if not self.where.tracking.placed:
            self.unplaced += 1
        elif self.at_home:
            T = invert(self.T_scene_map) @ self.world.T_scene_base
            T_is = self.where.T_map_odom @ seen.T_odom_base
            self.errors.append(float(np.linalg.norm((T_is - T)[:2, 3])))
            near = np.where(seen.depth < _CLOSE, seen.instance_ids, 0)
            found = np.flatnonzero(np.bincount(near.ravel()) >= _SHARE * near.size)
            self.seen.update(found[found > 0].tolist())

    @property
    def at_home(self) -> bool:
        """Whether it knows where it is in the map of the first shift."""
        return not self.first_map or self.agent.memory.uuid == self.first_map

    def stand(self, frames: int) -> None:
        """Waits where it is; a lamp is switched every ten minutes."""
        for k in range(frames):
            if k % 3000 == 2999:
                self.world.switch_lamp()
            self.frame(standing=True)
            self.world.stamp += round(PERIOD * 1e9)

    def turn(self) -> None:
        """Looks around where it is."""
        for _ in range(round(2 * math.pi / (0.8 * PERIOD))):
            self.frame()
            for _ in range(4):
                self.world.step(0.0, 0.8)

    def go(self, cell: tuple[int, int], limit: float = 120.0) -> None:
        """Drives to a cell by the truth's shortest path, waiting for people in its way."""
        world, end = self.world, self.world.stamp + round(limit * 1e9)
        field, path, marked = world.navigable.geodesic_field(np.array([cell])), [], (world.stamp, np.full(3, np.inf))
        while world.stamp < end and np.linalg.norm(world.navigable.grid.centers(np.array(cell)) - self._xy) > 0.2:
            if not path:
                here = world.navigable.nearest_free(self._xy)
                path = list(world.navigable.grid.centers(descend(field, here)))[1:]
                path = path or [world.navigable.grid.centers(np.array(cell))]
            self.frame()
            for _ in range(4):
                path = self._steer(path)
            now = np.array(world.drive.pose)
            if np.linalg.norm((now - marked[1])[:2]) > 0.1 or abs(now[2] - marked[1][2]) > 0.3:
                marked = (world.stamp, now)
            elif world.stamp - marked[0] > _STUCK:
                self._back_off()
                path, marked = [], (world.stamp, np.full(3, np.inf))

    @property
    def _xy(self) -> np.ndarray:
        return np.array(self.world.drive.pose[:2])

    def _steer(self, path: list) -> list:
        """Drives towards the next places of a path for a control period; returns those that are left."""
        x, y, yaw = self.world.drive.pose
        while path and math.dist(path[0], (x, y)) < 0.2:
            path = path[1:]
        if path:
            turn = math.remainder(math.atan2(path[0][1] - y, path[0][0] - x) - yaw, 2 * math.pi)
            forward = 0.5 * max(0.0, math.cos(turn)) ** 3 if abs(turn) < 1.0 else 0.0
            self.world.step(forward, max(-1.2, min(1.2, 2.0 * turn)))
        return path

    def _back_off(self) -> None:
        """Back and aside, away from what it is stuck at."""
        for _ in range(6):
            self.frame()
            for _ in range(4):
                self.world.step(-0.25, 0.5)

    def round(self, rng: np.random.Generator, end: int) -> None:
        """Looks around at places all over the building until a stamp (ns), and comes back to the charger."""
        navigable = self.world.navigable
        home = navigable.nearest_free(self.world.start[:2])
        left = _places(navigable, SPACING)
        self.turn()
        here = home
        while left and self.world.stamp < end:
            field = navigable.geodesic_field(np.array([here]))
            target = min(left, key=lambda cell: (float(field[cell]) + rng.random(), cell))
            left.remove(target)
            if np.isfinite(field[target]):
                self.go(target)
                self.turn()
                here = target
        self.go(home)

    def goal(self, rng: np.random.Generator) -> None:
        """Finds a thing by its name, deciding for itself."""
        task = self._task(rng)
        if task is None or self.where.tracking.lost:
            return
        region, episode = task
        world, agent = self.world, self.agent
        x, y, _ = world.drive.pose
        metrics = EpisodeMetrics((x, y), region.distance(x, y), region.reached(x, y))
        agent.reset(episode.instruction, agent.memory)
        agent.has_goal, end = True, world.stamp + round(_LIMIT * 1e9)
        while world.stamp < end and agent.status == "running":
            self.frame()
            for _ in range(4):
                command = agent.control(world.stamp, world.odometry.T_odom_base)
                if self.where.tracking.lost or agent.status != "running":
                    world.stamp += round(STEP * 1e9)
                    continue
                world.step(command.linear, command.angular)
                x, y, _ = world.drive.pose
                metrics.update((x, y), region.distance(x, y), region.reached(x, y), False)
        agent.has_goal = False
        result = metrics.result(agent.status == "stopped")
        self.goals.append({"goal": episode.instruction, "success": bool(result.success), "spl": float(result.spl),
                           "reason": agent.reason})  # fmt: skip

    def _task(self, rng: np.random.Generator) -> tuple[GoalRegion, Episode] | None:
        """A thing that was seen, the only one of its name and colour, at least 2 m away."""
        names = [(o.category, o.color) for o in self.things.values()]
        once = [o for o in self.things.values() if o.instance in self.seen and names.count((o.category, o.color)) == 1]
        x, y, _ = self.world.drive.pose
        for k in rng.permutation(len(once))[:20].tolist():
            o = once[k]
            goal = Goal("object", o.center, o.instance)
            episode = Episode("patrol", "0", "object", f"find the {o.color} {o.category}", (x, y, 0.0), (goal,), 1.0)
            region = GoalRegion(self.world.scene, self.world.navigable, episode)
            if region.mask.any() and 2.0 < region.distance(x, y) < np.inf:
                return region, episode
        return None

    # -- hours ------------------------------------------------------------------------------------------------------

    def hour(self, number: int) -> dict:
        """One hour: furniture moves (not in the first), rounds, goals, waiting; what it cost and left behind."""
        rng, world = np.random.default_rng([number, 1]), self.world
        end, changes = round((number + 1) * 3600e9), []
        if number and world.hour < number:
            changes = world.change()
            for thing in self.things.values():
                self.was.setdefault(thing.category, []).append(np.array(thing.center[:2]))
            old = self.things
            self._names()
            moved = {i for i, o in old.items() if i not in self.things or self.things[i].center != o.center}
            self.seen -= moved
        for _ in range(ROUNDS):
            self.round(rng, end - _GOALS_TAKE)
        for _ in range(GOALS):
            self.goal(rng)
        self.go(world.navigable.nearest_free(world.start[:2]))
        self.stand(max(0, (end - world.stamp) // round(PERIOD * 1e9)))
        self.writer.flush()
        told = self._told(number, changes)
        self.clear()
        return told

    def _told(self, number: int, changes: list[Change]) -> dict:
        cost = 1e3 * np.array([c for c, _, _ in self.costs])
        standing = np.array([s for _, _, s in self.costs])
        whole = 1e3 * (time.process_time() - self._begun[0] - self._world_s) / len(cost)
        objects = self.agent.memory.objects() if self.at_home else ()
        truth = [o for i, o in self.things.items() if i in self.seen]
        right = [self._right(c, objects) for c in changes]
        return {
            "hour": number + 1, "frames": len(cost), "ms": whole, "ms_driving": float(cost[~standing].mean()),
            "ms_standing": float(cost[standing].mean()) if standing.any() else None,
            "p99_ms": float(np.percentile(cost, 99)), "longest_ms": float(cost.max()),
            "over_50": int((cost > 50.0).sum()), "ram_mb": resident(), "file_mb": size(self.path),
            "keyframes": len(self.agent.memory.keyframes), "slam_keyframes": len(self.where.slam.keyframe_poses()),
            "unplaced": self.unplaced, "ate_m": math.sqrt(np.mean(np.square(self.errors))) if self.errors else None,
            "f1": score_objects(objects, truth, self.T_scene_map).f1, "objects": len(objects),
            "stale": sum(self._stale(o) for o in objects), "changes": len(changes), "changes_right": sum(right),
            "goals": self.goals, "voxels": len(self.agent.memory),
        }  # fmt: skip

    def _right(self, change: Change, objects: tuple) -> bool:
        """Whether the memory holds of a change what is true now."""
        here = self._near(objects, change.label, change.place)
        true = any(
            o.category == change.label and np.linalg.norm(np.array(o.center[:2]) - change.place) < NEAR
            for o in self.things.values()
        )
        return here == true

    def _near(self, objects: tuple, label: str, place: np.ndarray) -> bool:
        T = self.T_scene_map
        return any(o.label == label and np.linalg.norm((T @ [*o.position, 1.0])[:2] - place) < NEAR for o in objects)

    def _stale(self, o) -> bool:
        """Whether an object stands where a thing of its kind once stood and none does now."""
        place = (self.T_scene_map @ [*o.position, 1.0])[:2]
        now = any(
            t.category == o.label and np.linalg.norm(np.array(t.center[:2]) - place) < NEAR
            for t in self.things.values()
        )
        return not now and any(np.linalg.norm(p - place) < NEAR for p in self.was.get(o.label, ()))

    def close(self) -> None:
        """Ends the program as it should be ended."""
        self.writer.close()
        self._beside.shutdown()


def resident() -> float:
    """MB that this process holds in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def size(path: Path) -> float:
    """MB of a file with what is still beside it."""
    return sum(os.path.getsize(f) for f in path.parent.glob(path.name + "*")) / 1e6


def hours(name: str, camera: Camera, path: Path, first: int, last: int) -> Iterator[dict]:
    """A shift from one hour to before another, over a memory file; a mapping an hour."""
    for layer in kernels.LAYERS:
        kernels.warm_up(layer)
    world = World(name, camera)
    T_scene_map = pose2d(*world.start)
    world.begin(first)
    shift = Shift(world, path, T_scene_map)
    for number in range(first, last):
        yield shift.hour(number)
    shift.close()
