"""Transform messages and their 4x4 matrices, through scipy: independent of what is tested."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from hypothesis import strategies as st
from rclpy.time import Time
from scipy.spatial.transform import Rotation

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def at(seconds: float) -> Time:
    """The time so many seconds after START."""
    return Time(nanoseconds=START + round(seconds * SECOND))


def message(parent: str, child: str, time: Time, translation=(0.0, 0.0, 0.0), rotation=None) -> TransformStamped:
    """T_parent_child; `rotation` is a scipy Rotation or (x, y, z, w)."""
    result = TransformStamped()
    result.header.frame_id, result.child_frame_id, result.header.stamp = parent, child, time.to_msg()
    quaternion = (0.0, 0.0, 0.0, 1.0) if rotation is None else rotation
    if isinstance(quaternion, Rotation):
        quaternion = quaternion.as_quat()
    t, r = result.transform.translation, result.transform.rotation
    t.x, t.y, t.z = (float(value) for value in translation)
    r.x, r.y, r.z, r.w = (float(value) for value in quaternion)
    return result


def matrix(stamped: TransformStamped) -> np.ndarray:
    """The message's 4x4 matrix."""
    t, r = stamped.transform.translation, stamped.transform.rotation
    result = np.identity(4)
    result[:3, :3] = Rotation.from_quat((r.x, r.y, r.z, r.w)).as_matrix()
    result[:3, 3] = t.x, t.y, t.z
    return result


def yaw(angle: float) -> Rotation:
    """Rotation about z."""
    return Rotation.from_euler("z", angle)


coordinate = st.floats(-100.0, 100.0)
translations = st.tuples(coordinate, coordinate, coordinate)
rotations = (
    st.tuples(*[st.floats(-1.0, 1.0)] * 4)
    .filter(lambda quaternion: np.linalg.norm(quaternion) > 0.1)
    .map(Rotation.from_quat)
)
poses = st.tuples(translations, rotations)
