"""Remembers frames as fast as they come and writes them into a file: for a process that a test kills."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

import numpy as np

from embodied_nav.frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.writer import MemoryWriter


def remember_without_end(path: Path, views: list[RGBDFrame], rate: float, out: TextIO) -> None:
    """Goes on in the file, or begins it, with ``rate`` frames a second.

    Says "ready", then for each frame that is in the memory how many there are and when (s, monotonic).
    """
    memory = SpatialMemory.load(path) if path.exists() else SpatialMemory()
    MemoryWriter(memory, path)
    print("ready", file=out, flush=True)
    first = memory.frames
    for n in range(first, first + 100_000):
        seen = views[n % len(views)]
        frame = RGBDFrame(1 + n * 100_000_000, seen.camera, seen.T_map_camera, seen.color, seen.depth)
        memory.integrate(frame)
        if n % 5 == 0:
            _remember(memory, (n - first) // 5, frame, seen.instance_ids)
        print(n + 1, time.monotonic(), file=out, flush=True)
        time.sleep(1 / rate)


def _remember(memory: SpatialMemory, number: int, frame: RGBDFrame, ids: np.ndarray) -> None:
    memory.add_keyframe(Keyframe(number, frame, 0.5, 9, "overlap"))
    memory.add_look(max(memory.keyframes), descriptors=np.full((50, 32), number % 256, np.uint8))
    table = ObjectObservation("table", "yellow", 0.9, np.array([1.7, 3.4, 0.7]), np.ones(3))
    delta = SemanticDelta(number, number - 1, frame.stamp, "test", "", (table,), segments=(ids == 1).astype(np.uint16))
    memory.add_delta(delta)
