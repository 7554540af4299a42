"""Nodes that share a process: one subscription, one decoded frame, each word heard once; and they fail as one alone."""

import subprocess
import sys
import threading
import time

import pytest

from embodied_nav.bringup import Process, Supervisor, composed, local_environment
from embodied_nav.errors import AlreadyTold

pytestmark = pytest.mark.ros


def message(stamp):
    from embodied_nav.msg import MapIdentity

    found = MapIdentity()
    found.header.stamp.sec = stamp
    return found


def test_what_is_told_in_the_process_is_heard_once():
    from embodied_nav.nodes.ros.shared import Shared

    shared, heard, node = Shared(("slam", "memory")), [], object()
    by_dds = shared.listen("slam/map", node, heard.append)
    shared.tell("slam/map", message(1))
    assert heard == [message(1)], "at once, ahead of DDS"
    by_dds(message(1))
    assert heard == [message(1)], "its echo is left out"
    by_dds(message(1))
    by_dds(message(2))
    assert heard == [message(1), message(1), message(2)], "somebody else's word counts, the same one said again, too"
    shared.forget(node)
    shared.tell("slam/map", message(3))
    assert len(heard) == 3


def test_alone_nothing_is_shared():
    from embodied_nav.nodes.ros.shared import Shared

    alone, calls, hosts = Shared(), [], []
    alone.tell("slam/map", message(1))
    alone.when_open(lambda: calls.append("open"))
    assert calls == ["open"], "nobody is waited for"
    for node in ("a", "b"):
        alone.once("tf", node, hosts.append)
    assert hosts == ["a", "b"], "each node's own"


def test_who_is_behind_the_common_subscription():
    from embodied_nav.nodes.ros.shared import nodes_behind

    assert nodes_behind("_inputs__slam__memory") == ("slam", "memory")
    assert nodes_behind("memory") == ("memory",)


def test_a_set_of_images_is_worked_on_once_and_refused_by_each():
    from sensor_msgs.msg import CameraInfo, Image

    from embodied_nav.nodes.ros.camera_stream import ImageSet
    from embodied_nav.nodes.ros.conversions import BadMessage

    images, calls = ImageSet(Image(), Image(), CameraInfo()), []

    def slow():
        calls.append(1)
        time.sleep(0.05)
        return "pixels"

    def bad():
        calls.append(2)
        raise BadMessage("encoding", "what is that?")

    found = []
    threads = [threading.Thread(target=lambda: found.append(images.once("decoded", slow))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["pixels"] * 3 and calls == [1]
    for _ in range(2):
        with pytest.raises(BadMessage, match="what is that") as raised:
            images.once("pose", bad)
        assert raised.value.fault == "encoding"
    assert calls == [1, 2]


def test_own_wishes_are_told_from_another_controllers():
    from embodied_nav.frames import Velocity
    from embodied_nav.nodes.control import OwnWishes

    class Publisher:
        listeners, sent = 1, 0

        def get_subscription_count(self):
            return self.listeners

        def publish(self, _):
            self.sent += 1

    publisher = Publisher()
    wishes = OwnWishes(publisher)
    wishes.tell(Velocity(0.1, 0.0))
    assert publisher.sent == 0, "nobody but control itself listens"
    publisher.listeners = 2
    before = time.time_ns()
    wishes.tell(Velocity(0.1, 0.0))
    assert publisher.sent == 1
    own = {"publication_sequence_number": 1, "source_timestamp": (before + time.time_ns()) // 2}
    after = {**own, "source_timestamp": time.time_ns() + 1_000_000}
    assert not wishes.wrote({**own, "source_timestamp": before - 1}) and not wishes.wrote(after)
    assert not wishes.wrote({**own, "publication_sequence_number": 2})
    first, _, last = wishes._written[0]
    assert wishes.wrote({"publication_sequence_number": first, "source_timestamp": last})


def test_what_the_start_of_other_nodes_compiles_is_not_late(ros_domain):
    import rclpy

    from embodied_nav.nodes.ros.lifecycle import AgentNode
    from embodied_nav.nodes.ros.shared import Shared

    rclpy.init()
    node = AgentNode("first")
    try:
        node.shared = Shared(("first", "second"))
        node.start()
        assert node.active and node._ready_kernels is None
        node.shared.open()
        assert node._ready_kernels is not None
    finally:
        node.stop()
        node.destroy_node()
        rclpy.try_shutdown()


def test_one_subscription_of_the_camera(start_graph):
    from embodied_nav.nodes.ros.optics import COLOR, DEPTH, INFO

    graph = start_graph(composed([Process(name, name) for name in ("keyframe", "memory")]))
    node = graph.node

    def listeners(topic):
        """Names of those who listen, once DDS has told all of them."""
        found = [e.node_name for e in node.get_subscriptions_info_by_topic(topic)]
        return [] if "_NODE_NAME_UNKNOWN_" in found else found

    for topic in (COLOR, DEPTH, INFO, "/tf"):
        assert graph.until(lambda topic=topic: listeners(topic), 60.0), topic
        assert listeners(topic) == ["_inputs__keyframe__memory"], topic
    names = {name for name, _ in node.get_node_names_and_namespaces()}
    assert {"keyframe", "memory"} <= names
    diagnostics = graph.diagnostics()
    assert graph.until(lambda: diagnostics("keyframe") and diagnostics("memory"), 10.0)
    assert diagnostics("keyframe")["process"] == diagnostics("memory")["process"]


@pytest.mark.parametrize(
    ("name", "parameters", "line"),
    [("keyframe", {"camera.queue": 0}, "camera.queue"), ("memory", {"file": "/nowhere/home.db"}, "/nowhere")],
)
def test_a_mistake_of_the_user_ends_it_with_2_and_one_line(name, parameters, line, capfd):
    wanted = [Process(n, n, parameters if n == name else {}) for n in ("keyframe", "memory")]
    with Supervisor(composed(wanted), local_environment()) as supervisor:
        end = time.monotonic() + 60.0
        with pytest.raises(AlreadyTold, match="composed could not start"):
            while time.monotonic() < end:
                supervisor.poll()
                time.sleep(0.05)
    (said,) = [text for text in capfd.readouterr().err.splitlines() if "error:" in text]
    assert line in said


CRASH = """
import sys
from embodied_nav.nodes.ros.composition import Composition
from embodied_nav.nodes.ros.lifecycle import AgentNode, run, run_process

class Good(AgentNode):
    def __init__(self):
        super().__init__("good")

class Bad(AgentNode):
    def __init__(self):
        super().__init__("bad")

    def configure(self):
        self.create_timer(0.2, lambda: 1 / 0)

run(Bad) if sys.argv[1] == "alone" else run_process(lambda: Composition({"good": Good, "bad": Bad}))
"""


@pytest.mark.parametrize("way", ["alone", "together"])
def test_a_callback_that_raises_ends_the_process_which_is_started_again(way):
    done = subprocess.run(
        [sys.executable, "-c", CRASH, way], env=local_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr, done.stderr
