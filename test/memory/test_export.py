"""Files of other programs, read back by readers of their own."""

import base64
import json
import struct

import numpy as np
import pytest
import yaml

from embodied_nav.frames import FREE, OCCUPIED, UNKNOWN
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.output.export import write_gltf, write_nav2_map


@pytest.fixture(scope="module")
def memory(walk_frames):
    m = SpatialMemory()
    for f in walk_frames[:10]:
        m.integrate(f)
    return m


@pytest.mark.parametrize("ending", ["glb", "gltf"])
def test_gltf_holds_a_cube_where_each_voxel_is(memory, tmp_path, ending):
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"map.{ending}"
    assert write_gltf(path, memory) == len(memory)
    mesh = trimesh.load(path).to_mesh()
    cells = np.floor(memory.voxels().positions.astype(np.float64) / 0.05).astype(int)
    low, high = cells.min(0) * 0.05, (cells.max(0) + 1) * 0.05
    assert np.allclose(mesh.bounds, [[low[0], low[2], -high[1]], [high[0], high[2], -low[1]]], atol=1e-5)
    mesh.merge_vertices()
    assert mesh.volume == pytest.approx(len(memory) * 0.05**3, rel=1e-3), "closed, outside out"
    points, colors = read_gltf(path)
    known = {tuple(c): tuple(v) for c, v in zip(cells.tolist(), memory.voxels().colors.tolist(), strict=True)}
    for square, color in list(zip(points.reshape(-1, 4, 3), colors[::4], strict=True))[::50]:
        x, z, y = square.mean(0) * (1, 1, -1) / 0.05
        touching = {(int(np.floor(x + dx)), int(np.floor(y + dy)), int(np.floor(z + dz)))
                    for dx, dy, dz in 0.5 * np.concatenate([np.eye(3), -np.eye(3)])}  # fmt: skip
        assert tuple(color[:3].tolist()) in {known.get(cell) for cell in touching}


def read_gltf(path):
    """Corners (N x 3) and colours (N x 4) of a file's only mesh, by glTF 2.0's text."""
    data = path.read_bytes()
    if path.suffix == ".glb":
        size = struct.unpack("<I", data[12:16])[0]
        scene, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    else:
        scene = json.loads(data)
        binary = base64.b64decode(scene["buffers"][0]["uri"].split(",")[1])
    attributes = scene["meshes"][0]["primitives"][0]["attributes"]
    out = []
    for name, kind, width in (("POSITION", "<f4", 3), ("COLOR_0", "u1", 4)):
        accessor = scene["accessors"][attributes[name]]
        start = scene["bufferViews"][accessor["bufferView"]]["byteOffset"]
        values = np.frombuffer(binary, kind, accessor["count"] * width, start)
        out.append(values.reshape(-1, width))
    return out


def test_an_empty_map_is_a_scene_with_nothing_in_it(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    assert write_gltf(tmp_path / "map.glb", SpatialMemory()) == 0
    assert trimesh.load(tmp_path / "map.glb").is_empty


def test_the_nav2_map_says_of_each_place_what_the_grid_says(memory, tmp_path):
    write_nav2_map(tmp_path / "map.yaml", memory)
    at = map_server(tmp_path / "map.yaml")
    grid = memory.occupancy()
    rng = np.random.default_rng(1)
    seen = set()
    for r, c in zip(*(rng.integers(0, n, 500) for n in grid.data.shape), strict=True):
        x, y = grid.centers(np.array([r, c]))
        assert at(x, y) == grid.data[r, c]
        seen.add(int(grid.data[r, c]))
    assert seen == {FREE, OCCUPIED, UNKNOWN}


def map_server(path):
    """What nav2_map_server makes of the files, by its documentation: occupancy at (x, y) in metres."""
    settings = yaml.safe_load(path.read_text())
    assert set(settings) >= {"image", "resolution", "origin", "negate", "occupied_thresh", "free_thresh", "mode"}
    assert settings["mode"] == "trinary" and settings["origin"][2] == 0.0
    magic, size, top, pixels = (path.parent / settings["image"]).read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert (magic, top, len(pixels)) == (b"P5", b"255", width * height)
    image = np.frombuffer(pixels, np.uint8).reshape(height, width)

    def at(x, y):
        column = int(np.floor((x - settings["origin"][0]) / settings["resolution"]))
        row = height - 1 - int(np.floor((y - settings["origin"][1]) / settings["resolution"]))
        shade = image[row, column] / 255
        darkness = shade if settings["negate"] else 1 - shade
        if darkness > settings["occupied_thresh"]:
            return 100
        return 0 if darkness < settings["free_thresh"] else -1

    return at
