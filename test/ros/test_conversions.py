"""Records to messages and back, and what cannot be read."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from embodied_nav import frames  # noqa: E402
from embodied_nav.geometry import Camera, matrix_from_quaternion  # noqa: E402
from embodied_nav.nodes.ros import conversions as c  # noqa: E402

finite = st.floats(-50, 50, width=32)
words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20)


@st.composite
def poses(draw):
    q = np.array([draw(st.floats(-1, 1)) for _ in range(4)])
    if np.linalg.norm(q) < 0.1:
        q = np.array([0.0, 0.0, 0.0, 1.0])
    return matrix_from_quaternion(q, [draw(finite) for _ in range(3)])


@given(st.integers(0, 2**31 * 1_000_000_000 - 1))
def test_stamps(ns):
    assert c.stamp_ns(c.time_msg(ns)) == ns


@given(poses())
def test_poses(T):
    np.testing.assert_allclose(c.matrix_from_pose(c.pose_msg(T)), T, atol=1e-12)
    message = c.transform_msg(T, 5, "map", "odom")
    np.testing.assert_allclose(c.matrix_from_transform(message.transform), T, atol=1e-12)


@given(poses())
def test_rotations_are_those_of_tf_transformations(T):
    tft = pytest.importorskip("tf_transformations")
    q = c.pose_msg(T).orientation
    np.testing.assert_allclose(tft.quaternion_matrix((q.x, q.y, q.z, q.w))[:3, :3], T[:3, :3], atol=1e-9)
    theirs = np.array(tft.quaternion_from_matrix(T))
    assert abs(theirs @ (q.x, q.y, q.z, q.w)) == pytest.approx(1.0, abs=1e-9), "up to the sign, which turns nothing"


def test_a_pose_without_direction_is_nan():
    """tf_transformations would take it for no rotation at all, and who sends it for a robot that looks ahead."""
    message = c.pose_msg(np.eye(4))
    message.orientation.w = 0.0
    assert np.isnan(c.matrix_from_pose(message)).all()


@pytest.mark.parametrize(
    "encoding, shape", [("rgb8", (4, 6, 3)), ("32FC1", (4, 6)), ("16UC1", (4, 6)), ("32SC1", (4, 6))]
)
def test_images(encoding, shape):
    dtype = {"rgb8": np.uint8, "32FC1": np.float32, "16UC1": np.uint16, "32SC1": np.int32}[encoding]
    image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    message = c.image_msg(image, encoding, c.header(1, "camera"))
    np.testing.assert_array_equal(c.image_array(message), image)
    padded = c.image_msg(image, encoding, c.header(1, "camera"))
    rows = np.frombuffer(bytes(padded.data), np.uint8).reshape(shape[0], -1)
    padded.data = np.pad(rows, ((0, 0), (0, 8))).ravel().tobytes()
    padded.step += 8
    np.testing.assert_array_equal(c.image_array(padded), image)
    swapped = c.image_msg(image, encoding, c.header(1, "camera"))
    swapped.data, swapped.is_bigendian = image.astype(image.dtype.newbyteorder(">")).tobytes(), 1
    np.testing.assert_array_equal(c.image_array(swapped), image)


def test_colours_and_depths():
    image = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    message = c.image_msg(image, "rgb8", c.header(1, ""))
    message.encoding = "bgr8"
    np.testing.assert_array_equal(c.color_array(message), image[..., ::-1])
    millimetres = np.array([[0, 1000, 65535, 1234]], dtype=np.uint16)
    depth = c.depth_array(c.image_msg(millimetres, "16UC1", c.header(1, "")))
    np.testing.assert_array_equal(depth, np.array([[np.nan, 1.0, np.nan, 1.234]], np.float32))
    metres = np.array([[0.0, 1.5, np.inf, np.nan, -1.0]], dtype=np.float32)
    depth = c.depth_array(c.image_msg(metres, "32FC1", c.header(1, "")))
    np.testing.assert_array_equal(depth, np.array([[np.nan, 1.5, np.nan, np.nan, np.nan]], np.float32))


def test_what_cannot_be_read_says_so():
    message = c.image_msg(np.zeros((4, 6), np.float32), "32FC1", c.header(1, ""))
    for change, read, fault in (
        ({"encoding": "yuv422"}, c.image_array, "encoding"),
        ({"encoding": "32FC1"}, c.color_array, "encoding"),
        ({"encoding": "rgb8"}, c.depth_array, "encoding"),
        ({"height": 5}, c.depth_array, "size"),
        ({"step": 3}, c.depth_array, "size"),
    ):
        spoiled = c.image_msg(np.zeros((4, 6), np.float32), "32FC1", c.header(1, ""))
        for name, value in change.items():
            setattr(spoiled, name, value)
        with pytest.raises(c.BadMessage) as error:
            read(spoiled)
        assert error.value.fault == fault
    assert c.depth_array(message).shape == (4, 6)
    info = c.camera_info_msg(Camera.from_hfov(64, 48, 1.5), c.header(1, ""))
    assert c.camera_from_msg(info) == Camera.from_hfov(64, 48, 1.5)
    info.width = 10
    with pytest.raises(c.BadMessage):
        c.camera_from_msg(info)


def observation(draw):
    return frames.ObjectObservation(
        draw(words),
        draw(words),
        0.5,
        np.array([draw(finite) for _ in range(3)]),
        np.ones(3),
        draw(st.just((1, 2, 3, 4))),
    )


@given(st.data())
def test_deltas(data):
    objects = tuple(observation(data.draw) for _ in range(data.draw(st.integers(0, 3))))
    segments = np.arange(12, dtype=np.uint16).reshape(3, 4)
    delta = frames.SemanticDelta(
        7,
        data.draw(st.integers(-1, 6)),
        123,
        "x",
        data.draw(words),
        objects,
        objects[:1],
        stale=True,
        segments=segments,
    )
    back = c.delta_from_msg(c.delta_msg(delta, "map"))
    assert (back.keyframe_id, back.previous_id, back.stamp, back.stale) == (7, delta.previous_id, 123, True)
    assert [(o.name, o.box, o.position.tolist()) for o in back.objects] == [
        (o.name, o.box, o.position.tolist()) for o in objects
    ]
    assert len(back.new) == len(objects[:1]) and back.gone == ()
    np.testing.assert_array_equal(back.segments, segments)


def test_keyframes_with_and_without_images():
    camera = Camera.from_hfov(6, 4, 1.5)
    color, depth = np.zeros((4, 6, 3), np.uint8), np.full((4, 6), 2.0, np.float32)
    for one in ({"color": color, "depth": depth}, {"color": color}, {"depth": depth}):
        keyframe = frames.Keyframe(3, frames.RGBDFrame(9, camera, np.eye(4), **one), math.nan, 0, "first")
        back = c.keyframe_from_msg(c.keyframe_msg(keyframe, "map", "optical"))
        assert (back.id, back.reason, back.frame.stamp, back.frame.camera) == (3, "first", 9, camera)
        assert (back.frame.color is None, back.frame.depth is None) == ("color" not in one, "depth" not in one)


def test_grids_objects_clouds_paths_and_commands():
    data = np.array([[-1, 0], [100, 0], [0, 0]], np.int8)
    grid = frames.OccupancyGrid(data, 0.05, (-1.25, 3.0), 77)
    back = c.grid_from_msg(c.grid_msg(grid, 77, "map"))
    assert (back.resolution, back.origin, back.stamp) == (0.05, (-1.25, 3.0), 77)
    np.testing.assert_array_equal(back.data, data)

    thing = frames.MemoryObject(4, "sofa", "red", np.array([1, 2, 3.0]), np.ones(3), 0.9, 50, 1, 2, 3, "gone")
    (again,) = c.objects_from_msg(c.objects_msg((thing,), c.header(5, "map")))
    assert (again.id, again.name, again.confidence, again.status) == (4, "red sofa", 0.9, "gone")

    positions, colors = np.array([[1, 2, 3]], np.float32), np.array([[255, 128, 1]], np.uint8)
    cloud = c.cloud_msg(positions, colors, np.array([6], np.int32), np.array([2.5], np.float32), c.header(5, "map"))
    points = c.cloud_arrays(cloud)
    assert points[0].item() == (1.0, 2.0, 3.0, 0xFF8001, 6, 2.5)

    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    message = c.path_msg(path, 5, "map")
    np.testing.assert_array_equal(c.path_array(message), path)
    assert c.path_array(c.path_msg(np.empty((0, 2)), 5, "map")).shape == (0, 2)
    headings = [2 * math.atan2(p.pose.orientation.z, p.pose.orientation.w) for p in message.poses]
    np.testing.assert_allclose(headings, [0.0, math.pi / 2, math.pi / 2])

    assert c.velocity_from_twist(c.twist_msg(frames.Velocity(0.3, -0.2))) == frames.Velocity(0.3, -0.2)
    with pytest.raises(c.BadMessage):
        c.velocity_from_twist(c.twist_msg(frames.Velocity(math.nan, 0.0)))
