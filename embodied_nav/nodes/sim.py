"""The sim node: the embedded simulator, or Habitat, as a robot with a camera. Knows nothing of agents.

Subscribes cmd_vel (Twist, or TwistStamped by enable_stamped_cmd_vel); in lock-step also progress and instruction.
Publishes camera/color/image_raw (rgb8), camera/depth/image_raw (32FC1), camera/color/camera_info, odom, /tf,
/tf_static, /clock (publish_clock), sim/instance_ids (32SC1), sim/instances (latched); for display and reports sim/pose
(the true pose in map) and sim/metrics. Serves sim/finish (std_srvs/Trigger): STOP was called, compute the scores.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf2_ros
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from embodied_nav.msg import Object, ObjectArray, Progress

from .. import kernels
from ..config import Config, param
from ..errors import InputError
from ..frames import Episode, Velocity
from ..geometry import invert, pose2d, yaw_of
from ..robot import RobotProfile
from ..sim import SIMULATORS
from ..sim.embedded import EmbeddedSimulator, SimulatorConfig, warm_up
from ..sim.episodes import load_episodes, make_episode
from ..sim.habitat.datasets import episode_of
from ..sim.habitat.protocols import PROTOCOLS
from ..sim.habitat.simulator import HabitatConfig, world_simulator
from ..sim.habitat.warm_up import warm_up as warm_up_navmesh
from ..sim.interface import Observation, Simulator, StepResult
from ..sim.last_metres import last_metres
from ..sim.metrics import EpisodeMetrics
from .lockstep.frames_in_flight import FramesInFlight
from .lockstep.pace import Pace
from .ros import params, qos
from .ros.conversions import (
    BadMessage,
    camera_info_msg,
    header,
    image_msg,
    pose_msg,
    time_msg,
    transform_msg,
    velocity_from_twist,
)
from .ros.lifecycle import run
from .ros.living import Living
from .ros.optics import COLOR, DEPTH, INFO
from .ros.watchers import missing_watchers

#: Time-out (s) in lock-step for the agent to finish a frame or tick; ten times that while its processes are alive.
_STUCK = 60.0
#: However slowly simulated time runs, a command expires after this many times its time-out in steady time.
_STEADY_SHARE = 4.0
#: Period (s) of the warning that simulated time runs slowly, and the real-time factor below which it is given.
_TELL_PACE, _SLOW = 10.0, 0.5
#: While waiting, clock and TF are republished with this period (s): these topics are not latched for late subscribers.
_AGAIN = 1.0
#: Topic -> nodes that must have discovered it before lock-step begins.
_WATCHERS = {
    COLOR: {"keyframe", "memory"},
    DEPTH: {"keyframe", "memory", "control"},
    INFO: {"keyframe", "memory", "control"},
    "odom": {"reasoner", "control"},
    "/tf": {"keyframe", "memory", "reasoner", "control"},
}


@dataclass(frozen=True)
class SimNodeConfig(Config):
    """Which scene is simulated, and how time is paced."""

    scene: int = param(1000, "apartment's seed", low=0)
    kind: str = param("object", "kind of episode", choices=("object", "relation", "room", "route"))
    index: int = param(0, "which episode of this kind", low=0)
    episode_file: str = param("", "Habitat episode file (.json.gz) whose first episode is run instead", path=True)
    world: str = param(
        "embedded", "simulator: embedded, or habitat (habitat-sim behind habitat/server.py)", choices=tuple(SIMULATORS)
    )
    dataset: str = param("", "Habitat data set (.json.gz) whose episode number index is run instead", path=True)
    scenes_dir: str = param("", "folder that the data set's scenes lie in", path=True)
    protocol: str = param("auto", "of the data set: its radius of success", choices=("auto", *PROTOCOLS))
    seed: int = param(0, "seed of all noise", low=0)
    localization: str = param(
        "truth",
        "map->odom: the simulator's truth, odom (the identity), or slam (left to the slam node)",
        choices=("truth", "odom", "slam"),
    )
    map_origin: str = param(
        "start",
        "where the true map begins: where the robot starts, or as the scene itself (the same for all sessions in it)",
        choices=("start", "scene"),
    )
    frame_rate: float = param(15.0, "camera frames a simulated second", unit="Hz", low=0.5, high=60.0)
    steps_per_frame: int = param(2, "motion steps (and odometry messages) a camera frame", low=1, high=100)
    rate: float = param(1.0, "simulated seconds a second, where the machine and the nodes keep up", low=0.05, high=20.0)
    follow: bool = param(True, "simulated time waits for nodes that are behind; only with publish_clock")
    wait_for: str = param(
        "", "nodes, with commas between, that must have found the camera before simulated time begins"
    )
    lockstep: bool = param(False, "wait for the agent after every frame and motion step")
    start_time: float = param(
        0.0, "simulated time at the start: later than what a memory that goes on has seen", unit="s", low=0.0, high=1e9
    )
    publish_clock: bool = param(True, "publish /clock and stamp by simulated time; else by the system's clock")
    cmd_vel_timeout: float = param(0.5, "without a command for so long the base stands", unit="s", low=0.05, high=10.0)
    enable_stamped_cmd_vel: bool = param(False, "cmd_vel is TwistStamped")
    result: str = param("", "JSON file for scores, latencies and the way driven; empty: none", path=True)


class SimNode(qos.Overridable, Node):
    """Steps the simulator in a thread of its own; the executor takes commands."""

    def __init__(self) -> None:
        super().__init__("sim")
        self.config = params.declare(self, SimNodeConfig)
        self.robot = params.declare(self, RobotProfile, "robot")
        settings = params.declare(self, SimulatorConfig, "simulator")
        of_habitat = params.declare(self, HabitatConfig, "habitat")
        params.refuse_unknown(self)
        warm_up()
        if self.config.dataset and self.config.world == "embedded":
            warm_up_navmesh()
        self._episode = self._choose_episode()
        self._simulator: Simulator = (
            world_simulator(self.config.world, self.robot, of_habitat)
            if self.config.dataset
            else EmbeddedSimulator(robot=self.robot, config=settings)
        )
        self._first = self._simulator.reset(self._episode, self.config.seed)
        self._truth = self._simulator.privileged()
        self._metrics = self._start_metrics()
        self._T_map_scene = np.eye(4) if self.config.map_origin == "scene" else invert(self._truth.T_scene_map())
        self._trajectory: list[tuple[float, float, float, int]] = []
        self._last_color = self._first.color
        #: Added to simulated stamps.
        self._offset = round(self.config.start_time * 1e9)
        self._lock = threading.Lock()
        self._command, self._commanded_at, self._commanded_in = Velocity(), 0.0, 0
        self._newest_stamp = self._first.stamp
        self._commands = threading.Semaphore(0)
        self._instructed = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._step_lock = threading.Lock()
        self.finished, self.exit_code = False, 0
        self._in_flight = FramesInFlight(("keyframe", "memory", "control"))
        self._living = Living(self)
        self._pace = Pace(self._living.lives)
        self._factor = RealTimeFactor()
        self._begun: tuple[float, int] | None = None
        self._plans = Plans()
        self._make_topics()
        self._ready_kernels = kernels.count()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)

    def start(self) -> None:
        """Starts the simulation thread."""
        self._publish_static()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _choose_episode(self) -> Episode:
        config = self.config
        if config.dataset:
            return episode_of(config.dataset, config.scenes_dir, config.protocol, config.index)
        if config.world != "embedded":
            raise InputError(f"world = {config.world}: needs a data set; give dataset and scenes_dir")
        if config.episode_file:
            episodes = load_episodes(config.episode_file)
            if not episodes:
                raise InputError(f"{config.episode_file}: holds no episode")
            return episodes[0]
        return make_episode(config.scene, config.kind, config.index)

    def _start_metrics(self) -> EpisodeMetrics:
        truth, distance = self._truth, self._truth.geodesic()
        shortest = distance if self.config.dataset else self._episode.geodesic_distance or distance
        if not math.isfinite(shortest):
            raise InputError(f"episode {self._episode.id}: there is no way from its start to its goal")
        return EpisodeMetrics(truth.pose()[:2], distance, truth.goal_reached(), shortest=shortest)

    def _make_topics(self) -> None:
        # The publishers are reliable: best-effort subscribers match them too, and a recorder loses nothing.
        make = self.create_publisher
        self._color = make(Image, COLOR, qos.reliable(5))
        self._depth = make(Image, DEPTH, qos.reliable(5))
        self._info = make(CameraInfo, INFO, qos.reliable(5))
        self._ids = make(Image, "sim/instance_ids", qos.latched(5) if self.config.lockstep else qos.reliable(5))
        self._instances = make(ObjectArray, "sim/instances", qos.latched())
        self._odom = make(Odometry, "odom", qos.reliable(10))
        self._pose = make(PoseStamped, "sim/pose", qos.reliable(10))
        self._scores = make(DiagnosticStatus, "sim/metrics", qos.latched())
        self._clock_out = make(Clock, "/clock", qos.reliable(10))
        self._tf = tf2_ros.TransformBroadcaster(self)
        self._static = tf2_ros.StaticTransformBroadcaster(self)
        kind = TwistStamped if self.config.enable_stamped_cmd_vel else Twist
        self.create_subscription(kind, "cmd_vel", self._commanded, qos.handover(self.config.lockstep))
        self.create_subscription(Progress, "progress", self._progressed, qos.handover(self.config.lockstep, 1000))
        self.create_subscription(String, "instruction", self._instruct, qos.latched())
        self.create_service(Trigger, "sim/finish", self._finish)

    # -- inputs (executor's thread) ------------------------------------------------------------------------------------

    def _commanded(self, message: Twist | TwistStamped) -> None:
        try:
            velocity = velocity_from_twist(message.twist if isinstance(message, TwistStamped) else message)
        except BadMessage as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            velocity = Velocity()
        with self._lock:
            self._command, self._commanded_at, self._commanded_in = velocity, time.monotonic(), self._newest_stamp
        self._commands.release()

    def _instruct(self, message: String) -> None:
        if message.data:
            self._begun = self._begun or (time.monotonic(), self._newest_stamp)
            self._instructed.set()

    def _progressed(self, message: Progress) -> None:
        self._in_flight.progress(message)
        self._pace.progress(message)
        refused = (message.node, message.stage, message.taken) == ("memory", "frame", False)
        if (message.node, message.stage) == ("control", "plan") or refused:  # a refused frame gives no map and no plan
            self._plans.done(message)

    def _finish(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """STOP: computes the scores at this instant, once."""
        with self._step_lock:
            if not self._finished.is_set():
                scores = self._metrics.result(stopped=True).to_mapping() | last_metres(self._truth, stopped=True)
                self._publish_scores(scores)
                if self.config.result:
                    self._write_result(scores)
                self._finished.set()
        response.success, response.message = True, "the scores stand on sim/metrics"
        return response

    # -- the simulation's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._simulate_in_lockstep() if self.config.lockstep else self._simulate()
        except Exception as error:
            self.get_logger().fatal(f"simulation failed: {type(error).__name__}: {error}")
            self.exit_code = 1
        finally:
            self.finished = True

    def _simulate(self) -> None:
        """Runs in real time; if the machine or a node cannot keep up, simulated time slows down and skips nothing."""
        config = self.config
        dt = 1.0 / (config.frame_rate * config.steps_per_frame)
        names = set(filter(None, self.config.wait_for.replace(" ", "").split(",")))
        if not self._wait_for_watchers({DEPTH: names, "/tf": names}, instructed=False):
            return
        self._set_offset(self._first.stamp)
        self._publish_motion(self._first.stamp, self._first.T_odom_base, Velocity())
        self._publish_frame(self._first)
        due, step = time.monotonic(), 0
        while not self._stopping.is_set():
            self._follow()
            due += dt / config.rate
            left = due - time.monotonic()
            if left > 0:
                self._stopping.wait(left)
            elif left < -0.25:
                due -= left
                self._set_offset(self._first.stamp + round(step * dt * 1e9))
            self._step(self._current_command(), dt)
            step += 1
            if step % config.steps_per_frame == 0:
                self._publish_frame(self._simulator.observe())

    def _follow(self) -> None:
        """Waits for nodes that lag; logs from time to time which ones slow simulated time down."""
        if not (self.config.follow and self.config.publish_clock):
            return
        while (late := self._pace.wait(0.5)) and not self._stopping.is_set():
            self._factor.waited(late)
            self._tell_pace()
        self._tell_pace()

    def _tell_pace(self) -> None:
        line = self._factor.line(self._newest_stamp)
        if line and self._begun is not None:
            print(line, flush=True)

    def _simulate_in_lockstep(self) -> None:
        """Per frame: wait for its plan, then a fixed number of motion steps, one command each. No real-time clock."""
        config = self.config
        dt = 1.0 / (config.frame_rate * config.steps_per_frame)
        if not self._wait_for_watchers(_WATCHERS):
            return
        observation, T_odom_base, velocity = self._first, self._first.T_odom_base, Velocity()
        while not self._stopping.is_set():
            stamp = observation.stamp
            self._publish_motion(stamp, T_odom_base, velocity, tick=False)
            self._publish_frame(observation)
            self._wait_for_agent(stamp, T_odom_base)
            for _ in range(config.steps_per_frame):
                while self._commands.acquire(blocking=False):
                    pass  # discard an unexpected command, from an emergency stop
                self._publish_odometry(stamp, T_odom_base, velocity)
                self._wait_for_command(stamp)
                result = self._step(self._command, dt, publish=False)
                stamp, T_odom_base = result.stamp, result.T_odom_base
                velocity = Velocity(result.linear, result.angular)
                if self._finished.is_set():
                    return
            observation = self._simulator.observe()

    def _wait_for_watchers(self, wanted: Mapping[str, set[str]], instructed: bool = True) -> bool:
        """Waits until the nodes have discovered the sensors, and for an instruction; False if stopped meanwhile."""
        told = time.monotonic()
        while not self._stopping.is_set():
            if instructed and self.config.publish_clock:
                # The sender of the instruction waits for simulated time to start, which waits for the instruction:
                # publish the first clock.
                self._clock_out.publish(Clock(clock=time_msg(self._first.stamp)))
            missing = missing_watchers(self, wanted)
            if not missing and (not instructed or self._instructed.wait(0.05)):
                return True
            if missing and time.monotonic() - told > _TELL_PACE:
                told = time.monotonic()
                print(f"         simulated time waits for {'; '.join(missing)}", flush=True)
            self._stopping.wait(0.05)
        return False

    def _wait_for_command(self, stamp: int) -> None:
        begun = time.monotonic()
        while not self._commands.acquire(timeout=_AGAIN) and not self._stopping.is_set():
            self._must(not self._is_stuck(begun, ("control",)), "no command", stamp)

    def _is_stuck(self, begun: float, names: tuple[str, ...]) -> bool:
        """Whether the wait since ``begun`` (steady s) for these nodes has timed out."""
        living = all(self._living.lives(name) for name in names)
        return time.monotonic() - begun > (10.0 * _STUCK if living else _STUCK)

    def _wait_for_agent(self, stamp: int, T_odom_base: np.ndarray) -> None:
        """Waits until all nodes have finished a frame and control has the plan made from it."""
        ns = stamp + self._offset
        begun = time.monotonic()
        while not (self._in_flight.wait_frame(ns, _AGAIN) and self._plans.wait(ns, _AGAIN)):
            if self._stopping.is_set():
                return
            late = self._in_flight.waiting_for(ns) or ("reasoner", "control")
            self._must(not self._is_stuck(begun, late), f"nothing from {', '.join(late)}", stamp)
            self._publish_tf(ns, T_odom_base)

    def _must(self, done: bool, what: str, stamp: int) -> None:
        if not done and not self._stopping.is_set():
            raise RuntimeError(f"lock-step: {what} at {stamp * 1e-9:.3f} s for {_STUCK:.0f} s or more")

    def _current_command(self) -> Velocity:
        """The last command, or zero if it has expired: by simulated time, which slows down on a busy machine."""
        limit = self.config.cmd_vel_timeout
        with self._lock:
            age = (self._newest_stamp - self._commanded_in) * 1e-9
            silent = time.monotonic() - self._commanded_at
            if not self.config.publish_clock:
                age = silent
            return self._command if age <= limit and silent <= _STEADY_SHARE * limit else Velocity()

    def _step(self, command: Velocity, dt: float, publish: bool = True) -> StepResult:
        with self._step_lock:
            result, truth = self._simulator.step(command.linear, command.angular, dt), self._truth
            self._metrics.update(truth.pose()[:2], truth.geodesic(), truth.goal_reached(), result.collided)
        self._newest_stamp = result.stamp
        if publish:
            self._publish_motion(result.stamp, result.T_odom_base, Velocity(result.linear, result.angular))
        return result

    def _write_result(self, scores: dict) -> None:
        goals = [(self._T_map_scene @ np.array([*g.position, 1.0]))[:2].tolist() for g in self._episode.goals]
        path = Path(self.config.result)
        result = {
            "scores": {k: v for k, v in scores.items() if v == v},
            "latency_ms": self._in_flight.latencies_ms(),
            "keyframes": self._in_flight.keyframes,
            "frames": self._in_flight.frames["memory"],
            "real_time_factor": self._real_time_factor(),
            "late_kernels": kernels.count() - self._ready_kernels,
            "trajectory": self._trajectory,  # x, y, yaw in the true map, and ns
            "goals": goals,
        }
        np.save(path.with_suffix(".npy"), self._last_color)
        path.write_text(json.dumps(result), encoding="utf-8")

    def _real_time_factor(self) -> float | None:
        """Simulated seconds per real second since the instruction."""
        if self._begun is None:
            return None
        return round((self._newest_stamp - self._begun[1]) * 1e-9 / max(time.monotonic() - self._begun[0], 1e-3), 3)

    # -- outputs -------------------------------------------------------------------------------------------------------

    def _set_offset(self, stamp: int) -> None:
        """Aligns simulated stamps with the system clock, where /clock is not published."""
        if not self.config.publish_clock:
            self._offset = time.time_ns() - stamp

    def _publish_static(self) -> None:
        robot = self.robot
        self._static.sendTransform([transform_msg(self._first.T_base_camera, 0, robot.base_frame, robot.camera_frame)])
        things = [Object(id=o.instance, label=o.category, color=o.color) for o in self._truth.objects()]
        self._instances.publish(ObjectArray(header=header(0, robot.map_frame), objects=things))

    def _publish_motion(self, stamp: int, T_odom_base: np.ndarray, velocity: Velocity, tick: bool = True) -> None:
        """Publishes clock, TF, the true pose and (``tick``) odometry; ``stamp``: simulated ns."""
        ns = stamp + self._offset
        self._publish_tf(ns, T_odom_base)
        T_map_base = self._T_map_scene @ pose2d(*self._truth.pose())
        self._trajectory.append((float(T_map_base[0, 3]), float(T_map_base[1, 3]), yaw_of(T_map_base), ns))
        self._pose.publish(PoseStamped(header=header(ns, self.robot.map_frame), pose=pose_msg(T_map_base)))
        if tick:
            self._publish_odometry(stamp, T_odom_base, velocity)

    def _publish_tf(self, ns: int, T_odom_base: np.ndarray) -> None:
        """Publishes clock and TF; ``ns``: the stamp to publish."""
        robot = self.robot
        if self.config.publish_clock:
            self._clock_out.publish(Clock(clock=time_msg(ns)))
        transforms = [transform_msg(T_odom_base, ns, robot.odom_frame, robot.base_frame)]
        if self.config.localization != "slam":
            T_map_odom = np.eye(4)
            if self.config.localization == "truth":
                T_map_odom = self._truth.T_map_odom()
                if self.config.map_origin == "scene":
                    T_map_odom = self._truth.T_scene_map() @ T_map_odom
            transforms.append(transform_msg(T_map_odom, ns, robot.map_frame, robot.odom_frame))
        self._tf.sendTransform(transforms)

    def _publish_odometry(self, stamp: int, T_odom_base: np.ndarray, velocity: Velocity) -> None:
        message = Odometry(header=header(stamp + self._offset, self.robot.odom_frame))
        message.child_frame_id = self.robot.base_frame
        message.pose.pose = pose_msg(T_odom_base)
        message.twist.twist.linear.x, message.twist.twist.angular.z = velocity.linear, velocity.angular
        self._odom.publish(message)

    def _publish_frame(self, observation: Observation) -> None:
        ns = observation.stamp + self._offset
        head = header(ns, self.robot.camera_frame)
        messages = (
            (self._ids, image_msg(observation.instance_ids, "32SC1", head)),
            (self._info, camera_info_msg(self._simulator.camera(), head)),
            (self._depth, image_msg(observation.depth, "32FC1", head)),
            (self._color, image_msg(observation.color, "rgb8", head)),
        )
        self._last_color = observation.color
        self._in_flight.published(ns)
        self._pace.published(ns)
        for publisher, message in messages:
            publisher.publish(message)

    def _publish_scores(self, scores: dict) -> None:
        status = DiagnosticStatus(name="sim: episode", hardware_id=self._episode.id, message=self._episode.instruction)
        status.values = [KeyValue(key=k, value=str(v)) for k, v in scores.items()]
        self._scores.publish(status)


class RealTimeFactor:
    """Measures the real-time factor; if it is low, gives a line from time to time with the slowest node."""

    def __init__(self) -> None:
        self._since: tuple[float, int] | None = None
        self._late: Counter[str] = Counter()

    def waited(self, name: str) -> None:
        """Records that simulated time was held for a node."""
        self._late[name] += 1

    def line(self, stamp: int) -> str:
        """The line to log, or ""; ``stamp``: simulated ns."""
        now = time.monotonic()
        if self._since is None:
            self._since = now, stamp
        seconds = now - self._since[0]
        if seconds < _TELL_PACE:
            return ""
        factor = (stamp - self._since[1]) * 1e-9 / seconds
        names = [name for name, _ in self._late.most_common(1)]
        self._since, self._late = (now, stamp), Counter()
        who = f"waits for {names[0]}" if names else "the simulation itself needs longer"
        return f"         simulated time runs at {factor:.2f} of real time: {who}" if factor < _SLOW else ""


class Plans:
    """Tracks which plans control has received, by stamp."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._newest = -1

    def done(self, message: Progress) -> None:
        """Records that control has received the plan of this stamp."""
        with self._news:
            self._newest = max(self._newest, message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)
            self._news.notify_all()

    def wait(self, stamp: int, timeout: float) -> bool:
        """Waits for the plan of a stamp (ns) or a later one."""
        with self._news:
            return self._news.wait_for(lambda: self._newest >= stamp, timeout)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(SimNode, args)


if __name__ == "__main__":
    sys.exit(main())
