"""Reads rosbag2 recordings (sqlite3, mcap) without ROS. Knows nothing of what the frames are for.

Colour and depth are Image or CompressedImage, raw or as image_transport compresses them; poses are the bag's TF,
map -> optical frame; wheel odometry is odom -> optical frame by TF or by an Odometry topic.
"""

from __future__ import annotations

import struct
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera, matrix_from_quaternion
from ..geometry.registration import Registration
from .compressed import SETTINGS, decode_color, decode_depth
from .frame import Calibration, RecordedFrame
from .images import header_of
from .motion import FrameTree, Track
from .pairs import pair
from .topics import IMAGE, INFO, ODOMETRY, RAW, TF, Topics, choose

#: Transforms farther apart (ns) say nothing of what lies between: what tf2 keeps.
_LONGEST_GAP = 10_000_000_000
#: Frames that stand for "map" in TF, the first that is there.
_MAP_FRAMES = ("map", "world")
_ENCODINGS = {"color": ("rgb8", "bgr8"), "depth": ("16UC1", "mono16", "32FC1")}


@dataclass(frozen=True)
class _Entry:
    """An image of the bag: header stamp and time of writing (ns), size, frame, encoding or format."""

    stamp: int
    logged: int
    size: tuple[int, int]
    frame: str
    encoding: str


class Rosbag2:
    """A rosbag2 folder, or one of its files. ``read`` may be called from several threads at once.

    A frame is a colour and a depth image at most 0.02 s apart, stamped as depth is. Where the bag tells poses (or
    odometry) of most frames, those without are left out.

    Attributes:
        stamps: ns. poses, odometry: 4x4 each, of the colour camera, or None where the bag has none. camera: of the
            colour images. depth_camera: None where depth lies on colour's pixels. T_color_depth: 4x4. skipped: depth
            images that are no frame. topics: which were read.

    Raises:
        InputError: no bag, no rosbags library, topics missing or not clear, images that differ in size or cannot be
            read, cameras whose calibration nothing tells.
    """

    def __init__(
        self,
        folder: str | Path,
        max_frames: int | None = None,
        calibration: Calibration | None = None,
        topics: Topics | None = None,
    ) -> None:
        self.folder, calibration = Path(folder), calibration or Calibration()
        self._lock = threading.Lock()
        self._reader, self._types = _opened(self.folder)
        self._connections = {c.topic: c for c in self._reader.connections}
        kinds = {topic: c.msgtype for topic, c in self._connections.items()}
        self.topics = choose(kinds, topics or Topics(), str(folder))
        try:
            images, messages = self._scan(kinds)
        except InputError:
            raise
        except Exception as error:  # whatever a broken file brings the library to
            text = (
                f"cannot be read to its end ({_first_line(error)}); was the recording interrupted? try ros2 bag reindex"
            )
            raise InputError(f"{folder}: {text}") from None
        color, depth = images[self.topics.color], images[self.topics.depth]
        self._check(color, depth)
        self._set_frames(color, depth, _tree(messages), _wheels(messages), max_frames)
        self._set_cameras(messages, calibration)

    def __len__(self) -> int:
        return len(self.stamps)

    def read(self, index: int) -> RecordedFrame:
        """Decodes one frame.

        Raises:
            InputError: an image that cannot be decoded.
        """
        color, depth = self._pairs[index]
        poses = (None if given is None else given[index] for given in (self.poses, self.odometry))
        return RecordedFrame(
            self.stamps[index], self._pixels(self.topics.color, color), self._pixels(self.topics.depth, depth), *poses
        )

    # -- once, at the start --------------------------------------------------------------------------------------------

    def _scan(self, kinds: dict[str, str]) -> tuple[dict[str, list[_Entry]], dict[str, list[tuple[str, object]]]]:
        """Every image's header by topic; camera infos, transforms and odometry by type, as (topic, message)."""
        wanted = {self.topics.color, self.topics.depth, self.topics.info, self.topics.depth_info}
        wanted |= {topic for topic, kind in kinds.items() if kind in (TF, ODOMETRY)}
        images, messages, infos = defaultdict(list), defaultdict(list), set()
        connections = [self._connections[topic] for topic in sorted(wanted - {""})]
        for connection, logged, data in self._reader.messages(connections=connections):
            topic, kind = connection.topic, connection.msgtype
            if kind in IMAGE:
                images[topic].append(self._entry(topic, kind, logged, data))
            elif kind != INFO or topic not in infos:  # a camera's info is the same all the time
                infos.add(topic)
                messages[kind].append((topic, self._types.deserialize_cdr(data, kind)))
        for topic in (self.topics.color, self.topics.depth):
            if not images[topic]:
                raise InputError(f"{self.folder}: {topic} holds no image")
        return images, messages

    def _entry(self, topic: str, kind: str, logged: int, data: bytes) -> _Entry:
        """An image's header, read without its pixels."""
        order = "<" if data[1] else ">"
        seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
        frame, at = _string(data, 12, order)
        stamp = seconds * 1_000_000_000 + nanoseconds
        where = f"{self.folder}: {topic} at {stamp * 1e-9:.3f} s"
        if kind == RAW:
            at += -at % 4
            height, width = struct.unpack_from(order + "II", data, at)
            encoding, at = _string(data, at + 8, order)
            at += 1 + (-(at + 1) % 4)
            step, length = struct.unpack_from(order + "II", data, at)
            if length < step * height or len(data) - at - 8 < length:
                raise InputError(f"{where}: {length} bytes are no {width}x{height} {encoding}")
            return _Entry(stamp, logged, (width, height), frame, encoding)
        encoding, at = _string(data, at, order)
        at += -at % 4
        skip = SETTINGS.size if topic == self.topics.depth else 0
        try:
            header = header_of(data[at + 4 + skip :])
        except ValueError as error:
            raise InputError(f"{where}: {error}; cut the bag around it") from None
        return _Entry(stamp, logged, header.size, frame, encoding)

    def _check(self, color: list[_Entry], depth: list[_Entry]) -> None:
        """Every image against the first: one that changes in the middle is found now, not after minutes."""
        for name, topic, entries in (("color", self.topics.color, color), ("depth", self.topics.depth, depth)):
            first = entries[0]
            for entry in entries:
                if (entry.size, entry.encoding) != (first.size, first.encoding):
                    found, was = (f"{e.size[0]}x{e.size[1]} {e.encoding}" for e in (entry, first))
                    raise InputError(f"{self.folder}: {topic} at {entry.stamp * 1e-9:.3f} s: {found} after {was}")
            if self._kind(topic) == RAW and first.encoding not in _ENCODINGS[name]:
                known = " or ".join(_ENCODINGS[name])
                raise InputError(f"{self.folder}: {topic} is '{first.encoding}', {name} is read from {known}")

    def _set_frames(
        self,
        color: list[_Entry],
        depth: list[_Entry],
        tree: FrameTree,
        wheels: tuple[str, Track] | None,
        max_frames: int | None,
    ) -> None:
        self._tree, count = tree, len(depth)
        depth = list({entry.stamp: entry for entry in depth}.values())
        pairs = [(color[i], depth[j]) for i, j in pair([e.stamp for e in color], [e.stamp for e in depth])]
        if not pairs:
            raise InputError(f"{self.folder}: no image of {self.topics.color} is within 0.02 s of {self.topics.depth}")
        frame = color[0].frame
        world = next((name for name in _MAP_FRAMES if tree.has(name)), None)
        stamps = [d.stamp for _, d in pairs]
        tracks = [
            _most([tree.at(world, frame, stamp) for stamp in stamps] if world else []),
            _most([tree.at("odom", frame, stamp) for stamp in stamps]),
        ]
        if tracks[1] is None and wheels is not None:
            tracks[1] = _most([_through(wheels, tree, frame, stamp) for stamp in stamps])
        given = [track for track in tracks if track is not None]
        kept = [n for n in range(len(pairs)) if all(track[n] is not None for track in given)][:max_frames]
        if not kept:
            raise InputError(f"{self.folder}: TF tells no image's pose in both map and odom")
        self.skipped = count - len(kept) if max_frames is None else 0
        self._pairs = [pairs[n] for n in kept]
        self.stamps = [d.stamp for _, d in self._pairs]
        self.poses, self.odometry = (None if track is None else [track[n] for n in kept] for track in tracks)

    def _set_cameras(self, messages: dict[str, list[tuple[str, object]]], calibration: Calibration) -> None:
        infos = dict(messages[INFO])
        color, depth = self._pairs[0]
        info, own = infos.get(self.topics.info), infos.get(self.topics.depth_info)
        if own is not None and _differ(own.header.frame_id, depth.frame):
            own = None  # a driver that aligns depth goes on telling about the raw depth's camera
        if calibration.color:
            self.camera = Camera(*color.size, *calibration.color)
        elif info is None:
            what = self.topics.info or "no CameraInfo"
            raise InputError(f"{self.folder}: {what} tells nothing of the colour camera; give --calibration")
        else:
            self.camera = _camera(info, color.size)
        own_camera = None if own is None else _camera(own, depth.size)
        self.depth_camera, self.T_color_depth = None, calibration.T_color_depth
        if not calibration.registered:
            camera = own_camera or self.camera.resized(*depth.size)
            self.depth_camera = Camera(*depth.size, *calibration.depth) if calibration.depth else camera
            return
        same_frame = not _differ(color.frame, depth.frame)
        if Registration().needed(self.camera, own_camera, depth.size[::-1], same_frame):
            T = np.eye(4) if same_frame else self._tree.at(color.frame, depth.frame, depth.stamp)
            if own_camera is None or T is None:
                lacks = f"TF from {color.frame} to {depth.frame}" if own_camera else "the depth camera's CameraInfo"
                text = f"depth is not registered to colour, and the bag lacks {lacks}; give --calibration FILE"
                raise InputError(f"{self.folder}: {text}")
            self.depth_camera, self.T_color_depth = own_camera, T

    # -- images --------------------------------------------------------------------------------------------------------

    def _kind(self, topic: str) -> str:
        return self._connections[topic].msgtype

    def _pixels(self, topic: str, entry: _Entry) -> np.ndarray:
        message = self._types.deserialize_cdr(self._fetch(topic, entry), self._kind(topic))
        depth = topic == self.topics.depth
        try:
            if self._kind(topic) == RAW:
                pixels = _raw_pixels(message)
            else:
                pixels = (decode_depth if depth else decode_color)(message.data.tobytes(), message.format)
        except ValueError as error:
            raise InputError(f"{self.folder}: {topic} at {entry.stamp * 1e-9:.3f} s: {error}") from None
        return _marked_invalid(pixels) if depth else pixels

    def _fetch(self, topic: str, entry: _Entry) -> bytes:
        """The message's bytes, found by the time of its writing."""
        with self._lock:
            connections = [self._connections[topic]]
            found = self._reader.messages(connections=connections, start=entry.logged, stop=entry.logged + 1)
            for _, _, data in found:
                seconds, nanoseconds = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
                if seconds * 1_000_000_000 + nanoseconds == entry.stamp:
                    return data
        raise InputError(f"{self.folder}: {topic} at {entry.stamp * 1e-9:.3f} s cannot be found again; did it change?")


def _opened(folder: Path) -> tuple:
    """The library's reader, open, and its types."""
    try:
        from rosbags.rosbag2 import Reader
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError:
        raise InputError("reading bags needs the library rosbags: pip install 'embodied_nav[bags]'") from None
    try:
        files = [*folder.glob("*.mcap"), *folder.glob("*.db3")]  # without metadata.yaml: a recorder that was killed
        alone = len(files) == 1 and not (folder / "metadata.yaml").exists()
        reader = Reader(files[0] if alone else folder)
        reader.open()
    except Exception as error:  # a broken file brings the library and its storages to all kinds of errors
        raise InputError(f"{folder}: cannot be read as a rosbag2 recording ({_first_line(error)})") from None
    return reader, get_typestore(Stores.ROS2_JAZZY)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _string(data: bytes, at: int, order: str) -> tuple[str, int]:
    """A CDR string and where it ends; ``at`` is aligned to the 4 bytes behind the encapsulation's 4."""
    at += -at % 4
    (length,) = struct.unpack_from(order + "I", data, at)
    return data[at + 4 : at + 3 + length].decode("utf-8", "replace"), at + 4 + length


def _tree(messages: dict[str, list[tuple[str, object]]]) -> FrameTree:
    """TF of the whole bag; Odometry where TF does not tell of its frames."""
    moving, tree = defaultdict(list), FrameTree()
    for topic, message in messages[TF]:
        for t in message.transforms:
            edge = (t.header.frame_id, t.child_frame_id)
            if topic.endswith("tf_static"):
                pose = _pose(t.transform.translation, t.transform.rotation)
                try:
                    tree.add(*edge, matrix_from_quaternion(pose[3:], pose[:3]))
                except ValueError:
                    raise InputError(f"{topic}: {edge[0]} -> {edge[1]} is no transform") from None
            else:
                moving[edge].append((_ns(t.header.stamp), *_pose(t.transform.translation, t.transform.rotation)))
    known = {child for _, child in moving}
    for _, message in messages[ODOMETRY]:
        edge, pose = (message.header.frame_id, message.child_frame_id), message.pose.pose
        if all(edge) and edge[1] not in known and tree.parent(edge[1]) is None:
            moving[edge].append((_ns(message.header.stamp), *_pose(pose.position, pose.orientation)))
    for edge, found in moving.items():
        values = np.array([v[1:] for v in found])
        tree.add(*edge, Track([v[0] for v in found], values[:, :3], values[:, 3:], _LONGEST_GAP))
    return tree


def _wheels(messages: dict[str, list[tuple[str, object]]]) -> tuple[str, Track] | None:
    """What one Odometry topic says: the frame that moves, and how. Beside a TF of the truth, which has that frame hang
    on a map already, nothing else tells of the wheels."""
    topics = {topic for topic, message in messages[ODOMETRY] if message.child_frame_id}
    if not topics:
        return None
    chosen = min(topics, key=lambda topic: (not topic.endswith("/odom"), "wheel" not in topic, len(topic), topic))
    found = [message for topic, message in messages[ODOMETRY] if topic == chosen and message.child_frame_id]
    poses = np.array([_pose(m.pose.pose.position, m.pose.pose.orientation) for m in found])
    stamps = [_ns(m.header.stamp) for m in found]
    return found[0].child_frame_id, Track(stamps, poses[:, :3], poses[:, 3:], _LONGEST_GAP)


def _through(wheels: tuple[str, Track], tree: FrameTree, frame: str, stamp: int) -> np.ndarray | None:
    """Where odometry has a frame that hangs on the one it tells of."""
    moving, track = wheels
    T, T_moving_frame = track.at(stamp), tree.at(moving, frame, stamp)
    return None if T is None or T_moving_frame is None else T @ T_moving_frame


def _most(track: list[np.ndarray | None]) -> list[np.ndarray | None] | None:
    """The track, where it tells of most frames."""
    return track if sum(T is not None for T in track) > len(track) / 2 else None


def _pose(p, q) -> tuple[float, ...]:
    return (p.x, p.y, p.z, q.x, q.y, q.z, q.w)


def _ns(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def _camera(info, size: tuple[int, int]) -> Camera:
    """The camera of a CameraInfo: its projection matrix where it is set (rectified images), else K."""
    if (info.width, info.height) != size:
        raise InputError(f"CameraInfo is of {info.width}x{info.height}, the images are {size[0]}x{size[1]}")
    P = np.asarray(info.p).reshape(3, 4)
    return Camera.from_matrix(P[:, :3] if np.isfinite(P[0, 0]) and P[0, 0] > 0 else np.asarray(info.k), *size)


def _raw_pixels(message) -> np.ndarray:
    """HxWx3 RGB uint8, or HxW depth in the message's unit."""
    dtype, channels = {"32FC1": ("f4", 1), "16UC1": ("u2", 1), "mono16": ("u2", 1)}.get(message.encoding, ("u1", 3))
    kind = np.dtype((">" if message.is_bigendian else "<") + dtype)
    rows = np.asarray(message.data)[: message.step * message.height].reshape(message.height, message.step)
    rows = np.ascontiguousarray(rows[:, : message.width * channels * kind.itemsize])
    pixels = rows.view(kind).astype(kind.newbyteorder("="), copy=False)
    if channels == 1:
        return pixels
    pixels = pixels.reshape(message.height, message.width, 3)
    return np.ascontiguousarray(pixels[..., ::-1]) if message.encoding == "bgr8" else pixels


def _marked_invalid(depth: np.ndarray) -> np.ndarray:
    """What is no depth as 0 (mm) or NaN (m)."""
    if depth.dtype == np.uint16:
        return np.where(depth == 65535, np.uint16(0), depth)
    return np.where((depth > 0) & np.isfinite(depth), depth, np.float32(np.nan))


def _differ(a: str, b: str) -> bool:
    """Whether two frames are named and not the same."""
    return bool(a and b and a != b)
