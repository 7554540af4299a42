"""Saves what is good in a damaged memory file into a new one. Knows how rows are found where the database is broken,
not what they mean.

A file that was cut short is completed by zeros in a copy, so that what is left of it can be reached. Rows are asked for
one by one, from both ends and by their numbers; what cannot be read or unpacked is left out and named. Voxels are made
again from the clouds.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import InputError
from .migration import upgraded
from .persistence import COMPANIONS, open_file, save
from .reading import Source, read_map
from .schema import APPLICATION_ID, SCHEMA_VERSION
from .spatial_memory import SpatialMemory

#: Rows that are looked for beyond those found from both ends.
_PROBES = 1_000_000
_BAD = (sqlite3.Error, ValueError, KeyError, IndexError, TypeError)


def recover(path: str | Path, new: str | Path) -> tuple[SpatialMemory, list[str]]:
    """Writes what is good in a memory file into a new one.

    Only the map written last and those that can be read beside it are saved; a good file is simply copied.

    Returns:
        The memory in the new file, and what was lost, one line each.

    Raises:
        InputError: the file is missing, foreign, newer, or nothing in it is good; or ``new`` exists or cannot be
            written.
    """
    path, new = Path(path), Path(new)
    if new.exists():
        raise InputError(f"{new}: is there already; give a new name")
    _check_head(path)
    with tempfile.TemporaryDirectory(prefix="embodied_nav-") as folder:
        copy = _completed_copy(path, Path(folder))
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=rw", uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = ON")  # tolerates a damaged index definition
            memory, lost = _salvage(path, db)
    save(memory, new)
    return memory, lost


def _check_head(path: Path) -> None:
    """Refuses what is no memory file at all, as ``open_file`` does; damage behind the first page is let pass."""
    try:
        with open_file(path, convert=False):
            return
    except InputError as error:
        if "damaged" not in str(error):
            raise
    with open(path, "rb") as f:
        head = f.read(100)
    if len(head) < 100 or struct.unpack(">I", head[68:72])[0] != APPLICATION_ID:
        raise InputError(f"{path}: is no memory file, or nothing is left of its beginning")


def _completed_copy(path: Path, folder: Path) -> Path:
    copy = folder / "copy.db"
    shutil.copyfile(path, copy)
    for end in COMPANIONS[:1]:
        if path.with_name(path.name + end).exists():
            shutil.copyfile(path.with_name(path.name + end), copy.with_name(copy.name + end))
    with open(copy, "rb") as f:
        head = f.read(100)
    page = struct.unpack(">H", head[16:18])[0]
    size = (65536 if page == 1 else page) * struct.unpack(">I", head[28:32])[0]
    if size > copy.stat().st_size:
        os.truncate(copy, size)
    return copy


def _salvage(path: Path, db: sqlite3.Connection) -> tuple[SpatialMemory, list[str]]:
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
        source = _Lenient(upgraded(db, lambda _, table: old.rows(table, "*"), old.part), old.lost)
        meta = dict(source.rows("meta", "key, value"))
    try:
        memory = read_map(source, meta, str(path), None, None, rebuild=True)
    except _BAD as error:
        raise InputError(f"{path}: nothing in it can be recovered ({error})") from None
    empty = [c for c in memory.clouds if c.frames and not (len(c.hits) or any(v.color is not None for v in c.views))]
    source.lost += [f"cloud {c.number} of keyframe {c.keyframe_id}: all of its hits" for c in empty]
    memory.clouds = [c for c in memory.clouds if c not in empty]
    return memory, source.lost


class _Lenient(Source):
    """Rows that can be read, each by itself; ``lost`` names the others."""

    def __init__(self, db: sqlite3.Connection, lost: list[str] | None = None) -> None:
        super().__init__(db)
        self.lost: list[str] = [] if lost is None else lost
        self._numbers: dict[str, list[int] | None] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
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
