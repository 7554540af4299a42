"""The table of agents that can be evaluated: all drivers, and the oracle. Knows no files and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Config
from ..drivers import DRIVERS, Driver
from ..drivers.agent_parameters import SETTINGS
from ..perception import BACKENDS, ResilienceConfig
from ..reasoner import POLICIES
from ..registry import Registry
from ..robot import RobotProfile
from ..tables import ENCODERS, OTHER_DRIVERS, REFERENCES

#: The names that ``--agent`` accepts: the drivers, and the oracle, which gets the ground truth.
AGENTS: Registry[Driver] = Registry("agent", (*DRIVERS.entries, *REFERENCES.entries))


def components(agent: str, perception: str) -> list[tuple[type[Config], str]]:
    """(settings class, prefix) of an agent's components that have settings, or of the driver itself."""
    if agent in POLICIES and agent not in OTHER_DRIVERS:
        waited = BACKENDS[perception].slow  # only slow back ends have a time limit and a fallback
        common = [pair for pair in SETTINGS if waited or pair[0] is not ResilienceConfig]
        return [*common, *ENCODERS.settings(), *BACKENDS[perception].own_settings(), *POLICIES[agent].own_settings()]
    return AGENTS[agent].own_settings()


def create_driver(
    agent: str, perception: str, robot: RobotProfile, parameters: Mapping[str, Any] | None = None
) -> Driver:
    """A driver by the agent's name.

    Args:
        parameters: of the agent's components, by dotted name; see ``agent_parameters.make_agent``.

    Raises:
        InputError: unknown agent or perception, or a value out of range.
    """
    BACKENDS.check(perception, "perception")
    given = parameters or {}
    return AGENTS.create(agent, robot, perception, given, settings=AGENTS[agent].settings_from(given))
