"""The perception node: keyframes in, semantic deltas out. Knows nothing of how a back end sees.

Subscribes keyframes, instruction (std_msgs/String, latched); for ``simulator`` also sim/instance_ids (Image 32SC1) and
sim/instances (embodied_nav/ObjectArray, latched). Publishes semantic_delta, progress, /diagnostics.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import String

from embodied_nav.msg import Keyframe as KeyframeMsg
from embodied_nav.msg import ObjectArray
from embodied_nav.msg import SemanticDelta as DeltaMsg

from .. import perception
from ..config import Config, param
from ..frames import Keyframe, SemanticDelta
from ..perception import BACKENDS, PerceptionConfig, ResilientPerception
from . import params, qos, warm_up
from .conversions import BadMessage, delta_msg, image_array, keyframe_from_msg, stamp_ns
from .lifecycle import AgentNode, run
from .worker import Worker

#: Longest wait for the back end in lock-step (s).
_LOCKSTEP_TIMEOUT = 50.0


@dataclass(frozen=True)
class PerceptionNodeConfig(Config):
    """Settings of the perception node."""

    backend: str = param("geometric", "perception back end", choices=BACKENDS)
    queue: int = param(4, "keyframes that wait at most; beyond it the oldest is dropped", low=1, high=1000)


class PerceptionNode(AgentNode):
    """Asks the back end about every keyframe, in a worker thread."""

    def __init__(self) -> None:
        super().__init__("perception")

    def configure(self) -> None:
        """Makes the back end and the topics."""
        config = params.declare(self, PerceptionNodeConfig)
        settings = params.declare(self, PerceptionConfig, "perception")
        for name in {config.backend, "geometric"}:
            self._try(perception.create(name, settings))
        self._asked = perception.create(config.backend, settings)
        # In lock-step nobody waits in vain, and no answer may hang on how busy the machine is.
        timeout = _LOCKSTEP_TIMEOUT if self.settings.lockstep else None
        self._backend = ResilientPerception(self._asked, timeout, config=settings)
        self._instruction = ""
        self._previous: Keyframe | None = None
        self._newest = -1
        self._calls = 0
        self.diagnostics.facts.update(backend=self._backend.name, model=self._backend.name)
        self.diagnostics.counts["dropped_keyframes"] += 0
        capacity = 1000 if self.settings.lockstep else config.queue
        self._worker = Worker(self._work, capacity, self.handle_error, self._dropped, name="perception")
        self._publisher = self.create_lifecycle_publisher(DeltaMsg, "semantic_delta", self.handover())
        self.create_subscription(KeyframeMsg, "keyframes", self._keyframe, self.handover())
        self.create_subscription(String, "instruction", self._instructed, qos.latched())
        self._ids = InstanceIds(self, self.settings.lockstep) if config.backend == "simulator" else None
        if self._ids is not None:
            self.create_subscription(ObjectArray, "sim/instances", self._instances, qos.latched())

    def _try(self, backend: perception.PerceptionBackend) -> None:
        """Lets a back end of its own look at two frames of nowhere."""
        if hasattr(backend, "set_instances"):
            backend.set_instances({1: ("box", "red")})
        previous = None
        for keyframe in warm_up.keyframes(self.robot):
            backend.perceive(previous, keyframe, "find the red box")
            previous = keyframe

    def cleanup(self) -> None:
        """Ends the worker."""
        self._worker.close()

    def _instructed(self, message: String) -> None:
        self._instruction = message.data

    def _instances(self, message: ObjectArray) -> None:
        self._asked.set_instances({o.id: (o.label, o.color) for o in message.objects})
        self._ids.described.set()

    def _keyframe(self, message: KeyframeMsg) -> None:
        self.diagnostics.input("keyframes", required=False).arrived()
        told_again = stamp_ns(message.header.stamp) == self._newest  # to somebody else who listens since now
        if self.active and not told_again:
            self._newest = stamp_ns(message.header.stamp)
            self._worker.put((time.monotonic(), message))

    def _dropped(self, item: tuple) -> None:
        self.diagnostics.counts["dropped_keyframes"] += 1
        self.report_progress("keyframe", stamp_ns(item[1].header.stamp), False)

    def _work(self, item: tuple) -> None:
        arrived, message = item
        stamp = stamp_ns(message.header.stamp)
        try:
            ids = self._ids.at(stamp, 5.0 if self.settings.lockstep else 0.3) if self._ids else None
            current = keyframe_from_msg(message, ids)
            delta = self._perceive(current)
        except BadMessage as error:
            self.diagnostics.refuse(error.fault, str(error))
            self.report_progress("keyframe", stamp, False)
            return
        except Exception:
            self.report_progress("keyframe", stamp, False)
            raise
        self._previous = current
        self._publisher.publish(delta_msg(delta, self.robot.map_frame))
        self.diagnostics.latency("perception").add(time.monotonic() - arrived)
        self.report_progress("keyframe", stamp, True)

    def _perceive(self, current: Keyframe) -> SemanticDelta:
        """The back end's delta, or the geometry's marked stale where it failed."""
        self._calls += 1
        self.diagnostics.facts["calls"] = self._calls
        delta = self._backend.perceive(self._previous, current, self._instruction)
        if delta.stale:
            self.diagnostics.counts["backend_failures"] += 1
            self.diagnostics.errors["backend"] = f"{self._backend.name}: {self._backend.last_error}"
        else:
            self.diagnostics.errors.pop("backend", None)
        return delta


class InstanceIds:
    """The simulator's instance images of the last seconds, by stamp."""

    def __init__(self, node: AgentNode, lockstep: bool) -> None:
        profile = qos.latched(5) if lockstep else qos.sensor()
        self.described = threading.Event()
        self._images: OrderedDict[int, np.ndarray] = OrderedDict()
        self._news = threading.Condition()
        node.create_subscription(
            Image, "sim/instance_ids", self._arrived, profile, qos_overriding_options=qos.overridable()
        )

    def at(self, stamp: int, timeout: float) -> np.ndarray:
        """HxW int32 of a stamp (ns); waits for it, and for the table of instances.

        Raises:
            BadMessage: ``no_instance_ids`` within the timeout (s).
        """
        end = time.monotonic() + timeout
        with self._news:
            while stamp not in self._images:
                left = end - time.monotonic()
                if left <= 0:
                    raise BadMessage("no_instance_ids", f"no sim/instance_ids with the keyframe's stamp {stamp}")
                self._news.wait(left)
            image = self._images[stamp]
        if not self.described.wait(max(0.0, end - time.monotonic())):
            raise BadMessage("no_instances", "no sim/instances: is the simulator running?")
        return image

    def _arrived(self, message: Image) -> None:
        image = image_array(message)
        with self._news:
            self._images[stamp_ns(message.header.stamp)] = image
            while len(self._images) > 60:
                self._images.popitem(last=False)
            self._news.notify_all()


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(PerceptionNode, args)


if __name__ == "__main__":
    sys.exit(main())
