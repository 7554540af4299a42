"""slam/path moves keyframes: what it says of a keyframe, and voxels that move on a running graph while frames go on."""

import os
import signal

import numpy as np
import pytest

from embodied_nav.bringup import Process
from embodied_nav.geometry import pose2d

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000


def test_a_path_tells_poses_at_and_between_its_stamps_and_not_beyond():
    from embodied_nav.nodes.ros.slam_path import pose_at

    stamps = np.array([0, SECOND, 10 * SECOND])
    poses = np.stack([pose2d(0, 0, 0), pose2d(1, 2, 1.0), pose2d(5, 5, 0)])
    assert np.allclose(pose_at(stamps, poses, SECOND), poses[1])
    assert np.allclose(pose_at(stamps, poses, SECOND // 4), pose2d(0.25, 0.5, 0.25))
    assert pose_at(stamps, poses, 5 * SECOND) is None, "nobody knows what was in so long a gap"
    assert pose_at(stamps, poses, 11 * SECOND) is None and pose_at(stamps[:0], poses[:0], 0) is None
    assert np.allclose(pose_at(stamps, poses, 10 * SECOND + SECOND // 100), poses[2])


def test_only_keyframes_that_moved_are_named_with_the_camera_where_it_sat():
    from embodied_nav.nodes.ros.slam_path import moved_keyframes

    stamps, poses = np.array([0, SECOND, 2 * SECOND]), np.stack([pose2d(k, 0, 0) for k in range(3)])
    mount, other = pose2d(0.2, 0, 0), pose2d(0.3, 0, 0)
    keyframes = {
        4: (0, pose2d(0.2, 0, 0)), 5: (SECOND, pose2d(1.205, 0, 0)), 6: (2 * SECOND, pose2d(2.2, 0, 0)),
        7: (9 * SECOND, np.eye(4)),
    }  # fmt: skip
    moved, unknown = moved_keyframes(stamps, poses, keyframes, {2 * SECOND: other}, mount)
    assert list(moved) == [6] and np.allclose(moved[6], pose2d(2.3, 0, 0)) and unknown == 0


def test_bad_paths_are_refused():
    from geometry_msgs.msg import PoseStamped
    from nav_msgs.msg import Path

    from embodied_nav.nodes.ros.conversions import BadMessage
    from embodied_nav.nodes.ros.slam_path import path_poses

    path = Path()
    path.header.frame_id = "odom"
    with pytest.raises(BadMessage):
        path_poses(path, "map")
    path.header.frame_id = "map"
    path.poses = [PoseStamped(), PoseStamped()]
    for p in path.poses:
        p.pose.orientation.w = 1.0
    with pytest.raises(BadMessage):
        path_poses(path, "map")
    path.poses[1].header.stamp.sec = 1
    path.poses[1].pose.position.x = float("nan")
    with pytest.raises(BadMessage):
        path_poses(path, "map")


def test_voxels_move_with_the_path_while_frames_go_on(start_graph):
    """The memory comes late: the robot's only keyframe, and TF of its moment, have passed."""
    from embodied_nav.msg import Keyframe
    from geometry_msgs.msg import PoseStamped
    from nav_msgs.msg import Path
    from ros_robot import TestRobot
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import UInt32

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import pose_msg

    parameters = {"checks.persist": 1000}
    graph = start_graph([Process("keyframe", "keyframe", parameters), Process("memory", "memory", parameters)])
    os.kill(graph.supervisor.pid("memory"), signal.SIGSTOP)
    diagnostics = graph.diagnostics()
    clouds, keyframes, counts = [], [], []
    graph.node.create_subscription(PointCloud2, "memory/voxels", clouds.append, qos.latched())
    graph.node.create_subscription(Keyframe, "keyframes", keyframes.append, qos.reliable())
    graph.node.create_subscription(UInt32, "memory/corrections", counts.append, qos.latched())
    path_out = graph.node.create_publisher(Path, "slam/path", qos.latched())
    robot = TestRobot(graph.node)
    assert graph.until(lambda: keyframes, 60.0)
    os.kill(graph.supervisor.pid("memory"), signal.SIGCONT)
    assert graph.until(lambda: int(diagnostics("memory").get("voxels", 0)) > 1000, 60.0)
    assert graph.until(lambda: len(clouds) > 0 and clouds[-1].width > 1000, 60.0)
    before = points(clouds[-1])
    stamp = keyframes[0].header.stamp
    path = Path()
    path.header.frame_id, path.header.stamp = "map", stamp
    pose = PoseStamped(header=path.header)
    pose.pose = pose_msg(pose2d(3.0, 0.0, 0.0) @ robot.T_odom_base)
    path.poses = [pose]
    path_out.publish(path)
    assert graph.until(lambda: len(counts) > 0 and counts[-1].data == 1, 60.0), diagnostics("memory")
    assert graph.until(lambda: points(clouds[-1])[:, 0].max() > before[:, 0].max() + 2.5, 30.0)
    # Frames go on where the robot stands: both places are remembered until it looks through the moved one.
    assert points(clouds[-1])[:, 0].min() < before[:, 0].min() + 0.5


def points(cloud):
    step = cloud.point_step
    raw = np.frombuffer(bytes(cloud.data), np.uint8).reshape(-1, step)
    return raw[:, :12].copy().view(np.float32).reshape(-1, 3)
