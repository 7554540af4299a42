"""Makes a memory of a file's tables. Knows rows and the memory, not where the tables come from.

A :class:`Source` gives the rows and decides what a bad one means: here it ends the reading; ``recovery`` leaves it out.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..frames import MemoryObject
from ..geometry import Camera
from .cells import DETAIL, HIT, detail_edges, hits_of_dense, hits_of_points, in_order
from .codec import converted, delta, from_fields, layout_type, pose, unpack
from .config import MemoryConfig
from .cuts import Ledger, take_cut
from .features import FeatureHits
from .keys import BLOCK_SIDE, pack_array
from .local_clouds import VOTE, LocalCloud, View
from .objects import Sighting
from .records import KeyframeRecord, MapRecord
from .schema import DEPTH, GRID, TILE, VOXEL
from .votes import ClassTable

if TYPE_CHECKING:
    from .spatial_memory import SpatialMemory


class Source:
    """Rows of a file's tables; what is wrong with one is raised."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._layouts: dict[int, np.dtype] = {}

    def layout(self, number: int) -> np.dtype:
        """The dtype of a row of ``layouts``.

        Raises:
            ValueError: it is not there, or is none.
        """
        if number not in self._layouts:
            for (text,) in self.rows("layouts", "layout", "number = ?", (number,)):
                self._layouts[number] = layout_type(text)
        if number not in self._layouts:
            raise ValueError(f"layout {number}, which is not there")
        return self._layouts[number]

    def rows(self, table: str, columns: str, where: str = "", values: tuple = (), order: str = "") -> Iterator[tuple]:
        """Rows of a table, in an order."""
        where = f" WHERE {where}" if where else ""
        order = f" ORDER BY {order}" if order else ""
        yield from self.db.execute(f"SELECT {columns} FROM {table}{where}{order}", values)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Around the reading of one thing; here an error passes through."""
        yield


def read_meta(db: sqlite3.Connection) -> dict[str, str]:
    """The meta table."""
    return dict(db.execute("SELECT key, value FROM meta"))


def read_map(source: Source, meta: dict[str, str], where: str, config: MemoryConfig | None, map: str | None,
             rebuild: bool = False) -> SpatialMemory:  # fmt: skip
    """The memory of one map.

    Args:
        config: settings to go on with, by default the map's. map: UUID, by default that written last.
        where: the file's name, for errors. rebuild: makes the voxels from the clouds even where they are whole.

    Raises:
        InputError: no such map, or other voxels or features than those of ``config``.
        ValueError, KeyError: damage.
    """
    from .spatial_memory import SpatialMemory

    uuid = map or meta["map"]
    found = list(source.rows("maps", "number, created, config, stamp, frames, whole, state, merged_into",
                             "uuid = ?", (uuid,)))  # fmt: skip
    if not found:
        raise InputError(f"{where}: holds no map {uuid}; 'embodied-nav memory info' lists them")
    number, created, text, stamp, frames, whole, state, merged_into = found[0]
    if merged_into:
        raise InputError(f"{where}: map {uuid} was merged into map {merged_into}; give that one")
    settings = json.loads(text)
    settings.pop("local_cell", None)  # files of before had it
    written = MemoryConfig.from_mapping(settings, where=where)
    _check_config(config, written, where)
    memory = SpatialMemory(config or written)
    memory.uuid, memory.created, memory.file_uuid = uuid, created, meta["uuid"]
    memory.stamp, memory.frames = stamp, frames
    memory.other_maps = tuple(m for m in read_maps(source) if m.uuid != uuid)
    memory.classes = _read_classes(source)
    _read_keyframes(memory, source, number)
    memory.clouds = list(_read_clouds(source, number, written.voxel_size))
    memory.next_cloud = 1 + max((n for (n,) in source.rows("clouds", "number")), default=-1)
    memory.first_free_keyframe = 1 + max((n for (n,) in source.rows("keyframes", "id")), default=-1)
    memory.deltas = list(_read_deltas(source, number))
    _read_objects(memory, source, number)
    whole = bool(whole) and not rebuild
    if whole:
        _read_voxels(memory, source, number)
    else:
        memory.rebuild_from_keyframes({})
    _read_grid(memory, source, number)
    memory.recount_obstacles()
    memory.object_index.touch(np.array(json.loads(state).get("relabelled", []), np.int64))
    memory.sessions = list(_read_sessions(source))
    memory.origin = _as_written(memory, whole)
    memory.origin.commits, memory.origin.path = int(meta["commits"]), str(Path(where).resolve())
    memory.file = Path(where)
    if meta.get("writer"):
        memory.interrupted = max(time.time() - float(meta["updated"]), 0.0)
    memory.begin_session(memory.sessions)
    return memory


def read_maps(source: Source) -> tuple[MapRecord, ...]:
    """All maps of a file, in the order in which they began."""
    return tuple(
        MapRecord(uuid, created, merged or "", None if T is None else pose(T))
        for uuid, created, merged, T in source.rows(
            "maps", "uuid, created, merged_into, transform", order="number"
        )
    )  # fmt: skip


def _check_config(config: MemoryConfig | None, written: MemoryConfig, where: str) -> None:
    for name, unit in (("voxel_size", " m"), ("feature_dim", ""), ("feature_type", "")):
        if config is not None and getattr(config, name) != getattr(written, name):
            have, want = getattr(written, name), getattr(config, name)
            raise InputError(f"{where}: written with {name} = {have}{unit}, but {name} = {want}{unit} is set")


def _as_written(memory: SpatialMemory, whole: bool) -> Ledger:
    """What the file holds of a memory just read: all, less voxels that were made anew."""
    written = take_cut(memory, Ledger(file=memory.file_uuid)).after
    if not whole:
        written.restarted = -1
    return written


def _array(source: Source, layout: int, count: int, blob: bytes, dtype: np.dtype | None = None) -> np.ndarray:
    array = unpack(blob, source.layout(layout), count)
    return array if dtype is None else converted(array, dtype)


def _read_classes(source: Source) -> ClassTable:
    rows = list(source.rows("classes", "number, label, color, merged", order="number"))
    known = {n: ((label, color), merged) for n, label, color, merged in rows}
    last = max(known, default=0)
    names = [known.get(n, (("", ""), n))[0] for n in range(last + 1)]
    return ClassTable(names, [known.get(n, (("", ""), n))[1] for n in range(last + 1)])


def _read_sessions(source: Source) -> Iterator[dict]:
    for i, m, started, first in source.rows("sessions", "id, map, started, first_keyframe", order="number"):
        yield {"id": i, "map": m, "started": started, "first_keyframe": first}


def _read_keyframes(memory: SpatialMemory, source: Source, number: int) -> None:
    for i, stamp, T, reason, overlap, inliers, thumbnail in source.rows(
        "keyframes", "id, stamp, pose, reason, overlap, inliers, thumbnail", "map = ?", (number,), "id"
    ):
        with source.part(f"keyframe {i}"):
            overlap = float("nan") if overlap is None else overlap
            memory.keyframes[i] = KeyframeRecord(i, stamp, pose(T), reason, overlap, inliers, thumbnail)
    for i in memory.keyframes:
        with source.part(f"arrays of keyframe {i}"):
            if look := read_look(source, i):
                memory.looks[i] = look


def read_look(source: Source, keyframe: int) -> dict[str, np.ndarray]:
    """The arrays of a keyframe."""
    rows = source.rows("looks", "name, layout, count, data", "keyframe = ?", (keyframe,), "name")
    return {name: _array(source, layout, count, data) for name, layout, count, data in rows}


def _read_clouds(source: Source, number: int, voxel_size: float) -> Iterator[LocalCloud]:
    for n, keyframe, stamp, T, frames in source.rows(
        "clouds", "number, keyframe, stamp, pose, frames", "map = ?", (number,), "number"
    ):
        with source.part(f"cloud {n}"):
            cloud = LocalCloud(keyframe, pose(T), stamp, frames=frames, number=n)
            parts = _read_parts(source, n)
            cloud.views = list(_read_views(source, n, parts))
            cloud.hits, cloud.details = _read_hits(source, cloud, parts, voxel_size)
            cloud.votes = _joined(parts, "votes", VOTE)
            frames_with_features = sorted({p for kind, p in parts if kind.startswith("feature_")})
            cloud.features = [FeatureHits(*(parts[f"feature_{name}", p] for name in FeatureHits._fields))
                              for p in frames_with_features]  # fmt: skip
            yield cloud


def _read_parts(source: Source, cloud: int) -> dict[tuple[str, int], np.ndarray]:
    parts = {}
    for kind, part, layout, count, data in source.rows(
        "parts", "kind, part, layout, count, data", "cloud = ?", (cloud,), "kind, part"
    ):
        with source.part(f"{kind} {part} of cloud {cloud}"):
            parts[kind, part] = _array(source, layout, count, data)
    return parts


def _read_hits(
    source: Source, cloud: LocalCloud, parts: dict[tuple[str, int], np.ndarray], voxel_size: float
) -> tuple[np.ndarray, np.ndarray]:
    """Hits and their details, as they are kept now or were once."""
    found = [(np.empty(0, HIT), np.empty(0, DETAIL))]
    for part, hits in ((part, array) for (kind, part), array in parts.items() if kind == "hits"):
        with source.part(f"hits {part} of cloud {cloud.number}"):
            names = hits.dtype.names or ()
            if "p" in names:
                found.append(hits_of_points(hits, voxel_size, cloud.frames_a_bit))
            elif "details" in names:
                found.append(hits_of_dense(hits, cloud.frames_a_bit))
            elif hits.dtype != HIT:
                raise ValueError("no hits of a kind that is known")
            else:
                details = parts.get(("details", part), np.empty(0, DETAIL))
                if len(details) != detail_edges(hits)[-1]:
                    raise ValueError("details of another number of sub-cells")
                found.append((hits, details))
    return in_order(np.concatenate([h for h, _ in found]), np.concatenate([d for _, d in found]))


def _joined(parts: dict[tuple[str, int], np.ndarray], wanted: str, dtype: np.dtype) -> np.ndarray:
    found = [converted(array, dtype) for (kind, _), array in parts.items() if kind == wanted]
    return np.concatenate(found) if found else np.empty(0, dtype)


def _read_views(source: Source, cloud: int, parts: dict[tuple[str, int], np.ndarray]) -> Iterator[View]:
    for i, T, w, h, fx, fy, cx, cy, first, last, count, depth in source.rows(
        "views", "number, pose, width, height, fx, fy, cx, cy, first, stamp, frames, depth", "cloud = ?", (cloud,),
        "number",
    ):  # fmt: skip
        with source.part(f"view {i} of cloud {cloud}"):
            image = unpack(depth, DEPTH, w * h).reshape(h, w)
            color = parts.get(("view_rgb", i))
            if color is not None and color.shape[:2] != ((h + 1) // 2, (w + 1) // 2):
                color = None  # it was a whole frame once
            yield View(pose(T), Camera(w, h, fx, fy, cx, cy), image, first, last, count, color)


def _read_deltas(source: Source, number: int) -> Iterator:
    columns = "number, keyframe, previous, stamp, source, action, relevant, text, stale, fields"
    for i, *values in source.rows("deltas", columns, "map = ?", (number,), "number"):
        with source.part(f"delta {i}"):
            yield delta(*values)


def _read_objects(memory: SpatialMemory, source: Source, number: int) -> None:
    known, sightings = [], []
    for i, c, fields in source.rows("objects", "id, class, fields", "map = ?", (number,), "id"):
        with source.part(f"object {i}"):
            known.append((from_fields(MemoryObject, fields), c))
    for i, fields in source.rows("sightings", "number, fields", "map = ?", (number,), "number"):
        with source.part(f"sighting {i}"):
            sightings.append(from_fields(Sighting, fields))
    memory.object_index.restore(known, sightings)


def _read_voxels(memory: SpatialMemory, source: Source, number: int) -> None:
    columns = "x, y, z, layout, count, data"
    features = {row[:3]: row[3:] for row in source.rows("features", columns, "map = ?", (number,))}
    table = memory.store.feature_table
    keys, records, given, weights = [], [], [], []
    for x, y, z, layout, count, blob in source.rows("blocks", columns, "map = ?", (number,)):
        voxels = _array(source, layout, count, blob, VOXEL)
        keys.append(_keys((x, y, z), voxels["slot"].astype(np.int64), memory.config.voxel_size))
        records.append(voxels)
        if memory.store.feature_dim:
            given.append(np.zeros((count, table.shape[1]), table.dtype))
            weights.append(np.zeros(count, np.float32))
            if (x, y, z) in features:
                mine = _array(source, *features[x, y, z])
                mine = mine[np.isin(mine["slot"], voxels["slot"])]
                order = np.argsort(voxels["slot"])
                at = order[np.searchsorted(voxels["slot"], mine["slot"], sorter=order)]
                given[-1][at], weights[-1][at] = mine["feature"], mine["weight"]
    if given:
        memory.restore_voxels(*(np.concatenate(a) for a in (keys, records, given, weights)))
    elif keys:
        memory.restore_voxels(np.concatenate(keys), np.concatenate(records))


def _keys(corner: tuple[float, float, float], slots: np.ndarray, voxel_size: float) -> np.ndarray:
    first = np.rint(np.array(corner) / (BLOCK_SIDE * voxel_size)).astype(np.int64) * BLOCK_SIDE
    return pack_array(first + np.stack([slots >> 6, (slots >> 3) & 7, slots & 7], axis=1))


def _read_grid(memory: SpatialMemory, source: Source, number: int) -> None:
    cell, tiles = memory.config.voxel_size, {}
    for x, y, layout, count, data in source.rows("grid", "x, y, layout, count, data", "map = ?", (number,)):
        with source.part(f"grid at ({x:.2f}, {y:.2f})"):
            tiles[round(x / cell), round(y / cell)] = _array(source, layout, count, data).reshape(TILE, TILE, 2)
    if not tiles:
        return
    corners = np.array(list(tiles))
    low, high = corners.min(0), corners.max(0) + TILE
    seen = np.zeros((high[1] - low[1], high[0] - low[0], 2), GRID.base)
    for (x, y), tile in tiles.items():
        seen[y - low[1] : y - low[1] + TILE, x - low[0] : x - low[0] + TILE] = tile
    memory.grid.restore((low[0] * cell, low[1] * cell), seen)
