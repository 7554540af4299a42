"""Every managed node under a lifecycle manager: the whole cycle, twice over, and transitions that are impossible."""

import importlib.util
from collections import Counter

import pytest

from embodied_nav.bringup import Process, composed
from embodied_nav.node_table import ALL_NODES
from embodied_nav.nodes.ros.shared import nodes_behind

pytestmark = pytest.mark.ros

NODES = [spec.name for spec in ALL_NODES if spec.lifecycle]
if importlib.util.find_spec("gtsam") is None:
    NODES.remove("slam")  # it does not start without

#: A configured node has compiled its kernels: on a new machine that takes a while.
PATIENCE = 100.0


class Manager:
    """What a lifecycle manager does, for all nodes at once."""

    def __init__(self, graph) -> None:
        from lifecycle_msgs.srv import ChangeState, GetState

        self.graph = graph
        make = graph.node.create_client
        self._change = {name: make(ChangeState, f"{name}/change_state") for name in NODES}
        self._state = {name: make(GetState, f"{name}/get_state") for name in NODES}

    def ready(self):
        """Whether every service answers: the first answers of one just found may be lost, and later changes count."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState, GetState

        impossible = ChangeState.Request(transition=Transition(id=99))
        clients = dict.fromkeys(self._state.values(), GetState.Request())
        clients |= dict.fromkeys(self._change.values(), impossible)
        found = self.graph.until(lambda: all(c.service_is_ready() for c in clients), PATIENCE)
        return found and all(self.graph.ask(c, request) for c, request in clients.items())

    def change(self, label="", number=0):
        """Whether each node has done the transition with this label, or this number."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        return self._ask(self._change, ChangeState.Request(transition=Transition(id=number, label=label)), "success")

    def states(self):
        from lifecycle_msgs.srv import GetState

        return {n: s.label for n, s in self._ask(self._state, GetState.Request(), "current_state").items()}

    def _ask(self, clients, request, field):
        futures = {name: client.call_async(request) for name, client in clients.items()}
        late = [name for name, future in futures.items() if not self.graph.until(future.done, PATIENCE)]
        assert not late, f"no answer from {late}"
        return {name: getattr(future.result(), field) for name, future in futures.items()}


def endpoints(graph):
    """How many publishers and subscriptions of a topic each node has, and its services."""
    node, found = graph.node, Counter()
    for topic, _ in node.get_topic_names_and_types():
        for kind, get in (("out", node.get_publishers_info_by_topic), ("in", node.get_subscriptions_info_by_topic)):
            found.update((kind, topic, e.node_name) for e in get(topic) if set(nodes_behind(e.node_name)) & set(NODES))
    for name in NODES:
        found.update(("service", service, name) for service, _ in node.get_service_names_and_types_by_node(name, "/"))
    return found


class Driver:
    """A camera whose place nobody knows: whoever gets its images refuses them for want of TF, and says so."""

    def __init__(self, graph) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import CameraInfo, Image

        from embodied_nav.nodes.ros import optics, qos

        self.graph, make = graph, graph.node.create_publisher
        self._images = [make(Image, topic, qos.sensor()) for topic in (optics.COLOR, optics.DEPTH)]
        self._info = make(CameraInfo, optics.INFO, qos.sensor())
        self._said = graph.listen(DiagnosticArray, "/diagnostics", qos.reliable(50))

    def is_seen_by(self, *names):
        """Whether all these nodes get its images."""
        self._said.clear()
        return self.graph.until(lambda: self._shoot() or all(self._refused(name) for name in names), 15.0)

    def _refused(self, name):
        statuses = [status for message in self._said for status in message.status if status.name == name]
        return any(pair.key.startswith("refused_no_transform") for status in statuses for pair in status.values)

    def _shoot(self):
        import numpy as np

        from embodied_nav.geometry import Camera
        from embodied_nav.nodes.ros.conversions import camera_info_msg, header, image_msg

        head = header(self.graph.node.get_clock().now().nanoseconds, "camera")
        pixels = np.full((48, 64, 3), 90, np.uint8), np.full((48, 64), 1.5, np.float32)
        self._info.publish(camera_info_msg(Camera(64, 48, 60.0, 60.0, 31.5, 23.5), head))
        for publisher, image, encoding in zip(self._images, pixels, ("rgb8", "32FC1"), strict=True):
            publisher.publish(image_msg(image, encoding, head))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("together", [False, True], ids=["separate", "composed"])
def test_whole_cycle_and_impossible_transitions(start_graph, together):
    processes = [Process(name, name, {"autostart": False}, respawn=False) for name in NODES]
    graph = start_graph(composed(processes) if together else processes)
    manager, driver = Manager(graph), Driver(graph)
    assert manager.ready()
    all_of, none_of = dict.fromkeys(NODES, True), dict.fromkeys(NODES, False)

    assert manager.change("activate") == none_of, "not configured yet"
    assert manager.change(number=99) == none_of and manager.change("dance") == none_of, "there is no such transition"
    assert manager.states() == dict.fromkeys(NODES, "unconfigured")

    for _ in range(2):
        assert manager.change("configure") == all_of
        assert manager.change("activate") == all_of
        assert manager.change("configure") == none_of, "configured already"
        assert manager.states() == dict.fromkeys(NODES, "active")
        assert driver.is_seen_by("keyframe", "memory", "control")
        seen = endpoints(graph)
        assert manager.change("deactivate") == all_of
        assert manager.change("cleanup") == all_of
        assert manager.states() == dict.fromkeys(NODES, "unconfigured")

    assert manager.change("configure") == all_of and manager.change("activate") == all_of
    assert graph.until(lambda: endpoints(graph) == seen, 5.0), "each cycle makes the same topics and services, once"
    assert manager.change(number=7) == all_of, "shut down while active"
    assert manager.states() == dict.fromkeys(NODES, "finalized")
    assert manager.change("configure") == none_of, "nothing comes after the end"
    assert graph.supervisor.poll() == {}, "a lifecycle manager ends no process"
