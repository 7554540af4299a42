"""Reads text files of recordings with any line ends, byte order marks and number formats of any C library.

Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import numpy as np

from ..errors import InputError

#: How Microsoft's C library writes non-finite numbers: -1.#INF, 1.#QNAN, -1.#IND00, -nan(ind).
_MICROSOFT = re.compile(r"[+-]?\d?\.?#?(?:(?P<inf>inf)|q?s?nan|ind)(?:\(\w*\))?\d*", re.IGNORECASE)
#: A comment; does not match the # of -1.#INF.
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text(path: Path) -> str:
    """A file's text, without its byte order mark.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in data:
        raise InputError(f"{path}: is no text file")
    try:
        # Bytes that are not UTF-8 are in file names; surrogateescape restores them on opening.
        return data.decode(encoding, "surrogateescape")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text file") from None


def lines_of(path: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines with content besides comments (# to the line's end).

    Raises:
        InputError: it cannot be read, or is no text.
    """
    found = ((n, _COMMENT.sub("", line).strip()) for n, line in enumerate(read_text(path).splitlines(), 1))
    return [(n, line) for n, line in found if line]


def number(word: str) -> float:
    """A number as any C library writes it, including NaN and infinities.

    Raises:
        ValueError: not a number.
    """
    try:
        return float(word)
    except ValueError:
        found = _MICROSOFT.fullmatch(word)
        if found is None:
            raise
        return float("-inf" if word.startswith("-") else "inf") if found["inf"] else float("nan")


def read_matrix(path: Path, shapes: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Reads rows of numbers, separated by blanks, tabs, commas or semicolons.

    Args:
        shapes: allowed shapes; all values of a shape in a single line are accepted, too.

    Returns:
        A float64 array of one of the shapes.

    Raises:
        InputError: it cannot be read, or has other content.
    """
    rows = []
    wanted = " or ".join(f"{height}x{width}" for height, width in shapes)
    for line, text in lines_of(path):
        try:
            rows.append([number(word) for word in re.split(r"[\s,;\[\]]+", text) if word])
        except ValueError:
            raise InputError(f"{path}:{line}: '{text[:40]}' is not all numbers, expected {wanted} of them") from None
    flat = [value for row in rows for value in row]
    for height, width in shapes:
        if len(flat) == height * width and (len(rows) in (1, height) or len(rows) == height * width):
            return np.array(flat).reshape(height, width)
    held = f"{len(rows)}x{len(rows[0])}" if rows and len({len(row) for row in rows}) == 1 else f"{len(flat)}"
    raise InputError(f"{path}: holds {held} numbers, expected {wanted}")
