"""A voxel map cut into chunks of which only the changed ones are handed on. Knows nothing of how they are shown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: Blocks along the edge of a chunk: a change re-sends one chunk; a building has some hundred of them.
_BLOCKS = 8
#: Numbers of a block along an axis lie within this of 0.
_OFFSET = 1 << 20


class ChunkedCloud:
    """Points with colours, by block of space.

    Args:
        block_side: m; :meth:`update` replaces the points of whole blocks.
        most: points that are kept; where there are more, every chunk is thinned evenly when handed on.
    """

    def __init__(self, block_side: float, most: int) -> None:
        self._side, self._most = block_side, most
        self._chunks: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._changed: dict[int, None] = {}
        self._thin = 1
        self._up, self._highest = np.array([0.0, 0.0, 1.0]), np.inf

    def __len__(self) -> int:
        return sum(len(points) for _, points, _ in self._chunks.values())

    @property
    def waiting(self) -> int:
        """Chunks that changed and were not handed on yet."""
        return len(self._changed)

    def box(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper corner (3,) of nearly all that is in it, m; None while it is empty. Strays do not count."""
        if not self._chunks:
            return None
        some = np.concatenate([points[::20] for _, points, _ in self._chunks.values()])
        low, high = np.percentile(some, [1, 99], axis=0)
        return low, high

    def update(self, positions: np.ndarray, colors: np.ndarray) -> None:
        """Replaces the points of every block that one of the given ones lies in.

        Args:
            positions: (N, 3) m. colors: (N, 3) uint8.
        """
        blocks = self._blocks(positions)
        for chunk, (keys, points, paint) in self._sorted_out(blocks, positions, colors):
            if chunk in self._chunks:
                old_keys, old_points, old_paint = self._chunks[chunk]
                stays = ~np.isin(old_keys, np.unique(keys))
                keys = np.concatenate([old_keys[stays], keys])
                points = np.concatenate([old_points[stays], points])
                paint = np.concatenate([old_paint[stays], paint])
            self._put(chunk, (keys, points, paint))
        self._bound()

    def replace(self, positions: np.ndarray, colors: np.ndarray) -> None:
        """Takes a whole map; chunks that are as before do not count as changed."""
        found = dict(self._sorted_out(self._blocks(positions), positions, colors))
        for chunk in [c for c in self._chunks if c not in found]:
            del self._chunks[chunk]
            self._changed[chunk] = None
        for chunk, content in found.items():
            self._put(chunk, content)
        self._bound()

    def all_changed(self) -> None:
        """Has everything handed on again."""
        self._changed = dict.fromkeys([*self._changed, *self._chunks])

    def cut(self, up: np.ndarray, highest: float) -> None:
        """Leaves out from now on what is higher than so many m along a direction (3,), such as the ceiling."""
        if highest != self._highest or not np.array_equal(up, self._up):
            self._up, self._highest = np.array(up, np.float64), highest
            self.all_changed()

    def changes(self, most_bytes: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Changed chunks, longest waiting first, until so many bytes are reached; the rest is for the next call.

        Yields:
            Number of the chunk; its middle (3,) m; (N, 3) float32 positions about it, m; (N, 3) uint8 colours. N is 0
            where the chunk is empty now.
        """
        sent = 0
        for chunk in list(self._changed):
            if sent >= most_bytes:
                return
            del self._changed[chunk]
            middle = self._middle(chunk)
            if chunk in self._chunks:
                _, points, paint = self._chunks[chunk]
                points, paint = points[:: self._thin], paint[:: self._thin]
                low = points @ self._up <= self._highest
                points, paint = points[low], paint[low]
            else:
                points, paint = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
            sent += 9 * len(points)
            yield chunk, middle, (points - middle).astype(np.float32), paint

    def _put(self, chunk: int, content: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        old = self._chunks.get(chunk)
        if old is None or not all(np.array_equal(a, b) for a, b in zip(old[1:], content[1:], strict=True)):
            self._chunks[chunk] = content
            self._changed[chunk] = None

    def _bound(self) -> None:
        """Thins what is handed on, where there is too much; a changed share makes everything be sent again."""
        thin = max(1, -(-len(self) // self._most))
        if thin != self._thin:
            self._thin = thin
            self.all_changed()

    def _blocks(self, positions: np.ndarray) -> np.ndarray:
        """(N, 3) int64 numbers of the blocks of N positions."""
        return np.floor(np.asarray(positions, np.float64) / self._side).astype(np.int64)

    def _sorted_out(self, blocks, positions, colors):
        """(chunk, (block keys, positions, colours)) of all points, chunk by chunk."""
        if not len(blocks):
            return
        keys, chunks = _packed(blocks), _packed(np.floor_divide(blocks, _BLOCKS))
        order = np.argsort(chunks, kind="stable")
        names, starts = np.unique(chunks[order], return_index=True)
        for name, part in zip(names.tolist(), np.split(order, starts[1:]), strict=True):
            yield name, (keys[part], np.asarray(positions, np.float32)[part], np.asarray(colors, np.uint8)[part])

    def _middle(self, chunk: int) -> np.ndarray:
        """(3,) m, the middle of a chunk."""
        numbers = np.array([(chunk >> shift) & (2 * _OFFSET - 1) for shift in (42, 21, 0)]) - _OFFSET
        return (numbers + 0.5) * self._side * _BLOCKS


def _packed(numbers: np.ndarray) -> np.ndarray:
    """One int64 of three numbers of a block or chunk each."""
    n = np.clip(numbers, -_OFFSET, _OFFSET - 1) + _OFFSET
    return n[:, 0] << 42 | n[:, 1] << 21 | n[:, 2]
