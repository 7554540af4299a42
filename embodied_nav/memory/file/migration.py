"""Brings memory files of older schema versions to the present one, as a database in memory. Knows tables only.

Version 1 had one map, hits as points, one blob for all hits and one for all votes of a cloud, the grid in one piece,
and records whose bytes were not transposed.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from ..submaps.cells import frames_a_bit, hits_of_points
from .codec import layout_text, pack, record_type
from .schema import DEPTH, FORMAT, GRID, SCHEMA_VERSION, TABLES, TILE

_VOXEL_1 = np.dtype(
    [
        ("slot", "<u2"), ("p", "<f4", 3), ("rgb", "<f4", 3), ("weight", "<f4"), ("evidence", "<f4"),
        ("class_a", "<i2"), ("class_b", "<i2"), ("votes_a", "<f4"), ("votes_b", "<f4"), ("votes", "<f4"),
        ("last_seen", "<i8"), ("object", "<i4"),
    ]
)  # fmt: skip
_HIT_1 = np.dtype([("p", "<f4", 3), ("rgb", "u1", 3), ("weight", "<f4"), ("sightings", "<f4"), ("last_seen", "<i8")])
_VOTE_1 = np.dtype([("p", "<f4", 3), ("class", "<i2"), ("votes", "<f4")])

#: (old database, table) -> its rows; (what) -> around the conversion of one thing.
Rows = Callable[[sqlite3.Connection, str], Iterator[tuple]]
Item = Callable[[str], AbstractContextManager]


def upgraded(old: sqlite3.Connection, rows: Rows | None = None, item: Item = nullcontext) -> sqlite3.Connection:
    """A file of an older version as a database of the present one, in memory.

    Args:
        rows, item: how to read a damaged file; by default every fault is raised.

    Raises:
        ValueError, sqlite3.Error: damage.
    """
    new = sqlite3.connect(":memory:", isolation_level=None)
    new.executescript(TABLES)
    _Upgrade(old, new, rows or (lambda db, table: db.execute(f"SELECT * FROM {table}")), item).run()
    return new


class _Upgrade:
    """From version 1."""

    def __init__(self, old: sqlite3.Connection, new: sqlite3.Connection, rows: Rows, item: Item) -> None:
        self._old, self._new, self._rows, self._item = old, new, rows, item

    def run(self) -> None:
        meta = dict(self._rows(self._old, "meta"))
        self._put("meta", [
            ("format", FORMAT), ("schema_version", str(SCHEMA_VERSION)), ("uuid", meta["uuid"]), ("map", meta["uuid"]),
            ("created", meta["created"]), ("updated", meta["updated"]), ("commits", "1"),
        ])  # fmt: skip
        self._put("maps", [(1, meta["uuid"], float(meta["created"]), meta["config"], int(meta["stamp"]),
                            int(meta["frames"]), int(meta["voxels"]), 1, "{}", None, None)])  # fmt: skip
        self._put("sessions", ((n, i, meta["uuid"], *rest) for n, i, *rest in self._rows(self._old, "sessions")))
        self._put("classes", ((n, label, color, n) for n, label, color in self._rows(self._old, "classes")))
        self._put("keyframes", ((i, 1, *rest) for i, *rest in self._rows(self._old, "keyframes")))
        self._put("deltas", ((1, *rest) for rest in self._rows(self._old, "deltas")))
        self._put("sightings", map(_sighting, self._rows(self._old, "sightings")))
        self._put("objects", map(_object, self._rows(self._old, "objects")))
        self._clouds(json.loads(meta["config"])["voxel_size"])
        for x, y, z, count, blob in self._rows(self._old, "blocks"):
            with self._item(f"block at ({x:.2f}, {y:.2f}, {z:.2f})"):
                self._put("blocks", [(1, x, y, z, *self._array(_unpack(blob, _VOXEL_1, count)))])
        for x, y, width, height, blob in self._rows(self._old, "grid"):
            with self._item("grid"):
                seen = _unpack(blob, GRID, width * height).reshape(height, width, 2)
                self._grid(x, y, seen, json.loads(meta["config"])["voxel_size"])

    def _put(self, table: str, rows: Iterator[tuple] | list[tuple]) -> None:
        for row in rows:
            self._new.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    def _array(self, array: np.ndarray) -> tuple[int, int, bytes]:
        text = layout_text(record_type(array))
        self._new.execute("INSERT OR IGNORE INTO layouts (layout) VALUES (?)", (text,))
        number = self._new.execute("SELECT number FROM layouts WHERE layout = ?", (text,)).fetchone()[0]
        return number, len(array), pack(array)

    def _clouds(self, voxel_size: float) -> None:
        for n, keyframe, stamp, pose, frames, n_hits, hits, n_votes, votes in self._rows(self._old, "clouds"):
            self._put("clouds", [(n, 1, keyframe, stamp, pose, frames)])
            with self._item(f"hits of cloud {n}"):
                made = hits_of_points(_unpack(hits, _HIT_1, n_hits), voxel_size, frames_a_bit(frames))
                for kind, array in zip(("hits", "details"), made, strict=True):
                    self._put("parts", [(n, kind, 0, *self._array(array))])
            with self._item(f"votes of cloud {n}"):
                self._put("parts", [(n, "votes", 0, *self._array(_unpack(votes, _VOTE_1, n_votes)))])
        for cloud, n, pose, w, h, *rest, depth in self._rows(self._old, "views"):
            with self._item(f"view {n} of cloud {cloud}"):
                self._put("views", [(cloud, n, pose, w, h, *rest, pack(_unpack(depth, DEPTH, w * h)))])

    def _grid(self, x: float, y: float, seen: np.ndarray, cell: float) -> None:
        height, width = (-(-n // TILE) * TILE for n in seen.shape[:2])
        whole = np.zeros((height, width, 2), np.uint8)
        whole[: seen.shape[0], : seen.shape[1]] = seen
        for v in range(0, height, TILE):
            for u in range(0, width, TILE):
                tile = whole[v : v + TILE, u : u + TILE].reshape(-1, 2)
                corner = [(round(a / cell) + b) * cell for a, b in ((x, u), (y, v))]
                self._put("grid", [(1, *corner, *self._array(tile))])


def _unpack(blob: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    try:
        data = zlib.decompress(blob)
    except zlib.error as error:
        raise ValueError(f"a record that does not unpack ({error})") from None
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"a record of {len(data)} bytes where {count * dtype.itemsize} belong")
    return np.frombuffer(data, dtype).reshape(count, *dtype.shape)


def _sighting(row: tuple) -> tuple:
    number, keyframe, class_number, x, y, z, pixels = row
    fields = {"keyframe_id": keyframe, "class_number": class_number, "position": [x, y, z], "pixels": pixels}
    return (1, number, keyframe, json.dumps(fields))


def _object(row: tuple) -> tuple:
    i, number, label, color, x, y, z, w, d, h, confidence, voxels, first, last, keyframe, status = row
    fields = {
        "id": i, "label": label, "color": color, "position": [x, y, z], "extent": [w, d, h], "confidence": confidence,
        "voxels": voxels, "first_seen": first, "last_seen": last, "keyframe_id": keyframe, "status": status,
    }  # fmt: skip
    return (1, i, number, label, color, status, json.dumps(fields))
