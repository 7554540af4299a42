"""Reads rosbag2 recordings (sqlite3, mcap) and ROS 1 bags without ROS. Knows nothing of how the frames are used.

Colour and depth are Image or CompressedImage, raw or as image_transport compresses them; poses are the bag's TF,
map -> optical frame; wheel odometry is odom -> optical frame by TF or by an Odometry topic.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.lens import Lens
from ..geometry.registration import Registration
from .bag_cameras import BagCameras, Info
from .bag_files import Bag
from .bag_images import Entry, read_entry, read_pixels, told_apart
from .bag_poses import Motion
from .bag_times import timed
from .frame import Calibration, UnusableFrame
from .pairs import pair, why_apart
from .pixels import UnreadableError
from .sequence import Reading, Sequence
from .topics import IMAGE, INFO, ODOMETRY, RAW, TF, Topics, choose


class Rosbag2(Sequence):
    """A rosbag2 folder, one of its files, or a bag of ROS 1.

    A frame is a colour and a depth image at most ``sync_slop`` apart, stamped as depth is. If the bag has poses (or
    odometry) for most frames, those without are dropped.

    Attributes:
        topics: the topics that are read.

    Raises:
        InputError: no bag, no rosbags library, topics missing or ambiguous, images that differ in size or cannot be
            read, no calibration of a camera.
    """

    def __init__(
        self,
        folder: str | Path,
        max_frames: int | None = None,
        calibration: Calibration | None = None,
        topics: Topics | None = None,
        reading: Reading | None = None,
    ) -> None:
        super().__init__(folder, calibration, reading)
        self._lock = threading.Lock()
        self._bag = Bag(self.folder)
        self._types, self._kinds = self._bag.types, self._bag.kinds
        self.topics = choose(self._kinds, topics or Topics(), str(folder))
        images, messages = self._scan()
        self.notes += self._bag.notes
        infos = [info for _, _, info in messages[INFO]]
        cameras = BagCameras(str(folder), self.topics, infos, self.calibration)
        color, depth = self._usable(images, cameras)
        self._motion = Motion(messages[TF], messages[ODOMETRY])
        self._set_frames(color, depth, max_frames)
        self.notes += self._motion.notes
        self._set_cameras(cameras, self.calibration)

    @property
    def why_no_poses(self) -> str:
        """Why the bag has no poses in a map: where the chain of TF's frames breaks."""
        return "tells no poses in a map: " + self._motion.why_none(self._pairs[0][0].frame, self.reading.map_frame)

    def _images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        color, depth = self._pairs[index]
        return self._pixels(self.topics.color, color), self._pixels(self.topics.depth, depth)

    # -- once, at the start --------------------------------------------------------------------------------------------

    def _scan(self) -> tuple[dict[str, list[Entry]], dict[str, list[tuple[str, int, Any]]]]:
        """Every image's header by topic; infos, transforms and odometry by type, as (topic, received, message)."""
        wanted = {self.topics.color, self.topics.depth, self.topics.info, self.topics.depth_info}
        wanted |= {topic for topic, kind in self._kinds.items() if kind in (TF, ODOMETRY)}
        images: dict[str, list[Entry]] = defaultdict(list)
        messages: dict[str, list[tuple[str, int, Any]]] = defaultdict(list)
        infos: dict[str, Lens] = {}
        unread: Counter[str] = Counter()
        for topic, logged, data in self._bag.messages(wanted - {""}):
            kind = self._kinds[topic]
            if kind in IMAGE:
                images[topic].append(read_entry(data, kind, topic == self.topics.depth, logged))
                continue
            try:
                message: Any = self._types.deserialize_cdr(data, kind)
            except Exception:  # a truncated message can make the library raise anything
                unread[topic] += 1
                continue
            if kind == INFO:  # most repeat the last one
                lens, last = Lens.of(message), infos.get(topic)
                if lens == last:
                    continue
                infos[topic] = lens
                message = Info(topic, logged, message.header.frame_id, lens)
            messages[kind].append((topic, logged, message))
        self.notes += [f"{topic}: {n} messages are damaged: left out" for topic, n in unread.items()]
        for topic in (self.topics.color, self.topics.depth):
            if not images[topic]:
                raise InputError(f"{self.folder}: {topic} holds no image")
        return images, messages

    def _usable(self, images: dict[str, list[Entry]], cameras: BagCameras) -> tuple[list[Entry], list[Entry]]:
        """The usable colour and depth images; bad ones anywhere in the bag are found here, before reading."""
        good, bad = {}, {}
        for topic in (self.topics.color, self.topics.depth):
            raw, depth = self._kind(topic) == RAW, topic == self.topics.depth
            good[topic], bad[topic] = told_apart(images[topic], raw, depth, f"{self.folder}: {topic}")
        color, changed = cameras.fitting(good[self.topics.color])
        bad[self.topics.color] += changed
        faults = [(e.logged, f"{topic} at {e.stamp * 1e-9:.3f} s: {e.fault}") for topic in bad for e in bad[topic]]
        for _, cause in sorted(faults):
            self.losses.damaged("damaged images", cause)
        self._damaged_colors = len(bad[self.topics.color])
        self.losses.check(max(map(len, images.values())))
        return color, good[self.topics.depth]

    def _set_frames(self, color: list[Entry], depth: list[Entry], max_frames: int | None) -> None:
        frame, slop = color[0].frame, self.reading.slop_ns
        color = timed(self.topics.color, color, None, self.notes)
        depth = timed(self.topics.depth, depth, self.losses if max_frames is None else None, self.notes)
        seen, measured = ([entry.stamp for entry in entries] for entries in (color, depth))
        pairs = [(color[i], depth[j]) for i, j in pair(seen, measured, slop)]
        if 2 * len(pairs) < min(len(color), len(depth)):
            why = why_apart(seen, measured, slop)
            if not pairs:
                names = f"{self.topics.color} and {self.topics.depth}"
                raise InputError(f"{self.folder}: no image of {names} goes with one of the other: {why}")
            self.notes.append(f"{len(pairs)} of {len(depth)} depth images go with a colour image: {why}")
        stamps = [d.stamp for _, d in pairs]
        tracks = self._motion.tracks(frame, stamps, self.reading.map_frame, self.reading.odom_frame)
        kept = _told_by_all(tracks)
        if tracks[0] is not None and not kept:
            kept, tracks[1] = _told_by_all(tracks[:1]), None  # odometry covers none of the frames with a map pose
        kept = kept if any(tracks) else list(range(len(pairs)))
        self._count(len(depth) - len(pairs), frame, stamps, kept, max_frames)
        kept = kept[:max_frames]
        self._pairs = [pairs[n] for n in kept]
        self.stamps = [d.stamp for _, d in self._pairs]
        self.poses, self.odometry = (None if track is None else [track[n] for n in kept] for track in tracks)

    def _count(self, alone: int, frame: str, stamps: list[int], kept: list[int], max_frames: int | None) -> None:
        """Counts dropped frames; raises if there are too many."""
        missing = sorted(set(range(len(stamps))) - set(kept))
        broken = [stamps[n] for n in missing if self._motion.broken_at(frame, stamps[n])]
        for stamp in broken:
            text = f"TF at {stamp * 1e-9:.3f} s is no transform (not finite, or a quaternion of zeros)"
            self.losses.damaged("lost poses", text)
        self.losses.check(len(stamps))
        if max_frames is None:
            self.losses.add("depth images without colour", alone - self._damaged_colors)
            self.losses.add("without a pose", len(missing) - len(broken))

    def _set_cameras(self, cameras: BagCameras, calibration: Calibration) -> None:
        color, depth = self._pairs[0]
        view = cameras.color(color)
        depth_view, own = cameras.depth(depth, view)
        self.camera, self._views = view.camera, (view, depth_view)
        self.depth_camera, self.T_color_depth = None, calibration.T_color_depth
        if not calibration.registered:
            self.depth_camera = depth_view.camera
            return
        same_frame = not _differ(color.frame, depth.frame)
        own_camera = depth_view.camera if own else None
        if Registration().needed(self.camera, own_camera, depth.size[::-1], same_frame):
            T = np.eye(4) if same_frame else self._motion.tree.at(color.frame, depth.frame, depth.stamp)
            if own_camera is None or T is None:
                lacks = f"TF from {color.frame} to {depth.frame}" if own_camera else "the depth camera's CameraInfo"
                text = f"depth is not registered to colour, and the bag lacks {lacks}; give --calibration FILE"
                raise InputError(f"{self.folder}: {text}")
            self.depth_camera, self.T_color_depth = own_camera, T

    # -- images --------------------------------------------------------------------------------------------------------

    def _kind(self, topic: str) -> str:
        return self._kinds[topic]

    def _pixels(self, topic: str, entry: Entry) -> np.ndarray:
        message = self._types.deserialize_cdr(self._fetch(topic, entry), self._kind(topic))
        depth = topic == self.topics.depth
        try:
            pixels = read_pixels(message, self._kind(topic) == RAW, depth)
        except UnreadableError as error:
            raise UnusableFrame(f"{self.folder}: {topic} at {entry.stamp * 1e-9:.3f} s: {error}") from None
        return self._views[1].depth(pixels) if depth else self._views[0].color(pixels)

    def _fetch(self, topic: str, entry: Entry) -> bytes:
        """The message's bytes, looked up by its recording time."""
        with self._lock:
            for _, _, data in self._bag.messages({topic}, entry.logged, entry.logged + 1):
                seconds, nanoseconds = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
                if seconds * 1_000_000_000 + nanoseconds == entry.header:
                    return data
        text = "cannot be found again; did the file change?"
        raise UnusableFrame(f"{self.folder}: {topic} at {entry.stamp * 1e-9:.3f} s {text}")


def _told_by_all(tracks: list[list[np.ndarray | None] | None]) -> list[int]:
    """Indices of the frames that have a pose in every existing track."""
    given = [track for track in tracks if track is not None]
    return [n for n in range(len(given[0]) if given else 0) if all(track[n] is not None for track in given)]


def _differ(a: str, b: str) -> bool:
    """Whether two frame names are both given and different."""
    return bool(a and b and a != b)
