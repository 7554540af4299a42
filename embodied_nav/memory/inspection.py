"""Facts and faults of a memory file, without loading it into a map first. Knows the file's format only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .persistence import load, open_file, read_meta, unpack
from .schema import DEPTH, HIT, SCHEMA_VERSION, VOTE, VOXEL


def describe(path: str | Path) -> dict[str, Any]:
    """Identity, counts and times of a memory file, ready for JSON.

    Raises:
        InputError: as ``persistence.open_file``.
    """
    with open_file(path) as db:
        meta = read_meta(db)
        counts = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in
                  ("sessions", "keyframes", "deltas", "blocks", "classes")}  # fmt: skip
        present = db.execute("SELECT count(*) FROM objects WHERE status = 'present'").fetchone()[0]
        x = db.execute("SELECT min(x), min(y), min(z), max(x), max(y), max(z) FROM blocks").fetchone()
        config = json.loads(meta["config"])
        side = 8 * config["voxel_size"]
        return {
            "file": str(path),
            "bytes": Path(path).stat().st_size,
            "schema_version": int(meta["schema_version"]),
            "uuid": meta["uuid"],
            "created": float(meta["created"]),
            "updated": float(meta["updated"]),
            "frames": int(meta["frames"]),
            "voxels": int(meta["voxels"]),
            "voxel_size_m": config["voxel_size"],
            "bounds_m": None if x[0] is None else [list(x[:3]), [v + side for v in x[3:]]],
            "objects": present,
            **counts,
        }


def find_faults(path: str | Path) -> list[str]:
    """What is wrong inside a file that opens; nothing where all is well.

    Raises:
        InputError: it does not even open (missing, foreign, of a newer version).
    """
    with open_file(path) as db:
        faults = [row[0] for row in db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        if faults:
            return faults
        meta = read_meta(db)
        if int(meta["schema_version"]) < SCHEMA_VERSION:
            faults.append(f"schema version {meta['schema_version']} is older than {SCHEMA_VERSION}")
        faults += _block_faults(db, int(meta["voxels"]))
        faults += _cloud_faults(db)
        known = {i for (i,) in db.execute("SELECT id FROM keyframes")}
        for table in ("deltas", "sightings", "clouds"):
            used = {k for (k,) in db.execute(f"SELECT DISTINCT keyframe FROM {table}")} - known - {-1}
            faults += [f"{table} name keyframe {k}, which is not there" for k in sorted(used)]
    if not faults:
        load(path)  # raises where something above slipped through
    return faults


def _block_faults(db: Any, expected: int) -> list[str]:
    faults, total = [], 0
    classes = db.execute("SELECT count(*) FROM classes").fetchone()[0]
    for x, y, z, count, blob in db.execute("SELECT * FROM blocks"):
        where = f"block at ({x:.2f}, {y:.2f}, {z:.2f})"
        try:
            v = unpack(blob, VOXEL, count)
        except ValueError as error:
            faults.append(f"{where}: {error}")
            continue
        total += count
        if len(np.unique(v["slot"])) != count or v["slot"].max(initial=0) > 511:
            faults.append(f"{where}: places are doubled or out of range")
        if not (np.isfinite(v["p"]).all() and np.isfinite(v["weight"]).all() and (v["weight"] > 0).all()):
            faults.append(f"{where}: positions or weights are not finite")
        if max(v["class_a"].max(initial=0), v["class_b"].max(initial=0)) >= max(classes, 1):
            faults.append(f"{where}: names a class that is not there")
    if not faults and total != expected:
        faults.append(f"{total} voxels in the blocks, {expected} in the summary")
    return faults


def _cloud_faults(db: Any) -> list[str]:
    faults = []
    for number, n, hits, m, votes in db.execute("SELECT number, hit_count, hits, vote_count, votes FROM clouds"):
        try:
            unpack(hits, HIT, n)
            unpack(votes, VOTE, m)
        except ValueError as error:
            faults.append(f"cloud {number}: {error}")
    for cloud, number, w, h, depth in db.execute("SELECT cloud, number, width, height, depth FROM views"):
        try:
            unpack(depth, DEPTH, w * h)
        except ValueError as error:
            faults.append(f"view {number} of cloud {cloud}: {error}")
    return faults
