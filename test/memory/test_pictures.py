"""PLY files and map pictures."""

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import MemoryObject
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.output.export import write_ply
from embodied_nav.memory.output.render import draw_map, estimate_up, slanted_view, top_view, upright


@pytest.fixture(scope="module")
def memory(walk_frames):
    m = SpatialMemory()
    for f in walk_frames[:30]:
        m.integrate(f)
    return m


def test_trimesh_reads_the_ply(memory, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    assert write_ply(tmp_path / "map.ply", memory) == len(memory)
    cloud = trimesh.load(tmp_path / "map.ply")
    v = memory.voxels()
    assert np.allclose(cloud.vertices, v.positions, atol=1e-6)
    assert np.array_equal(np.asarray(cloud.colors)[:, :3], v.colors)
    data = cloud.metadata["_ply_raw"]["vertex"]["data"]
    assert np.array_equal(np.ravel(data["weight"]), v.weights)
    assert np.array_equal(np.ravel(data["label"]), v.labels)


def test_an_unwritable_place(memory, tmp_path):
    with pytest.raises(InputError):
        write_ply(tmp_path / "no" / "map.ply", memory)
    with pytest.raises(InputError):
        draw_map(tmp_path / "no" / "map.png", memory.occupancy())


def test_a_map_shows_walls_free_space_track_and_names(memory, tmp_path):
    import cv2

    sofa = MemoryObject(1, "sofa", "red", np.array([5.2, 0.4, 0.3]), np.array([1.2, 0.7, 0.7]), 0.9, 50, 0, 1, 0)
    track = np.array([[1.0, 1.5], [2.0, 2.0], [4.0, 2.0]])
    draw_map(tmp_path / "map.png", memory.occupancy(), track, [sofa], (5.2, 1.2), voxels=memory.voxels(), title="x")
    image = cv2.imread(str(tmp_path / "map.png"))[..., ::-1]
    assert image.shape[0] > 500 and image.shape[1] > 1000
    left = image[:, : image.shape[1] // 2].reshape(-1, 3).astype(int)
    for color, least in (((38, 50, 66), 1000), ((250, 249, 245), 20000), ((255, 212, 0), 50)):
        assert (np.abs(left - color).max(1) < 6).sum() > least


def test_the_highest_below_the_ceiling_wins_from_above():
    points = np.array([[0.02, 0.02, 0.0], [0.02, 0.02, 1.0], [0.02, 0.02, 2.6], [0.31, 0.02, 0.0]])
    colors = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]], np.uint8)
    image, extent = top_view(points, colors, 0.05, 2.2)
    assert image[0, 0].tolist() == [2, 2, 2, 255] and image[0, -1, 0] == 4 and image[0, 2, 3] == 0
    assert extent[0] == pytest.approx(0.02)


def test_up_is_found_and_turned(memory):
    points = memory.voxels()
    tilt = upright(np.array([0.2, -0.9, 0.3]))
    assert np.allclose(tilt @ (np.array([0.2, -0.9, 0.3]) / np.linalg.norm([0.2, -0.9, 0.3])), [0, 0, 1])
    assert np.allclose(tilt @ tilt.T, np.eye(3))
    assert np.allclose(upright(np.array([0, 0, -1.0])) @ [0, 0, -1], [0, 0, 1])
    camera = np.eye(4)
    camera[:3, 1] = -np.array([0.15, 0.1, 0.98]) / np.linalg.norm([0.15, 0.1, 0.98])  # images' down, 10 degrees off
    up = estimate_up([camera], points)
    assert up[2] > np.cos(np.radians(2.5))


def test_the_slanted_view_shows_the_colours(memory):
    v = memory.voxels()
    image = slanted_view(v.positions.astype(float), v.colors)
    assert (np.abs(image.astype(int) - (150, 120, 90)).max(-1) < 4).sum() > 5000  # the floor
