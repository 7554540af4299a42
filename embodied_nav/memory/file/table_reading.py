"""Makes a map of a file's tables. Knows rows and a map's state, not where the tables come from.

A :class:`Source` yields the rows and decides what happens to a bad one: here it ends the reading; in ``salvage`` it is
left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ...frames import MemoryObject, SemanticDelta
from ...geometry import Camera, is_rigid
from ..config import MemoryConfig
from ..objects.index import Sighting
from ..objects.votes import ClassTable
from ..records import Event, KeyframeRecord, MapRecord, Place
from ..submaps import moving
from ..submaps.cells import DETAIL, HIT, detail_edges, hits_of_dense, hits_of_points, in_order
from ..submaps.local_clouds import VOTE, LocalCloud, View, packed_colors
from ..submaps.map_state import MapContent, MapState, StoredMap
from ..voxels.keys import block_at, keys_in_blocks
from ..voxels.record import VOXEL
from ..voxels.voxel_features import FeatureHits
from .codec import POSE_TOLERANCE, converted, delta, from_fields, layout_type, pose, unpack
from .schema import DEPTH, GRID, TILE
from .snapshot import Written, take_snapshot


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
    def item(self, name: str) -> Iterator[None]:
        """Around the reading of one thing; here an error passes through."""
        yield


def read_meta(db: sqlite3.Connection) -> dict[str, str]:
    """The meta table."""
    return dict(db.execute("SELECT key, value FROM meta"))


class MapRow(NamedTuple):
    """A row of the table ``maps``; ``state``: what is left to be done, as JSON."""

    number: int
    created: float
    config: str
    stamp: int
    frames: int
    whole: int
    state: str
    merged_into: str | None


def read_map(
    source: Source,
    meta: dict[str, str],
    where: str,
    config: MemoryConfig | None,
    map: str | None,
    mend: Callable[[StoredMap], None] | None = None,
) -> tuple[MapState, Written]:
    """One map, and what the file holds of it.

    Args:
        config: settings to go on with, by default the map's. map: UUID, by default that written last.
        where: the file's name, for errors. mend: called when all but the voxels is read; these are then made from the
            clouds even where they are whole.

    Raises:
        InputError: no such map, or other voxels or features than those of ``config``.
        ValueError, KeyError: damage.
    """
    uuid = map or meta["map"]
    row = _find_map(source, uuid, where)
    settings = json.loads(row.config)
    for name in ("local_cell", "max_megabytes"):  # files of before had them
        settings.pop(name, None)
    written = MemoryConfig.from_mapping(settings, where=where)
    _check_config(config, written, where)
    if config is not None and not config.feature_source:
        config = replace(config, feature_source=written.feature_source)
    stored = _read_stored(source, meta["uuid"], uuid, row, written.voxel_size)
    if mend is not None:
        mend(stored)
    state, whole = MapState(config or written), bool(row.whole) and mend is None
    state.become(stored)
    if whole:
        _read_voxels(state, source, row.number)
    else:
        moving.rebuild(state)
    _read_grid(state, source, row.number)
    state.voxels.recount_obstacles()
    state.objects.touch(np.array(json.loads(row.state).get("relabelled", []), np.int64))
    return state, _as_written(state, whole)


def _find_map(source: Source, uuid: str, where: str) -> MapRow:
    found = list(source.rows("maps", "number, created, config, stamp, frames, whole, state, merged_into",
                             "uuid = ?", (uuid,)))  # fmt: skip
    if not found:
        raise InputError(f"{where}: holds no map {uuid}; 'embodied-nav memory info' lists them")
    row = MapRow(*found[0])
    if row.merged_into:
        raise InputError(f"{where}: map {uuid} was merged into map {row.merged_into}; give that one")
    return row


def _read_stored(source: Source, file_uuid: str, uuid: str, row: MapRow, voxel_size: float) -> StoredMap:
    """All of a map but its voxels and free space."""
    keyframes = dict(_read_keyframes(source, row.number))
    content = MapContent(
        file_uuid=file_uuid,
        other_maps=tuple(m for m in read_maps(source) if m.uuid != uuid),
        sessions=list(_read_sessions(source)),
        classes=_read_classes(source),
        next_cloud=1 + max((n for (n,) in source.rows("clouds", "number")), default=-1),
        first_free_keyframe=1 + max((n for (n,) in source.rows("keyframes", "id")), default=-1),
        uuid=uuid,
        created=row.created,
        keyframes=keyframes,
        looks=dict(_read_looks(source, keyframes)),
        clouds=list(_read_clouds(source, row.number, voxel_size)),
        deltas=dict(_read_deltas(source, row.number)),
        events=dict(_read_events(source, row.number)),
        stamp=row.stamp,
        frames=row.frames,
        places=dict(_read_places(source, row.number, keyframes)),
        places_elsewhere=_places_elsewhere(source, row.number),
    )
    return StoredMap(content, list(_read_objects(source, row.number)), list(_read_sightings(source, row.number)))


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
    if config is not None and config.feature_source and written.feature_source not in ("", config.feature_source):
        have, want = written.feature_source, config.feature_source
        raise InputError(f"{where}: its features are {have}'s, but {want} is set; set {have}, or give another file")


def _as_written(state: MapState, whole: bool) -> Written:
    """What the file holds of a map just read: all, less voxels that were made anew."""
    written = take_snapshot(state, Written(file=state.content.file_uuid)).after
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


def _read_keyframes(source: Source, number: int) -> Iterator[tuple[int, KeyframeRecord]]:
    for i, stamp, T, reason, overlap, inliers, thumbnail in source.rows(
        "keyframes", "id, stamp, pose, reason, overlap, inliers, thumbnail", "map = ?", (number,), "id"
    ):
        with source.item(f"keyframe {i}"):
            overlap = float("nan") if overlap is None else overlap
            yield i, KeyframeRecord(i, stamp, pose(T), reason, overlap, inliers, thumbnail)


def _read_looks(source: Source, keyframes: dict[int, KeyframeRecord]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    for i in keyframes:
        with source.item(f"arrays of keyframe {i}"):
            if look := read_look(source, i):
                yield i, look


def read_look(source: Source, keyframe: int) -> dict[str, np.ndarray]:
    """The arrays of a keyframe."""
    rows = source.rows("looks", "name, layout, count, data", "keyframe = ?", (keyframe,), "name")
    return {name: _array(source, layout, count, data) for name, layout, count, data in rows}


def _read_clouds(source: Source, number: int, voxel_size: float) -> Iterator[LocalCloud]:
    for n, keyframe, stamp, T, frames in source.rows(
        "clouds", "number, keyframe, stamp, pose, frames", "map = ?", (number,), "number"
    ):
        with source.item(f"cloud {n}"):
            cloud = LocalCloud(keyframe, pose(T), stamp, frames=frames, number=n)
            parts = _read_parts(source, n)
            cloud.views = list(_read_views(source, n, parts))
            cloud.hits, cloud.details = _read_hits(source, cloud, parts, voxel_size)
            cloud.votes = _joined(parts, "votes", VOTE)
            cloud.stands_for = int(parts.get(("stands_for", 0), np.ones(1))[0])
            frames_with_features = sorted({p for kind, p in parts if kind.startswith("feature_")})
            cloud.features = [FeatureHits(*(parts[f"feature_{name}", p] for name in FeatureHits._fields))
                              for p in frames_with_features]  # fmt: skip
            yield cloud


def _read_parts(source: Source, cloud: int) -> dict[tuple[str, int], np.ndarray]:
    parts = {}
    for kind, part, layout, count, data in source.rows(
        "parts", "kind, part, layout, count, data", "cloud = ?", (cloud,), "kind, part"
    ):
        with source.item(f"{kind} {part} of cloud {cloud}"):
            parts[kind, part] = _array(source, layout, count, data)
    return parts


def _read_hits(
    source: Source, cloud: LocalCloud, parts: dict[tuple[str, int], np.ndarray], voxel_size: float
) -> tuple[np.ndarray, np.ndarray]:
    """Hits and their details, as they are kept now or were once."""
    found = [(np.empty(0, HIT), np.empty(0, DETAIL))]
    for part, hits in ((part, array) for (kind, part), array in parts.items() if kind == "hits"):
        with source.item(f"hits {part} of cloud {cloud.number}"):
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
        with source.item(f"view {i} of cloud {cloud}"):
            image = unpack(depth, DEPTH, w * h).reshape(h, w)
            view = View(pose(T), Camera(w, h, fx, fy, cx, cy), image, first, last, count, _colors(parts, i))
            if i == 0 and view.color is not None and view.pixels().shape[:2] != image[::2, ::2].shape:
                view.color = None  # it was a whole frame once
            yield view


def _colors(parts: dict[tuple[str, int], np.ndarray], number: int) -> np.ndarray | None:
    """Of a whole frame; files of before have them unpacked."""
    raw = parts.get(("view_rgb", number))
    return packed_colors(raw) if raw is not None and raw.ndim == 3 else parts.get(("view_jpeg", number))


def _read_deltas(source: Source, number: int) -> Iterator[tuple[int, SemanticDelta]]:
    columns = "number, keyframe, previous, stamp, source, action, relevant, text, stale, fields"
    for i, *values in source.rows("deltas", columns, "map = ?", (number,), "number"):
        with source.item(f"delta {i}"):
            yield i, delta(*values)


def _read_events(source: Source, number: int) -> Iterator[tuple[int, Event]]:
    for i, fields in source.rows("events", "number, fields", "map = ?", (number,), "number"):
        with source.item(f"event {i}"):
            yield i, from_fields(Event, fields)


def _read_places(source: Source, number: int, keyframes: dict[int, KeyframeRecord]) -> Iterator[tuple[str, Place]]:
    for name, fields in source.rows("places", "name, fields", "map = ?", (number,), "name"):
        with source.item(f"place '{name}'"):
            place = from_fields(Place, fields)
            if place.keyframe_id not in keyframes:
                raise ValueError(f"is fixed to keyframe {place.keyframe_id}, which is not there")
            if place.T_keyframe_base.shape != (4, 4) or not is_rigid(place.T_keyframe_base, POSE_TOLERANCE):
                raise ValueError("a pose that is no rigid transform")
            yield name, place


def _places_elsewhere(source: Source, number: int) -> dict[str, str]:
    """Names that other maps of the file hold, each with that map's UUID; where its session began is none of them."""
    maps = dict(source.rows("maps", "number, uuid"))
    found = source.rows("places", "name, map", "map != ? AND name != 'start'", (number,), "map")
    return {name: maps[m] for name, m in found if m in maps}


def _read_objects(source: Source, number: int) -> Iterator[tuple[MemoryObject, int]]:
    for i, c, fields in source.rows("objects", "id, class, fields", "map = ?", (number,), "id"):
        with source.item(f"object {i}"):
            yield from_fields(MemoryObject, fields), c


def _read_sightings(source: Source, number: int) -> Iterator[Sighting]:
    for i, fields in source.rows("sightings", "number, fields", "map = ?", (number,), "number"):
        with source.item(f"sighting {i}"):
            yield replace(from_fields(Sighting, fields), number=i)


def _read_voxels(state: MapState, source: Source, number: int) -> None:
    """Restores the voxels of a map, with their features."""
    columns, size = "x, y, z, layout, count, data", state.config.voxel_size
    features = {row[:3]: row[3:] for row in source.rows("features", columns, "map = ?", (number,))}
    store = state.voxels.store
    keys, records, given, weights = [], [], [], []
    for x, y, z, layout, count, blob in source.rows("blocks", columns, "map = ?", (number,)):
        voxels = _array(source, layout, count, blob, VOXEL)
        keys.append(keys_in_blocks(block_at((x, y, z), size), voxels["slot"]))
        records.append(voxels)
        if store.feature_dim:
            mine = _array(source, *features[x, y, z]) if (x, y, z) in features else None
            rows = _features_of(voxels["slot"], mine, store.feature_table)
            given.append(rows[0])
            weights.append(rows[1])
    if given:
        state.voxels.restore(*(np.concatenate(a) for a in (keys, records, given, weights)))
    elif keys:
        state.voxels.restore(np.concatenate(keys), np.concatenate(records))


def _features_of(slots: np.ndarray, records: np.ndarray | None, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N x D, as in ``table``) and weights of the voxels at N places of a block; zeros where it has none."""
    features, weights = np.zeros((len(slots), table.shape[1]), table.dtype), np.zeros(len(slots), np.float32)
    if records is not None:
        records = records[np.isin(records["slot"], slots)]
        order = np.argsort(slots)
        at = order[np.searchsorted(slots, records["slot"], sorter=order)]
        features[at], weights[at] = records["feature"], records["weight"]
    return features, weights


def _read_grid(state: MapState, source: Source, number: int) -> None:
    """Restores the free space of the grid from above."""
    cell, tiles = state.config.voxel_size, {}
    for x, y, layout, count, data in source.rows("grid", "x, y, layout, count, data", "map = ?", (number,)):
        with source.item(f"grid at ({x:.2f}, {y:.2f})"):
            tiles[round(x / cell), round(y / cell)] = _array(source, layout, count, data).reshape(TILE, TILE, 2)
    if not tiles:
        return
    corners = np.array(list(tiles))
    low, high = corners.min(0), corners.max(0) + TILE
    seen = np.zeros((high[1] - low[1], high[0] - low[0], 2), GRID.base)
    for (x, y), tile in tiles.items():
        seen[y - low[1] : y - low[1] + TILE, x - low[0] : x - low[0] + TILE] = tile
    state.voxels.grid.restore((low[0] * cell, low[1] * cell), seen)
