"""Segments the occupancy grid into rooms, split at doors. Knows nothing of language and of paths.

Peaks of the clearance from walls are the middles of rooms. Where the regions around two peaks meet in a neck no wider
than a door, or much narrower than both, there is a passage between two rooms (a watershed over the clearance that
merges regions by the depth of the saddle, after Fabrizi and Saffiotti 2000). Furniture would make necks too, so
remembered objects and free-standing obstacles count as floor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..config import Config, param
from ..frames import FREE, OCCUPIED, UNKNOWN, MemoryObject, OccupancyGrid


@dataclass(frozen=True)
class RoomConfig(Config):
    """Thresholds for doors and rooms."""

    door_width: float = param(1.16, "a neck up to this width is a door", unit="m", low=0.3, high=3.0)
    least_door: float = param(0.6, "nobody goes through narrower necks: they are no doors", unit="m", low=0.0, high=3.0)
    passage_share: float = param(
        0.84, "a wider neck parts rooms if this much narrower than both of them", low=0.1, high=1.0
    )
    least_area: float = param(0.3, "a smaller piece of floor is no room of its own", unit="m^2", low=0.0, high=10.0)
    unknown_margin: float = param(0.65, "clearance granted at the edge of what is known", unit="m", low=0.0, high=3.0)
    hole_area: float = param(1.5, "smaller enclosed unknown spots count as floor", unit="m^2", low=0.0, high=10.0)
    island_size: float = param(1.6, "smaller obstacles that stand free count as floor", unit="m", low=0.0, high=5.0)


@dataclass(frozen=True)
class Door:
    """A passage from one room to another.

    Attributes:
        position: (x, y) m in map, the middle of the neck.
        width: m.
        neighbor: id of the room on the other side.
    """

    position: tuple[float, float]
    width: float
    neighbor: int


@dataclass(frozen=True)
class Room:
    """One region of floor.

    Attributes:
        id: kept from update to update as long as the region overlaps its former self; from 1.
        area: m^2 known so far, floor under furniture included.
        middle: (x, y) m, the place with much clearance that is nearest to the centroid: always inside the region.
        length, width: m, sides of the region's box along its main axis.
        depth: m, twice the greatest clearance from walls that were seen: how wide it is at its widest place.
        doors: passages to other rooms.
        open_share: 0 to 1, how much of its border was not seen yet.
    """

    id: int
    area: float
    middle: tuple[float, float]
    length: float
    width: float
    depth: float
    doors: tuple[Door, ...]
    open_share: float

    @property
    def elongation(self) -> float:
        """Length over width, at least 1."""
        return self.length / max(self.width, 1e-6)


@dataclass(frozen=True, eq=False)
class Rooms:
    """All regions of one map.

    Attributes:
        labels: HxW int32 on the grid's cells: the room's id, 0 outside of rooms.
        rooms: by id.
        resolution, origin: of the grid.
    """

    labels: np.ndarray
    rooms: tuple[Room, ...]
    resolution: float
    origin: tuple[float, float]

    def at(self, xy: Sequence[float] | np.ndarray, reach: float = 0.0) -> Room | None:
        """The room at a position (m in map), or the nearest one within ``reach`` (m); None outside of all rooms."""
        near = self._ids_near(xy, reach)
        return self.room(near) if near else None

    def room(self, room_id: int) -> Room:
        """A room by its id.

        Raises:
            KeyError: there is none.
        """
        for room in self.rooms:
            if room.id == room_id:
                return room
        raise KeyError(room_id)

    def of_object(self, thing: MemoryObject, reach: float = 0.3) -> Room | None:
        """The room that an object stands in: the one most of its box overlaps, or is nearest to it."""
        half_x, half_y = 0.5 * float(thing.extent[0]), 0.5 * float(thing.extent[1])
        x, y = float(thing.position[0]), float(thing.position[1])
        # A bounding box is larger than its object and may reach through the wall: use its inner half.
        for share in (0.5, 1.0):
            low = self._cell((x - share * half_x, y - share * half_y))
            high = self._cell((x + share * half_x, y + share * half_y))
            found = _most_frequent(self.labels, max(low[0], 0), max(low[1], 0), high[0] + 1, high[1] + 1)
            if found:
                return self.room(found)
        return self.at((x, y), max(half_x, half_y) + reach)

    def mask(self, room_id: int) -> np.ndarray:
        """HxW bool, the cells of a room."""
        return self.labels == room_id

    def _cell(self, xy: Sequence[float] | np.ndarray) -> tuple[int, int]:
        return (
            math.floor((float(xy[1]) - self.origin[1]) / self.resolution),
            math.floor((float(xy[0]) - self.origin[0]) / self.resolution),
        )

    def _ids_near(self, xy: Sequence[float] | np.ndarray, reach: float) -> int:
        row, column = self._cell(xy)
        n = int(reach / self.resolution)
        r0, c0 = max(row - n, 0), max(column - n, 0)
        window = self.labels[r0 : max(row + n + 1, 0), c0 : max(column + n + 1, 0)]
        rows, columns = np.nonzero(window)
        if len(rows) == 0:
            return 0
        gap = (rows + r0 - row) ** 2 + (columns + c0 - column) ** 2
        best = int(np.argmin(gap))
        return int(window[rows[best], columns[best]]) if gap[best] <= n * n else 0


@njit(cache=True, nogil=True)
def _most_frequent(labels, r0, c0, r1, c1):
    """The label above 0 that most cells of a window of a HxW int32 image have, the lowest of equals; 0 without one."""
    r1, c1 = min(r1, labels.shape[0]), min(c1, labels.shape[1])
    most = 0
    for r in range(r0, r1):
        for c in range(c0, c1):
            most = max(most, labels[r, c])
    counts = np.zeros(most + 1, np.int64)
    for r in range(r0, r1):
        for c in range(c0, c1):
            if labels[r, c] > 0:
                counts[labels[r, c]] += 1
    return int(np.argmax(counts)) if most else 0


def segment_rooms(
    grid: OccupancyGrid,
    previous: Rooms | None = None,
    objects: Sequence[MemoryObject] = (),
    config: RoomConfig | None = None,
) -> Rooms:
    """Splits the known floor into rooms.

    Args:
        grid: occupancy grid with unknown cells.
        previous: rooms of an earlier map of the same place, whose ids are kept where regions overlap.
        objects: as remembered; those present count as furniture, not as walls.
        config: thresholds for doors and rooms.

    Returns:
        Rooms whose labels cover free cells and furniture; deterministic.
    """
    c = config or RoomConfig()
    labels = np.zeros(grid.data.shape, np.int32)
    window = _known_window(grid.data)
    if window is None:
        return Rooms(labels, (), grid.resolution, grid.origin)
    x, y = (o + w.start * grid.resolution for o, w in zip(grid.origin, window[::-1], strict=True))
    part = OccupancyGrid(np.ascontiguousarray(grid.data[window]), grid.resolution, (x, y), grid.stamp)
    labels[window], rooms = _segment(part, previous, objects, c)
    return Rooms(labels, rooms, grid.resolution, grid.origin)


def _known_window(data: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the known area, with a margin; None if nothing is free."""
    if not (data == FREE).any():
        return None
    known = data != UNKNOWN
    window = []
    for axis in (1, 0):
        lines = np.flatnonzero(known.any(axis=axis))
        window.append(slice(max(int(lines[0]) - 2, 0), int(lines[-1]) + 3))
    return window[0], window[1]


def _segment(
    grid: OccupancyGrid, previous: Rooms | None, objects: Sequence[MemoryObject], c: RoomConfig
) -> tuple[np.ndarray, tuple[Room, ...]]:
    """HxW int32 labels and the rooms."""
    along = main_direction(grid.data == OCCUPIED)
    walls, ground, unknown = _structure(grid, objects, along, c)
    r = grid.resolution
    to_wall = _distance(walls, r)
    height = np.minimum(to_wall, _distance(unknown, r) + np.float32(c.unknown_margin))
    levels = np.where(ground, (height / np.float32(r) * 4.0).astype(np.int32) + 1, 0)
    limited = to_wall > height
    raw = _watershed(
        levels, limited, 0.5 * c.door_width / r * 4.0, c.passage_share, int(c.least_area / r**2), 0.3 / r * 4.0
    )
    labels = _renamed(raw, grid, previous)
    seen = np.where(limited, np.float32(0.0), to_wall)
    doors = _doors(labels, grid, seen, c.least_door)
    return labels, _describe(labels, grid, seen, (_beside(unknown) & (grid.data == FREE), _beside(walls)), along, doors)


# -- walls and floor ---------------------------------------------------------------------------------------------------

#: Objects that hang above the first height (m) are not in the grid; those lower than the second are driven over.
_HANGS, _FLAT = 0.5, 0.06


def _structure(
    grid: OccupancyGrid, objects: Sequence[MemoryObject], along: float, c: RoomConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HxW bool each: walls, floor (furniture and small unseen spots included), unknown."""
    occupied = grid.data == OCCUPIED
    things = [
        o
        for o in objects
        if o.status == "present"
        and o.position[2] - 0.5 * o.extent[2] < _HANGS
        and o.position[2] + 0.5 * o.extent[2] > _FLAT
    ]
    furniture = np.zeros(grid.data.shape, np.bool_)
    if things:
        middles = (np.array([o.position[:2] for o in things], np.float64) - grid.origin) / grid.resolution
        extents = np.array([o.extent[:2] for o in things], np.float64) / grid.resolution
        _mark_furniture(grid.data, middles, extents, along, 2.0, furniture)
    free = (grid.data == FREE) | furniture
    walls = occupied & ~furniture
    islands = _islands(walls, free, c.island_size / grid.resolution)
    walls &= ~islands
    ground = free | islands
    unknown = ~ground & ~walls
    holes = _small_holes(unknown, int(c.hole_area / grid.resolution**2))
    return walls, ground | holes, unknown & ~holes


def main_direction(occupied: np.ndarray) -> float:
    """The dominant direction (rad, -pi/4 to pi/4, modulo pi/2) of the edges of a HxW bool image."""
    import cv2

    image = cv2.GaussianBlur(occupied.astype(np.float32), (0, 0), 1.5)
    gx, gy = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    # Quadruple angles: edges at right angles to each other then have the same angle.
    z = (gx + 1j * gy).astype(np.complex64) ** 2
    z = (z**2).sum() / max(float(np.abs(z).sum()), 1e-9)
    return float(np.angle(z)) / 4.0


def _distance(mask: np.ndarray, resolution: float) -> np.ndarray:
    """HxW float32, m to the nearest cell of the mask; 1e3 without one."""
    import cv2

    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32)
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return away * np.float32(resolution)


def _islands(walls: np.ndarray, free: np.ndarray, size: float) -> np.ndarray:
    """Obstacles up to ``size`` cells across that are surrounded by floor only."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(walls.astype(np.uint8), connectivity=8)
    # An obstacle next to unknown cells may continue there.
    grown = cv2.dilate((~free & ~walls).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touches = np.bincount(labels[grown], minlength=count)[:count] > 0
    small = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) <= size
    chosen = small & ~touches
    chosen[0] = False
    return chosen[labels]


def _small_holes(unknown: np.ndarray, cells: int) -> np.ndarray:
    """Unknown spots of fewer than ``cells`` cells; not those at the grid's edge, which may continue beyond it."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(unknown.astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < cells
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small[edge] = False
    small[0] = False
    return small[labels]


@njit(cache=True, nogil=True)
def _mark_furniture(data, middles, extents, angle, grow, out):
    """Marks each thing's rectangle along the main direction; ``middles``, ``extents`` (Nx2, x y), ``grow`` in cells.

    Only the axis-aligned bounding box is known. It determines the sum of the rectangle's sides; their difference is the
    less certain the nearer the main direction is to 45 degrees: the candidate with the least free floor inside wins.
    """
    c, s = np.cos(angle), np.sin(angle)
    ca, sa = abs(c), abs(s)
    height, width = data.shape
    for k in range(middles.shape[0]):
        ex, ey = extents[k, 0], extents[k, 1]
        total = (ex + ey) / (ca + sa)
        spread = 2.0 / max(ca - sa, 0.05)
        middle = (ex - ey) / max(ca - sa, 0.05)
        limit = 0.85 * total
        middle = min(max(middle, -limit), limit)
        best, best_cost = middle, np.inf
        for i in range(-4, 5):
            difference = min(max(middle + i * spread / 4.0, -limit), limit)
            a, b = 0.25 * (total + difference) - 1.5, 0.25 * (total - difference) - 1.5
            cost = 0.01 * abs(i)
            if a > 0.0 and b > 0.0:
                reach = int(np.sqrt(a * a + b * b)) + 1
                for r in range(max(0, int(middles[k, 1]) - reach), min(height, int(middles[k, 1]) + reach + 1)):
                    for q in range(max(0, int(middles[k, 0]) - reach), min(width, int(middles[k, 0]) + reach + 1)):
                        x, y = q + 0.5 - middles[k, 0], r + 0.5 - middles[k, 1]
                        if data[r, q] == 0 and abs(c * x + s * y) <= a and abs(c * y - s * x) <= b:
                            cost += 1.0
            if cost < best_cost:
                best, best_cost = difference, cost
        a, b = 0.25 * (total + best) + grow, 0.25 * (total - best) + grow
        reach = int(np.sqrt(a * a + b * b)) + 1
        for r in range(max(0, int(middles[k, 1]) - reach), min(height, int(middles[k, 1]) + reach + 1)):
            for q in range(max(0, int(middles[k, 0]) - reach), min(width, int(middles[k, 0]) + reach + 1)):
                x, y = q + 0.5 - middles[k, 0], r + 0.5 - middles[k, 1]
                if abs(c * x + s * y) <= a and abs(c * y - s * x) <= b:
                    out[r, q] = True


# -- splitting ---------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _join(a, b, parent, peak, size, apart, count):
    """Merges two regions under the label of the higher peak, which is returned."""
    if peak[b] > peak[a]:
        a, b = b, a
    parent[b] = a
    size[a] += size[b]
    for k in range(count + 1):
        if apart[b, k]:
            apart[a, k] = apart[k, a] = True
    return a


@njit(cache=True, nogil=True)
def _find(parent, k):
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


#: Largest number of distinct peaks; only noise has more.
_MOST = 1024


@njit(cache=True, nogil=True)
def _watershed(levels, limited, door, share, least, shallow):
    """Regions (1.., 0 outside) around the peaks of ``levels`` (HxW int32, 0 is no ground).

    Where two regions of at least ``least`` cells first meet, at level s, they stay separate for good if s is at most
    ``door`` and ``shallow`` below both peaks, or if s is below ``share`` of both peaks and not ``limited`` by unknown
    cells.
    """
    height, width = levels.shape
    order = _descending(levels)
    region = np.zeros((height, width), np.int32)
    parent = np.arange(_MOST, dtype=np.int32)
    peak, size = np.zeros(_MOST, np.int32), np.zeros(_MOST, np.int64)
    apart = np.zeros((_MOST, _MOST), np.bool_)
    count = 0
    for i in range(order.shape[0]):
        r, c = order[i, 0], order[i, 1]
        s = levels[r, c]
        own, highest = 0, 0
        for a in range(max(0, r - 1), min(height, r + 2)):
            for b in range(max(0, c - 1), min(width, c + 2)):
                if region[a, b] == 0:
                    continue
                other = _find(parent, region[a, b])
                if own != 0 and other != own and not apart[own, other]:
                    low = min(peak[own], peak[other])
                    neck = s <= door and low >= s + shallow
                    passage = not limited[r, c] and s < share * low
                    if (neck or passage) and min(size[own], size[other]) >= least:
                        apart[own, other] = apart[other, own] = True
                    else:
                        other = own = _join(own, other, parent, peak, size, apart, count)
                # Between separate regions the cell goes to that of its highest neighbour.
                if own == 0 or levels[a, b] > highest:
                    own, highest = other, levels[a, b]
        if own == 0 and count < _MOST - 1:
            count += 1
            own = count
            peak[own] = s
        region[r, c] = own
        size[own] += 1
    for r in range(height):
        for c in range(width):
            if region[r, c] > 0:
                region[r, c] = _find(parent, region[r, c])
                if size[region[r, c]] < least:
                    region[r, c] = 0
    return region


@njit(cache=True, nogil=True)
def _descending(levels):
    """Nx2 (row, column) of the cells above 0, the highest first, row by row among equals."""
    top = levels.max()
    starts = np.zeros(top + 2, np.int64)
    for value in levels.ravel():
        starts[value] += 1
    above = 0
    for k in range(top, 0, -1):
        starts[k], above = above, above + starts[k]
    order = np.empty((above, 2), np.int32)
    for r in range(levels.shape[0]):
        for c in range(levels.shape[1]):
            k = levels[r, c]
            if k > 0:
                order[starts[k], 0], order[starts[k], 1] = r, c
                starts[k] += 1
    return order


# -- describing --------------------------------------------------------------------------------------------------------


def _renamed(raw: np.ndarray, grid: OccupancyGrid, previous: Rooms | None) -> np.ndarray:
    """Relabels regions with the ids of the earlier ones they overlap most; new regions get new ids."""
    found = np.flatnonzero(np.bincount(raw.ravel())[1:]) + 1
    names: dict[int, int] = {}
    if previous is not None and len(previous.rooms):
        shift = np.rint((np.asarray(previous.origin) - np.asarray(grid.origin)) / grid.resolution).astype(int)
        rows, columns = np.nonzero(previous.labels)
        old = previous.labels[rows, columns]
        rows, columns = rows + shift[1], columns + shift[0]
        inside = (rows >= 0) & (rows < raw.shape[0]) & (columns >= 0) & (columns < raw.shape[1])
        new, old = raw[rows[inside], columns[inside]], old[inside]
        base = int(previous.labels.max()) + 1
        shared = np.bincount(new.astype(np.int64) * base + old)
        for key in np.argsort(-shared, kind="stable")[: np.count_nonzero(shared)].tolist():
            label, name = divmod(key, base)
            if label and label not in names and name not in names.values():
                names[label] = name
    free = max([0, *(room.id for room in previous.rooms)] if previous is not None else [0]) + 1
    for label in found.tolist():
        if label not in names:
            names[label], free = free, free + 1
    table = np.zeros(int(raw.max()) + 1, np.int32)
    for label, name in names.items():
        table[label] = name
    return table[raw]


def _describe(
    labels: np.ndarray,
    grid: OccupancyGrid,
    to_wall: np.ndarray,
    edges: tuple[np.ndarray, np.ndarray],
    along: float,
    doors: Mapping[int, Sequence[Door]],
) -> tuple[Room, ...]:
    """The :class:`Room` records; ``edges`` are HxW bool, cells beside unknown ones and beside walls."""
    count = int(labels.max()) + 1
    opened, shut = (np.bincount(labels[edge], minlength=count) for edge in edges)
    axes = np.array([[math.cos(along), -math.sin(along)], [math.sin(along), math.cos(along)]])
    rows, columns = np.nonzero(labels)
    ids = labels[rows, columns]
    order = np.argsort(ids, kind="stable")
    areas = np.bincount(ids, minlength=count)
    cells = np.split(np.stack([rows, columns], axis=1)[order], np.cumsum(areas)[:-1])
    rooms = []
    for name in np.flatnonzero(areas).tolist():
        own = cells[name]
        height = to_wall[own[:, 0], own[:, 1]]
        few = slice(None, None, max(1, len(own) // 1500))
        points = grid.centers(own[few])
        off = np.linalg.norm(points - points.mean(axis=0), axis=1)
        x, y = points[int(np.argmax(np.minimum(height[few], 1.0) - 0.3 * off))]
        low, high = np.percentile(points @ axes, (2.0, 98.0), axis=0)
        sides = high - low + grid.resolution
        rooms.append(
            Room(
                name,
                float(areas[name]) * grid.resolution**2,
                (float(x), float(y)),
                float(sides.max()),
                float(sides.min()),
                2.0 * float(min(height.max(), 1e2)),
                tuple(doors.get(name, ())),
                float(opened[name]) / max(int(opened[name] + shut[name]), 1),
            )
        )
    return tuple(rooms)


def _beside(mask: np.ndarray) -> np.ndarray:
    """HxW bool, cells in the mask or with one of their four neighbours in it."""
    import cv2

    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.dilate(mask.view(np.uint8), cross).view(np.bool_)


def _doors(labels: np.ndarray, grid: OccupancyGrid, to_wall: np.ndarray, least: float) -> dict[int, list[Door]]:
    """Room id -> its passages, in a fixed order. Two regions may have several."""
    import cv2

    base = int(labels.max()) + 1
    borders: dict[tuple[int, int], list[np.ndarray]] = {}
    for axis in (0, 1):
        a, b = (labels[:-1], labels[1:]) if axis == 0 else (labels[:, :-1], labels[:, 1:])
        cells = np.argwhere((a != b) & (a > 0) & (b > 0))
        sides = a[tuple(cells.T)].astype(np.int64), b[tuple(cells.T)].astype(np.int64)
        pairs = np.minimum(*sides) * base + np.maximum(*sides)
        for pair in np.unique(pairs).tolist():
            borders.setdefault(divmod(pair, base), []).append(cells[pairs == pair])
    doors: dict[int, list[Door]] = {}
    for (first, second), parts in sorted(borders.items()):
        cells = np.concatenate(parts)
        corner = cells.min(axis=0)
        mask = np.zeros(cells.max(axis=0) - corner + 1, np.uint8)
        mask[tuple((cells - corner).T)] = 1
        count, pieces = cv2.connectedComponents(cv2.dilate(mask, np.ones((3, 3), np.uint8)), connectivity=8)
        piece = pieces[tuple((cells - corner).T)]
        for k in range(1, count):
            own = cells[piece == k]
            if len(own) == 0:
                continue
            clearance = to_wall[tuple(own.T)]
            x, y = grid.centers(own[int(np.argmax(clearance))])
            width = 2.0 * float(min(clearance.max(), 1e2))
            if width < least:
                continue
            doors.setdefault(first, []).append(Door((float(x), float(y)), width, second))
            doors.setdefault(second, []).append(Door((float(x), float(y)), width, first))
    return doors
