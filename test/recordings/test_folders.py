"""Folders of other data sets than TUM's and 7-Scenes', and files as other systems write them."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from recorder import seconds, walk, write_tum

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera, invert, is_rigid, matrix_from_quaternion, quaternion_from_matrix
from embodied_nav.recordings import Calibration, found_format, open_recording
from embodied_nav.recordings.stamps import unit_of
from embodied_nav.recordings.text import number

K = "160,160,159.5,119.5"


@pytest.fixture(scope="module")
def walked():
    return walk(6)


def millimetres(step):
    return np.rint(np.nan_to_num(step.depth * 1000)).astype(np.uint16)


def write_color(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])


def write_depth(path, units):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), units.astype(np.uint16))


def write_scannet(folder, camera, steps, lost=()):
    """Colour twice as large as depth."""
    large = camera.resized(2 * camera.width, 2 * camera.height)
    for n, step in enumerate(steps):
        write_color(folder / f"color/{n}.jpg", cv2.resize(step.color, (large.width, large.height)))
        write_depth(folder / f"depth/{n}.png", millimetres(step))
        (folder / "pose").mkdir(exist_ok=True)
        np.savetxt(folder / f"pose/{n}.txt", np.full((4, 4), -np.inf) if n in lost else step.T_map_camera)
    (folder / "intrinsic").mkdir()
    for name, c in (("color", large), ("depth", camera)):
        matrix = np.eye(4)
        matrix[:3, :3] = c.K
        np.savetxt(folder / f"intrinsic/intrinsic_{name}.txt", matrix)
    return large


def test_scannet(walked, tmp_path):
    camera, steps = walked
    large = write_scannet(tmp_path / "scene0000_00", camera, steps, lost=(2,))
    assert found_format(tmp_path / "scene0000_00") == "scannet"
    recording = open_recording(tmp_path / "scene0000_00")
    assert recording.losses.counts == {"lost poses": 1} and len(recording) == 5
    assert (recording.camera, recording.depth_camera) == (large, camera)
    np.testing.assert_array_equal(recording.T_color_depth, np.eye(4))
    frame = recording.read(2)
    assert frame.stamp == 100_000_000, "number 3, 30 a second"
    np.testing.assert_array_equal(frame.depth, millimetres(steps[3]))
    np.testing.assert_allclose(frame.T_map_camera, steps[3].T_map_camera, atol=1e-12)
    for name in ("color", "depth"):
        (tmp_path / f"scene0000_00/intrinsic/intrinsic_{name}.txt").unlink()
    with pytest.raises(InputError, match="no intrinsics tell of both cameras; give --calibration FILE"):
        open_recording(tmp_path / "scene0000_00")
    (tmp_path / "cameras.yaml").write_text(f"color: {[large.fx, large.fy, large.cx, large.cy]}\n"
                                           f"depth: {[camera.fx, camera.fy, camera.cx, camera.cy]}\n")  # fmt: skip
    mended = open_recording(tmp_path / "scene0000_00", calibration=Calibration.read(str(tmp_path / "cameras.yaml")))
    assert (mended.camera, mended.depth_camera) == (large, camera), "the mend works"


@pytest.mark.parametrize("word", ["-inf", "nan", "-1.#INF", "-1.#IND", "1.#QNAN", "1.#INF00", "-nan(ind)"])
def test_lost_poses_of_any_c_library(walked, tmp_path, word):
    camera, steps = walked
    write_seven(tmp_path, camera, steps)
    (tmp_path / "frame-000004.pose.txt").write_bytes(b"\xef\xbb\xbf" + f"{word}\t{word} {word} {word}\r\n".encode() * 4)
    recording = open_recording(tmp_path)
    assert recording.losses.counts == {"lost poses": 1} and len(recording) == 5
    (tmp_path / "frame-000003.pose.txt").write_text("1 0 0 0\n" * 4)
    text = r"2 of 6 frames cannot be used \(lost poses: 2\); the first: .*frame-000003.pose.txt: is no rigid transform"
    with pytest.raises(InputError, match=text):
        open_recording(tmp_path)


def write_seven(folder, camera, steps, intrinsics=True):
    folder.mkdir(parents=True, exist_ok=True)
    for n, step in enumerate(steps):
        write_color(folder / f"frame-{n:06d}.color.png", step.color)
        write_depth(folder / f"frame-{n:06d}.depth.png", millimetres(step))
        np.savetxt(folder / f"frame-{n:06d}.pose.txt", step.T_map_camera)
    if intrinsics:
        np.savetxt(folder / "camera-intrinsics.txt", camera.K)


def test_3dmatch_has_its_intrinsics_one_folder_above(walked, tmp_path):
    camera, steps = walked
    write_seven(tmp_path / "scene" / "seq-01", camera, steps, intrinsics=False)
    np.savetxt(tmp_path / "scene" / "camera-intrinsics.txt", camera.K, delimiter="\t")
    for given in (tmp_path / "scene" / "seq-01", tmp_path / "scene"):
        recording = open_recording(given)
        assert recording.camera == camera
        assert any("intrinsics are those of" in note for note in recording.notes)
    (tmp_path / "scene" / "camera-intrinsics.txt").unlink()
    with pytest.raises(InputError, match=r"holds no intrinsics .* instead of 640x480.*give --calibration fx,fy"):
        open_recording(tmp_path / "scene")


def test_12_scenes_tells_two_cameras_in_info(walked, tmp_path):
    camera, steps = walked
    folder = tmp_path / "kitchen" / "data"
    large = write_scannet(tmp_path / "other", camera, steps)
    for n, step in enumerate(steps):
        write_color(folder / f"frame-{n:06d}.color.jpg", cv2.resize(step.color, (large.width, large.height)))
        write_depth(folder / f"frame-{n:06d}.depth.png", millimetres(step))
        np.savetxt(folder / f"frame-{n:06d}.pose.txt", step.T_map_camera)
    lines = ["m_versionNumber = 4", "m_sensorName = StructureSensor"]
    for name, c in (("Color", large), ("Depth", camera)):
        matrix = np.eye(4)
        matrix[:3, :3] = c.K
        lines.append(f"m_calibration{name}Intrinsic = {' '.join(map(repr, matrix.ravel().tolist()))} ")
    (tmp_path / "kitchen" / "info.txt").write_text("\n".join(lines))
    recording = open_recording(tmp_path / "kitchen")
    assert (recording.camera, recording.depth_camera) == (large, camera)


def test_icl_nuim_is_mirrored_to_what_one_would_see(walked, tmp_path):
    """Its fy is negative: heights and the world's second axis are the other way around."""
    _, steps = walked
    folder = tmp_path / "living_room_traj1_frei_png"
    mirror = np.diag([1.0, -1, 1, 1])
    truth, together = [], []
    for n, step in enumerate(steps):
        write_color(folder / f"rgb/{n}.png", cv2.resize(step.color, (640, 480)))
        write_depth(folder / f"depth/{n}.png", cv2.resize(millimetres(step), (640, 480), interpolation=0) * 5)
        T = mirror @ step.T_map_camera @ mirror
        truth.append(f"{n} " + " ".join(f"{v:.9f}" for v in (*T[:3, 3], *quaternion_from_matrix(T))))
        together.append(f"{n} depth/{n}.png {n} rgb/{n}.png")
    (folder / "associations.txt").write_text("\n".join(together))
    (folder / "livingRoom1.gt.freiburg").write_text("\n".join(truth[1:]))
    assert found_format(folder) == "icl"
    recording = open_recording(folder)
    assert recording.camera == Camera(640, 480, 481.2, 480, 319.5, 239.5)
    assert [stamp * 30 // 10**9 for stamp in recording.stamps] == [0, 1, 2, 3, 4] or len(recording) == 5
    assert any("481.2,-480" in note for note in recording.notes), "the camera is announced"
    for index, step in enumerate(steps[1:]):
        np.testing.assert_allclose(recording.poses[index], step.T_map_camera, atol=1e-7)
        np.testing.assert_allclose(recording.read(index).depth[::2, ::2][5, 5], step.depth[5, 5], atol=2e-3)


def openloris(folder, camera, steps, T_base_camera):
    color, depth, truth = ["#time path"], ["#time path"], ["#time x y z"]
    for step in steps:
        name = seconds(step.stamp)
        write_color(folder / f"color/{name}.png", step.color)
        write_depth(folder / f"aligned_depth/{name}.png", millimetres(step))
        color.append(f"{name} color/{name}.png")
        depth.append(f"{name} aligned_depth/{name}.png")
        T = step.T_map_camera @ invert(T_base_camera)
        truth.append(f"{name} " + " ".join(f"{v:.9f}" for v in (*T[:3, 3], *quaternion_from_matrix(T))))
    for name, lines in (("color", color), ("aligned_depth", depth), ("groundtruth", truth), ("depth", depth[:2])):
        (folder / f"{name}.txt").write_text("\n".join(lines))
    sensors = "%YAML:1.0\n---\nd400_accelerometer:\n   fps: 250\nd400_color_optical_frame:\n   width: {0.width}\n"
    sensors += "   height: {0.height}\n   intrinsics: !!opencv-matrix\n      rows: 1\n      cols: 4\n      dt: d\n"
    sensors += "      data: [ {0.fx}, {0.cx},\n          {0.fy}, {0.cy} ]\nt265:\n   width: 848\n"
    (folder / "sensors.yaml").write_text(sensors.format(camera))
    matrix = ", ".join(map(repr, T_base_camera.ravel().tolist()))
    (folder / "trans_matrix.yaml").write_text(
        "%YAML:1.0\n---\ntrans_matrix:\n   - \n      parent_frame: base_link\n"
        "      child_frame: d400_color_optical_frame\n      matrix: !!opencv-matrix\n         rows: 4\n"
        f"         cols: 4\n         dt: d\n         data: [ {matrix} ]\n"
    )


def test_openloris_tells_the_base_and_where_the_camera_is(walked, tmp_path):
    camera, steps = walked
    folder = tmp_path / "cafe1-1"
    openloris(folder, camera, steps, matrix_from_quaternion((-0.5, 0.5, -0.5, 0.5), (0.2, 0.0, 0.9)))
    assert found_format(folder) == "openloris"
    recording = open_recording(folder)
    assert recording.camera == camera and recording.depth_camera is None and len(recording) == 6
    for index, step in enumerate(steps):
        np.testing.assert_allclose(recording.poses[index], step.T_map_camera, atol=1e-6)
        np.testing.assert_allclose(np.nan_to_num(recording.read(index).depth), millimetres(step) / 1000, atol=1e-6)
    (folder / "trans_matrix.yaml").unlink()
    assert any("trans_matrix.yaml is missing" in note for note in open_recording(folder).notes)


def test_bonn_and_eth3d_bring_their_cameras(walked, tmp_path):
    _, steps = walked
    write_tum(tmp_path / "einstein", steps)
    (tmp_path / "einstein" / "calibration.txt").write_text("160 160 159.5 119.5\n")
    assert open_recording(tmp_path / "einstein").camera.fx == 160
    (tmp_path / "einstein" / "calibration.txt").unlink()
    with pytest.raises(InputError, match="the camera is not known"):
        open_recording(tmp_path / "einstein")
    large = [type(s)(s.stamp, cv2.resize(s.color, (640, 480)), cv2.resize(s.depth, (640, 480)), s.T_map_camera,
                     s.T_odom_camera, s.T_base_camera) for s in steps[:2]]  # fmt: skip
    write_tum(tmp_path / "rgbd_bonn_balloon", large)
    recording = open_recording(tmp_path / "rgbd_bonn_balloon")
    assert recording.camera.fx == 542.822841 and any("Bonn" in note for note in recording.notes)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", "utf-16"])
def test_lists_of_any_system(walked, tmp_path, mark):
    _, steps = walked
    write_tum(tmp_path / "walk", steps)
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        path = tmp_path / "walk" / name
        lines = [f"  {line.replace(' ', chr(9))}  " for line in path.read_text().splitlines()]
        text = "\r\n".join(["", *lines, "   "]).replace("rgb/", "rgb\\")
        path.write_bytes(mark + text.encode() if isinstance(mark, bytes) else text.encode(mark))
    recording = open_recording(tmp_path / "walk", calibration=Calibration.read(K))
    assert recording.stamps == [step.stamp for step in steps]


def test_lists_out_of_order_and_twice(walked, tmp_path):
    _, steps = walked
    write_tum(tmp_path / "walk", steps)
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        path = tmp_path / "walk" / name
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*reversed(lines), lines[2], "# the end"]))
    recording = open_recording(tmp_path / "walk", calibration=Calibration.read(K))
    assert recording.stamps == [step.stamp for step in steps]
    assert recording.losses.counts == {"with the same stamp as another": 1}


@pytest.mark.parametrize(
    ("unit", "stamp"),
    [
        ("ns", lambda n: str(1_700_000_000_000_000_000 + n * 33_333_333)),
        ("us", lambda n: str(1_700_000_000_000_000 + n * 33_333)),
        ("ms", lambda n: f"{1_700_000_000_000 + n * 33.333:.3f}"),
        ("s", lambda n: f"{1_700_000_000 + n / 30:.6f}"),
        ("s", lambda n: f"{n / 30:.6f}"),
        ("s", lambda n: str(1_700_000_000 + n)),
        ("frames", lambda n: str(n)),
        ("frames", lambda n: str(100 + 5 * n)),
        ("ms", lambda n: str(33 * n)),
        ("us", lambda n: str(5_000_000 + 33_333 * n)),
        ("ns", lambda n: str(33_333_333 * n)),
        ("ns", lambda n: f"{33_333_333 * n}.0"),
    ],
)
def test_units_of_stamps(unit, stamp):
    assert unit_of([stamp(n) for n in range(1, 40)]) == unit


@pytest.mark.parametrize(("scale", "unit"), [(10**9, "in ns"), (10**6, "in us"), (10**3, "in ms"), (0, "numbers")])
def test_sequences_in_other_units_are_read_and_announced(walked, tmp_path, scale, unit):
    _, steps = walked
    write_tum(tmp_path / "walk", steps, color_delay=0)
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        path = tmp_path / "walk" / name
        lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
        lines = lines[::2] if name == "groundtruth.txt" else lines
        for n, (line, step) in enumerate(zip(lines, steps, strict=True)):
            line[0] = str(step.stamp * scale // 10**9) if scale else str(n)
        path.write_text("\n".join(map(" ".join, lines)))
    recording = open_recording(tmp_path / "walk", calibration=Calibration.read(K))
    assert len(recording) == 6 and len(recording.poses) == 6
    assert any(unit in note for note in recording.notes)
    step = 10**9 // 30 if scale == 0 else 10**8
    np.testing.assert_allclose(np.diff(recording.stamps), step, atol=10**6)


def test_rounded_poses_are_read_as_what_the_memory_takes(walked, tmp_path):
    """Three digits, as some tools write: no rotation any more within what the memory accepts."""
    camera, steps = walked
    rounded = [replace(step, T_map_camera=step.T_map_camera @ np.diag([1.003, 1.003, 1.003, 1.0])) for step in steps]
    write_scannet(tmp_path / "walk", camera, rounded)
    poses = open_recording(tmp_path / "walk").poses
    assert all(is_rigid(T) for T in poses)
    np.testing.assert_allclose(poses[1], steps[1].T_map_camera, atol=1e-6)


def test_poses_that_are_none_cost_their_frames(walked, tmp_path):
    _, steps = walked
    write_tum(tmp_path / "walk", steps)
    path = tmp_path / "walk" / "groundtruth.txt"
    lines = path.read_text().splitlines()
    stamp = lines[3].split()[0]
    for pose in ("nan " * 7, "0 0 0 0 0 0 0", "1 2 3 -1.#IND 0 0 1", "inf 0 0 0 0 0 1"):
        path.write_text("\n".join([*lines[:3], f"{stamp} {pose}", *lines[4:]]))
        recording = open_recording(tmp_path / "walk", calibration=Calibration.read(K))
        assert len(recording) == 5 and recording.losses.counts == {"lost poses": 1}
    doubled = [line.split() for line in lines]
    scaled = [[*w[:4], *(str(2 * float(v)) for v in w[4:])] if w[0] != "#" else w for w in doubled]
    path.write_text("\n".join(map(" ".join, scaled)))
    np.testing.assert_allclose(
        open_recording(tmp_path / "walk", calibration=Calibration.read(K)).poses[1], steps[1].T_map_camera, atol=1e-8
    )


def test_any_part_of_a_recording_means_it(walked, tmp_path):
    _, steps = walked
    write_tum(tmp_path / "all" / "walk", steps)
    for given in ("all", "all/walk", "all/walk/rgb", "all/walk/rgb.txt", "all/walk/depth"):
        recording = open_recording(tmp_path / given, calibration=Calibration.read(K))
        assert len(recording) == 6
        assert (given == "all/walk") == (not any("the recording is" in note for note in recording.notes))
    file = next((tmp_path / "all/walk/rgb").iterdir())
    assert len(open_recording(file, calibration=Calibration.read(K))) == 6
    write_tum(tmp_path / "all" / "second", steps)
    with pytest.raises(InputError, match=r"holds 2 recordings; give one of them: .*second.*walk"):
        found_format(tmp_path / "all")


@pytest.mark.parametrize(("name", "mend"), [("scene0000_00.sens", "reader.py"), ("seq-01.zip", "unzip"),
                                            ("fr1.tgz", "tar xf")])  # fmt: skip
def test_what_is_packed_says_how_to_unpack_it(tmp_path, name, mend):
    (tmp_path / name).touch()
    for given in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match=f"{name}.*{mend}"):
            found_format(given)


def test_numbers_are_numbers():
    assert number("1.5e-3") == 0.0015 and number("-1.#INF") == -np.inf and np.isnan(number("-nan(ind)"))
    for word in ("", "x", "1.#", "infinite", "1,5"):
        with pytest.raises(ValueError):
            number(word)
