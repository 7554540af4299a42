"""Image features between nodes: as images of many channels, and paired with their keyframes. Knows no encoder.

The topic ``keyframe_features`` carries sensor_msgs/Image with the keyframe's stamp, a pixel a patch, D float32 channels
(encoding ``32FC<D>``).
"""

from __future__ import annotations

import array
import re
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image

from ...perception.encoders import Encoder, EncoderChoice
from ...tables import ENCODERS
from . import params
from .conversions import BadMessage, header, stamp_ns

TOPIC = "keyframe_features"
_ENCODING = re.compile(r"32FC([1-9][0-9]{0,3})")


def declared_encoder(node: Node) -> Encoder | None:
    """The encoder that a node's parameters name, which are declared here; its weights are not loaded yet.

    Raises:
        InputError: a value out of range, or an encoder that cannot be made.
    """
    chosen = params.declare(node, EncoderChoice, "perception").encoder
    settings = params.declare_table(node, ENCODERS)
    return None if chosen == "none" else ENCODERS.create(chosen, settings=settings.get(chosen))


def features_msg(grid: np.ndarray, stamp: int, frame_id: str) -> Image:
    """A message of (h, w, D) float32 features; ``stamp``: ns."""
    rows, columns, dim = grid.shape
    message = Image(header=header(stamp, frame_id), height=rows, width=columns, encoding=f"32FC{dim}")
    message.step = columns * dim * 4
    message.data = array.array("B", np.ascontiguousarray(grid, "<f4").tobytes())
    return message


def features_from_msg(message: Image) -> tuple[int, np.ndarray]:
    """Stamp (ns) and (h, w, D) float32 features.

    Raises:
        BadMessage: another encoding, or data that does not fit the stated size.
    """
    encoding = _ENCODING.fullmatch(message.encoding)
    if encoding is None or message.is_bigendian:
        raise BadMessage("features", f"features have encoding '{message.encoding}', expected 32FC and their number")
    shape = (message.height, message.width, int(encoding[1]))
    if len(message.data) != 4 * shape[0] * shape[1] * shape[2]:
        raise BadMessage("features", f"features {shape} come in {len(message.data)} bytes")
    return stamp_ns(message.header.stamp), np.frombuffer(message.data, "<f4").reshape(shape)


class FeaturePairs:
    """Brings features and keyframes of one stamp together, whichever comes first; thread-safe.

    Args:
        most: keyframes, and features, that wait at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._keyframes: OrderedDict[int, Any] = OrderedDict()
        self._features: OrderedDict[int, Any] = OrderedDict()

    def keyframe(self, stamp: int, keyframe_id: int) -> np.ndarray | None:
        """Notes a keyframe that is in the memory now; returns its features where they are here already."""
        return self._met(stamp, keyframe_id, self._keyframes, self._features)

    def features(self, stamp: int, grid: np.ndarray) -> int | None:
        """Notes features; returns the id of their keyframe where it is in the memory already."""
        return self._met(stamp, grid, self._features, self._keyframes)

    def forget(self) -> None:
        """Forgets all that wait: their ids are of another map."""
        with self._lock:
            self._keyframes.clear()
            self._features.clear()

    def _met(self, stamp: int, value: Any, mine: OrderedDict[int, Any], others: OrderedDict[int, Any]) -> Any:
        with self._lock:
            if stamp in others:
                return others.pop(stamp)
            mine[stamp] = value
            while len(mine) > self._most:
                mine.popitem(last=False)
            return None
