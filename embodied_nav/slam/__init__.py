"""RGB-D SLAM: odometry, loop detection, pose graph. Knows nothing of ROS and language."""

from .odometry import OdometryConfig, RGBDOdometry
from .slam import Slam, SlamConfig, SlamUpdate

__all__ = ["OdometryConfig", "RGBDOdometry", "Slam", "SlamConfig", "SlamUpdate"]
