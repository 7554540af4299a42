"""Back ends that turn a pair of keyframes into a semantic delta. Knows nothing of ROS and planning."""

from __future__ import annotations

from ..errors import InputError
from .backend import PerceptionBackend, PerceptionConfig, PerceptionError
from .resilient import ResilientPerception

#: What :func:`create` knows.
BACKENDS = ("simulator", "geometric")


def create(name: str, config: PerceptionConfig | None = None) -> PerceptionBackend:
    """A back end by name.

    Raises:
        InputError: unknown name.
    """
    config = config or PerceptionConfig()
    if name == "simulator":
        from .simulator import SimulatorPerception

        return SimulatorPerception(config)
    if name == "geometric":
        from .geometric import GeometricPerception

        return GeometricPerception(config)
    raise InputError(f"unknown perception '{name}'; known: {', '.join(BACKENDS)}")


__all__ = ["BACKENDS", "PerceptionBackend", "PerceptionConfig", "PerceptionError", "ResilientPerception", "create"]
