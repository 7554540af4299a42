"""``embodied-nav ask SOURCE TEXT``: answers from a memory file, a recording or a plain video. Knows no ROS."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import names, settings

if TYPE_CHECKING:
    from ..memory import SpatialMemory
    from ..reasoner.asking import Told


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "ask",
        help="answer a question from a memory file, a recording or a video",
        description="Answers a question in words: how many, how far, which is nearer, left or right of, how large, "
        "which was seen first, what is gone, where, in which room. A question that cannot be answered ends with exit "
        "code 2 and says what was understood.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="memory file (.db), folder or bag of a recording, or RGB video"
    )
    parser.add_argument("text", metavar="TEXT", help='such as "how far is the sofa from the tv?"')
    parser.add_argument("--json", action="store_true", help="print JSON, with the objects that the answer rests on")
    place = ("X", "Y")
    parser.add_argument("--near", metavar=place, nargs=2, type=float, help="where you stand, in the map [m]")
    parser.add_argument("--max-frames", type=int, default=0, metavar="N", help="of a recording or video (default: all)")
    names.add_perception(parser, names.AUTO)
    names.add_detector(parser)
    settings.add_option(parser)


def run(args: argparse.Namespace) -> int:
    """Answers; raises InputError where it cannot, with what was understood."""
    from ..recordings.video import is_video

    if args.max_frames < 0:
        raise InputError(f"--max-frames {args.max_frames}: give a number above 0, or 0 for all")
    if not args.text.strip():
        raise InputError("the question is empty; ask 'what is gone?' or 'how many chairs are there?'")
    path = Path(args.source)
    if not path.exists():
        raise InputError(f"{path}: there is none; give a memory file (.db), a recording or a video")
    if is_video(path):
        if args.near:
            raise InputError("--near: a video without depth has no map to stand in; leave it out")
        told, map_id = _of_video(args), ""
    else:
        told, map_id = _of_memory(args, _memory(args))
    if not told.answered:
        raise InputError(told.text)
    if args.json:
        print(json.dumps({"source": str(path), "question": args.text, **_fields(told), "map_id": map_id}))
        return 0
    print(told.text)
    for line in _evidence_lines(told):
        print(line)
    return 0


def _memory(args: argparse.Namespace) -> SpatialMemory:
    """The memory of a file, or of a recording that is watched now."""
    from ..memory import SpatialMemory

    path = Path(args.source)
    if path.is_file() and path.suffix == ".db":
        return SpatialMemory.load(path)
    from ..drivers.watching import watch_recording
    from ..recordings import open_recording

    recording = open_recording(path, max_frames=args.max_frames or None)
    return watch_recording(recording, _perception(args), _progress)


def _of_memory(args: argparse.Namespace, memory: SpatialMemory) -> tuple[Told, str]:
    import numpy as np

    from ..reasoner.asking import answer_from_memory

    near = np.array(args.near) if args.near else None
    if near is not None and not np.isfinite(near).all():
        raise InputError("--near: give two finite numbers")
    return answer_from_memory(memory, memory.knowledge(), args.text, near), memory.uuid


def _of_video(args: argparse.Namespace) -> Told:
    from ..drivers.watching import watch_video
    from ..reasoner.asking import answer_from_deltas
    from ..recordings.video import video_frames

    frames = video_frames(args.source, max_frames=args.max_frames)
    return answer_from_deltas(watch_video(frames, _perception(args), _progress), args.text)


def _perception(args: argparse.Namespace):
    """The back end that is to name things."""
    from ..perception import create
    from ..tables import PERCEPTION

    given, why = names.settle_perception(args, simulated=False)
    if why:
        print(f"ask: {why}", file=sys.stderr, flush=True)
    entry = PERCEPTION[args.perception]
    kinds = entry.own_settings()
    return create(args.perception, entry.settings_from(settings.assigned(given, {"ask": kinds})["ask"]))


def _progress(done: int, total: int) -> None:
    """Tells of every hundredth frame that there is more to come."""
    if done % 100 == 0 and done != total:
        print(f"ask: frame {done}{f' of {total}' if total else ''}", file=sys.stderr, flush=True)


def _fields(told: Told) -> dict[str, Any]:
    return {
        "answer": told.text,
        "kind": told.kind,
        "value": told.value,
        "evidence": [
            {
                "id": a.object.id,
                "label": a.object.label,
                "color": a.object.color,
                "position": [float(v) for v in a.object.position],
                "extent": [float(v) for v in a.object.extent],
                "status": a.object.status,
                "keyframe": a.keyframe_id,
            }
            for a in told.evidence
        ],
    }


def _evidence_lines(told: Told) -> list[str]:
    """One line an object that the answer rests on."""
    lines = []
    for a in told.evidence[:10]:
        x, y, z = a.object.position
        gone = ", gone" if a.object.status == "gone" else ""
        lines.append(
            f"  #{a.object.id} {a.object.name} at ({x:.2f}, {y:.2f}, {z:.2f}) m, keyframe {a.keyframe_id}{gone}"
        )
    return lines
