"""What a map can be asked: objects, voxels, rooms, tokens, answers. Changes nothing but its own caches.

Knows a map's state, not where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...frames import MemoryObject, OccupancyGrid
from ...rooms import RoomMap, Rooms, room_names
from ..objects.evidence import evidence, is_evident
from ..records import ChangedBlocks, VoxelView
from ..submaps.covisibility import KeyframeGraph
from ..submaps.map_state import MapState
from ..voxels.keys import BLOCK_SIDE, block_corners, pack_array
from ..voxels.packing import columns
from ..voxels.voxel_features import decode
from .answering import Answer, Frustum, Knowledge, Query, ask
from .retrieval import Found, SearchIndex, keyframes_showing, rows_in_box, rows_in_view, search
from .tokens import Tokens, select_tokens

Box = tuple[np.ndarray, np.ndarray]


class Questions:
    """What ``SpatialMemory`` is asked; its methods of the same names say what the arguments mean.

    Attributes:
        text_encoder: text -> (feature_dim,) embedding in the features' space, for questions whose words name nothing
            here; or None. It is asked often: it should keep what it has made.
        meaning: text, N labels -> N cosines of their meanings, for descriptions that name nothing; or None.
    """

    def __init__(self, state: MapState) -> None:
        self._state = state
        self.text_encoder: Callable[[str], np.ndarray] | None = None
        self.meaning: Callable[[str, Sequence[str]], np.ndarray] | None = None
        # Its copies of the features are memory too: a bounded memory does without.
        self._search_index = SearchIndex() if state.voxels.swapper is None else None
        self._generation = -1
        self._forget()

    def _forget(self) -> None:
        """Drops cached results of a map that was exchanged since."""
        if self._generation != self._state.generation:
            self._generation = self._state.generation
            self._room_map = RoomMap()
            self._graph = KeyframeGraph(self._state.config.voxel_size)

    def objects(self, include_gone: bool = False) -> tuple[MemoryObject, ...]:
        """Objects by id; computed anew only where labels or voxels changed."""
        present = self._state.refresh_objects()
        return self._state.objects.all() if include_gone else present

    def evident_objects(self) -> tuple[MemoryObject, ...]:
        """Present objects with enough evidence over viewpoints, by id."""
        poses = {i: k.T_map_camera for i, k in self._state.content.keyframes.items()}
        index = self._state.objects
        return tuple(o for o in self.objects() if is_evident(o, evidence(index.sightings_of(o.id), poses)))

    def occupancy(self, robot_height: float | None = None, min_height: float | None = None) -> OccupancyGrid:
        """The map from above; other heights than before cost a pass over all voxels once."""
        c, voxels = self._state.config, self._state.voxels
        low = c.min_height if min_height is None else min_height
        high = c.robot_height if robot_height is None else robot_height
        if (low, high) != (voxels.grid.low, voxels.grid.high):
            voxels.grid.set_band(low, high)
            voxels.recount_obstacles()
        return voxels.grid.grid(self._state.content.stamp)

    def rooms(self, max_age: float = 0.0, grid: OccupancyGrid | None = None) -> Rooms:
        """Rooms of the map from above; made anew only after something came in, and where they are older (s)."""
        self._forget()
        if grid is None:
            grid = self._state.voxels.grid.grid(self._state.content.stamp)
        return self._room_map.update(grid, self.objects(), max_age, self._state.voxels.store.clock)

    def room_names(self) -> dict[int, str]:
        """Room id -> kind, of rooms of which that is likely enough."""
        return room_names(self.rooms(), self.objects())

    def graph(self) -> KeyframeGraph:
        """The keyframe graph as of now; it is the same object next time, brought up to date."""
        self._forget()
        self._graph.update(self._state.content.keyframes, self._state.local_clouds())
        return self._graph

    # ---- voxels ----

    def voxels(self, box: Box | None = None) -> VoxelView:
        """All voxels, or those with their centroid within (low, high), m."""
        rows = self._rows(box)
        return self._view(self._all_rows() if rows is None else rows)

    def changed_blocks(self, since_token: int = 0) -> ChangedBlocks:
        """Blocks that got, lost or changed voxels since a token; 0, or a token from before a clear, asks for all."""
        store, size = self._state.voxels.store, self._state.config.voxel_size
        a, token = store.arrays, store.clock
        if since_token > token or since_token < self._state.voxels.restarted_at:
            since_token = 0
        blocks = np.flatnonzero(a.block_clock[: store.blocks] > since_token)
        rows = a.slot_rows[blocks]
        return ChangedBlocks(
            token, block_corners(a.block_keys[blocks], size), a.block_live[blocks].astype(np.int64), BLOCK_SIDE * size,
            self._view(rows[rows > 0].astype(np.int64) - 1),
        )  # fmt: skip

    def search(self, feature: np.ndarray, k: int, box: Box | None, frustum: Frustum | None) -> Found:
        """The k voxels whose features are most like one, best first, with the keyframes to look at."""
        state, size = self._state, self._state.config.voxel_size
        rows, scores = search(state.voxels.store, feature, k, self._search_index, self._rows(box, frustum))
        positions = columns(state.voxels.store, rows, size)[0]
        shown = keyframes_showing(positions, state.content.clouds, 1.5 * state.config.max_depth)
        return Found(positions, scores, shown)

    def tokens(
        self, k: int, frustum: Frustum | None, around: np.ndarray | None, radius: float, code_dim: int
    ) -> Tokens:
        """The k most useful voxels with features as input of a model; see :func:`tokens.select_tokens`."""
        store, size = self._state.voxels.store, self._state.config.voxel_size
        box = None if around is None else (np.asarray(around) - radius, np.asarray(around) + radius)
        rows = self._rows(box, frustum)
        rows = self._all_rows() if rows is None else rows
        if around is not None:
            positions = columns(store, rows, size)[0]
            rows = rows[np.linalg.norm(positions - np.asarray(around), axis=1) <= radius]
        return select_tokens(store, rows, k, size, code_dim)

    def features(self, positions: np.ndarray) -> np.ndarray:
        """N x feature_dim float32, the features of the voxels that N x 3 positions (m) lie in; zeros where none is."""
        store, c = self._state.voxels.store, self._state.config
        if not c.feature_dim:
            return np.zeros((len(positions), 0), np.float32)
        rows = store.find(pack_array(np.floor(np.asarray(positions, np.float64) / c.voxel_size)))
        found = decode(store.feature_table[np.maximum(rows, 0)])
        found[rows < 0] = 0
        return found

    def _all_rows(self) -> np.ndarray:
        return np.flatnonzero(self._state.voxels.store.rows["key"] >= 0)

    def _rows(self, box: Box | None = None, frustum: Frustum | None = None) -> np.ndarray | None:
        """Rows in a box and in view, ascending; None for all."""
        store, size = self._state.voxels.store, self._state.config.voxel_size
        rows = None if box is None else rows_in_box(store, *box, size)
        if frustum is not None:
            seen = np.sort(rows_in_view(store, frustum, size))
            rows = seen if rows is None else np.intersect1d(rows, seen, assume_unique=True)
        return rows

    def _view(self, rows: np.ndarray) -> VoxelView:
        values = columns(self._state.voxels.store, rows, self._state.config.voxel_size)
        positions, colors, weights, labels, last_seen = values
        return VoxelView(positions, colors, weights, labels, last_seen, tuple(self._state.content.classes.names))

    # ---- objects ----

    def ask(self, query: Query) -> list[Answer]:
        """Answers with score, pose, age and the keyframe to look at, best first."""
        wants_feature = query.feature is not None and np.size(query.feature) > 0
        if wants_feature and not self._state.config.feature_dim:
            raise InputError("this memory holds no features; ask by text or box")
        return ask(query, self.knowledge(wants_feature or self.text_encoder is not None))

    def knowledge(self, features: bool) -> Knowledge:
        """What questions are answered from, at this moment; with the objects' features if asked for."""
        objects, content = self.objects(include_gone=True), self._state.content
        if features and self._state.config.feature_dim:
            objects = tuple(replace(o, feature=self.object_feature(o.id)) for o in objects)
        grid = self._state.voxels.grid.grid(content.stamp)
        rooms = self.rooms(grid=grid)
        encoder = self.text_encoder if features and self._state.config.feature_dim else None
        return Knowledge(
            objects, content.keyframes, content.stamp, self._state.objects.keyframes_of, grid, rooms,
            room_names(rooms, self.objects()), encoder, meaning=self.meaning, events=tuple(content.events.values()),
        )  # fmt: skip

    def object_feature(self, object_id: int) -> np.ndarray | None:
        """(feature_dim,) float32 of unit length, the mean of an object's voxels' features; None where it has none."""
        store = self._state.voxels.store
        rows = np.flatnonzero(store.arrays.owner[: len(store.rows)] == object_id)
        rows = rows[store.feature_weights[rows] > 0] if store.feature_dim else rows[:0]
        if not len(rows):
            return None
        mean = decode(store.feature_table[rows]).mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)
