"""A slow back end is asked in the background: geometry at once, the latest keyframe wins, dropped ones are merged."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from box_scene import NAMES, camera_pose, keyframe
from test_resilient import good

from embodied_nav.errors import InputError
from embodied_nav.perception import (
    BackgroundPerception,
    PerceptionError,
    ResilienceConfig,
    ResilientPerception,
    make_resilient,
)
from embodied_nav.perception.chat_server import ServerConfig

KEYS = [keyframe(i, camera_pose(yaw=0.1 * i)) for i in range(6)]


class Slow:
    """Answers when told to; notes what it is asked and what it is told of."""

    name = "slow"

    def __init__(self):
        self.pairs, self.skipped, self.go, self.fail = [], [], threading.Semaphore(0), False

    def skip(self, key):
        self.skipped.append(key.id)

    def perceive(self, previous, current, instruction):
        self.pairs.append((None if previous is None else previous.id, current.id))
        self.go.acquire(timeout=20)
        if self.fail:
            raise PerceptionError("server is down")
        return good(current)


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def answers():
    return []


@pytest.fixture
def background(slow, answers):
    asked = ResilientPerception(slow, 20.0, config=ResilienceConfig(retry_first=0.0))
    asked.fallback.perceive(None, KEYS[5], "")  # compiles
    found = BackgroundPerception(asked, answers.append)
    yield found
    slow.go.release(100)
    found.close()


def until(condition):
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_geometry_is_there_at_once_and_the_latest_keyframe_wins(background, slow, answers):
    start = time.monotonic()
    for previous, current in zip((None, *KEYS), KEYS, strict=False):
        delta = background.perceive(previous, current, "find the sofa")
        assert delta.stale and (delta.source, delta.keyframe_id) == ("geometric", current.id)
        until(lambda: slow.pairs)
    assert slow.pairs == [(None, 0)] and time.monotonic() - start < 15.0, "nobody waited 20 s for the slow one"
    assert background.behind(KEYS[0].frame.stamp) == float("inf")
    assert background.progress(KEYS[0].frame.stamp) == "nothing yet"
    slow.go.release()
    until(lambda: len(slow.pairs) == 2)
    assert slow.pairs[1] == (4, 5) and slow.skipped == [1, 2, 3, 4]
    assert [d.keyframe_id for d in answers] == [0] and not answers[0].stale
    assert background.behind(KEYS[5].frame.stamp) == 5.0
    assert background.progress(KEYS[5].frame.stamp) == "5.0 s ago"
    slow.go.release()
    until(lambda: len(answers) == 2)
    assert answers[1].keyframe_id == 5 and background.behind(KEYS[5].frame.stamp) == 0.0


def test_it_is_told_of_a_dropped_keyframe_before_it_is_asked_about_the_next(background, slow):
    told, skip = [], slow.skip

    def late_skip(key):
        slow.go.release(2)  # the answer that is out comes: the thread is free to take the next keyframe
        end = time.monotonic() + 0.3
        while len(slow.pairs) < 2 and time.monotonic() < end:
            time.sleep(0.005)
        told.append(len(slow.pairs))
        skip(key)

    slow.skip = late_skip
    background.perceive(None, KEYS[0], "")
    until(lambda: slow.pairs)
    background.perceive(KEYS[0], KEYS[1], "")
    background.perceive(KEYS[1], KEYS[2], "")
    until(lambda: len(slow.pairs) == 2)
    assert slow.pairs[1] == (1, 2) and slow.skipped == [1]
    assert told == [1], "keyframe 2 was asked about before it was told of 1"


def test_a_failure_leaves_geometry_and_the_next_keyframe_is_asked_about(background, slow, answers):
    slow.fail = True
    slow.go.release()
    background.perceive(None, KEYS[0], "")
    until(lambda: background.asked.failures == 1)
    assert background.asked.last_error == "PerceptionError: server is down"
    slow.fail = False
    slow.go.release()
    background.perceive(KEYS[0], KEYS[1], "")
    until(lambda: answers)
    assert answers[0].keyframe_id == 1 and background.asked.failures == 0


def test_a_new_start_drops_answers_of_the_old_map(background, slow, answers):
    background.perceive(None, KEYS[0], "")
    until(lambda: slow.pairs)
    background.perceive(KEYS[0], KEYS[1], "")
    background.perceive(None, KEYS[2], "")
    background.perceive(KEYS[2], KEYS[3], "")
    assert slow.skipped == [2], "what waited before the start belongs to nothing any more"
    slow.go.release(2)
    until(lambda: len(slow.pairs) == 2 and answers)
    assert slow.pairs[1] == (None, 3), "the start, which was dropped, is made up for"
    assert [d.keyframe_id for d in answers] == [3]


def test_while_it_backs_off_keyframes_are_merged():
    slow, now = Slow(), [0.0]
    slow.go.release(100)
    asked = ResilientPerception(slow, 20.0, config=ResilienceConfig(retry_first=10.0), clock=lambda: now[0])
    slow.fail = True
    assert asked.ask(None, KEYS[0], "") is None and asked.ask(KEYS[0], KEYS[1], "") is None
    assert slow.skipped == [1] and asked.counts == {"error": 1, "waiting": 1}


def test_it_ends_while_an_answer_is_out(background, slow, answers):
    background.perceive(None, KEYS[0], "")
    until(lambda: slow.pairs)
    start = time.monotonic()
    background.close(0.1)
    assert time.monotonic() - start < 10.0, "20 s would be the answer"
    slow.go.release()
    time.sleep(0.05)
    assert not answers


def test_a_back_end_that_cannot_be_made_is_told_and_geometry_goes_on(monkeypatch):
    pytest.importorskip("openai", reason="needs openai: the extra 'server'")
    monkeypatch.delenv("MY_KEY", raising=False)
    settings, told = ServerConfig(key_variable="MY_KEY"), []
    made = make_resilient("server", settings, tell=told.append)
    delta = made.perceive(None, KEYS[0], "find the red sofa")
    assert delta.stale and len(delta.objects) >= 3 and made.name == "server"
    assert len(told) == 1 and "MY_KEY holds no key" in told[0] and "geometry" in told[0] and "\n" not in told[0]
    assert "MY_KEY holds no key" in made.last_error
    assert make_resilient("server", ServerConfig(timeout=100.0), tell=told.append).timeout > 100.0, "its own deadline"
    with pytest.raises(InputError, match="MY_KEY holds no key"):
        make_resilient("server", settings, ResilienceConfig(fallback="none"), tell=told.append)
    with pytest.raises(InputError, match="unknown perception 'sever'"):
        make_resilient("sever", tell=told.append)
    assert len(told) == 1


def test_a_late_answer_still_votes_after_the_stale_one():
    from embodied_nav.memory import MemoryConfig, SpatialMemory
    from embodied_nav.perception import create

    truth = create("simulator")
    truth.set_instances(NAMES)
    memory = SpatialMemory(MemoryConfig())
    for current in KEYS:
        memory.integrate(current.frame)
        memory.add_keyframe(current)
        memory.add_delta(replace(good(current), stale=True))
    assert not memory.objects(), "what is stale does not vote"
    for current in KEYS:
        memory.add_delta(truth.perceive(None if current.id == 0 else KEYS[0], current, ""))
    found = {o.name: o.position for o in memory.objects()}
    assert {"red sofa", "blue chair", "green plant"} <= set(found)
    assert np.linalg.norm(found["blue chair"][:2] - (3.25, -0.9)) < 0.3
