"""Writes the objects of a memory as a JSON list. Knows nothing of how they are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from ...frames import MemoryObject
from .export import write_whole


class Objects(Protocol):
    """What is written, such as a ``SpatialMemory``."""

    @property
    def uuid(self) -> str: ...

    def objects(self, include_gone: bool = False) -> tuple[MemoryObject, ...]: ...

    def evident_objects(self) -> tuple[MemoryObject, ...]: ...


def fields(o: MemoryObject) -> dict:
    """An object as JSON has it: metres, ns, lists for arrays."""
    return {
        "id": o.id, "label": o.label, "color": o.color, "confidence": o.confidence, "voxels": o.voxels,
        "position": [float(v) for v in o.position], "extent": [float(v) for v in o.extent],
        "first_seen": o.first_seen, "last_seen": o.last_seen, "keyframe_id": o.keyframe_id, "status": o.status,
        "labels": dict(o.label_distribution), "confirmed": o.confirmed, "missed": o.missed, "moves": o.moves,
    }  # fmt: skip


def write_object_list(path: str | Path, memory: Objects, everything: bool = False) -> int:
    """Writes objects with enough evidence, those that most keyframes showed first; at once or not at all.

    Args:
        everything: all objects, those that are gone too.

    Returns:
        How many.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    chosen = memory.objects(include_gone=True) if everything else memory.evident_objects()
    listed = [{**fields(o), "map_id": memory.uuid} for o in sorted(chosen, key=lambda o: (-o.confirmed, o.id))]
    write_whole(path, (json.dumps(listed, indent=1) + "\n").encode())
    return len(listed)
