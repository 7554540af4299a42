"""Rotations and matrices against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

pytest.importorskip("tf_transformations", reason="no tf_transformations here: make setup")
import tf_transformations as tft

angle = st.floats(-math.pi, math.pi)
unit = (
    st.tuples(*[st.floats(-1.0, 1.0)] * 4)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: np.array(q) / np.linalg.norm(q))
)
direction = st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)
point = st.tuples(*[st.floats(-10.0, 10.0)] * 3)
AXES = [kind + first + second + third for kind in "sr" for first, second, third in (
    ["xyz", "xyx", "xzy", "xzx", "yzx", "yzy", "yxz", "yxy", "zxy", "zxz", "zyx", "zyz"]
)]  # fmt: skip


def scipy_rotation(angles, axes: str) -> np.ndarray:
    """scipy writes static sequences small and rotating ones large; tf's rotating ones read from the last axis."""
    return Rotation.from_euler(axes[1:] if axes[0] == "s" else axes[1:].upper(), angles).as_matrix()


@pytest.mark.parametrize("axes", AXES)
@given(st.tuples(angle, angle, angle))
@settings(max_examples=15, deadline=None)
def test_euler_angles_of_all_24_sequences(axes, angles):
    expected = scipy_rotation(angles, axes)
    np.testing.assert_allclose(tft.euler_matrix(*angles, axes=axes)[:3, :3], expected, atol=1e-9)
    quaternion = tft.quaternion_from_euler(*angles, axes=axes)
    np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), expected, atol=1e-9)
    for back in (tft.euler_from_matrix(expected, axes), tft.euler_from_quaternion(quaternion, axes)):
        np.testing.assert_allclose(tft.euler_matrix(*back, axes=axes)[:3, :3], expected, atol=1e-6)


def test_yaw_is_the_third_angle_and_w_is_the_last_number():
    np.testing.assert_allclose(tft.quaternion_from_euler(0, 0, math.pi / 2), (0, 0, math.sqrt(0.5), math.sqrt(0.5)))
    np.testing.assert_allclose(tft.euler_from_quaternion((0, 0, math.sqrt(0.5), math.sqrt(0.5))), (0, 0, math.pi / 2))


@given(unit, unit)
@settings(max_examples=60, deadline=None)
def test_quaternion_algebra(a, b):
    ra, rb = Rotation.from_quat(a), Rotation.from_quat(b)
    product = np.array(tft.quaternion_multiply(a, b))
    np.testing.assert_allclose(Rotation.from_quat(product).as_matrix(), (ra * rb).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(tft.quaternion_matrix(a)[:3, :3], ra.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(tft.quaternion_multiply(a, tft.quaternion_inverse(a)), (0, 0, 0, 1), atol=1e-9)
    np.testing.assert_allclose(tft.quaternion_conjugate(a), (*-a[:3], a[3]))
    back = np.array(tft.quaternion_from_matrix(tft.quaternion_matrix(a)))
    assert abs(abs(back @ a) - 1.0) < 1e-9


@given(unit, unit, st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_slerp(a, b, fraction):
    if abs(a @ b) < 1e-3:
        return  # a half turn: both ways are as short
    expected = Slerp([0, 1], Rotation.from_quat([a, b]))(fraction).as_quat()
    found = tft.quaternion_slerp(a, b, fraction)
    assert abs(abs(found @ expected) - 1.0) < 1e-6


def test_slerp_the_long_way():
    a, b = (0.0, 0.0, 0.0, 1.0), -np.array(Rotation.from_euler("z", 0.4).as_quat())
    half = tft.quaternion_slerp(a, b, 0.5, shortestpath=False)
    # Half of the remaining turn of 2 pi - 0.4, the other way round.
    assert Rotation.from_quat(half).magnitude() == pytest.approx(math.pi - 0.2)


@given(angle, direction, point)
@settings(max_examples=60, deadline=None)
def test_rotation_about_an_axis_through_a_point(turn, axis, centre):
    matrix = tft.rotation_matrix(turn, axis, centre)
    axis_unit = np.array(axis) / np.linalg.norm(axis)
    np.testing.assert_allclose(matrix[:3, :3], Rotation.from_rotvec(turn * axis_unit).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(matrix @ (*centre, 1.0), (*centre, 1.0), atol=1e-8)
    quaternion = tft.quaternion_about_axis(turn, axis)
    np.testing.assert_allclose(tft.quaternion_matrix(quaternion)[:3, :3], matrix[:3, :3], atol=1e-9)
    if abs(turn) > 0.01:
        assert tft.is_same_transform(tft.rotation_matrix(*tft.rotation_from_matrix(matrix)), matrix)


@given(point, unit, st.tuples(*[st.floats(0.2, 3.0)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_matrix_from_parts_and_its_parts(translation, quaternion, scale):
    matrix = tft.concatenate_matrices(
        tft.translation_matrix(translation), tft.quaternion_matrix(quaternion), np.diag((*scale, 1.0))
    )
    found_scale, shear, angles, found_translation, _ = tft.decompose_matrix(matrix)
    np.testing.assert_allclose(found_scale, scale, atol=1e-9)
    np.testing.assert_allclose(shear, 0.0, atol=1e-9)
    np.testing.assert_allclose(found_translation, translation, atol=1e-9)
    np.testing.assert_allclose(tft.compose_matrix(scale, shear, angles, translation), matrix, atol=1e-6)
    np.testing.assert_allclose(tft.translation_from_matrix(matrix), translation)
    np.testing.assert_allclose(tft.inverse_matrix(matrix) @ matrix, np.identity(4), atol=1e-8)


def test_mirror_scaling_and_shear():
    mirror = tft.reflection_matrix((0, 0, 2), (0, 0, 1))
    np.testing.assert_allclose(mirror @ (1, 2, 5, 1), (1, 2, -1, 1), atol=1e-12)
    assert tft.is_same_transform(tft.reflection_matrix(*tft.reflection_from_matrix(mirror)), mirror)
    scaling = tft.scale_matrix(3.0, (1, 0, 0), (1, 0, 0))
    np.testing.assert_allclose(scaling @ (2, 5, 0, 1), (4, 5, 0, 1), atol=1e-12)
    assert tft.is_same_transform(tft.scale_matrix(*tft.scale_from_matrix(scaling)), scaling)
    shear = tft.shear_matrix(math.pi / 4, (1, 0, 0), (0, 0, 0), (0, 0, 1))
    np.testing.assert_allclose(shear @ (0, 0, 2, 1), (2, 0, 2, 1), atol=1e-12)
    assert tft.is_same_transform(tft.shear_matrix(*tft.shear_from_matrix(shear)), shear)


def test_cell_axes():
    matrix = tft.orthogonalization_matrix((3.0, 4.0, 5.0), (80.0, 95.0, 110.0))
    a, b, c = matrix[:3, :3].T
    assert [np.linalg.norm(edge) for edge in (a, b, c)] == pytest.approx((3.0, 4.0, 5.0))
    cosines = b @ c / 20.0, a @ c / 15.0, a @ b / 12.0
    np.testing.assert_allclose(np.degrees(np.arccos(cosines)), (80.0, 95.0, 110.0))


def test_clipping_maps_the_frustum_to_the_cube():
    bounds = (-2.0, 3.0, -1.0, 4.0, 1.0, 9.0)
    box = tft.clip_matrix(*bounds)
    np.testing.assert_allclose(box @ (-2, -1, 1, 1), (-1, -1, -1, 1))
    np.testing.assert_allclose(box @ (3, 4, 9, 1), (1, 1, 1, 1))
    pyramid = tft.clip_matrix(*bounds, perspective=True)
    for corner, expected in (((-2, -1, 1, 1), (-1, -1, -1)), ((3, 4, 1, 1), (1, 1, -1)), ((27, 36, 9, 1), (1, 1, 1))):
        image = pyramid @ corner
        np.testing.assert_allclose(image[:3] / image[3], expected, atol=1e-12)
    with pytest.raises(ValueError):
        tft.clip_matrix(1.0, 0.0, 0.0, 1.0, 1.0, 2.0)
    with pytest.raises(ValueError):
        tft.clip_matrix(0.0, 1.0, 0.0, 1.0, 0.0, 2.0, perspective=True)


def test_projection_onto_a_plane():
    plane = (np.array((0.0, 0.0, 1.0)), np.array((0.0, 0.0, 1.0)))
    np.testing.assert_allclose(tft.projection_matrix(*plane) @ (4, 5, 6, 1), (4, 5, 1, 1))
    oblique = tft.projection_matrix(*plane, direction=np.array((1.0, 0.0, 1.0)))
    np.testing.assert_allclose(oblique @ (4, 5, 6, 1), (-1, 5, 1, 1))
    eye = np.array((0.0, 0.0, 5.0))
    image = tft.projection_matrix(*plane, perspective=eye) @ (1, 2, 3, 1)
    np.testing.assert_allclose(image[:3] / image[3], (2, 4, 1))


def test_the_parts_of_a_projection():
    plane = (np.array((0.3, -0.8, 1.1)), np.array((0.2, 0.5, -0.9)))
    eye = np.array((2.0, 3.0, 5.0))
    for more in ({}, {"direction": np.array((1.0, 0.4, 1.0))}, {"perspective": eye}):
        matrix = tft.projection_matrix(*plane, **more)
        assert tft.is_same_transform(tft.projection_matrix(*tft.projection_from_matrix(matrix)), matrix)
    deep = tft.projection_matrix(*plane, perspective=eye, pseudo=True)
    flat = tft.projection_matrix(*plane, perspective=eye)
    assert tft.is_same_transform(tft.projection_matrix(*plane) @ deep, flat)
    found = tft.projection_from_matrix(deep, pseudo=True)
    assert tft.is_same_transform(tft.projection_matrix(*found), deep)


@pytest.mark.parametrize("usesvd", [True, False])
def test_superimposition_finds_the_motion_between_point_sets(usesvd):
    rng = np.random.default_rng(7)
    points = rng.normal(size=(3, 40))
    for scale in (1.0, 1.7):
        rotation = Rotation.random(random_state=int(10 * scale)).as_matrix()
        moved = scale * rotation @ points + np.array((1.0, -2.0, 3.0))[:, None]
        matrix = tft.superimposition_matrix(points, moved, scaling=scale != 1.0, usesvd=usesvd)
        np.testing.assert_allclose(matrix[:3, :3] @ points + matrix[:3, 3:], moved, atol=1e-9)


def test_superimposition_never_mirrors():
    points = np.random.default_rng(3).normal(size=(3, 20))
    mirrored = points * np.array((1.0, 1.0, -1.0))[:, None]
    for usesvd in (True, False):
        assert np.linalg.det(tft.superimposition_matrix(points, mirrored, usesvd=usesvd)) == pytest.approx(1.0)


def test_vectors():
    data = np.random.default_rng(1).normal(size=(4, 5, 3))
    np.testing.assert_allclose(tft.vector_norm(data, axis=2), np.linalg.norm(data, axis=2))
    out = np.empty_like(data)
    assert tft.unit_vector(data, axis=1, out=out) is None
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1.0)
    np.testing.assert_allclose(tft.unit_vector([3.0, 4.0]), (0.6, 0.8))


def test_random_rotations_are_rotations_spread_evenly():
    np.random.seed(5)  # noqa: NPY002 (what governs the functions under test)
    quaternions = np.array([tft.random_quaternion() for _ in range(4000)])
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1.0)
    # Uniform on the 3-sphere: every component has variance 1/4, and no two correlate.
    np.testing.assert_allclose(np.cov(quaternions.T), np.identity(4) / 4, atol=0.02)
    rotation = tft.random_rotation_matrix((0.2, 0.4, 0.6))
    np.testing.assert_allclose(rotation.T @ rotation, np.identity(4), atol=1e-12)


def test_identities():
    assert tft.TRANSLATION_IDENTITY == tft.SHEAR_IDENTITY == [0.0, 0.0, 0.0] and tft.ZOOM_IDENTITY == [1.0, 1.0, 1.0]
    assert np.array_equal(tft.ROTATION_IDENTITY, np.eye(3)) and tft.ROTATION_IDENTITY.dtype == np.float64


def test_arcball_turns_by_twice_the_arc():
    ball = tft.Arcball()
    ball.place([320, 240], 200)
    ball.down([320, 240])
    ball.drag([420, 240])  # 30 degrees on the sphere, to the right
    assert np.allclose(ball.matrix(), tft.rotation_matrix(np.deg2rad(60), [0, 1, 0]))
    ball.next()
    assert np.allclose(ball.matrix(), tft.rotation_matrix(np.deg2rad(120), [0, 1, 0]))
    ball.drag([320, 240])
    assert np.allclose(ball.matrix(), np.eye(4)), "back where the drag began"


def test_arcball_keeps_to_an_axis_and_begins_anywhere():
    start = tft.euler_matrix(0.1, 0.2, 0.3)
    ball = tft.Arcball(initial=start)
    assert np.allclose(ball.matrix(), start) and ball.getconstrain() is False
    ball.place([0, 0], 100)
    ball.setaxes([0, 2, 0], [1, 0, 0])
    ball.setconstrain(True)
    ball.down([10, -5])
    ball.drag([60, 40])
    turn = ball.matrix() @ start.T
    angle, axis, _ = tft.rotation_from_matrix(turn)
    assert ball.getconstrain() is True and abs(angle) > 0.1 and np.allclose(np.abs(axis), [0, 1, 0])
    assert np.allclose(tft.Arcball([0, 0, 0, 2]).matrix(), np.eye(4))
    with pytest.raises(ValueError, match="initial not a quaternion or matrix"):
        tft.Arcball([1, 2, 3])
