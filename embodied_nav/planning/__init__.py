"""From a map to a velocity: frontiers, geodesic distance, paths, path following, collision guard. Knows no language."""

from .coverage import Coverage, CoverageConfig
from .frontiers import Frontier, frontiers, hidden_area, is_frontier_near
from .frozen import FrozenPicture, shows_things
from .guard import CollisionGuard, GuardConfig
from .making import make_follower
from .mount import Judgement, MountCheck, MountConfig, judge
from .obstacles import LocalObstacles, ObstacleConfig, scan_points
from .path_follower import PathFollower
from .planner import Planner, densify, path_length
from .pursuit import PursuitConfig, RegulatedPurePursuit
from .recovery import Contact, ContactConfig, Recovery, RecoveryConfig
from .traversal import NearGround, PlanningConfig, TraversalMap, clearance_of

__all__ = [
    "CollisionGuard",
    "Contact",
    "ContactConfig",
    "Coverage",
    "CoverageConfig",
    "Frontier",
    "FrozenPicture",
    "GuardConfig",
    "Judgement",
    "LocalObstacles",
    "MountCheck",
    "MountConfig",
    "NearGround",
    "ObstacleConfig",
    "PathFollower",
    "Planner",
    "PlanningConfig",
    "PursuitConfig",
    "Recovery",
    "RecoveryConfig",
    "RegulatedPurePursuit",
    "TraversalMap",
    "clearance_of",
    "densify",
    "frontiers",
    "hidden_area",
    "is_frontier_near",
    "judge",
    "make_follower",
    "path_length",
    "scan_points",
    "shows_things",
]
