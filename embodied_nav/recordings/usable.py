"""Finds the readable pairs of image files from their headers, before decoding. Knows no folder layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..errors import InputError
from .images import ImageHeader, read_header
from .losses import Losses

T = TypeVar("T")


class Usable(NamedTuple):
    """The readable frames: their keys, and width and height of the colour and of the depth images."""

    kept: list
    color: tuple[int, int]
    depth: tuple[int, int]


def usable_pairs(
    pairs: Iterable[tuple[T, Path, Path]], losses: Losses, mend: str, max_frames: int | None = None
) -> Usable:
    """Checks every file of (key, colour, depth); drops those that are not images, truncated or of an unusual size.

    Args:
        mend: advice for the user about a bad file, appended to errors. max_frames: stop after this many usable ones.

    Raises:
        InputError: too many are damaged, or all.
    """
    found: list[tuple[T, Path, Path, ImageHeader, ImageHeader]] = []
    looked = losses.number_damaged
    for key, color, depth in pairs:
        if max_frames is not None and len(found) >= max_frames:
            break
        looked += 1
        try:
            found.append((key, color, depth, read_header(color, mend), _depth_header(depth, mend)))
        except InputError as error:
            missing = not (color.exists() and depth.exists())
            losses.damaged("missing images" if missing else "damaged images", str(error))
    sizes = [_most(entry[3].size for entry in found), _most(entry[4].size for entry in found)]
    kept = []
    for key, color, depth, *headers in found:
        odd = [i for i in (0, 1) if headers[i].size != sizes[i]]
        if odd:
            header, size, path = headers[odd[0]], sizes[odd[0]], (color, depth)[odd[0]]
            kind = ("color", "depth")[odd[0]]
            text = f"{path}: {header.width}x{header.height}, most {kind} images are {size[0]}x{size[1]}; {mend}"
            losses.damaged("images of another size", text)
        else:
            kept.append(key)
    losses.check(looked)
    return Usable(kept, *sizes)


def _depth_header(path: Path, mend: str) -> ImageHeader:
    header = read_header(path, mend)
    if (header.bits, header.channels) != (16, 1):
        found = f"{header.channels} of {header.bits}"
        raise InputError(f"{path}: expected depth of one channel of 16 bits, found {found}; {mend}")
    return header


def _most(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    counted = Counter(sizes).most_common(1)
    return counted[0][0] if counted else (0, 0)
