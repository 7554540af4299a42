"""Answers every question by every answerer, and prints the table. Knows no answerer by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...reasoner.answering import Answerer
from ...training.questions.choosing import Question
from ...training.questions.dataset import Example
from .scoring import by_kind, interval, score

#: Columns of the table: short head -> kinds whose mean it holds, the eight of VSI-Bench first.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "count": ("object_counting",),
    "abs.dist": ("object_abs_distance",),
    "obj.size": ("object_size_estimation",),
    "room": ("room_size_estimation",),
    "rel.dist": ("object_rel_distance",),
    "rel.dir": ("object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard"),
    "route": ("route_planning",),
    "order": ("obj_appearance_order",),
    "action": ("action",),
    "here": ("here",),
    "next": ("next",),
    "gone": ("gone",),
}


@dataclass(frozen=True)
class Row:
    """One answerer's result.

    Attributes:
        name: of the answerer. questions: how many it was asked. unanswered: to how many it gave no answer.
        kinds: mean score of each kind and of all, see :func:`scoring.by_kind`.
        low, high: 95% interval of the average. seconds: CPU time an answer took on average.
        answers: question id -> what it gave.
    """

    name: str
    questions: int
    unanswered: int
    kinds: Mapping[str, float]
    low: float
    high: float
    seconds: float
    answers: Mapping[str, str]


def questions_of(examples: Sequence[Example]) -> list[Question]:
    """All questions, in order."""
    return [q for e in examples for q in e.questions]


def ask_all(answerer: Answerer, examples: Sequence[Example], told: Callable[[int], None] | None = None) -> Row:
    """Asks one answerer everything; what it raises ends the run."""
    started, answers = time.process_time(), {}
    for example in examples:
        for q in example.questions:
            answers[q.id] = answerer.answer(example.digest, q.text, q.options)
            if told is not None:
                told(len(answers))
    return row_of(answerer.name, questions_of(examples), answers, time.process_time() - started)


def row_of(name: str, questions: Sequence[Question], answers: Mapping[str, str], seconds: float) -> Row:
    """The result of answers that were given."""
    scores = {q.id: score(answers[q.id], q.answer, q.options) for q in questions}
    kinds, scenes = {q.id: q.kind for q in questions}, {q.id: q.scene for q in questions}
    low, high = interval(scores, kinds, scenes)
    unanswered = sum(not answers[q.id] for q in questions)
    spent = seconds / max(len(questions), 1)
    return Row(name, len(questions), unanswered, by_kind(scores, kinds), low, high, spent, answers)


def some_of_each(examples: Sequence[Example], count: int) -> list[Example]:
    """Examples with about ``count`` questions in all, every kind as often as another: for what answers slowly."""
    kinds = sorted({q.kind for q in questions_of(examples)})
    left = dict.fromkeys(kinds, max(1, count // max(len(kinds), 1)))
    chosen = []
    for example in examples:
        kept: list[Question] = []
        for q in example.questions:
            # One of a kind in an apartment, so that they come from many.
            if left[q.kind] and q.kind not in {k.kind for k in kept}:
                left[q.kind] -= 1
                kept.append(q)
        if kept:
            chosen.append(Example(example.scene, example.digest, tuple(kept)))
    return chosen


def columns_of(row: Row) -> dict[str, float]:
    """Score of each column of the table that the row has questions for, and their average; of kinds that no column
    holds (another benchmark's), each by its own name."""
    found = {
        head: sum(row.kinds[k] for k in kinds) / len(kinds)
        for head, kinds in COLUMNS.items()
        if all(k in row.kinds for k in kinds)
    }
    return {**found, "average": sum(found.values()) / len(found)} if found else dict(row.kinds)


def table(rows: Sequence[Row]) -> str:
    """The rows as text: percent right, or of mean relative accuracy."""
    known = [h for h in COLUMNS if any(h in columns_of(row) for row in rows)]
    heads = [*(known or sorted({k for row in rows for k in row.kinds if k != "average"})), "average"]
    lines = [
        "answerer".ljust(22) + "".join(h.rjust(max(9, len(h) + 1)) for h in heads) + "  95% of all kinds".rjust(20)
    ]
    for row in rows:
        values = columns_of(row)
        cells = "".join((f"{100 * values[h]:.1f}" if h in values else "-").rjust(max(9, len(h) + 1)) for h in heads)
        named = f"{row.name} ({row.questions})"
        lines.append(f"{named:22}{cells}{f'{100 * row.low:.1f} to {100 * row.high:.1f}':>20}")
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows for a results file."""
    return [
        {
            "answerer": row.name,
            "questions": row.questions,
            "unanswered": row.unanswered,
            "columns": columns_of(row),
            "kinds": dict(row.kinds),
            "interval": [row.low, row.high],
            "cpu_s": row.seconds,
            "answers": dict(row.answers),
        }
        for row in rows
    ]
