"""Prints who imports whom: the layers of the package, or the files and folders inside one of them.

    python scripts/import_picture.py                  the whole house
    python scripts/import_picture.py memory           inside embodied_nav/memory
    python scripts/import_picture.py --svg house.svg  the same as a picture

A unit stands below everything that it imports; arrows that follow from others are left out (``a -> c`` where
``a -> b -> c``). Units that import each other in a circle are marked, and the circle is named.

Runs in any Python from 3.8, and needs nothing else.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "embodied_nav"

if TYPE_CHECKING:  # Python 3.8 cannot evaluate it
    Graph = dict[str, set[str]]


def imports_of(path: Path, root: Path) -> set[str]:
    """Absolute names of all that a source file imports, inside functions too; relative ones are resolved.

    ``from a import b`` gives ``a`` and ``a.b``, which may be a module or a name in ``a``.
    """
    package = path.relative_to(root).with_suffix("").parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def graph_of(root: Path, inside: str) -> Graph:
    """Unit -> units that it imports, of the files and folders in ``inside`` (a dotted name below ``root``).

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = root.joinpath(*inside.split("."))
    if not folder.is_dir():
        raise FileNotFoundError(f"{inside} is no folder")
    files = {path: Path(path.relative_to(folder).parts[0]).stem for path in sorted(folder.rglob("*.py"))}
    units = set(files.values()) - {"__init__"}
    graph: Graph = {unit: set() for unit in units}
    for path, unit in files.items():
        for name in imports_of(path, root) if unit in units else ():
            other = name[len(inside) + 1 :].split(".")[0] if name.startswith(f"{inside}.") else ""
            if other in units and other != unit:
                graph[unit].add(other)
    return graph


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of units that all reach each other, sorted; empty where there is no circle."""
    reach = {unit: _reached(graph, unit) for unit in graph}
    groups = {tuple(sorted({u for u in graph if u in reach[unit] and unit in reach[u]})) for unit in graph}
    return sorted(list(group) for group in groups if group)


def levels(graph: Graph) -> list[list[str]]:
    """Units by height: first those that import nothing, then those that import only what came before.

    Units of one circle stand at the same height.
    """
    reach = {unit: _reached(graph, unit) for unit in graph}
    height: dict[str, int] = {}
    # What stands below a unit reaches less than it, itself counted: a unit of a circle reaches itself anyway.
    for unit in sorted(graph, key=lambda u: len(reach[u] | {u})):
        below = [height[u] for u in reach[unit] if u in height and unit not in reach[u]]
        height[unit] = 1 + max(below, default=-1)
    return [sorted(u for u in graph if height[u] == h) for h in range(max(height.values(), default=-1) + 1)]


def reduced(graph: Graph) -> Graph:
    """The same without arrows that follow from two others, neither of them in a circle with them."""
    reach = {unit: _reached(graph, unit) for unit in graph}

    def follows(unit: str, other: str) -> bool:
        between = graph[unit] - {other}
        return any(other in reach[v] and v not in reach[other] and unit not in reach[v] for v in between)

    return {unit: {other for other in others if not follows(unit, other)} for unit, others in graph.items()}


def _reached(graph: Mapping[str, Iterable[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = list(graph[start])
    while left:
        unit = left.pop()
        if unit not in found:
            found.add(unit)
            left += graph[unit]
    return found


def text_picture(graph: Graph, title: str) -> str:
    """The picture in words: one line a unit, in the order of heights."""
    arrows, around = reduced(graph), {unit for group in circles(graph) for unit in group}
    width = max(map(len, graph), default=0)
    lines = [f"{title}: each line imports only what stands above it"]
    for height, units in enumerate(levels(graph)):
        for unit in units:
            mark = " (in a circle)" if unit in around else ""
            needs = ", ".join(sorted(arrows[unit]))
            lines.append(f"{height:3d}  {unit:{width}}{'  -> ' + needs if needs else ''}{mark}".rstrip())
    lines += [f"circle: {' <-> '.join(group)}" for group in circles(graph)] or ["no circles"]
    return "\n".join(lines)


def svg_picture(graph: Graph, title: str) -> str:
    """The picture as SVG: a row for each height, and an arrow up for each import that follows from no other."""
    high, step, gap, margin = 26, 78, 18, 30
    rows = levels(graph)
    widths = {unit: 16 + 8 * len(unit) for unit in graph}
    longest = max((sum(widths[u] + gap for u in row) for row in rows), default=0)
    places: dict[str, tuple[float, float]] = {}
    for k, row in enumerate(rows):
        x = margin + (longest - sum(widths[u] + gap for u in row)) / 2
        for unit in row:
            places[unit] = (x, margin + 20 + k * step)
            x += widths[unit] + gap
    size = f'width="{longest + 2 * margin:.0f}" height="{2 * margin + 20 + len(rows) * step:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#668"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{margin}" y="{margin - 8}">{escape(title)}: arrows go up to what is imported</text>',
    ]
    for unit, others in reduced(graph).items():
        for other in others:
            (x0, y0), (x1, y1) = places[unit], places[other]
            ends = (
                f'x1="{x0 + widths[unit] / 2:.0f}" y1="{y0:.0f}" x2="{x1 + widths[other] / 2:.0f}" y2="{y1 + high:.0f}"'
            )
            parts.append(f'<line {ends} stroke="#99b" marker-end="url(#tip)"/>')
    around = {unit for group in circles(graph) for unit in group}
    for unit, (x, y) in places.items():
        box = f'x="{x:.0f}" y="{y:.0f}" width="{widths[unit]}" height="{high}" rx="4"'
        parts.append(f'<rect {box} fill="{"#fbb" if unit in around else "#eef"}" stroke="#446"/>')
        parts.append(f'<text x="{x + 8:.0f}" y="{y + 18:.0f}">{escape(unit)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main(arguments: list[str] | None = None) -> int:
    """Prints or writes the picture; 2 where there is no such folder."""
    parser = argparse.ArgumentParser(description="Who imports whom in the package.")
    parser.add_argument("folder", nargs="?", default="", help="a folder of the package: memory, or memory/query")
    parser.add_argument("--svg", metavar="FILE", help="write a picture instead of printing lines")
    args = parser.parse_args(arguments)
    inside = ".".join(filter(None, (PACKAGE, *args.folder.strip("/").split("/"))))
    try:
        graph = graph_of(ROOT, inside)
    except FileNotFoundError as error:
        print(f"import_picture.py: error: {error}; give a folder of {PACKAGE}/", file=sys.stderr)
        return 2
    if args.svg:
        Path(args.svg).write_text(svg_picture(graph, inside), encoding="utf-8")
        print(f"written to {args.svg}")
    else:
        print(text_picture(graph, inside))
    return 0


if __name__ == "__main__":
    sys.exit(main())
