"""Maps as files of other programs: PLY, glTF, a Nav2 map. Knows nothing of how they are stored."""

from __future__ import annotations

import base64
import json
import os
import struct
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import InputError
from ...frames import FREE, OCCUPIED, OccupancyGrid
from ..config import MemoryConfig
from ..records import VoxelView
from ..voxels.keys import pack_array


class Map(Protocol):
    """What is exported, such as a ``SpatialMemory``."""

    @property
    def uuid(self) -> str: ...

    @property
    def config(self) -> MemoryConfig: ...

    def voxels(self) -> VoxelView: ...

    def occupancy(self) -> OccupancyGrid: ...


_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "<i4"),
     ("weight", "<f4")]
)  # fmt: skip
_PLY_TYPES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def write_ply(path: str | Path, memory: Map | VoxelView) -> int:
    """Writes voxels as points: x y z (m, map), red green blue, label (class number, 0 none), weight; returns how many.

    The classes' names stand in the header's comments. The file appears complete or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    voxels = memory.voxels() if hasattr(memory, "voxels") else memory
    out = np.empty(len(voxels), _VERTEX)
    for k in range(3):
        out["xyz"[k]] = voxels.positions[:, k]
        out[("red", "green", "blue")[k]] = voxels.colors[:, k]
    out["label"], out["weight"] = voxels.labels, voxels.weights
    write_whole(Path(path), _header(voxels, memory.uuid if hasattr(memory, "uuid") else "") + out.tobytes())
    return len(out)


def _header(voxels: VoxelView, uuid: str) -> bytes:
    names = [f"comment label {i} {' '.join(f'{c} {n}'.split())}" for i, (n, c) in enumerate(voxels.class_names) if i]
    what = f"comment embodied_nav voxels, metres, frame of map {uuid}".rstrip()
    lines = ["ply", "format binary_little_endian 1.0", what, *names]
    lines += [f"element vertex {len(voxels)}"]
    lines += [f"property {_PLY_TYPES[_VERTEX[n].str]} {n}" for n in _VERTEX.names or ()]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii", "replace")


def write_gltf(path: str | Path, memory: Map) -> int:
    """Writes voxels as coloured cubes (``.glb``, or ``.gltf`` with its data inside); returns how many.

    glTF's axes: y up, so x is the map's x, y its z, z its -y. Faces between two voxels are left out.

    Raises:
        InputError: the place cannot be written.
    """
    voxels = memory.voxels()
    corners, colors, faces = _surface(voxels, memory.config.voxel_size)
    path = Path(path)
    data = gltf(corners, colors, faces, memory.uuid)
    write_whole(path, data if path.suffix.lower() == ".glb" else embedded_gltf(data))
    return len(voxels)


def write_nav2_map(path: str | Path, memory: Map) -> int:
    """Writes the occupancy as nav2_map_server reads it: a YAML file and an image (.pgm) beside it.

    Rows of the image run from the map's top (largest y) down: 254 free, 0 occupied, 205 unknown.

    Returns:
        Cells.

    Raises:
        InputError: the place cannot be written.
    """
    grid = memory.occupancy()
    path = Path(path)
    image = path.with_suffix(".pgm")
    pixels = np.full(grid.data.shape, 205, np.uint8)
    pixels[grid.data == FREE], pixels[grid.data == OCCUPIED] = 254, 0
    height, width = grid.data.shape
    text = (
        f"# embodied_nav map {memory.uuid}\nimage: {image.name}\nmode: trinary\nresolution: {grid.resolution!r}\n"
        f"origin: [{float(grid.origin[0])!r}, {float(grid.origin[1])!r}, 0.0]\nnegate: 0\n"
        "occupied_thresh: 0.65\nfree_thresh: 0.196\n"
    )
    write_whole(image, f"P5\n{width} {height}\n255\n".encode() + pixels[::-1].tobytes())
    write_whole(path, text.encode())
    return height * width


def write_whole(path: Path, data: bytes) -> None:
    """The file appears complete or not at all.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give a writable place with room") from None


#: Direction of each side of a cube and its corners, counter-clockwise from outside.
_SIDES = (
    ((1, 0, 0), ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1))),
    ((-1, 0, 0), ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0))),
    ((0, 1, 0), ((0, 1, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0))),
    ((0, -1, 0), ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1))),
    ((0, 0, 1), ((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))),
    ((0, 0, -1), ((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0))),
)


def _surface(voxels: VoxelView, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (N x 3 float32, m, glTF's axes), colours (N x 4 uint8) and triangles (M x 3 uint32) of outer sides."""
    cells = np.floor(voxels.positions.astype(np.float64) / size).astype(np.int64)
    keys = pack_array(cells)
    corners, colors = [], []
    for direction, square in _SIDES:
        open_ = ~np.isin(pack_array(cells + direction), keys)
        corners.append((cells[open_, None] + np.array(square)).reshape(-1, 3) * size)
        colors.append(np.repeat(voxels.colors[open_], 4, axis=0))
    p = np.concatenate(corners)
    rgba = np.full((len(p), 4), 255, np.uint8)
    rgba[:, :3] = np.concatenate(colors)
    first = np.arange(0, len(p), 4, dtype=np.uint32)[:, None]
    faces = (first + np.array([[0, 1, 2, 0, 2, 3]], np.uint32)).reshape(-1, 3)
    return np.stack([p[:, 0], p[:, 2], -p[:, 1]], axis=1).astype(np.float32), rgba, faces


def gltf(corners: np.ndarray, colors: np.ndarray, faces: np.ndarray, uuid: str, name: str = "voxels") -> bytes:
    """A binary glTF 2.0 file of one mesh.

    Args:
        corners: N x 3 float32, m, glTF's axes. colors: N x 4 uint8. faces: M x 3 uint32. uuid: of the map.
        name: of the mesh's node.
    """
    parts = [corners.tobytes(), colors.tobytes(), faces.astype("<u4").tobytes()]
    starts = np.cumsum([0, *(len(p) for p in parts)]).tolist()
    low, high = (corners.min(0), corners.max(0)) if len(corners) else (np.zeros(3), np.zeros(3))
    scene = {
        "asset": {"version": "2.0", "generator": "embodied_nav", "extras": {"map": uuid}},
        "scene": 0, "scenes": [{"nodes": [0] if len(corners) else []}], "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(corners), "type": "VEC3",
             "min": [float(v) for v in low], "max": [float(v) for v in high]},
            {"bufferView": 1, "componentType": 5121, "normalized": True, "count": len(colors), "type": "VEC4"},
            {"bufferView": 2, "componentType": 5125, "count": faces.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": starts[i], "byteLength": len(part), "target": 34962 if i < 2 else 34963}
            for i, part in enumerate(parts)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }  # fmt: skip
    if not len(corners):  # glTF knows no empty lists: a scene with nothing in it
        scene = {k: scene[k] for k in ("asset", "scene")} | {"scenes": [{}]}
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    data = b"".join(parts)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if data:
        chunks += struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def embedded_gltf(glb: bytes) -> bytes:
    """The text form of a binary glTF file."""
    size = struct.unpack("<I", glb[12:16])[0]
    scene = json.loads(glb[20 : 20 + size])
    if "buffers" in scene:
        scene["buffers"][0]["uri"] = (
            "data:application/octet-stream;base64," + base64.b64encode(glb[28 + size :]).decode()
        )
    return json.dumps(scene).encode()
