"""What is new, gone and moved, from views of a wall with things before it."""

import numpy as np
import pytest

from embodied_nav.frames import ObjectObservation, RGBDFrame
from embodied_nav.geometry import T_LINK_OPTICAL, Camera
from embodied_nav.perception.history import History

CAMERA = Camera(64, 48, 40.0, 40.0, 31.5, 23.5)


def frame(*boxes, wall=4.0):
    """A camera at the origin that looks along x at a wall; boxes (u0, u1, depth) stand before it."""
    depth = np.full((48, 64), wall, np.float32)
    for u0, u1, z in boxes:
        depth[16:32, u0:u1] = z
    return RGBDFrame(0, CAMERA, T_LINK_OPTICAL.copy(), np.zeros((48, 64, 3), np.uint8), depth)


def seen(label, u0, u1, z, color="red"):
    """What perception would tell of such a box: observation and surface."""
    v, u = np.mgrid[16:32, u0:u1].reshape(2, -1)
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(len(u))], axis=1)
    points = (rays * z) @ T_LINK_OPTICAL[:3, :3].T
    low, high = points.min(axis=0), points.max(axis=0)
    return ObjectObservation(label, color, 0.9, (low + high) / 2, high - low), points.astype(np.float32)


def update(history, things, view):
    return history.update([o for o, _ in things], [p for _, p in things], view)


@pytest.fixture
def history():
    return History(8, 0.15, 0.3)


def names(observations):
    return [o.name for o in observations]


def test_a_thing_is_new_once(history):
    box = (20, 30, 2.0)
    assert names(update(history, [seen("box", *box)], frame(box)).new) == ["red box"]
    changes = update(history, [seen("box", *box)], frame(box))
    assert changes.new == changes.gone == changes.moved == ()


def test_gone_is_what_depth_passes_through_and_not_what_is_hidden_or_missed(history):
    box = (20, 30, 2.0)
    update(history, [seen("box", *box)], frame(box))
    assert update(history, [], frame(box)).gone == (), "still there, only not recognised"
    assert update(history, [], frame((10, 40, 1.0))).gone == (), "hidden"
    assert names(update(history, [], frame()).gone) == ["red box"]
    assert update(history, [], frame()).gone == (), "told once"


def test_moved_is_gone_here_and_new_there(history):
    update(history, [seen("box", 10, 20, 2.0)], frame((10, 20, 2.0)))
    changes = update(history, [seen("box", 40, 50, 2.0)], frame((40, 50, 2.0)))
    assert (names(changes.moved), changes.new, changes.gone) == (["red box"], (), ())
    changes = update(history, [seen("box", 10, 20, 2.0, "blue")], frame((10, 20, 2.0)))
    assert (names(changes.new), names(changes.gone), changes.moved) == (["blue box"], ["red box"], ())


def test_another_label_in_the_same_place_is_another_thing_and_two_alike_are_two(history):
    first = update(history, [seen("box", 10, 20, 2.0), seen("box", 40, 50, 2.0)], frame((10, 20, 2.0), (40, 50, 2.0)))
    assert len(first.new) == 2
    assert names(update(history, [seen("bag", 10, 20, 2.0)], frame((10, 20, 2.0), (40, 50, 2.0))).new) == ["red bag"]


def test_it_forgets_what_was_not_seen_for_longest():
    history = History(2, 0.15, 0.3)
    for k, u0 in enumerate((5, 25, 45)):
        update(history, [seen(f"box {k}", u0, u0 + 8, 2.0)], frame((u0, u0 + 8, 2.0)))
    assert names(update(history, [seen("box 0", 5, 13, 2.0)], frame((5, 13, 2.0))).new) == ["red box 0"]


@pytest.mark.parametrize("count", [10, 96, 97, 150, 191, 192, 1000])
def test_the_points_kept_are_from_all_of_a_surface(history, count):
    points = np.zeros((count, 3), np.float32)
    points[:, 2] = np.linspace(2.0, 0.0, count)  # a view's pixels come from top to bottom
    update(history, [(ObjectObservation("shelf", "", 0.9, np.ones(3), np.ones(3)), points)], frame())
    (thing,) = history._things.values()
    kept = thing.surface[:, 2]
    assert min(count, 48) <= len(kept) <= 96
    assert kept.max() == 2.0 and kept.min() < 0.05 and np.ptp(np.diff(kept)) < 1e-5
