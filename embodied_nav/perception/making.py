"""Makes a back end that may fail together with what stands in for it. Knows the table of back ends, and none of them.

A back end that cannot even be made (a missing key, a model's folder without its config) is told of in one line, and the
agent goes on with geometry, unless ``perception.fallback`` is ``none``.
"""

from __future__ import annotations

from collections.abc import Callable

from ..config import Config
from ..errors import InputError
from ..frames import Keyframe, SemanticDelta
from ..tables import PERCEPTION
from .backend import PerceptionBackend, PerceptionError
from .resilient import ResilienceConfig, ResilientPerception

#: Time (s) beyond its own deadline that a back end gets, to say what went wrong.
_MARGIN = 2.0


class UnavailablePerception:
    """In place of a back end that cannot be made: fails with the reason each time."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self._reason = name, reason

    def perceive(self, previous: Keyframe | None, current: Keyframe, instruction: str) -> SemanticDelta:
        """Raises PerceptionError."""
        raise PerceptionError(self._reason)


def make_resilient(
    name: str,
    settings: Config | None = None,
    config: ResilienceConfig | None = None,
    *,
    tell: Callable[[str], object],
    fallback: PerceptionBackend | None = None,
    timeout: float | None = None,
) -> ResilientPerception:
    """A back end by name that never fails.

    Args:
        settings: of the back end; None: its defaults.
        tell: gets one line where the back end cannot be made.
        fallback, timeout: see :class:`ResilientPerception`; a slow back end's own deadline counts where that is later.

    Raises:
        InputError: an unknown name; or the back end cannot be made, and ``config.fallback`` is ``none``.
    """
    config = config or ResilienceConfig()
    backend: PerceptionBackend
    try:
        backend = PERCEPTION.create(name, settings=settings)
    except InputError as error:
        if config.fallback == "none" or name not in PERCEPTION:
            raise
        tell(f"{error}; going on with geometry alone (perception.fallback: none would end here)")
        backend = UnavailablePerception(name, str(error))
    if timeout is None and PERCEPTION[name].slow:
        timeout = _own_timeout(settings, config)
    return ResilientPerception(backend, timeout, fallback, config)


def _own_timeout(settings: Config | None, config: ResilienceConfig) -> float:
    """Seconds after which an answer is late: a back end with a deadline of its own ends by itself before that."""
    return max(config.timeout, float(getattr(settings, "timeout", 0.0)) + _MARGIN)
