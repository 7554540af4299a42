"""Simulators by name, apartments, episodes and metrics. Knows nothing of ROS and of what drives a robot."""

from ..registry import Registry
from ..tables import SIMULATORS as _SIMULATORS
from .interface import Simulator

#: The table of simulators: each is made from (scene or None, robot), its settings last.
SIMULATORS: Registry[Simulator] = _SIMULATORS

__all__ = ["SIMULATORS", "Simulator"]
