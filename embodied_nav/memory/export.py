"""Voxels as a binary PLY file. Knows nothing of how they are stored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from .records import VoxelView
    from .spatial_memory import SpatialMemory

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "<i4"),
     ("weight", "<f4")]
)  # fmt: skip
_PLY_TYPES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def write_ply(path: str | Path, memory: SpatialMemory | VoxelView) -> int:
    """Writes voxels as points: x y z (m, map), red green blue, label (class number, 0 none), weight; returns how many.

    The classes' names stand in the header's comments. The file appears complete or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    voxels = memory.voxels() if hasattr(memory, "voxels") else memory
    out = np.empty(len(voxels), _VERTEX)
    for k in range(3):
        out["xyz"[k]] = voxels.positions[:, k]
        out[("red", "green", "blue")[k]] = voxels.colors[:, k]
    out["label"], out["weight"] = voxels.labels, voxels.weights
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(_header(voxels) + out.tobytes())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give a writable place with room") from None
    return len(out)


def _header(voxels: VoxelView) -> bytes:
    names = [f"comment label {i} {' '.join(f'{c} {n}'.split())}" for i, (n, c) in enumerate(voxels.class_names) if i]
    lines = ["ply", "format binary_little_endian 1.0", "comment embodied_nav voxels, metres, map frame", *names]
    lines += [f"element vertex {len(voxels)}"]
    lines += [f"property {_PLY_TYPES[_VERTEX[n].str]} {n}" for n in _VERTEX.names]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii", "replace")
