"""Decodes images as image_transport compresses them. Knows no messages and no files.

Colour: JPEG or PNG (``compressed``). Depth: PNG of 16 bits behind 12 bytes of settings (``compressedDepth``), holding
millimetres for 16UC1, quantised inverse depth for 32FC1. cv2 is imported at the first image.
"""

from __future__ import annotations

import struct

import numpy as np

#: Bytes before a compressedDepth message's PNG: int32 kind, float32 A, float32 B of depth = A / (value - B).
SETTINGS = struct.Struct("<iff")
#: What stands near the end of a whole JPEG and PNG; half of one decodes to half a picture.
_ENDS, _TAIL = (b"\xff\xd9", b"IEND"), 64


class UnknownFormatError(ValueError):
    """A compression or encoding that is not read here."""


def decode_color(data: bytes, format: str) -> np.ndarray:
    """HxWx3 uint8 RGB of a ``compressed`` message's data.

    Raises:
        ValueError: neither JPEG nor PNG, or cut short.
    """
    import cv2

    image = _decoded(data, 0, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    # The format says which order of channels went into the encoder; usually OpenCV's.
    return image if "compressed rgb" in format else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def decode_depth(data: bytes, format: str) -> np.ndarray:
    """HxW of a ``compressedDepth`` message's data: uint16 mm (0 invalid) for 16UC1, float32 m (NaN invalid) for 32FC1.

    Raises:
        UnknownFormatError: another compression than PNG, or other depth than 16UC1 and 32FC1.
        ValueError: data that is no such PNG.
    """
    import cv2

    encoding, _, compression = (part.strip() for part in format.partition(";"))
    if encoding not in ("16UC1", "32FC1") or "compressedDepth" not in compression or "rvl" in compression.lower():
        raise UnknownFormatError(f"depth of format '{format}', expected '16UC1; compressedDepth png' or 32FC1")
    values = _decoded(data, SETTINGS.size, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise ValueError(f"compressed depth holds {values.dtype} {values.shape}, expected 16 bits")
    if encoding == "16UC1":
        return values
    _, a, b = SETTINGS.unpack_from(data)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    depth[(values == 0) | ~(depth > 0) | np.isinf(depth)] = np.nan
    return depth


def _decoded(data: bytes, skip: int, flags: int) -> np.ndarray:
    import cv2

    pixels = np.frombuffer(data, np.uint8)[skip:]
    try:
        whole = any(end in pixels[-_TAIL:].tobytes() for end in _ENDS)
        image = cv2.imdecode(pixels, flags) if whole else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{len(data)} bytes cannot be decoded")
    return image
