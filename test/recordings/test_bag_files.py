"""Bags as recorders, disks and people leave them: cut, without metadata, compressed, of ROS 1."""

import shutil
import sqlite3
import struct
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: embodied-nav doctor says how to get it")
sys.path.append(str(Path(__file__).parent))
from recorder import walk, write_bag

from embodied_nav.errors import InputError
from embodied_nav.recordings import found_format, open_recording
from embodied_nav.recordings.bag_repair import cut_page, whole_pages


@pytest.fixture(scope="module")
def walked():
    return walk(6)


def same(recording, steps):
    """Frames and poses are those that were recorded."""
    assert recording.stamps == [step.stamp for step in steps]
    for index, step in enumerate(steps):
        frame = recording.read(index)
        np.testing.assert_array_equal(frame.color, step.color)
        np.testing.assert_allclose(frame.depth / 1000, np.nan_to_num(step.depth), atol=5.01e-4)
        np.testing.assert_allclose(frame.T_map_camera, step.T_map_camera, atol=1e-9)


def only_file(folder, pattern):
    (file,) = folder.glob(pattern)
    return file


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_bag_without_metadata_is_read(walked, tmp_path, storage):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, storage)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    same(open_recording(tmp_path / "bag"), steps)
    (tmp_path / "bag" / "metadata.yaml").write_text("this: [is no metadata")
    recording = open_recording(tmp_path / "bag")
    same(recording, steps)
    assert any("metadata.yaml: is not used" in note for note in recording.notes)


@pytest.mark.parametrize("compression", ["FILE", "MESSAGE"])
def test_a_compressed_bag_without_metadata_is_read(walked, tmp_path, compression):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, compression=compression)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    assert found_format(tmp_path / "bag") == "rosbag2"
    same(open_recording(tmp_path / "bag"), steps)
    if compression == "FILE":
        file = only_file(tmp_path / "bag", "*.zstd")
        same(open_recording(file), steps)
        file.write_bytes(file.read_bytes()[:-1000])
        cut = open_recording(tmp_path / "bag")
        assert 3 <= len(cut) <= 6 and any("is cut short" in note for note in cut.notes)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_parts_of_one_recording_are_read_in_the_order_of_their_numbers(walked, tmp_path, storage):
    camera, steps = walked
    split = tmp_path / "split"
    split.mkdir()
    ending = {"sqlite3": "db3", "mcap": "mcap"}[storage]
    for number, part in ((2, steps[:3]), (10, steps[3:])):
        write_bag(tmp_path / f"{number}", camera, part, storage)
        shutil.copy(only_file(tmp_path / f"{number}", f"*.{ending}"), split / f"rec_{number}.{ending}")
    same(open_recording(split), steps)
    shutil.copy(split / f"rec_10.{ending}", split / f"other_3.{ending}")
    with pytest.raises(InputError, match=r"holds several recordings \(other_3.*rec_10.*\); give one of these files"):
        open_recording(split)
    same(open_recording(split / f"rec_2.{ending}"), steps[:3])


def test_a_part_that_was_not_copied_is_named_and_the_others_are_read(walked, tmp_path):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps)
    metadata = tmp_path / "bag" / "metadata.yaml"
    name = only_file(tmp_path / "bag", "*.db3").name
    metadata.write_text(metadata.read_text().replace(f"- {name}", f"- {name}\n  - bag_1.db3", 1))
    recording = open_recording(tmp_path / "bag")
    same(recording, steps)
    assert any("bag_1.db3" in note for note in recording.notes)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.99, 0.9999])
def test_an_mcap_file_that_was_not_closed_is_read_up_to_there(walked, tmp_path, share):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, "mcap")
    (tmp_path / "bag" / "metadata.yaml").unlink()
    file = only_file(tmp_path / "bag", "*.mcap")
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    recording = open_recording(tmp_path / "bag")
    assert int(share * len(steps)) - 2 <= len(recording) <= len(steps)
    same(recording, steps[: len(recording)])
    assert any("was not closed by its recorder" in note for note in recording.notes)
    file.write_bytes(file.read_bytes() + bytes(5000))  # a disk that lost power
    same(open_recording(file), steps[: len(recording)])


def test_an_mcap_file_without_chunks_that_was_not_closed_is_read(walked, tmp_path):
    """As rosbag2's preset fastwrite records; topics are not in the order of time among each other."""
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps, "mcap")
    file = only_file(tmp_path / "bag", "*.mcap")
    data, at, parts = file.read_bytes(), 8, [b"\x89MCAP0\r\n"]
    while data[at] in (1, 6, 7):
        (length,) = struct.unpack_from("<Q", data, at + 1)
        if data[at] == 1:
            parts.append(data[at : at + 9 + length])
        elif data[at] == 6:
            parts.append(data[at + 9 + 40 : at + 9 + length])  # not compressed: its records as they are
        at += 9 + length
    alone = tmp_path / "alone.mcap"
    alone.write_bytes(b"".join(parts)[:-1000])
    recording = open_recording(alone)
    assert len(recording) >= len(steps) - 1
    same(recording, steps[: len(recording)])


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_database_that_was_cut_is_read_up_to_there(walked, tmp_path, share):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps)
    file = only_file(tmp_path / "bag", "*.db3")
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    recording = open_recording(tmp_path / "bag")
    assert int(share * len(steps)) - 1 <= len(recording) < len(steps)
    same(recording, steps[: len(recording)])
    assert any("is damaged" in note and "messages of it are read" in note for note in recording.notes)
    before = sorted(p.name for p in (tmp_path / "bag").iterdir())
    assert before == sorted([file.name, "metadata.yaml"]), "nothing is written beside it"


def _write_tiny(folder, camera, steps):
    """A bag of pictures of 32x24, each within one page of SQLite, with the last depth image at its end.

    Returns its file and the steps so cut.
    """
    cut = [replace(s, color=s.color[-24:, -32:].copy(), depth=s.depth[-24:, -32:].copy()) for s in steps]
    write_bag(folder, replace(camera, width=32, height=24, cx=16.0, cy=12.0), cut)
    file = only_file(folder, "*.db3")
    names = ("/camera/aligned_depth_to_color/image_raw", "/camera/infra1/image_rect_raw")  # of the same pixels
    with closing(sqlite3.connect(file)) as database:
        for old, new in ((names[0], "-"), names[::-1], ("-", names[1])):
            database.execute("UPDATE topics SET name = ? WHERE name = ?", (new, old))
        database.commit()
    return file, cut


@pytest.mark.parametrize("metadata", [True, False], ids=["with metadata", "without"])
@pytest.mark.parametrize("missing", [50, 1000, 3000])
def test_a_database_whose_last_page_was_cut_gives_no_picture_with_a_blank_end(walked, tmp_path, missing, metadata):
    """SQLite itself fills what is missing of a page with zeros, and says nothing."""
    file, steps = _write_tiny(tmp_path / "bag", *walked)
    file.write_bytes(file.read_bytes()[:-missing])
    if not metadata:
        (tmp_path / "bag" / "metadata.yaml").unlink()
    recording = open_recording(tmp_path / "bag")
    same(recording, steps[:-1])
    assert any("is damaged" in note and "messages of it are read" in note for note in recording.notes)


def test_a_cut_database_is_copied_once(walked, tmp_path, monkeypatch):
    file, steps = _write_tiny(tmp_path / "bag", *walked)
    file.write_bytes(file.read_bytes()[:-50])
    copied, copy = [], shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", lambda a, b: copied.append(a) or copy(a, b))
    same(open_recording(file), steps[:-1])
    assert copied == [file]


@pytest.mark.parametrize("size", [512, 4096, 65536])
def test_the_last_page_is_cut_where_the_size_is_no_multiple_of_a_pages(tmp_path, size):
    file = tmp_path / "some.db3"
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA page_size = {size}")
        database.execute("CREATE TABLE words (word TEXT)")
    data = file.read_bytes()
    assert cut_page(file) == 0 and whole_pages(file, tmp_path) == file
    file.write_bytes(data[:-7])
    assert cut_page(file) == size - 7 and whole_pages(file, tmp_path).read_bytes() == data[:-size]


@pytest.mark.parametrize(
    "head", [b"", b"SQLite", b"no database: its bytes are no size of a page", b"SQLite format 3\0" + bytes(9)]
)
def test_of_what_is_no_database_no_page_is_cut(tmp_path, head):
    file = tmp_path / "some.db3"
    file.write_bytes(head + b"x" * 1000)
    assert cut_page(file) == 0 and whole_pages(file, tmp_path) == file
    assert [p.name for p in tmp_path.iterdir()] == ["some.db3"]


def test_what_a_killed_recorder_left_in_its_journal_is_read(walked, tmp_path):
    camera, steps = walked
    write_bag(tmp_path / "bag", camera, steps)
    file = only_file(tmp_path / "bag", "*.db3")
    killed = tmp_path / "killed"
    killed.mkdir()
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        rows = database.execute("SELECT * FROM messages").fetchall()
        database.execute("DELETE FROM messages")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
        database.commit()
        for end in ("", "-wal"):
            shutil.copy(f"{file}{end}", f"{killed / file.name}{end}")
    same(open_recording(killed), steps)


@pytest.mark.parametrize("compression", ["", "BZ2", "LZ4"])
def test_a_bag_of_ros_1_is_read(walked, tmp_path, compression):
    camera, steps = walked
    write_ros1(tmp_path / "run.bag", camera, steps, compression)
    assert found_format(tmp_path / "run.bag") == "rosbag1"
    for place in (tmp_path / "run.bag", tmp_path):
        recording = open_recording(place)
        same(recording, steps)
        assert recording.camera == camera


def test_a_bag_of_ros_1_that_cannot_be_read_says_what_mends_it(walked, tmp_path):
    camera, steps = walked
    write_ros1(tmp_path / "run.bag", camera, steps)
    data = (tmp_path / "run.bag").read_bytes()
    at = data.index(b"index_pos=") + len(b"index_pos=")
    (tmp_path / "run.bag").write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    with pytest.raises(InputError, match=r"run.bag: cannot be read.*not indexed.*rosbag reindex run.bag"):
        open_recording(tmp_path)
    (tmp_path / "run.bag").write_bytes(b"#ROSBAG V2.0\n" + bytes(5000))
    with pytest.raises(InputError, match=r"run.bag: cannot be read as a ROS 1 bag"):
        open_recording(tmp_path)


def write_ros1(path, camera, steps, compression=""):
    """As ROS 1 records: Header with a number, CameraInfo with capitals, TF by two publishers."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    from embodied_nav.geometry import quaternion_from_matrix

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))

    def make(name, **fields):
        return store.types[name.replace("/", "/msg/")](**fields)

    writer = Writer(path)
    if compression:
        writer.set_compression(Writer.CompressionFormat[compression])
    connections = {}
    with writer:

        def put(topic, message, ns, publisher=0):
            key = (topic, publisher)
            if key not in connections:
                kind = message.__msgtype__
                connections[key] = writer.add_connection(topic, kind, typestore=store, callerid=f"/node{publisher}")
            writer.write(connections[key], ns, store.serialize_ros1(message, message.__msgtype__))

        def header(ns, frame):
            stamp = make("builtin_interfaces/Time", sec=ns // 10**9, nanosec=ns % 10**9)
            return make("std_msgs/Header", seq=7, stamp=stamp, frame_id=frame)

        def tf(ns, T, parent, child):
            x, y, z, w = quaternion_from_matrix(T).tolist()
            transform = make(
                "geometry_msgs/Transform",
                translation=make("geometry_msgs/Vector3", x=T[0, 3], y=T[1, 3], z=T[2, 3]),
                rotation=make("geometry_msgs/Quaternion", x=x, y=y, z=z, w=w),
            )
            stamped = make("geometry_msgs/TransformStamped", header=header(ns, parent), child_frame_id=child,
                           transform=transform)  # fmt: skip
            return make("tf2_msgs/TFMessage", transforms=[stamped])

        def image(ns, pixels, encoding):
            data = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
            return make("sensor_msgs/Image", header=header(ns, "optical"), height=pixels.shape[0],
                        width=pixels.shape[1], encoding=encoding, is_bigendian=0, step=data.shape[1],
                        data=data.ravel())  # fmt: skip

        roi = make("sensor_msgs/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        for step in steps:
            put("/tf", tf(step.stamp, step.T_base_camera, "base", "optical"), step.stamp, 1)
            put("/tf", tf(step.stamp, step.T_map_camera @ np.linalg.inv(step.T_base_camera), "/world", "base"),
                step.stamp, 2)  # fmt: skip
            info = make("sensor_msgs/CameraInfo", header=header(step.stamp, "optical"), height=camera.height,
                        width=camera.width, distortion_model="plumb_bob", D=np.zeros(5), K=camera.K.ravel(),
                        R=np.eye(3).ravel(), P=np.column_stack([camera.K, np.zeros(3)]).ravel(), binning_x=0,
                        binning_y=0, roi=roi)  # fmt: skip
            put("/camera/rgb/camera_info", info, step.stamp)
            put("/camera/rgb/image_color", image(step.stamp, step.color, "rgb8"), step.stamp)
            millimetres = np.rint(np.nan_to_num(step.depth * 1000)).astype(np.uint16)
            put("/camera/depth_registered/image", image(step.stamp, millimetres, "16UC1"), step.stamp)
