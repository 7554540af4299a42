"""The slam node: camera and wheel odometry in, map->odom out. Knows nothing of how poses are found.

Subscribes camera/color/image_raw, camera/depth/image_raw, camera/color/camera_info, /tf, /tf_static (odom->base_link of
the wheels; base_link->camera). Publishes /tf map->odom at the stamp of every image, slam/path (nav_msgs/Path: base_link
in map at past stamps, anew after every correction), slam/map (embodied_nav/MapIdentity: which map of memory_file that
is), slam/graph (markers), progress, /diagnostics. With publish_odom, for a camera without wheels, also odom and /tf
odom->base_link. Subscribes initialpose (PoseWithCovarianceStamped: base_link in a map of memory_file), too.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import tf2_ros
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry, Path
from rclpy.clock import Clock, ClockType
from visualization_msgs.msg import MarkerArray

from embodied_nav.msg import MapIdentity

from ..config import Config, param
from ..errors import InputError
from ..frames import RGBDFrame
from ..geometry import invert, is_rigid, rotation_angle
from ..slam import Landmark, OdometryConfig, Slam, SlamConfig, SlamUpdate, landmarks_of
from ..slam.metrics import write_trajectory
from . import map_identity, markers, params, qos, warm_up
from .camera_input import CameraInput
from .conversions import header, matrix_from_pose, pose_msg, transform_msg, vector_msg
from .lifecycle import AgentNode, run
from .map_identity import Identity, identity_msg
from .transforms import Transforms

#: slam/path holds a pose every so far (m, rad), and after so long without motion (s).
_PATH_STEP, _PATH_TURN, _PATH_PAUSE = 0.02, 0.05, 1.0
#: Frames in a row that neither depth nor features could place, after which tracking is lost.
_LOST = 5
#: Poses in other coordinates than before are told so long (s) after slam/map said whose they are, not at once.
_AFTER_JOIN = 0.5


@dataclass(frozen=True)
class SlamNodeConfig(Config):
    """Settings of the slam node."""

    publish_odom: bool = param(
        False, "publish odom and TF odom->base_link, too: for a camera without wheel odometry, which is then not read"
    )
    trajectory_file: str = param(
        "", "file for the camera's poses in map, written at the end, as TUM writes them; empty: none"
    )
    memory_file: str = param(
        "", "the memory's file: SLAM finds itself among the keyframes of earlier sessions in it; empty: it begins anew"
    )
    path_period: float = param(1.0, "slam/path without a correction, at most this often", unit="s", low=0.1, high=600.0)


class SlamNode(AgentNode):
    """Runs SLAM on every frame, in the camera's worker thread; a lock keeps the timers apart from it."""

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
        self._map_out = self.create_lifecycle_publisher(MapIdentity, map_identity.TOPIC, map_identity.profile())
        self.create_subscription(PoseWithCovarianceStamped, "initialpose", self._take_pose, qos.reliable())
        self._transforms = WheelPoses(self, self._config.publish_odom)
        self.diagnostics.counts["corrections"] += 0
        self.diagnostics.facts.update(tracking="nothing yet", keyframes=0, loops=0)
        self._camera = CameraInput(self, self._transforms, self._process, self._refused)
        self.create_timer(self._config.path_period, self._tell, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def cleanup(self) -> None:
        """Ends the worker; writes the trajectory."""
        self._camera.worker.drain(0.5)
        self._camera.close()
        if self._slam is not None and self._config.trajectory_file:
            with self._lock:
                write_trajectory(self._config.trajectory_file, *self._slam.trajectory())

    def _try(self, slam: SlamConfig, odometry: OdometryConfig) -> None:
        """Places frames of nowhere: kernels compile, and without GTSAM the node says so at once."""
        trial = Slam(slam, odometry)
        for frame in warm_up.frames(self.robot) * 2:
            trial.process(frame.stamp, frame.depth, frame.camera, frame.color, frame.T_map_camera)

    # -- placing (worker's thread) -------------------------------------------------------------------------------------

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
            self._path.add(frame.stamp, update.T_map_camera)
        self.diagnostics.latency("slam").add(time.monotonic() - start)
        T_odom_camera = update.T_odom_camera if wheels is None else wheels
        if update.joined is not None:
            self._tell_joined(frame.stamp, update, T_odom_camera)
        self._T_map_odom = update.T_map_camera @ invert(T_odom_camera)
        if update.corrected:
            self.diagnostics.counts["corrections"] += 1
            self._publish_path()
        self._publish_transforms(frame.stamp, update, wheels, T_base_camera)
        self._report(update)
        self.report_progress("frame", frame.stamp, bool(update.loops))

    def _begin(self, stamp: int, T_base_camera: np.ndarray) -> None:
        """The first frame: coordinates are of no map that anybody knows."""
        self._slam = Slam(*self._settings, T_map_start=T_base_camera, landmarks=self._landmarks)
        self._map_out.publish(identity_msg(Identity(stamp), self.robot.map_frame))

    def _believe_given(self) -> None:
        """Hands on a pose that somebody gave, in the map with the most keyframes."""
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
        """Two maps are one from this frame on."""
        joined, T = update.joined, update.joined.T
        if not joined.joined_map_id and self._T_map_odom is not None:
            # What has been mapped so far is moved so that this frame stays where it was seen from; what drifted
            # before it, the path corrects.
            T = update.T_map_camera @ invert(self._T_map_odom @ T_odom_camera)
        identity = Identity(stamp, joined.map_id, joined.joined_map_id, T)
        self._map_out.publish(identity_msg(identity, self.robot.map_frame))
        self._quiet_until = time.monotonic() + _AFTER_JOIN
        self.get_logger().info(f"found itself in map {joined.map_id}")

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
        self._broadcaster.sendTransform(found)

    def _publish_odom(self, stamp: int, T: np.ndarray) -> None:
        """Pose and, from the last frame to this, velocity."""
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
        lost = slam.lost >= _LOST
        words = {"prior": "wheels only" if not self._config.publish_odom else "nothing but the last motion"}
        diagnostics.facts["tracking"] = "lost" if lost else words.get(update.source, update.source)
        diagnostics.facts.update(keyframes=slam.keyframes, loops=len(slam.loops))
        diagnostics.facts["map"] = slam.map_id or ("its own" if slam.located else "its own, not found in the file yet")
        if lost and self._config.publish_odom:
            diagnostics.errors["tracking"] = f"lost for {slam.lost} frames: turn the camera to where it has been"
        else:
            diagnostics.errors.pop("tracking", None)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Path and graph, where somebody looks and something is new."""
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
            return  # the timer tells it
        with self._lock:
            stamps, poses = self._slam.trajectory()
            kept = self._path.indices(len(stamps))
            T_camera_base = invert(self._T_base_camera)
            self._published = int(stamps[-1])
        map_frame = self.robot.map_frame
        message = Path(header=header(self._published, map_frame))
        message.poses = [
            PoseStamped(header=header(int(stamps[i]), map_frame), pose=pose_msg(poses[i] @ T_camera_base)) for i in kept
        ]
        self._path_out.publish(message)


class WheelPoses(Transforms):
    """TF as SLAM sees it: nobody says yet where the camera stands in map, so its pose in odom is given instead.

    Args:
        blind: there are no wheels; the camera then stands where the robot's mount puts it.

    Attributes:
        T_base_camera: 4x4, of the last frame asked for.
    """

    def __init__(self, node: AgentNode, blind: bool) -> None:
        super().__init__(node)
        self._robot, self._blind = node.robot, blind
        self.T_base_camera = np.eye(4)

    def at(self, target: str, source: str, stamp: int, timeout: float = 0.0) -> np.ndarray:
        """As :meth:`Transforms.at`; for map, odom answers."""
        robot = self._robot
        if target != robot.map_frame:
            return super().at(target, source, stamp, timeout)
        self.T_base_camera = super().at(robot.base_frame, source, stamp, timeout)
        if self._blind:
            return self.T_base_camera
        return super().at(robot.odom_frame, robot.base_frame, stamp, timeout) @ self.T_base_camera


class SparsePath:
    """Which frames of a trajectory stand in slam/path: those between which the camera moved, and the newest.

    Attributes:
        newest: stamp (ns) of the newest frame.
    """

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._count = 0
        self._last: tuple[int, np.ndarray] | None = None
        self.newest = 0

    def add(self, stamp: int, T: np.ndarray) -> None:
        """The next frame's stamp (ns) and pose (4x4)."""
        if self._last is None or self._is_apart(stamp, T):
            self._kept.append(self._count)
            self._last = (stamp, T)
        self._count += 1
        self.newest = stamp

    def indices(self, count: int) -> list[int]:
        """Indices of kept frames among the first ``count``, the last of these included."""
        kept = [i for i in self._kept if i < count]
        return kept if count == 0 or kept[-1] == count - 1 else [*kept, count - 1]

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
