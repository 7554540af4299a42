"""The whole graph in real time: nodes are killed in the middle of a goal, parents are killed, and nothing is left."""

import contextlib
import importlib.util
import math
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from embodied_nav.bringup import Process, composed, local_environment

pytestmark = [pytest.mark.ros, pytest.mark.both_cores]

NODES = ("keyframe", "perception", "memory", "reasoner", "control")


SLAM = importlib.util.find_spec("gtsam") is not None  # the slam node does not start without


@pytest.fixture(params=[False, True], ids=["separate", "composed"])
def agent(start_graph, tmp_path, request):
    """Simulator and agent, which finds itself by SLAM; all but the simulator, which is the robot, are started again."""
    file = str(tmp_path / "memory.db")
    own = {
        "perception": {"backend": "simulator"},
        "memory": {"file": file},
        "slam": {"memory_file": file, "tf_timeout": 1.0},
        "reasoner": {"map_patience": 60.0},  # a memory that is killed on a busy machine takes a while
    }
    sim = {"scene": 1000, "kind": "room", "localization": "slam" if SLAM else "truth"}
    processes = [Process("sim", "sim", sim, respawn=False)]
    names = (*NODES, *(("slam",) if SLAM else ()))
    processes += [Process(name, name, {"use_sim_time": True, **own.get(name, {})}) for name in names]
    return start_graph(composed(processes) if request.param else processes)


def goal(graph, instruction, patience=None):
    """Sends a goal; what comes back lands in a dictionary."""
    from embodied_nav.nodes.navigate import SERVER_GONE, NavigateClient

    said = {}

    def done(success, reason, result):
        said.update(success=success, reason=reason, at=time.monotonic())

    client = NavigateClient(
        graph.node, lambda feedback: said.__setitem__("feedback", feedback), done, patience or SERVER_GONE
    )
    assert graph.until(client.ready, 100.0)
    client.send(instruction)
    return said, client


def poses(graph):
    """(simulated time, x, y, yaw) of the simulated robot, as they come: it stands while the machine does."""
    from geometry_msgs.msg import PoseStamped

    from embodied_nav.geometry import yaw_of
    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import matrix_from_pose, stamp_ns

    found = []

    def arrived(message):
        T = matrix_from_pose(message.pose)
        found.append((stamp_ns(message.header.stamp) / 1e9, T[0, 3], T[1, 3], yaw_of(T)))

    graph.node.create_subscription(PoseStamped, "sim/pose", arrived, qos.reliable())
    return found


def speed(track, seconds=0.3):
    """m/s over the last part of a track, of a point half a metre beside the robot: it turns on the spot, too."""
    recent = [p for p in track if p[0] > track[-1][0] - seconds]
    turned = abs(math.remainder(recent[-1][3] - recent[0][3], math.tau))
    return (math.dist(recent[0][1:3], recent[-1][1:3]) + 0.5 * turned) / max(recent[-1][0] - recent[0][0], 1e-3)


@contextlib.contextmanager
def load():
    """Somebody else who wants a core."""
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        burner.kill()
        burner.wait()


class Killing:
    """Kills nodes of a graph on the way to a goal."""

    def __init__(self, graph) -> None:
        from embodied_nav.msg import Progress

        from embodied_nav.nodes.ros import qos

        self.graph = graph
        self._progress = graph.listen(Progress, "progress", qos.reliable(1000))
        self.diagnostics, self.track = graph.diagnostics(), poses(graph)
        # There is none, so it takes a while. A reasoner that is only held up is not to be taken for dead.
        self.said, _ = goal(graph, "find the dining table", patience=30.0)
        assert graph.until(lambda: len(self.track) > 30 and speed(self.track) > 0.15, 60.0), self.told()

    def told(self):
        """What the nodes say of themselves, for who reads that a test has failed."""
        facts = {name: self.diagnostics(name) for name in (*NODES, "slam")}
        return f"goal: {self.said}, {len(self.track)} poses; " + "; ".join(f"{k}: {v}" for k, v in facts.items())

    def kill(self, *names):
        """Nodes that share a process die together."""
        supervisor = self.graph.supervisor
        self._wanted = {supervisor.process_of(name) for name in names}
        self._before = dict(supervisor.restarts)
        for pid in {supervisor.pid(name) for name in names}:
            os.kill(pid, signal.SIGKILL)

    def started_again(self):
        """What was killed, once; nothing else."""
        restarts = self.graph.supervisor.restarts
        wanted = {name: count + (name in self._wanted) for name, count in self._before.items()}
        assert self.graph.until(lambda: restarts == wanted, 3.0), restarts
        self._progress.clear()

    def finds_itself(self, earlier, file):
        """SLAM and memory go on in the map of before."""
        from embodied_nav.memory.file.inspection import describe

        found = self.graph.until(lambda: self.diagnostics("slam").get("map") == earlier, 60.0)
        assert found, f"SLAM finds itself in the map of before: {self.told()}"
        followed = self.graph.until(lambda: describe(file)["map"] == earlier, 60.0)
        assert followed, f"the memory makes one map of the two: {self.told()}"

    def works(self, name, stage):
        """Through with a new input."""
        done = lambda: any((m.node, m.stage) == (name, stage) for m in self._progress)  # noqa: E731
        assert self.graph.until(done, 90.0), f"{name} works again: {self.diagnostics(name)}"

    def goes_on(self, after):
        """The robot drives on towards the same goal."""
        self.said.pop("feedback", None)
        begun = len(self.track)
        driving = lambda: "feedback" in self.said and len(self.track) > begun + 10 and speed(self.track) > 0.1  # noqa: E731
        assert self.graph.until(lambda: driving() or "success" in self.said, 90.0), f"after {after}: {self.said}"
        assert "success" not in self.said, f"after {after}: {self.said}"


@pytest.mark.timeout(500)
def test_every_node_is_killed_in_the_middle_of_a_goal(agent, tmp_path):
    from embodied_nav.memory.file.inspection import describe

    killing, file = Killing(agent), tmp_path / "memory.db"
    together = SLAM and agent.supervisor.process_of("memory") == agent.supervisor.process_of("slam")
    earlier = describe(file)["map"]
    with load():
        killing.kill("control")
        killed = killing.track[-1][0]
        assert agent.until(lambda: speed(killing.track, 0.15) < 0.01, 5.0), "the base stands by its own timeout"
        assert killing.track[-1][0] - killed < 0.5 + 0.5 + 0.4, "cmd_vel_timeout, braking, and messages on their way"
        killing.started_again()
        killing.kill("keyframe", "perception")
        killing.started_again()
        killing.works("keyframe", "frame")
        killing.works("perception", "keyframe")
        if together:
            killing.finds_itself(earlier, file)
        killing.goes_on("control, keyframe and perception")

        if SLAM:
            killing.kill("slam")
            killing.started_again()
            killing.works("slam", "frame")
            killing.finds_itself(earlier, file)
            killing.goes_on("slam")

        voxels = lambda: int(killing.diagnostics("memory").get("voxels", 0))  # noqa: E731
        agent.spin(1.0)  # what may be lost
        known = voxels()
        killing.kill("memory")
        killing.started_again()
        killing.works("memory", "frame")
        if together:
            killing.finds_itself(earlier, file)
        assert agent.until(lambda: voxels() >= 0.9 * known, 20.0), f"{voxels()} of {known} voxels stood in the file"
        killing.goes_on("memory")

    said, _ = goal(agent, "find the dining table")
    assert agent.until(lambda: "feedback" in said, 10.0)
    killing.kill("reasoner")
    killed = time.monotonic()
    assert agent.until(lambda: "success" in said, 4.0)
    assert not said["success"] and "reasoner" in said["reason"]
    assert said["at"] - killed < 2.0, "a goal whose server died is reported within 2 s"
    assert agent.until(lambda: speed(killing.track) < 0.01, 4.0), "without a plan the robot stands"

    # A new goal after all that: the respawned reasoner takes it, and a bad one says why.
    for _ in range(8):  # until it is up again, which takes seconds on a busy machine
        refused, _ = goal(agent, "go over there")
        assert agent.until(lambda refused=refused: "success" in refused, 10.0)
        if "does not answer" not in refused["reason"]:
            break
    assert not refused["success"] and "names no object" in refused["reason"]
    again, client = goal(agent, "go to the kitchen")
    assert agent.until(lambda: "feedback" in again, 10.0)
    client.cancel()
    assert agent.until(lambda: "success" in again, 3.0) and again["reason"] == "cancelled"


def running(domain):
    """Processes of a graph, by the ROS domain in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ROS_DOMAIN_ID") == domain and "embodied_nav.nodes" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("how", "options", "count"),
    [
        (signal.SIGINT, (), len(NODES)),
        (signal.SIGTERM, (), len(NODES)),
        (signal.SIGKILL, (), len(NODES)),
        (signal.SIGINT, ("--composed",), 3),
        (signal.SIGKILL, ("--composed",), 3),
    ],
)
def test_nothing_is_left_of_up(how, options, count):
    environment = local_environment()
    domain = environment["ROS_DOMAIN_ID"]
    up = subprocess.Popen(
        [sys.executable, "-P", "-m", "embodied_nav", "up", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "keyframe" in up.stdout.readline()
    time.sleep(1.0 if how != signal.SIGINT else 5.0)  # in the middle of the start, or up and running
    assert len(running(domain)) == count
    up.send_signal(how)
    start = time.monotonic()
    _, errors = up.communicate(timeout=10)
    assert time.monotonic() - start < 3.0
    end = time.monotonic() + 1.0
    while running(domain) and time.monotonic() < end:
        time.sleep(0.05)
    assert running(domain) == []
    assert "Traceback" not in errors
    assert up.returncode == (-how if how == signal.SIGKILL else 0)


def test_up_refuses_a_bad_parameter_file(tmp_path):
    def run(text):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        command = [sys.executable, "-P", "-m", "embodied_nav", "up", "--config", str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    for text, told in (
        ("/**/memory: {ros__parameters: {memory: {voxel_size: 7.0}}}", "voxel_size = 7.0"),
        ("/**/memory: {ros__parameters: {memory: {voxelsize: 0.1}}}", "voxelsize"),
        ("/**/memry: {ros__parameters: {file: x}}", "memry"),
        ("control: {control_rate: 20}", "ros__parameters"),
    ):
        done = run(text)
        assert done.returncode == 2 and told in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
