"""The keyframe node: camera topics in, the frames worth keeping out. Knows nothing of how they are chosen.

Subscribes camera/color/image_raw, camera/depth/image_raw, camera/color/camera_info, /tf, /tf_static.
Publishes keyframes (embodied_nav/Keyframe; the newest once more when somebody new listens), progress, /diagnostics.
"""

from __future__ import annotations

import sys
import threading

from rclpy.event_handler import PublisherEventCallbacks, QoSPublisherMatchedInfo

from embodied_nav.msg import Keyframe as KeyframeMsg

from ..frames import RGBDFrame
from ..keyframes import KeyframeConfig, KeyframeGate
from . import params, warm_up
from .camera_input import CameraInput
from .conversions import keyframe_msg
from .lifecycle import AgentNode, run
from .transforms import Transforms


class KeyframeNode(AgentNode):
    """Runs the keyframe gate on every frame."""

    def __init__(self) -> None:
        super().__init__("keyframe")

    def configure(self) -> None:
        """Makes the gate and the topics."""
        config = params.declare(self, KeyframeConfig)
        trial = KeyframeGate(config)
        for frame in warm_up.frames(self.robot):
            trial.process(frame)
        self._gate = KeyframeGate(config)
        self._newest: KeyframeMsg | None = None
        self._telling = threading.Lock()
        events = PublisherEventCallbacks(matched=self._matched)
        self._publisher = self.create_lifecycle_publisher(
            KeyframeMsg, "keyframes", self.handover(), event_callbacks=events
        )
        self._camera = CameraInput(self, Transforms(self), self._process, self._refused)

    def cleanup(self) -> None:
        """Ends the worker."""
        self._camera.close()

    def _process(self, frame: RGBDFrame) -> None:
        keyframe = self._gate.process(frame)
        if keyframe is not None:
            with self._telling:
                self._newest = keyframe_msg(keyframe, self.robot.map_frame, self.robot.camera_frame)
                self._publisher.publish(self._newest)
            self.diagnostics.facts["keyframes"] = keyframe.id + 1
            self.diagnostics.facts["last reason"] = keyframe.reason
        self.report_progress("frame", frame.stamp, keyframe is not None)

    def _matched(self, info: QoSPublisherMatchedInfo) -> None:
        """A memory that starts late, or again, needs the keyframe that holds now: there is no other while all stands.

        In lock-step the topic is latched.
        """
        if info.current_count_change <= 0 or self.settings.lockstep:
            return
        with self._telling:
            if self._newest is not None:
                self._publisher.publish(self._newest)

    def _refused(self, stamp: int) -> None:
        self.report_progress("frame", stamp, False)


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(KeyframeNode, args)


if __name__ == "__main__":
    sys.exit(main())
