"""From collected states to decision problems as text. Knows no simulator, and nothing of how states are collected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...reasoner.prompt import parse_answer
from .codec import from_dict
from .problems import Problem


def problem_of(row: Mapping[str, Any]) -> Problem:
    """The problem of one collected state; an option's return is its SPL, averaged over the worlds.

    Raises:
        InputError: see :func:`.codec.from_dict`.
    """
    context = from_dict(row["state"]).context
    episode, _, _ = str(row["id"]).rpartition("/")
    scene = int(episode.removeprefix("large-").split("-")[0])
    rules = parse_answer(row["rules"], context.options)[0]
    values = np.asarray(row["returns"]["spl"], dtype=np.float64).mean(axis=1)
    return Problem.of(str(row["id"]), scene, context, rules, values.tolist())


def regret(rows: Iterable[Mapping[str, Any]], choose: str = "rules") -> float:
    """Mean return that is lost by a recorded choice against the best option of each state, by the table."""
    lost = []
    for row in rows:
        context = from_dict(row["state"]).context
        values = np.asarray(row["returns"]["spl"], dtype=np.float64).mean(axis=1)
        lost.append(float(values.max() - values[parse_answer(row[choose], context.options)[0]]))
    return float(np.mean(lost)) if lost else 0.0
