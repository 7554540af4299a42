"""RGB-D SLAM: odometry, loop closure, pose graph, relocalisation. Knows nothing of ROS and language."""

from .looks import Landmark, landmark, landmarks_of, look_of
from .metrics import ate_rmse
from .odometry import OdometryConfig, RGBDOdometry
from .slam import Relocation, Slam
from .slam_config import SlamConfig
from .update import Joined, SlamUpdate

__all__ = [
    "Joined",
    "Landmark",
    "OdometryConfig",
    "RGBDOdometry",
    "Relocation",
    "Slam",
    "SlamConfig",
    "SlamUpdate",
    "ate_rmse",
    "landmark",
    "landmarks_of",
    "look_of",
]
