"""The whole graph in real time: nodes are killed in the middle of a goal, parents are killed, and nothing is left."""

import math
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from embodied_nav.bringup import Process, local_environment

pytestmark = pytest.mark.ros

NODES = ("keyframe", "perception", "memory", "reasoner", "control")


@pytest.fixture
def agent(start_graph, tmp_path):
    """Simulator and agent, with a goal that takes a while."""
    common = {"use_sim_time": True}
    own = {"perception": {"backend": "simulator"}, "memory": {"file": str(tmp_path / "memory.db")}}
    processes = [Process("sim", "sim", {"scene": 1000, "kind": "room"}, respawn=False)]
    processes += [Process(name, name, {**common, **own.get(name, {})}) for name in NODES]
    return start_graph(processes)


def goal(graph, instruction="go to the bathroom"):
    """Sends a goal; what comes back lands in a dictionary."""
    from embodied_nav.nodes.navigate import NavigateClient

    said = {}

    def done(success, reason, result):
        said.update(success=success, reason=reason, at=time.monotonic())

    client = NavigateClient(graph.node, lambda feedback: said.__setitem__("feedback", feedback), done)
    assert graph.until(client.ready, 30.0)
    client.send(instruction)
    return said, client


def poses(graph):
    """(steady time, x, y) of the simulated robot, as they come."""
    from geometry_msgs.msg import PoseStamped

    from embodied_nav.nodes import qos

    found = []
    graph.node.create_subscription(
        PoseStamped,
        "sim/pose",
        lambda m: found.append((time.monotonic(), m.pose.position.x, m.pose.position.y)),
        qos.reliable(),
    )
    return found


def speed(track, seconds=0.3):
    """m/s over the last part of a track."""
    recent = [p for p in track if p[0] > track[-1][0] - seconds]
    return math.dist(recent[0][1:], recent[-1][1:]) / max(recent[-1][0] - recent[0][0], 1e-3)


def test_killed_control_reasoner_and_memory(agent):
    track = poses(agent)
    said, _ = goal(agent)
    assert agent.until(lambda: len(track) > 30 and speed(track) > 0.15, 40.0), "the robot drives"

    os.kill(agent.supervisor.pid("control"), signal.SIGKILL)
    killed = time.monotonic()
    assert agent.until(lambda: speed(track, 0.15) < 0.01, 3.0), "the base stands by its own timeout"
    assert time.monotonic() - killed < 0.5 + 0.5 + 0.4, "cmd_vel_timeout, braking, and a busy machine"
    assert agent.until(lambda: speed(track) > 0.1, 30.0), "control was started again and goes on"
    assert agent.supervisor.restarts["control"] == 1 and "success" not in said

    os.kill(agent.supervisor.pid("memory"), signal.SIGKILL)
    assert agent.until(lambda: agent.supervisor.restarts["memory"] == 1, 3.0)
    frames = said["feedback"]
    assert agent.until(lambda: said["feedback"] is not frames and speed(track) > 0.1, 30.0), "with a new map"

    os.kill(agent.supervisor.pid("reasoner"), signal.SIGKILL)
    killed = time.monotonic()
    assert agent.until(lambda: "success" in said, 4.0)
    assert not said["success"] and "reasoner" in said["reason"]
    assert said["at"] - killed < 2.0, "a goal whose server died is reported within 2 s"
    assert agent.until(lambda: speed(track) < 0.01, 4.0), "without a plan the robot stands"

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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_up(how):
    environment = local_environment()
    domain = environment["ROS_DOMAIN_ID"]
    up = subprocess.Popen(
        [sys.executable, "-P", "-m", "embodied_nav", "up"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "keyframe" in up.stdout.readline()
    time.sleep(1.0 if how != signal.SIGINT else 5.0)  # in the middle of the start, or up and running
    assert len(running(domain)) == len(NODES)
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
