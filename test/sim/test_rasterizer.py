"""The rasteriser against Embree's rays, and its pictures: perspective, filtering, light, speed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.mesh import SceneMesh
from embodied_nav.sim.raster_scene import RasterScene, cluster, mip_chain
from embodied_nav.sim.rasterizer import BACKGROUND, Rasterizer

CAMERA = Camera.from_hfov(320, 240, np.pi / 2)
MOUNT = RobotProfile().T_base_camera()


def traced(mesh: SceneMesh, camera: Camera, T: np.ndarray, near: float, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Faces (HxW, -1 none) and depths (HxW, NaN none) by Embree's rays."""
    trimesh = pytest.importorskip("trimesh")
    ray_pyembree = pytest.importorskip("trimesh.ray.ray_pyembree")
    pytest.importorskip("embreex")
    tracer = ray_pyembree.RayMeshIntersector(
        trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), scale_to_box=False
    )
    rays = camera.rays().reshape(-1, 3).astype(np.float64) @ T[:3, :3].T
    origins = T[:3, 3] + near * rays
    faces = tracer.intersects_first(origins, rays / np.linalg.norm(rays, axis=1, keepdims=True))
    corners = mesh.triangles[faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.einsum("fk,fk->f", normal, corners[:, 0] - T[:3, 3]) / np.einsum("fk,fk->f", normal, rays)
    faces = np.where(z > far, -1, faces)
    shape = (camera.height, camera.width)
    return faces.reshape(shape), np.where(faces < 0, np.nan, z).reshape(shape)


def assert_like_rays(rasterizer: Rasterizer, T: np.ndarray) -> None:
    mesh = rasterizer.scene.mesh
    faces, z = traced(mesh, rasterizer.camera, T, rasterizer.near, rasterizer.far)
    color, depth, ids = rasterizer.render(T)
    instances = np.where(faces >= 0, mesh.instance[faces], 0)
    good = (np.abs(depth - z) < 1e-4) | (np.isnan(depth) & np.isnan(z))
    assert (rasterizer.render_faces(T) == faces).mean() >= 0.999
    assert (ids == instances).mean() >= 0.999
    assert good.mean() >= 0.999
    assert (color[faces < 0] == BACKGROUND).all(axis=-1).mean() >= 0.999 if (faces < 0).any() else True


@pytest.mark.parametrize("seed", range(4))
def test_rooms_as_rays_see_them(room_mesh, seed):
    rasterizer = Rasterizer(room_mesh, CAMERA)
    for x, y, yaw in np.random.default_rng(seed).uniform((0.3, 0.3, -3.2), (7.7, 7.7, 3.2), (3, 3)):
        assert_like_rays(rasterizer, pose2d(x, y, yaw) @ MOUNT)


@pytest.mark.parametrize("seed", range(4))
def test_triangle_soups_as_rays_see_them(scenes, seed):
    """Triangles of all sizes around and through the camera: near clipping, slivers, both sides."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-1.5, 0.5, (1500, 1, 1))
    soup = scenes.mesh(rng.uniform(-4, 4, (1500, 1, 3)) + size * rng.normal(size=(1500, 3, 3)))
    rasterizer = Rasterizer(soup, Camera.from_hfov(160, 120, rng.uniform(0.6, 2.2)), near=0.05, far=6.0)
    for _ in range(3):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        T = np.eye(4)
        T[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
        T[:3, 3] = rng.uniform(-1, 1, 3)
        assert_like_rays(rasterizer, T)


def test_odd_cameras_as_rays_see_them(room_mesh):
    """Sizes that no tile divides, a principal point off the middle, pixels that are not square."""
    for camera in (Camera(101, 67, 60.0, 75.0, 20.0, 50.0), Camera.from_hfov(64, 48, 1.5), Camera.from_hfov(7, 3, 1.0)):
        assert_like_rays(Rasterizer(room_mesh, camera), pose2d(2.0, 2.2, 0.4) @ MOUNT)


def test_a_watertight_wall_has_no_holes(scenes):
    """A wall cut into thousands of triangles at odd places is seen at every pixel."""
    rng = np.random.default_rng(0)
    edges = np.sort(np.concatenate([[-9.0, 9.0], rng.uniform(-9, 9, 60)]))
    y0, z0 = np.meshgrid(edges[:-1], edges[:-1])
    y1, z1 = np.meshgrid(edges[1:], edges[1:])
    x = np.full(y0.shape, 3.0)
    a, b, c, d = (np.stack([x, y, z], axis=-1).reshape(-1, 3) for y, z in ((y0, z0), (y1, z0), (y1, z1), (y0, z1)))
    wall = scenes.mesh(np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]))
    rasterizer = Rasterizer(wall, CAMERA)
    for yaw in (0.0, 0.1, -0.33):
        assert np.isfinite(rasterizer.render_depth_ids(pose2d(0, 0, yaw) @ MOUNT)[0]).all()


def test_the_same_view_is_the_same_to_the_bit(room_mesh):
    T = pose2d(3.0, 1.5, 1.0) @ MOUNT
    first, again = Rasterizer(room_mesh, CAMERA).render(T), Rasterizer(room_mesh, CAMERA)
    again.render(pose2d(5.0, 5.0, 0.0) @ MOUNT)
    for a, b in zip(first, again.render(T), strict=True):
        np.testing.assert_array_equal(a, b)
    depth, ids = again.render_depth_ids(T)
    np.testing.assert_array_equal(depth, first[1])
    np.testing.assert_array_equal(ids, first[2])


def test_a_wide_picture_is_its_parts_side_by_side(room_mesh):
    """Rows are shaded in strips: where these meet shows nowhere."""
    wide, T = Camera(1100, 40, 400.0, 400.0, 549.5, 19.5), pose2d(2.0, 2.2, 0.4) @ MOUNT
    whole = Rasterizer(room_mesh, wide).render(T)
    for left, right in ((0, 600), (500, 1100)):
        camera = Camera(right - left, 40, 400.0, 400.0, 549.5 - left, 19.5)
        for a, b in zip(whole, Rasterizer(room_mesh, camera).render(T), strict=True):
            assert (a[:, left:right] == b).mean() > 0.999


def test_far_and_near_cut(room_mesh):
    T = pose2d(2.0, 2.0, 0.8) @ MOUNT
    whole = Rasterizer(room_mesh, CAMERA).render_depth_ids(T)[0]
    cut = Rasterizer(room_mesh, CAMERA, near=1.0, far=2.5).render_depth_ids(T)[0]
    assert np.nanmin(cut) >= 1.0 - 1e-6 and np.nanmax(cut) <= 2.5 + 1e-6
    between = (whole > 1.0) & (whole < 2.5)
    assert between.sum() > 1000
    np.testing.assert_array_equal(cut[between], whole[between])
    with pytest.raises(InputError, match="near"):
        Rasterizer(room_mesh, CAMERA, near=3.0, far=2.0)


def wall_ahead(texture: np.ndarray, uv_scale: float, distance: float = 2.0, slope: float = 0.0) -> SceneMesh:
    """A 20 m wall across the x axis, leaning by ``slope`` along y; texture coordinates (-y, -z) times a scale."""
    y, z = np.array([-10, 10, 10, -10.0]), np.array([-10, -10, 10, 10.0])
    corners = np.stack([distance + slope * y, y, z], axis=1)
    uv = np.stack([-y, -z], axis=1) * uv_scale
    index = np.array([[0, 1, 2], [0, 2, 3]])
    zeros = np.zeros(2)
    return SceneMesh(corners, index, uv[index], zeros, (texture,), zeros, np.full((2, 3), 255))


def test_textures_are_in_perspective():
    """On a slanted wall the picture is the texture at each ray's own hit point, up to one factor of light."""
    ramp = np.zeros((64, 64, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.linspace(30, 220, 64)[None, :], np.linspace(30, 220, 64)[:, None]
    ramp[..., 2] = 128
    camera = Camera.from_hfov(160, 120, 1.0)
    T = pose2d(0.0, 0.0, 0.0) @ RobotProfile(camera_pitch=0.0, camera_height=0.05, camera_forward=0.0).T_base_camera()
    color, depth, _ = Rasterizer(wall_ahead(ramp, 0.25, slope=0.8), camera).render(T)
    points = camera.unproject(depth).astype(np.float64) @ T[:3, :3].T + T[:3, 3]
    uv = np.mod(-points[..., 1:] * 0.25, 1.0)
    inner = ((uv > 0.05) & (uv < 0.95)).all(axis=-1)
    expected = 30 + 190 * (uv * 64 - 0.5) / 63
    light = color[..., 2].astype(np.float64) / 128.0
    for k in range(2):
        assert np.abs(color[..., k] / light - expected[..., k])[inner].max() < 6.0
    assert light.std() < 0.02


def test_a_distant_texture_is_smooth_and_steady(scenes):
    """Blocks far smaller than a pixel average out; a near view keeps their contrast."""
    texture = scenes.blocks(256, 2)
    camera = Camera.from_hfov(160, 120, 1.0)
    near = Rasterizer(wall_ahead(texture, 0.25, 1.0), camera).render(MOUNT)[0].astype(np.float64)
    far_wall = Rasterizer(wall_ahead(texture, 8.0, 8.0), camera)
    first = far_wall.render(pose2d(0, 0, 0) @ MOUNT)[0].astype(np.float64)
    moved = far_wall.render(pose2d(0, 0.02, 0.0) @ MOUNT)[0].astype(np.float64)
    assert near.std() > 30.0
    assert first.std() < 6.0
    assert np.abs(first - moved).mean() < 2.0
    assert abs(first.mean() / near.mean() - 1.0) < 0.05  # filtering keeps the brightness


def test_corners_are_darker_and_sides_differ(scenes):
    white = np.full((2, 2, 3), 255, np.uint8)
    room = scenes.mesh(scenes.box((0, 0, 1.3), (2, 2, 1.3)), texture=white)
    color, _, _ = Rasterizer(room, CAMERA).render(pose2d(0, 0, np.pi / 4) @ MOUNT)
    row = color[100, :, 0].astype(float)
    corner = row[150:170].mean()
    assert corner < 0.93 * min(row[60:90].mean(), row[230:260].mean())
    assert abs(row[75] - row[244]) > 4.0  # the two walls are told apart


def test_mip_levels_average_and_end_in_one_texel():
    image = np.random.default_rng(0).integers(0, 256, (4, 16, 3), dtype=np.uint8)
    texels, levels = mip_chain((image, image[:1, :1].copy()))
    assert levels[0].tolist() == [[0, 4, 2], [64, 3, 1], [80, 2, 0], [84, 1, 0], [86, 0, 0], [86, 0, 0]]
    assert levels[1].tolist() == [[87, 0, 0]] * 6
    last = int(texels[86])
    np.testing.assert_allclose([last & 255, last >> 8 & 255, last >> 16], image.mean(axis=(0, 1)), atol=1.0)


def test_clusters_hold_every_face_once(room_mesh):
    order, starts = cluster(room_mesh.triangles.astype(np.float64))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(room_mesh.faces)))
    assert starts[0] == 0 and starts[-1] == len(order) and (np.diff(starts) > 0).all()
    scene = RasterScene(room_mesh)
    corners = room_mesh.triangles[scene.face]
    np.testing.assert_array_equal(scene.vertices[scene.triangles].astype(np.float32), corners)
    box = np.repeat(scene.cluster_boxes, np.diff(scene.cluster_faces), axis=0)[:, None]
    assert (np.abs(corners - box[..., :3]) <= box[..., 3:]).all()


def test_faces_without_area_do_no_harm(scenes):
    triangles = np.concatenate([scenes.box((3, 0, 1), (0.5, 0.5, 0.5)), np.ones((3, 3, 3)), np.zeros((1, 3, 3))])
    triangles[-2, 1] = (5, 1, 1)
    depth, _ = Rasterizer(scenes.mesh(triangles), CAMERA).render_depth_ids(MOUNT)
    assert 1000 < np.isfinite(depth).sum() < depth.size


def test_orb_finds_features(room_mesh):
    cv2 = pytest.importorskip("cv2")
    rasterizer, orb = Rasterizer(room_mesh, CAMERA), cv2.ORB_create(1000)
    poses = np.random.default_rng(5).uniform((1, 1, -3.1), (3, 3, 3.1), (10, 3))
    counts = [len(orb.detect(rasterizer.render(pose2d(*p) @ MOUNT)[0][..., 1].copy(), None)) for p in poses]
    assert np.mean(np.array(counts) > 300) >= 0.8


def test_a_frame_of_a_hundred_thousand_triangles_takes_ten_milliseconds(scenes):
    rasterizer = Rasterizer(scenes.rooms(side=3, faces=100_000), CAMERA)
    poses = [pose2d(*p) @ MOUNT for p in np.random.default_rng(2).uniform((1, 1, -3), (11, 11, 3), (12, 3))]
    rounds = []
    for _ in range(4):
        started = time.process_time()
        for T in poses:
            rasterizer.render(T)
        rounds.append((time.process_time() - started) / len(poses))
    assert min(rounds) < 0.010
