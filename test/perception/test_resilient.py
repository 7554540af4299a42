"""A back end that fails, hangs or talks nonsense leaves the agent with stale geometry and is retried with backoff."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from box_scene import camera_pose, keyframe

from embodied_nav.frames import ObjectObservation, SemanticDelta
from embodied_nav.perception import PerceptionError, ResilienceConfig, ResilientPerception

KEYS = [keyframe(i, camera_pose(yaw=0.1 * i)) for i in range(4)]
CONFIG = ResilienceConfig(retry_first=1.0, retry_longest=4.0)


class Fake:
    """Answers as told."""

    name = "fake"

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def perceive(self, previous, current, instruction):
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(current) if callable(self.answer) else self.answer


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def good(current):
    thing = ObjectObservation("sofa", "red", 0.9, np.ones(3), np.ones(3), (0, 0, 9, 9))
    segments = np.zeros((240, 320), np.uint16)
    segments[:9, :9] = 1
    return SemanticDelta(current.id, -1, current.frame.stamp, "fake", "stay", (thing,), (thing,), text="A red sofa.",
                         segments=segments)  # fmt: skip


def spoilt(**changes):
    return lambda current: replace(good(current), **changes)


def with_object(**changes):
    return lambda current: replace(good(current), gone=(replace(good(current).objects[0], **changes),))


def test_a_good_answer_passes_unchanged():
    backend = Fake(good)
    wrapped = ResilientPerception(backend, 5.0, config=CONFIG)
    delta = wrapped.perceive(None, KEYS[0], "find the sofa")
    assert (delta.source, delta.stale, wrapped.name) == ("fake", False, "fake")
    assert wrapped.counts == {"good": 1}


@pytest.mark.parametrize(
    "answer, said",
    [
        ("The answer is B.", "gave str"),
        (None, "gave NoneType"),
        (spoilt(keyframe_id=99), "keyframe 99 instead of 0"),
        (spoilt(action="teleport"), "unknown action 'teleport'"),
        (spoilt(text="  "), "text of 2 characters"),
        (spoilt(text="la " * 9000), "text of 27000 characters"),
        (spoilt(segments=np.zeros((3, 3), np.uint16)), "segments are (3, 3)"),
        (spoilt(segments=np.full((240, 320), 7, np.uint16)), "segment 7 of 1 objects"),
        (with_object(position=np.array([np.nan, 0, 0])), "not three finite numbers"),
        (with_object(position=np.array([1e6, 0, 0])), "1000000."),
        (with_object(extent=np.array([-1.0, 0, 0])), "m large"),
        (with_object(confidence=17.0), "confidence 17.0"),
        (with_object(label=" "), "object label"),
    ],
)
def test_nonsense_is_replaced_by_stale_geometry(answer, said):
    wrapped = ResilientPerception(Fake(answer), 5.0, config=CONFIG)
    delta = wrapped.perceive(None, KEYS[0], "find the sofa")
    assert delta.stale and delta.source == "geometric" and delta.keyframe_id == 0
    assert len(delta.objects) >= 3
    assert said in wrapped.last_error and wrapped.counts == {"nonsense": 1}


def test_failures_are_retried_with_backoff_and_forgotten_after_success():
    clock = Clock()
    backend = Fake(PerceptionError("server is down"))
    wrapped = ResilientPerception(backend, 5.0, config=CONFIG, clock=clock)
    asked = []
    for _ in range(60):
        before = backend.calls
        assert wrapped.perceive(None, KEYS[0], "").stale
        if backend.calls > before:
            asked.append(clock.now)
        clock.now += 0.25
    assert np.diff(asked).tolist() == [1.0, 2.0, 4.0, 4.0]
    assert wrapped.last_error == "PerceptionError: server is down"
    assert wrapped.counts == {"error": 5, "waiting": 55}
    backend.answer = good
    clock.now += 4.0
    assert not wrapped.perceive(None, KEYS[0], "").stale
    assert wrapped.failures == 0


def test_a_hanging_back_end_costs_one_timeout_and_is_not_called_twice():
    release = threading.Event()

    def hang(current):
        release.wait(20)
        return good(current)

    clock = Clock()
    backend = Fake(hang)
    wrapped = ResilientPerception(backend, 0.2, config=CONFIG, clock=clock)
    wrapped.fallback.perceive(None, KEYS[3], "")  # compiles
    start = time.monotonic()
    assert wrapped.perceive(None, KEYS[0], "").stale
    assert 0.2 <= time.monotonic() - start < 2.0
    clock.now = 100.0
    start = time.monotonic()
    assert wrapped.perceive(KEYS[0], KEYS[1], "").stale
    assert time.monotonic() - start < 0.2
    assert backend.calls == 1 and wrapped.counts == {"late": 1, "waiting": 1}
    late = wrapped._call
    release.set()
    assert late.done.wait(5)
    assert not wrapped.perceive(KEYS[1], KEYS[2], "").stale
    assert backend.calls == 2


def test_a_start_without_a_call_is_made_up_for_by_the_next_call():
    clock, pairs = Clock(), []

    class Noting(Fake):
        def perceive(self, previous, current, instruction):
            pairs.append((None if previous is None else previous.id, current.id))
            return super().perceive(previous, current, instruction)

    backend = Noting(PerceptionError("server is down"))
    wrapped = ResilientPerception(backend, 5.0, config=CONFIG, clock=clock)
    wrapped.perceive(KEYS[0], KEYS[1], "")
    wrapped.perceive(None, KEYS[2], "")
    assert pairs == [(0, 1)] and wrapped.counts["waiting"] == 1, "another map begins while it backs off"
    backend.answer, clock.now = good, 1.0
    wrapped.perceive(KEYS[2], KEYS[3], "")
    wrapped.perceive(KEYS[3], KEYS[0], "")
    assert pairs[1:] == [(None, 3), (3, 0)], "told once"
