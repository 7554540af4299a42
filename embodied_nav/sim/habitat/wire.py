"""Messages between client and habitat/server.py: two lengths, JSON, arrays. Knows nothing of what they say.

A message is the lengths of JSON and data (big-endian uint32), the JSON, the data. The JSON's key ``arrays`` lists
(name, dtype, shape) of the arrays that follow as data, in C order and little-endian. Nothing else than numbers can be
sent: what comes from the other side is never executed. habitat/server.py has the same code, since it must stand alone.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

#: Version of the protocol; another one is refused at the handshake.
PROTOCOL = 1
#: What a server says that it is.
SPEAKS = "embodied_nav habitat"
MOST_JSON, MOST_DATA = 1 << 20, 1 << 28
_PREFIX = struct.Struct(">II")
_DTYPES = ("|u1", "<i4", "<f4", "<f8")


class WireError(Exception):
    """What came is no message, or the other side has closed."""


def send(sock: socket.socket, message: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Sends a message with arrays by name.

    Raises:
        OSError: the connection is gone.
        ValueError: a number that JSON does not have.
    """
    described, data = [], []
    for name, array in (arrays or {}).items():
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        described.append([name, array.dtype.str, list(array.shape)])
        data.append(array.tobytes())
    text, body = json.dumps({**message, "arrays": described}, allow_nan=False).encode(), b"".join(data)
    sock.sendall(_PREFIX.pack(len(text), len(body)) + text + body)


def receive(sock: socket.socket) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next message and its arrays, read-only.

    Raises:
        WireError: the other side has closed, or what came is no message.
        OSError: the connection is gone, or nothing came in time.
    """
    length, size = _PREFIX.unpack(_exactly(sock, _PREFIX.size))
    if length > MOST_JSON or size > MOST_DATA:
        raise WireError("no message of this protocol")
    text, body = _exactly(sock, length), _exactly(sock, size)
    try:
        message = json.loads(text)
        arrays = dict(_arrays(message.pop("arrays", ()), body))
    except (ValueError, TypeError, AttributeError) as error:
        raise WireError(f"no message of this protocol ({error})") from None
    return message, arrays


def _arrays(described, body: bytes):
    """(name, array) of all that a message describes."""
    start = 0
    for name, dtype, shape in described:
        if dtype not in _DTYPES or any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"array {name!r} of {dtype!r} {shape!r}")
        count = math.prod(shape)
        yield name, np.frombuffer(body, dtype, count, start).reshape(shape)
        start += count * np.dtype(dtype).itemsize
    if start != len(body):
        raise ValueError(f"{start} bytes of arrays, {len(body)} came")


def _exactly(sock: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = sock.recv(min(count, 1 << 20))
        if not part:
            raise WireError("the other side has closed")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
