"""What a memory tells: objects, voxels, rooms, answers, tokens. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..frames import MemoryObject, OccupancyGrid
from .features import decode
from .graph import KeyframeGraph
from .keys import block_corners, pack_array
from .packing import columns
from .query import Answer, Frustum, Knowledge, Query, ask
from .records import ChangedBlocks, VoxelView
from .retrieval import Found, keyframes_showing, rows_in_box, rows_in_view, search
from .rooms import Rooms, segment_rooms
from .store import CLOCK
from .tokens import Tokens, select_tokens


class Asking:
    """The questions of :class:`~.spatial_memory.SpatialMemory`."""

    def objects(self, include_gone: bool = False) -> tuple[MemoryObject, ...]:
        """Objects by id; computed anew only where labels or voxels changed."""
        present = self.object_index.refresh(self.store, self.classes, self.stamp)
        if not include_gone:
            return present
        return tuple(sorted(self.object_index.known.values(), key=lambda o: o.id))

    def occupancy(self, robot_height: float | None = None, min_height: float | None = None) -> OccupancyGrid:
        """The map from above: -1 unknown, 0 free, 100 occupied between min_height and robot_height over the floor.

        Heights other than those of the configuration cost a pass over all voxels once, as long as they stay the same.
        """
        low = self.config.min_height if min_height is None else min_height
        high = self.config.robot_height if robot_height is None else robot_height
        if (low, high) != (self.grid.low, self.grid.high):
            self.grid.set_band(low, high)
            self.recount_obstacles()
        return self.grid.grid(self.stamp)

    def voxels(self, box: tuple[np.ndarray, np.ndarray] | None = None) -> VoxelView:
        """All voxels, or those with their centroid within (low, high), m."""
        rows = self._rows(box)
        return self._view(np.flatnonzero(self.store.rows["key"] >= 0) if rows is None else rows)

    def search(
        self,
        feature: np.ndarray,
        k: int = 50,
        box: tuple[np.ndarray, np.ndarray] | None = None,
        frustum: Frustum | None = None,
    ) -> Found:
        """The k voxels whose features are most like one, best first, with the keyframes to look at.

        Args:
            feature: (feature_dim,). box: (low, high), m; frustum: with their middle in view; all voxels by default.

        Raises:
            InputError: this memory holds no features, or the feature does not fit, is not finite or zero.
        """
        rows, scores = search(self.store, feature, k, self._search_index, self._rows(box, frustum))
        positions = columns(self.store, rows, self.config.voxel_size)[0]
        return Found(positions, scores, keyframes_showing(positions, self.clouds, 1.5 * self.config.max_depth))

    def tokens(
        self,
        k: int,
        frustum: Frustum | None = None,
        around: np.ndarray | None = None,
        radius: float = 5.0,
        code_dim: int = 96,
    ) -> Tokens:
        """The k most useful voxels with features as input of a model; see :func:`tokens.select_tokens`.

        Args:
            frustum: those with their middle in view; or around: (3,) m, those within ``radius``; all by default.
            code_dim: components of the position codes, a multiple of 6.

        Raises:
            InputError: this memory holds no features, or code_dim is no multiple of 6.
        """
        box = None if around is None else (np.asarray(around) - radius, np.asarray(around) + radius)
        rows = self._rows(box, frustum)
        if rows is None:
            rows = np.flatnonzero(self.store.rows["key"] >= 0)
        if around is not None:
            positions = columns(self.store, rows, self.config.voxel_size)[0]
            rows = rows[np.linalg.norm(positions - np.asarray(around), axis=1) <= radius]
        return select_tokens(self.store, rows, k, self.config.voxel_size, code_dim)

    def _rows(
        self, box: tuple[np.ndarray, np.ndarray] | None = None, frustum: Frustum | None = None
    ) -> np.ndarray | None:
        """Rows in a box and in view, ascending; None for all."""
        rows = None if box is None else rows_in_box(self.store, *box, self.config.voxel_size)
        if frustum is not None:
            seen = np.sort(rows_in_view(self.store, frustum, self.config.voxel_size))
            rows = seen if rows is None else np.intersect1d(rows, seen, assume_unique=True)
        return rows

    def features(self, positions: np.ndarray) -> np.ndarray:
        """N x feature_dim float32, the features of the voxels that N x 3 positions (m) lie in; zeros where none is."""
        if not self.config.feature_dim:
            return np.zeros((len(positions), 0), np.float32)
        rows = self.store.find(pack_array(np.floor(np.asarray(positions, np.float64) / self.config.voxel_size)))
        found = decode(self.store.feature_table[np.maximum(rows, 0)])
        found[rows < 0] = 0
        return found

    def changed_blocks(self, since_token: int = 0) -> ChangedBlocks:
        """Blocks that got, lost or changed voxels since a token; 0, or a token from before a clear, asks for all."""
        a, n = self.store.arrays, self.store.blocks
        token = int(a.counts[CLOCK])
        if since_token > token or since_token < self._restarted_at:
            since_token = 0
        blocks = np.flatnonzero(a.block_clock[:n] > since_token)
        pages = a.pages[blocks]
        rows = pages[pages > 0].astype(np.int64) - 1
        size = self.config.voxel_size
        return ChangedBlocks(
            token, block_corners(a.block_keys[blocks], size), a.block_live[blocks].astype(np.int64), 8 * size,
            self._view(rows),
        )  # fmt: skip

    def query(
        self,
        text: str = "",
        box: tuple[np.ndarray, np.ndarray] | None = None,
        feature: np.ndarray | None = None,
        max_results: int = 10,
        near: np.ndarray | None = None,
    ) -> list[tuple[MemoryObject, float]]:
        """Objects that fit with their scores (0 to 1), best first; see :meth:`ask` for more.

        Args:
            text: label, colour, or both, with relations; "" for anything. box: (low, high), m. near: (3,) m, nearer
                ones first.

        Raises:
            InputError: a feature is given to a memory that holds none; or a box that is none.
        """
        asked = Query(text=text, box=box, feature=feature, near=near, max_results=max_results)
        return [(a.object, a.score) for a in self.ask(asked)]

    def ask(self, query: Query, room_names: Mapping[int, str] | None = None) -> list[Answer]:
        """Answers with score, pose, age and the keyframe to look at, best first.

        Args:
            room_names: what the rooms of :meth:`rooms` are called, for "in the kitchen".

        Raises:
            InputError: a feature is given to a memory that holds none; a box that is none; a sentence that names too
                little.
        """
        wants_feature = query.feature is not None and np.size(query.feature) > 0
        if wants_feature and not self.config.feature_dim:
            raise InputError("this memory holds no features; ask by text or box")
        return ask(query, self.knowledge(room_names, wants_feature or self.text_encoder is not None))

    def knowledge(self, room_names: Mapping[int, str] | None = None, features: bool = False) -> Knowledge:
        """What questions are answered from, at this moment; with the objects' features if asked for."""
        objects = self.objects(include_gone=True)
        if features and self.config.feature_dim:
            objects = tuple(replace(o, feature=self.object_feature(o.id)) for o in objects)
        return Knowledge(
            objects, self.keyframes, self.stamp, self.object_index.keyframes_of, self.grid.grid(self.stamp),
            self.rooms(),
            room_names or {}, self.text_encoder,
        )  # fmt: skip

    def object_feature(self, object_id: int) -> np.ndarray | None:
        """(feature_dim,) float32 of unit length, the mean of an object's voxels' features; None where it has none."""
        n = len(self.store.rows)
        rows = np.flatnonzero(self.store.arrays.owner[:n] == object_id)
        rows = rows[self.store.feature_weights[rows] > 0] if self.config.feature_dim else rows[:0]
        if not len(rows):
            return None
        mean = decode(self.store.feature_table[rows]).mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def graph(self) -> KeyframeGraph:
        """The keyframe graph as of now; it is the same object next time, brought up to date."""
        self._graph.update(self.keyframes, self.local_clouds())
        return self._graph

    def rooms(self) -> Rooms:
        """Rooms of the map from above; made anew only after something came in."""
        if self._rooms is None or self._rooms[0] != self.store.arrays.counts[CLOCK]:
            previous = None if self._rooms is None else self._rooms[1]
            rooms = segment_rooms(self.grid.grid(self.stamp), previous, self.objects())
            self._rooms = (int(self.store.arrays.counts[CLOCK]), rooms)
        return self._rooms[1]
