"""Calibrations by CameraInfo's definition, against points that OpenCV projects and images rendered through a lens."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.geometry import Camera
from embodied_nav.geometry.lens import Lens, Uncalibrated, named_rectified

SIZE = (320, 240)
K = (290.0, 0.0, 163.0, 0.0, 288.0, 117.0, 0.0, 0.0, 1.0)
EYE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
P = (250.0, 0.0, 158.0, 0.0, 0.0, 252.0, 121.0, 0.0, 0.0, 0.0, 1.0, 0.0)
P_OF_K = (*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0)
DISTORTIONS = {
    "plumb_bob": (-0.32, 0.12, 0.001, -0.001, -0.02),
    "rational_polynomial": (-0.3, 0.1, 0.0005, -0.0003, 0.0, 0.05, 0.02, 0.0),
    "equidistant": (-0.02, 0.01, -0.004, 0.001),
    "fisheye": (0.05, -0.02, 0.0, 0.0),
}


def lens(**changes):
    return replace(Lens(*SIZE, "plumb_bob", (0.0,) * 5, K, EYE, P_OF_K), **changes)


def seen(points, model, D):
    """Pixels (Nx2) of points in the raw image, by OpenCV."""
    matrix, zero = np.reshape(K, (3, 3)), np.zeros(3)
    if model in ("equidistant", "fisheye"):
        return cv2.fisheye.projectPoints(points[None], zero, zero, matrix, np.array(D))[0][0]
    return cv2.projectPoints(points, zero, zero, matrix, np.array(D))[0][:, 0]


@pytest.mark.parametrize("model", DISTORTIONS)
@pytest.mark.parametrize("projection", [P, P_OF_K, (0.0,) * 12], ids=["P", "P is K", "P is zero"])
def test_each_pixel_is_taken_from_where_its_ray_was_seen(model, projection):
    D = DISTORTIONS[model]
    view = lens(model=model, D=D, P=projection).view(SIZE, rectified=False)
    expected = Camera(*SIZE, 250.0, 252.0, 158.0, 121.0) if projection is P else Camera(*SIZE, 290, 288, 163, 117)
    assert view.camera == expected
    rays = view.camera.rays().reshape(-1, 3).astype(np.float64)
    truth = seen(rays, model, D).reshape(SIZE[1], SIZE[0], 2)
    kept = view.columns >= 0
    assert kept.mean() > 0.7
    assert np.abs(np.stack([view.columns, view.rows], -1) - truth)[kept].max() < 0.02


@pytest.mark.parametrize("model", DISTORTIONS)
def test_a_wall_seen_through_a_lens_is_plane_again(model):
    """Depth of a slanted wall as a distorted camera measures it, and its colours: points lie on the wall."""
    D = DISTORTIONS[model]
    columns, rows = np.meshgrid(np.arange(SIZE[0], dtype=np.float64), np.arange(SIZE[1], dtype=np.float64))
    pixels, matrix = np.stack([columns, rows], -1).reshape(-1, 1, 2), np.reshape(K, (3, 3))
    undistort = cv2.fisheye.undistortPoints if model in ("equidistant", "fisheye") else cv2.undistortPoints
    x, y = undistort(pixels, matrix, np.array(D)).reshape(SIZE[1], SIZE[0], 2).transpose(2, 0, 1)
    depth = (2.0 / (1.0 + 0.3 * x - 0.2 * y)).astype(np.float32)  # the wall z + 0.3 x - 0.2 y = 2
    color = np.repeat(np.clip(120 + 80 * x * depth, 0, 255)[..., None], 3, -1).astype(np.uint8)
    view = lens(model=model, D=D).view(SIZE, rectified=False)
    points = view.camera.unproject(view.depth(depth))
    off = points @ np.array([0.3, -0.2, 1.0], np.float32) - 2.0
    middle = (slice(20, -20), slice(20, -20))
    # A pixel's depth comes from at most half a pixel beside it.
    assert np.nanmax(np.abs(off[middle])) < 0.006 and np.isfinite(off[middle]).mean() > 0.95
    tint = view.color(color)[..., 0].astype(float)
    ok = np.isfinite(points[..., 0]) & (tint > 2) & (tint < 253)
    assert np.abs(tint - (120 + 80 * points[..., 0]))[ok][::7].mean() < 1.0
    raw = Camera(*SIZE, K[0], K[4], K[2], K[5]).unproject(depth) @ np.array([0.3, -0.2, 1.0], np.float32) - 2.0
    assert np.nanmax(np.abs(raw)) > 0.01, "without undistorting it is not"


def test_depth_keeps_its_values_and_has_none_outside():
    view = lens(D=DISTORTIONS["plumb_bob"], P=(200.0, 0, 160, 0, 0, 200.0, 120, 0, 0, 0, 1, 0)).view(SIZE, False)
    depth = np.where(np.arange(SIZE[0]) < 150, 1000, 4000)[None].repeat(SIZE[1], 0).astype(np.uint16)
    found = view.depth(depth)
    assert set(np.unique(found)) == {0, 1000, 4000}, "no depth between two surfaces"
    metres = view.depth(np.where(depth > 0, depth / 1000, np.nan).astype(np.float32))
    np.testing.assert_array_equal(np.isnan(metres), found == 0)
    assert (view.color(np.full((*SIZE[::-1], 3), 200, np.uint8))[0, 0] == 0).all()


def test_a_picture_is_not_folded_back():
    """Strong barrel distortion turns back on itself where no pixel of the calibration was: nothing comes from there."""
    wide = lens(D=(-0.4, 0.0, 0.0, 0.0, 0.0), P=(60.0, 0, 160, 0, 0, 60.0, 120, 0, 0, 0, 1, 0)).view(SIZE, False)
    radius = np.hypot(*(wide.camera.rays()[..., i] for i in (0, 1)))
    assert (wide.columns[radius > 0.92] == -1).all(), "r (1 - 0.4 r^2) is largest at 0.913"
    assert (wide.columns[radius < 0.5] >= 0).all()


def test_nothing_to_do_without_distortion_or_where_it_was_done():
    for given in (lens(), lens(D=()), lens(model=""), lens(model="none"), lens(model="", D=(), R=(0.0,) * 9)):
        view = given.view(SIZE, rectified=False)
        assert view.columns is None and view.camera == Camera(*SIZE, 290, 288, 163, 117)
        image = np.zeros((240, 320, 3), np.uint8)
        assert view.color(image) is image
    unlike = lens(D=DISTORTIONS["plumb_bob"], P=P)
    view = unlike.view(SIZE, rectified=True)
    assert view.columns is None and view.camera == Camera(*SIZE, 250, 252, 158, 121), "P is the rectified image's"
    assert lens(P=P).view(SIZE, rectified=False).camera == Camera(*SIZE, 290, 288, 163, 117), "K is the raw image's"
    assert lens(P=(0.0,) * 12).view(SIZE, rectified=True).camera.fx == 290.0
    assert lens(K=(0.0,) * 9, P=P).view(SIZE, rectified=False).camera.fx == 250.0
    turned = lens(D=DISTORTIONS["plumb_bob"], P=P, R=tuple(cv2.Rodrigues(np.array([0.0, 0.1, 0.0]))[0].ravel()))
    assert turned.view(SIZE, False).camera.fx == 290.0, "an image of the camera's own frame is not turned"


def pooled(full, bx, by):
    """An image reduced by binning: each pixel the mean of a block."""
    height, width = full.shape[0] // by, full.shape[1] // bx
    return full[: height * by, : width * bx].reshape(height, by, width, bx).mean((1, 3))


@pytest.mark.parametrize(("binning", "roi"), [((2, 2), (0, 0, 0, 0)), ((0, 0), (40, 30, 240, 160)),
                                              ((2, 1), (0, 0, 320, 240)), ((2, 2), (41, 31, 240, 160)),
                                              ((3, 3), (0, 0, 0, 0)), ((1, 1), (0, 0, 0, 0))])  # fmt: skip
def test_binning_and_region_say_where_a_pixel_looks(binning, roi):
    x, y, width, height = roi if roi[2] else (0, 0, *SIZE)
    bx, by = max(binning[0], 1), max(binning[1], 1)
    size = (width // bx, height // by)
    given = lens(binning=(bx, by), roi=roi)
    camera = given.view(size, rectified=False).camera
    whole = Camera(*SIZE, 290, 288, 163, 117).rays()
    for axis in (0, 1):
        part = whole[y : y + height, x : x + width, axis].astype(np.float64)
        np.testing.assert_allclose(camera.rays()[..., axis], pooled(part, bx, by), atol=2.5e-3)


def test_binning_that_the_calibration_knows_already_is_not_applied_again():
    assert lens(binning=(2, 2)).view(SIZE, False).camera == Camera(*SIZE, 290, 288, 163, 117)
    assert lens(roi=(10, 10, 320, 240)).view(SIZE, False).camera == Camera(*SIZE, 290, 288, 163, 117)


def test_another_size_is_rescaled_where_it_is_the_same_view():
    half = Camera(*SIZE, 290, 288, 163, 117).resized(160, 120)
    assert lens().view((160, 120), False).camera == half
    assert lens().view((640, 480), False).camera == Camera(*SIZE, 290, 288, 163, 117).resized(640, 480)
    assert lens(width=0, height=0).view(SIZE, False).camera.cx == 163.0
    distorted = lens(D=DISTORTIONS["plumb_bob"]).view((160, 120), False)
    assert distorted.camera == half and distorted.columns.shape == (120, 160)
    with pytest.raises(InputError, match="320x240, the images are 320x180"):
        lens().view((320, 180), False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"K": (0.0,) * 9, "P": (0.0,) * 12}, r"no calibration \(K is zero\).*color_intrinsics"),
        ({"K": (np.nan, *K[1:])}, "K is not finite"),
        ({"K": (290.0, 0.0, np.inf, *K[3:])}, "K is not finite"),
        ({"K": (-290.0, *K[1:])}, "focal length"),
        ({"K": (*K[:2], 900.0, *K[3:])}, "principal point .* outside the 320x240 image"),
        ({"K": (0.0,) * 9, "P": P, "D": (0.1,) * 5}, "K is zero"),
        ({"D": (np.nan,) * 5}, "D is not finite"),
        ({"D": (0.1,) * 20}, "20 numbers of distortion"),
        ({"model": "equidistant", "D": (0.1,) * 8}, "8 numbers of 'equidistant'"),
        ({"model": "omni", "D": (0.1,) * 4}, "'omni', which is not known .*image_proc"),
    ],
)  # fmt: skip
def test_what_is_no_calibration_is_said_in_one_line(changes, text):
    with pytest.raises(InputError, match=text) as error:
        lens(**changes).view(SIZE, False)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, Uncalibrated) == ("no calibration" in text)


def test_names_tell_what_is_rectified():
    for name in ("/cam/image_rect", "/zed/left/image_rect_color", "/d455/depth/image_rect_raw", "/rgb/rect/image",
                 "/left/image_rect/compressed", "camera/rectified/image"):  # fmt: skip
        assert named_rectified(name)
    for name in (
        "/camera/color/image_raw",
        "/rgb/image",
        "/direct/image",
        "/corrected/image_raw",
        "/camera/depth/image",
    ):
        assert not named_rectified(name)


def test_small_changes_are_one_camera():
    assert lens().alike(lens()) and lens().alike(lens(K=(290.9, *K[1:])))
    for change in ({"K": (310.0, *K[1:])}, {"width": 640}, {"D": DISTORTIONS["plumb_bob"]}, {"binning": (2, 2)}):
        assert not lens().alike(lens(**change))
