"""The report as one HTML file that needs nothing else: tables, plots, failures by kind with their pictures.

Knows HTML and nothing of how numbers and pictures come about. No script, no outside address; pictures are inside.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import failures
from .curves import Named
from .report import Table

#: Failures of one kind that are listed; the rest is counted.
_MOST_LISTED = 200
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0 1.4rem; display: block; overflow-x: auto; }
th, td { border: 1px solid #8886; padding: .25rem .55rem; text-align: left; white-space: nowrap; }
td.text { white-space: normal; }
td + td { font-variant-numeric: tabular-nums; }
img { max-width: 100%; background: white; border-radius: 4px; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.plots img { max-width: min(100%, 570px); } .plots img:first-child { max-width: 100%; }
.failures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 540px), 1fr)); gap: 1.2rem; }
figure { margin: 0; } figcaption { font-size: 13px; }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
.quiet { opacity: .75; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its bytes as a file ("png" or "jpeg"), and what it shows."""

    data: bytes
    kind: str
    text: str

    def html(self) -> str:
        """The image with its bytes inside."""
        source = f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode('ascii')}"
        return f'<img alt="{html.escape(self.text, quote=True)}" src="{source}">'


def page(
    rows: Sequence[Named],
    tables: Sequence[Table],
    plots: Sequence[Picture],
    pictures: Mapping[tuple[str, str], bytes],
    paths: Sequence[str],
) -> str:
    """The whole page.

    Args:
        rows: names and contents of the files. tables, plots: to be shown first.
        pictures: (name of the row, id of the episode) -> JPEG, of the failures that have one.
        paths: of the files, in the order of ``rows``.
    """
    parts = ["<h1>Evaluation report</h1>", "<ul>"]
    for (name, content), path in zip(rows, paths, strict=True):
        parts.append(f"<li><b>{html.escape(name)}</b>: {html.escape(_settings(content))} "
                     f'<span class="quiet">({html.escape(Path(path).name)})</span></li>')  # fmt: skip
    parts.append("</ul>")
    for table in tables:
        parts += [f"<h2>{html.escape(table.title)}</h2>", _table(table)]
    if plots:
        parts += ["<h2>Plots</h2>", '<div class="plots">', *(plot.html() for plot in plots), "</div>"]
    for name, content in rows:
        parts.append(_failures(name, content, pictures))
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"><title>Evaluation report</title>\n<style>{_STYLE}</style>'
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}\n{viewport}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _settings(content: Mapping[str, Any]) -> str:
    """What a file was made with, in one line."""
    names = ("perception", "localization", "simulator", "suite", "scenes", "seed", "protocol")
    said = [f"{name} {content[name]}" for name in names if content.get(name) not in (None, "")]
    given = [f"{name}={value}" for name, value in (content.get("set") or {}).items()]
    return ", ".join([f"agent {content.get('agent', '?')}", *said, *given])


def _table(table: Table) -> str:
    heads = "".join(f"<th>{html.escape(head)}</th>" for head in table.heads)
    lines = [f"<table><thead><tr>{heads}</tr></thead><tbody>"]
    for row in table.rows:
        cells = (f'<td class="{"text" if len(cell) > 48 else ""}">{html.escape(cell)}</td>' for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _failures(name: str, content: Mapping[str, Any], pictures: Mapping[tuple[str, str], bytes]) -> str:
    """The failures of one file by kind: those with a picture side by side, the others as a list."""
    found = failures.sort(content["episodes"])
    total = sum(len(rows) for rows in found.values())
    if not total:
        return ""
    parts = [f"<h2>Failures of {html.escape(name)}: {total} of {len(content['episodes'])}</h2>"]
    for kind, rows in found.items():
        parts.append(f"<details open><summary>{html.escape(kind)} ({len(rows)})</summary>")
        parts.append(f'<p class="quiet">{html.escape(failures.KINDS[kind])}</p>')
        drawn = [row for row in rows if (name, row["id"]) in pictures]
        if drawn:
            parts.append('<div class="failures">')
            for row in drawn:
                picture = Picture(pictures[name, row["id"]], "jpeg", f"way of {row['id']} from above")
                parts.append(f"<figure>{picture.html()}<figcaption>{_caption(row)}</figcaption></figure>")
            parts.append("</div>")
        others = [row for row in rows if (name, row["id"]) not in pictures]
        if others:
            parts += ["<ul>", *(f"<li>{_caption(row)}</li>" for row in others[:_MOST_LISTED]), "</ul>"]
        if len(others) > _MOST_LISTED:
            parts.append(f"<p>and {len(others) - _MOST_LISTED} more</p>")
        parts.append("</details>")
    return "\n".join(parts)


def _caption(row: Mapping[str, Any]) -> str:
    """One line of a failed episode, escaped: instruction, reason, distances, contacts."""
    parts = [f"<b>{html.escape(str(row['id']))}</b>"]
    if row.get("instruction"):
        parts.append(f"“{html.escape(str(row['instruction']))}”")
    if row.get("reason"):
        parts.append(f"it said: {html.escape(str(row['reason']))}")
    left, start = row.get("distance_to_goal"), row.get("start_distance")
    if left is not None and math.isfinite(float(left)):
        parts.append(f"{float(left):.1f} m of way to the goal" + (f", {start:.1f} at the start" if start else ""))
    driven = f"{float(row['path_length']):.1f} m driven"
    parts.append(driven + (f", {row['collisions']} steps in contact" if row.get("collisions") else ""))
    return "; ".join(parts)
