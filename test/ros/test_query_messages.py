"""Service messages of questions that a model answers by meaning: they say that they guess, and wait for no model."""

import threading

import numpy as np
import pytest

from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.geometry import T_LINK_OPTICAL, Camera, pose2d
from embodied_nav.language.meaning import Meaning
from embodied_nav.memory import SpatialMemory

pytestmark = pytest.mark.ros


class Sitting:
    """Embeds what has to do with sitting, and the rest."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return np.array([[1.0, 0.0] if "sit" in text else [0.0, 1.0] for text in texts], np.float32)


@pytest.fixture(scope="module")
def memory():
    camera, depth, segments = Camera.from_hfov(80, 60, 1.2), np.full((60, 80), 3.0, np.float32), np.zeros((60, 80))
    depth[20:40, 10:30], segments[20:40, 10:30] = 2.0, 1
    T = pose2d(0, 0, 0, 0.8) @ T_LINK_OPTICAL
    frame = RGBDFrame(10**9, camera, T, np.full((60, 80, 3), 200, np.uint8), depth)
    memory = SpatialMemory()
    memory.add_keyframe(Keyframe(0, frame, float("nan"), 0, "first"))
    memory.integrate(frame)
    seen = (ObjectObservation("chair", "red", 0.9, np.array([2.0, 0.7, 0.8]), np.full(3, 0.5), (10, 20, 30, 40)),)
    memory.add_delta(SemanticDelta(0, -1, 10**9, "test", "", seen, seen, segments=segments.astype(np.uint16)))
    return memory


def query(memory, text):
    from embodied_nav.srv import QueryMemory

    from embodied_nav.nodes.ros import query_messages

    response = QueryMemory.Response()
    query_messages.find(memory, QueryMemory.Request(text=text), 10**9, response)
    return response


@pytest.mark.parametrize(
    "text",
    [
        "something to sit on in the kitchen",
        "somewhere to sit in the room where we cook",
        "the chair in the room where we cook",
        "where is the room where we cook?",
    ],
)
def test_nothing_is_embedded_while_the_memory_is_locked(memory, text):
    from embodied_nav.nodes.ros import query_messages

    encoder = Sitting()
    query_messages.prepare(Meaning(lambda: encoder), text, memory, threading.Lock())
    before = list(encoder.asked)
    query(memory, text)
    assert encoder.asked == before != []


def test_a_description_is_answered_with_reasons_that_say_so(memory):
    from embodied_nav.srv import Ask

    from embodied_nav.nodes.ros import query_messages

    encoder = Sitting()
    query_messages.prepare(Meaning(lambda: encoder), "somewhere to sit", memory, threading.Lock())
    before = list(encoder.asked)
    found = query(memory, "somewhere to sit")
    assert found.success and [o.label for o in found.objects] == ["chair"] and encoder.asked == before != []
    assert found.message == "1 objects, by meaning: no word of the text names them, or their room"
    assert list(found.reasons) == ["by meaning (1.00)"]
    assert query(memory, "chair").message == "1 objects" and list(query(memory, "chair").reasons) == [""]
    asked = query_messages.answer(memory, Ask.Request(text="where can I sit?"), Ask.Response())
    assert asked.success and "by meaning the nearest is the red chair" in asked.answer
    assert asked.evidence[0].reason == "by meaning (1.00)"


def test_names_load_no_model_and_no_model_is_needed(memory):
    from embodied_nav.nodes.ros import query_messages

    encoder = Sitting()
    query_messages.prepare(Meaning(lambda: encoder), "the red chair", memory, threading.Lock())
    query_messages.prepare(Meaning(lambda: encoder), "between nothing", memory, threading.Lock())
    query_messages.prepare(None, "somewhere to sit", memory, threading.Lock())
    assert encoder.asked == []


def test_a_model_that_cannot_be_loaded_is_said_in_the_answer(memory):
    from embodied_nav.srv import Ask

    from embodied_nav.errors import InputError
    from embodied_nav.nodes.ros import query_messages

    def load():
        raise InputError("no model here; install it")

    query_messages.prepare(Meaning(load), "somewhere to sit", memory, threading.Lock())
    found = query(memory, "somewhere to sit")
    assert not found.success and found.message == "no model here; install it"
    asked = query_messages.answer(memory, Ask.Request(text="where can I sit?"), Ask.Response())
    assert not asked.success and asked.answer == "no model here; install it"
