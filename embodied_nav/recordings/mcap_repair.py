"""Completes an mcap file whose recorder did not write the end, without changing the file. Knows no messages.

The complete records are followed by a generated summary according to the format: schemas, channels, chunk index and
statistics (https://mcap.dev/spec).
"""

from __future__ import annotations

import io
import struct
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _CHUNK_INDEX, _STATISTICS, _DATA_END = 2, 3, 4, 5, 6, 8, 11, 15
_LAST_OPCODE, _PRIVATE = 0x0F, 0x80
#: Record header: opcode and length.
_HEAD = struct.Struct("<BQ")


def zstd():
    """Python's Zstandard module; before Python 3.14 the one that rosbags depends on."""
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        from backports import zstd as module
    return module


def is_cut(path: Path) -> bool:
    """Whether an mcap file lacks its end.

    Raises:
        InputError: not an mcap file.
    """
    with path.open("rb") as file:
        if file.read(8) != _MAGIC:
            raise InputError("is no mcap file" if file.tell() else "is empty")
        size = file.seek(0, io.SEEK_END)
        file.seek(max(8, size - 8))
        return file.read() != _MAGIC


@dataclass
class _Contents:
    """Contents of a file's complete records: ``end`` of the last one; schemas and channels as raw records."""

    end: int
    schemas: dict[bytes, bytes] = field(default_factory=dict)
    channels: dict[bytes, bytes] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    times: list[int] = field(default_factory=list)

    def note(self, opcode: int, body: bytes) -> int | None:
        """Adds a record; returns the channel id if it is a message."""
        if opcode == _SCHEMA:
            self.schemas[body[:2]] = body
        elif opcode == _CHANNEL:
            self.channels[body[:2]] = body
        elif opcode == _MESSAGE:
            channel, _, time = struct.unpack_from("<HIQ", body)
            self.counts[channel] += 1
            self.times = [min([time, *self.times]), max([time, *self.times])]
            return channel
        return None


class MendedMcap:
    """An mcap file without its end, presented as a path whose file has one.

    Attributes:
        chunked: whether messages are in chunks, which rosbags sorts by time.
    """

    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        self._path = path
        contents = _contents(path)
        self.chunked = bool(contents.chunks)
        self._end, self._tail = contents.end, _tail(contents)

    def exists(self) -> bool:
        """As pathlib has it."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """As pathlib has it."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """The completed file, for reading."""
        return io.BufferedReader(_Followed(self._path, self._end, self._tail))

    def __str__(self) -> str:
        return str(self._path)


class _Followed(io.RawIOBase):
    """A read-only stream: the first ``length`` bytes of a file, then ``tail``."""

    def __init__(self, path: Path, length: int, tail: bytes) -> None:
        self._file, self._length, self._tail, self._at = path.open("rb"), length, tail, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length + len(self._tail)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer) -> int:
        if self._at < self._length:
            self._file.seek(self._at)
            data = self._file.read(min(len(buffer), self._length - self._at))
        else:
            begin = self._at - self._length
            data = self._tail[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _contents(path: Path) -> _Contents:
    """Reads records until one is truncated or a chunk cannot be decompressed."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        found = _Contents(len(_MAGIC))
        while found.end + _HEAD.size <= size:
            file.seek(found.end)
            opcode, length = _HEAD.unpack(file.read(_HEAD.size))
            known = 0 < opcode <= _LAST_OPCODE or opcode >= _PRIVATE
            if not known or opcode in (_FOOTER, _DATA_END) or found.end + _HEAD.size + length > size:
                break
            if opcode == _CHUNK:
                try:
                    _note_chunk(found, found.end, file.read(length))
                except Exception:  # damaged bytes can make the compression library raise anything
                    break
            elif opcode in (_SCHEMA, _CHANNEL, _MESSAGE):
                found.note(opcode, file.read(length))
            found.end += _HEAD.size + length
        return found


def _note_chunk(found: _Contents, at: int, body: bytes) -> None:
    first, last, size, _, named = struct.unpack_from("<QQQII", body)
    compression = body[32 : 32 + named]
    (packed,) = struct.unpack_from("<Q", body, 32 + named)
    data = _unpacked(compression, body[40 + named : 40 + named + packed])
    counts: Counter = Counter()
    inside = 0
    while inside + _HEAD.size <= len(data):
        opcode, length = _HEAD.unpack_from(data, inside)
        inside += _HEAD.size
        channel = found.note(opcode, data[inside : inside + length])
        if channel is not None:
            counts[channel] += 1
        inside += length
    # Readers do not use the message index itself, only each channel's message count, from the offsets' differences.
    after, offsets = at + _HEAD.size + len(body), []
    places = after
    for channel, count in counts.items():
        offsets.append(struct.pack("<HQ", channel, places))
        places += 15 + 16 * count
    index = struct.pack("<QQQQ", first, last, at, _HEAD.size + len(body))
    index += struct.pack("<I", 10 * len(offsets)) + b"".join(offsets) + struct.pack("<Q", places - after)
    found.chunks.append(index + struct.pack("<I", named) + compression + struct.pack("<QQ", packed, size))


def _unpacked(compression: bytes, data: bytes) -> bytes:
    if compression == b"zstd":
        return zstd().decompress(data)
    if compression == b"lz4":
        from lz4.frame import decompress

        return decompress(data)
    return data


def _tail(found: _Contents) -> bytes:
    """The end of the data, the summary, and the footer."""
    end = _record(_DATA_END, struct.pack("<I", 0))
    parts = [_record(_SCHEMA, body) for body in found.schemas.values()]
    parts += [_record(_CHANNEL, body) for body in found.channels.values()]
    parts += [_record(_CHUNK_INDEX, body) for body in found.chunks]
    counts = b"".join(struct.pack("<HQ", channel, n) for channel, n in found.counts.items())
    first, last = found.times or (0, 0)
    numbers = (found.counts.total(), len(found.schemas), len(found.channels), 0, 0, len(found.chunks), first, last)
    parts.append(_record(_STATISTICS, struct.pack("<QHIIIIQQ", *numbers) + struct.pack("<I", len(counts)) + counts))
    return end + b"".join(parts) + _record(_FOOTER, struct.pack("<QQI", found.end + len(end), 0, 0)) + _MAGIC


def _record(opcode: int, body: bytes) -> bytes:
    return _HEAD.pack(opcode, len(body)) + body
