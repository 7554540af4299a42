"""Means with confidence intervals and paired differences. Knows nothing of how episodes are run, and of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: Numbers of a result row that are averaged.
MEASURES = ("success", "spl", "soft_spl", "distance_to_goal", "oracle_success")
_DRAWS = 4000


def bootstrap(values: Sequence[float], seed: int = 0, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its percentile bootstrap interval (Efron 1979).

    Args:
        values: finite numbers, at least one.
        seed: of the resampling; the same values and seed give the same interval.
        level: of confidence.

    Returns:
        (mean, low, high).
    """
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(_DRAWS)
    for k in range(0, _DRAWS, 500):
        means[k : k + 500] = data[rng.integers(0, len(data), (500, len(data)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(data.mean()), float(low), float(high)


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means with 95% intervals of all rows and of each kind; collisions per 20 m, driven metres, wall seconds.

    An infinite distance to goal (unreachable from where the robot ended) is excluded from the mean and counted as
    ``unreachable``.
    """
    out: dict[str, Any] = {}
    kinds = sorted({row["kind"] for row in rows})
    for name in ("all", *kinds):
        out[name] = _summary([row for row in rows if name in ("all", row["kind"])])
    return out


def paired_difference(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], measures: Sequence[str] = ("success", "spl")
) -> dict[str, Any]:
    """Differences a - b over the episodes that both have, with 95% intervals, per kind and over all.

    Returns:
        {kind: {"episodes": n, measure: {"mean", "low", "high"}}}; empty where they share no episode.
    """
    other = {row["id"]: row for row in b}
    pairs = [(row, other[row["id"]]) for row in a if row["id"] in other]
    out: dict[str, Any] = {}
    for name in ("all", *sorted({row["kind"] for row, _ in pairs})):
        chosen = [(x, y) for x, y in pairs if name in ("all", x["kind"])]
        if not chosen:
            continue
        out[name] = {"episodes": len(chosen)}
        for measure in measures:
            out[name][measure] = _interval([float(x[measure]) - float(y[measure]) for x, y in chosen])
    return out


def _summary(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"episodes": len(rows)}
    for measure in MEASURES:
        values = [float(row[measure]) for row in rows if row[measure] is not None]
        finite = [v for v in values if np.isfinite(v)]
        out[measure] = _interval(finite) if finite else None
        if measure == "distance_to_goal":
            out["unreachable"] = len(rows) - len(finite)
    driven = sum(float(row["path_length"]) for row in rows)
    collisions = sum(int(row["collisions"]) for row in rows)
    out["path_length"] = driven
    out["collisions"] = collisions
    out["collisions_per_20_m"] = 20.0 * collisions / driven if driven > 0 else 0.0
    out["wall_s"] = sum(float(row["wall_s"]) for row in rows)
    return out


def _interval(values: list[float]) -> dict[str, float]:
    mean, low, high = bootstrap(values)
    return {"mean": mean, "low": low, "high": high}
