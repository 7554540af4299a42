"""Means with confidence intervals and paired differences. Knows nothing of how episodes are run, and of files.

Episodes in one apartment are alike, so intervals come from a bootstrap over apartments, not over episodes (cluster
bootstrap, Field and Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

#: Numbers of a result row that are averaged.
MEASURES = (
    "success", "spl", "soft_spl", "distance_to_goal", "oracle_success", "in_view", "picture_share", "view_share",
    "success_0_5", "ndtw", "sdtw",
)  # fmt: skip
#: Those that are compared between agents.
COMPARED = ("success", "spl", "in_view", "success_0_5")
_DRAWS = 4000


def bootstrap(
    values: Sequence[float], seed: int = 0, level: float = 0.95, clusters: Sequence[Hashable] | None = None
) -> tuple[float, float, float]:
    """Mean and its percentile bootstrap interval (Efron 1979).

    Args:
        values: finite numbers, at least one.
        clusters: of each value; whole clusters are drawn, with all their values. None, or a single cluster (which says
            nothing of how clusters differ): each value is drawn alone.
        seed: of the resampling; the same values and seed give the same interval.
        level: of confidence.

    Returns:
        (mean, low, high).
    """
    data = np.asarray(values, dtype=np.float64)
    names: dict[Hashable, int] = {}
    member = np.array([names.setdefault(c, len(names)) for c in clusters or range(len(data))])
    if len(names) == 1:
        member = np.arange(len(data))
    sums, counts = np.bincount(member, data), np.bincount(member)
    rng = np.random.default_rng(seed)
    means = np.empty(_DRAWS)
    for k in range(0, _DRAWS, 500):
        drawn = rng.integers(0, len(sums), (500, len(sums)))
        means[k : k + 500] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(data.mean()), float(low), float(high)


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means with 95% intervals of all rows and of each kind; collisions per 20 m, driven metres, wall seconds.

    A measure that no row has (in_view of rooms and routes) is None; intervals are over apartments (``scene``).
    An infinite distance to goal (unreachable from where the robot ended) is excluded from the mean and counted as
    ``unreachable``.
    """
    out: dict[str, Any] = {}
    kinds = sorted({row["kind"] for row in rows})
    for name in ("all", *kinds):
        out[name] = _summary([row for row in rows if name in ("all", row["kind"])])
    return out


def paired_difference(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], measures: Sequence[str] = COMPARED
) -> dict[str, Any]:
    """Differences a - b over the episodes that both have, with 95% intervals over apartments, per kind and over all.

    Returns:
        {kind: {"episodes": n, measure: {"mean", "low", "high"}}}; a measure is None where no pair has it, and all is
        empty where they share no episode.
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
            both = [(x, y) for x, y in chosen if x.get(measure) is not None and y.get(measure) is not None]
            differences = [float(x[measure]) - float(y[measure]) for x, y in both]
            out[name][measure] = _interval(differences, [_scene(x) for x, _ in both])
    return out


def _summary(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"episodes": len(rows)}
    for measure in MEASURES:
        finite = [row for row in rows if row.get(measure) is not None and np.isfinite(float(row[measure]))]
        out[measure] = _interval([float(row[measure]) for row in finite], [_scene(row) for row in finite])
        if measure == "distance_to_goal":
            out["unreachable"] = len(rows) - len(finite)
    driven = sum(float(row["path_length"]) for row in rows)
    collisions = sum(int(row["collisions"]) for row in rows)
    out["path_length"] = driven
    out["collisions"] = collisions
    out["collisions_per_20_m"] = 20.0 * collisions / driven if driven > 0 else 0.0
    out["wall_s"] = sum(float(row["wall_s"]) for row in rows)
    return out


def _scene(row: Mapping[str, Any]) -> Hashable:
    """The apartment of a row; rows without one stand alone."""
    return row.get("scene", row["id"])


def _interval(values: list[float], scenes: list[Hashable]) -> dict[str, float] | None:
    if not values:
        return None
    mean, low, high = bootstrap(values, clusters=scenes)
    return {"mean": mean, "low": low, "high": high}
