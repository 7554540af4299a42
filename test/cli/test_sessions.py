"""What the demo makes of a memory file: sessions for the report, the map of an apartment, where truth lies in it."""

import numpy as np
import pytest

from embodied_nav.cli import sessions
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import invert, pose2d, yaw_of
from embodied_nav.memory import SpatialMemory
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode

#: Where the second session's map lies in the apartment.
ELSEWHERE = pose2d(1.0, -2.0, 0.6)


def look_around(memory, simulator, T_map_scene):
    """Five keyframes from the robot's start; the way driven as x, y, yaw, ns in the scene."""
    from embodied_nav.slam import look_of

    way, base = [], simulator.privileged()
    for k in range(5):
        observation = simulator.observe()
        T_scene_base = base.T_scene_map() @ base.T_map_odom() @ observation.T_odom_base
        T = T_map_scene @ T_scene_base @ observation.T_base_camera
        frame = RGBDFrame(observation.stamp, simulator.camera(), T, observation.color, observation.depth)
        number = memory.add_keyframe(Keyframe(k, frame, 0.5, 50, "test"))
        memory.add_look(number, **look_of(frame))
        memory.integrate(frame)
        way.append((*T_scene_base[:2, 3], yaw_of(T_scene_base), observation.stamp))
        simulator.step(0.0, 0.8, 0.7)
    return np.array(way)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A file of two sessions in two maps, the first in the apartment's coordinates; both UUIDs; the second's way."""
    path = tmp_path_factory.mktemp("kept") / "memory.db"
    simulator, memory = EmbeddedSimulator(), SpatialMemory()
    simulator.reset(make_episode(1001, "object", 0))
    look_around(memory, simulator, np.eye(4))
    memory.save(path)
    first, memory = memory.uuid, SpatialMemory.load(path)
    second = memory.begin_map()
    way = look_around(memory, simulator, ELSEWHERE)
    memory.save(path)
    return path, first, second, way


def test_the_report_tells_whose_map_every_session_is_of(kept):
    path, first, second, _ = kept
    told = sessions.sessions_of(path)
    assert (told["map_id"], told["maps"]) == (second, 2)
    assert [(s["map"], s["first_keyframe"], s["keyframes"]) for s in told["sessions"]] == [
        (first, 0, 5),
        (second, 5, 5),
    ]
    memory = SpatialMemory.load(path)
    memory.become(first, invert(ELSEWHERE))
    memory.save(path.with_name("joined.db"))
    told = sessions.sessions_of(path.with_name("joined.db"))
    assert (told["map_id"], told["maps"], {s["map"] for s in told["sessions"]}) == (first, 1, {first})


def test_a_map_is_of_an_apartment_where_that_looks_so_from_its_keyframes(kept, tmp_path):
    path, first, _, _ = kept
    assert sessions.map_of_apartment(path, 1001) == first
    assert sessions.map_of_apartment(path, 1002) is None
    assert sessions.map_of_apartment(tmp_path / "none.db", 1001) is None


def test_the_next_session_begins_after_all_that_is_remembered(kept):
    path, _, _, way = kept
    assert way[-1, 3] * 1e-9 < sessions.next_start(path) < way[-1, 3] * 1e-9 + 20


def test_truth_is_brought_into_the_memorys_map(kept):
    path, _, _, way = kept
    memory = SpatialMemory.load(path)
    T = sessions.between(memory, way, EmbeddedSimulator().robot.T_base_camera())
    np.testing.assert_allclose(T, ELSEWHERE, atol=1e-3)
    later = way + np.array([0.0, 0.0, 0.0, 1e10])
    nothing = sessions.between(memory, later, EmbeddedSimulator().robot.T_base_camera())
    np.testing.assert_array_equal(nothing, np.eye(4))
