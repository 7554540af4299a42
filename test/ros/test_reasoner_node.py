"""The reasoner node alone: a hand-made map in, plans out."""

import numpy as np
import pytest

from embodied_nav.bringup import Process
from embodied_nav.frames import FREE, OCCUPIED, MemoryObject, OccupancyGrid
from embodied_nav.geometry import invert, pose2d

pytestmark = pytest.mark.ros

STAMP = 5_000_000_000
T_MAP_BASE, T_MAP_ODOM = pose2d(1.0, 2.0, 0.0), pose2d(-2.0, 0.7, 1.1)


@pytest.fixture
def two_doors(start_graph):
    """A goal in the farther of two rooms that two doors join; ``plans``, ``told`` and where a plan passes the wall."""
    from embodied_nav.action import Navigate
    from embodied_nav.msg import ObjectArray
    from nav_msgs.msg import GridCells, Path
    from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
    from rclpy.action import ActionClient
    from tf2_ros import StaticTransformBroadcaster

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import grid_msg, header, objects_msg, path_array, transform_msg

    data = np.full((80, 120), FREE, np.int8)
    data[[0, -1]], data[:, [0, -1]], data[:, 60:62] = OCCUPIED, OCCUPIED, OCCUPIED
    data[32:48, 60:62] = data[58:74, 60:62] = FREE
    data[34:46, 100:106] = OCCUPIED
    sofa = MemoryObject(1, "sofa", "red", np.array([5.15, 2.0, 0.4]), np.array([0.3, 0.6, 0.8]), 1.0, 9, 1, STAMP, 0)

    patient = {"map_patience": 600.0, "navigator.patience": 120.0}
    graph = start_graph([Process("reasoner", "reasoner", patient, respawn=False)])
    node = graph.node
    static = StaticTransformBroadcaster(node)
    static.sendTransform(
        [
            transform_msg(T_MAP_ODOM, 0, "map", "odom"),
            transform_msg(invert(T_MAP_ODOM) @ T_MAP_BASE, 0, "odom", "base_link"),
        ]
    )
    objects = node.create_publisher(ObjectArray, "memory/object_list", qos.latched())
    maps = node.create_publisher(OccupancyGridMsg, "memory/occupancy", qos.latched())
    graph.told = node.create_publisher(GridCells, "touched", qos.reliable())
    plans = graph.listen(Path, "plan", qos.reliable())
    stamp = [STAMP]

    def show_map():
        stamp[0] += 200_000_000
        objects.publish(objects_msg([sofa], header(stamp[0], "map"), ""))
        maps.publish(grid_msg(OccupancyGrid(data, 0.05, (0.0, 0.0)), stamp[0], "map"))

    def passes():
        """y (m) at which the newest plan goes through the wall; None while there is none."""
        path = path_array(plans[-1]) if plans else ()
        return float(np.interp(3.05, path[:, 0], path[:, 1])) if len(path) > 1 else None

    graph.passes = passes
    node.create_timer(0.2, show_map)
    client = ActionClient(node, Navigate, "navigate")
    facts = graph.diagnostics()
    ended = graph.send_goal(client, Navigate.Goal(instruction="find the red sofa")).get_result_async()
    graph.told_of = lambda: (graph.said, facts("reasoner"), ended.done() and ended.result().result.reason)
    yield graph
    client.destroy()


def test_the_way_leads_past_what_the_base_touched(two_doors):
    from embodied_nav.nodes.ros.conversions import cells_msg, header

    assert two_doors.until(lambda: two_doors.passes() is not None, 60.0), two_doors.told_of()
    assert 1.6 < two_doors.passes() < 2.4, "through the door straight ahead"
    assert two_doors.until(lambda: two_doors.told.get_subscription_count(), 10.0)
    bar = np.column_stack([np.full(9, 3.0), np.linspace(1.6, 2.4, 9), np.zeros(9), np.ones(9)])
    in_odom = (bar @ invert(T_MAP_ODOM).T)[:, :2]
    two_doors.told.publish(cells_msg(np.full((1, 2), np.nan), 0.04, header(STAMP, "odom")))
    two_doors.told.publish(cells_msg(in_odom, 0.04, header(STAMP, "odom")))
    assert two_doors.until(lambda: (two_doors.passes() or 0.0) > 2.8, 10.0), f"passes at {two_doors.passes()}"


def test_goal_that_perception_cannot_see_is_refused_at_once(start_graph):
    """Also one that came before perception said what it can name."""
    from diagnostic_msgs.msg import DiagnosticStatus
    from embodied_nav.action import Navigate
    from rclpy.action import ActionClient

    from embodied_nav.nodes.ros import qos, sight

    graph = start_graph([Process("reasoner", "reasoner", {"map_patience": 600.0}, respawn=False)])
    out = graph.node.create_publisher(DiagnosticStatus, sight.TOPIC, qos.latched())
    client = ActionClient(graph.node, Navigate, "navigate")
    assert graph.until(client.server_is_ready, 60.0)

    def reason(text, meanwhile=lambda: None):
        """Why a goal ended, "" while it goes on after some seconds."""
        ended = graph.send_goal(client, Navigate.Goal(instruction=text)).get_result_async()
        meanwhile()
        return ended.result().result.reason if graph.until(ended.done, 3.0) else ""

    def tell(backend, categories):
        out.publish(sight.sight_msg(backend, categories))
        graph.until(lambda: False, 1.0)  # sight and goals come in no order of their own

    blind = sight.sight_msg("geometric", ())
    assert "'geometric' sees no categories" in reason("find the red sofa", lambda: out.publish(blind))
    assert "'geometric' sees no categories" in reason("find the red sofa")
    tell("detector", {"sofa", "chair"})
    assert "cannot tell a lamp; it names chair, sofa" in reason("find the lamp")
    assert reason("find the couch") == ""
    tell("server", None)
    assert reason("find the lamp") == ""
    client.destroy()
