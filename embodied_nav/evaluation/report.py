"""Tables and a plot of several results files, side by side. Knows nothing of how episodes are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .statistics import paired_difference, summarize

KINDS = ("object", "relation", "room", "route", "all")
#: Measures of the last metres, and their headings.
LAST_METRES = (("in_view", "in view %"), ("success_0_5", "success at 0.5 m %"))

#: One results file: the name of its row, and its content as of ``results.load_results``.
Named = tuple[str, Mapping[str, Any]]


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


def markdown(rows: Sequence[Named]) -> str:
    """Two Markdown tables: means with 95% intervals over apartments, and paired differences to the first row.

    A cell is "SR / SPL", in per cent and 0 to 1. The second table is left out where there is nothing to compare.
    """
    summaries = [(name, summarize(content["episodes"])) for name, content in rows]
    kinds = [kind for kind in KINDS if any(kind in summary for _, summary in summaries)]
    heads = ["agent", "n", *(f"{kind} SR / SPL" for kind in kinds), *(head for _, head in LAST_METRES)]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for name, summary in summaries:
        cells = [_cell(summary.get(kind)) for kind in kinds]
        last = [_percent(summary["all"][measure]) for measure, _ in LAST_METRES]
        lines.append(_line([name, str(summary["all"]["episodes"]), *cells, *last]))
    return "\n".join([*lines, *_differences(rows)])


def plot(rows: Sequence[Named], path: Path) -> None:
    """Draws success, SPL and the last metres of all rows by kind, with 95% intervals, as a PNG.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measures = (("success", "success"), ("spl", "SPL"), ("in_view", "in view"), ("success_0_5", "success at 0.5 m"))
    summaries = [(name, summarize(content["episodes"])) for name, content in rows]
    figure = Figure(figsize=(13.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    width = 0.8 / len(rows)
    for axes, (measure, title) in zip(figure.subplots(1, len(measures), sharey=True), measures, strict=True):
        for k, (name, summary) in enumerate(summaries):
            found = [(i, summary[kind][measure]) for i, kind in enumerate(KINDS) if summary.get(kind, {}).get(measure)]
            means = [interval["mean"] for _, interval in found]
            below = [max(i["mean"] - i["low"], 0.0) for _, i in found]
            above = [max(i["high"] - i["mean"], 0.0) for _, i in found]
            places = [i + (k + 0.5) * width - 0.4 for i, _ in found]
            axes.bar(places, means, width, yerr=(below, above), label=name, error_kw={"elinewidth": 1.0})
        axes.set(title=title, ylim=(0.0, 1.05), xticks=range(len(KINDS)))
        axes.set_xticklabels(KINDS)
    figure.axes[0].legend(fontsize=8)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another --out") from None


def _differences(rows: Sequence[Named]) -> list[str]:
    """Lines of the table of paired differences of each row to the first one."""
    (first, base), *others = rows
    lines: list[str] = []
    for name, content in others:
        difference = paired_difference(content["episodes"], base["episodes"])
        for kind in (kind for kind in KINDS if kind in difference):
            d = difference[kind]
            points = [_percent(d[measure], "+") for measure in ("success", *(m for m, _ in LAST_METRES))]
            cells = [points[0], _number(d["spl"], "+"), *points[1:]]
            lines.append(_line([f"{name} minus {first}", kind, str(d["episodes"]), *cells]))
    if not lines:
        return []
    heads = ["same episodes", "kind", "n", "SR points", "SPL", *(head for _, head in LAST_METRES)]
    return ["", _line(heads), _line(["---"] * len(heads)), *lines]


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
