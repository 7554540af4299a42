"""Decides which nodes share a process. Imports no ROS.

Those that process camera frames do. Control never does: it must survive when the others crash. Neither do nodes with a
large model, which need libraries and memory of their own, nor the reasoner, which processes no frames. A node with a
remapping of its own (``memory:FROM:=TO``) keeps a process too: ROS would not apply it to what all nodes share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..perception.choosing import AUTO
from ..tables import ENCODERS, PERCEPTION
from .processes import Process

#: The nodes that process camera frames or keyframes, in the order of starting.
TOGETHER = ("keyframe", "perception", "slam", "memory")


def composed(processes: Iterable[Process]) -> list[Process]:
    """The processes, with those of :data:`TOGETHER` merged into one, in the position of the first of them."""
    processes = list(processes)
    by_name = {p.name: p for p in processes if p.name in TOGETHER and _can_share(p)}
    parts = tuple(by_name[name] for name in TOGETHER if name in by_name)
    if len(parts) < 2:
        return processes
    first = next(p for p in processes if p in parts)
    one = Process(
        "composed",
        "composed",
        params_files=tuple(dict.fromkeys(file for part in parts for file in part.params_files)),
        remappings=dict(first.remappings),
        respawn=first.respawn,
        namespace=first.namespace,
        nodes=parts,
    )
    return [one if p is first else p for p in processes if p is first or p not in parts]


def _can_share(process: Process) -> bool:
    if any(rule.startswith(f"{process.name}:") for rule in process.remappings):
        return False
    return process.name != "perception" or not _is_large(process.parameters)


def _is_large(perception: Mapping[str, Any]) -> bool:
    """Whether the perception node with these parameters holds a model that wants a process of its own."""
    from ..perception.detectors.transformers_detector import is_transformers_model

    encoder = perception.get("perception.encoder", "none")
    if encoder != "none" and ENCODERS[encoder].large:
        return True
    backend, file = perception.get("backend", AUTO), perception.get("detector.file", "")
    if backend in ("detector", AUTO):
        return bool(file) and is_transformers_model(file)
    return PERCEPTION[backend].large
