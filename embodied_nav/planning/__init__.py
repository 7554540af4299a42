"""From a map to a velocity: frontiers, geodesic distance, paths, control, the guard. Knows nothing of language."""

from .frontiers import Frontier, frontiers, hidden_area, is_frontier_near
from .guard import CollisionGuard, GuardConfig
from .obstacles import LocalObstacles, ObstacleConfig, scan_points
from .planner import Planner, densify, path_length
from .pursuit import PursuitConfig, RegulatedPurePursuit
from .recovery import Contact, ContactConfig, Recovery, RecoveryConfig
from .traversal import NearGround, PlanningConfig, TraversalMap, clearance_of

__all__ = [
    "CollisionGuard",
    "Contact",
    "ContactConfig",
    "Frontier",
    "GuardConfig",
    "LocalObstacles",
    "NearGround",
    "ObstacleConfig",
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
    "path_length",
    "scan_points",
]
