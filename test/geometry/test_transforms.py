"""Rigid transforms against their definitions, for any pose."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embodied_nav import geometry as g

lengths = st.floats(-100, 100)
angles = st.floats(-math.pi, math.pi)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(v * v for v in q) > 1e-3)
positions = st.tuples(lengths, lengths, lengths)


def rotation_about(axis: int, angle: float) -> np.ndarray:
    """4x4 from the textbook, as the other side of the comparison."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    T = np.eye(4)
    T[i, i], T[i, j], T[j, i], T[j, j] = c, -s, s, c
    return T


@given(quaternions, positions)
def test_inverse_undoes(q, t):
    T = g.matrix_from_quaternion(q, t)
    assert g.is_rigid(T)
    np.testing.assert_allclose(g.invert(T) @ T, np.eye(4), atol=1e-9)


@given(quaternions)
def test_quaternion_round_trip(q):
    found = g.quaternion_from_matrix(g.matrix_from_quaternion(q))
    q = np.array(q) / np.linalg.norm(q)
    assert found[3] >= 0 and math.isclose(np.linalg.norm(found), 1.0, abs_tol=1e-12)
    assert min(np.abs(found - q).max(), np.abs(found + q).max()) < 1e-7


@pytest.mark.parametrize("axis", [0, 1, 2])
@given(angle=angles)
def test_quaternion_of_a_turn_about_an_axis(axis, angle):
    q = np.zeros(4)
    q[axis], q[3] = math.sin(angle / 2), math.cos(angle / 2)
    np.testing.assert_allclose(g.matrix_from_quaternion(q), rotation_about(axis, angle), atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_quaternions(axis):
    """Trace -1, where the simple formula divides by zero."""
    q = g.quaternion_from_matrix(rotation_about(axis, math.pi))
    assert abs(q[axis]) == pytest.approx(1.0)


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (math.nan, 0, 0, 1), (math.inf, 0, 0, 1)])
def test_quaternion_without_direction_is_refused(q):
    with pytest.raises(ValueError, match="no direction"):
        g.matrix_from_quaternion(q)


@given(lengths, lengths, angles)
def test_planar_pose(x, y, yaw):
    T = g.pose2d(x, y, yaw, z=0.5)
    assert g.is_rigid(T)
    assert tuple(T[:3, 3]) == (x, y, 0.5)
    assert math.isclose(math.remainder(g.yaw_of(T) - yaw, 2 * math.pi), 0.0, abs_tol=1e-9)


@given(quaternions, st.integers(0, 2), st.floats(0, math.pi))
def test_rotation_angle_does_not_depend_on_the_frame(q, axis, angle):
    R = g.matrix_from_quaternion(q)
    assert g.rotation_angle(R @ rotation_about(axis, angle) @ g.invert(R)) == pytest.approx(angle, abs=1e-6)


@given(quaternions, positions, positions)
def test_points_move_as_homogeneous_vectors_do(q, t, p):
    T = g.matrix_from_quaternion(q, t)
    expected = (T @ np.array([*p, 1.0]))[:3]
    np.testing.assert_allclose(g.transform_points(T, np.array(p)), expected, atol=1e-9)
    np.testing.assert_allclose(g.transform_points(T, np.array([[p, p]]))[0, 1], expected, atol=1e-9)


def test_points_keep_their_dtype():
    assert g.transform_points(np.eye(4), np.zeros((2, 3), np.float32)).dtype == np.float32


@given(quaternions, positions, st.integers(0, 2), st.integers(0, 2), st.floats(0.01, 1.0))
def test_what_is_not_rigid_is_told(q, t, i, j, error):
    T = g.matrix_from_quaternion(q, t)
    T[i, j] += error
    assert not g.is_rigid(T)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 3), (3, 3)])
def test_pose_that_is_not_finite_is_not_rigid(bad, place):
    T = np.eye(4)
    T[place] = bad
    assert not g.is_rigid(T)


def test_reflection_is_not_rigid():
    assert not g.is_rigid(np.diag([1.0, 1.0, -1.0, 1.0]))
    assert not g.is_rigid(np.eye(3))


def test_optical_frame_looks_along_z():
    """REP-103: forward (x of the link) is z of the optical frame; left is -x; up is -y."""
    for link, optical in (((1, 0, 0), (0, 0, 1)), ((0, 1, 0), (-1, 0, 0)), ((0, 0, 1), (0, -1, 0))):
        np.testing.assert_array_equal(g.transform_points(g.T_LINK_OPTICAL, np.array(optical, float)), link)


@given(positions)
def test_habitat_axes(p):
    """Habitat: x right, y up, z backward."""
    x, y, z = p
    np.testing.assert_array_equal(g.habitat_from_ros(np.array(p)), [-y, z, -x])
    np.testing.assert_array_equal(g.ros_from_habitat(g.habitat_from_ros(np.array(p))), p)


def test_habitat_axes_are_a_rotation():
    columns = g.habitat_from_ros(np.eye(3)).T
    assert np.linalg.det(columns) == pytest.approx(1.0)


@given(quaternions, positions, quaternions, positions)
def test_composition(q1, t1, q2, t2):
    A, B = g.matrix_from_quaternion(q1, t1), g.matrix_from_quaternion(q2, t2)
    assume(np.isfinite(A).all() and np.isfinite(B).all())
    np.testing.assert_allclose(g.invert(A @ B), g.invert(B) @ g.invert(A), atol=1e-9)


@given(quaternions, positions, st.integers(0, 2**31))
def test_the_nearest_rigid_transform_undoes_rounding(q, t, seed):
    T = g.matrix_from_quaternion(q, t)
    noise = np.zeros((4, 4))
    noise[:3, :3] = np.random.default_rng(seed).uniform(-3e-3, 3e-3, (3, 3))
    found = g.nearest_rigid(T + noise)
    assert g.is_rigid(found, 1e-12)
    np.testing.assert_allclose(found, T, atol=1e-2)
