"""Writes a memory file of schema version 1, as the first release did."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np

from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.submaps.local_clouds import cloud_points
from embodied_nav.memory.voxels.keys import block_corners

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sessions (number INTEGER PRIMARY KEY, id TEXT NOT NULL, started REAL NOT NULL,
    first_keyframe INTEGER NOT NULL);
CREATE TABLE classes (number INTEGER PRIMARY KEY, label TEXT NOT NULL, color TEXT NOT NULL);
CREATE TABLE blocks (x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL, count INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (x, y, z)) WITHOUT ROWID;
CREATE TABLE objects (id INTEGER PRIMARY KEY, class INTEGER NOT NULL, label TEXT NOT NULL, color TEXT NOT NULL,
    x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL, width REAL NOT NULL, depth REAL NOT NULL, height REAL NOT NULL,
    confidence REAL NOT NULL, voxels INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    keyframe INTEGER NOT NULL, status TEXT NOT NULL);
CREATE TABLE sightings (number INTEGER PRIMARY KEY, keyframe INTEGER NOT NULL, class INTEGER NOT NULL, x REAL NOT NULL,
    y REAL NOT NULL, z REAL NOT NULL, pixels INTEGER NOT NULL);
CREATE TABLE keyframes (id INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, pose BLOB NOT NULL, reason TEXT NOT NULL,
    overlap REAL, inliers INTEGER NOT NULL, thumbnail BLOB NOT NULL);
CREATE TABLE clouds (number INTEGER PRIMARY KEY, keyframe INTEGER NOT NULL, stamp INTEGER NOT NULL, pose BLOB NOT NULL,
    frames INTEGER NOT NULL, hit_count INTEGER NOT NULL, hits BLOB NOT NULL, vote_count INTEGER NOT NULL,
    votes BLOB NOT NULL);
CREATE TABLE views (cloud INTEGER NOT NULL, number INTEGER NOT NULL, pose BLOB NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, fx REAL NOT NULL, fy REAL NOT NULL, cx REAL NOT NULL, cy REAL NOT NULL,
    first INTEGER NOT NULL, stamp INTEGER NOT NULL, frames INTEGER NOT NULL, depth BLOB NOT NULL,
    PRIMARY KEY (cloud, number)) WITHOUT ROWID;
CREATE TABLE deltas (number INTEGER PRIMARY KEY, keyframe INTEGER NOT NULL, previous INTEGER NOT NULL,
    stamp INTEGER NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL, relevant TEXT NOT NULL, text TEXT NOT NULL,
    stale INTEGER NOT NULL, fields TEXT NOT NULL);
CREATE TABLE grid (x REAL NOT NULL, y REAL NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    data BLOB NOT NULL);
"""
VOXEL = [
    ("slot", "<u2"), ("p", "<f4", 3), ("rgb", "<f4", 3), ("weight", "<f4"), ("evidence", "<f4"), ("class_a", "<i2"),
    ("class_b", "<i2"), ("votes_a", "<f4"), ("votes_b", "<f4"), ("votes", "<f4"), ("last_seen", "<i8"),
    ("object", "<i4"),
]  # fmt: skip

HIT = [("p", "<f4", 3), ("rgb", "u1", 3), ("weight", "<f4"), ("sightings", "<f4"), ("last_seen", "<i8")]


def write_version_1(memory: SpatialMemory, path: Path) -> None:
    """The memory's content; its objects must be up to date."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA application_id = {0x656E6D31}")
        db.executescript(TABLES)
        put(db, "meta", {
            "format": "embodied_nav memory", "schema_version": "1", "uuid": memory.uuid,
            "created": repr(memory.state.content.created), "updated": repr(memory.state.content.created),
            "stamp": str(memory.stamp),
            "config": json.dumps({"voxel_size": 0.05, "carve_frames": memory.config.carve_frames}),
            "frames": str(memory.frames), "voxels": str(len(memory)),
        }.items())  # fmt: skip
        put(db, "sessions", [(0, "first", 1.0, 0)])
        put(db, "classes", [(i, *c) for i, c in enumerate(memory.state.content.classes.names)])
        put(db, "keyframes", [(k.id, k.stamp, pose(k.T_map_camera), k.reason, k.overlap, k.inliers, k.thumbnail)
                              for k in memory.keyframes.values()])  # fmt: skip
        put(db, "blocks", blocks(memory))
        put(db, "objects", [
            (o.id, memory.state.objects.classes[o.id], o.label, o.color, *map(float, o.position), *map(float, o.extent),
             o.confidence, o.voxels, o.first_seen, o.last_seen, o.keyframe_id, o.status)
            for o in memory.objects(include_gone=True)
        ])  # fmt: skip
        put(db, "sightings", [(i, s.keyframe_id, s.class_number, *map(float, s.position), int(s.pixels))
                              for i, s in enumerate(memory.state.objects.sightings)])  # fmt: skip
        for i, d in enumerate(memory.deltas):
            objects = [{"label": o.label, "color": o.color, "confidence": o.confidence, "box": None,
                        "position": o.position.tolist(), "extent": o.extent.tolist()} for o in d.objects]  # fmt: skip
            fields = json.dumps({"objects": objects, "new": [], "gone": [], "moved": []})
            put(db, "deltas", [(i, d.keyframe_id, d.previous_id, d.stamp, d.source, d.action, "", "", 0, fields)])
        for i, c in enumerate(memory.state.local_clouds()):
            p = points(c)
            hits, votes = (len(p), packed(p)), (len(c.votes), packed(c.votes))
            put(db, "clouds", [(i, c.keyframe_id, c.stamp, pose(c.T_map_cloud), c.frames, *hits, *votes)])
            put(db, "views", [(i, j, pose(v.T), v.camera.width, v.camera.height, v.camera.fx, v.camera.fy, v.camera.cx,
                               v.camera.cy, v.first, v.stamp, v.frames, packed(v.depth))
                              for j, v in enumerate(c.views)])  # fmt: skip
        corner, seen = memory.state.voxels.grid.free_space()
        put(db, "grid", [(*map(float, corner), seen.shape[1], seen.shape[0], packed(seen))])


def points(cloud):
    """Hits as version 1 had them: points in the keyframe's frame, pixels and middles of cells."""
    p = cloud_points(cloud, 0.05)
    out = np.empty(len(p), HIT)
    out["p"], out["rgb"], out["weight"], out["sightings"], out["last_seen"] = p, 90, 1, 1, cloud.stamp
    return out


def blocks(memory: SpatialMemory):
    """Rows of the table of voxels."""
    a = memory.state.voxels.store.arrays
    for b in np.flatnonzero(a.block_live[: memory.state.voxels.store.blocks]):
        slots = np.flatnonzero(a.slot_rows[b])
        numbers = a.slot_rows[b][slots].astype(np.int64) - 1
        r, out = a.rows[numbers], np.empty(len(slots), VOXEL)
        out["slot"], out["object"] = slots, a.owner[numbers]
        for k in range(3):
            out["p"][:, k], out["rgb"][:, k] = r["xyz"[k]], r["rgb"[k]]
        for name in out.dtype.names[3:-1]:
            out[name] = r[name]
        corner = block_corners(a.block_keys[b : b + 1], memory.config.voxel_size)[0]
        yield (*map(float, corner), len(slots), packed(out))


def put(db, table, rows):
    """Inserts rows."""
    for row in rows:
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def packed(array):
    """A blob of version 1."""
    return zlib.compress(np.ascontiguousarray(array).tobytes(), 1)


def pose(T):
    """A pose's blob."""
    return np.ascontiguousarray(T, "<f8").tobytes()
