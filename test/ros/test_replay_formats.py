"""``embodied-nav replay`` of TUM folders, bags and two cameras: lock-step counts equal brute force; faults exit 2."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "recordings"))
from recorder import BagWriter, walk, write_bag, write_tum

from embodied_nav.geometry import invert, matrix_from_quaternion
from embodied_nav.geometry.registration import registered_depth
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.file.inspection import describe
from embodied_nav.recordings import Calibration, SevenScenes

pytestmark = pytest.mark.ros
FRAMES = 8


@pytest.fixture(scope="module")
def walked():
    return walk(FRAMES)


def replay(*arguments):
    command = [sys.executable, "-P", "-m", "embodied_nav", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


def report(done, out):
    assert done.returncode == 0, done.stderr
    return json.loads((out / "report.json").read_text())


def cells(camera, views):
    """Number of cells of 5 cm that hold a point of depth 0.1 to 5.0 m; views: (depth float32 m, T_map_camera)."""
    found = []
    for depth, T in views:
        with np.errstate(invalid="ignore"):
            v, u = np.nonzero((depth >= 0.1) & (depth <= 5.0))
        z = depth[v, u].astype(np.float64)
        points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=1)
        found.append(np.unique(np.floor((points @ T[:3, :3].T + T[:3, 3]) / 0.05), axis=0))
    return len(np.unique(np.concatenate(found), axis=0))


def near(count, expected):
    """Up to poses and depths that went through a text file."""
    return abs(count - expected) <= 0.002 * expected


def test_tum_folder(walked, tmp_path):
    camera, steps = walked
    write_tum(tmp_path / "walk", steps)
    intrinsics = f"{camera.fx},{camera.fy},{camera.cx},{camera.cy}"
    out = tmp_path / "out"
    found = report(replay(tmp_path / "walk", "--calibration", intrinsics, "--rate", 0, "--no-carve", "--out", out), out)
    assert found["frames"] == FRAMES and found["dropped"] == 0 and found["keyframes"] >= 1
    assert near(found["voxels"], cells(camera, [(s.depth, s.T_map_camera) for s in steps]))
    refused(replay(tmp_path / "walk"), "the camera is not known")


@pytest.mark.parametrize(("storage", "compressed"), [("sqlite3", False), ("mcap", True)])
def test_bag(walked, tmp_path, storage, compressed):
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, storage, compressed)
    out = tmp_path / "out"
    found = report(replay(tmp_path / "bag", "--rate", 0, "--no-carve", "--out", out), out)
    assert found["frames"] == FRAMES and found["dropped"] == 0
    views = [(np.rint(np.nan_to_num(s.depth * 1000)).astype(np.float32) / 1000, s.T_map_camera) for s in steps]
    assert near(found["voxels"], cells(camera, views))


def test_a_bag_in_utm_with_depth_late(walked, tmp_path):
    """The setting that the refusal proposes works, and nothing of the coordinates is lost."""
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    camera, steps = walked
    utm = np.array([448_262.35, 5_411_932.68, 115.2])
    with BagWriter(tmp_path / "bag") as bag:
        for step in steps:
            T = step.T_map_camera.copy()
            T[:3, 3] += utm
            for late in (0, 25_000_000):
                bag.tf(step.stamp + late, (T, "map", "optical"))
            bag.info("/camera/color/camera_info", step.stamp, "optical", camera)
            bag.image("/camera/color/image", step.stamp, "optical", step.color, "rgb8")
            bag.image("/camera/depth/image", step.stamp + 25_000_000, "optical", step.depth, "32FC1")
    out = tmp_path / "out"
    refused(replay(tmp_path / "bag", "--out", out), "25 ms apart all along: --set camera.sync_slop=0.03")
    mended = ("--set", "camera.sync_slop=0.03")
    found = report(replay(tmp_path / "bag", *mended, "--rate", 0, "--no-carve", "--out", out), out)
    origin = np.array(found["map_origin_m"])
    assert found["frames"] == FRAMES and origin.tolist() == [448_000, 5_412_000, 0]
    assert describe(out / "memory.db")["origin_m"] == origin.tolist()
    shift = np.eye(4)
    shift[:3, 3] = utm - origin
    assert near(found["voxels"], cells(camera, [(s.depth, shift @ s.T_map_camera) for s in steps]))
    keyframe = SpatialMemory.load(out / "memory.db").keyframes[0]
    np.testing.assert_allclose(keyframe.T_map_camera[:3, 3] + origin, steps[0].T_map_camera[:3, 3] + utm, atol=1e-3)


def test_bag_without_a_map_wants_slam_which_gets_the_wheels(walked, tmp_path):
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    pytest.importorskip("gtsam", reason="gtsam is not installed")
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, "mcap", in_map=False, odom="topic")
    out = tmp_path / "out"
    refused(
        replay(tmp_path / "bag", "--out", out),
        "up to odom and no further, not to a frame map",
    )
    refused(replay(tmp_path / "bag", "--out", out), "base_link -> camera_color_optical_frame; find them by --slam own")
    assert not out.exists()
    found = report(replay(tmp_path / "bag", "--slam", "own", "--rate", 0, "--out", out), out)
    assert found["frames"] == FRAMES and found["dropped"] == 0 and found["voxels"] > 1000
    # In odom, where the wheels put the camera at the start: not at some map of SLAM's own.
    first = np.loadtxt(out / "trajectory.txt", ndmin=2)[0]
    np.testing.assert_allclose(first[1:4], steps[0].T_odom_camera[:3, 3], atol=0.02)


def test_wheels_place_a_camera_that_sees_nothing(walked, tmp_path):
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    pytest.importorskip("gtsam", reason="gtsam is not installed")
    camera, steps = walked
    dark = [replace(s, color=np.zeros_like(s.color), depth=np.full_like(s.depth, np.nan)) for s in steps[3:]]
    write_bag(tmp_path / "bag", camera, [*steps[:3], *dark], odom="beside")
    out = tmp_path / "out"
    found = report(replay(tmp_path / "bag", "--slam", "own", "--rate", 0, "--out", out), out)
    path = np.loadtxt(out / "trajectory.txt", ndmin=2)
    poses = [matrix_from_quaternion(row[4:], row[1:4]) for row in path]
    assert len(poses) == FRAMES and found["ate_rmse_m"] < 0.02, "measured against the truth beside the wheels"
    motion = invert(poses[2]) @ poses[-1]
    assert np.linalg.norm(motion[:3, 3]) > 0.05
    np.testing.assert_allclose(motion, invert(steps[2].T_odom_camera) @ steps[-1].T_odom_camera, atol=2e-3)


def test_two_cameras_of_a_7_scenes_folder(walked, tmp_path):
    camera, steps = walked
    folder = tmp_path / "walk"
    folder.mkdir()
    np.savetxt(folder / "camera-intrinsics.txt", camera.K)
    for n, step in enumerate(steps[:4]):
        cv2.imwrite(str(folder / f"frame-{n:06d}.color.jpg"), step.color[..., ::-1])
        millimetres = np.nan_to_num(step.depth * 1000).astype(np.uint16)
        cv2.imwrite(str(folder / f"frame-{n:06d}.depth.png"), millimetres)
        np.savetxt(folder / f"frame-{n:06d}.pose.txt", step.T_map_camera, fmt="%.9e")
    calibration = tmp_path / "cameras.yaml"
    calibration.write_text(f"color: [{camera.fx * 0.9}, {camera.fy * 0.9}, {camera.cx}, {camera.cy}]\n"
                           f"depth: [{camera.fx}, {camera.fy}, {camera.cx}, {camera.cy}]\n"
                           "translation: [-0.05, 0.0, 0.0]\nrotation: [0.0, 0.01, 0.0, 1.0]\n")  # fmt: skip
    out = tmp_path / "out"
    found = report(replay(folder, "--calibration", calibration, "--rate", 0, "--no-carve", "--out", out), out)
    assert found["frames"] == 4 and found["dropped"] == 0, "the first one, too, waits for the depth camera's info"
    recording = SevenScenes(folder, calibration=Calibration.read(str(calibration)))
    T = matrix_from_quaternion((0.0, 0.01, 0.0, 1.0), (-0.05, 0.0, 0.0))
    color_camera = recording.camera
    assert color_camera.fx == pytest.approx(camera.fx * 0.9)
    views = []
    for n, step in enumerate(steps[:4]):
        depth = cv2.imread(str(folder / f"frame-{n:06d}.depth.png"), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        depth[depth == 0] = np.nan
        # The poses of 7-Scenes are the depth camera's.
        views.append((registered_depth(depth, camera, color_camera, T), step.T_map_camera @ np.linalg.inv(T)))
    assert near(found["voxels"], cells(color_camera, views))


def refused(done, text):
    assert done.returncode == 2, done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1 and text in done.stderr, done.stderr
