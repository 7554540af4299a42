"""Makes readable copies of files that a recorder did not finish. Knows no messages."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from urllib.parse import quote

from ..errors import InputError
from .mcap_repair import zstd

#: How a database of SQLite begins; the size of its pages comes next.
_MAGIC = b"SQLite format 3\0"
_TABLES = ("schema", "metadata", "topics", "message_definitions", "messages")
#: Consecutive unreadable rows of a damaged table after which reading stops.
_ATTEMPTS = 20


def unpacked(path: Path, folder: Path) -> tuple[bool, Path]:
    """Decompresses a file into ``folder``; returns whether it was complete, and the new path."""
    target, module = folder / path.stem, zstd()
    with target.open("wb") as out:
        try:
            with module.open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    out.write(chunk)
        except (EOFError, module.ZstdError):
            return False, target
    return True, target


def with_journal(path: Path, folder: Path) -> Path:
    """A copy of a database, with the data in the journal that a killed recorder left."""
    copy = folder / path.name
    for end in ("", "-wal"):
        shutil.copyfile(path.with_name(path.name + end), folder / (path.name + end))
    with contextlib.closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode=DELETE")
    return copy


def cut_page(path: Path) -> int:
    """Bytes that are left of a database's last page where that is cut; 0 where none is, or for any other file."""
    with path.open("rb") as file:
        head = file.read(18)
    if not head.startswith(_MAGIC):
        return 0
    size = int.from_bytes(head[16:18], "big")
    page = 65536 if size == 1 else size
    return path.stat().st_size % page if page else 0


def whole_pages(path: Path, folder: Path) -> Path:
    """The database, or a copy without its last page where that is cut: SQLite would read zeros for what is missing."""
    rest = cut_page(path)
    if not rest:
        return path
    folder = folder / "whole"
    folder.mkdir(exist_ok=True)
    copy = folder / path.name
    shutil.copyfile(path, copy)
    with copy.open("rb+") as file:
        file.truncate(path.stat().st_size - rest)
    return copy


def salvaged_database(path: Path, folder: Path) -> tuple[Path, int]:
    """A new database with the readable rows of a damaged one, and the number of messages in it.

    Raises:
        InputError: not a database, or none of its messages can be read.
    """
    copy = folder / f"salvaged-{path.name}"
    copy.unlink(missing_ok=True)
    source = sqlite3.connect(f"file:{quote(str(path.resolve()))}?immutable=1", uri=True)
    with contextlib.closing(source), contextlib.closing(sqlite3.connect(copy)) as target:
        try:
            # Otherwise SQLite refuses a file that is shorter than its header says.
            source.execute("PRAGMA writable_schema=ON")
            tables = dict(source.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall())
        except sqlite3.DatabaseError as error:
            raise InputError(str(error)) from None
        counts = {name: _copy_rows(source, target, name, tables[name]) for name in _TABLES if name in tables}
        target.execute("CREATE INDEX IF NOT EXISTS by_time ON messages (timestamp)")
        target.commit()
    if not counts.get("messages"):
        raise InputError("database disk image is malformed, and no message in it can be read")
    return copy, counts["messages"]


def _copy_rows(source: sqlite3.Connection, target: sqlite3.Connection, name: str, sql: str) -> int:
    target.execute(sql)
    last, count, failures = -1, 0, 0
    while failures < _ATTEMPTS:
        try:
            for row in source.execute(f"SELECT rowid, * FROM {name} WHERE rowid > ? ORDER BY rowid", (last,)):
                if row[0] <= last:  # a damaged index leads round in a circle
                    raise sqlite3.DatabaseError("rows out of order")
                marks = ", ".join("?" * (len(row) - 1))
                target.execute(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", row[1:])
                last, count, failures = row[0], count + 1, 0
            break
        except sqlite3.DatabaseError:
            last, failures = last + 1, failures + 1
    return count
