"""Builds solids from boxes, cylinders, ellipsoids and quads, and the scene mesh from solids. Knows no furniture.

A solid lives in its own frame: origin on the floor in the middle of its footprint, x its width, y its depth with the
front towards +y, z up; metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..mesh import SceneMesh
from .textures import texture_image


@dataclass(frozen=True)
class Material:
    """A texture, the colour it is multiplied with, and the length (m) that one tile of it covers."""

    texture: str
    tint: tuple[int, int, int] = (255, 255, 255)
    tile: float = 1.0


@dataclass
class _Part:
    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray | None
    material: Material


@dataclass
class Solid:
    """Parts with materials, in the solid's own frame."""

    parts: list[_Part] = field(default_factory=list)

    def box(self, center, size, material: Material, bevel: float = 0.0) -> Solid:
        """An upright box; ``bevel`` (m) rounds its edges off."""
        half = np.asarray(size, dtype=np.float64) / 2.0
        if bevel > 0.0:
            vertices, faces = _beveled(half, min(bevel, 0.49 * 2.0 * float(half.min())))
        else:
            vertices, faces = _CUBE * half, _CUBE_FACES
        return self._add(vertices + np.asarray(center), faces, material)

    def cylinder(
        self, center, radius: float, height: float, material: Material, top: float | None = None, axis: int = 2, n=16
    ) -> Solid:
        """A closed cylinder about ``axis``; ``top`` is the radius at its far end (0 makes a cone)."""
        ring, faces = _tube(n)
        vertices = ring.copy()
        vertices[:n, :2] *= radius
        vertices[n : 2 * n, :2] *= radius if top is None else top
        vertices[:, 2] *= height
        if axis != 2:
            vertices = np.roll(vertices, axis + 1, axis=1)
        return self._add(vertices + np.asarray(center), faces, material)

    def ellipsoid(self, center, radii, material: Material, n: int = 10, power: float = 1.0) -> Solid:
        """An ellipsoid; ``power`` below 1 squares it off to a cushion (a superellipsoid)."""
        sphere, faces = _sphere(n)
        vertices = sphere
        if power != 1.0:
            norm = (np.abs(sphere) ** (2.0 / power)).sum(axis=1, keepdims=True) ** (power / 2.0)
            vertices = sphere / norm
        return self._add(vertices * np.asarray(radii) + np.asarray(center), faces, material)

    def rod(self, a, b, radius: float, material: Material, n: int = 8) -> Solid:
        """A round bar between two points."""
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        ring, faces = _tube(n)
        length = float(np.linalg.norm(b - a))
        z = (b - a) / length
        x = np.cross(z, (0.0, 1.0, 0.0) if abs(z[1]) < 0.9 else (1.0, 0.0, 0.0))
        x /= np.linalg.norm(x)
        frame = np.stack([x * radius, np.cross(z, x) * radius, z * length])
        return self._add(ring @ frame + (a + b) / 2.0, faces, material)

    def quad(self, corners, material: Material, whole: bool = False) -> Solid:
        """Two triangles; ``whole`` shows the texture once, from its lower left at the first corner, anticlockwise."""
        uvs = np.array([[[0, 1], [1, 1], [1, 0]], [[0, 1], [1, 0], [0, 0]]], dtype=np.float64) if whole else None
        return self._add(np.asarray(corners, dtype=np.float64), _QUAD_FACES, material, uvs)

    def include(self, other: Solid, offset=(0.0, 0.0, 0.0), yaw: float = 0.0) -> Solid:
        """Adds another solid's parts, turned about z and moved."""
        for part in other.parts:
            vertices = _turned(part.vertices, yaw) + np.asarray(offset)
            self.parts.append(_Part(vertices, part.faces, part.uvs, part.material))
        return self

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest corner (3,), m."""
        vertices = np.concatenate([part.vertices for part in self.parts])
        return vertices.min(axis=0), vertices.max(axis=0)

    def _add(self, vertices, faces, material, uvs=None) -> Solid:
        self.parts.append(_Part(np.asarray(vertices, dtype=np.float64), faces, uvs, material))
        return self


class MeshBuilder:
    """Collects placed solids into one :class:`~embodied_nav.sim.mesh.SceneMesh`."""

    def __init__(self) -> None:
        self._chunks: list[tuple[np.ndarray, ...]] = []
        self._textures: dict[str, int] = {}
        self._count = 0

    def add(
        self, solid: Solid, position=(0.0, 0.0, 0.0), yaw: float = 0.0, instance: int = 0, shift=(0.0, 0.0)
    ) -> None:
        """Places a solid; ``shift`` offsets its textures so that no two pieces look the same."""
        local = np.concatenate([part.vertices for part in solid.parts])
        sizes = np.array([len(part.vertices) for part in solid.parts])
        counts = np.array([len(part.faces) for part in solid.parts])
        starts = np.repeat(np.concatenate([[0], np.cumsum(sizes)[:-1]]), counts)
        faces = np.concatenate([part.faces for part in solid.parts]) + starts[:, None]
        tiles = np.repeat([part.material.tile for part in solid.parts], counts)
        uvs = box_mapping(local[faces], tiles) + np.asarray(shift)
        at = 0
        for part, count in zip(solid.parts, counts, strict=True):
            if part.uvs is not None:
                uvs[at : at + count] = part.uvs
            at += count
        index = [self._textures.setdefault(p.material.texture, len(self._textures)) for p in solid.parts]
        tints = np.array([p.material.tint for p in solid.parts], dtype=np.uint8)
        world = _turned(local, yaw) + np.asarray(position, dtype=np.float64)
        self._chunks.append(
            (
                world.astype(np.float32),
                (faces + self._count).astype(np.int32),
                uvs.astype(np.float32),
                np.repeat(np.array(index, dtype=np.int32), counts),
                np.full(len(faces), instance, dtype=np.int32),
                np.repeat(tints, counts, axis=0),
            )
        )
        self._count += len(local)

    def build(self) -> SceneMesh:
        """The mesh of everything added."""
        vertices, faces, uvs, texture, instance, tint = (np.concatenate(c) for c in zip(*self._chunks, strict=True))
        return SceneMesh(
            vertices=vertices,
            faces=faces,
            uvs=uvs,
            texture=texture,
            textures=tuple(texture_image(name) for name in self._textures),
            instance=instance,
            tint=tint,
        )


def box_mapping(corners: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """Texture coordinates (Fx3x2) of triangles (Fx3x3) by projection along each normal's largest axis."""
    normal = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    axis = np.argmax(normal, axis=1)
    first = np.where(axis == 0, 1, 0)[:, None, None]
    second = np.where(axis == 2, 1, 2)[:, None, None]
    u = np.take_along_axis(corners, np.broadcast_to(first, (*corners.shape[:2], 1)), axis=2)
    v = np.take_along_axis(corners, np.broadcast_to(second, (*corners.shape[:2], 1)), axis=2)
    return np.concatenate([u, -v], axis=2) / tiles[:, None, None]


def _turned(vertices: np.ndarray, yaw: float) -> np.ndarray:
    if yaw == 0.0:
        return vertices
    c, s = math.cos(yaw), math.sin(yaw)
    return vertices @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


_CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_CUBE_FACES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
        *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ],
    dtype=np.int64,
)
_QUAD_FACES = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int64)


def _beveled(half: np.ndarray, bevel: float) -> tuple[np.ndarray, np.ndarray]:
    """A box with chamfered edges and corners: each of the 8 corners becomes 3 vertices (44 triangles)."""
    signs, faces = _beveled_template()
    inner = half - bevel
    vertices = np.repeat(_CUBE * inner, 3, axis=0) + signs * bevel
    return vertices, faces


@lru_cache(maxsize=1)
def _beveled_template() -> tuple[np.ndarray, np.ndarray]:
    signs = np.zeros((24, 3))
    for corner in range(8):
        for axis in range(3):
            signs[3 * corner + axis, axis] = _CUBE[corner, axis]
    vertices = np.repeat(_CUBE, 3, axis=0) + 0.2 * signs
    from scipy.spatial import ConvexHull

    faces = ConvexHull(vertices).simplices.astype(np.int64)
    return signs, _outward(vertices, faces)


@lru_cache(maxsize=16)
def _tube(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit cylinder about z, from -0.5 to 0.5: bottom ring, top ring, two centres."""
    angle = 2.0 * np.pi * np.arange(n) / n
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    low = np.column_stack([ring, np.full(n, -0.5)])
    high = np.column_stack([ring, np.full(n, 0.5)])
    vertices = np.concatenate([low, high, [[0.0, 0.0, -0.5], [0.0, 0.0, 0.5]]])
    i = np.arange(n)
    j = (i + 1) % n
    faces = np.concatenate(
        [
            np.stack([i, j, n + j], axis=1),
            np.stack([i, n + j, n + i], axis=1),
            np.stack([j, i, np.full(n, 2 * n)], axis=1),
            np.stack([n + i, n + j, np.full(n, 2 * n + 1)], axis=1),
        ]
    )
    return vertices, faces


@lru_cache(maxsize=16)
def _sphere(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere of n rings and 2 n segments."""
    lat = np.pi * (np.arange(1, n) / n - 0.5)
    lon = np.pi * np.arange(2 * n) / n
    m = 2 * n
    body = np.stack(
        [np.outer(np.cos(lat), np.cos(lon)), np.outer(np.cos(lat), np.sin(lon)), np.outer(np.sin(lat), np.ones(m))], -1
    ).reshape(-1, 3)
    vertices = np.concatenate([body, [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]])
    faces = []
    for k in range(m):
        after = (k + 1) % m
        faces.append((after, k, len(body)))
        faces.append(((n - 2) * m + k, (n - 2) * m + after, len(body) + 1))
        for r in range(n - 2):
            a, b = r * m + k, r * m + after
            faces += [(a, b, b + m), (a, b + m, a + m)]
    return vertices, np.array(faces, dtype=np.int64)


def _outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces of a convex body about the origin, turned so that their normals point out."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * (a + b + c)).sum(axis=1) < 0
    return np.where(inward[:, None], faces[:, ::-1], faces)
