"""Makes a path follower from settings that somebody reads for it. Knows nothing of where they are given."""

from __future__ import annotations

from typing import Protocol, TypeVar

from ..config import Config
from ..robot import RobotProfile
from .coverage import CoverageConfig
from .guard import CollisionGuard, GuardConfig
from .mount import MountConfig
from .obstacles import ObstacleConfig
from .path_follower import PathFollower
from .pursuit import PursuitConfig
from .recovery import Contact, ContactConfig, Recovery, RecoveryConfig

C = TypeVar("C", bound=Config)


class ReadsSettings(Protocol):
    """Reads the settings of one component."""

    def __call__(self, kind: type[C], prefix: str, /) -> C:
        """Settings of this class; the names of their parameters begin with the prefix and a dot."""


def make_follower(robot: RobotProfile, read: ReadsSettings) -> PathFollower:
    """A path follower with guard, recovery and contact, each by its settings.

    Args:
        read: where settings come from: ROS parameters of a node, or a mapping.

    Raises:
        InputError: a value out of range.
    """
    guard = CollisionGuard(
        read(GuardConfig, "guard"),
        robot,
        read(ObstacleConfig, "obstacles"),
        read(CoverageConfig, "coverage"),
        read(MountConfig, "mount"),
    )
    return PathFollower(
        robot,
        read(PursuitConfig, "pursuit"),
        guard,
        Recovery(read(RecoveryConfig, "recovery")),
        Contact(read(ContactConfig, "contact")),
    )
