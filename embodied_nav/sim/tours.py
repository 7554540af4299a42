"""Tours through a scene, and the frames that a camera takes on them. Knows no agents and no memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..frames import RGBDFrame
from ..geometry import Camera, pose2d
from ..planning.geodesic import descend
from ..robot import RobotProfile
from .mesh import SceneDescription
from .navigable import NavigableMap
from .noise import DepthNoise
from .rasterizer import Rasterizer


def tour(
    navigable: NavigableMap,
    spacing: float = 1.8,
    step: float = 0.25,
    rng: np.random.Generator | None = None,
    looks: int = 12,
) -> list[tuple[float, float, float]]:
    """(x, y, yaw) of a drive to places all over the floor by shortest paths, with a look around at each.

    Args:
        spacing: m between places. step: m between poses on the way.
        rng: draws where it begins, and at each place whether it turns left or right; None: at the place with the
            most clearance, and left.
        looks: views of each look around, evenly over the full turn.
    """
    left = _places(navigable, spacing)
    here = left.pop(0 if rng is None else int(rng.integers(len(left))))
    poses: list[tuple[float, float, float]] = []
    while True:
        x, y = navigable.grid.centers(np.array(here))
        start = poses[-1][2] if poses else 0.0
        turn = 2.0 * math.pi / looks * (1 if rng is None or rng.random() < 0.5 else -1)
        poses += [(float(x), float(y), start + k * turn) for k in range(looks)]
        if not left:
            return poses
        field = navigable.geodesic_field(np.array([here]))
        target = min(left, key=lambda cell: (float(field[cell]), cell))
        left.remove(target)
        way = navigable.grid.centers(descend(field, target)[::-1][:: max(1, round(step / navigable.resolution))])
        for a, b in zip(way[:-1], way[1:], strict=True):
            poses.append((float(b[0]), float(b[1]), math.atan2(b[1] - a[1], b[0] - a[0])))
        here = target


def _places(navigable: NavigableMap, spacing: float) -> list[tuple[int, int]]:
    """Free cells at most ``spacing`` apart, those with the most clearance first."""
    cells = navigable.free_cells
    order = np.argsort(-navigable.clearance[tuple(cells.T)], kind="stable")
    cells, places = cells[order], []
    while len(cells):
        row, column = int(cells[0][0]), int(cells[0][1])
        places.append((row, column))
        away = navigable.geodesic_field(np.array([places[-1]]))[tuple(cells.T)]
        cells = cells[away > spacing]
    return places


def frames(
    scene: SceneDescription,
    poses: Sequence[tuple[float, float, float]],
    robot: RobotProfile,
    camera: Camera,
    noise_seed: int | None = 0,
    first_stamp: int = 200_000_000,
) -> Iterator[RGBDFrame]:
    """The frames that a robot sees at these poses in the scene, 5 a second; map and scene frames are the same.

    Args:
        noise_seed: of the depth noise; None for none.
    """
    rasterizer = Rasterizer(scene.mesh, camera)
    noise = None if noise_seed is None else DepthNoise(noise_seed, 10.0)
    for k, (x, y, yaw) in enumerate(poses):
        T = pose2d(x, y, yaw) @ robot.T_base_camera()
        color, depth, ids = rasterizer.render(T)
        yield RGBDFrame(first_stamp + k * 200_000_000, camera, T, color, depth if noise is None else noise(depth), ids)
