"""Bags whose stamps, frames of TF, coordinates or unit of depth are not what one would wish."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: embodied-nav doctor says how to get it")
sys.path.append(str(Path(__file__).parent))
from recorder import PERIOD, START, BagWriter, walk, write_bag, write_tum

from embodied_nav.errors import InputError
from embodied_nav.geometry import invert, matrix_from_quaternion
from embodied_nav.recordings import Calibration, Reading, open_recording

MOUNT = matrix_from_quaternion((-0.5, 0.5, -0.5, 0.5), (0.1, 0.0, 0.8))
HOUR = 3600 * 10**9


@pytest.fixture(scope="module")
def walked():
    return walk(6)


@pytest.fixture(scope="module")
def clear():
    """A walk without noise."""
    return walk(10, noise=False)


def same_frames(recording, steps):
    assert len(recording) == len(steps)
    for index, step in enumerate(steps):
        np.testing.assert_array_equal(recording.read(index).color, step.color)
        if recording.poses is not None:
            np.testing.assert_allclose(recording.poses[index], step.T_map_camera, atol=1e-4)


@pytest.mark.parametrize(
    ("clock", "word"),
    [
        (lambda ns: ns - START + 5 * 10**9 if ns < START + 1.5 * PERIOD else ns, "another clock"),
        (lambda ns: ns - HOUR if ns > START + 3.5 * PERIOD else ns, "another clock"),
        (lambda ns: ns + 10 * 365 * 24 * HOUR if ns < START + 0.5 * PERIOD else ns, "another clock"),
        (lambda ns: 0, "times of reception are taken"),
        (lambda ns: 17 * 10**9, "times of reception are taken"),
    ],
    ids=["camera's, then system's", "set back", "ahead by years", "zero", "the same"],
)
@pytest.mark.parametrize("tf", [True, False])
def test_clocks_that_jump_or_say_nothing(walked, tmp_path, clock, word, tf):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, in_map=tf, odom="tf" if tf else "", clock=clock)
    recording = open_recording(tmp_path / "bag")
    assert any(word in note for note in recording.notes)
    assert (recording.poses is not None) == tf
    same_frames(recording, steps)
    np.testing.assert_allclose(np.diff(recording.stamps), PERIOD, atol=10**7)


def test_a_pause_stays_a_pause(walked, tmp_path):
    camera, steps = walked
    paused = [replace(s, stamp=s.stamp + HOUR * (n > 3)) for n, s in enumerate(steps)]
    write_bag(tmp_path / "bag", camera, paused)
    recording = open_recording(tmp_path / "bag")
    same_frames(recording, steps)
    assert max(np.diff(recording.stamps)) > HOUR and not any("clock" in note for note in recording.notes)


@pytest.mark.parametrize("rate", [0.01, 0.5, 3.0])
def test_simulated_time_at_any_speed_is_left_alone(walked, tmp_path, rate):
    """Reception goes on by minutes while stamps go on by tenths of a second."""
    camera, steps = walked
    slow = [replace(s, stamp=START + int(n * PERIOD / rate)) for n, s in enumerate(steps)]
    write_bag(tmp_path / "bag", camera, slow, clock=lambda ns: int((ns - START) * rate) + 10**9)
    recording = open_recording(tmp_path / "bag")
    same_frames(recording, steps)
    np.testing.assert_allclose(np.diff(recording.stamps), PERIOD, atol=2)
    assert recording.notes == []


def test_a_bag_of_a_bag_in_a_loop_is_read_once(walked, tmp_path):
    camera, steps = walked
    length = len(steps) * PERIOD
    twice = [*steps, *(replace(s, stamp=s.stamp + length) for s in steps)]
    again = lambda ns: ns if ns < START + length - PERIOD // 2 else ns - length  # noqa: E731
    write_bag(tmp_path / "bag", camera, twice, clock=again)
    recording = open_recording(tmp_path / "bag")
    same_frames(recording, steps)
    assert recording.losses.counts == {"with the same stamp as another": len(steps)}


def apart(folder, camera, steps, offset):
    """Depth stamped later than colour, by so much (ns) for each frame."""
    with BagWriter(folder) as bag:
        for n, step in enumerate(steps):
            bag.tf(step.stamp, (step.T_map_camera, "map", "optical"))
            bag.tf(step.stamp + offset(n), (step.T_map_camera, "map", "optical"))
            bag.info("/camera/color/camera_info", step.stamp, "optical", camera)
            bag.image("/camera/color/image", step.stamp, "optical", step.color, "rgb8")
            bag.image("/camera/depth/image", step.stamp + offset(n), "optical", step.depth, "32FC1")


@pytest.mark.parametrize(
    ("offset", "told", "slop"),
    [(lambda n: 25_000_000, "25 ms apart all along", 0.03), (lambda n: -42_000_000, "42 ms apart all along", 0.05),
     (lambda n: 24_000_000 + n * 5_000_000, "2[0-9] to [45][0-9] ms apart", 0.055)],
)  # fmt: skip
def test_offsets_are_measured_and_the_setting_proposed_works(walked, tmp_path, offset, told, slop):
    camera, steps = walked
    apart(tmp_path / "bag", camera, steps, offset)
    with pytest.raises(InputError, match=rf"/camera/color/image and /camera/depth/image.*{told}.*sync_slop={slop}$"):
        open_recording(tmp_path / "bag")
    same_frames(open_recording(tmp_path / "bag", reading=Reading(sync_slop=slop)), steps)


def test_offsets_of_lists_are_measured(walked, tmp_path):
    _, steps = walked
    write_tum(tmp_path / "walk", steps, color_delay=27_000_000)
    calibration = Calibration.read("160,160,159.5,119.5")
    with pytest.raises(InputError, match=r"rgb.txt and depth.txt.*27 ms apart all along: --set camera.sync_slop=0.03$"):
        open_recording(tmp_path / "walk", calibration=calibration)
    assert len(open_recording(tmp_path / "walk", calibration=calibration, reading=Reading(sync_slop=0.03))) == 6


def framed(folder, camera, steps, edges, static=((MOUNT, "base_link", "optical"),), broken=()):
    """TF as ``edges`` make it of the base's pose in the map; ``broken``: frames whose transform is none."""
    with BagWriter(folder) as bag:
        bag.tf(steps[0].stamp, *static, topic="/tf_static")
        for n, step in enumerate(steps):
            T = step.T_map_camera @ invert(MOUNT)
            bag.tf(step.stamp, *((np.full((4, 4), np.nan) if n in broken else E, a, b) for E, a, b in edges(T)))
            bag.info("/camera/color/camera_info", step.stamp, "optical", camera)
            bag.image("/camera/color/image", step.stamp, "optical", step.color, "rgb8")
            bag.image("/camera/depth/image", step.stamp, "optical", step.depth, "32FC1")


ODOM = matrix_from_quaternion((0, 0, 0.3, 0.95), (1.0, 2.0, 0.0))


@pytest.mark.parametrize(
    ("map_frame", "odom_frame", "root"),
    [("map", "odom", ""), ("/map", "/odom", ""), ("robot_1/map", "robot_1/odom", "robot_1/map"), ("world", "odom", ""),
     ("tb3_map", "tb3_odom", "tb3_map"), ("vicon", "odom", "vicon"), ("kinect_start", "", "kinect_start")],
)  # fmt: skip
def test_frames_of_the_map_are_found(walked, tmp_path, map_frame, odom_frame, root):
    camera, steps = walked

    def edges(T):
        if not odom_frame:
            return [(T, map_frame, "base_link")]
        return [(ODOM, map_frame, odom_frame), (invert(ODOM) @ T, odom_frame, "base_link")]

    framed(tmp_path / "bag", camera, steps, edges)
    recording = open_recording(tmp_path / "bag")
    same_frames(recording, steps)
    assert any(f"TF's frame {root}" in note for note in recording.notes) == bool(root)
    assert (recording.odometry is not None) == bool(odom_frame)


def test_another_robots_map_is_not_taken(walked, tmp_path):
    camera, steps = walked
    away = matrix_from_quaternion((0, 0, 0, 1), (9, 9, 0))
    framed(tmp_path / "bag", camera, steps, lambda T: [(T, "robot_1/map", "base_link"), (away, "map", "robot_2/base")])
    same_frames(open_recording(tmp_path / "bag"), steps)


def test_where_the_chain_of_frames_breaks_is_said(walked, tmp_path):
    camera, steps = walked
    framed(tmp_path / "static", camera, steps, lambda T: [(ODOM, "map", "odom"), (T, "odom", "base_link")], static=())
    framed(tmp_path / "odom", camera, steps, lambda T: [(T, "odom", "base_link")])
    for name, text in (
        ("static", r"does not say where optical is: no transform leads.*TF has map -> odom -> base_link$"),
        ("odom", r"leads from optical up to odom and no further, not to a frame map; TF has odom -> base_link -> opt"),
    ):
        recording = open_recording(tmp_path / name)
        assert recording.poses is None
        with pytest.raises(AssertionError, match=text):
            raise AssertionError(recording.why_no_poses)
    mended = open_recording(tmp_path / "odom", reading=Reading(map_frame="odom"))
    same_frames(mended, steps)


def test_a_transform_that_is_none_costs_its_frame(walked, tmp_path):
    camera, steps = walked
    nowhere = np.full((4, 4), np.nan)
    static = ((MOUNT, "base_link", "optical"), (nowhere, "base_link", "arm"))
    framed(tmp_path / "bag", camera, steps, lambda T: [(T, "map", "base_link")], static, broken=(2,))
    recording = open_recording(tmp_path / "bag")
    same_frames(recording, [*steps[:2], *steps[3:]])
    assert recording.losses.counts == {"lost poses": 1}
    assert any("base_link -> arm is no transform" in note for note in recording.notes)
    framed(tmp_path / "many", camera, steps, lambda T: [(T, "map", "base_link")], broken=(2, 4))
    with pytest.raises(
        InputError, match=r"2 of 6 frames cannot be used \(lost poses: 2\); the first: TF at 1700000000"
    ):
        open_recording(tmp_path / "many")


def test_coordinates_of_a_country_get_a_local_origin(walked, tmp_path):
    camera, steps = walked
    utm = np.array([448_262.35, 5_411_932.68, 115.2])

    def edges(T):
        E = T.copy()
        E[:3, 3] += utm
        return [(E, "map", "base_link")]

    framed(tmp_path / "bag", camera, steps, edges)
    recording = open_recording(tmp_path / "bag")
    np.testing.assert_array_equal(recording.origin, [448_000, 5_412_000, 0])
    for index, step in enumerate(steps):
        expected = step.T_map_camera.copy()
        expected[:3, 3] += utm - recording.origin
        np.testing.assert_allclose(recording.poses[index], expected, atol=1e-6)
    assert any("(448000, 5412000, 0)" in note for note in recording.notes)
    framed(tmp_path / "near", camera, steps, lambda T: [(T, "map", "base_link")])
    assert not open_recording(tmp_path / "near").origin.any()


def scaled(folder, camera, steps, depth, encoding):
    with BagWriter(folder) as bag:
        for step in steps:
            bag.tf(step.stamp, (step.T_map_camera, "map", "optical"))
            bag.info("/camera/color/camera_info", step.stamp, "optical", camera)
            bag.image("/camera/color/image", step.stamp, "optical", step.color, "rgb8")
            bag.image("/camera/depth/image", step.stamp, "optical", depth(step.depth), encoding)


def millimetres(depth, factor=1.0):
    return np.rint(np.nan_to_num(depth * 1000 * factor)).clip(0, 65534).astype(np.uint16)


@pytest.mark.parametrize(
    ("depth", "encoding", "scale"),
    [(lambda d: d * np.float32(1000), "32FC1", 0.001), (lambda d: d * np.float32(10), "32FC1", 0.1),
     (lambda d: millimetres(d, 10), "16UC1", 0.1), (lambda d: d * np.float32(0.001), "32FC1", 1000),
     (lambda d: millimetres(d, 0.1), "16UC1", 10), (lambda d: millimetres(d, 0.2), "16UC1", 5)],
    ids=["mm as m", "ten times", "0.1 mm as mm", "m as mm twice", "cm as mm", "a fifth"],
)  # fmt: skip
def test_depth_in_another_unit_is_refused_with_the_scale_that_mends_it(clear, tmp_path, depth, encoding, scale):
    camera, steps = clear
    scaled(tmp_path / "bag", camera, steps, depth, encoding)
    with pytest.raises(InputError, match=rf"depth.*--set camera.depth_scale={scale:g} \(1 takes it as it is\)$"):
        open_recording(tmp_path / "bag")
    recording = open_recording(tmp_path / "bag", reading=Reading(depth_scale=scale))
    found, expected = recording.read(3).depth, steps[3].depth
    good = np.isfinite(found) & np.isfinite(expected) & (expected < 6)
    assert good.mean() > 0.5
    np.testing.assert_allclose(found[good], expected[good], atol=0.006)
    assert len(open_recording(tmp_path / "bag", reading=Reading(depth_scale=1.0))) == 10, "as it is, if one insists"


def test_good_depth_is_not_suspected(tmp_path):
    camera, steps = walk(10)
    scaled(tmp_path / "bag", camera, steps, millimetres, "16UC1")
    assert open_recording(tmp_path / "bag").notes == []


def test_poses_that_are_not_the_cameras_are_suspected(clear, tmp_path):
    camera, steps = clear
    turned = [replace(s, T_map_camera=s.T_map_camera @ invert(MOUNT)) for s in steps]
    scaled(tmp_path / "bag", camera, turned, millimetres, "16UC1")
    assert any("are the poses the camera's" in note for note in open_recording(tmp_path / "bag").notes)
