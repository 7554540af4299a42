"""The keyframe graph against counts of shared voxels and against places that were visited twice."""

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms

from embodied_nav.frames import Keyframe
from embodied_nav.geometry import Camera, invert, rotation_angle
from embodied_nav.memory import RetentionConfig, SpatialMemory
from embodied_nav.memory.submaps.covisibility import describe
from embodied_nav.memory.submaps.local_clouds import cloud_points
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe as describe_scene
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour

#: Twice around in the first room, once in the second; the second round is a little beside the first.
ROUND = [(1.0, 1.5, a) for a in np.linspace(0, 5.5, 8)]
AGAIN = [(1.1, 1.55, a + 0.05) for a in np.linspace(0, 5.5, 8)]
OTHER = [(4.2, 2.0, a) for a in np.linspace(0, 5.5, 8)]


@pytest.fixture(scope="module")
def memory():
    memory = SpatialMemory(None, RetentionConfig(covered=1.0))
    for k, pose in enumerate(ROUND + AGAIN + OTHER):
        frame = render(two_rooms(), camera_pose(*pose), (k + 1) * 100_000_000)
        memory.add_keyframe(Keyframe(k, frame, 0.5, 10, "overlap"))
        memory.integrate(frame)
    return memory


def shared(memory, a, b, size=0.4):
    cells = []
    for i in (a, b):
        cloud = next(c for c in memory.state.local_clouds() if c.keyframe_id == i)
        p = cloud_points(cloud, 0.05) @ cloud.T_map_cloud[:3, :3].T + cloud.T_map_cloud[:3, 3]
        cells.append({tuple(c) for c in np.floor(p / size).astype(int)})
    return len(cells[0] & cells[1]) / min(len(c) for c in cells)


def test_covisibility_is_the_share_of_common_cells(memory):
    graph = memory.graph()
    found = dict(graph.covisible(0, least=0.0))
    assert list(found.values()) == sorted(found.values(), reverse=True)
    for other in (1, 4, 8, 16, 20):
        assert found.get(other, 0.0) == pytest.approx(shared(memory, 0, other), abs=0.02)
    assert next(iter(found)) == 8
    assert {(a, b) for a, b, _ in graph.edges()} >= {(i, i + 8) for i in range(8)}
    assert all(a < b and share >= 0.1 for a, b, share in graph.edges())


def test_covisibility_follows_keyframes_that_move(memory):
    moved = SpatialMemory()
    for k, pose in enumerate((ROUND[0], AGAIN[0])):
        frame = render(two_rooms(), camera_pose(*pose), (k + 1) * 100_000_000)
        moved.add_keyframe(Keyframe(k, frame, 0.5, 10, "overlap"))
        moved.integrate(frame)
    assert moved.graph().covisible(0)[0][1] > 0.8
    T = moved.keyframes[1].T_map_camera.copy()
    T[:3, 3] += (30.0, 0.0, 0.0)
    moved.rebuild_from_keyframes({1: T})
    assert moved.graph().covisible(0) == []
    assert moved.graph().near(T)[0] == (1, 0.0)


def test_nearest_by_place(memory):
    graph = memory.graph()
    assert [i for i, _ in graph.near(camera_pose(*ROUND[3]), 2)] == [3, 11]
    (i, distance), *_ = graph.near(np.array([4.2, 2.0, 0.85]), 3)
    assert i in range(16, 24) and distance < 0.05


def test_nearest_by_look_finds_the_place_of_before():
    scene, robot, camera = describe_scene("5"), RobotProfile(), Camera.from_hfov(160, 120, np.pi / 2)
    poses = tour(NavigableMap(scene, robot))[:72]
    memory = SpatialMemory()
    for k, frame in enumerate(frames(scene, poses, robot, camera, None)):
        memory.add_keyframe(Keyframe(k, frame, 0.5, 10, "overlap"))
    graph, rng = memory.graph(), np.random.default_rng(0)
    again = [tuple(np.array(p) + rng.normal(0, (0.1, 0.1, 0.08))) for p in poses[::6]]
    right = 0
    for frame in frames(scene, again, robot, camera, None):
        (best, similarity), second = graph.alike(frame.color, 2)
        assert 0.5 < similarity <= 1.0 and similarity >= second[1]
        apart = invert(memory.keyframes[best].T_map_camera) @ frame.T_map_camera
        right += np.linalg.norm(apart[:3, 3]) < 1.0 and rotation_angle(apart) < 0.7
    assert right >= 11
    assert all(i != 3 for i, _ in graph.alike(3))


def test_keyframes_without_colour_have_no_look():
    memory = SpatialMemory()
    frame = render(two_rooms(), camera_pose(*ROUND[0]), 1)
    bare = type(frame)(1, frame.camera, frame.T_map_camera, None, frame.depth)
    memory.add_keyframe(Keyframe(0, bare, 0.5, 10, "first"))
    assert memory.graph().alike(0) == [] == memory.graph().alike(frame.color)


def test_a_look_is_of_unit_length_and_bears_brightness():
    image = np.random.default_rng(1).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    vector = describe(image)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-3)
    darker = (image * 0.8).astype(np.uint8)
    assert describe(darker) @ vector > 0.9 > describe(np.zeros_like(image)) @ vector
