"""Compressed images in the formats that image_transport and others write; cut, padded, damaged and empty ones."""

import struct

import cv2
import numpy as np
import pytest

from embodied_nav.recordings.compressed import decode_color, decode_depth, header_of_color, header_of_depth
from embodied_nav.recordings.pixels import UnreadableError, metres

RNG = np.random.default_rng(4)
RGB = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (64, 48), interpolation=cv2.INTER_LINEAR)
BGR = np.ascontiguousarray(RGB[..., ::-1])
MILLIMETRES = RNG.integers(300, 6000, (48, 64)).astype(np.uint16)
MILLIMETRES[RNG.random((48, 64)) < 0.3] = 0
MILLIMETRES[:4] = 0  # a long run


def encoded(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


def run_lengths(values):
    """RVL by its definition, nibble by nibble as text: independent of the decoder."""
    nibbles, flat = [], [int(v) for v in values.ravel()]

    def put(value):
        digits = []
        while True:
            digits.append(value % 8)
            value //= 8
            if not value:
                break
        nibbles.extend(f"{digit + 8 * (n < len(digits) - 1):x}" for n, digit in enumerate(digits))

    at, last = 0, 0
    while at < len(flat):
        for zero in (True, False):
            begin = at
            while at < len(flat) and (flat[at] == 0) == zero:
                at += 1
            put(at - begin)
        for value in flat[begin:at]:
            change, last = value - last, value
            put(2 * change if change >= 0 else -2 * change - 1)
    text = "".join(nibbles)
    text += "0" * (-len(text) % 8)
    words = [int(text[n : n + 8], 16) for n in range(0, len(text), 8)]
    return struct.pack("<II", values.shape[1], values.shape[0]) + struct.pack(f"<{len(words)}I", *words)


@pytest.mark.parametrize(
    ("format", "suffix", "image", "off"),
    [
        ("jpeg", ".jpg", BGR, 40), ("rgb8; jpeg compressed bgr8", ".jpg", BGR, 40),
        ("bgr8; jpeg compressed bgr8", ".jpg", BGR, 40), ("bgr8; jpeg compressed ", ".jpg", BGR, 40),
        ("jpg", ".jpg", BGR, 40), ("", ".jpg", BGR, 40), ("png", ".png", BGR, 0),
        ("rgba8; jpeg compressed bgr8", ".jpg", BGR, 40), ("rgb8; png compressed bgr8", ".png", BGR, 0),
        ("bgra8; png compressed bgr8", ".png", np.dstack([BGR, BGR[..., 0]]), 0),
        ("rgb16; png compressed bgr16", ".png", BGR.astype(np.uint16) * 257, 0),
        # What stands in the file is what went into the encoder.
        ("rgb8; jpeg compressed rgb8", ".jpg", RGB, 40), ("rgb8; tiff compressed ", ".tiff", RGB, 0),
        ("bgr8; tiff compressed ", ".tiff", BGR, 0),
    ],
)  # fmt: skip
def test_colours_come_out_in_their_order(format, suffix, image, off):
    data = encoded(suffix, image)
    found = decode_color(data, format)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    assert np.abs(found.astype(int) - RGB).max() <= off
    assert np.abs(found.astype(int) - RGB).mean() <= off / 8 < np.abs(RGB.astype(int) - BGR).mean() / 3
    assert header_of_color(data).size == (64, 48)


def test_gray_and_mosaics():
    gray = RGB[..., 1]
    for format in ("mono8; jpeg compressed mono8", "mono8; jpeg compressed ", "jpeg", "mono8; png compressed "):
        found = decode_color(encoded(".png", gray), format)
        np.testing.assert_array_equal(found, np.stack([gray] * 3, -1))
    flat = np.zeros((48, 64), np.uint8)
    flat[::2, ::2], flat[1::2, 1::2] = 200, 50  # red and blue; no green
    found = decode_color(encoded(".png", flat), "bayer_rggb8; png compressed ")
    assert (found[10, 10] == (200, 0, 50)).all()


@pytest.mark.parametrize("format", ["16UC1; compressedDepth png", "16UC1; compressedDepth",
                                    "mono16; compressedDepth png", "16UC1; compressedDepth rvl",
                                    "16UC1; png compressed ", "png", "mono16; png compressed mono16",
                                    "16UC1; tiff compressed "])  # fmt: skip
def test_millimetres_come_back(format):
    if "rvl" in format:
        data = bytes(12) + run_lengths(MILLIMETRES)
    else:
        suffix = ".tiff" if "tiff" in format else ".png"
        data = bytes(12 * ("compressedDepth" in format)) + encoded(suffix, MILLIMETRES)
    np.testing.assert_array_equal(decode_depth(data, format), MILLIMETRES)
    assert header_of_depth(data, format).size == (64, 48)
    assert (metres(decode_depth(data, format))[MILLIMETRES > 0] == MILLIMETRES[MILLIMETRES > 0] / np.float32(1e3)).all()


@pytest.mark.parametrize("kind", ["png", "rvl"])
def test_quantised_depth_comes_back_within_a_count(kind):
    """image_transport's 32FC1: value = A / depth + B with A = z0 (z0 + 1), B = 1 - A / far."""
    depth = np.linspace(0.4, 9.0, 48 * 64, dtype=np.float32).reshape(48, 64)
    a, far = 100.0 * 101.0, 10.0
    b = 1.0 - a / far
    values = (a / depth + b).astype(np.uint16)
    values[3, 3] = 0
    body = encoded(".png", values) if kind == "png" else run_lengths(values)
    found = decode_depth(struct.pack("<iff", 0, a, b) + body, f"32FC1; compressedDepth {kind}")
    assert found.dtype == np.float32 and np.isnan(found[3, 3]) and np.isfinite(found).sum() == found.size - 1
    ok = np.isfinite(found)
    assert (np.abs(found - depth)[ok] <= (1.01 * depth**2 / a + 1e-4)[ok]).all()


def test_float_depth_as_tiff():
    depth = np.linspace(0.4, 9.0, 48 * 64, dtype=np.float32).reshape(48, 64)
    depth[0, 0] = 0.0
    found = decode_depth(encoded(".tiff", depth), "32FC1; tiff compressed ")
    np.testing.assert_array_equal(found[1:], depth[1:])
    assert np.isnan(found[0, 0])


def test_runs_of_all_lengths():
    for shape in ((1, 1), (1, 7), (5, 8), (3, 333)):
        for share in (0.0, 0.02, 0.5, 0.98, 1.0):
            values = RNG.integers(1, 65535, shape).astype(np.uint16)
            values[RNG.random(shape) < share] = 0
            data = bytes(12) + run_lengths(values)
            kept = np.where(values == 65535, 0, values)
            np.testing.assert_array_equal(decode_depth(data, "16UC1; compressedDepth rvl"), kept)


@pytest.mark.parametrize("padding", [bytes(128), bytes(4096), b"\x55" * 5000, b"\xff" * 300], ids=len)
def test_what_follows_the_end_does_not_matter(padding):
    for suffix in (".jpg", ".png"):
        whole = encoded(suffix, BGR)
        np.testing.assert_array_equal(decode_color(whole + padding, "jpeg"), decode_color(whole, "jpeg"))
    whole = bytes(12) + encoded(".png", MILLIMETRES)
    np.testing.assert_array_equal(decode_depth(whole + padding, "16UC1; compressedDepth png"), MILLIMETRES)
    packed = bytes(12) + run_lengths(MILLIMETRES)
    np.testing.assert_array_equal(decode_depth(packed + padding, "16UC1; compressedDepth rvl"), MILLIMETRES)


@pytest.mark.parametrize("part", [0.0, 0.002, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_what_is_cut_is_not_half_a_picture(part):
    rvl = bytes(12) + run_lengths(MILLIMETRES)
    for whole, read, format in (
        (encoded(".jpg", BGR), decode_color, "jpeg"),
        (encoded(".png", BGR), decode_color, "png"),
        (encoded(".tiff", BGR), decode_color, "bgr8; tiff compressed "),
        (bytes(12) + encoded(".png", MILLIMETRES), decode_depth, "16UC1; compressedDepth png"),
        (encoded(".png", MILLIMETRES), decode_depth, "16UC1; png compressed "),
        (rvl, decode_depth, "16UC1; compressedDepth rvl"),
    ):
        for padding in (b"", bytes(200)):
            if padding and whole is rvl:
                continue  # zeros go on as a run
            with pytest.raises(UnreadableError) as refused:
                read(whole[: int(part * len(whole))] + padding, format)
            assert refused.value.fault in ("undecodable", "encoding") and "\n" not in str(refused.value)


def test_a_thumbnails_end_is_not_the_images():
    small = encoded(".jpg", BGR[::4, ::4])
    whole = encoded(".jpg", BGR)
    segment = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small
    with_thumbnail = whole[:2] + segment + whole[2:]
    np.testing.assert_array_equal(decode_color(with_thumbnail, "jpeg"), decode_color(whole, "jpeg"))
    with pytest.raises(UnreadableError, match="cut short"):
        decode_color(with_thumbnail[:-400], "jpeg")


def test_damage_is_seen_in_a_png():
    whole = bytearray(encoded(".png", BGR))
    whole[len(whole) // 2] ^= 0x10
    with pytest.raises(UnreadableError, match="damaged"):
        decode_color(bytes(whole), "png")


def test_what_keeps_no_depth_is_refused_with_the_reason():
    gray = (MILLIMETRES >> 8).astype(np.uint8)
    for data, format, text in (
        (encoded(".jpg", gray), "16UC1; jpeg compressed ", "JPEG, which keeps 8 bits"),
        (encoded(".jpg", gray), "jpeg", "JPEG, which keeps 8 bits"),
        (encoded(".png", gray), "16UC1; png compressed ", "uint8.*expected one channel of 16 bits"),
        (encoded(".png", BGR), "png", "expected one channel"),
        (bytes(12) + encoded(".png", MILLIMETRES), "8UC1; compressedDepth png", "is not read; read are"),
        (bytes(12) + encoded(".png", MILLIMETRES), "16UC1; compressedDepth zstd", "is not read; read are"),
        (bytes(12) + struct.pack("<II", 1 << 20, 1 << 20), "16UC1; compressedDepth rvl", "RVL of 1048576x1048576"),
        (bytes(12) + struct.pack("<II", 0, 7), "16UC1; compressedDepth rvl", "RVL of 0x7"),
    ):  # fmt: skip
        with pytest.raises(UnreadableError, match=text):
            decode_depth(data, format)


def test_no_bytes_bring_a_decoder_down():
    """Noise, and good data with some of its bytes changed: a picture or one clear refusal, never anything else."""
    rng = np.random.default_rng(0)
    seeds = [(encoded(".jpg", BGR), "jpeg"), (encoded(".png", BGR), "png"), (encoded(".tiff", BGR), "tiff"),
             (bytes(12) + encoded(".png", MILLIMETRES), "16UC1; compressedDepth png"),
             (bytes(12) + run_lengths(MILLIMETRES), "16UC1; compressedDepth rvl"),
             (rng.bytes(500), "jpeg")]  # fmt: skip
    for n in range(600):
        data, format = seeds[n % len(seeds)]
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(0, min(len(data), (30, len(data))[n % 2]), rng.integers(1, 6))] = rng.integers(0, 256)
        try:
            (decode_depth if "Depth" in format else decode_color)(changed.tobytes(), format)
        except UnreadableError as error:
            assert str(error) and "\n" not in str(error)
