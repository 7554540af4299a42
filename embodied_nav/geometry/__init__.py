"""Cameras and rigid transforms. Knows nothing of the rest of the package.

Conventions (REP-103, REP-105): SI units, radians, right-handed frames; ``T_a_b`` maps points of frame b into frame a;
quaternions are (x, y, z, w); the optical frame looks along +z with x right and y down.
"""

from .camera import Camera
from .transforms import (
    T_LINK_OPTICAL,
    habitat_from_ros,
    invert,
    is_rigid,
    matrix_from_quaternion,
    nearest_rigid,
    pose2d,
    quaternion_from_matrix,
    ros_from_habitat,
    rotation_angle,
    transform_points,
    yaw_of,
)

__all__ = [
    "Camera",
    "T_LINK_OPTICAL",
    "habitat_from_ros",
    "invert",
    "is_rigid",
    "matrix_from_quaternion",
    "nearest_rigid",
    "pose2d",
    "quaternion_from_matrix",
    "ros_from_habitat",
    "rotation_angle",
    "transform_points",
    "yaw_of",
]
