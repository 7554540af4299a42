"""Perception back ends: turn a pair of keyframes into a semantic delta. Know nothing of ROS and planning."""

from __future__ import annotations

from ..config import Config
from ..registry import Registry
from ..tables import PERCEPTION
from .backend import (
    CountsUsage,
    KnowsInstances,
    MergesSkipped,
    NamesCategories,
    PerceptionBackend,
    PerceptionConfig,
    PerceptionError,
    TellsFacts,
    Usage,
    categories_of,
)
from .background import BackgroundPerception
from .choosing import AUTO, Choice, choose
from .making import UnavailablePerception, make_resilient
from .resilient import ResilienceConfig, ResilientPerception

#: The registry of back ends. To add one, add an entry in ``tables.py``.
BACKENDS: Registry[PerceptionBackend] = PERCEPTION


def create(name: str, settings: Config | None = None) -> PerceptionBackend:
    """Creates a back end by name.

    Args:
        settings: an instance of the class that :data:`BACKENDS` names for it; None uses the defaults.

    Raises:
        InputError: unknown name, or settings of another back end.
    """
    return BACKENDS.create(name, settings=settings)


__all__ = [
    "AUTO",
    "BACKENDS",
    "BackgroundPerception",
    "Choice",
    "CountsUsage",
    "KnowsInstances",
    "MergesSkipped",
    "NamesCategories",
    "PerceptionBackend",
    "PerceptionConfig",
    "PerceptionError",
    "ResilienceConfig",
    "ResilientPerception",
    "UnavailablePerception",
    "TellsFacts",
    "Usage",
    "categories_of",
    "choose",
    "create",
    "make_resilient",
]
