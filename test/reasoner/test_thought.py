"""Reasoning in a closed form: it is read back, its truth and its conclusion follow from its words."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.reasoner import Facts
from embodied_nav.reasoner.thought import (
    CRITERIA,
    FACTS,
    Claim,
    Thought,
    is_true,
    matter_of,
    read,
    telling,
    thoughts_for,
)

from .test_situation import CONTEXT, FACTS as OPTION_FACTS, OPTIONS  # isort: skip

TWO = dataclasses.replace(
    CONTEXT,
    options=(OPTIONS[1], dataclasses.replace(OPTIONS[1], letter="B", distance=1.4, direction=3.1), OPTIONS[3]),
    facts=(OPTION_FACTS[1], Facts(cost=1.0, gain=1.2, affinity=0.5, opening=(0.0, 0.0)), OPTION_FACTS[3]),
)


def test_the_larger_floor_and_the_nearer_way_are_thoughts_for_one_option_each():
    matter = matter_of(TWO)
    assert matter.names == ("explore 3.5 m right", "explore 1.5 m behind", "stop here")
    assert [t.words for t in thoughts_for(matter, 0) if t.criterion == "floor"] == [
        "red sofa not found. explore 3.5 m right; worth 100%; unknown floor 4 m2. "
        "explore 1.5 m behind; worth 70%; unknown floor 1 m2. more floor: explore 3.5 m right"
    ]
    assert {t.criterion for t in thoughts_for(matter, 1)} == {"fits", "nearer"}
    assert [t.criterion for t in thoughts_for(matter, 2)] == ["doubt"]


def test_every_thought_is_true_concludes_in_its_option_and_is_read_back():
    for context in (CONTEXT, TWO):
        matter = matter_of(context)
        for k, name in enumerate(matter.names):
            for thought in thoughts_for(matter, k):
                assert thought.conclusion() == name and thought.follows
                assert is_true(thought, matter)
                assert read(thought.words) == thought


def test_a_changed_fact_turns_the_conclusion_and_is_no_longer_true():
    matter = matter_of(TWO)
    thought = next(t for t in thoughts_for(matter, 0) if t.criterion == "floor")
    changed = thought.changed()
    assert changed.conclusion() == changed.drawn == "explore 1.5 m behind" and changed.follows
    assert changed.words == f"{changed.premises}: explore 1.5 m behind"
    assert not read(f"{changed.premises}: explore 3.5 m right").follows and not read(changed.premises).follows
    assert not is_true(changed, matter)
    assert next(t for t in thoughts_for(matter, 1) if t.criterion == "nearer").changed() is None


def test_the_telling_thought_is_of_one_option_alone_or_compares_worth_with_the_runner_up():
    third = dataclasses.replace(OPTIONS[1], letter="C", distance=6.2, direction=0.0)
    facts = (*TWO.facts[:2], Facts(cost=9.0, gain=1.2, affinity=0.1, opening=(0.0, 0.0)), TWO.facts[2])
    matter = matter_of(dataclasses.replace(TWO, options=(*TWO.options[:2], third, TWO.options[2]), facts=facts))
    assert telling(thoughts_for(matter, 0)).words == (
        "red sofa not found. explore 3.5 m right; worth 100%. explore 1.5 m behind; worth 70%. "
        "worth more: explore 3.5 m right"
    )
    assert telling(thoughts_for(matter, 1)).words.endswith("worth more: explore 1.5 m behind"), "than the third"
    assert telling(thoughts_for(matter, 3)).words == "red sofa not found. stop here. nothing better is left"


@pytest.mark.parametrize(
    "text",
    [
        "", "so B", "red sofa not found", "red sofa not found. more floor", "explore 3.5 m right. so it is",
        "red sofa not found. explore 3.5 m right; far away. explore 1.5 m behind. nearer",
        "a. b. c. d. e. nearer",
    ],
)  # fmt: skip
def test_what_is_not_of_this_form_is_no_thought_or_concludes_nothing(text):
    thought = read(text)
    assert thought is None or thought.conclusion() is None


names = st.sampled_from(["explore 3.5 m right", "explore 12 m ahead", "go to the red sofa 1.0 m left", "stop here"])
numbers = st.sampled_from(["0%", "10%", "4 m2", "9", "some", ""])
claims = st.builds(Claim, names, st.lists(st.tuples(st.sampled_from(sorted(FACTS)), numbers), max_size=3).map(tuple))


@given(
    st.builds(Thought, st.just("bed found"), st.lists(claims, max_size=3).map(tuple), st.sampled_from(sorted(CRITERIA)))
)
def test_conclusions_of_any_thought_are_names_or_nothing(thought):
    assert thought.conclusion() in {None, *(claim.name for claim in thought.claims)}
    changed = thought.changed()
    assert changed is None or changed.conclusion() != thought.conclusion()
