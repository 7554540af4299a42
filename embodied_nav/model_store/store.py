"""The folder that keeps fetched models, and the record of what came. Knows nothing of where they come from.

``~/.cache/embodied_nav/models`` (or below ``XDG_CACHE_HOME``; ``EMBODIED_NAV_MODELS`` names another folder) holds a
folder a model and ``lock.json``: origin, revision and SHA-256 of each model and its files. The record outlives the
files: what comes another time must be the same.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import InputError
from .sources import Source, source_named

#: Environment variable that names the folder.
VARIABLE = "EMBODIED_NAV_MODELS"
#: What unfinished work is called.
_PARTIAL = ".partial-"
_LOCK = "lock.json"


@dataclass(frozen=True)
class Record:
    """What came of a model.

    Attributes:
        origin: as :attr:`Source.origin`. revision: the commit, for the hub.
        sha256: of the package's file; for the hub of the list of files.
        files: path below the model's folder -> SHA-256.
    """

    origin: str
    revision: str = ""
    sha256: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    at: str = ""


class Store:
    """A folder of models.

    Args:
        folder: by default as the module says.
    """

    def __init__(self, folder: str | Path = "") -> None:
        self.folder = Path(folder).expanduser().absolute() if folder else default_folder()

    def place(self, name: str) -> Path:
        """The folder of a model, whether or not it is there."""
        return self.folder / name

    def kept(self, source: Source) -> Path | None:
        """The file ``source.keeps`` of a model that was fetched, None where it was not."""
        path = self.place(source.name) / source.keeps
        return path if path.is_file() else None

    def record(self, name: str) -> Record | None:
        """What is recorded of a model, None where it was never fetched.

        Raises:
            InputError: the record cannot be read.
        """
        values = self._records().get(name)
        try:
            return None if values is None else Record(**values)
        except TypeError:
            raise InputError(f"{self.folder / _LOCK}: what it says of '{name}' is of another form; remove it") from None

    def damage(self, name: str) -> str:
        """What differs between a model's files and its record, "" where nothing does."""
        record = self.record(name)
        if record is None:
            return "is not recorded"
        for relative, expected in record.files.items():
            path = self.place(name) / relative
            if not path.is_file():
                return f"{relative} is missing"
            if sha256_of(path) != expected:
                return f"{relative} has changed since it was fetched"
        return ""

    @contextmanager
    def working(self) -> Iterator[Path]:
        """An empty folder for unfinished work, on the same disk; it is gone afterwards, whatever happens.

        Raises:
            InputError: the folder cannot be written, or another process fetches into it.
        """
        with told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"{self.folder}: another 'models get' is at work there; wait for it") from None
            for left in self.folder.glob(_PARTIAL + "*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            with told(self.folder):
                work = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
            try:
                with told(self.folder):
                    yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def put(self, name: str, made: Path, record: Record) -> None:
        """Moves a finished model to its place, and records it; to be called inside :meth:`working`."""
        place = self.place(name)
        old = made.parent / "old"
        records = {**self._records(), name: asdict(record)}
        lock = made.parent / _LOCK
        lock.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if place.exists():
            place.rename(old)
        made.rename(place)
        lock.replace(self.folder / _LOCK)

    def _records(self) -> dict[str, dict]:
        path = self.folder / _LOCK
        if not path.is_file():
            return {}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("no names and values")
            return values
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); remove it, and get the models again") from None


def default_folder() -> Path:
    """Where models are kept unless told otherwise."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The standard says that a relative path is to be ignored.
    cache = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~"), ".cache")
    return cache / "embodied_nav" / "models"


def kept(name: str) -> Path | None:
    """The file of a model of the shipped table that ``models get`` fetched, None where it did not."""
    return Store().kept(source_named(name))


def record_of(source: Source, made: Path, sha256: str, revision: str = "") -> Record:
    """The record of a model that came; ``made`` is its folder."""
    files = {str(path.relative_to(made)): sha256_of(path) for path in sorted(made.rglob("*")) if path.is_file()}
    return Record(source.origin, revision, sha256, files, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Makes one line of what the system refuses: a full disk, a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{folder}: the disk is full; make room, or name another folder by {VARIABLE}") from None
        what = error.filename or folder
        raise InputError(
            f"{what}: {error.strerror or error}; name a folder by {VARIABLE} that can be written"
        ) from None
