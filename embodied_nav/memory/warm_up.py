"""JIT warm-up: compiles the memory's kernels before the first real frame. Knows the memory's interface only.

Everything that a memory can do is done once here, with synthetic frames of a few pixels: a kernel that is left out
would be compiled when it is first needed, for seconds, while its caller holds the memory's lock.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..frames import Keyframe, ObjectObservation, RGBDFrame, SemanticDelta
from ..geometry import Camera
from ..rooms import warm_up as rooms_warm_up
from .config import MemoryConfig
from .objects.visibility import seen_through
from .objects.votes import move_votes
from .query.answering import Frustum, Query
from .spatial_memory import SpatialMemory, merge
from .submaps.cells import FRAME_BITS, CellTable, compact, in_order
from .voxels.packing import pack_points
from .voxels.swap_file import voxel_keys
from .voxels.voxel_features import subtract

#: A wide view is kept whole in the clouds of keyframes; one with many pixels a voxel is sorted into cells.
_CAMERA, _NARROW = Camera(32, 24, 30.0, 30.0, 15.5, 11.5), Camera(32, 24, 600.0, 600.0, 15.5, 11.5)
#: Where the synthetic frames are taken (m): so far apart that a bounded memory swaps out what it leaves behind.
_PLACES = (0.0, 0.0, 0.4, 100.0, 200.0, 300.0, 0.0)
#: Keyframes whose clouds hold cells, and whole frames alone.
_SORTED, _WHOLE = 3, 4


def warm_up(config: MemoryConfig | None = None) -> float:
    """Runs every kernel once; returns the seconds that it took: few where the compiler's cache is full.

    Args:
        config: of the memory that is to be used: only what such a one runs; default: all that there is.
    """
    start, kind = time.monotonic(), (config or MemoryConfig()).feature_type
    dims = (0, 2) if config is None else (min(config.feature_dim, 2),)
    bounded = config is None or config.max_mb > 0
    small: dict[str, Any] = {"max_voxels": 1 << 16, "feature_type": kind}
    with tempfile.TemporaryDirectory(prefix="embodied_nav-") as folder:
        for dim in dims:
            memory = _remember(MemoryConfig(feature_dim=dim, **small))
            _ask(memory)
            _correct(memory)
            _join(memory, Path(folder, f"{dim}.db"))
            if bounded:
                _swap(MemoryConfig(feature_dim=dim, max_mb=0.4, **small))
    _sort_into_cells()
    seen_through(np.zeros((1, 3)), np.zeros((24, 32), np.uint16), _CAMERA, np.eye(4), 0.1)
    rooms_warm_up.warm_up()
    return time.monotonic() - start


def _frames() -> Iterator[RGBDFrame]:
    """A wall with a thing before it, seen from several places; what was there first is seen through later."""
    color = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    for i, x in enumerate(_PLACES):
        depth = np.full((24, 32), 1.5 + 0.5 * min(i, 1), np.float32)
        depth[8:16, 10:20] = 1.0 + 0.5 * min(i, 1)
        T = np.array([[0.0, 0.0, 1.0, x], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]])
        depth.setflags(write=i % 2 == 0)  # messages come read-only
        yield RGBDFrame((i + 1) * 100_000_000, _CAMERA, T, None if i == 2 else color, depth)


def _remember(config: MemoryConfig) -> SpatialMemory:
    """A memory of those frames, each one a keyframe with an object in it."""
    memory = SpatialMemory(config)
    features = np.ones((2, 2, config.feature_dim), np.float32) if config.feature_dim else None
    segments = np.zeros((24, 32), np.uint16)
    segments[8:16, 10:20] = 1
    for i, frame in enumerate(_frames()):
        memory.integrate(frame, features)
        memory.add_keyframe(Keyframe(i, frame, 1.0, 0, "warm-up"))
        # Beside the frames that are sorted into cells the cloud of one keyframe holds whole ones alone.
        for later in range({1: 2 * FRAME_BITS, _WHOLE: 0}.get(i, 2)):
            stamp = frame.stamp + 1 + later
            memory.integrate(RGBDFrame(stamp, _NARROW, frame.T_map_camera, frame.color, frame.depth), features)
        x, y, z = frame.T_map_camera[:3, 3]
        seen = (ObjectObservation("thing", "", 1.0, np.array([x + 1.5, y, z]), np.full(3, 0.4)),)
        # Every other time perception says where the thing is, but not which pixels it has.
        given = segments if i % 2 == 0 else None
        memory.add_delta(SemanticDelta(i, i - 1, frame.stamp, "warm-up", "", seen, segments=given))
        if features is not None:
            memory.add_features(i, features)
        memory.objects()
        memory.occupancy()
    return memory


def _ask(memory: SpatialMemory) -> None:
    low, high = np.full(3, -1.0), np.full(3, 3.0)
    frustum = Frustum(_CAMERA, np.eye(4))
    memory.occupancy(memory.config.robot_height + 0.1)
    memory.occupancy()
    seen = memory.voxels((low, high))
    pack_points(seen.positions, seen.colors, seen.labels, seen.weights)
    memory.changed_blocks()
    memory.graph()
    for query in (Query("the thing"), Query(box=(low, high)), Query(frustum=frustum)):
        memory.ask(query)
    if memory.config.feature_dim:
        feature = np.ones(memory.config.feature_dim)
        memory.search(feature, 1)
        memory.search(feature, 1, (low, high), frustum)
        memory.tokens(2, around=np.zeros(3))
        memory.features(np.zeros((1, 3)))
        memory.ask(Query(feature=feature))
        some, weights = np.zeros(1, np.int64), np.ones(1, np.float32)
        subtract(
            memory.state.voxels.store,
            some,
            np.zeros(1, np.int32),
            weights,
            memory.state.voxels.store.feature_table[:1].copy(),
        )
    memory.state.voxels.store.find(np.zeros(1, np.int64))
    move_votes(memory.state.voxels.store, np.zeros(1, np.int64), 1, 2)
    memory.state.voxels.store.probe_lengths()


def _swap(config: MemoryConfig) -> None:
    """Swaps blocks out, where the bound is reached, and back in."""
    memory = _remember(config)
    for block in list(memory.state.voxels.swapper.swapped()):
        memory.state.voxels.make_resident(voxel_keys(block), memory.stamp)


def _correct(memory: SpatialMemory) -> None:
    """Moves two keyframes, whose blocks alone are made again; then all."""
    moved = {i: memory.keyframes[i].T_map_camera.copy() for i in (_SORTED, _WHOLE)}
    for T in moved.values():
        T[1, 3] += 0.2
    correction = memory.begin_correction(moved)
    frame = next(_frames())
    memory.integrate(RGBDFrame(memory.stamp + 1, _CAMERA, frame.T_map_camera, frame.color, frame.depth))
    correction.run()
    memory.apply(correction)
    memory.rebuild_from_keyframes({})


def _join(memory: SpatialMemory, path: Path) -> None:
    """To a file and back, and two maps into one."""
    memory.save(path)
    again = SpatialMemory.load(path, memory.config)
    again.objects()
    again.state.content.uuid = "another"
    merge(memory, again, np.eye(4))


def _sort_into_cells() -> None:
    """More cells than there was room for, and parts of them that a file held apart."""
    frame, table = next(_frames()), CellTable(0.025, 0.1, 5.0, 1, bits=4)
    table.add(frame.depth, frame.color, _NARROW, np.eye(4), frame.stamp)
    hits, details = compact(table.cells)
    in_order(hits[::-1].copy(), details)
