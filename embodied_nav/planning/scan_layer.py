"""Occupancy from laser scans: beam ends are obstacles, cells along the beams are free. Knows nothing of cameras.

A camera on a mast is blind near the robot and behind it; a scanner sees all around, in one plane. The layer keeps
log-odds (Moravec and Elfes 1985) of the scanned cells and is merged into a grid made from depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config, param
from ..frames import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from .scan_evidence import measures


@dataclass(frozen=True)
class ScanLayerConfig(Config):
    """Settings of the scan layer."""

    range: float = param(6.0, "farthest range that is used", unit="m", low=0.5, high=50.0)
    hit: float = param(0.9, "evidence of a hit", low=0.05, high=5.0)
    crossed: float = param(0.4, "evidence against an obstacle of a ray that crosses a cell", low=0.01, high=5.0)
    most: float = param(3.0, "evidence that a cell gathers at most, either way", low=0.1, high=20.0)


class ScanLayer:
    """Log-odds per cell; the area grows with the scans.

    Args:
        resolution: m per cell; cells are aligned with a grid whose origin is a multiple of it.
    """

    def __init__(self, resolution: float, config: ScanLayerConfig | None = None) -> None:
        self.config = config or ScanLayerConfig()
        self.resolution = resolution
        self._evidence = np.zeros((0, 0), np.float32)
        self._corner = np.zeros(2, np.int64)  # (row, column) of evidence[0, 0], counted from map (0, 0)

    def add(self, ranges: np.ndarray, angles: np.ndarray, T_map_laser: np.ndarray) -> None:
        """Adds one scan; silent beams are not free space if the scanner measures nothing at all.

        Args:
            ranges: N, m; inf: nothing within range; NaN: no measurement.
            angles: N, rad in the laser's frame.
            T_map_laser: 4x4.
        """
        ranges = given = np.asarray(ranges, dtype=np.float64)
        good = ranges > 0.0  # NaN is not
        ranges, angles = ranges[good], np.asarray(angles, dtype=np.float64)[good]
        if not len(ranges) or not measures(given):
            return
        reach = np.minimum(ranges, self.config.range)
        along = np.arange(0.0, reach.max() + self.resolution, 0.5 * self.resolution)
        crossed = along[None, :] < (reach - self.resolution)[:, None]
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ T_map_laser[:2, :2].T
        rays, steps = np.nonzero(crossed)
        origin = T_map_laser[:2, 3]
        free = np.unique(self._cells(origin + directions[rays] * along[steps, None]), axis=0)
        hits = ranges <= self.config.range
        occupied = np.unique(self._cells(origin + directions[hits] * ranges[hits, None]), axis=0)
        self._cover(np.concatenate([free, occupied]))
        self._count(free, -self.config.crossed)
        self._count(occupied, self.config.hit + self.config.crossed)

    def over(self, grid: OccupancyGrid) -> OccupancyGrid:
        """The grid merged with the layer: obstacles of either stay; unknown cells scanned as free become free."""
        if not self._evidence.size:
            return grid
        corner = np.rint(np.asarray(grid.origin)[::-1] / self.resolution).astype(np.int64)
        low = np.minimum(corner, self._corner)
        high = np.maximum(corner + grid.data.shape, self._corner + self._evidence.shape)
        data = np.full(tuple(high - low), UNKNOWN, np.int8)
        data[_window(corner - low, grid.data.shape)] = grid.data
        part = data[_window(self._corner - low, self._evidence.shape)]
        part[(self._evidence < 0.0) & (part == UNKNOWN)] = FREE
        part[self._evidence > 0.5 * self.config.hit] = OCCUPIED
        x, y = (float(v) for v in low[::-1] * self.resolution)
        return OccupancyGrid(data, grid.resolution, (x, y), grid.stamp)

    def _cells(self, xy: np.ndarray) -> np.ndarray:
        return np.floor(xy / self.resolution).astype(np.int64)[:, ::-1]

    def _cover(self, cells: np.ndarray) -> None:
        """Grows the area to hold these cells, with a margin."""
        low, high = cells.min(axis=0), cells.max(axis=0) + 1
        if self._evidence.size:
            end = self._corner + self._evidence.shape
            if (low >= self._corner).all() and (high <= end).all():
                return
            low, high = np.minimum(low, self._corner), np.maximum(high, end)
        low, high = low - 32, high + 32
        grown = np.zeros(tuple(high - low), np.float32)
        if self._evidence.size:
            grown[_window(self._corner - low, self._evidence.shape)] = self._evidence
        self._evidence, self._corner = grown, low

    def _count(self, cells: np.ndarray, evidence: float) -> None:
        rows, columns = (cells - self._corner).T
        new = self._evidence[rows, columns] + np.float32(evidence)
        self._evidence[rows, columns] = np.clip(new, -self.config.most, self.config.most)


def _window(start: np.ndarray, shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(start[0], start[0] + shape[0]), slice(start[1], start[1] + shape[1])
