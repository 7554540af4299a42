"""Single objects from votes for their centres."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.perception.instances import separate

#: Chairs (1) stand 0.7 m apart, sofas (2) 2 m.
SPACING = {1: 0.7, 2: 2.0, 3: 0.7, 4: 0.7}


def votes_about(*centers, count=60, spread=0.04, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([center + rng.normal(0.0, spread, (count, 3)) for center in np.array(centers, float)])


def test_two_chairs_side_by_side_are_two_and_a_cut_sofa_is_one():
    votes = np.concatenate([votes_about((0, 0, 0.5), (0.55, 0, 0.5)), votes_about((3, 1, 0.4), count=90)])
    labels = np.array([1] * 120 + [2] * 90)
    found = separate(labels, votes, 8, SPACING)
    assert [len(group) for group in found] == [90, 60, 60]
    assert all(len(set(labels[group])) == 1 for group in found)


def test_ends_of_a_sofa_that_vote_apart_are_one_where_chairs_would_be_two():
    votes = votes_about((0, 0, 0.4), (0.9, 0, 0.4))
    assert len(separate(np.full(120, 2), votes, 8, SPACING)) == 1
    assert len(separate(np.full(120, 1), votes, 8, SPACING)) == 2


def test_stray_votes_join_what_is_near_and_nothing_else():
    votes = np.concatenate([votes_about((0, 0, 0)), [[0.3, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    (group,) = separate(np.ones(62, int), votes, 8, SPACING)
    assert 60 in group and 61 not in group


def test_few_pixels_are_no_object():
    assert separate(np.ones(7, int), votes_about((0, 0, 0), count=7), 8, SPACING) == []
    assert separate(np.zeros(0, int), np.zeros((0, 3)), 8, SPACING) == []


@given(st.integers(0, 2**31), st.integers(1, 4))
def test_no_pixel_belongs_to_two_objects(seed, kinds):
    rng = np.random.default_rng(seed)
    labels, votes = rng.integers(1, kinds + 1, 200), rng.uniform(-2, 2, (200, 3))
    found = separate(labels, votes, 5, SPACING)
    together = np.concatenate(found) if found else np.zeros(0, int)
    assert len(together) == len(np.unique(together))
    assert [len(g) for g in found] == sorted((len(g) for g in found), reverse=True)


@pytest.mark.parametrize("far", [40.0, 4000.0])
def test_a_vote_from_far_away_costs_no_memory(far):
    votes = np.concatenate([votes_about((0, 0, 0)), [[far, far, far]]])
    assert len(separate(np.ones(61, int), votes, 8, SPACING)) >= 1
