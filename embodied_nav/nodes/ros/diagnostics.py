"""A node's status on /diagnostics: rates, latencies, drops, stale inputs, refusals. Knows no particular node."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from . import living, qos

#: Reasons in a status line are cut to this many characters.
_LONGEST = 200


class Input:
    """Age of a node's input: time since arrival or age of its stamp, whichever is worse.

    Unusable messages do not make an input fresh, but are reported differently from silence.

    Args:
        clock: gives the seconds by which silence is measured, see :class:`~.living.SilenceClock`.
    """

    def __init__(
        self, name: str, timeout: float, required: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self.timeout, self.required = name, timeout, required
        self._clock = clock
        self._arrivals: deque[float] = deque(maxlen=50)
        self._came = 0
        self._used_at: float | None = None
        self._age_when_used = 0.0
        self._refusal: str | None = None

    def arrived(self, stamp_age: float = 0.0) -> None:
        """Records a usable message; ``stamp_age`` in seconds of ROS time, 0 where the message has no stamp."""
        self.came()
        self.used(stamp_age)

    def came(self) -> None:
        """Records a message before it is known whether it is usable: :meth:`used` or :meth:`refused` follows."""
        self._came += 1
        self._arrivals.append(self._clock())

    def used(self, stamp_age: float = 0.0) -> None:
        """Records that the message was usable."""
        self._used_at, self._age_when_used, self._refusal = self._clock(), max(0.0, stamp_age), None

    def refused(self, why: str) -> None:
        """Records that the message, or another one that it depends on, was unusable."""
        self._refusal = " ".join(why.split())

    @property
    def age(self) -> float:
        """Seconds since the stamp of the last usable message; inf before the first."""
        return float("inf") if self._used_at is None else self._clock() - self._used_at + self._age_when_used

    @property
    def silent(self) -> bool:
        """Whether nothing arrived for longer than the timeout, usable or not."""
        return not self._arrivals or self._clock() - self._arrivals[-1] > self.timeout

    def __str__(self) -> str:
        """Name, and in brackets how long ago it arrived, or why the messages that arrive are unusable."""
        if self._refusal is not None and (self._came == 0 or not self.silent):
            came = f"{self._came} came, refused: " if self._came else ""
            return f"{self.name} ({came}{self._refusal[:_LONGEST]})"
        if self._used_at is None and self._came:
            return f"{self.name} ({self._came} came, none could be used yet)"
        return f"{self.name} ({_age(self.age)})"

    @property
    def stale(self) -> bool:
        """Whether it has been silent, or its stamps too old, for longer than the timeout."""
        return self.age > self.timeout

    @property
    def rate(self) -> float:
        """Messages a second over the last 50; 0 when silent for 2 s."""
        a = self._arrivals
        if len(a) < 2 or self._clock() - a[-1] > 2.0 or a[-1] <= a[0]:
            return 0.0
        return (len(a) - 1) / (a[-1] - a[0])


class Latency:
    """The last 1000 durations of one stage."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=1000)

    def add(self, seconds: float) -> None:
        """Records one duration."""
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
    """Publishes a status on /diagnostics every second, and at once when a stale input or an error appears or clears.

    Worker threads update it while the executor's thread publishes, so publishing works on copies.

    Attributes:
        counts: refusals and drops by name; an increase since the last status sets the level to WARN.
        facts: further key-value pairs: the model in use, its device, and what the node adds.
        errors: error texts by kind; listed first.
        warnings: warning texts by kind.
        silence: the clock by which inputs go stale.
    """

    def __init__(self, node: Node, timeout: float) -> None:
        self.counts: Counter[str] = Counter()
        self.facts: dict[str, object] = {"model": "none", "device": "cpu", living.FACT: living.this_process()}
        self.silence = living.SilenceClock(node)
        self.errors: dict[str, str] = {}
        self.warnings: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._node, self._timeout = node, timeout
        self._inputs: dict[str, Input] = {}
        self._latencies: dict[str, Latency] = {}
        self._told: Counter[str] = Counter()
        self._watched: tuple[tuple[str, ...], ...] = ((), ())
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.reliable())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(1.0, self.publish, clock=steady),
            node.create_timer(0.1, self._watch, clock=steady),
        ]

    def input(self, name: str, required: bool = True, timeout: float | None = None) -> Input:
        """The monitor of an input, made on first use; stale after the common timeout (s) unless one is given."""
        if name not in self._inputs:
            seconds = self._timeout if timeout is None else timeout
            self._inputs[name] = Input(name, seconds, required, self.silence.now)
        return self._inputs[name]

    def forget_inputs(self) -> None:
        """Stops monitoring all inputs: none is expected any more."""
        self._inputs.clear()

    def latency(self, stage: str) -> Latency:
        """The durations of a stage, made on first use."""
        return self._latencies.setdefault(stage, Latency())

    def stale_inputs(self) -> tuple[str, ...]:
        """Names of required inputs that are stale."""
        return tuple(i.name for i in self._missing())

    def missing(self) -> str:
        """The required inputs that are stale, each with how long or why; "" where none is."""
        return ", ".join(str(i) for i in self._missing())

    def _missing(self) -> list[Input]:
        return [i for i in self._inputs.copy().values() if i.required and i.stale]

    def refuse(self, fault: str, text: str) -> None:
        """Counts a refused input and warns, at most once in 5 s for each kind of fault."""
        self.counts[f"refused_{fault}"] += 1
        self._reasons[f"refused_{fault}"] = " ".join(text.split())[:_LONGEST]
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
        watched = (self.stale_inputs(), tuple(self.errors.copy()))
        if watched != self._watched:
            self._watched = watched
            self.publish()

    def _verdict(self) -> tuple[bytes, str]:
        wrong, missing = [*self.errors.copy().values()], self.missing()
        if missing:
            wrong.append(f"no input: {missing}")
        if wrong:
            return DiagnosticStatus.ERROR, "; ".join(wrong)
        if self.warnings:
            return DiagnosticStatus.WARN, "; ".join(self.warnings.copy().values())
        risen = [name for name, n in dict(self.counts).items() if n > self._told[name]]
        if risen:
            return DiagnosticStatus.WARN, ", ".join(f"{name} {self.counts[name]}{self._reason(name)}" for name in risen)
        return DiagnosticStatus.OK, "ok"

    def _reason(self, name: str) -> str:
        reason = self._reasons.get(name)
        return f" ({reason})" if reason else ""

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
