"""``embodied-nav doctor --live``: examines a running system by subscribing only. Publishes and changes nothing.

Checks topics, rates, stamps, encodings, incompatible QoS, TF, diagnostics, who publishes cmd_vel, whether depth is
aligned with colour, and whether the floor in depth agrees with TF. Imports no agent component but the mount check.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
import tf2_ros
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from rclpy.exceptions import InvalidNamespaceException
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.time import Time
from rclpy.validate_namespace import validate_namespace

from ..errors import InputError
from ..findings import MISSING, OK, OPTIONAL, WARNING, Finding, exit_code, report
from ..geometry.alignment import Alignment, alignment, edge_distance, edge_picture
from ..geometry.lens import Lens, named_rectified
from ..geometry.registration import Registration
from ..node_table import AGENT_NODES, SLAM_NODE
from ..recordings import pixels
from ..robot import RobotProfile
from .ros.camera_stream import DEPTH_INFO
from .ros.conversions import BadMessage, matrix_from_transform, stamp_ns
from .ros.doctor_odometry import mismatch, odometry_findings
from .ros.optics import COLOR, DEPTH, INFO, Optics, TransportConfig, color_pixels, depth_metres
from .ros.shared import nodes_behind

#: Compressed topic that may replace a raw one, and the parameter that selects it.
COMPRESSED = {
    COLOR: (f"{COLOR}/compressed", "camera.color_transport: compressed"),
    DEPTH: (f"{DEPTH}/compressedDepth", "camera.depth_transport: compressedDepth"),
}
#: Number of frames used to compare depth with colour.
_FRAMES = 8
#: Misalignment (px) from which depth is reported as off, and the gain of the edge match that makes it certain.
_OFF, _SURE = 3.0, 1.3


@dataclass(frozen=True)
class Topic:
    """A topic that the agent needs or publishes: lowest good rate in Hz (0: any), and whether it is optional."""

    name: str
    types: tuple[str, ...]
    rate: float = 0.0
    needed: bool = True


INPUTS = (
    Topic(COLOR, ("sensor_msgs/msg/Image",), 5.0),
    Topic(DEPTH, ("sensor_msgs/msg/Image",), 5.0),
    Topic(INFO, ("sensor_msgs/msg/CameraInfo",), 5.0),
    Topic(DEPTH_INFO, ("sensor_msgs/msg/CameraInfo",), needed=False),
    Topic("odom", ("nav_msgs/msg/Odometry",), 10.0),
    Topic("/tf", ("tf2_msgs/msg/TFMessage",), 10.0),
    Topic("/tf_static", ("tf2_msgs/msg/TFMessage",), needed=False),
    Topic("e_stop", ("std_msgs/msg/Bool",), needed=False),
    Topic("enable", ("std_msgs/msg/Bool",), needed=False),
    Topic("cmd_vel_nav", ("geometry_msgs/msg/Twist",), needed=False),
    Topic("scan", ("sensor_msgs/msg/LaserScan",), needed=False),
    Topic("slam/path", ("nav_msgs/msg/Path",), needed=False),
)
OUTPUTS = (
    Topic("keyframes", ("embodied_nav/msg/Keyframe",), needed=False),
    Topic("semantic_delta", ("embodied_nav/msg/SemanticDelta",), needed=False),
    Topic("memory/object_list", ("embodied_nav/msg/ObjectArray",), needed=False),
    Topic("memory/occupancy", ("nav_msgs/msg/OccupancyGrid",), needed=False),
    Topic("decision", ("embodied_nav/msg/Decision",), needed=False),
    Topic("plan", ("nav_msgs/msg/Path",), needed=False),
    Topic("cmd_vel", ("geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"), needed=False),
)


@dataclass
class Heard:
    """What was received on one topic."""

    arrivals: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    last: object = None

    @property
    def rate(self) -> float:
        """Messages a second; 0 for fewer than two."""
        span = self.arrivals[-1] - self.arrivals[0] if len(self.arrivals) > 1 else 0.0
        return (len(self.arrivals) - 1) / span if span > 0 else 0.0


def examine(seconds: float = 5.0, namespace: str = "", picture: str | None = None) -> int:
    """Listens and prints the report.

    Args:
        seconds: how long to listen, after a second for discovery.
        namespace: namespace of the agent.
        picture: file for the picture of depth edges over colour; None: in the folder for temporary files.

    Returns:
        1 if something that the agent needs is missing, else 0.

    Raises:
        InputError: the time is not positive, the namespace is invalid, or the picture cannot be written.
    """
    if not seconds > 0:
        raise InputError(f"--seconds {seconds}: give a positive number of seconds")
    if picture is not None and not Path(picture).resolve().parent.is_dir():
        raise InputError(f"--picture {picture}: its folder does not exist; make it first")
    _check_namespace(namespace)
    picture = picture or str(Path(tempfile.gettempdir()) / "embodied_nav_depth_edges.png")
    rclpy.init()
    try:
        examiner = Examiner(namespace)
        examiner.listen(seconds)
        findings = list(examiner.findings(picture))
        examiner.destroy_node()
    finally:
        rclpy.try_shutdown()
    print(report(findings, "the agent gets what it needs"))
    return exit_code(findings)


def _check_namespace(namespace: str) -> None:
    try:
        validate_namespace("/" + namespace.lstrip("/"))
    except InvalidNamespaceException as error:
        raise InputError(f"--namespace {namespace}: {' '.join(str(error).split())}; try /robot1") from None


class Examiner(Node):
    """Subscribes to all of the agent's topics, with QoS that matches whatever the publishers offer."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__("embodied_nav_doctor", namespace=namespace)
        self.heard: dict[str, Heard] = {}
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        self._frames: deque = deque(maxlen=_FRAMES)
        self._colors: deque = deque(maxlen=10)
        self._tf = tf2_ros.Buffer(cache_time=Duration(seconds=30))
        self._listener = tf2_ros.TransformListener(self._tf, self)

    def listen(self, seconds: float) -> None:
        """Waits a second for discovery, then listens; topics that appear meanwhile are subscribed too."""
        start = time.monotonic()
        end = start + 1.0 + seconds
        subscribed = 0.0
        while time.monotonic() < end:
            if time.monotonic() - subscribed > 0.5:
                subscribed = time.monotonic()
                self._subscribe()
            rclpy.spin_once(self, timeout_sec=0.1)

    def findings(self, picture: str | None = None) -> Iterator[Finding]:
        """All findings, in the order of the report."""
        yield from self._nodes()
        for section, topics in (("inputs", INPUTS), ("outputs", OUTPUTS)):
            for topic in topics:
                yield self._topic(section, topic)
        yield from self._camera()
        yield from self._mount()
        yield from self._command()
        yield from self._qos()
        yield from self._transforms()
        odom = self._last("odom")
        if odom is not None:
            yield from odometry_findings(odom, self._tf)
        yield from self._diagnostics()
        yield from self._alignment(picture)

    # --- listening ---

    def _full(self, topic: str) -> str:
        return self.resolve_topic_name(topic)

    def _subscribe(self) -> None:
        there = dict(self.get_topic_names_and_types())
        compressed = [Topic(name, ("sensor_msgs/msg/CompressedImage",)) for name, _ in COMPRESSED.values()]
        diagnostics = Topic("/diagnostics", ("diagnostic_msgs/msg/DiagnosticArray",))
        for topic in (*INPUTS, *OUTPUTS, *compressed, diagnostics):
            name = self._full(topic.name)
            kinds = [t for t in there.get(name, ()) if t in topic.types]
            if name in self.heard or not kinds or not self.get_publishers_info_by_topic(name):
                continue
            self.heard[name] = Heard()
            self.create_subscription(
                _message_class(kinds[0]), name, lambda m, n=name: self._arrived(n, m), self._matching_qos(name)
            )

    def _matching_qos(self, name: str) -> QoSProfile:
        """The strictest QoS that all publishers of a topic offer."""
        offered = [info.qos_profile for info in self.get_publishers_info_by_topic(name)]
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        if all(q.reliability == ReliabilityPolicy.RELIABLE for q in offered):
            qos.reliability = ReliabilityPolicy.RELIABLE
        if all(q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in offered):
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        return qos

    def _arrived(self, name: str, message) -> None:
        if name == self._full("/diagnostics"):
            self._note_diagnostics(message)
            return
        heard = self.heard[name]
        heard.arrivals.append(time.monotonic())
        heard.last = message
        if hasattr(message, "header"):
            heard.ages.append((self.get_clock().now().nanoseconds - stamp_ns(message.header.stamp)) * 1e-9)
        if name == self._full(self._source(COLOR)):
            self._colors.append(message)
        elif name == self._full(self._source(DEPTH)):
            self._pair(message)

    def _source(self, topic: str) -> str:
        """The raw image topic, or the compressed one where nobody publishes the raw one."""
        other = COMPRESSED[topic][0]
        return other if self._full(topic) not in self.heard and self._full(other) in self.heard else topic

    def _note_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = status

    def _pair(self, depth) -> None:
        """Keeps a depth image with the colour image nearest in time, at most one pair every half second."""
        stamp = stamp_ns(depth.header.stamp)
        if not self._colors or (self._frames and abs(stamp - self._frames[-1][0]) < 5e8):
            return
        color = min(self._colors, key=lambda m: abs(stamp_ns(m.header.stamp) - stamp))
        if abs(stamp_ns(color.header.stamp) - stamp) < 5e7:
            self._frames.append((stamp, color, depth))

    # --- judging ---

    def _nodes(self) -> Iterator[Finding]:
        names = set(self.get_node_names())
        for spec in AGENT_NODES:
            if spec.name in names:
                yield Finding("nodes", spec.name, OK, spec.description)
            else:
                mend = "embodied-nav up, or: ros2 launch embodied_nav agent.launch.py"
                yield Finding("nodes", spec.name, MISSING, f"not running ({spec.description})", mend)

    def _topic(self, section: str, topic: Topic) -> Finding:
        name, heard = topic.name, self.heard.get(self._full(topic.name))
        kinds = dict(self.get_topic_names_and_types()).get(self._full(name), [])
        wrong = [kind for kind in kinds if kind not in topic.types]
        if wrong or len(kinds) > 1:
            mend = f"expected {' or '.join(topic.types)}; remap the other, or set enable_stamped_cmd_vel"
            return Finding(section, name, WARNING, f"carries {', '.join(kinds)}", mend)
        if heard is None and name in COMPRESSED and self._source(name) != name:
            other, parameter = COMPRESSED[name]
            rate = self.heard[self._full(other)].rate
            return Finding(section, name, WARNING, f"{rate:.1f} Hz, but compressed", f"set {parameter}, if it is not")
        if heard is None:
            mend = f"start what publishes it, or remap it: {name}:=/your/topic" if topic.needed else ""
            return Finding(section, name, MISSING if topic.needed else OPTIONAL, "nobody publishes it", mend)
        if not heard.arrivals:
            state = WARNING if topic.needed else OPTIONAL
            return Finding(
                section, name, state, "published, but nothing came", "is its source stalled?" if topic.needed else ""
            )
        detail = f"{heard.rate:.1f} Hz" if heard.rate else "latched"
        if heard.ages:
            age = float(np.median(heard.ages))
            detail += f", {age * 1e3:.0f} ms old"
            if topic.rate and not -0.05 < age < 0.5:
                mend = "set the clocks (chrony), the driver's stamps, or use_sim_time on all nodes alike"
                return Finding(section, name, WARNING, detail, mend)
        if topic.rate and heard.rate < topic.rate:
            return Finding(
                section, name, WARNING, detail, f"slower than {topic.rate:.0f} Hz: the agent would stop and go"
            )
        return Finding(section, name, OK, detail)

    def _last(self, topic: str):
        heard = self.heard.get(self._full(topic))
        return heard.last if heard else None

    def _camera(self) -> Iterator[Finding]:
        color, depth, info = self._last(COLOR), self._last(DEPTH), self._last(INFO)
        for name, message, known in ((COLOR, color, pixels.COLOR), (DEPTH, depth, pixels.DEPTH)):
            if message is None:  # or compressed
                continue
            good = message.encoding in known
            detail = f"{message.width}x{message.height} {message.encoding}, frame {message.header.frame_id or '(none)'}"
            yield Finding("camera", name, OK if good and message.header.frame_id else WARNING, detail,
                          "" if good else f"expected {' or '.join(known)}: set the driver")  # fmt: skip
        if color is not None and info is not None:
            rectified, lens = named_rectified(self._full(self._source(COLOR))), Lens.of(info)
            try:
                camera = lens.view((color.width, color.height), rectified).camera
            except InputError as error:
                yield Finding("camera", INFO, WARNING, f"{info.width}x{info.height}, fx {info.k[0]:.1f}", str(error))
            else:
                undone = ", its distortion is taken out" * (lens.distorted and not rectified)
                yield Finding("camera", INFO, OK, f"{info.width}x{info.height}, fx {camera.fx:.1f}{undone}")

    def _mount(self) -> Iterator[Finding]:
        """Whether the floor seen in depth agrees with the camera's mount as TF gives it."""
        depth = self._last(self._source(DEPTH))
        if depth is None:
            return
        from ..planning.mount import GOOD, judge

        robot = RobotProfile()
        frame = depth.header.frame_id or robot.camera_frame
        name = f"{robot.base_frame} -> {frame}"
        info, own = self._last(INFO), self._last(DEPTH_INFO)
        if own is not None and own.header.frame_id and own.header.frame_id != frame:
            own = None
        if info is None:
            return
        try:
            T = matrix_from_transform(self._tf.lookup_transform(robot.base_frame, frame, Time()).transform)
            optics = Optics(self, TransportConfig(), Registration(), Counter())
            metres, camera, _ = optics.depth(depth, info, own)
            found = judge(metres, camera, T)
        except (tf2_ros.TransformException, BadMessage, InputError):
            return  # reported by another check
        if found.found:
            yield Finding("camera", name, WARNING, f"{found.found}: the agent will not drive", found.mend)
        elif found.verdict == GOOD:
            yield Finding("camera", name, OK, f"floor found at {found.height:+.2f} m, where TF says")
        else:
            yield Finding("camera", name, OPTIONAL, "no floor in view to check it by: point the camera at open floor")

    def _command(self) -> Iterator[Finding]:
        name = self._full("cmd_vel")
        sources = sorted({i.node_name for i in self.get_publishers_info_by_topic(name)})
        sinks = sorted({i.node_name for i in self.get_subscriptions_info_by_topic(name)} - {self.get_name()})
        if len(sources) > 1:
            mend = "put twist_mux between them: see the README"
            yield Finding("base", "cmd_vel from", WARNING, ", ".join(sources), mend)
        elif sources:
            yield Finding("base", "cmd_vel from", OK, sources[0])
        if sources and not sinks:
            yield Finding("base", "cmd_vel to", WARNING, "nobody obeys it", "remap cmd_vel to the topic of your base")
        elif sources:
            yield Finding("base", "cmd_vel to", OK, ", ".join(sinks))

    def _qos(self) -> Iterator[Finding]:
        """Publisher-subscriber pairs with incompatible QoS; DDS does not report them."""
        names = {self._full(t.name) for t in (*INPUTS, *OUTPUTS)}
        ours = {spec.name for spec in (*AGENT_NODES, SLAM_NODE)}
        mismatches = 0
        for name in sorted(names):
            for publisher in self.get_publishers_info_by_topic(name):
                asked: dict[str, list[QoSProfile]] = {}
                for subscriber in self.get_subscriptions_info_by_topic(name):
                    if subscriber.node_name != self.get_name() and publisher.topic_type == subscriber.topic_type:
                        node = nodes_behind(subscriber.node_name)[0]
                        asked.setdefault(node, []).append(subscriber.qos_profile)
                for node, profiles in asked.items():
                    offer = (publisher.node_name, node, node in ours)
                    found = [mismatch(name, publisher.qos_profile, profile, *offer) for profile in profiles]
                    if all(found):  # of a node's several subscriptions one match is enough
                        mismatches += 1
                        yield found[0]
        if not mismatches:
            yield Finding("QoS", "publishers and subscribers", OK, "match on all topics of the agent")

    def _transforms(self) -> Iterator[Finding]:
        robot = RobotProfile()
        depth = self._last(self._source(DEPTH))
        camera = (depth.header.frame_id if depth is not None else "") or robot.camera_frame
        for parent, child, source in (
            (robot.map_frame, robot.odom_frame, "your SLAM"),
            (robot.odom_frame, robot.base_frame, "the base's odometry"),
            (robot.base_frame, camera, "robot_state_publisher or a static_transform_publisher"),
        ):
            name = f"{parent} -> {child}"
            try:
                found = self._tf.lookup_transform(parent, child, Time())
            except tf2_ros.TransformException:
                yield Finding("TF", name, MISSING, "not connected", f"start {source}, or set robot.*_frame")
                continue
            stamp = stamp_ns(found.header.stamp)
            if stamp == 0:
                yield Finding("TF", name, OK, "static")
                continue
            age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
            good = -0.2 < age < 0.5
            yield Finding("TF", name, OK if good else WARNING, f"newest {age * 1e3:.0f} ms old",
                          "" if good else f"{source} is slow, or its clock differs")  # fmt: skip

    def _diagnostics(self) -> Iterator[Finding]:
        for name, status in sorted(self.diagnostics.items()):
            good = status.level == DiagnosticStatus.OK
            yield Finding("diagnostics", name, OK if good else WARNING, status.message or "no message")

    def _alignment(self, picture: str | None) -> Iterator[Finding]:
        frames, why = [], "no colour and depth image came together"
        optics = Optics(self, TransportConfig(), Registration(), Counter())
        for _, color, depth in self._frames:
            try:
                pair = self._as_used(optics, color, depth)
            except (BadMessage, InputError) as error:
                why = str(error)
                continue
            if pair[0].shape[:2] == pair[1].shape:
                frames.append(pair)
            else:
                why = "colour and depth differ in size"
        if not frames:
            yield Finding("alignment", "depth on colour", OPTIONAL, why)
            return
        yield _judged(alignment(frames), edge_distance(frames))
        if picture is not None:
            yield _written(picture, edge_picture(*frames[-1]))

    def _as_used(self, optics: Optics, color, depth) -> tuple[np.ndarray, np.ndarray]:
        """Colour, and depth as the agent uses it: registered to colour if it is from another camera."""
        info, own = self._last(INFO), self._last(DEPTH_INFO)
        if info is None:
            return color_pixels(color), depth_metres(depth)
        frames = (color.header.frame_id, depth.header.frame_id)
        same_frame = not all(frames) or frames[0] == frames[1]
        if own is not None and own.header.frame_id and own.header.frame_id != frames[1]:
            own = None
        image, camera, _ = optics.color(color, info)
        metres, depth_camera, own_told = optics.depth(depth, info, own)
        own_camera = depth_camera if own_told else None
        if not Registration().needed(camera, own_camera, metres.shape, same_frame):
            return image, metres
        if own_camera is None:
            raise InputError(f"depth is of another camera than colour, and {DEPTH_INFO} tells nothing of it")
        T = np.eye(4)
        if not same_frame:
            try:
                T = matrix_from_transform(self._tf.lookup_transform(*frames, Time()).transform)
            except tf2_ros.TransformException:
                raise InputError(f"TF does not connect {frames[0]} and {frames[1]}") from None
        return image, Registration().apply(metres, camera, own_camera, T)


def _message_class(kind: str) -> type:
    """The message class of a type name such as "sensor_msgs/msg/Image"."""
    package, module, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.{module}"), name)


def _judged(found: Alignment | None, distance: float | None) -> Finding:
    if found is None or distance is None:
        text = "too few silhouettes to tell: point the camera at furniture"
        return Finding("alignment", "depth on colour", OPTIONAL, text)
    median = f"median edge distance {distance:.1f} px"
    if found.gain < _SURE or found.displacement < _OFF:
        detail = f"registered (off by {found.displacement:.1f} px or less; {median})"
        return Finding("alignment", "depth on colour", OK, detail)
    detail = (
        f"off: depth must move {found.right:+.0f} px right, {found.down:+.0f} px down and scale by {found.scale:.3f} "
        f"({found.edges} edge pixels, fits {found.gain:.1f} times better; {median})"
    )
    mend = "turn on the driver's aligned depth, or give the registration.* parameters"
    return Finding("alignment", "depth on colour", WARNING, detail, mend)


def _written(path: str, picture: np.ndarray) -> Finding:
    import cv2

    if not cv2.imwrite(path, picture[..., ::-1]):
        raise InputError(f"--picture {path}: cannot be written; give a .png file in a folder that can be written")
    return Finding("alignment", "picture", OK, f"depth edges over colour in {path}")
