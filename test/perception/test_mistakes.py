"""Detectors' errors: rare, plausible, the same from the same viewpoint."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.language.vocabulary import canonical
from embodied_nav.perception.mistakes import CONFUSED, CONFUSED_COLORS, as_detected, viewpoint
from embodied_nav.sim.apartments import CATEGORIES, COLORS


def test_every_category_and_colour_has_others_it_may_be_taken_for():
    assert set(CONFUSED) == set(CATEGORIES)
    assert set(CONFUSED_COLORS) == set(COLORS)
    for name, others in (CONFUSED | CONFUSED_COLORS).items():
        assert others and name not in others
    assert all(canonical(o) == o for others in CONFUSED.values() for o in others)


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_errs_as_often_as_it_is_told(rate):
    answers = [as_detected("sofa", "red", rate, (1, thing, side, 0)) for thing in range(500) for side in range(4)]
    right = Counter(a == ("sofa", "red") for a in answers)
    assert abs(right[True] / len(answers) - (1.0 - rate)) < 0.03
    if rate:
        wrong = [a for a in answers if a != ("sofa", "red")]
        assert {a[0] for a in wrong if a} == {"sofa", *CONFUSED["sofa"]}
        assert {a[1] for a in wrong if a} == {"red", *CONFUSED_COLORS["red"]}
        assert 0.2 < sum(a is None for a in wrong) / len(wrong) < 0.4


@given(st.integers(0, 2**31 - 1), st.integers(1, 500), st.integers(0, 7), st.integers(0, 2))
def test_the_same_viewpoint_gives_the_same_answer(seed, thing, side, band):
    key = (seed, thing, side, band)
    assert as_detected("lamp", "blue", 0.5, key) == as_detected("lamp", "blue", 0.5, key)


def test_a_viewpoint_is_a_side_and_a_distance():
    assert viewpoint((1.0, 0.1), (0.0, 0.0)) == viewpoint((1.2, 0.2), (0.0, 0.0))
    sides = {viewpoint((x, y), (0.0, 0.0))[0] for x in (-1, -0.4, 0.4, 1) for y in (-1, -0.4, 0.4, 1)}
    assert len(sides) == 8 and sides <= set(range(8))
    assert [viewpoint((d, 0.1), (0.0, 0.0))[1] for d in (1.0, 2.0, 4.0)] == [0, 1, 2]
