"""A robot for tests: the embedded simulator's sensors on the camera topics, each of which can be made to fail."""

from __future__ import annotations

import array
import time
from collections import deque

import cv2
import numpy as np
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.nodes.ros import qos
from embodied_nav.nodes.ros.camera_stream import DEPTH_INFO
from embodied_nav.nodes.ros.conversions import camera_info_msg, header, image_msg, pose_msg, transform_msg
from embodied_nav.nodes.ros.optics import COLOR, DEPTH, INFO
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig
from embodied_nav.sim.episodes import make_episode


class TestRobot:
    """Publishes at 10 Hz on a timer of the test's node, stamped with the system's clock.

    Args:
        drives: as told. compressed: colour and depth as image_transport compresses them. own_depth: depth of half the
            size from a frame of its own, with a camera info of its own. map_delay: s after which map->odom of an image
            comes, as SLAM gives it; 0: it stands still for all time.

    Attributes:
        off: topics that are silent now ("tf" among them, and "map" for what SLAM gives).
        obstacle: m from the camera at which something fills the view; None: nothing does.
        nan_pose, nan_odometry: TF and odometry without numbers.
        shift: ns added to the stamps of images and TF.
        color_encoding, depth_encoding, size: what the images look like.
        command: the newest cmd_vel; commands: (steady time, linear, angular) of all.
        T_odom_base: where it is; it drives as told only with ``drives``.
    """

    __test__ = False

    def __init__(
        self,
        node,
        drives: bool = False,
        compressed: bool = False,
        own_depth: bool = False,
        map_delay: float = 0.0,
    ) -> None:
        self.node, self.drives, self.compressed, self.own_depth = node, drives, compressed, own_depth
        self.off: set[str] = set()
        self.nan_pose = self.nan_odometry = False
        self.shift = 0
        self.obstacle: float | None = None
        self._map_delay, self._unmapped = map_delay, deque()
        self.color_encoding, self.depth_encoding = "rgb8", "32FC1"
        self.size = (320, 240)
        self.commands: list[tuple[float, float, float]] = []
        self.frames = 0
        self._profile = RobotProfile()
        self._simulator = EmbeddedSimulator(config=SimulatorConfig(odometry_noise=False))
        self._observation = self._simulator.reset(make_episode(1001, "object", 0))
        self.T_odom_base = self._observation.T_odom_base
        make = node.create_publisher
        if compressed:
            self._color = make(CompressedImage, f"{COLOR}/compressed", qos.sensor())
            self._depth = make(CompressedImage, f"{DEPTH}/compressedDepth", qos.sensor())
        else:
            self._color, self._depth = make(Image, COLOR, qos.sensor()), make(Image, DEPTH, qos.sensor())
        self._depth_info = make(CameraInfo, DEPTH_INFO, qos.sensor())
        self._info, self._odom = make(CameraInfo, INFO, qos.sensor()), make(Odometry, "odom", qos.reliable())
        self._tf, self._static = TransformBroadcaster(node), StaticTransformBroadcaster(node)
        p = self._profile
        self._static.sendTransform(
            [
                *([] if map_delay else [transform_msg(np.eye(4), 0, p.map_frame, p.odom_frame)]),
                transform_msg(p.T_base_camera(), 0, p.base_frame, p.camera_frame),
                transform_msg(np.eye(4), 0, p.camera_frame, "camera_depth_optical_frame"),
            ]
        )
        node.create_subscription(Twist, "cmd_vel", self._commanded, qos.reliable())
        node.create_timer(0.1, self._publish)

    @property
    def moving(self) -> bool:
        """Whether the newest command, not older than 0.3 s, is to move."""
        if not self.commands or time.monotonic() - self.commands[-1][0] > 0.3:
            return False
        return abs(self.commands[-1][1]) + abs(self.commands[-1][2]) > 1e-3

    def _commanded(self, message: Twist) -> None:
        self.commands.append((time.monotonic(), message.linear.x, message.angular.z))

    def _publish(self) -> None:
        if self.drives and self.commands:
            _, v, w = self.commands[-1]
            self.T_odom_base = self._simulator.step(v, w, 0.1).T_odom_base
            self._observation = self._simulator.observe()
        stamp = time.time_ns() + self.shift
        p, o = self._profile, self._observation
        if "tf" not in self.off:
            message = transform_msg(self.T_odom_base, stamp, p.odom_frame, p.base_frame)
            if self.nan_pose:
                message.transform.translation.x = float("nan")
            self._tf.sendTransform(message)
        if self._map_delay:
            self._send_map(stamp)
        if "odom" not in self.off:
            message = Odometry(header=header(stamp, p.odom_frame), child_frame_id=p.base_frame)
            message.pose.pose = pose_msg(pose2d(*([float("nan")] * 3)) if self.nan_odometry else self.T_odom_base)
            self._odom.publish(message)
        head, (width, height) = header(stamp, p.camera_frame), self.size
        camera = self._simulator.camera().resized(width, height)
        color, depth = o.color[:height, :width], o.depth[:height, :width]
        if self.obstacle is not None:
            depth = np.full_like(depth, self.obstacle)
        if self.depth_encoding == "16UC1":
            depth = np.nan_to_num(depth * 1000).astype(np.uint16)
        if INFO not in self.off:
            self._info.publish(camera_info_msg(camera, head))
        depth_head = head
        if self.own_depth:
            depth, depth_head = np.ascontiguousarray(depth[::2, ::2]), header(stamp, "camera_depth_optical_frame")
            # Every other pixel, from the first: the principal point halves.
            own = Camera(width // 2, height // 2, camera.fx / 2, camera.fy / 2, camera.cx / 2, camera.cy / 2)
            self._depth_info.publish(camera_info_msg(own, depth_head))
        if DEPTH not in self.off:
            self._depth.publish(self._depth_message(depth, depth_head))
        if COLOR not in self.off:
            self._color.publish(self._color_message(color, head))
        self.frames += 1

    def _send_map(self, stamp: int) -> None:
        """map->odom of images that are old enough by now."""
        self._unmapped.append(stamp)
        while self._unmapped and stamp - self._unmapped[0] >= self._map_delay * 1e9:
            known = self._unmapped.popleft()
            if "map" not in self.off:
                self._tf.sendTransform(
                    transform_msg(np.eye(4), known, self._profile.map_frame, self._profile.odom_frame)
                )

    def _depth_message(self, depth, head):
        if not self.compressed:
            return image_msg(depth, self.depth_encoding, head)
        millimetres = np.nan_to_num(depth * 1000).astype(np.uint16)
        data = bytes(12) + cv2.imencode(".png", millimetres)[1].tobytes()
        return CompressedImage(header=head, format="16UC1; compressedDepth png", data=array.array("B", data))

    def _color_message(self, color, head):
        if not self.compressed:
            message = image_msg(color, "rgb8", head)
            message.encoding = self.color_encoding
            return message
        data = cv2.imencode(".jpg", color[..., ::-1])[1].tobytes()
        return CompressedImage(header=head, format="rgb8; jpeg compressed bgr8", data=array.array("B", data))
