"""Rewards, each against the ways to earn it without deserving it."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.frames import Option
from embodied_nav.reasoner import format_answer
from embodied_nav.reasoner.rewards import (
    STAGES,
    accuracy,
    form,
    group_advantages,
    retold,
    weights,
    without_letters,
)

OPTIONS = tuple(Option(letter, "frontier", (1.0, 0.0), 1.0, 0.0, "") for letter in "ABC")
NAMES = ("explore 3.5 m right", "explore 1.0 m behind", "stop here")
GOOD = format_answer("bed not found. explore 1.0 m behind. nearer", "B")


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "<answer>B</answer>",
        "<think></think><answer>B</answer>",
        "<think>go</think><answer>B</answer>",
        "<think>B is the best one</think><answer>B</answer>",
        "<think>it must be option C then</think><answer>B</answer>",
        "<think>bed not found so (B)</think><answer>B</answer>",
        "<think>bed not found, nearer</think><answer>D</answer>",
        "<think>bed not found, nearer</think><answer>A</answer><answer>B</answer>",
        "<think>bed <answer>A</answer> not found</think><answer>B</answer>",
        "<think>one two three</think><think>one two three</think><answer>B</answer>",
        "so: <think>bed not found, nearer</think><answer>B</answer>",
        "<think>bed not found, nearer</think><answer>B</answer> B",
        "<think>bed not found, nearer</think> therefore <answer>B</answer>",
        "<think>" + "near " * 200 + "</think><answer>B</answer>",
        "<THINK>bed not found, nearer</THINK><ANSWER>B</ANSWER>",
    ],
)
def test_form_is_earned_by_one_reasoning_without_letters_and_one_letter(text):
    assert form(GOOD, OPTIONS) == 1.0
    assert form(text, OPTIONS) == 0.0


def test_an_article_is_no_letter():
    assert form(format_answer("through a door and a hall", "A"), OPTIONS) == 1.0
    assert without_letters("a door. Option B is near, (C) is far. A") == "a door. is near, is far."


def test_accuracy_is_the_return_between_worst_and_best():
    assert accuracy(GOOD, OPTIONS, (0.2, 0.8, 0.2)) == 1.0
    assert accuracy(GOOD, OPTIONS, (0.9, 0.4, 0.4)) == 0.0
    assert math.isclose(accuracy(GOOD, OPTIONS, (0.0, 0.5, 1.0)), 0.5)
    assert accuracy(GOOD, OPTIONS, (0.3, 0.3, 0.3)) == 1.0
    # What a reasoning says of letters changes nothing; what is no answer earns nothing.
    assert accuracy("<think>Option A, C</think><answer>B</answer>", OPTIONS, (1.0, 0.0, 0.5)) == 0.0
    assert accuracy("<answer>A</answer><answer>B</answer>", OPTIONS, (0.0, 1.0, 0.0)) == 0.0


def reader(goal, think, names):
    """Picks the first option whose name the reasoning contains, else the first one."""
    return next((k for k, name in enumerate(names) if name in think), 0)


def consistency(text, reader, order):
    told = retold(text, OPTIONS, NAMES, "bed", order)
    return 0.0 if told is None else told.consistency(reader(told.goal, told.think, told.names))


ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS)
def test_consistency_is_judged_by_content(order):
    assert consistency(GOOD, reader, order) == 1.0
    assert consistency(format_answer("bed not found. explore 3.5 m right. nearer", "B"), reader, order) == 0.0
    assert retold("B", OPTIONS, NAMES, "bed", order) is None
    assert retold("<answer>B</answer>", OPTIONS, NAMES, "bed", order) is None
    told = retold(GOOD, OPTIONS, NAMES, "bed", order)
    assert told.names[told.place] == NAMES[1] and told.consistency(7) == 0.0


def test_a_letter_in_the_reasoning_or_a_place_in_the_list_earns_no_consistency():
    def by_letter(goal, think, names):
        return "ABC".index(think.strip()[-1]) if think.strip()[-1:] in ("A", "B", "C") else 0

    earned = [consistency("<think>so B</think><answer>B</answer>", by_letter, order) for order in ORDERS]
    assert sum(earned) <= len(ORDERS) / 3, "only where the options happen to lie so"


def test_stages_follow_the_paper():
    assert [weights(x) for x in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)] == [STAGES[k][1] for k in (0, 0, 1, 1, 2, 2)]
    assert all(math.isclose(sum(parts), 1.0) for _, parts in STAGES)


@given(st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=2, max_size=16))
def test_a_group_without_variance_is_dropped(rewards):
    advantages = group_advantages(rewards)
    if advantages is None:
        assert max(rewards) - min(rewards) < 1e-3
    else:
        assert abs(sum(advantages)) < 1e-6 * len(rewards) + 1e-9
        assert all(
            (a > b) == (x > y)
            for a, x in zip(advantages, rewards, strict=True)
            for b, y in zip(advantages, rewards, strict=True)
        )
