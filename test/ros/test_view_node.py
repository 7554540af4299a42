"""The view node in a graph: what runs is shown, what a visitor wants happens, and its failure harms nobody."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")

from embodied_nav.bringup import Process
from embodied_nav.geometry import pose2d
from embodied_nav.view import LivePage

pytestmark = pytest.mark.ros


def recording(shown, name, original):
    """A method that notes what it is called with."""

    def record(*values):
        shown[name] = values
        original(*values)

    return record


@pytest.fixture
def viewed(start_graph, monkeypatch):
    """A reasoner in a room with a sofa, and a view node of the test's own that believes to be looked at."""
    from rclpy.parameter import Parameter

    from embodied_nav.nodes.view import ViewNode

    settings = {"standing_patience": 600.0, "navigator.patience": 300.0, "map_patience": 600.0}
    graph = start_graph([Process("reasoner", "reasoner", settings, respawn=False)])
    graph.show_a_room_with_a_sofa()
    graph.visitors = 1
    monkeypatch.setattr(LivePage, "visitors", property(lambda _: graph.visitors))
    graph.view = ViewNode(context=graph.context, parameter_overrides=[Parameter("page.port", value=0)])
    graph.executor.add_node(graph.view)
    graph.shown = {}
    for name in ("goal", "decision", "objects", "robot", "plan", "answer", "tell", "whole_map", "changed_map"):
        monkeypatch.setattr(graph.view.page, name, recording(graph.shown, name, getattr(graph.view.page, name)))
    yield graph
    graph.view.page.close()
    graph.view.destroy_node()


def test_a_click_drives_and_stop_ends_it(viewed):
    shown, page = viewed.shown, viewed.view.page
    assert viewed.until(lambda: shown.get("objects", ((),))[0], 60.0)
    (sofa,) = shown["objects"][0]
    assert viewed.until(viewed.view._client.ready, 90.0), viewed.said
    page.clicked(sofa)
    assert viewed.until(lambda: shown.get("decision", (None,))[0] is not None, 60.0), shown.get("goal")
    made = shown["decision"][0]
    assert shown["goal"][0] == "go to the red sofa" and made.option.object_id == sofa.id
    assert viewed.until(lambda: len(shown.get("plan", ((),))[0]) > 1, 30.0)
    assert viewed.until(lambda: "on the way" in shown["goal"][1], 30.0)
    page._wishes.stop()
    assert viewed.until(lambda: "cancelled" in shown["goal"][1], 30.0), shown["goal"]
    page._wishes.go("find the red sofa")  # another one, by the same client
    assert viewed.until(lambda: shown["goal"][0] == "find the red sofa" and "on the way" in shown["goal"][1], 60.0)
    page._wishes.go("go to the red sofa")  # replaces it: the first one's end is not told as this one's
    assert viewed.until(lambda: shown["goal"][0] == "go to the red sofa" and "on the way" in shown["goal"][1], 60.0)
    viewed.spin(1.5)
    assert "on the way" in shown["goal"][1]


def test_a_refused_sentence_is_told(viewed):
    assert viewed.until(viewed.view._client.ready, 90.0), viewed.said
    viewed.view.page._wishes.go("dance a waltz")
    assert viewed.until(lambda: viewed.shown.get("goal", ("", ""))[1].startswith("ended: "), 60.0), viewed.shown


def test_a_question_is_answered_from_where_the_robot_is(viewed):
    from embodied_nav.srv import Ask
    from nav_msgs.msg import Odometry

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import header, pose_msg

    viewed.view.page._wishes.ask("where am I?")
    assert viewed.until(lambda: "answer" in viewed.shown, 20.0)
    assert "nobody answers" in viewed.shown["answer"][0]
    asked = []

    def answer(request, response):
        asked.append(request)
        response.success, response.answer = True, f"you asked: {request.text}"
        return response

    viewed.node.create_service(Ask, "ask", answer)
    publisher = viewed.node.create_publisher(Odometry, "odom", qos.reliable())
    message = Odometry(header=header(1, "odom"))
    message.pose.pose = pose_msg(pose2d(3.0, 1.0, 0.5))
    viewed.node.create_timer(0.05, lambda: publisher.publish(message))
    assert viewed.until(viewed.view._ask.service_is_ready, 30.0)
    assert viewed.until(lambda: "robot" in viewed.shown and viewed.shown["robot"][0][0, 3] == 3.0, 30.0)
    for _ in range(50):  # the room's own odometry says (0, 0) in between
        viewed.view.page._wishes.ask("where is the red sofa?")
        viewed.until(lambda: len(asked) and viewed.shown["answer"][0].startswith("you asked"), 10.0)
        if asked[-1].near.x == 3.0:
            break
    assert asked[-1].use_near and (asked[-1].near.x, asked[-1].near.y) == (3.0, 1.0)
    assert viewed.shown["answer"][0] == "you asked: where is the red sofa?"


def test_the_map_is_heard_only_while_somebody_looks(viewed):
    from sensor_msgs.msg import PointCloud2

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import cloud_msg, header

    random = np.random.default_rng(1)
    positions, colors = random.uniform(0, 4, (50, 3)).astype(np.float32), random.integers(0, 255, (50, 3), np.uint8)
    whole = viewed.node.create_publisher(PointCloud2, "memory/voxels", qos.latched())
    changes = viewed.node.create_publisher(PointCloud2, "memory/voxel_changes", qos.reliable(5))
    ones, none = np.ones(50, np.float32), np.zeros(50, np.int32)
    whole.publish(cloud_msg(positions, colors, none, ones, header(1, "map")))
    assert viewed.until(lambda: "whole_map" in viewed.shown, 30.0)
    assert np.array_equal(viewed.shown["whole_map"][0], positions)
    assert viewed.until(lambda: whole.get_subscription_count() == 0, 10.0), "left again once it came"
    assert viewed.until(lambda: changes.get_subscription_count() == 1, 10.0)
    changes.publish(cloud_msg(positions[:5], colors[:5], none[:5], ones[:5], header(2, "map")))
    assert viewed.until(lambda: "changed_map" in viewed.shown, 30.0)
    assert np.array_equal(viewed.shown["changed_map"][1], colors[:5])
    viewed.visitors = 0
    assert viewed.until(lambda: changes.get_subscription_count() == 0, 10.0)
    viewed.visitors = 1
    viewed.shown.clear()
    assert viewed.until(lambda: "whole_map" in viewed.shown, 30.0), "who comes back gets all of it"


def test_a_page_that_cannot_be_served_harms_nobody(start_graph):
    """As in demo and replay: its end is told once, and nothing else ends."""
    settings = {"page.host": "192.0.2.1"}
    graph = start_graph(
        [Process("control", "control"), Process("view", "view", settings, respawn=False, optional=True)]
    )
    ended = {}

    def done():
        ended.update(graph.supervisor.poll())
        return graph.said

    assert graph.until(done, 90.0)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        done()
        time.sleep(0.05)
    assert graph.said == ["view ended with 2; the others go on without it"] and not ended
    assert graph.supervisor.restarts == {"control": 0, "view": 0}
