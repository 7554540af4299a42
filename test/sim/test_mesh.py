"""Scene meshes: what is refused, and that files arrive with the right axes, colours, textures and ids."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera
from embodied_nav.sim.mesh import SceneMesh, concatenate, floor_height, load_mesh, load_scene
from embodied_nav.sim.rasterizer import Rasterizer

trimesh = pytest.importorskip("trimesh")


def fields(mesh: SceneMesh, **changed) -> dict:
    names = ("vertices", "faces", "uvs", "texture", "textures", "instance", "tint")
    return {name: getattr(mesh, name) for name in names} | changed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"faces": np.array([[0, 1, 99]])}, "uvs has shape"),
        ({"texture": np.full(12, 3)}, "outside its 1 textures"),
        ({"textures": (np.zeros((3, 4, 3), np.uint8),)}, "powers of two"),
        ({"textures": (np.zeros((4, 4), np.uint8),)}, "expected uint8 HxWx3"),
        ({"vertices": np.full((36, 3), np.nan)}, "not finite"),
        ({"vertices": np.zeros((35, 3))}, "outside its 35 vertices"),
    ],
)
def test_broken_arrays_are_refused(scenes, changed, words):
    mesh = scenes.mesh(scenes.box((0, 0, 1), (1, 1, 1)))
    with pytest.raises(InputError, match=words):
        SceneMesh(**fields(mesh, **changed))


def test_normals_and_bounds(scenes):
    mesh = scenes.mesh(scenes.box((1, 2, 3), (0.5, 1, 1.5)))
    low, high = mesh.bounds
    np.testing.assert_allclose(low, [0.5, 1, 1.5])
    np.testing.assert_allclose(high, [1.5, 3, 4.5])
    outward = mesh.triangles.mean(axis=1) - np.array([1, 2, 3], np.float32)
    main = np.abs(mesh.normals).argmax(axis=1)
    assert (np.abs(mesh.normals[np.arange(12), main]) > 0.999).all()
    sides = np.sign(mesh.normals[np.arange(12), main]) * np.sign(outward[np.arange(12), main])
    assert (sides == sides[0]).all()  # the same side of every face is the front


def test_concatenate_keeps_a_shared_texture_once(scenes):
    shared, other = scenes.blocks(), scenes.blocks(seed=1)
    parts = [
        scenes.mesh(scenes.box((k, 0, 0), (0.2, 0.2, 0.2)), texture=t) for k, t in enumerate((shared, other, shared))
    ]
    whole = concatenate(parts)
    assert len(whole.textures) == 2
    np.testing.assert_array_equal(whole.texture, np.repeat([0, 1, 0], 12))
    np.testing.assert_array_equal(whole.triangles, np.concatenate([part.triangles for part in parts]))


def test_glb_is_turned_to_z_up_and_keeps_its_texture(tmp_path):
    """A wall 2 m ahead of the camera with its upper left quarter red must show red at the upper left."""
    from PIL import Image

    image = np.full((64, 64, 3), 255, np.uint8)
    image[:32, :32] = (255, 0, 0)
    corners = np.array([[-1, -1, -2], [1, -1, -2], [1, 1, -2], [-1, 1, -2.0]])  # glTF: x right, y up, -z ahead
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(image))
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    wall = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    wall.export(tmp_path / "wall.glb")
    mesh = load_mesh(tmp_path / "wall.glb")
    np.testing.assert_allclose(mesh.bounds[0], [2, -1, -1], atol=1e-6)  # ROS: x ahead, y left, z up
    T_scene_camera = np.eye(4)
    T_scene_camera[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    color, depth, _ = Rasterizer(mesh, Camera.from_hfov(64, 64, 0.9)).render(T_scene_camera)
    np.testing.assert_allclose(depth, 2.0, atol=1e-5)
    red = color[..., 0].astype(int) - color[..., 1] > 100
    assert red[5:25, 5:25].all()
    assert not red[5:25, 40:].any() and not red[40:].any()


def test_ply_brings_colours_and_instances(tmp_path):
    path = tmp_path / "scene.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        "element face 2\nproperty list uchar int vertex_indices\nproperty int object_id\nend_header\n"
        "0 0 0 10 200 30\n1 0 0 10 200 30\n1 1 0 10 200 30\n0 1 0 10 200 30\n3 0 1 2 7\n3 0 2 3 9\n"
    )
    mesh = load_mesh(path)
    np.testing.assert_array_equal(mesh.tint, [[10, 200, 30]] * 2)
    np.testing.assert_array_equal(mesh.instance, [7, 9])


def test_floor_is_moved_to_zero(scenes, tmp_path):
    parts = [scenes.box((0, 0, 5.0), (3, 3, 0.01)), scenes.box((0, 0, 7.6), (3, 3, 0.01))]
    parts.append(scenes.box((1, 1, 4.0), (0.1, 0.1, 0.1)))  # a cellar's leftover below the floor
    mesh = scenes.mesh(np.concatenate(parts))
    assert floor_height(mesh) == pytest.approx(5.0, abs=0.03)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(tmp_path / "high.ply")
    description = load_scene(tmp_path / "high.ply")
    assert floor_height(description.mesh) == pytest.approx(0.0, abs=0.03)
    assert description.objects == () and description.rooms == ()


@pytest.mark.parametrize("name", ["a.ply", "a.glb"])
def test_files_that_are_no_meshes_are_refused_in_one_line(tmp_path, name):
    with pytest.raises(InputError, match="no such file"):
        load_mesh(tmp_path / name)
    for content in (b"", b"hello", b"glTF\x02\x00\x00\x00\xff"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_mesh(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_other_kinds_of_files_are_refused(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match=r"must be a \.glb or \.ply"):
        load_mesh(tmp_path / "a.obj")
