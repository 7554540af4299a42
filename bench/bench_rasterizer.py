"""CPU time of a frame: this rasteriser against Embree's rays with the same shading, on the same views.

    python bench/bench_rasterizer.py [--faces 100000] [--frames 20]

The peer casts one ray a pixel with embreex and hands the faces that it hit to the same numba shading, so that the
difference is visibility alone. Times are process times of one thread, the best of three rounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.apartments import generate
from embodied_nav.sim.embedded import EmbeddedSimulator, LoadedScene, SceneCache
from embodied_nav.sim.fast import FastSimulator
from embodied_nav.sim.mesh import SceneDescription, SceneMesh
from embodied_nav.sim.noise import DepthNoise
from embodied_nav.sim.raster_scene import LIGHT_OFFSET
from embodied_nav.sim.raster_shading import shade
from embodied_nav.sim.rasterizer import Rasterizer


class RayCaster:
    """The peer: embreex for visibility, then the rasteriser's own shading, which is given depth for nothing."""

    def __init__(self, rasterizer: Rasterizer, poses: list[np.ndarray]) -> None:
        import trimesh
        from trimesh.ray.ray_pyembree import RayMeshIntersector

        self.rasterizer, mesh = rasterizer, rasterizer.scene.mesh
        faces = mesh.faces[rasterizer.scene.face]
        self.tracer = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, faces, process=False), scale_to_box=False)
        depths = {T.tobytes(): rasterizer.render_depth_ids(T)[0] for T in poses}
        self.inverse = {T: np.nan_to_num(1.0 / depth, nan=0.05).astype(np.float32) for T, depth in depths.items()}
        self.rays = rasterizer.camera.rays().reshape(-1, 3).astype(np.float64)

    def render(self, T: np.ndarray) -> np.ndarray:
        """HxWx3 uint8 colour of a view."""
        r, s = self.rasterizer, self.rasterizer.scene
        rays = self.rays @ T[:3, :3].T
        faces = self.tracer.intersects_first(np.broadcast_to(T[:3, 3], rays.shape), rays)
        ids = faces.reshape(r.camera.height, r.camera.width).astype(np.int32)
        inverse = self.inverse[T.tobytes()]
        color = np.empty((*ids.shape, 3), dtype=np.uint8)
        depth, instances = np.empty_like(inverse), np.empty_like(ids)
        shade(
            inverse, ids, T, (r.camera.fx, r.camera.fy, r.camera.cx, r.camera.cy), s.planes, s.instance, s.maps,
            s.texture, s.density, s.levels, s.texels, s.shades, s.light, s.light_origin, s.light_cell, LIGHT_OFFSET,
            np.zeros(3, dtype=np.uint8), color, depth, instances,
        )  # fmt: skip
        return color


def refined(mesh: SceneMesh, faces: int) -> SceneMesh:
    """The same scene with its longest triangles halved until it has at least that many."""
    corners = mesh.triangles.astype(np.float32)
    uvs, rows = mesh.uvs.copy(), np.arange(len(mesh.faces))
    while len(corners) < faces:
        longest = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        split = np.argsort(-longest.max(axis=1))[: max(1, min(len(corners), faces - len(corners)))]
        edge = longest[split].argmax(axis=1)
        turn = (edge[:, None] + np.arange(3)) % 3
        index = np.arange(len(split))[:, None]
        halves = []
        for values in (corners, uvs):
            a, b, c = np.moveaxis(values[split][index, turn], 1, 0)
            halves.append((np.stack([a, (a + b) / 2, c], axis=1), np.stack([(a + b) / 2, b, c], axis=1)))
        corners[split], uvs[split] = halves[0][0], halves[1][0]
        corners, uvs = np.concatenate([corners, halves[0][1]]), np.concatenate([uvs, halves[1][1]])
        rows = np.concatenate([rows, rows[split]])
    return SceneMesh(
        corners.reshape(-1, 3),
        np.arange(3 * len(corners)).reshape(-1, 3),
        uvs,
        mesh.texture[rows],
        mesh.textures,
        mesh.instance[rows],
        mesh.tint[rows],
    )


def views(scene: LoadedScene, count: int) -> list[np.ndarray]:
    """Camera poses at random free places."""
    rng = np.random.default_rng(0)
    places = scene.navigable.grid.centers(rng.permutation(scene.navigable.free_cells)[:count])
    mount = RobotProfile().T_base_camera()
    return [pose2d(x, y, yaw) @ mount for (x, y), yaw in zip(places, rng.uniform(-3.1, 3.1, count), strict=True)]


def milliseconds(call: Callable, arguments: list) -> float:
    """Mean CPU ms of a call, best of three rounds."""
    call(arguments[0])
    rounds = []
    for _ in range(3):
        started = time.process_time()
        for argument in arguments:
            call(argument)
        rounds.append(time.process_time() - started)
    return min(rounds) / len(arguments) * 1e3


def steps_per_second(scene: LoadedScene, poses: list[np.ndarray]) -> float:
    """Steps of the fast simulator, each with an image, per CPU second."""
    simulator, rng = FastSimulator(scene), np.random.default_rng(0)

    def rollout(T: np.ndarray) -> None:
        simulator.reset(T[0, 3], T[1, 3], float(rng.uniform(-3, 3)))
        for _ in range(20):
            simulator.step(0.4, float(rng.uniform(-1, 1)), 0.2)

    return 21 / milliseconds(rollout, poses) * 1e3


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faces", type=int, default=100_000, help="at least so many triangles (default: 100000)")
    parser.add_argument("--frames", type=int, default=20, help="views (default: 20)")
    arguments = parser.parse_args()
    apartment = generate(0)
    mesh = refined(apartment.mesh, arguments.faces)
    scene = SceneCache(RobotProfile()).make(SceneDescription(mesh, apartment.objects, apartment.rooms))
    poses = views(scene, arguments.frames)
    print(f"apartment 0 cut to {len(mesh.faces)} triangles, {len(poses)} views, CPU ms a frame (one thread)")
    print("| size | this: all | visibility | depth + ids | embreex rays + same shading | ratio |")
    print("|---|---|---|---|---|---|")
    for width, height in ((64, 48), (320, 240), (640, 480)):
        rasterizer = Rasterizer(scene.raster, Camera.from_hfov(width, height, np.pi / 2))
        whole, seen = milliseconds(rasterizer.render, poses), milliseconds(rasterizer._draw, poses)
        plain, rays = (
            milliseconds(rasterizer.render_depth_ids, poses),
            milliseconds(RayCaster(rasterizer, poses).render, poses),
        )
        print(f"| {width}x{height} | {whole:.2f} | {seen:.2f} | {plain:.2f} | {rays:.1f} | {rays / whole:.1f} |")
    depth = Rasterizer(scene.raster, Camera.from_hfov(320, 240, np.pi / 2)).render_depth_ids(poses[0])[0]
    print(f"depth noise at 320x240: {milliseconds(DepthNoise(0), [depth] * 20):.2f} ms")
    print(f"fast simulator at 64x48, base included: {steps_per_second(scene, poses):.0f} steps a CPU-second")
    preparing = milliseconds(EmbeddedSimulator()._cache.make, [scene.description])
    print(f"scene made ready (clusters, mip levels, light, navigable map): {preparing:.0f} ms")


if __name__ == "__main__":
    main()
