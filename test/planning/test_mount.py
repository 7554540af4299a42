"""The check of the camera's mount: what must speak against it, and what may not."""

import math

import numpy as np
import pytest
from box_world import CAMERA, NARROW, ROBOT, World, drive, level_mount, mount

from embodied_nav.geometry import pose2d
from embodied_nav.planning import MountCheck, judge
from embodied_nav.planning.mount import DOUBTFUL, GOOD, UNCHECKED, WRONG

ROOM = World([(4, -3, 0, 4.1, 3, 2.5), (-4, -3, 0, -3.9, 3, 2.5), (-4, 3, 0, 4, 3.1, 2.5), (-4, -3.1, 0, 4, -3, 2.5)])
BOX = World([*ROOM.boxes, (1.7, -0.8, 0, 1.9, 0.8, 1.2)])


def rolled(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return mount() @ np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def tilted(degrees):
    return mount(pitch=0.15 + math.radians(degrees))


#: True mount, what TF says, what must be in the text.
WRONG_MOUNTS = {
    "pitch of 9 degrees up": (mount(), tilted(-9), "tilted"),
    "pitch of 9 degrees down": (mount(), tilted(9), "tilted"),
    "pitch of 30 degrees": (mount(pitch=0.0), tilted(22), "tilted"),
    "roll of 10 degrees": (rolled(10), mount(), "tilted"),
    "10 cm too high": (mount(0.85), mount(0.95), r"+0.10 m"),
    "10 cm too low": (mount(0.85), mount(0.75), r"-0.10 m"),
    "30 cm too low": (mount(0.95), mount(0.65), r"-0.30 m"),
    "upside down": (rolled(180), mount(), "180 degrees"),
    "on its side": (rolled(90), mount(), "90 degrees"),
    "not optical": (mount(), level_mount(), "optical"),
}


@pytest.mark.parametrize("world", [ROOM, BOX], ids=["room", "box"])
@pytest.mark.parametrize(("T", "told", "says"), WRONG_MOUNTS.values(), ids=WRONG_MOUNTS)
def test_a_wrong_mount_is_found_and_the_robot_stands(world, T, told, says):
    found = judge(world.depth(T), CAMERA, told)
    assert found.verdict in (WRONG, DOUBTFUL) and says in found.text and found.mend
    end = drive(world, T=T, T_told=told, seconds=1.5)
    assert end.x < 0.15 and "mount" in end.reasons and says in end.guard.explain("mount")


RIGHT_MOUNTS = {"as it is": mount(), "low": mount(0.3, 0.0), "high": mount(1.2, 0.3), "upside down": rolled(180)}


@pytest.mark.parametrize("camera", [CAMERA, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("T", RIGHT_MOUNTS.values(), ids=RIGHT_MOUNTS)
def test_a_right_mount_is_good_with_noise_and_a_few_degrees(T, camera):
    rng = np.random.default_rng(0)
    depth = ROOM.depth(T, camera)
    assert judge(depth, camera, T).verdict == GOOD
    noisy = (depth * (1.0 + rng.normal(0.0, 0.01, depth.shape))).astype(np.float32)
    sparse = np.where(rng.random(depth.shape) < 0.4, noisy, np.nan)
    assert judge(sparse, camera, T).verdict == GOOD
    c, s = math.cos(0.035), math.sin(0.035)
    off = T @ np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
    assert judge(depth, camera, off).verdict in (GOOD, UNCHECKED)


def steps(rise, edge=0.6, n=12):
    floors = [(-50.0, edge, 0.0, 0.0)]
    return World([], floors + [(edge + 0.28 * i, edge + 0.28 * (i + 1), rise * (i + 1), 0.0) for i in range(n)])


def slope(degrees, start=0.2):
    return World([], [(-50.0, start, 0.0, 0.0), (start, 50.0, 0.0, math.tan(math.radians(degrees)))])


HARMLESS = {
    "wall": World([(0.7, -3, 0, 0.8, 3, 2.5)]),
    "table": World([*ROOM.boxes, (0.5, -2, 0.7, 3, 2, 0.75)]),
    "bed": World([*ROOM.boxes, (0.7, -2, 0, 3, 2, 0.5)]),
    "stairs down": steps(-0.17),
    "stairs down ahead": steps(-0.17, 1.5),
    "stairs up": World([(1.0 + 0.28 * i, -2, 0, 9, 2, 0.17 * (i + 1)) for i in range(9)]),
    "ramp up": slope(6.0),
    "ramp down": slope(-6.0),
    "ramp down ahead": slope(-6.0, 1.5),
    "ceiling": World([*ROOM.boxes, (-4, -3, 2.4, 4, 3, 2.5)]),
    "nothing": World([], []),
}


@pytest.mark.parametrize("camera", [CAMERA, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("world", HARMLESS.values(), ids=HARMLESS)
def test_what_looks_like_another_floor_is_none(world, camera):
    assert judge(world.depth(mount(), camera), camera, mount()).verdict in (GOOD, UNCHECKED)


def observe(check, world, pose, T=None, told=None, n=6, start=0):
    for k in range(n):
        T_true = mount() if T is None else T
        depth = world.depth(pose @ T_true)
        check.add_depth((start + k) * 10**9, depth, CAMERA, T_true if told is None else told, pose)
    return check.verdict


def test_a_podium_is_doubtful_until_the_robot_turns_and_sees_the_floor():
    podium = World([*ROOM.boxes, (0.7, -2.0, 0.0, 3.0, 2.0, 0.2)])
    check = MountCheck(robot=ROBOT)
    assert observe(check, podium, np.eye(4)) == DOUBTFUL
    assert observe(check, podium, pose2d(0.0, 0.0, math.pi), start=10) == GOOD
    assert observe(check, podium, np.eye(4), start=20) == GOOD, "the mount was right a moment ago"


def test_the_same_from_another_heading_is_wrong_and_a_mended_tf_is_taken():
    check = MountCheck(robot=ROBOT)
    assert observe(check, ROOM, np.eye(4), told=mount(0.75)) == DOUBTFUL
    assert observe(check, ROOM, pose2d(0.0, 0.0, 1.0), told=mount(0.75), start=10) == WRONG
    assert observe(check, ROOM, pose2d(0.0, 0.0, 1.0), start=20) == GOOD
