"""The sim node: the embedded simulator as a robot with a camera. Knows nothing of agents.

Subscribes cmd_vel (Twist, or TwistStamped by enable_stamped_cmd_vel); in lock-step also progress and instruction.
Publishes camera/color/image_raw (rgb8), camera/depth/image_raw (32FC1), camera/color/camera_info, odom, /tf,
/tf_static, /clock (publish_clock), sim/instance_ids (32SC1), sim/instances (latched); for people and reports sim/pose
(the true pose in map) and sim/metrics. Serves sim/finish (std_srvs/Trigger): STOP was called, count the scores.
"""

from __future__ import annotations

import json
import sys
import threading
import time
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

from ..config import Config, param
from ..errors import InputError
from ..frames import Episode, Velocity
from ..geometry import invert, pose2d, yaw_of
from ..robot import RobotProfile
from ..sim.embedded import EmbeddedSimulator, SimulatorConfig, warm_up
from ..sim.episodes import load_episodes, make_episode
from ..sim.interface import Observation, StepResult
from ..sim.metrics import EpisodeMetrics
from . import params, qos
from .camera_input import COLOR, DEPTH, INFO
from .conversions import (
    BadMessage,
    camera_info_msg,
    header,
    image_msg,
    pose_msg,
    time_msg,
    transform_msg,
    velocity_from_twist,
)
from .ledger import Ledger
from .lifecycle import run
from .watchers import missing_watchers

#: Longest wait in lock-step for the agent to be through with a frame or tick (s).
_STUCK = 60.0
#: While it waits, clock and TF are published again this often (s): their listeners keep nothing for latecomers.
_AGAIN = 1.0
#: Who must have found a topic before lock-step begins.
_WATCHERS = {
    COLOR: {"keyframe", "memory"},
    DEPTH: {"keyframe", "memory", "control"},
    INFO: {"keyframe", "memory", "control"},
    "odom": {"reasoner", "control"},
    "/tf": {"keyframe", "memory", "reasoner", "control"},
}


@dataclass(frozen=True)
class SimNodeConfig(Config):
    """What is simulated and how it is paced."""

    scene: int = param(1000, "apartment's seed", low=0)
    kind: str = param("object", "kind of episode", choices=("object", "relation", "room", "route"))
    index: int = param(0, "which episode of this kind", low=0)
    episode_file: str = param("", "Habitat episode file (.json.gz) whose first episode is run instead")
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
    rate: float = param(1.0, "simulated seconds a second, where the machine keeps up", low=0.05, high=20.0)
    lockstep: bool = param(False, "wait for the agent after every frame and motion step")
    start_time: float = param(
        0.0, "simulated time at the start: later than what a memory that goes on has seen", unit="s", low=0.0, high=1e9
    )
    publish_clock: bool = param(True, "publish /clock and stamp by simulated time; else by the system's clock")
    cmd_vel_timeout: float = param(0.5, "without a command for so long the base stands", unit="s", low=0.05, high=10.0)
    enable_stamped_cmd_vel: bool = param(False, "cmd_vel is TwistStamped")
    result: str = param("", "JSON file for scores, latencies and the way driven; empty: none")


class SimNode(Node):
    """Steps the simulator in a thread of its own; the executor takes commands."""

    def __init__(self) -> None:
        super().__init__("sim")
        self.config = params.declare(self, SimNodeConfig)
        self.robot = params.declare(self, RobotProfile, "robot")
        settings = params.declare(self, SimulatorConfig, "simulator")
        params.refuse_unknown(self)
        warm_up()
        self._episode = self._choose_episode()
        self._simulator = EmbeddedSimulator(robot=self.robot, config=settings)
        self._first = self._simulator.reset(self._episode, self.config.seed)
        self._truth = self._simulator.privileged()
        self._metrics = self._start_metrics()
        self._T_map_scene = np.eye(4) if self.config.map_origin == "scene" else invert(self._truth.T_scene_map())
        self._trajectory: list[tuple[float, float, float, int]] = []
        self._last_color = self._first.color
        #: Added to simulated stamps.
        self._offset = round(self.config.start_time * 1e9)
        self._lock = threading.Lock()
        self._command, self._commanded_at = Velocity(), 0.0
        self._commands = threading.Semaphore(0)
        self._instructed = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._step_lock = threading.Lock()
        self.finished, self.exit_code = False, 0
        self._ledger = Ledger(("keyframe", "memory", "control"))
        self._plans = Plans()
        self._make_topics()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)

    def start(self) -> None:
        """Begins to simulate."""
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
        if config.episode_file:
            episodes = load_episodes(config.episode_file)
            if not episodes:
                raise InputError(f"{config.episode_file}: holds no episode")
            return episodes[0]
        return make_episode(config.scene, config.kind, config.index)

    def _start_metrics(self) -> EpisodeMetrics:
        truth, distance = self._truth, self._truth.geodesic()
        shortest = self._episode.geodesic_distance or distance
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
        self._clock = make(Clock, "/clock", qos.reliable(10))
        self._tf = tf2_ros.TransformBroadcaster(self)
        self._static = tf2_ros.StaticTransformBroadcaster(self)
        kind = TwistStamped if self.config.enable_stamped_cmd_vel else Twist
        self.create_subscription(kind, "cmd_vel", self._commanded, qos.handover(self.config.lockstep))
        self.create_subscription(Progress, "progress", self._progressed, qos.handover(self.config.lockstep, 1000))
        self.create_subscription(String, "instruction", lambda m: m.data and self._instructed.set(), qos.latched())
        self.create_service(Trigger, "sim/finish", self._finish)

    # -- what comes in (executor's thread) -----------------------------------------------------------------------------

    def _commanded(self, message: Twist | TwistStamped) -> None:
        try:
            velocity = velocity_from_twist(message.twist if isinstance(message, TwistStamped) else message)
        except BadMessage as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            velocity = Velocity()
        with self._lock:
            self._command, self._commanded_at = velocity, time.monotonic()
        self._commands.release()

    def _progressed(self, message: Progress) -> None:
        self._ledger.progress(message)
        refused = (message.node, message.stage, message.taken) == ("memory", "frame", False)
        if (message.node, message.stage) == ("control", "plan") or refused:  # without a map there is no plan
            self._plans.done(message)

    def _finish(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """STOP: the scores are taken here and now, once."""
        with self._step_lock:
            if not self._finished.is_set():
                scores = self._metrics.result(stopped=True).to_mapping()
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
        """Real time; where the machine does not keep up, simulated time runs slower instead of skipping."""
        config = self.config
        dt = 1.0 / (config.frame_rate * config.steps_per_frame)
        self._set_offset(self._first.stamp)
        self._publish_motion(self._first.stamp, self._first.T_odom_base, Velocity())
        self._publish_frame(self._first)
        due, step = time.monotonic(), 0
        while not self._stopping.is_set():
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

    def _simulate_in_lockstep(self) -> None:
        """One frame, then its plan, then as many motion steps with one command each; no clock but the simulated."""
        config = self.config
        dt = 1.0 / (config.frame_rate * config.steps_per_frame)
        if not self._wait_for_watchers():
            return
        observation, T_odom_base, velocity = self._first, self._first.T_odom_base, Velocity()
        while not self._stopping.is_set():
            stamp = observation.stamp
            self._publish_motion(stamp, T_odom_base, velocity, tick=False)
            self._publish_frame(observation)
            self._wait_for_agent(stamp, T_odom_base)
            for _ in range(config.steps_per_frame):
                while self._commands.acquire(blocking=False):
                    pass  # a command that nobody waited for: of an emergency stop
                self._publish_odometry(stamp, T_odom_base, velocity)
                self._must(self._commands.acquire(timeout=_STUCK), "no command", stamp)
                result = self._step(self._command, dt, publish=False)
                stamp, T_odom_base = result.stamp, result.T_odom_base
                velocity = Velocity(result.linear, result.angular)
                if self._finished.is_set():
                    return
            observation = self._simulator.observe()

    def _wait_for_watchers(self) -> bool:
        """Waits for an instruction and for the agent's nodes to find the sensors; False where told to stop."""
        begun, told = time.monotonic(), False
        while not self._stopping.is_set():
            missing = missing_watchers(self, _WATCHERS)
            if not missing and self._instructed.wait(0.05):
                return True
            if missing and not told and time.monotonic() - begun > 10.0:
                told = True
                self.get_logger().warning(f"lock-step waits for {'; '.join(missing)}")
            self._stopping.wait(0.05)
        return False

    def _wait_for_agent(self, stamp: int, T_odom_base: np.ndarray) -> None:
        """Waits until all are through with a frame and control has a plan made from it."""
        ns = stamp + self._offset
        end = time.monotonic() + _STUCK
        while not (self._ledger.wait_frame(ns, _AGAIN) and self._plans.wait(ns, _AGAIN)):
            if self._stopping.is_set():
                return
            waited_for = self._ledger.waiting_for(ns) or ("reasoner or control",)
            self._must(time.monotonic() < end, f"nothing from {', '.join(waited_for)}", stamp)
            self._publish_tf(ns, T_odom_base)

    def _must(self, done: bool, what: str, stamp: int) -> None:
        if not done and not self._stopping.is_set():
            raise RuntimeError(f"lock-step: {what} at {stamp * 1e-9:.3f} s for {_STUCK:.0f} s")

    def _current_command(self) -> Velocity:
        """The last command, or standing where it is too old."""
        with self._lock:
            fresh = time.monotonic() - self._commanded_at <= self.config.cmd_vel_timeout
            return self._command if fresh else Velocity()

    def _step(self, command: Velocity, dt: float, publish: bool = True) -> StepResult:
        with self._step_lock:
            result, truth = self._simulator.step(command.linear, command.angular, dt), self._truth
            self._metrics.update(truth.pose()[:2], truth.geodesic(), truth.goal_reached(), result.collided)
        if publish:
            self._publish_motion(result.stamp, result.T_odom_base, Velocity(result.linear, result.angular))
        return result

    def _write_result(self, scores: dict) -> None:
        goals = [(self._T_map_scene @ np.array([*g.position, 1.0]))[:2].tolist() for g in self._episode.goals]
        path = Path(self.config.result)
        result = {
            "scores": {k: v for k, v in scores.items() if v == v},
            "latency_ms": self._ledger.latencies_ms(),
            "keyframes": self._ledger.keyframes,
            "frames": self._ledger.frames["memory"],
            "trajectory": self._trajectory,  # x, y, yaw in the true map, and ns
            "goals": goals,
        }
        np.save(path.with_suffix(".npy"), self._last_color)
        path.write_text(json.dumps(result), encoding="utf-8")

    # -- what goes out -------------------------------------------------------------------------------------------------

    def _set_offset(self, stamp: int) -> None:
        """With the system's clock simulated stamps follow that."""
        if not self.config.publish_clock:
            self._offset = time.time_ns() - stamp

    def _publish_static(self) -> None:
        robot = self.robot
        self._static.sendTransform([transform_msg(robot.T_base_camera(), 0, robot.base_frame, robot.camera_frame)])
        things = [Object(id=o.instance, label=o.category, color=o.color) for o in self._truth.objects()]
        self._instances.publish(ObjectArray(header=header(0, robot.map_frame), objects=things))

    def _publish_motion(self, stamp: int, T_odom_base: np.ndarray, velocity: Velocity, tick: bool = True) -> None:
        """Clock, TF, truth and (``tick``) odometry; stamps are simulated ones."""
        ns = stamp + self._offset
        self._publish_tf(ns, T_odom_base)
        T_map_base = self._T_map_scene @ pose2d(*self._truth.pose())
        self._trajectory.append((float(T_map_base[0, 3]), float(T_map_base[1, 3]), yaw_of(T_map_base), ns))
        self._pose.publish(PoseStamped(header=header(ns, self.robot.map_frame), pose=pose_msg(T_map_base)))
        if tick:
            self._publish_odometry(stamp, T_odom_base, velocity)

    def _publish_tf(self, ns: int, T_odom_base: np.ndarray) -> None:
        """Clock and TF; ``ns``: the published stamp."""
        robot = self.robot
        if self.config.publish_clock:
            self._clock.publish(Clock(clock=time_msg(ns)))
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
        self._ledger.published(ns)
        for publisher, message in messages:
            publisher.publish(message)

    def _publish_scores(self, scores: dict) -> None:
        status = DiagnosticStatus(name="sim: episode", hardware_id=self._episode.id, message=self._episode.instruction)
        status.values = [KeyValue(key=k, value=str(v)) for k, v in scores.items()]
        self._scores.publish(status)


class Plans:
    """Which plans control has taken, by stamp."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._newest = -1

    def done(self, message: Progress) -> None:
        """Control has taken the plan of this stamp."""
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
