"""Decodes images as image_transport compresses them. Knows no messages and no files.

Colour: JPEG, PNG or TIFF (``compressed``). Depth: PNG of 16 bits or TIFF (``compressed``), PNG or RVL after a 12-byte
header (``compressedDepth``), holding millimetres for 16 bits, quantised inverse depth for 32FC1. cv2 is imported
at the first image.
"""

from __future__ import annotations

import struct

import numpy as np

from . import rvl
from .images import ImageHeader, header_of
from .pixels import COLOR, UnreadableError, marked_invalid, rgb

#: Bytes before a compressedDepth message's image: int32 kind, float32 A, float32 B of depth = A / (value - B).
SETTINGS = struct.Struct("<iff")
#: Before RVL: width and height.
_RVL_SIZE = struct.Struct("<II")
#: Limit of pixels; no camera's image has more.
_MOST_PIXELS = 1 << 27
_PNG, _JPEG = b"\x89PNG", b"\xff\xd8\xff"
_MILLIMETRES = ("16UC1", "mono16", "16SC1")


def decode_color(data: bytes, format: str) -> np.ndarray:
    """HxWx3 uint8 RGB of a ``compressed`` message's data.

    Raises:
        UnreadableError: ``undecodable``: not a JPEG, PNG or TIFF, or truncated.
    """
    import cv2

    header_of_color(data)
    image = _decoded(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableError("encoding", f"compressed color holds {image.dtype}, expected 8 or 16 bits a channel")
    encoding, _, compression = (part.strip() for part in format.partition(";"))
    if image.ndim == 2:
        order = encoding if encoding.startswith("bayer_") else "mono8"
    else:
        order = "rgb8" if _is_swapped(encoding, compression) else "bgr8"
    order = order.rstrip("0123456789") + str(8 * image.itemsize)
    return rgb(image, order if order in COLOR else f"mono{8 * image.itemsize}")


def _is_swapped(encoding: str, compression: str) -> bool:
    """Whether the encoder mistook RGB for OpenCV's BGR: image_transport names the order that it passed ("jpeg
    compressed bgr8"), but passes TIFF the message's own order. Formats that name none ("jpeg") are normal files."""
    return "compressed rgb" in compression or ("tiff" in compression and encoding.startswith("rgb"))


def decode_depth(data: bytes, format: str) -> np.ndarray:
    """HxW of a ``compressedDepth`` or ``compressed`` message's data: uint16 mm, 0 invalid, or float32 m, NaN invalid.

    Raises:
        UnreadableError: ``encoding`` for an unsupported compression or depth type, ``undecodable`` for data that
            does not match the format.
    """
    encoding, _, compression = (part.strip() for part in format.partition(";"))
    if "compressedDepth" in compression:
        return _behind_settings(data, encoding, compression, format)
    header_of_depth(data, format)
    return marked_invalid(_whole_depth(data))


def _behind_settings(data: bytes, encoding: str, compression: str, format: str) -> np.ndarray:
    """Depth of a ``compressedDepth`` message."""
    kind = compression.partition("compressedDepth")[2].strip() or "png"
    if encoding not in (*_MILLIMETRES, "32FC1") or kind not in ("png", "rvl"):
        text = "read are '16UC1; compressedDepth png' and rvl, of 16UC1, mono16, 16SC1 and 32FC1"
        raise UnreadableError("encoding", f"depth of format '{format}' is not read; {text}")
    header_of_depth(data, format)
    values = _run_lengths(data) if kind == "rvl" else _whole_depth(data[_png_start(data) :])
    if values.dtype != np.uint16:
        raise UnreadableError("undecodable", f"compressed depth holds {values.dtype} {values.shape}, expected 16 bits")
    if encoding == "16SC1":
        return marked_invalid(values.view(np.int16))
    if encoding != "32FC1":
        return marked_invalid(values)
    _, a, b = SETTINGS.unpack_from(data)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    depth[values == 0] = np.nan
    return marked_invalid(depth)


def _png_start(data: bytes) -> int:
    """Offset of the image: some drivers omit the header."""
    return 0 if data[:4] == _PNG else SETTINGS.size


def _run_lengths(data: bytes) -> np.ndarray:
    width, height = _rvl_size(data)
    try:
        return rvl.decode(data[SETTINGS.size + _RVL_SIZE.size :], width, height)
    except ValueError as error:
        raise UnreadableError("undecodable", str(error)) from None


def _rvl_size(data: bytes) -> tuple[int, int]:
    if len(data) < SETTINGS.size + _RVL_SIZE.size:
        raise UnreadableError("undecodable", f"{len(data)} bytes are no RVL of depth")
    width, height = _RVL_SIZE.unpack_from(data, SETTINGS.size)
    if not 0 < width * height <= _MOST_PIXELS:
        raise UnreadableError("undecodable", f"RVL of {width}x{height} pixels is none")
    return width, height


def header_of_color(data: bytes) -> ImageHeader:
    """Size and type of a compressed colour image, checked to be complete, without decoding it.

    Raises:
        UnreadableError: ``undecodable``.
    """
    try:
        header = header_of(data)
        if not 0 < header.width * header.height <= _MOST_PIXELS:
            raise ValueError(f"is of {header.width}x{header.height} pixels")
    except ValueError as error:
        raise UnreadableError("undecodable", f"{len(data)} bytes cannot be decoded: the image {error}") from None
    return header


def header_of_depth(data: bytes, format: str) -> ImageHeader:
    """The same for compressed depth.

    Raises:
        UnreadableError: as above.
    """
    if "compressedDepth" not in format:
        if data[:3] == _JPEG:
            text = "JPEG, which keeps 8 bits and blurs edges: depth cannot come back; take compressedDepth or raw"
            raise UnreadableError("encoding", f"depth of format '{format}' is {text}")
        return header_of_color(data)
    if "rvl" in format.partition(";")[2]:
        return ImageHeader(*_rvl_size(data), 16, 1)
    return header_of_color(data[_png_start(data) :])


def _whole_depth(data: bytes) -> np.ndarray:
    import cv2

    values = _decoded(data, cv2.IMREAD_UNCHANGED)
    if values.ndim != 2 or values.dtype not in (np.uint16, np.float32, np.float64):
        text = f"{values.dtype} {values.shape}"
        raise UnreadableError("undecodable", f"compressed depth holds {text}, expected one channel of 16 bits")
    return values


def _decoded(data: bytes, flags: int) -> np.ndarray:
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableError("undecodable", f"{len(data)} bytes cannot be decoded")
    return image
