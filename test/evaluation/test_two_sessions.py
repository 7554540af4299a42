"""Two sessions over one memory file: the second finds itself in the first one's map, against the simulator's truth."""

from __future__ import annotations

import numpy as np
import pytest

from embodied_nav.drivers import Agent
from embodied_nav.evaluation.localization import SlamLocalization
from embodied_nav.evaluation.oracle import Oracle
from embodied_nav.evaluation.runner import show
from embodied_nav.geometry import invert
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.perception import create as create_perception
from embodied_nav.reasoner import create
from embodied_nav.robot import RobotProfile
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode
from embodied_nav.slam import landmarks_of

pytest.importorskip("gtsam", reason="gtsam is not installed: embodied-nav doctor says how to get it")
ROBOT = RobotProfile()


class Session:
    """An oracle drives, an agent remembers, SLAM says where it is, with drift and depth noise; 5 frames a second.

    Attributes:
        T_scene_map: 4x4, where the first session's map, or else this one's, begins.
        error: m, of SLAM's newest pose in that map.
    """

    def __init__(self, simulator, path, episode, T_scene_map=None) -> None:
        self.simulator, self.agent = (
            simulator,
            Agent(ROBOT, create_perception("simulator"), create("rules"), looks=True),
        )
        self._observation = simulator.reset(episode, 3)
        self._truth = simulator.privileged()
        self.start = self._truth.T_scene_map()
        self.T_scene_map = self.start if T_scene_map is None else T_scene_map
        self.where = SlamLocalization(simulator.camera(), landmarks_of(path))
        self._oracle = Oracle(ROBOT)
        self._oracle.reset(episode.instruction)
        self._oracle.tell(self._truth)
        self.agent.reset(episode.instruction)
        self.agent.set_instances({o.instance: (o.category, o.color) for o in self._truth.objects()})
        if path.exists():
            memory = SpatialMemory.load(path)
            self.first_map = memory.uuid
            memory.begin_map()
            self.agent.reset(episode.instruction, memory)
        self._writer = MemoryWriter(self.agent.memory, path)

    def drive(self, frames, until=lambda: False):
        """Drives on; True where what was waited for came."""
        for _ in range(frames):
            show(self.agent, self.where, self._observation, self.simulator.camera())
            true = invert(self.T_scene_map) @ self.start @ self._truth.T_map_odom() @ self._observation.T_odom_base
            self.error = np.linalg.norm((invert(true) @ self.where.T_map_odom @ self._observation.T_odom_base)[:3, 3])
            if until():
                return True
            T_odom_base, stamp = self._observation.T_odom_base, self._observation.stamp
            for _ in range(4):
                velocity = self._oracle.control(stamp, T_odom_base)
                linear, angular = (
                    (0.0, 0.6) if self._oracle.status == "stopped" else (velocity.linear, velocity.angular)
                )
                T_odom_base = self.simulator.step(linear, angular, 0.05).T_odom_base
            self._observation = self.simulator.observe()
        return False

    def close(self):
        self._writer.close()


@pytest.fixture(scope="module")
def simulator():
    return EmbeddedSimulator(robot=ROBOT)


@pytest.fixture(scope="module")
def first(simulator, tmp_path_factory):
    """The file of a first session, its map's UUID, where that begins in the scene, and where its robot began."""
    path = tmp_path_factory.mktemp("sessions") / "memory.db"
    session = Session(simulator, path, make_episode(42, "object", 0))
    session.drive(130)
    session.close()
    return path, session.agent.memory.uuid, session.start


def test_a_second_session_from_another_place_goes_on_in_the_same_map(simulator, first, tmp_path):
    path, uuid, T_scene_map = first
    copy = tmp_path / "memory.db"
    copy.write_bytes(path.read_bytes())
    session = Session(simulator, copy, make_episode(42, "object", 5), T_scene_map)
    assert np.linalg.norm((session.start - T_scene_map)[:2, 3]) > 1.0
    assert session.agent.memory.uuid != uuid and len(session.agent.memory) == 0, "it does not know where it is"
    assert session.drive(60, lambda: session.where.slam.map_id == uuid)
    memory = session.agent.memory
    assert memory.uuid == uuid and session.error < 0.15
    session.drive(15)
    assert session.error < 0.15
    began = memory.sessions[-1]["first_keyframe"]
    assert 0 < began < max(memory.keyframes), "both sessions' keyframes are in one map"
    T_map_scene = invert(T_scene_map)
    things = {(o.category, o.color): (T_map_scene @ [*o.center, 1.0])[:3] for o in simulator.privileged().objects()}
    off = [np.linalg.norm(o.position - things[o.label, o.color]) for o in memory.objects() if o.confirmed > 1]
    assert len(off) > 5 and np.median(off) < 0.25
    session.close()
    assert find_faults(copy) == []
    facts = describe(copy)
    assert facts["map"] == uuid and [s["keyframes"] > 0 for s in facts["session_list"]] == [True, True]
    lost = next(m for m in facts["maps"] if m["uuid"] != uuid)
    assert lost["merged_into"] == uuid
    true = T_map_scene @ session.start
    assert np.linalg.norm((np.array(lost["transform"]) - true)[:2, 3]) < 0.25


def test_in_another_apartment_it_stays_in_a_map_of_its_own(simulator, first, tmp_path):
    path, uuid, _ = first
    copy = tmp_path / "memory.db"
    copy.write_bytes(path.read_bytes())
    session = Session(simulator, copy, make_episode(43, "object", 0))
    assert not session.drive(60, lambda: session.where.slam.map_id != "")
    session.close()
    maps = {m["uuid"]: m for m in describe(copy)["maps"]}
    assert len(maps) == 2 and not any(m["merged_into"] for m in maps.values())
    assert maps[uuid]["keyframes"] > 5 and maps[session.agent.memory.uuid]["keyframes"] > 3
