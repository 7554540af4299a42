"""The control node: follows the plan in odom; the collision guard limits every command. Knows no language, no torch.

Subscribes plan (nav_msgs/Path in map; one pose means "turn to it", an empty path means "stop"), odom, /tf, /tf_static,
camera/depth/image_raw, camera/color/camera_info, camera/color/image_raw (only to see that it arrives), cmd_vel_nav
(velocities requested by another controller, limited by the guard like this node's own), enable and e_stop
(std_msgs/Bool, any QoS), scan (optional). Publishes cmd_vel (Twist, or TwistStamped by enable_stamped_cmd_vel),
cmd_vel_nav (its own requested velocity, for monitoring), touched (nav_msgs/GridCells in odom, where the base touched
something that the camera does not see), control/state (see standing), progress, /diagnostics.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import GridCells, Odometry, Path
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan

from ..config import Config, param
from ..frames import Velocity
from ..geometry import yaw_of
from ..geometry.registration import Registration, RegistrationConfig
from ..planning import PathFollower, make_follower
from ..planning.command import within_limits
from ..planning.pose_watch import PoseWatchConfig
from ..planning.stall import Stall, StallConfig
from ..planning.warm_up import warm_up_guard
from .ros import params, qos
from .ros.base_pose import BasePose
from .ros.camera_stream import DepthInfo
from .ros.conversions import (
    BadMessage,
    cells_msg,
    header,
    is_beyond_plane,
    matrix_from_pose,
    path_array,
    serialized_stamp,
    stamp_ns,
    twist_msg,
    velocity_from_twist,
)
from .ros.evidence import CameraEvidence
from .ros.lifecycle import AgentNode, run
from .ros.optics import COLOR, DEPTH, INFO, Optics, TransportConfig
from .ros.slam_tracking import TrackingWatch
from .ros.standing import StateTeller
from .ros.stops import Stops
from .ros.tf_lookup import Transforms
from .ros.worker import Worker

#: A requested velocity older than this is ignored (s).
_WISH_TIMEOUT = 0.3
#: Zeros are repeated this long (s) after the last request, then nothing is published, so that others may drive.
_FALL_SILENT = 1.0
#: The diagnostics input that watches the age of map->odom.
_MAP = "tf map->odom"


@dataclass(frozen=True)
class ControlNodeConfig(Config):
    """Settings of the control node."""

    control_rate: float = param(20.0, "commands a second", unit="Hz", low=5.0, high=100.0)
    plan_timeout: float = param(1.0, "a plan that is not repeated within is dropped", unit="s", low=0.1, high=10.0)
    enable_stamped_cmd_vel: bool = param(False, "cmd_vel is TwistStamped, as Nav2 has it from Kilted on")
    enabled: bool = param(True, "drive before anything came on the topic 'enable'")
    require_enable: bool = param(
        False, "stand until 'enable' has said true to this very process: after every start, and every crash"
    )
    watch_color: bool = param(True, "stand when the colour image stops, too")
    scan: bool = param(False, "a laser scan is there and must not stop")


class ControlNode(AgentNode):
    """Commands at a fixed rate; a worker thread processes depth images and runs the guard again after each."""

    def __init__(self) -> None:
        super().__init__("control")

    def configure(self) -> None:
        """Makes follower, guard and topics."""
        self._config = params.declare(self, ControlNodeConfig)
        self._transport = params.declare(self, TransportConfig, "camera")
        registration = Registration(params.declare(self, RegistrationConfig, "registration"))
        self._optics = Optics(self, self._transport, registration, self.diagnostics.counts)
        self._follower = make_follower(self.robot, partial(params.declare, self))
        self._evidence = CameraEvidence(self._follower.guard, self.diagnostics)
        warm_up_guard(self.robot)
        self._try(PathFollower(self.robot))
        self._lock = threading.RLock()
        self._camera: CameraInfo | None = None
        self._bad_info = False  # whether camera info made the newest depth image unusable
        self._held_depth: Image | CompressedImage | None = None
        self._plan_at = -1e9
        self._wish, self._wish_at = Velocity(), -1e9
        self._sent, self._sent_at = Velocity(), -1e9
        self._coasting = False
        self._why = ""
        self._transforms = Transforms(self)
        self._tracking = TrackingWatch(self)
        self._base = BasePose(self, self._transforms, params.declare(self, PoseWatchConfig, "pose_watch"))
        self._stall = Stall(params.declare(self, StallConfig, "stall"))
        self._state = StateTeller(self)
        self.diagnostics.counts["dropped_inputs"] += 0
        self._worker = Worker(self._work, 8, self.handle_error, self._dropped, name="obstacles")
        self._make_topics()

    def deactivate(self) -> None:
        """Stops the robot."""
        with self._lock:
            self._follower.reset()
            self._publish(Velocity())

    def cleanup(self) -> None:
        """Ends the worker; an emergency stop in force stays in force, see ``stops``."""
        self._worker.close()
        if self._ending:
            self._stops.close()

    def _try(self, follower: PathFollower) -> None:
        """JIT warm-up of the path follower on synthetic data; the guard's kernels are compiled before."""
        follower.follow(np.array([[0.0, 0.0], [1.0, 0.0], [1.5, 0.5]]), None, np.eye(4))
        follower.command(1, np.eye(4))

    def _make_topics(self) -> None:
        stamped = self._config.enable_stamped_cmd_vel
        self._cmd_vel = self.create_lifecycle_publisher(TwistStamped if stamped else Twist, "cmd_vel", self.handover())
        self._own_wishes = OwnWishes(self.create_lifecycle_publisher(Twist, "cmd_vel_nav", qos.reliable()))
        self._touched = self.create_lifecycle_publisher(GridCells, "touched", qos.reliable())
        lockstep = self.settings.lockstep
        # The sender may be a third-party controller with any reliability QoS.
        self.create_subscription(Twist, "cmd_vel_nav", self._wished, qos.camera(lockstep, 10))
        self.create_subscription(Path, "plan", self._worker.put, self.handover())
        self._stops = Stops(self, self._config.enabled, self._config.require_enable, self._halt)
        self._subscribe(Odometry, "odom", self._odometry, depth=10)
        self._depth_info = DepthInfo(self)
        kind, topic = self._transport.depth
        self._subscribe(kind, DEPTH, self._depth, topic=topic)
        self._subscribe(CameraInfo, INFO, self._info)
        self.diagnostics.input(_MAP, required=False, timeout=self.settings.map_timeout)
        if self._config.watch_color:
            kind, topic = self._transport.color
            self._subscribe(kind, COLOR, self._color, raw=True, topic=topic)
        if self._config.scan:
            self._subscribe(LaserScan, "scan", self._scanned)
        if not self.settings.lockstep:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(1.0 / self._config.control_rate, self._tick, clock=steady)

    def _subscribe(self, kind: type, name: str, callback, raw: bool = False, topic: str = "", depth: int = 5) -> None:
        self.diagnostics.input(name)
        self.create_subscription(kind, topic or name, callback, qos.camera(self.settings.lockstep, depth), raw=raw)

    # -- inputs (executor's thread) ------------------------------------------------------------------------------------

    def _odometry(self, message: Odometry) -> None:
        before = self._base.now
        try:
            back = self._base.hear(message)
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
            return
        if back:
            self._clock_was_set_back(before)
        if self.settings.lockstep:
            self._tick()

    def _info(self, message: CameraInfo) -> None:
        self.diagnostics.input(INFO).came()
        if not self._bad_info:  # whether the camera info is usable shows when depth is processed with it
            self.diagnostics.input(INFO).used(self.message_age(message))
        self._camera = message
        held, self._held_depth = self._held_depth, None
        if held is not None:
            self._worker.put((time.monotonic(), held))

    def _color(self, serialized: bytes) -> None:
        self.diagnostics.input(COLOR).arrived(self.stamp_age(serialized_stamp(serialized)))
        self._evidence.color(serialized, None if self._base.now is None else self._base.now[1])

    def _depth(self, message: Image | CompressedImage) -> None:
        self.diagnostics.input(DEPTH).came()
        if not self.active:
            return
        if self._camera is None:
            self._held_depth = message  # the first depth image may arrive before its camera info
        else:
            self._worker.put((time.monotonic(), message))

    def _scanned(self, message: LaserScan) -> None:
        self.diagnostics.input("scan").arrived(self.message_age(message))
        if self.active:
            self._worker.put(message)

    def _wished(self, message: Twist, info: Mapping[str, int]) -> None:
        """Passes another controller's requested velocity to the guard; one that is not finite is ignored."""
        if self._own_wishes.wrote(info):
            return
        try:
            wish = velocity_from_twist(message)
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
            wish = Velocity()
        if is_beyond_plane(message):
            self.diagnostics.refuse("beyond_plane", "cmd_vel_nav wishes to move sideways, up or to tilt: left out")
        self._take_wish(wish)

    def _take_wish(self, wish: Velocity) -> None:
        with self._lock:
            self._wish, self._wish_at = wish, time.monotonic()
            self._command()

    # -- inputs (worker's thread) --------------------------------------------------------------------------------------

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
            self._note_refusal(item, error)
        finally:
            self._report(item, taken)

    def _note_refusal(self, item: Path | LaserScan | tuple, error: BadMessage) -> None:
        """Marks the input as "arrived but unusable" in diagnostics."""
        if isinstance(item, Path):
            self.diagnostics.errors["plan"] = f"plan refused: {error}"
        elif isinstance(item, tuple):
            self._bad_info = error.fault in ("uncalibrated", "intrinsics")
            self.diagnostics.input(DEPTH).refused("it has no camera info" if self._bad_info else str(error))
            if self._bad_info:
                self.diagnostics.input(INFO).refused(str(error))

    def _report(self, item: Path | LaserScan | tuple, taken: bool) -> None:
        """Reports on progress that a plan or a depth image has been processed, used or refused."""
        if isinstance(item, Path):
            self.report_progress("plan", stamp_ns(item.header.stamp), taken and bool(item.poses))
        elif isinstance(item, tuple):
            self.report_progress("frame", stamp_ns(item[1].header.stamp), taken)

    def _take_plan(self, message: Path) -> None:
        stamp = stamp_ns(message.header.stamp)
        path, heading = path_array(message), None
        if len(path) == 1:
            heading = yaw_of(matrix_from_pose(message.poses[0].pose))
        if not np.isfinite(path).all():
            raise BadMessage("nan_plan", "the plan is not finite")
        T_odom_map = self._odom_from_map(stamp) if len(path) else np.eye(4)
        self.diagnostics.errors.pop("plan", None)
        with self._lock:
            self._plan_at = self.diagnostics.silence.now()
            self._follower.follow(path, heading, T_odom_map)

    def _odom_from_map(self, stamp: int) -> np.ndarray:
        """odom from map for a plan of this stamp; SLAM may publish map->odom as rarely as every map_timeout seconds.

        Raises:
            BadMessage: ``no_transform``, ``old_plan`` where the plan was made before the base's pose jumped.
        """
        odom, map_frame, since = self.robot.odom_frame, self.robot.map_frame, self._base.watch.good_from
        if self.settings.lockstep:
            return self._transforms.at(odom, map_frame, stamp, self.settings.tf_timeout)
        newest, _ = self._transforms.newest(odom, map_frame)
        if since is not None and (stamp < since or 0 < newest < since):
            raise BadMessage("old_plan", "it, or map->odom, is from before the base's pose jumped")
        # No waiting: depth images are queued behind. A plan placed with an older map->odom is placed again after an
        # update of map->odom.
        return self._transforms.near(odom, map_frame, stamp, self.settings.map_timeout)

    def _take_depth(self, arrived: float, message: Image | CompressedImage) -> None:
        robot, stamp, wait = self.robot, stamp_ns(message.header.stamp), self.settings.tf_timeout
        # Unaligned depth is used as it is, with its own camera's intrinsics and pose: the guard needs no colour.
        depth, camera, _ = self._optics.depth(message, self._camera, self._depth_info.of(message))
        frame_id = message.header.frame_id or robot.camera_frame
        T_base_camera = self._transforms.at(robot.base_frame, frame_id, stamp, wait)
        T_odom_base = self._base_at(stamp)
        if not (np.isfinite(T_base_camera).all() and np.isfinite(T_odom_base).all()):
            raise BadMessage("nan_pose", "TF holds a transform that is not finite")
        self._evidence.depth(message.data, depth, camera, T_base_camera, T_odom_base)
        with self._lock:
            self._follower.guard.observe_depth(stamp, depth, camera, T_base_camera, T_odom_base)
            if not self.settings.lockstep:
                self._command()
        self._bad_info = False
        self.diagnostics.input(DEPTH).used(self.stamp_age(stamp))
        self.diagnostics.latency("depth").add(time.monotonic() - arrived)

    def _base_at(self, stamp: int) -> np.ndarray:
        """Pose of the base at an image's or a scan's stamp (ns), 4x4 odom from base_link.

        Raises:
            BadMessage: ``no_transform``, ``base_pose`` where TF contradicts the odom topic.
        """
        robot = self.robot
        T = self._transforms.at(robot.odom_frame, robot.base_frame, stamp, self.settings.tf_timeout)
        return self._base.checked(stamp, T) if np.isfinite(T).all() else T

    def _take_scan(self, message: LaserScan) -> None:
        robot, stamp, wait = self.robot, stamp_ns(message.header.stamp), self.settings.tf_timeout
        T_base_laser = self._transforms.at(robot.base_frame, message.header.frame_id, stamp, wait)
        T_odom_base = self._base_at(stamp)
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
        """One control period: request a velocity along the plan, or stop where an input is missing."""
        if not self.active:
            return
        with self._lock:
            if not self.settings.lockstep:
                self._watch_pose()
            self._drop_late_plan()
            # Lost SLAM stops plan following only: teleoperation may drive the robot back to a known place.
            why = self._hindrance() or self._tracking.lost
            self._watch_base(why)
            if why:
                self._halt(why)
                self._evidence.report("")
            elif self.settings.lockstep or not self._follower.idle or self._coasting:
                assert self._base.now is not None
                wish = self._follower.want(*self._base.now)
                self._coasting = abs(wish.linear) > 1e-3 or abs(wish.angular) > 1e-3
                self._tell_touched()
                self._take_wish(wish)
                self._own_wishes.tell(wish)
            elif time.monotonic() - self._wish_at > _WISH_TIMEOUT and self._speaks():
                self._say("")
                self._publish(Velocity())

    def _watch_pose(self) -> None:
        """Compares the odom topic with TF; on a pose jump, moves the obstacles along and drops the plan."""
        self._base.look()
        moved = self._base.watch.take_moved()
        if moved is not None and self._base.now is not None:
            self._follower.displaced(*self._base.now, moved)
        self._watch_map()
        # Images cannot be placed while the pose is in doubt; do not report depth as stale because of that.
        self.diagnostics.input(DEPTH).required = not self._base.watch.trouble
        trouble = self._base.watch.trouble or ("" if self.diagnostics.stale_inputs() else self._base.trouble)
        if trouble:
            self.diagnostics.errors["pose"] = trouble
        else:
            self.diagnostics.errors.pop("pose", None)
        self.diagnostics.counts["pose_jumps"] = self._base.watch.jumps
        self.diagnostics.counts["pose_disagreements"] = self._base.watch.disagreements

    def _watch_map(self) -> None:
        """Updates the age of map->odom in diagnostics; it is required while there is a plan."""
        watch = self.diagnostics.input(_MAP)
        watch.required = not self._follower.idle or "plan" in self.diagnostics.errors
        try:
            newest, _ = self._transforms.newest(self.robot.odom_frame, self.robot.map_frame)
        except BadMessage as error:
            watch.refused(str(error))
            return
        watch.used(self.stamp_age(newest) if newest else 0.0)

    def _clock_was_set_back(self, before: tuple[int, np.ndarray] | None) -> None:
        """Resets everything that depends on stamps. Obstacles are kept, restamped to now, if the pose is continuous."""
        self.diagnostics.counts["clock_set_back"] += 1
        self.get_logger().warning("the clock of odom was set back: what hangs on stamps begins anew")
        with self._lock:
            if before is None or self._base.watch.good_from is not None:
                self._follower.reset()
            else:
                self._follower.displaced(self._base.stamp, before[1])

    def _watch_base(self, why: str) -> None:
        """Detects a base that does not follow its commands; publishes why the robot is stopped."""
        now = self._base.now
        if now is not None:
            fresh = self.settings.lockstep or time.monotonic() - self._sent_at < _FALL_SILENT
            dead = self._stall.update(*now, self._sent if fresh and not why else Velocity())
            if dead:
                self.diagnostics.errors["base"] = dead
            else:
                self.diagnostics.errors.pop("base", None)
        if self._stops.why:
            self.diagnostics.warnings["stop"] = f"standing: {self._stops.why}"
        else:
            self.diagnostics.warnings.pop("stop", None)
        self._state.tell(why or self._why, bool(why), self._stall)

    def _tell_touched(self) -> None:
        touched = self._follower.touched
        if len(touched):
            size = self._follower.guard.obstacles.config.resolution
            self._touched.publish(cells_msg(touched, size, header(self._base.stamp, self.robot.odom_frame)))

    def _command(self) -> None:
        """Limits the newest requested velocity by the guard and publishes the result."""
        now = time.monotonic()
        fresh = now - self._wish_at <= _WISH_TIMEOUT or self.settings.lockstep
        if not (self.active and fresh) or self._hindrance() or self._base.now is None:
            return
        wish = self._wish
        if not self.settings.lockstep:  # in lock-step only this node requests velocities, already within its limits
            dt = min(now - self._sent_at, 2.0 / self._config.control_rate)
            wish = within_limits(wish, self._sent, dt, self.robot)
        velocity, why = self._follower.allow(wish, self._base.now[1])
        self._publish(velocity)
        self._say(self._follower.guard.explain(why))
        self._evidence.report(why)
        self.diagnostics.latency("guard").add(time.monotonic() - now)

    def _hindrance(self) -> str:
        """Why the robot must not move now, or ""."""
        if self._stops.why:
            return self._stops.why
        frozen = self._evidence.hindrance()
        if self.settings.lockstep or frozen:
            return frozen
        if self._base.watch.trouble:
            return self._base.watch.trouble
        missing = self.diagnostics.missing()
        return f"no {missing}" if missing else self._base.trouble

    def _halt(self, why: str) -> None:
        """Velocity 0 at once, whatever was requested; the plan is kept and resumed later."""
        with self._lock:
            self._follower.pursuit.reset()
            self._follower.guard.passed = Velocity()
            self._coasting = False
            self._say(why)
            if self.active and self._speaks():
                self._publish(Velocity())

    def _drop_late_plan(self) -> None:
        """Drops a plan that the reasoner no longer repeats (plan heartbeat lost: the reasoner is gone)."""
        late = self.diagnostics.silence.now() - self._plan_at > self._config.plan_timeout
        if not self._follower.idle and late and not self.settings.lockstep:
            self._follower.follow(np.empty((0, 2)), None, np.eye(4))
            self.diagnostics.counts["plans_not_repeated"] += 1

    def _speaks(self) -> bool:
        """Whether zeros are still to be published on cmd_vel; some time after the last request others may drive."""
        driving = not self._follower.idle or time.monotonic() - self._wish_at < _FALL_SILENT
        return driving or self._stops.pressed or self.settings.lockstep

    def _say(self, why: str) -> None:
        if why != self._why:
            self._why = why
            self.diagnostics.facts["standing or slowed by"] = why or "nothing"

    def _publish(self, velocity: Velocity) -> None:
        self._sent, self._sent_at = velocity, time.monotonic()
        twist = twist_msg(velocity)
        if self._config.enable_stamped_cmd_vel:
            stamp = self.get_clock().now().nanoseconds
            self._cmd_vel.publish(TwistStamped(header=header(stamp, self.robot.base_frame), twist=twist))
        else:
            self._cmd_vel.publish(twist)


class OwnWishes:
    """Publishes this node's requested velocities on cmd_vel_nav and tells its own messages from other controllers'.

    A message is recognised by sequence number and source time stamp, since rclpy gives no identity of the publisher.
    Where the middleware provides neither, the node's own request is handled once more, as another controller's.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._count = 0
        self._written: deque[tuple[int, int, int]] = deque(maxlen=50)  # sequence number, ns before and after publishing

    def tell(self, wish: Velocity) -> None:
        """Publishes a requested velocity while any other node subscribes."""
        if self._publisher.get_subscription_count() <= 1:
            return
        before = time.time_ns()
        self._publisher.publish(twist_msg(wish))
        self._count += 1
        self._written.append((self._count, before, time.time_ns()))

    def wrote(self, info: Mapping[str, int]) -> bool:
        """Whether a message with this information (of rclpy) is one that :meth:`tell` published."""
        number, written = info["publication_sequence_number"], info["source_timestamp"]
        return any(number == n and before <= written <= after for n, before, after in tuple(self._written))


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(ControlNode, args)


if __name__ == "__main__":
    sys.exit(main())
