"""Surfaces as a mesh and as a recording of Rerun, against the boxes that were seen; without the libraries one line."""

import builtins
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from box_rooms import camera_pose, render, two_rooms, walk

from embodied_nav.cli.main import main
from embodied_nav.errors import InputError
from embodied_nav.frames import Keyframe
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.output import mesh, rerun_file
from embodied_nav.memory.output.surface import SurfacePoints

STEPS = 24


@pytest.fixture(scope="module")
def memory():
    """Exact frames of a walk; a ball that was carried away meanwhile."""
    m, boxes = SpatialMemory(), two_rooms()
    ball = replace(boxes[-1], low=(1.8, 1.2, 0.2), high=(2.2, 1.6, 0.6), color=(0, 0, 250), id=9)
    for i, place in enumerate(walk(STEPS)):
        m.integrate(render([*boxes, ball] if i < 3 else boxes, camera_pose(*place), (i + 1) * 200_000_000))
    return m


def to_nearest_side(points):
    """Distance (m) of N x 3 points to the nearest face of a box, and that box's colour."""
    best, colors = np.full(len(points), np.inf), np.zeros((len(points), 3))
    for b in two_rooms():
        low, high = np.array(b.low), np.array(b.high)
        outside = np.linalg.norm(np.maximum(np.maximum(low - points, points - high), 0.0), axis=1)
        inside = np.minimum(points - low, high - points).min(axis=1)
        far = np.where(outside > 0.0, outside, np.maximum(inside, 0.0))
        nearer = far < best
        best[nearer], colors[nearer] = far[nearer], b.color
    return best, colors


def test_points_lie_on_what_was_seen_and_is_still_there(memory):
    points = memory.surface()
    assert len(points) > len(memory), "finer than voxels"
    far, colors = to_nearest_side(points.positions)
    assert np.quantile(far, 0.95) < 0.03 and far.max() < 0.09
    assert len(np.unique(np.floor(points.positions / points.spacing), axis=0)) == len(points)
    clear = far < 0.01
    off = np.abs(points.colors[clear].astype(float) - colors[clear]).max(axis=1)
    assert np.quantile(off, 0.8) < 12, "the colour of the box; mixed only along edges"
    blue = (points.colors[:, 2] > 150) & (points.colors[:, 0] < 60)
    assert not blue.any(), "the ball is gone"
    towards = points.eyes - points.positions
    assert (points.eyes[:, 2] > 0.5).all() and (np.linalg.norm(towards, axis=1) < 8.0).all()
    floor = np.abs(points.positions[:, 2]) < 0.01
    assert (towards[floor, 2] > 0.5).all(), "the floor was seen from above"


def test_points_follow_their_keyframes():
    m, boxes = SpatialMemory(), two_rooms()
    frame = render(boxes, camera_pose(1.0, 2.0, 0.0), 200_000_000)
    m.integrate(frame)
    m.add_keyframe(Keyframe(1, frame, float("nan"), 0, "first"))
    before = m.surface()
    T = np.eye(4)
    T[:3, 3] = 0.5, -0.25, 0.0
    m.move_keyframes({1: T @ frame.T_map_camera})
    after = m.surface()
    assert len(before) == pytest.approx(len(after), rel=0.05)
    assert np.allclose(after.positions.mean(axis=0) - before.positions.mean(axis=0), T[:3, 3], atol=0.02)
    assert np.allclose(after.eyes, (T @ frame.T_map_camera)[:3, 3])


def test_a_mesh_is_the_rooms_without_inventions(memory, tmp_path, monkeypatch):
    pytest.importorskip("open3d", reason="needs open3d: the extra 'viewer'", exc_type=ImportError)
    trimesh = pytest.importorskip("trimesh")
    file, out, made = tmp_path / "memory.db", tmp_path / "rooms.ply", []
    memory.save(file)
    real = mesh.reconstruct
    monkeypatch.setattr(mesh, "reconstruct", lambda points: made[0] if made else made.append(real(points)) or made[0])
    assert main(["memory", "export", str(file), "--format", "mesh", "--out", str(out)]) == 0
    found = trimesh.load(out, process=False)
    assert len(found.faces) > 5000
    far, colors = to_nearest_side(np.asarray(found.vertices))
    assert np.quantile(far, 0.95) < 0.04 and far.max() < 0.2
    assert np.median(np.abs(found.visual.vertex_colors[:, :3] - colors)) < 10
    sofa = np.median(found.visual.vertex_colors[np.abs(colors - (200, 30, 30)).sum(1) == 0, :3], axis=0)
    assert np.abs(sofa - (200, 30, 30)).max() < 25
    floor = np.abs(found.triangles_center[:, 2]) < 0.02
    assert (found.face_normals[floor, 2] > 0.9).mean() > 0.95, "seen from above: faces turned up"
    glb = tmp_path / "rooms.glb"
    assert main(["memory", "export", str(file), "--format", "mesh", "--out", str(glb), "--json"]) == 0
    other = trimesh.load(glb).to_mesh()
    assert len(other.faces) == len(found.faces)
    x, y, z = found.vertices.T
    assert np.allclose(sorted(np.ptp(other.vertices, axis=0)), sorted(np.ptp([x, y, z], axis=1)), atol=1e-4)
    assert np.ptp(other.vertices[:, 1]) == pytest.approx(np.ptp(z), abs=1e-4), "glTF's y is up"


def test_too_little_for_a_mesh_is_one_line(tmp_path):
    pytest.importorskip("open3d", reason="needs open3d: the extra 'viewer'", exc_type=ImportError)
    few = SurfacePoints(np.zeros((3, 3)), np.zeros((3, 3), np.uint8), np.zeros((3, 3)), 0.025)
    with pytest.raises(InputError, match="3 surface points: too few"):
        mesh.write_mesh(tmp_path / "m.ply", few)
    with pytest.raises(InputError, match=r"ends with \.ply, \.glb, \.gltf"):
        mesh.write_mesh(tmp_path / "m.obj", few)


@pytest.mark.parametrize(
    "error, told",
    [
        (
            ModuleNotFoundError("No module named 'open3d'", name="open3d"),
            "needs open3d, which is not installed; install",
        ),
        (ImportError("libusb-1.0.so.0: cannot open shared object file"), "libusb-1.0.so.0"),
        (OSError("libGL.so.1: cannot open shared object file"), "apt install libegl1 libgl1 libgomp1 libusb-1.0-0"),
    ],
)
def test_without_open3d_there_is_one_line(memory, tmp_path, monkeypatch, capsys, error, told):
    code, err = export_without(memory, tmp_path, monkeypatch, capsys, "open3d", error, "mesh")
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1


def test_without_rerun_there_is_one_line(memory, tmp_path, monkeypatch, capsys):
    error = ModuleNotFoundError("No module named 'rerun'", name="rerun")
    code, err = export_without(memory, tmp_path, monkeypatch, capsys, "rerun", error, "rrd")
    assert code == 2 and "rerun-sdk" in err and "install it with" in err and len(err.strip().splitlines()) == 1


def export_without(memory, tmp_path, monkeypatch, capsys, library, error, kind):
    """(exit code, stderr) of an export whose library cannot be imported."""
    memory.save(tmp_path / "memory.db")
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == library:
            raise error
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    code = main(["memory", "export", str(tmp_path / "memory.db"), "--format", kind])
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["memory.db"], "nothing is left behind"
    return code, capsys.readouterr().err


def test_a_recording_holds_map_objects_and_keyframes(tmp_path):
    pytest.importorskip("rerun", reason="needs rerun-sdk: the extra 'rerun'")
    m = SpatialMemory()
    frame = render(two_rooms(), camera_pose(1.0, 2.0, 0.0), 200_000_000)
    m.integrate(frame)
    m.add_keyframe(Keyframe(1, frame, float("nan"), 0, "first"))
    file, out = tmp_path / "memory.db", tmp_path / "memory.rrd"
    m.save(file)
    assert main(["memory", "export", str(file), "--rrd"]) == 0 and out.read_bytes()[:3] == b"RRF"
    told = rrd("verify", out)
    assert told.returncode == 0, told.stderr
    text = rrd("print", out).stdout
    for entity in ("/map/voxels", "/map/way", "/map/camera", "/map/camera/image"):
        assert entity in text
    assert f"{rerun_file.TIMELINE}: 2" in rrd("stats", out).stdout, "pose and picture, along time"
    assert main(["memory", "export", str(file), "--rrd", "--out", str(tmp_path / "none" / "m.rrd")]) == 2
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == '["memory.db", "memory.rrd"]'


def rrd(action, file):
    """What Rerun's own command says of a recording."""
    command = [sys.executable, "-m", "rerun", "rrd", action, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
