"""A place is given a name in a running graph, left, and gone back to; it is asked for, and kept in the file."""

import math

import pytest

pytest.importorskip("rclpy")

from embodied_nav.bringup import Process

pytestmark = [pytest.mark.ros, pytest.mark.both_cores]


def test_a_place_is_named_left_and_gone_back_to(start_graph, tmp_path):
    from embodied_nav.action import Navigate
    from embodied_nav.srv import Ask, SaveMemory
    from geometry_msgs.msg import PoseStamped
    from rclpy.action import ActionClient

    from embodied_nav.memory import SpatialMemory
    from embodied_nav.nodes.ros import qos
    from embodied_nav.sim.episodes import make_episode

    file = tmp_path / "memory.db"
    sim = {"scene": 1000, "kind": "object", "localization": "truth"}
    own = {"perception": {"backend": "simulator"}, "memory": {"file": str(file)}}
    names = ("keyframe", "perception", "memory", "reasoner", "control")
    processes = [Process("sim", "sim", sim, respawn=False)]
    graph = start_graph([*processes, *(Process(n, n, {"use_sim_time": True, **own.get(n, {})}) for n in names)])
    poses = graph.listen(PoseStamped, "sim/pose", qos.reliable())
    client = ActionClient(graph.node, Navigate, "navigate")
    asking, saving = graph.node.create_client(Ask, "ask"), graph.node.create_client(SaveMemory, "memory/save")

    def here():
        return poses[-1].pose.position.x, poses[-1].pose.position.y

    def tell(sentence, seconds=240.0):
        handle = graph.send_goal(client, Navigate.Goal(instruction=sentence), 120.0)
        result = handle.get_result_async()
        assert graph.until(result.done, seconds), sentence
        return result.result().result

    assert graph.until(lambda: poses and saving.service_is_ready(), 150.0)
    assert graph.until(lambda: graph.ask(saving, SaveMemory.Request()).voxels > 0, 60.0)
    begun = here()
    assert not tell("this is the kitchen").success
    told = tell("this is the docking bay")
    assert told.success and "is called 'docking bay' from now on" in told.reason and told.path_length < 0.1
    found = tell(make_episode(1000, "object", 0).instruction)
    away = here()
    assert found.success and math.dist(away, begun) > 1.5, found.reason
    answer = graph.ask(asking, Ask.Request(text="where is the docking bay?"))
    assert answer.success and answer.kind == "where" and "a place that I was told" in answer.answer
    back = tell("go to the docking bay")
    assert back.success and math.dist(here(), begun) < 0.6, back.reason
    assert graph.ask(asking, Ask.Request(text="remember this spot as second bay")).success
    assert graph.ask(saving, SaveMemory.Request()).success
    kept = SpatialMemory.load(file).places()
    assert set(kept) == {"start", "docking bay", "second bay"}
