"""Voxels with what follows from them at once: the grid from above, carving, and blocks on disk where memory is bounded.

Knows nothing of keyframes, labels and objects; a callback reports which label classes came back from disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ...frames import RGBDFrame
from ..config import MemoryConfig
from .carving import carver
from .column_grid import ColumnGrid, Passing, voxel_points
from .eviction import Swapper, restore
from .fusion import FrameHasher, sighting_weights, upsert
from .keys import blocks_of_keys
from .store import REFUSED, VoxelStore
from .swap_file import voxel_keys
from .voxel_features import FeatureHits, fuse_frame, touch

_NONE = np.zeros(0, np.int64)


class Fused(NamedTuple):
    """What fusing one frame did: valid points, voxels made, voxels refused (store full), and the features it gave."""

    points: int
    new: int
    refused: int
    features: FeatureHits | None


class VoxelMap:
    """The global voxels under one set of settings.

    Args:
        roots: what class numbers (N int16) have become, for voxels that were on disk meanwhile.
        swapped: called with the classes (N int64, from 1) whose voxels came back, after blocks left or came back.

    Attributes:
        store, grid: the voxels, the map from above. swapper: puts on disk what exceeds the bound; None without a bound.
        restarted_at: the store's clock when all voxels were last made anew.
    """

    def __init__(
        self,
        config: MemoryConfig,
        roots: Callable[[np.ndarray], np.ndarray],
        swapped: Callable[[np.ndarray], None],
    ) -> None:
        self._config = c = config
        bound = int(c.max_mb * 1e6)
        self.store = VoxelStore(
            c.max_voxels, feature_dim=c.feature_dim, feature_type=c.feature_type, max_bytes=bound
        )  # fmt: skip
        self.swapper = Swapper(self.store, c.voxel_size, c.max_depth, roots) if bound else None
        self.grid = ColumnGrid(
            c.voxel_size, c.floor_height, c.min_height, c.robot_height, c.floor_band, c.clear_radius, c.max_depth,
            Passing(c.standing_after, c.passed_after),
        )  # fmt: skip
        self.restarted_at = 0
        self._swapped = swapped
        self._hasher, self._carver = FrameHasher(), carver(c)

    def __len__(self) -> int:
        return len(self.store) + self.on_disk

    @property
    def on_disk(self) -> int:
        """How many voxels are on disk."""
        return 0 if self.swapper is None else self.swapper.voxels

    def takes(self, nbytes: int) -> bool:
        """Whether all is in memory, and so many more bytes fit into its bound."""
        return not self.on_disk and self.store.takes(nbytes)

    def clear(self) -> None:
        """Forgets everything."""
        self.store.clear()
        self.restarted_at = 0
        if self.swapper is not None:
            self.swapper.clear()
            self._swapped(_NONE)
        self.grid.reset()

    # ---- frames ----

    def fuse(self, frame: RGBDFrame, T: np.ndarray, features: np.ndarray | None) -> Fused:
        """Adds a frame's pixels; without carving.

        Args:
            frame: with depth. T: 4x4, map from optical frame. features: (h, w, D) float32 over the whole image.
        """
        c, position = self._config, T[:3, 3]
        voxels = self._hasher(
            frame.depth, frame.color, frame.camera, T, c.voxel_size, c.min_depth, c.max_depth, c.stride
        )
        sightings = sighting_weights(voxels, position, c.voxel_size, c.near_range, c.full_points / c.stride**2)
        if self.swapper is not None:
            self._swapped(self.swapper.prepare(voxels.keys, position, int(frame.stamp)))
        refused = int(self.store.arrays.counts[REFUSED])
        done = upsert(self.store, voxels, sightings, np.array([frame.stamp], np.int64), c.max_evidence, c.min_evidence)
        given = None
        if features is not None:
            given = fuse_frame(
                self.store, voxels, done.rows, sightings, features, frame.camera, T, c.voxel_size, c.feature_pooling
            )
        stamp = int(frame.stamp)
        self.grid.apply(done.raised, 1, stamp)
        self.grid.observe(voxel_points(voxels.keys, voxels.sums, c.voxel_size), position, stamp=stamp)
        return Fused(voxels.points, int(done.new), int(self.store.arrays.counts[REFUSED]) - refused, given)

    def give_features(self, frame: RGBDFrame, T: np.ndarray, features: np.ndarray) -> FeatureHits:
        """Gives features to those of a frame's voxels that are there now; changes nothing else of them.

        Args:
            As for :meth:`fuse`.

        Returns:
            What was given, points in map.
        """
        c, position = self._config, T[:3, 3]
        voxels = self._hasher(
            frame.depth, None, frame.camera, T, c.voxel_size, c.min_depth, c.max_depth, c.stride
        )  # fmt: skip
        sightings = sighting_weights(voxels, position, c.voxel_size, c.near_range, c.full_points / c.stride**2)
        if self.swapper is not None:
            self._swapped(self.swapper.bring(voxels.keys, position, int(frame.stamp)))
        rows = self.store.find(voxels.keys)
        given = fuse_frame(
            self.store, voxels, rows, sightings, features, frame.camera, T, c.voxel_size, c.feature_pooling
        )
        touch(self.store, rows)
        return given

    def carve(
        self, frame: RGBDFrame, T: np.ndarray, frames: int = 1, rows: np.ndarray | None = None
    ) -> tuple[int, np.ndarray]:
        """Removes what a frame sees through: how many voxels, and the classes (from 1) that lost some.

        Args:
            frames: how many it counts for. rows: only in the blocks that hold these voxels.
        """  # fmt: skip
        store, blocks = self.store, None
        if rows is not None:
            mine = np.unique(blocks_of_keys(store.rows["key"][rows]))
            blocks = np.flatnonzero(np.isin(store.arrays.block_keys[: store.blocks], mine)).astype(np.int32)
        size, stamp = self._config.voxel_size, int(frame.stamp)
        carved = self._carver(store, frame.depth, frame.camera, T, stamp, size, frames, blocks=blocks)
        self.grid.apply(carved.lowered, -1)
        return carved.removed, carved.classes

    # ---- blocks on disk, and whole maps ----

    def make_resident(self, keys: np.ndarray, stamp: int) -> None:
        """Brings the blocks of voxels (N int64 keys) back from disk; ``stamp``: ns, now."""
        if self.swapper is not None:
            self._swapped(self.swapper.bring(keys, None, stamp))

    def restore(
        self,
        keys: np.ndarray,
        voxels: np.ndarray,
        features: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Takes N new voxels as a file holds them (see :meth:`VoxelStore.insert`); those beyond the bound go to disk.

        Raises:
            ValueError: a voxel is there already, or there is no room.
            InputError: the disk does not take them.
        """
        if self.swapper is None:
            self.store.insert(keys, voxels, features, weights)
        else:
            restore(self.swapper, keys, voxels, features, weights)
            self._swapped(_NONE)

    def refill(
        self, keys: np.ndarray, voxels: np.ndarray, features: np.ndarray | None, weights: np.ndarray | None
    ) -> None:
        """A bounded map takes all of its voxels anew; what memory and disk do not take is left out, see the swapper's
        ``problem``."""
        clock = self.store.clock
        self.store.clear()
        self.swapper.clear()
        self.store.advance_clock(clock)
        self.restarted_at = self.store.clock
        try:
            self.restore(keys, voxels, features, weights)
        except InputError as error:  # half of the map is there and stays usable; the local clouds still hold the rest
            self.swapper.problem = str(error)

    def exchange_grid(self, grid: ColumnGrid) -> None:
        """Takes another grid's free space; heights stay, obstacles are counted anew."""
        old, self.grid = self.grid, grid
        self.grid.set_band(old.low, old.high)
        self.recount_obstacles()
        self.grid.take_times(old)

    def recount_obstacles(self) -> None:
        """Counts the obstacles of the grid anew, in memory and on disk."""
        self.grid.reset_obstacles()
        rows, least = self.store.rows, np.float32(self._config.min_evidence)
        confirmed = (rows["key"] >= 0) & (rows["evidence"] >= least)
        self.grid.apply(np.ascontiguousarray(rows["key"][confirmed]), 1)
        for block in self.swapper.swapped() if self.swapper is not None else ():
            self.grid.apply(voxel_keys(block)[block.voxels["evidence"] >= least], 1)
