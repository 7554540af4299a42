"""A scene whose furniture is put elsewhere, carried off and brought back; and people who walk through it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.planning.geodesic import descend
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.mesh import SceneDescription, SceneMesh
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.rasterizer import Rasterizer

#: m: an event's place may be off by this; space around a thing that is put down; how far at least it is carried.
NEAR, _AROUND, _FAR = 0.6, 0.45, 1.2
#: What nobody carries.
_FIXED = {"bathtub", "cabinet", "kitchen counter", "oven", "refrigerator", "shower", "sink", "stove", "toilet"}
#: Longest side of what is carried, m, and its smallest height.
_LONGEST, _TALL = 1.3, 0.35
#: People are drawn, and count as seen, within this (m); they stand so near (m) before the robot, and take another way
#: after so long (s).
_IN_SIGHT, _BEFORE, _PATIENCE = 6.0, 0.9, 3.0


@dataclass(frozen=True, eq=False)
class Change:
    """A thing of some category left a place, or appeared at one ((2,) m): two of equal looks cannot be told apart."""

    kind: str
    label: str
    place: np.ndarray

    def same(self, other: Change) -> bool:
        """Whether both tell of one."""
        return (self.kind, self.label) == (other.kind, other.label) and bool(
            np.linalg.norm(self.place - other.place) < NEAR
        )


def parts(kind_of_thing: str, source: np.ndarray | None, target: np.ndarray | None) -> list[Change]:
    """What left and what appeared."""
    places = (("left", source), ("appeared", target))
    return [Change(kind, kind_of_thing, np.asarray(p)[:2]) for kind, p in places if p is not None]


class Furniture:
    """A scene whose movable things are put elsewhere, carried off and brought back.

    Args:
        clear: (2,) m, nothing is put near this.
    """

    def __init__(self, scene: SceneDescription, seed: int, clear: np.ndarray | None = None) -> None:
        self._empty, self._rng = scene, np.random.default_rng(seed)
        self._clear = np.full(2, np.inf) if clear is None else clear
        self._offsets: dict[int, np.ndarray | None] = {
            o.instance: np.zeros(2)
            for o in scene.objects
            if o.category not in _FIXED
            and max(o.extent) < _LONGEST
            and o.extent[2] > _TALL
            and o.center[2] - o.extent[2] / 2 < 0.05
        }
        self._objects = {o.instance: o for o in scene.objects}

    def scene(self) -> SceneDescription:
        """As it is now."""
        m, gone = self._empty.mesh, [i for i, offset in self._offsets.items() if offset is None]
        keep = ~np.isin(m.instance, gone)
        # A vertex may belong to several things: each face gets its own.
        vertices = m.triangles[keep].reshape(-1, 3).copy()
        of = np.repeat(m.instance[keep], 3)
        for i, offset in self._offsets.items():
            if offset is not None:
                vertices[of == i, :2] += offset.astype(np.float32)
        faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
        mesh = SceneMesh(vertices, faces, m.uvs[keep], m.texture[keep], m.textures, m.instance[keep], m.tint[keep])
        objects = tuple(
            replace(o, center=(*self._place(o.instance), o.center[2]))
            for o in self._empty.objects
            if o.instance not in gone
        )
        return replace(self._empty, mesh=mesh, objects=objects)

    def change(self, count: int, seen: set[int] | None = None) -> list[Change]:
        """Changes some things, of those that were seen (None: of all)."""
        chosen = self._rng.permutation([i for i in self._offsets if seen is None or i in seen])[:count]
        return [c for i in chosen.tolist() for c in self._change(i)]

    def _change(self, i: int) -> list[Change]:
        label, source = self._objects[i].category, self._place(i)
        there = self._offsets[i] is not None
        if there and self._rng.random() < 0.4:
            self._offsets[i] = None
            return parts(label, source, None)
        place = self._free_place(i, source)
        if place is None:
            return []
        self._offsets[i] = place - np.array(self._objects[i].center[:2])
        return parts(label, source if there else None, place)

    def _place(self, i: int) -> np.ndarray:
        offset = self._offsets.get(i)
        return np.array(self._objects[i].center[:2]) + (0.0 if offset is None else offset)

    def _free_place(self, i: int, away_from: np.ndarray) -> np.ndarray | None:
        navigable = NavigableMap(self.scene(), RobotProfile())
        cells = navigable.free_cells
        places = navigable.grid.centers(cells)
        room = np.hypot(*self._objects[i].extent[:2]) / 2 + _AROUND
        fits = (navigable.clearance[tuple(cells.T)] > room) & (np.linalg.norm(places - away_from, axis=1) > _FAR)
        fits &= np.linalg.norm(places - self._clear, axis=1) > _FAR
        return self._rng.choice(places[fits]) if fits.any() else None


class People:
    """People who walk about a scene at 0.8 m/s, from one place to another, and stand before the robot.

    Args:
        count: how many. camera: of the images that they are drawn into.
    """

    def __init__(self, count: int, camera: Camera, seed: int) -> None:
        self._rng, self._raster = np.random.default_rng(seed), Rasterizer(_person(), camera)
        self._places: list[np.ndarray | None] = [None] * count
        self._ways: list[np.ndarray] = [np.zeros((0, 2))] * count
        self._waited = [0.0] * count

    def walk(self, navigable: NavigableMap, robot: np.ndarray, seconds: float) -> bool:
        """Everybody walks on; True where somebody moved within sight of the robot ((2,) m)."""
        near = False
        for k, place in enumerate(self._places):
            if place is None or not len(self._ways[k]) or self._waited[k] > _PATIENCE:
                place = self._choose(k, navigable, robot, place)
            ahead = self._ways[k][0] - place
            step = place + ahead * min(1.0, 0.8 * seconds / max(float(np.linalg.norm(ahead)), 1e-6))
            if np.linalg.norm(step - robot) < _BEFORE and np.linalg.norm(step - robot) < np.linalg.norm(place - robot):
                self._waited[k] += seconds
            else:
                self._places[k], self._waited[k] = step, 0.0
                near |= bool(np.linalg.norm(step - robot) < _IN_SIGHT)
                if np.linalg.norm(step - self._ways[k][0]) < 1e-3:
                    self._ways[k] = self._ways[k][1:]
        return near

    def _choose(self, k: int, navigable: NavigableMap, robot: np.ndarray, place: np.ndarray | None) -> np.ndarray:
        """Another way for one of them; the first time a place of its own, too."""
        centers = navigable.grid.centers(navigable.free_cells)
        if place is None:
            far = centers[np.linalg.norm(centers - robot, axis=1) > 1.5]
            place = self._places[k] = self._rng.choice(far)
        field = navigable.geodesic_field(np.array([navigable.nearest_free(self._rng.choice(centers))]))
        cells = descend(field, navigable.nearest_free(place))
        way = navigable.grid.centers(cells)[1:] if len(cells) else np.zeros((0, 2))
        self._ways[k], self._waited[k] = (way if len(way) else place[None]), 0.0
        return place

    def draw(self, T_scene_camera: np.ndarray, color: np.ndarray, depth: np.ndarray, ids: np.ndarray) -> None:
        """Draws everybody into an image with its depth (m) and instance ids, in place."""
        for place in self._places:
            if place is None or np.linalg.norm(place - T_scene_camera[:2, 3]) > _IN_SIGHT:
                continue
            seen, far, _ = self._raster.render(pose2d(-place[0], -place[1], 0.0) @ T_scene_camera)
            hides = np.isfinite(far) & ~(depth <= far)
            color[hides], depth[hides], ids[hides] = seen[hides], far[hides], 0


def _person() -> SceneMesh:
    """An upright box of clothes, 0.45 x 0.3 x 1.7 m, its foot in the origin."""
    corners = np.array([[x, y, z] for z in (0.02, 1.7) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))], np.float64)
    corners[:, :2] *= (0.225, 0.15)
    sides = [[a, (a + 1) % 4, (a + 1) % 4 + 4, a + 4] for a in range(4)] + [[4, 5, 6, 7]]
    faces = np.array([f for a, b, c, d in sides for f in ((a, b, c), (a, c, d))], np.int32)
    uvs = np.tile(np.array([[[0, 1], [1, 1], [1, 0]], [[0, 1], [1, 0], [0, 0]]], np.float64), (len(sides), 1, 1))
    clothes = np.random.default_rng(5).integers(40, 200, (16, 16, 3), dtype=np.uint8)
    zeros = np.zeros(len(faces), np.int32)
    return SceneMesh(
        corners.astype(np.float32), faces, uvs, zeros, (np.kron(clothes, np.ones((4, 4, 1), np.uint8)),), zeros,
        np.full((len(faces), 3), 255, np.uint8),
    )  # fmt: skip
