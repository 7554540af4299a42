"""The slam node: camera and wheel odometry in, map->odom out. Knows nothing of how poses are estimated.

slam/tracking (diagnostic_msgs/DiagnosticArray) tells which frames must not be mapped, and why. While wheel odometry
carries the pose the robot drives on, so they get transforms all the same; once it is lost they get none.

Subscribes camera/color/image_raw, camera/depth/image_raw, camera/color/camera_info, /tf, /tf_static (odom->base_link
from wheel odometry; base_link->camera), initialpose (PoseWithCovarianceStamped: base_link in a map of memory_file),
progress (which frames are keyframes of the memory: slam/path keeps their poses).
Publishes /tf map->odom at the stamp of every image, slam/path (nav_msgs/Path: base_link in map at past stamps,
republished after every correction), slam/map (embodied_nav/MapIdentity: which map of memory_file it is localised in),
slam/graph (markers), progress, /diagnostics. With publish_odom, for a camera without wheels, also odom and /tf
odom->base_link.
"""

from __future__ import annotations

import bisect
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tf2_ros
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry, Path
from rclpy.clock import Clock, ClockType
from visualization_msgs.msg import MarkerArray

from embodied_nav.msg import MapIdentity, Progress

from .. import trial
from ..config import Config, param
from ..errors import InputError
from ..frames import RGBDFrame, Tracking
from ..geometry import invert, is_rigid, rotation_angle
from ..heap import keep_small
from ..slam import Landmark, OdometryConfig, Slam, SlamConfig, SlamUpdate, landmarks_of
from ..slam.metrics import write_trajectory
from ..slam.warm_up import warm_up
from .ros import map_identity, markers, params, qos, slam_tracking
from .ros.camera_input import CameraInput
from .ros.conversions import header, matrix_from_pose, pose_msg, stamp_ns, transform_msg, vector_msg
from .ros.lifecycle import AgentNode, run
from .ros.map_identity import Identity, identity_msg
from .ros.tf_lookup import Transforms

#: Spacing of the poses on slam/path: after so much motion (m, rad), or so long (s) without motion.
_PATH_STEP, _PATH_TURN, _PATH_PAUSE = 0.02, 0.05, 1.0
#: Frames that are older than this (ns) are thinned on slam/path, to one in so many.
_PATH_WHOLE, _PATH_THIN = 60_000_000_000, 10
#: After a change of map, poses in the new coordinates are published only this long (s) after slam/map announced it.
_AFTER_JOIN = 0.5


@dataclass(frozen=True)
class SlamNodeConfig(Config):
    """Settings of the slam node."""

    publish_odom: bool = param(
        False, "publish odom and TF odom->base_link, too: for a camera without wheel odometry, which is then not read"
    )
    trajectory_file: str = param(
        "", "file for the camera's poses in map, written at the end, as TUM writes them; empty: none", path=True
    )
    report_file: str = param("", "JSON file for when SLAM was not tracking, and why; empty: none")
    memory_file: str = param(
        "",
        "the memory's file: SLAM finds itself among the keyframes of earlier sessions in it; empty: it begins anew",
        path=True,
    )
    path_period: float = param(1.0, "slam/path without a correction, at most this often", unit="s", low=0.1, high=600.0)


class SlamNode(AgentNode):
    """Runs SLAM on every frame, in the camera's worker thread; a lock guards it against the timers."""

    def __init__(self) -> None:
        super().__init__("slam")
        self._broadcaster = tf2_ros.TransformBroadcaster(self)

    def configure(self) -> None:
        """Makes SLAM and the topics."""
        self._config = params.declare(self, SlamNodeConfig)
        settings = params.declare(self, SlamConfig, "slam"), params.declare(self, OdometryConfig, "odometry")
        self._try(*settings)
        self._settings = settings
        self._slam: Slam | None = None
        self._lock = threading.Lock()
        self._path = SparsePath()
        self._T_base_camera = np.eye(4)
        self._last_odom: tuple[int, np.ndarray] | None = None
        self._shown = self._published = 0
        self._landmarks = landmarks_of(self._config.memory_file) if self._config.memory_file else []
        self._T_map_odom: np.ndarray | None = None
        self._given: np.ndarray | None = None
        self._quiet_until = 0.0
        self._path_out = self.create_lifecycle_publisher(Path, "slam/path", qos.latched())
        self._graph_out = self.create_lifecycle_publisher(MarkerArray, "slam/graph", qos.latched())
        self._odom_out = self.create_lifecycle_publisher(Odometry, "odom", qos.reliable())
        self._tracking_out = self.create_lifecycle_publisher(
            DiagnosticArray, slam_tracking.TOPIC, slam_tracking.profile()
        )
        self._placed: bool | None = None
        self._map_out = self.create_lifecycle_publisher(MapIdentity, map_identity.TOPIC, map_identity.profile())
        self.create_subscription(PoseWithCovarianceStamped, "initialpose", self._take_pose, qos.reliable())
        self.create_subscription(Progress, "progress", self._progressed, qos.reliable(100))
        self._transforms = WheelPoses(self, self._config.publish_odom)
        self.diagnostics.counts["corrections"] += 0
        self.diagnostics.counts["frames_not_placed"] += 0
        self.diagnostics.facts.update(tracking="nothing yet", keyframes=0, loops=0)
        self._camera = CameraInput(self, self._transforms, self._process, self._refused)
        keep_small()
        self.create_timer(self._config.path_period, self._tell, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def cleanup(self) -> None:
        """Ends the worker; writes the trajectory."""
        self._camera.worker.drain(0.5)
        self._camera.close()
        if self._slam is not None and self._config.trajectory_file:
            with self._lock:
                write_trajectory(self._config.trajectory_file, *self._slam.trajectory())
        self._write_report()

    def _try(self, slam: SlamConfig, odometry: OdometryConfig) -> None:
        """JIT warm-up on synthetic frames; a missing GTSAM is reported here, before real data arrives."""
        warm_up(self.robot)
        attempt = Slam(slam, odometry)
        for frame in trial.frames(self.robot) * 2:
            attempt.process(frame.stamp, frame.depth, frame.camera, frame.color, frame.T_map_camera)

    def _progressed(self, message: Progress) -> None:
        if message.taken and (message.node, message.stage) == ("keyframe", "frame"):
            self._path.keyframe(stamp_ns(message.header.stamp))

    # -- localisation (worker's thread) --------------------------------------------------------------------------------

    def _process(self, frame: RGBDFrame) -> None:
        if frame.depth is None:
            self._refused(frame.stamp)
            return
        T_base_camera = self._transforms.T_base_camera
        wheels = None if self._config.publish_odom else frame.T_map_camera
        start = time.monotonic()
        with self._lock:
            if self._slam is None:
                self._begin(frame.stamp, T_base_camera)
            self._T_base_camera = T_base_camera
            self._believe_given()
            update = self._slam.process(frame.stamp, frame.depth, frame.camera, frame.color, wheels)
            if update.tracking.placed:
                self._path.add(frame.stamp, update.T_map_camera)
        self.diagnostics.latency("slam").add(time.monotonic() - start)
        self._tell_tracking(frame.stamp, update.tracking)
        T_odom_camera = update.T_odom_camera if wheels is None else wheels
        if update.joined is not None:
            self._tell_joined(frame.stamp, update, T_odom_camera)
        self._T_map_odom = update.T_map_camera @ invert(T_odom_camera)
        if update.corrected:
            self.diagnostics.counts["corrections"] += 1
            self._publish_path()
        if not update.tracking.lost:
            self._publish_transforms(frame.stamp, update, wheels, T_base_camera)
        self._report(update)
        self.report_progress("frame", frame.stamp, bool(update.loops))

    def _begin(self, stamp: int, T_base_camera: np.ndarray) -> None:
        """First frame: announces new map coordinates that belong to no known map."""
        self._slam = Slam(*self._settings, T_map_start=T_base_camera, landmarks=self._landmarks)
        self._tell_map(Identity(stamp))

    def _tell_map(self, identity: Identity) -> None:
        """Publishes the map's identity before any transform in it; nodes of this process get it directly."""
        message = identity_msg(identity, self.robot.map_frame)
        self.shared.tell(map_identity.TOPIC, message)
        self._map_out.publish(message)

    def _believe_given(self) -> None:
        """Passes a pose from initialpose to SLAM, taken to be in the map with the most keyframes."""
        if self._given is None:
            return
        T_map_base, self._given = self._given, None
        try:
            if not self._landmarks:
                raise InputError("no keyframes of earlier sessions are known: set memory_file")
            self._slam.place(T_map_base @ self._T_base_camera, _largest_map(self._landmarks))
        except InputError as error:
            self.get_logger().warning(f"initialpose: {error}")

    def _take_pose(self, message: PoseWithCovarianceStamped) -> None:
        T, map_frame = matrix_from_pose(message.pose.pose), self.robot.map_frame
        if message.header.frame_id not in ("", map_frame) or not is_rigid(T):
            self.get_logger().warning(f"initialpose: give a finite pose in frame '{map_frame}'")
        else:
            self._given = T

    def _tell_joined(self, stamp: int, update: SlamUpdate, T_odom_camera: np.ndarray) -> None:
        """Announces that two maps are merged from this frame on."""
        joined, T = update.joined, update.joined.T
        if not joined.joined_map_id and self._T_map_odom is not None:
            # The running map is moved rigidly so that this frame's camera pose agrees in both maps; drift before
            # this frame is corrected by slam/path.
            T = update.T_map_camera @ invert(self._T_map_odom @ T_odom_camera)
        self._tell_map(Identity(stamp, joined.map_id, joined.joined_map_id, T))
        self._quiet_until = time.monotonic() + _AFTER_JOIN
        self.get_logger().info(f"found itself in map {joined.map_id}")

    def _tell_tracking(self, stamp: int, tracking: Tracking) -> None:
        """Publishes the tracking state before any transform: a frame without a trusted pose must not be mapped."""
        found, self._placed = self._placed is False and tracking.placed, tracking.placed
        if found or not tracking.placed or self._slam.keyframes <= 1:
            message = slam_tracking.tracking_msg(stamp, tracking, self.robot.map_frame)
            self.shared.tell(slam_tracking.TOPIC, message)
            self._tracking_out.publish(message)
        if found:
            self.get_logger().info("SLAM knows where the camera is again")
            self._write_report()
        elif not tracking.placed:
            self.diagnostics.counts["frames_not_placed"] += 1
            if tracking.lost:
                self.get_logger().warning(f"SLAM is {tracking}", throttle_duration_sec=5.0)

    def _write_report(self) -> None:
        if self._config.report_file and self._slam is not None:
            with self._lock:
                summary = self._slam.lost_summary()
            slam_tracking.write_summary(self._config.report_file, summary)

    def _refused(self, stamp: int) -> None:
        self.report_progress("frame", stamp, False)

    def _publish_transforms(
        self, stamp: int, update: SlamUpdate, wheels: np.ndarray | None, T_base_camera: np.ndarray
    ) -> None:
        robot, T_camera_base = self.robot, invert(T_base_camera)
        T_odom_camera = update.T_odom_camera if wheels is None else wheels
        found = [transform_msg(update.T_map_camera @ invert(T_odom_camera), stamp, robot.map_frame, robot.odom_frame)]
        if wheels is None:
            T_odom_base = T_odom_camera @ T_camera_base
            found.append(transform_msg(T_odom_base, stamp, robot.odom_frame, robot.base_frame))
            self._publish_odom(stamp, T_odom_base)
        self._transforms.take(found)
        self._broadcaster.sendTransform(found)

    def _publish_odom(self, stamp: int, T: np.ndarray) -> None:
        """Publishes the pose, and the velocity between the last frame and this one."""
        message = Odometry(header=header(stamp, self.robot.odom_frame), child_frame_id=self.robot.base_frame)
        message.pose.pose = pose_msg(T)
        if self._last_odom is not None and stamp > self._last_odom[0]:
            seconds = (stamp - self._last_odom[0]) * 1e-9
            motion = invert(self._last_odom[1]) @ T
            message.twist.twist.linear = vector_msg(motion[:3, 3] / seconds)
            message.twist.twist.angular.z = float(np.arctan2(motion[1, 0], motion[0, 0]) / seconds)
        self._last_odom = (stamp, T)
        self._odom_out.publish(message)

    def _report(self, update: SlamUpdate) -> None:
        slam, diagnostics = self._slam, self.diagnostics
        tracking = update.tracking
        diagnostics.facts["tracking"] = update.source if tracking.placed else str(tracking)
        diagnostics.facts.update(keyframes=slam.keyframes, loops=len(slam.loops))
        diagnostics.facts["map"] = slam.map_id or ("its own" if slam.located else "its own, not found in the file yet")
        diagnostics.facts["moved by wheels, by the camera"] = "{:.3f}, {:.3f} m".format(*update.moved)
        if tracking.lost:
            diagnostics.errors["tracking"] = f"{tracking}; turn the camera to where it has been"
        else:
            diagnostics.errors.pop("tracking", None)
        if not (tracking.placed or tracking.lost):
            diagnostics.warnings["tracking"] = str(tracking)
        else:
            diagnostics.warnings.pop("tracking", None)

    # -- publishing ----------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Publishes path and graph, if there are subscribers and changes."""
        if self._slam is None or not self.active:
            return
        if self._path_out.get_subscription_count() and self._path.newest != self._published:
            self._publish_path()
        if self._graph_out.get_subscription_count() and self._slam.keyframes != self._shown:
            with self._lock:
                self._shown = self._slam.keyframes
                positions, edges = self._slam.graph()
            self._graph_out.publish(markers.graph(positions, edges, header(self._path.newest, self.robot.map_frame)))

    def _publish_path(self) -> None:
        if time.monotonic() < self._quiet_until:
            return  # the timer publishes it
        with self._lock:
            stamps, poses = self._slam.trajectory()
            if not len(stamps):
                return
            kept = self._path.indices(stamps)
            T_camera_base = invert(self._T_base_camera)
            self._published = int(stamps[-1])
        map_frame = self.robot.map_frame
        message = Path(header=header(self._published, map_frame))
        message.poses = [
            PoseStamped(header=header(int(stamps[i]), map_frame), pose=pose_msg(poses[i] @ T_camera_base)) for i in kept
        ]
        self._path_out.publish(message)


class WheelPoses(Transforms):
    """TF for SLAM's input: the camera's pose in map is what SLAM is to estimate, so the pose in odom is given instead.

    Args:
        blind: there is no wheel odometry; the pose is then that of the mount in the robot profile.

    Attributes:
        T_base_camera: 4x4, of the last look-up.
    """

    of_map = False

    def __init__(self, node: AgentNode, blind: bool) -> None:
        super().__init__(node)
        self._robot, self._blind = node.robot, blind
        self.T_base_camera = np.eye(4)

    def at(
        self, target: str, source: str, stamp: int, timeout: float = 0.0, vain: Callable[[], object] | None = None
    ) -> np.ndarray:
        """As :meth:`Transforms.at`, with odom in place of map."""
        robot = self._robot
        if target != robot.map_frame:
            return super().at(target, source, stamp, timeout, vain)
        self.T_base_camera = super().at(robot.base_frame, source, stamp, timeout, vain)
        if self._blind:
            return self.T_base_camera
        return super().at(robot.odom_frame, robot.base_frame, stamp, timeout, vain) @ self.T_base_camera

    def in_map(self, source: str, stamp: int, vain: Callable[[], object] | None = None) -> np.ndarray:
        """As :meth:`at` with target map."""
        return self.at(self._robot.map_frame, source, stamp, self._node.settings.tf_timeout, vain)


class SparsePath:
    """Selects the frames of a trajectory that slam/path contains: those between which the camera moved, and the newest.

    Of what is older than a minute, only keyframes of the memory and a few frames between them stay: others need their
    poses no more, and a path of all frames of a day would take seconds to send and to read.

    Attributes:
        newest: stamp (ns) of the newest frame.
    """

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._told: deque[int] = deque()
        self._keyframes: set[int] = set()
        self._last: tuple[int, np.ndarray] | None = None
        self._thinned = 0
        self.newest = 0

    def add(self, stamp: int, T: np.ndarray) -> None:
        """Adds a frame's stamp (ns) and pose (4x4); if the clock was set back, frames at or after it are dropped."""
        if stamp <= self.newest:
            self._kept = [kept for kept in self._kept if kept < stamp]
            self._last, self._thinned = None, min(self._thinned, len(self._kept))
        if self._last is None or self._is_apart(stamp, T):
            self._kept.append(stamp)
            self._last = (stamp, T)
        self.newest = stamp

    def keyframe(self, stamp: int) -> None:
        """Notes that the frame of a stamp (ns) is a keyframe of the memory. From any thread."""
        self._told.append(stamp)

    def indices(self, stamps: np.ndarray) -> list[int]:
        """Indices of kept frames among the stamps (N int64 ns) of a trajectory, its last one included."""
        self._thin()
        while self._told:
            self._keyframes.add(self._told.popleft())
        wanted = np.array([*self._kept, *self._keyframes], np.int64)
        kept = np.isin(stamps, wanted)
        there = set(stamps[kept].tolist())  # the trajectory has forgotten the others
        thinned = self._kept[: self._thinned]
        self._kept = [k for k in self._kept if k in there]
        self._thinned = sum(k in there for k in thinned)
        self._keyframes = {k for k in self._keyframes if k in there or k > self.newest - _PATH_WHOLE}
        kept[-1:] = True
        return np.flatnonzero(kept).tolist()

    def _thin(self) -> None:
        """Of every so many frames that have become old, one stays; fewer wait, however often this is called."""
        old = bisect.bisect_left(self._kept, self.newest - _PATH_WHOLE)
        left = max(old - self._thinned, 0) // _PATH_THIN
        end = self._thinned + left * _PATH_THIN
        self._kept[self._thinned : end] = self._kept[self._thinned : end : _PATH_THIN]
        self._thinned += left

    def _is_apart(self, stamp: int, T: np.ndarray) -> bool:
        before, T_last = self._last
        moved = invert(T_last) @ T
        if float(np.linalg.norm(moved[:3, 3])) > _PATH_STEP or rotation_angle(moved) > _PATH_TURN:
            return True
        return (stamp - before) * 1e-9 > _PATH_PAUSE


def _largest_map(landmarks: list[Landmark]) -> str:
    names = [known.map_id for known in landmarks]
    return max(dict.fromkeys(names), key=names.count)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(SlamNode, args)


if __name__ == "__main__":
    sys.exit(main())
