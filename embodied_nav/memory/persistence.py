"""Memory files: opens them, writes a memory into one at once, reads one back. Knows files, not tables.

:func:`save` makes a file beside its place under another name, flushes it to the disk and then renames it, so that a
broken file never takes the place of a good one; a file that is no memory is never overwritten. ``writer`` keeps a file
up to date instead.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .codec import pose
from .committing import write_cut
from .config import MemoryConfig
from .cuts import Ledger, take_cut
from .migration import upgraded
from .reading import Source, read_look, read_map, read_maps, read_meta
from .schema import APPLICATION_ID, SCHEMA_VERSION, TABLES

if TYPE_CHECKING:
    from .spatial_memory import SpatialMemory

#: What SQLite puts beside a file that is being written, or whose writer was killed.
COMPANIONS = ("-wal", "-shm", "-journal")
_BUSY = 5.0  # s to wait for another process that holds the file


@dataclass(frozen=True, eq=False)
class KeyframeLook:
    """A keyframe of a file with its arrays: id, uuid of its map, stamp (ns), 4x4 pose in that map, arrays by name."""

    keyframe_id: int
    map: str
    stamp: int
    T_map_camera: np.ndarray
    arrays: dict[str, np.ndarray]


def create_empty(path: str | Path, config: MemoryConfig | None = None) -> None:
    """A memory file without content, for what must exist before the first frame.

    Raises:
        InputError: as :func:`save`.
    """
    from .spatial_memory import SpatialMemory

    save(SpatialMemory(config), path)


def save(memory: SpatialMemory, path: str | Path) -> None:
    """Writes a memory; replaces an older memory file at once or not at all.

    Other maps of the same memory that the file there holds stay in it.

    Raises:
        InputError: the file there is no memory of this format or is being written, or the place cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name")
    memory.objects()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _settle(path)
        if not path.exists():  # what is left beside it is of a file that was taken away
            for end in COMPANIONS:
                path.with_name(path.name + end).unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary)) as db:
            commits = _begin(memory, path, db)
            with db:
                write_cut(db, take_cut(memory, Ledger(file=memory.file_uuid if commits else "")), commits + 1)
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); give a writable place with room") from None
    finally:
        with suppress(OSError):  # its folder is not writable or not there: nothing was left in it
            temporary.unlink(missing_ok=True)


def make_tables(db: sqlite3.Connection) -> None:
    """Makes an empty memory file of a new database."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.executescript(TABLES)


def reason(error: OSError | sqlite3.Error) -> str:
    """What the system or the database says went wrong, in a few words."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def flush(path: Path) -> None:
    """Makes sure that a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settle(path: Path) -> None:
    """Folds what a killed writer left beside a file into it: it must not be taken for the new file's.

    Raises:
        InputError: the file is no memory, or another process writes it.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    with open_file(path):
        pass
    with closing(sqlite3.connect(path, timeout=_BUSY)) as db:
        mode = db.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    if mode != "delete":
        raise InputError(f"{path}: another process writes it; give another name")


def _begin(memory: SpatialMemory, path: Path, db: sqlite3.Connection) -> int:
    """Makes a new database a copy of the file of the same memory that is there, else an empty one.

    Returns:
        How often the file there was written, 0 for an empty one.
    """
    if path.exists() and path.stat().st_size > 0:
        with open_file(path) as old:
            meta = read_meta(old)
            others = any(m.uuid != memory.uuid for m in read_maps(Source(old)))
            if others and meta["uuid"] == memory.file_uuid:
                old.backup(db)
                return int(meta["commits"])
    make_tables(db)
    return 0


@contextmanager
def open_file(path: str | Path, convert: bool = True) -> Iterator[sqlite3.Connection]:
    """A memory file, read-only, its identity checked; an older version is converted in memory unless told otherwise.

    It may be written by another process meanwhile. Never opens the file by itself: closing a file drops the locks that
    SQLite holds on it in the same process.

    Raises:
        InputError: missing, unreadable, foreign, damaged, or of a newer version; also for what goes wrong inside.
    """
    path = Path(path)
    _check_place(path)
    try:
        with closing(_connect(path)) as db:
            db.execute("BEGIN")  # one moment, however long the reading takes
            version = _check_identity(path, db)
            if version == SCHEMA_VERSION or not convert:
                yield db
            else:
                with closing(upgraded(db)) as new:
                    yield new
    except sqlite3.Error as error:
        if "not a database" in str(error):
            raise InputError(f"{path}: is no memory file; give one that embodied-nav wrote") from None
        raise damaged(path, error) from None
    except (ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, error) from None


def damaged(path: str | Path, error: object) -> InputError:
    """The line about a file that cannot be read."""
    return InputError(
        f"{path}: the file is damaged ({error}); 'embodied-nav memory recover {path} NEW' saves what is good"
    )


def _check_place(path: Path) -> None:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(0, "it is a folder")
        if not os.access(path, os.R_OK):
            raise PermissionError(0, "permission denied")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a memory file") from None
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        raise InputError(f"{path}: is no memory file; give one that embodied-nav wrote")


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only; where its folder is too, and no writer has left anything beside the file, without locks."""
    uri = path.resolve().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=_BUSY, isolation_level=None)
    try:
        db.execute("PRAGMA schema_version").fetchone()
        return db
    except sqlite3.OperationalError:
        db.close()
        if any(path.with_name(path.name + end).exists() for end in COMPANIONS):
            raise
    return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _check_identity(path: Path, db: sqlite3.Connection) -> int:
    """The schema version."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InputError(f"{path}: is another program's SQLite file; give one that embodied-nav wrote")
    version = int(read_meta(db)["schema_version"])
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: has schema version {version}, this program reads up to {SCHEMA_VERSION}; update embodied_nav"
        )
    return version


def load(path: str | Path, config: MemoryConfig | None = None, map: str | None = None) -> SpatialMemory:
    """Reads a memory; a new session begins in it.

    Args:
        config: settings to go on with (voxels and features as in the file); by default those it was written with.
        map: UUID of the map; by default the one that was written last.

    Raises:
        InputError: the file is missing, foreign, damaged or newer, has no such map, or other voxels or features.
    """
    with open_file(path) as db:
        if (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise ValueError(problem)
        return read_map(Source(db), read_meta(db), str(path), config, map)


def read_looks(path: str | Path) -> list[KeyframeLook]:
    """All keyframes of a file, of whatever map, with their arrays; the file may be written by another process.

    Raises:
        InputError: as :func:`open_file`.
    """
    with open_file(path) as db:
        source = Source(db)
        maps = dict(source.rows("maps", "number, uuid"))
        return [
            KeyframeLook(i, maps[m], stamp, pose(T), read_look(source, i))
            for i, m, stamp, T in source.rows("keyframes", "id, map, stamp, pose", order="id")
        ]
