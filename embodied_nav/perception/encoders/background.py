"""Encodes keyframes in a thread of its own, so that nothing waits for features. Knows nothing of the encoder.

The latest keyframe wins: one that comes while another is encoded takes the place of the one that waits. A keyframe that
is dropped has no features of its own; its voxels get those of its neighbours.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from ...frames import Keyframe
from .encoder import Encoder, check_grid

#: Seconds after the first failure in which nothing is encoded; doubles with each, up to the second number.
_RETRY = (1.0, 60.0)


class BackgroundEncoder:
    """Calls ``on_features`` in its thread with each keyframe that was encoded and its grid.

    Attributes:
        counts: keyframes by outcome: ``encoded``, ``dropped`` (a newer one came, or a failure was just before),
            ``failed``.
        last_error: the last failure in words; "" since one succeeded.
    """

    def __init__(
        self,
        encoder: Encoder,
        on_features: Callable[[Keyframe, np.ndarray], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            on_features: must not raise. clock: monotonic, seconds.
        """
        self.encoder, self._on_features, self._clock = encoder, on_features, clock
        self.counts: Counter[str] = Counter()
        self.last_error = ""
        self._failures, self._retry_at = 0, -np.inf
        self._news = threading.Condition()
        self._waiting: Keyframe | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def put(self, keyframe: Keyframe) -> None:
        """Has a keyframe encoded when the one before is done, unless a newer one comes until then."""
        with self._news:
            if self._closing:
                return
            self.counts["dropped"] += self._waiting is not None
            self._waiting = keyframe
            self._news.notify_all()

    def close(self, timeout: float = 1.0) -> None:
        """Ends the thread after the call that is out, waiting for it at most ``timeout`` seconds."""
        with self._news:
            self._closing, self._waiting = True, None
            self._news.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while (keyframe := self._next()) is not None:
            if self._clock() < self._retry_at:
                self.counts["dropped"] += 1
                continue
            try:
                grid = check_grid(self.encoder.encode(keyframe.frame), self.encoder.dim)
            except Exception as error:  # a model or a driver may raise anything
                self._failed(error)
                continue
            self.counts["encoded"] += 1
            self._failures, self.last_error = 0, ""
            if not self._closing:
                self._on_features(keyframe, grid)

    def _failed(self, error: Exception) -> None:
        self.counts["failed"] += 1
        self._failures += 1
        self.last_error = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        self._retry_at = self._clock() + min(_RETRY[0] * 2.0 ** min(self._failures - 1, 30), _RETRY[1])

    def _next(self) -> Keyframe | None:
        """The latest keyframe, when there is one; None when closed."""
        with self._news:
            self._news.wait_for(lambda: self._waiting is not None or self._closing)
            keyframe, self._waiting = self._waiting, None
            return keyframe
