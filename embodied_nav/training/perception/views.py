"""Labelled views of apartments with random cameras, textures and light. Knows nothing of torch and of networks.

Every view depends on its index alone: a training that goes on after an interruption sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from ...config import Config, param
from ...geometry import Camera, pose2d
from ...models.compact import level_rotation, make_inputs
from ...robot import RobotProfile
from ...sim.apartments import CATEGORIES, COLORS, generate
from ...sim.apartments.textures import KINDS, texture_image
from ...sim.mesh import SceneDescription, SceneMesh
from ...sim.navigable import NavigableMap
from ...sim.noise import DepthNoise
from ...sim.raster_scene import RasterScene
from ...sim.rasterizer import Rasterizer

#: Names of the categories in the order of the network's channels.
NAMES = tuple(sorted(CATEGORIES))
_UP = np.array([0.0, 0.0, 1.0])
#: Textures with a meaning of their own (books, pictures, views): they stay.
_MEANT = ("books", "picture", "view", "screen", "leaves")


@dataclass(frozen=True)
class ViewConfig(Config):
    """What views look like."""

    width: int = param(160, "image width", unit="px", low=32, high=640)
    first_scene: int = param(0, "seed of the first apartment", low=0)
    scenes: int = param(900, "apartments", low=1)
    scenes_at_once: int = param(24, "apartments among which views alternate", low=1, high=1000)
    views_a_scene: int = param(120, "views of an apartment before another takes its place", low=1)
    toward: float = param(0.6, "share of views toward an object of a category drawn at random", low=0.0, high=1.0)
    retextured: float = param(0.6, "share of things and structures whose texture is another one", low=0.0, high=1.0)
    recolored: float = param(0.5, "share of things with another tint", low=0.0, high=1.0)
    first_variant: int = param(100, "number of the first other texture of a kind", low=0)
    variants: int = param(40, "other textures of a kind", low=1, high=10000)
    vary_camera: float = param(0.5, "share of views with another height, tilt and field of view", low=0.0, high=1.0)
    vary_light: float = param(0.8, "share of views with another exposure, gamma, tone and noise", low=0.0, high=1.0)
    no_depth: float = param(0.1, "share of views without depth", low=0.0, high=1.0)
    holes: float = param(0.3, "share of views with holes in depth", low=0.0, high=1.0)
    seed: int = param(0, "of all chance", low=0)


@dataclass(frozen=True, eq=False)
class View:
    """One labelled view.

    Attributes:
        inputs: 8xHxW float32. labels: hxw int64, 0 or 1 + index in :data:`NAMES`, at half the size.
        centers: 3xhxw float32, m, surface to the object's centre in the level frame; NaN where there is no object or no
            depth.
    """

    inputs: np.ndarray
    labels: np.ndarray
    centers: np.ndarray


class _Apartment:
    """An apartment with textures of its own, ready for rendering."""

    def __init__(self, seed: int, config: ViewConfig, rng: np.random.Generator) -> None:
        scene = generate(seed)
        self.raster = RasterScene(retextured(scene, config, rng))
        navigable = NavigableMap(scene)
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

    def __getitem__(self, index: int) -> View:
        config = self.config
        rng = np.random.default_rng([config.seed, 1, index])
        apartment = self._apartment(index)
        for _ in range(8):
            T, camera, height = self._pose(apartment, rng)
            color, depth, ids = Rasterizer(apartment.raster, camera).render(T)
            if len(np.unique(ids)) >= 3:  # at least two things beside the structure
                break
        labels = apartment.label[ids]
        R = level_rotation(T, _UP)
        centers = _centers(apartment.center, ids, depth, camera, T, R)
        if rng.random() < config.vary_light:
            color = other_light(color, rng)
        noisy = self._measured(depth, rng)
        inputs = make_inputs(color, noisy, camera, R, height + rng.normal(0.0, 0.02))
        return View(inputs, labels[1::2, 1::2].copy(), centers[:, 1::2, 1::2].copy())

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
            things = apartment.by_category[categories[rng.integers(len(categories))]]
            target = things[rng.integers(len(things))]
            distance = np.linalg.norm(apartment.places - target[:2], axis=1)
            near = apartment.places[(distance < rng.uniform(1.0, 4.0)) & (distance > 0.4)]
            if len(near):
                place = near[rng.integers(len(near))]
                yaw = math.atan2(target[1] - place[1], target[0] - place[0]) + rng.normal(0.0, 0.35)
        mount = RobotProfile(camera_height=height, camera_pitch=pitch, camera_forward=0.0).T_base_camera()
        camera = Camera.from_hfov(config.width, config.width * 3 // 4, hfov)
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


def other_light(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image (HxWx3 uint8) with another exposure, tone and gamma, a gradient of light, blur and noise."""
    import cv2

    image = color.astype(np.float32) / 255.0
    image *= (rng.uniform(0.55, 1.35) * rng.uniform(0.85, 1.15, 3)).astype(np.float32)
    ramp = np.linspace(-1.0, 1.0, color.shape[1], dtype=np.float32)[None, :, None] * np.float32(rng.normal(0.0, 0.12))
    image = np.clip(image * (1.0 + ramp), 0.0, 1.0) ** np.float32(rng.uniform(0.7, 1.4))
    gray = image.mean(axis=2, keepdims=True)
    image = gray + (image - gray) * np.float32(rng.uniform(0.5, 1.3))
    image = (image - 0.5) * np.float32(rng.uniform(0.75, 1.2)) + 0.5
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (3, 3), float(rng.uniform(0.3, 0.9)))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 0.03))
    return np.clip(image * 255.0, 0.0, 255.0).astype(np.uint8)


def _centers(
    center: np.ndarray, ids: np.ndarray, depth: np.ndarray, camera: Camera, T_scene_camera: np.ndarray, R: np.ndarray
) -> np.ndarray:
    """3xHxW float32, see :class:`View`."""
    v, u = np.mgrid[: ids.shape[0], : ids.shape[1]]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(ids.shape)], axis=-1)
    points = rays * depth[..., None]
    T_camera_scene = np.linalg.inv(T_scene_camera)
    to = center[ids] @ T_camera_scene[:3, :3].T + T_camera_scene[:3, 3] - points
    return np.ascontiguousarray((to @ R.T).transpose(2, 0, 1), dtype=np.float32)
