"""RGB-D SLAM: odometry, loop detection, pose graph. Knows nothing of ROS and language."""

from .metrics import ate_rmse
from .odometry import OdometryConfig, RGBDOdometry
from .slam import Relocation, Slam, SlamConfig, SlamUpdate

__all__ = ["OdometryConfig", "RGBDOdometry", "Relocation", "Slam", "SlamConfig", "SlamUpdate", "ate_rmse"]
