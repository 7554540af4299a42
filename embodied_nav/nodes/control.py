"""The control node: follows the plan in odom; its collision guard has the last word. Knows no language and no torch.

Subscribes plan (nav_msgs/Path in map; one pose is "turn there", none is "stand"), odom, /tf, /tf_static,
camera/depth/image_raw, camera/color/camera_info, camera/color/image_raw (only whether it comes), cmd_vel_nav (the wish
that the guard looks at: this node's own, or another controller's), enable and e_stop (std_msgs/Bool), scan (optional).
Publishes cmd_vel (Twist, or TwistStamped by enable_stamped_cmd_vel), cmd_vel_nav, touched (nav_msgs/GridCells in odom,
where the base was felt to touch something unseen), progress, /diagnostics.
"""

from __future__ import annotations

import struct
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import GridCells, Odometry, Path
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan
from std_msgs.msg import Bool

from ..agent import PathFollower
from ..config import Config, param
from ..frames import Velocity
from ..geometry import yaw_of
from ..geometry.registration import Registration, RegistrationConfig
from ..planning import (
    CollisionGuard,
    Contact,
    ContactConfig,
    GuardConfig,
    ObstacleConfig,
    PursuitConfig,
    Recovery,
    RecoveryConfig,
)
from . import params, qos, warm_up
from .camera_input import COLOR, DEPTH, INFO, DepthInfo, TransportConfig, depth_metres
from .conversions import (
    BadMessage,
    camera_from_msg,
    cells_msg,
    header,
    matrix_from_pose,
    path_array,
    stamp_ns,
    twist_msg,
    velocity_from_twist,
)
from .lifecycle import AgentNode, run
from .transforms import Transforms
from .worker import Worker

#: A wish older than this is none (s).
_WISH_TIMEOUT = 0.3
#: Zeros are repeated this long after the last wish, then cmd_vel falls silent, so that others may drive (s).
_FALL_SILENT = 1.0


@dataclass(frozen=True)
class ControlNodeConfig(Config):
    """Settings of the control node."""

    control_rate: float = param(20.0, "commands a second", unit="Hz", low=5.0, high=100.0)
    plan_timeout: float = param(1.0, "a plan that is not repeated within is dropped", unit="s", low=0.1, high=10.0)
    enable_stamped_cmd_vel: bool = param(False, "cmd_vel is TwistStamped, as Nav2 has it from Kilted on")
    enabled: bool = param(True, "drive before anything came on the topic 'enable'")
    watch_color: bool = param(True, "stand when the colour image stops, too")
    scan: bool = param(False, "a laser scan is there and must not stop")


class ControlNode(AgentNode):
    """Commands at a fixed rate; a worker thread takes in depth images and lets the guard look again at once."""

    def __init__(self) -> None:
        super().__init__("control")

    def configure(self) -> None:
        """Makes follower, guard and topics."""
        self._config = params.declare(self, ControlNodeConfig)
        self._transport = params.declare(self, TransportConfig, "camera")
        self._registration = Registration(params.declare(self, RegistrationConfig, "registration"))
        guard = params.declare(self, GuardConfig, "guard")
        obstacles = params.declare(self, ObstacleConfig, "obstacles")
        pursuit = params.declare(self, PursuitConfig, "pursuit")
        recovery = params.declare(self, RecoveryConfig, "recovery")
        contact = params.declare(self, ContactConfig, "contact")
        self._follower = PathFollower(
            self.robot,
            pursuit,
            CollisionGuard(guard, self.robot, obstacles),
            Recovery(recovery),
            Contact(contact),
        )
        self._try(PathFollower(self.robot, pursuit, CollisionGuard(guard, self.robot, obstacles)))
        self._lock = threading.RLock()
        self._enabled, self._stopped = self._config.enabled, False
        self._T_odom_base: np.ndarray | None = None
        self._odom_stamp = 0
        self._camera: CameraInfo | None = None
        self._held_depth: Image | CompressedImage | None = None
        self._unmapped: deque[int] = deque(maxlen=16)
        self._plan_at = -1e9
        self._wish, self._wish_at = Velocity(), -1e9
        self._coasting = False
        self._why = ""
        self._transforms = Transforms(self)
        self.diagnostics.counts["dropped_inputs"] += 0
        self._worker = Worker(self._work, 8, self.handle_error, self._dropped, name="obstacles")
        self._make_topics()

    def deactivate(self) -> None:
        """Stands."""
        with self._lock:
            self._follower.reset()
            self._publish(Velocity())

    def cleanup(self) -> None:
        """Ends the worker."""
        self._worker.close()

    def _try(self, follower: PathFollower) -> None:
        """Drives through nowhere once."""
        frame = warm_up.frames(self.robot)[0]
        T = np.eye(4)
        follower.guard.observe_depth(frame.stamp, frame.depth, frame.camera, self.robot.T_base_camera(), T)
        follower.follow(np.array([[0.0, 0.0], [1.0, 0.0], [1.5, 0.5]]), None, T)
        follower.command(frame.stamp, T)

    def _make_topics(self) -> None:
        stamped = self._config.enable_stamped_cmd_vel
        self._cmd_vel = self.create_lifecycle_publisher(TwistStamped if stamped else Twist, "cmd_vel", self.handover())
        self._cmd_vel_nav = self.create_lifecycle_publisher(Twist, "cmd_vel_nav", qos.reliable())
        self._touched = self.create_lifecycle_publisher(GridCells, "touched", qos.reliable())
        self.create_subscription(Twist, "cmd_vel_nav", self._wished, qos.reliable())
        self.create_subscription(Path, "plan", self._worker.put, self.handover())
        self.create_subscription(Bool, "enable", self._enable, qos.reliable())
        self.create_subscription(Bool, "e_stop", self._e_stop, qos.reliable())
        self._subscribe(Odometry, "odom", self._odometry, sensor=False)
        self._depth_info = DepthInfo(self)
        kind, topic = self._transport.depth
        self._subscribe(kind, DEPTH, self._depth, topic=topic)
        self._subscribe(CameraInfo, INFO, self._info)
        self.diagnostics.input("tf")
        if self._config.watch_color:
            kind, topic = self._transport.color
            self._subscribe(kind, COLOR, self._color, raw=True, topic=topic)
        if self._config.scan:
            self._subscribe(LaserScan, "scan", self._scanned)
        if not self.settings.lockstep:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(1.0 / self._config.control_rate, self._tick, clock=steady)

    def _subscribe(
        self, kind: type, name: str, callback, sensor: bool = True, raw: bool = False, topic: str = ""
    ) -> None:
        self.diagnostics.input(name)
        profile = qos.camera(self.settings.lockstep) if sensor else qos.reliable(10)
        self.create_subscription(
            kind,
            topic or name,
            callback,
            profile,
            raw=raw,
            qos_overriding_options=qos.overridable() if sensor else None,
        )

    # -- what comes in (executor's thread) -----------------------------------------------------------------------------

    def _enable(self, message: Bool) -> None:
        self._enabled = message.data
        if not message.data:
            self._halt("not enabled")

    def _e_stop(self, message: Bool) -> None:
        self._stopped = message.data
        if message.data:
            self._halt("e_stop")

    def _odometry(self, message: Odometry) -> None:
        T = matrix_from_pose(message.pose.pose)
        if not np.isfinite(T).all():
            self.diagnostics.refuse("nan_odometry", "odom is not finite")
            return
        self.diagnostics.input("odom").arrived(self.message_age(message))
        self._T_odom_base, self._odom_stamp = T, stamp_ns(message.header.stamp)
        if self.settings.lockstep:
            self._tick()

    def _info(self, message: CameraInfo) -> None:
        self.diagnostics.input(INFO).arrived(self.message_age(message))
        self._camera = message
        held, self._held_depth = self._held_depth, None
        if held is not None:
            self._worker.put((time.monotonic(), held))

    def _color(self, serialized: bytes) -> None:
        # Only the stamp is read, straight from the CDR bytes: decoding the pixels would cost a millisecond.
        seconds, nanoseconds = struct.unpack_from("<iI", serialized, 4)
        self.diagnostics.input(COLOR).arrived(self.stamp_age(seconds * 1_000_000_000 + nanoseconds))

    def _depth(self, message: Image | CompressedImage) -> None:
        self.diagnostics.input(DEPTH).arrived(self.message_age(message))
        if not self.active:
            return
        if self._camera is None:
            self._held_depth = message  # the first one may come ahead of its camera info
        else:
            self._worker.put((time.monotonic(), message))

    def _scanned(self, message: LaserScan) -> None:
        self.diagnostics.input("scan").arrived(self.message_age(message))
        if self.active:
            self._worker.put(message)

    def _wished(self, message: Twist) -> None:
        """A wish for the guard, from this node or from another controller."""
        try:
            wish = velocity_from_twist(message)
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
            return
        with self._lock:
            self._wish, self._wish_at = wish, time.monotonic()
            self._command()

    # -- what comes in (worker's thread) -------------------------------------------------------------------------------

    def _dropped(self, _: Path | LaserScan | tuple) -> None:
        self.diagnostics.counts["dropped_inputs"] += 1

    def _work(self, item: Path | LaserScan | tuple) -> None:
        taken = False
        try:
            if isinstance(item, Path):
                self._take_plan(item)
            elif isinstance(item, LaserScan):
                self._take_scan(item)
            else:
                self._take_depth(*item)
            taken = True
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
        finally:
            self._report(item, taken)

    def _report(self, item: Path | LaserScan | tuple, taken: bool) -> None:
        """Says that a plan or a depth image is done with, used or refused."""
        if isinstance(item, Path):
            self.report_progress("plan", stamp_ns(item.header.stamp), taken and bool(item.poses))
        elif isinstance(item, tuple):
            self.report_progress("frame", stamp_ns(item[1].header.stamp), taken)

    def _take_plan(self, message: Path) -> None:
        robot, stamp = self.robot, stamp_ns(message.header.stamp)
        path, heading = path_array(message), None
        if len(path) == 1:
            heading = yaw_of(matrix_from_pose(message.poses[0].pose))
        if not np.isfinite(path).all():
            raise BadMessage("nan_plan", "the plan is not finite")
        T_odom_map = np.eye(4)
        if len(path):
            T_odom_map = self._transforms.at(robot.odom_frame, robot.map_frame, stamp, self.settings.tf_timeout)
        with self._lock:
            self._plan_at = time.monotonic()
            self._follower.follow(path, heading, T_odom_map)

    def _take_depth(self, arrived: float, message: Image | CompressedImage) -> None:
        robot, stamp, wait = self.robot, stamp_ns(message.header.stamp), self.settings.tf_timeout
        depth = depth_metres(message)
        # Unaligned depth is looked at as it is, from its own camera: the guard needs no colour.
        info = camera_from_msg(self._depth_info.of(message) or self._camera)
        camera = self._registration.depth_camera(info, depth.shape)
        if depth.shape != (camera.height, camera.width):
            raise BadMessage(
                "size", f"depth is {depth.shape[1]}x{depth.shape[0]}, camera info {camera.width}x{camera.height}"
            )
        frame_id = message.header.frame_id or robot.camera_frame
        T_base_camera = self._transforms.at(robot.base_frame, frame_id, stamp, wait)
        T_odom_base = self._transforms.at(robot.odom_frame, robot.base_frame, stamp, wait)
        if not (np.isfinite(T_base_camera).all() and np.isfinite(T_odom_base).all()):
            raise BadMessage("nan_pose", "TF holds a transform that is not finite")
        with self._lock:
            self._follower.guard.observe_depth(stamp, depth, camera, T_base_camera, T_odom_base)
            if not self.settings.lockstep:
                self._command()
        self.diagnostics.latency("depth").add(time.monotonic() - arrived)
        self._check_map(stamp)

    def _check_map(self, stamp: int) -> None:
        """Notes that TF reaches from odom to the base, and where there is a plan from map, at a depth image's stamp.

        SLAM gives map->odom of an image some time after it: the guard must not wait for that.

        Raises:
            BadMessage: ``no_transform``, for longer than a look-up may take.
        """
        if self._follower.idle:
            self._unmapped.clear()
            self.diagnostics.input("tf").arrived(self.stamp_age(stamp))
            return
        self._unmapped.append(stamp)
        for known in reversed(self._unmapped):
            try:
                self._transforms.at(self.robot.map_frame, self.robot.base_frame, known)
            except BadMessage:
                if known == self._unmapped[0] and stamp - known > self.settings.tf_timeout * 1e9:
                    self._unmapped.popleft()
                    raise
                continue
            self.diagnostics.input("tf").arrived(self.stamp_age(known))
            while self._unmapped and self._unmapped[0] <= known:
                self._unmapped.popleft()
            return

    def _take_scan(self, message: LaserScan) -> None:
        robot, stamp, wait = self.robot, stamp_ns(message.header.stamp), self.settings.tf_timeout
        T_base_laser = self._transforms.at(robot.base_frame, message.header.frame_id, stamp, wait)
        T_odom_base = self._transforms.at(robot.odom_frame, robot.base_frame, stamp, wait)
        with self._lock:
            self._follower.guard.observe_scan(
                stamp,
                np.asarray(message.ranges, dtype=np.float64),
                message.angle_min,
                message.angle_increment,
                T_base_laser,
                T_odom_base,
                message.range_min,
                message.range_max,
            )

    # -- commanding ----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """One control period: wish along the plan, or stand where something is missing."""
        if not self.active:
            return
        with self._lock:
            self._drop_late_plan()
            why = self._hindrance()
            if why:
                self._halt(why)
            elif self.settings.lockstep or not self._follower.idle or self._coasting:
                wish = self._follower.want(self._odom_stamp, self._T_odom_base)
                self._coasting = abs(wish.linear) > 1e-3 or abs(wish.angular) > 1e-3
                self._tell_touched()
                self._cmd_vel_nav.publish(twist_msg(wish))
            elif time.monotonic() - self._wish_at > _WISH_TIMEOUT and self._speaks():
                self._say("")
                self._publish(Velocity())

    def _tell_touched(self) -> None:
        touched = self._follower.touched
        if len(touched):
            size = self._follower.guard.obstacles.config.resolution
            self._touched.publish(cells_msg(touched, size, header(self._odom_stamp, self.robot.odom_frame)))

    def _command(self) -> None:
        """Lets the guard look at the newest wish and publishes what it allows."""
        fresh = time.monotonic() - self._wish_at <= _WISH_TIMEOUT or self.settings.lockstep
        if not (self.active and fresh and self._T_odom_base is not None) or self._hindrance():
            return
        start = time.monotonic()
        velocity, why = self._follower.guard.filter(self._wish, self._T_odom_base)
        self._publish(velocity)
        self._say(why)
        self.diagnostics.latency("guard").add(time.monotonic() - start)

    def _hindrance(self) -> str:
        """Why the robot must not move now, or ""."""
        if self._stopped:
            return "e_stop"
        if not self._enabled:
            return "not enabled"
        stale = () if self.settings.lockstep else self.diagnostics.stale_inputs()
        return "no " + ", ".join(stale) if stale else ""

    def _halt(self, why: str) -> None:
        """Velocity 0 at once, whatever was wished; the plan is kept and gone on with later."""
        with self._lock:
            self._follower.pursuit.reset()
            self._follower.guard.passed = Velocity()
            self._coasting = False
            self._say(why)
            if self.active and self._speaks():
                self._publish(Velocity())

    def _drop_late_plan(self) -> None:
        """A plan that its maker does not repeat is over: the maker is gone."""
        late = time.monotonic() - self._plan_at > self._config.plan_timeout
        if not self._follower.idle and late and not self.settings.lockstep:
            self._follower.follow(np.empty((0, 2)), None, np.eye(4))
            self.diagnostics.counts["plans_not_repeated"] += 1

    def _speaks(self) -> bool:
        """Whether zeros belong on cmd_vel now; a while after the last wish others may drive."""
        driving = not self._follower.idle or time.monotonic() - self._wish_at < _FALL_SILENT
        return driving or self._stopped or self.settings.lockstep

    def _say(self, why: str) -> None:
        if why != self._why:
            self._why = why
            self.diagnostics.facts["standing or slowed by"] = why or "nothing"

    def _publish(self, velocity: Velocity) -> None:
        twist = twist_msg(velocity)
        if self._config.enable_stamped_cmd_vel:
            stamp = self.get_clock().now().nanoseconds
            self._cmd_vel.publish(TwistStamped(header=header(stamp, self.robot.base_frame), twist=twist))
        else:
            self._cmd_vel.publish(twist)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(ControlNode, args)


if __name__ == "__main__":
    sys.exit(main())
