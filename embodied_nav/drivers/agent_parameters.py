"""Makes the whole agent from the parameters of docs/parameters.md. Knows nothing of where they were given."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from ..config import Config
from ..keyframes import KeyframeConfig
from ..memory import MemoryConfig, RetentionConfig
from ..perception import BACKENDS, PerceptionBackend, ResilienceConfig, make_resilient
from ..perception.encoders import EncoderChoice, make_encoder, with_features
from ..planning import (
    ContactConfig,
    CoverageConfig,
    GuardConfig,
    MountConfig,
    ObstacleConfig,
    PlanningConfig,
    PursuitConfig,
    RecoveryConfig,
    make_follower,
)
from ..planning.stall import Stall, StallConfig
from ..reasoner import POLICIES, Navigator, NavigatorConfig, OptionConfig
from ..robot import RobotProfile
from .agent import Agent

C = TypeVar("C", bound=Config)

#: (settings class, prefix) of the agent's components, as in its nodes; those of policies and perception back ends are
#: in their tables.
SETTINGS = (
    (KeyframeConfig, ""),
    (ResilienceConfig, "perception"),
    (EncoderChoice, "perception"),
    (MemoryConfig, "memory"),
    (RetentionConfig, "retention"),
    (NavigatorConfig, "navigator"),
    (PlanningConfig, "planning"),
    (OptionConfig, "options"),
    (PursuitConfig, "pursuit"),
    (GuardConfig, "guard"),
    (ObstacleConfig, "obstacles"),
    (CoverageConfig, "coverage"),
    (MountConfig, "mount"),
    (RecoveryConfig, "recovery"),
    (ContactConfig, "contact"),
    (StallConfig, "stall"),
)


def make_agent(policy: str, perception: str, robot: RobotProfile, parameters: Mapping[str, Any] | None = None) -> Agent:
    """An agent with all components configured by parameters.

    Args:
        policy, perception: names in their tables.
        parameters: by dotted name, ``memory.voxel_size``; others keep their defaults.

    Raises:
        InputError: an unknown name, a value out of range, or an encoder that cannot be made.
    """
    given = parameters or {}
    encoder = make_encoder(given)
    if encoder is not None:
        encoder.load()

    def read(kind: type[C], prefix: str) -> C:
        return kind.from_parameters(given, prefix)

    chosen = POLICIES[policy]
    navigator = Navigator(
        read(NavigatorConfig, "navigator"),
        robot,
        POLICIES.create(policy, settings=chosen.settings_from(given)),
        read(PlanningConfig, "planning"),
        read(OptionConfig, "options"),
    )
    agent = Agent(
        robot,
        _backend(perception, given),
        navigator.policy,
        memory=with_features(read(MemoryConfig, "memory"), encoder),
        retention=read(RetentionConfig, "retention"),
        encoder=encoder,
        keyframes=read(KeyframeConfig, ""),
        navigator=navigator,
        follower=make_follower(robot, read),
    )
    agent.stall = Stall(read(StallConfig, "stall"))
    return agent


def _backend(name: str, given: Mapping[str, Any]) -> PerceptionBackend:
    """A perception back end; a slow one with its fallback. It is waited for: simulated time stands meanwhile."""
    settings = BACKENDS[name].settings_from(given)
    if not BACKENDS[name].slow:
        return BACKENDS.create(name, settings=settings)
    config = ResilienceConfig.from_parameters(given, "perception")
    geometric = BACKENDS.create("geometric", settings=BACKENDS["geometric"].settings_from(given))
    return make_resilient(name, settings, config, fallback=geometric, tell=partial(print, file=sys.stderr))
