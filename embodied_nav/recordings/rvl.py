"""Decodes RVL, the run-length code of 16-bit depth images (A. Wilson, 2017). Knows no messages.

A number is a sequence of nibbles with three bits each, lowest first; the fourth bit is set if more follow. Eight
nibbles form a 32-bit word, highest first. The code repeats: count of zeros, count of values, then each value's
difference d to the last one, stored as 2 d for d >= 0 and -2 d - 1 below.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: The largest difference has 17 bits and takes six nibbles; more than ten cannot be a pixel count.
_NIBBLES = 10


def decode(data: bytes | np.ndarray, width: int, height: int) -> np.ndarray:
    """HxW uint16.

    Raises:
        ValueError: the code ends too early, or has more pixels than the image.
    """
    data = np.frombuffer(data, np.uint8)
    words = data[: data.size // 4 * 4].view("<u4").astype(np.uint32)
    out = np.zeros(width * height, np.uint16)
    if not _decode(words, out):
        raise ValueError(f"{data.size} bytes are no RVL of {width}x{height}")
    return out.reshape(height, width)


@njit(cache=True, nogil=True)
def _number(words, at):
    """The number at nibble ``at`` and the position of the next one; -1 if there is none."""
    value, bits = 0, 0
    for _ in range(_NIBBLES):
        if at >= 8 * words.size:
            return -1, at
        nibble = (np.int64(words[at >> 3]) >> (28 - 4 * (at & 7))) & 15
        at += 1
        value |= (nibble & 7) << bits
        bits += 3
        if nibble < 8:
            return value, at
    return -1, at


@njit(cache=True, nogil=True)
def _decode(words, out):
    """Decodes ``words`` into ``out``; returns whether all of ``out`` was filled."""
    n, at, last = 0, 0, 0
    while n < out.size:
        zeros, at = _number(words, at)
        if zeros < 0 or zeros > out.size - n:
            return False
        n += zeros
        values, at = _number(words, at)
        if values < 0 or values > out.size - n or (zeros == 0 and values == 0):
            return False
        for i in range(values):
            code, at = _number(words, at)
            if code < 0:
                return False
            last = (last + ((code >> 1) ^ -(code & 1))) & 0xFFFF
            out[n + i] = last
        n += values
    return True


def warm_up() -> None:
    """JIT warm-up of the kernels of :func:`decode`."""
    decode(b"\0\0\0\x10", 1, 1)  # one zero, no values
