"""Good messages of all kinds that the nodes read, and what may be wrong with one. Knows nothing of readers."""

from __future__ import annotations

import array
import math
import re
import time

import cv2
import numpy as np

from embodied_nav.errors import InputError

_SIZE = (32, 24)
_ENCODINGS = (
    "rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "8UC1", "8UC3", "8UC4", "16UC1", "16SC1", "32FC1", "64FC1",
    "32SC1", "rgb16", "bgr16", "yuv422", "yuv422_yuy2", "uyvy", "yuyv", "nv12", "nv21", "nv24", "bayer_rggb8",
    "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8", "bayer_rggb16", "", "RGB8", "jpeg", "\x00", "8UC", "32FC2", "99XC1",
)  # fmt: skip
_FORMATS = (
    "jpeg", "png", "rgb8; jpeg compressed bgr8", "bgr8; png compressed bgr8", "16UC1; compressedDepth png",
    "32FC1; compressedDepth png", "16UC1; compressedDepth rvl", "32FC1; compressedDepth rvl", "16UC1; png compressed ",
    "mono8; jpeg compressed ", "16UC1; compressedDepth", "", "h264", "tiff", ";;;", "16UC1; compressedDepth zstd",
)  # fmt: skip
_FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e-300, 5e-324, 1e6, 1e18, 1e300, -1e300, 2.0**31, 0.5)
_STRINGS = ("", "map", "odom", "base_link", "nowhere", "/map", "a/b", "\n", "x" * 5000, "ä\u2028ö", "%s", "NaN", "-1")


# -- good ones -------------------------------------------------------------------------------------------------------


class Samples:
    """Good messages, by the name of their type; stamped now."""

    def __init__(self) -> None:
        from embodied_nav.geometry import Camera
        from embodied_nav.robot import RobotProfile

        rng = np.random.default_rng(1)
        self.profile = RobotProfile()
        width, height = _SIZE
        self.camera = Camera.from_hfov(width, height, 1.2)
        self.color = np.kron(rng.integers(0, 255, (height // 4, width // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        self.depth = np.full((height, width), 2.0, np.float32)
        self.depth[height // 2 :] = np.linspace(1.9, 1.2, height - height // 2, dtype=np.float32)[:, None]
        self.depth[0, :4] = np.nan
        self.stamp = time.time_ns()

    def header(self, frame: str = ""):
        from embodied_nav.nodes.ros.conversions import header

        return header(self.stamp, frame or self.profile.camera_frame)

    def color_image(self):
        from embodied_nav.nodes.ros.conversions import image_msg

        return image_msg(self.color, "rgb8", self.header())

    def depth_image(self):
        from embodied_nav.nodes.ros.conversions import image_msg

        return image_msg(self.depth, "32FC1", self.header())

    def millimetre_image(self):
        from embodied_nav.nodes.ros.conversions import image_msg

        return image_msg(np.nan_to_num(self.depth * 1000).astype(np.uint16), "16UC1", self.header())

    def color_compressed(self):
        return self._compressed("rgb8; jpeg compressed bgr8", b"", cv2.imencode(".jpg", self.color)[1])

    def depth_compressed(self):
        pixels = np.nan_to_num(self.depth * 1000).astype(np.uint16)
        return self._compressed("16UC1; compressedDepth png", bytes(12), cv2.imencode(".png", pixels)[1])

    def _compressed(self, format: str, before: bytes, data: np.ndarray):
        from sensor_msgs.msg import CompressedImage

        return CompressedImage(header=self.header(), format=format, data=array.array("B", before + data.tobytes()))

    def info(self):
        from embodied_nav.nodes.ros.conversions import camera_info_msg

        return camera_info_msg(self.camera, self.header())

    def odometry(self):
        from nav_msgs.msg import Odometry

        from embodied_nav.nodes.ros.conversions import pose_msg

        message = Odometry(header=self.header("odom"), child_frame_id=self.profile.base_frame)
        message.pose.pose = pose_msg(np.eye(4))
        return message

    def tf(self):
        from tf2_msgs.msg import TFMessage

        from embodied_nav.nodes.ros.conversions import transform_msg

        p = self.profile
        return TFMessage(
            transforms=[
                transform_msg(np.eye(4), self.stamp, p.map_frame, p.odom_frame),
                transform_msg(np.eye(4), self.stamp, p.odom_frame, p.base_frame),
                transform_msg(p.T_base_camera(), self.stamp, p.base_frame, p.camera_frame),
                transform_msg(np.eye(4), self.stamp, p.base_frame, "laser"),
            ]
        )

    def path(self):
        from embodied_nav.nodes.ros.conversions import path_msg

        return path_msg(np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.2]]), self.stamp, self.profile.map_frame)

    def slam_path(self):
        from embodied_nav.nodes.ros.conversions import header

        message = self.path()
        for k, pose in enumerate(message.poses):  # each with a header of its own
            pose.header = header(self.stamp + k * 100_000_000, self.profile.map_frame)
        return message

    def scan(self):
        from sensor_msgs.msg import LaserScan

        message = LaserScan(header=self.header("laser"), range_min=0.05, range_max=8.0)
        message.angle_min, message.angle_increment, message.angle_max = -math.pi, math.pi / 60, math.pi
        message.ranges = [2.0 + 0.01 * k for k in range(119)] + [math.inf]
        return message

    def twist(self):
        from geometry_msgs.msg import Twist

        message = Twist()
        message.linear.x, message.angular.z = 0.2, 0.1
        return message

    def flag(self):
        from std_msgs.msg import Bool

        return Bool(data=False)

    def query(self):
        from embodied_nav.srv import QueryMemory

        from embodied_nav.nodes.ros.conversions import pose_msg

        request = QueryMemory.Request(text="red chair", use_frustum=True, camera=self.info(), camera_range=5.0)
        request.camera_pose, request.use_box, request.use_near = pose_msg(np.eye(4)), True, True
        request.box_max.x = request.box_max.y = request.box_max.z = 5.0
        return request

    def keyframe(self):
        from embodied_nav.frames import Keyframe, RGBDFrame
        from embodied_nav.nodes.ros.conversions import keyframe_msg

        frame = RGBDFrame(self.stamp, self.camera, self.profile.T_base_camera(), self.color, self.depth)
        return keyframe_msg(Keyframe(1, frame, 0.4, 20, "moved"), "map", self.profile.camera_frame)

    def delta(self):
        from embodied_nav.frames import ObjectObservation, SemanticDelta
        from embodied_nav.nodes.ros.conversions import delta_msg

        thing = ObjectObservation("chair", "red", 0.8, np.array([1.5, 0, 0.4]), np.array([0.5, 0.5, 0.8]), (1, 2, 9, 9))
        segments = np.zeros(self.depth.shape, np.uint16)
        segments[4:9, 4:9] = 1
        return delta_msg(SemanticDelta(1, 0, self.stamp, "x", "", (thing,), (thing,), segments=segments), "map")

    def objects(self):
        from embodied_nav.frames import MemoryObject
        from embodied_nav.nodes.ros.conversions import objects_msg

        one = MemoryObject(1, "chair", "red", np.ones(3), np.ones(3), 0.5, 40, self.stamp, self.stamp, 1, "present",
                           (("chair", 0.9), ("sofa", 0.1)), 2, 0, 0)  # fmt: skip
        return objects_msg((one,), self.header("map"), "a")

    def grid(self):
        from embodied_nav.frames import OccupancyGrid
        from embodied_nav.nodes.ros.conversions import grid_msg

        return grid_msg(OccupancyGrid(np.zeros((20, 30), np.int8), 0.05, (-1.0, -1.0)), self.stamp, "map")

    def cells(self):
        from embodied_nav.nodes.ros.conversions import cells_msg

        return cells_msg(np.array([[0.1, 0.2], [0.3, 0.4]]), 0.05, self.header("odom"))

    def identity(self):
        from embodied_nav.msg import MapIdentity

        return MapIdentity(header=self.header("map"), map_id="a", joined_map_id="b", joined=True)


# -- what may be wrong -----------------------------------------------------------------------------------------------


def mutate(message: object, rng: np.random.Generator) -> object:
    """The message with something wrong with it: by field, or in its bytes.

    Raises:
        InputError: the middleware itself refuses the bytes.
    """
    if rng.random() < 0.35:
        return _by_byte(message, rng)
    for _ in range(int(rng.integers(1, 4))):
        _by_field(message, rng)
    return message


def _by_byte(message: object, rng: np.random.Generator) -> object:
    from rclpy.serialization import deserialize_message, serialize_message

    data = bytearray(serialize_message(message))
    for _ in range(int(rng.integers(1, 6))):
        # The first bytes hold sizes and names; those of pictures are mostly pixels.
        end = min(len(data), 96) if rng.random() < 0.7 else len(data)
        if end > 4:
            data[int(rng.integers(4, end))] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(0, 256))]))
    if rng.random() < 0.2:
        del data[int(rng.integers(4, len(data) + 1)) :]
    try:
        return deserialize_message(bytes(data), type(message))
    except Exception as error:
        raise InputError(f"the middleware: {type(error).__name__}") from None


def _by_field(message: object, rng: np.random.Generator) -> None:
    names = list(message.get_fields_and_field_types().items())
    name, kind = names[int(rng.integers(len(names)))]
    value = getattr(message, name)
    try:
        setattr(message, name, _changed(value, kind, name, rng))
    except (AssertionError, TypeError, ValueError, OverflowError):
        return  # what a message cannot hold cannot come


def _changed(value: object, kind: str, name: str, rng: np.random.Generator) -> object:
    if hasattr(value, "get_fields_and_field_types"):
        _by_field(value, rng)
        return value
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        choices = {"encoding": _ENCODINGS, "format": _FORMATS}.get(name, _STRINGS)
        return str(choices[int(rng.integers(len(choices)))])
    if isinstance(value, int):
        return _integer(value, kind, rng)
    if isinstance(value, float):
        return float(_FLOATS[int(rng.integers(len(_FLOATS)))])
    return _sequence(value, kind, name, rng)


def _integer(value: int, kind: str, rng: np.random.Generator) -> int:
    bits = int(re.sub(r"\D", "", kind) or 8)
    high = 2 ** (bits - kind.startswith("int")) - 1
    low = -high - 1 if kind.startswith("int") else 0
    choices = (0, 1, value + 1, value - 1, 2 * value, value // 2, high, low, high // 2, int(rng.integers(0, 1000)))
    return min(max(choices[int(rng.integers(len(choices)))], low), high)


def _sequence(value, kind: str, name: str, rng: np.random.Generator):
    length, what = len(value), int(rng.integers(6))
    fixed = isinstance(value, np.ndarray) or re.search(r"\[\d+\]", kind)
    if what == 0 and not fixed:
        return value[:0]
    if what == 1 and not fixed:
        return value[: int(rng.integers(0, length + 1))]
    if what == 2 and not fixed and length < 100_000:
        return value + value
    if not length:
        return value
    value, at = value[:], int(rng.integers(length))
    for k in range(length) if rng.random() < 0.3 and length < 1000 else (at,):
        element = value[k]
        element = element.item() if hasattr(element, "item") else element
        value[k] = _changed(element, re.sub(r"(sequence<|>|\[.*\])", "", kind), name, rng)
    return value
