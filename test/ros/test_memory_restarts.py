"""A memory node that was killed hears all that SLAM said of maps once more: a join is made once, whatever was kept."""

import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera, pose2d
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import find_faults
from embodied_nav.memory.file.writer import MemoryWriter
from embodied_nav.memory.submaps.joining import Joining
from embodied_nav.start_up import RESTARTS

pytestmark = pytest.mark.ros

#: The earlier map from the one that the killed node had begun.
T_EARLIER_RUNNING = pose2d(1.0, -0.5, 0.4)


def keyframe(number, T):
    camera = Camera.from_hfov(80, 60, 1.4)
    frame = RGBDFrame(time.time_ns(), camera, T, None, np.full((60, 80), 2.0, np.float32))
    return Keyframe(number, frame, 0.5, 50, "test")


@pytest.fixture(params=["before", "after"])
def killed(request, tmp_path):
    """What a node leaves that was killed before, or after, it had written the join of its map with an earlier one.

    ``due``: how many joins are still to be made; ``poses``: of all keyframes once they are.
    """
    T_base_camera = np.array([[0.0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 0.5], [0, 0, 0, 1]])
    path, left, memory = tmp_path / "alive.db", tmp_path / "killed.db", SpatialMemory()
    for k in range(2):
        memory.add_keyframe(keyframe(k, pose2d(0.2 * k, 0.0, 0.0) @ T_base_camera))
    memory.save(path)
    memory = SpatialMemory.load(path)
    earlier, began = memory.uuid, time.time_ns()
    memory.begin_map()
    writer = MemoryWriter(memory, path)
    seen = keyframe(memory.state.content.first_free_keyframe, T_base_camera)
    memory.integrate(seen.frame)
    last, found = memory.add_keyframe(seen), seen.frame.stamp + 1
    if request.param == "after":
        joining = memory.begin_join(SpatialMemory.load(path, map=earlier), T_EARLIER_RUNNING, into=True)
        memory.finish_join(joining, found)
    writer.flush()
    for companion in ("", "-wal"):
        shutil.copy(f"{path}{companion}", f"{left}{companion}")
    assert (memory.uuid == earlier) == (request.param == "after")
    writer.close()
    poses = {k: pose2d(0.2 * k, 0.0, 0.0) @ T_base_camera for k in range(2)} | {last: T_EARLIER_RUNNING @ T_base_camera}
    due = int(request.param == "before")
    return SimpleNamespace(path=left, earlier=earlier, began=began, found=found, poses=poses, due=due)


@pytest.fixture
def restarted(killed, ros_domain, monkeypatch):
    """The memory node on that file, in this process; ``until`` spins it, a robot's camera, and who speaks for SLAM."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from ros_robot import TestRobot

    from embodied_nav.nodes.memory import MemoryNode

    monkeypatch.setenv(RESTARTS, "1")
    rclpy.init(args=["--ros-args", "-p", f"file:={killed.path}", "-p", "checks.persist:=1000"], domain_id=ros_domain)
    others, node, executor = rclpy.create_node("others"), MemoryNode(), SingleThreadedExecutor()
    executor.add_node(others)
    executor.add_node(node)

    def until(done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
        return done()

    yield SimpleNamespace(node=node, others=others, camera=TestRobot(others), until=until)
    executor.shutdown()
    node.destroy_node()
    others.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.timeout(120)
def test_a_join_that_is_told_again_leaves_the_memory_in_the_earlier_map(killed, restarted, monkeypatch):
    from embodied_nav.msg import MapIdentity

    from embodied_nav.nodes.ros import map_identity
    from embodied_nav.nodes.ros.map_identity import Identity, identity_msg

    node, frames, joins = restarted.node, [], []
    integrate, run = SpatialMemory.integrate, Joining.run

    def take(memory, frame):
        frames.append(memory.uuid)
        return integrate(memory, frame)

    def lasts(joining):
        """As long as it takes a camera to get a frame in, if frames go on."""
        joins.append(len(frames))
        end = time.monotonic() + 1.0
        while len(frames) == joins[-1] and time.monotonic() < end:
            time.sleep(0.01)
        run(joining)

    monkeypatch.setattr(Joining, "run", lasts)
    said = restarted.others.create_publisher(MapIdentity, map_identity.TOPIC, map_identity.profile())
    for identity in (
        Identity(killed.began),
        Identity(killed.found, killed.earlier, "", T_EARLIER_RUNNING),
        Identity(killed.found, "0000"),  # the answer to it names the map in which the memory stands
    ):
        said.publish(identity_msg(identity, "map"))
    node.start()
    monkeypatch.setattr(SpatialMemory, "integrate", take)  # not before: it warms up with frames of its own
    try:
        answered = restarted.until(lambda: "map 0000" in node.diagnostics.errors.get("map", ""), 30.0)
        assert answered, "never heard what was said before it began"
        stands_in = node.diagnostics.errors["map"].split()[-1]
        assert stands_in == killed.earlier, f"the memory is left in another map after {len(joins)} tries"
        assert len(joins) == killed.due
        count = len(frames)
        assert restarted.until(lambda: len(frames) > count + 2, 10.0), "frames wait for ever"
        assert set(frames[count:]) == {killed.earlier}
    finally:
        node.stop()
    assert find_faults(killed.path) == []
    kept = SpatialMemory.load(killed.path)
    assert kept.uuid == killed.earlier and {m.uuid for m in kept.maps if not m.merged_into} == {killed.earlier}
    assert kept.keyframes.keys() == killed.poses.keys()
    for number, T in killed.poses.items():
        np.testing.assert_allclose(kept.keyframes[number].T_map_camera, T, atol=1e-9, err_msg=f"keyframe {number}")
