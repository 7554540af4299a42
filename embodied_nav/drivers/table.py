"""The table of drivers: their names and constructors. Knows nothing of how they drive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..registry import Entry, Registry
from ..robot import RobotProfile
from ..tables import OTHER_DRIVERS, REASONERS
from .agent import Agent
from .agent_parameters import make_agent
from .driver import Driver


def _agent(policy: str) -> Callable[[RobotProfile, str, Mapping[str, Any]], Agent]:
    """A constructor of the agent with this policy."""
    return lambda robot, perception, parameters: make_agent(policy, perception, robot, parameters)


#: Each is made from (robot, name of the perception back end, parameters of its components by dotted name). To add one,
#: add a line to ``tables.OTHER_DRIVERS``: ``eval``, everything else that takes a driver, and the reports then know it.
DRIVERS: Registry[Driver] = Registry(
    "agent",
    (
        *(Entry(e.name, e.description, _agent(e.name)) for e in REASONERS.entries if e.name not in OTHER_DRIVERS),
        *OTHER_DRIVERS.entries,
    ),
)
