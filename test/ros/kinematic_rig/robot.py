"""A robot that obeys cmd_vel and publishes what its sensors would, with faults on demand. Knows nothing of scenarios.

Real time: it moves, and its stamps run, by the machine's clock. Its world stands still while the machine keeps it from
running, so that a pause of the rig is no fault of the node that it tries.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry, Path
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, LaserScan
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.nodes.ros import qos
from embodied_nav.nodes.ros.conversions import camera_info_msg, header, image_msg, path_msg, pose_msg, transform_msg
from embodied_nav.nodes.ros.optics import COLOR, DEPTH, INFO
from embodied_nav.robot import RobotProfile

from .world import World

#: A base stands when commands are older (s).
CMD_VEL_TIMEOUT = 0.5
#: The world goes on by no more than this (s) however long the machine kept the rig from running.
_LONGEST_STEP = 0.1
#: The rig counts as kept from running where it was for longer (s).
_LATE = 0.2
_LASER_HEIGHT, _BEAMS = 0.25, 360


@dataclass
class Sensors:
    """What the robot has, and how it tells of it.

    Attributes:
        size: of the images; ``focal`` px at 160 columns: the same view at any size.
        camera_rate, odom_rate: Hz. map_rate: Hz of map->odom; 0: it is static.
        odom_best_effort: the odometry's publisher. stamp_delay: s from an instant to the messages that tell of it.
        mount: 4x4, base_link from the camera, as it truly is; ``told_mount``: as TF says.
        camera_frame: the images' frame.
        noise: of depth, as a share of it, and of grey values: no two pictures of a real camera are the same, and a
            driver that repeats one is found by that. 0: exact.
        depth_encoding, color_encoding: of the images. scan: whether there is a laser scanner. sim_time: stamps by
            /clock.
    """

    size: tuple[int, int] = (160, 120)
    focal: float = 140.0
    camera_rate: float = 10.0
    odom_rate: float = 20.0
    map_rate: float = 0.0
    odom_best_effort: bool = False
    stamp_delay: float = 0.0
    mount: np.ndarray = field(default_factory=lambda: RobotProfile().T_base_camera())
    told_mount: np.ndarray | None = None
    camera_frame: str = RobotProfile().camera_frame
    noise: float = 0.002
    depth_encoding: str = "32FC1"
    color_encoding: str = "rgb8"
    scan: bool = False
    sim_time: bool = False


class Robot:
    """Drives in a world and publishes.

    Attributes:
        pose: x, y (m), yaw (rad), in truth; it is odom's, too, until a fault says otherwise.
        off: topics that are silent ("tf" and "map" among them).
        depth_fault: depth image -> what the camera makes of it; ``scan_fault``, ``info_fault`` likewise.
        repeats: {COLOR, DEPTH}: which go on sending the last picture with new stamps.
        odom_fault, tf_fault: 4x4 that moves what only the topic, or only TF, says. T_odom_world: 4x4, both.
        map_fault: 4x4, map from odom. clock_fault: ns added to all stamps.
        plan: Nx2 in map, repeated; None: silence. wish: what another controller wants of cmd_vel_nav.
        dead: the base obeys nothing.
        least_gap, fastest, driven: m to anything; most m/s, rad/s and sideways parts that were commanded; m.
        flags: by topic, publishers of e_stop and enable. alive: the control node has spoken. late_at: when the machine
            last kept the rig from running (steady time).
        said: what the control node said, in order, without repetitions.
    """

    def __init__(self, node, world: World, pose: tuple[float, float, float], sensors: Sensors) -> None:
        self.node, self.world, self.sensors = node, world, sensors
        self.profile = RobotProfile()
        self.pose = pose
        self.off: set[str] = set()
        self.repeats: set[str] = set()
        self.depth_fault: Callable[[np.ndarray], np.ndarray] | None = None
        self.scan_fault: Callable[[np.ndarray], np.ndarray] | None = None
        self.info_fault: Callable[[CameraInfo], None] | None = None
        self.odom_fault = self.tf_fault = self.T_odom_world = self.map_fault = np.eye(4)
        self.clock_fault = 0
        self.plan: np.ndarray | None = None
        self.wish: Twist | None = None
        self.dead = False
        self.least_gap, self.driven = math.inf, 0.0
        self.fastest = {"linear": 0.0, "angular": 0.0, "other": 0.0}
        self.said: list[str] = []
        self.flags: dict[str, Callable[[bool], None]] = {}
        self.alive = False
        self.late_at = -math.inf
        self._speed = (0.0, 0.0)
        self._told = (0.0, 0.0)
        self._told_at = -math.inf
        self._pictures: dict[str, np.ndarray] = {}
        self._later: list[tuple[float, int, object, object]] = []
        self._order = itertools.count()
        self._last = self._start = time.monotonic()
        self._due: dict[str, float] = {}
        self._stamp = 0
        self._rng = np.random.default_rng(0)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._make_topics()

    def _make_topics(self) -> None:
        make, s = self.node.create_publisher, self.sensors
        self._color, self._depth = make(Image, COLOR, qos.sensor()), make(Image, DEPTH, qos.sensor())
        self._info = make(CameraInfo, INFO, qos.sensor())
        self._odom = make(Odometry, "odom", qos.sensor() if s.odom_best_effort else qos.reliable())
        self._tf, self._static = make(TFMessage, "/tf", qos.reliable(100)), make(TFMessage, "/tf_static", qos.latched())
        self._scan = make(LaserScan, "scan", qos.sensor()) if s.scan else None
        self._clock = make(Clock, "/clock", qos.reliable()) if s.sim_time else None
        self._plan, self._wish = make(Path, "plan", qos.reliable()), make(Twist, "cmd_vel_nav", qos.reliable())
        self.node.create_subscription(Twist, "cmd_vel", self._commanded, qos.reliable())
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, qos.reliable(50))
        self.send_static()

    def send_static(self) -> None:
        """Tells the static transforms, anew where they have changed."""
        p, s = self.profile, self.sensors
        mount = s.mount if s.told_mount is None else s.told_mount
        transforms = [
            transform_msg(mount, 0, p.base_frame, s.camera_frame),
            transform_msg(pose2d(0.0, 0.0, 0.0, _LASER_HEIGHT), 0, p.base_frame, "laser"),
        ]
        if not s.map_rate:
            transforms.append(transform_msg(self.map_fault, 0, p.map_frame, p.odom_frame))
        self._static.publish(TFMessage(transforms=transforms))

    def flag(self, topic: str, profile) -> Callable[[bool], None]:
        """A publisher of e_stop or enable: give it True or False."""
        publisher = self.node.create_publisher(Bool, topic, profile)
        return lambda value: publisher.publish(Bool(data=value))

    def close(self) -> None:
        """Ends the executor."""
        self._executor.shutdown()

    # -- what it is asked ----------------------------------------------------------------------------------------------

    @property
    def x(self) -> float:
        """m, in truth."""
        return self.pose[0]

    @property
    def stands(self) -> bool:
        """Whether the base is at rest."""
        return abs(self._speed[0]) < 0.005 and abs(self._speed[1]) < 0.02

    def now(self) -> int:
        """ns by the clock of stamps."""
        if self.sensors.sim_time:
            return int((1000.0 + time.monotonic() - self._start) * 1e9) + self.clock_fault
        return time.time_ns() + self.clock_fault

    # -- what it does --------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Some milliseconds of life."""
        self._executor.spin_once(timeout_sec=0.005)
        now = time.monotonic()
        passed, self._last = now - self._last, now
        if passed > _LATE:
            self.late_at = now
            for _ in range(50):  # what came meanwhile: the newest command counts
                self._executor.spin_once(timeout_sec=0.0)
            now = self._last = time.monotonic()
        self._move(min(passed, _LONGEST_STEP), now)
        for name, rate, publish in (
            ("clock", 50.0, self._send_clock),
            ("odom", self.sensors.odom_rate, self._send_pose),
            ("map", self.sensors.map_rate, self._send_map),
            ("camera", self.sensors.camera_rate, self._send_images),
            ("scan", 10.0, self._send_scan),
            ("plan", 4.0, self._send_plan),
            ("wish", 20.0, self._send_wish),
        ):
            if rate and now >= self._due.get(name, 0.0):
                self._due[name] = max(self._due.get(name, 0.0) + 1.0 / rate, now + 0.3 / rate)
                publish()
        while self._later and self._later[0][0] <= now:
            _, _, publisher, message = heapq.heappop(self._later)
            publisher.publish(message)

    def _move(self, dt: float, now: float) -> None:
        told = self._told if now - self._told_at < CMD_VEL_TIMEOUT and not self.dead else (0.0, 0.0)
        p = self.profile
        # The base brakes as its profile says and speeds up no slower than it is told to.
        v = _towards(self._speed[0], told[0], p.linear_deceleration * dt)
        w = _towards(self._speed[1], told[1], 2.0 * p.angular_acceleration * dt)
        if self.dead:
            v = w = 0.0
        self._speed = (v, w)
        x, y, yaw = self.pose
        yaw += 0.5 * w * dt
        self.pose = (x + v * math.cos(yaw) * dt, y + v * math.sin(yaw) * dt, yaw + 0.5 * w * dt)
        self.driven += abs(v) * dt
        self.least_gap = min(self.least_gap, self.world.gap(*self.pose[:2], p.footprint_radius))

    def T_world_base(self) -> np.ndarray:
        """4x4, with the height and tilt of the floor that it stands on; odometry of wheels knows neither."""
        x, y, yaw = self.pose
        T = pose2d(x, y, yaw)
        c, s, reach = math.cos(yaw), math.sin(yaw), 0.15
        here = self.world.floor(x, y)
        ahead, behind = (self.world.floor(x + k * reach * c, y + k * reach * s) for k in (1.0, -1.0))
        T[2, 3] = here if math.isfinite(here) else 0.0
        if math.isfinite(ahead) and math.isfinite(behind) and abs(ahead - behind) < 0.1:
            pitch = math.atan2(ahead - behind, 2.0 * reach)
            c, s = math.cos(pitch), math.sin(pitch)
            T[:3, :3] = T[:3, :3] @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        return T

    def _commanded(self, message: Twist) -> None:
        v, w = message.linear.x, message.angular.z
        others = (message.linear.y, message.linear.z, message.angular.x, message.angular.y)
        for name, value in (("linear", v), ("angular", w), *(("other", o) for o in others)):
            self.fastest[name] = max(self.fastest[name], abs(value) if math.isfinite(value) else math.inf)
        self._told, self._told_at = (v if math.isfinite(v) else 0.0, w if math.isfinite(w) else 0.0), time.monotonic()

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if not status.name.endswith("control"):
                continue
            self.alive = True
            values = {pair.key: pair.value for pair in status.values}
            refused = [key for key in values if key.startswith("refused")]
            standing = values.get("standing or slowed by", "")
            text = " | ".join([f"{ord(status.level)} {status.message}", standing, *refused])
            if not self.said or self.said[-1] != text:
                self.said.append(text)

    # -- what it tells -------------------------------------------------------------------------------------------------

    def _send(self, topic: str, publisher, message) -> None:
        if topic in self.off:
            return
        if self.sensors.stamp_delay and topic != "clock":
            heapq.heappush(
                self._later, (time.monotonic() + self.sensors.stamp_delay, next(self._order), publisher, message)
            )
        else:
            publisher.publish(message)

    def _send_clock(self) -> None:
        if self._clock is not None:
            stamp = self.now()
            self._clock.publish(Clock(clock=Time(sec=stamp // 10**9, nanosec=stamp % 10**9)))

    def _send_pose(self) -> None:
        stamp, p = self.now(), self.profile
        T = self.T_odom_world @ pose2d(*self.pose)
        moving = transform_msg(self.tf_fault @ T, stamp, p.odom_frame, p.base_frame)
        self._send("tf", self._tf, TFMessage(transforms=[moving]))
        message = Odometry(header=header(stamp, p.odom_frame), child_frame_id=p.base_frame)
        message.pose.pose = pose_msg(self.odom_fault @ T)
        message.twist.twist.linear.x, message.twist.twist.angular.z = (float(s) for s in self._speed)
        self._send("odom", self._odom, message)

    def _send_map(self) -> None:
        p = self.profile
        found = transform_msg(self.map_fault, self.now(), p.map_frame, p.odom_frame)
        self._send("map", self._tf, TFMessage(transforms=[found]))

    def _send_images(self) -> None:
        s = self.sensors
        self._stamp, (width, height) = self.now(), s.size
        focal = s.focal * width / 160
        depth = self.world.depth(self.T_world_base() @ s.mount, width, height, focal)
        depth *= 1.0 + s.noise * self._rng.standard_normal(depth.shape, dtype=np.float32)
        color = np.nan_to_num(230.0 / (0.5 + depth)).clip(0, 230).astype(np.uint8)
        color += self._rng.integers(0, 6 if s.noise else 1, depth.shape, dtype=np.uint8)
        if self.depth_fault is not None:
            depth = self.depth_fault(depth).astype(np.float32)
        color = self._pictures.setdefault(COLOR, color) if COLOR in self.repeats else color
        depth = self._pictures.setdefault(DEPTH, depth) if DEPTH in self.repeats else depth
        self._pictures.update({COLOR: color, DEPTH: depth})
        head = header(self._stamp, s.camera_frame)
        info = camera_info_msg(Camera(width, height, focal, focal, 0.5 * width - 0.5, 0.5 * height - 0.5), head)
        if self.info_fault is not None:
            self.info_fault(info)
        self._send(INFO, self._info, info)
        if s.depth_encoding == "16UC1":
            depth = np.nan_to_num(1000.0 * depth).astype(np.uint16)
        self._send(DEPTH, self._depth, image_msg(depth, s.depth_encoding, head))
        self._send(COLOR, self._color, image_msg(np.repeat(color[..., None], 3, axis=2), s.color_encoding, head))

    def _send_scan(self) -> None:
        if self._scan is None:
            return
        ranges = self.world.ranges(*self.pose, _LASER_HEIGHT, _BEAMS)
        ranges[ranges > 8.0] = math.inf
        if self.scan_fault is not None:
            ranges = self.scan_fault(ranges)
        message = LaserScan(header=header(self.now(), "laser"), range_min=0.05, range_max=8.0)
        message.angle_min, message.angle_increment = -math.pi, 2.0 * math.pi / _BEAMS
        message.angle_max = math.pi - message.angle_increment
        message.ranges = ranges.astype(np.float32).tolist()
        self._send("scan", self._scan, message)

    def _send_plan(self) -> None:
        if self.plan is not None:
            # A planner stamps what it made of an image with that image's time.
            self._send("plan", self._plan, path_msg(self.plan, self._stamp, self.profile.map_frame))

    def _send_wish(self) -> None:
        if self.wish is not None:
            self._wish.publish(self.wish)


def _towards(value: float, target: float, step: float) -> float:
    return min(max(target, value - step), value + step)
