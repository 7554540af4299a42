"""Colour, depth and camera info of one instant with the camera's pose, as RGBDFrame. Knows nothing of their use."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import message_filters
import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from embodied_nav.msg import CameraPose

from ..config import Config, param
from ..frame_checks import FrameCheckConfig, FrameChecker
from ..frames import RGBDFrame
from ..geometry.registration import Registration, RegistrationConfig
from . import params, qos
from .conversions import BadMessage, camera_from_msg, color_array, depth_array, stamp_ns
from .lifecycle import AgentNode
from .transforms import Transforms
from .worker import Worker

COLOR, DEPTH, INFO = "camera/color/image_raw", "camera/depth/image_raw", "camera/color/camera_info"
POSE = "camera/pose"


@dataclass(frozen=True)
class CameraInputConfig(Config):
    """How the camera's topics become frames."""

    sync_slop: float = param(
        0.02, "colour, depth and camera info this near in time are one frame", unit="s", low=0.0, high=0.5
    )
    queue: int = param(5, "frames that wait for the worker at most; beyond it the oldest is dropped", low=1, high=100)
    given_poses: bool = param(False, "take poses from camera/pose, as a recording gives them, instead of TF")


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
        transforms: where the pose at the image's stamp comes from.
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
        self._registration = Registration(params.declare(node, RegistrationConfig, "registration"))
        self._given = GivenPoses(node) if config.given_poses else None
        self._checker = FrameChecker(params.declare(node, FrameCheckConfig, "checks"))
        self._encodings: tuple[str, str] | None = None
        node.diagnostics.counts["dropped_frames"] += 0  # told from the start
        self.worker = Worker(self._work, config.queue, node.handle_error, self._dropped, name="camera")
        self._subscribers = [self._subscribe(kind, topic) for kind, topic in ((Image, COLOR), (Image, DEPTH))]
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
            self._node, kind, topic, qos_profile=qos.sensor(), qos_overriding_options=qos.overridable()
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
            frame = self._frame(stamp, color, depth, info)
        except BadMessage as error:
            if not self._node.active:
                return  # the source has ended together with this node: nothing to complain of
            diagnostics.refuse(error.fault, str(error))
            self._refused(stamp)
            return
        self._handle(frame)
        diagnostics.latency("frame").add(time.monotonic() - arrived)

    def _frame(self, stamp: int, color: Image, depth: Image, info: CameraInfo) -> RGBDFrame:
        self._check_encodings(color.encoding, depth.encoding)
        camera = camera_from_msg(info)
        pixels, metres = color_array(color), depth_array(depth)
        camera, pixels = self._registration.apply(camera, pixels, metres)
        robot, settings = self._node.robot, self._node.settings
        frame_id = depth.header.frame_id or robot.camera_frame
        if self._given is not None:
            T = self._given.at(stamp, settings.tf_timeout)
        else:
            T = self._transforms.at(robot.map_frame, frame_id, stamp, settings.tf_timeout)
        frame = RGBDFrame(stamp, camera, T, pixels, metres)
        fault = self._checker.check(frame)
        if fault:
            raise BadMessage(fault, f"frame at {stamp * 1e-9:.3f} s")
        return frame

    def _check_encodings(self, color: str, depth: str) -> None:
        if self._encodings is None:
            self._encodings = (color, depth)
        elif self._encodings != (color, depth):
            text = f"colour {color}, depth {depth} after {self._encodings[0]}, {self._encodings[1]}"
            raise BadMessage("encoding", text)
