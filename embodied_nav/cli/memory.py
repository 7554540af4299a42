"""``embodied-nav memory info|query|export|check FILE``: looks into a memory file. Knows no ROS and no file format."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..frames import MemoryObject
    from ..memory import SpatialMemory

#: What ``export`` writes, by the ending of the file's name.
EXPORTS = {".ply": "coloured points", ".png": "picture of the map", ".json": "objects"}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """The ``memory`` subcommand with its own four."""
    parser = subparsers.add_parser("memory", help="look into a memory file", description="Looks into a memory file.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("info", "what the file holds"),
        ("query", "objects by words, box or nearness"),
        ("export", "voxels, picture or objects as a file of another kind"),
        ("check", "look for faults inside the file; exit code 2 where there are any"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("file", metavar="FILE", help="memory file (memory.db)")
        action.add_argument("--json", action="store_true", help="print JSON")
        if name == "query":
            _add_query_arguments(action)
        if name == "export":
            kinds = ", ".join(f"{end} ({what})" for end, what in EXPORTS.items())
            action.add_argument("--out", metavar="OUT", help=f"its ending tells what: {kinds}; default: FILE with .ply")


def _add_query_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("text", metavar="TEXT", nargs="?", default="", help='such as "red chair"; nothing: all objects')
    corners = ("X0", "Y0", "Z0", "X1", "Y1", "Z1")
    action.add_argument("--box", metavar=corners, nargs=6, type=float, help="only what reaches into this box [m]")
    action.add_argument("--near", metavar=("X", "Y", "Z"), nargs=3, type=float, help="nearest to this point first [m]")
    action.add_argument("--max-results", metavar="N", type=int, default=10, help="at most so many (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Runs the action; what is wrong with the file is an InputError."""
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
    import numpy as np

    from ..memory import SpatialMemory

    if args.max_results < 1:
        raise InputError(f"--max-results {args.max_results}: give a whole number above 0")
    box = (np.array(args.box[:3]), np.array(args.box[3:])) if args.box else None
    if box is not None and not (box[0] <= box[1]).all():
        raise InputError(f"--box {' '.join(map(str, args.box))}: the lower corner must come first")
    near = np.array(args.near) if args.near else None
    found = SpatialMemory.load(args.file).query(args.text, box, near=near, max_results=args.max_results)
    if args.json:
        print(json.dumps([{**_fields(o), "score": round(score, 4)} for o, score in found]))
        return 0
    for o, score in found:
        place = ", ".join(f"{v:.2f}" for v in o.position)
        size = " x ".join(f"{v:.2f}" for v in o.extent)
        print(f"{score:.2f}  {o.name:24} at ({place}) m, {size} m, keyframe {o.keyframe_id}, id {o.id}")
    if not found:
        print("nothing fits")
    return 0


def _fields(o: MemoryObject) -> dict:
    return {
        "id": o.id, "label": o.label, "color": o.color, "confidence": o.confidence, "voxels": o.voxels,
        "position": [float(v) for v in o.position], "extent": [float(v) for v in o.extent],
        "first_seen": o.first_seen, "last_seen": o.last_seen, "keyframe_id": o.keyframe_id, "status": o.status,
    }  # fmt: skip


def _export(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory

    out = Path(args.out) if args.out else Path(args.file).with_suffix(".ply")
    write = {".ply": _write_ply, ".png": _write_png, ".json": _write_json}.get(out.suffix.lower())
    if write is None:
        raise InputError(f"--out {out}: cannot tell what to write; end the name with {', '.join(EXPORTS)}")
    count, what = write(out, SpatialMemory.load(args.file))
    print(json.dumps({"file": str(out), what: count}) if args.json else f"{out}: {count} {what}")
    return 0


def _write_ply(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    from ..memory.export import write_ply

    return write_ply(out, memory), "voxels"


def _write_png(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    import numpy as np

    from ..memory.render import draw_map

    track = [memory.keyframes[i].T_map_camera[:3, 3] for i in sorted(memory.keyframes)]
    objects = memory.objects()
    draw_map(out, memory.occupancy(), np.array(track) if track else None, objects, voxels=memory.voxels())
    return len(objects), "objects"


def _write_json(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    objects = memory.objects(include_gone=True)
    try:
        out.write_text(json.dumps([_fields(o) for o in objects], indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); give a writable place") from None
    return len(objects), "objects"


def _check(args: argparse.Namespace) -> int:
    from ..memory.inspection import find_faults

    faults = find_faults(args.file)
    if faults:
        raise InputError(f"{args.file}: {len(faults)} fault(s), first: {faults[0]}; use a copy or make it anew")
    print(json.dumps({"file": args.file, "faults": []}) if args.json else f"{args.file}: no faults")
    return 0
