"""Synchronises the camera's topics and decodes each set once for all nodes of a process. Knows no poses in map."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import message_filters
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from embodied_nav.msg import CameraPose

from ...config import Config, param
from ...errors import InputError
from ...geometry import Camera
from ...geometry.registration import Registration, RegistrationConfig
from ...geometry.warm_up import warm_up
from . import qos
from .conversions import BadMessage, stamp_ns
from .optics import INFO, Optics, TransportConfig
from .tf_lookup import CLOCK_BACK, Transforms

DEPTH_INFO = "camera/depth/camera_info"
POSE = "camera/pose"


@dataclass(frozen=True)
class CameraInputConfig(Config):
    """How the camera's topics become frames."""

    sync_slop: float = param(
        0.02, "colour, depth and camera info this near in time are one frame", unit="s", low=0.0, high=0.5
    )
    queue: int = param(5, "frames that wait for the worker at most; beyond it the oldest is dropped", low=1, high=100)
    given_poses: bool = param(False, "take poses from camera/pose, as a recording gives them, instead of TF")


class DepthInfo:
    """The depth camera's own camera info, if it is published: unaligned depth has other intrinsics than colour."""

    def __init__(self, node: Node) -> None:
        self._last: CameraInfo | None = None
        self._news = threading.Condition()
        self.subscription = node.create_subscription(CameraInfo, DEPTH_INFO, self._arrived, qos.sensor())

    def of(self, depth: Image | CompressedImage, timeout: float = 0.0) -> CameraInfo | None:
        """The camera info of a depth image, None without one; waits up to ``timeout`` seconds for the first.

        Camera info with another frame id does not count: drivers that align depth to colour keep publishing the raw
        depth camera's info on this topic.
        """
        with self._news:
            self._news.wait_for(lambda: self._fits(depth), timeout)
            return self._last if self._fits(depth) else None

    def _fits(self, depth: Image | CompressedImage) -> bool:
        return self._last is not None and not differ(self._last.header.frame_id, depth.header.frame_id)

    def _arrived(self, message: CameraInfo) -> None:
        with self._news:
            self._last = message
            self._news.notify_all()


class GivenPoses:
    """Poses received on camera/pose, by stamp."""

    def __init__(self, node: Node) -> None:
        self._poses: OrderedDict[int, np.ndarray] = OrderedDict()
        self._news = threading.Condition()
        self.subscription = node.create_subscription(CameraPose, POSE, self._arrived, qos.reliable(100))

    def at(self, stamp: int, timeout: float) -> np.ndarray:
        """4x4 float64, map from optical frame, at a stamp (ns); waits up to ``timeout`` seconds for it.

        Raises:
            BadMessage: ``no_pose``.
        """
        with self._news:
            if not self._news.wait_for(lambda: stamp in self._poses, timeout):
                raise BadMessage("no_pose", f"nothing on {POSE} at {stamp * 1e-9:.3f} s")
            return self._poses[stamp]

    def _arrived(self, message: CameraPose) -> None:
        with self._news:
            self._poses[stamp_ns(message.header.stamp)] = np.array(message.matrix).reshape(4, 4)
            while len(self._poses) > 200:
                self._poses.popitem(last=False)
            self._news.notify_all()


class ImageSet:
    """Colour, depth and camera info of one instant; results that several nodes need are cached.

    Attributes:
        arrived: steady time at which it was complete, s.
        stamp: ns, depth's.
    """

    def __init__(self, color: Image | CompressedImage, depth: Image | CompressedImage, info: CameraInfo) -> None:
        self.color, self.depth, self.info = color, depth, info
        self.arrived, self.stamp = time.monotonic(), stamp_ns(depth.header.stamp)
        self._lock = threading.Lock()
        self._results: dict[Hashable, _Result] = {}

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The result of ``compute``, or the BadMessage it raises, cached; concurrent callers wait for the first."""
        with self._lock:
            result = self._results.setdefault(key, _Result())
        with result.lock:
            if result.fault is None and not result.done:
                try:
                    result.value, result.done = compute(), True
                except BadMessage as fault:
                    result.fault = fault
            if result.fault is not None:
                raise BadMessage(result.fault.fault, str(result.fault))
            return result.value


class _Result:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.done, self.value, self.fault = False, None, None


class Reader(Protocol):
    """What a node implements to read a stream."""

    def note(self, topic: str, message: Image | CompressedImage | CameraInfo) -> None:
        """Called when a message arrives."""

    def refuse(self, text: str) -> None:
        """Called when a message with an impossible stamp arrives."""

    def clock_set_back(self) -> None:
        """Called when a topic's stamps go back."""

    def put(self, images: ImageSet) -> None:
        """Called with each complete set."""


class _Subscriber(message_filters.Subscriber):
    """Drops messages with negative stamps: message_filters would raise in the executor, which ends the node.

    Attributes:
        refuse: called with a description of the error.
    """

    def callback(self, message: Image | CompressedImage | CameraInfo) -> None:
        """Passes a message on."""
        if message.header.stamp.sec < 0:
            self.refuse(f"its stamp is {message.header.stamp.sec} s")
        else:
            super().callback(message)


class CameraStream:
    """Subscribes to the camera, pairs its messages, and decodes them for its readers.

    Args:
        host: node that subscribes, from the first reader's arrival until the last one has left.
        transport, registration: settings of image transport and of depth-to-colour registration.
        lockstep: no image may be lost (reliable QoS).

    Attributes:
        counts: counts changes of calibration.
        given: poses received with the images, or None.
    """

    def __init__(
        self,
        host: Node,
        config: CameraInputConfig,
        transport: TransportConfig,
        registration: RegistrationConfig,
        lockstep: bool,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.given: GivenPoses | None = None
        self._host, self._config, self._transport, self._lockstep = host, config, transport, lockstep
        self._registration = Registration(registration)
        self._optics = Optics(host, transport, self._registration, self.counts)
        self._readers: tuple[Reader, ...] = ()
        self._subscribers: list[_Subscriber] = []
        self._newest: dict[str, int] = {}
        self._lock = threading.Lock()
        warm_up()  # registration's kernels: unaligned depth may arrive at any time

    def attach(self, reader: Reader) -> None:
        """Adds a reader."""
        with self._lock:
            self._readers += (reader,)

    def open(self) -> None:
        """Subscribes, if there is a reader and no subscription yet."""
        with self._lock:
            if self._subscribers or not self._readers:
                return
            self._depth_info = DepthInfo(self._host)
            self.given = GivenPoses(self._host) if self._config.given_poses else None
            topics = (self._transport.color, self._transport.depth, (CameraInfo, INFO))
            self._subscribers = [self._subscribe(kind, topic) for kind, topic in topics]
            slop = self._config.sync_slop
            self._synchronizer = message_filters.ApproximateTimeSynchronizer(self._subscribers, 10, slop)
            self._synchronizer.registerCallback(self._complete)

    def detach(self, reader: Reader) -> None:
        """Removes a reader; unsubscribes after the last one."""
        with self._lock:
            self._readers = tuple(r for r in self._readers if r is not reader)
            if self._readers or not self._subscribers:
                return
            others = [self._depth_info, *([self.given] if self.given else [])]
            for subscription in [s.sub for s in self._subscribers] + [o.subscription for o in others]:
                self._host.destroy_subscription(subscription)
            self._subscribers = []

    def decoded(
        self, images: ImageSet, robot_frame: str, transforms: Transforms, timeout: float
    ) -> tuple[np.ndarray, np.ndarray, Camera, str]:
        """HxWx3 uint8 RGB, HxW float32 metres (NaN invalid), their camera and its frame.

        Args:
            robot_frame: the camera's frame if depth names none. transforms, timeout (s): TF between the two cameras.

        Raises:
            BadMessage: they cannot be read or do not match.
        """
        return images.once("decoded", lambda: self._decode(images, robot_frame, transforms, timeout))

    def _decode(self, images: ImageSet, robot_frame: str, transforms: Transforms, timeout: float) -> tuple:
        color, depth, info = images.color, images.depth, images.info
        frame_id = depth.header.frame_id or robot_frame
        same_frame = not differ(color.header.frame_id, depth.header.frame_id)
        # Depth from a separate camera is unusable without that camera's info, which may arrive late: wait for it.
        expected = not same_frame and self._registration.needs_info
        own_info = self._depth_info.of(depth, timeout if expected else 0.0)
        pixels, camera, told = self._optics.color(color, info)
        metres, depth_camera, own = self._optics.depth(depth, info, own_info)
        own_camera = depth_camera if own else None
        if self._registration.needed(told, own_camera, metres.shape, same_frame):
            color_frame = color.header.frame_id or frame_id
            between = None
            if not same_frame and self._registration.T_color_depth is None:  # from TF unless the settings say
                between = transforms.at(color_frame, frame_id, images.stamp, timeout)
            metres = self._register(metres, camera, own_camera, told, between)
            frame_id = color_frame
        return pixels, metres, camera, frame_id

    def _register(
        self, depth: np.ndarray, camera: Camera, own: Camera | None, info: Camera, T_color_depth: np.ndarray | None
    ) -> np.ndarray:
        """Depth registered to the colour image."""
        if own is None and not self._registration.calibrated:
            raise BadMessage("no_depth_info", f"depth is not colour's, and nothing came on {DEPTH_INFO}")
        own = own or info
        try:
            return self._registration.apply(depth, camera, own, T_color_depth)
        except InputError as error:
            raise BadMessage("size_mismatch", str(error)) from None

    def _subscribe(self, kind: type, topic: str) -> _Subscriber:
        subscriber = _Subscriber(self._host, kind, topic, qos_profile=qos.camera(self._lockstep))
        subscriber.refuse = lambda text: [reader.refuse(f"{topic}: {text}") for reader in self._readers]
        subscriber.registerCallback(lambda message: self._note(topic, message))
        return subscriber

    def _note(self, topic: str, message: Image | CompressedImage | CameraInfo) -> None:
        """Watches an input. When the clock was set back, clears the synchroniser: old messages would wait for ever."""
        stamp, newest = stamp_ns(message.header.stamp), self._newest.get(topic, 0)
        self._newest[topic] = stamp
        for reader in self._readers:
            reader.note(topic, message)
        if stamp < newest - CLOCK_BACK:
            for reader in self._readers:
                reader.clock_set_back()
            with self._synchronizer.lock:
                for queue in self._synchronizer.queues:
                    queue.clear()

    def _complete(self, color: Image | CompressedImage, depth: Image | CompressedImage, info: CameraInfo) -> None:
        images = ImageSet(color, depth, info)
        for reader in self._readers:
            reader.put(images)


def differ(a: str, b: str) -> bool:
    """Whether both frames are named and differ."""
    return bool(a and b and a != b)
