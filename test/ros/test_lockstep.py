"""One episode in process and through the ROS graph in lock-step: the same decisions, and hardly another way driven."""

import math
import os
import signal

import pytest

from embodied_nav.bringup import Process, composed
from embodied_nav.evaluation.drivers import create_driver
from embodied_nav.evaluation.runner import run_episode
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode

SCENE = 1001


def in_process(episode):
    driver = create_driver("rules", "simulator", RobotProfile())
    row = run_episode(EmbeddedSimulator(), driver, episode)
    assert row["success"], "the comparison wants an episode that succeeds: take another one"
    return driver.decisions, row


def processes(instruction):
    common = {"use_sim_time": True, "lockstep": True, "tf_timeout": 10.0}
    sim = {"scene": SCENE, "lockstep": True, "frame_rate": 5.0, "steps_per_frame": 4}
    # The client's usual patience is for real time: on a machine that is held up it would end the episode.
    client = {"instruction": instruction, "use_sim_time": True, "patience": 60.0}
    return [
        Process("sim", "sim", sim, respawn=False),
        Process("keyframe", "keyframe", common, respawn=False),
        Process("perception", "perception", {**common, "backend": "simulator"}, respawn=False),
        Process("memory", "memory", common, respawn=False),
        Process("reasoner", "reasoner", common, respawn=False),
        Process("control", "control", common, respawn=False),
        Process("client", "navigate", client, respawn=False),
    ]


def hold_up(graph, name, seconds):
    """Lets a process stand still, as a busy machine does: Fast DDS gives it up after a second and loses its images."""
    os.kill(graph.supervisor.pid(name), signal.SIGSTOP)
    try:
        graph.spin(seconds)
    finally:
        os.kill(graph.supervisor.pid(name), signal.SIGCONT)


def goes_on(graph, poses, done):
    """Whether it comes to an end, however slowly; False where the robot has not been heard of for two minutes."""
    heard = -1
    while heard != len(poses):
        heard = len(poses)
        if graph.until(lambda heard=heard: done() or len(poses) > heard, 120.0) and done():
            return True
    return False


@pytest.mark.ros
@pytest.mark.timeout(400)
@pytest.mark.parametrize("together", [False, True], ids=["separate", "composed"])
def test_same_decisions_as_in_process(start_graph, together):
    from embodied_nav.msg import Decision
    from geometry_msgs.msg import PoseStamped

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import decision_from_msg

    episode = make_episode(SCENE, "object", 0)
    expected, row = in_process(episode)

    wanted = processes(episode.instruction)
    graph = start_graph(composed(wanted) if together else wanted)
    decisions = graph.listen(Decision, "decision", qos.reliable(100))
    poses = graph.listen(PoseStamped, "sim/pose", qos.reliable(100))
    assert goes_on(graph, poses, lambda: decisions), "no first decision"
    for name in ("keyframe", "reasoner"):
        hold_up(graph, name, 2.0)
    over = goes_on(graph, poses, lambda: decisions[-1].options[decisions[-1].chosen].kind == "stop")
    assert over, f"no STOP after {len(decisions)} decisions"
    got = [decision_from_msg(d) for d in decisions]
    assert [(d.stamp, d.option.kind, d.option.text) for d in got] == [
        (d.stamp, d.option.kind, d.option.text) for d in expected
    ]
    for ours, theirs in zip(got, expected, strict=True):
        assert [o.text for o in ours.options] == [o.text for o in theirs.options]
        assert ours.think == theirs.think
    way = [(p.pose.position.x, p.pose.position.y) for p in poses]
    driven = sum(math.dist(a, b) for a, b in zip(way, way[1:], strict=False))
    assert driven == pytest.approx(row["path_length"], rel=0.02, abs=0.1)
