"""Compiles the memory's kernels before the first frame comes. Knows the memory's interface only."""

from __future__ import annotations

import time

import numpy as np

from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from ..geometry import Camera
from .config import MemoryConfig
from .query import Frustum
from .spatial_memory import SpatialMemory


def warm_up() -> float:
    """Runs every kernel once on a tiny frame; returns the seconds it took (0.1 where the compiler's cache is full)."""
    start = time.monotonic()
    camera = Camera(32, 24, 60.0, 60.0, 15.5, 11.5)
    memory = SpatialMemory(MemoryConfig(max_voxels=1 << 16))
    color, near = np.zeros((24, 32, 3), np.uint8), np.full((24, 32), 1.0, np.float32)
    frames = [RGBDFrame(i + 1, camera, np.eye(4), color, near * (i + 1)) for i in range(2)]
    for i, frame in enumerate(frames):
        memory.integrate(frame)
        memory.add_keyframe(Keyframe(i, frame, 1.0, 0, "first"))
        seen = (ObjectObservation("thing", "", 1.0, np.zeros(3), np.ones(3)),)
        memory.add_delta(SemanticDelta(i, i - 1, i + 1, "warm-up", "", seen, segments=np.ones((24, 32), np.uint16)))
        memory.objects()
    for kind in ("bf16", "f32"):
        rich = SpatialMemory(MemoryConfig(max_voxels=1 << 16, feature_dim=2, feature_type=kind))
        rich.integrate(frames[0], np.ones((2, 2, 2), np.float32))
        rich.search(np.ones(2), 1)
        rich.search(np.ones(2), 1, (np.zeros(3), np.ones(3)), Frustum(camera, np.eye(4)))
    bounded = SpatialMemory(MemoryConfig(max_voxels=1 << 16, max_megabytes=0.08))
    for stamp, x in enumerate((0.0, 100.0, 200.0, 300.0, 0.0)):  # to the disk and back
        T = np.eye(4)
        T[0, 3] = x
        bounded.integrate(RGBDFrame(stamp + 1, camera, T, color, near))
    memory.occupancy()
    memory.rebuild_from_keyframes({})
    return time.monotonic() - start
