"""Reads an OBJ model with its materials as triangles of bounded number. Knows nothing of catalogues and scenes."""

from __future__ import annotations

import io
import posixpath
import zipfile
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...geometry import Camera
from ...perception.color_names import dominant_color
from ..mesh import SceneMesh, power_of_two
from ..rasterizer import Rasterizer
from .catalogue import Entry, member

#: Faces of a piece, at most; finer models are made coarser.
FACES = 4000
#: Largest side of a texture, px.
TEXTURE = 128
#: Materials that let more than this share of light through are left out (the renderer knows no glass), but of tables.
CLEAR = 0.55
_GLASS_STAYS = ("coffee table", "desk", "dining table")
#: Unit (m) of a piece's vertices, so that a saved piece is the same.
GRAIN = 1e-4
#: The texture of untextured faces; one array, so that scenes hold it once.
WHITE = np.full((1, 1, 3), 255, dtype=np.uint8)
WHITE.setflags(write=False)

# A model's axes are x right, y up, z to the front; ours are x right, z up and y to the front, seen from the front.
_OURS = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, eq=False)
class Shape:
    """Triangles in the piece's own frame: origin on the floor in the middle, x width, front towards +y, z up; m.

    Attributes:
        vertices: Vx3 float32. faces: Fx3 int32. uvs: Fx3x2 float32. texture: F int32. tint: Fx3 uint8.
        textures: HxWx3 uint8 with sides that are powers of two.
        color: name of the colour that most of its surface has.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    texture: np.ndarray
    textures: tuple[np.ndarray, ...]
    tint: np.ndarray
    color: str


def read_shape(archive: zipfile.ZipFile, entry: Entry) -> Shape:
    """The shape of a catalogue's piece.

    Raises:
        InputError: the model is missing or cannot be read, or holds no triangles.
    """
    parts = [_part(geometry) for geometry in _geometries(archive, entry)]
    stays = entry.category in _GLASS_STAYS
    solid = [part for part in parts if stays or part[4] >= 1.0 - CLEAR] or parts
    if not solid:
        raise InputError(f"{entry.id}: {entry.model} holds no triangles")
    corners = np.concatenate([part[0] for part in solid]) @ entry.rotation.T
    if not np.isfinite(corners).all():
        raise InputError(f"{entry.id}: {entry.model} has a vertex that is not finite")
    corners = _sized(corners @ _OURS.T, np.array(entry.size))
    uvs = np.concatenate([part[1] for part in solid])
    try:
        images, texture = _textures([(part[2], len(part[0])) for part in solid])
    except InputError as error:
        raise InputError(f"{entry.id}: {error}") from None
    tint = np.concatenate([np.tile(np.array(part[3], dtype=np.uint8), (len(part[0]), 1)) for part in solid])
    vertices, index = np.unique(np.rint(corners.reshape(-1, 3) / GRAIN), axis=0, return_inverse=True)
    vertices, faces = vertices * GRAIN, index.reshape(-1, 3)
    vertices, faces, kept = coarser(vertices, faces, FACES)
    uvs = uvs[kept] - np.floor(uvs[kept].min(axis=1, keepdims=True))  # tiles repeat; small numbers keep their digits
    vertices = _sized(vertices[:, None], np.array(entry.size))[:, 0]  # means of vertices lie further in
    vertices = (np.rint(vertices / GRAIN) * GRAIN).astype(np.float32)
    uvs = np.clip(uvs, 0.0, 500.0).astype(np.float16).astype(np.float32)
    ones = np.ones(len(faces), dtype=np.int32)
    mesh = SceneMesh(vertices, faces, uvs, texture[kept], tuple(images), ones, tint[kept])
    return Shape(mesh.vertices, mesh.faces, mesh.uvs, mesh.texture, mesh.textures, mesh.tint, _color(mesh))


def _geometries(archive: zipfile.ZipFile, entry: Entry) -> list:
    """The parts of a model, each of one material, as trimesh reads them."""
    import trimesh

    folder = posixpath.dirname(entry.model) + "/"
    try:
        data = member(archive, entry.model)
        beside = {name[len(folder) :]: name for name in archive.namelist() if name.startswith(folder)}
        resolver = trimesh.resolvers.ZipResolver(
            {
                short: io.BytesIO(member(archive, name))
                for short, name in beside.items()
                if short and not short.endswith("/") and name != entry.model
            }
        )
        scene = trimesh.load_scene(
            io.BytesIO(data), file_type="obj", resolver=resolver, process=False, group_material=True
        )
    except Exception as error:  # readers of archives, models and images raise arbitrary exceptions on broken files
        why = " ".join(str(error).split())
        raise InputError(f"{entry.id}: {entry.model} cannot be read ({type(error).__name__}: {why})") from None
    return [g for g in scene.geometry.values() if len(getattr(g, "faces", ()))]


def _part(geometry) -> tuple[np.ndarray, np.ndarray, object, tuple[int, int, int], float]:
    """Corners Fx3x3, uvs Fx3x2 (v down), image or None, tint, opacity 0 to 1 of a trimesh geometry."""
    faces = np.asarray(geometry.faces)
    corners = np.asarray(geometry.vertices, dtype=np.float64)[faces]
    uvs = np.zeros((len(faces), 3, 2))
    material = getattr(geometry.visual, "material", None)
    if material is None:
        return corners, uvs, None, (200, 200, 200), 1.0
    image = getattr(material, "image", None)
    uv = getattr(geometry.visual, "uv", None)
    red, green, blue = (int(v) for v in np.asarray(material.main_color)[:3])
    opacity = _opacity(getattr(material, "kwargs", None) or {})
    if image is None or uv is None or not np.isfinite(uv).all():
        return corners, uvs, None, (red, green, blue), opacity
    uvs[:] = np.asarray(uv)[faces]
    uvs[..., 1] = 1.0 - uvs[..., 1]
    return corners, uvs, image, (255, 255, 255), opacity


def _opacity(values: dict) -> float:
    try:
        return float(np.ravel(values.get("d", 1.0))[0])
    except (TypeError, ValueError):
        return 1.0


def _sized(corners: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Corners scaled to a size, on the floor, in the middle."""
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    middle = np.array([*(low + high)[:2] / 2.0, low[2]])
    return (corners - middle) * (size / np.maximum(high - low, 1e-9))


def _textures(parts: list[tuple[object, int]]) -> tuple[list[np.ndarray], np.ndarray]:
    """Distinct textures of parts (image or None, number of faces), and each face's index into them.

    Raises:
        InputError: an image that cannot be read.
    """
    images: list[np.ndarray] = []
    index: dict[int, int] = {}
    columns = []
    for image, count in parts:
        if id(image) not in index:
            index[id(image)] = len(images)
            images.append(WHITE if image is None else _texture(image))
        columns.append(np.full(count, index[id(image)], dtype=np.int32))
    return images, np.concatenate(columns)


def _texture(image) -> np.ndarray:
    """A PIL image, which is read only now, as a small texture."""
    try:
        return power_of_two(_without_alpha(image), TEXTURE)
    except Exception as error:  # the readers of images raise arbitrary exceptions on broken ones
        raise InputError(f"a texture cannot be read ({type(error).__name__}: {error})") from None


def _without_alpha(image):
    """A PIL image whose clear parts have its opaque parts' mean colour (the renderer knows no cut-outs)."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    from PIL import Image

    rgba = np.array(image.convert("RGBA"))
    solid = rgba[..., 3] > 127
    if solid.any():
        rgba[~solid, :3] = rgba[solid][:, :3].mean(axis=0)
    return Image.fromarray(np.ascontiguousarray(rgba[..., :3]))


def coarser(vertices: np.ndarray, faces: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most so many triangles: vertices in one cell of a grid become their mean, the finest grid that suffices.

    Args:
        vertices: Vx3 float64, m. faces: Fx3 indices. most: number of faces.

    Returns:
        vertices, faces, and which faces were kept (indices).
    """
    kept = _real(faces)
    if len(kept) <= most:
        return (*_used(vertices, faces[kept]), kept)
    low, extent = vertices.min(axis=0), float(np.ptp(vertices, axis=0).max())
    fine, coarse = 1024, 4
    best = _clustered(vertices, faces, low, extent / coarse)
    while fine - coarse > 1:
        cells = (fine + coarse) // 2
        found = _clustered(vertices, faces, low, extent / cells)
        if len(found[2]) <= most:
            best, coarse = found, cells
        else:
            fine = cells
    return (*_used(best[0], best[1]), best[2])


def _clustered(
    vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, cell: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = np.floor((vertices - low) / cell).astype(np.int64)
    keys = (grid[:, 0] << 42) | (grid[:, 1] << 21) | grid[:, 2]
    _, owner = np.unique(keys, return_inverse=True)
    count = np.bincount(owner)
    means = np.stack([np.bincount(owner, weights=vertices[:, k]) / count for k in range(3)], axis=1)
    kept = _real(owner[faces])
    return means, owner[faces[kept]], kept


def _real(faces: np.ndarray) -> np.ndarray:
    """Indices of faces with three different corners, each set of corners once."""
    kept = np.flatnonzero((faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0]))
    _, first = np.unique(np.sort(faces[kept], axis=1), axis=0, return_index=True)
    return kept[np.sort(first)]


def _used(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(-1, 3)


def _color(mesh: SceneMesh) -> str:
    """The colour name that most of a piece (instance 1) shows from four sides, a little from above."""
    size = mesh.bounds[1] - mesh.bounds[0]
    middle, distance = np.array([0.0, 0.0, size[2] / 2.0]), 1.5 * float(np.linalg.norm(size))
    rasterizer = Rasterizer(mesh, Camera.from_hfov(64, 64, 0.8), near=0.01 * distance, far=10.0 * distance)
    pixels = []
    for x, y in ((0.4, 0.8), (-0.4, 0.8), (0.8, 0.3), (-0.8, 0.3)):
        color, _, ids = rasterizer.render(_looking(middle + distance * np.array([x, y, 0.45]), middle))
        pixels.append(color[ids == 1])
    return dominant_color(np.concatenate(pixels)) or "gray"


def _looking(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """4x4, scene from the optical frame of a camera at ``eye`` that looks at ``target``."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    T[:3, 3] = eye
    return T
