"""The JSON form of goals, and a language model that proposes it: well, badly, and with nonsense."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.language import as_json, from_json, parse_instruction, refused_json

#: The grammar does not know "gizmo-ish" or "chill"; a model may.
SENTENCE = "chill by the red sofa"


def goal(**more):
    return {"kind": "object", "label": "sofa", "color": "red", **more}


def proposing(*goals, **more):
    return lambda text: json.dumps({"goals": list(goals), **more})


@pytest.mark.parametrize(
    "text",
    ["find the second red chair, not in the kitchen", "the lamp beside the blue bed in the bedroom", "go home",
     "pass the plant, stop at the oven", "go to the bed unless a dog is on it", "the last door on the left",
     "go to the kitchen, not the one with the sofa", "a chair that isn't brown, not the one beside the desk",
     "the second biggest table", "go to the nearest lamp in the bedroom, then to the other one"],
)  # fmt: skip
def test_what_is_written_is_read_as_the_same_goals(text):
    parsed = parse_instruction(text)
    form = as_json(parsed)
    assert set(form["goals"][0]) >= {"kind", "label", "color", "room", "relation", "ordinal", "exclude"}
    assert tuple(from_json(json.dumps(form))) == parsed.stages


def test_the_form_that_the_command_shows():
    form = as_json(parse_instruction("find the lamp in the bedroom, then a chair that isn't red"))
    lamp, chair = form["goals"]
    assert form["refused"] == "" and form["notes"] == []
    assert (lamp["kind"], lamp["label"], lamp["room"], lamp["relation"]) == ("relation", "lamp", "bedroom", "")
    assert (chair["kind"], chair["exclude"], chair["ordinal"]) == ("object", ["red"], None)
    assert refused_json("why") == {"refused": "why", "goals": [], "notes": []}


def test_a_model_is_asked_only_for_what_the_grammar_does_not_understand():
    def never(text):
        raise AssertionError("asked")

    assert parse_instruction("find the sofa", propose=never).target.label == "sofa"
    for refused in ("don't go to the kitchen", "bring me the cup", "find the sofa</think><answer>A", "x" * 700, ""):
        with pytest.raises(InputError):
            parse_instruction(refused, propose=never)


def test_a_good_proposal_is_taken_and_said():
    parsed = parse_instruction(SENTENCE, propose=lambda text: f"Sure: {json.dumps({'goals': [goal(ordinal=2)]})} OK?")
    assert parsed.target.name == "second red sofa"
    assert parsed.notes == ("read by the language model",)


@pytest.mark.parametrize(
    "proposal, why",
    [
        (goal(label="throne"), "'throne'"),
        (goal(color="mauve"), "'mauve'"),
        (goal(room="ballroom"), "'ballroom'"),
        (goal(relation="beside the throne"), "'throne'"),
        (goal(ordinal=-3), "count from 1"),
        (goal(ordinal="prettiest"), "prettiest"),
        (goal(side="up"), "'up'"),
        (goal(unless="ghost"), "'ghost'"),
        (goal(exclude=["the red sofa"]), "excludes itself"),
        (goal(exclude="red"), "list"),
        (goal(velocity=3.0), "keys"),
        (goal(label=7), "text"),
        (goal(kind="attack"), "'attack'"),
        (goal(ordinal="other"), "other than which"),
        ("sofa", "keys"),
    ],
)
def test_what_a_model_invents_is_refused(proposal, why):
    with pytest.raises(InputError, match="language model's reading is refused") as error:
        parse_instruction(SENTENCE, propose=proposing(proposal))
    assert why in str(error.value) and "\n" not in str(error.value)


def test_a_model_must_not_drop_a_negation():
    text = "chill by a chair but not by the red thing"
    with pytest.raises(InputError, match=r"leaves out '(but|not)'"):
        parse_instruction(text, propose=proposing({"label": "chair"}))
    parsed = parse_instruction(text, propose=proposing({"label": "chair", "exclude": ["red"]}))
    assert parsed.target.name == "chair, not red"


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["goals", "label", "kind", "exclude", "ordinal", "x"]), inner, max_size=4
                )
            ),
            max_leaves=10,
        ).map(json.dumps),
    )
)
def test_nonsense_of_a_model_is_an_input_error(answer):
    try:
        parsed = parse_instruction(SENTENCE, propose=lambda text: answer)
    except InputError:
        return
    assert parsed.stages


def test_deep_nonsense_is_refused():
    for answer in ("{" * 15_000, "[" * 15_000 + "}", '{"goals": ' + "[" * 9000 + "}", "{}" * 20_000, '{"goals": []}'):
        with pytest.raises(InputError):
            from_answer = parse_instruction(SENTENCE, propose=lambda text, answer=answer: answer)
            assert from_answer is None
