"""Facts and faults of a memory file, without making a map of it first. Knows the file's format only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..submaps.cells import HIT, detail_edges
from .codec import layout_type, pose, unpack
from .memory_file import COMPANIONS, load, open_file
from .schema import DEPTH, OF_A_MAP, ORIGINS
from .table_reading import Source, read_maps, read_meta


def describe(path: str | Path) -> dict[str, Any]:
    """Identity, counts and times of a memory file and of the maps in it, ready for JSON.

    Raises:
        InputError: as ``memory_file.open_file``.
    """
    path = Path(path)
    with open_file(path) as db:
        meta = read_meta(db)
        counts = {t: _count(db, t) for t in ("sessions", "keyframes", "deltas", "events", "classes", "places")}
        companions = (path.with_name(path.name + end) for end in COMPANIONS)
        maps = [_describe_map(db, uuid) for (uuid,) in db.execute("SELECT uuid FROM maps ORDER BY number")]
        present = next(m for m in maps if m["uuid"] == meta["map"])
        columns = ("id", "map", "started", "first_keyframe")
        rows = db.execute(f"SELECT {', '.join(columns)} FROM sessions ORDER BY number").fetchall()
        sessions = [dict(zip(columns, row, strict=True)) for row in rows]
        for s, after in zip(sessions, [*sessions[1:], {"first_keyframe": 2**62}], strict=True):
            ids = (s["first_keyframe"], after["first_keyframe"])
            s["keyframes"] = db.execute("SELECT count(*) FROM keyframes WHERE id >= ? AND id < ?", ids).fetchone()[0]
        return {
            "file": str(path),
            "bytes": path.stat().st_size + sum(p.stat().st_size for p in companions if p.exists()),
            "schema_version": _version(path),
            "uuid": meta["uuid"],
            "map": meta["map"],
            "origin_m": json.loads(meta.get(ORIGINS, "{}")).get(meta["map"], [0.0, 0.0, 0.0]),
            "created": float(meta["created"]),
            "updated": float(meta["updated"]),
            **{k: present[k] for k in ("frames", "voxels", "voxel_size_m", "bounds_m", "objects", "blocks")},
            **counts,
            "bytes_of": _bytes_of(db),
            "maps": maps,
            "session_list": sessions,
        }


def _version(path: Path) -> int:
    """What the file itself says; it is read as the present version whatever that is."""
    with open_file(path, convert=False) as db:
        return int(read_meta(db)["schema_version"])


def _describe_map(db: sqlite3.Connection, uuid: str) -> dict[str, Any]:
    columns = "number, created, config, frames, voxels, whole, merged_into, transform, stamp"
    number, created, config, frames, voxels, whole, merged, T, stamp = db.execute(
        f"SELECT {columns} FROM maps WHERE uuid = ?", (uuid,)
    ).fetchone()
    x = db.execute("SELECT min(x), min(y), min(z), max(x), max(y), max(z) FROM blocks WHERE map = ?", (number,))
    x, size = x.fetchone(), json.loads(config).get("voxel_size")
    present = "SELECT count(*) FROM objects WHERE status = 'present' AND map = ?"
    return {
        "uuid": uuid,
        "created": created,
        "frames": frames,
        "stamp": stamp,
        "keyframes": _count(db, "keyframes", number),
        "voxels": voxels,
        "voxel_size_m": size,
        "bounds_m": None if x[0] is None else [list(x[:3]), [v + 8 * size for v in x[3:]]],
        "objects": db.execute(present, (number,)).fetchone()[0],
        "blocks": _count(db, "blocks", number),
        "whole": bool(whole),
        "merged_into": merged,
        "transform": None if T is None else pose(T).tolist(),
    }


def _bytes_of(db: sqlite3.Connection) -> dict[str, int]:
    """What uses the file, largest first: packed bytes by what they are; ``free`` waits for new content."""
    found = dict(db.execute("SELECT kind, sum(length(data)) FROM parts GROUP BY kind").fetchall())
    for name, table, column in (
        ("depth", "views", "depth"), ("looks", "looks", "data"), ("thumbnails", "keyframes", "thumbnail"),
        ("voxels", "blocks", "data"), ("voxel features", "features", "data"), ("deltas", "deltas", "fields"),
        ("sightings", "sightings", "fields"), ("events", "events", "fields"),
    ):  # fmt: skip
        found[name] = db.execute(f"SELECT coalesce(sum(length({column})), 0) FROM {table}").fetchone()[0]
    page = db.execute("PRAGMA page_size").fetchone()[0]
    found["free"] = page * db.execute("PRAGMA freelist_count").fetchone()[0]
    return {name: n for name, n in sorted(found.items(), key=lambda item: -item[1]) if n}


def _count(db: sqlite3.Connection, table: str, number: int | None = None) -> int:
    where, values = ("", ()) if number is None else (" WHERE map = ?", (number,))
    return db.execute(f"SELECT count(*) FROM {table}{where}", values).fetchone()[0]


def find_faults(path: str | Path) -> list[str]:
    """What is wrong inside a file that opens; nothing where all is well.

    Checks the database's own structure, every record and every reference; then makes every map of it.

    Raises:
        InputError: it does not even open (missing, foreign, of a newer version, or damaged from the start).
    """
    with open_file(path, convert=False) as db:
        told = (row[0] for row in db.execute("PRAGMA integrity_check(20)") if row[0] != "ok")
        faults = [line for text in told for line in text.splitlines() if not line.startswith("***")]
        if faults:
            return faults
    with open_file(path) as db:
        maps = read_maps(Source(db))
        faults += _block_faults(db)
        faults += _record_faults(db)
        faults += list(_reference_faults(db))
        if read_meta(db)["map"] not in {m.uuid for m in maps}:
            faults.append(f"map {read_meta(db)['map']} is not there")
    if not faults:
        for m in maps:  # raises where something above slipped through
            if not m.merged_into:
                load(path, map=m.uuid)
    return faults


def _block_faults(db: sqlite3.Connection) -> list[str]:
    faults: list[str] = []
    classes = db.execute("SELECT coalesce(max(number), 0) + 1 FROM classes").fetchone()[0]
    layouts = dict(db.execute("SELECT number, layout FROM layouts"))
    for number, uuid, whole, expected in db.execute("SELECT number, uuid, whole, voxels FROM maps"):
        total, before = 0, len(faults)
        for x, y, z, layout, count, blob in db.execute(
            "SELECT x, y, z, layout, count, data FROM blocks WHERE map = ?", (number,)
        ):
            where = f"block at ({x:.2f}, {y:.2f}, {z:.2f})"
            try:
                v = unpack(blob, layout_type(layouts[layout]), count)
            except (ValueError, KeyError) as error:
                faults.append(f"{where}: {error}")
                continue
            total += count
            faults += [f"{where}: {text}" for text in _voxel_faults(v, classes)]
        if whole and len(faults) == before and total != expected:
            faults.append(f"{total} voxels in the blocks of map {uuid}, {expected} in its summary")
    return faults


def _voxel_faults(v: np.ndarray, classes: int) -> Iterator[str]:
    if len(np.unique(v["slot"])) != len(v) or v["slot"].max(initial=0) > 511:
        yield "places are doubled or out of range"
    if not (np.isfinite(v["p"]).all() and np.isfinite(v["weight"]).all() and (v["weight"] > 0).all()):
        yield "positions or weights are not finite"
    if max(v["class_a"].max(initial=0), v["class_b"].max(initial=0)) >= classes:
        yield "names a class that is not there"


def _record_faults(db: sqlite3.Connection) -> list[str]:
    """Records that do not unpack."""
    faults = []
    layouts = dict(db.execute("SELECT number, layout FROM layouts"))
    for name, columns in (
        ("looks", "'array ' || name || ' of keyframe ' || keyframe"),
        ("parts", "kind || ' ' || part || ' of cloud ' || cloud"),
        ("features", "'features of the block at ' || x || ' ' || y || ' ' || z"),
        ("grid", "'grid at ' || x || ' ' || y"),
    ):
        for what, layout, count, blob in db.execute(f"SELECT {columns}, layout, count, data FROM {name}"):
            try:
                unpack(blob, layout_type(layouts[layout]), count)
            except (ValueError, KeyError) as error:
                faults.append(f"{what}: {error}")
    for cloud, part, layout, count, blob, details in db.execute(
        "SELECT h.cloud, h.part, h.layout, h.count, h.data, d.count FROM parts h LEFT JOIN parts d "
        "ON d.cloud = h.cloud AND d.part = h.part AND d.kind = 'details' WHERE h.kind = 'hits'"
    ):
        with suppress(ValueError, KeyError):  # told above
            hits = unpack(blob, layout_type(layouts[layout]), count)
            if hits.dtype == HIT and detail_edges(hits)[-1] != (details or 0):
                faults.append(f"hits {part} of cloud {cloud} lack details")
    for cloud, number, w, h, depth in db.execute("SELECT cloud, number, width, height, depth FROM views"):
        try:
            unpack(depth, DEPTH, w * h)
        except ValueError as error:
            faults.append(f"view {number} of cloud {cloud}: {error}")
    for table, column in (("keyframes", "id"), ("clouds", "number")):
        for number, blob in db.execute(f"SELECT {column}, pose FROM {table}"):
            try:
                pose(blob)
            except ValueError as error:
                faults.append(f"pose of {table} {number}: {error}")
    return faults


def _reference_faults(db: sqlite3.Connection) -> Iterator[str]:
    """References to something that is not there."""
    known = {i for (i,) in db.execute("SELECT id FROM keyframes")} | {-1}
    for table in ("sightings", "clouds", "looks"):  # what was told of a keyframe may outlive it
        used = {k for (k,) in db.execute(f"SELECT DISTINCT keyframe FROM {table}")} - known
        yield from (f"{table} name keyframe {k}, which is not there" for k in sorted(used))
    clouds = {i for (i,) in db.execute("SELECT number FROM clouds")}
    for table in ("parts", "views"):
        used = {k for (k,) in db.execute(f"SELECT DISTINCT cloud FROM {table}")} - clouds
        yield from (f"{table} name cloud {k}, which is not there" for k in sorted(used))
    maps = {n for (n,) in db.execute("SELECT number FROM maps")}
    for table in OF_A_MAP:
        used = {k for (k,) in db.execute(f"SELECT DISTINCT map FROM {table}")} - maps
        yield from (f"{table} name map {k}, which is not there" for k in sorted(used))
    uuids = {u for (u,) in db.execute("SELECT uuid FROM maps")}
    yield from (f"session {i} names map {m}, which is not there" for i, m in
                db.execute("SELECT id, map FROM sessions") if m not in uuids)  # fmt: skip
    for cloud, frames, parts in db.execute(
        "SELECT number, frames, (SELECT count(*) FROM parts WHERE cloud = number AND kind IN ('hits', 'view_jpeg')) "
        "FROM clouds"
    ):
        if frames and not parts:
            yield f"cloud {cloud} of {frames} frames has no hits"
    for cloud, first, count in db.execute(
        "SELECT cloud, max(part) + 1, count(*) FROM parts WHERE kind IN ('hits', 'details', 'view_jpeg') "
        "GROUP BY cloud, kind"
    ):
        if first != count:
            yield f"cloud {cloud} lacks {first - count} part(s) of its hits"
