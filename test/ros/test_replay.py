"""``embodied-nav replay``: counts as brute force does, refuses what it cannot read, leaves nothing behind."""

import json
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from embodied_nav.geometry import invert
from embodied_nav.memory import SpatialMemory
from embodied_nav.sim.embedded import EmbeddedSimulator
from embodied_nav.sim.episodes import make_episode

pytestmark = [pytest.mark.ros, pytest.mark.both_cores]
FRAMES = 24


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A walk through an apartment in 7-Scenes' format, with poses of eight digits and a step of two between frames."""
    folder = tmp_path_factory.mktemp("walk")
    simulator = EmbeddedSimulator()
    observation = simulator.reset(make_episode(1001, "object", 0))
    np.savetxt(folder / "camera-intrinsics.txt", simulator.camera().K)
    for i in range(FRAMES):
        name = folder / f"frame-{2 * i:06d}"
        cv2.imwrite(f"{name}.color.png", observation.color[..., ::-1])
        millimetres = np.nan_to_num(observation.depth * 1000, nan=0).astype(np.uint16)
        millimetres[0, 0] = 65535
        cv2.imwrite(f"{name}.depth.png", millimetres)
        truth = simulator.privileged()
        T = truth.T_map_odom() @ observation.T_odom_base @ observation.T_base_camera
        np.savetxt(f"{name}.pose.txt", T, fmt="%.7e")
        simulator.step(0.3, 0.8, 0.1)
        observation = simulator.observe()
    assert np.isfinite(invert(T)).all()
    return folder


def replay(*arguments, cwd=None, **kwargs):
    command = [sys.executable, "-P", "-m", "embodied_nav", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=cwd, **kwargs)


def brute_force(folder, frames=None):
    """Number of cells of 5 cm that hold a point of depth 0.1 to 5.0 m."""
    K = np.loadtxt(folder / "camera-intrinsics.txt")
    cells = []
    for path in sorted(folder.glob("*.depth.png"))[:frames]:
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        T = np.loadtxt(str(path).replace("depth.png", "pose.txt"))
        v, u = np.nonzero((depth >= 100) & (depth <= 5000))
        z = (depth[v, u].astype(np.float32) / np.float32(1000)).astype(np.float64)
        points = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], axis=1)
        cells.append(np.unique(np.floor((points @ T[:3, :3].T + T[:3, 3]) / 0.05), axis=0))
    return len(np.unique(np.concatenate(cells), axis=0))


def test_lossless_replay_counts_as_brute_force_does(recording, tmp_path):
    out = tmp_path / "out"
    for more in (["--max-frames", 2], []):  # the second run replaces the first one's files
        done = replay(recording, "--rate", 0, "--no-carve", "--out", out, *more)
        assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["frames"] == FRAMES and report["dropped"] == 0 and report["keyframes"] >= 2
    assert report["voxels"] == brute_force(recording)
    memory = SpatialMemory.load(out / "memory.db")
    assert len(memory) == report["voxels"] and len(memory.keyframes) == report["keyframes"]
    assert memory.stamp == 2 * (FRAMES - 1) * 1_000_000_000 // 30, "frame n was taken at n / 30 s"
    assert {"image_to_keyframe", "image_to_memory"} <= set(report["latency_ms"])
    assert cv2.imread(str(out / "map.png")) is not None
    assert (out / "map.ply").read_bytes().startswith(b"ply")
    written = {"report.json", "memory.db", "map.png", "map.ply", "objects.json", "view.html"}
    assert {p.name for p in out.iterdir()} == written


def test_real_frames_at_30_hz_and_in_lockstep(kitchen, tmp_path):
    fast = replay(kitchen, "--rate", 2, "--max-frames", 100, "--out", tmp_path / "fast")
    assert fast.returncode == 0, fast.stderr
    report = json.loads((tmp_path / "fast" / "report.json").read_text())
    assert report["frames"] == 100 and report["dropped"] < 0.02 * 100
    exact = replay(kitchen, "--rate", 0, "--no-carve", "--max-frames", 30, "--out", tmp_path / "exact")
    assert exact.returncode == 0, exact.stderr
    assert json.loads((tmp_path / "exact" / "report.json").read_text())["voxels"] == brute_force(kitchen, 30)


@pytest.mark.parametrize(("way", "count"), [("--composed", 2), ("--no-composed", 4)])
def test_ctrl_c_ends_all_of_it(recording, tmp_path, way, count):
    import psutil

    out = tmp_path / "out"
    command = [
        sys.executable,
        "-P",
        "-m",
        "embodied_nav",
        "replay",
        str(recording),
        "--rate",
        "0.05",
        "--out",
        str(out),
        way,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("replay: 24 frames")
    assert process.stdout.readline().startswith("replay: perception auto is geometric: it sees no categories")
    assert process.stdout.readline().startswith("frame 1 of")
    assert (out / "memory.db").exists(), "the memory's file is there before the first frame"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == count
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - start < 3.0
    assert process.returncode == 130 and "Traceback" not in errors
    assert not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children)


def spoil(frame, what):
    depth = frame.with_name(frame.name + ".depth.png")
    pose = frame.with_name(frame.name + ".pose.txt")
    if what == "text as PNG":
        depth.write_text("no picture")
    elif what == "empty depth":
        depth.write_bytes(b"")
    elif what == "8 bit depth":
        cv2.imwrite(str(depth), np.zeros((240, 320), np.uint8))
    elif what == "damaged within":
        data = bytearray(depth.read_bytes())
        data[60:400] = bytes(340)
        depth.write_bytes(data)
    elif what == "no pose":
        pose.unlink()
    elif what == "broken pose":
        pose.write_text("1 2 3\n")
    elif what == "lost pose":
        pose.write_text("-1.#INF -1.#INF -1.#INF -1.#INF\n" * 4)


def spoiled(recording, tmp_path, what):
    folder = tmp_path / "spoiled"
    shutil.copytree(recording, folder)
    for number in (10, 12, 14):
        spoil(folder / f"frame-{number:06d}", what)
    if what == "intrinsics of another size":
        np.savetxt(folder / "camera-intrinsics.txt", [[585, 0, 320], [0, 585, 240], [0, 0, 1]])
    elif what == "no frames":
        for path in folder.glob("frame-*"):
            path.unlink()
    return folder


@pytest.mark.parametrize(
    "what",
    ["text as PNG", "empty depth", "8 bit depth", "intrinsics of another size", "no pose", "broken pose", "no frames"],
)
def test_bad_recordings_are_refused_before_anything_is_written(recording, tmp_path, what):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text('{"program": "embodied-nav"}')
    done = replay(spoiled(recording, tmp_path, what), "--out", out)
    refused(done)
    assert (out / "report.json").read_text() == '{"program": "embodied-nav"}'
    assert [p.name for p in out.iterdir()] == ["report.json"]


def test_a_bad_frame_costs_that_frame(recording, tmp_path):
    folder, good = (shutil.copytree(recording, tmp_path / name) for name in ("bad", "good"))
    for number, what in ((6, "lost pose"), (30, "damaged within")):
        spoil(folder / f"frame-{number:06d}", what)
        for path in good.glob(f"frame-{number:06d}.*"):
            path.unlink()
    out = tmp_path / "out"
    done = replay(folder, "--rate", 0, "--no-carve", "--out", out)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["left_out"] == {"lost poses": 1, "damaged images": 1}
    assert (report["frames"], report["dropped"]) == (FRAMES - 2, 0)
    assert report["voxels"] == brute_force(good)


def test_bad_arguments_are_refused(recording, tmp_path):
    refused(replay(tmp_path / "nowhere"), "no such folder")
    refused(replay(recording, "--rate", "-1"), "--rate")
    refused(replay(recording, "--set", "camera.sync_slip=0.1"), "did you mean camera.sync_slop")
    refused(replay(recording, "--set", "camera.sync_slop=9"), "--set camera.sync_slop=9: sync_slop = 9.0: out of range")
    refused(replay(recording, "--format", "tum"), "rgb.txt")
    refused(replay(recording, "--perception", "server", "--set", "server.key_variable=NOT_SET"), "NOT_SET holds no key")
    refused(replay(recording, "--perception", "geometric", "--detector", __file__), "give --perception detector")
    refused(replay(recording, "--detector", __file__), "is no ONNX file")
    (tmp_path / "file").write_text("")
    refused(replay(recording, "--out", tmp_path / "file"), "--out")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "memory.db").write_text("somebody's")
    refused(replay(recording, "--out", foreign), "memory.db")
    assert (foreign / "memory.db").read_text() == "somebody's"


def refused(done, text=""):
    assert done.returncode == 2, done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1 and text in done.stderr, done.stderr
