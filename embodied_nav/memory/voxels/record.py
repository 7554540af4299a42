"""One voxel as a record: as a row of the store and as files hold it, and the one place that turns one into the other.

Knows nothing of where rows lie and how files are written.
"""

from __future__ import annotations

import numpy as np

from .keys import slots_of_keys

#: One voxel of a store, one cache line. ``x, y, z``: mean of its points less its lower corner, m. ``r, g, b``: mean
#: colour. ``weight``: points. ``evidence``: sightings, capped, less what saw through it. Two label classes with their
#: votes and the sum of all votes: with two counters (Misra and Gries, 1982) a class with over a third of the votes is
#: kept.
ROW = np.dtype(
    {
        "names": ["key", "last_seen", "x", "y", "z", "r", "g", "b", "weight", "evidence",
                  "class_a", "class_b", "votes_a", "votes_b", "votes"],
        "formats": ["<i8", "<i8", "<f4", "<f4", "<f4", "<f4", "<f4", "<f4", "<f4", "<f4",
                    "<i2", "<i2", "<f4", "<f4", "<f4"],
        "offsets": [0, 8, 16, 20, 24, 28, 32, 36, 40, 44, 48, 50, 52, 56, 60],
        "itemsize": 64,
    }
)  # fmt: skip

#: One voxel of a file, without its key: ``slot``: place in the block, (x * 8 + y) * 8 + z; ``p``: centroid less the
#: voxel's lower corner, m; ``object``: id or 0; the rest as in ROW.
VOXEL = np.dtype(
    [
        ("slot", "<u2"), ("p", "<f4", 3), ("rgb", "<f4", 3), ("weight", "<f4"), ("evidence", "<f4"),
        ("class_a", "<i2"), ("class_b", "<i2"), ("votes_a", "<f4"), ("votes_b", "<f4"), ("votes", "<f4"),
        ("last_seen", "<i8"), ("object", "<i4"),
    ]
)  # fmt: skip

#: Fields of the same name and meaning in both.
_SHARED = ("last_seen", "weight", "evidence", "class_a", "class_b", "votes_a", "votes_b", "votes")


def voxels_of_rows(rows: np.ndarray, owners: np.ndarray | int) -> np.ndarray:
    """(N,) VOXEL of N rows (ROW) that belong to the objects ``owners`` (N ids, or one for all)."""
    out = np.empty(len(rows), VOXEL)
    out["slot"], out["object"] = slots_of_keys(rows["key"]), owners
    for k, (axis, color) in enumerate(zip("xyz", "rgb", strict=True)):
        out["p"][:, k], out["rgb"][:, k] = rows[axis], rows[color]
    for name in _SHARED:
        out[name] = rows[name]
    return out


def fill_rows(rows: np.ndarray, voxels: np.ndarray, at: np.ndarray | slice = slice(None)) -> None:
    """Writes all fields of voxels (N VOXEL) but key and owner into the rows (ROW) numbered ``at``, in place."""
    for k, (axis, color) in enumerate(zip("xyz", "rgb", strict=True)):
        rows[axis][at], rows[color][at] = voxels["p"][:, k], voxels["rgb"][:, k]
    for name in _SHARED:
        rows[name][at] = voxels[name]


def winning_classes(records: np.ndarray) -> np.ndarray:
    """(N,) int16 classes with most votes of N rows or voxels, 0 for none."""
    return np.where(records["votes_a"] >= records["votes_b"], records["class_a"], records["class_b"])
