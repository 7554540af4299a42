"""rosbag2 folders of both storages, raw and compressed: what was recorded comes back; faults are said at once."""

import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: embodied-nav doctor says how to get it")
sys.path.append(str(Path(__file__).parent))
from recorder import BagWriter, walk, write_bag

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera, matrix_from_quaternion
from embodied_nav.recordings import Calibration, Topics, open_recording
from embodied_nav.recordings.motion import FrameTree
from embodied_nav.recordings.topics import choose

ALIGNED = "/camera/aligned_depth_to_color/image_raw"


@pytest.fixture(scope="module")
def walked():
    return walk(4)


def as_recorded(recording, steps, color_off=0.0):
    assert recording.stamps == [step.stamp for step in steps] and recording.depth_camera is None
    for index, step in enumerate(steps):
        frame = recording.read(index)
        assert np.abs(frame.color.astype(int) - step.color).mean() <= color_off
        assert frame.depth.dtype == np.uint16
        np.testing.assert_allclose(frame.depth / 1000, np.nan_to_num(step.depth), atol=5.01e-4)


@pytest.mark.parametrize(
    ("storage", "compressed", "compression"),
    [("sqlite3", False, ""), ("mcap", False, ""), ("sqlite3", True, "MESSAGE"), ("mcap", True, ""),
     ("sqlite3", False, "FILE")],
)  # fmt: skip
def test_what_was_recorded_comes_back(walked, tmp_path, storage, compressed, compression):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, storage, compressed, compression=compression)
    recording = open_recording(tmp_path / "bag")
    assert recording.camera == camera and recording.skipped == 0
    suffix = ("/compressed", "/compressedDepth") if compressed else ("", "")
    found = recording.topics
    assert (found.color, found.depth) == ("/camera/color/image_raw" + suffix[0], ALIGNED + suffix[1])
    as_recorded(recording, steps, 3.0 if compressed else 0.0)
    for step, pose, odometry in zip(steps, recording.poses, recording.odometry, strict=True):
        np.testing.assert_allclose(pose, step.T_map_camera, atol=1e-9)
        np.testing.assert_allclose(odometry, step.T_odom_camera, atol=1e-9)


def test_a_bag_without_a_map_has_odometry_alone_from_its_topic_too(walked, tmp_path):
    camera, steps = walked
    for odom in ("tf", "topic"):
        write_bag(tmp_path / odom, camera, steps, "mcap", in_map=False, odom=odom)
        recording = open_recording(tmp_path / odom)
        assert recording.poses is None
        for step, T in zip(steps, recording.odometry, strict=True):
            np.testing.assert_allclose(T, step.T_odom_camera, atol=1e-9)
    write_bag(tmp_path / "neither", camera, steps, in_map=False, odom="")
    recording = open_recording(tmp_path / "neither")
    assert recording.poses is None and recording.odometry is None and recording.read(0).T_map_camera is None


def test_odometry_beside_a_tf_of_the_truth_is_not_lost(walked, tmp_path):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, odom="beside")
    recording = open_recording(tmp_path / "bag")
    for step, pose, odometry in zip(steps, recording.poses, recording.odometry, strict=True):
        np.testing.assert_allclose(pose, step.T_map_camera, atol=1e-9)
        np.testing.assert_allclose(odometry, step.T_odom_camera, atol=1e-9)
    assert np.abs(np.array(recording.poses) - recording.odometry).max() > 1e-3, "the wheels drift"


def test_a_file_alone_is_a_recording(walked, tmp_path):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, "mcap")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    as_recorded(open_recording(file), steps)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    as_recorded(open_recording(tmp_path / "bag"), steps)


def two_cameras(folder, steps, depth_camera, T_color_depth=None, own_info=True, info_frame="depth"):
    """Depth of a camera of its own: the pixels do not matter here."""
    with BagWriter(folder) as bag:
        if T_color_depth is not None:
            bag.tf(steps[0].stamp, (T_color_depth, "color", "depth"), topic="/tf_static")
        for step in steps:
            bag.image("/cam/color/image_raw", step.stamp, "color", step.color, "bgr8")
            bag.info("/cam/color/camera_info", step.stamp, "color", Camera(320, 240, 160, 160, 159.5, 119.5))
            depth = np.full((depth_camera.height, depth_camera.width), 1.5, np.float32)
            depth[0, 0] = np.inf
            bag.image("/cam/depth/image_rect_raw", step.stamp, "depth", depth, "32FC1")
            if own_info:
                bag.info("/cam/depth/camera_info", step.stamp, info_frame, depth_camera)


def test_depth_of_another_camera_brings_its_calibration(walked, tmp_path):
    _, steps = walked
    depth_camera, T = Camera(160, 120, 90, 90, 80, 60), matrix_from_quaternion((0, 0, 0.1, 1), (-0.05, 0, 0))
    two_cameras(tmp_path / "both", steps, depth_camera, T)
    recording = open_recording(tmp_path / "both")
    assert recording.depth_camera == depth_camera and recording.camera.fx == 160
    np.testing.assert_allclose(recording.T_color_depth, T, atol=1e-9)
    frame = recording.read(1)
    np.testing.assert_array_equal(frame.color, steps[1].color[..., ::-1]), "bgr8"
    assert frame.depth.dtype == np.float32 and np.isnan(frame.depth[0, 0]) and frame.depth[5, 5] == 1.5
    # What is missing is said, and can be given.
    two_cameras(tmp_path / "no tf", steps, depth_camera)
    with pytest.raises(InputError, match="lacks TF from color to depth; give --calibration"):
        open_recording(tmp_path / "no tf")
    two_cameras(tmp_path / "no info", steps, depth_camera, T, own_info=False)
    with pytest.raises(InputError, match="lacks the depth camera's CameraInfo; give --calibration"):
        open_recording(tmp_path / "no info")
    two_cameras(tmp_path / "other info", steps, depth_camera, T, info_frame="infrared")
    with pytest.raises(InputError, match="lacks the depth camera's CameraInfo"):
        open_recording(tmp_path / "other info")
    given = Calibration(depth=(91.0, 91.0, 80.0, 60.0), translation=(-0.04, 0.0, 0.0))
    recording = open_recording(tmp_path / "no info", calibration=given)
    assert recording.depth_camera == Camera(160, 120, 91, 91, 80, 60)
    np.testing.assert_allclose(recording.T_color_depth[:3, 3], [-0.04, 0, 0])


def test_topics_are_found_or_named(walked, tmp_path):
    _, steps = walked
    step = steps[0]
    with BagWriter(tmp_path / "bag") as bag:
        for name in ("front", "rear"):
            bag.image(f"/{name}/rgb/image", step.stamp, "c", step.color, "rgb8")
            bag.info(f"/{name}/rgb/camera_info", step.stamp, "c", Camera(320, 240, 160, 160, 159.5, 119.5))
            bag.image(f"/{name}/depth_registered/image", step.stamp, "c", step.depth, "32FC1")
        bag.image("/rear/rgb/mask", step.stamp, "c", step.color, "rgb8")
    with pytest.raises(
        InputError, match=r"/front/rgb/image, /rear/rgb/image may all be the color image.*--color-topic"
    ):
        open_recording(tmp_path / "bag")
    topics = Topics(color="/rear/rgb/image", depth="/front/depth_registered/image")
    recording = open_recording(tmp_path / "bag", topics=topics)
    assert recording.topics.info == "/rear/rgb/camera_info"
    np.testing.assert_allclose(recording.read(0).depth, step.depth)
    with pytest.raises(InputError, match="no topic /left; there are: /front"):
        open_recording(tmp_path / "bag", topics=Topics(color="/left"))
    with pytest.raises(InputError, match="--info-topic takes"):
        open_recording(tmp_path / "bag", topics=Topics("/rear/rgb/image", topics.depth, "/rear/rgb/image"))


def test_depth_that_is_called_stereo_is_found_where_no_other_is():
    image, info = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
    oak = {"/oak/rgb/image_raw": image, "/oak/stereo/image_raw": image, "/oak/rgb/camera_info": info,
           "/oak/left/image_rect": image, "/stereo/right/image": image, "/oak/stereo/camera_info": info}  # fmt: skip
    found = choose(oak, Topics(), "bag")
    assert (found.color, found.depth) == ("/oak/rgb/image_raw", "/oak/stereo/image_raw")
    assert (found.info, found.depth_info) == ("/oak/rgb/camera_info", "/oak/stereo/camera_info")
    assert choose({**oak, "/oak/depth/image": image}, Topics(), "bag").depth == "/oak/depth/image"


def test_faults_are_said_before_the_start(walked, tmp_path):
    camera, steps = walked
    write_bag(tmp_path / "good", camera, steps)

    def refused(text, folder):
        with pytest.raises(InputError, match=text) as error:
            open_recording(folder)
        assert "\n" not in str(error.value)

    sizes = tmp_path / "sizes"
    with BagWriter(sizes) as bag:
        for step, stride in zip(steps, (1, 1, 2, 4), strict=True):
            bag.image("/color/image", step.stamp, "c", step.color, "rgb8")
            bag.image("/depth/image", step.stamp, "c", step.depth[::stride, ::stride], "32FC1")
    refused(r"2 of 4 frames cannot .*; the first: /depth/image at \d+.\d+ s: 160x120 32FC1 after 320x240 32FC1", sizes)
    other = tmp_path / "other"
    with BagWriter(other) as bag:
        bag.image("/color/image", steps[0].stamp, "c", steps[0].color[..., :2], "yuv411")
        bag.image("/depth/image", steps[0].stamp, "c", steps[0].depth, "32FC1")
    refused("/color/image is 'yuv411', which is not read; color is read from rgb8, bgr8, .*bayer_", other)
    apart = tmp_path / "apart"
    with BagWriter(apart) as bag:
        bag.image("/color/image", steps[0].stamp, "c", steps[0].color, "rgb8")
        bag.image("/depth/image", steps[1].stamp, "c", steps[0].depth, "32FC1")
    refused("colour and depth are 100 ms apart all along: --set camera.sync_slop=0.11", apart)
    only = tmp_path / "only"
    with BagWriter(only) as bag:
        bag.image("/color/image", steps[0].stamp, "c", steps[0].color, "rgb8")
    refused("no depth image among /color/image; name it: --depth-topic", only)
    broken = shutil.copytree(tmp_path / "good", tmp_path / "broken")
    (file,) = broken.glob("*.db3")
    file.write_bytes(b"no database at all " * 1000)
    refused("cannot be read as a rosbag2", broken)
    (broken / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 99}")
    refused("cannot be read as a rosbag2", broken)


def torn(good, folder, number):
    """The last of a good bag's depth messages cut short."""
    shutil.copytree(good, folder)
    (file,) = folder.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE messages SET data = substr(data, 1, 5000) WHERE id IN "
                         "(SELECT m.id FROM messages m JOIN topics t ON m.topic_id = t.id WHERE t.name = ? "
                         "ORDER BY m.id DESC LIMIT ?)", (ALIGNED, number))  # fmt: skip
    return folder


def test_a_torn_message_costs_its_frame_and_many_the_recording(walked, tmp_path):
    write_bag(tmp_path / "good", *walked)
    recording = open_recording(torn(tmp_path / "good", tmp_path / "one", 1))
    assert len(recording) == 3 and recording.losses.counts == {"damaged images": 1}
    text = r"2 of 4 frames cannot be used \(damaged images: 2\); the first: /camera.* bytes are no 320x240 16UC1"
    with pytest.raises(InputError, match=text):
        open_recording(torn(tmp_path / "good", tmp_path / "two", 2))


def test_frame_trees_climb_from_any_side():
    tree, T = FrameTree(), matrix_from_quaternion((0, 0, 0.1, 1), (1, 2, 3))
    tree.add("map", "odom", T)
    tree.add("odom", "/base", T)
    tree.add("base", "camera", T)
    np.testing.assert_allclose(tree.at("map", "camera", 0), T @ T @ T)
    np.testing.assert_allclose(tree.at("camera", "odom", 0) @ T @ T, np.eye(4), atol=1e-12)
    assert tree.at("map", "elsewhere", 0) is None and tree.at("elsewhere", "elsewhere", 0) is not None
    tree.add("camera", "map", T)
    assert tree.at("map", "nowhere", 0) is None, "a ring of frames ends"
