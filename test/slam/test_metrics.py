"""The trajectory error is evo's, and does not see what frame a trajectory is given in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.slam import ate_rmse
from embodied_nav.slam.icp import exponential


def _walk(n=50, seed=0):
    rng = np.random.default_rng(seed)
    poses = [np.eye(4)]
    for _ in range(n - 1):
        poses.append(poses[-1] @ exponential(rng.normal(0.0, 0.1, 6)))
    return np.arange(n) * 100_000_000, np.array(poses)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_moved_trajectory_has_no_error(values):
    stamps, poses = _walk()
    assert ate_rmse(stamps, exponential(np.array(values)) @ poses, stamps, poses) < 1e-9


def test_it_is_evos():
    evo = pytest.importorskip("evo", reason="evo is not installed (it is a test dependency)")
    from evo.core.metrics import APE, PoseRelation
    from evo.core.trajectory import PoseTrajectory3D

    assert evo.__version__
    stamps, truth = _walk()
    rng = np.random.default_rng(1)
    poses = np.array([exponential(rng.normal(0.0, 0.05, 6)) @ T for T in truth])

    def trajectory(p):
        return PoseTrajectory3D(poses_se3=list(p), timestamps=stamps / 1e9)

    estimate = trajectory(poses)
    estimate.align(trajectory(truth))
    ape = APE(PoseRelation.translation_part)
    ape.process_data((trajectory(truth), estimate))
    assert ate_rmse(stamps, poses, stamps, truth) == pytest.approx(ape.get_statistic(ape_rmse()), rel=1e-9)


def ape_rmse():
    from evo.core.metrics import StatisticsType

    return StatisticsType.rmse


def test_pairs_are_found_by_stamp():
    stamps, poses = _walk()
    late = stamps[::3] + 3_000_000
    assert ate_rmse(late, poses[::3], stamps, poses) < 1e-9
    with pytest.raises(InputError, match="3 are needed"):
        ate_rmse(stamps[::3] + 30_000_000, poses[::3], stamps, poses)
    with pytest.raises(InputError, match="3 are needed"):
        ate_rmse(stamps[:0], poses[:0], stamps, poses)
    broken = poses.copy()
    broken[4] = np.nan
    with pytest.raises(InputError, match="not finite"):
        ate_rmse(stamps, broken, stamps, poses)
