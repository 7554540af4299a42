"""Memory files: opens them, writes a map into one at once, reads one back. Knows files, not tables.

:func:`save` makes a file beside its place under another name, flushes it to the disk and then renames it, so that a
broken file never takes the place of a good one; a file that is no memory is never overwritten. ``writer`` keeps a file
up to date instead.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..config import MemoryConfig
from ..submaps.map_state import MapState
from .codec import pose
from .migration import upgraded
from .schema import APPLICATION_ID, ORIGINS, SCHEMA_VERSION, TABLES, complete
from .snapshot import Written, take_snapshot
from .table_reading import Source, read_look, read_map, read_maps, read_meta
from .table_writing import write_snapshot

#: What SQLite puts beside a file that is being written, or whose writer was killed.
COMPANIONS = ("-wal", "-shm", "-journal")
_BUSY = 5.0  # s to wait for another process that holds the file
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True, eq=False)
class KeyframeLook:
    """A keyframe of a file with its arrays: id, uuid of its map, stamp (ns), 4x4 pose in that map, arrays by name."""

    keyframe_id: int
    map: str
    stamp: int
    T_map_camera: np.ndarray
    arrays: dict[str, np.ndarray]


def _nothing() -> None:
    """The callback of a memory without a writer."""


@dataclass
class FileLink:
    """How a memory and its file know of each other.

    Attributes:
        path: where the file is, if there is one. written: what the file that the memory was read from holds of it.
        interrupted: s since that file was written last, where its writer never closed it.
        after_change, before_exchange: called after every change, and before a whole map is exchanged, by the thread
            that owns the memory; a :class:`~.writer.MemoryWriter` sets both.
    """

    path: Path | None = None
    written: Written | None = None
    interrupted: float = float("inf")
    after_change: Callable[[], None] = _nothing
    before_exchange: Callable[[], None] = _nothing

    def forget(self) -> None:
        """The memory was cleared: it is not what was read any more. A writer that is attached stays attached."""
        self.written, self.interrupted = None, float("inf")

    def detach(self) -> None:
        """The writer has closed its file."""
        self.after_change = self.before_exchange = _nothing


def create_empty(path: str | Path, config: MemoryConfig | None = None) -> None:
    """A memory file without content, for what must exist before the first frame.

    Raises:
        InputError: as :func:`save`.
    """
    save(MapState(config or MemoryConfig()), path)


def save(state: MapState, path: str | Path) -> None:
    """Writes a map; replaces an older memory file at once or not at all.

    Other maps of the same memory that the file there holds stay in it.

    Raises:
        InputError: the file there is no memory of this format or is being written, or the place cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name")
    state.refresh_objects()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _settle(path)
        if not path.exists():  # what is left beside it is of a file that was taken away
            for end in COMPANIONS:
                path.with_name(path.name + end).unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary)) as db:
            commits = _begin(state, path, db)
            with db:
                written = Written(file=state.content.file_uuid if commits else "")
                write_snapshot(db, take_snapshot(state, written), commits + 1)
            db.executescript("PRAGMA incremental_vacuum")
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); give a writable place with room") from None
    finally:
        with suppress(OSError):  # its folder is not writable or not there: nothing was left in it
            temporary.unlink(missing_ok=True)


def make_tables(db: sqlite3.Connection) -> None:
    """Makes an empty memory file of a new database; what is deleted later gives its room back (see the writer)."""
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a database without tables alone
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


def _begin(state: MapState, path: Path, db: sqlite3.Connection) -> int:
    """Makes a new database a copy of the file of the same memory that is there, else an empty one.

    Returns:
        How often the file there was written, 0 for an empty one.
    """
    origins = ""
    if path.exists() and path.stat().st_size > 0:
        with open_file(path) as old:
            meta = read_meta(old)
            origins = meta.get(ORIGINS, "") if meta["uuid"] == state.content.file_uuid else ""
            others = any(m.uuid != state.content.uuid for m in read_maps(Source(old)))
            if others and meta["uuid"] == state.content.file_uuid:
                old.backup(db)
                return int(meta["commits"])
    make_tables(db)
    if origins:
        db.execute("INSERT INTO meta VALUES (?, ?)", (ORIGINS, origins))
    return 0


def note_origin(path: str | Path, origin: tuple[float, float, float]) -> None:
    """Notes in a memory file where its present map has its origin in the coordinates that it was recorded in.

    Args:
        origin: x, y, z in m: what was taken off every position.

    Raises:
        InputError: no memory file, or it cannot be written.
    """
    with open_file(path) as db:
        meta = read_meta(db)
    origins = {**json.loads(meta.get(ORIGINS, "{}")), meta["map"]: [float(v) for v in origin]}
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY)) as db, db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (ORIGINS, json.dumps(origins)))
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be written ({error}); give a writable place with room") from None


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
                complete(db, temporary=True)
                yield db
            else:
                with closing(upgraded(db)) as new:
                    yield new
    except sqlite3.Error as error:
        if "not a database" in str(error):
            raise InputError(f"{path}: is no memory file; give one that embodied-nav wrote") from None
        raise (_out_of_reach(path, error) or damaged(path, error)) from None
    except (ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, error) from None


def _out_of_reach(path: Path, error: sqlite3.Error) -> InputError | None:
    """The line about a file that may well be good but cannot be opened now; None where it is damaged."""
    code = _code(error)
    if code in _LOCKED:
        return InputError(f"{path}: another process has locked it ({error}); wait until it is done, or end it")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return InputError(
            f"{path}: cannot be opened ({error}): its writer was killed, and the file or its folder is read-only; "
            "copy it, with the files of its name that end with -wal and -shm, to where you may write"
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM):
        return InputError(f"{path}: the system does not give it ({error}); look at the disk, not at the file")
    return None


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


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
    except sqlite3.OperationalError as error:
        db.close()
        if _code(error) in _LOCKED or any(path.with_name(path.name + end).exists() for end in COMPANIONS):
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


def load(path: str | Path, config: MemoryConfig | None = None, map: str | None = None) -> tuple[MapState, FileLink]:
    """Reads a map; a new session begins in it.

    Args:
        config: settings to go on with (voxels and features as in the file); by default those it was written with.
        map: UUID of the map; by default the one that was written last.

    Raises:
        InputError: the file is missing, foreign, damaged or newer, has no such map, or other voxels or features.
    """
    with open_file(path) as db:
        if (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise ValueError(problem)
        meta = read_meta(db)
        state, written = read_map(Source(db), meta, str(path), config, map)
        written.commits, written.path = int(meta["commits"]), str(Path(path).resolve())
        since = max(time.time() - float(meta["updated"]), 0.0) if meta.get("writer") else float("inf")
    state.begin_session(state.content.sessions)
    return state, FileLink(Path(path), written, since)


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
