"""Two simulated robots in two namespaces, each with the whole agent: neither hears the other."""

import time
from collections import defaultdict

import pytest

from embodied_nav.bringup.agent_graph import (
    ABSOLUTE_CLOCK,
    ABSOLUTE_TF,
    AgentOptions,
    agent_processes,
    below_namespace,
    sim_process,
)
from embodied_nav.resources import share_path

pytestmark = [pytest.mark.ros, pytest.mark.both_cores]

FILES = tuple(str(share_path(f"config/{name}.yaml")) for name in ("robot", "agent"))
ROBOTS = ("robot1", "robot2")
#: What ROS nodes of all namespaces have in common; nobody acts on it.
COMMON = {"/rosout", "/parameter_events", "/diagnostics"}


def robot(name, folder):
    """What `sim.launch.py namespace:=...` starts."""
    options = AgentOptions(
        params_files=FILES,
        namespace=name,
        use_sim_time=True,
        perception="simulator",
        memory_file=str(folder / f"{name}.db"),
        remappings=below_namespace((*ABSOLUTE_TF, *ABSOLUTE_CLOCK)),
    )
    sim = sim_process(options, {"localization": "truth", "frame_rate": 2.0, "scene": 1000 + ROBOTS.index(name)})
    return [sim, *agent_processes(options)]


def ends(graph):
    """Topic -> namespaces of its publishers and of its subscriptions, without the test's own."""
    node, found = graph.node, defaultdict(lambda: (set(), set()))
    for topic, _ in node.get_topic_names_and_types():
        for k, get in enumerate((node.get_publishers_info_by_topic, node.get_subscriptions_info_by_topic)):
            found[topic][k].update(e.node_namespace for e in get(topic) if e.node_name != "test")
    return found


@pytest.mark.timeout(600)
def test_neither_of_two_robots_hears_the_other(start_graph, tmp_path):
    from geometry_msgs.msg import PoseStamped, Twist
    from nav_msgs.msg import OccupancyGrid
    from rosgraph_msgs.msg import Clock
    from tf2_msgs.msg import TFMessage

    from embodied_nav.nodes.ros import qos

    processes = [process for name in ROBOTS for process in robot(name, tmp_path)]
    for process in processes:  # the supervisor knows them by name
        process.name, process.parameters = process.name, dict(process.parameters)
    graph = start_graph(processes)
    heard = {
        name: {
            kind: graph.listen(message, f"/{name}/{topic}", profile)
            for kind, message, topic, profile in (
                ("pose", PoseStamped, "sim/pose", qos.reliable(50)),
                ("map", OccupancyGrid, "memory/occupancy", qos.latched()),
                ("tf", TFMessage, "tf", qos.reliable(50)),
                ("clock", Clock, "clock", qos.reliable(50)),
            )
        }
        for name in ROBOTS
    }
    absolute = [graph.listen(TFMessage, "/tf", qos.reliable(50)), graph.listen(Clock, "/clock", qos.reliable(50))]
    assert graph.until(lambda: all(all(h.values()) for h in heard.values()), 400), {
        name: {kind: len(messages) for kind, messages in h.items()} for name, h in heard.items()
    }

    drive = graph.node.create_publisher(Twist, "/robot1/cmd_vel_nav", qos.reliable())
    first = {name: heard[name]["pose"][-1].pose.position for name in ROBOTS}
    turn = Twist()
    turn.angular.z = 0.5

    def turned(name):
        now, then = heard[name]["pose"][-1].pose.orientation, heard[name]["pose"][0].pose.orientation
        return abs(now.z * then.w - now.w * then.z) > 0.2

    def drives():
        drive.publish(turn)
        return turned("robot1")

    assert graph.until(drives, 60), "robot1 does what it is told"
    here = {name: heard[name]["pose"][-1].pose.position for name in ROBOTS}
    assert not turned("robot2") and here["robot2"] == first["robot2"], "robot2 was told nothing"

    assert absolute == [[], []], "nothing is on /tf and /clock"
    seen = ends(graph)
    assert {"/robot1/cmd_vel", "/robot2/tf", "/robot1/clock", "/robot2/memory/object_list"} <= set(seen)
    for topic, (publishers, subscriptions) in seen.items():
        if topic not in COMMON:
            assert len(publishers | subscriptions) <= 1, f"{topic} joins {publishers} and {subscriptions}"
    time.sleep(0.5)
    assert all((tmp_path / f"{name}.db").is_file() for name in ROBOTS)
