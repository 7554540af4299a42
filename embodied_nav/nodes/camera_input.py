"""Colour, depth and camera info of one instant with the camera's pose, as RGBDFrame. Knows nothing of their use."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import message_filters
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from embodied_nav.msg import CameraPose

from ..config import Config, param
from ..errors import InputError
from ..frame_checks import FrameCheckConfig, FrameChecker
from ..frames import RGBDFrame
from ..geometry import Camera
from ..geometry.registration import Registration, RegistrationConfig
from . import params, qos
from .compressed import color_from_compressed, depth_from_compressed
from .conversions import BadMessage, camera_from_msg, color_array, depth_array, stamp_ns
from .lifecycle import AgentNode
from .transforms import Transforms
from .worker import Worker

COLOR, DEPTH, INFO = "camera/color/image_raw", "camera/depth/image_raw", "camera/color/camera_info"
DEPTH_INFO = "camera/depth/camera_info"
POSE = "camera/pose"


@dataclass(frozen=True)
class TransportConfig(Config):
    """How the camera's images come, by the names of image_transport."""

    color_transport: str = param(
        "raw", f"{COLOR}, or compressed (JPEG, PNG): {COLOR}/compressed", choices=("raw", "compressed")
    )
    depth_transport: str = param(
        "raw", f"{DEPTH}, or compressedDepth (PNG): {DEPTH}/compressedDepth", choices=("raw", "compressedDepth")
    )

    @property
    def color(self) -> tuple[type, str]:
        """Message class and topic of the colour image."""
        return (Image, COLOR) if self.color_transport == "raw" else (CompressedImage, f"{COLOR}/{self.color_transport}")

    @property
    def depth(self) -> tuple[type, str]:
        """Message class and topic of the depth image."""
        return (Image, DEPTH) if self.depth_transport == "raw" else (CompressedImage, f"{DEPTH}/{self.depth_transport}")


@dataclass(frozen=True)
class CameraInputConfig(Config):
    """How the camera's topics become frames."""

    sync_slop: float = param(
        0.02, "colour, depth and camera info this near in time are one frame", unit="s", low=0.0, high=0.5
    )
    queue: int = param(5, "frames that wait for the worker at most; beyond it the oldest is dropped", low=1, high=100)
    given_poses: bool = param(False, "take poses from camera/pose, as a recording gives them, instead of TF")


def color_pixels(message: Image | CompressedImage) -> np.ndarray:
    """HxWx3 uint8 RGB, whatever the transport.

    Raises:
        BadMessage: it cannot be read.
    """
    return color_array(message) if isinstance(message, Image) else color_from_compressed(message)


def depth_metres(message: Image | CompressedImage) -> np.ndarray:
    """HxW float32 metres, NaN invalid, whatever the transport.

    Raises:
        BadMessage: it cannot be read.
    """
    return depth_array(message) if isinstance(message, Image) else depth_from_compressed(message)


class DepthInfo:
    """The depth camera's own camera info, where there is one: unaligned depth has another camera than colour."""

    def __init__(self, node: AgentNode) -> None:
        self._last: CameraInfo | None = None
        self._news = threading.Condition()
        node.create_subscription(CameraInfo, DEPTH_INFO, self._arrived, qos.sensor())

    def of(self, depth: Image | CompressedImage, timeout: float = 0.0) -> CameraInfo | None:
        """What belongs to a depth image; waits up to ``timeout`` seconds for the first.

        That of another frame does not: drivers that align depth go on telling about the raw depth's camera under this
        name.
        """
        with self._news:
            self._news.wait_for(lambda: self._fits(depth), timeout)
            return self._last if self._fits(depth) else None

    def _fits(self, depth: Image | CompressedImage) -> bool:
        return self._last is not None and not _differ(self._last.header.frame_id, depth.header.frame_id)

    def _arrived(self, message: CameraInfo) -> None:
        with self._news:
            self._last = message
            self._news.notify_all()


class GivenPoses:
    """The poses that came on camera/pose, by stamp."""

    def __init__(self, node: AgentNode) -> None:
        self._poses: OrderedDict[int, np.ndarray] = OrderedDict()
        self._news = threading.Condition()
        node.create_subscription(CameraPose, POSE, self._arrived, qos.reliable(100))

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


class CameraInput:
    """Subscribes to the camera and hands over good frames in a worker thread.

    Args:
        node: whose topics, parameters (``camera.*``, ``registration.*``) and diagnostics are used.
        transforms: where the pose at the image's stamp, and what lies between the cameras, come from.
        handle: called in the worker thread with each good frame.
        refused: called in the worker thread with the stamp of each frame that was not.
    """

    def __init__(
        self,
        node: AgentNode,
        transforms: Transforms,
        handle: Callable[[RGBDFrame], None],
        refused: Callable[[int], None],
    ) -> None:
        self._node, self._transforms = node, transforms
        self._handle, self._refused = handle, refused
        config = params.declare(node, CameraInputConfig, "camera")
        transport = params.declare(node, TransportConfig, "camera")
        self._registration = Registration(params.declare(node, RegistrationConfig, "registration"))
        self._depth_info = DepthInfo(node)
        self._given = GivenPoses(node) if config.given_poses else None
        self._checker = FrameChecker(params.declare(node, FrameCheckConfig, "checks"))
        self._encodings: tuple[str, str] | None = None
        node.diagnostics.counts["dropped_frames"] += 0  # told from the start
        self.worker = Worker(self._work, config.queue, node.handle_error, self._dropped, name="camera")
        self._subscribers = [self._subscribe(kind, topic) for kind, topic in (transport.color, transport.depth)]
        self._subscribers.append(self._subscribe(CameraInfo, INFO))
        self._synchronizer = message_filters.ApproximateTimeSynchronizer(self._subscribers, 10, config.sync_slop)
        self._synchronizer.registerCallback(self._arrived)

    def close(self) -> None:
        """Unsubscribes and ends the worker."""
        for subscriber in self._subscribers:
            self._node.destroy_subscription(subscriber.sub)
        self.worker.close()

    def _subscribe(self, kind: type, topic: str) -> message_filters.Subscriber:
        watch = self._node.diagnostics.input(topic)
        subscriber = message_filters.Subscriber(
            self._node,
            kind,
            topic,
            qos_profile=qos.camera(self._node.settings.lockstep),
            qos_overriding_options=qos.overridable(),
        )
        subscriber.registerCallback(lambda message: watch.arrived(self._node.message_age(message)))
        return subscriber

    def _arrived(self, color: Image, depth: Image, info: CameraInfo) -> None:
        if self._node.active:
            self.worker.put((time.monotonic(), color, depth, info))

    def _dropped(self, item: tuple) -> None:
        self._node.diagnostics.counts["dropped_frames"] += 1

    def _work(self, item: tuple) -> None:
        arrived, color, depth, info = item
        stamp = stamp_ns(depth.header.stamp)
        diagnostics = self._node.diagnostics
        try:
            self._handle(self._frame(stamp, color, depth, info))
        except BadMessage as error:
            if not self._node.active:
                return  # the source has ended together with this node: nothing to complain of
            diagnostics.refuse(error.fault, str(error))
            self._refused(stamp)
            return
        except Exception:
            self._refused(stamp)  # the worker tells the error; who waits for the frame must not wait in vain
            raise
        diagnostics.latency("frame").add(time.monotonic() - arrived)

    def _frame(
        self, stamp: int, color: Image | CompressedImage, depth: Image | CompressedImage, info: CameraInfo
    ) -> RGBDFrame:
        self._check_encodings(_encoding(color), _encoding(depth))
        info_camera = camera_from_msg(info)
        camera = self._registration.color_camera(info_camera)
        pixels, metres = color_pixels(color), depth_metres(depth)
        robot, settings = self._node.robot, self._node.settings
        frame_id = depth.header.frame_id or robot.camera_frame
        same_frame = not _differ(color.header.frame_id, depth.header.frame_id)
        # Depth of a camera of its own is nothing without that camera's info, which may still be on its way.
        expected = not same_frame and self._registration.needs_info
        own = self._depth_info.of(depth, settings.tf_timeout if expected else 0.0)
        own_camera = None if own is None else camera_from_msg(own)
        if self._registration.needed(info_camera, own_camera, metres.shape, same_frame):
            color_frame = color.header.frame_id or frame_id
            T_color_depth = None if same_frame else self._between(color_frame, frame_id, stamp)
            metres = self._register(metres, camera, own_camera, info_camera, T_color_depth)
            frame_id = color_frame
        if self._given is not None:
            T = self._given.at(stamp, settings.tf_timeout)
        else:
            T = self._transforms.at(robot.map_frame, frame_id, stamp, settings.tf_timeout)
        frame = RGBDFrame(stamp, camera, T, pixels, metres)
        fault = self._checker.check(frame)
        if fault:
            raise BadMessage(fault, f"frame at {stamp * 1e-9:.3f} s")
        return frame

    def _between(self, color_frame: str, depth_frame: str, stamp: int) -> np.ndarray | None:
        """What lies between the cameras, from TF unless the settings say."""
        if self._registration.T_color_depth is not None:
            return None
        return self._transforms.at(color_frame, depth_frame, stamp, self._node.settings.tf_timeout)

    def _register(
        self, depth: np.ndarray, camera: Camera, own: Camera | None, info: Camera, T_color_depth: np.ndarray | None
    ) -> np.ndarray:
        """Depth at colour's pixels."""
        if own is None and not self._registration.calibrated:
            raise BadMessage("no_depth_info", f"depth is not colour's, and nothing came on {DEPTH_INFO}")
        own = own or info
        try:
            return self._registration.apply(depth, camera, own, T_color_depth)
        except InputError as error:
            raise BadMessage("size_mismatch", str(error)) from None

    def _check_encodings(self, color: str, depth: str) -> None:
        if self._encodings is None:
            self._encodings = (color, depth)
        elif self._encodings != (color, depth):
            text = f"colour {color}, depth {depth} after {self._encodings[0]}, {self._encodings[1]}"
            raise BadMessage("encoding", text)


def _encoding(message: Image | CompressedImage) -> str:
    return message.encoding if isinstance(message, Image) else message.format


def _differ(a: str, b: str) -> bool:
    """Whether two frames are named and not the same."""
    return bool(a and b and a != b)
