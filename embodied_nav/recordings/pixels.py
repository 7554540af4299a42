"""Decodes pixels of sensor_msgs/Image in the encodings that drivers send. Knows the message's fields, not ROS or files.

Encodings are named as in sensor_msgs' image_encodings; conversions are OpenCV's, as in cv_bridge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class UnreadableError(ValueError):
    """An image that cannot be read; ``fault``: ``encoding``, ``size`` or ``undecodable``."""

    def __init__(self, fault: str, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class Encoding(NamedTuple):
    """dtype and channels of a pixel; ``to_rgb``: OpenCV's conversion to RGB less ``COLOR_``, "" if none is needed, None
    if it is not a colour; ``planes``: rows of the data per two rows of the image."""

    dtype: str
    channels: int
    to_rgb: str | None
    planes: int = 2


def _encodings() -> dict[str, Encoding]:
    found: dict[str, Encoding] = {}
    for bits in (8, 16):
        kind = f"u{bits // 8}"
        found |= {
            f"rgb{bits}": Encoding(kind, 3, ""),
            f"bgr{bits}": Encoding(kind, 3, "BGR2RGB"),
            f"rgba{bits}": Encoding(kind, 4, "RGBA2RGB"),
            f"bgra{bits}": Encoding(kind, 4, "BGRA2RGB"),
            f"mono{bits}": Encoding(kind, 1, "GRAY2RGB"),
            # OpenCV's type names (8UC3) imply OpenCV's order, blue first.
            f"{bits}UC1": Encoding(kind, 1, "GRAY2RGB"),
            f"{bits}UC3": Encoding(kind, 3, "BGR2RGB"),
            f"{bits}UC4": Encoding(kind, 4, "BGRA2RGB"),
        }
        for order in ("rggb", "bggr", "gbrg", "grbg"):
            found[f"bayer_{order}{bits}"] = Encoding(kind, 1, f"Bayer{order.upper()}2RGB")
    for names, code in ((("uyvy", "yuv422"), "UYVY"), (("yuyv", "yuv422_yuy2", "yuy2"), "YUYV")):
        found |= {name: Encoding("u1", 2, f"YUV2RGB_{code}") for name in names}
    found |= {"nv12": Encoding("u1", 1, "YUV2RGB_NV12", 3), "nv21": Encoding("u1", 1, "YUV2RGB_NV21", 3)}
    found |= {"i420": Encoding("u1", 1, "YUV2RGB_I420", 3), "nv24": Encoding("u1", 1, "YUV2RGB_NV12", 6)}
    found |= {"16SC1": Encoding("i2", 1, None), "32SC1": Encoding("i4", 1, None)}
    return found | {"32FC1": Encoding("f4", 1, None), "64FC1": Encoding("f8", 1, None)}


#: Supported encodings.
ENCODINGS = _encodings()
COLOR = tuple(name for name, encoding in ENCODINGS.items() if encoding.to_rgb is not None)
DEPTH = ("16UC1", "mono16", "16SC1", "32FC1", "64FC1")


def image_plane(message) -> np.ndarray:
    """The pixels of an image message, without a copy where they are unpadded and in this machine's byte order.

    Returns:
        HxW or HxWxC in the encoding's dtype; the planes of nv12, nv21, nv24 and i420 are stacked vertically.

    Raises:
        UnreadableError: ``encoding`` if unknown, ``size`` if the data does not match the stated size.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise _unknown("image", message.encoding, ENCODINGS)
    data = np.frombuffer(message.data, np.uint8)
    dtype = np.dtype((">" if message.is_bigendian else "<") + encoding.dtype)
    width, height = message.width, message.height
    row, step, rows = width * encoding.channels * dtype.itemsize, message.step, height * encoding.planes // 2
    if encoding.planes > 2 and step >= 2 * row:
        step //= 2  # step counted as two bytes per pixel, as image_encodings does
    shared = (encoding.to_rgb or "").startswith("YUV")  # two neighbouring pixels share their colour
    if (shared and width % 2) or (encoding.planes > 2 and height % 2):
        row = 0  # odd sizes are invalid for shared colour
    if not row or not height or step < row or len(data) < step * rows:
        text = f"{len(data)} bytes with {message.step} a row are no {width}x{height} {message.encoding}"
        raise UnreadableError("size", text)
    pixels = data[: step * rows].reshape(rows, step)
    pixels = pixels.view(dtype) if step == row else np.ascontiguousarray(pixels[:, :row]).view(dtype)
    pixels = pixels.astype(dtype.newbyteorder("="), copy=False)
    return pixels.reshape(rows, width, encoding.channels) if encoding.channels > 1 else pixels


def color_pixels(message) -> np.ndarray:
    """HxWx3 uint8 RGB of an image message; gray as three equal channels, 16 bits scaled to 8.

    Raises:
        UnreadableError: not a colour encoding, or data that does not fit.
    """
    if message.encoding not in COLOR:
        raise _unknown("color", message.encoding, COLOR)
    return rgb(image_plane(message), message.encoding)


def rgb(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """HxWx3 uint8 RGB of pixels (uint8 or uint16) in one of :data:`COLOR`."""
    import cv2

    conversion = ENCODINGS[encoding].to_rgb
    if conversion:
        if encoding == "nv24":  # one colour per pixel: convert as NV12 of an image of twice the size
            height, width = 2 * pixels.shape[0] // 6, pixels.shape[1]
            luma = pixels[:height].repeat(2, axis=0).repeat(2, axis=1)
            pixels = np.concatenate([luma, pixels[height:].reshape(height, 2 * width)])
        pixels = cv2.cvtColor(pixels, getattr(cv2, f"COLOR_{conversion}"))
        pixels = pixels[::2, ::2] if encoding == "nv24" else pixels
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0)
    return np.ascontiguousarray(pixels)


def depth_pixels(message) -> np.ndarray:
    """HxW of a depth message (REP 118): uint16 mm, 0 invalid, or float32 m, NaN invalid.

    Raises:
        UnreadableError: not a depth encoding, or data that does not fit.
    """
    if message.encoding not in DEPTH:
        raise _unknown("depth", message.encoding, DEPTH)
    return marked_invalid(image_plane(message))


def marked_invalid(depth: np.ndarray) -> np.ndarray:
    """Marks invalid depth as 0 (uint16 mm, from 16-bit values) or NaN (float32 m, from floats).

    Negative and full-scale values are invalid; so are +-inf, which by REP 117 mean out of range.
    """
    if depth.dtype == np.int16:
        return np.where(depth > 0, depth, np.int16(0)).astype(np.uint16)
    if depth.dtype == np.uint16:
        full = depth == 65535
        return np.where(full, np.uint16(0), depth) if full.any() else depth
    with np.errstate(over="ignore"):
        depth = depth.astype(np.float32, copy=False)
    bad = ~(depth > 0) | np.isinf(depth)
    return np.where(bad, np.float32(np.nan), depth) if bad.any() else depth


def metres(depth: np.ndarray) -> np.ndarray:
    """HxW float32 m, NaN invalid, of depth as :func:`depth_pixels` gives it."""
    if depth.dtype != np.uint16:
        return depth
    out = depth.astype(np.float32) / np.float32(1000.0)
    out[depth == 0] = np.nan
    return out


def _unknown(what: str, found: str, known) -> UnreadableError:
    return UnreadableError(
        "encoding", f"{what} is '{found}', which is not read; {what} is read from {', '.join(known)}"
    )
