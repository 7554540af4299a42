"""Scores remembered objects against ground truth, and makes the tours to record them. Knows no agents."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..frames import MemoryObject, RGBDFrame
from ..geometry import Camera, pose2d
from ..robot import RobotProfile
from ..sim.interface import SceneObject
from ..sim.mesh import SceneDescription
from ..sim.navigable import NavigableMap
from ..sim.noise import DepthNoise
from ..sim.rasterizer import Rasterizer

#: m; a remembered object farther than this from every true one of its category is wrong.
RADIUS = 0.5


@dataclass(frozen=True)
class ObjectScore:
    """Counts over one or several scenes.

    Attributes:
        hits: pairs matched one to one. found, true: number of remembered and of true objects.
        off: category -> number remembered minus number true, if not 0.
    """

    hits: int
    found: int
    true: int
    off: dict[str, int]

    @property
    def precision(self) -> float:
        """Share of remembered objects that are correct."""
        return self.hits / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Share of true objects that are remembered."""
        return self.hits / max(self.true, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.hits / max(self.found + self.true, 1)


def score_objects(
    found: Sequence[MemoryObject], truth: Sequence[SceneObject], T_scene_map: np.ndarray, radius: float = RADIUS
) -> ObjectScore:
    """Matches objects of the same category one to one, as many as possible, centres at most ``radius`` (m) apart.

    Args:
        T_scene_map: 4x4; positions of ``found`` are in map, those of ``truth`` in the scene.
    """
    from scipy.optimize import linear_sum_assignment

    hits = 0
    for label in {o.category for o in truth}:
        a = np.array([T_scene_map[:3, :3] @ o.position + T_scene_map[:3, 3] for o in found if o.label == label])
        b = np.array([o.center for o in truth if o.category == label])
        if len(a):
            near = np.linalg.norm(a[:, None] - b[None], axis=2) <= radius
            hits += int(near[linear_sum_assignment(near, maximize=True)].sum())
    counts = Counter(o.label for o in found)
    counts.subtract(o.category for o in truth)
    return ObjectScore(hits, len(found), len(truth), {k: n for k, n in sorted(counts.items()) if n})


def tour(navigable: NavigableMap, spacing: float = 1.8, step: float = 0.25) -> list[tuple[float, float, float]]:
    """(x, y, yaw) of a drive to places all over the floor by shortest paths, with a look around at each.

    Args:
        spacing: m between places. step: m between poses on the way; turns on the spot are in steps of 30 degrees.
    """
    from ..planning.geodesic import descend

    left = _places(navigable, spacing)
    here = left.pop(0)
    poses: list[tuple[float, float, float]] = []
    while True:
        x, y = navigable.grid.centers(np.array(here))
        start = poses[-1][2] if poses else 0.0
        poses += [(float(x), float(y), start + k * math.pi / 6) for k in range(12)]
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
