"""Saves what is good in a damaged memory file into a new one. Knows how rows are found where the database is broken,
not what they mean.

A file that was cut short is completed by zeros in a copy, so that what is left of it can be reached. Rows are read
one by one, from both ends and by their numbers; what cannot be read or unpacked is left out and named, and so is what
names something that is lost. What a lost keyframe saw stays: it goes with its neighbours. Voxels are made again from
the clouds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..objects.votes import ClassTable
from ..records import MapRecord
from ..submaps.local_clouds import LocalCloud, packed_colors
from ..submaps.map_state import MapState, StoredMap
from .inspection import find_faults
from .memory_file import COMPANIONS, open_file, save
from .migration import upgraded
from .schema import APPLICATION_ID, SCHEMA_VERSION, complete
from .table_reading import Source, read_map, read_maps

#: Rows that are looked for beyond those found from both ends.
_PROBES = 1_000_000
_BAD = (sqlite3.Error, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)
#: Numbers of lost things that are named one by one.
_NAMED = 12
#: Where SQLite locks a file (its PENDING_BYTE), and how far; struct flock as the kernel wants it on 64 bits.
_LOCKED_AT, _LOCKED_FOR, _FLOCK = 0x40000000, 512, "hhqqi4x"


def recover(path: str | Path, new: str | Path) -> tuple[MapState, list[str]]:
    """Writes what is good in a memory file into a new one; all maps of it that can be read.

    Returns:
        The state in the new file, of the map written last or the first that could be read; and what was lost, one line
        each, counts first.

    Raises:
        InputError: the file is missing, foreign, newer, damaged while another process has it open, or nothing in it is
            good; or ``new`` exists or cannot be written.
    """
    path, new = Path(path), Path(new)
    if new.exists():
        raise InputError(f"{new}: is there already; give a new name")
    _check_head(path)
    with tempfile.TemporaryDirectory(prefix="embodied_nav-") as folder:
        copy = _completed_copy(path, Path(folder))
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=rw", uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = ON")  # tolerates a damaged index definition
            complete(db, temporary=True)
            maps, lost = _salvage(path, db)
        # Beside the file that is wanted, so that nothing of that name is there until all is good.
        made = Path(folder) / "new.db"
        for state in maps:
            save(state, made)
        faults = find_faults(made)
        if faults:
            raise InputError(f"{path}: what is good in it does not go together ({faults[0]}); please report it")
        _move(made, new)
    return maps[-1], lost


def _move(made: Path, new: Path) -> None:
    """To its place at once, or not at all."""
    beside = new.with_name(f".{new.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(made, beside)
        beside.rename(new)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{new}: cannot be written ({error.strerror}); give a writable place with room") from None


def _check_head(path: Path) -> None:
    """Refuses what is no memory file at all, as ``open_file`` does; damage behind the first page is let pass."""
    try:
        with open_file(path, convert=False) as db:
            db.execute("SELECT count(*) FROM keyframes").fetchone()
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return
    except InputError as error:
        if "damaged" not in str(error):
            raise
    if holder := _held_by(path):
        raise InputError(f"{path}: is damaged, and process {holder} has it open; end that first, and try again")
    with open(path, "rb") as f:
        head = f.read(100)
    if len(head) < 100 or struct.unpack(">I", head[68:72])[0] != APPLICATION_ID:
        raise InputError(f"{path}: is no memory file, or nothing is left of its beginning")


def _held_by(path: Path) -> int:
    """Number of a process that SQLite locks the file for, 0 for none: a copy of what changes meanwhile is worthless."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_AT, _LOCKED_FOR, 0)
    try:
        with open(path, "rb") as file:
            told = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return 0
    return 0 if told[0] == fcntl.F_UNLCK else int(told[4])


def _completed_copy(path: Path, folder: Path) -> Path:
    copy = folder / "copy.db"
    try:
        shutil.copyfile(path, copy)
        for end in COMPANIONS[:1]:
            if path.with_name(path.name + end).exists():
                shutil.copyfile(path.with_name(path.name + end), copy.with_name(copy.name + end))
    except OSError as error:
        raise InputError(f"{path}: cannot be copied to {folder} ({error.strerror})") from None
    with open(copy, "rb") as f:
        head = f.read(100)
    page = struct.unpack(">H", head[16:18])[0]
    size = (65536 if page == 1 else page) * struct.unpack(">I", head[28:32])[0]
    if size > copy.stat().st_size:
        os.truncate(copy, size)
    return copy


def _salvage(path: Path, db: sqlite3.Connection) -> tuple[list[MapState], list[str]]:
    """Every map that can be read, the one written last at the end; and what was lost."""
    source = _Lenient(db)
    try:
        meta = dict(source.rows("meta", "key, value"))
        version = int(meta["schema_version"])
    except _BAD as error:
        raise InputError(f"{path}: nothing in it can be recovered ({error})") from None
    if version > SCHEMA_VERSION:
        raise InputError(f"{path}: has schema version {version}, this program reads up to {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        old = source
        source = _Lenient(upgraded(db, lambda _, table: old.rows(table, "*"), old.item), old.lost)
        meta = dict(source.rows("meta", "key, value"))
    mending, maps = _Mending(source), []
    for uuid in _maps_of(source, meta):
        try:
            state, _ = read_map(source, meta, str(path), None, uuid, mending.mend)
            state.begin_session(state.content.sessions)
            maps.append(state)
        except _BAD as error:  # InputError is a ValueError
            source.lost.append(f"map {uuid}: {error}")
    if not maps:
        raise InputError(f"{path}: nothing in it can be recovered ({'; '.join(source.lost[-2:])})")
    _forget_lost_maps(maps)
    return maps, [*mending.counts(), *dict.fromkeys(source.lost)]


def _maps_of(source: _Lenient, meta: dict[str, str]) -> list[str]:
    """UUIDs of the maps that are part of no other, the one written last at the end."""
    try:
        maps = [m.uuid for m in read_maps(source) if not m.merged_into]
    except _BAD:  # one of them cannot be read: by itself the one written last may
        maps = []
    return [*(uuid for uuid in maps if uuid != meta.get("map")), *([meta["map"]] if "map" in meta else [])]


def _forget_lost_maps(maps: Sequence[MapState]) -> None:
    """No record of a map, and no session, of which nothing is left."""
    left = {m.content.uuid for m in maps}
    records: dict[str, MapRecord] = {r.uuid: r for m in maps for r in m.maps}
    while True:
        known = {u for u, r in records.items() if u in left or (r.merged_into in records and r.merged_into)}
        if len(known) == len(records):
            break
        records = {u: records[u] for u in known}
    sessions = {}
    for m in maps:
        sessions |= {s["id"]: s for s in m.content.sessions[:-1]}  # the newest began with the reading of the file
    ordered = sorted((s for s in sessions.values() if s["map"] in records), key=lambda s: s["first_keyframe"])
    for c in (m.content for m in maps):
        c.other_maps = tuple(records[u] for u in records if u != c.uuid)
        c.sessions = [*ordered, c.sessions[-1]]


class _Mending:
    """Drops records that refer to something lost, and counts them."""

    def __init__(self, source: _Lenient) -> None:
        self._source = source
        self._keyframes: set[int] = set()
        self._left_out: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def mend(self, stored: StoredMap) -> None:
        """All of a map but its voxels, which are not made yet."""
        c = stored.content
        known = set(c.keyframes)
        self._keyframes |= self._named(stored) - known
        c.clouds = [self._cloud(cloud, known) for cloud in c.clouds if self._has_content(cloud)]
        deltas = {i: d for i, d in c.deltas.items() if d.keyframe_id not in self._keyframes}
        self._left_out["deltas"] += len(c.deltas) - len(deltas)
        c.deltas = {i: replace(d, previous_id=-1) if d.previous_id in self._keyframes else d for i, d in deltas.items()}
        sightings = [s for s in stored.sightings if s.keyframe_id in known]
        self._left_out["sightings"] += len(stored.sightings) - len(sightings)
        stored.sightings = sightings
        stored.objects = [
            (o if o.keyframe_id in known else replace(o, keyframe_id=-1), number) for o, number in stored.objects
        ]
        self._keep_classes(stored)
        c.looks = {i: look for i, look in c.looks.items() if i in known}
        self._kept.update({"keyframes": len(known), "clouds": len(c.clouds), "deltas": len(deltas),
                           "sightings": len(sightings)})  # fmt: skip

    def counts(self) -> list[str]:
        """One line of numbers, one of the keyframes; none where nothing was lost."""
        lines = []
        told = [f"{n} of {n + self._kept[what]} {what}" for what, n in sorted(self._left_out.items()) if n]
        if self._keyframes:
            told.insert(0, f"{len(self._keyframes)} of {len(self._keyframes) + self._kept['keyframes']} keyframes")
        if told:
            lines.append("in numbers: " + ", ".join(told))
        if self._keyframes:
            named = ", ".join(map(str, sorted(self._keyframes)[:_NAMED]))
            more = ", ..." * (len(self._keyframes) > _NAMED)
            lines.append(f"keyframes {named}{more}, and all that was said of them; what they saw goes with others")
        return lines

    def _named(self, stored: StoredMap) -> set[int]:
        """Keyframes that something names which is dropped with them."""
        named = {c.keyframe_id for c in stored.content.clouds} | {s.keyframe_id for s in stored.sightings}
        return named - {-1}

    def _has_content(self, cloud: LocalCloud) -> bool:
        whole = len(cloud.hits) or any(v.color is not None for v in cloud.views)
        if cloud.frames and not whole:
            self._left_out["clouds"] += 1
            self._source.lost.append(f"cloud {cloud.number} of keyframe {cloud.keyframe_id}: all of its hits")
            return False
        return True

    def _cloud(self, cloud: LocalCloud, known: set[int]) -> LocalCloud:
        if cloud.keyframe_id not in known and cloud.keyframe_id >= 0:
            cloud.keyframe_id = -1  # as what came before the first keyframe: it moves with the next one's
        whole = [i for i, v in enumerate(cloud.views) if v.color is not None]
        self._kept["frames' colours"] += len(whole)
        for view in cloud.views[: max(whole, default=0)]:
            if view.color is None:  # whole frames come first: this one has lost its colours
                view.color = packed_colors(np.zeros((*view.depth[::2, ::2].shape, 3), np.uint8))
                self._left_out["frames' colours"] += 1
        return cloud

    def _keep_classes(self, stored: StoredMap) -> None:
        """Classes whose names are lost stay, without a name: votes for them are told apart as before."""
        used = [int(c.votes["class"].max()) for c in stored.content.clouds if len(c.votes)]
        used += [number for _, number in stored.objects] + [s.class_number for s in stored.sightings]
        table, last = stored.content.classes, max(used, default=0)
        if last >= len(table.names):
            lost = range(len(table.names), last + 1)
            self._left_out["classes' names"] += len(lost)
            stored.content.classes = ClassTable([*table.names, *[("", "")] * len(lost)], [*table.merged, *lost])


class _Lenient(Source):
    """Rows that can be read, each by itself; ``lost`` names the others."""

    def __init__(self, db: sqlite3.Connection, lost: list[str] | None = None) -> None:
        super().__init__(db)
        self.lost: list[str] = [] if lost is None else lost
        self._numbers: dict[str, list[int] | None] = {}

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        try:
            yield
        except _BAD as error:
            self.lost.append(f"{name}: {error}")

    def rows(self, table: str, columns: str, where: str = "", values: tuple = (), order: str = "") -> Iterator[tuple]:
        """By the database where it can; else row by row."""
        try:
            yield from list(super().rows(table, columns, where, values, order))
            return
        except sqlite3.Error as error:
            if table not in self._numbers:
                self.lost.append(f"table {table}: {error}")
        found = []
        condition = f" AND {where}" if where else ""
        for number in self._reachable(table):
            try:
                row = self.db.execute(
                    f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid = ?{condition}", (number, *values)
                ).fetchone()
            except sqlite3.Error:
                continue
            if row is not None:
                found.append(row)
        yield from found

    def _reachable(self, table: str) -> list[int]:
        """Numbers of rows that can be found from either end, and those between them."""
        if table not in self._numbers:
            ends = []
            for order in ("ASC", "DESC"):
                try:
                    for (number,) in self.db.execute(f"SELECT rowid FROM {table} NOT INDEXED ORDER BY rowid {order}"):
                        ends.append(number)
                except sqlite3.Error:
                    continue
            last = min(max(ends, default=0) + 10_000, _PROBES)
            self._numbers[table] = sorted({*ends, *range(last + 1)})
        return self._numbers[table]
