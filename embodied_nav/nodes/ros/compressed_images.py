"""Pixels of image_transport's compressed messages. Knows nothing of topics and nodes."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage

from ...recordings.compressed import decode_color, decode_depth
from ...recordings.pixels import metres
from .conversions import readable


def color_from_compressed(message: CompressedImage) -> np.ndarray:
    """HxWx3 uint8 RGB of a ``compressed`` message.

    Raises:
        BadMessage: ``undecodable``, no JPEG, PNG or TIFF, or cut short.
    """
    with readable():
        return decode_color(bytes(message.data), message.format)


def depth_from_compressed(message: CompressedImage) -> np.ndarray:
    """HxW float32 metres, NaN invalid, of a ``compressedDepth`` message or of ``compressed`` depth.

    Raises:
        BadMessage: ``encoding`` for a compression or depth that is not read (JPEG keeps no depth), ``undecodable`` for
            data that is not what the format says.
    """
    with readable():
        return metres(decode_depth(bytes(message.data), message.format))
