"""A walk through a simulated apartment with truth and drifting odometry, written in the formats that are read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np

from embodied_nav.geometry import Camera, invert, quaternion_from_matrix

#: Where the walk begins: not at 0, so that nobody takes stamps for offsets.
START = 1_700_000_000_123_456_789
PERIOD = 100_000_000
MOUNT = "camera_link"


@dataclass(frozen=True, eq=False)
class Step:
    """What was recorded at one moment; all poses are of the colour camera."""

    stamp: int
    color: np.ndarray
    depth: np.ndarray
    T_map_camera: np.ndarray
    T_odom_camera: np.ndarray
    T_base_camera: np.ndarray


def walk(frames: int, noise: bool = True) -> tuple[Camera, list[Step]]:
    """The camera, and what it saw on a curve."""
    from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig
    from embodied_nav.sim.episodes import make_episode

    simulator = EmbeddedSimulator(config=SimulatorConfig(depth_noise=noise))
    o = simulator.reset(make_episode(1001, "object", 0))
    steps = []
    for n in range(frames):
        T_map_odom = simulator.privileged().T_map_odom()
        T_odom_camera = o.T_odom_base @ o.T_base_camera
        steps.append(
            Step(START + n * PERIOD, o.color.copy(), o.depth.copy(), T_map_odom @ T_odom_camera, T_odom_camera,
                 o.T_base_camera)
        )  # fmt: skip
        simulator.step(0.3, 0.8, 0.1)
        o = simulator.observe()
    return simulator.camera(), steps


def seconds(ns: int) -> str:
    """As the TUM format writes stamps, to the nanosecond."""
    return f"{ns // 10**9}.{ns % 10**9:09d}"


def write_tum(folder, steps: list[Step], color_delay: int = 4_000_000) -> None:
    """Colour a little after depth; ground truth between the frames only, so that it must be interpolated."""
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    rgb, depth, truth = ["# color images"], ["# depth maps"], ["# timestamp tx ty tz qx qy qz qw"]
    for step in steps:
        color_file, depth_file = f"rgb/{step.stamp + color_delay}.png", f"depth/{step.stamp}.png"
        cv2.imwrite(str(folder / color_file), step.color[..., ::-1])
        units = np.rint(np.nan_to_num(step.depth.astype(np.float64) * 5000)).clip(0, 65535).astype(np.uint16)
        cv2.imwrite(str(folder / depth_file), units)
        rgb.append(f"{seconds(step.stamp + color_delay)} {color_file}")
        depth.append(f"{seconds(step.stamp)} {depth_file}")
        for offset in (-10_000_000, 10_000_000):
            numbers = (*step.T_map_camera[:3, 3], *quaternion_from_matrix(step.T_map_camera))
            truth.append(" ".join([seconds(step.stamp + offset), *(f"{v:.9f}" for v in numbers)]))
    for name, lines in (("rgb.txt", rgb), ("depth.txt", depth), ("groundtruth.txt", truth)):
        (folder / name).write_text("\n".join(lines) + "\n")


class BagWriter:
    """Messages of the camera, TF and odometry, by rosbags: no ROS needed."""

    def __init__(self, folder, storage: str = "sqlite3", compression: str = "", clock=lambda ns: ns) -> None:
        """``clock``: from the time of recording to that in headers, ns."""
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        self.store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()])
        if compression:
            self._writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
        self._connections = {}
        self._clock = clock

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def type(self, name: str):
        """A message class, "sensor_msgs/Image"."""
        return self.store.types[name.replace("/", "/msg/")]

    def header(self, ns: int, frame: str):
        ns = self._clock(ns)
        stamp = self.type("builtin_interfaces/Time")(sec=ns // 10**9, nanosec=ns % 10**9)
        return self.type("std_msgs/Header")(stamp=stamp, frame_id=frame)

    def write(self, topic: str, message, ns: int) -> None:
        """One message, logged a little after ``ns``."""
        kind = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self.store)
        self._writer.write(self._connections[topic], ns + 3_000_000, self.store.serialize_cdr(message, kind))

    def image(self, topic: str, ns: int, frame: str, pixels: np.ndarray, encoding: str) -> None:
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
        message = self.type("sensor_msgs/Image")(
            header=self.header(ns, frame), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
            is_bigendian=0, step=data.shape[1], data=data.ravel(),
        )  # fmt: skip
        self.write(topic, message, ns)

    def compressed(self, topic: str, ns: int, frame: str, pixels: np.ndarray, format: str) -> None:
        """Colour as JPEG of high quality, depth (uint16) as PNG behind its settings."""
        if pixels.ndim == 3:
            data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
        else:
            data = struct.pack("<iff", 0, 0.0, 0.0) + cv2.imencode(".png", pixels)[1].tobytes()
        kind = self.type("sensor_msgs/CompressedImage")
        self.write(topic, kind(header=self.header(ns, frame), format=format, data=np.frombuffer(data, np.uint8)), ns)

    def info(self, topic: str, ns: int, frame: str, camera: Camera) -> None:
        roi = self.type("sensor_msgs/RegionOfInterest")(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        message = self.type("sensor_msgs/CameraInfo")(
            header=self.header(ns, frame), height=camera.height, width=camera.width, distortion_model="plumb_bob",
            d=np.zeros(5), k=camera.K.ravel(), r=np.eye(3).ravel(),
            p=np.column_stack([camera.K, np.zeros(3)]).ravel(), binning_x=0, binning_y=0, roi=roi,
        )  # fmt: skip
        self.write(topic, message, ns)

    def tf(self, ns: int, *edges, topic: str = "/tf") -> None:
        """(T, parent, child) of one moment."""
        transforms = []
        for T, parent, child in edges:
            position, rotation = self._position(T, "Vector3"), self._rotation(T)
            body = self.type("geometry_msgs/Transform")(translation=position, rotation=rotation)
            kind = self.type("geometry_msgs/TransformStamped")
            transforms.append(kind(header=self.header(ns, parent), child_frame_id=child, transform=body))
        self.write(topic, self.type("tf2_msgs/TFMessage")(transforms=transforms), ns)

    def odometry(self, ns: int, T: np.ndarray) -> None:
        pose = self.type("geometry_msgs/Pose")(position=self._position(T, "Point"), orientation=self._rotation(T))
        zero = self.type("geometry_msgs/Vector3")(x=0.0, y=0.0, z=0.0)
        twist = self.type("geometry_msgs/Twist")(linear=zero, angular=zero)
        message = self.type("nav_msgs/Odometry")(
            header=self.header(ns, "odom"), child_frame_id="base_link",
            pose=self.type("geometry_msgs/PoseWithCovariance")(pose=pose, covariance=np.zeros(36)),
            twist=self.type("geometry_msgs/TwistWithCovariance")(twist=twist, covariance=np.zeros(36)),
        )  # fmt: skip
        self.write("/odom", message, ns)

    def _position(self, T, kind):
        return self.type(f"geometry_msgs/{kind}")(**dict(zip("xyz", T[:3, 3].tolist(), strict=True)))

    def _rotation(self, T):
        kind = self.type("geometry_msgs/Quaternion")
        return kind(**dict(zip("xyzw", quaternion_from_matrix(T).tolist(), strict=True)))


def write_bag(
    folder,
    camera: Camera,
    steps: list[Step],
    storage: str = "sqlite3",
    compressed: bool = False,
    in_map: bool = True,
    odom: str = "tf",
    compression: str = "",
    clock=lambda ns: ns,
) -> None:
    """As a robot records: driver's topics, TF at moments of its own, static mount, odometry on TF or its topic, or on
    its topic beside a TF of the truth ("beside")."""
    millimetres = [np.rint(np.nan_to_num(s.depth * 1000)).astype(np.uint16) for s in steps]
    optical, base = "camera_color_optical_frame", "base_link"
    with BagWriter(folder, storage, compression, clock) as bag:
        bag.tf(steps[0].stamp, (steps[0].T_base_camera, base, optical), topic="/tf_static")
        for step, depth in zip(steps, millimetres, strict=True):
            T_odom_base = step.T_odom_camera @ invert(step.T_base_camera)
            T_map_odom = step.T_map_camera @ invert(step.T_odom_camera)
            for moment in (step.stamp - 7_000_000, step.stamp + 7_000_000):
                edges = [(T_odom_base, "odom", base)] if odom == "tf" else []
                if odom == "beside":
                    edges = [(T_map_odom @ T_odom_base, "world", base)]
                elif in_map:
                    edges.append((T_map_odom, "map", "odom"))
                if edges:
                    bag.tf(moment, *edges)
                if odom in ("topic", "beside"):
                    bag.odometry(moment, T_odom_base)
            bag.info("/camera/color/camera_info", step.stamp, optical, camera)
            if compressed:
                bag.compressed("/camera/color/image_raw/compressed", step.stamp + 2_000_000, optical, step.color,
                               "rgb8; jpeg compressed bgr8")  # fmt: skip
                bag.compressed("/camera/aligned_depth_to_color/image_raw/compressedDepth", step.stamp, optical, depth,
                               "16UC1; compressedDepth png")  # fmt: skip
            else:
                bag.image("/camera/color/image_raw", step.stamp + 2_000_000, optical, step.color, "rgb8")
                bag.image("/camera/aligned_depth_to_color/image_raw", step.stamp, optical, depth, "16UC1")
            bag.image("/camera/infra1/image_rect_raw", step.stamp, optical, depth, "16UC1")
