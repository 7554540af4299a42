"""A world of boxes, floors and ramps, seen by an analytic depth camera. Knows nothing of robots and of ROS.

Depth is exact: the first surface that the ray through a pixel's centre meets. Where no surface is met it is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit

#: What stands lower above the floor than this can be driven over (m).
SILL = 0.03
#: What hangs higher than this is passed under (m).
HEADROOM = 1.0
#: x0, y0, z0, x1, y1, z1 in m.
Box = tuple[float, float, float, float, float, float]


@dataclass
class World:
    """Solids in the frame in which the robot truly is.

    Attributes:
        boxes: obstacles.
        floors: boxes whose tops can be driven on. Nothing is below where there are none.
        ramps: (x0, y0, x1, y1, z0, z1): a slope that rises from z0 at x0 to z1 at x1.
        drops: (x0, y0, x1, y1): where the floor is missing or too low to be driven on.
    """

    boxes: list[Box] = field(default_factory=list)
    floors: list[Box] = field(default_factory=lambda: [(-20.0, -20.0, -1.0, 20.0, 20.0, 0.0)])
    ramps: list[tuple[float, float, float, float, float, float]] = field(default_factory=list)
    drops: list[tuple[float, float, float, float]] = field(default_factory=list)

    def depth(self, T: np.ndarray, width: int, height: int, focal: float) -> np.ndarray:
        """HxW float32 m along the optical axis; ``T``: 4x4, world from optical frame."""
        solids = np.array([*self.boxes, *self.floors], dtype=np.float64).reshape(-1, 6)
        ramps = np.array(self.ramps, dtype=np.float64).reshape(-1, 6)
        return _render(np.ascontiguousarray(T, dtype=np.float64), width, height, float(focal), solids, ramps)

    def floor(self, x: float, y: float) -> float:
        """Height of the floor, m."""
        tops = [b[5] for b in self.floors if b[0] <= x <= b[3] and b[1] <= y <= b[4]]
        tops += [
            r[4] + (r[5] - r[4]) * (x - r[0]) / (r[2] - r[0])
            for r in self.ramps
            if r[0] <= x <= r[2] and r[1] <= y <= r[3]
        ]
        return max(tops, default=-math.inf)

    def gap(self, x: float, y: float, radius: float) -> float:
        """Distance (m) from a round footprint to the nearest obstacle or drop; negative: touched, or over the edge."""
        z = self.floor(x, y)
        solid = [(*b[:2], *b[3:5]) for b in self.boxes if b[5] > z + SILL and b[2] < z + HEADROOM]
        return min((_distance(x, y, r) for r in [*solid, *self.drops]), default=math.inf) - radius

    def ranges(self, x: float, y: float, yaw: float, height: float, beams: int) -> np.ndarray:
        """What a laser scanner all around measures: ``beams`` ranges (m) from -pi on, inf where nothing is met."""
        angles = yaw - math.pi + 2.0 * math.pi / beams * np.arange(beams)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        found = np.full(beams, math.inf)
        for b in self.boxes:
            if not b[2] <= height <= b[5]:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                first = (np.array([b[:2]]) - [x, y]) / directions
                second = (np.array([b[3:5]]) - [x, y]) / directions
            near, far = np.minimum(first, second).max(axis=1), np.maximum(first, second).min(axis=1)
            found = np.where((near <= far) & (near > 0.0), np.minimum(found, near), found)
        return found


def _distance(x: float, y: float, rectangle: tuple[float, float, float, float]) -> float:
    x0, y0, x1, y1 = rectangle
    return math.hypot(max(x0 - x, 0.0, x - x1), max(y0 - y, 0.0, y - y1))


def room(*boxes: Box) -> World:
    """8 m by 6 m with walls, around the origin."""
    walls = [(-4.1, -3, 0, -4, 3, 2.5), (4, -3, 0, 4.1, 3, 2.5), (-4, 3, 0, 4, 3.1, 2.5), (-4, -3.1, 0, 4, -3, 2.5)]
    return World([*walls, *boxes])


def door(width: float) -> World:
    """A room with a wall across at x = 1.5, with an opening in the middle."""
    half = 0.5 * width
    return room((1.5, -3.0, 0.0, 1.62, -half, 2.5), (1.5, half, 0.0, 1.62, 3.0, 2.5))


def stairs_down(x: float, steps: int = 8, rise: float = 0.17, tread: float = 0.28) -> World:
    """Floor that ends at ``x``; stairs go down from there to a lower floor, with a wall at its far end."""
    floors: list[Box] = [(-20.0, -20.0, -4.0, x, 20.0, 0.0)]
    floors += [(x + i * tread, -20.0, -4.0, x + (i + 1) * tread, 20.0, -(i + 1) * rise) for i in range(steps)]
    end = x + steps * tread
    floors.append((end, -20.0, -4.0, end + 20.0, 20.0, -steps * rise))
    return World([(end + 3.0, -5.0, -4.0, end + 3.1, 5.0, 2.5)], floors, [], [(x, -20.0, x + 20.0, 20.0)])


def pit(x0: float, y0: float, x1: float, y1: float, depth: float | None) -> World:
    """A room with a hole in its floor; ``depth`` None: nothing below that would return light."""
    world = room()
    around = [(-20, -20, x0, 20), (x1, -20, 20, 20), (x0, -20, x1, y0), (x0, y1, x1, 20)]
    world.floors = [(a, b, -4.0, c, d, 0.0) for a, b, c, d in around]
    if depth is not None:
        world.floors.append((x0, y0, -4.0, x1, y1, -depth))
    world.drops = [(x0, y0, x1, y1)]
    return world


def ramp(x: float, length: float, degrees: float) -> World:
    """Floor that rises from ``x`` on over ``length`` m (negative degrees: sinks) and is level beyond."""
    z = length * math.tan(math.radians(degrees))
    end = x + length
    floors: list[Box] = [(-20.0, -20.0, -4.0, x, 20.0, 0.0), (end, -20.0, -4.0, end + 20.0, 20.0, z)]
    walls = [(-4.0, 1.2, -3.0, 8.0, 1.3, 2.5), (-4.0, -1.3, -3.0, 8.0, -1.2, 2.5), (8.0, -1.2, -3.0, 8.1, 1.2, 3.5)]
    return World(walls, floors, [(x, -20.0, end, 20.0, 0.0, z)])


@njit(cache=True, nogil=True)
def _render(T, width, height, focal, solids, ramps):
    out = np.empty((height, width), dtype=np.float32)
    ox, oy, oz = T[0, 3], T[1, 3], T[2, 3]
    for v in range(height):
        b = (v - 0.5 * height + 0.5) / focal
        for u in range(width):
            a = (u - 0.5 * width + 0.5) / focal
            # The ray's optical z is 1: its parameter is the depth.
            dx = T[0, 0] * a + T[0, 1] * b + T[0, 2]
            dy = T[1, 0] * a + T[1, 1] * b + T[1, 2]
            dz = T[2, 0] * a + T[2, 1] * b + T[2, 2]
            dx = dx if abs(dx) > 1e-12 else 1e-12
            dy = dy if abs(dy) > 1e-12 else 1e-12
            dz = dz if abs(dz) > 1e-12 else 1e-12
            best = np.inf
            for k in range(solids.shape[0]):
                s = solids[k]
                x0, x1 = (s[0] - ox) / dx, (s[3] - ox) / dx
                y0, y1 = (s[1] - oy) / dy, (s[4] - oy) / dy
                z0, z1 = (s[2] - oz) / dz, (s[5] - oz) / dz
                near = max(min(x0, x1), min(y0, y1), min(z0, z1))
                far = min(max(x0, x1), max(y0, y1), max(z0, z1))
                if near <= far and 0.01 < near < best:
                    best = near
            for k in range(ramps.shape[0]):
                r = ramps[k]
                slope = (r[5] - r[4]) / (r[2] - r[0])
                down = dz - slope * dx
                if abs(down) < 1e-9:
                    continue
                t = (r[4] + slope * (ox - r[0]) - oz) / down
                x, y = ox + t * dx, oy + t * dy
                if 0.01 < t < best and r[0] <= x <= r[2] and r[1] <= y <= r[3]:
                    best = t
            out[v, u] = best if best < 50.0 else np.nan
    return out
