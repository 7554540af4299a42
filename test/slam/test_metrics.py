"""The trajectory error is evo's, and does not see what frame a trajectory is given in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.geometry import pose2d
from embodied_nav.slam import ate_rmse
from embodied_nav.slam.icp import exponential
from embodied_nav.slam.metrics import read_trajectory, write_trajectory


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


def test_a_written_trajectory_comes_back_and_evo_reads_it(tmp_path):
    rng = np.random.default_rng(3)
    stamps = np.array([0, 33_333_333, 1_700_000_000_123_456_789])
    poses = np.array([pose2d(*rng.normal(size=3)) for _ in stamps])
    write_trajectory(tmp_path / "t.txt", stamps, poses)
    found, back = read_trajectory(tmp_path / "t.txt")
    np.testing.assert_array_equal(found, stamps)
    np.testing.assert_allclose(back, poses, atol=1e-8)
    file_interface = pytest.importorskip("evo.tools.file_interface")
    theirs = file_interface.read_tum_trajectory_file(tmp_path / "t.txt")
    np.testing.assert_allclose(theirs.positions_xyz, poses[:, :3, 3], atol=1e-8)
    np.testing.assert_allclose(np.array(theirs.poses_se3), poses, atol=1e-7)


@pytest.mark.parametrize("text", ["1.0 2 3", "x 0 0 0 0 0 0 1", "1.0 0 0 0 0 0 0 0"])
def test_a_file_that_is_no_trajectory_is_refused(tmp_path, text):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=r"t\.txt"):
        read_trajectory(tmp_path / "t.txt")
