"""Wraps an unreliable back end: time-outs, retries with back-off, a geometric fallback. Knows nothing of the back end.

An error, a late answer and an invalid one are handled alike.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import Keyframe, ObjectObservation, SemanticDelta
from .backend import MergesSkipped, PerceptionBackend, categories_of
from .words import ACTIONS

#: Longest valid text (characters), and distance of the farthest valid object (m).
_LONGEST_TEXT, _FARTHEST = 8000, 100.0


@dataclass(frozen=True)
class ResilienceConfig(Config):
    """Time-out of a back end, back-off after failures, and what takes its place."""

    timeout: float = param(10.0, "time after which an answer is late", unit="s", low=0.05, high=600.0)
    retry_first: float = param(1.0, "wait after the first failure; doubles with each", unit="s", low=0.0, high=600.0)
    fallback: str = param(
        "geometric", "in place of a back end that cannot be made; none: that is an error", choices=("geometric", "none")
    )
    retry_longest: float = param(60.0, "longest wait between retries", unit="s", low=0.0, high=3600.0)


class ResilientPerception:
    """A back end with a fallback whose answer, marked stale, is used when the back end gives no valid answer in time.

    No new call is made while a late one still runs. After k consecutive failures the back end is not called for
    ``retry_first * 2**(k - 1)`` seconds, at most ``retry_longest``. A start (no previous keyframe) for which no call is
    made is made up for: the next call is told that it is the first.

    Attributes:
        counts: keyframes by outcome: ``good``, ``error``, ``late``, ``nonsense`` (invalid), ``waiting`` (not called).
        failures: consecutive failures.
        last_error: the last failure in words, for diagnostics.
    """

    def __init__(
        self,
        backend: PerceptionBackend,
        timeout: float | None = None,
        fallback: PerceptionBackend | None = None,
        config: ResilienceConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            backend: the one that may fail.
            timeout: seconds; None uses the config's.
            fallback: must not fail; None is ``geometric`` with its default settings.
            clock: monotonic, seconds; measures the back-off.
        """
        self.config = config or ResilienceConfig()
        self.backend = backend
        self.timeout = self.config.timeout if timeout is None else timeout
        if fallback is None:
            from .geometric import GeometricPerception

            fallback = GeometricPerception()
        self.fallback = fallback
        self.counts: Counter[str] = Counter()
        self.failures = 0
        self.last_error = ""
        self._clock = clock
        self._retry_at = -np.inf
        self._call: _Call | None = None
        self._start_is_owed = False

    @property
    def name(self) -> str:
        """The back end's name; a stale delta names the fallback as its source."""
        return self.backend.name

    @property
    def categories(self) -> frozenset[str] | None:
        """What the back end can name; None: anything."""
        return categories_of(self.backend)

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """The back end's delta, or the fallback's with ``stale`` set; never raises because of the back end."""
        delta = self.ask(previous, current, instruction)
        if delta is not None:
            return delta
        return dataclasses.replace(self.fallback.perceive(previous, current, instruction), stale=True)

    def skip(self, keyframe: Keyframe) -> None:
        """Tells the back end of a keyframe that it will not be asked about, where it wants to know."""
        if isinstance(self.backend, MergesSkipped):
            self.backend.skip(keyframe)

    def ask(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta | None:
        """The back end's delta; None where it gave no valid one in time, or was not asked."""
        self._start_is_owed |= previous is None
        if self._clock() < self._retry_at or (self._call is not None and not self._call.done.is_set()):
            self.counts["waiting"] += 1
            self.skip(current)
            return None
        self._call = call = _Call(self.backend, None if self._start_is_owed else previous, current, instruction)
        self._start_is_owed = False
        if not call.done.wait(self.timeout):
            self._failed("late", f"no answer within {self.timeout:g} s")
            return None
        self._call = None
        if call.error is not None:
            self._failed("error", f"{type(call.error).__name__}: {call.error}")
            return None
        fault = find_nonsense(call.delta, current)
        if fault:
            self._failed("nonsense", fault)
            return None
        self.counts["good"] += 1
        self.failures = 0
        return call.delta

    def _failed(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        self.failures += 1
        self.last_error = text
        wait = self.config.retry_first * 2.0 ** min(self.failures - 1, 30)
        self._retry_at = self._clock() + min(wait, self.config.retry_longest)


class _Call:
    """One call in a daemon thread: a back end that hangs must not keep the process alive."""

    def __init__(self, backend: PerceptionBackend, *arguments) -> None:
        self.delta: SemanticDelta | None = None
        self.error: Exception | None = None
        self.done = threading.Event()
        threading.Thread(target=self._run, args=(backend, *arguments), name="perception", daemon=True).start()

    def _run(self, backend: PerceptionBackend, *arguments) -> None:
        try:
            self.delta = backend.perceive(*arguments)
        except Exception as error:  # a model, driver or server may raise anything
            self.error = error
        finally:
            self.done.set()


def find_nonsense(delta: object, current: Keyframe) -> str:
    """Why a delta is invalid for this keyframe, in words; "" if it is valid."""
    if not isinstance(delta, SemanticDelta):
        return f"gave {type(delta).__name__} instead of a SemanticDelta"
    if delta.keyframe_id != current.id:
        return f"answered for keyframe {delta.keyframe_id} instead of {current.id}"
    if delta.action not in ACTIONS:
        return f"unknown action {delta.action[:40]!r}"
    if not delta.text.strip() or len(delta.text) > _LONGEST_TEXT:
        return f"text of {len(delta.text)} characters"
    for o in (*delta.objects, *delta.new, *delta.gone, *delta.moved):
        fault = _object_nonsense(o, current)
        if fault:
            return fault
    if delta.segments is not None:
        camera = current.frame.camera
        if delta.segments.shape != (camera.height, camera.width):
            return f"segments are {delta.segments.shape}, the image {(camera.height, camera.width)}"
        if delta.segments.size and int(delta.segments.max()) > len(delta.objects):
            return f"segment {int(delta.segments.max())} of {len(delta.objects)} objects"
    return ""


def _object_nonsense(o: ObjectObservation, current: Keyframe) -> str:
    if not o.label.strip() or len(o.label) > 60:
        return f"object label {o.label[:60]!r}"
    if not 0.0 <= o.confidence <= 1.0:
        return f"{o.name}: confidence {o.confidence}"
    position, extent = np.asarray(o.position, float), np.asarray(o.extent, float)
    if position.shape != (3,) or extent.shape != (3,) or not np.isfinite([position, extent]).all():
        return f"{o.name}: position or extent is not three finite numbers"
    if (extent < 0).any() or np.linalg.norm(position - current.frame.T_map_camera[:3, 3]) > _FARTHEST:
        return f"{o.name}: {np.round(extent, 2)} m large at {np.round(position, 1)}"
    return ""
