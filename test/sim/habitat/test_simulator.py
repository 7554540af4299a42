"""What was measured of habitat-sim holds in both worlds, and the faults of older bridges are not ours.

Both worlds are run over one house: habitat-sim's stand-in behind the real server, and the scene's file by our own
rasteriser and navmesh, which share no code.
"""

import dataclasses
import json
import math

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import Episode
from embodied_nav.geometry import ros_from_habitat, transform_points
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.dynamics import DifferentialDrive, accelerated
from embodied_nav.sim.habitat.datasets import load_dataset
from embodied_nav.sim.habitat.simulator import HabitatConfig, HabitatSimulator, MeshSimulator
from embodied_nav.sim.interface import Privileged, Simulator

ROBOT = RobotProfile(camera_height=0.88, camera_forward=0.0, camera_pitch=0.0, height=0.88)
SMALL = {"width": 160, "height": 120, "sliding": False}
WORLDS = ("habitat-sim", "own")


@pytest.fixture(scope="module")
def episode(objectnav_file, house):
    return load_dataset(objectnav_file, house.parent.parent).episodes[0]


@pytest.fixture
def make(server):
    made = []

    def make(world: str, robot: RobotProfile = ROBOT, **settings):
        config = HabitatConfig(**{**SMALL, "server": server.address, "token_file": server.token, **settings})
        made.append((HabitatSimulator if world == "habitat-sim" else MeshSimulator)(None, robot, config))
        return made[-1]

    yield make
    for simulator in made:
        simulator.close()


def at(episode, position, yaw=0.0):
    """The episode with another start: position in Habitat's axes, yaw about the vertical."""
    half = 0.5 * yaw
    return dataclasses.replace(episode, position=tuple(position), rotation=(0.0, math.sin(half), 0.0, math.cos(half)))


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_a_simulator(make, world, episode):
    simulator = make(world)
    observation = simulator.reset(episode)
    for protocol, found in ((Simulator, simulator), (Privileged, simulator.privileged())):
        for name in (n for n in vars(protocol) if not n.startswith("_")):
            assert hasattr(found, name), name
    assert observation.color.dtype == np.uint8 and observation.color.shape == (120, 160, 3), "RGBA became RGB"
    assert observation.depth.dtype == np.float32 and not observation.instance_ids.any()
    with pytest.raises(InputError, match="give --dataset and --scenes-dir"):
        simulator.reset(Episode("a", "0", "object", "find it", (0.0, 0.0, 0.0), (), 1.0))


@pytest.mark.parametrize("world", WORLDS)
def test_the_first_step_climbs_onto_the_floating_navmesh(make, world, episode):
    simulator = make(world)
    simulator.reset(at(episode, (-3.0, 0.0, 1.5)))
    assert simulator.position[1] == 0.0, "not snapped at the start"
    before = simulator.position.copy()
    simulator.step_action("forward")
    assert np.linalg.norm(simulator.position - before) == pytest.approx(0.269, abs=0.001)
    assert simulator.position.dtype == np.float32


@pytest.mark.parametrize("world", WORLDS)
def test_a_blocked_step_goes_up_to_contact_then_nowhere(make, world, episode):
    simulator = make(world)
    simulator.reset(at(episode, (-0.45, 0.1, -1.0), -math.pi / 2))  # looks at +x, at the wall between the rooms
    first, second = simulator.step_action("forward"), None
    reached = simulator.position.copy()
    second = simulator.step_action("forward")
    assert first.collided and second.collided
    assert 0.08 < reached[0] + 0.45 < 0.18 and -0.1 - reached[0] > 0.175, "contact, at the agent's radius or more"
    assert np.allclose(simulator.position, reached, atol=1e-5)
    turned = simulator.step_action("left")
    assert not turned.collided


@pytest.mark.parametrize("world", WORLDS)
def test_sliding_goes_on_along_the_wall(make, world, episode):
    simulator = make(world, sliding=True)
    simulator.reset(at(episode, (-0.5, 0.1, -1.0), -math.pi / 4))
    simulator.step_action("forward")
    before = simulator.position.copy()
    result = simulator.step_action("forward")
    assert result.collided
    assert np.linalg.norm(simulator.position - before) == pytest.approx(0.25 * math.cos(math.pi / 4), abs=0.045)
    assert abs(simulator.position[2] - before[2]) == pytest.approx(0.1768, abs=1e-3)


# -- the faults of older bridges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_intrinsics_are_those_of_the_field_of_view(make, world, episode):
    """Fault: fx = W / 2, right for 90 degrees only. Here every pixel of a wall 2 m ahead unprojects onto the wall."""
    simulator = make(world, hfov=math.radians(60.0))
    observation = simulator.reset(at(episode, (-2.0, 0.1, 2.0), math.pi / 2))  # looks at -x, at the wall x = -4
    camera = simulator.camera()
    assert camera.fx == camera.fy == pytest.approx(160 / (2 * math.tan(math.radians(30.0))))
    points = camera.unproject(observation.depth).reshape(-1, 3)
    ahead = observation.depth.reshape(-1)
    wall = np.isclose(ahead, 2.0, atol=1e-3)
    assert wall.mean() > 0.3, "planar depth: the whole wall has one depth"
    floor = points[:, 1] > 0.9
    assert np.allclose(points[floor][:, 1], 0.98, atol=1e-3), "the floor is level, 0.88 m and the float below"


@pytest.mark.parametrize("world", WORLDS)
def test_left_is_left(make, world, episode):
    """Fault: the sign of what lies or turns to the side. ROS has y to the left and turns to the left positive."""
    simulator = make(world)
    simulator.reset(at(episode, (-2.0, 0.1, 1.5)))
    before = simulator.step(0.0, 0.0, 0.05)
    turning = simulator.step(0.0, 0.5, 0.5)
    assert turning.angular > 0.0 and turning.T_odom_base[1, 0] > 0.0 and before.T_odom_base[1, 0] == 0.0
    x, y, _ = simulator.pose
    for _ in range(20):
        result = simulator.step(0.4, 0.0, 0.05)
    assert result.T_odom_base[1, 3] > 0.01, "ahead after a turn to the left is to the left of the start"
    assert simulator.pose[1] > y and simulator.pose[0] > x and simulator.pose[2] > 0.0
    assert np.allclose(simulator.privileged().T_map_odom(), np.eye(4), atol=1e-6)
    assert simulator.step_action("left").T_odom_base[1, 0] > result.T_odom_base[1, 0]


def test_a_thing_on_the_left_is_seen_on_the_left(make, episode):
    """The same of the picture: the red table is at the left of who looks along -z from its right side."""
    for world in WORLDS:
        observation = make(world).reset(at(episode, (3.6, 0.1, 1.0)))
        red = (observation.color[..., 0] > 2 * observation.color[..., 2].astype(int)) & (observation.depth < 6.0)
        columns = np.nonzero(red)[1]
        assert len(columns) > 50 and columns.mean() < 80, world


@pytest.mark.parametrize("world", WORLDS)
def test_velocities_are_integrated_over_simulated_time(make, world, episode):
    """Fault: integration by when messages arrive. Here only dt counts: the same commands, the same way, however long
    it takes; a tenth of the steps of ten times the length; the clock is the sum of the steps."""
    import time

    ends = []
    for pause, pieces in ((0.0, 20), (0.02, 20), (0.0, 200)):
        simulator = make(world)
        stamp = simulator.reset(at(episode, (-3.0, 0.1, 2.0))).stamp
        for k in range(pieces):
            result = simulator.step(0.3, 0.2, 2.0 / pieces)
            time.sleep(pause if k % 5 == 0 else 0.0)
        assert result.stamp - stamp == 2_000_000_000
        ends.append(simulator.pose)
    assert ends[0] == ends[1] and np.allclose(ends[0], ends[2], atol=0.01)
    drive = DifferentialDrive(ROBOT, None)
    for _ in range(20):
        drive.step(0.3, 0.2, 0.1)
    x, y, yaw = drive.pose
    start = ros_from_habitat(np.array([-3.0, 0.1, 2.0]))
    assert np.allclose(ends[0], (start[0] + x, start[1] + y, yaw), atol=2e-3), "as the embedded simulator's base"


def test_a_free_base_accelerates_as_the_embedded_one():
    drive, velocity, way = DifferentialDrive(ROBOT, None), (0.0, 0.0), np.zeros(2)
    rng = np.random.default_rng(0)
    for _ in range(60):
        v, w, before = *rng.uniform(-2.0, 2.0, 2), drive.state.copy()
        drive.step(v, w, 0.06)
        arcs, velocity = accelerated(ROBOT, velocity, (v, w), 0.06, 3)
        way = np.sum(arcs, axis=0)
        assert velocity == pytest.approx(drive.velocity) and way[1] == pytest.approx(drive.state[2] - before[2])
    assert accelerated(ROBOT, (0.0, 0.0), (math.nan, 1.0), 0.1, 1)[1] == (0.0, 0.0)


@pytest.mark.parametrize("world", WORLDS)
def test_walls_stop_velocities_too(make, world, episode):
    """Fault: no collision. A robot that is driven at a wall stands before it, and it is told."""
    simulator = make(world)
    simulator.reset(at(episode, (-0.8, 0.1, -1.0), -math.pi / 2))
    results = [simulator.step(0.5, 0.0, 0.05) for _ in range(60)]
    assert results[-1].collided and not results[2].collided
    assert results[-1].linear == pytest.approx(0.0, abs=0.02)
    assert -0.5 < simulator.position[0] < -0.27


@pytest.mark.parametrize("world", WORLDS)
def test_the_camera_is_above_the_navmesh_and_tf_says_so(make, world, episode):
    """The floor under the picture lies at z = 0 of the map, whether or not the start is on the navmesh."""
    robot = dataclasses.replace(ROBOT, camera_pitch=0.5, camera_forward=0.1)
    for height in (0.0, 0.1):
        simulator = make(world, robot)
        observation = simulator.reset(at(episode, (-3.0, height, 2.0), 0.3))
        for _ in range(2):
            T = observation.T_odom_base @ observation.T_base_camera
            points = simulator.camera().unproject(observation.depth).reshape(-1, 3).astype(np.float64)
            z = transform_points(T, points[np.isfinite(points[:, 2])])[:, 2]
            assert abs(np.median(z[z < 0.3])) < 2e-3, "the floor"
            simulator.step_action("forward")
            observation = simulator.observe()
        assert simulator.robot.camera_height + 0.1 == pytest.approx(observation.T_base_camera[2, 3])


@pytest.mark.parametrize("world", WORLDS)
def test_depth_says_nothing_beyond_its_range(make, world, episode):
    simulator = make(world, min_depth=0.5, max_depth=3.0)
    depth = simulator.reset(at(episode, (-3.0, 0.1, 2.0))).depth
    known = depth[np.isfinite(depth)]
    assert len(known) and known.min() >= 0.5 and known.max() < 3.0 and np.isnan(depth).any()


def test_both_worlds_see_and_measure_the_same(make, episode):
    """Depth to a millimetre; distances to what a grid of 5 cm and its round corners may differ."""
    theirs, ours = make("habitat-sim"), make("own")
    rng, seen, measured = np.random.default_rng(3), 0, 0
    for simulator in (theirs, ours):
        simulator.reset(episode)
    for _ in range(60):
        place = np.array((rng.uniform(-3.6, 3.6), 0.1, rng.uniform(-2.6, 2.6)))
        if any(np.linalg.norm(s.world.snap(place) - place) > 1e-3 for s in (theirs, ours)):
            continue  # inside of something, or too near to it
        a, b = (s.reset(at(episode, place, place[0])) for s in (theirs, ours))
        both = np.isfinite(a.depth) & np.isfinite(b.depth)
        seen += both.mean() > 0.5
        assert np.quantile(np.abs(a.depth - b.depth)[both], 0.999) < 1e-3
        found, wanted = ours.privileged().geodesic(), theirs.privileged().geodesic()
        assert abs(found - wanted) < 0.02 * wanted + 0.1, place
        measured += 1
    assert seen > 15 and measured > 15


def test_odometry_drifts_where_it_is_asked_to(make, episode):
    for noisy in (False, True):
        simulator = make("own", odometry_noise=noisy)
        simulator.reset(at(episode, (-3.0, 0.1, 2.5)), seed=4)
        for _ in range(10):
            simulator.step_action("forward")
        drift = np.abs(simulator.privileged().T_map_odom() - np.eye(4)).max()
        assert (drift > 1e-3) == noisy


def test_the_stand_in_shares_nothing_with_the_package(house):
    from .conftest import HERE

    for file in (HERE / "stand_in").rglob("*.py"):
        assert "embodied_nav" not in file.read_text(encoding="utf-8")
    assert json.loads((house.parent / "house.boxes.json").read_text())["boxes"]
