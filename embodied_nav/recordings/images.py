"""Reads PNG, JPEG and TIFF images and their headers, and checks that they are complete. Knows nothing of sequences."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from .frame import UnusableFrame

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*")
#: JPEG markers: start of scan, end of image.
_SCAN, _END = 0xDA, b"\xff\xd9"
#: The end marker is searched in this many last bytes (drivers pad files), then in the whole file.
_TAIL = 256
#: PNG's colour types -> channels.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


@dataclass(frozen=True)
class ImageHeader:
    """Header of an image file: size in px, bits per channel, channels."""

    width: int
    height: int
    bits: int
    channels: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def read_header(path: Path, mend: str) -> ImageHeader:
    """The header of a PNG or JPEG file, checked to be complete.

    Args:
        mend: advice for the user about a bad file, appended to the error.

    Raises:
        InputError: it cannot be read, is not an image, or is truncated.
    """
    try:
        with path.open("rb") as file:
            return _checked(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; {mend}") from None


def header_of(data: bytes) -> ImageHeader:
    """The header of an image in memory, checked to be complete; bytes after its end are ignored.

    Raises:
        ValueError: not an image, truncated or damaged; the text says which.
    """
    if data[:4] in _TIFF:
        return _tiff(data)
    header = _start(io.BytesIO(data))
    if data[: len(_PNG)] == _PNG:
        _check_chunks(data)
    elif data.find(_END, _first_scan(data)) < 0:
        raise ValueError("is cut short")
    return header


def _checked(file: BinaryIO) -> ImageHeader:
    """The header; for the usual files only their end is checked."""
    header, size = _start(file), file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    if b"IEND" in tail or _END in tail:
        return header
    file.seek(0)
    return header_of(file.read())


def _start(file: BinaryIO) -> ImageHeader:
    start = file.read(8)
    file.seek(0)
    try:
        if start == _PNG:
            return _png(file)
        if start.startswith(_JPEG):
            return _jpeg(file)
    except struct.error:
        raise ValueError("is cut short") from None
    raise ValueError("is no PNG or JPEG image" if start else "is empty")


def _png(file: BinaryIO) -> ImageHeader:
    width, height, bits, kind = struct.unpack_from(">IIBB", file.read(26), 16)
    return ImageHeader(width, height, bits, _CHANNELS.get(kind, 0))


def _check_chunks(data: bytes) -> None:
    """Raises ValueError unless a PNG is complete and its checksums are right."""
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise ValueError("is cut short")
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            raise ValueError("is cut short")
        if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError("is damaged (a check sum is wrong)")
        at = end + 4


def _jpeg(file: BinaryIO) -> ImageHeader:
    for kind, length in _segments(file):
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # start of frame
            bits, height, width, channels = struct.unpack(">BHHB", file.read(6))
            return ImageHeader(width, height, bits, channels)
        if kind == _SCAN:
            break
        file.seek(length - 2, io.SEEK_CUR)
    raise ValueError("is no JPEG image")


def _first_scan(data: bytes) -> int:
    """Offset of a JPEG's pixels: a thumbnail in the header has an end marker of its own."""
    file = io.BytesIO(data)
    for kind, length in _segments(file):
        if kind == _SCAN:
            return file.tell()
        file.seek(length - 2, io.SEEK_CUR)
    return len(data)


def _segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker and length of each JPEG segment; the file position is after both."""
    file.seek(2)
    while True:
        try:
            mark, kind = struct.unpack(">BB", file.read(2))
            while kind == 0xFF:  # padding
                (kind,) = struct.unpack(">B", file.read(1))
            (length,) = struct.unpack(">H", file.read(2))
        except struct.error:
            raise ValueError("is cut short") from None
        if mark != 0xFF or length < 2:
            raise ValueError("is no JPEG image")
        yield kind, length


def _tiff(data: bytes) -> ImageHeader:
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            bits = {"I;16": 16, "I;16B": 16, "F": 32, "I": 32}.get(image.mode, 8)
            return ImageHeader(*image.size, bits, len(image.getbands()))
    except Exception:  # a broken file can make the library raise anything
        raise ValueError("is no TIFF image that can be read") from None


def read_color(path: Path, mend: str) -> np.ndarray:
    """HxWx3 uint8 RGB.

    Raises:
        InputError: it cannot be read. UnusableFrame: it cannot be decoded.
    """
    import cv2

    image = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, mend)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def read_depth(path: Path, mend: str) -> np.ndarray:
    """HxW uint16, in the file's unit.

    Raises:
        InputError: it cannot be read. UnusableFrame: it cannot be decoded, or is of another type.
    """
    import cv2

    image = _decode(path, cv2.IMREAD_UNCHANGED, mend)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise UnusableFrame(f"{path}: expected one channel of 16 bits, found {image.dtype} {image.shape}; {mend}")
    return image


def check_headers(files: list[tuple[Path, Path]], mend: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Checks the header of every file of (colour, depth) pairs before any is decoded, to find bad ones at once.

    Returns:
        Width and height of the colour images and of the depth images.

    Raises:
        InputError: a file is not an image or truncated, its size differs from the first's, or depth is not 16 bit.
    """
    sizes = []
    for kind, name in ((0, "color"), (1, "depth")):
        first = None
        for pair in files:
            header = read_header(pair[kind], mend)
            first = first or header
            if name == "depth" and (header.bits, header.channels) != (16, 1):
                found = f"{header.channels} of {header.bits}"
                raise InputError(f"{pair[kind]}: expected one channel of 16 bits, found {found}; {mend}")
            if header.size != first.size:
                found, size = (f"{h.width}x{h.height}" for h in (header, first))
                raise InputError(f"{pair[kind]}: {found}, the first {name} is {size}; {mend}")
        if first is not None:
            sizes.append(first.size)
    return sizes[0], sizes[1]


def _decode(path: Path, flags: int, mend: str) -> np.ndarray:
    import cv2

    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        image = cv2.imdecode(data, flags) if len(data) else None
    except cv2.error:
        image = None
    if image is None:
        raise UnusableFrame(f"{path}: cannot be decoded; {mend}")
    return image
