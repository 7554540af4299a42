"""Puts models of real furniture in the place of a scene's things. Knows nothing of files and of how rooms are made."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..interface import SceneObject
from ..mesh import SceneDescription, SceneMesh, concatenate
from .pieces import FurnitureLibrary, Piece

#: A model is stretched along an axis by at least and at most this much, and no axis by more than EVEN times another.
LEAST, MOST, EVEN = 0.6, 1.6, 1.5
#: Share of the place that a model must fill along an axis; of its height.
FILLED, FILLED_HEIGHT = 0.6, 0.75
#: Axes along which a category is so thin, or so soft, that its proportions do not matter.
THIN = {"rug": (2,), "picture": (1,), "mirror": (1,), "curtain": (0, 1), "tv": (1,), "computer": (1,)}
#: Height (m) by which what carries something may be off.
CONTACT = 0.02


def with_real_furniture(
    scene: SceneDescription, library: FurnitureLibrary, share: float, split: str, rng: np.random.Generator
) -> SceneDescription:
    """The scene with models from a library in place of a share of its things.

    Every model has the category of the thing it replaces, its id, its direction and its place: it lies inside of the
    old thing's box, on the same floor, its back where the back was. Things that carry others are replaced only by
    models that carry them, too. Colour, centre and extent are the model's own.

    Args:
        scene: as :func:`~embodied_nav.sim.apartments.generate` makes it; it is not changed.
        library: the models.
        share: of the things that are replaced, where a model fits; 0 to 1.
        split: "train", "held_out" or "all" pieces.
        rng: draws which thing becomes which piece.

    Returns:
        Another scene; rooms and the order of objects stay.

    Raises:
        InputError: an unknown split.
    """
    objects, parts, gone = [], [], []
    for thing in scene.objects:
        wanted = rng.random() < share
        fitting = _fitting(thing, scene.objects, library.of(thing.category, split)) if wanted else []
        if not fitting:
            objects.append(thing)
            continue
        piece, scale = fitting[int(rng.integers(len(fitting)))]
        part, placed = _placed(thing, piece, scale)
        gone.append(thing.instance)
        objects.append(placed)
        parts.append(part)
    if not parts:
        return scene
    mesh = concatenate([_without(scene.mesh, gone), *parts])
    return dataclasses.replace(scene, mesh=mesh, objects=tuple(objects))


def _fitting(
    thing: SceneObject, things: tuple[SceneObject, ...], pieces: list[Piece]
) -> list[tuple[Piece, np.ndarray]]:
    """The pieces that fit a thing's place, with their scale along each axis."""
    carried = [other for other in things if _carries(thing, other)]
    found = []
    for piece in pieces:
        scale = scale_for(thing.category, piece.size, thing.extent, exact_height=bool(carried))
        if scale is not None and all(_supports(thing, piece, scale, other) for other in carried):
            found.append((piece, scale))
    return found


def scale_for(
    category: str,
    size: tuple[float, float, float],
    place: tuple[float, float, float],
    exact_height: bool = False,
) -> np.ndarray | None:
    """How a model of a size fits a place (both width, depth, height in m): scale (3,), None where it does not."""
    room = np.array(place) / np.array(size)
    thin = list(THIN.get(category, ()))
    free = [axis for axis in range(3) if axis not in thin]
    if room[free].min() < LEAST:
        return None
    scale = room.copy()
    limit = min(MOST, EVEN * float(room[free].min()))
    scale[free] = np.minimum(room[free], limit)
    scale[thin] = np.minimum(room[thin], scale[free].mean())
    filled = scale / room
    if filled[free].min() < FILLED or (2 in free and filled[2] < FILLED_HEIGHT):
        return None
    return None if exact_height and filled[2] < 1.0 - 1e-9 else scale


def _carries(thing: SceneObject, other: SceneObject) -> bool:
    """Whether another thing stands on this one."""
    top = thing.center[2] + thing.extent[2] / 2
    if other is thing or abs(other.center[2] - other.extent[2] / 2 - top) > CONTACT:
        return False
    return bool(np.all(np.abs(_local(thing, np.array(other.center)[None])[0, :2]) < np.array(thing.extent[:2]) / 2))


def _local(thing: SceneObject, points: np.ndarray) -> np.ndarray:
    """Points (Nx3) of the scene along a thing's own axes, from its centre."""
    c, s = math.cos(thing.yaw), math.sin(thing.yaw)
    return (points - np.array(thing.center)) @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _supports(thing: SceneObject, piece: Piece, scale: np.ndarray, other: SceneObject) -> bool:
    """Whether a piece in a thing's place has its surface where another thing stands: its middle and two more points."""
    c, s = math.cos(other.yaw), math.sin(other.yaw)
    reach = 0.25 * other.extent[0]
    points = np.array(other.center) + np.array(
        [[0.0, 0.0, 0.0], [c * reach, s * reach, 0.0], [-c * reach, -s * reach, 0]]
    )
    local = _local(thing, points)[:, :2]
    corners = _scaled(thing, piece, scale)[piece.shape.faces]
    bottom = other.center[2] - other.extent[2] / 2 - thing.center[2]
    return all(abs(surface_height(corners, point) - bottom) <= CONTACT for point in local)


def surface_height(corners: np.ndarray, point: np.ndarray) -> float:
    """The highest surface of triangles (Fx3x3) above or below a point (2,), -inf where there is none."""
    a, b, c = (corners[:, k, :2] - point for k in range(3))
    weights = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    area = weights.sum(axis=1)
    inside = ((weights >= 0).all(axis=1) | (weights <= 0).all(axis=1)) & (np.abs(area) > 1e-12)
    if not inside.any():
        return -math.inf
    heights = (weights[inside] * corners[inside, :, 2]).sum(axis=1) / area[inside]
    return float(heights.max())


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _scaled(thing: SceneObject, piece: Piece, scale: np.ndarray) -> np.ndarray:
    """A piece's vertices (Vx3 float64) in a thing's place: along its axes, from its centre; back and floor shared."""
    vertices = piece.shape.vertices.astype(np.float64) * scale
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    half = np.array(thing.extent) / 2.0
    shift = np.array([-(low[0] + high[0]) / 2.0, -half[1] - low[1], -half[2] - low[2]])
    return np.clip(vertices + shift, -half, half)  # rounding must not make it larger than its place


def _placed(thing: SceneObject, piece: Piece, scale: np.ndarray) -> tuple[SceneMesh, SceneObject]:
    """A piece as a part of the scene's mesh, and what is to be known of it."""
    local = _scaled(thing, piece, scale)
    low, high = local.min(axis=0), local.max(axis=0)
    c, s = math.cos(thing.yaw), math.sin(thing.yaw)
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    shape = piece.shape
    mesh = SceneMesh(
        vertices=local @ turn + np.array(thing.center),
        faces=shape.faces,
        uvs=shape.uvs,
        texture=shape.texture,
        textures=shape.textures,
        instance=np.full(len(shape.faces), thing.instance, dtype=np.int32),
        tint=shape.tint,
    )
    x, y, z = (float(v) for v in (low + high) / 2.0 @ turn + np.array(thing.center))
    width, depth, height = (float(v) for v in high - low)
    return mesh, dataclasses.replace(thing, color=shape.color, center=(x, y, z), extent=(width, depth, height))


def _without(mesh: SceneMesh, instances: list[int]) -> SceneMesh:
    """A mesh without the faces of some instances."""
    kept = np.flatnonzero(~np.isin(mesh.instance, instances))
    used, index = np.unique(mesh.faces[kept], return_inverse=True)
    return SceneMesh(
        vertices=mesh.vertices[used],
        faces=index.reshape(-1, 3),
        uvs=mesh.uvs[kept],
        texture=mesh.texture[kept],
        textures=mesh.textures,
        instance=mesh.instance[kept],
        tint=mesh.tint[kept],
    )
