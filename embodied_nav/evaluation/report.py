"""Tables of several results files, side by side, and a plot of them. Knows nothing of how episodes are run.

``curves`` draws success against distance and more, ``failures`` sorts what failed, ``report_page`` makes the HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import failures
from .curves import Named
from .statistics import paired_difference, summarize

KINDS = ("object", "relation", "room", "route", "all")
#: Measures of the last metres, and their headings.
LAST_METRES = (("in_view", "in view %"), ("success_0_5", "success at 0.5 m %"))
#: Bars of so many files fit beside each other; of more, what is of all kinds is drawn below each other.
_MOST_BARS = 8


@dataclass(frozen=True)
class Table:
    """A table of a report: its title, headings, and rows of as many cells."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, without its title."""
        return "\n".join(_line(cells) for cells in (self.heads, ("---",) * len(self.heads), *self.rows))


def named(files: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Named]:
    """Rows by the agent's name, and of a Habitat data set its protocol and what computed it; where several files are
    of one agent, with the file's name."""
    agents = [_agent(content) for _, content in files]
    return [
        (agent if agents.count(agent) == 1 else f"{agent} ({Path(path).stem})", content)
        for agent, (path, content) in zip(agents, files, strict=True)
    ]


def _agent(content: Mapping[str, Any]) -> str:
    name = str(content.get("agent", "?"))
    if "protocol" not in content:
        return name
    return f"{name}, {content['protocol']}, {'habitat-sim' if content.get('simulator') == 'habitat' else 'own'}"


def tables(rows: Sequence[Named]) -> list[Table]:
    """Means with 95% intervals over apartments; paired differences to the first row; failures by kind.

    A cell of the first is "SR / SPL", in per cent and 0 to 1. The others are left out where there is nothing for them.
    """
    found = (_means(rows), _differences(rows), _failures(rows))
    return [table for table in found if table.rows]


def markdown(rows: Sequence[Named]) -> str:
    """The tables of :func:`tables` in Markdown."""
    return "\n\n".join(table.markdown() for table in tables(rows))


def plot(rows: Sequence[Named], path: Path) -> None:
    """Draws success, SPL and the last metres of all rows by kind, with 95% intervals, as a PNG.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measures = (("success", "success"), ("spl", "SPL"), ("in_view", "in view"), ("success_0_5", "success at 0.5 m"))
    summaries = [(name, summarize(content["episodes"])) for name, content in rows]
    many = len(rows) > _MOST_BARS
    figure = Figure(figsize=(13.0, 1.2 + 0.28 * len(rows) if many else 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (measure, title) in zip(figure.subplots(1, len(measures), sharey=True), measures, strict=True):
        (_draw_lines if many else _draw_bars)(axes, summaries, measure)
        axes.set_title(title)
    if not many:
        figure.axes[0].legend(fontsize=8)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another --out") from None


def _draw_bars(axes: Any, summaries: Sequence[Named], measure: str) -> None:
    """A bar of each file at each kind."""
    width = 0.8 / len(summaries)
    for k, (name, summary) in enumerate(summaries):
        found = [(i, summary[kind][measure]) for i, kind in enumerate(KINDS) if summary.get(kind, {}).get(measure)]
        means = [interval["mean"] for _, interval in found]
        places = [i + (k + 0.5) * width - 0.4 for i, _ in found]
        axes.bar(places, means, width, yerr=_arms(i for _, i in found), label=name, error_kw={"elinewidth": 1.0})
    axes.set(ylim=(0.0, 1.05), xticks=range(len(KINDS)))
    axes.set_xticklabels(KINDS)


def _draw_lines(axes: Any, summaries: Sequence[Named], measure: str) -> None:
    """A point of each file, below each other: of all kinds together."""
    found = [(i, summary["all"][measure]) for i, (_, summary) in enumerate(summaries) if summary["all"][measure]]
    means = [interval["mean"] for _, interval in found]
    axes.errorbar(means, [i for i, _ in found], xerr=_arms(i for _, i in found), fmt="o", ms=4, capsize=2)
    axes.set(xlim=(-0.03, 1.05), ylim=(len(summaries) - 0.5, -0.5), yticks=range(len(summaries)))
    axes.set_yticklabels([name for name, _ in summaries], fontsize=7)
    axes.grid(axis="x", alpha=0.25)


def _arms(intervals: Iterable[Mapping[str, float]]) -> tuple[list[float], list[float]]:
    """How far intervals reach below and above their means."""
    found = list(intervals)
    return [max(i["mean"] - i["low"], 0.0) for i in found], [max(i["high"] - i["mean"], 0.0) for i in found]


def _means(rows: Sequence[Named]) -> Table:
    summaries = [(name, summarize(content["episodes"])) for name, content in rows]
    kinds = [kind for kind in KINDS if any(kind in summary for _, summary in summaries)]
    heads = ("agent", "n", *(f"{kind} SR / SPL" for kind in kinds), *(head for _, head in LAST_METRES))
    cells = [
        (
            name,
            str(summary["all"]["episodes"]),
            *(_cell(summary.get(kind)) for kind in kinds),
            *(_percent(summary["all"][measure]) for measure, _ in LAST_METRES),
        )
        for name, summary in summaries
    ]
    return Table("Success and SPL, 95% intervals over apartments", heads, tuple(cells))


def _differences(rows: Sequence[Named]) -> Table:
    """Paired differences of each row to the first one."""
    (first, base), *others = rows
    cells: list[tuple[str, ...]] = []
    for name, content in others:
        difference = paired_difference(content["episodes"], base["episodes"])
        for kind in (kind for kind in KINDS if kind in difference):
            d = difference[kind]
            points = [_percent(d[measure], "+") for measure in ("success", *(m for m, _ in LAST_METRES))]
            who = f"{name} minus {first}", kind, str(d["episodes"])
            cells.append((*who, points[0], _number(d["spl"], "+"), *points[1:]))
    heads = ("same episodes", "kind", "n", "SR points", "SPL", *(head for _, head in LAST_METRES))
    return Table("Paired differences, the same episodes", heads, tuple(cells))


def _failures(rows: Sequence[Named]) -> Table:
    """How many episodes failed, by kind of failure (one a row) and file."""
    found = [failures.sort(content["episodes"]) for _, content in rows]
    kinds = [kind for kind in failures.KINDS if any(kind in f for f in found)]
    cells = [(kind, *(str(len(f.get(kind, ()))) for f in found), failures.KINDS[kind]) for kind in kinds]
    return Table("What failed", ("failures", *(name for name, _ in rows), "meaning"), tuple(cells))


def _cell(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return "-"
    return f"{_percent(summary['success'])} / {_number(summary['spl'])}"


def _percent(interval: Mapping[str, float] | None, sign: str = "") -> str:
    if interval is None:
        return "-"
    mean, low, high = (f"{100 * interval[key]:{sign}.1f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _number(interval: Mapping[str, float] | None, sign: str = "") -> str:
    if interval is None:
        return "-"
    mean, low, high = (f"{interval[key]:{sign}.3f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
