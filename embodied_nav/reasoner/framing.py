"""How much of the camera's picture a thing fills from places around it, and which way to face. Knows no language.

Predicted from the remembered boxes: a thing is taken to be the upright elliptic cylinder in its box; other things and
walls hide what lies behind them. It is a forecast to choose a place by, no evidence that the thing is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..frames import OCCUPIED, MemoryObject, OccupancyGrid
from ..geometry import Camera
from ..planning.sight_lines import clear_lines

#: Height (m) of what is occupied on the map but belongs to no remembered thing: a wall.
_WALL = 2.5
#: Share of a thing's height up to which it hides what is behind: above, it is mostly a tap, a headboard, leaves.
_SOLID = 0.85
#: Points on a thing: angles around it and heights on its side, angles on the rings of its ends.
_AROUND, _UP, _ON_TOP = 16, 4, 8
#: Middle radius and share of the area of the rings of an end.
_RINGS = ((0.35, 0.49), (0.85, 0.51))
#: Least depth (m) at which a point counts: nearer ones would fill any picture.
_NEAR = 0.15
#: Cells around a thing's box that do not hide it: its own, and those of the wall that it stands at.
_OWN = 2.0


@dataclass(frozen=True, eq=False)
class Eye:
    """The camera and where it is mounted: T_base_camera is 4x4, base_link from optical frame."""

    camera: Camera
    T_base_camera: np.ndarray


class Framing:
    """Forecasts pictures taken on one map.

    Args:
        eye: the camera.
        grid: occupancy.
        objects: as remembered; they say how high the occupied cells are.
    """

    def __init__(self, eye: Eye, grid: OccupancyGrid, objects: Sequence[MemoryObject]) -> None:
        self.eye, self._grid, self._objects = eye, grid, objects

    def look(self, thing: MemoryObject, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best heading at each of N places, and what the picture shows of a thing from there.

        Args:
            thing: what is looked at.
            places: Nx2 float64, (x, y) m in map, of base_link.

        Returns:
            (N float64 rad in map: towards the middle of what is to be seen of it; N float64, 0 to 1: the share of the
            picture that it fills then).
        """
        points, normals, areas = _points_on(thing)
        places = np.asarray(places, dtype=np.float64)
        headings = np.arctan2(*(thing.position[:2] - places).T[::-1])
        eyes = self._eyes(places, headings)
        rays = points - eyes[:, None]
        square = (rays**2).sum(axis=-1)
        facing = np.maximum(-(rays * normals).sum(axis=-1), 0.0) * areas  # area across the ray, times its length
        facing *= self._is_open(eyes, points, thing)
        weight = (facing / np.maximum(square, 1e-4) ** 1.5)[..., None]  # solid angle
        towards = (weight * (points[:, :2] - places[:, None])).sum(axis=1)
        seen = (towards**2).sum(axis=-1) > 0.0
        headings = np.where(seen, np.arctan2(towards[:, 1], towards[:, 0]), headings)
        return headings, self._shares(points, self._eyes(places, headings), headings, facing)

    def _shares(self, points: np.ndarray, eyes: np.ndarray, headings: np.ndarray, facing: np.ndarray) -> np.ndarray:
        """N: share of the picture that M points fill, from N eyes (Nx3); ``facing`` is NxM as in :meth:`look`."""
        camera = self.eye.camera
        rays = points - eyes[:, None]
        c, s = np.cos(headings)[:, None], np.sin(headings)[:, None]
        level = np.stack([c * rays[..., 0] + s * rays[..., 1], c * rays[..., 1] - s * rays[..., 0], rays[..., 2]], -1)
        x, y, z = np.moveaxis(level @ self.eye.T_base_camera[:3, :3], -1, 0)
        ahead = z > _NEAR
        depth = np.where(ahead, z, 1.0)
        u, v = camera.fx * x / depth + camera.cx, camera.fy * y / depth + camera.cy
        inside = ahead & (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
        pixels = np.where(inside, camera.fx * camera.fy * facing / depth**3, 0.0).sum(axis=-1)
        return np.minimum(pixels / (camera.width * camera.height), 1.0)

    def _eyes(self, places: np.ndarray, headings: np.ndarray) -> np.ndarray:
        """Nx3: where the camera is."""
        x, y, z = self.eye.T_base_camera[:3, 3]
        c, s = np.cos(headings), np.sin(headings)
        return np.column_stack([places[:, 0] + c * x - s * y, places[:, 1] + s * x + c * y, np.full(len(places), z)])

    def _is_open(self, eyes: np.ndarray, points: np.ndarray, thing: MemoryObject) -> np.ndarray:
        """NxM bool: nothing known lies between N eyes and M points, except the thing itself."""
        grid = self._grid
        half = 0.5 * thing.extent[:2] + _OWN * grid.resolution
        own = (np.stack([thing.position[:2] - half, thing.position[:2] + half]) - grid.origin) / grid.resolution
        return clear_lines(self._tops, self._in_cells(eyes), self._in_cells(points), own)

    def _in_cells(self, positions: np.ndarray) -> np.ndarray:
        """Nx3 float64: x and y (m) in cells from the grid's corner, z as it is."""
        flat = (positions[:, :2] - self._grid.origin) / self._grid.resolution
        return np.column_stack([flat, positions[:, 2]])

    @cached_property
    def _tops(self) -> np.ndarray:
        """HxW float32 (m): up to which height a cell hides what is behind it; 0 for open floor."""
        tops = np.where(self._grid.data == OCCUPIED, np.float32(_WALL), np.float32(0.0))
        known = np.zeros_like(tops)
        rows, columns = tops.shape
        for o in self._objects:
            if o.position[2] - 0.5 * o.extent[2] > self.eye.T_base_camera[2, 3]:
                continue  # it hangs above what is looked at
            half = 0.5 * o.extent[:2] + self._grid.resolution
            r0, c0 = (max(int(i), 0) for i in self._grid.cells(o.position[:2] - half))
            r1, c1 = (int(i) + 1 for i in self._grid.cells(o.position[:2] + half))
            window = known[r0 : max(min(r1, rows), 0), c0 : max(min(c1, columns), 0)]
            np.maximum(window, o.position[2] + (_SOLID - 0.5) * o.extent[2], out=window)
        return np.where((tops > 0) & (known > 0), known, tops)


def _points_on(thing: MemoryObject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on the elliptic cylinder in a thing's box: positions (Mx3, m), unit normals (Mx3), areas (M, m^2)."""
    hx, hy, hz = np.maximum(0.5 * np.asarray(thing.extent, dtype=np.float64), 0.02)
    a = (np.arange(_AROUND) + 0.5) * 2.0 * math.pi / _AROUND
    outline = np.column_stack([hx * np.cos(a), hy * np.sin(a)])
    across = np.column_stack([np.cos(a) / hx, np.sin(a) / hy, np.zeros(_AROUND)])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    length = np.hypot(hx * np.sin(a), hy * np.cos(a)) * 2.0 * math.pi / _AROUND
    heights = ((np.arange(_UP) + 0.5) / _UP * 2.0 - 1.0) * hz
    positions = [np.column_stack([outline, np.full(_AROUND, z)]) for z in heights]
    normals, areas = [across] * _UP, [length * 2.0 * hz / _UP] * _UP
    b = (np.arange(_ON_TOP) + 0.5) * 2.0 * math.pi / _ON_TOP
    for radius, share in _RINGS:
        for end in (-1.0, 1.0):
            positions.append(
                np.column_stack([radius * hx * np.cos(b), radius * hy * np.sin(b), np.full(_ON_TOP, end * hz)])
            )
            normals.append(np.tile([0.0, 0.0, end], (_ON_TOP, 1)))
            areas.append(np.full(_ON_TOP, math.pi * hx * hy * share / _ON_TOP))
    return np.concatenate(positions) + thing.position, np.concatenate(normals), np.concatenate(areas)
