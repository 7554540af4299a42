"""Arrays that wait on disk: read like any other, with pages that the system brings as they are used. Knows no maps.

Their file has no name: its room is free again once the last of its arrays is gone, or the process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: Every array begins at a multiple of this (bytes), as kernels like it.
_ALIGNED = 64
#: All mappings that are in use.
_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def disk_folder() -> str | None:
    """Where files without a name take their room: TMPDIR, else /var/tmp, since /tmp often is memory; None: anywhere."""
    if "TMPDIR" in os.environ:
        return None
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else None


def to_disk(arrays: Sequence[np.ndarray], folder: str | Path | None = None) -> list[np.ndarray]:
    """The same arrays on disk: equal, of the same types and shapes. They must not be written to.

    Args:
        folder: where their file takes its room; default: :func:`disk_folder`.

    Raises:
        OSError: the disk does not take them.
    """
    places, end = [], 0
    for a in arrays:
        places.append(end)
        end += -(-a.nbytes // _ALIGNED) * _ALIGNED
    if not end:
        return list(arrays)
    with tempfile.TemporaryFile(prefix="embodied_nav-", dir=folder or disk_folder(), buffering=0) as file:
        for place, a in zip(places, arrays, strict=True):
            _write(file.fileno(), np.ascontiguousarray(a).reshape(-1).view(np.uint8), place)
        os.ftruncate(file.fileno(), end)
        # A private mapping makes writable arrays: for read-only ones kernels would be compiled once more.
        mapped = mmap.mmap(file.fileno(), end, access=mmap.ACCESS_COPY)
    _mappings.add(mapped)
    return [
        np.frombuffer(mapped, a.dtype, a.size, place).reshape(a.shape) if a.size else a
        for place, a in zip(places, arrays, strict=True)
    ]


def _write(file: int, data: np.ndarray, place: int) -> None:
    """Writes all of data (N uint8) at a place (bytes); what the disk does not take raises OSError."""
    view = data.data
    while len(view):
        done = os.pwrite(file, view, place)
        view, place = view[done:], place + done


def on_disk(array: np.ndarray) -> bool:
    """Whether an array is one of :func:`to_disk`."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array.base, mmap.mmap) or (
        isinstance(array.base, memoryview) and isinstance(array.base.obj, mmap.mmap)
    )


def release() -> None:
    """Lets go of all pages of such arrays that were read; they come again when they are used."""
    for mapped in list(_mappings):
        mapped.madvise(mmap.MADV_DONTNEED)
