"""Small scenes that the simulator's tests share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from embodied_nav.frames import OccupancyGrid
from embodied_nav.sim.mesh import SceneMesh

_BOX_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def blocks(size: int = 128, block: int = 4, seed: int = 0) -> np.ndarray:
    """A texture of random grey blocks."""
    values = np.random.default_rng(seed).integers(60, 255, (size // block, size // block), dtype=np.uint8)
    return np.repeat(np.repeat(values, block, axis=0), block, axis=1)[..., None].repeat(3, axis=2)


def mesh(triangles: np.ndarray, instance: np.ndarray | None = None, texture: np.ndarray | None = None) -> SceneMesh:
    """A mesh of Fx3x3 corners; texture coordinates are the two coordinates across each face's main axis."""
    triangles = np.asarray(triangles, dtype=np.float32)
    count = len(triangles)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    main = np.abs(normal).argmax(axis=1)
    across = np.sort(np.stack([(main + 1) % 3, (main + 2) % 3], axis=1), axis=1)
    return SceneMesh(
        vertices=triangles.reshape(-1, 3),
        faces=np.arange(3 * count).reshape(count, 3),
        uvs=np.take_along_axis(triangles, across[:, None, :].repeat(3, axis=1), axis=2),
        texture=np.zeros(count),
        textures=(blocks() if texture is None else texture,),
        instance=np.arange(1, count + 1) if instance is None else instance,
        tint=np.full((count, 3), 255),
    )


def box(center: tuple[float, float, float], half: tuple[float, float, float]) -> np.ndarray:
    """12x3x3 corners of a box."""
    signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    corners = signs * np.asarray(half, dtype=np.float64) + np.asarray(center)
    return np.array([[corners[i] for i in t] for a, b, c, d in _BOX_QUADS for t in ((a, b, c), (a, c, d))])


def sphere(center: tuple[float, float, float], radius: float, rings: int = 12) -> np.ndarray:
    """Corners of a sphere of 4 rings^2 triangles."""
    theta, phi = np.linspace(0.0, np.pi, rings + 1), np.linspace(0.0, 2.0 * np.pi, 2 * rings + 1)
    grid = np.stack(
        [np.outer(np.sin(theta), np.cos(phi)), np.outer(np.sin(theta), np.sin(phi)), np.outer(np.cos(theta), phi**0)], 2
    )
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    triangles = np.concatenate([np.stack([a, b, c], 2).reshape(-1, 3, 3), np.stack([a, c, d], 2).reshape(-1, 3, 3)])
    return triangles * radius + np.asarray(center)


def rooms(side: int = 2, faces: int = 4000, seed: int = 0) -> SceneMesh:
    """side x side rooms of 4 m with doors between them, filled with boxes and spheres up to a number of faces."""
    rng = np.random.default_rng(seed)
    length = 4.0 * side
    half = length / 2.0
    parts = [box((half, half, -0.05), (half, half, 0.05)), box((half, half, 2.65), (half, half, 0.05))]
    for k in range(side + 1):
        for r in range(side):
            for a, b in ((0.0, 4.0),) if k in (0, side) else ((0.0, 1.5), (2.5, 4.0)):
                middle, reach = 4.0 * r + (a + b) / 2.0, (b - a) / 2.0
                parts.append(box((4.0 * k, middle, 1.3), (0.05, reach, 1.3)))
                parts.append(box((middle, 4.0 * k, 1.3), (reach, 0.05, 1.3)))
    instance = [np.zeros(len(part)) for part in parts]
    while sum(map(len, parts)) < faces:
        x, y = rng.uniform(0.4, length - 0.4, 2)
        if rng.random() < 0.3:
            half_size = rng.uniform(0.1, 0.4, 3)
            parts.append(box((x, y, half_size[2]), half_size))
        else:
            radius = rng.uniform(0.1, 0.3)
            parts.append(sphere((x, y, radius + rng.uniform(0.0, 0.8)), radius, rings=int(rng.integers(8, 16))))
        instance.append(np.full(len(parts[-1]), len(instance)))
    return mesh(np.concatenate(parts), np.concatenate(instance))


def clearance_map(blocked: np.ndarray, resolution: float = 0.05) -> SimpleNamespace:
    """What the dynamics need of a navigable map, of HxW bool obstacles whose lower left corner is (0, 0)."""
    from scipy.ndimage import distance_transform_edt

    clearance = (distance_transform_edt(~blocked) * resolution).astype(np.float32)
    grid = OccupancyGrid(np.where(blocked, 100, 0).astype(np.int8), resolution, (0.0, 0.0))
    return SimpleNamespace(grid=grid, clearance=clearance)


@pytest.fixture(scope="session")
def scenes() -> SimpleNamespace:
    """Builders of small scenes."""
    return SimpleNamespace(blocks=blocks, mesh=mesh, box=box, sphere=sphere, rooms=rooms, clearance_map=clearance_map)


@pytest.fixture(scope="session")
def room_mesh() -> SceneMesh:
    """Four rooms with 4,000 faces."""
    return rooms()
