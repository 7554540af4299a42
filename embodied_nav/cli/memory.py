"""``embodied-nav memory info|query|export|check FILE``: looks into a memory file. Knows no ROS."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from ..errors import InputError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """The ``memory`` subcommand with its own four."""
    parser = subparsers.add_parser("memory", help="look into a memory file: info, query, export, check")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("info", "what the file holds"),
        ("query", "objects by words, box or nearness"),
        ("export", "voxels as a PLY file"),
        ("check", "looks for faults inside the file"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("file", metavar="FILE", help="memory file (memory.db)")
        action.add_argument("--json", action="store_true", help="print JSON")
        if name == "query":
            _add_query_arguments(action)
        if name == "export":
            action.add_argument("--out", metavar="FILE", default="", help="PLY file (default: FILE with .ply)")


def _add_query_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("text", metavar="TEXT", nargs="?", default="", help='such as "red chair"; nothing: all objects')
    action.add_argument("--box", metavar="X0,Y0,Z0,X1,Y1,Z1", default="", help="only what reaches into this box [m]")
    action.add_argument("--near", metavar="X,Y,Z", default="", help="nearest to this point first [m]")
    action.add_argument("--max-results", metavar="N", default="10", help="at most so many (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Runs the action; 0, or 2 where ``check`` finds faults."""
    return {"info": _info, "query": _query, "export": _export, "check": _check}[args.action](args)


def _info(args: argparse.Namespace) -> int:
    from ..memory.inspection import describe

    facts = describe(args.file)
    if args.json:
        print(json.dumps(facts))
        return 0
    for name, value in facts.items():
        if name in ("created", "updated"):
            value = datetime.fromtimestamp(value).isoformat(sep=" ", timespec="seconds")
        elif name == "bounds_m" and value:
            value = " to ".join("(" + ", ".join(f"{v:.2f}" for v in corner) + ")" for corner in value)
        print(f"{name.replace('_', ' '):15} {value}")
    return 0


def _query(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory

    box = _numbers(args.box, "--box", 6)
    near = _numbers(args.near, "--near", 3)
    if not args.max_results.isdigit() or int(args.max_results) < 1:
        raise InputError(f"--max-results {args.max_results}: give a whole number above 0")
    memory = SpatialMemory.load(args.file)
    found = memory.query(
        args.text, (box[:3], box[3:]) if box else None, near=near or None, max_results=int(args.max_results)
    )
    if args.json:
        print(json.dumps([_as_json(o, score) for o, score in found]))
        return 0
    for o, score in found:
        place = ", ".join(f"{v:.2f}" for v in o.position)
        size = " x ".join(f"{v:.2f}" for v in o.extent)
        print(f"{score:.2f}  {o.name:24} at ({place}) m, {size} m, keyframe {o.keyframe_id}, id {o.id}")
    if not found:
        print("nothing fits")
    return 0


def _as_json(o, score: float) -> dict:
    return {
        "id": o.id, "label": o.label, "color": o.color, "score": round(score, 4), "confidence": o.confidence,
        "position": [float(v) for v in o.position], "extent": [float(v) for v in o.extent], "voxels": o.voxels,
        "first_seen": o.first_seen, "last_seen": o.last_seen, "keyframe_id": o.keyframe_id, "status": o.status,
    }  # fmt: skip


def _export(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ..memory import SpatialMemory
    from ..memory.export import write_ply

    out = args.out or str(Path(args.file).with_suffix(".ply"))
    if Path(out).suffix.lower() != ".ply":
        raise InputError(f"--out {out}: only PLY is written; give a name that ends in .ply")
    count = write_ply(out, SpatialMemory.load(args.file))
    print(json.dumps({"file": out, "voxels": count}) if args.json else f"{out}: {count} voxels")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..memory.inspection import find_faults

    faults = find_faults(args.file)
    if faults:
        raise InputError(f"{args.file}: {len(faults)} fault(s), first: {faults[0]}; use a copy or make it anew")
    print(json.dumps({"file": args.file, "faults": []}) if args.json else f"{args.file}: no faults")
    return 0


def _numbers(text: str, name: str, count: int) -> list[float]:
    if not text:
        return []
    try:
        values = [float(v) for v in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or any(v != v or abs(v) == float("inf") for v in values):
        raise InputError(f"{name} {text}: give {count} numbers with commas between")
    if count == 6 and any(a > b for a, b in zip(values[:3], values[3:], strict=True)):
        raise InputError(f"{name} {text}: the lower corner must come first")
    return values
