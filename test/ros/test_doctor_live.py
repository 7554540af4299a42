"""doctor --live on a small robot: what is there, what is missing, what cannot meet, what lies off."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(90)]


@pytest.fixture
def robot(ros_domain, request):
    """A camera with the parameter's scene (default: depth lies off), odometry, TF without a map, two who command the
    base, one deaf subscriber."""
    import rclpy
    import tf2_ros
    from geometry_msgs.msg import TransformStamped, Twist
    from nav_msgs.msg import Odometry
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import CameraInfo, Image

    from embodied_nav.geometry import Camera
    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import camera_info_msg, header, image_msg

    rclpy.init()
    node, other = rclpy.create_node("base_driver"), rclpy.create_node("joystick")
    publishers = [
        node.create_publisher(kind, f"camera/{name}", qos.sensor())
        for kind, name in ((Image, "color/image_raw"), (Image, "depth/image_raw"), (CameraInfo, "color/camera_info"))
    ]
    odometry = node.create_publisher(Odometry, "odom", qos.reliable())
    node.create_publisher(Twist, "cmd_vel", qos.reliable())
    other.create_publisher(Twist, "cmd_vel", qos.reliable())
    other.create_subscription(Image, "camera/depth/image_raw", lambda m: None, qos.reliable())
    transforms, static = tf2_ros.TransformBroadcaster(node), tf2_ros.StaticTransformBroadcaster(node)
    color, depth = getattr(request, "param", _scene)()
    camera = Camera.from_hfov(320, 240, 1.5)

    def transform(parent, child):
        t = TransformStamped(child_frame_id=child)
        t.header.stamp, t.header.frame_id = node.get_clock().now().to_msg(), parent
        t.transform.rotation.w = 1.0
        return t

    def publish():
        now = node.get_clock().now().nanoseconds
        head = header(now, "camera_color_optical_frame")
        for publisher, message in zip(
            publishers,
            (image_msg(color, "rgb8", head), image_msg(depth, "32FC1", head), camera_info_msg(camera, head)),
            strict=True,
        ):
            publisher.publish(message)
        odometry.publish(Odometry(header=header(now, "odom")))
        transforms.sendTransform(transform("odom", "base_link"))

    static.sendTransform(transform("base_link", "camera_color_optical_frame"))
    node.create_timer(1 / 15, publish)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(other)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    thread.join(5)
    node.destroy_node()
    other.destroy_node()
    rclpy.try_shutdown()


def _scene():
    """Boxes before a wall, the colour image moved by (-6, 5) px against the depth image."""
    rng = np.random.default_rng(3)
    color, depth = np.full((240, 320, 3), 120, np.uint8), np.full((240, 320), 4.0, np.float32)
    for _ in range(6):
        u, v = rng.integers(20, 230), rng.integers(20, 170)
        depth[v : v + 45, u : u + 60] = rng.uniform(1, 2.5)
        color[v + 5 : v + 50, u - 6 : u + 54] = rng.integers(0, 256, 3)
    return color, depth


def test_report_of_a_running_robot(robot, tmp_path):
    from embodied_nav.findings import MISSING, OK, WARNING, Finding
    from embodied_nav.nodes.doctor import Examiner

    examiner = Examiner()
    examiner.listen(3.0)
    findings = {(f.section, f.name): f for f in examiner.findings(str(tmp_path / "edges.png"))}
    examiner.destroy_node()
    assert findings["nodes", "control"].state == MISSING
    for name in ("camera/color/image_raw", "camera/color/camera_info", "odom"):
        assert findings["inputs", name].state == OK, findings["inputs", name]
    rate = float(findings["inputs", "odom"].detail.split()[0])
    assert 10 < rate < 20
    assert "320x240 32FC1" in findings["camera", "camera/depth/image_raw"].detail
    assert findings["base", "cmd_vel from"] == Finding(
        "base", "cmd_vel from", WARNING, "base_driver, joystick", "put twist_mux between them: see the README"
    )
    assert findings["base", "cmd_vel to"].detail == "nobody obeys it"
    mismatch = findings["QoS", "/camera/depth/image_raw"]
    assert mismatch.state == WARNING and "base_driver -> joystick" in mismatch.detail
    assert ("QoS", "/camera/color/image_raw") not in findings
    assert findings["TF", "map -> odom"].state == MISSING
    assert findings["TF", "odom -> base_link"].state == OK
    assert findings["TF", "base_link -> camera_color_optical_frame"].detail == "static"
    off = findings["alignment", "depth on colour"]
    assert off.state == WARNING and "-6 px right, +5 px down" in off.detail
    assert (tmp_path / "edges.png").read_bytes().startswith(b"\x89PNG")


def _flat(right=0, down=0):
    """A simulated room; depth moved by (right, down) px against colour."""
    from embodied_nav.sim.embedded import EmbeddedSimulator, SimulatorConfig
    from embodied_nav.sim.episodes import make_episode

    simulator = EmbeddedSimulator(config=SimulatorConfig(depth_noise=False))
    o = simulator.reset(make_episode(1001, "object", 0))
    depth = np.roll(o.depth, (down, right), (0, 1))
    return o.color, depth


def _flat_off():
    return _flat(9, -7)


@pytest.mark.parametrize(("robot", "off"), [(_flat, False), (_flat_off, True)], indirect=["robot"])
def test_depth_edges_over_a_simulated_room(robot, off, tmp_path):
    import re

    import cv2

    from embodied_nav.findings import OK, WARNING
    from embodied_nav.nodes.doctor import Examiner

    examiner = Examiner()
    examiner.listen(2.0)
    findings = {(f.section, f.name): f for f in examiner.findings(str(tmp_path / "edges.png"))}
    examiner.destroy_node()
    found = findings["alignment", "depth on colour"]
    distance = float(re.search(r"median edge distance ([\d.]+) px", found.detail)[1])
    assert found.state == (WARNING if off else OK), found
    assert distance > 3.0 if off else distance < 1.5, found
    assert str(tmp_path / "edges.png") in findings["alignment", "picture"].detail
    picture = cv2.imread(str(tmp_path / "edges.png"))
    drawn = (picture == (255, 0, 255)).all(-1)
    from embodied_nav.geometry.alignment import depth_edges

    np.testing.assert_array_equal(drawn, depth_edges((_flat_off if off else _flat)()[1]))


def test_depth_of_another_camera_is_shown_as_the_agent_lays_it_on_colour(ros_domain, tmp_path):
    import rclpy
    from sensor_msgs.msg import CameraInfo

    from embodied_nav.findings import OK, OPTIONAL
    from embodied_nav.geometry import matrix_from_quaternion, pose2d
    from embodied_nav.nodes.doctor import Examiner, Heard
    from embodied_nav.nodes.ros.camera_stream import DEPTH_INFO
    from embodied_nav.nodes.ros.conversions import camera_info_msg, header, image_msg, transform_msg
    from embodied_nav.nodes.ros.optics import INFO
    from embodied_nav.sim.embedded import EmbeddedSimulator
    from embodied_nav.sim.episodes import make_episode
    from embodied_nav.sim.rasterizer import Rasterizer

    simulator = EmbeddedSimulator()
    simulator.reset(make_episode(1001, "object", 0))
    camera, T_color_depth = simulator.camera(), matrix_from_quaternion((0, 0.02, 0, 1), (-0.06, 0, 0))
    small = camera.resized(240, 180)
    truth = simulator.privileged()
    T = pose2d(*truth.pose()) @ simulator.robot.T_base_camera()
    color = Rasterizer(simulator.scene.raster, camera).render(T)[0]
    depth = Rasterizer(simulator.scene.raster, small).render(T @ T_color_depth)[1]
    rclpy.init()
    examiner = Examiner()
    try:
        for frame in range(3):
            head = [header(frame, name) for name in ("color", "depth")]
            examiner._frames.append((frame, image_msg(color, "rgb8", head[0]), image_msg(depth, "32FC1", head[1])))
        examiner.heard[examiner._full(INFO)] = Heard(last=camera_info_msg(camera, head[0]))

        def found():
            return next(iter(examiner._alignment(str(tmp_path / "edges.png"))))

        assert found().state == OPTIONAL and "tells nothing of it" in found().detail
        examiner.heard[examiner._full(DEPTH_INFO)] = Heard(last=camera_info_msg(small, head[1]))
        assert "TF does not connect color and depth" in found().detail
        examiner._tf.set_transform_static(transform_msg(T_color_depth, 0, "color", "depth"), "test")
        assert found().state == OK, found()
        examiner.heard[examiner._full(DEPTH_INFO)] = Heard(last=CameraInfo(header=header(0, "infrared")))
        assert found().state == OPTIONAL
    finally:
        examiner.destroy_node()
        rclpy.try_shutdown()


def test_command_on_a_silent_network(ros_domain):
    command = [sys.executable, "-m", "embodied_nav", "doctor", "--live", "--seconds", "1"]
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=60, check=False)
    assert result.returncode == 1, result.stderr
    assert "missing: keyframe, perception, memory, reasoner, control, camera/color/image_raw" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds 0.0: give a positive"),
        (["--picture", "/nowhere/x.png"], "--picture /nowhere/x.png: its folder does not exist"),
        (["--namespace", "9 robots"], "--namespace 9 robots: "),
    ],
)
def test_bad_arguments(ros_domain, arguments, message):
    command = [sys.executable, "-m", "embodied_nav", "doctor", "--live", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and message in result.stderr, result.stderr
