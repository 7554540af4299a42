"""Every encoding that drivers send, against mosaics and planes made here by hand; byte orders, padding and faults."""

from types import SimpleNamespace

import numpy as np
import pytest

from embodied_nav.recordings.pixels import COLOR, DEPTH, UnreadableError, color_pixels, depth_pixels, metres

HEIGHT, WIDTH = 24, 32
RGB = np.stack(np.broadcast_arrays(np.linspace(30, 220, WIDTH)[None, :], np.linspace(200, 60, HEIGHT)[:, None], 90), -1)
RGB = RGB.round().astype(np.uint8)


def message(pixels, encoding, big=False, pad=0, height=HEIGHT):
    """As a driver packs an array whose rows are the image's."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=7)
    return SimpleNamespace(width=WIDTH, height=height, encoding=encoding, is_bigendian=int(big), step=rows.shape[1],
                           data=rows.tobytes())  # fmt: skip


def studio(rgb):
    """Y, U, V (BT.601, studio range) of RGB, as V4L2 defines them."""
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return (np.rint(p).astype(np.uint8) for p in (y, u, v))


def mosaic(order, rgb):
    """One colour a pixel: ``order`` names those of a 2x2 block by rows."""
    out = np.empty(rgb.shape[:2], rgb.dtype)
    for n, letter in enumerate(order):
        out[n // 2 :: 2, n % 2 :: 2] = rgb[n // 2 :: 2, n % 2 :: 2, "rgb".index(letter)]
    return out


def packed(encoding):
    """The image in an encoding, and how far the way there and back may be off."""
    y, u, v = studio(RGB)
    alpha, wide = np.full((HEIGHT, WIDTH, 1), 255, np.uint8), RGB.astype(np.uint16) * 257
    half = (u[::2, ::2], v[::2, ::2])
    if encoding.startswith("bayer_"):
        return mosaic(encoding[6:10], RGB if encoding.endswith("8") else wide), 8
    if encoding in ("uyvy", "yuv422", "yuyv", "yuv422_yuy2", "yuy2"):
        pairs = np.empty((HEIGHT, WIDTH, 2), np.uint8)
        first = int(encoding in ("uyvy", "yuv422"))
        pairs[..., first], pairs[:, ::2, 1 - first], pairs[:, 1::2, 1 - first] = y, u[:, ::2], v[:, ::2]
        return pairs, 8
    planes = {"nv12": half, "nv21": half[::-1], "nv24": (u, v)}
    if encoding in planes:
        return np.concatenate([y, np.stack(planes[encoding], -1).reshape(-1, WIDTH)]), 12
    if encoding == "i420":
        return np.concatenate([y, *(p.reshape(-1, WIDTH) for p in half)]), 12
    bits = 16 if "16" in encoding else 8
    image = RGB if bits == 8 else wide
    full = alpha if bits == 8 else alpha.astype(np.uint16) * 257
    if encoding.startswith("bgr") or encoding.endswith(("C3", "C4")):
        image = image[..., ::-1]
    return (np.concatenate([image, full], -1) if "a" in encoding or encoding.endswith("C4") else image), 0


@pytest.mark.parametrize("encoding", [e for e in COLOR if not e.startswith("mono") and not e.endswith("C1")])
def test_colours_come_out_as_they_went_in(encoding):
    pixels, off = packed(encoding)
    planar = encoding in ("nv12", "nv21", "nv24", "i420")
    for big, pad in ((False, 0), (pixels.dtype.itemsize > 1, 0), (False, 0 if planar else 6)):
        found = color_pixels(message(pixels, encoding, big, pad))
        assert found.shape == RGB.shape and found.dtype == np.uint8
        inner = (slice(2, -2), slice(2, -2))  # a mosaic's edge knows half of its neighbours
        assert np.abs(found[inner].astype(int) - RGB[inner]).max() <= off


def test_gray_is_three_times_the_same():
    gray = RGB[..., 0]
    for encoding in ("mono8", "8UC1"):
        np.testing.assert_array_equal(color_pixels(message(gray, encoding, pad=5)), np.stack([gray] * 3, -1))
    for encoding in ("mono16", "16UC1"):
        wide = message(gray.astype(np.uint16) * 257, encoding, big=True)
        np.testing.assert_array_equal(color_pixels(wide), np.stack([gray] * 3, -1))


def test_planes_counted_as_two_bytes_a_pixel_are_read():
    pixels, _ = packed("nv21")
    counted = message(pixels, "nv21")
    counted.step *= 2
    np.testing.assert_array_equal(color_pixels(counted), color_pixels(message(pixels, "nv21")))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 32])
def test_depths_by_rep_117_and_118(big, pad):
    truth = np.linspace(0.3, 9.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    for encoding, dtype, scale in (("16UC1", np.uint16, 1000), ("mono16", np.uint16, 1000), ("16SC1", np.int16, 1000),
                                   ("32FC1", np.float32, 1), ("64FC1", np.float64, 1)):  # fmt: skip
        given = truth * scale
        given = (given if scale == 1 else np.rint(given)).astype(dtype)
        none = {"u": (0, 65535), "i": (0, -5, -32768), "f": (np.nan, np.inf, -np.inf, 0.0, -0.5)}[given.dtype.kind]
        given[3, : len(none)] = none
        found = metres(depth_pixels(message(given, encoding, big, pad)))
        assert found.dtype == np.float32
        assert np.isnan(found[3, : len(none)]).all() and np.isnan(found).sum() == len(none)
        ok = np.isfinite(found)
        np.testing.assert_allclose(found[ok], truth[ok], atol=5.1e-4)


def test_what_is_not_read_names_what_is():
    good = message(RGB, "rgb8")
    for read, known in ((color_pixels, COLOR), (depth_pixels, DEPTH)):
        with pytest.raises(UnreadableError, match=f"'jpeg12', which is not read.*{known[0]}.*{known[-1]}") as refused:
            read(SimpleNamespace(**{**vars(good), "encoding": "jpeg12"}))
        assert refused.value.fault == "encoding"
    for change in ({"data": good.data[:-1]}, {"step": 5}, {"width": 0}, {"height": 0}, {"data": b""}, {"height": 25}):
        with pytest.raises(UnreadableError) as refused:
            color_pixels(SimpleNamespace(**{**vars(good), **change}))
        assert refused.value.fault == "size"
    narrow = SimpleNamespace(**{**vars(message(packed("yuyv")[0], "yuyv")), "width": WIDTH - 1})
    with pytest.raises(UnreadableError, match=f"no {WIDTH - 1}x{HEIGHT} yuyv"):
        color_pixels(narrow)
    odd = SimpleNamespace(**{**vars(message(packed("nv12")[0], "nv12")), "height": HEIGHT - 1})
    with pytest.raises(UnreadableError):
        color_pixels(odd)
