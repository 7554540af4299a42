"""Frontiers: borders between known floor and unknown space (Yamauchi 1997). Knows nothing of which one to choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..frames import FREE, OccupancyGrid
from .traversal import PlanningConfig


@dataclass(frozen=True, eq=False)
class Frontier:
    """A connected border between known floor and unknown space.

    Attributes:
        position: (x, y) m, where the robot would stand: the reachable cell nearest to the middle.
        middle: (x, y) m, the frontier cell nearest to the mean of its cells.
        length: m.
        cells: Kx2 int64 (row, column).
        distance: m, the travel field's value at ``position`` (inf where no field was given).
    """

    position: tuple[float, float]
    middle: tuple[float, float]
    length: float
    cells: np.ndarray
    distance: float


def frontiers(
    grid: OccupancyGrid, config: PlanningConfig, distance: np.ndarray | None = None, reach: float = 0.6
) -> list[Frontier]:
    """All frontiers of at least the configured length, longest first.

    Args:
        grid: map with unknown.
        config: minimum and maximum length, hole area.
        distance: HxW travel field from the robot (inf where it cannot go); frontiers farther than ``reach`` from any
            reachable cell are left out. None: every free cell counts as reachable.
        reach: m.
    """
    border = _border(grid.data, max(1, int(round(config.hole_area / grid.resolution**2))))
    labels, count = _components(border)
    found = []
    for cells in _split(labels, count, grid.resolution, config):
        stand = _standing_cell(cells, grid, distance, reach)
        if stand is None:
            continue
        middle = cells[np.argmin(((cells - cells.mean(axis=0)) ** 2).sum(axis=1))]
        travel = np.inf if distance is None else float(distance[stand[0], stand[1]])
        position, centre = grid.centers(stand), grid.centers(middle)
        found.append(
            Frontier(
                (float(position[0]), float(position[1])),
                (float(centre[0]), float(centre[1])),
                _extent(cells) * grid.resolution,
                cells,
                travel,
            )
        )
    return sorted(found, key=lambda f: (-f.length, f.position))


def is_frontier_near(grid: OccupancyGrid, xy: tuple[float, float], radius: float) -> bool:
    """Whether any frontier cell is within ``radius`` (m) of a position; False once the space beyond is mapped."""
    row, column = (int(v) for v in grid.cells(np.asarray(xy)))
    reach = int(np.ceil(radius / grid.resolution)) + 1
    r0, c0 = max(0, row - reach), max(0, column - reach)
    window = np.ascontiguousarray(grid.data[r0 : row + reach + 1, c0 : column + reach + 1])
    if window.size == 0:
        return False
    border = _border(window, 1)
    rows, columns = np.nonzero(border)
    return bool((((rows + r0 - row) ** 2 + (columns + c0 - column) ** 2) * grid.resolution**2 <= radius**2).any())


def hidden_area(grid: OccupancyGrid, clearance: np.ndarray, cells: np.ndarray, width: float, radius: float) -> float:
    """Unknown area (m^2) that a robot may find behind a frontier.

    Counts unknown cells connected to the frontier within ``radius`` whose clearance is at least ``width``: doorways
    count, narrow gaps beside furniture do not, even where the wall behind them was never seen.

    Args:
        grid: map with unknown.
        clearance: HxW float32, m to the nearest occupied cell.
        cells: Kx2 (row, column) of the frontier.
        width: m, half the width that a passage needs.
        radius: m around the frontier's mean.
    """
    reach = int(np.ceil(radius / grid.resolution))
    count = _flood(grid.data, clearance, np.float32(width), np.ascontiguousarray(cells, dtype=np.int64), reach)
    return float(count * grid.resolution**2)


def _split(labels: np.ndarray, count: int, resolution: float, config: PlanningConfig) -> list[np.ndarray]:
    """Cells of each component that is long enough, cut along its main axis where it is too long."""
    rows, columns = np.nonzero(labels)
    cells = np.stack([rows, columns], axis=1).astype(np.int64)
    order = np.argsort(labels[rows, columns], kind="stable")
    bounds = np.searchsorted(labels[rows, columns][order], np.arange(1, count + 2))
    pieces: list[np.ndarray] = []
    for k in range(count):
        piece = cells[order[bounds[k] : bounds[k + 1]]]
        parts = int(np.ceil(_extent(piece) * resolution / config.frontier_split)) if len(piece) else 0
        if parts > 1:
            spread = piece - piece.mean(axis=0)
            axis = np.linalg.eigh(spread.T @ spread)[1][:, -1]
            rank = np.argsort(spread @ axis, kind="stable")
            pieces.extend(piece[part] for part in np.array_split(rank, parts))
        else:
            pieces.append(piece)
    return [p for p in pieces if len(p) and _extent(p) * resolution >= config.frontier_length]


def _extent(cells: np.ndarray) -> float:
    """Length of a border in cells: its cell count, at least the longer side of its bounding box."""
    span = cells.max(axis=0) - cells.min(axis=0) + 1
    return float(max(span.max(), min(len(cells), span.sum())))


def _standing_cell(
    cells: np.ndarray, grid: OccupancyGrid, distance: np.ndarray | None, reach: float
) -> np.ndarray | None:
    """The reachable cell nearest to the middle of the border; None where nothing reachable is near."""
    middle = cells[np.argmin(((cells - cells.mean(axis=0)) ** 2).sum(axis=1))]
    n = int(np.ceil(reach / grid.resolution))
    r0, c0 = max(0, middle[0] - n), max(0, middle[1] - n)
    window = (slice(r0, middle[0] + n + 1), slice(c0, middle[1] + n + 1))
    open_cells = np.isfinite(distance[window]) if distance is not None else grid.data[window] == FREE
    rows, columns = np.nonzero(open_cells)
    if len(rows) == 0:
        return None
    gap = (rows + r0 - middle[0]) ** 2 + (columns + c0 - middle[1]) ** 2
    best = int(np.argmin(gap))
    return np.array([rows[best] + r0, columns[best] + c0], dtype=np.int64)


def _border(data: np.ndarray, hole_cells: int) -> np.ndarray:
    """HxW bool: free cells with an unknown 4-neighbour; small enclosed unknown spots do not count."""
    return _border_cells(np.ascontiguousarray(data, dtype=np.int8), hole_cells)


@njit(cache=True, nogil=True)
def _border_cells(data, hole_cells):
    """Kernel of :func:`_border`: ``data`` HxW int8, ``hole_cells`` the size from which an enclosed spot counts."""
    height, width = data.shape
    hole = np.zeros((height, width), dtype=np.bool_)
    seen = np.zeros((height, width), dtype=np.bool_)
    stack = np.empty((height * width, 2), dtype=np.int32)
    if hole_cells > 1:
        for r in range(height):
            for c in range(width):
                if data[r, c] >= 0 or seen[r, c]:
                    continue
                n, done, touches = 1, 0, False
                stack[0, 0], stack[0, 1] = r, c
                seen[r, c] = True
                while done < n:
                    a, b = stack[done, 0], stack[done, 1]
                    done += 1
                    if a == 0 or b == 0 or a == height - 1 or b == width - 1:
                        touches = True
                    for k in range(4):
                        aa = a + (k == 0) - (k == 1)
                        bb = b + (k == 2) - (k == 3)
                        if 0 <= aa < height and 0 <= bb < width and data[aa, bb] < 0 and not seen[aa, bb]:
                            seen[aa, bb] = True
                            stack[n, 0], stack[n, 1] = aa, bb
                            n += 1
                if n < hole_cells and not touches:
                    for k in range(n):
                        hole[stack[k, 0], stack[k, 1]] = True
    border = np.zeros((height, width), dtype=np.bool_)
    for r in range(height):
        for c in range(width):
            if data[r, c] != 0:
                continue
            for k in range(4):
                a = r + (k == 0) - (k == 1)
                b = c + (k == 2) - (k == 3)
                # Cells beyond the grid's edge are unknown, too.
                if not (0 <= a < height and 0 <= b < width) or (data[a, b] < 0 and not hole[a, b]):
                    border[r, c] = True
                    break
    return border


@njit(cache=True, nogil=True)
def _components(mask):
    """Labels (1..count, 0 outside) of the 8-connected components of a mask, and their count."""
    height, width = mask.shape
    labels = np.zeros((height, width), dtype=np.int32)
    stack = np.empty((height * width, 2), dtype=np.int32)
    count = 0
    for r in range(height):
        for c in range(width):
            if not mask[r, c] or labels[r, c] != 0:
                continue
            count += 1
            labels[r, c] = count
            stack[0, 0], stack[0, 1] = r, c
            n = 1
            while n > 0:
                n -= 1
                a, b = stack[n, 0], stack[n, 1]
                for aa in range(max(0, a - 1), min(height, a + 2)):
                    for bb in range(max(0, b - 1), min(width, b + 2)):
                        if mask[aa, bb] and labels[aa, bb] == 0:
                            labels[aa, bb] = count
                            stack[n, 0], stack[n, 1] = aa, bb
                            n += 1
    return labels, count


@njit(cache=True, nogil=True)
def _flood(data, clearance, width, seeds, reach):
    """Unknown cells connected to the seeds over unknown ground, at most ``reach`` cells from their mean."""
    height, columns = data.shape
    side = 2 * reach + 1
    middle_r = int(np.floor(seeds[:, 0].sum() / seeds.shape[0]))
    middle_c = int(np.floor(seeds[:, 1].sum() / seeds.shape[0]))
    seen = np.zeros((side, side), dtype=np.bool_)
    stack = np.empty((side * side + seeds.shape[0], 2), dtype=np.int32)
    n = 0
    for k in range(seeds.shape[0]):
        r, c = seeds[k, 0] - middle_r + reach, seeds[k, 1] - middle_c + reach
        if 0 <= r < side and 0 <= c < side and not seen[r, c] and clearance[seeds[k, 0], seeds[k, 1]] >= width:
            seen[r, c] = True
            stack[n, 0], stack[n, 1] = r, c
            n += 1
    found = 0
    while n > 0:
        n -= 1
        r, c = stack[n, 0], stack[n, 1]
        for k in range(4):
            rr = r + (k == 0) - (k == 1)
            cc = c + (k == 2) - (k == 3)
            if not (0 <= rr < side and 0 <= cc < side) or seen[rr, cc]:
                continue
            if (rr - reach) ** 2 + (cc - reach) ** 2 > reach * reach:
                continue
            a, b = rr - reach + middle_r, cc - reach + middle_c
            # Cells beyond the grid's edge are unknown.
            if 0 <= a < height and 0 <= b < columns and (data[a, b] >= 0 or clearance[a, b] < width):
                continue
            seen[rr, cc] = True
            found += 1
            stack[n, 0], stack[n, 1] = rr, cc
            n += 1
    return found
