"""The slam node: map->odom and slam/path against the truth, with wheels and without; replay with SLAM's own poses."""

import json
import math
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from embodied_nav.bringup import Process
from embodied_nav.geometry import invert, pose2d, rotation_angle
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode
from embodied_nav.slam import ate_rmse
from embodied_nav.slam.metrics import read_trajectory

pytestmark = pytest.mark.ros
FRAMES = 40


@pytest.fixture(scope="module", autouse=True)
def gtsam():
    pytest.importorskip("gtsam")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A drive through an apartment in 7-Scenes' format."""
    folder = tmp_path_factory.mktemp("drive")
    simulator = EmbeddedSimulator()
    observation = simulator.reset(make_episode(1001, "object", 0))
    np.savetxt(folder / "camera-intrinsics.txt", simulator.camera().K)
    for i in range(FRAMES):
        name = folder / f"frame-{3 * i:06d}"
        cv2.imwrite(f"{name}.color.png", observation.color[..., ::-1])
        cv2.imwrite(f"{name}.depth.png", np.nan_to_num(observation.depth * 1000, nan=0).astype(np.uint16))
        T = simulator.privileged().T_map_odom() @ observation.T_odom_base @ observation.T_base_camera
        np.savetxt(f"{name}.pose.txt", T, fmt="%.7e")
        simulator.step(0.3, 0.5, 0.1)
        observation = simulator.observe()
    return folder


def test_replay_with_own_slam_says_how_wrong_it_was(recording, tmp_path):
    command = [sys.executable, "-P", "-m", "embodied_nav", "replay", recording, "--slam", "own", "--rate", "0"]
    done = subprocess.run([*map(str, command), "--out", str(tmp_path)], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["slam"] == "own" and report["frames"] == FRAMES and report["dropped"] == 0
    assert report["voxels"] > 1000
    stamps, poses = read_trajectory(tmp_path / "trajectory.txt")
    truth = np.array([np.loadtxt(path) for path in sorted(recording.glob("*.pose.txt"))])
    assert len(stamps) == FRAMES and len(truth) == FRAMES
    assert report["ate_rmse_m"] == pytest.approx(evo_ate(stamps, poses, truth), abs=2e-5)
    assert report["ate_rmse_m"] < 0.03
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-6)  # not told where it was, it begins at the origin


def test_replay_maps_nothing_that_slam_lost_and_says_so(recording, tmp_path):
    """Frames without depth or light while the camera moves; the rest of the run is as if nothing had been."""
    blind = 4
    folder = shutil.copytree(recording, tmp_path / "recording")
    for i in range(15, 15 + blind):
        cv2.imwrite(str(folder / f"frame-{3 * i:06d}.depth.png"), np.zeros((240, 320), np.uint16))
        cv2.imwrite(str(folder / f"frame-{3 * i:06d}.color.png"), np.zeros((240, 320, 3), np.uint8))
    command = [sys.executable, "-P", "-m", "embodied_nav", "replay", folder, "--slam", "own", "--rate", "0"]
    done = subprocess.run([*map(str, command), "--out", str(tmp_path)], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] == FRAMES
    assert report["slam_lost_s"] == pytest.approx(0.1 * blind, abs=0.06)
    ((start, end, reason),) = report["slam_lost_times"]
    assert (start, end) == pytest.approx((1.5, 1.5 + 0.1 * blind), abs=0.06) and "0% of depth valid" in reason
    assert "lost" in done.stdout
    stamps, poses = read_trajectory(tmp_path / "trajectory.txt")
    truth = np.array([np.loadtxt(path) for path in sorted(folder.glob("*.pose.txt"))])
    assert len(stamps) == FRAMES - blind, "a frame that was not placed has no pose"
    placed = [i for i in range(FRAMES) if not 15 <= i < 15 + blind]
    assert evo_ate(stamps, poses, truth[placed]) < 0.03
    assert report["ate_rmse_m"] < 0.03


def evo_ate(stamps, poses, truth):
    metrics = pytest.importorskip("evo.core.metrics")
    from evo.core.trajectory import PoseTrajectory3D

    estimate = PoseTrajectory3D(poses_se3=list(poses), timestamps=stamps / 1e9)
    reference = PoseTrajectory3D(poses_se3=list(truth), timestamps=stamps / 1e9)
    estimate.align(reference)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, estimate))
    return ape.get_statistic(metrics.StatisticsType.rmse)


@pytest.mark.parametrize("wheels", [True, False])
@pytest.mark.timeout(150)
def test_poses_are_those_of_the_simulator(start_graph, wheels):
    from geometry_msgs.msg import PoseStamped, Twist
    from nav_msgs.msg import Path
    from tf2_msgs.msg import TFMessage
    from visualization_msgs.msg import MarkerArray

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import matrix_from_pose, stamp_ns

    sim = {"scene": 1001, "frame_rate": 5.0, "steps_per_frame": 4, "rate": 0.5, "localization": "slam"}
    # Without wheels the simulator's odometry must not reach the node: its frames have other names then.
    if not wheels:
        sim |= {"robot.odom_frame": "wheel_odom", "robot.base_frame": "wheel_base"}
    slam = {"use_sim_time": True, "publish_odom": not wheels, "path_period": 0.2, "tf_timeout": 2.0}
    if not wheels:
        slam["robot.camera_frame"] = slam["robot.base_frame"] = "camera_color_optical_frame"
    graph = start_graph([Process("sim", "sim", sim, respawn=False), Process("slam", "slam", slam, respawn=False)])
    transforms = graph.listen(TFMessage, "/tf", qos.reliable(200))
    paths = graph.listen(Path, "slam/path", qos.latched())
    graphs = graph.listen(MarkerArray, "slam/graph", qos.latched())
    true_poses = graph.listen(PoseStamped, "sim/pose", qos.reliable(1000))
    diagnostics = graph.diagnostics()
    commands = graph.node.create_publisher(Twist, "cmd_vel", qos.reliable())
    drive = Twist()
    drive.linear.x, drive.angular.z = 0.3, 0.4

    def driven():
        commands.publish(drive)
        return bool(paths) and len(paths[-1].poses) > 30

    assert graph.until(driven, 100.0), f"{len(paths)} paths; {diagnostics('slam')}"
    truth = {stamp_ns(p.header.stamp): matrix_from_pose(p.pose) for p in true_poses}
    found = [(stamp_ns(p.header.stamp), matrix_from_pose(p.pose)) for p in paths[-1].poses]
    assert paths[-1].header.frame_id == "map" and stamp_ns(paths[-1].header.stamp) == found[-1][0]
    assert [s for s, _ in found] == sorted({s for s, _ in found})
    pairs = [(T, truth[s]) for s, T in found if s in truth]
    assert len(pairs) > 20
    estimated, true = (np.array(poses) for poses in zip(*pairs, strict=True))
    if wheels:  # base_link in map, and map is odom at the start: nothing to align
        assert np.linalg.norm((estimated - true)[:, :3, 3], axis=1).max() < 0.05
        assert max(rotation_angle(invert(a) @ b) for a, b in pairs) < math.radians(2.0)
    else:  # the camera is the base
        T_base_camera = mount()
        count = np.arange(len(pairs))
        assert ate_rmse(count, estimated, count, true @ T_base_camera, 1) < 0.04
    children = {(t.header.frame_id, t.child_frame_id) for message in transforms for t in message.transforms}
    assert ("map", "odom") in children
    assert (("odom", "camera_color_optical_frame") in children) != wheels
    assert graph.until(lambda: graphs and int(diagnostics("slam").get("keyframes", 0)) >= 3, 10.0)
    assert {"keyframes", "odometry"} <= {marker.ns for marker in graphs[-1].markers}
    assert diagnostics("slam")["tracking"] in ("depth", "features")


def mount():
    from embodied_nav.robot import RobotProfile

    return RobotProfile().T_base_camera()


def test_the_path_keeps_what_moved_and_the_newest():
    from embodied_nav.nodes.slam import SparsePath

    path = SparsePath()
    stamps = np.arange(40) * 100_000_000
    assert path.indices(stamps[:0]) == []
    for i in range(10):  # 5 mm each
        path.add(i * 100_000_000, pose2d(0.005 * i, 0.0, 0.0))
    assert path.indices(stamps[:10]) == [0, 5, 9]
    for i in range(10, 40):  # stands: one each second
        path.add(i * 100_000_000, pose2d(0.045, 0.0, 0.0))
    kept = path.indices(stamps)
    assert kept[-1] == 39 and path.newest == 3_900_000_000
    assert all(10 <= b - a <= 11 for a, b in zip(kept[2:-2], kept[3:-1], strict=True))
    path.add(2_050_000_000, pose2d(9.0, 0.0, 0.0))  # the clock was set back: what comes again is forgotten
    assert path.indices(np.array([*stamps[:21], 2_050_000_000]))[-2:] == [16, 21] and path.newest == 2_050_000_000


def test_of_an_old_path_the_memorys_keyframes_stay_and_few_others():
    """A day's frames would take seconds to send and to read, on every loop closure."""
    from embodied_nav.nodes.slam import SparsePath

    path, stamps = SparsePath(), np.arange(3000) * 200_000_000
    for i, stamp in enumerate(stamps.tolist()):
        path.add(stamp, pose2d(0.1 * i, 0.0, 0.0))
        if i % 37 == 5:
            path.keyframe(stamp)
        if i % 3 == 2:  # asked as often as the path is published
            path.indices(stamps[: i + 1])
    kept = np.array(path.indices(stamps))
    assert kept[-300:].tolist() == list(range(2700, 3000)), "the last minute is whole"
    assert set(range(5, 3000, 37)) <= set(kept.tolist())
    assert len(kept) <= 300 + 2700 / 37 + 1 + 2700 / 10 + 10
    assert np.diff(kept).max() <= 11
    assert path.indices(stamps) == kept.tolist(), "what is thinned is not thinned again"


def test_the_graph_shows_loops_apart_from_odometry():
    from embodied_nav.nodes.ros import markers
    from embodied_nav.nodes.ros.conversions import header

    positions = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]])
    edges = [(0, 1, False), (1, 2, False), (0, 2, True)]
    found = {m.ns: m for m in markers.graph(positions, edges, header(5, "map")).markers}
    assert [(p.x, p.y) for p in found["loops"].points] == [(0.0, 0.0), (1.0, 1.0)]
    assert len(found["odometry"].points) == 4 and len(found["keyframes"].points) == 3
    assert "loops" not in {m.ns for m in markers.graph(positions, edges[:2], header(5, "map")).markers}


def test_the_map_stays_alive_before_a_wall_that_shows_nothing(start_graph):
    """Wheels carry the pose: the reasoner gets the map as it is, and TF for it, and nothing is mapped."""
    from nav_msgs.msg import OccupancyGrid
    from ros_robot import TestRobot
    from tf2_msgs.msg import TFMessage

    from embodied_nav.nodes.ros import qos
    from embodied_nav.nodes.ros.conversions import stamp_ns

    graph = start_graph([Process(name, name) for name in ("slam", "memory")])
    diagnostics = graph.diagnostics()
    robot = TestRobot(graph.node, map_delay=1.0)
    robot.off.add("map")  # that is the slam node's to give
    maps = graph.listen(OccupancyGrid, "memory/occupancy", qos.latched())
    transforms = graph.listen(TFMessage, "/tf", qos.reliable(200))
    assert graph.until(lambda: len(maps) > 3, 60.0), diagnostics("memory")
    robot.obstacle = float("nan")
    assert graph.until(lambda: int(diagnostics("memory").get("refused_slam_lost", 0)) > 5, 10.0)
    assert graph.until(lambda: "by wheels alone" in diagnostics("slam").get("tracking", ""), 5.0)
    del maps[:-1]
    seen, before = diagnostics("memory")["voxels"], stamp_ns(maps[-1].header.stamp)
    assert graph.until(lambda: stamp_ns(maps[-1].header.stamp) > before + 3_000_000_000, 8.0)
    assert len(maps) > 6 and diagnostics("memory")["voxels"] == seen
    newest = stamp_ns(maps[-1].header.stamp)
    given = (stamp_ns(t.header.stamp) for m in transforms for t in m.transforms if t.child_frame_id == "odom")
    assert graph.until(lambda: max(given, default=0) >= newest - 200_000_000, 2.0)
