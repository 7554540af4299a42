"""Images of a bag: headers without pixels, selection of usable ones, decoding of pixels. Knows no poses."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from .compressed import decode_color, decode_depth, header_of_color, header_of_depth
from .pixels import COLOR, DEPTH, UnreadableError, color_pixels, depth_pixels
from .topics import RAW


@dataclass(frozen=True)
class Entry:
    """An image of the bag: its stamp and recording time (ns), size, frame, encoding or format; ``fault``: why it
    cannot be used, else ""; ``header``: the original stamp, if ``stamp`` was corrected."""

    stamp: int
    logged: int
    size: tuple[int, int]
    frame: str
    encoding: str
    fault: str = ""
    header: int = 0


def read_entry(data: bytes, kind: str, depth: bool, logged: int) -> Entry:
    """An image's header from a serialized message (CDR); the pixels are only checked for completeness."""
    try:
        return _entry(data, kind, depth, logged)
    except (struct.error, IndexError):
        return Entry(logged, logged, (0, 0), "", "", f"a message of {len(data)} bytes is cut short")


def _entry(data: bytes, kind: str, depth: bool, logged: int) -> Entry:
    order = "<" if data[1] else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
    frame, at = _string(data, 12, order)
    stamp = seconds * 1_000_000_000 + nanoseconds
    if kind == RAW:
        return _raw_entry(data, at, order, stamp, logged, frame)
    format, at = _string(data, at, order)
    at += -at % 4
    pixels = data[at + 4 :]
    try:
        if depth:
            header = header_of_depth(pixels, format)
            if "compressedDepth rvl" in format:
                decode_depth(pixels, format)  # only decoding shows whether it is complete
        else:
            header = header_of_color(pixels)
    except UnreadableError as error:
        return Entry(stamp, logged, (0, 0), frame, format, str(error))
    return Entry(stamp, logged, header.size, frame, format)


def _raw_entry(data: bytes, at: int, order: str, stamp: int, logged: int, frame: str) -> Entry:
    at += -at % 4
    height, width = struct.unpack_from(order + "II", data, at)
    encoding, at = _string(data, at + 8, order)
    at += 1 + (-(at + 1) % 4)
    step, length = struct.unpack_from(order + "II", data, at)
    whole = len(data) - at - 8 >= length >= step * height > 0 and width > 0
    fault = "" if whole else f"{length} bytes are no {width}x{height} {encoding}"
    return Entry(stamp, logged, (width, height), frame, encoding, fault)


def _string(data: bytes, at: int, order: str) -> tuple[str, int]:
    """A CDR string and its end offset; ``at`` is aligned to 4 bytes after the 4-byte encapsulation header."""
    at += -at % 4
    (length,) = struct.unpack_from(order + "I", data, at)
    return data[at + 4 : at + 3 + length].decode("utf-8", "replace"), at + 4 + length


def told_apart(entries: list[Entry], raw: bool, depth: bool, where: str) -> tuple[list[Entry], list[Entry]]:
    """The usable images; and, with their faults, those that are unreadable or differ from most in size or encoding.

    Args:
        raw: they are Image messages. where: recording and topic, for errors.

    Raises:
        InputError: none is usable, or most have an unsupported encoding.
    """
    kinds = Counter((e.size, e.encoding) for e in entries if not e.fault)
    if not kinds:
        raise InputError(f"{where}: no image can be used; the first: {entries[0].fault}")
    (size, encoding), _ = kinds.most_common(1)[0]
    known = DEPTH if depth else COLOR
    if raw and encoding not in known:
        what = "depth" if depth else "color"
        raise InputError(f"{where} is '{encoding}', which is not read; {what} is read from {', '.join(known)}")
    usual = f"{size[0]}x{size[1]} {encoding}"
    good, bad = [], []
    for entry in entries:
        if entry.fault:
            bad.append(entry)
        elif (entry.size, entry.encoding) != (size, encoding):
            bad.append(replace(entry, fault=f"{entry.size[0]}x{entry.size[1]} {entry.encoding} after {usual}"))
        else:
            good.append(entry)
    return good, bad


def read_pixels(message, raw: bool, depth: bool) -> np.ndarray:
    """HxWx3 uint8 RGB, or HxW depth: uint16 mm (0 invalid) or float32 m (NaN invalid).

    Args:
        message: Image (``raw``) or CompressedImage.

    Raises:
        UnreadableError: it cannot be read.
    """
    if raw:
        return (depth_pixels if depth else color_pixels)(message)
    decode: Callable[[bytes, str], np.ndarray] = decode_depth if depth else decode_color
    return decode(message.data.tobytes(), message.format)
