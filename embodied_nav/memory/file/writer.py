"""Keeps a memory file up to date while the memory grows. Knows snapshots and files, not what stands in them.

The thread that owns the memory calls :meth:`MemoryWriter.tick` (the memory does so itself after every change). When it
is time, that takes an incremental snapshot, which costs it a millisecond or two; a thread of the writer's own packs and
commits it. The file is in SQLite's WAL mode with ``synchronous = NORMAL``: a process that is killed loses what came
after its last snapshot; a power failure may lose the last commits too, but never damages the file.

Voxels lag behind: they can be made from the clouds, and writing them each time would wear the disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from ...errors import InputError
from ...heap import keep_small
from ..submaps.map_state import MapState
from .memory_file import COMPANIONS, FileLink, flush, make_tables, open_file, reason, save
from .schema import SCHEMA_VERSION
from .snapshot import Snapshot, Written, take_snapshot
from .table_reading import read_meta
from .table_writing import write_snapshot

#: Voxels copied at most in one snapshot, so that it stays short.
VOXEL_BUDGET = 30_000
#: s after a failure until the next try, doubled each time up to the second.
RETRY = (1.0, 10.0)
_BUSY = 2.0
#: Pages that wait for new content; of more than these some are given back with each commit, too few to be noticed.
_WAITING_PAGES, _GIVEN_BACK = 1024, 128
#: The WAL goes into the file when it has so many pages (of 4 KiB).
_CHECKPOINT = 1000
#: Bytes of the write-ahead log that stay after a checkpoint: one large correction would leave it as large for ever.
_JOURNAL_BYTES = 4 << 20


class Holder(Protocol):
    """An object with a memory's state and its link to a file, such as a ``SpatialMemory``."""

    @property
    def state(self) -> MapState: ...

    @property
    def link(self) -> FileLink: ...


class MemoryWriter:
    """Writes a memory into a file continuously. Make, tick, flush and close it on the thread that owns the memory.

    Args:
        path: a new file, or one of the same memory: it must have been loaded from there. A file of an older version is
            brought up to date.
        period: s between snapshots. voxel_period: s between those that hold voxels too.

    Attributes:
        trouble: why the file cannot be written at the moment, one line; "" where all is well. It is tried again.
        commits: how often it was written. longest: s, the longest that a snapshot has blocked the owning thread.

    Raises:
        InputError: the file there is no memory, damaged, newer, or another memory's. Not where it cannot be written:
            the memory goes on without, see ``trouble``.
    """

    def __init__(self, memory: Holder, path: str | Path, period: float = 0.3, voxel_period: float = 5.0) -> None:
        self.path = Path(path)
        self.trouble = ""
        self.commits = 0
        self.longest = 0.0
        self._memory, self._period, self._voxel_period = memory, period, voxel_period
        self._token = uuid.uuid4().hex
        self._written = self._ahead = self._check()
        self._db: sqlite3.Connection | None = None
        self._inode, self._mine = 0, False
        self._snapshot: Snapshot | None = None
        self._last = self._last_voxels = self._retry_at = 0.0
        self._retry = RETRY[0]
        self._ready, self._idle, self._closed = threading.Event(), threading.Event(), False
        self._idle.set()
        self._thread = threading.Thread(target=self._work, name="memory writer", daemon=True)
        self._thread.start()
        keep_small()
        link = memory.link
        link.after_change, link.before_exchange, link.path = self.tick, self._finish_map, self.path
        with suppress(InputError):  # it stands in ``trouble``
            self.flush()

    def tick(self) -> None:
        """Takes a snapshot if it is time; costs nothing else."""
        now = time.monotonic()
        if now - self._last < self._period or now < self._retry_at or not self._idle.is_set() or self._closed:
            return
        with_voxels = now - self._last_voxels >= self._voxel_period
        self._snapshot_now(VOXEL_BUDGET if with_voxels else 0)
        if with_voxels and self._ahead.whole:
            self._last_voxels = now

    def flush(self, timeout: float = 60.0) -> None:
        """Writes all that the memory holds now, voxels included, and waits for it.

        Raises:
            InputError: it cannot be written.
        """
        self._wait(timeout)
        state = self._memory.state
        state.refresh_objects()
        for _ in range(2):  # the second time where the file has been taken away
            self._snapshot_now(None)
            self._wait(timeout)
            if self.trouble:
                raise InputError(self.trouble)
            if self._written is self._ahead:
                return

    def close(self) -> None:
        """Writes the rest and leaves one plain file that can be read from anywhere.

        Raises:
            InputError: as :meth:`flush`.
        """
        if self._closed:
            return
        try:
            self.flush()
        finally:
            self._memory.link.detach()
            self._closed = True
            self._ready.set()
            self._thread.join()
            if self._db is not None:
                with suppress(sqlite3.Error):  # a reader holds it: it stays as a killed writer leaves it
                    self._db.execute("UPDATE meta SET value = '' WHERE key = 'writer' AND value = ?", (self._token,))
                    self._db.execute("PRAGMA journal_mode = DELETE")
                self._db.close()

    # ---- on the owner's thread ----

    def _check(self) -> Written:
        """What the file there holds of the memory."""
        if not self.path.exists():
            return Written()
        uuid = self._memory.state.content.file_uuid
        with open_file(self.path, convert=False) as db:
            meta = read_meta(db)
            if meta["uuid"] != uuid:
                raise InputError(f"{self.path}: holds another memory; load that one, or give another name")
            old = int(meta["schema_version"]) < SCHEMA_VERSION
        if old:
            save(self._memory.state, self.path)
            return Written(file=uuid)
        origin = self._memory.link.written
        here = str(self.path.resolve())
        if origin is not None and (origin.path, origin.commits) == (here, int(meta["commits"])):
            return origin
        return Written(file=uuid)

    def _snapshot_now(self, voxels: int | None) -> None:
        snapshot = take_snapshot(self._memory.state, self._written, voxels)
        self._last = time.monotonic()
        self.longest = max(self.longest, snapshot.seconds)
        self._ahead = snapshot.after
        if snapshot.empty and not self.trouble and self.commits:
            self._written = snapshot.after
            return
        self._snapshot = snapshot
        self._idle.clear()
        self._ready.set()

    def _wait(self, timeout: float) -> None:
        if not self._idle.wait(timeout):
            raise InputError(f"{self.path}: is not written after {timeout:g} s; is the disk still there?")

    def _finish_map(self) -> None:
        with suppress(InputError):  # it stands in ``trouble``
            self.flush()

    # ---- on the writer's thread ----

    def _work(self) -> None:
        while True:
            self._ready.wait()
            self._ready.clear()
            if self._snapshot is not None:
                self._commit(self._snapshot)
                self._snapshot = None
            self._idle.set()
            if self._closed:
                return

    def _commit(self, snapshot: Snapshot) -> None:
        try:
            db = self._open(snapshot)
            if db is None:
                self._written = Written()
                return
            db.execute("BEGIN IMMEDIATE")
            try:
                commits = self._count(db) + 1
                write_snapshot(db, snapshot, commits)
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # it may have been rolled back already
                    db.execute("ROLLBACK")
                raise
        except (OSError, sqlite3.Error, InputError) as error:
            self._fail(error)
        else:
            snapshot.after.commits = commits
            self._written, self.trouble, self._retry = snapshot.after, "", RETRY[0]
            self.commits += 1
            with suppress(sqlite3.Error):  # all is written: the room can wait
                if db.execute("PRAGMA freelist_count").fetchone()[0] > _WAITING_PAGES:
                    db.executescript(f"PRAGMA incremental_vacuum({_GIVEN_BACK})")  # "execute" stops after one page

    def _fail(self, error: InputError | OSError | sqlite3.Error) -> None:
        line = str(error) if isinstance(error, InputError) else f"{self.path}: cannot be written ({reason(error)})"
        self.trouble = f"{line}; the memory goes on without, and tries again"
        self._retry_at = time.monotonic() + self._retry
        self._retry = min(2 * self._retry, RETRY[1])
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _open(self, snapshot: Snapshot) -> sqlite3.Connection | None:
        """The file; made where it is not there, None where that takes a whole snapshot."""
        if self._db is not None and not self._is_there():
            self._db.close()
            self._db = None
        if self._db is None:
            if not self.path.exists():
                if snapshot.before.file:
                    return None
                self._make(snapshot)
            db = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
            settings = ("journal_mode = WAL", "synchronous = NORMAL", f"wal_autocheckpoint = {_CHECKPOINT}")
            for setting in (*settings, f"journal_size_limit = {_JOURNAL_BYTES}"):
                db.execute(f"PRAGMA {setting}")
            if not self._mine:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('writer', ?)", (self._token,))
                self._mine = True
            self._db, self._inode = db, self.path.stat().st_ino
        return self._db

    def _is_there(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def _make(self, snapshot: Snapshot) -> None:
        """The file appears with its first content or not at all."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            temporary.unlink(missing_ok=True)
            for end in COMPANIONS:  # of a file that was taken away
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            with closing(sqlite3.connect(temporary)) as db:
                make_tables(db)
                with db:
                    write_snapshot(db, snapshot, 1)
                    db.execute("INSERT INTO meta VALUES ('writer', ?)", (self._token,))
            flush(temporary)
            os.replace(temporary, self.path)
            self._mine = True
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _count(self, db: sqlite3.Connection) -> int:
        """How often the file was written.

        Raises:
            InputError: another process has written it since this writer began.
        """
        meta = read_meta(db)
        if meta.get("writer") != self._token:
            raise InputError(f"{self.path}: another process writes it now")
        return int(meta["commits"])
