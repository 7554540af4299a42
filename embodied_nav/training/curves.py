"""Draws the metrics.jsonl of a training as curves. Knows no method."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

#: Panels side by side.
_COLUMNS = 4


def draw(metrics: Path, picture: Path, panel: Callable[[str], str]) -> None:
    """Draws every figure over the steps.

    Args:
        metrics: lines of JSON with ``step`` and figures by name.
        picture: PNG.
        panel: the heading of the panel that a name belongs to; "" leaves it out.
    """
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    panels: dict[str, list[str]] = {}
    for name in sorted({name for line in lines for name in line if name != "step"}):
        if heading := panel(name):
            panels.setdefault(heading, []).append(name)
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(4.5 * columns, 3.2 * rows), layout="constrained")
    for axes, (heading, names) in zip(figure.subplots(rows, columns, squeeze=False).flat, panels.items(), strict=False):
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line]
            axes.plot([p[0] for p in points], [p[1] for p in points], label=name)
        axes.set_title(heading)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    figure.savefig(picture, dpi=110)
