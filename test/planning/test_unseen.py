"""What depth did not measure is not free: unsafe drives, each with a safe partner that only looks like it."""

import math

import numpy as np
import pytest
from box_world import CAMERA, NARROW, ROBOT, World, drive, mount

from embodied_nav.frames import Velocity
from embodied_nav.geometry import pose2d
from embodied_nav.planning import CollisionGuard, FrozenPicture, LocalObstacles, shows_things
from embodied_nav.planning.scan_evidence import measures, sees_behind
from embodied_nav.planning.scan_layer import ScanLayer

WALLS = [(4, -3, 0, 4.1, 3, 2.5), (-4, -3, 0, -3.9, 3, 2.5), (-4, 3, 0, 4.1, 3.1, 2.5), (-4, -3.1, 0, 4.1, -3, 2.5)]
ROOM = World(WALLS)
BOX = World([*WALLS, (1.8, -0.6, 0, 2.0, 0.6, 1.2)])
FIXED = np.random.default_rng(1).random((120, 160))
EDGE = 1.5


def nothing(depth, *_):
    return np.full_like(depth, np.nan)


def sparse(share, fixed=False):
    return lambda d, t, pose, rng: np.where((FIXED if fixed else rng.random(d.shape)) < share, d, np.nan)


def later(spoil, seconds):
    return lambda d, t, *rest: spoil(d, t, *rest) if t >= seconds else d


def columns(first, last):
    return lambda d, *_: np.where((np.arange(160) >= first) & (np.arange(160) < last), np.nan, d)


def nearer(metres):
    return lambda d, *_: np.where(d < metres, np.nan, d)


def of_place(*place, camera=CAMERA, T=None):
    """Nothing comes back from a place (x0, y0, z0, x1, y1, z1)."""
    T = ROBOT.T_base_camera() if T is None else T

    def spoil(depth, t, pose, rng):
        T_world = pose2d(*pose) @ T
        points = depth[..., None] * (camera.rays() @ T_world[:3, :3].T) + T_world[:3, 3]
        inside = ((points >= np.array(place[:3])) & (points <= np.array(place[3:]))).all(axis=-1)
        return np.where(inside, np.nan, depth)

    return spoil


def dark(*box):
    """A room with a thing that returns no light, and what the camera makes of it."""
    place = (*(v - 0.01 for v in box[:3]), *(v + 0.01 for v in box[3:]))
    return World([*WALLS, box]), of_place(*place)


def stairs(edge=EDGE, steps=12):
    floors = [(-50.0, edge, 0.0, 0.0)]
    floors += [(edge + 0.28 * i, edge + 0.28 * (i + 1), -0.17 * (i + 1), 0.0) for i in range(steps)]
    return World([], [*floors, (edge + 0.28 * steps, 50.0, -0.17 * steps, 0.0)])


def ramp(degrees, start=1.0):
    return World([], [(-50.0, start, 0.0, 0.0), (start, 50.0, 0.0, math.tan(math.radians(degrees)))])


BLIND = {
    "all NaN": nothing,
    "all zero": lambda d, *_: 0.0 * d,
    "all inf": lambda d, *_: np.full_like(d, np.inf),
    "3 percent": sparse(0.03),
    "3 percent, the same pixels": sparse(0.03, fixed=True),
    "corridor": columns(45, 115),
    "lower half": lambda d, *_: np.where(np.arange(120)[:, None] > 55, np.nan, d),
}


@pytest.mark.parametrize("spoil", BLIND.values(), ids=BLIND)
@pytest.mark.parametrize("since", [0.0, 1.5])
def test_stands_where_depth_says_nothing_of_the_way(spoil, since):
    end = drive(BOX, later(spoil, since), seconds=6.0, start=(-1.0, 0.0, 0.0))
    assert end.least_gap > 0.1
    assert end.speeds[-20:] == [0.0] * 20
    assert end.x - -1.0 < 0.5 * since + 1.0, "drives on what it remembers, not for long"
    assert "unmeasured" in end.reasons
    assert "% valid ahead" in end.guard.explain("unmeasured")


def test_does_not_back_off_over_unseen_ground_while_it_sees_nothing_ahead():
    guard = CollisionGuard(robot=ROBOT)
    for k in range(20):
        guard.observe_depth(k * 10**8, np.full((120, 160), np.nan, np.float32), CAMERA, mount(), np.eye(4))
    assert guard.filter(Velocity(-0.1, 0.0), np.eye(4)) == (Velocity(), "blind_behind")
    assert guard.filter(Velocity(0.0, 0.8), np.eye(4)) == (Velocity(0.0, 0.8), ""), "it may look elsewhere"
    assert guard.filter(Velocity(0.3, 0.0), np.eye(4)) == (Velocity(), "unmeasured")


SAFE = {
    "nothing wrong": (ROOM, None),
    "60 percent invalid": (ROOM, sparse(0.4)),
    "60 percent invalid, the same pixels": (ROOM, sparse(0.4, fixed=True)),
    "noise of 2 percent": (ROOM, lambda d, t, pose, rng: d * (1.0 + rng.normal(0.0, 0.02, d.shape))),
    "dark sofa beside": dark(1.0, 0.45, 0.0, 2.8, 1.4, 0.8),
    "dark sofa behind the goal": dark(3.3, -1.0, 0.0, 3.9, 1.0, 0.8),
    "glossy floor nearer than 1 m": (ROOM, nearer(0.95)),
    "sun on the floor": (ROOM, of_place(1.2, -0.3, -0.05, 1.75, 0.4, 0.05)),
    "minimum range": (ROOM, nearer(0.6)),
    "a hall too large for the camera": (World([], far=4.0), None),
    "a bare plain": (World([], far=3.0), None),
    "narrow door": (World([*WALLS, (1.5, -3, 0, 1.6, -0.35, 2.2), (1.5, 0.35, 0, 1.6, 3, 2.2)]), None),
    "sill": (World(WALLS, [(-50, 1.5, 0, 0), (1.5, 1.6, 0.03, 0), (1.6, 50, 0, 0)]), None),
    "ramp down": (ramp(-6.0, 3.0), None),
}


@pytest.mark.parametrize(("world", "spoil"), SAFE.values(), ids=SAFE)
def test_arrives_without_standing_where_it_only_looks_bad(world, spoil):
    end = drive(world, spoil, goal=2.4)
    assert end.x >= 2.4 and end.standing < 0.3, (end.x, end.standing, end.reasons)
    assert np.mean(end.speeds) > 0.42


@pytest.mark.parametrize("camera", [CAMERA, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize(("height", "pitch"), [(0.3, 0.0), (0.5, 0.1), (1.2, 0.3), (1.4, 0.3)])
def test_drives_with_cameras_at_any_height(camera, height, pitch):
    end = drive(ROOM, T=mount(height, pitch), camera=camera, goal=2.4)
    assert end.x >= 2.4 and end.standing < 0.3, end.reasons
    end = drive(ROOM, nothing, T=mount(height, pitch), camera=camera, seconds=3.0)
    assert end.x < 0.1


@pytest.mark.parametrize("height", [0.5, 0.8, 1.5])
def test_stops_before_a_thing_that_returns_no_light(height):
    world, spoil = dark(2.0, -0.5, 0.0, 2.6, 0.5, height)
    end = drive(world, spoil)
    assert end.least_gap > 0.03 and end.speeds[-1] == 0.0


def test_a_remembered_obstacle_is_not_forgotten_below_the_minimum_range():
    obstacles = LocalObstacles(robot=ROBOT)
    obstacles.add_depth(1, BOX.depth(mount()), CAMERA, mount(), np.eye(4))
    close = pose2d(1.3, 0.0, 0.0)
    before = len(obstacles.points(close))
    assert before > 5
    for k in range(20):
        obstacles.add_depth(2 + k, nothing(BOX.depth(close @ mount())), CAMERA, mount(), close)
    assert len(obstacles.points(close)) == before
    end = drive(World([*WALLS, (1.8, -0.6, 0, 2.0, 0.6, 0.5)]), nearer(1.0), seconds=12.0)
    assert end.least_gap > 0.0


@pytest.mark.parametrize("height, kept", [(0.5, True), (1.6, False)])
def test_what_is_out_of_sight_stays_until_it_is_looked_through(height, kept):
    """A low box right before a mast is below the camera's view; that somebody has left is seen at once."""
    obstacles, close = LocalObstacles(robot=ROBOT), pose2d(1.45, 0.0, 0.0)
    thing = World([*WALLS, (1.8, -0.3, 0, 2.0, 0.3, height)])
    for k, x in enumerate(np.linspace(0.0, 1.45, 15)):
        at = pose2d(float(x), 0.0, 0.0)
        obstacles.add_depth(k * 100_000_000, thing.depth(at @ mount()), CAMERA, mount(), at)

    def ahead():
        points = obstacles.points(close, 0.6)
        return int((np.abs(points[:, 1]) < 0.12).sum())  # the camera's view is narrow so near

    assert ahead() > 3
    room = ROOM.depth(close @ mount())
    begun = 15
    for seconds, still_there in ((2.0, True), (2.0, kept), (3.0 * obstacles.config.memory, kept)):
        for _ in range(int(10 * seconds)):
            obstacles.add_depth(begun * 100_000_000, room, CAMERA, mount(), close)
            begun += 1
        assert ahead() > 3 if still_there else ahead() == 0, seconds


def test_a_thing_that_is_only_looked_through_in_part_stays_for_the_whole_time():
    """Something else hides its lower half: what is still there cannot be told."""
    thing = (1.6, -0.4, 0.0, 2.0, 0.4, 1.0)
    obstacles = LocalObstacles(robot=ROBOT)

    def behind():
        points = obstacles.points(np.eye(4))
        return int((points[:, 0] > 1.5).sum())

    for k in range(5):
        obstacles.add_depth(k * 100_000_000, World([*WALLS, thing]).depth(mount()), CAMERA, mount(), np.eye(4))
    before = behind()
    room = World([*WALLS, (1.0, -0.6, 0.0, 1.1, 0.6, 0.5)]).depth(mount())
    for k in range(5, 5 + 60):
        obstacles.add_depth(k * 100_000_000, room, CAMERA, mount(), np.eye(4))
    assert behind() >= 0.9 * before > 0


def test_a_drop_that_was_seen_stays_behind_a_robot_that_turned_its_back():
    obstacles, world = LocalObstacles(robot=ROBOT), stairs()
    before, turned = pose2d(EDGE - 0.4, 0.0, 0.0), pose2d(EDGE - 0.4, 0.0, math.pi)
    for k, x in enumerate(np.linspace(0.0, EDGE - 0.4, 12)):
        at = pose2d(float(x), 0.0, 0.0)
        obstacles.add_depth(k * 100_000_000, world.depth(at @ mount()), CAMERA, mount(), at)
    assert len(obstacles.drops(before, 0.8)) > 3
    for k in range(12, 12 + 3 * int(10 * obstacles.config.memory)):
        obstacles.add_depth(k * 100_000_000, world.depth(turned @ mount()), CAMERA, mount(), turned)
    behind = obstacles.drops(turned, 0.8)
    assert len(behind) > 3 and (behind[:, 0] < 0.0).all()


def test_a_robot_that_turned_on_the_spot_sets_out_at_once():
    guard, standing = CollisionGuard(robot=ROBOT), 0
    for k in range(40):
        pose = pose2d(0.0, 0.0, min(0.15 * k, math.pi))
        guard.observe_depth(k * 10**8, ROOM.depth(pose @ mount()), CAMERA, mount(), pose)
        turning = k * 0.15 < math.pi
        v, _ = guard.filter(Velocity(0.0, 1.5) if turning else Velocity(0.4, 0.0), pose)
        standing += not turning and v.linear < 0.35
    assert standing == 0


DROPS = {
    "storey below": World([(4.5, -3, -3, 4.6, 3, 2.5)], [(-50, EDGE, 0, 0), (EDGE, 50, -1.0, 0)]),
    "stairs": stairs(),
    "step of 12 cm": World([], [(-50, EDGE, 0, 0), (EDGE, 50, -0.12, 0)]),
    "nothing beyond": World([], [(-50, EDGE, 0, 0)]),
    "pit without a bottom": World(WALLS, [(-50, EDGE, 0, 0), (EDGE + 1.0, 50, 0, 0)]),
    "gap to a storey below": World([], [(-50, EDGE, 0, 0), (EDGE + 0.5, 50, -0.9, 0)]),
}


@pytest.mark.parametrize("camera", [CAMERA, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("world", DROPS.values(), ids=DROPS)
def test_stops_before_the_floor_ends(world, camera):
    end = drive(world, lambda d, t, pose, rng: d * (1.0 + rng.normal(0.0, 0.004, d.shape)), camera=camera)
    assert end.x + ROBOT.footprint_radius < EDGE
    assert end.speeds[-1] == 0.0
    # From some places the lower floor alone is in view: then it might as well be a mount that is wrong.
    assert end.reasons & {"drop_ahead", "unmeasured", "mount"}


@pytest.mark.parametrize("camera", [CAMERA, NARROW], ids=["wide", "narrow"])
def test_does_not_set_out_over_an_edge_that_lies_nearer_than_the_camera_sees(camera):
    assert drive(stairs(0.6), camera=camera, seconds=4.0).x < 0.3


@pytest.mark.parametrize("degrees", [-6.0, 6.0, 3.0])
def test_a_ramp_is_no_drop(degrees):
    end = drive(ramp(degrees, 1.2), seconds=1.2)
    assert not end.reasons & {"drop_ahead", "unmeasured", "mount"}
    assert len(end.guard.obstacles.drops(pose2d(end.x, end.y, 0.0))) == 0


@pytest.mark.parametrize("degrees", [3.0, 5.0, 6.0])
def test_a_ramp_is_floor_and_a_steep_one_is_an_obstacle(degrees):
    end = drive(ramp(degrees, 1.2), lambda d, t, pose, rng: d * (1.0 + rng.normal(0.0, 0.003, d.shape)), seconds=1.2)
    assert len(end.guard.obstacles.points(pose2d(end.x, end.y, 0.0))) == 0
    steep = drive(ramp(11.0, 1.2), seconds=1.0)
    assert len(steep.guard.obstacles.points(pose2d(steep.x, steep.y, 0.0))) > 20


@pytest.mark.parametrize("camera", [CAMERA, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("height", [0.08, 0.1, 0.14, 0.25])
@pytest.mark.parametrize("depth", [0.12, 1.5])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_low_box_is_no_ramp(camera, height, depth, noise):
    """Its front rises in an instant, and nothing leads up to its top; whether it is as deep as a stage or a plank."""
    world = World([*WALLS, (1.9, -0.5, 0, 1.9 + depth, 0.5, height)])
    end = drive(world, lambda d, t, pose, rng: d * (1.0 + rng.normal(0.0, noise, d.shape)), camera=camera)
    assert end.least_gap > 0.0 and end.speeds[-1] == 0.0


@pytest.mark.parametrize("tilt", [0.0, math.radians(2.0)], ids=["ramp of 5 degrees", "mount 2 degrees off"])
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
@pytest.mark.parametrize("height", [0.3, 1.0, 1.6])
@pytest.mark.parametrize("place", np.linspace(1.45, 1.95, 6))
def test_what_stands_on_ground_that_rises_stays_an_obstacle(tilt, noise, height, place):
    """Somebody steps in where a ramp, or floor that seems to rise, was seen before."""
    floors = ramp(5.0).floors if tilt == 0.0 else World([]).floors
    foot = math.tan(math.radians(5.0)) * (place - 1.0) if tilt == 0.0 else 0.0
    before, after = World([], floors), World([(place, -0.3, foot, place + 0.3, 0.3, foot + height)], floors)
    obstacles, told, rng = LocalObstacles(robot=ROBOT), mount(pitch=0.15 - tilt), np.random.default_rng(0)
    for k in range(12):
        depth = (before if k < 4 else after).depth(mount())
        depth *= 1.0 + rng.normal(0.0, noise, depth.shape).astype(np.float32)
        obstacles.add_depth(k * 100_000_000, depth, CAMERA, told, np.eye(4))
        points = obstacles.points(np.eye(4))
        ahead = points[(np.abs(points[:, 1]) < 0.25) & (np.abs(points[:, 0] - place) < 0.15)]
        assert k < 4 or len(np.unique(np.round(ahead[:, 1] / 0.04))) > 8, k


def test_floor_that_is_seen_clears_a_drop_and_a_mirror_image_is_one():
    obstacles = LocalObstacles(robot=ROBOT)
    bare = World([])
    mirrored = bare.depth(mount())
    patch = of_place(1.3, -0.2, -0.05, 1.6, 0.2, 0.05)(mirrored, 0.0, (0.0, 0.0, 0.0), None)
    obstacles.add_depth(1, np.where(np.isnan(patch), 2.0 * mirrored, mirrored), CAMERA, mount(), np.eye(4))
    drops = obstacles.drops(np.eye(4))
    assert len(drops) and (np.abs(drops[:, 0] - 1.45) < 0.25).all()
    obstacles.add_depth(2, mirrored, CAMERA, mount(), np.eye(4))
    assert len(obstacles.drops(np.eye(4))) == 0


def test_depth_of_a_whole_image_is_looked_at_in_time():
    import time

    from embodied_nav.geometry import Camera

    camera, guard = Camera.from_hfov(640, 480, math.pi / 2), CollisionGuard(robot=ROBOT)
    depth = np.kron(ROOM.depth(mount()), np.ones((4, 4), np.float32))
    took = []
    for k in range(20):
        start = time.process_time()
        guard.observe_depth(k * 33_000_000, depth, camera, mount(), np.eye(4))
        took.append(time.process_time() - start)
    assert np.median(took) < 0.01


def test_a_picture_that_stays_the_same_is_frozen_only_while_the_robot_moves():
    frozen, rng = FrozenPicture(), np.random.default_rng(0)
    first, second = (rng.integers(0, 255, (120, 160), dtype=np.uint8) for _ in range(2))
    assert not any(frozen.update(first, np.eye(4)) for _ in range(50)), "it stands"
    assert not frozen.update(first, pose2d(0.02, 0.0, 0.0))
    assert frozen.update(first, pose2d(0.08, 0.0, 0.0))
    assert frozen.update(first, np.eye(4)), "until another picture comes, wherever odometry drifts"
    assert not frozen.update(second, pose2d(0.08, 0.0, 0.0))
    assert frozen.update(second, pose2d(0.08, 0.0, 0.1)), "turning is motion"
    changed = second.copy()
    changed[::7] += 1
    assert not frozen.update(changed, pose2d(0.08, 0.0, 0.2))
    dark_lens = np.zeros((120, 160), np.uint8)
    assert not any(frozen.update(dark_lens, pose2d(0.1 * k, 0.0, 0.0)) for k in range(5))


def test_a_bare_floor_looks_the_same_from_everywhere():
    assert not shows_things(World([]).depth(mount()), CAMERA, mount())
    assert not shows_things(nothing(ROOM.depth(mount())), CAMERA, mount())
    assert shows_things(ROOM.depth(mount()), CAMERA, mount())


ANGLES = np.linspace(-math.pi, math.pi, 360, endpoint=False)


@pytest.mark.parametrize(
    ("ranges", "seen"),
    [
        (np.full(360, np.inf), False),
        (np.full(360, np.nan), False),
        (np.full(360, -np.inf), False),
        (np.zeros(360), False),
        (np.full(360, 30.0), False),  # beyond range_max
        (np.where(np.abs(ANGLES) < 1.5, 2.0, np.nan), False),  # only ahead
        (np.where(np.abs(ANGLES) < 2.6, 2.0, np.inf), True),  # open behind
        (np.where(np.abs(ANGLES) > 2.2, 0.1, 2.0), False),  # its own mast hides what is behind
        (np.full(360, 2.0), True),
    ],
    ids=["inf", "nan", "-inf", "zero", "too far", "ahead", "open", "mast", "room"],
)
def test_a_scan_lifts_the_limit_behind_by_what_it_measures(ranges, seen):
    assert sees_behind(ranges, ANGLES, np.eye(4), 0.18, 0.05, 8.0) == seen
    guard = CollisionGuard(robot=ROBOT)
    guard.observe_depth(0, ROOM.depth(mount()), CAMERA, mount(), np.eye(4))
    guard.observe_scan(1, ranges, -math.pi, math.radians(1.0), np.eye(4), np.eye(4), 0.05, 8.0)
    velocity, _ = guard.filter(Velocity(-0.15, 0.0), np.eye(4))
    assert (velocity.linear == -0.15) == seen
    guard.observe_depth(2 * 10**9, ROOM.depth(mount()), CAMERA, mount(), np.eye(4))
    assert guard.filter(Velocity(-0.15, 0.0), np.eye(4))[0].linear >= -0.10, "an old scan says nothing"


def test_a_scanner_that_measures_nothing_frees_nothing_in_the_map():
    for ranges in (np.full(360, np.inf), np.where(np.arange(360) < 10, 2.0, np.inf)):
        layer = ScanLayer(0.05)
        layer.add(ranges, ANGLES, np.eye(4))
        assert not layer._evidence.size
        assert not measures(ranges)
