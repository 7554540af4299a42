"""Textured triangle scenes and their files (.glb, .ply). Knows nothing of cameras, robots or how scenes are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import ros_from_habitat
from .interface import Room, SceneObject

#: Largest side of a texture; larger images of files are resampled to it.
MAX_TEXTURE_SIZE = 1024
#: Thickest slab that a floor may be, m.
SLAB = 0.4


@dataclass(frozen=True, eq=False)
class SceneMesh:
    """Triangles with textures, in the scene's frame (m, z up).

    Faces are seen from both sides. Texture coordinates repeat: u to the right and v *down* the image, 1.0 is one tile;
    the texel [0, 0] covers u, v in [0, 1 / size).

    Attributes:
        vertices: Vx3 float32, m.
        faces: Fx3 int32, indices into vertices.
        uvs: Fx3x2 float32, texture coordinates of each face's corners.
        texture: F int32, indices into textures.
        textures: HxWx3 uint8 RGB images whose sides are powers of two.
        instance: F int32, 0 is structure (walls, floor), above 0 a :class:`~.interface.SceneObject`'s id.
        tint: Fx3 uint8, multiplied with the texture (255 leaves it as it is): one grey texture serves many colours.

    Raises:
        InputError: an array of the wrong shape, an index out of range, a position that is not finite.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    texture: np.ndarray
    textures: tuple[np.ndarray, ...]
    instance: np.ndarray
    tint: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.faces)
        layout = {
            "vertices": (np.float32, (len(self.vertices), 3)),
            "faces": (np.int32, (count, 3)),
            "uvs": (np.float32, (count, 3, 2)),
            "texture": (np.int32, (count,)),
            "instance": (np.int32, (count,)),
            "tint": (np.uint8, (count, 3)),
        }
        for name, (dtype, shape) in layout.items():
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            if array.shape != shape:
                raise InputError(f"mesh: {name} has shape {array.shape}, expected {shape}")
            object.__setattr__(self, name, array)
        object.__setattr__(self, "textures", tuple(self.textures))
        if count == 0:
            raise InputError("mesh: has no faces")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise InputError(f"mesh: a face points outside its {len(self.vertices)} vertices")
        if self.texture.min() < 0 or self.texture.max() >= len(self.textures):
            raise InputError(f"mesh: a face points outside its {len(self.textures)} textures")
        if not (np.isfinite(self.vertices).all() and np.isfinite(self.uvs).all()):
            raise InputError("mesh: a vertex or a texture coordinate is not finite")
        for image in self.textures:
            _check_texture(image)

    @property
    def triangles(self) -> np.ndarray:
        """Fx3x3 float32 corners, m."""
        return self.vertices[self.faces]

    @cached_property
    def normals(self) -> np.ndarray:
        """Fx3 float32 unit normals (right-hand rule), 0 for faces without area."""
        a, b, c = (self.vertices[self.faces[:, k]].astype(np.float64) for k in range(3))
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return (normal / np.where(length > 0.0, length, 1.0)).astype(np.float32)

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest corner (3,) float32 of all faces, m."""
        used = self.vertices[np.unique(self.faces)]
        return used.min(axis=0), used.max(axis=0)


@dataclass(frozen=True, eq=False)
class SceneDescription:
    """A scene with its meaning; the floor is at z = ``floor_z``.

    Attributes:
        mesh: geometry for rendering and collisions.
        objects: everything with an instance id; empty where a file has none.
        rooms: named rooms; empty where a file has none.
        floor_z: m.
    """

    mesh: SceneMesh
    objects: tuple[SceneObject, ...] = ()
    rooms: tuple[Room, ...] = ()
    floor_z: float = field(default=0.0)


def load_scene(path: str | Path) -> SceneDescription:
    """A scene from a mesh file, moved up or down so that its lowest large floor lies at z = 0.

    Raises:
        InputError: as :func:`load_mesh`.
    """
    mesh = load_mesh(path)
    vertices = mesh.vertices - np.array([0.0, 0.0, floor_height(mesh)], dtype=np.float32)
    moved = SceneMesh(vertices, mesh.faces, mesh.uvs, mesh.texture, mesh.textures, mesh.instance, mesh.tint)
    return SceneDescription(moved)


def floor_height(mesh: SceneMesh, bin_size: float = 0.05) -> float:
    """Height (m) of the lowest floor: the lowest level with at least half the horizontal area of the largest one.

    Not the lowest vertex, since scans have noise and cellars below their floors. If the floor is a slab, its top
    counts: another such level at most ``SLAB`` above.
    """
    corners = mesh.triangles.astype(np.float64)
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    flat = np.abs(mesh.normals[:, 2]) > 0.95
    if not flat.any():
        return float(mesh.bounds[0][2])
    heights = corners[flat, :, 2].mean(axis=1)
    low = heights.min()
    bins = np.floor((heights - low) / bin_size).astype(np.int64)
    total = np.bincount(bins, weights=area[flat])
    levels = np.flatnonzero(total >= 0.5 * total.max())
    level = int(levels[levels * bin_size <= levels[0] * bin_size + SLAB][-1])
    inside = bins == level
    return float(np.average(heights[inside], weights=area[flat][inside] + 1e-12))


def load_mesh(path: str | Path) -> SceneMesh:
    """A mesh from a .glb (y up, turned to z up) or .ply file (taken as it is, z up).

    Textures, base colours, vertex and face colours are read; a .ply's ``object_id`` of a face (as Replica and
    Matterport write it) becomes the instance id.

    Raises:
        InputError: no such file, another kind of file, or one that cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in (".glb", ".ply"):
        raise InputError(f"{path}: a scene must be a .glb or .ply file (or the seed of an apartment)")
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a .glb or .ply scene or the seed of an apartment")
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
        read = [_part(scene, node) for node in scene.graph.nodes_geometry]
    except InputError:
        raise
    except Exception as error:  # trimesh's readers raise arbitrary exceptions on broken files
        raise InputError(f"{path}: cannot be read as a mesh ({type(error).__name__}: {error})".split("\n")[0]) from None
    parts = [part for part in read if part is not None and len(part.faces)]
    if not parts:
        raise InputError(f"{path}: holds no triangles; give a triangle mesh")
    mesh = concatenate(parts)
    if path.suffix.lower() == ".glb":
        vertices = ros_from_habitat(mesh.vertices)
        mesh = SceneMesh(vertices, mesh.faces, mesh.uvs, mesh.texture, mesh.textures, mesh.instance, mesh.tint)
    return mesh


def concatenate(parts: list[SceneMesh]) -> SceneMesh:
    """One mesh of several; textures that are the same array are kept once."""
    textures: list[np.ndarray] = []
    index: dict[int, int] = {}
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("vertices", "faces", "uvs", "texture", "instance")}
    columns["tint"] = []
    base = 0
    for part in parts:
        for image in part.textures:
            if id(image) not in index:
                index[id(image)] = len(textures)
                textures.append(image)
        lookup = np.array([index[id(image)] for image in part.textures], dtype=np.int32)
        columns["faces"].append(part.faces + np.int32(base))
        columns["texture"].append(lookup[part.texture])
        for name in ("vertices", "uvs", "instance", "tint"):
            columns[name].append(getattr(part, name))
        base += len(part.vertices)
    arrays = {name: np.concatenate(values) for name, values in columns.items()}
    return SceneMesh(textures=tuple(textures), **arrays)


def _check_texture(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"mesh: a texture is {image.dtype} {image.shape}, expected uint8 HxWx3")
    if any(side <= 0 or side & (side - 1) for side in image.shape[:2]):
        raise InputError(f"mesh: a texture is {image.shape[1]}x{image.shape[0]}, its sides must be powers of two")


def _part(scene, node: str) -> SceneMesh | None:
    """One node of a trimesh scene as a mesh in the scene's axes, or None where it is not made of triangles."""
    transform, name = scene.graph[node]
    geometry = scene.geometry[name]
    if not hasattr(geometry, "faces"):
        return None
    vertices = np.asarray(geometry.vertices, dtype=np.float64) @ transform[:3, :3].T + transform[:3, 3]
    faces = np.asarray(geometry.faces, dtype=np.int32)
    image, uvs, tint = _appearance(geometry, faces)
    return SceneMesh(
        vertices=vertices,
        faces=faces,
        uvs=uvs,
        texture=np.zeros(len(faces), dtype=np.int32),
        textures=(image,),
        instance=_instances(geometry, len(faces)),
        tint=tint,
    )


def _appearance(geometry, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texture (HxWx3), corner coordinates (Fx3x2) and tint (Fx3) of a trimesh geometry."""
    count = len(faces)
    white = np.full((1, 1, 3), 255, dtype=np.uint8)
    uvs = np.zeros((count, 3, 2), dtype=np.float32)
    visual = geometry.visual
    if visual.kind != "texture":
        colors = visual.face_colors if visual.kind else np.full((count, 3), 200, dtype=np.uint8)
        return white, uvs, np.asarray(colors, dtype=np.uint8)[:, :3]
    material = visual.material
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    tint = np.full((count, 3), 255, dtype=np.uint8)
    if factor is not None:
        factor = np.asarray(factor, dtype=np.float64)
        tint[:] = np.clip(factor[:3] if factor.max() > 1.0 else factor[:3] * 255.0, 0, 255).astype(np.uint8)
    if image is None or visual.uv is None:
        return white, uvs, tint
    uvs[:] = np.asarray(visual.uv, dtype=np.float32)[faces]
    uvs[..., 1] = 1.0 - uvs[..., 1]  # trimesh counts v upwards
    return power_of_two(image), uvs, tint


def power_of_two(image, largest: int = MAX_TEXTURE_SIZE) -> np.ndarray:
    """A PIL image as HxWx3 uint8 with sides that are powers of two, at most ``largest``."""
    from PIL import Image

    sides = [min(largest, 1 << max(0, round(np.log2(side)))) for side in image.size]
    image = image.convert("RGB")
    if list(image.size) != sides:
        image = image.resize(tuple(sides), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(image))


def _instances(geometry, count: int) -> np.ndarray:
    """Instance ids (F,) of a .ply's faces, 0 where the file names none."""
    data = geometry.metadata.get("_ply_raw", {}).get("face", {}).get("data")
    names = getattr(getattr(data, "dtype", None), "names", None) or (data.keys() if isinstance(data, dict) else ())
    if "object_id" not in names:
        return np.zeros(count, dtype=np.int32)
    ids = np.asarray(data["object_id"]).reshape(-1)
    return ids.astype(np.int32) if len(ids) == count else np.zeros(count, dtype=np.int32)
