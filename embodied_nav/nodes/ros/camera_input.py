"""Colour, depth and camera info of one instant with the camera's pose, as RGBDFrame. Knows nothing of their use."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ...frame_checks import FrameCheckConfig, FrameChecker
from ...frames import RGBDFrame
from ...geometry.registration import RegistrationConfig
from . import params
from .camera_stream import CameraInputConfig, CameraStream, ImageSet
from .conversions import BadMessage
from .lifecycle import AgentNode
from .optics import INFO, TransportConfig
from .slam_tracking import TrackingWatch
from .tf_lookup import Transforms
from .worker import Worker


class CameraInput:
    """Passes valid camera frames to a callback, in a worker thread.

    Nodes of one process with equal camera settings share a stream: one subscription, one decoding, one TF look-up.

    Args:
        node: its topics, parameters (``camera.*``, ``registration.*``) and diagnostics are used.
        transforms: TF, for the pose at the image's stamp and the transform between the cameras.
        handle: called in the worker thread with each valid frame.
        refused: called in the worker thread with the stamp of each refused frame.
        tracking: SLAM's tracking state; frames for which it has no trusted pose are refused.
    """

    def __init__(
        self,
        node: AgentNode,
        transforms: Transforms,
        handle: Callable[[RGBDFrame], None],
        refused: Callable[[int], None],
        tracking: TrackingWatch | None = None,
    ) -> None:
        self._node, self._transforms = node, transforms
        self._handle, self._refused, self._tracking = handle, refused, tracking
        config = params.declare(node, CameraInputConfig, "camera")
        transport = params.declare(node, TransportConfig, "camera")
        registration = params.declare(node, RegistrationConfig, "registration")
        self._checker = FrameChecker(params.declare(node, FrameCheckConfig, "checks"))
        self._encodings: tuple[str, str] | None = None
        self._changed = 0
        node.diagnostics.counts["dropped_frames"] += 0  # so that it is listed from the start
        self._watches = {t: node.diagnostics.input(t) for t in (transport.color[1], transport.depth[1], INFO)}
        self.worker = Worker(self._work, config.queue, node.handle_error, self._dropped, name="camera")
        lockstep = node.settings.lockstep
        alike = (config.sync_slop, config.given_poses, transport, registration, lockstep, node.robot.camera_frame)
        self._stream = node.shared.once(
            ("camera", alike),
            node,
            lambda host: CameraStream(host, config, transport, registration, lockstep),
        )
        self._stream.attach(self)
        node.shared.when_open(self._stream.open)

    def close(self) -> None:
        """Unsubscribes and ends the worker."""
        self._stream.detach(self)
        self.worker.close()

    # -- of the stream (executor's thread) -----------------------------------------------------------------------------

    def note(self, topic: str, message: Image | CompressedImage | CameraInfo) -> None:
        """Marks an input as arrived in diagnostics."""
        self._watches[topic].arrived(self._node.message_age(message))

    def refuse(self, text: str) -> None:
        """Counts a message with an impossible stamp."""
        self._node.diagnostics.refuse("stamp", text)

    def clock_set_back(self) -> None:
        """Counts that a topic's stamps went back."""
        self._node.diagnostics.counts["clock_set_back"] += 1

    def put(self, images: ImageSet) -> None:
        """Queues a complete set."""
        if self._node.active:
            self.worker.put(images)

    def _dropped(self, images: ImageSet) -> None:
        self._node.diagnostics.counts["dropped_frames"] += 1

    # -- worker's thread -----------------------------------------------------------------------------------------------

    def _work(self, images: ImageSet) -> None:
        diagnostics = self._node.diagnostics
        try:
            self._handle(self._frame(images))
        except BadMessage as error:
            if not self._node.active:
                return  # the source is shutting down together with this node: not an error
            diagnostics.refuse(error.fault, str(error))
            self._refused(images.stamp)
            return
        except Exception:
            self._refused(images.stamp)  # the worker logs the error; whoever waits for the frame must be released
            raise
        diagnostics.latency("frame").add(time.monotonic() - images.arrived)

    def _frame(self, images: ImageSet) -> RGBDFrame:
        encodings = (_encoding(images.color), _encoding(images.depth))
        self._check_encodings(encodings)
        robot, settings = self._node.robot, self._node.settings
        pixels, metres, camera, frame_id = self._stream.decoded(
            images, robot.camera_frame, self._transforms, settings.tf_timeout
        )
        self._count_calibrations()
        frame = RGBDFrame(images.stamp, camera, self._pose_of(images, frame_id), pixels, metres)
        fault = self._checker.check(frame)
        if fault:
            raise BadMessage(fault, f"frame at {images.stamp * 1e-9:.3f} s")
        self._encodings = encodings
        return frame

    def _pose_of(self, images: ImageSet, frame_id: str) -> np.ndarray:
        """4x4, map from the camera; looked up once for all nodes with the same time-out."""
        settings, robot = self._node.settings, self._node.robot
        if self._stream.given is not None:
            return self._stream.given.at(images.stamp, settings.tf_timeout)
        if not self._transforms.of_map:
            return self._pose(frame_id, images.stamp)
        alike = ("pose", frame_id, settings.tf_timeout, settings.map_timeout, robot.map_frame, robot.odom_frame)
        return images.once(alike, lambda: self._pose(frame_id, images.stamp))

    def _pose(self, frame_id: str, stamp: int) -> np.ndarray:
        """4x4, map from the camera by TF. TF would interpolate a pose for a frame that SLAM lost: that is refused.

        Raises:
            BadMessage: ``no_transform``; ``slam_lost``, as soon as SLAM says so.
        """
        try:
            return self._transforms.in_map(frame_id, stamp, vain=lambda: self._doubt(stamp))
        finally:
            self._refuse_lost(stamp)

    def _doubt(self, stamp: int) -> str:
        return "" if self._tracking is None else self._tracking.doubt(stamp)

    def _refuse_lost(self, stamp: int) -> None:
        doubt = self._doubt(stamp)
        if doubt:
            raise BadMessage("slam_lost", doubt)

    def _count_calibrations(self) -> None:
        changed = self._stream.counts["calibration_changed"]
        if changed > self._changed:
            self._node.diagnostics.counts["calibration_changed"] += changed - self._changed
            self._changed = changed

    def _check_encodings(self, found: tuple[str, str]) -> None:
        """Warns if the encodings differ from those of the last valid frame."""
        if self._encodings is not None and self._encodings != found:
            text = f"colour {found[0]}, depth {found[1]} after {self._encodings[0]}, {self._encodings[1]}"
            raise BadMessage("encoding", text)


def _encoding(message: Image | CompressedImage) -> str:
    return message.encoding if isinstance(message, Image) else message.format
