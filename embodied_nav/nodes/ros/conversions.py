"""ROS messages from records and back. Knows nothing of nodes, topics and algorithms.

Images are read without a copy where their encoding allows it; what cannot be read raises :class:`BadMessage` with the
one word under which diagnostics count it.
"""

from __future__ import annotations

import array
import contextlib
import math
import struct
from collections.abc import Iterator

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, TransformStamped, Twist, Vector3
from nav_msgs.msg import GridCells, Path
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from embodied_nav.msg import Decision as DecisionMsg
from embodied_nav.msg import Keyframe as KeyframeMsg
from embodied_nav.msg import Object as ObjectMsg
from embodied_nav.msg import ObjectArray
from embodied_nav.msg import ObjectObservation as ObservationMsg
from embodied_nav.msg import Option as OptionMsg
from embodied_nav.msg import SemanticDelta as DeltaMsg

from ...errors import InputError
from ...frames import (
    Decision,
    Keyframe,
    MemoryObject,
    ObjectObservation,
    OccupancyGrid,
    Option,
    RGBDFrame,
    SemanticDelta,
    Velocity,
)
from ...geometry import Camera, matrix_from_quaternion, quaternion_from_matrix
from ...geometry.lens import Lens, Uncalibrated, View
from ...recordings.pixels import ENCODINGS, UnreadableError, color_pixels, depth_pixels, image_plane, metres

#: Encodings of the images that this package's nodes publish.
_SENT = ("rgb8", "bgr8", "32FC1", "16UC1", "mono16", "32SC1")


class BadMessage(ValueError):
    """A message that cannot be used.

    Attributes:
        fault: the word under which diagnostics count it.
    """

    def __init__(self, fault: str, text: str) -> None:
        super().__init__(" ".join(text.split("\n")))  # names in messages may hold line breaks
        self.fault = fault


# --- time and geometry ---


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds of a message's stamp."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def time_msg(ns: int) -> Time:
    """A message's stamp from nanoseconds."""
    return Time(sec=int(ns // 1_000_000_000), nanosec=int(ns % 1_000_000_000))


def serialized_stamp(data: bytes) -> int:
    """The stamp (ns) of a serialized message that begins with a header; decoding its pixels takes a millisecond."""
    seconds, nanoseconds = struct.unpack_from("<iI", data, 4)  # after the four bytes that say how it is encoded
    return seconds * 1_000_000_000 + nanoseconds


def header(ns: int, frame_id: str) -> Header:
    """A header from a stamp (ns) and a frame."""
    return Header(stamp=time_msg(ns), frame_id=frame_id)


def pose_msg(T: np.ndarray) -> Pose:
    """A pose from a 4x4 transform."""
    x, y, z, w = (float(v) for v in quaternion_from_matrix(T))
    return Pose(position=point_msg(T[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def matrix_from_pose(pose: Pose) -> np.ndarray:
    """4x4 float64 from a pose; all NaN where its quaternion has no direction."""
    return _matrix(pose.orientation, pose.position)


def transform_msg(T: np.ndarray, ns: int, parent: str, child: str) -> TransformStamped:
    """A stamped transform: parent from child."""
    x, y, z, w = (float(v) for v in quaternion_from_matrix(T))
    body = Transform(translation=vector_msg(T[:3, 3]), rotation=Quaternion(x=x, y=y, z=z, w=w))
    return TransformStamped(header=header(ns, parent), child_frame_id=child, transform=body)


def matrix_from_transform(transform: Transform) -> np.ndarray:
    """4x4 float64 from a transform; all NaN where its quaternion has no direction."""
    return _matrix(transform.rotation, transform.translation)


def _matrix(q: Quaternion, t: Point | Vector3) -> np.ndarray:
    try:
        return matrix_from_quaternion((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))
    except ValueError:
        return np.full((4, 4), np.nan)


def point_msg(p: np.ndarray) -> Point:
    """A point from 3 values, m."""
    return Point(x=float(p[0]), y=float(p[1]), z=float(p[2]))


def vector_msg(p: np.ndarray) -> Vector3:
    """A vector from 3 values."""
    return Vector3(x=float(p[0]), y=float(p[1]), z=float(p[2]))


def xyz(p: Point | Vector3) -> np.ndarray:
    """(3,) float64 of a point or vector."""
    return np.array([p.x, p.y, p.z])


# --- images ---


def image_msg(image: np.ndarray, encoding: str, head: Header) -> Image:
    """An image message from an HxW or HxWx3 array of the encoding's dtype."""
    kind = ENCODINGS[encoding]
    image = np.ascontiguousarray(image, dtype=kind.dtype)
    message = Image(header=head, height=image.shape[0], width=image.shape[1], encoding=encoding)
    message.step = image.shape[1] * kind.channels * image.itemsize
    message.data = array.array("B", image.tobytes())
    return message


def image_array(message: Image) -> np.ndarray:
    """The pixels of an image message of this package as they are, without a copy where possible.

    Returns:
        HxW or HxWx3, in the encoding's dtype.

    Raises:
        BadMessage: ``encoding`` for one that this package does not send, ``size`` for data that does not fit the
            stated size.
    """
    if message.encoding not in _SENT:
        known = ", ".join(_SENT)
        raise BadMessage("encoding", f"image encoding '{message.encoding}' is not read here (known: {known})")
    with readable():
        return image_plane(message)


def color_array(message: Image) -> np.ndarray:
    """HxWx3 uint8 RGB of a message in any of the colour encodings.

    Raises:
        BadMessage: another encoding, or data that does not fit.
    """
    with readable():
        return color_pixels(message)


def depth_array(message: Image) -> np.ndarray:
    """HxW float32 metres, NaN invalid, of a message in any of the depth encodings (REP-118).

    Raises:
        BadMessage: another encoding, or data that does not fit.
    """
    with readable():
        return metres(depth_pixels(message))


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Context manager: turns decoding errors into :class:`BadMessage`."""
    try:
        yield
    except UnreadableError as error:
        raise BadMessage(error.fault, str(error)) from None


def camera_info_msg(camera: Camera, head: Header) -> CameraInfo:
    """CameraInfo of a rectified pinhole camera."""
    message = CameraInfo(header=head, width=camera.width, height=camera.height, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = camera.K.ravel().tolist()
    message.r = np.eye(3).ravel().tolist()
    message.p = np.column_stack([camera.K, np.zeros(3)]).ravel().tolist()
    return message


def camera_from_msg(message: CameraInfo) -> Camera:
    """The pinhole camera of rectified images, as this package sends them: the projection matrix, else K.

    Raises:
        BadMessage: ``intrinsics`` where they are not valid.
    """
    return view_from_msg(message, (message.width, message.height), rectified=True).camera


def view_from_msg(message: CameraInfo, size: tuple[int, int], rectified: bool) -> View:
    """The :class:`~embodied_nav.geometry.lens.View` of a driver's images of a size (width, height).

    Raises:
        BadMessage: ``uncalibrated`` for zeros, ``intrinsics`` where the numbers are not valid for such images.
    """
    try:
        return Lens.of(message).view(size, rectified)
    except Uncalibrated as error:
        raise BadMessage("uncalibrated", str(error)) from None
    except InputError as error:
        raise BadMessage("intrinsics", str(error)) from None


# --- keyframes and deltas ---


def keyframe_msg(keyframe: Keyframe, map_frame: str, camera_frame: str) -> KeyframeMsg:
    """A keyframe with its images and pose."""
    frame = keyframe.frame
    head = header(frame.stamp, camera_frame)
    message = KeyframeMsg(header=head, id=keyframe.id, overlap=float(keyframe.overlap), inliers=keyframe.inliers)
    message.reason, message.map_frame = keyframe.reason, map_frame
    message.pose = pose_msg(frame.T_map_camera)
    message.camera_info = camera_info_msg(frame.camera, head)
    if frame.color is not None:
        message.color = image_msg(frame.color, "rgb8", head)
    if frame.depth is not None:
        message.depth = image_msg(frame.depth, "32FC1", head)
    return message


def keyframe_from_msg(message: KeyframeMsg, instance_ids: np.ndarray | None = None) -> Keyframe:
    """A keyframe record; ``instance_ids`` (HxW int32) come from the simulator.

    Raises:
        BadMessage: an image or the intrinsics cannot be read.
    """
    color = color_array(message.color) if message.color.data else None
    depth = depth_array(message.depth) if message.depth.data else None
    frame = RGBDFrame(
        stamp_ns(message.header.stamp),
        camera_from_msg(message.camera_info),
        matrix_from_pose(message.pose),
        color,
        depth,
        instance_ids,
    )
    return Keyframe(message.id, frame, message.overlap, message.inliers, message.reason)


def observation_msg(o: ObjectObservation) -> ObservationMsg:
    """One observed object."""
    message = ObservationMsg(label=o.label, color=o.color, confidence=float(o.confidence))
    message.position, message.extent = point_msg(o.position), vector_msg(o.extent)
    message.box = [int(v) for v in o.box] if o.box is not None else [0, 0, 0, 0]
    return message


def observation_from_msg(m: ObservationMsg) -> ObjectObservation:
    """One observed object's record."""
    u0, v0, u1, v1 = (int(v) for v in m.box)
    box = (u0, v0, u1, v1) if any(m.box) else None
    return ObjectObservation(m.label, m.color, m.confidence, xyz(m.position), xyz(m.extent), box)


def delta_msg(delta: SemanticDelta, map_frame: str) -> DeltaMsg:
    """A semantic delta with its segments."""
    head = header(delta.stamp, map_frame)
    message = DeltaMsg(header=head, keyframe_id=delta.keyframe_id, previous_id=delta.previous_id)
    message.source, message.action, message.stale = delta.source, delta.action, delta.stale
    message.relevant, message.text = delta.relevant, delta.text
    message.objects = [observation_msg(o) for o in delta.objects]
    message.new_objects = [observation_msg(o) for o in delta.new]
    message.gone_objects = [observation_msg(o) for o in delta.gone]
    message.moved_objects = [observation_msg(o) for o in delta.moved]
    if delta.segments is not None:
        message.segments = image_msg(delta.segments, "mono16", head)
    return message


def delta_from_msg(message: DeltaMsg) -> SemanticDelta:
    """A semantic delta's record.

    Raises:
        BadMessage: its segments cannot be read.
    """
    return SemanticDelta(
        keyframe_id=message.keyframe_id,
        previous_id=message.previous_id,
        stamp=stamp_ns(message.header.stamp),
        source=message.source,
        action=message.action,
        objects=tuple(observation_from_msg(o) for o in message.objects),
        new=tuple(observation_from_msg(o) for o in message.new_objects),
        gone=tuple(observation_from_msg(o) for o in message.gone_objects),
        moved=tuple(observation_from_msg(o) for o in message.moved_objects),
        relevant=message.relevant,
        text=message.text,
        stale=message.stale,
        segments=image_array(message.segments) if message.segments.data else None,
    )


# --- memory ---


def object_msg(o: MemoryObject) -> ObjectMsg:
    """One remembered object."""
    return ObjectMsg(
        id=o.id,
        label=o.label,
        color=o.color,
        position=point_msg(o.position),
        extent=vector_msg(o.extent),
        confidence=float(o.confidence),
        voxels=o.voxels,
        first_seen=time_msg(o.first_seen),
        last_seen=time_msg(o.last_seen),
        keyframe_id=max(0, o.keyframe_id),
        status=o.status,
        confirmed=o.confirmed,
        missed=o.missed,
        moves=o.moves,
        labels=[label for label, _ in o.label_distribution],
        label_shares=[share for _, share in o.label_distribution],
    )


def object_from_msg(m: ObjectMsg) -> MemoryObject:
    """One remembered object's record. Its confidence is a float32 in the message, so it is rounded to millionths.

    Raises:
        BadMessage: ``objects`` where the numbers of labels and shares differ.
    """
    if len(m.labels) != len(m.label_shares):
        raise BadMessage("objects", f"object {m.id} has {len(m.labels)} labels and {len(m.label_shares)} shares")
    return MemoryObject(
        m.id,
        m.label,
        m.color,
        xyz(m.position),
        xyz(m.extent),
        round(m.confidence, 6),
        m.voxels,
        stamp_ns(m.first_seen),
        stamp_ns(m.last_seen),
        m.keyframe_id,
        m.status,
        tuple((label, round(share, 6)) for label, share in zip(m.labels, m.label_shares, strict=True)),
        m.confirmed,
        m.missed,
        m.moves,
    )


def objects_msg(objects: tuple[MemoryObject, ...], head: Header, map_id: str = "") -> ObjectArray:
    """All remembered objects, in coordinates of a map."""
    return ObjectArray(header=head, map_id=map_id, objects=[object_msg(o) for o in objects])


def objects_from_msg(message: ObjectArray) -> tuple[MemoryObject, ...]:
    """All remembered objects' records.

    Raises:
        BadMessage: ``objects`` where one is not valid.
    """
    return tuple(object_from_msg(m) for m in message.objects)


def grid_msg(grid: OccupancyGrid, ns: int, map_frame: str) -> OccupancyGridMsg:
    """An occupancy grid stamped ``ns``."""
    message = OccupancyGridMsg(header=header(ns, map_frame))
    message.info.map_load_time = message.header.stamp
    message.info.resolution = float(grid.resolution)
    message.info.height, message.info.width = grid.data.shape
    message.info.origin.position.x, message.info.origin.position.y = (float(v) for v in grid.origin)
    message.info.origin.orientation.w = 1.0
    message.data = array.array("b", np.ascontiguousarray(grid.data, dtype=np.int8).tobytes())
    return message


def grid_from_msg(message: OccupancyGridMsg) -> OccupancyGrid:
    """An occupancy grid's record. Its resolution is a float32 in the message, so it is rounded to micrometres.

    Raises:
        BadMessage: ``grid`` where the number of cells does not match the size, or resolution or origin are not valid.
    """
    info = message.info
    place = (info.resolution, info.origin.position.x, info.origin.position.y)
    if len(message.data) != info.height * info.width:
        raise BadMessage("grid", f"{len(message.data)} cells are no {info.width}x{info.height} grid")
    if not (all(math.isfinite(v) for v in place) and info.resolution > 0.0):
        raise BadMessage("grid", f"cells of {place[0]} m from ({place[1]}, {place[2]}) are no grid")
    data = np.frombuffer(message.data, np.int8).reshape(info.height, info.width)
    origin = (info.origin.position.x, info.origin.position.y)
    return OccupancyGrid(data, round(float(info.resolution), 6), origin, stamp_ns(message.header.stamp))


_CLOUD_FIELDS = [
    PointField(name=name, offset=4 * i, datatype=kind, count=1)
    for i, (name, kind) in enumerate(
        [
            ("x", PointField.FLOAT32),
            ("y", PointField.FLOAT32),
            ("z", PointField.FLOAT32),
            ("rgb", PointField.FLOAT32),  # RViz and PCL want packed 0x00rrggbb under a float's name
            ("label", PointField.INT32),
            ("weight", PointField.FLOAT32),
        ]
    )
]


def cloud_msg(
    positions: np.ndarray, colors: np.ndarray, labels: np.ndarray, weights: np.ndarray, head: Header
) -> PointCloud2:
    """Voxels as points.

    Args:
        positions: Nx3 float32, m. colors: Nx3 uint8. labels: N int32. weights: N float32.
    """
    from ...memory.voxels.packing import POINT, pack_points  # here, so that nodes without memory do not import it

    n, size = len(positions), POINT.itemsize
    points = pack_points(positions, colors, labels, weights)
    message = PointCloud2(header=head, height=1, width=n, fields=_CLOUD_FIELDS, point_step=size, row_step=size * n)
    message.is_dense = True
    message.data = array.array("B")
    message.data.frombytes(points.view(np.uint8))
    return message


def cloud_arrays(message: PointCloud2) -> np.ndarray:
    """N points with the fields x, y, z, rgb, label and weight of a message that :func:`cloud_msg` made."""
    from ...memory.voxels.packing import POINT

    return np.frombuffer(message.data, POINT, message.width * message.height)


# --- decisions, plans, commands ---


def option_msg(o: Option) -> OptionMsg:
    """One option."""
    message = OptionMsg(letter=o.letter, kind=o.kind, text=o.text, object_id=o.object_id, size=float(o.size))
    message.distance, message.direction = float(o.distance), float(o.direction)
    if o.position is not None:
        message.has_position = True
        message.position = Point(x=float(o.position[0]), y=float(o.position[1]))
    return message


def option_from_msg(m: OptionMsg) -> Option:
    """One option's record."""
    position = (m.position.x, m.position.y) if m.has_position else None
    return Option(m.letter, m.kind, position, m.distance, m.direction, m.text, m.object_id, m.size)


def decision_msg(decision: Decision, instruction: str, latency: float, map_frame: str) -> DecisionMsg:
    """A decision with its options; ``latency`` in seconds."""
    message = DecisionMsg(header=header(decision.stamp, map_frame), id=decision.id, instruction=instruction)
    message.options = [option_msg(o) for o in decision.options]
    message.chosen, message.think, message.answer = decision.chosen, decision.think, decision.answer
    message.reasoner, message.latency = decision.reasoner, float(latency)
    return message


def decision_from_msg(m: DecisionMsg) -> Decision:
    """A decision's record."""
    options = tuple(option_from_msg(o) for o in m.options)
    return Decision(m.id, stamp_ns(m.header.stamp), options, m.chosen, m.think, m.answer, m.reasoner)


def path_msg(path: np.ndarray, ns: int, map_frame: str) -> Path:
    """A path from Nx2 positions (m); each pose looks along it."""
    path = np.asarray(path, dtype=np.float64).reshape(-1, 2)
    head = header(ns, map_frame)
    message = Path(header=head)
    for i, (x, y) in enumerate(path):
        dx, dy = path[min(i + 1, len(path) - 1)] - path[max(min(i, len(path) - 2), 0)]
        half = 0.5 * math.atan2(dy, dx)
        pose = Pose(position=Point(x=x, y=y), orientation=Quaternion(z=math.sin(half), w=math.cos(half)))
        message.poses.append(PoseStamped(header=head, pose=pose))
    return message


def path_array(message: Path) -> np.ndarray:
    """Nx2 float64 positions of a path."""
    return np.array([(p.pose.position.x, p.pose.position.y) for p in message.poses]).reshape(-1, 2)


def cells_msg(points: np.ndarray, size: float, head: Header) -> GridCells:
    """Places (Nx2, m) as cells with an edge of ``size`` (m)."""
    cells = [Point(x=float(x), y=float(y)) for x, y in points]
    return GridCells(header=head, cell_width=float(size), cell_height=float(size), cells=cells)


def cells_array(message: GridCells) -> np.ndarray:
    """Nx2 float64 places of cells.

    Raises:
        BadMessage: ``cells`` where one is not finite.
    """
    places = np.array([(p.x, p.y) for p in message.cells]).reshape(-1, 2)
    if not np.isfinite(places).all():
        raise BadMessage("cells", "a cell's place is not finite")
    return places


def twist_msg(velocity: Velocity) -> Twist:
    """A velocity command."""
    return Twist(linear=Vector3(x=float(velocity.linear)), angular=Vector3(z=float(velocity.angular)))


def velocity_from_twist(twist: Twist) -> Velocity:
    """The velocity of a command.

    Raises:
        BadMessage: ``velocity`` where any of its six numbers is not finite.
    """
    parts = (twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.x, twist.angular.y, twist.angular.z)
    if not all(math.isfinite(part) for part in parts):
        raise BadMessage("velocity", f"commanded velocity {tuple(round(part, 3) for part in parts)} is not finite")
    return Velocity(float(twist.linear.x), float(twist.angular.z))


def is_beyond_plane(twist: Twist) -> bool:
    """Whether a command asks for motion that a differential base cannot do: sideways, up, roll or pitch."""
    return any(abs(v) > 1e-6 for v in (twist.linear.y, twist.linear.z, twist.angular.x, twist.angular.y))


def scan_beams(scan: LaserScan) -> tuple[np.ndarray, np.ndarray]:
    """Ranges (N float64, m) and angles (N, rad) of a laser scan; inf where nothing is near, NaN where nothing is known.

    REP-117: +inf is no return within range_max, NaN and out-of-range values are no measurement.
    """
    ranges = np.asarray(scan.ranges, dtype=np.float64)
    angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
    valid = np.isfinite(ranges) & (ranges >= max(scan.range_min, 0.0)) & (ranges <= scan.range_max)
    return np.where(valid | np.isposinf(ranges), ranges, np.nan), angles
