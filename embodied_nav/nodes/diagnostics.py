"""What a node says on /diagnostics: rates, latencies, drops, stale inputs, refusals. Knows no particular node."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from . import qos


class Input:
    """When a node's input last came: by steady arrival time and by the age of its stamp, whichever is worse."""

    def __init__(self, name: str, timeout: float, required: bool = True) -> None:
        self.name, self.timeout, self.required = name, timeout, required
        self._arrivals: deque[float] = deque(maxlen=50)
        self._age_at_arrival = 0.0

    def arrived(self, stamp_age: float = 0.0) -> None:
        """Notes an arrival; ``stamp_age`` in seconds of ROS time, 0 where the message has no stamp."""
        self._arrivals.append(time.monotonic())
        self._age_at_arrival = max(0.0, stamp_age)

    @property
    def age(self) -> float:
        """Seconds since the instant that the last message speaks of; inf before the first."""
        return time.monotonic() - self._arrivals[-1] + self._age_at_arrival if self._arrivals else float("inf")

    @property
    def stale(self) -> bool:
        """Whether it has been silent, or its stamps too old, for longer than the timeout."""
        return self.age > self.timeout

    @property
    def rate(self) -> float:
        """Messages a second over the last 50; 0 when silent for 2 s."""
        a = self._arrivals
        if len(a) < 2 or time.monotonic() - a[-1] > 2.0 or a[-1] <= a[0]:
            return 0.0
        return (len(a) - 1) / (a[-1] - a[0])


class Latency:
    """The last 1000 durations of one stage."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=1000)

    def add(self, seconds: float) -> None:
        """Notes one duration."""
        self._values.append(seconds)

    def percentiles_ms(self) -> dict[str, float] | None:
        """``{"p50": ms, "p95": ms}``, or None before the first."""
        return percentiles_ms(tuple(self._values))


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float] | None:
    """``{"p50": ms, "p95": ms}`` of durations in seconds, or None where there are none."""
    values = np.fromiter(seconds, dtype=np.float64)
    if not len(values):
        return None
    p50, p95 = np.percentile(values, [50, 95]) * 1e3
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


class Diagnostics:
    """One status a second on /diagnostics, and at once when an input goes stale or comes back.

    Worker threads count and add while the executor's thread publishes: what is told is told from copies.

    Attributes:
        counts: refusals and drops by name; a rise since the last status makes it a warning.
        facts: what else is told: the model in use, its device, and what the node adds.
    """

    def __init__(self, node: Node, timeout: float) -> None:
        self.counts: Counter[str] = Counter()
        self.facts: dict[str, object] = {"model": "none", "device": "cpu"}
        self.errors: dict[str, str] = {}
        self._node, self._timeout = node, timeout
        self._inputs: dict[str, Input] = {}
        self._latencies: dict[str, Latency] = {}
        self._told: Counter[str] = Counter()
        self._stale: tuple[str, ...] = ()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.reliable())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(1.0, self.publish, clock=steady),
            node.create_timer(0.1, self._watch, clock=steady),
        ]

    def input(self, name: str, required: bool = True) -> Input:
        """The watch of an input, made when first asked for."""
        return self._inputs.setdefault(name, Input(name, self._timeout, required))

    def forget_inputs(self) -> None:
        """Ends the watch of all inputs: none is expected any more."""
        self._inputs.clear()

    def latency(self, stage: str) -> Latency:
        """The durations of a stage, made when first asked for."""
        return self._latencies.setdefault(stage, Latency())

    def stale_inputs(self) -> tuple[str, ...]:
        """Names of required inputs that are stale."""
        return tuple(i.name for i in tuple(self._inputs.copy().values()) if i.required and i.stale)

    def refuse(self, fault: str, text: str) -> None:
        """Counts a refused input and warns, at most once in 5 s for each kind of fault."""
        self.counts[f"refused_{fault}"] += 1
        self._node.get_logger().warning(f"refused ({fault}): {text}", throttle_duration_sec=5.0)

    def publish(self) -> None:
        """Publishes the status now."""
        status = DiagnosticStatus(name=self._node.get_fully_qualified_name().lstrip("/"))
        status.hardware_id = self._node.get_fully_qualified_name()
        status.level, status.message = self._verdict()
        status.values = [KeyValue(key=k, value=v) for k, v in self._values()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
        self._told = Counter(self.counts)

    def _watch(self) -> None:
        stale = self.stale_inputs()
        if stale != self._stale:
            self._stale = stale
            self.publish()

    def _verdict(self) -> tuple[bytes, str]:
        if self.errors:
            return DiagnosticStatus.ERROR, "; ".join(self.errors.values())
        stale = self.stale_inputs()
        if stale:
            ages = (f"{name} ({_age(self._inputs[name].age)})" for name in stale)
            return DiagnosticStatus.ERROR, "no input: " + ", ".join(ages)
        risen = [name for name, n in dict(self.counts).items() if n > self._told[name]]
        if risen:
            return DiagnosticStatus.WARN, ", ".join(f"{name} {self.counts[name]}" for name in risen)
        return DiagnosticStatus.OK, "ok"

    def _values(self) -> Iterable[tuple[str, str]]:
        for name, i in self._inputs.copy().items():
            yield f"{name} rate", f"{i.rate:.1f} Hz"
            yield f"{name} age", _age(i.age)
        for stage, latency in self._latencies.copy().items():
            for key, value in (latency.percentiles_ms() or {}).items():
                yield f"{stage} {key}", f"{value} ms"
        for name, n in sorted(dict(self.counts).items()):
            yield name, str(n)
        for name, fact in self.facts.copy().items():
            yield name, str(fact)


def _age(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds:.2f} s"
