"""Success against distance, rooms, camera height and pitch: numbers first, then plots. Knows nothing of episodes' runs.

Intervals are as everywhere: 95%, by a bootstrap over apartments. Episodes whose row does not hold the quantity (files
of earlier versions) are left out, and their number is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..robot import RobotProfile
from .statistics import bootstrap

#: One results file: the name of its line, and its content as of ``results.load_results``.
Named = tuple[str, Mapping[str, Any]]
#: Upper ends (m) of the bins of the distance from start to goal; the last is open.
DISTANCE_BINS = (5.0, 7.5, 10.0, 12.5, 15.0, math.inf)
#: Lines that one plot can hold.
MOST_LINES = 8
_COLORS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#555555")


@dataclass(frozen=True)
class Point:
    """Success at one value: mean and interval (0 to 1) over ``n`` episodes; ``x`` is where it is drawn."""

    x: float
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """One line of a plot; ``missing`` episodes did not say their value."""

    name: str
    points: tuple[Point, ...]
    missing: int = 0


@dataclass(frozen=True)
class Plot:
    """A plot: its file name without ending, its title, the label of x, its lines, and what was left out, in words."""

    file: str
    title: str
    x_label: str
    curves: tuple[Curve, ...]
    note: str = ""


def plots(rows: Sequence[Named]) -> list[Plot]:
    """All plots that these files have something for."""
    shown = rows[:MOST_LINES]
    left = f"the first {len(shown)} of {len(rows)} files" if len(shown) < len(rows) else ""
    found = [
        Plot("success_by_distance", "success against distance", "shortest way from start to goal [m]",
             tuple(_curve(name, c["episodes"], _binned_distance) for name, c in shown), left),
        Plot("success_by_rooms", "success against rooms", "rooms in the apartment",
             tuple(_curve(name, c["episodes"], _rooms) for name, c in shown), left),
        *camera_plots(rows),
    ]  # fmt: skip
    return [plot for plot in found if any(curve.points for curve in plot.curves)]


def camera_of(content: Mapping[str, Any]) -> tuple[float, float]:
    """(height m, pitch in whole tenths of a degree) of a file's camera: as it was set, else the default robot's."""
    given, default = content.get("set") or {}, RobotProfile()
    height = float(given.get("robot.camera_height", default.camera_height))
    pitch = float(given.get("robot.camera_pitch", default.camera_pitch))
    return round(height, 3), round(math.degrees(pitch), 1)


def camera_plots(rows: Sequence[Named]) -> list[Plot]:
    """Success against camera height, a line for each pitch, and the other way round, where the files differ in these.

    Files of the same agent, perception, localization and suite that differ in nothing but the camera are one group.
    """
    groups: dict[str, dict[tuple[float, float], list[Mapping[str, Any]]]] = {}
    for _, content in rows:
        groups.setdefault(_group(content), {}).setdefault(camera_of(content), []).extend(content["episodes"])
    found: list[Plot] = []
    by_height, by_pitch = [], []
    for group, cameras in groups.items():
        heights, pitches = sorted({h for h, _ in cameras}), sorted({p for _, p in cameras})
        prefix = f"{group}, " if len(groups) > 1 else ""
        if len(heights) > 1:
            by_height += [
                Curve(f"{prefix}pitch {p:g}°", _points({h: e for (h, q), e in cameras.items() if q == p}))
                for p in pitches
            ]
        if len(pitches) > 1:
            by_pitch += [
                Curve(f"{prefix}{h:g} m high", _points({p: e for (g, p), e in cameras.items() if g == h}))
                for h in heights
            ]
    for name, label, curves in (
        ("height", "camera above the floor [m]", by_height),
        ("pitch", "camera's pitch, down [degrees]", by_pitch),
    ):
        if curves:
            left = f"the first {MOST_LINES} of {len(curves)} lines" if len(curves) > MOST_LINES else ""
            found.append(
                Plot(f"success_by_camera_{name}", f"success against camera {name}", label,
                     tuple(curves[:MOST_LINES]), left)
            )  # fmt: skip
    return found


def draw(plot: Plot, path: Path) -> None:
    """Draws a plot as a PNG: means with 95% intervals, the number of episodes at each point.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    spread = _spacing(plot)
    for k, curve in enumerate(plot.curves):
        aside = (k - (len(plot.curves) - 1) / 2) * spread  # intervals beside each other, not over each other
        x = [p.x + aside for p in curve.points]
        means = [100 * p.mean for p in curve.points]
        below = [100 * max(p.mean - p.low, 0.0) for p in curve.points]
        above = [100 * max(p.high - p.mean, 0.0) for p in curve.points]
        label = curve.name + (f" ({curve.missing} episodes do not say)" if curve.missing else "")
        axes.errorbar(x, means, (below, above), fmt="o-", ms=4, lw=1.4, capsize=3, color=_COLORS[k], label=label)
    if len({tuple((p.x, p.n) for p in curve.points) for curve in plot.curves}) == 1:
        for point in plot.curves[0].points:
            axes.annotate(f"n={point.n}", (point.x, 107), ha="center", fontsize=7, color="#555555")
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel="success [%]", ylim=(-3, 113))
    axes.set_yticks(range(0, 101, 20))
    xs = [point.x for curve in plot.curves for point in curve.points]
    if all(x == round(x) for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(min(xs) - 0.8, max(xs) + 0.8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best", title=plot.note or None, title_fontsize=8)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another --out") from None


def _curve(name: str, episodes: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], Any]) -> Curve:
    """A line whose points are the values that ``value`` gives; None of it counts as missing."""
    groups: dict[float, list[Mapping[str, Any]]] = {}
    missing = 0
    for row in episodes:
        x = value(row)
        if x is None:
            missing += 1
        else:
            groups.setdefault(x, []).append(row)
    return Curve(name, _points(groups, None if value is _rooms else "start_distance"), missing)


def _points(groups: Mapping[float, Sequence[Mapping[str, Any]]], mean_of: str | None = None) -> tuple[Point, ...]:
    """Points by value; drawn there, or at the mean of a column in that bin."""
    points = []
    for x in sorted(groups):
        rows = groups[x]
        mean, low, high = bootstrap(
            [float(row["success"]) for row in rows], clusters=[row.get("scene", row["id"]) for row in rows]
        )
        place = x if mean_of is None else sum(float(row[mean_of]) for row in rows) / len(rows)
        points.append(Point(place, len(rows), mean, low, high))
    return tuple(points)


def _binned_distance(row: Mapping[str, Any]) -> float | None:
    distance = row.get("start_distance")
    return None if distance is None else next(end for end in DISTANCE_BINS if distance < end)


def _rooms(row: Mapping[str, Any]) -> float | None:
    return row.get("rooms")


def _group(content: Mapping[str, Any]) -> str:
    """What a file was made with, but for the camera (and the height that its mast needs)."""
    names = [str(content.get(key, "?")) for key in ("agent", "perception", "localization")]
    suite = content.get("suite", "plain")
    others = [
        f"{name}={value}"
        for name, value in (content.get("set") or {}).items()
        if name not in ("robot.camera_height", "robot.camera_pitch", "robot.height")
    ]
    return ", ".join([*names, *([] if suite == "plain" else [suite]), *others])


def _spacing(plot: Plot) -> float:
    """How far beside each other (in x) the points of two lines are drawn."""
    xs = [p.x for curve in plot.curves for p in curve.points]
    return 0.006 * (max(xs) - min(xs)) if xs else 0.0
