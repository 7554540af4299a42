"""Encoding in the background: the latest keyframe wins, failures are told and waited out, nothing waits."""

import threading
import time

import numpy as np
import pytest

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.perception.encoders import BackgroundEncoder


def keyframe(i):
    color = np.full((6, 8, 3), i, np.uint8)
    return Keyframe(i, RGBDFrame(i + 1, Camera(8, 6, 6.0, 6.0, 4.0, 3.0), np.eye(4), color), 1.0, 0, "test")


class Slow:
    """Waits to be let go for each frame; answers with the picture's value."""

    name, dim, knows_words = "slow:1", 2, False

    def __init__(self):
        self.begun, self.go, self.fault = threading.Semaphore(0), threading.Semaphore(0), None

    def encode(self, frame):
        self.begun.release()
        assert self.go.acquire(timeout=10)
        if self.fault is not None:
            raise self.fault
        return np.full((1, 1, 2), frame.color[0, 0, 0], np.float32)


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def slow():
    model, got, now = Slow(), [], [0.0]
    background = BackgroundEncoder(model, lambda k, grid: got.append((k.id, float(grid[0, 0, 0]))), lambda: now[0])
    yield model, background, got, now
    for _ in range(100):
        model.go.release()
    background.close()


def test_the_latest_keyframe_wins_and_put_never_waits(slow):
    model, background, got, _ = slow
    background.put(keyframe(0))
    assert model.begun.acquire(timeout=10)
    start = time.monotonic()
    for i in range(1, 50):
        background.put(keyframe(i))
    assert time.monotonic() - start < 1.0 and got == []
    model.go.release(), model.go.release()
    until(lambda: len(got) == 2)
    assert got == [(0, 0.0), (49, 49.0)] and dict(background.counts) == {"encoded": 2, "dropped": 48}


@pytest.mark.parametrize("fault", [RuntimeError("out of\nmemory"), KeyError("x"), None])
def test_a_failure_is_told_and_waited_out_and_the_thread_lives(slow, fault):
    model, background, got, now = slow
    model.fault = fault
    if fault is None:
        model.dim = 3  # its features are of another size than it says
    background.put(keyframe(0))
    model.go.release()
    until(lambda: background.counts["failed"] == 1)
    assert "\n" not in background.last_error and background.last_error
    background.put(keyframe(1))
    until(lambda: background.counts["dropped"] == 1)
    model.fault, model.dim, now[0] = None, 2, 1.5
    background.put(keyframe(2))
    model.go.release()
    until(lambda: got)
    assert got == [(2, 2.0)] and background.last_error == ""


def test_nothing_is_told_after_closing(slow):
    model, background, got, _ = slow
    background.put(keyframe(0))
    assert model.begun.acquire(timeout=10)
    closing = threading.Thread(target=background.close)
    closing.start()
    until(lambda: background._closing)
    model.go.release()
    closing.join(10)
    background.put(keyframe(1))
    assert got == [] and not background._thread.is_alive()
