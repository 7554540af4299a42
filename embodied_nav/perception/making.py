"""Makes a back end and what stands in for it where it fails. Knows the table of back ends, and none of them.

Whether a back end that cannot even be made (a missing key, a model's folder without its config) is an error, or is told
of in one line and replaced by geometry, is ``perception.fallback``.
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

    categories = ()

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
    """A back end by name that gives a delta for every keyframe, once it is made.

    Args:
        settings: of the back end; None: its defaults.
        config: time-out, back-off and whether it may be missing; None: the defaults.
        tell: gets one line where the back end cannot be made.
        fallback: see :class:`ResilientPerception`.
        timeout: seconds; None: ``config.timeout``, for a slow back end at least a little more than its own deadline.

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
