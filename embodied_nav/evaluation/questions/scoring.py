"""Scores answers as VSI-Bench does: exact letters, and mean relative accuracy of numbers. Knows no answerers.

Yang et al. 2024 (arXiv 2412.14171), sec. 3.3: MRA is the share of ten thresholds t in .5, .55, ..., .95 with a relative
error of at most 1 - t. An answer that is none (no letter, no number) scores 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

#: The ten thresholds.
THRESHOLDS = tuple(k / 100 for k in range(50, 100, 5))
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_DRAWS = 2000


def mean_relative_accuracy(given: float, true: float) -> float:
    """0 to 1. ``true`` is above 0.

    Raises:
        ValueError: a true value of 0 or less, which has no relative error.
    """
    if not true > 0:
        raise ValueError(f"a true value of {true} has no relative error")
    if not math.isfinite(given):
        return 0.0
    error = abs(given - true) / true
    # The thresholds are exact in hundredths: so is the comparison, up to rounding.
    return sum(error <= 1.0 - t + 1e-9 for t in THRESHOLDS) / len(THRESHOLDS)


def score(given: str, true: str, options: Sequence[str]) -> float:
    """0 to 1: whether it is the letter, or with no options the number's mean relative accuracy."""
    if options:
        words = given.strip().split()
        return float(bool(words) and words[0].rstrip(".):").lower() == true.strip().lower())
    found = _NUMBER.search(given.replace(",", ""))
    return mean_relative_accuracy(float(found[0]), float(true)) if found else 0.0


def by_kind(scores: Mapping[str, float], kinds: Mapping[str, str]) -> dict[str, float]:
    """Mean score of each kind, and ``average``: the mean of the kinds, each with the same weight.

    Args:
        scores: question id -> 0 to 1. kinds: question id -> kind.
    """
    lists: dict[str, list[float]] = {}
    for name, value in scores.items():
        lists.setdefault(kinds[name], []).append(value)
    means = {kind: float(np.mean(values)) for kind, values in sorted(lists.items())}
    return {**means, "average": float(np.mean(list(means.values())))} if means else {}


def interval(
    scores: Mapping[str, float], kinds: Mapping[str, str], scenes: Mapping[str, int], seed: int = 0
) -> tuple[float, float]:
    """95% interval of the average over kinds, by bootstrap over apartments: their questions are not independent."""
    names = sorted({kinds[q] for q in scores})
    places = sorted({scenes[q] for q in scores})
    row, column = {s: k for k, s in enumerate(places)}, {n: k for k, n in enumerate(names)}
    sums, counts = np.zeros((len(places), len(names))), np.zeros((len(places), len(names)))
    for q, value in scores.items():
        sums[row[scenes[q]], column[kinds[q]]] += value
        counts[row[scenes[q]], column[kinds[q]]] += 1
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(places), (_DRAWS, len(places)))
    with np.errstate(invalid="ignore"):
        means = np.nanmean(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
