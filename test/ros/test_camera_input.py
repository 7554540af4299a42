"""What comes on the camera's topics becomes frames: unaligned depth, compressed images, and what must be refused."""

import array
import struct
import time
from collections import Counter

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros

rclpy = pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from embodied_nav.geometry import Camera, matrix_from_quaternion  # noqa: E402
from embodied_nav.geometry.lens import Lens  # noqa: E402
from embodied_nav.geometry.registration import Registration, RegistrationConfig, registered_depth  # noqa: E402
from embodied_nav.nodes.ros import camera_input, camera_stream, qos, tf_lookup  # noqa: E402
from embodied_nav.nodes.ros.compressed_images import color_from_compressed, depth_from_compressed  # noqa: E402
from embodied_nav.nodes.ros.conversions import (  # noqa: E402
    BadMessage,
    camera_info_msg,
    color_array,
    header,
    image_msg,
    transform_msg,
)
from embodied_nav.nodes.ros.optics import COLOR as COLOR_TOPIC  # noqa: E402
from embodied_nav.nodes.ros.optics import DEPTH as DEPTH_TOPIC  # noqa: E402
from embodied_nav.nodes.ros.optics import INFO as INFO_TOPIC  # noqa: E402
from embodied_nav.nodes.ros.optics import Optics, TransportConfig, depth_metres  # noqa: E402

COLOR = Camera(160, 120, 130.0, 130.0, 80.5, 59.0)
DEPTH = Camera(128, 96, 115.0, 115.0, 63.0, 48.5)
T_COLOR_DEPTH = matrix_from_quaternion((0.0, 0.01, 0.0, 1.0), (-0.04, 0.0, 0.005))
T_MAP_COLOR = matrix_from_quaternion((-0.5, 0.5, -0.5, 0.5), (1.0, 2.0, 0.6))


@pytest.fixture
def listen(ros_domain):
    """Starts a node with a camera input of the given parameters; gives it, what it made of frames, and a driver."""
    from rclpy.executors import SingleThreadedExecutor

    from embodied_nav.nodes.ros.lifecycle import AgentNode
    from embodied_nav.nodes.ros.tf_lookup import Transforms

    class Listener(AgentNode):
        def __init__(self):
            super().__init__("listener")

        def configure(self):
            self.frames, self.refused = [], []
            self.camera = camera_input.CameraInput(self, Transforms(self), self.frames.append, self.refused.append)

        def cleanup(self):
            self.camera.close()

    made = []

    def start(remap=(), **parameters):
        given = [f"{name.replace('__', '.')}:={value}" for name, value in parameters.items()]
        words = [*(word for value in given for word in ("-p", value)), *(word for r in remap for word in ("-r", r))]
        rclpy.init(args=["--ros-args", *words])
        listener, driver = Listener(), rclpy.create_node("driver")
        listener.start()
        executor = SingleThreadedExecutor()
        executor.add_node(listener)
        executor.add_node(driver)
        made.append((executor, listener, driver))
        return listener, Driver(driver, executor)

    yield start
    for executor, listener, driver in made:
        listener.stop()
        executor.shutdown()
        listener.destroy_node()
        driver.destroy_node()
    rclpy.try_shutdown()


class Driver:
    """A camera driver with whatever topics; sends until it is heard."""

    def __init__(self, node, executor):
        import tf2_ros

        self.node, self.executor, self.publishers = node, executor, {}
        self.tf = tf2_ros.StaticTransformBroadcaster(node)
        self.stamp = time.time_ns()

    def transforms(self, *transforms):
        self.tf.sendTransform([transform_msg(T, 0, parent, child) for T, parent, child in transforms])

    def head(self, frame="color"):
        return header(self.stamp, frame)

    def until(self, done, *messages, timeout=15.0):
        """Sends (message, topic) pairs with ever newer stamps until something is so."""
        end = time.monotonic() + timeout
        while not done() and time.monotonic() < end:
            self.stamp = time.time_ns()
            for message, topic in messages:
                if topic not in self.publishers:
                    self.publishers[topic] = self.node.create_publisher(type(message), topic, qos.sensor())
                message.header.stamp = header(self.stamp, "").stamp
                self.publishers[topic].publish(message)
            for _ in range(10):
                self.executor.spin_once(timeout_sec=0.01)
        return done()


def scene():
    """Something to see: colour of the colour camera, depth of the depth camera, a box before a slanted wall."""
    color = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    depth = np.tile(np.linspace(2.0, 2.4, DEPTH.width, dtype=np.float32), (DEPTH.height, 1))
    depth[30:60, 40:80] = 1.2
    depth[0, 0] = np.nan
    return color, depth


def compressed(image, format, suffix, settings=b"", frame="color"):
    message = CompressedImage(format=format)
    message.header.frame_id = frame
    message.data = array.array("B", settings + cv2.imencode(suffix, image)[1].tobytes())
    return message


def test_unaligned_depth_is_brought_to_colour_by_its_info_and_tf(listen):
    listener, driver = listen()
    color, depth = scene()
    pair = [
        (image_msg(color, "rgb8", driver.head("color")), COLOR_TOPIC),
        (camera_info_msg(COLOR, driver.head("color")), INFO_TOPIC),
        (image_msg(depth, "32FC1", driver.head("depth")), DEPTH_TOPIC),
    ]
    driver.transforms((T_MAP_COLOR, "map", "color"), (T_COLOR_DEPTH, "color", "depth"))
    counts = listener.diagnostics.counts
    refused = lambda: counts["refused_no_depth_info"] >= 2 and len(listener.refused) >= 2  # noqa: E731
    assert driver.until(refused, *pair), "never guessed"
    assert listener.frames == []
    # Somebody else's camera info under this name does not count.
    foreign = camera_info_msg(COLOR, driver.head("infrared"))
    before = counts["refused_no_depth_info"]
    assert driver.until(
        lambda: counts["refused_no_depth_info"] >= before + 3, *pair, (foreign, camera_stream.DEPTH_INFO)
    )
    own = camera_info_msg(DEPTH, driver.head("depth"))
    assert driver.until(lambda: listener.frames, *pair, (own, camera_stream.DEPTH_INFO))
    frame = listener.frames[-1]
    assert frame.camera == COLOR
    np.testing.assert_allclose(frame.T_map_camera, T_MAP_COLOR, atol=1e-12)
    np.testing.assert_array_equal(frame.color, color)
    np.testing.assert_array_equal(frame.depth, registered_depth(depth, DEPTH, COLOR, T_COLOR_DEPTH))


def test_the_settings_can_say_it_without_tf_and_info(listen):
    listener, driver = listen(
        registration__translation=[-0.04, 0.0, 0.0], registration__depth_intrinsics=[115.0, 115.0, 63.0, 48.5]
    )
    color, depth = scene()
    driver.transforms((T_MAP_COLOR, "map", "color"))
    messages = [
        (image_msg(color, "rgb8", driver.head("color")), COLOR_TOPIC),
        (camera_info_msg(COLOR, driver.head("color")), INFO_TOPIC),
        (image_msg(depth, "32FC1", driver.head("depth")), DEPTH_TOPIC),
    ]
    assert driver.until(lambda: listener.frames, *messages)
    T = matrix_from_quaternion((0, 0, 0, 1), (-0.04, 0, 0))
    np.testing.assert_array_equal(listener.frames[0].depth, registered_depth(depth, DEPTH, COLOR, T))


def test_registered_depth_is_left_alone_beside_the_raw_cameras_info(listen):
    """A driver that aligns depth and goes on telling about the raw depth's camera."""
    listener, driver = listen()
    color, _ = scene()
    depth = np.full((COLOR.height, COLOR.width), 1.5, np.float32)
    driver.transforms((T_MAP_COLOR, "map", "color"))
    messages = [
        (camera_info_msg(DEPTH, driver.head("depth")), camera_stream.DEPTH_INFO),
        (image_msg(color, "rgb8", driver.head("color")), COLOR_TOPIC),
        (camera_info_msg(COLOR, driver.head("color")), INFO_TOPIC),
        (image_msg(depth, "32FC1", driver.head("color")), DEPTH_TOPIC),
    ]
    assert driver.until(lambda: len(listener.frames) >= 3, *messages)
    np.testing.assert_array_equal(listener.frames[-1].depth, depth)


def test_compressed_images_over_dds_and_their_faults(listen):
    listener, driver = listen(camera__color_transport="compressed", camera__depth_transport="compressedDepth")
    color, _ = scene()
    millimetres = np.random.default_rng(2).integers(500, 4000, (COLOR.height, COLOR.width)).astype(np.uint16)
    millimetres[5, 5] = 0
    driver.transforms((T_MAP_COLOR, "map", "color"))
    info = (camera_info_msg(COLOR, driver.head()), INFO_TOPIC)
    color_topic, depth_topic = f"{COLOR_TOPIC}/compressed", f"{DEPTH_TOPIC}/compressedDepth"
    good_color = (compressed(color[..., ::-1], "rgb8; png compressed bgr8", ".png"), color_topic)
    good_depth = (compressed(millimetres, "16UC1; compressedDepth png", ".png", bytes(12)), depth_topic)
    assert driver.until(lambda: listener.frames, info, good_color, good_depth)
    frame = listener.frames[-1]
    np.testing.assert_array_equal(frame.color, color)
    np.testing.assert_allclose(frame.depth, np.where(millimetres, millimetres / 1000, np.nan), rtol=1e-6)
    counts = listener.diagnostics.counts
    for spoil in (lambda data: data[: len(data) // 2], lambda data: data[:7], lambda data: array.array("B")):
        for whole, other in ((good_color, good_depth), (good_depth, good_color)):
            bad = CompressedImage(header=whole[0].header, format=whole[0].format, data=spoil(whole[0].data))
            before = counts["refused_undecodable"]
            assert driver.until(
                lambda before=before: counts["refused_undecodable"] > before, info, (bad, whole[1]), other
            )
    driver.until(lambda: False, timeout=0.3)  # what is still on its way
    taken = len(listener.frames)
    assert driver.until(lambda: len(listener.frames) > taken, info, good_color, good_depth), "good ones go on"


def test_jpeg_and_quantised_depth_come_out_as_they_went_in():
    smooth = np.stack(np.broadcast_arrays(np.arange(160)[None, :], np.arange(120)[:, None], 90), -1).astype(np.uint8)
    jpeg = compressed(smooth[..., ::-1], "rgb8; jpeg compressed bgr8", ".jpg")
    assert np.abs(color_from_compressed(jpeg).astype(int) - smooth).max() < 12
    swapped = compressed(smooth, "rgb8; png compressed rgb8", ".png")
    np.testing.assert_array_equal(color_from_compressed(swapped), smooth)
    # image_transport's 32FC1: value = A / depth + B with A = z0 (z0 + 1), B = 1 - A / far.
    depth = np.linspace(0.4, 9.0, 160 * 120, dtype=np.float32).reshape(120, 160)
    a, far = 100.0 * 101.0, 10.0
    b = 1.0 - a / far
    values = (a / depth + b).astype(np.uint16)
    values[3, 3] = 0
    message = compressed(values, "32FC1; compressedDepth png", ".png", struct.pack("<iff", 0, a, b))
    found = depth_from_compressed(message)
    assert np.isnan(found[3, 3]) and np.isfinite(found).sum() == found.size - 1
    step = depth**2 / a  # what one count is worth
    assert (np.abs(found - depth) <= 1.01 * step + 1e-4)[np.isfinite(found)].all()
    for format in ("16UC1; compressedDepth zstd", "8UC1; compressedDepth png"):
        with pytest.raises(BadMessage) as refused:
            depth_from_compressed(CompressedImage(format=format, data=message.data))
        assert refused.value.fault == "encoding"
    with pytest.raises(BadMessage) as refused:
        depth_from_compressed(compressed(smooth, "16UC1; compressedDepth png", ".png", bytes(12)))
    assert refused.value.fault == "undecodable"
    with pytest.raises(BadMessage) as refused:
        color_from_compressed(CompressedImage(format="jpeg", data=jpeg.data[: len(jpeg.data) - 300]))
    assert refused.value.fault == "undecodable", "half a JPEG decodes to half a picture"
    assert color_array(image_msg(smooth, "rgb8", header(0, ""))).shape == smooth.shape


D = (-0.3, 0.1, 0.001, -0.001, 0.0)


def raw_info(head, d=D, k=(130.0, 130.0, 80.5, 59.0), p=(120.0, 121.0, 79.0, 60.0)):
    """A driver's camera info of raw images."""
    info = camera_info_msg(COLOR, head)
    info.d = list(d)
    info.k = [k[0], 0.0, k[2], 0.0, k[1], k[3], 0.0, 0.0, 1.0]
    info.p = [p[0], 0.0, p[2], 0.0, 0.0, p[1], p[3], 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def test_zeros_are_waited_out_and_distortion_is_taken_out_of_colour_and_depth(listen):
    listener, driver = listen()
    color, _ = scene()
    depth = np.tile(np.linspace(1.0, 3.0, COLOR.width, dtype=np.float32), (COLOR.height, 1))
    driver.transforms((T_MAP_COLOR, "map", "color"))
    images = [
        (image_msg(color, "rgb8", driver.head()), COLOR_TOPIC),
        (image_msg(depth, "32FC1", driver.head()), DEPTH_TOPIC),
    ]
    counts = listener.diagnostics.counts
    zero = (raw_info(driver.head(), (), (0.0,) * 4, (0.0,) * 4), INFO_TOPIC)
    assert driver.until(lambda: counts["refused_uncalibrated"] >= 3, zero, *images)
    assert listener.frames == [] and len(listener.refused) >= 3
    good = raw_info(driver.head())
    assert driver.until(lambda: listener.frames, (good, INFO_TOPIC), *images)
    view = Lens.of(good).view((COLOR.width, COLOR.height), rectified=False)
    frame = listener.frames[-1]
    assert frame.camera == view.camera == Camera(160, 120, 120.0, 121.0, 79.0, 60.0)
    np.testing.assert_array_equal(frame.color, view.color(color))
    np.testing.assert_array_equal(frame.depth, view.depth(depth))
    assert (frame.color != color).mean() > 0.3
    zoomed = (raw_info(driver.head(), k=(150.0, 150.0, 80.5, 59.0), p=(150.0, 150.0, 80.5, 59.0)), INFO_TOPIC)
    assert driver.until(lambda: listener.frames[-1].camera.fx == 150.0, zoomed, *images)
    assert counts["calibration_changed"] >= 1


@pytest.fixture
def optics(ros_domain):
    """What a node makes of images, without a graph."""
    made = []

    def make(remap=(), registration=None, **transport):
        rclpy.init(args=["--ros-args", *(word for r in remap for word in ("-r", r))])
        node = rclpy.create_node("looker")
        made.append(node)
        told = Registration(RegistrationConfig(**(registration or {})))
        return Optics(node, TransportConfig(**transport), told, Counter())

    yield make
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("remap", "given", "rectified"),
    [((), "auto", False), (("camera/color/image_raw:=/cam/image_rect_color",), "auto", True),
     (("camera/color/image_raw:=/cam/image",), "auto", False), ((), "true", True),
     (("camera/color/image_raw:=/cam/image_rect_color",), "false", False)],
)  # fmt: skip
def test_the_topics_name_or_the_setting_says_what_is_rectified(optics, remap, given, rectified):
    looking = optics(remap, rectified=given)
    color, _ = scene()
    depth = np.full((COLOR.height, COLOR.width), 1.5, np.float32)
    info = raw_info(header(1, "color"))
    pixels, camera, told = looking.color(image_msg(color, "rgb8", header(1, "color")), info)
    metres, depth_camera, own = looking.depth(image_msg(depth, "32FC1", header(1, "color")), info, None)
    assert camera == told == depth_camera == Camera(160, 120, 120.0, 121.0, 79.0, 60.0) and not own
    assert (pixels is not color and np.array_equal(pixels, color)) == rectified
    assert np.isnan(metres).any() == (not rectified)


def test_the_settings_mend_a_camera_that_knows_nothing_of_itself(optics):
    looking = optics(registration={"color_intrinsics": (130.0, 130.0, 80.5, 59.0)})
    color, _ = scene()
    zero = raw_info(header(1, "color"), (), (0.0,) * 4, (0.0,) * 4)
    pixels, camera, told = looking.color(image_msg(color, "rgb8", header(1, "color")), zero)
    depth = image_msg(np.full((COLOR.height, COLOR.width), 1500, np.uint16), "16UC1", header(1, "color"))
    assert camera == told == COLOR and looking.depth(depth, zero, zero)[1:] == (COLOR, False)
    np.testing.assert_array_equal(pixels, color)


def test_every_kind_of_image_comes_through(optics):
    looking = optics(depth_transport="compressedDepth")
    info = camera_info_msg(COLOR, header(1, "color"))
    gray = image_msg(np.full((COLOR.height, COLOR.width), 90, np.uint8), "mono8", header(1, "color"))
    assert (looking.color(gray, info)[0] == 90).all()
    signed = Image(height=1, width=2, encoding="16SC1", step=4, data=struct.pack("<hh", -7, 1500))
    np.testing.assert_array_equal(depth_metres(signed), np.array([[np.nan, 1.5]], np.float32))
    double = Image(height=1, width=2, encoding="64FC1", step=16, is_bigendian=1, data=struct.pack(">dd", np.inf, 1.5))
    np.testing.assert_array_equal(depth_metres(double), np.array([[np.nan, 1.5]], np.float32))
    millimetres = np.full((COLOR.height, COLOR.width), 1500, np.uint16)
    plain = compressed(millimetres, "16UC1; png compressed ", ".png")
    assert (looking.depth(plain, info, None)[0] == 1.5).all()
    # Two pixels of RVL in nibbles: no zeros (0), two values (2), +1500 (8fe5: 3000) and -500 (fcf1: 999).
    run = struct.pack("<iff", 0, 0, 0) + struct.pack("<II", 2, 1) + struct.pack("<II", 0x028FE5FC, 0xF1000000)
    rvl = CompressedImage(format="16UC1; compressedDepth rvl", data=array.array("B", run))
    np.testing.assert_array_equal(depth_metres(rvl), np.array([[1.5, 1.0]], np.float32))
    for data in (b"", b"\0" * 12, run[:-5]):
        with pytest.raises(BadMessage) as refused:
            depth_metres(CompressedImage(format=rvl.format, data=data))
        assert refused.value.fault == "undecodable"


def test_configured_again_tf_is_cleared_by_the_newest_listener_alone(listen, monkeypatch):
    """rclpy's clock keeps the address of every handle that is not unregistered: freed, it calls whatever lies there."""
    from rclpy.clock import JumpHandle
    from rclpy.time import Time

    handles = []
    register = JumpHandle.__init__
    monkeypatch.setattr(JumpHandle, "__init__", lambda self, **k: (register(self, **k), handles.append(self))[0])
    listener, _ = listen()
    for _ in range(3):
        listener.trigger_deactivate()
        listener.trigger_cleanup()
        listener.trigger_configure()
        listener.trigger_activate()
    cleared = []
    monkeypatch.setattr(tf_lookup._Buffer, "clear", lambda self: cleared.append(self))
    clock = listener.get_clock()
    clock._set_ros_time_is_active(True)
    for seconds in (100, 50):
        clock.set_ros_time_override(Time(seconds=seconds, clock_type=clock.clock_type))
    assert len(handles) >= 4, "each configuring registers its own"
    assert len(cleared) == 1
