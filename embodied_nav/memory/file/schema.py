"""The memory file, schema version 2: tables and what their blobs hold. Knows nothing of the memory's code.

One SQLite file. Positions are metric: no hash key is ever written. Poses are 16 float64, row by row; stamps are ns,
``created``/``started`` s since 1970. Blobs are zlib-compressed arrays of little-endian records without a header, their
bytes transposed (all first bytes, then all second ones: that packs better); ``layout`` names the row of ``layouts``
that gives a record's dtype and shape, so that a file is self-describing.

``meta``: format, schema_version, ``uuid`` of the file, ``commits`` (how often it was written), ``writer`` (who writes),
``origins`` (JSON, map's UUID -> x, y, z in m: what was taken off coordinates that are too large, UTM's say).
``maps``: one row a coordinate frame, named by its UUID: nothing in the file has coordinates of another one than that of
its map. ``whole``: 1 where blocks, objects and grid are of the same moment as all else; 0 where they lag behind and are
to be made again from the clouds. A map with ``merged_into`` has become part of that map, ``transform`` maps its points
there. ``sessions``: who began when, in which map. ``keyframes``: ids are unique over the whole file; ``looks``: arrays
by name that belong to a keyframe, for finding the place again.
``clouds``: what each keyframe saw, in its own frame; ``keyframe`` -1 is what came before the first one. Their arrays
are rows of ``parts`` by ``kind`` (``hits``, ``details``, ``votes``, ...), to be put together in the order of ``part``.
``views``: depth images (uint16 mm) with poses in the cloud's frame: small ones, evidence of free space, and whole
frames, the colours of which (every second pixel of every second row) are the part ``view_jpeg`` of the view's number.
``blocks``: one row per 8x8x8 voxels, ``x, y, z`` its lower corner (m, map); a cache: it can be made from the clouds.
``features``: of a block's voxels, in their order. ``grid``: tiles of columns' evidence of free space, lower left corner
in m. ``deltas``: text for people, ``fields`` as JSON for programs. ``events``: what came, went and moved.
``places``: what people named, each in the frame of a keyframe.
"""

from __future__ import annotations

import sqlite3

import numpy as np

APPLICATION_ID = 0x656E6D31
FORMAT = "embodied_nav memory"
SCHEMA_VERSION = 2
#: Key of ``meta``.
ORIGINS = "origins"

#: Floor seen (0 or 1); frames that saw through, at most 255.
GRID = np.dtype(("u1", 2))
DEPTH = np.dtype("<u2")
#: A tile of the grid is so many columns wide and high.
TILE = 64

#: Came to version 2 later: a file that lacks one of these tables gets it when it is written.
_EVENTS = "events (map INTEGER, number INTEGER, fields TEXT NOT NULL, UNIQUE (map, number))"
_PLACES = "places (map, name, fields)"
#: Short, without line breaks within a statement: a database whose list of tables fits into its first page is easier to
#: save when it is damaged.
TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE layouts (number INTEGER PRIMARY KEY, layout TEXT NOT NULL UNIQUE);
CREATE TABLE maps (number INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, created REAL NOT NULL, config TEXT NOT NULL,
    stamp INTEGER NOT NULL, frames INTEGER NOT NULL, voxels INTEGER NOT NULL, whole INTEGER NOT NULL,
    state TEXT NOT NULL, merged_into TEXT, transform BLOB);
CREATE TABLE sessions (number INTEGER PRIMARY KEY, id TEXT NOT NULL, map TEXT NOT NULL, started REAL NOT NULL,
    first_keyframe INTEGER NOT NULL);
CREATE TABLE classes (number INTEGER PRIMARY KEY, label TEXT NOT NULL, color TEXT NOT NULL, merged INTEGER NOT NULL);
CREATE TABLE keyframes (id INTEGER PRIMARY KEY, map INTEGER NOT NULL, stamp INTEGER NOT NULL, pose BLOB NOT NULL,
    reason TEXT NOT NULL, overlap REAL, inliers INTEGER NOT NULL, thumbnail BLOB NOT NULL);
CREATE TABLE looks (keyframe INTEGER NOT NULL, name TEXT NOT NULL, layout INTEGER NOT NULL, count INTEGER NOT NULL,
    data BLOB NOT NULL, UNIQUE (keyframe, name));
CREATE TABLE clouds (number INTEGER PRIMARY KEY, map INTEGER NOT NULL, keyframe INTEGER NOT NULL,
    stamp INTEGER NOT NULL, pose BLOB NOT NULL, frames INTEGER NOT NULL);
CREATE TABLE parts (cloud INTEGER NOT NULL, kind TEXT NOT NULL, part INTEGER NOT NULL, layout INTEGER NOT NULL,
    count INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (cloud, kind, part));
CREATE TABLE views (cloud INTEGER NOT NULL, number INTEGER NOT NULL, pose BLOB, width INTEGER, height INTEGER, fx REAL,
    fy REAL, cx REAL, cy REAL, first INTEGER, stamp INTEGER, frames INTEGER, depth BLOB, UNIQUE (cloud, number));
CREATE TABLE deltas (map INTEGER NOT NULL, number INTEGER NOT NULL, keyframe INTEGER, previous INTEGER, stamp INTEGER,
    source TEXT, action TEXT, relevant TEXT, text TEXT, stale INTEGER, fields TEXT, UNIQUE (map, number));
CREATE TABLE sightings (map INTEGER NOT NULL, number INTEGER NOT NULL, keyframe INTEGER NOT NULL, fields TEXT NOT NULL,
    UNIQUE (map, number));
CREATE TABLE objects (map INTEGER NOT NULL, id INTEGER NOT NULL, class INTEGER NOT NULL, label TEXT NOT NULL,
    color TEXT NOT NULL, status TEXT NOT NULL, fields TEXT NOT NULL, UNIQUE (map, id));
CREATE TABLE blocks (map INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL, layout INTEGER NOT NULL,
    count INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (map, x, y, z));
CREATE TABLE features (map INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL,
    layout INTEGER NOT NULL, count INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (map, x, y, z));
CREATE TABLE grid (map INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, layout INTEGER NOT NULL,
    count INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (map, x, y));
CREATE TABLE {_EVENTS};
CREATE TABLE {_PLACES};
""".replace("\n    ", " ")
#: Tables whose rows belong to one map by their column ``map``, except rows that belong to keyframes and clouds.
OF_A_MAP = (
    "keyframes", "clouds", "deltas", "events", "sightings", "objects", "blocks", "features", "grid", "places",
)  # fmt: skip


def complete(db: sqlite3.Connection, temporary: bool = False) -> None:
    """Gives a database the tables that its file was made without; ``temporary``: for this connection alone."""
    for table in (_EVENTS, _PLACES):
        try:
            db.execute(f"SELECT 1 FROM {table.split()[0]} LIMIT 0")
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            db.execute(f"CREATE {'TEMP ' if temporary else ''}TABLE {table}")
