"""Metrics against values worked out by hand and against plain definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.sim.metrics import EpisodeMetrics, dynamic_time_warping, normalized_dtw


def run(points, distances, reached, stopped, **kwargs):
    metrics = EpisodeMetrics(points[0], distances[0], reached[0], **kwargs)
    for point, distance, there in zip(points[1:], distances[1:], reached[1:], strict=True):
        metrics.update(point, distance, there)
    return metrics.result(stopped)


def test_success_by_hand():
    # 4 m straight, driven as 3 + 2: path 5, d0 4.
    result = run([(0, 0), (3, 0), (3, 2)], [4.0, 2.0, 0.5], [False, False, True], True)
    assert result.success is True
    assert result.path_length == 5.0
    assert result.spl == pytest.approx(4.0 / 5.0, abs=1e-15)
    assert result.soft_spl == pytest.approx((1 - 0.5 / 4.0) * 0.8, abs=1e-15)
    assert result.distance_to_goal == 0.5
    assert result.oracle_success is True
    assert result.steps == 2


def test_reaching_without_stop_is_oracle_success_only():
    result = run([(0, 0), (4, 0), (8, 0)], [4.0, 0.0, 4.0], [False, True, False], True)
    assert (result.success, result.spl, result.oracle_success) == (False, 0.0, True)
    assert result.soft_spl == 0.0
    assert not run([(0, 0), (4, 0)], [4.0, 0.0], [False, True], False).success


def test_oracle_success_includes_the_start():
    result = run([(0, 0), (2, 0)], [0.5, 2.5], [True, False], True)
    assert result.oracle_success is True and result.success is False
    # Farther away than at the start: no negative progress.
    assert result.soft_spl == 0.0


def test_radius_is_strict():
    assert not run([(0, 0), (1, 0)], [4.0, 3.0], [None, None], True, radius=3.0).success
    assert run([(0, 0), (1, 0)], [4.0, 2.9999999], [None, None], True, radius=3.0).success


def test_a_path_shorter_than_d0_scores_one():
    assert run([(0, 0), (3, 0)], [3.5, 0.0], [False, True], True).spl == 1.0


def test_path_is_three_dimensional_and_turning_on_the_spot_is_free():
    result = run([(0, 0, 0), (1, 2, 2), (1, 2, 2)], [3.0, 1.0, 1.0], [False] * 3, False)
    assert result.path_length == 3.0 and result.steps == 2


def test_collisions_count_steps():
    metrics = EpisodeMetrics((0, 0), 4.0, False)
    for k in range(6):
        metrics.update((0.1 * k, 0), 4.0, False, collided=k % 2 == 0)
    assert metrics.result(True).collisions == 3


def test_a_routes_length_stands_in_for_d0():
    result = run([(0, 0), (6, 0)], [4.0, 0.0], [False, True], True, shortest=6.0)
    assert result.spl == 1.0


def test_accumulates_in_float64():
    metrics = EpisodeMetrics(np.zeros(2, dtype=np.float32), 4.0, False)
    for k in range(1, 100_001):
        metrics.update((k * 1e-4, 0.0), 4.0, False)
    assert metrics.path_length == pytest.approx(10.0, abs=1e-9)


def test_dtw_by_hand():
    a, b = np.array([[0.0, 0], [1, 0], [2, 0]]), np.array([[0.0, 1], [2, 1]])
    # 1 + sqrt(2) + 1: the middle point goes to either end.
    assert dynamic_time_warping(a, b) == pytest.approx(2 + math.sqrt(2), abs=1e-12)
    assert normalized_dtw(a, b) == pytest.approx(math.exp(-(2 + math.sqrt(2)) / (2 * 3.0)), abs=1e-12)


def test_ndtw_drops_repeated_positions_and_sdtw_needs_success():
    reference = np.array([[0.0, 0], [2, 0], [4, 0]])
    moving = [(0, 0), (2, 0.5), (4, 0)]
    waiting = [(0, 0), (0, 0), (2, 0.5), (2, 0.5), (2, 0.5), (4, 0)]
    kwargs = {"reference_path": reference}
    one = run(moving, [4.0, 2.0, 0.0], [False, False, True], True, **kwargs)
    two = run(waiting, [4.0, 4.0, 2.0, 2.0, 2.0, 0.0], [False] * 5 + [True], True, **kwargs)
    assert one.ndtw == two.ndtw == pytest.approx(math.exp(-0.5 / 9.0), abs=1e-12)
    assert one.sdtw == one.ndtw
    assert run(moving, [4.0, 2.0, 0.0], [False, False, True], False, **kwargs).sdtw == 0.0
    assert math.isnan(run(moving, [4.0, 2.0, 0.0], [False, False, True], True).ndtw)


paths = st.lists(st.tuples(*[st.floats(-20, 20)] * 2), min_size=1, max_size=12).map(np.array)


@settings(max_examples=80, deadline=None)
@given(paths, paths)
def test_dtw_agrees_with_the_textbook(a, b):
    table = np.full((len(a) + 1, len(b) + 1), np.inf)
    table[0, 0] = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            step = min(table[i, j], table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = math.dist(a[i], b[j]) + step
    assert dynamic_time_warping(a, b) == pytest.approx(table[-1, -1], rel=1e-9, abs=1e-9)
    assert dynamic_time_warping(a, b) == pytest.approx(dynamic_time_warping(b, a), rel=1e-9, abs=1e-9)
    assert dynamic_time_warping(a, a) == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-9, 9)] * 2), min_size=2, max_size=20), st.floats(0.5, 30), st.booleans())
def test_scores_stay_in_range(points, d0, stopped):
    distances = [d0] + [abs(p[0]) for p in points[1:]]
    result = run(points, distances, [d < 1.0 for d in distances], stopped)
    assert 0.0 <= result.spl <= result.success <= 1
    assert 0.0 <= result.soft_spl <= 1.0
    assert result.success <= result.oracle_success


def test_bad_distances():
    for d0 in (0.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="shortest"):
            EpisodeMetrics((0, 0), d0, False)
    with pytest.raises(ValueError, match="radius"):
        EpisodeMetrics((0, 0), 3.0)
