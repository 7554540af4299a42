"""Views of simulated scenes: a furnished flat, and two rooms that look alike to the last pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.mesh import SceneMesh
from embodied_nav.sim.noise import DepthNoise, OdometryNoise
from embodied_nav.sim.rasterizer import Rasterizer

CAMERA = Camera.from_hfov(320, 240, math.pi / 2)


@dataclass(frozen=True, eq=False)
class Shot:
    """What a robot gets at a pose, and the truth."""

    stamp: int
    color: np.ndarray
    depth: np.ndarray
    T_odom_camera: np.ndarray
    T_true_camera: np.ndarray


class Studio:
    """Renders a scene from planar poses, with depth noise where a seed is given."""

    def __init__(self, mesh: SceneMesh, noise_seed: int | None = 1) -> None:
        self.rasterizer = Rasterizer(mesh, CAMERA)
        self.noise = None if noise_seed is None else DepthNoise(noise_seed)
        self.T_base_camera = RobotProfile().T_base_camera()

    def shoot(self, T_map_base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colour and depth of the robot's camera."""
        color, depth, _ = self.rasterizer.render(T_map_base @ self.T_base_camera)
        return color, depth if self.noise is None else self.noise(depth)

    def drive(self, waypoints: list[tuple[float, float]], seed: int = 0, step: float = 0.15) -> Iterator[Shot]:
        """Straight lines and turns on the spot with drifting odometry; starts at the first way point."""
        odometry = OdometryNoise(0.02, math.radians(0.5), np.random.default_rng(seed))
        (x, y), heading = waypoints[0], math.atan2(waypoints[1][1] - waypoints[0][1], waypoints[1][0] - waypoints[0][0])
        start = pose2d(x, y, heading)
        stamp = 0
        for motion in _motions(waypoints, heading, step):
            odometry.update(motion[0], 0.0, motion[1])
            x, y = x + math.cos(heading) * motion[0], y + math.sin(heading) * motion[0]
            heading += motion[1]
            color, depth = self.shoot(pose2d(x, y, heading))
            stamp += 100_000_000
            T_odom_camera = start @ odometry.T_odom_base @ self.T_base_camera
            yield Shot(stamp, color, depth, T_odom_camera, pose2d(x, y, heading) @ self.T_base_camera)


def _motions(waypoints, heading, step) -> Iterator[tuple[float, float]]:
    yield 0.0, 0.0
    for (x0, y0), (x1, y1) in zip(waypoints, waypoints[1:], strict=False):
        course = math.atan2(y1 - y0, x1 - x0)
        turn = math.remainder(course - heading, 2 * math.pi)
        for _ in range(n := math.ceil(abs(turn) / 0.18)):
            yield 0.0, turn / n
        heading = course
        length = math.hypot(x1 - x0, y1 - y0)
        for _ in range(n := math.ceil(length / step)):
            yield length / n, 0.0


class Builder:
    """Collects textured rectangles into a mesh."""

    def __init__(self) -> None:
        self.vertices, self.faces, self.uvs, self.texture, self.textures = [], [], [], [], []

    def wall(self, a: tuple, b: tuple, low: float = 0.0, high: float = 2.5, texture: int = 0) -> None:
        """Upright rectangle over the floor line from a to b."""
        (ax, ay), (bx, by) = a, b
        self.quad([(ax, ay, low), (bx, by, low), (bx, by, high), (ax, ay, high)], texture)

    def quad(self, corners: list[tuple], texture: int) -> None:
        """Rectangle; the picture covers it once."""
        n = len(self.vertices)
        self.vertices += corners
        self.faces += [[n, n + 1, n + 2], [n, n + 2, n + 3]]
        self.uvs += [[(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 1), (0, 1)]]
        self.texture += [texture, texture]

    def block(self, x: float, y: float, size: tuple[float, float, float], texture: int) -> None:
        """A piece of furniture with its corner at (x, y)."""
        w, d, h = size
        corners = [(x, y), (x + w, y), (x + w, y + d), (x, y + d)]
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            self.wall(a, b, 0.0, h, texture)
        self.quad([(cx, cy, h) for cx, cy in corners], texture)

    def mesh(self) -> SceneMesh:
        """The scene."""
        count = len(self.faces)
        return SceneMesh(
            np.array(self.vertices, np.float32), np.array(self.faces), np.array(self.uvs, np.float32),
            np.array(self.texture), tuple(self.textures), np.zeros(count, np.int32), np.full((count, 3), 255),
        )  # fmt: skip


def picture(seed: int, cells: int = 32) -> np.ndarray:
    """128x128x3 uint8: blocks of random colours, full of corners."""
    small = np.random.default_rng(seed).integers(40, 230, (cells, cells, 3)).astype(np.uint8)
    return np.kron(small, np.ones((128 // cells, 128 // cells, 1), np.uint8))


def furnished(builder: Builder, x: float, textures: list[int], doors: tuple[bool, bool] = (False, False)) -> None:
    """A room of 4 x 5 m from (x, 0), three pieces of furniture; doors open its left and right wall at 2 < y < 3."""
    builder.wall((x, 0), (x + 4, 0), texture=textures[0])
    builder.wall((x, 5), (x + 4, 5), texture=textures[1])
    for side, open_ in ((x, doors[0]), (x + 4, doors[1])):
        for y0, y1 in ((0, 2), (3, 5)) if open_ else ((0, 5),):
            builder.wall((side, y0), (side, y1), texture=textures[2])
    builder.quad([(x, 0, 0), (x + 4, 0, 0), (x + 4, 5, 0), (x, 5, 0)], textures[3])
    builder.block(x + 0.1, 0.2, (0.8, 0.6, 0.9), textures[4])
    builder.block(x + 2.8, 4.2, (1.0, 0.7, 0.6), textures[5])
    builder.block(x + 0.3, 4.0, (0.6, 0.6, 1.4), textures[4])


@pytest.fixture(scope="session")
def room() -> Studio:
    """One room."""
    builder = Builder()
    builder.textures = [picture(k) for k in range(6)]
    furnished(builder, 0.0, list(range(6)))
    return Studio(builder.mesh())


@pytest.fixture(scope="session")
def twin_rooms() -> Studio:
    """Two equal rooms side by side, 5 m apart, a passage between them."""
    builder = Builder()
    builder.textures = [picture(k) for k in range(7)]
    for x, doors in ((0.0, (False, True)), (5.0, (True, False))):
        furnished(builder, x, list(range(6)), doors)
    for y in (2, 3):
        builder.wall((4, y), (5, y), texture=6)
    builder.quad([(4, 2, 0), (5, 2, 0), (5, 3, 0), (4, 3, 0)], 6)
    return Studio(builder.mesh())


@pytest.fixture(scope="session")
def blank_wall() -> Studio:
    """Nothing but a wall without end."""
    builder = Builder()
    builder.textures = [np.full((128, 128, 3), 200, np.uint8)]
    builder.quad([(3, -40, -30), (3, 40, -30), (3, 40, 30), (3, -40, 30)], 0)
    return Studio(builder.mesh(), noise_seed=None)


@pytest.fixture(scope="session")
def papered_wall() -> Studio:
    """A wall without end and without a corner: soft blotches of 0.3 m, and depth that jitters."""
    rows = np.arange(256) / 256
    waves = np.random.default_rng(3).uniform(-1, 1, (6, 6, 2))
    grey = np.zeros((256, 256))
    for i, j in np.ndindex(6, 6):
        phase = 2 * np.pi * ((i + 3) * rows[:, None] + (j + 3) * rows[None, :])
        grey += waves[i, j, 0] * np.cos(phase) + waves[i, j, 1] * np.sin(phase)
    grey = (128 + 35 * grey / grey.std()).clip(0, 255).astype(np.uint8)
    builder = Builder()
    builder.textures = [np.repeat(grey[..., None], 3, axis=2)]
    for y, z in np.ndindex(8, 4):
        left, low = 2.0 * y - 8, 2.0 * z - 4
        corners = [(1.2, left, low), (1.2, left + 2, low), (1.2, left + 2, low + 2), (1.2, left, low + 2)]
        builder.quad(corners, 0)
    return Studio(builder.mesh())


@pytest.fixture(scope="session")
def slam_of() -> Callable:
    """Makes a Slam, or skips where its solver is missing."""
    pytest.importorskip("gtsam", reason="gtsam is not installed: embodied-nav doctor says how to get it")
    from embodied_nav.slam import Slam

    return Slam
