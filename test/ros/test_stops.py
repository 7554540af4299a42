"""What stops the robot reaches it whatever its publisher's QoS, and outlasts a process that is killed."""

import itertools
import json
import os
import time

import pytest

pytest.importorskip("rclpy")

from embodied_nav.start_up import GRAPH, RUN

pytestmark = pytest.mark.ros

KINDS = list(itertools.product(("reliable", "best_effort"), ("volatile", "transient_local")))


def profile(reliability, durability):
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy[reliability.upper()],
        durability=DurabilityPolicy[durability.upper()],
    )


@pytest.fixture
def bench(ros_domain, monkeypatch, tmp_path):
    """Nodes that listen to e_stop and enable, and publishers of any kind, in one process."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from std_msgs.msg import Bool

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.stops import Stops

    class Listener(qos.Overridable, rclpy.node.Node):
        pass

    class Bench:
        def __init__(self):
            self.executor = SingleThreadedExecutor()
            self.nodes = []

        def listener(self, enabled=True, required=False, namespace=""):
            node = Listener("control", namespace=namespace)
            self.executor.add_node(node)
            self.nodes.append(node)
            node.stopped = []
            node.stops = Stops(node, enabled, required, node.stopped.append)
            return node

        def publisher(self, topic, kind):
            node = rclpy.create_node(f"button_{len(self.nodes)}")
            self.nodes.append(node)
            return node.create_publisher(Bool, topic, profile(*kind))

        def kill(self, node):
            """As kill -9 does: nothing is told any more."""
            self.executor.remove_node(node)
            self.nodes.remove(node)
            node.destroy_node()

        def until(self, done, timeout=10.0):
            end = time.monotonic() + timeout
            while not done() and time.monotonic() < end:
                self.executor.spin_once(timeout_sec=0.02)
            return done()

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(RUN, raising=False)
    rclpy.init()
    found = Bench()
    yield found
    for node in list(found.nodes):
        found.executor.remove_node(node)
        node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@pytest.mark.parametrize(("topic", "stop", "why"), [("e_stop", True, "e_stop"), ("enable", False, "not enabled")])
def test_every_topic_stops_with_every_qos_and_after_a_kill(bench, kind, topic, stop, why):
    from std_msgs.msg import Bool

    node = bench.listener()
    button = bench.publisher(topic, kind)
    assert bench.until(lambda: button.get_subscription_count() >= 1)
    button.publish(Bool(data=stop))
    assert bench.until(lambda: node.stopped), "not heard"
    assert node.stops.why == why and set(node.stopped) == {why}
    # Killed, and started again while the button is silent or gone: it stands.
    bench.kill(node)
    bench.kill(button_node(bench, button))
    node = bench.listener()
    assert node.stops.why.startswith(why), "forgotten"
    bench.until(lambda: False, 0.2)
    assert node.stops.why.startswith(why)
    # Only who says so lets it go on; and that is kept, too.
    button = bench.publisher(topic, kind)
    assert bench.until(lambda: button.get_subscription_count() >= 1)
    button.publish(Bool(data=not stop))
    assert bench.until(lambda: node.stops.why == "")
    bench.kill(node)
    assert not bench.listener().stops.why.startswith(why)


def button_node(bench, publisher):
    return next(node for node in bench.nodes if publisher in list(node.publishers))


@pytest.mark.parametrize(("topic", "stop"), [("e_stop", True), ("enable", False)])
def test_a_latched_stop_is_heard_by_who_starts_late(bench, topic, stop):
    from std_msgs.msg import Bool

    button = bench.publisher(topic, ("reliable", "transient_local"))
    button.publish(Bool(data=stop))
    time.sleep(0.5)
    node = bench.listener()
    assert bench.until(lambda: node.stopped), "the latched stop did not come"


def test_a_message_counts_once_though_several_subscriptions_hear_it(bench):
    """Else a stop that was taken back would come again, late, through the slower one."""
    from std_msgs.msg import Bool

    node = bench.listener()
    button = bench.publisher("e_stop", ("reliable", "transient_local"))
    bench.until(lambda: node.count_subscribers("e_stop") >= 2)
    for pressed in (True, False, True, False):
        button.publish(Bool(data=pressed))
    bench.until(lambda: node.stops._topics[0].heard >= 4, 5.0)
    bench.until(lambda: False, 0.5)
    assert node.stops._topics[0].heard == 4 and node.stops.why == "" and node.stopped == ["e_stop"] * 2


def test_require_enable_wants_it_said_to_this_very_process(bench):
    from std_msgs.msg import Bool

    enable = bench.publisher("enable", ("best_effort", "volatile"))
    for _ in range(2):
        node = bench.listener(required=True)
        bench.until(lambda: False, 0.5)
        assert "require_enable" in node.stops.why
        assert bench.until(lambda: enable.get_subscription_count() >= 1)
        enable.publish(Bool(data=True))
        assert bench.until(lambda n=node: n.stops.why == "")
        bench.kill(node)


def test_waits_a_moment_for_what_publishers_have_to_say(bench):
    bench.publisher("e_stop", ("reliable", "transient_local"))
    time.sleep(0.3)
    node = bench.listener()
    assert bench.until(lambda: node.stops.why == "waiting for what e_stop says", 1.5)
    assert bench.until(lambda: node.stops.why == "", 4.0), "a button that has never been pressed is no stop"


def test_an_orderly_end_leaves_a_stop_to_its_own_run_alone(bench, monkeypatch):
    from std_msgs.msg import Bool

    monkeypatch.setenv(RUN, "one")
    node = bench.listener()
    button = bench.publisher("e_stop", KINDS[0])
    assert bench.until(lambda: button.get_subscription_count() >= 1)
    button.publish(Bool(data=True))
    assert bench.until(lambda: node.stops.why == "e_stop")
    node.stops.close()
    bench.kill(node)
    bench.kill(button_node(bench, button))
    assert bench.listener().stops.why.startswith("e_stop"), "started again by its supervisor"
    assert bench.listener(namespace="other").stops.why == "", "another robot"
    for run in ("two", ""):
        monkeypatch.setenv(RUN, run)
        assert bench.listener().stops.why == ""


def test_a_graph_of_its_own_is_not_stopped_by_what_was_in_its_domain_before(bench, monkeypatch):
    """A demo and a robot may get the same domain, one after the other."""
    from std_msgs.msg import Bool

    node = bench.listener()
    button = bench.publisher("e_stop", KINDS[0])
    assert bench.until(lambda: button.get_subscription_count() >= 1)
    button.publish(Bool(data=True))
    assert bench.until(lambda: node.stops.why == "e_stop")
    bench.kill(node)
    bench.kill(button_node(bench, button))
    assert bench.listener().stops.why.startswith("e_stop")
    monkeypatch.setenv(GRAPH, "another")
    assert bench.listener().stops.why == ""


def test_a_file_that_cannot_be_read_is_a_stop(bench, tmp_path):
    folder = tmp_path / f"embodied_nav-{os.getuid()}" / "stops"
    folder.mkdir(parents=True)
    (folder / f"{os.environ[GRAPH]}.control.json").write_text("{", encoding="utf-8")
    node = bench.listener()
    assert "cannot be read" in node.stops.why
    node.stops._hear_e_stop(False)
    assert node.stops.why == "" and not list(folder.glob("*.json"))
    node.stops._hear_enable(False)
    assert json.loads(next(folder.glob("*.json")).read_text())["enabled"] is False
