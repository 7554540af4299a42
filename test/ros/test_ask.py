"""The service ask and a goal with a picture, over DDS: answers with evidence, plain words where there is none."""

import numpy as np
import pytest

from embodied_nav.bringup import Process
from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.geometry import Camera, pose2d

pytestmark = pytest.mark.ros

#: A camera 1 m above the floor that looks along +x (map from optical frame), and 2 cm further on.
LOOKS = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
VIEWS = (LOOKS, pose2d(0.02, 0.0, 0.0) @ LOOKS)
#: What stands before it: instance, label, colour, columns of the image, distance (m).
THINGS = (
    (1, "chair", "red", (40, 90), 2.0),
    (2, "chair", "blue", (130, 180), 2.4),
    (3, "sofa", "green", (220, 290), 3.0),
)


@pytest.fixture(scope="module")
def memory_file(tmp_path_factory):
    """A memory of three things that two keyframes saw."""
    from embodied_nav.memory import SpatialMemory

    memory = SpatialMemory()
    camera = Camera.from_hfov(320, 240, 1.2)
    for number, T in enumerate(VIEWS):
        depth = np.full((240, 320), 4.0, np.float32)
        segments, seen = np.zeros((240, 320), np.uint16), []
        for instance, label, color, (left, right), distance in THINGS:
            depth[120:200, left:right], segments[120:200, left:right] = distance, instance
            optical = np.array([((left + right) / 2 - camera.cx) / camera.fx, (160 - camera.cy) / camera.fy, 1.0])
            place = (T @ [*(optical * distance), 1.0])[:3]
            box = (left, 120, right, 200)
            seen.append(ObjectObservation(label, color, 0.9, place, np.array([0.1, 0.5, 0.8]), box))
        stamp = (number + 1) * 10**9
        frame = RGBDFrame(stamp, camera, T, np.full((240, 320, 3), 120, np.uint8), depth)
        for k in range(3):
            memory.integrate(RGBDFrame(stamp + k, camera, T, frame.color, depth))
        memory.add_keyframe(Keyframe(number, frame, 0.5, 100, "moved"))
        told = {"source": "test", "action": "stay", "objects": tuple(seen), "text": "things", "segments": segments}
        memory.add_delta(SemanticDelta(keyframe_id=number, previous_id=number - 1, stamp=stamp, **told))
    path = tmp_path_factory.mktemp("ask") / "memory.db"
    memory.save(path)
    return path, memory


def test_the_memory_answers_in_words_with_its_evidence(start_graph, memory_file):
    from embodied_nav.srv import Ask
    from geometry_msgs.msg import Point

    path, memory = memory_file
    graph = start_graph([Process("memory", "memory", {"file": str(path)}, respawn=False)])
    client = graph.node.create_client(Ask, "ask")
    assert graph.until(client.service_is_ready, 60.0)

    def ask(text, **more):
        answer = graph.ask(client, Ask.Request(text=text, **more), 10.0, again=1.0)
        assert answer is not None, text
        return answer

    chair = ask("Where is the red chair?")
    assert chair.success and chair.kind == "where" and chair.answer.startswith("The red chair is ")
    evidence = chair.evidence[0]
    known = next(o for o in memory.objects() if o.name == "red chair")
    assert (evidence.object.id, evidence.object.label) == (known.id, "chair")
    place = evidence.object.position
    assert np.allclose((place.x, place.y, place.z), known.position)
    assert list(evidence.keyframe_ids) == [0, 1] and [s.sec for s in evidence.stamps] == [1, 2]
    assert np.allclose([evidence.views[1].position.x, evidence.views[1].position.z], [0.02, 1.0])
    assert chair.map_id == memory.uuid and (chair.header.frame_id, chair.header.stamp.sec) == ("map", 2)

    count = ask("how many chairs are there?", max_evidence=1)
    assert count.success and count.answer == "I know a blue chair and a red chair."
    assert (count.found, len(count.evidence)) == (2, 1)
    near = ask("where is the nearest chair?", use_near=True, near=Point(x=2.0, y=-0.2))
    assert near.evidence[0].object.color == "blue" and "from there" in near.answer
    nowhere = ask("where is the nearest chair?", use_near=True, near=Point(x=float("nan")))
    assert not nowhere.success and nowhere.answer.startswith("near is not finite")
    assert ask("is there a green sofa?").answer.startswith("Yes: I know a green sofa")
    assert ask("is there a bathtub?").answer == "No: I know no bathtub."
    assert ask("what has changed?").answer.startswith("Nothing that I know of")
    lost = ask("how do you feel today?")
    assert not lost.success and not lost.evidence and not lost.kind
    assert lost.answer.startswith("I did not understand") and "where is" in lost.answer
    assert lost.map_id == memory.uuid


def test_a_goal_with_a_picture_is_refused_in_one_line(start_graph):
    from embodied_nav.action import Navigate
    from rclpy.action import ActionClient
    from sensor_msgs.msg import Image

    graph = start_graph([Process("reasoner", "reasoner", {}, respawn=False)])
    client = ActionClient(graph.node, Navigate, "navigate")
    image = Image(height=1, width=2, encoding="rgb8", step=6, data=bytes(6))
    asked = graph.send_goal(client, Navigate.Goal(instruction="find the red sofa", image=image)).get_result_async()
    assert graph.until(asked.done, 10.0)
    result = asked.result().result
    assert not result.success and "search by picture" in result.reason and "\n" not in result.reason
    client.destroy()
