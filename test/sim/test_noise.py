"""Drift of odometry and noise of depth: their size, their seeds, what they leave alone."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from embodied_nav.sim.noise import BASELINE, STEPS, DepthNoise, OdometryNoise

HALF_DEGREE = math.radians(0.5)


def drives(count: int, metres: float, drift=0.02, rotation_drift=HALF_DEGREE) -> np.ndarray:
    """countx3 odometry (x, y, yaw) after a straight drive."""
    ends = []
    for seed in range(count):
        noise = OdometryNoise(drift, rotation_drift, np.random.default_rng(seed))
        for _ in range(round(metres / 0.05)):
            noise.update(0.05, 0.0, 0.0)
        ends.append((noise.x, noise.y, noise.yaw))
    return np.array(ends)


def test_drift_of_one_metre_is_as_configured():
    ends = drives(1500, 1.0)
    assert ends[:, 0].mean() == pytest.approx(1.0, abs=0.003)
    assert ends[:, 0].std() == pytest.approx(0.02, rel=0.08)
    assert ends[:, 2].std() == pytest.approx(math.radians(0.5), rel=0.08)
    assert abs(ends[:, 2].mean()) < math.radians(0.05)


def test_drift_is_partly_systematic():
    """Over ten metres half of the variance grows with the square of the distance, half with the distance."""
    ends = drives(600, 10.0, rotation_drift=0.0)
    assert ends[:, 0].std() == pytest.approx(0.02 * math.sqrt(0.5 * 100 + 0.5 * 10), rel=0.1)


def test_steps_of_any_length_drift_alike():
    spread = []
    for pieces in (4, 40):
        ends = []
        for seed in range(1000):
            noise = OdometryNoise(0.02, 0.01, np.random.default_rng(seed))
            for _ in range(pieces):
                noise.update(1.0 / pieces, 0.0, 0.0)
            ends.append((noise.x, noise.yaw))
        spread.append(np.std(ends, axis=0))
    np.testing.assert_allclose(spread[0], spread[1], rtol=0.1)


def test_without_drift_odometry_is_the_truth():
    noise = OdometryNoise(0.0, 0.0, np.random.default_rng(0), turn_drift=0.0)
    for _ in range(4):
        noise.update(1.0, 0.5, math.pi / 2)
    np.testing.assert_allclose(noise.T_odom_base[:2, 3], 0.0, atol=1e-12)
    assert noise.yaw == pytest.approx(2 * math.pi)


def test_odometry_stands_while_the_robot_stands():
    noise = OdometryNoise(0.02, 0.01, np.random.default_rng(0))
    noise.update(0.0, 0.0, 0.0)
    np.testing.assert_array_equal(noise.T_odom_base, np.eye(4))


def test_the_same_seed_gives_the_same_noise_to_the_bit():
    depth = np.random.default_rng(0).uniform(0.5, 8.0, (60, 80)).astype(np.float32)
    a, b, c = DepthNoise(7), DepthNoise(7), DepthNoise(8)
    first = a(depth)
    np.testing.assert_array_equal(first, b(depth))
    assert (first != c(depth)).mean() > 0.3
    assert (first != a(depth)).mean() > 0.3  # the next image of the same sensor


def test_depth_lies_on_eighths_of_disparity():
    depth = np.random.default_rng(1).uniform(0.4, 9.0, (100, 100)).astype(np.float32)
    noisy = DepthNoise(0)(depth)
    steps = BASELINE * STEPS / noisy[np.isfinite(noisy)].astype(np.float64)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.parametrize("z", [0.8, 2.0, 4.0, 7.0])
def test_error_grows_with_the_square_of_depth(z):
    noisy = DepthNoise(3)(np.full((240, 320), z, np.float32)).astype(np.float64)
    step = z * z / (BASELINE * STEPS)  # one step of disparity, in metres
    sigma = math.hypot(0.027778 * STEPS, 1 / math.sqrt(12)) * step
    assert np.abs(noisy - z).max() < 2.5 * step
    assert math.sqrt(((noisy - z) ** 2).mean()) == pytest.approx(sigma, rel=0.6)


def test_edges_jitter_by_a_pixel_and_flat_parts_do_not():
    depth = np.full((4000, 200), 1.0, np.float32)
    depth[:, 100:] = 6.0
    noisy = DepthNoise(0)(depth)
    far = noisy > 3.0
    crossed = far[:, 99].mean(), (~far[:, 100]).mean()
    for share in crossed:  # P(N(0, 0.25) > 0.5) = 2.3%
        assert 0.015 < share < 0.031
    assert not far[:, :98].any() and far[:, 102:].all()


def test_what_is_invalid_or_too_far_stays_invalid():
    depth = np.full((40, 40), np.nan, np.float32)
    depth[:, 10:20], depth[:, 20:30], depth[:, 30:] = 3.0, 12.0, 0.05
    kept = depth.copy()
    noisy = DepthNoise(0, far=10.0)(depth)
    np.testing.assert_array_equal(depth, kept)
    assert np.isnan(noisy[:, :8]).all() and np.isnan(noisy[:, 22:]).all()
    assert np.isfinite(noisy[:, 12:18]).all() and noisy.dtype == np.float32


def test_depth_noise_takes_less_than_three_milliseconds():
    noise, depth = DepthNoise(0), np.full((240, 320), 3.0, np.float32)
    noise(depth)
    rounds = []
    for _ in range(4):
        started = time.process_time()
        for _ in range(10):
            noise(depth)
        rounds.append((time.process_time() - started) / 10)
    assert min(rounds) < 0.003
