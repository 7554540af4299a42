"""The control node on a running graph: what stops the robot, how fast, and that it goes on by itself."""

import time

import numpy as np
import pytest

from embodied_nav.bringup import Process
from embodied_nav.robot import RobotProfile

pytestmark = pytest.mark.ros

#: From the fault to velocity 0: the 0.5 s after which an input is stale and one control period, plus what a busy
#: machine and the sampling of the fault (10 Hz) take.
STANDS_WITHIN = 0.5 + 0.05 + 0.25


class Driving:
    """Control alone, a robot that stands still whatever it is told, and a plan straight ahead."""

    def __init__(self, start_graph, parameters=None, **camera) -> None:
        from nav_msgs.msg import Path
        from std_msgs.msg import Bool

        from embodied_nav.nodes.ros import qos

        # The simulated robot does not move, so recovery would take over, and contact be felt on all sides: recovery is
        # given all the time there is, and no speed is high enough to tell of contact.
        settings = {"recovery.patience": 60.0, "contact.min_speed": 1.0, **(parameters or {})}
        self.graph = start_graph([Process("control", "control", settings)])
        self.diagnostics = self.graph.diagnostics()
        from ros_robot import TestRobot

        self.robot = TestRobot(self.graph.node, **camera)
        node = self.graph.node
        self.plan = node.create_publisher(Path, "plan", qos.reliable())
        self.enable = node.create_publisher(Bool, "enable", qos.reliable())
        self.e_stop = node.create_publisher(Bool, "e_stop", qos.reliable())
        self.planning, self.plan_age = True, 0.15
        node.create_timer(0.25, self._repeat_plan)

    def _repeat_plan(self) -> None:
        from embodied_nav.nodes.ros.conversions import path_msg

        if self.planning:
            path = np.array([[0.0, 0.0], [0.4, 0.0], [0.8, 0.0]])
            self.plan.publish(path_msg(path, time.time_ns() - int(self.plan_age * 1e9), "map"))

    def drives(self, timeout=20.0):
        return self.graph.until(lambda: self.robot.moving, timeout)

    def seconds_until_standing(self, timeout=3.0):
        start = time.monotonic()
        assert self.graph.until(lambda: self.robot.commands and self.robot.commands[-1][1:] == (0.0, 0.0), timeout)
        return time.monotonic() - start


@pytest.fixture
def driving(start_graph):
    found = Driving(start_graph)
    assert found.drives(), found.diagnostics("control")
    heard = found.graph.until(
        lambda: found.e_stop.get_subscription_count() and found.enable.get_subscription_count(), 5.0
    )
    assert heard, "control does not listen to e_stop and enable"
    return found


def test_stands_when_an_input_is_lost_and_goes_on_by_itself(driving):
    from embodied_nav.nodes.ros.optics import COLOR, DEPTH

    for topic, told in ((DEPTH, DEPTH), (COLOR, COLOR), ("tf", "tf"), ("odom", "odom")):
        driving.robot.off.add(topic)
        assert driving.seconds_until_standing() < STANDS_WITHIN, topic
        assert driving.graph.until(lambda told=told: told in driving.diagnostics("control")["message"], 1.5), topic
        assert driving.diagnostics("control")["level"] == "2"
        driving.robot.off.clear()
        assert driving.drives(5.0), f"does not go on after {topic}"


TRANSPORT = {"camera.color_transport": "compressed", "camera.depth_transport": "compressedDepth"}


@pytest.mark.parametrize(
    ("parameters", "camera"), [(TRANSPORT, {"compressed": True}), ({}, {"own_depth": True})], ids=["compressed", "own"]
)
def test_compressed_images_and_unaligned_depth_do_too(start_graph, parameters, camera):
    from embodied_nav.nodes.ros.optics import COLOR, DEPTH

    driving = Driving(start_graph, parameters, **camera)
    assert driving.drives(60.0), driving.diagnostics("control")
    for topic in (DEPTH, COLOR):
        driving.robot.off.add(topic)
        driving.seconds_until_standing(5.0)
        driving.robot.off.clear()
        assert driving.drives(10.0), f"does not go on after {topic}"


def test_old_stamps_are_as_bad_as_silence(driving):
    driving.robot.shift = -2_000_000_000
    assert driving.seconds_until_standing() < STANDS_WITHIN
    driving.robot.shift = 0
    assert driving.drives(5.0)


def test_looks_at_depth_before_slam_has_placed_it_and_stands_where_slam_stays_away(start_graph):
    late = 1.5  # s from an image to its map->odom
    driving = Driving(
        start_graph, {"tf_timeout": 2.0 * late, "input_timeout": 2.0 * late, "map_timeout": 2.0 * late}, map_delay=late
    )
    driving.plan_age = late + 0.3
    assert driving.drives(60.0), driving.diagnostics("control")
    driving.robot.off.add("map")
    assert 0.5 * late < driving.seconds_until_standing(6.0) < 2.0 * late + STANDS_WITHIN
    assert driving.graph.until(lambda: "tf" in driving.diagnostics("control")["message"], 1.5)
    driving.robot.off.clear()
    assert driving.drives(10.0), "does not go on after SLAM"
    driving.robot.obstacle = 0.12
    start = time.monotonic()
    assert driving.graph.until(lambda: driving.robot.commands[-1][1] == 0.0, 5.0), "drives into what it sees"
    assert time.monotonic() - start < 0.6 * late, "waited for SLAM before it looked"


def test_nan_odometry_is_refused_and_counted(driving):
    driving.robot.nan_odometry = True
    assert driving.seconds_until_standing() < STANDS_WITHIN
    assert driving.graph.until(lambda: int(driving.diagnostics("control").get("refused_nan_odometry", 0)) > 0, 2.0)
    driving.robot.nan_odometry = False
    assert driving.drives(5.0)


def test_e_stop_enable_and_the_end_of_plans(driving):
    from std_msgs.msg import Bool

    driving.e_stop.publish(Bool(data=True))
    assert driving.seconds_until_standing() < 0.3
    driving.graph.spin(0.5)
    assert not driving.robot.moving, "e_stop holds"
    driving.e_stop.publish(Bool(data=False))
    assert driving.drives(2.0)
    driving.enable.publish(Bool(data=False))
    assert driving.seconds_until_standing() < 0.3
    driving.enable.publish(Bool(data=True))
    assert driving.drives(2.0)
    driving.planning = False  # whoever plans has died
    assert driving.seconds_until_standing(6.0) < 3.5
    silent_since = len(driving.robot.commands)
    driving.graph.spin(2.0)
    count = len(driving.robot.commands)
    driving.graph.spin(1.0)
    assert len(driving.robot.commands) == count > silent_since, "falls silent, so that others may drive"


def test_guards_the_wishes_of_another_controller(driving):
    from geometry_msgs.msg import Twist
    from rclpy.clock import Clock, ClockType

    from embodied_nav.nodes.ros import qos

    driving.planning = False
    driving.graph.until(lambda: not driving.robot.moving, 4.0)
    driving.graph.spin(0.5)
    wishes = driving.graph.node.create_publisher(Twist, "cmd_vel_nav", qos.reliable())
    wish = Twist()
    wish.linear.x = -0.4  # backward, where it is blind: the guard lets it creep
    timer = driving.graph.node.create_timer(
        0.05, lambda: wishes.publish(wish), clock=Clock(clock_type=ClockType.STEADY_TIME)
    )
    assert driving.graph.until(lambda: driving.robot.moving and driving.robot.commands[-1][1] < 0, 3.0)
    assert driving.robot.commands[-1][1] >= -0.15
    timer.cancel()
    assert driving.seconds_until_standing() < 0.6


def test_tells_what_the_base_touches(start_graph):
    """The robot stands still whatever it is told: something holds it."""
    from nav_msgs.msg import GridCells

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import cells_array

    driving = Driving(start_graph, {"contact.min_speed": 0.08})
    touched = driving.graph.listen(GridCells, "touched", qos.reliable())
    assert driving.graph.until(lambda: touched, 60.0), driving.diagnostics("control")
    off = cells_array(touched[0]) - driving.robot.T_odom_base[:2, 3]
    radius = RobotProfile().footprint_radius
    assert touched[0].header.frame_id == "odom" and touched[0].cell_width == pytest.approx(0.04)
    assert len(off) and (np.abs(np.linalg.norm(off, axis=1) - radius) < 0.06).all()


def test_stamped_commands_on_request(start_graph):
    """With enable_stamped_cmd_vel control publishes TwistStamped, and the simulated base obeys it."""
    from geometry_msgs.msg import TwistStamped
    from nav_msgs.msg import Odometry, Path

    from embodied_nav.geometry import yaw_of
    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import matrix_from_pose, path_msg, stamp_ns

    stamped = {"enable_stamped_cmd_vel": True}
    sim = Process("sim", "sim", {**stamped, "scene": 1001})
    graph = start_graph([sim, Process("control", "control", {**stamped, "use_sim_time": True})])
    commands = graph.listen(TwistStamped, "cmd_vel", qos.reliable(100))
    odom = graph.listen(Odometry, "odom", qos.reliable())
    plans = graph.node.create_publisher(Path, "plan", qos.reliable())

    def turn_left():
        if odom:
            plan = path_msg(np.zeros((1, 2)), stamp_ns(odom[-1].header.stamp), "map")
            plan.poses[0].pose.orientation.z, plan.poses[0].pose.orientation.w = np.sin(0.75), np.cos(0.75)
            plans.publish(plan)

    graph.node.create_timer(0.25, turn_left)
    assert graph.until(lambda: odom and yaw_of(matrix_from_pose(odom[-1].pose.pose)) > 0.3, 100.0)
    turning = [c for c in commands if c.twist.angular.z > 0.1]
    assert turning and {c.header.frame_id for c in turning} == {"base_link"}
    first, last = (stamp_ns(o.header.stamp) for o in (odom[0], odom[-1]))
    assert all(first <= stamp_ns(c.header.stamp) <= last + 1_000_000_000 for c in turning), "in simulated time"
