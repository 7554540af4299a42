"""What a page shows out of messages: clouds, markers, diagnostics, transforms. Knows no node and no page.

Markers carry what typed topics do not: objects that are gone, the floors of rooms, SLAM's graph.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from ...frames import MemoryObject
from ...view import Health, Lines, RoomFloor
from . import living
from .conversions import cloud_arrays, matrix_from_transform, xyz

_GONE = re.compile(r"^(?P<name>.*) #(?P<id>\d+) \(gone\)$", re.DOTALL)
_LEVELS = {DiagnosticStatus.OK: 0, DiagnosticStatus.WARN: 1, DiagnosticStatus.ERROR: 2, DiagnosticStatus.STALE: 3}


def voxels_of(message: PointCloud2) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) float32 positions (m) and (N, 3) uint8 colours of the memory's voxels."""
    points = cloud_arrays(message)
    positions = np.column_stack([points["x"], points["y"], points["z"]]).astype(np.float32)
    packed = np.ascontiguousarray(points["rgb"]).view(np.uint32)
    colors = np.column_stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255]).astype(np.uint8)
    return positions, colors


def gone_objects(message: MarkerArray) -> list[MemoryObject]:
    """The objects that the memory's markers call gone: id, name (as its label), place and size."""
    boxes = {m.id: m for m in message.markers if m.ns == "boxes"}
    out = []
    for marker in message.markers:
        match = _GONE.match(marker.text) if marker.ns == "names" else None
        if match is None or marker.id not in boxes:
            continue
        box = boxes[marker.id]
        size = np.array([box.scale.x, box.scale.y, box.scale.z])
        where = xyz(box.pose.position)
        out.append(MemoryObject(marker.id, match["name"], "", where, size, 1.0, 0, 0, 0, -1, status="gone"))
    return out


def floors_of(message: MarkerArray) -> list[RoomFloor]:
    """The rooms that the memory's markers show."""
    floors = {m.id: m for m in message.markers if m.ns == "floors" and m.type == Marker.CUBE_LIST}
    out = []
    for name in (m for m in message.markers if m.ns == "rooms"):
        floor, place = floors.get(name.id), xyz(name.pose.position)
        tiles = np.zeros((0, 2)) if floor is None else np.array([(p.x, p.y) for p in floor.points]).reshape(-1, 2)
        c = name.color if floor is None else floor.color
        color = (round(255 * c.r), round(255 * c.g), round(255 * c.b))
        size = 0.1 if floor is None else float(floor.scale.x)
        out.append(RoomFloor(name.text, (float(place[0]), float(place[1])), color, tiles, size))
    return out


def lines_of(message: MarkerArray) -> list[Lines]:
    """The line lists among markers."""
    out = []
    for marker in (m for m in message.markers if m.type == Marker.LINE_LIST):
        points = np.array([(p.x, p.y, p.z) for p in marker.points]).reshape(-1, 2, 3)
        c = marker.color
        out.append(Lines(points, (round(255 * c.r), round(255 * c.g), round(255 * c.b))))
    return out


def transform_between(message: TFMessage, parent: str, child: str) -> np.ndarray | None:
    """4x4, parent from child, of the newest such transform in a message; None where there is none."""
    found = [t for t in message.transforms if t.header.frame_id == parent and t.child_frame_id == child]
    T = matrix_from_transform(found[-1].transform) if found else None
    return T if T is not None and np.isfinite(T).all() else None


class NodesHealth:
    """What nodes say of themselves on /diagnostics, and which went silent.

    Args:
        silent: s after which a node that was heard counts as silent.
    """

    def __init__(self, silent: float = 5.0) -> None:
        self._silent = silent
        self._heard: dict[str, tuple[float, DiagnosticStatus]] = {}
        self._cpu: dict[str, tuple[float, float]] = {}

    def hear(self, status: DiagnosticStatus) -> None:
        """Takes one status."""
        self._heard[status.name] = (time.monotonic(), status)

    def parts(self) -> list[Health]:
        """The state of every node that was ever heard."""
        now, shares, out = time.monotonic(), self._shares(), []
        for name, (at, status) in sorted(self._heard.items()):
            age = now - at
            if age > self._silent:
                out.append(Health(name, 3, f"silent for {age:.0f} s"))
                continue
            values = {pair.key: pair.value for pair in status.values}
            level = _LEVELS.get(status.level, 2)
            out.append(Health(name, level, status.message, _latency(values), shares.get(values.get(living.FACT, ""))))
        return out

    def _shares(self) -> dict[str, float]:
        """Share of a core since the last call, of every process on this machine that a node named."""
        names = {v.value for _, status in self._heard.values() for v in status.values if v.key == living.FACT}
        shares, now = {}, time.monotonic()
        for name in names:
            seconds = _cpu_seconds(name)
            if seconds is None:
                continue
            at, before = self._cpu.get(name, (now, seconds))
            if now - at > 0.1:
                shares[name] = max(0.0, seconds - before) / (now - at)
            self._cpu[name] = (now, seconds)
        for name in [n for n in self._cpu if n not in names]:
            del self._cpu[name]
        return shares


def _latency(values: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for key, value in values.items():
        stage, _, quantile = key.rpartition(" ")
        if quantile == "p50" and value.endswith(" ms"):
            found[stage] = float(value[:-3])
    return found


def _cpu_seconds(process: str) -> float | None:
    """CPU time of a process that ``living.this_process`` named; None where it is not on this machine or has ended."""
    number, _, rest = process.partition(" ")
    if not number.isdigit() or rest.partition(" ")[2] != socket.gethostname():
        return None
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
