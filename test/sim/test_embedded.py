"""The embedded simulator: its interface, determinism, noise, truth, actions, and what it refuses."""

from __future__ import annotations

import inspect
import math
import time

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import Episode, Goal
from embodied_nav.geometry import Camera, invert, pose2d, yaw_of
from embodied_nav.robot import RobotProfile
from embodied_nav.sim import embedded
from embodied_nav.sim.embedded import FIRST_STAMP, EmbeddedSimulator, SceneCache, SimulatorConfig, warm_up
from embodied_nav.sim.interface import Privileged, Room, SceneObject, Simulator
from embodied_nav.sim.mesh import SceneDescription
from embodied_nav.sim.privileged import EmbeddedPrivileged

START = (1.0, 1.0, 0.5)


@pytest.fixture(scope="module")
def description(scenes) -> SceneDescription:
    """Two rooms of 4 m with a door between them and a box in the second."""
    parts = [
        scenes.box((4, 2, -0.05), (4, 2, 0.05)),
        scenes.box((4, 2, 2.65), (4, 2, 0.05)),
        scenes.box((0, 2, 1.3), (0.05, 2, 1.3)),
        scenes.box((8, 2, 1.3), (0.05, 2, 1.3)),
        scenes.box((4, 0, 1.3), (4, 0.05, 1.3)),
        scenes.box((4, 4, 1.3), (4, 0.05, 1.3)),
        scenes.box((4, 0.75, 1.3), (0.05, 0.75, 1.3)),
        scenes.box((4, 3.25, 1.3), (0.05, 0.75, 1.3)),
        scenes.box((6.5, 2, 0.4), (0.3, 0.3, 0.4)),
    ]
    instance = np.concatenate([np.full(12, 1 if k == 8 else 0) for k in range(len(parts))])
    mesh = scenes.mesh(np.concatenate(parts), instance)
    box = SceneObject(1, "box", "gray", 1, (6.5, 2.0, 0.4), (0.6, 0.6, 0.8))
    rooms = (Room(0, "kitchen", ((0, 0, 4, 4),)), Room(1, "office", ((4, 0, 8, 4),)))
    return SceneDescription(mesh, (box,), rooms)


def episode(**changed) -> Episode:
    fields = {
        "id": "test-0",
        "scene": "0",
        "kind": "object",
        "instruction": "find the gray box",
        "start": START,
        "goals": (Goal("object", (6.5, 2.0, 0.4), instance=1, room=1),),
        "geodesic_distance": 5.0,
    }
    return Episode(**(fields | changed))


@pytest.fixture
def simulator(description) -> EmbeddedSimulator:
    return EmbeddedSimulator(description)


def still(description, **config) -> EmbeddedSimulator:
    return EmbeddedSimulator(description, config=SimulatorConfig(depth_noise=False, odometry_noise=False, **config))


@pytest.mark.parametrize(("protocol", "kind"), [(Simulator, EmbeddedSimulator), (Privileged, EmbeddedPrivileged)])
def test_it_has_every_method_of_the_interface(protocol, kind):
    for name, method in inspect.getmembers(protocol, inspect.isfunction):
        if not name.startswith("_"):
            expected = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(kind, name)).parameters) == expected, name


def test_the_first_observation(simulator):
    observation = simulator.reset(episode(), seed=3)
    assert observation.stamp == FIRST_STAMP > 0
    assert observation.color.shape == (240, 320, 3) and observation.color.dtype == np.uint8
    assert observation.depth.dtype == np.float32 and observation.instance_ids.dtype == np.int32
    np.testing.assert_array_equal(observation.T_odom_base, np.eye(4))
    np.testing.assert_allclose(observation.T_base_camera, RobotProfile().T_base_camera())
    assert simulator.camera() == Camera.from_hfov(320, 240, math.pi / 2)
    assert simulator.privileged().pose() == pytest.approx(START)
    np.testing.assert_allclose(simulator.privileged().T_scene_map(), pose2d(*START))


def run(simulator: EmbeddedSimulator, seed: int) -> list[np.ndarray]:
    out = [simulator.reset(episode(), seed).depth]
    for k in range(30):
        result = simulator.step(0.4, 0.8 * math.sin(k / 5), 0.05)
        out.append(result.T_odom_base)
    last = simulator.observe()
    return [*out, last.depth, last.color, last.instance_ids, np.array(simulator.privileged().pose())]


def test_the_same_seed_repeats_to_the_bit(description, simulator):
    first, again, other = run(simulator, 5), run(EmbeddedSimulator(description), 5), run(simulator, 6)
    repeat = run(simulator, 5)
    for a, b, c in zip(first, again, repeat, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    np.testing.assert_array_equal(first[-1], other[-1])  # noise of the sensors leaves the truth alone


def test_odometry_drifts_and_the_truth_corrects_it(simulator):
    simulator.reset(episode(start=(1.0, 2.0, 0.0)), seed=1)
    for _ in range(200):
        result = simulator.step(0.5, 0.0, 0.05)
    privileged = simulator.privileged()
    truth = invert(privileged.T_scene_map()) @ pose2d(*privileged.pose())
    np.testing.assert_allclose(privileged.T_map_odom() @ result.T_odom_base, truth, atol=1e-9)
    error = np.linalg.norm((result.T_odom_base - truth)[:2, 3])
    assert 1e-3 < error < 0.5
    assert result.stamp == FIRST_STAMP + 10_000_000_000


def test_without_noise_sensors_tell_the_truth(description):
    simulator = still(description)
    simulator.reset(episode())
    for _ in range(40):
        result = simulator.step(0.4, 0.5, 0.05)
    np.testing.assert_allclose(simulator.privileged().T_map_odom(), np.eye(4), atol=1e-9)
    first, second = simulator.observe(), simulator.observe()
    np.testing.assert_array_equal(first.depth, second.depth)
    assert result.angular == pytest.approx(0.5)


def test_depth_agrees_with_the_room(description):
    """The wall ahead is where geometry says; noise keeps it within a few centimetres."""
    start = (1.0, 3.2, 0.0)
    level = RobotProfile(camera_pitch=0.0)
    exact = EmbeddedSimulator(description, level, SimulatorConfig(depth_noise=False)).reset(episode(start=start))
    noisy = EmbeddedSimulator(description, level).reset(episode(start=start))
    assert exact.depth[120, 160] == pytest.approx(4.0 - 0.05 - 1.0 - level.camera_forward, abs=1e-4)
    assert noisy.depth[120, 160] == pytest.approx(exact.depth[120, 160], abs=0.1)
    assert (noisy.depth != exact.depth).mean() > 0.9
    np.testing.assert_array_equal(noisy.instance_ids, exact.instance_ids)


def test_the_box_is_seen_under_its_number(description):
    simulator = still(description)
    ids = simulator.reset(episode(start=(5.0, 2.0, 0.0))).instance_ids
    assert set(np.unique(ids)) == {0, 1}
    columns = np.flatnonzero((ids == 1).any(axis=0))
    assert abs(columns.mean() - 159.5) < 1.5


def test_discrete_actions(description):
    simulator = still(description, turn_angle=math.radians(30), forward_step=0.3)
    simulator.reset(episode(start=(1.0, 2.0, 0.0)))
    result = simulator.step_action("forward")
    np.testing.assert_allclose(result.T_odom_base[:2, 3], [0.3, 0.0], atol=1e-12)
    assert result.stamp == FIRST_STAMP + 600_000_000 and not result.collided
    assert yaw_of(simulator.step_action("left").T_odom_base) == pytest.approx(math.radians(30))
    simulator.step_action("right")
    assert yaw_of(simulator.step_action("right").T_odom_base) == pytest.approx(math.radians(-30))
    before = simulator.privileged().pose()
    assert simulator.step_action("stop").linear == 0.0
    assert simulator.privileged().pose() == before
    with pytest.raises(InputError, match="'jump'"):
        simulator.step_action("jump")


def test_driving_into_a_wall_collides(description):
    simulator = still(description)
    simulator.reset(episode(start=(1.0, 3.0, math.pi)))
    results = [simulator.step(0.5, 0.0, 0.05) for _ in range(60)]
    assert results[-1].collided and not results[0].collided
    assert results[-1].linear == pytest.approx(0.0, abs=1e-9)
    assert simulator.privileged().pose()[0] >= 0.05 + RobotProfile().footprint_radius - 0.05


def test_geodesic_and_goal(description):
    simulator = still(description)
    simulator.reset(episode())
    privileged = simulator.privileged()
    path = privileged.shortest_path()
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    assert privileged.geodesic() == pytest.approx(length, rel=0.05)
    np.testing.assert_allclose(path[0], START[:2], atol=1e-9)
    straight = math.hypot(5.0, 1.0) - 1.0 - 0.5
    assert straight < privileged.geodesic() < straight + 1.5
    assert privileged.geodesic((5.6, 2.0)) == 0.0
    assert not privileged.goal_reached()
    simulator.reset(episode(start=(5.5, 2.0, 0.0)))
    assert simulator.privileged().goal_reached() and simulator.privileged().geodesic() == 0.0


def test_geodesic_falls_as_the_robot_nears(description):
    simulator = still(description)
    simulator.reset(episode(start=(1.0, 2.0, 0.0)))
    distances = [simulator.privileged().geodesic()]
    for _ in range(100):
        simulator.step(0.5, 0.0, 0.05)
        distances.append(simulator.privileged().geodesic())
    assert (np.diff(distances) <= 1e-6).all() and distances[-1] < distances[0] - 2.0


def test_a_route_needs_its_way_points_in_order(description):
    at_goal = (5.5, 2.0, 0.0)
    goals = (Goal("point", (5.5, 2.0, 0.0)),)
    passed = episode(kind="route", start=at_goal, goals=goals, waypoints=((5.0, 2.0, 0.0),))
    simulator = still(description)
    simulator.reset(passed)
    assert simulator.privileged().goal_reached()
    far_first = episode(kind="route", start=at_goal, goals=goals, waypoints=((1.0, 2.0, 0.0), (5.0, 2.0, 0.0)))
    simulator.reset(far_first)
    assert simulator.privileged().waypoints_passed == 0 and not simulator.privileged().goal_reached()


def test_bad_episodes_are_refused(description, tmp_path):
    simulator = EmbeddedSimulator(description)
    with pytest.raises(InputError, match="lies in an obstacle"):
        simulator.reset(episode(start=(6.5, 2.0, 0.0)))
    with pytest.raises(InputError, match="seed"):
        EmbeddedSimulator().reset(episode(scene="nowhere"))
    with pytest.raises(InputError, match="no such file"):
        EmbeddedSimulator().reset(episode(scene=str(tmp_path / "missing.glb")))
    with pytest.raises(InputError, match="turn_angle"):
        SimulatorConfig(turn_angle=9.0)


def test_scenes_come_from_files_and_the_last_used_are_kept(description, tmp_path, monkeypatch):
    trimesh = pytest.importorskip("trimesh")
    mesh = description.mesh
    paths = [str(tmp_path / f"{name}.ply") for name in "abc"]
    for path in paths:
        trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)
    loads = []
    describe = embedded.describe
    monkeypatch.setattr(embedded, "describe", lambda name: loads.append(name) or describe(name))
    simulator = EmbeddedSimulator(config=SimulatorConfig(scene_cache=2))
    for k in (0, 1, 0, 2, 0, 1):
        observation = simulator.reset(episode(scene=paths[k]))
        assert np.isfinite(observation.depth).mean() > 0.9
    assert loads == [paths[k] for k in (0, 1, 2, 1)]
    simulator.close()
    simulator.reset(episode(scene=paths[1]))
    assert loads[-1] == paths[1] and len(loads) == 5


def test_the_view_from_above_shows_the_box_without_a_ceiling(description):
    simulator = still(description)
    simulator.reset(episode())
    picture = simulator.render_top(200)
    assert picture.shape[0] == 200 and abs(picture.shape[1] / 200 - 8.1 / 4.1) < 0.05
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = 6.5, 2.0, 1.9
    close = simulator.render(pose, Camera.from_hfov(64, 64, 0.3))
    assert close.std() > 5.0


def test_warm_up_tells_what_it_does():
    lines: list[str] = []
    assert warm_up(lines.append) > 0.0
    assert lines and all("\n" not in line for line in lines)


def test_an_observation_with_noise_takes_twelve_milliseconds(scenes):
    simulator = EmbeddedSimulator(SceneDescription(scenes.rooms(side=3, faces=100_000)))
    free = simulator._fixed.navigable
    cells = free.free_cells[:: len(free.free_cells) // 6]
    times = []
    for k, (x, y) in enumerate(free.grid.centers(cells)):
        simulator.reset(episode(start=(float(x), float(y), float(k))))
        started = time.process_time()
        for _ in range(3):
            simulator.step(0.3, 0.3, 0.05)
            simulator.observe()
        times.append((time.process_time() - started) / 3)
    assert np.median(times) < 0.012


def test_scene_cache_makes_a_scene_whole(description):
    scene = SceneCache(RobotProfile()).make(description)
    assert scene.navigable.is_free(START[:2]) and scene.raster.mesh is description.mesh
