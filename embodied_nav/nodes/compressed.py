"""Pixels of image_transport's compressed messages. Knows nothing of topics and nodes."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage

from ..recordings.compressed import UnknownFormatError, decode_color, decode_depth
from .conversions import BadMessage, depth_from_millimetres


def color_from_compressed(message: CompressedImage) -> np.ndarray:
    """HxWx3 uint8 RGB of a ``compressed`` message.

    Raises:
        BadMessage: ``undecodable``, neither JPEG nor PNG or cut short.
    """
    try:
        return decode_color(message.data, message.format)
    except ValueError as error:
        raise BadMessage("undecodable", f"colour of format '{message.format}': {error}") from None


def depth_from_compressed(message: CompressedImage) -> np.ndarray:
    """HxW float32 metres, NaN invalid, of a ``compressedDepth`` message.

    Raises:
        BadMessage: ``encoding`` for another compression than PNG or other depth than 16UC1 and 32FC1, ``undecodable``
            for data that is no such PNG.
    """
    try:
        depth = decode_depth(message.data, message.format)
    except UnknownFormatError as error:
        raise BadMessage("encoding", str(error)) from None
    except ValueError as error:
        raise BadMessage("undecodable", str(error)) from None
    return depth_from_millimetres(depth) if depth.dtype == np.uint16 else depth
