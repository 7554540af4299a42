"""The perception node: keyframes in, semantic deltas out. Knows nothing of how a back end sees.

Subscribes keyframes, instruction (std_msgs/String, latched); for ``simulator`` also sim/instance_ids (Image 32SC1) and
sim/instances (embodied_nav/ObjectArray, latched). Publishes semantic_delta, perception/sight (what it can name,
latched), progress, /diagnostics; with an encoder also keyframe_features (Image 32FC<D>, a pixel a patch, latched).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import String

from embodied_nav.msg import Keyframe as KeyframeMsg
from embodied_nav.msg import ObjectArray
from embodied_nav.msg import SemanticDelta as DeltaMsg

from .. import perception
from ..config import Config, param
from ..errors import InputError
from ..frames import Keyframe, SemanticDelta
from ..perception import AUTO, BACKENDS, BackgroundPerception, CountsUsage, KnowsInstances, ResilienceConfig, TellsFacts
from ..perception.encoders import BackgroundEncoder, check_grid
from ..perception.warm_up import warm_up
from .ros import features, params, qos, sight
from .ros.conversions import BadMessage, delta_msg, image_array, keyframe_from_msg, serialized_stamp, stamp_ns
from .ros.lifecycle import AgentNode, run
from .ros.worker import Worker

#: Longest wait for the back end in lock-step (s).
_LOCKSTEP_TIMEOUT = 50.0


@dataclass(frozen=True)
class PerceptionNodeConfig(Config):
    """Settings of the perception node."""

    backend: str = param(
        AUTO, "back end; auto: a detector where there is one, else geometric", choices=(AUTO, *BACKENDS.names)
    )
    queue: int = param(4, "keyframes that wait at most; beyond it the oldest is dropped", low=1, high=1000)


class PerceptionNode(AgentNode):
    """Asks the back end about every keyframe, in a worker thread; a slow one in another, while geometry goes on."""

    def __init__(self) -> None:
        super().__init__("perception")

    def configure(self) -> None:
        """Makes the back end and the topics."""
        config = params.declare(self, PerceptionNodeConfig)
        resilience = params.declare(self, ResilienceConfig, "perception")
        settings = params.declare_table(self, BACKENDS)
        backend = self._chosen(config.backend, settings)
        # In lock-step everybody waits for the answer, and results must not depend on the machine's load.
        timeout = _LOCKSTEP_TIMEOUT if self.settings.lockstep else None
        fallback = perception.create("geometric", settings["geometric"])
        self._asked = perception.make_resilient(
            backend,
            settings.get(backend),
            resilience,
            fallback=fallback,
            timeout=timeout,
            tell=self.get_logger().error,
        )
        self._warm_up(BACKENDS[backend].slow, resilience)
        self._background: BackgroundPerception | None = None
        if BACKENDS[backend].slow and not self.settings.lockstep:
            self._background = BackgroundPerception(self._asked, self._answered)
        self._start_encoder()
        self._instruction = ""
        self._previous: Keyframe | None = None
        self._newest = -1
        self._calls = 0
        self.diagnostics.facts.update(backend=self._asked.name, model=self._asked.name)
        if isinstance(self._asked.backend, TellsFacts):
            self.diagnostics.facts.update(self._asked.backend.facts())
        self.diagnostics.counts["dropped_keyframes"] += 0
        capacity = 1000 if self.settings.lockstep else config.queue
        self._worker = Worker(self._work, capacity, self.handle_error, self._dropped, name="perception")
        self._publisher = self.create_lifecycle_publisher(DeltaMsg, "semantic_delta", self.handover())
        self._sight_out = self.create_lifecycle_publisher(DiagnosticStatus, sight.TOPIC, qos.latched())
        self.create_subscription(KeyframeMsg, "keyframes", self._keyframe, self.handover())
        self.create_subscription(String, "instruction", self._instructed, qos.latched())
        self._ids = InstanceIds(self, self.settings.lockstep) if backend == "simulator" else None
        if self._ids is not None:
            self.create_subscription(ObjectArray, "sim/instances", self._instances, qos.latched())

    def activate(self) -> None:
        """Tells what can be named."""
        self._sight_out.publish(sight.sight_msg(self._asked.name, self._asked.categories))

    def _chosen(self, name: str, settings: dict[str, Config]) -> str:
        """The back end's name; what ``auto`` stands for is told. Whoever starts us in simulation has chosen already."""
        choice = perception.choose(name, simulated=False, detector=getattr(settings["detector"], "file", ""))
        if choice.why:
            self.get_logger().info(choice.why)
        return choice.name

    def cleanup(self) -> None:
        """Ends the worker."""
        self._worker.close()
        for thread in (self._background, self._encoding):
            if thread is not None:
                thread.close()

    def _start_encoder(self) -> None:
        """Loads the image encoder, where one is chosen; it works in a thread of its own, but in lock-step."""
        self._encoder = features.declared_encoder(self)
        self._encoding: BackgroundEncoder | None = None
        if self._encoder is None:
            return
        self._encoder.load()
        self.diagnostics.facts["encoder"] = self._encoder.name
        # Latched: a memory that starts late, or again, must not miss those of the keyframes that it is told again.
        self._features = self.create_lifecycle_publisher(Image, features.TOPIC, qos.latched(10))
        if not self.settings.lockstep:
            self._encoding = BackgroundEncoder(self._encoder, self._encoded)

    def _warm_up(self, slow: bool, resilience: ResilienceConfig) -> None:
        """Runs the back ends once, unless they are missing or slow.

        Raises:
            InputError: the back end fails, and nothing may stand in for it.
        """
        usable = not (slow or isinstance(self._asked.backend, perception.UnavailablePerception))
        try:
            warm_up(self.robot, [self._asked.fallback, *([self._asked.backend] if usable else [])])
        except InputError as error:
            if resilience.fallback == "none":
                raise
            self.get_logger().error(f"{error}; going on with geometry where it does")

    def _instructed(self, message: String) -> None:
        self._instruction = message.data

    def _instances(self, message: ObjectArray) -> None:
        backend = self._asked.backend
        if isinstance(backend, KnowsInstances) and self._ids is not None:
            backend.set_instances({o.id: (o.label, o.color) for o in message.objects})
            self._ids.described.set()

    def _keyframe(self, message: KeyframeMsg) -> None:
        self.diagnostics.input("keyframes", required=False).arrived()
        told_again = stamp_ns(message.header.stamp) == self._newest  # a repetition for another, new subscriber
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
            self._encode(current)
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
        """The back end's delta; where it failed, or its own comes later, the geometric one, marked stale."""
        self._calls += 1
        backend = self._background or self._asked
        delta = backend.perceive(self._previous, current, self._instruction)
        self._tell(current.frame.stamp)
        return delta

    def _encode(self, current: Keyframe) -> None:
        """Has a keyframe encoded; in lock-step the features come before the delta."""
        if self._encoding is not None:
            self._encoding.put(current)
            self.diagnostics.counts["encoder_failures"] = self._encoding.counts["failed"]
            self.diagnostics.facts["encoded"] = self._encoding.counts["encoded"]
            self._tell_encoder(self._encoding.last_error)
        elif self._encoder is not None:
            try:
                self._encoded(current, check_grid(self._encoder.encode(current.frame), self._encoder.dim))
                self._tell_encoder("")
            except perception.PerceptionError as error:
                self._tell_encoder(str(error))

    def _tell_encoder(self, trouble: str) -> None:
        if trouble:
            self.diagnostics.errors["encoder"] = trouble
        else:
            self.diagnostics.errors.pop("encoder", None)

    def _encoded(self, keyframe: Keyframe, grid: np.ndarray) -> None:
        """Publishes a keyframe's features."""
        try:
            stamp = keyframe.frame.stamp
            self._features.publish(features.features_msg(grid, stamp, self.robot.camera_frame))
            self.diagnostics.latency("encoder").add(self.stamp_age(stamp))
        except Exception as error:  # the encoder's thread must not end by it
            self.handle_error(error)

    def _answered(self, delta: SemanticDelta) -> None:
        """Publishes what a slow back end says of a keyframe that was published as stale before."""
        try:
            self._publisher.publish(delta_msg(delta, self.robot.map_frame))
            self.diagnostics.latency("answer").add(self.stamp_age(delta.stamp))
            self._tell(delta.stamp)
        except Exception as error:  # the back end's thread must not end by it
            self.handle_error(error)

    def _tell(self, stamp: int) -> None:
        """Diagnostics after a keyframe of this stamp (ns)."""
        asked, facts, counts = self._asked, self.diagnostics.facts, self.diagnostics.counts
        facts.update(calls=self._calls, described=asked.counts["good"])
        counts["backend_failures"] = sum(asked.counts[kind] for kind in ("error", "late", "nonsense"))
        if self._background is not None:
            facts["described up to"] = self._background.progress(stamp)
        if isinstance(asked.backend, TellsFacts):
            facts.update(asked.backend.facts())
        if isinstance(asked.backend, CountsUsage):
            usage = asked.backend.usage
            facts.update(requests=usage.calls, tokens=usage.tokens, cost=f"{usage.cost:.4f}")
        if asked.failures:
            self.diagnostics.errors["backend"] = f"{asked.name}: {asked.last_error}"
        else:
            self.diagnostics.errors.pop("backend", None)


class InstanceIds:
    """The simulator's instance images of the last seconds, by stamp; only those of keyframes are decoded."""

    def __init__(self, node: AgentNode, lockstep: bool) -> None:
        profile = qos.latched(5) if lockstep else qos.sensor()
        self.described = threading.Event()
        self._images: OrderedDict[int, bytes] = OrderedDict()
        self._news = threading.Condition()
        node.create_subscription(Image, "sim/instance_ids", self._arrived, profile, raw=True)

    def at(self, stamp: int, timeout: float) -> np.ndarray:
        """HxW int32 of a stamp (ns); waits for it, and for the table of instances.

        Raises:
            BadMessage: ``no_instance_ids`` if none came within the timeout (s); or the image cannot be read.
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
        return image_array(deserialize_message(image, Image))

    def _arrived(self, serialized: bytes) -> None:
        with self._news:
            self._images[serialized_stamp(serialized)] = serialized
            while len(self._images) > 60:
                self._images.popitem(last=False)
            self._news.notify_all()


def main(args: list[str] | None = None) -> int:
    """Runs the node in this process."""
    return run(PerceptionNode, args)


if __name__ == "__main__":
    sys.exit(main())
