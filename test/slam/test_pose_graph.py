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
    graph.optimise()
    after = _error(graph.poses(), truth)
    assert after < before / 2
    np.testing.assert_allclose(graph.poses()[0], truth[0], atol=1e-6)


def test_one_wrong_loop_bends_nothing():
    clean = _circle([(0, 20), (1, 20), (0, 19)])
    spoiled = _circle([(0, 20), (1, 20), (0, 19)], outlier=(5, 15))
    clean[0].optimise()
    spoiled[0].optimise()
    assert _error(spoiled[0].poses(), spoiled[1]) < _error(clean[0].poses(), clean[1]) + 0.05


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


def _without(graph, numbers):
    for number in numbers:
        heir, T = graph.retire(number)
        assert heir in graph and T.shape == (4, 4)
    graph.optimise()
    return dict(zip(graph.numbers.tolist(), graph.poses(), strict=True))


def test_what_a_keyframe_said_of_its_neighbours_stays_when_it_is_taken_out():
    loops = [(0, 20), (1, 20), (0, 19)]
    (whole, truth), (thin, _) = _circle(loops), _circle(loops)
    whole.optimise()
    poses = _without(thin, [3, 4, 5, 9, 12, 19])
    assert 4 not in thin and len(thin) == len(whole) - 6
    shift = [np.linalg.norm(T[:3, 3] - whole.pose(i)[:3, 3]) for i, T in poses.items()]
    assert max(shift) < 0.03
    off = [np.linalg.norm(T[:3, 3] - truth[i][:3, 3]) for i, T in poses.items()]
    assert np.sqrt(np.mean(np.square(off))) < 1.2 * _error(whole.poses(), truth)


def test_a_loop_bridges_a_keyframe_that_is_taken_out_and_stays_a_loop():
    graph, _ = _circle([(0, 20)])
    graph.retire(20)
    assert any(e.loop and (e.first, e.second) == (0, 19) for e in graph.edges)
    sigma = dict(zip(graph.numbers.tolist(), graph.uncertainty(0)[:, 0], strict=True))
    assert sigma[19] < 0.3 * _circle([])[0].uncertainty(0)[19, 0]


def test_the_graph_stays_small_and_right_over_a_hundred_rounds():
    """Each round a new keyframe beside every old one, tied to it and to the one before; the new ones are taken out."""
    rng = np.random.default_rng(0)
    places = [pose2d(2.0 * math.cos(a), 2.0 * math.sin(a), a + 1.57) for a in np.linspace(0, 5.5, 8)]
    graph = PoseGraph()
    for k, T in enumerate(places):
        graph.add(T)
        if k:
            graph.connect(k - 1, k, exponential(rng.normal(0.0, SIGMA)) @ invert(places[k - 1]) @ T, INFORMATION)
    last = 7
    for _ in range(100):
        for k, T in enumerate(places):
            number = graph.add(T)
            before = places[k - 1]
            graph.connect(last, number, exponential(rng.normal(0.0, SIGMA)) @ invert(before) @ T, INFORMATION)
            graph.connect(k, number, exponential(rng.normal(0.0, SIGMA)), INFORMATION, loop=True)
            if last > 7:
                graph.retire(last)
            last = number
    graph.optimise()
    assert len(graph) == 9 and len(graph.edges) <= 9 * 8 / 2
    assert graph._graph.size() < 200 and last == 807
    assert _error(graph.poses()[:8], np.array(places)) < 0.1


def test_a_keyframe_that_holds_the_map_stays():
    graph, _ = _circle([])
    with pytest.raises(ValueError, match="keyframe 0"):
        graph.retire(0)
    alone = graph.add(np.eye(4))
    with pytest.raises(ValueError, match=f"keyframe {alone}"):
        graph.retire(alone)


def test_a_graph_that_moved_loses_keyframes_as_before():
    graph, truth = _circle([(0, 20)])
    graph.move(graph.numbers, pose2d(5.0, 0.0, 1.0))
    poses = _without(graph, [7, 8])
    off = [np.linalg.norm((invert(pose2d(5.0, 0.0, 1.0)) @ T)[:3, 3] - truth[i][:3, 3]) for i, T in poses.items()]
    assert max(off) < 0.5


def test_level_floor_holds_height_and_tilt_alone():
    graph = PoseGraph()
    graph.add(np.eye(4))
    motion = exponential(np.array([1.0, 0.0, 0.3, 0.0, 0.1, 0.0]))
    graph.add(motion)
    graph.connect(0, 1, motion, np.diag([100.0] * 6))
    # Wheels err by 2 m and a radian on the plane; of that nothing may be taken over.
    graph.hold_level(1, pose2d(3.0, 1.0, 1.0), 0.001, 0.001)
    graph.optimise()
    x = logarithm(graph.pose(1))
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
