"""Prints how much of each layer and room the tests run, from what ``coverage json`` wrote. Needs but Python.

    python scripts/coverage_by_room.py coverage.json

Lines of numba kernels count as not run: what runs is what they are compiled to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def by_room(report: Mapping[str, Any], package: str = "embodied_nav") -> dict[str, tuple[int, int]]:
    """Room ("memory", "memory/query", "config") -> (lines that ran, lines that could)."""
    found: dict[str, tuple[int, int]] = {}
    for name, content in report["files"].items():
        parts = PurePath(name).parts
        if package not in parts:
            continue
        inside = parts[parts.index(package) + 1 :]
        room = "/".join(inside[:-1]) or inside[0].removesuffix(".py")
        ran, could = found.get(room, (0, 0))
        summary = content["summary"]
        found[room] = ran + summary["covered_lines"], could + summary["num_statements"]
    return {room: counts for room, counts in sorted(found.items()) if counts[1]}


def table(rooms: Mapping[str, tuple[int, int]]) -> str:
    """One line a room, and one for all."""
    width = max((len(room) for room in rooms), default=0)
    total = tuple(sum(column) for column in zip(*rooms.values(), strict=True)) or (0, 0)
    rows = [*rooms.items(), ("all", total)]
    return "\n".join(f"{r:{width}}  {100 * a / max(b, 1):5.1f} %  {a:6d} of {b:6d} lines" for r, (a, b) in rows)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(table(by_room(json.load(file))))
