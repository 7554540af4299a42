"""Objects remembered after a tour with an erring detector against the truth, and the score itself."""

import math

import numpy as np
import pytest

from embodied_nav.evaluation.object_score import score_objects
from embodied_nav.frames import MemoryObject
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import SpatialMemory
from embodied_nav.perception import create
from embodied_nav.perception.simulator import SimulatorPerceptionConfig
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import describe
from embodied_nav.sim.interface import SceneObject
from embodied_nav.sim.navigable import NavigableMap
from embodied_nav.sim.tours import frames, tour


def true(i, label, x):
    return SceneObject(i, label, "red", 0, (x, 0.0, 0.5), (0.5, 0.5, 1.0))


def found(i, label, x):
    return MemoryObject(i, label, "red", np.array([x, 0.0, 0.5]), np.full(3, 0.5), 0.9, 9, 0, 1, 0)


def test_a_thing_counts_once_for_its_own_category_within_half_a_metre():
    truth = [true(1, "chair", 0.0), true(2, "chair", 0.6), true(3, "bed", 5.0), true(4, "lamp", 8.0)]
    memory = [found(1, "chair", 0.3), found(2, "chair", 0.1), found(3, "bed", 5.6), found(4, "sofa", 8.0)]
    score = score_objects(memory, truth, np.eye(4))
    # Greedily the chair at 0.3 might take the one at 0.0 and leave the other without partner.
    assert (score.hits, score.found, score.true) == (2, 4, 4)
    assert score.precision == score.recall == score.f1 == 0.5
    assert score.off == {"lamp": -1, "sofa": 1}
    T = pose2d(3.0, -2.0, 1.0)
    moved = [SceneObject(o.instance, o.category, o.color, 0, tuple((T @ [*o.center, 1])[:3]), o.extent) for o in truth]
    assert score_objects(memory, moved, T) == score
    assert score_objects([], truth, np.eye(4)).f1 == 0.0


def test_a_tour_comes_within_sight_of_everything():
    scene, robot = describe("42"), RobotProfile()
    navigable = NavigableMap(scene, robot)
    poses = tour(navigable)
    assert all(navigable.is_free(p) for p in poses) and poses == tour(navigable)
    cells = np.array([navigable.cell(p) for p in poses])
    for o in (o for o in scene.objects if o.category not in ("picture", "mirror")):
        assert navigable.sees_box(cells, o.center, o.extent, o.yaw).any(), o


@pytest.mark.parametrize("seed", [42])
def test_objects_after_a_tour_with_a_tenth_misnamed_and_a_tenth_missed(seed):
    robot, camera, scene = RobotProfile(), Camera.from_hfov(320, 240, math.pi / 2), describe(str(seed))
    memory, gate, previous = SpatialMemory(), KeyframeGate(), None
    backend = create("simulator", SimulatorPerceptionConfig(wrong_labels=0.1, missed=0.1, noise_seed=seed))
    backend.set_instances({o.instance: (o.category, o.color) for o in scene.objects})
    shown = set()
    for frame in frames(scene, tour(NavigableMap(scene, robot)), robot, camera, noise_seed=seed):
        memory.integrate(frame)
        keyframe = gate.process(frame)
        if keyframe is not None:
            near = np.where(frame.depth < 5.0, frame.instance_ids, 0)
            ids, pixels = np.unique(near[near > 0], return_counts=True)
            shown.update(ids[pixels >= 100].tolist())
            memory.add_keyframe(keyframe)
            memory.add_delta(backend.perceive(previous, keyframe, ""))
            previous = keyframe
    truth = [o for o in scene.objects if o.instance in shown]
    score = score_objects(memory.objects(), truth, np.eye(4))
    assert len(truth) > 30 and score.f1 > 0.95, score
    assert all(abs(n) <= 1 for n in score.off.values()), score
    misnamed = [o for o in memory.objects() if len(o.label_distribution) > 1]
    assert len(misnamed) > 10 and all(o.label_distribution[0][0] == o.label for o in misnamed)
