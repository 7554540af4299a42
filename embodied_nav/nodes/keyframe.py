"""The keyframe node: camera topics in, keyframes out. Knows nothing of how they are chosen.

Subscribes camera/color/image_raw, camera/depth/image_raw, camera/color/camera_info, /tf, /tf_static.
Publishes keyframes (embodied_nav/Keyframe; the newest again for each new subscriber), progress, /diagnostics.
"""

from __future__ import annotations

import sys
import threading

from rclpy.event_handler import PublisherEventCallbacks, QoSPublisherMatchedInfo

from embodied_nav.msg import Keyframe as KeyframeMsg

from ..frames import RGBDFrame
from ..keyframes import KeyframeConfig, KeyframeGate
from ..keyframes.warm_up import warm_up
from .ros import params
from .ros.camera_input import CameraInput
from .ros.conversions import keyframe_msg
from .ros.lifecycle import AgentNode, run
from .ros.slam_tracking import TrackingWatch
from .ros.tf_lookup import Transforms


class KeyframeNode(AgentNode):
    """Runs the keyframe gate on every frame."""

    def __init__(self) -> None:
        super().__init__("keyframe")

    def configure(self) -> None:
        """Makes the gate and the topics."""
        config = params.declare(self, KeyframeConfig)
        warm_up(self.robot, config)
        self._gate = KeyframeGate(config)
        self._newest: KeyframeMsg | None = None
        self._telling = threading.Lock()
        events = PublisherEventCallbacks(matched=self._matched)
        self._publisher = self.create_lifecycle_publisher(
            KeyframeMsg, "keyframes", self.handover(), event_callbacks=events
        )
        self._camera = CameraInput(self, Transforms(self), self._process, self._refused, TrackingWatch(self))

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
        """Repeats the newest keyframe for a new subscriber, such as a memory that starts late or restarts.

        A robot at rest produces no further keyframe for it. In lock-step the topic is latched instead.
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
