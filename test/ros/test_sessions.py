"""A second session of memory and SLAM nodes over one file: lost at first, then told where it is."""

import numpy as np
import pytest

from embodied_nav.bringup import Process, memory_parameters
from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import invert, pose2d
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import describe, find_faults
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode
from embodied_nav.slam import look_of

pytestmark = pytest.mark.ros
SCENE, EARLIER, LATER = 1001, 0, 1


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A file of a first session at true poses; its map's UUID; where that map begins in the scene."""
    pytest.importorskip("gtsam")
    path = tmp_path_factory.mktemp("sessions") / "memory.db"
    simulator, memory = EmbeddedSimulator(), SpatialMemory()
    observation = simulator.reset(make_episode(SCENE, "object", EARLIER))
    truth = simulator.privileged()
    for k in range(8):
        T = truth.T_map_odom() @ observation.T_odom_base @ observation.T_base_camera
        frame = RGBDFrame(observation.stamp, simulator.camera(), T, observation.color, observation.depth)
        memory.add_keyframe(Keyframe(k, frame, 0.5, 50, "test"))
        memory.add_look(k, **look_of(frame))
        memory.integrate(frame)
        simulator.step(0.0, 0.8, 0.5)
        observation = simulator.observe()
    memory.save(path)
    return path, memory.uuid, truth.T_scene_map()


@pytest.mark.timeout(150)
def test_a_lost_session_is_told_where_it_is_and_goes_on_in_the_earlier_map(start_graph, earlier):
    from embodied_nav.msg import MapIdentity, ObjectArray
    from embodied_nav.srv import QueryMemory
    from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, Twist
    from tf2_msgs.msg import TFMessage

    from embodied_nav.nodes.ros import map_identity, qos
    from embodied_nav.nodes.ros.conversions import matrix_from_pose, matrix_from_transform, pose_msg, stamp_ns

    path, uuid, T_scene_map = earlier
    sim = {"scene": SCENE, "index": LATER, "frame_rate": 5.0, "steps_per_frame": 4, "rate": 0.5, "localization": "slam"}
    common = {"use_sim_time": True, "tf_timeout": 2.0}
    kept = memory_parameters(str(path), True)
    graph = start_graph(
        [
            Process("sim", "sim", {**sim, "start_time": 100.0}, respawn=False),
            Process("slam", "slam", {**common, **kept["slam"]}, respawn=False),
            Process("keyframe", "keyframe", common, respawn=False),
            Process("memory", "memory", {**common, **kept["memory"]}, respawn=False),
        ]
    )
    maps = graph.listen(MapIdentity, map_identity.TOPIC, map_identity.profile())
    lists = graph.listen(ObjectArray, "memory/object_list", qos.latched())
    transforms = graph.listen(TFMessage, "/tf", qos.reliable(200))
    true_poses = graph.listen(PoseStamped, "sim/pose", qos.reliable(100))
    initial = graph.node.create_publisher(PoseWithCovarianceStamped, "initialpose", qos.reliable())
    commands = graph.node.create_publisher(Twist, "cmd_vel", qos.reliable())
    diagnostics = graph.diagnostics()

    def remembers(number):
        return lists and int(diagnostics("memory").get("voxels", 0)) > number

    assert graph.until(lambda: remembers(500), 90.0), diagnostics("memory")
    assert [m.map_id for m in maps] == [""] and not maps[0].joined
    assert lists[-1].map_id not in ("", uuid), "coordinates of nowhere are not those of the earlier map"

    T_map_start = invert(T_scene_map) @ pose2d(*make_episode(SCENE, "object", LATER).start)
    told = PoseWithCovarianceStamped()
    told.header.frame_id, told.pose.pose = "map", pose_msg(T_map_start)
    initial.publish(told)
    assert graph.until(lambda: len(maps) > 1, 20.0), diagnostics("slam")
    assert maps[-1].joined and (maps[-1].map_id, maps[-1].joined_map_id) == (uuid, "")
    assert graph.until(lambda: lists[-1].map_id == uuid, 20.0), diagnostics("memory")

    drive = Twist()
    drive.linear.x, drive.angular.z = 0.1, 0.5
    since = len(true_poses)

    def driven():
        commands.publish(drive)
        return len(true_poses) > since + 60

    assert graph.until(driven, 30.0)
    truth = {stamp_ns(p.header.stamp): T_map_start @ matrix_from_pose(p.pose) for p in true_poses}
    poses = {"odom": {}, "map": {}}
    for t in (t for message in transforms for t in message.transforms if t.header.frame_id in poses):
        poses[t.header.frame_id][stamp_ns(t.header.stamp)] = matrix_from_transform(t.transform)
    after = stamp_ns(maps[-1].header.stamp)
    here = [s for s in poses["map"] if s >= after and s in poses["odom"] and s in truth]
    off = [np.linalg.norm((poses["map"][s] @ poses["odom"][s] - truth[s])[:3, 3]) for s in here]
    assert len(off) > 10 and max(off) < 0.15

    client = graph.node.create_client(QueryMemory, "memory/query")
    assert graph.until(client.service_is_ready, 10.0)
    assert graph.ask(client, QueryMemory.Request(text="anything")).map_id == uuid
    graph.supervisor.stop()
    assert find_faults(path) == []
    facts, memory = describe(path), SpatialMemory.load(path)
    assert facts["map"] == uuid and [s["keyframes"] > 0 for s in facts["session_list"]] == [True, True]
    later = [k for k in memory.keyframes.values() if k.id >= 8]
    assert later and all(k.id in memory.looks for k in later)
    T_base_camera = EmbeddedSimulator().robot.T_base_camera()
    pairs = [(k.T_map_camera, truth[k.stamp] @ T_base_camera) for k in later if k.stamp in truth]
    assert pairs and max(np.linalg.norm((a - b)[:3, 3]) for a, b in pairs) < 0.15


@pytest.mark.timeout(120)
def test_the_memory_takes_an_earlier_map_into_the_running_one_and_says_where_it_cannot(start_graph, earlier, tmp_path):
    from embodied_nav.msg import MapIdentity, ObjectArray

    from embodied_nav.nodes.ros import map_identity, qos
    from embodied_nav.nodes.ros.map_identity import Identity, identity_msg

    path, memory = tmp_path / "memory.db", SpatialMemory.load(earlier[0])
    first, frames = memory.uuid, list(memory.keyframes.values())
    path.write_bytes(earlier[0].read_bytes())
    memory = SpatialMemory.load(path)
    running, camera = memory.begin_map(), EmbeddedSimulator().camera()
    depth = np.full((camera.height, camera.width), 2.0, np.float32)
    frame = RGBDFrame(frames[-1].stamp + 10**9, camera, EmbeddedSimulator().robot.T_base_camera(), None, depth)
    memory.add_keyframe(Keyframe(0, frame, 0.5, 50, "test"))
    memory.integrate(frame)
    memory.save(path)

    graph = start_graph([Process("memory", "memory", {"file": str(path)}, respawn=False)])
    lists = graph.listen(ObjectArray, "memory/object_list", qos.latched())
    diagnostics = graph.diagnostics()
    told = graph.node.create_publisher(MapIdentity, map_identity.TOPIC, map_identity.profile())
    T = pose2d(5.0, 1.0, -0.4)
    told.publish(identity_msg(Identity(frame.stamp, "0000"), "map"))
    assert graph.until(lambda: "stands in map 0000" in diagnostics("memory").get("message", ""), 90.0)
    told.publish(identity_msg(Identity(frame.stamp, running, first, T), "map"))
    assert graph.until(lambda: "join p50" in diagnostics("memory"), 30.0), diagnostics("memory")
    assert lists[-1].map_id == running and "stands in" not in diagnostics("memory")["message"]
    graph.supervisor.stop()
    assert find_faults(path) == []
    joined = SpatialMemory.load(path)
    assert joined.uuid == running and len(joined.keyframes) == len(frames) + 1
    for k in frames:
        np.testing.assert_allclose(joined.keyframes[k.id].T_map_camera, T @ k.T_map_camera, atol=1e-9)
