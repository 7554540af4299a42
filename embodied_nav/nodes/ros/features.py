"""Image features between nodes: as images of many channels, and paired with their keyframes. Knows no encoder.

The topic ``keyframe_features`` carries sensor_msgs/Image with the keyframe's stamp, a pixel a patch, D float32 channels
(encoding ``32FC<D>``).
"""

from __future__ import annotations

import array
import re
import threading
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from ...frames import Keyframe
from ...memory import MemoryConfig, RetentionConfig, SpatialMemory
from ...perception.encoders import Encoder, EncoderChoice, TextTower, with_features
from ...tables import ENCODERS
from . import params
from .conversions import BadMessage, header, stamp_ns
from .lifecycle import AgentNode

TOPIC = "keyframe_features"
_ENCODING = re.compile(r"32FC([1-9][0-9]{0,3})")


def declared_encoder(node: AgentNode) -> Encoder | None:
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


def declared_memory(node: AgentNode) -> tuple[MemoryConfig, RetentionConfig, MemoryFeatures]:
    """The memory's settings by a node's parameters, with room for its encoder's features; and what takes these.

    Raises:
        InputError: a value out of range, an encoder that cannot be made, or that does not fit the settings.
    """
    encoder = declared_encoder(node)
    config = with_features(params.declare(node, MemoryConfig, "memory"), encoder)
    tower = None if encoder is None else encoder.text_tower()
    retention = params.declare(node, RetentionConfig, "retention")
    return config, retention, MemoryFeatures(node.diagnostics.counts, config.keyframe_images, tower)


class MemoryFeatures:
    """Gives a memory the features of its keyframes, whichever of the two comes first.

    Args:
        counts: ``features`` counts keyframes that got theirs. most: of either that wait.

    Attributes:
        tower: the encoder's text tower, or None.
    """

    def __init__(self, counts: Counter[str], most: int, tower: TextTower | None = None) -> None:
        self.tower = tower
        self._counts, self._most = counts, most
        self._map, self._pairs = "", Pairs(most)

    def take(self, message: Image, memory: SpatialMemory, lock: threading.Lock) -> None:
        """Takes a message of features; keeps them until their keyframe is in the memory.

        Args:
            lock: of the memory; it is taken here.

        Raises:
            BadMessage, InputError: they cannot be read, or do not fit the memory.
        """
        stamp, grid = features_from_msg(message)
        with lock:
            keyframe_id = self._of(memory).second(stamp, grid)
            if keyframe_id is not None:
                self._counts["features"] += bool(memory.add_features(keyframe_id, grid))

    def keyframe(self, keyframe: Keyframe, memory: SpatialMemory) -> None:
        """Notes that a keyframe is in the memory now, whose lock is held."""
        grid = self._of(memory).first(keyframe.frame.stamp, keyframe.id)
        if grid is not None:
            self._counts["features"] += bool(memory.add_features(keyframe.id, grid))

    def _of(self, memory: SpatialMemory) -> Pairs:
        """What waits; in another map nothing, for ids and places are that map's own."""
        if memory.uuid != self._map:
            self._map, self._pairs = memory.uuid, Pairs(self._most)
        return self._pairs


class Pairs:
    """Two things of one stamp each, of which the later one gets the earlier one.

    Args:
        most: of either kind that wait at most; beyond it the oldest is dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._firsts: OrderedDict[int, Any] = OrderedDict()
        self._seconds: OrderedDict[int, Any] = OrderedDict()

    def first(self, stamp: int, value: Any) -> Any:
        """Takes one of the first kind; returns the second where it has come, else None."""
        return self._met(stamp, value, self._firsts, self._seconds)

    def second(self, stamp: int, value: Any) -> Any:
        """Takes one of the second kind; returns the first where it has come, else None."""
        return self._met(stamp, value, self._seconds, self._firsts)

    def _met(self, stamp: int, value: Any, mine: OrderedDict[int, Any], others: OrderedDict[int, Any]) -> Any:
        if stamp in others:
            return others.pop(stamp)
        mine[stamp] = value
        while len(mine) > self._most:
            mine.popitem(last=False)
        return None
