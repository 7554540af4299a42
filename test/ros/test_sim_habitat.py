"""The sim node over habitat/server.py: frames, clock and camera info as of a robot, velocities over simulated time."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
from embodied_nav.bringup import Process

pytestmark = pytest.mark.ros

spec = importlib.util.spec_from_file_location("scenes", Path(__file__).parents[1] / "sim" / "habitat" / "conftest.py")
scenes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scenes)


@pytest.fixture
def habitat(tmp_path):
    file = scenes.write_scene(tmp_path / "houses")
    dataset = scenes.write_json(tmp_path / "objectnav.json.gz", scenes.objectnav())
    server = scenes.Server(tmp_path)
    assert server.address, server.line
    yield {
        "world": "habitat", "dataset": str(dataset), "scenes_dir": str(file.parent.parent),
        "habitat.server": server.address, "habitat.token_file": server.token, "habitat.width": 64,
        "habitat.height": 48, "frame_rate": 5.0,
    }  # fmt: skip
    server.end()


def stamp(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.mark.timeout(300)
def test_a_habitat_scene_is_a_robot_on_ros(habitat, start_graph):
    from geometry_msgs.msg import Twist
    from nav_msgs.msg import Odometry
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CameraInfo, Image

    from embodied_nav.nodes.ros import qos

    graph = start_graph([Process("sim", "sim", habitat, respawn=False)])
    info = graph.listen(CameraInfo, "camera/color/camera_info", qos.reliable(20))
    color = graph.listen(Image, "camera/color/image_raw", qos.reliable(20))
    depth = graph.listen(Image, "camera/depth/image_raw", qos.reliable(20))
    odometry = graph.listen(Odometry, "odom", qos.reliable(100))
    clock = graph.listen(Clock, "/clock", qos.reliable(100))
    command = graph.node.create_publisher(Twist, "cmd_vel", qos.reliable(1))
    assert graph.until(lambda: odometry and len(color) > 1, 200.0), graph.said
    message = Twist()
    message.linear.x, message.angular.z = 0.3, 0.4
    seen = len(odometry)
    for _ in range(200):
        command.publish(message)
        graph.spin(0.05)
        if len(odometry) > seen + 12 and len(color) > 5:
            break
    frames = {m.header.frame_id for m in (*info, *color, *depth)}
    assert frames == {"camera_color_optical_frame"}, "every message has its frame"
    assert {m.header.frame_id for m in odometry} == {"odom"}
    assert {m.child_frame_id for m in odometry} == {"base_link"}
    assert len(info) >= len(color) - 1 > 3, "camera info comes with every image"
    assert {stamp(m) for m in color[1:-1]} <= {stamp(m) for m in info}
    assert color[0].encoding == "rgb8" and depth[0].encoding == "32FC1"
    assert info[0].k[0] == pytest.approx(64 / (2 * np.tan(np.radians(79.0) / 2))) and info[0].k[2] == 31.5
    steps = np.diff([stamp(m) for m in odometry])
    assert (steps[1:] == steps[1]).all(), "odometry is stamped by simulated steps"
    times = [m.clock.sec * 10**9 + m.clock.nanosec for m in clock]
    assert times == sorted(times) and times[-1] >= stamp(odometry[-1]) - 10**9
    moving = [m for m in odometry if m.twist.twist.angular.z > 0.05]
    assert len(moving) > 3, "a positive turn goes to the left"
    for a, b in zip(moving, moving[1:], strict=False):
        turned = 2.0 * (b.pose.pose.orientation.z - a.pose.pose.orientation.z)
        seconds = (stamp(b) - stamp(a)) * 1e-9
        assert 0.0 <= turned <= 1.05 * 0.4 * seconds + 1e-3, "simulated time, not when messages came"
