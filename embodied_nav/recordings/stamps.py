"""Units of sequences' time stamps, and correction of clocks that jump. Knows no file format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np

from ..errors import InputError
from .sequence import NUMBERED_RATE

_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
#: A stamp at least this large cannot be seconds since 1970 but is in this unit.
_SINCE_1970 = ((10**17, "ns"), (10**14, "us"), (10**11, "ms"))
#: Longest interval between frames (s): if the unit would give a longer one, a smaller unit is assumed.
_LONGEST_STEP = 5.0
#: Largest step between frame numbers.
_LARGEST_STRIDE = 10
#: Frame numbers are below this.
_LARGEST_NUMBER = 10**8
#: Margin (ns) to the limits of int64, so that differences of stamps do not overflow.
_MARGIN = 10**12
#: A clock jump: the stamp goes back, or ahead by more than this (ns), and differs this much from the time of reception.
_JUMP = 10_000_000_000


def decimal(word: str) -> Decimal:
    """The number of a stamp.

    Raises:
        ValueError: not a number, or not finite.
    """
    try:
        value = Decimal(word)
    except InvalidOperation:
        raise ValueError(word) from None
    if not value.is_finite() or abs(value) >= 10**19:
        raise ValueError(word)
    return value


def unit_of(words: Sequence[str]) -> str:
    """The unit of a file's stamps: s, ms, us, ns, or ``frames`` if they are frame numbers.

    Found from the size of stamps since 1970, or else from the step between them; whole numbers with small steps are
    frame numbers.
    """
    values = [decimal(word) for word in words]
    largest = max((abs(v) for v in values), default=Decimal(0))
    for least, unit in _SINCE_1970:
        if largest >= least:
            return unit
    steps = np.diff(np.unique(np.array([float(v) for v in values])))
    step = float(np.median(steps)) if len(steps) else 0.0
    whole = all("." not in word and "e" not in word.lower() for word in words)
    if whole and step <= _LARGEST_STRIDE and largest < _LARGEST_NUMBER:
        return "frames"
    if step <= _LONGEST_STEP:
        return "s"
    return next(unit for unit in ("ms", "us", "ns") if step * _UNITS[unit] <= _LONGEST_STEP * 1e9 or unit == "ns")


def nanoseconds(words: Sequence[str], unit: str, places: Sequence[str]) -> list[int]:
    """Stamps in ns; frame numbers are those of :func:`numbered`.

    Args:
        places: where each stands (file and line), for the error.

    Raises:
        InputError: one does not fit into 64 bits of ns (some 292 years).
    """
    values = [decimal(word) for word in words]
    if unit == "frames":
        return numbered(map(int, values))
    stamps = [int(v * _UNITS[unit]) for v in values]
    for word, stamp, place in zip(words, stamps, places, strict=True):
        if abs(stamp) >= 2**63 - _MARGIN:
            raise InputError(f"{place}: stamp {word} (in {unit}, as the others) is no time; mend or remove it")
    return stamps


def numbered(frames: Iterable[int]) -> list[int]:
    """Stamps in ns of frame numbers: 30 per second, as in 7-Scenes."""
    return [frame * _UNITS["s"] // NUMBERED_RATE for frame in frames]


def on_one_clock(stamps: np.ndarray, logged: np.ndarray) -> np.ndarray:
    """Converts stamps to the clock that most messages of a topic use, by their times of reception.

    Some drivers start with the camera's own clock and switch to the system's, or the system clock is set. Only jumps of
    stamps during continuous reception count: slow simulated time or a pause does not.

    Args:
        stamps, logged: N int64 ns each, of header and reception.

    Returns:
        N int64 ns; all stamps of another clock are shifted by the same offset.
    """
    stamps, logged = np.asarray(stamps, np.int64), np.asarray(logged, np.int64)
    order = np.argsort(logged, kind="stable")
    steps, received = np.diff(stamps[order]), np.diff(logged[order])
    jumps = (np.abs(received - steps) > _JUMP) & ((steps < 0) | (steps > _JUMP))
    if not jumps.any():
        return stamps
    part = np.concatenate([[0], np.cumsum(jumps)])
    ahead = np.concatenate([[0], np.cumsum(np.where(jumps, received - steps, 0))])
    ahead -= ahead[np.argmax(part == np.argmax(np.bincount(part)))]
    found = stamps.copy()
    found[order] += ahead
    return found


def are_told(stamps: np.ndarray) -> bool:
    """Whether stamps are set: some drivers leave them empty."""
    return len(stamps) < 2 or len(np.unique(stamps)) > 1


def offset_of(color: Sequence[int], depth: Sequence[int]) -> tuple[float, float] | None:
    """Offset of depth's stamps from those of the nearest colour images: centre and half-width of the differences' range
    (2nd to 98th percentile), ns; None if there is nothing to compare."""
    colors, depths = np.unique(np.asarray(color, np.int64)), np.unique(np.asarray(depth, np.int64))
    if not len(colors) or not len(depths):
        return None
    after = np.clip(np.searchsorted(colors, depths), 0, len(colors) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(colors[after] - depths) < np.abs(colors[before] - depths), after, before)
    low, high = np.percentile(depths - colors[nearer], (2, 98))
    return float(low + high) / 2, float(high - low) / 2
