"""Opens a bag's files, complete or damaged: rosbag2 (split, compressed, truncated, no metadata) and ROS 1.

Knows nothing of how the messages are used.

A recorder that was killed leaves no metadata.yaml, an mcap file without its end, or a database with a journal beside
it. Such files are read as far as possible; nothing is written beside them.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from ..errors import InputError
from ..resources import how_to_install
from .bag_repair import cut_page, salvaged_database, unpacked, whole_pages, with_journal
from .mcap_repair import MendedMcap, is_cut, zstd
from .topics import IMAGE, INFO, ODOMETRY, TF

_ROS1 = (".bag", ".active")
_ZSTD = b"\x28\xb5\x2f\xfd"
#: Message types that are read.
READ = (*IMAGE, INFO, TF, ODOMETRY)
#: Old type names of ROS 1.
_RENAMED = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}


def bag_files(folder: Path) -> list[Path]:
    """The rosbag2 files in a folder, ordered by their numbers."""
    found = [p for p in folder.iterdir() if p.is_file() and re.search(r"\.(db3|mcap)(\.zstd)?$", p.name)]
    return sorted(found, key=_numbered)


def ros1_files(folder: Path) -> list[Path]:
    """The ROS 1 bags in a folder, ordered by their numbers."""
    return sorted((p for p in folder.iterdir() if p.is_file() and p.suffix in _ROS1), key=_numbered)


class Bag:
    """A recording's messages, all as ROS 2 serialises them (CDR).

    Attributes:
        kinds: topic -> type. types: rosbags' type store. notes: what was repaired or is missing.

    Raises:
        InputError: the library for bags is missing, or nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            from rosbags.typesys import Stores, get_typestore
        except ModuleNotFoundError:
            raise InputError(f"reading bags needs the library rosbags; {how_to_install('bags')}") from None
        self.notes: list[str] = []
        self.types = get_typestore(Stores.ROS2_JAZZY)
        self._path = path
        self._scratch: tempfile.TemporaryDirectory | None = None
        self._readers: list[tuple[Path, Any]] = []  # of different libraries
        self._unsorted: set[int] = set()  # readers whose topics must be read one by one
        self._converters: dict[str, Callable[[bytes], bytes]] = {}
        self._open(path)
        self.kinds = {c.topic: _RENAMED.get(c.msgtype, c.msgtype) for _, r in self._readers for c in r.connections}

    def messages(
        self, topics: set[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time of reception in ns, serialised message), by time within each file.

        A file that is damaged in the middle ends there, with a note.
        """
        for path, reader in self._readers:
            connections = [c for c in reader.connections if c.topic in topics]
            together = [[c] for c in connections] if id(reader) in self._unsorted else [connections]
            try:
                for group in filter(None, together):
                    for connection, logged, data in reader.messages(connections=group, start=start, stop=stop):
                        yield connection.topic, logged, self._as_cdr(connection.msgtype, data)
            except Exception as error:  # a damaged file can make the library raise anything
                note = f"{path}: is damaged ({first_line(error)}): what comes before is read"
                if note not in self.notes:
                    self.notes.append(note)

    def _as_cdr(self, kind: str, data: bytes) -> bytes:
        if kind in self._converters:
            return self._converters[kind](data)
        return zstd().decompress(data) if data[:4] == _ZSTD else data

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        if path.is_file():
            self._open_ros1([path]) if path.suffix in _ROS1 else self._open_files([path])
            return
        if (path / "metadata.yaml").exists():
            fault = self._open_whole(path)
            if not fault:
                return
            files = bag_files(path)
            if not files:
                raise InputError(f"{path}: cannot be read as a rosbag2 recording ({fault})")
            self.notes.append(f"{path / 'metadata.yaml'}: is not used ({fault}): the files beside it are read")
            self._open_files(files)
        elif files := bag_files(path):
            self._open_files(_of_one_recording(files))
        else:
            self._open_ros1(_of_one_recording(ros1_files(path)))

    def _open_whole(self, folder: Path) -> str:
        """Opens a folder by its metadata.yaml; returns why that failed, "" if it did not."""
        from rosbags.rosbag2 import Reader

        if any(p.name.endswith("-wal") and p.stat().st_size for p in folder.iterdir()):
            return "a database has a journal, its recorder was killed"
        reader = Reader(folder)
        try:
            if any(map(cut_page, bag_files(folder))):
                return "the end of a database is cut off"
            reader.open()
        except Exception as error:
            return first_line(error)
        self._readers.append((folder, reader))
        return ""

    def _open_files(self, files: list[Path]) -> None:
        """Opens files one by one; an unreadable one is skipped if there are others."""
        faults = []
        for path in files:
            try:
                self._readers.append((path, self._opened(path)))
            except Exception as error:
                fault = f"{path}: cannot be read as a rosbag2 recording ({first_line(error)})"
                faults.append(f"{fault}; {_mend(error)}")
        if not self._readers:
            raise InputError(faults[0] if faults else f"{self._path}: holds no files of a bag")
        self.notes += faults

    def _opened(self, path: Path):
        from rosbags.rosbag2 import Reader

        if path.name.endswith(".zstd"):
            whole, path = unpacked(path, self._folder())
            if not whole:
                self.notes.append(f"{path.name}.zstd: is cut short: what it holds is read")
        if path.suffix == ".mcap":
            if not is_cut(path):
                return _ready(Reader(path))
            mended = MendedMcap(path)
            self.notes.append(f"{path}: was not closed by its recorder: what it holds is read")
            reader = _ready(Reader(cast(Path, mended)))  # it has the methods of a path that the reader uses
            if not mended.chunked:
                self._unsorted.add(id(reader))
            return reader
        if path.with_name(path.name + "-wal").exists():
            path = with_journal(path, self._folder())
        database = whole_pages(path, self._folder())
        if database == path:
            with contextlib.suppress(Exception):
                return _ready(Reader(database))
        salvaged, count = salvaged_database(database, self._folder())
        self.notes.append(f"{path}: is damaged: {count} messages of it are read")
        return _ready(Reader(salvaged))

    def _open_ros1(self, files: list[Path]) -> None:
        from rosbags.rosbag1 import Reader
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        store = get_typestore(Stores.ROS1_NOETIC)
        for path in files:
            reader = Reader(path)
            try:
                reader.open()
            except Exception as error:
                cause = first_line(error)
                mend = (
                    f"mend it on a ROS 1 machine by: rosbag reindex {path.name}" if "index" in cause else _mend(error)
                )
                raise InputError(f"{path}: cannot be read as a ROS 1 bag ({cause}); {mend}") from None
            self._readers.append((path, reader))
            for c in reader.connections:
                kind = _RENAMED.get(c.msgtype, c.msgtype)
                if kind not in READ or c.msgtype in self._converters:
                    continue
                if c.msgtype not in store.types:
                    store.register(get_types_from_msg(c.msgdef.data, c.msgtype))
                self._converters[c.msgtype] = _from_ros1(store, self.types, c.msgtype, kind)

    def _folder(self) -> Path:
        """A temporary folder for repaired copies, deleted together with this object."""
        self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="embodied_nav-bag-")
        return Path(self._scratch.name)


def first_line(error: Exception) -> str:
    """An error's text in one line."""
    text = str(error.args[0]) if len(error.args) == 1 else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _mend(error: Exception) -> str:
    """Advice for a file that cannot be opened."""
    if isinstance(error, PermissionError):
        return "make it readable (chmod +r)"
    if "rofile" in str(error):  # mcap's profile: which middleware the messages are of
        return "its messages are not ROS 2's: record it anew, or convert it to rosbag2"
    return "copy it anew from where it was recorded"


def _ready(reader):
    reader.open()
    return reader


def _from_ros1(store, target, kind: str, name: str) -> Callable[[bytes], bytes]:
    """Converter from ROS 1 to CDR bytes: Header has no seq in ROS 2, CameraInfo's D, K, R, P are lower case."""
    from rosbags.convert.converter import is_same_wireformat, migrate_bytes

    if is_same_wireformat(store, target, kind, name):
        return lambda data: bytes(target.ros1_to_cdr(data, name))
    cache: dict[str, object] = {}
    return lambda data: bytes(migrate_bytes(store, target, kind, name, cache, data, src_is2=False, dst_is2=True))


def _numbered(path: Path) -> tuple:
    """Sort key that orders names by the numbers in them."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name))


def _of_one_recording(files: list[Path]) -> list[Path]:
    """Checks that files are one file, or numbered parts of one recording.

    Raises:
        InputError: several recordings.
    """
    parts = [re.fullmatch(r"(.*?)(?:_\d{4}(?:-\d\d){5})?_(\d+)\.\w+(?:\.zstd|\.active)?", path.name) for path in files]
    named = [part.group(1, 2) for part in parts if part is not None]
    numbers = {number for _, number in named}
    if len(files) == 1 or (len(numbers) == len(files) and len({name for name, _ in named}) == 1):
        return files
    names = ", ".join(path.name for path in files[:5]) + ", ..." * (len(files) > 5)
    raise InputError(f"{files[0].parent}: holds several recordings ({names}); give one of these files")
