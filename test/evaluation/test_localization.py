"""Where the pose in map comes from, and how SLAM's corrections reach what is remembered."""

import numpy as np
import pytest

from embodied_nav.drivers import Agent
from embodied_nav.errors import InputError
from embodied_nav.evaluation import runner
from embodied_nav.evaluation.localization import Correction, OdomLocalization, create_localization
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import invert, pose2d
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import create as create_perception
from embodied_nav.reasoner import create
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode
from embodied_nav.sim.interface import Observation

ROBOT = RobotProfile()


@pytest.fixture(scope="module")
def simulator():
    return EmbeddedSimulator(robot=ROBOT)


def agent() -> Agent:
    return Agent(ROBOT, create_perception("simulator"), create("rules"))


def drive(simulator, name, seconds=18.0):
    """Turns and drives about in an apartment; errors (m) of where odom stands in map, frame by frame."""
    simulator.reset(make_episode(3, "object", 0), 5)
    where, truth, errors = create_localization(name, simulator), simulator.privileged(), []
    for k in range(int(seconds * 20)):
        if k % 4 == 0:
            where.see(simulator.observe())
            errors.append(np.linalg.norm((invert(truth.T_map_odom()) @ where.T_map_odom)[:2, 3]))
        simulator.step(*((0.4, 0.3) if k % 100 < 60 else (0.0, 1.2)), 0.05)
    return errors


def test_slam_holds_where_odometry_drifts(simulator):
    pytest.importorskip("gtsam")
    assert max(drive(simulator, "truth", 2.0)) < 1e-9
    slam, odom = drive(simulator, "slam"), drive(simulator, "odom")
    assert odom[-1] > 0.03, "the drive must be one that drifts"
    assert max(slam) < 0.06 and slam[-1] < odom[-1] / 2


def test_an_unknown_name_is_refused(simulator):
    with pytest.raises(InputError, match="truth, odom, slam"):
        create_localization("stars", simulator)


def test_a_correction_makes_the_map_that_the_right_poses_make(simulator):
    """Frames taken under drifting poses, then corrected, against frames taken under the right ones."""
    episode = make_episode(2, "object", 0)
    first = simulator.reset(episode, 0)
    right, drifted = agent(), agent()
    for a in (right, drifted):
        a.reset(episode.instruction)
    stamps, poses, observation = [], [], first
    for k in range(40):
        T_true = observation.T_odom_base @ observation.T_base_camera
        error = pose2d(0.0, 0.04 * (k // 4), 0.032 * (k // 4))  # 0.4 m and 18 degrees at the end
        for a, T in ((right, T_true), (drifted, error @ T_true)):
            frame = RGBDFrame(observation.stamp, simulator.camera(), T, observation.color, observation.depth)
            a.memory.integrate(frame)
            if k % 4 == 0:
                a.memory.add_keyframe(Keyframe(k // 4, frame, 1.0, 0, "test"))
        stamps.append(observation.stamp)
        poses.append(T_true)
        for _ in range(4):
            simulator.step(0.2, 0.6, 0.05)
        observation = simulator.observe()
    before = overlap(right.memory, drifted.memory)
    moved = drifted.correct(np.array(stamps), np.array(poses))
    assert moved == 9  # the first keyframe stood right
    assert before < 0.5 < 0.8 < overlap(right.memory, drifted.memory)
    assert drifted.correct(np.array(stamps), np.array(poses)) == 0


def overlap(a: SpatialMemory, b: SpatialMemory) -> float:
    """Intersection over union of the cells (0.1 m) that hold voxels."""
    cells = [{tuple(c) for c in np.floor(m.voxels().positions / 0.1).astype(int)} for m in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def test_corrections_come_before_the_frame_that_showed_them(simulator, monkeypatch):
    class Corrected(OdomLocalization):
        def see(self, observation: Observation) -> Correction | None:
            calls.append("located")
            return Correction(np.array([observation.stamp]), np.eye(4)[None]) if len(calls) > 3 else None

    class Recorder(Agent):
        def correct(self, stamps, poses) -> int:
            calls.append(("corrected", int(stamps[-1])))
            return super().correct(stamps, poses)

        def observe(self, frame, *poses):
            calls.append(("saw", frame.stamp))
            return super().observe(frame, *poses)

    calls = []
    monkeypatch.setattr(runner, "create_localization", lambda *_: Corrected())
    monkeypatch.setattr(runner, "TIME_LIMIT", 1.0)
    recorder = Recorder(ROBOT, create_perception("simulator"), create("rules"))
    runner.run_episode(simulator, recorder, make_episode(1, "object", 0), localization="slam")
    corrected = [k for k, call in enumerate(calls) if call[0] == "corrected"]
    assert len(corrected) >= 2
    assert all(calls[k + 1] == ("saw", calls[k][1]) for k in corrected)
