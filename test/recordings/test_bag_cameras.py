"""Bags as drivers fill them: what CameraInfo means, what is zero first, and single messages that cannot be used."""

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
sys.path.append(str(Path(__file__).parent))
from recorder import BagWriter

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera
from embodied_nav.geometry.lens import Lens
from embodied_nav.recordings import Calibration, Topics, open_recording
from embodied_nav.recordings.frame import UnusableFrame

SIZE = (64, 48)
K = (60.0, 60.0, 31.0, 24.5)
D = (-0.3, 0.1, 0.001, -0.001, 0.0)
RNG = np.random.default_rng(0)
COLOR = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), SIZE)
MILLIMETRES = cv2.resize(RNG.integers(1000, 4000, (6, 8)).astype(np.uint16), SIZE)
START, PERIOD = 1_700_000_000_000_000_000, 100_000_000
TOPICS = {"color": "/camera/color/image_raw", "depth": "/camera/aligned_depth/image_raw"}


class Driver(BagWriter):
    """Writes a camera's messages; each part may be spoilt."""

    def camera_info(self, topic, ns, k=K, size=SIZE, d=(), model="plumb_bob", p=None, binning=(0, 0), roi=(0, 0, 0, 0)):
        fx, fy, cx, cy = k
        part = self.type("sensor_msgs/RegionOfInterest")(
            x_offset=roi[0], y_offset=roi[1], width=roi[2], height=roi[3], do_rectify=False
        )
        projection = p or (fx, fy, cx, cy)
        self.write(topic, self.type("sensor_msgs/CameraInfo")(
            header=self.header(ns, "c"), height=size[1], width=size[0], distortion_model=model, d=np.array(d, float),
            k=np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1.0]), r=np.eye(3).ravel(),
            p=np.array([projection[0], 0, projection[2], 0, 0, projection[1], projection[3], 0, 0, 0, 1.0, 0]),
            binning_x=binning[0], binning_y=binning[1], roi=part), ns)  # fmt: skip

    def bytes_of(self, topic, ns, data, format):
        message = self.type("sensor_msgs/CompressedImage")(
            header=self.header(ns, "c"), format=format, data=np.frombuffer(data, np.uint8)
        )
        self.write(topic, message, ns)


def record(folder, frames=10, color=None, depth=None, info=None, topics=TOPICS):
    """A bag whose parts come from hooks (bag, n, ns), else as they should be."""
    with Driver(folder) as bag:
        for n in range(frames):
            ns = START + n * PERIOD
            (info or (lambda b, n, ns: b.camera_info("/camera/color/camera_info", ns)))(bag, n, ns)
            (depth or (lambda b, n, ns: b.image(topics["depth"], ns, "c", MILLIMETRES, "16UC1")))(bag, n, ns)
            (color or (lambda b, n, ns: b.image(topics["color"], ns, "c", COLOR, "rgb8")))(bag, n, ns)
    return folder


def infos(**given):
    return lambda b, n, ns: b.camera_info("/camera/color/camera_info", ns, **given)


def test_distortion_is_taken_out_of_colour_and_of_its_depth(tmp_path):
    found = open_recording(record(tmp_path / "bag", info=infos(d=D)))
    assert found.camera == Camera(*SIZE, *K) and found.depth_camera is None and len(found) == 10
    P = (60.0, 0.0, 31.0, 0.0, 0.0, 60.0, 24.5, 0.0, 0.0, 0.0, 1.0, 0.0)
    eye = tuple(np.eye(3).ravel())
    view = Lens(*SIZE, "plumb_bob", D, (60.0, 0, 31.0, 0, 60.0, 24.5, 0, 0, 1.0), eye, P).view(SIZE, False)
    frame = found.read(3)
    np.testing.assert_array_equal(frame.color, view.color(COLOR))
    np.testing.assert_array_equal(frame.depth, view.depth(MILLIMETRES))
    assert (frame.depth != MILLIMETRES).mean() > 0.3 and frame.depth.dtype == np.uint16
    given = open_recording(tmp_path / "bag", calibration=Calibration(color=K)).read(3)
    np.testing.assert_array_equal(given.color, COLOR, "images of given intrinsics are taken as they are")


def test_rectified_topics_are_pinhole_images_of_P(tmp_path):
    topics = {"color": "/camera/color/image_rect_color", "depth": "/camera/aligned_depth/image_rect"}
    other = (50.0, 51.0, 30.0, 25.0)
    record(tmp_path / "rect", info=infos(d=D, p=other), topics=topics)
    found = open_recording(tmp_path / "rect")
    assert found.camera == Camera(*SIZE, *other)
    np.testing.assert_array_equal(found.read(0).color, COLOR)
    np.testing.assert_array_equal(found.read(0).depth, MILLIMETRES)
    raw = open_recording(record(tmp_path / "raw", info=infos(d=D, p=other)))
    assert raw.camera == Camera(*SIZE, *other) and (raw.read(0).color != COLOR).any()
    plain = open_recording(record(tmp_path / "plain", info=infos(p=other)))
    assert plain.camera == Camera(*SIZE, *K), "P is another image's"


def test_binning_region_and_other_sizes(tmp_path):
    full = Camera(*SIZE, *K)
    twice = full.resized(128, 96)
    numbers = (twice.fx, twice.fy, twice.cx, twice.cy)
    binned = record(tmp_path / "binned", 3, info=infos(k=numbers, size=(128, 96), binning=(2, 2)))
    assert open_recording(binned).camera == full
    scaled = record(tmp_path / "scaled", 3, info=infos(k=numbers, size=(128, 96)))
    assert open_recording(scaled).camera == full
    part = record(tmp_path / "part", 3, info=infos(k=(60, 60, 41.0, 44.5), size=(100, 100), roi=(10, 20, *SIZE)))
    assert open_recording(part).camera == full
    with pytest.raises(InputError, match=r"/camera/color/camera_info: .*64x36, the images are 64x48"):
        open_recording(record(tmp_path / "other", 3, info=infos(k=(60, 60, 31, 17), size=(64, 36))))


def test_zeros_first_are_waited_out_and_zeros_only_are_said(tmp_path):
    zero = (0.0,) * 4
    late = record(tmp_path / "late", info=lambda b, n, ns: infos(k=zero if n < 4 else K)(b, n, ns))
    found = open_recording(late)
    assert len(found) == 6 and found.skipped == 4 and found.camera == Camera(*SIZE, *K)
    assert found.stamps[0] == START + 4 * PERIOD
    once = record(tmp_path / "once", info=lambda b, n, ns: infos()(b, n, ns) if n == 5 else None)
    assert len(open_recording(once)) == 10, "a latched info that came late holds for all"
    gaps = record(tmp_path / "gaps", info=lambda b, n, ns: infos(k=zero if n == 5 else K)(b, n, ns))
    assert len(open_recording(gaps)) == 10
    never = record(tmp_path / "never", info=infos(k=zero))
    with pytest.raises(InputError, match=r"/camera/color/camera_info: .*no calibration \(K is zero\).*--calibration"):
        open_recording(never)
    mended = open_recording(never, calibration=Calibration(color=K))
    assert mended.camera == Camera(*SIZE, *K) and len(mended) == 10


@pytest.mark.parametrize(("k", "text"), [((np.nan, 60, 31, 24), "not finite"), ((-60, 60, 31, 24), "focal length"),
                                         ((60, 60, 500, 24), "outside the 64x48 image")])  # fmt: skip
def test_numbers_that_are_no_calibration_are_said_with_the_topic(tmp_path, k, text):
    with pytest.raises(InputError, match=f"/camera/color/camera_info: .*{text}") as error:
        open_recording(record(tmp_path / "bag", 2, info=infos(k=k)))
    assert "\n" not in str(error.value)


def test_a_calibration_that_changes_is_no_frame_of_the_first(tmp_path):
    zoomed = (70.0, 70.0, 31.0, 24.5)
    last = record(tmp_path / "last", info=lambda b, n, ns: infos(k=zoomed if n == 9 else K)(b, n, ns))
    assert len(open_recording(last)) == 9
    half = record(tmp_path / "half", info=lambda b, n, ns: infos(k=zoomed if n > 4 else K)(b, n, ns))
    with pytest.raises(InputError, match=r"5 of 10 frames.*camera_info changed from focal length 60 to 70 px; split"):
        open_recording(half)
    assert len(open_recording(half, calibration=Calibration(color=K))) == 10
    jitter = record(tmp_path / "jitter", info=lambda b, n, ns: infos(k=(60 + 0.01 * n, 60, 31, 24.5))(b, n, ns))
    assert len(open_recording(jitter)) == 10


JPEG = cv2.imencode(".jpg", COLOR[..., ::-1])[1].tobytes()
PNG = cv2.imencode(".png", MILLIMETRES)[1].tobytes()


@pytest.mark.parametrize(
    "bad", [b"", JPEG[:-200], JPEG[:3], b"no picture", JPEG[: len(JPEG) // 2] + bytes(300)], ids=len
)
def test_one_bad_message_costs_one_frame(tmp_path, bad):
    """In ten frames one, in six one; more than a tenth ends it with the first one's reason."""

    def compressed(spoilt):
        return lambda b, n, ns: b.bytes_of(TOPICS["color"] + "/compressed", ns, bad if n in spoilt else JPEG, "jpeg")

    for frames in (10, 6):
        found = open_recording(record(tmp_path / f"{frames}", frames, color=compressed({4})))
        assert len(found) == frames - 1 and found.skipped == 1 and START + 4 * PERIOD not in found.stamps
        assert found.read(4).stamp == START + 5 * PERIOD
    with pytest.raises(InputError, match=r"2 of 10 frames cannot be used .*; the first: .* at 1700000000.300 s"):
        open_recording(record(tmp_path / "more", 10, color=compressed({3, 7})))


def test_one_raw_image_cut_or_of_another_size_costs_one_frame(tmp_path):
    def depth(b, n, ns):
        b.image(TOPICS["depth"], ns, "c", MILLIMETRES[::2, ::2] if n == 0 else MILLIMETRES, "16UC1")

    found = open_recording(record(tmp_path / "size", depth=depth))
    assert len(found) == 9 and found.stamps[0] == START + PERIOD, "the first is not the measure"

    def color(b, n, ns):
        image = b.type("sensor_msgs/Image")
        message = image(header=b.header(ns, "c"), height=48, width=64, encoding="rgb8", is_bigendian=0, step=192,
                        data=COLOR.ravel()[: 9215 if n == 2 else 9216])  # fmt: skip
        b.write(TOPICS["color"], message, ns)

    assert len(open_recording(record(tmp_path / "cut", color=color))) == 9


def test_padded_jpeg_and_depth_of_every_transport(tmp_path):
    def color(b, n, ns):
        b.bytes_of(TOPICS["color"] + "/compressed", ns, JPEG + bytes(4096 * (n % 2)), "rgb8; jpeg compressed bgr8")

    for name, suffix, data, format in (
        ("plain", "/compressed", PNG, "16UC1; png compressed "),
        ("behind", "/compressedDepth", struct.pack("<iff", 0, 0, 0) + PNG, "16UC1; compressedDepth png"),
    ):

        def depth(b, n, ns, suffix=suffix, data=data, format=format):
            b.bytes_of(TOPICS["depth"] + suffix, ns, data, format)

        found = open_recording(record(tmp_path / name, color=color, depth=depth))
        assert found.topics == Topics(TOPICS["color"] + "/compressed", TOPICS["depth"] + suffix,
                                      "/camera/color/camera_info")  # fmt: skip
        np.testing.assert_array_equal(found.read(1).depth, MILLIMETRES)
        assert np.abs(found.read(1).color.astype(int) - COLOR).mean() < 6

    def lossy(b, n, ns):
        b.bytes_of(TOPICS["depth"] + "/compressed", ns, JPEG, "16UC1; jpeg compressed ")

    with pytest.raises(InputError, match=r"no image can be used; the first: .*JPEG, which keeps 8 bits"):
        open_recording(record(tmp_path / "lossy", color=color, depth=lossy))


def test_a_frame_that_fails_only_when_it_is_decoded_says_that_it_is_one(tmp_path):
    """A JPEG whose header is damaged is whole from outside."""
    torn = JPEG.replace(b"\xff\xdb", b"\xff\xe5")  # without its tables nothing can be decoded

    def color(b, n, ns):
        b.bytes_of(TOPICS["color"] + "/compressed", ns, torn if n == 1 else JPEG, "jpeg")

    found = open_recording(record(tmp_path / "bag", color=color))
    assert len(found) == 10 and found.read(0).color.shape == COLOR.shape
    with pytest.raises(UnusableFrame, match=r"/compressed at 1700000000.100 s: \d+ bytes cannot be decoded"):
        found.read(1)
