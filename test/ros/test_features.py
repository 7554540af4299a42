"""Image features between nodes: the message, features and keyframes in any order, and the whole way on a graph."""

import importlib.util
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from embodied_nav.bringup import Process  # noqa: E402
from embodied_nav.memory import MemoryConfig, SpatialMemory  # noqa: E402
from embodied_nav.nodes.ros import features as f  # noqa: E402
from embodied_nav.nodes.ros.conversions import BadMessage  # noqa: E402
from embodied_nav.robot import RobotProfile  # noqa: E402
from embodied_nav.trial import keyframes  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[1] / "perception"))


def grid(rows=3, columns=4, dim=5):
    return np.random.default_rng(0).normal(size=(rows, columns, dim)).astype(np.float32)


def test_a_message_carries_stamp_and_features():
    message = f.features_msg(grid(), 3_000_000_007, "camera")
    assert (message.height, message.width, message.encoding, message.step) == (3, 4, "32FC5", 80)
    stamp, got = f.features_from_msg(message)
    assert stamp == 3_000_000_007 and np.array_equal(got, grid())


@pytest.mark.parametrize(
    ("field", "value"),
    [("encoding", "rgb8"), ("encoding", "32FC0"), ("encoding", "32FC6"), ("width", 5), ("is_bigendian", 1)],
)
def test_a_message_that_does_not_fit_is_refused(field, value):
    message = f.features_msg(grid(), 1, "camera")
    setattr(message, field, value)
    with pytest.raises(BadMessage) as error:
        f.features_from_msg(message)
    assert error.value.fault == "features"


def remembered():
    memory = SpatialMemory(MemoryConfig(feature_dim=5))
    return memory, keyframes(RobotProfile())


@pytest.mark.parametrize("early", [True, False])
def test_features_and_keyframe_meet_whichever_comes_first(early):
    memory, (keyframe, *_) = remembered()
    counts, lock = Counter(), threading.Lock()
    taken = f.MemoryFeatures(counts, 4)
    message = f.features_msg(grid(), keyframe.frame.stamp, "camera")
    memory.integrate(keyframe.frame)
    if early:
        taken.take(message, memory, lock)
    memory.add_keyframe(keyframe)
    taken.keyframe(keyframe, memory)
    if not early:
        taken.take(message, memory, lock)
    assert counts["features"] == 1 and np.abs(memory.features(memory.voxels().positions)).max() > 0
    taken.take(message, memory, lock)
    assert counts["features"] == 1


def test_features_of_an_earlier_map_do_not_get_into_the_next():
    memory, (keyframe, *_) = remembered()
    counts, lock = Counter(), threading.Lock()
    taken = f.MemoryFeatures(counts, 4)
    taken.take(f.features_msg(grid(), keyframe.frame.stamp, "camera"), memory, lock)
    memory.clear()
    memory.integrate(keyframe.frame)
    memory.add_keyframe(keyframe)
    taken.keyframe(keyframe, memory)
    assert not counts["features"]


@pytest.mark.parametrize("text", ["the piano", "where is the piano?", "please show me a piano near the window"])
def test_no_text_is_embedded_for_looks_while_the_memory_is_locked(text):
    from embodied_nav.srv import Ask, QueryMemory

    from embodied_nav.nodes.ros import query_messages
    from embodied_nav.perception.encoders import TextTower
    from embodied_nav.trial import delta

    memory, seen = remembered()
    for keyframe in seen:
        memory.integrate(keyframe.frame)
        memory.add_keyframe(keyframe)
        memory.add_delta(delta(keyframe))
        memory.add_features(keyframe.id, np.ones((3, 4, 5), np.float32))
    asked = []

    def embed(text):
        asked.append(text)
        return np.ones(5) if "piano" in text else -np.ones(5)

    query_messages.prepare(None, text, memory, threading.Lock(), TextTower(embed))
    before = list(asked)
    assert "piano" in " ".join(before) and "stuff" in before
    response = QueryMemory.Response()
    query_messages.find(memory, QueryMemory.Request(text=text), 10**9, response)
    assert response.success and asked == before
    assert response.objects and all(reason.startswith("by its looks (1.00)") for reason in response.reasons)
    if text.startswith("where"):
        reply = query_messages.answer(memory, Ask.Request(text=text), Ask.Response())
        assert reply.answer.startswith("I know nothing by these words; by its looks the nearest is") and asked == before


def test_no_more_wait_than_may():
    pairs = f.Pairs(2)
    for stamp in range(5):
        assert pairs.second(stamp, stamp) is None
    assert [pairs.first(stamp, "x") for stamp in range(5)] == [None, None, None, 3, 4]


@pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("torch", "transformers")), reason="needs the extra 'encoder'"
)
def test_features_go_from_the_camera_to_an_answer(start_graph, tmp_path):
    """A SigLIP2 of random weights: nodes pass its features on, and the service compares them with words."""
    import tiny_encoders as tiny
    from embodied_nav.srv import QueryMemory
    from ros_robot import TestRobot

    tiny.save(tmp_path / "tiny", "siglip2")
    chosen = {"perception.encoder": "clip", "encoder.model": str(tmp_path / "tiny"), "encoder.device": "cpu",
              "encoder.image_size": 64}  # fmt: skip
    graph = start_graph(
        [
            Process("keyframe", "keyframe", {}),
            Process("perception", "perception", {"backend": "geometric", **chosen}),
            Process("memory", "memory", {"file": str(tmp_path / "m.db"), "language_model": "none", **chosen}),
        ]
    )
    told = graph.diagnostics()
    TestRobot(graph.node)
    assert graph.until(lambda: int(told("memory").get("features", 0)) > 0, 120.0), (
        f"{told('memory')} {told('perception')}"
    )
    client = graph.node.create_client(QueryMemory, "memory/query")
    assert graph.until(client.service_is_ready, 10.0)
    answer = graph.ask(client, QueryMemory.Request(text="the piano"), 20.0, again=1.0)
    assert answer is not None and answer.success
    assert all(reason.startswith("by its looks (") for reason in answer.reasons)
    assert not answer.objects or "by meaning: no word of the text names one" in answer.message
