"""``embodied-nav memory``: inspects, repairs and merges memory files. Knows no ROS and no file format.

Usage: ``embodied-nav memory info|query|export|check|compact|recover|merge FILE``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from ..memory import SpatialMemory
    from ..memory.query.answering import Answer, Frustum

#: Formats of ``export`` by file name suffix.
EXPORTS = {
    ".ply": "coloured points", ".glb": "coloured cubes", ".gltf": "the same as text", ".yaml": "Nav2 map with its .pgm",
    ".png": "picture of the map", ".json": "objects", ".mesh.ply": "mesh of the surfaces, by Open3D; .mesh.glb too",
    ".rrd": "recording of Rerun",
}  # fmt: skip
#: File name suffix of each ``--format``.
FORMATS = {
    "ply": ".ply", "gltf": ".glb", "nav2": ".yaml", "png": ".png", "json": ".json", "mesh": ".mesh.ply", "rrd": ".rrd",
}  # fmt: skip
#: Endings that a format takes besides its own.
_ALSO = {"gltf": (".gltf",), "mesh": (".ply", ".glb", ".gltf")}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the ``memory`` subcommand with its actions."""
    parser = subparsers.add_parser("memory", help="look into a memory file", description="Looks into a memory file.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("info", "what the file holds"),
        ("query", "objects by words, box or nearness"),
        ("export", "voxels, picture or objects as a file of another kind"),
        ("check", "look for faults inside the file; exit code 2 where there are any"),
        ("compact", "drop the keyframes that newer ones made redundant, and give the room back"),
        ("recover", "save what is good in a damaged file into a new one"),
        ("merge", "make one file of two whose maps are of one place"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("file", metavar="FILE", help="memory file (memory.db)")
        action.add_argument("--json", action="store_true", help="print JSON")
        if name == "query":
            _add_query_arguments(action)
        if name == "export":
            kinds = ", ".join(f"{end} ({what})" for end, what in EXPORTS.items())
            action.add_argument("--out", metavar="OUT", help=f"its ending tells what: {kinds}; default: FILE with .ply")
            action.add_argument(
                "--all", action="store_true",
                help="objects (.json) without enough evidence, and those that are gone, too",
            )  # fmt: skip
            action.add_argument(
                "--format", choices=FORMATS, help="what to write, where --out is left out or may be several things"
            )
            action.add_argument("--rrd", action="store_const", const="rrd", dest="format", help="short: --format rrd")
        if name == "recover":
            action.add_argument("new", metavar="NEW", help="the file to make")
        if name == "merge":
            action.add_argument("other", metavar="OTHER", help="the file whose map comes into FILE's coordinates")
            action.add_argument("out", metavar="OUT", help="the file to make")
            place = ("X", "Y", "Z", "YAW")
            action.add_argument(
                "--transform", metavar=place, nargs=4, type=float,
                help="where the origin of OTHER's map lies in FILE's [m, rad]; default: by keyframes that both hold",
            )  # fmt: skip
        if name in ("query", "export", "merge"):
            action.add_argument("--map", metavar="UUID", help="of the maps in FILE; default: the one written last")


def _add_query_arguments(action: argparse.ArgumentParser) -> None:
    words = 'such as "red chair near the window" or "what did you see in the last minute"; nothing: all objects'
    action.add_argument("text", metavar="TEXT", nargs="?", default="", help=words)
    corners = ("X0", "Y0", "Z0", "X1", "Y1", "Z1")
    action.add_argument("--box", metavar=corners, nargs=6, type=float, help="only what reaches into this box [m]")
    action.add_argument("--near", metavar=("X", "Y", "Z"), nargs=3, type=float, help="nearest to this point first [m]")
    action.add_argument(
        "--viewer", metavar=("X", "Y"), nargs=2, type=float, help="from where left and right are meant [m]"
    )
    view = ("X", "Y", "Z", "YAW")
    action.add_argument(
        "--view", metavar=view, nargs=4, type=float, help="only what a level camera there sees [m, rad]"
    )
    action.add_argument("--last", metavar="SECONDS", type=float, help="only what was seen so recently")
    action.add_argument("--feature", metavar="FILE", help="nearest to this feature, one vector in a .npy file")
    action.add_argument("--gone", action="store_true", help="also what was carried away")
    action.add_argument("--exact", action="store_true", help="only what the words name, nothing by meaning")
    action.add_argument(
        "--language-model", metavar="FOLDER", default="auto",
        help="sentence-embedding model for what the words do not name (default: that of the extra 'language', if it is "
        "installed)",
    )  # fmt: skip
    action.add_argument(
        "--encoder", metavar="MODEL", default="auto",
        help="the model that made the file's image features, by folder or id, whose text part then looks for what the "
        "words do not name (default: the one that the file names, where it is there; none: no looks)",
    )  # fmt: skip
    action.add_argument("--max-results", metavar="N", type=int, default=10, help="at most so many (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Runs the action; raises InputError for an unusable file."""
    actions = {
        "info": _info, "query": _query, "export": _export, "check": _check, "compact": _compact, "recover": _recover,
        "merge": _merge,
    }  # fmt: skip
    return actions[args.action](args)


def _info(args: argparse.Namespace) -> int:
    from ..memory.file.inspection import describe

    facts = describe(args.file)
    if args.json:
        print(json.dumps(facts))
        return 0
    lists = {name: facts.pop(name) for name in ("maps", "session_list")}
    for name, value in facts.items():
        if name in ("created", "updated"):
            value = datetime.fromtimestamp(value).isoformat(sep=" ", timespec="seconds")
        elif name == "bytes_of":
            value = ", ".join(f"{what} {n / 1e6:.1f} MB" for what, n in value.items() if n >= 50_000) or "little"
        elif name == "bounds_m" and value:
            value = " to ".join("(" + ", ".join(f"{v:.2f}" for v in corner) + ")" for corner in value)
        print(f"{name.replace('_', ' '):15} {value}")
    for m in lists["maps"]:
        end = f"part of {m['merged_into']}" if m["merged_into"] else f"{m['keyframes']} keyframes, {m['voxels']} voxels"
        print(f"{'map':15} {m['uuid']}: {end}")
    for s in lists["session_list"]:
        began = datetime.fromtimestamp(s["started"]).isoformat(sep=" ", timespec="seconds")
        print(f"{'session':15} {began}, keyframes from {s['first_keyframe']}, in map {s['map']}")
    return 0


def _query(args: argparse.Namespace) -> int:
    import numpy as np

    from ..language import meaning
    from ..memory import SpatialMemory
    from ..memory.query.answering import Query, describe

    if args.max_results < 1:
        raise InputError(f"--max-results {args.max_results}: give a whole number above 0")
    box = (np.array(args.box[:3]), np.array(args.box[3:])) if args.box else None
    if box is not None and not (box[0] <= box[1]).all():
        raise InputError(f"--box {' '.join(map(str, args.box))}: the lower corner must come first")
    memory = SpatialMemory.load(args.file, map=args.map)
    chosen = meaning.choose("none" if args.exact else args.language_model)
    names = memory.room_names()
    query = Query(
        args.text, box, _frustum(args.view), _feature(args.feature), _since(args.last, memory.stamp),
        near=np.array(args.near) if args.near else None, viewer=np.array(args.viewer) if args.viewer else None,
        include_gone=args.gone, max_results=args.max_results,
    )  # fmt: skip
    found, trouble = memory.ask(query), ""
    if not found and not args.exact:
        trouble = _search_by_looks(args.encoder, memory)
        memory.meaning = None if chosen is None else chosen.scores
        found = memory.ask(query)
    known = memory.knowledge()
    if args.json:
        print(json.dumps([_answer_fields(a, names, describe(a, known), memory.uuid) for a in found]))
        return 0
    for a in found:
        o = a.object
        place, size = (
            separator.join(f"{v:.2f}" for v in w) for separator, w in ((", ", o.position), (" x ", o.extent))
        )
        print(f"{a.score:.2f}  {o.name:24} at ({place}) m, {size} m, keyframe {a.keyframe_id}, id {o.id}")
        facts = [a.why, describe(a, known), f"seen {a.age:.0f} s before the end", "gone" if o.status == "gone" else ""]
        print("      " + "; ".join(fact for fact in facts if fact))
    print(f"coordinates are of map {memory.uuid}" if found else _nothing(args, chosen is not None, trouble))
    return 0


def _search_by_looks(model: str, memory: SpatialMemory) -> str:
    """Lets a memory with image features compare them with texts; returns why it cannot, "" for nothing to say.

    Raises:
        InputError: a model is given, and cannot be used.
    """
    from ..perception.encoders import tower_of

    source, given = memory.config.feature_source, model not in ("auto", "none")
    if given and not memory.config.feature_dim:
        raise InputError(f"--encoder {model}: this memory holds no image features; leave it out")
    if model == "none" or not (source or given):
        return ""
    try:
        memory.text_encoder = tower_of(source or "clip:", model if given else "")
    except InputError as error:
        if given:
            raise
        return f"; its image features cannot be searched: {error}"
    if given and memory.text_encoder is None:
        raise InputError(f"--encoder {model}: the features here are {source}'s, which knows no words; leave it out")
    return ""


def _nothing(args: argparse.Namespace, by_meaning: bool, trouble: str) -> str:
    """That nothing fits, and how a description could be searched for."""
    from ..language import describes
    from ..resources import how_to_install

    if trouble:
        return f"nothing fits these words{trouble}"
    if by_meaning or args.exact or not describes(args.text):
        return "nothing fits"
    return f"nothing fits these words; to search by meaning, {how_to_install('language')}"


def _frustum(view: list[float] | None) -> Frustum | None:
    """The view frustum of a level camera with a field of view of 90 degrees."""
    import numpy as np

    from ..geometry import T_LINK_OPTICAL, Camera, pose2d
    from ..memory.query.answering import Frustum

    if view is None:
        return None
    x, y, z, yaw = view
    T = pose2d(x, y, yaw) @ T_LINK_OPTICAL
    T[2, 3] = z
    return Frustum(Camera.from_hfov(320, 240, np.pi / 2), T)


def _feature(path: str | None) -> np.ndarray | None:
    import numpy as np

    if path is None:
        return None
    try:
        return np.ravel(np.load(path, allow_pickle=False)).astype(np.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"--feature {path}: cannot be read ({error}); give a .npy file of numbers") from None


def _since(seconds: float | None, now: int) -> int | None:
    if seconds is not None and not seconds > 0:
        raise InputError(f"--last {seconds}: give seconds above 0")
    return None if seconds is None else now - int(seconds * 1e9)


def _answer_fields(a: Answer, names: dict[int, str], relations: str, map_id: str) -> dict:
    from ..memory.output.object_list import fields

    pose = None if a.T_map_camera is None else [[float(v) for v in row] for row in a.T_map_camera]
    return {
        **fields(a.object), "map_id": map_id, "score": round(a.score, 4), "age_s": round(a.age, 3), "why": a.why,
        "by_meaning": a.by_meaning,
        "relations": relations, "room": names.get(a.room, f"room {a.room}" if a.room > 0 else ""),
        "keyframe_id": a.keyframe_id, "T_map_camera": pose,
    }  # fmt: skip


def _export(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory

    out = Path(args.out) if args.out else Path(args.file).with_suffix(FORMATS[args.format or "ply"])
    ending = out.suffix.lower()
    if args.format and ending not in (Path("x" + FORMATS[args.format]).suffix, *_ALSO.get(args.format, ())):
        raise InputError(f"--out {out}: --format {args.format} goes into a file that ends with {FORMATS[args.format]}")
    mesh = args.format == "mesh" or (args.format is None and out.name.lower().endswith((".mesh.ply", ".mesh.glb")))
    write = {".ply": _write_ply, ".glb": _write_gltf, ".gltf": _write_gltf, ".yaml": _write_nav2, ".png": _write_png,
             ".json": _write_json(args.all), ".rrd": _write_rrd}.get(ending)  # fmt: skip
    if write is None:
        raise InputError(f"--out {out}: cannot tell what to write; end the name with {', '.join(EXPORTS)}")
    count, what = (_write_mesh if mesh else write)(out, SpatialMemory.load(args.file, map=args.map))
    print(json.dumps({"file": str(out), what: count}) if args.json else f"{out}: {count} {what}")
    return 0


def _write_mesh(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    from ..memory.output.mesh import open3d, write_mesh

    open3d()  # what is missing is said before the work
    return write_mesh(out, memory.surface(), memory.uuid), "triangles"


def _write_rrd(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    from ..memory.output.rerun_file import write_rrd

    return write_rrd(out, memory), "voxels"


def _write_ply(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    from ..memory.output.export import write_ply

    return write_ply(out, memory), "voxels"


def _write_gltf(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    from ..memory.output.export import write_gltf

    return write_gltf(out, memory), "voxels"


def _write_nav2(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    from ..memory.output.export import write_nav2_map

    return write_nav2_map(out, memory), "cells"


def _write_png(out: Path, memory: SpatialMemory) -> tuple[int, str]:
    import numpy as np

    from ..memory.output.object_map import draw_object_map

    track = [memory.keyframes[i].T_map_camera[:3, 3] for i in sorted(memory.keyframes)]
    objects, rooms = memory.objects(include_gone=True), memory.rooms()
    draw_object_map(out, memory.occupancy(), objects, rooms, memory.room_names(), np.array(track) if track else None)
    return len(objects), "objects"


def _write_json(everything: bool) -> Callable[[Path, SpatialMemory], tuple[int, str]]:
    def write(out: Path, memory: SpatialMemory) -> tuple[int, str]:
        from ..memory.output.object_list import write_object_list

        return write_object_list(out, memory, everything), "objects"

    return write


def _check(args: argparse.Namespace) -> int:
    from ..memory.file.inspection import find_faults

    faults = find_faults(args.file)
    if faults:
        raise InputError(
            f"{args.file}: {len(faults)} fault(s), first: {faults[0]}; "
            f"'embodied-nav memory recover {args.file} NEW' saves what is good"
        )
    print(json.dumps({"file": args.file, "faults": []}) if args.json else f"{args.file}: no faults")
    return 0


def _compact(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory
    from ..memory.file.inspection import describe

    memory, facts = SpatialMemory.load(args.file), {"file": args.file, "before": describe(args.file)["bytes"]}
    facts["dropped"] = memory.compact()
    memory.save(args.file)
    facts |= {"keyframes": len(memory.keyframes), "after": describe(args.file)["bytes"]}
    sizes = f"{facts['before'] / 1e6:.1f} MB before, {facts['after'] / 1e6:.1f} MB now"
    text = f"{facts['dropped']} keyframes dropped, {facts['keyframes']} left; {sizes}"
    print(json.dumps(facts) if args.json else f"{args.file}: {text}")
    return 0


def _recover(args: argparse.Namespace) -> int:
    from ..memory import SpatialMemory

    memory, lost = SpatialMemory.recover(args.file, args.new)
    if args.json:
        print(json.dumps({"file": args.new, "keyframes": len(memory.keyframes), "voxels": len(memory), "lost": lost}))
        return 0
    for line in lost:
        print(f"lost: {line}")
    print(f"{args.new}: {len(memory.keyframes)} keyframes, {len(memory)} voxels")
    return 0


def _merge(args: argparse.Namespace) -> int:
    from ..geometry import pose2d
    from ..memory import SpatialMemory, merge
    from ..memory.submaps.joining import transform_between

    if Path(args.out).exists():
        raise InputError(f"{args.out}: is there already; give a new name")
    one, other = SpatialMemory.load(args.file, map=args.map), SpatialMemory.load(args.other)
    T = None
    if args.transform:
        x, y, z, yaw = args.transform
        T = pose2d(x, y, yaw, z)
    merged = merge(one, other, transform_between(one.keyframes, other.keyframes) if T is None else T)
    merged.save(args.out)
    facts = {"file": args.out, "map": merged.uuid, "keyframes": len(merged.keyframes), "voxels": len(merged)}
    print(json.dumps(facts) if args.json else f"{args.out}: {len(merged.keyframes)} keyframes, {len(merged)} voxels")
    return 0
