"""CPU time of forecasting what the camera will show of a thing from many places, against Embree's rays.

    python bench/bench_framing.py [--scene 901] [--places 150]

The peer casts a coarse picture (64 x 48 rays) from every place into the same boxes with embreex. Both forecasts are
also compared with pictures rendered of the true scene. Times are process times of one thread, the best of three rounds.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from embodied_nav.frames import MemoryObject
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.reasoner.framing import Eye, Framing
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.episodes import apartment
from embodied_nav.sim.goals import object_region
from embodied_nav.sim.interface import SceneObject
from embodied_nav.sim.raster_scene import RasterScene
from embodied_nav.sim.rasterizer import Rasterizer

RAYS = (64, 48)


class RayCaster:
    """The peer: embreex on the objects' boxes."""

    def __init__(self, eye: Eye, objects: list[MemoryObject]) -> None:
        import trimesh
        from trimesh.ray.ray_pyembree import RayMeshIntersector

        boxes = [
            trimesh.creation.box(o.extent, np.block([[np.eye(3), o.position[:, None]], [np.zeros(3), 1.0]]))
            for o in objects
        ]
        self._owner = np.repeat([o.id for o in objects], [len(box.faces) for box in boxes])
        self._tracer = RayMeshIntersector(trimesh.util.concatenate(boxes), scale_to_box=False)
        self._rays = eye.camera.resized(*RAYS).rays().reshape(-1, 3).astype(np.float64)
        self._mount = eye.T_base_camera

    def shares(self, thing: MemoryObject, places: np.ndarray, headings: np.ndarray) -> np.ndarray:
        """N: share of the rays that hit the thing first."""
        out = []
        for (x, y), heading in zip(places, headings, strict=True):
            T = pose2d(x, y, heading) @ self._mount
            rays = self._rays @ T[:3, :3].T
            face = self._tracer.intersects_first(np.broadcast_to(T[:3, 3], rays.shape), rays)
            out.append(float(((face >= 0) & (self._owner[np.maximum(face, 0)] == thing.id)).mean()))
        return np.array(out)


def remembered(o: SceneObject) -> MemoryObject:
    """A thing as a perfect memory holds it: its box along the map's axes."""
    c, s = abs(math.cos(o.yaw)), abs(math.sin(o.yaw))
    extent = np.array([c * o.extent[0] + s * o.extent[1], s * o.extent[0] + c * o.extent[1], o.extent[2]])
    return MemoryObject(o.instance, o.category, o.color, np.array(o.center), extent, 1.0, 100, 1, 1, 0)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scene", type=int, default=901)
    parser.add_argument("--places", type=int, default=150)
    args = parser.parse_args()
    description, navigable = apartment(args.scene)
    objects = [remembered(o) for o in description.objects]
    eye = Eye(Camera.from_hfov(320, 240, math.pi / 2), RobotProfile().T_base_camera())
    peer, rasterizer = RayCaster(eye, objects), Rasterizer(RasterScene(description.mesh), eye.camera)
    rng, times, rows = np.random.default_rng(0), [], []
    for o, memory in zip(description.objects, objects, strict=True):
        cells = np.argwhere(object_region(navigable, o))
        if len(cells) < 20:
            continue
        places = navigable.grid.centers(cells[rng.integers(0, len(cells), args.places)])
        own, (headings, shares) = timed(lambda m=memory, p=places: Framing(eye, navigable.grid, objects).look(m, p))
        cast, others = timed(lambda m=memory, p=places, h=headings: peer.shares(m, p, h))
        times.append((own, cast))
        for k in range(0, args.places, args.places // 10):
            _, ids = rasterizer.render_depth_ids(pose2d(*places[k], headings[k]) @ eye.T_base_camera)
            rows.append((shares[k], others[k], float((ids == o.instance).mean())))
    ours, theirs = np.median(times, axis=0)
    print(f"{len(times)} things, {args.places} places each: {ours:.2f} ms a thing; embreex {theirs:.1f} ms")
    print(f"ratio embreex / this: {theirs / ours:.1f}")
    mine, cast_share, truth = np.array(rows).T
    for name, share in (("this", mine), ("embreex", cast_share)):
        well = share >= 0.03
        print(
            f"{name}: {well.mean():.1%} of the places well in view, of these {(truth[well] >= 0.01).mean():.1%} truly"
        )
    print(f"all places: {(truth >= 0.01).mean():.1%}")


def timed(job):
    """Milliseconds of process time, the best of three, and the result."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        result = job()
        seconds.append(time.process_time() - start)
    return 1000.0 * min(seconds), result


if __name__ == "__main__":
    main()
