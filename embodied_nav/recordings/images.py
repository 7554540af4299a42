"""Reads PNG and JPEG files, and tells from their first bytes what is in them. Knows nothing of sequences."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
#: What stands near a whole file's end: PNG's last chunk, JPEG's end marker (padding may follow it).
_ENDS = {_PNG: b"IEND", _JPEG: b"\xff\xd9"}
_TAIL = 256
#: PNG's colour types -> channels.
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself: size in px, bits a channel, channels."""

    width: int
    height: int
    bits: int
    channels: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def read_header(path: Path, mend: str) -> ImageHeader:
    """The header of a file that begins and ends as PNG and JPEG files do: neither something else nor cut short.

    Args:
        mend: what the user can do about a bad one, for the error's end.

    Raises:
        InputError: it cannot be read, is no image, or is cut short.
    """
    try:
        with path.open("rb") as file:
            return _checked(file, mend)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; {mend}") from None


def header_of(data: bytes) -> ImageHeader:
    """The header of an image in memory.

    Raises:
        ValueError: it is no image, or is cut short; the text says which.
    """
    return _checked(io.BytesIO(data), "")


def _checked(file: BinaryIO, mend: str) -> ImageHeader:
    start = file.read(8)
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    for magic, end in _ENDS.items():
        if start.startswith(magic):
            if end not in tail:
                raise ValueError("is cut short")
            file.seek(0)
            try:
                return _png(file) if magic == _PNG else _jpeg(file)
            except struct.error:
                raise ValueError("is cut short") from None
    raise ValueError("is no PNG or JPEG image" if start else "is empty")


def _png(file: BinaryIO) -> ImageHeader:
    width, height, bits, kind = struct.unpack_from(">IIBB", file.read(26), 16)
    return ImageHeader(width, height, bits, _CHANNELS.get(kind, 0))


def _jpeg(file: BinaryIO) -> ImageHeader:
    file.seek(2)
    while True:
        mark, kind = struct.unpack(">BB", file.read(2))
        while kind == 0xFF:  # padding
            (kind,) = struct.unpack(">B", file.read(1))
        (length,) = struct.unpack(">H", file.read(2))
        if mark != 0xFF:
            raise ValueError("is no JPEG image")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a start of frame
            bits, height, width, channels = struct.unpack(">BHHB", file.read(6))
            return ImageHeader(width, height, bits, channels)
        file.seek(length - 2, io.SEEK_CUR)


def read_color(path: Path, mend: str) -> np.ndarray:
    """HxWx3 uint8 RGB.

    Raises:
        InputError: it cannot be read or decoded.
    """
    import cv2

    image = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, mend)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def read_depth(path: Path, mend: str) -> np.ndarray:
    """HxW uint16, in the file's unit.

    Raises:
        InputError: it cannot be read or decoded, or holds something else.
    """
    import cv2

    image = _decode(path, cv2.IMREAD_UNCHANGED, mend)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise InputError(f"{path}: expected one channel of 16 bits, found {image.dtype} {image.shape}; {mend}")
    return image


def check_headers(files: list[tuple[Path, Path]], mend: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Looks at every file of (colour, depth) pairs before any is decoded: a bad one in the middle is found now.

    Returns:
        Width and height of the colour images and of the depth images.

    Raises:
        InputError: a file that is no image or is cut short, another size than the first's, depth not of 16 bits.
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
        sizes.append(first.size)
    return sizes[0], sizes[1]


def _decode(path: Path, flags: int, mend: str) -> np.ndarray:
    import cv2

    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise InputError(f"{path}: cannot be decoded; {mend}")
    return image
