"""What changes in an apartment changes in the map: a chair carried away, a door closed and opened again."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from embodied_nav.frames import FREE, OCCUPIED, Keyframe
from embodied_nav.geometry import Camera
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import create
from embodied_nav.robot import RobotProfile
from embodied_nav.rooms.segmentation import segment_rooms
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.mesh import SceneMesh
from embodied_nav.sim.navigable import NavigableMap, box_distance
from embodied_nav.sim.tours import frames

ROBOT, CAMERA = RobotProfile(), Camera.from_hfov(320, 240, math.pi / 2)
#: Frames that see through a thing until it must be off the map.
PATIENCE = 10
SEATS = ("chair", "stool", "ottoman", "office chair", "armchair")


@pytest.fixture(scope="module", params=["3", "17"])
def place(request):
    scene = describe(request.param)
    return scene, NavigableMap(scene, ROBOT)


def without(scene, instance):
    """The scene after a thing was carried away."""
    keep = scene.mesh.instance != instance
    m = scene.mesh
    mesh = SceneMesh(
        m.vertices, m.faces[keep], m.uvs[keep], m.texture[keep], m.textures, m.instance[keep], m.tint[keep]
    )
    return replace(scene, mesh=mesh)


def with_wall(scene, a, b):
    """The scene with an upright rectangle from (x, y) a to b, 2 m high."""
    m, n = scene.mesh, len(scene.mesh.vertices)
    corners = np.array([[*a, 0.0], [*b, 0.0], [*b, 2.0], [*a, 2.0]], np.float32)
    faces = np.array([[n, n + 1, n + 2], [n, n + 2, n + 3]], np.int32)
    mesh = SceneMesh(
        np.concatenate([m.vertices, corners]), np.concatenate([m.faces, faces]),
        np.concatenate([m.uvs, np.zeros((2, 3, 2), np.float32)]), np.append(m.texture, [0, 0]), m.textures,
        np.append(m.instance, [0, 0]), np.concatenate([m.tint, np.full((2, 3), 160, np.uint8)]),
    )  # fmt: skip
    return replace(scene, mesh=mesh)


def looking_at(navigable, xy, reach, thing=None):
    """(x, y, yaw) of free ground at some distance (m) from a place, turned to it, with the thing in sight."""
    cells = navigable.free_cells
    centers = navigable.grid.centers(cells)
    away = np.linalg.norm(centers - np.asarray(xy), axis=1)
    near = (away > reach[0]) & (away < reach[1])
    if thing is not None:
        near[near] &= navigable.sees_box(cells[near], thing.center, thing.extent, thing.yaw)
    order = np.flatnonzero(near)[np.argsort(-navigable.clearance[tuple(cells[near].T)], kind="stable")]
    if not len(order):
        return None
    x, y = centers[order[0]]
    return float(x), float(y), math.atan2(xy[1] - y, xy[0] - x)


def watch(memory, scene, pose, count, seed, start):
    """Frames of a scene from about one pose, as a robot that turns slowly has it, into a memory; the last one."""
    poses = [(pose[0], pose[1], pose[2] + 0.02 * (k - count / 2)) for k in range(count)]
    for frame in frames(scene, poses, ROBOT, CAMERA, noise_seed=seed, first_stamp=start):
        memory.integrate(frame)
    return frame


def ghosts(after, truth, thing):
    """Occupied cells where a thing was that are free in truth and not beside an obstacle, as far as depth can tell."""
    beside = cv2.dilate((truth.data == OCCUPIED).astype(np.uint8), np.ones((5, 5)))
    places = after.centers(np.argwhere(after.data == OCCUPIED))
    cells = truth.cells(places[box_distance(places, thing.center, thing.extent, thing.yaw) <= 0.0])
    cells = tuple(cells[truth.inside(cells)].T)
    return int(((truth.data[cells] == FREE) & (beside[cells] == 0)).sum())


def test_a_chair_carried_away_leaves_the_map_after_ten_frames_that_see_through_it(place):
    scene, navigable = place
    gone = 0
    for thing in [o for o in scene.objects if o.category in SEATS]:
        pose = looking_at(navigable, thing.center[:2], (1.0, 2.2), thing)
        if pose is None:
            continue
        memory, never, backend = SpatialMemory(), SpatialMemory(), create("simulator")
        backend.set_instances({o.instance: (o.category, o.color) for o in scene.objects})
        frame = watch(memory, scene, pose, 8, thing.instance, 10**9)
        if (frame.instance_ids == thing.instance).sum() < 600:
            continue
        memory.add_keyframe(Keyframe(0, frame, 0.5, 0, "first"))
        memory.add_delta(backend.perceive(None, Keyframe(0, frame, 0.5, 0, "first"), ""))
        chair = min(memory.objects(), key=lambda o: float(np.linalg.norm(o.position - thing.center)))
        assert chair.label == thing.category
        empty = without(scene, thing.instance)
        watch(never, empty, pose, 8, thing.instance + 1, 10**9)
        watch(memory, empty, pose, PATIENCE, thing.instance + 2, 10**10)
        assert ghosts(memory.occupancy(), never.occupancy(), thing) == 0, thing
        assert chair.id in [o.id for o in memory.objects(include_gone=True) if o.status == "gone"], thing
        gone += 1
    assert gone >= 3


def doorway(navigable):
    """(x, y) of a door, half of its width along the wall, and a pose that looks at it from one room."""
    doors = {d.position: d for r in segment_rooms(navigable.grid).rooms for d in r.doors}
    for door in sorted(doors.values(), key=lambda d: d.width):
        here, axes = np.array(door.position), np.eye(2)
        # The wall runs along the axis on which the door is narrow.
        reach = 0.45 * door.width
        tight = [sum(navigable.clearance_at(here + side * reach * axis) for side in (-1, 1)) for axis in axes]
        along = int(np.argmin(tight))
        for side in (-1, 1):
            pose = looking_at(navigable, here + side * axes[1 - along] * 1.2, (0.0, 0.3))
            if pose is not None and navigable.line_of_sight(pose, here):
                x, y, _ = pose
                return here, axes[along] * door.width / 2, (x, y, math.atan2(here[1] - y, here[0] - x))
    raise AssertionError("no door in sight of anywhere")


def test_a_closed_door_appears_and_an_opened_one_goes(place):
    scene, navigable = place
    here, half, pose = doorway(navigable)
    line = here + np.linspace(-0.7, 0.7, 9)[:, None] * half

    def values(memory):
        grid = memory.occupancy()
        return grid.data[tuple(grid.cells(line).T)]

    memory = SpatialMemory()
    watch(memory, scene, pose, 8, 1, 10**9)
    assert (values(memory) != OCCUPIED).all()
    watch(memory, with_wall(scene, here - half, here + half), pose, 3, 2, 10**10)
    assert (values(memory) == OCCUPIED).all()
    watch(memory, scene, pose, PATIENCE, 3, 2 * 10**10)
    assert (values(memory) != OCCUPIED).all()
