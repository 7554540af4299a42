"""Tokens: position codes against their formula, choice by usefulness and spread."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.memory import MemoryConfig, SpatialMemory
from embodied_nav.memory.query.answering import Frustum
from embodied_nav.memory.query.tokens import position_code

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)


@given(st.tuples(*[st.floats(-50, 50)] * 3), st.sampled_from([6, 12, 96]))
def test_a_position_code_is_sines_then_cosines_axis_by_axis(p, dim):
    code = position_code(np.array([p]), dim, 0.05)[0]
    count = dim // 6
    for axis in range(3):
        for i in range(count):
            angle = p[axis] / 0.05 / 10000 ** (i / count)
            assert code[axis * 2 * count + i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert code[axis * 2 * count + count + i] == pytest.approx(math.cos(angle), abs=1e-6)


def test_codes_of_near_places_are_alike_and_a_shift_is_a_rotation():
    p = np.array([[1.0, 2.0, 0.5]])
    a, near, far = (position_code(p + d, 96, 0.05)[0] for d in (0.0, 0.05, 1.0))
    assert a @ near > a @ far
    assert np.linalg.norm(a) == pytest.approx(math.sqrt(48), rel=1e-6)
    # What a shift does to the code does not depend on the place.
    moved = p + np.array([3.0, -1.0, 2.0])
    other, beside = (position_code(moved + d, 96, 0.05)[0] for d in (0.0, 0.05))
    assert a @ near == pytest.approx(float(other @ beside))


@pytest.fixture
def memory():
    """A wall 2 m ahead with features, one patch unlike the rest, seen five times, and a wall behind seen once."""
    memory, rng = SpatialMemory(MemoryConfig(feature_dim=8)), np.random.default_rng(0)
    common, odd = rng.normal(size=(2, 8)).astype(np.float32)
    grid = common + 0.05 * rng.normal(size=(12, 16, 8)).astype(np.float32)
    grid[6, 8] = odd
    depth = np.full((48, 64), 2.0, np.float32)
    for i in range(5):
        memory.integrate(RGBDFrame(i + 1, CAMERA, np.eye(4), None, depth), grid)
    back = np.diag([-1.0, 1, -1, 1])
    memory.integrate(RGBDFrame(9, CAMERA, back, None, depth), np.broadcast_to(common, (3, 4, 8)).copy())
    return memory, common, odd


def test_what_is_unlike_the_rest_comes_first_and_the_rest_is_spread(memory):
    memory, _, odd = memory
    tokens = memory.tokens(30, frustum=Frustum(CAMERA, np.eye(4)))
    assert tokens.features.shape == (30, 8) and tokens.codes.shape == (30, 96) and tokens.positions.shape == (30, 3)
    assert tokens.sequence().shape == (30, 104)
    assert np.allclose(tokens.features[0], odd, atol=0.02) and (tokens.positions[:, 2] > 1.9).all()
    assert np.allclose(tokens.codes, position_code(tokens.positions, 96, 0.05))
    # The view is 2.5 m wide: in one heap they would all lie together.
    spread = tokens.positions[:, 0].max() - tokens.positions[:, 0].min()
    assert spread > 2.0
    assert np.array_equal(memory.tokens(30, frustum=Frustum(CAMERA, np.eye(4))).positions, tokens.positions)


def test_tokens_around_a_place_lie_within_the_radius_and_are_never_doubled(memory):
    memory, _, _ = memory
    tokens = memory.tokens(10_000, around=np.array([0.0, 0, 2.0]), radius=0.4, code_dim=6)
    distance = np.linalg.norm(tokens.positions - [0, 0, 2.0], axis=1)
    everything = memory.voxels().positions
    inside = (np.linalg.norm(everything - [0, 0, 2.0], axis=1) <= 0.4).sum()
    assert (distance <= 0.4).all() and len(tokens.positions) == inside
    assert len(np.unique(tokens.positions, axis=0)) == inside
    assert len(memory.tokens(7).positions) == 7 and len(memory.tokens(0).positions) == 0


def test_no_features_no_tokens(memory):
    with pytest.raises(InputError, match="feature_dim"):
        SpatialMemory().tokens(5)
    with pytest.raises(InputError, match="multiple of 6"):
        memory[0].tokens(5, code_dim=8)
    assert len(SpatialMemory(MemoryConfig(feature_dim=4)).tokens(5).positions) == 0
