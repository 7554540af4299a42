"""Writes a memory into one file and reads it back, exactly. Knows the file (``schema``) and the memory, nothing else.

A file is made beside its place under another name, flushed to the disk and then renamed, so that a broken file never
takes the place of a good one; a file that is no memory is never overwritten.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..frames import MemoryObject, ObjectObservation, SemanticDelta
from ..geometry import Camera
from .config import MemoryConfig
from .keys import BLOCK_SIDE, block_corners, pack_array
from .local_clouds import HIT, VOTE, LocalCloud, View
from .objects import Sighting
from .records import KeyframeRecord
from .schema import APPLICATION_ID, DEPTH, FORMAT, GRID, SCHEMA_VERSION, TABLES, VOXEL
from .votes import ClassTable

if TYPE_CHECKING:
    from .spatial_memory import SpatialMemory

_LEVEL = 1  # zlib: the fastest; higher ones win under 10% on these records


def create_empty(path: str | Path, config: MemoryConfig | None = None) -> None:
    """A memory file without content, for what must exist before the first frame.

    Raises:
        InputError: as :func:`save`.
    """
    from .spatial_memory import SpatialMemory

    save(SpatialMemory(config), path)


def save(memory: SpatialMemory, path: str | Path) -> None:
    """Writes a memory; replaces an older memory file at once or not at all.

    Raises:
        InputError: the file there is no memory of this format, or the place cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name")
    if path.exists() and path.stat().st_size > 0:
        with open_file(path):
            pass
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary)) as db:
            _write(memory, db)
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: cannot be written ({reason}); give a writable place with room") from None
    finally:
        with suppress(OSError):  # its folder is not writable or not there: nothing was left in it
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def open_file(path: str | Path) -> Iterator[sqlite3.Connection]:
    """A memory file, read-only, its identity and version checked.

    Raises:
        InputError: missing, unreadable, foreign, damaged, or of a newer version; also for what goes wrong inside.
    """
    path = Path(path)
    try:
        with open(path, "rb") as f:
            head = f.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a memory file") from None
    if head != b"SQLite format 3\0":
        raise InputError(f"{path}: is no memory file; give one that embodied-nav wrote")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            _check_identity(path, db)
            yield db
    except (sqlite3.Error, ValueError, KeyError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: the file is damaged ({error}); use a copy or make it anew") from None


def _check_identity(path: Path, db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InputError(f"{path}: is another program's SQLite file; give one that embodied-nav wrote")
    version = int(read_meta(db)["schema_version"])
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: has schema version {version}, this program reads up to {SCHEMA_VERSION}; update embodied_nav"
        )


def read_meta(db: sqlite3.Connection) -> dict[str, str]:
    """The meta table."""
    return dict(db.execute("SELECT key, value FROM meta"))


# ---- writing ----


def _write(memory: SpatialMemory, db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.executescript(TABLES)
    with db:
        db.executemany("INSERT INTO meta VALUES (?, ?)", _meta(memory).items())
        sessions = [(i, s["id"], s["started"], s["first_keyframe"]) for i, s in enumerate(memory.sessions)]
        db.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?)", sessions)
        db.executemany("INSERT INTO classes VALUES (?, ?, ?)", [(i, *c) for i, c in enumerate(memory.classes.names)])
        db.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", _block_rows(memory))
        memory.objects()
        index = memory.object_index
        objects = [_object_row(o, index.classes[o.id]) for o in index.known.values()]
        db.executemany(f"INSERT INTO objects VALUES ({', '.join('?' * 16)})", objects)
        sightings = [(i, s.keyframe_id, s.class_number, *_floats(s.position), s.pixels) for i, s in
                     enumerate(index.sightings)]  # fmt: skip
        db.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?)", sightings)
        keyframes = [(k.id, k.stamp, _pose_blob(k.T_map_camera), k.reason, k.overlap, k.inliers, k.thumbnail) for k in
                     memory.keyframes.values()]  # fmt: skip
        db.executemany("INSERT INTO keyframes VALUES (?, ?, ?, ?, ?, ?, ?)", keyframes)
        for number, cloud in enumerate(memory.local_clouds()):
            _write_cloud(db, number, cloud)
        deltas = [_delta_row(i, d) for i, d in enumerate(memory.deltas)]
        db.executemany(f"INSERT INTO deltas VALUES ({', '.join('?' * 10)})", deltas)
        corner, seen = memory.grid.free_space()
        db.execute("INSERT INTO grid VALUES (?, ?, ?, ?, ?)", (*corner, seen.shape[1], seen.shape[0], _pack(seen)))


def _meta(memory: SpatialMemory) -> dict[str, str]:
    return {
        "format": FORMAT,
        "schema_version": str(SCHEMA_VERSION),
        "uuid": memory.uuid,
        "created": repr(memory.created),
        "updated": repr(time.time()),
        "config": json.dumps(memory.config.to_mapping()),
        "stamp": str(memory.stamp),
        "frames": str(memory.frames),
        "voxels": str(len(memory)),
    }


def _block_rows(memory: SpatialMemory) -> Iterator[tuple]:
    a = memory.store.arrays
    for b in np.flatnonzero(a.block_live[: memory.store.blocks]):
        page = a.pages[b]
        slots = np.flatnonzero(page)
        rows = page[slots].astype(np.int64) - 1
        r, out = a.rows[rows], np.empty(len(rows), VOXEL)
        out["slot"], out["object"] = slots, a.owner[rows]
        out["p"] = np.stack([r["x"], r["y"], r["z"]], axis=1)
        out["rgb"] = np.stack([r["r"], r["g"], r["b"]], axis=1)
        for name in ("weight", "evidence", "class_a", "class_b", "votes_a", "votes_b", "votes", "last_seen"):
            out[name] = r[name]
        corner = block_corners(a.block_keys[b : b + 1], memory.config.voxel_size)[0]
        yield (*_floats(corner), len(rows), _pack(out))


def _write_cloud(db: sqlite3.Connection, number: int, cloud: LocalCloud) -> None:
    row = (number, cloud.keyframe_id, cloud.stamp, _pose_blob(cloud.T_map_cloud), cloud.frames, len(cloud.hits),
           _pack(cloud.hits), len(cloud.votes), _pack(cloud.votes))  # fmt: skip
    db.execute("INSERT INTO clouds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for i, v in enumerate(cloud.views):
        c = v.camera
        row = (number, i, _pose_blob(v.T), c.width, c.height, c.fx, c.fy, c.cx, c.cy, v.first, v.stamp, v.frames,
               _pack(v.depth.astype(DEPTH)))  # fmt: skip
        db.execute(f"INSERT INTO views VALUES ({', '.join('?' * 13)})", row)


def _object_row(o: MemoryObject, number: int) -> tuple:
    return (o.id, number, o.label, o.color, *_floats(o.position), *_floats(o.extent), float(o.confidence), o.voxels,
            o.first_seen, o.last_seen, o.keyframe_id, o.status)  # fmt: skip


def _delta_row(number: int, d: SemanticDelta) -> tuple:
    fields = {k: [_observation_json(o) for o in getattr(d, k)] for k in ("objects", "new", "gone", "moved")}
    return (number, d.keyframe_id, d.previous_id, int(d.stamp), d.source, d.action, d.relevant, d.text, int(d.stale),
            json.dumps(fields))  # fmt: skip


def _observation_json(o: ObjectObservation) -> dict:
    return {
        "label": o.label,
        "color": o.color,
        "confidence": float(o.confidence),
        "position": _floats(o.position),
        "extent": _floats(o.extent),
        "box": None if o.box is None else [int(v) for v in o.box],
    }


# ---- reading ----


def load(path: str | Path, config: MemoryConfig | None = None) -> SpatialMemory:
    """Reads a memory.

    Args:
        config: settings to go on with (voxel size as in the file); by default those it was written with.

    Raises:
        InputError: the file is missing, foreign, damaged or newer, or its voxels have another size.
    """
    from .spatial_memory import SpatialMemory

    with open_file(path) as db:
        if (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise ValueError(problem)
        meta = read_meta(db)
        written = MemoryConfig.from_mapping(json.loads(meta["config"]), where=str(path))
        if config is not None and config.voxel_size != written.voxel_size:
            raise InputError(f"{path}: voxels of {written.voxel_size} m, but voxel_size = {config.voxel_size} m is set")
        memory = SpatialMemory(config or written)
        memory.uuid, memory.created = meta["uuid"], float(meta["created"])
        memory.stamp, memory.frames = int(meta["stamp"]), int(meta["frames"])
        memory.classes = ClassTable(list(db.execute("SELECT label, color FROM classes ORDER BY number")))
        _read_keyframes(memory, db)
        memory.clouds = list(_read_clouds(db))
        memory.deltas = [_delta(*row) for row in db.execute(
            "SELECT keyframe, previous, stamp, source, action, relevant, text, stale, fields FROM deltas "
            "ORDER BY number")]  # fmt: skip
        _read_voxels(memory, db)
        _read_objects(memory, db)
        x, y, width, height, blob = db.execute("SELECT * FROM grid").fetchone()
        seen = unpack(blob, GRID, width * height * 2).reshape(height, width, 2)
        memory.grid.restore((x, y), seen)
        memory.recount_obstacles()
        memory.begin_session([
            {"id": i, "started": s, "first_keyframe": k}
            for i, s, k in db.execute("SELECT id, started, first_keyframe FROM sessions ORDER BY number")
        ])  # fmt: skip
        return memory


def _read_keyframes(memory: SpatialMemory, db: sqlite3.Connection) -> None:
    for i, stamp, pose, reason, overlap, inliers, thumbnail in db.execute("SELECT * FROM keyframes ORDER BY id"):
        overlap = float("nan") if overlap is None else overlap
        memory.keyframes[i] = KeyframeRecord(i, stamp, _pose(pose), reason, overlap, inliers, thumbnail)


def _read_clouds(db: sqlite3.Connection) -> Iterator[LocalCloud]:
    for number, keyframe, stamp, pose, frames, n, hits, m, votes in db.execute("SELECT * FROM clouds ORDER BY number"):
        cloud = LocalCloud(keyframe, _pose(pose), stamp, unpack(hits, HIT, n), [], unpack(votes, VOTE, m), frames)
        for _, _, T, w, h, fx, fy, cx, cy, first, last, count, depth in db.execute(
            "SELECT * FROM views WHERE cloud = ? ORDER BY number", (number,)
        ):
            image = unpack(depth, DEPTH, w * h).reshape(h, w)
            cloud.views.append(View(_pose(T), Camera(w, h, fx, fy, cx, cy), image, first, last, count))
        yield cloud


def _read_voxels(memory: SpatialMemory, db: sqlite3.Connection) -> None:
    side = BLOCK_SIDE * memory.config.voxel_size
    keys, records = [], []
    for x, y, z, count, blob in db.execute("SELECT * FROM blocks"):
        voxels = unpack(blob, VOXEL, count)
        corner = np.rint(np.array([x, y, z]) / side).astype(np.int64) * BLOCK_SIDE
        slot = voxels["slot"].astype(np.int64)
        keys.append(pack_array(corner + np.stack([slot >> 6, (slot >> 3) & 7, slot & 7], axis=1)))
        records.append(voxels)
    if keys:
        memory.store.insert(np.concatenate(keys), np.concatenate(records))


def _read_objects(memory: SpatialMemory, db: sqlite3.Connection) -> None:
    known = []
    for row in db.execute("SELECT * FROM objects ORDER BY id"):
        i, number, label, color, x, y, z, w, d, h, confidence, voxels, first, last, keyframe, status = row
        position, extent = np.array([x, y, z]), np.array([w, d, h])
        o = MemoryObject(i, label, color, position, extent, confidence, voxels, first, last, keyframe, status)
        known.append((o, number))
    sightings = [
        Sighting(k, c, np.array([x, y, z]), n)
        for _, k, c, x, y, z, n in db.execute("SELECT * FROM sightings ORDER BY number")
    ]
    memory.object_index.restore(known, sightings)


def _delta(keyframe, previous, stamp, source, action, relevant, text, stale, fields) -> SemanticDelta:
    values = {k: tuple(_observation(o) for o in v) for k, v in json.loads(fields).items()}
    return SemanticDelta(
        keyframe, previous, stamp, source, action, relevant=relevant, text=text, stale=bool(stale), **values
    )


def _observation(v: dict) -> ObjectObservation:
    box = None if v["box"] is None else tuple(v["box"])
    return ObjectObservation(
        v["label"], v["color"], v["confidence"], np.array(v["position"]), np.array(v["extent"]), box
    )


# ---- blobs ----


def _pack(array: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(array).tobytes(), _LEVEL)


def unpack(blob: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    """The ``count`` records of a blob.

    Raises:
        ValueError: it is not zlib data, or holds another number of them.
    """
    try:
        data = zlib.decompress(blob)
    except zlib.error as error:
        raise ValueError(f"a record that does not unpack ({error})") from None
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"a record of {len(data)} bytes where {count * dtype.itemsize} belong")
    return np.frombuffer(data, dtype).copy()


def _pose_blob(T: np.ndarray) -> bytes:
    return np.ascontiguousarray(T, "<f8").tobytes()


def _pose(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, "<f8").reshape(4, 4).astype(np.float64)


def _floats(values: Iterable[float]) -> list[float]:
    return [float(v) for v in values]
