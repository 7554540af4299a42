"""Reads a TensorFlow.js graph model (model.json and its weight files). Knows nothing of ONNX.

A graph model is a list of TensorFlow's nodes (name, op, input, attr) and a manifest that cuts the weight files into
tensors, some of them stored in 8 or 16 bits with a scale.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

_TYPES = {"float32": np.float32, "int32": np.int32, "bool": np.bool_}
_QUANTIZED = {"float16": np.float16, "uint8": np.uint8, "uint16": np.uint16}


@dataclass(frozen=True)
class Node:
    """One operation: its inputs are names of nodes, ``name:1`` for a second output."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def text(self, key: str, default: str = "") -> str:
        """An attribute that is a string."""
        value = self.attributes.get(key)
        return default if value is None else _text(value["s"])

    def texts(self, key: str) -> list[str]:
        """An attribute that is a list of strings."""
        return [_text(item) for item in self._list(key, "s")]

    def numbers(self, key: str) -> list[int]:
        """An attribute that is a list of integers."""
        return [int(item) for item in self._list(key, "i")]

    def number(self, key: str, default: float = 0.0) -> float:
        """An attribute that is one number."""
        value = self.attributes.get(key)
        return default if value is None else float(value.get("f", value.get("i", default)))

    def flag(self, key: str) -> bool:
        """An attribute that is true or false."""
        value = self.attributes.get(key)
        return value is not None and bool(value.get("b", False))

    def _list(self, key: str, kind: str) -> list[Any]:
        value = self.attributes.get(key)
        return [] if value is None else value.get("list", {}).get(kind, [])


@dataclass(frozen=True)
class Graph:
    """Nodes and weights by name."""

    nodes: Mapping[str, Node]
    weights: Mapping[str, np.ndarray]

    def before(self, outputs: Iterable[str], inputs: Iterable[str]) -> list[Node]:
        """The nodes that outputs need, each after those that it needs; what feeds ``inputs`` is left out.

        Raises:
            InputError: a node is missing, or the graph runs in a circle.
        """
        order: dict[str, Node] = {}
        given, open_ = set(inputs), set()
        waiting = list(outputs)[::-1]
        while waiting:
            name = waiting[-1]
            if name in order or name in given:
                waiting.pop()
                continue
            if name not in self.nodes:
                raise InputError(f"the graph has no node '{name}'")
            needed = [producer(i) for i in self.nodes[name].inputs]
            missing = [n for n in needed if n not in order and n not in given]
            if missing and name in open_:
                raise InputError(f"the graph has a loop at '{name}'; give inputs after it")
            open_.add(name)
            if missing:
                waiting += missing[::-1]
            else:
                order[name] = self.nodes[name]
        return list(order.values())


def producer(reference: str) -> str:
    """The node that a reference (``^name``, ``name:1``) is to."""
    return reference.lstrip("^").partition(":")[0]


def read_graph(path: Path) -> Graph:
    """A graph model from its model.json; the weight files lie beside it.

    Raises:
        InputError: a file is missing or cut short, or it is no graph model.
    """
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        nodes = [
            Node(n["name"], n["op"], tuple(n.get("input") or ()), n.get("attr") or {})
            for n in model["modelTopology"]["node"]
        ]
        weights: dict[str, np.ndarray] = {}
        for group in model["weightsManifest"]:
            weights |= _weights(group, path.parent)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: is no TensorFlow.js graph model ({type(error).__name__}: {why})") from None
    return Graph({node.name: node for node in nodes}, weights)


def _weights(group: Mapping[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """Tensors by name of one group of weight files, floats in 32 bits, integers in 64."""
    data = b"".join((folder / Path(name).name).read_bytes() for name in group["paths"])
    found: dict[str, np.ndarray] = {}
    start = 0
    for entry in group["weights"]:
        shape = tuple(int(n) for n in entry["shape"])
        packed = entry.get("quantization")
        kind = np.dtype(_QUANTIZED[packed["dtype"]] if packed else _TYPES[entry["dtype"]]).newbyteorder("<")
        count = int(np.prod(shape, dtype=np.int64))
        tensor: np.ndarray = np.frombuffer(data, kind, count, start).reshape(shape)
        start += kind.itemsize * count
        if packed and "scale" in packed:
            tensor = tensor.astype(np.float32) * np.float32(packed["scale"]) + np.float32(packed["min"])
        wanted = {"float32": np.float32, "int32": np.int64, "bool": np.bool_}[entry["dtype"]]
        found[entry["name"]] = tensor.astype(wanted)
    if start != len(data):
        raise ValueError(f"weight files of {len(data)} bytes, the manifest tells of {start}")
    return found


def _text(value: Any) -> str:
    """A string: base64, or a list of bytes."""
    return bytes(value).decode() if isinstance(value, list) else base64.b64decode(value).decode()
