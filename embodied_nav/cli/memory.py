"""``embodied-nav memory``: looks into a memory file. Knows the memory's public functions, not the file's format."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..frames import MemoryObject
    from ..memory import SpatialMemory

#: What ``export`` writes, by the ending of the file's name.
EXPORTS = {".ply": "coloured points", ".png": "picture of the map", ".json": "objects"}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser("memory", help="look into a memory file", description="Looks into a memory file.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    info = actions.add_parser("info", help="size, age, sessions, what is in it")
    query = actions.add_parser("query", help="find objects by words or place")
    export = actions.add_parser("export", help="write it as .ply, .png or .json")
    check = actions.add_parser("check", help="read everything; exit 2 where the file is damaged")
    for action in (info, query, export, check):
        action.add_argument("file", metavar="FILE", help="memory file (memory.db)")
    for action in (info, query):
        action.add_argument("--json", action="store_true", help="print JSON instead of text")
    query.add_argument("text", nargs="?", default="", help='words, as "red chair"; nothing: any object')
    query.add_argument(
        "--box",
        nargs=6,
        type=float,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="only objects that reach into this box (m, map frame)",
    )
    query.add_argument("--max-results", type=int, default=10, metavar="N", help="default: 10")
    export.add_argument("out", metavar="OUT", help="; ".join(f"{end}: {what}" for end, what in EXPORTS.items()))


def run(args: argparse.Namespace) -> int:
    """Runs one of info, query, export, check."""
    if args.action == "export" and Path(args.out).suffix not in EXPORTS:
        raise InputError(f"{args.out}: cannot tell what to write; end the name with {', '.join(EXPORTS)}")
    if args.action == "query" and args.max_results < 1:
        raise InputError(f"--max-results {args.max_results}: give at least 1")
    from ..memory import SpatialMemory

    memory = SpatialMemory.load(args.file)
    action = {"info": _info, "query": _query, "export": _export, "check": _check}[args.action]
    return action(memory, args)


def _info(memory: SpatialMemory, args: argparse.Namespace) -> int:
    facts = _facts(memory, Path(args.file))
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{n} {what}" for what, n in value.items()) or "none"
        elif isinstance(value, list):
            value = " to ".join(str(v) for v in value)
        print(f"{name.replace('_', ' '):20} {value}")
    return 0


def _facts(memory: SpatialMemory, file: Path) -> dict:
    voxels = memory.voxels()
    objects = memory.objects(include_gone=True)
    low, high = (voxels.positions.min(0), voxels.positions.max(0)) if len(voxels) else ([], [])
    return {
        "file_bytes": file.stat().st_size,
        "uuid": memory.uuid,
        "created": datetime.fromtimestamp(memory.created, UTC).isoformat(timespec="seconds"),
        "sessions": len(memory.sessions) - 1,  # loading has begun another one
        "frames": memory.frames,
        "keyframes": len(memory.keyframes),
        "voxels": len(memory),
        "voxel_size_m": memory.config.voxel_size,
        "extent_m": [[round(float(v), 2) for v in corner] for corner in (low, high) if len(corner)],
        "objects": dict(Counter(o.name for o in objects if o.status == "present").most_common()),
        "objects_gone": dict(Counter(o.name for o in objects if o.status != "present").most_common()),
    }


def _query(memory: SpatialMemory, args: argparse.Namespace) -> int:
    import numpy as np

    box = (np.array(args.box[:3]), np.array(args.box[3:])) if args.box else None
    if box is not None and not (box[0] <= box[1]).all():
        raise InputError(f"--box {' '.join(map(str, args.box))}: give the lower corner first")
    found = memory.query(args.text, box=box, max_results=args.max_results)
    if args.json:
        print(json.dumps([{**_fields(o), "score": round(score, 4)} for o, score in found], indent=2))
        return 0
    if not found:
        print("nothing found")
        return 0
    print(f"{'score':>5}  {'id':>4}  {'object':24}{'x':>7}{'y':>7}{'z':>7}  {'size (m)':18}last seen (s)")
    for o, score in found:
        place = "".join(f"{v:7.2f}" for v in o.position)
        size = " x ".join(f"{v:.2f}" for v in o.extent)
        print(f"{score:5.2f}  {o.id:4}  {o.name:24}{place}  {size:18}{o.last_seen * 1e-9:.1f}")
    return 0


def _fields(o: MemoryObject) -> dict:
    return {
        "id": o.id,
        "label": o.label,
        "color": o.color,
        "position": [round(float(v), 4) for v in o.position],
        "extent": [round(float(v), 4) for v in o.extent],
        "confidence": round(float(o.confidence), 4),
        "voxels": int(o.voxels),
        "first_seen": int(o.first_seen),
        "last_seen": int(o.last_seen),
        "keyframe": int(o.keyframe_id),
        "status": o.status,
    }


def _export(memory: SpatialMemory, args: argparse.Namespace) -> int:
    out = Path(args.out)
    if out.suffix == ".ply":
        from ..memory.export import write_ply

        print(f"{out}: {write_ply(out, memory)} voxels")
    elif out.suffix == ".png":
        import numpy as np

        from ..memory.render import draw_map

        track = [memory.keyframes[i].T_map_camera[:3, 3] for i in sorted(memory.keyframes)]
        draw_map(
            out,
            memory.occupancy(),
            np.array(track) if track else None,
            memory.objects(),
            voxels=memory.voxels(),
            title=f"{Path(args.file).name}: {len(memory)} voxels, {len(memory.keyframes)} keyframes",
        )
        print(f"{out}: map with {len(memory.objects())} objects")
    else:
        objects = memory.objects(include_gone=True)
        try:
            out.write_text(json.dumps([_fields(o) for o in objects], indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{out}: cannot be written ({error.strerror}); give a writable place") from None
        print(f"{out}: {len(objects)} objects")
    return 0


def _check(memory: SpatialMemory, args: argparse.Namespace) -> int:
    """Loading has read every table and unpacked every blob; what is left is whether the parts fit each other."""
    import numpy as np

    from ..memory.persistence import open_file, read_meta

    with open_file(args.file) as db:
        announced = int(read_meta(db)["voxels"])
    voxels = memory.voxels()
    size = memory.config.voxel_size
    faults = []
    if len(voxels) != announced:
        faults.append(f"{announced} voxels are announced, {len(voxels)} are there")
    if not np.isfinite(voxels.positions).all():
        faults.append("voxels at places that are not finite")
    keys = np.floor(voxels.positions.astype(np.float64) / size).astype(np.int64)
    twice = len(keys) - len(np.unique(keys, axis=0)) if len(keys) else 0
    # Centroids are float32: one on a voxel's very border may round into its neighbour.
    if twice > 1e-4 * len(keys):
        faults.append(f"{twice} voxels share a place with another")
    unknown = [o.id for o in memory.objects() if o.keyframe_id >= 0 and o.keyframe_id not in memory.keyframes]
    if unknown:
        faults.append(f"objects {unknown} name keyframes that are not there")
    if faults:
        raise InputError(f"{args.file}: {'; '.join(faults)}; use a copy or make it anew")
    print(
        f"{args.file}: sound ({len(memory)} voxels, {len(memory.keyframes)} keyframes, {len(memory.objects())} objects)"
    )
    return 0
