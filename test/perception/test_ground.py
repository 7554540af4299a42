"""Which way is up: what one odd view may change, and what several may."""

import numpy as np
import pytest

from embodied_nav.perception import surfaces
from embodied_nav.perception.ground import Ground

LEVEL = np.array([0.0, 0.0, 1.0])
SLANTED = np.array([np.sin(0.6), 0.0, np.cos(0.6)])


@pytest.fixture
def seen(monkeypatch):
    """Calls a ground with the up direction that a view shows, and the floor 1 m below the camera."""
    ground, shown = Ground(), []
    monkeypatch.setattr(surfaces, "estimate_up", lambda grid, prior: shown[-1])
    monkeypatch.setattr(surfaces, "find_floor", lambda grid, up, height: height - 1.0)
    T = np.eye(4)
    T[2, 3] = 1.0

    def look(up):
        shown.append(up)
        ground.update(None, T)
        return ground

    return look


def test_a_slanted_back_rest_that_few_views_show_changes_nothing(seen):
    seen(LEVEL)
    for _ in range(5):
        for up in (SLANTED, SLANTED, SLANTED, LEVEL):
            ground = seen(up)
    np.testing.assert_allclose(ground.up, LEVEL, atol=1e-9)
    assert ground.floor == pytest.approx(0.0)


def test_a_wrong_beginning_is_corrected_by_views_that_agree(seen):
    seen(SLANTED)
    for _ in range(4):
        ground = seen(LEVEL)
    np.testing.assert_allclose(ground.up, LEVEL, atol=1e-9)
    assert ground.floor == pytest.approx(0.0)


def test_views_that_contradict_each_other_correct_nothing(seen):
    seen(LEVEL)
    for k in range(12):
        ground = seen(SLANTED if k % 2 else np.array([-SLANTED[0], 0.0, SLANTED[2]]))
    np.testing.assert_allclose(ground.up, LEVEL, atol=1e-9)


def test_a_small_error_of_the_mount_is_followed(seen):
    true = np.array([np.sin(0.05), 0.0, np.cos(0.05)])
    seen(LEVEL)
    for _ in range(20):
        ground = seen(true)
    np.testing.assert_allclose(ground.up, true, atol=1e-3)
