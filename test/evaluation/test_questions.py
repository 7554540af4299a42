"""Scores as VSI-Bench's, rivals that see no digest, and the command that prints the table."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embodied_nav.errors import InputError
from embodied_nav.evaluation.questions import __main__ as command
from embodied_nav.evaluation.questions import small_lm
from embodied_nav.evaluation.questions.rivals import (
    Chance,
    ForestAttack,
    Majority,
    TextOnly,
    best_constant,
    k_fold,
    subject,
    wording,
)
from embodied_nav.evaluation.questions.scoring import by_kind, interval, mean_relative_accuracy, score
from embodied_nav.evaluation.questions.table import COLUMNS, ask_all, columns_of, some_of_each, table
from embodied_nav.training.questions.candidates import KINDS
from embodied_nav.training.questions.choosing import Question
from embodied_nav.training.questions.dataset import Example, save


@pytest.mark.parametrize(
    ("given_", "true", "accuracy"),
    [(10, 10, 1.0), (9.5, 10, 1.0), (9.4, 10, 0.9), (5, 10, 0.1), (15, 10, 0.1), (4.9, 10, 0.0), (100, 10, 0.0),
     (0, 10, 0.0), (float("nan"), 10, 0.0), (float("inf"), 10, 0.0), (7.5, 10, 0.6)],
)  # fmt: skip
def test_mean_relative_accuracy_has_ten_thresholds(given_, true, accuracy):
    assert mean_relative_accuracy(given_, true) == pytest.approx(accuracy)


@given(st.floats(0.01, 1e4), st.floats(-1e4, 1e4))
def test_mean_relative_accuracy_is_a_share_and_best_at_the_truth(true, off):
    value = mean_relative_accuracy(true + off, true)
    assert 0.0 <= value <= 1.0 and value <= mean_relative_accuracy(true, true) == 1.0
    with pytest.raises(ValueError, match="relative error"):
        mean_relative_accuracy(1.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "points"), [("B", 1), ("b", 1), ("B. right", 1), ("B)", 1), ("A", 0), ("", 0), ("AB", 0), ("right", 0)]
)
def test_letters_are_exact(answer, points):
    assert score(answer, "B", ("A. left", "B. right")) == points


def test_numbers_are_read_from_answers_and_nothing_is_nothing():
    assert score("about 2.0 m", "2.0", ()) == 1.0 and score("", "2.0", ()) == 0.0 and score("two", "2", ()) == 0.0


def test_kinds_count_alike_whatever_their_number():
    kinds = {"a": "x", "b": "x", "c": "x", "d": "y"}
    means = by_kind({"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}, kinds)
    assert means["x"] == pytest.approx(2 / 3) and means["average"] == pytest.approx(1 / 3)
    scenes = {"a": 1, "b": 2, "c": 3, "d": 4}
    low, high = interval({"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}, kinds, scenes)
    assert 0.0 <= low <= 1 / 3 <= high <= 1.0


def question(k, scene, kind="gone"):
    """A question whose words tell nothing; the right one is always red, whatever its letter."""
    letter = "AB"[k % 2]
    texts = ("red lamp", "blue lamp") if letter == "A" else ("blue lamp", "red lamp")
    options = tuple(f"{a}. {t}" for a, t in zip("AB", texts, strict=True))
    text = "Which of these is gone since the first visit?"
    return Question(f"{scene}-{kind}-{k}", scene, kind, "lamp", text, options, letter)


def counted(k, scene):
    number = 2 if k % 3 else 4
    text = f"How many {'chair' if k % 2 else 'stool'}(s) are in this apartment?"
    return Question(f"{scene}-c-{k}", scene, "object_counting", "chair", text, (), str(number))


QUESTIONS = [q for scene in range(6) for k in range(8) for q in (question(k, scene), counted(k, scene))]
EXAMPLES = [Example(s, "DIGEST 1", tuple(q for q in QUESTIONS if q.scene == s)) for s in range(6)]


def rows_by_name(*rows):
    return {row.name: row for row in rows}


def test_the_majority_is_of_contents_not_of_letters():
    majority = Majority()
    majority.fit(QUESTIONS)
    row = ask_all(majority, EXAMPLES)
    assert row.kinds["gone"] == 1.0 and row.unanswered == 0
    assert row.kinds["object_counting"] > 0.5
    assert abs(ask_all(Chance(), EXAMPLES).kinds["gone"] - 0.5) <= 0.5
    assert best_constant([1.0, 1.0, 3.0]) == 1.0
    assert majority.answer("", "what?", ()) == ""


def test_text_only_finds_what_words_give_away_and_k_fold_keeps_apartments_apart():
    pytest.importorskip("sklearn", reason="scikit-learn (extra 'questions') is not installed")
    for make in (TextOnly, ForestAttack):
        answers = k_fold(make, QUESTIONS, 3)
        right = [answers[q.id] == q.answer for q in QUESTIONS if q.options]
        assert np.mean(right) == 1.0 and set(answers) == {q.id for q in QUESTIONS}
        numbers = [float(answers[q.id]) for q in QUESTIONS if not q.options]
        assert all(math.isfinite(n) and 1.0 < n < 6.0 for n in numbers)
    with pytest.raises(InputError, match="folds"):
        k_fold(TextOnly, QUESTIONS, 7)
    rng = np.random.default_rng(0)
    fair = [
        Question(q.id, q.scene, q.kind, q.category, q.text, q.options, "AB"[int(rng.integers(2))])
        for q in QUESTIONS
        if q.options
    ]
    answers = k_fold(TextOnly, fair, 3)
    assert np.mean([answers[q.id] == q.answer for q in fair]) < 0.8  # what words do not tell is not known


def test_the_wording_tells_the_kind():
    kinds = {
        "How many lamp(s) are in this apartment?": ("count", "lamp"),
        "In which room is the robot now?": ("here", ""),
        "To reach the red bed from here, what should the robot do first?": ("next", "red bed"),
    }
    for text, (kind, about) in kinds.items():
        assert wording(text) == kind and (about == "" or subject(text) == about)


def test_the_table_has_every_kind_and_a_subset_all_of_them():
    assert {k for kinds in COLUMNS.values() for k in kinds} == set(KINDS)
    row = ask_all(Chance(), EXAMPLES)
    assert "count" in columns_of(row) and "chance (96)" in table([row])
    some = some_of_each(EXAMPLES, 8)
    kinds = [q.kind for e in some for q in e.questions]
    assert sorted(kinds) == ["gone"] * 4 + ["object_counting"] * 4


def test_the_command_prints_the_table_and_writes_it(tmp_path, capsys):
    save(tmp_path / "test.jsonl", EXAMPLES, {})
    save(tmp_path / "train.jsonl", EXAMPLES, {})
    arguments = ["--test", str(tmp_path / "test.jsonl"), "--train", str(tmp_path / "train.jsonl")]
    out = tmp_path / "out.json"
    assert command.main([*arguments, "--answerers", "chance,majority", "--out", str(out)]) == 0
    assert "majority (96)" in capsys.readouterr().out
    assert [r["answerer"] for r in json.loads(out.read_text())] == ["chance", "majority"]
    for wrong, says in (
        ([*arguments, "--answerers", "nobody"], "give some of"),
        (["--test", str(tmp_path / "none.jsonl")], "cannot be read"),
        (["--test", str(tmp_path / "test.jsonl"), "--answerers", "majority"], "--train"),
    ):
        assert command.main(wrong) == 2
        error = capsys.readouterr().err.strip()
        assert says in error and "\n" not in error


def test_the_small_language_model_answers_in_the_form_asked_for():
    if why := small_lm.missing():
        pytest.skip(why)
    model = small_lm.SmallLanguageModel()
    digest = "THINGS\n#1 chair (red), room 1\n#2 bed (blue), room 1"
    assert model.answer(digest, "Which of these is there?", ("A. chair", "B. oven")) in ("A", "B")
    float(model.answer(digest, "How many chairs are there?", ()))
