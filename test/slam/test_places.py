"""Places are recognised from elsewhere, and others refused."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.geometry import invert, pose2d, rotation_angle
from embodied_nav.keyframes import extract
from embodied_nav.slam.places import Places, View, locate

from .conftest import CAMERA

POSES = [pose2d(2.0, 2.5, yaw) for yaw in np.arange(0.0, 6.2, 0.78)]


def _view(studio, T):
    color, depth = studio.shoot(T)
    return View.of(depth, CAMERA, extract(color), normals=True)


@pytest.fixture(scope="module")
def places(room):
    places = Places()
    for k, T in enumerate(POSES):
        places.add(k, _view(room, T))
    return places


@pytest.mark.parametrize("k", [1, 3, 6])
def test_a_place_is_recognised_from_nearby(room, places, k):
    T = POSES[k] @ pose2d(0.3, -0.15, 0.15)
    view = _view(room, T)
    assert k in places.candidates(view)[:2]
    found = places.confirm(view, k)
    truth = invert(POSES[k] @ room.T_base_camera) @ T @ room.T_base_camera
    error = found.T @ invert(truth)
    assert np.linalg.norm(error[:3, 3]) < 0.02 and rotation_angle(error) < 0.01


def test_another_place_is_refused(room, places):
    view = _view(room, POSES[1])
    for other in (4, 5):
        assert places.confirm(view, other) is None


def test_allowed_leaves_the_rest_out(room, places):
    view = _view(room, POSES[2])
    allowed = [k for k in range(len(POSES)) if k != 2]
    assert 2 in places.candidates(view) and 2 not in places.candidates(view, allowed)
    assert Places().candidates(view) == []


def test_a_dropped_view_is_proposed_no_more(room):
    places = Places()
    for k in (3, 7):
        places.add(k, _view(room, POSES[2]))
    places.drop(3)
    assert places.candidates(_view(room, POSES[2])) == [7]
    places.drop(7)
    assert not places.views and not places._index


def test_same_picture_on_another_shape_is_refused(room, places):
    """Wallpaper alone does not make a place: its depth must fit too."""
    view = _view(room, POSES[2])
    flat = np.where(np.isfinite(view.depth), np.float32(2.0), np.nan).astype(np.float32)
    assert places.confirm(View.of(flat, CAMERA, view.features), 2) is None


def test_without_colour_there_is_no_recognition(room, places):
    depth = room.shoot(POSES[0])[1]
    view = View.of(depth, CAMERA, None)
    assert places.candidates(view) == [] and locate(view, places.views[0]) is None
