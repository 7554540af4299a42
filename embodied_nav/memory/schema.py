"""The memory file, schema version 1: tables and the dtypes of their blobs. Knows nothing of the memory's code.

One SQLite file. Blobs are zlib-compressed little-endian records without a header; their dtypes stand below. Positions
are metric: no hash key is ever written.

``blocks``: one row per 8x8x8 voxels, ``x, y, z`` its lower corner (m, map), ``data`` count x VOXEL.
``clouds``: what each keyframe saw, in its own frame: ``hits`` n x HIT, ``votes`` n x VOTE; ``keyframe`` -1 is what came
before the first keyframe. ``views``: small depth images (uint16 mm) with poses in the cloud's frame.
Poses are 16 float64, row by row. ``grid``: columns' evidence of free space (GRID), lower left corner in m.
``deltas``: text for people, ``fields`` as JSON for programs. Stamps are ns, ``created``/``started`` s since 1970.
"""

from __future__ import annotations

import numpy as np

from .local_clouds import HIT, VOTE

APPLICATION_ID = 0x656E6D31
FORMAT = "embodied_nav memory"
SCHEMA_VERSION = 1

#: ``slot``: place in the block, (x * 8 + y) * 8 + z; ``p``: centroid less the voxel's lower corner, m; the rest as in
#: ``store.ROW``; ``object``: id or 0.
VOXEL = np.dtype(
    [
        ("slot", "<u2"), ("p", "<f4", 3), ("rgb", "<f4", 3), ("weight", "<f4"), ("evidence", "<f4"),
        ("class_a", "<i2"), ("class_b", "<i2"), ("votes_a", "<f4"), ("votes_b", "<f4"), ("votes", "<f4"),
        ("last_seen", "<i8"), ("object", "<i4"),
    ]
)  # fmt: skip
#: Floor seen (0 or 1); frames that saw through, at most 255.
GRID = np.dtype("u1")
DEPTH = np.dtype("<u2")
BLOBS = {"VOXEL": VOXEL, "HIT": HIT, "VOTE": VOTE, "DEPTH": DEPTH, "GRID": GRID}

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
