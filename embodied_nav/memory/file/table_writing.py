"""Writes a snapshot of a memory into a file's tables, in the caller's transaction. Knows no memory, only snapshots."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable

import numpy as np

from ..records import MapRecord
from ..submaps.cells import compact
from ..voxels.keys import block_corners
from ..voxels.record import voxels_of_rows
from ..voxels.swap_file import SwappedBlock
from .codec import LASTING, PASSING, delta_fields, fields_text, layout_text, pack, pose_blob, record_type
from .schema import DEPTH, FORMAT, OF_A_MAP, SCHEMA_VERSION, TILE, complete
from .snapshot import BlockSnapshot, CloudSnapshot, Snapshot, feature_records


def write_snapshot(db: sqlite3.Connection, snapshot: Snapshot, commits: int) -> None:
    """Brings the tables to the moment of a snapshot."""
    complete(db)
    _TableWriter(db, snapshot).run(commits)


class _TableWriter:
    def __init__(self, db: sqlite3.Connection, snapshot: Snapshot) -> None:
        self._db, self._snapshot = db, snapshot
        self._layouts = {text: n for n, text in db.execute("SELECT number, layout FROM layouts")}

    def run(self, commits: int) -> None:
        s = self._snapshot
        if s.before.file != s.after.file:
            for table in ("maps", "sessions", "classes", "looks", "parts", "views", *OF_A_MAP):
                self._db.execute(f"DELETE FROM {table}")
        self._write_maps()
        self._write_summary(commits)
        self._delete_forgotten()
        self._db.execute("DELETE FROM sessions WHERE number >= ?", (len(s.after.sessions),))
        self._put("sessions", [(i, v["id"], v["map"], v["started"], v["first_keyframe"]) for i, v in s.sessions])
        self._put("classes", s.classes)
        self._put("keyframes", [
            (k.id, self._map, k.stamp, pose_blob(k.T_map_camera), k.reason, k.overlap, k.inliers, k.thumbnail)
            for k in s.keyframes
        ])  # fmt: skip
        for i, look in s.looks:
            self._put("looks", [(i, name, *self._array(array)) for name, array in look.items()])
        for cloud in s.clouds:
            self._write_cloud(cloud)
        self._delete_numbers("deltas", s.before.deltas.keys() - s.after.deltas.keys())
        self._put("deltas", [
            (self._map, i, d.keyframe_id, d.previous_id, int(d.stamp), d.source, d.action, d.relevant, d.text,
             int(d.stale), delta_fields(d)) for i, d in s.deltas
        ])  # fmt: skip
        self._delete_numbers("events", s.before.events.keys() - s.after.events.keys())
        self._put("events", [(self._map, i, fields_text(e)) for i, e in s.events])
        old = {*(s.before.places.keys() - s.after.places.keys()), *(p.name for p in s.places)}
        self._db.executemany("DELETE FROM places WHERE map = ? AND name = ?", [(self._map, n) for n in old])
        self._put("places", [(self._map, p.name, fields_text(p)) for p in s.places])
        self._delete_numbers("sightings", s.before.sightings.keys() - s.after.sightings.keys())
        self._put("sightings", [
            (self._map, v.number, v.keyframe_id, fields_text(v, without=("number",))) for v in s.sightings
        ])  # fmt: skip
        self._write_objects()
        if s.blocks is not None:
            self._write_blocks(s.blocks)
        for block in s.swapped:
            self._write_swapped(block)
        self._write_grid()

    # ---- inside ----

    def _put(self, table: str, rows: list[tuple]) -> None:
        if rows:
            places = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)

    def _array(self, array: np.ndarray, level: int = LASTING) -> tuple[int, int, bytes]:
        """Layout, count and blob."""
        array = np.atleast_1d(array)
        return self._layout(record_type(array)), len(array), pack(array, level)

    def _layout(self, dtype: np.dtype) -> int:
        text = layout_text(dtype)
        if text not in self._layouts:
            self._layouts[text] = self._db.execute("INSERT INTO layouts (layout) VALUES (?)", (text,)).lastrowid
        return self._layouts[text]

    def _number(self, record: MapRecord) -> int:
        found = self._db.execute("SELECT number FROM maps WHERE uuid = ?", (record.uuid,)).fetchone()
        if found:
            return found[0]
        values = (None, record.uuid, record.created, "{}", 0, 0, 0, 1, "{}", None, None)
        return self._db.execute(f"INSERT INTO maps VALUES ({', '.join('?' * len(values))})", values).lastrowid

    def _write_maps(self) -> None:
        s = self._snapshot
        for record in s.after.maps:
            number = self._number(record)
            if record.uuid == s.uuid:
                self._map = number
            if record not in s.before.maps and record.merged_into:
                for table in OF_A_MAP[2:]:
                    self._db.execute(f"DELETE FROM {table} WHERE map = ?", (number,))
                T = None if record.T_into is None else pose_blob(record.T_into)
                change = "UPDATE maps SET merged_into = ?, transform = ?, voxels = 0, whole = 1 WHERE number = ?"
                self._db.execute(change, (record.merged_into, T, number))
        if s.restart:
            for table in OF_A_MAP[2:]:
                self._db.execute(f"DELETE FROM {table} WHERE map = ?", (self._map,))
        elif s.restart_blocks:
            for table in ("blocks", "features", "grid"):
                self._db.execute(f"DELETE FROM {table} WHERE map = ?", (self._map,))

    def _write_summary(self, commits: int) -> None:
        s = self._snapshot
        self._put("meta", list({
            "format": FORMAT, "schema_version": str(SCHEMA_VERSION), "uuid": s.after.file, "map": s.uuid,
            "updated": repr(time.time()), "commits": str(commits),
        }.items()))  # fmt: skip
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('created', ?)", (repr(s.created),))
        self._db.execute(
            "UPDATE maps SET config = ?, stamp = ?, frames = ?, voxels = ?, whole = ?, state = ? WHERE number = ?",
            (json.dumps(s.config), s.stamp, s.frames, s.voxels, int(s.after.whole), json.dumps(s.state),
             self._map),
        )  # fmt: skip

    def _delete_numbers(self, table: str, numbers: Iterable[int]) -> None:
        self._db.executemany(f"DELETE FROM {table} WHERE map = ? AND number = ?", [(self._map, n) for n in numbers])

    def _delete_forgotten(self) -> None:
        """Keyframes that were dropped, with their clouds and looks."""
        forgotten = list(self._snapshot.forgotten)
        if self._snapshot.restart:  # the file may be of a moment before others that were dropped
            there = self._db.execute("SELECT keyframe, number FROM clouds WHERE map = ?", (self._map,))
            forgotten += [row for row in there if row[1] not in self._snapshot.after.clouds]
        for keyframe, cloud in forgotten:
            for table, key, value in (
                ("keyframes", "id", keyframe), ("looks", "keyframe", keyframe), ("clouds", "number", cloud),
                ("parts", "cloud", cloud), ("views", "cloud", cloud),
            ):  # fmt: skip
                self._db.execute(f"DELETE FROM {table} WHERE {key} = ?", (value,))

    def _write_cloud(self, cloud: CloudSnapshot) -> None:
        c = cloud.cloud
        self._put("clouds", [(c.number, self._map, c.keyframe_id, c.stamp, pose_blob(cloud.T), cloud.frames)])
        if cloud.closing is not None:  # while it grew it may have had more
            beyond = "DELETE FROM parts WHERE cloud = ? AND kind IN ('hits', 'details') AND part >= ?"
            self._db.execute(beyond, (c.number, cloud.closing))
        self._put("parts", [(c.number, kind, part, *self._array(array)) for kind, part, array in cloud.parts])
        for part, cells in cloud.cells:
            for kind, array in zip(("hits", "details"), compact(cells), strict=True):
                self._put("parts", [(c.number, kind, part, *self._array(array, PASSING))])
        for i, v in cloud.views:
            k = v.camera
            self._put("views", [(c.number, i, pose_blob(v.T), k.width, k.height, k.fx, k.fy, k.cx, k.cy, v.first,
                                 v.stamp, v.frames, pack(v.depth.ravel().astype(DEPTH)))])  # fmt: skip

    def _write_objects(self) -> None:
        s = self._snapshot
        for i in set(s.before.objects) - set(s.after.objects):
            self._db.execute("DELETE FROM objects WHERE map = ? AND id = ?", (self._map, i))
        self._put("objects", [
            (self._map, o.id, number, o.label, o.color, o.status, fields_text(o, without=("feature",)))
            for o, number in s.objects
        ])  # fmt: skip

    def _write_blocks(self, blocks: BlockSnapshot) -> None:
        corners = block_corners(blocks.keys, self._snapshot.voxel_size).tolist()
        voxels = voxels_of_rows(blocks.rows, blocks.owners)
        ends = np.cumsum(blocks.counts)
        for table in ("blocks", "features"):
            gone = [(self._map, *corners[b]) for b in np.flatnonzero(blocks.counts == 0)]
            self._db.executemany(f"DELETE FROM {table} WHERE map = ? AND x = ? AND y = ? AND z = ?", gone)
        live = np.flatnonzero(blocks.counts)
        rows = [(self._map, *corners[b], *self._array(voxels[ends[b] - blocks.counts[b] : ends[b]])) for b in live]
        self._put("blocks", rows)
        if blocks.with_features:
            self._write_features(blocks, corners)

    def _write_features(self, blocks: BlockSnapshot, corners: list) -> None:
        start = 0
        for b in blocks.with_features:
            part = blocks.features[start : start + blocks.feature_counts[b]]
            start += len(part)
            self._put("features", [(self._map, *corners[b], *self._array(part))])

    def _write_swapped(self, block: SwappedBlock) -> None:
        corner = block_corners(np.array([block.key]), self._snapshot.voxel_size)[0].tolist()
        self._put("blocks", [(self._map, *corner, *self._array(block.voxels))])
        given = block.weights > 0
        if given.any():
            features = feature_records(block.voxels["slot"][given], block.weights[given], block.features[given])
            self._put("features", [(self._map, *corner, *self._array(features))])

    def _write_grid(self) -> None:
        """The tiles that are not as they were."""
        before, after = self._snapshot.before, self._snapshot.after
        if after.seen is before.seen and not self._snapshot.restart_blocks:
            return
        old = None if self._snapshot.restart_blocks else before.seen
        cell = self._snapshot.voxel_size
        for y in range(0, after.seen.shape[0], TILE):
            for x in range(0, after.seen.shape[1], TILE):
                tile = after.seen[y : y + TILE, x : x + TILE]
                place = (after.corner[0] + x * cell, after.corner[1] + y * cell)
                if old is None or not _same_tile(tile, place, old, before.corner, cell):
                    self._put("grid", [(self._map, *_tile_corner(place, cell), *self._array(tile.reshape(-1, 2)))])


def _tile_corner(place: tuple[float, float], cell: float) -> list[float]:
    """The same number each time for the same tile, however its grid's corner moved."""
    return [round(v / cell) * cell for v in place]


def _same_tile(tile: np.ndarray, place, old: np.ndarray, corner, cell: float) -> bool:
    x, y = (round((p - c) / cell) for p, c in zip(place, corner, strict=True))
    if x < 0 or y < 0:
        return False
    return np.array_equal(old[y : y + tile.shape[0], x : x + tile.shape[1]], tile)
