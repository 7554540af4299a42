"""The fast simulator: the same images as the embedded one, at the speed that learning needs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from embodied_nav.geometry import Camera, pose2d
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import SceneCache
from embodied_nav.sim.fast import FastConfig, FastSimulator
from embodied_nav.sim.mesh import SceneDescription
from embodied_nav.sim.rasterizer import Rasterizer


@pytest.fixture(scope="module")
def scene(scenes):
    """Nine rooms with a hundred thousand triangles."""
    return SceneCache(RobotProfile()).make(SceneDescription(scenes.rooms(side=3, faces=100_000)))


def start(scene, k: int) -> tuple[float, float, float]:
    x, y = scene.navigable.grid.centers(scene.navigable.free_cells[k % len(scene.navigable.free_cells)])
    return float(x), float(y), float(k)


def test_it_shows_what_the_rasteriser_shows(scene):
    simulator = FastSimulator(scene)
    reference = Rasterizer(scene.description.mesh, Camera.from_hfov(64, 48, np.pi / 2))
    for k in (100, 5000, 9000):
        x, y, yaw = start(scene, k)
        observation = simulator.reset(x, y, yaw)
        _, depth, ids = reference.render(pose2d(x, y, yaw) @ RobotProfile().T_base_camera())
        np.testing.assert_array_equal(observation.depth, depth)
        np.testing.assert_array_equal(observation.instance_ids, ids)


def test_steps_move_and_collide(scene):
    simulator = FastSimulator(scene, config=FastConfig(sliding=False))
    first = simulator.reset(*start(scene, 3000))
    seen = [simulator.step(0.5, 0.0, 0.2) for _ in range(100)]
    assert seen[-1].collided
    moved = np.hypot(*(np.array(seen[-1].pose[:2]) - first.pose[:2]))
    assert simulator.path_length == pytest.approx(moved, abs=1e-6) and moved > 0.05
    before = simulator.look(*first.pose)[0]
    np.testing.assert_array_equal(before, first.depth)  # looking elsewhere does not move the robot
    assert simulator.move(0.0, 0.3).pose[2] != seen[-1].pose[2]


def test_more_than_1500_steps_a_second(scene):
    simulator = FastSimulator(scene)
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(4):
        started = time.process_time()
        for _ in range(8):
            simulator.reset(*start(scene, int(rng.integers(1 << 30))))
            for _ in range(40):
                simulator.step(0.4, float(rng.uniform(-1, 1)), 0.2)
        rates.append(8 * 40 / (time.process_time() - started))
    assert max(rates) > 1500
