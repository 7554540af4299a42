"""A tiny TensorFlow.js graph model with what the small detector is made of, and numpy's answer to it."""

from __future__ import annotations

import base64
import json

import numpy as np

SIZE = 7


def _text(value: str) -> dict:
    return {"s": base64.b64encode(value.encode()).decode()}


def _ints(*values: int) -> dict:
    return {"list": {"i": [str(v) for v in values]}}


def _node(name: str, op: str, *inputs: str, **attributes: dict) -> dict:
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def tiny_model(seed: int = 0) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Files of the model (model.json and two weight files), and its weights; the input is ``start``, 1x7x7x3."""
    rng = np.random.default_rng(seed)
    w = {
        "kernel": rng.normal(size=(3, 3, 3, 4)),
        "bias": rng.normal(size=4),
        "deep": rng.normal(size=(3, 3, 4, 1)),
        "scale": rng.uniform(0.5, 2, 4),
        "offset": rng.normal(size=4),
        "mean": rng.normal(size=4),
        "variance": rng.uniform(0.5, 2, 4),
        "one": rng.normal(size=(1, 1, 4, 6)),
    }
    w = {name: value.astype(np.float32) for name, value in w.items()}
    # Stored in 8 bits: what is read is scale * q + min.
    q = rng.integers(0, 256, (1, 1, 4, 6)).astype(np.uint8)
    w["one"] = q.astype(np.float32) * np.float32(0.01) + np.float32(-1.2)
    ints = {"begin": [0], "end": [1], "step": [1], "minus": -1, "three": 3, "axis": 1}
    strides = {"padding": _text("SAME"), "data_format": _text("NHWC")}
    nodes = [
        _node("camera", "Placeholder"),
        _node("loop", "Enter", "camera"),
        _node("start", "Sub", "loop", "bias"),
        _node("conv", "Conv2D", "start", "kernel", strides=_ints(1, 2, 2, 1), dilations=_ints(1, 1, 1, 1), **strides),
        _node("biased", "BiasAdd", "conv", "bias"),
        _node("cut", "Relu6", "biased"),
        _node("deeper", "DepthwiseConv2dNative", "cut", "deep", strides=_ints(1, 1, 1, 1), **strides),
        _node("normal", "FusedBatchNorm", "deeper", "scale", "offset", "mean", "variance", epsilon={"f": 0.001}),
        _node("sum", "AddN", "normal", "cut"),
        _node("wide", "Conv2D", "sum", "one", strides=_ints(1, 1, 1, 1), **strides),
        _node("shape", "Shape", "wide"),
        _node("batch", "StridedSlice", "shape", "begin", "end", "step", shrink_axis_mask={"i": "1"}),
        _node("wanted", "Pack", "batch", "minus", "three", axis={"i": "0"}),
        _node("rows", "Reshape", "wide", "wanted"),
        _node("joined", "ConcatV2", "rows", "rows", "axis"),
        _node("scores", "Sigmoid", "joined"),
        _node("after", "NonMaxSuppressionV3", "scores"),
        *(_node(name, "Const") for name in (*w, *ints)),
    ]
    manifest, data = [], b""
    for name, value in w.items():
        entry = {"name": name, "shape": list(value.shape), "dtype": "float32"}
        if name == "one":
            entry["quantization"] = {"dtype": "uint8", "scale": 0.01, "min": -1.2}
        manifest.append(entry)
        data += q.tobytes() if name == "one" else value.tobytes()
    for name, value in ints.items():
        manifest.append({"name": name, "shape": list(np.shape(value)), "dtype": "int32"})
        data += np.asarray(value, np.int32).tobytes()
    model = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["shard1", "shard2"], "weights": manifest}],
    }
    half = len(data) // 2
    return {"model.json": json.dumps(model).encode(), "shard1": data[:half], "shard2": data[half:]}, w


def answer(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """What the model gives between ``start`` and ``scores``, computed point by point."""
    y = np.clip(_convolved(x[0], w["kernel"], 2) + w["bias"], 0, 6)
    z = np.stack([_convolved(y[..., c : c + 1], w["deep"][:, :, c : c + 1], 1)[..., 0] for c in range(4)], axis=-1)
    z = (z - w["mean"]) / np.sqrt(w["variance"] + 0.001) * w["scale"] + w["offset"] + y
    rows = (z @ w["one"][0, 0]).reshape(1, -1, 3)
    return 1 / (1 + np.exp(-np.concatenate([rows, rows], axis=1)))


def _convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Padded as TensorFlow's SAME does: more at the end."""
    size, edge = x.shape[0], kernel.shape[0]
    out = -(-size // stride)
    pad = max((out - 1) * stride + edge - size, 0)
    padded = np.pad(x, ((pad // 2, pad - pad // 2), (pad // 2, pad - pad // 2), (0, 0)))
    found = np.zeros((out, out, kernel.shape[3]))
    for v in range(out):
        for u in range(out):
            patch = padded[v * stride : v * stride + edge, u * stride : u * stride + edge]
            found[v, u] = np.tensordot(patch, kernel, axes=3)
    return found
