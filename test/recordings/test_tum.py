"""TUM RGB-D folders: stamps paired, poses interpolated, cameras known by name, and every fault in one line."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from recorder import seconds, walk, write_tum

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera, matrix_from_quaternion, rotation_angle
from embodied_nav.recordings import Calibration, open_recording
from embodied_nav.recordings.motion import Track
from embodied_nav.recordings.pairs import pair

INTRINSICS = "160,160,159.5,119.5"


@pytest.fixture(scope="module")
def walked():
    return walk(5)[1]


@pytest.fixture(scope="module")
def recorded(walked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tum") / "walk"
    write_tum(folder, walked)
    return folder


def test_frames_come_back_as_they_were(recorded, walked):
    recording = open_recording(recorded, calibration=Calibration.read(INTRINSICS))
    assert recording.camera == Camera(320, 240, 160, 160, 159.5, 119.5) and recording.depth_camera is None
    assert recording.stamps == [step.stamp for step in walked], "to the nanosecond"
    for index, step in enumerate(walked):
        frame = recording.read(index)
        np.testing.assert_array_equal(frame.color, step.color)
        np.testing.assert_allclose(frame.depth, step.depth, atol=1.01e-4)  # a unit is 0.2 mm
        np.testing.assert_allclose(frame.T_map_camera, step.T_map_camera, atol=1e-8)
        np.testing.assert_array_equal(frame.T_map_camera, recording.poses[index])
    assert len(open_recording(recorded, "tum", 2, Calibration.read(INTRINSICS))) == 2


def test_poses_between_stamps_follow_the_arc():
    """A turn about z while moving along x, told at 0 and 1 s."""
    half = matrix_from_quaternion((0, 0, np.sin(0.3), np.cos(0.3)))
    track = Track([0, 10**9], [[0, 0, 0], [2, 0, 0]], [[0, 0, 0, 1], [0, 0, np.sin(0.6), np.cos(0.6)]], 2 * 10**9)
    found = track.at(500_000_000)
    np.testing.assert_allclose(found[:3, :3], half[:3, :3], atol=1e-12)
    np.testing.assert_allclose(found[:3, 3], [1, 0, 0], atol=1e-12)
    assert rotation_angle(track.at(250_000_000)) == pytest.approx(0.3)
    # The other sign of a quaternion is the same rotation.
    turned = Track([0, 10**9], np.zeros((2, 3)), [[0, 0, 0, 1], [0, 0, -np.sin(0.6), -np.cos(0.6)]], 2 * 10**9)
    np.testing.assert_allclose(turned.at(500_000_000)[:3, :3], half[:3, :3], atol=1e-12)
    assert track.at(-1) is None and track.at(10**9 + 1) is None
    assert track.at(0) is not None and track.at(10**9) is not None
    assert Track([0, 10**9], np.zeros((2, 3)), [[0, 0, 0, 1]] * 2, 10**8).at(5) is None, "a gap tells nothing"


def test_pairs_are_the_nearest_and_each_image_is_used_once():
    ms = 1_000_000
    assert pair([0, 33 * ms, 66 * ms], [1 * ms, 34 * ms, 67 * ms]) == [(0, 0), (1, 1), (2, 2)]
    assert pair([10 * ms], [0, 8 * ms, 21 * ms]) == [(0, 1)]
    assert pair([0], [21 * ms]) == [] and pair([0], [20 * ms]) == [(0, 0)]
    assert pair([40 * ms, 0], [41 * ms, 2 * ms]) == [(1, 1), (0, 0)], "in depth's order, whatever the files'"


def test_frames_without_colour_or_pose_are_left_out(recorded, walked, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "walk")
    rgb = (folder / "rgb.txt").read_text().splitlines()
    (folder / "rgb.txt").write_text("\n".join(line for line in rgb if seconds(walked[1].stamp + 4_000_000) not in line))
    truth = (folder / "groundtruth.txt").read_text().splitlines()
    (folder / "groundtruth.txt").write_text("\n".join(truth[:-2]))
    recording = open_recording(folder, calibration=Calibration.read(INTRINSICS))
    assert recording.stamps == [walked[n].stamp for n in (0, 2, 3)] and recording.skipped == 2
    (folder / "groundtruth.txt").unlink()
    recording = open_recording(folder, calibration=Calibration.read(INTRINSICS))
    assert recording.poses is None and len(recording) == 4


@pytest.mark.parametrize(("name", "fx"), [("rgbd_dataset_freiburg1_desk", 517.3), ("fr2_xyz", 520.9), ("fr3", 535.4)])
def test_cameras_of_the_data_set_are_known_by_name(walked, tmp_path, name, fx):
    large = [
        type(step)(step.stamp, cv2.resize(step.color, (640, 480)), cv2.resize(step.depth, (640, 480)),
                   step.T_map_camera, step.T_odom_camera, step.T_base_camera)
        for step in walked[:1]
    ]  # fmt: skip
    write_tum(tmp_path / name, large)
    assert open_recording(tmp_path / name).camera.fx == fx


def spoil(recorded, tmp_path, change):
    folder = tmp_path / "spoiled"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(recorded, folder)
    change(folder)
    return folder


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def image(index, pixels, kind="depth"):
    return lambda folder: cv2.imwrite(str(sorted((folder / kind).iterdir())[index]), pixels)


def cut(index, kind="rgb"):
    def change(folder):
        path = sorted((folder / kind).iterdir())[index]
        path.write_bytes(path.read_bytes()[:-2000])

    return change


def missing(index, kind="rgb"):
    return lambda folder: sorted((folder / kind).iterdir())[index].unlink()


def without_lists(folder):
    for name in ("rgb.txt", "depth.txt"):
        (folder / name).unlink()


def both(*changes):
    return lambda folder: [change(folder) for change in changes]


def test_faults_are_one_line_each(recorded, tmp_path):
    for change, text in (
        (lambda folder: None, "the camera is not known"),
        (write("depth.txt", "soon depth/1.png\n"), r"depth.txt:1: 'soon depth/1.png' is not a stamp"),
        (write("depth.txt", "# nothing\n"), "names no image"),
        (write("depth.txt", "17.5 depth/1.png\n17.6 depth/2.png"), "colour is of 1700000000.* not taken together"),
        (write("groundtruth.txt", "# a comment\n1 2 3\n"), "groundtruth.txt:2: '1 2 3' is not a stamp, x y z"),
        (write("groundtruth.txt", "1 0 0 0 0 0 0 1\n"), "it is of 1.000 to 1.000 s, the images are of 1700"),
        (lambda folder: (folder / "rgb.txt").unlink(), "rgb.txt: is missing though depth.txt is there"),
        (both(missing(1), missing(2)), r"2 of 5 frames .*\(missing images: 2\); the first: .*cannot be read"),
        (both(*(image(n, np.zeros((120, 160), np.uint16)) for n in (3, 4))), "160x120, most depth images are 320x240"),
        (both(*(image(n, np.zeros((240, 320), np.uint8)) for n in range(5))), "5 of 5 .*one channel of 16 bits"),
        (both(cut(1), cut(3)), r"damaged images: 2\); the first: .*is cut short; replace this image"),
    ):  # fmt: skip
        calibration = None if "not known" in text else Calibration.read(INTRINSICS)
        with pytest.raises(InputError, match=text) as refused:
            open_recording(spoil(recorded, tmp_path, change), calibration=calibration)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "rest"),
    [("rgb.txt", "a.png"), ("depth.txt", "a.png"), ("associations.txt", "a.png 1.5 b.png"),
     ("groundtruth.txt", "0 0 0 0 0 0 1")],
)  # fmt: skip
def test_a_stamp_that_is_no_time_is_told_by_its_line(recorded, tmp_path, name, rest):
    folder = spoil(recorded, tmp_path, without_lists if name == "associations.txt" else lambda folder: None)
    stamps = ("1.5", "1.6", "1.7", "# 1.8", "90000000000.5")
    (folder / name).write_text("".join(f"{stamp} {rest}\n" for stamp in stamps))
    with pytest.raises(InputError, match=rf"{name}:5: stamp 90000000000.5 \(in s, as the others\) is no time"):
        open_recording(folder, calibration=Calibration.read(INTRINSICS))


def test_a_stamp_that_is_no_time_is_told_by_its_file(recorded, tmp_path):
    """Without lists the images' names are their stamps."""
    folder = spoil(recorded, tmp_path, without_lists)
    wrong = sorted((folder / "depth").iterdir())[0].rename(folder / "depth" / "9300000000000000000.png")
    with pytest.raises(InputError, match=rf"^{wrong}: stamp {wrong.stem} \(in ns, as the others\) is no time"):
        open_recording(folder, calibration=Calibration.read(INTRINSICS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (cut(2), "damaged images"), (missing(2), "missing images"), (missing(2, "depth"), "missing images"),
        (image(0, np.zeros((120, 160), np.uint16)), "images of another size"),
        (image(3, np.zeros((240, 320), np.uint8)), "damaged images"),
        (missing(4, "depth"), "listed, but not there"),
    ],
)  # fmt: skip
def test_one_bad_image_costs_one_frame(recorded, tmp_path, change, reason):
    recording = open_recording(spoil(recorded, tmp_path, change), calibration=Calibration.read(INTRINSICS))
    assert len(recording) == 4 and recording.losses.counts == {reason: 1}


def test_calibrations_are_read_and_refused(tmp_path):
    path = tmp_path / "cameras.yaml"
    path.write_text("color: [525, 525, 320, 240]\ndepth: [585, 585, 320, 240]\ntranslation: [0.02, 0, 0]\n")
    calibration = Calibration.read(str(path))
    assert calibration.color[0] == 525 and not calibration.registered
    np.testing.assert_allclose(calibration.T_color_depth[:3, 3], [0.02, 0, 0])
    assert Calibration.read(INTRINSICS).registered
    for text, told in (
        ("colour: [1, 2, 3, 4]", "colour"), ("color: [1, 2]", "expected 4"), ("color: red", "list of numbers"),
        ("rotation: [0, 0, 0, 0]", "no direction"), ("", "empty"), ("depth: 5", "list of numbers"),
        ("yes: [1]", "True"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InputError, match=told):
            Calibration.read(str(path))
    with pytest.raises(InputError, match="neither"):
        Calibration.read("nowhere.yaml")
    with pytest.raises(InputError, match="expected 4"):
        Calibration.read("1,2,3")


def test_a_calibrated_pair_of_cameras_is_not_taken_for_registered(recorded, tmp_path):
    path = tmp_path / "cameras.yaml"
    path.write_text("color: [160, 160, 159.5, 119.5]\ndepth: [170, 170, 159.5, 119.5]\n")
    recording = open_recording(recorded, calibration=Calibration.read(str(path)))
    assert (recording.camera.fx, recording.depth_camera.fx) == (160, 170)
