"""The pose graph closes loops, shrugs off outliers and knows how unsure it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embodied_nav.geometry import invert, pose2d
from embodied_nav.slam.icp import exponential, logarithm

pytest.importorskip("gtsam", reason="gtsam is not installed: embodied-nav doctor says how to get it")

from embodied_nav.slam.pose_graph import PoseGraph, _covariance

SIGMA = np.array([0.02, 0.02, 0.001, 0.001, 0.001, 0.01])
INFORMATION = np.diag(SIGMA**-2.0)


def _circle(loops, outlier=None, seed=3):
    """Once around a circle of 20 steps with drift; returns the graph and the truth."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0.0, 2.0 * math.pi, 21)
    truth = np.array([pose2d(3.0 * math.sin(a), 3.0 - 3.0 * math.cos(a), a) for a in angles])
    graph, T = PoseGraph(), truth[0]
    graph.add(T)
    for i in range(1, len(truth)):
        motion = exponential(rng.normal(0.0, SIGMA)) @ invert(truth[i - 1]) @ truth[i]
        T = T @ motion
        graph.add(T)
        graph.connect(i - 1, i, motion, INFORMATION)
    for a, b in loops:
        graph.connect(a, b, invert(truth[a]) @ truth[b], INFORMATION * 4, loop=True)
    if outlier:
        wrong = invert(truth[outlier[0]]) @ truth[outlier[1]] @ pose2d(2.0, 1.0, 0.5)
        graph.connect(*outlier, wrong, INFORMATION * 4, loop=True)
    return graph, truth


def _error(poses, truth):
    return float(np.sqrt(((poses - truth)[:, :3, 3] ** 2).sum(1).mean()))


def test_loops_take_the_drift_out():
    graph, truth = _circle([(0, 20), (1, 20), (0, 19)])
    before = _error(graph.poses(), truth)
    after = _error(graph.optimise(), truth)
    assert after < before / 2
    np.testing.assert_allclose(graph.poses()[0], truth[0], atol=1e-6)


def test_one_wrong_loop_bends_nothing():
    clean = _circle([(0, 20), (1, 20), (0, 19)])
    spoiled = _circle([(0, 20), (1, 20), (0, 19)], outlier=(5, 15))
    without = _error(clean[0].optimise(), clean[1])
    assert _error(spoiled[0].optimise(), spoiled[1]) < without + 0.05


def test_uncertainty_grows_along_the_path_and_falls_with_a_loop():
    graph, _ = _circle([])
    open_ = graph.uncertainty(20)
    assert open_[20].tolist() == [0.0, 0.0]
    assert (np.diff(open_[10:, 0]) < 0).all() and (np.diff(open_[:, 1]) < 0).all()
    closed = _circle([(0, 20)])[0].uncertainty(20)
    assert closed[0, 0] < open_[0, 0] / 3
    assert (closed <= open_ + 1e-12).all()


def test_uncertainty_covers_the_error_that_happens():
    ratios = []
    for seed in range(30):
        graph, truth = _circle([], seed=seed)
        poses = graph.poses()
        off = (invert(poses[20]) @ poses[0])[:3, 3] - (invert(truth[20]) @ truth[0])[:3, 3]
        ratios.append(np.linalg.norm(off) / graph.uncertainty(20)[0, 0])
    assert max(ratios) < 3.0 and np.median(ratios) > 0.1


def test_uncertainty_is_infinite_without_a_path():
    graph = PoseGraph()
    graph.add(np.eye(4))
    graph.add(pose2d(1.0, 0.0, 0.0))
    assert np.isinf(graph.uncertainty(1)[0]).all()


def test_level_floor_holds_height_and_tilt_alone():
    graph = PoseGraph()
    graph.add(np.eye(4))
    motion = exponential(np.array([1.0, 0.0, 0.3, 0.0, 0.1, 0.0]))
    graph.add(motion)
    graph.connect(0, 1, motion, np.diag([100.0] * 6))
    # Wheels err by 2 m and a radian on the plane; of that nothing may be taken over.
    graph.hold_level(1, pose2d(3.0, 1.0, 1.0), 0.001, 0.001)
    x = logarithm(graph.optimise()[1])
    assert abs(x[2]) < 0.01 and abs(x[4]) < 0.005
    np.testing.assert_allclose(x[[0, 1, 5]], [1.0, 0.0, 0.0], atol=0.06)


def test_covariance_is_that_of_sampled_poses():
    """GTSAM perturbs on the right, rotation first; registration on the left, translation first."""
    import gtsam

    rng = np.random.default_rng(0)
    T = exponential(np.array([1.0, -2.0, 0.5, 0.3, -0.8, 0.4]))
    sigma = np.array([0.02, 0.01, 0.03, 0.01, 0.02, 0.005])
    mean = gtsam.Pose3(T)
    samples = [mean.localCoordinates(gtsam.Pose3(exponential(rng.normal(0.0, sigma)) @ T)) for _ in range(4000)]
    expected = np.cov(np.array(samples).T)
    found = _covariance(T, np.diag(sigma**2)) - np.diag(np.array([0.002] * 3 + [0.004] * 3) ** 2)
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())
