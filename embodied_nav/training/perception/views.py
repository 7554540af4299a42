"""Labelled views of apartments with random cameras, textures and furniture. Knows nothing of torch and of networks.

Every view depends on its index alone: a training that goes on after an interruption sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...config import Config, param
from ...geometry import Camera, pose2d
from ...models.compact import level_rotation, make_inputs, nearest, network_camera, resized
from ...robot import RobotProfile
from ...sim.apartments import CATEGORIES, COLORS, generate
from ...sim.apartments.textures import KINDS, texture_image
from ...sim.furniture import open_library, with_real_furniture
from ...sim.mesh import SceneDescription, SceneMesh
from ...sim.navigable import NavigableMap
from ...sim.noise import DepthNoise
from ...sim.raster_scene import RasterScene
from ...sim.rasterizer import Rasterizer

#: Names of the categories in the order of the network's channels.
NAMES = tuple(sorted(CATEGORIES))
#: Apartments in which categories are counted.
_COUNTED = 100
_UP = np.array([0.0, 0.0, 1.0])
#: Textures with a meaning of their own (books, pictures, views): they stay.
_MEANT = ("books", "picture", "view", "screen", "leaves")


@dataclass(frozen=True)
class ViewConfig(Config):
    """What views look like."""

    width: int = param(160, "width of the network's images", unit="px", low=32, high=640)
    camera_width: int = param(320, "width of the camera's images", unit="px", low=32, high=1280)
    first_scene: int = param(0, "seed of the first apartment", low=0)
    scenes: int = param(900, "apartments", low=1)
    scenes_at_once: int = param(24, "apartments among which views alternate", low=1, high=1000)
    views_a_scene: int = param(60, "views of an apartment before another takes its place", low=1)
    toward: float = param(0.6, "share of views toward a thing, rather of a rare category", low=0.0, high=1.0)
    retextured: float = param(0.6, "share of things and structures whose texture is another one", low=0.0, high=1.0)
    recolored: float = param(0.5, "share of things with another tint", low=0.0, high=1.0)
    first_variant: int = param(100, "number of the first other texture of a kind", low=0)
    variants: int = param(40, "other textures of a kind", low=1, high=10000)
    vary_camera: float = param(0.5, "share of views with another height, tilt and field of view", low=0.0, high=1.0)
    furniture: str = param("", "folder of .sh3f files, one of them, or furniture saved as .npz; empty: none", path=True)
    furnished: float = param(0.5, "share of apartments that get real furniture models", low=0.0, high=1.0)
    replaced: float = param(0.8, "share of their things that are replaced, where a model fits", low=0.0, high=1.0)
    furniture_split: str = param("train", "models to take", choices=("all", "train", "held_out"))
    no_depth: float = param(0.1, "share of views without depth", low=0.0, high=1.0)
    holes: float = param(0.3, "share of views with holes in depth", low=0.0, high=1.0)
    seed: int = param(0, "of all chance", low=0)


@dataclass(frozen=True, eq=False)
class View:
    """One labelled view.

    Attributes:
        inputs: 8xHxW float16. labels: hxw uint8, 0 or 1 + index in :data:`NAMES`, at half the size.
        centers: 3xhxw float16, m, surface to the object's centre in the level frame; NaN where there is no object.
        real: whether the apartment has real furniture models.
    """

    inputs: np.ndarray
    labels: np.ndarray
    centers: np.ndarray
    real: bool


class _Apartment:
    """An apartment with textures of its own, ready for rendering."""

    def __init__(self, seed: int, config: ViewConfig, rng: np.random.Generator) -> None:
        scene = generate(seed)
        navigable = NavigableMap(scene)
        scene = dataclasses.replace(scene, mesh=retextured(scene, config, rng))
        self.real = bool(config.furniture) and rng.random() < config.furnished
        if self.real:
            library = open_library(config.furniture)
            scene = with_real_furniture(scene, library, config.replaced, config.furniture_split, rng)
        self.raster = RasterScene(scene.mesh)
        self.places = navigable.grid.centers(navigable.free_cells)
        self.objects = scene.objects
        top = max((o.instance for o in scene.objects), default=0) + 1
        self.label = np.zeros(top, dtype=np.int64)
        self.center = np.full((top, 3), np.nan)
        for thing in scene.objects:
            self.label[thing.instance] = 1 + NAMES.index(thing.category)
            self.center[thing.instance] = thing.center
        self.by_category: dict[str, list[np.ndarray]] = {}
        for thing in scene.objects:
            self.by_category.setdefault(thing.category, []).append(np.asarray(thing.center))


class Views:
    """An endless series of views: ``views[k]``, best asked for in order."""

    def __init__(self, config: ViewConfig) -> None:
        self.config = config
        self._apartments: OrderedDict[int, _Apartment] = OrderedDict()
        self._robot = RobotProfile()
        self._rarity = rarity(config.first_scene, min(config.scenes, _COUNTED)) if config.toward > 0.0 else {}

    def __getitem__(self, index: int) -> View:
        config = self.config
        rng = np.random.default_rng([config.seed, 1, index])
        apartment = self._apartment(index)
        for _ in range(8):
            T, camera, height = self._pose(apartment, rng)
            color, depth, ids = Rasterizer(apartment.raster, camera).render(T)
            if np.count_nonzero(np.bincount(ids.ravel())) >= 3:  # at least two things beside the structure
                break
        small = network_camera(camera, config.width)
        size, R = (small.width, small.height), level_rotation(T, _UP)
        color, measured = resized(color, self._measured(depth, rng), *size)
        inputs = make_inputs(color, measured, small, R, height + rng.normal(0.0, 0.02)).astype(np.float16)
        ids = nearest(ids.astype(np.uint16), *size)[1::2, 1::2]
        centers = _centers(apartment.center, ids, nearest(depth, *size)[1::2, 1::2], small, T, R)
        return View(inputs, apartment.label[ids].astype(np.uint8), centers, apartment.real)

    def _apartment(self, index: int) -> _Apartment:
        """Slots of apartments that are replaced one at a time, each after the same number of views."""
        config = self.config
        slot = index % config.scenes_at_once
        turn = index // config.scenes_at_once  # of this slot
        shift = slot * config.views_a_scene // config.scenes_at_once  # so that they are not all replaced at once
        number = (turn + shift) // config.views_a_scene * config.scenes_at_once + slot
        if number not in self._apartments:
            rng = np.random.default_rng([config.seed, 2, number])
            scene = config.first_scene + (number * 7919 % config.scenes if config.scenes > 1 else 0)
            self._apartments[number] = _Apartment(scene, config, rng)
            if len(self._apartments) > config.scenes_at_once:
                self._apartments.popitem(last=False)
        self._apartments.move_to_end(number)
        return self._apartments[number]

    def _pose(self, apartment: _Apartment, rng: np.random.Generator) -> tuple[np.ndarray, Camera, float]:
        """Camera pose in the scene, its intrinsics, its height."""
        config, robot = self.config, self._robot
        height, pitch, hfov = robot.camera_height, robot.camera_pitch, math.pi / 2
        if rng.random() < config.vary_camera:
            height, pitch = rng.uniform(0.3, 1.5), rng.uniform(-0.1, 0.5)
            hfov = math.radians(rng.uniform(58.0, 100.0))
        place = apartment.places[rng.integers(len(apartment.places))]
        yaw = rng.uniform(-math.pi, math.pi)
        if rng.random() < config.toward:
            categories = sorted(apartment.by_category)
            weights = np.array([self._rarity[category] for category in categories])
            things = apartment.by_category[categories[rng.choice(len(categories), p=weights / weights.sum())]]
            target = things[rng.integers(len(things))]
            distance = np.linalg.norm(apartment.places - target[:2], axis=1)
            near = apartment.places[(distance < rng.uniform(1.0, 4.0)) & (distance > 0.4)]
            if len(near):
                place = near[rng.integers(len(near))]
                yaw = math.atan2(target[1] - place[1], target[0] - place[0]) + rng.normal(0.0, 0.35)
        mount = RobotProfile(camera_height=height, camera_pitch=pitch, camera_forward=0.0).T_base_camera()
        camera = Camera.from_hfov(config.camera_width, config.camera_width * 3 // 4, hfov)
        return pose2d(float(place[0]), float(place[1]), yaw) @ mount, camera, height

    def _measured(self, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Depth as a sensor gives it, now and then with holes; None for a camera without depth."""
        config = self.config
        if rng.random() < config.no_depth:
            return None
        noisy = DepthNoise(int(rng.integers(2**62)), far=rng.uniform(5.0, 10.0), near=rng.uniform(0.1, 0.4))(depth)
        if rng.random() < config.holes:
            for _ in range(rng.integers(1, 6)):
                y, x = rng.integers(depth.shape[0]), rng.integers(depth.shape[1])
                h, w = rng.integers(4, 40, 2)
                noisy[max(y - h // 2, 0) : y + h // 2, max(x - w // 2, 0) : x + w // 2] = np.nan
        return noisy


@lru_cache(maxsize=4)
def rarity(first_scene: int, scenes: int) -> dict[str, float]:
    """Category -> how much rather views look at it: the rarer the apartments that have one, the more."""
    having = dict.fromkeys(NAMES, 1)
    for seed in range(first_scene, first_scene + scenes):
        for category in {thing.category for thing in generate(seed).objects}:
            having[category] += 1
    return {category: (scenes / count) ** 0.7 for category, count in having.items()}


def retextured(scene: SceneDescription, config: ViewConfig, rng: np.random.Generator) -> SceneMesh:
    """The scene's mesh, with other textures and tints for a share of its things and structures."""
    mesh = scene.mesh
    kinds = sorted(set(KINDS) - set(_MEANT))
    meant = {id(texture_image(f"{kind}-{k}")) for kind in _MEANT for k in range(12)}
    textures, texture, tint = list(mesh.textures), mesh.texture.copy(), mesh.tint.copy()
    pairs, of_face = np.unique(np.stack([mesh.instance, mesh.texture], axis=1), axis=0, return_inverse=True)
    order = np.argsort(of_face.ravel(), kind="stable")
    bounds = np.searchsorted(of_face.ravel()[order], np.arange(len(pairs) + 1))
    for k, (instance, old) in enumerate(pairs):
        faces = order[bounds[k] : bounds[k + 1]]
        if rng.random() < config.retextured and id(mesh.textures[old]) not in meant:
            variant = config.first_variant + int(rng.integers(config.variants))
            texture[faces] = len(textures)
            textures.append(texture_image(f"{kinds[rng.integers(len(kinds))]}-{variant}"))
        if instance > 0 and rng.random() < config.recolored:
            tint[faces] = _other_tint(tint[faces], rng)
    return dataclasses.replace(mesh, textures=tuple(textures), texture=texture, tint=tint)


def _other_tint(tint: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fx3 uint8 in another hue, with the shades of the old ones."""
    names = sorted(COLORS)
    base = np.array(COLORS[names[rng.integers(len(names))]], dtype=np.float64)
    shade = tint.mean(axis=1, keepdims=True) / max(float(tint.mean()), 1.0)
    return np.clip(base * rng.uniform(0.7, 1.15, 3) * np.clip(shade, 0.4, 1.6), 8, 255).astype(np.uint8)


def _centers(
    center: np.ndarray, ids: np.ndarray, depth: np.ndarray, camera: Camera, T_scene_camera: np.ndarray, R: np.ndarray
) -> np.ndarray:
    """3xhxw float16, see :class:`View`; ``ids`` and ``depth`` are those of every second pixel of the camera's image."""
    v, u = np.mgrid[: ids.shape[0], : ids.shape[1]] * 2.0 + 1.0
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(ids.shape)], axis=-1)
    points = rays * depth[..., None]
    T_camera_scene = np.linalg.inv(T_scene_camera)
    to = center[ids] @ T_camera_scene[:3, :3].T + T_camera_scene[:3, 3] - points
    return np.ascontiguousarray((to @ R.T).transpose(2, 0, 1), dtype=np.float16)
