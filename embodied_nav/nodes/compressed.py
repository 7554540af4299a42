"""Pixels of image_transport's compressed messages. Knows nothing of topics and nodes.

Colour: JPEG or PNG (``compressed``). Depth: PNG of 16 bits behind 12 bytes of settings (``compressedDepth``), holding
millimetres for 16UC1, quantised inverse depth for 32FC1. cv2 is imported at the first image: nodes that get raw ones do
without.
"""

from __future__ import annotations

import struct

import numpy as np
from sensor_msgs.msg import CompressedImage

from .conversions import BadMessage, depth_from_millimetres

#: What stands near the end of a whole JPEG and PNG; half of one decodes to half a picture.
_ENDS, _TAIL = (b"\xff\xd9", b"IEND"), 64
#: Bytes before a compressedDepth message's PNG: int32 kind, float32 A, float32 B of depth = A / (value - B).
_SETTINGS = struct.Struct("<iff")


def color_from_compressed(message: CompressedImage) -> np.ndarray:
    """HxWx3 uint8 RGB of a ``compressed`` message.

    Raises:
        BadMessage: ``undecodable``, neither JPEG nor PNG or cut short.
    """
    import cv2

    image = _decoded(message, 0, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    # The format says which order of channels went into the encoder; usually OpenCV's.
    return image if "compressed rgb" in message.format else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def depth_from_compressed(message: CompressedImage) -> np.ndarray:
    """HxW float32 metres, NaN invalid, of a ``compressedDepth`` message.

    Raises:
        BadMessage: ``encoding`` for another compression than PNG or other depth than 16UC1 and 32FC1, ``undecodable``
            for data that is no such PNG.
    """
    import cv2

    encoding, _, compression = (part.strip() for part in message.format.partition(";"))
    if encoding not in ("16UC1", "32FC1") or "compressedDepth" not in compression or "rvl" in compression.lower():
        text = f"depth of format '{message.format}', expected '16UC1; compressedDepth png' or 32FC1"
        raise BadMessage("encoding", text)
    values = _decoded(message, _SETTINGS.size, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise BadMessage("undecodable", f"compressed depth holds {values.dtype} {values.shape}, expected 16 bits")
    if encoding == "16UC1":
        return depth_from_millimetres(values)
    _, a, b = _SETTINGS.unpack_from(message.data)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    depth[(values == 0) | ~(depth > 0) | np.isinf(depth)] = np.nan
    return depth


def _decoded(message: CompressedImage, skip: int, flags: int) -> np.ndarray:
    import cv2

    data = np.frombuffer(message.data, np.uint8)[skip:]
    try:
        whole = any(end in data[-_TAIL:].tobytes() for end in _ENDS)
        image = cv2.imdecode(data, flags) if whole else None
    except cv2.error:
        image = None
    if image is None:
        raise BadMessage("undecodable", f"{len(message.data)} bytes of format '{message.format}' cannot be decoded")
    return image
